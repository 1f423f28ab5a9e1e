"""What the control core knows: jobs, their attempts, hosts, runtimes, keys, and the sums of the meter."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pydantic import TypeAdapter

from aether.fabric.core.events import HostFacts, Injected, TuningAsked
from aether.fabric.service import Deployment
from aether.fabric.task import Task

Status = Literal["queued", "preparing", "running", "stopping", "succeeded", "failed", "cancelled"]
OVER = frozenset(("succeeded", "failed", "cancelled"))
TOKENS = ("requests", "errors", "input_tokens", "output_tokens", "cached_tokens", "price_micro_usd")
METERS = ("gpu_ms", "energy_j", "laser_bytes", "downlink_bytes", "checkpoint_byte_s")


@dataclass(slots=True)
class Member:
    """One node of an attempt."""

    phase: Literal["ordered", "prepared", "started", "ended"] = "ordered"
    address: str = ""
    port: int = 0
    how: str = ""
    code: int | None = None
    why: str = ""
    adapters: dict[str, str] = field(default_factory=dict)  # that its server has loaded, name to blob
    refused: dict[str, str] = field(default_factory=dict)  # those it could not, and why


@dataclass(slots=True)
class Attempt:
    """One try at a job: a host for each node."""

    number: int
    way: int
    accelerator: str
    gpus: int  # of each host
    hosts: tuple[str, ...]
    members: list[Member]
    begun_s: float
    running_s: float | None = None  # since when the program runs
    outcome: Literal["", "again", "failed", "cancelled", "expired"] = (
        ""  # what becomes of the job once all members have ended
    )
    reason: str = ""


@dataclass(slots=True)
class Job:
    """A job through its attempts."""

    id: str
    project: str
    batch: str  # the submission: its own id, or that of its array
    index: int
    submitted_s: float
    order: int  # of submission
    status: Status = "queued"
    attempts: int = 0
    failures: int = 0
    preemptions: int = 0
    attempt: Attempt | None = None  # the present one, or the last
    not_before_s: float = 0.0
    deadline_s: float | None = None
    waits_for: list[str] = field(default_factory=list)
    checkpoints: dict[int, tuple[str, int, float]] = field(default_factory=dict)  # by rank: blob, bytes, kept since
    ended_s: float | None = None
    reason: str = ""
    usage: list[int] = field(default_factory=lambda: [0] * len(METERS))
    deployment: str = ""  # that it is a server of
    version: int = 0  # of the deployment
    tuning: str = ""  # that it is the work of


@dataclass(slots=True)
class Host:
    """A ship or a site as placement sees it."""

    facts: HostFacts
    gpus: int  # that may run now
    limit: str = ""
    contact: bool = True
    lit: bool = True
    up: bool = True
    cordoned: bool = False
    drained: bool = False


@dataclass(slots=True)
class Runtime:
    """The process that works for a host. version: goes up with every change of its orders."""

    journal: str
    public_key: str
    address: str
    acknowledged: int = 0
    version: int = 0
    lost: bool = False
    usage: list[int] = field(default_factory=lambda: [0] * len(METERS))


@dataclass(slots=True)
class Key:
    """A key by which somebody acts; the secret itself is nowhere."""

    project: str
    digest: str
    scopes: tuple[str, ...]
    expires_s: float | None
    note: str
    made_s: float
    revoked_s: float | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


@dataclass(slots=True)
class Served:
    """A model that is served, or was: what was metered of it still bears its price."""

    project: str  # "" for every project's
    deployment: Deployment
    version: int
    replicas: int  # wanted
    made_s: float
    owner: str  # the project that its servers belong to
    gone: bool = False
    scaled_s: float = 0.0
    ends: int = 0  # servers that ended by themselves, one after another
    not_before_s: float = 0.0  # none is started again earlier
    why: str = ""  # the last of them ended


@dataclass(slots=True)
class File:
    """A file of a project."""

    project: str
    name: str
    purpose: str
    digest: str
    size_bytes: int
    made_s: float


@dataclass(slots=True)
class Tuned:
    """A tuning and the adapter that came of it."""

    asked: TuningAsked
    made_s: float
    job: str = ""
    status: Literal["working", "pushing", "succeeded", "failed", "cancelled"] = "working"
    digest: str = ""  # of the adapter
    told: bool = False  # servers have been told of it
    trained_s: float | None = None
    ended_s: float | None = None  # succeeded: all servers answered with it
    reason: str = ""
    freshness_s: list[float] = field(default_factory=list)  # from each piece of feedback to then
    removed: bool = False


@dataclass(slots=True)
class Feedback:
    """How a model should have answered; waits for a round of tuning."""

    project: str
    deployment: str
    line: str
    given_s: float


@dataclass(slots=True)
class State:
    """All of it. `step` takes it over and gives it back: nobody else may hold on to it."""

    time_s: float = 0.0
    jobs: dict[str, Job] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)  # by submission
    size: dict[str, int] = field(default_factory=dict)  # jobs of a submission
    dependants: dict[str, list[str]] = field(default_factory=dict)
    hosts: dict[str, Host] = field(default_factory=dict)
    at: dict[str, dict[str, None]] = field(default_factory=dict)  # jobs at each host, in order of arrival
    waiting: dict[str, None] = field(default_factory=dict)  # jobs that are queued
    runtimes: dict[str, Runtime] = field(default_factory=dict)
    within: dict[str, dict[str, bool]] = field(
        default_factory=dict
    )  # "place|limit" to host to whether it is near enough
    keys: dict[str, Key] = field(default_factory=dict)
    projects: dict[str, float] = field(default_factory=dict)
    usage: dict[str, dict[str, list[int]]] = field(default_factory=dict)  # project to accelerator to sums
    faults: list[tuple[float, Injected]] = field(default_factory=list)  # made and not over: since when, what
    submitted: int = 0
    served: dict[str, Served] = field(
        default_factory=dict
    )  # deployments by id: their name, after that of their project
    servers: dict[str, dict[str, None]] = field(default_factory=dict)  # deployment to its jobs that are not over
    files: dict[str, File] = field(default_factory=dict)
    tunings: dict[str, Tuned] = field(default_factory=dict)
    feedback: dict[str, Feedback] = field(default_factory=dict)
    tallied: dict[str, int] = field(default_factory=dict)  # a gateway's journal to the last tally of it
    tokens: dict[str, dict[str, dict[str, list[int]]]] = field(default_factory=dict)  # project, model, host to sums
    counts: dict[str, int] = field(default_factory=dict)  # events by kind, and ends by status


def used_gpus(state: State, name: str) -> int:
    """GPUs of a host that jobs hold."""
    attempts = (state.jobs[j].attempt for j in state.at.get(name, ()))
    return sum(a.gpus * a.hosts.count(name) for a in attempts if a is not None)


def near(place: str, limit_s: float) -> str:
    """The name of a watched round trip."""
    return f"{place}|{limit_s!r}"


_CODEC: TypeAdapter[State] = TypeAdapter(State)


def dump(state: State) -> bytes:
    """A state as JSON, to go on from."""
    return _CODEC.dump_json(state, exclude_defaults=True)


def load(text: bytes) -> State:
    """The state of a dump."""
    return _CODEC.validate_json(text)
