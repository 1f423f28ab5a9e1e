"""Draws of assumptions: distributions over their ranges, Latin hypercubes and Sobol sequences, ties between inputs, indices."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.stats import qmc

from aether.base.errors import InputError, Problem, unknown
from aether.base.spread import KINDS, Distribution
from aether.base.tables import Floats


def check(path: str, made: Distribution, least: float | None = None) -> list[Problem]:
    """What is wrong with a distribution: an unknown kind, a range upside down, a mode outside it, values below what may be."""
    if made.kind not in KINDS:
        return [unknown(f"{path}.distribution", "distribution", made.kind, KINDS)]
    if made.kind == "choice":
        values = made.choices
        problems = [] if values else [Problem(path, "a choice of nothing")]
    else:
        values = (made.low, made.mode, made.high)
        problems = []
        if not all(map(math.isfinite, values)):
            problems.append(
                Problem(path, f"low, mode and high must be finite, got {made.low:g}, {made.mode:g}, {made.high:g}")
            )
        elif made.low > made.high:
            problems.append(
                Problem(
                    path, f"the range is upside down: low {made.low:g} is above high {made.high:g}", next="Swap them"
                )
            )
        elif not made.low <= made.mode <= made.high:
            problems.append(Problem(path, f"the mode {made.mode:g} lies outside {made.low:g} to {made.high:g}"))
        if made.kind.startswith("log-") and made.low <= 0.0:
            problems.append(
                Problem(path, f"a logarithm needs low above 0, got {made.low:g}", next="Use the kind without log-")
            )
    if not problems and least is not None and float(made.ppf(np.array([0.0, 1e-6]))[0]) < least:
        told = f"gives values below {least:g}, down to {float(made.ppf(np.array([0.0]))[0]):g}"
        problems.append(Problem(path, told, next="Use a log- kind, or another low"))
    return problems


def shares(method: str, draws: int, inputs: int, seed: int) -> Floats:
    """Points of the unit cube (draws, inputs): "random", "latin" (Latin hypercube) or "sobol" (scrambled sequence).

    Raises InputError for another method, and for no draws or inputs. References: [1] McKay and others 1979. [2] Sobol 1967, Owen 1998.
    """
    if draws < 1 or inputs < 1:
        raise InputError(Problem("samples", f"{draws} draws of {inputs} inputs: both must be at least 1"))
    rng = np.random.default_rng(seed)
    if method == "random":
        return rng.random((draws, inputs))
    if method == "latin":
        return np.asarray(qmc.LatinHypercube(inputs, rng=rng).random(draws), np.float64)
    if method == "sobol":
        made = qmc.Sobol(inputs, rng=rng).random_base2(math.ceil(math.log2(max(draws, 2))))
        return np.asarray(made[:draws], np.float64)
    raise InputError(unknown("method", "method", method, ("random", "latin", "sobol")))


def tied(points: Floats, correlation: Floats) -> Floats:
    """Points of the unit cube (N, D) with the rank correlations of a matrix (D, D): a Gaussian copula.

    z = norm^-1(u) L', L L' = 2 sin(pi r / 6). Raises InputError for a matrix that no inputs can have.

    [1] Nataf 1962; Liu and Der Kiureghian 1986 (rank to linear correlation of normals).
    """
    linear = 2.0 * np.sin(np.pi * np.asarray(correlation) / 6.0)
    np.fill_diagonal(linear, 1.0)
    try:
        lower = np.linalg.cholesky(linear)
    except np.linalg.LinAlgError as error:
        told = "no inputs can have these correlations: the matrix is not positive definite"
        raise InputError(Problem("correlations", told, next="Bring them nearer to 0")) from error
    inside = np.clip(points, 1e-12, 1.0 - 1e-12)
    return np.asarray(stats.norm.cdf(stats.norm.ppf(inside) @ lower.T), np.float64)


def drawn(names: Sequence[str], spread: Mapping[str, Distribution], points: Floats) -> dict[str, Floats]:
    """Values of inputs by name (N,) at points of the unit cube (N, D)."""
    return {name: spread[name].ppf(points[:, i]) for i, name in enumerate(names)}


@dataclass(frozen=True)
class Indices:
    """Shares of a figure's variance: of each input alone, and with all that it acts through (D,)."""

    names: tuple[str, ...]
    first: Floats
    total: Floats
    evaluations: int


def saltelli(spread: Mapping[str, Distribution], draws: int, seed: int) -> dict[str, Floats]:
    """Values of inputs by name (N (D + 2),) at which `indices` wants a figure: samples A and B, then A with column i of B.

    draws: of the base sample, rounded up to a power of two N. Returns them in that order; inputs are independent.

    [1] Saltelli and others, Comput. Phys. Commun. 181, 2010.
    """
    names = tuple(spread)
    size = 2 ** math.ceil(math.log2(max(draws, 2)))
    base = shares("sobol", size, 2 * len(names), seed)
    a, b = base[:, : len(names)], base[:, len(names) :]
    points = np.concatenate([a, b, *(np.where(np.arange(len(names)) == i, b, a) for i in range(len(names)))])
    return drawn(names, spread, points)


def indices(names: Sequence[str], figure: Floats) -> Indices:
    """Variance-based sensitivity: S_i = V(E(y | x_i)) / V(y), T_i = 1 - V(E(y | all but x_i)) / V(y).

    figure: y at the points of `saltelli` (N (D + 2),), in their order. Returns Indices. Valid for independent inputs; indices of
    inputs that do nothing come out within about 1 / sqrt(draws) of 0.

    [1] Saltelli and others, Comput. Phys. Commun. 181, 2010. [2] Jansen 1999.
    """
    y = np.asarray(figure, np.float64).reshape(len(names) + 2, -1)
    y = y - y[:2].mean()
    variance = float(y[:2].var())
    if not variance > 0.0:
        return Indices(tuple(names), np.zeros(len(names)), np.zeros(len(names)), y.size)
    first = (y[1] * (y[2:] - y[0])).mean(axis=1) / variance
    total = 0.5 * ((y[0] - y[2:]) ** 2).mean(axis=1) / variance
    return Indices(tuple(names), first, total, y.size)


def sobol_indices(
    function: Callable[[Mapping[str, Floats]], Floats], spread: Mapping[str, Distribution], draws: int, seed: int
) -> Indices:
    """Indices of a function of draws by name (N,), which gives (N,): `saltelli`, then `indices`.

    draws: of the base sample; the function is asked once, for (D + 2) times as many.
    """
    return indices(tuple(spread), function(saltelli(spread, draws, seed)))
