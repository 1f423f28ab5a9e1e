"""Prompts read at some hosts, answers written at others: compute held back for readers, caches as flows over the mesh."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from aether.base.tables import Floats, Ints, Links, Plan, Snapshot
from aether.engine.assemble import Setup
from aether.engine.loads import Load, between, latency_s, together
from aether.engine.reach import Ways
from aether.engine.work import Service
from aether.workloads import inference


@dataclass(frozen=True)
class Reserved:
    """What one service's readers hold back in a tick (H,)."""

    service: int
    gpu_s: Floats
    room_gpu_s: Floats  # that there was when it was held back


@dataclass(frozen=True)
class Handed:
    """Which host reads the prompts of which writer (P,), readers together."""

    service: int
    reader: Ints
    writer: Ints
    requests: Floats
    latency_s: Floats  # one way


@dataclass(frozen=True)
class Parted:
    """What a tick made of all prompts read apart."""

    share: (
        Floats  # (Q, H) of the requests placed at a writer whose prompt was read and came; 1 where none is read apart
    )
    first_s: Floats  # (Q, H) from the request's arrival to its first token at the writer; 0 where none is read apart
    travel_s: Floats  # (Q, H) of it, the cache's way from its reader
    gpu: Floats  # (H,) that read
    placed_gpu: Floats  # (H,) that would have read all that was placed
    asked: Floats  # (Q,) prompts that came to one replica that reads
    moved_bit: float  # of caches
    lost_bit: float  # of caches that links did not carry


def parted(setup: Setup) -> list[int]:
    """Services whose prompts are read apart."""
    return [q for q, s in enumerate(setup.work.services) if s.readers is not None]


def reserve(setup: Setup, snapshot: Snapshot) -> tuple[Snapshot, tuple[Reserved, ...]]:
    """Hold back what readers need for the requests of a tick, before anything is placed.

    No more than writers could write with all they have, in proportion to what readers have free; what is asked beyond
    waits. Returns the snapshot that is left for placement.
    """
    free, requests, held = snapshot.free_gpu_s.copy(), snapshot.requests.copy(), []
    for q in parted(setup):
        service = setup.work.services[q]
        need, total = service.reading.need_gpu_s, float(requests[q].sum())
        can = np.where(np.isfinite(need), free / np.where(np.isfinite(need), need, 1.0), 0.0)
        able = snapshot.allowed[q] & np.isfinite(snapshot.need_gpu_s[q])
        most = float((free[able] / snapshot.need_gpu_s[q, able]).sum())
        wanted = min(total, most, float(can.sum()))
        taken = np.where(can > 0.0, can * wanted / max(float(can.sum()), 1e-30) * np.where(can > 0.0, need, 0.0), 0.0)
        held.append(Reserved(q, taken, free.copy()))
        free = np.maximum(free - taken, 0.0)
        if total > 0.0:
            requests[q] *= min(1.0, wanted / total)
    return replace(snapshot, free_gpu_s=free, requests=requests), tuple(held)


def hand_over(setup: Setup, plan: Plan, reserved: tuple[Reserved, ...], way: Ways) -> tuple[Handed, ...]:
    """Who reads for whom: each writer's prompts at the nearest readers that have compute left, largest writers first."""
    made, hosts = [], len(setup.hosts.names)
    for held in reserved:
        service = setup.work.services[held.service]
        mine = plan.work == held.service
        asked = np.bincount(plan.host[mine], plan.requests[mine], hosts)
        readers = np.flatnonzero(held.gpu_s > 0.0)
        left = held.gpu_s[readers] / service.reading.need_gpu_s[readers]
        rows: list[tuple[int, int, float, float]] = []
        for writer in np.argsort(-asked, kind="stable")[: int((asked > 0.0).sum())]:
            delay, wanted = latency_s(setup, way, readers, int(writer)), float(asked[writer])
            for n in np.argsort(delay, kind="stable"):
                given = min(wanted, float(left[n])) if np.isfinite(delay[n]) else 0.0
                if given > 0.0:
                    rows.append((int(readers[n]), int(writer), given, float(delay[n])))
                    left[n], wanted = left[n] - given, wanted - given
        rows.sort(key=lambda row: row[0])
        columns = np.array(rows, dtype=np.float64).reshape(-1, 4).T
        made.append(
            Handed(held.service, columns[0].astype(np.int64), columns[1].astype(np.int64), columns[2], columns[3])
        )
    return tuple(made)


def loads(setup: Setup, handed: tuple[Handed, ...], links: Links, way: Ways) -> tuple[Load, ...]:
    """Caches on their way, each as fast as prompts are read."""
    return tuple(_load(setup, one, links, way) for one in handed)


