"""The motion of satellites tile by tile: the kernels under `motion`, written so that a processor takes eight at a time.

Layout. Satellites come in tiles of 96. The constants of all tiles are one flat array: tile after tile, in it field
after field, in it lane after lane. What a kernel hands to the next lies in one flat scratch array of the same form. So
every operand of an inner loop is `array[start + field * 96 + lane]`, with `field * 96` known to the compiler: it sees
that no two fields overlap and that nothing is carried from lane to lane, which is what it needs to use its widest
registers. Indices are unsigned, since Python's negative ones would cost a choice per element. A tile's constants and
scratch stay in the nearest cache while the kernels pass over it, instant after instant. Kernels are short for speed
too: a processor looks only so far ahead, and overlaps one satellite's chain of sums with the next only if it is short.

Angles are in turns: their whole part drops out exactly, however many turns a year holds. Lengths are Earth radii,
times minutes, as in the published theory; reference numbers are those of `motion`.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from aether.base.tables import Floats

TILE = 96  # satellites: what the passes touch stays in the first cache, and each is long enough to get going
# What `motion.prepare` stacks, in this order; angles and rates of angles in turns.
FIELDS = (
    "epoch", "m0", "m_dot", "arg0", "arg_dot", "lat0", "lat_dot", "node0", "node_dot", "a", "ecc",
    "cos_i", "sin_i", "ay", "l", "short_r", "short_a", "short_u", "short_node", "short_tilt", "radius", "n", "least_ecc", "node_drag", "c1", "c4", "c5",
    "arg_drag", "m_drag", "eta", "cube0", "sin_m0", "d2", "d3", "d4", "t2", "t3", "t4", "t5",
)  # fmt: skip
(
    _EPOCH, _M0, _M_DOT, _ARG0, _ARG_DOT, _LAT0, _LAT_DOT, _NODE0, _NODE_DOT, _A0, _ECC0, _COS_I,
    _SIN_I, _AY0, _L0, _SHORT_R, _SHORT_A, _SHORT_U, _SHORT_NODE, _SHORT_TILT, _RADIUS0, _N, _LEAST_ECC, _NODE_DRAG, _C1, _C4, _C5, _ARG_DRAG, _M_DRAG, _ETA,
    _CUBE0, _SIN_M0, _D2, _D3, _D4, _T2, _T3, _T4, _T5,
) = (np.uint64(TILE * i) for i in range(len(FIELDS)))  # fmt: skip
# The scratch. An angle's sine and cosine follow it; over stands for the reciprocal.
(
    _A, _OVER_A, _ECC, _OVER_P, _ARG, _SIN_ARG, _COS_ARG, _LAT, _AX, _AY, _MEAN, _SIN_E, _COS_E, _NEAR, _OVER_NEAR, _E_SIN,
    _BETA, _OVER_L, _SIN_TRUE, _COS_TRUE, _R, _SIN_U, _COS_U, _NODE, _SIN_NODE, _COS_NODE, _SIN_TILT, _COS_TILT,
) = (np.uint64(TILE * i) for i in range(28))  # fmt: skip
_SCRATCH = 28 * TILE
_STRIDE = np.uint64(TILE * len(FIELDS))
_LANES = np.uint64(TILE)
_ONE, _TWO, _THREE = np.uint64(1), np.uint64(2), np.uint64(3)

RADIUS_M = 6378135.0  # WGS-72, [2]: element sets are fitted with this field
KE = 60.0 / math.sqrt(6378.135**3 / 398600.8)  # root of WGS-72's mu [Earth radii^1.5 / min], [2]
J2 = 1.082616e-3  # WGS-72, [2]
_SPEED = RADIUS_M / 60.0
_MINUTE = 1.0 / 60.0
_TURN = 1.0 / (2.0 * math.pi)
_ROUND_SQUARE = 2e-4  # of the eccentricity: beyond it the series of `_kepler` fail in the thirteenth digit
_SETTLED = 1e-12  # [rad] what Kepler's equation may be missed by: 7 um
# sin(pi r) / r and cos(pi r) in powers of r^2, r up to a half: interpolated at Chebyshev's nodes in 64-bit mantissas;
# 2.5e-16 and 1e-16 off at most
_S0, _S1, _S2, _S3, _S4, _S5, _S6, _S7 = (
    3.1415926535897927, -5.1677127800497855, 2.5501640398618677, -0.5992645288252314, 0.08214587881641831,
    -0.007370364327267842, 0.0004659870181429037, -2.113363014236431e-05,
)  # fmt: skip
_K1, _K2, _K3, _K4, _K5, _K6, _K7, _K8 = (
    -4.934802200544676, 4.058712126416496, -1.335262768843418, 0.23533063012905936, -0.02580688873282137,
    0.001929556252064953, -0.00010456650158981317, 4.149511108175569e-06,
)  # fmt: skip
ROUND, ECCENTRIC, DRAGGED = 0, 1, 2  # kinds of tiles: the most that any of its satellites asks for
_MATH = {"contract", "nsz", "arcp"}  # neither order of sums nor NaN is touched


def aligned(size: int) -> Floats:
    """Zeros that begin on a cache line: the widest loads take twice as long where they straddle two."""
    raw = np.zeros(size + 8)
    skip = -raw.ctypes.data % 64 // 8
    return raw[skip : skip + size]


def scratch() -> Floats:
    """Room for the kernels to work in, one for each thread."""
    return aligned(_SCRATCH)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_MATH)
def _sine_cosine(turns):  # type: ignore[no-untyped-def]
    """Sine and cosine of an angle in turns, to 2e-15: series for half the angle, then doubled, so without quadrants."""
    r = turns - np.rint(turns)
    z = r * r
    s = r * (_S0 + z * (_S1 + z * (_S2 + z * (_S3 + z * (_S4 + z * (_S5 + z * (_S6 + z * _S7)))))))
    c = 1.0 + z * (_K1 + z * (_K2 + z * (_K3 + z * (_K4 + z * (_K5 + z * (_K6 + z * (_K7 + z * _K8)))))))
    twice = s + s
    return twice * c, 1.0 - twice * s


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_MATH)
def _turn(sine, cosine, angle):  # type: ignore[no-untyped-def]
    """Sine and cosine after a further small turn [rad]; the Taylor remainder is below 1e-15 for |angle| < 0.02."""
    square = angle * angle
    s = angle + angle * square * (-1.0 / 6.0 + square * (1.0 / 120.0))
    c = 1.0 + square * (-0.5 + square * (1.0 / 24.0 - square * (1.0 / 720.0)))
    return sine * c + cosine * s, cosine * c - sine * s


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_MATH)
def _nudge(sine, cosine, angle):  # type: ignore[no-untyped-def]
    """Like `_turn` for |angle| < 0.001, as J2 turns an orbit; the remainder is below 5e-14."""
    square = angle * angle
    s = angle - angle * square * (1.0 / 6.0)
    c = 1.0 - 0.5 * square
    return sine * c + cosine * s, cosine * c - sine * s


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_MATH)
def _shape(k, at, lanes, w):  # type: ignore[no-untyped-def]
    """Axis and eccentricity of a tile, which stay without drag: once for all instants."""
    for j in range(min(lanes, _LANES)):
        a, e = k[at + _A0 + j], k[at + _ECC0 + j]
        w[_A + j] = a if a >= 0.95 and e < 1.0 else math.nan  # decayed: [2] stops here too
        w[_ECC + j] = e
        w[_OVER_A + j] = 1.0 / a
        w[_OVER_P + j] = 1.0 / (a * (1.0 - e * e))


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_MATH)
def _mean(k, at, lanes, w, minute):  # type: ignore[no-untyped-def]
    """Mean angles, which run evenly without drag."""
    for j in range(min(lanes, _LANES)):
        t = minute - k[at + _EPOCH + j]
        w[_ARG + j] = k[at + _ARG0 + j] + k[at + _ARG_DOT + j] * t
        w[_LAT + j] = k[at + _LAT0 + j] + k[at + _LAT_DOT + j] * t
        w[_NODE + j] = k[at + _NODE0 + j] + k[at + _NODE_DOT + j] * t


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_MATH)
def _drag(k, at, lanes, w, minute):  # type: ignore[no-untyped-def]
    """What drag changes of the mean elements; the coefficients are zero for satellites that are spared it."""
    for j in range(min(lanes, _LANES)):
        t = minute - k[at + _EPOCH + j]
        anomaly = k[at + _M0 + j] + k[at + _M_DOT + j] * t
        _, cosine = _sine_cosine(anomaly)
        bulge = 1.0 + k[at + _ETA + j] * cosine
        shift = k[at + _ARG_DRAG + j] * t + k[at + _M_DRAG + j] * (bulge * bulge * bulge - k[at + _CUBE0 + j])
        sine, _ = _sine_cosine(anomaly + shift * _TURN)
        shrink = 1.0 - t * (k[at + _C1 + j] + t * (k[at + _D2 + j] + t * (k[at + _D3 + j] + t * k[at + _D4 + j])))
        rounder = k[at + _C4 + j] * t + k[at + _C5 + j] * (sine - k[at + _SIN_M0 + j])
        ahead = t * t * (k[at + _T2 + j] + t * (k[at + _T3 + j] + t * (k[at + _T4 + j] + t * k[at + _T5 + j])))
        a = k[at + _A0 + j] * shrink * shrink
        e, least = k[at + _ECC0 + j] - rounder, k[at + _LEAST_ECC + j]
        e = e if e > least else least
        sound = shrink > 0.0 and a >= 0.95 and e < 1.0  # beyond the zero of `shrink` the series would climb again
        w[_A + j], w[_ECC + j] = a if sound else math.nan, e
        w[_OVER_A + j] = 1.0 / a
        w[_OVER_P + j] = 1.0 / (a * (1.0 - e * e))
        w[_ARG + j] -= shift * _TURN
        w[_LAT + j] += k[at + _N + j] * ahead
        w[_NODE + j] += k[at + _NODE_DRAG + j] * t * t


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_MATH)
def _circular(w, angle, lanes):  # type: ignore[no-untyped-def]
    """Sine and cosine of a field of angles into the two fields after it.

    In a pass of its own, since the series is one long chain: only many short ones side by side keep a processor busy.
    """
    for j in range(min(lanes, _LANES)):
        w[angle + _LANES + j], w[angle + _LANES + _LANES + j] = _sine_cosine(w[angle + j])


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_MATH)
def _long_period(k, at, lanes, w):  # type: ignore[no-untyped-def]
    """The vector of eccentricity and the mean longitude, with the long-period terms of J3."""
    for j in range(min(lanes, _LANES)):
        e, over_p = w[_ECC + j], w[_OVER_P + j]
        ax = e * w[_COS_ARG + j]
        w[_AX + j] = ax
        w[_AY + j] = e * w[_SIN_ARG + j] + over_p * k[at + _AY0 + j]
        w[_MEAN + j] = w[_LAT + j] + over_p * k[at + _L0 + j] * ax


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_MATH)
def _kepler(lanes, w):  # type: ignore[no-untyped-def]
    """Kepler's equation E - ax sin E + ay cos E = u by series, for eccentricities up to 0.014; E in the place of u.

    With d = E - u, m = ax sin u - ay cos u and q = ax cos u + ay sin u it reads d = m cos d + q sin d, so d = e sin E.
    As d = (m cos d + q (sin d - d)) / (1 - q), each round gains twice the digits of the eccentricity.
    """
    for j in range(min(lanes, _LANES)):
        ax, ay, s, c = w[_AX + j], w[_AY + j], w[_SIN_E + j], w[_COS_E + j]
        q = ax * c + ay * s
        over = 1.0 / (1.0 - q)
        first = (ax * s - ay * c) * over
        q *= over
        d = first
        for _ in range(2):
            z = d * d
            d = first * (1.0 - z * (0.5 - z * (1.0 / 24.0))) - q * d * z * (1.0 / 6.0)
        w[_E_SIN + j] = d
        w[_SIN_E + j], w[_COS_E + j] = _turn(s, c, d)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_MATH)
def _true(lanes, w):  # type: ignore[no-untyped-def]
    """From eccentric to true longitude; roots and reciprocals of 1 - e^2 by series, quicker than the processor's."""
    for j in range(min(lanes, _LANES)):
        ax, ay, s, c, d = w[_AX + j], w[_AY + j], w[_SIN_E + j], w[_COS_E + j], w[_E_SIN + j]
        near = 1.0 - ax * c - ay * s
        over = 1.0 / near
        square = ax * ax + ay * ay
        share = 0.5 + square * (0.125 + square * (0.0625 + square * (5.0 / 128.0)))  # 1 / (1 + beta)
        w[_NEAR + j], w[_OVER_NEAR + j] = near, over
        w[_BETA + j] = 1.0 - square * share
        w[_OVER_L + j] = (1.0 + square * (1.0 + square * (1.0 + square))) * w[_OVER_A + j]
        w[_SIN_TRUE + j] = over * (s - ay - ax * (d * share))
        w[_COS_TRUE + j] = over * (c - ax + ay * (d * share))


