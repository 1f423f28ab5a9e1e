"""Kernels of planning: one job into what room is left, and all in turn."""

from __future__ import annotations

import numpy as np
from numba import njit

from aether.base.tables import Floats, Ints
from aether.placement.plan_gangs import gang, walk
from aether.placement.plan_room import FAR, MEMORY, Asked, Rent, There


@njit(cache=True, nogil=True)
def _ask(j: int, asked: Asked, there: There, rent: Rent, ask: Floats) -> None:
    """What a member of a job pays and takes from others, by host and slot of its time: FAR where it may not run."""
    gpus, members, slots, release, deadline, memory, _, partial, where = asked.table[j]
    flow, limit = asked.bits[j, 2], asked.limit[j]
    a, b = np.uint64(release), np.uint64(deadline)
    dear = asked.worth[j] / (slots * members * gpus) if partial else FAR
    for h in range(ask.shape[0]):
        if not asked.allowed[j, h]:
            ask[h, release:deadline] = FAR
            continue
        room, left, cost, mine = there.room[h], there.left[h], there.cost[h], ask[h]
        for t in range(a, b):
            mine[t] = cost[t] * gpus if (room[t] >= gpus) & (left[t] >= memory) & (cost[t] < dear) else FAR
        if flow > 0.0:
            link = there.link[h]
            for t in range(a, b):
                mine[t] = mine[t] if link[t] >= flow else FAR
        if limit < np.inf:
            trip = there.trip[where, h]
            for t in range(a, b):
                mine[t] = mine[t] if trip[t] <= limit else FAR
        if rent.worth.shape[2] > 1:
            _rent(j, h, asked, there, rent, mine)


@njit(cache=True, nogil=True)
def _rent(j: int, h: int, asked: Asked, there: There, rent: Rent, ask: Floats) -> None:
    """Add what the free room of a host is worth less with the job than without."""
    most, deep, other = rent.worth.shape[2] - 1, rent.worth.shape[3] - 1, rent.asked[j]
    gpus, m, less = asked.table[j, 0], 0, 0
    for t in range(asked.table[j, 3], asked.table[j, 4]):
        if ask[t] >= FAR:
            continue
        if deep:
            has = there.left[h, t] if rent.of == MEMORY else there.link[h, t]
            m = int(min(has / rent.unit, float(deep)))
            less = max(m - other, 0)
        free, g = min(there.room[h, t], most), rent.group[h, t]
        ask[t] = (
            ask[t] * rent.host[h] * rent.slot[t]
            + rent.worth[g, t, free, m]
            - rent.worth[g, t, max(free - gpus, 0), less]
        )


@njit(cache=True, nogil=True)
def _together(ask: Floats, job: Ints, begin: float, end: float, link: Floats):  # type: ignore[no-untyped-def]
    """The cheapest host and first slot of a run without a break: (cost, host, first); host -1 where there is none."""
    _, _, slots, release, deadline, _, _, _, _ = job
    best, host, first = FAR, -1, -1
    for h in range(ask.shape[0]):
        streak, total, mine = 0, 0.0, ask[h]
        for t in range(release, deadline):
            if mine[t] >= FAR:
                streak, total = 0, 0.0
                continue
            streak += 1
            total += mine[t]
            if streak > slots:
                total -= mine[t - slots]
            if streak >= slots and total < best:
                s = t - slots + 1
                if link[h, s] >= begin and link[h, t] >= end and (s != t or link[h, t] >= begin + end):
                    best, host, first = total, h, s
    return best, host, first


@njit(cache=True, nogil=True)
def _apart(ask: Floats, job: Ints, most: float) -> Ints:
    """The host of each slot (T,), -1 for a pause: the cheapest slots, at the host of the slot before where it costs no more."""
    _, _, slots, release, deadline, _, _, _, _ = job
    hosts, ticks = ask.shape
    chosen, low = np.full(ticks, -1, np.int64), np.full(ticks, FAR)
    for h in range(hosts):
        mine = ask[h]
        for t in range(np.uint64(release), np.uint64(deadline)):
            less = mine[t] < low[t]
            low[t] = mine[t] if less else low[t]
            chosen[t] = h if less else chosen[t]
    for t in range(release + 1, deadline):
        before = chosen[t - 1]
        if before >= 0 and ask[before, t] <= low[t]:
            chosen[t] = before
    edge = _edge(low[release:deadline], slots)
    spare = slots - (low[release:deadline] < edge).sum()
    for t in range(release, deadline):
        kept = low[t] < edge
        if low[t] == edge and spare > 0:
            kept, spare = True, spare - 1
        if not kept or low[t] >= FAR or low[t] >= most:
            chosen[t] = -1
    return chosen


@njit(cache=True, nogil=True)
def _edge(low: Floats, slots: int) -> float:
    """The dearest of the cheapest slots: above all where there are no more than asked for."""
    return np.partition(low, slots - 1)[slots - 1] if 0 < slots < low.size else np.inf


@njit(cache=True, nogil=True)
def _carried(chosen: Ints, begin: float, end: float, link: Floats) -> bool:
    """Whether links carry a job in and out wherever it begins and ends."""
    ticks = chosen.size
    for t in range(ticks):
        h = chosen[t]
        if h < 0:
            continue
        bits = 0.0
        if t == 0 or chosen[t - 1] != h:
            bits += begin
        if t == ticks - 1 or chosen[t + 1] != h:
            bits += end
        if bits > link[h, t]:
            return False
    return True


