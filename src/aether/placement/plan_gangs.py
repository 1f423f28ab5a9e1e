"""Kernels of planning: members of a gang at the cheapest hosts, all together or none, and runs that narrow links can carry."""

from __future__ import annotations

import numpy as np
from numba import njit

from aether.base.tables import Floats, Ints
from aether.placement.plan_room import FAR, There


@njit(cache=True, nogil=True)
def walk(job: Ints, gain: float, bits: Floats, ask: Floats, there: There) -> Ints:
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

    count: (slots, H) that have room, the least over the slots counts; edge: (H,) and no more than this. cost: (H,) of a member,
    FAR where there is no room; spent.
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
def gang(job: Ints, most: float, bits: Floats, ask: Floats, there: There) -> Ints:
    """Members at each host and slot (H, T): slot by slot, or at the same hosts throughout."""
    begin, end, flow = bits
    count = _members(job, ask, flow, there)
    if job[6]:
        at = _gang_split(count, ask, job, most)
        return at if _gang_carried(at, bits, there.link) else walk(job, most, bits, ask, there)
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
