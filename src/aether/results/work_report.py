"""The page's sections on work: inference, training, traffic, faults."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from aether.base.units import fmt
from aether.results import work_figures as figures
from aether.results import worldmap
from aether.results.figures import Day
from aether.results.page import beside, none, plots, table
from aether.results.words import FAULT_WORDS, FAULTS, GIVEN_UP, acted, many, moved, ms, percent

MOST_SERVICES = 6  # inference workloads with figures of their own
MOST_MAPS = 2  # world maps, one a workload: each costs a third of a second
MOST_RUNS = 4  # training workloads with figures of their own


def work(day: Day, told: Mapping[str, Any]) -> str:
    """Inference and where it ran; says so where nothing was asked for."""
    row = told.get("work") or {}
    if not row:
        return none("The scenario asks for no work: its compute is counted as deliverable, and nothing is placed.")
    html = "".join(f"<p>Not run: {escape(words)}.</p>" for words in row.get("not_run") or ())
    if row["inference"]:
        services = row["inference"][:MOST_SERVICES]
        maps = sorted(range(len(row["inference"])), key=lambda q: -row["inference"][q]["output_tokens"])[:MOST_MAPS]
        html += plots([figures.tokens(day, told)], "wide") + _services(row)
        html += plots([figures.first_tokens(s, n) for n, s in enumerate(services)])
        html += "".join(_followed(s, n) for n, s in enumerate(services))
        html += plots([worldmap.first_tokens(day, told, q) for q in sorted(maps)], "wide") + "".join(
            map(_cities, services)
        )
    return html + _batch(told.get("jobs") or {}) + "<h3>Where it ran</h3>" + _hosts(row)


def _services(row: Mapping[str, Any]) -> str:
    columns = (
        "workload", "model", "requests", "served", "late", "rejected", "tokens of answers", "tokens/s", "first token p50", "p95", "p99",
    )  # fmt: skip
    rows = []
    for s in row["inference"]:
        times = (ms(s[f"first_token_p{p}_s"]) for p in (50, 95, 99))
        late, rejected = (percent(s[k] / s["requests"] if s["requests"] else 0.0) for k in ("late", "rejected"))
        rows.append((s["name"], f"{s['model']}, {s['precision']}", many(s["requests"]), percent(s["served_share"]), late, rejected,
                     many(s["output_tokens"]), many(s["output_tokens_s"]), *times))  # fmt: skip
    why = {k: v for k, v in row["traffic"]["given_up"].items() if v >= 0.5}
    said = ", ".join(f"{many(v)} with {GIVEN_UP.get(k, k)}" for k, v in why.items())
    words = f"<p>Requests that gave up (modelled): {escape(said)}.</p>" if why else ""
    return table(columns, rows, range(2, len(columns))) + words + "".join(map(_scaled, row["inference"]))


def _followed(row: Mapping[str, Any], number: int) -> str:
    """Single requests of a service by group of hosts, and their curves; empty where nobody was followed."""
    told = row.get("followed")
    if not told or not told["served"]:
        return ""
    columns = ("hosts", "followed", "first token p50", "p95", "p99", "between tokens p50", "p95", "p99", "whole answer p50", "p95", "p99",
               "most of the cache", "thrown out", "gave up")  # fmt: skip
    rows = [
        (r["host"], many(r["served"]), *(ms(r[f"{k}_p{p}_s"]) for k in ("first_token", "token_gap", "answer") for p in (50, 95, 99)),
         percent(r["cache_share"]), f"{r['preempted']:,}", many(r["expired"] + r["rejected"]))
        for r in (*told["groups"], {"host": "all", **told})
    ]  # fmt: skip
    words = f"<p>{escape(row['name'])}, one by one: the mean replica of each group that serves, its way and waiting counted (modelled).</p>"
    return (
        words
        + table(columns, rows, range(1, len(columns)))
        + plots([figures.followed(row, number), figures.gaps(row, number)])
    )


def _scaled(row: Mapping[str, Any]) -> str:
    """How many hosts held a model's weights, where that goes by demand."""
    told = row.get("autoscale")
    if not told:
        return ""
    moved = fmt(told["weights_moved_bit"] / 8.0, "byte")
    return (f"<p>{escape(row['name'])} was held by {told['hosts_mean']:,.1f} hosts on average and {told['hosts_most']:,.0f} at most; {moved} of weights "
            f"moved in {told['loads']:,.0f} loads (modelled).</p>")  # fmt: skip


def _cities(row: Mapping[str, Any]) -> str:
    """Cities where answers begin soonest and latest."""
    if not row["best"]:
        return ""
    rows = [(kind, c["city"], ms(c["first_token_s"]), ms(c["network_s"]), many(c["output_tokens"]))
            for kind, key in (("soonest", "best"), ("latest", "worst")) for c in row[key]]  # fmt: skip
    shown = table(("", "city", "first token", "of it the network", "tokens"), rows, (2, 3, 4))
    never = row["never_served"]
    words = (
        f"<p>Never served: {escape(', '.join(never[:40]))}{f' and {len(never) - 40} more' if len(never) > 40 else ''}.</p>"
        if never
        else ""
    )
    return f"<details><summary>{escape(row['name'])}: cities where answers begin soonest and latest</summary>{shown}{words}</details>"


