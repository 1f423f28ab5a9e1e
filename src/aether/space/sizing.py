"""A ship's budget from its parts: power, array, battery, radiator, mass, volume and launcher loads, and what is short.

What the design gives is kept and compared with what the load asks for; what it leaves out is sized. Infeasibility is a
result: a `Balance` whose `short` is positive.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from aether.base.tables import Fleet, Floats
from aether.base.units import fmt
from aether.scenario.catalog import Accelerator, Catalog, Radiator, Ship, SolarArray
from aether.space import attitude, bill, mass, orbits, power, sun, thermal

DESIGN_YEAR = 2026  # any year: eclipse seasons repeat within a day
DAY_S = 86400.0  # definition
BUS = (  # what is stowed in the body besides computers and battery
    "bus", "power electronics", "avionics", "attitude control", "thrusters", "propellant", "pumps", "coolant",
    "coolant lines", "loop fittings", "shielding", "other",
)  # fmt: skip
TOKEN_M2 = 1.0  # of a radiator that no area could make large enough, so that a run can still show how it fails


@dataclass(frozen=True, slots=True)
class Balance:
    """What a design has of something, and what its load needs."""

    part: str
    have: float
    need: float
    unit: str

    @property
    def short(self) -> float:
        """What is missing; negative for an excess."""
        return self.need - self.have

    def __str__(self) -> str:
        """As "radiator short by 31 m^2 (have 110 m^2, need 141 m^2)"."""
        if math.isinf(self.need):
            return f"{self.part}: no size is enough, the design sink is as warm as the coolant"
        word = "short by" if self.short > 0.0 else "over by"
        have, need = fmt(self.have, self.unit), fmt(self.need, self.unit)
        return f"{self.part} {word} {fmt(abs(self.short), self.unit)} (have {have}, need {need})"


@dataclass(frozen=True, slots=True)
class Budget:
    """One new ship. Powers at its bus and at full clocks; masses and volumes by part, margin included in the totals."""

    ship: Ship
    domains: float  # scale-up (NVLink) domains aboard
    domain_gpus: int  # GPUs in the largest of them
    chips_w: float
    hosts_w: float
    pumps_w: float  # and power conditioning
    terminals_w: float
    avionics_w: float
    load_w: float  # all of it, and so the heat
    idle_w: float  # GPUs and hosts waiting
    array_w_m2: float  # new, facing the Sun at 1 au
    array_area_m2: float
    battery_j: float  # nameplate
    radiator_area_m2: float  # planform
    eclipse_s: float  # the year's longest
    cycles_per_year: float  # eclipses
    masses_kg: dict[str, float]
    mass_kg: float
    lifted_kg: float  # as payload: without a hull that flies itself
    volumes_m3: dict[str, float]  # stowed
    volume_m3: float
    loads: float  # launcher loads that one ship fills, by mass or by volume, whichever is more
    binding: str  # "mass" or "volume"
    balances: tuple[Balance, ...]

    @property
    def array_w(self) -> float:
        """What the new array makes facing the Sun at 1 au [W]."""
        return self.array_w_m2 * self.array_area_m2

    @property
    def shortfalls(self) -> tuple[Balance, ...]:
        """What the design lacks, by more than rounding of published figures (1 %)."""
        return tuple(b for b in self.balances if b.need > 1.01 * b.have)


def budget(ship: Ship, catalog: Catalog, eclipse_load: float = 0.0) -> Budget:
    """The budget of a ship from its parts.

    load = N (chip + host)(1 + pumps) + terminals + avionics; array = load / density;
    battery = t_e (bus + idle + s (full - idle)) / (n_d depth);
    radiator = heat / (2 epsilon sigma eta ((T_l - drop)^4 - T_s^4)), heat = load, T_l the warmest coolant that loop and
    chip allow; mass by `bill.masses` from the parts, with structure, propellant, growth and margin, + hull.

    ship: what is aboard; catalog: its parts, all nominal values. eclipse_load s [1]: share of compute to carry through
    the year's longest eclipse of the design orbit (sun-synchronous); 0 keeps GPUs waiting with their memory alive,
    since a dawn-dusk ship is dark 4 % of the year and a battery for full clocks would weigh as much as its radiator.
    Returns Budget; its balances say what is short or over. Raises InputError for a part that is not in the catalog.
    """
    gpu = catalog.accelerator(ship.accelerator)
    chips_w, hosts_w = ship.gpus * gpu.power.value, ship.gpus * gpu.host_power.value
    pumps_w = ship.pump_share.value * (chips_w + hosts_w)
    terminals_w, terminals_kg = _terminals(ship, catalog)
    bus_w = pumps_w + terminals_w + ship.bus_power.value
    load_w, idle_w = chips_w + hosts_w + bus_w, ship.gpus * _idle_w(gpu, catalog)
    _, days, eclipse_s = sun.dawn_dusk_year(ship.design_altitude.value, ship.design_node.value, DESIGN_YEAR)
    dark_w = bus_w + idle_w + eclipse_load * (chips_w + hosts_w - idle_w)

    density = array_density(catalog.array(ship.array))
    needs = _needs(ship, catalog, load_w, load_w / density, eclipse_s * dark_w)
    given = {"array": ship.array_area, "battery": ship.battery_energy, "radiator": ship.radiator_area}
    have = {part: _value(given[part], need if math.isfinite(need) else TOKEN_M2) for part, need in needs.items()}

    masses = bill.masses(_design(ship, catalog, have, load_w, terminals_kg), catalog.value)
    lifted_kg = sum(masses.values())
    if ship.hull_mass is not None:
        masses["hull"] = ship.hull_mass.value  # built already: no margin on it
    volumes = _volumes(ship, catalog, have, masses)
    volume_m3 = sum(volumes.values())
    launcher = catalog.launcher(ship.launcher)
    by_mass, by_volume = lifted_kg / launcher.payload.value, volume_m3 / launcher.bay_volume.value
    return Budget(
        ship=ship, domains=ship.gpus / gpu.domain, domain_gpus=min(gpu.domain, ship.gpus), chips_w=chips_w,
        hosts_w=hosts_w, pumps_w=pumps_w, terminals_w=terminals_w, avionics_w=ship.bus_power.value, load_w=load_w,
        idle_w=idle_w, array_w_m2=density, array_area_m2=have["array"], battery_j=have["battery"],
        radiator_area_m2=have["radiator"], eclipse_s=eclipse_s,
        cycles_per_year=days * DAY_S / orbits.period(ship.design_altitude.value), masses_kg=masses,
        mass_kg=sum(masses.values()), lifted_kg=lifted_kg, volumes_m3=volumes, volume_m3=volume_m3,
        loads=max(by_mass, by_volume), binding="mass" if by_mass >= by_volume else "volume",
        balances=_balances(ship, needs, have, volume_m3),
    )  # fmt: skip


def array_density(cells: SolarArray) -> float:
    """What a new array gives at the bus per wing area, facing the Sun at 1 au [W/m2].

    The catalog's net density where it has one; else efficiency x packing x conversion x 1361 W/m2 at the temperature at
    which the wing is in balance with its power drawn.
    """
    if cells.density is not None:
        return cells.density.value
    share = _value(cells.efficiency, 0.0) * _value(cells.packing, 1.0)
    cell_k = attitude.array_temperature(1.0, power.SOLAR_CONSTANT_W_M2, share)
    made = power.array_power(
        1.0, _value(cells.efficiency, 0.0), _value(cells.packing, 1.0), conversion=_value(cells.conversion, 1.0),
        cell_k=cell_k, coefficient_per_k=_value(cells.temperature_coefficient, 0.0),
    )  # fmt: skip
    return float(made)


WORDS = ("name", "kind", "attitude", "terminal", "terminals")  # columns of a Fleet that are no physical quantity


def fleet(groups: Sequence[tuple[Budget, str, int, float]], catalog: Catalog) -> Fleet:
    """The ships of a scenario as arrays, one row per ship.

    groups: (budget, name of the group, how many ships, age [s]). Arrays, coatings and batteries are aged here: output
    falls by the array's yearly share, absorptivity goes from new to aged in a straight line, capacity falls by cycles.
    Returns Fleet (K,), ships named "group/number".
    """
    counts = [count for _, _, count, _ in groups]
    rows = [_row(made, catalog, age_s) for made, _, _, age_s in groups]
    keys = rows[0] if rows else [f.name for f in fields(Fleet) if f.name not in WORDS]
    numbers: dict[str, Any] = {key: _spread([row[key] for row in rows], counts) for key in keys}

    def words(values: list[str]) -> tuple[str, ...]:
        return tuple(v for v, count in zip(values, counts, strict=True) for _ in range(count))

    return Fleet(
        name=tuple(f"{name}/{i}" for _, name, count, _ in groups for i in range(count)),
        kind=words([made.ship.name for made, _, _, _ in groups]),
        attitude=words([made.ship.attitude for made, _, _, _ in groups]),
        terminal=words([made.ship.terminal for made, _, _, _ in groups]),
        terminals=np.repeat(np.array([made.ship.terminals for made, _, _, _ in groups], dtype=np.int64), counts),
        **numbers,
    )


def as_dict(made: Budget) -> dict[str, Any]:
    """The budget as rows of name, value, unit and note, and the shortfalls in words."""
    shown: list[tuple[str, float, str, str]] = [
        ("GPUs", made.ship.gpus, "1", f"{made.domains:,.4g} scale-up domains of {made.domain_gpus}"),
        ("chips", made.chips_w, "W", ""),
        ("hosts", made.hosts_w, "W", "CPU, memory, switches, network"),
        ("pumps and conditioning", made.pumps_w, "W", ""),
        ("laser terminals", made.terminals_w, "W", ""),
        ("avionics", made.avionics_w, "W", ""),
        ("load and heat", made.load_w, "W", "at full clocks"),
        ("array", made.array_w, "W", f"{fmt(made.array_area_m2, 'm^2')}, new, facing the Sun"),
        ("longest eclipse", made.eclipse_s, "s", f"{made.cycles_per_year:,.0f} eclipses a year"),
        ("battery", made.battery_j, "J", "nameplate"),
        ("radiator", made.radiator_area_m2, "m^2", "planform, both faces radiate"),
        *((f"mass: {part}", kg, "kg", "") for part, kg in made.masses_kg.items()),
        ("mass", made.mass_kg, "kg", _beside(made)),
        *((f"volume: {part}", m3, "m^3", "stowed") for part, m3 in made.volumes_m3.items()),
        ("stowed volume", made.volume_m3, "m^3", ""),
        ("launcher loads", made.loads, "1", f"{made.ship.launcher}, by {made.binding}"),
    ]
    rows = [{"name": n, "value": float(v), "unit": u, "note": note} for n, v, u, note in shown]
    rows += [
        {"name": f"{b.part} short", "value": b.short, "unit": b.unit, "note": str(b)}
        for b in made.shortfalls
        if math.isfinite(b.need)
    ]
    return {"rows": rows, "shortfalls": [str(b) for b in made.shortfalls]}


def _beside(made: Budget) -> str:
    """Specific figures, and what the parts say beside the maker: predicted with growth, without a planner's margin."""
    told = f"{made.load_w / made.mass_kg:.3g} W/kg, {made.mass_kg / (made.load_w / 1e3):.3g} kg/kW"
    said = made.ship.disclosed_mass
    if said is None:
        return told
    apart = (made.mass_kg - made.masses_kg["margin"]) / said.value - 1.0
    return f"{told}; the maker says {fmt(said.value, 'kg')}, the parts without margin {100.0 * apart:+.0f} %"


