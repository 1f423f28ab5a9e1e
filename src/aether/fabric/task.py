"""What a user asks for: SkyPilot's task YAML with a block for what orbit adds, read with file, line and path."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from aether.base.errors import InputError, Problem, nearest, unknown
from aether.base.units import UnitError, parse
from aether.fabric.protocol import Record
from aether.scenario import document
from aether.scenario.catalog import Catalog, explain

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
MOST_TEXT = 256_000  # characters of a script; larger belongs into a file that is mounted
MOST_ENVS, MOST_MOUNTS, MOST_NODES, MOST_ARRAY = 500, 100, 1_000, 10_000
RESERVED = re.compile(
    r"^(AETHER_|SKYPILOT_)|^(HOME|RANK|WORLD_SIZE|LOCAL_RANK|LOCAL_WORLD_SIZE|GROUP_RANK|NODE_RANK|MASTER_ADDR|MASTER_PORT)$"
)
BLOB = re.compile(r"^sha256:[0-9a-f]{64}$")
LATER = {  # keys of SkyPilot that mean nothing here, and what to do instead
    "secrets": "The vault comes later; until then mount a file, or let the program fetch what it needs",
    "service": "Models are served by deployments: aether serve up FILE",
    "pool": "Ships and sites are the pool: name them in orbit.where",
    "config": "A fabric has its settings in its scenario",
    "inputs": "Mount what the job reads by file_mounts",
    "outputs": "Write what shall last into orbit.checkpoint",
}
PORTS = (
    "A server listens at $AETHER_HOST, port $AETHER_PORT: the fabric chooses them, for several may stand on one machine"
)
ELSEWHERE = ("cloud", "region", "zone", "infra", "instance_type", "image_id", "disk_size", "disk_tier", "ports", "labels",
             "network_tier", "autostop", "job_recovery", "ordered", "local_disk", "volumes", "max_hourly_cost")  # fmt: skip


def _seconds(value: object) -> float:
    """A time as text with its unit, or a plain number of seconds as it comes back from JSON."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        made = float(value) if abs(value) <= 1e9 else math.inf
    else:
        try:
            made = parse(value, "s")
        except UnitError as error:
            raise PydanticCustomError("quantity", "{text}", {"text": str(error)}) from error
    if not (math.isfinite(made) and 0.0 <= made <= 1e9):
        raise PydanticCustomError("quantity", "must lie between 0 s and 1e9 s")
    return made


def _least(value: object) -> float | None:
    """`4`, `"4"` or SkyPilot's `"4+"`: at least so many; a unit may follow, as in `"32GB"`."""
    if value is None:
        return None
    text = re.sub(r"\s*(\+|GB|GiB|gb|G)+$", "", str(value).strip())
    try:
        made = float(text)
    except ValueError as error:
        raise PydanticCustomError("count", "'{v}' is no number such as 4 or '4+'", {"v": str(value)}) from error
    if not (math.isfinite(made) and 0.0 < made <= 1e6):
        raise PydanticCustomError("count", "'{v}' is outside its limits: above 0, at most 1e6", {"v": str(value)})
    return made


Duration = Annotated[float, BeforeValidator(_seconds)]
AtLeast = Annotated[float | None, BeforeValidator(_least)]


