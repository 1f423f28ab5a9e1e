"""The answer about work: requests and tokens, time to first token by place and hour, training and what it lost, traffic, faults."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from aether.base.tables import Event, Outage
from aether.engine import data_record, sample
from aether.engine.assemble import Setup
from aether.engine.manoeuvres import REBOOST
from aether.engine.scaling import scaled
from aether.engine.serve import REASONS
from aether.engine.totals import Totals
from aether.engine.work import Run, Service
from aether.engine.work_record import MOVED, PACES, SPENT, node_names
from aether.engine.work_totals import COUNTED, WorkTotals
from aether.workloads.models import training_flops

DAY_S = 86400.0  # definition
CAUSES = {
    "working": "faults", "power": "power", "heat": "heat", "radiation": "radiation", "reach": "network reach", "placed": "placement",
    "sync_s": "synchronisation", "checkpoint_s": "checkpoints", "restart_s": "restarts", "rework_s": "work done again",
}  # fmt: skip


def work(setup: Setup, totals: Totals) -> dict[str, Any]:
    """Everything that `summary.json` holds about work; empty where nothing is asked."""
    if not setup.work.some:
        return {}
    return {
        "inference": [_service(setup, totals, q) for q in range(len(setup.work.services))],
        "training": [_run(setup, totals, w) for w in range(len(setup.work.runs))],
        **data_record.summary(setup, totals.work.data),
        "hosts": _hosts(setup, totals),
        "traffic": _traffic(setup, totals),
        "not_run": list(setup.work.short),
    }


def _service(setup: Setup, totals: Totals, q: int) -> dict[str, Any]:
    """One inference workload: counts that add up, tokens, times to first token."""
    service, r = setup.work.services[q], totals.work
    asked, served, late, lost = (float(r.asked[k][q].sum()) for k in COUNTED)
    told = {
        "name": service.name, "model": service.model.name, "precision": service.asked.precision, "requests": asked, "served": served,
        "late": late, "rejected": lost, "waiting": float(r.waiting[q].sum()), "served_share": served / asked if asked else 0.0,
        "input_tokens": served * service.input_tokens, "output_tokens": served * service.output_tokens,
        "output_tokens_s": served * service.output_tokens / setup.scenario.clock.duration_s,
        "replica": {a: {"gpus": s.gpus, "most_requests": float(s.batch[-1]), "request_s": float(s.request_s[-1])} for a, s in service.serving.items()},
    }  # fmt: skip
    if q in scaled(setup):
        n, data = scaled(setup).index(q), totals.work.data
        told["autoscale"] = {"hosts_mean": float(data.hosts[0, n]) / totals.ticks, "hosts_most": float(data.hosts[1, n]),
                             "weights_moved_bit": float(data.moved[0, n]), "loads": float(data.moved[1, n])}  # fmt: skip
    if r.followed:
        told["followed"] = sample.follow(setup, q, np.concatenate(r.followed), r.first_token[q])
    return told | _first_tokens(setup, totals.work, service, q)


def _first_tokens(setup: Setup, r: WorkTotals, service: Service, q: int) -> dict[str, Any]:
    found = r.first_token[q].quantiles(QUANTILES)
    quantiles = {f"first_token_p{round(100 * s)}_s": v for s, v in zip(QUANTILES, found, strict=True)}
    by_hour = [{"local_hour": h, **_at(r.by_hour[q, h].tolist(), service)} for h in range(24)]
    total = r.asked["served"][q]
    mean, trip = (
        np.divide(r.waited_s[k][q], total, out=np.full(len(total), np.nan), where=total > 0)
        for k in ("first_token_s", "network_s")
    )
    names = setup.cities.names
    seen = np.flatnonzero(np.isfinite(mean))
    order = seen[np.argsort(mean[seen], kind="stable")]
    rows = [{"city": names[c], "first_token_s": float(mean[c]), "network_s": float(trip[c]), "output_tokens": float(total[c] * service.output_tokens)}
            for c in order]  # fmt: skip
    unserved = np.flatnonzero((total == 0) & (r.asked["requests"][q] > 0))
    return quantiles | {
        "by_hour": by_hour,
        "best": rows[:5],
        "worst": rows[-5:][::-1],
        "never_served": [names[c] for c in unserved],
    }


QUANTILES = (0.5, 0.95, 0.99)


def _at(sums: list[float], service: Service) -> dict[str, Any]:
    """Means of one local hour from its requests served and the sums of their times."""
    served, first_s, network_s = sums
    if served <= 0.0:
        return {"first_token_s": None, "network_s": None, "output_tokens": 0.0}
    return {
        "first_token_s": first_s / served,
        "network_s": network_s / served,
        "output_tokens": served * service.output_tokens,
    }


def _run(setup: Setup, totals: Totals, w: int) -> dict[str, Any]:
    """One training workload: how far it came, at what pace, and what it lost to what (shares of the time)."""
    run, duration_s = setup.work.runs[w], setup.scenario.clock.duration_s
    spent = dict(zip(SPENT, totals.work.spent_s[w].tolist(), strict=True))
    steps, sent = float(totals.work.steps[w]), float(totals.work.sent_bit[w])
    tokens = steps * run.tokens_step
    lost = _lost(setup, totals, w, spent)
    share = tokens / run.asked.tokens
    flops = float(training_flops(run.model, tokens, run.asked.sequence))
    peak = sum(
        float(g) * setup.scenario.catalog.accelerator(setup.hosts.accelerator[m]).bf16.value
        for m, g in zip(run.members, run.gpus, strict=True)
    )
    return {
        "name": run.name, "model": run.model.name, "hosts": [setup.hosts.names[m] for m in run.members], "gpus": float(run.gpus.sum()),
        "layout": {k: getattr(run.layout, k) for k in ("tensor", "pipeline", "data", "interleave", "recompute")}, "step_s": run.step.time_s, "steps": steps,
        "tokens": tokens, "tokens_wanted": run.asked.tokens, "share_done": share, "goodput": float(spent["useful_s"]) / duration_s,
        "days_to_finish": duration_s / share / DAY_S if share > 0 else None, "lost": lost, "sent_bit": sent,
        "sync_bit": run.job.sync_bit, "checkpoint_every_s": run.job.checkpoint_every_s, "interruptions": _interrupted(spent, run),
        "model_flops_utilisation": flops / (peak * duration_s), "pace_mean": float(totals.work.pace[w]) / totals.ticks,
    }  # fmt: skip


def _lost(setup: Setup, totals: Totals, w: int, spent: dict[str, float]) -> list[dict[str, Any]]:
    """Shares of the run's time that did not train, by cause, largest first; with the goodput they add up to 1."""
    duration_s = setup.scenario.clock.duration_s
    slow = spent["slow_s"] + spent["stopped_s"]
    weight = totals.work.gaps[w]
    shares = {
        k: slow * float(v) / float(weight.sum()) if weight.sum() > 0 else 0.0
        for k, v in zip(PACES, weight, strict=True)
    }
    shares |= {k: spent[k] for k in ("sync_s", "checkpoint_s", "restart_s", "rework_s")}
    rows = [{"cause": CAUSES[k], "share": float(v) / duration_s} for k, v in shares.items()]
    return sorted(rows, key=lambda row: -row["share"])


