"""The four nodes of heat stepped ship beside ship: the kernels under `thermal`.

Ships come in tiles of 64. All that a tile needs lies in one flat array, field after field: the operand of every inner
loop is `w[field * 64 + lane]`, so that the compiler sees that no two fields overlap and eight ships go through a
processor's registers at once (as in `motion_kernels`, where more is said). A ship's numbers do not depend on who is
beside it.

A step is the two-stage method of Alexander, each stage implicit over gamma times the span. The three linear nodes fold
into one equation for the radiator: T_c = a0 + b0 T_p, T_p = a1 + b1 T_l, T_l = a2 + b2 T_r. What of that depends on the
span alone is `_fold`ed once.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

TILE = 64  # ships
GAMMA = 1.0 - 1.0 / math.sqrt(2.0)  # Alexander 1977, SIAM J. Numer. Anal. 14: the L-stable two-stage method
SUBSTEP_S = 10.0  # longest implicit step; halving it moves no temperature by 0.1 K in the tests
GUARD_K = 0.25  # coolant steered this far under its limit: heat already in chip and plate arrives after clocks fall
LOOK = 6  # and so many substeps are looked ahead past the tick: several time constants of chip and plate
_CLOSE_K = 1e-7  # how far under its limit a ship may be left
_EXACT = 1e-11  # of the radiator's temperature: what Newton's method may still change

# The fields that `thermal` stacks, in this order: nodes chip, plate, coolant, radiator; masses, conductances between
# them, radiating constant, sink, inputs, limits.
GIVEN = 17  # how many they are
(
    _CHIP, _PLATE, _COOLANT, _RADIATOR, _C0, _C1, _C2, _C3, _G1, _G2, _G3, _RADIATES, _SINK, _OTHER, _POWER, _CHIP_LIMIT,
    _COOLANT_LIMIT,
) = (np.uint64(TILE * i) for i in range(GIVEN))  # fmt: skip
# The nodes in three versions, as chip, plate, coolant, radiator; folds in two, for two spans.
_NOW, _FIRST, _BASE, _SHORT, _LOOKED = (np.uint64(TILE * (GIVEN + i)) for i in (0, 4, 8, 12, 20))
_HEAT, _WORST, _TRIED, _SIDE, _LOW, _HIGH, _F_LOW, _F_HIGH = (np.uint64(TILE * (GIVEN + i)) for i in range(28, 36))
_SIZE = TILE * (GIVEN + 36)
_LANES = np.uint64(TILE)
_P, _L, _R = np.uint64(TILE), np.uint64(2 * TILE), np.uint64(3 * TILE)  # plate, coolant and radiator after the chip
_I0, _I1, _I2, _B0, _B1, _B2, _SLOPE, _SPAN = (np.uint64(TILE * i) for i in range(8))  # of a fold


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _fold(w, lanes, to, span):  # type: ignore[no-untyped-def]
    """What of a stage depends on its span [s] alone: reciprocals, the factors b, the radiator's linear slope."""
    for j in range(min(lanes, _LANES)):
        g1, g2, g3 = span * w[_G1 + j], span * w[_G2 + j], span * w[_G3 + j]
        over = 1.0 / (w[_C0 + j] + g1)
        b = g1 * over
        w[to + _I0 + j], w[to + _B0 + j] = over, b
        over = 1.0 / (w[_C1 + j] + g1 * (1.0 - b) + g2)
        b = g2 * over
        w[to + _I1 + j], w[to + _B1 + j] = over, b
        over = 1.0 / (w[_C2 + j] + g2 * (1.0 - b) + g3)
        b = g3 * over
        w[to + _I2 + j], w[to + _B2 + j] = over, b
        w[to + _SLOPE + j] = w[_C3 + j] + g3 * (1.0 - b)
        w[to + _SPAN + j] = span


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _stage(w, lanes, fold, base, out):  # type: ignore[no-untyped-def]
    """Solve out = base + span f(out): fold down to the radiator, four rounds of Newton, and unfold.

    C_r T + span (G_3 (1 - b2) T + K T^4) = C_r base + span (G_3 a2 + K T_s^4): rising and convex, so one root.
    """
    late = 0
    for j in range(min(lanes, _LANES)):
        span = w[fold + _SPAN + j]
        a0 = (w[_C0 + j] * w[base + j] + span * w[_POWER + j]) * w[fold + _I0 + j]
        a1 = (w[_C1 + j] * w[base + _P + j] + span * w[_G1 + j] * a0) * w[fold + _I1 + j]
        a2 = (w[_C2 + j] * w[base + _L + j] + span * (w[_OTHER + j] + w[_G2 + j] * a1)) * w[fold + _I2 + j]
        slope, radiates, sink2 = w[fold + _SLOPE + j], span * w[_RADIATES + j], w[_SINK + j] * w[_SINK + j]
        right = w[_C3 + j] * w[base + _R + j] + span * w[_G3 + j] * a2 + radiates * sink2 * sink2
        t = w[base + _R + j]
        change = 0.0
        for _ in range(4):
            cube = radiates * t * t * t
            change = (slope * t + cube * t - right) / (slope + 4.0 * cube)
            t -= change
        late += abs(change) > _EXACT * t
        coolant = a2 + w[fold + _B2 + j] * t
        plate = a1 + w[fold + _B1 + j] * coolant
        w[out + _R + j], w[out + _L + j], w[out + _P + j] = t, coolant, plate
        w[out + j] = a0 + w[fold + _B0 + j] * plate
    return late


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _finish(w, lanes, fold, base, out):  # type: ignore[no-untyped-def]
    """More of Newton's method, ship by ship, where a radiator jumps so far that four rounds fall short."""
    for j in range(lanes):
        span = w[fold + _SPAN + j]
        a2 = w[out + _L + j] - w[fold + _B2 + j] * w[out + _R + j]
        a1 = w[out + _P + j] - w[fold + _B1 + j] * w[out + _L + j]
        a0 = w[out + j] - w[fold + _B0 + j] * w[out + _P + j]
        slope, radiates = w[fold + _SLOPE + j], span * w[_RADIATES + j]
        right = w[_C3 + j] * w[base + _R + j] + span * w[_G3 + j] * a2 + radiates * w[_SINK + j] ** 4
        t = w[out + _R + j]
        for _ in range(30):
            cube = radiates * t * t * t
            change = (slope * t + cube * t - right) / (slope + 4.0 * cube)
            if abs(change) < _EXACT * t:
                break
            t -= change
        w[out + _R + j] = t
        w[out + _L + j] = a2 + w[fold + _B2 + j] * t
        w[out + _P + j] = a1 + w[fold + _B1 + j] * w[out + _L + j]
        w[out + j] = a0 + w[fold + _B0 + j] * w[out + _P + j]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _step(w, lanes, fold):  # type: ignore[no-untyped-def]
    """One implicit step of the nodes `_NOW`."""
    if _stage(w, lanes, fold, _NOW, _FIRST) > 0:
        _finish(w, lanes, fold, _NOW, _FIRST)
    for node in (np.uint64(0), _P, _L, _R):
        for j in range(min(lanes, _LANES)):
            now = w[_NOW + node + j]
            w[_BASE + node + j] = now + (1.0 - GAMMA) / GAMMA * (w[_FIRST + node + j] - now)
    if _stage(w, lanes, fold, _BASE, _NOW) > 0:
        _finish(w, lanes, fold, _BASE, _NOW)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _reject(w, lanes, span):  # type: ignore[no-untyped-def]
    """Add the heat rejected in a step [J], by the weights of its stages, so that heat balances."""
    for j in range(min(lanes, _LANES)):
        first2, now2, sink2 = w[_FIRST + _R + j] ** 2, w[_NOW + _R + j] ** 2, w[_SINK + j] ** 2
        mean = (1.0 - GAMMA) * (first2 * first2 - sink2 * sink2) + GAMMA * (now2 * now2 - sink2 * sink2)
        w[_HEAT + j] += span * w[_RADIATES + j] * mean


