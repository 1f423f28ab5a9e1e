"""What a scenario file may say: validation, the JSON schema and the documentation are made from these classes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from aether.scenario.catalog import Shell
from aether.scenario.quantity import Unit
from aether.scenario.spec_lifetime import Lifetime
from aether.scenario.strict import Strict, dated, exactly_one

Altitude = Annotated[float, Unit("m", least=150e3, most=2_000e3)]
Seconds = Annotated[float, Unit("s", above=0.0)]
Angle = Annotated[float, Unit("rad")]
Share = Annotated[float, Unit("1", least=0.0, most=1.0)]


class MeshShell(Strict):
    """Relays: a mesh of the catalog, one Walker shell given here, or a file of element sets. Exactly one."""

    mesh: str | None = Field(None, description="a mesh of the catalog, as starlink-s1")
    shell: Shell | None = Field(None, description="a Walker shell")
    elements: str | None = Field(None, description="a file of TLE or OMM element sets, beside the scenario")
    skip_bad: bool = Field(False, description="leave out bad records of the element file instead of refusing it")

    @model_validator(mode="after")
    def _one(self) -> MeshShell:
        exactly_one(self, ("mesh", "shell", "elements"))
        return self


class Relays(Strict):
    """The laser mesh that joins the ships to the ground and to one another."""

    shells: tuple[MeshShell, ...] = Field(min_length=1)
    topology: str = Field("plus-grid", description="which relays are joined")
    terminal: str = Field("starlink-laser", description="laser terminal of the relays")
    ship_terminals: int = Field(1, ge=0, le=8, description="terminals a relay keeps free for ships")


class Ring(Strict):
    """A sun-synchronous ring: ships evenly along one orbit."""

    altitude: Altitude
    node_local_time: Annotated[float, Unit("s", least=0.0, most=86400.0)] = Field(
        description="local time of the ascending node, 18 h for dawn-dusk"
    )


class Cluster(Strict):
    """Ships in close formation round one orbit."""

    altitude: Altitude
    node_local_time: Annotated[float, Unit("s", least=0.0, most=86400.0)]
    radius: Annotated[float, Unit("m", above=0.0, most=20e3)]


class Orbit(Strict):
    """Where the ships of a group fly. Exactly one."""

    ring: Ring | None = None
    walker: Shell | None = None
    cluster: Cluster | None = None

    @model_validator(mode="after")
    def _one(self) -> Orbit:
        exactly_one(self, ("ring", "walker", "cluster"))
        return self

    @property
    def altitude(self) -> float:
        """Of whichever is given [m]."""
        return next(o.altitude for o in (self.ring, self.walker, self.cluster) if o is not None)


class ArrayChange(Strict):
    """Another array than the ship's own."""

    part: str | None = None
    area: Annotated[float, Unit("m^2", above=0.0)] | None = None


class BatteryChange(Strict):
    """Another battery than the ship's own."""

    part: str | None = None
    energy: Annotated[float, Unit("J", above=0.0)] | None = None


class RadiatorChange(Strict):
    """Another radiator than the ship's own."""

    part: str | None = None
    area: Annotated[float, Unit("m^2", above=0.0)] | None = None


