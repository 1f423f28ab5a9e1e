"""What must hold for any price: money adds up, and nothing gets cheaper by a dearer part."""

import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from aether.economics import boundary, carbon, cost
from aether.economics.threshold import ranged, threshold
from money import SHIPS, SITE, known

KNOWN = known()
PRICES = sorted(
    n for n in KNOWN if n.endswith("price") or n in ("cost.hull", "cost.gateway", "cost.relay", "cost.backhaul")
)
amounts = st.lists(st.floats(-1e9, 1e9), max_size=30)


def orbit(value):
    return cost.total(boundary.orbit(SHIPS, value))


def ground(value):
    return cost.total(boundary.ground(SITE, value))


@given(amounts)
def test_cents_sum_to_the_total_and_stay_within_one_of_their_amount(given):
    made = cost.cents(given)
    assert sum(made) == round(math.fsum(100.0 * a for a in given))
    assert all(abs(whole - 100.0 * a) <= 1.0 for whole, a in zip(made, given, strict=True))


@given(st.sampled_from(PRICES), st.floats(0.0, 3.0), st.floats(1.0, 10.0))
def test_a_rising_price_never_lowers_a_cost(name, start, factor):
    low = start * KNOWN[name].value
    before, after = (boundary.nominal(KNOWN, {name: v}) for v in (low, low * factor))
    for side in (orbit, ground):
        assert side(after) >= side(before) * (1 - 1e-12)


@given(st.floats(0.0, 0.4), st.floats(0.5, 30.0), st.floats(1.0, 365.0))
def test_capital_is_repaid_at_least_and_interest_only_adds(rate, years, periods):
    paid = cost.annuity(1e6, rate / cost.YEAR_S, years * cost.YEAR_S, periods)
    assert paid * years >= 1e6 * (1 - 1e-9)
    assert paid >= 1e6 * rate * (1 - 1e-9)


@given(st.dictionaries(st.sampled_from(PRICES), st.floats(1.0, 20.0)))
def test_a_range_holds_the_nominal_figure_and_each_swing(widths):
    wide = {n: replace(KNOWN[n], low=KNOWN[n].value / w, high=KNOWN[n].value * w) for n, w in widths.items()}
    made = ranged(orbit, KNOWN | wide)
    assert made.best <= made.low <= made.nominal <= made.high <= made.worst
    assert all(made.best <= min(s.at_low, s.at_high) and max(s.at_low, s.at_high) <= made.worst for s in made.swings)


@given(st.floats(0.01, 1e6))
def test_a_threshold_is_a_root(wanted):
    made = threshold(orbit, lambda _: wanted * 1e3, "starship.price", KNOWN)
    if made.value is not None:
        assert abs(orbit(boundary.nominal(KNOWN, {"starship.price": made.value})) / (wanted * 1e3) - 1) < 1e-9


@given(st.floats(0.0, 1.0))
def test_dirtier_electricity_never_lowers_carbon(carbon_kg_j):
    clean, dirty = (boundary.nominal(KNOWN, {"us.carbon": c}) for c in (0.0, carbon_kg_j))
    assert carbon.ground(SITE, dirty).kg_year >= carbon.ground(SITE, clean).kg_year
    assert carbon.orbit(SHIPS, dirty).kg_year == carbon.orbit(SHIPS, clean).kg_year
