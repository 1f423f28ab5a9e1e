"""Placement by hand: small snapshots whose plan can be said in a sentence, limits in words, policies of one's own."""

import importlib
from dataclasses import replace

import numpy as np
import pytest

from aether.base.errors import InputError
from aether.base.tables import Plan, Snapshot
from aether.engine.assemble import assemble
from aether.engine.run import play
from aether.network import handover
from aether.placement import capacity, router
from aether.placement.policy import fill, policies
from aether.scenario.load import load
from constellation import fabric


def snapshot(requests, free_gpu_s, need, trip, value=(1.0,), **more):
    """One tick of 60 s; the last half of the hosts are ground sites."""
    requests, need, trip = np.array(requests, float), np.array(need, float), np.array(trip, np.float32)
    made = Snapshot(
        time_s=0.0, step_s=60.0, ships=len(free_gpu_s) // 2, requests=requests, free_gpu_s=np.array(free_gpu_s, float), need_gpu_s=need,
        allowed=np.ones(need.shape, dtype=np.bool_), round_trip_s=trip, limit_s=np.ones(len(value)), value_usd=np.array(value),
        late_worth=0.5, energy_usd=np.zeros(need.shape), carbon_usd=np.zeros(need.shape),
        light_s=np.full(len(free_gpu_s), np.inf), charge_share=np.ones(len(free_gpu_s)),
        contact_s=np.full(len(free_gpu_s), np.inf), cache_share=np.zeros(len(free_gpu_s)), installed_gpu=np.array(free_gpu_s) / 60.0,
        ahead_s=900.0, weights=(1.0, 1.0, 0.5, 0.5, 0.3, 0.2, 0.2, 0.5, 0.5), job_gpu=np.zeros((0, len(free_gpu_s))), job_value_usd=np.zeros(0),
    )  # fmt: skip
    return replace(made, **more)


def placed(plan, classes, hosts):
    """Requests of each class at each host."""
    made = np.zeros((classes, hosts))
    np.add.at(made, (plan.work, plan.host), plan.requests)
    return made.tolist()


def test_by_value_the_scarce_host_goes_to_the_class_of_more_worth_per_gpu_second():
    # 1 USD for 10 GPU-seconds against 0.5 USD for 1: the cheaper request is worth five times as much a GPU-second
    s = snapshot([[10], [10]], [50.0], [[10.0], [1.0]], [[0.01]], value=(1.0, 0.5))
    assert placed(policies["value"](s), 2, 1) == [[4.0], [10.0]]
    turned = replace(s, value_usd=np.array([6.0, 0.5]))
    assert placed(policies["value"](turned), 2, 1) == [[5.0], [0.0]]


def test_by_value_a_job_takes_its_turn_by_worth_per_gpu_second():
    def share(price):
        s = snapshot(
            [[30]],
            [60.0],
            [[1.0]],
            [[0.01]],
            job_gpu=np.array([[1.0]]),
            job_value_usd=np.array([price]),
        )
        plan = policies["value"](s)
        return float(plan.job_share[0, 0]), placed(plan, 1, 1)[0][0]

    assert share(0.9) == (0.5, 30.0)  # people's 1 USD a GPU-second first
    assert share(1.1) == (1.0, 0.0)


def test_by_value_what_costs_more_energy_than_it_is_worth_is_refused():
    s = snapshot([[5]], [60.0, 60.0], [[1.0, 1.0]], [[0.01, 0.01]], energy_usd=np.array([[1.1, 0.2]]))
    assert placed(policies["value"](s), 1, 2) == [[0.0, 5.0]]
    assert len(policies["value"](replace(s, energy_usd=np.array([[1.1, 1.2]]))).work) == 0


def test_by_value_nearness_is_weighed_against_energy():
    # worth left: 1 - (1 - late) 0.1 and 1 - (1 - late) 0.6; the far host's energy is free, the near one's costs 0.2
    s = snapshot([[1]], [9.0, 9.0], [[1.0, 1.0]], [[0.1, 0.6]], energy_usd=np.array([[0.2, 0.0]]))
    assert placed(policies["value"](replace(s, late_worth=0.5)), 1, 2) == [[1.0, 0.0]]  # 0.75 against 0.70
    assert placed(policies["value"](replace(s, late_worth=0.7)), 1, 2) == [[0.0, 1.0]]  # 0.77 against 0.82


