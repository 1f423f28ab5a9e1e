"""Events of a scenario: what they do to a run, and that each is told by what the run without it would have been."""

from functools import cache
from typing import Any

import numpy as np
import pytest

import aether
from aether.base.errors import InputError
from aether.engine.assemble import assemble
from aether.engine.happenings import countries, struck_gateways
from aether.network import terrestrial
from aether.network.access import FIBRE_M_S
from aether.scenario.load import load
from aether.study.events import words

CABLES = ["SEA-ME-WE 4", "SEA-ME-WE 5", "IMEWE", "Europe India Gateway", "TGN-Eurasia", "AAE-1", "PEACE", "SEACOM"]
RUN: dict[str, Any] = {
    "name": "eventful", "start": "2026-09-22T00:00:00Z", "duration": "1 h", "step": "120 s",
    "relays": {"shells": [{"shell": {"planes": 24, "per_plane": 22, "altitude": "550 km", "inclination": "53 deg"}}]},
    "ships": [{"name": "ai1", "ship": "ai1", "count": 4, "orbit": {"ring": {"altitude": "600 km", "node_local_time": "18 h"}}}],
    "sites": [{"name": "frankfurt", "at": "Frankfurt am Main", "gpus": 144}, {"name": "mumbai", "at": "Mumbai", "gpus": 72}],
    "workloads": [
        {"name": "assistant", "inference": {"model": "llama-3.3-70b", "requests": {"per_person_day": 2, "places": ["DE", "IN", "KE"]},
                                            "max_first_token": "2 s", "patience": "4 min", "price": "3 USD"}},
        {"name": "nightly", "where": ["ai1"], "training": {"model": "llama-3.1-8b", "tokens": 1e12, "gpus": 16, "price": "60 USD"}},
    ],
    "ground": {"cities": {"largest": 60}, "coverage_cells": 0},
    "probes": [{"from": "Mumbai", "to": "Frankfurt am Main"}],
    "outputs": {"ablation": False},
}  # fmt: skip
EVENTS: dict[str, dict[str, Any]] = {
    "cut": {"cut_cables": CABLES}, "gateways": {"gateways": {"within": {"at": "Frankfurt am Main", "radius": "1500 km"}}},
    "ships": {"ships": ["ai1/0", "ai1/2"]}, "sites": {"sites": ["mumbai"]}, "price": {"price": {"country": "DE", "factor": 5}},
}  # fmt: skip


def event(kind: str, start: str = "20 min", duration: str = "20 min") -> dict[str, Any]:
    return {"start": start, "duration": duration} | EVENTS[kind]


@cache
def run(*kinds: str, start: str = "20 min", ships: bool = True, faults: bool = True) -> Any:
    changed: dict[str, Any] = {"events": [event(k, start) for k in kinds], "couplings": {"faults": faults}}
    if not ships:
        changed |= {"ships": [], "workloads": RUN["workloads"][:1]}
    return aether.run(RUN | changed)


def column(made: Any, table: str, name: str) -> Any:
    found = made.tables[table].column(name).to_numpy()
    return np.asarray(found).reshape(30, -1)  # ticks


def test_a_run_without_events_says_nothing_of_them() -> None:
    assert "events" not in run().summary


@pytest.mark.parametrize("kind", sorted(EVENTS))
def test_nothing_moves_before_an_event(kind: str) -> None:
    calm, made = run(), run(kind)
    for table, names in (("hosts", ("inference_gpu", "training_gpu", "requests")), ("capacity", ("working", "reach"))):
        for name in names:
            assert (column(made, table, name)[:10] == column(calm, table, name)[:10]).all()


@pytest.mark.parametrize("kind", sorted(EVENTS))
def test_the_side_without_an_event_is_the_run_without_it(kind: str) -> None:
    """Two runs of their own give what the one run tells by itself."""
    calm, row = run(), run(kind).summary["events"][0]
    during = slice(10, 20)
    for host in row["moved"]:
        mine = [
            n
            for n, name in enumerate(calm.tables["hosts"].column("host").to_pylist()[:6])
            if name.partition("/")[0] == host["host"]
        ]
        for made, key in ((calm, "without"), (run(kind), "with")):
            used = (
                sum(column(made, "hosts", k)[during][:, mine].sum() for k in ("inference_gpu", "training_gpu"))
                * 120
                / 3600
            )
            assert host[key]["gpu_hours"] == pytest.approx(used, rel=1e-5)
            assert host[key]["requests"] == pytest.approx(
                column(made, "hosts", "requests")[during][:, mine].sum(), rel=1e-5
            )
    asked = {k: row["requests"][k]["served"] for k in ("with", "without")}
    told = {k: m.summary["work"]["inference"][0]["served"] for k, m in (("with", run(kind)), ("without", calm))}
    assert asked["without"] - asked["with"] == pytest.approx(told["without"] - told["with"], abs=1.0)
    trained = [m.summary["work"]["training"][0]["tokens"] for m in (calm, run(kind))]
    assert row["training"][0]["tokens_lost"] == pytest.approx(trained[0] - trained[1], abs=1.0)


