"""From the ground to the ships and back: reach, round trips, coverage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit, uint64
from numpy.typing import ArrayLike

from aether.base.provenance import Assumption
from aether.base.tables import Access, Bools, Fields, Floats, Floats32, Ints
from aether.network.links import EARTH_EQUATOR_M, LIGHT_M_S
from aether.network.routing import Mesh, path, spread
from aether.scenario.catalog import Catalog, packaged

FIBRE_M_S = 204_200_000.0  # group index 1.468, ITU-T G.652 fibre at 1,550 nm


@dataclass(frozen=True, slots=True)
class Overheads:
    """What a delivered round trip pays over propagation, each an Assumption in seconds."""

    scheduling: Assumption  # of a user terminal, per round trip
    processing: Assumption  # switching in a satellite, per satellite and direction
    queue: Assumption  # per round trip
    last_mile: Assumption  # a local provider's access, per round trip


def overheads(catalog: Catalog) -> Overheads:
    """The overheads of a catalog: its `access.*` assumptions."""
    return Overheads(*(catalog.assume(f"access.{name}") for name in ("scheduling", "processing", "queue", "last_mile")))


@dataclass(frozen=True, slots=True)
class Probe:
    """One round trip at one tick.

    nodes: satellites along the way there. hops: laser links among them. outage: no path; times are then infinite.
    changed: the way differs from the one before.
    """

    propagation_s: float
    delivered_s: float
    hops: int
    nodes: tuple[int, ...]
    changed: bool
    outage: bool


@njit(cache=True, nogil=True)
def _reach(start: Ints, satellite: Ints, slant_s: Floats32, ground: Bools, latency: Floats32) -> Floats32:
    """Ships side by side: the field is turned to (node, ship) first, a line of the cache at a time."""
    places, ships, nodes = start.size - 1, latency.shape[0], latency.shape[1]
    best = np.full((places, ships), np.inf, np.float32)
    to_ships = np.empty((nodes, ships), np.float32) if ships > 1 else latency.reshape((nodes, ships))
    for base in range(0, nodes if ships > 1 else 0, 16):
        for k in range(uint64(ships)):
            for n in range(uint64(base), uint64(min(base + 16, nodes))):
                to_ships[n, k] = latency[k, n]
    for g in range(places):
        for v in range(start[g], start[g + 1]):
            if ground[satellite[v]] and ships == 1:
                best[g, 0] = min(best[g, 0], to_ships[satellite[v], 0] + slant_s[v])
            elif ground[satellite[v]]:
                near, least = to_ships[satellite[v]], best[g]
                for k in range(ships):
                    via, now = near[k] + slant_s[v], least[k]
                    least[k] = via if via < now else now
    return best


def both(first: Access, second: Access) -> Access:
    """Places of two lists one after the other."""
    return Access(
        np.concatenate([first.start, first.start[-1] + second.start[1:]]),
        np.concatenate([first.satellite, second.satellite]), np.concatenate([first.slant_m, second.slant_m]),
    )  # fmt: skip


def reach(access: Access, fields: Fields, ground: Bools | None = None) -> Floats32:
    """Least one-way latency from every place to every ship.

    t[g, k] = min over satellites v seen from g of slant / c + field[k, v]; a ship in view is reached straight if it may
    serve the ground.
    access: of G places. fields: from K ships. ground: (N,) which nodes have ground terminals; all of them if not given.
    Returns (G, K) [s], infinity where there is no path. Reference: [1] own model: route from the few ships, not the
    places.
    """
    allowed = np.ones(fields.latency_s.shape[1], np.bool_) if ground is None else ground
    slant_s = (access.slant_m / LIGHT_M_S).astype(np.float32)
    return _reach(access.start, access.satellite, slant_s, allowed, np.ascontiguousarray(fields.latency_s))


def local_gateways(fibre_s: Floats, most: int = 4) -> tuple[Ints, Floats]:
    """The few gateways nearest to each place by fibre; static, so done once a run.

    fibre_s: (G, W) one way from place to gateway, infinity where there is no fibre [s]. most: how many to keep.
    Returns gateway (G, M) and fibre latency (G, M) [s], nearest first, ties by number.
    """
    gateway = np.argsort(fibre_s, axis=1, kind="stable")[:, :most]
    return gateway.astype(np.int64), np.take_along_axis(fibre_s, gateway, axis=1)


def through(gateway_reach_s: Floats32, gateway: Ints, fibre_s: Floats) -> Floats32:
    """Least one-way latency from places to ships by local fibre and a gateway.

    t[g, k] = min over the place's gateways w of fibre[g, w] + reach[w, k].
    gateway_reach_s: (W, K) from `reach` with the gateways as places [s]. gateway, fibre_s: (G, M) from
    `local_gateways`. Returns (G, K) [s]. Reference: [1] own model.
    """
    return _through(gateway_reach_s, gateway, fibre_s.astype(np.float32))


@njit(cache=True, nogil=True)
def _through(gateway_reach: Floats32, gateway: Ints, fibre: Floats32) -> Floats32:
    best = np.full((gateway.shape[0], gateway_reach.shape[1]), np.inf, np.float32)
    for g in range(gateway.shape[0]):
        for m in range(gateway.shape[1]):
            row = gateway[g, m]
            for k in range(gateway_reach.shape[1]):
                via = gateway_reach[row, k] + fibre[g, m]
                best[g, k] = via if via < best[g, k] else best[g, k]
    return best


def trips(
    own_s: Floats32, gateway_reach_s: Floats32, near: tuple[Ints, Floats], fibre_s: Floats, own_extra_s: float,
    local_extra_s: float,
) -> tuple[Floats32, np.ndarray]:  # fmt: skip
    """Least round trip from places to hosts, ships first and then sites, and whether it goes by fibre alone.

    least of 2 own + own_extra; for ships 2 (fibre to a gateway + its reach) + local_extra, as `through`; for sites
    fibre_s + local_extra, since up and down again is never quicker than the fibre to the gateway and on.
    own_s: (C, H) one way by own terminals. gateway_reach_s: (W, H) one way from gateways, W may be 0. near: from
    `local_gateways`. fibre_s: (C, J) round trip to sites. own_extra_s, local_extra_s: overheads [s]. Returns (C, H) [s],
    infinity where there is no path, and (C, H). Reference: [1] own model.
    """
    return _trips(
        own_s, gateway_reach_s, near[0], near[1].astype(np.float32), fibre_s, np.float32(own_extra_s),
        np.float32(local_extra_s), local_extra_s,
    )  # fmt: skip


@njit(cache=True, nogil=True)
def _trips(
    own: Floats32, gateway_reach: Floats32, gateway: Ints, fibre: Floats32, to_sites: Floats, own_extra: float,
    local_extra: float, site_extra: float,
) -> tuple[Floats32, Bools]:  # fmt: skip
    places, hosts = own.shape
    ships, two = hosts - to_sites.shape[1], np.float32(2.0)
    trip, by_fibre, up = (
        np.empty((places, hosts), np.float32),
        np.zeros((places, hosts), np.bool_),
        np.empty(ships, np.float32),
    )
    for c in range(places):
        up[:] = np.inf
        for m in range(gateway.shape[1] if len(gateway_reach) else 0):
            row, far = gateway_reach[gateway[c, m]], fibre[c, m]
            for k in range(ships):
                via = row[k] + far
                up[k] = via if via < up[k] else up[k]
        for k in range(ships):
            trip[c, k] = min(two * own[c, k] + own_extra, two * up[k] + local_extra)
        for j in range(hosts - ships):
            through = np.float64(two * own[c, ships + j] + own_extra)
            along = to_sites[c, j] + site_extra
            by_fibre[c, ships + j] = along <= through
            trip[c, ships + j] = min(along, through)
    return trip, by_fibre


@dataclass(frozen=True, slots=True)
class Entries:
    """Where pairs of place and host enter the mesh (P,)."""

    satellite: Ints  # -1 without a way
    gateway: Ints  # through which a local provider goes up, -1 by the place's own terminal


def entries(
    place: Ints, row: Ints, fields: Fields, own: Access, gateways: Access, near: tuple[Ints, Floats], extra_s: tuple[float, float]
) -> Entries:  # fmt: skip
    """The satellite by which each pair of place and host is quickest, and the gateway if a local provider is.

    least over own satellites v of slant / c + field[row, v] + extra[0], and over the place's gateways w and the
    satellites they see of fibre[w] + slant / c + field[row, v] + extra[1].
    place, row: (P,) place and row of the fields. own: satellites seen by places; gateways: by gateways. near: from
    `local_gateways`. extra_s: one-way overheads of an own terminal and of a local provider [s]. Returns Entries.
    Reference: [1] own model.
    """
    return Entries(*_entries(
        place, row, fields.latency_s, own.start, own.satellite, (own.slant_m / LIGHT_M_S).astype(np.float32),
        gateways.start, gateways.satellite, (gateways.slant_m / LIGHT_M_S).astype(np.float32), near[0],
        near[1].astype(np.float32), np.float32(extra_s[0]), np.float32(extra_s[1]),
    ))  # fmt: skip


@njit(cache=True, nogil=True)
def _entries(
    place: Ints, row: Ints, field: Floats32, start: Ints, satellite: Ints, slant: Floats32, gate_start: Ints,
    gate_satellite: Ints, gate_slant: Floats32, near: Ints, fibre: Floats32, own_extra: float, local_extra: float,
) -> tuple[Ints, Ints]:  # fmt: skip
    entry, gate = np.full(place.size, -1, np.int64), np.full(place.size, -1, np.int64)
    for p in range(place.size):
        c, k, best = place[p], row[p], np.inf
        for v in range(start[c], start[c + 1]):
            via = slant[v] + field[k, satellite[v]] + own_extra
            if via < best:
                best, entry[p] = via, satellite[v]
        for m in range(near.shape[1]):
            w = near[c, m]
            if not np.isfinite(fibre[c, m]):
                continue
            for v in range(gate_start[w], gate_start[w + 1]):
                via = fibre[c, m] + gate_slant[v] + field[k, gate_satellite[v]] + local_extra
                if via < best:
                    best, entry[p], gate[p] = via, gate_satellite[v], w
    return entry, gate


def place_fields(
    mesh: Mesh, access: Access, places: Ints, ground: Bools | None = None, threads: int = 1
) -> Floats32:  # fmt: skip
    """Latency from places on the ground to every node.

    t[p, n] = min over satellites v seen from p of slant / c + path v -> n.
    mesh: from `routing.mesh`. access: of all places. places: (P,) which of them. ground: (N,) as in `reach`.
    threads: as in `routing.spread`. Returns (P, N) [s]. Reference: [1] `routing.spread`.
    """
    places = np.asarray(places, np.int64)
    first, count = access.start[places], access.start[places + 1] - access.start[places]
    row = np.repeat(np.arange(places.size), count)
    seen = np.arange(row.size) + np.repeat(first - np.cumsum(count) + count, count)
    if ground is not None:
        allowed = ground[access.satellite[seen]]
        row, seen = row[allowed], seen[allowed]
    return spread(mesh, places.size, row, access.satellite[seen], access.slant_m[seen] / LIGHT_M_S, threads)


def round_trip(
    mesh: Mesh, field_s: Floats32, access: Access, place: int, paying: Overheads | None = None,
    before: tuple[int, ...] = (), ground: Bools | None = None, fibre_s: float = 0.0, terminals: int = 2,
    providers: int = 0,
) -> Probe:  # fmt: skip
    """Round trip between the source of a field and a place on the ground, propagation and delivered.

    propagation = 2 (min over satellites v seen from the place of field[v] + slant / c) + 2 fibre;
    delivered = propagation + scheduling x terminals + last mile x providers + 2 x processing x satellites + queue.
    mesh: from `routing.mesh`, without processing. field_s: (N,) row of `place_fields` or of `routing.fields` [s].
    access, place: the far end. paying: overheads, the packaged catalog's if not given. before: the nodes of the last probe. ground: as in
    `reach`. fibre_s: one way, of both ends' gateways together [s]. terminals, providers: how many ends use their own
    satellite terminal, and how many a local provider's fibre to a gateway (2 ends in all, fewer where an end is itself
    a gateway). Returns Probe. Valid for a frozen tick: satellites move by less than 0.1 % of a path in its time.
    Reference: [1] own model; the visibility rule that `access` was made with decides much and belongs beside the
    result.
    """
    seen = slice(access.start[place], access.start[place + 1])
    satellite = access.satellite[seen]
    total = field_s[satellite].astype(np.float64) + access.slant_m[seen] / LIGHT_M_S
    if ground is not None:
        total = np.where(ground[satellite], total, np.inf)
    if total.size == 0 or not np.isfinite(total.min()):
        return Probe(np.inf, np.inf, 0, (), bool(before), True)
    last = int(satellite[np.argmin(total)])
    return _probe(mesh, field_s, last, float(total.min()) + fibre_s, paying, before, terminals, providers)


def ship_round_trip(
    mesh: Mesh, field_s: Floats32, ship: int, paying: Overheads | None = None, before: tuple[int, ...] = (),
    fibre_s: float = 0.0, terminals: int = 1, providers: int = 0,
) -> Probe:  # fmt: skip
    """Round trip between the source of a field and a ship, or any node.

    propagation = 2 field[ship] + 2 fibre; delivered as in `round_trip`, with one end in orbit.
    ship: node number. terminals, providers: one of them 1 from a place on the ground, neither from another ship. Others
    and the result as in `round_trip`. Reference: [1] own model.
    """
    if not np.isfinite(field_s[ship]):
        return Probe(np.inf, np.inf, 0, (), bool(before), True)
    return _probe(mesh, field_s, ship, float(field_s[ship]) + fibre_s, paying, before, terminals, providers)


def _probe(
    mesh: Mesh, field_s: Floats32, last: int, one_way_s: float, paying: Overheads | None, before: tuple[int, ...],
    terminals: int, providers: int,
) -> Probe:  # fmt: skip
    paid = paying or overheads(packaged())
    nodes = tuple(path(mesh, field_s, last))
    extra = terminals * paid.scheduling.value + providers * paid.last_mile.value + paid.queue.value
    extra += 2.0 * len(nodes) * paid.processing.value
    trip = 2.0 * one_way_s
    return Probe(trip, trip + extra, len(nodes) - 1, nodes, bool(before) and nodes != before, False)


def slant_limit(altitude_m: ArrayLike, elevation_rad: ArrayLike) -> Floats:
    """Slant range at an elevation, the two ways in which tools state their visibility rule.

    d = sqrt((R + h)^2 - R^2 cos^2 e) - R sin e.
    altitude_m: [m]. elevation_rad: [rad]. Returns [m]. Valid for a round Earth of equatorial radius.
    Reference: [1] geometry.
    """
    radius = EARTH_EQUATOR_M
    sine, cosine = np.sin(elevation_rad), np.cos(elevation_rad)
    return np.sqrt((radius + np.asarray(altitude_m)) ** 2 - (radius * cosine) ** 2) - radius * sine


def cells(count: int) -> tuple[Floats, Floats]:
    """Centres of cells of equal area all over the Earth.

    A Fibonacci spiral: sin(latitude) = 1 - (2 i + 1) / count, longitude = i x golden angle.
    count: how many. Returns latitude and longitude (count,) [rad]. Valid for hundreds of cells and more.
    Reference: [1] Gonzalez 2010, Mathematical Geosciences 42.
    """
    index = np.arange(count)
    golden = np.pi * (3.0 - np.sqrt(5.0))
    longitude = np.mod(index * golden + np.pi, 2.0 * np.pi) - np.pi
    return np.arcsin(1.0 - (2.0 * index + 1.0) / count), longitude


@dataclass(frozen=True, slots=True)
class Coverage:
    """Running sums by latitude band (south to north) and local solar time: (B, H) each."""

    latency_s: Floats  # sum over covered samples
    covered: Ints
    samples: Ints


def coverage(bands: int = 18, hours: int = 24) -> Coverage:
    """Empty sums for `accumulate`: bands of equal width in latitude, equal parts of the solar day."""
    nothing = np.zeros((bands, hours))
    return Coverage(nothing, nothing.astype(np.int64), nothing.astype(np.int64))


def accumulate(so_far: Coverage, latitude_rad: Floats, hour: Floats, latency_s: Floats32, limit_s: float) -> Coverage:
    """Add one tick of cells to the sums.

    A cell is covered where its latency is within the limit; only covered cells count in the latency.
    so_far: sums. latitude_rad: (G,) [rad]. hour: (G,) local solar time [h]. latency_s: (G,) [s], infinity for none.
    limit_s: longest that counts as covered [s]. Returns the new sums; mean latency = latency_s / covered, share covered
    = covered / samples.
    """
    bands, hours = so_far.samples.shape
    band = np.clip(((latitude_rad / np.pi + 0.5) * bands).astype(np.int64), 0, bands - 1)
    part = np.clip((hour / 24.0 * hours).astype(np.int64), 0, hours - 1)
    place, size = band * hours + part, bands * hours
    good = np.isfinite(latency_s) & (latency_s <= limit_s)
    summed = np.bincount(place[good], latency_s[good].astype(np.float64), size).reshape(bands, hours)
    return Coverage(
        so_far.latency_s + summed,
        so_far.covered + np.bincount(place[good], minlength=size).reshape(bands, hours),
        so_far.samples + np.bincount(place, minlength=size).reshape(bands, hours),
    )
