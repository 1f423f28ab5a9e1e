"""Scheduling passes: who starts where, who must leave, and what is said to those who wait."""

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the live fabric is not installed: pip install 'aether-fabric[live]'")

from hypothesis import given, settings
from hypothesis import strategies as st

from aether.fabric.core import events, schedule
from aether.fabric.core.state import near
from aether.placement import online
from fabric_play import Play, facts

EIGHT = {"accelerators": {"b200": 8}}
SPOT = EIGHT | {"use_spot": True}


def play(*hosts):
    return Play(list(hosts) or [facts("a/0"), facts("a/1"), facts("a/2")])


def run(p):
    """What has been placed begins to run."""
    for _ in range(2):
        for name in p.ships:
            p.act(name)
            p.hear(name)


def started(p):
    return {e.job: e.hosts for e in p.place() if isinstance(e, events.Placed)}


def where(p, job):
    attempt = p.state.jobs[job].attempt
    return None if attempt is None or p.state.jobs[job].status == "queued" else attempt.hosts


def leaves(p):
    return [e.job for e in p.place() if isinstance(e, events.Displaced)]


def test_more_priority_goes_first_then_the_order_of_submission():
    p = play(facts("a/0"))
    first, second = p.submit(resources=EIGHT), p.submit(resources=EIGHT)
    urgent = p.submit(resources=EIGHT, orbit={"priority": 900})
    for job in (urgent, first, second):
        assert started(p) == {job: ("a/0",)}
        run(p)
        p.end("a/0")
        p.hear("a/0")


def test_one_spot_job_gives_way_to_more_priority_and_the_others_stay():
    p = play()
    low = [p.submit(resources=SPOT, orbit={"priority": 100}) for _ in range(3)]
    p.place()
    run(p)
    high = p.submit(resources=EIGHT, orbit={"priority": 900})
    gone = leaves(p)
    assert len(gone) == 1
    assert gone[0] in low
    for _ in range(3):
        assert p.place() == []  # it waits for the one to leave; nobody else must
    p.act(where(p, gone[0])[0])
    for name in p.ships:
        p.hear(name)
    assert set(started(p)) == {high}
    assert [p.state.jobs[j].status for j in low].count("running") == 2


def test_a_job_that_leaves_for_priority_is_told_so_on_a_host_that_faults_have_shrunk():
    p = play(facts("a/0"))
    p.do(events.Conditions(crossed=(events.Crossed(host="a/0", gpus=6, limit="faults"),)))
    p.submit(resources={"accelerators": {"b200": 4}, "use_spot": True}, orbit={"priority": 1})
    p.place()
    run(p)
    p.submit(resources={"accelerators": {"b200": 6}})
    assert [e.reason for e in p.place()] == ["more priority"]


def test_spot_stays_for_equal_priority_and_on_demand_stays_for_any():
    p = play(facts("a/0"), facts("a/1"))
    p.submit(resources=SPOT, orbit={"priority": 500})
    p.submit(resources=EIGHT, orbit={"priority": 1})
    p.place()
    run(p)
    p.submit(resources=EIGHT, orbit={"priority": 500})
    assert p.place() == []
    p.submit(num_nodes=2, resources=EIGHT, orbit={"priority": 1000})
    assert p.place() == []


def test_a_spot_gang_that_loses_one_host_takes_no_other_down():
    p = play(facts("a/0"), facts("a/1"))
    gang = p.submit(
        num_nodes=2, resources={"accelerators": {"b200": 4}, "use_spot": True}, orbit={"where": ["a/0", "a/1"]}
    )
    p.state.waiting.pop(gang)  # placed by hand, a node on each host
    p.state.waiting[gang] = None
    p.do(events.Placed(job=gang, way=0, accelerator="b200", gpus=4, hosts=("a/0", "a/1")))
    small = p.submit(resources={"accelerators": {"b200": 4}, "use_spot": True}, orbit={"where": ["a/1"]})
    p.place()
    run(p)
    p.submit(resources=EIGHT, orbit={"where": ["a/0"], "priority": 900})
    assert leaves(p) == [gang]
    assert p.state.jobs[small].status == "running"


def test_on_demand_gives_way_to_power_and_only_as_many_as_must():
    p = play(facts("a/0"))
    both = [p.submit(resources={"accelerators": {"b200": 4}}) for _ in range(2)]
    p.place()
    run(p)
    p.do(events.Conditions(crossed=(events.Crossed(host="a/0", gpus=4, limit="battery"),)))
    made = p.place()
    assert [(e.job, e.reason) for e in made] == [(both[1], "a/0: battery left 4 of 8 GPUs")]
    assert p.place() == []  # while one leaves the other stays
    assert p.state.jobs[both[0]].status == "running"


