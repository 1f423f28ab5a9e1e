"""What `aether study`, `aether compare` and `aether optimise` print for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.markup import escape

from aether.base.units import fmt
from aether.results.console import show, table
from aether.results.words import money, percent

MOVERS = 5  # inputs shown for each output; all are in the JSON
ROWS = 24  # of what differs; all are in the JSON
LEAST_USD = 5e-5  # of a term that is shown


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


def compare(told: Mapping[str, Any]) -> None:
    """Runs side by side: inputs, compute, cost term by term, and what moved most."""
    heads = [f"{i}: {escape(r['from'])}" for i, r in enumerate(told["runs"], 1)]
    if not told["inputs"] and not told["assumptions"] and not told["outputs"]:
        show("No difference.")
        return
    show(*heads, *(f"Note: {escape(n)}." for n in told["notes"]), "")
    numbers = [str(i) for i in range(1, len(heads) + 1)]
    right = range(1, len(heads) + 1)
    for title, rows, key in (
        ("Inputs that differ", told["inputs"], "path"),
        ("Assumptions that differ", told["assumptions"], "name"),
    ):
        if rows:
            show(f"[bold]{title}[/bold]")
            shown = table("", key, *numbers, right=right)
            for row in rows[:ROWS]:
                unit = row.get("unit", "")
                shown.add_row(escape(row[key]), *(_value(v, unit) for v in row["values"]))
            show(shown, *_more(rows), "")
    show("[bold]Compute that each stage takes, of installed (modelled)[/bold]")
    shown = table("", "stage", *numbers, *(f"{n} less 1" for n in numbers[1:]), right=range(1, 2 * len(heads)))
    for row in told["waterfall"]:
        if any(row["lost_share"]):
            shown.add_row(
                row["stage"],
                *(percent(v) for v in row["lost_share"]),
                *("–" if v is None else f"{100 * v:+.1f} %" for v in row["more"][1:]),
            )
    show(shown, "")
    for side, words in (("orbit", "in orbit"), ("ground", "on the ground")):
        _costs(told["cost"][side], words, numbers)
    _outputs(told, numbers)


def _costs(row: Mapping[str, Any] | None, words: str, numbers: list[str]) -> None:
    if row is None or len(set(row["usd_per_gpu_hour"])) == 1:
        return
    figures = ", ".join(f"{money(v)}" for v in row["usd_per_gpu_hour"])
    show(f"[bold]USD per deliverable GPU-hour {words}: {figures}[/bold]", "The difference to 1 is made of")
    shown = table("", "term", *numbers[1:], right=range(1, len(numbers)))
    names = [t["term"] for t in row["explained"][0]["terms"]]
    by_name = [{t["term"]: t["usd_per_gpu_hour"] for t in e["terms"]} for e in row["explained"]]
    for name in names:
        values = [b[name] for b in by_name]
        if any(abs(v) >= LEAST_USD for v in values):
            shown.add_row(name, *(f"{v:+.4f}" for v in values))
    shown.add_row("in all", *(f"{e['difference']:+.4f}" for e in row["explained"]))
    show(shown, "")


def _outputs(told: Mapping[str, Any], numbers: list[str]) -> None:
    rows = [r for r in told["outputs"] if r["change"] is not None]
    show("[bold]What moved most (modelled)[/bold]")
    shown = table("", "output", *numbers, "change", right=range(1, len(numbers) + 2))
    for row in rows[:ROWS]:
        shown.add_row(escape(row["path"]), *(_value(v, "") for v in row["values"]), f"{100 * row['change']:+.1f} %")
    show(shown, *_more(rows), "change: the farthest from 1, of the larger of the two")


def _more(rows: Any) -> list[str]:
    return [f"{len(rows) - ROWS} more are in the JSON."] if len(rows) > ROWS else []


def _value(value: Any, unit: str) -> str:
    if value is None:
        return "–"
    if isinstance(value, float | int) and not isinstance(value, bool):
        return fmt(value, unit) if unit else f"{value:,.6g}"
    return escape(str(value))


def designs(told: Mapping[str, Any]) -> None:
    """A front of designs, and the compromise beside the scenario's own."""
    names = [o["name"] for o in told["objectives"]]
    show(
        f"[bold]{escape(told['title'] or told['scenario'])}[/bold]: {told['evaluations']} designs run, {told['feasible']} fall short of nothing",
        "",
    )
    own, best = told["own"], told["chosen"]
    shown = table("The compromise (modelled)", "", "the scenario's own", "compromise", right=(1, 2))
    for one in told["objectives"]:
        shown.add_row(f"{one['name']}, {one['unit']}", *(money(d["objectives"][one["name"]]) for d in (own, best)))
    for name in best["told"]:
        shown.add_row(escape(name), escape(own["told"][name]), escape(best["told"][name]))
    shown.add_row("short of, over what is there", *(f"{d['short']:.3g}" for d in (own, best)))
    show(shown, "")
    show(f"[bold]The front: {len(told['front'])} designs that none beats in every way (modelled)[/bold]")
    shown = table("", "design", *names, "short", right=range(2 + len(names)))
    for row in told["front"][:ROWS]:
        shown.add_row(str(row["number"]), *(money(row["objectives"][n]) for n in names), f"{row['short']:.3g}")
    show(shown, *_more(told["front"]))
    for row in best["shortfalls"]:
        show(f"The compromise falls short: {escape(row['words'])}")
    show(f"Written to {told['folder']}: optimise.html, optimise.json, designs.parquet")
