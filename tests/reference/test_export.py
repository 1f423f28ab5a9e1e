"""Exports read back by readers of our own, written from the formats' descriptions, and held against the engine."""

import json
import re
from datetime import datetime
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra
from sgp4.api import Satrec

from aether.base.clock import julian_date
from aether.base.errors import InputError
from aether.base.tables import Access, Links
from aether.engine.assemble import assemble
from aether.network import access, routing
from aether.results.export import czml, ns3, numbers
from aether.scenario.load import load
from aether.space import ground, motion, orbits
from aether.study import exports

LIGHT = 299_792_458.0  # m/s, definition
SHELL = {"planes": 12, "per_plane": 10, "altitude": "550 km", "inclination": "53 deg"}
SMALL = {"duration": "20 min", "relays": {"shells": [{"shell": SHELL}]}, "ships.0.count": 3}


@pytest.fixture(scope="module")
def small():
    return load("ai1-ring", SMALL)


@pytest.fixture(scope="module")
def written(small, tmp_path_factory):
    """`written(form)`: where a format lies and what was told of it."""
    kept = {}

    def write(form):
        if form not in kept:
            out = tmp_path_factory.mktemp(form) / "out"
            kept[form] = out, exports.export(small, form, out, links=form == "czml")
        return kept[form]

    return write


def track(small, time_s):
    """Our own positions of relays and then ships."""
    setup = assemble(small)
    every = orbits.join(setup.relays, setup.ships)
    return motion.propagate(every, np.asarray(time_s, float), setup.julian)


# --- numbers ----------------------------------------------------------------------------------------------------------

VALUES = st.floats(-1e9, 1e9, allow_nan=False)


@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=20), st.integers(0, 9), st.integers(0, 6))
def test_numbers_are_written_as_decimal_arithmetic_rounds_them(table, first, second):
    values = np.array(table)
    text = bytes(numbers.rows(np.full(len(values), b"at "), values, (first, second), (1.0, 1e-3), ";", "|\n")).decode()
    lines = []
    for row in values:
        cells = []
        for value, digits, unit in zip(row, (first, second), (1.0, 1e-3), strict=True):
            whole = int(np.rint(value * (10.0**digits * unit)))
            cells.append(f"{Decimal(whole).scaleb(-digits):.{digits}f}")
        lines.append("at " + ";".join(cells) + "|\n")
    assert text == "".join(lines)


def test_heads_of_different_lengths_keep_their_own():
    text = numbers.rows(np.array([b"", b"b", b"ccc"]), np.array([[1.0], [-2.5], [0.0]]), (1,), (1.0,), ",", ".")
    assert bytes(text) == b"1.0.b-2.5.ccc0.0."


# --- CZML -------------------------------------------------------------------------------------------------------------


def date(text):
    return datetime.fromisoformat(text)


def read_czml(path):
    """Document, satellites {id: (label, time (T,), place (T, 3))} and links {id: (ends, [(begin, end)])}, seconds."""
    packets = json.loads(path.read_text())
    document, *rest = packets
    assert set(document) == {"id", "name", "version", "clock"}
    assert (document["id"], document["version"]) == ("document", "1.0")
    begin = date(document["clock"]["interval"].split("/")[0])
    satellites, links = {}, {}
    for packet in rest:
        assert packet["id"] not in satellites
        if "position" in packet:
            place = packet["position"]
            assert set(packet) - {"label"} == {"id", "name", "availability", "point", "position"}
            assert place["referenceFrame"] == "FIXED"
            assert (place["interpolationAlgorithm"], place["interpolationDegree"]) == ("LAGRANGE", 5)
            assert date(place["epoch"]) == begin
            rows = np.array(place["cartesian"]).reshape(-1, 4)
            assert (np.diff(rows[:, 0]) > 0).all()
            satellites[packet["id"]] = packet.get("label", {}).get("text", ""), rows[:, 0], rows[:, 1:]
        else:
            assert set(packet) == {"id", "availability", "polyline"}
            ends = [r.removesuffix("#position") for r in packet["polyline"]["positions"]["references"]]
            spans = [tuple((date(t) - begin).total_seconds() for t in s.split("/")) for s in packet["availability"]]
            links[packet["id"]] = ends, spans
    assert all(end in satellites for ends, _ in links.values() for end in ends)
    return document, satellites, links


