"""Money through months: present values, and the price of a unit that pays for all of them."""

from __future__ import annotations

import numpy as np

from aether.base.tables import Floats
from aether.economics.cost import MONTHS, YEAR_S


def discount(months: int, rate_s: Floats | float) -> Floats:
    """What a dollar of the middle of each month is worth at the start: v_m = (1 + r / 12)^-(m + 1/2).

    rate_s r: nominal yearly rate [1/s], scalar or (D,). Returns (..., M) [1].

    [1] Newnan, Engineering Economic Analysis: present worth.
    """
    interest = np.asarray(rate_s, np.float64)[..., None] * YEAR_S / MONTHS
    return np.asarray((1.0 + interest) ** -(np.arange(months) + 0.5))


def levelised(paid_usd: Floats, made: Floats, worth: Floats) -> Floats:
    """Price of a unit that pays for all: c = sum(v_m C_m) / sum(v_m U_m).

    paid_usd C, units made U (..., M), worth v of a month's dollar (..., M). Returns (...) [USD/unit], infinity where nothing
    is made in present value.

    [1] Short, Packey and Holt, NREL/TP-462-5173, 1995: levelised cost by discounted sums.
    """
    units = (made * worth).sum(axis=-1)
    spent = (paid_usd * worth).sum(axis=-1)
    return np.asarray(np.divide(spent, units, out=np.full(np.shape(units), np.inf), where=units > 0.0))
