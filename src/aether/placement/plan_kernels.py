"""Kernels of planning: one job into what room is left, all in turn, and ruin and repair of what stands."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from aether.base.tables import Bools, Floats, Floats32, Ints

FAR = 1e300  # dearer than anything
TRIES = 4  # of slots whose links cannot carry a job in or out; seldom more than one


NONE, MEMORY, LINK = 0, 1, 2  # the limit beside GPUs that prices know of


class Asked(NamedTuple):
    """What jobs ask for."""

    table: Ints  # (J, 9) gpus, members, slots, release, deadline, memory, may split, partial, place
    worth: Floats  # (J,)
    bits: Floats  # (J, 3) to begin and to end at a host, in each slot
    limit: Floats  # (J,)
    allowed: Bools  # (J, H)


class There(NamedTuple):
    """What hosts have; room, left and link are spent. GPUs count in units of what all jobs ask for multiples of."""

    trip: Floats32  # (C, H, T)
    cost: Floats  # (H, T) of a unit and slot
    room: Ints  # (H, T)
    left: Ints  # (H, T) memory
    link: Floats  # (H, T) bits


class Rent(NamedTuple):
    """What free room is worth to jobs that may still come."""

    worth: Floats  # (G, T, R, S) by units of GPUs and of another limit; R = 1 where it has no price
    group: Ints  # (H, T)
    of: int  # the other limit
    unit: float  # of it
    asked: Ints  # (J,) units of it for a member


@njit(cache=True, nogil=True)
def _ask(j: int, asked: Asked, there: There, rent: Rent, ask: Floats) -> None:
    """What a member of a job pays and takes from others, by host and slot of its time: FAR where it may not run."""
    gpus, _, _, release, deadline, memory, _, _, where = asked.table[j]
    flow, limit = asked.bits[j, 2], asked.limit[j]
    a, b = np.uint64(release), np.uint64(deadline)
    for h in range(ask.shape[0]):
        if not asked.allowed[j, h]:
            ask[h, release:deadline] = FAR
            continue
        room, left, cost, mine = there.room[h], there.left[h], there.cost[h], ask[h]
        for t in range(a, b):
            mine[t] = cost[t] * gpus if (room[t] >= gpus) & (left[t] >= memory) else FAR
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
        ask[t] += rent.worth[g, t, free, m] - rent.worth[g, t, max(free - gpus, 0), less]


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
def _carried(chosen: Ints, ask: Floats, begin: float, end: float, link: Floats) -> bool:
    """Whether links carry a job in and out wherever it begins and ends; what they do not is FAR in `ask` from now on."""
    fine, ticks = True, chosen.size
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
            ask[h, t], fine = FAR, False
    return fine


@njit(cache=True, nogil=True)
def _one(job: Ints, most: float, bits: Floats, ask: Floats, link: Floats) -> Ints:
    """The host of each slot of a job of one member (T,), -1 where it does not run: in a row, or split where that costs less."""
    _, _, slots, release, deadline, _, split, partial, _ = job
    begin, end = bits[0] + bits[2], bits[1] + bits[2]
    chosen, total = np.full(ask.shape[1], -1, np.int64), FAR
    if not partial:
        total, h, first = _together(ask, job, begin, end, link)
        if h >= 0:
            chosen[first : first + slots] = h
    if not split:
        return chosen
    for _ in range(TRIES):
        other = _apart(ask, job, most)
        if _carried(other, ask, begin, end, link):
            cost, run = 0.0, 0
            for t in range(release, deadline):
                if other[t] >= 0:
                    cost += ask[other[t], t]
                    run += 1
            return other if partial or (run == slots and cost < total * (1.0 - 1e-9)) else chosen
    return chosen


@njit(cache=True, nogil=True)
def _members(job: Ints, ask: Floats, bits: float, there: There) -> Ints:
    """How many members have room at each host (T, H). Divisions are dear, and all or one are the usual answers."""
    gpus, members, _, release, deadline, memory, _, _, _ = job
    hosts, ticks = ask.shape
    made = np.zeros((ticks, hosts), np.int64)
    for h in range(hosts):
        for t in range(release, deadline):
            if ask[h, t] >= FAR:
                continue
            most, room = members, there.room[h, t]
            if room < gpus * most:
                most = room // gpus if room >= 2 * gpus else 1
            if there.left[h, t] < memory * most:
                most = there.left[h, t] // memory
            if there.link[h, t] < bits * most:
                most = int(there.link[h, t] / bits)
            made[t, h] = most
    return made


@njit(cache=True, nogil=True)
def _gang_whole(count: Ints, price: Floats, job: Ints) -> Ints:
    """Members at each host and slot (H, T), the same hosts throughout; count: (T, H) that have room, price: (H, T)."""
    _, members, slots, release, deadline, _, _, _, _ = job
    ticks, hosts = count.shape
    made, best, first = np.zeros((hosts, ticks), np.int64), FAR, -1
    keep, full, cost, there = np.zeros(hosts, np.int64), np.zeros(hosts, np.int64), np.zeros(hosts), np.zeros(hosts)
    for t in range(release, deadline):
        s = t - slots + 1
        for h in range(hosts):
            if count[t, h] == 0:
                full[h] += 1
            else:
                cost[h] += price[h, t]
            if s > release:
                if count[s - 1, h] == 0:
                    full[h] -= 1
                else:
                    cost[h] -= price[h, s - 1]
            there[h] = cost[h] if full[h] == 0 else FAR
        if s < release:
            continue
        total, got = _hosts(count[s : t + 1], there, members, best)
        if total < best:
            best, first, keep = total, s, got
    if first >= 0:
        for t in range(first, first + slots):
            made[:, t] = keep
    return made


@njit(cache=True, nogil=True)
def _hosts(count: Ints, cost: Floats, members: int, most: float):  # type: ignore[no-untyped-def]
    """The cheapest hosts for all members: (cost, (H,) members at each), FAR where they do not fit or cost `most` or more.

    count: (slots, H) that have room, the least over the slots counts. cost: (H,) of a member, FAR where there is no room; spent.
    """
    got, total, wanted = np.zeros(count.shape[1], np.int64), 0.0, members
    while wanted > 0:
        h = 0
        for other in range(1, cost.size):
            h = other if cost[other] < cost[h] else h
        if cost[h] >= FAR or total + cost[h] * wanted >= most:
            return FAR, got
        got[h] = min(count[:, h].min(), wanted)
        total += cost[h] * got[h]
        wanted -= got[h]
        cost[h] = FAR
    return total, got


@njit(cache=True, nogil=True)
def _gang_split(count: Ints, price: Floats, job: Ints, most: float) -> Ints:
    """Members at each host and slot (H, T), the cheapest slots; count: (T, H) that have room, price: (H, T)."""
    _, members, slots, release, deadline, _, _, partial, _ = job
    ticks, hosts = count.shape
    made, low, there = np.zeros((hosts, ticks), np.int64), np.full(ticks, FAR), np.zeros(hosts)
    for t in range(release, deadline):
        for h in range(hosts):
            there[h] = price[h, t] if count[t, h] > 0 else FAR
        low[t], got = _hosts(count[t : t + 1], there, members, FAR)
        if low[t] < FAR:
            made[:, t] = got
    order, run = np.argsort(low, kind="mergesort"), 0
    for k in range(ticks):
        t = order[k]
        if k >= slots or low[t] >= FAR or low[t] >= most * members:
            made[:, t] = 0
        else:
            run += 1
    if not partial and run < slots:
        made[:] = 0
    return made


@njit(cache=True, nogil=True)
def put(j: int, asked: Asked, there: There, rent: Rent, ask: Floats, picky: bool, rows: Ints) -> int:
    """Where a job does best in what is left: how many rows (R, 4) of job, host, slot and members, 0 where it has no place.

    picky: slots of what is partial must be worth what they take from others, not only what they cost. ask: (H, T) to work in.
    """
    job, bits = asked.table[j], asked.bits[j]
    gpus, members, slots, release, deadline, _, split, partial, _ = job
    if slots <= 0 or (not partial and deadline - release < slots):
        return 0
    _ask(j, asked, there, rent, ask)
    most = asked.worth[j] / (slots * members) if partial and picky else FAR
    filled = 0
    if members > 1:
        count = _members(job, ask, bits[0] + bits[1] + bits[2], there)  # as if it began and ended in each slot
        at = _gang_split(count, ask, job, most) if split else _gang_whole(count, ask, job)
        for t in range(release, deadline):
            for h in range(at.shape[0]):
                if at[h, t] > 0:
                    rows[filled] = (j, h, t, at[h, t])
                    filled += 1
    else:
        chosen = _one(job, most, bits, ask, there.link)
        for t in range(release, deadline):
            if chosen[t] >= 0:
                rows[filled] = (j, chosen[t], t, 1)
                filled += 1
    return _worthwhile(asked, there, rows, filled)


@njit(cache=True, nogil=True)
def _worthwhile(asked: Asked, there: There, rows: Ints, filled: int) -> int:
    """Rows that are kept: all or none of a job that counts whole, of a partial one the slots that are worth their cost."""
    if not filled:
        return 0
    j = rows[0, 0]
    gpus, members, slots, _, _, _, _, partial, _ = asked.table[j]
    if not partial:
        done, paid = 0, 0.0
        for r in range(filled):
            done += rows[r, 3]
            paid += there.cost[rows[r, 1], rows[r, 2]] * rows[r, 3] * gpus
        return filled if done == slots * members and paid < asked.worth[j] else 0
    kept, r = 0, 0
    while r < filled:
        end, paid = r, 0.0
        while end < filled and rows[end, 2] == rows[r, 2]:
            paid += there.cost[rows[end, 1], rows[end, 2]] * rows[end, 3] * gpus
            end += 1
        for k in range(r, end):
            if paid < asked.worth[j] / slots:
                rows[kept] = rows[k]
                kept += 1
        r = end
    return kept


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
