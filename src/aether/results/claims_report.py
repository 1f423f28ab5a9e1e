"""The page of the claims."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from matplotlib.figure import Figure

from aether.base.version import VERSION
from aether.results import svg
from aether.results.figures import Plot, drawn
from aether.results.page import MODELLED, plots, table, whole
from aether.results.words import sentence

COLOURS = {"holds": svg.GREEN, "holds if": svg.ORANGE, "does not hold": svg.VERMILION, "not testable": svg.GREY}
PER_ROW = 16  # squares of the strip
Told = Mapping[str, Any]


def render(told: Told) -> str:
    """The claims as one HTML page: inline style and figures, no script, no request; all text is escaped."""
    title = "What was claimed of compute in orbit"
    counted = ", ".join(f"{count} {word}" for word, count in told["counts"].items() if count)
    foot = f"Runs: {'; '.join(told['runs'])}. "
    foot += f"Up to {told['hours']:g} h each, {told['draws']:,} draws of assumptions, {told['fleet_draws']:,} of a fleet's years."
    head = (
        f'<p class="kicker">{len(told["claims"])} claims of three articles of May 2026 · modelled</p><h1>{title}</h1>'
        f'<p class="lead">{escape(counted)}. Every verdict follows from the figures beside it by the criterion under it.</p>'
    )
    sections = [
        ("glance", "At a glance", plots([strip(told), ratio(told)])),
        *((c["id"], escape(f"{c['id']}: {c['verdict']}"), _section(c)) for c in told["claims"]),
    ]
    return whole(title, head, sections, f"{escape(foot)} Aether {escape(VERSION)}. {MODELLED}")


def _section(one: Told) -> str:
    rows = [(m["what"], m["said"], m["range"] or "", m["scenario"]) for m in one["measured"]]
    shown = table(("measured", "value", "range", "scenario"), rows, (1, 2)) if rows else ""
    takes = "".join(f"<li>{escape(c)}</li>" for c in one["conditions"])
    live = f"<p>The live fabric will measure: {escape(one['live'])}.</p>" if one["live"] else ""
    return (
        f"<p><em>{escape(sentence(one['claim']))}</em> "
        f"({escape(', '.join(one['articles']))}). {escape(one['words'])}</p>"
        f"{f'<ul>{takes}</ul>' if takes else ''}{shown}<p>Criterion: {escape(one['criterion'])}.</p>{live}"
    )


def strip(told: Told) -> Plot:
    """One square for each claim, coloured by its verdict."""
    claims = told["claims"]

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for word, colour in COLOURS.items():
            at = [i for i, c in enumerate(claims) if c["verdict"] == word]
            if at:
                axes.scatter(
                    [i % PER_ROW for i in at],
                    [i // PER_ROW for i in at],
                    s=330,
                    marker="s",
                    color=colour,
                    label=word,
                    linewidth=0,
                )
        for i, one in enumerate(claims):
            axes.annotate(one["id"], (i % PER_ROW, i // PER_ROW), ha="center", va="center", fontsize=7, color="white")
        rows = (len(claims) - 1) // PER_ROW
        axes.set(xlim=(-0.7, PER_ROW - 0.3), ylim=(rows + 0.7, -0.7), xticks=[], yticks=[])
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        handles, labels = axes.get_legend_handles_labels()
        axes.legend(
            handles, labels, loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=4, markerscale=0.4, handlelength=1.0
        )

    counted = ", ".join(f"{count} {word}" for word, count in told["counts"].items())
    return drawn("strip", "Verdicts by claim", f"Verdicts: {counted} (modelled).", (5.2, 1.6), paint)


def ratio(told: Told) -> Plot | None:
    """Cost in orbit over cost on the ground, now and after the years looked ahead, with nine of ten draws."""
    found = {m["key"]: m for c in told["claims"] if c["id"] == "C9" for m in c["measured"]}
    if not found:
        return None
    rows = [(words, found[key]) for words, key in (("now", "ratio"), ("later", "later"))]

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for i, (_, m) in enumerate(rows):
            axes.barh(i, m["high"] - m["low"], left=m["low"], height=0.5, color=svg.SKY)
            axes.plot([m["value"], m["value"]], [i - 0.25, i + 0.25], color=svg.BLUE)
        axes.axvline(1.0, color=svg.INK, linestyle="--", linewidth=1.0)
        axes.set_yticks(range(len(rows)), [words for words, _ in rows])
        svg.logarithmic(axes)
        axes.set(ylim=(len(rows) - 0.5, -0.5), xlabel="cost in orbit over cost on the ground")
        axes.grid(visible=False, axis="y")

    words = " and ".join(f"{m['said']} ({m['range']}) {word}" for word, m in rows)
    return drawn(
        "ratio",
        "Cost in orbit over the ground",
        f"A GPU-hour in orbit costs {words} times one on the ground (modelled).",
        (5.2, 1.6),
        paint,
    )
