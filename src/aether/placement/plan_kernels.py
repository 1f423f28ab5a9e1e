"""Kernels of planning: one job after another into what room is left, and the least that each would cost at given prices."""

from __future__ import annotations

import numpy as np
from numba import njit

from aether.base.tables import Bools, Floats, Floats32, Ints

FAR = 1e300  # dearer than anything
TRIES = 4  # of slots whose links cannot carry a job in or out; seldom more than one


@njit(cache=True, nogil=True)
def fits(
    allowed: Bools, gpus: int, limit: float, trip: Floats32, room: Ints, memory: int, left: Ints, flow: float, link: Floats,
    release: int, deadline: int,
) -> Bools:  # fmt: skip
    """Where and when one member of a job may run (H, T): allowed, near enough, GPUs, memory and link for it."""
    made = np.zeros(room.shape, np.bool_)
    for h in range(room.shape[0]):
        if not allowed[h]:
            continue
        for t in range(release, deadline):
            made[h, t] = (room[h, t] >= gpus) & (left[h, t] >= memory)
        if limit < np.inf:
            for t in range(release, deadline):
                made[h, t] &= trip[h, t] <= limit
        if flow > 0.0:
            for t in range(release, deadline):
                made[h, t] &= link[h, t] >= flow
    return made


@njit(cache=True, nogil=True)
def together(may: Bools, cost: Floats, slots: int, release: int, deadline: int, begin: float, end: float, link: Floats):  # type: ignore[no-untyped-def]  # fmt: skip
    """The cheapest host and first slot of a run without a break: (cost of a GPU, host, first); host -1 where there is none."""
    best, host, first = FAR, -1, -1
    for h in range(may.shape[0]):
        streak, total = 0, 0.0
        for t in range(release, deadline):
            if not may[h, t]:
                streak, total = 0, 0.0
                continue
            streak += 1
            total += cost[h, t]
            if streak > slots:
                total -= cost[h, t - slots]
            if streak >= slots and total < best:
                s = t - slots + 1
                room = link[h, s] >= begin and link[h, t] >= end and (s != t or link[h, t] >= begin + end)
                if room:
                    best, host, first = total, h, s
    return best, host, first


@njit(cache=True, nogil=True)
def _apart(may: Bools, cost: Floats, release: int, deadline: int, most: float, slots: int, whole: bool) -> Ints:
    """The host of each slot (T,), -1 for a pause: the cheapest slots, at the host of the slot before where it costs no more."""
    hosts, ticks = may.shape
    chosen, low = np.full(ticks, -1, np.int64), np.full(ticks, FAR)
    for h in range(hosts):
        for t in range(release, deadline):
            less = may[h, t] & (cost[h, t] < low[t])
            low[t] = cost[h, t] if less else low[t]
            chosen[t] = h if less else chosen[t]
    for t in range(release + 1, deadline):
        before = chosen[t - 1]
        if before >= 0 and may[before, t] and cost[before, t] <= low[t]:
            chosen[t] = before
    edge = _edge(low[release:deadline], slots)
    spare = slots - (low[release:deadline] < edge).sum()
    for t in range(release, deadline):
        kept = low[t] < edge
        if low[t] == edge and spare > 0:
            kept, spare = True, spare - 1
        if not kept or low[t] >= FAR or (not whole and low[t] >= most):
            chosen[t] = -1
    return chosen


@njit(cache=True, nogil=True)
def _edge(low: Floats, slots: int) -> float:
    """The dearest of the cheapest slots: above all where there are no more than asked for."""
    return np.partition(low, slots - 1)[slots - 1] if 0 < slots < low.size else np.inf


@njit(cache=True, nogil=True)
def _carried(chosen: Ints, may: Bools, begin: float, end: float, link: Floats) -> bool:
    """Whether links carry a job in and out wherever it begins and ends; what they do not is no longer in `may`."""
    fine, ticks = True, chosen.size
    for t in range(ticks):
        h = chosen[t]
        if h < 0:
            continue
        asked = 0.0
        if t == 0 or chosen[t - 1] != h:
            asked += begin
        if t == ticks - 1 or chosen[t + 1] != h:
            asked += end
        if asked > link[h, t]:
            may[h, t], fine = False, False
    return fine


@njit(cache=True, nogil=True)
def _spend(chosen: Ints, gpus: int, memory: int, begin: float, end: float, flow: float, room: Ints, left: Ints, link: Floats) -> None:  # fmt: skip
    ticks = chosen.size
    for t in range(ticks):
        h = chosen[t]
        if h < 0:
            continue
        room[h, t] -= gpus
        left[h, t] -= memory
        link[h, t] -= flow
        if t == 0 or chosen[t - 1] != h:
            link[h, t] -= begin
        if t == ticks - 1 or chosen[t + 1] != h:
            link[h, t] -= end


