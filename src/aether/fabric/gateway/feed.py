"""What the gateway is told by the control process, and what it tells it."""

from __future__ import annotations

from pydantic import Field

from aether.fabric.protocol import Ident, Record, Whole


class KeyFacts(Record):
    """A key as the gateway needs it. Limits are of a minute; none is without limit."""

    key: str
    digest: str
    project: str
    scopes: tuple[str, ...]
    expires_s: float | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


class HostNow(Record):
    """A ship or a site as the twin sees it at present: all of it modelled."""

    name: str
    ship: bool
    country: str
    gpus: int = Field(description="that may run now")
    gpus_installed: int
    limit: str = ""
    lit: bool = True
    contact: bool = True
    up: bool = True
    charge_share: float | None = None
    eclipse_in_s: float | None = Field(None, description="fabric time to the next darkness, 0 in it; none in sight")
    gone_in_s: float | None = Field(None, description="fabric time until it is out of reach; none in sight")
    energy_usd_j: float = 0.0
    round_trip_s: dict[str, float] = Field(
        {}, description="place to seconds; a place that does not reach it is left out"
    )


class Replica(Record):
    """A server that answers for a deployment. host: "" for one outside the fabric, by URL."""

    id: str
    host: str
    url: str
    adapters: tuple[str, ...] = Field((), description="adapters that it has loaded, by their names upstream")
    leaving: bool = Field(False, description="finishes what it has and takes nothing new")
    key: str = Field("", repr=False, description="what it is asked with")


class DeploymentFacts(Record):
    """A model that is served. project: "" for every project's."""

    name: str
    project: str
    model: str = Field(description="as clients name it")
    upstream: str = Field(description="as its servers name it")
    probe: str = Field("/health", description="path that answers 200 when a server is ready")
    probe_body: str = Field("", description="JSON that is posted there; asked by GET without")
    probe_timeout_s: float = 2.0
    replicas: tuple[Replica, ...] = ()
    jurisdictions: tuple[str, ...] = ()
    price_in_usd_mtok: float = 0.0
    price_out_usd_mtok: float = 0.0
    context: int | None = None
    created_s: float = 0.0
    salted: bool = Field(True, description="its servers take `cache_salt`")


class AdapterFacts(Record):
    """A tuned model: a deployment's model with an adapter."""

    model: str = Field(description="as clients name it, as ft:aether-tiny:acme::a1b2c3")
    project: str
    deployment: str
    upstream: str = Field(description="as servers that have loaded it name it")
    created_s: float = 0.0


class Feed(Record):
    """All that the gateway goes by. version: goes up with every change but those of `hosts`."""

    version: int
    time_s: float
    speed: float
    place: str = Field("", description="of callers that name none")
    impose: bool = Field(False, description="the modelled round trip is waited for")
    keys: tuple[KeyFacts, ...]
    deployments: tuple[DeploymentFacts, ...]
    adapters: tuple[AdapterFacts, ...]
    hosts: tuple[HostNow, ...]
    acknowledged: int = Field(0, description="the last of the gateway's tallies that is stored")


class Tally(Record):
    """Tokens that one key had of one model at one host since the last tally: what was delivered, whole or broken off."""

    n: int = Field(ge=1, description="number in the gateway's journal")
    key: str
    project: str
    deployment: str
    model: str
    host: str
    start_ms: Whole = Field(description="fabric time")
    end_ms: Whole
    requests: Whole
    errors: Whole = 0
    input_tokens: Whole
    output_tokens: Whole
    cached_tokens: Whole = 0


class Word(Record):
    """What the gateway tells: its tallies, what is asked of each deployment, places it wants round trips of, servers that answer."""

    journal: str = Field(pattern=r"^[0-9a-f]{32}$")
    seen: int = Field(description="version of the feed that it has")
    tallies: tuple[Tally, ...] = Field((), max_length=1000)
    asked_per_s: dict[str, float] = Field({}, description="deployment to requests a second, over the last ten")
    places: tuple[str, ...] = Field((), max_length=50)
    ready: tuple[Ident, ...] = Field((), description="replicas that answer")
    wait_s: float = Field(0.0, ge=0.0, le=30.0)
