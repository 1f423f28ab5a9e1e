"""Autoscaling in a run: weights move before a host serves, hosts follow demand, and what cannot wait is refused."""

from functools import cache
from typing import Any

import pytest

import aether
from aether.base.errors import InputError

RUN: dict[str, Any] = {
    "name": "scaled", "start": "2026-06-21T00:00:00Z", "duration": "4 h", "step": "60 s",
    "relays": {"shells": [{"shell": {"planes": 24, "per_plane": 22, "altitude": "550 km", "inclination": "53 deg"}}]},
    "ships": [{"name": "ai1", "ship": "ai1", "count": 6, "orbit": {"ring": {"altitude": "600 km", "node_local_time": "18 h"}}}],
    "sites": [{"name": "dublin", "site": "liquid-cooled", "at": "Dublin", "gpus": 72}],
    "workloads": [{"name": "assistant", "inference": {"model": "llama-3.3-70b", "requests": {"rate": "60 1/s"}, "patience": "3 min",
                                                      "autoscale": {"least": 1, "cool": "5 min"}}}],
    "ground": {"cities": {"largest": 20}, "coverage_cells": 0}, "outputs": {"ablation": False},
}  # fmt: skip


@cache
def run(*changes: tuple[str, Any]) -> Any:
    return aether.run(RUN, set=dict(changes))


def service(result: Any) -> dict[str, Any]:
    return result.summary["work"]["inference"][0]


def test_little_demand_needs_the_least_and_moves_nothing() -> None:
    told = service(run(("workloads.0.inference.requests.rate", "1 1/s")))["autoscale"]
    assert (told["hosts_mean"], told["hosts_most"], told["loads"], told["weights_moved_bit"]) == (1.0, 1.0, 0.0, 0.0)


def test_much_demand_moves_whole_copies_of_the_weights_to_more_hosts() -> None:
    told = service(run(("workloads.0.inference.requests.rate", "2500 1/s")))
    scaled = told["autoscale"]
    assert scaled["hosts_most"] > 2
    assert scaled["loads"] >= scaled["hosts_most"] - 1
    size = 70.6e9 * 8  # fp8: a byte a parameter
    assert scaled["weights_moved_bit"] <= scaled["loads"] * size * 1.01
    assert scaled["weights_moved_bit"] >= (scaled["hosts_most"] - 1) * size * 0.99
    assert told["served"] + told["rejected"] + told["waiting"] == pytest.approx(told["requests"])


def test_no_host_serves_before_it_has_the_weights() -> None:
    result = run(("workloads.0.inference.requests.rate", "2500 1/s"))
    hosts = (
        result.tables["hosts"].to_pandas().pivot_table(index="time_s", columns="host", values="requests", observed=True)
    )
    serving = (hosts > 0).sum(axis=1).to_numpy()
    ready = result.tables["scaling"].to_pandas()["hosts"].to_numpy()
    assert (serving <= ready).all()
    assert serving[0] == 1


def test_hosts_at_most_are_not_exceeded_and_more_is_refused() -> None:
    told = service(
        run(("workloads.0.inference.requests.rate", "3000 1/s"), ("workloads.0.inference.autoscale.most", 2))
    )
    assert told["autoscale"]["hosts_most"] <= 2
    assert told["rejected"] > 0


def test_weights_everywhere_serve_sooner_than_weights_that_must_come_first() -> None:
    scaled = service(run(("workloads.0.inference.requests.rate", "2500 1/s")))
    fixed = service(run(("workloads.0.inference.requests.rate", "2500 1/s"), ("workloads.0.inference.autoscale", None)))
    assert scaled["first_token_p99_s"] >= fixed["first_token_p99_s"]


def test_a_rule_by_which_hosts_would_come_and_go_is_refused() -> None:
    with pytest.raises(InputError, match="down must be below up"):
        run(("workloads.0.inference.autoscale.down", 0.9))
