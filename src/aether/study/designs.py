"""Designs of a scenario: what may be chosen, what a choice comes to in a run of the twin, and what it is short of."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, ValidationError

from aether.base.errors import InputError, Problem, unknown
from aether.base.spread import Distribution
from aether.base.units import fmt
from aether.engine.assemble import Setup, assemble
from aether.engine.run import play
from aether.engine.summary import summary
from aether.scenario import catalog as parts
from aether.scenario import document
from aether.scenario.load import Scenario
from aether.scenario.strict import Strict
from aether.space import sizing
from aether.study import study_file
from aether.study.inputs import Input, apply, leaf
from aether.study.study_file import Variable
from aether.study.study_points import output

KWH_J = 3.6e6  # definition
OBJECTIVES = {  # name: where a run tells it, its unit, and whether more is better
    "cost": ("cost.orbit.usd_per_gpu_hour.nominal", "USD per GPU-hour", False),
    "mass": ("fleet.mass_kg", "kg", False),
    "delivered": ("waterfall.deliverable.gpu_hours", "GPU-hours", True),
    "carbon": ("footprint.orbit.carbon_per_gpu_hour_kg", "kg per GPU-hour", False),
}
QUIET: dict[str, Any] = {  # a day of the ships alone: what they can deliver does not wait for anybody to ask
    "duration": "24 h", "step": "10 min", "workloads": [], "jobs": [], "events": [], "degrading": [], "watch": None, "probes": [],
    "ground.coverage_cells": 0, "outputs.ablation": False, "outputs.report": False, "outputs.requests": False,
}  # fmt: skip
AROUND = {  # of the ship's own value, what is searched by default: wide enough that every packaged ship can be made to fall short of nothing
    "gpus": (0.5, 2.0), "count": (0.75, 1.25), "array.area": (0.7, 2.0), "radiator.area": (0.7, 2.0), "battery.energy": (0.5, 8.0),
}  # fmt: skip
ALTITUDE_M = (
    450e3,
    1200e3,
)  # below, drag takes the propellant of years; above, protons of the inner belt take the chips
NODE_S = (15 * 3600.0, 18 * 3600.0)  # from mid-afternoon to dusk; the dawn side mirrors it
COOLER_K, WARMER_K = 20.0, 10.0  # a loop than the ship's own: colder needs more radiator, warmer is hotter chips
MORE_TERMINALS = 2  # than the ship's own


class DesignVariable(Variable):
    """What may be chosen, from low to high or among values; with `per` it grows with another variable."""

    per: str | None = Field(
        None, description="another variable: low and high are for its value in the scenario, and go with it"
    )


class DesignFile(Strict):
    """The variables of an optimisation."""

    variables: dict[str, DesignVariable] = Field(min_length=1)


@dataclass(frozen=True)
class Choice:
    """A variable of a design: what is chosen, and what it stands for in the scenario."""

    input: Input
    own: float | None  # the scenario's own value
    per: str | None = None
    per_own: float = 1.0

    @property
    def name(self) -> str:
        """As the scenario calls it."""
        return self.input.name

    def value(self, chosen: Mapping[str, float]) -> float:
        """What stands in the scenario: grown with what it goes with."""
        grown = 1.0 if self.per is None else chosen[self.per] / self.per_own
        return chosen[self.name] * grown

    def told(self, value: float) -> str:
        """A value in words."""
        return str(self.input.text(value)) if self.input.words else fmt(value, self.input.unit or "1")


@dataclass(frozen=True)
class Design:
    """What a choice came to: objectives in their order, what it is short of, and that over what it has, summed."""

    objectives: tuple[float, ...]
    short: float
    shortfalls: tuple[dict[str, Any], ...]
    problem: str = ""


def read(path: Path, scenario: Scenario) -> tuple[Choice, ...]:
    """The choices of a file of variables; InputError with every problem found."""
    text = document.read(path)
    try:
        spec = DesignFile.model_validate(text.data if isinstance(text.data, dict) else {})
    except ValidationError as error:
        raise InputError(parts.explain(error, DesignFile, text)) from error
    problems: list[Problem] = []
    inputs = study_file.read(spec.variables, text, scenario, problems)
    names = [i.name for i in inputs]
    setup = assemble(scenario)
    made = []
    for one in inputs:
        asked = spec.variables[one.name]
        if asked.per is not None and (asked.per not in names or asked.per == one.name):
            told = unknown("", "variable", asked.per, [n for n in names if n != one.name])
            problems.append(text.problem(("variables", one.name, "per"), told.what, told.nearest, told.next))
        own = own_value(one, setup)
        per = next((i for i in inputs if i.name == asked.per), None)
        scale = None if per is None else own_value(per, setup)
        if per is not None and scale is None:
            problems.append(
                text.problem(("variables", one.name, "per"), f"the scenario has no value of {per.name} to go by")
            )
        made.append(Choice(one, own, asked.per, scale or 1.0))
    if problems:
        raise InputError(problems)
    return tuple(made)


def own_value(one: Input, setup: Setup) -> float | None:
    """What a scenario has: as written, or as its ship is sized."""
    if one.leaf.value is not None:
        return one.leaf.value
    steps = one.name.split(".")
    if steps[0] == "ships" and len(steps) > 2:
        made = setup.budgets[int(steps[1])]
        return _sized(made).get(".".join(steps[2:]))
    if steps[-1] == "coolant_limit":
        ship = setup.scenario.catalog.ship(".".join(steps[:-1]))
        return setup.scenario.catalog.accelerator(ship.accelerator).coolant_limit.value
    return None


def _sized(made: sizing.Budget) -> dict[str, float]:
    return {
        "gpus": made.ship.gpus, "array.area": made.array_area_m2, "radiator.area": made.radiator_area_m2, "battery.energy": made.battery_j,
        "terminals": made.ship.terminals, "neighbour_terminals": made.ship.neighbour_terminals,
    }  # fmt: skip


def default(scenario: Scenario) -> tuple[Choice, ...]:
    """Altitude, ring, ship size, radiator and its temperature, array, battery, spare ships and terminals of the group with most GPUs.

    Raises InputError for a scenario without ships.
    """
    spec = scenario.spec
    if not spec.ships:
        raise InputError(Problem("ships", "there is no ship to design", next="Give a scenario with ships"))
    setup = assemble(scenario)
    number = max(range(len(spec.ships)), key=lambda i: spec.ships[i].count * setup.budgets[i].ship.gpus)
    group, made, at = spec.ships[number], setup.budgets[number], f"ships.{number}"
    ranges: dict[str, tuple[float, float]] = {}
    flies = group.orbit.ring or group.orbit.cluster
    if flies is not None:
        orbit = f"{at}.orbit.{'ring' if group.orbit.ring else 'cluster'}"
        ranges[f"{orbit}.altitude"] = ALTITUDE_M
        ranges[f"{orbit}.node_local_time"] = NODE_S
        ranges[f"{at}.count"] = _around(group.count, "count")
    for key, own in _sized(made).items():
        if key in AROUND:
            ranges[f"{at}.{key}"] = _around(own, key)
    ranges[f"{at}.terminals"] = (1, made.ship.terminals + MORE_TERMINALS)
    if made.ship.neighbour_terminals:
        ranges[f"{at}.neighbour_terminals"] = (0, made.ship.neighbour_terminals + MORE_TERMINALS)
    limit = f"{group.ship}.coolant_limit"
    loop_k = own_value(Input(leaf(limit, scenario), Distribution("uniform")), setup) or 0.0
    ranges[limit] = (loop_k - COOLER_K, loop_k + WARMER_K)
    per = f"{at}.gpus"
    choices = []
    for name, (low, high) in ranges.items():
        found = leaf(name, scenario)
        low, high = (round(low), round(high)) if found.whole else (low, high)
        one = Input(found, Distribution("uniform", low, 0.5 * (low + high), high))
        grows = per if name.rpartition(".")[2] in ("area", "energy") else None
        choices.append(Choice(one, own_value(one, setup), grows, float(made.ship.gpus) if grows else 1.0))
    return tuple(choices)


def _around(own: float, key: str) -> tuple[float, float]:
    low, high = AROUND[key]
    return (
        max(1.0, low * own) if key in ("gpus", "count") else low * own,
        max(high * own, own + 1.0 if key == "count" else 0.0),
    )


def evaluate(
    scenario: Scenario, choices: Sequence[Choice], objectives: Sequence[str], chosen: Mapping[str, float] | None
) -> Design:
    """A run of the twin with a choice, or with the scenario as it is where none is made."""
    try:
        made = scenario
        if chosen is not None:
            inputs = [c.input for c in choices]
            made = apply(scenario, inputs, [float(c.input.settled(np.array(c.value(chosen)))) for c in choices])
        setup = assemble(made)
        totals = play(setup)
        told = summary(setup, totals)
        about = _designed(choices, setup)
        found = tuple(_relative(row, setup) for row in told["shortfalls"] if row["group"] in about)
        values = [output(told, OBJECTIVES[name][0]) for name in objectives]
    except InputError as error:
        return Design((float("nan"),) * len(objectives), float("inf"), (), str(error.problems[0]))
    return Design(tuple(values), float(sum(row["relative"] for row in found)), found)


def _designed(choices: Sequence[Choice], setup: Setup) -> set[str]:
    """Groups that the choices are about; others fall short whatever is chosen."""
    groups = setup.scenario.spec.ships
    names = [c.name for c in choices]
    return {
        g.name for i, g in enumerate(groups) if any(n.startswith((f"ships.{i}.", f"{g.ship}.")) for n in names)
    } or {g.name for g in groups}  # fmt: skip


def _relative(row: Mapping[str, Any], setup: Setup) -> dict[str, Any]:
    """A shortfall with its size over what is there."""
    number = next((i for i, g in enumerate(setup.scenario.spec.ships) if g.name == row["group"]), None)
    have = 1.0
    if number is not None:
        k = int(np.flatnonzero(setup.group == number)[0])
        fleet = setup.fleet
        have = {
            "radiator": fleet.radiator_area_m2[k],
            "array": fleet.array_rated_w[k],
            "battery": fleet.battery_j[k] / KWH_J,
        }.get(row["part"], 1.0)
    relative = (
        float(row["short"] / have) if np.isfinite(row["short"]) and have > 0.0 else 10.0
    )  # no size is enough: as bad as ten times over
    return {
        "group": row["group"],
        "part": row["part"],
        "short": row["short"],
        "unit": row["unit"],
        "relative": relative,
        "words": row["words"],
    }


def work(blob: bytes, chosen: Mapping[str, float]) -> Design:
    """What a choice comes to, in a process of its own. blob: scenario, choices and objectives, pickled."""
    return evaluate(*_unpacked(blob), chosen)


@lru_cache(maxsize=2)
def _unpacked(blob: bytes) -> tuple[Scenario, tuple[Choice, ...], tuple[str, ...]]:
    made: tuple[Scenario, tuple[Choice, ...], tuple[str, ...]] = pickle.loads(blob)
    return made