@njit(cache=True, nogil=True, error_model="numpy")
def _eccentric(lanes, w):  # type: ignore[no-untyped-def]
    """From mean to true longitude one by one, by Newton's method, where the series of `_kepler` fail."""
    for j in range(lanes):
        ax, ay, u = w[_AX + j], w[_AY + j], w[_MEAN + j]
        narrow = 1.0 - ax * ax - ay * ay
        if narrow > 1.0 - _ROUND_SQUARE:
            continue
        ahead = 0.0  # E - u [rad], so that no digits go to whole turns
        s, c = _sine_cosine(u)
        for _ in range(12):
            miss = ax * s - ay * c - ahead
            if abs(miss) < _SETTLED:
                break
            ahead += min(0.95, max(-0.95, miss / (1.0 - ax * c - ay * s)))
            s, c = _sine_cosine(u + ahead * _TURN)
        near, e_sin, beta = 1.0 - ax * c - ay * s, ax * s - ay * c, math.sqrt(narrow)
        w[_NEAR + j], w[_OVER_NEAR + j], w[_E_SIN + j], w[_BETA + j] = near, 1.0 / near, e_sin, beta
        w[_OVER_L + j] = 1.0 / (w[_A + j] * narrow)
        w[_SIN_TRUE + j] = (s - ay - ax * e_sin / (1.0 + beta)) / near
        w[_COS_TRUE + j] = (c - ax + ay * e_sin / (1.0 + beta)) / near


