"""Prefix hits, drafts and prompts read apart: what they change in the fluid, one by one and on the mesh, and what they keep."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aether.base.errors import InputError
from aether.base.tables import Snapshot
from aether.engine import split
from aether.engine.carry import Paths
from aether.engine.loads import Load
from aether.engine.run import simulate
from aether.scenario.load import load
from aether.workloads import batching, inference
from aether.workloads.models import kv_bytes
from constellation import fabric

CATALOG = load(fabric()).catalog
MODEL, SMALL, GPU = CATALOG.model("llama-3.3-70b"), CATALOG.model("llama-3.1-8b"), CATALOG.accelerator("gb300-nvl72")
REACHED = inference.efficiency(CATALOG)
DRAFTS = inference.Drafts(SMALL, 4, 0.8)


def asked(**inference_too):
    """The small fabric with its first service changed, for ten minutes."""
    changes = {f"workloads__0__inference__{k}": v for k, v in inference_too.items()}
    return simulate(load(fabric(duration="10 min", workloads__0__where=[], **changes)))


def parted(prefill, decode, people=0.02, **more):
    return asked(split={"prefill": prefill, "decode": decode}, requests={"per_person_day": people}, **more)


@pytest.fixture(scope="module")
def over_mesh():
    return parted(["dublin"], ["a"])


def work(outcome):
    told = outcome.summary["work"]
    return told, told["inference"][0]


@pytest.mark.parametrize(("hit", "drafts"), [(0.0, None), (0.5, None), (0.0, DRAFTS), (0.5, DRAFTS)])
def test_the_curves_throughput_is_that_of_single_requests(hit, drafts):
    read, written, count = 1200, 300, 4000
    serving = inference.curve(MODEL, GPU, 1, "fp8", read, written, REACHED, hit, drafts)
    made = batching.server(MODEL, GPU, 1, "fp8", REACHED, drafts)
    done = batching.serve(
        made, [0, count], np.zeros(count), [read] * count, [written] * count, hit_tokens=[int(hit * read)] * count
    )
    assert count / done.finish_s.max() == pytest.approx(serving.request_s[-1], rel=0.12)


@pytest.mark.parametrize("hit", [0.0, 0.5])
def test_a_readers_throughput_is_that_of_single_prompts(hit):
    read, count = 1200, 400
    serving = inference.reading(MODEL, GPU, 1, "fp8", read, REACHED, hit)
    made = batching.server(MODEL, GPU, 1, "fp8", replace(REACHED, max_batch=1.0))
    done = batching.serve(
        made, [0, count], np.zeros(count), [read] * count, [1] * count, hit_tokens=[int(hit * read)] * count
    )
    assert count / done.finish_s.max() == pytest.approx(serving.request_s[-1], rel=0.02)


@pytest.mark.parametrize("drafts", [None, DRAFTS])
def test_a_writers_throughput_is_that_of_single_answers(drafts):
    read, written, count = 1200, 301, 4000
    serving = inference.writing(MODEL, GPU, 1, "fp8", read, written, REACHED, drafts)
    made = batching.server(MODEL, GPU, 1, "fp8", REACHED, drafts)
    done = batching.serve(
        made, [0, count], np.zeros(count), [read] * count, [written - 1] * count, hit_tokens=[read - 1] * count
    )
    assert count / done.finish_s.max() == pytest.approx(serving.request_s[-1], rel=0.12)


@settings(max_examples=30)
@given(hit=st.floats(0.0, 0.95), more=st.floats(0.01, 0.05))
def test_a_larger_hit_never_costs_compute(hit, more):
    curves = [inference.curve(MODEL, GPU, 1, "fp8", 1200, 300, REACHED, h) for h in (hit, hit + more)]
    assert curves[1].request_s[-1] >= curves[0].request_s[-1] * (1 - 1e-9)
    assert curves[1].first_token_s[0] <= curves[0].first_token_s[0] * (1 + 1e-9)


def test_gain_of_drafts_by_hand():
    assert inference.Drafts(SMALL, 4, 0.5).gain == pytest.approx(1 + 0.5 + 0.25 + 0.125 + 0.0625)
    assert inference.Drafts(SMALL, 4, 1.0).gain == 5.0
    assert inference.Drafts(SMALL, 4, 0.0).gain == 1.0


def test_drafts_hurry_a_lone_answer_and_a_draft_never_kept_slows_it():
    def gap(drafts):
        return inference.curve(MODEL, GPU, 1, "fp8", 1200, 300, REACHED, 0.0, drafts).iteration_s[0]

    assert gap(inference.Drafts(SMALL, 4, 0.9)) < 0.6 * gap(None) < gap(None) < gap(inference.Drafts(SMALL, 4, 0.0))


def test_the_options_change_the_run_in_fluid_and_one_by_one():
    plain = work(asked())[1]
    hit, drafted = work(asked(prefix_hit=0.6))[1], work(asked(draft={"model": "llama-3.1-8b"}))[1]
    for part, replica in plain["replica"].items():
        assert hit["replica"][part]["request_s"] > 1.2 * replica["request_s"]
    assert hit["followed"]["first_token_p50_s"] < plain["followed"]["first_token_p50_s"]
    assert drafted["followed"]["token_gap_p50_s"] < plain["followed"]["token_gap_p50_s"]


def test_every_bit_of_a_cache_that_an_answer_needs_crosses_the_mesh(over_mesh):
    told, row = work(over_mesh)
    each = 8.0 * float(kv_bytes(MODEL, row["input_tokens"] / row["served"], "fp8"))
    assert row["served_share"] == pytest.approx(1.0)
    assert told["traffic"]["caches_bit"] == pytest.approx(row["served"] * each, rel=1e-5)
    table = over_mesh.tables["traffic"]["caches_bit"].to_numpy()
    assert table.sum() == pytest.approx(told["traffic"]["caches_bit"], rel=1e-6)


def test_both_sides_work_and_their_compute_adds_up(over_mesh):
    told, row = work(over_mesh)
    hosts = {h["host"]: h for h in told["hosts"]}
    service = over_mesh.setup.work.services[0]
    names = np.array(over_mesh.setup.hosts.group)
    write = row["served"] * service.need_gpu_s[names == "a"][0] / 3600.0
    read = row["served"] * service.readers.need_gpu_s[names == "dublin"][0] / 3600.0
    assert hosts["a"]["inference_gpu_hours"] == pytest.approx(write, rel=1e-4)
    assert hosts["dublin"]["inference_gpu_hours"] > read  # it serves the other workload too
    total = sum(h["inference_gpu_hours"] for h in told["hosts"])
    others = told["inference"][1]["served"] * over_mesh.setup.work.services[1].need_gpu_s[names == "dublin"][0] / 3600.0
    assert total == pytest.approx(write + read + others, rel=1e-4)


def test_links_bound_what_is_answered_and_the_rest_waits_or_gives_up():
    told, row = work(parted(["dublin"], ["a"], people=1.0))
    assert row["served_share"] < 0.5
    assert told["traffic"]["given_up"]["network"] > 0.5 * row["rejected"]
    assert told["traffic"]["not_carried_bit"] > 0.0
    assert row["served"] + row["rejected"] + row["waiting"] == pytest.approx(row["requests"])


def test_between_sites_caches_go_by_fibre_and_lasers_stay_free():
    run = parted(["dublin"], ["virginia"])
    assert work(run)[1]["served_share"] == pytest.approx(1.0)
    paths = [laser for laser in work(run)[0]["traffic"]["busiest"] if laser["carried_bit"] > 1e12]
    assert all(laser["from"].startswith(("relay", "b/")) for laser in paths)


def test_first_tokens_come_from_the_reader_and_one_by_one_as_in_the_fluid(over_mesh):
    row = work(over_mesh)[1]
    alone = over_mesh.setup.work.services[0].readers.serving["gb300-nvl72"].first_token_s[0]
    assert row["first_token_p50_s"] > alone
    assert row["followed"]["first_token_p50_s"] == pytest.approx(row["first_token_p50_s"], rel=0.4)
    assert [g["host"] for g in row["followed"]["groups"]] == ["a"]


def test_a_cache_takes_its_bits_over_the_slowest_link_of_its_way():
    service = SimpleNamespace(reading=SimpleNamespace(cache_bit=2.4e9))
    setup = SimpleNamespace(work=SimpleNamespace(services=(service,)))
    zero = np.zeros(3)
    handed = split.Handed(0, np.zeros(3, int), np.arange(3), zero, zero)
    ways = Paths(np.array([0, 2, 2, 3]), np.array([4, 1, 0]))
    sent = split.sending_s(setup, (handed,), (Load(ways, zero),), np.array([1e12, 100e9, 1.0, 1.0, 200e9]))
    np.testing.assert_allclose(sent[0], [0.024, 0.0, 0.0024])


def test_the_way_of_a_cache_stands_in_the_first_token(over_mesh, monkeypatch):
    fast = work(over_mesh)[1]["first_token_p50_s"], work(over_mesh)[1]["followed"]["first_token_p50_s"]
    monkeypatch.setattr(split, "sending_s", lambda _, handed, *__: [np.full(len(h.reader), 0.5) for h in handed])
    slow = work(parted(["dublin"], ["a"]))[1]
    assert slow["first_token_p50_s"] - fast[0] == pytest.approx(0.5, abs=0.2)
    assert slow["followed"]["first_token_p50_s"] - fast[1] == pytest.approx(0.5, abs=0.2)


def test_a_split_without_hosts_is_told_and_not_run():
    run = simulate(load(fabric(workloads__0__inference__split={"prefill": ["a"], "decode": ["b"]}, duration="2 min")))
    assert run.summary["work"]["not_run"] == ["chat: no host of split.decode may run it"]


def test_a_request_longer_than_the_models_context_is_told_with_numbers_and_not_run():
    run = asked(requests={"per_person_day": 1.0, "input_tokens": 131000, "output_tokens": 1000})
    words = (
        "chat: a request has 131,000 tokens and its answer 1,000; the context of llama-3.3-70b is 131,072: short by 928"
    )
    assert run.summary["work"]["not_run"] == [words]


def test_names_of_drafts_and_splits_are_checked_together():
    with pytest.raises(InputError) as caught:
        load(
            fabric(
                workloads__0__inference__draft={"model": "lama"},
                workloads__0__inference__split={"prefill": ["dublinn"], "decode": ["a"]},
            )
        )
    paths = [p.path for p in caught.value.problems]
    assert paths == ["workloads[0].inference.draft.model", "workloads[0].inference.split.prefill[0]"]
    with pytest.raises(InputError, match="which is no split"):
        load(fabric(workloads__0__inference__split={"prefill": ["a"], "decode": ["a", "dublin"]}))


def crowd(setup, people, seed):
    """A tick of the small fabric as placement sees it, by chance."""
    rng, work, hosts = np.random.default_rng(seed), setup.work, len(setup.hosts.names)
    need = np.array([s.need_gpu_s for s in work.services])
    places = len(setup.cities.names)
    return Snapshot(
        time_s=0.0, step_s=60.0, ships=setup.hosts.ships, requests=rng.poisson(people, (len(need), places)).astype(float),
        free_gpu_s=setup.hosts.gpus * 60.0 * rng.random(hosts), need_gpu_s=need, allowed=np.array([s.allowed for s in work.services]),
        round_trip_s=np.full((places, hosts), 0.05, np.float32), limit_s=np.ones(len(need)), value_usd=np.ones(len(need)), late_worth=0.5,
        energy_usd=np.zeros(need.shape), carbon_usd=np.zeros(need.shape), light_s=np.full(hosts, np.inf), charge_share=np.ones(hosts),
        contact_s=np.full(hosts, np.inf), cache_share=np.zeros(hosts), installed_gpu=setup.hosts.gpus, ahead_s=900.0, weights=(1.0,) * 9,
        job_gpu=np.zeros((0, hosts)), job_value_usd=np.zeros(0),
    )  # fmt: skip


@given(people=st.sampled_from([0.0, 10.0, 1e3, 1e6]), seed=st.integers(0, 2**32))
def test_readers_hold_back_what_is_asked_and_never_more_than_there_is(over_mesh, people, seed):
    setup = over_mesh.setup
    service, before = setup.work.services[0], crowd(over_mesh.setup, people, seed)
    left, (held,) = split.reserve(setup, before)
    assert left.free_gpu_s + held.gpu_s == pytest.approx(before.free_gpu_s)
    assert (left.free_gpu_s >= 0.0).all()
    assert (left.requests <= before.requests).all()
    assert (left.requests[1] == before.requests[1]).all()  # what is not split is left alone
    reads = np.isfinite(service.readers.need_gpu_s)
    assert (held.gpu_s[~reads] == 0.0).all()
    can = float((held.gpu_s[reads] / service.readers.need_gpu_s[reads]).sum())
    assert left.requests[0].sum() == pytest.approx(can, abs=1e-6)
    writes = np.isfinite(service.need_gpu_s)
    most = float((before.free_gpu_s[writes] / service.need_gpu_s[writes]).sum())
    whole = float((before.free_gpu_s[reads] / service.readers.need_gpu_s[reads]).sum())
    assert can == pytest.approx(min(before.requests[0].sum(), most, whole), abs=1e-6)
