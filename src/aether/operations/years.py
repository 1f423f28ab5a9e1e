"""What changes with the years: the Sun's cycle, generations of accelerators, the price of a launch, flights, propellant.

Axes: draws D, months M, groups G. Times are seconds from the start of the first month; a month is a twelfth of a year.

References
[1] SILSO, Royal Observatory of Belgium: cycle 25 reached its smoothed maximum in October 2024; cycles last 11.0 years.
[2] Suncatcher, arXiv 2511.19468, section on launch.
[3] Epoch AI, Trends in machine learning hardware, 2023 and later.
"""

from __future__ import annotations

import numpy as np

from aether.base.errors import InputError, Problem
from aether.base.tables import Floats, Ints
from aether.operations.launch import FUEL_USD_KG, HARDWARE_USD_KG

YEAR_S = 365.25 * 86400.0  # Julian year
MONTH_S = YEAR_S / 12.0  # definition
MAXIMUM_YEAR, CYCLE_YEARS = 2024.8, 11.0  # [1]
REUSE_YEARS = 10.0  # in which a vehicle's flights grow to what is assumed of it, see fleet.reuses
HEAVY_KG = 200e3  # payload of the vehicle whose cost per kilogram is published, [2]


def months(duration_s: Floats | float) -> Ints:
    """Whole months that a time takes: ceil, but for a thousandth of a month of rounding."""
    return np.asarray(np.ceil(np.asarray(duration_s, np.float64) / MONTH_S - 1e-3), np.int64)


def ages(longest: int) -> Floats:
    """Ages of 0 to so many months [s] (A + 1,)."""
    return np.asarray(np.arange(longest + 1) * MONTH_S, np.float64)


def middles(count: int) -> Floats:
    """Times of the middle of so many months [s] (M,)."""
    return np.asarray((np.arange(count) + 0.5) * MONTH_S, np.float64)


def solar_flux(year: Floats | float, low: Floats | float, high: Floats | float) -> Floats:
    """F10.7 through the Sun's cycle: F = low + (high - low) (1 + cos(2 pi (t - 2024.8) / 11)) / 2.

    year t: as 2026.5, any shape; low, high: at minimum and maximum [sfu]. Returns [sfu]. A mean cycle: real ones rise faster
    than they fall and differ by half in height. Reference [1].
    """
    phase = 2.0 * np.pi * (np.asarray(year, np.float64) - MAXIMUM_YEAR) / CYCLE_YEARS
    return np.asarray(low + (high - low) * 0.5 * (1.0 + np.cos(phase)))


def generation(
    time_s: Floats, growth: Floats | float, interval_s: Floats | float, limit: Floats | float = np.inf
) -> Floats:
    """How much better the newest generation is: min((1 + g)^(n T), limit), n = floor(t / T) generations since the start.

    time_s t (M,) [s]; growth g: a year [1]; interval_s T [s]; limit [1], where physics ends it; scalar or (D, 1). Returns [1],
    1 in the first. Reference [3].
    """
    interval = np.asarray(interval_s, np.float64)
    passed = np.floor(np.asarray(time_s) / interval + 1e-9) * interval / YEAR_S
    return np.asarray(np.minimum((1.0 + np.asarray(growth)) ** passed, limit))


def flights(time_s: Floats, first: float, growth: float, most: float | None) -> Floats:
    """Flights a month: min(f (1 + g)^years, most) / 12.

    first f, most: a year; growth g: a year. Returns (M,). Raises InputError unless flights are positive.
    """
    if first <= 0.0 or growth <= -1.0:
        raise InputError(Problem("lifetime.cadence", "flights must be positive and growth above -100 %"))
    made = first * (1.0 + growth) ** (np.asarray(time_s) / YEAR_S)
    return np.asarray(np.minimum(made, np.inf if most is None else most) / 12.0)


def by_mass(price_usd: Floats, lifted_kg: Floats, before_kg: Floats, learning: Floats, floor_usd: Floats) -> Floats:
    """Price of a launch by all mass lifted: p = max(p_0 (1 + M / M_0)^(log2(1 - l)), floor).

    price_usd p_0 and before_kg M_0: at the start; lifted_kg M (D, M): since then; learning l; floor_usd of a launch. Broadcast.
    Returns [USD]. Wright's law as in `launch.learning`, 20 % a doubling in [2].
    """
    return np.asarray(np.maximum(price_usd * (1.0 + lifted_kg / before_kg) ** np.log2(1.0 - learning), floor_usd))


def by_reuse(time_s: Floats, reuses: Floats, margin: Floats) -> Floats:
    """Price of a launch from the bottom up: (fuel + hardware / n) 200 t (1 + margin), n from 1 to what is assumed in ten years.

    time_s (M,) [s]; reuses, margin: (D, 1). Returns (D, M) [USD] a flight: `launch.reuse` without refurbishment, vehicle and
    propellant of the published 200 t vehicle, whatever it carries. Reference [2].
    """
    uses = 1.0 + (np.asarray(reuses) - 1.0) * np.minimum(np.asarray(time_s) / YEAR_S / REUSE_YEARS, 1.0)
    return np.asarray((FUEL_USD_KG + HARDWARE_USD_KG / uses) * HEAVY_KG * (1.0 + np.asarray(margin)))


def lasting(spent_m_s: Floats, yearly_m_s: Floats, budget_m_s: Floats, last: int) -> Ints:
    """Months that a ship's propellant lasts, by its month of launch: how many a have C_(b+a) - C_b + y a / 12 < budget.

    spent_m_s C (D, G, N + 1): delta-v against drag summed to each month; yearly_m_s y (D,): besides; budget_m_s (D, G): without
    raising and disposal; last: longest life told. Returns (D, G, N + 1 - last), 0 to `last`.
    """
    ages = np.arange(last + 1)
    besides = yearly_m_s[:, None, None] / 12.0 * ages - budget_m_s[..., None]  # (D, G, last + 1)
    births = spent_m_s.shape[2] - last
    found = np.empty((*budget_m_s.shape, births), np.int64)
    for b in range(births):
        used = spent_m_s[..., b : b + last + 1] - spent_m_s[..., b : b + 1] + besides
        found[..., b] = (used < 0.0).sum(axis=-1)
    return np.minimum(found, last)