class ShipGroup(Strict):
    """Ships of one class on one orbit; what is given here replaces the class's own."""

    name: str = Field(min_length=1, max_length=60, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    ship: str = Field(description="a ship of the catalog")
    count: int = Field(1, ge=1, le=100_000)
    orbit: Orbit
    age: Annotated[float, Unit("s", least=0.0)] = Field(
        0.0, description="time in orbit before the run: arrays and coatings age"
    )
    gpus: int | None = Field(None, ge=1, description="GPUs per ship")
    array: ArrayChange = ArrayChange()
    battery: BatteryChange = BatteryChange()
    radiator: RadiatorChange = RadiatorChange()
    terminals: int | None = Field(None, ge=1, le=64, description="laser terminals for the mesh")
    neighbour_terminals: int | None = Field(
        None, ge=0, le=16, description="laser terminals for neighbours of the group"
    )
    attitude: str | None = None
    shielding: Annotated[float, Unit("m", least=0.0)] | None = Field(None, description="aluminium equivalent")
    registry: str = Field("US", pattern=r"^[A-Z]{2}$", description="state of registry, two letters: its jurisdiction")


class Place(Strict):
    """A place on the ground given by hand."""

    name: str = Field(min_length=1, max_length=80)
    latitude: Annotated[float, Unit("rad", least=-1.5707963268, most=1.5707963268)]
    longitude: Annotated[float, Unit("rad", least=-3.1415926536, most=6.2831853072)]
    country: str | None = Field(None, pattern=r"^[A-Z]{2}$", description="two letters")
    people: float = Field(0.0, ge=0, le=1e11, description="who ask from here, for a place of demand")
    fibre: bool = Field(True, description="off: no local provider, only the place's own satellite terminal")


class Gateways(Strict):
    """Ground stations that join the mesh to the ground."""

    operational: bool = Field(True, description="the operational Starlink gateways of the catalog")
    planned: bool = Field(False, description="and the planned ones")
    add: tuple[Place, ...] = Field((), description="further stations")
    elevation: Angle = Field(0.4363323129985824, ge=0, le=1.5, description="least elevation, 25 deg")


class Cities(Strict):
    """Where people ask from."""

    largest: int = Field(320, ge=0, le=6_144, description="how many of the catalog's cities, by population")
    add: tuple[Place, ...] = ()
    elevation: Angle = Field(0.4363323129985824, ge=0, le=1.5, description="least elevation of user terminals, 25 deg")
    max_slant: Annotated[float, Unit("m", above=0.0)] | None = Field(
        None, description="longest user link, instead of or with the elevation"
    )


class Ground(Strict):
    """Gateways, cities and the cells of the coverage map."""

    gateways: Gateways = Gateways()
    cities: Cities = Cities()
    coverage_cells: int = Field(500, ge=0, le=20_000, description="equal-area cells of the coverage map")
    cut_cables: tuple[str, ...] = Field((), description="submarine cables out of service")


class Probe(Strict):
    """Two places whose round trip is recorded each step: cities, gateways or ships (`group/number`)."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    from_: str | Place = Field(alias="from")
    to: str | Place


class SiteGroup(Strict):
    """A ground data centre beside the ships."""

    name: str = Field(min_length=1, max_length=60, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    site: str = Field("liquid-cooled", description="a class of ground data centre of the catalog")
    at: str | Place = Field(description="a city or gateway of the catalog, or a place with its country")
    gpus: int = Field(ge=1, le=10_000_000)
    accelerator: str | None = Field(None, description="instead of the class's own")


class Requests(Strict):
    """How many ask, when, and how long they ask. Exactly one of per_person_day, rate and trace."""

    per_person_day: float | None = Field(None, ge=0, le=1e6, description="requests of one inhabitant in a day")
    rate: Annotated[float, Unit("1/s", least=0.0, most=1e12)] | None = Field(
        None, description="of all places together, a day's mean"
    )
    trace: str | None = Field(None, description="a CSV file of request times and lengths, beside the scenario")
    scale: float = Field(1.0, gt=0, le=1e9, description="times the trace's own rate")
    repeat: bool = Field(True, description="a trace shorter than the run starts again")
    lengths: str = Field("azure-conversation", description="lengths of requests and answers, of the catalog")
    input_tokens: float | None = Field(None, gt=0, le=10_000_000, description="mean, instead of the lengths'")
    output_tokens: float | None = Field(None, gt=0, le=10_000_000, description="mean, instead of the lengths'")
    places: tuple[str, ...] = Field(
        (), description="who asks: names of cities or countries (two letters); all when empty"
    )

    @model_validator(mode="after")
    def _one(self) -> Requests:
        exactly_one(self, ("per_person_day", "rate", "trace"))
        idle = ("lengths",) if self.trace is not None else ("scale", "repeat")
        given = [key for key in idle if key in self.model_fields_set]
        if given:
            what = "a trace has its own" if self.trace is not None else "means something with a trace only"
            raise PydanticCustomError("idle", "{text}", {"text": f"{given[0]}: {what}"})
        return self


class Autoscale(Strict):
    """Weights at as few hosts as are needed, moved over the mesh to more when more is asked."""

    least: int = Field(1, ge=1, description="hosts that always hold the weights")
    most: int | None = Field(None, ge=1, description="hosts at most")
    up: Annotated[float, Unit("1", above=0.0, most=1.0)] = Field(0.7, description="load above which hosts are added")
    down: Annotated[float, Unit("1", above=0.0, most=1.0)] = Field(0.3, description="load below which they are let go")
    cool: Seconds = Field(600.0, description="least time from a change to letting a host go")

    @model_validator(mode="after")
    def _order(self) -> Autoscale:
        if self.down >= self.up:
            raise PydanticCustomError("order", "down must be below up, or hosts would come and go")
        if self.most is not None and self.most < self.least:
            raise PydanticCustomError("order", "most must be least or more")
        return self


class Draft(Strict):
    """Speculative decoding: a small model proposes tokens, the large one checks them together."""

    model: str = Field(description="a small model of the catalog, or a Hugging Face config.json beside the scenario")
    tokens: int = Field(4, ge=1, le=64, description="proposed in an iteration")
    accept: Share | None = Field(
        None, description="chance that a proposed token is kept, the assumption's when left out"
    )


class Split(Strict):
    """Prompts read at some hosts, answers written at others, their caches sent over the mesh between."""

    prefill: tuple[str, ...] = Field(min_length=1, description="ship groups and sites that read prompts")
    decode: tuple[str, ...] = Field(min_length=1, description="ship groups and sites that write answers")

    @model_validator(mode="after")
    def _apart(self) -> Split:
        both = sorted(set(self.prefill) & set(self.decode))
        if both:
            text = f"{both[0]}: reads prompts and writes answers, which is no split; leave it out of one"
            raise PydanticCustomError("split", "{text}", {"text": text})
        return self


class Inference(Strict):
    """A model that answers people."""

    model: str = Field(description="a model of the catalog, or a Hugging Face config.json beside the scenario")
    precision: Literal["bf16", "fp8", "fp4"] = "fp8"
    gpus: int | None = Field(
        None, ge=1, description="GPUs of one replica; the fewest that hold the model when left out"
    )
    requests: Requests
    autoscale: Autoscale | None = Field(
        None, description="hosts that hold the weights by demand; all that may, all the time, when left out"
    )
    prefix_hit: Share = Field(0.0, description="share of prompts' tokens found in a cache, and not read again")
    draft: Draft | None = Field(None, description="speculative decoding; none when left out")
    split: Split | None = Field(None, description="prompts and answers at hosts of their own; together when left out")
    max_first_token: Seconds = Field(5.0, description="longest time to first token that counts as served")
    max_round_trip: Seconds | None = Field(None, description="longest network round trip allowed")
    patience: Annotated[float, Unit("s", least=0.0)] = Field(
        0.0,
        description="how long a request waits for a place, in whole steps; refused at once when shorter than a step",
    )
    price: Annotated[float, Unit("USD", least=0.0)] = Field(
        10.0, description="worth of a million tokens of answer: what placement weighs"
    )


class Training(Strict):
    """A model trained over one or more hosts: whole inside a host, low-communication data parallel between them."""

    model: str = Field(description="a model of the catalog, or a Hugging Face config.json beside the scenario")
    precision: Literal["bf16", "fp8"] = "bf16"
    tokens: float = Field(gt=0, description="of the whole run")
    batch: float = Field(4e6, gt=0, description="tokens of a global step, all hosts together")
    sequence: int = Field(4096, ge=1, le=10_000_000)
    gpus: int | None = Field(None, ge=1, description="at each host; all of a host's when left out")
    sync_every: int = Field(
        100, ge=1, description="inner steps between synchronisations of hosts; 1 is plain data parallel"
    )
    sync_bits: float = Field(16, ge=1, le=32, description="per parameter sent")
    sync_overlap: bool = Field(False, description="synchronise while the whole next phase is computed")
    method: Literal["data-parallel", "diloco", "streaming", "decoupled"] = Field(
        "diloco",
        description="between hosts: gradients every step, parameters every sync_every steps, in fragments, or without waiting for all",
    )
    fragments: int = Field(1, ge=1, le=10_000, description="sent in turn within sync_every steps; streaming, decoupled")
    overlap_steps: int = Field(0, ge=0, description="inner steps beside which a fragment is sent; streaming, decoupled")
    quorum: Annotated[float, Unit("1", above=0.0, most=1.0)] | None = Field(
        None, description="share of members that suffices, the assumption's when left out; decoupled or elastic"
    )
    grace: Annotated[float, Unit("s", least=0.0)] = Field(
        0.0, description="that a quorum waits for the others; decoupled"
    )
    elastic: bool = Field(False, description="go on in step with the members that are there")
    checkpoint_every: Seconds | None = Field(None, description="Young-Daly's interval when left out")
    checkpoint_to: Literal["ground", "peer", "none"] = Field(
        "ground", description="where a copy of each checkpoint of ships goes"
    )
    price: Annotated[float, Unit("USD", least=0.0)] = Field(
        2.0, description="worth of a GPU-hour: what placement weighs"
    )

    @model_validator(mode="after")
    def _means_something(self) -> Training:
        given = self.model_fields_set
        whole = ("fragments", "overlap_steps")
        idle = [k for k in whole if k in given and self.method in ("data-parallel", "diloco")]
        idle += [k for k in ("sync_every", "sync_overlap") if k in given and self.method == "data-parallel"]
        idle += ["sync_overlap"] if "overlap_steps" in given and self.sync_overlap else []
        idle += ["grace"] if "grace" in given and self.method != "decoupled" else []
        idle += ["elastic"] if self.elastic and self.method == "decoupled" else []
        idle += ["quorum"] if "quorum" in given and self.method != "decoupled" and not self.elastic else []
        if idle:
            text = f"{idle[0]}: means nothing with method: {self.method}"
            text += " and without elastic" if idle[0] == "quorum" else ""
            raise PydanticCustomError("idle", "{text}", {"text": text})
        if self.fragments > self.sync_every or self.overlap_steps * self.fragments > self.sync_every:
            text = f"fragments: {self.fragments} in {self.sync_every} steps, each beside {self.overlap_steps} of them, do not fit"
            raise PydanticCustomError("fragments", "{text}", {"text": text})
        return self


class Imaging(Strict):
    """Satellites that take pictures of what the Sun lights below them."""

    count: int = Field(1, ge=1, le=500)
    orbit: Orbit
    swath: Annotated[float, Unit("m", above=0.0, most=4e6)]
    resolution: Annotated[float, Unit("m", above=0.0)] = Field(description="ground sample distance")
    bits: float = Field(12, gt=0, le=32, description="of a pixel and band")
    bands: int = Field(4, ge=1, le=1000)
    compression: float = Field(2.5, ge=1, le=1000)
    sun_elevation: Angle = Field(0.1396263401595464, ge=0, le=1.57, description="of the ground below at least, 8 deg")
    duty: Share = Field(0.3, description="share of sun-lit passes over what is worth a picture")
    terminal: str | None = Field(None, description="laser terminal to the mesh; the relays' own when left out")
    downlink: Annotated[float, Unit("bit/s", above=0.0)] | None = Field(
        None, description="own radio, while a station sees the satellite"
    )
    stations: tuple[str, ...] = Field((), description="gateways that receive the radio; all when empty")


class Window(Strict):
    """When something happens, from the start of the run."""

    start: Annotated[float, Unit("s", least=0.0)]
    duration: Seconds


class PlaceSource(Strict):
    """Sensors, vehicles, vessels or a launch at places on the ground, with satellite terminals or a local provider."""

    places: tuple[str, ...] = Field(min_length=1, description="cities of the catalog, or places of ground.cities.add")
    units: float = Field(1, gt=0, le=1e9, description="senders at each place")
    rate: Annotated[float, Unit("bit/s", above=0.0)] = Field(description="of one of them")
    windows: tuple[Window, ...] = Field((), description="when they send, as a launch does; always when empty")


class SatelliteSource(Strict):
    """Telemetry of the fabric's own satellites."""

    of: Literal["relays", "ships"]
    rate: Annotated[float, Unit("bit/s", above=0.0)] = Field(description="of one satellite")


class Stream(Strict):
    """Data that must become insight: worked on in orbit, or sent down raw. Exactly one source."""

    imaging: Imaging | None = None
    places: PlaceSource | None = None
    satellites: SatelliteSource | None = None
    process: Literal["orbit", "ground"] = Field("orbit", description="where data becomes insight")
    flop_per_bit: float | None = Field(None, gt=0, description="operations on each bit of raw data")
    reduction: float | None = Field(None, ge=1, description="bits of raw data for one of result")
    buffer: Annotated[float, Unit("byte", above=0.0)] | None = Field(None, description="memory of one source")
    keep: Seconds = Field(43200.0, description="after which data is worthless and dropped")
    max_insight: Seconds = Field(1800.0, description="longest time from measuring to result that is in time")
    price: Annotated[float, Unit("USD", least=0.0)] = Field(
        5.0, description="worth of a GPU-hour: what placement weighs"
    )

    @model_validator(mode="after")
    def _one(self) -> Stream:
        exactly_one(self, ("imaging", "places", "satellites"))
        return self


class Tuning(Strict):
    """A served model kept fresh by what people say of its answers."""

    service: str = Field(description="the inference workload whose model is tuned")
    method: Literal["lora", "full"] = "lora"
    rank: int = Field(16, ge=1, le=4096, description="of the adapter")
    targets: Literal["attention", "all"] = Field("all", description="which matrices the adapter stands beside")
    feedback: Share = Field(0.001, description="share of answers that teach something")
    epochs: float = Field(1, gt=0, le=100, description="how often each sample is used")
    every: Seconds = Field(600.0, description="least time between the beginnings of two versions")
    gpus: int | None = Field(None, ge=1, description="that tune; the fewest that hold what is tuned when left out")
    fresh: Seconds = Field(900.0, description="from feedback to the adapter serving everywhere: real time up to here")
    price: Annotated[float, Unit("USD", least=0.0)] = Field(
        20.0, description="worth of a GPU-hour: what placement weighs"
    )


class Workload(Strict):
    """Work for the fabric. Exactly one of inference, training, tuning and stream."""

    name: str = Field(min_length=1, max_length=60, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    inference: Inference | None = None
    training: Training | None = None
    tuning: Tuning | None = None
    stream: Stream | None = None
    where: tuple[str, ...] = Field((), description="ship groups and sites that may run it; all when empty")
    jurisdictions: tuple[Annotated[str, Field(pattern=r"^[A-Z]{2}$")], ...] = Field(
        (), description="states, two letters, whose law may hold at the host; any when empty"
    )

    @model_validator(mode="after")
    def _one(self) -> Workload:
        exactly_one(self, KINDS)
        return self

    @property
    def kind(self) -> str:
        """Which of the four it is."""
        return next(k for k in KINDS if getattr(self, k) is not None)

    @property
    def asked(self) -> Inference | Training | Tuning | Stream:
        """What is asked."""
        return getattr(self, self.kind)


KINDS = ("inference", "training", "tuning", "stream")


class Degrading(Strict):
    """A part of a ship that fails slowly."""

    ship: str = Field(pattern=r"^.+/[0-9]{1,6}$", description="group/number")
    kind: Literal["pump", "pointing", "cells", "battery"]
    start: Annotated[float, Unit("s", least=0.0)]
    over: Annotated[float, Unit("s", least=0.0)] = Field(
        10800.0, description="from whole to its full loss; 0 for a step"
    )
    depth: Annotated[float, Unit("1", above=0.0, most=1.0)] = Field(description="share lost in the end")
    breaks: bool = Field(False, description="the ship is lost for the run when all is lost, unless drained before")


class Watch(Strict):
    """Telemetry is watched as it streams; a ship with a confirmed change is drained of work and mended if it can be."""

    drain: Seconds = Field(7200.0, description="how long a drained ship rests")
    inject: int = Field(0, ge=0, le=10_000, description="ships that degrade by chance, to score the watch")


class Within(Strict):
    """A circle on the ground."""

    at: str | Place = Field(description="a city or gateway of the catalog, or a place given by hand")
    radius: Annotated[float, Unit("m", above=0.0, most=20.1e6)]


class GatewayRegion(Strict):
    """Gateways that go out of service together. Exactly one."""

    country: str | None = Field(
        None, pattern=r"^[A-Z]{2}$", description="two letters: gateways whose nearest city of the catalog lies there"
    )
    within: Within | None = None

    @model_validator(mode="after")
    def _one(self) -> GatewayRegion:
        exactly_one(self, ("country", "within"))
        return self


class PriceChange(Strict):
    """Another price of a grid's energy."""

    country: str = Field(pattern=r"^[A-Z]{2}$", description="two letters: whose grid")
    factor: float = Field(gt=0, le=10_000, description="times the catalog's price")


class Happening(Strict):
    """Something lost for a time, or dearer. Exactly one of cut_cables, gateways, ships, sites and price.

    Ships, sites and gateways are out for the very share of a tick; cables and prices change in ticks whose middle it covers.
    """

    start: Annotated[float, Unit("s", least=0.0)]
    duration: Seconds
    cut_cables: tuple[str, ...] | None = Field(None, min_length=1, description="submarine cables out of service")
    gateways: GatewayRegion | None = None
    ships: tuple[Annotated[str, Field(pattern=r"^.+/[0-9]+$")], ...] | None = Field(
        None, min_length=1, description="group/number: out of service, what they trained since a checkpoint is lost"
    )
    sites: tuple[str, ...] | None = Field(None, min_length=1, description="names of ground sites out of service")
    price: PriceChange | None = None

    @model_validator(mode="after")
    def _one(self) -> Happening:
        exactly_one(self, HAPPENINGS)
        return self

    @property
    def kind(self) -> str:
        """Which of the five it is."""
        return next(k for k in HAPPENINGS if getattr(self, k) is not None)


HAPPENINGS = ("cut_cables", "gateways", "ships", "sites", "price")


class Job(Strict):
    """Work of a known size, or GPUs held for a time, placed into what workloads leave. A job counts when it is done;
    a service or a stream by the time in which it runs."""

    name: str = Field(min_length=1, max_length=60, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    kind: Literal["job", "service", "stream"] = "job"
    count: int = Field(1, ge=1, le=100_000, description="how many alike")
    gpus: int = Field(ge=1, le=10_000_000, description="all at one host")
    members: int = Field(1, ge=1, le=100, description="of a gang, each with such GPUs: all run at once or none does")
    time: Seconds | None = Field(
        None, description="of work at full clocks; a service or stream runs from release to deadline"
    )
    release: Annotated[float, Unit("s", least=0.0)] = Field(0.0, description="when it may begin, from the start")
    deadline: Seconds | None = Field(None, description="when it must be done, from the start; the end when left out")
    price: Annotated[float, Unit("USD", least=0.0)] = Field(
        2.0, description="worth of a GPU-hour: what placement weighs"
    )
    priority: float = Field(1.0, gt=0, le=1e6, description="its worth counts so many times")
    preemptible: bool = Field(True, description="may pause, go on and move from a checkpoint")
    memory: Annotated[float, Unit("byte", least=0.0)] = Field(0.0, description="of GPUs, a member")
    checkpoint: Annotated[float, Unit("byte", least=0.0)] = Field(
        0.0, description="a member moves it when it is preempted and when it goes on"
    )
    input: Annotated[float, Unit("byte", least=0.0)] = Field(0.0, description="a member reads before it begins")
    output: Annotated[float, Unit("byte", least=0.0)] = Field(0.0, description="a member hands back at its end")
    rate: Annotated[float, Unit("bit/s", least=0.0)] = Field(0.0, description="a member moves while it runs")
    place: str | None = Field(None, description="a city of the run, for the round trip")
    max_round_trip: Seconds | None = Field(None, description="between place and host")
    where: tuple[str, ...] = Field((), description="ship groups and sites that may run it; all when empty")
    jurisdictions: tuple[Annotated[str, Field(pattern=r"^[A-Z]{2}$")], ...] = Field(
        (), description="states, two letters, whose law may hold at the host; any when empty"
    )

    @model_validator(mode="after")
    def _whole(self) -> Job:
        if (self.kind == "job") != (self.time is not None):
            text = (
                "a job needs its time"
                if self.kind == "job"
                else f"a {self.kind} runs from release to deadline: leave time out"
            )
            raise PydanticCustomError("time", "{text}", {"text": text})
        if (self.max_round_trip is None) != (self.place is None):
            raise PydanticCustomError("place", "place and max_round_trip go together")
        if self.deadline is not None and self.deadline - self.release < (self.time or 1e-9):
            raise PydanticCustomError("deadline", "there is less time between release and deadline than it needs")
        return self


class Placement(Strict):
    """Who decides what runs where."""

    policy: str = Field("value", description="a placement policy")


class Couplings(Strict):
    """Each may be switched off to see what it costs (an ablation)."""

    eclipse: bool = Field(True, description="off: the Sun always shines on the arrays")
    heat: bool = Field(True, description="off: no temperature limits the clocks")
    attitude: bool = Field(
        True, description="off: arrays always face the Sun and the radiator's sink is the design sink"
    )
    acquisition: bool = Field(True, description="off: laser links carry data at once")
    anomaly: bool = Field(
        True, description="off: chips run on through the South Atlantic Anomaly and radiation costs nothing"
    )
    access: bool = Field(True, description="off: every place reaches every host at once, without delay")
    flows: bool = Field(True, description="off: links carry all that is asked of them")
    faults: bool = Field(True, description="off: nothing fails")
    manoeuvres: bool = Field(True, description="off: ships neither sink nor make way, and never thrust")
    placement: bool = Field(True, description="off: requests stay with their nearest host, whatever its load")


class Environment(Strict):
    """Space weather."""

    solar_activity: Literal["minimum", "maximum"] = Field("maximum", description="which trapped-radiation map")
    anomaly_flux: Annotated[float, Unit("1/cm^2/s", above=0.0)] | None = Field(
        None, description="proton flux above which chips pause"
    )


class Outputs(Strict):
    """What is recorded."""

    ablation: bool = Field(True, description="run again with each coupling switched off")
    report: bool = True
    requests: bool = Field(
        True,
        description="follow a replica of each service and group of hosts request by request: percentiles in the summary",
    )


class Spec(Strict):
    """One scenario."""

    name: str = Field(min_length=1, max_length=80, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    title: str = ""
    start: datetime = Field(description="UTC, as 2026-06-21T00:00:00Z")
    duration: Seconds = 86400.0
    step: Annotated[float, Unit("s", least=1.0, most=3600.0)] = 60.0
    seed: int = Field(1, ge=0)
    relays: Relays
    ships: tuple[ShipGroup, ...] = Field((), description="groups of compute ships; none for a fabric on the ground")
    ground: Ground = Ground()
    sites: tuple[SiteGroup, ...] = Field((), description="ground data centres beside the ships")
    workloads: tuple[Workload, ...] = Field((), description="what people ask of the fabric")
    jobs: tuple[Job, ...] = Field((), description="jobs, services and streams placed into what workloads leave")
    placement: Placement = Placement()
    degrading: tuple[Degrading, ...] = Field((), description="parts of ships that fail slowly")
    watch: Watch | None = Field(None, description="watch telemetry and act on it")
    events: tuple[Happening, ...] = Field((), description="what is lost or dearer for a time, each told by difference")
    probes: tuple[Probe, ...] = ()
    couplings: Couplings = Couplings()
    environment: Environment = Environment()
    outputs: Outputs = Outputs()
    lifetime: Lifetime = Lifetime()
    assumptions: dict[str, Any] = Field(
        default_factory=dict, description="other values for the catalog's general assumptions"
    )

    @field_validator("start", mode="before")
    @classmethod
    def _start(cls, value: object) -> object:
        return dated(value)

    @model_validator(mode="after")
    def _whole(self) -> Spec:
        if self.step > self.duration:
            raise PydanticCustomError("step", "the step is longer than the duration")
        if self.duration / self.step > 2_000_000:
            raise PydanticCustomError("step", "more than 2,000,000 steps; take a longer step")
        if self.watch is not None and not self.ships:
            raise PydanticCustomError("watch", "watch: there are no ships to watch; give ships or leave watch out")
        return self
