"""Training by every method in runs of the engine, beside the model that plans it; plans add up, say why, and refuse what cannot be."""

import math
from dataclasses import replace

import numpy as np
import pytest

from aether.base.errors import InputError
from aether.base.tables import Outage
from aether.engine.assemble import assemble
from aether.engine.run import run as run_setup
from aether.engine.run import simulate
from aether.scenario.catalog import packaged
from aether.scenario.load import Scenario, load
from aether.study import train_plan
from aether.study.train_model import Model, given, ground
from aether.study.train_seen import seen
from constellation import fabric

JOB = {"model": "llama-3.1-8b", "tokens": 1e11, "batch": 1e6}


def scenario(duration="90 min", **training):
    """Two ships of the small fabric that train."""
    made = fabric(duration=duration)
    made["workloads"] = [w for w in made["workloads"] if w["name"] != "train"]
    made["workloads"].append({"name": "train", "where": ["b"], "training": JOB | training})
    return load(made)


@pytest.fixture(scope="module")
def run():
    """`run(**training)`: an Outcome, kept."""
    kept = {}

    def made(**training):
        key = repr(sorted(training.items()))
        if key not in kept:
            kept[key] = simulate(scenario(**training))
        return kept[key]

    return made


def row(outcome):
    return outcome.summary["work"]["training"][0]


@pytest.mark.parametrize(
    "asked",
    [
        {"sync_every": 20},
        {"method": "data-parallel"},
        {"sync_every": 20, "sync_overlap": True},
        {"method": "streaming", "sync_every": 20, "fragments": 4, "overlap_steps": 1, "sync_bits": 4},
        {"method": "decoupled", "sync_every": 20, "quorum": 0.5},
        {"elastic": True, "quorum": 0.5, "sync_every": 20},
    ],
    ids=lambda asked: asked.get("method", "elastic" if "elastic" in asked else "diloco"),
)
def test_the_model_that_plans_comes_to_what_the_run_does(run, asked):
    shown = seen(run(**asked), None)
    found = Model(shown).goodput(given(shown))
    assert shown.goodput > 0.05
    assert found.useful == pytest.approx(shown.goodput, rel=0.04)
    assert found.useful + sum(found.lost.values()) == pytest.approx(1.0, abs=1e-9)
    assert all(share >= -1e-9 for share in found.lost.values())
    told = row(run(**asked))
    assert told["goodput"] + sum(r["share"] for r in told["lost"]) == pytest.approx(1.0, abs=1e-9)


def test_streaming_of_one_fragment_is_diloco(run):
    plain, streamed = (row(run(**k)) for k in ({"sync_every": 20}, {"method": "streaming", "sync_every": 20}))
    assert plain["steps"] == streamed["steps"]
    assert plain["sent_bit"] == streamed["sent_bit"]


def test_fragments_hide_and_members_that_go_on_apart_make_more(run):
    plain = row(run(sync_every=20))["tokens"]
    for asked in (
        {"method": "streaming", "sync_every": 20, "fragments": 4, "overlap_steps": 5},
        {"method": "decoupled", "sync_every": 20, "quorum": 0.5},
        {"elastic": True, "quorum": 0.5, "sync_every": 20},
    ):
        assert row(run(**asked))["tokens"] > plain * 1.02, asked


def test_a_job_works_on_while_a_quorum_is_there_and_waits_without():
    def tokens(**asked):
        made = scenario("20 min", sync_every=20, **asked)
        setup = assemble(made)
        gone = setup.hosts.names.index("b/1")
        outages = (Outage("ship", gone, 0.0, 1e9),)
        return row(run_setup(replace(setup, outages=outages)))["tokens"]

    assert tokens(elastic=True, quorum=0.5) > 0.0
    assert tokens(elastic=True, quorum=1.0) == 0.0
    assert tokens(method="decoupled", quorum=0.5) > 0.0
    assert tokens() == 0.0


