"""What must hold of work in every run: nothing asked is lost from the count, nothing is carried or computed beyond what
there is, and each arrow of the loop, from eclipse to dollars, moves what it points to."""

from functools import cache

import numpy as np
import pytest

from aether.engine import run as running
from aether.engine import serve as serving
from aether.engine import tick as ticking
from aether.engine.assemble import assemble
from aether.engine.run import play, simulate
from aether.engine.verdict import usd_per_mtoken
from aether.engine.work_record import PACES, SPENT
from aether.network import flows
from aether.scenario.load import load
from constellation import fabric
from recorded import joined, recorded

OFTEN = {  # faults so often that half an hour sees all kinds
    "faults.ship": "40 1/day", "faults.ship_repair": "4 min", "faults.site": "120 1/day", "faults.site_repair": "5 min",
    "faults.gateway": "2 1/day", "faults.gateway_repair": "20 min", "faults.relay_outage": "2 1/day", "faults.gpu_orbit": "1 1/day",
    "faults.interruption": 10.0, "training.restart": "60 s",
}  # fmt: skip
NARROW = {"access.user_down": "300 Mbit/s", "access.user_up": "40 Mbit/s"}
CLASSES = ("chat", "european")


class Watched:
    """A run, with what the network was given and carried, and what was served, in each tick."""

    def __init__(self, scenario):
        self.carried, self.served, windows = [], [], []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(serving, "carry", self.keep(serving.carry, self.carried))
            patch.setattr(ticking, "serve", self.keep(ticking.serve, self.served))
            patch.setattr(running, "growing", self.keep(running.growing, windows))
            self.outcome = simulate(scenario)
        self.setup, self.record = self.outcome.setup, joined([record for (_, record), _ in windows])
        self.asked = {k: v.astype(np.float64) for k, v in self.record.work.asked.items()}
        self.hosts = {k: v.astype(np.float64) for k, v in self.record.work.hosts.items()}
        self.told = self.outcome.summary["work"]

    @staticmethod
    def keep(call, kept):
        def called(*arguments):
            kept.append((arguments, call(*arguments)))
            return kept[-1][1]

        return called


@pytest.fixture(scope="module", params=[1, 2, 3])
def run(request):
    """Three seeds: a quiet day, one of many faults, one of many faults and narrow beams."""
    own = [{}, OFTEN, OFTEN | NARROW][request.param - 1]
    new = {"ships__0__age": "0 s", "ships__1__age": "0 s"} if own else {}
    return Watched(load(fabric(seed=request.param, assumptions=own, **new)))


def test_requests_that_waited_and_came_are_served_given_up_or_wait_on(run):
    a = run.asked
    before = np.concatenate([np.zeros_like(a["waiting"][:1]), a["waiting"][:-1]])
    left = before + a["requests"] - a["served"] - a["rejected"] - a["waiting"]
    assert np.abs(left).max() <= 1e-6 * max(a["requests"].max(), 1.0)  # records keep seven digits
    assert (a["requests"] > 0.0).any()
    assert (a["rejected"] > 0.0).any()
    assert all((a[k] >= -1e-9).all() for k in ("requests", "served", "late", "rejected", "waiting"))
    assert (a["late"] <= a["served"] * (1 + 1e-6)).all()


def test_the_summary_accounts_for_every_request(run):
    for told in run.told["inference"]:
        assert told["requests"] == pytest.approx(told["served"] + told["rejected"] + told["waiting"], rel=1e-6)
        assert told["served_share"] == pytest.approx(told["served"] / told["requests"])
    rejected = sum(told["rejected"] for told in run.told["inference"])
    assert sum(run.told["traffic"]["given_up"].values()) == pytest.approx(rejected, rel=1e-5)
    assert min(run.told["traffic"]["given_up"].values()) >= -1e-6 * rejected


def test_tokens_by_place_are_tokens_by_host(run):
    by_place = run.outcome.tables["requests"]["output_tokens"].to_numpy().astype(np.float64).sum()
    by_host = run.outcome.tables["hosts"]["tokens"].to_numpy().astype(np.float64).sum()
    assert by_place == pytest.approx(by_host, rel=1e-5)
    assert by_place == pytest.approx(sum(t["output_tokens"] for t in run.told["inference"]), rel=1e-5)
    groups = sum(g.get("output_tokens", 0.0) for g in run.told["hosts"])
    assert groups == pytest.approx(by_host, rel=1e-5)


