"""What the command prints for people."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from aether.base.provenance import Assumption
from aether.base.units import fmt
from aether.scenario.catalog import Catalog, Mesh, Part

STAGES = {
    "installed": "installed", "power": "eclipse, array, battery", "heat": "radiator", "radiation": "anomaly, upsets",
    "reach": "network: deliverable",
}  # fmt: skip


@contextmanager
def progress(quiet: bool) -> Iterator[Callable[[str, float, float, str], None]]:
    """A bar on standard error; calls are (label, done, of, what the clock of the simulation shows)."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[clock]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=Console(stderr=True), disable=quiet or not sys.stderr.isatty(), transient=True
    ) as bar:
        tasks: dict[str, Any] = {}

        def advance(label: str, done: float, of: float, clock: str) -> None:
            if label not in tasks:
                tasks[label] = bar.add_task(label, total=of, clock=clock)
            bar.update(tasks[label], completed=done, total=of, clock=clock)

        yield advance


def _print(*items: Any) -> None:
    console = Console()
    for item in items:
        console.print(item, highlight=False)


def _table(title: str, *columns: str, right: Sequence[int] = ()) -> Table:
    table = Table(title=title, title_justify="left", show_edge=False, pad_edge=False, box=None, header_style="bold")
    for i, column in enumerate(columns):
        table.add_column(
            column, justify="right" if i in right else "left", overflow="fold", no_wrap=i == 0 and len(columns) < 6
        )
    return table


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _ms(seconds: float | None) -> str:
    return "none" if seconds is None else f"{1e3 * seconds:.1f} ms"


def summary(told: Mapping[str, Any], folder: Path) -> None:
    """The answer of a run in tables."""
    fleet = told["fleet"]
    _print(
        f"[bold]{told['title'] or told['scenario']}[/bold]",
        f"{fleet['ships']} ships with {fleet['gpus']:,} GPUs, {fleet['relays']:,} relays, {fleet['gateways']} gateways, "
        f"{fleet['cities']} cities; {fmt(told['duration_s'] / 3600, 'h')} from {told['start']} at {fmt(told['step_s'], 's')}",
        "",
    )
    _waterfall(told)
    _probes(told)
    if told.get("ablation"):
        _ablation(told["ablation"])
    coverage = told.get("coverage") or {}
    if coverage:
        _print(f"Coverage: {_percent(coverage['covered_share'])} of the globe's surface and time; {_percent(told['cities']['covered_share'])} "
               f"of the cities' people and time, {_ms(told['cities']['rtt_mean_s'])} mean round trip to the nearest ship that computes")  # fmt: skip
    for item in told["shortfalls"]:
        _print(f"[yellow]Short:[/yellow] {item['words']}")
    _print("", f"Results: {folder}", f"Open {folder / 'report.html'}" if (folder / "report.html").exists() else "")


def _waterfall(told: Mapping[str, Any]) -> None:
    table = _table("Deliverable compute (modelled)", "left after", "GPU-hours", "of installed", "", right=(1, 2))
    for stage, words in STAGES.items():
        row = told["waterfall"][stage]
        bar = "█" * round(24 * row["share"])
        table.add_row(words, f"{row['gpu_hours']:,.0f}", _percent(row["share"]), bar)
    _print(table, "", f"Binding: {told['binding']['words']}", "")


def _probes(told: Mapping[str, Any]) -> None:
    if not told["probes"]:
        return
    table = _table(
        "Round trips (modelled): propagation; delivered adds access, switching and queues",
        "between", "least", "mean", "most", "delivered", "fibre", "hops", "outage", right=range(1, 8),
    )  # fmt: skip
    for row in told["probes"]:
        times = (row[k] for k in ("rtt_min_s", "rtt_mean_s", "rtt_max_s", "delivered_mean_s", "fibre_s"))
        hops = "" if row["hops_mean"] is None else f"{row['hops_mean']:.1f}"
        shown = ["" if t is None else f"{1e3 * t:.1f}" for t in times]
        table.add_row(f"{row['from']} - {row['to']}", *shown, hops, _percent(row["outage_share"]))
    _print(table, "Times in ms.", "")


def _ablation(rows: Sequence[Mapping[str, Any]]) -> None:
    table = _table(
        "Ablation: deliverable compute with one coupling switched off",
        "coupling off",
        "GPU-hours",
        "change",
        right=(1, 2),
    )
    for row in rows:
        table.add_row(row["off"], f"{row['deliverable_gpu_hours']:,.0f}", f"{100 * row['change']:+.2f} %")
    _print(table, "")