def lagrange(time_s, place_m, at_s):
    """Cesium's choice: six samples, three of them on either side of the time where there are so many."""
    index = int(np.searchsorted(time_s, at_s))
    first = min(max(index - 3, 0), len(time_s) - 6)
    nodes, values = time_s[first : first + 6], place_m[first : first + 6]
    total = np.zeros(3)
    for i in range(6):
        others = np.delete(nodes, i)
        total += values[i] * np.prod((at_s - others) / (nodes[i] - others))
    return total


def test_czml_between_its_samples_stays_within_ten_metres_of_our_own_motion(small, written):
    _, satellites, _ = read_czml(written("czml")[0])
    time_s = np.arange(0.0, 1201.0, 15.0)
    ours = track(small, time_s).fixed_m
    assert len(satellites) == ours.shape[1] == 123
    found = np.array([[lagrange(t, place, at) for t, place in [s[1:]]] for s in satellites.values() for at in time_s])
    apart = np.linalg.norm(found.reshape(123, len(time_s), 3).swapaxes(0, 1) - ours, axis=-1)
    assert 0.5 < apart.max() < czml.ERROR_M  # not so fine either that the file is many times too large


def test_czml_samples_are_ours_to_a_decimetre_and_ships_are_labelled(small, written):
    document, satellites, _ = read_czml(written("czml")[0])
    assert document["clock"]["interval"] == "2026-06-21T00:00:00.000000Z/2026-06-21T00:20:00.000000Z"
    labels = [label for label, _, _ in satellites.values() if label]
    assert labels == ["ai1/0", "ai1/1", "ai1/2"]
    time_s = next(iter(satellites.values()))[1]
    ours = track(small, time_s).fixed_m
    for k, (_, _, place) in enumerate(satellites.values()):
        assert place == pytest.approx(ours[:, k], abs=0.051)


@pytest.mark.parametrize("eccentricity", [0.0, 0.001, 0.02])
@pytest.mark.parametrize("altitude_m", [350e3, 550e3, 1500e3])
def test_step_between_samples_keeps_its_promise_on_round_and_flat_orbits(altitude_m, eccentricity):
    made = orbits.circular(altitude_m, np.radians(97.0), np.zeros(1), np.zeros(1))
    object.__setattr__(made, "eccentricity", np.array([eccentricity]))
    coarse = motion.propagate(made, np.arange(0.0, 7200.0, 100.0), 2461212.5)
    speed = np.linalg.norm(coarse.velocity_m_s, axis=-1) / np.linalg.norm(coarse.inertial_m, axis=-1)
    step = czml.sample_step(speed.max() + exports.EARTH_RATE_RAD_S, np.linalg.norm(coarse.inertial_m, axis=-1).max())
    nodes = np.arange(0.0, 7200.0, step)
    place = motion.positions(motion.prepare(made), nodes, 2461212.5)[:, 0]
    at = np.arange(0.0, nodes[-1], 17.0)
    true = motion.positions(motion.prepare(made), at, 2461212.5)[:, 0]
    found = np.array([lagrange(nodes, place, t) for t in at])
    assert np.linalg.norm(found - true, axis=-1).max() < czml.ERROR_M


def test_links_in_czml_hold_when_the_engine_holds_them(small, written):
    _, satellites, links = read_czml(written("czml")[0])
    number = {name: i for i, name in enumerate(satellites)}
    setup = assemble(small)
    for tick, _, _, ours in exports._network(setup, lambda *_: None):
        at = tick * 60.0
        drawn = {
            tuple(sorted(number[e] for e in ends))
            for ends, spans in links.values()
            if any(a <= at < b for a, b in spans)
        }
        on = ours.alive > 0
        assert drawn == {tuple(sorted(p)) for p in zip(ours.a[on].tolist(), ours.b[on].tolist(), strict=True)}


# --- OEM --------------------------------------------------------------------------------------------------------------

METADATA = ("OBJECT_NAME", "OBJECT_ID", "CENTER_NAME", "REF_FRAME", "TIME_SYSTEM", "START_TIME", "STOP_TIME",
            "INTERPOLATION", "INTERPOLATION_DEGREE")  # fmt: skip
STATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}( -?\d+\.\d+){6}")


