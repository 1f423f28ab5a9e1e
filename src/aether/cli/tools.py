"""Commands of parts and models: what is in the catalog, what it rests on, what was published, this machine."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from aether.base.errors import InputError, Problem, unknown
from aether.cli.frame import (
    FAULT,
    CatalogFolder,
    Json,
    app,
    progress,
    write,
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
        write(out, calibration.part(outcome, loaded.accelerator(gpu)))
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
        write(out, text)


@app.command()
def init(file: Annotated[Path, typer.Argument(metavar="FILE", help="the file to write")]) -> None:
    """Write a commented scenario to start from, and its schema beside it."""
    from aether.scenario import load

    schema_file = file.with_suffix(".schema.json")
    for path in (file, schema_file):
        if path.exists():
            raise InputError(Problem("", f"{path} is already there", next="Name a new file"))
    write(schema_file, json.dumps(load.schema(), indent=2) + "\n")
    write(file, load.starter(schema_file.name))
    print(f"Wrote {file} and {schema_file}. Next: aether run {file}")


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
def warm(json_: Json = False) -> None:
    """Compile all kernels ahead, for this machine and user."""
    from aether.results import results
    from aether.study import warm as ahead

    with progress(json_) as advance:
        made = ahead.warm(advance)
    if json_:
        print(results.dumps(made), end="")
    else:
        print(
            f"{made['files']} files, {made['bytes'] / 1e6:.0f} MB of compiled kernels in {made['folder']}, after {made['seconds']:.0f} s"
        )


@app.command()
def bench(
    json_: Json = False, quick: Annotated[bool, typer.Option("--quick", help="fewer repetitions")] = False
) -> None:
    """Time the hot paths: per item, median of several runs; then ten minutes of a fabric in which everything fails."""
    from aether.results import results, terminal
    from aether.study import bench as benchmarks

    rows = benchmarks.measure(quick)
    try:
        from aether.fabric import bench as live

        with progress(json_) as advance:
            rows["rows"] += live.rows(quick, advance)
    except ImportError:
        rows["missing"].append("aether-fabric[live]")
    print(results.dumps(rows), end="") if json_ else terminal.bench(rows)