@njit(cache=True, nogil=True, error_model="numpy")
def _eccentrics(lanes, w):  # type: ignore[no-untyped-def]
    """How many satellites of a tile are too eccentric for the series of `_kepler`."""
    far = 0
    for j in range(min(lanes, _LANES)):
        far += not (w[_AX + j] * w[_AX + j] + w[_AY + j] * w[_AY + j] < _ROUND_SQUARE)
    return far


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_MATH)
def _short_period(k, at, lanes, w):  # type: ignore[no-untyped-def]
    """Radius, argument of latitude, node and tilt, with the short-period terms of J2."""
    for j in range(min(lanes, _LANES)):
        su, cu, over_l = w[_SIN_TRUE + j], w[_COS_TRUE + j], w[_OVER_L + j]
        sin2, cos2, over_l2 = 2.0 * su * cu, 1.0 - 2.0 * su * su, over_l * over_l
        r = w[_A + j] * w[_NEAR + j] * (1.0 - k[at + _SHORT_A + j] * w[_BETA + j] * over_l2)
        r += k[at + _SHORT_R + j] * over_l * cos2
        w[_R + j] = r if r >= 1.0 else math.nan  # decayed: [2] stops here too
        w[_SIN_U + j], w[_COS_U + j] = _nudge(su, cu, k[at + _SHORT_U + j] * over_l2 * sin2)
        w[_NODE + j] += k[at + _SHORT_NODE + j] * over_l2 * sin2
        tilt = k[at + _SHORT_TILT + j] * over_l2 * cos2
        w[_SIN_TILT + j], w[_COS_TILT + j] = _nudge(k[at + _SIN_I + j], k[at + _COS_I + j], tilt)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_MATH)
