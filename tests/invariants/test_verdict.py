"""The verdict: draws around the nominal, parity where the ladder says so, presets that give their own answers, money to the cent."""

import itertools
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from aether.base.errors import InputError
from aether.cli import app
from aether.engine.run import simulate
from aether.results import verdict_report
from aether.scenario.load import load
from aether.study import presets, verdict
from constellation import fabric


@pytest.fixture(scope="module")
def outcome():
    return simulate(load(fabric(duration="3 h", step="600 s", outputs={"ablation": False, "requests": False})))


@pytest.fixture(scope="module")
def case(outcome):
    return verdict.case(outcome)


@pytest.fixture(scope="module")
def told(outcome):
    return verdict.of_run(outcome, 2048)


def test_nominal_figures_are_those_of_the_run(outcome, told):
    cost = outcome.summary["cost"]
    for side in ("orbit", "ground"):
        assert told["sides"][side]["usd_per_gpu_hour"]["nominal"] == pytest.approx(
            cost[side]["usd_per_gpu_hour"]["nominal"]
        )
    assert told["ratio"]["nominal"] == pytest.approx(cost["ratio"]["nominal"])


def test_bands_hold_what_one_at_a_time_ranges_say(outcome, told):
    ratio, alone = told["ratio"], outcome.summary["cost"]["ratio"]
    assert alone["best"] < ratio["p05"] < ratio["p50"] < ratio["p95"] < alone["worst"]


def test_terms_are_whole_cents_and_sum_to_the_year(case, told):
    for side, one in (("orbit", case.orbit), ("ground", case.ground)):
        cents = [round(100 * t["usd_year"]) for t in told["sides"][side]["terms"]]
        assert sum(cents) == round(100 * float(one.usd_year(case.value())))


def test_both_sides_together_lie_between_them(told):
    for figure in ("usd_per_gpu_hour", "usd_per_kw_month", "usd_per_watt"):
        low, high = sorted(told["sides"][k][figure]["nominal"] for k in ("orbit", "ground"))
        assert low < told["sides"]["hybrid"][figure]["nominal"] < high


def test_changing_one_assumption_changes_what_rests_on_it_and_nothing_else(case):
    def figures(changed):
        value = case.value(changed)
        return {t.asset: t.usd_year for t in case.orbit.terms(value)}, {
            t.asset: t.usd_year for t in case.ground.terms(value)
        }

    orbit, ground = figures({})
    dearer = figures({"pumped-panel.price": 2 * case.known["pumped-panel.price"].value})
    assert dearer[1] == ground
    assert {k for k in orbit if dearer[0][k] != orbit[k]} == {"radiator", "insurance", "operations", "attrition"}
    power = figures({"us.price": 1.0, "ie.price": 1.0})
    assert power[0] == orbit
    assert {k for k in ground if power[1][k] != ground[k]} == {"energy"}


def test_the_ladder_ends_at_parity_or_says_that_nothing_reaches_it(case, told):
    steps, ends = told["ladder"]["steps"], {}
    for step in steps:
        low, high = case.known[step["name"]].range
        assert low <= step["to"] <= high
        ends[step["name"]] = step["to"]
    reached = float(case.ratio(case.value(ends)))
    assert reached == pytest.approx(told["ladder"]["ratio"])
    assert told["ladder"]["reached"] == (reached <= 1.0 + 1e-6)
    ratios = [told["ratio"]["nominal"], *(s["ratio"] for s in steps)]
    assert all(a > b for a, b in itertools.pairwise(ratios))
    if not told["ladder"]["reached"]:
        assert "no set" in told["ladder"]["words"]


def test_cheaper_and_lighter_launch_never_lowers_the_chance_of_orbit(told):
    chance = np.array(told["frontier"]["chance"])
    assert (np.diff(chance, axis=1) <= 1e-12).all()
    assert (np.diff(chance, axis=0) <= 1e-12).all()
    median = np.array(told["frontier"]["median_ratio"])
    assert (np.diff(median, axis=1) > 0).all()


@pytest.mark.parametrize("name", presets.PRESETS)
def test_presets_give_their_own_answers_within_two_per_cent(name):
    assert all(abs(a.error) < 0.02 for a in presets.PRESETS[name].own())


def test_a_preset_inside_our_boundary_names_what_it_leaves_out(told):
    by = {p["name"]: p for p in told["presets"]}
    assert "accelerators" in by["mccalip"]["left_out"]["orbit"]["terms"]
    assert "attrition" in by["semianalysis"]["left_out"]["orbit"]["terms"]
    assert set(by["suncatcher"]["left_out"]["orbit"]["terms"]) >= {"accelerators", "array", "radiator", "insurance"}
    assert by["starcloud"]["own_ratio"] == pytest.approx(8.2 / 167, rel=0.01)
    assert by["starcloud"]["ratio"] > 10 * by["starcloud"]["own_ratio"]


def test_a_wider_boundary_never_emits_less_and_its_sign_may_turn(told):
    for side in ("orbit", "ground"):
        kg = [row[side]["nominal"] for row in told["carbon"]]
        assert all(a <= b + 1e-12 for a, b in itertools.pairwise(kg))
    assert told["material"]["ground"]["lifted_kg"]["mean"] == told["material"]["orbit"]["water_kg"]["mean"] == 0.0
    assert told["material"]["orbit"]["burnt_kg"]["p50"] >= told["material"]["orbit"]["lifted_kg"]["p50"] > 0.0
    assert told["carbon"][0]["orbit"]["nominal"] == 0.0 < told["carbon"][1]["orbit"]["nominal"]


def test_years_make_launch_cheaper_and_orbit_nearer(told):
    ratio = [row["p50"] for row in told["years"]["ratio"]]
    assert ratio[10] < ratio[0]
    assert told["years"]["orbit_is_cheaper"][20] >= told["years"]["orbit_is_cheaper"][0]


def test_the_same_seed_gives_the_same_verdict(outcome, told):
    assert json.dumps(verdict.of_run(outcome, 2048)) == json.dumps(told)


def test_the_page_is_whole_and_escapes_what_the_user_wrote(told):
    page = verdict_report.render({**told, "scenario": "<b>mine</b>"})
    assert "<b>mine</b>" not in page
    assert page.count("<svg") == 8
    assert "<script" not in page
    assert all(p["source"].split(",")[0] in page for p in told["presets"])


def test_a_scenario_without_ships_is_refused_in_words():
    with pytest.raises(InputError, match="no ships"):
        verdict.of_run(
            simulate(load(fabric(ships=[], duration="10 min", workloads__0__where=[], workloads__2__where=[])))
        )


def test_the_command_writes_all_or_nothing(tmp_path):
    file = tmp_path / "small.yaml"
    file.write_text(json.dumps(fabric(duration="30 min", step="600 s")), encoding="utf-8")
    done = CliRunner().invoke(app, ["verdict", str(file), "--out", str(tmp_path / "v"), "--draws", "64", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["draws"] == 64
    assert sorted(p.name for p in (tmp_path / "v").iterdir()) == ["report.html", "summary.json"]