def _value(given: Any, otherwise: float) -> float:
    return otherwise if given is None else float(given.value)


def _coolant_limit(ship: Ship, gpu: Accelerator) -> float:
    """The warmest coolant [K]: the ship's own limit before that of the hardware on the ground."""
    return (gpu.coolant_limit if ship.coolant_limit is None else ship.coolant_limit).value


def _units(ship: Ship, gpu: Accelerator) -> int:
    return math.ceil(ship.gpus / gpu.gpus)


def _idle_w(gpu: Accelerator, catalog: Catalog) -> float:
    return gpu.idle_power.value + catalog.value("gpu.host_idle_share") * gpu.host_power.value


def _terminals(ship: Ship, catalog: Catalog) -> tuple[float, float]:
    """Power [W] and mass [kg] of the laser terminals for the mesh and for neighbours."""
    mesh = catalog.terminal(ship.terminal)
    other = mesh if ship.neighbour_terminal is None else catalog.terminal(ship.neighbour_terminal)
    power_w = ship.terminals * mesh.power.value + ship.neighbour_terminals * other.power.value
    return power_w, ship.terminals * mesh.mass.value + ship.neighbour_terminals * other.mass.value


def _needs(ship: Ship, catalog: Catalog, load_w: float, array_m2: float, dark_j: float) -> dict[str, float]:
    """Array area [m2], battery nameplate [J] and radiator planform [m2] that the load asks for."""
    gpu, panel = catalog.accelerator(ship.accelerator), catalog.radiator(ship.radiator)
    pack = catalog.battery(ship.battery)
    by_chip_k = gpu.chip_limit.value - gpu.power.value * gpu.chip_resistance.value - catalog.value("heat.plate_drop")
    radiator_m2 = thermal.radiator_area(
        load_w, min(_coolant_limit(ship, gpu), by_chip_k), ship.design_sink.value, panel.emissivity.value,
        panel.effectiveness.value, catalog.value("heat.radiator_drop"),
    )  # fmt: skip
    battery_j = dark_j / (pack.discharge_efficiency.value * pack.depth_of_discharge.value)
    return {"array": array_m2, "battery": battery_j, "radiator": radiator_m2}


