"""Plans better than the greedy one: greedy in several orders at scarcity prices, then ruin and repair of the best of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from aether.base.clock import stream
from aether.base.errors import InputError
from aether.base.errors import Problem as Wrong
from aether.base.tables import Floats, Ints
from aether.placement import exact
from aether.placement.plan import FREE, Problem, Schedule, density, greedy, most_rows, schedule
from aether.placement.plan_kernels import take
from aether.placement.plan_room import FAR
from aether.placement.repair import anneal
from aether.placement.scarcity import STEPS, Scarcity, priced

AHEAD = (0.0, 0.5, 1.0, 2.0)  # logarithm by which what may not be split goes first, as it finds room last: best by case
TURNS = 250  # ruins and repairs in a round: some tenths of a second on 500 jobs, 100 hosts and 96 slots
HOT, COLD = 2e-2, 5e-4  # temperature at first and at last, of the mean worth of a job: best over four cases
CLOSE = 1e-4  # of the bound: near enough to stop
SMALL = 6_000  # jobs x hosts x slots that OR-Tools is given, where installed: proved in about a second
EFFORT, PROVING = 10.0, 0.5  # its seconds, the same on every machine, and its share of the time there is
PRICING = 0.3  # of the time there is, at most, for prices


def bounded(problem: Problem, steps: int = STEPS) -> Schedule:
    """The best of some greedy plans, with the Lagrangian bound of `scarcity.priced`.

    problem: what there is. steps: of the prices. Returns a Schedule with bound_usd.
    """
    scarcity = priced(problem, steps)
    return max(_started(problem, scarcity), key=lambda each: each[0].value_usd)[0]


def search(
    problem: Problem, seed: int = 1, rounds: int | None = None, left_s: Callable[[], float] | None = None,
    told: Callable[[float, float], None] | None = None,
) -> Schedule:  # fmt: skip
    """A better plan by ruin and repair: jobs of one time or host are taken out, they and some that wait are put back in another order.

    A worse plan is kept with the chance exp(-loss / temperature), which falls from round to round [2]; what is told is the best.
    problem: what there is. seed: of all that is left to chance. rounds: at most so many. left_s: the seconds that are left, asked
    before each round; without it the plan is the same on every machine. told: called with value and bound after each.
    Returns a Schedule, never worth less than the greedy one, with the Lagrangian bound, or CP-SAT's where the problem is small and
    OR-Tools is installed. Raises InputError with neither rounds nor time to stop by.

    [1] Schrimpf et al., Journal of Computational Physics 159, 2000 (ruin and recreate). [2] Kirkpatrick, Gelatt and Vecchi, Science
    220, 1983.
    """
    if rounds is None and left_s is None:
        raise InputError(Wrong("rounds", "a search needs rounds or a time to stop by"))
    remain = left_s or (lambda: np.inf)
    whole = max(remain(), 1e-9)
    scarcity = priced(problem, going=lambda: remain() > (1.0 - PRICING) * whole if left_s else True)
    best, first = max(_started(problem, scarcity), key=lambda each: each[0].value_usd)
    if exact.installed() and problem.jobs.allowed.size * problem.gpu.shape[1] <= SMALL:
        best = _better(best, exact.exact(problem, PROVING * min(remain(), 1e6), EFFORT))
    rng, plan = stream(seed, "plan/search"), _Plan(problem, scarcity, best, first)
    usual, done = float(problem.jobs.worth_usd.mean()) if problem.jobs.names else 0.0, 0
    while best.gap > CLOSE and remain() > 0.0 and (rounds is None or done < rounds):
        past = max(1.0 - remain() / whole if left_s else 0.0, done / rounds if rounds else 0.0)
        made = plan.change(rng, usual * HOT * (COLD / HOT) ** past)
        done += 1
        if made.value_usd > best.value_usd + 1e-9:
            best = replace(made, bound_usd=max(best.bound_usd, made.value_usd), bound=best.bound)
        if told is not None:
            told(best.value_usd, best.bound_usd)
    return best


def _under(made: Schedule, bound_usd: float) -> Schedule:
    return replace(made, bound_usd=max(bound_usd, made.value_usd), bound="Lagrangian")  # max: what rounding leaves


def _better(one: Schedule, two: Schedule) -> Schedule:
    """The better plan under the lower bound."""
    best, low = max(one, two, key=lambda s: s.value_usd), min(one, two, key=lambda s: s.bound_usd)
    return replace(best, bound_usd=max(low.bound_usd, best.value_usd), bound=low.bound)


def _started(problem: Problem, scarcity: Scarcity) -> Iterator[tuple[Schedule, Floats]]:
    """Greedy plans, and the order of each: logarithms of worth for what a job takes (J,)."""
    asked = problem.asked
    whole = (asked.table[:, 6] == 0) & (asked.table[:, 7] == 0)
    dense = np.log(np.maximum(density(asked), 1.0 / FAR))
    paid = np.log(np.maximum(asked.worth, 1.0 / FAR) / np.maximum(scarcity.least_usd, 1e-9))
    for rent, first, ahead in ((FREE, dense, AHEAD), (scarcity.rent, dense, AHEAD), (scarcity.rent, paid, AHEAD)):
        for more in ahead:
            order = first + more * whole
            yield _under(greedy(problem, rent, order), scarcity.bound_usd), order


class _Plan:
    """A plan as the kernels change it: rows of each job where it has room for all that it could take."""

    def __init__(self, problem: Problem, scarcity: Scarcity, made: Schedule, first: Floats) -> None:
        rent = scarcity.rent
        self.problem, self.first = problem, first
        self.rent = rent._replace(host=rent.host.copy(), slot=rent.slot.copy())  # repairs write in them
        self.asked, self.there = problem.asked, problem.there()
        self.start = np.concatenate([[0], np.cumsum(most_rows(self.asked))])
        self.rows, self.count = np.zeros((int(self.start[-1]) + 1, 4), np.int64), np.zeros(len(first), np.int64)
        rows = np.stack([made.job, made.host, made.slot, made.members], axis=1)  # by job and slot
        for mine in np.split(rows, np.flatnonzero(np.diff(made.job)) + 1) if len(rows) else []:
            j = int(mine[0, 0])
            self.rows[self.start[j] : self.start[j] + len(mine)], self.count[j] = mine, len(mine)
            take(mine, self.asked, self.there, 1)
        self.best_rows, self.best_count = self.rows.copy(), self.count.copy()

    def change(self, rng: np.random.Generator, hot_usd: float) -> Schedule:
        """The best plan of a round of ruins and repairs at a temperature; the next goes on from the last."""
        anneal(
            self.asked, self.there, self.rent, self.rows, self.start, self.count, self.first, np.full(TURNS, hot_usd), rng,
            self.best_rows, self.best_count,
        )  # fmt: skip
        return schedule(self.problem, self.best_rows[self._filled()])

    def _filled(self) -> Ints:
        each = np.repeat(self.start[:-1] - np.cumsum(self.best_count) + self.best_count, self.best_count)
        made: Ints = each + np.arange(len(each))
        return made
