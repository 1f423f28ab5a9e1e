"""What a run prints: what is delivered, what work was done, what it costs beside the ground."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape

from aether.base.units import fmt
from aether.results.console import show, table
from aether.results.words import (
    acted,
    change,
    extra,
    extra_ms,
    faults,
    given_up,
    largest,
    length,
    many,
    money,
    ms,
    parity,
    percent,
    ranged,
    stages,
    trained,
)

LEFT_AFTER = {
    "working": "faults", "power": "eclipse, array, battery", "heat": "radiator", "radiation": "anomaly, upsets",
    "reach": "network: deliverable", "placed": "placed", "delivered": "delivered",
}  # fmt: skip
MOST_LOSSES = 4  # shown of a training run
COSTS = {"usd_per_gpu_hour": "GPU-hour", "usd_per_pflop_hour": "PFLOP-hour", "usd_per_mtoken": "million tokens"}


def summary(told: Mapping[str, Any], folder: Path) -> None:
    """The answer of a run in tables."""
    fleet = told["fleet"]
    show(
        f"[bold]{escape(told['title'] or told['scenario'])}[/bold]",
        f"{fleet['ships']} ships with {fleet['gpus']:,} GPUs, {fleet['relays']:,} relays, {fleet['gateways']} gateways, "
        f"{fleet['cities']} cities; {length(told['duration_s'])} from {told['start']} at {fmt(told['step_s'], 's')}",
        "",
    )
    _waterfall(told)
    _work(told.get("work") or {})
    if told.get("jobs"):
        _batch(told["jobs"])
    if told.get("faults"):
        show(f"Faults (modelled): {faults(told['faults'])}", "")
    if told.get("watch"):
        _watch(told["watch"])
    if told.get("events"):
        _events(told["events"])
    _cost(told.get("cost") or {})
    _footprint(told.get("footprint") or {})
    _probes(told)
    if told.get("ablation"):
        _ablation(told["ablation"])
    coverage = told.get("coverage") or {}
    if coverage and told["groups"]:
        cities = told.get("cities") or {}
        show(f"Coverage: {percent(coverage['covered_share'])} of the globe's surface and time; {percent(cities.get('covered_share'))} "
             f"of the cities' people and time, {ms(cities.get('rtt_mean_s'))} mean round trip to the nearest ship that computes")  # fmt: skip
    for item in told["shortfalls"]:
        show(f"[yellow]Short:[/yellow] {escape(item['words'])}")
    show("", f"Results: {folder}", f"Open {folder / 'report.html'}" if (folder / "report.html").exists() else "")


def _waterfall(told: Mapping[str, Any]) -> None:
    if not told["groups"]:
        show("No ship flies: all is done on the ground.", "")
        return
    shown = table("Deliverable compute (modelled)", "left after", "GPU-hours", "of installed", "", right=(1, 2))
    for stage in ("installed", *stages(told)):
        row = told["waterfall"][stage]
        share = row["share"] or 0.0
        shown.add_row(LEFT_AFTER.get(stage, stage), f"{row['gpu_hours']:,.0f}", percent(share), "█" * round(24 * share))
    show(shown, "", f"Binding: {escape(told['binding']['words'])}", "")


def _work(told: Mapping[str, Any]) -> None:
    if not told:
        return
    for words in told.get("not_run") or ():
        show(f"[yellow]Not run:[/yellow] {escape(words)}")
    if told["inference"]:
        _inference(told)
    if told["training"]:
        _training(told["training"])
    if told.get("streams"):
        _streams(told["streams"])
    if told.get("tuning"):
        _tuning(told["tuning"])
    _hosts(told["hosts"])


def _inference(told: Mapping[str, Any]) -> None:
    shown = table(
        "Inference (modelled)", "workload", "requests", "served", "late", "output", "tokens/s", "p50", "p95", right=range(1, 8),
    )  # fmt: skip
    for row in told["inference"]:
        late = row["late"] / row["requests"] if row["requests"] else 0.0
        shown.add_row(escape(row["name"]), many(row["requests"]), percent(row["served_share"]), percent(late), many(row["output_tokens"]),
                      many(row["output_tokens_s"]), ms(row["first_token_p50_s"]), ms(row["first_token_p95_s"]))  # fmt: skip
    for row in told["inference"]:
        if row.get("autoscale"):
            a = row["autoscale"]
            shown.add_row(f"  {escape(row['name'])}: weights at {a['hosts_mean']:,.1f} hosts", *[""] * 7)
    rejected = f"; rejected: {given_up(told['traffic']['given_up'])}"
    show(shown, f"Output in tokens; p50 and p95 of the time to first token{rejected}")
    for row in told["inference"]:
        if row.get("followed") and row["followed"]["served"]:
            show(_followed(row))
    show("")


def _followed(row: Mapping[str, Any]) -> str:
    """What single requests of a service saw, in a line."""
    f = row["followed"]
    first, gap, answer = (
        " / ".join(ms(f[f"{k}_p{p}_s"]) for p in (50, 95, 99)) for k in ("first_token", "token_gap", "answer")
    )
    return (f"{escape(row['name'])}, {many(f['served'])} requests one by one: first token {first}, between tokens {gap}, "
            f"whole answer {answer} (p50 / p95 / p99)")  # fmt: skip


def _training(rows: Sequence[Mapping[str, Any]]) -> None:
    shown = table("Training (modelled)", "run", "tokens", "of wanted", "goodput", "to finish", "interruptions", right=range(1, 6))  # fmt: skip
    for row in rows:
        days = row["days_to_finish"]
        finish = "never" if days is None else fmt(86400.0 * days, "s")
        shown.add_row(escape(row["name"]), many(row["tokens"]), percent(row["share_done"], 2), percent(row["goodput"]), finish,
                      f"{row['interruptions']:,.1f}")  # fmt: skip
    show(shown)
    for row in rows:
        lost = [f"{r['cause']} {percent(r['share'])}" for r in row["lost"][:MOST_LOSSES] if r["share"] >= 5e-4]
        show(f"{escape(row['name'])} lost of its time: {', '.join(lost) or 'nothing'}")
    show("")


def _streams(rows: Sequence[Mapping[str, Any]]) -> None:
    shown = table("Streams (modelled)", "stream", "in", "made", "insight", "lost", "p50", "p95", "saved", "raw p50", "raw p95", right=range(2, 10))  # fmt: skip
    for row in rows:
        bits = (fmt(row[k], "bit", 2) for k in ("made_bit", "insight_bit", "lost_bit"))
        raw = row.get("raw") or {}
        times = ["" if t is None else fmt(t, "s", 2) for t in (row["insight_p50_s"], row["insight_p95_s"])]
        beside = ["" if raw.get(k) is None else fmt(raw[k], "s", 2) for k in ("insight_p50_s", "insight_p95_s")]
        shown.add_row(escape(row["name"]), row["process"], *bits, *times, percent(row["downlink_saved"]), *beside)
    show(shown, "p50 and p95 of the time to insight; raw: by the satellites' own radio; saved: of the downlink", "")


def _tuning(rows: Sequence[Mapping[str, Any]]) -> None:
    shown = table("Tuning (modelled)", "tuner", "of", "method", "versions", "each", "samples", "fresh p50", "p95", "real time", right=range(3, 9))  # fmt: skip
    for row in rows:
        times = ["" if row[k] is None else fmt(row[k], "s", 2) for k in ("fresh_p50_s", "fresh_p95_s")]
        shown.add_row(escape(row["name"]), escape(row["service"]), row["method"], f"{row['versions']:,}", fmt(row["version_bytes"], "byte", 2),
                      many(row["samples"]), *times, percent(row["fresh_share"]))  # fmt: skip
    limits = ", ".join(f"{escape(r['name'])} {fmt(r['fresh_limit_s'], 's')}" for r in rows)
    show(shown, f"fresh: from feedback to serving everywhere; real time: share within {limits}", "")


def _batch(told: Mapping[str, Any]) -> None:
    shown = table(
        "Jobs (modelled)",
        "job",
        "finished",
        "late",
        "of its work",
        "GPU-hours",
        "preempted",
        "worth, USD",
        right=range(1, 7),
    )
    for row in told["rows"]:
        done = f"{row['finished']} of {row['count']}" if row["kind"] == "job" else row["kind"]
        counts = (f"{row['gpu_hours']:,.1f}", f"{row['preemptions']:,}", money(row["worth_usd"]))
        shown.add_row(escape(row["name"]), done, f"{row['late']}", percent(row["share"]), *counts)
    lost = f"; {told['lost_gpu_hours']:,.1f} GPU-hours thrown away" if told["lost_gpu_hours"] else ""
    show(shown, f"Placed into what services and training leave{lost}", "")


def _hosts(rows: Sequence[Mapping[str, Any]]) -> None:
    kinds = ["free", "inference", "training", *(["jobs"] if any(row.get("jobs_gpu_hours") for row in rows) else [])]
    shown = table("Where it ran (modelled), GPU-hours", "hosts", "in", *kinds, "output tokens", right=range(2, 7))
    for row in rows:
        where = "orbit" if row["orbit"] else row["country"]
        hours = (f"{row[f'{k}_gpu_hours']:,.0f}" for k in kinds)
        shown.add_row(escape(row["host"]), where, *hours, many(row["output_tokens"]))
    show(shown, "")


def _watch(told: Mapping[str, Any]) -> None:
    shown = table("Watch (modelled): parts that degrade, found in telemetry", "kind", "degraded", "found", "delay, mean", "most",
                  right=range(1, 5))  # fmt: skip
    for kind, row in (told["by_kind"] | {"all": told}).items():
        delays = ["" if row[k] is None else fmt(row[k], "s", 2) for k in ("delay_mean_s", "delay_most_s")]
        shown.add_row(kind, f"{row['degraded']:,}", percent(row["recall"]), *delays)
    show(
        shown,
        f"{told['alarms']:,} alarms, {told['false']:,} of them false; each drains its ship. Acting on them: {acted(told)}",
        "",
    )


def _events(rows: Sequence[Mapping[str, Any]]) -> None:
    columns = ("", "for", "moved", "could run", "p50", "p95", "given up", "trained", "energy", "worth", "CO2e")
    shown = table(
        "What was lost, what moved (modelled): the run beside the same run without the event",
        *columns,
        right=range(1, 11),
    )
    for number, row in enumerate(rows, 1):
        asked, first = row["requests"] or {}, row["first_token"] or {}
        more, able = (
            [h["with"][k] - h["without"][k] for h in row["moved"]] for k in ("gpu_hours", "deliverable_gpu_hours")
        )
        times = (extra_ms(first.get(k)).removesuffix(" ms") for k in ("extra_p50_s", "extra_p95_s"))
        paid = (extra(row["energy_usd"]), extra(-row["worth_lost_usd"]), extra(row["carbon_kg"]))
        shown.add_row(f"{number}", length(row["end_s"] - row["start_s"]), f"{sum(m for m in more if m > 0):,.1f}", extra(sum(able)), *times,
                      extra(asked.get("lost")), trained(row["training"]), *paid)  # fmt: skip
    names = [f"{number}: {escape(row['words'])}" for number, row in enumerate(rows, 1)]
    show(
        shown,
        *names,
        "While it lasts: GPU-hours that some hosts took over, GPU-hours that could run, time to first token in ms. To the end of the run: requests",
        "given up, tokens of training, energy and worth in USD, CO2e in kg; less is negative.", "",
    )  # fmt: skip


def _cost(told: Mapping[str, Any]) -> None:
    if told.get("missing"):
        show(f"Cost: not told, a price is missing: {escape('; '.join(told['missing']))}", "")
        return
    if not told:
        return
    sides = {k: told[k] for k in ("orbit", "ground") if told.get(k)}
    shown = table("Cost (modelled), USD", "of a", *sides, *(["orbit/ground"] if len(sides) > 1 else []), right=range(1, 4))  # fmt: skip
    for key, words in COSTS.items():
        figures = [side[key] for side in sides.values()]
        if any(figures):
            shown.add_row(words, *map(ranged, figures), *_ratio(told, key, figures))
    terms = [f"{name}: {largest(side['terms'])}" for name, side in sides.items()]
    show(shown, f"Ranges in brackets; the ground is {escape(told['ground_is'])}", *terms)
    show(*(escape(words) for words in parity(told)), "")


def _ratio(told: Mapping[str, Any], key: str, figures: Sequence[Mapping[str, float] | None]) -> list[str]:
    """Orbit over ground, with its range where the run has it."""
    if len(figures) < 2:
        return []
    if key == "usd_per_gpu_hour":
        return [ranged(told["ratio"])]
    orbit, ground = figures
    return [money(orbit["nominal"] / ground["nominal"]) if orbit and ground and ground["nominal"] else "–"]


def _footprint(told: Mapping[str, Any]) -> None:
    sides = {k: told[k] for k in ("orbit", "ground") if told.get(k)}
    if not sides:
        return
    shown = table("Footprint of the run (modelled)", "", *sides, right=range(1, 3))
    rows = {
        "CO2e": [_carbon(s) for s in sides.values()],
        "CO2e per GPU-hour": [f"{money(s['carbon_per_gpu_hour_kg'])} kg" for s in sides.values()],
        "from the grid": [f"{s['grid_kwh']:,.0f} kWh" for s in sides.values()],
        "water": [fmt(s["water_kg"], "kg") for s in sides.values()],
        "burnt in the atmosphere": [f"{fmt(s['burnt_kg_year'], 'kg')} a year" for s in sides.values()],
    }
    for words, cells in rows.items():
        shown.add_row(words, *cells)
    show(shown, "")


def _carbon(side: Mapping[str, float]) -> str:
    low, nominal, high = (fmt(side[k] / 1e3, "1") for k in ("carbon_low_kg", "carbon_kg", "carbon_high_kg"))
    return f"{nominal} t ({low} to {high})"


def _probes(told: Mapping[str, Any]) -> None:
    if not told["probes"]:
        return
    shown = table(
        "Round trips (modelled): propagation; delivered adds access, switching and queues",
        "between", "least", "mean", "most", "delivered", "fibre", "hops", "outage", right=range(1, 8),
    )  # fmt: skip
    for row in told["probes"]:
        times = (row[k] for k in ("rtt_min_s", "rtt_mean_s", "rtt_max_s", "delivered_mean_s", "fibre_s"))
        hops = "" if row["hops_mean"] is None else f"{row['hops_mean']:.1f}"
        cells = ["" if t is None else f"{1e3 * t:.1f}" for t in times]
        shown.add_row(escape(f"{row['from']} - {row['to']}"), *cells, hops, percent(row["outage_share"]))
    show(shown, "Times in ms.", "")


def _ablation(rows: Sequence[Mapping[str, Any]]) -> None:
    columns = {
        "tokens_change": "tokens",
        "training_change": "training",
        "usd_change": "USD/Mtoken",
        "first_token_change": "1st token",
    }
    there = {k: w for k, w in columns.items() if any(r.get(k) for r in rows)}
    shown = table(
        "Ablation: deliverable compute with one coupling switched off", "coupling off", "GPU-hours", "change", *there.values(),
        right=range(1, 6),
    )  # fmt: skip
    for row in rows:
        cells = (change(row.get(k)) for k in there)
        shown.add_row(row["off"], f"{row['deliverable_gpu_hours']:,.0f}", change(row["change"]), *cells)
    show(
        shown,
        "Tokens, USD per million of them and time to first token of inference; training in tokens." if there else "",
        "",
    )
