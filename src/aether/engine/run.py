"""The river, from scenario to results: blocks of what can be foreseen, ticks of what depends on what came before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from aether.base.events import find_events
from aether.base.tables import Event, State
from aether.engine.assemble import Setup, assemble
from aether.engine.block import Block, block, window
from aether.engine.distance import measure
from aether.engine.record import Record, tables
from aether.engine.summary import summary
from aether.engine.tick import Mesh, start, step
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


FORESEEN = ("eclipse", "attitude", "anomaly", "faults")  # couplings that change what a block holds
MESH = ("attitude", "acquisition", "faults")  # couplings that change the mesh


def play_variants(setups: Sequence[Setup], progress: Progress | None = None, label: str = "variants") -> list[Record]:
    """Step variants of one run side by side: setups that differ in couplings only, each with a record of its own.

    What variants have in common is made once: the block of those alike in `FORESEEN`, the mesh of those alike in `MESH`. The
    records are those that `play` would make alone, latencies of cities, cells and probes left out.
    """
    told, clock = progress or (lambda *_: None), setups[0].scenario.clock
    records = [Record.empty(setup, network=False) for setup in setups]
    states: list[State | None] = [None] * len(setups)
    pairs = None
    for first, time_s in clock.windows(window(setups[0])):
        blocks: dict[tuple[bool, ...], Block] = {}
        for setup in setups:
            if _alike(setup, FORESEEN) not in blocks:
                blocks[_alike(setup, FORESEEN)] = block(setup, first, time_s, pairs)
        pairs = next(iter(blocks.values())).mesh_pairs
        for i in range(len(time_s)):
            meshes: dict[tuple[bool, ...], Mesh] = {}
            for v, setup in enumerate(setups):
                ahead, key = blocks[_alike(setup, FORESEEN)], _alike(setup, MESH)
                state = states[v] or start(setup, ahead)
                states[v], tick = step(setup, state, ahead, i, meshes.get(key))
                meshes.setdefault(key, tick.mesh)
                records[v].add(setup, ahead, i, tick)
            told(label, first + i + 1, clock.ticks, f"{clock.date(time_s[i]):%Y-%m-%d %H:%M}")
    return records


def _alike(setup: Setup, names: tuple[str, ...]) -> tuple[bool, ...]:
    return tuple(getattr(setup.scenario.spec.couplings, name) for name in names)


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
