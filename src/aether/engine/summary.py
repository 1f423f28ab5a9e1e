"""The answer of a run: what is delivered, what binds, what is short, how far it is from everybody."""

from __future__ import annotations

from typing import Any

import numpy as np

from aether.base.tables import Event, Floats
from aether.base.units import fmt
from aether.base.version import VERSION
from aether.engine.assemble import Setup
from aether.engine.keeping import keeping
from aether.engine.record import Record
from aether.engine.serve import REASONS
from aether.engine.verdict import verdict
from aether.engine.work_summary import faults, work
from aether.network import links
from aether.space import thermal

STAGES = ("installed", "working", "power", "heat", "radiation", "reach", "placed", "delivered")
CAUSES = {
    "working": "faults (worn out, failed, out of service)", "placed": "placement (nothing asked of it, or not allowed)",
    "delivered": "waiting (links, synchronisation, restarts, work done again)",
    "power": "power (eclipse, array, battery)", "heat": "heat (radiator)", "radiation": "radiation (anomaly pauses, upsets)",
    "reach": "network reach (acquisition, no path to a gateway)",
}  # fmt: skip
HOUR_S = 3600.0  # definition
KWH_J = 3.6e6  # definition
YEAR_S = 365.25 * 86400.0  # Julian year
LIGHT_M_S = 299792458.0  # definition


def summary(setup: Setup, record: Record, events: list[Event]) -> dict[str, Any]:
    """Everything `summary.json` holds but the ablation."""
    spec, clock = setup.scenario.spec, setup.scenario.clock
    told: dict[str, Any] = {
        "scenario": spec.name, "title": spec.title, "start": spec.start.isoformat(), "duration_s": clock.duration_s, "step_s": clock.step_s,
        "seed": spec.seed, "version": VERSION, "modelled": True, "fleet": _fleet(setup), "waterfall": waterfall(setup, record),
    }  # fmt: skip
    told["binding"] = _binding(setup, record, told["waterfall"])
    told["shortfalls"] = shortfalls(setup, record)
    told["groups"] = [_group(setup, record, g) | keeping(setup, g) for g in range(len(spec.ships))]
    aboard: dict[str, Any] = {"power": _power(setup, record, events), "heat": _heat(record), "radiation": _radiation(setup, record),
              "network": _network(setup, record)} if setup.fleet.name else {k: {} for k in ("power", "heat", "radiation", "network")}  # fmt: skip
    told |= aboard
    told["probes"] = [_probe(setup, record, p) for p in range(len(setup.probes))]
    told["cities"] = _cities(setup, record)
    told["coverage"] = _coverage(setup, record)
    told["work"], told["faults"] = work(setup, record), faults(setup)
    told |= verdict(setup, record)
    told["skipped_records"] = [str(p) for p in setup.skipped]
    return told


def _fleet(setup: Setup) -> dict[str, Any]:
    f = setup.fleet
    return {
        "ships": len(f.name), "gpus": int(f.gpus.sum()), "relays": setup.relay_count, "gateways": len(setup.gateways.names),
        "cities": len(setup.cities.names), "gpu_power_w": float((f.gpus * f.gpu_full_w).sum()), "array_rated_w": float(f.array_rated_w.sum()),
        "mass_kg": float(f.mass_kg.sum()), "peak_flops": float((f.gpus * f.flops_per_gpu).sum()),
    }  # fmt: skip


def waterfall(setup: Setup, record: Record) -> dict[str, Any]:
    """Compute left after each stage: GPU-hours at full clocks, share of installed, PFLOP-hours (dense BF16)."""
    hours = setup.scenario.clock.step_s / HOUR_S
    installed = float(record.ships["installed"].sum(dtype=np.float64)) * hours
    made: dict[str, Any] = {}
    before = installed
    for stage in STAGES:
        values = record.ships[stage].sum(axis=0, dtype=np.float64) * hours
        total = float(values.sum())
        made[stage] = {
            "gpu_hours": total, "share": total / installed if installed else 0.0, "lost_gpu_hours": before - total,
            "pflop_hours": float((values * setup.fleet.flops_per_gpu).sum()) / 1e15,
        }  # fmt: skip
        before = total
    made["deliverable"] = dict(made["reach"])
    return made


