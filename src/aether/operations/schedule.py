"""Which ships fly when, at least cost, so that a curve of compute is met: a linear programme, rounded up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.optimize import linprog

from aether.base.errors import InputError, Problem
from aether.base.tables import Floats, Ints

UNMET = 1e3  # times the dearest unit that ships make: what is not to be had is never cheaper left out


@dataclass(frozen=True, slots=True)
class Schedule:
    """A plan. relaxed_usd: cost with parts of ships, below which no plan lies."""

    ships: Ints  # (M, G) to launch in each month
    usd: float
    relaxed_usd: float
    unmet: Floats  # (M,) of the target that no plan meets


def cheapest(worth: Floats, price_usd: Floats, target: Floats, loads: Floats, flights: Floats) -> Schedule:
    """The cheapest launches that meet a target: min sum p x, sum over b <= m of w x >= T_m, sum of loads x <= flights, x >= 0.

    worth w (G, B, M): what a ship of a group launched in month b delivers in month m, expected; price_usd p (G, B): present
    value; target T (M,): beyond what is there already; loads (G,): flights that a ship fills; flights (B,). Solved by HiGHS,
    then rounded to whole ships that still meet the target, flights aside. Returns Schedule; months that nothing can meet are
    told as `unmet`, at a price that no ship is worth. Raises InputError where the programme fails. Valid in expectation: the run with its
    chances is told beside it.

    [1] Dantzig, Linear Programming and Extensions, 1963; Huangfu and Hall, Mathematical Programming Computation 10, 2018.
    """
    groups, births, months = worth.shape
    unit, coin = (
        float(worth.max(initial=0.0)) or 1.0,
        float(price_usd.max(initial=0.0)) or 1.0,
    )  # the solver wants numbers near 1
    made = sparse.csr_matrix(worth.reshape(groups * births, months).T / unit)
    costs = np.concatenate([price_usd.ravel() / coin, np.full(months, UNMET)])
    cover = sparse.hstack([-made, -sparse.identity(months)])
    lift = sparse.hstack(
        [sparse.hstack([load * sparse.identity(births) for load in loads]), sparse.csr_matrix((births, months))]
    )
    found = linprog(
        costs, A_ub=sparse.vstack([cover, lift]), b_ub=np.concatenate([-target / unit, flights]), method="highs"
    )
    if found.status != 0:
        raise InputError(Problem("lifetime.plan", f"the linear programme was not solved: {found.message}"))
    parts = found.x[: groups * births].reshape(groups, births)
    unmet = np.maximum(found.x[groups * births :], 0.0) * unit
    ships = _whole(parts, worth, price_usd, target - unmet)
    return Schedule(
        np.asarray(ships.T, np.int64), float((ships * price_usd).sum()), float((parts * price_usd).sum()), unmet
    )


def _whole(parts: Floats, worth: Floats, price_usd: Floats, target: Floats) -> Floats:
    """Whole ships (G, B) that meet a target (M,) as parts do: sums so far rounded, what lacks added, what is idle left out."""
    ships = np.diff(np.floor(np.cumsum(parts, axis=1) + 0.5), axis=1, prepend=0.0)
    got, need = np.einsum("gbm,gb->m", worth, ships), target * (1.0 - 1e-9) - 1e-9
    for m in range(len(target)):
        gain = worth[:, :, m]
        dear = np.divide(price_usd, gain, out=np.full(gain.shape, np.inf), where=gain > 0.0)
        while got[m] < need[m] and np.isfinite(dear).any():
            at = np.unravel_index(dear.argmin(), dear.shape)
            ships[at] += 1.0
            got += worth[at]
    for flat in np.argsort(-price_usd, axis=None, kind="stable"):
        at = np.unravel_index(flat, ships.shape)
        while ships[at] > 0.0 and (got - worth[at] >= need).all():
            ships[at] -= 1.0
            got -= worth[at]
    return ships
