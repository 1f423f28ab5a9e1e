"""What must hold in every run, tick by tick, and the couplings by the direction in which each moves what is delivered."""

from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from aether.engine.assemble import assemble
from aether.engine.run import play, simulate
from aether.engine.summary import waterfall
from aether.network.links import LIGHT_M_S
from aether.placement.policy import policies
from aether.scenario.load import load
from aether.study import ablation
from aether.study.ablation import COUPLINGS, Ablation, coarse, without
from constellation import fabric
from recorded import recorded

DAY = {"duration": "6 h", "ships.0.count": 6, "ground.coverage_cells": 60, "ground.cities.largest": 20}


def delivered(name="ai1-ring", **changes):
    setup = assemble(load(name, {**DAY, **{k.replace("__", "."): v for k, v in changes.items()}}))
    return waterfall(setup, play(setup, network=False))["deliverable"]["gpu_hours"]


@pytest.fixture(scope="module")
def day():
    """Setup and record of six hours."""
    setup = assemble(load("ai1-ring", DAY))
    return SimpleNamespace(setup=setup, record=recorded(setup, network=True))


def test_energy_in_is_energy_out_and_stored(day):
    e, fleet, step_s = {k: v.astype(np.float64) for k, v in day.record.ships.items()}, day.setup.fleet, 60.0
    left = e["array_w"] + e["discharge_w"] - e["curtailed_w"] - e["bus_w"] - e["gpu_w"] - e["charge_w"]
    assert np.abs(left).max() < 1e-6 * e["array_w"].max()
    stored = np.diff(e["charge_j"], axis=0, prepend=fleet.battery_j[None])
    flows = step_s * (fleet.charge_efficiency * e["charge_w"] - e["discharge_w"] / fleet.discharge_efficiency)
    assert np.abs(stored - flows).max() < 1e-6 * fleet.battery_j.max()


def test_heat_in_is_heat_out_and_stored(day):
    s, f = {k: v.astype(np.float64) for k, v in day.record.ships.items()}, day.setup.fleet
    heat = s["gpu_w"] + s["bus_w"] - s["rejected_w"]
    change = np.diff(s["radiator_k"], axis=0) * f.radiator_j_k + np.diff(s["coolant_k"], axis=0) * f.coolant_j_k
    change += np.diff(s["chip_k"], axis=0) * f.chip_j_k
    plate = heat[1:] * 60.0 - change  # what is left went into the cold plate, which is between chip and coolant
    bound = f.plate_j_k * np.abs(np.diff(np.maximum(s["chip_k"], s["coolant_k"]), axis=0)).max() + 1e4
    assert (np.abs(plate) <= 1.5 * bound).all()


def test_no_temperature_passes_its_limit_once_clocks_can_hold_it(day):
    s, f = day.record.ships, day.setup.fleet
    assert s["coolant_k"].max() <= f.coolant_limit_k.max() + 0.01
    assert s["chip_k"].max() <= f.chip_limit_k.max() + 0.01


def test_each_stage_leaves_no_more_than_the_one_before(day):
    stages = [
        day.record.ships[k]
        for k in ("installed", "working", "power", "heat", "radiation", "reach", "placed", "delivered")
    ]
    for before, after in pairwise(stages):
        assert (after <= before * (1 + 1e-6)).all()
        assert (after >= 0.0).all()


def test_nothing_is_faster_than_light(day):
    for p, (a, b) in enumerate(day.setup.probes):
        if a.place and b.place:
            straight = np.linalg.norm(day.setup.probe_sites.fixed_m[a.index] - day.setup.probe_sites.fixed_m[b.index])
            assert np.nanmin(day.record.rtt_s[:, p]) > 2.0 * straight / LIGHT_M_S
        assert (day.record.delivered_s[:, p] >= day.record.rtt_s[:, p])[np.isfinite(day.record.rtt_s[:, p])].all()


def test_same_seed_same_tables_for_any_number_of_threads():
    one, two = (simulate(load("ai1-ring", {**DAY, "duration": "2 h"}), threads=n) for n in (1, 2))
    assert set(one.tables) == set(two.tables)
    for name, table in one.tables.items():
        assert table.equals(two.tables[name]) or _same(table, two.tables[name]), name
    assert one.summary == two.summary


