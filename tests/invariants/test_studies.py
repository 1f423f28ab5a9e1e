"""Studies: the same for any number of processes, resumable, every point once, every mistake named."""

import json
import os

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from aether.base.errors import InputError
from aether.results.results import dumps
from aether.scenario.load import load
from aether.study import parts, studies, study_file, study_points
from aether.study.inputs import apply, leaf

MESH = [{"shell": {"planes": 12, "per_plane": 12, "altitude": "550 km", "inclination": "53 deg"}}]
SET = {"ships.0.count": 2, "relays.shells": MESH, "ground.cities.largest": 0, "ground.coverage_cells": 0, "probes": []}
BASE = {
    "name": "small", "scenario": "ai1-ring", "duration": "30 min", "step": "10 min", "set": SET, "method": "latin", "samples": 6,
    "variables": {"ships.0.orbit.ring.altitude": {"low": "500 km", "high": "900 km"}, "starship.price": "range"},
    "outputs": ["cost.orbit.usd_per_gpu_hour.nominal", "waterfall.deliverable.share"],
}  # fmt: skip


def refused(**changes):
    """What is said of a study with changes; a None takes the key away."""
    data = {k: v for k, v in {**BASE, **changes}.items() if v is not None}
    with pytest.raises(InputError) as found:
        study_file.load(data)
    return str(found.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"variables": None}, "a study needs variables"),
        ({"variables": {}}, "a study needs variables"),
        ({"bogus": 1}, "unknown key 'bogus'"),
        ({"scenario": "ai1-rign"}, "did you mean 'ai1-ring'"),
        ({"method": "latn"}, "'grid', 'latin'"),
        ({"variables": {"ships.0.orbit.rnig.altitude": {"low": "500 km", "high": "900 km"}}}, "did you mean 'ships.0.orbit.ring'"),
        ({"variables": {"ships.7.gpus": {"low": 1, "high": 2}}}, "'7' is no place in ships, a list of 1"),
        ({"variables": {"starship.prize": "range"}}, "did you mean 'starship.price'"),
        ({"variables": {"cost.life_orbti": "range"}}, "did you mean 'cost.life_orbit'"),
        ({"variables": {"ships.0.orbit.ring.altitude": {"low": "900 km", "high": "500 km"}}}, "upside down"),
        ({"variables": {"starship.price": {"low": "-1e6 USD", "high": "9e6 USD"}}}, "must be at least 0"),
        ({"variables": {"starship.price": {"low": "1e6 USD", "mode": "5e6 USD", "high": "9e6 USD", "distribution": "normal"}}}, "gives values below 0"),
        ({"variables": {"starship.price": {"low": 1, "high": 2}}}, "has no unit"),
        ({"variables": {"ships.0.orbit.ring.altitude": {"low": "50 km", "high": "500 km"}}}, "must be at least 150 km"),
        ({"variables": {"ships.0.gpus": "range"}}, "has no range of its own"),
        ({"variables": {"ships.0.registry": {"values": ["US", "usa"]}}}, "[A-Z]"),
        ({"variables": {"ships.0.attitude": {"low": 1, "high": 2}}}, "give its values"),
        ({"variables": {"ships.0.orbit": {"values": [1]}}}, "no single value"),
        ({"correlations": [{"between": ["starship.price", "starship.prise"], "rank": 0.5}]}, "none of the variables"),
        ({"method": "indices", "correlations": [{"between": ["starship.price", "ships.0.orbit.ring.altitude"], "rank": 0.5}]}, "independent"),
        ({"method": "grid"}, "a grid has no samples"),
        ({"scenarios": {"a": {"ships.0.cuont": 2}}}, "cuont"),
        ({"samples": 10_000_000, "outputs": ["a"] * 90}, "more than memory holds"),
    ],
)  # fmt: skip
def test_a_study_that_means_nothing_is_refused_by_name(changes, words):
    assert words in refused(**changes)


def test_all_problems_are_told_at_once_with_file_and_line(tmp_path):
    path = tmp_path / "s.yaml"
    data = BASE | {"variables": {"starship.prize": "range", "ships.0.gpus": {"low": 9, "high": 2}}}
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    with pytest.raises(InputError) as found:
        study_file.load(path)
    assert len(found.value.problems) == 2
    lines = path.read_text().splitlines()
    for problem, word in zip(found.value.problems, ("starship.prize", "ships.0.gpus"), strict=True):
        assert word in lines[problem.line - 1]
        assert problem.file == str(path)


