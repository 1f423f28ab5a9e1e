"""Latency fields against scipy's Dijkstra on large meshes."""

from dataclasses import replace

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra

from aether.base.tables import Links
from aether.network import handover, links, routing, topology
from constellation import LASER, circles, shell


def w1_with_a_ring() -> tuple[int, Links]:
    relays, ships = shell(72, 22, 53.0), shell(1, 47, 97.8)
    nodes_m = np.concatenate([circles(relays, 550e3, 0.0), circles(ships, 600e3, 0.0)])
    mesh = topology.plus_grid(relays, nodes_m[:1584], np.inf)
    held = handover.attach(
        nodes_m[1584:], nodes_m[:1584], np.full((47, 2), -1), np.zeros((47, 2)), np.ones(1584, int), 2e6, 15.0, 60.0
    )
    up, alive = handover.ship_pairs(held[0], held[2], 1584)
    return 1631, topology.join(
        topology.links(nodes_m, mesh, LASER),
        topology.links(nodes_m, up, LASER, alive),
        topology.links(nodes_m, topology.ring_pairs(ships, nodes_m[1584:], 5e6, 1584), LASER),
    )


def oracle(nodes: int, table: Links, sources: np.ndarray) -> np.ndarray:
    use = table.alive > 0
    weight = table.range_m[use] / links.LIGHT_M_S
    graph = coo_matrix((weight, (table.a[use], table.b[use])), shape=(nodes, nodes)).tocsr()
    return np.asarray(dijkstra(graph, directed=False, indices=sources))


def test_latency_from_a_ring_of_ships_equals_dijkstra() -> None:
    nodes, table = w1_with_a_ring()
    sources = 1584 + np.arange(47)
    fields = routing.fields(routing.mesh(nodes, table), sources)
    assert np.abs(fields.latency_s - oracle(nodes, table, sources)).max() < 1e-7  # s; 30 m of light


def test_order_of_the_sweep_changes_nothing() -> None:
    nodes, table = w1_with_a_ring()
    sources = 1584 + np.arange(47)
    plain = routing.fields(routing.mesh(nodes, table), sources)
    mixed = routing.fields(routing.mesh(nodes, table, order=np.random.default_rng(0).permutation(nodes)), sources)
    assert (plain.latency_s == mixed.latency_s).all()
    order = routing.mesh_order(shell(72, 22, 53.0), 47)
    assert (routing.fields(routing.mesh(nodes, table, order=order), sources).latency_s == plain.latency_s).all()


def test_processing_is_charged_at_every_node_entered() -> None:
    nodes_m = np.array([[7.0e6, 1.0e6 * i, 0.0] for i in range(4)])
    table = topology.links(nodes_m, np.array([[0, 1], [1, 2], [2, 3]]), LASER)
    slow = routing.fields(routing.mesh(4, table, processing_s=0.001), np.array([0])).latency_s[0]
    assert np.abs(slow - np.arange(4) * (1.0e6 / links.LIGHT_M_S + 0.001)).max() < 1e-8


def test_a_dead_link_carries_no_path() -> None:
    nodes_m = np.array([[7.0e6, 1.0e6 * i, 0.0] for i in range(3)])
    table = topology.links(nodes_m, np.array([[0, 1], [1, 2]]), LASER, alive=np.array([1.0, 0.0]))
    mesh = routing.mesh(3, table)
    field = routing.fields(mesh, np.array([0])).latency_s[0]
    assert np.isinf(field[2])
    assert routing.path(mesh, field, 2) == []


def ten_thousand(dead: float) -> tuple[Links, routing.Mesh]:
    """A shell of 100 x 100 with a share of its links dead."""
    relays = shell(100, 100, 53.0)
    nodes_m = circles(relays, 550e3, 0.0)
    table = topology.links(nodes_m, topology.plus_grid(relays, nodes_m, np.inf), LASER)
    alive = (np.random.default_rng(7).random(table.a.size) >= dead).astype(float)
    table = replace(table, alive=alive)
    return table, routing.mesh(10_000, table, order=routing.mesh_order(relays, 0))


def test_fields_on_ten_thousand_nodes_equal_dijkstra_to_a_part_in_a_million() -> None:
    for dead in (0.0, 0.02):
        table, mesh = ten_thousand(dead)
        sources = np.arange(5) * 1_987
        got, want = routing.fields(mesh, sources).latency_s, oracle(10_000, table, sources)
        assert (np.isinf(got) == np.isinf(want)).all()
        near = np.isfinite(want) & (want > 0)
        assert (np.abs(got[near] - want[near]) / want[near]).max() < 2e-6  # float32: 6e-8 a hop, some 60 hops


def test_each_plane_is_a_chain_even_where_one_ends_beside_the_next() -> None:
    plane, slot = np.divmod(np.arange(30), 6)
    fore = np.stack([np.arange(30), 6 * plane + (slot + 1) % 6], axis=1)
    left = np.stack([np.arange(30), 6 * ((plane + 1) % 5) + (slot + 1) % 6], axis=1)  # slot 5 beside the next one's 0
    a, b = np.concatenate([fore, left]).T
    mesh = routing.mesh(30, Links(a, b, np.full(60, 1e6), np.ones(60), np.ones(60)))
    assert mesh.sweep.first.tolist() == [0, 6, 12, 18, 24, 30]
    assert np.isfinite(mesh.sweep.weight_s).all()  # and every ring is closed
    assert mesh.sweep.other.size == 2 * 30  # left and right


def test_threads_and_company_in_the_lanes_change_no_bit() -> None:
    _, mesh = ten_thousand(0.02)
    sources = np.random.default_rng(1).integers(0, 10_000, 70)
    together = routing.fields(mesh, sources).latency_s
    row = np.arange(sources.size)
    shared = routing.spread(mesh, sources.size, row, sources, np.zeros(sources.size), threads=2)
    assert (shared == together).all()
    for k in (0, 33, 69):
        assert (routing.fields(mesh, sources[k : k + 1]).latency_s[0] == together[k]).all()
