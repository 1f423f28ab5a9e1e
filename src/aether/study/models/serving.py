"""The models of serving that `aether validate` knows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from aether.base.errors import InputError, Problem
from aether.scenario.catalog import packaged
from aether.study.validation import model as register
from aether.workloads import inference


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
