"""What a study may vary: paths of the scenario and sourced assumptions by name, with their units and limits."""

from __future__ import annotations

import math
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np
from pydantic import BaseModel
from pydantic_core import PydanticCustomError

from aether.base.errors import InputError, Problem, unknown
from aether.base.provenance import Assumption
from aether.base.spread import Distribution
from aether.base.tables import Floats
from aether.scenario import catalog as parts
from aether.scenario.catalog import Catalog, General
from aether.scenario.load import Scenario, changed
from aether.scenario.quantity import Sourced, Unit
from aether.scenario.spec import Spec

PLAIN = {float: "1", int: "1", bool: "", str: ""}


@dataclass(frozen=True)
class Leaf:
    """Where a name leads: what may stand there.

    of: "scenario" for a path of the file, "assumption" for a sourced number. unit: of it, "" for words. value: what stands there
    now, None where nothing does.
    """

    name: str
    of: Literal["scenario", "assumption"]
    unit: str
    limits: Unit | None
    whole: bool
    value: float | None
    sourced: Assumption | None = None

    def read(self, given: object) -> float:
        """A number in the unit, within the limits; ValueError in words otherwise."""
        if self.limits is not None:
            try:
                return self.limits.read(given)
            except PydanticCustomError as error:
                raise ValueError(error.message()) from error
        if isinstance(given, bool) or not isinstance(given, int | float | str):
            raise ValueError(f"expected a number, got {given!r}")
        number = float(given)
        if not math.isfinite(number):
            raise ValueError(f"expected a finite number, got {given!r}")
        return number


@dataclass(frozen=True)
class Input:
    """A variable of a study: how it is spread, and what a number of it is in the scenario."""

    leaf: Leaf
    spread: Distribution
    words: tuple[Any, ...] = ()  # of choices that are no numbers, by their index
    steps: int = 5  # of a grid

    @property
    def name(self) -> str:
        """As the study's file calls it."""
        return self.leaf.name

    @property
    def unit(self) -> str:
        """SI unit; "" for words."""
        return "" if self.words else self.leaf.unit

    def levels(self) -> Floats:
        """Its values on a grid (n,)."""
        made = self.spread
        if made.kind == "choice":
            return np.array(made.choices)
        ends = replace(made, kind="log-uniform" if made.kind.startswith("log-") else "uniform")
        return ends.ppf(np.linspace(0.0, 1.0, self.steps))

    def settled(self, drawn: Floats) -> Floats:
        """Draws as they can stand in a scenario: whole where it counts."""
        return drawn.round() if self.leaf.whole and not self.words else drawn

    def text(self, value: float) -> Any:
        """A number of it as a scenario file has it."""
        if self.words:
            return self.words[int(value)]
        if self.leaf.whole:
            return round(value)
        return float(value) if self.leaf.unit == "1" else f"{float(value)!r} {self.leaf.unit}"


def leaf(name: str, scenario: Scenario, path: str = "") -> Leaf:
    """Where a name leads: a general assumption, a path of the scenario, or a field of a part, as "starship.price".

    Raises InputError with the nearest name for one that leads nowhere. path: of the name in the study's file, for the message.
    """
    catalog, bare = scenario.catalog, name.removeprefix("assumptions.")
    if bare in catalog.kind("assumptions"):
        part = catalog.get("assumptions", bare)
        made = parts.general(part)
        return Leaf(bare, "assumption", part.unit, part.quantity(), False, made.value, made)
    steps = name.replace("[", ".").replace("]", "").split(".")
    if steps[0] in Spec.model_fields:
        return _walked(name, steps, scenario, path)
    owner, _, field = name.rpartition(".")
    found = _field(catalog, owner, field)
    if found is None:
        raise InputError(
            unknown(path, "variable", name, [*Spec.model_fields, *catalog.kind("assumptions"), *_used(scenario)])
        )
    unit, value = found
    return Leaf(name, "assumption", unit.unit, unit, False, None if value is None else value.value, value)


def _used(scenario: Scenario) -> Iterator[str]:
    """Names of the sourced numbers of a scenario's ships and their parts, for messages."""
    for group in scenario.spec.ships:
        ship, catalog = scenario.ship(group), scenario.catalog
        for part in (ship, catalog.accelerator(ship.accelerator), catalog.array(ship.array), catalog.battery(ship.battery),
                     catalog.radiator(ship.radiator), catalog.terminal(ship.terminal), catalog.launcher(ship.launcher)):  # fmt: skip
            yield from (a.name for a in part.assumptions())


