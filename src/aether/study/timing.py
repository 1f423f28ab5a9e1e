"""How the bench times a piece of work, and the row that it makes of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

ENOUGH_S, MOST_RUNS = 0.2, 200  # of runs that are short: medians of few are chance

Row = dict[str, Any]


def times(work: Callable[[], Any], runs: int) -> list[float]:
    """Seconds that each of several runs takes, after one that compiles and warms caches; more runs where they are short."""
    work()
    taken: list[float] = []
    while len(taken) < runs or (sum(taken) < ENOUGH_S and len(taken) < MOST_RUNS):
        taken.append(once(work))
    return taken


def once(work: Callable[[], Any]) -> float:
    """Seconds that one run takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def row(
    name: str, size: str, unit: str, taken: list[float], scale: float, target: float | None = None,
    peers: Mapping[str, float] | None = None,
) -> Row:  # fmt: skip
    """A row of the bench: the median and spread of `taken` [s] times `scale`, in `unit`, beside its target and peers."""
    values = [t * scale for t in taken]
    return {
        "name": name,
        "size": size,
        "unit": unit,
        "value": median(values),
        "spread": [min(values), max(values)],
        "target": target,
        "peers": dict(peers or {}),
    }
