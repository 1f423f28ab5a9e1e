"""Orbits: constellations by their design, and the geometry that needs no motion.

The motion itself is in `motion`; `prepare` and `propagate` are named here too, since an orbit is where one looks.

References
[1] D. A. Vallado, P. Crawford, R. Hujsak, T. S. Kelso, Revisiting Spacetrack Report #3, AIAA 2006-6753.
[2] D. A. Vallado, Fundamentals of Astrodynamics and Applications, 4th ed., 2013.
[3] J. G. Walker, Satellite constellations, J. British Interplanetary Society 37, 1984.
[4] S. Kassing et al., Exploring the "Internet from space" with Hypatia, IMC 2020.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from aether.base.tables import Elements, Floats, Ints
from aether.space.motion import (
    THEORY_J2,
    THEORY_KE,
    THEORY_RADIUS_M,
    Prepared,
    brouwer_axis,
    prepare,
    propagate,
)
from aether.space.sun import gmst

__all__ = [
    "Prepared", "chord", "circular", "critical_beta", "eclipse_fraction", "eclipse_longest", "join", "mean_altitude",
    "node_drift", "node_rate", "period", "prepare", "propagate", "ring", "slant_range", "sun_synchronous_inclination",
    "walker",
]  # fmt: skip

EARTH_RADIUS_M = 6378137.0  # WGS-84 equatorial radius, NGA.STND.0036
MU_M3_S2 = 3.986004418e14  # WGS-84 gravitational parameter, NGA.STND.0036
J2 = 1.08262668e-3  # EGM-96 second zonal harmonic, [2] appendix D
TROPICAL_YEAR_S = 365.242190 * 86400.0  # [2] chapter 3: the mean Sun's turn from equinox to equinox


# --- closed-form geometry ---------------------------------------------------------------------------------------------


def period(altitude_m: float) -> float:
    """The Keplerian period of a circular orbit [s].

    P = 2 pi sqrt(a^3 / mu), a = R + altitude.

    altitude_m: above the equatorial radius [m]. Valid above 0. Reference [2] section 1.3.
    """
    return 2.0 * math.pi * math.sqrt((EARTH_RADIUS_M + altitude_m) ** 3 / MU_M3_S2)


def node_drift(altitude_m: float, inclination_rad: float) -> float:
    """The J2 drift of the ascending node of a circular orbit [rad/s].

    dOmega/dt = -3/2 J2 n (R / a)^2 cos i.

    altitude_m: [m]. inclination_rad: [rad]. First order in J2: within 0.2 %. Reference [2] eq. 9-37.
    """
    ratio = EARTH_RADIUS_M / (EARTH_RADIUS_M + altitude_m)
    return -1.5 * J2 * (2.0 * math.pi / period(altitude_m)) * ratio**2 * math.cos(inclination_rad)


def sun_synchronous_inclination(altitude_m: float) -> float:
    """The inclination at which the node of a circular orbit follows the mean Sun [rad]; NaN where none does.

    cos i = -(2 pi / year) / (3/2 J2 n (R / a)^2).

    altitude_m: [m]; up to about 5,970 km. First order in J2. Reference [2] section 11.4.1.
    """
    cosine = (2.0 * math.pi / TROPICAL_YEAR_S) / node_drift(altitude_m, 0.0)
    return math.acos(cosine) if abs(cosine) <= 1.0 else math.nan


def critical_beta(altitude_m: float) -> float:
    """The elevation of the Sun over the orbit plane above which a circular orbit has no eclipse [rad].

    sin beta* = R / (R + altitude), for a cylindrical shadow.

    altitude_m: [m]. Reference [2] section 5.3.
    """
    return math.asin(EARTH_RADIUS_M / (EARTH_RADIUS_M + altitude_m))


def eclipse_fraction(altitude_m: float, beta_rad: Floats | float = 0.0) -> Floats:
    """The share of a circular orbit spent in a cylindrical shadow.

    f = arccos( sqrt(h^2 + 2 R h) / ((R + h) cos beta) ) / pi, and 0 beyond the critical beta.

    altitude_m: [m]. beta_rad: elevation of the Sun over the plane [rad], any shape; 0 gives the largest fraction.
    Reference [2] section 5.3.
    """
    radius = EARTH_RADIUS_M + altitude_m
    tangent = math.sqrt(radius**2 - EARTH_RADIUS_M**2)
    cosine = np.cos(np.asarray(beta_rad, dtype=np.float64))
    return np.asarray(np.arccos(np.minimum(1.0, tangent / np.maximum(radius * cosine, 1e-9))) / math.pi)


def eclipse_longest(altitude_m: float) -> float:
    """The longest eclipse of a circular orbit [s]: the period times the largest eclipse fraction.

    altitude_m: [m]. Cylindrical shadow. Reference [2] section 5.3.
    """
    return float(eclipse_fraction(altitude_m)) * period(altitude_m)


def slant_range(altitude_m: float, elevation_rad: float) -> float:
    """The distance from a place at sea level to a satellite at an elevation [m].

    d = -R sin E + sqrt((R + h)^2 - R^2 cos^2 E), a spherical Earth of equatorial radius.

    altitude_m: [m]. elevation_rad: above the horizon [rad]. Reference [2] section 11.2.
    """
    level = EARTH_RADIUS_M * math.cos(elevation_rad)
    return math.sqrt((EARTH_RADIUS_M + altitude_m) ** 2 - level**2) - EARTH_RADIUS_M * math.sin(elevation_rad)


def chord(altitude_m: float, per_plane: int) -> float:
    """The straight distance between neighbours of an evenly filled circular plane [m].

    c = 2 (R + h) sin(pi / per_plane).

    altitude_m: [m]. per_plane: satellites in the plane. Reference: plane trigonometry.
    """
    return 2.0 * (EARTH_RADIUS_M + altitude_m) * math.sin(math.pi / per_plane)


# --- constellations as mean elements ----------------------------------------------------------------------------------


def walker(
    planes: int,
    per_plane: int,
    altitude_m: float,
    inclination_rad: float,
    phasing: float = 0.0,
    raan_spread_rad: float = 2.0 * math.pi,
    raan_start_rad: float = 0.0,
    eccentricity: float = 0.0,
    epoch_s: float = 0.0,
    shell: int = 0,
    odd_plane_offset: float = 0.0,
) -> Elements:
    """A Walker shell: equal planes spread in node, equal slots in each, neighbours shifted in phase.

    node_p = start + spread p / P; u_ps = 2 pi s / S + 2 pi F p / (P S) + (p odd) 2 pi offset / S.

    planes P, per_plane S: counts. altitude_m: mean altitude over the equatorial radius [m]. inclination_rad: [rad].
    phasing F: Walker's, 0 to P - 1 for a delta pattern; fractions are allowed. raan_spread_rad: 2 pi for a delta, pi
    for a star pattern [rad]. eccentricity: mean; 0 is the frozen orbit of the theory. epoch_s: [s].
    odd_plane_offset: shift of every odd plane in slots; 0.5 with F = 0 is Hypatia's convention [4].
    Returns elements (P S,), plane by plane. References [3], [4].
    """
    plane = np.repeat(np.arange(planes), per_plane)
    slot = np.tile(np.arange(per_plane), planes)
    node = raan_start_rad + raan_spread_rad * plane / planes
    step = 2.0 * math.pi / per_plane
    phase = step * (slot + phasing * plane / planes + odd_plane_offset * (plane % 2))
    return circular(altitude_m, inclination_rad, node, phase, plane, slot, shell, eccentricity, epoch_s)


def ring(
    count: int,
    altitude_m: float,
    node_local_time_s: float,
    epoch_jd: float,
    epoch_s: float = 0.0,
    shell: int = 0,
    phase_rad: float = 0.0,
) -> Elements:
    """A sun-synchronous ring: one plane whose ascending node keeps its local mean solar time.

    The inclination makes the node's full secular rate equal to the mean Sun's; node = RA of the mean Sun
    + 2 pi (local time - 12 h) / 24 h.

    count: satellites, evenly spaced. altitude_m: mean [m]. node_local_time_s: local mean solar time of the ascending
    node [s of the day]; 6 h and 18 h are dawn-dusk. epoch_jd: Julian date of second 0 [days]. epoch_s: of the elements
    [s]. phase_rad: of the first satellite from the node [rad]. Returns elements (count,). Reference [2] section 11.4.1.
    """
    inclination = sun_synchronous_inclination(altitude_m)
    wanted = 2.0 * math.pi / TROPICAL_YEAR_S
    for _ in range(6):  # the rate is first order in J2 to 0.2 %, so this fixed point gains three digits a turn
        inclination = math.acos(math.cos(inclination) * wanted / node_rate(altitude_m, inclination))
    julian = epoch_jd + epoch_s / 86400.0
    mean_sun = float(gmst(np.array([julian]))[0]) - 2.0 * math.pi * (julian % 1.0)  # a Julian day begins at noon
    node = mean_sun + 2.0 * math.pi * (node_local_time_s / 86400.0 - 0.5)
    slot = np.arange(count)
    phase = phase_rad + 2.0 * math.pi * slot / count
    nodes = np.full(count, node)
    return circular(altitude_m, inclination, nodes, phase, np.zeros(count, np.int64), slot, shell, 0.0, epoch_s)


def circular(
    altitude_m: float,
    inclination_rad: float,
    node_rad: Floats,
    phase_rad: Floats,
    plane: Ints | None = None,
    slot: Ints | None = None,
    shell: int = 0,
    eccentricity: float = 0.0,
    epoch_s: float = 0.0,
) -> Elements:
    """Near-circular orbits of one altitude and inclination, with given nodes and phases, free of drag.

    altitude_m: mean radius less the equatorial one [m]. inclination_rad: [rad]. node_rad, phase_rad: node and mean
    argument of latitude (S,) [rad]. plane, slot: numbers (S,), -1 when not given. shell: number. eccentricity: mean.
    epoch_s: [s]. Returns elements (S,). Reference [1].
    """
    count = len(node_rad)
    none = np.full(count, -1, dtype=np.int64)
    motion = _kozai(_brouwer_axis(altitude_m, inclination_rad), inclination_rad, eccentricity) / 60.0
    return Elements(
        epoch_s=np.full(count, float(epoch_s)),
        mean_motion_rad_s=np.full(count, motion),
        eccentricity=np.full(count, float(eccentricity)),
        inclination_rad=np.full(count, float(inclination_rad)),
        node_rad=np.mod(np.asarray(node_rad, dtype=np.float64), 2.0 * math.pi),
        perigee_rad=np.zeros(count),
        mean_anomaly_rad=np.mod(np.asarray(phase_rad, dtype=np.float64), 2.0 * math.pi),
        bstar=np.zeros(count),
        plane=none if plane is None else np.asarray(plane, dtype=np.int64),
        slot=none.copy() if slot is None else np.asarray(slot, dtype=np.int64),
        shell=np.full(count, shell, dtype=np.int64),
    )


def join(*parts: Elements) -> Elements:
    """Several sets of elements as one, in the order given."""
    names = Elements.__dataclass_fields__
    if not parts:
        none: dict[str, Any] = {name: np.empty(0, dtype=np.int64 if name in WHOLE else np.float64) for name in names}
        return Elements(**none)
    return Elements(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


WHOLE = ("plane", "slot", "shell")  # columns of Elements that are numbers of something


def node_rate(altitude_m: float, inclination_rad: float) -> float:
    """The secular rate of the node of a circular orbit as propagated: J2, J2^2 and J4 [rad/s].

    altitude_m: mean [m]. inclination_rad: [rad]. Reference [1].
    """
    one = circular(altitude_m, inclination_rad, np.zeros(1), np.zeros(1))
    return float(prepare(one).node_rate_rad_s[0])


def mean_altitude(elements: Elements) -> Floats:
    """The mean altitude over the equatorial radius [m] (S,): the mean radius that `circular` puts into elements.

    r = a (1 - 3/4 J2 (R / p)^2 (3 cos^2 i - 1)), a the Brouwer axis. Small eccentricity. Reference [1].
    """
    cosine = np.cos(elements.inclination_rad)
    axis = brouwer_axis(elements.mean_motion_rad_s * 60.0, elements.eccentricity, cosine)
    p = axis * (1.0 - elements.eccentricity**2)
    return axis * (1.0 - 0.75 * THEORY_J2 / p**2 * (3.0 * cosine**2 - 1.0)) * THEORY_RADIUS_M - EARTH_RADIUS_M


def _brouwer_axis(altitude_m: float, inclination_rad: float) -> float:
    """The Brouwer mean axis [Earth radii] whose short-period mean radius is R + altitude."""
    wanted = (EARTH_RADIUS_M + altitude_m) / THEORY_RADIUS_M
    excess = 0.75 * THEORY_J2 * (3.0 * math.cos(inclination_rad) ** 2 - 1.0)
    axis = wanted
    for _ in range(4):
        axis = wanted + excess / axis
    return axis


def _kozai(axis: float, inclination_rad: float, eccentricity: float) -> float:
    """Kozai's mean motion [rad/min], which element sets carry, for a Brouwer axis [Earth radii]."""
    brouwer = THEORY_KE / axis**1.5
    cosine = np.array([math.cos(inclination_rad)])
    motion = brouwer
    for _ in range(8):
        found = float(brouwer_axis(np.array([motion]), np.array([eccentricity]), cosine)[0])
        motion *= (found / axis) ** 1.5
    return motion
