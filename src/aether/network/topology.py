"""Who holds a laser link with whom: the mesh of relays, the rings of ships, and ships onto the mesh.

Node numbers: relays 0..R-1 first, then ships R..R+K-1. A pair is written once, with the lower number first.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numba import njit, uint64
from numpy.typing import ArrayLike
from scipy.spatial import cKDTree

from aether.base.registry import Registry
from aether.base.tables import Bools, Elements, Floats, Floats32, Ints, Links
from aether.network.links import EARTH_EQUATOR_M, GRAZING_M, Terminal, clear, rate

FREE, ABSENT = -1, -2  # what a terminal holds: nothing, or it is not there (ships have different numbers)
STAR_GAP_RAD = np.radians(150.0)  # a wider gap between planes is the seam of a star, where neighbours fly head-on
_SQUAD = 8  # relays looked at together: a short arc of a plane
_CLOSE = 0.125  # share of the range that is looked at first, to know how good the best is at least
KEEP_SLOTS = 0.25  # a held partner is preferred until another is nearer by this share of the slot spacing; ours


class Topology(Protocol):
    """A policy: which relays should hold links.

    elements: of the relays. positions_m: (R, 3) at one time [m], inertial or Earth-fixed, not finite
    for a relay that is not there. max_range_m: [m]. terminals: per relay, one
    number or (R,). previous: pairs held until now (E, 2), which are kept where nothing much better has come.
    Returns pairs (E, 2), sorted.
    """

    def __call__(
        self, elements: Elements, positions_m: Floats, max_range_m: float, terminals: ArrayLike = 4,
        previous: Ints | None = None,
    ) -> Ints: ...  # fmt: skip


topologies: Registry[Topology] = Registry("topology")


@topologies.add("plus-grid")
def plus_grid(
    elements: Elements, positions_m: Floats, max_range_m: float, terminals: ArrayLike = 4, previous: Ints | None = None
) -> Ints:
    """Fore, aft, left and right: the next in the plane, and the nearest slot of either plane beside.

    Partner in the next plane = argmin |u_b - u_a|, u the argument of latitude from the positions; where both planes
    hold equally many, one whole shift serves the plane (a tie, half a slot, keeps the slot number), so that a Walker
    shell's pairs are static and its seam wraps with the phasing. A star's seam stays open. Relays without a plane take
    the nearest. Parameters and returns as `Topology`; the range limit drops gaps within a plane here, and left and
    right each tick in `links`. Valid for near-circular planes. Reference: [1] Walker 1984 (constellations); [2] the
    usual +Grid of the field.
    """
    return _grid(elements, positions_m, max_range_m, terminals, previous, by_slot=False)


@topologies.add("plus-grid-unshifted")
def plus_grid_unshifted(
    elements: Elements, positions_m: Floats, max_range_m: float, terminals: ArrayLike = 4, previous: Ints | None = None
) -> Ints:
    """Fore, aft, left and right with the same slot number across every plane, the seam included.

    Partner of slot s in the next plane = slot s. Parameters and returns as `Topology`; `previous` changes nothing,
    since slot numbers do not move. Valid for whole Walker shells. Reference: [1] the mesh of the Hypatia simulator.
    """
    return _grid(elements, positions_m, max_range_m, terminals, previous, by_slot=True)


@topologies.add("nearest")
def nearest(
    elements: Elements,  # noqa: ARG001 - one protocol for all policies; this one needs positions only
    positions_m: Floats,
    max_range_m: float,
    terminals: ArrayLike = 4,
    previous: Ints | None = None,
) -> Ints:
    """The shortest links first, as long as both ends have a terminal free; held links go before new ones.

    Parameters and returns as `Topology`. Valid everywhere; it makes many short links and may fall into islands.
    Reference: [1] greedy matching.
    """
    spare = np.broadcast_to(np.asarray(terminals, np.int64), (len(positions_m),)).copy()
    held = np.empty((0, 2), np.int64)
    if previous is not None and len(previous):
        usable = _usable(positions_m, previous, max_range_m)
        held = previous[usable]
    candidates = np.concatenate([held, _near(positions_m, max_range_m, int(spare.max(initial=0)))])
    return _sorted(_take(candidates, spare))


def _near(positions_m: Floats, max_range_m: float, terminals: int) -> Ints:
    """Pairs of near relays in range and sight, shortest first (ties by number)."""
    there = np.flatnonzero(np.isfinite(positions_m).all(axis=1))
    most = min(there.size, 4 * terminals + 1)
    if most < 2:
        return np.empty((0, 2), np.int64)
    distance, other = cKDTree(positions_m[there]).query(positions_m[there], k=most, distance_upper_bound=max_range_m)
    own = np.repeat(np.arange(there.size), most)
    other, distance = other.ravel(), distance.ravel()
    good = np.isfinite(distance) & (other != own)
    pairs = np.unique(np.sort(there[np.stack([own[good], other[good]], axis=1)], axis=1), axis=0)
    pairs = pairs[_usable(positions_m, pairs, max_range_m)]
    length = np.linalg.norm(positions_m[pairs[:, 0]] - positions_m[pairs[:, 1]], axis=1)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0], length))]


def _usable(positions_m: Floats, pairs: Ints, max_range_m: float) -> np.ndarray:
    a, b = positions_m[pairs[:, 0]], positions_m[pairs[:, 1]]
    return (np.linalg.norm(b - a, axis=1) <= max_range_m) & clear(a, b)


@njit(cache=True, nogil=True)
def _take(candidates: Ints, spare: Ints) -> Ints:
    """The candidates, in order, for which both ends have a terminal left; writes `spare`."""
    taken, count = np.empty_like(candidates), 0
    last, before = np.full(spare.size, -1), np.empty(len(candidates), np.int64)  # those taken, by their lower end
    for e in range(len(candidates)):
        a, b = min(candidates[e, 0], candidates[e, 1]), max(candidates[e, 0], candidates[e, 1])
        if a == b or spare[a] <= 0 or spare[b] <= 0:
            continue
        known = last[a]
        while known >= 0 and taken[known, 1] != b:
            known = before[known]
        if known < 0:
            spare[a] -= 1
            spare[b] -= 1
            taken[count, 0], taken[count, 1] = a, b
            before[count], last[a] = last[a], count
            count += 1
    return taken[:count].copy()


def _sorted(pairs: Ints) -> Ints:
    low, high = pairs.min(axis=1), pairs.max(axis=1)
    nodes = int(high.max(initial=0)) + 1
    return np.stack(np.divmod(np.sort(low * nodes + high), nodes), axis=1)


def _grid(
    elements: Elements,
    positions_m: Floats,
    max_range_m: float,
    terminals: ArrayLike,
    previous: Ints | None,
    by_slot: bool,
) -> Ints:
    spare = np.broadcast_to(np.asarray(terminals, np.int64), (len(positions_m),)).copy()
    held = _partners(len(positions_m), previous)
    along: list[Ints] = []
    across: list[Ints] = []
    for shell in np.unique(elements.shell):
        planes = _planes(elements, positions_m, int(shell))
        along += [_fore(row, positions_m, max_range_m) for row, _, _ in planes]
        beside = _beside(planes)
        across += [_left(planes[p], planes[q], elements.slot, held, by_slot, p % 2) for p, q in beside]
    ranked = np.concatenate([np.empty((0, 3), np.int64), *across])
    ranked = ranked[np.argsort(ranked[:, 2], kind="stable"), :2]
    pairs = _take(np.concatenate([np.empty((0, 2), np.int64), *along, ranked]), spare)
    loose = np.flatnonzero(elements.plane < 0)
    if loose.size:
        spare[loose] = np.minimum(spare[loose], 4)
        near = _near(positions_m, max_range_m, 4)
        pairs = np.concatenate([pairs, _take(near[np.isin(near, loose).any(axis=1)], spare)])
    return _sorted(pairs)


_Plane = tuple[Ints, Floats, float]  # relays in order of argument of latitude, that argument, node [rad]


def _planes(elements: Elements, positions_m: Floats, shell: int) -> list[_Plane]:
    """The planes of a shell by ascending node, as they stand in the positions' frame at their time.

    Planes are fitted to positions, so that drift since the elements' epochs and any turn of the frame about the Earth's
    axis are in them; a plane of one satellite is turned as the others were.
    """
    there = np.flatnonzero((elements.shell == shell) & (elements.plane >= 0))
    there = there[np.isfinite(positions_m[there]).all(axis=1)]
    there = there[np.argsort(elements.plane[there], kind="stable")]
    rows = np.split(there, np.flatnonzero(np.diff(elements.plane[there])) + 1) if there.size else []
    given = [float(np.angle(np.mean(np.exp(1j * elements.node_rad[row])))) for row in rows]
    tilts = [float(np.mean(elements.inclination_rad[row])) for row in rows]
    fitted = [_normal(positions_m[row], tilt, node) for row, tilt, node in zip(rows, tilts, given, strict=True)]
    turns = [np.arctan2(n[0], -n[1]) - node for n, node in zip(fitted, given, strict=True) if n is not None]
    turn = float(np.angle(np.mean(np.exp(1j * np.array(turns))))) if turns else 0.0
    found = []
    for row, tilt, start, fit in zip(rows, tilts, given, fitted, strict=True):
        normal = _pole(tilt, start + turn) if fit is None else fit
        node = float(np.mod(np.arctan2(normal[0], -normal[1]), 2.0 * np.pi))
        ahead = np.array([np.cos(node), np.sin(node), 0.0])
        rise = np.cross(normal, ahead)
        u = np.mod(np.arctan2(positions_m[row] @ rise, positions_m[row] @ ahead), 2.0 * np.pi)
        order = np.lexsort((elements.slot[row], u))
        found.append((row[order], u[order], node))
    return sorted(found, key=lambda plane: (plane[2], int(plane[0][0])))


def _pole(tilt: float, node: float) -> Floats:
    """The normal of a plane."""
    return np.array([np.sin(tilt) * np.sin(node), -np.sin(tilt) * np.cos(node), np.cos(tilt)])


def _normal(spots_m: Floats, tilt: float, node: float) -> Floats | None:
    """The normal of the plane through positions, None where they do not span one."""
    unit = spots_m / np.linalg.norm(spots_m, axis=1, keepdims=True)
    size, axes = np.linalg.svd(unit, full_matrices=len(unit) < 3)[1:]
    if size.size < 2 or size[1] < 0.2:  # 0.2: a spread of some ten degrees
        return None
    normal: Floats = axes[-1]
    up = normal[2] * np.cos(tilt) if abs(np.cos(tilt)) > 0.01 else float(normal @ _pole(tilt, node))
    return normal if up >= 0.0 else -normal


def _fore(row: Ints, positions_m: Floats, max_range_m: float) -> Ints:
    """Each relay of a plane with the next, where the gap can be bridged."""
    if row.size < 2:
        return np.empty((0, 2), np.int64)
    pairs = np.stack([row, np.roll(row, -1)], axis=1)[: None if row.size > 2 else 1]
    return pairs[_usable(positions_m, pairs, max_range_m)]


def _beside(planes: list[_Plane]) -> list[tuple[int, int]]:
    """Neighbouring planes, the ring of them closed unless it is a star's."""
    count = len(planes)
    if count < 2:
        return []
    pairs = [(p, (p + 1) % count) for p in range(count if count > 2 else 1)]
    gaps = [np.mod(planes[q][2] - planes[p][2], 2.0 * np.pi) for p, q in pairs]
    return [pair for pair, gap in zip(pairs, gaps, strict=True) if count == 2 or gap < STAR_GAP_RAD]


