"""The cheapest launches for a target: what ships of each group and month are worth and cost, in expectation over the draws."""

from __future__ import annotations

import numpy as np

from aether.base.tables import Floats, Ints
from aether.economics import cash
from aether.engine import lifetime_money
from aether.engine.lifetime_fleet import MONTH_S, Drawn, Ships
from aether.operations.fleet import FLOPS, Course
from aether.operations.schedule import Schedule
from aether.operations.schedule import cheapest as solve


def cheapest(fleet: Ships, given: Course, drawn: Drawn, alive: Floats) -> Schedule:
    """Launches by month and group that meet the course's aim, its spares with it, at least present value.

    alive: (D, G, A + 1) share of ships that lives by age. What a launch loses is launched again, so it costs more; new boards
    come on time, their flights are not held against the cadence. Returns a Schedule.
    """
    months, groups = given.aim.shape
    worth, there = np.zeros((groups, months, months)), np.zeros(months)
    lives = alive.mean(axis=0)
    for g in range(groups):
        there += given.initial[g] * _worth(fleet, given, drawn, lives[g], g, -1)
        for b in range(months):
            worth[g, b] = _worth(fleet, given, drawn, lives[g], g, b)
    value = cash.discount(months, fleet.draws.nominal("cost.capital_orbit"))
    fails = float(fleet.draws("fleet.launch_failure").mean())
    price = _present(fleet, given, drawn, value, lives) / (1.0 - fails)
    short = np.maximum(given.aim.sum(axis=1) * (1.0 + given.spares) - there, 0.0)
    return solve(worth, price, short, drawn.loads.mean(axis=0), given.flights)


def _worth(fleet: Ships, given: Course, drawn: Drawn, lives: Floats, g: int, birth: int) -> Floats:
    """What a ship launched in a month, or -1 for one that is there at the start, delivers in each month (M,)."""
    months = given.aim.shape[0]
    ages = np.arange(months) - (birth if birth >= 0 else -int(fleet.age[g]))
    lead = round(float(drawn.lead[:, g].mean())) if birth >= 0 else 0
    works = (ages >= lead) & (ages < drawn.life[:, g, birth + 1].mean())
    last = len(lives) - 1
    at = np.clip(ages, 0, last)
    boards_age, built = _boards(given, ages, birth)
    share = lives[at] * drawn.boards.mean(axis=0)[np.clip(boards_age, 0, last)] * given.mean_factor[g, at]
    if birth < 0:
        share = share / max(float(lives[min(int(fleet.age[g]), last)]), 1e-12)
    speed = drawn.generation.mean(axis=0)[np.clip(built, 0, months)] * fleet.flops[g] if given.counts == FLOPS else 1.0
    return np.asarray(np.where(works, share, 0.0) * fleet.gpus[g] * float(drawn.up.mean()) * speed)


def _boards(given: Course, ages: Ints, birth: int) -> tuple[Ints, Ints]:
    """Age of the boards, and the month in which they were built, where they are exchanged on time."""
    if given.boards_every == 0:
        return ages, np.full(len(ages), max(birth, 0))
    since = np.where(ages >= 0, ages % given.boards_every, 0)
    return since, np.maximum(np.arange(len(ages)) - since, 0)


def _present(fleet: Ships, given: Course, drawn: Drawn, value: Floats, lives: Floats) -> Floats:
    """Present value of buying, flying, running and renewing a ship launched in each month (G, M), less what it is worth at the end."""
    months, draws, insured = len(value), fleet.draws, fleet.asked.insured
    paid, hardware = given.paid_usd[1:].T, given.hardware_usd[1:].T  # (G, M)
    life = int(fleet.life.mean())
    yearly = draws.nominal("cost.operations_orbit") + insured * draws.nominal("cost.orbit_insurance")
    upkeep = np.array([value[b : b + life].sum() for b in range(months)]) * yearly * MONTH_S
    left = np.maximum(1.0 - (months - np.arange(months)) / life, 0.0) * value[-1]
    premium = insured * draws.nominal("cost.launch_insurance")
    cost = paid * (value * (1.0 + premium) - left) + hardware * upkeep
    if given.boards_every == 0:
        return np.asarray(cost)
    plain = lifetime_money.prices(fleet, nominal=True)
    kit = plain.accelerators_usd[0] * (1.0 + draws.nominal("fleet.servicing"))
    kit = kit + plain.launch_usd[0] * drawn.service_loads.mean(axis=0)  # (M, G)
    for age in range(given.boards_every, life - given.boards_every // 4, given.boards_every):
        ends = np.arange(months - age) if age < months else np.zeros(0, np.int64)
        cost[:, ends] += (kit[ends + age] * value[ends + age, None]).T * lives[:, age, None]
    return np.asarray(cost)
