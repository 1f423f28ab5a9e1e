"""Who holds a laser link with whom: the mesh of relays and the rings of ships.

Node numbers: relays 0..R-1 first, then ships R..R+K-1. A pair is written once, with the lower number first.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numba import njit
from numpy.typing import ArrayLike
from scipy.spatial import cKDTree

from aether.base.registry import Registry
from aether.base.tables import Elements, Floats, Ints, Links
from aether.network.links import EARTH_EQUATOR_M, GRAZING_M, Terminal, clear, rate

STAR_GAP_RAD = np.radians(150.0)  # a wider gap between planes is the seam of a star, where neighbours fly head-on
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


@njit(cache=True, nogil=True)
def held(pairs: Ints, relays: int) -> tuple[Ints, Ints]:
    """The links of each relay, in the order of the pairs: relay r holds link[start[r]:start[r + 1]].

    pairs: (E, 2). relays: R. Returns start (R + 1,) and link (2 E,), numbers of pairs. Reference: [1] counting sort.
    """
    start, link = np.zeros(relays + 1, np.int64), np.empty(2 * len(pairs), np.int64)
    for e in range(len(pairs)):
        for side in range(2):
            start[pairs[e, side] + 1] += 1
    for r in range(relays):
        start[r + 1] += start[r]
    fill = start[:-1].copy()
    for e in range(len(pairs)):
        for side in range(2):
            link[fill[pairs[e, side]]] = e
            fill[pairs[e, side]] += 1
    return start, link


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
def range_sq(a: Floats, b: Floats, edge_sq: float) -> float:
    """Squared distance of two points, or infinity where the atmosphere or the Earth lies between."""
    x, y, z = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    length = x * x + y * y + z * z
    share = -(a[0] * x + a[1] * y + a[2] * z) / max(length, 1e-9)
    share = min(max(share, 0.0), 1.0)
    lx, ly, lz = a[0] + share * x, a[1] + share * y, a[2] + share * z
    return length if lx * lx + ly * ly + lz * lz >= edge_sq else np.inf


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
