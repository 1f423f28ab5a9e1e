"""`aether compare-policies`: rivals under the same sky, the same requests and the same faults."""

import json

import numpy as np
import pytest
import yaml

from aether.base.errors import InputError
from aether.base.tables import Snapshot
from aether.placement.policy import policies
from aether.scenario.load import load
from aether.study import policies as rivals
from constellation import fabric

NAMES = ("value", "nearest", "least-loaded", "power-aware", "cost-aware", "router")


def two_hosts(**more):
    """A tick of 60 s: two ships of 60 GPU-seconds, four places of ten requests of one GPU-second."""
    fields = {
        "time_s": 0.0, "step_s": 60.0, "ships": 2, "requests": np.full((1, 4), 10.0), "free_gpu_s": np.full(2, 60.0), "need_gpu_s": np.ones((1, 2)),
        "allowed": np.ones((1, 2), np.bool_), "round_trip_s": np.full((4, 2), 0.01, np.float32), "limit_s": np.ones(1), "value_usd": np.ones(1),
        "late_worth": 0.5, "energy_usd": np.zeros((1, 2)), "carbon_usd": np.zeros((1, 2)), "light_s": np.full(2, 900.0), "charge_share": np.ones(2),
        "contact_s": np.full(2, np.inf), "cache_share": np.zeros(2), "installed_gpu": np.ones(2), "ahead_s": 900.0, "weights": (1.0,) + (0.0,) * 7,
        "job_gpu": np.zeros((0, 2)), "job_value_usd": np.zeros(0),
    }  # fmt: skip
    return Snapshot(**(fields | more))


def small():
    few = {
        "workloads__0__inference__requests": {"per_person_day": 0.5},
        "workloads__1__inference__requests__rate": "100 1/s",
    }
    return fabric(duration="2 h", step="10 min", **few)


@pytest.fixture(scope="module")
def rows():
    return {row["policy"]: row for row in rivals.compare(load(small()), NAMES)}


def test_every_policy_sees_the_same_requests_and_loses_none(rows):
    assert list(rows) == list(NAMES)
    assert len({row["requests"] for row in rows.values()}) == 1
    for row in rows.values():
        assert row["served"] + row["rejected"] <= row["requests"] * (1 + 1e-9)


def test_power_aware_takes_less_from_the_grid_and_nearest_answers_soonest(rows):
    assert rows["power-aware"]["sites_j"] < rows["nearest"]["sites_j"]
    assert rows["nearest"]["first_token_p50_s"] == min(row["first_token_p50_s"] for row in rows.values())
    assert all(0.0 < row["moved"] < row["served"] for row in rows.values())
    assert rows["cost-aware"]["energy_usd"] <= min(row["energy_usd"] for row in rows.values()) + 1e-9
    assert rows["power-aware"]["carbon_kg"] < rows["nearest"]["carbon_kg"]


def test_a_row_is_what_the_run_alone_would_say(rows):
    alone = rivals.compare(load(small()), ["power-aware"])[0]
    assert alone == rows["power-aware"]


def test_least_loaded_levels_the_hosts_and_power_aware_goes_to_the_sun():
    even = policies["least-loaded"](two_hosts())
    assert np.bincount(even.host, even.requests, 2).tolist() == [20.0, 20.0]
    dark = policies["power-aware"](two_hosts(light_s=np.array([0.0, 1200.0])))
    assert set(dark.host.tolist()) == {1}
    dear = policies["cost-aware"](two_hosts(carbon_usd=np.array([[0.2, 0.1]])))
    assert set(dear.host.tolist()) == {1}


def test_unknown_policies_are_all_told_and_a_scenario_without_requests_too():
    with pytest.raises(InputError) as told:
        rivals.compare(load(fabric(workloads=[])), ["nearst", "valu"])
    assert len(told.value.problems) == 3
    assert "did you mean 'nearest'" in str(told.value)


def test_the_command_prints_a_table_or_json_alone(aether, tmp_path):
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(small(), sort_keys=False))
    code, out, err = aether("compare-policies", "s.yaml", "--policies", "value,nearest", "--set", "duration='20 min'", "--json")  # fmt: skip
    assert code == 0, err
    assert [row["policy"] for row in json.loads(out)["policies"]] == ["value", "nearest"]
    code, out, err = aether("compare-policies", "s.yaml", "--policies", "least-loaded", "--set", "duration='20 min'")
    assert code == 0, err
    assert "USD/Mtoken" in out
    assert aether("compare-policies", "s.yaml", "--policies", "lest-loaded")[0] == 2
