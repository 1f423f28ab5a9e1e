"""Time the hot paths: nanoseconds per item, medians, on this machine."""

from __future__ import annotations

import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree
from sgp4.api import WGS72, Satrec, SatrecArray

from aether.base.clock import J2000_DAYS
from aether.base.tables import Elements, Floats, Snapshot
from aether.engine.run import simulate
from aether.network import flows, routing
from aether.placement.policy import policies
from aether.results.sinks import Files
from aether.scenario.load import load
from aether.space import ground, motion, sun
from aether.study import bench_steps as steps

TICKS = 60  # of a window


def measure(quick: bool = False) -> dict[str, Any]:
    """Every row: name, size, unit, value, spread (least, most), peers where one is installed."""
    runs = 3 if quick else 9
    rows = [
        *_propagation(runs),
        _eclipse(runs),
        _visibility(runs),
        *_fields(runs),
        _flows(runs),
        _placement(runs),
        *_steps(runs),
        *_tables(quick),
        *_whole(quick),
    ]
    machine = {
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "system": platform.system(),
    }
    return {
        "machine": f"{machine['processor']}, Python {machine['python']}, {machine['system']}",
        "runs": runs,
        "rows": rows,
    }


def _times(work: Callable[[], Any], runs: int) -> list[float]:
    work()
    taken = []
    for _ in range(runs):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return taken


def _row(
    name: str, size: str, unit: str, taken: list[float], scale: float, target: float | None = None, **peers: float
) -> dict[str, Any]:
    values = [t * scale for t in taken]
    return {
        "name": name,
        "size": size,
        "unit": unit,
        "value": median(values),
        "spread": [min(values), max(values)],
        "target": target,
        "peers": peers,
    }


def _propagation(runs: int) -> list[dict[str, Any]]:
    shell, times = steps.shell(100, 100), np.arange(TICKS) * np.float64(60.0)
    ready, items = motion.prepare(shell), TICKS * 10_000
    full = _times(lambda: motion.propagate(ready, times, J2000_DAYS), runs)
    records = [Satrec() for _ in range(1_000)]
    for i, record in enumerate(records):
        record.sgp4init(
            WGS72, "i", i, J2000_DAYS - 2433281.5, 0.0, 0.0, 0.0, shell.eccentricity[i], shell.perigee_rad[i], shell.inclination_rad[i],
            shell.mean_anomaly_rad[i], shell.mean_motion_rad_s[i] * 60.0, shell.node_rad[i],
        )  # fmt: skip
    array, days = SatrecArray(records), np.full(TICKS, J2000_DAYS)
    peer = median(_times(lambda: array.sgp4(days, times / 86400.0), runs)) / (TICKS * 1_000) * 1e9
    size, beside = f"10,000 satellites x {TICKS} ticks", {"python-sgp4 array": peer}
    rows = [_row("propagate with velocity", size, "ns/satellite-step", full, 1e9 / items, None, **beside)]
    wanted: tuple[tuple[motion.Theory, float, int], ...] = (("j2", 3.0, 100), ("j2", 3.0, 1000), ("sgp4", 5.0, 100))
    for theory, most, planes in wanted:
        taken = _times(_positions(steps.shell(planes, 100), times, theory), runs)
        what, per = f"{planes * 100:,} satellites x {TICKS} ticks", 1e9 / (planes * 100 * TICKS)
        rows.append(_row(f"propagate to Earth-fixed, {theory}", what, "ns/satellite-step", taken, per, most, **beside))
    return rows


def _positions(shell: Elements, times: Floats, theory: motion.Theory) -> Callable[[], Any]:
    """Positions through a window into memory that is there already."""
    ready, out = motion.prepare(shell), np.empty((len(times), len(shell.epoch_s), 3))
    return lambda: motion.positions(ready, times, J2000_DAYS, theory=theory, out=out)


def _eclipse(runs: int) -> dict[str, Any]:
    track = motion.propagate(steps.shell(20, 50), np.arange(TICKS) * np.float64(60.0), J2000_DAYS)
    sun_m = sun.position(J2000_DAYS + track.time_s / 86400.0)
    taken = _times(lambda: sun.lit(track.inertial_m, sun_m), runs)
    return _row(
        "conical eclipse", f"1,000 satellites x {TICKS} ticks", "ns/satellite-step", taken, 1e9 / (TICKS * 1_000), 1.5
    )


def _visibility(runs: int) -> dict[str, Any]:
    place = motion.propagate(steps.shell(100, 100), np.zeros(1), J2000_DAYS, inertial=False).fixed_m[0]
    index = np.arange(5_000)
    cells = ground.place(
        np.arcsin(1.0 - (2.0 * index + 1.0) / 5_000), np.mod(2.399963 * index, 6.283185), np.zeros(5_000)
    )
    taken = _times(lambda: ground.visible(cells, place, np.radians(25.0)), runs)
    tree = median(_times(lambda: cKDTree(place).query_ball_point(cells, 1.2e6), runs)) * 1e3
    return _row("visibility", "5,000 cells x 10,000 satellites", "ms", taken, 1e3, 3.0, **{"scipy cKDTree": tree})


