"""The answer of a run: what is delivered, what binds, what is short, how far it is from everybody."""

from __future__ import annotations

from typing import Any

import numpy as np

from aether.base.units import fmt
from aether.base.version import VERSION
from aether.engine import batch
from aether.engine.assemble import Setup
from aether.engine.keeping import keeping
from aether.engine.serve import REASONS
from aether.engine.totals import STAGES, Totals
from aether.engine.verdict import verdict
from aether.engine.work_summary import faults, work
from aether.network import links
from aether.space import thermal

CAUSES = {
    "working": "faults (worn out, failed, out of service)", "placed": "placement (nothing asked of it, or not allowed)",
    "delivered": "waiting (links, synchronisation, restarts, work done again)",
    "power": "power (eclipse, array, battery)", "heat": "heat (radiator)", "radiation": "radiation (anomaly pauses, upsets)",
    "reach": "network reach (acquisition, manoeuvres, no path to a gateway)",
}  # fmt: skip
HOUR_S = 3600.0  # definition
KWH_J = 3.6e6  # definition
YEAR_S = 365.25 * 86400.0  # Julian year
LIGHT_M_S = 299792458.0  # definition


def summary(setup: Setup, totals: Totals) -> dict[str, Any]:
    """Everything `summary.json` holds but the ablation."""
    spec, clock = setup.scenario.spec, setup.scenario.clock
    told: dict[str, Any] = {
        "scenario": spec.name, "title": spec.title, "start": spec.start.isoformat(), "duration_s": clock.duration_s, "step_s": clock.step_s,
        "seed": spec.seed, "version": VERSION, "modelled": True, "fleet": _fleet(setup), "waterfall": waterfall(setup, totals),
    }  # fmt: skip
    told["binding"] = _binding(setup, totals, told["waterfall"])
    told["shortfalls"] = shortfalls(setup, totals)
    told["groups"] = [_group(setup, totals, g) | keeping(setup, g) for g in range(len(spec.ships))]
    aboard: dict[str, Any] = {"power": _power(setup, totals), "heat": _heat(setup, totals), "radiation": _radiation(setup, totals),
              "network": _network(setup, totals)} if setup.fleet.name else {k: {} for k in ("power", "heat", "radiation", "network")}  # fmt: skip
    told |= aboard
    told["probes"] = [_probe(setup, totals, p) for p in range(len(setup.probes))]
    told["cities"] = _cities(setup, totals)
    told["coverage"] = _coverage(totals)
    told["work"], told["faults"] = work(setup, totals), faults(setup)
    if totals.work.underway is not None:
        told["jobs"] = batch.summary(setup, totals.work.underway)
    told |= verdict(setup, totals)
    told["skipped_records"] = [str(p) for p in setup.skipped]
    return told


def _fleet(setup: Setup) -> dict[str, Any]:
    f = setup.fleet
    return {
        "ships": len(f.name), "gpus": int(f.gpus.sum()), "relays": setup.relay_count, "gateways": len(setup.gateways.names),
        "cities": len(setup.cities.names), "gpu_power_w": float((f.gpus * f.gpu_full_w).sum()), "array_rated_w": float(f.array_rated_w.sum()),
        "mass_kg": float(f.mass_kg.sum()), "peak_flops": float((f.gpus * f.flops_per_gpu).sum()),
    }  # fmt: skip


def waterfall(setup: Setup, totals: Totals) -> dict[str, Any]:
    """Compute left after each stage: GPU-hours at full clocks, share of installed, PFLOP-hours (dense BF16)."""
    hours = setup.scenario.clock.step_s / HOUR_S
    installed = float(totals.ships.sums["installed"].sum()) * hours
    made: dict[str, Any] = {}
    before = installed
    for stage in STAGES:
        values = totals.ships.sums[stage] * hours
        total = float(values.sum())
        made[stage] = {
            "gpu_hours": total, "share": total / installed if installed else 0.0, "lost_gpu_hours": before - total,
            "pflop_hours": float((values * setup.fleet.flops_per_gpu).sum()) / 1e15,
        }  # fmt: skip
        before = total
    made["deliverable"] = dict(made["reach"])
    return made


def _binding(setup: Setup, totals: Totals, waterfall: dict[str, Any]) -> dict[str, Any]:
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
    tick = int(totals.ships.gaps.tick[STAGES.index(stage) - 1])
    worst = setup.scenario.clock.date((tick + 0.5) * setup.scenario.clock.step_s)
    words = f"{CAUSES[stage]} costs {lost:,.0f} GPU-hours, {100 * share:.1f} % of what is installed, most at {worst:%Y-%m-%d %H:%M} UTC"
    return {"constraint": stage, "lost_gpu_hours": lost, "share": share, "worst": worst.isoformat(), "words": words}


