"""What must hold of any latency field."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra

from aether.base.tables import Links
from aether.network import lanes, links, routing, sweep


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


def torus(seed: int, planes: int, slots: int, dead: float, same: bool) -> Links:
    """Rings side by side, left and right partners a few slots on; links dead at random, lengths alike or not."""
    draw = np.random.default_rng(seed)
    plane, slot = np.divmod(np.arange(planes * slots), slots)
    turn = int(draw.integers(0, slots))
    fore = np.stack([plane * slots + slot, plane * slots + (slot + 1) % slots], axis=1)
    left = np.stack([plane * slots + slot, (plane + 1) % planes * slots + (slot + turn) % slots], axis=1)
    ends = np.concatenate([fore, left])
    ends = np.unique(np.sort(ends[ends[:, 0] != ends[:, 1]], axis=1), axis=0)
    range_m = np.full(len(ends), 1e6) if same else draw.uniform(1e5, 5e6, len(ends))
    return Links(ends[:, 0], ends[:, 1], range_m, np.ones(len(ends)), (draw.random(len(ends)) >= dead).astype(float))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000), planes=st.integers(1, 9), slots=st.integers(1, 9), dead=st.sampled_from([0.0, 0.1, 0.6]),
    same=st.booleans(), rows=st.integers(1, 70), threads=st.integers(1, 3), mixed=st.booleans(),
)  # fmt: skip
def test_spread_from_many_seeds_is_the_least_over_dijkstras(
    seed: int, planes: int, slots: int, dead: float, same: bool, rows: int, threads: int, mixed: bool
) -> None:
    nodes, draw = planes * slots, np.random.default_rng(seed)
    table = torus(seed, planes, slots, dead, same)
    mesh = routing.mesh(nodes, table, order=draw.permutation(nodes) if mixed else None)
    count = 2 * rows
    row, seeds, start_s = draw.integers(0, rows, count), draw.integers(0, nodes, count), draw.uniform(0.0, 0.02, count)
    got = routing.spread(mesh, rows, row, seeds, start_s, threads)
    use = table.alive > 0
    graph = coo_matrix((table.range_m[use] / links.LIGHT_M_S, (table.a[use], table.b[use])), shape=(nodes, nodes))
    each = dijkstra(graph.tocsr(), directed=False, indices=seeds) + start_s[:, None]
    want = np.full((rows, nodes), np.inf)
    np.minimum.at(want, row, each)
    assert (np.isinf(got) == np.isinf(want)).all()
    near = np.isfinite(want)
    assert np.abs(got[near] - want[near]).max(initial=0.0) < 1e-7


@njit
def relaxed(field, to, source, cost, width):
    return lanes.relax(field, to, source, cost, width)


@njit
def carried(field, fresh, weight, begin, end, step, offset, width):
    return lanes.carry(field, fresh, weight, begin, end, step, offset, width)


@pytest.mark.parametrize("registers", [1, 2, 3, 4])
def test_rows_of_lanes_do_what_plain_arrays_do(registers: int) -> None:
    draw, wide = np.random.default_rng(registers), registers * lanes.WIDTH
    field = draw.uniform(0.0, 1.0, (9, wide)).astype(np.float32)
    field[draw.random(field.shape) < 0.2] = np.inf
    plain, weight, width = field.copy(), draw.uniform(0.0, 0.3, 9).astype(np.float32), lanes.registers(wide)
    for to, source in ((0, 1), (5, 8), (8, 5)):
        least = np.minimum(plain[to], plain[source] + weight[0])
        fell = (least < plain[to]).any()
        plain[to] = least
        assert relaxed(field.reshape(-1), to, source, weight[0], width) == fell
    assert (field == plain).all()
    for begin, end, step, offset in ((0, 9, 1, 0), (8, -1, -1, 1)):
        fresh = np.arange(9) % 2 == 0
        marked, at = fresh.copy(), begin + step
        while at != end:
            least = np.minimum(plain[at], plain[at - step] + weight[at + offset])
            marked[at] |= (least < plain[at]).any()
            plain[at] = least
            if not marked[at]:
                break
            at += step
        assert carried(field.reshape(-1), fresh, weight, begin, end, step, offset, width) == at
        assert (field == plain).all()
        assert (fresh == marked).all()


@njit
def turned(field, source, result, into):
    lanes.turn(field, source, result, into)


def test_a_square_of_lanes_is_turned_as_a_plain_array_is() -> None:
    draw, side = np.random.default_rng(3), lanes.WIDTH
    field, result = draw.random(40 * side).astype(np.float32), np.zeros(40 * side, np.float32)
    source, into = (draw.permutation(40)[:side] * side for _ in range(2))
    turned(field, source, result, into)
    square = np.stack([field[s : s + side] for s in source])
    assert (np.stack([result[i : i + side] for i in into]) == square.T).all()
    assert np.count_nonzero(result) == side * side


@settings(max_examples=100, deadline=None)
@given(due=st.lists(st.booleans(), min_size=1, max_size=20))
def test_the_stretch_that_is_due_is_the_shortest_on_the_ring(due: list[bool]) -> None:
    begin, count = sweep._stretch(np.array(due))
    chains, wanted = len(due), {c for c, d in enumerate(due) if d}
    assert wanted <= {(begin + k) % chains for k in range(count)}
    shortest = min(
        n for n in range(chains + 1) for b in range(chains) if wanted <= {(b + k) % chains for k in range(n)}
    )  # fmt: skip
    assert count == shortest


def test_a_ring_is_gone_round_both_ways_past_its_seam() -> None:
    ends = np.array([[i, (i + 1) % 30] for i in range(30)])
    ends.sort(axis=1)
    table = Links(ends[:, 0], ends[:, 1], np.full(30, links.LIGHT_M_S), np.ones(30), np.ones(30))
    latency = routing.fields(routing.mesh(30, table), np.arange(30)).latency_s
    apart = np.abs(np.arange(30)[:, None] - np.arange(30))
    assert (latency == np.minimum(apart, 30 - apart)).all()
