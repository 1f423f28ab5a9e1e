"""Ranges and thresholds on figures whose answers are known."""

import math

import pytest

from aether.base.errors import InputError
from aether.base.provenance import Assumption
from aether.economics import boundary, cost
from aether.economics.threshold import ranged, threshold
from money import SHIPS, SITE, known


def assumption(name, value, low, high):
    return name, Assumption(name, value, "1", "a test", low=low, high=high)


TOY = dict([assumption("a", 10.0, 7.0, 14.0), assumption("b", 5.0, 2.0, 8.0), assumption("unasked", 1.0, 0.0, 9.0)])


def orbit(value):
    return cost.total(boundary.orbit(SHIPS, value))


def ground(value):
    return cost.total(boundary.ground(SITE, value))


def test_swings_of_a_sum_combine_as_the_root_of_squares():
    made = ranged(lambda v: v("a") + v("b"), TOY)
    assert (made.low, made.nominal, made.high) == pytest.approx((15 - math.hypot(3, 3), 15, 15 + math.hypot(4, 3)))
    assert (made.best, made.worst) == (9.0, 22.0)
    assert [s.name for s in made.swings] == ["a", "b"]  # what is not asked for does not swing


def test_an_assumption_that_lowers_the_figure_as_it_rises_is_turned_round():
    made = ranged(lambda v: v("a") / v("b"), TOY)
    assert (made.best, made.worst) == pytest.approx((7 / 8, 14 / 2))


def test_a_range_never_leaves_best_to_worst():
    made = ranged(lambda v: v("a") * v("b") ** 4, TOY)
    assert made.best <= made.low <= made.nominal <= made.high <= made.worst


def test_threshold_of_two_lines_is_their_crossing():
    made = threshold(lambda v: 2 * v("a"), lambda v: v("b") + 12, "a", TOY)
    assert made.value == pytest.approx(8.5, rel=1e-12)
    assert made.inside
    assert made.nominal == pytest.approx(20 / 17)


def test_a_threshold_outside_the_range_says_so():
    made = threshold(lambda v: v("a"), lambda _: 40.0, "a", TOY)
    assert made.value == pytest.approx(40.0)
    assert not made.inside


def test_without_a_threshold_the_nearest_quotient_is_told():
    made = threshold(lambda v: 100 + v("a"), lambda _: 50.0, "a", TOY)
    assert made.value is None
    assert (made.closest, made.closest_value) == (2.0, 0.0)


def test_of_two_crossings_the_one_nearer_to_the_nominal_value_is_taken():
    made = threshold(lambda v: (v("a") - 2) * (v("a") - 12) + 30, lambda _: 30.0, "a", TOY)
    assert made.value == pytest.approx(12.0)


def test_parity_by_price_of_electricity_is_where_both_sides_cost_the_same():
    # a launch that costs next to nothing and a cheap bus bring parity within ten times the range of electricity
    given = known() | dict([assumption("starship.price", 2e6, 1e6, 3e6), assumption("ai1.bus_price", 1e5, 1e5, 1e5)])
    made = threshold(orbit, ground, "us.price", given)
    assert made.value is not None
    at = boundary.nominal(given, {"us.price": made.value})
    assert orbit(at) == pytest.approx(ground(at), rel=1e-9)
    below = boundary.nominal(given, {"us.price": 0.99 * made.value})
    assert orbit(below) > ground(below)


def test_a_life_of_nothing_is_left_out_of_the_search():
    made = threshold(orbit, ground, "cost.life_orbit", known())
    assert made.closest > 0.0
    assert made.closest_value > 0.0


def test_an_unknown_assumption_is_named():
    with pytest.raises(InputError, match=r"did you mean 'starship.price'"):
        threshold(orbit, ground, "starship.prise", known())
