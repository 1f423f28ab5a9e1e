"""Both sides under one boundary: what a year of ships and a year of a ground site costs, term by term.

| term | orbit | ground |
| --- | --- | --- |
| accelerators | GPUs with hosts and switches, over the ship's life | the same GPUs, over the life of accelerators |
| power, cooling, building | array, battery, radiator, bus (structure and integration in it) | facility, energy, water |
| launch, hull | launcher loads; a stage that is not reused | none |
| propellant | what thrusters burn in a life | none |
| spectrum | licences and fees by ship | none |
| network | terminals; gateways, relays hired, backhaul | network of the hall, backhaul |
| insurance | launch once, then in orbit | property |
| operations | control, collision avoidance | staff and maintenance |
| attrition | GPUs lost for good: more are installed | GPUs exchanged |

Every capital is recovered monthly over its own life at its side's cost of capital. On neither side: tax, profit, land
beyond the facility, software, development, and the time until power is there. Gateways, relays and backhaul carry the same
rate per GPU to users on both sides. The day that the engine measures is one of ships as installed; attrition is charged here
and must not be taken off the work again, as it is from that of ships of some age.

A function here takes frozen quantities and a `Value`, which gives an assumption's value by name ("starship.price",
"cost.life_orbit"), so that ranges and thresholds are the same function at other values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from aether.base.errors import InputError, Problem, unknown
from aether.base.provenance import Assumption
from aether.economics import cost
from aether.economics.cost import YEAR_S, Amount, Term, added, annuity
from aether.scenario.catalog import Catalog, Part

Value = Callable[[str], Amount]  # an assumption's value by name, SI: a number, or draws of it (N,)
FEW = 1e-9  # lost in a life, below which the quotient loses its digits
RUNNING = ("energy", "water", "operations", "spectrum")  # terms that recover no capital
ATTRITION = ("faults.gpu_orbit", "faults.gpu_ground")  # rates at which GPUs are lost, or need hands


@dataclass(frozen=True, slots=True)
class ShipCost:
    """All ships of one group, new; parts by catalog name."""

    ship: str
    accelerator: str
    array: str
    battery: str
    radiator: str
    launcher: str
    count: float  # ships
    gpus: float
    units: float  # accelerators as bought: cards, nodes, racks
    array_w: float  # new, bus side
    battery_j: float
    radiator_m2: float
    terminals: tuple[tuple[str, float], ...]  # (catalog name, how many)
    accelerator_kg: float
    lifted_kg: float  # as payload, accelerators included
    volume_m3: float  # stowed
    propellant_kg: float = 0.0  # of the mass lifted
    it_w: float = 0.0  # GPUs and hosts at full clocks
    packing: float = 1.0  # launcher loads bought over loads filled: flights are whole for a ship of several
    hulls: float = 0.0  # stages that stay
    hull_kg: float = 0.0  # their dry mass


@dataclass(frozen=True, slots=True)
class SiteCost:
    """One ground site; parts by catalog name."""

    site: str
    country: str  # two letters, whose grid feeds it
    accelerator: str
    gpus: float
    units: float  # accelerators as bought
    it_w: float  # provisioned
    drawn_w: float  # mean IT power through the year


def assumptions(
    catalog: Catalog, ships: Iterable[ShipCost] = (), sites: Iterable[SiteCost] = ()
) -> dict[str, Assumption]:
    """Every assumption by name that the money and carbon of these ships and sites may rest on.

    Raises InputError for a part that is not in the catalog. A price that the catalog lacks is missed only when asked for.
    """
    parts: list[Part] = []
    for group in ships:
        parts += [
            catalog.ship(group.ship), catalog.accelerator(group.accelerator), catalog.array(group.array),
            catalog.battery(group.battery), catalog.radiator(group.radiator), catalog.launcher(group.launcher),
            *(catalog.terminal(name) for name, _ in group.terminals),
        ]  # fmt: skip
    for site in sites:
        parts += [catalog.site(site.site), catalog.grid(site.country), catalog.accelerator(site.accelerator)]
    named = {a.name: a for part in parts for a in part.assumptions()}
    general = (n for n in catalog.kind("assumptions") if n.startswith(("cost.", "carbon.")) or n in ATTRITION)
    return named | {name: catalog.assume(name) for name in general}


def nominal(known: Mapping[str, Assumption], changed: Mapping[str, Amount] | None = None) -> Value:
    """A Value that looks names up: nominal, or as changed.

    known: by name; changed: SI values instead of the nominal ones, or draws (N,) of them. The Value raises InputError for a name that is not
    there, as for a part whose catalog entry has no price.
    """
    given = changed or {}

    def value(name: str) -> Amount:
        if name in given:
            return given[name]
        if name in known:
            return known[name].value
        if name.endswith("price"):
            told = "a cost needs it, and the catalog entry has none"
            raise InputError(Problem(name, told, next="Add it with its source, or use --catalog"))
        raise InputError(unknown("", "assumption", name, known))

    return value


def loads(group: ShipCost, value: Value) -> Amount:
    """Launcher loads of a group: n = packing max(M r / m_p, V / V_b), by mass or by volume, whichever is more; r = cost.ship_mass.

    Returns [1]; a fraction where ships share flights. Raises InputError for a launcher that lifts nothing.
    """
    payload_kg, bay_m3 = value(f"{group.launcher}.payload"), value(f"{group.launcher}.bay_volume")
    if not (cost.above_zero(payload_kg) and cost.above_zero(bay_m3)):
        raise InputError(Problem(group.launcher, "payload and bay must be positive"))
    by_mass, by_volume = lifted_kg(group, value) / payload_kg, group.volume_m3 / bay_m3
    drawn = isinstance(by_mass, np.ndarray) or isinstance(by_volume, np.ndarray)
    return group.packing * (np.maximum(by_mass, by_volume) if drawn else max(by_mass, by_volume))


def lifted_kg(group: ShipCost, value: Value) -> Amount:
    """What a group weighs at lift-off [kg]: accelerators as they are, all else off by as much as flown hardware is."""
    return group.accelerator_kg + (group.lifted_kg - group.accelerator_kg) * value("cost.ship_mass")


def replaced(value: Value) -> Amount:
    """GPUs to install more, over those wanted, so that as many live on the mean of a ship's life: aL / (1 - e^-aL) - 1.

    Rate a = faults.gpu_orbit, life L = cost.life_orbit; failures at a constant rate, none repaired. Returns [1]:
    0.24 at 9 % a year over five years.
    """
    lost = value("faults.gpu_orbit") * value("cost.life_orbit")
    if not isinstance(lost, np.ndarray):
        return lost / -math.expm1(-lost) - 1.0 if lost > FEW else 0.5 * lost
    few = lost <= FEW
    return np.where(few, 0.5 * lost, np.where(few, 1.0, lost) / -np.expm1(-np.where(few, 1.0, lost)) - 1.0)


def hardware(group: ShipCost, value: Value) -> dict[str, Amount]:
    """What all ships of a group cost to buy by term [USD]."""
    return {
        "accelerators": group.units * value(f"{group.accelerator}.price"),
        "array": group.array_w * value(f"{group.array}.price"),
        "battery": group.battery_j * value(f"{group.battery}.price"),
        "radiator": group.radiator_m2 * value(f"{group.radiator}.price"),
        "bus": group.count * value(f"{group.ship}.bus_price"),
        "terminals": sum(count * value(f"{name}.price") for name, count in group.terminals),
    }


def lifting(group: ShipCost, value: Value) -> dict[str, Amount]:
    """What brings all ships of a group up by term [USD]: flights, propellant, stages that stay."""
    lifted = {"launch": loads(group, value) * value(f"{group.launcher}.price")}
    if group.propellant_kg:
        lifted["propellant"] = group.propellant_kg * value("cost.propellant")
    if group.hulls:
        lifted["hull"] = group.hulls * value("cost.hull")
    return lifted


def capital_ground(site: SiteCost, value: Value) -> dict[str, Amount]:
    """What a site costs at once by term [USD]."""
    return {
        "accelerators": site.units * value(f"{site.accelerator}.price"),
        "facility": site.it_w * value(f"{site.site}.facility_price"),
        "network": site.it_w * value(f"{site.site}.network_price"),
    }


def orbit(group: ShipCost, value: Value) -> tuple[Term, ...]:
    """What a year of a group's ships costs, all of them.

    Hardware and launch are annuities over the ship's life L at the rate of orbit; insurance = s (hardware + launch) as
    capital, then a share of hardware a year; operations a share of hardware a year; attrition = x (accelerators +
    z (all else)), x by `replaced`, z = cost.stranded.
    Returns terms in the order of the boundary's table. Raises InputError for a price that is not there.

    [1] McCalip; SemiAnalysis 2026: the same parts, see `aether.economics.published`.
    """
    life_s, rate_s = value("cost.life_orbit"), value("cost.capital_orbit")
    bought, lifted = hardware(group, value), lifting(group, value)
    yearly = {name: annuity(capital, rate_s, life_s) for name, capital in (bought | lifted).items()}
    worth = added(bought.values())
    insured = value("cost.launch_insurance") * (worth + added(lifted.values()))
    others = added(usd for name, usd in yearly.items() if name != "accelerators")
    return (
        *(Term(name, usd) for name, usd in yearly.items()),
        Term("insurance", annuity(insured, rate_s, life_s) + value("cost.orbit_insurance") * YEAR_S * worth),
        Term("network", _to_users(group.gpus, value, rate_s)),
        Term("spectrum", group.count * value("cost.spectrum") * YEAR_S),
        Term("operations", value("cost.operations_orbit") * YEAR_S * worth),
        Term("attrition", replaced(value) * (yearly["accelerators"] + value("cost.stranded") * others)),
    )


def ground(site: SiteCost, value: Value) -> tuple[Term, ...]:
    """What a year of a ground site costs.

    Accelerators, facility and network are annuities over their lives at the site's cost of capital; energy = drawn x
    PUE x price; water = drawn x WUE x price; operations, insurance and exchanged GPUs go with time.
    Returns terms in the order of the boundary's table. Raises InputError for a price that is not there.

    [1] McCalip; SemiAnalysis 2026: the same parts, see `aether.economics.published`.
    """
    of, rate_s = site.site, value(f"{site.site}.cost_of_capital")
    chips, building, wires = capital_ground(site, value).values()
    drawn_j = site.drawn_w * YEAR_S
    energy_price = value(f"{site.country.lower()}.price")
    return (
        Term("accelerators", annuity(chips, rate_s, value("cost.life_accelerator"))),
        Term("facility", annuity(building, rate_s, value(f"{of}.facility_life"))),
        Term("energy", drawn_j * value(f"{of}.pue") * energy_price),
        Term("water", drawn_j * value(f"{of}.wue") * value("cost.water")),
        Term("insurance", value("cost.ground_insurance") * YEAR_S * (chips + building + wires)),
        Term("network", annuity(wires, rate_s, value("cost.life_accelerator")) + _backhaul(site.gpus, value)),
        Term("operations", value(f"{of}.operations") * YEAR_S * site.it_w),
        Term("attrition", value("faults.gpu_ground") * YEAR_S * chips),
    )


def _to_users(gpus: float, value: Value, rate_s: Amount) -> Amount:
    """Gateways as capital, relays as hired, and fibre from the gateways on [USD/year]."""
    rate_bit_s = gpus * value("cost.user_rate")
    sites = rate_bit_s / value("cost.gateway_rate") * value("cost.gateway")
    relays = rate_bit_s * value("cost.relay") * YEAR_S
    return annuity(sites, rate_s, value("cost.gateway_life")) + relays + _backhaul(gpus, value)


def _backhaul(gpus: float, value: Value) -> Amount:
    return gpus * value("cost.user_rate") * value("cost.backhaul") * YEAR_S
