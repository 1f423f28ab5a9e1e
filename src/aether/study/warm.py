"""Compile every kernel ahead, so that the first run is as quick as the next."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from aether.base import cache
from aether.base.clock import J2000_DAYS
from aether.base.tables import Links
from aether.engine.lifetime import lifetime
from aether.engine.run import Progress, simulate
from aether.network import routing
from aether.network.lanes import WIDTH
from aether.placement.search import search
from aether.scenario.load import examples, load
from aether.space import motion, orbits
from aether.study import models as _models  # noqa: F401 - registers the models
from aether.study.bench import jobs
from aether.study.bench_requests import mix
from aether.study.exports import FORMATS, export
from aether.study.validation import validate

SHORT = {"duration": "2 min", "step": "60 s", "outputs.ablation": False}  # two ticks reach every kernel of a scenario
LARGE = ("million",)  # needs no kernel that smaller ones do not
FITTED: dict[str, dict[str, Any]] = {  # what would begin or end after so short a run
    "batch-queue": {"jobs": [{"name": "short", "gpus": 1, "time": "60 s"}]},
    "lost-and-found": {"events": []},
}
YEARS = {"lifetime.draws": 1, "lifetime.years": 1}
EXPORTED = "ai1-ring"  # relays and ships, and two places on the ground


def warm(progress: Progress | None = None) -> dict[str, Any]:
    """Run two ticks of every packaged scenario that is not large, write one in every format, and call what is left.

    Returns the folder, its files and bytes, and the seconds it took.
    """
    told, begun = progress or (lambda *_: None), time.perf_counter()
    names = [name for name in examples() if name not in LARGE]
    total = len(names) + len(FORMATS) + 1
    for i, name in enumerate(names):
        told("compiling", i, total, name)
        simulate(load(name, SHORT | FITTED.get(name, {})))
    for i, form in enumerate(FORMATS):
        told("compiling", len(names) + i, total, form)
        with tempfile.TemporaryDirectory() as folder:
            export(load(EXPORTED, SHORT), form, Path(folder) / form)
    told("compiling", total - 1, total, "meshes of any size")
    _meshes()
    mix(1, 1).serve()
    search(jobs(), rounds=1)
    lifetime(load(EXPORTED, YEARS))
    validate()
    told("compiling", total, total, "")
    kept = Path(os.environ[cache.VARIABLE])
    files = [f for f in kept.rglob("*") if f.is_file()]
    return {
        "folder": str(kept),
        "files": len(files),
        "bytes": sum(f.stat().st_size for f in files),
        "seconds": time.perf_counter() - begun,
    }


def _meshes() -> None:
    """What the size of a scenario decides: latencies of few and of many sources at a time, and motion on circles."""
    relays = orbits.walker(2, 2, 550e3, 1.0)
    motion.positions(motion.prepare(relays), np.zeros(1), J2000_DAYS, theory="j2")
    a = np.arange(4)
    ring = Links(a, (a + 1) % 4, np.full(4, 1e6), np.ones(4), np.ones(4))
    for lanes in range(WIDTH, WIDTH * routing.MOST + 1, WIDTH):
        routing.fields(routing.mesh(4, ring), np.arange(lanes) % 4)
