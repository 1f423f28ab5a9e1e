"""What holds for any orbit."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from aether.base.tables import Elements
from aether.space import orbits

EPOCH_JD = 2461000.5

shells = st.builds(
    orbits.walker,
    planes=st.integers(1, 5),
    per_plane=st.integers(1, 6),
    altitude_m=st.floats(300e3, 2000e3),
    inclination_rad=st.floats(0.0, 2.5),
    phasing=st.floats(0.0, 4.0),
    eccentricity=st.floats(0.0, 0.02),
)


@settings(max_examples=40, deadline=None)
@given(shell=shells, start_s=st.floats(-1e6, 1e6))
def test_velocity_is_the_rate_of_position(shell: Elements, start_s: float) -> None:
    step = 0.5
    track = orbits.propagate(shell, start_s + np.array([-step, 0.0, step]), EPOCH_JD)
    rate = (track.inertial_m[2] - track.inertial_m[0]) / (2.0 * step)
    # the theory leaves terms of J2 e out of its velocities: 1e-3 x 0.02 x 7.5 km/s
    assert np.abs(rate - track.velocity_m_s[1]).max() < 1.0 + 300.0 * float(shell.eccentricity[0])


@settings(max_examples=40, deadline=None)
@given(shell=shells, start_s=st.floats(-1e6, 1e6))
def test_both_frames_hold_the_same_radius_and_height_over_the_equator(shell: Elements, start_s: float) -> None:
    track = orbits.propagate(shell, start_s + np.arange(3) * 600.0, EPOCH_JD)
    assert np.allclose(np.linalg.norm(track.inertial_m, axis=-1), np.linalg.norm(track.fixed_m, axis=-1), rtol=1e-13)
    assert np.array_equal(track.inertial_m[..., 2], track.fixed_m[..., 2])


@settings(max_examples=30, deadline=None)
@given(shell=shells, split=st.integers(1, 9))
def test_windows_and_the_short_form_give_the_same_places_bit_for_bit(shell: Elements, split: int) -> None:
    time_s = np.arange(10) * 60.0
    whole = orbits.propagate(shell, time_s, EPOCH_JD).fixed_m
    made = orbits.prepare(shell)
    parts = [
        orbits.propagate(made, part, EPOCH_JD, inertial=False).fixed_m for part in (time_s[:split], time_s[split:])
    ]
    assert np.array_equal(whole, np.concatenate(parts))


@settings(max_examples=30, deadline=None)
@given(shell=shells)
def test_the_radius_stays_between_perigee_and_apogee(shell: Elements) -> None:
    track = orbits.propagate(shell, np.linspace(0.0, 6000.0, 50), EPOCH_JD)
    radius = np.linalg.norm(track.inertial_m, axis=-1)
    mean = orbits.mean_altitude(shell) + orbits.EARTH_RADIUS_M
    slack = 12e3 + mean * shell.eccentricity * 1.01  # short and long period: 4.6 and 7.5 km
    assert (np.abs(radius - mean) < slack).all()


@settings(max_examples=30, deadline=None)
@given(altitude_m=st.floats(300e3, 1500e3), beta=st.floats(0.0, 1.5))
def test_a_higher_sun_over_the_plane_never_lengthens_the_eclipse(altitude_m: float, beta: float) -> None:
    fractions = orbits.eclipse_fraction(altitude_m, np.array([0.0, beta / 2.0, beta]))
    assert (np.diff(fractions) <= 1e-12).all()
    assert float(orbits.eclipse_fraction(altitude_m, orbits.critical_beta(altitude_m) + 1e-6)) == 0.0