def _design(ship: Ship, catalog: Catalog, have: dict[str, float], load_w: float, terminals_kg: float) -> bill.Design:
    """What is aboard, for its bill of mass."""
    gpu, cells = catalog.accelerator(ship.accelerator), catalog.array(ship.array)
    units, kept = _units(ship, gpu), ship.accelerator_mass_share.value
    across_m2 = attitude.drag_area(ship.attitude, have["array"], have["radiator"], f"{ship.name}.attitude")
    life_s = catalog.value("cost.life_orbit")
    return bill.Design(
        array=cells, array_area_m2=have["array"], array_w=have["array"] * array_density(cells),
        battery=catalog.battery(ship.battery), battery_j=have["battery"], radiator=catalog.radiator(ship.radiator),
        radiator_area_m2=have["radiator"], heat_w=load_w, altitude_m=ship.design_altitude.value,
        drag_area_m2=_value(ship.drag_area, across_m2), life_s=life_s, keeping_s=_value(ship.keeping, life_s),
        wings=float(ship.wings), computers_kg=units * gpu.unit_mass.value * kept, terminals_kg=terminals_kg,
        other_kg=_value(ship.other_mass, 0.0), shielding_m=ship.shielding.value,
        # a hull and its racks are the shield; elsewhere each unit's boards have a box of their own
        enclosed_m2=0.0 if ship.variant == "hull" else units * mass.box_area(kept * gpu.unit_volume.value),
        maturity=ship.maturity, hull_kg=_value(ship.hull_mass, 0.0), bus_kg=_optional(ship.bus_mass),
        structure_share=_optional(ship.structure_share), margin=_optional(ship.margin),
    )  # fmt: skip


