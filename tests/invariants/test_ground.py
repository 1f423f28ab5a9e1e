"""What holds for any place and any sky."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from aether.space import ground, orbits

latitudes = st.floats(-math.pi / 2, math.pi / 2)
longitudes = st.floats(-math.pi + 1e-9, math.pi)


@settings(max_examples=200, deadline=None)
@given(latitude=latitudes, longitude=longitudes, height_m=st.floats(-1e4, 2.5e6))
def test_geodetic_coordinates_are_the_inverse_of_places(latitude: float, longitude: float, height_m: float) -> None:
    again = ground.geodetic(ground.place(np.array(latitude), np.array(longitude), np.array(height_m)))
    assert abs(float(again[0]) - latitude) < 1e-12
    assert abs(math.remainder(float(again[1]) - longitude, 2 * math.pi)) * math.cos(latitude) < 1e-12
    assert abs(float(again[2]) - height_m) < 1e-6


@settings(max_examples=100, deadline=None)
@given(a=st.tuples(latitudes, longitudes), b=st.tuples(latitudes, longitudes), c=st.tuples(latitudes, longitudes))
def test_no_way_round_is_shorter_than_the_great_circle(
    a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]
) -> None:
    direct = float(ground.great_circle(*a, *c))
    assert direct <= float(ground.great_circle(*a, *b)) + float(ground.great_circle(*b, *c)) + 1e-3
    assert abs(direct - float(ground.great_circle(*c, *a))) < 1e-6
    assert direct <= math.pi * ground.MEAN_RADIUS_M + 1e-6


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    lowest_deg=st.floats(-5.0, 80.0),
    altitude_m=st.floats(300e3, 2000e3),
    max_slant_m=st.one_of(st.just(math.inf), st.floats(4e5, 3e6)),
)
def test_the_search_finds_just_what_every_pair_by_itself_says(
    seed: int, lowest_deg: float, altitude_m: float, max_slant_m: float
) -> None:
    random = np.random.default_rng(seed)
    places = ground.place(
        np.arcsin(random.uniform(-1, 1, 20)), random.uniform(-3.14, 3.14, 20), random.uniform(0, 4e3, 20)
    )
    shell = orbits.walker(9, 12, altitude_m, math.radians(random.uniform(20.0, 100.0)))
    shell = orbits.join(shell, orbits.walker(5, 8, 1800e3, 1.0))  # two heights: the low ones may hide within reach
    sky = orbits.propagate(shell, np.array([float(seed % 86400)]), 2461000.5, inertial=False).fixed_m[0]
    lowest = np.radians(lowest_deg) + random.uniform(0.0, 0.05, 20)
    seen = ground.visible(places, sky, lowest, max_slant_m)
    slant = np.linalg.norm(sky[None] - places[:, None], axis=-1)
    wanted = (ground.elevation(places, sky) >= lowest[:, None]) & (slant <= max_slant_m)
    found = np.zeros_like(wanted)
    owner = np.repeat(np.arange(20), np.diff(seen.start))
    found[owner, seen.satellite] = True
    assert np.array_equal(found, wanted)
    assert len(seen.satellite) == wanted.sum()
    assert np.allclose(seen.slant_m, slant[owner, seen.satellite], rtol=1e-12)


@settings(max_examples=30, deadline=None)
@given(latitude=latitudes, longitude=longitudes, turn=st.floats(0.0, 6.28))
def test_solar_time_advances_an_hour_for_fifteen_degrees_east(latitude: float, longitude: float, turn: float) -> None:
    sun = np.array([[1.5e11 * math.cos(turn), 1.5e11 * math.sin(turn), 3e10]])
    here, east = (
        ground.place(np.array([latitude * 0.99]), np.array([longitude + d])) for d in (0.0, math.radians(15.0))
    )
    difference = ground.solar_time(east, sun) - ground.solar_time(here, sun)
    assert abs((float(difference[0, 0]) - 3600.0 + 43200.0) % 86400.0 - 43200.0) < 1e-3
