"""What the API shows: the records that its answers are made of, and that the client gives back."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from aether.fabric.service import Deployment
from aether.fabric.task import Task

TEXT = r"^[^\x00]*$"  # no database keeps a NUL character
STATUSES = ("queued", "preparing", "running", "stopping", "succeeded", "failed", "cancelled")
StatusName = Literal["queued", "preparing", "running", "stopping", "succeeded", "failed", "cancelled"]


class View(BaseModel):
    """Read only; a newer fabric may show more than an older client knows."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class MemberView(View):
    """One node of an attempt."""

    rank: int
    host: str
    phase: str
    code: int | None = None
    why: str = ""


class AttemptView(View):
    """One try at a job."""

    number: int
    accelerator: str
    gpus: int = Field(description="of each host")
    members: tuple[MemberView, ...]
    begun_s: float
    running_s: float | None = None
    reason: str = ""


class Amounts(View):
    """Sums of the meter, whole numbers. GPU time and bytes are measured; energy is modelled by the twin."""

    gpu_ms: int = 0
    energy_j: int = 0
    laser_bytes: int = 0
    downlink_bytes: int = 0
    checkpoint_byte_s: int = 0


class JobView(View):
    """A job. Times are the fabric's, in UTC seconds."""

    id: str
    name: str | None
    project: str
    array: str | None = Field(None, description="the submission it is one of, when that was an array")
    index: int = 0
    status: StatusName
    reason: str = Field("", description="why it waits, or how it ended")
    priority: int
    spot: bool
    nodes: int
    asked: str = Field(description="resources of a node, as people write them")
    attempts: int
    preemptions: int
    failures: int
    submitted_s: float
    ended_s: float | None = None
    deadline_s: float | None = None
    attempt: AttemptView | None = None
    checkpoint_bytes: int = 0
    usage: Amounts = Amounts()


class JobPage(View):
    """Some jobs, and where to go on."""

    jobs: tuple[JobView, ...]
    cursor: str | None = Field(None, description="hand it back for the next page; none at the end")


class Submission(BaseModel):
    """A task to be run."""

    model_config = ConfigDict(extra="forbid")
    task: Task


class Submissions(BaseModel):
    """Several tasks, accepted together or not at all."""

    model_config = ConfigDict(extra="forbid")
    tasks: tuple[Task, ...] = Field(min_length=1, max_length=1000)


class Accepted(View):
    """What was accepted, in the order it was asked."""

    jobs: tuple[str, ...] = Field(description="one a task; the members of an array are named JOB.0, JOB.1 and so on")


class Cancel(BaseModel):
    """Jobs to be ended; an array's name stands for all of it."""

    model_config = ConfigDict(extra="forbid")
    jobs: tuple[str, ...] = Field(min_length=1, max_length=1000)


class Cancelled(View):
    """Jobs that were still to be ended, and now are asked to."""

    jobs: tuple[str, ...]


class ShipView(View):
    """A ship or a site: what it is, what it can bear now, what runs there."""

    name: str
    group: str
    kind: Literal["ship", "site"]
    country: str
    accelerator: str
    gpus: int
    gpus_now: int = Field(description="that may run: power, heat and radiation leave so many [modelled]")
    gpus_used: int
    limit: str = ""
    lit: bool
    contact: bool
    up: bool
    runtime: Literal["working", "lost", "none"]
    cordoned: bool
    drained: bool
    jobs: tuple[str, ...] = ()
    now: dict[str, Any] = Field({}, description="the twin's last frame: charge, temperatures, position [modelled]")


class Ships(View):
    """All hosts, at a time of the fabric."""

    time_s: float
    speed: float
    ships: tuple[ShipView, ...]


class Close(BaseModel):
    """Whether a host shall take new work."""

    model_config = ConfigDict(extra="forbid")
    closed: bool = True


class Fault(BaseModel):
    """A fault to be made."""

    model_config = ConfigDict(extra="forbid")
    kind: Literal["ship", "site", "link", "gateway", "pump", "runtime", "clock"]
    name: str = Field("", max_length=200, pattern=TEXT, description="of the ship, site, gateway or runtime")
    duration_s: float | None = Field(None, gt=0, le=1e9, description="of the fabric's clock; for good when left out")
    by_s: float = Field(0.0, ge=-1e9, le=1e9, description="by how much the machine's clock is to jump")


class Done(View):
    """That it is so."""

    done: bool = True


