"""The models of serving that `aether validate` knows."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from importlib import resources

import numpy as np

from aether.base.errors import InputError, Problem, unknown
from aether.scenario.catalog import packaged
from aether.study.validation import model as register
from aether.workloads import calibration, inference, prefix


@register(
    "inference.serve",
    {"model": "", "gpu": "", "gpus": "1", "precision": "", "input_tokens": "1", "output_tokens": "1", "concurrency": "1"},
    {"ttft": "s", "itl": "s", "throughput": "1/s"},
)  # fmt: skip
def _serve(
    model: str, gpu: str, gpus: float, precision: str, input_tokens: float, output_tokens: float, concurrency: float
) -> Mapping[str, float]:
    """One replica at a number of requests in flight: first token, gap between tokens, output tokens per second."""
    catalog = packaged()
    curve = inference.curve(catalog.get("models", model, "model"), catalog.get("accelerators", gpu, "gpu"), round(gpus), precision,
                            input_tokens, output_tokens, inference.efficiency(catalog))  # fmt: skip
    if not 1 <= concurrency <= curve.batch[-1]:
        what = f"{concurrency:g} requests in flight; memory holds 1 to {curve.batch[-1]:.0f}"
        raise InputError(Problem("concurrency", what))
    rate, gap, first = (
        float(np.interp(concurrency, curve.batch, values))
        for values in (curve.request_s, curve.iteration_s, curve.first_token_s)
    )
    return {"ttft": first, "itl": gap, "throughput": rate * output_tokens}


_LOGS = ("llama-3.1-8b", "qwen3-30b-a3b")  # models whose logs of vLLM on RTX PRO 6000 are in study/data
_RANKS = {"apart": False, "joined": True}


@cache
def _log(name: str) -> tuple[calibration.Log, calibration.Deployment]:
    if name not in _LOGS:
        raise InputError(unknown("log", "log", name, _LOGS))
    folder = resources.files("aether.study") / "data"
    text, meta = ((folder / f"vllm-{name}.{end}").read_text(encoding="utf-8") for end in ("csv", "meta.json"))
    return calibration.read_log(text, f"vllm-{name}.csv"), calibration.read_meta(meta, f"vllm-{name}.meta.json")[1]


@cache
def _fitted(name: str) -> inference.Efficiency:
    catalog, (log, deployment) = packaged(), _log(name)
    start, gpu = inference.efficiency(catalog), catalog.accelerator("rtx-pro-6000")
    return calibration.fit(log, catalog.model(name), gpu, deployment, start).efficiency


@register(
    "inference.replay",
    {"log": "", "fitted_on": "", "ranks": ""},
    {"ttft": "s", "tpot": "s", "end_to_end": "s"},
    optional=("fitted_on", "ranks"),
)
def _replay(log: str, fitted_on: str = "", ranks: str = "apart") -> Mapping[str, float]:
    """A server's log replayed in discrete events with the catalogue's efficiencies, or those fitted on a log: means."""
    if ranks not in _RANKS:
        raise InputError(unknown("ranks", "way", ranks, _RANKS))
    (read, deployment), catalog = _log(log), packaged()
    reached = _fitted(fitted_on) if fitted_on else inference.efficiency(catalog)
    setting = calibration.joined(deployment) if _RANKS[ranks] else deployment
    done = calibration.replay(read, catalog.model(log), catalog.accelerator("rtx-pro-6000"), setting, reached)
    means = calibration.times(read, *done)
    return {"ttft": means.first_token, "tpot": means.per_token, "end_to_end": means.whole}


@register("inference.prefix", {"trace": ""}, {"hit": "1"})
def _prefix(trace: str) -> Mapping[str, float]:
    """The share of a trace's blocks that a prefix cache without end finds, from how often its blocks come."""
    text = (resources.files("aether.workloads") / "data" / "reuse.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    mine = [(float(row["uses"]), float(row["blocks"])) for row in rows if row["trace"] == trace]
    if not mine:
        raise InputError(unknown("trace", "trace", trace, {row["trace"] for row in rows}))
    uses, blocks = zip(*mine, strict=True)
    return {"hit": prefix.share_found(uses, blocks)}
