"""YAML, then overrides, then validation, then a Scenario; all problems at once, each with file, line and path."""

from __future__ import annotations

import copy
import gzip
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from aether.base.clock import Clock
from aether.base.errors import InputError, Problem, nearest
from aether.base.provenance import Assumption
from aether.base.units import fmt
from aether.scenario import catalog as parts
from aether.scenario import document, names
from aether.scenario.catalog import Catalog, Shell, Ship
from aether.scenario.places import find_place
from aether.scenario.spec import MeshShell, Place, ShipGroup, Spec

MOST_RELAYS = 1_200_000  # a million and spares: one tick of lists and fields stays below 4 GB
MOST_ROWS = 40_000_000  # of ships, cities and probes by step: about 4 GB of records
LARGEST_FILE = 200_000_000  # bytes; a million element sets in TLE are 140 MB


@dataclass(frozen=True)
class Scenario:
    """What will be simulated: the validated spec, its catalog, and the text of the files it names."""

    spec: Spec
    catalog: Catalog
    data: dict[str, Any]  # the file with its overrides, as text
    file: str = ""
    texts: dict[str, str] = field(default_factory=dict)  # files by the name in the spec

    @property
    def clock(self) -> Clock:
        """The scenario's grid of ticks."""
        return Clock(self.spec.start, self.spec.step, max(1, round(self.spec.duration / self.spec.step)))

    def assume(self, name: str) -> Assumption:
        """A general assumption, the scenario's own value before the packaged one."""
        return self.catalog.assume(name)

    def value(self, name: str) -> float:
        """Its nominal value, SI."""
        known = self._values.get(name)
        return self.assume(name).value if known is None else known

    @cached_property
    def _values(self) -> dict[str, float]:
        """All nominal values, read once: the engine asks for them in every tick."""
        return {name: self.catalog.value(name) for name in self.catalog.kind("assumptions")}

    def ship(self, group: ShipGroup) -> Ship:
        """The class of a group with what the group changes; its own numbers carry the scenario as their source."""
        ship = self.catalog.ship(group.ship)
        source = f"the scenario {self.spec.name}"

        def own(name: str, value: float | None, unit: str) -> dict[str, Assumption]:
            return (
                {}
                if value is None
                else {name: Assumption(f"{group.name}.{name}", value, unit, source, low=value, high=value)}
            )

        named = {"array": group.array.part, "battery": group.battery.part, "radiator": group.radiator.part,
                 "gpus": group.gpus, "terminals": group.terminals,
                 "neighbour_terminals": group.neighbour_terminals, "attitude": group.attitude}  # fmt: skip
        update: dict[str, Any] = {key: value for key, value in named.items() if value is not None}
        update |= own("array_area", group.array.area, "m^2") | own("battery_energy", group.battery.energy, "J")
        update |= own("radiator_area", group.radiator.area, "m^2") | own("shielding", group.shielding, "m")
        return ship.model_copy(update=update)

    def place(self, name: str) -> Place:
        """A city or gateway by name, accents and case aside."""
        found = find_place(self.catalog, name)
        if isinstance(found, Problem):
            raise InputError(found)
        return found


def examples() -> dict[str, Path]:
    """The packaged scenarios by name."""
    folder = resources.files("aether") / "examples"
    return {
        f.name[:-5]: Path(str(f)) for f in sorted(folder.iterdir(), key=lambda f: f.name) if f.name.endswith(".yaml")
    }


def find(name: str | Path) -> Path:
    """The file of a scenario given by path or by the name of a packaged one."""
    path = Path(name)
    if path.is_file():
        return path
    known = examples()
    if str(name) in known:
        return known[str(name)]
    what = f"there is no scenario file '{name}' and no packaged scenario of that name"
    raise InputError(Problem("", what, nearest(str(name), known), f"Packaged: {', '.join(known)}"))


