"""What `aether plan`, `aether compare-policies` and `aether forecast` print for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.markup import escape

from aether.base.units import fmt
from aether.results.console import show, table
from aether.results.words import length, many, money, ms, percent

ROWS = 40  # jobs shown; all are in the JSON
WIDE = 32  # characters of the picture: a row fits on eighty columns
KWH_J = 3.6e6  # definition


def plan(told: Mapping[str, Any]) -> None:
    """A plan: totals, hosts, jobs with a bar through time."""
    show(f"[bold]{escape(told['scenario'])}[/bold]: {told['asked']} jobs over {told['slots']} slots of {length(told['slot_s'])}, {told['how']}",
         f"First come {told['first']}.", "")  # fmt: skip
    shown = table("Plan (modelled)", "", "", right=(1,))
    partly = f", {told['partly']} in part" if told["partly"] else ""
    rows = {
        "placed": f"{told['placed']} of {told['asked']}{partly}", "GPU-hours": f"{told['gpu_hours']:,.0f}", "worth": f"{money(told['worth_usd'])} USD",
        "value: worth less energy and carbon": f"{money(told['value_usd'])} USD", "energy, paid": f"{money(told['price_usd'])} USD",
        "CO2e": fmt(told["carbon_kg"], "kg"), "preemptions, moves": f"{told['preemptions']}, {told['moves']}",
        f"no plan is worth more than ({told['bound']})": f"{money(told['bound_usd'])} USD", "so from the best at most": percent(told["gap"], 2),
    }  # fmt: skip
    for words, figure in rows.items():
        shown.add_row(words, figure)
    show(shown, "")
    _hosts(told)
    _jobs(told)


def _hosts(told: Mapping[str, Any]) -> None:
    shown = table("Hosts, GPU-hours", "hosts", "services, training", "left", "planned", "of left", right=range(1, 5))
    for row in told["hosts"]:
        left = row["left_gpu_hours"]
        share = percent(row["planned_gpu_hours"] / left) if left else "–"
        shown.add_row(escape(row["host"]), f"{row['taken_gpu_hours']:,.0f}", f"{left:,.0f}", f"{row['planned_gpu_hours']:,.0f}", share)  # fmt: skip
    show(shown, "")


def _jobs(told: Mapping[str, Any]) -> None:
    shown = table(
        f"Jobs through time, {length(told['slots'] * told['slot_s'])}", "job", "GPUs", "where", "when", right=(1,)
    )
    for job in told["jobs"][:ROWS]:
        where = ", ".join(job["hosts"][:2]) + (f" and {len(job['hosts']) - 2} more" if len(job["hosts"]) > 2 else "")
        size = f"{job['members']} x {job['gpus']}" if job["members"] > 1 else f"{job['gpus']}"
        shown.add_row(escape(job["name"]), size, escape(where), escape(job["why"]) or bar(job["runs"], told["slots"]))
    show(shown)
    if len(told["jobs"]) > ROWS:
        show(f"{len(told['jobs']) - ROWS} more are in the JSON.")


def policies(told: Mapping[str, Any]) -> None:
    """Rival policies, one row each."""
    rows = told["policies"]
    show(f"[bold]{escape(told['scenario'])}[/bold] under {len(rows)} policies at steps of {length(told['step_s'])}", "")
    shown = table(
        "Requests (modelled)", "policy", "served", "late", "rejected", "p50", "p95", "moved", right=range(1, 7)
    )
    columns = ("policy", "GPU-hours", "orbit, kWh", "sites, kWh", "energy, USD", "CO2e, kg", "USD/Mtoken")
    paid = table("What it took (modelled)", *columns, right=range(1, 7))
    for row in rows:
        name, asked, served = escape(row["policy"]), max(row["requests"], 1e-9), max(row["served"], 1e-9)
        shares = (percent(row["served"] / asked), percent(row["late"] / asked), percent(row["rejected"] / asked))
        times = (ms(row["first_token_p50_s"]), ms(row["first_token_p95_s"]))
        shown.add_row(name, *shares, *times, percent(row["moved"] / served))
        energy = (f"{row[k] / KWH_J:,.0f}" for k in ("orbit_j", "sites_j"))
        usd = (money(row[k]) for k in ("energy_usd", "carbon_kg", "usd_per_mtoken"))
        paid.add_row(name, f"{row['delivered_gpu_hours']:,.0f}", *energy, *usd)
    words = (
        "p50 and p95 of the time to first token; moved: served at another host than their place's were a step before"
    )
    show(shown, words, "")
    show(paid, "Energy and CO2e: all that ships draw; of sites what the work drew from the grid.")


def forecast(told: Mapping[str, Any]) -> None:
    """What can be promised, and what the sky brings."""
    show(f"[bold]{escape(told['scenario'])}[/bold]: {told['hours']:g} h from {told['start']}, {told['samples']} draws of faults and requests", "")  # fmt: skip
    shown = table("Promised (modelled), with confidence", "", "50 %", "90 %", "99 %", "mean", right=range(1, 5))
    words = {
        "orbit_gpu_hours": "GPU-hours in orbit",
        "ground_gpu_hours": "GPU-hours at sites",
        "gpu_hours": "GPU-hours",
    }
    words["output_tokens"] = "tokens of answers"
    for key, name in words.items():
        row = told["promised"][key]
        shown.add_row(name, *(many(row[k], 4) for k in ("p50", "p90", "p99", "mean")))
    show(shown, told["least_of"], "")
    shown = table("Calendar of the ships (modelled)", "", "events", "share of time", "longest", right=range(1, 4))
    for kind, row in told["calendar"].items():
        shown.add_row(
            kind, f"{row['count']:,}", percent(row["mean_share"], 2), length(row["longest_s"]) if row["count"] else "–"
        )
    show(
        shown,
        "Contact: some gateway sees the ship itself; the mesh reaches further. Reboosts are modelled, not planned.",
    )


def bar(runs: list[list[int]], slots: int) -> str:
    """Runs of slots as a line of characters."""
    line = ["·"] * min(WIDE, slots)
    for first, last in runs:
        begin, end = (n * len(line) / slots for n in (first, last))
        for at in range(int(begin), max(int(begin) + 1, round(end))):
            if at < len(line):
                line[at] = "█"
    return "".join(line)
