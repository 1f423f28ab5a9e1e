"""Compile every kernel ahead, so that the first run is as quick as the next."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from aether.base import cache
from aether.engine.run import Progress, simulate
from aether.scenario.load import examples, load

SHORT = {"duration": "2 min", "step": "60 s", "outputs.ablation": False}  # two ticks reach every kernel of a scenario


def warm(progress: Progress | None = None) -> dict[str, Any]:
    """Run two ticks of every packaged scenario; returns the folder, its files and bytes, and the seconds it took."""
    told, names, begun = progress or (lambda *_: None), list(examples()), time.perf_counter()
    for i, name in enumerate(names):
        told("compiling", i, len(names), name)
        simulate(load(name, SHORT))
    told("compiling", len(names), len(names), "")
    folder = Path(os.environ[cache.VARIABLE])
    files = [f for f in folder.rglob("*") if f.is_file()]
    return {
        "folder": str(folder),
        "files": len(files),
        "bytes": sum(f.stat().st_size for f in files),
        "seconds": time.perf_counter() - begun,
    }
