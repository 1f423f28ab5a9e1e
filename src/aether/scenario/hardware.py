"""What ships are made of, as catalog entries: every number with its source, and the masses that follow from a make.

A part whose mass is disclosed may say so; else it is predicted by `space.bill` from what the part is made of.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from aether.base.provenance import Assumption, Confidence
from aether.scenario.quantity import Sourced, Unit

Length = Annotated[Assumption, Sourced(Unit("m", above=0.0))]
Thickness = Annotated[Assumption, Sourced(Unit("m", least=0.0))]
Area = Annotated[Assumption, Sourced(Unit("m^2", above=0.0))]
Volume = Annotated[Assumption, Sourced(Unit("m^3", above=0.0))]
Mass = Annotated[Assumption, Sourced(Unit("kg", least=0.0))]
Power = Annotated[Assumption, Sourced(Unit("W", least=0.0))]
Energy = Annotated[Assumption, Sourced(Unit("J", above=0.0))]
Temperature = Annotated[Assumption, Sourced(Unit("K", above=0.0))]
Angle = Annotated[Assumption, Sourced(Unit("rad"))]
Time = Annotated[Assumption, Sourced(Unit("s", least=0.0))]
Rate = Annotated[Assumption, Sourced(Unit("1/s", least=0.0))]
Share = Annotated[Assumption, Sourced(Unit("1", least=0.0, most=1.0))]
Number = Annotated[Assumption, Sourced(Unit("1", least=0.0))]
BitRate = Annotated[Assumption, Sourced(Unit("bit/s", above=0.0))]
Bytes = Annotated[Assumption, Sourced(Unit("byte", above=0.0))]
ByteRate = Annotated[Assumption, Sourced(Unit("byte/s", above=0.0))]
Flops = Annotated[Assumption, Sourced(Unit("FLOP/s", least=0.0))]
Price = Annotated[Assumption, Sourced(Unit("USD", least=0.0))]
PowerPrice = Annotated[Assumption, Sourced(Unit("USD/W", least=0.0))]
EnergyPrice = Annotated[Assumption, Sourced(Unit("USD/J", least=0.0))]
AreaPrice = Annotated[Assumption, Sourced(Unit("USD/m^2", least=0.0))]

ArealMass = Annotated[Assumption, Sourced(Unit("kg/m^2", above=0.0))]
SpecificEnergy = Annotated[Assumption, Sourced(Unit("J/kg", above=0.0))]
Maturity = Literal["flown", "modified", "new"]


class Part(BaseModel):
    """What every catalog entry has."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, frozen=True)

    name: str = Field(description="catalog name, lower case with hyphens")
    title: str = Field("", description="the name people know")
    source: str = Field(description="where the entry's numbers were read")
    date: str = Field("", description="date of the source")
    confidence: Confidence = Field("estimated", description="measured, published, disclosed or estimated")
    note: str = Field("", description="what a reader should know")

    def assumptions(self) -> Iterator[Assumption]:
        """Every sourced number of the part."""
        for key in type(self).model_fields:
            value = getattr(self, key)
            if isinstance(value, Assumption):
                yield value
            elif isinstance(value, Part):
                yield from value.assumptions()


class Hardware(Part):
    """What is flown and weighs something."""

    maturity: Maturity = Field("modified", description="flown, modified or new: how much its mass is still to grow")

    def weighed(self, given: str, parts: tuple[str, ...]) -> None:
        """Refuse a part that has neither a disclosed mass nor all that its law needs."""
        missing = [key for key in parts if getattr(self, key) is None]
        if getattr(self, given) is None and missing:
            text = f"has no mass: give {', '.join(missing)}, or '{given}' as disclosed"
            raise PydanticCustomError("mass", "{text}", {"text": text})


class SolarArray(Hardware):
    """A photovoltaic wing. `density` is net at the bus for a new array facing the Sun at 1 au, or gross cells are given."""

    density: Annotated[Assumption, Sourced(Unit("W/m^2", above=0.0))] | None = Field(
        None, description="net output of the disclosed design, packing, temperature and conversion included"
    )
    efficiency: Share | None = Field(None, description="cell efficiency in the AM0 spectrum at 28 degC")
    packing: Share | None = Field(None, description="cell area over wing area")
    temperature_coefficient: Annotated[Assumption, Sourced(Unit("1/K", most=0.0))] | None = Field(
        None, description="relative change of output per kelvin"
    )
    conversion: Share | None = Field(None, description="array terminals to the ship's bus")
    cell_mass: ArealMass | None = Field(
        None, description="cell, cover glass, adhesive and interconnects over cell area"
    )
    substrate_mass: ArealMass | None = Field(None, description="blanket or panel under the cells over wing area")
    deployment_share: Number | None = Field(
        None, description="box or canister, tie-downs, hinges, drive over cells, substrate and booms"
    )
    areal_mass: ArealMass | None = Field(
        None, description="deployed wing as disclosed, instead of cells, substrate, booms, deployment and harness"
    )
    stowed_thickness: Thickness = Field(description="wing area times this is the stowed volume")
    price: PowerPrice | None = Field(None, description="deployed wing over its new output at the bus")
    degradation: Rate = Field(description="share of output lost per time")

    @model_validator(mode="after")
    def _mass(self) -> SolarArray:
        self.weighed("areal_mass", ("cell_mass", "packing", "substrate_mass", "deployment_share"))
        return self