def test_answers_that_moved_are_the_bytes_of_their_tokens(run):
    each = 8.0 * run.setup.scenario.value("demand.answer_bytes")
    tokens = run.outcome.tables["hosts"]["tokens"].to_numpy().astype(np.float64).sum()
    assert run.told["traffic"]["answers_bit"] == pytest.approx(each * tokens, rel=1e-5)
    read = sum(t["input_tokens"] for t in run.told["inference"])
    asked = 8.0 * run.setup.scenario.value("demand.request_bytes") * read
    assert run.told["traffic"]["requests_bit"] == pytest.approx(asked, rel=1e-5)


def test_no_link_and_no_beam_carries_more_than_it_can(run):
    most = 0.0
    for _, carried in run.carried:
        count = len(carried.capacity_bit_s)
        load_bit_s = flows.loads(carried.rate_bit_s, carried.paths.start, carried.paths.link, count)
        assert (load_bit_s <= carried.capacity_bit_s * (1 + 1e-9)).all()
        assert (carried.rate_bit_s <= carried.demand_bit_s * (1 + 1e-9)).all()
        assert ((carried.share >= 0.0) & (carried.share <= 1.0)).all()
        most = max(most, load_bit_s.max())
    assert most > 0.0
    narrow = run.setup.scenario.value("access.user_down") < 1e9
    assert (run.record.work.lost_bit.sum() > 0.0) == narrow


def test_a_workload_is_served_only_where_law_and_choice_let_it(run):
    hosts = run.setup.hosts
    allowed = np.array([[g != "b" for g in hosts.group], [c == "IE" for c in hosts.country]])
    by_host = sum(s.by_host for _, s in run.served)
    assert (by_host[~allowed] == 0.0).all()
    assert (by_host[allowed] > 0.0).any()
    assert by_host[1, hosts.names.index("dublin")] > 0.0
    trained = run.hosts["training_gpu"].sum(axis=0) > 0.0
    assert set(np.array(hosts.group)[trained]) == {"b"}


def test_what_works_is_never_more_than_what_is_free_and_that_never_more_than_what_is_there(run):
    h, ships = run.hosts, run.setup.hosts.ships
    used = h["inference_gpu"] + h["training_gpu"]
    assert (used <= h["free_gpu"] * (1 + 1e-5) + 1e-6).all()
    assert (h["free_gpu"] <= run.setup.hosts.gpus * (1 + 1e-6)).all()
    assert (run.record.ships["working"] <= run.setup.hosts.gpus[:ships] * (1 + 1e-6)).all()
    assert (h["free_gpu"][:, :ships] <= run.record.ships["working"] * (1 + 1e-5)).all()
    assert (used[:, ships:] > 0.0).any()


def test_a_job_spends_the_time_of_the_run_on_one_thing_or_another(run):
    ticks, step_s = run.setup.scenario.clock.ticks, run.setup.scenario.clock.step_s
    spent = run.record.work.jobs[:, 0, : len(SPENT)]
    assert np.allclose(spent.sum(axis=1), step_s, rtol=1e-9)
    assert (spent[:, [SPENT.index(k) for k in SPENT if k != "useful_s"]] >= -1e-9).all()
    (told,) = run.told["training"]
    assert told["goodput"] + sum(row["share"] for row in told["lost"]) == pytest.approx(1.0, abs=1e-9)
    assert told["steps"] == pytest.approx(spent[:, SPENT.index("useful_s")].sum() / told["step_s"], rel=1e-6)
    assert spent.sum() == pytest.approx(ticks * step_s)


def test_each_stage_lets_a_job_run_no_faster_than_the_one_before(run):
    paces = run.record.work.paces
    assert paces.shape[2] == len(PACES)
    assert (np.diff(paces, axis=2) <= 1e-12).all()
    assert ((paces >= 0.0) & (paces <= 1.0)).all()


def test_no_more_copies_of_checkpoints_are_sent_than_checkpoints_are_made(run):
    (job,), spent = run.setup.work.runs, run.record.work.jobs[:, 0]
    made = spent[:, SPENT.index("checkpoint_s")].sum() / job.job.checkpoint_write_s
    cut_short = (
        1.0 + spent[:, SPENT.index("restart_s")].sum() / job.job.restart_s
    )  # the last, and one at each interruption
    assert run.told["traffic"]["checkpoints_bit"] <= (made + cut_short) * job.checkpoint_bit * (1 + 1e-9)


