"""The arithmetic of money: capital recovery, cost per unit of work, and amounts that add up to the cent."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aether.base.errors import InputError, Problem
from aether.base.tables import Floats

Amount = Any  # a float, or draws of one (N,) where assumptions are drawn: what is written for one holds for both

YEAR_S = 31557600.0  # 365.25 days of 86,400 s, the year of the unit "%/year"
TINY = 1e-12  # growth over a life, below which quotients lose their digits
MONTHS = 12.0  # payments a year: capital is recovered monthly, as contracts bill


@dataclass(frozen=True, slots=True)
class Term:
    """What one asset or service costs a year: asset, a name of the boundary's table; usd_year [USD], or draws of it (N,)."""

    asset: str
    usd_year: Amount


def annuity(
    capital_usd: Amount, rate_s: Amount, life_s: Amount, periods_per_year: float = MONTHS, units: float = 1.0
) -> Amount:
    """Level yearly payment per unit that repays a capital with interest: A = C m i / (1 - (1 + i)^-n) / U.

    capital_usd C [USD]; rate_s: nominal yearly rate of interest [1/s]; life_s: time of repayment [s]; periods_per_year m:
    payments a year, i = rate / m, n = m life; units U [1]. Returns [USD/year per unit]; C/(life U) without interest; of draws
    (N,) draws. Raises InputError unless life, periods and units are positive and capital and rate not negative. Payments at
    the end of each period, no residual value.

    [1] Newnan, Engineering Economic Analysis: capital recovery factor.
    """
    _positive(capital=(capital_usd, False), rate=(rate_s, False), life=(life_s, True),
              periods_per_year=(periods_per_year, True), units=(units, True))  # fmt: skip
    interest, payments = rate_s * YEAR_S / periods_per_year, life_s / YEAR_S * periods_per_year
    return capital_usd * periods_per_year * _recovery(interest, payments) / units


def _recovery(interest: Amount, payments: Amount) -> Amount:
    """Share of a capital that each of so many payments is: i / (1 - (1 + i)^-n), 1 / n without interest."""
    if isinstance(interest, np.ndarray) or isinstance(payments, np.ndarray):
        growth = np.log1p(interest) * payments
        tiny = growth < TINY
        return np.where(tiny, 1.0 / payments, interest / -np.expm1(-np.where(tiny, 1.0, growth)))
    growth = math.log1p(interest) * payments
    return 1.0 / payments if growth < TINY else interest / -math.expm1(-growth)


def _positive(**given: tuple[Amount, bool]) -> None:
    """InputError for what is not finite, or below zero, or zero where that has no meaning."""
    problems = [
        Problem(f"annuity.{name}", f"must be {'positive' if above else 'at least 0'}, got {np.min(v):g}")
        for name, (v, above) in given.items()
        if not _fine(v, above)
    ]
    if problems:
        raise InputError(problems)


def above_zero(value: Amount) -> bool:
    """Whether a number, or every draw of it, is positive."""
    return bool((value > 0.0).all()) if isinstance(value, np.ndarray) else value > 0.0


def _fine(value: Amount, above: bool) -> bool:
    if isinstance(value, np.ndarray):
        return bool((np.isfinite(value) & ((value > 0.0) if above else (value >= 0.0))).all())
    return math.isfinite(value) and (value > 0.0 if above else value >= 0.0)


def levelised(
    parts: Iterable[Amount], units: float = 1.0, availability: float = 1.0, redundancy: float = 1.0
) -> Amount:
    """Cost of one delivered unit: c = r sum(parts) / (U a).

    parts: costs of the same time [USD], or already per unit with U = 1; units U: made in that time (GPU-hours, PFLOP-hours,
    millions of tokens); availability a: share of them delivered; redundancy r: units paid for per unit wanted, at least 1.
    Returns [USD/unit], infinite where nothing is delivered. Raises InputError for an availability outside 0 to 1, less
    than no units, or a redundancy below 1. Units that the engine measured are already what was delivered: a = r = 1.

    [1] Levelised cost with an equal yearly output: Short, Packey and Holt, NREL/TP-462-5173, 1995.
    """
    if not 0.0 <= availability <= 1.0 or redundancy < 1.0 or units < 0.0:
        what = "availability lies in 0 to 1, redundancy is at least 1, units at least 0"
        raise InputError(Problem("levelised", f"{what}; got {availability:g}, {redundancy:g}, {units:g}"))
    delivered = units * availability
    return redundancy * added(parts) / delivered if delivered > 0.0 else math.inf


def launched_power(mass_kg: float, power_w: float, life_years: float, price_usd_kg: float) -> float:
    """Launch price per power and year of life, nothing else: c = p M / (P L).

    mass_kg M [kg]; power_w P [W]; life_years L [year]; price_usd_kg p [USD/kg]. Returns [USD/kW/year]. Without building
    the satellite, interest, or losses; valid for comparing launch with the electricity that it would replace [1].
    Raises InputError unless power and life are positive.

    [1] arXiv 2511.19468, Table 1.
    """
    if power_w <= 0.0 or life_years <= 0.0:
        raise InputError(Problem("launched_power", "power and life must be positive"))
    return price_usd_kg * mass_kg / (power_w / 1e3) / life_years


def total(terms: Iterable[Term]) -> Amount:
    """Sum of terms [USD/year]; of draws, draws."""
    return added(t.usd_year for t in terms)


def added(amounts: Iterable[Amount]) -> Amount:
    """Sum of amounts: rounded once where all are numbers, draw by draw where any are drawn."""
    rows = list(amounts)
    if not any(isinstance(r, np.ndarray) for r in rows):
        return math.fsum(rows)
    made: Floats = np.sum(np.broadcast_arrays(*rows), axis=0)
    return made


def cents(amounts_usd: Sequence[float]) -> list[int]:
    """Amounts in whole cents whose sum is the rounded total: by the largest remainder.

    Each is rounded down, then the cents still missing go to those that lost most. amounts_usd [USD], any sign, (N,).
    Returns cents (N,): each within one cent of its amount, their sum the nearest cent to the exact sum. Raises InputError
    for an amount that is not finite. Valid to about 1e13 USD, where a float still holds hundredths of a cent.

    [1] Hamilton's method: Balinski and Young, Fair Representation, 1982.
    """
    if not all(math.isfinite(a) for a in amounts_usd):
        raise InputError(Problem("cents", "an amount is not a finite number"))
    exact = [100.0 * a for a in amounts_usd]
    down = [math.floor(e) for e in exact]
    missing = round(math.fsum(exact)) - sum(down)
    for k in sorted(range(len(exact)), key=lambda k: down[k] - exact[k])[:missing]:
        down[k] += 1
    return down
