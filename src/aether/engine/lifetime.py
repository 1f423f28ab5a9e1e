"""The fleet through years: what the operational engine measures, what wears, what flies, what it costs, draw by draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from aether.base.clock import stream
from aether.base.errors import InputError, Problem
from aether.base.tables import Floats, Ints
from aether.engine import factors, lifetime_money
from aether.engine.lifetime_fleet import (
    MONTH_S,
    YEAR_S,
    Drawn,
    Ships,
    boards,
    drag_m_s,
    drawn,
    lives,
    ships,
    survival,
)
from aether.engine.lifetime_plan import cheapest
from aether.engine.run import Progress
from aether.operations import schedule, years
from aether.operations.fleet import COLUMNS, FLOPS, GPUS, SHIPS, Chance, Course, course
from aether.scenario.load import Scenario

MOST = 6_000_000  # draws x months x groups: a gigabyte of results
PIECE = 16  # draws that a thread takes at a time
STREAMS = ("launch", "wear", "storm")
HOUR_S = 3600.0  # definition


@dataclass(frozen=True)
class Years:
    """What a fleet came to: columns of the course (D, M, G), money by term (D, M), and what it rests on."""

    fleet: Ships
    given: Course
    out: Mapping[str, Floats]
    usd: Mapping[str, Floats]
    alive: Floats  # (D, G, A + 1) share of ships that lives by age
    boards: Floats  # (D, A + 1) share of GPUs that works by age
    life: Ints  # (D, G, M + 1) months
    ended: Floats  # (G, 3) share of draws in which the life meant, propellant, dose ends the first launched
    drag_m_s: Floats  # (D, G, N + 1) summed
    plan: schedule.Schedule | None


def lifetime(scenario: Scenario, progress: Progress | None = None, threads: int = 1) -> Years:
    """A scenario's fleet month by month through its `lifetime` section, in every draw.

    threads: the result is the same for any number. Returns Years. Raises InputError for a scenario without ships, a storm
    outside the years, or more draws, months and groups than memory holds.
    """
    asked = scenario.spec.lifetime
    _check(scenario)
    fleet = ships(scenario, progress)
    storm = -1 if asked.storm is None else _month(scenario)
    alive, working, spent = survival(fleet), boards(fleet), drag_m_s(fleet)
    life, ended = lives(fleet, spent, storm)
    made = drawn(fleet, alive, working, life)
    given = _course(fleet, storm)
    plan = cheapest(fleet, given, made, alive) if asked.plan == "cheapest" else None
    if plan is not None:
        given = given._replace(orders=np.cumsum(plan.ships, axis=0))
    out = _run(fleet, given, made, progress, threads)
    usd = lifetime_money.terms(fleet, out)
    return Years(fleet, given, out, usd, alive, working, life, ended, spent, plan)


def calm(done: Years, progress: Progress | None = None, threads: int = 1) -> Mapping[str, Floats]:
    """The same course without its storm: columns (D, M, G)."""
    life, _ = lives(done.fleet, done.drag_m_s, -1)
    made = drawn(done.fleet, done.alive, done.boards, life)
    return _run(done.fleet, done.given._replace(storm=-1), made, progress, threads)


def delivered_h(done: Years) -> tuple[Floats, Floats]:
    """GPU-hours and PFLOP-hours delivered in each month (D, M)."""
    hours = MONTH_S / HOUR_S
    gpu, flops = (done.out[f"delivered_{k}"].sum(axis=2) * hours for k in ("gpu", "flops"))
    return gpu, flops / 1e15


def _check(scenario: Scenario) -> None:
    asked, problems = scenario.spec.lifetime, []
    size = asked.draws * 12 * asked.years * max(len(scenario.spec.ships), 1)
    if size > MOST:
        told = f"{asked.draws:,} draws of {asked.years} years and {len(scenario.spec.ships)} groups are more than memory holds"
        problems.append(Problem("lifetime.draws", told, next=f"At most {MOST * asked.draws // size:,} here"))
    if asked.storm is not None and not 0 <= _month(scenario) < 12 * asked.years:
        start = asked.start or scenario.spec.start
        told = f"the storm lies outside the {asked.years} years from {start:%Y-%m}"
        problems.append(Problem("lifetime.storm", told))
    if problems:
        raise InputError(problems)


def _month(scenario: Scenario) -> int:
    asked = scenario.spec.lifetime
    begin, storm = asked.start or scenario.spec.start, asked.storm
    return int((storm - begin).total_seconds() // MONTH_S) if storm is not None else -1


def _course(fleet: Ships, storm: int) -> Course:
    asked, kept = fleet.asked, fleet.asked.initial
    ages_s, of_year = years.ages(fleet.longest), years.middles(12)
    plain = lifetime_money.prices(fleet, nominal=True)
    hardware = plain.hardware_usd[0]
    nominal_loads = np.array([max(c.lifted_kg / fleet.draws.nominal(f"{c.launcher}.payload"),
                                  c.volume_m3 / fleet.draws.nominal(f"{c.launcher}.bay_volume")) for c in fleet.cost])  # fmt: skip
    paid = (
        hardware + lifetime_money.learned(fleet, plain.launch_usd, np.zeros((1, fleet.months)), True)[0] * nominal_loads
    )
    counts, aim = _aim(fleet)
    return Course(
        aim=aim, counts=counts, once=asked.rule == "once", orders=np.zeros((0, len(fleet.names)), np.int64),
        initial=fleet.count * kept, initial_age=fleet.age, spares=asked.spares,
        flights=years.flights(fleet.time_s, asked.cadence.flights, asked.cadence.growth, asked.cadence.most),
        gpus=fleet.gpus, flops=fleet.flops, factor=factors.at(fleet.factors.deliverable, fleet.factors, fleet.time_s, ages_s),
        mean_factor=factors.at(fleet.factors.deliverable, fleet.factors, of_year, ages_s).mean(axis=1),
        boards_every=int(years.months(asked.upgrade_every)) if asked.upgrade == "modules" else 0, storm=storm,
        hardware_usd=np.concatenate([hardware[:1], hardware]), paid_usd=np.concatenate([paid[:1], paid]),
    )  # fmt: skip


def _aim(fleet: Ships) -> tuple[int, Floats]:
    """What is counted, and how much of it each group is to have at work (M, G)."""
    asked, year = fleet.asked, fleet.time_s / YEAR_S
    if not asked.target:
        growth = asked.growth if asked.rule == "grow" else 0.0
        return SHIPS, np.floor(fleet.count * (1.0 + growth) ** year[:, None] + 1e-9)
    of = "gpus" if asked.target[0].gpus is not None else "pflops"
    wanted = [float(getattr(w, of)) * (1.0 if of == "gpus" else 1e15) for w in asked.target]
    curve = np.interp(year, [w.year for w in asked.target], wanted)
    part = fleet.count * fleet.gpus * (1.0 if of == "gpus" else fleet.flops)
    return (GPUS if of == "gpus" else FLOPS), curve[:, None] * (part / part.sum())


def _run(fleet: Ships, given: Course, made: Drawn, progress: Progress | None, threads: int) -> dict[str, Floats]:
    """All draws, in pieces side by side."""
    count, told = fleet.draws.count, progress or (lambda *_: None)
    out = np.zeros((count, *given.aim.shape, len(COLUMNS)))
    chances = _chances(fleet, made)
    seed = fleet.scenario.spec.seed

    def piece(first: int) -> int:
        last = min(first + PIECE, count)
        for d in range(first, last):
            launching, living, storming = (stream(seed, f"lifetime/{name}/{d}") for name in STREAMS)
            out[d] = course(launching, living, storming, given, chances(d))
        return last - first

    done, starts = 0, range(0, count, PIECE)
    with ThreadPoolExecutor(max_workers=threads) as pool:
        for made_now in pool.map(piece, starts) if threads > 1 else map(piece, starts):
            done += made_now
            told("draws", done, count, "")
    return {name: np.ascontiguousarray(out[..., k]) for k, name in enumerate(COLUMNS)}


def _chances(fleet: Ships, made: Drawn) -> Callable[[int], Chance]:
    draws = fleet.draws
    fails, disposes = draws("fleet.launch_failure"), draws("fleet.disposal_success")
    grounded = years.months(draws("fleet.grounding"))
    storm = [draws("fleet.storm_loss"), draws("fleet.storm_outage") / MONTH_S, draws("fleet.storm_array")]
    groups = len(fleet.names)

    def of(d: int) -> Chance:
        return Chance(
            made.dies[d], made.boards[d], made.life[d], made.lead[d], made.loads[d], made.service_loads[d], float(fails[d]),
            int(grounded[d]), made.generation[d], np.full(groups, made.up[d]), float(disposes[d]), *(float(s[d]) for s in storm),
        )  # fmt: skip

    return of
