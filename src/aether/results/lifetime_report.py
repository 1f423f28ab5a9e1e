"""The page of a fleet through years."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from aether.base.units import fmt
from aether.results import svg
from aether.results.figures import Plot, drawn
from aether.results.page import MODELLED, plots, table, whole
from aether.results.words import many, money, percent

COLOURS = (svg.BLUE, svg.ORANGE, svg.GREEN, svg.VERMILION, svg.PURPLE, svg.SKY, svg.BROWN, svg.YELLOW, svg.GREY)
SUMS = {
    "launches": "launches", "launches_failed": "launches failed", "ordered": "ships built", "joined": "ships that reached orbit",
    "failed": "ships lost in orbit", "spares_used": "replaced at once by spares", "disposed": "ships brought down",
    "stranded": "ships that could not come down",
    "serviced": "ships with new boards", "manoeuvres": "collision manoeuvres", "lifted_kg": "lifted [kg]", "reentered_kg": "re-entered [kg]",
    "left_in_orbit_kg": "not brought down [kg]", "propellant_kg": "propellant lifted [kg]",
}  # fmt: skip
BANDS = ("p10", "p50", "p90", "mean")


def render(told: Mapping[str, Any]) -> str:
    """The fleet's years as one HTML page: inline style and figures, no script, no request; all that came from the user is escaped."""
    title = escape(str(told["title"] or told["scenario"]))
    sections = {
        "capacity": ("Compute through the years", _capacity(told)), "takes": ("What it takes", _takes(told)),
        "losses": ("When ships are lost", _losses(told)), "cost": ("What it costs", _cost(told)), "ships": ("The ships", _ships(told)),
    }  # fmt: skip
    foot = f"Aether {escape(str(told['version']))}. {MODELLED}"
    return whole(title, _head(told, title), [(key, words, html) for key, (words, html) in sections.items()], foot)


def _head(told: Mapping[str, Any], title: str) -> str:
    kicker = f"{told['scenario']} · {told['years']} years from {told['start'][:7]} · {told['rule']} · {told['draws']:,} draws · modelled"
    share, price = told["capacity"]["delivered_share"], told["cost"]["usd_per_gpu_hour"]
    lead = f"The fleet delivers <strong>{percent(share['p50'])}</strong> of its nameplate ({percent(share['p10'])} to {percent(share['p90'])}). "
    if price is not None:
        lead += f"A delivered GPU-hour costs <strong>{price['p50']:.2f} USD</strong> ({price['p10']:.2f} to {price['p90']:.2f}), levelised over the years."
    return f'<p class="kicker">{escape(kicker)}</p><h1>{title}</h1><p class="lead">{lead}</p>'


def _capacity(told: Mapping[str, Any]) -> str:
    pictures = [_curve(told, "gpu", "GPUs"), _curve(told, "pflops", "PFLOP/s, dense BF16")]
    html = plots(pictures)
    target = told["target"]
    if target is not None:
        rows = [(str(r["year"]), many(r["wanted"]), *(many(r["delivered"][k]) for k in BANDS)) for r in target["years"]]
        html += f"<p>{percent(target['met_share']['p50'])} of what is wanted is delivered.</p>"
        html += table(("year", f"wanted [{target['unit']}]", *BANDS), rows, range(1, 6))
    return html + _plan(told)


def _plan(told: Mapping[str, Any]) -> str:
    plan = told["plan"]
    if plan is None:
        return ""
    names = [k for k in plan["ships"][0] if k != "year"]
    rows = [(str(r["year"]), *(f"{r[n]:,}" for n in names)) for r in plan["ships"]]
    said = f"The cheapest launches by linear programme cost {money(plan['usd'] / 1e6)} million USD in present value, "
    said += f"{percent(plan['gap_share'], 2)} above the bound with parts of ships."
    return f"<p>{escape(said)}</p>" + table(("year", *(f"{n}, ships" for n in names)), rows, range(1, len(names) + 1))


def _curve(told: Mapping[str, Any], unit: str, words: str) -> Plot:
    """Nameplate and delivered by month, with the middle 80 % of draws as a band."""
    rows = told["capacity"]
    year = (np.array(rows["month"]) - 0.5) / 12.0

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for name, colour in (("nameplate", svg.GREY), ("delivered", svg.BLUE)):
            values = rows[f"{name}_{unit}"]
            axes.fill_between(year, values["p10"], values["p90"], color=colour, alpha=0.25, linewidth=0)
            axes.plot(year, values["p50"], color=colour, label=name)
        target = told["target"]
        if target is not None and (target["unit"] == "GPU") == (unit == "gpu"):
            axes.step(
                [r["year"] - 0.5 for r in target["years"]],
                [r["wanted"] for r in target["years"]],
                where="mid",
                color=svg.VERMILION,
                label="wanted",
            )
        axes.set(xlabel="years from the start", ylabel=words, xlim=(0.0, told["years"]))
        axes.set_ylim(bottom=0.0)
        axes.yaxis.set_major_formatter("{x:,.0f}")
        svg.legend(axes)

    last = rows[f"delivered_{unit}"]["p50"][-12:]
    caption = f"{words}: in the last year {many(sum(last) / len(last))} are delivered, bands are the middle 80 % of draws (modelled)."
    return drawn(f"curve-{unit}", "Lines through years, nameplate and delivered", caption, (5.3, 2.9), paint)


