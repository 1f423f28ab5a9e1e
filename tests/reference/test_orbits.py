"""Orbits against closed forms with published numbers, and against python-sgp4."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sgp4.api import WGS72, Satrec

from aether.base.tables import Elements
from aether.space import elements as element_sets
from aether.space import orbits
from aether.space.sun import gmst

EPOCH_JD = 2461000.5  # 2025-11-21T00:00 UTC
SGP4_EPOCH_JD = 2433281.5  # 1949-12-31, from which python-sgp4 counts days

# Element sets that SGP4's authors publish as test cases (Vallado et al. 2006, SGP4-VER.TLE): near-Earth, with drag,
# one of each kind that the theory treats apart: plain, eccentric, low perigee, retrograde, nearly round.
PUBLISHED = """\
VANGUARD 1
1 00005U 58002B   00179.78495062  .00000023  00000-0  28098-4 0  4753
2 00005  34.2682 348.7242 1859667 331.7664  19.3264 10.82419157413667
DELTA 1 DEB
1 06251U 62025E   06176.82412014  .00008885  00000-0  12808-3 0  3985
2 06251  58.0579  54.0425 0030035 139.1568 221.1854 15.56387291  6774
CBERS 2
1 28057U 03049A   06177.78615833  .00000060  00000-0  35940-4 0  1836
2 28057  98.4283 247.6961 0000884  88.1964 271.9322 14.35478080140550
"""


def reference_tracks(elements: Elements, time_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions [m] and velocities [m/s] by python-sgp4, (T, S, 3)."""
    places, velocities = [], []
    for i in range(len(elements.epoch_s)):
        satellite = Satrec()
        satellite.sgp4init(
            WGS72, "i", i, EPOCH_JD - SGP4_EPOCH_JD + elements.epoch_s[i] / 86400.0, elements.bstar[i], 0.0, 0.0,
            elements.eccentricity[i], elements.perigee_rad[i], elements.inclination_rad[i],
            elements.mean_anomaly_rad[i], elements.mean_motion_rad_s[i] * 60.0, elements.node_rad[i],
        )  # fmt: skip
        states = [satellite.sgp4_tsince(t / 60.0) for t in time_s - elements.epoch_s[i]]
        assert all(error == 0 for error, _, _ in states)
        places.append([r for _, r, _ in states])
        velocities.append([v for _, _, v in states])
    return np.array(places).swapaxes(0, 1) * 1000.0, np.array(velocities).swapaxes(0, 1) * 1000.0


def test_geometry_at_550_km_matches_published_figures() -> None:
    # closed form with R 6378.137 km, mu 398600.4418 km3/s2, J2 1.08262668e-3
    altitude = 550e3
    assert orbits.period(altitude) / 60.0 == pytest.approx(95.650, rel=1e-4)
    assert math.degrees(orbits.node_drift(altitude, math.radians(53.0))) * 86400.0 == pytest.approx(-4.489, rel=1e-3)
    assert math.degrees(orbits.sun_synchronous_inclination(altitude)) == pytest.approx(97.593, abs=1e-3)
    assert math.degrees(orbits.critical_beta(altitude)) == pytest.approx(67.02, abs=0.01)
    assert orbits.slant_range(altitude, math.radians(25.0)) == pytest.approx(1_123.4e3, abs=100.0)
    assert orbits.chord(altitude, 22) == pytest.approx(1_972.0e3, abs=100.0)


def test_eclipse_at_550_km_and_beta_zero_matches_geometry() -> None:
    assert float(orbits.eclipse_fraction(550e3)) == pytest.approx(0.372, abs=0.0005)
    assert orbits.eclipse_longest(550e3) / 60.0 == pytest.approx(35.6, abs=0.05)
    assert float(orbits.eclipse_fraction(550e3, math.radians(67.1))) == 0.0


def test_sun_synchronous_orbits_end_below_six_thousand_kilometres() -> None:
    assert math.degrees(orbits.sun_synchronous_inclination(650e3)) == pytest.approx(97.99, abs=0.01)  # textbook value
    assert math.isnan(orbits.sun_synchronous_inclination(6_000e3))