def test_three_inputs_that_cannot_go_together_are_refused():
    names = ["cost.life_orbit", "cost.hull", "cost.relay"]
    ties = [{"between": [names[i], names[j]], "rank": r} for i, j, r in ((0, 1, 0.9), (0, 2, 0.9), (1, 2, -0.9))]
    assert "not positive definite" in refused(variables=dict.fromkeys(names, "range"), correlations=ties)


def test_an_output_that_is_not_there_is_named_before_any_point_is_run(tmp_path):
    with pytest.raises(InputError, match=r"did you mean 'waterfall\.deliverable\.share'"):
        studies.study(BASE | {"outputs": ["waterfall.deliverable.shar"]}, tmp_path / "s")
    with pytest.raises(InputError, match="for draws of prices"):
        studies.study(BASE | {"outputs": ["cost.orbit.usd_per_gpu_hour.low"]}, tmp_path / "t")
    assert not (tmp_path / "s" / "manifest.json").exists()


def test_a_price_of_a_part_that_no_ship_has_is_refused(tmp_path):
    with pytest.raises(InputError, match="nothing in this scenario rests on it"):
        studies.study(BASE | {"variables": {"falcon-9.price": {"low": "10e6 USD", "high": "90e6 USD"}}}, tmp_path / "s")


def test_results_are_the_same_for_any_number_of_processes_and_each_point_is_there_once(tmp_path):
    for name, threads in (("one", 1), ("two", 2)):
        studies.study(BASE, tmp_path / name, threads=threads)
    one, two = (pq.read_table(tmp_path / n / "points.parquet") for n in ("one", "two"))
    assert one.equals(two)
    assert one["point"].to_pylist() == list(range(6))
    assert len(set(one["waterfall.deliverable.share"].to_pylist())) == 6
    assert (tmp_path / "one" / "study.json").read_text() == (tmp_path / "two" / "study.json").read_text()
    assert not (tmp_path / "one" / ".parts").exists()


def test_an_interrupted_study_goes_on_where_it_stopped_and_a_finished_one_does_nothing(tmp_path, monkeypatch):
    class StopError(Exception):
        pass

    def stop(label, done, *_):
        if label == studies.LABEL and done >= 3:
            raise StopError

    monkeypatch.setattr(studies, "CHUNK_S", 1e-9)
    with pytest.raises(StopError):
        studies.study(BASE, tmp_path / "s", threads=1, progress=stop)
    kept = len(list((tmp_path / "s" / ".parts").glob("*.parquet")))
    assert kept == 3
    asked = []
    true = study_points.evaluate
    monkeypatch.setattr(study_points, "evaluate", lambda *a: asked.append(a[3].point) or true(*a))
    told = studies.study(BASE, tmp_path / "s", threads=1)
    assert len(asked) == 3
    assert told["points"] == 6
    whole = studies.study(BASE, tmp_path / "whole", threads=1)
    assert pq.read_table(tmp_path / "s" / "points.parquet").equals(pq.read_table(tmp_path / "whole" / "points.parquet"))
    monkeypatch.setattr(study_points, "run", lambda *_: pytest.fail("a finished study ran again"))
    again = studies.study(BASE, tmp_path / "whole")
    assert json.loads(dumps(whole)) == again


def test_an_edited_study_is_refused_by_what_changed_and_fresh_keeps_the_old(tmp_path):
    quick = BASE | {"variables": {"starship.price": "range"}, "samples": 8}
    studies.study(quick, tmp_path / "s")
    before = (tmp_path / "s" / "study.json").read_text()
    with pytest.raises(InputError, match=r"file\.samples: 8 before, 9 now"):
        studies.study(quick | {"samples": 9}, tmp_path / "s")
    assert (tmp_path / "s" / "study.json").read_text() == before
    assert studies.study(quick | {"samples": 9}, tmp_path / "s", fresh=True)["points"] == 9
    assert (tmp_path / "s.before-1" / "study.json").read_text() == before


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="not results of Aether"):
        studies.study(BASE, tmp_path / "s")
    assert [p.name for p in (tmp_path / "s").iterdir()] == ["mine.txt"]


