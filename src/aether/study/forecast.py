"""`aether forecast`: a calendar of what the sky does to each ship, and the compute that can be promised whatever fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from aether.base.clock import Clock
from aether.base.errors import InputError, Problem
from aether.base.events import Search
from aether.base.processes import drop, spread
from aether.base.tables import Event, Floats
from aether.engine import faults
from aether.engine.assemble import Setup, assemble, planes
from aether.engine.block import block, redrawn, window
from aether.engine.manoeuvres import avoidances, manoeuvres
from aether.engine.run import Progress
from aether.engine.tick import start, step
from aether.engine.work import work as made_of
from aether.results import sinks
from aether.scenario.load import Scenario
from aether.space import motion, radiation, sun, visibility
from aether.study.ablation import packaged

STEP_S = 600.0  # of the runs by chance: within 0.8 points of deliverable compute at one minute (docs/design.md)
SKY_S = 60.0  # between samples of the calendar; begins and ends lie between samples
WINDOW = 120  # samples of the calendar at once
CONFIDENCE = (0.50, 0.90, 0.99)
HOUR_S = 3600.0  # definition
KINDS = ("eclipse", "anomaly", "contact", "reboost")


@dataclass(frozen=True)
class Drawn:
    """What each sample of faults and requests comes to (N,)."""

    orbit_gpu_h: Floats  # deliverable
    ground_gpu_h: Floats  # in service
    tokens: Floats  # of answers, to those who ask


def forecast(
    scenario: Scenario, hours: float = 72.0, samples: int = 32, threads: int = 2, out: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The calendar of the next hours and what can be promised at 50, 90 and 99 % confidence.

    scenario: its start is the forecast's. hours: how far. samples: draws of faults and requests under the same sky. out: a file
    for the calendar, .csv or .parquet. Returns what `aether forecast --json` prints. Raises InputError for what is not positive
    and for a file of another kind.
    """
    problems = []
    if not 1.0 <= hours <= 24.0 * 366:
        problems.append(Problem("--hours", f"{hours:g} is not between 1 and a year's {24 * 366:,}"))
    if not 2 <= samples <= 100_000:
        problems.append(Problem("--samples", f"{samples} is not between 2 and 100,000"))
    if out is not None and out.suffix not in (".csv", ".parquet"):
        problems.append(Problem("--out", f"{out} ends in neither .csv nor .parquet"))
    elif out is not None and not out.parent.is_dir():
        problems.append(Problem("--out", f"there is no folder {out.parent}"))
    if problems:
        raise InputError(problems)
    setup = _over(assemble(scenario), hours * HOUR_S)
    events = calendar(setup)
    drawn = draw(setup, samples, threads, progress)
    if out is not None:  # last, so that an interruption leaves nothing
        write(setup, events, out)
    return {
        "scenario": scenario.spec.name, "start": scenario.spec.start.isoformat(), "hours": hours, "step_s": setup.scenario.clock.step_s, "samples": samples,
        "promised": {name: promised(values) for name, values in (("orbit_gpu_hours", drawn.orbit_gpu_h), ("ground_gpu_hours", drawn.ground_gpu_h),
                     ("gpu_hours", drawn.orbit_gpu_h + drawn.ground_gpu_h), ("output_tokens", drawn.tokens))},
        "least_of": f"99 % rests on the least of {samples} samples: one more falls below it with a chance of 1 in {samples + 1}" if samples < 99 else "",
        "calendar": {kind: _of_kind(events, kind, hours * HOUR_S, len(setup.fleet.name)) for kind in KINDS},
        "ships": _ships(setup, events, hours * HOUR_S), "reboost": "modelled: sunk by the band in the cycle's mean density; ships of a group in turn",
    }  # fmt: skip


def promised(values: Floats) -> dict[str, float]:
    """What is reached with each confidence, the mean and the ends: confidence c is the value that a share c of samples reach."""
    told = {f"p{round(100 * c)}": float(np.quantile(values, 1.0 - c, method="lower")) for c in CONFIDENCE}
    return told | {"mean": float(values.mean()), "least": float(values.min()), "most": float(values.max())}


