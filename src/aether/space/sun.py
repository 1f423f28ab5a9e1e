"""The Sun: where it stands, what the Earth's shadow leaves of it, and the year of a dawn-dusk orbit.

References
[1] J. Meeus, Astronomical Algorithms, 2nd ed., 1998, chapters 22 and 25.
[2] D. A. Vallado, Fundamentals of Astrodynamics and Applications, 4th ed., 2013, sections 3.5, 5.1 and 5.3.
[3] O. Montenbruck, E. Gill, Satellite Orbits, 2000, section 3.4.2.
[4] S. Aoki et al., The new definition of Universal Time, Astronomy and Astrophysics 105, 1982.
[5] J. Meeus, Astronomical Formulae for Calculators, 4th ed., 1988, chapter 18.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
from numba import njit

from aether.base.clock import DAY_S, J2000_DAYS, julian_date
from aether.base.tables import Floats, Light, Track

AU_M = 1.495978707e11  # IAU 2012 resolution B2
SUN_RADIUS_M = 6.957e8  # IAU 2015 resolution B3, nominal
EARTH_RADIUS_M = 6378137.0  # WGS-84 equatorial radius, NGA.STND.0036
MU_M3_S2 = 3.986004418e14  # WGS-84 gravitational parameter, NGA.STND.0036
TT_LESS_UTC_S = 69.184  # 37 leap seconds since 2017 and 32.184 s, IERS Bulletin C; 3 arcsec a minute at most
_ABERRATION_DEG = 20.4898 / 3600.0  # [1] chapter 25
_CENTURY_DAYS = 36525.0  # definition
_LANES = np.uint64(64)  # satellites at once: few enough that most runs hold none in the penumbra
_ONE, _TWO, _THREE = np.uint64(1), np.uint64(2), np.uint64(3)  # unsigned, as in `motion_kernels`
_TURN_S = 86400.0 / 1.002737909350795  # a turn of the Earth against the mean equinox [4]


def gmst(julian: Floats) -> Floats:
    """Greenwich mean sidereal time [rad], 0 to 2 pi.

    theta = 67310.54841 + (876600 h + 8640184.812866) T + 0.093104 T^2 - 6.2e-6 T^3 [s], T centuries from J2000.

    julian: Julian date, UT1 taken as UTC [days], any shape. Within 13 arcsec of true UT1 while |UT1 - UTC| < 0.9 s.
    Reference [4].
    """
    t = (np.asarray(julian, dtype=np.float64) - J2000_DAYS) / _CENTURY_DAYS
    seconds = 67310.54841 + t * (876600.0 * 3600.0 + 8640184.812866 + t * (0.093104 - 6.2e-6 * t))
    return np.mod(seconds / DAY_S * 2.0 * math.pi, 2.0 * math.pi)


def gmst_at(epoch_jd: float, time_s: Floats) -> Floats:
    """Greenwich mean sidereal time at seconds after an epoch [rad] (T,).

    The angle of `gmst` at the start of each day, and from there the Earth's steady turn: a Julian date alone resolves
    40 microseconds, 2 cm on the equator, and would make fixed positions jitter.

    epoch_jd: Julian date of second 0 [days]. time_s: (T,) [s]. Reference [4].
    """
    time_s = np.asarray(time_s, dtype=np.float64)
    day = np.floor(time_s / DAY_S)
    angle = gmst(epoch_jd + day) + 2.0 * math.pi / _TURN_S * (time_s - day * DAY_S)
    return np.mod(angle, 2.0 * math.pi)


def position(julian: Floats) -> Floats:
    """The Sun as seen from the Earth's centre, true equator and mean equinox of date, as TEME [m] (T, 3).

    Mean longitude and anomaly of the Earth's ellipse, equation of the centre to third order, the five largest pulls of
    planets and Moon, the constant of aberration, and the 18.6-year nutation; R = 1.000001018 (1 - e^2) / (1 + e cos v)
    au.

    julian: UTC [days], any shape; the result has one axis more. Within 20 arcsec in direction and 1e-4 in distance from
    1950 to 2100. References [1] chapters 22 and 25, [5].
    """
    t = (np.asarray(julian, dtype=np.float64) + TT_LESS_UTC_S / DAY_S - J2000_DAYS) / _CENTURY_DAYS
    anomaly = np.radians(357.52911 + t * (35999.05029 - 1.537e-4 * t))
    centre = (
        (1.914602 - t * (0.004817 + 1.4e-5 * t)) * np.sin(anomaly)
        + (0.019993 - 1.01e-4 * t) * np.sin(2.0 * anomaly)
        + 2.89e-4 * np.sin(3.0 * anomaly)
    )
    e = 0.016708634 - t * (4.2037e-5 + 1.267e-7 * t)
    radius = 1.000001018 * AU_M * (1.0 - e**2) / (1.0 + e * np.cos(anomaly + np.radians(centre)))
    moon_node = np.radians(125.04 - 1934.136 * t)
    nutation_deg = -0.00478 * np.sin(moon_node)
    longitude = 280.46646 + t * (36000.76983 + 3.032e-4 * t) + centre + _pull_deg(t) - _ABERRATION_DEG + nutation_deg
    mean_obliquity = 23.4392911 - t * (0.0130042 + t * (1.64e-7 - 5.04e-7 * t))
    lon, obliquity = np.radians(longitude), np.radians(mean_obliquity + 0.00256 * np.cos(moon_node))
    equinox = np.radians(nutation_deg) * np.cos(obliquity)  # TEME counts from the mean equinox
    x, y = np.cos(lon), np.sin(lon) * np.cos(obliquity)
    turned = (x * np.cos(equinox) + y * np.sin(equinox), y * np.cos(equinox) - x * np.sin(equinox))
    return np.asarray(np.stack([*turned, np.sin(lon) * np.sin(obliquity)], axis=-1) * radius[..., None])


def _pull_deg(t: Floats) -> Floats:
    """The largest perturbations of the Sun's longitude [deg]: Venus twice, Jupiter, the Moon, and a slow one. [5]"""
    old = t + 1.0  # their arguments count from 1900
    return np.asarray(
        0.00134 * np.cos(np.radians(153.23 + 22518.7541 * old))
        + 0.00154 * np.cos(np.radians(216.57 + 45037.5082 * old))
        + 0.00200 * np.cos(np.radians(312.69 + 32964.3577 * old))
        + 0.00179 * np.sin(np.radians(350.74 + old * (445267.1142 - 0.00144 * old)))
        + 0.00178 * np.sin(np.radians(231.19 + 20.20 * old))
    )


