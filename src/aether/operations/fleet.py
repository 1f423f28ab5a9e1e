"""A fleet month by month: launches that may fail, commissioning, early deaths and wear, spares, new boards, disposal.

One draw at a time: a cohort is the ships of a group that reached orbit in one month; those that were there at the start are
the first. Axes: months M, groups G, cohorts M + 1, ages A in months, columns of the outcome K.

References
[1] R. E. Barlow, F. Proschan, Mathematical Theory of Reliability, 1965.
[2] L. Devroye, Non-Uniform Random Variate Generation, 1986, chapter X.4: binomials by waiting times.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from aether.base.tables import Floats, Ints

COLUMNS = (
    "flights", "launches", "launches_failed", "ordered", "lost", "joined", "failed", "disposed", "stranded", "alive",
    "in_service", "active", "nameplate_gpu", "working_gpu", "delivered_gpu", "nameplate_flops", "delivered_flops",
    "serviced", "service_flights", "hardware_usd", "gone_usd", "book_usd",
)  # fmt: skip
SHIPS, GPUS, FLOPS = 0, 1, 2  # what an aim counts


class Course(NamedTuple):
    """What is the same in all draws."""

    aim: Floats  # (M, G) wanted at work: ships, GPUs at full clocks delivered, or FLOP/s delivered
    counts: int  # which of the three
    once: bool  # nothing is replaced
    orders: Ints  # (M, G) ships of a plan to have reached orbit by each month; none: (0, G)
    initial: Ints  # (G,) ships in orbit at the start
    initial_age: Ints  # (G,) months
    flights: Floats  # (M,) that may be flown
    spares: float  # over the aim
    gpus: Floats  # (G,) a ship
    flops: Floats  # (G,) a GPU of the first generation [FLOP/s]
    factor: Floats  # (G, M, A) share of installed compute that power, heat and radiation leave
    mean_factor: Floats  # (G, A) the same through a year
    boards_every: int  # months after which boards are exchanged, 0 for never
    storm: int  # month of a solar storm, -1 for none
    hardware_usd: Floats  # (M + 1, G) of a ship of each cohort, nominal
    paid_usd: Floats  # (M + 1, G) with its launch


class Chance(NamedTuple):
    """What a draw makes of the assumptions."""

    dies: Floats  # (G, A) chance that a ship dies in its a-th month
    boards: Floats  # (A + 1,) share of GPUs that works by the age of boards
    life: Ints  # (G, M + 1) months after which a cohort retires
    lead: Ints  # (G,) months from the last launch to work
    loads: Floats  # (G,) flights that a ship fills: up to 1 it shares one
    service_loads: Floats  # (G,) the same for its new boards
    launch_fails: float
    grounded: int  # months without launches after a failure
    generation: Floats  # (M + 1,) performance of boards built in each month, 1 in the first
    up: Floats  # (G,) share of time that a living ship is in service
    disposes: float  # chance that a ship that retires comes down
    storm_loss: float
    storm_outage: float  # share of the month
    storm_array: float  # compute lost for good by ships that were there


def course(
    launching: np.random.Generator,
    living: np.random.Generator,
    storming: np.random.Generator,
    given: Course,
    drawn: Chance,
) -> Floats:
    """One draw of the fleet's years.

    Each month: what lives through it, by n - Binomial(n, h_a); who is old retires; the shortfall a lead ahead, aim (1 + spares) -
    what will still be in service, is ordered, as far as flights and groundings let it; each launch fails by chance; boards
    of age are exchanged. Active ships are the aim's; the others in service are spares that take over at once.
    launching, living, storming: streams. given, drawn: see there. Returns (M, G, K), columns `COLUMNS`, at each month's end:
    initial + joined so far = alive + failed + disposed + stranded so far. Spares age as others do; ships of a cohort share one
    age and one generation. References [1], [2].
    """
    out = np.zeros((*given.aim.shape, len(COLUMNS)))
    _course(launching, living, storming, Course(*_laid(given)), Chance(*_laid(drawn)), out)
    return out


def _laid(record: tuple[Any, ...]) -> list[Any]:
    """Arrays one row after the other, so that one compiled kernel serves all."""
    return [np.ascontiguousarray(v) if isinstance(v, np.ndarray) else v for v in record]


@njit(cache=True, nogil=True)
def _binomial(rng, count, chance):  # type: ignore[no-untyped-def]
    if count <= 0 or chance <= 0.0:
        return 0
    if chance >= 1.0:
        return count
    if chance > 0.5:
        return count - _binomial(rng, count, 1.0 - chance)
    slope, found, at = math.log1p(-chance), 0, 0.0
    while True:
        at += math.floor(math.log1p(-rng.random()) / slope) + 1.0
        if at > count:
            return found
        found += 1


@njit(cache=True, nogil=True)
def _course(launching, living, storming, given, drawn, out):  # type: ignore[no-untyped-def]
    months, groups = given.aim.shape
    n = np.zeros((groups, months + 1), np.int64)  # alive
    boards_age = np.zeros((groups, months + 1), np.int64)
    works = np.ones((groups, months + 1))
    speed = np.ones((groups, months + 1))
    due = np.zeros((groups, months + 1))  # share of a cohort whose boards are to be exchanged
    parts, joined = np.zeros(groups), np.zeros(groups, np.int64)  # loads in orbit of ships not whole yet
    oldest = np.zeros(groups, np.int64)
    wants, credit, halted = np.zeros(groups), 0.0, 0
    for g in range(groups):
        n[g, 0] = given.initial[g]
        boards_age[g, 0] = min(given.initial_age[g], drawn.boards.shape[0] - 1)
        works[g, 0] = drawn.boards[boards_age[g, 0]]
    for m in range(months):
        for g in range(groups):
            _live(living, storming, given, drawn, m, g, n, boards_age, works, due, oldest, out)
        credit = min(credit + given.flights[m], given.flights[m] + 1.0)
        if halted > 0:
            halted -= 1
            credit = 0.0
        speed[:, m + 1] = drawn.generation[m]
        for g in range(groups):
            ships = _wanted(given, drawn, m, g, n, works, speed, oldest, parts, joined)
            need = math.ceil(drawn.loads[g] - 1e-9)
            wants[g] = ships if drawn.loads[g] <= 1.0 else math.ceil(ships * need - 1e-9)  # ships, or flights of loads
        share, left = _service(given, drawn, m, n, due, oldest, works, speed, boards_age, wants, credit, out)
        failed = _launch(launching, drawn, m, n, parts, joined, wants, share, left, out)
        for g in range(groups):
            left -= out[m, g, 0]
            _measure(given, drawn, m, g, n, works, speed, oldest, out)
        credit = max(left, 0.0)
        if failed > 0:
            halted = drawn.grounded


@njit(cache=True, nogil=True)
def _age(given, m, g, c):  # type: ignore[no-untyped-def]
    return m + given.initial_age[g] if c == 0 else m - (c - 1)


@njit(cache=True, nogil=True)
def _live(living, storming, given, drawn, m, g, n, boards_age, works, due, oldest, out):  # type: ignore[no-untyped-def]
    """Deaths, storm, retirement and wear of a group's cohorts in a month."""
    last = drawn.dies.shape[1]
    for c in range(oldest[g], m + 1):
        if n[g, c] == 0:
            if c == oldest[g]:
                oldest[g] += 1
            continue
        age = _age(given, m, g, c)
        price, life = given.paid_usd[c, g], drawn.life[g, c]
        gone = 0
        if m > 0 and age > 0:
            gone = _binomial(living, n[g, c], drawn.dies[g, min(age, last) - 1])
            was = boards_age[g, c]
            if was + 1 < drawn.boards.shape[0]:
                before = drawn.boards[was]
                works[g, c] *= drawn.boards[was + 1] / before if before > 0.0 else 0.0
                boards_age[g, c] = was + 1
        if m == given.storm:
            gone += _binomial(storming, n[g, c] - gone, drawn.storm_loss)
        n[g, c] -= gone
        out[m, g, 6] += gone
        out[m, g, 20] += gone * price * max(1.0 - age / max(life, 1), 0.0)
        if age >= life:
            down = _binomial(living, n[g, c], drawn.disposes)
            out[m, g, 7] += down
            out[m, g, 8] += n[g, c] - down
            n[g, c] = 0
        elif given.boards_every > 0 and boards_age[g, c] >= given.boards_every and due[g, c] == 0.0:
            due[g, c] = 1.0 if life - age > given.boards_every // 4 else 0.0  # not worth it for a ship about to retire


