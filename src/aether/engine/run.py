"""The river, from scenario to results: blocks of what can be foreseen, ticks of what depends on what came before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from aether.base.events import find_events
from aether.base.tables import Event
from aether.engine.assemble import Setup, assemble
from aether.engine.block import block, window
from aether.engine.distance import measure
from aether.engine.record import Record, tables
from aether.engine.summary import summary
from aether.engine.tick import start, step
from aether.engine.work_summary import outage_events
from aether.scenario.load import Scenario

Progress = Callable[[str, float, float, str], None]
QUEUE = 32  # ticks that may wait to be measured: bounds memory


@dataclass(frozen=True)
class Outcome:
    """What the engine made of a scenario."""

    setup: Setup
    record: Record
    events: list[Event]
    summary: dict[str, Any]
    tables: dict[str, pa.Table]


def simulate(scenario: Scenario, progress: Progress | None = None, threads: int = 1) -> Outcome:
    """Run a scenario.

    threads: with more than one, latencies are measured beside the ticks; the tables are the same, bit for bit.
    Returns an Outcome. Raises InputError for what only shows when the fleet is assembled.
    """
    setup = assemble(scenario)
    record = play(setup, progress, threads)
    events = find(setup, record)
    return Outcome(setup, record, events, summary(setup, record, events), tables(setup, record, events))


def play(
    setup: Setup, progress: Progress | None = None, threads: int = 1, network: bool = True, label: str = "simulating"
) -> Record:
    """Step through the whole run.

    network: False leaves the latencies of cities, cells and probes out: the ships' day and their work alone.
    """
    record = Record.empty(setup, network)
    pool = ThreadPoolExecutor(max_workers=1) if threads > 1 and network else None
    try:
        _loop(setup, record, pool, network, progress or (lambda *_: None), label)
    finally:
        if pool is not None:
            pool.shutdown(cancel_futures=True)
    return record


def _loop(
    setup: Setup, record: Record, pool: ThreadPoolExecutor | None, network: bool, progress: Progress, label: str
) -> None:
    clock = setup.scenario.clock
    state, pairs = None, None
    waiting: deque[Future[None]] = deque()
    for first, time_s in clock.windows(window(setup)):
        ahead = block(setup, first, time_s, pairs)
        pairs = ahead.mesh_pairs
        state = start(setup, ahead) if state is None else state
        for i in range(len(time_s)):
            state, tick = step(setup, state, ahead, i)
            record.add(setup, ahead, i, tick)
            if network and pool is None:
                measure(setup, record, ahead, i, tick)
            elif network and pool is not None:
                waiting.append(pool.submit(measure, setup, record, ahead, i, tick))
                if len(waiting) > QUEUE:
                    waiting.popleft().result()
            if i % 10 == 0:
                progress(label, first + i, clock.ticks, f"{clock.date(time_s[i]):%Y-%m-%d %H:%M}")
    for task in waiting:
        task.result()
    progress(label, clock.ticks, clock.ticks, f"{clock.date(clock.duration_s):%Y-%m-%d %H:%M}")


def find(setup: Setup, record: Record) -> list[Event]:
    """The calendar of the run: eclipses, anomaly passes, times without a path to a gateway, times at the heat limit."""
    clock, ships = setup.scenario.clock, record.ships
    times = clock.times()
    throttled = ships["power"] - ships["heat"]
    found: list[Event] = []
    for k, name in enumerate(setup.fleet.name):
        found += find_events("eclipse", name, times, ships["lit"][:, k].astype(np.float64), 0.5, above=False)
        found += find_events("anomaly", name, times, ships["anomaly"][:, k].astype(np.float64), 0.5)
        found += find_events("outage", name, times, ships["reach_share"][:, k].astype(np.float64), 0.5, above=False)
        found += find_events(
            "limit", name, times, throttled[:, k].astype(np.float64), 1e-6 * float(setup.fleet.gpus[k])
        )
    found += outage_events(setup)
    return sorted(found, key=lambda e: (e.start_s, e.kind, e.subject))
