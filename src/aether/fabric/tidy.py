"""What nobody needs any more is removed: files of jobs that are over, output of jobs that are forgotten, old receipts."""

from __future__ import annotations

import contextlib
import logging
import shutil
import time
from pathlib import Path

from aether.fabric.blobs import Blobs
from aether.fabric.core.plane import Plane
from aether.fabric.core.state import State

log = logging.getLogger(__name__)
EVERY_S = 3600.0  # of the wall's clock between two looks
UNUSED_S = 86400.0  # of the wall's clock that an unused file stays: whoever uploaded it has a day to submit
RECEIPTS_S = 7 * 86400.0  # of the fabric's clock that a repeated request is known again


def tidy(plane: Plane, blobs: Blobs, folder: Path, unused_s: float = UNUSED_S) -> int:
    """Remove what has not been touched for a while and no job that may still run needs; how many things went."""
    with plane.lock:
        needed, known = _needed(plane.state), set(plane.state.jobs)
    gone, before = 0, time.time() - unused_s
    for digest in list(blobs):
        if digest not in needed and _touched(blobs.path(digest)) < before:
            for mark in (folder / "projects").glob(f"*/{digest[7:]}"):
                mark.unlink(missing_ok=True)
            blobs.remove(digest)
            gone += 1
    for output in (folder / "logs").glob("*"):
        if output.name not in known and _touched(output) < before:
            shutil.rmtree(output, ignore_errors=True)
            gone += 1
    gone += plane.store.forget_receipts(plane.clock.now() - RECEIPTS_S)
    return gone


def _needed(state: State) -> set[str]:
    """Blobs that jobs mount or go on from which may still run, and deployments, files and adapters."""
    live = [*state.waiting, *(name for jobs in state.at.values() for name in jobs)]
    made = {kept[0] for name in live for kept in state.jobs[name].checkpoints.values()}
    for batch in {state.jobs[name].batch for name in live}:
        task = state.tasks[batch]
        made |= {*task.file_mounts.values()} | ({task.workdir} if task.workdir else set())
    for served in state.served.values():
        server = served.deployment.task
        if server is not None and not served.gone:
            made |= {*server.file_mounts.values()} | ({server.workdir} if server.workdir else set())
    made |= {f.digest for f in state.files.values()}
    return made | {t.digest for t in state.tunings.values() if t.digest and not t.removed}


def _touched(path: Path) -> float:
    with contextlib.suppress(OSError):
        return path.stat().st_mtime
    return time.time()
