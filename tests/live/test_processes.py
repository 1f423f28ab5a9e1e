"""Processes of their own: results in order, quiet when dropped, gone when the one that asked is killed."""

import math
import os
import signal
import subprocess
import sys
import time
import warnings

import pytest

from aether.base.processes import drop, spread


def test_results_come_in_the_order_asked_for():
    assert list(spread(math.pow, [(2, k) for k in range(8)], 2)) == [2.0**k for k in range(8)]


def test_a_fault_of_the_work_is_raised_here():
    with pytest.raises(ValueError, match=r"domain|expected|nonnegative"):
        list(spread(math.sqrt, [(-1.0,)], 2))


def test_what_is_dropped_says_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        coming = spread(time.sleep, [(0.0,), (30.0,), (30.0,)], 2)
        next(coming)
        begun = time.monotonic()
        drop(coming)
        drop(None)
        assert time.monotonic() - begun < 20.0


ASKS = """
import os, time
from aether.base.processes import spread
print(*spread(os.getpid, [()] * 8, 2), flush=True)
late = spread(time.sleep, [(60.0,)] * 2, 2)
time.sleep(60.0)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_processes_leave_when_the_one_that_asked_is_killed():
    asking = subprocess.Popen(
        [sys.executable, "-c", ASKS], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    workers = {int(pid) for pid in asking.stdout.readline().split()}
    assert workers
    asking.send_signal(signal.SIGKILL)
    asking.wait()
    asking.stdout.close()
    until = time.monotonic() + 20.0
    while any(alive(pid) for pid in workers) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(alive(pid) for pid in workers)


def alive(pid):
    """Whether a process runs; one that has ended and waits to be noticed does not."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")