def test_a_gang_starts_whole_or_not_at_all_and_holds_no_room():
    p = play(facts("a/0"), facts("a/1"))
    one = p.submit(resources=EIGHT)
    p.place()
    gang = p.submit(num_nodes=2, resources=EIGHT, orbit={"priority": 900})
    other = p.submit(resources=EIGHT)
    assert started(p) == {other: ("a/1",)}
    run(p)
    for name in p.ships:
        p.end(name)
        p.hear(name)
    assert p.state.jobs[one].status == "succeeded"
    assert started(p) == {gang: ("a/0", "a/1")}


def test_nodes_of_a_gang_may_share_a_host():
    p = play(facts("a/0"))
    gang = p.submit(num_nodes=2, resources={"accelerators": {"b200": 4}})
    assert started(p) == {gang: ("a/0", "a/0")}


def test_the_first_way_of_any_of_that_fits_is_taken():
    p = play(facts("a/0", accelerator="h100-sxm"), facts("a/1", accelerator="b200"))
    ways = {"any_of": [{"accelerators": "B200:8"}, {"accelerators": "H100:8"}]}
    first, second, third = (p.submit(resources=ways) for _ in range(3))
    assert started(p) == {first: ("a/1",), second: ("a/0",)}
    assert p.state.jobs[second].attempt.way == 1
    assert p.state.jobs[second].attempt.accelerator == "h100-sxm"
    assert p.state.jobs[third].status == "queued"


def test_a_cordoned_host_keeps_its_work_and_a_drained_one_does_not():
    p = play(facts("a/0"), facts("a/1"))
    jobs = [p.submit(resources=EIGHT) for _ in range(2)]
    p.place()
    run(p)
    p.do(events.Cordoned(host="a/0", closed=True))
    p.do(events.Cordoned(host="a/1", closed=True, drain=True))
    made = p.place()
    assert [(e.job, e.reason) for e in made] == [(jobs[1], "a/1 is drained")]
    run(p)
    assert p.place() == []
    assert "none of 2 hosts takes work now" in schedule.why(p.state, p.state.jobs[jobs[1]], {})
    p.do(events.Cordoned(host="a/1", closed=False))
    assert started(p) == {jobs[1]: ("a/1",)}


@pytest.mark.parametrize(
    ("orbit", "host"),
    [
        ({"where": ["sites"]}, "site"),
        ({"where": ["b"]}, "b/0"),
        ({"where": ["a/1"]}, "a/1"),
        ({"jurisdictions": ["IE"]}, "site"),
    ],
)
def test_where_and_jurisdictions_choose_hosts(orbit, host):
    p = play(facts("a/0"), facts("a/1"), facts("b/0"), facts("site", ship=False))
    job = p.submit(orbit=orbit)
    assert started(p) == {job: (host,)}


def test_a_round_trip_is_known_by_events_and_nothing_starts_before():
    p = play(facts("a/0"), facts("a/1"))
    job = p.submit(orbit={"place": "London", "max_round_trip": "50 ms"})
    assert p.place() == []
    assert schedule.why(p.state, p.state.jobs[job], {}) == "no host within 0.05 s of London"
    reach = events.Reach(host="a/1", place="London", limit_s=0.05, within=True)
    p.do(events.Conditions(reaches=(reach,)))
    assert near("London", 0.05) in p.state.within
    assert started(p) == {job: ("a/1",)}


def test_processors_and_memory_are_shares_of_a_host():
    p = play(facts("a/0"))  # 14 cores and 250 GB a GPU
    cores = p.submit(resources={"cpus": 29})  # 3 GPUs' share
    memory = p.submit(resources={"memory": "1000+"})  # 4 GPUs' share
    p.place()
    assert [p.state.jobs[j].attempt.gpus for j in (cores, memory)] == [3, 4]
    task = p.state.tasks[p.submit(resources={"cpus": 113})]
    assert schedule.problem(p.state, task) == "no 1 hosts have that; allowed are: b200 (at most 8 a host)"


def test_work_goes_to_idle_hosts_before_those_that_are_about_to_be_left():
    p = play(facts("a/0"), facts("a/1"))
    old = p.submit(resources=EIGHT)
    p.place()
    run(p)
    p.do(events.CancelAsked(jobs=(old,)))
    new = p.submit(resources=EIGHT)
    assert started(p) == {new: ("a/1",)}


def test_cheaper_energy_first_and_light_first_for_what_cannot_go_on_elsewhere():
    p = play(facts("site", ship=False), facts("a/0"), facts("a/1"))
    p.do(events.Conditions(crossed=(events.Crossed(host="a/0", gpus=8, lit=False),)))
    stays = p.submit(resources=EIGHT)
    moves = p.submit(resources=EIGHT, orbit={"checkpoint": "~/ck"})
    assert started(p) == {stays: ("a/1",), moves: ("a/0",)}


