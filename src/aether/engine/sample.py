"""Single requests of a run: one replica of each service and group of hosts, followed through the day event by event."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from aether.base.clock import stream
from aether.base.tables import Capacity, Floats, Ints
from aether.engine.assemble import Setup
from aether.engine.running import Spread
from aether.engine.serve import Served
from aether.engine.work import Service
from aether.workloads import batching, demand, inference

WAYS = (
    9  # round trips with their waits, at even shares of a tick's requests of a group; ours, enough for a city's spread
)
SEEN = 5 + WAYS  # requests of a replica, its share of full clocks, requests of its group, mean wait, prompts read; ways
QUANTILES = (0.5, 0.95, 0.99)
CURVE = (0.01, 0.05, *(round(0.1 * n, 1) for n in range(1, 10)), 0.95, 0.98, 0.99)  # shares that the report draws
TIMES = ("first_token", "token_gap", "answer")


@dataclass(frozen=True)
class Requests:
    """Requests of one group that were followed to their end (N,), and counts of all."""

    times_s: Floats  # (3, N) of `TIMES`
    weight: Floats  # (N,)
    counts: Ints  # (4,) by status
    cache_share: float  # the most of a replica's cache in use
    preempted: int


def groups(setup: Setup) -> dict[str, Ints]:
    """Hosts of each group of ships and site that is followed; none where the scenario does not ask for it."""
    if not setup.scenario.spec.outputs.requests or not setup.work.services:
        return {}
    names = np.array(setup.hosts.group)
    return {name: np.flatnonzero(names == name) for name in dict.fromkeys(setup.hosts.group)}


def observe(setup: Setup, served: Served, capacity: Capacity) -> Floats:
    """What one tick asks of a replica of each group, the mean of its hosts that serve (Q, G, SEEN).

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
    taken = served.training_gpu + served.parted.gpu + used.sum(axis=0)
    for g, members in enumerate(chosen.values()):
        for q, service in enumerate(services):
            h = members[(served.by_host[q, members] > 0.0) & (free[members] > 0.0)]
            if not h.size:
                continue
            gpus = service.serving[hosts.accelerator[h[0]]].gpus
            mine = alive[h] * np.maximum(0.0, 1.0 - (taken[h] - used[q, h]) / free[h]) / gpus
            replicas = float(mine.sum())
            if replicas > 0.0:
                speed = float((mine * np.minimum(1.0, free[h] / alive[h])).sum()) / replicas
                made[q, g, :3] = served.by_host[q, h].sum() / replicas, speed, served.by_host[q, members].sum()
                made[q, g, 4] = served.parted.asked[q]
    _see_ways(setup, served, made)
    return made


def _see_ways(setup: Setup, served: Served, made: Floats) -> None:
    """Mean wait, and round trips with waits at even shares, of each service and group; written into `made`."""
    plan, names = served.plan, list(dict.fromkeys(setup.hosts.group))
    group = np.array([names.index(name) for name in setup.hosts.group])[plan.host]
    travel_s = served.parted.travel_s[plan.work, plan.host]
    cell, way_s = plan.work * len(names) + group, served.trip_s + served.wait_s + travel_s
    order = np.lexsort((way_s, cell))
    order = order[served.done[order] > 0.0]
    bounds = np.searchsorted(cell[order], np.arange(made.shape[0] * len(names) + 1))
    shares = (np.arange(WAYS) + 0.5) / WAYS
    for c in np.flatnonzero(np.diff(bounds)):
        rows = order[bounds[c] : bounds[c + 1]]
        q, g = divmod(int(c), len(names))
        upto = np.cumsum(served.done[rows])
        made[q, g, 3] = served.wait_s[rows] @ served.done[rows] / upto[-1]
        at = np.searchsorted(upto, shares * upto[-1])
        made[q, g, 5:] = way_s[rows[np.minimum(at, rows.size - 1)]]


def follow(setup: Setup, q: int, seen: Floats, fluid: Spread) -> dict[str, Any]:
    """Percentiles over single requests of a service: first token and whole answer as people see them, mean gap of tokens.

    Arrivals in a tick are Poisson about what a replica was given; lengths are drawn, or taken from the trace. Each request
    adds a round trip and a wait before it was placed, drawn from those of its tick and group. Who has not begun when his
    patience ends (a step at least, the run's finest) gives up. Groups weigh by the requests they served. Where prompts
    are read apart a reader is followed beside, and each answer takes a prompt's time of its moment and its cache's on the way.
    seen: (T, Q, G, SEEN). fluid: times to first token of the run.
    """
    rows = {name: _group(setup, q, name, members, seen[:, q, g])
            for g, (name, members) in enumerate(groups(setup).items()) if seen[:, q, g, 0].any()}  # fmt: skip
    found = list(rows.values())
    whole = np.concatenate([r.times_s for r in found], axis=1) if found else np.empty((3, 0))
    weight = np.concatenate([r.weight for r in found]) if found else np.empty(0)
    told = _told(found, whole, weight)
    told["groups"] = [{"host": name, **_told([r], r.times_s, r.weight)} for name, r in rows.items()]
    told["curve"] = {"share": list(CURVE), "fluid_first_token_s": fluid.quantiles(CURVE)} | {
        f"{k}_s": quantiles(v, weight, CURVE) for k, v in zip(TIMES, whole, strict=True)
    }
    return told