@njit(cache=True, nogil=True)
def _unit(given, drawn, g, age, works, speed):  # type: ignore[no-untyped-def]
    """What a ship counts towards the aim."""
    if given.counts == 0:
        return 1.0
    at = min(age, given.mean_factor.shape[1] - 1)
    worth = given.gpus[g] * works * given.mean_factor[g, at] * drawn.up[g]
    return worth if given.counts == 1 else worth * given.flops[g] * speed


@njit(cache=True, nogil=True)
def _wanted(given, drawn, m, g, n, works, speed, oldest, parts, joined):  # type: ignore[no-untyped-def]
    """Ships to order so that the aim is met when they come into service."""
    months, lead = given.aim.shape[0], drawn.lead[g]
    if given.orders.shape[0] > 0:
        return max(given.orders[m, g] - joined[g] - _pending(drawn, g, parts), 0.0)
    if given.once:
        return max(math.ceil(given.aim[0, g] - given.initial[g] - joined[g] - _pending(drawn, g, parts) - 1e-9), 0.0)
    there = 0.0
    for c in range(oldest[g], m + 1):
        age = _age(given, m, g, c)
        if n[g, c] > 0 and age + lead < drawn.life[g, c]:
            there += n[g, c] * _unit(given, drawn, g, age, works[g, c], speed[g, c])
    new = _unit(given, drawn, g, 0, 1.0, drawn.generation[m])
    short = given.aim[min(m + lead, months - 1), g] * (1.0 + given.spares) - there
    ships = math.ceil(short / new - 1e-9) if new > 0.0 else 0.0
    return max(ships - _pending(drawn, g, parts), 0.0)


