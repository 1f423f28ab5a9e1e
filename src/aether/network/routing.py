"""Latency over the mesh, from a few sources to every node at once, exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit, uint64

from aether.base.tables import Elements, Fields, Floats, Floats32, Ints, Links
from aether.network.links import LIGHT_M_S

LANES = 48  # sources relaxed side by side: three registers of 16 float32, fastest of 16 to 64 as measured


@dataclass(frozen=True, slots=True)
class Mesh:
    """Links as compressed rows, both ways: node n is joined to node[start[n]:start[n + 1]] at weight_s one way."""

    start: Ints  # (N + 1,)
    node: Ints  # (2 E,) ascending within a row
    weight_s: Floats32  # (2 E,) propagation, and processing on arrival
    link: Ints  # (2 E,) directed link from n: 2 e along edge e of Links, a to b, 2 e + 1 back
    order: Ints  # (N,) in which nodes are swept: neighbours near each other


def mesh(nodes: int, links: Links, processing_s: float = 0.0, order: Ints | None = None) -> Mesh:
    """Links as the rows that routing sweeps over; a link with alive = 0 is left out.

    weight = d / c + processing.
    nodes: N. links: (E,). processing_s: at every node that a path enters [s]. order: (N,) from `mesh_order`, or as
    numbered. Returns Mesh. Reference: [1] compressed sparse rows.
    """
    use = np.flatnonzero(links.alive > 0.0)
    a, b = links.a[use], links.b[use]
    weight = (links.range_m[use] / LIGHT_M_S + processing_s).astype(np.float32)
    start, node, weight_s, link = _rows(nodes, a, b, weight, use)
    return Mesh(start, node, weight_s, link, np.arange(nodes, dtype=np.int64) if order is None else order)


def mesh_order(elements: Elements, ships: int) -> Ints:
    """Nodes by shell, plane and slot, then the ships: neighbours lie close, so that sweeps carry far.

    elements: of the relays (R,). ships: K. Returns (R + K,). Any order gives the same latencies, only slower.
    """
    relays = np.lexsort((elements.slot, elements.plane, elements.shell))
    return np.concatenate([relays, relays.size + np.arange(ships)]).astype(np.int64)


@njit(cache=True, nogil=True)
def _rows(nodes: int, a: Ints, b: Ints, weight: Floats32, edge: Ints) -> tuple[Ints, Ints, Floats32, Ints]:
    start = np.zeros(nodes + 1, np.int64)
    for e in range(a.size):
        start[a[e] + 1] += 1
        start[b[e] + 1] += 1
    for n in range(nodes):
        start[n + 1] += start[n]
    fill = start[:-1].copy()
    node, cost = np.empty(2 * a.size, np.int64), np.empty(2 * a.size, np.float32)
    link = np.empty(2 * a.size, np.int64)
    for e in range(a.size):
        for near, far, along in ((a[e], b[e], 2 * edge[e]), (b[e], a[e], 2 * edge[e] + 1)):
            place = fill[near]
            while place > start[near] and node[place - 1] > far:  # ascending, so that ties break by number
                node[place], cost[place], link[place] = node[place - 1], cost[place - 1], link[place - 1]
                place -= 1
            node[place], cost[place], link[place] = far, weight[e], along
            fill[near] += 1
    return start, node, cost, link


@njit(cache=True, nogil=True)
def _sweep(
    start: Ints, node: Ints, weight: Floats32, order: Ints, field: Floats32, dirty: np.ndarray, lanes: int
) -> None:
    """Relax a (N x lanes) field, flat, forward and backward in mesh order until no node improves.

    Unsigned indices and a lane count known only at run time let the compiler keep the inner loops in SIMD registers.
    """
    count, width, one = order.size, uint64(lanes), uint64(1)
    best = np.empty(lanes, np.float32)
    forward, changed = True, True
    while changed:
        changed = False
        for i in range(count):
            n = uint64(order[i] if forward else order[count - 1 - i])
            if not dirty[n]:
                continue
            dirty[n] = False
            own, first, last = n * width, uint64(start[n]), uint64(start[n + one])
            for lane in range(width):
                best[lane] = field[own + lane]
            for e in range(first, last):
                cost, row = weight[e], uint64(node[e]) * width
                for lane in range(width):
                    via, now = field[row + lane] + cost, best[lane]
                    best[lane] = via if via < now else now
            better = 0
            for lane in range(width):
                better |= best[lane] != field[own + lane]
            if better:
                changed = True
                for lane in range(width):
                    field[own + lane] = best[lane]
                for e in range(first, last):
                    dirty[uint64(node[e])] = True
        forward = not forward


@njit(cache=True, nogil=True)
def _spread(
    start: Ints,
    node: Ints,
    weight: Floats32,
    order: Ints,
    row: Ints,
    seed: Ints,
    seed_s: Floats32,
    rows: int,
    lanes: int,
) -> Floats32:
    count = start.size - 1
    result = np.empty((rows, count), np.float32)
    field, dirty = np.empty(count * lanes, np.float32), np.zeros(count, np.bool_)
    for base in range(0, rows, lanes):
        field[:] = np.inf
        for s in range(row.size):
            lane = row[s] - base
            if 0 <= lane < lanes:
                field[seed[s] * lanes + lane] = min(field[seed[s] * lanes + lane], seed_s[s])
                for e in range(start[seed[s]], start[seed[s] + 1]):
                    dirty[node[e]] = True
        _sweep(start, node, weight, order, field, dirty, lanes)
        for lane in range(min(lanes, rows - base)):
            for n in range(count):
                result[base + lane, n] = field[n * lanes + lane]
    return result


def spread(mesh: Mesh, rows: int, row: Ints, seed: Ints, seed_s: Floats) -> Floats32:
    """Least latency to every node from sets of seeds, each with a head start of its own.

    t[k, n] = min over seeds s of row k and paths s -> n of seed_s + sum of weights: Bellman's equation, swept in mesh
    order in many lanes at once until nothing changes, hence exact in float32 (within some 1e-7 of the latency a hop).
    rows: K. row, seed: (S,) which row a seed belongs to and its node. seed_s: (S,) [s], not negative. Returns (K, N)
    [s], infinity where there is no path. Reference: [1] Bellman 1958.
    """
    lanes = min(LANES, -(-rows // 16) * 16)
    return _spread(
        mesh.start, mesh.node, mesh.weight_s, mesh.order, row.astype(np.int64), seed.astype(np.int64),
        seed_s.astype(np.float32), rows, max(lanes, 16),
    )  # fmt: skip


def fields(mesh: Mesh, sources: Ints) -> Fields:
    """Latency from each source to every node along the quickest paths.

    t[k, n] = min over paths source_k -> n of the sum of weights, by `spread`.
    mesh: from `mesh`. sources: (K,) node numbers. Returns Fields (K, N). Reference: [1] Bellman 1958.
    """
    sources = np.asarray(sources, np.int64)
    return Fields(sources, spread(mesh, sources.size, np.arange(sources.size), sources, np.zeros(sources.size)))


def path(mesh: Mesh, latency_s: Floats32, target: int) -> list[int]:
    """The nodes along the path that gave a node its latency, from the source (or seed) to the node.

    Walks from u = argmin over neighbours of t[u] + weight, wherever that sum is t[n]; the lowest number breaks ties.
    mesh: the one that the field was made on. latency_s: (N,) one row of a field of quickest paths [s]. target: node
    number. Returns node numbers, empty when there is no path. Valid for `fields` and `spread`; `fewest_path` serves the
    rival. Reference: [1] Bellman 1958.
    """
    if not np.isfinite(latency_s[target]):
        return []
    nodes = [target]
    while len(nodes) <= latency_s.size:
        now = nodes[-1]
        row = slice(mesh.start[now], mesh.start[now + 1])
        exact = latency_s[mesh.node[row]] + mesh.weight_s[row] == latency_s[now]
        before = mesh.node[row][exact & (latency_s[mesh.node[row]] < latency_s[now])]
        if before.size == 0:
            break
        nodes.append(int(before[0]))
    return nodes[::-1]
