"""Commands that run the twin or plan upon it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from aether.cli.frame import (
    INFEASIBLE,
    CatalogFolder,
    Json,
    ScenarioName,
    Seed,
    Set,
    app,
    overrides,
    progress,
    seconds,
)


@app.command()
def run(
    scenario: ScenarioName = "project-aether",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="where results go; aether-results/NAME when not given")
    ] = None,
    set_: Set = None,
    seed: Seed = None,
    catalog: CatalogFolder = None,
    threads: Annotated[
        int, typer.Option(min=1, max=64, help="threads and processes at work; the tables are the same for any number")
    ] = 2,
    strict: Annotated[bool, typer.Option("--strict", help="exit with 3 when the design is infeasible")] = False,
    no_report: Annotated[bool, typer.Option("--no-report", help="leave report.html out")] = False,
    json_: Json = False,
) -> None:
    """Simulate a scenario and write summary.json, tables, report.html and manifest.json."""
    from aether.results import report, results, terminal
    from aether.scenario.load import load

    loaded = load(scenario, overrides(set_), catalog, seed)
    folder = out or Path("aether-results") / loaded.spec.name
    results.check_folder(folder)
    called = report.call_up(threads) if loaded.spec.outputs.report and not no_report else None

    from aether.study import runs  # the engine loads while those who draw the report do

    with progress(json_) as advance:
        made = runs.saved(loaded, folder, advance, threads, not no_report, called)
    if json_:
        print(results.dumps(made.summary), end="")
    else:
        terminal.summary(made.summary, folder)
    if strict and made.summary["shortfalls"]:
        raise typer.Exit(INFEASIBLE)


@app.command(name="train-plan")
def train_plan(
    scenario: ScenarioName,
    run_: Annotated[
        str | None, typer.Option("--run", metavar="NAME", help="a training workload; the first when not given")
    ] = None,
    set_: Set = None,
    seed: Seed = None,
    catalog: CatalogFolder = None,
    threads: Annotated[
        int, typer.Option(min=1, max=64, help="threads at work; the plan is the same for any number")
    ] = 2,
    json_: Json = False,
) -> None:
    """Plan a training job: run the twin, then find how its ships train soonest, what it costs and what each change gains."""
    from aether.results import results, train_terminal
    from aether.study import runs
    from aether.study import train_plan as plans

    loaded = runs.load(scenario, overrides(set_), catalog, seed)
    with progress(json_) as advance:
        made = plans.plan(loaded, run_, advance, threads)
    print(results.dumps(made), end="") if json_ else train_terminal.plan(made)


@app.command()
def plan(
    scenario: ScenarioName,
    search: Annotated[
        float | None,
        typer.Option(min=0.1, metavar="SECONDS", help="search on for so long, by ruin and repair"),
    ] = None,
    slot: Annotated[str, typer.Option(metavar="TIME", help="length of a slot")] = "15 min",
    set_: Set = None,
    seed: Seed = None,
    catalog: CatalogFolder = None,
    json_: Json = False,
) -> None:
    """Place a scenario's jobs over the capacity that services and training leave: what, where, when, at what price."""
    from aether.results import plan_terminal, results
    from aether.scenario.load import load
    from aether.study import plans

    loaded = load(scenario, overrides(set_), catalog, seed)
    slot_s = seconds("--slot", slot)
    with progress(json_) as advance:
        made = plans.make(loaded, slot_s, search, advance)
    print(results.dumps(made), end="") if json_ else plan_terminal.plan(made)


@app.command("compare-policies")
def compare_policies(
    scenario: ScenarioName,
    policies: Annotated[
        str,
        typer.Option(metavar="A,B", help="names of policies; all that are registered, plug-ins too, when not given"),
    ] = "",
    set_: Set = None,
    seed: Seed = None,
    catalog: CatalogFolder = None,
    json_: Json = False,
) -> None:
    """The same scenario under rival placement policies: served, late, first token, energy, price, carbon, moves."""
    from aether.results import plan_terminal, results
    from aether.scenario.load import load
    from aether.study import policies as rivals

    loaded = load(scenario, overrides(set_), catalog, seed)
    with progress(json_) as advance:
        rows = rivals.compare(loaded, [n.strip() for n in policies.split(",") if n.strip()], advance)
    told = {"scenario": loaded.spec.name, "step_s": rows[0]["step_s"], "policies": rows}
    print(results.dumps(told), end="") if json_ else plan_terminal.policies(told)


@app.command()
def forecast(
    scenario: ScenarioName,
    hours: Annotated[float, typer.Option(metavar="H", help="how far ahead")] = 72.0,
    samples: Annotated[int, typer.Option(metavar="N", help="draws of faults and requests")] = 32,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="the calendar, as .csv or .parquet")] = None,
    set_: Set = None,
    seed: Seed = None,
    catalog: CatalogFolder = None,
    threads: Annotated[
        int, typer.Option(min=1, max=64, help="processes at work; the figures are the same for any number")
    ] = 2,
    json_: Json = False,
) -> None:
    """Eclipses, anomaly passes, contacts and reboosts ahead, and the GPU-hours and tokens that can be promised."""
    from aether.results import plan_terminal, results
    from aether.scenario.load import load
    from aether.study import forecast as ahead

    loaded = load(scenario, overrides(set_), catalog, seed)
    with progress(json_) as advance:
        made = ahead.forecast(loaded, hours, samples, threads, out, advance)
    print(results.dumps(made), end="") if json_ else plan_terminal.forecast(made)


@app.command()
def export(
    format_: Annotated[str, typer.Argument(metavar="FORMAT", help="czml, oem or ns3")],
    scenario: ScenarioName,
    out: Annotated[Path, typer.Option("--out", metavar="PATH", help="a file for czml, a new folder for oem and ns3")],
    set_: Set = None,
    seed: Seed = None,
    catalog: CatalogFolder = None,
    links: Annotated[bool, typer.Option("--links", help="also draw laser links, in czml")] = False,
    json_: Json = False,
) -> None:
    """Write positions (CZML, CCSDS OEM) or forwarding state (Hypatia's ns-3) for other tools."""
    from aether.results import results
    from aether.study import exports, runs

    loaded = runs.load(scenario, overrides(set_), catalog, seed)
    with progress(json_) as advance:
        made = exports.export(loaded, format_, out, advance, links)
    if json_:
        print(results.dumps(asdict(made)), end="")
    else:
        counts = ", ".join(f"{value:,.15g} {name.replace('_', ' ')}" for name, value in made.counts.items())
        speed = made.bytes / 1e6 / made.seconds
        print(
            f"{made.path}: {made.files:,} files, {made.bytes / 1e6:,.1f} MB in {made.seconds:.1f} s ({speed:.0f} MB/s)"
        )
        print(counts)
