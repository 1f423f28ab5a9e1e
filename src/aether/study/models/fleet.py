"""The models of fleets through years that `aether validate` knows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from aether.base.errors import InputError, Problem
from aether.operations import wear
from aether.space import drag, transfer
from aether.study.validation import model

Answer = Mapping[str, float]
STEPS = 6000  # of the integral through a life: the trapezium rule has settled to a millionth


@model(
    "orbit.transfer",
    {"altitude": "m", "to": "m", "mass": "kg", "thrust": "N", "isp": "s", "inclination": "rad", "turn": "rad", "node": "rad", "drift": "m"},
    {"delta_v": "m/s", "duration": "s", "propellant": "kg"},
    optional=("mass", "thrust", "isp", "inclination", "turn", "node", "drift"),
)  # fmt: skip
def _transfer(
    altitude: float, to: float, mass: float = 2100.0, thrust: float = 0.21, isp: float = 1600.0, inclination: float = 0.0,
    turn: float = 0.0, node: float = 0.0, drift: float | None = None,
) -> Answer:  # fmt: skip
    """Moving a ship on electric thrust: altitude and inclination by a spiral, the node by waiting at another altitude."""
    made = transfer.transfer(altitude, to, mass, thrust, isp, inclination, turn, node, drift)
    return {"delta_v": made.delta_v_m_s, "duration": made.duration_s, "propellant": made.propellant_kg}


@model("orbit.deorbit", {"altitude": "m", "perigee": "m"}, {"impulsive": "m/s", "spiral": "m/s"}, optional=("perigee",))
def _deorbit(altitude: float, perigee: float = 200e3) -> Answer:
    """Leaving orbit: one burn to a perigee, or an electric spiral down to it."""
    return {"impulsive": float(drag.deorbit_delta_v(altitude, perigee)), "spiral": transfer.spiral(altitude, perigee)}


@model(
    "orbit.drag",
    {"altitude": "m", "area": "m^2", "mass": "kg", "f107": "1", "coefficient": "1"},
    {"per_year": "m/s", "lifetime": "s"},
    optional=("f107", "coefficient"),
)
def _drag(
    altitude: float, area: float, mass: float, f107: float = drag.FLUX_MEAN, coefficient: float = drag.DRAG_COEFFICIENT
) -> Answer:
    """What reboost must give in a year, and how long an orbit lasts without."""
    yearly = drag.delta_v_per_year(altitude, drag.density(altitude, f107), area, mass, coefficient)
    return {"per_year": float(yearly), "lifetime": drag.lifetime(altitude, area, mass, f107, coefficient=coefficient)}


@model(
    "fleet.survival",
    {"years": "1", "attrition": "1", "infant": "1", "shape": "1"},
    {"alive": "1", "delivered": "1", "effective_life": "1"},
    optional=("infant", "shape"),
)
def _survival(years: float, attrition: float, infant: float = 0.0, shape: float = 1.0) -> Answer:
    """A fleet that is not replaced: what lives at the end, its mean through the life, years at work; attrition is a year's rate."""
    if years <= 0.0:
        raise InputError(Problem("fleet.survival.years", "must be positive"))
    age, year = np.linspace(0.0, years, STEPS + 1), drag.YEAR_S
    alive = (1.0 - infant) * wear.attrition(age * year, attrition / year, shape, years * year)
    worked = wear.effective_life(alive, np.ones_like(alive), years / STEPS, 0, STEPS)
    return {"alive": float(alive[-1]), "delivered": worked / years, "effective_life": worked}


@model("fleet.bus", {"years": "1", "scale": "1", "shape": "1"}, {"reliability": "1"}, optional=("scale", "shape"))
def _bus(years: float, scale: float = 2607.0, shape: float = 0.4521) -> Answer:
    """Share of satellites that live after some years, by Weibull's law."""
    return {"reliability": float(wear.weibull(years, scale, shape))}


@model("fleet.manoeuvres", {"manoeuvres": "1", "ships": "1", "years": "1"}, {"per_ship_year": "1"})
def _manoeuvres(manoeuvres: float, ships: float, years: float) -> Answer:
    """Collision manoeuvres of a ship in a year, from a count."""
    return {"per_ship_year": manoeuvres / (ships * years)}


@model("fleet.power", {"mass_per_year": "kg", "power_per_mass": "W/kg"}, {"power_per_year": "W"})
def _power(mass_per_year: float, power_per_mass: float) -> Answer:
    """Power that a mass lifted in a year carries."""
    return {"power_per_year": mass_per_year * power_per_mass}