def test_without_a_way_to_the_ground_no_copies_are_sent():
    record = recorded(assemble(load(fabric(duration="5 min", ground__gateways={"operational": False}))))
    assert record.work.moved_bit[:, 3].sum() == 0.0


def test_what_ships_deliver_is_never_less_than_nothing_and_sums_to_work_that_was_kept(run):
    delivered = run.record.ships["delivered"].astype(np.float64)
    (job,), useful_s = run.setup.work.runs, run.record.work.jobs[:, 0, SPENT.index("useful_s")].sum()
    kept = run.hosts["inference_gpu"][:, : run.setup.hosts.ships].sum() + job.gpus.sum() * useful_s / 60.0
    assert delivered.sum() == pytest.approx(kept, rel=1e-5)
    assert delivered.min() >= 0.0  # work done again is taken from the ticks that did it in vain


def test_energy_balances_with_gpus_that_wait(run):
    e, fleet, step_s = {k: v.astype(np.float64) for k, v in run.record.ships.items()}, run.setup.fleet, 60.0
    left = e["array_w"] + e["discharge_w"] - e["curtailed_w"] - e["bus_w"] - e["gpu_w"] - e["charge_w"]
    assert np.abs(left).max() < 1e-6 * e["array_w"].max()
    stored = np.diff(e["charge_j"], axis=0, prepend=fleet.battery_j[None])
    moved = step_s * (fleet.charge_efficiency * e["charge_w"] - e["discharge_w"] / fleet.discharge_efficiency)
    assert np.abs(stored - moved).max() < 1e-6 * fleet.battery_j.max()


def test_terms_of_money_are_whole_cents_that_sum_to_the_total(run):
    for side in ("orbit", "ground"):
        told = run.outcome.summary["cost"][side]
        cents = [100.0 * term["usd_year"] for term in told["terms"]]
        assert all(c == pytest.approx(round(c), abs=1e-3) for c in cents)
        assert sum(map(round, cents)) == round(100.0 * told["usd_year"])
        assert sum(term["share"] for term in told["terms"]) == pytest.approx(1.0)


def test_carbon_is_the_sum_of_its_causes(run):
    for side in ("orbit", "ground"):
        told = run.outcome.summary["footprint"][side]
        assert told["carbon_kg"] == pytest.approx(sum(row["kg"] for row in told["causes"]))
        assert told["carbon_low_kg"] <= told["carbon_kg"] <= told["carbon_high_kg"]


def test_the_faults_asked_for_did_happen(run):
    told = run.outcome.summary["faults"]
    if run.setup.scenario.spec.seed > 1:
        assert all(told[kind]["failed"] > 0 for kind in ("ship", "relay", "link", "gateway", "site", "gpu"))
        assert run.told["training"][0]["interruptions"] > 0
    for kind in ("ship", "relay", "link", "gateway", "site", "gpu"):
        assert 0 <= told[kind]["recovered"] <= told[kind]["failed"]
    assert sum(told["gpu"]["causes"].values()) == told["gpu"]["failed"]
    assert all(told["gpu"]["causes"])


def test_fewer_requests_never_use_more_energy():
    def energy(per_person):
        asked = {"inference": {"model": "llama-3.3-70b", "requests": {"per_person_day": per_person}}}
        totals = play(assemble(load(fabric(workloads=[{"name": "chat", **asked}]))), network=False)
        return float(totals.ships.sums["gpu_w"].sum())

    by_demand = [energy(n) for n in (0.0, 0.02, 0.1, 0.5, 3.0)]
    assert by_demand == sorted(by_demand)
    assert 0.0 < by_demand[0] < 0.5 * by_demand[-1]  # idle chips draw power too


LOOP = {  # two hours of the packaged scenario in June, asked for more than the ships in sunlight can do
    "duration": "2 h", "step": "180 s", "ground.cities.largest": 30, "ground.coverage_cells": 0, "probes": [],
    "workloads.0.inference.requests.per_person_day": 6,
}  # fmt: skip


@cache
def loop(*changes):
    """Setup, record and totals of the packaged scenario with changes, (path, value) each."""
    setup, windows = assemble(load("project-aether", {**LOOP, **dict(changes)})), []
    totals = play(setup, network=False, each=windows.append)
    return setup, joined(windows), totals


def smaller(name, *changes):
    """The AI1-class ships' column of the record (T, K)."""
    setup, record, _ = loop(*changes)
    here = np.array(setup.hosts.group) == "ai1"
    values = record.work.hosts[name] if name in record.work.hosts else record.ships[name]
    return values[:, here[: values.shape[1]]].astype(np.float64)