def _load(setup: Setup, handed: Handed, links: Links, way: Ways) -> Load:
    readers = setup.work.services[handed.service].reading
    parts = []
    for reader in np.unique(handed.reader):  # rows stand by reader
        rows = handed.reader == reader
        paths = between(setup, int(reader), handed.writer[rows], links, way)
        parts.append(Load(paths, handed.requests[rows] * readers.cache_bit / setup.scenario.spec.step))
    return together(parts)


def sending_s(
    setup: Setup, handed: tuple[Handed, ...], loads: tuple[Load, ...], capacity_bit_s: Floats
) -> list[Floats]:
    """Time that one cache takes to be sent, alone on the slowest link of its way: V / C (P,); 0 where it crosses none."""
    made = []
    for one, load in zip(handed, loads, strict=True):
        slowest, start = np.full(len(one.reader), np.inf), load.paths.start
        crossed = np.flatnonzero(np.diff(start) > 0)
        if crossed.size:
            slowest[crossed] = np.minimum.reduceat(capacity_bit_s[load.paths.link], start[crossed])
        with np.errstate(divide="ignore"):
            made.append(setup.work.services[one.service].reading.cache_bit / slowest)
    return made


def settle(
    setup: Setup, plan: Plan, reserved: tuple[Reserved, ...], handed: tuple[Handed, ...], rates_bit_s: list[Floats],
    sent_s: list[Floats],
) -> Parted:  # fmt: skip
    """What was read and came; of each service's caches (P,): rates_bit_s of all together, sent_s that one takes by `sending_s`."""
    hosts, step_s = len(setup.hosts.names), setup.scenario.spec.step
    shape = (len(setup.work.services), hosts)
    share, first_s, travel_s = np.ones(shape), np.zeros(shape), np.zeros(shape)
    gpu, placed, moved, lost = np.zeros(hosts), np.zeros(hosts), 0.0, 0.0
    each = np.zeros(shape[0])
    for held, one, rate, sent in zip(reserved, handed, rates_bit_s, sent_s, strict=True):
        service = setup.work.services[held.service]
        wanted = one.requests * service.reading.cache_bit / step_s
        came = np.minimum(1.0, rate / np.where(wanted > 0.0, wanted, 1.0)) * one.requests
        mine = plan.work == held.service
        asked = np.bincount(plan.host[mine], plan.requests[mine], hosts)
        got = np.bincount(one.writer, came, hosts)
        share[held.service] = np.where(asked > 0.0, np.minimum(1.0, got / np.where(asked > 0.0, asked, 1.0)), 1.0)
        used = service.reading.need_gpu_s[one.reader]
        here = np.bincount(one.reader, came * used, hosts) / step_s
        gpu, placed = gpu + here, placed + np.bincount(one.reader, one.requests * used, hosts) / step_s
        travel = one.latency_s + sent
        took = travel + _read_s(setup, service, held, here)[one.reader]
        first_s[held.service], travel_s[held.service] = (
            np.bincount(one.writer, came * each, hosts) / np.maximum(got, 1e-30) for each in (took, travel)
        )
        each[held.service] = float(came.sum()) / max(_replicas(setup, service, held), 1.0)
        moved, lost = moved + float(rate.sum()) * step_s, lost + float((wanted - rate).sum()) * step_s
    return Parted(share, first_s, travel_s, gpu, placed, each, moved, lost)


def _replicas(setup: Setup, service: Service, held: Reserved) -> float:
    """How many could read, at all hosts that do."""
    step_s, serving = setup.scenario.spec.step, service.reading.serving
    rows = np.flatnonzero(held.gpu_s > 0.0)
    return sum(float(held.room_gpu_s[h]) / step_s / serving[setup.hosts.accelerator[h]].gpus for h in rows)


def _read_s(setup: Setup, service: Service, held: Reserved, gpu: Floats) -> Floats:
    """From a prompt's arrival at each reader to its first token (H,): queue, then the prompt."""
    step_s, kinds, made = setup.scenario.spec.step, np.array(setup.hosts.accelerator), np.zeros(len(gpu))
    for kind, serving in service.reading.serving.items():
        rows = np.flatnonzero((kinds == kind) & (gpu > 0.0))
        room = held.room_gpu_s[rows] / step_s
        load = service.target * np.clip(gpu[rows] / np.maximum(room, 1e-12), 0.0, 1.0)
        replicas = np.maximum(room / serving.gpus, 1.0)
        made[rows] = serving.first_token_s[0] + inference.wait_s(load, replicas, serving.first_token_s[0])
    return made
