"""The way down: which nodes have an open gateway in view, and which share of the tick every node has a path to one."""

from __future__ import annotations

import numpy as np
from numba import njit

from aether.base.tables import Access, Floats, Ints, Links


def open_share(access: Access, gateway_open: Floats, nodes: int) -> Floats:
    """Probability that at least one gateway seen from each node is open.

    p[n] = 1 - prod over gateways g that see n of (1 - a_g): rain at different sites taken as independent.
    access: of the gateways (W). gateway_open: a (W,) share of time. nodes: N; those that no gateway sees get 0.
    Returns (N,). Valid for sites some tens of kilometres apart, beyond the size of a rain cell.
    """
    closed = np.ones(nodes)
    gateway = np.repeat(np.arange(len(access.start) - 1), np.diff(access.start))
    np.multiply.at(closed, access.satellite, 1.0 - gateway_open[gateway])
    return 1.0 - closed


@njit(cache=True, nogil=True)
def _widen(a: Ints, b: Ints, alive: Floats, share: Floats) -> None:
    changed = True
    while changed:
        changed = False
        for e in range(a.size):
            u, v = a[e], b[e]
            over = min(share[u], alive[e])
            if over > share[v]:
                share[v] = over
                changed = True
            back = min(share[v], alive[e])
            if back > share[u]:
                share[u] = back
                changed = True


def reach_share(links: Links, way_down: Floats) -> Floats:
    """Share of the tick in which every node has a path to an open gateway.

    w[n] = max over paths from n of the least share along it, links and the way down at its end: the widest path. Losses
    along a path are taken to overlap, so this is an upper bound, and taking one path only, a lower one.
    links: (E,) with their alive share. way_down: (N,) from `open_share`. Returns (N,), 0 where there is no path.
    Reference: [1] Pollack 1960, the maximum capacity route.
    """
    share = way_down.astype(np.float64)
    _widen(links.a, links.b, links.alive, share)
    return share
