"""Work in processes of its own: asked for at once, fetched when it is wanted, quiet when it is dropped."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterable
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")

WATCH_S = 1.0  # between looks at whether the process that asked is still there


def spread(work: Callable[..., T], arguments: Iterable[tuple[Any, ...]], processes: int) -> Generator[T, None, None]:
    """Start `work(*a)` for each of the arguments, in so many processes; returns the results in order, as they come.

    No more is handed out at once than the processes can queue: what waits elsewhere, loky loses loudly when it is dropped.
    The processes stay for what is asked next, end when nothing is for some minutes, and leave when this one is gone.
    """
    from joblib import Parallel, delayed  # a fifth of a second that work in one process need not pay

    pool = Parallel(n_jobs=processes, return_as="generator", pre_dispatch="2 * n_jobs", batch_size=1, max_nbytes=None)
    results: Generator[T, None, None] = pool(delayed(_alone)(os.getpid(), work, a) for a in arguments)
    return results


def drop(results: Generator[Any, None, None] | None) -> None:
    """What has not been fetched is not wanted any more."""
    if results is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that work was for nothing, which is no news here
            results.close()


def _alone(asked_by: int, work: Callable[..., T], arguments: tuple[Any, ...]) -> T:
    _settle(asked_by)
    return work(*arguments)


def collect_seldom() -> None:
    """Look for garbage in cycles seldom: a run makes little of it, and looking took a tenth of its time."""
    gc.set_threshold(100_000, 50, 50)


@cache
def _settle(asked_by: int) -> None:
    """Once in each process."""
    collect_seldom()
    if os.getppid() == asked_by:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who asked, who drops this
        threading.Thread(target=_leave_after, args=(asked_by,), daemon=True).start()


def _leave_after(asked_by: int) -> None:
    while os.getppid() == asked_by:
        time.sleep(WATCH_S)
    os._exit(1)
