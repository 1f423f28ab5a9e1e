"""Whatever is asked of a small fabric at once: all is accounted for, nothing above its limits, and threads change no figure."""

import copy
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aether.engine.assemble import assemble
from aether.engine.run import play, simulate
from aether.placement import capacity
from aether.results import results
from aether.scenario.load import load

RING = {"altitude": "600 km", "node_local_time": "18 h"}
FABRIC = {
    "name": "mix", "start": "2026-06-21T00:00:00Z", "step": "2 min",
    "relays": {"shells": [{"shell": {"planes": 12, "per_plane": 11, "altitude": "550 km", "inclination": "53 deg"}}]},
    "ships": [{"name": "a", "ship": "ai1", "count": 3, "orbit": {"ring": RING}}],
    "sites": [{"name": "dublin", "at": "Dublin", "gpus": 72}],
    "ground": {"cities": {"largest": 10}, "coverage_cells": 0}, "outputs": {"ablation": False, "report": False},
}  # fmt: skip
STAGES = ("installed", "working", "power", "heat", "radiation", "reach", "placed")


def chat(rate, patience, scaled):
    asked = {"model": "llama-3.1-8b", "requests": {"rate": f"{rate} 1/s"}, "patience": f"{patience} min"}
    return {"name": "chat", "inference": asked | ({"autoscale": {"cool": "2 min"}} if scaled else {})}


@st.composite
def mixes(draw):
    data = copy.deepcopy(FABRIC) | {
        "seed": draw(st.integers(0, 2**31)),
        "duration": f"{2 * draw(st.integers(4, 10))} min",
    }
    work = []
    if draw(st.booleans()):
        work.append(
            chat(draw(st.sampled_from([0, 5, 400, 40_000])), draw(st.sampled_from([0, 4])), draw(st.booleans()))
        )
        if draw(st.booleans()):
            work.append(
                {
                    "name": "tune",
                    "tuning": {
                        "service": "chat",
                        "feedback": 0.1,
                        "every": "2 min",
                        "method": draw(st.sampled_from(["lora", "full"])),
                    },
                }
            )
    if draw(st.booleans()):
        method = draw(st.sampled_from(["diloco", "streaming", "decoupled"]))
        work.append(
            {
                "name": "train",
                "where": ["a"],
                "training": {"model": "llama-3.1-8b", "tokens": 1e11, "batch": 1e6, "sync_every": 20, "method": method},
            }
        )
    if draw(st.booleans()):
        source = {"places": ["Delhi"], "units": 100, "rate": draw(st.sampled_from(["1 kbit/s", "100 Mbit/s"]))}
        work.append(
            {
                "name": "feed",
                "stream": {"places": source, "process": draw(st.sampled_from(["orbit", "ground"])), "buffer": "1 GB"},
            }
        )
    if draw(st.booleans()):
        law = draw(st.sampled_from([[], ["IE"], ["US"]]))
        data["jobs"] = [
            {
                "name": "job",
                "count": draw(st.integers(1, 3)),
                "gpus": draw(st.integers(1, 72)),
                "time": "3 min",
                "jurisdictions": law,
            }
        ]
    return data | {"workloads": work}


@settings(max_examples=15)
@given(data=mixes())
def test_all_is_accounted_for_and_no_host_gives_more_than_it_has(data):
    setup, records = assemble(load(data)), []
    play(setup, each=records.append)
    law = data["jobs"][0]["jurisdictions"] if "jobs" in data else []
    may = capacity.allowed((), tuple(law), setup.hosts.group, setup.hosts.country)
    for record in records if setup.work.some else ():  # one: fewer ticks than a window
        asked, hosts = record.work.asked, record.work.hosts
        total = {k: asked[k].sum(axis=(0, 2), dtype=float) for k in ("requests", "served", "rejected")}
        waiting = asked["waiting"][-1].sum(axis=1, dtype=float)
        np.testing.assert_allclose(
            total["requests"], total["served"] + total["rejected"] + waiting, rtol=1e-5, atol=1e-3
        )
        used = hosts["inference_gpu"] + hosts["training_gpu"] + hosts["batch_gpu"]
        assert (used <= hosts["free_gpu"] * (1 + 1e-5) + 1e-4).all()
        assert not hosts["batch_gpu"][:, ~may].any()


@settings(max_examples=8)
@given(data=mixes())
def test_bits_stages_and_threads(data):
    one, two = (simulate(load(data), threads=n).summary for n in (1, 2))
    assert results.dumps(one) == results.dumps(two)
    left = [one["waterfall"][k]["gpu_hours"] for k in STAGES]
    assert all(b <= a * (1 + 1e-9) for a, b in pairwise(left))
    for told in (one.get("work") or {}).get("streams") or []:
        assert told["insight_bit"] + told["waiting_bit"] + told["lost_bit"] == pytest.approx(told["made_bit"], rel=1e-9)
