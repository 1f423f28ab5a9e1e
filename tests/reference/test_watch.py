"""Degradation by hand, and the watch on signals of known change."""

import numpy as np
import pytest

from aether.base.tables import Outage
from aether.operations import degradation, watch
from aether.operations.degradation import Degradation

TIME_S = np.arange(0.0, 36_000.0, 60.0)


def test_a_part_loses_evenly_and_a_rested_pump_is_mended() -> None:
    found = [Degradation(1, "pump", 6000.0, 6000.0, 0.5, False), Degradation(0, "cells", 12_000.0, 0.0, 0.2, False)]
    left = degradation.health(found, [], 3, TIME_S)
    assert left.loop[TIME_S == 9000.0, 1] == pytest.approx(0.75)  # half of its loss
    assert left.loop[-1, 1] == pytest.approx(0.5)
    assert left.array[TIME_S == 12_000.0, 0] == pytest.approx(0.8)
    assert (left.battery == 1.0).all()
    rested = degradation.health(found, [Outage("ship", 1, 8000.0, 15_000.0)], 3, TIME_S)
    assert rested.loop[-1, 1] == 1.0


def test_cells_are_not_mended_by_rest() -> None:
    found = [Degradation(0, "cells", 6000.0, 0.0, 0.2, False)]
    left = degradation.health(found, [Outage("ship", 0, 8000.0, 9000.0)], 1, TIME_S)
    assert left.array[-1, 0] == pytest.approx(0.8)


def test_a_ship_breaks_unless_it_was_drained_in_time() -> None:
    found = [Degradation(0, "pump", 6000.0, 6000.0, 0.5, True)]
    assert [o.start_s for o in degradation.breakdowns(found, [], 36_000.0)] == [12_000.0]
    assert degradation.breakdowns(found, [Outage("ship", 0, 9000.0, 16_000.0)], 36_000.0) == []
    assert len(degradation.breakdowns(found, [Outage("ship", 0, 13_000.0, 16_000.0)], 36_000.0)) == 1


def signs(shift: float, at: int, ships: int = 1, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    made = rng.standard_normal((3, len(TIME_S), ships))
    made[0, at:, 0] += shift
    return made


def test_a_step_of_five_deviations_is_found_within_minutes() -> None:
    found = watch.alarms(signs(-5.0, 300), TIME_S)
    assert [(a.ship, a.part) for a in found] == [(0, "array")]
    assert 0.0 <= found[0].time_s - TIME_S[300] <= 600.0


def test_a_smaller_change_takes_longer() -> None:
    small, large = (watch.alarms(signs(-s, 300), TIME_S)[0].time_s for s in (1.5, 6.0))
    assert small > large


def test_noise_alone_hardly_ever_calls() -> None:
    # 200 ships, three signs of ten hours each: a false alarm on one of a hundred ships at most
    rng = np.random.default_rng(3)
    assert len(watch.alarms(rng.standard_normal((3, len(TIME_S), 200)), TIME_S)) <= 2


def test_the_score_by_hand() -> None:
    found = [watch.Alarm(0, "array", 500.0), watch.Alarm(1, "loop", 100.0), watch.Alarm(7, "loop", 900.0)]
    told = watch.score(found, [0, 1, 2, 3], [400.0, 400.0, 400.0, 400.0], np.array([True, True, True, False]))
    assert told.precision == pytest.approx(1 / 3)  # ship 1 called before its part began, ship 7 never degraded
    assert told.recall == pytest.approx(1 / 3)
    assert (told.delays_s, told.false) == ((100.0,), 2)


def test_signs_are_in_deviations_of_their_noise() -> None:
    flat = np.ones((50, 1))
    made = watch.indicators(
        0.95 * 1000 * flat, 1000 * flat, 310 * flat, 300 * flat, 5000 * flat, np.array([6000.0]), np.array([400.0]), np.cumsum(0.01 * flat, axis=0),
        0.01 * 1e6 * flat * 0.5, np.array([1e6]), np.array([0.01, 0.03, 0.03]), np.zeros((3, 50, 1)),
    )  # fmt: skip
    assert made[0, -1, 0] == pytest.approx(-5.0)
    assert made[1, -1, 0] == pytest.approx(np.log(400 * 10 / 5000) / 0.03)
    assert made[2, -1, 0] == pytest.approx(np.log(2.0) / 0.03)
