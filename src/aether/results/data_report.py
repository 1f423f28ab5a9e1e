"""The page's section on data: streams and how soon they are insight, tuning and how fresh it keeps a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from aether.base.units import fmt
from aether.results import svg
from aether.results.figures import Day, Plot, binned, drawn
from aether.results.page import plots, table
from aether.results.words import many, percent

MOST_SHOWN = 6  # streams and tuners with figures of their own


def data(day: Day, told: Mapping[str, Any]) -> str:
    """Streams of data and tuning of served models; empty without either."""
    row = told.get("work") or {}
    streams, tuners = row.get("streams") or [], row.get("tuning") or []
    html = ""
    if streams:
        shown = streams[:MOST_SHOWN]
        html += plots([_flow(day, s, streams) for s in shown] + [_insight(shown)]) + _streams(streams)
    if tuners:
        html += "<h3>Tuning</h3>" + plots([_fresh(t, n) for n, t in enumerate(tuners[:MOST_SHOWN])]) + _tuners(tuners)
    return html


def _time(seconds: float | None) -> str:
    return "–" if seconds is None else fmt(seconds, "s")


def _streams(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = ("stream", "worked on in", "sources", "made", "insight", "lost", "waiting", "late", "insight p50", "p95", "sent down", "saved",
               "raw: p50", "p95", "lost")  # fmt: skip
    cells = []
    for s in rows:
        raw = s.get("raw") or {}
        bits = (fmt(s[k], "bit") for k in ("made_bit", "insight_bit", "lost_bit", "waiting_bit"))
        cells.append((s["name"], s["process"], f"{s['sources']:,}", *bits, percent(s["late_share"]), _time(s["insight_p50_s"]),
                      _time(s["insight_p95_s"]), fmt(s["down_bit"], "bit"), percent(s["downlink_saved"]), _time(raw.get("insight_p50_s")),
                      _time(raw.get("insight_p95_s")), fmt(raw["lost_bit"], "bit") if raw else "–"))  # fmt: skip
    words = "<p>Raw: had all pictures gone down by the satellites' own radio as stations come into view (modelled in the same run).</p>"
    return table(columns, cells, range(2, len(columns))) + (words if any(s.get("raw") for s in rows) else "")


def _tuners(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = ("tuner", "service", "method", "GPUs", "a version", "sent to hosts", "versions", "samples", "learnt", "fresh p50", "p95", "p99",
               "real time")  # fmt: skip
    cells = [
        (t["name"], f"{t['service']} ({t['model']})", t["method"], f"{t['gpus']:,.0f}", fmt(t["version_bytes"], "byte"), f"{t['replica_hosts']:,}",
         f"{t['versions']:,}", many(t["samples"]), many(t["learnt"]), *(_time(t[f"fresh_p{p}_s"]) for p in (50, 95, 99)), percent(t["fresh_share"]))
        for t in rows
    ]  # fmt: skip
    judged = "; ".join(
        f"{escape(t['name'])}: {percent(t['fresh_share'])} of the feedback was served everywhere within {_time(t['fresh_limit_s'])}" for t in rows
    )  # fmt: skip
    words = (
        f"<p>Fresh: from feedback to the version that learnt from it serving on every host (modelled). {judged}.</p>"
    )
    return table(columns, cells, range(3, len(columns))) + words


def _flow(day: Day, row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Plot | None:
    """What a stream makes and what becomes insight through time; None where nothing ever changes."""
    first = sum(s["sources"] for s in rows[: rows.index(row)])
    mine = slice(first, first + row["sources"])
    made, insight, waiting = (
        day.of("streams", k)[:, mine].sum(axis=1) for k in ("made_bit", "insight_bit", "waiting_bit")
    )
    if not waiting.any() and np.ptp(made) <= 0.01 * made.max(initial=0.0) and np.allclose(made, insight, rtol=0.01):
        return None

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        time = day.axis(axes)
        axes.plot(time, binned(made) / day.step_s / 1e6, color=svg.MUTED, linestyle="--", linewidth=1.0, label="made")
        axes.plot(time, binned(insight) / day.step_s / 1e6, color=svg.BLUE, label="made insight")
        axes.set(ylabel="Mbit/s")
        axes.set_ylim(bottom=0.0)
        if waiting.any():
            beside = axes.twinx()
            beside.fill_between(
                time, binned(waiting) / 8e9, color=svg.ORANGE, alpha=0.35, linewidth=0, label="waiting, right"
            )
            beside.set(ylabel="waiting [GB]")
            beside.set_ylim(bottom=0.0)
            beside.grid(visible=False)
        svg.legend(axes)

    caption = (
        f"{row['name']}: {fmt(row['made_bit'], 'bit')} made by {row['sources']:,} sources, {fmt(row['insight_bit'], 'bit')} became insight, "
        f"{fmt(row['lost_bit'], 'bit')} were lost (modelled)."
    )
    return drawn(f"stream{rows.index(row)}", "Data made and made insight through time", caption, (5.0, 2.6), paint)


def _insight(rows: Sequence[Mapping[str, Any]]) -> Plot | None:
    """Time to insight of every stream, beside its raw downlink."""
    bars = []
    for s in rows:
        bars.append((s["name"], s["insight_p50_s"], s["insight_p95_s"], svg.BLUE))
        if s.get("raw"):
            bars.append((f"{s['name']}, raw", s["raw"]["insight_p50_s"], s["raw"]["insight_p95_s"], svg.MUTED))
    bars = [b for b in bars if b[1] is not None and b[2] is not None]
    if not bars:
        return None

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for i, (_, mid, high, colour) in enumerate(bars):
            axes.plot([mid, high], [i, i], color=colour, linewidth=3.0)
            axes.plot([mid], [i], color=colour, marker="o")
        svg.logarithmic(axes)
        axes.set(xlabel="time to insight [s], p50 to p95", yticks=range(len(bars)))
        axes.set(yticklabels=[b[0] for b in bars], ylim=(len(bars) - 0.5, -0.5))
        axes.grid(visible=False, axis="y")
        low, high = min(b[1] for b in bars), max(b[2] for b in bars)
        axes.set_xlim(10 ** np.floor(np.log10(max(low, 1e-3))), 10 ** np.ceil(np.log10(max(high, 2 * low, 1e-2))))

    caption = "From measuring to the result on the ground: the dot is the median, the line reaches the 95th percentile (modelled)."
    return drawn("insight", "Time to insight of each stream", caption, (5.0, 0.9 + 0.34 * len(bars)), paint)


def _fresh(row: Mapping[str, Any], number: int) -> Plot | None:
    """How old feedback is when it serves."""
    points = [row[f"fresh_p{p}_s"] for p in (50, 95, 99)]
    if None in points:
        return None

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.barh(range(3), points, color=svg.BLUE, height=0.6)
        axes.axvline(row["fresh_limit_s"], color=svg.VERMILION, linestyle="--", linewidth=1.0)
        axes.set(
            yticks=range(3),
            yticklabels=["p50", "p95", "p99"],
            ylim=(2.5, -0.5),
            xlabel="feedback to serving everywhere [s]",
        )
        axes.grid(visible=False, axis="y")

    caption = (
        f"{row['name']}: {row['versions']:,} versions of {fmt(row['version_bytes'], 'byte')} on {row['replica_hosts']:,} hosts; "
        f"{percent(row['fresh_share'])} of the feedback within {_time(row['fresh_limit_s'])}, the dashed line (modelled)."
    )
    return drawn(f"fresh{number}", "Age of feedback when it serves", caption, (5.0, 1.9), paint)
