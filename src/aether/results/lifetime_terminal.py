"""What `aether lifetime` prints for people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.markup import escape

from aether.base.units import fmt
from aether.results.console import show, table
from aether.results.words import many, money, percent


def lifetime(told: Mapping[str, Any], folder: Path | None = None) -> None:
    """Capacity year by year, what it takes, what is left when ships are lost, what it costs."""
    what = f"{told['years']} years from {told['start'][:7]}: {told['rule']}; {told['draws']:,} draws"
    show(f"[bold]{escape(told['scenario'])}[/bold] through {what}", "")
    _capacity(told)
    _target(told)
    _totals(told)
    _losses(told)
    _cost(told)
    _groups(told)
    if folder is not None:
        show(f"Results in {escape(str(folder))}")


def three(row: Mapping[str, float] | None, scale: float = 1.0, digits: int = 3) -> tuple[str, str, str]:
    """p10, p50, p90 as text."""
    if row is None:
        return ("–", "–", "–")
    return tuple(
        many(row[k] * scale, digits) if abs(row[k] * scale) >= 1000 else fmt(row[k] * scale, "1", digits)
        for k in ("p10", "p50", "p90")
    )  # type: ignore[return-value]


def _capacity(told: Mapping[str, Any]) -> None:
    rows = told["capacity"]
    columns = ("year", "nameplate GPUs", "delivered p10", "p50", "p90", "delivered PFLOP/s")
    shown = table("Compute, mean of each year (modelled)", *columns, right=range(1, 6))
    for year in range(told["years"]):
        part = slice(12 * year, 12 * year + 12)

        def mean(name: str, key: str, part: slice = part) -> float:
            values = rows[name][key][part]
            return float(sum(values) / len(values))

        gpus = (f"{mean('delivered_gpu', k):,.0f}" for k in ("p10", "p50", "p90"))
        shown.add_row(
            f"{year + 1}", f"{mean('nameplate_gpu', 'p50'):,.0f}", *gpus, many(mean("delivered_pflops", "p50"))
        )
    share = rows["delivered_share"]
    ends = f"{percent(share['p10'])} to {percent(share['p90'])}"
    words = f"Of nameplate {percent(share['p50'])} ({ends}) is delivered: what lives, times power, heat and radiation."
    show(shown, words, "")


def _target(told: Mapping[str, Any]) -> None:
    row = told["target"]
    if row is None:
        return
    shown = table(f"Target, {row['unit']}", "year", "wanted", "p10", "p50", "p90", right=range(1, 5))
    for year in row["years"]:
        shown.add_row(f"{year['year']}", many(year["wanted"]), *three(year["delivered"]))
    show(shown, f"Met: {percent(row['met_share']['p50'])} of what is wanted.")
    plan = told["plan"]
    if plan is not None:
        show(f"Cheapest by linear programme: {money(plan['usd'] / 1e6)} million USD of ships,",
             f"{percent(plan['gap_share'], 2)} above the bound with parts of ships.")  # fmt: skip
        if max(plan["unmet_share"]) > 0.01:
            show(
                f"No plan meets all of year {1 + plan['unmet_share'].index(max(plan['unmet_share']))}: flights or time lack."
            )
    show("")


WORDS = {
    "launches": "launches", "launches_failed": "of them failed", "ordered": "ships built", "joined": "ships that reached orbit",
    "failed": "ships lost in orbit", "spares_used": "replaced at once by spares", "disposed": "ships brought down",
    "stranded": "ships that could not come down", "serviced": "ships with new boards", "manoeuvres": "collision manoeuvres",
}  # fmt: skip
TONNES = {
    "lifted_kg": "lifted, t", "reentered_kg": "re-entered, t", "left_in_orbit_kg": "not brought down, t",
    "propellant_kg": "propellant lifted, t",
}  # fmt: skip


def _totals(told: Mapping[str, Any]) -> None:
    shown = table(f"In {told['years']} years (modelled)", "", "p10", "p50", "p90", right=range(1, 4))
    rows = told["totals"]
    for key, words in WORDS.items():
        if rows[key]["p90"] > 0.0 or key in ("launches", "failed"):
            shown.add_row(words, *three(rows[key]))
    for key, words in TONNES.items():
        shown.add_row(words, *three(rows[key], 1e-3))
    for row in told["effective_life"]["groups"]:
        shown.add_row(f"years that a GPU of {escape(row['group'])} works", *three(row["years"]))
    show(shown, "")


def _losses(told: Mapping[str, Any]) -> None:
    shown = table("Ships lost at once", "lost", "left at once p10", "p50", "months to replace, p50", right=range(1, 4))
    for row in told["losses"]:
        left = (percent(row["left_share"][k]) for k in ("p10", "p50"))
        shown.add_row(percent(row["lost_share"], 0), *left, fmt(row["months_to_replace"]["p50"], "1"))
    show(shown)
    storm = told["storm"]
    if storm is not None:
        back = "not again" if storm["recovery_months"] is None else f"again after {storm['recovery_months']} months"
        dip, after = percent(storm["dip_share"]), percent(storm["after_share"])
        show(
            f"A solar storm in month {storm['month']} takes {dip} of it, {after} of the next; 99 % are delivered {back}."
        )
    show("")


def _cost(told: Mapping[str, Any]) -> None:
    row = told["cost"]
    shown = table("Levelised, USD (modelled)", "of a delivered", "p10", "p50", "p90", right=range(1, 4))
    for key, words in (("usd_per_gpu_hour", "GPU-hour"), ("usd_per_pflop_hour", "PFLOP-hour, dense BF16")):
        shown.add_row(words, *(money(None if row[key] is None else row[key][k]) for k in ("p10", "p50", "p90")))
    show(shown)
    paid = sorted((t for t in row["terms"] if t["usd"]), key=lambda t: -abs(t["usd"]))
    show(
        f"{money(row['usd'] / 1e6)} million USD in all: "
        + ", ".join(f"{t['asset']} {money(t['usd'] / 1e6)}" for t in paid)
        + ".",
        "",
    )


def _groups(told: Mapping[str, Any]) -> None:
    shown = table(
        "One ship", "group", "deliverable new, old", "drag, m/s a year", "ends by", "dead, down in", right=(1, 2)
    )
    for row in told["groups"]:
        ends = ", ".join(f"{k} {percent(v, 0)}" for k, v in row["ended_by"].items() if v > 0.0)
        decay = "–" if row["decay_years"] is None else f"{fmt(row['decay_years'], '1')} years"
        shares = f"{percent(row['deliverable_new'])}, {percent(row['deliverable_old'])}"
        shown.add_row(escape(row["group"]), shares, fmt(row["drag_m_s_year"]["p50"], "1"), ends, decay)
    moves = told["groups"][0]["moves"]
    words = "; ".join(
        f"{m['move']}: {m['delta_v_m_s']:,.0f} m/s, {m['days']:,.0f} days, {m['propellant_kg']:,.0f} kg" for m in moves
    )
    show(shown, f"To move a ship of {escape(told['groups'][0]['group'])}: {words}.")
