"""A fleet through years as people ask for it: bands over all draws, what it takes, what it costs, where results go."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from aether.base.tables import Floats
from aether.base.version import VERSION
from aether.economics import cost
from aether.engine import lifetime as engine
from aether.engine import lifetime_money as money
from aether.engine.lifetime import Years, delivered_h
from aether.engine.lifetime_fleet import MONTH_S, YEAR_S, budget_m_s, propellant_kg
from aether.engine.run import Progress
from aether.operations import wear
from aether.operations.fleet import FLOPS, SHIPS
from aether.results import lifetime_report, results
from aether.results.results import Results
from aether.scenario.load import Scenario
from aether.space import drag, transfer

ENDS = ("age", "propellant", "dose")  # of a ship's life
LOSSES = (0.01, 0.02, 0.05, 0.10)  # of the ships, at once
TOLD = ("nameplate_gpu", "delivered_gpu", "nameplate_flops", "delivered_flops", "alive", "in_service", "active", "joined", "failed",
        "disposed", "stranded", "launches", "launches_failed", "flights")  # fmt: skip
RECOVERED = 0.99  # of what would have been delivered without the storm
DOWN_YEARS = 5.0  # within which ships must be down after their mission, FCC 22-74
HOUR_S = 3600.0  # definition
LIBRARIES = ("numpy", "numba", "scipy", "pydantic", "pyarrow", "pymsis")
NODE_RAD, DRIFT_M = np.radians(15.0), 50e3  # the move told: an hour of local time, by waiting 50 km lower


def lifetime(scenario: Scenario, progress: Progress | None = None, threads: int = 2, report: bool = False) -> Results:
    """A scenario's fleet through its `lifetime` section: Results with summary, the table `months`, manifest, and the page if asked.

    The same seed gives the same results for any number of threads. Raises InputError with everything wrong with the input.
    """
    done = engine.lifetime(scenario, progress, threads)
    calm = None if done.given.storm < 0 else engine.calm(done, progress, threads)
    told = summary(done, calm)
    page = lifetime_report.render(told) if report else ""
    return Results(told, {"months": months(done)}, manifest(done), page)


def saved(
    scenario: Scenario, folder: Path, progress: Progress | None = None, threads: int = 2, report: bool = True
) -> Results:
    """The same in a folder, whole or not at all."""
    results.check_folder(folder)
    made = lifetime(scenario, progress, threads, report)
    made.save(folder)
    return made


def summary(done: Years, calm: Mapping[str, Floats] | None = None) -> dict[str, Any]:
    """What `summary.json` holds. Bands are p10, p50, p90 and the mean over draws; calm: the course without the storm."""
    fleet, asked, spec = done.fleet, done.fleet.asked, done.fleet.scenario.spec
    start = asked.start or spec.start
    gpu_h, pflop_h = delivered_h(done)
    return {
        "version": VERSION, "scenario": spec.name, "title": spec.title, "start": start.isoformat(), "years": asked.years,
        "months": fleet.months, "draws": asked.draws, "seed": spec.seed, "ranges": asked.ranges, "rule": _rule(done),
        "capacity": _capacity(done), "target": _target(done), "totals": _totals(done), "effective_life": _effective(done),
        "losses": _losses(done), "storm": None if calm is None else _storm(done, calm), "cost": _cost(done, gpu_h, pflop_h),
        "groups": _groups(done), "plan": _plan(done),
    }  # fmt: skip


def band(values: Floats) -> dict[str, float]:
    """p10, p50, p90 and mean of one value per draw (D,)."""
    low, middle, high = (float(v) for v in np.quantile(values, (0.1, 0.5, 0.9)))
    return {"p10": low, "p50": middle, "p90": high, "mean": float(values.mean())}


def _bands(values: Floats) -> dict[str, list[float]]:
    """The same by month, (D, M)."""
    low, middle, high = np.quantile(values, (0.1, 0.5, 0.9), axis=0)
    return {"p10": low.tolist(), "p50": middle.tolist(), "p90": high.tolist(), "mean": values.mean(axis=0).tolist()}


def _rule(done: Years) -> str:
    asked = done.fleet.asked
    if asked.target:
        return "cheapest ships for the target" if asked.plan == "cheapest" else "what the target lacks is launched"
    grown = f"grow by {100.0 * asked.growth:g} % a year"
    return {"maintain": "keep the fleet as it is", "grow": grown, "once": "replace nothing"}[asked.rule]


def _capacity(done: Years) -> dict[str, Any]:
    gpu = {k: _bands(done.out[f"{k}_gpu"].sum(axis=2)) for k in ("nameplate", "delivered")}
    flops = {k: _bands(done.out[f"{k}_flops"].sum(axis=2) / 1e15) for k in ("nameplate", "delivered")}
    months = np.arange(1, done.fleet.months + 1).tolist()
    told = {"month": months} | {f"{k}_gpu": v for k, v in gpu.items()} | {f"{k}_pflops": v for k, v in flops.items()}
    share = done.out["delivered_gpu"].sum(axis=(1, 2)) / np.maximum(done.out["nameplate_gpu"].sum(axis=(1, 2)), 1e-9)
    return told | {"delivered_share": band(share)}


def _target(done: Years) -> dict[str, Any] | None:
    """Wanted beside delivered, year by year; None where ships are counted."""
    given = done.given
    if given.counts == SHIPS:
        return None
    scale, name = (1e-15, "delivered_flops") if given.counts == FLOPS else (1.0, "delivered_gpu")
    wanted = given.aim.sum(axis=1).reshape(-1, 12).mean(axis=1) * scale
    got = done.out[name].sum(axis=2).reshape(done.fleet.draws.count, -1, 12).mean(axis=2) * scale
    rows = [{"year": y + 1, "wanted": float(w), "delivered": band(got[:, y])} for y, w in enumerate(wanted)]
    met = np.minimum(got, wanted).sum(axis=1) / max(float(wanted.sum()), 1e-9)
    return {"unit": "PFLOP/s" if given.counts == FLOPS else "GPU", "years": rows, "met_share": band(met)}


def _totals(done: Years) -> dict[str, Any]:
    """Sums over the years, by draw."""
    fleet, out = done.fleet, done.out
    spare = np.concatenate([np.zeros_like(out["active"][:, :1]), (out["in_service"] - out["active"])[:, :-1]], axis=1)
    names = ("launches", "launches_failed", "ordered", "joined", "lost", "failed", "disposed", "stranded", "serviced")
    sums = {k: out[k].sum(axis=(1, 2)) for k in names}
    sums["flights"] = (out["flights"] + out["service_flights"]).sum(axis=(1, 2))
    sums["spares_used"] = np.minimum(out["failed"], spare).sum(axis=(1, 2))
    sums["lifted_kg"] = money.lifted_kg(fleet, out).sum(axis=1)
    sums["reentered_kg"] = (out["disposed"] * fleet.mass_kg).sum(axis=(1, 2))
    sums["left_in_orbit_kg"] = ((out["failed"] + out["stranded"]) * fleet.mass_kg).sum(axis=(1, 2))
    sums["propellant_kg"] = (out["ordered"].sum(axis=1) * propellant_kg(fleet)).sum(axis=1)
    rate = fleet.draws("avoidance.rate") * MONTH_S
    sums["manoeuvres"] = out["alive"].sum(axis=(1, 2)) * rate
    return {name: band(values) for name, values in sums.items()} | {"down_in_time_share": _down(done)}


def _down(done: Years) -> float | None:
    """Share of ships whose mission ended, dead or alive, that are down within five years; None where none ended."""
    ended, down = 0.0, 0.0
    for g in range(len(done.fleet.names)):
        disposed, dead = (
            float(sum(done.out[k][:, :, g].sum() for k in names)) for names in (("disposed",), ("failed", "stranded"))
        )
        decay = _decay(done, g)
        ended += disposed + dead
        down += disposed + (dead if decay is not None and decay <= DOWN_YEARS else 0.0)
    return down / ended if ended else None


def _effective(done: Years) -> dict[str, Any]:
    """Time at work of a new ship's GPUs before it retires, in years, and the share of its life's nameplate that works."""
    fleet = done.fleet
    last, lead = done.life[:, :, 1], max(round(fleet.asked.commissioning / MONTH_S), 0)
    rows = []
    for g, name in enumerate(fleet.names):
        years = np.array([
            wear.effective_life(done.alive[d, g], done.boards[d], MONTH_S, lead, int(last[d, g])) for d in range(fleet.draws.count)
        ]) / YEAR_S  # fmt: skip
        meant = np.maximum(last[:, g] / 12.0, 1e-9)
        rows.append(
            {
                "group": name,
                "years": band(years),
                "share": band(years / meant),
                "retires_after_years": band(last[:, g] / 12.0),
            }
        )
    return {"groups": rows}


def _losses(done: Years) -> list[dict[str, Any]]:
    """What is left at once when a share of all ships is lost, spares taking over, and how long it takes to launch the rest again."""
    out, rows = done.out, []
    up, active = out["in_service"].sum(axis=2), out["active"].sum(axis=2)
    month = np.maximum(done.given.flights, 1e-9)
    load = (out["flights"].sum(axis=(1, 2)) / np.maximum(out["ordered"].sum(axis=(1, 2)), 1e-9))[:, None]
    lead = done.fleet.asked.commissioning / MONTH_S
    for lost in LOSSES:
        left = np.divide(np.minimum(active, up * (1.0 - lost)), active, out=np.ones_like(active), where=active > 0.0)
        short = np.maximum(active - up * (1.0 - lost), 0.0)
        wait = np.where(short > 0.0, short * load / month + lead, 0.0)
        row = {
            "left_share": left.mean(axis=1),
            "worst_share": left.min(axis=1),
            "months_to_replace": np.median(wait, axis=1),
        }
        rows.append({"lost_share": lost} | {name: band(values) for name, values in row.items()})
    return rows


def _storm(done: Years, calm: Mapping[str, Floats]) -> dict[str, Any]:
    """What a storm takes, beside the same years without it: means over draws."""
    at = done.given.storm
    got, would = (o["delivered_gpu"].sum(axis=2) for o in (done.out, calm))
    ratio = got.mean(axis=0) / np.maximum(would.mean(axis=0), 1e-9)
    back = next((int(m) for m in range(at + 1, len(ratio)) if (ratio[m:] >= RECOVERED).all()), None)
    hours = MONTH_S / HOUR_S
    lost = (would - got).sum(axis=1) * hours
    return {
        "month": at + 1, "dip_share": float(1.0 - ratio[at]), "after_share": float(1.0 - ratio[min(at + 1, len(ratio) - 1)]),
        "recovery_months": None if back is None else back - at, "lost_gpu_hours": band(lost), "ratio": ratio.tolist(),
    }  # fmt: skip


def _cost(done: Years, gpu_h: Floats, pflop_h: Floats) -> dict[str, Any]:
    """Levelised prices with bands, terms by their means, in whole cents, and by year."""
    usd = {name: values.sum(axis=1).mean() for name, values in done.usd.items()}
    cents = cost.cents(list(usd.values()))
    total = sum(cents) / 100.0
    terms = [{"asset": name, "usd": c / 100.0} for name, c in zip(usd, cents, strict=True)]
    by_year = {name: values.mean(axis=0).reshape(-1, 12).sum(axis=1).tolist() for name, values in done.usd.items()}
    per = {"usd_per_gpu_hour": gpu_h, "usd_per_pflop_hour": pflop_h}
    return {name: _finite(money.levelised(done.fleet, done.usd, made)) for name, made in per.items()} | {
        "usd": total, "terms": terms, "by_year": by_year, "gpu_hours": band(gpu_h.sum(axis=1)), "pflop_hours": band(pflop_h.sum(axis=1)),
    }  # fmt: skip


def _finite(values: Floats) -> dict[str, float] | None:
    return band(values) if np.isfinite(values).all() else None


def _groups(done: Years) -> list[dict[str, Any]]:
    """Of each group: one new ship, what ends its life, what it needs to stay, to move and to come down."""
    fleet, rows = done.fleet, []
    raising, down, avoid = budget_m_s(fleet)
    before = int(fleet.age.max(initial=0))
    yearly = (done.drag_m_s[:, :, before + fleet.months] - done.drag_m_s[:, :, before]) / fleet.asked.years
    for g, name in enumerate(fleet.names):
        share = fleet.factors.deliverable[g]
        rows.append({
            "group": name, "ship": fleet.cost[g].ship, "ships": int(fleet.count[g]), "gpus": float(fleet.gpus[g]), "mass_kg": float(fleet.mass_kg[g]),
            "altitude_m": float(fleet.altitude_m[g]), "deliverable_new": float(share[:, 0].mean()), "deliverable_old": float(share[:, -1].mean()),
            "deliverable_least": float(share.min()), "dose_rad_year": float(fleet.factors.dose_rad_s[g].mean() * YEAR_S),
            "drag_m_s_year": band(yearly[:, g]), "avoidance_m_s_year": band(avoid), "raising_m_s": band(raising[:, g]),
            "disposal_m_s": band(down[:, g]), "decay_years": _decay(done, g),
            "ended_by": dict(zip(ENDS, done.ended[g].tolist(), strict=True)), "moves": _moves(done, g),
        })  # fmt: skip
    return rows


def _decay(done: Years, g: int) -> float | None:
    """Years in which a dead ship comes down by itself; None above where air is modelled."""
    fleet = done.fleet
    if fleet.altitude_m[g] > 1_000e3:
        return None
    return drag.lifetime(float(fleet.altitude_m[g]), float(fleet.area_m2[g]), float(fleet.mass_kg[g])) / YEAR_S


def _moves(done: Years, g: int) -> list[dict[str, Any]]:
    """Raising, coming down, and a move of the node by an hour, at nominal values."""
    fleet, value = done.fleet, done.fleet.draws.nominal
    height, mass = float(fleet.altitude_m[g]), float(fleet.mass_kg[g])
    thrust, isp = value("fleet.acceleration") * mass, value("mass.specific_impulse")
    orbit = fleet.scenario.spec.ships[g].orbit
    tilt = (
        orbit.walker.inclination if orbit.walker is not None else np.radians(97.8)
    )  # of sun-synchronous rings near 600 km
    one = {
        "raise": transfer.transfer(value("fleet.insertion"), height, mass, thrust, isp),
        "come down": transfer.transfer(height, value("fleet.disposal_altitude"), mass, thrust, isp),
        "node by an hour": transfer.transfer(height, height, mass, thrust, isp, tilt, node_rad=float(NODE_RAD), drift_m=height - DRIFT_M),
    }  # fmt: skip
    return [{"move": name, **asdict(made), "days": made.duration_s / 86400.0} for name, made in one.items()]


def _plan(done: Years) -> dict[str, Any] | None:
    """What the linear programme chose; None for a rule."""
    plan, names = done.plan, done.fleet.names
    if plan is None:
        return None
    years = plan.ships.reshape(-1, 12, len(names)).sum(axis=1)
    wanted = done.given.aim.sum(axis=1).reshape(-1, 12).sum(axis=1)
    unmet = np.divide(plan.unmet.reshape(-1, 12).sum(axis=1), wanted, out=np.zeros(len(wanted)), where=wanted > 0.0)
    return {
        "usd": plan.usd, "relaxed_usd": plan.relaxed_usd, "gap_share": plan.usd / plan.relaxed_usd - 1.0 if plan.relaxed_usd > 0 else 0.0,
        "ships": [{"year": y + 1, **dict(zip(names, row.tolist(), strict=True))} for y, row in enumerate(years)],
        "unmet_share": unmet.tolist(),
    }  # fmt: skip


def months(done: Years) -> pa.Table:
    """The table `months`: one row for each month, group (and all of them) and quantity, with bands over draws."""
    fleet = done.fleet
    start = fleet.asked.start or fleet.scenario.spec.start
    dates = [(start + timedelta(seconds=float(t))).strftime("%Y-%m") for t in fleet.time_s]
    rows: dict[str, list[Any]] = {k: [] for k in ("time_s", "date", "group", "quantity", "mean", "p10", "p50", "p90")}

    def add(group: str, quantity: str, values: Floats) -> None:
        made = _bands(values)
        rows["time_s"] += fleet.time_s.tolist()
        rows["date"] += dates
        rows["group"] += [group] * len(dates)
        rows["quantity"] += [quantity] * len(dates)
        for key, column in made.items():
            rows[key] += column

    for name in TOLD:
        add("all", name, done.out[name].sum(axis=2))
        for g, group in enumerate(fleet.names if len(fleet.names) > 1 else ()):
            add(group, name, done.out[name][:, :, g])
    for name, values in done.usd.items():
        add("all", f"{name.replace(' ', '_')}_usd", values)
    words: Sequence[str] = ("date", "group", "quantity")
    columns = {k: pa.array(v).dictionary_encode() if k in words else pa.array(v, pa.float64()) for k, v in rows.items()}
    return pa.table(columns)


def manifest(done: Years) -> dict[str, Any]:
    """What is needed to run again and to check: scenario, seed, versions, sources."""
    scenario = done.fleet.scenario
    return {
        "aether": VERSION, "command": "lifetime", "scenario_file": Path(scenario.file).name,
        "scenario": json.loads(json.dumps(scenario.data, default=str)), "seed": scenario.spec.seed,
        "python": platform.python_version(), "platform": f"{sys.platform} {platform.machine()}",
        "versions": {name: metadata.version(name) for name in LIBRARIES},
        "assumptions": [asdict(a) for a in done.fleet.draws.used()],
    }  # fmt: skip