def shortfalls(setup: Setup, totals: Totals) -> list[dict[str, Any]]:
    """What a design lacks to run all its GPUs at full clocks through this run: radiator, array, battery, a way to the ground.

    Radiator: planform for the full heat at the warmest sink less what is there. Battery: energy for the longest darkness
    at full load over what may be used. Array: power to carry full load and recharge, mean over the run.
    """
    found: list[dict[str, Any]] = []
    for number, group in enumerate(setup.scenario.spec.ships):
        members = np.flatnonzero(setup.group == number)
        for part, short, unit, when in (*_radiator(setup, totals, members), *_power_short(setup, totals, members)):
            what = f"{group.name}: {part} short by {fmt(short, unit)} a ship {when}"
            if not np.isfinite(short):
                what = f"{group.name}: no {part} is large enough {when}: its coolant is no warmer than the sink"
            found.append({"group": group.name, "part": part, "short": short, "unit": unit, "when": when, "words": what})
        unreached = 1.0 - _mean(totals, "reach_share", members)
        if unreached > 0.5:
            what = f"{group.name}: no path to a gateway {100 * unreached:.1f} % of the time"
            found.append(_short(group.name, "path to a gateway", unreached, "1", what))
    return found + _unserved(setup, totals)


def _unserved(setup: Setup, totals: Totals) -> list[dict[str, Any]]:
    """Work that runs nowhere, and compute that lacks for requests given up: their GPU-seconds over the time, at the peak too."""
    found = [_short(words.partition(":")[0], "host", 1.0, "1", words) for words in setup.work.short]
    for q, service in enumerate(setup.work.services):
        asked, lost = (float(totals.work.asked[k][q].sum()) for k in ("requests", "rejected"))
        if lost <= 1e-3 * asked:
            continue
        step_s, peak = setup.scenario.clock.step_s, totals.work.rejected
        need = float(np.min(service.need_gpu_s[np.isfinite(service.need_gpu_s)], initial=np.inf)) / step_s
        when = setup.scenario.clock.date((int(peak.tick[q]) + 0.5) * step_s)
        gpus = lost / totals.ticks * need
        words = (f"{service.name}: {100 * lost / asked:.1f} % of requests given up, the work of {gpus:,.0f} GPUs at full clocks "
                 f"on average and of {peak.value[q] * need:,.0f} at {when:%H:%M} UTC; {_why(totals)}")  # fmt: skip
        found.append(_short(service.name, "compute for requests", gpus, "GPU", words))
    return found


def _why(totals: Totals) -> str:
    """Of all requests given up, the shares by reason."""
    sums = totals.work.reasons
    told = {"full": "no compute left", "far": "no host in reach", "network": "no room on the links"}
    rows = [
        f"{told[k]} {100 * v / sums.sum():.0f} %" for k, v in zip(REASONS, sums, strict=True) if v > 0.005 * sums.sum()
    ]
    return ", ".join(rows)


def _short(group: str, part: str, short: float, unit: str, words: str) -> dict[str, Any]:
    return {"group": group, "part": part, "short": short, "unit": unit, "when": "", "words": words}


def _radiator(setup: Setup, totals: Totals, members: np.ndarray) -> list[tuple[str, float, str, str]]:
    """The coolant may be as warm as its own limit, or as the chips' limit less the drops from chip to coolant."""
    f, k = setup.fleet, members[0]
    sink_k = float(totals.ships.sink.value[members].max())
    worst = int(totals.ships.sink.tick[members][totals.ships.sink.value[members] == sink_k].min())
    chips_w = f.gpus[k] * f.gpu_full_w[k]
    heat_w = chips_w + f.bus_w[k]
    by_chip_k = f.chip_limit_k[k] - chips_w / f.chip_plate_w_k[k] - chips_w / f.plate_coolant_w_k[k]
    warmest_k = min(f.coolant_limit_k[k], by_chip_k)
    needed = thermal.radiator_area(
        heat_w,
        warmest_k,
        sink_k,
        f.radiator_emissivity[k],
        f.fin_effectiveness[k],
        heat_w / f.coolant_radiator_w_k[k],
    )
    short = needed - f.radiator_area_m2[k]
    date = setup.scenario.clock.date((worst + 0.5) * setup.scenario.clock.step_s)
    when = f"in {date:%B} (sink {sink_k:.0f} K)"
    return [("radiator", short, "m^2", when)] if short > 1e-6 * needed else []