def _interrupted(spent: dict[str, float], run: Run) -> float:
    """Interruptions that cost a restart."""
    return float(spent["restart_s"]) * run.job.apart / run.job.restart_s if run.job.restart_s > 0 else 0.0


def _hosts(setup: Setup, totals: Totals) -> list[dict[str, Any]]:
    """Groups of ships and ground sites: what they could and what they did, in GPU-hours at full clocks."""
    hours = setup.scenario.clock.step_s / 3600.0
    told = []
    groups = np.array(setup.hosts.group)
    for name in dict.fromkeys(setup.hosts.group):
        members = np.flatnonzero(groups == name)
        sums = {k: float(v[members].sum()) for k, v in totals.work.hosts.items()}
        told.append({
            "host": name, "orbit": bool(members[0] < setup.hosts.ships), "country": setup.hosts.country[members[0]],
            "gpus": float(setup.hosts.gpus[members].sum()), "installed_gpu_hours": float(setup.hosts.gpus[members].sum()) * hours * setup.scenario.clock.ticks,
            "free_gpu_hours": sums["free_gpu"] * hours, "inference_gpu_hours": sums["inference_gpu"] * hours,
            "training_gpu_hours": sums["training_gpu"] * hours, "jobs_gpu_hours": sums["batch_gpu"] * hours,
            "requests": sums["requests"], "output_tokens": sums["tokens"],
        })  # fmt: skip
    return told


