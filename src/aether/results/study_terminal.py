"""What `aether study`, `aether compare` and `aether optimise` print for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.markup import escape

from aether.results.console import show, table
from aether.results.words import money, percent

MOVERS = 5  # inputs shown for each output; all are in the JSON


def study(told: Mapping[str, Any]) -> None:
    """How outputs are spread and what moves them."""
    runs = f"{told['points']:,} points, {told['runs']:,} runs of the twin, {told['method']}"
    show(f"[bold]{escape(told['title'] or told['study'])}[/bold]: {runs}", "")
    keys = ("nominal", "p5", "p50", "p95", "mean")
    for path in told["outputs"]:
        shown = table(f"{escape(path)} (modelled)", "scenario", *keys, right=range(1, 6))
        for name, rows in told["scenarios"].items():
            shown.add_row(escape(name), *(money(rows[path].get(k)) for k in keys))
        show(shown)
        _movers(next(iter(told["scenarios"].values()))[path])
    if told["failures"]:
        show(f"{told['failures']:,} points could not be run; the first: {escape(told['failed'][0]['problem'])}")
    show(f"Written to {told['folder']}: study.html, study.json, points.parquet")


def _movers(row: Mapping[str, Any]) -> None:
    """What moves an output, strongest first; nothing where nothing does."""
    ranks, shares = row.get("rank_correlations", {}), row.get("sobol", {})
    order = sorted(ranks, key=lambda n: -((shares[n]["total"] or shares[n]["first"]) if n in shares else abs(ranks[n])))
    moving = [n for n in order[:MOVERS] if ranks[n]]
    if moving:
        shown = table("", "moved by", "rank correlation", "share alone", "in all", right=range(1, 4))
        for name in moving:
            alone, whole = (percent(shares.get(name, {}).get(k), 0) for k in ("first", "total"))
            shown.add_row(escape(name), f"{ranks[name]:+.2f}", alone, whole)
        show(shown, "")
