"""The network's hot kernels beside plain loops in one process: a lost vectorisation or a lost index shows as a ratio."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from aether.network import lanes, routing, topology
from aether.space import ground, visibility
from constellation import LASER, circles, shell


@njit
def plain_row(field, to, source, cost, lanes_count):
    fell = False
    for lane in range(lanes_count):
        via = field[source, lane] + cost
        if via < field[to, lane]:
            field[to, lane] = via
            fell = True
    return fell


@njit
def plain_rows(field, rounds):
    count = 0
    for _ in range(rounds):
        for n in range(1, field.shape[0]):
            count += plain_row(field, n, n - 1, np.float32(1.0), field.shape[1])
    return count


@njit
def rows(field, nodes, rounds, width):
    count = 0
    for _ in range(rounds):
        for n in range(1, nodes):
            count += lanes.relax(field, n, n - 1, np.float32(1.0), width)
    return count


@njit
def plain_fields(start, node, weight, sources):
    """One source after another, nodes swept to and fro until nothing changes."""
    nodes = start.size - 1
    field = np.full((sources.size, nodes), np.inf, np.float32)
    for k in range(sources.size):
        field[k, sources[k]] = 0.0
        changed, forward = True, True
        while changed:
            changed = False
            for i in range(nodes):
                n = i if forward else nodes - 1 - i
                for e in range(start[n], start[n + 1]):
                    via = field[k, node[e]] + weight[e]
                    if via < field[k, n]:
                        field[k, n] = via
                        changed = True
            forward = not forward
    return field


@njit
def plain_visible(places, vertical, sine, satellites):
    count = 0
    for g in range(places.shape[0]):
        for s in range(satellites.shape[0]):
            x, y, z = satellites[s, 0] - places[g, 0], satellites[s, 1] - places[g, 1], satellites[s, 2] - places[g, 2]
            rise = x * vertical[g, 0] + y * vertical[g, 1] + z * vertical[g, 2]
            count += rise >= sine * np.sqrt(x * x + y * y + z * z)
    return count


def ratio(plain: Callable[[], Any], ours: Callable[[], Any]) -> float:
    """How many times longer the plain loop takes, the least of turns taken by both: what else runs here only adds."""
    taken: tuple[list[float], list[float]] = ([], [])
    plain(), ours()
    for _ in range(9):
        for work, times in zip((plain, ours), taken, strict=True):
            begun = time.perf_counter()
            work()
            times.append(time.perf_counter() - begun)
    return min(taken[0]) / min(taken[1])


def test_rows_of_lanes_are_relaxed_in_vector_registers() -> None:
    wide = 4 * lanes.WIDTH
    field = np.random.default_rng(0).uniform(0.0, 1.0, (100, wide)).astype(np.float32)
    flat, width = field.reshape(-1).copy(), lanes.registers(wide)
    assert ratio(lambda: plain_rows(field, 200), lambda: rows(flat, 100, 200, width)) > 2.0  # 6 as measured


def test_fields_of_many_sources_are_several_times_as_quick_as_one_by_one() -> None:
    relays = shell(72, 22, 53.0)
    nodes_m = circles(relays, 550e3, 0.0)
    mesh = routing.mesh(1_584, topology.links(nodes_m, topology.plus_grid(relays, nodes_m, np.inf), LASER))
    sources = np.arange(96) * 16
    got, want = routing.fields(mesh, sources).latency_s, plain_fields(mesh.start, mesh.node, mesh.weight_s, sources)
    assert (got == want).all()
    found = ratio(
        lambda: plain_fields(mesh.start, mesh.node, mesh.weight_s, sources), lambda: routing.fields(mesh, sources)
    )
    assert found > 8.0  # 27 as measured


def test_a_place_looks_only_at_satellites_near_it() -> None:
    relays = shell(40, 50, 53.0)
    satellites, index = circles(relays, 550e3, 0.0), np.arange(500)
    places = ground.place(np.arcsin(1.0 - (2.0 * index + 1.0) / 500), np.mod(2.399963 * index, 2 * np.pi))
    ready, sine = ground.horizon(places, np.radians(25.0)), float(np.sin(np.radians(25.0)))
    found = ratio(
        lambda: plain_visible(places, ready.vertical, sine, satellites),
        lambda: visibility.seen(ready, visibility.sky(satellites)),
    )
    assert found > 1.8  # 4.7 as measured
    assert visibility.seen(ready, visibility.sky(satellites)).satellite.size == plain_visible(
        places, ready.vertical, sine, satellites
    )
