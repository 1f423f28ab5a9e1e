"""`aether calibrate`: efficiencies fitted to a server's log, held against other logs, written as a part of the catalog."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from aether.base.errors import InputError, Problem, unknown
from aether.base.version import VERSION
from aether.scenario.catalog import Accelerator, Catalog, LanguageModel
from aether.workloads import calibration, inference
from aether.workloads.calibration import Deployment, Log, Times
from aether.workloads.models import WEIGHT_BYTES

FITTED = {"compute_efficiency": "compute", "bandwidth_efficiency": "bandwidth", "iteration_overhead": "overhead_s"}


def calibrate(
    catalog: Catalog, log: Path, gpu: str, *, meta: Path | None = None, model: str | None = None, gpus: int | None = None,
    precision: str | None = None, held_out: Sequence[Path] = (), join: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Fit a log and hold the fit against others.

    A log's settings are in `meta`, or beside it: X.meta.json of X.requests.jsonl, X.jsonl or X.csv; model, gpus and
    precision given here go before them. join: ranks of data parallelism as one replica. Returns what was fitted, with
    errors of the means before and after on every log. Raises InputError where a log, a model or a GPU is not known.
    """
    chip = catalog.get("accelerators", gpu, "gpu")
    read, language, deployment = _open(catalog, log, meta, model, gpus, precision, join)
    start = inference.efficiency(catalog)
    found = calibration.fit(read, language, chip, deployment, start)
    logs = [_told("fitted", read, language, deployment, found.measured, found.before, found.after)]
    for path in held_out:
        other, its, setting = _open(catalog, path, None, None, gpus, precision, join, (language, deployment))
        measured = calibration.times(other, other.first_s, other.last_s)
        before, after = (
            calibration.errors(other, *calibration.replay(other, its, chip, setting, e))
            for e in (start, found.efficiency)
        )
        logs.append(_told("held out", other, its, setting, measured, before, after))
    values = {
        name: {"before": getattr(start, key), "fitted": getattr(found.efficiency, key)} for name, key in FITTED.items()
    }
    return {"model": language.name, "gpu": chip.name, "precision": deployment.precision, "fitted": values,
            "spread": found.spread, "logs": logs}  # fmt: skip


def _told(
    role: str, log: Log, model: LanguageModel, deployment: Deployment, measured: Times, before: Times, after: Times
) -> dict[str, Any]:
    return {"log": log.name, "role": role, "model": model.name, "requests": len(log.time_s), "deployment": asdict(deployment),
            "measured_s": asdict(measured), "error_before": asdict(before), "error_after": asdict(after)}  # fmt: skip


def _open(
    catalog: Catalog, log: Path, meta: Path | None, model: str | None, gpus: int | None, precision: str | None, join: bool,
    usual: tuple[LanguageModel, Deployment] | None = None,
) -> tuple[Log, LanguageModel, Deployment]:  # fmt: skip
    """A log, its model and how its server was set up; `usual` is for a log without settings of its own."""
    read, beside = calibration.read_log(_text(log), str(log)), meta or _beside(log)
    said, deployment = "", Deployment()
    if beside is not None:
        said, deployment = calibration.read_meta(_text(beside), str(beside))
    language = usual[0] if usual and not said and not model else _model(catalog, model, said)
    if beside is None and usual:
        deployment = usual[1]
    elif join:
        deployment = calibration.joined(deployment)
    if precision is not None and precision not in WEIGHT_BYTES:
        raise InputError(unknown("precision", "precision", precision, WEIGHT_BYTES))
    deployment = replace(deployment, precision=precision or deployment.precision, gpus=gpus or deployment.gpus)
    return read, language, deployment


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        told = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InputError(Problem("", f"cannot read {path}: {told}")) from error


def _beside(log: Path) -> Path | None:
    stem = re.sub(r"(\.requests)?\.(jsonl|json|csv)$", "", log.name)
    found = log.with_name(f"{stem}.meta.json")
    return found if found.is_file() else None


def _model(catalog: Catalog, name: str | None, said: str) -> LanguageModel:
    """The model by its name in the catalog, or the longest such name that begins what the settings say."""
    if name is not None:
        return catalog.get("models", name, "model")
    if not said:
        raise InputError(Problem("model", "the log does not say which model it served", next="Give --model, or --meta"))
    told = said.rpartition("/")[2].lower()
    known = [n for n in catalog.kind("models") if told.startswith(n)]
    if not known:
        problem = unknown("model", "model", told, catalog.kind("models"))
        raise InputError(replace(problem, next=f"{problem.next}. --model says which it is".lstrip(". ")))
    return catalog.model(max(known, key=len))


def part(outcome: dict[str, Any], gpu: Accelerator) -> str:
    """The fit as a file of the catalog, for `--catalog`."""
    fitted, logs = outcome["fitted"], outcome["logs"]
    held = [e for one in logs[1:] for e in (one["error_after"]["per_token"], one["error_after"]["whole"])]
    first, unit = logs[0], {"iteration_overhead": " s"}
    told = f"{first['requests']} requests of the log {first['log']}, fitted by aether {VERSION}"
    lines = [
        "# Fitted by `aether calibrate`; use it with --catalog and this file's folder.",
        "calibrations:",
        f"  {outcome['model']}-{gpu.name}-{outcome['precision']}:",
        f"    title: {outcome['model']} on {gpu.name} in {outcome['precision']}",
        f"    source: {json.dumps(told)}",
        "    confidence: measured",
        f"    model: {outcome['model']}",
        f"    accelerator: {gpu.name}",
        f"    precision: {outcome['precision']}",
        *(f"    {name}: {fitted[name]['fitted']:.4g}{unit.get(name, '')}" for name in FITTED),
        f"    fit_error: {max(abs(v) for v in first['error_after'].values()):.3g}",
        *([f"    held_out_error: {max(abs(v) for v in held):.3g}"] if held else []),
    ]
    return "\n".join(lines) + "\n"
