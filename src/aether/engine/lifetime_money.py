"""A fleet's money month by month: what is bought, flown, insured, run and brought down, and what a GPU-hour must cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from aether.base.tables import Floats
from aether.economics import boundary, cash, cost
from aether.engine.lifetime_fleet import MONTH_S, Ships, loads, propellant_kg
from aether.operations import years

TERMS = (
    "fleet at the start", "hardware", "boards", "launch", "propellant", "insurance", "claims", "operations", "network", "disposal",
    "value at the end",
)  # fmt: skip
HOUR_S = 3600.0  # definition


@dataclass(frozen=True)
class Prices:
    """Prices by month; D draws, M months, G groups, index 0 of the draws' own or nominal (1,)."""

    accelerators_usd: Floats  # (D, M, G) of a ship's
    others_usd: Floats  # (D, G) of the rest of a ship
    launch_usd: Floats  # (D, M, G) of a flight, at its price without learning

    @property
    def hardware_usd(self) -> Floats:
        """(D, M, G) of a ship."""
        return self.accelerators_usd + self.others_usd[:, None, :]


def prices(fleet: Ships, nominal: bool) -> Prices:
    """What ships and flights cost by month, drawn or nominal."""
    draws = fleet.draws

    def value(name: str) -> Floats:
        return np.array([draws.nominal(name)]) if nominal else draws(name)

    boards, others, flight = [], [], []
    interval, limit = value("fleet.generation")[:, None], value("fleet.compute_limit")[:, None]
    watt = years.generation(fleet.time_s, value("fleet.compute_per_watt")[:, None], interval, limit)
    usd = years.generation(fleet.time_s, value("fleet.compute_per_usd")[:, None], interval, limit)
    for c in fleet.cost:
        boards.append(c.units * value(f"{c.accelerator}.price")[:, None] * watt / usd)
        rest = cost.added(usd for term, usd in boundary.hardware(c, value).items() if term != "accelerators")
        rest = rest + c.hulls * value("cost.hull")
        others.append(rest)
        flight.append(_flight(fleet, c.launcher, value))
    return Prices(np.stack(boards, axis=2), np.stack(others, axis=1), np.stack(flight, axis=2))


def _flight(fleet: Ships, launcher: str, value: Callable[[str], Floats]) -> Floats:
    if fleet.asked.price == "reuse":
        return years.by_reuse(fleet.time_s, value("fleet.reuses")[:, None], value("fleet.launch_margin")[:, None])
    return np.repeat(value(f"{launcher}.price")[:, None], fleet.months, axis=1)


def learned(fleet: Ships, flight_usd: Floats, lifted_kg: Floats, nominal: bool = False) -> Floats:
    """Price of a flight where it falls with all mass lifted so far (D, M, G): the fleet's and others'; as given otherwise."""
    if fleet.asked.price != "wright":
        return flight_usd
    draws = fleet.draws

    def value(name: str) -> Floats:
        return np.array([draws.nominal(name)]) if nominal else draws(name)

    all_kg = np.cumsum(lifted_kg, axis=1) + value("fleet.market_mass")[:, None] * fleet.time_s
    floors = [value("fleet.price_floor") * value(f"{c.launcher}.payload") for c in fleet.cost]
    made = [
        years.by_mass(
            flight_usd[:, :, g],
            all_kg,
            value("fleet.learned_mass")[:, None],
            value("fleet.learning")[:, None],
            floor[:, None],
        )
        for g, floor in enumerate(floors)
    ]
    return np.stack(made, axis=2)


def lifted_kg(fleet: Ships, out: Mapping[str, Floats]) -> Floats:
    """Mass lifted in each month (D, M): ships, and boards with their carriers."""
    servicer = 1.0 + fleet.draws("fleet.servicer")[:, None, None]
    mass = out["ordered"] * fleet.lifted_kg + out["serviced"] * fleet.boards_kg * servicer
    return np.asarray(mass.sum(axis=2))


