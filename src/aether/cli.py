"""The command: a thin skin over the Python API. A command loads its parts when it is called."""

from __future__ import annotations

import atexit
import gc
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from aether.base.errors import InputError, Problem, unknown
from aether.base.processes import collect_seldom
from aether.base.version import VERSION

app = typer.Typer(
    name="aether",
    help="The open orbital compute fabric: design it, prove it, run it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ScenarioName = Annotated[str, typer.Argument(help="a scenario file, or the name of a packaged one")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="another value, as ships.0.radiator.area='90 m2'"),
]
CatalogFolder = Annotated[
    Path | None, typer.Option("--catalog", metavar="DIR", help="a folder of YAML files that add or override parts")
]
Json = Annotated[bool, typer.Option("--json", help="JSON on standard output and nothing else")]
NOTHING, KEPT = "nothing was written", "what has come so far is kept: run the same again to go on"
DONE, FAULT, WRONG, INFEASIBLE, INTERRUPTED = 0, 1, 2, 3, 130  # exit codes


def _version(wanted: bool) -> None:
    if wanted:
        print(f"aether {VERSION}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="show the version")
    ] = False,
) -> None:
    """The open orbital compute fabric: design it, prove it, run it."""


@app.command()
def run(
    scenario: ScenarioName = "project-aether",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="where results go; aether-results/NAME when not given")
    ] = None,
    set_: Set = None,
    seed: Annotated[int | None, typer.Option(min=0, help="instead of the scenario's")] = None,
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

    with _progress(json_) as advance:
        made = runs.saved(loaded, folder, advance, threads, not no_report, called)
    if json_:
        print(results.dumps(made.summary), end="")
    else:
        terminal.summary(made.summary, folder)
    if strict and made.summary["shortfalls"]:
        raise typer.Exit(INFEASIBLE)


@app.command()
def plan(
    scenario: ScenarioName,
    search: Annotated[
        float | None,
        typer.Option(min=0.1, metavar="SECONDS", help="search on for so long, by ruin and repair"),
    ] = None,
    slot: Annotated[str, typer.Option(metavar="TIME", help="length of a slot")] = "15 min",
    set_: Set = None,
    seed: Annotated[int | None, typer.Option(min=0, help="instead of the scenario's")] = None,
    catalog: CatalogFolder = None,
    json_: Json = False,
) -> None:
    """Place a scenario's jobs over the capacity that services and training leave: what, where, when, at what price."""
    from aether.results import plan_terminal, results
    from aether.scenario.load import load
    from aether.study import plans

    loaded = load(scenario, overrides(set_), catalog, seed)
    slot_s = _seconds("--slot", slot)
    with _progress(json_) as advance:
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
    seed: Annotated[int | None, typer.Option(min=0, help="instead of the scenario's")] = None,
    catalog: CatalogFolder = None,
    json_: Json = False,
) -> None:
    """The same scenario under rival placement policies: served, late, first token, energy, price, carbon, moves."""
    from aether.results import plan_terminal, results
    from aether.scenario.load import load
    from aether.study import policies as rivals

    loaded = load(scenario, overrides(set_), catalog, seed)
    with _progress(json_) as advance:
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
    seed: Annotated[int | None, typer.Option(min=0, help="instead of the scenario's")] = None,
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
    with _progress(json_) as advance:
        made = ahead.forecast(loaded, hours, samples, threads, out, advance)
    print(results.dumps(made), end="") if json_ else plan_terminal.forecast(made)


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

    with _progress(json_, KEPT) as advance:
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
    with _progress(json_, KEPT) as advance:
        told = search.optimise(scenario, variables, evaluations=evaluations, objectives=wanted, out=out, set=overrides(set_),
                               seed=seed, catalog=catalog, threads=threads, fresh=fresh, progress=advance)  # fmt: skip
    print(results.dumps(told), end="") if json_ else study_terminal.designs(told)


def _seconds(option: str, text: str) -> float:
    from aether.base.units import UnitError, parse

    try:
        value = parse(text, "s")
    except UnitError as error:
        raise InputError(Problem(option, str(error))) from error
    if not 1.0 <= value < 1e9:
        raise InputError(Problem(option, f"'{text}' is no time of at least a second"))
    return value


@app.command()
def export(
    format_: Annotated[str, typer.Argument(metavar="FORMAT", help="czml, oem or ns3")],
    scenario: ScenarioName,
    out: Annotated[Path, typer.Option("--out", metavar="PATH", help="a file for czml, a new folder for oem and ns3")],
    set_: Set = None,
    seed: Annotated[int | None, typer.Option(min=0, help="instead of the scenario's")] = None,
    catalog: CatalogFolder = None,
    links: Annotated[bool, typer.Option("--links", help="also draw laser links, in czml")] = False,
    json_: Json = False,
) -> None:
    """Write positions (CZML, CCSDS OEM) or forwarding state (Hypatia's ns-3) for other tools."""
    from aether.results import results
    from aether.study import exports, runs

    loaded = runs.load(scenario, overrides(set_), catalog, seed)
    with _progress(json_) as advance:
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


