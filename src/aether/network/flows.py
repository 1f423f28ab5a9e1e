"""Traffic over directed links: the way it takes, the rates it is granted, the loads it makes.

Link 2 e goes from a to b along edge e of Links, link 2 e + 1 back; a caller may number further links (gateways, ports
of a ship) behind these. Flows cross links in compressed rows: flow f crosses link[start[f]:start[f + 1]].
"""

from __future__ import annotations

from heapq import heapify, heappop, heapreplace

import numpy as np
from numba import njit

from aether.base.errors import InputError, Problem
from aether.base.tables import Floats, Floats32, Ints
from aether.network.routing import Mesh


def fair(demand_bit_s: Floats, start: Ints, link: Ints, capacity_bit_s: Floats) -> Floats:
    """Max-min fair rates of flows that ask for no more than their demand, exactly.

    The one allocation in which a rate can only rise at the cost of one that is no larger: all rates rise together, and
    a flow stops at its demand or where a link on its way is full, at level (capacity - rates stopped) / flows left.
    Levels only rise, so a heap of links that is put right when its top is read finds the next one [1].
    demand_bit_s: (F,) infinity for all there is. start: (F + 1,), link: (sum of hops,). capacity_bit_s: (L,).
    Returns (F,) [bit/s]; a flow that crosses no link gets its demand. A link crossed twice is charged twice.
    Raises InputError for negative numbers, links that do not exist, and a flow that nothing limits.
    Valid where rates settle quickly beside a tick. Loads exceed no capacity by more than rounding (1e-9 relative).

    [1] Bertsekas and Gallager, Data Networks, 2nd edition 1992, section 6.5.2.
    """
    demand, capacity = np.asarray(demand_bit_s, np.float64), np.asarray(capacity_bit_s, np.float64)
    start, link = np.asarray(start, np.int64), np.asarray(link, np.int64)
    _check(demand, start, link, capacity)
    rate = _fill(demand, np.argsort(demand, kind="stable"), start, link, capacity)
    free = np.flatnonzero(np.isinf(rate))
    if free.size:
        raise InputError(
            Problem(f"demand_bit_s[{free[0]}]", "nothing limits this flow", next="Give it a demand or a finite link")
        )
    return rate


def loads(rate_bit_s: Floats, start: Ints, link: Ints, count: int) -> Floats:
    """What flows put on each link: load[l] = sum of the rates of the flows that cross l.

    rate_bit_s: (F,). start: (F + 1,), link: (sum of hops,). count: L. Returns (L,) [bit/s].
    Raises InputError for links that do not exist and rows that do not fit. Reference: [1] flow conservation.
    """
    rate, start, link = np.asarray(rate_bit_s, np.float64), np.asarray(start, np.int64), np.asarray(link, np.int64)
    _check(rate, start, link, np.zeros(count))
    return np.bincount(link, np.repeat(rate, np.diff(start)), count).astype(np.float64)


def walk(mesh: Mesh, latency_s: Floats32, row: Ints, target: Ints) -> tuple[Ints, Ints]:
    """The directed links along the quickest paths to many nodes at once, by the rule of `routing.path`.

    From each target back over the neighbour of lowest number with t[u] + weight = t[n] and t[u] < t[n], to the source
    or seed; written in the direction walked, source first.
    mesh: the one that the fields were made on. latency_s: (R, N) rows of `routing.fields` or `spread` [s].
    row, target: (P,) which field and which node. Returns start (P + 1,) and link; a pair without a path, or whose
    target is its source, has no links. Reference: [1] Bellman 1958.
    """
    return _walk(
        mesh.start, mesh.node, mesh.weight_s, mesh.link, np.asarray(latency_s, np.float32),
        np.asarray(row, np.int64), np.asarray(target, np.int64),
    )  # fmt: skip


def append(start: Ints, link: Ints, last: Ints) -> tuple[Ints, Ints]:
    """Rows of links with one more at the end of each, where it is not negative.

    start: (F + 1,), link: (sum of hops,). last: (F,). Returns start and link anew. Reference: [1] own layout.
    """
    return _append(np.asarray(start, np.int64), np.asarray(link, np.int64), np.asarray(last, np.int64))


@njit(cache=True, nogil=True)
def _append(start: Ints, link: Ints, last: Ints) -> tuple[Ints, Ints]:
    begin, made, end = np.zeros(start.size, np.int64), np.empty(link.size + last.size, np.int64), 0
    for f in range(last.size):
        for h in range(start[f], start[f + 1]):
            made[end] = link[h]
            end += 1
        if last[f] >= 0:
            made[end] = last[f]
            end += 1
        begin[f + 1] = end
    return begin, made[:end].copy()


