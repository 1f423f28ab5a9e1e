"""The Sun against astropy, the shadow against geometry, and the years of dawn-dusk orbits against published figures."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
import pytest

from aether.base.clock import julian_date
from aether.space import ground, orbits, sun

# astropy 8.0.2: get_sun(Time(jd, scale="utc")).transform_to(TEME), metres
ALMANAC = np.array(
    [
        (2451545.0, 26484772244.0, -132761163217.0, -57554637693.0),
        (2453371.25, 26587658359.0, -132737136039.0, -57552578252.0),
        (2457023.7, 26638083019.0, -132735458114.0, -57535394055.0),
        (2460310.5, 25645842590.0, -132897808010.0, -57615604733.0),
        (2460676.5, 27599460378.0, -132572595218.0, -57475258864.0),
        (2461115.9, 148413628504.0, -9991669923.0, -4329988134.0),
        (2461212.3, 1398500923.0, 139466923026.0, 60462453903.0),
        (2461303.65, -150075107333.0, 6714804804.0, 2908239605.0),
        (2461395.1, -3321601157.0, -135000837007.0, -58524898409.0),
        (2462867.0, 25143817373.0, -132983673175.0, -57639953247.0),
    ]
)


def test_the_sun_stands_where_astropy_puts_it_within_20_arcsec() -> None:
    found, almanac = sun.position(ALMANAC[:, 0]), ALMANAC[:, 1:]
    across = np.linalg.norm(np.cross(found, almanac), axis=1)
    distance = np.linalg.norm(almanac, axis=1)
    assert np.degrees(across / distance / np.linalg.norm(found, axis=1)).max() * 3600.0 < 20.0
    assert np.linalg.norm(found, axis=1) == pytest.approx(distance, rel=1e-4)


def test_sidereal_time_matches_the_iau_1982_expression() -> None:
    # astropy 8.0.2, Time(jd, scale="ut1").sidereal_time("mean", "greenwich", "IAU1982")
    julian = np.array([2451545.0, 2460676.5, 2461303.65])
    assert sun.gmst(julian) == pytest.approx([4.894961212823059, 1.7610296730908959, 0.9258677950444821], abs=1e-9)


def test_sidereal_time_runs_smoothly_through_a_day() -> None:
    time_s = np.arange(0.0, 3 * 86400.0, 700.0)
    turn = np.mod(sun.gmst_at(2461000.7, time_s) - sun.gmst(2461000.7 + time_s / 86400.0) + 1.0, 2.0 * math.pi) - 1.0
    assert np.abs(turn).max() < 5e-9  # the resolution of a Julian date


def sky(depth_rad: np.ndarray) -> np.ndarray:
    """Positions at 7,000 km from which a Sun on +x stands so far over (+) or under (-) the Earth's limb."""
    limb = math.asin(orbits.EARTH_RADIUS_M / 7e6)
    angle = math.pi - limb - depth_rad  # from the direction of the Sun
    return 7e6 * np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=-1)[None]


def test_half_the_suns_disc_is_hidden_when_its_centre_is_on_the_limb() -> None:
    far = np.array([[1.495978707e11, 0.0, 0.0]])
    share = sun.lit(sky(np.array([-0.006, 0.0, 0.006])), far)[0]
    # parallax of 7,000 km at 1 au is 4.7e-5 rad, a hundredth of the disc; the limb is nearly straight
    assert share == pytest.approx([0.0, 0.5, 1.0], abs=0.01)


def test_a_lost_satellite_is_neither_lit_nor_dark() -> None:
    assert np.isnan(sun.lit(np.full((1, 1, 3), np.nan), np.array([[1.5e11, 0.0, 0.0]]))).all()


def test_the_penumbra_matches_an_integration_of_the_hidden_disc() -> None:
    far = np.array([[1.495978707e11, 0.0, 0.0]])
    place = sky(np.array([0.002]))
    away = far[0] - place[0, 0]
    away_m = float(np.linalg.norm(away))
    radius = math.asin(6.957e8 / away_m)
    limb = math.asin(orbits.EARTH_RADIUS_M / 7e6)
    separation = math.acos(-(place[0, 0] @ away) / 7e6 / away_m)
    x, y = np.meshgrid(np.linspace(-radius, radius, 2001), np.linspace(-radius, radius, 2001))
    disc = np.hypot(x, y) < radius
    seen = disc & (np.hypot(x - separation, y) > limb)
    assert float(sun.lit(place, far)[0, 0]) == pytest.approx(seen.sum() / disc.sum(), abs=2e-3)


