"""Single requests in a run: beside the fluid and without a trace in it, the same for the same seed, in line with it."""

import json

import numpy as np
import pytest

from aether.engine import sample
from aether.engine.run import simulate
from aether.scenario.load import load
from aether.workloads.batching import EXPIRED
from constellation import fabric

KEYS = [f"{what}_p{p}_s" for what in ("first_token", "token_gap", "answer") for p in (50, 95, 99)]


def followed(**changes):
    return simulate(load(fabric(outputs={"requests": True}, **changes)))


@pytest.fixture(scope="module")
def run():
    return followed()


def services(outcome):
    return {s["name"]: s for s in outcome.summary["work"]["inference"]}


def test_following_requests_changes_nothing_else(run):
    plain = simulate(load(fabric(outputs={"requests": False})))
    assert all("followed" not in s for s in plain.summary["work"]["inference"])
    without = json.loads(json.dumps(run.summary, default=str))
    for service in without["work"]["inference"]:
        del service["followed"]
    assert without == json.loads(json.dumps(plain.summary, default=str))


def test_every_followed_request_is_served_in_flight_or_rejected(run):
    for service in services(run).values():
        told = service["followed"]
        assert told["requests"] == told["served"] + told["in_flight"] + told["rejected"] + told["expired"] > 1000


def test_percentiles_rise_and_the_whole_answer_is_longest(run):
    for service in services(run).values():
        told = [service["followed"][k] for k in KEYS]
        assert told[0:3] == sorted(told[0:3])
        assert told[3:6] == sorted(told[3:6])
        assert told[6:9] == sorted(told[6:9])
        assert all(whole >= first for first, whole in zip(told[0:3], told[6:9], strict=True))


def test_the_same_seed_gives_the_same_requests(run):
    again = followed()
    assert [s["followed"] for s in services(again).values()] == [s["followed"] for s in services(run).values()]


def test_a_replica_is_asked_for_no_more_than_its_target_load(run):
    seen = np.concatenate(run.totals.work.followed)
    work, hosts = run.setup.work, run.setup.hosts
    for q, service in enumerate(work.services):
        for g, members in enumerate(sample.groups(run.setup).values()):
            serving = service.serving.get(hosts.accelerator[members[0]])
            if serving is not None:
                most = serving.request_s[-1] * service.target * 60.0  # a tick of 60 s
                assert (seen[:, q, g, 0] <= most * seen[:, q, g, 1] * (1 + 1e-6)).all()
                assert (seen[:, q, g, 1] <= 1.0).all()


def test_quantiles_count_by_weight():
    values, weight = np.array([3.0, 1.0, 2.0]), np.array([1.0, 1.0, 8.0])
    assert sample.quantiles(values, weight, (0.05, 0.5, 0.95)) == [1.0, 2.0, 3.0]
    assert sample.quantiles(np.empty(0), np.empty(0), (0.5,)) == [None]


def test_groups_add_up_and_every_group_that_served_is_followed(run):
    hosts, made = run.setup.hosts, np.concatenate(run.totals.work.followed)
    for q, service in enumerate(services(run).values()):
        told = service["followed"]
        for key in ("requests", "served", "in_flight", "expired", "preempted"):
            assert told[key] == sum(g[key] for g in told["groups"])
        served = {name for g, name in enumerate(sample.groups(run.setup)) if made[:, q, g, 2].sum() > 0.0}
        assert {g["host"] for g in told["groups"]} == served <= set(hosts.group)


def test_a_first_token_has_its_way_in_it_as_the_fluids_has(run):
    for service in services(run).values():
        curve = service["followed"]["curve"]
        nearest = min(c["network_s"] for c in service["best"])
        assert curve["first_token_s"][0] > 0.8 * nearest  # a tick's way may be below its day's mean
        assert curve["first_token_s"] == sorted(curve["first_token_s"])
        assert 0.5 < service["followed"]["first_token_p50_s"] / service["first_token_p50_s"] < 2.5


def asked_for(setup, rate, **changes):
    """A replica of the first service at the first group asked for so many requests a tick, at full clocks."""
    seen = np.zeros((setup.scenario.clock.ticks, sample.SEEN))
    seen[:, :3] = rate, 1.0, 1.0
    for column, value in changes.items():
        seen[:, {"way_s": slice(5, None), "wait_s": 3}[column]] = value
    name, members = next(iter(sample.groups(setup).items()))
    return sample._group(setup, 0, name, members, seen)


def test_who_has_not_begun_when_patience_ends_gives_up(run):
    most = 60.0 * next(iter(run.setup.work.services[0].serving.values())).request_s[-1]
    calm, crowd = asked_for(run.setup, 0.3 * most), asked_for(run.setup, 2.0 * most)
    assert calm.counts[EXPIRED] == 0
    assert crowd.counts[EXPIRED] > 0.2 * crowd.counts.sum()
    assert crowd.times_s[0].max() < 120.0 + 30.0  # patience of 2 min, then the prompt among others
    late = asked_for(run.setup, 2.0 * most, wait_s=100.0)  # a minute is left at least, the run's finest
    assert late.counts[EXPIRED] > crowd.counts[EXPIRED]


def test_a_way_adds_to_first_token_and_answer_and_not_to_gaps(run):
    near, far = asked_for(run.setup, 20.0), asked_for(run.setup, 20.0, way_s=0.2)
    assert far.times_s[0] == pytest.approx(near.times_s[0] + 0.2)
    assert far.times_s[1] == pytest.approx(near.times_s[1])
    assert far.times_s[2] == pytest.approx(near.times_s[2] + 0.2)
