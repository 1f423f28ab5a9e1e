"""The river, from scenario to results: blocks of what can be foreseen, ticks of what depends on what came before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from aether.base.tables import Event, State
from aether.engine.assemble import Setup, assemble
from aether.engine.block import Block, block, window
from aether.engine.distance import measure
from aether.engine.record import Record
from aether.engine.record import window as record_window
from aether.engine.summary import summary
from aether.engine.tables import closing, growing
from aether.engine.tick import Mesh, Tick, start, step
from aether.engine.totals import Totals
from aether.results.sinks import Memory, Sink
from aether.scenario.load import Scenario

Progress = Callable[[str, float, float, str], None]
Beside = Callable[[State, Block, int, Tick], None]  # state before a tick, its block, its row there, what it came to
QUEUE = 32  # ticks that may wait to be measured: bounds memory


@dataclass(frozen=True)
class Outcome:
    """What the engine made of a scenario."""

    setup: Setup
    totals: Totals
    summary: dict[str, Any]
    tables: Mapping[str, pa.Table]

    @property
    def events(self) -> list[Event]:
        """The calendar of the run."""
        return [Event(**row) for row in self.tables["events"].to_pylist()]


def simulate(
    scenario: Scenario, progress: Progress | None = None, threads: int = 1, sink: Sink | None = None
) -> Outcome:
    """Run a scenario.

    threads: with more than one, latencies are measured beside the ticks; the tables are the same, bit for bit. sink: where
    tables go as they are made, into memory if not given. Returns an Outcome. Raises InputError for what only shows when the
    fleet is assembled.
    """
    return run(assemble(scenario), progress, threads, sink)


def run(
    setup: Setup,
    progress: Progress | None = None,
    threads: int = 1,
    sink: Sink | None = None,
    beside: Beside | None = None,
) -> Outcome:
    """Run what has been assembled; parameters and returns as `simulate`. beside: as for `play`."""
    kept = sink or Memory()
    totals = play(setup, progress, threads, each=lambda record: _hand_over(growing(setup, record), kept), beside=beside)
    _hand_over(closing(setup, totals), kept)
    return Outcome(setup, totals, summary(setup, totals), kept.tables())


def _hand_over(made: Mapping[str, pa.Table], sink: Sink) -> None:
    for name, table in made.items():
        sink.add(name, table)


def play(
    setup: Setup, progress: Progress | None = None, threads: int = 1, network: bool = True, label: str = "simulating",
    each: Callable[[Record], None] | None = None, beside: Beside | None = None,
) -> Totals:  # fmt: skip
    """Step through the whole run and return what it comes to.

    network: False leaves the latencies of cities, cells and probes out: the ships' day and their work alone. each: called
    with the record of every window once it is full. beside: called after every tick.
    """
    totals = Totals.empty(setup, network)
    pool = ThreadPoolExecutor(max_workers=1) if threads > 1 and network else None
    told, state, pairs = progress or (lambda *_: None), None, None
    try:
        for first, time_s in setup.scenario.clock.windows(window(setup)):
            ahead = block(setup, first, time_s, pairs)
            pairs = ahead.mesh_pairs
            state = start(setup, ahead) if state is None else state
            for record in _records(setup, ahead, totals):
                state = _fill(setup, state, ahead, record, pool, lambda t: _tell(told, label, setup, t), beside)
                totals.add(setup, record)
                if each is not None:
                    each(record)
            del ahead, record  # or they would stand beside those of the next window
    finally:
        if pool is not None:
            pool.shutdown(cancel_futures=True)
    _tell(told, label, setup, setup.scenario.clock.ticks)
    return totals


def _records(setup: Setup, ahead: Block, totals: Totals, side_by_side: int = 1) -> Iterator[Record]:
    """Records for the ticks of a block, one after the other."""
    most = record_window(setup, side_by_side)
    for begin in range(0, len(ahead.time_s), most):
        yield Record.empty(setup, ahead.first + begin, ahead.time_s[begin : begin + most], totals.standing)


def _fill(
    setup: Setup, state: State, ahead: Block, record: Record, pool: ThreadPoolExecutor | None, tell: Callable[[int], None],
    beside: Beside | None = None,
) -> State:  # fmt: skip
    """Step through the ticks of a record, until all that is measured beside them is there too."""
    waiting: deque[Future[None]] = deque()
    for t in range(record.first, record.first + len(record.time_s)):
        before = state
        state, tick = step(setup, before, ahead, t - ahead.first)
        if beside is not None:
            beside(before, ahead, t - ahead.first, tick)
        record.add(setup, ahead, t - ahead.first, tick)
        if record.standing.network and pool is None:
            measure(setup, record, ahead, t - ahead.first, tick)
        elif pool is not None:
            waiting.append(pool.submit(measure, setup, record, ahead, t - ahead.first, tick))
            if len(waiting) > QUEUE:
                waiting.popleft().result()
        if t % 10 == 0:
            tell(t)
    for task in waiting:
        task.result()
    return state


def _tell(told: Progress, label: str, setup: Setup, t: int) -> None:
    clock = setup.scenario.clock
    told(label, t, clock.ticks, f"{clock.date(t * clock.step_s):%Y-%m-%d %H:%M}")


FORESEEN = ("eclipse", "attitude", "anomaly", "faults", "manoeuvres")  # couplings that change what a block holds
MESH = ("attitude", "acquisition", "faults", "manoeuvres")  # couplings that change the mesh


def play_variants(
    setups: Sequence[Setup], progress: Progress | None = None, label: str = "variants",
    each: Callable[[int, Tick], None] | None = None,
) -> list[Totals]:  # fmt: skip
    """Step variants of one run side by side: setups that differ in couplings only, each with totals of its own.

    What variants have in common is made once: the block of those alike in `FORESEEN`, the mesh of those alike in `MESH`. The
    totals are those that `play` would make alone, latencies of cities, cells and probes left out. each: called with the number of
    the variant and what each of its ticks came to.
    """
    told = progress or (lambda *_: None)
    totals = [Totals.empty(setup, network=False) for setup in setups]
    states: list[State | None] = [None] * len(setups)
    pairs = None
    for first, time_s in setups[0].scenario.clock.windows(window(setups[0])):
        blocks: dict[tuple[bool, ...], Block] = {}
        for setup in setups:
            if _alike(setup, FORESEEN) not in blocks:
                blocks[_alike(setup, FORESEEN)] = block(setup, first, time_s, pairs)
        pairs = next(iter(blocks.values())).mesh_pairs
        mine = [blocks[_alike(setup, FORESEEN)] for setup in setups]
        for records in zip(
            *(_records(s, b, t, len(setups)) for s, b, t in zip(setups, mine, totals, strict=True)), strict=True
        ):
            for t in range(records[0].first, records[0].first + len(records[0].time_s)):
                _step_variants(setups, states, mine, records, t, each)
                _tell(told, label, setups[0], t + 1)
            for setup, record, total in zip(setups, records, totals, strict=True):
                total.add(setup, record)
        del blocks, mine, records, record  # or they would stand beside those of the next window
    return totals


def _step_variants(
    setups: Sequence[Setup],
    states: list[State | None],
    blocks: Sequence[Block],
    records: Sequence[Record],
    t: int,
    each: Callable[[int, Tick], None] | None = None,
) -> None:
    """One tick of all variants, written down; `states` go on in place."""
    meshes: dict[tuple[bool, ...], Mesh] = {}
    for v, (setup, ahead, record) in enumerate(zip(setups, blocks, records, strict=True)):
        key, i = _alike(setup, MESH), t - ahead.first
        states[v], tick = step(setup, states[v] or start(setup, ahead), ahead, i, meshes.get(key))
        meshes.setdefault(key, tick.mesh)
        record.add(setup, ahead, i, tick)
        if each is not None:
            each(v, tick)


def _alike(setup: Setup, names: tuple[str, ...]) -> tuple[bool, ...]:
    return tuple(getattr(setup.scenario.spec.couplings, name) for name in names)
