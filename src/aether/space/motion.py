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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from aether.base.errors import InputError, Problem, unknown
from aether.base.tables import Elements, Floats, Ints, Track
from aether.space import motion_kernels as kernels
from aether.space.sun import gmst_at

THEORY_RADIUS_M = kernels.RADIUS_M
THEORY_KE = kernels.KE
THEORY_J2 = kernels.J2
_J3_J2 = -2.53881e-6 / THEORY_J2  # WGS-72, [2]
_J4 = -1.65597e-6  # WGS-72, [2]
_J2 = THEORY_J2
_KE = THEORY_KE
_KM = THEORY_RADIUS_M / 1000.0
_TURN = 2.0 * math.pi
Theory = Literal["sgp4", "j2"]
LONGEST_PERIOD_S = 225.0 * 60.0  # [1]: beyond it resonances and third bodies matter


@dataclass(frozen=True, slots=True)
class Prepared:
    """What `propagate` needs of each satellite, computed once and kept across windows."""

    constants: Floats  # flat: tiles of fields of satellites, laid out as `motion_kernels` says
    kind: Ints  # (tiles,) whether eccentricity or drag matter in any of its satellites
    count: int  # satellites

    def _field(self, name: str) -> Floats:
        tiles = self.constants.reshape(len(self.kind), len(kernels.FIELDS), kernels.TILE)
        return tiles[:, kernels.FIELDS.index(name)].reshape(-1)[: self.count]

    @property
    def node_rate_rad_s(self) -> Floats:
        """The secular rate of each node (S,) [rad/s], without drag."""
        return self._field("node_dot") * (_TURN / 60.0)

    @property
    def latitude_rate_rad_s(self) -> Floats:
        """The secular rate of each mean argument of latitude (S,) [rad/s], without drag."""
        return self._field("lat_dot") * (_TURN / 60.0)


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
    over_p = 1.0 / (a * (1.0 - e**2))
    denominator = np.where(np.abs(1.0 + th) > 1.5e-12, 1.0 + th, 1.5e-12)
    lag = -0.25 * _J3_J2 * sin_i * (3.0 + 5.0 * th) / denominator
    x3 = 3.0 * th**2 - 1.0
    m0, arg0 = elements.mean_anomaly_rad / _TURN, arg / _TURN
    least = np.where(drag["acts"], 1e-6, 0.0)  # [2] keeps e so far off zero; without drag it would misplace by 14 m
    columns = [
        elements.epoch_s / 60.0, m0, m_dot / _TURN, arg0, arg_dot / _TURN, m0 + arg0, (m_dot + arg_dot) / _TURN,
        elements.node_rad / _TURN, node_dot / _TURN, a, e, th, sin_i, -0.5 * _J3_J2 * sin_i, lag / _TURN,
        0.25 * _J2 * (1.0 - th**2), 0.75 * _J2 * x3, -0.125 * _J2 * (7.0 * th**2 - 1.0), 0.75 * _J2 * th / _TURN,
        0.75 * _J2 * th * sin_i, a * (1.0 - 0.75 * _J2 * over_p**2 * x3), n / _TURN, least,
        3.5 * (1.0 - e**2) * node_j2 * drag["c1"] / _TURN, *(drag[name] for name in _DRAG),
    ]  # fmt: skip
    kind = np.where(drag["acts"], kernels.DRAGGED, np.where(e == 0.0, kernels.ROUND, kernels.ECCENTRIC))
    spare = -len(e) % kernels.TILE  # lanes of the last tile that stand empty
    padded = np.pad(np.stack(columns), ((0, 0), (0, spare))).reshape(len(columns), -1, kernels.TILE)
    kinds = np.pad(kind, (0, spare)).reshape(-1, kernels.TILE).max(axis=1, initial=kernels.ROUND)
    constants = kernels.aligned(padded.size)
    constants[:] = padded.swapaxes(0, 1).reshape(-1)
    return Prepared(constants, kinds, len(e))


