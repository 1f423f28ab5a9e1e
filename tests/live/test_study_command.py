"""`aether study` and `aether optimise` as processes: exit codes, JSON alone, going on after an interruption, messages."""

import json
import resource
import signal
import socket
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest
import yaml

MESH = [{"shell": {"planes": 12, "per_plane": 12, "altitude": "550 km", "inclination": "53 deg"}}]
STUDY = {
    "name": "mine", "scenario": "ai1-ring", "duration": "1 h", "step": "10 min", "method": "grid",
    "set": {"ships.0.count": 2, "ground.cities.largest": 0, "ground.coverage_cells": 0, "probes": [], "relays.shells": MESH},
    "variables": {"ships.0.gpus": {"low": 40, "high": 80, "steps": 12}, "starship.price": {"values": ["30e6 USD", "60e6 USD"]}},
    "outputs": ["cost.orbit.usd_per_gpu_hour.nominal", "waterfall.deliverable.share"],
}  # fmt: skip


def written(folder, **changes):
    (folder / "s.yaml").write_text(yaml.safe_dump(STUDY | changes, sort_keys=False))
    return "s.yaml"


def test_a_study_is_told_written_and_told_again(aether, tmp_path):
    few = written(tmp_path, variables={"starship.price": "range"}, method="latin", samples=400)
    code, out, err = aether("study", few)
    assert code == 0, err
    assert "starship.price" in out
    folder = tmp_path / "aether-results" / "studies" / "mine"
    assert {p.name for p in folder.iterdir()} == {"points.parquet", "study.json", "study.html", "manifest.json"}
    page = (folder / "study.html").read_text()
    assert "<svg" in page
    assert 'src="http' not in page
    code, out, err = aether("study", few, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["points"] == 400
    assert "sobol" in json.loads(out)["scenarios"]["ai1-ring"]["cost.orbit.usd_per_gpu_hour.nominal"]


def test_a_study_that_is_interrupted_says_so_and_goes_on(aether, tmp_path):
    file = written(tmp_path)
    command = [sys.executable, "-m", "aether", "study", file, "--out", "s", "--threads", "1"]
    run = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 120
    while not list((tmp_path / "s" / ".parts").glob("*.parquet")):
        assert run.poll() is None, run.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "what has come so far is kept" in err
    assert not (tmp_path / "s" / "manifest.json").exists()
    assert not list((tmp_path / "s" / ".parts").glob("*.part"))
    code, _, err = aether("study", file, "--out", "s", "--threads", "1")
    assert code == 0, err
    assert pq.read_table(tmp_path / "s" / "points.parquet")["point"].to_pylist() == list(range(24))


def test_a_wrong_study_exits_with_2_and_writes_nothing(aether, tmp_path):
    file = written(tmp_path, variables={"ships.0.gpus": {"low": 80, "high": 40}, "starship.prise": "range"})
    code, out, err = aether("study", file)
    assert (code, out) == (2, "")
    assert "2 problems" in err
    assert "s.yaml:" in err
    assert [p.name for p in tmp_path.iterdir()] == ["s.yaml"]
    code, _, err = aether("study", "pricse")
    assert code == 2
    assert "did you mean 'prices'" in err


def test_a_cluster_that_does_not_answer_is_named_soon(aether, tmp_path):
    file = written(tmp_path)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{s.getsockname()[1]}"
    code, out, err = aether("study", file, "--ray-address", address, timeout=60)
    assert (code, out) == (2, "")
    assert f"no cluster answers at {address}" in err
    assert [p.name for p in tmp_path.iterdir()] == ["s.yaml"]
    code, _, err = aether("study", file, "--ray-address", "over-there")
    assert code == 2
    assert "is not host:port" in err


def test_a_full_disk_is_told_in_one_line_and_leaves_nothing_half_written(tmp_path):
    file = written(tmp_path, variables={"starship.price": "range"}, method="random", samples=20_000)

    def small():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    done = subprocess.run([sys.executable, "-m", "aether", "study", file, "--out", "s"], cwd=tmp_path, capture_output=True, text=True,
                          preexec_fn=small)  # fmt: skip
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert "cannot write" in line
    assert {p.name for p in (tmp_path / "s").iterdir()} == {".parts"}
    assert not list((tmp_path / "s").rglob("*.part"))


def test_the_schema_of_a_study_can_be_written(aether):
    code, out, _ = aether("schema", "--study")
    assert code == 0
    assert json.loads(out)["title"] == "Aether study"


def test_a_search_is_told_and_written(aether, tmp_path):
    pytest.importorskip("optuna", reason="Optuna is not installed: pip install 'aether-fabric[plan]'")
    small = ("--set", "duration=1 h", "--set", "ships.0.count=2", "--set", "ground.cities.largest=0", "--threads", "1")
    code, out, err = aether(
        "optimise", "ai1-ring", "--evaluations", "4", "--objectives", "cost,delivered", "--out", "d", *small
    )
    assert code == 0, err
    assert "ships.0.orbit.ring.altitude" in out
    assert {p.name for p in (tmp_path / "d").iterdir()} == {
        "designs.parquet",
        "optimise.json",
        "optimise.html",
        "manifest.json",
    }
    code, out, err = aether(
        "optimise", "ai1-ring", "--evaluations", "4", "--objectives", "cost,delivered", "--out", "d", "--json", *small
    )
    assert (code, err) == (0, "")
    assert json.loads(out)["evaluations"] == 4
    code, _, err = aether("optimise", "ai1-ring", "--objectives", "costs", *small)
    assert code == 2
    assert "did you mean 'cost'" in err