@app.command(name="train-plan")
def train_plan(
    scenario: ScenarioName,
    run_: Annotated[
        str | None, typer.Option("--run", metavar="NAME", help="a training workload; the first when not given")
    ] = None,
    set_: Set = None,
    seed: Annotated[int | None, typer.Option(min=0, help="instead of the scenario's")] = None,
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
    with _progress(json_) as advance:
        made = plans.plan(loaded, run_, advance, threads)
    print(results.dumps(made), end="") if json_ else train_terminal.plan(made)


@app.command()
def warm(json_: Json = False) -> None:
    """Compile all kernels ahead, for this machine and user."""
    from aether.results import results
    from aether.study import warm as ahead

    with _progress(json_) as advance:
        made = ahead.warm(advance)
    if json_:
        print(results.dumps(made), end="")
    else:
        print(
            f"{made['files']} files, {made['bytes'] / 1e6:.0f} MB of compiled kernels in {made['folder']}, after {made['seconds']:.0f} s"
        )


@app.command()
def validate(
    cases: Annotated[
        Path | None, typer.Option(metavar="FILE", help="further cases, in the form of the packaged ones")
    ] = None,
    list_: Annotated[
        bool, typer.Option("--list", help="every registered model with its inputs, units and outputs")
    ] = False,
    json_: Json = False,
) -> None:
    """Reproduce published results with the models; exit with 1 when one is missed."""
    from aether.results import results, terminal
    from aether.study import models as _models  # noqa: F401 - registers the models
    from aether.study import validation

    if list_:
        models = validation.describe()
        print(results.dumps({"models": models}), end="") if json_ else terminal.models(models)
        return
    outcome = validation.validate(cases)
    print(results.dumps(outcome), end="") if json_ else terminal.cases(outcome)
    if any(case["status"] == "miss" for case in outcome["cases"]):
        raise typer.Exit(FAULT)


@app.command()
def calibrate(
    log: Annotated[Path, typer.Argument(metavar="LOG", help="a server's log of requests: JSON lines or CSV")],
    gpu: Annotated[str, typer.Option("--gpu", metavar="NAME", help="accelerator of the catalog that it ran on")],
    meta: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="the server's settings; X.meta.json beside the log when not given"),
    ] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="language model of the catalog")] = None,
    gpus: Annotated[int | None, typer.Option(min=1, metavar="N", help="GPUs of one replica, tensor parallel")] = None,
    precision: Annotated[str | None, typer.Option(metavar="NAME", help="bf16, fp8 or fp4")] = None,
    held_out: Annotated[
        list[Path] | None, typer.Option("--held-out", metavar="LOG2", help="a log to hold the fit against")
    ] = None,
    join: Annotated[
        bool, typer.Option("--join", help="ranks of data parallelism as one replica that shares its weights")
    ] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="write the fit as a file of the catalog")] = None,
    catalog: CatalogFolder = None,
    json_: Json = False,
) -> None:
    """Fit efficiencies of a model on a GPU to the log of a real server."""
    from aether.results import results, terminal
    from aether.scenario import catalog as parts
    from aether.study import calibration

    loaded = parts.load(catalog)
    outcome = calibration.calibrate(loaded, log, gpu, meta=meta, model=model, gpus=gpus, precision=precision,
                                    held_out=held_out or (), join=join)  # fmt: skip
    if out is not None:
        _write(out, calibration.part(outcome, loaded.accelerator(gpu)))
    print(results.dumps(outcome), end="") if json_ else terminal.calibration(outcome)


@app.command()
def explain(
    path: Annotated[
        str,
        typer.Argument(help="a part and field, as ai1.radiator_area, or a general assumption, as access.scheduling"),
    ],
    catalog: CatalogFolder = None,
    json_: Json = False,
) -> None:
    """An assumption's value, unit, range and source."""
    from aether.results import results, terminal
    from aether.scenario import catalog as parts

    found = parts.find_assumptions(parts.load(catalog), path)
    print(results.dumps({"assumptions": [asdict(a) for a in found]}), end="") if json_ else terminal.assumptions(found)


@app.command()
def schema(
    out: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="where to write it; standard output when not given")
    ] = None,
    study: Annotated[bool, typer.Option("--study", help="of a study file instead")] = False,
) -> None:
    """The JSON schema of a scenario file, or of a study's, for editors."""
    from aether.scenario import load

    if study:
        from aether.study import study_file

    text = json.dumps(study_file.schema() if study else load.schema(), indent=2) + "\n"
    if out is None:
        print(text, end="")
    else:
        _write(out, text)