@pytest.mark.parametrize("kind", sorted(EVENTS))
def test_requests_are_served_given_up_or_wait_and_as_many_come_in_either_way(kind: str) -> None:
    told = run(kind, start="0 s").summary["events"][0]["requests"]
    for side in (told["with"], told["without"]):
        assert side["requests"] == pytest.approx(side["served"] + side["rejected"] + side["waiting"], rel=1e-9)
    assert told["with"]["requests"] == told["without"]["requests"]


def test_each_of_several_events_is_told_beside_the_others() -> None:
    both = run("ships", "price").summary["events"]
    assert [row["kind"] for row in both] == ["ships", "price"]
    with_ships = run("ships")
    row = next(h for h in both[1]["moved"] if h["host"] == "frankfurt")["without"]
    told = next(h for h in with_ships.summary["events"][0]["moved"] if h["host"] == "frankfurt")["with"]
    assert row == told


def test_ships_that_are_lost_compute_nothing_and_the_others_go_on() -> None:
    working = column(run("ships", faults=False), "capacity", "working")
    assert (working[10:20, [0, 2]] == 0).all()
    assert (working[:, [1, 3]] == column(run(faults=False), "capacity", "working")[:, [1, 3]]).all()
    assert (working[20:] == working[:10]).all()


def test_lost_ships_take_what_they_trained_since_the_checkpoint() -> None:
    made, calm = (m.summary["work"]["training"][0] for m in (run("ships", faults=False), run(faults=False)))
    assert made["interruptions"] == pytest.approx(calm["interruptions"] + 1.0)
    assert run("ships", faults=False).summary["events"][0]["training"][0]["useful_s_lost"] > 1200.0


def test_a_lost_site_serves_nothing_while_it_is_lost() -> None:
    served = column(run("sites", ships=False), "hosts", "requests")
    assert (served[10:20, 1] == 0).all()
    assert served[:10, 1].min() > 0
    assert served[20:, 1].min() > 0


def test_a_cut_cable_is_the_scenarios_own_cut_while_it_lasts_and_no_longer() -> None:
    cut = aether.run(
        RUN | {"ships": [], "workloads": RUN["workloads"][:1], "ground": RUN["ground"] | {"cut_cables": CABLES}}
    )
    made, calm = run("cut", ships=False), run(ships=False)
    network = [np.nan_to_num(column(m, "requests", "network_s")) for m in (made, cut, calm)]
    assert (network[0][10:20] == network[1][10:20]).all()
    assert (network[0][:10] == network[2][:10]).all()
    assert (network[0][20:] == network[2][20:]).all()
    assert (network[1] != network[2]).any()


def test_a_probe_takes_the_fibre_that_is_left() -> None:
    row = run("cut").summary["events"][0]["probes"][0]
    setup = assemble(load(RUN))
    ends = [(p.latitude, p.longitude) for p in (setup.scenario.place(n) for n in ("Mumbai", "Frankfurt am Main"))]
    scale = FIBRE_M_S / setup.scenario.value("fibre.speed")
    for key, cut in (("without_fibre_s", ()), ("with_fibre_s", CABLES)):
        assert row[key] == pytest.approx(
            terrestrial.fibre(terrestrial.graph(), ends[0], ends[1], cut).round_trip_s * scale
        )


def test_dearer_energy_costs_what_it_costs_by_hand() -> None:
    """A site that serves as before pays (factor - 1) x price x kWh more: GPU-hours at full clocks, host and PUE counted."""
    asked = RUN | {
        "ships": [],
        "sites": RUN["sites"][:1],
        "workloads": RUN["workloads"][:1],
        "events": [event("price")],
    }
    row = aether.run(asked).summary["events"][0]
    setup = assemble(load(asked))
    site = setup.scenario.catalog.site("liquid-cooled")
    part = setup.scenario.catalog.accelerator(site.accelerator)
    kwh = row["moved"][0]["with"]["gpu_hours"] * (part.power.value + part.host_power.value) / 1e3 * site.pue.value
    usd_kwh = setup.scenario.catalog.grid("de").price.value * 3.6e6
    assert kwh > 1.0
    assert row["energy_usd"] == pytest.approx(4.0 * kwh * usd_kwh)
    assert row["carbon_kg"] == pytest.approx(0.0, abs=1e-9)


def test_prices_of_events_that_overlap_multiply() -> None:
    twice = [event("price"), event("price", "30 min", "20 min")]
    setup = assemble(load(RUN | {"events": twice}))
    first = setup.hosts.ships
    prices = [
        setup.at(t * 60.0).hosts.energy_usd_j[first:] / setup.hosts.energy_usd_j[first:] for t in (19, 25, 35, 45, 55)
    ]
    assert np.array(prices) == pytest.approx(np.array([[1, 1], [5, 1], [25, 1], [5, 1], [1, 1]]))
    assert setup.at(3500.0) is setup


