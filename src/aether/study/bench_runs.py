"""Whole runs, timed: tables on disk, ticks of the engine, a day of a large network, the command itself."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from aether.engine.run import simulate
from aether.results.sinks import Files
from aether.scenario.load import load
from aether.study import bench_steps as steps
from aether.study.timing import Row, once, row, times

DAY_STEPS, QUICK_STEPS = 1_440, 24


class _Twice:
    """A sink that writes the energy of every ship, and its chips' temperature, as we do and as pyarrow does by default."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.files, self.taken_s, self.plain_s = folder, Files(folder), 0.0, 0.0
        self._plain: pq.ParquetWriter | None = None
        self._energy: pa.Table | None = None

    def add(self, name: str, table: pa.Table) -> None:
        """Energy waits for the heat of the same window."""
        if name == "energy":
            self._energy = table
        if name != "heat" or self._energy is None:
            return
        piece = self._energy.append_column("chip_k", table["chip_k"])
        self._plain = self._plain or pq.ParquetWriter(self.folder / "plain", piece.schema)
        self.taken_s += once(lambda: self.files.add("ships", piece))
        self.plain_s += once(lambda: self._plain.write_table(piece) if self._plain else None)

    def tables(self) -> Mapping[str, pa.Table]:
        """Whole files, and what they took."""
        self.taken_s += once(self.files.tables)
        if self._plain is not None:
            self.plain_s += once(self._plain.close)
        return {}


def tables(quick: bool) -> list[Row]:
    """A table of a large fleet as a run makes it, written window by window, and its size on disk."""
    minutes = 40 if quick else 1440
    small = {"ground.cities.largest": 0, "ground.coverage_cells": 0, "probes": [], "outputs.ablation": False}
    scenario = load("ai1-ring", {"ships.0.count": 10_000, "duration": f"{minutes} min", **small})
    with tempfile.TemporaryDirectory() as folder:
        sink = _Twice(Path(folder))
        simulate(scenario, sink=sink)
        size, plain = (float((Path(folder) / name).stat().st_size) for name in ("ships.parquet", "plain"))
    day, peer = 1440 / minutes, "pyarrow's defaults"
    what = "10,000 satellites x 12 columns x 1,440 ticks" + (f", from {minutes}" if quick else "")
    return [
        row("tables to Parquet", what, "s", [sink.taken_s * day], 1.0, 3.0, {peer: sink.plain_s * day}),
        row("tables on disk", what, "GB", [size * day], 1e-9, 0.35, {peer: plain * day * 1e-9}),
    ]


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
        taken = [once(lambda each=each: _through(each, count)) for _ in range(3 if quick else 1)]  # type: ignore[misc]
        shown = f"{DAY_STEPS:,} network steps" + (f", from {count}" if quick else "")
        what = f"{shown}, {_threads(threads)}"
        rows.append(row(name, what, "s", taken, DAY_STEPS / count, target, beside if threads == 1 else {}))
    return rows


def _threads(count: int) -> str:
    return f"{count} thread{'s' if count > 1 else ''}"


def _through(each: list[Callable[[float], Any]], count: int) -> None:
    """The steps of a day, a part of it by each thread."""

    def part(thread: int) -> None:
        for k in range(count * thread // len(each), count * (thread + 1) // len(each)):
            each[thread](60.0 * k)

    with ThreadPoolExecutor(len(each)) as pool:
        list(pool.map(part, range(len(each))))


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
            taken = [once(work)] if target > 5.0 else times(work, 1 if quick else 3)
        rows.append(row(name, what, "s", taken, 1.0, target))
    return rows


def _process(arguments: tuple[str, ...], folder: str) -> Callable[[], Any]:
    """Run the command in a folder of its own."""
    line = [sys.executable, "-m", "aether", *arguments]
    return lambda: subprocess.run(line, cwd=folder, stdout=subprocess.DEVNULL, check=True)
