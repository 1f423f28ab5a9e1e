"""Getting to orbit: price by learning and by reuse, and how many flights a ship takes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from aether.base.errors import InputError, Problem

FUEL_USD_KG = 8.0  # propellant per kilogram of payload, the floor, arXiv 2511.19468
HARDWARE_USD_KG = 452.0  # vehicle per kilogram of payload if flown once: 460 less fuel, same source


@dataclass(frozen=True, slots=True)
class Learning:
    """A point on the learning curve: price [USD/kg] after so much more mass has been launched [kg]."""

    price: float
    mass_added: float


@dataclass(frozen=True, slots=True)
class Flights:
    """Flights for one ship. ships_per_flight: of small ones that share a flight. binding: "mass" or "volume"."""

    per_ship: float
    ships_per_flight: int
    binding: str


def learning(
    price: float, mass: float, learning_rate: float, price_target: float | None = None, mass_added: float | None = None
) -> Learning:
    """Wright's law by cumulative mass: p = p_0 (M / M_0)^(log2(1 - l)).

    price p_0 [USD/kg] at cumulative mass M_0 [kg]; learning_rate l [1] lost per doubling; then one of price_target
    [USD/kg], to find the mass to add, and mass_added [kg], to find the price. Returns both.
    Raises InputError unless exactly one of the two is given and the numbers make a curve. Valid while no floor
    (propellant, range) is near: about 10 USD/kg.

    [1] Wright 1936; arXiv 2511.19468, section on launch.
    """
    if (price_target is None) == (mass_added is None):
        raise InputError(Problem("launch.learning", "give one of price_target and mass_added"))
    if price <= 0.0 or mass <= 0.0 or not 0.0 < learning_rate < 1.0:
        raise InputError(Problem("launch.learning", "price and mass must be positive, learning_rate between 0 and 1"))
    slope = math.log2(1.0 - learning_rate)
    if price_target is not None:
        if price_target <= 0.0:
            raise InputError(Problem("launch.learning.price_target", "must be positive"))
        return Learning(price_target, mass * ((price_target / price) ** (1.0 / slope) - 1.0))
    added = mass_added or 0.0
    if added <= -mass:
        raise InputError(Problem("launch.learning.mass_added", "takes the cumulative mass below zero"))
    return Learning(price * (1.0 + added / mass) ** slope, added)


def reuse(
    uses: float,
    hardware: float = HARDWARE_USD_KG,
    fuel: float = FUEL_USD_KG,
    refurbishment: float = 0.0,
    refurbished: float = 1.0,
) -> float:
    """Cost to orbit from the bottom up: c = fuel + hardware (1/n + r s (n - 1)/n).

    uses n: flights of one vehicle in its life; hardware [USD per kg of one flight's payload]; fuel [USD/kg];
    refurbishment r [1]: share of its price spent on a part between flights; refurbished s [1]: share of the hardware
    that needs it. Returns [USD/kg], cost, not price: no range, staff, overhead or profit.
    Raises InputError for less than one use. Published for a 200 t vehicle [1]: 460 flown once, below 60 at ten uses,
    below 15 at a hundred, 38 with 15 % refurbishment, which this formula gives if it falls on 0.38 of the hardware.

    [1] arXiv 2511.19468.
    """
    if uses < 1.0:
        raise InputError(Problem("launch.reuse.uses", f"must be at least 1, got {uses:g}"))
    return fuel + hardware * (1.0 / uses + refurbishment * refurbished * (uses - 1.0) / uses)


def flights(mass_kg: float, volume_m3: float, payload_kg: float, bay_m3: float) -> Flights:
    """How many flights one ship takes, or how many ships share one: n = max(m / m_p, V / V_b), rounded as hardware is.

    mass_kg, volume_m3: the ship as stowed; payload_kg, bay_m3: the launcher. A ship that fits shares a flight with as
    many others as fit whole; a larger one is taken up in ceil(n) parts of any size and assembled.
    Raises InputError for a launcher that lifts nothing.
    """
    if payload_kg <= 0.0 or bay_m3 <= 0.0:
        raise InputError(Problem("launcher", "payload and bay must be positive"))
    by_mass, by_volume = mass_kg / payload_kg, volume_m3 / bay_m3
    share = max(by_mass, by_volume)
    binding = "mass" if by_mass >= by_volume else "volume"
    if share > 1.0:
        return Flights(float(math.ceil(share - 1e-9)), 0, binding)
    together = max(1, math.floor(1.0 / share + 1e-9)) if share > 0.0 else 1
    return Flights(1.0 / together, together, binding)