def _fields(runs: int) -> list[dict[str, Any]]:
    rows, shell, sources = [], steps.shell(100, 100), np.arange(96) * 104
    place = motion.positions(motion.prepare(shell), np.zeros(1), J2000_DAYS)[0]
    whole = steps.mesh_links(shell, place)
    alive = np.random.default_rng(1).random(len(whole.a)) >= 0.02
    for name, links, most in (
        ("2 % of links dead", replace(whole, alive=whole.alive * alive), 30.0),
        ("intact shell", whole, 6.0),
    ):
        graph = routing.mesh(len(place), links, order=routing.mesh_order(shell, 0))
        taken = _times(lambda graph=graph: routing.fields(graph, sources), runs)  # type: ignore[misc]
        up = links.alive > 0
        sparse = coo_matrix((links.range_m[up], (links.a[up], links.b[up])), shape=(len(place), len(place))).tocsr()
        peer = median(_times(lambda sparse=sparse: dijkstra(sparse, directed=False, indices=sources[:8]), 3)) / 8 * 1e6  # type: ignore[misc]
        rows.append(
            _row(
                f"latency fields, {name}",
                "96 sources, 10,000 nodes",
                "us/source",
                taken,
                1e6 / 96,
                most,
                **{"scipy Dijkstra": peer},
            )
        )
    return rows


def _flows(runs: int) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    start, link = np.arange(10_001) * 10, rng.integers(0, 10_000, 100_000)
    demand, capacity = rng.exponential(1e9, 10_000), rng.uniform(1e9, 1e10, 10_000)
    taken = _times(lambda: flows.fair(demand, start, link, capacity), runs)
    return _row("max-min fair flows", "10,000 demands of 10 hops, 10,000 links", "ms", taken, 1e3, 5.0)


def _steps(runs: int) -> list[dict[str, Any]]:
    ours, usual = steps.common_work()
    peer = median(_times(usual, 3)) * 1e3
    size = "1,584 satellites, +Grid, 100 cities, all pairs"
    first = _row("W1, whole step", size, "ms", _times(ours, runs), 1e3, 2.0, **{"numpy and scipy": peer})
    second = _row(
        "network step", "10,000 satellites, 96 ships, 5,000 cells", "ms", _times(steps.ten_thousand(), runs), 1e3, 6.0
    )
    third = _row(
        "network step", "1,000,000 satellites, 5,000 cells, 10 sources", "s", _times(steps.million(), 3), 1.0, 1.0
    )
    return [first, second, third]


def _placement(runs: int) -> dict[str, Any]:
    rng, places, hosts = np.random.default_rng(1), 5_000, 100
    snapshot = Snapshot(
        time_s=0.0, step_s=60.0, ships=96, requests=rng.poisson(500.0, (1, places)).astype(float), free_gpu_s=np.full(hosts, 2e4),
        need_gpu_s=np.ones((1, hosts)), allowed=np.ones((1, hosts), dtype=np.bool_),
        round_trip_s=rng.uniform(0.02, 0.3, (places, hosts)).astype(np.float32), limit_s=np.array([1.0]), value_usd=np.array([0.01]),
        late_worth=0.5, energy_usd=np.zeros((1, hosts)), job_gpu=np.zeros((0, hosts)), job_value_usd=np.zeros(0),
    )  # fmt: skip
    taken = _times(lambda: policies["value"](snapshot), runs)
    return _row("placement by value", "5,000 places x 100 hosts, overloaded", "ms", taken, 1e3)


def _tables(quick: bool) -> list[dict[str, Any]]:
    """A table of a large fleet written window by window, and its size on disk."""
    ships, ticks, window = 10_000, 240 if quick else 1440, 80
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        files, taken, plain_s = Files(path), 0.0, 0.0
        first = _piece(ships, 0, window)
        with pq.ParquetWriter(path / "plain", first.schema) as plain:
            for begin in range(0, ticks, window):
                piece = _piece(ships, begin, window)
                begun = time.perf_counter()
                files.add("table", piece)
                middle = time.perf_counter()
                plain.write_table(piece)
                taken, plain_s = taken + middle - begun, plain_s + time.perf_counter() - middle
        begun = time.perf_counter()
        files.tables()
        taken += time.perf_counter() - begun
        size = [(path / name).stat().st_size for name in ("table.parquet", "plain")]
    what, peer = f"10,000 satellites x 12 columns x {ticks} ticks", "pyarrow's defaults"
    return [
        _row("tables to Parquet", what, "s", [taken], 1.0, **{peer: plain_s}),
        _row("tables on disk", what, "MB", [float(size[0])], 1e-6, **{peer: size[1] * 1e-6}),
    ]


def _piece(ships: int, first: int, ticks: int) -> pa.Table:
    """Columns that turn with the orbit as powers, temperatures and charges do, each ship at its own phase and scale."""
    time_s = (np.arange(first, first + ticks) + 0.5) * 60.0
    wave = np.cos(2.0 * np.pi * time_s[:, None] / 5_700.0 + 2.399963 * np.arange(ships))
    lit = np.clip(8.0 * wave + 4.0, 0.0, 1.0)
    own = np.random.default_rng(1).normal(1.0, 0.02, (12, ships))
    shapes = (1e3 * lit, 300.0 + 40.0 * wave, np.clip(0.7 + 0.4 * wave, 0.2, 1.0))
    columns = {f"c{n}": (own[n] * shapes[n % 3]).astype(np.float32).ravel() for n in range(12)}
    index = pa.array(np.tile(np.arange(ships, dtype=np.int32), ticks))
    names = pa.DictionaryArray.from_arrays(index, pa.array([f"ship {k}" for k in range(ships)]))
    return pa.table({"time_s": np.repeat(time_s, ships), "ship": names} | columns)


def _whole(quick: bool) -> list[dict[str, Any]]:
    hours = 1 if quick else 6
    scenario = load("project-aether", {"duration": f"{hours} h"})
    simulate(load("project-aether", {"duration": "5 min"}))
    rows = []
    for threads in (1, 2):
        begun = time.perf_counter()
        simulate(scenario, threads=threads)
        taken = [time.perf_counter() - begun]
        rows.append(
            _row(
                "whole tick",
                f"project-aether, {hours} h, {threads} threads",
                "ms/tick",
                taken,
                1e3 / scenario.clock.ticks,
            )
        )
    return rows
