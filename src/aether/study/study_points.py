"""What a study tells of a point: one run of the twin, and prices and carbon drawn in vectors upon it."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from aether.base.errors import InputError, Problem, unknown
from aether.base.provenance import Assumption
from aether.base.tables import Floats, Ints
from aether.economics.boundary import ATTRITION, Value, nominal
from aether.economics.cost import Amount
from aether.engine.assemble import assemble
from aether.engine.run import Progress, play
from aether.engine.summary import summary
from aether.engine.verdict import YEAR_S, Side, sides
from aether.scenario.load import Scenario
from aether.study.inputs import Input, apply
from aether.study.watch import watched

Figure = Callable[[Side, Value, float], Amount]  # of a side, a Value and the run's length in years
DEFAULT = (
    "cost.orbit.usd_per_gpu_hour.nominal", "cost.ground.usd_per_gpu_hour.nominal", "cost.ratio.nominal",
    "waterfall.deliverable.share", "footprint.orbit.carbon_per_gpu_hour_kg", "footprint.ground.carbon_per_gpu_hour_kg",
)  # fmt: skip


def _over(usd: Amount, hours: float) -> Amount:
    """An amount over hours; nothing to tell where there are none."""
    return usd / hours if hours > 0.0 else np.nan


def _carbon_kg(side: Side, value: Value, years: float) -> Amount:
    return sum(f.kg_year for f in side.footprints(value)) * years


MONEY: dict[str, Figure] = {  # of the summary's cost and footprint, what can be told for draws at once
    "cost.{}.usd_year": lambda s, v, _: s.usd_year(v),
    "cost.{}.usd_per_gpu_hour.nominal": lambda s, v, _: s.per_gpu_hour(v),
    "cost.{}.usd_per_pflop_hour.nominal": lambda s, v, _: _over(s.usd_year(v), s.pflop_deliverable_h),
    "cost.{}.usd_per_mtoken.nominal": lambda s, v, _: _over(s.per_gpu_hour(v) * s.inference_h, s.mtokens),
    "cost.{}.usd_per_installed_gpu_hour": lambda s, v, _: _over(s.usd_year(v), s.installed_h),
    "cost.{}.usd_per_delivered_gpu_hour": lambda s, v, _: _over(s.usd_year(v), s.delivered_h),
    "footprint.{}.carbon_kg": _carbon_kg,
    "footprint.{}.carbon_per_gpu_hour_kg": lambda s, v, _: _over(_carbon_kg(s, v, 1.0), s.deliverable_h),
    "footprint.{}.water_kg": lambda s, v, years: sum(f.water_kg_year for f in s.footprints(v)) * years,
    "footprint.{}.burnt_kg_year": lambda s, v, _: sum(f.burnt_kg_year for f in s.footprints(v)),
}
RATIO = "cost.ratio.nominal"
DRAWN = (RATIO, *(path.format(side) for side in ("orbit", "ground") for path in MONEY))


@dataclass(frozen=True)
class Run:
    """What one run of the twin leaves for prices to be laid upon."""

    orbit: Side
    ground: Side
    known: dict[str, Assumption]
    summary: dict[str, Any]

    @property
    def years(self) -> float:
        """Length of the run."""
        return float(self.summary["duration_s"]) / YEAR_S

    def asked(self) -> set[str]:
        """Names of the assumptions that money and carbon alone rest on; what the engine takes too is not among them."""
        seen: set[str] = set()
        look = nominal(self.known)

        def value(name: str) -> Amount:
            seen.add(name)
            return look(name)

        for side in (self.orbit, self.ground):
            try:
                side.usd_year(value), side.footprints(value)
            except InputError:
                return set()  # a price is missing: the run says so
        return seen - set(ATTRITION)


@dataclass(frozen=True)
class Group:
    """Points that one run of the twin serves: the inputs that it takes, and draws of prices (N,) upon it."""

    variant: int
    values: tuple[float, ...]
    point: Ints  # (N,) their numbers
    money: Mapping[str, Floats]


@dataclass(frozen=True)
class Told:
    """What points came to: outputs (N, O), NaN where a problem stands instead."""

    point: Ints
    outputs: Floats
    problems: tuple[str, ...]


def run(scenario: Scenario, progress: Progress | None = None) -> Run:
    """Run the twin once; InputError for what only shows when the fleet is assembled."""
    setup = assemble(scenario)
    if scenario.spec.watch is not None:
        setup, _ = watched(setup, progress)
    totals = play(setup, progress)
    return Run(*sides(setup, totals), summary(setup, totals))


def output(told: Mapping[str, Any], path: str) -> float:
    """The number at a dotted path of a summary; NaN where it holds none.

    Raises InputError with the nearest path for one that leads nowhere.
    """
    here: Any = told
    for step in (s for s in re.split(r"[.\[\]]+", path) if s):
        if isinstance(here, Mapping) and step in here:
            here = here[step]
        elif isinstance(here, list) and step.isdigit() and int(step) < len(here):
            here = here[int(step)]
        else:
            raise InputError(unknown("outputs", "output", path, numbers(told)))
    if here is None:
        return float("nan")
    if isinstance(here, bool) or not isinstance(here, int | float):
        raise InputError(Problem("outputs", f"'{path}' is no number", next="Name one inside it"))
    return float(here)


def numbers(told: Mapping[str, Any], path: str = "") -> list[str]:
    """Dotted paths of all numbers of a summary."""
    found: list[str] = []
    rows = told.items() if isinstance(told, Mapping) else enumerate(told)
    for key, value in rows:
        here = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping | list):
            found += numbers(value, here)  # type: ignore[arg-type]
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found.append(here)
    return found


def defaults(told: Mapping[str, Any]) -> tuple[str, ...]:
    """The outputs of a study that names none: those that its run has."""
    known = set(numbers(told))
    return tuple(path for path in DEFAULT if path in known)


def outputs(made: Run, paths: Sequence[str], money: Mapping[str, Floats], count: int) -> Floats:
    """Outputs of a run (N, O): of draws of prices (N,) in vectors, and as the run told them otherwise.

    Raises InputError for an unknown path, and for one of cost or carbon that cannot be told for draws.
    """
    told = np.empty((count, len(paths)))
    value = nominal(made.known, money)
    for i, path in enumerate(paths):
        if money and path.startswith(("cost.", "footprint.")):
            told[:, i] = drawn(made, path, value)
        else:
            told[:, i] = output(made.summary, path)
    return told


def drawn(made: Run, path: str, value: Value) -> Amount:
    """One output of cost or carbon, of a Value that may give draws (N,)."""
    if path == RATIO:
        return made.orbit.per_gpu_hour(value) / made.ground.per_gpu_hour(value)
    if path not in DRAWN:
        raise InputError(unknown("outputs", "output of cost or carbon for draws of prices", path, DRAWN))
    head, side, rest = path.split(".", 2)
    figure = MONEY[f"{head}.{{}}.{rest}"]
    return figure(made.orbit if side == "orbit" else made.ground, value, made.years)


def evaluate(scenario: Scenario, inputs: Sequence[Input], paths: Sequence[str], group: Group) -> Told:
    """What the points of a group come to: the twin at the inputs' values, then the draws upon it."""
    count = len(group.point)
    try:
        made = run(apply(scenario, inputs, group.values))
        return Told(group.point, outputs(made, paths, group.money, count), ("",) * count)
    except InputError as error:
        return Told(group.point, np.full((count, len(paths)), np.nan), (str(error.problems[0]),) * count)


def work(blob: bytes, groups: Sequence[Group]) -> Told:
    """What some groups come to, in a process of its own. blob: from `packed`."""
    scenarios, inputs, paths = _unpacked(blob)
    told = [evaluate(scenarios[g.variant], inputs, paths, g) for g in groups]
    return Told(
        np.concatenate([t.point for t in told]), np.concatenate([t.outputs for t in told]),
        tuple(p for t in told for p in t.problems),
    )  # fmt: skip


def packed(scenarios: Sequence[Scenario], inputs: Sequence[Input], paths: Sequence[str]) -> bytes:
    """All that is alike for every point, for processes that may run on other machines."""
    return pickle.dumps((tuple(scenarios), tuple(inputs), tuple(paths)))


@lru_cache(maxsize=2)
def _unpacked(blob: bytes) -> tuple[tuple[Scenario, ...], tuple[Input, ...], tuple[str, ...]]:
    made: tuple[tuple[Scenario, ...], tuple[Input, ...], tuple[str, ...]] = pickle.loads(blob)
    return made