def _same(a, b):
    return all(
        np.array_equal(a[c].to_numpy(), b[c].to_numpy(), equal_nan=a[c].type in ("float", "double"))
        for c in a.column_names
    )


@pytest.mark.parametrize(
    ("coupling", "changes"),
    [
        ("eclipse", {}),
        ("heat", {"ships__0__radiator__area": "70 m2"}),
        ("attitude", {}),
        (
            "acquisition",
            {"ships__0__terminals": 1, "ships__0__neighbour_terminals": 0, "assumptions.access.queue": "1 ms"},
        ),
        ("anomaly", {"duration": "12 h"}),
        ("faults", {"ships__0__age": "3 year"}),
    ],
)
def test_switching_a_coupling_off_raises_what_is_delivered_where_it_binds(coupling, changes):
    changes = {k.replace("__", "."): v for k, v in changes.items()}
    setup = assemble(load("ai1-ring", {**DAY, **changes}))
    other = without(setup, coupling)
    full, free = (waterfall(s, play(s, network=False))["deliverable"]["gpu_hours"] for s in (setup, other))
    assert free > full * 1.001


NEAR = {"workloads__0__inference__max_round_trip": "35 ms"}  # nearer than most hosts are
NARROW = {"assumptions": {"access.user_down": "100 Mbit/s"}}


@pytest.mark.parametrize(("coupling", "changes"), [("access", NEAR), ("flows", NARROW), ("placement", {})])
def test_switching_a_coupling_of_work_off_moves_tokens_the_way_it_should(coupling, changes):
    setup = assemble(load(fabric(duration="15 min", **changes)))
    full, free = (float(play(s, network=False).work.hosts["tokens"].sum()) for s in (setup, without(setup, coupling)))
    worse, better = (free, full) if coupling == "placement" else (full, free)  # off: requests stay at the nearest host
    assert better > worse * 1.001


@pytest.mark.parametrize("asked", ["nothing", "work"])
def test_each_row_of_the_ablation_is_what_a_run_of_its_own_says(asked):
    narrow = {
        **DAY,
        "duration": "2 h",
        "ships.0.attitude": "sun-tracking",
        "ships.0.terminals": 1,
        "ships.0.neighbour_terminals": 0,
    }
    outcome = simulate(load("ai1-ring", narrow) if asked == "nothing" else load(fabric()))
    rows = Ablation(outcome.setup).rows()
    assert [row["off"] for row in rows] == list(COUPLINGS)
    for row in rows:
        other = without(coarse(outcome.setup), row["off"])
        totals = play(other, network=False)
        stages = waterfall(other, totals)
        assert row["deliverable_gpu_hours"] == pytest.approx(stages["deliverable"]["gpu_hours"], rel=1e-6), row["off"]
        assert row["delivered_gpu_hours"] == pytest.approx(stages["delivered"]["gpu_hours"], rel=1e-6), row["off"]
        tokens = float(totals.work.hosts["tokens"].sum()) if asked == "work" else 0.0
        assert row["output_tokens"] == pytest.approx(tokens, rel=1e-5), row["off"]


def test_processes_of_their_own_make_the_same_ablation(monkeypatch):
    setup = assemble(load(fabric()))
    alone = Ablation(setup).rows()
    monkeypatch.setattr(ablation, "WORTH_IT", 0)
    spread = Ablation(setup, threads=3)
    spread.start()
    assert spread.rows() == alone


def test_a_policy_that_only_this_process_knows_keeps_the_ablation_in_it(monkeypatch):
    monkeypatch.setattr(ablation, "WORTH_IT", 0)
    monkeypatch.setitem(policies._items, "mine", lambda snapshot: policies["nearest"](snapshot))
    table = Ablation(assemble(load(fabric(placement={"policy": "mine"}))), threads=2)
    table.start()
    assert table._coming is None
    assert len(table.rows()) == len(COUPLINGS)