def test_nearest_goes_on_to_the_next_host_and_nearest_only_does_not():
    s = snapshot([[10]], [4.0, 60.0], [[1.0, 1.0]], [[0.01, 0.05]])
    assert placed(policies["nearest"](s), 1, 2) == [[4.0, 6.0]]
    assert placed(policies["nearest-only"](s), 1, 2) == [[4.0, 0.0]]


def test_a_full_host_keeps_those_who_are_nearest_to_it():
    s = snapshot([[5, 5]], [5.0, 60.0], [[1.0, 1.0]], [[0.02, 0.05], [0.01, 0.05]])
    plan = policies["nearest"](s)
    assert set(zip(plan.place.tolist(), plan.host.tolist(), plan.requests.tolist(), strict=True)) == {
        (1, 0, 5.0),
        (0, 1, 5.0),
    }


def test_ground_first_and_orbit_first_fill_their_side_before_the_other():
    s = snapshot([[10]], [6.0, 6.0], [[1.0, 1.0]], [[0.01, 0.09]])  # the ship is nearer
    assert placed(policies["ground-first"](s), 1, 2) == [[4.0, 6.0]]
    assert placed(policies["orbit-first"](s), 1, 2) == [[6.0, 4.0]]
    farther = replace(s, round_trip_s=np.array([[0.09, 0.01]], np.float32))
    assert placed(policies["orbit-first"](farther), 1, 2) == [[6.0, 4.0]]


def test_a_job_runs_at_the_pace_of_its_slowest_member_and_takes_no_more_anywhere():
    s = snapshot(
        [[1000]], [30.0, 600.0], [[1.0, 1.0]], [[0.01, 0.01]],
        job_gpu=np.array([[2.0, 4.0]]), job_value_usd=np.array([9.0]),
    )  # fmt: skip
    plan = policies["nearest"](s)
    assert plan.job_share.tolist() == [[0.25, 0.25]]  # 30 of 2 x 60 GPU-seconds
    assert placed(plan, 1, 2) == [[0.0, 600.0 - 0.25 * 4.0 * 60.0]]


def test_a_workload_is_held_to_its_groups_and_to_the_law_aboard():
    groups, law = ("a", "a", "dublin", "virginia"), ("US", "US", "IE", "US")
    assert capacity.allowed((), (), groups, law).all()
    assert capacity.allowed(("a",), (), groups, law).tolist() == [True, True, False, False]
    assert capacity.allowed((), ("IE",), groups, law).tolist() == [False, False, True, False]
    assert capacity.allowed(("a", "dublin"), ("US",), groups, law).tolist() == [True, True, False, False]
    assert capacity.without_host("w", ("a",), ("US", "DE"), groups, law) == ""
    told = capacity.without_host("w", ("a",), ("DE", "FR"), groups, law)
    assert told == "w: jurisdictions DE, FR leave none of the 2 hosts of a; theirs are US"


@pytest.fixture
def own(monkeypatch):
    """The registry, put back as it was afterwards."""
    monkeypatch.setattr(policies, "_items", dict(policies._items))
    return policies


def served(name, seconds="3 min"):
    return play(assemble(load(fabric(duration=seconds, placement__policy=name))), network=False).work.hosts["requests"]


def test_a_policy_of_ones_own_decides_a_run(own):
    @own.add("one-site")
    def one_site(s: Snapshot) -> Plan:
        """Everything to the last host."""
        only = np.where(np.arange(len(s.free_gpu_s)) == len(s.free_gpu_s) - 1, 0.0, -np.inf)
        return fill(s, np.broadcast_to(only, (*s.requests.shape, len(s.free_gpu_s))))

    by_own, by_value = served("one-site"), served("value")
    assert by_own[-1] > 0.0
    assert (by_own[:-1] == 0.0).all()
    assert (by_value[:-1] > 0.0).any()


