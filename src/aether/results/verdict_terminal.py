"""The verdict in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.markup import escape

from aether.base.units import fmt
from aether.results.console import show, table
from aether.results.verdict_report import FIGURES, SIDES, band
from aether.results.words import money, percent


def verdict(told: Mapping[str, Any], folder: Path | None = None) -> None:
    """What orbit costs beside the ground, what decides it, what would have to be true."""
    ratio = told["ratio"]
    show(
        f"{escape(told['scenario'])}: a GPU-hour in orbit costs {money(ratio['p50'])} times one on the ground "
        f"({money(ratio['p05'])} to {money(ratio['p95'])}); "
        f"cheaper in {percent(told['orbit_is_cheaper'])} of {told['draws']:,} draws (modelled)"
    )
    sides = table("\nUSD, median (nine of ten draws)", "of a", *SIDES, right=(1, 2, 3))
    for key, words in FIGURES.items():
        if key in told["sides"]["orbit"] or key in told["sides"]["ground"]:
            sides.add_row(words, *(band(told["sides"][k].get(key)) for k in SIDES))
    moves = table("\nWhat decides it: share of the spread", "assumption", "alone", "with all", right=(1, 2))
    for row in told["indices"]["rows"][:8]:
        moves.add_row(row["name"], percent(max(row["first"], 0.0)), percent(row["total"]))
    steps = table("\nWhat would have to be true", "assumption", "from", "to", "ratio", right=(1, 2, 3))
    for step in told["ladder"]["steps"]:
        steps.add_row(
            step["name"], fmt(step["from"], step["unit"]), fmt(step["to"], step["unit"]), f"{step['ratio']:.2f}"
        )
    models = table("\nPublished models", "model", "its own ratio", "inside our boundary", right=(1, 2))
    for p in told["presets"]:
        models.add_row(p["name"], "–" if p["own_ratio"] is None else f"{p['own_ratio']:.2f}", f"{p['ratio']:.2f}")
    show(sides, moves, steps, told["ladder"]["words"], models)
    if folder is not None:
        show(f"\n{escape(str(folder / 'report.html'))}")
