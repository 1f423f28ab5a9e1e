"""Every packaged scenario runs, and its aggregates stay where they were: change them only with a reason."""

import math

import pytest

from aether.scenario.load import examples

# name: (duration, {stage: share of installed}, least share of the cities' people covered); tolerance in points of share
GOLDEN = {
    "project-aether": ("3 h", {"power": 0.7336, "heat": 0.7318, "radiation": 0.7299, "reach": 0.7287}, 0.99),
    "ai1-ring": ("6 h", {"power": 0.7387, "heat": 0.7341, "radiation": 0.7256, "reach": 0.7251}, 0.98),
    "suncatcher-cluster": ("3 h", {"power": 0.6671, "heat": 0.6671, "radiation": 0.6671, "reach": 0.6659}, 0.90),
    "real-elements": ("3 h", {"power": 0.7461, "heat": 0.7368, "radiation": 0.7293, "reach": 0.7282}, 0.98),
}


def test_every_packaged_scenario_has_a_golden_line():
    assert set(GOLDEN) == set(examples())


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_example_delivers_what_it_did(run_engine, name):
    duration, shares, covered = GOLDEN[name]
    told = run_engine(name, duration=duration).summary
    for stage, share in shares.items():
        assert told["waterfall"][stage]["share"] == pytest.approx(share, abs=0.005), stage
    assert told["cities"]["covered_share"] > covered
    assert all(math.isfinite(p["rtt_mean_s"]) for p in told["probes"])
