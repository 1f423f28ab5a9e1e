"""Places and what they see, against surveyed numbers, astropy and plain geometry."""

from __future__ import annotations

import math

import numpy as np
import pytest

from aether.space import ground, orbits, sun, visibility

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


def plain_list(places: np.ndarray, satellites: np.ndarray, lowest_rad: float, most_m: float) -> list[list[int]]:
    """What `visible` should find, pair by pair: from south to north, ties by number."""
    slant = np.linalg.norm(satellites[None] - places[:, None], axis=-1)
    seen = (ground.elevation(places, satellites) >= lowest_rad) & (slant <= most_m)
    northward = np.argsort(satellites[:, 2], kind="stable")
    return [northward[row[northward]].tolist() for row in seen]


@pytest.mark.parametrize("lowest_deg", [-5.0, 0.0, 25.0, 80.0])
@pytest.mark.parametrize("most_m", [math.inf, 1.5e6])
@pytest.mark.parametrize(("count", "high"), [(3_000, 0.1), (3_000, 0.0), (40, 0.0), (7, 0.0)])
def test_the_search_by_cells_equals_every_pair_by_itself(
    lowest_deg: float, most_m: float, count: int, high: float
) -> None:
    draw = np.random.default_rng(3)
    east = np.concatenate([draw.uniform(-np.pi, np.pi, 60), [0.0, np.pi, -np.pi, 1e-9, -1e-9, np.pi / 2, 0.0, 0.0]])
    north = np.concatenate([np.arcsin(draw.uniform(-1, 1, 60)), np.zeros(6), [np.pi / 2, -np.pi / 2]])
    places = ground.place(north, east)
    spread = draw.normal(size=(count, 3))
    radius = np.where(draw.random(count) >= high, 6.9e6, draw.uniform(6.6e6, 4.2e7, count))
    satellites = spread / np.linalg.norm(spread, axis=1, keepdims=True) * radius[:, None]
    satellites[:3] = [[0.0, 0.0, 6.9e6], [0.0, 0.0, -6.9e6], [6.9e6, 0.0, 0.0]]  # over the poles, on the meridian
    satellites[count // 2 : count // 2 + count // 10] = satellites[count // 2]  # many that tie
    found = ground.visible(places, satellites, np.radians(lowest_deg), most_m)
    rows = [found.satellite[a:b].tolist() for a, b in zip(found.start[:-1], found.start[1:], strict=True)]
    assert rows == plain_list(places, satellites, np.radians(lowest_deg), most_m)
    owner = np.repeat(np.arange(len(places)), np.diff(found.start))
    slant = np.linalg.norm(satellites[found.satellite] - places[owner], axis=1)
    assert np.abs(found.slant_m - slant).max(initial=0.0) < 1e-6


def test_satellites_all_equally_far_north_come_by_number() -> None:
    around = np.linspace(0.0, 2 * np.pi, 500, endpoint=False)[np.random.default_rng(0).permutation(500)]
    equator = 4.2164e7 * np.stack([np.cos(around), np.sin(around), np.zeros(500)], axis=1)
    found = ground.visible(ground.place(np.zeros(2), np.array([0.0, 3.0])), equator, 0.0)
    for a, b in zip(found.start[:-1], found.start[1:], strict=True):
        assert b > a
        assert (np.diff(found.satellite[a:b]) > 0).all()


def test_threads_and_things_made_ready_change_no_bit() -> None:
    spread = np.random.default_rng(5).normal(size=(2_000, 3))
    satellites = 6.9e6 * spread / np.linalg.norm(spread, axis=1, keepdims=True)
    satellites[7] = np.nan
    places = ground.place(np.linspace(-1.5, 1.5, 301), np.linspace(-9.0, 9.0, 301))
    plain = ground.visible(places, satellites, 0.4)
    ready, above = ground.horizon(places, 0.4), visibility.sky(satellites)
    kept, short = np.empty(2 * plain.satellite.size, np.int64), np.empty(9, np.int64)
    for other in (
        ground.visible(places, satellites, 0.4, threads=3),
        visibility.seen(ready, above),
        visibility.seen(ready, above, out=kept),
        visibility.seen(ready, above, out=short),
    ):
        assert (other.start == plain.start).all()
        assert (other.satellite == plain.satellite).all()
        assert (other.slant_m == plain.slant_m).all()
    assert (kept[: plain.satellite.size] == plain.satellite).all()


def test_the_least_time_is_that_of_the_list() -> None:
    rng = np.random.default_rng(5)
    satellites = rng.normal(size=(400, 3))
    satellites *= rng.uniform(6.9e6, 8.4e6, 400)[:, None] / np.linalg.norm(satellites, axis=1)[:, None]
    satellites[7] = np.nan
    horizon = ground.horizon(ground.place(rng.uniform(-1.5, 1.5, 60), rng.uniform(-3.0, 3.0, 60)), 0.3)
    time_s = rng.exponential(0.05, 400).astype(np.float32)
    time_s[rng.random(400) < 0.2] = np.inf
    for sky in (visibility.sky(satellites), visibility.sky(satellites[:0])):
        seen = visibility.seen(horizon, sky, 3e6)
        by_list = np.full(60, np.inf, np.float32)
        for g in range(60):
            row = slice(seen.start[g], seen.start[g + 1])
            via = (seen.slant_m[row] / 299_792_458.0).astype(np.float32) + time_s[seen.satellite[row]]
            by_list[g] = via.min(initial=np.inf)
        assert (visibility.least(horizon, sky, time_s, 299_792_458.0, 3e6) == by_list).all()
        assert np.isfinite(by_list).any() == bool(len(seen.satellite))


def test_verticals_made_without_angles_are_the_geodetic_ones() -> None:
    places = ground.place(
        np.linspace(-np.pi / 2, np.pi / 2, 101), np.linspace(-4.0, 4.0, 101), np.linspace(-400.0, 9e3, 101)
    )
    assert np.abs(ground.horizon(places, 0.0).vertical - ground.up(places)).max() < 1e-15


def test_no_cell_is_gone_through_twice() -> None:
    draw = np.random.default_rng(8)
    for bands in (1, 2, 3, 8):
        start, run = np.arange(visibility._PARTS * bands**2 + 1), np.empty((2 * bands, 2), dtype=np.int64)
        for _ in range(2_000):
            place = draw.normal(size=3) * [1.0, 1.0, draw.choice([0.1, 1.0, 5.0])]  # some near a pole
            found = visibility._runs(6.4e6 * place, np.cos(draw.uniform(0.01, 3.1)), bands, start, run)
            cells = np.concatenate([np.arange(a, b) for a, b in run[:found]] or [np.empty(0, int)])
            assert np.unique(cells).size == cells.size