def terms(fleet: Ships, out: Mapping[str, Floats]) -> dict[str, Floats]:
    """What is paid in each month by term (D, M) [USD]; what comes in is negative.

    Ships in orbit at the start are bought at their book value, those at the end are worth theirs: new price, straight down to
    nothing at retirement. Premiums as in the boundary; lost launches are paid for in full, ships lost in orbit at book value.
    Network at its nominal price. out: columns (D, M, G) of the fleet's course.
    """
    draws, mine, plain = fleet.draws, prices(fleet, nominal=False), prices(fleet, nominal=True)
    mass = lifted_kg(fleet, out)
    flight = learned(fleet, mine.launch_usd, mass)
    scale = mine.hardware_usd[:, 0] / plain.hardware_usd[0, 0]  # (D, G) of nominal book values
    ships, boards = out["ordered"] * mine.hardware_usd, out["serviced"] * mine.accelerators_usd
    launch = (out["flights"] + out["service_flights"]) * flight
    worth = out["hardware_usd"] * scale[:, None]
    each = mine.hardware_usd + flight * _filled(out)
    rate = draws("cost.operations_orbit")[:, None] * MONTH_S
    book = (out["book_usd"] * scale[:, None]).sum(axis=2)
    made = {name: np.zeros(mass.shape) for name in TERMS}
    made["hardware"] = ships.sum(axis=2)
    made["boards"] = boards.sum(axis=2) * (1.0 + draws("fleet.servicing")[:, None])
    made["launch"] = launch.sum(axis=2)
    made["propellant"] = (out["ordered"] * propellant_kg(fleet)[:, None]).sum(axis=2) * draws("cost.propellant")[
        :, None
    ]
    made["operations"] = rate * worth.sum(axis=2)
    made["network"] = (out["active"] * _network(fleet)).sum(axis=2)
    made["disposal"] = (out["disposed"] * fleet.mass_kg).sum(axis=2) * draws("fleet.disposal")[:, None]
    made["value at the end"][:, -1] = -book[:, -1]
    if fleet.asked.initial:
        made["fleet at the start"][:, 0] = _start(fleet, mine, flight)
    if fleet.asked.insured:
        cover = draws("cost.orbit_insurance")[:, None] * MONTH_S * worth.sum(axis=2)
        made["insurance"] = draws("cost.launch_insurance")[:, None] * (ships + launch + boards).sum(axis=2) + cover
        made["claims"] = -(out["lost"] * each + out["gone_usd"] * scale[:, None]).sum(axis=2)
    return made


def _filled(out: Mapping[str, Floats]) -> Floats:
    """Flights that a ship took (D, M, G), from what was flown."""
    return np.divide(out["flights"], out["ordered"], out=np.zeros_like(out["flights"]), where=out["ordered"] > 0.0)


def _start(fleet: Ships, mine: Prices, flight: Floats) -> Floats:
    """Book value of the ships that are there at the start (D,)."""
    left = np.maximum(1.0 - fleet.age / np.maximum(fleet.life[:, None], 1), 0.0)
    one = mine.hardware_usd[:, 0] + flight[:, 0] * loads(fleet)[0]
    return np.asarray((fleet.count * one * left).sum(axis=1))


def _network(fleet: Ships) -> Floats:
    """Gateways, relays hired and backhaul of a ship in a month (G,), at nominal prices."""
    value = fleet.draws.nominal
    paid = [next(t.usd_year for t in boundary.orbit(c, value) if t.asset == "network") for c in fleet.cost]
    return np.array(paid) / 12.0


def levelised(fleet: Ships, made: Mapping[str, Floats], units: Floats) -> Floats:
    """Price of a unit over the years (D,) [USD]: discounted money over discounted units (D, M), at orbit's cost of capital."""
    worth = cash.discount(fleet.months, fleet.draws("cost.capital_orbit"))
    return cash.levelised(np.sum(list(made.values()), axis=0), units, worth)
