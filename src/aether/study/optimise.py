"""`aether optimise`: designs of a scenario against cost, mass and delivered compute, with the twin in the loop."""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from aether.base.errors import InputError, Problem, unknown
from aether.base.tables import Floats, Ints
from aether.base.version import VERSION
from aether.engine.run import Progress
from aether.results import design_report
from aether.results.results import dumps
from aether.scenario import load as scenarios
from aether.scenario.load import Scenario
from aether.study import designs
from aether.study.cluster import pooled
from aether.study.designs import OBJECTIVES, QUIET, Choice, Design
from aether.study.parts import Parts

POPULATION = 16  # designs of a generation: some for each objective, and several generations in a hundred evaluations
SPARE = 2.0  # times what a design lacks: a larger battery asks more of the array, and all is carried, fed and cooled
LABEL = "designs"


@dataclass(frozen=True)
class Tried:
    """A design that has been run: its number, what was chosen, what it came to."""

    number: int
    chosen: Mapping[str, float]
    made: Design


def optimise(
    scenario: str | Path | Mapping[str, Any],
    variables: str | Path | None = None,
    *,
    evaluations: int = 96,
    objectives: Sequence[str] = ("cost", "mass", "delivered"),
    out: str | Path | None = None,
    set: Mapping[str, Any] | None = None,
    seed: int = 1,
    catalog: str | Path | None = None,
    threads: int = 2,
    fresh: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Search for designs: NSGA-II [1] over runs of the twin, each a day of the ships alone at steps of ten minutes.

    scenario: a file, a packaged name or a mapping. variables: a file of what may be chosen; altitude, ring, ship size, radiator, its
    temperature, array, battery, spare ships and terminals of the largest group when not given. evaluations: runs at most. objectives: of
    `designs.OBJECTIVES`. out: folder, `aether-results/designs/NAME` when not given; what lies there is not run again. seed: of the search.
    threads: processes at work; the designs are the same for any number. What a design is short of is a violation of its constraints by
    its relative size: feasible ones go first, of others those that are short of less. Returns what `optimise.json` holds. Raises
    InputError for wrong input and without Optuna.

    [1] Deb et al., IEEE Trans. Evol. Comput. 6(2), 2002, with constrained domination; Optuna's own implementation.
    """
    wanted = _objectives(objectives)
    if evaluations < 1:
        raise InputError(Problem("--evaluations", f"{evaluations} runs search for nothing", next="Give at least 1"))
    _optuna()
    loaded = scenarios.load(scenario, {**QUIET, **(set or {})}, None if catalog is None else Path(catalog))
    choices = designs.default(loaded) if variables is None else designs.read(Path(variables), loaded)
    folder = Path(out) if out is not None else Path("aether-results") / "designs" / loaded.spec.name
    parts = Parts(folder, "optimise", _asked(loaded, choices, wanted, evaluations, seed))
    if parts.open(fresh):
        return read(folder)
    begun = time.perf_counter()
    own = designs.evaluate(loaded, choices, wanted, None)
    if own.problem:
        raise InputError(Problem("", own.problem))
    tried = list(_searched(loaded, choices, wanted, own, evaluations, seed, parts, threads, progress))
    told = _told(loaded, choices, wanted, own, tried)
    parts.table("designs.parquet", _table(choices, wanted, tried))
    parts.write("optimise.json", dumps(told))
    parts.write("optimise.html", design_report.designs(told))
    parts.finish({"aether": VERSION, "wall_s": time.perf_counter() - begun})
    return told | {"folder": str(folder)}


def read(folder: Path) -> dict[str, Any]:
    """What `optimise.json` of a finished search holds."""
    told: dict[str, Any] = json.loads((folder / "optimise.json").read_text(encoding="utf-8"))
    return told | {"folder": str(folder)}


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        told = "the search needs Optuna, which is not installed"
        raise InputError(Problem("", told, next="pip install 'aether-fabric[plan]'")) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _objectives(given: Sequence[str]) -> tuple[str, ...]:
    wanted = tuple(dict.fromkeys(given))
    problems = [unknown("--objectives", "objective", n, OBJECTIVES) for n in wanted if n not in OBJECTIVES]
    if not wanted:
        problems.append(
            Problem("--objectives", "there is nothing to search for", next=f"Known: {', '.join(OBJECTIVES)}")
        )
    if problems:
        raise InputError(problems)
    return wanted


def _asked(
    loaded: Scenario, choices: Sequence[Choice], wanted: Sequence[str], evaluations: int, seed: int
) -> dict[str, Any]:
    spread = {c.name: [c.input.spread.low, c.input.spread.high, *c.input.spread.choices, c.per] for c in choices}
    return {
        "scenario": loaded.data,
        "variables": spread,
        "objectives": list(wanted),
        "evaluations": evaluations,
        "seed": seed,
        "aether": VERSION,
    }


def _searched(
    loaded: Scenario, choices: Sequence[Choice], wanted: Sequence[str], own: Design, evaluations: int, seed: int, parts: Parts,
    threads: int, progress: Progress | None,
) -> Iterator[Tried]:  # fmt: skip
    """Generation after generation; what is asked depends on the seed and on results alone, so what lies on disk is found again."""
    optuna = _optuna()
    directions = ["maximize" if OBJECTIVES[n][2] else "minimize" for n in wanted]
    study = optuna.create_study(
        directions=directions, sampler=optuna.samplers.NSGAIISampler(population_size=POPULATION, seed=seed)
    )
    spread = {c.name: _distribution(optuna, c) for c in choices}
    for start in _starts(choices, own):
        study.enqueue_trial(
            {c.name: round(v) if c.input.leaf.whole else v for c, v in zip(choices, start, strict=True)}
        )
    blob = pickle.dumps((loaded, tuple(choices), tuple(wanted)))
    known = _known(parts, len(wanted))
    say, done = progress or (lambda *_: None), 0
    while done < evaluations:
        trials = [study.ask(spread) for _ in range(min(POPULATION, evaluations - done))]
        chosen = [{n: float(v) for n, v in t.params.items()} for t in trials]
        new = {_key(c): c for c in chosen if _key(c) not in known}
        for number, made in pooled(designs.work, [(blob, c) for c in new.values()], threads):
            key = list(new)[number]
            known[key] = made
            parts.add(len(known), _piece(key, made))
            say(LABEL, min(done + number + 1, evaluations), evaluations, "")
        for trial, values in zip(trials, chosen, strict=True):
            made = known[_key(values)]
            if made.problem:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                trial.set_constraint("short", made.short)
                study.tell(trial, [_finite(v) for v in made.objectives])
            yield Tried(done, values, made)
            done += 1
        say(LABEL, done, evaluations, "")


def _starts(choices: Sequence[Choice], own: Design) -> list[list[float]]:
    """The scenario's own design, and the same with what it lacks: a search that knows them need not find them by chance."""
    values = [c.own for c in choices]
    spread = [c.input.spread for c in choices]
    if any(v is None for v in values) or any(s.kind == "choice" for s in spread):
        return []
    lacks = {row["part"]: float(row["relative"]) for row in own.shortfalls}
    parts = {"array.area": "array", "radiator.area": "radiator", "battery.energy": "battery"}
    grown = [1.0 + SPARE * lacks.get(parts.get(".".join(c.name.split(".")[2:]), ""), 0.0) for c in choices]
    made = []
    for factors in ([1.0] * len(choices), grown):
        start = [float(v or 0.0) * f for v, f in zip(values, factors, strict=True)]
        made.append([min(max(v, s.low), s.high) for v, s in zip(start, spread, strict=True)])
    return made


def _finite(value: float) -> float:
    """What nothing is delivered for costs without end, which no search can rank."""
    return value if np.isfinite(value) else 1e300


def _distribution(optuna: Any, choice: Choice) -> Any:
    spread = choice.input.spread
    if spread.kind == "choice":
        return optuna.distributions.CategoricalDistribution(spread.choices)
    if choice.input.leaf.whole:
        return optuna.distributions.IntDistribution(int(spread.low), int(spread.high))
    return optuna.distributions.FloatDistribution(spread.low, spread.high)


def _key(chosen: Mapping[str, float]) -> str:
    return json.dumps(chosen, sort_keys=True)


def _piece(key: str, made: Design) -> pa.Table:
    row = {
        "chosen": key,
        "objectives": list(made.objectives),
        "short": made.short,
        "shortfalls": json.dumps(made.shortfalls),
        "problem": made.problem,
    }
    return pa.Table.from_pylist([row])


def _known(parts: Parts, objectives: int) -> dict[str, Design]:
    """Designs that lie on disk, by what was chosen."""
    rows = [row for piece in parts.done() for row in piece.to_pylist() if len(row["objectives"]) == objectives]
    return {
        r["chosen"]: Design(tuple(r["objectives"]), r["short"], tuple(json.loads(r["shortfalls"])), r["problem"])
        for r in rows
    }


def front(values: Floats, better: Sequence[bool]) -> Ints:
    """Rows of designs (N, M) that none beats in one objective without losing in another; better: whether more is."""
    cost = np.where(np.array(better), -values, values)
    beaten = [bool(((cost <= row).all(axis=1) & (cost < row).any(axis=1)).any()) for row in cost]
    return np.flatnonzero(~np.array(beaten, bool))


def compromise(values: Floats, better: Sequence[bool]) -> int:
    """The row of a front (N, M) nearest to having the best of every objective at once, each over its range in the front.

    d = sqrt(sum ((v - best) / (worst - best))^2). [1] Zeleny 1973; Yu, Manage. Sci. 19, 1973: compromise solutions.
    """
    cost = np.where(np.array(better), -values, values)
    span = np.ptp(cost, axis=0)
    far = (cost - cost.min(axis=0)) / np.where(span > 0.0, span, 1.0)
    return int(np.argmin((far**2).sum(axis=1)))


def _told(
    loaded: Scenario, choices: Sequence[Choice], wanted: Sequence[str], own: Design, tried: Sequence[Tried]
) -> dict[str, Any]:
    """All that `optimise.json` holds."""
    better = [OBJECTIVES[n][2] for n in wanted]
    good = [t for t in tried if not t.made.problem]
    if not good:
        raise InputError(Problem("", f"no design could be run; the first: {tried[0].made.problem}"))
    least = min(t.made.short for t in good)
    once = list({_key(t.chosen): t for t in reversed(good)}.values())[::-1]
    among = [t for t in once if t.made.short <= 0.0] or once
    values = np.array([(*t.made.objectives, t.made.short) for t in among])  # of feasible ones none is short of anything
    rows = front(values, [*better, False])
    best = rows[compromise(values[rows], [*better, False])] if least <= 0.0 else int(np.argmin(values[:, -1]))
    own_values = {c.name: c.own for c in choices}
    return {
        "scenario": loaded.spec.name, "title": loaded.spec.title, "modelled": True, "evaluations": len(tried), "failures": len(tried) - len(good),
        "objectives": [{"name": n, "output": OBJECTIVES[n][0], "unit": OBJECTIVES[n][1], "more_is_better": OBJECTIVES[n][2]} for n in wanted],
        "variables": [{"name": c.name, "unit": c.input.unit, "low": c.input.spread.low, "high": c.input.spread.high, "per": c.per} for c in choices],
        "feasible": sum(1 for t in good if t.made.short <= 0.0), "least_short": least,
        "own": _design(choices, wanted, -1, own_values, own),
        "front": [_of(choices, wanted, among[i]) for i in sorted(rows, key=lambda i: among[i].made.objectives)],
        "chosen": _of(choices, wanted, among[best]),
        "tried": [{"objectives": dict(zip(wanted, t.made.objectives, strict=True)), "short": t.made.short} for t in good],
    }  # fmt: skip


def _of(choices: Sequence[Choice], wanted: Sequence[str], tried: Tried) -> dict[str, Any]:
    return _design(choices, wanted, tried.number, {c.name: c.value(tried.chosen) for c in choices}, tried.made)


def _design(
    choices: Sequence[Choice], wanted: Sequence[str], number: int, values: Mapping[str, float | None], made: Design
) -> dict[str, Any]:
    told = {c.name: "–" if values[c.name] is None else c.told(float(values[c.name] or 0.0)) for c in choices}
    return {
        "number": number, "values": dict(values), "told": told, "objectives": dict(zip(wanted, made.objectives, strict=True)),
        "short": made.short, "shortfalls": list(made.shortfalls),
    }  # fmt: skip


def _table(choices: Sequence[Choice], wanted: Sequence[str], tried: Sequence[Tried]) -> pa.Table:
    columns: dict[str, Any] = {"design": [t.number for t in tried]}
    columns |= {c.name: [c.value(t.chosen) for t in tried] for c in choices}
    columns |= {n: [t.made.objectives[i] for t in tried] for i, n in enumerate(wanted)}
    return pa.table(columns | {"short": [t.made.short for t in tried], "problem": [t.made.problem for t in tried]})
