"""The terrestrial twin: fibre over named submarine systems and over land, whose cables can be cut."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import yaml
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra

from aether.base.errors import InputError, unknown
from aether.base.provenance import Assumption
from aether.base.tables import Floats, Ints
from aether.network.links import great_circle

FIBRE_M_S = 204_200_000.0  # c / 1.468, group index of ITU-T G.652 fibre at 1,550 nm
LAND = "land"  # the system of every land route
NEAREST_NODES = 8  # nodes of its region that a place is joined to; twelve shorten a mean route by 0.2 %, as measured
DIRECT_M = 300e3  # two places of one region closer than this are also joined straight


@dataclass(frozen=True, slots=True)
class Cable:
    """A submarine system as published. length_m is what the operator states, of the whole system."""

    name: str
    year: int
    length_m: float
    segments: tuple[tuple[str, str, float], ...]  # from, to, route length [m]
    confidence: str


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes and edges of the fibre of the world.

    Turning points at sea are nodes of their own system, named "system/point", in region "sea".
    """

    names: tuple[str, ...]
    latitude_rad: Floats  # (N,)
    longitude_rad: Floats  # (N,)
    region: tuple[str, ...]
    a: Ints  # (E,)
    b: Ints  # (E,)
    length_m: Floats  # (E,)
    system: tuple[str, ...]  # of each edge
    cables: Mapping[str, Cable]
    land_factor: Assumption


@dataclass(frozen=True, slots=True)
class Route:
    """The quickest fibre between two places; without any, nodes are empty and figures infinite.

    floor_s: round trip in fibre laid along the great circle.
    """

    nodes: tuple[str, ...]
    systems: tuple[str, ...]
    length_m: float
    round_trip_s: float
    floor_s: float


@cache
def _data() -> dict[str, Any]:
    text = (files("aether.network") / "data" / "cables.yaml").read_text(encoding="utf-8")
    data: dict[str, Any] = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return data


def cables() -> dict[str, Cable]:
    """The submarine systems by name, with a length for every segment.

    A segment without a length of its own has its share, by great circle, of the published length less the known
    segments; or great circle x factor where the routes listed are not the whole system.
    Returns name -> Cable. Valid within some 10 % for a segment of a system of many landings, better for two.
    Reference: [1] operators' published system lengths and landing places.
    """
    data = _data()
    places: dict[str, list[Any]] = data["places"]
    found = {}
    for system in data["systems"]:
        legs = list(dict.fromkeys(leg for route in system["routes"] for leg in itertools.pairwise(route)))
        arcs = {leg: _arc(places[leg[0]], places[leg[1]]) for leg in legs}
        total = system["length_km"] * 1e3
        known = {(a, b): km * 1e3 for a, b, km in system.get("known", ())}
        rest = sum(arc for leg, arc in arcs.items() if leg not in known)
        scale = system.get("factor") or (total - sum(known.values())) / max(rest, 1.0)
        segments = tuple((a, b, known.get((a, b), scale * arcs[a, b])) for a, b in legs)
        found[system["name"]] = Cable(system["name"], system["year"], total, segments, system["confidence"])
    return found


def _arc(a: list[Any], b: list[Any]) -> float:
    return float(great_circle(np.radians(a[0]), np.radians(a[1]), np.radians(b[0]), np.radians(b[1])))


@cache
def graph() -> Graph:
    """The fibre graph that Aether ships: named systems, and land routes of great circle x factor.

    Within a region every two places are joined; regions are joined where the data says so. Read once.
    Returns Graph. Valid for latency: capacity, ownership and transit agreements are not in it.
    """
    data = _data()
    factor = Assumption("land_factor", unit="1", confidence="estimated", **data["land_factor"])
    systems = cables()
    spots = {name: tuple(spot) for name, spot in data["places"].items() if spot[2] != "sea"}
    edges: list[tuple[str, str, float, str]] = []
    for cable in systems.values():
        for a, b, length in cable.segments:
            ends = []
            for end in (a, b):
                place = data["places"][end]
                name = f"{cable.name}/{end}" if place[2] == "sea" else end
                spots[name] = tuple(place)
                ends.append(name)
            edges.append((ends[0], ends[1], length, cable.name))
    edges += _land(data, factor.value)
    index = {name: i for i, name in enumerate(spots)}
    return Graph(
        names=tuple(spots),
        latitude_rad=np.radians([spot[0] for spot in spots.values()]),
        longitude_rad=np.radians([spot[1] for spot in spots.values()]),
        region=tuple(spot[2] for spot in spots.values()),
        a=np.array([index[edge[0]] for edge in edges]),
        b=np.array([index[edge[1]] for edge in edges]),
        length_m=np.array([edge[2] for edge in edges]),
        system=tuple(edge[3] for edge in edges),
        cables=systems,
        land_factor=factor,
    )


def _land(data: dict[str, Any], factor: float) -> list[tuple[str, str, float, str]]:
    """Land routes: within each region all pairs, between regions those that are listed."""
    places: dict[str, list[Any]] = data["places"]
    regions: dict[str, list[str]] = {}
    for name, spot in places.items():
        regions.setdefault(spot[2], []).append(name)
    edges = []
    for region, names in regions.items():
        if region != "sea":
            pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
            edges += [(a, b, factor * _arc(places[a], places[b]), LAND) for a, b in pairs]
    for a, b, *known in data["land"]:
        edges.append((a, b, known[0] * 1e3 if known else factor * _arc(places[a], places[b]), LAND))
    return edges