def read_oem(path):
    """Metadata and states of a message of one segment: dates, km, km/s. Strict: CCSDS 502.0-B-2, 5.2 and 6.2."""
    text = path.read_bytes().decode("ascii")
    assert all(len(line) <= 254 for line in text.splitlines())
    head, _, rest = text.partition("META_START\n")
    block, _, body = rest.partition("META_STOP\n")
    keys = [line.partition(" = ")[0] for line in head.splitlines() if line and not line.startswith("COMMENT ")]
    assert keys == ["CCSDS_OEM_VERS", "CREATION_DATE", "ORIGINATOR"]
    assert head.startswith("CCSDS_OEM_VERS = 2.0\n")
    told = dict(line.split(" = ") for line in block.splitlines())
    assert tuple(told) == METADATA
    lines = [line for line in body.splitlines() if line]
    assert all(STATE.fullmatch(line) for line in lines)
    dates = [date(line.split()[0]) for line in lines]
    return told, dates, np.array([[float(x) for x in line.split()[1:]] for line in lines])


def test_oem_states_are_ours_to_a_millimetre_and_a_millimetre_per_second(small, written):
    folder, told = written("oem")
    assert told.counts == {"satellites": 123, "states": 123 * 21}
    ours = track(small, np.arange(21) * 60.0)
    names = [f"relay/{i}" for i in range(120)] + [f"ship/ai1/{i}" for i in range(3)]
    for k, name in enumerate(names):
        metadata, dates, states = read_oem(folder / f"{name}.oem")
        assert (metadata["REF_FRAME"], metadata["TIME_SYSTEM"]) == ("TEME", "UTC")
        assert (date(metadata["START_TIME"]), date(metadata["STOP_TIME"])) == (dates[0], dates[-1])
        assert [(d - dates[0]).total_seconds() for d in dates] == [60.0 * i for i in range(21)]
        assert states[:, :3] * 1e3 == pytest.approx(ours.inertial_m[:, k], abs=1e-3, rel=0)
        assert states[:, 3:] == pytest.approx(ours.velocity_m_s[:, k] / 1e3, abs=1e-6, rel=0)


def test_a_satellite_that_decays_ends_early(tmp_path):
    falling = (
        "LOW\n1 00001U 00000A   26172.00000000  .00000000  00000+0  90000-2 0  9999\n"
        "2 00001  53.0000 180.0000 0000000   0.0000 200.0000 16.20000000    00\n"
    )
    lines = falling.splitlines()
    falling = "\n".join(
        [lines[0], *(f"{x[:-1]}{sum(int(c) if c.isdigit() else c == '-' for c in x[:68]) % 10}" for x in lines[1:])]
    )
    (tmp_path / "low.tle").write_text(falling + "\n")
    (tmp_path / "s.yaml").write_text(
        "name: low\nstart: 2026-06-21T00:00:00Z\nduration: 4 day\nstep: 10 min\n"
        "relays: {shells: [{elements: low.tle}]}\n"
    )
    exports.export(load(tmp_path / "s.yaml"), "oem", tmp_path / "out")
    metadata, dates, states = read_oem(tmp_path / "out" / "relay" / "0.oem")
    assert 8 < len(dates) < 4 * 144
    assert date(metadata["STOP_TIME"]) == dates[-1]
    assert np.linalg.norm(states[-1, :3]) > 6378.0 * 0.99


# --- ns-3 -------------------------------------------------------------------------------------------------------------