@pytest.mark.parametrize(
    ("altitude_km", "inclination_deg"), [(550.0, 53.0), (600.0, 97.8), (1200.0, 87.9), (300.0, 30.0)]
)
def test_drag_free_shells_agree_with_sgp4_over_a_day(altitude_km: float, inclination_deg: float) -> None:
    shell = orbits.walker(
        3, 4, altitude_km * 1000.0, math.radians(inclination_deg), phasing=1.0, eccentricity=1e-4, epoch_s=-500.0
    )
    time_s = np.arange(0.0, 86400.0, 1234.5)
    track = orbits.propagate(shell, time_s, EPOCH_JD)
    place, velocity = reference_tracks(shell, time_s)
    assert np.abs(track.inertial_m - place).max() < 1e-3
    assert np.abs(track.velocity_m_s - velocity).max() < 1e-6


def test_a_perfectly_round_orbit_differs_from_sgp4_only_by_the_eccentricity_it_forces() -> None:
    # sgp4 never lets the mean eccentricity fall below 1e-6, which moves a satellite by 2 a e = 14 m
    shell = orbits.walker(1, 6, 550e3, math.radians(53.0))
    time_s = np.arange(0.0, 86400.0, 1234.5)
    place, _ = reference_tracks(shell, time_s)
    assert np.linalg.norm(orbits.propagate(shell, time_s, EPOCH_JD).inertial_m - place, axis=-1).max() < 14.5


def test_published_element_sets_with_drag_agree_with_sgp4_over_a_day() -> None:
    lines = PUBLISHED.splitlines()
    for index in range(0, len(lines), 3):
        satellite = Satrec.twoline2rv(lines[index + 1], lines[index + 2])
        epoch_jd = satellite.jdsatepoch + satellite.jdsatepochF
        found = element_sets.read("\n".join(lines[index : index + 3]), epoch_jd)
        time_s = np.arange(-86400.0, 86401.0, 900.0)
        track = orbits.propagate(found.elements, time_s, epoch_jd)
        states = [satellite.sgp4_tsince((t - found.elements.epoch_s[0]) / 60.0) for t in time_s]
        assert np.abs(track.inertial_m[:, 0] - 1000.0 * np.array([s[1] for s in states])).max() < 1e-3
        assert np.abs(track.velocity_m_s[:, 0] - 1000.0 * np.array([s[2] for s in states])).max() < 1e-6


@pytest.mark.parametrize(
    ("altitude_km", "eccentricity", "bstar"), [(350.0, 1e-3, 0.03), (300.0, 2e-5, 0.01), (190.0, 1e-3, 1e-3)]
)
def test_heavy_drag_agrees_with_sgp4_over_a_day(altitude_km: float, eccentricity: float, bstar: float) -> None:
    # all powers of time matter here; the second lies below the bound of the terms in 1/e, the third in the simple regime
    shell = orbits.walker(2, 3, altitude_km * 1000.0, math.radians(53.0), phasing=1.0, eccentricity=eccentricity)
    shell = Elements(**{**{n: getattr(shell, n) for n in Elements.__dataclass_fields__}, "bstar": np.full(6, bstar)})
    time_s = np.arange(0.0, 86400.0, 1234.5)
    place, velocity = reference_tracks(shell, time_s)
    track = orbits.propagate(shell, time_s, EPOCH_JD)
    assert np.abs(track.inertial_m - place).max() < 1e-3
    assert np.abs(track.velocity_m_s - velocity).max() < 1e-6


def test_drag_lowers_a_satellite_and_brings_it_ahead() -> None:
    shell = orbits.walker(1, 1, 400e3, math.radians(53.0), eccentricity=1e-4)
    dragged = Elements(**{**{n: getattr(shell, n) for n in Elements.__dataclass_fields__}, "bstar": np.array([1e-3])})
    time_s = np.array([5 * 86400.0])
    free, slowed = (orbits.propagate(e, time_s, EPOCH_JD) for e in (shell, dragged))
    along = free.velocity_m_s[0, 0] / np.linalg.norm(free.velocity_m_s[0, 0])
    assert np.linalg.norm(slowed.velocity_m_s[0, 0]) > np.linalg.norm(free.velocity_m_s[0, 0])
    assert (slowed.inertial_m[0, 0] - free.inertial_m[0, 0]) @ along > 10e3


