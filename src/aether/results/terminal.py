"""What the command prints for people."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from aether.base.provenance import Assumption
from aether.base.units import fmt
from aether.results.console import show, table
from aether.results.run_terminal import summary
from aether.results.words import span
from aether.scenario.catalog import Catalog, Mesh, Part

__all__ = ["assumptions", "bench", "cases", "models", "names", "part", "progress", "summary"]


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


def cases(outcome: Mapping[str, Any]) -> None:
    """Published results beside ours."""
    shown = table("Published results", "case", "published", "computed", "error", "status", right=(1, 2, 3))
    for i, column in enumerate(shown.columns):
        column.no_wrap = i > 0  # on a narrow terminal names fold before numbers do
    colours = {"pass": "green", "miss": "red", "expected-mismatch": "yellow", "shown": "cyan"}
    for row in outcome["cases"]:
        status = "shown" if row["kind"] == "report" and row["tolerance"] is None else row["status"]
        unit = "" if row["unit"] == "1" else f" {row['unit']}"
        colour = colours[status]
        shown.add_row(
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
    show(
        shown, "Errors are relative, or in the unit of a tolerance that has one; --json has the tolerances.", "", summed
    )


def models(rows: Sequence[Mapping[str, Any]]) -> None:
    """Registered models with inputs, units and outputs."""
    shown = table("Models (an input with ? may be left out)", "name", "inputs", "outputs")
    for row in rows:
        ins = ", ".join(f"{k}{'?' if k in row['optional'] else ''} [{v or 'text'}]" for k, v in row["inputs"].items())
        outs = ", ".join(f"{k} [{v}]" for k, v in row["outputs"].items())
        shown.add_row(row["name"], ins.replace("[", "\\["), outs.replace("[", "\\["))
    show(shown)


def _range(a: Assumption) -> str:
    if a.low is None and a.high is None:
        return ""
    return span(*a.range, a.unit)


def assumptions(found: Sequence[Assumption]) -> None:
    """Values with range and source."""
    shown = table("", "assumption", "value", "range", "confidence", "source", right=(1,))
    for a in found:
        source = f"{a.source}{f' ({a.date})' if a.date else ''}{f'. {a.note}' if a.note else ''}"
        shown.add_row(a.name, fmt(a.value, a.unit), _range(a), a.confidence, source.replace("[", "\\["))
    show(shown)


def names(catalog: Catalog, listed: Mapping[str, Sequence[str]], kind: str | None) -> None:
    """Names of parts, titles beside them when one kind is asked for."""
    if kind is None:
        shown = table("", "kind", "parts", "")
        for key, items in listed.items():
            few = ", ".join(items[:6]) + (", ..." if len(items) > 6 else "")
            shown.add_row(key, str(len(items)), few)
    else:
        shown = table("", "name", "")
        for name in listed[kind]:
            shown.add_row(name, catalog.kind(kind)[name].title)
    show(shown)


def part(shown: Part, budget: Mapping[str, Any] | None) -> None:
    """A part's numbers, and a ship's budget."""
    show(f"[bold]{shown.title or shown.name}[/bold]", *([shown.note] if shown.note else []))
    dated = f" ({shown.date})" if shown.date else ""
    show(f"Source unless said otherwise: {shown.source}{dated}; {shown.confidence}".replace("[", "\\["), "")
    found = [replace(a, source="", date="") if a.source == shown.source else a for a in shown.assumptions()]
    if found:
        assumptions(found)
    hidden = {"name", "title", "note", "source", "date", "confidence", "shells"}
    plain = {k: v for k, v in shown if not isinstance(v, Assumption | None) and k not in hidden}
    show("", ", ".join(f"{k.replace('_', ' ')}: {v}" for k, v in plain.items()))
    if isinstance(shown, Mesh):
        _shells(shown)
    if budget:
        rows = table("\nBudget", "", "", "", right=(1,))
        for row in budget["rows"]:
            rows.add_row(row["name"], fmt(row["value"], row["unit"]), row["note"])
        show(rows)


def _shells(mesh: Mesh) -> None:
    shown = table("\nShells", "planes", "per plane", "relays", "altitude", "inclination", "node spread", right=range(6))
    for shell in mesh.shells:
        angles = (f"{math.degrees(v):.4g} deg" for v in (shell.inclination, shell.raan_spread))
        counts = (f"{n:,}" for n in (shell.planes, shell.per_plane, shell.planes * shell.per_plane))
        shown.add_row(*counts, fmt(shell.altitude, "m", 4), *angles)
    show(shown)


def bench(outcome: Mapping[str, Any]) -> None:
    """Timings."""
    shown = table(
        f"Median of {outcome['runs']} runs on {outcome['machine']}",
        "work",
        "size",
        "value",
        "target",
        "unit",
        "beside",
        right=(2, 3),
    )
    for row in outcome["rows"]:
        beside = ", ".join(f"{name} {value:.3g}" for name, value in row["peers"].items())
        target = "" if row.get("target") is None else f"{row['target']:.3g}"
        shown.add_row(row["name"], row["size"], f"{row['value']:.3g}", target, row["unit"], beside)
    show(shown)
    if outcome["missing"]:
        print(
            f"Not beside it, since not installed: {', '.join(outcome['missing'])}. pip install 'aether-fabric[bench]'"
        )


def calibration(outcome: Mapping[str, Any]) -> None:
    """A fit to a server's log, and how far the means of every log are from its replay."""
    title = f"{outcome['model']} on {outcome['gpu']} in {outcome['precision']}"
    shown = table(title, "", "before", "fitted", right=(1, 2))
    for name, value in outcome["fitted"].items():
        unit = "s" if name == "iteration_overhead" else "1"
        shown.add_row(name.replace("_", " "), fmt(value["before"], unit, 4), fmt(value["fitted"], unit, 4))
    show(shown)
    words = {"first_token": "time to first token", "per_token": "time per token", "whole": "end to end"}
    far = table("\nMeans, and how far the replay is from them", "log", "", "mean of", "measured", "before", "fitted",
                right=(3, 4, 5))  # fmt: skip
    for one in outcome["logs"]:
        for i, (key, what) in enumerate(words.items()):
            name = (one["log"], one["role"]) if i == 0 else ("", "")
            far.add_row(*name, what, fmt(one["measured_s"][key], "s", 4),
                        *(f"{one[e][key]:+.1%}" for e in ("error_before", "error_after")))  # fmt: skip
    show(far)
