"""Pictures of the verdict: the spread of the ratio, what moves it, the way from ground to orbit, frontier, years, ladder, carbon."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, PercentFormatter

from aether.base.units import fmt
from aether.results import svg
from aether.results.figures import Plot, drawn
from aether.results.words import money, percent

MOST_ROWS = 12  # of a chart; the page's sources hold all
Told = Mapping[str, Any]


def _plain(axis: Any) -> None:
    axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,g}"))
    axis.set_minor_formatter(NullFormatter())


def spread(told: Told) -> Plot:
    """How often orbit costs so many times the ground."""
    edges, share = (np.array(told["histogram"][k]) for k in ("edges", "share"))
    ratio = told["ratio"]

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.bar(
            edges[:-1],
            share,
            np.diff(edges),
            align="edge",
            color=np.where(edges[:-1] < 1.0, svg.GREEN, svg.SKY),
            linewidth=0,
        )
        axes.axvline(1.0, color=svg.INK, linestyle="--", linewidth=1.0)
        axes.axvline(ratio["p50"], color=svg.MUTED, linewidth=1.0)
        svg.logarithmic(axes)
        axes.set(
            xlabel="cost in orbit over cost on the ground",
            ylabel="share of draws",
            xlim=(min(0.9, edges[0]), edges[-1]),
        )
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))

    caption = (
        f"A GPU-hour in orbit costs {money(ratio['p50'])} times one on the ground ({money(ratio['p05'])} to {money(ratio['p95'])} in nine of ten draws of all "
        f"assumptions); it is cheaper in {percent(told['orbit_is_cheaper'])} of {told['draws']:,} draws (modelled)."
    )
    return drawn("spread", "Histogram of the ratio", caption, (5.2, 2.9), paint)


def indices(told: Told) -> Plot:
    """Shares of the variance."""
    rows = told["indices"]["rows"][:MOST_ROWS]

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        place = np.arange(len(rows))
        axes.barh(place, [r["total"] for r in rows], height=0.68, color=svg.SKY, label="with all that it acts through")
        axes.barh(place, [max(r["first"], 0.0) for r in rows], height=0.34, color=svg.BLUE, label="alone")
        axes.set(ylim=(len(rows) - 0.5, -0.5), xlabel="share of the variance of ln(orbit over ground)")
        axes.set_yticks(place, [r["name"] for r in rows], fontsize=8)
        axes.grid(visible=False, axis="y")
        svg.legend(axes)

    top = rows[0]
    count = told["indices"]["evaluations"]
    caption = f"{top['name']} alone makes {percent(top['first'], 0)} of the spread, by {count:,} evaluations (Sobol indices, modelled)."
    return drawn("indices", "Bars, Sobol indices", caption, (5.2, 0.9 + 0.27 * len(rows)), paint)


def tornado(told: Told) -> Plot:
    """What each assumption alone does to the ratio, over its own range."""
    rows = sorted(told["indices"]["rows"], key=lambda r: r["least"] - r["most"])[:MOST_ROWS]
    nominal = told["ratio"]["nominal"]

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for i, row in enumerate(rows):
            axes.barh(i, row["least"] - nominal, left=nominal, height=0.62, color=svg.SKY)
            axes.barh(i, row["most"] - nominal, left=nominal, height=0.62, color=svg.ORANGE)
        axes.axvline(nominal, color=svg.INK, linewidth=0.9)
        axes.axvline(1.0, color=svg.INK, linestyle="--", linewidth=1.0)
        axes.set(ylim=(len(rows) - 0.5, -0.5), xlabel="cost in orbit over cost on the ground")
        axes.set_yticks(range(len(rows)), [r["name"] for r in rows], fontsize=8)
        axes.grid(visible=False, axis="y")

    top = rows[0]
    caption = f"{top['name']} alone, over its own range, takes the ratio from {money(top['least'])} to {money(top['most'])} around {money(nominal)} (modelled)."
    return drawn("tornado", "Tornado chart, one assumption at a time", caption, (5.2, 0.9 + 0.27 * len(rows)), paint)


def waterfall(told: Told) -> Plot:
    """From a GPU-hour on the ground to one in orbit, term by term."""
    hours = {
        k: sum(t["usd_year"] for t in told["sides"][k]["terms"]) / told["sides"][k]["usd_per_gpu_hour"]["nominal"]
        for k in ("ground", "orbit")
    }
    each = {k: {t["asset"]: t["usd_year"] / hours[k] for t in told["sides"][k]["terms"]} for k in hours}
    names = sorted(
        set(each["ground"]) | set(each["orbit"]),
        key=lambda n: -(each["orbit"].get(n, 0.0) - each["ground"].get(n, 0.0)),
    )
    steps = [(n, each["orbit"].get(n, 0.0) - each["ground"].get(n, 0.0)) for n in names]
    start, end = (told["sides"][k]["usd_per_gpu_hour"]["nominal"] for k in ("ground", "orbit"))

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.barh(0, start, color=svg.GREY, height=0.7)
        at = start
        for i, (_, step) in enumerate(steps, 1):
            axes.barh(i, step, left=at, color=svg.VERMILION if step > 0 else svg.GREEN, height=0.7)
            axes.annotate(
                f"{step:+.2f}",
                (max(at, at + step), i),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=7.5,
            )
            at += step
        axes.barh(len(steps) + 1, end, color=svg.BLUE, height=0.7)
        axes.set_yticks(
            range(len(steps) + 2), [f"ground {start:.2f}", *(n for n, _ in steps), f"orbit {end:.2f}"], fontsize=8
        )
        axes.set(
            ylim=(len(steps) + 1.6, -0.6),
            xlabel="USD per GPU-hour that could have worked, nominal",
            xlim=(0, 1.12 * max(at, end, start + sum(max(s, 0) for _, s in steps))),
        )
        axes.grid(visible=False, axis="y")

    top = steps[0]
    caption = f"From {money(start)} USD on the ground to {money(end)} USD in orbit: most is added by {top[0]}, {top[1]:+.2f} USD a GPU-hour (modelled)."
    return drawn("waterfall", "Waterfall from ground to orbit", caption, (5.2, 1.0 + 0.235 * (len(steps) + 2)), paint)


def frontier(told: Told) -> Plot:
    """Where orbit would be cheaper, over launch price and specific mass."""
    row = told["frontier"]
    x, y, chance, ratio = (np.array(row[k]) for k in ("launch_usd_kg", "kg_per_kw", "chance", "median_ratio"))

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        mesh = axes.pcolormesh(x, y, chance, vmin=0.0, vmax=1.0, cmap="YlGn", shading="gouraud", rasterized=True)
        levels = [v for v in (1.0, 1.25, 1.5, 2.0, 3.0, 5.0) if ratio.min() < v < ratio.max()]
        lines = axes.contour(x, y, ratio, levels=levels, colors=svg.INK, linewidths=0.8) if levels else None
        if lines is not None:
            axes.clabel(lines, fmt=lambda v: f"{v:g}×", fontsize=8)
        axes.plot(row["now"]["launch_usd_kg"], row["now"]["kg_per_kw"], "o", color=svg.VERMILION, markersize=6)
        axes.annotate(
            "this design",
            (row["now"]["launch_usd_kg"], row["now"]["kg_per_kw"]),
            xytext=(6, 5),
            textcoords="offset points",
            fontsize=8,
        )
        axes.set(xscale="log", yscale="log", xlabel="launch price [USD/kg]", ylabel="ship over IT power [kg/kW]")
        _plain(axes.xaxis)
        _plain(axes.yaxis)
        axes.set_yticks([v for v in (2, 5, 10, 20, 50, 100) if y[0] <= v <= y[-1]])
        figure.colorbar(
            mesh, ax=axes, label="probability that orbit is cheaper", format=PercentFormatter(1.0, decimals=0)
        )

    best = percent(float(chance.max()), 0)
    told_ = (
        f"Orbit is cheaper in {best} of draws at most"
        if chance.max() > 0
        else "Orbit is cheaper nowhere: launch price and mass alone do not decide it"
    )
    caption = f"{told_}; lines: median of orbit over ground, all other assumptions drawn (modelled)."
    return drawn("frontier", "Map of probability over launch price and specific mass", caption, (5.4, 3.6), paint)


def years(told: Told) -> Plot:
    """Cost of a GPU-hour bought new in each year, in bands."""
    row = told["years"]
    t = np.array(row["year"])

    def paint(figure: Figure) -> None:
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        for key, colour in (("orbit", svg.BLUE), ("ground", svg.ORANGE)):
            low, middle, high = ([b[k] for b in row[key]] for k in ("p05", "p50", "p95"))
            axes.fill_between(t, low, high, color=colour, alpha=0.25, linewidth=0)
            axes.plot(t, middle, color=colour, label=key)
        axes.set(yscale="log", ylabel="USD per GPU-hour of today's GPU")
        _plain(axes.yaxis)
        axes.set_yticks([v for v in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if axes.get_ylim()[0] <= v <= axes.get_ylim()[1]])
        svg.legend(axes)
        below.plot(t, row["orbit_is_cheaper"], color=svg.GREEN)
        below.xaxis.set_major_locator(MaxNLocator(integer=True))
        below.set(
            xlabel="years from now", ylabel="orbit cheaper", ylim=(0, max(0.05, 1.1 * max(row["orbit_is_cheaper"])))
        )
        below.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))

    met = (
        f"the medians meet after {row['parity_year']} years"
        if row["parity_year"] is not None
        else f"the medians do not meet within {t[-1]} years"
    )
    caption = (
        f"Bought new in each year, with launch, chips, ship parts and capital on their trends, {met}; "
        f"orbit is cheaper in {percent(row['orbit_is_cheaper'][-1])} of draws at the end (modelled)."
    )
    return drawn("years", "Fan chart of cost through years", caption, (5.2, 3.9), paint)


def ladder(told: Told) -> Plot | None:
    """What would have to be true, step by step."""
    row = told["ladder"]
    steps = row["steps"]
    if not steps:
        return None
    start = told["ratio"]["nominal"]

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        ends = [start, *(s["ratio"] for s in steps)]
        for i, (before, after) in enumerate(pairwise(ends)):
            axes.barh(i, after - before, left=before, color=svg.GREEN, height=0.66)
            axes.annotate(
                f"{after:.2f}",
                (before, i),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=7.5,
            )
        axes.axvline(1.0, color=svg.INK, linestyle="--", linewidth=1.0)
        labels = [f"{s['name']}: {fmt(s['from'], s['unit'])} → {fmt(s['to'], s['unit'])}" for s in steps]
        axes.set_yticks(range(len(steps)), labels, fontsize=7.5)
        axes.set(
            ylim=(len(steps) - 0.4, -0.6),
            xlim=(min(0.8, ends[-1] - 0.15), 1.04 * start),
            xlabel="cost in orbit over cost on the ground",
        )
        axes.grid(visible=False, axis="y")

    caption = (
        f"What would have to be true: {row['words']}; each step goes no further than its own sourced range (modelled)."
    )
    return drawn("ladder", "Ladder of improvements", caption, (7.6, 1.0 + 0.25 * len(steps)), paint)


def carbon(told: Told) -> Plot:
    """CO2 equivalent of a GPU-hour within boundaries that widen."""
    rows = told["carbon"]

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for i, row in enumerate(rows):
            for k, (side, colour) in enumerate((("orbit", svg.BLUE), ("ground", svg.ORANGE))):
                one, y = row[side], i + (k - 0.5) * 0.36
                axes.barh(y, 1e3 * one["p50"], height=0.32, color=colour, label=side if i == 0 else None)
                axes.plot(
                    [1e3 * one["p05"], 1e3 * one["p95"]], [y, y], "|-", color=svg.INK, linewidth=1.0, markersize=5
                )
        axes.set_yticks(range(len(rows)), [r["boundary"] for r in rows])
        axes.set(
            ylim=(len(rows) - 0.4, -0.6),
            xlabel="g of CO2e per GPU-hour that could have worked, median and nine of ten draws",
        )
        axes.grid(visible=False, axis="y")
        svg.legend(axes)

    last = rows[-1]
    sign = (
        "less"
        if last["orbit"]["p95"] < last["ground"]["p05"]
        else "more"
        if last["orbit"]["p05"] > last["ground"]["p95"]
        else "not certainly less"
    )
    caption = (
        f"In use orbit emits nothing; with making, launch and what is thought to happen at height it emits {sign} than the ground: "
        "the boundary decides (modelled)."
    )
    return drawn("carbon", "Bars of carbon by boundary", caption, (5.2, 2.9), paint)