def test_deadlines_of_a_job_and_of_one_that_needs_it_pass_together():
    p = play(facts("a/0"))
    first = p.submit(orbit={"deadline": "10 min"})
    second = p.submit(after=(first,), orbit={"deadline": "10 min"})
    p.time_s += 600.0
    p.do(events.Ticked())
    told = {j: (p.state.jobs[j].status, p.state.jobs[j].reason) for j in (first, second)}
    assert told == {first: ("failed", "its deadline passed"), second: ("failed", f"needs {first}, which failed")}


def test_what_waits_is_told_why():
    p = play(facts("a/0"))
    needed = p.submit(resources=EIGHT)
    after = p.submit(after=(needed,))
    p.place()
    full = p.submit(resources=EIGHT)
    h100 = p.submit(resources={"accelerators": "H100"})
    ie = p.submit(orbit={"jurisdictions": ["IE"]})
    told = {j: schedule.why(p.state, p.state.jobs[j], {}) for j in (after, full, h100, ie)}
    assert told == {
        after: f"waits for {needed}",
        full: "1 hosts suit, none has room now; the largest may run 8 GPUs",
        h100: "no host has such accelerators",
        ie: "no host that its orbit block allows",
    }
    run(p)
    p.end("a/0", code=1)
    p.hear("a/0")
    assert schedule.why(p.state, p.state.jobs[needed], {}) == "tries again in 5 s: exit code 1 on a/0"


def test_the_fabric_decides_as_the_simulation_does_on_the_same_arrays():
    hosts = [facts("a/0", gpus=4), facts("a/1", gpus=8), facts("site", ship=False, gpus=8), facts("b/0", gpus=2)]
    p = play(*hosts)
    asked = [(1, 4, 900), (2, 2, 500), (1, 8, 500), (3, 1, 100), (1, 2, 50), (1, 8, 10)]
    jobs = [
        p.submit(num_nodes=n, resources={"accelerators": {"b200": g}}, orbit={"priority": q, "checkpoint": "~/c"})
        for n, g, q in asked
    ]
    count, most = len(asked), max(n for n, _, _ in asked)
    room = np.array([h.gpus for h in hosts], float)
    price = np.array([h.energy_usd_j for h in hosts])
    made = online.assign(
        np.arange(count), np.ones(count, bool), np.array([g for _, g, _ in asked]), np.array([n for n, _, _ in asked]),
        np.array([[g <= h.gpus for h in hosts] for _, g, _ in asked]), np.zeros(count, np.int64), np.full(count, np.inf),
        np.zeros((1, len(hosts)), np.float32), np.lexsort((-room, price))[None], np.zeros(count, np.int64), np.full((count, most), -1),
        room.copy(), np.arange(count),
    )  # fmt: skip
    wanted = {j: tuple(hosts[h].name for h in row if h >= 0) for j, row in zip(jobs, made, strict=True) if row[0] >= 0}
    assert started(p) == wanted
    assert len(wanted) > 3


tasks = st.tuples(st.integers(1, 3), st.sampled_from([1, 2, 4, 8]), st.sampled_from([100, 500, 900]), st.booleans())


@settings(max_examples=60)
@given(
    rounds=st.lists(
        st.tuples(st.lists(tasks, max_size=4), st.lists(st.tuples(st.sampled_from(["a/0", "a/1", "a/2"]), st.integers(0, 8)), max_size=1), st.booleans()),
        min_size=1, max_size=5,
    )
)  # fmt: skip
def test_a_pass_without_news_decides_nothing_and_only_as_the_rules_allow(rounds):
    p = play()
    for submitted, powers, moves in rounds:
        for nodes, gpus, priority, spot in submitted:
            p.submit(
                num_nodes=nodes,
                resources={"accelerators": {"b200": gpus}, "use_spot": spot},
                orbit={"priority": priority},
            )
        for host, gpus in powers:
            p.do(
                events.Conditions(crossed=(events.Crossed(host=host, gpus=gpus, limit="battery" if gpus < 8 else ""),))
            )
        before = {n: j.status for n, j in p.state.jobs.items()}
        most = max((p.state.tasks[n].orbit.priority for n, s in before.items() if s == "queued"), default=-1)
        for event in p.place():
            if isinstance(event, events.Displaced) and event.reason == "more priority":
                task = p.state.tasks[event.job]
                assert task.resources.ways[0].use_spot
                assert task.orbit.priority < most
        again = p.place()  # what leaves is looked at as leaving: somebody may start elsewhere, nobody else must leave
        assert not [e for e in again if isinstance(e, events.Displaced)]
        assert p.place() == [], "a pass without news decided something"
        for name, host in p.state.hosts.items():
            held = sum(
                p.state.jobs[j].attempt.gpus * where(p, j).count(name)
                for j in p.state.at.get(name, ())
                if p.state.jobs[j].status != "stopping"
            )
            assert held <= host.gpus
        if moves:
            run(p)
