"""The motion of satellites in closed form, from mean elements.

This is the near-Earth analytic theory behind published element sets: Brouwer mean elements with secular J2, J2^2 and
J4 rates, the long-period J3 terms, the short-period J2 terms and the power-series drag of Lane and Cranford. It holds
for periods below 225 min; the Moon, the Sun and resonances are left out, as they are in the published theory.

References
[1] F. R. Hoots, R. L. Roehrich, Spacetrack Report No. 3: Models for Propagation of NORAD Element Sets, 1980.
[2] D. A. Vallado, P. Crawford, R. Hujsak, T. S. Kelso, Revisiting Spacetrack Report #3, AIAA 2006-6753.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from aether.base.tables import Elements, Floats, Track
from aether.space.sun import gmst_at

# Element sets are fitted with the WGS-72 field, so their motion must use it too: [2] section on constants.
THEORY_RADIUS_M = 6378135.0  # WGS-72, [2]
THEORY_KE = 60.0 / math.sqrt(6378.135**3 / 398600.8)  # root of WGS-72's mu [Earth radii^1.5 / min], [2]
THEORY_J2 = 1.082616e-3  # WGS-72, [2]
_J3_J2 = -2.53881e-6 / THEORY_J2  # WGS-72, [2]
_J4 = -1.65597e-6  # WGS-72, [2]
_J2 = THEORY_J2
_KE = THEORY_KE
_KM = THEORY_RADIUS_M / 1000.0
_HALF_PI_HIGH = float(np.float32(math.pi / 2.0))  # its products with small whole numbers are exact
_HALF_PI_LOW = -4.3711390001862426e-08  # the rest of pi / 2, from its first 40 digits
_SIN3, _SIN5, _SIN7, _SIN9, _SIN11, _SIN13, _SIN15 = (
    -((-1) ** (n // 2 + 1)) / math.factorial(n) for n in range(3, 16, 2)
)
_COS4, _COS6, _COS8, _COS10, _COS12, _COS14, _COS16 = ((-1) ** (n // 2) / math.factorial(n) for n in range(4, 17, 2))
_MINUTE = 1.0 / 60.0
_SPEED = THEORY_RADIUS_M / 60.0
LONGEST_PERIOD_S = 225.0 * 60.0  # [1]: beyond it resonances and third bodies matter


@dataclass(frozen=True, slots=True)
class Prepared:
    """What `propagate` needs of each satellite, computed once and kept across windows."""

    constants: Floats  # (S, fields), Earth radii and minutes; the order is that of `prepare`

    @property
    def count(self) -> int:
        """How many satellites."""
        return int(self.constants.shape[0])

    @property
    def node_rate_rad_s(self) -> Floats:
        """The secular rate of each node (S,) [rad/s], without drag."""
        return self.constants[:, _NODE_DOT] / 60.0

    @property
    def latitude_rate_rad_s(self) -> Floats:
        """The secular rate of each mean argument of latitude (S,) [rad/s], without drag."""
        return (self.constants[:, _M_DOT] + self.constants[:, _ARG_DOT]) / 60.0


def brouwer_axis(kozai: Floats, eccentricity: Floats, cosine: Floats) -> Floats:
    """The Brouwer mean axis [Earth radii] of the mean motion that element sets carry, Kozai's.

    a1 = (ke / n)^(2/3); d = 3/4 J2 (3 cos^2 i - 1) / (1 - e^2)^(3/2); a0 = a1 (1 - d1/3 - d1^2 - 134/81 d1^3) with
    d1 = d / a1^2; n'' = n / (1 + d / a0^2); a = (ke / n'')^(2/3).

    kozai: [rad/min]. eccentricity, cosine of the inclination: of one shape. Reference [1] section 6.
    """
    first = (_KE / kozai) ** (2.0 / 3.0)
    factor = 0.75 * _J2 * (3.0 * cosine**2 - 1.0) / (1.0 - eccentricity**2) ** 1.5
    delta = factor / first**2
    better = first * (1.0 - delta * (1.0 / 3.0 + delta * (1.0 + 134.0 / 81.0 * delta)))
    return np.asarray((_KE / (kozai / (1.0 + factor / better**2))) ** (2.0 / 3.0))


def prepare(elements: Elements) -> Prepared:
    """The constants of the motion, one row per satellite, in Earth radii and minutes.

    elements: (S,). Returns a record for `propagate`, to be kept while the elements stay. References [1], [2].
    """
    e, inc, arg = elements.eccentricity, elements.inclination_rad, elements.perigee_rad
    th, sin_i, bstar = np.cos(inc), np.sin(inc), elements.bstar
    kozai = elements.mean_motion_rad_s * 60.0
    a = brouwer_axis(kozai, e, th)
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
    return Prepared(np.ascontiguousarray(np.stack(columns, axis=1)))


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
    perigee_km = (a * (1.0 - e) - 1.0) * _KM
    s_km = np.where(perigee_km < 156.0, np.where(perigee_km < 98.0, 20.0, perigee_km - 78.0), 78.0)
    s = 1.0 + s_km / _KM
    q4 = ((120.0 - s_km) / _KM) ** 4
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


# Columns of the constants: the order in which `prepare` stacks them.
(
    _EPOCH, _M0, _M_DOT, _ARG0, _ARG_DOT, _NODE_DOT, _NODE0, _NODE_DRAG, _A, _N, _ECC, _BSTAR, _THETA, _SIN_I, _AY, _L,
    _C1, _C4, _C5, _ARG_DRAG, _M_DRAG, _ETA, _CUBE0, _SIN_M0, _D2, _D3, _D4, _T2, _T3, _T4, _T5, _FULL,
) = range(32)  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _sine_cosine(x):  # type: ignore[no-untyped-def]
    """Sine and cosine together, to 3e-16 for |x| < 1e5: Taylor series about the nearest quarter turn.

    A fifth of the library's cost, since numba calls it twice and it must serve every argument.
    """
    quarter = np.rint(x * (2.0 / math.pi))
    y = (x - quarter * _HALF_PI_HIGH) - quarter * _HALF_PI_LOW
    z = y * y
    s = _SIN11 + z * (_SIN13 + z * _SIN15)
    s = y + y * z * (_SIN3 + z * (_SIN5 + z * (_SIN7 + z * (_SIN9 + z * s))))
    c = _COS10 + z * (_COS12 + z * (_COS14 + z * _COS16))
    c = 1.0 + z * (-0.5 + z * (_COS4 + z * (_COS6 + z * (_COS8 + z * c))))
    turn = np.int64(quarter) & 3
    odd = float(turn & 1)  # arithmetic, not branches: the quadrant is as good as random
    even = 1.0 - odd
    sign = 1.0 - float(turn & 2)
    return sign * (even * s + odd * c), sign * (even * c - odd * s)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _turn(sine, cosine, angle):  # type: ignore[no-untyped-def]
    """Sine and cosine after a further small turn; the Taylor remainder is below 1e-15 for |angle| < 0.01."""
    square = angle * angle
    s = angle + angle * square * (_SIN3 + square * _SIN5)
    c = 1.0 + square * (-0.5 + square * (_COS4 + square * _COS6))
    return sine * c + cosine * s, cosine * c - sine * s


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _mean(k, row, t):  # type: ignore[no-untyped-def]
    """Mean elements after `t` minutes: axis, eccentricity, perigee, node, and anomaly + perigee."""
    anomaly = k[row, _M0] + k[row, _M_DOT] * t
    perigee = k[row, _ARG0] + k[row, _ARG_DOT] * t
    node = k[row, _NODE0] + k[row, _NODE_DOT] * t
    a, e, full = k[row, _A], k[row, _ECC], k[row, _FULL]
    if full >= 0.0:
        shrink, round_, ahead = 1.0 - k[row, _C1] * t, k[row, _C4] * t, k[row, _T2] * t * t
        node += k[row, _NODE_DRAG] * t * t
        if full > 0.0:
            shift = k[row, _ARG_DRAG] * t
            shift += k[row, _M_DRAG] * ((1.0 + k[row, _ETA] * math.cos(anomaly)) ** 3 - k[row, _CUBE0])
            anomaly += shift
            perigee -= shift
            shrink -= t * t * (k[row, _D2] + t * (k[row, _D3] + t * k[row, _D4]))
            round_ += k[row, _C5] * (math.sin(anomaly) - k[row, _SIN_M0])
            ahead += t * t * t * (k[row, _T3] + t * (k[row, _T4] + t * k[row, _T5]))
        a = a * shrink * shrink if shrink > 0.0 else math.nan  # beyond its zero the series would climb again
        e = max(e - round_, 1.0e-6)  # [2] always keeps e so far off zero; without drag it would misplace by 14 m
        anomaly += k[row, _N] * ahead
    return a, e, perigee, node, anomaly + perigee


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _kepler(u, ax, ay):  # type: ignore[no-untyped-def]
    """Sine and cosine of the eccentric longitude E with E - ax sin E + ay cos E = u, by Newton's method."""
    ahead = 0.0  # E - u, so that no digits go to whole turns
    s, c = _sine_cosine(u)
    for _ in range(12):
        miss = ax * s - ay * c - ahead
        if abs(miss) < 1.0e-12:
            break
        step = min(0.95, max(-0.95, miss / (1.0 - ax * c - ay * s)))
        ahead += step
        if abs(step) < 0.01:  # cheaper than sine and cosine anew, and as exact
            s, c = _turn(s, c, step)
        else:
            s, c = _sine_cosine(u + ahead)
    return s, c


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _state(k, row, t):  # type: ignore[no-untyped-def]
    """Radius, its rates, and sine and cosine of latitude argument, node and inclination; [Earth radii, min]."""
    a, e, perigee, node, latitude = _mean(k, row, t)
    th, sin_i = k[row, _THETA], k[row, _SIN_I]
    x3, x1, x7 = 3.0 * th * th - 1.0, 1.0 - th * th, 7.0 * th * th - 1.0
    shape = 1.0 - e * e
    inverse = 1.0 / (a * shape)
    over_a = inverse * shape
    sine, cosine = _sine_cosine(perigee)
    ax = e * cosine
    ay = e * sine + inverse * k[row, _AY]  # long period, J3
    s, c = _kepler(latitude + inverse * k[row, _L] * ax, ax, ay)
    e_cos, e_sin, e2 = ax * c + ay * s, ax * s - ay * c, ax * ax + ay * ay
    narrow = 1.0 - e2
    beta, root = math.sqrt(max(0.0, narrow)), math.sqrt(a)
    near = 1.0 / (1.0 - e_cos)  # axis over radius
    share = e_sin / (1.0 + beta)
    su, cu = near * (s - ay - ax * share), near * (c - ax + ay * share)
    sin2, cos2 = 2.0 * su * cu, 1.0 - 2.0 * su * su
    over_p = over_a / narrow
    half = 0.5 * _J2 * over_p
    quarter = half * over_p
    rate = _KE * over_a * root  # the circular speed at the axis
    n = rate * over_a
    radius = a * (1.0 - e_cos) * (1.0 - 1.5 * quarter * beta * x3) + 0.5 * half * x1 * cos2  # short period, J2
    radial = rate * near * e_sin - n * half * x1 * sin2
    along = rate * near * beta + n * half * (x1 * cos2 + 1.5 * x3)
    su, cu = _turn(su, cu, -0.25 * quarter * x7 * sin2)
    sine, cosine = _sine_cosine(node)
    so, co = _turn(sine, cosine, 1.5 * quarter * th * sin2)
    si, ci = _turn(sin_i, th, 1.5 * quarter * th * sin_i * cos2)
    if not (radius >= 1.0 and a >= 0.95 and e < 1.0 and e2 < 1.0):  # decayed: [2] stops here too
        radius = math.nan
    return radius, radial, along, su, cu, so, co, si, ci


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _fill(k, time_s, cosine, sine, inertial, place, velocity, fixed):  # type: ignore[no-untyped-def]
    """Positions, and velocities where `inertial`, of every satellite at every time."""
    for i in range(len(time_s)):
        cg, sg = cosine[i], sine[i]
        for j in range(k.shape[0]):
            r, radial, along, su, cu, so, co, si, ci = _state(k, j, (time_s[i] - k[j, _EPOCH]) * _MINUTE)
            r *= THEORY_RADIUS_M
            x, y, z = co * cu - so * ci * su, so * cu + co * ci * su, si * su
            fixed[i, j, 0] = r * (cg * x + sg * y)
            fixed[i, j, 1] = r * (cg * y - sg * x)
            fixed[i, j, 2] = r * z
            if inertial:
                radial_m_s, along_m_s = radial * _SPEED, along * _SPEED
                place[i, j, 0], place[i, j, 1], place[i, j, 2] = r * x, r * y, r * z
                velocity[i, j, 0] = radial_m_s * x - along_m_s * (co * su + so * ci * cu)
                velocity[i, j, 1] = radial_m_s * y - along_m_s * (so * su - co * ci * cu)
                velocity[i, j, 2] = radial_m_s * z + along_m_s * si * cu
