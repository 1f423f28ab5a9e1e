"""The same work by what else is used for it: each peer as its own documentation would have it written, on one thread.

Each function returns the work, prepared so that only what recurs at every step is timed. Those of other packages are
called where the package is installed; the tests hold every result against ours.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree
from sgp4.api import WGS72, Satrec, SatrecArray
from sgp4.propagation import gstime

from aether.base.clock import J2000_DAYS
from aether.base.tables import Elements, Floats, Ints, Links
from aether.workloads.batching import Server

PACKAGES = ("brahe", "heyoka", "networkx", "simpy", "skyfield")  # what the extra `bench` brings
LIGHT_M_S = 299_792_458.0  # definition
SUN_RADIUS_M, EARTH_RADIUS_M = 6.957e8, 6378137.0  # IAU 2015 B3; WGS-84, NGA.STND.0036
POLAR_RADIUS_M = 6356752.0  # WGS-84: where a place is lowest and sees farthest
_FIRST_DAY = 2433281.5  # Julian date of 1949-12-31, where the sgp4 library counts its epochs from

Work = Callable[[], Any]


def installed(name: str) -> bool:
    """Whether a package is here."""
    return find_spec(name) is not None


def missing() -> list[str]:
    """The peers that are not installed."""
    return [name for name in PACKAGES if not installed(name)]


# --- positions --------------------------------------------------------------------------------------------------------


def satrecs(elements: Elements) -> list[Satrec]:
    """The satellites as records of the sgp4 library, epoch J2000."""
    made = []
    for i in range(len(elements.epoch_s)):
        record = Satrec()
        record.sgp4init(
            WGS72, "i", i, J2000_DAYS - _FIRST_DAY, elements.bstar[i], 0.0, 0.0, elements.eccentricity[i],
            elements.perigee_rad[i], elements.inclination_rad[i], elements.mean_anomaly_rad[i], elements.mean_motion_rad_s[i] * 60.0, elements.node_rad[i],
        )  # fmt: skip
        made.append(record)
    return made


def sgp4_array(records: list[Satrec], time_s: Floats) -> Work:
    """python-sgp4's array call: position and velocity in TEME (S, T, 3) [km], [km/s]."""
    array, day, part = SatrecArray(records), np.full(len(time_s), J2000_DAYS), time_s / 86400.0
    return lambda: array.sgp4(day, part)[1:]


def heyoka_batch(records: list[Satrec], time_s: Floats) -> Work:
    """heyoka's propagator in batch mode: position and velocity in TEME (T, 7, S) [km], [km/s] and an error code."""
    import heyoka

    heyoka.set_nthreads(1)
    propagator = heyoka.model.sgp4_propagator(records)
    minutes = np.repeat(time_s[:, None] / 60.0, len(records), axis=1)
    out = np.empty((len(time_s), 7, len(records)))
    return lambda: propagator(minutes, out=out)


def skyfield_loop(records: list[Satrec], time_s: Floats) -> Work:
    """Skyfield, satellite by satellite with an array of times: Earth-fixed positions, list of (3, T) [m]."""
    from skyfield.api import EarthSatellite, load
    from skyfield.framelib import itrs

    scale = load.timescale(builtin=True)
    at = scale.utc(2000, 1, 1, 12, 0, time_s)
    every = [EarthSatellite.from_satrec(record, scale) for record in records]
    return lambda: [one.at(at).frame_xyz(itrs).m for one in every]


def earth_fixed(array: SatrecArray, time_s: float) -> Floats:
    """Earth-fixed positions of all satellites at one time (S, 3) [m], by the sgp4 library and its sidereal time."""
    km = array.sgp4(np.array([J2000_DAYS]), np.array([time_s / 86400.0]))[1][:, 0]
    turn = gstime(J2000_DAYS + time_s / 86400.0)
    cosine, sine = np.cos(turn), np.sin(turn)
    return 1e3 * np.stack([cosine * km[:, 0] + sine * km[:, 1], cosine * km[:, 1] - sine * km[:, 0], km[:, 2]], axis=1)


# --- eclipse ----------------------------------------------------------------------------------------------------------


def numpy_eclipse(position_m: Floats, sun_m: Floats) -> Work:
    """The share of the Sun's disc in view (T, S) in whole arrays: two discs on the sky, a and b wide, c apart."""

    def work() -> Floats:
        toward = sun_m[:, None] - position_m
        near, far = np.linalg.norm(position_m, axis=-1), np.linalg.norm(toward, axis=-1)
        a, b = np.arcsin(SUN_RADIUS_M / far), np.arcsin(EARTH_RADIUS_M / near)
        c = np.arccos(-np.einsum("tsx,tsx->ts", position_m, toward) / (near * far))
        x = (c**2 + a**2 - b**2) / (2.0 * c)
        y = np.sqrt(np.maximum(a**2 - x**2, 0.0))
        lens = a**2 * np.arccos(np.clip(x / a, -1.0, 1.0)) + b**2 * np.arccos(np.clip((c - x) / b, -1.0, 1.0)) - c * y
        hidden = np.where(c >= a + b, 0.0, np.where(c <= b - a, 1.0, lens / (np.pi * a**2)))
        return np.asarray(1.0 - hidden)

    return work


