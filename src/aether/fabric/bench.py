"""The bench's fabric: a scheduling pass, submissions through the API of a real control process and its memory, the store."""

from __future__ import annotations

import itertools
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from aether.fabric import chaos, local
from aether.fabric.client import Client
from aether.fabric.core import control, events, schedule
from aether.fabric.core.state import State
from aether.fabric.gateway import bench as gateway
from aether.fabric.store import bench as store
from aether.fabric.task import Task
from aether.study.timing import Row, row, times

JOBS, HOSTS, BATCH = 10_000, 1_000, 1_000
PASS_MS, SUBMISSION_US, MEMORY_MB = 200.0, 1_000.0, 500.0  # targets


def rows(quick: bool = False, advance: Callable[[str, float, float, str], None] | None = None) -> list[Row]:
    """Rows of the bench. advance: told how far the longest of them is."""
    made = [_pass(3 if quick else 9), *_submissions(quick), *store.bench(quick), *gateway.rows(quick)]
    return made + chaos.rows(quick, advance)


def crowd(jobs: int = JOBS, hosts: int = HOSTS) -> State:
    """A state with so many waiting jobs of many kinds, and runtimes half full already."""
    draw = random.Random(1)
    facts = tuple(
        events.HostFacts(
            name=f"ship/{i}", group="ship", ship=i < hosts * 9 // 10, country="US", accelerator=("h100-sxm", "gb300-nvl72")[i % 2], gpus=72,
            cores_per_gpu=14.0, memory_gb_per_gpu=250.0, gpu_w=1000.0, energy_usd_j=0.0,
        )
        for i in range(hosts)
    )  # fmt: skip
    state, _ = control.step(State(), events.Opened(version="", scenario="", hosts=facts), 0.0)
    for f in facts:
        joined = events.RuntimeJoined(runtime=f.name, journal="0" * 32, public_key="", address="127.0.0.1", version="")
        state, _ = control.step(state, joined, 0.0)
    for i in itertools.count():
        asked = {
            "accelerators": {draw.choice(("h100", "gb300")): draw.choice((1, 2, 4, 8, 16, 36))},
            "use_spot": draw.random() < 0.5,
        }
        task = Task.model_validate(
            {"run": "true", "num_nodes": draw.choice((1, 1, 1, 2, 4)), "resources": asked, "orbit": {"priority": draw.randrange(1001)}}
        )  # fmt: skip
        state, _ = control.step(state, events.Submitted(job=f"j-{i}", project="p", task=task), float(i))
        if len(state.waiting) == jobs:
            made = schedule.plan(state)
            for event in made:
                state, _ = control.step(state, event, float(i))
            if len(state.waiting) == jobs or i > 3 * jobs:
                return state
    raise AssertionError  # the count has no end


def _pass(runs: int) -> Row:
    state = crowd()
    size = (
        f"{len(state.waiting):,} queued jobs x {HOSTS:,} runtimes, {sum(len(j) for j in state.at.values()):,} jobs run"
    )
    return row("scheduling pass", size, "ms", times(lambda: schedule.plan(state), runs), 1e3, PASS_MS)


def _submissions(quick: bool) -> list[Row]:
    """Durable submissions through the API, and what the control process then takes."""
    with tempfile.TemporaryDirectory() as there:
        up = local.up(
            Path(there), {"scenario": "ai1-ring", "ships": 1, "sites": 0, "port": local.free_port(), "gateway_port": 0}
        )
        try:
            with Client(*local.credentials(up.folder)) as client:
                client.cordon(client.ships().ships[0].name)
                tasks = [
                    Task.model_validate({"run": "true", "name": f"task-{i}", "envs": {"N": str(i)}})
                    for i in range(BATCH)
                ]
                taken = []
                for _ in range(3 if quick else JOBS // BATCH):
                    begun = time.perf_counter()
                    client.submit_many(tasks)
                    taken.append(time.perf_counter() - begun)
            memory = _resident_mb(up.pid)
        finally:
            local.down(up.folder)
    count = len(taken) * BATCH
    made = [row("submissions through the API", f"batches of {BATCH:,}", "us/job", taken, 1e6 / BATCH, SUBMISSION_US)]
    return made + ([row("control process", f"{count:,} queued jobs", "MB", [memory], 1.0, MEMORY_MB)] if memory else [])


def _resident_mb(pid: int) -> float:
    """Memory of a process, 0 where there is no /proc."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return float(next(line for line in text.splitlines() if line.startswith("VmRSS:")).split()[1]) / 1e3
