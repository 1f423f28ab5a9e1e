"""Forwarding state as Hypatia's satgenpy writes it and its ns-3 module loads it.

Nodes: relays, then ships (all satellites to ns-3), then ground stations. Time: nanoseconds from the start in the file
names, where all element sets have their epoch; the state of a file is that of its instant. Frame: TEME in
the element sets, Earth-fixed WGS-84 for stations. Units: metres, degrees. Precision: 1e-4 degrees in the elements
(12 m), 1e-6 m and degrees for stations.
Reference: [1] S. Kassing et al., Exploring the "Internet from space" with Hypatia, IMC 2020, and its satgenpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from aether.base.tables import Access, Floats, Floats32, Ints
from aether.network.links import LIGHT_M_S
from aether.network.routing import Mesh
from aether.results.export import numbers

Hops = NDArray[np.int32]


def next_hops(mesh: Mesh, field_s: Floats32, seen: Access) -> Hops:
    """Where every node sends what is for each ground station, along the quickest paths.

    next[n, g] = argmin over neighbours m of field[g, m] + weight, or the station itself where its slant path is no
    longer; a station sends to the satellite v of least slant / c + field[g, v]. Stations never relay.
    mesh: of relays and ships, N nodes. field_s: (G, N) from `access.place_fields` [s]. seen: of the G stations.
    Returns node numbers (N + G, G), stations from N on; -1 without a path and from a station to itself. Free of loops,
    since fields fall along each hop. Reference: [1] Bellman 1958.
    """
    slant_s = (seen.slant_m / LIGHT_M_S).astype(np.float32)
    return _next(mesh.start, mesh.node, mesh.weight_s, field_s, seen.start, seen.satellite, slant_s)


@njit(cache=True, nogil=True)
def _next(
    start: Ints, node: Ints, weight: Floats32, field: Floats32, first: Ints, satellite: Ints, slant_s: Floats32
) -> Hops:
    stations, nodes = field.shape
    made = np.full((nodes + stations, stations), -1, np.int32)
    best = np.empty(nodes, np.float32)
    for g in range(stations):
        best[:] = np.inf
        for v in range(first[g], first[g + 1]):
            best[satellite[v]] = slant_s[v]
            made[satellite[v], g] = nodes + g
        for n in range(nodes):
            for e in range(start[n], start[n + 1]):
                via = field[g, node[e]] + weight[e]
                if via < best[n]:
                    best[n] = via
                    made[n, g] = node[e]
        for source in range(stations):
            least = np.float32(np.inf)
            for v in range(first[source], first[source + 1]):
                via = field[g, satellite[v]] + slant_s[v]
                if via < least and source != g:
                    least = via
                    made[nodes + source, g] = satellite[v]
    return made


@dataclass(frozen=True)
class Interfaces:
    """Numbers of network interfaces: lasers in the order of isls.txt, then one radio for the ground."""

    pair: Ints  # (2 E,) near * nodes + far of each laser's two directions, sorted
    own: Ints  # (2 E,) the interface at the near end
    radio: Ints  # (N + G,) interface of each node's radio
    satellites: int


def interfaces(links: Ints, satellites: int, stations: int) -> Interfaces:
    """The interfaces that links give their ends.

    links: (E, 2) pairs of satellites, in the order of isls.txt. satellites: N. stations: G. Returns Interfaces: the k-th
    line that names a satellite is its interface k; its radio comes after the last. Reference: [1] of the module.
    """
    ends = links.reshape(-1)
    order = np.argsort(ends, kind="stable")
    count = np.bincount(ends, minlength=satellites).astype(np.int64)
    rank = np.empty(len(ends), np.int64)
    rank[order] = np.arange(len(ends)) - np.repeat(np.cumsum(count) - count, count)
    pair = ends * satellites + links[:, ::-1].reshape(-1)
    sort = np.argsort(pair)
    radio = np.concatenate([count, np.zeros(stations, np.int64)])
    return Interfaces(pair[sort], rank[sort], radio, satellites)


def forwarding(where: Ints, hop: Ints, known: Interfaces) -> memoryview:
    """The text of an fstate file: current,destination,next_hop,own_interface,next_hop_interface.

    where: (C,) changed places in the flat (N + G, G) of `next_hops`. hop: (C,) their next hops. known: interfaces.
    Returns a line for each; -1 three times where there is no path. Reference: [1] of the module.
    """
    stations = len(known.radio) - known.satellites
    current, target = where // stations, where % stations + known.satellites
    laser = (current < known.satellites) & (hop < known.satellites) & (hop >= 0)
    own, other = known.radio[current], known.radio[hop]
    for ends, filled in (((current, hop), own), ((hop, current), other)):
        filled[laser] = known.own[np.searchsorted(known.pair, ends[0][laser] * known.satellites + ends[1][laser])]
        filled[hop < 0] = -1
    return _table(current, target, hop, own, other)


def bandwidths(known: Interfaces) -> memoryview:
    """The text of gsl_if_bandwidth_0.txt: node,interface,share, each radio whole; later files are empty."""
    nodes = np.arange(len(known.radio))
    return _table(nodes, known.radio, np.ones(len(nodes)), decimals=(0, 0, 6))


def radios(known: Interfaces) -> memoryview:
    """The text of gsl_interfaces_info.txt: node,interfaces,greatest bandwidth; one radio for every node."""
    nodes = np.arange(len(known.radio))
    return _table(nodes, np.ones(len(nodes)), np.ones(len(nodes)), decimals=(0, 0, 6))


def lasers(links: Ints) -> memoryview:
    """The text of isls.txt: two satellites a line, the lower first. links: (E, 2), sorted."""
    return _table(links[:, 0], links[:, 1], separator=" ")


def stations(names: Sequence[str], latitude_rad: Floats, longitude_rad: Floats, fixed_m: Floats) -> str:
    """The text of ground_stations.txt: number,name,latitude,longitude,height,x,y,z.

    names: (G,), commas taken out. latitude_rad, longitude_rad: (G,) [rad]. fixed_m: (G, 3) Earth-fixed [m].
    Returns lines in degrees and metres. Reference: [1] of the module.
    """
    rows = zip(names, np.degrees(latitude_rad), np.degrees(longitude_rad), fixed_m, strict=True)
    return "".join(
        f"{g},{name.replace(',', '')},{north:.6f},{east:.6f},0.000000,{x:.6f},{y:.6f},{z:.6f}\n"
        for g, (name, north, east, (x, y, z)) in enumerate(rows)
    )


def description(longest_slant_m: float, longest_laser_m: float) -> str:
    """The text of description.txt. longest_slant_m, longest_laser_m: the longest that the paths may use [m]."""
    return f"max_gsl_length_m={longest_slant_m:.10f}\nmax_isl_length_m={longest_laser_m:.10f}\n"


def _table(*columns: Floats | Ints, decimals: Sequence[int] = (), separator: str = ",") -> memoryview:
    values = np.stack(columns, axis=1).astype(np.float64)
    head = np.zeros(len(values), "S1")
    return numbers.rows(head, values, decimals or (0,) * len(columns), (1.0,) * len(columns), separator, "\n")
