"""A study's file: which scenario, what is varied and how, what is told; read, checked, all problems at once."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, ValidationError

from aether.base.errors import InputError, Problem, nearest
from aether.base.spread import Distribution, about
from aether.base.tables import Floats
from aether.scenario import catalog as parts
from aether.scenario import document
from aether.scenario import load as scenarios
from aether.scenario.load import Scenario
from aether.scenario.strict import Strict
from aether.study import sampling
from aether.study.inputs import Input, Leaf, apply, leaf

DRAWS = 256  # where a file does not say
MOST_NUMBERS = 200_000_000  # draws times inputs and outputs: 1.6 GB
METHODS = ("grid", "latin", "sobol", "random", "indices")
Name = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


class Variable(Strict):
    """How a value is spread: a range about a mode, or values that are alike likely."""

    low: Any = Field(None, description="least value, with its unit; for normal kinds the 10th percentile")
    mode: Any = Field(None, description="most likely value; the scenario's or the catalog's own when left out")
    high: Any = Field(None, description="largest value; for normal kinds the 90th percentile")
    distribution: Literal["triangular", "log-triangular", "uniform", "log-uniform", "normal", "log-normal"] | None = (
        Field(None, description="uniform for paths of the scenario, triangular for assumptions when left out")
    )
    values: tuple[Any, ...] | None = Field(None, min_length=1, description="instead of a range: each alike likely")
    steps: int = Field(5, ge=2, le=10_000, description="of a grid, from low to high")


class Tie(Strict):
    """Two variables that go together."""

    between: tuple[str, str] = Field(description="two names of variables")
    rank: float = Field(gt=-1, lt=1, description="their rank correlation")


class StudySpec(Strict):
    """One study."""

    name: Name
    title: str = ""
    scenario: str = Field("project-aether", description="a scenario file beside this one, or a packaged name")
    set: dict[str, Any] = Field(default_factory=dict, description="path: value, as with --set")
    duration: str | None = Field(None, description="instead of the scenario's, as '6 h'")
    step: str | None = Field(None, description="instead of the scenario's, as '10 min'")
    method: Literal["grid", "latin", "sobol", "random", "indices"] = "latin"
    samples: int | None = Field(
        None, ge=1, le=10_000_000, description="draws; of indices those of its base sample; 256 when left out"
    )
    seed: int = Field(1, ge=0, description="of the draws; the scenario keeps its own")
    variables: dict[str, Variable | Literal["range"]] = Field(
        description="path of the scenario or name of an assumption: how it is spread; range for an assumption's own"
    )
    correlations: tuple[Tie, ...] = ()
    scenarios: dict[Name, dict[str, Any]] = Field(
        default_factory=dict, description="variants, each run on all points: path: value"
    )
    outputs: tuple[str, ...] = Field(
        (), description="dotted paths of the summary; some of cost, carbon and compute when left out"
    )


@dataclass(frozen=True)
class Study:
    """A study that has been checked: what runs, and what is varied in it."""

    spec: StudySpec
    data: dict[str, Any]  # the file, as it stands
    variants: dict[str, Scenario]
    inputs: tuple[Input, ...]
    correlation: Floats | None

    @property
    def draws(self) -> int:
        """Of each variant."""
        if self.spec.method == "grid":
            return math.prod(len(i.levels()) for i in self.inputs)
        asked = self.spec.samples or DRAWS
        if self.spec.method == "indices":
            return int(2 ** math.ceil(math.log2(max(asked, 2)))) * (len(self.inputs) + 2)
        return asked

    def points(self) -> dict[str, Floats]:
        """Values of the inputs by name (N,), SI; of words their index."""
        names, spec = [i.name for i in self.inputs], self.spec
        spread = {i.name: i.spread for i in self.inputs}
        if spec.method == "grid":
            axes = np.meshgrid(*(i.levels() for i in self.inputs), indexing="ij")
            drawn = dict(zip(names, (a.ravel() for a in axes), strict=True))
        elif spec.method == "indices":
            drawn = sampling.saltelli(spread, spec.samples or DRAWS, spec.seed)
        else:
            cube = sampling.shares(spec.method, self.draws, len(names), spec.seed)
            cube = cube if self.correlation is None else sampling.tied(cube, self.correlation)
            drawn = sampling.drawn(names, spread, cube)
        return {i.name: i.settled(drawn[i.name]) for i in self.inputs}


def examples() -> dict[str, Path]:
    """The packaged studies by name."""
    folder = resources.files("aether") / "examples" / "studies"
    return {
        f.name[:-5]: Path(str(f)) for f in sorted(folder.iterdir(), key=lambda f: f.name) if f.name.endswith(".yaml")
    }


def load(source: str | Path | Mapping[str, Any], catalog: Path | None = None) -> Study:
    """The Study of a file, a packaged name or a mapping; InputError with every problem found."""
    text, base = _document(source)
    if not isinstance(text.data, dict):
        raise InputError(
            text.problem((), "a study is a mapping of keys", next="`aether study prices` runs a packaged one")
        )
    if not text.data.get("variables"):
        words = "a study needs variables: none is given"
        raise InputError(text.problem(("variables",), words, next="As variables: {cost.life_orbit: range}"))
    try:
        spec = StudySpec.model_validate(text.data)
    except ValidationError as error:
        raise InputError(parts.explain(error, StudySpec, text)) from error
    scenario = _scenario(spec, text, base, catalog)
    problems: list[Problem] = []
    variants = _variants(spec, text, scenario, problems)
    inputs = read(spec.variables, text, scenario, problems)
    correlation = _correlation(spec, text, problems) if spec.correlations else None
    problems += _sense(spec, text, inputs)
    if problems:
        raise InputError(problems)
    study = Study(spec, copy.deepcopy(text.data), variants, tuple(inputs), correlation)
    if study.draws * len(variants) * (len(inputs) + len(spec.outputs) + 1) > MOST_NUMBERS:
        told = f"{study.draws:,} points of {len(inputs)} inputs are more than memory holds"
        raise InputError(text.problem(("samples",), told, next="Take fewer"))
    return study


def _document(source: str | Path | Mapping[str, Any]) -> tuple[document.Document, Path]:
    if isinstance(source, Mapping):
        return document.Document(copy.deepcopy(dict(source)), {}, "study"), Path.cwd()
    path, known = Path(source), examples()
    if not path.is_file():
        if str(source) not in known:
            what = f"there is no study file '{source}' and no packaged study of that name"
            raise InputError(Problem("", what, nearest(str(source), known), f"Packaged: {', '.join(known)}"))
        path = known[str(source)]
    return document.read(path), path.resolve().parent


def _scenario(spec: StudySpec, text: document.Document, base: Path, catalog: Path | None) -> Scenario:
    """The scenario that all is varied about: without what a study does not tell."""
    beside = base / spec.scenario
    known = scenarios.examples()
    if not beside.is_file() and not Path(spec.scenario).is_file() and spec.scenario not in known:
        what = f"there is no scenario file '{spec.scenario}' and no packaged scenario of that name"
        raise InputError(
            text.problem(("scenario",), what, nearest(spec.scenario, known), f"Packaged: {', '.join(known)}")
        )
    given = {k: v for k, v in (("duration", spec.duration), ("step", spec.step)) if v is not None}
    quiet = {"outputs.ablation": False, "outputs.report": False}
    return scenarios.load(beside if beside.is_file() else spec.scenario, {**quiet, **given, **spec.set}, catalog)


def _variants(
    spec: StudySpec, text: document.Document, scenario: Scenario, problems: list[Problem]
) -> dict[str, Scenario]:
    made: dict[str, Scenario] = {}
    for name, paths in (spec.scenarios or {scenario.spec.name: {}}).items():
        try:
            made[name] = scenarios.changed(scenario, paths) if paths else scenario
        except InputError as error:
            problems += [
                text.problem(("scenarios", name), f"{p.path}: {p.what}", p.nearest, p.next) for p in error.problems
            ]
    return made


def read(
    given: Mapping[str, Variable | str], text: document.Document, scenario: Scenario, problems: list[Problem]
) -> list[Input]:
    """The inputs of a file's variables; what is wrong with them is added to the problems."""
    made: list[Input] = []
    for name, asked in given.items():
        at: document.Path_ = ("variables", name)
        try:
            found = leaf(name, scenario)
            one = _input(found, Variable() if isinstance(asked, str) else asked, isinstance(asked, str))
        except InputError as error:
            problems += [text.problem(at, p.what, p.nearest, p.next) for p in error.problems]
            continue
        except ValueError as error:
            problems.append(text.problem(at, str(error)))
            continue
        limits = found.limits
        least = None if limits is None else limits.least if limits.above is None else limits.above
        wrong = sampling.check("", one.spread, least)
        problems += [text.problem(at, p.what, p.nearest, p.next) for p in wrong]
        if not wrong and found.of == "scenario":
            problems += _refused(one, text, scenario)
        made.append(one)
    return made


