"""A run as people ask for it: the engine, its ablation, its report, its manifest."""

from __future__ import annotations

import json
import platform
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from aether.base.processes import drop
from aether.base.version import VERSION
from aether.engine.assemble import Setup, assemble
from aether.engine.run import Outcome, Progress
from aether.engine.run import run as run_engine
from aether.results import results
from aether.results.report import Called, call_up, render
from aether.results.results import Results
from aether.results.sinks import Files, Sink, Stored
from aether.scenario import load as loading
from aether.scenario.load import Scenario
from aether.study.ablation import Ablation
from aether.study.events import Differences
from aether.study.watch import saved as saved_by
from aether.study.watch import watched

LIBRARIES = ("numpy", "numba", "pydantic", "sgp4", "pyarrow", "pymsis")


def load(
    name: str | Path | Mapping[str, Any],
    overrides: Mapping[str, Any] | None = None,
    catalog: Path | None = None,
    seed: int | None = None,
) -> Scenario:
    """The Scenario of a file, a packaged name or a mapping; InputError with every problem."""
    return loading.load(name, overrides, catalog, seed)


def run(
    scenario: str | Path | Mapping[str, Any] = "project-aether",
    set: Mapping[str, Any] | None = None,
    *,
    seed: int | None = None,
    catalog: str | Path | None = None,
    threads: int = 2,
    report: bool = False,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Results:
    """Simulate a scenario: `aether.run("ai1-ring", set={"ships.0.radiator.area": "90 m2"})`.

    scenario: a file, a packaged name or a mapping. set: dotted path -> value. catalog: a folder of parts. threads: the
    tables are the same for any number. report: make the HTML page. out: write there as the run goes, which bounds memory.
    Returns Results with summary, tables (Arrow) and manifest. Raises InputError with everything wrong with the input.
    """
    loaded = load(scenario, set, None if catalog is None else Path(catalog), seed)
    return (
        simulate(loaded, progress, threads, report)
        if out is None
        else saved(loaded, Path(out), progress, threads, report)
    )


def saved(
    scenario: Scenario, folder: Path, progress: Progress | None = None, threads: int = 2, report: bool = True,
    called: Called | None = None,
) -> Results:  # fmt: skip
    """Results of a scenario in a folder, whole or not at all; tables are written as they are made, so memory does not grow.

    called: from `report.call_up`, where it has been done before.
    """
    if called is None and report and scenario.spec.outputs.report:
        called = call_up(threads)
    try:
        with results.drafting(folder) as part:
            made = simulate(scenario, progress, threads, report, Files(part))
            results.write(made, part)
        deque(called or (), maxlen=0)
    finally:
        drop(called)
    return replace(made, tables=Stored(folder))


def simulate(
    scenario: Scenario,
    progress: Progress | None = None,
    threads: int = 2,
    report: bool = True,
    sink: Sink | None = None,
) -> Results:
    """Results of a scenario, with its ablation where the scenario asks for one; sink: where its tables go."""
    paged = report and scenario.spec.outputs.report
    setup = assemble(scenario)
    setup, seen = (setup, None) if scenario.spec.watch is None else watched(setup, progress)
    table = Ablation(setup, threads) if scenario.spec.outputs.ablation else None
    try:
        events = Differences(setup) if setup.happenings.asked else None
        outcome = _run_beside(setup, table, progress, threads, sink, events)
        told = outcome.summary | {"ablation": table.rows(progress) if table is not None else []}
        told |= {} if seen is None else {"watch": saved_by(seen, outcome)}
        told |= {} if events is None else {"events": events.rows()}
    finally:
        if table is not None:
            table.stop()
    made = Results(told, outcome.tables, manifest(outcome))
    return replace(made, report=render(made, threads)) if paged else made


def _run_beside(
    setup: Setup,
    table: Ablation | None,
    progress: Progress | None,
    threads: int,
    sink: Sink | None,
    events: Differences | None,
) -> Outcome:
    """The run, and the ablation beside it once the first tick is through: all kernels that it needs are then compiled."""

    def advance(label: str, done: float, of: float, clock: str) -> None:
        if table is not None:
            table.start()
        if progress is not None:
            progress(label, done, of, clock)

    beside = None if events is None else events.add
    return run_engine(
        setup, advance, threads if table is None else 1, sink, beside
    )  # the ablation takes the other threads


def compare(before: Results, after: Results) -> dict[str, tuple[Any, Any]]:
    """The values of two runs' summaries that differ: dotted path -> (before, after)."""
    return results.diff(before.summary, after.summary)


def manifest(outcome: Outcome) -> dict[str, Any]:
    """What is needed to run again and to check: scenario, seed, versions, sources."""
    scenario = outcome.setup.scenario
    return {
        "aether": VERSION, "scenario_file": Path(scenario.file).name, "scenario": json.loads(json.dumps(scenario.data, default=str)),
        "seed": scenario.spec.seed, "python": platform.python_version(), "platform": f"{sys.platform} {platform.machine()}",
        "versions": {name: metadata.version(name) for name in LIBRARIES}, "assumptions": assumptions(outcome),
    }  # fmt: skip


def assumptions(outcome: Outcome) -> list[dict[str, Any]]:
    """Every sourced number that the run relied upon."""
    scenario, catalog = outcome.setup.scenario, outcome.setup.scenario.catalog
    parts: list[Any] = [catalog.terminal(scenario.spec.relays.terminal)]
    parts += [catalog.mesh(s.mesh) for s in scenario.spec.relays.shells if s.mesh]
    for group in scenario.spec.ships:
        ship = scenario.ship(group)
        parts += [ship, catalog.accelerator(ship.accelerator), catalog.array(ship.array), catalog.battery(ship.battery),
                  catalog.radiator(ship.radiator), catalog.terminal(ship.terminal), catalog.launcher(ship.launcher)]  # fmt: skip
    parts += [catalog.site(s.site) for s in scenario.spec.sites] + [
        catalog.accelerator(a) for a in set(outcome.setup.hosts.accelerator)
    ]
    parts += [catalog.grid(c) for c in sorted(set(outcome.setup.hosts.country[outcome.setup.hosts.ships :]))]
    parts += [s.model for s in outcome.setup.work.services] + [r.model for r in outcome.setup.work.runs]
    found = {a.name: a for part in parts for a in part.assumptions()}
    found |= {name: scenario.assume(name) for name in catalog.kind("assumptions")}
    return [
        {k: getattr(a, k) for k in ("name", "value", "unit", "low", "high", "confidence", "source", "date", "note")}
        for a in found.values()
    ]
