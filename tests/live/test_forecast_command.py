"""`aether forecast`: the calendar beside the run's own events, promises that fall as confidence rises."""

import csv
import json

import numpy as np
import pytest
import yaml

from aether.base.errors import InputError
from aether.engine.assemble import assemble
from aether.engine.block import block, redrawn
from aether.scenario.load import load
from aether.study import forecast as ahead
from aether.study.ablation import without
from constellation import fabric


def small(**more):
    return fabric(**({"duration": "6 h", "step": "60 s", "workloads__1__inference__requests__rate": "100 1/s"} | more))


@pytest.fixture(scope="module")
def setup():
    return ahead._over(assemble(load(small())), 6 * 3600.0)


def test_eclipses_and_anomaly_passes_are_those_of_a_run_minute_by_minute(setup, run_engine):
    events = ahead.calendar(setup)
    run = run_engine("ai1-ring", duration="8 h", ships__0__count=3, outputs__ablation=False, ground__coverage_cells=0)
    ours = ahead.calendar(ahead._over(run.setup, 8 * 3600.0))
    for kind in ("eclipse", "anomaly"):
        theirs = sorted((e.subject, e.start_s, e.end_s) for e in run.events if e.kind == kind)
        mine = sorted((e.subject, e.start_s, e.end_s) for e in ours if e.kind == kind)
        assert len(mine) == len(theirs) > 0
        assert np.abs(np.array([m[1:] for m in mine]) - np.array([t[1:] for t in theirs])).max() <= 60.0
    assert {e.subject for e in events} == set(setup.fleet.name)
    assert all(0.0 <= e.start_s < e.end_s <= 6 * 3600.0 for e in events)


def test_a_block_with_faults_drawn_anew_is_the_block_that_would_be_made(setup):
    busy = ahead.reseeded(setup, 5)
    time_s = busy.scenario.clock.times()
    calm = block(without(busy, "faults"), 0, time_s, None)
    made, wanted = redrawn(busy, calm), block(busy, 0, time_s, None)
    for name in ("working", "ship_up", "gateway_up", "arrivals"):
        np.testing.assert_array_equal(getattr(made, name), getattr(wanted, name))
    np.testing.assert_array_equal(made.relays.fixed_m, wanted.relays.fixed_m)
    assert made.interruptions == wanted.interruptions
    assert not np.isnan(calm.relays.fixed_m).any()


def test_more_is_promised_with_less_confidence_and_faults_are_why_samples_differ(setup):
    drawn = ahead.draw(setup, 6, threads=1)
    told = ahead.promised(drawn.orbit_gpu_h)
    assert told["least"] == told["p99"] <= told["p90"] <= told["p50"] <= told["most"]
    assert np.ptp(drawn.tokens) > 0.0
    still = without(setup, "faults")
    assert np.ptp(ahead.draw(still, 2, threads=1).orbit_gpu_h) == 0.0


def test_promises_are_quantiles_that_so_many_samples_reach():
    told = ahead.promised(np.arange(1.0, 101.0))
    assert (told["p50"], told["p90"], told["p99"]) == (50.0, 10.0, 1.0)


def test_a_ship_is_raised_as_often_as_drag_lets_it_sink_by_the_band(setup):
    days = 800.0
    long = ahead._over(setup, days * 86400.0)
    found = [e for e in ahead._reboosts(long, days * 86400.0) if e.subject == "a/0"]
    apart = np.diff([e.start_s for e in found])
    # dv = v da / (2 a): 7,558 m/s x 1 km / (2 x 6,978 km) = 0.54 m/s
    assert all(e.value == pytest.approx(0.5415, rel=1e-3) for e in found)
    assert len(apart) >= 1
    assert np.ptp(apart) < 1e-3 * apart.mean()


def test_what_is_not_positive_and_files_of_another_kind_are_refused(tmp_path):
    with pytest.raises(InputError) as told:
        ahead.forecast(load(small()), 0.0, 1, out=tmp_path / "calendar.txt")
    assert len(told.value.problems) == 3


def test_the_command_writes_the_calendar_and_prints_json_alone(aether, tmp_path):
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(small(), sort_keys=False))
    code, out, err = aether("forecast", "s.yaml", "--hours", "2", "--samples", "3", "--out", "c.csv", "--json")
    assert code == 0, err
    told = json.loads(out)
    with (tmp_path / "c.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(row["count"] for row in told["calendar"].values()) > 0
    assert rows[0]["start"].startswith("2026-06-21T0")
    code, out, err = aether("forecast", "s.yaml", "--hours", "2", "--samples", "3")
    assert code == 0, err
    assert "99 %" in out
