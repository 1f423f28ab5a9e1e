"""What time and promises are worth: power that comes sooner, and contracts of many years."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aether.base.errors import InputError, Problem
from aether.economics.cost import YEAR_S, Amount, annuity

HOUR_S = 3600.0  # definition
MONTHS = 12.0  # of a year


def time_to_power(
    power_w: Amount, sooner_s: Amount, revenue_usd_w_year: Amount, running_usd_w_year: Amount, rate_s: Amount
) -> Amount:
    """Present value, when power comes, of having it sooner: V = P (r - c) (1 - (1 + i)^-n) / (12 i).

    power_w P [W] of IT; sooner_s: n months [s]; revenue_usd_w_year r and running_usd_w_year c (all that is paid only while
    it runs, chips that age included) [USD/W/year]; rate_s: cost of capital [1/s], i a month. Numbers or draws (N,).
    Returns [USD]. Valid where the market takes the power at that price through all of the time gained, and later
    years are the same on both sides.

    [1] Dixit and Pindyck, Investment under Uncertainty, 1994, chapter 2 (value of not waiting).
    """
    months, monthly = np.asarray(sooner_s) / YEAR_S * MONTHS, np.asarray(rate_s) * YEAR_S / MONTHS
    tiny = monthly * np.maximum(months, 1.0) < 1e-9
    worth = np.where(tiny, months, -np.expm1(-months * np.log1p(monthly)) / np.where(tiny, 1.0, monthly))
    return (power_w * (revenue_usd_w_year - running_usd_w_year) * worth / MONTHS)[()]


@dataclass(frozen=True, slots=True)
class Contract:
    """What a sum buys over years, and what is owed when it ends early. Amounts are numbers or draws (N,)."""

    gpus: Amount  # that work through all of it
    gpu_hours: Amount
    margin: Amount  # of the seller, over the price
    least_usd: float  # paid whatever is taken
    ended_usd: float  # paid when notice is given at once
    unrecovered_usd: Amount  # of capital that the seller then has still to earn elsewhere
    used_usd_gpu_hour: float  # paid for each hour used where only a share is taken


def contract(
    total_usd: float, years: float, price_usd_gpu_hour: float, cost_usd_gpu_hour: Amount, capital_share: float,
    take_or_pay: float = 1.0, taken: float = 1.0, notice_s: float = 0.0, rate_s: float = 0.0, life_s: float = 5 * YEAR_S,
) -> Contract:  # fmt: skip
    """A contract of a sum over years at a price: GPUs = S / (p T), hours = S / p, margin = 1 - c / p.

    total_usd S; years T; price p and cost c [USD per GPU-hour]; capital_share: of the cost that recovers capital; take_or_pay:
    share paid whatever is taken; taken: share of the hours that is used; notice_s: after which it may be ended, to be paid out;
    rate_s, life_s: at which the seller's capital is recovered. What is unrecovered at notice = capital's annuity a year x the
    present worth of the months left of its life. Raises InputError for what is not positive, and shares outside 0 to 1.
    Valid for a price that stays; a contract in tranches is several of these.

    [1] Take-or-pay: Masten and Crocker, American Economic Review 75, 1985.
    """
    wrong = [Problem(f"contract.{k}", f"must be positive, got {v:g}") for k, v in
             (("total", total_usd), ("years", years), ("price", price_usd_gpu_hour), ("life", life_s)) if not v > 0.0]  # fmt: skip
    wrong += [Problem(f"contract.{k}", f"must lie in 0 to 1, got {v:g}") for k, v in
              (("take_or_pay", take_or_pay), ("taken", taken), ("capital_share", capital_share)) if not 0.0 <= v <= 1.0]  # fmt: skip
    if notice_s < 0.0:
        wrong.append(Problem("contract.notice", f"must be at least 0, got {notice_s:g}"))
    if wrong:
        raise InputError(wrong)
    hours = total_usd / price_usd_gpu_hour
    paid = max(take_or_pay, taken) * total_usd
    yearly = cost_usd_gpu_hour * capital_share * hours / years
    worth = 1.0 / annuity(1.0, rate_s, max(life_s - notice_s, 1.0)) if life_s > notice_s else 0.0
    return Contract(
        gpus=hours / (years * YEAR_S / HOUR_S), gpu_hours=hours,
        margin=1.0 - cost_usd_gpu_hour / price_usd_gpu_hour, least_usd=take_or_pay * total_usd,
        ended_usd=total_usd * min(notice_s / (years * YEAR_S), 1.0), unrecovered_usd=yearly * worth,
        used_usd_gpu_hour=paid / (taken * hours) if taken > 0.0 else float("inf"),
    )  # fmt: skip
