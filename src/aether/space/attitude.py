"""How a ship points, and what that makes of the Sun and the Earth: array cosine, radiator sink, drag area.

Every mode is a layout of plane wings. A mode gives the unit normals of the array and of the radiator in inertial axes;
one kernel turns them into light on the array and heat absorbed by both faces of the radiator.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numba import njit

from aether.base.registry import Registry
from aether.base.tables import Fleet, Floats, Light, Pose, Track

SIGMA_W_M2_K4 = 5.670374419e-8  # Stefan-Boltzmann, CODATA 2018
SOLAR_CONSTANT_W_M2 = 1361.0  # at 1 au, Kopp & Lean 2011, doi 10.1029/2010GL045777
AU_M = 149597870700.0  # IAU 2012 resolution B2
EARTH_RADIUS_M = 6371008.8  # mean radius of WGS-84, the sphere that view factors see
ALBEDO = 0.30  # mean of the Earth; 0.25 to 0.40 by place, CERES
EARTH_INFRARED_W_M2 = 237.0  # mean of the Earth; 220 to 260 by place, CERES
ARRAY_ABSORPTIVITY = 0.90  # solar, covered cells: 0.88 to 0.92, Gilmore, Spacecraft Thermal Control Handbook
ARRAY_EMISSIVITY = 0.85  # both faces, cover glass and painted back: 0.80 to 0.87, same
IDEAL_SINK_K = 220.0  # cold end of what is expected of a large radiator in low orbit, for comparison only
EDGE_SHARE = 0.07  # area across the flight direction of wings flown edge-on, share of planform: 50 of 710 m2 for AI1


@dataclass(frozen=True, slots=True)
class Frame:
    """Unit vectors of some ships through a window (T, K, 3)."""

    zenith: Floats
    ahead: Floats  # across zenith, in the orbit plane, along the motion
    normal: Floats  # of the orbit plane
    sun: Floats


@dataclass(frozen=True, slots=True)
class Mode:
    """One way to fly.

    normals: Frame -> unit normals of the array's cells and of one radiator face (T, K, 3). array_view: view factor from
    each radiator face to the ship's own array. drag_share: planform area across the flight direction, orbit mean.
    boresight: Frame -> where the middle of the laser terminals' field of view points (T, K, 3).
    """

    normals: Callable[[Frame], tuple[Floats, Floats]]
    array_view: float
    drag_share: float
    boresight: Callable[[Frame], Floats]


MODES: Registry[Mode] = Registry("attitude")


def _dawn_dusk(frame: Frame) -> tuple[Floats, Floats]:
    # The array lies in the orbit plane, its wing along the motion; the radiators prolong the wing, turned a quarter.
    side = np.where(np.einsum("tkx,tkx->tk", frame.normal, frame.sun) < 0.0, -1.0, 1.0)
    return frame.normal * side[..., None], frame.zenith


def _sun_tracking(frame: Frame) -> tuple[Floats, Floats]:
    # Two gimbals: cells square to the Sun; the radiator's plane holds the Sun and, as nearly as it can, the nadir.
    across = np.cross(frame.sun, frame.zenith)
    length = np.linalg.norm(across, axis=-1, keepdims=True)
    overhead = length < 1e-6  # Sun at zenith or nadir: every turn about the Sun line is as good
    across = np.where(overhead, np.cross(frame.sun, frame.ahead), across)
    return frame.sun, across / np.where(overhead, 1.0, length)


def _nadir(frame: Frame) -> tuple[Floats, Floats]:
    # Cells on the zenith side of a body that always faces the Earth; radiators upright in the orbit plane.
    return frame.zenith, frame.normal


# Radiators prolong the wing and stand across it, so each face sees the array end-on. Two perpendicular rectangles that
# meet end to end exchange a few per cent; 0.10 leaves room for booms and the body. Estimated: 0.05 to 0.20.
_END_ON_VIEW = 0.10  # estimated, see above


def _down(frame: Frame) -> Floats:
    return -frame.zenith


def _shade(frame: Frame) -> Floats:
    # A body that turns with its cells carries its terminals on the side away from the Sun.
    return -frame.sun


MODES.add("dawn-dusk-edge-on")(Mode(_dawn_dusk, _END_ON_VIEW, EDGE_SHARE, _down))
MODES.add("sun-tracking")(Mode(_sun_tracking, _END_ON_VIEW, 0.5, _shade))  # 0.5: mean |cosine| over a sphere
MODES.add("nadir")(Mode(_nadir, _END_ON_VIEW, EDGE_SHARE, _down))


def pose(
    track: Track,
    light: Light,
    fleet: Fleet,
    albedo: float = ALBEDO,
    earth_infrared_w_m2: float = EARTH_INFRARED_W_M2,
) -> Pose:
    """What each ship's attitude makes of the Sun and the Earth.

    absorbed = sum over both faces of alpha S lit cos+ + alpha a S F cos+(zenith angle of the Sun below the ship)
    + epsilon F q_E + epsilon F_a epsilon_a sigma T_a^4, and 2 epsilon sigma T_sink^4 = absorbed.

    track: the last K of its satellites are the ships. light: (T, K). fleet: K ships.
    albedo [1], earth_infrared_w_m2 [W/m2]: the Earth's means.
    Returns Pose (T, K). Raises InputError for an attitude that is not registered.
    Valid for wings much smaller than the altitude. Albedo takes the Sun's height at the point below the ship for the
    whole visible cap: it misses the crescent seen from over the terminator, under 3 W/m2 on a radiator. The array is in
    balance at each moment (a blanket settles in minutes). All radiators of a ship lie in one plane and do not see one
    another; wings in one line cast no shadow on one another.

    [1] Gilmore, Spacecraft Thermal Control Handbook, 2nd ed., ch. 2.
    """
    ships = len(fleet.name)
    shape = light.lit.shape
    position = track.inertial_m[:, -ships:]
    velocity = track.velocity_m_s[:, -ships:]
    irradiance = irradiance_w_m2(np.linalg.norm(light.sun_m, axis=-1))
    cosine, absorbed = np.empty(shape), np.empty(shape)
    for name in dict.fromkeys(fleet.attitude):
        mode = MODES.get(name, "attitude")
        members = np.flatnonzero([a == name for a in fleet.attitude])
        frame = _frame(position[:, members], velocity[:, members], light.sun_m)
        array, radiator = mode.normals(frame)
        ratio = np.linalg.norm(position[:, members], axis=-1) / EARTH_RADIUS_M
        efficiency = fleet.array_rated_w[members] / np.maximum(fleet.array_area_m2[members], 1e-9) / SOLAR_CONSTANT_W_M2
        cosine[:, members], absorbed[:, members] = _loads(
            _dot(array, frame.sun), _dot(array, frame.zenith), _dot(radiator, frame.sun), _dot(radiator, frame.zenith),
            _dot(frame.zenith, frame.sun), ratio, light.lit[:, members], irradiance, efficiency,
            fleet.radiator_absorptivity[members], fleet.radiator_emissivity[members], mode.array_view,
            albedo, earth_infrared_w_m2,
        )  # fmt: skip
    return Pose(cosine, absorbed, sink_temperature(absorbed, fleet.radiator_emissivity))


def boresight(track: Track, light: Light, fleet: Fleet) -> Floats:
    """Where the middle of each ship's laser terminals' field of view points.

    Nadir for ships that keep a face to the Earth; away from the Sun for those that turn with it.
    track, light, fleet: as in `pose`. Returns unit vectors (T, K, 3), inertial. Raises InputError as `pose`.
    """
    ships = len(fleet.name)
    position, velocity = track.inertial_m[:, -ships:], track.velocity_m_s[:, -ships:]
    axis = np.empty(position.shape)
    for name in dict.fromkeys(fleet.attitude):
        members = np.flatnonzero([a == name for a in fleet.attitude])
        frame = _frame(position[:, members], velocity[:, members], light.sun_m)
        axis[:, members] = MODES.get(name, "attitude").boresight(frame)
    return axis


def ideal_pose(light: Light, fleet: Fleet, sink_k: float = IDEAL_SINK_K) -> Pose:
    """The pose with the attitude coupling switched off: arrays always face the Sun, one sink for all, even in eclipse.

    light: (T, K), for the shape. sink_k [K]: the constant sink. Returns Pose (T, K). For ablation only.
    """
    absorbed = np.broadcast_to(2.0 * fleet.radiator_emissivity * SIGMA_W_M2_K4 * sink_k**4, light.lit.shape).copy()
    return Pose(np.ones(light.lit.shape), absorbed, np.full(light.lit.shape, sink_k))


def irradiance_w_m2(sun_distance_m: Floats) -> Floats:
    """Sunlight at a distance from the Sun: S = S0 (1 au / d)^2, +-3.4 % through the year.

    sun_distance_m [m]: any shape. Returns [W/m2], same shape.
    """
    return SOLAR_CONSTANT_W_M2 * (AU_M / np.asarray(sun_distance_m, dtype=np.float64)) ** 2


def sink_temperature(absorbed_w_m2: Floats, emissivity: Floats) -> Floats:
    """The temperature at which both faces emit what they absorb: T = (q / (2 epsilon sigma))^(1/4).

    absorbed_w_m2 [W/m2 of planform], emissivity [1]: broadcast together. Returns [K].
    """
    return (np.asarray(absorbed_w_m2) / (2.0 * np.asarray(emissivity) * SIGMA_W_M2_K4)) ** 0.25


def array_temperature(
    cosine: Floats | float, irradiance: Floats | float, electric_share: Floats | float, earth_w_m2: Floats | float = 0.0
) -> Floats:
    """Temperature of a flat array in balance: (e_f + e_b) sigma T^4 = (alpha - eta) S cos + q_E.

    cosine [1], irradiance [W/m2], electric_share [1] of the light that leaves as power, earth_w_m2 [W/m2] absorbed from
    the Earth by both faces: broadcast together. Returns [K]. Valid while the power is drawn.

    [1] Gilmore, Spacecraft Thermal Control Handbook, 2nd ed., ch. 2.
    """
    heat = np.maximum(ARRAY_ABSORPTIVITY - np.asarray(electric_share), 0.0) * irradiance * cosine + earth_w_m2
    return (heat / (2.0 * ARRAY_EMISSIVITY * SIGMA_W_M2_K4)) ** 0.25


def earth_view_factor(nadir_angle_rad: Floats, altitude_m: Floats) -> Floats:
    """View factor of a small one-sided plate to the Earth's sphere, also when the plate's plane cuts the horizon.

    With H = (R + h)/R and g the angle of the plate's normal from the nadir: F = cos g / H^2 for g <= acos(1/H), zero
    for g >= pi - acos(1/H), and between them
    F = 1/2 - asin(w / (H sin g)) / pi + (cos g acos(-w cot g) - w sqrt(1 - H^2 cos^2 g)) / (pi H^2), w = sqrt(H^2 - 1).

    nadir_angle_rad [rad], altitude_m [m]: broadcast together. Returns [1]. Diffuse sphere of mean radius.

    [1] Juul, "Diffuse radiation configuration view factors between two spheres and plane elements", 1979;
        Howell's catalogue, differential planar element to sphere.
    """
    angle, altitude = np.broadcast_arrays(np.asarray(nadir_angle_rad, dtype=np.float64), altitude_m)
    ratio = 1.0 + np.asarray(altitude, dtype=np.float64) / EARTH_RADIUS_M
    return _views(np.cos(angle).ravel(), ratio.ravel()).reshape(angle.shape)


def drag_area(attitude: str, array_area_m2: float, radiator_area_m2: float, path: str = "attitude") -> float:
    """Area across the flight direction, mean through the orbit [m2]: A = share of the mode x planform of the wings.

    array_area_m2, radiator_area_m2 [m2]: planforms. path: where the name was written, for the message.
    Raises InputError for an unknown attitude. Valid for wings much larger than the body.
    """
    return MODES.get(attitude, path).drag_share * (array_area_m2 + radiator_area_m2)


def _dot(a: Floats, b: Floats) -> Floats:
    return np.einsum("tkx,tkx->tk", a, b)


def _frame(position_m: Floats, velocity_m_s: Floats, sun_m: Floats) -> Frame:
    zenith = position_m / np.linalg.norm(position_m, axis=-1, keepdims=True)
    normal = np.cross(position_m, velocity_m_s)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    sun = sun_m[:, None, :] - position_m
    sun /= np.linalg.norm(sun, axis=-1, keepdims=True)
    return Frame(zenith, np.cross(normal, zenith), normal, sun)


@njit(cache=True, nogil=True)
def _view(cos_angle: float, ratio: float) -> float:
    """View factor of a plate whose normal makes an angle of this cosine with the nadir, at this radius over Earth's."""
    rim = math.sqrt(max(ratio * ratio - 1.0, 0.0))
    if cos_angle * ratio >= 1.0:
        return cos_angle / (ratio * ratio)
    if cos_angle * ratio <= -1.0:
        return 0.0
    sine = math.sqrt(1.0 - cos_angle * cos_angle)
    cut = min(1.0, max(-1.0, -rim * cos_angle / sine))
    chord = rim * math.sqrt(max(1.0 - (ratio * cos_angle) ** 2, 0.0))
    share = 0.5 - math.asin(min(1.0, rim / (ratio * sine))) / math.pi
    return share + (cos_angle * math.acos(cut) - chord) / (math.pi * ratio * ratio)