@njit(cache=True, nogil=True, error_model="numpy")
def _share(x, y, z, sx, sy, sz):  # type: ignore[no-untyped-def]
    """The share of the Sun's disc that the Earth's disc leaves, from the centre's frame [m]."""
    dx, dy, dz = sx - x, sy - y, sz - z
    square = x * x + y * y + z * z
    if math.isnan(square):
        return math.nan
    if x * sx + y * sy + z * sz > 0.0 and square > EARTH_RADIUS_M * EARTH_RADIUS_M:
        return 1.0  # on the day side of the terminator plane
    away = math.sqrt(dx * dx + dy * dy + dz * dz)
    r = math.sqrt(square)
    a = math.asin(SUN_RADIUS_M / away)
    b = math.asin(min(1.0, EARTH_RADIUS_M / r))
    c = math.acos(min(1.0, max(-1.0, -(x * dx + y * dy + z * dz) / (r * away))))
    if c >= a + b:
        return 1.0
    if c <= b - a:
        return 0.0
    p = (c * c + a * a - b * b) / (2.0 * c)
    q = math.sqrt(max(0.0, a * a - p * p))
    hidden = a * a * math.acos(min(1.0, max(-1.0, p / a))) + b * b * math.acos(min(1.0, (c - p) / b)) - c * q
    return 1.0 - hidden / (math.pi * a * a)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _shade(place, at, lanes, sx, sy, sz, out, to):  # type: ignore[no-untyped-def]
    """1 in full light and 0 in the umbra, -1 where it takes more than that; returns how many of those there are.

    c >= a + b and c <= b - a, of `lit`, without an angle: with A = sqrt(d^2 - R_sun^2), B = sqrt(r^2 - R_earth^2) and
    r . d the product of the vectors to satellite and from it to the Sun, -r . d <= A B - R_sun R_earth and
    -r . d >= A B + R_sun R_earth.
    """
    square = sx * sx + sy * sy + sz * sz
    rim = SUN_RADIUS_M * EARTH_RADIUS_M
    unclear = 0
    for j in range(min(lanes, _LANES)):
        x, y, z = place[at + _THREE * j], place[at + _THREE * j + _ONE], place[at + _THREE * j + _TWO]
        along, r2 = x * sx + y * sy + z * sz, x * x + y * y + z * z
        height2 = r2 - EARTH_RADIUS_M * EARTH_RADIUS_M
        root = math.sqrt((square - 2.0 * along + r2 - SUN_RADIUS_M * SUN_RADIUS_M) * height2)  # NaN inside the Earth
        behind = r2 - along - root
        share = -1.0
        share = 0.0 if behind >= rim else share
        share = 1.0 if behind <= -rim or (along > 0.0 and height2 > 0.0) else share
        out[to + j] = share
        unclear += share < 0.0
    return unclear


