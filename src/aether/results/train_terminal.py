"""A training plan in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.markup import escape

from aether.base.units import fmt
from aether.results.console import show, table
from aether.results.words import many, percent

SIDES = (("plan", "plan"), ("given", "scenario"), ("ground", "as on the ground"))


def plan(told: Mapping[str, Any]) -> None:
    """What `train_plan.plan` found."""
    job, run = told["job"], told["seen"]
    laid = " x ".join(f"{job['layout'][k]} {k}" for k in ("tensor", "pipeline", "data"))
    show(
        f"{escape(job['name'])}: {escape(job['model'])}, {many(job['tokens'])} tokens on {job['gpus']:,.0f} GPUs of {job['members']} members"
    )
    show(
        f"Inside a member: {laid}, {'all' if job['layout']['recompute'] else 'attention'} computed again; {fmt(job['step_s'], 's')} a step"
    )
    if run["rate_bit_s"] is not None:
        show(f"Between members: {fmt(run['rate_bit_s'], 'bit/s')} in the middle, {fmt(run['rate_least_bit_s'], 'bit/s')} at least; "
             f"the plan needs {fmt(run['rate_needed_bit_s'], 'bit/s')}")  # fmt: skip
    show("")
    _sides(told)
    _waterfall(told)
    _changes(told["changes"])
    first, second = (percent(r["goodput"]) for r in told["runs"])
    show(
        f"Binding: {told['binds']}. Goodput of the runs: {first} with the scenario's settings, {second} with a first plan",
        "",
    )
    words = ", ".join(f"{k}: {v}" for k, v in told["set"].items())
    show(f"In the scenario: {{{words}}}", "", *told["limits"])


def _sides(told: Mapping[str, Any]) -> None:
    shown = table("Training plan (modelled)", "", "goodput", "days", "energy", "cost", right=range(1, 5))
    for key, name in SIDES:
        side = told[key]
        usd = "not priced" if side["usd"] is None else f"{side['usd'] / 1e6:,.2f} M USD"
        days = (
            ("never", "", "")
            if side["days"] is None
            else (f"{side['days']:,.1f}", f"{side['energy_mwh']:,.0f} MWh", usd)
        )
        shown.add_row(name, percent(side["useful"], 2), *days)
    show(shown)
    missing = told["seen"]["usd_missing"]
    show(f"Cost: {escape(missing)}" if missing else "", "")


def _waterfall(told: Mapping[str, Any]) -> None:
    shown = table("Where the time goes", "", *(name for _, name in SIDES), right=range(1, 4))
    for cause in told["plan"]["lost"]:
        shown.add_row(cause, *(percent(told[key]["lost"][cause], 2) for key, _ in SIDES))
    shown.add_row("trains", *(percent(told[key]["useful"], 2) for key, _ in SIDES))
    show(shown, "")


def _changes(rows: list[Mapping[str, Any]]) -> None:
    shown = table("From the ground to the plan", "change", "from", "to", "gain", "why", "loss", right=(3,))
    for row in rows:
        shown.add_row(
            row["change"],
            row["from"],
            row["to"],
            f"{100.0 * row['gain']:+.2f}",
            escape(row["why"]),
            escape(row["loss"]),
        )
    show(shown, "Gains in points of goodput, each with the changes above it", "")