_DRAG = ("c1", "c4", "c5", "arg", "m", "eta", "cube0", "sin_m0", "d2", "d3", "d4", "t2", "t3", "t4", "t5")


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
    simple = perigee_km < 220.0  # [1]: so low, only the linear and quadratic terms are kept
    full = {
        "c5": bstar * c5, "d2": d2, "d3": d3, "d4": d4, "arg": bstar * c3 * np.cos(arg),
        "m": np.where(round_, 0.0, -2.0 / 3.0 * coef * bstar / (safe * np.where(round_, 1.0, eta))),
        "t3": d2 + 2.0 * c1**2,
        "t4": 0.25 * (3.0 * d3 + c1 * (12.0 * d2 + 10.0 * c1**2)),
        "t5": 0.2 * (3.0 * d4 + 12.0 * c1 * d3 + 6.0 * d2**2 + 15.0 * c1**2 * (2.0 * d2 + c1**2)),
    }  # fmt: skip
    return {
        **{name: np.where(simple, 0.0, value) for name, value in full.items()},
        "c1": c1, "c4": bstar * c4, "t2": 1.5 * c1, "eta": eta, "cube0": (1.0 + eta * np.cos(anomaly)) ** 3,
        "sin_m0": np.sin(anomaly), "acts": simple | (bstar != 0.0),
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
    span = (np.uint64(0), np.uint64(len(made.kind)), np.uint64(made.count), time_s, np.cos(angle), np.sin(angle))
    arrays = 3 if inertial else 1
    # one piece of memory, since the system hands out, and takes back, three of them much more slowly
    whole = np.empty((arrays, len(time_s), made.count, 3))
    flat = whole.reshape(arrays, -1)
    if inertial:
        kernels.states(made.constants, made.kind, *span, flat[0], kernels.scratch(), flat[1], flat[2])
        place, velocity = whole[1], whole[2]
    else:
        kernels.fixed(made.constants, made.kind, *span, flat[0], kernels.scratch())
        place, velocity = np.empty((0, 0, 3)), np.empty((0, 0, 3))
    return Track(time_s=time_s, inertial_m=place, velocity_m_s=velocity, fixed_m=whole[0], gmst_rad=angle)


def positions(
    ready: Prepared,
    time_s: Floats,
    epoch_jd: float,
    theory: Theory = "sgp4",
    threads: int = 1,
    out: Floats | None = None,
) -> Floats:
    """Earth-fixed positions alone, the fast way (T, S, 3) [m].

    "sgp4" is the theory of `propagate`, bit for bit: within 10 um of its plain form after a day and 0.3 mm after a
    year. "j2" puts every satellite on a circle of its mean radius whose phase and node run at their secular rates,
    without drag, eccentricity and periodic terms: within 25 km of the theory for near-circular low orbits without drag,
    after a day as after a year.

    ready: from `prepare`. time_s: (T,) [s]. epoch_jd: Julian date of second 0 [days]. threads: they share the tiles of
    96 satellites; the result is the same bit for bit. out: a C-ordered (T, S, 3) array to fill instead of a new one,
    since in a loop over large meshes fresh memory costs as much as the motion. xyz lie side by side, as everyone reads
    them; the kernels keep them apart and interleave as they store. Raises InputError for an unknown theory, fewer than
    one thread, or an `out` that does not fit. Reference [2].
    """
    time_s = np.ascontiguousarray(time_s, dtype=np.float64)
    shape = (len(time_s), ready.count, 3)
    _check(theory, threads, shape, out)
    angle, count = gmst_at(epoch_jd, time_s), np.uint64(ready.count)
    filled = np.empty(shape) if out is None else out
    flat = filled.reshape(-1)

    def part(first: int, last: int) -> None:
        span = (np.uint64(first), np.uint64(last), count, time_s)
        if theory == "j2":
            kernels.circles(ready.constants, *span, angle, flat)
        else:
            kernels.fixed(ready.constants, ready.kind, *span, np.cos(angle), np.sin(angle), flat, kernels.scratch())

    tiles = len(ready.kind)
    cuts = [tiles * i // threads for i in range(threads + 1)]
    if threads == 1:
        part(0, tiles)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(part, cuts[:-1], cuts[1:]))
    return filled


def _check(theory: str, threads: int, shape: tuple[int, int, int], out: Floats | None) -> None:
    problems = [] if theory in get_args(Theory) else [unknown("theory", "theory of motion", theory, get_args(Theory))]
    if threads < 1:
        problems.append(Problem("threads", f"{threads} threads", next="Use at least 1"))
    if out is not None and (out.shape != shape or out.dtype != np.float64 or not out.flags.c_contiguous):
        problems.append(Problem("out", f"{out.dtype} {out.shape}", next=f"Give a C-ordered float64 array {shape}"))
    if problems:
        raise InputError(problems)
