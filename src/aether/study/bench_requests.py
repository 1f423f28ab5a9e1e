"""The bench's requests: a measured mix of lengths through replicas at their target load, one by one."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

import numpy as np

from aether.base.tables import Floats, Ints
from aether.scenario.catalog import packaged
from aether.study import bench_peers as peers
from aether.study.timing import Row, row, times
from aether.workloads import batching, demand, inference

MODEL, GPU, PRECISION, MIX = "llama-3.1-8b", "h100-sxm", "fp8", "azure-conversation"
FEW = 5_000  # requests for the peer, whose cost per request does not depend on how many there are


@dataclass(frozen=True)
class Mix:
    """Requests of several replicas, one replica after another."""

    server: batching.Server
    start: Ints  # (R + 1,)
    time_s: Floats  # (N,)
    input_tokens: Ints
    output_tokens: Ints

    def serve(self) -> batching.Batched:
        """All of them through the event core."""
        return batching.serve(self.server, self.start, self.time_s, self.input_tokens, self.output_tokens)


def mix(replicas: int, each: int) -> Mix:
    """Poisson arrivals at every replica, as many as `serving.target_load` of the most it could answer."""
    catalog, rng = packaged(), np.random.default_rng(1)
    model, gpu, lengths = catalog.model(MODEL), catalog.accelerator(GPU), catalog.lengths(MIX)
    efficiency = inference.efficiency(catalog)
    most = inference.curve(model, gpu, 1, PRECISION, float(lengths.input_mean), float(lengths.output_mean), efficiency)
    rate = catalog.value("serving.target_load") * float(most.request_s[-1])
    asked, answer = demand.sample(lengths, rng, replicas * each)
    time_s = np.cumsum(rng.exponential(1.0 / rate, (replicas, each)), axis=1).ravel()
    server = batching.server(model, gpu, 1, PRECISION, efficiency)
    return Mix(server, np.arange(replicas + 1) * each, time_s, asked.astype(np.int32), answer.astype(np.int32))


def rows(runs: int, quick: bool) -> list[Row]:
    """A request's time beside simpy's, and ten million of them."""
    many, few, beside = mix(100, 10_000), mix(1, FEW), {}
    if peers.installed("simpy"):
        work = peers.simpy_requests(few.server, few.time_s, few.input_tokens, few.output_tokens)
        beside["simpy"] = median(times(work, 3)) * 1e9 / FEW
    what = "1,000,000 requests, 100 replicas at 85 % load"
    first = row(
        "continuous batching, one by one", what, "ns/request", times(many.serve, min(runs, 5)), 1e3, 250.0, beside
    )
    whole, what = mix(1_000, 10_000), "10,000,000 requests, 1,000 replicas at 85 % load"
    second = row("continuous batching, one by one", what, "s", times(whole.serve, 1 if quick else 3), 1.0, 5.0)
    return [first, second]