class Battery(Hardware):
    """A battery pack."""

    cell_energy: SpecificEnergy | None = Field(None, description="bare cells")
    pack_share: Share | None = Field(None, description="cells' mass over the pack's")
    specific_energy: SpecificEnergy | None = Field(
        None, description="pack as disclosed, instead of cells and their share"
    )
    energy_density: Annotated[Assumption, Sourced(Unit("J/m^3", above=0.0))] = Field(description="pack level")
    depth_of_discharge: Share = Field(description="share of nameplate used in normal running")
    charge_efficiency: Share = Field(description="into the cells")
    discharge_efficiency: Share = Field(description="out of the cells")
    charge_rate: Rate = Field(description="largest charge power over nameplate energy (1/h is 1 C)")
    cycle_fade: Number = Field(description="share of nameplate lost per full cycle")
    price: EnergyPrice | None = Field(None, description="pack over its nameplate energy")

    @model_validator(mode="after")
    def _mass(self) -> Battery:
        self.weighed("specific_energy", ("cell_energy", "pack_share"))
        return self


class Radiator(Hardware):
    """A two-sided radiator with a pumped loop."""

    emissivity: Share
    absorptivity: Share = Field(description="solar, new")
    absorptivity_aged: Share = Field(description="solar, after `ageing`")
    ageing: Time = Field(description="time in which the coating ages")
    effectiveness: Share = Field(
        description="fin and flow: mean radiating flux over that of an ideal panel at coolant temperature"
    )
    face_thickness: Thickness | None = Field(None, description="one of two facesheets, aluminium equivalent")
    core_mass: ArealMass | None = Field(None, description="core, adhesive and both coatings over planform")
    frame_mass: ArealMass | None = Field(None, description="edge members, manifolds and inserts over planform")
    tube_pitch: Length | None = Field(None, description="between tubes")
    tube_bore: Length | None = Field(None, description="inside the tubes")
    deployment_share: Number | None = Field(
        None, description="hinges or scissors, tie-downs, flexible lines over dry panels"
    )
    areal_mass: ArealMass | None = Field(
        None, description="panel planform as disclosed, fluid and deployment included, instead of its parts"
    )
    stowed_thickness: Thickness
    heat_capacity: Annotated[Assumption, Sourced(Unit("J/K/m^2", above=0.0))] = Field(
        description="panel planform, fluid included"
    )
    price: AreaPrice | None = Field(None, description="panel planform with its loop")

    @model_validator(mode="after")
    def _mass(self) -> Radiator:
        self.weighed(
            "areal_mass", ("face_thickness", "core_mass", "frame_mass", "tube_pitch", "tube_bore", "deployment_share")
        )
        return self


class Ship(Hardware):
    """A compute ship: what is aboard. An area or energy left out is sized from the load at the design orbit."""

    variant: Literal["satellite", "hull", "assembled"] = Field(
        "satellite", description="hull: the upper stage stays in orbit as the ship"
    )
    accelerator: str
    gpus: int = Field(ge=1)
    array: str
    array_area: Area | None = None
    battery: str
    battery_energy: Energy | None = None
    radiator: str
    radiator_area: Area | None = Field(None, description="planform; both faces radiate")
    terminal: str
    terminals: int = Field(ge=1, le=64, description="laser terminals for the mesh of relays")
    neighbour_terminal: str | None = Field(
        None, description="laser terminal between ships of a group; the same when left out"
    )
    neighbour_terminals: int = Field(
        0, ge=0, le=16, description="terminals for the neighbours in the ship's ring or formation"
    )
    attitude: str
    bus_power: Power = Field(description="avionics, attitude and communication besides the laser terminals")
    pump_share: Share = Field(description="pumps and power conditioning over compute power")
    shielding: Thickness = Field(description="aluminium equivalent around the chips")
    scale_out: ByteRate | None = Field(
        None,
        description="per GPU each way, outside the scale-up domain; the assumption training.scale_out when left out",
    )
    accelerator_mass_share: Share = Field(description="mass kept of the unit as installed on the ground")
    wings: int = Field(2, ge=1, le=1000, description="solar wings at least; more where one would be too large")
    other_mass: Mass | None = Field(None, description="what no law predicts: antennas, docking, robotics")
    keeping: Time | None = Field(
        None, description="how long it can hold its orbit, 0 without propulsion; cost.life_orbit when left out"
    )
    structure_share: Share | None = Field(
        None, description="structure over the mass of what it carries; mass.structure when left out"
    )
    bus_mass: Mass | None = Field(
        None, description="avionics, attitude, thrusters and propellant as disclosed, instead of their laws"
    )
    margin: Share | None = Field(None, description="mass margin, instead of growth by maturity and mass.margin")
    hull_mass: Mass | None = Field(None, description="dry mass of a retained stage")
    hull_volume: Volume | None = Field(None, description="pressurised or bay volume of a retained stage")
    disclosed_mass: Mass | None = Field(None, description="mass said by the maker, for comparison")
    disclosed_power: Power | None = Field(None, description="peak power said by the maker, for comparison")
    launcher: str
    design_altitude: Length
    design_node: Time = Field(description="local time of the ascending node of the design orbit")
    coolant_limit: Temperature | None = Field(
        None, description="warmest coolant of the ship's loop; the accelerator's own when left out"
    )
    design_sink: Temperature = Field(description="radiator sink used for sizing")
    drag_area: Area | None = Field(None, description="across the flight direction in the ship's attitude")
    bus_price: Price | None = Field(None, description="avionics, propulsion, structure and integration of one ship")