def _over(setup: Setup, duration_s: float) -> Setup:
    """The same fabric for so long, at steps of ten minutes."""
    spec = setup.scenario.spec.model_copy(update={"duration": duration_s, "step": min(STEP_S, duration_s)})
    scenario = replace(setup.scenario, spec=spec)
    ahead = replace(setup, scenario=scenario, manoeuvres=manoeuvres(scenario, setup.fleet, setup.group))
    return reseeded(ahead, spec.seed)


def reseeded(setup: Setup, seed: int) -> Setup:
    """The same fabric with faults, avoidances and requests of another seed."""
    scenario = replace(setup.scenario, spec=setup.scenario.spec.model_copy(update={"seed": seed}))
    count = len(setup.gateways.names)
    drawn = faults.outages(scenario, setup.hosts, setup.relay_count, count, planes(setup.group, setup.ships))
    aside = replace(setup.manoeuvres, by_chance=avoidances(scenario, len(setup.group)))
    return replace(
        setup, scenario=scenario, outages=drawn, manoeuvres=aside, work=made_of(scenario, setup.hosts, setup.cities)
    )


def draw(setup: Setup, samples: int, threads: int = 2, progress: Progress | None = None) -> Drawn:
    """Run samples with faults and requests drawn anew; seeds count up from the scenario's. The same for any threads."""
    seeds = [setup.scenario.spec.seed + n for n in range(samples)]
    told = progress or (lambda *_: None)
    many = threads > 1 and samples > 2 * threads and packaged(setup)
    parts = [part.tolist() for part in np.array_split(seeds, min(samples, 4 * threads) if many else 1)]
    if not many:
        return _joined([_sampled(setup, parts[0], progress)])
    coming = spread(_sampled, ((setup, part, None) for part in parts), threads)
    made: list[Drawn] = []
    try:
        for found in coming:
            made.append(found)
            told("samples", len(made), len(parts), "")
    finally:
        drop(coming)
    return _joined(made)


def _joined(parts: Sequence[Drawn]) -> Drawn:
    return Drawn(*(np.concatenate([getattr(p, k) for p in parts]) for k in Drawn.__dataclass_fields__))


def _sampled(setup: Setup, seeds: Sequence[int], progress: Progress | None) -> Drawn:
    """Samples side by side: what the sky does is made once for all."""
    told, clock = progress or (lambda *_: None), setup.scenario.clock
    setups, spec = [reseeded(setup, seed) for seed in seeds], setup.scenario.spec
    quiet = spec.model_copy(update={"couplings": spec.couplings.model_copy(update={"faults": False})})
    calm = replace(setup, scenario=replace(setup.scenario, spec=quiet))
    states: list[Any] = [None] * len(seeds)
    orbit, ground, tokens = np.zeros((3, len(seeds)))
    out, pairs = np.array([s.output_tokens for s in setup.work.services]), None
    hours = clock.step_s / HOUR_S
    for first, time_s in clock.windows(window(setup)):
        sky = block(calm, first, time_s, pairs)
        pairs = sky.mesh_pairs
        for n, one in enumerate(setups):
            ahead = redrawn(one, sky)
            states[n] = start(one, ahead) if states[n] is None else states[n]
            for i in range(len(time_s)):
                states[n], tick = step(one, states[n], ahead, i)
                orbit[n] += tick.capacity.reach.sum() * hours
                ground[n] += ahead.working[i, one.hosts.ships :].sum() * hours
                if tick.served is not None and out.size:
                    tokens[n] += float((out @ tick.served.by_host).sum())
            done = first * len(seeds) + (n + 1) * len(time_s)
            told("samples", done, clock.ticks * len(seeds), f"{clock.date(float(time_s[-1])):%Y-%m-%d %H:%M}")
    return Drawn(orbit, ground, tokens)


