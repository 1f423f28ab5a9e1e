"""Places and what they see, against surveyed numbers, astropy and plain geometry."""

from __future__ import annotations

import math

import numpy as np
import pytest

from aether.space import ground, orbits, sun

# astropy 8.0.2: get_sun at Julian date, AltAz without refraction, elevation in degrees
ELEVATIONS = [
    (51.5074, -0.1278, 2461213.0, 61.92569),
    (1.3521, 103.8198, 2461119.6041666665, 49.40381),
    (-1.2921, 36.8219, 2461350.125, 4.27072),
    (69.6492, 18.9553, 2461395.9583333335, -3.14347),
]
LONDON = (3977994.2738, -8873.0534, 4968874.9373)  # astropy 8.0.2, EarthLocation on WGS-84


def test_a_place_matches_its_published_coordinates() -> None:
    # Vallado, Fundamentals of Astrodynamics, example 3-3: 34.352496 deg, 46.4464 deg, 5085.22 km
    fixed = ground.place(np.radians(34.352496), np.radians(46.4464), 5_085_220.0)
    assert fixed == pytest.approx(
        [6_524_834.0, 6_862_875.0, 6_448_296.0], abs=15.0
    )  # its digits: 4 of longitude, 10 m of height
    assert ground.place(0.0, 0.0) == pytest.approx([6_378_137.0, 0.0, 0.0])
    assert ground.place(np.pi / 2, 0.0)[2] == pytest.approx(6_356_752.3142, abs=1e-3)


def test_london_matches_astropys_location() -> None:
    x, y, z = LONDON
    assert ground.place(np.radians(51.5074), np.radians(-0.1278)) == pytest.approx([x, y, z], abs=1e-3)


def test_the_great_circle_from_new_york_to_london_is_5570_km() -> None:
    # 5,570 km: Hibernia Express; spherical distance of the two city centres
    found = float(ground.great_circle(*np.radians([40.7128, -74.0060, 51.5074, -0.1278])))
    assert found == pytest.approx(5_570e3, abs=2e3)


def test_a_quarter_of_the_sphere_is_10_007_5_km() -> None:
    assert float(ground.great_circle(0.0, 0.0, np.pi / 2, 1.0)) == pytest.approx(10_007.56e3, abs=10.0)


def test_the_suns_elevation_matches_astropy() -> None:
    for latitude, longitude, julian, elevation_deg in ELEVATIONS:
        when = np.array([julian])
        fixed = sun.to_fixed(sun.position(when), sun.gmst(when))
        place = ground.place(np.radians([latitude]), np.radians([longitude]))
        # 0.01 degrees: nutation in sidereal time, UT1 - UTC, the Sun's parallax and diurnal aberration
        assert math.degrees(ground.sun_elevation(place, fixed)[0, 0]) == pytest.approx(elevation_deg, abs=0.01)


def test_solar_noon_is_when_the_sun_is_on_the_meridian() -> None:
    # equation of time of 2026-11-03, +16.4 min (the year's largest): clocks at Greenwich show 11:43:36 at solar noon
    when = np.array([2461347.5 + (12.0 - 16.4 / 60.0) / 24.0])
    fixed = sun.to_fixed(sun.position(when), sun.gmst(when))
    hours = ground.solar_time(ground.place(np.radians([51.48]), np.array([0.0])), fixed)[0, 0] / 3600.0
    assert hours == pytest.approx(12.0, abs=0.01)


def test_a_satellite_at_25_degrees_is_1123_km_away() -> None:
    # closed form on the equator, where the vertical points to the Earth's centre
    place = ground.place(np.zeros(1), np.zeros(1))
    level = math.radians(25.0)
    angle = math.acos(orbits.EARTH_RADIUS_M * math.cos(level) / (orbits.EARTH_RADIUS_M + 550e3)) - level
    satellite = (orbits.EARTH_RADIUS_M + 550e3) * np.array([[math.cos(angle), math.sin(angle), 0.0]])
    assert ground.elevation(place, satellite)[0, 0] == pytest.approx(level, abs=1e-12)
    seen = ground.visible(place, satellite, level - 1e-9)
    assert seen.slant_m == pytest.approx([1_123.4e3], abs=100.0)
    assert len(ground.visible(place, satellite, level + 1e-9).satellite) == 0
    assert len(ground.visible(place, satellite, level - 1e-9, max_slant_m=1_089.7e3).satellite) == 0


def test_the_point_under_a_satellite_sees_it_overhead() -> None:
    track = orbits.propagate(orbits.walker(3, 4, 550e3, 1.4), np.array([100.0]), 2461000.5)
    latitude, longitude = ground.subpoint(track.fixed_m[0])
    below = ground.place(latitude, longitude)
    assert np.diag(ground.elevation(below, track.fixed_m[0])) == pytest.approx(np.full(12, math.pi / 2), abs=1e-6)


def test_lost_satellites_and_empty_skies_are_seen_by_no_one() -> None:
    places = ground.place(np.radians([10.0, -40.0]), np.radians([0.0, 20.0]))
    lost = np.full((5, 3), np.nan)
    assert ground.visible(places, lost, 0.1).start.tolist() == [0, 0, 0]
    assert ground.visible(places, np.zeros((0, 3)), 0.1).start.tolist() == [0, 0, 0]