def _told(found: list[Requests], times_s: Floats, weight: Floats) -> dict[str, Any]:
    """Counts and percentiles of some groups."""
    counts = np.sum([r.counts for r in found], axis=0) if found else np.zeros(4, np.int64)
    told: dict[str, Any] = {
        "requests": int(counts.sum()), "served": int(counts[batching.SERVED]), "in_flight": int(counts[batching.IN_FLIGHT]),
        "rejected": int(counts[batching.TOO_LONG]), "expired": int(counts[batching.EXPIRED]),
        "cache_share": max((r.cache_share for r in found), default=0.0), "preempted": sum(r.preempted for r in found),
    }  # fmt: skip
    for key, values in zip(TIMES, times_s, strict=True):
        made = quantiles(values, weight, QUANTILES)
        told |= {f"{key}_p{round(100 * s)}_s": v for s, v in zip(QUANTILES, made, strict=True)}
    return told


def _group(setup: Setup, q: int, name: str, members: Ints, seen: Floats) -> Requests:
    """One replica of a group through the day; seen: (T, SEEN)."""
    service, clock = setup.work.services[q], setup.scenario.clock
    rng = stream(setup.scenario.spec.seed, f"follow/{service.name}/{name}")
    tick, time_s = _arrivals(rng, seen[:, 0], clock.step_s)
    read_in, written = _lengths(setup, service, rng, time_s.size)
    way_s = seen[tick, 5 + rng.integers(0, WAYS, time_s.size)]
    patience_s = np.maximum(service.asked.patience - seen[tick, 3], clock.step_s)
    made = server(setup, service, setup.hosts.accelerator[members[0]])
    read_s, hit, more = np.zeros(time_s.size), service.asked.prefix_hit, 0.0
    if service.readers is not None:
        read_s, hit, more = _read(setup, service, name, seen[:, 4], time_s), 1.0, 1.0
    done = batching.serve(
        made, [0, time_s.size], time_s, read_in, np.maximum(written - more, 1.0), hit_tokens=np.minimum(np.rint(hit * read_in), read_in - 1.0),
        patience_s=patience_s, speed=seen[:, 1], step_s=clock.step_s, until_s=clock.duration_s,
    )  # fmt: skip
    good = done.status == batching.SERVED
    gap = (done.finish_s - done.first_s) / np.maximum(written - 1.0 - more, 1.0)
    first = (done.first_s - time_s if service.readers is None else read_s) + way_s
    answer = done.finish_s - time_s + read_s + way_s
    return Requests(
        np.stack([first, gap, answer])[:, good], np.full(good.sum(), seen[:, 2].sum() / max(good.sum(), 1)),
        np.bincount(done.status, minlength=4), float(done.peak_tokens[0]) / made.cache_tokens, int(done.preempted[0]),
    )  # fmt: skip


def _arrivals(rng: np.random.Generator, asked: Floats, step_s: float) -> tuple[Ints, Floats]:
    """Ticks and times of requests (N,), Poisson about what is asked in each tick."""
    drawn = rng.poisson(asked)
    tick = np.repeat(np.arange(drawn.size), drawn)
    return tick, np.sort((tick + rng.random(drawn.sum())) * step_s)


def _read(setup: Setup, service: Service, name: str, asked: Floats, time_s: Floats) -> Floats:
    """Time that the prompt of each request takes where prompts are read (N,): of the reader's request of that moment."""
    rng, clock = stream(setup.scenario.spec.seed, f"follow/{service.name}/{name}/read"), setup.scenario.clock
    _, come_s = _arrivals(rng, asked, clock.step_s)
    if not come_s.size:
        return np.zeros(time_s.size)
    read_in, _ = _lengths(setup, service, rng, come_s.size)
    part = next(iter(service.reading.serving))
    hit = np.minimum(np.rint(service.asked.prefix_hit * read_in), read_in - 1.0)
    done = batching.serve(
        server(setup, service, part, reads=True), [0, come_s.size], come_s, read_in, np.ones(come_s.size), hit_tokens=hit
    )  # fmt: skip
    took = np.nan_to_num(done.first_s - come_s)
    return took[np.minimum(np.searchsorted(come_s, time_s), come_s.size - 1)]


def server(setup: Setup, service: Service, part: str, reads: bool = False) -> batching.Server:
    """A replica as the service plans it: no more requests in flight than its curve has.

    part: the accelerator. reads: of those that read prompts only.
    """
    catalog = setup.scenario.catalog
    serving = service.readers.serving[part] if reads and service.readers else service.serving[part]
    drafts = None if reads else service.drafts
    efficiency = inference.calibrated(catalog, service.asked.model, part, service.asked.precision)
    width = drafts.length + 1 if drafts else 1
    most = min(serving.batch[-1], batching.MOST_REQUESTS, (efficiency.chunk_tokens - 1.0) // width)
    return batching.server(
        service.model, catalog.accelerator(part), serving.gpus, service.asked.precision, replace(efficiency, max_batch=most), drafts
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
    order = np.argsort(values)  # ties are alike: numpy sorts in vectors then
    upto = np.cumsum(weight[order])
    at = np.searchsorted(upto, np.array(shares) * upto[-1])
    return [float(values[order[min(i, order.size - 1)]]) for i in at]
