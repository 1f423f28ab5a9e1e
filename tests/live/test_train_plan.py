"""`aether train-plan` as a process."""

import json

import yaml

from constellation import fabric


def test_a_plan_is_told_in_tables_and_as_json_alone(aether, tmp_path):
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(fabric(duration="30 min"), sort_keys=False))
    code, out, err = aether("train-plan", "small.yaml", "--json", "--threads", 1)
    assert code == 0, err
    told = json.loads(out)
    assert told["job"]["name"] == "train"
    assert [c["change"] for c in told["changes"]][-1] == "checkpoint target"
    code, out, err = aether("train-plan", "small.yaml", "--run", "train", "--set", "workloads.2.training.sync_every=50")
    assert code == 0, err
    for words in (
        "Training plan",
        "Where the time goes",
        "From the ground to the plan",
        "Binding:",
        "In the scenario: {method:",
    ):
        assert words in out
    assert [p.name for p in tmp_path.iterdir()] == ["small.yaml"]


def test_bad_input_ends_with_two_and_says_what(aether, tmp_path):
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(fabric(duration="5 min"), sort_keys=False))
    code, out, err = aether("train-plan", "small.yaml", "--run", "nosuch", "--json")
    assert (code, out) == (2, "")
    assert "no training workload 'nosuch'" in err
    code, _, err = aether("train-plan", "small.yaml", "--set", "workloads.2.training.gpus=100000")
    assert code == 2
    assert "short by 99,928" in err
