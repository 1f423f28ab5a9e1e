"""Scenarios that nobody would mean: each is refused in words or runs, and none ends in a traceback."""

import copy
import json

import pytest

import aether
from aether.base.errors import InputError

IMAGING = {"count": 2, "orbit": {"ring": {"altitude": "786 km", "node_local_time": "10.5 h"}}, "swath": "290 km", "resolution": "10 m"}  # fmt: skip
TINY = {
    "name": "tiny", "start": "2026-06-21T00:00:00Z", "duration": "8 min", "step": "2 min",
    "relays": {"shells": [{"shell": {"planes": 12, "per_plane": 11, "altitude": "550 km", "inclination": "53 deg"}}]},
    "ships": [{"name": "a", "ship": "ai1", "count": 3, "orbit": {"ring": {"altitude": "600 km", "node_local_time": "18 h"}}}],
    "sites": [{"name": "dublin", "at": "Dublin", "gpus": 72}],
    "ground": {"cities": {"largest": 10}, "coverage_cells": 0}, "outputs": {"ablation": False},
}  # fmt: skip
CHAT = {"name": "chat", "inference": {"model": "llama-3.1-8b", "requests": {"rate": "20 1/s"}}}


def ran(report=False, **changes):
    made = aether.run(copy.deepcopy(TINY) | changes, report=report, threads=1)
    return made, json.loads(json.dumps(made.summary))


def refused(**changes):
    with pytest.raises(InputError) as told:
        ran(**changes)
    return str(told.value)


def test_sites_without_work_leave_their_figures_of_cost_out():
    made, _ = ran(report=True)
    assert made.report
    assert "of a GPU-hour by term" in made.report


def test_ships_that_reach_no_gateway_leave_theirs_out_too():
    ground = {"gateways": {"operational": False}, "cities": {"largest": 5}, "coverage_cells": 0}
    stream = {"name": "s", "stream": {"imaging": IMAGING, "process": "ground"}}
    made, _ = ran(report=True, ground=ground, workloads=[stream], sites=[])
    assert made.report


def test_a_watch_without_ships_is_refused():
    assert "there are no ships to watch" in refused(ships=[], watch={"inject": 1})


@pytest.mark.parametrize(
    ("ship", "words"), [("a/" + "9" * 5000, "match pattern"), ("a/²", "match pattern"), ("a/99", "0 to 2")]
)
def test_numbers_of_ships_that_are_none_are_refused(ship, words):
    assert words in refused(degrading=[{"ship": ship, "kind": "pump", "start": "0 s", "depth": 0.5}])


def test_a_battery_that_loses_all_of_its_charge_is_watched_without_a_gauge():
    dead = {"ship": "a/1", "kind": "battery", "start": "0 s", "over": "0 s", "depth": 1.0, "breaks": True}
    _, told = ran(degrading=[dead], watch={})
    assert told["watch"]["degraded"] == 1


@pytest.mark.parametrize("requests", [{"rate": "1e30 1/s"}, {"per_person_day": 1e30}])
def test_more_requests_than_there_can_be_are_refused(requests):
    asked = {"name": "chat", "inference": {"model": "llama-3.1-8b", "requests": requests}}
    assert f"requests.{next(iter(requests))}" in refused(workloads=[asked])


@pytest.mark.parametrize("process", ["orbit", "ground"])
def test_a_stream_over_a_fabric_without_hosts_is_refused(process):
    stream = {"name": "s", "stream": {"imaging": IMAGING, "process": process}}
    assert "neither ship nor site" in refused(ships=[], sites=[], workloads=[stream])
