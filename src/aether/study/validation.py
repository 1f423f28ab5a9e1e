"""Published results beside ours: cases as data, models as registered functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from aether.base.errors import InputError, Problem, unknown
from aether.base.registry import Registry
from aether.base.units import UnitError, parse
from aether.scenario import document

KEYS = {
    "id",
    "model",
    "inputs",
    "output",
    "published",
    "tolerance",
    "kind",
    "source",
    "expect",
    "unit",
    "note",
    "topic",
}
NEEDED = ("id", "model", "inputs", "output", "published")


@dataclass(frozen=True)
class Model:
    """A model function with the units of what goes in and out; an input of unit "" is text."""

    name: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    function: Callable[..., Mapping[str, float]]
    optional: frozenset[str] = frozenset()


MODELS: Registry[Model] = Registry("model")


def model(
    name: str, inputs: Mapping[str, str], outputs: Mapping[str, str], optional: tuple[str, ...] = ()
) -> Callable[[Callable[..., Mapping[str, float]]], Callable[..., Mapping[str, float]]]:
    """Register a function under a model's name with its units."""

    def register(function: Callable[..., Mapping[str, float]]) -> Callable[..., Mapping[str, float]]:
        MODELS.add(name)(Model(name, inputs, outputs, function, frozenset(optional)))
        return function

    return register


def describe() -> list[dict[str, Any]]:
    """Every registered model with its inputs, units and outputs."""
    return [{"name": m.name, "inputs": dict(m.inputs), "optional": sorted(m.optional), "outputs": dict(m.outputs),
             "about": (m.function.__doc__ or "").split("\n")[0]} for m in (MODELS[n] for n in MODELS)]  # fmt: skip


def validate(more: Path | None = None) -> dict[str, Any]:
    """Run the packaged cases and those of a file; returns {"cases": [...], "headline": {...}}.

    Raises InputError with every problem in the cases (unknown model, missing input, wrong unit).
    """
    packaged = resources.files("aether.study") / "validation.yaml"
    texts = [document.parse(packaged.read_text(encoding="utf-8"), "validation.yaml")]
    if more is not None:
        texts.append(document.read(more))
    problems: list[Problem] = []
    rows: list[dict[str, Any]] = []
    for text in texts:
        cases = text.data.get("cases") if isinstance(text.data, dict) else text.data
        base: document.Path_ = ("cases",) if isinstance(text.data, dict) else ()
        if not isinstance(cases, list) or not cases:
            problems.append(text.problem((), "holds no list of cases"))
            continue
        for i, case in enumerate(cases):
            found = _check(text, (*base, i), case)
            problems += found
            if not found:
                rows.append(_run(text, (*base, i), case, problems))
    seen: set[str] = set()
    for row in rows:
        key = f"{row['id']}/{row['output']}"
        if key in seen:
            problems.append(Problem(key, "stands twice"))
        seen.add(key)
    if problems:
        raise InputError(problems)
    return {"cases": rows, "headline": _headline(rows)}


def _check(text: document.Document, at: document.Path_, case: Any) -> list[Problem]:
    if not isinstance(case, dict):
        return [text.problem(at, "a case is a mapping of keys")]
    problems = []
    for key in case:
        if key not in KEYS:
            told = unknown("", "key", str(key), KEYS)
            problems.append(text.problem((*at, key), told.what, told.nearest, told.next))
    problems += [text.problem(at, f"has no '{key}'") for key in NEEDED if key not in case]
    if problems:
        return problems
    if "tolerance" not in case and not _only_reported(case):
        problems.append(
            text.problem(at, "has no 'tolerance'", next="Relative as 0.01 or '1 %', absolute with a unit as '0.5 ms'")
        )
    if case.get("expect") not in (None, "mismatch", "report"):
        problems.append(text.problem((*at, "expect"), "expect is mismatch or report"))
    if case["model"] not in MODELS:
        told = unknown("", "model", str(case["model"]), MODELS)
        return [*problems, text.problem((*at, "model"), told.what, told.nearest, told.next)]
    made = MODELS[case["model"]]
    given = case["inputs"] if isinstance(case["inputs"], dict) else {}
    for key in given:
        if key not in made.inputs:
            told = unknown("", "input", str(key), made.inputs)
            problems.append(text.problem((*at, "inputs", key), told.what, told.nearest, told.next))
    problems += [
        text.problem((*at, "inputs"), f"model {made.name} needs '{key}'")
        for key in made.inputs
        if key not in given and key not in made.optional
    ]
    if case["output"] not in made.outputs:
        told = unknown("", "output", str(case["output"]), made.outputs)
        problems.append(text.problem((*at, "output"), told.what, told.nearest, told.next))
    return problems


