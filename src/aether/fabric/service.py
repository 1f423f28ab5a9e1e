"""What a user wants served: SkyPilot's `service:` block beside a task, with what the fabric adds, read with file, line and path."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from aether.base.errors import InputError, Problem
from aether.fabric import task as tasks
from aether.fabric.protocol import Record
from aether.fabric.task import Duration, Task
from aether.scenario import document
from aether.scenario.catalog import explain

MODEL = r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,99}$"  # no colon: names of tuned models have them
MOST_REPLICAS = 1_000  # of a deployment: a server a ship of the largest fleet that a fabric takes
# keys of SkyPilot's block whose work the fabric does itself
OURS = ("load_balancing_policy", "tls", "endpoint", "num_overprovision", "dynamic_ondemand_fallback", "base_ondemand_fallback_replicas",
        "spot_placer", "pool")  # fmt: skip
NAMED = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")  # a variable, as shells have it


class Probe(Record):
    """What tells that a server is ready: SkyPilot's `readiness_probe`, a path that answers 200. Times are of the wall's clock."""

    path: str = Field("/health", pattern=r"^/[ -~]*$", max_length=500)
    post_data: str = Field("", max_length=10_000, description="JSON that is posted there; asked by GET when left out")
    initial_delay_seconds: Duration = Field(
        1200.0, description="within which a server must have answered; else another takes its place"
    )
    timeout_seconds: Duration | None = Field(
        None, gt=0.0, le=600.0, description="for its answer; when left out 2 s, or 15 s where a request is posted"
    )

    @property
    def patience_s(self) -> float:
        """That an answer may take: one that only says that it is there takes little."""
        return self.timeout_seconds or (15.0 if self.post_data else 2.0)

    @field_validator("post_data", mode="before")
    @classmethod
    def _post(cls, value: object) -> object:
        if value is None or value == "":
            return ""
        try:
            made = json.loads(value) if isinstance(value, str) else value
            if isinstance(made, dict):
                return json.dumps(made)
        except (TypeError, ValueError):
            pass
        raise PydanticCustomError("probe", "what is posted is a JSON object")


class Policy(Record):
    """How many servers there are: SkyPilot's `replica_policy`."""

    min_replicas: int = Field(1, ge=1, le=MOST_REPLICAS)
    max_replicas: int | None = Field(None, ge=1, le=MOST_REPLICAS)
    target_qps_per_replica: float | None = Field(None, gt=0.0, le=1e6)
    upscale_delay_seconds: Duration = Field(300.0, description="for which more is asked before there are more")
    downscale_delay_seconds: Duration = Field(1200.0, description="for which less is asked before there are fewer")

    @model_validator(mode="after")
    def _whole(self) -> Policy:
        if self.max_replicas is not None and self.max_replicas < self.min_replicas:
            raise PydanticCustomError("replicas", "max_replicas lies below min_replicas")
        if (self.max_replicas or 0) > self.min_replicas and self.target_qps_per_replica is None:
            raise PydanticCustomError(
                "replicas", "between two numbers of replicas target_qps_per_replica decides: give it"
            )
        return self


class Price(Record):
    """What a million tokens cost, in and out [USD]."""

    input: float = Field(0.0, ge=0.0, le=1e6)
    output: float = Field(0.0, ge=0.0, le=1e6)


class Continual(Record):
    """A loop that tunes on feedback as it comes."""

    at_least: int = Field(8, ge=1, le=10_000, description="pieces of feedback that begin a round")
    every: Duration = Field(60.0, description="between two rounds at least, of the fabric's clock")


class Tuning(Record):
    """How the model is tuned: a command that reads AETHER_TRAIN_FILE and leaves an adapter in AETHER_OUT."""

    run: str = Field(min_length=1, max_length=tasks.MOST_TEXT)
    setup: str = Field("", max_length=tasks.MOST_TEXT)
    gpus: int = Field(1, ge=1, le=10_000)
    shape: str = Field(
        "",
        max_length=100,
        description="language model of the catalog that it is like, for modelled times; by its own name when left out",
    )
    continual: Continual | None = None


