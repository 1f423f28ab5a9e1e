"""Launch price and flights against arXiv 2511.19468 and the disclosed AI1 figures."""

import pytest

from aether.base.errors import InputError
from aether.operations import launch


def test_learning_reaches_200_dollars_after_370_thousand_tonnes() -> None:
    # arXiv 2511.19468: 1800 $/kg at 400 t, 20 % per doubling
    found = launch.learning(1800.0, 400e3, 0.20, price_target=200.0)
    assert found.mass_added == pytest.approx(370e6, rel=0.01)


def test_learning_reaches_300_dollars_after_104_thousand_tonnes() -> None:
    assert launch.learning(1800.0, 400e3, 0.20, price_target=300.0).mass_added == pytest.approx(104e6, rel=0.01)


def test_learning_runs_both_ways() -> None:
    added = launch.learning(1800.0, 400e3, 0.20, price_target=250.0).mass_added
    assert launch.learning(1800.0, 400e3, 0.20, mass_added=added).price == pytest.approx(250.0)
    assert launch.learning(1000.0, 10.0, 0.20, mass_added=10.0).price == pytest.approx(800.0)  # one doubling


@pytest.mark.parametrize("wrong", [{}, {"price_target": 1.0, "mass_added": 1.0}, {"mass_added": -500e3}])
def test_learning_says_what_it_needs(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError):
        launch.learning(1800.0, 400e3, 0.20, **wrong)


def test_bottom_up_cost_falls_with_reuse_as_published() -> None:
    # arXiv 2511.19468, 200 t vehicle: about 460, below 60, below 15, and 38 with 15 % refurbishment, $/kg
    assert launch.reuse(1) == pytest.approx(460.0, abs=1.0)
    assert launch.reuse(10) <= 60.0
    assert launch.reuse(100) <= 15.0
    assert launch.reuse(1e9) == pytest.approx(8.0, abs=0.01)


def test_published_refurbishment_cost_asks_that_only_part_of_the_vehicle_is_refurbished() -> None:
    assert launch.reuse(100, refurbishment=0.15, refurbished=0.38) == pytest.approx(38.0, abs=0.5)
    assert launch.reuse(100, refurbishment=0.15) == pytest.approx(79.6, abs=0.5)  # if all of it were: twice the 38


def test_47_ai1_share_a_starship_of_100_tonnes() -> None:
    # disclosed: 2.1 t each, 47 to 48 to a flight
    found = launch.flights(2100.0, 15.0, 100e3, 1000.0)
    assert found.ships_per_flight == 47
    assert found.per_ship == pytest.approx(1 / 47)
    assert found.binding == "mass"


def test_a_ship_of_300_tonnes_takes_three_flights_of_100() -> None:
    assert launch.flights(300e3, 500.0, 100e3, 1000.0).per_ship == 3.0
    assert launch.flights(301e3, 500.0, 100e3, 1000.0).per_ship == 4.0


def test_volume_binds_where_the_bay_is_small() -> None:
    found = launch.flights(20e3, 2500.0, 100e3, 1000.0)
    assert (found.per_ship, found.binding) == (3.0, "volume")