def _place(lanes, w, cosine, sine, out, to):  # type: ignore[no-untyped-def]
    """Positions [m] seen from a meridian, given by its cosine and sine: Greenwich's, or 1 and 0 for inertial ones."""
    for j in range(min(lanes, _LANES)):
        r, su, cu = w[_R + j] * RADIUS_M, w[_SIN_U + j], w[_COS_U + j]
        north, east, level = w[_COS_NODE + j], w[_SIN_NODE + j], w[_COS_TILT + j] * su
        co, so = cosine * north + sine * east, cosine * east - sine * north
        out[to + _THREE * j] = r * (co * cu - so * level)
        out[to + _THREE * j + _ONE] = r * (so * cu + co * level)
        out[to + _THREE * j + _TWO] = r * (w[_SIN_TILT + j] * su)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_MATH)
def _velocity(k, at, lanes, w, out, to):  # type: ignore[no-untyped-def]
    """Velocities [m/s], with the short-period terms of J2."""
    for j in range(min(lanes, _LANES)):
        su, cu, over_near, over_l = w[_SIN_TRUE + j], w[_COS_TRUE + j], w[_OVER_NEAR + j], w[_OVER_L + j]
        short_r, short_a = k[at + _SHORT_R + j], k[at + _SHORT_A + j]
        over_a = w[_OVER_A + j]
        rate = _SPEED * KE * over_a * math.sqrt(w[_A + j])  # the circular speed at the axis
        pull = 2.0 * rate * over_a * over_l
        radial = rate * over_near * w[_E_SIN + j] - pull * short_r * (2.0 * su * cu)
        along = rate * over_near * w[_BETA + j] + pull * (short_r * (1.0 - 2.0 * su * su) + 0.5 * short_a)
        su, cu, so, co = w[_SIN_U + j], w[_COS_U + j], w[_SIN_NODE + j], w[_COS_NODE + j]
        si, ci = w[_SIN_TILT + j], w[_COS_TILT + j]
        out[to + _THREE * j] = radial * (co * cu - so * ci * su) - along * (co * su + so * ci * cu)
        out[to + _THREE * j + _ONE] = radial * (so * cu + co * ci * su) - along * (so * su - co * ci * cu)
        out[to + _THREE * j + _TWO] = radial * (si * su) + along * (si * cu)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_MATH)