class Service(Record):
    """The `service:` block."""

    model: str = Field("", max_length=100, description="as clients name it; the task's name when left out")
    upstream: str = Field("", max_length=200, description="as its servers name it; `model` when left out")
    readiness_probe: Probe = Probe()
    replicas: int | None = Field(None, ge=1, le=MOST_REPLICAS)
    replica_policy: Policy = Policy()
    url: tuple[str, ...] = Field((), max_length=100, description="servers outside the fabric, instead of `run`")
    price: Price = Price()
    context: int | None = Field(None, ge=1, le=100_000_000, description="tokens that its context holds")
    salted: bool = Field(False, description="its servers take `cache_salt`, as vLLM does")
    shared: bool = Field(False, description="every project may use it")
    tuning: Tuning | None = None

    @field_validator("model")
    @classmethod
    def _model(cls, value: str) -> str:
        if value and not re.match(MODEL, value):
            raise PydanticCustomError(
                "model", "'{v}' is no name of a model: letters, digits, '.', '_', '/', '-'", {"v": value}
            )
        return value

    @field_validator("readiness_probe", mode="before")
    @classmethod
    def _probe(cls, value: object) -> object:
        return {"path": value} if isinstance(value, str) else value

    @field_validator("url", mode="before")
    @classmethod
    def _urls(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @field_validator("url")
    @classmethod
    def _url(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for url in value:
            parts = urlsplit(url)
            if (
                parts.scheme not in ("http", "https")
                or not parts.hostname
                or parts.username
                or parts.query
                or parts.fragment
            ):
                raise PydanticCustomError(
                    "url", "'{u}' is no address such as http://10.0.0.1:8000", {"u": url.split("@")[-1]}
                )
        return tuple(u.rstrip("/").removesuffix("/v1") for u in value)

    @property
    def least(self) -> int:
        """Servers that there always are."""
        return self.replicas or self.replica_policy.min_replicas

    @property
    def most(self) -> int:
        """Servers that there are under the greatest load."""
        return self.replicas or self.replica_policy.max_replicas or self.replica_policy.min_replicas


class Deployment(Record):
    """A service with the task that each of its servers runs; none where they stand outside the fabric."""

    name: Annotated[str, Field(pattern=tasks.NAME, max_length=60)]
    service: Service
    task: Task | None = None

    @property
    def model(self) -> str:
        """As clients name it."""
        return self.service.model or self.name

    @model_validator(mode="after")
    def _whole(self) -> Deployment:
        if (self.task is None) == (not self.service.url):
            raise PydanticCustomError(
                "service", "a service has either `run`, or `service.url` of servers outside the fabric"
            )
        if self.task is None and self.service.tuning is not None:
            raise PydanticCustomError(
                "service", "servers outside the fabric cannot be given adapters: leave service.tuning out"
            )
        if self.task is not None:
            if self.task.num_nodes != 1 or self.task.orbit.array != 1:
                raise PydanticCustomError("service", "a server is one node: leave num_nodes and orbit.array out")
            if self.task.orbit.deadline is not None or self.task.orbit.after:
                raise PydanticCustomError("service", "servers have no orbit.deadline and no orbit.after")
        return self


@dataclass(frozen=True)
class DeploymentFile:
    """A deployment with the text it was read from."""

    deployment: Deployment
    text: document.Document

    @property
    def task(self) -> tasks.TaskFile | None:
        """Its task, as jobs have them."""
        return None if self.deployment.task is None else tasks.TaskFile(self.deployment.task, self.text)


def packaged() -> dict[str, Path]:
    """The packaged deployments by name."""
    folder = resources.files("aether") / "examples" / "serve"
    return {
        f.name[:-5]: Path(str(f)) for f in sorted(folder.iterdir(), key=lambda f: f.name) if f.name.endswith(".yaml")
    }


def read(path: Path, envs: Mapping[str, str] | None = None) -> DeploymentFile:
    """The deployment of a YAML file; InputError with all problems, each with its line."""
    return check(document.read(path), envs)


def check(text: document.Document, envs: Mapping[str, str] | None = None) -> DeploymentFile:
    """The deployment of a document; InputError with all problems."""
    data = text.data
    if not isinstance(data, dict) or "service" not in data:
        raise InputError(
            Problem(
                "service",
                "there is no such block",
                file=text.file,
                next="As in service: {replicas: 2}; jobs go to aether launch",
            )
        )
    asked = data["service"] if data["service"] is not None else {}
    problems = _ours(text, asked)
    if isinstance(asked, dict):
        known = data.get("envs") if isinstance(data.get("envs"), dict) else {}
        asked = _filled(
            {k: v for k, v in asked.items() if k not in (*OURS, "ports")}, {**(known or {}), **(envs or {})}
        )
    service: Service | None = None
    try:
        service = Service.model_validate(asked)
    except ValidationError as error:
        problems += explain(error, Service, text, ("service",))
    made: Task | None = None
    outside = isinstance(asked, dict) and bool(asked.get("url"))
    if not outside:
        try:
            made = tasks.check(_without(text, "service"), envs).task
        except InputError as error:
            problems += error.problems
    if problems or service is None:
        raise InputError(problems)
    name = data.get("name") or Path(text.file or "model").stem
    try:
        return DeploymentFile(Deployment(name=name, service=service, task=made), text)
    except ValidationError as error:
        raise InputError(
            [text.problem(("name",) if e["loc"] == ("name",) else ("service",), str(e["msg"])) for e in error.errors()]
        ) from error


def _ours(text: document.Document, asked: object) -> list[Problem]:
    if not isinstance(asked, dict):
        return []
    made = [text.problem(("service", k), f"'{k}' is not taken here", next="The fabric routes by the twin's state, and its own policy places")
            for k in OURS if k in asked]  # fmt: skip
    return made + (
        [text.problem(("service", "ports"), "'ports' is not taken here", next=tasks.PORTS)] if "ports" in asked else []
    )


def _filled(value: Any, envs: Mapping[str, object]) -> Any:
    """The same with the task's variables in place of their names, as SkyPilot fills a service in; other names stay as they are."""
    if isinstance(value, dict):  # commands of a shell have their variables when they run
        return {k: v if k in ("run", "setup") else _filled(v, envs) for k, v in value.items()}
    if isinstance(value, list):
        return [_filled(v, envs) for v in value]
    if isinstance(value, str):
        return NAMED.sub(lambda found: str(envs.get(found[1] or found[2]) or found[0]), value)
    return value


def _without(text: document.Document, key: str) -> document.Document:
    """The same document without a key."""
    made = document.Document({k: v for k, v in text.data.items() if k != key}, text.lines, text.file)
    made.told.update(text.told)
    return made
