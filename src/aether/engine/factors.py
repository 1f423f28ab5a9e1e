"""What a ship delivers by date of the year and age, measured by runs of the engine itself."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np

from aether.base.tables import Factors, Floats
from aether.engine.assemble import assemble
from aether.engine.run import Progress, play
from aether.engine.totals import Totals
from aether.scenario.load import Scenario
from aether.scenario.spec import Couplings, Ground, Outputs, Relays, ShipGroup

YEAR_S = 365.25 * 86400.0  # Julian year
DATES = 8  # of a year: a season of eclipses of 93 days has two of them at least
STEP_S, DAY_S = 600.0, 86400.0  # a day at ten minutes differs from one at a minute by less than a point
PLANES = 6  # of a shell that are followed, evenly round the Earth
AGES = 3  # new, half way, at the end
RELAY: dict[str, Any] = {
    "shells": [{"shell": {"planes": 1, "per_plane": 1, "altitude": "550 km", "inclination": "53 deg"}}]
}
GROUND: dict[str, Any] = {
    "gateways": {"operational": False}, "cities": {"largest": 0}, "coverage_cells": 0,
}  # fmt: skip


def measure(scenario: Scenario, life_s: float, progress: Progress | None = None) -> Factors:
    """Factors of a scenario's groups: one new, one middle-aged and one old ship of each through a day at dates of the year.

    factor = compute that power, heat and radiation leave / compute installed, summed over a day; real runs of the engine,
    so that eclipse, battery and throttle, and ageing, hot radiators and throttle, act together. Nothing fails and no
    network is there: its losses are some hundredths of a per cent where the mesh is dense.

    life_s: age of the old one [s]. Returns Factors (G, D, A). Raises InputError as `assemble`.
    """
    ages_s = np.linspace(0.0, life_s, AGES)
    dates_s = np.asarray(np.arange(DATES) * (YEAR_S / DATES), np.float64)
    day = _day(scenario, ages_s)
    told, runs = progress or (lambda *_: None), []
    for i, date_s in enumerate(dates_s):
        start = day.spec.start + timedelta(seconds=float(date_s))
        runs.append(play(assemble(replace(day, spec=day.spec.model_copy(update={"start": start}))), network=False))
        told("factors", i + 1, DATES, f"{start:%Y-%m-%d}")
    counts = [ship.count for ship in day.spec.ships]
    first, shape = np.cumsum([0, *counts[:-1]]), (DATES, len(scenario.spec.ships), AGES)

    def table(of: Callable[[Totals], Floats]) -> Floats:
        rows = [np.add.reduceat(of(run), first) / counts for run in runs]
        return np.ascontiguousarray(np.stack(rows).reshape(shape).swapaxes(0, 1))

    def mean(name: str) -> Floats:
        return table(lambda run: run.ships.sums[name] / run.ticks)

    share = table(lambda run: run.ships.sums["radiation"] / run.ships.sums["installed"])
    return Factors(dates_s, ages_s, share, mean("bus_w"), mean("gpu_w"), mean("dose_rad_s"))


def at(table: Floats, factors: Factors, dates_s: Floats, ages_s: Floats) -> Floats:
    """A table of Factors at dates and ages: linear in both, round the year, held beyond the last age.

    table: (G, D, A). dates_s: (M,) from the start, any year. ages_s: (B,). Returns (G, M, B).
    """
    place = (np.asarray(dates_s) % YEAR_S) / YEAR_S * len(factors.dates_s)
    low = place.astype(np.int64) % len(factors.dates_s)
    share = (place - np.floor(place))[None, :, None]
    by_date = table[:, low] * (1.0 - share) + table[:, (low + 1) % len(factors.dates_s)] * share
    old = np.clip(ages_s, 0.0, factors.ages_s[-1])
    right = np.clip(np.searchsorted(factors.ages_s, old, "left"), 1, len(factors.ages_s) - 1)
    span = factors.ages_s[right] - factors.ages_s[right - 1]
    part = np.divide(old - factors.ages_s[right - 1], span, out=np.zeros_like(old), where=span > 0.0)
    return np.asarray(by_date[..., right - 1] * (1.0 - part) + by_date[..., right] * part)


def _day(scenario: Scenario, ages_s: Floats) -> Scenario:
    """The scenario's ships alone, one of each group and age, through a day."""
    spec = scenario.spec
    ships = tuple(_alone(group, number, float(age)) for number, group in enumerate(spec.ships) for age in ages_s)
    on = spec.couplings.model_copy(update={"faults": False, "acquisition": False, "access": False, "flows": False})
    update: dict[str, Any] = {
        "start": spec.lifetime.start or spec.start, "ships": ships, "relays": Relays.model_validate(RELAY),
        "ground": Ground.model_validate(GROUND), "couplings": Couplings.model_validate(on.model_dump()),
        "outputs": Outputs(ablation=False, report=False, requests=False), "duration": DAY_S, "step": STEP_S,
    }  # fmt: skip
    idle = ("sites", "workloads", "jobs", "degrading", "events", "probes")
    update |= dict.fromkeys(idle, ()) | {"watch": None}
    return replace(scenario, spec=spec.model_copy(update=update), data=copy.deepcopy(scenario.data))


def _alone(group: ShipGroup, number: int, age_s: float) -> ShipGroup:
    """One ship of a group, of an age, alone on its orbit; of a shell one in each of some planes, which see the Sun otherwise."""
    orbit, count = group.orbit, 1
    if orbit.walker is not None:
        count = min(orbit.walker.planes, PLANES)
        alone = {"planes": count, "per_plane": 1, "phasing": 0.0, "odd_plane_offset": 0.0}
        orbit = orbit.model_copy(update={"walker": orbit.walker.model_copy(update=alone)})
    update = {"name": f"{number}-{age_s:.0f}", "count": count, "age": age_s, "orbit": orbit}
    return group.model_copy(update=update)