def _binding(setup: Setup, record: Record, waterfall: dict[str, Any]) -> dict[str, Any]:
    """The constraint that costs most compute, and when it costs most."""
    stage = max(STAGES[1:], key=lambda s: waterfall[s]["lost_gpu_hours"])
    lost = waterfall[stage]["lost_gpu_hours"]
    share = lost / waterfall["installed"]["gpu_hours"] if lost else 0.0
    if lost <= 1e-9 * waterfall["installed"]["gpu_hours"]:
        return {
            "constraint": "none",
            "lost_gpu_hours": 0.0,
            "share": 0.0,
            "words": "nothing: all that is installed is deliverable",
        }
    before = STAGES[STAGES.index(stage) - 1]
    gap = (record.ships[before] - record.ships[stage]).sum(axis=1, dtype=np.float64)
    worst = setup.scenario.clock.date((int(gap.argmax()) + 0.5) * setup.scenario.clock.step_s)
    words = f"{CAUSES[stage]} costs {lost:,.0f} GPU-hours, {100 * share:.1f} % of what is installed, most at {worst:%Y-%m-%d %H:%M} UTC"
    return {"constraint": stage, "lost_gpu_hours": lost, "share": share, "worst": worst.isoformat(), "words": words}


def shortfalls(setup: Setup, record: Record) -> list[dict[str, Any]]:
    """What a design lacks to run all its GPUs at full clocks through this run: radiator, array, battery, a way to the ground.

    Radiator: planform for the full heat at the warmest sink less what is there. Battery: energy for the longest darkness
    at full load over what may be used. Array: power to carry full load and recharge, mean over the run.
    """
    found: list[dict[str, Any]] = []
    for number, group in enumerate(setup.scenario.spec.ships):
        members = np.flatnonzero(setup.group == number)
        for part, short, unit, when in (*_radiator(setup, record, members), *_power_short(setup, record, members)):
            what = f"{group.name}: {part} short by {fmt(short, unit)} a ship {when}"
            if not np.isfinite(short):
                what = f"{group.name}: no {part} is large enough {when}: its coolant is no warmer than the sink"
            found.append({"group": group.name, "part": part, "short": short, "unit": unit, "when": when, "words": what})
        unreached = float(1.0 - record.ships["reach_share"][:, members].mean(dtype=np.float64))
        if unreached > 0.5:
            what = f"{group.name}: no path to a gateway {100 * unreached:.1f} % of the time"
            found.append(_short(group.name, "path to a gateway", unreached, "1", what))
    return found + _unserved(setup, record)


def _unserved(setup: Setup, record: Record) -> list[dict[str, Any]]:
    """Work that runs nowhere, and compute that lacks for requests given up: their GPU-seconds over the time, at the peak too."""
    found = [_short(words.partition(":")[0], "host", 1.0, "1", words) for words in setup.work.short]
    for q, service in enumerate(setup.work.services):
        lost = record.work.asked["rejected"][:, q].sum(axis=1, dtype=np.float64)
        asked = float(record.work.asked["requests"][:, q].sum(dtype=np.float64))
        if lost.sum() <= 1e-3 * asked:
            continue
        need = float(np.min(service.need_gpu_s[np.isfinite(service.need_gpu_s)], initial=np.inf))
        gpus = lost * need / setup.scenario.clock.step_s
        when = setup.scenario.clock.date((int(gpus.argmax()) + 0.5) * setup.scenario.clock.step_s)
        words = (f"{service.name}: {100 * lost.sum() / asked:.1f} % of requests given up, the work of {gpus.mean():,.0f} GPUs at full clocks "
                 f"on average and of {gpus.max():,.0f} at {when:%H:%M} UTC; {_why(record)}")  # fmt: skip
        found.append(_short(service.name, "compute for requests", float(gpus.mean()), "GPU", words))
    return found


def _why(record: Record) -> str:
    """Of all requests given up, the shares by reason."""
    sums = record.work.reasons.sum(axis=0)
    told = {"full": "no compute left", "far": "no host in reach", "network": "no room on the links"}
    rows = [
        f"{told[k]} {100 * v / sums.sum():.0f} %" for k, v in zip(REASONS, sums, strict=True) if v > 0.005 * sums.sum()
    ]
    return ", ".join(rows)


def _short(group: str, part: str, short: float, unit: str, words: str) -> dict[str, Any]:
    return {"group": group, "part": part, "short": short, "unit": unit, "when": "", "words": words}


def _radiator(setup: Setup, record: Record, members: np.ndarray) -> list[tuple[str, float, str, str]]:
    """The coolant may be as warm as its own limit, or as the chips' limit less the drops from chip to coolant."""
    f, k = setup.fleet, members[0]
    sinks = record.ships["sink_k"][:, members].max(axis=1)
    worst = int(sinks.argmax())
    chips_w = f.gpus[k] * f.gpu_full_w[k]
    heat_w = chips_w + f.bus_w[k]
    by_chip_k = f.chip_limit_k[k] - chips_w / f.chip_plate_w_k[k] - chips_w / f.plate_coolant_w_k[k]
    warmest_k = min(f.coolant_limit_k[k], by_chip_k)
    needed = thermal.radiator_area(
        heat_w,
        warmest_k,
        float(sinks[worst]),
        f.radiator_emissivity[k],
        f.fin_effectiveness[k],
        heat_w / f.coolant_radiator_w_k[k],
    )
    short = needed - f.radiator_area_m2[k]
    date = setup.scenario.clock.date((worst + 0.5) * setup.scenario.clock.step_s)
    when = f"in {date:%B} (sink {sinks[worst]:.0f} K)"
    return [("radiator", short, "m^2", when)] if short > 1e-6 * needed else []