def test_a_whole_plane_may_go_out_at_once_and_takes_its_job_with_it():
    made = fabric(
        duration="90 min",
        assumptions={"faults.plane": "200 1/day", "faults.plane_repair": "10 min", "faults.ship": "0 1/year"},
    )
    setup = assemble(load(made))
    spans = {k: [(o.start_s, o.end_s) for o in setup.outages if o.kind == "ship" and o.subject == k] for k in range(6)}
    assert spans[4] == spans[5] != []  # b is one ring, one plane
    assert spans[0] == spans[3] != spans[4]
    assert not [o for o in assemble(load(fabric())).outages if o.cause == "plane"]


def test_copies_go_to_a_peer_by_lasers_alone_or_nowhere():
    def copied(where, feeder):
        made = fabric(duration="20 min", assumptions={"access.feeder_down": feeder})
        made["workloads"] = [
            {"name": "train", "where": ["b"], "training": JOB | {"sync_every": 20, "checkpoint_to": where}}
        ]
        return simulate(load(made)).summary["work"]["traffic"]["checkpoints_bit"]

    assert copied("ground", "100 Gbit/s") > 1e9
    assert copied("ground", "1 kbit/s") < 1e7  # the way down is shut
    assert copied("peer", "1 kbit/s") > 1e9
    assert copied("none", "100 Gbit/s") == 0.0


def test_a_plan_adds_up_and_gains_what_its_changes_gain():
    told = train_plan.plan(scenario(sync_every=20), "train")
    for side in ("plan", "given", "ground"):
        assert told[side]["useful"] + sum(told[side]["lost"].values()) == pytest.approx(1.0, abs=1e-9)
    gains = sum(change["gain"] for change in told["changes"])
    assert told["ground"]["useful"] + gains == pytest.approx(told["plan"]["useful"], rel=1e-9)
    assert told["plan"]["useful"] > told["given"]["useful"]
    assert told["runs"][1]["goodput"] > told["runs"][0]["goodput"]
    assert told["plan"]["useful"] == pytest.approx(told["runs"][1]["goodput"], rel=0.06)
    # by hand: tokens over tokens a step, each as long as a step takes at that goodput
    job, plan = told["job"], told["plan"]
    assert plan["days"] == pytest.approx(1e11 / job["tokens_step"] * job["step_s"] / plan["useful"] / 86400.0)
    assert plan["energy_mwh"] > 0.0
    assert plan["usd"] > 0.0
    assert next(c for c in told["changes"] if c["change"] == "synchronise every")["loss"].startswith(
        "-0."
    )  # 8 B, two replicas
    assert told["changes"][0]["why"].count("bit/s") == 1


def test_what_a_plan_says_can_be_put_into_the_scenario_and_runs_as_planned():
    told = train_plan.plan(scenario(sync_every=20), None)
    assert row(simulate(scenario(**told["set"])))["goodput"] == pytest.approx(told["plan"]["useful"], rel=0.06)


def test_a_quorum_of_two_in_three_is_still_one_when_it_is_written_down(run):
    shown = seen(run(sync_every=20), None)
    three = replace(shown, names=("a", "b", "c"))
    settings = replace(given(shown), method="decoupled", apart="decoupled", needed=2)
    assert math.ceil(3 * train_plan.as_keys(three, settings)["quorum"] - 1e-9) == 2


def test_links_ten_times_slower_ask_for_longer_cadences_or_fewer_bits(run):
    shown = seen(run(sync_every=20), None)
    fast, slow = (train_plan.search(Model(replace(shown, rate_bit_s=shown.rate_bit_s * k))) for k in (1.0, 0.01))
    assert slow.sync_every / slow.bits > fast.sync_every / fast.bits


