"""The Suncatcher cluster (arXiv:2511.19468 section 2.2), as propagated and under an independent integration."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from aether.base.tables import Track
from aether.space import formation, orbits

EPOCH_JD = 2461000.5
ALTITUDE_M = 650e3
INCLINATION = orbits.sun_synchronous_inclination(ALTITUDE_M)
PERIOD_S = orbits.period(ALTITUDE_M)


def cluster_track(start_s: float = 0.0, turns: float = 1.0) -> Track:
    cluster = formation.cluster(81, 1000.0, ALTITUDE_M, INCLINATION, node_rad=1.0, phase_rad=0.4)
    return orbits.propagate(cluster, start_s + np.linspace(0.0, turns * PERIOD_S, int(400 * turns) + 1), EPOCH_JD)


def test_eighty_one_points_fill_a_circle_of_five_spacings() -> None:
    points = formation.lattice(81)
    assert (points**2).sum(axis=1).max() == 25
    assert len({tuple(p) for p in points.tolist()}) == 81
    assert points[0].tolist() == [0, 0]


@pytest.mark.parametrize("day", [0.0, 30.0, 365.0])
def test_eighty_one_satellites_stay_within_a_kilometre_for_a_year(day: float) -> None:
    offsets = formation.offsets(cluster_track(day * 86400.0))
    assert np.linalg.norm(offsets, axis=-1).max() < 1005.0  # R = 1 km; 0.4 % is what the axis' eccentricity adds
    assert np.abs(offsets[..., 2]).max() < 1.0  # planar


def test_members_begin_at_their_lattice_points() -> None:
    offsets = formation.offsets(cluster_track())[0]
    points = formation.lattice(81)
    assert offsets[:, 0] == pytest.approx(100.0 * points[:, 0], abs=1.5)
    assert offsets[:, 1] == pytest.approx(200.0 * points[:, 1], abs=1.5)


def test_neighbours_swing_between_100_and_200_metres() -> None:
    gaps = formation.distances(cluster_track(), formation.neighbours(81))
    assert gaps.min() == pytest.approx(100.0, abs=1.0)
    assert gaps.max() == pytest.approx(200.0, abs=1.0)


def test_the_shape_repeats_twice_an_orbit() -> None:
    gap = formation.distances(cluster_track(turns=3.0), formation.neighbours(81)[:1])[:, 0]
    spectrum = np.abs(np.fft.rfft(gap[:-1] - gap[:-1].mean()))
    assert int(spectrum.argmax()) == 6  # twice in each of three turns


def test_no_two_members_come_close() -> None:
    track = cluster_track()
    first, second = np.triu_indices(81, 1)
    assert formation.distances(track, np.stack([first, second], axis=1)).min() > 99.0


def integrate(states: np.ndarray, time_s: np.ndarray) -> Track:
    """Cowell's method in a field of mu and J2 alone: nothing is shared with the analytic theory."""
    mu, radius, j2 = 3.986008e14, 6378135.0, 1.082616e-3  # WGS-72, as the theory's

    def rates(_: float, flat: np.ndarray) -> np.ndarray:
        y = flat.reshape(-1, 6)
        place = y[:, :3]
        away = np.linalg.norm(place, axis=1, keepdims=True)
        bulge = 1.5 * j2 * (radius / away) ** 2 * (np.array([1.0, 1.0, 3.0]) - 5.0 * (place[:, 2:] / away) ** 2)
        return np.hstack([y[:, 3:], -mu * place / away**3 * (1.0 + bulge)]).ravel()

    found = solve_ivp(
        rates, (0.0, time_s[-1]), states.ravel(), method="DOP853", rtol=1e-11, atol=1e-5, t_eval=time_s
    ).y.reshape(-1, 6, len(time_s))
    place, velocity = found[:, :3].transpose(2, 0, 1), found[:, 3:].transpose(2, 0, 1)
    return Track(time_s, place, velocity, place, np.zeros_like(time_s))


def test_after_one_trim_below_a_millimetre_per_second_j2_leaves_less_drift_than_published() -> None:
    # published: less than 3 m/s a year and kilometre. The outermost members, under an independent integration.
    start = cluster_track()
    members = [0, *range(73, 81)]
    states = np.concatenate([start.inertial_m[0, members], start.velocity_m_s[0, members]], axis=1)
    turns, steps = 30, 40
    time_s = np.arange(turns * steps) * PERIOD_S / steps
    middle_s = time_s.reshape(turns, steps).mean(axis=1)

    def run() -> tuple[np.ndarray, np.ndarray]:
        offsets = formation.offsets(integrate(states, time_s))
        return offsets, offsets[..., 1].reshape(turns, steps, -1).mean(axis=1)

    for _ in range(2):
        trim = np.polyfit(middle_s, run()[1], 1)[0] / 3.0  # an excess of v along the track makes a drift of -3 v
        assert np.abs(trim).max() < 1e-3
        states[:, 3:] += trim[:, None] * states[:, 3:] / np.linalg.norm(states[:, 3:], axis=1, keepdims=True)
    offsets, mean = run()
    push = np.abs(2.0 * np.polyfit(middle_s, mean, 2)[0]).max() / 3.0  # [m/s2] that would hold the rest
    rest = np.abs(np.polyfit(middle_s, mean, 1)[0]).max() / 3.0 / time_s[-1]  # [m/s2] to undo the drift each window
    assert (push + rest) * 365.25 * 86400.0 < 3.0
    assert np.linalg.norm(offsets, axis=-1).max() < 1005.0


def test_a_cluster_scales_with_its_radius() -> None:
    small = formation.cluster(21, 300.0, ALTITUDE_M, INCLINATION)
    track = orbits.propagate(small, np.linspace(0.0, PERIOD_S, 200), EPOCH_JD)
    assert np.linalg.norm(formation.offsets(track), axis=-1).max() == pytest.approx(300.0, rel=0.005)
    assert math.isclose(
        formation.distances(track, formation.neighbours(21)).min(), 300.0 / 2 / math.sqrt(5), rel_tol=0.01
    )
