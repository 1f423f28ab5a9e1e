"""What a study's points say: how outputs are spread, what moves them, which points are the extremes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import rankdata

from aether.base.tables import Floats
from aether.study import sampling, study_points
from aether.study.study_file import Study
from aether.study.study_points import Told

if TYPE_CHECKING:
    from aether.study.studies import Bases

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
BINS = 16  # of an input, in which its own share of the variance is looked for
LEAST = 20 * BINS  # points from which it is told: fewer leave bins of chance
ROUNDING = 1e-12  # relative: outputs that differ by less are alike
EXTREMES = 3  # points told at either end


def answers(loaded: Study, bases: Bases, points: Mapping[str, Floats], told: Told) -> dict[str, Any]:
    """All that `study.json` holds."""
    spec, count = loaded.spec, len(next(iter(points.values())))
    outputs = told.outputs.reshape(len(loaded.variants), count, -1)
    failed = [(int(told.point[i]), p) for i, p in enumerate(told.problems) if p]
    ranks = {name: ranked(x) for name, x in points.items()}
    variants = {
        name: {
            path: _one(loaded, points, ranks, outputs[v, :, o], study_points.output(bases.runs[v].summary, path))
            for o, path in enumerate(bases.paths)
        }
        for v, name in enumerate(loaded.variants)
    }
    runs = len(loaded.variants) * (len(np.unique(_columns(bases, points), axis=0)) if bases.engine else 1)
    return {
        "study": spec.name, "title": spec.title, "modelled": True, "scenario": spec.scenario, "method": spec.method, "seed": spec.seed,
        "points": len(told.point), "runs": runs, "failed": [{"point": p, "problem": w} for p, w in failed[:20]], "failures": len(failed),
        "inputs": [_input(i, i in bases.money) for i in loaded.inputs], "correlations": [c.model_dump() for c in spec.correlations],
        "outputs": list(bases.paths), "scenarios": variants,
    }  # fmt: skip


def _columns(bases: Bases, points: Mapping[str, Floats]) -> Floats:
    return np.stack([points[i.name] for i in bases.engine], axis=1)


def _input(made: Any, money: bool) -> dict[str, Any]:
    spread = made.spread
    ends = {} if spread.kind == "choice" else {"low": spread.low, "mode": spread.mode, "high": spread.high}
    values = [made.text(v) for v in spread.choices]
    return {
        "name": made.name,
        "unit": made.unit,
        "distribution": spread.kind,
        **ends,
        "values": values,
        "runs_the_twin": not money,
    }


def _one(
    loaded: Study, points: Mapping[str, Floats], ranks: Mapping[str, Floats], y: Floats, nominal: float
) -> dict[str, Any]:
    """One output in one variant."""
    good = np.isfinite(y)
    told: dict[str, Any] = {"nominal": nominal, "count": int(good.sum())}
    if not good.any():
        return told
    fine = y[good]
    told |= {"mean": float(fine.mean()), "sd": float(fine.std()), "low": float(fine.min()), "high": float(fine.max())}
    told |= {f"p{round(100 * q)}": float(v) for q, v in zip(QUANTILES, np.quantile(fine, QUANTILES), strict=True)}
    inputs = {name: values[good] for name, values in points.items()}
    told["rank_correlations"] = correlations(ranks if good.all() else {n: ranked(x) for n, x in inputs.items()}, fine)
    if loaded.spec.method == "indices":
        if good.all():
            made = sampling.indices(tuple(points), y)
            told["sobol"] = {
                n: {"first": float(f), "total": float(t)}
                for n, f, t in zip(made.names, made.first, made.total, strict=True)
            }
    elif len(fine) >= LEAST and loaded.spec.method != "grid":
        told["sobol"] = {name: {"first": first_order(x, fine), "total": None} for name, x in inputs.items()}
    order = np.flatnonzero(good)[np.argsort(fine, kind="stable")]
    for end, rows in (("lowest", order[:EXTREMES]), ("highest", order[::-1][:EXTREMES])):
        told[end] = [_extreme(loaded, points, y, int(i)) for i in rows]
    return told


def _extreme(loaded: Study, points: Mapping[str, Floats], y: Floats, i: int) -> dict[str, Any]:
    inputs = {m.name: m.text(points[m.name][i]) if m.words else float(points[m.name][i]) for m in loaded.inputs}
    return {"point": i, "value": float(y[i]), "inputs": inputs}


def ranked(x: Floats) -> Floats:
    """Ranks of values (N,) about their mean; ties share theirs, and of values that are alike but for rounding all are 0."""
    if not np.ptp(x) > ROUNDING * np.abs(x).max():
        return np.zeros(len(x))
    ranks: Floats = rankdata(x)
    return ranks - ranks.mean()


def correlations(ranks: Mapping[str, Floats], y: Floats) -> dict[str, float]:
    """Spearman's rank correlation of each input, by its `ranked` values (N,), with an output (N,); 0 where either never changes.

    [1] Spearman 1904; ties take their mean rank.
    """
    own = ranked(y)
    told = {}
    for name, mine in ranks.items():
        scale = float(np.sqrt((mine @ mine) * (own @ own)))
        told[name] = float(mine @ own) / scale if scale > 0.0 else 0.0
    return told


def first_order(x: Floats, y: Floats) -> float:
    """The share of an output's variance that one input explains alone, from any sample: V(E(y | bin of x)) / V(y), chance taken off.

    x, y (N,): bins are even in the ranks of x. S = (B - (b - 1) / (N - b) W) / V, with B and W the sums of squares between and within
    b bins. Returns [1], not below 0; of tied inputs it counts what they share for each.

    [1] Kelley 1935 (epsilon squared); Plischke, Reliab. Eng. Syst. Saf. 95, 2010.
    """
    values = np.unique(x)
    if len(values) <= BINS:
        bins = np.searchsorted(values, x)
    else:
        bins = np.minimum((BINS * (rankdata(x) - 0.5) / len(x)).astype(np.int64), BINS - 1)
    used, count = int(bins.max()) + 1, np.bincount(bins)
    mean = np.bincount(bins, y) / np.maximum(count, 1)
    all_ = float(((y - y.mean()) ** 2).sum())
    between = float((count * (mean - y.mean()) ** 2).sum())
    if not np.ptp(y) > ROUNDING * np.abs(y).max() or len(y) <= used:
        return 0.0
    return max(0.0, (between - (used - 1) / (len(y) - used) * (all_ - between)) / all_)
