"""Kernels of the prices of room: groups of hosts, what jobs would take at prices, what hosts would give, what room is worth."""

from __future__ import annotations

import numpy as np
from numba import njit

from aether.base.tables import Bools, Floats, Floats32, Ints
from aether.placement.plan_room import FAR, Asked, There

NEVER = -1e300  # of a knapsack that cannot be filled so


@njit(cache=True, nogil=True)
def _may(job: Ints, limit: float, trip: Floats32, room: Ints, left: Ints, made: Bools) -> None:
    """Where a member of a job may run at one host (T,)."""
    for t in range(job[3], job[4]):
        made[t] = (room[t] >= job[0]) & (left[t] >= job[5]) & (trip[t] <= limit)


@njit(cache=True, nogil=True)
def groups(asked: Asked, there: There, looked: Ints, apart: float, most: int) -> Ints:
    """Group of each host in each slot (H, T): each new leader is the host least like those before it, others go with the nearest.

    looked: jobs by which hosts are compared. apart: hosts nearer than this are alike. most: groups.
    """
    hosts, ticks = there.room.shape
    made, full = np.zeros((hosts, ticks), np.int64), max(there.room.max(), 1)
    may = np.zeros((len(looked), hosts, ticks), np.bool_)
    for k in range(len(looked)):
        j = looked[k]
        for h in range(hosts):
            if asked.allowed[j, h]:
                _may(
                    asked.table[j],
                    asked.limit[j],
                    there.trip[asked.table[j, 8], h],
                    there.room[h],
                    there.left[h],
                    may[k, h],
                )
    for t in range(ticks):
        now = (asked.table[looked, 3] <= t) & (t < asked.table[looked, 4])
        seen, count = np.ascontiguousarray(may[now, :, t].T), now.sum()
        near, leader = np.full(hosts, np.inf), 0
        for g in range(most):
            for h in range(hosts):
                unlike = 0
                for k in range(count):
                    unlike += seen[h, k] != seen[leader, k]
                far = unlike / max(count, 1) + abs(there.room[h, t] - there.room[leader, t]) / full
                if far < near[h]:
                    near[h], made[h, t] = far, g
            leader = int(np.argmax(near))
            if near[leader] <= apart:
                break
    return made


@njit(cache=True, nogil=True)
def reachable(asked: Asked, there: There, group: Ints, count: int) -> Bools:
    """Whether any host of a group may run a member in a slot (J, G, T)."""
    hosts, ticks = group.shape
    made, may = np.zeros((len(asked.table), count, ticks), np.bool_), np.zeros(ticks, np.bool_)
    for j in range(len(asked.table)):
        for h in range(hosts):
            if asked.allowed[j, h]:
                _may(
                    asked.table[j], asked.limit[j], there.trip[asked.table[j, 8], h], there.room[h], there.left[h], may
                )
                for t in range(asked.table[j, 3], asked.table[j, 4]):
                    made[j, group[h, t], t] |= may[t]
    return made


@njit(cache=True, nogil=True)
def demand(asked: Asked, there: There, kind: Ints, group: Ints, reach: Bools, price: Floats, used: Floats, least: Floats) -> float:  # fmt: skip
    """What jobs are worth at most when each pays `price` (K, G, T) for a member's seat and none stands in another's way [USD].

    used: (K, G, T), filled with the members that would sit there. least: (J,), with what a job's seats cost.
    """
    total = 0.0
    used[:] = 0.0
    for j in range(len(kind)):
        _, members, slots, release, deadline, _, split, partial, where = asked.table[j]
        least[j] = FAR
        if slots <= 0 or (not partial and deadline - release < slots):
            continue
        seat = price[kind[j]]
        if not split and not partial:
            paid, host, first = _row(
                asked.table[j], asked.limit[j], asked.allowed[j], there.trip[where], there.room, there.left, group, seat
            )
            least[j] = paid * members if host >= 0 else FAR
            if asked.worth[j] > least[j]:
                total += asked.worth[j] - least[j]
                for t in range(first, first + slots):
                    used[kind[j], group[host, t], t] += members
            continue
        low, at = _cheapest(reach[j], seat, release, deadline)
        order = np.argsort(low, kind="mergesort")[:slots]
        least[j] = min(low[order].sum() * members, FAR)
        worth = asked.worth[j] / slots
        if not partial and asked.worth[j] <= least[j]:
            continue
        for k in order:
            if not partial or (low[k] < FAR and worth > low[k] * members):
                total += worth - low[k] * members
                used[kind[j], at[k], release + k] += members
    return total


