"""Kernels of planning: one job into what room is left, all in turn, and ruin and repair of what stands."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from aether.base.tables import Bools, Floats, Floats32, Ints

FAR = 1e300  # dearer than anything


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
    host: Floats  # (H,) by which a repair takes hosts for dearer
    slot: Floats  # (T,) and slots


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
        ask[t] = ask[t] * rent.host[h] * rent.slot[t] + rent.worth[g, t, free, m] - rent.worth[g, t, max(free - gpus, 0), less]


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
def _walk(job: Ints, gain: float, bits: Floats, ask: Floats, there: There) -> Ints:
    """Members at each host and slot (H, T) that links can carry in and out: runs at the same hosts, by recursion over slots.

    best[i, k] = min over s of best[s, k - (i - s)] + cost of the cheapest hosts from s to i. gain: of a member and slot, for what is
    partial; else all slots run. Where links are wide the slots are chosen one by one, in a tenth of the time.
    """
    _, members, slots, release, deadline, _, _, partial, _ = job
    begin, end, flow = bits
    count, edge = _members(job, ask, flow, there), _members(job, ask, max(begin, end) + flow, there)
    every, made = _members(job, ask, begin + end + flow, there), np.zeros(ask.shape, np.int64)
    best, since = np.full((deadline + 1, slots + 1), FAR), np.full((deadline + 1, slots + 1), -1, np.int64)
    best[release, 0] = 0.0
    for s in range(release, deadline):
        for k in range(slots + 1):
            if best[s, k] < best[s + 1, k]:
                best[s + 1, k], since[s + 1, k] = best[s, k], -1
        runs, _ = _runs(job, s, min(s + slots, deadline), count, edge, every, ask)
        for e in range(s + 1, min(s + slots, deadline) + 1):
            more = runs[e] - (gain * (e - s) * members if partial else 0.0)
            for k in range(e - s, slots + 1):
                if runs[e] < FAR and best[s, k - e + s] < FAR and best[s, k - e + s] + more < best[e, k]:
                    best[e, k], since[e, k] = best[s, k - e + s] + more, s
    e, k = deadline, int(np.argmin(best[deadline])) if partial else slots
    while k > 0 and best[e, k] < FAR:
        s = since[e, k]
        if s < 0:
            e -= 1
            continue
        _, got = _runs(job, s, e, count, edge, every, ask)
        for t in range(s, e):
            made[:, t] = got
        e, k = s, k - (e - s)
    return made


@njit(cache=True, nogil=True)
def _runs(job: Ints, s: int, e: int, count: Ints, edge: Ints, every: Ints, ask: Floats):  # type: ignore[no-untyped-def]
    """What all members cost at the cheapest hosts from slot s to before each slot up to e (T + 1,), and members at each host (H,) to e.

    count, edge, every: (T, H) members with room in a slot within a run, at its first or last, and in one that is both.
    """
    hosts = ask.shape[0]
    made, got = np.full(ask.shape[1] + 1, FAR), np.zeros(hosts, np.int64)
    low, cost, there, cap = np.full(hosts, job[1]), np.zeros(hosts), np.zeros(hosts), np.zeros((1, hosts), np.int64)
    for t in range(s, e):
        left = 0
        for h in range(hosts):
            low[h] = min(low[h], count[t, h])
            cost[h] += ask[h, t] if low[h] else 0.0
            cap[0, h] = every[t, h] if t == s else min(low[h], min(edge[s, h], edge[t, h]))
            there[h] = cost[h] if cap[0, h] else FAR
            left += low[h]
        made[t + 1], got = _hosts(cap, cap[0], there, job[1], FAR)
        if left < job[1]:
            break
    return made, got


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
def _gang_whole(count: Ints, edge: Ints, price: Floats, job: Ints) -> Ints:
    """Members at each host and slot (H, T), the same hosts throughout; count: (T, H) that have room, edge: at first and last, price: (H, T)."""
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
            there[h] = cost[h] if full[h] == 0 and s >= release and min(edge[s, h], edge[t, h]) > 0 else FAR
        if s < release:
            continue
        total, got = _hosts(count[s : t + 1], np.minimum(edge[s], edge[t]), there, members, best)
        if total < best:
            best, first, keep = total, s, got
    if first >= 0:
        for t in range(first, first + slots):
            made[:, t] = keep
    return made


@njit(cache=True, nogil=True)
def _hosts(count: Ints, edge: Ints, cost: Floats, members: int, most: float):  # type: ignore[no-untyped-def]
    """The cheapest hosts for all members: (cost, (H,) members at each), FAR where they do not fit or cost `most` or more.

    count: (slots, H) that have room, the least over the slots counts; edge: (H,) and no more than this. cost: (H,) of a member, FAR where there is no room; spent.
    """
    got, total, wanted = np.zeros(count.shape[1], np.int64), 0.0, members
    while wanted > 0:
        h = 0
        for other in range(1, cost.size):
            h = other if cost[other] < cost[h] else h
        if cost[h] >= FAR or total + cost[h] * wanted >= most:
            return FAR, got
        got[h] = min(min(count[:, h].min(), edge[h]), wanted)
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
        low[t], got = _hosts(count[t : t + 1], count[t], there, members, FAR)
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
def _gang(job: Ints, most: float, bits: Floats, ask: Floats, there: There) -> Ints:
    """Members at each host and slot (H, T): slot by slot, or at the same hosts throughout."""
    begin, end, flow = bits
    count = _members(job, ask, flow, there)
    if job[6]:
        at = _gang_split(count, ask, job, most)
        return at if _gang_carried(at, bits, there.link) else _walk(job, most, bits, ask, there)
    if begin + end == 0.0:
        return _gang_whole(count, count, ask, job)
    both = begin + end if job[2] == 1 else max(begin, end)
    return _gang_whole(count, _members(job, ask, both + flow, there), ask, job)


@njit(cache=True, nogil=True)
def _gang_carried(at: Ints, bits: Floats, link: Floats) -> bool:
    """Whether links carry members (H, T) in and out wherever they begin and end."""
    hosts, ticks = at.shape
    if bits[0] + bits[1] == 0.0:
        return True
    for h in range(hosts):
        for t in range(ticks):
            n = at[h, t]
            if n > 0:
                came = at[h, t - 1] if t > 0 else 0
                goes = at[h, t + 1] if t + 1 < ticks else 0
                if bits[2] * n + bits[0] * max(n - came, 0) + bits[1] * max(n - goes, 0) > link[h, t]:
                    return False
    return True


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
        at = _gang(job, most, bits, ask, there) if carried else _walk(job, most, bits, ask, there)
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
