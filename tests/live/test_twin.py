"""The twin of a live fabric: the conditions of a run, by the fabric's clock and under the load of what really runs."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.base.errors import InputError
from aether.engine.run import simulate
from aether.fabric.twin.frame import from_json, to_json
from aether.fabric.twin.thresholds import settle, whole
from aether.fabric.twin.twin import Twin
from aether.scenario.load import load

START = 1782000000.0  # 2026-06-21T00:00:00Z
STEP = 60.0
ORBIT_S = 97 * 60.0  # of a ring at 600 km: 2 pi sqrt((6978 km)^3 / (398,600 km3/s2)) = 96.7 min
SMALL = {
    "name": "small", "start": "2026-06-21T00:00:00Z", "duration": "6 h", "step": "60 s",
    "relays": {"shells": [{"shell": {"planes": 24, "per_plane": 22, "altitude": "550 km", "inclination": "53 deg"}}]},
    "ships": [{"name": "a", "ship": "ai1", "count": 3, "orbit": {"ring": {"altitude": "600 km", "node_local_time": "18 h"}}}],
    "sites": [{"name": "virginia", "at": "Washington", "gpus": 64}],
    "ground": {"cities": {"largest": 2}, "coverage_cells": 0},
    "outputs": {"ablation": False},
}  # fmt: skip
CALM = {"couplings": {"faults": False, "manoeuvres": False}}


def scenario(**changes):
    return load(SMALL | changes)


def full(twin):
    return dict.fromkeys(twin.hosts, 1e6)  # more than there is: all that could compute is at work


def frames(twin, load, first, last, watch=()):
    return [twin.advance(START + k * STEP, load, watch) for k in range(first, last)]


def unforeseen(frame):
    """A frame without what is foreseen, which ends with the scenario's duration."""
    return replace(frame, hosts=tuple(replace(h, gone_in_s=None) for h in frame.hosts))


def ship(frame, name="a/0"):
    return next(h for h in frame.hosts if h.name == name)


def test_the_first_frame_tells_every_host_and_the_next_only_what_was_crossed():
    twin = Twin(scenario(), START)
    first = twin.advance(START, {})
    assert [h.name for h in first.hosts] == ["a/0", "a/1", "a/2", "virginia"] == [c.host for c in first.conditions]
    assert first.time_s == START
    later = [c for f in frames(twin, {}, 1, 200) for c in f.conditions]
    told = {c.host: c for c in first.conditions}
    assert later
    for c in later:
        before, told[c.host] = told[c.host], c
        assert (c.gpus, c.contact, c.lit, c.up) != (before.gpus, before.contact, before.lit, before.up)


def test_a_fully_loaded_twin_is_the_run_of_the_same_scenario():
    asked = scenario(**CALM)
    energy = simulate(asked).tables["energy"].to_pandas()
    twin = Twin(asked, START)
    seen = frames(twin, full(twin), 0, 360)
    charge = np.array([[h.charge_share for h in f.hosts[:3]] for f in seen]) * twin._fresh.fleet.battery_j[:3]
    assert charge == pytest.approx(energy["charge_j"].to_numpy().reshape(360, 3), rel=1e-6)  # tables are float32


def test_eclipses_are_told_within_a_tick_of_the_calendar_of_the_run():
    asked = scenario(**CALM)
    calendar = [e for e in simulate(asked).events if e.kind == "eclipse" and e.subject == "a/0"]
    twin = Twin(asked, START)
    told = [c for f in frames(twin, {}, 0, 360) for c in f.conditions if c.host == "a/0"]
    turns = [(c.time_s - START, c.lit) for c, before in zip(told[1:], told, strict=False) if c.lit != before.lit]
    edges = [(t, dark) for e in calendar for t, dark in ((e.start_s, False), (e.end_s, True)) if STEP < t < 359 * STEP]
    assert len(edges) >= 6
    assert len(turns) == len(edges)
    for (at, lit), (when, light) in zip(turns, edges, strict=True):
        assert lit == light
        assert abs(at - when) <= STEP


