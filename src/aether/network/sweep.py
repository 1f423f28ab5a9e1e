"""Latency fields of many sources side by side, plane by plane.

Nodes are numbered by their place in the order of the sweep. Neighbours in that order that hold a link form a chain: a
plane of relays, a ring of ships. Two things carry a latency onward. Along a chain, up and then down, a row of lanes is
handed from node to node. Across, each node that fell hands its row to its other neighbours, whose chains are then due.
Chains that are due are visited forward, then backward, until none is: every link has then been tried from both ends
since either fell, which is Bellman's equation. All times are float32, sums are taken outward from the source, and the
least of them does not depend on the order, on lanes or on threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit, uint64
from numpy.typing import NDArray

from aether.base.tables import Bools, Floats32, Ints
from aether.network.lanes import WIDTH, across, carry, relax, turn

Ints32 = NDArray[np.int32]
_FAR = np.float32(np.inf)
_BEYOND = 64  # a sweep may go on by this share of all chains


@dataclass(frozen=True, slots=True)
class Chains:
    """A mesh as chains in the order of the sweep (N,); places, not node numbers."""

    node: Ints  # (N,) node number at each place: the order
    place: Ints  # (N,) place of each node number
    chain: Ints32  # (N,) chain of each place; of 32 bits, as all that is read at every step
    first: Ints  # (C + 1,) chain c holds places first[c] to first[c + 1]
    weight_s: Floats32  # (N,) to the place before in the chain; at its first place, to its last; infinity for no link
    start: Ints32  # (N + 1,) the other links of place i: start[i] to start[i + 1]
    other: Ints32  # (X,) place at their far end
    other_s: Floats32  # (X,)


def chains(start: Ints, node: Ints, weight_s: Floats32, order: Ints) -> Chains:
    """A mesh's compressed rows as chains.

    start (N + 1,), node and weight_s (2 E,) [s]: as in `routing.Mesh`. order: (N,) node numbers in the order of the
    sweep; any gives the same fields. Returns Chains. Reference: [1] own layout.
    """
    return Chains(order, *_chains(start, node, weight_s, order))


@njit(cache=True, nogil=True)
def _chains(start: Ints, node: Ints, weight: Floats32, order: Ints) -> tuple[Any, ...]:
    count = order.size
    place, chain, first = np.empty(count, np.int64), np.empty(count, np.int32), np.empty(count + 1, np.int64)
    along, chains = np.full(count, _FAR, np.float32), 0
    for i in range(count):
        place[order[i]] = i
    for i in range(count):
        low = first[chains - 1] if chains > 0 else 0
        closed = i > low + 2 and _between(start, node, weight, order[i - 1], order[low]) < _FAR
        if i > 0 and not closed:  # a chain that has come round is whole: the next plane may begin beside its end
            along[i] = _between(start, node, weight, order[i], order[i - 1])
        if along[i] == _FAR:
            first[chains] = i
            chains += 1
        chain[i] = chains - 1
    first[chains] = count
    begin, other, cost = np.zeros(count + 1, np.int32), np.empty(node.size, np.int32), np.empty(node.size, np.float32)
    filled, one = uint64(0), uint64(1)  # unsigned: no index may count from the end
    for c in range(chains):
        low, high = uint64(first[c]), uint64(first[c + 1]) - one
        if high > low + one:
            along[low] = _between(start, node, weight, order[low], order[high])
        for i in range(low, high + one):
            here = uint64(order[i])
            for e in range(uint64(start[here]), uint64(start[here + one])):
                far = uint64(place[uint64(node[e])])
                beside = far == i + one or far + one == i or (i == low and far == high) or (i == high and far == low)
                if not (beside and low <= far <= high):
                    other[filled], cost[filled] = far, weight[e]
                    filled += one
            begin[i + one] = filled
    return place, chain, first[: chains + 1].copy(), along, begin, other[:filled].copy(), cost[:filled].copy()


@njit(cache=True, nogil=True)
def _between(start: Ints, node: Ints, weight: Floats32, here: int, there: int) -> np.float32:
    """The least weight of a link between two nodes, infinity for none."""
    least = _FAR
    for e in range(uint64(start[uint64(here)]), uint64(start[uint64(here) + uint64(1)])):
        if node[e] == there:
            least = min(least, weight[e])
    return least


@njit(cache=True, nogil=True)
def _visit(
    field: Floats32, fresh: Bools, due: Bools, chain: Ints, weight: Floats32, start: Ints, other: Ints, cost: Floats32,
    first: int, end: int, width: Any,
) -> None:  # fmt: skip
    """Hand on what fell in one chain: up, down, and across to other chains."""
    last, closing = end - 1, weight[first]
    i = first
    while i < end:
        i = carry(field, fresh, weight, i, end, 1, 0, width) if fresh[i] else i + 1
    if closing < _FAR and fresh[last]:
        fell, i = relax(field, first, last, closing, width), first
        while fell:  # only as far as it falls: what was fresh before has been handed on
            fresh[i] = True
            i += 1
            fell = i < end and relax(field, i, i - 1, weight[i], width)
    i = last
    while i >= first:
        i = carry(field, fresh, weight, i, first - 1, -1, 1, width) if fresh[i] else i - 1
    if closing < _FAR and fresh[first]:
        fell, i = relax(field, last, first, closing, width), last
        while fell:
            fresh[i] = True
            i -= 1
            fell = i >= first and relax(field, i, i + 1, weight[i + 1], width)
    for n in range(uint64(first), uint64(end)):  # unsigned: no index may count from the end
        if fresh[n]:
            across(field, fresh, due, chain, other, cost, n, start[n], start[n + uint64(1)], width)
    if not due[chain[first]]:  # a link across within the chain may have lowered what was handed on already
        fresh[first:end] = False


@njit(cache=True, nogil=True)
def _stretch(due: Bools) -> tuple[int, int]:
    """The shortest stretch of the ring of chains that holds all that are due: its first and how many, none for zero."""
    count, begin, widest, last, first = due.size, 0, -1, -1, -1
    for c in range(count):
        if due[c]:
            if last < 0:
                first = c
            elif c - last > widest:
                begin, widest = c, c - last
            last = c
    if last < 0:
        return 0, 0
    if first + count - last > widest:
        begin, widest = first, first + count - last
    return begin, count - widest + 1


@njit(cache=True, nogil=True)
def _sweep(
    field: Floats32, fresh: Bools, due: Bools, chain: Ints, first: Ints, weight: Floats32, start: Ints, other: Ints,
    cost: Floats32, width: Any,
) -> None:  # fmt: skip
    """Visit the chains that are due, forward and backward over the stretch that holds them, until none is.

    Planes close a ring, and what comes round from either side meets half-way: a sweep goes only a little beyond the
    stretch that was due when it began, since farther on the other side is the quicker way.
    """
    forward, beyond = True, max(due.size // _BEYOND, 1) - 1
    begin, count = _stretch(due)
    while count > 0:
        low, steps = begin - beyond, min(count + 2 * beyond, due.size)
        for k in range(steps):
            c = (low + k if forward else low + steps - 1 - k) % due.size
            if due[c]:
                due[c] = False
                _visit(field, fresh, due, chain, weight, start, other, cost, first[c], first[c + 1], width)
        forward = not forward
        begin, count = _stretch(due)


@njit(cache=True, nogil=True)
def _turn(field: Floats32, place: Ints, into: Ints, lanes: int, result: Floats32) -> None:
    """Lanes side by side to a row for each source: result[into[lane], node]; squares of them, and one by one at the edges."""
    nodes, wide, tile = uint64(place.size), uint64(lanes), uint64(WIDTH)
    source, column = np.empty(WIDTH, np.int64), np.empty(WIDTH, np.int64)
    for begin in range(uint64(0), nodes, tile):
        end = min(begin + tile, nodes)
        for low in range(uint64(0), uint64(into.size), tile):
            high = min(low + tile, uint64(into.size))
            if end - begin == tile and high - low == tile:
                for k in range(tile):
                    source[k], column[k] = uint64(place[begin + k]) * wide + low, uint64(into[low + k]) * nodes + begin
                turn(field, source, result, column)
                continue
            for lane in range(low, high):
                row = uint64(into[lane]) * nodes
                for n in range(begin, end):
                    result[row + n] = field[uint64(place[n]) * wide + lane]


@njit(cache=True, nogil=True)
def sweep_rows(
    place: Ints, chain: Ints, first: Ints, weight: Floats32, start: Ints, other: Ints, cost: Floats32, row: Ints,
    seed: Ints, seed_s: Floats32, ranked: Ints, low: int, high: int, field: Floats32, result: Floats32, width: Any,
) -> None:  # fmt: skip
    """Fields of rows ranked[low:high] into the flat result, as many at a time as there are lanes.

    place to cost: of Chains. row, seed, seed_s: (S,) as in `routing.spread`, [s]. ranked: (K,) rows in the order in
    which they share lanes. field: memory for N rows of lanes or more. result: (K * N,) [s]. width: `lanes.registers`. Reference: [1] Bellman 1958.
    """
    nodes, lanes = place.size, WIDTH * len(width)
    fresh, due = np.zeros(nodes, np.bool_), np.zeros(first.size - 1, np.bool_)
    rank = np.empty(ranked.size, np.int64)
    for k in range(ranked.size):
        rank[ranked[k]] = k
    for base in range(low, high, lanes):
        end = min(base + lanes, high)
        field[: nodes * lanes] = _FAR
        for s in range(row.size):
            lane = rank[row[s]] - base
            if 0 <= lane < end - base:
                at = place[seed[s]]
                field[at * lanes + lane] = min(field[at * lanes + lane], seed_s[s])
                fresh[at] = due[chain[at]] = True
        _sweep(field, fresh, due, chain, first, weight, start, other, cost, width)
        _turn(field, place, ranked[base:end], lanes, result)
