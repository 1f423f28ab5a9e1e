"""The watch: a run without it, alarms from its telemetry as it streamed, and the run again with ships drained as they call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from aether.base.clock import stream
from aether.base.tables import Floats, Outage
from aether.engine.assemble import Setup
from aether.engine.run import Outcome, Progress, run
from aether.operations import degradation, watch
from aether.space import attitude, power, sun

LEAST_LOSS = 0.02  # below which there is nothing to see


def watched(setup: Setup, progress: Progress | None = None) -> tuple[Setup, dict[str, Any]]:
    """The setup with the drains that the watch orders, and what it saw, scored; the run without it is made on the way.

    Telemetry is the twin's own with sensor noise; each ship's is read in order of time, and an alarm at one reading depends on none
    after it. A drain begins with the step after the alarm.
    """
    before = run(setup, progress)
    time_s, signs = _signs(setup, before)
    found = watch.alarms(signs, time_s)
    asked = setup.scenario.spec.watch
    rest_s, step_s = asked.drain if asked is not None else 0.0, setup.scenario.clock.step_s
    drains = tuple(
        Outage("ship", a.ship, a.time_s + step_s / 2.0, a.time_s + step_s / 2.0 + rest_s, f"drained: {a.part}")
        for a in found
    )
    told = _told(setup, time_s, found)
    return replace(setup, drains=drains), told | {"without": _came_to(setup, before.summary)}


def saved(told: dict[str, Any], outcome: Outcome) -> dict[str, Any]:
    """What the watch saw with what acting on it saved: the run with it beside the one without."""
    now, before = _came_to(outcome.setup, outcome.summary), told["without"]
    return told | {
        "with": now,
        "saved": {k: now[k] - before[k] for k in now if before.get(k) is not None and now[k] is not None},
    }


def _came_to(setup: Setup, told: Mapping[str, Any]) -> dict[str, Any]:
    """What a run came to, for comparison."""
    rows, work = told["waterfall"], told.get("work") or {}
    training = work.get("training") or []
    return {
        "deliverable_gpu_hours": rows["deliverable"]["gpu_hours"], "delivered_gpu_hours": rows["delivered"]["gpu_hours"],
        "output_tokens": sum(s["output_tokens"] for s in work.get("inference") or []),
        "training_tokens": sum(r["tokens"] for r in training), "interruptions": sum(r["interruptions"] for r in training),
        "ships_lost": len(degradation.breakdowns(setup.degrading, setup.drains, setup.scenario.clock.duration_s)),
    }  # fmt: skip


def _signs(setup: Setup, outcome: Outcome) -> tuple[Floats, Floats]:
    """Times, and the signs of health of every ship."""
    fleet, tables = setup.fleet, outcome.tables
    shape = (-1, len(fleet.name))

    def column(table: str, name: str) -> Floats:
        return np.asarray(tables[table].column(name).to_numpy(), dtype=np.float64).reshape(shape)

    time_s = np.asarray(tables["energy"].column("time_s").to_numpy(), dtype=np.float64).reshape(shape)[:, 0]
    health = degradation.health(setup.degrading, (), len(fleet.name), time_s)
    e = {
        k: column("energy", k)
        for k in ("array_w", "lit", "array_cosine", "gpu_w", "bus_w", "charge_w", "discharge_w", "charge_j")
    }
    season = _season(setup, time_s)
    moved_j = setup.scenario.clock.step_s * (
        e["charge_w"] * fleet.charge_efficiency - e["discharge_w"] / fleet.discharge_efficiency
    )
    holds_j = fleet.battery_j * health.battery
    gauge = np.divide(
        e["charge_j"], holds_j, out=np.full_like(holds_j, np.nan), where=holds_j > 0.0
    )  # none when all is lost
    noise = stream(setup.scenario.spec.seed, "telemetry").standard_normal((len(watch.PARTS), *e["gpu_w"].shape))
    signs = watch.indicators(
        e["array_w"], fleet.array_rated_w * e["array_cosine"] * e["lit"] * season[:, None], column("heat", "chip_k"),
        column("heat", "radiator_k"), e["gpu_w"], fleet.gpus * fleet.gpu_full_w,
        1.0 / (1.0 / fleet.chip_plate_w_k + 1.0 / fleet.plate_coolant_w_k + 1.0 / fleet.coolant_radiator_w_k),
        gauge, moved_j, fleet.battery_j,
        np.array([setup.scenario.value(f"watch.{part}_noise") for part in watch.PARTS]), noise,
    )  # fmt: skip
    return time_s, signs


def _season(setup: Setup, time_s: Floats) -> Floats:
    """Sunlight of the day of the year over that at 1 au (T,)."""
    distance_m = np.linalg.norm(sun.position(setup.julian + time_s / 86400.0), axis=1)
    return attitude.irradiance_w_m2(distance_m) / power.SOLAR_CONSTANT_W_M2


def _told(setup: Setup, time_s: Floats, found: list[watch.Alarm]) -> dict[str, Any]:
    """Alarms and degradations with the score, in all and by kind."""
    names, there = setup.fleet.name, setup.degrading
    health = degradation.health(there, (), len(names), time_s)
    part = {kind: getattr(health, name) for name, kinds in degradation.LOSSES.items() for kind in kinds}
    seen = np.array([1.0 - part[d.kind][:, d.ship].min() >= LEAST_LOSS for d in there], dtype=np.bool_)

    def scored(rows: list[int], mine: list[watch.Alarm]) -> dict[str, Any]:
        s = watch.score(mine, [there[n].ship for n in rows], [there[n].start_s for n in rows], seen[rows])
        return {"degraded": int(seen[rows].sum()), "alarms": len(mine), "precision": s.precision, "recall": s.recall, "false": s.false,
                "delay_mean_s": float(np.mean(s.delays_s)) if s.delays_s else None, "delay_most_s": max(s.delays_s, default=None)}  # fmt: skip

    by_kind = {}
    for kind in degradation.KINDS:
        rows = [n for n, d in enumerate(there) if d.kind == kind]
        if rows:
            by_kind[kind] = scored(rows, [a for a in found if a.ship in {there[n].ship for n in rows}])
    alarms = [{"ship": names[a.ship], "part": a.part, "time_s": a.time_s} for a in found]
    degraded = [asdict(d) | {"ship": names[d.ship]} for d in there]
    return scored(list(range(len(there))), found) | {"by_kind": by_kind, "alarm_list": alarms, "degrading": degraded}