def test_an_ablation_steps_no_finer_than_ten_minutes_and_divides_the_run_evenly():
    setup = coarse(assemble(load(fabric(duration="32 min"))))
    assert setup.scenario.spec.step == pytest.approx(32 * 60 / 3)
    assert setup.scenario.clock.duration_s == pytest.approx(32 * 60)


def test_every_coupling_is_covered_above_or_in_test_manoeuvres():
    named = {"eclipse", "heat", "attitude", "acquisition", "anomaly", "faults", "access", "flows", "placement"}
    assert set(COUPLINGS) == named | {"manoeuvres"}


def test_more_radiator_never_delivers_less_and_more_battery_neither():
    by_area = [delivered(ships__0__radiator__area=f"{a} m2") for a in (50, 80, 120)]
    assert by_area == sorted(by_area)
    assert by_area[0] < by_area[-1]
    by_energy = [delivered(ships__0__battery__energy=f"{e} kWh") for e in (15, 40, 120)]
    assert by_energy == sorted(by_energy)
    assert by_energy[0] < by_energy[-1]


def test_a_radiator_too_small_runs_and_says_how_much_is_short():
    told = simulate(load("ai1-ring", {**DAY, "ships.0.radiator.area": "60 m2"})).summary
    (short,) = [s for s in told["shortfalls"] if s["part"] == "radiator"]
    assert 60 < short["short"] < 150
    assert "June" in short["words"]
    assert told["binding"]["constraint"] == "heat"


def test_the_radiator_that_is_short_is_the_one_that_lets_all_gpus_run():
    def winter(area):
        return simulate(
            load("ai1-ring", {**DAY, "start": "2026-12-21T00:00:00Z", "ships.0.radiator.area": f"{area} m2"})
        ).summary

    (short,) = [s for s in winter(110)["shortfalls"] if s["part"] == "radiator"]
    enough, less = winter(110 + short["short"] + 1.0), winter(110 + 0.8 * short["short"])
    assert enough["waterfall"]["heat"]["lost_gpu_hours"] < 1e-3 * enough["waterfall"]["installed"]["gpu_hours"]
    assert not [s for s in enough["shortfalls"] if s["part"] == "radiator"]
    assert less["waterfall"]["heat"]["lost_gpu_hours"] > 1e-3 * less["waterfall"]["installed"]["gpu_hours"]


def test_a_battery_too_small_runs_and_says_how_much_is_short():
    told = simulate(load("ai1-ring", {**DAY, "ships.0.battery.energy": "1 kWh"})).summary
    (short,) = [s for s in told["shortfalls"] if s["part"] == "battery"]
    assert short["unit"] == "kWh"
    assert short["short"] > 50


def test_no_gateway_in_view_delivers_nothing_and_says_so():
    told = simulate(load("ai1-ring", {**DAY, "duration": "1 h", "ground.gateways.operational": False})).summary
    assert told["waterfall"]["deliverable"]["gpu_hours"] == 0.0
    assert told["binding"]["constraint"] == "reach"
    assert any("no path to a gateway 100" in s["words"] for s in told["shortfalls"])


def test_ships_beyond_every_relay_are_not_delivered():
    assert delivered(relays__ship_terminals=0) == 0.0


def test_a_terminal_is_never_held_twice_and_relays_give_no_more_than_they_have(day):
    attached = day.record.ships["attached"]
    assert attached.max() <= day.setup.mesh_terminals.max()
    assert attached.sum(axis=1).max() <= day.setup.relay_count


def test_a_single_tick_and_a_fleet_without_places_run():
    told = simulate(
        load(
            "ai1-ring",
            {**DAY, "duration": "60 s", "ground.cities.largest": 0, "ground.coverage_cells": 0, "probes": []},
        )
    ).summary
    assert told["probes"] == []
    assert 0.0 < told["waterfall"]["deliverable"]["share"] < 1.0


def test_the_suncatcher_cluster_stays_within_its_radius_at_the_published_spacing():
    made = simulate(
        load("suncatcher-cluster", {"duration": "10 min", "ground.coverage_cells": 0, "ground.cities.largest": 0})
    )
    shape = made.summary["groups"][0]["formation"]
    assert shape["radius_m"] <= 1_010.0  # arXiv 2511.19468: 81 within 1 km
    assert shape["neighbour_least_m"] == pytest.approx(100.0, rel=0.02)  # spacing swings between 100 and 200 m
    assert shape["neighbour_most_m"] == pytest.approx(200.0, rel=0.02)


