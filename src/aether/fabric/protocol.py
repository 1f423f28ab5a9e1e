"""What control and ship runtimes say to one another: orders one way, numbered reports the other."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

PROTOCOL = 1  # a runtime that speaks another number is refused by name
Ident = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_./-]{0,199}$")]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Whole = Annotated[int, Field(ge=0, le=2**62)]


class Record(BaseModel):
    """Frozen; strange keys and numbers that are none are refused (JSON, in which events are kept, has no NaN).

    It lives here, not with tasks, so that a runtime need not load units and numpy.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Peer(Record):
    """A member of the same attempt, once it is prepared."""

    rank: int
    runtime: str
    address: str
    port: int


class Order(Record):
    """What a runtime shall do about one member of one attempt. Orders are the whole truth: what is not ordered is stopped."""

    attempt: Ident = Field(description="job and number of the attempt, as j-abc/2")
    rank: int = Field(ge=0)
    nodes: int = Field(ge=1)
    phase: Literal["prepare", "run", "stop"]
    grace_s: float = Field(30.0, ge=0.0, description="between SIGTERM and SIGKILL, of the wall's clock")
    reason: str = Field("", description="why it stops, as people read it")
    gpus: int = Field(ge=0, description="of the host that this member holds")
    priority: int = 500
    spot: bool = False
    setup: str = ""
    run: str
    envs: dict[str, str] = Field({})
    mounts: dict[str, Digest] = Field({}, description="path under the job's home to a blob: a tar archive, or one file")
    workdir: Digest | None = None
    checkpoint: str | None = Field(None, description="folder under the job's home that is kept")
    checkpoint_every_s: float = 60.0
    restore: tuple[Digest, ...] = Field(
        (), description="checkpoints of the attempts before, one a rank, in order of rank"
    )
    peers: tuple[Peer, ...] = Field((), description="all members in order of rank, in the phases run and stop")
    serves: bool = Field(False, description="it is a model server, at its peer's address and port")
    server_key: str = Field("", repr=False, description="without which a model server answers nobody; kept nowhere")
    adapters: dict[str, Digest] = Field({}, description="name to blob, that its model server shall have loaded")


class Prepared(Record):
    """Files are there, setup is done, a port is held for the master."""

    kind: Literal["prepared"] = "prepared"
    attempt: Ident
    rank: int
    address: str = Field(max_length=100)
    port: int = Field(ge=1, le=65535)


class Started(Record):
    """The program runs."""

    kind: Literal["started"] = "started"
    attempt: Ident
    rank: int


class Checkpointed(Record):
    """A checkpoint lies in the fabric's store."""

    kind: Literal["checkpointed"] = "checkpointed"
    attempt: Ident
    rank: int
    digest: Digest
    size_bytes: Whole


class Ended(Record):
    """The member is over, and nothing of it runs any more."""

    kind: Literal["ended"] = "ended"
    attempt: Ident
    rank: int
    how: Literal["exit", "setup", "prepare", "stopped", "shed", "lost"]
    code: int | None = Field(None, description="exit code; negative is a signal")
    why: str = Field("", max_length=500)


class Adapted(Record):
    """The member's model server has these adapters loaded, and no others."""

    kind: Literal["adapted"] = "adapted"
    attempt: Ident
    rank: int
    adapters: dict[Annotated[str, Field(max_length=200)], Digest] = Field({}, max_length=1000)
    refused: dict[str, str] = Field({}, max_length=1000, description="those that its server would not load, and why")


class Used(Record):
    """What a member used in a span of the fabric's time, signed by the runtime; in whole numbers, so that sums are exact.

    Spans of a member touch. One may follow its Ended, without length: bytes of its log that went up afterwards.
    """

    kind: Literal["used"] = "used"
    attempt: Ident
    rank: int
    start_ms: Whole = Field(description="fabric time")
    end_ms: Whole
    accelerator: str = Field(max_length=100)
    gpu_ms: Whole = Field(description="GPUs held x time [ms]")
    energy_j: Whole = Field(description="modelled: GPUs at the clocks that power and heat left")
    laser_bytes: Whole = Field(description="measured, both ways over the ship's lasers")
    downlink_bytes: Whole = Field(description="measured, down to the ground")
    checkpoint_byte_s: Whole = Field(0, description="checkpoints held x time")
    signature: str = Field(
        "",
        max_length=200,
        description="Ed25519, base64: over the canonical JSON without it and with `runtime`, the runtime's name",
    )


Report = Annotated[Prepared | Started | Checkpointed | Adapted | Ended | Used, Field(discriminator="kind")]


class Numbered(Record):
    """A report with its place in the runtime's journal; time_s: fabric time when it happened."""

    n: int = Field(ge=1)
    time_s: float
    report: Report


class Join(Record):
    """A runtime introduces itself."""

    protocol: int
    version: str = Field(max_length=50)
    runtime: Ident
    journal: str = Field(pattern=r"^[0-9a-f]{32}$", description="names the disk: a new disk begins to number anew")
    public_key: str = Field(max_length=100, description="Ed25519, base64")
    address: str = Field(max_length=100)
    pid: int


class Joined(Record):
    """What a runtime learns when it joins. acknowledged: the last report of its journal that is stored."""

    acknowledged: int
    time_s: float
    speed: float
    host: dict[str, float | str | None] = Field({})


class Sync(Record):
    """One exchange: reports go up, orders come down. seen: the version of the orders that the runtime holds, -1 for none.

    A runtime asks twice at a time: it sends its reports without waiting, and waits for orders without reports.
    """

    runtime: Ident
    journal: str
    seen: int
    reports: tuple[Numbered, ...] = Field((), max_length=1000)
    wait_s: float = Field(0.0, ge=0.0, le=30.0, description="how long control may hold the answer for news")


class Orders(Record):
    """The answer: what is stored, what shall be, and the fabric's clock."""

    acknowledged: int
    version: int
    orders: tuple[Order, ...]
    time_s: float
    speed: float
    leave: bool = Field(False, description="the fabric ends: stop all work with its grace, report, and end")


class Sensors(Record):
    """What a ship feels of itself, without contact: written beside the runtime by whoever plays its physics (the executor)."""

    time_s: float
    gpus: int = Field(description="that power, heat and radiation leave")
    gpu_w: float = Field(description="of one GPU at the present clocks, host and facility included")
    limit: str = ""
    contact: bool = True
    paused: bool = Field(False, description="inside a radiation anomaly: chips wait, programs stand still")
    ship: bool = Field(description="False at a ground site, whose bytes go by fibre")
    accelerator: str = ""
