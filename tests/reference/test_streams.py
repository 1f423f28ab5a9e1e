"""Streams against a flying imager, hand calculation, and conservation of bits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aether.workloads import streams


def test_an_imager_like_sentinel_2_makes_what_its_agency_says() -> None:
    # ESA SP-1322/2, table 3: 290 km, 12 bits, four bands of 10 m, six of 20 m, three of 60 m; 1.3 Gbit/s before and 490 Mbit/s
    # after compression by 2.9 (60 m bands by a little more)
    speed = 6_660.0  # m/s of the point below a circular orbit at 786 km
    raw = sum(float(streams.imaging_bit_s(290e3, speed, g, 12, n, 1.0)) for g, n in ((10, 4), (20, 6), (60, 3)))
    assert raw == pytest.approx(1.3e9, rel=0.06)
    assert raw / 2.9 == pytest.approx(490e6, rel=0.10)


def test_an_imager_looks_where_the_sun_stands_high_enough() -> None:
    assert streams.looks(np.radians([-20.0, 5.0, 8.0, 60.0]), np.radians(8.0), 0.3).tolist() == [0.0, 0.0, 0.3, 0.3]


def test_what_is_oldest_goes_first() -> None:
    waiting = np.array([[5.0], [3.0], [0.0]])  # five bits came a tick ago, three two ticks ago
    gone = streams.flow(waiting, [2.0], [4.0], 100.0)
    assert gone.taken[:, 0].tolist() == [0.0, 1.0, 3.0]
    assert gone.waiting[:, 0].tolist() == [2.0, 4.0, 0.0]


def test_a_full_recorder_stops_to_record_and_old_data_is_dropped() -> None:
    waiting = np.array([[6.0], [3.0]])
    gone = streams.flow(waiting, [4.0], [1.0], 8.0)
    assert gone.taken[:, 0].tolist() == [0.0, 1.0]  # of what would be too old after this tick
    assert gone.stale.tolist() == [2.0]
    assert gone.full.tolist() == [2.0]  # 4 + 6 in a buffer of 8: the newest is lost
    assert gone.waiting[:, 0].tolist() == [2.0, 6.0]


@settings(max_examples=200)
@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 2**32 - 1), st.floats(0.0, 30.0))
def test_bits_are_conserved_and_never_above_the_buffer(ages: int, sources: int, seed: int, buffer: float) -> None:
    rng = np.random.default_rng(seed)
    waiting, fresh, most = rng.uniform(0, 9, (ages, sources)), rng.uniform(0, 9, sources), rng.uniform(0, 30, sources)
    gone = streams.flow(waiting, fresh, most, buffer)
    after = gone.taken.sum(axis=0) + gone.waiting.sum(axis=0) + gone.full + gone.stale
    assert after == pytest.approx(waiting.sum(axis=0) + fresh)
    assert (gone.waiting.sum(axis=0) <= buffer + 1e-9).all()
    assert (gone.taken.sum(axis=0) <= most + 1e-9).all()
    assert min(part.min() for part in gone) >= 0.0


def test_each_source_goes_to_the_nearest_host_with_room() -> None:
    latency = np.array([[0.01, 0.02, 0.03], [0.01, 0.02, 0.03], [0.01, np.inf, np.inf]])
    asked = np.full((3, 3), 4.0)
    host, gpus = streams.nearest_with_room(latency, np.array([True, True, False]), asked, np.array([5.0, 9.0, 50.0]))
    assert host.tolist() == [0, 1, 0]
    assert gpus.tolist() == [4.0, 4.0, 1.0]  # the third gets what the nearest has left: it reaches no other


def test_without_any_way_nobody_is_asked() -> None:
    host, gpus = streams.nearest_with_room(np.full((1, 2), np.inf), np.ones(2, bool), np.ones((1, 2)), np.ones(2))
    assert (host[0], gpus[0]) == (-1, 0.0)
