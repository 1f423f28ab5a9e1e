"""What must hold of any latency field."""

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra

from aether.base.tables import Links
from aether.network import links, routing


def tangle(seed: int, nodes: int, edges: int) -> Links:
    """A random graph without doubles, a fifth of its links dead."""
    draw = np.random.default_rng(seed)
    ends = np.sort(draw.integers(0, nodes, (edges, 2)), axis=1)
    ends = np.unique(ends[ends[:, 0] != ends[:, 1]], axis=0).reshape(-1, 2)
    alive = np.where(draw.random(len(ends)) < 0.2, 0.0, draw.uniform(0.1, 1.0, len(ends)))
    return Links(ends[:, 0], ends[:, 1], draw.uniform(1e5, 5e6, len(ends)), np.ones(len(ends)), alive)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), nodes=st.integers(2, 60), edges=st.integers(0, 150), sources=st.integers(1, 60))
def test_fields_equal_dijkstra_and_paths_add_up(seed: int, nodes: int, edges: int, sources: int) -> None:
    table = tangle(seed, nodes, edges)
    mesh = routing.mesh(nodes, table)
    source = np.random.default_rng(seed).integers(0, nodes, sources)
    got = routing.fields(mesh, source).latency_s
    use = table.alive > 0
    graph = coo_matrix((table.range_m[use] / links.LIGHT_M_S, (table.a[use], table.b[use])), shape=(nodes, nodes))
    want = dijkstra(graph.tocsr(), directed=False, indices=source)
    assert (np.isinf(got) == np.isinf(want)).all()
    near = np.isfinite(want)
    assert np.abs(got[near] - want[near]).max() < 1e-7
    length = {
        frozenset(p): r
        for p, r in zip(zip(table.a.tolist(), table.b.tolist(), strict=True), table.range_m, strict=True)
    }
    for target in range(min(nodes, 5)):
        way = routing.path(mesh, got[0], target)
        if np.isinf(want[0, target]):
            assert way == []
            continue
        assert way[0] == source[0]
        assert way[-1] == target
        total = sum(length[frozenset(pair)] for pair in itertools.pairwise(way)) / links.LIGHT_M_S
        assert abs(total - float(got[0, target])) < 1e-6


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), nodes=st.integers(2, 50))
def test_nothing_is_faster_than_light(seed: int, nodes: int) -> None:
    draw = np.random.default_rng(seed)
    spots = draw.normal(size=(nodes, 3)) * 5e6
    ends = np.sort(draw.integers(0, nodes, (3 * nodes, 2)), axis=1)
    ends = np.unique(ends[ends[:, 0] != ends[:, 1]], axis=0).reshape(-1, 2)
    range_m = np.linalg.norm(spots[ends[:, 0]] - spots[ends[:, 1]], axis=1)
    table = Links(ends[:, 0], ends[:, 1], range_m, np.ones(len(ends)), np.ones(len(ends)))
    latency = routing.fields(routing.mesh(nodes, table), np.arange(nodes)).latency_s
    straight = np.linalg.norm(spots[:, None] - spots[None], axis=2) / links.LIGHT_M_S
    assert (latency >= straight * (1 - 1e-6)).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), nodes=st.integers(2, 40))
def test_the_same_links_give_the_same_field_bit_for_bit(seed: int, nodes: int) -> None:
    table = tangle(seed, nodes, 80)
    draw = np.random.default_rng(seed)
    turned = draw.permutation(table.a.size)
    other = Links(table.a[turned], table.b[turned], table.range_m[turned], table.rate_bit_s, table.alive[turned])
    source = np.arange(nodes)
    one = routing.fields(routing.mesh(nodes, table), source).latency_s
    two = routing.fields(routing.mesh(nodes, other, order=draw.permutation(nodes)), source).latency_s
    assert (one == two).all()
