"""Orbits: constellations by their design, their motion in closed form, and the geometry that needs no motion.

The motion is the near-Earth analytic theory behind published element sets: Brouwer mean elements with secular J2, J2^2
and J4 rates, the long-period J3 terms, the short-period J2 terms and the power-series drag of Lane and Cranford. It
holds for periods below 225 min; the Moon, the Sun and resonances are left out, as they are in the published theory.

References
[1] F. R. Hoots, R. L. Roehrich, Spacetrack Report No. 3: Models for Propagation of NORAD Element Sets, 1980.
[2] D. A. Vallado, P. Crawford, R. Hujsak, T. S. Kelso, Revisiting Spacetrack Report #3, AIAA 2006-6753.
[3] D. A. Vallado, Fundamentals of Astrodynamics and Applications, 4th ed., 2013.
[4] J. G. Walker, Satellite constellations, J. British Interplanetary Society 37, 1984.
[5] S. Kassing et al., Exploring the "Internet from space" with Hypatia, IMC 2020.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from aether.base.tables import Elements, Floats, Ints, Track
from aether.space.sun import gmst

EARTH_RADIUS_M = 6378137.0  # WGS-84 equatorial radius, NGA.STND.0036
MU_M3_S2 = 3.986004418e14  # WGS-84 gravitational parameter, NGA.STND.0036
J2 = 1.08262668e-3  # EGM-96 second zonal harmonic, [3] appendix D
TROPICAL_YEAR_S = 365.242190 * 86400.0  # [3] chapter 3: the mean Sun's turn from equinox to equinox

# Element sets are fitted with the WGS-72 field, so their motion must use it too: [2] section "Constants".
_RADIUS_M = 6378135.0
_KE = 60.0 / math.sqrt(6378.135**3 / 398600.8)  # sqrt of the gravitational parameter [Earth radii^1.5 / min]
_J2 = 1.082616e-3
_J3_J2 = -2.53881e-6 / _J2
_J4 = -1.65597e-6
_LONGEST_NEAR_EARTH_S = 225.0 * 60.0  # [1]: beyond it resonances and third bodies matter
_FIELDS = 34  # constants per satellite that the kernel reads


@dataclass(frozen=True, slots=True)
class Prepared:
    """What `propagate` needs of each satellite, computed once and kept across windows."""

    constants: Floats  # (S, fields)

    @property
    def count(self) -> int:
        """How many satellites."""
        return int(self.constants.shape[0])


# --- closed-form geometry ---------------------------------------------------------------------------------------------


def period(altitude_m: float) -> float:
    """The Keplerian period of a circular orbit [s].

    P = 2 pi sqrt(a^3 / mu), a = R + altitude.

    altitude_m: above the equatorial radius [m]. Valid above 0. Reference [3] section 1.3.
    """
    return 2.0 * math.pi * math.sqrt((EARTH_RADIUS_M + altitude_m) ** 3 / MU_M3_S2)


def node_drift(altitude_m: float, inclination_rad: float) -> float:
    """The J2 drift of the ascending node of a circular orbit [rad/s].

    dOmega/dt = -3/2 J2 n (R / a)^2 cos i.

    altitude_m: [m]. inclination_rad: [rad]. First order in J2: within 0.2 %. Reference [3] eq. 9-37.
    """
    ratio = EARTH_RADIUS_M / (EARTH_RADIUS_M + altitude_m)
    return -1.5 * J2 * (2.0 * math.pi / period(altitude_m)) * ratio**2 * math.cos(inclination_rad)


def sun_synchronous_inclination(altitude_m: float) -> float:
    """The inclination at which the node of a circular orbit follows the mean Sun [rad]; NaN where none does.

    cos i = -(2 pi / year) / (3/2 J2 n (R / a)^2).

    altitude_m: [m]; up to about 5,970 km. First order in J2. Reference [3] section 11.4.1.
    """
    cosine = (2.0 * math.pi / TROPICAL_YEAR_S) / node_drift(altitude_m, 0.0)
    return math.acos(cosine) if abs(cosine) <= 1.0 else math.nan


def critical_beta(altitude_m: float) -> float:
    """The elevation of the Sun over the orbit plane above which a circular orbit has no eclipse [rad].

    sin beta* = R / (R + altitude), for a cylindrical shadow.

    altitude_m: [m]. Reference [3] section 5.3.
    """
    return math.asin(EARTH_RADIUS_M / (EARTH_RADIUS_M + altitude_m))


def eclipse_fraction(altitude_m: float, beta_rad: Floats | float = 0.0) -> Floats:
    """The share of a circular orbit spent in a cylindrical shadow.

    f = arccos( sqrt(h^2 + 2 R h) / ((R + h) cos beta) ) / pi, and 0 beyond the critical beta.

    altitude_m: [m]. beta_rad: elevation of the Sun over the plane [rad], any shape; 0 gives the largest fraction.
    Reference [3] section 5.3.
    """
    radius = EARTH_RADIUS_M + altitude_m
    tangent = math.sqrt(radius**2 - EARTH_RADIUS_M**2)
    cosine = np.cos(np.asarray(beta_rad, dtype=np.float64))
    return np.asarray(np.arccos(np.minimum(1.0, tangent / np.maximum(radius * cosine, 1e-9))) / math.pi)


def eclipse_longest(altitude_m: float) -> float:
    """The longest eclipse of a circular orbit [s]: the period times the largest eclipse fraction.

    altitude_m: [m]. Cylindrical shadow. Reference [3] section 5.3.
    """
    return float(eclipse_fraction(altitude_m)) * period(altitude_m)


def slant_range(altitude_m: float, elevation_rad: float) -> float:
    """The distance from a place at sea level to a satellite at an elevation [m].

    d = -R sin E + sqrt((R + h)^2 - R^2 cos^2 E), a spherical Earth of equatorial radius.

    altitude_m: [m]. elevation_rad: above the horizon [rad]. Reference [3] section 11.2.
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
    odd_plane_offset: shift of every odd plane in slots; 0.5 with F = 0 is Hypatia's convention [5].
    Returns elements (P S,), plane by plane. References [4], [5].
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
    [s]. phase_rad: of the first satellite from the node [rad]. Returns elements (count,). Reference [3] section 11.4.1.
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
    epoch_s: [s]. Returns elements (S,). Reference [2].
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
    return Elements(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def node_rate(altitude_m: float, inclination_rad: float) -> float:
    """The secular rate of the node of a circular orbit as propagated: J2, J2^2 and J4 [rad/s].

    altitude_m: mean [m]. inclination_rad: [rad]. Reference [2].
    """
    one = circular(altitude_m, inclination_rad, np.zeros(1), np.zeros(1))
    return float(prepare(one).constants[0, 5]) / 60.0


def mean_altitude(elements: Elements) -> Floats:
    """The mean altitude over the equatorial radius [m] (S,): the mean radius that `circular` puts into elements.

    r = a (1 - 3/4 J2 (R / p)^2 (3 cos^2 i - 1)), a the Brouwer axis. Small eccentricity. Reference [2].
    """
    cosine = np.cos(elements.inclination_rad)
    axis = _axis_of(elements.mean_motion_rad_s * 60.0, elements.eccentricity, cosine)
    p = axis * (1.0 - elements.eccentricity**2)
    return axis * (1.0 - 0.75 * _J2 / p**2 * (3.0 * cosine**2 - 1.0)) * _RADIUS_M - EARTH_RADIUS_M


def _brouwer_axis(altitude_m: float, inclination_rad: float) -> float:
    """The Brouwer mean axis [Earth radii] whose short-period mean radius is R + altitude."""
    wanted = (EARTH_RADIUS_M + altitude_m) / _RADIUS_M
    excess = 0.75 * _J2 * (3.0 * math.cos(inclination_rad) ** 2 - 1.0)
    axis = wanted
    for _ in range(4):
        axis = wanted + excess / axis
    return axis


def _kozai(axis: float, inclination_rad: float, eccentricity: float) -> float:
    """Kozai's mean motion [rad/min], which element sets carry, for a Brouwer axis [Earth radii]."""
    brouwer = _KE / axis**1.5
    cosine = np.array([math.cos(inclination_rad)])
    motion = brouwer
    for _ in range(8):
        found = float(_axis_of(np.array([motion]), np.array([eccentricity]), cosine)[0])
        motion *= (found / axis) ** 1.5
    return motion


def _axis_of(kozai: Floats, eccentricity: Floats, cosine: Floats) -> Floats:
    """The Brouwer mean axis [Earth radii] of Kozai's mean motion [rad/min]: the un-Kozai step of [1]."""
    first = (_KE / kozai) ** (2.0 / 3.0)
    factor = 0.75 * _J2 * (3.0 * cosine**2 - 1.0) / (1.0 - eccentricity**2) ** 1.5
    delta = factor / first**2
    better = first * (1.0 - delta * (1.0 / 3.0 + delta * (1.0 + 134.0 / 81.0 * delta)))
    return np.asarray((_KE / (kozai / (1.0 + factor / better**2))) ** (2.0 / 3.0))


# --- motion -----------------------------------------------------------------------------------------------------------


def prepare(elements: Elements) -> Prepared:
    """The constants of the motion, one row per satellite, in Earth radii and minutes.

    elements: (S,). Returns a record for `propagate`, to be kept while the elements stay. References [1], [2].
    """
    e, inc, arg = elements.eccentricity, elements.inclination_rad, elements.perigee_rad
    th, sin_i, bstar = np.cos(inc), np.sin(inc), elements.bstar
    kozai = elements.mean_motion_rad_s * 60.0
    a = _axis_of(kozai, e, th)
    n = _KE / a**1.5
    m_dot, arg_dot, node_dot, node_j2 = _secular_rates(a, n, e, th)
    drag = _drag(a, n, e, th, sin_i, arg, elements.mean_anomaly_rad, bstar)
    denominator = np.where(np.abs(1.0 + th) > 1.5e-12, 1.0 + th, 1.5e-12)
    columns = [
        elements.epoch_s, elements.mean_anomaly_rad, m_dot, arg, arg_dot, node_dot,
        elements.node_rad, 3.5 * (1.0 - e**2) * node_j2 * drag["c1"], a, n,
        e, bstar, th, sin_i, -0.5 * _J3_J2 * sin_i,
        -0.25 * _J3_J2 * sin_i * (3.0 + 5.0 * th) / denominator,
        *(drag[name] for name in _DRAG),
    ]  # fmt: skip
    table = np.zeros((len(e), _FIELDS))
    table[:, : len(columns)] = np.stack(columns, axis=1)
    return Prepared(table)


_DRAG = ("c1", "c4", "c5", "arg", "m", "eta", "m0", "s0", "d2", "d3", "d4", "t2", "t3", "t4", "t5", "full")


def _secular_rates(a: Floats, n: Floats, e: Floats, th: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Secular rates of anomaly, perigee and node [rad/min], and the node's first-order part alone."""
    inverse = 1.0 / (a * (1.0 - e**2)) ** 2
    beta = np.sqrt(1.0 - e**2)
    first = 1.5 * _J2 * inverse * n
    second = 0.5 * first * _J2 * inverse
    fourth = -15.0 / 32.0 * _J4 * inverse**2 * n
    th2, th4 = th**2, th**4
    m_dot = n + 0.5 * first * beta * (3.0 * th2 - 1.0) + second * beta * (13.0 - 78.0 * th2 + 137.0 * th4) / 16.0
    arg_dot = (
        -0.5 * first * (1.0 - 5.0 * th2)
        + second * (7.0 - 114.0 * th2 + 395.0 * th4) / 16.0
        + fourth * (3.0 - 36.0 * th2 + 49.0 * th4)
    )
    node_j2 = -first * th
    node_dot = node_j2 + th * (0.5 * second * (4.0 - 19.0 * th2) + 2.0 * fourth * (3.0 - 7.0 * th2))
    return m_dot, arg_dot, node_dot, node_j2


def _drag(
    a: Floats, n: Floats, e: Floats, th: Floats, sin_i: Floats, arg: Floats, anomaly: Floats, bstar: Floats
) -> dict[str, Floats]:
    """The coefficients of the power-series drag: Lane and Cranford's atmosphere of fourth power, [1] section 6."""
    perigee_km = (a * (1.0 - e) - 1.0) * _RADIUS_M / 1000.0
    s_km = np.where(perigee_km < 156.0, np.where(perigee_km < 98.0, 20.0, perigee_km - 78.0), 78.0)
    s = 1.0 + s_km * 1000.0 / _RADIUS_M
    q4 = ((120.0 - s_km) * 1000.0 / _RADIUS_M) ** 4
    xi = 1.0 / (a - s)
    eta = a * e * xi
    ee, eta2, psi2 = e * eta, eta**2, np.abs(1.0 - eta**2)
    coef = q4 * xi**4
    coef1 = coef / psi2**3.5
    x3, x1 = 3.0 * th**2 - 1.0, 1.0 - th**2
    c2 = coef1 * n * (
        a * (1.0 + 1.5 * eta2 + ee * (4.0 + eta2))
        + 0.375 * _J2 * xi / psi2 * x3 * (8.0 + 3.0 * eta2 * (8.0 + eta2))
    )  # fmt: skip
    c1 = bstar * c2
    round_ = e <= 1e-4  # [1]: the terms in 1/e are dropped for near-circular orbits
    safe = np.where(round_, 1.0, e)
    c3 = np.where(round_, 0.0, -2.0 * coef * xi * _J3_J2 * n * sin_i / safe)
    shape = a * (1.0 - e**2)
    even = x1 * (2.0 * eta2 - ee * (1.0 + eta2)) * np.cos(2.0 * arg)
    bulge = -3.0 * x3 * (1.0 - 2.0 * ee + eta2 * (1.5 - 0.5 * ee)) + 0.75 * even
    c4 = 2.0 * n * coef1 * shape * (
        eta * (2.0 + 0.5 * eta2) + e * (0.5 + 2.0 * eta2) - _J2 * xi / (a * psi2) * bulge
    )  # fmt: skip
    c5 = 2.0 * coef1 * shape * (1.0 + 2.75 * (eta2 + ee) + ee * eta2)
    d2 = 4.0 * a * xi * c1**2
    step = d2 * xi * c1 / 3.0
    d3 = (17.0 * a + s) * step
    d4 = 0.5 * step * a * xi * (221.0 * a + 31.0 * s) * c1
    return {
        "c1": c1, "c4": bstar * c4, "c5": bstar * c5, "eta": eta, "d2": d2, "d3": d3, "d4": d4,
        "arg": bstar * c3 * np.cos(arg),
        "m": np.where(round_, 0.0, -2.0 / 3.0 * coef * bstar / (safe * np.where(round_, 1.0, eta))),
        "m0": (1.0 + eta * np.cos(anomaly)) ** 3, "s0": np.sin(anomaly),
        "t2": 1.5 * c1, "t3": d2 + 2.0 * c1**2,
        "t4": 0.25 * (3.0 * d3 + c1 * (12.0 * d2 + 10.0 * c1**2)),
        "t5": 0.2 * (3.0 * d4 + 12.0 * c1 * d3 + 6.0 * d2**2 + 15.0 * c1**2 * (2.0 * d2 + c1**2)),
        "full": np.where(perigee_km < 220.0, 0.0, np.where(bstar == 0.0, -1.0, 1.0)),
    }  # fmt: skip


def propagate(elements: Elements | Prepared, time_s: Floats, epoch_jd: float, inertial: bool = True) -> Track:
    """Positions and velocities through a window, TEME and Earth-fixed.

    elements: (S,) or what `prepare` made of them. time_s: (T,) [s] from the scenario's epoch. epoch_jd: Julian date of
    second 0 [days, UT1 taken as UTC]. inertial: False leaves the inertial arrays empty (0, 0, 3) and only fills
    `fixed_m`, for large meshes. The Earth-fixed frame is TEME turned by mean sidereal time; polar motion is left out
    (below 15 m). A satellite that has decayed (radius below one Earth radius, or no valid ellipse) is NaN.

    Returns a Track (T, S, 3). Valid for periods below 225 min. References [1], [2].
    """
    made = elements if isinstance(elements, Prepared) else prepare(elements)
    time_s = np.ascontiguousarray(time_s, dtype=np.float64)
    angle = gmst_at(epoch_jd, time_s)
    shape = (len(time_s), made.count, 3)
    fixed = np.empty(shape)
    place = np.empty(shape if inertial else (0, 0, 3))
    velocity = np.empty(shape if inertial else (0, 0, 3))
    _fill(made.constants, time_s, np.cos(angle), np.sin(angle), inertial, place, velocity, fixed)
    return Track(time_s=time_s, inertial_m=place, velocity_m_s=velocity, fixed_m=fixed, gmst_rad=angle)