@njit(cache=True, nogil=True)
def _cheapest(reach: Bools, seat: Floats, release: int, deadline: int):  # type: ignore[no-untyped-def]
    """The cheapest seat of each slot from release to deadline, and its group."""
    low, at = np.full(deadline - release, FAR), np.zeros(deadline - release, np.int64)
    for g in range(reach.shape[0]):
        for t in range(release, deadline):
            if reach[g, t] and seat[g, t] < low[t - release]:
                low[t - release], at[t - release] = seat[g, t], g
    return low, at


@njit(cache=True, nogil=True)
def _row(job: Ints, limit: float, allowed: Bools, trip: Floats32, room: Ints, left: Ints, group: Ints, seat: Floats):  # type: ignore[no-untyped-def]
    """The cheapest run without a break at one host: (cost, host, first slot); host -1 where there is none."""
    _, _, slots, release, deadline, _, _, _, _ = job
    best, host, first = FAR, -1, -1
    may = np.zeros(group.shape[1], np.bool_)
    for h in range(group.shape[0]):
        if not allowed[h]:
            continue
        _may(job, limit, trip[h], room[h], left[h], may)
        streak, run = 0, 0.0
        for t in range(release, deadline):
            if not may[t]:
                streak, run = 0, 0.0
                continue
            streak += 1
            run += seat[group[h, t], t]
            if streak > slots:
                run -= seat[group[h, t - slots], t - slots]
            if streak >= slots and run < best:
                best, host, first = run, h, t - slots + 1
    return best, host, first


@njit(cache=True, nogil=True)
def _filled(sizes: Ints, seat: Floats, width: int, depth: int):  # type: ignore[no-untyped-def]
    """The most that members are worth which fill just so many GPUs, with at most so much of the second limit, and the last of them (R, S)."""
    worth, last = np.full((width, depth), NEVER), np.full((width, depth), -1, np.int64)
    worth[0] = 0.0
    for k in range(len(sizes)):
        if seat[k] <= 0.0 or sizes[k, 0] <= 0:
            continue
        size, other = sizes[k]
        for f in range(size, width):
            for m in range(other, depth):
                value = worth[f - size, m - other] + seat[k]
                if value > worth[f, m] + 1e-12:
                    worth[f, m], last[f, m] = value, k
    return worth, last


@njit(cache=True, nogil=True)
def supply(sizes: Ints, price: Floats, there: There, second: Ints, group: Ints, width: int, given: Floats) -> float:
    """What hosts gain at most by seats at `price` (K, G, T) over their costs; given: (K, G, T), filled with those seats [USD]."""
    total, depth = 0.0, second.max() + 1 if second.size else 1
    given[:] = 0.0
    for t in range(price.shape[2]):
        for g in range(price.shape[1]):
            if not (group[:, t] == g).any():
                continue
            worth, last = _filled(sizes, price[:, g, t], width, depth)
            dense, most = _densest(sizes, price[:, g, t])
            for h in range(group.shape[0]):
                if group[h, t] != g:
                    continue
                room, cost, m = there.room[h, t], there.cost[h, t], second[h, t]
                if room >= width:
                    if most > cost:
                        total += room * (most - cost)
                        given[dense, g, t] += room / sizes[dense, 0]
                    continue
                best, f = 0.0, 0
                for r in range(1, room + 1):
                    if worth[r, m] - r * cost > best:
                        best, f = worth[r, m] - r * cost, r
                total += best
                while f > 0:
                    k = last[f, m]
                    given[k, g, t] += 1
                    f -= sizes[k, 0]
                    m -= sizes[k, 1]
    return total


@njit(cache=True, nogil=True)
def _densest(sizes: Ints, seat: Floats):  # type: ignore[no-untyped-def]
    """The kind that pays most a GPU, and what it pays."""
    best, most = 0, 0.0
    for k in range(len(sizes)):
        if sizes[k, 0] > 0 and seat[k] / sizes[k, 0] > most:
            best, most = k, seat[k] / sizes[k, 0]
    return best, most


@njit(cache=True, nogil=True)
def rents(sizes: Ints, price: Floats, there: There, group: Ints, width: int, depth: int) -> Floats:
    """What free room is worth over its mean cost (G, T, R, S) [USD]: R GPUs and S of the second limit, or less."""
    made = np.zeros((price.shape[1], price.shape[2], width, depth))
    for t in range(price.shape[2]):
        for g in range(price.shape[1]):
            cost, count = 0.0, 0
            for h in range(group.shape[0]):
                if group[h, t] == g:
                    cost += there.cost[h, t]
                    count += 1
            if not count:
                continue
            worth, _ = _filled(sizes, price[:, g, t], width, depth)
            for r in range(1, width):
                for m in range(depth):
                    made[g, t, r, m] = max(made[g, t, r - 1, m], worth[r, m] - r * cost / count)
    return made