@njit(cache=True, nogil=True, error_model="numpy")
def _load(given, first, lanes, w):  # type: ignore[no-untyped-def]
    """A tile's fields from the array (fields, ships)."""
    for field in range(given.shape[0]):
        for j in range(lanes):
            w[field * TILE + j] = given[field, first + j]


@njit(cache=True, nogil=True, error_model="numpy")
def _start(w, lanes):  # type: ignore[no-untyped-def]
    for j in range(_L + _L):  # four nodes, all lanes
        w[_NOW + j] = w[_CHIP + j]
    for j in range(lanes):
        w[_HEAT + j], w[_WORST + j] = 0.0, -np.inf


@njit(cache=True, nogil=True, error_model="numpy")
def settle(given, step_s):  # type: ignore[no-untyped-def]
    """The nodes after a tick and the mean heat rejected [W], (5, ships)."""
    ships = given.shape[1]
    out, w = np.empty((5, ships)), np.ones(_SIZE)
    count = max(1, math.ceil(step_s / SUBSTEP_S - 1e-9))
    span = step_s / count
    for first in range(0, ships, TILE):
        lanes = np.uint64(min(TILE, ships - first))
        _load(given, first, lanes, w)
        _start(w, lanes)
        _fold(w, lanes, _SHORT, GAMMA * span)
        for _ in range(count):
            _step(w, lanes, _SHORT)
            _reject(w, lanes, span)
        for j in range(lanes):
            for node in range(4):
                out[node, first + j] = w[_NOW + np.uint64(node) * _LANES + j]
            out[4, first + j] = w[_HEAT + j] / step_s
    return out


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _worse(w, lanes, in_tick, last):  # type: ignore[no-untyped-def]
    """Raise the worst excess over the limits [K] to that of now; who starts above a limit is asked only at the end."""
    for j in range(min(lanes, _LANES)):
        chip, coolant = w[_NOW + j] - w[_CHIP_LIMIT + j], w[_NOW + _L + j] - w[_COOLANT_LIMIT + j]
        chip = chip if w[_CHIP + j] <= w[_CHIP_LIMIT + j] or not in_tick else -np.inf
        end = coolant + GUARD_K if last else -np.inf
        coolant = coolant if w[_COOLANT + j] <= w[_COOLANT_LIMIT + j] else end
        worst = max(w[_WORST + j], max(chip, coolant))
        w[_WORST + j] = max(worst, end)


