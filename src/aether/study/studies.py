"""`aether study`: a scenario over sweeps and draws of what it rests on, resumable, on this machine or a cluster."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from aether.base.errors import InputError, Problem, nearest
from aether.base.tables import Floats, Ints
from aether.base.version import VERSION
from aether.engine.run import Progress
from aether.results import study_report
from aether.results.results import dumps
from aether.study import study_answers, study_file, study_points
from aether.study.cluster import check_address, pooled
from aether.study.inputs import Input
from aether.study.parts import Parts
from aether.study.study_file import Study
from aether.study.study_points import Group, Run, Told

CHUNK_S = 0.5  # least work handed out at once: ten times what handing it out takes
CHUNKS = 400  # at most, so that a folder of pieces stays small
LABEL = "points"


@dataclass(frozen=True)
class Bases:
    """The variants as they are, which inputs the twin takes, and which are prices laid upon its runs."""

    runs: tuple[Run, ...]
    engine: tuple[Input, ...]
    money: tuple[Input, ...]
    paths: tuple[str, ...]  # outputs
    run_s: float  # of the last


def study(
    source: str | Path | Mapping[str, Any],
    out: str | Path | None = None,
    *,
    catalog: str | Path | None = None,
    threads: int = 2,
    ray_address: str | None = None,
    fresh: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Run a study: `aether.study("prices")`, a file, or a mapping in the form of one.

    out: folder of the results, `aether-results/studies/NAME` when not given; what lies there of the same study is not done again.
    catalog: a folder of parts. threads: processes at work; the results are the same for any number. ray_address: "host:port" of a
    cluster whose processes work instead. fresh: begin anew; what is there is kept beside it. Returns what `study.json` holds. Raises
    InputError with everything wrong with the input.
    """
    loaded = study_file.load(source, None if catalog is None else Path(catalog))
    folder = Path(out) if out is not None else Path("aether-results") / "studies" / loaded.spec.name
    parts = Parts(folder, "study", _asked(loaded))
    if ray_address is not None and (fresh or not parts.finished):
        check_address(ray_address)
    if parts.open(fresh):
        return read(folder)
    begun = time.perf_counter()
    bases = _bases(loaded, progress)
    points = loaded.points()
    table = _gathered(loaded, bases, points, parts, threads, ray_address, progress)
    if all(table.problems):
        raise InputError(Problem("variables", f"no point could be run; the first: {table.problems[0]}"))
    told = study_answers.answers(loaded, bases, points, table)
    parts.table("points.parquet", _table(loaded, bases, points, table))
    parts.write("study.json", dumps(told))
    parts.write("study.html", study_report.study(told, *_shown(loaded, points, table)))
    parts.finish({"aether": VERSION, "wall_s": time.perf_counter() - begun})
    return told | {"folder": str(folder)}


def read(folder: Path) -> dict[str, Any]:
    """What `study.json` of a finished study holds."""
    told: dict[str, Any] = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    return told | {"folder": str(folder)}


def _asked(loaded: Study) -> dict[str, Any]:
    """All that decides the results: the file, what its variants hold, the version."""
    variants = {name: s.data for name, s in loaded.variants.items()}
    ranges = {
        i.name: [i.spread.kind, i.spread.low, i.spread.mode, i.spread.high, *i.spread.choices] for i in loaded.inputs
    }
    return {"file": loaded.data, "scenarios": variants, "ranges": ranges, "aether": VERSION}


def _bases(loaded: Study, progress: Progress | None) -> Bases:
    """Run each variant as it is, and sort the inputs by who takes them; InputError for what rests on nothing, or cannot be told."""
    runs: list[Run] = []
    run_s = 0.0
    for scenario in loaded.variants.values():
        begun = time.perf_counter()
        runs.append(study_points.run(scenario, progress))
        run_s = time.perf_counter() - begun
    for made in runs:
        if made.summary["cost"].get("missing"):
            raise InputError([Problem("cost", words) for words in made.summary["cost"]["missing"]])
    asked = set().union(*(made.asked() for made in runs))
    money = tuple(i for i in loaded.inputs if i.leaf.of == "assumption" and i.name in asked)
    engine = tuple(i for i in loaded.inputs if i not in money)
    problems = [p for i in engine for p in _idle(i, loaded, runs)]
    paths = loaded.spec.outputs or study_points.defaults(runs[0].summary)
    nothing = {i.name: i.spread.ppf(np.array([0.5])) for i in money}
    for path in paths:
        try:
            for made in runs:
                study_points.outputs(made, [path], nothing, 1)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return Bases(tuple(runs), engine, money, tuple(paths), run_s)