def _kept(world: Graph, cut: Collection[str]) -> Floats:
    """Which edges are left; an unknown name is the user's mistake."""
    known = world.cables.keys() | {LAND}
    wrong = [unknown("cut", "cable system", name, known) for name in cut if name not in known]
    if wrong:
        raise InputError(wrong)
    return np.array([system not in cut for system in world.system])


def _joins(world: Graph, latitude_rad: Floats, longitude_rad: Floats) -> tuple[Ints, Ints, Floats]:
    """Edges from places, numbered after the graph's nodes, to nodes of their region and to each other."""
    nodes, places = len(world.names), latitude_rad.size
    regions = np.array(world.region)
    distance = great_circle(
        latitude_rad[:, None], longitude_rad[:, None], world.latitude_rad[None], world.longitude_rad[None]
    )
    distance = np.where((regions == "sea")[None], np.inf, distance)
    home = regions[np.argmin(distance, axis=1)]
    near = np.where(regions[None] == home[:, None], distance, np.inf)
    order = np.argsort(near, axis=1, kind="stable")[:, :NEAREST_NODES]
    length = np.take_along_axis(near, order, axis=1)
    use = np.isfinite(length)
    own = np.broadcast_to(nodes + np.arange(places)[:, None], order.shape)
    apart = great_circle(latitude_rad[:, None], longitude_rad[:, None], latitude_rad[None], longitude_rad[None])
    i, j = np.nonzero(np.triu((apart <= DIRECT_M) & (home[:, None] == home[None]), 1))
    return (
        np.concatenate([own[use], nodes + i]),
        np.concatenate([order[use], nodes + j]),
        world.land_factor.value * np.concatenate([length[use], apart[i, j]]),
    )


def _solve(
    world: Graph, latitude_rad: Floats, longitude_rad: Floats, cut: Collection[str], sources: int
) -> tuple[Floats, Ints]:
    """Least lengths and predecessors from the first places to all nodes and places."""
    kept = _kept(world, cut)
    more_a, more_b, more_m = _joins(world, latitude_rad, longitude_rad)
    a, b = np.concatenate([world.a[kept], more_a]), np.concatenate([world.b[kept], more_b])
    length = np.maximum(np.concatenate([world.length_m[kept], more_m]), 1e-3)  # zero would mean no edge
    low, high = np.minimum(a, b), np.maximum(a, b)
    order = np.lexsort((length, high, low))
    first = np.ones(order.size, bool)
    first[1:] = (np.diff(low[order]) != 0) | (np.diff(high[order]) != 0)  # of parallel cables the shortest
    use = order[first]
    size = len(world.names) + latitude_rad.size
    matrix = coo_matrix((length[use], (low[use], high[use])), shape=(size, size)).tocsr()
    start = len(world.names) + np.arange(sources)
    far, before = dijkstra(matrix, directed=False, indices=start, return_predecessors=True)
    return np.asarray(far), np.asarray(before)


def fibre(world: Graph, place_a: tuple[float, float], place_b: tuple[float, float], cut: Collection[str] = ()) -> Route:
    """The quickest fibre between two places.

    t = 2 min over paths of length / (c / n). A place is joined to the nearest nodes of its region by land routes, so
    that no water is crossed without a cable.
    world: from `graph`. place_a, place_b: (latitude, longitude) [rad]. cut: names of systems out of service.
    Returns Route. Valid for propagation: a carrier's route adds equipment and detours of some 5 to 20 %.
    Errors: InputError for a system that is not known. References: [1] ITU-T G.652. [2] Dijkstra 1959.
    """
    latitude, longitude = (np.array([place_a[i], place_b[i]], float) for i in (0, 1))
    floor_s = 2.0 * float(great_circle(*place_a, *place_b)) / FIBRE_M_S
    far, before = _solve(world, latitude, longitude, cut, 1)
    start, end = len(world.names), len(world.names) + 1
    total = float(far[0, end])
    if not np.isfinite(total):
        return Route((), (), np.inf, np.inf, floor_s)
    steps = [end]
    while steps[-1] != start:
        steps.append(int(before[0, steps[-1]]))
    steps.reverse()
    inner = steps[1:-1]
    hops = [_carrier(world, a, b, cut) for a, b in itertools.pairwise(inner)]
    carriers = [LAND, *hops, LAND] if inner else [LAND]
    systems = tuple(name for i, name in enumerate(carriers) if i == 0 or name != carriers[i - 1])
    return Route(tuple(world.names[node] for node in inner), systems, total, 2.0 * total / FIBRE_M_S, floor_s)


def _carrier(world: Graph, a: int, b: int, cut: Collection[str]) -> str:
    """The shortest system that joins two nodes directly."""
    edges = np.flatnonzero(((world.a == a) & (world.b == b)) | ((world.a == b) & (world.b == a)))
    left = [edge for edge in edges.tolist() if world.system[edge] not in cut]
    return world.system[min(left, key=lambda edge: (world.length_m[edge], edge))]


def matrix(
    world: Graph, latitude_rad: Floats, longitude_rad: Floats, cut: Collection[str] = (), sources: int | None = None
) -> Floats:
    """One-way fibre latency between many places.

    t[i, j] = min over paths of length / (c / n), as in `fibre`.
    world: from `graph`. latitude_rad, longitude_rad: (P,) [rad]. cut: systems out of service. sources: how many of the
    first places to start from, all if not given. Returns (sources, P) [s], infinity where there is no fibre.
    Errors and validity as `fibre`. Reference: [1] Dijkstra 1959.
    """
    count = latitude_rad.size if sources is None else sources
    far, _ = _solve(world, np.asarray(latitude_rad, float), np.asarray(longitude_rad, float), cut, count)
    return far[:, len(world.names) :] / FIBRE_M_S
