"""Ships onto the mesh: which relay each of their terminals holds, when it lets go, and how long it takes to find another.

Node numbers: relays 0..R-1 first, then ships R..R+K-1. A pair is written once, with the lower number first.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint64

from aether.base.tables import Bools, Floats, Floats32, Ints
from aether.network.links import EARTH_EQUATOR_M, GRAZING_M
from aether.network.topology import range_sq

FREE, ABSENT = -1, -2  # what a terminal holds: nothing, or it is not there (ships have different numbers)
_SQUAD = 8  # relays looked at together: a short arc of a plane
_FEW = 1024  # squads up to which all are looked at in one go
_CLOSE = 0.125  # share of the range that is looked at first, to know how good the best is at least


@njit(cache=True, nogil=True)
def _lasts(gap: Floats, drift: Floats, most_sq: float) -> float:
    """How long two points at a gap [m] stay in range if they go on straight at a drift [m/s]; [s]."""
    speed_sq = drift[0] * drift[0] + drift[1] * drift[1] + drift[2] * drift[2]
    if speed_sq < 1e-6:
        return np.inf
    along = gap[0] * drift[0] + gap[1] * drift[1] + gap[2] * drift[2]
    left = most_sq - (gap[0] * gap[0] + gap[1] * gap[1] + gap[2] * gap[2])
    return (np.sqrt(along * along + speed_sq * max(left, 0.0)) - along) / speed_sq


@njit(cache=True, nogil=True)
def _in_view(ship: Floats, relay: Floats, axis: Floats, cosine: float) -> bool:
    """Whether the relay lies within the cone about the boresight; a boresight of zero sees everything."""
    x, y, z = relay[0] - ship[0], relay[1] - ship[1], relay[2] - ship[2]
    along = x * axis[0] + y * axis[1] + z * axis[2]
    return along >= cosine * np.sqrt(x * x + y * y + z * z) or (axis[0] == 0.0 and axis[1] == 0.0 and axis[2] == 0.0)


@njit(cache=True, nogil=True)
def _squads(relays: Floats, drifts: Floats) -> tuple[Floats32, Floats32]:
    """Balls about each _SQUAD relays that follow one another, which are neighbours in most meshes: where they are and how
    they move. (4, Q) each: x, y, z and radius, rounded outward, minus infinity for no relay. [m], [m/s]."""
    squads = (len(relays) + 8 * _SQUAD - 1) // (8 * _SQUAD) * 8  # a multiple of eight, for `_set`
    balls = (np.zeros((4, squads), np.float32), np.zeros((4, squads), np.float32))
    for q in range(squads):
        first, end = q * _SQUAD, min((q + 1) * _SQUAD, len(relays))
        for points, ball in ((relays, balls[0]), (drifts, balls[1])):
            x, y, z, count, widest = 0.0, 0.0, 0.0, 0, -np.inf
            for r in range(first, end):
                if np.isfinite(relays[r, 0] + relays[r, 1] + relays[r, 2]):
                    x, y, z, count = x + points[r, 0], y + points[r, 1], z + points[r, 2], count + 1
            x, y, z = x / max(count, 1), y / max(count, 1), z / max(count, 1)
            for r in range(first, end):
                if np.isfinite(relays[r, 0] + relays[r, 1] + relays[r, 2]):
                    dx, dy, dz = points[r, 0] - x, points[r, 1] - y, points[r, 2] - z
                    widest = max(widest, dx * dx + dy * dy + dz * dz)
            if count > 0:
                widest = np.sqrt(widest) + 1e-6 * (abs(x) + abs(y) + abs(z)) + 1e-3
            ball[0, q], ball[1, q], ball[2, q], ball[3, q] = x, y, z, widest
    return balls


@njit(cache=True, nogil=True)
def _mark(spot: Floats, most: float, ball: Floats32, near: Bools) -> None:
    """Which balls reach within a distance of a point."""
    x, y, z, limit = (
        np.float32(spot[0]),
        np.float32(spot[1]),
        np.float32(spot[2]),
        np.float32(most * (1.0 + 1e-6) + 10.0),
    )
    bx, by, bz, radius = ball[0], ball[1], ball[2], ball[3]
    for q in range(uint64(near.size)):
        dx, dy, dz, reach = bx[q] - x, by[q] - y, bz[q] - z, limit + radius[q]
        near[q] = (dx * dx + dy * dy + dz * dz <= reach * reach) & (reach >= np.float32(0.0))


@njit(cache=True, nogil=True)
def _gone(ship: Floats, drift: Floats, ball: Floats32, moves: Floats32, q: int, time_s: float, most: float) -> bool:
    """Whether all of a ball are surely out of range after a time, if they and the ship go on straight."""
    square, radius = 0.0, (most + ball[3, q] + time_s * moves[3, q]) * (1.0 + 1e-6) + 10.0
    for axis in range(3):
        apart = ball[axis, q] - ship[axis] + time_s * (moves[axis, q] - drift[axis])
        square += apart * apart
    return square > radius * radius


@njit(cache=True, nogil=True)
def _set(near: Bools, found: Ints) -> Ints:
    """The numbers of those marked, eight looked at together, written to the front of `found`."""
    count, eights = 0, near.view(np.uint64)
    for e in range(eights.size):
        if eights[e]:
            for q in range(8 * e, 8 * e + 8):
                found[count] = q
                count += near[q]
    return found[:count]


@njit(cache=True, nogil=True)
def _best(
    ship: Floats, drift: Floats, relays: Floats, drifts: Floats, held: Ints, spare: Ints, limit_sq: float, most_sq: float,
    edge_sq: float, foresight: bool, axis: Floats, cosine: float, balls: tuple[Floats32, Floats32], near: Bools,
    found: Ints,
) -> int:  # fmt: skip
    """The spare relay within the limit that lasts longest, or without foresight the nearest; -1 for none.

    The best of those close by bounds what the others, farther away, must surpass to be looked at.
    """
    best, best_score = -1, -np.inf
    if not np.isfinite(ship[0] + ship[1] + ship[2]):
        return best
    for close in range(1 if near.size > _FEW else 0, -1, -1):
        bound_s, known, reach = min(best_score, 1e9), best >= 0 and foresight, np.sqrt(limit_sq)
        if close:
            reach *= _CLOSE
        elif best >= 0 and not foresight:
            reach = np.sqrt(-best_score)
        _mark(ship, reach, balls[0], near)
        best, best_score = -1, -np.inf
        for q in _set(near, found):
            if known and _gone(ship, drift, balls[0], balls[1], q, bound_s, np.sqrt(most_sq)):
                continue
            for r in range(q * _SQUAD, min((q + 1) * _SQUAD, len(relays))):
                if spare[r] <= 0:
                    continue
                gap = (relays[r, 0] - ship[0], relays[r, 1] - ship[1], relays[r, 2] - ship[2])
                length = gap[0] * gap[0] + gap[1] * gap[1] + gap[2] * gap[2]
                if length > limit_sq or not _in_view(ship, relays[r], axis, cosine):
                    continue
                score = -length
                if foresight:
                    away = (drifts[r, 0] - drift[0], drifts[r, 1] - drift[1], drifts[r, 2] - drift[2])
                    score = _lasts(gap, away, most_sq)
                if score <= best_score or range_sq(ship, relays[r], edge_sq) == np.inf:
                    continue
                other = False
                for m in range(held.size):
                    other = other or held[m] == r
                if not other:
                    best, best_score = r, score
    return best


@njit(cache=True, nogil=True)
def _stay(
    ships: Floats, relays: Floats, attached: Ints, acquiring: Floats, spare: Ints, most_sq: float, edge_sq: float,
    axis: Floats, cosine: Floats,
) -> None:  # fmt: skip
    """What is held and still good stays; the rest is let go."""
    for k in range(attached.shape[0]):
        for m in range(attached.shape[1]):
            held = attached[k, m]
            if held >= 0:
                seen = _in_view(ships[k], relays[held], axis[k], cosine[k])
                if seen and spare[held] > 0 and range_sq(ships[k], relays[held], edge_sq) <= most_sq:
                    spare[held] -= 1
                else:
                    attached[k, m] = FREE
                    acquiring[k, m] = 0.0


@njit(cache=True, nogil=True)
def _attach(
    ships: Floats, relays: Floats, ship_drift: Floats, relay_drift: Floats, attached: Ints, acquiring: Floats,
    spare: Ints, most_sq: float, edge_sq: float, acquisition_s: float, margin_m: float, foresight: bool, axis: Floats,
    cosine: Floats,
) -> None:  # fmt: skip
    _stay(ships, relays, attached, acquiring, spare, most_sq, edge_sq, axis, cosine)
    balls, near, found = _squads(relays[:0], relay_drift[:0]), np.empty(0, np.bool_), np.empty(0, np.int64)
    for k in range(attached.shape[0]):
        none = False  # left to take: then none for the ship's other free terminals either
        for m in range(attached.shape[1]):
            held = attached[k, m]
            moving = held >= 0 and acquiring[k, m] <= 0.0 and margin_m < np.inf
            if not moving and (held != FREE or none):
                continue
            limit = np.sqrt(range_sq(ships[k], relays[held], edge_sq)) - margin_m if moving else np.sqrt(most_sq)
            if limit <= 0.0:
                continue
            if near.size == 0:  # the first ship that looks around
                balls = _squads(relays, relay_drift)
                near, found = np.empty(balls[0].shape[1], np.bool_), np.empty(balls[0].shape[1], np.int64)
            best = _best(
                ships[k], ship_drift[k], relays, relay_drift, attached[k], spare, limit * limit if moving else most_sq,
                most_sq, edge_sq, foresight, axis[k], cosine[k], balls, near, found,
            )  # fmt: skip
            none = none or (best < 0 and not moving)
            if best >= 0:
                if held >= 0:
                    spare[held] += 1
                    none = False
                spare[best] -= 1
                attached[k, m] = best
                acquiring[k, m] = acquisition_s


def attach(
    ships_m: Floats, relays_m: Floats, attached: Ints, acquiring_s: Floats, relay_spare: Ints, max_range_m: float,
    acquisition_s: float, dt_s: float, margin_m: float = np.inf, grazing_m: float = GRAZING_M,
    drift_m_s: tuple[Floats, Floats] | None = None, view: tuple[Floats, Floats] | None = None,
) -> tuple[Ints, Floats, Floats]:  # fmt: skip
    """Ship terminals onto relays of the mesh, through one tick.

    A terminal keeps its relay while in range, in sight and offered. A free one takes, of the relays in range that the
    ship does not hold yet and that have a terminal spare, the one that stays in range longest if both fly on straight,
    or without drifts the nearest; it acquires for acquisition_s, over as many ticks as that takes. With a finite margin
    a settled terminal also moves to a relay nearer by more than margin_m. Ships choose in order.
    ships_m: (K, 3) and relays_m: (R, 3), one frame [m]. attached: (K, M) relay, FREE or ABSENT. acquiring_s: (K, M)
    still to do [s]. relay_spare: (R,) terminals a relay has for ships, 0 for a dead one. max_range_m, margin_m,
    grazing_m: [m]. acquisition_s, dt_s: [s], dt_s positive. drift_m_s: velocities of ships (K, 3) and relays (R, 3) in
    that frame [m/s]. view: boresights (K, 3), unit vectors in that frame or zero for no limit, and the half-angle of the
    field of view about them (K,) [rad]. Returns new attached (K, M), acquiring_s (K, M) and the share of the tick in which each terminal
    carries data (K, M). Valid for ticks shorter than a contact (a pass within 2,000 km lasts 270 to 700 s).
    Reference: [1] own model; two terminals per ship make before they break.
    """
    new, todo = attached.astype(np.int64), acquiring_s.astype(np.float64)
    ships, relays = np.ascontiguousarray(ships_m), np.ascontiguousarray(relays_m)
    drifts = (np.zeros_like(ships), np.zeros_like(relays)) if drift_m_s is None else drift_m_s
    axis, half_angle_rad = (np.zeros_like(ships), np.full(len(ships), np.pi)) if view is None else view
    _attach(
        ships, relays, np.ascontiguousarray(drifts[0]), np.ascontiguousarray(drifts[1]), new, todo,
        relay_spare.astype(np.int64), max_range_m**2, (EARTH_EQUATOR_M + grazing_m) ** 2, acquisition_s, margin_m,
        drift_m_s is not None, np.ascontiguousarray(axis), np.cos(half_angle_rad),
    )  # fmt: skip
    lost = np.where(new >= 0, np.minimum(todo, dt_s), 0.0)
    return new, todo - lost, np.where(new >= 0, 1.0 - lost / dt_s, 0.0)


def ship_pairs(attached: Ints, alive: Floats, relays: int) -> tuple[Ints, Floats]:
    """Attachments as links.

    attached: (K, M) relay or -1. alive: (K, M) share of the tick. relays: R. Returns pairs (E, 2) of node numbers,
    relay first, and their alive share (E,). Reference: [1] bookkeeping.
    """
    ship, terminal = np.nonzero(attached >= 0)
    pairs = np.stack([attached[ship, terminal], ship + relays], axis=1)
    return pairs.astype(np.int64), alive[ship, terminal]


def lasts_s(
    ship_m: Floats, ship_m_s: Floats, relay_m: Floats, relay_m_s: Floats, attached: Ints, most_m: float
) -> Floats:
    """How long each ship's link to the mesh still lasts if both ends fly straight on, the longest of its terminals.

    t = (sqrt((g v)^2 + v^2 (R^2 - g^2)) - g v) / v^2, g and v the relay's place and motion from the ship.
    ship_m, relay_m: (K, 3), (R, 3) [m]. ship_m_s, relay_m_s: their motion [m/s]. attached: relays that terminals hold,
    below 0 for none (K, terminals). most_m: R, longest range [m]. Returns (K,) [s], 0 without a link, infinity for ends
    that keep together. Valid as foresight of some minutes: orbits bend, and the Earth may come between first.
    Reference: [1] the rule by which `attach` chooses.
    """
    left: Floats = _last(ship_m, ship_m_s, relay_m, relay_m_s, attached, most_m * most_m)
    return left


@njit(cache=True, nogil=True)
def _last(
    ship_m: Floats, ship_m_s: Floats, relay_m: Floats, relay_m_s: Floats, attached: Ints, most_sq: float
) -> Floats:
    """As `lasts_s`; a ship that is not up yet has no place, and no link."""
    left = np.zeros(len(ship_m))
    for k in range(attached.shape[0]):
        for n in range(attached.shape[1]):
            r = attached[k, n]
            if r >= 0:
                left[k] = np.fmax(left[k], _lasts(relay_m[r] - ship_m[k], relay_m_s[r] - ship_m_s[k], most_sq))
    return left
