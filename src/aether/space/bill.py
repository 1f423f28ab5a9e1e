"""A ship's bill of mass: the laws of `space.mass` on what is aboard, closed over structure, propellant and margin."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from aether.base.errors import InputError, Problem
from aether.base.provenance import Assumption
from aether.scenario.catalog import Battery, Radiator, SolarArray
from aether.space import drag, mass

Value = Callable[[str], float]  # the nominal value of an assumption, SI
SELF_BORNE = (  # wings and radiators have their own boxes, frames and tie-downs
    "array", "solar cells", "substrate", "booms", "array deployment", "radiator", "radiator panels", "radiator deployment",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Design:
    """What is aboard, in numbers. A mass given as disclosed takes the place of its law."""

    array: SolarArray
    array_area_m2: float
    array_w: float  # at the bus, new, facing the Sun
    battery: Battery
    battery_j: float  # nameplate
    radiator: Radiator
    radiator_area_m2: float  # planform, 0 for none that is deployed
    heat_w: float  # through the loop
    altitude_m: float
    drag_area_m2: float
    life_s: float  # for which wings and radiators are built
    keeping_s: float  # through which the orbit is held, 0 without propulsion
    wings: float = 2.0  # at least
    computers_kg: float = 0.0
    terminals_kg: float = 0.0
    other_kg: float = 0.0  # antennas, docking: what no law predicts
    shielding_m: float = 0.0
    enclosed_m2: float = 0.0  # around what is shielded
    maturity: str = "modified"  # of what is no part of the catalog
    hull_kg: float = 0.0  # flies itself, is moved with the rest
    bus_kg: float | None = None
    structure_share: float | None = None
    margin: float | None = None


def masses(design: Design, value: Value) -> dict[str, float]:
    """Mass by part [kg], whose sum is the mass lifted; the hull apart.

    W = (1 + mu) sum_i (1 + g_i) m_i, structure = s (sum of what the body carries), propellant = D + (1 - exp(-dv / (g Isp))) (W + hull),
    thrusters = tau propellant + k (W + hull): linear in W, and solved for it. D is what holds the orbit against drag.

    design: what is aboard; value: looks an assumption `mass.*` up. Rows "growth" and "margin" are g_i and mu. Raises
    InputError where propulsion and structure outgrow the ship. Valid for ships whose wings and radiators are thin.
    """
    maturity, parts = _carried(design, value)
    growth = {part: 0.0 if design.margin is not None else value(f"mass.growth_{maturity[part]}") for part in parts}
    own = 0.0 if design.margin is not None else value(f"mass.growth_{design.maturity}")
    share = value("mass.structure") if design.structure_share is None else design.structure_share
    reserve = value("mass.margin") if design.margin is None else design.margin

    held_kg, burnt, tanks, thrusters = _propulsion(design, value)
    carried_kg = sum(kg for part, kg in parts.items() if part not in SELF_BORNE)
    grown_kg = sum((1.0 + growth[part]) * kg for part, kg in parts.items())
    with_wet = 1.0 + share * (1.0 + own)  # a kilogram of propellant with the structure under it
    with_dry = (1.0 + own) * (1.0 + share)  # and of thrusters and tanks
    fixed_kg = grown_kg + share * carried_kg * (1.0 + own) + held_kg * (with_wet + with_dry * tanks)
    each = (1.0 + reserve) * (burnt * with_wet + (tanks * burnt + thrusters) * with_dry)
    if each >= 1.0:
        what = "no ship can carry its own propulsion: delta-v, tanks or thrusters ask for more than all its mass"
        raise InputError(Problem("mass", what, next="Lower mass.thruster_power or the delta-v, or raise the impulse"))
    lifted_kg = ((1.0 + reserve) * fixed_kg + each * design.hull_kg) / (1.0 - each)

    moved_kg = lifted_kg + design.hull_kg
    propellant_kg = held_kg + burnt * moved_kg
    thrusters_kg = tanks * propellant_kg + thrusters * moved_kg
    found = dict(parts)
    if design.bus_kg is None:
        found |= {"thrusters": thrusters_kg, "propellant": propellant_kg}
    found["structure"] = share * sum(kg for part, kg in found.items() if part not in SELF_BORNE)
    found["growth"] = sum(growth[p] * kg for p, kg in parts.items()) + own * (thrusters_kg + found["structure"])
    found["margin"] = reserve * sum(found.values())
    return found


def wing(
    cells: SolarArray, area_m2: float, power_w: float, least: float, value: Value, run: bool = True
) -> dict[str, float]:
    """Mass of an array by part [kg]: cells, substrate, booms, deployment, harness.

    n = max(least, area / largest wing) wings of length L = sqrt(ratio area / n); booms by `mass.boom_mass` with L and the
    yoke; harness by `mass.harness_mass` over half of L, the yoke and the run to the loads, where `run` asks for it.

    cells: the catalog's array; area_m2 [m2], power_w [W] of all wings. A disclosed areal mass stands for all in the wing.
    """
    wings = max(least, area_m2 / value("mass.wing_area"))
    length_m = math.sqrt(value("mass.wing_ratio") * area_m2 / wings)
    root_m = value("mass.yoke") * length_m
    inside_m = value("mass.harness_run") if run else 0.0
    if cells.areal_mass is not None:
        return {
            "array": area_m2 * cells.areal_mass.value,
            "harness": wings * _harness(power_w / wings, inside_m, value),
        }
    packing, cell_kg_m2, base_kg_m2, unfold = _known(
        cells.name, cells.packing, cells.cell_mass, cells.substrate_mass, cells.deployment_share
    )
    cells_kg, substrate_kg = area_m2 * packing * cell_kg_m2, area_m2 * base_kg_m2
    boom_kg = value("mass.boom_share") * mass.boom_mass(
        length_m + root_m, (cells_kg + substrate_kg) / (wings * length_m), value("mass.wing_frequency"),
        value("mass.boom_modulus"), value("mass.boom_density"), value("mass.boom_slenderness"),
    )  # fmt: skip
    made = {"solar cells": cells_kg, "substrate": substrate_kg, "booms": wings * boom_kg}
    made["array deployment"] = unfold * sum(made.values())
    made["harness"] = wings * _harness(power_w / wings, 0.5 * length_m + root_m + inside_m, value)
    return made


def radiator(
    panel: Radiator, area_m2: float, heat_w: float, life_s: float, value: Value, run: bool = True
) -> dict[str, float]:
    """Mass of deployed radiators by part [kg]: panels with their armour, deployment, lines, coolant.

    n = max(1, area / largest radiator) of length L = sqrt(ratio area / n), each with a supply and a return line along it and,
    where `run` asks for it, to the loads; tube walls by `mass.armour_thickness` for the part of a circuit that tubes cover.

    panel: the catalog's radiator; area_m2 [m2] planform and heat_w [W] of all; life_s [s]. A disclosed areal mass stands for
    panels, deployment and the coolant in them.
    """
    if area_m2 <= 0.0:
        return {}
    wings = max(1.0, area_m2 / value("mass.radiator_area"))
    length_m = math.sqrt(value("mass.radiator_ratio") * area_m2 / wings) + (value("mass.loop_run") if run else 0.0)
    density = value("mass.coolant_density")
    flow_kg_s = mass.coolant_flow(heat_w / wings, value("mass.coolant_heat"), value("mass.loop_rise"))
    dry_kg, fluid_kg = mass.line_mass(flow_kg_s, length_m, density, value("mass.loop_speed"), value("mass.line_wall"))
    lines = {"coolant lines": wings * dry_kg, "coolant": wings * fluid_kg}
    if panel.areal_mass is not None:
        return {"radiator": area_m2 * panel.areal_mass.value, **lines}
    return {**panels(panel, area_m2, life_s, value, fluid_kg=lines["coolant"]), "coolant lines": lines["coolant lines"]}


def panels(panel: Radiator, area_m2: float, life_s: float, value: Value, fluid_kg: float = 0.0) -> dict[str, float]:
    """Mass of radiator panels from their make [kg], whatever is disclosed of them: panels, deployment, coolant.

    panel: the catalog's radiator; area_m2 [m2] planform; life_s [s] that tube walls must last; fluid_kg [kg] in lines besides.
    Raises InputError for a radiator whose make is not known.
    """
    face_m, core_kg_m2, frame_kg_m2, pitch_m, bore_m, unfold = _known(
        panel.name, panel.face_thickness, panel.core_mass, panel.frame_mass, panel.tube_pitch, panel.tube_bore,
        panel.deployment_share,
    )  # fmt: skip
    exposed_m2 = 2.0 * value("mass.circuit_area") * min(1.0, bore_m / pitch_m)
    wall_m = mass.armour_thickness(
        exposed_m2, life_s, value("mass.hit_share"), value("mass.debris_factor"), value("mass.bumper_share")
    )
    panels_kg = area_m2 * mass.panel_mass(face_m, core_kg_m2 + frame_kg_m2, pitch_m, bore_m, wall_m)
    return {
        "radiator panels": panels_kg,
        "radiator deployment": unfold * panels_kg,
        "coolant": fluid_kg + area_m2 * mass.tube_fluid(pitch_m, bore_m, value("mass.coolant_density")),
    }


def pack(battery: Battery, energy_j: float) -> float:
    """Mass of a battery [kg]: nameplate over its specific energy, or over that of its cells times their share of the pack."""
    if battery.specific_energy is not None:
        return energy_j / battery.specific_energy.value
    cell_j_kg, share = _known(battery.name, battery.cell_energy, battery.pack_share)
    return energy_j / (cell_j_kg * share)


def _known(part: str, *numbers: Assumption | None) -> list[float]:
    """The values of a part's numbers; InputError where one is missing."""
    found = [n.value for n in numbers if n is not None]
    if len(found) < len(numbers):
        raise InputError(Problem(part, "its make is not known: some of the numbers that its mass needs are missing"))
    return found