def _field(catalog: Catalog, owner: str, field: str) -> tuple[Unit, Assumption | None] | None:
    """The unit of a part's sourced field, and its value if it has one; None where there is none of that name."""
    try:
        part = parts.find_part(catalog, owner)
    except InputError:
        return None
    info = type(part).model_fields.get(field)
    marks = [] if info is None else [*info.metadata, *_marks(info.annotation)]
    unit = next((m.unit for m in marks if isinstance(m, Sourced)), None)
    return None if unit is None else (unit, getattr(part, field))


def _members(annotation: Any) -> list[Any]:
    """What an annotation may be, None aside."""
    if get_origin(annotation) in (Union, types.UnionType):
        return [m for a in get_args(annotation) for m in _members(a) if m is not type(None)]
    return [annotation]


def _marks(annotation: Any) -> list[Any]:
    return [m for a in _members(annotation) if get_origin(a) is Annotated for m in a.__metadata__]


def _walked(name: str, steps: Sequence[str], scenario: Scenario, path: str) -> Leaf:
    """The leaf at the end of a path of the scenario."""
    here: Any = Spec
    marks: list[Any] = []
    value: Any = scenario.spec
    for i, step in enumerate(steps):
        told = ".".join(steps[:i])
        options = _members(here)
        listed = next((o for o in options if get_origin(o) is tuple), None)
        model = next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), None)
        if listed is not None:
            if not step.isdigit() or int(step) >= len(value or ()):
                raise InputError(Problem(path, f"'{step}' is no place in {told}, a list of {len(value or ())}"))
            here, marks, value = get_args(listed)[0], [], value[int(step)]
        elif model is not None:
            if step not in model.model_fields:
                raise InputError(unknown(path, "key", name, [".".join([*steps[:i], k]) for k in model.model_fields]))
            info = model.model_fields[step]
            here, marks, value = info.annotation, [*info.metadata, *_marks(info.annotation)], getattr(value, step, None)
        else:
            raise InputError(Problem(path, f"'{told}' is a value and holds no '{step}'"))
    return _end(name, here, marks, value, path)


def _end(name: str, here: Any, marks: Sequence[Any], value: Any, path: str) -> Leaf:
    base = [get_args(o)[0] if get_origin(o) is Annotated else o for o in _members(here)]
    if any((isinstance(b, type) and issubclass(b, BaseModel)) or get_origin(b) in (tuple, dict) for b in base):
        raise InputError(Problem(path, f"'{name}' is no single value", next="Name one inside it"))
    limits = next((m for m in marks if isinstance(m, Unit)), None)
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    unit = limits.unit if limits is not None else next((PLAIN[b] for b in base if b in PLAIN), "")
    return Leaf(name, "scenario", unit, limits, int in base, number)


def apply(scenario: Scenario, inputs: Sequence[Input], values: Sequence[float]) -> Scenario:
    """The scenario with inputs at values: paths set, general assumptions and fields of parts changed."""
    paths: dict[str, Any] = {}
    fields: dict[str, float] = {}
    for made, value in zip(inputs, values, strict=True):
        if made.leaf.of == "scenario":
            paths[made.name] = made.text(value)
        elif made.name in scenario.catalog.kind("assumptions"):
            paths[f"assumptions.{made.name}"] = made.text(value)
        else:
            fields[made.name] = value
    moved = changed(scenario, paths) if paths else scenario
    return replace(moved, catalog=_with(moved.catalog, fields)) if fields else moved


def _with(catalog: Catalog, fields: dict[str, float]) -> Catalog:
    """The catalog with other values of parts' fields."""
    kinds = dict(catalog.parts)
    for name, value in fields.items():
        owner, _, field = name.rpartition(".")
        part = parts.find_part(catalog, owner)
        kind = next(k for k, t in parts.KINDS.items() if type(part) is t and t is not General)
        before = getattr(kinds[kind][owner], field)
        made = (
            Assumption(name, value, "", "a variable of the study") if before is None else replace(before, value=value)
        )
        kinds[kind] = kinds[kind] | {owner: kinds[kind][owner].model_copy(update={field: made})}
    return Catalog(kinds)
