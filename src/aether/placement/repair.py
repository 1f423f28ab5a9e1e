"""Ruin and repair: a few jobs that run at one time are taken out, they and some that wait are put back in another order."""

from __future__ import annotations

import numpy as np
from numba import njit

from aether.base.tables import Floats, Ints
from aether.placement.plan_kernels import put, take
from aether.placement.plan_room import Asked, Rent, There

RUINED = 8  # jobs taken out at most
WAITING = 8  # jobs without a place that are tried, at most
TASTE = 0.3  # of repairs that take some hosts and slots for dearer, or leave prices out
NOISE = (
    0.1,
    3.0,
)  # of the logarithm of the order, by chance: hardly any wins on large problems, any order on small ones


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
        tried = _choose(asked.table, rows, start, count, rng, out, len(there.room))
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
def _choose(table: Ints, rows: Ints, start: Ints, count: Ints, rng: np.random.Generator, out: Ints, hosts: int) -> int:
    """Jobs of one time to take out, and in half of the cases of one host, and after them jobs that wait: how many."""
    jobs, centre = len(count), rng.integers(0, len(count))
    a, b, slots = table[centre, 3], table[centre, 4], table[centre, 2]
    at, first, host = rng.integers(0, hosts), rng.integers(0, jobs), rng.random() < 0.5
    wanted, looks = 2 * RUINED if host else 1 + rng.integers(0, RUINED), jobs if host else 6 * RUINED
    if host:
        a = a + rng.integers(0, max(b - a - slots, 0) + 1)
        b = min(a + slots, b)
    out[0], freed = centre, 1
    for k in range(looks):
        if freed > wanted:
            break
        j = (first + k) % jobs if host else rng.integers(0, jobs)
        mine = rows[start[j] : start[j] + count[j]]
        if len(mine) and not (out[:freed] == j).any() and _during(mine, at if host else -1, a, b):
            out[freed], freed = j, freed + 1
    tried = freed
    for _ in range(6 * WAITING):
        j = rng.integers(0, jobs)
        if tried >= freed + WAITING:
            break
        if not count[j] and table[j, 3] < b and table[j, 4] > a and not (out[:tried] == j).any():
            out[tried], tried = j, tried + 1
    return tried


@njit(cache=True, nogil=True)
def _during(rows: Ints, host: int, a: int, b: int) -> bool:
    """Whether a job runs between two slots, at a host or, for -1, at any."""
    if rows[0, 2] >= b or rows[-1, 2] < a:
        return False
    return host < 0 or ((rows[:, 1] == host) & (rows[:, 2] >= a) & (rows[:, 2] < b)).any()


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
    if rng.random() < 0.5:
        ranked[0] = -np.inf
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
