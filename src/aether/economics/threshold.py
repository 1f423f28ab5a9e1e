"""How far a figure may be off, what moves it, and at which value of one assumption two figures meet."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aether.base.errors import InputError, Problem, unknown
from aether.base.provenance import Assumption
from aether.economics.boundary import Value, nominal

Figure = Callable[[Value], float]
WIDE = 10.0  # a threshold is looked for from low / 10 (and 0) to 10 high
STEPS = 48  # of the scan, even in the logarithm: sides that cross twice within a tenth are not told apart
HALVINGS = 80  # of an interval: to the last digit of a float


@dataclass(frozen=True, slots=True)
class Swing:
    """What one assumption alone does: its ends, SI, and the figure at them."""

    name: str
    low_value: float
    high_value: float
    at_low: float
    at_high: float

    @property
    def width(self) -> float:
        """How far it moves the figure."""
        return abs(self.at_high - self.at_low)


@dataclass(frozen=True, slots=True)
class Ranged:
    """A figure with its range: low and high as if assumptions were independent; best and worst with all at once."""

    low: float
    nominal: float
    high: float
    best: float
    worst: float
    swings: tuple[Swing, ...]  # widest first


@dataclass(frozen=True, slots=True)
class Threshold:
    """Where two figures meet by one assumption alone."""

    name: str
    value: float | None  # SI, None where they do not meet in the interval searched
    inside: bool  # the value lies within the assumption's own range
    low: float  # of the assumption's own range
    high: float
    nominal: float  # first figure over second at the assumption's nominal value
    closest: float  # the same where it comes nearest to the other side of 1 within the interval; 1 where they meet
    closest_value: float  # of the assumption, there


def ranged(function: Figure, assumptions: Mapping[str, Assumption]) -> Ranged:
    """A figure, its range, and what moves it most.

    Each assumption alone is moved to both ends of its range, all others nominal: swing k takes the figure f down by d_k
    and up by u_k. low = f - sqrt(sum d_k^2), high = f + sqrt(sum u_k^2), as the spread of a sum of independent errors.
    best and worst hold every assumption at once at the end that alone lowers or raises the figure.
    function: of a Value; assumptions: by name, of which only those that it asks for are moved. Returns Ranged; low and
    high never leave best to worst. Raises InputError for a name that the function asks for and that is not there.
    Valid where each range is meant alike (two or so standard deviations) and errors are not tied to one another; a figure
    far from additive is told better by best and worst.

    [1] Saltelli et al., Sensitivity Analysis in Practice, 2004: one at a time; JCGM 100:2008, 5.1 (combination).
    """
    used = _used(function, assumptions)
    middle = function(nominal(assumptions))
    swings = []
    for name in used:
        low_value, high_value = assumptions[name].range
        if low_value != high_value:
            at = [function(nominal(assumptions, {name: end})) for end in (low_value, high_value)]
            swings.append(Swing(name, low_value, high_value, at[0], at[1]))
    down = {s.name: s.low_value if s.at_low <= s.at_high else s.high_value for s in swings}
    up = {s.name: s.high_value if s.at_low <= s.at_high else s.low_value for s in swings}
    ends = [middle, *(s.at_low for s in swings), *(s.at_high for s in swings)]
    best = min(function(nominal(assumptions, down)), *ends)
    worst = max(function(nominal(assumptions, up)), *ends)
    fall = math.hypot(*(max(0.0, middle - min(s.at_low, s.at_high)) for s in swings))
    rise = math.hypot(*(max(0.0, max(s.at_low, s.at_high) - middle) for s in swings))
    return Ranged(
        low=max(best, middle - fall), nominal=middle, high=min(worst, middle + rise), best=best, worst=worst,
        swings=tuple(sorted(swings, key=lambda s: (-s.width, s.name))),
    )  # fmt: skip


def _used(function: Figure, assumptions: Mapping[str, Assumption]) -> list[str]:
    """Names of the assumptions that a figure asks for, in that order."""
    asked: dict[str, None] = {}
    look = nominal(assumptions)

    def value(name: str) -> float:
        asked[name] = None
        return look(name)

    function(value)
    return list(asked)


def threshold(first: Figure, second: Figure, name: str, assumptions: Mapping[str, Assumption]) -> Threshold:
    """The value of one assumption at which two figures are equal, all others nominal: f_1(v) = f_2(v).

    Searched from zero (a tenth of the low end where zero has no meaning) to ten times the high end; of several crossings
    the one nearest to the nominal value is taken, then bisected. first, second: of a Value, positive; name: of the assumption; assumptions: by
    name. Returns Threshold: value None where they do not meet, with the quotient where they come closest.
    Raises InputError for an unknown name and for one below zero. Valid for figures that are continuous in the assumption.
    """
    if name not in assumptions:
        raise InputError(unknown("threshold", "assumption", name, assumptions))
    one = assumptions[name]
    low, high = one.range
    if low < 0.0:
        raise InputError(Problem(f"threshold.{name}", "a value below zero cannot be searched in logarithmic steps"))

    def sides(at: float) -> tuple[float, float]:
        value = nominal(assumptions, {name: at})
        return first(value), second(value)

    grid = _grid(low, high, one.value)
    try:
        sides(0.0)
        grid = [0.0, *grid]
    except (InputError, ZeroDivisionError):  # a life or a payload of nothing: the search begins at the tenth
        pass
    at = [sides(v) for v in grid]
    crossings = [k for k in range(len(grid) - 1) if (at[k][0] > at[k][1]) != (at[k + 1][0] > at[k + 1][1])]
    here = _quotient(*sides(one.value))
    if not crossings:
        quotients = [_quotient(*pair) for pair in at]
        k = min(
            range(len(grid)), key=lambda k: abs(math.log(quotients[k])) if 0.0 < quotients[k] < math.inf else math.inf
        )
        return Threshold(name, None, False, low, high, here, quotients[k], grid[k])
    k = min(crossings, key=lambda k: min(abs(grid[k] - one.value), abs(grid[k + 1] - one.value)))
    found = _bisect(lambda v: sides(v)[0] > sides(v)[1], grid[k], grid[k + 1])
    return Threshold(name, found, low <= found <= high, low, high, here, 1.0, found)


def _bisect(above: Callable[[float], bool], left: float, right: float) -> float:
    """Where a statement that differs at the two ends changes."""
    start = above(left)
    for _ in range(HALVINGS):
        middle = 0.5 * (left + right)
        left, right = (middle, right) if above(middle) == start else (left, middle)
    return 0.5 * (left + right)


def _quotient(over: float, under: float) -> float:
    return over / under if under > 0.0 else math.inf


def _grid(low: float, high: float, value: float) -> list[float]:
    """An even grid in the logarithm, with the range and the nominal value as points of it; all above zero."""
    least = (low or value or high) / WIDE or 1.0 / WIDE
    most = max(high * WIDE, least * WIDE)
    step = (most / least) ** (1.0 / STEPS)
    points = {*(least * step**k for k in range(STEPS + 1)), low, value, high}
    return sorted(p for p in points if p > 0.0)
