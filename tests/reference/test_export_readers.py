"""Exports read back by the tools of others: czml3 for CZML, oem for CCSDS messages, Hypatia's satgenpy and networkx for ns-3."""

import json
from datetime import datetime

import networkx as nx
import numpy as np
import pytest
from astropy.time import TimeDelta
from czml3 import Document
from oem import OrbitEphemerisMessage
from satgen.ground_stations import read_ground_stations_extended
from satgen.interfaces import read_gsl_interfaces_info
from satgen.isls import read_isls
from satgen.post_analysis.graph_tools import (
    compute_path_length_without_graph,
    construct_graph_with_distances,
    get_path,
)
from satgen.tles import read_tles

from aether.engine.assemble import assemble
from aether.network import access, routing
from aether.scenario.load import load
from aether.space import ground, motion, orbits
from aether.study import exports

LIGHT = 299_792_458.0  # m/s, definition
SHELL = {"planes": 20, "per_plane": 20, "altitude": "550 km", "inclination": "53 deg"}
RELAYS, SHIPS, TICKS = 400, 3, 10


@pytest.fixture(scope="module")
def small():
    return load("ai1-ring", {"duration": "10 min", "relays": {"shells": [{"shell": SHELL}]}, "ships.0.count": SHIPS})


@pytest.fixture(scope="module")
def written(small, tmp_path_factory):
    """`written(form)`: where a format lies."""

    def write(form):
        out = tmp_path_factory.mktemp(form) / "out"
        exports.export(small, form, out, links=form == "czml")
        return out

    return write


def track(small, time_s):
    """Our own motion of relays and then ships."""
    setup = assemble(small)
    return motion.propagate(orbits.join(setup.relays, setup.ships), np.asarray(time_s, float), setup.julian)


# --- CZML -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def czml(written):
    """The document by czml3, which takes no property that it does not know."""
    return Document.model_validate({"packets": json.loads(written("czml").read_text())}).packets


def when(text):
    return datetime.fromisoformat(text)


def test_czml3_reads_satellites_where_our_satellites_are(small, czml):
    document, *rest = czml
    satellites = [p for p in rest if p.position is not None]
    assert len(satellites) == RELAYS + SHIPS
    assert [p.label.text for p in satellites if p.label is not None] == ["ai1/0", "ai1/1", "ai1/2"]
    begin = when(document.clock.interval.start)
    time_s = np.array(satellites[0].position.cartesian.values).reshape(-1, 4)[:, 0]
    ours = track(small, time_s).fixed_m
    for k, packet in enumerate(satellites):
        rows = np.array(packet.position.cartesian.values).reshape(-1, 4)
        assert packet.position.referenceFrame == "FIXED"
        assert when(packet.position.epoch) == begin
        assert rows[:, 0].tolist() == time_s.tolist()
        assert rows[:, 1:] == pytest.approx(ours[:, k], abs=0.051)


def test_czml3_reads_links_between_satellites_that_are_there_at_the_times_they_hold(small, czml):
    document, *rest = czml
    begin = when(document.clock.interval.start)
    number = {p.id: i for i, p in enumerate(p for p in rest if p.position is not None)}
    drawn = {}
    for packet in (p for p in rest if p.polyline is not None):
        ends = tuple(sorted(number[e.removesuffix("#position")] for e in packet.polyline.positions.references.values))
        drawn[ends] = [
            tuple((when(t) - begin).total_seconds() for t in (span.start, span.end))
            for span in packet.availability.values
        ]
    for tick, _, _, links in exports._network(assemble(small), lambda *_: None):
        on = links.alive > 0
        ours = {tuple(sorted(p)) for p in zip(links.a[on].tolist(), links.b[on].tolist(), strict=True)}
        assert {ends for ends, spans in drawn.items() if any(a <= 60.0 * tick < b for a, b in spans)} == ours


# --- OEM --------------------------------------------------------------------------------------------------------------


def test_oem_reads_every_message_and_finds_our_states(small, written):
    folder, ours = written("oem"), track(small, np.arange(TICKS + 1) * 60.0)
    begin = small.clock.epoch.replace(tzinfo=None)
    names = [f"relay/{i}" for i in range(RELAYS)] + [f"ship/ai1/{i}" for i in range(SHIPS)]
    assert len(list(folder.rglob("*.oem"))) == len(names)
    for k, name in list(enumerate(names))[::13]:
        (segment,) = OrbitEphemerisMessage.open(folder / f"{name}.oem").segments
        assert segment.metadata["OBJECT_NAME"] == name.removeprefix("ship/")
        assert [segment.metadata[key] for key in ("REF_FRAME", "CENTER_NAME", "TIME_SYSTEM")] == [
            "TEME",
            "EARTH",
            "UTC",
        ]
        states = list(segment.states)
        assert [(s.epoch.to_datetime() - begin).total_seconds() for s in states] == [60.0 * i for i in range(TICKS + 1)]
        found = np.array([np.concatenate([s.position, s.velocity]) for s in states]) * 1e3
        assert found[:, :3] == pytest.approx(ours.inertial_m[:, k], abs=1e-3, rel=0)
        assert found[:, 3:] == pytest.approx(ours.velocity_m_s[:, k], abs=1e-3, rel=0)


def test_oem_interpolates_between_our_states_to_a_metre(small, written):
    message = OrbitEphemerisMessage.open(written("oem") / "ship" / "ai1" / "1.oem")
    first = next(iter(message.states)).epoch
    time_s = np.arange(240.0, 360.0, 17.0)  # four states on either side
    ours = track(small, time_s).inertial_m[:, RELAYS + 1]
    found = [message(first + TimeDelta(t, format="sec")).position for t in time_s]
    assert np.array(found) * 1e3 == pytest.approx(ours, abs=1.0, rel=0)


# --- ns-3 -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hypatia(written):
    """The folder as satgenpy reads it: its arguments for paths and graphs, and the forwarding state of every step."""
    folder = written("ns3")
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
