"""Time the hot paths beside what else does the same work: medians, per item, on this machine."""

from __future__ import annotations

import itertools
import platform
from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np
from sgp4.api import Satrec

from aether.base.clock import J2000_DAYS
from aether.base.tables import Elements, Floats, Links, Snapshot
from aether.network import access, flows, routing, topology
from aether.placement import plan
from aether.placement.policy import policies
from aether.space import ground, motion, sun
from aether.study import bench_money as money
from aether.study import bench_peers as peers
from aether.study import bench_requests as requests
from aether.study import bench_runs as whole
from aether.study import bench_steps as steps
from aether.study.timing import Row, row, times

TICKS = 60  # of a window
FEW = 100  # satellites or sources for peers whose cost per item does not depend on how many there are


def measure(quick: bool = False) -> dict[str, Any]:
    """Every row: name, size, unit, value, spread (least, most), target, peers where one is installed."""
    runs = 3 if quick else 9
    commands = whole.commands(quick)  # first: processes that start beside what all else has left take a tenth longer
    rows = [
        *_propagation(runs),
        _eclipse(runs),
        _visibility(runs),
        *_fields(runs),
        _flows(runs),
        _placement(runs),
        _plan(runs),
        *requests.rows(runs, quick),
        *money.rows(runs, quick),
        *_steps(runs, quick),
        *whole.tables(quick),
        *whole.ticks(quick),
        *commands,
    ]
    processor = platform.processor() or platform.machine()
    return {
        "machine": f"{processor}, Python {platform.python_version()}, {platform.system()}",
        "runs": runs,
        "missing": peers.missing(),
        "rows": rows,
    }


def _beside(scale: float, runs: int, **works: tuple[str, Callable[[], peers.Work]]) -> dict[str, float]:
    """Medians of peers by name, each made and timed where its package is installed: package=(name, what makes the work)."""
    found = {}
    for package, (name, make) in works.items():
        if peers.installed(package):
            found[name] = median(times(make(), runs)) * scale
    return found


def _propagation(runs: int) -> list[Row]:
    shell, time_s = steps.shell(100, 100), np.arange(TICKS) * np.float64(60.0)
    records, per = peers.satrecs(shell), 1e9 / (TICKS * 10_000)
    array = _beside(per, runs, sgp4=("python-sgp4 array", lambda: peers.sgp4_array(records, time_s)))
    batch = _beside(per, runs, heyoka=("heyoka sgp4", lambda: peers.heyoka_batch(records, time_s)))
    turned = _skyfield(records, time_s, runs)
    ready, size = motion.prepare(shell), f"10,000 satellites x {TICKS} ticks"
    full = times(lambda: motion.propagate(ready, time_s, J2000_DAYS), runs)
    rows = [row("propagate with velocity", size, "ns/satellite-step", full, per, None, array | batch)]
    wanted: tuple[tuple[motion.Theory, float, int, dict[str, float]], ...] = (
        ("j2", 3.0, 100, array | turned),
        ("j2", 3.0, 1000, array | turned),
        ("sgp4", 5.0, 100, array | turned | batch),
    )
    for theory, most, planes, beside in wanted:
        taken = times(_positions(steps.shell(planes, 100), time_s, theory), runs)
        what, each = f"{planes * 100:,} satellites x {TICKS} ticks", 1e9 / (planes * 100 * TICKS)
        rows.append(row(f"propagate to Earth-fixed, {theory}", what, "ns/satellite-step", taken, each, most, beside))
    return rows


def _skyfield(records: list[Satrec], time_s: Floats, runs: int) -> dict[str, float]:
    few = records[:FEW]
    return _beside(1e9 / (TICKS * FEW), runs, skyfield=("skyfield", lambda: peers.skyfield_loop(few, time_s)))


def _positions(shell: Elements, time_s: Floats, theory: motion.Theory) -> Callable[[], Any]:
    """Positions through a window into memory that is there already."""
    ready, out = motion.prepare(shell), np.empty((len(time_s), len(shell.epoch_s), 3))
    return lambda: motion.positions(ready, time_s, J2000_DAYS, theory=theory, out=out)


def _eclipse(runs: int) -> Row:
    track = motion.propagate(steps.shell(20, 50), np.arange(TICKS) * np.float64(60.0), J2000_DAYS)
    place_m, sun_m, per = track.inertial_m, sun.position(J2000_DAYS + track.time_s / 86400.0), 1e9 / (TICKS * 1_000)
    beside = _beside(
        per, runs,
        numpy=("numpy", lambda: peers.numpy_eclipse(place_m, sun_m)),
        brahe=("brahe", lambda: peers.brahe_loop(place_m, sun_m)),
    )  # fmt: skip
    taken = times(lambda: sun.lit(place_m, sun_m), runs)
    return row("conical eclipse", f"1,000 satellites x {TICKS} ticks", "ns/satellite-step", taken, per, 1.5, beside)


