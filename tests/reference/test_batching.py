"""Requests one by one: the event core beside a slow twin that steps every iteration, closed forms, and published shapes."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import serving_twin as twin
from aether.base.errors import InputError
from aether.scenario.catalog import packaged
from aether.study import bench_peers, bench_requests
from aether.workloads import batching, demand, inference

CATALOG = packaged()
SET_UP = inference.efficiency(CATALOG)
LLAMA, H100 = CATALOG.model("llama-3.1-8b"), CATALOG.accelerator("h100-sxm")
NAMES = {"served": batching.SERVED, "expired": batching.EXPIRED, "too long": batching.TOO_LONG}


def server(batch=64, chunk=512, cache=None, model=LLAMA, gpus=1, drafts=None):
    made = batching.server(
        model, H100, gpus, "bf16", replace(SET_UP, max_batch=batch, chunk_tokens=chunk), drafts=drafts
    )
    return made if cache is None else replace(made, cache_tokens=float(cache))


def azure(count, rate, seed=0):
    rng = np.random.default_rng(seed)
    asked, answer = demand.sample(CATALOG.lengths("azure-conversation"), rng, count)
    return np.cumsum(rng.exponential(1.0 / rate, count)), asked.astype(int), answer.astype(int)


def both(made, time_s, asked, answer, hit=None, patience_s=math.inf, memory="preempt"):
    """The event core and the twin, held against each other; returns the core's."""
    fast = batching.serve(
        made, [0, len(time_s)], time_s, asked, answer, hit_tokens=hit, memory=memory,
        patience_s=None if patience_s == math.inf else patience_s,
    )  # fmt: skip
    hits = np.zeros(len(time_s), int) if hit is None else hit
    slow = [twin.Request(i, *map(float, (t,)), int(a), int(o), int(h), patience_s)
            for i, (t, a, o, h) in enumerate(zip(time_s, asked, answer, hits, strict=True))]  # fmt: skip
    thrown, busy_s, most = twin.replica(made, slow, memory == "preempt")
    assert [NAMES[r.status] for r in slow] == fast.status.tolist()
    assert (thrown, most) == (fast.preempted[0], fast.peak_tokens[0])
    assert fast.busy_s[0] == pytest.approx(busy_s, rel=1e-9)
    served = fast.status == batching.SERVED
    for name in ("begun_s", "first_s", "finish_s"):
        theirs = np.array([getattr(r, name) for r in slow])
        assert getattr(fast, name)[served] == pytest.approx(theirs[served], rel=1e-9)
    return fast


@pytest.mark.parametrize("rate", [1.0, 10.0, 50.0])
@pytest.mark.parametrize("model", ["llama-3.1-8b", "qwen3-30b-a3b"])
def test_every_time_is_that_of_the_twin_which_steps_each_iteration(model, rate):
    made = server(model=CATALOG.model(model), gpus=2 if model.startswith("qwen") else 1)
    done = both(made, *azure(300, rate))
    assert (done.status == batching.SERVED).all()


@pytest.mark.parametrize("memory", ["preempt", "reserve"])
def test_full_memory_throws_out_the_same_requests_as_the_twin(memory):
    done = both(server(cache=12_000), *azure(300, 50.0), memory=memory)
    assert (done.preempted[0] > 10) == (memory == "preempt")
    assert done.peak_tokens[0] <= 12_000


def test_impatient_requests_give_up_where_the_twins_do():
    done = both(server(cache=9_000), *azure(300, 50.0), patience_s=3.0)
    gone = done.status == batching.EXPIRED
    assert 0 < gone.sum() < 300
    assert np.isnan(done.first_s[gone]).all()


