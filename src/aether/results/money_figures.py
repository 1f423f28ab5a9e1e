"""The report's figures of worth: terms of cost beside the ground, what moves them, parity, carbon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aether.base.units import fmt
from aether.results import svg
from aether.results.figures import Plot, drawn
from aether.results.words import largest, money, percent, ranged, span

ASSETS = {  # colours of terms, alike on both sides
    "accelerators": svg.BLUE, "array": svg.ORANGE, "energy": svg.ORANGE, "battery": "#c9a14a", "radiator": svg.VERMILION,
    "water": "#7fd4e8", "bus": svg.GREY, "facility": svg.GREY, "terminals": svg.SKY, "launch": svg.PURPLE, "hull": "#e3b7cf",
    "insurance": svg.YELLOW, "network": "#7fb7d8", "operations": svg.GREEN, "attrition": svg.BROWN,
}  # fmt: skip
CAUSES = {
    "accelerators": svg.BLUE, "ships": svg.GREY, "facility": "#c4c4c4", "launch": svg.PURPLE, "hull": "#e3b7cf", "electricity": svg.ORANGE,
}  # fmt: skip
LEAST_SHARE = 0.012  # of the dearer side: smaller terms are drawn as one
REST = "#4d5358"  # of what is drawn as one
SIDES = ("orbit", "ground")
Stack = Sequence[tuple[str, float]]


def _stacks(axes: Axes, stacks: Mapping[str, Stack], colours: Mapping[str, str]) -> None:
    """Horizontal stacked bars, one a side; terms too small to see are drawn as one."""
    top = max(sum(v for _, v in s) for s in stacks.values())
    seen: set[str] = set()
    for i, stack in enumerate(stacks.values()):
        large = [(n, v) for n, v in stack if v >= LEAST_SHARE * top]
        rest = sum(v for _, v in stack) - sum(v for _, v in large)
        left = 0.0
        for name, value in [*large, *([("smaller terms", rest)] if rest > 1e-9 * top else [])]:
            label = None if name in seen else name
            seen.add(name)
            axes.barh(
                i,
                value,
                left=left,
                height=0.56,
                color=colours.get(name, REST),
                label=label,
                edgecolor="white",
                linewidth=0.4,
            )
            left += value
    axes.set(yticks=range(len(stacks)), yticklabels=list(stacks), ylim=(len(stacks) - 0.45, -0.55))
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")


def _whisker(axes: Axes, i: int, row: Mapping[str, float], text: str) -> None:
    """Low to high as a line with ends, and the nominal value in words."""
    axes.plot([row["low"], row["high"]], [i + 0.38] * 2, "|-", color=svg.INK, linewidth=1.3, markersize=7)
    beside: dict[str, Any] = {"xytext": (5, 0), "textcoords": "offset points", "va": "center", "fontweight": "bold"}
    axes.annotate(text, (row["nominal"], i), **beside)


def terms(cost: Mapping[str, Any]) -> Plot | None:
    """What a GPU-hour costs on both sides, term by term, with its range; None where no side could have worked."""
    sides = {k: cost[k] for k in SIDES if cost.get(k) and isfinite(cost[k]["usd_per_gpu_hour"]["high"])}
    if not sides:
        return None
    stacks = {
        k: [(t["asset"], t["share"] * s["usd_per_gpu_hour"]["nominal"]) for t in s["terms"]] for k, s in sides.items()
    }
    reach = max(s["usd_per_gpu_hour"]["high"] for s in sides.values())

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        _stacks(axes, stacks, ASSETS)
        for i, side in enumerate(sides.values()):
            _whisker(axes, i, side["usd_per_gpu_hour"], money(side["usd_per_gpu_hour"]["nominal"]))
        axes.set(xlabel="USD per deliverable GPU-hour", xlim=(0, 1.12 * reach))
        svg.legend(axes, ncols=7)

    told = "; ".join(
        f"{k} {ranged(s['usd_per_gpu_hour'])} USD, most for {largest(s['terms'])}" for k, s in sides.items()
    )
    caption = f"A GPU-hour that could have worked costs, with its range: {told}; the ground is {cost['ground_is']} (modelled)."
    return drawn("terms", "Stacked bars, cost of a GPU-hour by term", caption, (9.2, 1.5 + 0.62 * len(sides)), paint)


def tornado(side: Mapping[str, Any], name: str) -> Plot | None:
    """What each assumption alone does to the cost of a GPU-hour, over its own range."""
    rows, nominal = side["swings"], side["usd_per_gpu_hour"]["nominal"]
    if not rows or not isfinite(nominal):
        return None

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for i, row in enumerate(rows):
            for at, colour in ((row["at_low"], svg.SKY), (row["at_high"], svg.ORANGE)):
                word = {svg.SKY: "at its low end", svg.ORANGE: "at its high end"}[colour] if i == 0 else None
                axes.barh(i, at - nominal, left=nominal, height=0.62, color=colour, label=word)
        axes.axvline(nominal, color=svg.INK, linewidth=0.9)
        labels = [f"{r['name']}\n{span(r['low_value'], r['high_value'], r['unit'])}" for r in rows]
        axes.set(yticks=range(len(rows)), ylim=(len(rows) - 0.5, -0.5), xlabel=f"USD per deliverable GPU-hour, {name}")
        axes.set_yticks(range(len(rows)), labels, fontsize=8, linespacing=1.05)
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        svg.legend(axes)

    top = rows[0]
    ends = sorted((top["at_low"], top["at_high"]))
    caption = (
        f"{name[:1].upper() + name[1:]}: {top['name']} alone, over its range of {span(top['low_value'], top['high_value'], top['unit'])}, moves a GPU-hour "
        f"between {money(ends[0])} and {money(ends[1])} USD around {money(nominal)} (modelled)."
    )
    return drawn(f"tornado-{name}", "Tornado chart, what moves the cost", caption, (5.2, 0.9 + 0.38 * len(rows)), paint)


def parity(cost: Mapping[str, Any]) -> Plot | None:
    """How near to parity each assumption alone can bring orbit over ground."""
    rows = sorted(cost.get("parity") or [], key=lambda r: abs(np.log(max(r["closest"], 1e-9))))
    if not rows:
        return None
    nominal = cost["ratio"]["nominal"]

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for i, row in enumerate(rows):
            colour = svg.GREEN if row["inside"] else svg.ORANGE if row["value"] is not None else svg.GREY
            axes.barh(i, row["closest"] - nominal, left=nominal, height=0.5, color=colour, alpha=0.8)
            axes.plot(row["closest"], i, "o", color=colour, markersize=4.5)
        axes.axvline(1.0, color=svg.INK, linewidth=1.0, linestyle="--")
        axes.axvline(nominal, color=svg.MUTED, linewidth=0.9)
        labels = [f"{r['name']}\nto {fmt(r['closest_value'], r['unit'])}" for r in rows]
        low, high = (
            min(0.85, *(0.9 * r["closest"] for r in rows)),
            1.04 * max(1.0, nominal, *(r["closest"] for r in rows)),
        )
        axes.set(ylim=(len(rows) - 0.5, -0.5), xlim=(low, high), xlabel="cost in orbit over cost on the ground")
        axes.set_yticks(range(len(rows)), labels, fontsize=8, linespacing=1.05)
        axes.text(1.0, 1.0, " parity", transform=axes.get_xaxis_transform(), va="bottom", ha="center", fontsize=8.5)
        axes.text(nominal, 1.0, "nominal", transform=axes.get_xaxis_transform(), va="bottom", ha="center", fontsize=8.5)
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")

    met = sum(r["value"] is not None for r in rows)
    inside = sum(r["inside"] for r in rows)
    caption = (
        f"Orbit costs {ranged(cost['ratio'])} times the ground. Of the {len(rows)} assumptions that move this most, {met} alone can bring it to 1, "
        f"{inside} within its own range; each bar ends where the one assumption, from zero to ten times its high end, comes nearest to parity (modelled)."
    )
    return drawn(
        "parity",
        "Bar chart, how near to parity each assumption alone comes",
        caption,
        (5.2, 0.9 + 0.38 * len(rows)),
        paint,
    )


def carbon(footprint: Mapping[str, Any]) -> Plot | None:
    """CO2e of a GPU-hour on both sides, by cause, with its range."""
    sides = {k: footprint[k] for k in SIDES if footprint.get(k) and footprint[k]["carbon_per_gpu_hour_kg"]}
    if not sides:
        return None
    scale = {
        k: 1e3 * s["carbon_per_gpu_hour_kg"] / s["carbon_kg"] for k, s in sides.items()
    }  # g per GPU-hour and kg of the run
    stacks = {k: [(c["cause"], c["kg"] * scale[k]) for c in s["causes"]] for k, s in sides.items()}
    ends = {
        k: {end: s[f"carbon_{end}_kg"] * scale[k] for end in ("low", "high")} | {"nominal": s["carbon_kg"] * scale[k]}
        for k, s in sides.items()
    }

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        _stacks(axes, stacks, CAUSES)
        for i, row in enumerate(ends.values()):
            _whisker(axes, i, row, money(row["nominal"]))
        axes.set(xlabel="g of CO2e per deliverable GPU-hour", xlim=(0, 1.16 * max(r["high"] for r in ends.values())))
        svg.legend(axes, ncols=4)

    told = []
    for k, s in sides.items():
        top = max(s["causes"], key=lambda c: c["kg"])
        told.append(f"{k} {ranged(ends[k])} g, most for {top['cause']} ({percent(top['kg'] / s['carbon_kg'], 0)})")
    caption = f"A GPU-hour that could have worked emits, with its range: {'; '.join(told)} (modelled)."
    return drawn("carbon", "Stacked bars, carbon of a GPU-hour by cause", caption, (5.4, 1.6 + 0.6 * len(sides)), paint)