def test_a_full_disk_is_named_and_leaves_nothing_half_written(tmp_path, monkeypatch):
    quick = BASE | {"variables": {"starship.price": "range"}, "samples": 8}
    true = parts.pq.write_table

    def full(_, path, **__):
        path.write_bytes(b"half")
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(parts.pq, "write_table", full)
    with pytest.raises(InputError, match="No space left on device") as found:
        studies.study(quick, tmp_path / "s")
    assert len(str(found.value).splitlines()) == 1
    assert [p.name for p in (tmp_path / "s").iterdir()] == [".parts"]
    assert not list((tmp_path / "s" / ".parts").glob("*.part"))
    monkeypatch.setattr(parts.pq, "write_table", true)
    assert studies.study(quick, tmp_path / "s")["points"] == 8


def test_a_point_that_cannot_be_run_is_told_and_the_others_count(tmp_path):
    shells = [{"shell": {"planes": 4, "per_plane": 4, "altitude": "550 km", "inclination": "53 deg"}}]
    told = studies.study(
        BASE | {
            "set": SET | {"relays.shells": shells, "ships.0.orbit": {"walker": {"planes": 1, "per_plane": 2, "altitude": "600 km", "inclination": "53 deg"}}},
            "method": "grid", "samples": None, "variables": {"ships.0.count": {"values": [2, 3]}}, "outputs": ["waterfall.deliverable.share"],
        }, tmp_path / "s")  # fmt: skip
    assert (told["points"], told["failures"]) == (2, 1)
    assert "the walker holds 2 ships" in told["failed"][0]["problem"]
    table = pq.read_table(tmp_path / "s" / "points.parquet")
    assert np.isnan(table["waterfall.deliverable.share"].to_numpy()).tolist() == [False, True]


def test_a_study_of_which_no_point_can_be_run_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no point could be run.*upside-down"):
        studies.study(BASE | {"variables": {"ships.0.attitude": {"values": ["upside-down"]}}}, tmp_path / "s")


def test_variants_run_on_all_points_and_stand_apart(tmp_path):
    told = studies.study(
        BASE | {"variables": {"starship.price": "range"}, "scenarios": {"near": {"ships.0.orbit.ring.altitude": "500 km"}, "many": {"ships.0.count": 3}}},
        tmp_path / "s")  # fmt: skip
    assert (told["points"], told["runs"]) == (12, 2)
    table = pq.read_table(tmp_path / "s" / "points.parquet")
    assert table["scenario"].to_pylist() == ["near"] * 6 + ["many"] * 6
    assert table["starship.price"].to_pylist()[:6] == table["starship.price"].to_pylist()[6:]


def test_names_lead_to_units_and_values_are_set_where_they_say():
    scenario = load("ai1-ring", SET)
    assert leaf("ships.0.orbit.ring.altitude", scenario).unit == "m"
    assert leaf("ships[0].gpus", scenario).whole
    assert leaf("starship.price", scenario).unit == "USD"
    problems = []
    text = study_file.document.Document({}, {}, "")
    given = {
        "ships.0.radiator.area": {"low": "80 m2", "high": "120 m2"}, "ai1.coolant_limit": {"low": "300 K", "high": "330 K"},
        "faults.gpu_orbit": {"low": "1 %/year", "high": "5 %/year"}, "ships.0.gpus": {"low": 10, "high": 20},
    }  # fmt: skip
    inputs = study_file.read({k: study_file.Variable(**v) for k, v in given.items()}, text, scenario, problems)
    assert problems == []
    made = apply(scenario, inputs, [100.0, 310.0, 1e-9, 12.0])
    ship = made.ship(made.spec.ships[0])
    assert (ship.radiator_area.value, ship.coolant_limit.value, ship.gpus) == (100.0, 310.0, 12)
    assert made.value("faults.gpu_orbit") == 1e-9
    assert scenario.value("faults.gpu_orbit") != 1e-9


def test_a_schema_of_study_files_can_be_made():
    assert "variables" in study_file.schema()["required"]
