"""Search over plans: CP-SAT exactly on small cases, and on what large-neighbourhood search takes out of a large one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from aether.base.clock import stream
from aether.base.errors import InputError
from aether.base.errors import Problem as Wrong
from aether.base.tables import Bools, Ints
from aether.placement.plan import Problem, Schedule, bounded, schedule

FREED = 12  # jobs taken out at once, ours: a repair takes about a second
HOSTS = 6  # that a repair may use, those of the jobs taken out first
EFFORT = 0.3  # deterministic seconds of CP-SAT a repair: the same on every machine
CLOSE = 1e-3  # of the bound: near enough to stop
RUIN = ("host", "time", "chance")  # how jobs are chosen


def exact(problem: Problem, limit_s: float = 60.0) -> Schedule:
    """The best plan, proved, of a small problem: an integer program solved by CP-SAT.

    problem: up to some thousand jobs x hosts x slots. limit_s: stop after [s]; the bound then says how far it came.
    Returns a Schedule with its bound. Raises InputError where OR-Tools is not installed.

    [1] Perron and Furnon, OR-Tools CP-SAT, https://developers.google.com/optimization.
    """
    cp = solver()
    every = np.arange(len(problem.jobs.names))
    model = _Model(cp, problem, every, np.arange(len(problem.hosts)), _rows(_none(problem)))
    found, bound = model.solve(limit_s=limit_s)
    made = schedule(problem, found if found is not None else np.empty((0, 4), np.int64))
    return replace(made, bound_usd=max(bound, made.value_usd), bound="CP-SAT")


def search(
    problem: Problem, seed: int = 1, rounds: int | None = None, left_s: Callable[[], float] | None = None,
    told: Callable[[float, float], None] | None = None,
) -> Schedule:  # fmt: skip
    """A better plan by ruin and repair: jobs at some hosts, in some time or by chance are taken out and placed anew by CP-SAT.

    problem: what there is. seed: of what is taken out. rounds: at most so many. left_s: the seconds that are left, asked before
    each round; without it the plan is the same on every machine. told: called with value and bound after each.
    Returns a Schedule, never worth less than the greedy one, with the Lagrangian bound. Raises InputError without OR-Tools, or
    with neither rounds nor time to stop by.

    [1] Shaw, CP 1998 (large-neighbourhood search).
    """
    if rounds is None and left_s is None:
        raise InputError(Wrong("rounds", "a search needs rounds or a time to stop by"))
    cp, remain = solver(), left_s or (lambda: np.inf)
    best = bounded(problem)
    rng, done = stream(seed, "plan/search"), 0
    while best.gap > CLOSE and remain() > 0.0 and (rounds is None or done < rounds):
        freed, hosts = _ruin(problem, best, rng, RUIN[done % len(RUIN)])
        kept = ~np.isin(best.job, freed)
        model = _Model(cp, problem, freed, hosts, _rows(best)[kept], _rows(best)[~kept])
        found, _ = model.solve(limit_s=min(max(remain(), 0.1), 1e6), effort=EFFORT, seed=done)
        if found is not None:
            made = schedule(problem, np.concatenate([_rows(best)[kept], found]))
            if made.value_usd > best.value_usd + 1e-9:
                best = replace(made, bound_usd=max(best.bound_usd, made.value_usd), bound=best.bound)
        done += 1
        if told is not None:
            told(best.value_usd, best.bound_usd)
    return best


def solver() -> Any:
    """OR-Tools' CP-SAT; InputError with what to install where it is absent."""
    try:
        from ortools.sat.python import cp_model
    except ImportError as error:
        raise InputError(
            Wrong("", "the search needs OR-Tools", next="pip install 'aether-fabric[plan]', or leave --search out")
        ) from error
    return cp_model


def _none(problem: Problem) -> Schedule:
    return schedule(problem, np.empty((0, 4), np.int64))


def _rows(made: Schedule) -> Ints:
    return np.stack([made.job, made.host, made.slot, made.members], axis=1)