@njit(cache=True, nogil=True)
def _views(cos_angle: Floats, ratio: Floats) -> Floats:
    out = np.empty(cos_angle.size)
    for i in range(cos_angle.size):
        out[i] = _view(cos_angle[i], ratio[i])
    return out


@njit(cache=True, nogil=True)
def _loads(
    array_sun: Floats, array_zenith: Floats, plate_sun: Floats, plate_zenith: Floats, sun_height: Floats,
    ratio: Floats, lit: Floats, irradiance: Floats, efficiency: Floats, absorptivity: Floats, emissivity: Floats,
    array_view: float, albedo: float, infrared: float,
) -> tuple[Floats, Floats]:  # fmt: skip
    """(array cosine, flux absorbed by both radiator faces) from the cosines of normals to Sun and zenith (T, K)."""
    times, ships = lit.shape
    cosine = np.empty((times, ships))
    absorbed = np.empty((times, ships))
    for t in range(times):
        sunlight = irradiance[t]
        for k in range(ships):
            face = max(array_sun[t, k], 0.0)
            reflected = albedo * sunlight * max(sun_height[t, k], 0.0)
            # The array: cells lose the power drawn, its back takes only what the Earth sends up.
            front = _view(-array_zenith[t, k], ratio[t, k])
            back = _view(array_zenith[t, k], ratio[t, k])
            heat = max(ARRAY_ABSORPTIVITY - efficiency[k], 0.0) * (sunlight * lit[t, k] * face + reflected * front)
            heat += ARRAY_ABSORPTIVITY * reflected * back + ARRAY_EMISSIVITY * infrared * (front + back)
            glow = 0.5 * heat  # emitted by each face of the array: they share its balance
            # The radiator: one face or the other sees the Sun, both see some of the Earth.
            views = _view(plate_zenith[t, k], ratio[t, k]) + _view(-plate_zenith[t, k], ratio[t, k])
            solar = absorptivity[k] * (sunlight * lit[t, k] * abs(plate_sun[t, k]) + reflected * views)
            cosine[t, k] = face
            absorbed[t, k] = solar + emissivity[k] * (infrared * views + 2.0 * array_view * glow)
    return cosine, absorbed
