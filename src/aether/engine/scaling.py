"""Autoscaling within the tick: which hosts hold a service's weights, and weights on their way over the mesh to more of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aether.base.tables import Bools, Floats, Ints, Links, Scaled
from aether.engine.assemble import Setup
from aether.engine.carry import PLENTY_BIT_S
from aether.engine.loads import Load, between, latency_s, together
from aether.engine.reach import Ways
from aether.engine.work import Service
from aether.scenario.spec import Autoscale


@dataclass(frozen=True)
class Scaling:
    """What a tick made of one service's hosts."""

    state: Scaled
    moved_bit: float  # of weights
    begun: int  # loads that were ordered
    ready: int  # hosts that serve


def nothing(setup: Setup) -> tuple[Scaled, ...]:
    """Nothing chosen yet: the first tick, which knows who asks from where, chooses."""
    hosts = len(setup.hosts.names)
    none = np.zeros(hosts, dtype=np.bool_)
    return tuple(
        Scaled(none, np.zeros(hosts), np.full(hosts, -1, dtype=np.int64), np.zeros(hosts), 0.0) for _ in scaled(setup)
    )


def scaled(setup: Setup) -> list[int]:
    """Services that scale; the others hold their weights everywhere."""
    return [q for q, s in enumerate(setup.work.services) if s.asked.autoscale is not None]


def order(setup: Setup, q: int, now: Scaled, requests: Floats, free_gpu: Floats, way: Ways) -> tuple[Scaled, int]:
    """Hosts to begin to load, or to let go, for what is asked in this tick.

    Load u = GPUs that the requests want over GPUs free at hosts that are ready or loading. Above `up`, hosts are added, the
    nearest to those who ask first, until it is not; below `down`, and `cool` after the last change, the farthest is let go if the rest
    stay below `up`. requests: (C,). free_gpu: (H,).
    """
    service, hosts = setup.work.services[q], len(setup.hosts.names)
    rule = service.asked.autoscale or Autoscale()
    able = service.allowed & np.isfinite(service.need_gpu_s)
    trip_s = _trip(service, requests, way, hosts)
    most = min(rule.most or hosts, int(able.sum()))
    wanted = float(requests.sum()) * float(np.median(service.need_gpu_s[able])) / setup.scenario.spec.step
    ready, left, source, loading = now.ready.copy(), now.left_bit.copy(), now.source.copy(), now.load_s.copy()
    if not ready.any():  # the first tick: these were loaded before the run
        ready[_nearest(trip_s, able & (free_gpu > 0.0))[: rule.least]] = True
    begun, holds = 0, ready | (left > 0.0) | (loading > 0.0)
    supply = float(free_gpu[holds].sum())
    for h in _nearest(trip_s, able & ~holds & (free_gpu > 0.0)):
        if wanted <= rule.up * supply or holds.sum() >= most:
            break
        from_ = _source(setup, int(h), ready, way)
        if from_ < 0:
            continue
        left[h], source[h], holds[h], begun = 8.0 * _weights(service), from_, True, begun + 1
        supply += float(free_gpu[h])
    since = 0.0 if begun else now.since_s
    if not begun and wanted < rule.down * supply and now.since_s >= rule.cool and ready.sum() > rule.least:
        last = int(_nearest(trip_s, ready)[-1])
        if wanted <= rule.up * (supply - float(free_gpu[last])):
            ready[last], since = False, 0.0
    return Scaled(ready, left, source, loading, since), begun


def _nearest(trip_s: Floats, among: Bools) -> Ints:
    """Hosts, those of least round trip first."""
    there = np.flatnonzero(among)
    return there[np.argsort(trip_s[there], kind="stable")]


def _trip(service: Service, requests: Floats, way: Ways, hosts: int) -> Floats:
    """Mean round trip to each host of those who ask [s], the longest allowed where there is no path (H,)."""
    weight = requests if requests.sum() > 0.0 else service.people
    trips = np.minimum(way.round_trip_s.astype(np.float64), 10.0)
    return weight @ trips / max(float(weight.sum()), 1e-30) if len(weight) else np.zeros(hosts)


def _source(setup: Setup, host: int, ready: Bools, way: Ways) -> int:
    """The nearest host that has the weights and a way to this one, -1 for none."""
    holders = np.flatnonzero(ready)
    delay = latency_s(setup, way, holders, host)
    return int(holders[np.argmin(delay)]) if holders.size and np.isfinite(delay).any() else -1


def _weights(service: Service) -> float:
    return next(iter(service.serving.values())).weight_bytes


def load(setup: Setup, now: Scaled, links: Links, way: Ways) -> Load:
    """Weights on their way, each as fast as it goes."""
    to = np.flatnonzero(now.left_bit > 0.0)
    loads = []
    for h in to:
        path = between(setup, int(now.source[h]), np.array([h]), links, way)
        by_fibre = h >= setup.hosts.ships and now.source[h] >= setup.hosts.ships
        reached = path.start[-1] > 0 or by_fibre
        loads.append(Load(path, np.array([PLENTY_BIT_S if reached else 0.0])))
    return together(loads)


def settle(setup: Setup, q: int, now: Scaled, rate_bit_s: Floats, begun: int) -> Scaling:
    """Close a tick: what has arrived is read into memory, and serves from the tick after."""
    service, step_s = setup.work.services[q], setup.scenario.spec.step
    to = np.flatnonzero(now.left_bit > 0.0)
    left, loading, ready = now.left_bit.copy(), now.load_s.copy(), now.ready.copy()
    waiting = loading > 0.0
    loading[waiting] = np.maximum(loading[waiting] - step_s, 0.0)
    ready |= waiting & (loading <= 0.0)
    came = np.minimum(left[to], np.minimum(rate_bit_s, setup.scenario.value("serving.fetch")) * step_s)
    left[to] -= came
    whole = to[left[to] <= 0.0]
    gpus = next(iter(service.serving.values())).gpus
    loading[whole] = _weights(service) / (gpus * setup.scenario.value("tuning.load_rate"))
    return Scaling(
        Scaled(ready, left, now.source, loading, now.since_s + step_s), float(came.sum()), begun, int(now.ready.sum())
    )