class UsageRow(View):
    """What a project used of one kind of accelerator; `ground` is the ground's store."""

    project: str
    accelerator: str
    amounts: Amounts


class TokenRow(View):
    """What a project had of a model at a host; "" for servers outside the fabric."""

    project: str
    model: str
    host: str
    requests: int
    errors: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    price_micro_usd: int = Field(description="at the prices of when it was delivered")


class UsageView(View):
    """The meter's sums. Energy is modelled, the rest measured."""

    time_s: float
    rows: tuple[UsageRow, ...]
    tokens: tuple[TokenRow, ...] = ()


class NewProject(BaseModel):
    """A project to be made."""

    model_config = ConfigDict(extra="forbid")
    project: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")


class Projects(View):
    """Projects by name."""

    projects: tuple[str, ...]


class NewKey(BaseModel):
    """A key to be made."""

    model_config = ConfigDict(extra="forbid")
    project: str = Field("default", pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")
    scopes: tuple[Literal["admin", "write", "read", "watch", "infer"], ...] = Field(
        ("write",), min_length=1, max_length=5
    )
    expires_in_s: float | None = Field(None, gt=0, le=1e9, description="of the fabric's clock")
    note: str = Field("", max_length=200)
    requests_per_minute: int | None = Field(None, ge=1, le=10**9, description="of the gateway")
    tokens_per_minute: int | None = Field(None, ge=1, le=10**12, description="of the gateway, in and out")


class MadeKey(View):
    """A key with its secret, which is told this once."""

    id: str
    secret: str


class KeyView(View):
    """A key without its secret."""

    id: str
    project: str
    scopes: tuple[str, ...]
    note: str
    made_s: float
    expires_s: float | None
    revoked_s: float | None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


class Keys(View):
    """Keys, the newest last."""

    keys: tuple[KeyView, ...]


class EventView(View):
    """An entry of the log."""

    seq: int
    time_s: float
    kind: str
    project: str
    subject: str
    actor: str
    body: dict[str, Any]


class EventPage(View):
    """Entries of the log, and where to go on."""

    events: tuple[EventView, ...]
    cursor: int


class AuditView(View):
    """Whether the log is as it was written."""

    ok: bool
    entries: int
    head: str = Field(description="write it down elsewhere: with it a cut tail is found, whoever cut it")
    what: str = ""


class FabricView(View):
    """The fabric at a glance."""

    version: str
    scenario: str
    time_s: float
    speed: float
    events: int
    jobs: dict[str, int]
    ships: int
    ships_working: int
    gpus: int
    gpus_now: int
    gpus_used: int
    trouble: str = ""
    alarms: tuple[str, ...] = ()
    models_url: str = Field("", description="where models answer, as clients of OpenAI and Anthropic want it")


class ServerView(View):
    """One server of a deployment."""

    job: str
    host: str
    status: StatusName
    ready: bool = Field(description="it answers, as the gateway finds")
    version: int
    adapters: tuple[str, ...] = Field((), description="tunings of the key's project that it has loaded")
    reason: str = ""


class FreshnessView(View):
    """How old feedback was when the newest round of continual tuning answered with it everywhere: medians of its pieces."""

    pieces: int
    measured_s: float = Field(description="of the program on this machine, seconds of the wall's clock")
    modelled_s: float | None = Field(description="on the accelerator named, physical seconds")
    accelerator: str = ""
    gpus: int = 0
    why: str = Field("", description="there is no modelled one")


class DeploymentView(View):
    """A model that is served."""

    name: str
    model: str
    project: str = Field(description='"" for every project\'s')
    version: int
    replicas: int = Field(description="wanted")
    ready: int
    servers: tuple[ServerView, ...] = ()
    urls: tuple[str, ...] = ()
    asked_per_s: float = 0.0
    price_in_usd_mtok: float
    price_out_usd_mtok: float
    jurisdictions: tuple[str, ...] = ()
    tuned: tuple[str, ...] = Field((), description="tuned models of the key's project that answer")
    freshness: FreshnessView | None = None
    made_s: float
    reason: str = ""


class Deployments(View):
    """Deployments, in order of their making."""

    time_s: float
    deployments: tuple[DeploymentView, ...]


class NewDeployment(BaseModel):
    """A model to be served, or to be served otherwise."""

    model_config = ConfigDict(extra="forbid")
    deployment: Deployment