def brahe_loop(position_m: Floats, sun_m: Floats) -> Work:
    """brahe's `eclipse_conical`, one position at a time: list of T S shares."""
    from brahe import eclipse_conical

    pairs = [(place, sun) for row, sun in zip(position_m, sun_m, strict=True) for place in row]
    return lambda: [eclipse_conical(place, sun) for place, sun in pairs]


# --- visibility -------------------------------------------------------------------------------------------------------


def tree_visibility(
    latitude_rad: Floats, longitude_rad: Floats, places_m: Floats, lowest_rad: float
) -> Callable[[Floats], tuple[Ints, Ints, Floats]]:
    """Pairs of two of scipy's trees nearer than the longest slant, then the elevation of each: place, satellite, slant [m]."""
    level = np.cos(latitude_rad)
    up = np.stack([level * np.cos(longitude_rad), level * np.sin(longitude_rad), np.sin(latitude_rad)], axis=1)
    places, sine = cKDTree(places_m), np.sin(lowest_rad)

    def seen(satellites_m: Floats) -> tuple[Ints, Ints, Floats]:
        high = np.linalg.norm(satellites_m, axis=1).max()
        reach = np.sqrt(high**2 - (POLAR_RADIUS_M * np.cos(lowest_rad)) ** 2) - POLAR_RADIUS_M * sine
        near = places.sparse_distance_matrix(cKDTree(satellites_m), reach, output_type="ndarray")
        place, satellite, slant = near["i"], near["j"], near["v"]
        apart = satellites_m[satellite] - places_m[place]
        above = np.einsum("px,px->p", apart, up[place]) >= sine * slant
        return place[above], satellite[above], slant[above]

    return seen


# --- latencies --------------------------------------------------------------------------------------------------------


def scipy_fields(links: Links, nodes: int, sources: Iterable[int]) -> Work:
    """scipy's Dijkstra on a sparse matrix that is there already: (K, N) [s]."""
    on, wanted = links.alive > 0.0, list(sources)
    graph = coo_matrix((links.range_m[on] / LIGHT_M_S, (links.a[on], links.b[on])), shape=(nodes, nodes)).tocsr()
    return lambda: dijkstra(graph, directed=False, indices=wanted)


def networkx_fields(links: Links, sources: Iterable[int]) -> Work:
    """networkx's Dijkstra on a graph that is there already: list of {node: seconds}."""
    import networkx as nx

    on, wanted = links.alive > 0.0, list(sources)
    graph = network(links.a[on], links.b[on], links.range_m[on])
    return lambda: [nx.single_source_dijkstra_path_length(graph, source) for source in wanted]


def network(a: Ints, b: Ints, range_m: Floats) -> Any:
    """Links as a networkx graph, weights in seconds."""
    import networkx as nx

    graph = nx.Graph()
    graph.add_weighted_edges_from(zip(a.tolist(), b.tolist(), (range_m / LIGHT_M_S).tolist(), strict=True))
    return graph


# --- flows ------------------------------------------------------------------------------------------------------------


def path_lp(demand_bit_s: Floats, start: Ints, link: Ints, capacity_bit_s: Floats) -> Work:
    """Greatest throughput on the same paths as one linear programme, by HiGHS's interior point: rates (F,) [Gbit/s].

    max sum x, A x <= capacity, 0 <= x <= demand. It is not max-min fair; fairness by linear programmes takes one for
    every level at which a link fills, thousands here.
    """
    flow = np.repeat(np.arange(len(demand_bit_s)), np.diff(start))
    crossed = csr_matrix((np.ones(len(link)), (link, flow)), shape=(len(capacity_bit_s), len(demand_bit_s)))
    wide, asked = capacity_bit_s / 1e9, demand_bit_s / 1e9
    bounds = np.stack([np.zeros_like(asked), asked], axis=1)
    return lambda: linprog(-np.ones_like(asked), A_ub=crossed, b_ub=wide, bounds=bounds, method="highs-ipm").x


# --- requests ---------------------------------------------------------------------------------------------------------


def _come(env: Any, gaps: list[float], waiting: deque[int], bell: list[Any]) -> Iterator[Any]:
    """Arrivals: each joins the queue and wakes a replica that has nothing to do."""
    for i, gap in enumerate(gaps):
        yield env.timeout(gap)
        waiting.append(i)
        if not bell[0].triggered:
            bell[0].succeed()


