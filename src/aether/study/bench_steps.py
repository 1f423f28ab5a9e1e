"""Whole steps of a network, timed: the field's common work, ten thousand satellites, a million; each beside the usual way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra

from aether.base.clock import J2000_DAYS
from aether.base.tables import Elements, Fields, Floats, Ints, Links
from aether.engine.assemble import laser
from aether.network import access, handover, links, routing, topology
from aether.scenario.catalog import packaged
from aether.space import ground, motion, orbits, sun, visibility

LOWEST_RAD = np.radians(25.0)


def shell(planes: int, per_plane: int, altitude_m: float = 550e3, inclination_deg: float = 53.0) -> Elements:
    """A Walker shell of the bench."""
    return orbits.walker(planes, per_plane, altitude_m, np.radians(inclination_deg), odd_plane_offset=0.5)


def mesh_links(elements: Elements, place_m: Floats, pairs: Ints | None = None) -> Links:
    """The +Grid of a shell as links."""
    beam = laser(packaged().terminal("starlink-laser"))
    held = topology.plus_grid(elements, place_m, beam.max_range_m) if pairs is None else pairs
    return topology.links(place_m, held, beam)


def cells(count: int) -> Floats:
    """Places all over the Earth, Earth-fixed [m] (count, 3)."""
    return np.asarray(ground.place(*access.cells(count), np.zeros(count)))


def common_work() -> tuple[Callable[[], Any], Callable[[], Any]]:
    """W1: 1,584 satellites of one shell, +Grid, 100 cities, all pairs; one step of ours, and of numpy with scipy.

    Positions, link lengths, who sees whom, and the latency between every pair of cities.
    """
    relays = shell(72, 22)
    ready, order = motion.prepare(relays), routing.mesh_order(relays, 0)
    at_m = motion.positions(ready, np.zeros(1), J2000_DAYS)[0]
    pairs = topology.plus_grid(relays, at_m, 5_400e3)
    towns = cells(100)
    horizon, index = ground.horizon(towns, LOWEST_RAD), np.arange(100)

    def ours() -> Any:
        place_m = motion.positions(ready, np.array([60.0]), J2000_DAYS)[0]
        graph = routing.mesh(len(place_m), mesh_links(relays, place_m, pairs), order=order)
        seen = visibility.seen(horizon, visibility.sky(place_m))
        fields = access.place_fields(graph, seen, index)
        return access.reach(seen, Fields(index, fields))

    def usual() -> Any:
        place_m = motion.positions(ready, np.array([60.0]), J2000_DAYS)[0]
        length = np.linalg.norm(place_m[pairs[:, 0]] - place_m[pairs[:, 1]], axis=1)
        apart = place_m[None] - towns[:, None]
        slant = np.linalg.norm(apart, axis=2)
        up = ground.up(towns)
        town, satellite = np.nonzero(np.einsum("gsx,gx->gs", apart, up) >= np.sin(LOWEST_RAD) * slant)
        a = np.concatenate([pairs[:, 0], pairs[:, 1], 1584 + town])
        b = np.concatenate([pairs[:, 1], pairs[:, 0], satellite])
        weight = np.concatenate([length, length, slant[town, satellite]]) / links.LIGHT_M_S
        graph = coo_matrix((weight, (a, b)), shape=(1684, 1684)).tocsr()
        far = dijkstra(graph, indices=np.arange(1584, 1684))[:, :1584]
        down = [(satellite[town == g], slant[g, satellite[town == g]] / links.LIGHT_M_S) for g in range(100)]
        return np.stack([(far[:, s] + d).min(axis=1, initial=np.inf) for s, d in down], axis=1)

    return ours, usual


def ten_thousand() -> Callable[[], Any]:
    """Positions, eclipse, visibility, topology and fields for 10,000 satellites, 96 ships and 5,000 cells: one step."""
    relays, ships = shell(100, 100), shell(1, 96, 600e3, 97.8)
    ready, aloft = motion.prepare(relays), motion.prepare(ships)
    order = routing.mesh_order(relays, 96)
    at_m = motion.positions(ready, np.zeros(1), J2000_DAYS)[0]
    pairs = topology.plus_grid(relays, at_m, 5_400e3)
    horizon = ground.horizon(cells(5_000), LOWEST_RAD)
    beam = laser(packaged().terminal("starlink-laser"))
    time = np.array([60.0])
    sun_m = sun.position(J2000_DAYS + time / 86400.0)
    held, spare = np.full((96, 1), handover.FREE), np.ones(10_000, dtype=np.int64)
    at_ships_m = motion.propagate(aloft, np.zeros(1), J2000_DAYS).fixed_m[0]
    held, todo_s, _ = handover.attach(at_ships_m, at_m, held, np.zeros((96, 1)), spare, 5_400e3, 30.0, 60.0)

    def step() -> Any:
        place_m = motion.positions(ready, time, J2000_DAYS)[0]
        track = motion.propagate(aloft, time, J2000_DAYS)
        sun.lit(track.inertial_m, sun_m)
        nodes_m = np.concatenate([place_m, track.fixed_m[0]])
        now, _, alive = handover.attach(track.fixed_m[0], place_m, held, todo_s, spare, 5_400e3, 30.0, 60.0)
        up, up_alive = handover.ship_pairs(now, alive, 10_000)
        climbs = topology.links(nodes_m, up, beam, up_alive)
        graph = routing.mesh(10_096, topology.join(topology.links(nodes_m, pairs, beam), climbs), order=order)
        visibility.seen(horizon, visibility.sky(place_m))
        return routing.fields(graph, 10_000 + np.arange(96))

    return step


def million() -> Callable[[], Any]:
    """The filing's million satellites as 20 shells of 250 x 200, 1,000 ships, 5,000 cells and 10 sources: one step."""
    shells = [shell(250, 200, 500e3 + 50e3 * i, 30.0 if i % 2 else 97.5 + 0.2 * i) for i in range(20)]
    relays = orbits.join(*shells)
    ready = motion.prepare(relays)
    slot = np.arange(250 * 200).reshape(250, 200)
    grid = np.concatenate([np.stack([slot, np.roll(slot, -1, axis=k)], axis=-1).reshape(-1, 2) for k in (1, 0)])
    pairs = np.concatenate([grid + 50_000 * i for i in range(20)])
    between = np.stack([np.arange(50_000, 1_000_000, 500), np.arange(0, 950_000, 500)], axis=1)
    pairs = np.concatenate([pairs, between])
    order = np.arange(1_000_000)
    horizon, sources = ground.horizon(cells(5_000), LOWEST_RAD), np.arange(10) * 100_000
    memory = np.empty(2 * 80_000_000, np.int64)  # 68 million are seen: a gigabyte, kept from step to step

    def step() -> Any:
        place_m = motion.positions(ready, np.array([60.0]), J2000_DAYS)[0]
        graph = routing.mesh(1_000_000, mesh_links(relays, place_m, pairs), order=order)
        visibility.seen(horizon, visibility.sky(place_m), out=memory)
        return routing.fields(graph, sources)

    return step