def cases(outcome: Mapping[str, Any]) -> None:
    """Published results beside ours."""
    table = _table("Published results", "case", "published", "computed", "error", "status", right=(1, 2, 3))
    for i, column in enumerate(table.columns):
        column.no_wrap = i > 0  # on a narrow terminal names fold before numbers do
    colours = {"pass": "green", "miss": "red", "expected-mismatch": "yellow", "shown": "cyan"}
    for row in outcome["cases"]:
        status = "shown" if row["kind"] == "report" and row["tolerance"] is None else row["status"]
        unit = "" if row["unit"] == "1" else f" {row['unit']}"
        colour = colours[status]
        table.add_row(
            row["id"],
            f"{row['published']:.5g}{unit}",
            f"{row['computed']:.5g}",
            f"{row['error']:.1e}",
            f"[{colour}]{status}[/{colour}]",
        )
    told = outcome["headline"]
    summed = (
        f"{told['pass']} of {told['counted']} reproduced, {told['miss']} missed, {told['expected_mismatch']} contradictions in "
        f"the sources shown; {told['identities']} identities are not counted, nor what is only shown"
    )
    _print(
        table, "Errors are relative, or in the unit of a tolerance that has one; --json has the tolerances.", "", summed
    )


def models(rows: Sequence[Mapping[str, Any]]) -> None:
    """Registered models with inputs, units and outputs."""
    table = _table("Models (an input with ? may be left out)", "name", "inputs", "outputs")
    for row in rows:
        ins = ", ".join(f"{k}{'?' if k in row['optional'] else ''} [{v or 'text'}]" for k, v in row["inputs"].items())
        outs = ", ".join(f"{k} [{v}]" for k, v in row["outputs"].items())
        table.add_row(row["name"], ins.replace("[", "\\["), outs.replace("[", "\\["))
    _print(table)


def _range(a: Assumption) -> str:
    if a.low is None and a.high is None:
        return ""
    low, high = a.range
    return f"{fmt(low, a.unit)} to {fmt(high, a.unit)}"


def assumptions(found: Sequence[Assumption]) -> None:
    """Values with range and source."""
    table = _table("", "assumption", "value", "range", "confidence", "source", right=(1,))
    for a in found:
        source = f"{a.source}{f' ({a.date})' if a.date else ''}{f'. {a.note}' if a.note else ''}"
        table.add_row(a.name, fmt(a.value, a.unit), _range(a), a.confidence, source.replace("[", "\\["))
    _print(table)


def names(catalog: Catalog, listed: Mapping[str, Sequence[str]], kind: str | None) -> None:
    """Names of parts, titles beside them when one kind is asked for."""
    if kind is None:
        table = _table("", "kind", "parts", "")
        for key, items in listed.items():
            shown = ", ".join(items[:6]) + (", ..." if len(items) > 6 else "")
            table.add_row(key, str(len(items)), shown)
    else:
        table = _table("", "name", "")
        for name in listed[kind]:
            table.add_row(name, catalog.kind(kind)[name].title)
    _print(table)


def part(shown: Part, budget: Mapping[str, Any] | None) -> None:
    """A part's numbers, and a ship's budget."""
    _print(f"[bold]{shown.title or shown.name}[/bold]", *([shown.note] if shown.note else []))
    dated = f" ({shown.date})" if shown.date else ""
    _print(f"Source unless said otherwise: {shown.source}{dated}; {shown.confidence}".replace("[", "\\["), "")
    found = [replace(a, source="", date="") if a.source == shown.source else a for a in shown.assumptions()]
    if found:
        assumptions(found)
    hidden = {"name", "title", "note", "source", "date", "confidence", "shells"}
    plain = {k: v for k, v in shown if not isinstance(v, Assumption | None) and k not in hidden}
    _print("", ", ".join(f"{k.replace('_', ' ')}: {v}" for k, v in plain.items()))
    if isinstance(shown, Mesh):
        _shells(shown)
    if budget:
        table = _table("\nBudget", "", "", "", right=(1,))
        for row in budget["rows"]:
            table.add_row(row["name"], fmt(row["value"], row["unit"]), row["note"])
        _print(table)


def _shells(mesh: Mesh) -> None:
    table = _table(
        "\nShells", "planes", "per plane", "relays", "altitude", "inclination", "node spread", right=range(6)
    )
    for shell in mesh.shells:
        angles = (f"{math.degrees(v):.4g} deg" for v in (shell.inclination, shell.raan_spread))
        counts = (f"{n:,}" for n in (shell.planes, shell.per_plane, shell.planes * shell.per_plane))
        table.add_row(*counts, fmt(shell.altitude, "m", 4), *angles)
    _print(table)


def bench(outcome: Mapping[str, Any]) -> None:
    """Timings."""
    table = _table(
        f"Median of {outcome['runs']} runs on {outcome['machine']}",
        "work",
        "size",
        "value",
        "unit",
        "beside",
        right=(2,),
    )
    for row in outcome["rows"]:
        beside = ", ".join(f"{name} {value:.3g}" for name, value in row["peers"].items())
        table.add_row(row["name"], row["size"], f"{row['value']:.3g}", row["unit"], beside)
    _print(table)


def changes(changed: Mapping[str, tuple[Any, Any]]) -> None:
    """What differs between two summaries."""
    table = _table("", "value", "before", "after", right=(1, 2))
    for key, (before, after) in changed.items():
        table.add_row(key, *(f"{v:,.6g}" if isinstance(v, float) else str(v) for v in (before, after)))
    _print(table if changed else "No difference.")