def simpy_requests(server: Server, time_s: Floats, asked: Ints, answer: Ints) -> Work:
    """One replica as two processes of simpy, an event for each arrival and each iteration: first and last tokens (2, N) [s].

    Who leaves is found by a heap on the count of iterations; memory is taken to suffice.
    """
    import simpy

    matrix, prompts, answers = server.matrix_s.tolist(), asked.tolist(), answer.tolist()
    gaps = np.diff(time_s, prepend=0.0).tolist()
    chunk, batch = len(matrix) - 1, len(server.extra_s) - 1

    def work() -> Floats:
        env, made = simpy.Environment(), np.empty((2, len(gaps)))
        waiting: deque[int] = deque()
        leaving: list[tuple[int, int]] = []
        bell = [env.event()]

        def serve() -> Iterator[Any]:
            clock, context, left = 0, 0, 0  # left: tokens of the first in line that are still to be read
            while True:
                if not leaving and not waiting:
                    bell[0] = env.event()
                    yield bell[0]
                budget, seen = chunk - len(leaving), 0.0
                joined: list[int] = []
                while waiting and budget > 0 and len(leaving) + len(joined) < batch:
                    whole = prompts[waiting[0]]
                    left = left or whole
                    part = min(left, budget)
                    seen += part * (whole - left + 0.5 * part)
                    left, budget = left - part, budget - part
                    if left == 0:
                        joined.append(waiting.popleft())
                context, clock = context + len(leaving), clock + 1
                yield env.timeout(matrix[chunk - budget] + server.context_s * context + server.prompt_s * seen)
                while leaving and leaving[0][0] == clock:
                    i = heapq.heappop(leaving)[1]
                    context -= prompts[i] + answers[i] - 1
                    made[1, i] = env.now
                for i in joined:
                    made[:, i] = env.now
                    if answers[i] > 1:
                        context += prompts[i]
                        heapq.heappush(leaving, (clock + answers[i] - 1, i))

        env.process(_come(env, gaps, waiting, bell))
        env.process(serve())
        env.run()
        return made

    return work


# --- whole steps ------------------------------------------------------------------------------------------------------


def common_step(
    elements: Elements, pairs: Ints, towns_m: Floats, towns_rad: tuple[Floats, Floats], lowest_rad: float
) -> Work:
    """W1 with sgp4, numpy and scipy: positions, link lengths, who sees whom, latencies between all places (G, G) [s].

    A place sends up but never relays: its links lead up alone, and the last slant is added by hand.
    """
    array, nodes, places = SatrecArray(satrecs(elements)), len(elements.epoch_s), len(towns_m)
    latitude, longitude = towns_rad
    level, sine = np.cos(latitude), np.sin(lowest_rad)
    up = np.stack([level * np.cos(longitude), level * np.sin(longitude), np.sin(latitude)], axis=1)
    a, b = pairs.T

    def step() -> NDArray[np.float64]:
        place = earth_fixed(array, 60.0)
        length = np.linalg.norm(place[a] - place[b], axis=1)
        apart = place[None] - towns_m[:, None]
        slant = np.linalg.norm(apart, axis=2)
        town, satellite = np.nonzero(np.einsum("gsx,gx->gs", apart, up) >= sine * slant)
        row = np.concatenate([a, b, nodes + town])
        column = np.concatenate([b, a, satellite])
        weight = np.concatenate([length, length, slant[town, satellite]]) / LIGHT_M_S
        graph = coo_matrix((weight, (row, column)), shape=(nodes + places, nodes + places)).tocsr()
        far = dijkstra(graph, indices=np.arange(nodes, nodes + places))[:, :nodes]
        made = np.full((places, places), np.inf)
        for g in range(places):
            seen = satellite[town == g]
            if len(seen):
                made[:, g] = (far[:, seen] + slant[g, seen] / LIGHT_M_S).min(axis=1)
        return made

    return step


def large_step(
    relays: Elements, ships: Elements, pairs: Ints, sun_m: Floats, seen: Callable[[Floats], Any], most_m: float
) -> Callable[[], Links]:
    """All of a step with ships but its fields, by sgp4, numpy and scipy; returns the links, ships' nodes after relays'.

    A ship keeps its relay while it is in range and takes the nearest that is free otherwise; its first it takes at second 0.
    """
    mesh, aloft, nodes = SatrecArray(satrecs(relays)), SatrecArray(satrecs(ships)), len(relays.epoch_s)
    ship = np.arange(len(ships.epoch_s))

    def nearest(ships_m: Floats, relays_m: Floats) -> Ints:
        taken: dict[int, None] = {}
        for wanted in cKDTree(relays_m).query(ships_m, k=8)[1].tolist():
            taken[next(r for r in wanted if r not in taken)] = None
        return np.array(list(taken))

    first = nearest(earth_fixed(aloft, 0.0), earth_fixed(mesh, 0.0))

    def step() -> Links:
        place, above = earth_fixed(mesh, 60.0), earth_fixed(aloft, 60.0)
        numpy_eclipse(above[None], sun_m)()
        seen(place)
        held = first
        if (np.linalg.norm(above - place[held], axis=1) > most_m).any():
            held = nearest(above, place)
        node = np.concatenate([place, above])
        a, b = np.concatenate([pairs[:, 0], nodes + ship]), np.concatenate([pairs[:, 1], held])
        length = np.linalg.norm(node[a] - node[b], axis=1)
        return Links(a, b, length, np.ones(len(a)), np.ones(len(a)))

    return step