@njit(cache=True, nogil=True)
def _pending(drawn, g, parts):  # type: ignore[no-untyped-def]
    """Ships begun: they will be whole with the loads that still lack."""
    return 0.0 if drawn.loads[g] <= 1.0 else parts[g] / math.ceil(drawn.loads[g] - 1e-9)


@njit(cache=True, nogil=True)
def _service(given, drawn, m, n, due, oldest, works, speed, boards_age, wants, credit, out):  # type: ignore[no-untyped-def]
    """Grants flights; exchanges boards with its share. Returns the share of all wishes granted and the flights left for ships."""
    groups = given.aim.shape[1]
    asked, service = 0.0, 0.0
    for g in range(groups):
        asked += wants[g] * min(drawn.loads[g], 1.0)
        for c in range(oldest[g], m + 1):
            service += n[g, c] * due[g, c] * drawn.service_loads[g]
    share = min(1.0, credit / (asked + service)) if asked + service > 0.0 else 1.0
    for g in range(groups):
        for c in range(oldest[g], m + 1):
            if due[g, c] <= 0.0 or n[g, c] == 0:
                continue
            new = due[g, c] * share
            due[g, c] -= new
            works[g, c] += new * (1.0 - works[g, c])
            speed[g, c] += new * (drawn.generation[m] - speed[g, c])
            if due[g, c] < 1e-9:
                due[g, c], boards_age[g, c] = 0.0, 0
            out[m, g, 17] += n[g, c] * new
            out[m, g, 18] += n[g, c] * new * drawn.service_loads[g]
    return share, credit - service * share


