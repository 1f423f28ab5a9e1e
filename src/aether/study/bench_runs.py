"""Whole runs, timed: tables on disk, ticks of the engine, a day of a large network, the command itself."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aether.engine.run import simulate
from aether.results.sinks import Files
from aether.scenario.load import load
from aether.study import bench_steps as steps
from aether.study.timing import Row, once, row, times

DAY_STEPS, QUICK_STEPS = 1_440, 24


def tables(quick: bool) -> list[Row]:
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
        row("tables to Parquet", what, "s", [taken], 1.0, peers={peer: plain_s}),
        row("tables on disk", what, "MB", [float(size[0])], 1e-6, peers={peer: size[1] * 1e-6}),
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


def ticks(quick: bool) -> list[Row]:
    """A tick of the default scenario, all stages, for one and two threads."""
    hours = 1 if quick else 6
    scenario = load("project-aether", {"duration": f"{hours} h"})
    simulate(load("project-aether", {"duration": "5 min"}))
    rows = []
    for threads in (1, 2):
        taken = [once(lambda threads=threads: simulate(scenario, threads=threads))]  # type: ignore[misc]
        what = f"project-aether, {hours} h, {_threads(threads)}"
        rows.append(row("whole tick", what, "ms/tick", taken, 1e3 / scenario.clock.ticks))
    return rows


def day(quick: bool, usual_s: Mapping[str, float]) -> list[Row]:
    """1,440 network steps of `bench_steps.ten_thousand`, shared out among threads; `usual_s`: what peers take for one."""
    count, rows = QUICK_STEPS if quick else DAY_STEPS, []
    name = "simulated day of 10,000 satellites, 96 ships, 5,000 cells at 60 s"
    beside = {f"{peer}, from one step": DAY_STEPS * seconds for peer, seconds in usual_s.items()}
    for threads, target in ((1, 12.0), (2, 7.0)):
        each = [steps.ten_thousand() for _ in range(threads)]
        for step in each:
            step()
        taken = [once(lambda each=each: _through(each, count)) for _ in range(3 if quick else 1)]  # type: ignore[misc]
        shown = f"{DAY_STEPS:,} network steps" + (f", from {count}" if quick else "")
        what = f"{shown}, {_threads(threads)}"
        rows.append(row(name, what, "s", taken, DAY_STEPS / count, target, beside if threads == 1 else {}))
    return rows


def _threads(count: int) -> str:
    return f"{count} thread{'s' if count > 1 else ''}"


def _through(each: list[Callable[[], Any]], count: int) -> None:
    """Steps of a day, a part of them by each thread."""

    def part(step: Callable[[], Any]) -> None:
        for _ in range(count // len(each)):
            step()

    with ThreadPoolExecutor(len(each)) as pool:
        list(pool.map(part, each))


def commands(quick: bool) -> list[Row]:
    """The command as a process of its own, kernels compiled already: from its start to its end."""
    hour = ("run", "project-aether", "--set", "duration=1 h")
    wanted: list[tuple[str, str, tuple[str, ...], float]] = [
        ("aether --help", "the process", ("--help",), 0.25),
        ("aether run", "project-aether, 1 h, with report", hour, 5.0),
        ("aether run --no-report", "project-aether, 1 h", (*hour, "--no-report"), 3.0),
    ]
    if not quick:
        wanted.append(("aether run", "project-aether, its day, with report", ("run", "project-aether"), 15.0))
    rows = []
    for name, what, arguments, target in wanted:
        with tempfile.TemporaryDirectory() as folder:
            work = _process(arguments, folder)
            taken = [once(work)] if quick or target > 5.0 else times(work, 3)
        rows.append(row(name, what, "s", taken, 1.0, target))
    return rows


def _process(arguments: tuple[str, ...], folder: str) -> Callable[[], Any]:
    """Run the command in a folder of its own."""
    line = [sys.executable, "-m", "aether", *arguments]
    return lambda: subprocess.run(line, cwd=folder, stdout=subprocess.DEVNULL, check=True)
