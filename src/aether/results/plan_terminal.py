"""What `aether plan`, `aether compare-policies` and `aether forecast` print for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.markup import escape

from aether.base.units import fmt
from aether.results.console import show, table
from aether.results.words import length, money, percent

ROWS = 40  # jobs shown; all are in the JSON
WIDE = 48  # characters of the picture


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


def bar(runs: list[list[int]], slots: int) -> str:
    """Runs of slots as a line of characters."""
    line = ["·"] * min(WIDE, slots)
    for first, last in runs:
        begin, end = (n * len(line) / slots for n in (first, last))
        for at in range(int(begin), max(int(begin) + 1, round(end))):
            if at < len(line):
                line[at] = "█"
    return "".join(line)