def _check(demand: Floats, start: Ints, link: Ints, capacity: Floats) -> None:
    problems = []
    if start.size != demand.size + 1 or start[0] != 0 or start[-1] != link.size or (np.diff(start) < 0).any():
        problems.append(Problem("start", "must rise from 0 to the number of hops, one more than there are flows"))
    if link.size and (link.min() < 0 or link.max() >= capacity.size):
        problems.append(Problem("link", f"must lie from 0 to {capacity.size - 1}"))
    for name, values in (("demand_bit_s", demand), ("capacity_bit_s", capacity)):
        if not (values >= 0.0).all():
            problems.append(Problem(name, "must not be negative or NaN"))
    if problems:
        raise InputError(problems)


@njit(cache=True, nogil=True)
def _members(start: Ints, link: Ints, count: int) -> tuple[Ints, Ints]:
    """The flows of each link, in compressed rows."""
    first = np.zeros(count + 1, np.int64)
    for h in range(link.size):
        first[link[h] + 1] += 1
    for i in range(count):
        first[i + 1] += first[i]
    fill, flow = first[:-1].copy(), np.empty(link.size, np.int64)
    for f in range(start.size - 1):
        for h in range(start[f], start[f + 1]):
            flow[fill[link[h]]] = f
            fill[link[h]] += 1
    return first, flow


@njit(cache=True, nogil=True)
def _stop(f: int, level: float, rate: Floats, start: Ints, link: Ints, left: Floats, open_: Ints) -> None:
    """Flow f gets no more than `level`: its links keep the rest for the others."""
    rate[f] = level
    for h in range(start[f], start[f + 1]):
        open_[link[h]] -= 1
        left[link[h]] = max(left[link[h]] - level, 0.0)


@njit(cache=True, nogil=True)
def _fill(demand: Floats, order: Ints, start: Ints, link: Ints, capacity: Floats) -> Floats:
    first, flow = _members(start, link, capacity.size)
    left, open_ = capacity.copy(), first[1:] - first[:-1]
    heap = [(left[i] / open_[i], i) for i in range(capacity.size) if open_[i] > 0]
    heapify(heap)
    rate, next_ = np.full(demand.size, -1.0), 0
    while next_ < order.size:
        f = order[next_]
        if rate[f] >= 0.0:
            next_ += 1
            continue
        while heap:  # put the top right: a link that lost flows fills later than was thought
            level, i = heap[0]
            if open_[i] == 0:
                heappop(heap)
            elif left[i] / open_[i] > level:
                heapreplace(heap, (left[i] / open_[i], i))
            else:
                break
        if len(heap) == 0 or demand[f] <= heap[0][0]:
            _stop(f, demand[f], rate, start, link, left, open_)
            next_ += 1
            continue
        level, i = heappop(heap)
        for m in range(first[i], first[i + 1]):
            if rate[flow[m]] < 0.0:
                _stop(flow[m], level, rate, start, link, left, open_)
    return rate


@njit(cache=True, nogil=True)
def _before(start: Ints, node: Ints, weight: Floats32, field: Floats32, now: int) -> int:
    """The entry of `now`'s row over which its latency came, -1 at a source and where there is no path."""
    if not np.isfinite(field[now]):
        return -1
    for e in range(start[now], start[now + 1]):
        if field[node[e]] < field[now] and field[node[e]] + weight[e] == field[now]:
            return e
    return -1


@njit(cache=True, nogil=True)
def _walk(
    start: Ints, node: Ints, weight: Floats32, link: Ints, latency: Floats32, row: Ints, target: Ints
) -> tuple[Ints, Ints]:
    begin = np.zeros(row.size + 1, np.int64)
    links = np.empty(16 * row.size + 16, np.int64)
    place, rows = np.full(latency.shape[0], -1, np.int64), 0
    for r in row:
        if place[r] < 0:
            place[r] = rows
            rows += 1
    known = np.full((rows, latency.shape[1]), -2, np.int32)  # pairs of one row share most of their way
    for p in range(row.size):
        field, seen, now, end = latency[row[p]], known[place[row[p]]], target[p], begin[p]
        while True:
            if seen[now] == -2:
                seen[now] = _before(start, node, weight, field, now)
            e = seen[now]
            if e < 0:
                break
            if end == links.size:
                links = np.concatenate((links, np.empty_like(links)))
            links[end] = link[e] ^ 1  # walked toward `now`
            end += 1
            now = node[e]
        links[begin[p] : end] = links[begin[p] : end][::-1].copy()
        begin[p + 1] = end
    return begin, links[: begin[-1]].copy()
