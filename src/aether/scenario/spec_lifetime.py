"""What a scenario file may say of its fleet through years."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from aether.scenario.quantity import Unit
from aether.scenario.strict import Strict, dated, exactly_one

Share = Annotated[float, Unit("1", least=0.0, most=1.0)]


class Cadence(Strict):
    """How often the vehicle flies for this fleet."""

    flights: float = Field(24.0, gt=0, le=100_000, description="a year at the start")
    growth: Annotated[float, Unit("1", least=-0.9, most=10.0)] = Field(0.0, description="more each year")
    most: float | None = Field(None, gt=0, le=100_000, description="a year, however long it grows")


class Wanted(Strict):
    """Compute that must be delivered from a year on. Exactly one of gpus and pflops."""

    year: float = Field(ge=0, le=20, description="since the start; straight lines between years")
    gpus: float | None = Field(None, ge=0, le=1e9, description="GPUs at full clocks, the year's mean")
    pflops: float | None = Field(None, ge=0, le=1e12, description="dense BF16 PFLOP/s, the year's mean")

    @model_validator(mode="after")
    def _one(self) -> Wanted:
        exactly_one(self, ("gpus", "pflops"))
        return self


class Lifetime(Strict):
    """The fleet through years, month by month: what is launched, lost, replaced and paid."""

    start: datetime | None = Field(None, description="UTC; the scenario's own start when left out")
    years: int = Field(10, ge=1, le=20)
    vehicle: str | None = Field(None, description="a launcher of the catalog for all; each ship's own when left out")
    cadence: Cadence = Cadence()
    rule: Literal["maintain", "grow", "once"] = Field(
        "maintain", description="keep as many ships as the scenario has, more each year by growth, or replace none"
    )
    growth: Annotated[float, Unit("1", least=-0.9, most=10.0)] = Field(0.0, description="more ships each year; grow")
    target: tuple[Wanted, ...] = Field((), description="compute to deliver, instead of a number of ships")
    plan: Literal["rule", "cheapest"] = Field(
        "rule", description="cheapest: which ships fly when, by linear programme, at least cost for the target"
    )
    initial: bool = Field(True, description="off: nothing is in orbit at the start")
    spares: Share = Field(0.03, description="ships in orbit beyond those at work, over them")
    commissioning: Annotated[float, Unit("s", least=0.0, most=63115200.0)] = Field(
        2629800.0, description="from launch to work, in whole months"
    )
    life: Annotated[float, Unit("s", least=2629800.0, most=1577880000.0)] | None = Field(
        None, description="after which a ship retires; the assumption cost.life_orbit when left out"
    )
    upgrade: Literal["none", "modules", "ships"] = Field(
        "none", description="ships retire, or get new boards by servicing flights, after upgrade_every"
    )
    upgrade_every: Annotated[float, Unit("s", least=2629800.0, most=1577880000.0)] = Field(
        94672800.0, description="age of boards at which they are exchanged"
    )
    price: Literal["list", "wright", "reuse"] = Field(
        "list", description="of a launch: the catalog's, by mass lifted so far, or by flights of one vehicle"
    )
    insured: bool = Field(True, description="premiums are paid, and what is lost is paid for; neither when off")
    storm: datetime | None = Field(None, description="UTC: a solar storm in this month")
    draws: int = Field(1000, ge=1, le=100_000, description="of Monte Carlo")
    ranges: bool = Field(True, description="draw assumptions from their ranges; off: chance alone")

    @field_validator("start", "storm", mode="before")
    @classmethod
    def _date(cls, value: object) -> object:
        return None if value is None else dated(value)

    @model_validator(mode="after")
    def _means_something(self) -> Lifetime:
        given, told = self.model_fields_set, ""
        kinds = {"gpus" if w.gpus is not None else "pflops" for w in self.target}
        years = [w.year for w in self.target]
        if len(kinds) > 1:
            told = "target: give gpus or pflops in all years, not both"
        elif years != sorted(set(years)):
            told = "target: years must rise"
        elif self.target and given & {"rule", "growth"}:
            told = "rule: a target says how much is wanted; leave rule and growth out"
        elif "growth" in given and self.rule != "grow":
            told = "growth: means something with rule: grow only"
        elif self.plan == "cheapest" and not self.target:
            told = "plan: cheapest needs a target"
        elif "upgrade_every" in given and self.upgrade == "none":
            told = "upgrade_every: means something with upgrade: modules or ships only"
        if told:
            raise PydanticCustomError("lifetime", "{text}", {"text": told})
        return self
