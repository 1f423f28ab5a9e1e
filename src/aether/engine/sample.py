"""Single requests of a run: one replica of each service and group of hosts, followed through the day event by event."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from aether.base.clock import stream
from aether.base.tables import Capacity, Floats, Ints
from aether.engine.assemble import Setup
from aether.engine.serve import Served
from aether.engine.work import Service
from aether.workloads import batching, demand, inference

SEEN = 3  # what is written down: requests of one replica, its share of full clocks, requests of its group of hosts
QUANTILES = (0.5, 0.95, 0.99)


def groups(setup: Setup) -> dict[str, Ints]:
    """Hosts of each group of ships and site that is followed; none where the scenario does not ask for it."""
    if not setup.scenario.spec.outputs.requests:
        return {}
    names = np.array(setup.hosts.group)
    return {name: np.flatnonzero(names == name) for name in dict.fromkeys(setup.hosts.group)}


def observe(setup: Setup, served: Served, capacity: Capacity) -> Floats:
    """What one tick asks of a replica at the first host of each group (Q, G, SEEN).

    GPUs of other services and of training are replicas fewer; power, heat and reach slow those that remain.
    """
    services, hosts, step_s = setup.work.services, setup.hosts, setup.scenario.spec.step
    chosen = groups(setup)
    made = np.zeros((len(services), len(chosen), SEEN))
    if not chosen:
        return made
    alive = np.concatenate([capacity.working, served.ground_gpu])
    free = np.concatenate([capacity.reach, served.ground_gpu])
    need = np.array([s.need_gpu_s for s in services]).reshape(len(services), len(hosts.names))
    used = served.by_host * np.where(np.isfinite(need), need, 0.0) / step_s
    for g, members in enumerate(chosen.values()):
        h = members[0]
        for q, service in enumerate(services):
            serving = service.serving.get(hosts.accelerator[h])
            if serving is None or free[h] <= 0.0:
                continue
            taken = served.training_gpu[h] + used[:, h].sum() - used[q, h]
            mine = alive[h] * max(0.0, 1.0 - taken / free[h]) / serving.gpus
            asked = served.by_host[q, h] / mine if mine > 0.0 else 0.0
            made[q, g] = asked, min(1.0, free[h] / alive[h]), served.by_host[q, members].sum()
    return made


def follow(setup: Setup, q: int, seen: Floats) -> dict[str, Any]:
    """Percentiles over single requests of a service: first token and whole answer at the replica, mean gap between tokens.

    Arrivals in a tick are Poisson about what a replica was given; lengths are drawn, or taken from the trace. Groups weigh
    by the requests they served. Nobody gives up here: patience is spent before a host takes a request. The way between
    people and replica is not in these times. seen: (T, Q, G, SEEN).
    """
    service, clock = setup.work.services[q], setup.scenario.clock
    times, weights, counts = [], [], np.zeros(4)
    for g, (name, members) in enumerate(groups(setup).items()):
        asked, speed, served = seen[:, q, g].T
        part = setup.hosts.accelerator[members[0]]
        if asked.sum() <= 0.0:
            continue
        rng = stream(setup.scenario.spec.seed, f"follow/{service.name}/{name}")
        drawn = rng.poisson(asked)
        time_s = np.sort((np.repeat(np.arange(drawn.size), drawn) + rng.random(drawn.sum())) * clock.step_s)
        read_in, written = _lengths(setup, service, rng, time_s.size)
        done = batching.serve(
            _server(setup, service, part), [0, time_s.size], time_s, read_in, written, speed=speed, step_s=clock.step_s,
            until_s=clock.duration_s,
        )  # fmt: skip
        counts += np.bincount(done.status, minlength=4)
        good = done.status == batching.SERVED
        gap = (done.finish_s - done.first_s) / np.maximum(written - 1.0, 1.0)
        times.append(np.stack([done.first_s - time_s, gap, done.finish_s - time_s])[:, good])
        weights.append(np.full(good.sum(), served.sum() / max(good.sum(), 1)))
    told: dict[str, Any] = {
        "requests": int(counts.sum()), "served": int(counts[batching.SERVED]), "in_flight": int(counts[batching.IN_FLIGHT]),
        "rejected": int(counts[batching.TOO_LONG]),
    }  # fmt: skip
    whole = np.concatenate(times, axis=1) if times else np.empty((3, 0))
    weight = np.concatenate(weights) if weights else np.empty(0)
    for key, values in zip(("first_token", "token_gap", "answer"), whole, strict=True):
        found = quantiles(values, weight, QUANTILES)
        told |= {f"{key}_p{round(100 * s)}_s": v for s, v in zip(QUANTILES, found, strict=True)}
    return told


def _server(setup: Setup, service: Service, part: str) -> batching.Server:
    """A replica as the service plans it: no more requests in flight than its curve has."""
    catalog, serving = setup.scenario.catalog, service.serving[part]
    efficiency = inference.calibrated(catalog, service.asked.model, part, service.asked.precision)
    most = min(serving.batch[-1], batching.MOST_REQUESTS, efficiency.chunk_tokens - 1.0)
    return batching.server(
        service.model, catalog.accelerator(part), serving.gpus, service.asked.precision, replace(efficiency, max_batch=most)
    )  # fmt: skip


def _lengths(setup: Setup, service: Service, rng: np.random.Generator, count: int) -> tuple[Floats, Floats]:
    """Tokens of requests and answers (N,), whole: of the trace, or of the catalog, stretched to the means that are asked."""
    wanted, scenario = service.asked.requests, setup.scenario
    if wanted.trace is not None:
        trace = demand.read_trace(scenario.texts[wanted.trace], wanted.trace)
        chosen = rng.integers(0, trace.time_s.size, count)
        pair = (trace.input_tokens[chosen], trace.output_tokens[chosen])
        means = (float(trace.input_tokens.mean()), float(trace.output_tokens.mean()))
    else:
        lengths = scenario.catalog.lengths(wanted.lengths)
        pair, means = demand.sample(lengths, rng, count), (float(lengths.input_mean), float(lengths.output_mean))
    asked = (wanted.input_tokens or means[0], wanted.output_tokens or means[1])
    first, second = (np.maximum(np.rint(v * a / m), 1.0) for v, a, m in zip(pair, asked, means, strict=True))
    return first, second


def quantiles(values: Floats, weight: Floats, shares: tuple[float, ...]) -> list[float | None]:
    """Weighted quantiles: the least value below which a share of the weight lies; None without any."""
    if not values.size:
        return [None for _ in shares]
    order = np.argsort(values, kind="stable")
    upto = np.cumsum(weight[order])
    at = np.searchsorted(upto, np.array(shares) * upto[-1])
    return [float(values[order[min(i, order.size - 1)]]) for i in at]
