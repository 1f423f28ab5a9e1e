"""Latency over the mesh, from a few sources to every node at once, exactly."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numba import njit, uint64

from aether.base.tables import Elements, Fields, Floats, Floats32, Ints, Links
from aether.network.lanes import WIDTH, memory, registers
from aether.network.links import LIGHT_M_S
from aether.network.sweep import Chains, chains, sweep_rows

MOST = 4  # registers of 16 sources side by side; wider rows fall out of the cache


@dataclass(frozen=True, slots=True)
class Mesh:
    """Links as compressed rows, both ways: node n is joined to node[start[n]:start[n + 1]] at weight_s one way."""

    start: Ints  # (N + 1,)
    node: Ints  # (2 E,) ascending within a row
    weight_s: Floats32  # (2 E,) propagation, and processing on arrival
    link: Ints  # (2 E,) directed link from n: 2 e along edge e of Links, a to b, 2 e + 1 back
    order: Ints  # (N,) in which nodes are swept: neighbours near each other
    sweep: Chains  # the same links, laid out for `spread`


def mesh(nodes: int, links: Links, processing_s: float = 0.0, order: Ints | None = None) -> Mesh:
    """Links as the rows that routing sweeps over; a link with alive = 0 is left out.

    weight = d / c + processing.
    nodes: N. links: (E,). processing_s: at every node that a path enters [s]. order: (N,) from `mesh_order`, or as
    numbered. Returns Mesh. Reference: [1] compressed sparse rows.
    """
    ends = (np.ascontiguousarray(end, np.int64) for end in (links.a, links.b))
    values = (np.ascontiguousarray(value, np.float64) for value in (links.range_m, links.alive))
    start, node, weight_s, link = _rows(nodes, *ends, *values, float(processing_s))
    order = np.arange(nodes, dtype=np.int64) if order is None else order
    return Mesh(start, node, weight_s, link, order, chains(start, node, weight_s, order))


def mesh_order(elements: Elements, ships: int) -> Ints:
    """Nodes by shell, plane and slot, then the ships: neighbours lie close, so that sweeps carry far.

    elements: of the relays (R,). ships: K. Returns (R + K,). Any order gives the same latencies, only slower.
    """
    relays = np.lexsort((elements.slot, elements.plane, elements.shell))
    return np.concatenate([relays, relays.size + np.arange(ships)]).astype(np.int64)


@njit(cache=True, nogil=True)
def _rows(
    nodes: int, a: Ints, b: Ints, range_m: Floats, alive: Floats, processing_s: float
) -> tuple[Ints, Ints, Floats32, Ints]:  # fmt: skip
    start = np.zeros(nodes + 1, np.int64)
    edges, one = uint64(a.size), uint64(1)  # unsigned: no index may count from the end
    for e in range(edges):
        if alive[e] > 0.0:
            start[uint64(a[e]) + one] += 1
            start[uint64(b[e]) + one] += 1
    for n in range(uint64(nodes)):
        start[n + one] += start[n]
    fill, ends = start[:-1].copy(), start[nodes]
    node, cost, link = np.empty(ends, np.int64), np.empty(ends, np.float32), np.empty(ends, np.int64)
    for e in range(edges):
        if not alive[e] > 0.0:
            continue
        weight = np.float32(range_m[e] / LIGHT_M_S + processing_s)
        for side in range(2):
            near, far = (uint64(a[e]), b[e]) if side == 0 else (uint64(b[e]), a[e])
            place, first = uint64(fill[near]), uint64(start[near])
            while place > first and node[place - one] > far:  # ascending, so that ties break by number
                node[place], cost[place], link[place] = node[place - one], cost[place - one], link[place - one]
                place -= one
            node[place], cost[place], link[place] = far, weight, 2 * e + side
            fill[near] += 1
    return start, node, cost, link


@njit(cache=True, nogil=True)
def _begins(rows: int, row: Ints, seed: Ints, place: Ints) -> Ints:
    """The first place in the sweep at which each row has a seed."""
    begin = np.full(rows, place.size)
    for s in range(row.size):
        begin[row[s]] = min(begin[row[s]], place[seed[s]])
    return begin


def spread(
    mesh: Mesh, rows: int, row: Ints, seed: Ints, seed_s: Floats, threads: int = 1, out: Floats32 | None = None
) -> Floats32:  # fmt: skip
    """Least latency to every node from sets of seeds, each with a head start of its own.

    t[k, n] = min over seeds s of row k and paths s -> n of seed_s + sum of weights: Bellman's equation, swept plane by
    plane in many lanes at once (`sweep`), hence exact in float32 (within some 1e-7 of the latency a hop).
    rows: K. row, seed: (S,) which row a seed belongs to and its node. seed_s: (S,) [s], not negative. threads: among
    which rows are shared out; the fields are the same bit for bit. out: (K, N) memory that the result is written to, and
    that the next call may be given again. Returns (K, N) [s], infinity where there is no path. Reference: [1] Bellman
    1958.
    """
    row, seed, start_s = np.asarray(row, np.int64), np.asarray(seed, np.int64), np.asarray(seed_s, np.float32)
    result, sweep = np.empty((rows, mesh.order.size), np.float32) if out is None else out, mesh.sweep
    ranked = np.argsort(_begins(rows, row, seed, sweep.place), kind="stable")  # neighbours share lanes: fewer visits
    width = registers(WIDTH * min(range(1, MOST + 1), key=lambda k: -(-rows // (WIDTH * k)) * (k + 1.5)))  # as measured
    groups = -(-rows // (WIDTH * len(width)))

    def share(thread: int) -> None:
        field = memory(mesh.order.size * len(width))
        low, high = (WIDTH * len(width) * (groups * t // threads) for t in (thread, thread + 1))
        sweep_rows(
            sweep.place, sweep.chain, sweep.first, sweep.weight_s, sweep.start, sweep.other, sweep.other_s,
            row, seed, start_s, ranked, low, min(high, rows), field, result.reshape(-1), width,
        )  # fmt: skip

    if threads == 1:
        share(0)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(share, range(threads)))
    return result


def fields(mesh: Mesh, sources: Ints, out: Floats32 | None = None) -> Fields:
    """Latency from each source to every node along the quickest paths.

    t[k, n] = min over paths source_k -> n of the sum of weights, by `spread`.
    mesh: from `mesh`. sources: (K,) node numbers. out: as in `spread`. Returns Fields (K, N). Reference: [1] Bellman 1958.
    """
    sources = np.asarray(sources, np.int64)
    row, none_s = np.arange(sources.size), np.zeros(sources.size)
    return Fields(sources, spread(mesh, sources.size, row, sources, none_s, out=out))


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