def _circle(k, at, lanes, minute, gmst, out, to):  # type: ignore[no-untyped-def]
    """Positions [m] on circles of the mean radius that turn, and whose nodes drift, at their secular rates."""
    for j in range(min(lanes, _LANES)):
        t = minute - k[at + _EPOCH + j]
        su, cu = _sine_cosine(k[at + _LAT0 + j] + k[at + _LAT_DOT + j] * t)
        so, co = _sine_cosine(k[at + _NODE0 + j] + k[at + _NODE_DOT + j] * t - gmst)
        r = k[at + _RADIUS0 + j] * RADIUS_M
        level = k[at + _COS_I + j] * su
        out[to + _THREE * j] = r * (co * cu - so * level)
        out[to + _THREE * j + _ONE] = r * (so * cu + co * level)
        out[to + _THREE * j + _TWO] = r * (k[at + _SIN_I + j] * su)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_MATH)
def _at(k, at, lanes, w, minute, kind):  # type: ignore[no-untyped-def]
    """From time to the place in the orbit: the kernels of the theory in their order."""
    _mean(k, at, lanes, w, minute)
    if kind == DRAGGED:
        _drag(k, at, lanes, w, minute)
    if kind != ROUND:  # else the perigee has no say
        _circular(w, _ARG, lanes)
    _long_period(k, at, lanes, w)
    _circular(w, _MEAN, lanes)
    _kepler(lanes, w)
    _true(lanes, w)
    if kind != ROUND and _eccentrics(lanes, w) > 0:
        _eccentric(lanes, w)
    _short_period(k, at, lanes, w)
    _circular(w, _NODE, lanes)


@njit(cache=True, nogil=True, error_model="numpy")
def circles(k, first, last, count, time_s, gmst, out):  # type: ignore[no-untyped-def]
    """Earth-fixed positions of the tiles from `first` to `last` on circles; `out` is (T, S, 3), flat."""
    for tile in range(first, last):
        lanes = min(_LANES, count - tile * _LANES)
        for i in range(np.uint64(len(time_s))):
            to = (i * count + tile * _LANES) * _THREE
            _circle(k, tile * _STRIDE, lanes, time_s[i] * _MINUTE, gmst[i] * _TURN, out, to)


@njit(cache=True, nogil=True, error_model="numpy")
def fixed(k, kind, first, last, count, time_s, cosine, sine, out, w):  # type: ignore[no-untyped-def]
    """Earth-fixed positions of the tiles from `first` to `last` by the whole theory; `out` is (T, S, 3), flat."""
    for tile in range(first, last):
        lanes = min(_LANES, count - tile * _LANES)
        _shape(k, tile * _STRIDE, lanes, w)
        for i in range(np.uint64(len(time_s))):
            _at(k, tile * _STRIDE, lanes, w, time_s[i] * _MINUTE, kind[tile])
            _place(lanes, w, cosine[i], sine[i], out, (i * count + tile * _LANES) * _THREE)


@njit(cache=True, nogil=True, error_model="numpy")
def states(k, kind, first, last, count, time_s, cosine, sine, out, w, place, velocity):  # type: ignore[no-untyped-def]
    """Inertial positions and velocities beside the Earth-fixed positions; each (T, S, 3), flat."""
    for tile in range(first, last):
        lanes = min(_LANES, count - tile * _LANES)
        _shape(k, tile * _STRIDE, lanes, w)
        for i in range(np.uint64(len(time_s))):
            to = (i * count + tile * _LANES) * _THREE
            _at(k, tile * _STRIDE, lanes, w, time_s[i] * _MINUTE, kind[tile])
            _place(lanes, w, 1.0, 0.0, place, to)
            _velocity(k, tile * _STRIDE, lanes, w, velocity, to)
            _place(lanes, w, cosine[i], sine[i], out, to)