def test_drag_of_an_ai1_ship_lies_in_the_published_range():
    (group,) = simulate(load("ai1-ring", {**DAY, "duration": "5 min"})).summary["groups"]
    assert 0.5 < group["drag_delta_v_quiet_m_s_year"] < group["drag_delta_v_active_m_s_year"] < 40.0


def test_a_narrow_field_of_view_never_reaches_more():
    setup = assemble(
        load("ai1-ring", {**DAY, "duration": "1 h", "ships.0.terminals": 1, "ships.0.neighbour_terminals": 0})
    )
    shares = []
    for degrees in (5, 60, 110):
        seen = replace(setup, view_rad=np.full(len(setup.fleet.name), np.radians(degrees)))
        shares.append(recorded(seen).ships["reach_share"].mean())
    assert shares[0] < 0.2
    assert shares == sorted(shares)


OFTEN = {
    "faults.ship": "20 1/day",
    "faults.gateway": "1 1/day",
    "faults.relay_outage": "1 1/day",
    "faults.gpu_orbit": "1 1/day",
}
FAULTY = {"assumptions": OFTEN, "ships__0__age": "0 s", "ships__1__age": "0 s"}


def test_same_seed_same_work_and_faults_for_any_number_of_threads():
    one, two, again = (simulate(load(fabric(seed=5, **FAULTY)), threads=n) for n in (1, 2, 1))
    for other in (two, again):
        assert set(one.tables) == set(other.tables)
        for name, table in one.tables.items():
            assert table.equals(other.tables[name]) or _same(table, other.tables[name]), name
        assert repr(one.summary) == repr(other.summary)  # NaN is not itself, its text is


def test_another_seed_brings_other_faults_and_requests_on_the_same_orbits():
    one, two = (simulate(load(fabric(seed=n, **FAULTY))) for n in (5, 6))
    assert _same(one.tables["places"], two.tables["places"])
    assert _same(one.tables["energy"].select(["lit", "array_w"]), two.tables["energy"].select(["lit", "array_w"]))
    assert not _same(one.tables["requests"].select(["requests"]), two.tables["requests"].select(["requests"]))
    assert [o.start_s for o in one.setup.outages] != [o.start_s for o in two.setup.outages]
    assert not _same(one.tables["capacity"].select(["working"]), two.tables["capacity"].select(["working"]))


def test_what_is_asked_and_what_fails_does_not_depend_on_other_choices():
    setup = assemble(load(fabric(seed=5, **FAULTY)))
    other = assemble(
        load(fabric(seed=5, **FAULTY, placement__policy="ground-first", ships__0__attitude="sun-tracking"))
    )
    assert setup.outages == other.outages
    asked = [recorded(s).work.asked["requests"] for s in (setup, other)]
    assert (asked[0] == asked[1]).all()


def test_without_faults_nothing_fails_wears_out_or_is_interrupted():
    off = {"couplings__faults": False, "couplings__anomaly": False}
    made = simulate(load(fabric(assumptions={**OFTEN, "faults.interruption": 10.0}, **off)))
    told, jobs = made.summary["faults"], made.summary["work"]["training"]
    assert all(told[kind]["failed"] == 0 for kind in ("ship", "relay", "link", "gateway", "site", "gpu"))
    assert told["gpus_worn_out_before"] == 0.0
    assert jobs[0]["interruptions"] == 0.0
    capacity = made.tables["capacity"]
    assert capacity["working"].to_numpy().tolist() == capacity["installed"].to_numpy().tolist()
    assert not [e for e in made.events if e.kind.startswith("fault")]


def test_a_fleet_whose_chips_have_all_worn_out_runs_and_delivers_nothing():
    told = simulate(load(fabric(duration="5 min", assumptions={"faults.gpu_orbit": "1 1/day"}))).summary
    assert told["waterfall"]["working"]["gpu_hours"] == 0.0
    assert told["work"]["training"][0]["tokens"] == 0.0
