"""Value of time and of contracts, beside published sums and hand computation."""

import numpy as np
import pytest

from aether.base.errors import InputError
from aether.economics.cost import YEAR_S, annuity
from aether.economics.worth import contract, time_to_power


def test_two_hundred_megawatts_half_a_year_sooner_are_worth_what_is_published():
    # 400 to 500 M USD for 200 MW six months earlier; revenue 12 to 13 USD/W-year, of which chips, power and staff take two thirds
    worth = time_to_power(200e6, 0.5 * YEAR_S, 12.5, 12.5 * 0.63, 0.09 / YEAR_S)
    assert 400e6 < worth < 500e6


def test_without_interest_time_is_worth_its_margin_and_less_with():
    plain = time_to_power(1.0, 2 * YEAR_S, 10.0, 4.0, 0.0)
    assert plain == pytest.approx(12.0)
    later = time_to_power(1.0, 2 * YEAR_S, 10.0, 4.0, np.array([0.0, 0.05, 0.1]) / YEAR_S)
    assert (np.diff(later) < 0.0).all()
    assert later[2] == pytest.approx(6.0 / annuity(1.0, 0.1 / YEAR_S, 2 * YEAR_S))


def test_a_contracts_gpus_are_those_of_the_press():
    # 1.25 B USD a month for 325,000 GPUs: 5.27 USD per GPU-hour of a year of 8,760 h
    made = contract(1.25e9 * 36, 3.0, 5.27, 3.0, 0.7)
    assert made.gpus == pytest.approx(325_000, rel=0.002)
    assert made.margin == pytest.approx(1 - 3.0 / 5.27)


def test_less_taken_is_paid_dearer_and_notice_leaves_capital_unrecovered():
    made = contract(15e9, 5.0, 5.0, 4.0, 0.8, take_or_pay=0.9, taken=0.5, notice_s=0.25 * YEAR_S)
    assert made.least_usd == pytest.approx(13.5e9)
    assert made.used_usd_gpu_hour == pytest.approx(5.0 * 0.9 / 0.5)
    assert made.ended_usd == pytest.approx(0.75e9)
    assert made.unrecovered_usd == pytest.approx(15e9 * 0.8 * 0.8 * 4.75 / 5)  # straight line without interest
    assert contract(15e9, 5.0, 5.0, 4.0, 0.8, notice_s=6 * YEAR_S).unrecovered_usd == 0.0


def test_all_that_is_wrong_with_a_contract_is_told_at_once():
    with pytest.raises(InputError) as told:
        contract(-1.0, 0.0, 5.0, 4.0, 1.2, take_or_pay=2.0)
    assert len(told.value.problems) == 4
