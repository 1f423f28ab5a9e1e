"""Everything that can happen to a fabric, as records that are stored before they are acted on."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from aether.base.errors import InputError, Problem
from aether.fabric.gateway.feed import Tally
from aether.fabric.protocol import Ident, Report
from aether.fabric.service import Deployment
from aether.fabric.task import Record, Task


class HostFacts(Record):
    """What does not change about a ship or a site while the fabric runs."""

    name: str
    group: str
    ship: bool
    country: str
    accelerator: str
    gpus: int = Field(ge=0)
    cores_per_gpu: float = Field(gt=0)
    memory_gb_per_gpu: float = Field(gt=0)
    gpu_w: float
    energy_usd_j: float


class Opened(Record):
    """A control process took the fabric over. hosts: all of its scenario that have a runtime."""

    kind: Literal["opened"] = "opened"
    version: str
    scenario: str
    hosts: tuple[HostFacts, ...]


class Submitted(Record):
    """A job, or an array of them, was accepted. after: jobs that must have succeeded, arrays spelt out."""

    kind: Literal["submitted"] = "submitted"
    job: Ident
    project: str
    task: Task
    after: tuple[str, ...] = ()
    deployment: str = Field("", description="that the job is a server of")
    version: int = Field(0, description="of the deployment")
    tuning: str = Field("", description="the tuning that the job is the work of")


class CancelAsked(Record):
    """Somebody wants jobs ended."""

    kind: Literal["cancel_asked"] = "cancel_asked"
    jobs: tuple[Ident, ...]


class GivenUp(Record):
    """Servers run and do not answer: they are ended, others take their place. reason: since when."""

    kind: Literal["given_up"] = "given_up"
    jobs: tuple[Ident, ...]
    reason: str


class Placed(Record):
    """A decision to start a job: which of its ways, and a host for each node."""

    kind: Literal["placed"] = "placed"
    job: Ident
    way: int
    accelerator: str
    gpus: int = Field(description="of each host")
    hosts: tuple[str, ...]


class Displaced(Record):
    """A decision to take a job from its hosts; it waits again."""

    kind: Literal["displaced"] = "displaced"
    job: Ident
    reason: str


class RuntimeJoined(Record):
    """A runtime introduced itself; another journal than before means that the old disk is gone."""

    kind: Literal["runtime_joined"] = "runtime_joined"
    runtime: Ident
    journal: str
    public_key: str
    address: str
    version: str


class RuntimeLost(Record):
    """A runtime is given up: what ran there goes on elsewhere."""

    kind: Literal["runtime_lost"] = "runtime_lost"
    runtime: Ident
    reason: str


class RuntimeBack(Record):
    """A runtime that was given up speaks again."""

    kind: Literal["runtime_back"] = "runtime_back"
    runtime: Ident


class Reported(Record):
    """A runtime's report, by its number in the runtime's journal."""

    kind: Literal["reported"] = "reported"
    runtime: Ident
    journal: str
    n: int
    happened_s: float
    report: Report


class Crossed(Record):
    """A threshold of the twin: what a host can bear from now on."""

    host: str
    gpus: int
    limit: str = ""
    contact: bool = True
    lit: bool = True
    up: bool = True


class Reach(Record):
    """Whether a host lies within a round trip of a place, from now on."""

    host: str
    place: str
    limit_s: float
    within: bool


class Conditions(Record):
    """What the twin says: thresholds crossed, nothing else."""

    kind: Literal["conditions"] = "conditions"
    crossed: tuple[Crossed, ...] = ()
    reaches: tuple[Reach, ...] = ()


class Cordoned(Record):
    """Whether a host takes new work. drain: what runs leaves it, too."""

    kind: Literal["cordoned"] = "cordoned"
    host: str
    closed: bool
    drain: bool = False


class Ticked(Record):
    """The clock passed something that was due: a deadline, the end of a wait."""

    kind: Literal["ticked"] = "ticked"


class Injected(Record):
    """Somebody made a fault. until_s: fabric time of its end, none for good."""

    kind: Literal["injected"] = "injected"
    fault: Literal["ship", "site", "link", "gateway", "pump", "runtime", "clock"]
    name: str
    until_s: float | None = None
    by_s: float = 0.0


class ClockJumped(Record):
    """The machine's clock went another way than its steady one; the fabric's did not."""

    kind: Literal["clock_jumped"] = "clock_jumped"
    by_s: float


class ProjectMade(Record):
    """A project came to be."""

    kind: Literal["project_made"] = "project_made"
    project: str


class KeyMade(Record):
    """A key came to be; only its digest is kept."""

    kind: Literal["key_made"] = "key_made"
    key: Ident
    project: str
    digest: str
    scopes: tuple[str, ...]
    expires_s: float | None = None
    note: str = ""
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


class KeyRevoked(Record):
    """A key is worth nothing any more."""

    kind: Literal["key_revoked"] = "key_revoked"
    key: Ident


class Deployed(Record):
    """A model is to be served, or served otherwise than before."""

    kind: Literal["deployed"] = "deployed"
    id: str = Field(description="its name, after that of its project unless it is every project's")
    project: str
    deployment: Deployment


class Undeployed(Record):
    """A model is served no longer."""

    kind: Literal["undeployed"] = "undeployed"
    deployment: str


class Scaled(Record):
    """A decision on how many servers a deployment has."""

    kind: Literal["scaled"] = "scaled"
    deployment: str
    replicas: int
    reason: str


class Tallied(Record):
    """Tokens that the gateway delivered, by the numbers of its journal."""

    kind: Literal["tallied"] = "tallied"
    journal: str
    tallies: tuple[Tally, ...]


class FileMade(Record):
    """A file came to be, for tuning."""

    kind: Literal["file_made"] = "file_made"
    file: Ident
    project: str
    name: str
    purpose: str
    digest: str
    size_bytes: int


class FileRemoved(Record):
    """A file is there no longer."""

    kind: Literal["file_removed"] = "file_removed"
    file: Ident


class TuningAsked(Record):
    """A model is to be tuned. feedback: pieces that its examples are, of a round of the continual loop."""

    kind: Literal["tuning_asked"] = "tuning_asked"
    tuning: Ident
    project: str
    deployment: str
    model: str = Field(description="that it begins from, as the client named it")
    name: str = Field(description="of the tuned model, as clients will name it")
    training_file: str = ""
    validation_file: str = ""
    suffix: str = ""
    settings: dict[str, str] = Field({}, description="hyperparameters")
    seed: int | None = None
    metadata: dict[str, str] = Field({})
    feedback: tuple[str, ...] = ()


class TuningCancelled(Record):
    """A tuning is wanted no longer."""

    kind: Literal["tuning_cancelled"] = "tuning_cancelled"
    tuning: Ident


class AdapterMade(Record):
    """A tuning's program has left an adapter: servers are to load it."""

    kind: Literal["adapter_made"] = "adapter_made"
    tuning: Ident