def _visibility(runs: int) -> Row:
    place_m = motion.positions(motion.prepare(steps.shell(100, 100)), np.zeros(1), J2000_DAYS)[0]
    at, cells_m = access.cells(5_000), steps.cells(5_000)
    seen = peers.tree_visibility(*at, cells_m, steps.LOWEST_RAD)
    beside = _beside(1e3, runs, scipy=("scipy cKDTree", lambda: lambda: seen(place_m)))
    taken = times(lambda: ground.visible(cells_m, place_m, steps.LOWEST_RAD), runs)
    return row("visibility", "5,000 cells x 10,000 satellites", "ms", taken, 1e3, 3.0, beside)


def _fields(runs: int) -> list[Row]:
    rows, shell, sources = [], steps.shell(100, 100), np.arange(96) * 104
    place_m = motion.positions(motion.prepare(shell), np.zeros(1), J2000_DAYS)[0]
    intact = steps.mesh_links(shell, place_m)
    broken = replace(intact, alive=intact.alive * (np.random.default_rng(1).random(len(intact.a)) >= 0.02))
    for name, links, most in (("2 % of links dead", broken, 30.0), ("intact shell", intact, 6.0)):
        graph = routing.mesh(len(place_m), links, order=routing.mesh_order(shell, 0))
        taken = times(_flood(graph, sources), runs)
        beside = _field_peers(links, len(place_m), sources)
        what = "96 sources, 10,000 nodes"
        rows.append(row(f"latency fields, {name}", what, "us/source", taken, 1e6 / 96, most, beside))
    return rows


def _flood(graph: routing.Mesh, sources: Any) -> Callable[[], Any]:
    out = np.empty((len(sources), graph.order.size), np.float32)  # kept between ticks, as for positions
    return lambda: routing.fields(graph, sources, out)


def _field_peers(links: Links, nodes: int, sources: Any) -> dict[str, float]:
    """Microseconds a source, from eight sources by scipy and two by networkx: each is a search of its own."""
    return _beside(
        1e6 / 8, 3, scipy=("scipy Dijkstra", lambda: peers.scipy_fields(links, nodes, sources[:8]))
    ) | _beside(1e6 / 2, 1, networkx=("networkx", lambda: peers.networkx_fields(links, sources[:2])))


def _flows(runs: int) -> Row:
    rng = np.random.default_rng(1)
    start, link = np.arange(10_001) * 10, rng.integers(0, 10_000, 100_000)
    demand, capacity = rng.exponential(1e9, 10_000), rng.uniform(1e9, 1e10, 10_000)
    beside = _beside(1e3, 1, scipy=("HiGHS path LP (throughput)", lambda: peers.path_lp(demand, start, link, capacity)))
    taken = times(lambda: flows.fair(demand, start, link, capacity), runs)
    return row("max-min fair flows", "10,000 demands of 10 hops, 10,000 links", "ms", taken, 1e3, 5.0, beside)


def _placement(runs: int) -> Row:
    rng, places, hosts = np.random.default_rng(1), 5_000, 100
    snapshot = Snapshot(
        time_s=0.0, step_s=60.0, ships=96, requests=rng.poisson(500.0, (1, places)).astype(float), free_gpu_s=np.full(hosts, 2e4),
        need_gpu_s=np.ones((1, hosts)), allowed=np.ones((1, hosts), dtype=np.bool_),
        round_trip_s=rng.uniform(0.02, 0.3, (places, hosts)).astype(np.float32), limit_s=np.array([1.0]), value_usd=np.array([0.01]),
        late_worth=0.5, energy_usd=np.zeros((1, hosts)), carbon_usd=np.zeros((1, hosts)),
        light_s=np.full(hosts, np.inf), charge_share=np.ones(hosts), contact_s=np.full(hosts, np.inf),
        cache_share=np.zeros(hosts), installed_gpu=np.full(hosts, 2e4 / 60.0), ahead_s=900.0,
        weights=(1.0,) + (0.0,) * 8, job_gpu=np.zeros((0, hosts)), job_value_usd=np.zeros(0),
    )  # fmt: skip
    taken = times(lambda: policies["value"](snapshot), runs)
    return row("placement by value", "5,000 places x 100 hosts, overloaded", "ms", taken, 1e3)


def _plan(runs: int) -> Row:
    asked = jobs()
    what = "500 jobs x 100 ships x 96 slots, overloaded"
    return row("greedy plan of jobs", what, "ms", times(lambda: plan.greedy(asked), runs), 1e3, 20.0)