_Held = tuple[Ints, Ints]  # who holds whom, in compressed rows: node n holds partner[start[n]:start[n + 1]]


def _partners(nodes: int, pairs: Ints | None) -> _Held:
    """Undirected pairs as rows of partners."""
    both = np.empty((0, 2), np.int64) if pairs is None else np.concatenate([pairs, pairs[:, ::-1]])
    start = np.concatenate([[0], np.cumsum(np.bincount(both[:, 0], minlength=nodes))])
    return start, both[np.argsort(both[:, 0], kind="stable"), 1]


def _alike(keys: Ints, others: Ints) -> tuple[Ints, Ints]:
    """Every pair of places (i, j) with keys[i] = others[j]."""
    order = np.argsort(others, kind="stable")
    low, high = (np.searchsorted(others[order], keys, side) for side in ("left", "right"))
    i = np.repeat(np.arange(keys.size), high - low)
    within = np.arange(i.size) - np.repeat(np.cumsum(high - low) - (high - low), high - low)
    return i, order[np.repeat(low, high - low) + within]


def _kept(here: Ints, there: Ints, held: _Held) -> tuple[Ints, Ints]:
    """Places (i, j) in two planes whose relays hold one another."""
    count = held[0][here + 1] - held[0][here]
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    k, j = _alike(held[1][np.repeat(held[0][here], count) + within], there)
    return np.repeat(np.arange(here.size), count)[k], j


