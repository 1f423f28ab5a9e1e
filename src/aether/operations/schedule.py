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
    then made whole, the largest ships first and the smaller ones planned anew round them, until the target is met; what mends it
    at the end may ask for more flights. Returns Schedule; months that nothing can meet are
    told as `unmet`, at a price that no ship is worth. Raises InputError where the programme fails. Valid in expectation: the run with its
    chances is told beside it.

    [1] Dantzig, Linear Programming and Extensions, 1963; Huangfu and Hall, Mathematical Programming Computation 10, 2018.
    """
    parts, unmet = _relaxed(worth, price_usd, target, loads, flights)
    need, ships, left = target - unmet, np.zeros_like(parts), parts
    largest_first = np.argsort(-worth.max(axis=(1, 2)), kind="stable")
    for k, g in enumerate(largest_first[:-1], 1):  # whole, then all smaller ones anew round them
        ships[g] = _rounded(left[g if k == 1 else 0])
        rest = np.maximum(need - np.einsum("gbm,gb->m", worth, ships), 0.0)
        some = largest_first[k:]
        room = np.maximum(flights - loads @ ships, 0.0)
        left, _ = _relaxed(worth[some], price_usd[some], rest, loads[some], room)
    ships[largest_first[-1]] = _rounded(left[-1])
    ships = _mended(ships, worth, price_usd, need)
    return Schedule(
        np.asarray(ships.T, np.int64), float((ships * price_usd).sum()), float((parts * price_usd).sum()), unmet
    )


def _relaxed(worth: Floats, price_usd: Floats, target: Floats, loads: Floats, flights: Floats) -> tuple[Floats, Floats]:
    """Parts of ships (G, B), and what of the target nothing meets (M,)."""
    groups, births, months = worth.shape
    unit, coin = float(worth.max(initial=0.0)) or 1.0, float(price_usd.max(initial=0.0)) or 1.0  # for numbers near 1
    made = sparse.csr_matrix(worth.reshape(groups * births, months).T / unit)
    costs = np.concatenate([price_usd.ravel() / coin, np.full(months, UNMET)])
    cover = sparse.hstack([-made, -sparse.identity(months)])
    flown = sparse.hstack([load * sparse.identity(births) for load in loads])
    rows = sparse.vstack([cover, sparse.hstack([flown, sparse.csr_matrix((births, months))])])
    found = linprog(costs, A_ub=rows, b_ub=np.concatenate([-target / unit, flights]), method="highs")
    if found.status != 0:
        raise InputError(Problem("lifetime.plan", f"the linear programme was not solved: {found.message}"))
    split = groups * births
    return found.x[:split].reshape(groups, births), np.maximum(found.x[split:], 0.0) * unit


def _rounded(parts: Floats) -> Floats:
    """Whole ships (B,) whose sum so far is the nearest to that of the parts."""
    return np.asarray(np.diff(np.floor(np.cumsum(parts) + 0.5), prepend=0.0))


def _mended(ships: Floats, worth: Floats, price_usd: Floats, target: Floats) -> Floats:
    """Ships that meet a target (M,): what lacks is added where it is cheapest, what is idle left out, dearest first."""
    got, need = np.einsum("gbm,gb->m", worth, ships), target * (1.0 - 1e-9) - 1e-9
    for m in range(len(target)):
        gain = worth[:, :, m]
        while got[m] < need[m]:
            useful = np.minimum(gain, need[m] - got[m])
            dear = np.divide(price_usd, useful, out=np.full(gain.shape, np.inf), where=gain > 0.0)
            if not np.isfinite(dear).any():
                break
            at = np.unravel_index(dear.argmin(), dear.shape)
            ships[at] += 1.0
            got += worth[at]
    for flat in np.argsort(-price_usd, axis=None, kind="stable"):
        at = np.unravel_index(flat, ships.shape)
        while ships[at] > 0.0 and (got - worth[at] >= need).all():
            ships[at] -= 1.0
            got -= worth[at]
    return ships
