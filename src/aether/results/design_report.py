"""The page of a search for designs: the front, the compromise beside the scenario's own design, and all of the front."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from itertools import combinations
from typing import Any

from matplotlib.figure import Figure

from aether.base.version import VERSION
from aether.results import svg
from aether.results.figures import Plot, drawn
from aether.results.page import MODELLED, none, plots, table, whole
from aether.results.words import money

FAR = 3.0  # times the front's and the scenario's own reach that a figure shows: single bad designs would squeeze all others


def designs(told: Mapping[str, Any]) -> str:
    """The page. told: what `optimise.json` holds."""
    title = escape(f"Designs of {told['title'] or told['scenario']}")
    kicker = f"{escape(told['scenario'])} · {told['evaluations']} designs run, {told['feasible']} without a shortfall · modelled"
    head = f'<p class="kicker">{kicker}</p><h1>{title}</h1><p class="lead">{lead(told)}</p>'
    sections = [
        (
            "front",
            "The front",
            plots([_pair(told, a, b) for a, b in combinations(told["objectives"], 2)])
            or none("One objective has no front."),
        ),
        ("chosen", "The compromise beside the scenario's own design", _beside(told)),
        ("all", "Every design of the front", _all(told)),
        ("made", "How this was made", _made(told)),
    ]
    return whole(title, head, sections, f"Aether {VERSION}. {MODELLED}")


def lead(told: Mapping[str, Any]) -> str:
    """The compromise in words; escaped."""
    own, best = told["own"]["objectives"], told["chosen"]["objectives"]
    words = ", ".join(
        f"{o['name']} {money(best[o['name']])} {o['unit']} (its own {money(own[o['name']])})"
        for o in told["objectives"]
    )
    short = (
        "and falls short of nothing"
        if best and told["chosen"]["short"] <= 0.0
        else "though it still falls short: see below"
    )
    return escape(
        f"Of {len(told['front'])} designs that none beats in every way, the compromise comes to {words}, {short}."
    )


def _pair(told: Mapping[str, Any], a: Mapping[str, Any], b: Mapping[str, Any]) -> Plot:
    """Two objectives of all designs, the front, the compromise and the scenario's own."""
    x, y = a["name"], b["name"]

    def at(rows: Any) -> tuple[list[float], list[float]]:
        return [r["objectives"][x] for r in rows], [r["objectives"][y] for r in rows]

    shown = [*told["front"], told["own"]]
    limits = [FAR * max(abs(r["objectives"][n]) for r in shown) for n in (x, y)]
    near = [r for r in told["tried"] if all(abs(r["objectives"][n]) <= m for n, m in zip((x, y), limits, strict=True))]

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot(*at([r for r in near if r["short"] > 0.0]), "x", color=svg.GREY, markersize=4, label="falls short")
        axes.plot(*at([r for r in near if r["short"] <= 0.0]), "o", color=svg.SKY, markersize=4, label="feasible")
        axes.plot(*at(told["front"]), "o", color=svg.BLUE, markersize=5, label="front")
        axes.plot(*at([told["chosen"]]), "D", color=svg.VERMILION, markersize=8, label="compromise")
        axes.plot(*at([told["own"]]), "s", color=svg.ORANGE, markersize=8, label="the scenario's own")
        axes.set(xlabel=f"{x} [{a['unit']}]", ylabel=f"{y} [{b['unit']}]")
        svg.legend(axes, ncols=3)

    caption = f"{x.capitalize()} and {y} of every design that was run (modelled); a front of more objectives is no line in two of them."
    return drawn(f"front-{x}-{y}", "Scatter", caption, (5.6, 3.6), paint)


def _beside(told: Mapping[str, Any]) -> str:
    own, best = told["own"], told["chosen"]
    rows = [
        (f"{o['name']} [{o['unit']}]", money(own["objectives"][o["name"]]), money(best["objectives"][o["name"]]))
        for o in told["objectives"]
    ]
    rows += [(name, own["told"][name], best["told"][name]) for name in best["told"]]
    rows.append(("shortfalls, over what is there", f"{own['short']:.3g}", f"{best['short']:.3g}"))
    html = table(("", "own", "compromise"), rows, (1, 2))
    for words, design in (("The scenario's own design", own), ("The compromise", best)):
        short = "; ".join(s["words"] for s in design["shortfalls"]) or "falls short of nothing"
        html += f"<p>{escape(words)}: {escape(short)}.</p>"
    return html


def _all(told: Mapping[str, Any]) -> str:
    names = [o["name"] for o in told["objectives"]]
    variables = [v["name"] for v in told["variables"]]
    rows = [
        (
            d["number"],
            *(money(d["objectives"][n]) for n in names),
            f"{d['short']:.3g}",
            *(d["told"][v] for v in variables),
        )
        for d in told["front"]
    ]
    return table(("design", *names, "short", *variables), rows, range(2 + len(names) + len(variables)))


def _made(told: Mapping[str, Any]) -> str:
    words = (
        "Every design is a run of the twin: a day of the ships alone at steps of ten minutes, nothing asked of them. What a design lacks to run "
        "all GPUs at full clocks through that day is a violation of its constraints, by its size over what is there. The search is "
        "NSGA-II (Deb et al. 2002); the compromise is nearest to the best of every objective at once, each over its range in the front."
    )
    rows = [(v["name"], f"{v['low']:.6g}", f"{v['high']:.6g}", v["unit"], v["per"] or "") for v in told["variables"]]
    return f"<p>{words}</p>" + table(("variable", "low", "high", "unit", "grows with"), rows, (1, 2))
