"""Comparisons: differences add up term by term and stage by stage, and what cannot be compared is named."""

import copy
import json

import pytest

from aether.base.errors import InputError
from aether.engine.run import simulate
from aether.results.results import Results, dumps
from aether.scenario.load import load
from aether.study import comparison, runs

SET = {"duration": "2 h", "step": "10 min", "ships.0.count": 3, "ground.cities.largest": 3, "ground.coverage_cells": 0, "probes": [],
       "outputs.ablation": False}  # fmt: skip


def results(**changes):
    outcome = simulate(load("ai1-ring", SET | changes))
    made = Results(outcome.summary, {}, runs.manifest(outcome))
    return Results(json.loads(dumps(made.summary)), {}, json.loads(dumps(made.manifest)))


@pytest.fixture(scope="module")
def pair():
    return results(), results(**{"ships.0.battery.energy": "90 kWh", "assumptions.cost.life_orbit": "7 year"})


def told(*made):
    return comparison.beside([m.summary for m in made], [m.manifest for m in made], [str(i) for i in range(len(made))])


def test_inputs_and_assumptions_that_differ_are_named_and_no_others(pair):
    made = told(*pair)
    assert {r["path"] for r in made["inputs"]} == {"ships[ai1].battery.energy", "assumptions.cost.life_orbit"}
    assert {r["name"] for r in made["assumptions"]} == {"ai1.battery_energy", "cost.life_orbit"}


def test_terms_of_a_cost_add_up_to_its_difference(pair):
    for side in ("orbit", "ground"):
        row = told(*pair)["cost"][side]
        (one,) = row["explained"]
        assert sum(t["usd_per_gpu_hour"] for t in one["terms"]) == pytest.approx(one["difference"], rel=1e-6, abs=1e-7)
        assert one["difference"] == pytest.approx(row["usd_per_gpu_hour"][1] - row["usd_per_gpu_hour"][0])
    terms = {t["term"]: t["usd_per_gpu_hour"] for t in told(*pair)["cost"]["orbit"]["explained"][0]["terms"]}
    assert terms["battery"] > 0.0  # a larger one
    assert terms["accelerators"] < 0.0  # over a longer life
    assert terms["share deliverable"] < 0.0  # more of what is installed can work


def test_stages_add_up_to_the_difference_of_what_is_deliverable(pair):
    before, after = pair
    rows = told(*pair)["waterfall"]
    more = sum(r["more"][1] for r in rows if r["stage"] in ("working", "power", "heat", "radiation", "reach"))
    shares = [m.summary["waterfall"]["deliverable"]["share"] for m in (before, after)]
    assert more == pytest.approx(shares[0] - shares[1], abs=1e-8)


def test_outputs_are_told_largest_move_first(pair):
    rows = [r for r in told(*pair)["outputs"] if r["change"] is not None]
    assert [abs(r["change"]) for r in rows] == sorted((abs(r["change"]) for r in rows), reverse=True)
    row = next(r for r in rows if r["path"] == "groups[ai1].battery_kwh")
    assert row["values"][1] == 90.0


def test_a_run_beside_itself_has_no_difference(pair):
    made = told(pair[0], copy.deepcopy(pair[0]))
    assert (made["inputs"], made["assumptions"], made["outputs"], made["notes"]) == ([], [], [], [])
    assert made["cost"]["orbit"]["explained"][0]["difference"] == 0.0


def test_more_than_two_are_told_beside_the_first(pair):
    made = told(pair[0], pair[1], pair[0])
    assert [e["difference"] == 0.0 for e in made["cost"]["orbit"]["explained"]] == [False, True]
    assert all(len(r["values"]) == 3 for r in made["outputs"])


def test_other_lengths_of_time_are_noted(pair):
    assert any("different lengths" in n for n in told(pair[0], results(duration="1 h"))["notes"])


def test_rows_of_lists_are_known_by_their_names():
    flat = comparison.flatten(
        {"a": [{"name": "x", "v": 1}, {"name": "y", "v": 2}], "b": [3, {"group": "g", "part": "p", "short": 4}]}
    )
    assert flat["a[y].v"] == 2
    assert (flat["b[0]"], flat["b[g p].short"]) == (3, 4)


def test_what_cannot_be_compared_is_named_all_at_once(tmp_path, pair):
    pair[0].save(tmp_path / "a")
    (tmp_path / "empty").mkdir()
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "manifest.json").write_text("{}")
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "manifest.json").write_text("{}")
    (tmp_path / "torn" / "summary.json").write_text("{")
    with pytest.raises(InputError) as found:
        comparison.compare([tmp_path / n for n in ("a", "empty", "study", "torn")] + ["ai1-rnig"])
    text = str(found.value)
    assert len(found.value.problems) == 4
    for words in ("holds no results", "a study or designs", "cannot be read", "did you mean 'ai1-ring'"):
        assert words in text
    with pytest.raises(InputError, match="nothing to compare"):
        comparison.compare([tmp_path / "a"])


def test_the_command_compares_folders(aether, tmp_path, pair):
    for name, made in zip("ab", pair, strict=True):
        made.save(tmp_path / name)
    code, out, err = aether("compare", "a", "b", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["cost"]["orbit"]["explained"]
    code, out, _ = aether("compare", "a", "b")
    assert code == 0
    for words in ("ships[ai1].battery.energy", "share deliverable", "What moved most"):
        assert words in out
    code, out, err = aether("compare", "a", "nowhere")
    assert (code, out) == (2, "")
    assert "no results and no scenario 'nowhere'" in err
