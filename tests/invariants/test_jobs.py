"""Jobs within a run: never where they may not, never more than is left, gangs whole, work neither lost nor made."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.engine.assemble import assemble
from aether.engine.batch import summary
from aether.engine.run import play
from aether.placement import online
from aether.scenario.load import load
from constellation import fabric


@given(seed=st.integers(0, 2**32))
def test_no_assignment_breaks_law_distance_room_or_a_gang(seed):
    rng = np.random.default_rng(seed)
    jobs, hosts, most = int(rng.integers(1, 9)), int(rng.integers(1, 6)), 3
    gpus, members = rng.integers(1, 9, jobs), rng.integers(1, most + 1, jobs)
    allowed, trip = rng.random((jobs, hosts)) < 0.7, rng.uniform(0.0, 0.2, (3, hosts)).astype(np.float32)
    limit, place, wants = rng.choice([0.1, np.inf], jobs), rng.integers(-1, 2, jobs), rng.random(jobs) < 0.8
    held = np.where(np.arange(most) < members[:, None], rng.integers(-1, hosts, (jobs, most)), -1)
    room, ranks = rng.uniform(0.0, 20.0, hosts), np.stack([rng.permutation(hosts) for _ in range(2)])
    left = room.copy()
    made = online.assign(
        rng.permutation(jobs), wants, gpus, members, allowed, place, limit, trip, ranks, rng.integers(0, 2, jobs), held, left, np.arange(jobs)
    )  # fmt: skip
    used = np.zeros(hosts)
    for j in range(jobs):
        here = made[j][made[j] >= 0]
        assert len(here) in (0, members[j])
        assert wants[j] or not len(here)
        assert allowed[j, here].all()
        assert (trip[place[j], here] <= limit[j]).all()
        np.add.at(used, here, gpus[j])
    assert (used <= room + 1e-6).all()
    np.testing.assert_allclose(room - used, left, atol=1e-9)


QUIET = {"workloads__0__inference__requests": {"per_person_day": 0.05}, "workloads__1__inference__requests__rate": "100 1/s"}  # fmt: skip
JOBS = [
    {"name": "render", "count": 4, "gpus": 16, "time": "40 min", "where": ["a"], "checkpoint": "50 GB"},
    {"name": "gang", "gpus": 32, "members": 2, "time": "30 min", "preemptible": False, "price": "4 USD"},
    {"name": "lawful", "kind": "service", "gpus": 8, "jurisdictions": ["IE"], "release": "30 min", "deadline": "90 min"},
    {"name": "hopeless", "gpus": 72, "time": "100 min", "deadline": "110 min", "where": ["b"]},
]  # fmt: skip


@pytest.fixture(scope="module")
def ran():
    setup = assemble(load(fabric(duration="2 h", step="2 min", jobs=JOBS, **QUIET)))
    records = []
    totals = play(setup, network=False, each=records.append)
    return setup, totals, records, summary(setup, totals.work.underway)


def test_jobs_take_what_services_and_training_leave_and_no_more(ran):
    setup, totals, records, _ = ran
    for record in records:
        h = record.work.hosts
        used = h["inference_gpu"] + h["training_gpu"] + h["batch_gpu"]
        assert (used <= h["free_gpu"] * (1 + 1e-5) + 1e-4).all()
    alone = play(assemble(load(fabric(duration="2 h", step="2 min", **QUIET))), network=False)
    np.testing.assert_allclose(totals.work.asked["served"], alone.work.asked["served"], rtol=1e-6)  # they come first
    assert totals.work.underway.held_s.sum() > 0.0
    assert setup.work.jobs.names[0] == "render/0"


def test_what_is_held_is_what_hosts_gave_and_what_counts_is_no_more(ran):
    setup, totals, _, told = ran
    given = float(totals.work.hosts["batch_gpu"].sum()) * setup.scenario.clock.step_s / 3600.0
    assert told["held_gpu_hours"] <= given * (1 + 1e-6)
    assert given <= told["held_gpu_hours"] * 1.1  # a job that ends within a tick holds its GPUs to the tick's end
    assert told["gpu_hours"] + told["lost_gpu_hours"] <= told["held_gpu_hours"] * (1 + 1e-9)


def test_jobs_finish_services_run_their_time_and_the_hopeless_are_late(ran):
    _, _, _, told = ran
    rows = {row["name"]: row for row in told["rows"]}
    assert rows["render"]["finished"] == 4
    assert rows["render"]["gpu_hours"] == pytest.approx(4 * 16 * 40 / 60)
    assert rows["gang"]["finished"] == 1
    assert rows["lawful"]["share"] == pytest.approx(1.0)
    assert rows["lawful"]["worth_usd"] == pytest.approx(8 * 1.0 * 2.0)  # 8 GPUs, an hour, 2 USD
    assert (rows["hopeless"]["finished"], rows["hopeless"]["late"], rows["hopeless"]["gpu_hours"]) == (0, 1, 0.0)


def test_a_lawful_service_runs_at_no_ship(ran):
    setup, totals, _, _ = ran
    n = setup.work.jobs.names.index("lawful")
    assert not setup.work.jobs.allowed[n, : setup.hosts.ships].any()
    assert totals.work.underway.done_s[n] == pytest.approx(3600.0)


def test_a_scenario_of_jobs_alone_runs_and_a_second_run_is_the_same():
    made = [
        play(assemble(load(fabric(duration="1 h", step="2 min", workloads=[], jobs=JOBS[:1]))), network=False)
        for _ in range(2)
    ]
    a, b = (m.work.underway for m in made)
    assert a.done_s.sum() > 0.0
    np.testing.assert_array_equal(a.done_s, b.done_s)
    np.testing.assert_array_equal(a.host, b.host)
