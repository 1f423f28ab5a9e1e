"""Latency fields against scipy's Dijkstra on a large mesh."""

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra

from aether.base.tables import Links
from aether.network import links, routing, topology
from constellation import LASER, circles, shell


def w1_with_a_ring() -> tuple[int, Links]:
    relays, ships = shell(72, 22, 53.0), shell(1, 47, 97.8)
    nodes_m = np.concatenate([circles(relays, 550e3, 0.0), circles(ships, 600e3, 0.0)])
    mesh = topology.plus_grid(relays, nodes_m[:1584], np.inf)
    held = topology.attach(
        nodes_m[1584:], nodes_m[:1584], np.full((47, 2), -1), np.zeros((47, 2)), np.ones(1584, int), 2e6, 15.0, 60.0
    )
    up, alive = topology.ship_pairs(held[0], held[2], 1584)
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