def load(
    source: str | Path | Mapping[str, Any] = "project-aether",
    overrides: Mapping[str, Any] | None = None,
    folder: Path | None = None,
    seed: int | None = None,
) -> Scenario:
    """The Scenario of a file, a packaged name or a mapping.

    overrides: dotted path -> value, as {"ships.0.radiator.area": "90 m2"}. folder: a catalog folder. seed: instead of the
    scenario's. Raises InputError with every problem found.
    """
    if isinstance(source, Mapping):
        text = document.Document(copy.deepcopy(dict(source)), {}, "scenario")
        base = Path.cwd()
    else:
        path = find(source)
        text, base = document.read(path), path.resolve().parent
    catalog = parts.load(folder)
    if not isinstance(text.data, dict):
        raise InputError(
            text.problem((), "a scenario is a mapping of keys", next="`aether init FILE` writes one to start from")
        )
    problems = [p for key, value in (overrides or {}).items() for p in override(text, key, value)]
    if seed is not None:
        text.data["seed"] = seed
    try:
        spec = Spec.model_validate(text.data)
    except ValidationError as error:
        raise InputError(problems + parts.explain(error, Spec, text) + names.problems(text, catalog)) from error
    texts: dict[str, str] = {}
    problems += names.problems(text, catalog) + _elements(spec, text, base, texts) + _outside(spec, text)
    problems += _sizes(spec, text, catalog) if not problems else []
    if problems:
        raise InputError(problems)
    return Scenario(spec, _own(spec, catalog), text.data, text.file, texts)


def changed(scenario: Scenario, overrides: Mapping[str, Any]) -> Scenario:
    """The same scenario with dotted paths set: as `load` with them, but no file is read again.

    Raises InputError with every problem found.
    """
    text = document.Document(copy.deepcopy(scenario.data), {}, scenario.file)
    problems = [p for key, value in overrides.items() for p in override(text, key, value)]
    try:
        spec = Spec.model_validate(text.data)
    except ValidationError as error:
        raise InputError(problems + parts.explain(error, Spec, text)) from error
    texts, base = dict(scenario.texts), Path(scenario.file).resolve().parent
    problems += names.problems(text, scenario.catalog) + _elements(spec, text, base, texts) + _outside(spec, text)
    problems += _sizes(spec, text, scenario.catalog) if not problems else []
    if problems:
        raise InputError(problems)
    return Scenario(spec, _own(spec, scenario.catalog), text.data, scenario.file, texts)


def _sizes(spec: Spec, text: document.Document, catalog: Catalog) -> list[Problem]:
    """Problems of scenarios that no memory holds: said before the run, not by the run."""
    problems = []
    shells = [s for part in spec.relays.shells for s in _shells(part, catalog)]
    relays = sum(s.planes * s.per_plane for s in shells)
    if relays > MOST_RELAYS:
        problems.append(text.problem(("relays", "shells"), f"{relays:,} relays; at most {MOST_RELAYS:,} are simulated"))
    ships = sum(group.count for group in spec.ships)
    rows = round(spec.duration / spec.step) * (ships + spec.ground.cities.largest + len(spec.probes))
    if rows > MOST_ROWS:
        what = f"{ships:,} ships and {spec.ground.cities.largest:,} cities through {round(spec.duration / spec.step):,} steps are {rows:,} rows"
        problems.append(
            text.problem(("duration",), what, next=f"At most {MOST_ROWS:,} are kept: take fewer, or a longer step")
        )
    return problems


def _outside(spec: Spec, text: document.Document) -> list[Problem]:
    """Events that do not lie in the run, whose length is whole steps."""
    length_s = max(1, round(spec.duration / spec.step)) * spec.step
    last, told = f"the run lasts {fmt(length_s, 's')}", []
    for i, event in enumerate(spec.events):
        if event.start >= length_s:
            told.append(text.problem(("events", i, "start"), f"begins after the run: {last}"))
        elif event.start + event.duration > max(length_s, spec.duration):
            told.append(text.problem(("events", i, "duration"), f"ends after the run: {last}"))
    return told


def _shells(part: MeshShell, catalog: Catalog) -> tuple[Shell, ...]:
    if part.shell is not None:
        return (part.shell,)
    return catalog.mesh(part.mesh).shells if part.mesh is not None else ()


