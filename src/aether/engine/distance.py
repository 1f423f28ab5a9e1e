"""How far the fleet is from everybody: latency of cities, cells and probes, tick by tick."""

from __future__ import annotations

import numpy as np

from aether.base.tables import Fields, Floats, Floats32
from aether.engine.assemble import Setup
from aether.engine.block import Block
from aether.engine.places import Sites
from aether.engine.record import Record
from aether.engine.tick import Tick
from aether.network import access, routing
from aether.network.links import LIGHT_M_S
from aether.space import ground, sun, visibility


def measure(setup: Setup, record: Record, block: Block, i: int, tick: Tick) -> None:
    """Write down the latencies of one tick: cities and cells to the nearest ship that computes, and the probes."""
    setup = setup.at(float(block.time_s[i]))
    first, ships = setup.relay_count, len(setup.fleet.name)
    mesh = routing.mesh(first + ships, tick.mesh.links, order=setup.sweep)
    sky = tick.mesh.sky
    working = np.flatnonzero(tick.capacity.radiation > 0.0)
    nearest = routing.spread(mesh, 1, np.zeros(len(working), dtype=np.int64), first + working, np.zeros(len(working)))
    t = block.first + i - record.first
    if len(setup.cities.fixed_m):
        record.city_rtt_s[t] = _to_nearest(setup.cities, sky, nearest)
        record.city_gateway_rtt_s[t] = _by_gateway(setup, tick, nearest)
    if len(setup.cells.fixed_m):
        _cells(setup, record, _to_nearest(setup.cells, sky, nearest), block, i)
    if setup.probes:
        _probes(setup, record, mesh, sky, t)


def _to_nearest(sites: Sites, sky: visibility.Sky, nearest: Floats32) -> Floats:
    """Round trip from places to the nearest working ship by their own terminals, NaN where there is none [s]."""
    one_way = visibility.least(sites.horizon, sky, nearest[0], LIGHT_M_S, sites.max_slant_m)
    return np.where(np.isfinite(one_way), 2.0 * one_way, np.nan)


def _by_gateway(setup: Setup, tick: Tick, nearest: Floats32) -> Floats:
    """Round trip from cities by local fibre and a gateway to the nearest working ship, NaN where there is none [s]."""
    if not len(setup.gateways.names):
        return np.full(len(setup.cities.names), np.nan)
    down = access.reach(tick.mesh.gateways, Fields(np.zeros(1, dtype=np.int64), nearest))
    one_way = access.through(down, *setup.city_gateways)[:, 0]
    return np.where(np.isfinite(one_way), 2.0 * one_way, np.nan)


def _cells(setup: Setup, record: Record, rtt_s: Floats, block: Block, i: int) -> None:
    covered = np.isfinite(rtt_s)
    record.standing.cell_covered += covered
    record.standing.cell_rtt_s += np.where(covered, rtt_s, 0.0)
    towards = sun.to_fixed(block.light.sun_m[i : i + 1, None], block.ships.gmst_rad[i : i + 1])[0]
    hour = ground.solar_time(setup.cells.fixed_m, towards)[0] / 3600.0
    seen_s = np.where(covered, rtt_s, np.inf).astype(np.float32)
    so_far = record.standing.hours
    record.standing.hours = access.accumulate(so_far, setup.cells.latitude_rad, hour, seen_s, np.inf)


def _probes(setup: Setup, record: Record, mesh: routing.Mesh, sky: visibility.Sky, t: int) -> None:
    """Each probe from the field of its first end."""
    sites = setup.probe_sites
    seen = visibility.seen(sites.horizon, sky, sites.max_slant_m)
    place_field = access.place_fields(mesh, seen, np.arange(len(sites.fixed_m)))
    for p, (a, b) in enumerate(setup.probes):
        if a.node >= 0 and b.node < 0:
            a, b = b, a  # the way back is as long
        before = record.standing.paths[p]
        if a.node < 0 and b.node < 0:
            found = access.round_trip(mesh, place_field[a.index], seen, b.index, setup.overheads, before)
        elif a.node < 0:
            found = access.ship_round_trip(mesh, place_field[a.index], b.node, setup.overheads, before)
        else:
            field = routing.fields(mesh, np.array([a.node])).latency_s[0]
            found = access.ship_round_trip(mesh, field, b.node, setup.overheads, before, terminals=0)
        record.changed[t, p] = found.changed and record.first + t > 0
        record.standing.paths[p] = found.nodes
        if not found.outage:
            record.rtt_s[t, p], record.delivered_s[t, p], record.hops[t, p] = (
                found.propagation_s,
                found.delivered_s,
                found.hops,
            )
