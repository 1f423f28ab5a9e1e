"""Places on the ground: where they are, what they see of satellites and of the Sun.

References
[1] NGA.STND.0036, World Geodetic System 1984, version 1.0.0, 2014.
[2] B. R. Bowring, Transformation from spatial to geographical coordinates, Survey Review 23, 1976.
[3] D. A. Vallado, Fundamentals of Astrodynamics and Applications, 4th ed., 2013, sections 3.2, 4.4 and 11.2.
[4] R. W. Sinnott, Virtues of the haversine, Sky and Telescope 68, 1984.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from aether.base.clock import DAY_S
from aether.base.tables import Access, Floats
from aether.space.visibility import Horizon, seen, sky

EQUATORIAL_RADIUS_M = 6378137.0  # [1]
FLATTENING = 1.0 / 298.257223563  # [1]
MEAN_RADIUS_M = 6371008.8  # (2 a + b) / 3, [1]
_E2 = FLATTENING * (2.0 - FLATTENING)
_POLAR_RADIUS_M = EQUATORIAL_RADIUS_M * (1.0 - FLATTENING)


def place(latitude_rad: Floats, longitude_rad: Floats, height_m: Floats | float = 0.0) -> Floats:
    """Earth-fixed coordinates of geodetic ones [m] (..., 3).

    N = a / sqrt(1 - e^2 sin^2 lat); x = (N + h) cos lat cos lon; z = (N (1 - e^2) + h) sin lat.

    latitude_rad (geodetic), longitude_rad [rad], height_m over the ellipsoid [m]: one shape (...). Reference [1].
    """
    lat, lon, height = np.broadcast_arrays(latitude_rad, longitude_rad, height_m)
    sine, cosine = np.sin(lat), np.cos(lat)
    normal = EQUATORIAL_RADIUS_M / np.sqrt(1.0 - _E2 * sine**2)
    level = (normal + height) * cosine
    return np.stack([level * np.cos(lon), level * np.sin(lon), (normal * (1.0 - _E2) + height) * sine], axis=-1)


def geodetic(fixed_m: Floats) -> tuple[Floats, Floats, Floats]:
    """Geodetic latitude, longitude [rad] and height [m] of Earth-fixed points, each (...): the inverse of `place`.

    Bowring's parametric latitude, taken twice: within 1e-9 m to 2,000 km of height.

    fixed_m: (..., 3) [m], not at the Earth's centre. Reference [2].
    """
    x, y, z = fixed_m[..., 0], fixed_m[..., 1], fixed_m[..., 2]
    level = np.hypot(x, y)
    reduced = np.arctan2(z * EQUATORIAL_RADIUS_M, level * _POLAR_RADIUS_M)
    ratio2 = _E2 / (1.0 - _E2)
    lat = reduced
    for _ in range(2):
        lat = np.arctan2(
            z + ratio2 * _POLAR_RADIUS_M * np.sin(reduced) ** 3,
            level - _E2 * EQUATORIAL_RADIUS_M * np.cos(reduced) ** 3,
        )
        reduced = np.arctan2((1.0 - FLATTENING) * np.sin(lat), np.cos(lat))
    sine = np.sin(lat)
    normal = EQUATORIAL_RADIUS_M / np.sqrt(1.0 - _E2 * sine**2)
    height = level * np.cos(lat) + z * sine - normal * (1.0 - _E2 * sine**2)  # holds at the poles too
    return np.asarray(lat), np.asarray(np.arctan2(y, x)), np.asarray(height)


def up(fixed_m: Floats) -> Floats:
    """The geodetic vertical at Earth-fixed points, unit vectors (..., 3). Reference [1]."""
    lat, lon, _ = geodetic(fixed_m)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def great_circle(
    latitude_1_rad: Floats, longitude_1_rad: Floats, latitude_2_rad: Floats, longitude_2_rad: Floats
) -> Floats:
    """The distance over the mean sphere [m].

    d = 2 R asin sqrt( sin^2(dlat / 2) + cos lat1 cos lat2 sin^2(dlon / 2) ), R = 6,371.0088 km.

    All [rad], shapes that broadcast. Within 0.6 % of the ellipsoid's geodesic. Reference [4].
    """
    lift = np.sin((latitude_2_rad - latitude_1_rad) / 2.0) ** 2
    turn = np.sin((longitude_2_rad - longitude_1_rad) / 2.0) ** 2
    half = lift + np.cos(latitude_1_rad) * np.cos(latitude_2_rad) * turn
    return np.asarray(2.0 * MEAN_RADIUS_M * np.arcsin(np.sqrt(np.clip(half, 0.0, 1.0))))


def elevation(places_m: Floats, satellites_m: Floats) -> Floats:
    """The elevation of every satellite over the geodetic horizon of every place [rad] (G, S).

    sin E = (s - p) . up / |s - p|.

    places_m: (G, 3), satellites_m: (S, 3), Earth-fixed [m]. No refraction. Reference [3] section 4.4.
    """
    vertical = up(places_m)
    away = satellites_m[None, :, :] - places_m[:, None, :]
    sine = np.einsum("gsx,gx->gs", away, vertical) / np.linalg.norm(away, axis=-1)
    return np.asarray(np.arcsin(np.clip(sine, -1.0, 1.0)))


def subpoint(fixed_m: Floats) -> tuple[Floats, Floats]:
    """Geodetic latitude and longitude under satellites [rad], each (...). fixed_m: (..., 3) [m]. Reference [2]."""
    lat, lon, _ = geodetic(fixed_m)
    return lat, lon


def sun_elevation(places_m: Floats, sun_fixed_m: Floats) -> Floats:
    """The geometric elevation of the Sun's centre over the geodetic horizon [rad] (T, G).

    sin E = s . up, s the unit vector from the Earth's centre (the Sun's parallax, 9 arcsec, and refraction left out).

    places_m: (G, 3) Earth-fixed [m]. sun_fixed_m: (T, 3) Earth-fixed [m]. Reference [3] section 5.1.
    """
    toward = sun_fixed_m / np.linalg.norm(sun_fixed_m, axis=-1, keepdims=True)
    return np.asarray(np.arcsin(np.clip(toward @ up(places_m).T, -1.0, 1.0)))


def solar_time(places_m: Floats, sun_fixed_m: Floats) -> Floats:
    """Local apparent solar time [s of the day] (T, G): 12 h where the Sun is on the meridian.

    t = 12 h + (longitude - longitude of the subsolar point) * 24 h / 2 pi.

    places_m: (G, 3) Earth-fixed [m]. sun_fixed_m: (T, 3) Earth-fixed [m]. Reference [3] section 3.5.
    """
    places = np.arctan2(places_m[:, 1], places_m[:, 0])
    below = np.arctan2(sun_fixed_m[:, 1], sun_fixed_m[:, 0])
    return np.asarray(np.mod(0.5 + (places[None, :] - below[:, None]) / (2.0 * math.pi), 1.0) * DAY_S)


@njit(cache=True, nogil=True, error_model="numpy")
def _verticals(places: Floats) -> Floats:
    """`up` by the same formula, Bowring's taken twice, with tangents in place of angles."""
    vertical = np.empty((len(places), 3))
    ratio2 = _E2 / (1.0 - _E2)
    for g in range(len(places)):
        x, y, z = places[g, 0], places[g, 1], places[g, 2]
        level = math.sqrt(x * x + y * y)
        east, north = (x / level, y / level) if level > 0.0 else (1.0, 0.0)
        rise, run = z * EQUATORIAL_RADIUS_M, level * _POLAR_RADIUS_M
        for _ in range(2):
            length = math.sqrt(rise * rise + run * run)
            sine, cosine = rise / length, run / length
            top = z + ratio2 * _POLAR_RADIUS_M * sine * sine * sine
            side = level - _E2 * EQUATORIAL_RADIUS_M * cosine * cosine * cosine
            rise, run = (1.0 - FLATTENING) * top, side
        length = math.sqrt(top * top + side * side)
        vertical[g, 0], vertical[g, 1], vertical[g, 2] = side / length * east, side / length * north, top / length
    return vertical