def _power_short(setup: Setup, totals: Totals, members: np.ndarray) -> list[tuple[str, float, str, str]]:
    f, k, ships, samples = setup.fleet, members[0], totals.ships, totals.ticks * len(members)
    made = []
    lack_w, spare_w = (float(v[members].sum()) / samples for v in (ships.lack_w, ships.spare_w))
    spare_w *= f.charge_efficiency[k] * f.discharge_efficiency[k]
    if lack_w > spare_w * (1 + 1e-9) + 1e-6 * ships.load_w[k]:
        made.append(("array", float(lack_w - spare_w), "W", "on average, eclipses included"))
    longest = float(ships.darkest_w[members].max()) * setup.scenario.clock.step_s
    need = longest / f.discharge_efficiency[k] / max(f.depth_of_discharge[k], 1e-9)
    if need > f.battery_j[k] * (1 + 1e-6):
        made.append(
            ("battery", float(need - f.battery_j[k]) / KWH_J, "kWh", "for full load through the longest eclipse")
        )
    return made


def _mean(totals: Totals, column: str, members: np.ndarray | slice = slice(None)) -> float:
    """Mean of a column over all ticks and some ships."""
    return float(totals.ships.sums[column][members].mean()) / totals.ticks


def _group(setup: Setup, totals: Totals, number: int) -> dict[str, Any]:
    group, members = setup.scenario.spec.ships[number], np.flatnonzero(setup.group == number)
    hours = setup.scenario.clock.step_s / HOUR_S
    stages = {s: float(totals.ships.sums[s][members].sum()) * hours for s in STAGES}
    f, k = setup.fleet, members[0]
    return {
        "group": group.name, "ship": group.ship, "count": group.count, "gpus": int(f.gpus[members].sum()), "gpu_hours": stages,
        "deliverable_share": stages["reach"] / stages["installed"], "mass_kg": float(f.mass_kg[k]), "array_rated_w": float(f.array_rated_w[k]),
        "battery_kwh": float(f.battery_j[k] / KWH_J), "radiator_m2": float(f.radiator_area_m2[k]),
        "dose_rad_year": _mean(totals, "dose_rad_s", members) * YEAR_S,
        "upsets": _upsets(totals, members),
        "coolant_max_k": float(totals.ships.most["coolant_k"][members].max()),
        "charge_min_share": float(totals.ships.least["charge_share"][members].min()),
    }  # fmt: skip


def _upsets(totals: Totals, members: np.ndarray) -> dict[str, float]:
    """Events per GPU and year: interrupting and silent ones, and the share of them that falls in pauses."""
    told = {}
    for name, column in (("interrupts", "upset_s"), ("corruptions", "corruption_s")):
        rate, paused = (float(v[column][members].sum()) for v in (totals.ships.sums, totals.ships.paused))
        told[f"{name}_per_gpu_year"] = _mean(totals, column, members) * YEAR_S
        told[f"{name}_share_paused"] = paused / rate if rate > 0 else 0.0
    return told


def _power(setup: Setup, totals: Totals) -> dict[str, Any]:
    to_kwh = setup.scenario.clock.step_s / KWH_J
    energy = {
        f"{c}_kwh": float(totals.ships.sums[f"{c}_w"].sum()) * to_kwh
        for c in ("array", "gpu", "bus", "charge", "discharge", "curtailed", "shed")
    }
    eclipses = totals.searches["eclipse"].found()
    lengths_s = eclipses.end_s - eclipses.start_s
    return energy | {"sunlit_share": _mean(totals, "lit"), "longest_eclipse_s": float(lengths_s.max(initial=0.0)), "eclipses": len(lengths_s),
                     "charge_min_share": float(totals.ships.least["charge_share"].min())}  # fmt: skip


def _heat(setup: Setup, totals: Totals) -> dict[str, Any]:
    s = totals.ships
    throttled = int(s.throttled.sum()) / (totals.ticks * len(setup.fleet.name))
    extremes = {"coolant_max_k": "coolant_k", "chip_max_k": "chip_k", "sink_max_k": "sink_k"}
    told = {"throttled_share": throttled} | {k: float(s.most[c].max()) for k, c in extremes.items()}
    return told | {"sink_min_k": float(s.least["sink_k"].min()), "sink_mean_k": _mean(totals, "sink_k")}


