"""Forwarding state read back by Hypatia's own satgenpy, and its graph searched by networkx."""

import networkx as nx
import numpy as np
import pytest

from aether.engine.assemble import assemble
from aether.network import access, routing
from aether.space import ground
from aether.study import exports
from exported import RELAYS, SHIPS, TICKS, small

pytest.importorskip("satgen", reason="Hypatia's reader is not installed; `make peers` brings it")
from satgen.ground_stations import read_ground_stations_extended
from satgen.interfaces import read_gsl_interfaces_info
from satgen.isls import read_isls
from satgen.post_analysis.graph_tools import (
    compute_path_length_without_graph,
    construct_graph_with_distances,
    get_path,
)
from satgen.tles import read_tles

LIGHT = 299_792_458.0  # m/s, definition


@pytest.fixture(scope="module", name="small")
def _small():
    return small()


@pytest.fixture(scope="module")
def hypatia(small, tmp_path_factory):
    """The folder as satgenpy reads it: its arguments for paths and graphs, and the forwarding state of every step."""
    folder = tmp_path_factory.mktemp("ns3") / "out"
    exports.export(small, "ns3", folder)
    tles = read_tles(str(folder / "tles.txt"))
    satellites, epoch = tles["satellites"], tles["epoch"]
    stations = read_ground_stations_extended(str(folder / "ground_stations.txt"))
    lasers = read_isls(str(folder / "isls.txt"), len(satellites))
    radios = read_gsl_interfaces_info(str(folder / "gsl_interfaces_info.txt"), len(satellites), len(stations))
    assert all(r == {"number_of_interfaces": 1, "aggregate_max_bandwidth": 1.0} for r in radios)
    told = dict(line.split("=") for line in (folder / "description.txt").read_text().splitlines())
    longest = [float(told[key]) for key in ("max_gsl_length_m", "max_isl_length_m")]
    (dynamic,) = folder.glob("dynamic_state_*")
    state, states = {}, []
    for tick in range(TICKS):
        for line in (dynamic / f"fstate_{tick * 60 * 10**9}.txt").read_text().splitlines():
            current, target, hop, *_ = map(int, line.split(","))
            state[current, target] = hop
        states.append(dict(state))

    def at(tick):
        return epoch, tick * 60 * 10**9, satellites, stations, lasers, *longest

    return at, states, len(satellites), len(stations)


def test_hypatia_walks_the_paths_that_the_engine_means(small, hypatia):
    at, states, nodes, stations = hypatia
    assert (nodes, stations) == (RELAYS + SHIPS, 3)
    setup, walked = assemble(small), 0
    sites = setup.probe_sites
    for tick, ahead, i, links in exports._network(setup, lambda *_: None):
        mesh = routing.mesh(nodes, links)
        seen = ground.visible(sites.fixed_m, ahead.relays.fixed_m[i], sites.elevation_rad)
        field_s = access.place_fields(mesh, seen, np.arange(stations))
        for a in range(stations):
            mine = slice(seen.start[a], seen.start[a + 1])
            for b in set(range(stations)) - {a}:
                path = get_path(nodes + a, nodes + b, states[tick])
                best = (field_s[b][seen.satellite[mine]] + seen.slant_m[mine] / LIGHT).min(initial=np.inf)
                assert (path is None) == bool(np.isinf(best))
                if path is not None:
                    length_m = compute_path_length_without_graph(path, *at(tick))
                    assert length_m == pytest.approx(best * LIGHT, abs=200.0)  # element sets resolve 12 m in each angle
                    walked += 1
    assert walked >= 5 * TICKS


def test_no_path_of_networkx_in_hypatias_graph_is_shorter_and_nearly_all_are_the_same(hypatia):
    at, states, nodes, stations = hypatia
    same = count = 0
    for tick in range(0, TICKS, 3):
        graph = construct_graph_with_distances(*at(tick))  # by range alone: a few more links than we use
        for a in range(stations):
            for b in set(range(stations)) - {a}:
                path = get_path(nodes + a, nodes + b, states[tick])
                if path is None:
                    continue
                length_m = compute_path_length_without_graph(path, *at(tick))
                least_m, shortest = nx.single_source_dijkstra(graph, nodes + a, nodes + b)
                assert least_m <= length_m + 1e-3
                same, count = same + (shortest == path), count + 1
    assert count >= 16
    assert same >= 0.9 * count
