"""What room is worth: prices of a member's seat by kind of job, group of hosts and slot, and the bound on any plan that they prove.

L(p) = sum over jobs of max(0, worth - least p of their seats) + sum over hosts and slots of max over what fits of (p - cost) >= any
plan's value, for every p. What fits is a knapsack of whole members: where all ask for 64, 8 of 72 GPUs are worth nothing, and 8 are
worth more beside 64 than where they keep a 64 out. Prices go down the subgradient seats - members, each by a step of its own size.
Hosts that the same jobs may use, with as much room, share prices; costs of their own count exactly.

[1] Fisher, Management Science 27, 1981 (the bound). [2] Kellerer, Pferschy and Pisinger, Knapsack Problems, 2004 (the knapsack).
[3] Kingma and Ba, arXiv 1412.6980 (the step).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from aether.base.tables import Floats, Ints
from aether.placement import scarcity_kernels as kernels
from aether.placement.plan import FREE, Problem, density
from aether.placement.plan_room import LINK, MEMORY, NONE, Rent

STEPS = 400  # of the prices; twice as many lower the bound by less than a thousandth (measured on 500 x 100 x 96)
PACE, SLOWER = (
    0.3,
    0.01,
)  # first step, of the median worth of a GPU and slot, and how far it shrinks: lowest of those tried
KEPT = (0.9, 0.99)  # of means of the direction and its square, those of [3]
GROUPS = (
    12  # of hosts in a slot; where all differ by chance, 12 raise the bound by 0.2 % over 1 as steps are then too few
)
APART = 0.05  # of jobs that may use one of two hosts, or of room: nearer ones share prices
LOOKED = 256  # jobs by which hosts are compared
STATES = 4096  # of a knapsack; a host of more room counts as one that can be filled to the last
LEVELS = 64  # of the second limit, where its whole units would be more
KINDS = 128  # of jobs; where there are more, the second limit is left out of the bound


@dataclass(frozen=True)
class Scarcity:
    """What prices say of a problem."""

    bound_usd: float  # no plan is worth more
    rent: Rent
    least_usd: Floats  # (J,) what a job's seats cost


def priced(problem: Problem, steps: int = STEPS, going: Callable[[], bool] = lambda: True) -> Scarcity:
    """Prices and the bound of a problem.

    problem: what there is. steps: of the prices. going: asked before each but the first; they end when it says no. Returns Scarcity.
    Bits that begin and end runs, and the less scarce of memory and steady bits, are left out of the bound.
    """
    asked, there = problem.asked, problem.there()
    rent, room = second(problem)
    sizes, kind = np.unique(np.stack([asked.table[:, 0], rent.asked], axis=1), axis=0, return_inverse=True)
    looked = np.linspace(0, len(asked.table) - 1, min(LOOKED, len(asked.table))).astype(np.int64)
    group = kernels.groups(asked, there, looked, APART, GROUPS)
    shape = (len(sizes), int(group.max(initial=0)) + 1, group.shape[1])
    reach = kernels.reachable(asked, there, group, shape[1])
    width = max(min(int(there.room.max(initial=0)) + 1, STATES // (int(room.max(initial=0)) + 1)), 2)
    size = sizes[:, :1, None].astype(np.float64)
    price = np.ones(shape) * size * (float(there.cost.mean()) if there.cost.size else 0.0)
    used, given, least = np.zeros(shape), np.zeros(shape), np.zeros(len(kind))
    descent, low, best, costs = (
        _Descent(shape, PACE * float(np.median(density(asked))) if len(kind) else 0.0, steps),
        np.inf,
        price,
        least,
    )
    for step in range(max(steps, 1)):
        if step and not going():
            break
        kept = kernels.demand(asked, there, kind.ravel(), group, reach, price, used, least)
        kept += kernels.supply(sizes, price, there, room, group, width, given)
        if kept < low:
            low, best, costs = kept, price, least.copy()
        price = np.maximum(price - size * descent.step((given - used) * size), 0.0)
    worth = kernels.rents(sizes, best, there, group, width, int(room.max(initial=0)) + 1)
    return Scarcity(
        low, rent._replace(worth=worth, group=group, host=np.ones(group.shape[0]), slot=np.ones(group.shape[1])), costs
    )


class _Descent:
    """Steps of [3], shorter and shorter."""

    def __init__(self, shape: tuple[int, ...], pace: float, steps: int) -> None:
        self.mean, self.square, self.count = np.zeros(shape), np.zeros(shape), 0
        self.pace, self.steps = pace, steps

    def step(self, way: Floats) -> Floats:
        pace = self.pace * SLOWER ** (self.count / self.steps)
        self.count += 1
        self.mean = KEPT[0] * self.mean + (1.0 - KEPT[0]) * way
        self.square = KEPT[1] * self.square + (1.0 - KEPT[1]) * way * way
        mean, square = self.mean / (1.0 - KEPT[0] ** self.count), self.square / (1.0 - KEPT[1] ** self.count)
        return pace * mean / (np.sqrt(square) + 1e-9)


def second(problem: Problem) -> tuple[Rent, Ints]:
    """The limit beside GPUs: the scarcer of memory and steady link bits, where either can bind before they do.

    Returns a Rent without prices that says which, its unit and the units of each member, rounded down; and units of room (H, T), rounded up.
    """
    table, room = problem.asked.table, problem.room // problem.unit
    size, none = np.maximum(table[:, 0], 1), np.zeros(len(table), np.int64)
    work = table[:, 0] * table[:, 1] * table[:, 2]
    scarce, found, there = 1e-9, NONE, np.zeros(room.shape)
    each = none.astype(np.float64)
    for which, asks, has in ((MEMORY, table[:, 5], problem.memory), (LINK, problem.asked.bits[:, 2], problem.link_bit)):
        binds = (float((asks / size).max(initial=0.0)) * room > has).any()
        load = float((asks / size * work).sum()) / max(float(np.minimum(has, 1e200).sum()), 1e-9)
        if binds and load > scarce:
            scarce, found, each, there = load, which, asks.astype(np.float64), has.astype(np.float64)
    kinds = len(np.unique(np.stack([table[:, 0], each], axis=1), axis=0)) if len(table) else 0
    bare = FREE._replace(asked=none)
    if found == NONE or kinds > KINDS:
        return bare, np.zeros(room.shape, np.int64)
    there = np.minimum(there, float((each / size).max()) * room)  # more is of no use
    unit = float(np.gcd.reduce(each.astype(np.int64))) if found == MEMORY else 0.0
    coarse = unit <= 0.0 or there.max() / unit > LEVELS
    unit = max(float(there.max()), 1.0) / LEVELS if coarse else unit
    units = np.minimum(each / unit, LEVELS + 1.0).astype(np.int64)
    return bare._replace(of=found, unit=unit, asked=units), (np.ceil if coarse else np.floor)(there / unit).astype(
        np.int64
    )
