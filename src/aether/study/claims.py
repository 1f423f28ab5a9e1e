"""`aether claims`: what was claimed of compute in orbit, put to the test by the twin, with a verdict that follows from the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from importlib import resources
from typing import Any

from aether.base.errors import InputError, unknown
from aether.base.version import VERSION
from aether.engine.run import Progress
from aether.results.words import said
from aether.scenario import document
from aether.study import claims_data, claims_design, claims_fleet, claims_money, claims_service
from aether.study.claims_evidence import RUNS, Settings, gather
from aether.study.claims_finding import TRIALS, VERDICTS, Finding

MODULES = (
    claims_data,
    claims_design,
    claims_fleet,
    claims_money,
    claims_service,
)  # register their tests as they are imported


@cache
def known() -> dict[str, dict[str, Any]]:
    """The claims by id, in order: says, articles, and live where the live fabric will measure more."""
    file = resources.files("aether.study") / "claims.yaml"
    with resources.as_file(file) as path:
        found: dict[str, dict[str, Any]] = document.read(path).data["claims"]
    return found


def claims(only: Sequence[str] = (), asked: Settings | None = None, progress: Progress | None = None) -> dict[str, Any]:
    """What `aether claims --json` prints: each claim with its figures, verdict, criterion and what it takes.

    only: ids, all where empty; asked: how thoroughly. Runs the twin for what the claims asked for need, and
    nothing else; the same seed gives the same. Raises InputError for an id that is not there, all at once.
    """
    asked = asked or Settings()
    wrong = [unknown("--only", "claim", name, known()) for name in only if name not in known()]
    if wrong:
        raise InputError(wrong)
    wanted = [name for name in known() if not only or name in only]
    needs = {need for name in wanted for need in TRIALS[name].needs}
    found = gather(needs, asked, progress)
    rows = [row(name, judge(name, found)) for name in wanted]
    counts = {word: sum(1 for r in rows if r["verdict"] == word) for word in VERDICTS}
    return {
        "version": VERSION, "hours": asked.hours, "draws": asked.draws, "fleet_draws": asked.fleet_draws, "counts": counts, "claims": rows,
        "runs": [run.words for run in RUNS if needs & set(run.gives)],
    }  # fmt: skip


def judge(name: str, found: Mapping[str, Any]) -> Finding:
    """The finding on one claim from evidence by name."""
    trial = TRIALS[name]
    return trial.function(*(found[need] for need in trial.needs))


def row(name: str, made: Finding) -> dict[str, Any]:
    """One claim as it is told."""
    told = known()[name]
    measured = [
        asdict(m) | {"said": said(m.value, m.unit), "range": _range(m.low, m.high, m.unit)} for m in made.measured
    ]
    return {
        "id": name, "claim": told["says"], "articles": list(told["articles"]), "verdict": made.verdict, "words": made.words, "criterion": made.criterion,
        "conditions": list(made.conditions), "measured": measured, "scenarios": list(dict.fromkeys(m.scenario for m in made.measured)),
        "live": told.get("live"),
    }  # fmt: skip


def _range(low: float | None, high: float | None, unit: str) -> str | None:
    if low is None and high is None:
        return None
    return (
        f"{said(low, unit)} to {said(high, unit)}"
        if low is not None and high is not None
        else f"from {said(low, unit)}"
        if high is None
        else f"to {said(high, unit)}"
    )
