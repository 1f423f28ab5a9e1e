"""What streams and tuning ask of the network: ways from sources to hosts, from hosts to the ground, from host to host."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aether.base.tables import Bools, Floats, Ints, Links
from aether.engine.assemble import Setup
from aether.engine.carry import Paths, append, concatenate, first_node, walk
from aether.engine.reach import Ways
from aether.network import access

NOWHERE = Paths(np.zeros(1, dtype=np.int64), np.empty(0, dtype=np.int64))


@dataclass(frozen=True)
class Load:
    """Ways and what is asked of them (F,); a way that crosses nothing takes all it is given."""

    paths: Paths
    bit_s: Floats

    @property
    def parts(self) -> tuple[Paths, Floats]:
        """Both, as `carry` takes them."""
        return self.paths, self.bit_s

    @classmethod
    def none(cls) -> Load:
        """Nothing at all."""
        return cls(NOWHERE, np.empty(0))


def together(loads: list[Load]) -> Load:
    """Several loads as one, in the order given."""
    if not loads:
        return Load.none()
    return Load(concatenate([one.paths for one in loads]), np.concatenate([one.bit_s for one in loads]))


def fan_in(setup: Setup, host: Ints, entry: Ints, on: Bools, links: Links, way: Ways) -> Paths:
    """From relays (or ships) to hosts, a site by its feeder; rows that are not `on` cross nothing."""
    nodes, lasers = setup.relay_count + setup.hosts.ships, 2 * len(links.a)
    path = walk(way, host, entry, on)
    seed = first_node(path, links, entry)
    site = on & (host >= setup.hosts.ships)
    return append(path.back(lasers), np.where(site, lasers + 2 * nodes + seed, -1))


def from_places(setup: Setup, place: Ints, host: Ints, on: Bools, links: Links, way: Ways) -> Paths:
    """From places to hosts by their own terminal or local provider, as requests go; by fibre alone they cross nothing."""
    nodes, lasers = setup.relay_count + setup.hosts.ships, 2 * len(links.a)
    if not setup.scenario.spec.couplings.access or not len(place):
        return Paths(np.zeros(len(place) + 1, dtype=np.int64), np.empty(0, dtype=np.int64))
    paid = setup.overheads
    extra = (0.5 * (paid.scheduling.value + paid.queue.value), 0.5 * (paid.last_mile.value + paid.queue.value))
    found = access.entries(place, host, way.fields, way.own, way.gateways, setup.city_gateways, extra)
    entry = np.where(on & ~way.by_fibre[place, host], found.satellite, -1)
    up = np.where(found.gateway >= 0, 3 * nodes, nodes)
    return append(fan_in(setup, host, entry, entry >= 0, links, way), np.where(entry >= 0, lasers + up + entry, -1))


def to_ground(setup: Setup, host: Ints, on: Bools, links: Links, way: Ways) -> Paths:
    """From ships to the nearest gateway, each by its feeder; rows that are not `on` cross nothing."""
    nodes, lasers = setup.relay_count + setup.hosts.ships, 2 * len(links.a)
    node = np.where(on, setup.relay_count + host, 0)
    path = walk(way, np.full(len(host), len(setup.hosts.names)), node, on)
    seed = first_node(path, links, node)
    return append(path.back(lasers), np.where(on, lasers + 2 * nodes + seed, -1))


def latency_s(setup: Setup, way: Ways, a: Ints, b: int) -> Floats:
    """One way from hosts to another [s] (A,): infinity without a path, nothing between sites, whose fibre is not told here."""
    ships, first = setup.hosts.ships, setup.relay_count
    if b < ships:
        return way.fields.latency_s[a, first + b].astype(np.float64)
    nodes = first + np.minimum(a, max(ships - 1, 0))
    return np.where(a < ships, way.fields.latency_s[b, nodes].astype(np.float64) if ships else np.inf, 0.0)


def between(setup: Setup, a: int, b: Ints, links: Links, way: Ways) -> Paths:
    """From one host to others; between sites, and to itself, by what is there: nothing is crossed."""
    ships, nodes, lasers = setup.hosts.ships, setup.relay_count + setup.hosts.ships, 2 * len(links.a)
    on = (b != a) & ((b < ships) | (a < ships))
    if a < ships:  # ways lead from each b's row to a: the other way round, a site's feeder at the end
        path = walk(way, b, np.full(len(b), setup.relay_count + a), on)
        seed = first_node(path, links, np.full(len(b), setup.relay_count + a))
        return append(path.back(lasers), np.where(on & (b >= ships), lasers + 2 * nodes + seed, -1))
    node = np.where(on, setup.relay_count + np.minimum(b, ships - 1), 0)
    path = walk(way, np.full(len(b), a), node, on)
    return append(path, np.where(on, lasers + 3 * nodes + first_node(path, links, node), -1))
