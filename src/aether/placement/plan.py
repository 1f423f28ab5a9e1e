"""Plans: jobs, services and streams over hosts and slots of time as one problem, and a greedy answer.

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
from aether.placement.plan_room import NONE, Asked, Rent, There

MEGA = 1e6  # memory counts in whole MB, as the exact solver needs: asked rounded up, there rounded down
FREE = Rent(
    np.zeros((1, 1, 1, 1)), np.zeros((1, 1), np.int64), NONE, 1.0, np.zeros(0, np.int64), np.ones(0), np.ones(0)
)


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
    def unit(self) -> int:
        """GPUs that all jobs ask for multiples of."""
        return max(int(np.gcd.reduce(self.jobs.gpus)), 1) if len(self.jobs.gpus) else 1

    @cached_property
    def asked(self) -> Asked:
        """Jobs as the kernels take them."""
        j, slots = self.jobs, self.gpu.shape[1]
        memory = np.ceil(j.memory_bytes / MEGA)
        release, deadline = np.clip(j.release, 0, slots), np.clip(j.deadline, 0, slots)
        columns = (j.gpus // self.unit, j.members, j.slots, release, deadline, memory, j.split, j.partial, j.place)
        table = np.stack([np.asarray(c).astype(np.int64) for c in columns], axis=1).reshape(-1, len(columns))
        bits = np.stack([j.begin_bit, j.end_bit, j.slot_bit], axis=1).astype(np.float64)
        worth, limit = (np.ascontiguousarray(v, np.float64) for v in (j.worth_usd, j.limit_s))
        return Asked(table, worth, bits, limit, np.ascontiguousarray(j.allowed))

    def there(self) -> There:
        """Hosts as the kernels take and spend them."""
        link = self.link_bit.astype(np.float64)
        return There(self.round_trip_s, self.cost_usd * self.unit, self.room // self.unit, self.memory.copy(), link)


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


def greedy(problem: Problem, rent: Rent = FREE, first: Floats | None = None) -> Schedule:
    """Jobs by worth per GPU and slot, each where and when it costs least of what is left: in one go.

    problem: what there is. rent: what free room is worth to others, as `scarcity.priced` finds it; nothing when left out. first: (J,)
    jobs with more of it go first; worth per GPU and slot when left out.
    Returns a Schedule that keeps to every limit. A job is left out where no room is left or its cost is above its worth.
    Valid as an online rule: no job waits for one that comes after it.

    [1] Dantzig, Operations Research 5, 1957 (by density).
    """
    asked = problem.asked
    order = np.argsort(-(density(asked) if first is None else first), kind="stable")
    rows = np.empty((int(most_rows(asked).sum()) + 1, 4), np.int64)
    filled = kernels.place(order, asked, problem.there(), rent, rows)
    return schedule(problem, rows[:filled])


def density(asked: Asked) -> Floats:
    """Worth of a GPU and slot (J,)."""
    made: Floats = asked.worth / np.maximum(asked.table[:, 0] * asked.table[:, 1] * asked.table[:, 2], 1)
    return made


def most_rows(asked: Asked) -> Ints:
    """Rows that a job can take at most (J,)."""
    hosts, time = asked.allowed.shape[1], np.maximum(asked.table[:, 4] - asked.table[:, 3], 0)
    made: Ints = np.clip(asked.table[:, 2], 0, time) * np.minimum(asked.table[:, 1], hosts)
    return made


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


def broken(problem: Problem, made: Schedule) -> list[str]:
    """Every limit that a schedule breaks, in words; empty for a sound one."""
    j, table = problem.jobs, problem.asked.table
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