def _refused(one: Input, text: document.Document, scenario: Scenario) -> list[Problem]:
    """Ends of a range, and choices, that the scenario refuses."""
    for value in one.spread.choices or (one.spread.low, one.spread.high):
        try:
            apply(scenario, [one], [value])
        except InputError as error:
            return [text.problem(("variables", one.name), p.what, p.nearest, p.next) for p in error.problems]
    return []


def _input(found: Leaf, asked: Variable, own: bool) -> Input:
    if asked.values is not None:
        return _choice(found, asked)
    if not found.unit:
        raise ValueError("is no number: give its values, as values: [a, b]")
    low, mode, high = (None if v is None else found.read(v) for v in (asked.low, asked.mode, asked.high))
    ranged = found.sourced
    if ranged is not None and low is None and high is None and mode is None:
        if ranged.low is None and ranged.high is None:
            raise ValueError("has no range of its own in the catalog: give low and high")
        spread = about(ranged)
        kind = asked.distribution or spread.kind
        return Input(found, Distribution(kind, spread.low, spread.mode, spread.high), steps=asked.steps)
    if own:
        raise ValueError("has no range of its own: only assumptions have; give low and high")
    if low is None or high is None:
        raise ValueError("give low and high, or values")
    kind = asked.distribution or ("triangular" if mode is not None or ranged is not None else "uniform")
    if mode is None:
        middle = math.sqrt(low * high) if kind.startswith("log-") and low > 0.0 and high > 0.0 else 0.5 * (low + high)
        inside = found.value is not None and low <= found.value <= high
        mode = found.value if inside and found.value is not None else middle
    return Input(found, Distribution(kind, low, mode, high), steps=asked.steps)