def test_gateways_are_taken_by_country_and_by_circle() -> None:
    setup = assemble(
        load(
            RUN | {"events": [event("gateways"), {"start": "0 s", "duration": "5 min", "gateways": {"country": "DE"}}]}
        )
    )
    names = np.array(setup.gateways.names)
    circle, country = (set(names[struck_gateways(setup.scenario, e, setup.gateways)]) for e in setup.happenings.asked)
    assert country == {"Aerzen, Germany", "Usingen, Germany"}
    assert country < circle
    assert "Marsala, Italy" in circle  # 1,402 km from Frankfurt by great circle
    assert "Hitachinaka, Japan" not in circle
    written = dict(zip(names, countries(setup.scenario, setup.gateways), strict=True))
    assert [written[n] for n in ("Foggia, Italy", "Ibi, Spain", "Ikire, Nigeria", "Akita, Japan")] == [
        "IT",
        "ES",
        "NG",
        "JP",
    ]


def test_events_act_where_faults_are_off_and_are_counted_as_outages() -> None:
    told = run("ships", faults=False).summary["faults"]["ship"]
    assert told == {"failed": 2, "recovered": 2, "hours_out": pytest.approx(2 / 3)}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"ships": ["ai1/4"]}, r"events\[0\].ships\[0\].*numbers 0 to 3"),
        ({"ships": ["ai2/0"]}, r"events\[0\].ships\[0\].*did you mean 'ai1'"),
        ({"sites": ["mumbay"]}, r"events\[0\].sites\[0\].*did you mean 'mumbai'"),
        ({"price": {"country": "XX", "factor": 2}}, r"events\[0\].price.country: unknown grid"),
        ({"price": {"country": "FR", "factor": 2}}, r"no site of this run stands in FR.*Sites stand in DE, IN"),
        ({"cut_cables": ["SEA-ME-WE 44"]}, r"events\[0\].cut_cables\[0\].*did you mean 'SEA-ME-WE"),
        ({"gateways": {"country": "KE"}}, r"no gateway of this run stands in KE"),
        ({"gateways": {"within": {"at": "Frankfurd", "radius": "1 km"}}}, r"events\[0\].gateways.within.at: unknown place"),
        ({"sites": ["mumbai"], "ships": ["ai1/0"]}, r"exactly one of cut_cables, gateways, ships, sites, price"),
        ({"sites": ["mumbai"], "start": "61 min"}, r"events\[0\].start: begins after the run"),
        ({"sites": ["mumbai"], "start": "50 min"}, r"events\[0\].duration: ends after the run"),
    ],
)  # fmt: skip
def test_an_event_that_means_nothing_is_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        assemble(load(RUN | {"events": [{"start": "20 min", "duration": "20 min"} | wrong]}))


def test_without_work_an_event_is_told_by_what_could_run() -> None:
    ships = RUN | {
        "sites": [],
        "workloads": [],
        "probes": [],
        "couplings": {"faults": False},
        "events": [event("ships"), event("ships", "50 min", "1 min")],
    }
    made = aether.run(ships)
    row, short = made.summary["events"]
    reach = column(made, "capacity", "reach")[10:20]
    assert row["moved"][0]["with"]["deliverable_gpu_hours"] == pytest.approx(reach.sum() * 120 / 3600, rel=1e-6)
    assert row["moved"][0]["without"]["deliverable_gpu_hours"] > 1.5 * row["moved"][0]["with"]["deliverable_gpu_hours"]
    assert (row["requests"], row["first_token"], row["cost_usd"], row["series"]["what"]) == (
        None,
        None,
        0.0,
        "deliverable",
    )
    assert len(row["series"]["time_s"]) == 30  # twenty minutes before, within and after at two minutes
    assert (
        0.0 < short["moved"][0]["with"]["deliverable_gpu_hours"] < short["moved"][0]["without"]["deliverable_gpu_hours"]
    )


def test_the_series_around_an_event_follows_the_table_of_hosts() -> None:
    made = run("sites", ships=False)
    row = made.summary["events"][0]
    used = column(made, "hosts", "inference_gpu")
    assert row["series"]["hosts"]["mumbai"]["with"] == pytest.approx(used[:, 1].tolist(), rel=1e-6)
    assert row["series"]["hosts"]["frankfurt"]["with"] == pytest.approx(used[:, 0].tolist(), rel=1e-6)


def test_an_event_in_what_a_whole_number_of_steps_leaves_out_is_refused() -> None:
    with pytest.raises(InputError, match=r"begins after the run: the run lasts 56\.0 min"):
        load(RUN | {"step": "14 min", "events": [event("price", "58 min", "1 min")]})


def test_each_kind_of_event_has_its_words() -> None:
    setup = assemble(load(RUN | {"events": [event(k) for k in ("cut", "gateways", "ships", "sites", "price")]}))
    assert [words(setup, n) for n in range(5)] == [
        "SEA-ME-WE 4, SEA-ME-WE 5, IMEWE and 5 more cut", "20 gateways within 1,500 km of Frankfurt am Main out",
        "ai1/0, ai1/2 lost", "mumbai lost", "energy in DE at 5 times its price",
    ]  # fmt: skip


def test_any_number_of_threads_tells_the_same_of_an_event() -> None:
    asked = RUN | {"duration": "40 min", "events": [event("ships", "10 min", "10 min")]}
    one, three = (aether.run(asked, threads=n).summary["events"] for n in (1, 3))
    assert one == three