def test_an_idle_ship_charges_and_a_loaded_one_drains_and_is_limited_in_darkness():
    large = [SMALL["ships"][0] | {"battery": {"energy": "60 kWh"}}]  # that idle GPUs do not empty in a darkness
    idle, busy = (Twin(scenario(ships=large, **CALM), START) for _ in range(2))
    ticks = round(2 * ORBIT_S / STEP)
    pairs = list(zip(frames(idle, {}, 0, ticks), frames(busy, full(busy), 0, ticks), strict=True))
    dark = [(ship(a), ship(b)) for a, b in pairs if ship(a).lit == 0.0]
    assert len(dark) > 10
    assert all(a.charge_share >= b.charge_share for a, b in dark)
    assert min(b.charge_share for _, b in dark) < min(a.charge_share for a, _ in dark) - 0.2
    last_idle, last_busy = dark[-1]
    assert last_busy.limit == "power"
    assert last_busy.gpus_usable < 0.8 * last_idle.gpus_usable
    assert all(ship(b).chip_k > ship(a).chip_k + 5.0 for a, b in pairs[1:] if ship(b).lit == 1.0)


def test_eclipse_in_counts_down_to_darkness():
    seen = [ship(f) for f in frames(Twin(scenario(**CALM), START), {}, 0, 200)]
    for now, then in pairwise(seen):
        if now.eclipse_in_s and now.eclipse_in_s > STEP:
            assert then.eclipse_in_s == pytest.approx(now.eclipse_in_s - STEP)
        elif now.eclipse_in_s == STEP:
            assert then.lit < 0.5
            assert then.eclipse_in_s == 0.0


def test_the_same_start_and_load_give_the_same_frames_and_another_seed_other_faults():
    asked = scenario(assumptions={"faults.ship": "0.2 1/day"})
    one, two, other = (
        frames(t, full(t), 0, 300) for t in (Twin(asked, START), Twin(asked, START), Twin(asked, START, seed=2))
    )
    assert one == two
    assert one != other


def test_a_tick_at_a_time_or_all_at_once_cross_the_same():
    step_by_step, at_once = Twin(scenario(), START), Twin(scenario(), START)
    one = frames(step_by_step, {"a/0": 40.0}, 0, 250)
    all_ = at_once.advance(START + 249 * STEP, {"a/0": 40.0})
    assert [c for f in one for c in f.conditions] == list(all_.conditions)
    assert one[-1].hosts == all_.hosts


def test_without_a_tick_to_step_the_last_frame_is_given_again_without_crossings():
    twin = Twin(scenario(), START)
    first = twin.advance(START + 10.0, {})
    again = twin.advance(START + 59.0, full(twin))
    assert again == replace(first, conditions=(), reaches=())
    before = twin.state()
    twin.advance(START + 59.0, {})
    assert twin.state() == before


@pytest.mark.parametrize("ticks", [1, 44, 90])
def test_a_twin_restored_from_its_state_goes_on_as_if_nothing_had_happened(ticks):
    asked = scenario(duration="45 min", assumptions={"faults.ship": "0.5 1/day"})  # 90 ticks are two segments
    watch = [("Tokyo", 0.12)]
    whole_, cut = Twin(asked, START, seed=3), Twin(asked, START, seed=3)
    for twin in (whole_, cut):
        twin.advance(START, {})
        twin.inject("link", "a/1", START + 40 * STEP, START + 130 * STEP)
        frames(twin, full(twin), 1, ticks, watch)
    again = Twin(asked, 0.0, state=json.loads(json.dumps(cut.state())))
    if ticks > 1:  # asked before its next tick has begun it looks ahead, and steps nothing
        ahead = again.advance(START + (ticks - 1) * STEP, full(again))
        assert len(ahead.conditions) == 4
        assert again.state()["tick"] == ticks
    one, two = (frames(t, full(t), ticks, ticks + 100, watch) for t in (whole_, again))
    assert [f.hosts for f in one] == [f.hosts for f in two]
    assert [f.conditions for f in one[1:]] == [f.conditions for f in two[1:]]
    assert [f.reaches for f in one[1:]] == [f.reaches for f in two[1:]]


