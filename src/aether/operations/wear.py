"""What wears out: survival of parts and of ships made of them, early deaths, spare parts, dose.

References
[1] R. E. Barlow, F. Proschan, Mathematical Theory of Reliability, 1965.
[2] J.-F. Castet, J. H. Saleh, Satellite reliability: statistical data analysis and modeling, Journal of Spacecraft and
    Rockets 46, 2009, doi 10.2514/1.42243.
"""

from __future__ import annotations

import math

import numpy as np

from aether.base.errors import InputError, Problem
from aether.base.tables import Floats


def weibull(age_s: Floats | float, scale_s: Floats | float, shape: Floats | float) -> Floats:
    """Share that lives at an age: S = exp(-(t / eta)^beta).

    age_s t, scale_s eta [s], shape beta [1]: broadcast. Returns [1]. Raises InputError unless scale and shape are
    positive and no age is negative. Below shape 1 failures grow rarer with age, above it more frequent [1], [2].
    """
    age, scale, form = np.asarray(age_s, np.float64), np.asarray(scale_s, np.float64), np.asarray(shape, np.float64)
    if not ((age >= 0.0).all() and (scale > 0.0).all() and (form > 0.0).all()):
        raise InputError(Problem("wear.weibull", "scale and shape must be positive, ages not negative"))
    return np.asarray(np.exp(-((age / scale) ** form)))


def attrition(age_s: Floats | float, rate_s: Floats | float, shape: Floats | float, life_s: Floats | float) -> Floats:
    """Share that lives at an age when a rate is known over a life: S = exp(-r L (t / L)^beta).

    age_s t [s]; rate_s r [1/s]: mean hazard from new to life_s L [s]; shape beta [1]. Broadcast. Returns [1]: at beta 1
    the constant hazard exp(-r t), at any beta exp(-r L) at the end of the life. Reference [1].
    """
    return np.asarray(np.exp(-np.asarray(rate_s) * life_s * (np.asarray(age_s) / life_s) ** shape))


def early(age_s: Floats | float, share: Floats | float, time_s: Floats | float) -> Floats:
    """Share that early deaths leave: S = 1 - p (1 - exp(-t / tau)).

    share p [1] that die early in the end; time_s tau [s]. Broadcast. Returns [1]. Reference [1], mixed populations.
    """
    return np.asarray(1.0 + np.asarray(share) * np.expm1(-np.asarray(age_s) / np.asarray(time_s)))


def enough(alive: Floats, count: int, needed: int) -> Floats:
    """The chance that enough of several alike still work: sum over j >= k of C(n, j) S^j (1 - S)^(n - j).

    alive S [1]: of one, any shape; count n, needed k. Returns [1]. Raises InputError unless 0 <= k <= n. Valid for parts
    that fail independently and all run. Reference [1], k-out-of-n structures.
    """
    if not 0 <= needed <= count:
        raise InputError(Problem("wear.enough", f"of {count} parts {needed} cannot be needed"))
    one = np.asarray(alive, np.float64)
    return np.asarray(sum(math.comb(count, j) * one**j * (1.0 - one) ** (count - j) for j in range(needed, count + 1)))


def chance(alive: Floats) -> Floats:
    """What dies in each step of those that live at its beginning: h_a = 1 - S_(a+1) / S_a.

    alive S (..., A + 1) [1], not rising with age. Returns (..., A) [1], 1 where none is left. Reference [1].
    """
    before, after = alive[..., :-1], alive[..., 1:]
    left = np.divide(after, before, out=np.zeros_like(before), where=before > 0.0)
    return np.clip(1.0 - left, 0.0, 1.0)


def dose_life(limit_rad: Floats | float, rate_rad_s: Floats | float) -> Floats:
    """Time until a dose is reached: t = D / d.

    limit_rad D [rad]; rate_rad_s d [rad/s]: behind the shielding, the orbit's mean. Broadcast. Returns [s], infinity without
    a dose. Raises InputError for a limit that is not positive. Reference: definition.
    """
    limit, rate = np.broadcast_arrays(np.asarray(limit_rad, np.float64), np.asarray(rate_rad_s, np.float64))
    if not (limit > 0.0).all():
        raise InputError(Problem("wear.dose_life", "the limit must be positive"))
    return np.divide(limit, rate, out=np.full(limit.shape, np.inf), where=rate > 0.0)


def effective_life(alive: Floats, share: Floats, step_s: float, first: int, last: int) -> float:
    """Time at work that a new ship gives before it retires: integral of S(t) w(t) dt from service to the end of life.

    alive S, share w (A + 1,) [1] by age: ships that live, and what works aboard; step_s [s]; first, last: steps at which
    service begins and life ends. Returns [s]. By the trapezium rule. Reference [1].
    """
    both = (alive * share)[first : last + 1]
    return float(np.sum(0.5 * (both[1:] + both[:-1])) * step_s) if len(both) > 1 else 0.0
