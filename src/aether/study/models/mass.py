"""The models of mass that `aether validate` knows: one set of assumptions for all cases, fitted to none."""

from __future__ import annotations

import math
from collections.abc import Mapping

from aether.economics.cost import YEAR_S
from aether.scenario.catalog import packaged
from aether.space import bill, mass, sizing
from aether.study.validation import model

Answer = Mapping[str, float]


def _whole(parts: Mapping[str, float], power_w: float) -> Answer:
    """Predicted mass, with growth and without a planner's margin, and what falls out of it."""
    predicted_kg = sum(kg for part, kg in parts.items() if part != "margin")
    return {
        "mass": predicted_kg,
        "lifted": sum(parts.values()),
        "specific_mass": predicted_kg / power_w,
        "specific_power": power_w / predicted_kg,
    }


@model(
    "ship.wing",
    {"array": "", "area": "m^2", "power": "W", "wings": "1"},
    {"mass": "kg", "areal_mass": "kg/m^2", "specific_power": "W/kg"},
    optional=("wings",),
)
def _wing(array: str, area: float, power: float, wings: float = 1.0) -> Answer:
    """A solar wing of the catalog from cells, substrate, booms, deployment and harness, with growth by its maturity."""
    catalog = packaged()
    cells = catalog.array(array).model_copy(update={"areal_mass": None})
    parts = bill.wing(cells, area, power, wings, catalog.value, run=False)
    made_kg = sum(parts.values()) * (1.0 + catalog.value(f"mass.growth_{cells.maturity}"))
    return {"mass": made_kg, "areal_mass": made_kg / area, "specific_power": power / made_kg}


@model(
    "ship.radiator",
    {"radiator": "", "area": "m^2", "heat": "W", "life": "s"},
    {"mass": "kg", "areal_mass": "kg/m^2", "specific_power": "W/kg"},
)
def _radiator(radiator: str, area: float, heat: float, life: float) -> Answer:
    """A deployed radiator of the catalog from its make, whatever is disclosed of its mass, without pumps; with growth."""
    catalog = packaged()
    panel = catalog.radiator(radiator).model_copy(update={"areal_mass": None})
    parts = bill.radiator(panel, area, heat, life, catalog.value, run=False)
    made_kg = sum(parts.values()) * (1.0 + catalog.value(f"mass.growth_{panel.maturity}"))
    return {"mass": made_kg, "areal_mass": made_kg / area, "specific_power": heat / made_kg}


@model(
    "ship.mass",
    {"array": "", "array_area": "m^2", "array_power": "W", "battery": "", "battery_energy": "J", "altitude": "m", "wings": "1",
     "radiator": "", "radiator_area": "m^2", "heat": "W", "terminals": "kg", "accelerator": "", "gpus": "1", "kept": "1",
     "shielding": "m", "other": "kg", "drag_area": "m^2", "life": "s", "maturity": ""},
    {"mass": "kg", "lifted": "kg", "specific_mass": "kg/W", "specific_power": "W/kg"},
    optional=("wings", "radiator", "radiator_area", "heat", "terminals", "accelerator", "gpus", "kept", "shielding", "other",
              "drag_area", "life", "maturity"),
)  # fmt: skip
def _mass(
    array: str, array_area: float, array_power: float, battery: str, battery_energy: float, altitude: float, wings: float = 2.0,
    radiator: str = "pumped-panel", radiator_area: float = 0.0, heat: float = 0.0, terminals: float = 0.0,
    accelerator: str = "gb300-nvl72", gpus: float = 0.0, kept: float = 0.25, shielding: float = 0.0, other: float = 0.0,
    drag_area: float = 0.0, life: float = 5.0 * YEAR_S, maturity: str = "flown",
) -> Answer:  # fmt: skip
    """A satellite's mass from its parts; `other` is what no law predicts, as antennas; `kept` the accelerators' mass flown."""
    catalog = packaged()
    gpu = catalog.accelerator(accelerator)
    units = math.ceil(gpus / gpu.gpus)
    design = bill.Design(
        array=catalog.array(array), array_area_m2=array_area, array_w=array_power, battery=catalog.battery(battery),
        battery_j=battery_energy, radiator=catalog.radiator(radiator), radiator_area_m2=radiator_area, heat_w=heat,
        altitude_m=altitude, drag_area_m2=drag_area, life_s=life, keeping_s=life, wings=wings,
        computers_kg=units * gpu.unit_mass.value * kept, terminals_kg=terminals, other_kg=other, shielding_m=shielding,
        enclosed_m2=units * mass.box_area(kept * gpu.unit_volume.value), maturity=maturity,
    )  # fmt: skip
    return _whole(bill.masses(design, catalog.value), array_power)


@model(
    "ship.catalog_mass",
    {"ship": ""},
    {"mass": "kg", "lifted": "kg", "specific_mass": "kg/W", "specific_power": "W/kg"},
)
def _catalog_mass(ship: str) -> Answer:
    """A ship of the catalog from its parts, its hull apart; specific figures over the array's power."""
    catalog = packaged()
    made = sizing.budget(catalog.ship(ship), catalog)
    return _whole({part: kg for part, kg in made.masses_kg.items() if part != "hull"}, made.array_w)