def test_lasers_that_acquire_and_the_mesh_are_restored_too():
    relays = SMALL["relays"] | {"topology": "nearest"}
    asked = scenario(step="5 s", relays=relays, **CALM)
    one = Twin(asked, START)
    one.advance(START + 35.0, {})  # in the middle of a block
    one.inject("ship", "a/0", START + 40.0, START + 45.0)
    one.advance(START + 45.0, {}, [("Tokyo", 0.1)])
    state = one.state()
    assert np.max(state["ships"]["acquiring_s"]) > 0.0
    two = Twin(asked, START, state=state)
    assert two.state() == state
    one.advance(START + 50.0, {})
    two.advance(START + 50.0, {})
    assert one.state() == two.state()
    assert np.array_equal(one._block.block.mesh_pairs, two._block.block.mesh_pairs)


def test_a_clock_that_jumps_by_years_is_followed_and_one_that_goes_back_is_waited_for():
    twin = Twin(scenario(), START)
    twin.advance(START, {})
    late = START + 3e8 // STEP * STEP
    frame = twin.advance(late, {})
    assert frame.time_s == late
    assert all(late - 1440 * STEP < c.time_s <= late for c in frame.conditions)
    assert all(580e3 < h.altitude_m < 630e3 for h in frame.hosts[:3])
    assert twin.advance(late - 1e6, {}) == replace(frame, conditions=(), reaches=())
    assert twin.advance(late + STEP, {}).time_s == late + STEP


def test_a_state_of_another_fleet_is_refused():
    state = Twin(scenario(), START).state()
    with pytest.raises(InputError, match="another scenario"):
        Twin(scenario(sites=[]), START, state=state)


def test_the_sky_and_the_calendar_of_manoeuvres_go_on_past_the_end_of_the_scenario():
    often = {
        "couplings": {"faults": False},
        "assumptions": {"reboost.band": "0.5 m", "reboost.duration": "5 min", "avoidance.rate": "0 1/year"},
    }
    short, long = Twin(scenario(duration="30 min", **often), START), Twin(scenario(**often), START)
    one, two = frames(short, full(short), 0, 150), frames(long, full(long), 0, 150)
    assert [unforeseen(f) for f in one] == [unforeseen(f) for f in two]
    assert len({c.time_s for f in two[40:] for c in f.conditions if not c.contact}) > 1  # thrusting, without the mesh


def test_what_degrades_breaks_past_the_end_of_the_scenario():
    pump = {"ship": "a/0", "kind": "pump", "start": "80 min", "over": "10 min", "depth": 1.0, "breaks": True}
    rates = {"faults.ship": "0 1/year"}
    twin = Twin(scenario(duration="1 h", degrading=[pump], assumptions=rates), START)
    assert [ship(f).up for f in (twin.advance(START + m * STEP, {}) for m in (89, 91, 400))] == [True, False, False]


def test_faults_are_drawn_anew_past_the_end_and_what_is_lost_stays_lost():
    rates = {"faults.gpu_orbit": "40 1/year", "faults.ship": "0 1/year"}
    twin = Twin(scenario(duration="1 h", assumptions=rates), START)
    left = np.array([[h.gpus_usable for h in f.hosts] for f in frames(twin, {}, 0, 1)])[0]
    lost = [0.0]
    for hour in range(1, 13):
        twin.advance(START + hour * 3600.0, {})
        lost.append(sum(1 for o in twin._setup.outages if o.kind == "gpu" and o.start_s < hour * 3600.0))
    assert all(a <= b for a, b in pairwise(lost))
    assert len(set(lost)) > 4  # 216 GPUs at 40 a year lose one an hour
    assert left.sum() > 0


def test_what_is_out_at_the_end_of_the_scenario_is_what_is_out_after_it():
    many = [SMALL["ships"][0] | {"count": 40}]
    rates = {"faults.ship": "0.1 1/day", "faults.ship_repair": "10 day"}  # half of them are out at any time
    twin = Twin(scenario(ships=many, duration="1 h", assumptions=rates), START)
    up = [[h.up for h in twin.advance(START + m * STEP, {}).hosts[:40]] for m in (0, 59, 60)]
    assert 8 <= sum(up[0]) <= 32
    assert sum(a != b for a, b in zip(up[1], up[2], strict=True)) <= 2