def _batch(told: Mapping[str, Any]) -> str:
    """Jobs, services and streams placed into what is left; empty without any."""
    if not told:
        return ""
    last = ("thrown away [GPU-h]", "worth [USD]")
    columns = (
        "job",
        "kind",
        "count",
        "GPUs",
        "finished",
        "late",
        "of its work",
        "GPU-hours",
        "preempted",
        "moved",
        *last,
    )
    rows = [
        (r["name"], r["kind"], f"{r['count']:,}", f"{r['members']} × {r['gpus']}", f"{r['finished']:,}", f"{r['late']:,}", percent(r["share"]),
         f"{r['gpu_hours']:,.1f}", f"{r['preemptions']:,}", f"{r['moves']:,}", f"{r['lost_gpu_hours']:,.1f}", f"{r['worth_usd']:,.2f}")
        for r in told["rows"]
    ]  # fmt: skip
    return "<h3>Jobs placed into what is left</h3>" + table(columns, rows, range(2, len(columns)))


def _hosts(row: Mapping[str, Any]) -> str:
    columns = (
        "hosts",
        "in",
        "GPUs",
        "installed [GPU-h]",
        "free",
        "inference",
        "training",
        "jobs",
        "in use",
        "tokens of answers",
    )
    rows = []
    for h in row["hosts"]:
        used = h["inference_gpu_hours"] + h["training_gpu_hours"] + h.get("jobs_gpu_hours", 0.0)
        hours = (f"{h.get(f'{k}_gpu_hours', 0.0):,.0f}" for k in ("installed", "free", "inference", "training", "jobs"))
        rows.append((h["host"], "orbit" if h["orbit"] else h["country"], f"{h['gpus']:,.0f}", *hours,
                     percent(used / h["free_gpu_hours"] if h["free_gpu_hours"] else 0.0), many(h["output_tokens"])))  # fmt: skip
    return table(columns, rows, range(2, len(columns)))


def training(day: Day, told: Mapping[str, Any]) -> str:
    """How far training came, at what pace, and what it lost; empty without training."""
    rows = (told.get("work") or {}).get("training") or []
    html = ""
    for number, row in enumerate(rows[:MOST_RUNS]):
        if len(rows) > 1:
            html += f"<h3>{escape(row['name'])}</h3>"
        html += plots([figures.progress(day, told, number), figures.spent(row, number)])
    return html + _runs(rows) if rows else ""


def _runs(rows: list[Mapping[str, Any]]) -> str:
    columns = (
        "run", "model", "GPUs", "tensor × pipeline × data", "step", "steps", "FLOP used", "interruptions", "checkpoint every", "bits a synchronisation",
        "sent by replicas",
    )  # fmt: skip
    cells = []
    for r in rows:
        layout = " × ".join(str(r["layout"][k]) for k in ("tensor", "pipeline", "data")) + (
            ", recompute" if r["layout"]["recompute"] else ""
        )
        cells.append((r["name"], r["model"], f"{r['gpus']:,.0f}", layout, fmt(r["step_s"], "s"), f"{r['steps']:,.0f}",
                      percent(r["model_flops_utilisation"]), f"{r['interruptions']:,.1f}", fmt(r["checkpoint_every_s"], "s"),
                      fmt(r["sync_bit"], "bit"), fmt(r["sent_bit"], "bit")))  # fmt: skip
    return table(columns, cells, (2, *range(4, len(columns))))


def traffic(day: Day, told: Mapping[str, Any]) -> str:
    """What crossed the network, and the busiest lasers; empty without work."""
    row = (told.get("work") or {}).get("traffic")
    if not row:
        return ""
    rows = [(k, fmt(row[f"{k}_bit"], "bit"), fmt(row[f"{k}_bit"] / told["duration_s"], "bit/s")) for k in moved(row)]
    rows.append(
        ("not carried", fmt(row["not_carried_bit"], "bit"), fmt(row["not_carried_bit"] / told["duration_s"], "bit/s"))
    )
    html = plots([figures.traffic(day, told), figures.busiest(told)])
    left = [(GIVEN_UP.get(k, k), many(v)) for k, v in row["given_up"].items()]
    gave_up = table(("requests given up since there was", "requests"), left, (1,))
    carried = table(("kind", "bits in the run", "mean"), rows, (1, 2))
    return html + f'<div class="plots"><div>{carried}</div><div>{gave_up}</div></div>'


def _watched(row: Mapping[str, Any]) -> str:
    """What the watch found in telemetry, and what acting on it changed."""
    cells = [
        (kind, f"{r['degraded']:,}", percent(r["precision"]), percent(r["recall"]),
         *("–" if r[k] is None else fmt(r[k], "s") for k in ("delay_mean_s", "delay_most_s")))
        for kind, r in (row["by_kind"] | {"all": row}).items()
    ]  # fmt: skip
    words = f"<p>{row['alarms']:,} alarms, {row['false']:,} of them false; each drained its ship. Acting on them: {escape(acted(row))} (modelled).</p>"
    return (
        "<h3>Parts that degrade</h3>"
        + table(("kind", "degraded", "precision", "recall", "delay, mean", "most"), cells, range(1, 6))
        + words
    )


def failures(day: Day, told: Mapping[str, Any]) -> str:
    """What failed, how long it was out."""
    row = told.get("faults")
    if not row:
        return ""
    cells = [
        (FAULT_WORDS.get(k, k), f"{row[k]['failed']:,}", f"{row[k]['recovered']:,}", f"{row[k]['hours_out']:,.1f}")
        for k in FAULTS
    ]
    shown = table(("kind", "failed", "recovered in the run", "hours out"), cells, (1, 2, 3))
    shown += f"<p>{row['gpus_worn_out_before']:,.0f} GPUs were worn out before the run began (modelled, from the fleet's age).</p>"
    causes = [f"{escape(cause)} {count:,}" for cause, count in row["gpu"].get("causes", {}).items()]
    shown += f"<p>GPUs that failed in the run, by cause: {', '.join(causes)}.</p>" if causes else ""
    if told.get("watch"):
        shown += _watched(told["watch"])
    picture = figures.failures(day, told)
    return beside(picture, shown) if picture else none("Nothing failed.") + shown