def _choice(found: Leaf, asked: Variable) -> Input:
    values = asked.values or ()
    if any(v is not None for v in (asked.low, asked.mode, asked.high, asked.distribution)):
        raise ValueError("give a range or values, not both")
    if found.unit:
        return Input(found, Distribution("choice", choices=tuple(found.read(v) for v in values)))
    return Input(found, Distribution("choice", choices=tuple(float(i) for i in range(len(values)))), words=values)


def _correlation(spec: StudySpec, text: document.Document, problems: list[Problem]) -> Floats:
    """The matrix of rank correlations (D, D)."""
    names = list(spec.variables)
    made = np.eye(len(names))
    for i, tie in enumerate(spec.correlations):
        missing = [n for n in tie.between if n not in names]
        for name in missing:
            near = nearest(name, names)
            problems.append(text.problem(("correlations", i, "between"), f"'{name}' is none of the variables", near))
        if not missing and tie.between[0] == tie.between[1]:
            problems.append(text.problem(("correlations", i, "between"), "a variable with itself"))
        elif not missing:
            a, b = (names.index(n) for n in tie.between)
            made[a, b] = made[b, a] = tie.rank
    try:
        sampling.tied(np.full((1, len(names)), 0.5), made)
    except InputError as error:
        problems += [text.problem(("correlations",), p.what, next=p.next) for p in error.problems]
    return made


def _sense(spec: StudySpec, text: document.Document, inputs: Sequence[Input]) -> list[Problem]:
    """What the method takes no notice of."""
    told = []
    if spec.method == "grid" and spec.samples is not None:
        told.append(text.problem(("samples",), "a grid has no samples", next="Give its variables steps or values"))
    if spec.method in ("grid", "indices") and spec.correlations:
        words = "indices are of independent inputs" if spec.method == "indices" else "a grid has every combination"
        told.append(
            text.problem(("correlations",), words, next="Use latin, sobol or random, or leave correlations out")
        )
    names = [i.name for i in inputs]
    told += [text.problem(("variables", n), "stands twice") for n in sorted({n for n in names if names.count(n) > 1})]
    return told


def schema() -> dict[str, Any]:
    """The JSON schema of a study's file, for editors."""
    made = StudySpec.model_json_schema(by_alias=True)
    made["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    made["title"] = "Aether study"
    return made