def test_with_faults_switched_off_only_what_is_injected_fails():
    twin = Twin(scenario(assumptions={"faults.site": "1 1/h", "faults.site_repair": "1 h"}, **CALM), START)
    twin.advance(START, {})
    twin.inject("site", "virginia", START + 10 * STEP, START + 12 * STEP)
    assert [f.hosts[3].up for f in frames(twin, {}, 1, 60)] == [True] * 9 + [False] * 2 + [True] * 48


def test_a_lost_ship_computes_nothing_and_comes_back():
    twin = Twin(scenario(**CALM), START)
    twin.advance(START, {})
    twin.inject("ship", "a/1", START + STEP, START + 10 * STEP)
    seen = frames(twin, {}, 1, 15)
    told = [c for f in seen for c in f.conditions if c.host == "a/1" and not c.up]
    assert [(c.time_s, c.gpus, c.limit, c.contact) for c in told] == [(START + STEP, 0, "faults", False)]
    assert [ship(f, "a/1").up for f in seen] == [False] * 9 + [True] * 5
    assert seen[-1].hosts[1].gpus_usable > 0.0


def test_a_ship_whose_links_are_cut_computes_on_out_of_contact():
    twin, other = Twin(scenario(**CALM), START), Twin(scenario(**CALM), START)
    twin.advance(START, {})
    other.advance(START, {})
    twin.inject("link", "a/0", START + STEP, START + 30 * STEP)
    seen, calm = frames(twin, {}, 1, 60), frames(other, {}, 1, 60)
    assert not any(ship(f).contact or ship(f).link_bit_s for f in seen[:29])
    assert all(ship(f).contact for f in seen[32:])  # acquisition takes a tick or two
    for cut, whole_ in zip(seen, calm, strict=True):
        assert ship(cut).gpus_usable == ship(whole_).gpus_usable
        assert (ship(cut).latitude_deg, ship(cut).altitude_m) == (ship(whole_).latitude_deg, ship(whole_).altitude_m)


def test_a_ship_whose_pumps_stand_heats_to_its_limit_and_computes_only_what_conduction_carries():
    twin, other = Twin(scenario(**CALM), START), Twin(scenario(**CALM), START)
    twin.advance(START, full(twin))
    other.advance(START, full(other))
    twin.inject("pump", "a/0", START + STEP, START + 40 * STEP)
    fleet = twin._setup.fleet
    for n in range(1, 30):
        seen, calm = (t.advance(START + n * STEP, full(t)) for t in (twin, other))
        assert ship(seen).limit == "heat"
        assert ship(seen).chip_k <= float(fleet.chip_limit_k[0])
        assert ship(seen).gpus_usable < 0.3 * ship(calm).gpus_usable
        assert ship(seen, "a/1") == ship(calm, "a/1")
    again = Twin(scenario(**CALM), START, state=twin.state()).advance(START + 30 * STEP, full(twin))
    assert ship(again).limit == "heat"
    chips_w = float(twin._last[2].energy.gpu_w[0])  # series of two resistances, one of them fifty times what it was
    drop_k = chips_w * float(1.0 / fleet.chip_plate_w_k[0] + 50.0 / fleet.plate_coolant_w_k[0])
    assert ship(seen).chip_k - ship(seen).coolant_k == pytest.approx(drop_k, rel=0.02)
    assert ship(seen).chip_k > float(fleet.chip_limit_k[0]) - 2.0
    back, calm = (t.advance(START + 41 * STEP, full(t)) for t in (twin, other))
    assert ship(back).gpus_usable >= ship(calm).gpus_usable  # it has cooled meanwhile


