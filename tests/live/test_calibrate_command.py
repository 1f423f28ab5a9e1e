"""`aether calibrate` as a process: what it prints, writes, and refuses."""

import json
import subprocess
import sys
from importlib import resources

FOLDER = resources.files("aether.study") / "data"
LLAMA, QWEN = (str(FOLDER / f"vllm-{name}.csv") for name in ("llama-3.1-8b", "qwen3-30b-a3b"))


def aether(*arguments):
    return subprocess.run([sys.executable, "-m", "aether", *arguments], capture_output=True, text=True, timeout=120)


def test_json_stands_alone_and_the_written_part_is_taken(tmp_path):
    out = tmp_path / "fit.yaml"
    done = aether("calibrate", LLAMA, "--gpu", "rtx-pro-6000", "--held-out", QWEN, "--json", "--out", str(out))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [one["role"] for one in told["logs"]] == ["fitted", "held out"]
    assert told["logs"][0]["requests"] == 300
    shown = aether("catalog", "show", "llama-3.1-8b-rtx-pro-6000-bf16", "--catalog", str(tmp_path), "--json")
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["part"]["held_out_error"]["value"] == 0.18


def test_a_log_without_its_columns_ends_with_2_and_writes_nothing(tmp_path):
    log, out = tmp_path / "bad.csv", tmp_path / "fit.yaml"
    log.write_text("queued_ts,input_toks\n1,2\n")
    done = aether("calibrate", str(log), "--gpu", "rtx-pro-6000", "--model", "llama-3.1-8b", "--out", str(out))
    assert done.returncode == 2
    assert "there is no column of first token; the columns are queued_ts, input_toks" in done.stderr
    assert "there is no column of output tokens" in done.stderr
    assert not out.exists()