def _optional(given: Any) -> float | None:
    return None if given is None else float(given.value)


def _volumes(ship: Ship, catalog: Catalog, have: dict[str, float], masses_kg: dict[str, float]) -> dict[str, float]:
    """Stowed volume by part [m3]; accelerators as they stand on the ground."""
    gpu = catalog.accelerator(ship.accelerator)
    return {
        "accelerators": _units(ship, gpu) * gpu.unit_volume.value,
        "array": have["array"] * catalog.array(ship.array).stowed_thickness.value,
        "battery": have["battery"] / catalog.battery(ship.battery).energy_density.value,
        "radiator": have["radiator"] * catalog.radiator(ship.radiator).stowed_thickness.value,
        "bus": sum(masses_kg.get(part, 0.0) for part in BUS) / catalog.value("ship.bus_density"),
    }


def _balances(ship: Ship, needs: dict[str, float], have: dict[str, float], volume_m3: float) -> tuple[Balance, ...]:
    """What the design gives beside what is needed, where it gives something or where nothing would do."""
    found = []
    for part, given, unit in (
        ("array", ship.array_area, "m^2"),
        ("battery", ship.battery_energy, "J"),
        ("radiator", ship.radiator_area, "m^2"),
    ):
        if given is not None or not math.isfinite(needs[part]):
            found.append(Balance(part, have[part], needs[part], unit))
    if ship.hull_volume is not None:
        found.append(Balance("hull volume", ship.hull_volume.value, volume_m3, "m^3"))
    return tuple(found)