def _idle(one: Input, loaded: Study, runs: Sequence[Run]) -> list[Problem]:
    """A part's number, where no variant has the part."""
    if one.leaf.of == "scenario" or one.name in next(iter(loaded.variants.values())).catalog.kind("assumptions"):
        return []
    owner, known = one.name.rpartition(".")[0], {name for made in runs for name in made.known}
    if any(name.startswith(f"{owner}.") for name in known):
        return []
    return [Problem(f"variables.{one.name}", "nothing in this scenario rests on it", nearest(one.name, known))]


def _groups(bases: Bases, points: Mapping[str, Floats], variants: int) -> list[Group]:
    """Points by variant and by the values that the twin takes: one run for each."""
    count = len(next(iter(points.values())))
    columns = np.stack([points[i.name] for i in bases.engine], axis=1) if bases.engine else np.zeros((count, 0))
    if bases.engine:
        values, number = np.unique(columns, axis=0, return_inverse=True)
        order = np.argsort(number.reshape(-1), kind="stable")
        members = np.split(order, np.cumsum(np.bincount(number.reshape(-1), minlength=len(values)))[:-1])
    else:
        values, members = columns[:1], [np.arange(count)]
    return [
        Group(v, tuple(map(float, row)), v * count + rows, {i.name: points[i.name][rows] for i in bases.money})
        for v in range(variants)
        for row, rows in zip(values, members, strict=True)
    ]


def _gathered(
    loaded: Study, bases: Bases, points: Mapping[str, Floats], parts: Parts, threads: int, ray_address: str | None,
    progress: Progress | None,
) -> Told:  # fmt: skip
    """Every point once, in order: what lies on disk, and the rest as it is worked out."""
    variants = tuple(loaded.variants.values())
    groups = _groups(bases, points, len(variants))
    total = sum(len(g.point) for g in groups)
    kept = [_told(piece, bases.paths) for piece in parts.done()]
    seen = {int(p) for t in kept for p in t.point}
    left = [g for g in groups if int(g.point[0]) not in seen]
    say = progress or (lambda *_: None)
    say(LABEL, len(seen), total, "")
    if not bases.engine:
        for group in left:
            made = bases.runs[group.variant]
            figures = study_points.outputs(made, bases.paths, group.money, len(group.point))
            kept.append(Told(group.point, figures, ("",) * len(group.point)))
        return _joined(kept, total)
    size = max(1, math.ceil(CHUNK_S / max(bases.run_s, 1e-6)), math.ceil(len(groups) / CHUNKS))
    chunks = [left[i : i + size] for i in range(0, len(left), size)]
    blob = study_points.packed(variants, bases.engine, bases.paths)
    done = len(seen)
    for number, told in pooled(study_points.work, [(blob, chunk) for chunk in chunks], threads, ray_address):
        parts.add(int(chunks[number][0].point[0]), _piece(told, bases.paths))
        kept.append(told)
        done += len(told.point)
        say(LABEL, done, total, "")
    return _joined(kept, total)


def _piece(told: Told, paths: Sequence[str]) -> pa.Table:
    figures = {path: told.outputs[:, i] for i, path in enumerate(paths)}
    return pa.table({"point": told.point, **figures, "problem": list(told.problems)})


def _told(piece: pa.Table, paths: Sequence[str]) -> Told:
    figures = np.stack([piece[path].to_numpy() for path in paths], axis=1)
    return Told(piece["point"].to_numpy(), figures, tuple(piece["problem"].to_pylist()))


def _joined(kept: Sequence[Told], total: int) -> Told:
    """All in the order of their numbers; each is there once."""
    point: Ints = np.concatenate([t.point for t in kept])
    order = np.argsort(point, kind="stable")
    if not np.array_equal(point[order], np.arange(total)):
        raise RuntimeError(f"{len(point)} points came back for {total}")
    problems = [p for t in kept for p in t.problems]
    return Told(point[order], np.concatenate([t.outputs for t in kept])[order], tuple(problems[i] for i in order))


def _table(loaded: Study, bases: Bases, points: Mapping[str, Floats], told: Told) -> pa.Table:
    """Every point: its number, its scenario, inputs, outputs, and what stood in the way."""
    count, names = len(next(iter(points.values()))), list(loaded.variants)
    which = told.point // count
    columns: dict[str, Any] = {
        "point": told.point,
        "scenario": pa.DictionaryArray.from_arrays(pa.array(which.astype(np.int32)), pa.array(names)),
    }
    for made in loaded.inputs:
        values = points[made.name][told.point % count]
        columns[made.name] = [str(made.text(v)) for v in values] if made.words else values
    columns |= {path: told.outputs[:, i] for i, path in enumerate(bases.paths)}
    return pa.table(columns | {"problem": list(told.problems)})


def _shown(loaded: Study, points: Mapping[str, Floats], told: Told) -> tuple[dict[str, Floats], Floats]:
    """Inputs by name and outputs (V, N, O), for figures."""
    count = len(next(iter(points.values())))
    return dict(points), told.outputs.reshape(len(loaded.variants), count, -1)
