"""Commands of many runs: studies, designs, years, the verdict, the claims."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aether.base.errors import InputError, Problem
from aether.cli.frame import (
    KEPT,
    CatalogFolder,
    Json,
    ScenarioName,
    Seed,
    Set,
    app,
    overrides,
    progress,
    write,
)


@app.command()
def study(
    file: Annotated[str, typer.Argument(metavar="FILE", help="a study file, or the name of a packaged study")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="where results go; aether-results/studies/NAME when not given"),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="begin anew; what is there is kept beside it")] = False,
    ray_address: Annotated[
        str | None,
        typer.Option(
            "--ray-address", metavar="HOST:PORT", help="a Ray cluster that works; needs aether-fabric[cluster]"
        ),
    ] = None,
    catalog: CatalogFolder = None,
    threads: Annotated[
        int, typer.Option(min=1, max=64, help="processes at work; the results are the same for any number")
    ] = 2,
    json_: Json = False,
) -> None:
    """Sweeps, draws and sensitivities of a scenario; run again, it goes on where it stopped."""
    from aether.results import results, study_terminal
    from aether.study import studies

    with progress(json_, KEPT) as advance:
        told = studies.study(
            file, out, catalog=catalog, threads=threads, ray_address=ray_address, fresh=fresh, progress=advance
        )
    print(results.dumps(told), end="") if json_ else study_terminal.study(told)


@app.command()
def optimise(
    scenario: ScenarioName,
    variables: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="what may be chosen; altitude, ring, size, parts of the largest group when not given"
        ),
    ] = None,
    evaluations: Annotated[int, typer.Option(min=1, max=100_000, metavar="N", help="designs to run")] = 96,
    objectives: Annotated[
        str, typer.Option(metavar="A,B", help="of cost, mass, delivered, carbon")
    ] = "cost,mass,delivered",
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="where results go; aether-results/designs/NAME when not given"),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="begin anew; what is there is kept beside it")] = False,
    set_: Set = None,
    seed: Annotated[int, typer.Option(min=0, help="of the search")] = 1,
    catalog: CatalogFolder = None,
    threads: Annotated[
        int, typer.Option(min=1, max=64, help="processes at work; the designs are the same for any number")
    ] = 2,
    json_: Json = False,
) -> None:
    """Search for designs against cost, mass and delivered compute, each a run of the twin; needs aether-fabric[plan]."""
    from aether.results import results, study_terminal
    from aether.study import optimise as search

    wanted = [n.strip() for n in objectives.split(",") if n.strip()]
    with progress(json_, KEPT) as advance:
        told = search.optimise(scenario, variables, evaluations=evaluations, objectives=wanted, out=out, set=overrides(set_),
                               seed=seed, catalog=catalog, threads=threads, fresh=fresh, progress=advance)  # fmt: skip
    print(results.dumps(told), end="") if json_ else study_terminal.designs(told)


@app.command()
def compare(
    runs: Annotated[
        list[str], typer.Argument(metavar="A B [C...]", help="folders of results, or scenarios, which are then run")
    ],
    catalog: CatalogFolder = None,
    threads: Annotated[int, typer.Option(min=1, max=64, help="threads of a scenario that is run")] = 2,
    json_: Json = False,
) -> None:
    """Runs side by side: which inputs differ, what moved, and what each difference in compute and cost is made of."""
    from aether.results import results, study_terminal
    from aether.study import comparison

    with progress(json_) as advance:
        told = comparison.compare(runs, advance, catalog, threads)
    print(results.dumps(told), end="") if json_ else study_terminal.compare(told)


@app.command()
def lifetime(
    scenario: ScenarioName = "project-aether",
    years: Annotated[int | None, typer.Option(min=1, max=20, help="instead of the scenario's")] = None,
    draws: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="of Monte Carlo, instead of the scenario's")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="where results go; aether-results/NAME-lifetime when not given"),
    ] = None,
    set_: Set = None,
    seed: Seed = None,
    catalog: CatalogFolder = None,
    threads: Annotated[
        int, typer.Option(min=1, max=64, help="threads at work; the figures are the same for any number")
    ] = 2,
    no_report: Annotated[bool, typer.Option("--no-report", help="leave report.html out")] = False,
    json_: Json = False,
) -> None:
    """The fleet through years: launches, losses, spares, ageing, generations, money; with bands over many draws."""
    from aether.results import lifetime_terminal, results
    from aether.scenario.load import load

    given = {f"lifetime.{k}": v for k, v in (("years", years), ("draws", draws)) if v is not None}
    loaded = load(scenario, overrides(set_) | given, catalog, seed)
    folder = out or Path("aether-results") / f"{loaded.spec.name}-lifetime"
    results.check_folder(folder)

    from aether.study import lifetime as study

    with progress(json_) as advance:
        made = study.saved(loaded, folder, advance, threads, not no_report)
    print(results.dumps(made.summary), end="") if json_ else lifetime_terminal.lifetime(made.summary, folder)


@app.command()
def verdict(
    scenario: ScenarioName = "project-aether",
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="where results go; aether-results/NAME-verdict when not given"),
    ] = None,
    draws: Annotated[int, typer.Option(min=2, max=1_000_000, metavar="N", help="of every assumption")] = 16_384,
    set_: Set = None,
    seed: Seed = None,
    catalog: CatalogFolder = None,
    json_: Json = False,
) -> None:
    """What orbit costs and emits beside the ground, as a distribution: what decides it, and what would have to be true."""
    from aether.results import results, verdict_terminal
    from aether.scenario.load import load

    loaded = load(scenario, overrides(set_), catalog, seed)
    folder = out or Path("aether-results") / f"{loaded.spec.name}-verdict"
    results.check_folder(folder)

    from aether.study import verdict as study

    with progress(json_) as advance:
        told = study.saved(loaded, folder, draws, advance)
    print(results.dumps(told), end="") if json_ else verdict_terminal.verdict(told, folder)


@app.command()
def claims(
    only: Annotated[str, typer.Option(metavar="C9,C10", help="ids of claims; all when not given")] = "",
    html: Annotated[
        Path | None, typer.Option("--html", metavar="PATH", help="also a page: a file, or claims.html in a folder")
    ] = None,
    hours: Annotated[float, typer.Option(min=6, metavar="H", help="of each run at most")] = 24.0,
    draws: Annotated[
        int,
        typer.Option(min=2, max=1_000_000, metavar="N", help="of every assumption; a fleet's years take a twentieth"),
    ] = 4096,
    seed: Annotated[int | None, typer.Option(min=0, help="instead of the scenarios'")] = None,
    catalog: CatalogFolder = None,
    json_: Json = False,
) -> None:
    """What was claimed of compute in orbit, put to the test: what the twin measured, and whether it holds."""
    from aether.results import claims_terminal, results
    from aether.study import claims as study
    from aether.study.claims_evidence import Settings

    named = [n.strip() for n in only.split(",") if n.strip()]
    if html is not None and not html.parent.is_dir():
        raise InputError(Problem("--html", f"there is no folder {html.parent} to write a page to"))
    with progress(json_) as advance:
        told = study.claims(named, Settings(hours, draws, seed, catalog), advance)
    if html is not None:
        from aether.results import claims_report

        write(html / "claims.html" if html.is_dir() else html, claims_report.render(told))
    print(results.dumps(told), end="") if json_ else claims_terminal.claims(told, html)