def _spread(values: list[float], counts: list[int]) -> Floats:
    return np.repeat(np.array(values, dtype=np.float64), counts)


def _aged(panel: Radiator, age_s: float) -> float:
    share = min(age_s / panel.ageing.value, 1.0) if panel.ageing.value > 0.0 else 1.0
    return panel.absorptivity.value + share * (panel.absorptivity_aged.value - panel.absorptivity.value)


def _row(made: Budget, catalog: Catalog, age_s: float) -> dict[str, float]:
    """One ship's numbers of Fleet, aged."""
    ship = made.ship
    gpu, cells = catalog.accelerator(ship.accelerator), catalog.array(ship.array)
    pack, panel = catalog.battery(ship.battery), catalog.radiator(ship.radiator)
    gpu_w = gpu.power.value + gpu.host_power.value
    cycles = made.cycles_per_year * age_s / (365.25 * DAY_S)
    battery_j = made.battery_j * float(power.battery_remaining(cycles, pack.cycle_fade.value))
    path = f"{ship.name}.attitude"
    across_m2 = attitude.drag_area(ship.attitude, made.array_area_m2, made.radiator_area_m2, path)
    return {
        "gpus": float(ship.gpus),
        "flops_per_gpu": gpu.bf16.value,
        "gpu_full_w": gpu_w,
        "gpu_idle_w": _idle_w(gpu, catalog),
        "clock_min": catalog.value("gpu.clock_min"),
        "clock_power_exponent": catalog.value("gpu.clock_exponent"),
        "bus_w": made.load_w - made.chips_w - made.hosts_w,
        "array_rated_w": made.array_w * float(power.remaining(cells.degradation.value, age_s)),
        "array_area_m2": made.array_area_m2,
        "battery_j": battery_j,
        "depth_of_discharge": pack.depth_of_discharge.value,
        "charge_efficiency": pack.charge_efficiency.value,
        "discharge_efficiency": pack.discharge_efficiency.value,
        "charge_max_w": pack.charge_rate.value * battery_j,
        "radiator_area_m2": made.radiator_area_m2,
        "radiator_emissivity": panel.emissivity.value,
        "radiator_absorptivity": _aged(panel, age_s),
        "fin_effectiveness": panel.effectiveness.value,
        **_nodes(made, gpu, panel, catalog),
        "shielding_m": ship.shielding.value,
        "mass_kg": made.mass_kg,
        "drag_area_m2": _value(ship.drag_area, across_m2),
    }


def _nodes(made: Budget, gpu: Accelerator, panel: Radiator, catalog: Catalog) -> dict[str, float]:
    """Thermal masses, conductances and limits of Fleet: by watt aboard, so that all sizes of ship warm alike."""
    compute_w = made.chips_w + made.hosts_w
    return {
        "chip_j_k": catalog.value("heat.chip_capacity") * made.chips_w,
        "plate_j_k": catalog.value("heat.plate_capacity") * compute_w,
        "coolant_j_k": catalog.value("heat.coolant_capacity") * made.load_w,
        "radiator_j_k": panel.heat_capacity.value * made.radiator_area_m2,
        # hosts' heat goes the chips' way in the model: scaled so that chips are as far above the plate as they are
        "chip_plate_w_k": compute_w / (gpu.power.value * gpu.chip_resistance.value),
        "plate_coolant_w_k": compute_w / catalog.value("heat.plate_drop"),
        "coolant_radiator_w_k": made.load_w / catalog.value("heat.radiator_drop"),
        "chip_limit_k": gpu.chip_limit.value,
        "coolant_limit_k": _coolant_limit(made.ship, gpu),
    }