def _own(spec: Spec, catalog: Catalog) -> Catalog:
    """The catalog with the scenario's own values for general assumptions."""
    generals = dict(catalog.kind("assumptions"))
    for name, value in spec.assumptions.items():
        given = value if isinstance(value, dict) else {"value": value}
        own = {
            "low": given["value"],
            "high": given["value"],
            "source": f"the scenario {spec.name}",
            "date": "",
            "confidence": "estimated",
        }
        generals[name] = generals[name].model_copy(update=own | given)
    return Catalog({**catalog.parts, "assumptions": generals})


def override(text: document.Document, key: str, value: Any) -> list[Problem]:
    """Set one dotted path of a document, in place; a value given as text is read as YAML."""
    steps = [int(s) if s.isdigit() else s for s in re.split(r"[.\[\]]+", key.strip()) if s]
    told = f"--set {key}"
    if not steps:
        return [Problem("", f"'{key}' names no path", file="--set")]
    if isinstance(value, str):
        try:
            value = document.parse(value).data
        except InputError:
            return [Problem("", f"'{value}' is not a YAML value", file=told)]
    here: Any = text.data
    if steps[0] == "assumptions" and len(steps) > 1:
        steps = ["assumptions", ".".join(map(str, steps[1:]))]
    for i, step in enumerate(steps):
        last = i == len(steps) - 1
        if isinstance(here, list):
            if not isinstance(step, int) or not 0 <= step < len(here):
                return [Problem("", f"'{step}' is no place in a list of {len(here)}", file=told)]
        elif isinstance(here, dict):
            step = str(step)
            if not last and here.get(step) is None:
                here[step] = {}
        else:
            return [Problem("", f"'{document.dotted(tuple(steps[:i]))}' is a value and holds no '{step}'", file=told)]
        if last:
            here[step] = value
            text.told[tuple(steps)] = told
        else:
            here = here[step]
    return []


def _elements(spec: Spec, text: document.Document, base: Path, texts: dict[str, str]) -> list[Problem]:
    """Read the files that a scenario names (element sets, traces, model configurations) into `texts`."""
    wanted: list[tuple[document.Path_, str, str]] = [
        (("relays", "shells", i, "elements"), shell.elements, "Give TLE or OMM (JSON, CSV), plain or as .gz")
        for i, shell in enumerate(spec.relays.shells)
        if shell.elements is not None
    ]
    for i, workload in enumerate(spec.workloads):
        model = getattr(workload.asked, "model", "")
        if model.endswith(".json"):
            at: document.Path_ = ("workloads", i, workload.kind, "model")
            wanted.append((at, model, "Give a Hugging Face config.json"))
        draft = workload.inference.draft if workload.inference is not None else None
        if draft is not None and draft.model.endswith(".json"):
            wanted.append(
                (("workloads", i, "inference", "draft", "model"), draft.model, "Give a Hugging Face config.json")
            )
        if workload.inference is not None and workload.inference.requests.trace is not None:
            at = ("workloads", i, "inference", "requests", "trace")
            wanted.append((at, workload.inference.requests.trace, "Give a CSV file with a header, plain or as .gz"))
    return [p for at, name, follow in wanted for p in _read(text, base, at, name, follow, texts)]


def _read(
    text: document.Document, base: Path, at: document.Path_, name: str, follow: str, texts: dict[str, str]
) -> list[Problem]:
    if name in texts:
        return []
    path = base / name
    if not path.is_file() and Path(name).is_file():
        path = Path(name)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            return [text.problem(at, f"{path} holds more than {LARGEST_FILE // 1_000_000} MB")]
        texts[name] = content.decode("utf-8")
    except (UnicodeDecodeError, gzip.BadGzipFile, EOFError):
        return [text.problem(at, f"{path} is not a text file", next=follow)]
    except OSError as error:
        return [text.problem(at, f"{path} cannot be read: {error.strerror}")]
    return []


def schema() -> dict[str, Any]:
    """The JSON schema of a scenario file, for editors."""
    made = Spec.model_json_schema(by_alias=True)
    made["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    made["title"] = "Aether scenario"
    return made


def starter(schema_file: str) -> str:
    """A commented scenario to start from, with the line by which editors find the schema."""
    text = (resources.files("aether.scenario") / "data" / "starter.txt").read_text(encoding="utf-8")
    return f"# yaml-language-server: $schema={schema_file}\n{text}"
