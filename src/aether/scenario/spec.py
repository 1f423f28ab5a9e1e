"""What a scenario file may say: validation, the JSON schema and the documentation are made from these classes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from aether.base.clock import iso_date
from aether.scenario.catalog import Shell
from aether.scenario.quantity import Unit

Altitude = Annotated[float, Unit("m", least=150e3, most=2_000e3)]
Seconds = Annotated[float, Unit("s", above=0.0)]
Angle = Annotated[float, Unit("rad")]
Share = Annotated[float, Unit("1", least=0.0, most=1.0)]


class Strict(BaseModel):
    """Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MeshShell(Strict):
    """Relays: a mesh of the catalog, one Walker shell given here, or a file of element sets. Exactly one."""

    mesh: str | None = Field(None, description="a mesh of the catalog, as starlink-s1")
    shell: Shell | None = Field(None, description="a Walker shell")
    elements: str | None = Field(None, description="a file of TLE or OMM element sets, beside the scenario")
    skip_bad: bool = Field(False, description="leave out bad records of the element file instead of refusing it")

    @model_validator(mode="after")
    def _one(self) -> MeshShell:
        _exactly_one(self, ("mesh", "shell", "elements"))
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
        _exactly_one(self, ("ring", "walker", "cluster"))
        return self


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


class Place(Strict):
    """A place on the ground given by hand."""

    name: str = Field(min_length=1, max_length=80)
    latitude: Annotated[float, Unit("rad", least=-1.5707963268, most=1.5707963268)]
    longitude: Annotated[float, Unit("rad", least=-3.1415926536, most=6.2831853072)]


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


class Spec(Strict):
    """One scenario."""

    name: str = Field(min_length=1, max_length=80, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    title: str = ""
    start: datetime = Field(description="UTC, as 2026-06-21T00:00:00Z")
    duration: Seconds = 86400.0
    step: Annotated[float, Unit("s", least=1.0, most=3600.0)] = 60.0
    seed: int = Field(1, ge=0)
    relays: Relays
    ships: tuple[ShipGroup, ...] = Field(min_length=1)
    ground: Ground = Ground()
    probes: tuple[Probe, ...] = ()
    couplings: Couplings = Couplings()
    environment: Environment = Environment()
    outputs: Outputs = Outputs()
    assumptions: dict[str, Any] = Field(
        default_factory=dict, description="other values for the catalog's general assumptions"
    )

    @field_validator("start", mode="before")
    @classmethod
    def _start(cls, value: object) -> object:
        try:
            date = iso_date(str(value))
        except ValueError as error:
            raise PydanticCustomError("date", "not a date; expected one such as '2026-06-21T00:00:00Z'") from error
        if not 1960 <= date.year <= 2100:
            raise PydanticCustomError("date", "the year must lie between 1960 and 2100, where the Sun's series holds")
        return date

    @model_validator(mode="after")
    def _whole(self) -> Spec:
        if self.step > self.duration:
            raise PydanticCustomError("step", "the step is longer than the duration")
        if self.duration / self.step > 2_000_000:
            raise PydanticCustomError("step", "more than 2,000,000 steps; take a longer step")
        return self


def _exactly_one(model: BaseModel, keys: tuple[str, ...]) -> None:
    given = [k for k in keys if getattr(model, k) is not None]
    if len(given) != 1:
        text = f"give exactly one of {', '.join(keys)}; got {' and '.join(given) if given else 'none'}"
        raise PydanticCustomError("one", "{text}", {"text": text})
