"""The bench does the same work on every side, and tells it in rows that machines can read."""

import json
from dataclasses import replace

import networkx as nx
import numpy as np
import pytest

from aether.base.clock import J2000_DAYS
from aether.network import access, flows, routing
from aether.results import results, terminal
from aether.space import ground, motion, sun
from aether.study import bench, timing
from aether.study import bench_peers as peers
from aether.study import bench_steps as steps

TIME_S = np.arange(5) * 60.0


@pytest.fixture(scope="module")
def shell():
    made = steps.shell(10, 10)
    return replace(made, eccentricity=np.full(100, 1e-3))  # the sgp4 library takes no less than 1e-6, 7 m here


@pytest.fixture(scope="module")
def records(shell):
    return peers.satrecs(shell)


@pytest.fixture(scope="module")
def track(shell):
    return motion.propagate(motion.prepare(shell), TIME_S, J2000_DAYS)


def test_the_common_work_comes_out_as_with_sgp4_numpy_and_scipy():
    ours, usual = np.asarray(steps.common_work()(), np.float64), bench.common_peer()()
    assert (np.isfinite(ours) == np.isfinite(usual)).all()
    seen = np.isfinite(ours)
    assert seen.sum() > 5000
    assert np.abs(ours[seen] - usual[seen]).max() < 1e-6  # a microsecond of latency


def test_ten_thousand_satellites_reach_every_ship():
    assert np.isfinite(steps.ten_thousand()(60.0).latency_s).all()


def test_the_large_step_comes_out_as_with_sgp4_and_networkx():
    ours, links = steps.ten_thousand()(60.0), bench.large_links()()
    graph = peers.network(links.a, links.b, links.range_m)
    for k in (0, 50):
        assert ours.source[k] == 10_000 + k
        found = nx.single_source_dijkstra_path_length(graph, 10_000 + k)
        theirs = np.array([found[n] for n in range(10_096)])
        assert ours.latency_s[k] == pytest.approx(theirs, abs=1e-6)


def test_python_sgp4_flies_where_we_fly(records, track):
    position, velocity = peers.sgp4_array(records, TIME_S)()
    assert position.swapaxes(0, 1) * 1e3 == pytest.approx(track.inertial_m, abs=1e-3)
    assert velocity.swapaxes(0, 1) * 1e3 == pytest.approx(track.velocity_m_s, abs=1e-3)


def test_heyoka_flies_where_we_fly(records, track):
    pytest.importorskip("heyoka")
    out = peers.heyoka_batch(records, TIME_S)()
    assert out[:, :3].swapaxes(1, 2) * 1e3 == pytest.approx(track.inertial_m, abs=1e-3)


def test_skyfield_stands_where_we_stand_but_for_what_the_earths_rotation_differs_from_utc(records, track):
    pytest.importorskip("skyfield")
    places = np.array(peers.skyfield_loop(records[:20], TIME_S)()).transpose(2, 0, 1)
    assert np.linalg.norm(places - track.fixed_m[:, :20], axis=-1).max() < 300.0  # 0.36 s of UT1 - UTC in 2000


def test_eclipses_come_out_as_with_numpy_and_brahe(track):
    sun_m = sun.position(J2000_DAYS + TIME_S / 86400.0)
    ours = sun.lit(track.inertial_m, sun_m)
    assert 0.2 < ours.mean() < 0.9
    assert peers.numpy_eclipse(track.inertial_m, sun_m)() == pytest.approx(ours, abs=1e-6)
    if peers.installed("brahe"):
        assert np.array(peers.brahe_loop(track.inertial_m, sun_m)()) == pytest.approx(ours.ravel(), abs=1e-3)


def test_trees_find_the_pairs_that_we_see(track):
    at, cells_m = access.cells(300), steps.cells(300)
    ours = ground.visible(cells_m, track.fixed_m[0], steps.LOWEST_RAD)
    place, satellite, slant_m = peers.tree_visibility(*at, cells_m, steps.LOWEST_RAD)(track.fixed_m[0])
    found = {(g, s): d for g, s, d in zip(place.tolist(), satellite.tolist(), slant_m, strict=True)}
    owner = np.repeat(np.arange(300), np.diff(ours.start))
    assert len(found) > 50
    expected = dict(zip(zip(owner.tolist(), ours.satellite.tolist(), strict=True), ours.slant_m, strict=True))
    assert set(found) == set(expected)
    assert [found[k] for k in expected] == pytest.approx(list(expected.values()), abs=1e-3)


def test_scipy_and_networkx_find_our_latencies(shell, track):
    links, sources = steps.mesh_links(shell, track.fixed_m[0]), [0, 37]
    graph = routing.mesh(100, links, order=routing.mesh_order(shell, 0))
    ours = routing.fields(graph, np.array(sources)).latency_s
    assert peers.scipy_fields(links, 100, sources)() == pytest.approx(ours, rel=1e-5)
    theirs = peers.networkx_fields(links, sources)()
    for k, found in enumerate(theirs):
        assert [found.get(n, np.inf) for n in range(100)] == pytest.approx(ours[k].tolist(), rel=1e-5)


def test_the_linear_programme_carries_at_least_what_fairness_leaves():
    rng = np.random.default_rng(3)
    start, link = np.arange(201) * 4, rng.integers(0, 100, 800)
    demand, capacity = rng.exponential(1e9, 200), rng.uniform(1e9, 1e10, 100)
    most = peers.path_lp(demand, start, link, capacity)() * 1e9
    fair = flows.fair(demand, start, link, capacity)
    assert (most <= demand + 1.0).all()
    assert (flows.loads(most, start, link, 100) <= capacity + 10.0).all()
    assert fair.sum() <= most.sum() * (1 + 1e-9)


def test_rows_hold_medians_spreads_targets_and_peers():
    made = timing.row("work", "size", "ms", [0.003, 0.001, 0.002], 1e3, 2.5, {"other": 7.0})
    assert made == {
        "name": "work", "size": "size", "unit": "ms", "value": 2.0, "spread": [1.0, 3.0], "target": 2.5, "peers": {"other": 7.0},
    }  # fmt: skip
    assert json.loads(results.dumps({"rows": [made]}))["rows"] == [made]


def test_peers_that_are_not_installed_are_left_out_and_named(monkeypatch, capsys):
    monkeypatch.setattr(peers, "find_spec", lambda name: None if name in peers.PACKAGES else object())
    assert peers.missing() == ["brahe", "heyoka", "networkx", "simpy", "skyfield"]
    row = bench._eclipse(1)
    assert set(row["peers"]) == {"numpy"}
    terminal.bench({"runs": 1, "machine": "m", "missing": peers.missing(), "rows": [row]})
    out = " ".join(capsys.readouterr().out.split())
    assert "not installed: brahe, heyoka, networkx, simpy, skyfield" in out
    assert "pip install 'aether-fabric[bench]'" in out
