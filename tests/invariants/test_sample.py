"""Single requests in a run: off unless asked for, the same for the same seed, in line with the fluid they are drawn from."""

import json

import numpy as np
import pytest

from aether.engine import sample
from aether.engine.run import simulate
from aether.scenario.load import load
from constellation import fabric

KEYS = [f"{what}_p{p}_s" for what in ("first_token", "token_gap", "answer") for p in (50, 95, 99)]


def followed(**changes):
    return simulate(load(fabric(outputs={"requests": True}, **changes)))


@pytest.fixture(scope="module")
def run():
    return followed()


def services(outcome):
    return {s["name"]: s for s in outcome.summary["work"]["inference"]}


def test_nobody_is_followed_unless_asked_and_nothing_else_changes(run):
    plain = simulate(load(fabric()))
    assert all("followed" not in s for s in plain.summary["work"]["inference"])
    without = json.loads(json.dumps(run.summary, default=str))
    for service in without["work"]["inference"]:
        del service["followed"]
    assert without == json.loads(json.dumps(plain.summary, default=str))


def test_every_followed_request_is_served_in_flight_or_rejected(run):
    for service in services(run).values():
        told = service["followed"]
        assert told["requests"] == told["served"] + told["in_flight"] + told["rejected"] > 1000


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