def _power_short(setup: Setup, record: Record, members: np.ndarray) -> list[tuple[str, float, str, str]]:
    f, k, step_s = setup.fleet, members[0], setup.scenario.clock.step_s
    load = f.gpus[k] * f.gpu_full_w[k] + f.bus_w[k]
    array = record.ships["array_w"][:, members].astype(np.float64)
    lack = np.maximum(load - array, 0.0)
    made = []
    round_trip = f.charge_efficiency[k] * f.discharge_efficiency[k]
    spare = np.maximum(array - load, 0.0).mean() * round_trip
    if lack.mean() > spare * (1 + 1e-9) + 1e-6 * load:
        made.append(("array", float(lack.mean() - spare), "W", "on average, eclipses included"))
    dark = record.ships["lit"][:, members] < 0.5
    longest = _longest_run(np.where(dark, lack, 0.0)) * step_s
    need = longest / f.discharge_efficiency[k] / max(f.depth_of_discharge[k], 1e-9)
    if need > f.battery_j[k] * (1 + 1e-6):
        made.append(
            ("battery", float(need - f.battery_j[k]) / KWH_J, "kWh", "for full load through the longest eclipse")
        )
    return made


def _longest_run(lack_w: Floats) -> float:
    """The largest sum over ticks in a row in which the array lacks power, over all ships [W ticks]."""
    best, here = 0.0, np.zeros(lack_w.shape[1])
    for row in lack_w:
        here = np.where(row > 0.0, here + row, 0.0)
        best = max(best, float(here.max()))
    return best


def _group(setup: Setup, record: Record, number: int) -> dict[str, Any]:
    group, members = setup.scenario.spec.ships[number], np.flatnonzero(setup.group == number)
    hours = setup.scenario.clock.step_s / HOUR_S
    stages = {s: float(record.ships[s][:, members].sum(dtype=np.float64)) * hours for s in STAGES}
    f, k = setup.fleet, members[0]
    return {
        "group": group.name, "ship": group.ship, "count": group.count, "gpus": int(f.gpus[members].sum()), "gpu_hours": stages,
        "deliverable_share": stages["reach"] / stages["installed"], "mass_kg": float(f.mass_kg[k]), "array_rated_w": float(f.array_rated_w[k]),
        "battery_kwh": float(f.battery_j[k] / KWH_J), "radiator_m2": float(f.radiator_area_m2[k]),
        "dose_rad_year": float(record.ships["dose_rad_s"][:, members].mean(dtype=np.float64) * YEAR_S),
        "upsets": _upsets(record, members),
        "coolant_max_k": float(record.ships["coolant_k"][:, members].max()), "charge_min_share": float(record.ships["charge_share"][:, members].min()),
    }  # fmt: skip


def _upsets(record: Record, members: np.ndarray) -> dict[str, float]:
    """Events per GPU and year: interrupting and silent ones, and the share of them that falls in pauses."""
    s = record.ships
    told = {}
    for name, column in (("interrupts", "upset_s"), ("corruptions", "corruption_s")):
        rate = s[column][:, members].astype(np.float64)
        paused = np.where(s["anomaly"][:, members] > 0, rate, 0.0).sum()
        told[f"{name}_per_gpu_year"] = float(rate.mean() * YEAR_S)
        told[f"{name}_share_paused"] = float(paused / rate.sum()) if rate.sum() > 0 else 0.0
    return told


def _power(setup: Setup, record: Record, events: list[Event]) -> dict[str, Any]:
    to_kwh = setup.scenario.clock.step_s / KWH_J
    energy = {
        f"{c}_kwh": float(record.ships[f"{c}_w"].sum(dtype=np.float64)) * to_kwh
        for c in ("array", "gpu", "bus", "charge", "discharge", "curtailed", "shed")
    }
    lit = record.ships["lit"]
    eclipses = [e.end_s - e.start_s for e in events if e.kind == "eclipse"]
    return energy | {"sunlit_share": float(lit.mean(dtype=np.float64)), "longest_eclipse_s": max(eclipses, default=0.0), "eclipses": len(eclipses),
                     "charge_min_share": float(record.ships["charge_share"].min())}  # fmt: skip


def _heat(record: Record) -> dict[str, Any]:
    s = record.ships
    throttled = (s["heat"] < s["power"] * (1 - 1e-6)).mean(dtype=np.float64)
    extremes = {"coolant_max_k": "coolant_k", "chip_max_k": "chip_k", "sink_max_k": "sink_k"}
    told = {"throttled_share": float(throttled)} | {k: float(s[c].max()) for k, c in extremes.items()}
    return told | {"sink_min_k": float(s["sink_k"].min()), "sink_mean_k": float(s["sink_k"].mean(dtype=np.float64))}