def _number(value: Any, unit: str) -> Any:
    """A value of a case in the model's unit; a plain number is taken as already in it."""
    if unit == "":
        return str(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise UnitError("not a finite number")
        return float(value)
    return parse(value, unit)


def _run(text: document.Document, at: document.Path_, case: dict[str, Any], problems: list[Problem]) -> dict[str, Any]:
    made, output = MODELS[case["model"]], case["output"]
    unit = made.outputs[output]
    shown = str(case.get("unit") or unit)
    kind = "report" if _only_reported(case) else str(case.get("kind", "reference"))
    row: dict[str, Any] = {
        "id": str(case["id"]), "model": made.name, "output": output, "published": None, "computed": None, "error": None, "tolerance": None,
        "status": "miss", "kind": kind, "unit": shown, "source": case.get("source", ""), "note": case.get("note", ""),
    }  # fmt: skip
    try:
        scale = 1.0 if shown == unit else parse(f"1 {shown}", unit)
        inputs = {k: _number(v, made.inputs[k]) for k, v in case["inputs"].items()}
        published = _number(case["published"], unit)
        if isinstance(case["published"], int | float):
            published *= scale
        tolerance, way = _tolerance(case.get("tolerance"), unit)
        computed = float(made.function(**inputs)[output])
    except InputError as error:
        problems += [text.problem(at, p.what, p.nearest, p.next) for p in error.problems]
        return row
    except (UnitError, ValueError, ArithmeticError) as error:
        problems.append(text.problem(at, str(error)))
        return row
    apart = _error(computed, published, way)
    inside = tolerance is None or apart <= tolerance * (1 + 1e-9)
    scale_error = scale if way == "absolute" else 1.0
    row |= {"published": published / scale, "computed": computed / scale, "error": apart / scale_error,
            "tolerance": tolerance if tolerance is None else tolerance / scale_error}  # fmt: skip
    row["status"] = _status(case, inside)
    return row


def _status(case: Mapping[str, Any], inside: bool) -> str:
    """pass or miss; a source that contradicts itself is an expected mismatch, and passing there would be our miss."""
    if case.get("expect") == "mismatch":
        return "miss" if inside else "expected-mismatch"
    return "pass" if inside or _only_reported(case) else "miss"


def _only_reported(case: Mapping[str, Any]) -> bool:
    """Whether a published figure is shown beside ours without being asked for: it is not counted."""
    return "report" in (case.get("expect"), case.get("kind"))


def _error(computed: float, published: float, way: str) -> float:
    """The distance between two figures: relative, absolute, or the factor between them."""
    if way == "absolute":
        return abs(computed - published)
    if way == "factor":
        ratio = computed / published if published else math.inf
        return max(ratio, 1.0 / ratio) if ratio > 0.0 else math.inf
    return abs(computed - published) / max(abs(published), 1e-300)


def _tolerance(given: Any, unit: str) -> tuple[float | None, str]:
    """(tolerance, way): a plain number or a percentage is relative, "factor 2" a factor, a quantity absolute."""
    if given is None:
        return None, "relative"
    if isinstance(given, int | float):
        return float(given), "relative"
    text = str(given).strip()
    if text.startswith("factor"):
        return parse(text.removeprefix("factor"), "1"), "factor"
    if text.endswith("points"):  # of a share, as "0.5 points"
        return parse(text.removesuffix("points"), "1") / 100.0, "absolute"
    if text.endswith("%") or unit == "1":
        return parse(text, "1"), "relative"
    return parse(text, unit), "absolute"


def _headline(rows: list[dict[str, Any]]) -> dict[str, int]:
    counted = [r for r in rows if r["kind"] not in ("identity", "report") and r["status"] in ("pass", "miss")]
    return {
        "counted": len(counted),
        "pass": sum(r["status"] == "pass" for r in counted),
        "miss": sum(r["status"] == "miss" for r in rows),
        "expected_mismatch": sum(r["status"] == "expected-mismatch" for r in rows),
        "identities": sum(r["kind"] == "identity" for r in rows),
        "reports": sum(r["kind"] == "report" for r in rows),
    }
