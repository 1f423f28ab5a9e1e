"""What each coupling costs: the same run again with one of them switched off."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from aether.engine.assemble import Setup, assemble
from aether.engine.run import MESH, Outcome, Progress, play_variants
from aether.engine.summary import waterfall
from aether.engine.totals import Totals
from aether.engine.verdict import usd_per_mtoken
from aether.engine.work_summary import work
from aether.scenario.spec import Couplings

COUPLINGS = tuple(Couplings.model_fields)
STEP_S = 300.0  # least step: a coupling's cost is a difference of two runs alike, and needs no finer one


def ablate(outcome: Outcome, progress: Progress | None = None, threads: int = 1) -> list[dict[str, Any]]:
    """One row per coupling that is on: what is deliverable, delivered and paid with it off, and the change.

    All runs of the table, the one with nothing off too, go at steps of at least five minutes; changes are between them.
    threads: runs side by side; the rows are the same for any number.
    """
    setup = coarse(outcome.setup)
    on = [name for name in COUPLINGS if getattr(setup.scenario.spec.couplings, name)]
    alike = [name for name in on if name not in MESH]
    halves = [[setup, *(without(setup, name) for name in alike)], [without(setup, name) for name in on if name in MESH]]
    labels = ("ablation", "ablation of what moves the mesh")
    with ThreadPoolExecutor(max_workers=threads) as pool:
        jobs = [pool.submit(_rows, half, progress, label) for half, label in zip(halves, labels, strict=True) if half]
        rows = [row for job in jobs for row in job.result()]
    names = [*alike, *(name for name in on if name in MESH)]
    made = {name: _changed(row | {"off": name}, rows[0]) for name, row in zip(names, rows[1:], strict=True)}
    return [made[name] for name in on]


def _rows(setups: list[Setup], progress: Progress | None, label: str) -> list[dict[str, Any]]:
    return [_row(*pair) for pair in zip(setups, play_variants(setups, progress, label), strict=True)]


def _row(setup: Setup, totals: Totals) -> dict[str, Any]:
    told, stages = work(setup, totals), waterfall(setup, totals)
    return {
        "deliverable_gpu_hours": stages["deliverable"]["gpu_hours"], "delivered_gpu_hours": stages["delivered"]["gpu_hours"],
        "output_tokens": sum(s["output_tokens"] for s in told.get("inference", ())),
        "training_tokens": sum(r["tokens"] for r in told.get("training", ())), "usd_per_mtoken": usd_per_mtoken(setup, totals),
        "first_token_s": _first_token(told),
    }  # fmt: skip


def _first_token(told: Mapping[str, Any]) -> float | None:
    """Median time to first token of the workloads, weighed by their requests."""
    rows = [
        (s["first_token_p50_s"], s["served"]) for s in told.get("inference", ()) if s["first_token_p50_s"] is not None
    ]
    return sum(p * n for p, n in rows) / sum(n for _, n in rows) if rows else None


def _changed(row: dict[str, Any], full: Mapping[str, Any]) -> dict[str, Any]:
    """The row with its changes relative to the run with all couplings on."""
    keys = {"deliverable_gpu_hours": "change", "delivered_gpu_hours": "delivered_change", "output_tokens": "tokens_change",
            "training_tokens": "training_change", "usd_per_mtoken": "usd_change", "first_token_s": "first_token_change"}  # fmt: skip
    return row | {
        name: (row[key] - full[key]) / full[key] if row[key] is not None and full[key] else 0.0
        for key, name in keys.items()
    }


def coarse(setup: Setup) -> Setup:
    """The same run at steps of at least five minutes that divide it evenly."""
    spec = setup.scenario.spec
    steps = max(1, int(spec.duration // max(spec.step, STEP_S)))
    step_s = spec.duration / steps
    return assemble(replace(setup.scenario, spec=spec.model_copy(update={"step": min(step_s, 3600.0)})))


def without(setup: Setup, coupling: str) -> Setup:
    """The same setup with one coupling switched off."""
    scenario = setup.scenario
    couplings = scenario.spec.couplings.model_copy(update={coupling: False})
    return replace(setup, scenario=replace(scenario, spec=scenario.spec.model_copy(update={"couplings": couplings})))