@njit(cache=True, nogil=True)
def _members(
    may: Bools, members: int, gpus: int, memory: int, bits: float, room: Ints, left: Ints, link: Floats, release: int, deadline: int
) -> Ints:  # fmt: skip
    """How many members have room at each host (T, H). Divisions are dear, and all or one are the usual answers."""
    hosts, ticks = may.shape
    made = np.zeros((ticks, hosts), np.int64)
    for h in range(hosts):
        for t in range(release, deadline):
            if not may[h, t]:
                continue
            most = members
            if room[h, t] < gpus * most:
                most = room[h, t] // gpus if room[h, t] >= 2 * gpus else 1
            if left[h, t] < memory * most:
                most = left[h, t] // memory
            if link[h, t] < bits * most:
                most = int(link[h, t] / bits)
            made[t, h] = most
    return made


@njit(cache=True, nogil=True)
def _gang_whole(count: Ints, price: Floats, members: int, slots: int, release: int, deadline: int) -> Ints:
    """Members at each host and slot (H, T), the same hosts throughout; count: (T, H) that have room, price: (T, H)."""
    ticks, hosts = count.shape
    made, best, first = np.zeros((hosts, ticks), np.int64), FAR, -1
    keep, full, cost, there = np.zeros(hosts, np.int64), np.zeros(hosts, np.int64), np.zeros(hosts), np.zeros(hosts)
    for t in range(release, deadline):
        s = t - slots + 1
        for h in range(hosts):
            full[h] += count[t, h] == 0
            cost[h] += price[t, h]
            if s > release:
                full[h] -= count[s - 1, h] == 0
                cost[h] -= price[s - 1, h]
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
def _gang_split(count: Ints, price: Floats, members: int, slots: int, release: int, deadline: int, most: float, whole: bool) -> Ints:  # fmt: skip
    """Members at each host and slot (H, T), the cheapest slots; count: (T, H) that have room, price: (T, H)."""
    ticks, hosts = count.shape
    made, low, there = np.zeros((hosts, ticks), np.int64), np.full(ticks, FAR), np.zeros(hosts)
    for t in range(release, deadline):
        for h in range(hosts):
            there[h] = price[t, h] if count[t, h] > 0 else FAR
        low[t], got = _hosts(count[t : t + 1], there, members, FAR)
        if low[t] < FAR:
            made[:, t] = got
    order, run = np.argsort(low, kind="mergesort"), 0
    for k in range(ticks):
        t = order[k]
        if k >= slots or low[t] >= FAR or (not whole and low[t] >= most * members):
            made[:, t] = 0
        else:
            run += 1
    if whole and run < slots:
        made[:] = 0
    return made


@njit(cache=True, nogil=True)
def place(
    order: Ints, jobs: Ints, worth: Floats, bits: Floats, limit: Floats, allowed: Bools, trip: Floats32, price: Floats, guide: Floats,
    room: Ints, left: Ints, link: Floats, rows: Ints,
) -> int:  # fmt: skip
    """Place jobs in turn; `room`, `left` and `link` (H, T) are spent, rows (R, 4) filled with job, host, slot, members.

    jobs (J, 9): gpus, members, slots, release, deadline, memory, may split, partial, place. bits (J, 3): to begin and to end at a
    host, in each slot. price: paid of a GPU and slot; guide: what it is chosen by (H, T). Returns how many rows.
    """
    filled, turned = 0, guide.T.copy()  # (T, H), as gangs look at it
    for j in order:
        gpus, members, slots, release, deadline, memory, _, partial, where = jobs[j]
        if slots <= 0 or (not partial and deadline - release < slots):
            continue
        may = fits(allowed[j], gpus, limit[j], trip[where], room, memory, left, bits[j, 2], link, release, deadline)
        if members > 1:
            filled = _place_gang(j, jobs[j], worth[j], bits[j], may, price, turned, room, left, link, rows, filled)
            continue
        chosen = _one(jobs[j], worth[j], bits[j], may, guide, link)
        paid, run = 0.0, 0
        for t in range(release, deadline):
            if chosen[t] >= 0:
                paid += price[chosen[t], t] * gpus
                run += 1
        if run == 0 or (not partial and (run < slots or paid >= worth[j])):
            continue
        _spend(chosen, gpus, memory, bits[j, 0], bits[j, 1], bits[j, 2], room, left, link)
        for t in range(release, deadline):
            if chosen[t] >= 0:
                rows[filled] = (j, chosen[t], t, 1)
                filled += 1
    return filled