def jobs() -> plan.Problem:
    """500 jobs, services and streams, a fifth in gangs, that ask for 1.3 times what 100 ships of 72 GPUs have left by eclipse."""
    rng, count, ships, slots = np.random.default_rng(1), 500, 100, 96
    dark = (np.arange(slots) + rng.integers(0, 6, (ships, 1))) % 6 < 2
    gpus, release = rng.choice([8, 16, 32, 64], count), rng.integers(0, slots // 2, count)
    members = np.where(rng.random(count) < 0.2, rng.integers(2, 5, count), 1)
    deadline = np.minimum(release + rng.integers(16, 64, count), slots)
    partial = rng.random(count) < 0.2
    work = np.where(partial, deadline - release, np.ceil(0.8 * (deadline - release)).astype(int))
    none, bits = np.zeros(count), np.full(count, 64e9)
    asked = plan.Jobs(
        tuple(f"job {n}" for n in range(count)), gpus, members, work, release, deadline, gpus * members * work * rng.uniform(0.1, 0.8, count), gpus * 20e9,
        bits, bits, none, np.full(count, np.inf), none.astype(np.int64), partial | (rng.random(count) < 0.6), partial, rng.random((count, ships)) < 0.9,
    )  # fmt: skip
    return plan.Problem(
        900.0, tuple(f"ship {h}" for h in range(ships)), np.where(dark, 28.8, 72.0), np.full(ships, 72 * 288e9), np.full((ships, slots), 9e12),
        rng.uniform(0.01, 0.05, (ships, slots)), np.zeros((ships, slots)), 0.0, np.full((1, ships, slots), 0.05, np.float32), asked,
    )  # fmt: skip


def _steps(runs: int, quick: bool) -> list[Row]:
    what, usual = "1,584 satellites, +Grid, 100 cities, all pairs", common_peer()
    beside = _beside(1e3, 3, scipy=("sgp4, numpy and scipy", lambda: usual))
    first = row("W1, whole step", what, "ms", times(steps.common_work(), runs), 1e3, 2.0, beside)
    what, usual_s = "10,000 satellites, 96 ships, 5,000 cells", large_peers()
    beside = {name: 1e3 * seconds for name, seconds in usual_s.items()}
    second = row("network step", what, "ms", times(_minutes(steps.ten_thousand()), runs), 1e3, 6.0, beside)
    what = "1,000,000 satellites, 1,000 ships, 5,000 cells, 10 sources"
    third = row("network step", what, "s", times(_minutes(steps.million()), 3), 1.0, 1.0)
    return [first, second, *whole.day(quick, usual_s), third]


def _minutes(step: Callable[[float], Any]) -> Callable[[], Any]:
    """The step of the next minute at every call."""
    minute = itertools.count(1)
    return lambda: step(60.0 * next(minute))


def common_peer() -> peers.Work:
    """W1 by sgp4, numpy and scipy, on the shell and cities of `bench_steps.common_work`."""
    shell = steps.shell(72, 22)
    place_m = motion.positions(motion.prepare(shell), np.zeros(1), J2000_DAYS)[0]
    pairs = topology.plus_grid(shell, place_m, steps.LINK_M)
    return peers.common_step(shell, pairs, steps.cells(100), access.cells(100), steps.LOWEST_RAD)


def large_links() -> Callable[[], Links]:
    """All but the fields of the step of `bench_steps.ten_thousand`, by sgp4, numpy and scipy."""
    relays, ships = steps.shell(100, 100), steps.large_ships()
    place_m = motion.positions(motion.prepare(relays), np.zeros(1), J2000_DAYS)[0]
    sun_m = sun.position(J2000_DAYS + np.array([60.0]) / 86400.0)
    seen = peers.tree_visibility(*access.cells(5_000), steps.cells(5_000), steps.LOWEST_RAD)
    return peers.large_step(relays, ships, topology.plus_grid(relays, place_m, steps.LINK_M), sun_m, seen, steps.LINK_M)


def large_peers() -> dict[str, float]:
    """Seconds of that step: what recurs, and 96 times the median of a few sources, each of which is a search of its own."""
    before = large_links()
    links = before()
    field = _field_peers(links, 10_096, 10_000 + np.arange(96))
    searches = {name: 96e-6 * each for name, each in field.items()}
    common, made = median(times(before, 3)), {}
    if "scipy Dijkstra" in searches:
        made["sgp4, numpy and scipy"] = common + searches["scipy Dijkstra"]
    if "networkx" in searches:
        graph = median(times(lambda: peers.network(links.a, links.b, links.range_m), 3))
        made["networkx, from 2 sources"] = common + graph + searches["networkx"]
    return made