def dark_and_lit():
    """Where ships are in the umbra, and where in full sunlight (T, K)."""
    return smaller("lit") < 0.01, smaller("lit") > 0.99


def test_loop_eclipse_drains_the_battery_and_sunlight_fills_it():
    dark, lit = dark_and_lit()
    change, in_a_row = np.diff(smaller("charge_j"), axis=0), lambda here: here[1:] & here[:-1]
    assert dark.any()
    assert (change[in_a_row(dark)] < 0.0).all()
    assert change[in_a_row(lit)].mean() > 0.0
    assert (smaller("charge_j", ("couplings.eclipse", False))[-1] >= smaller("charge_j")[-1]).all()


def test_loop_what_the_battery_holds_sets_the_clocks_in_the_dark():
    dark, lit = dark_and_lit()

    def clocks(here, *changes):
        return smaller("power", *changes)[here].sum() / smaller("working", *changes)[here].sum()

    by_battery = [clocks(dark, ("ships.0.battery.energy", f"{kwh} kWh")) for kwh in (2, 10, 40)]
    assert by_battery == sorted(by_battery)
    assert by_battery[0] < 0.5 * by_battery[2] < 0.5
    assert clocks(dark) < clocks(lit) - 0.3


def test_loop_clocks_move_requests_from_ships_in_the_dark_to_others():
    dark, lit = dark_and_lit()
    requests = smaller("requests")
    assert requests[dark].mean() < 0.6 * requests[lit].mean()

    def on_the_ground(*changes):
        setup, record, _ = loop(*changes)
        by_host = record.work.hosts["requests"].sum(axis=0, dtype=np.float64)
        return by_host[setup.hosts.ships :].sum() / by_host.sum()

    assert on_the_ground() > on_the_ground(("couplings.eclipse", False)) + 0.02


def test_loop_bits_leave_the_ships_where_requests_were_placed():
    run = Watched(load("project-aether", {**LOOP, "duration": "36 min"}))
    first, ships = run.setup.relay_count, run.setup.hosts.ships
    out, lit = [], []
    for ((setup, plan, links, *_), carried), sun in zip(run.carried, run.record.ships["lit"], strict=True):
        answers = slice(0, len(plan.work))
        aboard = plan.host < ships
        own = np.bincount(plan.host[aboard], carried.rate_bit_s[answers][aboard], ships)
        count = len(carried.capacity_bit_s)
        load_bit_s = flows.loads(carried.rate_bit_s, carried.paths.start, carried.paths.link, count)
        leaves = np.stack([links.a, links.b], axis=1).ravel() - first  # link 2e leaves a, link 2e + 1 leaves b
        leaving = np.bincount(leaves[leaves >= 0], load_bit_s[: len(leaves)][leaves >= 0], ships)
        assert (leaving >= own * (1 - 1e-9)).all()
        assert setup is run.setup
        out.append(own)
        lit.append(sun)
    here = np.array(run.setup.hosts.group)[:ships] == "ai1"
    bits, sun = np.array(out)[:, here], np.array(lit)[:, here]
    assert bits[sun > 0.99].mean() > 1.5 * bits[sun < 0.01].mean() > 0.0


TENTH, WHOLE = ("assumptions.access.user_down", "200 Mbit/s"), ("assumptions.access.user_down", "2 Gbit/s")
FREE = ("couplings.flows", False)


def tokens(*changes):
    """Tokens of all answers."""
    return float(loop(*changes)[1].work.hosts["tokens"].sum(dtype=np.float64))


def test_loop_links_of_a_tenth_serve_fewer_tokens_unless_links_are_left_out():
    assert tokens(TENTH) < 0.95 * tokens(WHOLE)
    assert tokens(TENTH, FREE) == tokens(WHOLE, FREE) >= tokens(WHOLE)
    assert loop(TENTH)[1].work.reasons[:, 2].sum() > 0.0  # given up for want of room on the links
    assert loop(TENTH, FREE)[1].work.reasons[:, 2].sum() == 0.0


def test_loop_fewer_tokens_cost_more_dollars_each():
    few, many = (usd_per_mtoken(*loop(change)[::2]) for change in (TENTH, WHOLE))
    assert few > 1.02 * many
    assert many > usd_per_mtoken(*loop(("couplings.eclipse", False))[::2])
