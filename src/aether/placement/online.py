"""Jobs placed tick by tick into what is left: those worth most first, who runs stays where it can, gangs all or nothing."""

from __future__ import annotations

import numpy as np
from numba import njit

from aether.base.tables import Bools, Floats, Floats32, Ints


@njit(cache=True, nogil=True)
def assign(
    order: Ints, wants: Bools, gpus: Ints, members: Ints, allowed: Bools, place: Ints, limit: Floats, trip: Floats32, ranks: Ints, rank: Ints,
    held: Ints, room: Floats, thing: Ints,
) -> Ints:  # fmt: skip
    """Hosts of every job's members in this tick (J, M), -1 for none.

    A job keeps its hosts while they have room, are near enough and up; else it takes the first of its rank with room that no other
    running job needs, or, where there is none, that of jobs worth less. order: (J,) of jobs, most worth first. wants: has work and may
    run now. gpus, members: (J,). allowed: (J, H). place: row of trip (C + 1, H), limit: (J,) longest [s]. ranks: (N, H) orders of hosts,
    rank: (J,) which of them a job goes by.
    held: (J, M) hosts before. room: (H,) GPUs at full clocks left, spent in place. thing: (J,) below J: rows of one number are ways to do
    the same thing, of which the first that fits is taken. Valid within a tick: nothing ahead is known.
    """
    jobs, most = held.shape
    hosts = room.size
    made, reserved, done = np.full((jobs, most), -1, np.int64), np.zeros(hosts), np.zeros(jobs, np.bool_)
    for j in range(jobs):
        if wants[j]:
            for m in range(members[j]):
                if held[j, m] >= 0:
                    reserved[held[j, m]] += gpus[j]
    for j in order:
        if not wants[j] or done[thing[j]]:
            continue
        count = members[j]
        for m in range(count):
            if held[j, m] >= 0:
                reserved[held[j, m]] -= gpus[j]
        took = _take(held[j, :count], gpus[j], allowed[j], trip[place[j]], limit[j], room, made[j])
        for spare in (True, False):
            if not took:
                took = _seek(
                    count, gpus[j], allowed[j], trip[place[j]], limit[j], room, reserved, spare, ranks[rank[j]], made[j]
                )
        done[thing[j]] = took
    return made


@njit(cache=True, nogil=True)
def _take(held: Ints, gpus: int, allowed: Bools, trip: Floats32, limit: float, room: Floats, made: Ints) -> bool:
    """Stay at the hosts of before, if all can."""
    fine = True
    for m in range(held.size):
        h = held[m]
        if fine and h >= 0 and allowed[h] and trip[h] <= limit and room[h] + 1e-9 >= gpus:
            room[h] -= gpus
            made[m] = h
        else:
            fine = False
    if not fine:
        _give_back(made, gpus, room)
    return fine


@njit(cache=True, nogil=True)
def _seek(
    count: int, gpus: int, allowed: Bools, trip: Floats32, limit: float, room: Floats, reserved: Floats, spare: bool, first: Ints, made: Ints
) -> bool:  # fmt: skip
    """Take the first hosts for all members, or none."""
    m = 0
    for h in first:
        if not allowed[h] or trip[h] > limit:
            continue
        while m < count and room[h] - (reserved[h] if spare else 0.0) + 1e-9 >= gpus:
            room[h] -= gpus
            made[m] = h
            m += 1
    if m < count:
        _give_back(made, gpus, room)
    return m == count


@njit(cache=True, nogil=True)
def _give_back(made: Ints, gpus: int, room: Floats) -> None:
    for m in range(made.size):
        if made[m] >= 0:
            room[made[m]] += gpus
            made[m] = -1