def test_the_cylinder_and_the_cone_agree_but_for_the_penumbra() -> None:
    ships = orbits.walker(4, 4, 550e3, math.radians(53.0))
    track = orbits.propagate(ships, np.arange(0.0, 86400.0, 60.0), 2461000.5)
    light = sun.light(track, 2461000.5)
    plain = sun.lit_cylindrical(track.inertial_m, light.sun_m)
    assert plain.mean() == pytest.approx(light.lit.mean(), abs=0.002)
    assert (plain[light.lit == 0.0] == 0.0).all()  # the umbra lies within the cylinder,
    assert (plain[light.lit == 1.0] == 1.0).all()  # and the cylinder within the penumbra
    assert 0.0 < (light.lit % 1.0 > 0.0).mean() < 0.02


def test_eclipse_at_beta_zero_lasts_35_6_minutes() -> None:
    # geometry: 37.2 % of the orbit at 550 km; propagated with the Sun in the orbit plane
    epoch = 2461115.9  # near the equinox: an equatorial orbit has beta near 0
    equatorial = orbits.circular(550e3, 0.0, np.zeros(1), np.zeros(1))
    period = orbits.period(550e3)
    light = sun.light(orbits.propagate(equatorial, np.linspace(0.0, period, 20_001), epoch), epoch)
    assert abs(math.degrees(light.beta_rad[0, 0])) < 2.0
    assert 1.0 - float(light.lit.mean()) == pytest.approx(0.372, abs=0.003)


def test_dawn_dusk_year_at_575_km_is_sunlit_95_3_percent() -> None:
    shares = [sun.dawn_dusk_year(575e3, hour * 3600.0, 2026)[0] for hour in (6, 18)]
    assert np.mean(shares) == pytest.approx(0.953, abs=0.003)  # research-viewer orbital TCO


@pytest.mark.parametrize(
    ("altitude_km", "dark", "longest_min", "days"),
    [(550, 0.049, 21.7, 98), (650, 0.039, 19.7, 88), (800, 0.027, 16.9, 74)],
)
def test_dawn_dusk_eclipses_shorten_with_altitude(altitude_km: int, dark: float, longest_min: float, days: int) -> None:
    # the project's own arithmetic before this code, mean of both nodes
    years = np.array([sun.dawn_dusk_year(altitude_km * 1000.0, hour * 3600.0, 2026) for hour in (6, 18)])
    assert 1.0 - years[:, 0].mean() == pytest.approx(dark, abs=0.001)
    assert years[:, 1].mean() == pytest.approx(days, abs=2.0)
    assert years[:, 2].mean() / 60.0 == pytest.approx(longest_min, abs=0.1)


@pytest.mark.parametrize("hour", [6.0, 18.0])
def test_dawn_dusk_at_700_km_matches_a_spenvis_checked_model(hour: float) -> None:
    # 96.7 % sunlit, 80 eclipse days, longest 18.8 min, cylindrical shadow, 2026
    share, days, longest_s = sun.dawn_dusk_year(700e3, hour * 3600.0, 2026)
    assert share == pytest.approx(0.967, abs=0.005)
    assert days == pytest.approx(80.0, abs=6.0)
    assert longest_s / 60.0 == pytest.approx(18.8, abs=1.0)


def test_the_closed_form_year_agrees_with_propagated_days() -> None:
    epoch = julian_date(datetime(2026, 6, 21, tzinfo=UTC))
    ring = orbits.ring(8, 600e3, 18 * 3600.0, epoch)
    light = sun.light(orbits.propagate(ring, np.arange(0.0, 86400.0, 20.0), epoch), epoch)
    beta = float(np.abs(light.beta_rad).mean())
    assert 1.0 - float(light.lit.mean()) == pytest.approx(float(orbits.eclipse_fraction(600e3, beta)), abs=0.004)


def test_the_space_stations_sunlit_share_on_a_day_of_2024_lies_in_the_scan_of_nodes() -> None:
    # STK 11: 63.9 % over 24 h from 2024-08-22 12:00 UTC, 418 km, 51.64 deg; its node is not given
    epoch = julian_date(datetime(2024, 8, 22, 12, tzinfo=UTC))
    nodes = np.radians(np.arange(0.0, 360.0, 10.0))
    station = orbits.circular(418e3, math.radians(51.64), nodes, np.zeros(36))
    lit = sun.light(orbits.propagate(station, np.arange(0.0, 86400.0, 60.0), epoch), epoch).lit.mean(axis=0)
    assert lit.min() < 0.639 - 0.01
    assert lit.max() > 0.639 + 0.01
    assert np.median(lit) == pytest.approx(0.639, abs=0.02)


def test_day_and_night_split_at_the_horizon() -> None:
    epoch = julian_date(datetime(2026, 3, 20, 12, tzinfo=UTC))
    fixed = sun.to_fixed(sun.position(np.array([epoch])), sun.gmst(np.array([epoch])))
    places = ground.place(np.radians([51.5, 51.5, 0.0]), np.radians([0.0, 180.0, 170.0]))
    assert (ground.sun_elevation(places, fixed)[0] > 0.0).tolist() == [True, False, False]