class Resources(Record):
    """What one node needs of its host. A ship's processors and memory are shared out with its GPUs."""

    accelerators: dict[str, int] | None = Field(None, description="name to count a node, as `B200: 8` or `B200:8`")
    cpus: AtLeast = Field(None, description="processor cores a node, at least")
    memory: AtLeast = Field(None, description="host memory a node, at least [GB]")
    use_spot: bool = Field(False, description="may be preempted for jobs of more priority, not only by physics")

    @cached_property
    def wanted(self) -> tuple[object, ...]:
        """What tells one way to run from another: accelerators, cores, memory."""
        return (*(self.accelerators or {}).items(), self.cpus, self.memory)

    @field_validator("accelerators", mode="before")
    @classmethod
    def _accelerators(cls, value: object) -> object:
        if isinstance(value, str):
            name, _, count = value.partition(":")
            value = {name.strip(): count.strip() or 1}
        if value is None or not isinstance(value, Mapping):
            if value is None:
                return None
            raise PydanticCustomError(
                "accelerators", "write 'B200:8', {B200: 8} or, to choose from, ['B200:8', 'H100:16']"
            )
        if len(value) != 1:
            raise PydanticCustomError("accelerators", "one kind a node: name one at least, none twice")
        made = {}
        for name, count in value.items():
            number = 1 if count is None else count
            if isinstance(number, bool) or not re.fullmatch(r"\d{1,7}", str(number).strip()) or int(number) < 1:
                raise PydanticCustomError("accelerators", "{n}: '{c}' is no whole number from 1 to 9,999,999",
                                          {"n": str(name), "c": str(count)})  # fmt: skip
            made[str(name)] = int(number)
        return made


def _kinds(value: object) -> list[object] | None:
    """Each of several accelerators to choose from, written as one is; None where one is written: `B200:8` or `{B200: 8}`."""
    if isinstance(value, Mapping) and (len(value) > 1 or any(":" in str(name) for name in value)):
        return [str(name) if count is None else {name: count} for name, count in value.items()]
    return list(value) if isinstance(value, list | tuple) and value else None


class Asked(Resources):
    """The `resources` of a task: one way to run it, or several of which any will do."""

    any_of: tuple[Resources, ...] = Field(
        (), max_length=20, description="ways to choose from, the first that fits is taken"
    )

    @model_validator(mode="before")
    @classmethod
    def _sets(cls, value: object) -> object:
        """Sets and lists of accelerators, as SkyPilot has them, become ways."""
        if not isinstance(value, Mapping):
            return value
        ways = value.get("any_of") or [{}]
        if not (isinstance(ways, Sequence) and all(isinstance(w, Mapping) for w in ways)):
            return value
        if all(_kinds(w.get("accelerators")) is None for w in (value, *ways)):
            return value
        made = []
        for way in ways:
            asked = way.get("accelerators", value.get("accelerators"))
            kinds = _kinds(asked)
            made += [{**way, "accelerators": kind} for kind in ([asked] if kinds is None else kinds)]
        return {k: v for k, v in value.items() if k != "accelerators"} | {"any_of": made}

    @cached_property
    def ways(self) -> tuple[Resources, ...]:
        """Every way in order, what `any_of` leaves out taken from beside it."""
        own = self.model_dump(exclude={"any_of"}, exclude_defaults=True)
        return tuple(Resources(**(own | w.model_dump(exclude_defaults=True))) for w in self.any_of) or (
            Resources(**own),
        )


class Orbit(Record):
    """What orbit adds to a task."""

    where: tuple[str, ...] = Field(
        (), max_length=1000, description="ships, groups and sites that may run it, or 'ships', 'sites'"
    )
    jurisdictions: tuple[Annotated[str, Field(pattern=r"^[A-Z]{2}$")], ...] = Field(
        (), max_length=250, description="states, two letters, whose law may hold at the host"
    )
    place: str | None = Field(None, max_length=100, description="a city, for the round trip")
    max_round_trip: Duration | None = Field(None, description="between place and host")
    grace: Duration = Field(30.0, le=3600.0, description="between SIGTERM and SIGKILL, of the wall's clock")
    checkpoint: str | None = Field(None, max_length=500, description="folder that is handed to the next attempt")
    checkpoint_every: Duration = Field(
        60.0, ge=1.0, description="how often it is looked through for changes, of the wall's clock"
    )
    deadline: Duration | None = Field(None, description="after submission, of the fabric's clock")
    priority: int = Field(500, ge=0, le=1000, description="more goes first")
    retries: int = Field(3, ge=0, le=1000, description="attempts more after the program failed by itself")
    array: int = Field(1, ge=1, le=MOST_ARRAY, description="how many alike, told apart by AETHER_ARRAY_INDEX")
    after: tuple[str, ...] = Field((), max_length=1000, description="jobs that must have succeeded")

    @model_validator(mode="after")
    def _whole(self) -> Orbit:
        if (self.max_round_trip is None) != (self.place is None):
            raise PydanticCustomError("place", "place and max_round_trip go together")
        if self.checkpoint is not None:
            inside(self.checkpoint, "checkpoint")
        return self


