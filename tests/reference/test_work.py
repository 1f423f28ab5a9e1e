"""Work in small runs whose outcome follows from formulas and counts: first tokens, queues, traces, models, attrition."""

import json

import numpy as np
import pytest

from aether.base.tables import Plan
from aether.engine.assemble import assemble
from aether.engine.run import simulate
from aether.placement.policy import policies
from aether.scenario.load import load
from constellation import fabric
from recorded import recorded

CORK = {"name": "Cork", "latitude": "51.9 deg", "longitude": "-8.5 deg", "country": "IE", "people": 2e5}
DUBLIN, SINGAPORE = ({"name": n.lower(), "at": n, "gpus": 72} for n in ("Dublin", "Singapore"))
EIGHT = DUBLIN | {"gpus": 8}
SERVICE = {"model": "llama-3.3-70b", "max_first_token": "30 s"}


def ground(requests, sites=(DUBLIN,), **more):
    """A scenario of one city with fibre, some sites and one service."""
    asked = {"name": "chat", "inference": SERVICE | {"requests": requests} | more.pop("inference", {})}
    cities = {"largest": 0, "add": [CORK]}
    changes = {"duration": "10 min", "ships": [], "sites": list(sites), "workloads": [asked], "ground__cities": cities}
    return fabric(**{**changes, **more})


def trace(path, times, read=1000, written=200):
    """A CSV file of requests."""
    rows = "".join(f"{t},{read},{written}\n" for t in times)
    path.write_text(f"time_s,input_tokens,output_tokens\n{rows}")
    return {"trace": str(path), "repeat": False}


def evenly(path, per_tick, ticks=10):
    """As many requests in every tick."""
    return trace(path, [60.0 * t + 30.0 * n / per_tick for t in range(ticks) for n in range(per_tick)])


def column(record, name):
    """A column of what was asked, of the only service and city (T,)."""
    return record.work.asked[name][:, 0, 0].astype(np.float64)


def sakasegawa(load, servers, service_s):
    """Mean wait of M/M/c, Sakasegawa 1977: s rho^(sqrt(2 (c + 1)) - 1) / (c (1 - rho))."""
    return service_s * load ** (np.sqrt(2.0 * (servers + 1.0)) - 1.0) / (servers * (1.0 - load))


@pytest.mark.parametrize(("per_tick", "gpus", "most"), [(60, 72, 256), (1500, 72, 256), (30, 1, 4)])
def test_first_token_is_round_trip_and_queue_and_prefill_at_the_hosts_load(tmp_path, per_tick, gpus, most):
    site, asked = DUBLIN | {"gpus": gpus}, evenly(tmp_path / "t.csv", per_tick)
    setup = assemble(load(ground(asked, (site,), assumptions={"serving.max_batch": most})))
    record = recorded(setup)
    (serving,) = setup.work.services[0].serving.values()
    replicas = gpus / serving.gpus
    rate = per_tick / 60.0 / replicas
    slots, busy = replicas * serving.batch[-1], rate / serving.request_s[-1]
    queue_s = sakasegawa(busy, slots, serving.batch[-1] / serving.request_s[-1])
    assert (queue_s > 0.1) == (gpus == 1)  # few slots are often all taken
    server_s = np.interp(rate, serving.request_s, serving.first_token_s) + queue_s
    paid = setup.overheads
    trip_s = 2.0 * setup.hosts.city_fibre_s[0, 0] + paid.last_mile.value + paid.queue.value
    assert column(record, "network_s") == pytest.approx(trip_s, rel=1e-6)
    assert column(record, "first_token_s") == pytest.approx(trip_s + server_s, rel=1e-6)
    assert record.work.hosts["inference_gpu"][:, 0] == pytest.approx(
        gpus * busy / setup.work.services[0].target, rel=1e-6
    )


def test_a_site_at_hand_is_reached_by_fibre_no_sooner_than_light_and_no_later_than_by_three_times_the_way(tmp_path):
    # Cork to Dublin is 220 km along the great circle: 2.2 ms there and back at 2/3 of the speed of light
    setup = assemble(load(ground(evenly(tmp_path / "t.csv", 1))))
    assert 0.0022 < 2.0 * setup.hosts.city_fibre_s[0, 0] < 3 * 0.0022