def _ruin(problem: Problem, best: Schedule, rng: np.random.Generator, how: str) -> tuple[Ints, Ints]:
    """Jobs to take out, with some that have no place, and the hosts that they may use."""
    hosts, slots = problem.gpu.shape
    if how == "host":
        near = rng.choice(hosts, min(HOSTS, hosts), replace=False)
        pool = np.unique(best.job[np.isin(best.host, near)])
    elif how == "time":
        first = int(rng.integers(slots))
        pool = np.unique(best.job[(best.slot >= first) & (best.slot < first + max(slots // 8, 2))])
    else:
        pool = np.unique(best.job)
    placed: list[int] = []
    theirs: set[int] = set()
    for j in rng.permutation(pool).tolist():
        also = theirs | set(best.host[best.job == j].tolist())
        if len(placed) < FREED * 2 // 3 and len(also) <= HOSTS:
            placed, theirs = [*placed, j], also
    waiting = np.setdiff1d(np.arange(len(problem.jobs.names)), best.job)
    weight = problem.jobs.worth_usd[waiting] + 1e-9
    count = min(FREED - len(placed), len(waiting))
    extra = rng.choice(waiting, count, replace=False, p=weight / weight.sum()) if count else waiting[:0]
    rest = [h for h in rng.permutation(hosts).tolist() if h not in theirs]
    may = [*sorted(theirs), *rest][: max(HOSTS, len(theirs))]
    return np.array([*placed, *extra.tolist()], np.int64), np.array(sorted(may), np.int64)


@dataclass
class _Model:
    """Variables and limits of some jobs at some hosts, beside rows that stay; hint: their rows before."""

    cp: Any
    problem: Problem
    free: Ints
    hosts: Ints
    kept: Ints
    hint: Ints = field(default_factory=lambda: np.empty((0, 4), np.int64))

    def __post_init__(self) -> None:
        self.model = self.cp.CpModel()
        self.uses: dict[tuple[str, int, int], list[Any]] = {}  # of what, host, slot: terms
        self.gain: list[Any] = []
        self.at: list[tuple[int, int, int, Any]] = []  # job, host, slot, members
        self.before = {(int(a), int(h), int(t)): int(n) for a, h, t, n in self.hint}
        self.scale = 1e9 / max(float(self.problem.jobs.worth_usd[self.free].sum()), 1e-12)
        for j in self.free.tolist():
            self._add(j)
        self._limit()
        self.model.maximize(sum(self.gain))

    def _may(self, j: int) -> Bools:
        """Where and when a member of a job may run (hosts, T)."""
        jobs, p = self.problem.jobs, self.problem
        near = p.round_trip_s[jobs.place[j], self.hosts] <= jobs.limit_s[j]
        may = jobs.allowed[j, self.hosts][:, None] & near & (p.room[self.hosts] >= jobs.gpus[j])
        slot = np.arange(p.gpu.shape[1])
        return may & (slot >= jobs.release[j]) & (slot < jobs.deadline[j])

    def _add(self, j: int) -> None:
        jobs, may = self.problem.jobs, self._may(j)
        slots, members = int(jobs.slots[j]), int(jobs.members[j])
        when = np.flatnonzero(may.any(axis=0))
        if slots <= 0 or not when.size or (not jobs.partial[j] and when.size < slots):
            return
        n = {(i, t): self.model.new_int_var(0, members, "") for i, t in zip(*(x.tolist() for x in np.nonzero(may)), strict=True)}  # fmt: skip
        on = {t: self.model.new_bool_var("") for t in when.tolist()}
        was = {t: int(any((j, h, t) in self.before for h in self.hosts.tolist())) for t in on}
        for t, here in on.items():
            self.model.add(sum(n[i, t] for i in np.flatnonzero(may[:, t]).tolist()) == members * here)
            self.model.add_hint(here, was[t])
        worth = float(jobs.worth_usd[j]) * self.scale
        if jobs.partial[j]:
            self.gain += [round(worth / slots) * here for here in on.values()]
        else:
            done = self.model.new_bool_var("")
            self.model.add(sum(on.values()) == slots * done)
            self.model.add_hint(done, int(any(was.values())))
            self.gain.append(round(worth) * done)
            if not jobs.split[j]:
                self._in_a_row(j, n, on, done, was)
        cost = self.problem.cost_usd[self.hosts] * float(jobs.gpus[j]) * self.scale
        memory = int(self.problem.table[j, 5])
        for (i, t), var in n.items():
            self.at.append((j, i, t, var))
            self.gain.append(-round(float(cost[i, t])) * var)
            self._use("gpu", i, t, int(jobs.gpus[j]) * var)
            if memory:
                self._use("memory", i, t, memory * var)
            self.model.add_hint(var, self.before.get((j, int(self.hosts[i]), t), 0))
        self._carry(j, n, members)

    def _in_a_row(self, j: int, n: dict[Any, Any], on: dict[int, Any], done: Any, was: dict[int, int]) -> None:
        """One start, and the same members at the same hosts throughout."""
        slots, members = int(self.problem.jobs.slots[j]), int(self.problem.jobs.members[j])
        first = min((t for t in was if was[t]), default=-1)
        starts = {t: self.model.new_bool_var("") for t in on if all(s in on for s in range(t, t + slots))}
        self.model.add(sum(starts.values()) == done)
        for t, here in on.items():
            self.model.add(sum(v for s, v in starts.items() if s <= t < s + slots) == here)
        for t, here in starts.items():
            self.model.add_hint(here, int(t == first))
        there = {i: self.model.new_int_var(0, members, "") for i in sorted({i for i, _ in n})}
        for i, count in there.items():
            self.model.add_hint(count, self.before.get((j, int(self.hosts[i]), first), 0))
            for t, here in on.items():
                if (i, t) in n:
                    self.model.add(n[i, t] == count).only_enforce_if(here)
                else:
                    self.model.add(count == 0).only_enforce_if(here)

    def _carry(self, j: int, n: dict[Any, Any], members: int) -> None:
        """Bits in and out of hosts, where a member begins and ends."""
        begin, end, flow = (int(np.ceil(b / 1e6)) for b in self.problem.bits[j])
        for (i, t), var in n.items():
            if flow:
                self._use("link", i, t, flow * var)
            for bits, other in ((begin, t - 1), (end, t + 1)):
                if bits and (i, other) in n:
                    edge = self.model.new_int_var(0, members, "")
                    self.model.add(edge >= var - n[i, other])
                    h = int(self.hosts[i])
                    self.model.add_hint(edge, max(self.before.get((j, h, t), 0) - self.before.get((j, h, other), 0), 0))
                    self._use("link", i, t, bits * edge)
                elif bits:
                    self._use("link", i, t, bits * var)

    def _use(self, what: str, i: int, t: int, term: Any) -> None:
        self.uses.setdefault((what, i, t), []).append(term)

    def _limit(self) -> None:
        p, jobs, kept = self.problem, self.problem.jobs, self.kept
        left = {"gpu": p.room.copy(), "memory": p.memory.copy(), "link": np.floor(np.minimum(p.link_bit, 1e18) / 1e6).astype(np.int64)}  # fmt: skip
        job, host, slot, members = kept.T
        np.subtract.at(left["gpu"], (host, slot), jobs.gpus[job] * members)
        np.subtract.at(left["memory"], (host, slot), p.table[job, 5] * members)
        for j in np.unique(job):
            at = np.zeros((p.gpu.shape[0], p.gpu.shape[1] + 2), np.int64)
            mine = job == j
            np.add.at(at, (host[mine], slot[mine] + 1), members[mine])
            begin, end, flow = (int(np.ceil(b / 1e6)) for b in p.bits[j])
            inner = at[:, 1:-1]
            left["link"] -= flow * inner + begin * np.maximum(inner - at[:, :-2], 0) + end * np.maximum(inner - at[:, 2:], 0)  # fmt: skip
        for (what, i, t), terms in self.uses.items():
            self.model.add(sum(terms) <= max(int(left[what][self.hosts[i], t]), 0))

    def solve(self, limit_s: float, effort: float | None = None, seed: int = 1) -> tuple[Ints | None, float]:
        """Rows found (R, 4) or None, and the bound on their value [USD]."""
        run = self.cp.CpSolver()
        run.parameters.num_workers, run.parameters.random_seed = 1, seed
        run.parameters.max_time_in_seconds = limit_s
        if effort is not None:
            run.parameters.max_deterministic_time = effort
        state = run.solve(self.model)
        bound = float(run.best_objective_bound) / self.scale
        if state not in (self.cp.OPTIMAL, self.cp.FEASIBLE):
            return None, bound
        rows = [(j, int(self.hosts[i]), t, int(run.value(var))) for j, i, t, var in self.at]
        return np.array([r for r in rows if r[3] > 0], np.int64).reshape(-1, 4), bound