def test_sites_gateways_relays_and_gpus_are_lost_too():
    twin = Twin(scenario(**CALM), START)
    twin.advance(START, {})
    twin.inject("site", "virginia", START, START + 2 * STEP)
    seen = twin.advance(START + STEP, {}, [("New York", 1.0)])
    site = seen.hosts[3]
    assert [r.within for r in seen.reaches] == [True, True, True, False]
    assert (site.up, site.gpus_usable, site.contact) == (False, 0.0, False)
    twin.inject("gpu", "virginia", START, None)
    twin.inject("link", "virginia", START, START + 5 * STEP)
    site = twin.advance(START + 3 * STEP, {}).hosts[3]
    assert (site.up, site.gpus_usable, site.contact) == (True, 63.0, False)
    for name in twin._setup.gateways.names[1:]:
        twin.inject("gateway", name, START, None)
    twin.inject("link", twin._setup.gateways.names[0], START, None)
    seen = twin.advance(START + 6 * STEP, {})
    assert [h.contact for h in seen.hosts] == [False, False, False, True]
    assert ship(seen).link_bit_s > 0.0
    for relay in range(528):
        twin.inject("relay", f"relay {relay}", START, None)
    assert ship(twin.advance(START + 7 * STEP, {})).link_bit_s == 0.0
    twin.inject("link", "relay 5/2", START, None)
    assert twin.state()["outages"][-1][:2] == ["link", 22]


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("ship", "a/9", "unknown ship 'a/9'; did you mean 'a/"),
        ("boat", "a/0", "unknown kind of fault 'boat'"),
        ("site", "virgina", "did you mean 'virginia'"),
        ("link", "relay 0/4", "unknown end of a link"),
        ("pump", "virginia", "unknown pump 'virginia'"),
    ],
)
def test_what_is_unknown_is_not_injected(kind, name, words):
    twin = Twin(scenario(), START)
    with pytest.raises(InputError, match=words):
        twin.inject(kind, name, START, None)
    assert twin.state()["outages"] == []


def test_times_and_loads_that_are_none_are_refused():
    twin = Twin(scenario(), START)
    for begin, end in ((float("nan"), None), (START, START), (START, START - 1.0)):
        with pytest.raises(InputError):
            twin.inject("ship", "a/0", begin, end)
    for load_, words in (({"a/7": 1.0}, "did you mean 'a/"), ({"a/0": -1.0}, "number of GPUs"), ({"a/0": float("nan")}, "number")):  # fmt: skip
        with pytest.raises(InputError, match=words):
            twin.advance(START, load_)
    with pytest.raises(InputError, match="finite"):
        twin.advance(float("inf"), {})
    with pytest.raises(InputError, match="no date"):
        Twin(scenario(), 1e18)


def test_nothing_is_within_less_than_light_needs_and_neighbours_are():
    twin = Twin(scenario(**CALM), START)
    light_s = 2 * 10_900e3 / 299_792_458.0  # Tokyo to Washington, 10,900 km over the ground, there and back
    watch = [("Tokyo", 0.99 * light_s), ("New York", 0.1), ("Tokyo", 0.5)]
    first = twin.advance(START, {}, watch)
    assert len(first.reaches) == 3 * 4
    at_site = {(r.place, r.limit_s): r.within for r in first.reaches if r.host == "virginia"}
    assert list(at_site.values()) == [False, True, True]
    later = [r for f in frames(twin, {}, 1, 100, watch) for r in f.reaches]
    assert not [r for r in later if r.host == "virginia"]
    ships = [r for r in later if r.place == "Tokyo" and r.limit_s == watch[0][1] and r.host == "a/0"]
    assert {r.within for r in ships} == {True, False}  # a ship goes round and comes by
    assert all(a.within != b.within for a, b in pairwise(ships))


def test_only_watched_pairs_are_told_and_a_pair_watched_again_is_told_whole():
    twin = Twin(scenario(**CALM), START)
    assert twin.advance(START, {}).reaches == ()
    assert len(twin.advance(START + STEP, {}, [("Tokyo", 0.5)]).reaches) == 4
    assert twin.advance(START + 2 * STEP, {}).reaches == ()
    assert len(twin.advance(START + 3 * STEP, {}, [("Tokyo", 0.5)]).reaches) == 4
    with pytest.raises(InputError, match="did you mean 'Tokyo"):
        twin.advance(START + 4 * STEP, {}, [("Tokio", 0.5)])
    with pytest.raises(InputError, match="round trip"):
        twin.advance(START + 4 * STEP, {}, [("Tokyo", 0.0)])
    assert twin.state()["tick"] == 4