def test_a_policy_of_an_installed_package_decides_a_run(own, monkeypatch, tmp_path):
    (tmp_path / "lazy_policy.py").write_text(
        "import numpy as np\nfrom aether.placement.policy import fill\n\ndef none(s):\n"
        "    return fill(s, np.full((*s.requests.shape, s.free_gpu_s.size), -np.inf))\n"
    )
    folder = tmp_path / "lazy_policy-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: lazy-policy\nVersion: 1\n")
    (folder / "entry_points.txt").write_text("[aether.placement_policy]\nlazy = lazy_policy:none\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    monkeypatch.setattr(own, "_plugged", False)
    assert served("lazy").sum() == 0.0
    assert "lazy" in own


def test_an_unknown_policy_is_told_with_the_nearest():
    with pytest.raises(
        InputError, match=r"placement.policy: unknown placement policy 'nearst'; did you mean 'nearest'"
    ):
        assemble(load(fabric(placement__policy="nearst")))


def test_what_is_no_gang_takes_from_each_host_what_that_has():
    shares = []
    for gang in (True, False):
        s = snapshot([[0]], [60.0, 15.0], [[1.0, 1.0]], [[0.01, 0.01]], job_gpu=np.array([[2.0, 1.0]]),
                     job_value_usd=np.ones(1), job_apart=frozenset() if gang else frozenset({0}))  # fmt: skip
        shares.append(policies["value"](s).job_share[0].tolist())
    assert shares == [[0.25, 0.25], [0.5, 0.25]]  # 60 of 120 and 15 of 60 GPU-seconds


# The router: two hosts that are alike but for one term; each term turns the choice by itself.

TURNS = {
    "trip": {"round_trip_s": np.array([[0.02, 0.01]], np.float32)},
    "prefix": {"kept": np.array([[[0.0, 0.5]]])},
    "load": {"installed_gpu": np.array([2.0, 1.0])},  # half of the first is not free
    "cache": {"cache_share": np.array([0.8, 0.1])},
    "dark": {"light_s": np.array([300.0, 800.0])},
    "charge": {"charge_share": np.array([0.4, 0.9])},
    "contact": {"contact_s": np.array([60.0, 600.0])},
    "energy": {"energy_usd": np.array([[0.3, 0.1]])},
    "carbon": {"carbon_usd": np.array([[0.3, 0.1]])},
}


def went(s):
    """The host that ten requests of one place went to."""
    return int(np.argmax(placed(policies["router"](s), 1, 2)[0]))


@pytest.mark.parametrize("term", router.TERMS)
def test_the_router_turns_from_a_host_by_each_term_and_only_where_it_weighs(term):
    s = snapshot([[10]], [60.0, 60.0], [[1.0, 1.0]], [[0.01, 0.01]])
    assert went(s) == 0  # alike: the first
    turned = replace(s, **TURNS[term])
    assert went(turned) == 1
    weights = tuple(0.0 if k == term else w for k, w in zip(router.TERMS, s.weights, strict=True))
    assert went(replace(turned, weights=weights)) == 0


def test_the_routers_score_is_the_weighed_sum_of_burdens():
    # way 0.1 of its limit of 1 s; half free; 300 of 900 s of light; charge 0.4; energy 0.2 of a worth of 1
    s = snapshot([[10]], [60.0, 60.0], [[1.0, 1.0]], [[0.1, 0.1]], installed_gpu=np.array([2.0, 1.0]), light_s=np.array([300.0, np.inf]),
                 charge_share=np.array([0.4, 1.0]), energy_usd=np.array([[0.2, 0.0]]))  # fmt: skip
    by_hand = -(1.0 * 0.1 + 0.5 * 0.5 + 0.3 * (1 - 300 / 900) + 0.2 * 0.6 + 0.5 * 0.2)
    assert router.score(s)[0, 0].tolist() == pytest.approx([by_hand, -0.1])


def test_the_router_never_sends_where_a_hard_limit_forbids():
    s = snapshot([[10]], [60.0, 60.0], [[1.0, 1.0]], [[0.9, 0.01]], allowed=np.array([[True, False]]))
    assert placed(policies["router"](s), 1, 2) == [[10.0, 0.0]]
    assert len(policies["router"](replace(s, limit_s=np.array([0.5]))).work) == 0


def test_a_link_lasts_until_its_ends_are_out_of_range():
    # 500 km apart, the relay leaves at 1 km/s along the line: 500 s to a range of 1,000 km; no link, no time
    far, still = np.array([[500e3, 0.0, 0.0]]), np.zeros((2, 3))
    left = handover.lasts_s(
        np.zeros((2, 3)), still, far, np.array([[1e3, 0.0, 0.0]]), np.array([[0, -1], [-1, -2]]), 1e6
    )
    assert left.tolist() == pytest.approx([500.0, 0.0])
