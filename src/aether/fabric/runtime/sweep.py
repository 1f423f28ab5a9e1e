"""Processes that outlived their keepers: found by the mark in their environment, or as strays of this process."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path

MARK = "AETHER_MEMBER"  # holds the folder of the member: unlike the attempt's name it is one machine's alone
LINUX = sys.platform.startswith("linux")


def marked(folder: Path) -> list[int]:
    """Live processes of this user whose environment says that they belong to a folder, or to one below it."""
    found, wanted = [], f"{MARK}={folder}".encode()
    if not LINUX:
        return []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            with contextlib.suppress(OSError):
                with open(f"/proc/{name}/environ", "rb") as file:
                    pieces = file.read().split(b"\0")
                if any(p == wanted or p.startswith(wanted + b"/") for p in pieces):
                    found.append(int(name))
    return found


def sweep(folder: Path, patience_s: float = 0.0, lasting_s: float = 5.0) -> int:
    """Kill what belongs to a folder; how many were found. patience_s: they may end by themselves for so long."""
    until, killed = time.monotonic() + patience_s, 0
    while time.monotonic() < until and marked(folder):
        time.sleep(0.1)
    until = time.monotonic() + lasting_s
    while (pids := marked(folder)) and time.monotonic() < until:
        for pid in pids:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        killed += len(pids)
        _reap(pids)
        time.sleep(0.02)
    return killed


def strays(known: Callable[[], Collection[int]]) -> int:
    """Kill children of this process that it did not start (a subreaper inherits them); how many."""
    count = 0
    for _ in range(200):
        below = children(os.getpid())
        own = known()  # asked after: a child that has begun meanwhile is known
        pids = [p for p in below if p not in own]
        if not pids:
            break
        for pid in pids:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        count += len(pids)
        _reap(pids)
        time.sleep(0.02)
    return count


def children(of: int) -> list[int]:
    """Children of a process, as /proc tells."""
    found = []
    if LINUX:
        for name in os.listdir("/proc"):
            if name.isdigit():
                with contextlib.suppress(OSError, ValueError, IndexError):
                    with open(f"/proc/{name}/stat", "rb") as file:
                        fields = file.read().rpartition(b")")[2].split()
                    if int(fields[1]) == of:
                        found.append(int(name))
    return found


def _reap(pids: Collection[int]) -> None:
    for pid in pids:
        with contextlib.suppress(OSError):
            os.waitpid(pid, os.WNOHANG)
