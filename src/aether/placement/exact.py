"""The best plan, proved, of problems small enough: an integer program for CP-SAT."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

import numpy as np

from aether.base.errors import InputError
from aether.base.errors import Problem as Wrong
from aether.base.tables import Bools, Ints
from aether.placement.plan import Problem, Schedule, schedule

MEGA = 1e6  # bits count in whole Mbit, memory in whole MB


def exact(problem: Problem, limit_s: float = 60.0, effort: float = np.inf) -> Schedule:
    """The best plan, proved, of a small problem: an integer program solved by CP-SAT.

    problem: up to some thousand jobs x hosts x slots. limit_s: stop after [s]; the bound then says how far it came. effort: or
    after so many of the solver's own seconds, which are the same on every machine.
    Returns a Schedule with its bound. Raises InputError where OR-Tools is not installed.

    [1] Perron and Furnon, OR-Tools CP-SAT, https://developers.google.com/optimization.
    """
    found, bound = _Model(solver(), problem).solve(limit_s, effort)
    made = schedule(problem, found if found is not None else np.empty((0, 4), np.int64))
    return replace(made, bound_usd=max(bound, made.value_usd), bound="CP-SAT")


def installed() -> bool:
    """Whether there is OR-Tools."""
    return find_spec("ortools") is not None


def solver() -> Any:
    """OR-Tools' CP-SAT; InputError with what to install where it is absent."""
    try:
        from ortools.sat.python import cp_model
    except ImportError as error:
        raise InputError(
            Wrong("", "a proof needs OR-Tools", next="pip install 'aether-fabric[plan]', or `search.search`")
        ) from error
    return cp_model


@dataclass
class _Model:
    """Variables and limits of all jobs at all hosts."""

    cp: Any
    problem: Problem

    def __post_init__(self) -> None:
        self.model = self.cp.CpModel()
        self.uses: dict[tuple[str, int, int], list[Any]] = {}  # of what, host, slot: terms
        self.gain: list[Any] = []
        self.at: list[tuple[int, int, int, Any]] = []  # job, host, slot, members
        self.scale = 1e9 / max(float(self.problem.jobs.worth_usd.sum()), 1e-12)
        for j in range(len(self.problem.jobs.names)):
            self._add(j)
        self._limit()
        self.model.maximize(sum(self.gain))

    def _may(self, j: int) -> Bools:
        """Where and when a member of a job may run (H, T)."""
        jobs, p = self.problem.jobs, self.problem
        near = p.round_trip_s[jobs.place[j]] <= jobs.limit_s[j]
        may = jobs.allowed[j][:, None] & near & (p.room >= jobs.gpus[j])
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
        for t, here in on.items():
            self.model.add(sum(n[i, t] for i in np.flatnonzero(may[:, t]).tolist()) == members * here)
        worth = float(jobs.worth_usd[j]) * self.scale
        if jobs.partial[j]:
            self.gain += [round(worth / slots) * here for here in on.values()]
        else:
            done = self.model.new_bool_var("")
            self.model.add(sum(on.values()) == slots * done)
            self.gain.append(round(worth) * done)
            if not jobs.split[j]:
                self._in_a_row(j, n, on, done)
        cost = self.problem.cost_usd * float(jobs.gpus[j]) * self.scale
        memory = int(self.problem.asked.table[j, 5])
        for (i, t), var in n.items():
            self.at.append((j, i, t, var))
            self.gain.append(-round(float(cost[i, t])) * var)
            self._use("gpu", i, t, int(jobs.gpus[j]) * var)
            if memory:
                self._use("memory", i, t, memory * var)
        self._carry(j, n, members)

    def _in_a_row(self, j: int, n: dict[Any, Any], on: dict[int, Any], done: Any) -> None:
        """One start, and the same members at the same hosts throughout."""
        slots, members = int(self.problem.jobs.slots[j]), int(self.problem.jobs.members[j])
        starts = {t: self.model.new_bool_var("") for t in on if all(s in on for s in range(t, t + slots))}
        self.model.add(sum(starts.values()) == done)
        for t, here in on.items():
            self.model.add(sum(v for s, v in starts.items() if s <= t < s + slots) == here)
        for i in sorted({i for i, _ in n}):
            count = self.model.new_int_var(0, members, "")
            for t, here in on.items():
                self.model.add(n.get((i, t), 0) == count).only_enforce_if(here)

    def _carry(self, j: int, n: dict[Any, Any], members: int) -> None:
        """Bits in and out of hosts, where a member begins and ends."""
        begin, end, flow = (int(np.ceil(b / MEGA)) for b in self.problem.asked.bits[j])
        for (i, t), var in n.items():
            if flow:
                self._use("link", i, t, flow * var)
            for bits, other in ((begin, t - 1), (end, t + 1)):
                if bits and (i, other) in n:
                    edge = self.model.new_int_var(0, members, "")
                    self.model.add(edge >= var - n[i, other])
                    self._use("link", i, t, bits * edge)
                elif bits:
                    self._use("link", i, t, bits * var)

    def _use(self, what: str, i: int, t: int, term: Any) -> None:
        self.uses.setdefault((what, i, t), []).append(term)

    def _limit(self) -> None:
        p = self.problem
        link = np.floor(np.minimum(p.link_bit, 1e18) / MEGA).astype(np.int64)
        left = {"gpu": p.room, "memory": p.memory, "link": link}
        for (what, i, t), terms in self.uses.items():
            self.model.add(sum(terms) <= int(left[what][i, t]))

    def solve(self, limit_s: float, effort: float) -> tuple[Ints | None, float]:
        """Rows found (R, 4) or None, and the bound on their value [USD]."""
        run = self.cp.CpSolver()
        run.parameters.num_workers, run.parameters.random_seed = 1, 1
        run.parameters.max_time_in_seconds, run.parameters.max_deterministic_time = limit_s, effort
        state = run.solve(self.model)
        bound = float(run.best_objective_bound) / self.scale
        if state not in (self.cp.OPTIMAL, self.cp.FEASIBLE):
            return None, bound
        rows = [(j, i, t, int(run.value(var))) for j, i, t, var in self.at]
        return np.array([r for r in rows if r[3] > 0], np.int64).reshape(-1, 4), bound