@njit(cache=True, nogil=True)
def _one(job: Ints, most: float, bits: Floats, ask: Floats, link: Floats):  # type: ignore[no-untyped-def]
    """The host of each slot of a job of one member (T,), -1 where it does not run: in a row, or split where that costs less.

    Also whether links can carry it so.
    """
    _, _, slots, release, deadline, _, split, partial, _ = job
    begin, end = bits[0] + bits[2], bits[1] + bits[2]
    chosen, total = np.full(ask.shape[1], -1, np.int64), FAR
    if not partial:
        total, h, first = _together(ask, job, begin, end, link)
        if h >= 0:
            chosen[first : first + slots] = h
    if not split:
        return chosen, True
    other = _apart(ask, job, most)
    if not _carried(other, begin, end, link):
        return chosen, False
    cost, run = 0.0, 0
    for t in range(release, deadline):
        if other[t] >= 0:
            cost += ask[other[t], t]
            run += 1
    better = partial or (run == slots and cost < total * (1.0 - 1e-9))
    return other if better else chosen, True


@njit(cache=True, nogil=True)
def put(j: int, asked: Asked, there: There, rent: Rent, ask: Floats, picky: bool, rows: Ints) -> int:
    """Where a job does best in what is left: how many rows (R, 4) of job, host, slot and members, 0 where it has no place.

    picky: slots of what is partial must be worth what they take from others, not only what they cost. ask: (H, T) to work in.
    """
    job, bits = asked.table[j], asked.bits[j]
    _, members, slots, release, deadline, _, _, partial, _ = job
    if slots <= 0 or (not partial and deadline - release < slots):
        return 0
    _ask(j, asked, there, rent, ask)
    most = (asked.worth[j] / (slots * members) if picky else asked.worth[j]) if partial else FAR
    filled, carried = 0, True
    if members == 1:
        chosen, carried = _one(job, most, bits, ask, there.link)
        if carried:
            for t in range(release, deadline):
                if chosen[t] >= 0:
                    rows[filled] = (j, chosen[t], t, 1)
                    filled += 1
    if members > 1 or not carried:
        at = gang(job, most, bits, ask, there) if carried else walk(job, most, bits, ask, there)
        for t in range(release, deadline):
            for h in range(at.shape[0]):
                if at[h, t] > 0:
                    rows[filled] = (j, h, t, at[h, t])
                    filled += 1
    return filled if partial or _worthwhile(asked, there, rows[:filled]) else 0


@njit(cache=True, nogil=True)
def _worthwhile(asked: Asked, there: There, rows: Ints) -> bool:
    """Whether all slots of a job are there and worth their cost."""
    if not len(rows):
        return False
    gpus, members, slots, _, _, _, _, _, _ = asked.table[rows[0, 0]]
    paid = 0.0
    for r in range(len(rows)):
        paid += there.cost[rows[r, 1], rows[r, 2]] * rows[r, 3] * gpus
    return rows[:, 3].sum() == slots * members and paid < asked.worth[rows[0, 0]]


@njit(cache=True, nogil=True)
def take(rows: Ints, asked: Asked, there: There, sign: int) -> float:
    """Take rows of one job, by slot, from what is left (sign 1) or give them back (-1). Returns what they are worth, less cost."""
    if not len(rows):
        return 0.0
    j = rows[0, 0]
    gpus, _, slots, _, _, memory, _, partial, _ = asked.table[j]
    begin, end, flow = asked.bits[j]
    done, paid, before = 0, 0.0, -1
    for r in range(len(rows)):
        _, h, t, n = rows[r]
        there.room[h, t] -= sign * gpus * n
        there.left[h, t] -= sign * memory * n
        paid += there.cost[h, t] * gpus * n
        done += t != before
        before = t
        if begin + end + flow > 0.0:
            came, goes = _beside(rows, r)
            there.link[h, t] -= sign * (flow * n + begin * max(n - came, 0) + end * max(n - goes, 0))
    return asked.worth[j] * (done / slots if partial else 1.0) - paid


@njit(cache=True, nogil=True)
def _beside(rows: Ints, r: int):  # type: ignore[no-untyped-def]
    """Members at a row's host in the slot before and in the slot after."""
    _, h, t, _ = rows[r]
    came, goes, k = 0, 0, r - 1
    while k >= 0 and rows[k, 2] >= t - 1:
        if rows[k, 1] == h:
            came = rows[k, 3]
        k -= 1
    k = r + 1
    while k < len(rows) and rows[k, 2] <= t + 1:
        if rows[k, 1] == h:
            goes = rows[k, 3]
        k += 1
    return came, goes


@njit(cache=True, nogil=True)
def place(order: Ints, asked: Asked, there: There, rent: Rent, rows: Ints) -> int:
    """Place jobs in turn into what is left; rows (R, 4) are filled with job, host, slot, members. Returns how many."""
    filled, ask = 0, np.empty(there.room.shape)
    for j in order:
        count = put(j, asked, there, rent, ask, True, rows[filled:])
        take(rows[filled : filled + count], asked, there, 1)
        filled += count
    return filled