@njit(cache=True, nogil=True, error_model="numpy")
def _shares(place, sun, satellites, out):  # type: ignore[no-untyped-def]
    """Runs of satellites at once, then those in the penumbra, lost or inside the Earth one by one. All arrays flat."""
    for i in range(np.uint64(len(sun)) // _THREE):
        sx, sy, sz = sun[_THREE * i], sun[_THREE * i + _ONE], sun[_THREE * i + _TWO]
        for first in range(np.uint64(0), satellites, _LANES):
            to, lanes = i * satellites + first, min(_LANES, satellites - first)
            if _shade(place, _THREE * to, lanes, sx, sy, sz, out, to) > 0:
                for j in range(to, to + lanes):
                    if out[j] < 0.0:
                        out[j] = _share(
                            place[_THREE * j], place[_THREE * j + _ONE], place[_THREE * j + _TWO], sx, sy, sz
                        )


def lit(position_m: Floats, sun_m: Floats) -> Floats:
    """The share of the Sun's disc in view, with umbra and penumbra (T, S).

    Two overlapping discs on the sky, of radii a = asin(R_sun / d) and b = asin(R_earth / r), c apart.

    position_m: (T, S, 3) from the Earth's centre, in the Sun's frame [m]. sun_m: (T, 3) [m]. A spherical Earth of
    equatorial radius without an atmosphere: an eclipse is up to 10 s long too long over the poles. NaN stays NaN.
    Reference [3].
    """
    out = np.empty(position_m.shape[:2])
    place, sun = (np.ascontiguousarray(a, dtype=np.float64).reshape(-1) for a in (position_m, sun_m))
    _shares(place, sun, np.uint64(position_m.shape[1]), out.reshape(-1))
    return out


def lit_cylindrical(position_m: Floats, sun_m: Floats) -> Floats:
    """1 outside a cylindrical shadow and 0 inside it (T, S): the plain model beside `lit`.

    Dark where r . s < 0 and |r - (r . s) s| < R, s the unit vector to the Sun.

    position_m: (T, S, 3) [m]. sun_m: (T, 3) [m]. No penumbra, parallel rays. Reference [2] section 5.3.
    """
    toward = sun_m / np.linalg.norm(sun_m, axis=-1, keepdims=True)
    along = np.einsum("tsx,tx->ts", position_m, toward)
    across = np.einsum("tsx,tsx->ts", position_m, position_m) - along**2
    return np.where((along < 0.0) & (across < EARTH_RADIUS_M**2), 0.0, 1.0)


def beta(inertial_m: Floats, velocity_m_s: Floats, sun_m: Floats) -> Floats:
    """The elevation of the Sun over the orbit plane [rad] (T, S).

    sin beta = s . (r x v) / |r x v|, s the unit vector to the Sun.

    inertial_m, velocity_m_s: (T, S, 3). sun_m: (T, 3), all in one frame. Reference [2] section 5.3.
    """
    place, velocity, toward = (np.ascontiguousarray(a, dtype=np.float64) for a in (inertial_m, velocity_m_s, sun_m))
    out = np.empty(place.shape[:2])
    _elevations(place, velocity, toward, out)
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _elevations(place, velocity, sun, out):  # type: ignore[no-untyped-def]
    for i in range(place.shape[0]):
        sx, sy, sz = sun[i, 0], sun[i, 1], sun[i, 2]
        far = math.sqrt(sx * sx + sy * sy + sz * sz)
        for j in range(place.shape[1]):
            x, y, z = place[i, j, 0], place[i, j, 1], place[i, j, 2]
            vx, vy, vz = velocity[i, j, 0], velocity[i, j, 1], velocity[i, j, 2]
            nx, ny, nz = y * vz - z * vy, z * vx - x * vz, x * vy - y * vx
            sine = (nx * sx + ny * sy + nz * sz) / (far * math.sqrt(nx * nx + ny * ny + nz * nz))
            out[i, j] = math.asin(min(1.0, max(-1.0, sine))) if not math.isnan(sine) else math.nan


def light(track: Track, epoch_jd: float, first: int = 0) -> Light:
    """The Sun through a window for the satellites from number `first` on.

    track: with its inertial arrays, (T, S, 3). epoch_jd: Julian date of second 0 [days]. first: the first satellite
    wanted (ships follow relays). Returns Light with (T, S - first) arrays. References [1], [3].
    """
    sun_m = position(epoch_jd + track.time_s / DAY_S)
    place, velocity = track.inertial_m[:, first:], track.velocity_m_s[:, first:]
    return Light(time_s=track.time_s, sun_m=sun_m, lit=lit(place, sun_m), beta_rad=beta(place, velocity, sun_m))


def to_fixed(vector_m: Floats, gmst_rad: Floats) -> Floats:
    """Vectors of the inertial frame (T, ..., 3) turned into the Earth-fixed one by sidereal time (T,)."""
    shape = (-1,) + (1,) * (vector_m.ndim - 2)
    cosine, sine = np.cos(gmst_rad).reshape(shape), np.sin(gmst_rad).reshape(shape)
    x, y = vector_m[..., 0], vector_m[..., 1]
    return np.stack([cosine * x + sine * y, cosine * y - sine * x, vector_m[..., 2]], axis=-1)


def dawn_dusk_year(altitude_m: float, node_local_time_s: float, year: int) -> tuple[float, float, float]:
    """A year of a circular sun-synchronous orbit: sunlit share, days with an eclipse, longest eclipse [s].

    The node keeps its local mean solar time while the true Sun leads and lags the mean one and changes declination;
    each eclipse lasts the period times arccos( sqrt(h^2 + 2 R h) / ((R + h) cos beta) ) / pi.

    altitude_m: [m]. node_local_time_s: local mean solar time of the ascending node [s of the day]; 6 h and 18 h are
    dawn-dusk and differ in season. year: Gregorian. Returns (sunlit_fraction [1], eclipse_days [1], longest_eclipse_s).
    Cylindrical shadow, first order in J2. Reference [2] sections 5.3 and 11.4.1.
    """
    start = julian_date(datetime(year, 1, 1, tzinfo=UTC))
    days = julian_date(datetime(year + 1, 1, 1, tzinfo=UTC)) - start
    hours = start + (np.arange(round(days) * 24, dtype=np.float64) + 0.5) / 24.0
    radius = EARTH_RADIUS_M + altitude_m
    motion = math.sqrt(MU_M3_S2 / radius**3)
    j2 = 1.08262668e-3  # EGM-96, [2] appendix D
    wanted = 2.0 * math.pi / (365.242190 * DAY_S)  # tropical year, [2] chapter 3
    cosine = -wanted / (1.5 * j2 * motion * (EARTH_RADIUS_M / radius) ** 2)
    sine = math.sqrt(1.0 - cosine**2)
    node = gmst(hours) - 2.0 * math.pi * (hours % 1.0) + 2.0 * math.pi * (node_local_time_s / DAY_S - 0.5)
    normal = np.stack([np.sin(node) * sine, -np.cos(node) * sine, np.full_like(node, cosine)], axis=-1)
    sun_m = position(hours)
    elevation = np.einsum("tx,tx->t", normal, sun_m) / np.linalg.norm(sun_m, axis=-1)
    across = radius * np.sqrt(1.0 - elevation**2)
    tangent = math.sqrt(radius**2 - EARTH_RADIUS_M**2)
    dark = np.arccos(np.minimum(1.0, tangent / np.maximum(across, 1.0))) / math.pi
    longest = float(dark.max()) * 2.0 * math.pi / motion
    return 1.0 - float(dark.mean()), float((dark > 0.0).mean()) * days, longest