def _left(here: _Plane, there: _Plane, slot: Ints, held: _Held, by_slot: bool, parity: int) -> Ints:
    """Pairs between two planes with their rank: rank 0 first, so that three terminals make an unbroken brick wall."""
    a, b = here[0], there[0]
    if by_slot:
        known = {int(slot[n]): int(n) for n in b}
        a = a[np.isin(slot[a], slot[b])]
        b = np.array([known[s] for s in slot[a].tolist()], np.int64)
    elif a.size == b.size:
        b = np.roll(b, -_shift(here, there, slot, held))
    else:
        a, b = np.array(_match(here, there, held), np.int64).reshape(-1, 2).T
    return np.stack([a, b, (slot[a] + parity) % 2], axis=1).astype(np.int64)


def _gap(u_a: Floats, u_b: Floats) -> Floats:
    """Signed difference of two angles, -pi to pi [rad]."""
    return np.mod(u_b - u_a + np.pi, 2.0 * np.pi) - np.pi


def _shift(here: _Plane, there: _Plane, slot: Ints, held: _Held) -> int:
    """By how many places the next plane's ring is turned against this one so that partners are nearest.

    Mean direction at a shift = sum of exp(i (u_b[j + shift] - u_a[j])): a correlation of two rings, for all shifts at
    once by Fourier's transform.
    """
    count = here[0].size
    spacing, shift = 2.0 * np.pi / count, np.arange(count)
    ring_a, ring_b = (np.fft.fft(np.exp(1j * plane[1])) for plane in (here, there))
    apart = np.abs(np.angle(np.fft.ifft(ring_b * np.conj(ring_a))))
    i, j = _alike(slot[here[0]], slot[there[0]])
    same = np.bincount((j - i) % count, minlength=count)
    i, j = _kept(here[0], there[0], held)
    kept = np.bincount((j - i) % count, minlength=count)
    score = np.round(apart / spacing - KEEP_SLOTS * kept / count, 3)
    return int(np.lexsort((shift, -same, score))[0])


