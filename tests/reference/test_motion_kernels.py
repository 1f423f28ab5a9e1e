"""The quick ways through the sky against plain ones: a twin in floats, python-sgp4, and the shadow by angles."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sgp4.api import WGS72, Satrec

import motion_twin
from aether.base.tables import Elements
from aether.space import motion, orbits, sun

EPOCH_JD = 2461000.5  # 2025-11-21T00:00 UTC
DAY_S = 86400.0


def shell(eccentricity: float, altitude_m: float = 700e3, inclination_deg: float = 53.0) -> Elements:
    """Thirty-three satellites, so that the last run of eight is not full, with epochs off zero."""
    made = orbits.walker(
        3, 11, altitude_m, math.radians(inclination_deg), 1.0, eccentricity=eccentricity, epoch_s=-700.0
    )
    turned = {"perigee_rad": np.linspace(0.0, 6.0, 33)}
    return Elements(**{**{n: getattr(made, n) for n in Elements.__dataclass_fields__}, **turned})


def starts(elements: Elements) -> list[tuple[float, ...]]:
    """The twin's constants of every satellite."""
    names = ("epoch_s", "mean_motion_rad_s", "eccentricity", "inclination_rad", "node_rad", "perigee_rad")
    columns = [getattr(elements, n) for n in (*names, "mean_anomaly_rad")]
    return [motion_twin.start(*map(float, row)) for row in zip(*columns, strict=True)]


def sine_cosine(angle: float) -> tuple[float, float]:
    return math.sin(angle), math.cos(angle)


@pytest.mark.parametrize(("day", "within_m"), [(1.0, 1e-5), (365.0, 3e-4)])
@pytest.mark.parametrize("eccentricity", [0.0, 1e-4, 3e-3, 0.0135, 0.0145, 0.09])  # the series end at 0.0141
def test_positions_agree_with_the_plain_theory(eccentricity: float, day: float, within_m: float) -> None:
    elements = shell(eccentricity, altitude_m=700e3 if eccentricity < 0.05 else 1500e3)
    time_s = day * DAY_S + np.arange(8) * 700.0
    found = motion.positions(motion.prepare(elements), time_s, EPOCH_JD)
    angle = sun.gmst_at(EPOCH_JD, time_s)
    plain = [
        [motion_twin.place(s, float(t), float(g), sine_cosine) for s in starts(elements)]
        for t, g in zip(time_s, angle, strict=True)
    ]
    assert np.linalg.norm(found - np.array(plain), axis=-1).max() < within_m


@pytest.mark.parametrize(("day", "within_m"), [(1.0, 2e-6), (365.0, 3e-4)])
def test_positions_on_circles_agree_with_plain_ones(day: float, within_m: float) -> None:
    elements = shell(0.0)
    time_s = day * DAY_S + np.arange(8) * 700.0
    found = motion.positions(motion.prepare(elements), time_s, EPOCH_JD, "j2")
    angle = sun.gmst_at(EPOCH_JD, time_s)
    plain = [
        [motion_twin.circle(s, float(t), float(g)) for s in starts(elements)]
        for t, g in zip(time_s, angle, strict=True)
    ]
    assert np.linalg.norm(found - np.array(plain), axis=-1).max() < within_m


@pytest.mark.parametrize("day", [1.0, 365.0])
@pytest.mark.parametrize("inclination_deg", [30.0, 53.0, 97.6])
def test_circles_stay_within_25_km_of_the_theory_for_a_year(inclination_deg: float, day: float) -> None:
    # what is left out: the forced eccentricity a J3 / (2 J2) sin i, 8 km and twice that along, and J2's own ripple
    ready = motion.prepare(orbits.walker(3, 11, 550e3, math.radians(inclination_deg)))
    time_s = day * DAY_S + np.arange(0.0, 6000.0, 60.0)
    off = motion.positions(ready, time_s, EPOCH_JD, "j2") - motion.positions(ready, time_s, EPOCH_JD)
    assert 1e3 < np.linalg.norm(off, axis=-1).max() < 25e3


@pytest.mark.parametrize("day", [1.0, 365.0])
def test_positions_stay_with_sgp4_for_a_year(day: float) -> None:
    elements = shell(1e-3)
    time_s = day * DAY_S + np.arange(4) * 700.0
    angle = sun.gmst_at(EPOCH_JD, time_s)
    expected = []
    for i in range(len(elements.epoch_s)):
        one = Satrec()
        one.sgp4init(
            WGS72, "i", i, EPOCH_JD - 2433281.5 + elements.epoch_s[i] / DAY_S, 0.0, 0.0, 0.0, elements.eccentricity[i],
            elements.perigee_rad[i], elements.inclination_rad[i], elements.mean_anomaly_rad[i],
            elements.mean_motion_rad_s[i] * 60.0, elements.node_rad[i],
        )  # fmt: skip
        expected.append([one.sgp4_tsince((t - elements.epoch_s[i]) / 60.0)[1] for t in time_s])
    inertial = np.array(expected).swapaxes(0, 1) * 1000.0
    off = motion.positions(motion.prepare(elements), time_s, EPOCH_JD) - sun.to_fixed(inertial, angle)
    assert np.linalg.norm(off, axis=-1).max() < 1e-3


def by_angles(place: np.ndarray, sun_m: np.ndarray) -> np.ndarray:
    """The share of the Sun's disc in view, from the angles of two discs, all of them at once."""
    away = sun_m[:, None, :] - place
    r, far = np.linalg.norm(place, axis=-1), np.linalg.norm(away, axis=-1)
    a, b = np.arcsin(sun.SUN_RADIUS_M / far), np.arcsin(sun.EARTH_RADIUS_M / r)
    c = np.arccos(np.clip(-np.einsum("tsx,tsx->ts", place, away) / (r * far), -1.0, 1.0))
    with np.errstate(invalid="ignore", divide="ignore"):
        x = (c * c + a * a - b * b) / (2.0 * c)
        y = np.sqrt(a * a - x * x)
        hidden = a * a * np.arccos(x / a) + b * b * np.arccos((c - x) / b) - c * y
        part = 1.0 - hidden / (np.pi * a * a)
    return np.where(c >= a + b, 1.0, np.where(c <= b - a, 0.0, part))


@pytest.mark.parametrize("altitude_m", [300e3, 550e3, 2000e3, 20e6])
def test_the_eclipse_agrees_with_the_one_by_angles(altitude_m: float) -> None:
    turns = np.linspace(0.0, 2.0 * math.pi, 2_003)
    elevation = np.linspace(-1.2, 1.2, 41)[:, None]
    radius = orbits.EARTH_RADIUS_M + altitude_m
    place = radius * np.stack(
        [np.cos(turns) * np.cos(elevation), np.sin(turns) * np.cos(elevation), np.sin(elevation) + 0.0 * turns], axis=-1
    )
    sun_m = np.broadcast_to(sun.position(np.array([EPOCH_JD])), (41, 3))
    found = sun.lit(place, sun_m)
    assert np.abs(found - by_angles(place, sun_m)).max() < 1e-8  # arccos near 1 keeps half the digits
    assert 0.0 < (found % 1.0 > 0.0).mean() < 0.05


def test_places_on_and_inside_the_earth_have_a_night_too() -> None:
    sun_m = np.array([[1.5e11, 0.0, 0.0]])
    place = np.array([[[6.0e6, 0.0, 0.0], [-6.0e6, 0.0, 0.0], [-orbits.EARTH_RADIUS_M, 0.0, 0.0]]])
    assert sun.lit(place, sun_m)[0, 1:] == pytest.approx([0.0, 0.0])
