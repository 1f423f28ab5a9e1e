"""`aether compare`: runs side by side: which inputs differ, which outputs moved, and what each difference is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from aether.base.errors import InputError, Problem
from aether.engine.run import Progress
from aether.results import results
from aether.results.results import MANIFEST, Results
from aether.scenario.load import examples, find
from aether.study import runs

STAGES = ("working", "power", "heat", "radiation", "reach", "placed", "delivered")  # that take compute, in order
NO_OUTPUTS = {
    "scenario",
    "title",
    "start",
    "seed",
    "version",
    "modelled",
    "ablation",
    "skipped_records",
    "watch",
    "events",
}
NAMES = (
    "name",
    "group",
    "part",
    "asset",
    "cause",
    "from",
    "to",
    "city",
    "latitude_from_deg",
)  # by which rows of lists are known
NO_INPUTS = ("title",)
TINY = 1e-9  # relative: results are told to nine digits


def compare(
    names: Sequence[str | Path], progress: Progress | None = None, catalog: Path | None = None, threads: int = 2
) -> dict[str, Any]:
    """Runs beside the first of them: inputs that differ, and what moved, largest first.

    names: two or more folders of results, scenario files or names of packaged scenarios, which are run. Returns runs, notes, inputs,
    assumptions, waterfall, cost of both sides and outputs. Raises InputError for what cannot be compared, all of it at once.
    """
    if len(names) < 2:
        raise InputError(
            Problem("", "there is nothing to compare it with", next="Name two or more folders or scenarios")
        )
    problems: list[Problem] = []
    for name in names:
        problems += _wrong(name)
    if problems:
        raise InputError(problems)
    made = [_made(name, progress, catalog, threads) for name in names]
    return beside([m.summary for m in made], [m.manifest for m in made], [str(n) for n in names])


def _wrong(name: str | Path) -> list[Problem]:
    """Why there is nothing to compare under a name."""
    folder = Path(name)
    if not folder.is_dir():
        try:
            find(name)
        except InputError as error:
            follow = f"Name a folder of results, a scenario file or one of: {', '.join(examples())}"
            return [
                replace(p, what=f"there are no results and no scenario '{name}'", next=follow) for p in error.problems
            ]
        return []
    if not (folder / MANIFEST).is_file():
        return [Problem("", f"{folder} holds no results of Aether")]
    if not (folder / "summary.json").is_file():
        what = f"{folder} holds a study or designs, not the results of a run"
        return [Problem("", what, next="Compare folders that `aether run` wrote")]
    try:
        told = results.load(folder)
    except (ValueError, OSError) as error:
        return [Problem("", f"the results in {folder} cannot be read: {error}")]
    missing = [k for k in ("waterfall", "fleet", "duration_s") if k not in told.summary]
    return (
        [Problem("", f"the results in {folder} have no {missing[0]}: they are not of this version")] if missing else []
    )


def _made(name: str | Path, progress: Progress | None, catalog: Path | None, threads: int) -> Results:
    if Path(name).is_dir():
        return results.load(name)
    loaded = runs.load(name, {"outputs.ablation": False}, catalog)
    return runs.simulate(loaded, progress, threads, report=False)


def beside(
    told: Sequence[Mapping[str, Any]], manifests: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> dict[str, Any]:
    """The comparison of summaries with their manifests."""
    flat = [_outputs(s) for s in told]
    return {
        "runs": [{"from": n, "scenario": s["scenario"], "duration_s": s["duration_s"], "step_s": s["step_s"], "seed": s["seed"]}
                 for n, s in zip(names, told, strict=True)],
        "notes": _notes(told, manifests), "inputs": _inputs(manifests), "assumptions": _assumptions(manifests),
        "waterfall": _waterfall(told), "cost": {side: _cost(told, side) for side in ("orbit", "ground")},
        "outputs": moved(flat),
    }  # fmt: skip


def _outputs(told: Mapping[str, Any]) -> dict[str, Any]:
    """What a run came to, flat; without what each assumption would do, and curves that are drawn."""
    flat = flatten({k: v for k, v in told.items() if k not in NO_OUTPUTS})
    return {
        path: v for path, v in flat.items() if not any(part in path for part in (".swings[", ".parity[", ".curve."))
    }


def _notes(told: Sequence[Mapping[str, Any]], manifests: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a reader must know before taking figures side by side."""
    notes = []
    for key, words in (("duration_s", "runs are of different lengths: totals are not of the same time, shares and prices are"),
                       ("step_s", "runs went at different steps"), ("start", "runs begin at different times")):  # fmt: skip
        if len({s[key] for s in told}) > 1:
            notes.append(words)
    if len({m.get("aether") for m in manifests}) > 1:
        notes.append("results are of different versions of Aether: models may differ, not only inputs")
    return notes


def flatten(told: Any, path: str = "") -> dict[str, Any]:
    """Numbers, words and truths of a summary by dotted path; rows of lists by their name where they have one."""
    made: dict[str, Any] = {}
    if isinstance(told, Mapping):
        for key, value in told.items():
            made |= flatten(value, f"{path}.{key}" if path else str(key))
    elif isinstance(told, list | tuple):
        for i, value in enumerate(told):
            named = [str(value[k]) for k in NAMES if k in value] if isinstance(value, Mapping) else []
            made |= flatten(value, f"{path}[{' '.join(named) or i}]")
    else:
        made[path] = told
    return made


