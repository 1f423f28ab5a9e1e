"""What each coupling costs: the same day again with one of them switched off."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from aether.engine.assemble import Setup
from aether.engine.run import Outcome, Progress, play
from aether.engine.summary import waterfall
from aether.scenario.spec import Couplings

COUPLINGS = tuple(Couplings.model_fields)
MESH = ("acquisition", "attitude")  # couplings that change the mesh; for the others the full run's reach stands


def ablate(outcome: Outcome, progress: Progress | None = None) -> list[dict[str, Any]]:
    """One row per coupling that is on: deliverable compute with it off, and the change relative to the full run."""
    full = outcome.summary["waterfall"]["deliverable"]["gpu_hours"]
    rows = []
    for name in COUPLINGS:
        if getattr(outcome.setup.scenario.spec.couplings, name):
            other = without(outcome.setup, name)
            known = None if name in MESH else outcome.record.ships["reach_share"]
            record = play(other, progress, network=False, label=f"without {name}", known=known)
            hours = waterfall(other, record)["deliverable"]["gpu_hours"]
            change = (hours - full) / full if full else 0.0
            rows.append({"off": name, "deliverable_gpu_hours": hours, "change": change})
    return rows


def without(setup: Setup, coupling: str) -> Setup:
    """The same setup with one coupling switched off."""
    scenario = setup.scenario
    couplings = scenario.spec.couplings.model_copy(update={coupling: False})
    return replace(setup, scenario=replace(scenario, spec=scenario.spec.model_copy(update={"couplings": couplings})))
