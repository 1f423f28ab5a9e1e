"""A job of torch.distributed over two ships: the Earth's shadow takes one, it resumes from its checkpoint elsewhere and ends."""

import re
import sys
import time
from pathlib import Path

import pytest

from aether.fabric import local
from aether.fabric.client import Client
from aether.fabric.task import Task
from live_fabric import free_port

pytest.importorskip("torch", reason="needs the extra [train]")
pytestmark = pytest.mark.soak
HERE = Path(__file__).parent
DATA = HERE.parent / "data"


@pytest.fixture
def client(tmp_path):
    folder = tmp_path / "fabric"
    given = {"scenario": str(DATA / "eclipse.yaml"), "speed": 60.0, "hosts": ("ship/0", "ship/1", "ship/2", "ship/3")}
    local.up(folder, given | {"port": free_port(), "gateway_port": 0})
    try:
        with Client(*local.credentials(folder)) as made:
            yield made
    finally:
        local.down(folder)


def test_an_eclipse_takes_a_gang_from_its_ships_and_it_trains_on_from_its_checkpoint(client):
    program = client.upload(HERE / "torch_job.py")
    task = Task.model_validate({
        "name": "gloo", "num_nodes": 2, "resources": {"accelerators": "gb300:40"}, "file_mounts": {"~/job.py": program},
        "envs": {"STEPS": "250", "STEP_S": "0.2", "OMP_NUM_THREADS": "1"}, "run": f"exec {sys.executable} ~/job.py",
        "orbit": {"checkpoint": "~/kept", "checkpoint_every": "1 s", "grace": "2 s", "where": ["ships"], "retries": 0},
    })  # fmt: skip
    (name,) = client.submit(task)
    begun_s, job = time.monotonic(), client.job(name)
    while job.status not in ("succeeded", "failed"):
        assert time.monotonic() - begun_s < 240.0, job
        time.sleep(0.5)
        job = client.job(name)
    text = "".join(piece.text for piece in client.logs(name))
    assert job.status == "succeeded", (job.reason, text[-3000:])
    assert job.preemptions >= 1
    assert job.failures == 0
    text = "".join(piece.text for piece in client.logs(name))
    begins = [int(n) for n in re.findall(r"rank 0 of 2 on \S+ begins at step (\d+)", text)]
    assert begins[0] == 0
    assert any(0 < n < 250 for n in begins[1:])
    assert begins == sorted(begins)
    assert "rank 0 done at step 250" in text
    reasons = [e.body["reason"] for e in client.audit(subject=name, kind="displaced")]
    assert any("power" in r for r in reasons), reasons
    rows = {r.accelerator: r.amounts for r in client.usage().rows}
    assert rows["gb300-nvl72"].gpu_ms == job.usage.gpu_ms > 0