@njit(cache=True, nogil=True, error_model="numpy")
def _excess(w, lanes, count):  # type: ignore[no-untyped-def]
    """By how many kelvin the powers break the limits over the tick and the look ahead; negative when they keep them."""
    _start(w, lanes)
    for i in range(count + LOOK):
        _step(w, lanes, _SHORT if i < count else _LOOKED)
        _worse(w, lanes, i < count - 1, i == count + LOOK - 1)


@njit(cache=True, nogil=True, error_model="numpy")
def limit(given, step_s):  # type: ignore[no-untyped-def]
    """The largest power with no excess (ships,) [W], up to that given; only who exceeds at that is searched for."""
    ships = given.shape[1]
    out, w = given[GIVEN - 3].copy(), np.ones(_SIZE)
    hot = np.empty(ships, dtype=np.int64)
    found = 0
    count = max(1, math.ceil(step_s / SUBSTEP_S - 1e-9))
    for first in range(0, ships, TILE):
        lanes = np.uint64(min(TILE, ships - first))
        _load(given, first, lanes, w)
        _fold(w, lanes, _SHORT, GAMMA * step_s / count)
        _fold(w, lanes, _LOOKED, GAMMA * SUBSTEP_S)
        _excess(w, lanes, count)
        for j in range(lanes):
            if w[_WORST + j] > 0.0:
                hot[found] = first + j
                found += 1
    for first in range(0, found, TILE):
        chosen = hot[first : min(first + TILE, found)]
        lanes = np.uint64(len(chosen))
        _load(given[:, chosen], 0, lanes, w)
        _fold(w, lanes, _SHORT, GAMMA * step_s / count)
        _fold(w, lanes, _LOOKED, GAMMA * SUBSTEP_S)
        _roots(w, lanes, count)
        for j in range(lanes):
            out[chosen[j]] = w[_LOW + j]
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _roots(w, lanes, count):  # type: ignore[no-untyped-def]
    """Powers at which ships stand just under their limits, by secants within brackets.

    Excess rises with power, nearly as a line, with kinks where another limit takes over. The aim is half of `_CLOSE_K`
    under the limit, so that a secant from either side ends below it. A ship whose bracket has closed stays where it is.
    """
    for j in range(lanes):
        w[_TRIED + j], w[_HIGH + j], w[_LOW + j] = w[_POWER + j], w[_POWER + j], 0.0
        w[_SIDE + j] = 0.0
    _excess(w, lanes, count)
    for j in range(lanes):
        w[_F_HIGH + j], w[_POWER + j] = w[_WORST + j], 0.0
    _excess(w, lanes, count)
    open_ = 0
    for j in range(lanes):
        w[_F_LOW + j] = w[_WORST + j]
        if w[_WORST + j] > 0.0:
            w[_HIGH + j] = 0.0
        open_ += _aim(w, j)
    for _ in range(60):
        if open_ == 0:
            break
        _excess(w, lanes, count)
        open_ = 0
        for j in range(lanes):
            if w[_HIGH + j] > w[_LOW + j]:
                _narrow(w, j)
                open_ += _aim(w, j)


@njit(cache=True, nogil=True, error_model="numpy")
def _narrow(w, j):  # type: ignore[no-untyped-def]
    """Take the excess at the power tried into a ship's bracket; the Illinois rule halves an end that stays twice."""
    f, power = w[_WORST + j], w[_POWER + j]
    if f > 0.0:
        w[_HIGH + j], w[_F_HIGH + j] = power, f
        if w[_SIDE + j] == 1.0:
            w[_F_LOW + j] *= 0.5
        w[_SIDE + j] = 1.0
    else:
        w[_LOW + j], w[_F_LOW + j] = power, f
        if f >= -_CLOSE_K or w[_HIGH + j] - power <= 1e-9 * w[_TRIED + j]:
            w[_HIGH + j] = power
        elif w[_SIDE + j] == -1.0:
            w[_F_HIGH + j] *= 0.5
        w[_SIDE + j] = -1.0


@njit(cache=True, nogil=True, error_model="numpy")
def _aim(w, j):  # type: ignore[no-untyped-def]
    """Set the next power to try; whether the ship's bracket is still open."""
    low, high, f_low, f_high = w[_LOW + j], w[_HIGH + j], w[_F_LOW + j], w[_F_HIGH + j]
    if not high - low > 1e-9 * w[_TRIED + j]:
        w[_HIGH + j] = low
        w[_POWER + j] = low
        return 0
    power = low + (high - low) * (-0.5 * _CLOSE_K - f_low) / (f_high - f_low)
    w[_POWER + j] = min(high, max(low, power))
    return 1
