"""The page of a study: how each output is spread, what moves it, and the points themselves."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from aether.base.tables import Floats
from aether.base.units import fmt
from aether.base.version import VERSION
from aether.results import svg
from aether.results.figures import Plot, drawn
from aether.results.page import MODELLED, none, plots, table, whole
from aether.results.words import money

COLOURS = (svg.BLUE, svg.ORANGE, svg.GREEN, svg.VERMILION, svg.PURPLE, svg.SKY, svg.BROWN)
BARS = 12  # inputs in a figure of what moves an output
DOTS = 2_000  # points of a scatter: more draw one blot
FINE = 60  # bins of a histogram at most


def study(told: Mapping[str, Any], inputs: Mapping[str, Floats], outputs: Floats) -> str:
    """The page. told: what `study.json` holds. inputs: (N,) by name. outputs: (V, N, O), NaN where there is none."""
    title = escape(str(told["title"] or told["study"]))
    of = f"{told['points']:,} points, {told['runs']:,} runs of the twin"
    kicker = f"{escape(told['study'])} · {escape(told['scenario'])} · {told['method']} · {of} · modelled"
    head = f'<p class="kicker">{kicker}</p><h1>{title}</h1><p class="lead">{_lead(told)}</p>'
    sections = [("spread", "How the outputs are spread", _spread(told))]
    for number, path in enumerate(told["outputs"]):
        html = _output(told, path, inputs, outputs[:, :, number], number)
        sections.append((f"output{number}", escape(path), html))
    sections.append(("inputs", "What was varied", _inputs(told)))
    if told["failures"]:
        rows = [(f["point"], f["problem"]) for f in told["failed"]]
        sections.append(
            ("failed", f"{told['failures']:,} points that could not be run", table(("point", "problem"), rows))
        )
    return whole(title, head, sections, f"Aether {VERSION}. {MODELLED}")


def _lead(told: Mapping[str, Any]) -> str:
    (name, first), path = next(iter(told["scenarios"].items())), told["outputs"][0]
    row = first[path]
    if "p50" not in row:
        return "No point could be run."
    words = f"{escape(path)} lies between <strong>{money(row['p5'])}</strong> and <strong>{money(row['p95'])}</strong> in nine cases of ten"
    top = strongest(row, 1)
    return f"{words}; {escape(top[0][0])} moves it most." if top else f"{words} ({escape(name)})."


def strongest(row: Mapping[str, Any], most: int = BARS) -> list[tuple[str, float, float | None]]:
    """(input, its share or rank correlation, with all it acts through) of one output, those that move it most first."""
    if "sobol" in row:
        key = "total" if all(v["total"] is not None for v in row["sobol"].values()) else "first"
        made = [(n, v["first"], v["total"]) for n, v in row["sobol"].items()]
        order = {n: v[key] for n, v in row["sobol"].items()}
    else:
        made = [(n, v, None) for n, v in row.get("rank_correlations", {}).items()]
        order = {n: abs(v) for n, v, _ in made}
    return sorted(made, key=lambda m: -order[m[0]])[:most]


def _spread(told: Mapping[str, Any]) -> str:
    keys = ("nominal", "p5", "p25", "p50", "p75", "p95", "mean", "sd")
    rows = [
        (path, name, *(money(row[path].get(k)) for k in keys))
        for path in told["outputs"]
        for name, row in told["scenarios"].items()
    ]
    return table(("output", "scenario", *keys), rows, range(2, 10))


def _inputs(told: Mapping[str, Any]) -> str:
    rows = []
    for one in told["inputs"]:
        unit = one["unit"] or "1"
        ends = [fmt(one[k], unit) if k in one else "" for k in ("low", "mode", "high")]
        values = ", ".join(fmt(v, unit) if isinstance(v, float) else str(v) for v in one["values"])
        rows.append((one["name"], one["distribution"], *ends, values, "the twin" if one["runs_the_twin"] else "prices"))
    html = table(("variable", "distribution", "low", "mode", "high", "values", "goes into"), rows)
    tied = [(*c["between"], f"{c['rank']:+.2f}") for c in told["correlations"]]
    return html + (table(("goes together", "with", "rank correlation"), tied) if tied else "")


def _output(told: Mapping[str, Any], path: str, inputs: Mapping[str, Floats], values: Floats, number: int) -> str:
    (_, first), names = next(iter(told["scenarios"].items())), list(told["scenarios"])
    fine = values[np.isfinite(values)]
    if not len(fine):
        return none("No point could be run.")
    shown: list[Plot | None] = [_histogram(path, names, values, number)]
    top = strongest(first[path])
    if top and float(fine.max()) > float(fine.min()):
        shown += [_bars(path, top, number), _scatter(path, names, top[0][0], inputs, values, number)]
    return plots(shown)


def _histogram(path: str, names: list[str], values: Floats, number: int) -> Plot:
    fine = values[np.isfinite(values)]
    low, high = float(fine.min()), float(fine.max())
    edges = np.linspace(
        low, high if high > low else low + 1.0, max(8, min(FINE, int(np.sqrt(values.shape[1]))))
    ).tolist()

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for colour, name, row in zip(COLOURS, names, values, strict=False):
            axes.hist(
                row[np.isfinite(row)],
                edges,
                histtype="stepfilled" if len(names) == 1 else "step",
                color=colour,
                label=name,
                alpha=0.9,
            )
        axes.set(xlabel=path, ylabel="points")
        if len(names) > 1:
            svg.legend(axes)

    return drawn(f"spread{number}", "Histogram", f"How {path} is spread over the points (modelled).", (5.2, 2.8), paint)


def _bars(path: str, top: list[tuple[str, float, float | None]], number: int) -> Plot:
    shares = any(t is not None for _, _, t in top)

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        at = np.arange(len(top))[::-1]
        if shares:
            axes.barh(at, [t or 0.0 for _, _, t in top], color=svg.SKY, label="with all it acts through")
        axes.barh(at, [f for _, f, _ in top], height=0.45 if shares else 0.7, color=svg.BLUE, label="alone")
        axes.set_yticks(at, [n for n, _, _ in top])
        axes.set_xlabel(_measure(top))
        axes.grid(axis="y", visible=False)
        if shares:
            svg.legend(axes)

    caption = f"What moves {path}: {_measure(top)}, the strongest first (modelled)."
    return drawn(f"tornado{number}", "Bars", caption, (5.2, 1.0 + 0.26 * len(top)), paint)


def _measure(top: list[tuple[str, float, float | None]]) -> str:
    return "rank correlation" if any(f < -0.05 for _, f, _ in top) else "share of the variance, or rank correlation"


def _scatter(path: str, names: list[str], name: str, inputs: Mapping[str, Floats], values: Floats, number: int) -> Plot:
    x = inputs[name]
    step = max(1, len(x) // DOTS)

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for colour, label, row in zip(COLOURS, names, values, strict=False):
            axes.plot(
                x[::step], row[::step], ".", markersize=2.5, color=colour, label=label, rasterized=True, alpha=0.6
            )
        axes.set(xlabel=name, ylabel=path)
        if len(names) > 1:
            svg.legend(axes)

    caption = f"{path} by {name}, which moves it most; {len(x[::step]):,} of the points (modelled)."
    return drawn(f"scatter{number}", "Scatter", caption, (5.2, 2.8), paint)
