"""How far every place is from every host at one tick, and by which way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aether.base.tables import Access, Fields, Floats, Floats32, Ints, Links
from aether.engine.assemble import Setup
from aether.network import access, routing
from aether.network.links import LIGHT_M_S
from aether.space import visibility


@dataclass(frozen=True)
class Ways:
    """The ways of one tick. Rows of fields: ships K, ground sites J, then any gateway."""

    mesh: routing.Mesh
    fields: Fields
    own: Access  # satellites that places see
    gateways: Access
    round_trip_s: Floats32  # (C, H) delivered, infinity without a path
    by_fibre: np.ndarray  # (C, H) quickest by fibre alone


def ways(setup: Setup, sky: visibility.Sky, links: Links, gateways: Access) -> Ways:
    """The Ways of a tick: fields from ships and from sites through gateways, then the least over own terminal and provider.

    own = 2 (slant / c + field) + scheduling + queue; provider = 2 (fibre + gateway slant / c + field) + last mile + queue;
    a site also by fibre alone. Processing at every satellite is in the field.
    """
    hosts, paid = setup.hosts, setup.overheads
    nodes = setup.relay_count + hosts.ships
    mesh = routing.mesh(nodes, links, paid.processing.value, order=setup.sweep)
    fields = _fields(setup, mesh, gateways)
    own = visibility.seen(setup.cities.horizon, sky, setup.cities.max_slant_m)
    to_hosts = Fields(fields.source[: len(hosts.names)], fields.latency_s[: len(hosts.names)])
    reached = access.reach(access.both(own, gateways), to_hosts)  # the fields are turned once
    trip, by_fibre = access.trips(
        reached[: len(own.start) - 1], reached[len(own.start) - 1 :], setup.city_gateways, 2.0 * hosts.city_fibre_s,
        paid.scheduling.value + paid.queue.value, paid.last_mile.value + paid.queue.value,
    )  # fmt: skip
    return Ways(mesh, fields, own, gateways, trip, by_fibre)


def _fields(setup: Setup, mesh: routing.Mesh, gateways: Access) -> Fields:
    """Latency from ships, from sites through gateways, and from any gateway, to every node."""
    hosts, first = setup.hosts, setup.relay_count
    gate = np.repeat(np.arange(len(gateways.start) - 1), np.diff(gateways.start))
    down_s = gateways.slant_m / LIGHT_M_S
    rows: list[Ints] = [np.arange(hosts.ships)]
    seeds: list[Ints] = [first + np.arange(hosts.ships)]
    starts: list[Floats] = [np.zeros(hosts.ships)]
    for j in range(hosts.sites + 1):
        start_s = down_s + hosts.gateway_fibre_s[gate, j] if j < hosts.sites else down_s
        known = np.isfinite(start_s)
        rows.append(np.full(int(known.sum()), hosts.ships + j))
        seeds.append(gateways.satellite[known])
        starts.append(start_s[known])
    count = len(hosts.names) + 1
    latency = routing.spread(mesh, count, np.concatenate(rows), np.concatenate(seeds), np.concatenate(starts))
    return Fields(np.arange(count), latency)
