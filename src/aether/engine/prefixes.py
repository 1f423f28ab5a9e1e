"""Prompts that are cached where they were answered: who is sent elsewhere has his read anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from aether.base.tables import Floats, Plan, Snapshot
from aether.engine.work import Service

ROUNDS = 4  # of planning anew in a tick, ours: what is left then waits


def kept(services: tuple[Service, ...], plan: Plan, done: Floats, shape: tuple[int, ...], hosts: int) -> Floats | None:
    """Share of a prompt of each class and place that each host has cached after a tick (Q, C, H), None where none reuses any.

    h n[c, h] / n[c], h the class's share of prompts found in a cache that holds its conversation, n requests served: who comes
    back finds his own where he was served.
    """
    hit = np.array([s.asked.prefix_hit for s in services])
    if not hit.any():
        return None
    cell = (plan.work * shape[1] + plan.place) * hosts + plan.host
    each = np.bincount(cell, done, shape[0] * shape[1] * hosts).reshape(*shape, hosts)
    total = each.sum(axis=2, keepdims=True)
    return hit[:, None, None] * np.divide(each, total, out=np.zeros_like(each), where=total > 0.0)


def reading_again_gpu_s(services: tuple[Service, ...], snapshot: Snapshot, plan: Plan) -> Floats:
    """GPU-seconds that a request of each row takes more since its conversation was held elsewhere (P,).

    Conversations stay where they are as far as the plan lets them: of place c's a share max(0, s[h] - k[h] / h) comes to host h
    from others, s this tick's share of c's requests, k / h that of the tick before. Those are read whole:
    (need without a hit - need) of what came over what is there. Zero in the first tick, and where no class reuses any.
    """
    if snapshot.kept is None:
        return np.zeros(len(plan.work))
    queues, places, hosts = snapshot.kept.shape
    cell = plan.work * places + plan.place
    total = np.bincount(cell, plan.requests, queues * places)[cell]
    now = np.divide(plan.requests, total, out=np.zeros(len(cell)), where=total > 0.0)
    hit = np.array([s.asked.prefix_hit for s in services])[plan.work]
    before = np.divide(snapshot.kept[plan.work, plan.place, plan.host], hit, out=np.zeros(len(cell)), where=hit > 0.0)
    known = snapshot.kept.sum(axis=2)[plan.work, plan.place] > 0.0  # nobody was served there before: nothing to lose
    came = np.where(known, np.maximum(now - before, 0.0), 0.0)
    whole = np.array([s.whole_gpu_s for s in services]).reshape(queues, hosts)[plan.work, plan.host]
    moved = np.divide(came, now, out=np.zeros(len(cell)), where=now > 0.0)
    return moved * (whole - cached_gpu_s(services, plan))


def cached_gpu_s(services: tuple[Service, ...], plan: Plan) -> Floats:
    """GPU-seconds that a request of each row takes whose conversation has stayed (P,)."""
    need = np.array([s.need_gpu_s for s in services])
    return need[plan.work, plan.host] if len(services) else np.zeros(len(plan.work))


def place(
    policy: Callable[[Snapshot], Plan], snapshot: Snapshot, services: tuple[Service, ...], slack: float
) -> tuple[Plan, Floats]:
    """A plan, and what a request of each of its rows takes more since its prompt is read again (P,).

    Where a host would be asked for more than it can do with that, the policy plans anew, requests there as dear as they came out.
    slack: what hosts can do over what is free.
    """
    plan = policy(snapshot)
    again = reading_again_gpu_s(services, snapshot, plan)
    for _ in range(ROUNDS if again.any() else 0):
        if (room(free(snapshot, plan) * slack, plan, plan.requests, cached_gpu_s(services, plan), again) == 1.0).all():
            break
        dearer = np.maximum(snapshot.need_gpu_s, _seen_gpu_s(snapshot.need_gpu_s.shape, services, plan, again))
        snapshot = replace(snapshot, need_gpu_s=dearer)
        plan = policy(snapshot)
        again = reading_again_gpu_s(services, snapshot, plan)
    return plan, again


def _seen_gpu_s(shape: tuple[int, ...], services: tuple[Service, ...], plan: Plan, again_gpu_s: Floats) -> Floats:
    """Mean need of a request as it came out (Q, H); 0 where none was placed."""
    cell, size = plan.work * shape[1] + plan.host, shape[0] * shape[1]
    count, need = (
        np.bincount(cell, v, size)
        for v in (plan.requests, plan.requests * (cached_gpu_s(services, plan) + again_gpu_s))
    )
    return np.divide(need, count, out=np.zeros(size), where=count > 0.0).reshape(shape)


def free(snapshot: Snapshot, plan: Plan) -> Floats:
    """GPU-seconds that training leaves of each host (H,)."""
    taken = (snapshot.job_gpu * plan.job_share).sum(axis=0) * snapshot.step_s
    return np.maximum(snapshot.free_gpu_s - taken, 0.0)


def room(free_gpu_s: Floats, plan: Plan, done: Floats, cached_gpu_s: Floats, more_gpu_s: Floats) -> Floats:
    """Share of what was placed on each host that it can do with what is read again (H,); both of one request of a row (P,).

    free_gpu_s: (H,) that hosts can give beyond their target load, since what is placed by the target leaves that free.
    """
    hosts = len(free_gpu_s)
    used, more = (np.bincount(plan.host, done * v, hosts) for v in (cached_gpu_s + more_gpu_s, more_gpu_s))
    short = (more > 0.0) & (used > free_gpu_s)
    return np.where(short, free_gpu_s / np.where(short, used, 1.0), 1.0)