@app.command()
def init(file: Annotated[Path, typer.Argument(metavar="FILE", help="the file to write")]) -> None:
    """Write a commented scenario to start from, and its schema beside it."""
    from aether.scenario import load

    schema_file = file.with_suffix(".schema.json")
    for path in (file, schema_file):
        if path.exists():
            raise InputError(Problem("", f"{path} is already there", next="Name a new file"))
    _write(schema_file, json.dumps(load.schema(), indent=2) + "\n")
    _write(file, load.starter(schema_file.name))
    print(f"Wrote {file} and {schema_file}. Next: aether run {file}")


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(Problem("", f"cannot write {path}: {error.strerror}")) from error


catalog_app = typer.Typer(
    help="The parts: hardware, launchers, meshes, cities, gateways.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(catalog_app, name="catalog")


@catalog_app.command("list")
def catalog_list(
    kind: Annotated[str | None, typer.Argument(help="one kind of part, as ships; all kinds when not given")] = None,
    catalog: CatalogFolder = None,
    json_: Json = False,
) -> None:
    """The names of the parts."""
    from aether.results import results, terminal
    from aether.scenario import catalog as parts

    loaded = parts.load(catalog)
    if kind is not None and kind not in loaded.parts:
        raise InputError(unknown("", "kind of part", kind, loaded.parts))
    names = {k: sorted(v) for k, v in loaded.parts.items() if kind in (None, k)}
    print(results.dumps(names), end="") if json_ else terminal.names(loaded, names, kind)


@catalog_app.command("show")
def catalog_show(
    name: Annotated[str, typer.Argument(help="a part's name, as ai1")],
    catalog: CatalogFolder = None,
    json_: Json = False,
) -> None:
    """A part's numbers with their sources; for a ship its budget of power, heat, mass, volume and flights."""
    from aether.results import results, terminal
    from aether.scenario import catalog as parts
    from aether.study import ships

    loaded = parts.load(catalog)
    part = parts.find_part(loaded, name)
    budget = ships.budget(part, loaded) if isinstance(part, parts.Ship) else None
    if json_:
        told: dict[str, Any] = {"part": parts.as_dict(part)}
        print(results.dumps(told | ({"budget": budget} if budget else {})), end="")
    else:
        terminal.part(part, budget)


@app.command()
def bench(
    json_: Json = False, quick: Annotated[bool, typer.Option("--quick", help="fewer repetitions")] = False
) -> None:
    """Time the hot paths: per item, median of several runs."""
    from aether.results import results, terminal
    from aether.study import bench as benchmarks

    rows = benchmarks.measure(quick)
    print(results.dumps(rows), end="") if json_ else terminal.bench(rows)


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

    with _progress(json_) as advance:
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
    seed: Annotated[int | None, typer.Option(min=0, help="instead of the scenario's")] = None,
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

    with _progress(json_) as advance:
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
    seed: Annotated[int | None, typer.Option(min=0, help="instead of the scenario's")] = None,
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

    with _progress(json_) as advance:
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
    with _progress(json_) as advance:
        told = study.claims(named, Settings(hours, draws, seed, catalog), advance)
    if html is not None:
        from aether.results import claims_report

        _write(html / "claims.html" if html.is_dir() else html, claims_report.render(told))
    print(results.dumps(told), end="") if json_ else claims_terminal.claims(told, html)


@contextmanager
def _progress(quiet: bool, kept: str = NOTHING) -> Iterator[Callable[[str, float, float, str], None]]:
    """A progress bar that long work tells how far it is, and that ends it where it has been interrupted; kept: what is then said."""
    from aether.results import terminal

    _Signals.kept = kept
    with terminal.progress(quiet=quiet) as bar:

        def advance(label: str, done: float, of: float, clock: str) -> None:
            _Signals.check()
            bar(label, done, of, clock)

        yield advance


def overrides(given: list[str] | None) -> dict[str, Any]:
    """`--set path=value` arguments as a mapping; InputError naming every one without '='."""
    bad = [g for g in given or () if "=" not in g or g.startswith("=")]
    if bad:
        raise InputError(
            [Problem("", f"'{g}' is not path=value", next="As in --set duration='2 h'", file="--set") for g in bad]
        )
    return dict(g.split("=", 1) for g in given or ())


class Interrupted(BaseException):
    """Ctrl-C or a polite end; not a KeyboardInterrupt, which the command's frame would turn into exit code 1."""


class _Signals:
    """Remembers an interrupt: compiled code may swallow the exception or raise another in its place."""

    seen = False
    kept = NOTHING

    @classmethod
    def take(cls, *_: object) -> None:
        cls.seen = True
        raise Interrupted

    @classmethod
    def check(cls) -> None:
        if cls.seen:
            raise Interrupted


def main() -> None:
    """Run the command and turn what goes wrong into a message and an exit code."""
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, _Signals.take)
    collect_seldom()
    atexit.register(gc.freeze)  # catalogs and compiled kernels: to look through them once more takes half a second
    try:
        app()
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(WRONG)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(DONE)
    except BaseException:
        if not _Signals.seen:
            raise
        threading.excepthook = lambda _: None  # what other threads say of being stopped is no news
        print(f"interrupted; {_Signals.kept}", file=sys.stderr)
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
