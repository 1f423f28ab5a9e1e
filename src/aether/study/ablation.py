"""What each coupling costs: the same day again with one of them switched off."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from aether.engine.run import Outcome, Progress, simulate
from aether.scenario.spec import Couplings

COUPLINGS = tuple(Couplings.model_fields)


def ablate(outcome: Outcome, progress: Progress | None = None) -> list[dict[str, Any]]:
    """One row per coupling that is on: deliverable compute with it off, and the change relative to the full run."""
    scenario = outcome.setup.scenario
    full = outcome.summary["waterfall"]["deliverable"]["gpu_hours"]
    rows = []
    for name in COUPLINGS:
        if not getattr(scenario.spec.couplings, name):
            continue
        couplings = scenario.spec.couplings.model_copy(update={name: False})
        other = replace(scenario, spec=scenario.spec.model_copy(update={"couplings": couplings}))
        hours = simulate(other, progress, network=False, label=f"without {name}").summary["waterfall"]["deliverable"]["gpu_hours"]
        rows.append({"off": name, "deliverable_gpu_hours": hours, "change": (hours - full) / full if full else 0.0})
    return rows
