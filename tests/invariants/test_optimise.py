"""Designs: fronts and compromises by hand, a search that betters the scenario's own, resumable, every mistake named."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from aether.base.errors import InputError
from aether.scenario.load import load
from aether.study import designs, optimise

MESH = [{"shell": {"planes": 24, "per_plane": 16, "altitude": "550 km", "inclination": "53 deg"}}]
SET = {"ships.0.count": 2, "duration": "100 min", "step": "10 min", "ground.cities.largest": 0, "relays.shells": MESH}
VARIABLES = {"variables": {
    "ships.0.gpus": {"low": 40, "high": 100},
    "ships.0.radiator.area": {"low": "90 m2", "high": "260 m2", "per": "ships.0.gpus"},
    "ships.0.battery.energy": {"low": "20 kWh", "high": "200 kWh", "per": "ships.0.gpus"},
    "ships.0.array.area": {"low": "500 m2", "high": "1200 m2", "per": "ships.0.gpus"},
}}  # fmt: skip


@pytest.fixture
def variables(tmp_path):
    path = tmp_path / "v.yaml"
    path.write_text(yaml.safe_dump(VARIABLES, sort_keys=False))
    return path


def test_a_front_is_what_none_beats():
    values = np.array([[1.0, 1.0], [2.0, 3.0], [3.0, 2.0], [1.0, 3.0], [3.0, 3.0]])
    assert optimise.front(values, [False, True]).tolist() == [3]
    assert optimise.front(values, [False, False]).tolist() == [0]
    assert optimise.front(np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0], [3.0, 2.0]]), [False, True]).tolist() == [
        0,
        1,
        2,
    ]


def test_the_compromise_is_nearest_to_the_best_of_all():
    values = np.array([[0.0, 0.0], [5.0, 90.0], [10.0, 100.0]])
    assert optimise.compromise(values, [False, True]) == 1
    assert optimise.compromise(np.array([[1.0], [0.5]]), [False]) == 1


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=30))
def test_of_any_designs_those_off_the_front_are_beaten_by_one_on_it(rows):
    values = np.array(rows, float)
    kept = set(optimise.front(values, [False, True, False]).tolist())
    cost = values * [1.0, -1.0, 1.0]
    assert kept
    for i in range(len(rows)):
        beaten = any((cost[j] <= cost[i]).all() and (cost[j] < cost[i]).any() for j in range(len(rows)))
        assert beaten != (i in kept)


def test_a_search_finds_designs_that_lack_nothing_and_stand_in_results(tmp_path, variables):
    pytest.importorskip("optuna")
    told = optimise.optimise(
        "ai1-ring",
        variables,
        evaluations=10,
        objectives=("cost", "mass", "delivered"),
        set=SET,
        out=tmp_path / "d",
        threads=1,
    )
    assert told["evaluations"] == 10
    assert told["own"]["short"] > 0.0
    assert told["feasible"] > 0
    assert told["chosen"]["short"] == 0.0
    assert told["chosen"]["shortfalls"] == []
    table = pq.read_table(tmp_path / "d" / "designs.parquet")
    assert table["design"].to_pylist() == list(range(10))
    assert table["short"].to_pylist()[0] == pytest.approx(
        told["own"]["short"], rel=1e-6
    )  # the scenario's own is tried first
    page = (tmp_path / "d" / "optimise.html").read_text()
    assert "<svg" in page
    assert "src=" not in page
    values = np.array([[d["objectives"][n] for n in ("cost", "mass", "delivered")] for d in told["front"]])
    assert len(optimise.front(values, [False, False, True])) == len(values)
    chosen = told["chosen"]
    choices = designs.read(variables, load("ai1-ring", {**designs.QUIET, **SET}))
    plain = {c.name: c.value(_asked(choices, chosen)) for c in choices}
    assert plain == pytest.approx(chosen["values"])


def _asked(choices, design):
    """What was chosen for a design, its growth taken off."""
    return {
        c.name: design["values"][c.name] / (1.0 if c.per is None else design["values"][c.per] / c.per_own)
        for c in choices
    }


def test_a_search_is_the_same_in_pieces_and_for_any_number_of_processes(tmp_path, variables, monkeypatch):
    pytest.importorskip("optuna")

    class StopError(Exception):
        pass

    def stop(label, done, *_):
        if label == optimise.LABEL and done >= 3:
            raise StopError

    monkeypatch.setattr(optimise, "POPULATION", 4)
    asked = {"evaluations": 8, "objectives": ("cost", "delivered"), "set": SET}
    whole = optimise.optimise("ai1-ring", variables, out=tmp_path / "whole", threads=2, **asked)
    with pytest.raises(StopError):
        optimise.optimise("ai1-ring", variables, out=tmp_path / "torn", threads=1, progress=stop, **asked)
    assert len(list((tmp_path / "torn" / ".parts").glob("*.parquet"))) == 3
    again = optimise.optimise("ai1-ring", variables, out=tmp_path / "torn", threads=1, **asked)
    assert again["tried"] == whole["tried"]
    assert pq.read_table(tmp_path / "torn" / "designs.parquet").equals(
        pq.read_table(tmp_path / "whole" / "designs.parquet")
    )
    assert (
        optimise.read(tmp_path / "whole")["front"]
        == json.loads((tmp_path / "whole" / "optimise.json").read_text())["front"]
    )
    with pytest.raises(InputError, match=r"evaluations: 8 before, 9 now"):
        optimise.optimise("ai1-ring", variables, out=tmp_path / "whole", **asked | {"evaluations": 9})


def test_mistakes_are_named(tmp_path, variables):
    pytest.importorskip("optuna")
    with pytest.raises(InputError, match="did you mean 'cost'"):
        optimise.optimise("ai1-ring", objectives=("csot",), out=tmp_path / "d")
    with pytest.raises(InputError, match="no ship to design"):
        optimise.optimise("ground-only", out=tmp_path / "d")
    bad = VARIABLES["variables"] | {
        "ships.0.gpsu": {"low": 1, "high": 2},
        "ships.0.terminals": {"low": 1, "high": 2, "per": "ships.0.gpus2"},
    }
    variables.write_text(yaml.safe_dump({"variables": bad}))
    with pytest.raises(InputError) as found:
        optimise.optimise("ai1-ring", variables, out=tmp_path / "d")
    assert "did you mean 'ships.0.gpus'" in str(found.value)
    assert "unknown variable 'ships.0.gpus2'" in str(found.value)
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("name", ["ai1-ring", "project-aether", "suncatcher-cluster"])
def test_the_default_variables_hold_the_scenarios_own_design(name):
    scenario = load(name, designs.QUIET)
    for choice in designs.default(scenario):
        assert choice.own is not None, choice.name
        assert choice.input.spread.low <= choice.own <= choice.input.spread.high, choice.name


def test_what_grows_with_another_variable_keeps_its_share():
    scenario = load("ai1-ring", designs.QUIET)
    array = next(c for c in designs.default(scenario) if c.name.endswith("array.area"))
    own = {c.name: c.own for c in designs.default(scenario)}
    twice = own | {"ships.0.gpus": 2.0 * own["ships.0.gpus"]}
    assert array.value(own) == pytest.approx(array.own)
    assert array.value(twice) == pytest.approx(2.0 * array.own)
