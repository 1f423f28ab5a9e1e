"""Air drag against the published range of density, lifetimes and delta-v."""

import numpy as np
import pytest

from aether.space import drag


@pytest.mark.parametrize(
    ("altitude_m", "low", "high"),
    [(500e3, 2.5e-13, 2.5e-12), (600e3, 4e-14, 7e-13), (700e3, 6e-15, 1.8e-13)],
)
def test_density_at_solar_minimum_and_maximum_within_a_factor_three_of_the_published_range(
    altitude_m: float, low: float, high: float
) -> None:
    # the minimum of 2008 and 2019 was deeper than the table's, so the model lies below it: 0.37 of it at 500 km
    quiet, active = drag.density(altitude_m, 70.0, 4.0), drag.density(altitude_m, 200.0, 20.0)
    assert low / 3 < quiet < low * 3
    assert high / 1.3 < active < high * 1.3


def test_density_falls_with_height_and_keeps_the_shape_asked_for() -> None:
    rho = drag.density(np.array([[300e3, 500e3], [700e3, 900e3]]))
    assert rho.shape == (2, 2)
    assert np.all(np.diff(rho.ravel()) < 0)


@pytest.mark.parametrize(("area_m2", "low", "high"), [(50.0, 2.0, 33.0), (710.0, 27.0, 470.0)])
def test_reboost_of_ai1_at_600_km_lies_in_the_published_range(area_m2: float, low: float, high: float) -> None:
    # own arithmetic of the sources: Cd 2.2, 2.1 t, edge-on and broadside; at the published extremes of density exactly
    for rho, published in ((4e-14, low), (7e-13, high)):
        assert drag.delta_v_per_year(600e3, rho, area_m2, 2100.0) == pytest.approx(published, rel=0.1)
    mean = drag.delta_v_per_year(600e3, drag.density(600e3), area_m2, 2100.0)
    assert low < mean < high


@pytest.mark.parametrize(
    ("altitude_m", "years"), [(400e3, 1.0), (500e3, 5.0), (600e3, 25.0), (700e3, 100.0), (800e3, 500.0)]
)
def test_natural_lifetime_within_a_factor_two_and_a_half_of_the_rule_of_thumb(altitude_m: float, years: float) -> None:
    # orbital debris rule of thumb, for about 100 kg/m2
    found = drag.lifetime(altitude_m, 1.0, 100.0) / drag.YEAR_S
    assert years / 2.5 < found < years * 2.5


def test_an_orbit_already_in_the_air_has_no_lifetime() -> None:
    assert drag.lifetime(120e3, 1.0, 100.0) == 0.0


def test_leaving_650_km_for_a_perigee_of_200_km_takes_120_to_150_metres_per_second() -> None:
    assert 120.0 < drag.deorbit_delta_v(650e3, 200e3) < 150.0


def test_force_is_proportional_to_density_and_area() -> None:
    one = drag.force(500e3, 1e-12, 10.0)
    assert one == pytest.approx(0.5 * 1e-12 * 398600.4418e9 / 6878137.0 * 2.2 * 10.0)
    assert drag.force(500e3, 2e-12, 30.0) == pytest.approx(6 * one)