def test_a_decayed_satellite_is_not_a_number() -> None:
    shell = orbits.walker(1, 1, 200e3, math.radians(53.0), eccentricity=1e-4)
    lost = Elements(**{**{n: getattr(shell, n) for n in Elements.__dataclass_fields__}, "bstar": np.array([0.05])})
    assert np.isnan(orbits.propagate(lost, np.array([30 * 86400.0]), EPOCH_JD).fixed_m).all()


@pytest.mark.parametrize("inclination_deg", [0.0, 53.0, 90.0, 97.6])
def test_the_mean_radius_of_a_shell_is_its_altitude(inclination_deg: float) -> None:
    shell = orbits.circular(550e3, math.radians(inclination_deg), np.zeros(1), np.zeros(1))
    time_s = np.linspace(0.0, 100 * orbits.period(550e3), 20_001)
    radius = np.linalg.norm(orbits.propagate(shell, time_s, EPOCH_JD).inertial_m, axis=-1)
    assert radius.mean() - orbits.EARTH_RADIUS_M == pytest.approx(550e3, abs=30.0)
    assert float(orbits.mean_altitude(shell)[0]) == pytest.approx(550e3, abs=0.01)


def test_walker_phasing_shifts_the_next_plane_by_f_over_the_total() -> None:
    shell = orbits.walker(6, 11, 780e3, math.radians(86.4), phasing=2.0, raan_spread_rad=math.pi)
    second = np.flatnonzero(shell.plane == 1)[0]
    assert shell.mean_anomaly_rad[second] == pytest.approx(2.0 * math.pi * 2.0 / 66.0)
    assert shell.node_rad[second] == pytest.approx(math.pi / 6.0)


def test_hypatias_convention_shifts_odd_planes_by_half_a_slot() -> None:
    shell = orbits.walker(72, 22, 550e3, math.radians(53.0), odd_plane_offset=0.5)
    first = shell.mean_anomaly_rad[shell.slot == 0]
    assert first[::2] == pytest.approx(np.zeros(36))
    assert first[1::2] == pytest.approx(np.full(36, math.pi / 22.0))


@pytest.mark.parametrize("local_time_h", [6.0, 18.0])
def test_a_ring_keeps_the_local_time_of_its_node_for_a_year(local_time_h: float) -> None:
    ring = orbits.ring(2, 600e3, local_time_h * 3600.0, EPOCH_JD + 0.3)
    days = np.array([0.0, 91.0, 200.0, 365.0])
    track = orbits.propagate(ring, days * 86400.0, EPOCH_JD + 0.3)
    normal = np.cross(track.inertial_m[:, 0], track.velocity_m_s[:, 0])
    node = np.arctan2(normal[:, 0], -normal[:, 1])
    julian = EPOCH_JD + 0.3 + days
    mean_sun = gmst(julian) - 2.0 * math.pi * (julian % 1.0)
    local = np.mod((node - mean_sun) / (2.0 * math.pi) * 24.0 + 12.0, 24.0)
    assert local == pytest.approx(np.full(4, local_time_h), abs=0.01)  # 36 s; the short-period node is 0.003 h


def test_the_earth_fixed_frame_is_turned_by_sidereal_time() -> None:
    # IAU 1982 value of astropy 8.0.2 for 2026-09-20T03:36 UT1
    assert float(gmst(np.array([2461303.65]))[0]) == pytest.approx(0.9258677950444821, abs=1e-9)
    track = orbits.propagate(orbits.walker(1, 1, 550e3, 1.0), np.array([0.0, 100.0]), EPOCH_JD)
    inertial = np.arctan2(track.inertial_m[:, 0, 1], track.inertial_m[:, 0, 0])
    fixed = np.arctan2(track.fixed_m[:, 0, 1], track.fixed_m[:, 0, 0])
    assert np.mod(inertial - fixed, 2 * math.pi) == pytest.approx(track.gmst_rad, abs=1e-12)
    assert track.gmst_rad[1] - track.gmst_rad[0] == pytest.approx(
        100.0 * 7.292115855e-5, rel=1e-7
    )  # GMST rate, IAU 1982