class AdapterServed(Record):
    """All servers answer with an adapter, or one cannot load it."""

    kind: Literal["adapter_served"] = "adapter_served"
    tuning: Ident
    refused: str = ""


class AdapterRemoved(Record):
    """A tuned model is served no longer."""

    kind: Literal["adapter_removed"] = "adapter_removed"
    model: str


class FeedbackGiven(Record):
    """Somebody said how a model should have answered."""

    kind: Literal["feedback_given"] = "feedback_given"
    feedback: Ident
    project: str
    deployment: str
    line: str = Field(max_length=100_000, description="an example, as a line of a training file")


class Forgotten(Record):
    """Jobs long over leave the present state; the log keeps them."""

    kind: Literal["forgotten"] = "forgotten"
    jobs: tuple[Ident, ...]


Event = Annotated[
    Opened | Submitted | CancelAsked | GivenUp | Placed | Displaced | RuntimeJoined | RuntimeLost | RuntimeBack | Reported | Conditions
    | Cordoned | Ticked | Injected | ClockJumped | ProjectMade | KeyMade | KeyRevoked | Deployed | Undeployed | Scaled | Tallied | FileMade
    | FileRemoved | TuningAsked | TuningCancelled | AdapterMade | AdapterServed | AdapterRemoved | FeedbackGiven | Forgotten,
    Field(discriminator="kind"),
]  # fmt: skip
_CODEC: TypeAdapter[Event] = TypeAdapter(Event)


def encode(event: Event) -> str:
    """An event as JSON text."""
    return event.model_dump_json()


def decode(text: str) -> Event:
    """The event of a JSON text. Raises InputError for a kind or a field that this version does not know."""
    try:
        return _CODEC.validate_json(text)
    except ValidationError as error:
        told = error.errors(include_url=False)[0]
        what = f"an event of the log is not understood: {told['msg']} at {'.'.join(map(str, told['loc']))}"
        raise InputError(Problem("", what, next="It was written by a newer version: use that one")) from error