def _match(here: _Plane, there: _Plane, held: _Held) -> list[tuple[int, int]]:
    """Partners between planes of unequal count: nearest in argument of latitude first, each relay once."""
    apart = np.abs(_gap(here[1][:, None], there[1][None]))
    spacing = 2.0 * np.pi / max(here[0].size, there[0].size)
    apart[_kept(here[0], there[0], held)] -= KEEP_SLOTS * spacing
    order = np.argsort(apart, axis=None, kind="stable")
    free_a, free_b = np.ones(here[0].size, bool), np.ones(there[0].size, bool)
    found = []
    for i, j in zip(*np.unravel_index(order, apart.shape), strict=True):
        if free_a[i] and free_b[j]:
            free_a[i] = free_b[j] = False
            found.append((int(here[0][i]), int(there[0][j])))
    return found


def ring_pairs(elements: Elements, positions_m: Floats, max_range_m: float, first: int) -> Ints:
    """Ship with next ship around each ring.

    A ring is a plane of a shell of ships, in order of argument of latitude; gaps wider than the range stay open.
    elements: of the ships. positions_m: (K, 3) [m]. max_range_m: [m]. first: node number of ship 0.
    Returns pairs (E, 2) of node numbers. Valid for near-circular rings. Reference: [1] geometry.
    """
    rings = [
        _fore(row, positions_m, max_range_m)
        for shell in np.unique(elements.shell)
        for row, _, _ in _planes(elements, positions_m, int(shell))
    ]
    return _sorted(np.concatenate([np.empty((0, 2), np.int64), *rings]) + first)


