"""Whole steps of a network: the field's common work, ten thousand satellites, a million."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from aether.base.clock import J2000_DAYS
from aether.base.tables import Elements, Fields, Floats, Ints, Links
from aether.engine.assemble import laser
from aether.network import access, handover, routing, topology
from aether.scenario.catalog import packaged
from aether.space import ground, motion, orbits, sun, visibility

LOWEST_RAD = np.radians(25.0)
LINK_M = 5_400e3  # the longest laser link


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


def common_work() -> Callable[[], Any]:
    """W1: 1,584 satellites of one shell, +Grid, 100 cities, all pairs; one step.

    Positions, link lengths, who sees whom, and the latency between every pair of cities.
    """
    relays = shell(72, 22)
    ready, order = motion.prepare(relays), routing.mesh_order(relays, 0)
    at_m = motion.positions(ready, np.zeros(1), J2000_DAYS)[0]
    pairs = topology.plus_grid(relays, at_m, LINK_M)
    horizon, index = ground.horizon(cells(100), LOWEST_RAD), np.arange(100)

    def step() -> Any:
        place_m = motion.positions(ready, np.array([60.0]), J2000_DAYS)[0]
        graph = routing.mesh(len(place_m), mesh_links(relays, place_m, pairs), order=order)
        seen = visibility.seen(horizon, visibility.sky(place_m))
        fields = access.place_fields(graph, seen, index)
        return access.reach(seen, Fields(index, fields))

    return step


def ten_thousand() -> Callable[[float], Fields]:
    """Positions, eclipse, visibility, topology and fields for 10,000 satellites, 96 ships and 5,000 cells: step(time [s])."""
    relays = shell(100, 100)
    at_m = motion.positions(motion.prepare(relays), np.zeros(1), J2000_DAYS)[0]
    pairs = topology.plus_grid(relays, at_m, LINK_M)
    ships, order = large_ships(), routing.mesh_order(relays, 96)
    out = np.empty((96, 10_096), np.float32)
    return _stepper(relays, ships, pairs, order, lambda graph: routing.fields(graph, 10_000 + np.arange(96), out), None)


def large_ships() -> Elements:
    """The 96 ships of the step of ten thousand satellites."""
    return shell(1, 96, 600e3, 97.8)


def million() -> Callable[[float], Fields]:
    """The filing's million satellites as 20 shells of 250 x 200, 1,000 ships, 5,000 cells and 10 sources: step(time [s])."""
    shells = [shell(250, 200, 500e3 + 50e3 * i, 30.0 if i % 2 else 97.5 + 0.2 * i) for i in range(20)]
    slot = np.arange(250 * 200).reshape(250, 200)
    grid = np.concatenate([np.stack([slot, np.roll(slot, -1, axis=k)], axis=-1).reshape(-1, 2) for k in (1, 0)])
    pairs = np.concatenate([grid + 50_000 * i for i in range(20)])
    between = np.stack([np.arange(50_000, 1_000_000, 500), np.arange(0, 950_000, 500)], axis=1)
    pairs = np.concatenate([pairs, between])
    memory = np.empty(2 * 80_000_000, np.int64)  # 68 million are seen: a gigabyte, kept from step to step
    sources, order = np.arange(10) * 100_000, np.arange(1_001_000)
    ships = shell(1, 1_000, 600e3, 97.8)
    return _stepper(orbits.join(*shells), ships, pairs, order, lambda graph: routing.fields(graph, sources), memory)


def _stepper(
    relays: Elements, ships: Elements, pairs: Ints, order: Ints, fields: Callable[[routing.Mesh], Fields], out: Ints | None
) -> Callable[[float], Fields]:  # fmt: skip
    """A step of a network with ships that hold on to their relays from one step to the next; out: as in `visibility.seen`."""
    ready, aloft, count = motion.prepare(relays), motion.prepare(ships), len(relays.epoch_s)
    horizon, beam = ground.horizon(cells(5_000), LOWEST_RAD), laser(packaged().terminal("starlink-laser"))
    spare = np.ones(count, dtype=np.int64)
    held, todo_s = np.full((len(ships.epoch_s), 1), handover.FREE), np.zeros((len(ships.epoch_s), 1))

    def step(time_s: float) -> Fields:
        nonlocal held, todo_s
        time = np.array([time_s])
        place_m = motion.positions(ready, time, J2000_DAYS)[0]
        track = motion.propagate(aloft, time, J2000_DAYS)
        sun.lit(track.inertial_m, sun.position(J2000_DAYS + time / 86400.0))
        nodes_m = np.concatenate([place_m, track.fixed_m[0]])
        held, todo_s, alive = handover.attach(track.fixed_m[0], place_m, held, todo_s, spare, LINK_M, 30.0, 60.0)
        up, up_alive = handover.ship_pairs(held, alive, count)
        climbs = topology.links(nodes_m, up, beam, up_alive)
        graph = routing.mesh(len(nodes_m), topology.join(topology.links(nodes_m, pairs, beam), climbs), order=order)
        visibility.seen(horizon, visibility.sky(place_m), out=out)
        return fields(graph)

    step(0.0)
    return step
