"""The long ones: whole days, the real fleet, kills, and random scenarios."""

import gzip
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aether.engine.assemble import assemble
from aether.engine.run import simulate
from aether.results import results, sinks
from aether.scenario.load import load
from recorded import recorded

pytestmark = pytest.mark.soak
MOST_BYTES = 1_500_000_000  # of memory for the default day


def command(*arguments):
    return [sys.executable, "-m", "aether", *map(str, arguments)]


def peak_bytes(*arguments):
    """The most memory that a command's process held, started from a small one: what this one holds before the exec would count."""
    told = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", told, *command(*arguments)], stdout=subprocess.PIPE, text=True, check=True
    )
    return int(done.stdout) * 1024


def ring(folder, duration, step):
    """Peak of the ring alone, without what is made of its results."""
    alone = ("--set", "outputs.ablation=false", "--no-report", "--out", folder)
    return peak_bytes("run", "ai1-ring", "--set", f"duration={duration}", "--set", f"step={step}", *alone)


def test_four_days_need_little_more_memory_than_one(tmp_path):
    one, four = (ring(tmp_path / days, f"{days} day", "60 s") for days in ("1", "4"))
    assert four < 1.1 * one + 20e6


def test_a_year_of_the_ring_stays_within_a_gigabyte(tmp_path):
    assert ring(tmp_path / "year", "365 day", "10 min") < 1e9
    made = results.load(tmp_path / "year")
    assert made.summary["duration_s"] == 365 * 86400
    assert sinks.rows(made.tables, "energy") == 365 * 144 * 24
    assert made.summary["power"]["eclipses"] > 1000  # the season of eclipses is in it


def test_the_default_day_stays_within_memory_and_every_coupling_counts(tmp_path):
    assert peak_bytes("run", "--out", tmp_path / "day") < MOST_BYTES
    made = results.load(tmp_path / "day")
    assert made.summary["duration_s"] == 86400
    rows = {row["off"]: row for row in made.summary["ablation"]}
    assert all(rows[k]["change"] > 0.001 for k in ("eclipse", "attitude", "anomaly", "faults"))
    assert all(rows[k]["change"] >= 0.0 for k in ("heat", "acquisition"))
    assert rows["flows"]["training_change"] > 0.05  # links that fill keep training waiting
    assert rows["placement"]["tokens_change"] < -0.3  # requests that stay where they are find no room
    assert rows["access"]["first_token_change"] < -0.05
    assert made.tables["energy"].num_rows == 1440 * 147
    assert made.report


def test_the_default_day_is_the_same_for_one_and_two_threads():
    one, two = (simulate(load("project-aether"), threads=n) for n in (1, 2))
    for name, table in one.tables.items():
        for column in table.column_names:
            a, b = (t[column].to_numpy(zero_copy_only=False) for t in (table, two.tables[name]))
            assert np.array_equal(a, b, equal_nan=a.dtype.kind == "f"), (name, column)


def test_the_real_fleet_runs_and_its_planes_are_found(tmp_path):
    found = [p for up in Path(__file__).resolve().parents for p in up.glob("*/data/orbits/starlink_*.tle.gz")]
    if not found:
        pytest.skip("no file of Starlink element sets in data/orbits beside the project")
    (tmp_path / "starlink.tle").write_bytes(gzip.decompress(found[0].read_bytes()))
    change = {
        "relays.shells.0.elements": str(tmp_path / "starlink.tle"),
        "start": "2026-05-21T00:00:00Z",
        "duration": "6 h",
    }
    made = simulate(load("real-elements", change), threads=2)
    assert made.summary["fleet"]["relays"] > 10_000
    assert made.summary["waterfall"]["deliverable"]["share"] > 0.5
    planes = {(s, p) for s, p in zip(made.setup.relays.shell, made.setup.relays.plane, strict=True) if p >= 0}
    assert len(planes) > 150


def test_kill_minus_nine_never_leaves_half_results(tmp_path):
    draw = random.Random(1)
    small = ("--set", "duration=30 min", "--set", "outputs.ablation=false", "--no-report")
    assert (
        subprocess.run(
            command("run", "ai1-ring", "--out", tmp_path / "r", *small), stdout=subprocess.DEVNULL, check=False
        ).returncode
        == 0
    )
    for _ in range(12):
        process = subprocess.Popen(
            command("run", "ai1-ring", "--out", tmp_path / "r", *small), stdout=subprocess.DEVNULL
        )
        time.sleep(draw.uniform(0.5, 3.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
        made = results.load(tmp_path / "r")
        assert made.summary["scenario"] == "ai1-ring"
        assert json.loads((tmp_path / "r" / "manifest.json").read_text())["seed"] == 1
        assert made.tables["energy"].num_rows == 30 * 24


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    ship=st.sampled_from(["ai1", "suncatcher", "starcloud-1", "compute-ship-hull", "compute-ship-assembled"]),
    altitude=st.integers(330, 1500), node=st.integers(0, 24), month=st.integers(1, 12), age=st.integers(0, 10),
    area=st.integers(1, 200), energy=st.integers(1, 400), step=st.integers(10, 600), planes=st.integers(1, 12),
)  # fmt: skip
def test_any_ship_in_any_ring_keeps_energy_and_order(ship, altitude, node, month, age, area, energy, step, planes):
    record = recorded(assemble(load({
        "name": "any", "start": f"2026-{month:02}-15T00:00:00Z", "duration": f"{20 * step} s", "step": f"{step} s",
        "relays": {"shells": [{"shell": {"planes": planes, "per_plane": 9, "altitude": "550 km", "inclination": "53 deg"}}]},
        "ships": [{"name": "a", "ship": ship, "count": 3, "age": f"{age} year", "battery": {"energy": f"{energy} kWh"},
                   "radiator": {"area": f"{area} m2"}, "orbit": {"ring": {"altitude": f"{altitude} km", "node_local_time": f"{node} h"}}}],
        "ground": {"cities": {"largest": 5}, "coverage_cells": 5},
    })))  # fmt: skip
    s = {k: v.astype(np.float64) for k, v in record.ships.items()}
    left = s["array_w"] + s["discharge_w"] - s["curtailed_w"] - s["bus_w"] - s["gpu_w"] - s["charge_w"]
    assert np.abs(left).max() <= 1e-5 * max(1.0, s["array_w"].max(), s["bus_w"].max())
    for stage, before in (("power", "installed"), ("heat", "power"), ("radiation", "heat"), ("reach", "radiation")):
        assert (s[stage] <= s[before] * (1 + 1e-6) + 1e-9).all()
        assert (s[stage] >= 0.0).all()
    for name, values in s.items():
        assert np.isfinite(values).all(), name
    assert ((s["charge_share"] >= 0.0) & (s["charge_share"] <= 1.0 + 1e-6)).all()
