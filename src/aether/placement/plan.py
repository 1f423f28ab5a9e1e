"""Plans: jobs, services and streams over hosts and slots of time as one problem, a greedy answer and a bound on any.

maximise  sum of worth of what is done - (price + carbon) of the GPUs it takes
so that   GPUs, memory and link bits of no host and slot are exceeded; a job runs where it is allowed, near enough, between
          its release and its deadline; all members of a gang run together or none; what may not be split runs in a row at
          one set of hosts; a job counts when all its slots have run, a service or stream by the slots that have.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from aether.base.tables import Bools, Floats, Floats32, Ints
from aether.placement import plan_kernels as kernels

MEGA = 1e6  # memory counts in whole MB, as the exact solver needs: asked rounded up, there rounded down
STEPS = 400  # of the bound's prices; twice as many lower it by less than a hundredth (measured on 500 x 100 x 96)
PACE, SLOWER = (
    0.3,
    0.01,
)  # first step, of the median worth of a GPU and slot, and how far it shrinks: lowest bound of those tried
KEPT = (0.9, 0.99)  # of means of the direction and its square, those of the reference
SUMS = 100_000  # GPUs of a host up to which all sums are looked at; above, rounding to a common divisor loses little
TRIED = 10  # steps of prices between greedy plans that follow them


@dataclass(frozen=True)
class Jobs:
    """What is to be placed (J,). A service or a stream is `partial`: worth its share in every slot of its time."""

    names: tuple[str, ...]
    gpus: Ints  # of a member, all at one host
    members: Ints  # of a gang: all in the same slots
    slots: Ints  # of work
    release: Ints  # first slot it may run in
    deadline: Ints  # slot by which it must be done, itself excluded
    worth_usd: Floats  # of the whole, its priority counted
    memory_bytes: Floats  # of a member
    begin_bit: Floats  # a member moves to a host it begins at, after a pause too: input or checkpoint
    end_bit: Floats  # and from a host it ends at
    slot_bit: Floats  # in every slot
    limit_s: Floats  # longest round trip to `place`
    place: Ints  # row of `Problem.round_trip_s`
    split: Bools  # may pause, go on, and move
    partial: Bools
    allowed: Bools  # (J, H) by law and by its own choice


@dataclass(frozen=True)
class Problem:
    """Hosts H, slots T, places C, jobs J."""

    slot_s: float
    hosts: tuple[str, ...]
    gpu: Floats  # (H, T) left by power, heat, radiation, reach, faults and by what comes first
    memory_bytes: Floats  # (H,)
    link_bit: Floats  # (H, T) that a host can move
    price_usd: Floats  # (H, T) of a GPU and slot
    carbon_kg: Floats  # (H, T) of a GPU and slot
    carbon_usd_kg: float
    round_trip_s: Floats32  # (C, H, T)
    jobs: Jobs

    @cached_property
    def cost_usd(self) -> Floats:
        """What a GPU costs for a slot, carbon counted (H, T)."""
        return self.price_usd + self.carbon_usd_kg * self.carbon_kg

    @cached_property
    def room(self) -> Ints:
        """Whole GPUs (H, T)."""
        return np.floor(self.gpu + 1e-9).astype(np.int64)

    @cached_property
    def memory(self) -> Ints:
        """Whole MB (H, T)."""
        return np.repeat(np.floor(self.memory_bytes / MEGA).astype(np.int64)[:, None], self.gpu.shape[1], axis=1)

    @cached_property
    def table(self) -> Ints:
        """Jobs as the kernels take them (J, 9)."""
        j, slots = self.jobs, self.gpu.shape[1]
        memory = np.ceil(j.memory_bytes / MEGA)
        columns = (j.gpus, j.members, j.slots, np.clip(j.release, 0, slots), np.clip(j.deadline, 0, slots), memory, j.split, j.partial, j.place)  # fmt: skip
        return np.stack([np.asarray(c).astype(np.int64) for c in columns], axis=1).reshape(-1, len(columns))

    @cached_property
    def bits(self) -> Floats:
        """To begin, to end, in each slot (J, 3)."""
        return np.stack([self.jobs.begin_bit, self.jobs.end_bit, self.jobs.slot_bit], axis=1).astype(np.float64)


@dataclass(frozen=True)
class Schedule:
    """What runs where and when: rows of a job's members at a host in a slot, by job."""

    job: Ints  # (R,)
    host: Ints
    slot: Ints
    members: Ints
    value_usd: float  # worth less cost: what is maximised
    worth_usd: float
    bound_usd: float = np.inf  # no plan is worth more
    bound: str = "none"  # which bound

    @property
    def gap(self) -> float:
        """How far from the best it may be at most, a share of the bound."""
        return (self.bound_usd - self.value_usd) / abs(self.bound_usd) if self.bound_usd else 0.0

    def done(self, jobs: Jobs) -> Ints:
        """Slots in which each job runs (J,)."""
        width = int(self.slot.max(initial=0)) + 1
        return np.bincount(np.unique(self.job * width + self.slot) // width, minlength=len(jobs.names))


def greedy(problem: Problem, prices_usd: Floats | None = None) -> Schedule:
    """Jobs by worth per GPU and slot, each where and when it costs least of what is left: in one go.

    problem: what there is. prices_usd: (H, T) scarcity prices to choose by, as `bounded` finds them; none when left out.
    Returns a Schedule that keeps to every limit. A job is left out where no room is left or its cost is above its worth.
    Valid as an online rule: no job waits for one that comes after it.

    [1] Dantzig, Operations Research 5, 1957 (by density).
    """
    table, jobs = problem.table, problem.jobs
    size = np.maximum(table[:, 0] * table[:, 1] * table[:, 2], 1)
    order = np.argsort(-(jobs.worth_usd / size), kind="stable")
    guide = problem.cost_usd if prices_usd is None else problem.cost_usd + prices_usd
    rows = np.empty((int((np.minimum(table[:, 2], problem.gpu.shape[1]) * table[:, 1]).sum()) + 1, 4), np.int64)
    filled = kernels.place(
        order, table, np.ascontiguousarray(jobs.worth_usd), problem.bits, jobs.limit_s, jobs.allowed, problem.round_trip_s,
        problem.cost_usd, guide, problem.room.copy(), problem.memory.copy(), problem.link_bit.astype(np.float64), rows,
    )  # fmt: skip
    return schedule(problem, rows[:filled])


def schedule(problem: Problem, rows: Ints) -> Schedule:
    """The Schedule of rows (R, 4) of job, host, slot and members, with its value."""
    rows = rows[np.lexsort((rows[:, 1], rows[:, 2], rows[:, 0]))]
    job, host, slot, members = rows.T.copy()
    made = Schedule(job, host, slot, members, 0.0, 0.0)
    jobs, done = problem.jobs, made.done(problem.jobs)
    share = np.where(jobs.partial, done / np.maximum(jobs.slots, 1), done >= jobs.slots) * (done > 0)
    worth = float((share * jobs.worth_usd).sum())
    cost = float((problem.cost_usd[host, slot] * members * jobs.gpus[job]).sum())
    return Schedule(job, host, slot, members, worth - cost, worth)


def bounded(problem: Problem, steps: int = STEPS) -> Schedule:
    """The best of greedy plans that follow scarcity prices, with the Lagrangian bound that the prices prove.

    L(p) = sum over jobs of max(0, worth - least cost at cost + p) + sum of p x room >= any plan's value, for every p >= 0; p goes
    down the subgradient room - used, each by a step of its own size. Room is what jobs of these sizes can fill. Limits of memory
    and links are left out of the bound.
    problem: what there is. steps: of the prices. Returns a Schedule with bound_usd.

    [1] Fisher, Management Science 27, 1981 (the bound). [2] Kingma and Ba, arXiv 1412.6980 (the step).
    """
    best = greedy(problem)
    room, jobs, table = packed(problem), problem.jobs, problem.table
    price, used = np.zeros(room.shape), np.zeros(room.shape)
    mean, square = np.zeros(room.shape), np.zeros(room.shape)
    density = jobs.worth_usd / np.maximum(table[:, 0] * table[:, 1] * table[:, 2], 1)
    low, reach = np.inf, PACE * float(np.median(density)) if density.size else 0.0
    for step in range(steps):
        kept = kernels.relaxed(
            table, jobs.worth_usd, jobs.limit_s, jobs.allowed, problem.round_trip_s, problem.cost_usd + price, room, used
        )  # fmt: skip
        low = min(low, kept + float((price * room).sum()))
        if step % TRIED == TRIED - 1:
            other = greedy(problem, price)
            best = other if other.value_usd > best.value_usd else best
        if low - best.value_usd <= 1e-4 * abs(low):
            break
        way = room - used
        mean, square = KEPT[0] * mean + (1.0 - KEPT[0]) * way, KEPT[1] * square + (1.0 - KEPT[1]) * way * way
        even = [1.0 - k ** (step + 1) for k in KEPT]
        pace = reach * SLOWER ** (step / steps)
        price = np.maximum(price - pace * (mean / even[0]) / (np.sqrt(square / even[1]) + 1e-9), 0.0)
    low = max(low, best.value_usd)  # what rounding leaves
    return Schedule(best.job, best.host, best.slot, best.members, best.value_usd, best.worth_usd, low, "Lagrangian")


def packed(problem: Problem) -> Ints:
    """The most GPUs of each host and slot that jobs of these sizes can fill (H, T): 64 of 72 where all ask for 64.

    The largest sum of whole multiples of the sizes that does not exceed the room. [1] Martello and Toth, Knapsack Problems, 1990.
    """
    sizes, most = np.unique(problem.jobs.gpus), int(problem.room.max(initial=0))
    if most > SUMS or not sizes.size:
        step = int(np.gcd.reduce(sizes)) if sizes.size else 1
        return problem.room // step * step
    sums = np.zeros(most + 1, np.bool_)
    sums[0] = True
    for size in sizes[sizes <= most].tolist():
        rows = np.pad(sums, (0, -sums.size % size)).reshape(-1, size)
        sums = np.logical_or.accumulate(rows, axis=0).ravel()[: most + 1]
    made: Ints = np.maximum.accumulate(np.where(sums, np.arange(most + 1), 0))[problem.room]
    return made


def broken(problem: Problem, made: Schedule) -> list[str]:
    """Every limit that a schedule breaks, in words; empty for a sound one."""
    j, table = problem.jobs, problem.table
    told: list[str] = []
    used, memory = np.zeros(problem.gpu.shape), np.zeros(problem.gpu.shape)
    link = np.zeros(problem.gpu.shape)
    np.add.at(used, (made.host, made.slot), j.gpus[made.job] * made.members)
    np.add.at(memory, (made.host, made.slot), table[made.job, 5] * made.members)
    np.add.at(link, (made.host, made.slot), j.slot_bit[made.job] * made.members)
    for n in np.unique(made.job):
        mine = made.job == n
        at = np.zeros((problem.gpu.shape[0], problem.gpu.shape[1] + 2), np.int64)
        np.add.at(at, (made.host[mine], made.slot[mine] + 1), made.members[mine])
        link += np.maximum(at[:, 1:-1] - at[:, :-2], 0) * j.begin_bit[n]
        link += np.maximum(at[:, 1:-1] - at[:, 2:], 0) * j.end_bit[n]
        told += [f"{j.names[n]}: {words}" for words in _broken_job(problem, int(n), at[:, 1:-1])]
    limits = (("GPUs", used, problem.room), ("memory", memory, problem.memory), ("link", link, problem.link_bit))
    for what, asked, there in limits:
        for h, t in np.argwhere(asked > there * (1.0 + 1e-9) + 1e-6):
            told.append(f"{problem.hosts[h]}, slot {t}: {what} {asked[h, t]:g} of {there[h, t]:g}")
    return told


def _broken_job(problem: Problem, n: int, at: Ints) -> list[str]:
    """at: members (H, T)."""
    j, on = problem.jobs, np.flatnonzero(at.sum(axis=0))
    host, slot = np.nonzero(at)
    told = []
    if (at.sum(axis=0)[on] != j.members[n]).any():
        told.append("a part of its gang runs")
    if not j.partial[n] and on.size != j.slots[n]:
        told.append(f"{on.size} of {j.slots[n]} slots")
    if on[0] < j.release[n] or on[-1] >= j.deadline[n]:
        told.append("outside its time")
    if not j.allowed[n, host].all():
        told.append("at a host that it may not use")
    if (problem.round_trip_s[j.place[n], host, slot] > j.limit_s[n]).any():
        told.append("too far")
    if not j.split[n] and (on[-1] - on[0] + 1 != on.size or (at[:, on] != at[:, on[:1]]).any()):
        told.append("split")
    return told
