"""A study on a real Ray cluster on this machine: a head, two more nodes, one of them killed in the middle."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

pytest.importorskip("ray", reason="Ray is not installed: pip install 'aether-fabric[cluster]'")
pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="which process is the node's is read from /proc"),
]
STUDY = {
    "name": "rings", "scenario": "ai1-ring", "duration": "2 h", "step": "10 min", "method": "sobol", "samples": 64,
    "set": {"ships.0.count": 8, "ground.cities.largest": 5, "ground.coverage_cells": 0, "probes": []},
    "variables": {"ships.0.orbit.ring.altitude": {"low": "500 km", "high": "900 km"}, "ships.0.gpus": {"low": 40, "high": 80},
                  "starship.price": "range"},
    "outputs": ["cost.ratio.nominal", "waterfall.deliverable.share"],
}  # fmt: skip
ENV = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
SMALL = ("--num-cpus", "1", "--object-store-memory", "100000000", "--node-ip-address", "127.0.0.1", "--block")


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def children(pid: int) -> dict[int, str]:
    """Processes begun by a process, and what they are called."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue  # gone meanwhile
        if int(rest.split()[1]) == pid:
            found[int(stat.parent.name)] = name
    return found


def raylet(node: subprocess.Popen, within_s: float = 60.0) -> int:
    """The process that is a node of the cluster."""
    until = time.monotonic() + within_s
    while time.monotonic() < until and node.poll() is None:
        found = [pid for pid, name in children(node.pid).items() if name == "raylet"]
        if found:
            return found[0]
        time.sleep(0.2)
    pytest.fail(f"a node did not start: {node.poll()}")


def started(log: Path, node: subprocess.Popen, within_s: float = 60.0) -> int:
    """Wait until a node says that it is up."""
    pid, until = raylet(node), time.monotonic() + within_s
    while "--block" not in log.read_text():  # it tells of this option last
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.2)
    return pid


@pytest.fixture
def cluster(tmp_path_factory):
    """(address, raylets) of a head and two more nodes."""
    folder, port, nodes = tmp_path_factory.mktemp("nodes"), free_port(), []
    ray = [sys.executable, "-m", "ray.scripts.scripts", "start"]
    short = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))  # sockets' names have a limit of 107 characters
    starts = [
        (
            "--head",
            "--port",
            str(port),
            "--include-dashboard",
            "false",
            "--temp-dir",
            str(short),
            "--disable-usage-stats",
        )
    ]
    starts += [("--address", f"127.0.0.1:{port}")] * 2
    raylets = []
    try:
        for i, how in enumerate(starts):
            log = folder / f"{i}.log"
            with log.open("w") as out:
                nodes.append(
                    subprocess.Popen([*ray, *how, *SMALL], stdout=out, stderr=out, env=ENV, start_new_session=True)
                )
            raylets.append(started(log, nodes[-1]))
        yield f"127.0.0.1:{port}", raylets
    finally:
        for node in reversed(nodes):
            node.terminate()
        for node in nodes:
            try:
                node.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(node.pid, signal.SIGKILL)
        shutil.rmtree(short, ignore_errors=True)


def test_a_study_survives_a_node_that_is_killed_and_counts_every_point_once(aether, cluster, tmp_path):
    address, raylets = cluster
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(STUDY, sort_keys=False))
    code, _, err = aether("study", "s.yaml", "--out", "here", "--json")
    assert code == 0, err
    command = [sys.executable, "-m", "aether", "study", "s.yaml", "--out", "there", "--json", "--ray-address", address]
    run = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENV)
    until, pieces = time.monotonic() + 120, tmp_path / "there" / ".parts"
    while len(list(pieces.glob("*.parquet"))) < 3:
        assert run.poll() is None, run.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.05)
    os.kill(raylets[1], signal.SIGKILL)
    out, err = run.communicate(timeout=150)
    assert run.returncode == 0, err
    here, there = (pq.read_table(tmp_path / n / "points.parquet") for n in ("here", "there"))
    assert there["point"].to_pylist() == list(range(64))
    assert there.equals(here)
    assert json.loads(out)["scenarios"] == json.loads((tmp_path / "here" / "study.json").read_text())["scenarios"]


def test_what_answers_but_is_no_cluster_is_named_within_20_s(aether, tmp_path):
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(STUDY, sort_keys=False))
    with socket.create_server(("127.0.0.1", 0)) as server:
        taking = threading.Thread(target=_take, args=(server,), daemon=True)
        taking.start()
        code, _, err = aether("study", "s.yaml", "--ray-address", f"127.0.0.1:{server.getsockname()[1]}", timeout=60)
        server.shutdown(socket.SHUT_RDWR)
        taking.join(10.0)
    assert code == 2
    assert "is no Ray cluster" in err


def _take(server):
    """Accept and say nothing, until the server is shut down; then let all of them go."""
    with contextlib.ExitStack() as kept, contextlib.suppress(OSError):
        while True:
            kept.enter_context(server.accept()[0])