def _takes(told: Mapping[str, Any]) -> str:
    rows = [
        (
            words,
            *(
                many(told["totals"][key][b]) if told["totals"][key][b] >= 1000 else fmt(told["totals"][key][b], "1")
                for b in BANDS
            ),
        )
        for key, words in SUMS.items()
    ]
    return table((f"in {told['years']} years", *BANDS), rows, range(1, 5))


def _losses(told: Mapping[str, Any]) -> str:
    rows = [
        (
            percent(r["lost_share"], 0),
            *(percent(r["left_share"][k]) for k in ("p10", "p50", "p90")),
            percent(r["worst_share"]["p50"]),
            fmt(r["months_to_replace"]["p50"], "1"),
        )
        for r in told["losses"]
    ]
    columns = (
        "ships lost at once",
        "at work still, p10",
        "p50",
        "p90",
        "in the worst month, p50",
        "months to replace, p50",
    )
    html = "<p>Spares in orbit take over at once; the rest is launched as flights allow.</p>" + table(
        columns, rows, range(1, 6)
    )
    storm = told["storm"]
    if storm is None:
        return html
    back = "not within the years" if storm["recovery_months"] is None else f"after {storm['recovery_months']} months"
    said = f"A solar storm in month {storm['month']} takes {percent(storm['dip_share'])} of that month's compute; "
    said += f"99 % of what would have been is delivered again {back}."
    return html + f"<p>{escape(said)}</p>"


def _cost(told: Mapping[str, Any]) -> str:
    row = told["cost"]
    shown = [
        (words, *(money(None if row[k] is None else row[k][b]) for b in BANDS))
        for k, words in (
            ("usd_per_gpu_hour", "delivered GPU-hour"),
            ("usd_per_pflop_hour", "delivered PFLOP-hour, dense BF16"),
        )
    ]
    terms = [(t["asset"], f"{t['usd']:,.2f}") for t in row["terms"]] + [("all", f"{row['usd']:,.2f}")]
    said = "<p>Discounted money over discounted compute, at orbit's cost of capital. What comes in is negative.</p>"
    html = said + table(("USD of a", *BANDS), shown, range(1, 5)) + plots([_money(told)], "wide")
    return html + f"<details><summary>All terms, mean of draws</summary>{table(('term', 'USD'), terms, (1,))}</details>"


def _money(told: Mapping[str, Any]) -> Plot:
    """Money of each year by term, stacked; what comes in below zero."""
    rows = {k: np.array(v) / 1e6 for k, v in told["cost"]["by_year"].items() if np.any(v)}
    year = np.arange(1, told["years"] + 1)

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        high, low = np.zeros(len(year)), np.zeros(len(year))
        for i, (name, values) in enumerate(rows.items()):
            base = np.where(values >= 0.0, high, low)
            axes.bar(
                year,
                values,
                bottom=base,
                color=COLOURS[i % len(COLOURS)],
                label=name,
                width=0.8,
                hatch="//" if i >= len(COLOURS) else None,
            )
            high, low = high + np.maximum(values, 0.0), low + np.minimum(values, 0.0)
        axes.axhline(0.0, color=svg.MUTED, linewidth=0.7)
        axes.set(xlabel="year", ylabel="million USD", xlim=(0.3, told["years"] + 0.7))
        axes.yaxis.set_major_formatter("{x:,.0f}")
        svg.legend(axes, ncols=5)

    caption = (
        f"Money of each year by term, mean of draws; {money(told['cost']['usd'] / 1e6)} million USD in all (modelled)."
    )
    return drawn("money", "Stacked bars by year", caption, (8.6, 3.2), paint)


def _ships(told: Mapping[str, Any]) -> str:
    rows = []
    for row, life in zip(told["groups"], told["effective_life"]["groups"], strict=True):
        decay = "–" if row["decay_years"] is None else fmt(row["decay_years"], "1")
        ends = ", ".join(f"{k} {percent(v, 0)}" for k, v in row["ended_by"].items() if v > 0.0)
        rows.append((row["group"], f"{row['ships']:,}", percent(row["deliverable_new"]), percent(row["deliverable_old"]), fmt(row["dose_rad_year"], "1"),
                     fmt(row["drag_m_s_year"]["p50"], "1"), fmt(life["years"]["p50"], "1"), ends, decay))  # fmt: skip
    columns = (
        "group",
        "ships",
        "deliverable new",
        "old",
        "dose [rad/year]",
        "drag [m/s/year]",
        "years that a GPU works",
        "life ends by",
        "dead, down in [years]",
    )
    moves = [
        (r["group"], m["move"], f"{m['delta_v_m_s']:,.0f}", f"{m['days']:,.0f}", f"{m['propellant_kg']:,.0f}")
        for r in told["groups"]
        for m in r["moves"]
    ]
    return (
        table(columns, rows, (1, 2, 3, 4, 5, 6, 8))
        + "<h3>To move a ship</h3>"
        + table(("group", "move", "delta-v [m/s]", "days", "propellant [kg]"), moves, (2, 3, 4))
    )
