"""`aether lifetime` as a process: tables for people, JSON for machines, a folder whole or not at all."""

import json

import pyarrow.parquet as pq
import pytest
import yaml

from aether.results import results
from constellation import fabric


@pytest.fixture
def scenario(tmp_path):
    data = fabric(lifetime={"draws": 20, "years": 4, "storm": "2028-01-01"})
    data["title"] = "<script>alert(1)</script>"
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(data, sort_keys=False))
    return "s.yaml"


def test_json_stands_alone_and_is_what_the_folder_holds(aether, scenario, tmp_path):
    code, out, err = aether("lifetime", scenario, "--years", "3", "--out", "made", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["years"] == 3
    assert len(told["capacity"]["month"]) == 36
    made = results.load(tmp_path / "made")
    assert made.summary == told
    assert {a["name"] for a in made.manifest["assumptions"]} > {"fleet.launch_failure", "faults.gpu_orbit"}
    rows = pq.read_table(tmp_path / "made" / "months.parquet").to_pydict()
    assert set(rows["group"]) == {"all", "a", "b"}
    assert rows["date"][:2] == ["2026-07", "2026-08"]
    page = (tmp_path / "made" / "report.html").read_text()
    assert "<script" not in page
    assert page.count("<svg") == 3
    code, again, _ = aether(
        "lifetime", scenario, "--years", "3", "--out", "again", "--threads", "1", "--no-report", "--json"
    )
    assert code == 0
    assert again == out
    assert not (tmp_path / "again" / "report.html").exists()


def test_the_terminal_tells_capacity_losses_money_and_moves(aether, scenario):
    code, out, err = aether("lifetime", scenario, "--draws", "10", "--set", "lifetime.price=wright")
    assert code == 0, err
    for words in (
        "nameplate GPUs",
        "Ships lost at once",
        "solar storm",
        "GPU-hour",
        "come down",
        "aether-results/small-lifetime",
    ):
        assert words in out, words


def test_wrong_input_ends_with_2_and_writes_nothing(aether, scenario, tmp_path):
    code, out, err = aether(
        "lifetime", scenario, "--set", "lifetime.rule=keep", "--set", "lifetime.vehicle=starshp", "--out", "made"
    )
    assert (code, out) == (2, "")
    assert "maintain" in err
    assert "starship" in err
    assert not (tmp_path / "made").exists()
    code, _, err = aether("lifetime", "ground-only", "--out", "made")
    assert code == 2
    assert "needs ships" in err
    assert not (tmp_path / "made").exists()