def moved(flat: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Numbers that differ between runs, by how far they moved from the first; then words that differ.

    change: of the last run over the first, relative to the larger of the two, between -1 and 1 for figures of one sign.
    """
    paths = list(dict.fromkeys(p for f in flat for p in f))
    rows = []
    for path in paths:
        values = [f.get(path) for f in flat]
        if any(_differ(values[0], v) for v in values[1:]):
            rows.append({"path": path, "values": values, "change": _change(values)})
    return sorted(rows, key=lambda r: -abs(r["change"]) if r["change"] is not None else 1.0)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _differ(a: Any, b: Any) -> bool:
    if _number(a) and _number(b):
        return abs(a - b) > TINY * max(abs(a), abs(b))
    return bool(a != b)


def _change(values: Sequence[Any]) -> float | None:
    """The largest move from the first value, with its sign; None where they are no numbers."""
    first, others = values[0], [v for v in values[1:] if _number(v)]
    if not _number(first) or not others:
        return None
    far = max(others, key=lambda v: abs(v - first))
    return float((far - first) / max(abs(far), abs(first))) if far != first else 0.0


def _inputs(manifests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Paths of the scenarios that differ."""
    flat = [flatten({k: v for k, v in m["scenario"].items() if k not in NO_INPUTS}) for m in manifests]
    paths = list(dict.fromkeys(p for f in flat for p in f))
    rows = [{"path": p, "values": [f.get(p) for f in flat]} for p in paths]
    if len({m.get("seed") for m in manifests}) > 1:
        rows = [
            {"path": "seed", "values": [m.get("seed") for m in manifests]},
            *(r for r in rows if r["path"] != "seed"),
        ]
    return [r for r in rows if any(v != r["values"][0] for v in r["values"][1:]) and r["path"] != "name"]


def _assumptions(manifests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Sourced numbers that differ, or that not every run rests on."""
    named = [{a["name"]: a for a in m.get("assumptions", ())} for m in manifests]
    names = list(dict.fromkeys(n for f in named for n in f))
    rows = []
    for name in names:
        values = [f[name]["value"] if name in f else None for f in named]
        if any(_differ(values[0], v) for v in values[1:]):
            unit = next(f[name]["unit"] for f in named if name in f)
            rows.append({"name": name, "unit": unit, "values": values, "in_all": None not in values})
    return sorted(rows, key=lambda r: (not r["in_all"], r["name"]))


def _waterfall(told: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Share of installed compute that each stage takes, and by how much more than in the first run: what is left adds up."""
    rows = []
    for stage in STAGES:
        lost = [_share(s["waterfall"].get(stage), s) for s in told]
        rows.append({"stage": stage, "lost_share": lost, "left_share": [s["waterfall"].get(stage, {}).get("share") for s in told],
                     "more": [None if v is None or lost[0] is None else v - lost[0] for v in lost]})  # fmt: skip
    return rows


def _share(row: Mapping[str, Any] | None, told: Mapping[str, Any]) -> float | None:
    installed = told["waterfall"]["installed"]["gpu_hours"]
    return None if row is None or not installed else float(row["lost_gpu_hours"]) / installed


def _cost(told: Sequence[Mapping[str, Any]], side: str) -> dict[str, Any] | None:
    """USD per deliverable GPU-hour of each run, and what the difference to the first is made of, term by term.

    With p what a term costs per installed GPU-hour and s the share that is deliverable, c = sum(p) / s. A term's part of the difference
    is (p2 - p1)(1/s1 + 1/s2)/2, that of the share sum(p1 + p2)(1/s2 - 1/s1)/2: they add up to the whole.

    [1] Bennet, J. R. Stat. Soc. 83, 1920: the symmetric decomposition of a product.
    """
    sides = [(s.get("cost") or {}).get(side) for s in told]
    if not all(map(_told, sides)):
        return None
    shown = [s for s in sides if s]
    figures = [s["usd_per_gpu_hour"]["nominal"] for s in shown]
    over = [s["usd_per_installed_gpu_hour"] / f for s, f in zip(shown, figures, strict=True)]  # share deliverable
    terms = [
        {t["asset"]: t["usd_year"] * s["usd_per_installed_gpu_hour"] / s["usd_year"] for t in s["terms"]} for s in shown
    ]
    assets = list(dict.fromkeys(a for t in terms for a in t))
    made = []
    for other in range(1, len(shown)):
        a, b = 1.0 / over[0], 1.0 / over[other]
        first, second = ({n: t.get(n, 0.0) for n in assets} for t in (terms[0], terms[other]))
        rows = [{"term": n, "usd_per_gpu_hour": (second[n] - first[n]) * 0.5 * (a + b)} for n in assets]
        rows.append(
            {"term": "share deliverable", "usd_per_gpu_hour": 0.5 * sum((*first.values(), *second.values())) * (b - a)}
        )
        made.append({"of": other, "difference": figures[other] - figures[0],
                     "terms": sorted(rows, key=lambda r: -abs(r["usd_per_gpu_hour"]))})  # fmt: skip
    return {"usd_per_gpu_hour": figures, "deliverable_share": over, "explained": made}


def _told(side: Mapping[str, Any] | None) -> bool:
    """Whether a side has a price of a GPU-hour."""
    return bool(side and side.get("usd_per_installed_gpu_hour") and (side.get("usd_per_gpu_hour") or {}).get("nominal"))
