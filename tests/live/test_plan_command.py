"""`aether plan` as a process, and what it makes of a scenario's jobs."""

import json

import numpy as np
import pytest
import yaml

from aether.base.errors import InputError
from aether.engine.assemble import assemble
from aether.placement import plan, search
from aether.scenario.load import load
from aether.study import plans
from constellation import fabric

JOBS = [
    {"name": "render", "count": 3, "gpus": 16, "time": "30 min", "where": ["a", "virginia"], "checkpoint": "5 GB"},
    {"name": "gang", "gpus": 32, "members": 2, "time": "15 min", "preemptible": False, "price": "4 USD"},
    {"name": "lawful", "kind": "service", "gpus": 8, "jurisdictions": ["IE"], "release": "15 min", "deadline": "45 min"},
    {"name": "camera", "kind": "stream", "gpus": 2, "rate": "1 Gbit/s", "place": "Delhi", "max_round_trip": "120 ms"},
    {"name": "poor", "gpus": 8, "time": "30 min", "price": "0.001 USD", "where": ["dublin"]},
]  # fmt: skip


def small(**changes):
    quiet = {
        "workloads__0__inference__requests": {"per_person_day": 0.05},
        "workloads__1__inference__requests__rate": "100 1/s",
    }
    return fabric(**{"duration": "1 h", "step": "5 min", "jobs": JOBS, **quiet, **changes})


@pytest.fixture(scope="module")
def calendar():
    return plans.calendar(assemble(load(small())), 900.0)


def test_the_plan_of_a_scenario_keeps_to_its_calendar_and_to_the_law(calendar):
    asked = plans.problem(calendar)
    made = search.bounded(asked, steps=40)
    assert plan.broken(asked, made) == []
    told = plans.describe(calendar, asked, made, "greedy")
    by_name = {j["name"]: j for j in told["jobs"]}
    assert by_name["lawful"]["hosts"] == ["dublin"]
    assert by_name["lawful"]["runs"] == [[1, 3]]
    assert {h.partition("/")[0] for n in range(3) for h in by_name[f"render/{n}"]["hosts"]} <= {"a", "virginia"}
    assert by_name["gang"]["state"] == "placed"
    assert by_name["poor"]["state"] == "left out"
    assert "of energy and carbon at least" in by_name["poor"]["why"]
    assert told["gpu_hours"] == pytest.approx(sum(h["planned_gpu_hours"] for h in told["hosts"]))


def test_what_services_and_training_take_is_not_planned_again(calendar):
    setup, asked = calendar.setup, plans.problem(calendar)
    assert calendar.taken_gpu.sum() > 0.0
    assert (calendar.gpu + calendar.taken_gpu <= setup.hosts.gpus[:, None] * (1 + 1e-9)).all()
    member = np.array([g == "b" for g in setup.hosts.group])  # at work in training
    assert asked.room[member].sum() < 0.9 * setup.hosts.gpus[member].sum() * asked.gpu.shape[1]


def test_a_job_of_more_gpus_than_there_are_is_named_and_counted():
    wrong = [{"name": "vast", "gpus": 5000, "time": "15 min"}, {"name": "far", "gpus": 1, "time": "15 min", "place": "Atlantis", "max_round_trip": "1 s"},
             {"name": "long", "gpus": 1, "time": "9 h"}]  # fmt: skip
    with pytest.raises(InputError) as told:
        assemble(load(small(jobs=wrong)))
    words = str(told.value)
    assert "jobs[0].gpus: vast asks for 1 x 5,000 GPUs; of the 8 hosts it may use the largest has 144" in words
    assert "'Atlantis' is none of the 20 cities" in words
    assert "jobs[2].time: long ends after the run of 1.0 h" in words


def test_a_scenario_says_what_a_job_lacks():
    bad = [{"name": "a1", "gpus": 1}, {"name": "a2", "kind": "service", "gpus": 1, "time": "1 h"},
           {"name": "a3", "gpus": 1, "time": "1 h", "where": ["nowhere"]}]  # fmt: skip
    with pytest.raises(InputError) as told:
        load(small(jobs=bad))
    for words in ("a job needs its time", "leave time out", "unknown ship group or site 'nowhere'"):
        assert words in str(told.value)


def test_plan_prints_json_alone_or_a_table_and_says_what_is_wrong(aether, tmp_path):
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(small(), sort_keys=False))
    code, out, err = aether("plan", "s.yaml", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["bound"] == "Lagrangian"
    assert told["value_usd"] <= told["bound_usd"]
    assert told["asked"] == 7
    code, out, _ = aether("plan", "s.yaml", "--set", "jobs=[]")
    assert code == 2
    code, _, err = aether("plan", "s.yaml", "--slot", "soon")
    assert code == 2
    assert "--slot" in err
    code, out, err = aether("plan", "s.yaml", "--slot", "20 min")
    assert code == 0, err
    assert "no plan is worth more than (Lagrangian)" in out
