"""Attitude against closed forms, numerical integration and the sink expected of AI1."""

from dataclasses import fields, replace

import numpy as np
import pytest

from aether.base.errors import InputError
from aether.base.tables import Fleet, Floats, Light, Track
from aether.space import attitude

EARTH_M = 6371008.8  # mean radius, WGS-84
AU_M = 149597870700.0


def ships(mode: str, **values: float) -> Fleet:
    """One AI1-like ship."""
    known = {"array_rated_w": 150e3, "array_area_m2": 600.0, "radiator_emissivity": 0.91, "radiator_absorptivity": 0.20}
    numbers = {f.name: np.full(1, {**known, **values}.get(f.name, 1.0)) for f in fields(Fleet)}
    return Fleet(**{**numbers, "name": ("a",), "kind": ("ai1",), "attitude": (mode,), "terminal": ("t",)})  # type: ignore[arg-type]


def orbit(beta_deg: float, altitude_m: float = 600e3, points: int = 90, sun_m: float = AU_M) -> tuple[Track, Light]:
    """A circular orbit in the xy plane with the Sun so far above it, and a cylindrical shadow."""
    turn = np.linspace(0.0, 2.0 * np.pi, points, endpoint=False)
    zero, radius = np.zeros(points), EARTH_M + altitude_m
    place = radius * np.stack([np.cos(turn), np.sin(turn), zero], -1)[:, None]
    motion = 7.5e3 * np.stack([-np.sin(turn), np.cos(turn), zero], -1)[:, None]
    beta = np.radians(beta_deg)
    sun = np.array([np.cos(beta), 0.0, np.sin(beta)])
    off = np.linalg.norm(np.cross(place, sun), axis=-1)
    lit = np.where((place @ sun < 0.0) & (off < EARTH_M), 0.0, 1.0)
    light = Light(turn, np.tile(sun * sun_m, (points, 1)), lit, np.full((points, 1), beta))
    return Track(turn, place, motion, place, turn), light


def integrated_view(angle: float, altitude_m: float, rings: int = 2000, sectors: int = 720) -> float:
    """View factor by brute force: 1/pi times the integral of the cosine over the Earth's disc as seen."""
    rim = np.arcsin(EARTH_M / (EARTH_M + altitude_m))
    off = (np.arange(rings) + 0.5) / rings * rim
    around = (np.arange(sectors) + 0.5) / sectors * 2.0 * np.pi
    cosine = np.cos(angle) * np.cos(off)[:, None] + np.sin(angle) * np.sin(off)[:, None] * np.cos(around)
    return float(np.sum(np.maximum(cosine, 0.0) * np.sin(off)[:, None]) * (rim / rings) * (2 * np.pi / sectors) / np.pi)


@pytest.mark.parametrize("altitude_m", [400e3, 650e3, 2000e3])
@pytest.mark.parametrize("angle_deg", [0.0, 15.0, 40.0, 70.0, 90.0, 110.0, 130.0, 155.0, 180.0])
def test_view_factor_of_the_earth_matches_integration_over_its_disc(angle_deg: float, altitude_m: float) -> None:
    angle = np.radians(angle_deg)
    assert attitude.earth_view_factor(angle, altitude_m) == pytest.approx(integrated_view(angle, altitude_m), abs=2e-5)


def test_view_factor_of_an_upright_plate_has_the_textbook_form() -> None:
    # Howell's catalogue: F = (asin(1/H) - sqrt(H^2 - 1)/H^2) / pi at 90 degrees
    ratio = 1.0 + 600e3 / EARTH_M
    expected = (np.arcsin(1 / ratio) - np.sqrt(ratio**2 - 1) / ratio**2) / np.pi
    assert attitude.earth_view_factor(np.pi / 2, 600e3) == pytest.approx(expected, abs=1e-12)


def test_sink_of_a_dawn_dusk_ship_lies_between_220_and_255_k() -> None:
    # expected of AI1 in sunlight; off-normal Sun of the season grazes its radiators
    for beta in (90.0, 75.0, 68.0):
        track, light = orbit(beta)
        sink = attitude.pose(track, light, ships("dawn-dusk-edge-on")).sink_k
        assert 220.0 < sink.mean() < 255.0


def test_fixed_dawn_dusk_arrays_lose_up_to_15_percent_through_the_year() -> None:
    # the Sun strays 23.44 + 7.8 degrees from the normal of a sun-synchronous dawn-dusk orbit at 600 km
    track, light = orbit(90.0 - 31.2)
    cosine = attitude.pose(track, light, ships("dawn-dusk-edge-on")).array_cosine
    assert cosine == pytest.approx(np.sin(light.beta_rad), abs=5e-5)  # parallax of the Sun
    assert 1.0 - cosine.min() == pytest.approx(0.145, abs=0.005)


def test_fixed_arrays_face_the_sun_on_either_side_of_the_orbit() -> None:
    for beta in (70.0, -70.0):
        track, light = orbit(beta)
        assert attitude.pose(track, light, ships("dawn-dusk-edge-on")).array_cosine.min() > 0.93