class Task(Record):
    """A task as users of SkyPilot write it."""

    name: str | None = Field(None, min_length=1, max_length=60, pattern=NAME)
    resources: Asked = Asked()
    num_nodes: int = Field(1, ge=1, le=MOST_NODES)
    envs: dict[str, str] = Field({}, max_length=MOST_ENVS)
    workdir: str | None = Field(None, max_length=4096, description="a folder that becomes the program's working folder")
    file_mounts: dict[str, str] = Field(
        {}, max_length=MOST_MOUNTS, description="path under the job's home to file or folder"
    )
    setup: str = Field("", max_length=MOST_TEXT)
    run: str = Field(min_length=1, max_length=MOST_TEXT)
    orbit: Orbit = Orbit()

    @field_validator("envs", mode="before")
    @classmethod
    def _envs(cls, value: object) -> object:
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise PydanticCustomError("envs", "names and values, as MODEL: llama")
        made = {}
        for key, item in value.items():
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,199}", str(key)):
                raise PydanticCustomError("envs", "'{k}' is no name of a variable", {"k": str(key)})
            if RESERVED.search(str(key)):
                raise PydanticCustomError("envs", "'{k}' is set by the fabric", {"k": str(key)})
            if item is None:
                raise PydanticCustomError("envs", "{k} has no value: give it by --env {k}=VALUE", {"k": str(key)})
            if isinstance(item, (dict, list)) or "\0" in str(item) or len(str(item)) > MOST_TEXT:
                raise PydanticCustomError("envs", "{k} is no text of at most 256,000 characters", {"k": str(key)})
            made[str(key)] = str(item).lower() if isinstance(item, bool) else str(item)
        return made

    @field_validator("file_mounts", mode="before")
    @classmethod
    def _mounts(cls, value: object) -> object:
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise PydanticCustomError(
                "mounts", "paths under the job's home and what is mounted there, as ~/data: ./data"
            )
        wrong = []
        for target, source in value.items():
            try:
                inside(str(target), "mounts")
            except PydanticCustomError as error:
                wrong.append(error.message())
            if not isinstance(source, str):
                wrong.append(f"{target}: buckets are not mounted; give a file or a folder")
        if wrong:
            raise PydanticCustomError("mounts", "{text}", {"text": "; ".join(wrong)})
        return value

    @field_validator("setup", "run", mode="before")
    @classmethod
    def _script(cls, value: object) -> object:
        return "" if value is None else value

    @field_validator("setup", "run")
    @classmethod
    def _text(cls, value: str) -> str:
        if "\0" in value:
            raise PydanticCustomError("script", "holds a NUL character")
        return value


def inside(path: str, kind: str) -> str:
    """A path under a job's home, as `a/b`; refuses those that lead out of it."""
    plain = path[2:] if path.startswith("~/") else path
    parts = PurePosixPath(plain).parts
    if not parts or plain.startswith(("/", "~")) or ".." in parts or "\0" in path or "\\" in path or len(path) > 500:
        text = "'{p}' does not lie under the job's home: write ~/FOLDER, without '..'"
        raise PydanticCustomError(kind, text, {"p": path})
    return "/".join(parts)


@dataclass(frozen=True)
class TaskFile:
    """A task with the text it was read from, so that what only the fabric knows can still be said with its line."""

    task: Task
    text: document.Document


