"""Every packaged scenario runs, and its aggregates stay where they were: change them only with a reason."""

import math

import pytest

from aether.scenario.load import examples

# name: (duration, {stage: share of installed}, least share of the cities' people covered); tolerance in points of share
GOLDEN = {
    "project-aether": (
        "3 h",
        {
            "working": 0.9763,
            "power": 0.7363,
            "heat": 0.7346,
            "radiation": 0.7328,
            "reach": 0.7316,
            "placed": 0.6243,
            "delivered": 0.4986,
        },
        0.99,
    ),
    "ai1-ring": (
        "6 h",
        {
            "working": 1.0000,
            "power": 0.7387,
            "heat": 0.7341,
            "radiation": 0.7256,
            "reach": 0.7251,
            "placed": 0.7251,
            "delivered": 0.7251,
        },
        0.98,
    ),
    "suncatcher-cluster": (
        "3 h",
        {
            "working": 0.9877,
            "power": 0.6589,
            "heat": 0.6589,
            "radiation": 0.6588,
            "reach": 0.6577,
            "placed": 0.6577,
            "delivered": 0.6577,
        },
        0.90,
    ),
    "real-elements": (
        "3 h",
        {
            "working": 1.0000,
            "power": 0.7461,
            "heat": 0.7368,
            "radiation": 0.7293,
            "reach": 0.7282,
            "placed": 0.7282,
            "delivered": 0.7282,
        },
        0.98,
    ),
    "ground-only": ("6 h", {}, None),
    "hybrid-cable-cut": (
        "3 h",
        {
            "working": 1.0000,
            "power": 1.0000,
            "heat": 0.9976,
            "radiation": 0.9893,
            "reach": 0.9882,
            "placed": 0.1184,
            "delivered": 0.1184,
        },
        0.98,
    ),
    "remote-clinic": (
        "6 h",
        {
            "working": 1.0000,
            "power": 0.7731,
            "heat": 0.7728,
            "radiation": 0.7633,
            "reach": 0.7628,
            "placed": 0.0000,
            "delivered": 0.0000,
        },
        0.80,
    ),
    "million": (
        "5 min",
        {
            "working": 0.9900,
            "power": 0.8300,
            "heat": 0.7899,
            "radiation": 0.7203,
            "reach": 0.6838,
            "placed": 0.6838,
            "delivered": 0.6838,
        },
        0.99,
    ),
    "batch-queue": (
        "2 h",
        {
            "working": 1.0,
            "power": 0.7596,
            "heat": 0.7503,
            "radiation": 0.7387,
            "reach": 0.7372,
            "placed": 0.6397,
            "delivered": 0.6029,
        },
        0.99,
    ),
    "climate-watch": (
        "2 h",
        {"working": 1.0, "power": 0.9704, "heat": 0.9648, "radiation": 0.9514, "reach": 0.9314, "placed": 0.1406, "delivered": 0.1406},
        0.99,
    ),
    "logistics": (
        "1 h",
        {"working": 1.0, "power": 1.0, "heat": 0.9959, "radiation": 0.968, "reach": 0.9609, "placed": 0.0008, "delivered": 0.0008},
        0.99,
    ),
    "remote-science": (
        "2 h",
        {"working": 1.0, "power": 0.9409, "heat": 0.9409, "radiation": 0.9192, "reach": 0.9174, "placed": 0.0, "delivered": 0.0},
        0.99,
    ),
    "launch-telemetry": (
        "1 h",
        {"working": 1.0, "power": 0.9838, "heat": 0.9793, "radiation": 0.9793, "reach": 0.9599, "placed": 0.0015, "delivered": 0.0015},
        0.99,
    ),
    "lost-and-found": (
        "6 h",
        {"working": 0.9583, "power": 0.9583, "heat": 0.8709, "radiation": 0.8611, "reach": 0.8605, "placed": 0.7135, "delivered": 0.7032},
        0.99,
    ),
}  # fmt: skip
# what continuous integration leaves of an example that is large
REDUCED = {
    "million": {
        "relays__shells": tuple(
            {"shell": {"planes": 250, "per_plane": 200, "altitude": f"{h} km", "inclination": f"{i} deg"}}
            for h, i in ((550, 30.0), (620, 97.87))
        ),
        "ships__0__count": 100,
    }
}
# name: {workload: (share of requests served or of the time that trains, median time to first token [s])}
WORK = {
    "project-aether": {"assistant": (1.0, 0.4545), "european": (1.0, 0.1449), "frontier": (0.4336, None)},
    "ground-only": {"assistant": (1.0, 0.4522), "nightly": (0.9961, None)},
    "hybrid-cable-cut": {"assistant": (1.0, 0.111)},
    "remote-clinic": {"triage": (1.0, 0.085)},
    "batch-queue": {"assistant": (1.0, 0.1691)},
    "climate-watch": {"question": (1.0, 0.110)},
    "logistics": {"dispatch": (1.0, 0.0858)},
    "remote-science": {"assistant": (0.9745, 0.0627)},
    "lost-and-found": {"assistant": (0.9955, 0.1869), "nightly": (0.5646, None)},
}
# name: {stream: median time to insight, tuner: median age of feedback when it serves [s]}
DATA = {
    "climate-watch": {"fires": 3.40},
    "logistics": {"roads": 1.037, "vessels": 1.040, "learn": 155.2},
    "remote-science": {"telescope": 1.021, "seismic": 1.025},
    "launch-telemetry": {"ascent": 1.021, "relays": 1.058, "ships": 1.000},
}


def test_every_packaged_scenario_has_a_golden_line():
    assert set(GOLDEN) == set(examples())


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_example_delivers_what_it_did(run_engine, name):
    duration, shares, covered = GOLDEN[name]
    told = run_engine(name, duration=duration, **REDUCED.get(name, {})).summary
    for stage, share in shares.items():
        assert told["waterfall"][stage]["share"] == pytest.approx(share, abs=0.005), stage
    if covered is not None:
        assert told["cities"]["covered_share"] > covered
    assert all(math.isfinite(p["rtt_mean_s"]) for p in told["probes"])


@pytest.mark.parametrize("name", sorted(WORK))
def test_example_serves_and_trains_what_it_did(run_engine, name):
    told = run_engine(name, duration=GOLDEN[name][0]).summary["work"]
    for row in told["inference"]:
        served, first_s = WORK[name][row["name"]]
        assert row["served_share"] == pytest.approx(served, abs=0.01)
        assert row["first_token_p50_s"] == pytest.approx(first_s, rel=0.03)
    for row in told["training"]:
        assert row["goodput"] == pytest.approx(WORK[name][row["name"]][0], abs=0.03)
    assert set(WORK[name]) == {row["name"] for row in [*told["inference"], *told["training"]]}


@pytest.mark.parametrize("name", sorted(DATA))
def test_example_makes_insight_as_soon_and_learns_as_fresh_as_it_did(run_engine, name):
    told = run_engine(name, duration=GOLDEN[name][0]).summary["work"]
    found = {row["name"]: row["insight_p50_s"] for row in told["streams"]}
    found |= {row["name"]: row["fresh_p50_s"] for row in told["tuning"]}
    assert found == pytest.approx(DATA[name], rel=0.05)
    assert all(row["insight_bit"] == pytest.approx(row["made_bit"]) for row in told["streams"])