def test_sun_tracking_arrays_lose_nothing_and_their_radiators_see_no_sun() -> None:
    track, light = orbit(20.0)
    fleet = ships("sun-tracking")
    pose = attitude.pose(track, light, fleet)
    darker = attitude.pose(track, light, ships("sun-tracking", radiator_absorptivity=0.0), albedo=0.0)
    brighter = attitude.pose(track, light, ships("sun-tracking", radiator_absorptivity=1.0), albedo=0.0)
    assert pose.array_cosine == pytest.approx(1.0)
    assert brighter.absorbed_w_m2 == pytest.approx(darker.absorbed_w_m2, abs=1e-6)


def test_nadir_panels_follow_the_sun_over_the_horizon() -> None:
    track, light = orbit(0.0)
    cosine = attitude.pose(track, light, ships("nadir")).array_cosine[:, 0]
    assert cosine == pytest.approx(np.maximum(np.cos(track.time_s), 0.0), abs=1e-4)


@pytest.mark.parametrize("mode", ["dawn-dusk-edge-on", "sun-tracking", "nadir"])
def test_eclipse_lowers_the_sink(mode: str) -> None:
    track, light = orbit(60.0)
    lit = light.lit[:, 0] > 0.5
    sink = attitude.pose(track, light, ships(mode)).sink_k[:, 0]
    assert 0.1 < 1.0 - lit.mean() < 0.3
    assert sink[~lit].max() < sink[lit].min()


def test_radiator_that_faces_the_earth_absorbs_what_hand_arithmetic_says() -> None:
    # edge-on at beta 90: nadir face F = 1/H^2 of 237 W/m2, array at 0.5 ((0.9 - 250/1361) 1361 + Earth) a face
    track, light = orbit(90.0)
    view = 1.0 / (1.0 + 600e3 / EARTH_M) ** 2
    edge = float(attitude.earth_view_factor(np.pi / 2, 600e3))
    array = 0.5 * ((0.9 - 150e3 / 600 / 1361) * 1361 + 0.85 * 237 * 2 * edge)
    expected = 0.91 * (237 * view + 2 * 0.10 * array)
    assert attitude.pose(track, light, ships("dawn-dusk-edge-on")).absorbed_w_m2 == pytest.approx(expected, abs=0.5)


def test_array_in_full_sun_settles_near_what_flown_wings_show() -> None:
    # 50 to 70 degC with the power drawn on sun-synchronous orbits; Gilmore, Spacecraft Thermal Control Handbook
    assert 310.0 < float(attitude.array_temperature(1.0, 1361.0, 0.2)) < 345.0


def test_sunlight_swings_by_seven_percent_through_the_year() -> None:
    # perihelion 0.98329 au, aphelion 1.01671 au (JPL): 1408 and 1317 W/m2
    near, far = attitude.irradiance_w_m2(np.array([0.98329, 1.01671]) * AU_M)
    assert near == pytest.approx(1407.7, abs=0.5)
    assert far == pytest.approx(1316.6, abs=0.5)


def test_ideal_pose_knows_no_attitude() -> None:
    _, light = orbit(30.0)
    pose = attitude.ideal_pose(light, ships("nadir"))
    assert np.all(pose.array_cosine == 1.0)
    assert np.all(pose.sink_k == 220.0)
    back: Floats = attitude.sink_temperature(pose.absorbed_w_m2, np.array([0.91]))
    assert back == pytest.approx(220.0)


def test_edge_on_wings_of_ai1_show_50_of_710_square_metres_to_the_air() -> None:
    assert attitude.drag_area("dawn-dusk-edge-on", 600.0, 110.0) == pytest.approx(50.0, abs=1.0)


def test_unknown_attitude_names_the_nearest() -> None:
    track, light = orbit(90.0)
    with pytest.raises(InputError, match="did you mean 'sun-tracking'"):
        attitude.pose(track, light, ships("sun-traking"))


def test_ships_are_the_last_satellites_of_a_track() -> None:
    track, light = orbit(75.0)
    relays = np.tile(track.inertial_m * 1.2, (1, 3, 1))
    longer = replace(
        track,
        inertial_m=np.concatenate([relays, track.inertial_m], axis=1),
        velocity_m_s=np.concatenate([relays * 1e-3, track.velocity_m_s], axis=1),
    )
    fleet = ships("dawn-dusk-edge-on")
    assert np.array_equal(attitude.pose(longer, light, fleet).sink_k, attitude.pose(track, light, fleet).sink_k)


def test_terminals_look_down_from_ships_that_face_the_earth_and_away_from_the_sun_from_those_that_turn() -> None:
    track, light = orbit(60.0)
    zenith = track.inertial_m / np.linalg.norm(track.inertial_m, axis=-1, keepdims=True)
    for mode in ("dawn-dusk-edge-on", "nadir"):
        assert np.allclose(attitude.boresight(track, light, ships(mode)), -zenith)
    sun = light.sun_m / np.linalg.norm(light.sun_m, axis=-1, keepdims=True)
    turned = attitude.boresight(track, light, ships("sun-tracking"))
    assert np.einsum("tkx,tx->tk", turned, sun).max() < -0.99