def _traffic(setup: Setup, totals: Totals) -> dict[str, Any]:
    """What crossed the network, and the lasers that carried most."""
    r, names = totals.work, node_names(setup)
    top = sorted(r.lasers.items(), key=lambda item: -item[1][0])[:8]
    busiest = [
        {"from": names[a], "to": names[b], "carried_bit": v[0], "most_bit_s": v[1], "most_use": v[2]}
        for (a, b), v in top
    ]
    return {f"{k}_bit": float(v) for k, v in zip(MOVED, r.moved_bit, strict=True)} | {
        "not_carried_bit": r.lost_bit, "busiest": busiest,
        "given_up": {k: float(v) for k, v in zip(REASONS, r.reasons, strict=True)},
    }  # fmt: skip


def faults(setup: Setup) -> dict[str, Any]:
    """What failed and how long it was out of service, by kind."""
    duration_s, told = setup.scenario.clock.duration_s, dict[str, Any]()
    on = setup.scenario.spec.couplings.faults
    for kind in ("ship", "relay", "link", "gateway", "site", "gpu"):
        here = [o for o in _acting(setup) if o.kind == kind and o.start_s < duration_s]
        down = sum(min(o.end_s, duration_s) - max(o.start_s, 0.0) for o in here)
        back = sum(o.end_s <= duration_s for o in here)
        told[kind] = {"failed": len(here), "recovered": back, "hours_out": down / 3600.0}
        if kind == "gpu":
            told[kind]["causes"] = dict(Counter(o.cause for o in here).most_common())
    worn = setup.hosts.gpus * (1.0 - setup.worn) if on else np.zeros(len(setup.hosts.gpus))
    return told | {"gpus_worn_out_before": float(worn.sum())}


def _acting(setup: Setup) -> tuple[Outage, ...]:
    """Outages by chance, unless faults are off, and those that events order."""
    return (*(setup.outages if setup.scenario.spec.couplings.faults else ()), *setup.happenings.struck)


def outage_events(setup: Setup) -> list[Event]:
    """Outages as events of the calendar, named."""
    duration_s, names = setup.scenario.clock.duration_s, {
        "ship": setup.fleet.name, "gateway": setup.gateways.names, "site": setup.hosts.names[setup.hosts.ships :], "gpu": setup.hosts.names,
    }  # fmt: skip
    failed = [
        Event(f"fault-{o.kind}", names[o.kind][o.subject] if o.kind in names else f"{o.kind} {o.subject}", max(o.start_s, 0.0), min(o.end_s, duration_s))
        for o in _acting(setup)
        if o.start_s < duration_s
    ]  # fmt: skip
    thrust = setup.manoeuvres.all if setup.scenario.spec.couplings.manoeuvres else ()
    dv = setup.manoeuvres.delta_v_m_s
    return failed + [
        Event(o.cause, names["ship"][o.subject], o.start_s, min(o.end_s, duration_s), float(dv[o.subject]) * (o.cause == REBOOST))
        for o in thrust
        if o.start_s < duration_s
    ]  # fmt: skip