def _radiation(setup: Setup, record: Record) -> dict[str, Any]:
    dose = record.ships["dose_rad_s"].mean(axis=0, dtype=np.float64) * YEAR_S
    return {"paused_share": float(record.ships["anomaly"].mean(dtype=np.float64)), "dose_rad_year_mean": float(dose.mean()),
            "dose_rad_year_max": float(dose.max()), "solar_activity": setup.scenario.spec.environment.solar_activity}  # fmt: skip


def _network(setup: Setup, record: Record) -> dict[str, Any]:
    return {"reach_share": float(record.ships["reach_share"].mean(dtype=np.float64)), "handovers": int(record.handovers.sum()),
            "acquisition_s": setup.relay_laser.acquisition_s,
            "link_mean_bit_s": float(record.ships["link_bit_s"].mean(dtype=np.float64)),
            "link_least_bit_s": float(record.ships["link_bit_s"].min()), "links_alive_mean": float(record.links_alive.mean()),
            "gateway_open_share_min": float(setup.gateway_open.min()) if len(setup.gateway_open) else None,
            "topology": setup.scenario.spec.relays.topology}  # fmt: skip


def _stat(values: Floats, kind: str) -> float | None:
    fine = values[np.isfinite(values)]
    return float(getattr(np, kind)(fine)) if len(fine) else None


def _probe(setup: Setup, record: Record, p: int) -> dict[str, Any]:
    a, b = setup.probes[p]
    rtt = record.rtt_s[:, p]
    here = np.isfinite(rtt)
    floor = None
    if a.place and b.place:
        arc = float(links.great_circle(a.place.latitude, a.place.longitude, b.place.latitude, b.place.longitude))
        floor = 2.0 * arc / LIGHT_M_S
    return {
        "from": a.name, "to": b.name, "rtt_min_s": _stat(rtt, "min"), "rtt_mean_s": _stat(rtt, "mean"), "rtt_max_s": _stat(rtt, "max"),
        "delivered_mean_s": _stat(record.delivered_s[:, p], "mean"), "hops_mean": float(record.hops[here, p].mean()) if here.any() else None,
        "path_changes": int(record.changed[:, p].sum()), "outage_share": float(1.0 - here.mean()), "fibre_s": setup.fibre_s[p],
        "great_circle_floor_s": floor, "visibility": f"elevation at least {np.degrees(setup.probe_sites.elevation_rad):.0f} deg",
    }  # fmt: skip


def _cities(setup: Setup, record: Record) -> dict[str, Any]:
    if not record.city_rtt_s.size:
        return {"covered_share": None, "rtt_mean_s": None, "best": None, "worst": None}
    people = setup.cities.weight / setup.cities.weight.sum()
    covered = np.isfinite(record.city_rtt_s)
    share = covered.mean(axis=0)
    mean = np.where(
        share > 0, np.nansum(record.city_rtt_s, axis=0, dtype=np.float64) / np.maximum(covered.sum(axis=0), 1), np.nan
    )
    seen = np.isfinite(mean)
    weighted = float((mean[seen] * people[seen]).sum() / people[seen].sum()) if seen.any() else None
    rank: Any = np.flatnonzero(seen)[np.argsort(mean[seen])] if seen.any() else []
    name = [{"city": setup.cities.names[i], "rtt_mean_s": float(mean[i])} for i in rank]
    return {"covered_share": float((share * people).sum()), "rtt_mean_s": weighted, "best": name[:5], "worst": name[-5:][::-1],
            "never_covered": [setup.cities.names[i] for i in np.flatnonzero(share == 0)]}  # fmt: skip


def _coverage(setup: Setup, record: Record) -> dict[str, Any]:
    ticks = setup.scenario.clock.ticks
    if not record.cell_covered.size:
        return {}
    share = record.cell_covered / ticks
    seen, covered, rtt = (a.sum(axis=1) for a in (record.hours.samples, record.hours.covered, record.hours.latency_s))
    bands = [{"latitude_from_deg": -90 + 10 * i, "covered_share": float(covered[i] / seen[i]), "rtt_mean_s": float(rtt[i] / covered[i]) if covered[i] else None}
             for i in range(len(seen)) if seen[i]]  # fmt: skip
    by_hour = record.hours.latency_s.sum(axis=0) / np.maximum(record.hours.covered.sum(axis=0), 1)
    total = record.cell_covered.sum()
    return {"covered_share": float(share.mean()), "rtt_mean_s": float(record.cell_rtt_s.sum() / total) if total else None,
            "by_latitude": bands, "rtt_by_local_hour_s": [float(v) for v in by_hour]}  # fmt: skip