@njit(cache=True, nogil=True)
def _range_sq(a: Floats, b: Floats, edge_sq: float) -> float:
    """Squared distance of two points, or infinity where the atmosphere or the Earth lies between."""
    x, y, z = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    length = x * x + y * y + z * z
    share = -(a[0] * x + a[1] * y + a[2] * z) / max(length, 1e-9)
    share = min(max(share, 0.0), 1.0)
    lx, ly, lz = a[0] + share * x, a[1] + share * y, a[2] + share * z
    return length if lx * lx + ly * ly + lz * lz >= edge_sq else np.inf


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
    for close in (True, False):
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
                if score <= best_score or _range_sq(ship, relays[r], edge_sq) == np.inf:
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
                if seen and spare[held] > 0 and _range_sq(ships[k], relays[held], edge_sq) <= most_sq:
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
            limit = np.sqrt(_range_sq(ships[k], relays[held], edge_sq)) - margin_m if moving else np.sqrt(most_sq)
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


def links(
    nodes_m: Floats, pairs: Ints, terminal: Terminal, alive: ArrayLike = 1.0, grazing_m: float = GRAZING_M
) -> Links:
    """Pairs as links with range, rate and alive share.

    d = |r_b - r_a|; a link behind the atmosphere, or beyond the terminal's range, has neither rate nor life.
    nodes_m: (N, 3), relays then ships [m]. pairs: (E, 2). terminal: of both ends. alive: (E,) or one number, 0 to 1; a
    dead node's links are given 0. grazing_m: [m]. Returns Links (E,); `join` puts kinds of link together.
    Reference: [1] `links.rate`.
    """
    range_m, usable = _spans(
        np.ascontiguousarray(nodes_m), pairs, terminal.max_range_m, (EARTH_EQUATOR_M + grazing_m) ** 2
    )  # fmt: skip
    return Links(
        a=pairs[:, 0],
        b=pairs[:, 1],
        range_m=range_m,
        rate_bit_s=np.where(usable, rate(terminal, range_m), 0.0),
        alive=np.where(usable, alive, 0.0),
    )


@njit(cache=True, nogil=True)
def _spans(nodes: Floats, pairs: Ints, most: float, edge_sq: float) -> tuple[Floats, np.ndarray]:
    """Length of each pair, and whether it is in range and in sight (`links.clear`)."""
    length, usable = np.empty(len(pairs)), np.empty(len(pairs), np.bool_)
    for e in range(len(pairs)):
        a, b = nodes[pairs[e, 0]], nodes[pairs[e, 1]]
        x, y, z = b[0] - a[0], b[1] - a[1], b[2] - a[2]
        square = x * x + y * y + z * z
        share = -(a[0] * x + a[1] * y + a[2] * z) / max(square, 1e-9)
        share = min(max(share, 0.0), 1.0)
        lx, ly, lz = a[0] + share * x, a[1] + share * y, a[2] + share * z
        length[e] = np.sqrt(square)
        usable[e] = (length[e] <= most) & (lx * lx + ly * ly + lz * lz >= edge_sq)
    return length, usable


def join(*parts: Links) -> Links:
    """Several kinds of link as one table, in the order given."""
    return Links(
        a=np.concatenate([part.a for part in parts]),
        b=np.concatenate([part.b for part in parts]),
        range_m=np.concatenate([part.range_m for part in parts]),
        rate_bit_s=np.concatenate([part.rate_bit_s for part in parts]),
        alive=np.concatenate([part.alive for part in parts]),
    )