def calendar(setup: Setup) -> list[Event]:
    """Eclipses, passes through the anomaly, times in which some gateway sees the ship, and reboosts, by ship and time."""
    names = setup.fleet.name
    if not names:
        return []
    spec, duration_s = setup.scenario.spec, setup.scenario.clock.duration_s
    clock = Clock(spec.start, SKY_S, max(1, round(duration_s / SKY_S)))
    threshold = spec.environment.anomaly_flux
    limit = setup.scenario.value("radiation.anomaly_flux") if threshold is None else threshold
    searches = {"eclipse": Search(0.5, above=False), "anomaly": Search(limit), "contact": Search(0.5)}
    for _, time_s in clock.windows(WINDOW):
        track = motion.propagate(setup.ships_ready, time_s, setup.julian)
        flux = radiation.exposure(track.fixed_m, setup.shielding, limit).proton_flux_cm2_s
        gateways = np.array([_gateways(setup, at) for at in track.fixed_m])
        for kind, values in (("eclipse", sun.light(track, setup.julian).lit), ("anomaly", flux), ("contact", gateways)):
            searches[kind].add(time_s, values)
    events = [
        Event(kind, names[int(k)], float(a), float(b), float(v))
        for kind, search in searches.items()
        for found in (search.found(),)
        for k, a, b, v in zip(found.subject, found.start_s, found.end_s, found.value, strict=True)
    ]
    return sorted([*events, *_reboosts(setup, duration_s)], key=lambda e: (e.subject, e.start_s, e.kind))


def _gateways(setup: Setup, fixed_m: Floats) -> Floats:
    """How many gateways see each ship over their least elevation (K,)."""
    seen = visibility.seen(setup.gateways.horizon, visibility.sky(fixed_m))
    return np.bincount(seen.satellite, minlength=len(fixed_m)).astype(np.float64)


def _reboosts(setup: Setup, duration_s: float) -> list[Event]:
    """When ships are raised again."""
    if not setup.scenario.spec.couplings.manoeuvres:
        return []
    made = setup.manoeuvres
    return [
        Event(
            o.cause,
            setup.fleet.name[o.subject],
            o.start_s,
            min(o.end_s, duration_s),
            float(made.delta_v_m_s[o.subject]),
        )
        for o in made.planned
    ]


def _of_kind(events: Sequence[Event], kind: str, duration_s: float, ships: int) -> dict[str, float]:
    lengths = np.array([e.end_s - e.start_s for e in events if e.kind == kind])
    share = float(lengths.sum()) / (duration_s * ships) if ships else 0.0
    return {"count": len(lengths), "hours": float(lengths.sum()) / HOUR_S, "longest_s": float(lengths.max(initial=0.0)), "mean_share": share}  # fmt: skip


def _ships(setup: Setup, events: Sequence[Event], duration_s: float) -> list[dict[str, Any]]:
    """Of each ship: how many of each kind, and what share of the time."""
    sums: dict[tuple[str, str], list[float]] = {}
    for e in events:
        kept = sums.setdefault((e.subject, e.kind), [0.0, 0.0])
        kept[0], kept[1] = kept[0] + 1, kept[1] + e.end_s - e.start_s
    return [
        {"ship": name} | {f"{kind}s": int(sums.get((name, kind), [0, 0])[0]) for kind in KINDS}
        | {f"{kind}_share": sums.get((name, kind), [0, 0.0])[1] / duration_s for kind in KINDS}
        for name in setup.fleet.name
    ]  # fmt: skip


def write(setup: Setup, events: Sequence[Event], path: Path) -> None:
    """The calendar as a file: kind, ship, begin and end as dates and in seconds, and the value."""
    from pyarrow import csv, parquet  # neither is needed without a file

    clock = setup.scenario.clock
    table = pa.table({
        "kind": [e.kind for e in events], "ship": [e.subject for e in events], "start": [clock.date(e.start_s).isoformat(timespec="seconds") for e in events],
        "end": [clock.date(e.end_s).isoformat(timespec="seconds") for e in events], "start_s": [e.start_s for e in events],
        "end_s": [e.end_s for e in events], "value": [e.value for e in events],
    })  # fmt: skip
    part = path.with_name(f".{path.name}.part")
    with sinks.writing(path):
        if path.suffix == ".csv":
            csv.write_csv(table, part)
        else:
            parquet.write_table(table, part)
        part.replace(path)
