"""The page's sections on worth: cost beside the ground, footprint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

from aether.base.units import fmt
from aether.results import money_figures as figures
from aether.results.page import beside, none, plots, table
from aether.results.words import money as usd
from aether.results.words import parity as parity_words
from aether.results.words import percent, ranged, span

BOUNDARY = (
    "Both sides are charged for what must be bought, run and replaced to keep the same GPUs at work for the same users, every asset as a level payment "
    "over its own life at its side's cost of capital; tax, profit, software and the wait for power are on neither side."
)
FIGURES = {
    "usd_per_gpu_hour": "deliverable GPU-hour", "usd_per_pflop_hour": "deliverable PFLOP-hour, dense BF16", "usd_per_mtoken": "million tokens of answers",
}  # fmt: skip


def money(told: Mapping[str, Any]) -> str:
    """Terms, ranges, what moves them, parity; empty for a run without a verdict."""
    cost = told.get("cost")
    if not cost:
        return ""
    if cost.get("missing"):
        return none(f"No cost is told, since a price is missing: {escape('; '.join(cost['missing']))}.")
    sides = [k for k in figures.SIDES if cost.get(k)]
    html = f"<p>{BOUNDARY} The ground is {escape(cost['ground_is'])}. All modelled.</p>"
    html += plots([figures.terms(cost)], "wide") + _levelised(cost, sides)
    html += plots([figures.tornado(cost[k], k) for k in sides])
    near, said = figures.parity(cost), "".join(f"<p>{escape(words)}.</p>" for words in parity_words(cost))
    html += beside(near, said) if near else said
    return html + _parity(cost) + _terms(cost, sides)


def _levelised(cost: Mapping[str, Any], sides: list[str]) -> str:
    both = len(sides) == 2
    rows: list[tuple[str, ...]] = []
    for key, words in FIGURES.items():
        figures_ = [cost[k][key] for k in sides]
        if any(figures_):
            ratio = (
                usd(figures_[0]["nominal"] / figures_[1]["nominal"])
                if both and all(figures_) and figures_[1]["nominal"]
                else "–"
            )
            ratio = ranged(cost["ratio"]) if both and key == "usd_per_gpu_hour" else ratio
            rows.append((words, *map(ranged, figures_), *([ratio] if both else [])))
    for key, words in (
        ("usd_per_installed_gpu_hour", "installed GPU-hour"),
        ("usd_per_delivered_gpu_hour", "delivered GPU-hour"),
    ):
        values = [cost[k][key] for k in sides]
        ratio = usd(values[0] / values[1]) if both and values[0] and values[1] else "–"
        rows.append((words, *map(usd, values), *([ratio] if both else [])))
    columns = ("USD of a", *(f"{k} (range)" for k in sides), *(["orbit over ground"] if both else []))
    return table(columns, rows, range(1, len(columns)))


def _parity(cost: Mapping[str, Any]) -> str:
    rows = []
    for r in cost.get("parity") or []:
        met = r["value"] is not None
        value = fmt(r["value"], r["unit"]) if met else "never"
        near = "1" if met else f"{r['closest']:.2f} at {fmt(r['closest_value'], r['unit'])}"
        rows.append((r["name"], fmt(r["nominal_value"], r["unit"]), span(r["low"], r["high"], r["unit"]), value,
                     ("yes" if r["inside"] else "no") if met else "–", near))  # fmt: skip
    columns = ("assumption", "nominal", "its range", "alike at", "within its range", "orbit over ground, nearest to 1")
    shown = table(columns, rows, (1, 2, 3)) if rows else ""
    return f"<details><summary>What each assumption alone would have to be</summary>{shown}</details>" if rows else ""


def _terms(cost: Mapping[str, Any], sides: list[str]) -> str:
    names = list(dict.fromkeys(t["asset"] for k in sides for t in cost[k]["terms"]))
    by = {k: {t["asset"]: t for t in cost[k]["terms"]} for k in sides}
    rows = []
    for name in names:
        cells: list[str] = []
        for k in sides:
            term = by[k].get(name)
            cells += ["–", "–"] if term is None else [f"{term['usd_year'] / 1e6:,.2f}", percent(term["share"])]
        rows.append((name, *cells))
    total = [c for k in sides for c in (f"{cost[k]['usd_year'] / 1e6:,.2f}", "100.0 %")]
    columns = ("term", *(c for k in sides for c in (f"{k} [million USD a year]", "share")))
    shown = table(columns, [*rows, ("all", *total)], range(1, len(columns)))
    return f"<details><summary>All terms of a year</summary>{shown}</details>"


FOOTPRINT: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "CO2e of the run [t]": lambda s: (
        f"{usd(s['carbon_kg'] / 1e3)} ({usd(s['carbon_low_kg'] / 1e3)} to {usd(s['carbon_high_kg'] / 1e3)})"
    ),
    "CO2e per deliverable GPU-hour [g]": lambda s: usd(
        None if s["carbon_per_gpu_hour_kg"] is None else 1e3 * s["carbon_per_gpu_hour_kg"]
    ),
    "electricity from the grid [kWh]": lambda s: f"{s['grid_kwh']:,.0f}",
    "water evaporated [m³]": lambda s: f"{s['water_kg'] / 1e3:,.1f}",
    "burnt in the atmosphere [t a year]": lambda s: f"{s['burnt_kg_year'] / 1e3:,.1f}",
}


def footprint(told: Mapping[str, Any]) -> str:
    """Carbon, water, energy and what burns up; empty where no side is told."""
    row = told.get("footprint") or {}
    sides = [k for k in figures.SIDES if row.get(k)]
    if not sides:
        return ""
    cells = [(words, *(say(row[k]) for k in sides)) for words, say in FOOTPRINT.items()]
    shown = table(("modelled", *sides), cells, range(1, 1 + len(sides)))
    words = "<p>What was built is spread over its life; what is used counts as it is used. Ships that come down burn in the atmosphere.</p>"
    picture = figures.carbon(row)
    return words + (beside(picture, shown) if picture else shown)