@njit(cache=True, nogil=True)
def _launch(launching, drawn, m, n, parts, joined, wants, share, left, out):  # type: ignore[no-untyped-def]
    """Flies what is wanted and granted; returns launches that failed."""
    groups = len(wants)
    gets = np.zeros(groups)
    for g in range(groups):
        gets[g] = math.floor(wants[g] * share + 1e-9)
        left -= gets[g] * min(drawn.loads[g], 1.0)
    for g in range(groups):  # what rounding left
        each = max(min(drawn.loads[g], 1.0), 1e-12)
        more = max(min(wants[g] - gets[g], math.floor(left / each + 1e-9)), 0.0)
        gets[g] += more
        left -= more * each
    failed = 0
    for g in range(groups):
        failed += _fly(launching, drawn, m, g, int(gets[g]), n, parts, joined, out)
    return failed


@njit(cache=True, nogil=True)
def _fly(launching, drawn, m, g, get, n, parts, joined, out):  # type: ignore[no-untyped-def]
    """Ships that share flights, or flights that carry loads of one ship; returns how many failed."""
    if get <= 0:
        return 0
    failed = 0
    if drawn.loads[g] <= 1.0:
        launches = max(math.ceil(get * drawn.loads[g] - 1e-9), 1)
        lost = 0
        for i in range(launches):
            if launching.random() < drawn.launch_fails:
                failed += 1
                lost += get * (i + 1) // launches - get * i // launches
        flights, ordered, made = get * drawn.loads[g], float(get), get - lost
        out[m, g, 4] += lost
    else:
        need = math.ceil(drawn.loads[g] - 1e-9)
        launches = get
        failed = _binomial(launching, get, drawn.launch_fails)
        parts[g] += get - failed
        made = math.floor(parts[g] / need + 1e-9)
        parts[g] -= made * need
        flights, ordered = float(get), get / need
        out[m, g, 4] += failed / need
    n[g, m + 1] = made
    joined[g] += made
    out[m, g, 0] = flights
    out[m, g, 1] = launches
    out[m, g, 2] = failed
    out[m, g, 3] = ordered
    out[m, g, 5] = made
    return failed


@njit(cache=True, nogil=True)
def _measure(given, drawn, m, g, n, works, speed, oldest, out):  # type: ignore[no-untyped-def]
    """What a group has and delivers in a month."""
    alive, up, worth, book = 0, 0, 0.0, 0.0
    last = given.factor.shape[2] - 1
    name = working = delivered = name_flops = delivered_flops = 0.0
    for c in range(oldest[g], m + 2):
        if n[g, c] == 0:
            continue
        age = _age(given, m, g, c)
        alive += n[g, c]
        worth += n[g, c] * given.hardware_usd[c, g]
        book += n[g, c] * given.paid_usd[c, g] * max(1.0 - age / max(drawn.life[g, c], 1), 0.0)
        if c > 0 and age < drawn.lead[g]:  # those there at the start are at work
            continue
        up += n[g, c]
        gpus = n[g, c] * given.gpus[g]
        share = works[g, c] * given.factor[g, m, min(age, last)] * drawn.up[g]
        if m == given.storm:
            share *= 1.0 - drawn.storm_outage
        if given.storm >= 0 and m >= given.storm and age >= m - given.storm:
            share *= 1.0 - drawn.storm_array
        name += gpus
        working += gpus * works[g, c]
        delivered += gpus * share
        name_flops += gpus * given.flops[g] * speed[g, c]
        delivered_flops += gpus * share * given.flops[g] * speed[g, c]
    active = min(float(up), given.aim[m, g]) if given.counts == 0 and given.orders.shape[0] == 0 else float(up)
    ratio = active / up if up > 0 else 0.0
    out[m, g, 9] = alive
    out[m, g, 10] = up
    out[m, g, 11] = active
    out[m, g, 12] = name * ratio
    out[m, g, 13] = working * ratio
    out[m, g, 14] = delivered * ratio
    out[m, g, 15] = name_flops * ratio
    out[m, g, 16] = delivered_flops * ratio
    out[m, g, 19] = worth
    out[m, g, 21] = book