def test_at_equal_load_the_nearer_host_answers_sooner_by_the_way_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(policies, "_items", dict(policies._items))

    @policies.add("by turns")
    def by_turns(s):
        """Everything to one site, in the next tick to the other."""
        host = np.array([int(s.time_s // s.step_s) % 2])
        zero = np.zeros(1, dtype=np.int64)
        return Plan(zero, zero, host, s.requests[0, :1], np.zeros_like(s.job_gpu))

    asked = evenly(tmp_path / "t.csv", 600)
    setup = assemble(load(ground(asked, (DUBLIN, SINGAPORE), placement__policy="by turns")))
    record = recorded(setup)
    first, way = column(record, "first_token_s"), column(record, "network_s")
    assert (first[::2] < first[1::2] - 0.05).all()
    assert np.ptp(first - way) < 1e-6


def test_who_waits_gives_up_after_whole_steps_of_patience_oldest_first(tmp_path):
    asked = evenly(tmp_path / "t.csv", 9000)
    setup = assemble(load(ground(asked, (EIGHT,), inference={"patience": "2 min"})))
    record = recorded(setup)
    room = 8 * 60.0 / setup.work.services[0].need_gpu_s[0]
    assert 3000 < room < 9000
    queue = []  # cohorts: how many, and how many ticks they have waited
    for t in range(10):
        queue, room_left, aged = [*queue, [9000.0, 0]], room, 0.0
        for cohort in queue:
            taken = min(cohort[0], room_left)
            cohort[0], room_left, aged = cohort[0] - taken, room_left - taken, aged + taken * cohort[1] * 60.0
        lost = sum(n for n, waited in queue if waited == 2)
        queue = [[n, waited + 1] for n, waited in queue if waited < 2 and n > 0.0]
        served = room - room_left
        told = [column(record, k)[t] for k in ("requests", "served", "rejected", "waiting")]
        assert told == pytest.approx([9000.0, served, lost, sum(n for n, _ in queue)], rel=1e-6, abs=1e-3)
        network, first = column(record, "network_s")[t], column(record, "first_token_s")[t]
        assert first - network == pytest.approx(aged / served, abs=3.0)  # and what the full site takes itself
    assert lost > 0.0


def test_who_has_no_patience_for_a_step_is_refused_at_once(tmp_path):
    asked = evenly(tmp_path / "t.csv", 9000)
    made = recorded(assemble(load(ground(asked, (EIGHT,), inference={"patience": "59 s"}))))
    assert (column(made, "waiting") == 0.0).all()
    assert (column(made, "rejected") > 0.0).all()
    assert column(made, "rejected") == pytest.approx(9000.0 - column(made, "served"), rel=1e-6)


def test_requests_later_than_wanted_are_counted_as_late(tmp_path):
    asked, wanted = evenly(tmp_path / "t.csv", 9000), {"patience": "2 min", "max_first_token": "20 s"}
    made = recorded(assemble(load(ground(asked, (EIGHT,), inference=wanted))))
    first, late, served = (column(made, k) for k in ("first_token_s", "late", "served"))
    assert (late == np.where(first > 20.0, served, 0.0)).all()
    assert 0.0 < late.sum() < served.sum()


def test_a_trace_is_asked_once_and_in_its_own_lengths(tmp_path):
    rng = np.random.default_rng(1)
    times = np.sort(rng.uniform(0.0, 400.0, 777))
    asked = trace(tmp_path / "t.csv", times, read=321, written=45)
    told = simulate(load(ground(asked, ships=fabric()["ships"]))).summary["work"]["inference"][0]
    assert told["requests"] == 777.0
    assert told["served"] == pytest.approx(777.0, rel=1e-6)
    assert told["input_tokens"] == pytest.approx(777 * 321, rel=1e-6)
    assert told["output_tokens"] == pytest.approx(777 * 45, rel=1e-6)
    (twice,) = simulate(load(ground(asked | {"scale": 2.0}))).summary["work"]["inference"]
    assert twice["requests"] == 2 * 777.0


def test_arrivals_of_a_trace_come_in_the_ticks_of_its_times(tmp_path):
    asked = trace(tmp_path / "t.csv", [0.0] * 5 + [59.0] * 2 + [61.0] * 3 + [540.0] * 4)
    made = recorded(assemble(load(ground(asked))))
    assert column(made, "requests").tolist() == [7.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 4.0]


def test_as_many_ask_as_there_are_people_and_hours_say():
    one = 50.0
    made = recorded(assemble(load(ground({"per_person_day": one}, duration="24 h", step="10 min"))))
    total = column(made, "requests").sum()
    assert total == pytest.approx(2e5 * one, abs=5 * np.sqrt(2e5 * one))  # Poisson of a mean over the day
    by_hour = column(made, "requests").reshape(24, 6).sum(axis=1)
    assert (by_hour.argmax() + 0.5 - 8.5 / 15.0) % 24 == pytest.approx(
        15.0, abs=2.0
    )  # demand.peak_hour, local solar time
    assert by_hour.max() / by_hour.min() == pytest.approx(3.0, rel=0.05)  # (1 + 0.5) / (1 - 0.5), demand.swing


def test_who_asks_can_be_named_by_city_and_country():
    def asking(*places):
        changes = {
            "duration": "1 min",
            "ground__cities__add": [CORK],
            "workloads__1__inference__requests__places": list(places),
        }
        setup = assemble(load(fabric(**changes)))
        return {n for n, p in zip(setup.cities.names, setup.work.services[1].people, strict=True) if p > 0.0}

    assert asking("Shanghai") == {"Shanghai"}
    assert asking("Cork", "CN") >= {"Cork", "Shanghai"}
    assert not asking("CN") & {"Cork", "Mumbai"}


def test_a_hugging_face_configuration_runs_as_the_same_model_of_the_catalog(tmp_path):
    config = {  # config.json of Llama 3.1 8B
        "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "vocab_size": 128256, "tie_word_embeddings": False, "max_position_embeddings": 131072,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))

    def told(model):
        changes = {"workloads__1__inference__model": model, "workloads__2__training__model": model, "duration": "5 min"}
        made = simulate(load(fabric(**changes))).summary["work"]
        (service,) = [s for s in made["inference"] if s["name"] == "european"]
        return service, made["training"][0]

    (served, trained), (served_own, trained_own) = told("llama-3.1-8b"), told(str(tmp_path / "config.json"))
    assert served["output_tokens"] > 0.0
    assert trained["tokens"] > 0.0
    assert {**served_own, "model": ""} == {**served, "model": ""}
    assert {**trained_own, "model": ""} == {**trained, "model": ""}


def test_gpus_in_orbit_wear_out_by_age_and_those_on_the_ground_are_replaced():
    setup = assemble(load(fabric(assumptions={"faults.gpu_orbit": "9 %/year"})))
    by_group = dict(zip(setup.hosts.group, setup.worn, strict=True))
    assert by_group["a"] == pytest.approx(np.exp(-0.09 * 1.0), rel=1e-3)
    assert by_group["b"] == pytest.approx(np.exp(-0.09 * 3.0), rel=1e-3)
    assert by_group["dublin"] == by_group["virginia"] == 1.0
    record = recorded(setup)
    assert record.ships["working"].max(axis=0)[4:] == pytest.approx(72 * np.exp(-0.09 * 3.0), rel=1e-3)


@pytest.mark.parametrize("asked", ["nothing", "what no law allows"])
def test_ships_and_sites_that_wait_for_work_have_their_price_and_draw_little(asked):
    lawless = [
        {"name": "w", "jurisdictions": ["FR"], "inference": {"model": "llama-3.1-8b", "requests": {"rate": "1 1/s"}}}
    ]
    told = simulate(load(fabric(duration="5 min", workloads=[] if asked == "nothing" else lawless))).summary
    assert told["cost"]["orbit"]["usd_per_gpu_hour"]["nominal"] > 0.0
    assert told["cost"]["ground"]["usd_year"] > 0.0
    assert told["cost"]["orbit"]["usd_per_mtoken"] is None
    assert told["cost"]["orbit"]["usd_per_delivered_gpu_hour"] is None or asked == "nothing"
    assert len(told["cost"]["parity"]) == 10
    if asked != "nothing":
        assert told["waterfall"]["delivered"]["gpu_hours"] == 0.0
        assert told["power"]["gpu_kwh"] < 0.4 * told["fleet"]["gpu_power_w"] / 1000.0 / 12.0