def _radiation(setup: Setup, totals: Totals) -> dict[str, Any]:
    dose = totals.ships.sums["dose_rad_s"] / totals.ticks * YEAR_S
    return {"paused_share": _mean(totals, "anomaly"), "dose_rad_year_mean": float(dose.mean()),
            "dose_rad_year_max": float(dose.max()), "solar_activity": setup.scenario.spec.environment.solar_activity}  # fmt: skip


def _network(setup: Setup, totals: Totals) -> dict[str, Any]:
    return {"reach_share": _mean(totals, "reach_share"), "handovers": totals.handovers,
            "acquisition_s": setup.relay_laser.acquisition_s,
            "link_mean_bit_s": _mean(totals, "link_bit_s"),
            "link_least_bit_s": float(totals.ships.least["link_bit_s"].min()), "links_alive_mean": totals.links_alive / totals.ticks,
            "gateway_open_share_min": float(setup.gateway_open.min()) if len(setup.gateway_open) else None,
            "topology": setup.scenario.spec.relays.topology}  # fmt: skip


def _probe(setup: Setup, totals: Totals, p: int) -> dict[str, Any]:
    a, b = setup.probes[p]
    far = totals.distances
    ticks = int(far.probe_ticks[p])
    mean = {k: float(v[p]) / ticks if ticks else None for k, v in far.probe_sums.items()}
    floor = None
    if a.place and b.place:
        arc = float(links.great_circle(a.place.latitude, a.place.longitude, b.place.latitude, b.place.longitude))
        floor = 2.0 * arc / LIGHT_M_S
    return {
        "from": a.name, "to": b.name, "rtt_min_s": float(far.probe_least_s[p]) if ticks else None,
        "rtt_mean_s": mean["rtt_s"], "rtt_max_s": float(far.probe_most_s[p]) if ticks else None,
        "delivered_mean_s": mean["delivered_s"], "hops_mean": mean["hops"], "path_changes": int(far.probe_sums["changed"][p]),
        "outage_share": 1.0 - ticks / totals.ticks, "fibre_s": setup.fibre_s[p],
        "great_circle_floor_s": floor, "visibility": f"elevation at least {np.degrees(setup.probe_sites.elevation_rad):.0f} deg",
    }  # fmt: skip


def _cities(setup: Setup, totals: Totals) -> dict[str, Any]:
    far = totals.distances
    if not len(far.city_ticks):
        return {"covered_share": None, "rtt_mean_s": None, "best": None, "worst": None}
    people = setup.cities.weight / setup.cities.weight.sum()
    share = far.city_ticks / totals.ticks
    mean = np.where(share > 0, far.city_rtt_s / np.maximum(far.city_ticks, 1), np.nan)
    seen = np.isfinite(mean)
    weighted = float((mean[seen] * people[seen]).sum() / people[seen].sum()) if seen.any() else None
    rank: Any = np.flatnonzero(seen)[np.argsort(mean[seen])] if seen.any() else []
    name = [{"city": setup.cities.names[i], "rtt_mean_s": float(mean[i])} for i in rank]
    return {"covered_share": float((share * people).sum()), "rtt_mean_s": weighted, "best": name[:5], "worst": name[-5:][::-1],
            "never_covered": [setup.cities.names[i] for i in np.flatnonzero(share == 0)]}  # fmt: skip


def _coverage(totals: Totals) -> dict[str, Any]:
    cells, sums = totals.standing, totals.standing.hours
    if not len(cells.cell_covered):
        return {}
    share = cells.cell_covered / totals.ticks
    seen, covered, rtt = (a.sum(axis=1) for a in (sums.samples, sums.covered, sums.latency_s))
    bands = [{"latitude_from_deg": -90 + 10 * i, "covered_share": float(covered[i] / seen[i]), "rtt_mean_s": float(rtt[i] / covered[i]) if covered[i] else None}
             for i in range(len(seen)) if seen[i]]  # fmt: skip
    by_hour = sums.latency_s.sum(axis=0) / np.maximum(sums.covered.sum(axis=0), 1)
    total = cells.cell_covered.sum()
    return {"covered_share": float(share.mean()), "rtt_mean_s": float(cells.cell_rtt_s.sum() / total) if total else None,
            "by_latitude": bands, "rtt_by_local_hour_s": [float(v) for v in by_hour]}  # fmt: skip