def test_a_watched_place_has_its_round_trips_at_once_and_they_are_no_faster_than_light():
    twin = Twin(scenario(**CALM), START)
    assert twin.advance(START, {}).round_trip_s == {}
    told = twin.advance(START, {}, [("Tokyo", 3600.0)]).round_trip_s  # no tick was stepped since
    light_s = 2 * 10_900e3 / 299_792_458.0  # Tokyo to Washington, 10,900 km over the ground, there and back
    assert light_s < told["Tokyo"]["virginia"] < 0.5
    for row in twin.advance(START + STEP, {}, [("Tokyo", 3600.0)]).hosts:
        if row.kind == "ship" and row.contact:
            assert 2 * row.altitude_m / 299_792_458.0 < told["Tokyo"][row.name] < 1.0
    twin.inject("ship", "a/0", START + STEP, None)
    assert "a/0" not in twin.advance(START + 3 * STEP, {}, [("Tokyo", 3600.0)]).round_trip_s["Tokyo"]


def test_loss_of_contact_is_foreseen_to_the_tick_and_faults_are_not():
    start = 1773964800.0  # 2026-03-20T00:00:00Z
    asked = load(Path(__file__).parent.parent / "data" / "fabric_nights.yaml", {"couplings.faults": False})
    twin = Twin(asked, start)
    seen = [{h.name: h for h in twin.advance(start + STEP * n, {}).hosts} for n in range(90)]
    ahead = 15  # ticks
    checked = 0
    for name in ("dusk/0", "night/2", "night/3", "dublin"):
        for n in range(len(seen) - ahead):
            row = seen[n][name]
            lost = next((k for k in range(1, ahead + 1) if not seen[n + k][name].contact), None)
            told = 0.0 if not row.contact else None if lost is None else lost * STEP
            assert row.gone_in_s == told, (name, n)
            checked += told not in (None, 0.0)
    assert checked > 50
    calm = Twin(asked, start)
    calm.inject("ship", "dusk/0", start + 3 * STEP, None)
    rows = [{h.name: h for h in calm.advance(start + STEP * n, {}).hosts} for n in range(5)]
    assert [r["dusk/0"].gone_in_s for r in rows[:3]] == [s["dusk/0"].gone_in_s for s in seen[:3]]
    assert rows[4]["dusk/0"].gone_in_s == 0.0


def test_without_the_coupling_of_access_every_place_is_at_once_everywhere():
    calm = CALM | {"couplings": CALM.get("couplings", {}) | {"access": False}}
    told = Twin(scenario(**calm), START).advance(START, {}, [("Tokyo", 3600.0), ("New York", 0.1)])
    assert {s for row in told.round_trip_s.values() for s in row.values()} == {0.0}


def test_a_fabric_on_the_ground_alone_has_a_twin():
    twin = Twin(load("ground-only"), START)
    frame = twin.advance(START, {})
    assert frame.hosts
    assert all(h.kind == "site" and h.up and h.contact for h in frame.hosts)


def test_a_frame_comes_back_from_json_as_it_was():
    frame = Twin(scenario(), START).advance(START, {}, [("Tokyo", 0.1)])
    assert from_json(json.loads(json.dumps(to_json(frame)))) == frame


shares = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=40)


@given(st.integers(1, 10_000), shares)
def test_gpus_told_never_exceed_those_that_run_and_do_not_creep_upwards(installed, seen):
    all_ = np.array([float(installed)])
    most = whole(all_, all_)
    told = whole(np.array([seen[0] * installed]), all_)
    for share in seen:
        now = whole(np.array([share * installed]), all_)
        before, told = told, settle(told, now, most, all_)
        assert told[0] <= now[0] <= installed
        assert told[0] <= before[0] or told[0] - before[0] >= 0.05 * installed or told[0] == installed
        assert now[0] >= before[0] or told[0] == now[0]
    assert settle(told, most, most, all_)[0] == installed
