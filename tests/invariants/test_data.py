"""Streams and tuning in a run: bits and samples add up, and the rest of the twin is felt."""

from functools import cache
from typing import Any

import pytest

import aether

RUN: dict[str, Any] = {
    "name": "data", "start": "2026-06-21T00:00:00Z", "duration": "3 h", "step": "60 s",
    "relays": {"shells": [{"shell": {"planes": 24, "per_plane": 22, "altitude": "550 km", "inclination": "53 deg"}}]},
    "ships": [{"name": "ai1", "ship": "ai1", "count": 6, "orbit": {"ring": {"altitude": "600 km", "node_local_time": "18 h"}}}],
    "sites": [{"name": "dublin", "site": "liquid-cooled", "at": "Dublin", "gpus": 72}],
    "workloads": [
        {"name": "assistant", "inference": {"model": "llama-3.1-8b", "requests": {"per_person_day": 0.02}}},
        {"name": "fires", "stream": {"imaging": {"count": 4, "orbit": {"ring": {"altitude": "786 km", "node_local_time": "22.5 h"}},
                                                 "swath": "290 km", "resolution": "10 m", "bits": 12, "bands": 4}}},
        {"name": "feeds", "stream": {"places": {"places": ["Nairobi"], "units": 1000, "rate": "200 kbit/s",
                                                "windows": [{"start": "30 min", "duration": "20 min"}]}}},
        {"name": "housekeeping", "stream": {"satellites": {"of": "ships", "rate": "1 Mbit/s"}}},
        {"name": "tune", "tuning": {"service": "assistant", "feedback": 0.01}},
    ],
    "ground": {"cities": {"largest": 20}, "coverage_cells": 0}, "outputs": {"ablation": False},
}  # fmt: skip


@cache
def run(*changes: tuple[str, Any]) -> Any:
    return aether.run(RUN, set=dict(changes))


def streams(result: Any) -> dict[str, Any]:
    return {s["name"]: s for s in result.summary["work"]["streams"]}


def test_bits_that_are_made_become_insight_or_wait_or_are_lost() -> None:
    for told in streams(run()).values():
        assert told["made_bit"] > 0
        assert told["insight_bit"] + told["waiting_bit"] + told["lost_bit"] == pytest.approx(told["made_bit"], rel=1e-9)


def test_a_launch_sends_in_its_windows_only() -> None:
    assert streams(run())["feeds"]["made_bit"] == pytest.approx(1000 * 200e3 * 20 * 60)


def test_an_imager_makes_nothing_in_the_dark() -> None:
    told = run().tables["streams"].to_pandas()
    made = told[told["stream"] == "fires"].groupby("time_s")["made_bit"].agg(["min", "max"])
    full = 0.3 * 60 * 290e3 * 6.66e3 / 100 * 12 * 4 / 2.5
    assert made["max"].max() == pytest.approx(full, rel=0.01)
    assert (
        made["min"] == 0
    ).mean() > 0.3  # four imagers evenly round the orbit: one is always in the dark or low light


def test_work_in_orbit_saves_the_downlink_and_hours() -> None:
    told = streams(run())["fires"]
    assert told["downlink_saved"] == pytest.approx(1 - 1 / 200)
    assert told["insight_p50_s"] < 10 < told["raw"]["insight_p95_s"]


def test_raw_pictures_wait_for_a_pass() -> None:
    few = streams(
        aether.run(
            RUN, set={"workloads.1.stream.imaging.stations": ["Kwajalein Atoll"], "ground.gateways.add": [STATION]}
        )
    )
    all_ = streams(run())
    assert few["fires"]["raw"]["arrived_bit"] < 0.5 * all_["fires"]["raw"]["arrived_bit"]


STATION = {"name": "Kwajalein Atoll", "latitude": "8.7 deg", "longitude": "167.7 deg", "country": "MH"}


def test_a_small_buffer_loses_bits() -> None:
    told = streams(run(("workloads.1.stream.process", "ground"), ("workloads.1.stream.buffer", "1 GB"),
                       ("workloads.1.stream.imaging.downlink", "50 Mbit/s")))["fires"]  # fmt: skip
    assert told["lost_bit"] > 0.2 * told["made_bit"]
    assert told["insight_bit"] + told["waiting_bit"] + told["lost_bit"] == pytest.approx(told["made_bit"], rel=1e-9)


def test_heavier_work_takes_gpus_that_the_ships_have() -> None:
    light, heavy = run(), run(("workloads.1.stream.flop_per_bit", 3e7))
    hours = [r.summary["work"]["stream_gpu_hours"] for r in (light, heavy)]
    assert hours[1] > 20 * hours[0]
    used = [r.summary["waterfall"]["delivered"]["gpu_hours"] for r in (light, heavy)]
    assert used[1] > used[0]


def test_feedback_is_learnt_once_and_the_rest_waits() -> None:
    told = run().summary["work"]["tuning"][0]
    served = run().summary["work"]["inference"][0]["served"]
    assert told["samples"] == pytest.approx(0.01 * served)
    assert 0 < told["learnt"] <= told["samples"]
    assert told["versions"] == pytest.approx(3 * 3600 / 600, abs=2)
    assert told["sent_bit"] == pytest.approx(
        told["versions"] * 8 * told["version_bytes"] * (told["replica_hosts"] - 1), rel=0.2
    )


def test_freshness_is_at_least_half_the_interval_and_real_time_is_judged_by_it() -> None:
    told = run().summary["work"]["tuning"][0]
    assert 250 < told["fresh_p50_s"] < 400  # half of ten minutes, and training, sending, swapping
    assert told["fresh_p99_s"] < 900
    assert told["fresh_share"] == 1.0
    slow = run(("workloads.4.tuning.every", "40 min")).summary["work"]["tuning"][0]
    assert slow["fresh_p50_s"] > 1200
    assert slow["fresh_share"] < 0.6


def test_full_tuning_sends_all_weights_and_is_staler() -> None:
    lora, full = (run(*c).summary["work"]["tuning"][0] for c in ((), (("workloads.4.tuning.method", "full"),)))
    assert full["version_bytes"] > 90 * lora["version_bytes"]
    assert full["fresh_p50_s"] >= lora["fresh_p50_s"]


def test_without_a_way_over_the_network_nothing_from_orbit_arrives() -> None:
    told = streams(run(("relays.ship_terminals", 0)))["fires"]
    assert told["insight_bit"] == 0
