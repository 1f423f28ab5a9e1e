"""A ship's budget with the flights that take it up."""

from __future__ import annotations

from typing import Any

from aether.operations import launch
from aether.scenario.catalog import Catalog, Ship
from aether.space import sizing


def budget(ship: Ship, catalog: Catalog) -> dict[str, Any]:
    """Rows of name, value, unit and note from GPUs to flights per ship, and what is short in words."""
    made = sizing.budget(ship, catalog)
    told = sizing.as_dict(made)
    launcher = catalog.launcher(ship.launcher)
    flown = launch.flights(made.lifted_kg, made.volume_m3, launcher.payload.value, launcher.bay_volume.value)
    together = f"{flown.ships_per_flight} ships share one, " if flown.ships_per_flight > 1 else ""
    own = "; the hull flies itself and is not reused" if ship.variant == "hull" else ""
    note = f"{ship.launcher}, {together}{flown.binding} binds{own}"
    told["rows"].append({"name": "flights per ship", "value": flown.per_ship, "unit": "1", "note": note})
    shown = launcher.price.value * flown.per_ship
    told["rows"].append(
        {"name": "launch per ship", "value": shown, "unit": "USD", "note": "at the launcher's nominal price"}
    )
    if ship.hull_mass is not None:
        what = {
            "name": "to dispose of",
            "value": made.mass_kg,
            "unit": "kg",
            "note": "hull and all aboard at the end of life",
        }
        told["rows"].append(what)
    return told