def test_found_prefixes_are_not_read_again():
    time_s, asked, answer = azure(300, 20.0)
    with_hits = both(server(), time_s, asked, answer, hit=asked // 2)
    without = both(server(), time_s, asked, answer)
    assert (with_hits.first_s - time_s).mean() < (without.first_s - time_s).mean()


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_small_replica_does_what_the_twin_does(data):
    count = data.draw(st.integers(1, 25))
    draw = lambda low, high: np.array(data.draw(st.lists(st.integers(low, high), min_size=count, max_size=count)))  # noqa: E731
    asked, answer = draw(1, 300), draw(1, 60)
    time_s = np.cumsum(draw(0, 1000)) * 1.37e-4
    batch, chunk = data.draw(st.integers(1, 8)), data.draw(st.integers(9, 200))
    cache = data.draw(st.integers(40, 1500))
    patience_s = data.draw(st.sampled_from([math.inf, 0.05, 0.4]))
    hit = draw(0, 300) if data.draw(st.booleans()) else None
    done = both(
        server(batch, chunk, cache),
        time_s,
        asked,
        answer,
        hit,
        patience_s,
        data.draw(st.sampled_from(["preempt", "reserve"])),
    )
    served = done.status == batching.SERVED
    assert np.isin(done.status, [0, 1, 2]).all()  # in = served + rejected: at the end nothing is left in flight
    assert (done.begun_s[served] >= time_s[served]).all()
    assert (done.first_s[served] > done.begun_s[served]).all()  # no token before its prompt is read
    assert (done.finish_s[served] >= done.first_s[served]).all()
    assert done.peak_tokens[0] <= cache


def test_a_lonely_request_takes_its_iterations():
    made, context = server(chunk=2048), 1000 + np.arange(1, 100)
    done = batching.serve(made, [0, 1], [5.0], [1000], [100])
    first = inference.iteration_s(LLAMA, H100, 1, "bf16", 0.0, 1000.0, 0.0, 1000.0, replace(SET_UP, chunk_tokens=2048))
    gaps = inference.iteration_s(LLAMA, H100, 1, "bf16", 1.0, 0.0, context, 0.0, SET_UP)
    assert done.first_s[0] - 5.0 == pytest.approx(float(first), rel=1e-12)
    assert done.finish_s[0] - done.first_s[0] == pytest.approx(gaps.sum(), rel=1e-12)


@pytest.mark.parametrize(("model", "gpus"), [("llama-3.1-8b", 1), ("qwen3-30b-a3b", 2), ("llama-3.1-70b", 4)])
def test_a_servers_costs_are_the_roofline_without_error(model, gpus):
    shape = CATALOG.model(model)
    made = batching.server(shape, H100, gpus, "bf16", SET_UP)
    for answers, prompt, context in ((1, 0, 500), (200, 0, 3000), (64, 4000, 1000), (0, 8000, 0)):
        ours = (
            made.matrix_s[answers + prompt] + made.context_s * answers * context + made.prompt_s * prompt * prompt / 2
        )
        whole = inference.iteration_s(shape, H100, gpus, "bf16", answers, prompt, context, prompt, SET_UP)
        assert ours == pytest.approx(float(whole), rel=1e-12)


def test_throughput_is_near_the_curve_that_fleets_are_planned_by():
    serving = inference.curve(LLAMA, H100, 1, "fp8", 1000.0, 200.0, SET_UP)
    made = batching.server(LLAMA, H100, 1, "fp8", SET_UP)
    count = 4000
    done = batching.serve(made, [0, count], np.zeros(count), np.full(count, 1000), np.full(count, 200))
    assert count / done.finish_s.max() == pytest.approx(serving.request_s[-1], rel=0.1)


def test_simpy_gives_the_same_times():
    pytest.importorskip("simpy")
    few = bench_requests.mix(1, 1500)
    ours = few.serve()
    theirs = bench_peers.simpy_requests(few.server, few.time_s, few.input_tokens, few.output_tokens)()
    assert theirs[0] == pytest.approx(ours.first_s, rel=1e-9)
    assert theirs[1] == pytest.approx(ours.finish_s, rel=1e-9)


def test_replicas_side_by_side_are_replicas_alone():
    few = bench_requests.mix(3, 500)
    whole = few.serve()
    for r in range(3):
        part = slice(500 * r, 500 * (r + 1))
        alone = batching.serve(few.server, [0, 500], few.time_s[part], few.input_tokens[part], few.output_tokens[part])
        assert (alone.finish_s == whole.finish_s[part]).all()
        assert alone.peak_tokens[0] == whole.peak_tokens[r]


def test_half_clocks_are_twice_the_time():
    time_s, asked, answer = azure(200, 20.0)
    full = batching.serve(server(), [0, 200], time_s, asked, answer)
    half = batching.serve(server(), [0, 200], 2.0 * time_s, asked, answer, speed=[0.5], step_s=60.0)
    assert half.finish_s == pytest.approx(2.0 * full.finish_s, rel=1e-12)
    assert half.busy_s == pytest.approx(full.busy_s)


def test_nothing_happens_in_an_eclipse():
    time_s, asked, answer = azure(400, 10.0)
    speed = np.array([1.0, 0.0, 0.0, 1.0, 0.5])  # dark from 10 to 30 s
    dark = batching.serve(server(), [0, 400], time_s, asked, answer, speed=speed, step_s=10.0)
    for values in (dark.first_s, dark.finish_s):
        assert not ((values > 10.0 + 1e-9) & (values < 30.0)).any()
    assert not ((dark.begun_s > 10.0 + 1e-9) & (dark.begun_s < 30.0)).any()
    came = (time_s > 10.0) & (time_s < 30.0)
    assert came.sum() > 100
    assert (dark.first_s[came] > 30.0).all()
    assert (dark.first_s > dark.begun_s).all()
    assert (dark.begun_s >= time_s).all()


def test_patience_runs_in_the_dark():
    dark = batching.serve(
        server(), [0, 2], [5.0, 29.5], [100, 100], [10, 10], patience_s=1.0, speed=[0.0, 1.0], step_s=30.0
    )
    assert dark.status.tolist() == [batching.EXPIRED, batching.SERVED]
    assert dark.finish_s[0] == 6.0


def test_what_never_ends_is_in_flight():
    stuck = batching.serve(server(), [0, 2], [0.0, 11.0], [100, 100], [10, 10], speed=[1.0, 0.0], step_s=10.0)
    assert stuck.status.tolist() == [batching.SERVED, batching.IN_FLIGHT]
    assert np.isnan(stuck.finish_s[1])
    time_s, asked, answer = azure(300, 20.0)
    cut = batching.serve(server(), [0, 300], time_s, asked, answer, until_s=8.0)
    whole = batching.serve(server(), [0, 300], time_s, asked, answer)
    early = whole.finish_s <= 8.0
    assert 0 < early.sum() < 300
    assert ((cut.status == batching.SERVED) == early).all()
    assert (cut.finish_s[early] == whole.finish_s[early]).all()


def test_drafts_win_what_their_paper_says():
    draft = batching.Drafts(CATALOG.model("llama-3.1-8b"), 4, 0.8)
    made = server(batch=4, model=CATALOG.model("llama-3.1-70b"), gpus=4, drafts=draft)
    assert made.gain == pytest.approx(3.36, abs=0.01)  # arXiv 2211.17192, figure 2: alpha 0.8, gamma 4
    plain = server(batch=4, model=CATALOG.model("llama-3.1-70b"), gpus=4)
    quick, slow = (batching.serve(m, [0, 1], [0.0], [500], [400]) for m in (made, plain))
    won = (slow.finish_s - slow.first_s) / (quick.finish_s - quick.first_s)
    assert 1.5 < won[0] < 3.36  # drafts cost four passes of the small model


def test_a_lonely_request_with_drafts_takes_its_iterations():
    made = server(batch=4, drafts=batching.Drafts(LLAMA, 3, 0.7))
    steps = math.ceil(99 / made.gain)
    done = batching.serve(made, [0, 1], [0.0], [400], [100])
    each = made.matrix_s[4] + made.extra_s[1] + made.context_s * (400 + made.gain * np.arange(1, steps + 1))
    assert done.finish_s[0] - done.first_s[0] == pytest.approx(each.sum(), rel=1e-12)
    assert made.extra_s[1] == pytest.approx(3 * made.matrix_s[1])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_drafts_keep_counts_times_and_memory(data):
    count = data.draw(st.integers(1, 25))
    draw = lambda low, high: np.array(data.draw(st.lists(st.integers(low, high), min_size=count, max_size=count)))  # noqa: E731
    drafts = batching.Drafts(LLAMA, data.draw(st.integers(1, 5)), data.draw(st.floats(0.0, 1.0)))
    made = server(
        data.draw(st.integers(1, 8)), data.draw(st.integers(49, 200)), data.draw(st.integers(40, 1500)), drafts=drafts
    )
    time_s = np.cumsum(draw(0, 1000)) * 1.37e-4
    done = batching.serve(made, [0, count], time_s, draw(1, 300), draw(1, 60))
    served = done.status == batching.SERVED
    assert np.isin(done.status, [batching.SERVED, batching.TOO_LONG]).all()
    assert (done.first_s[served] > done.begun_s[served]).all()
    assert (done.finish_s[served] >= done.first_s[served]).all()
    assert done.peak_tokens[0] <= made.cache_tokens * (1 + 1e-12)


def test_a_split_sends_every_cache_and_keeps_every_token():
    made, (time_s, asked, answer) = server(chunk=2048), azure(200, 5.0)
    answer[:5] = 1
    parted = batching.split(made, made, time_s, asked, answer, rate_bit_s=100e9, latency_s=0.01)
    goes = answer > 1
    each_bit = 8.0 * 2 * 32 * 8 * 128 * 2  # keys and values of Llama 3.1 8B: layers, heads, width, BF16
    assert parted.sent_bit[goes] == pytest.approx(asked[goes] * each_bit)
    assert (parted.sent_bit[~goes] == 0.0).all()
    assert (parted.answers.status == batching.SERVED).all()
    sent = parted.arrive_s[goes] - parted.prompts.first_s[goes]
    assert (sent >= 0.01 + parted.sent_bit[goes] / 100e9 - 1e-9).all()
    assert (parted.answers.begun_s[goes] >= parted.arrive_s[goes]).all()
    assert (parted.answers.finish_s[~goes] == parted.prompts.finish_s[~goes]).all()


def test_a_link_sends_one_after_another():
    assert batching.queue([1.0, 0.0, np.nan, 5.0], [2.0, 3.0, 9.0, 1.0], 1.0, 0.5).tolist()[:2] == [5.5, 3.5]
    assert batching.queue([1.0, 0.0, np.nan, 5.0], [2.0, 3.0, 9.0, 1.0], 1.0, 0.5)[3] == 6.5
    assert np.isnan(batching.queue([np.nan], [1.0], 1.0)).all()


def test_longer_than_the_context_is_refused():
    long = batching.serve(server(), [0, 2], [0.0, 0.0], [131_000, 100], [100, 10])
    assert long.status.tolist() == [batching.TOO_LONG, batching.SERVED]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"start": [0, 2]}, "start: must rise from 0 to 3"),
        ({"time_s": [2.0, 1.0, 3.0]}, "time_s: must be 0 or later"),
        ({"input_tokens": [1, 0, 1]}, "input_tokens: must be 3 whole numbers of 1"),
        ({"speed": [-1.0]}, "speed: must be shares from 0"),
    ],
)
def test_arrays_that_do_not_belong_together_are_told(change, said):
    inputs = {"start": [0, 3], "time_s": [0.0, 1.0, 2.0], "input_tokens": [5, 5, 5], "output_tokens": [5, 5, 5]}
    with pytest.raises(InputError) as told:
        batching.serve(server(), **(inputs | change))
    assert said in str(told.value)


def test_a_replica_that_cannot_be_is_told_with_its_bytes():
    with pytest.raises(InputError) as told:
        batching.server(CATALOG.model("llama-3.1-70b"), H100, 1, "bf16", replace(SET_UP, chunk_tokens=64))
    assert "needs 141.1 GB for weights, 1 x h100-sxm has 72.0 GB usable" in str(told.value)
    assert "64 tokens an iteration leave no room for prompts beside 256 answers" in str(told.value)