@pytest.mark.parametrize("apart", ["", "decoupled"])
def test_upsets_in_a_pause_cost_a_restart_once_and_time_still_adds_up(run, apart):
    shown = seen(run(sync_every=20), None)
    upset_s, share = shown.upset_s * 0.0, shown.share * 0.0 + 1.0
    share[3:, 30:40] = 0.0  # ten minutes in the anomaly
    upset_s[30:40] = 1.0
    model = Model(replace(shown, share=share, upset_s=upset_s, fault_s=0.0, rate_bit_s=np.full(90, np.inf)))
    settings = replace(given(shown), apart=apart, checkpoint_every_s=240.0, write_s=0.0)
    found = model.goodput(settings)
    assert found.useful + sum(found.lost.values()) == pytest.approx(1.0, abs=1e-9)
    assert found.lost["anomaly, scheduled"] == pytest.approx(10 / 90)
    assert found.lost["restarts"] == pytest.approx(shown.run.job.restart_s / 5400.0)  # by hand: one in 90 min
    assert found.lost["work done again"] == pytest.approx(120.0 / 5400.0)  # half an interval


def test_ships_that_are_always_there_are_left_in_step(run):
    shown = seen(run(sync_every=20), None)
    best = train_plan.search(
        Model(replace(shown, share=shown.share * 0.0 + 1.0, fault_s=0.0, upset_s=shown.upset_s * 0.0))
    )
    assert best.apart == ""


def test_the_ground_baseline_blocks_and_synchronises_each_step(run):
    base = ground(Model(seen(run(sync_every=20), None)))
    assert (base.sync_every, base.apart, base.write_s) == (1, "", 30.0)  # 30 s: blocking checkpoints, arXiv 2407.21783


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"gpus": 5000}, r"asks for 5,000 GPUs at each host; the largest has 72: short by 4,928"),
        ({"model": "deepseek-v3", "gpus": 8}, r"GB: short by [\d,]+ GB"),
    ],
)
def test_what_cannot_run_is_named_and_counted(asked, words):
    with pytest.raises(InputError, match=words):
        train_plan.plan(scenario("5 min", **asked), None)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"fragments": 4}, "fragments: means nothing with method: diloco"),
        ({"method": "data-parallel", "sync_every": 10}, "sync_every: means nothing"),
        ({"grace": "10 s"}, "grace: means nothing"),
        ({"quorum": 0.5}, "quorum: means nothing with method: diloco and without elastic"),
        ({"method": "decoupled", "elastic": True}, "elastic: means nothing"),
        ({"method": "streaming", "fragments": 30, "sync_every": 20}, "30 in 20 steps"),
    ],
)
def test_settings_that_would_do_nothing_are_refused(asked, words):
    with pytest.raises(InputError, match=words):
        scenario(**asked)


def test_a_copy_to_a_peer_needs_one():
    made = fabric()
    made["workloads"] = [{"name": "train", "where": ["dublin"], "training": JOB | {"checkpoint_to": "peer"}}]
    with pytest.raises(InputError, match="dublin is the only host of train"):
        assemble(load(made))


def test_no_such_workload_is_said_with_those_there_are(run):
    with pytest.raises(InputError, match=r"no training workload 'chat'.*train"):
        seen(run(sync_every=20), "chat")


def test_the_scale_out_rate_of_a_ships_class_sets_the_steps_that_leave_a_domain(monkeypatch):
    def step_s(gpus):
        made = fabric(duration="5 min")
        made["ships"][1]["gpus"] = gpus
        made["workloads"] = [{"name": "train", "where": ["b"], "training": JOB}]
        return assemble(load(made)).work.runs[0].step.time_s

    named, whole = [step_s(n) for n in (72, 144)], Scenario.ship
    slow = replace(packaged().assume("training.scale_out"), value=1e9)
    monkeypatch.setattr(Scenario, "ship", lambda self, group: whole(self, group).model_copy(update={"scale_out": slow}))
    assert step_s(72) == named[0]  # one domain of NVLink
    assert step_s(144) > named[1] * 1.1