def read_ns3(folder, step_ns):
    """What Hypatia's module would load: TLEs, stations, lasers, and per step the whole forwarding state."""
    first, *lines = (folder / "tles.txt").read_text().splitlines()
    planes, each = map(int, first.split())
    assert planes * each * 3 == len(lines)
    assert [int(name.split()[1]) for name in lines[::3]] == list(range(planes * each))
    assert len({line[18:32] for line in lines[1::3]}) == 1  # one epoch
    satellites = [Satrec.twoline2rv(a, b) for a, b in zip(lines[1::3], lines[2::3], strict=True)]
    rows = [line.split(",") for line in (folder / "ground_stations.txt").read_text("utf-8").splitlines()]
    assert all(len(row) == 8 and int(row[0]) == i for i, row in enumerate(rows))
    lasers = [tuple(map(int, line.split(" "))) for line in (folder / "isls.txt").read_text().splitlines()]
    assert len(set(lasers)) == len(lasers)
    assert all(a < b < len(satellites) for a, b in lasers)
    radios = [line.split(",") for line in (folder / "gsl_interfaces_info.txt").read_text().splitlines()]
    assert radios == [[str(i), "1", "1.000000"] for i in range(len(satellites) + len(rows))]
    (dynamic,) = folder.glob("dynamic_state_*")
    states, known, sizes = [], {}, []
    for i in range(len(list(dynamic.glob("fstate_*.txt")))):
        lines = [
            tuple(map(int, x.split(","))) for x in (dynamic / f"fstate_{i * step_ns}.txt").read_text().splitlines()
        ]
        assert all(known.get(line[:2]) != line[2:] for line in lines)  # only what changed
        known |= {line[:2]: line[2:] for line in lines}
        states.append(dict(known))
        sizes.append(len(lines))
        bandwidth = (dynamic / f"gsl_if_bandwidth_{i * step_ns}.txt").read_text()
        assert bool(bandwidth) == (i == 0)
    return satellites, rows, lasers, states, sizes, dynamic


def own_interfaces(lasers, nodes):
    """(near, far) -> interface at the near end, counted in the order of the file; and how many each node has."""
    count, made = [0] * nodes, {}
    for a, b in lasers:
        for near, far in ((a, b), (b, a)):
            made[near, far] = count[near]
            count[near] += 1
    return made, count


def test_paths_by_next_hop_are_as_long_as_the_routing_says(small, written):
    folder, told = written("ns3")
    satellites, rows, lasers, states, sizes, dynamic = read_ns3(folder, 60 * 10**9)
    nodes, stations = len(satellites), len(rows)
    assert (nodes, stations, len(states)) == (123, 3, 20)
    assert dynamic.name == "dynamic_state_60000ms_for_1200s"
    assert told.counts["changes"] == sum(sizes)
    faces, count = own_interfaces(lasers, nodes)
    setup = assemble(small)
    sites, reached = setup.probe_sites, 0
    for tick, ahead, i, links in exports._network(setup, lambda *_: None):
        place = np.concatenate([ahead.relays.fixed_m[i], ahead.ships.fixed_m[i], sites.fixed_m])
        mesh = routing.mesh(nodes, links)
        seen = ground.visible(sites.fixed_m, ahead.relays.fixed_m[i], sites.elevation_rad)
        fields = access.place_fields(mesh, seen, np.arange(stations))
        state = states[tick]
        assert len(state) == nodes * stations + stations * (stations - 1)
        for (current, target), _ in state.items():
            at, length, trodden = current, 0.0, [current]
            while at != target and at >= 0:
                hop, own, other = state[at, target]
                if hop < 0:
                    assert (hop, own, other) == (-1, -1, -1)
                    break
                if at < nodes and hop < nodes:
                    assert (own, other) == (faces[at, hop], faces[hop, at])
                else:
                    assert (own, other) == (count[at] if at < nodes else 0, count[hop] if hop < nodes else 0)
                length += np.linalg.norm(place[hop] - place[at])
                at = hop
                trodden.append(at)
                assert len(trodden) <= nodes
            field = fields[target - nodes]
            if current < nodes:
                best = field[current]
            else:
                mine = slice(seen.start[current - nodes], seen.start[current - nodes + 1])
                best = (field[seen.satellite[mine]] + seen.slant_m[mine] / LIGHT).min(initial=np.inf)
            if at == target:
                assert length / LIGHT == pytest.approx(best, rel=1e-5)
                reached += 1
            else:
                assert np.isinf(best)
    assert reached > 3000


def test_element_sets_for_ns3_fly_where_our_satellites_fly(small, written):
    satellites = read_ns3(written("ns3")[0], 60 * 10**9)[0]
    ours = track(small, [0.0, 600.0, 1200.0]).inertial_m
    assert apart(satellites, small, [0.0, 600.0, 1200.0], ours).max() < 40.0  # 1e-4 degrees are 12 m in each angle


def apart(satellites, scenario, time_s, ours_m):
    """How far the element sets, by the sgp4 library, are from our positions (T, S) [m]."""
    day = julian_date(scenario.spec.start)
    found = [[s.sgp4(day, t / 86400.0)[1] for s in satellites] for t in time_s]
    return np.linalg.norm(np.array(found) * 1e3 - ours_m, axis=-1)


