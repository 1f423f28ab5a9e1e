"""Ruin and repair: a few jobs that run at one time are taken out, they and some that wait are put back in another order."""

from __future__ import annotations

import numpy as np
from numba import njit

from aether.base.tables import Bools, Floats, Ints
from aether.placement.plan_kernels import Asked, Rent, There, put, take

RUINED = 8  # jobs taken out at most
WAITING = 8  # jobs without a place that are tried, at most
TASTE = 0.3  # of repairs that take some hosts and slots for dearer, or leave prices out
NOISE = (0.1, 3.0)  # of the logarithm of the order: from hardly any, as wins on large problems, to any order, as wins on small ones


@njit(cache=True, nogil=True)
def anneal(
    asked: Asked, there: There, rent: Rent, rows: Ints, start: Ints, count: Ints, key: Floats, hot_usd: Floats, rng: np.random.Generator,
    best_rows: Ints, best_count: Ints,
) -> float:  # fmt: skip
    """Change a plan in place, one ruin and repair for each of `hot_usd`; the best of all is left in best_rows and best_count.

    rows (R, 4): of job j from start[j] on, count[j] of them, by slot; what they take is already taken. key: (J,) logarithm of
    worth for what a job takes. hot_usd: (N,) temperature. Returns how much better the best is [USD].
    """
    jobs = len(count)
    gain, now, best = np.zeros(jobs), 0.0, 0.0
    for j in range(jobs):
        mine = rows[start[j] : start[j] + count[j]]
        take(mine, asked, there, -1)
        gain[j] = take(mine, asked, there, 1)
    old, ask = np.empty_like(rows), np.empty(there.room.shape)
    out, old_count, old_gain = np.zeros(jobs, np.int64), np.zeros(jobs, np.int64), np.zeros(jobs)
    best_rows[:], best_count[:] = rows, count
    for hot in hot_usd:
        freed, tried = _choose(asked.table, rows, start, count, rng, out, len(there.room))
        change = 0.0
        for k in range(tried):
            j = out[k]
            mine = rows[start[j] : start[j] + count[j]]
            old[start[j] : start[j] + count[j]] = mine
            old_count[k], old_gain[k] = count[j], gain[j]
            take(mine, asked, there, -1)
            change -= gain[j]
            count[j], gain[j] = 0, 0.0
        _repair(asked, there, _tasted(rent, rng), rows, start, count, gain, key, rng, out[:tried], ask)
        for k in range(tried):
            change += gain[out[k]]
        if change >= 0.0 or rng.random() < np.exp(change / hot):
            now += change
            if now > best + 1e-9:
                best = now
                best_rows[:], best_count[:] = rows, count
            continue
        for k in range(tried):
            j = out[k]
            take(rows[start[j] : start[j] + count[j]], asked, there, -1)
        for k in range(tried):
            j = out[k]
            count[j], gain[j] = old_count[k], old_gain[k]
            rows[start[j] : start[j] + count[j]] = old[start[j] : start[j] + count[j]]
            take(rows[start[j] : start[j] + count[j]], asked, there, 1)
    return best


@njit(cache=True, nogil=True)
def _choose(table: Ints, rows: Ints, start: Ints, count: Ints, rng: np.random.Generator, out: Ints, hosts: int):  # type: ignore[no-untyped-def]
    """Jobs to take out, of one time and half of the times of one host, and jobs that wait: (how many of the first, of both)."""
    jobs = len(count)
    centre = rng.integers(0, jobs)
    a, b = table[centre, 3], table[centre, 4]
    host = rng.integers(0, hosts) if rng.random() < 0.5 else -1
    out[0] = centre
    freed, wanted, first = 1, 1 + rng.integers(0, RUINED), rng.integers(0, jobs)
    if host >= 0:
        wanted = 2*RUINED
        a += rng.integers(0, max(b - a - table[centre, 2], 0) + 1)
        b = min(a + table[centre, 2], b)
    for k in range(jobs):
        if freed > wanted or (host<0 and k>6*wanted):
            break
        j = (first + k) % jobs if host >= 0 else rng.integers(0, jobs)
        if count[j] and j != centre and _runs(rows[start[j] : start[j] + count[j]], host, a, b) and not (out[:freed] == j).any():
            out[freed] = j
            freed += 1
    tried = freed
    for _ in range(6 * WAITING):
        j = rng.integers(0, jobs)
        if tried >= freed + WAITING:
            break
        if not count[j] and table[j, 3] < b and table[j, 4] > a and not (out[:tried] == j).any():
            out[tried] = j
            tried += 1
    return freed, tried


@njit(cache=True, nogil=True)
def _runs(rows: Ints, host: int, a: int, b: int) -> bool:
    """Whether a job runs between two slots, at a host or, for -1, at any."""
    if rows[0, 2] >= b or rows[-1, 2] < a:
        return False
    if host < 0:
        return True
    for r in range(len(rows)):
        if rows[r, 1] == host and a <= rows[r, 2] < b:
            return True
    return False


@njit(cache=True, nogil=True)
def _repair(
    asked: Asked, there: There, rent: Rent, rows: Ints, start: Ints, count: Ints, gain: Floats, key: Floats, rng: np.random.Generator,
    jobs: Ints, ask: Floats,
) -> None:  # fmt: skip
    """Put jobs in, in the order of noisy keys."""
    ranked, noise = np.empty(len(jobs)), NOISE[0] * (NOISE[1] / NOISE[0]) ** rng.random()
    for k in range(len(jobs)):
        ranked[k] = -key[jobs[k]] + noise * rng.standard_normal()
    room = np.zeros(there.room.shape[1], np.int64)
    for h in range(there.room.shape[0]):
        for t in range(room.size):
            room[t] = max(room[t], there.room[h, t])
    picky = rng.random() < 0.5
    for k in np.argsort(ranked):
        j = jobs[k]
        gpus, _, slots, release, deadline, _, _, partial, _ = asked.table[j]
        if (room[release:deadline] >= gpus).sum() < (1 if partial else slots):
            continue
        mine = rows[start[j] : start[j + 1]]
        count[j] = put(j, asked, there, rent, ask, picky, mine)
        gain[j] = take(mine[: count[j]], asked, there, 1)


@njit(cache=True, nogil=True)
def _tasted(rent: Rent, rng: np.random.Generator) -> Rent:
    """Prices as a repair takes them: mostly as they are; else with hosts and slots dearer by chance, half of those without prices."""
    rent.host[:], rent.slot[:] = 1.0, 1.0
    if rng.random() >= TASTE:
        return rent
    for h in range(rent.host.size):
        rent.host[h] = np.exp(rng.standard_normal())
    for t in range(rent.slot.size):
        rent.slot[t] = np.exp(rng.standard_normal())
    if rng.random() < 0.5:
        return rent
    bare = np.zeros((rent.worth.shape[0], rent.worth.shape[1], 2, 1))
    return Rent(bare, rent.group, rent.of, rent.unit, rent.asked, rent.host, rent.slot)