def _harness(power_w: float, length_m: float, value: Value) -> float:
    loss, metal, cover = value("mass.harness_loss"), value("mass.conductor"), value("mass.harness_cover")
    return mass.harness_mass(power_w, value("mass.bus_voltage"), length_m, loss, metal, cover)


def _loop(design: Design, value: Value) -> tuple[dict[str, float], float]:
    """Pumps with valves and accumulators, and coolant outside lines and panels [kg]."""
    if design.radiator_area_m2 <= 0.0:
        return {}, 0.0
    flow_kg_s = mass.coolant_flow(design.heat_w, value("mass.coolant_heat"), value("mass.loop_rise"))
    pump_w = mass.pump_power(
        flow_kg_s, value("mass.coolant_density"), value("mass.loop_head"), value("mass.pump_efficiency")
    )
    return {"pumps": value("mass.pump_sets") * value("mass.pump") * pump_w}, value("mass.plate_fluid") * design.heat_w


def _carried(design: Design, value: Value) -> tuple[dict[str, str], dict[str, float]]:
    """Maturity and mass [kg] of all parts but structure and propulsion."""
    array = wing(design.array, design.array_area_m2, design.array_w, design.wings, value)
    heat = radiator(design.radiator, design.radiator_area_m2, design.heat_w, design.life_s, value)
    pumps, fluid_kg = _loop(design, value)
    heat |= pumps
    if pumps:
        heat["coolant"] += fluid_kg
        heat["loop fittings"] = value("mass.loop_fittings") * (heat["pumps"] + heat["coolant lines"])
    shield_kg = mass.shielding_mass(design.shielding_m, value("mass.shielding_inherent"), design.enclosed_m2)
    own = {
        "accelerators": design.computers_kg, "shielding": shield_kg, "terminals": design.terminals_kg,
        "power electronics": value("mass.power_electronics") * design.array_w, "other": design.other_kg,
    }  # fmt: skip
    battery = {"battery": pack(design.battery, design.battery_j)}
    parts = {**own, **array, **battery, **heat}
    if design.bus_kg is None:
        own |= {
            "avionics": value("mass.avionics"),
            "attitude control": value("mass.attitude_share") * sum(parts.values()),
        }
    else:
        own["bus"] = design.bus_kg
    parts = {part: kg for part, kg in {**own, **array, **battery, **heat}.items() if kg > 0.0}
    maturity = dict.fromkeys(own, design.maturity) | dict.fromkeys(array, design.array.maturity)
    maturity |= dict.fromkeys(battery, design.battery.maturity) | dict.fromkeys(heat, design.radiator.maturity)
    return maturity, parts


def _propulsion(design: Design, value: Value) -> tuple[float, float, float, float]:
    """Propellant against drag [kg], share burnt by the mass moved, tanks over propellant, thrusters over the mass moved."""
    if design.bus_kg is not None or design.keeping_s <= 0.0:
        return 0.0, 0.0, 0.0, 0.0
    impulse_s = value("mass.specific_impulse")
    air = float(drag.density(design.altitude_m, drag.FLUX_MEAN))
    held_n = float(drag.force(design.altitude_m, air, design.drag_area_m2))
    leave_m_s = value("mass.spiral") * float(drag.deorbit_delta_v(design.altitude_m))
    delta_v_m_s = value("mass.raising") + value("mass.avoidance") * design.keeping_s + leave_m_s
    return (
        mass.make_up_mass(held_n, design.keeping_s, impulse_s), mass.burnt_share(delta_v_m_s, impulse_s),
        value("mass.tank_share"), value("mass.thruster_power") * value("mass.thruster"),
    )  # fmt: skip
