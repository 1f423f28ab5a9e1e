"""The watch in a run: degradation is felt, alarms drain ships, and what that saved is told."""

from functools import cache
from typing import Any

import pytest

import aether
from aether.base.errors import InputError

RUN: dict[str, Any] = {
    "name": "watched", "start": "2026-06-21T00:00:00Z", "duration": "10 h", "step": "120 s",
    "relays": {"shells": [{"shell": {"planes": 24, "per_plane": 22, "altitude": "550 km", "inclination": "53 deg"}}]},
    "ships": [{"name": "ai1", "ship": "ai1", "count": 4, "orbit": {"ring": {"altitude": "600 km", "node_local_time": "18 h"}}}],
    "ground": {"cities": {"largest": 0}, "coverage_cells": 0}, "outputs": {"ablation": False},
}  # fmt: skip
PUMP = {"ship": "ai1/1", "kind": "pump", "start": "3 h", "over": "3 h", "depth": 0.7, "breaks": True}


@cache
def run(watch: bool, kind: str = "pump", breaks: bool = True) -> Any:
    told = RUN | {"degrading": [PUMP | {"kind": kind, "breaks": breaks}]}
    return aether.run(told | ({"watch": {"drain": "1 h"}} if watch else {}))


@cache
def whole() -> Any:
    return aether.run(RUN)


def gpu_hours(result: Any) -> float:
    return float(result.summary["waterfall"]["deliverable"]["gpu_hours"])


@pytest.mark.parametrize("kind", ["pump", "cells", "battery", "pointing"])
def test_every_kind_of_degradation_costs_compute(kind: str) -> None:
    assert gpu_hours(run(False, kind, False)) < gpu_hours(whole())


def test_a_dying_pump_shows_in_the_temperature_of_its_ship_alone() -> None:
    chips = run(False, "pump", False).tables["heat"].to_pandas().groupby("ship", observed=True)["chip_k"].max()
    sound = whole().tables["heat"].to_pandas().groupby("ship", observed=True)["chip_k"].max()
    assert chips.drop("ai1/1").to_numpy() == pytest.approx(sound.drop("ai1/1").to_numpy())
    fall = [
        tuple(r.tables[k].to_pandas().query("ship == 'ai1/1'") for k in ("heat", "energy"))
        for r in (run(False, "pump", False), whole())
    ]
    gaps = [((f["chip_k"] - f["radiator_k"]) / e["gpu_w"].clip(lower=1.0)).iloc[-60:].median() for f, e in fall]
    assert gaps[0] > 1.2 * gaps[1]


def test_the_watch_drains_the_ship_before_it_breaks_and_says_what_that_saved() -> None:
    told = run(True).summary["watch"]
    assert (told["recall"], told["precision"]) == (1.0, 1.0)
    assert told["without"]["ships_lost"] == 1
    assert told["with"]["ships_lost"] == 0
    assert told["saved"]["deliverable_gpu_hours"] > 0
    assert told["with"]["deliverable_gpu_hours"] == pytest.approx(gpu_hours(run(True)))
    assert told["without"]["deliverable_gpu_hours"] == pytest.approx(gpu_hours(run(False)))


def test_without_faults_nothing_degrades() -> None:
    told = aether.run(RUN | {"degrading": [PUMP], "couplings": {"faults": False}})
    assert gpu_hours(told) == pytest.approx(gpu_hours(aether.run(RUN | {"couplings": {"faults": False}})))


def test_a_ship_that_is_not_there_cannot_degrade() -> None:
    with pytest.raises(InputError, match="numbers 0 to 3"):
        aether.run(RUN | {"degrading": [PUMP | {"ship": "ai1/4"}]})


def test_without_faults_a_part_that_degrades_interrupts_no_training() -> None:
    asked = {"name": "train", "training": {"model": "llama-3.1-8b", "tokens": 1e12, "batch": 4e6}}
    told = RUN | {"duration": "7 h", "workloads": [asked], "couplings": {"faults": False, "anomaly": False}}
    hit, sound = (aether.run(told | {"degrading": d}).summary["work"]["training"][0] for d in ([PUMP], []))
    assert hit["interruptions"] == sound["interruptions"] == 0
    assert hit["tokens"] == pytest.approx(sound["tokens"])