def horizon(places_m: Floats, min_elevation_rad: Floats | float) -> Horizon:
    """Places made ready for `visibility.seen`, once where many ticks look from the same ones.

    places_m: (G, 3) Earth-fixed [m]. min_elevation_rad: (G,) or one for all [rad]. Returns Horizon. Reference [1].
    """
    places_m = np.ascontiguousarray(places_m, dtype=np.float64)
    lowest = np.broadcast_to(np.asarray(min_elevation_rad, dtype=np.float64), len(places_m))
    sine, radius = np.sin(lowest), np.sqrt(np.einsum("gx,gx->g", places_m, places_m))
    safe = lowest - math.radians(0.2)  # the geodetic vertical leaves the geocentric one by up to 0.193 degrees
    return Horizon(
        places_m, _verticals(places_m), sine * np.abs(sine), radius, radius * np.cos(safe), radius * np.sin(safe)
    )


def visible(
    places_m: Floats,
    satellites_m: Floats,
    min_elevation_rad: Floats | float,
    max_slant_m: float = math.inf,
    threads: int = 1,
) -> Access:
    """Which satellites each place sees: above its lowest elevation and within the longest slant.

    sin E = (s - p) . up / |s - p| >= sin E_min and |s - p| <= max.

    places_m: (G, 3), satellites_m: (S, 3), Earth-fixed [m]. min_elevation_rad: (G,) or one for all [rad].
    max_slant_m: [m]. threads: among which places are shared out. Returns Access, each place's satellites from south to
    north. NaN positions are never seen. Straight rays, geodetic horizon. Reference [3] section 11.2.
    """
    return seen(horizon(places_m, min_elevation_rad), sky(satellites_m), max_slant_m, threads)