def test_element_sets_of_another_day_are_brought_to_the_start(tmp_path):
    later = load("real-elements", {"start": "2026-06-23T06:00:00Z", "duration": "2 h", "step": "1 h"})
    setup = assemble(later)
    assert np.abs(setup.relays.epoch_s).max() > 86400.0
    exports.export(later, "ns3", tmp_path / "n")
    satellites = read_ns3(tmp_path / "n", 3600 * 10**9)[0]
    time_s = [0.0, 3600.0, 7200.0]
    assert apart(satellites, later, time_s, track(later, time_s).inertial_m).max() < 60.0


@given(st.integers(2, 12), st.data())
def test_next_hops_lead_along_shortest_paths_of_any_graph(nodes, data):
    pairs = data.draw(st.sets(st.tuples(st.integers(0, nodes - 1), st.integers(0, nodes - 1)), max_size=30))
    pairs = sorted({(min(p), max(p)) for p in pairs if p[0] != p[1]})
    length = data.draw(st.lists(st.integers(1, 50), min_size=len(pairs), max_size=len(pairs)))
    views = [data.draw(st.sets(st.integers(0, nodes - 1), max_size=3)) for _ in range(2)]
    slant = [[data.draw(st.integers(1, 50)) for _ in view] for view in views]
    a, b = (np.array([p[i] for p in pairs], dtype=np.int64) for i in (0, 1))
    range_m = np.array(length, float) * LIGHT / 1e3
    mesh = routing.mesh(nodes, Links(a, b, range_m, np.ones(len(a)), np.ones(len(a))))
    start = np.cumsum([0, *(len(v) for v in views)])
    seen = Access(
        start, np.array([n for v in views for n in v], np.int64), np.array([s for x in slant for s in x]) * LIGHT / 1e3
    )
    hops = ns3.next_hops(mesh, access.place_fields(mesh, seen, np.arange(2)), seen)
    near = [n for v in views for n in v]
    owner = [nodes + g for g, v in enumerate(views) for _ in v]
    cost = [s for x in slant for s in x]
    for g in range(2):
        keep = [i for i, o in enumerate(owner) if o == nodes + g]
        size = nodes + 2
        graph = coo_matrix(
            ([*length, *(cost[i] for i in keep)], ([*a, *(near[i] for i in keep)], [*b, *(owner[i] for i in keep)])),
            shape=(size, size),
        )
        true = dijkstra(graph.tocsr(), directed=False, indices=nodes + g)
        weight = {frozenset(p): w for p, w in zip(pairs, length, strict=True)}
        weight |= {frozenset((near[i], owner[i])): c for i, c in enumerate(cost)}
        for n in range(nodes):
            at, total = n, 0
            while at != nodes + g and hops[at, g] >= 0:
                total += weight[frozenset((at, int(hops[at, g])))]
                at = int(hops[at, g])
            assert (total if at == nodes + g else np.inf) == true[n]


# --- what is refused --------------------------------------------------------------------------------------------------


def test_unknown_format_tells_the_nearest(small, tmp_path):
    with pytest.raises(InputError, match="did you mean 'czml'"):
        exports.export(small, "cmzl", tmp_path / "x")


def test_links_are_refused_where_none_are_drawn(small, tmp_path):
    with pytest.raises(InputError, match="only CZML draws links"):
        exports.export(small, "oem", tmp_path / "x", links=True)


def test_a_folder_that_holds_something_is_left_alone(small, tmp_path):
    (tmp_path / "mine").write_text("kept")
    with pytest.raises(InputError, match="already there"):
        exports.export(small, "ns3", tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


def test_no_two_places_on_the_ground_means_no_forwarding_state_and_nothing_written(tmp_path):
    alone = load("ai1-ring", {**SMALL, "probes": [], "ground.cities.largest": 0})
    with pytest.raises(InputError, match="no two places"):
        exports.export(alone, "ns3", tmp_path / "deep" / "x")
    assert list(tmp_path.iterdir()) == []


def test_a_failure_half_way_leaves_nothing(small, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ns3, "forwarding", fail)
    with pytest.raises(InputError, match="No space left"):
        exports.export(small, "ns3", tmp_path / "x")
    assert list(tmp_path.iterdir()) == []