def packaged() -> dict[str, Path]:
    """The packaged jobs by name."""
    folder = resources.files("aether") / "examples" / "jobs"
    found = sorted(folder.iterdir(), key=lambda f: f.name)
    return {f.name[:-5]: Path(str(f)) for f in found if f.name.endswith(".yaml")}


def read(path: Path, envs: Mapping[str, str] | None = None) -> TaskFile:
    """The task of a YAML file; InputError with all problems. envs: values that take the file's place."""
    return check(document.read(path), envs)


def check(text: document.Document, envs: Mapping[str, str] | None = None) -> TaskFile:
    """The task of a document; InputError with all problems, each with its line."""
    data = text.data
    if not isinstance(data, dict):
        raise InputError(Problem("", "holds no task: names and values are expected", file=text.file,
                                 next="As in run: python train.py"))  # fmt: skip
    problems = [text.problem((key,), f"'{key}' is not taken here", next=LATER[key]) for key in LATER if key in data]
    problems += _elsewhere(text)
    given = {k: v for k, v in data.items() if k not in LATER}
    if envs and isinstance(given.get("envs") or {}, dict):
        given["envs"] = {**(given.get("envs") or {}), **envs}
    given = _without_elsewhere(given)
    try:
        task = Task.model_validate(given)
    except ValidationError as error:
        raise InputError(problems + explain(error, Task, text)) from error
    if problems:
        raise InputError(problems)
    return TaskFile(task, text)


def _elsewhere(text: document.Document) -> list[Problem]:
    """Keys of SkyPilot's resources that choose among clouds."""
    asked = text.data.get("resources")
    found = [("resources", k) for k in ELSEWHERE if isinstance(asked, dict) and k in asked]
    return [text.problem(at, "'ports' is not taken here", next=PORTS) if at[-1] == "ports"
            else text.problem(at, f"'{at[-1]}' chooses among clouds", next="Say where by orbit.where and orbit.jurisdictions")
            for at in found]  # fmt: skip


def _without_elsewhere(given: dict[str, Any]) -> dict[str, Any]:
    asked = given.get("resources")
    if isinstance(asked, dict):
        given = given | {"resources": {k: v for k, v in asked.items() if k not in ELSEWHERE}}
    return {k: v for k, v in given.items() if not (k in ("resources", "orbit") and v is None)}


def accelerator(name: str, known: Collection[str]) -> str | None:
    """The catalog's name of an accelerator: its own, or the one that begins like it, as `H100` for `h100-sxm`."""
    wanted = name.strip().lower().replace("_", "-")
    if wanted in known:
        return wanted
    starts = sorted(k for k in known if k.startswith(wanted + "-"))
    return starts[0] if starts else None


def unknown_accelerators(task: Task, catalog: Catalog, line: document.Document | None = None) -> list[Problem]:
    """Accelerators that the catalog does not have, each with the nearest it has."""
    known, told = catalog.kind("accelerators"), []
    for i, way in enumerate(task.resources.ways):
        for name in way.accelerators or ():
            if accelerator(name, known) is None:
                alone = not task.resources.any_of
                at: document.Path_ = (
                    ("resources", "accelerators") if alone else ("resources", "any_of", i, "accelerators")
                )
                problem = unknown(document.dotted(at), "accelerator", name.lower(), known)
                near = problem.nearest or nearest(name, {k.partition("-")[0] for k in known})
                told.append(_placed(replace(problem, nearest=near), line, at))
    return told


def _placed(problem: Problem, text: document.Document | None, at: document.Path_) -> Problem:
    if text is None:
        return problem
    return text.problem(at, problem.what, problem.nearest, problem.next)


__all__ = [
    "BLOB",
    "Asked",
    "Orbit",
    "Record",
    "Resources",
    "Task",
    "TaskFile",
    "accelerator",
    "check",
    "inside",
    "nearest",
    "packaged",
    "read",
    "unknown_accelerators",
]
