"""The claims in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.markup import escape

from aether.results.console import show, table
from aether.results.words import sentence

COLOURS = {"holds": "green", "holds if": "yellow", "does not hold": "red", "not testable": "dim"}


def claims(told: Mapping[str, Any], page: Path | None = None) -> None:
    """Each claim with its verdict and what was measured, in words; what it takes under it."""
    rows = table("", "claim", "verdict", "measured")
    for one in told["claims"]:
        measured = [one["words"], *(f"- {c}" for c in one["conditions"])]
        if one["live"]:
            measured.append(f"The live fabric will measure: {one['live']}.")
        verdict = f"[{COLOURS[one['verdict']]}]{one['verdict']}[/]"
        rows.add_row(
            one["id"], verdict, escape(f"{sentence(one['claim'])}.") + "\n" + escape("\n".join(measured)) + "\n"
        )
    counted = ", ".join(f"{count} {word}" for word, count in told["counts"].items() if count)
    show(rows, f"{len(told['claims'])} claims: {counted} (modelled). Criteria, ranges and scenarios: --html or --json.")
    if page is not None:
        show(escape(str(page)))