@njit(cache=True, nogil=True)
def _one(job: Ints, worth: float, bits: Floats, may: Bools, guide: Floats, link: Floats) -> Ints:
    """The host of each slot of a job of one member (T,), -1 where it does not run: in a row, or split where that costs less."""
    gpus, _, slots, release, deadline, _, split, partial, _ = job
    begin, end = bits[0] + bits[2], bits[1] + bits[2]
    chosen, total = np.full(may.shape[1], -1, np.int64), FAR
    if not partial:
        total, h, first = together(may, guide, slots, release, deadline, begin, end, link)
        if h >= 0:
            chosen[first : first + slots] = h
    if not split:
        return chosen
    for _ in range(TRIES):
        other = _apart(may, guide, release, deadline, worth / (slots * gpus), slots, not partial)
        if _carried(other, may, begin, end, link):
            cost, run = 0.0, 0
            for t in range(release, deadline):
                if other[t] >= 0:
                    cost += guide[other[t], t]
                    run += 1
            return other if partial or (run == slots and cost < total * (1.0 - 1e-9)) else chosen
    return chosen


@njit(cache=True, nogil=True)
def _place_gang(
    j: int, job: Ints, worth: float, bits: Floats, may: Bools, price: Floats, turned: Floats, room: Ints, left: Ints, link: Floats,
    rows: Ints, filled: int,
) -> int:  # fmt: skip
    gpus, members, slots, release, deadline, memory, split, partial, _ = job
    every = bits[0] + bits[1] + bits[2]  # as if it began and ended in each slot
    count = _members(may, members, gpus, memory, every, room, left, link, release, deadline)
    if split:
        at = _gang_split(
            count, turned, members, slots, release, deadline, worth / (slots * gpus * members), not partial
        )
    else:
        at = _gang_whole(count, turned, members, slots, release, deadline)
    if not partial and (at.sum() < slots * members or (at * price).sum() * gpus >= worth):
        return filled
    for h in range(room.shape[0]):
        for t in range(release, deadline):
            if at[h, t] > 0:
                room[h, t] -= gpus * at[h, t]
                left[h, t] -= memory * at[h, t]
                link[h, t] -= every * at[h, t]
                rows[filled] = (j, h, t, at[h, t])
                filled += 1
    return filled


@njit(cache=True, nogil=True)
def relaxed(
    jobs: Ints, worth: Floats, limit: Floats, allowed: Bools, trip: Floats32, cost: Floats, room: Ints, used: Floats
) -> float:  # fmt: skip
    """What jobs are worth at most when each pays `cost` (H, T) of a GPU and slot and none stands in another's way [USD].

    used: (H, T), filled with the GPUs that they would take. Memory and links are left out, so the value is an upper bound.
    """
    total = 0.0
    used[:] = 0.0
    for j in range(len(jobs)):
        gpus, members, slots, release, deadline, _, split, partial, where = jobs[j]
        if slots <= 0 or (not partial and deadline - release < slots):
            continue
        row = split or members > 1
        low, at, best, host, first = _least(jobs[j], limit[j], allowed[j], trip[where], cost, room)
        size = float(gpus * members)
        if partial:
            for t in range(release, deadline):
                gain = worth[j] / slots - low[t] * size
                if at[t] >= 0 and gain > 0.0:
                    total += gain
                    used[at[t], t] += size
        elif row:
            total += _cheapest(low, at, worth[j], size, slots, release, deadline, split, used)
        elif host >= 0 and worth[j] > best * size:
            total += worth[j] - best * size
            used[host, first : first + slots] += size
    return total


@njit(cache=True, nogil=True)
def _least(job: Ints, limit: float, allowed: Bools, trip: Floats32, cost: Floats, room: Ints):  # type: ignore[no-untyped-def]
    """The cheapest host of each slot, cost and number (T,); and of a run in a row at one host its cost, host and first slot."""
    gpus, _, slots, release, deadline, _, _, _, _ = job
    hosts, ticks = room.shape
    low, at = np.full(ticks, FAR), np.full(ticks, -1, np.int64)
    best, host, first = FAR, -1, -1
    for h in range(hosts):
        if not allowed[h]:
            continue
        streak, run = 0, 0.0
        for t in range(release, deadline):
            if room[h, t] < gpus or trip[h, t] > limit:
                streak, run = 0, 0.0
                continue
            if cost[h, t] < low[t]:
                low[t], at[t] = cost[h, t], h
            streak += 1
            run += cost[h, t]
            if streak > slots:
                run -= cost[h, t - slots]
            if streak >= slots and run < best:
                best, host, first = run, h, t - slots + 1
    return low, at, best, host, first


@njit(cache=True, nogil=True)
def _cheapest(
    low: Floats, at: Ints, worth: float, size: float, slots: int, release: int, deadline: int, split: int, used: Floats
) -> float:  # fmt: skip
    """The gain of the cheapest slots, any of them or, unless the job may split, in a row."""
    if split:
        order = release + np.argsort(low[release:deadline], kind="mergesort")[:slots]
    else:
        best, first = FAR, -1
        for s in range(release, deadline - slots + 1):
            run = low[s : s + slots].sum()
            if run < best:
                best, first = run, s
        if first < 0:
            return 0.0
        order = np.arange(first, first + slots)
    paid = low[order].sum()
    if paid >= FAR or worth <= paid * size:
        return 0.0
    for t in order:
        used[at[t], t] += size
    return worth - paid * size
