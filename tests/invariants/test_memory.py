"""A run in windows: what comes of it does not depend on how it is cut, and what it keeps does not grow with its length."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.base.errors import InputError
from aether.engine import run as running
from aether.engine.assemble import assemble
from aether.engine.run import play, simulate
from aether.engine.running import BIN, Peak, Spread
from aether.results import results, sinks
from aether.results.sinks import Files
from aether.scenario.load import load
from aether.study import runs
from constellation import fabric

RING = {"duration": "2 h", "ships.0.count": 5, "ground.coverage_cells": 40, "ground.cities.largest": 12}
OFTEN = {"faults.interruption": 20.0, "training.restart": "60 s", "faults.gpu_orbit": "1 1/day"}


def cut(monkeypatch, ticks, scenario, **more):
    """An outcome with so many ticks to a record."""
    monkeypatch.setattr(running, "record_window", lambda *_: ticks)
    return simulate(scenario, **more)


def values(told, path=""):
    """The leaves of a summary by path."""
    if isinstance(told, dict | list | tuple):
        pairs = told.items() if isinstance(told, dict) else enumerate(told)
        return {k: v for key, part in pairs for k, v in values(part, f"{path}.{key}").items()}
    return {path: told}


def assert_close(one, two):
    one, two = values(one), values(two)
    assert set(one) == set(two)
    for path, value in one.items():
        if isinstance(value, float):
            assert two[path] == pytest.approx(value, rel=1e-6, abs=1e-12, nan_ok=True), path
        else:
            assert two[path] == value, path


def columns(tables):
    return {(n, c): tables[n].column(c).to_numpy(zero_copy_only=False) for n in tables for c in tables[n].column_names}


def assert_same(one, two, but=()):
    one, two = columns(one), columns(two)
    assert list(one) == list(two)
    for name, column in one.items():
        if name not in but:
            assert column.dtype == two[name].dtype, name
            assert np.array_equal(column, two[name], equal_nan=column.dtype.kind == "f"), name


@pytest.mark.parametrize("asked", ["nothing", "work"])
def test_windows_of_seven_ticks_say_what_windows_of_a_hundred_and_twenty_say(monkeypatch, asked):
    scenario = load("ai1-ring", RING) if asked == "nothing" else load(fabric(ground__coverage_cells=20))
    one, two = (cut(monkeypatch, ticks, scenario, threads=n) for ticks, n in ((120, 1), (7, 2)))
    assert_close(one.summary, two.summary)
    assert one.events == two.events
    assert {e.kind for e in one.events} >= {"anomaly", "limit"}
    assert_same(one.tables, two.tables)


def test_work_taken_back_from_a_window_before_is_made_good_in_those_that_follow(monkeypatch):
    scenario = load(fabric(seed=2, duration="2 h", assumptions=OFTEN, ships__1__age="0 s"))
    one, two, three = (cut(monkeypatch, ticks, scenario) for ticks in (120, 7, 1))
    assert one.summary["work"]["training"][0]["interruptions"] > 1
    for other in (two, three):
        assert_close(one.summary, other.summary)
        assert_same(one.tables, other.tables, but=[("capacity", "delivered")])
        assert other.tables["capacity"]["delivered"].to_numpy().min() >= 0.0
    assert one.tables["capacity"] != three.tables["capacity"]


def test_what_a_run_keeps_does_not_grow_with_its_length():
    def most(hours):
        setup = assemble(load("ai1-ring", {**RING, "step": "10 min", "duration": f"{hours} h"}))
        tracemalloc.start()
        try:
            play(setup)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    most(1)  # what is made once
    short, long = (
        min(most(hours) for _ in range(2)) for hours in (40, 160)
    )  # what else the process does adds a tenth of a megabyte at times
    assert long < short + 3e5  # events alone, some thirty bytes each


def test_files_hold_bit_by_bit_what_memory_holds(monkeypatch, tmp_path):
    monkeypatch.setattr(sinks, "ROW_GROUP", 300)
    scenario = load(fabric(duration="20 min", ground__coverage_cells=20))
    kept = cut(monkeypatch, 7, scenario).tables
    written = cut(monkeypatch, 7, scenario, sink=Files(tmp_path)).tables
    assert sorted(written) == sorted(kept)
    assert_same({n: kept[n] for n in sorted(kept)}, {n: written[n] for n in sorted(written)})
    for tables in (kept, written):
        assert sinks.rows(tables, "energy") == 20 * 6
        assert sinks.labels(tables, "energy", "ship") == [f"a/{k}" for k in range(4)] + ["b/0", "b/1"]
        whole = sinks.column(tables, "energy", "array_w").reshape(20, 6)
        assert np.array_equal(sinks.column(tables, "energy", "array_w", 6, 3).reshape(-1, 6), whole[::3])
    assert sinks.rows(written, "none") == 0


def test_results_are_read_when_they_are_asked_for_and_not_once_others_took_their_place(tmp_path):
    short = {**RING, "duration": "5 min", "outputs.ablation": False}
    made = runs.run("ai1-ring", short, out=tmp_path / "r")
    loaded = results.load(tmp_path / "r")
    assert sorted(loaded.tables) == sorted(made.tables)
    assert "energy" in loaded.tables
    assert sinks.rows(loaded.tables, "energy") == 25
    assert loaded.tables._read == {}
    assert_same(made.tables, loaded.tables)
    again = results.load(tmp_path / "r")
    loaded.save(tmp_path / "copy")
    assert_same(made.tables, results.load(tmp_path / "copy").tables)
    runs.run("ai1-ring", short, out=tmp_path / "r")
    with pytest.raises(InputError, match="has changed"):
        again.tables["energy"]
    with pytest.raises(KeyError):
        again.tables["none"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["copy", "r"]


def test_a_run_that_fails_on_its_way_leaves_nothing(tmp_path):
    def fail(label, done, *_):
        if label == "simulating" and done >= 20:
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        runs.run("ai1-ring", {**RING, "duration": "1 h"}, out=tmp_path / "new" / "r", progress=fail)
    assert list(tmp_path.iterdir()) == []


@given(
    st.lists(st.tuples(st.floats(1e-3, 1e5), st.just(0.0) | st.floats(1e-6, 10.0)), min_size=1, max_size=60),
    st.floats(0.01, 0.99),
)
def test_quantiles_are_good_to_a_bin(pairs, share):
    x, w = np.array(pairs).T
    spread = Spread()
    for half in (slice(0, len(x) // 2), slice(len(x) // 2, None)):
        spread.add(x[half], w[half])
    (found,) = spread.quantiles((share,))
    if w.sum() == 0.0:
        assert found is None
        return
    order = np.argsort(x)
    reached = np.cumsum(w[order]) / w.sum()
    low, high = (x[order][min(np.searchsorted(reached, share + e), len(x) - 1)] for e in (-1e-9, 1e-9))
    assert low * (1 - BIN) <= found <= high * (1 + BIN)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.integers(1, 39))
def test_a_peak_is_the_first_of_the_largest(numbers, where):
    peak, column = Peak(1), np.array(numbers, dtype=np.float32)[:, None]
    for first, part in ((0, column[:where]), (where, column[where:])):
        if len(part):
            peak.add(first, part)
    assert (peak.value[0], peak.tick[0]) == (max(numbers), numbers.index(max(numbers)))


def test_a_run_without_ships_over_several_windows_has_its_tables(monkeypatch):
    found = cut(monkeypatch, 7, load(fabric(ships=[], workloads__0__where=[], workloads__2__where=[]))).tables
    assert found["capacity"].num_rows == 0
    assert found["hosts"].num_rows > 0
