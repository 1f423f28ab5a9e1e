"""What must hold of any job, whatever befalls it."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from aether.scenario.catalog import packaged
from aether.workloads import across, goodput, training
from aether.workloads import job as jobs
from aether.workloads.job import Job
from aether.workloads.training import Layout

JOBS = st.builds(
    Job,
    step_s=st.floats(0.5, 500.0),
    sync_every=st.integers(1, 200),
    sync_bit=st.one_of(st.just(0.0), st.floats(1e3, 1e13)),
    overlap=st.booleans(),
    checkpoint_every_s=st.floats(10.0, 5000.0),
    checkpoint_write_s=st.one_of(st.just(0.0), st.floats(0.1, 300.0)),
    restart_s=st.floats(0.0, 900.0),
)
TICKS = st.lists(
    st.tuples(
        st.floats(0.0, 300.0),  # length
        st.one_of(st.just(0.0), st.just(1.0), st.floats(0.05, 1.0)),  # pace
        st.one_of(st.just(0.0), st.just(math.inf), st.floats(1e3, 1e12)),  # rate
        st.lists(st.floats(0.0, 1.0), max_size=3),  # interruptions
    ),
    max_size=12,
)


@settings(max_examples=250, deadline=None)
@given(job=JOBS, ticks=TICKS)
@example(  # loses all it did, in thirds of a step that do not add up to it
    job=Job(290.0, 1, 0.0, False, 287.0, 0.0, 22.0),
    ticks=[(108.11835804817699, 1.0, 0.0, []), (152.0, 0.107421875, 0.0, []), (184.0, 1.0, 0.0, [0.8832391868332898])],
)
def test_time_is_accounted_for_and_steps_are_the_useful_part_of_it(
    job: Job, ticks: list[tuple[float, float, float, list[float]]]
) -> None:
    now, useful_s = jobs.begin(job), 0.0
    for dt_s, pace, rate, hits in ticks:
        now, spent = jobs.advance(job, now, dt_s, pace, rate, [h * dt_s for h in hits])
        parts = [spent.useful_s, spent.slow_s, spent.sync_s, spent.checkpoint_s, spent.restart_s, spent.rework_s]
        assert sum(parts) + spent.stopped_s == pytest.approx(dt_s, abs=1e-7)
        assert all(p >= 0.0 for p in parts[1:])
        assert 0.0 <= spent.sent_bit <= rate * dt_s * (1 + 1e-9) or math.isinf(rate)
        useful_s += spent.useful_s
        assert now.step >= 0.0
        assert now.step * job.step_s == pytest.approx(useful_s, abs=1e-6)
        assert 0.0 <= now.phase_s <= job.sync_every * job.step_s * (1 + 1e-9)
        assert 0.0 <= now.sync_bit <= job.sync_bit
        assert 0.0 <= now.kept_s <= job.checkpoint_every_s + job.checkpoint_write_s
        assert 0.0 <= now.down_s <= job.restart_s


@settings(max_examples=100, deadline=None)
@given(job=JOBS, ticks=TICKS, cut=st.floats(0.0, 1.0))
def test_how_time_is_cut_into_ticks_changes_nothing(
    job: Job, ticks: list[tuple[float, float, float, list[float]]], cut: float
) -> None:
    one = two = jobs.begin(job)
    for dt_s, pace, rate, hits in ticks:
        at, first = [h * dt_s for h in hits], cut * dt_s
        one, _ = jobs.advance(job, one, dt_s, pace, rate, at)
        two, _ = jobs.advance(job, two, first, pace, rate, [t for t in at if t < first])
        two, _ = jobs.advance(job, two, dt_s - first, pace, rate, [t - first for t in at if first <= t < dt_s])
    assert two.step == pytest.approx(one.step, abs=max(1e-6, 1e-9 * one.step))


@settings(max_examples=60, deadline=None)
@given(step_s=st.floats(0.1, 100.0), every=st.integers(1, 50), dt_s=st.floats(0.0, 5000.0), overlap=st.booleans())
def test_a_job_that_nothing_hinders_does_a_step_in_each_step_time(
    step_s: float, every: int, dt_s: float, overlap: bool
) -> None:
    job = Job(step_s, every, 1e9, overlap, 700.0, 0.0, 100.0)
    now, spent = jobs.advance(job, jobs.begin(job), dt_s, 1.0, math.inf)
    assert now.step == pytest.approx(dt_s / step_s, abs=1e-9 * max(1.0, dt_s / step_s))
    assert spent.useful_s == pytest.approx(dt_s)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_faster_link_never_slows_a_job(seed: int) -> None:
    draw = np.random.default_rng(seed)
    job = Job(
        draw.uniform(1, 30),
        int(draw.integers(1, 40)),
        10 ** draw.uniform(6, 12),
        bool(draw.random() < 0.5),
        1e9,
        0.0,
        0.0,
    )
    rate = 10 ** draw.uniform(5, 11)
    slow, fast = (jobs.advance(job, jobs.begin(job), 5000.0, 1.0, r)[0].step for r in (rate, 2 * rate))
    assert fast >= slow - 1e-9


@settings(max_examples=60, deadline=None)
@given(share=st.floats(0.01, 0.99), more=st.floats(0.0, 0.009), fragments=st.integers(1, 32), overlap=st.integers(0, 5))
def test_more_utilisation_asks_for_no_less_bandwidth(share: float, more: float, fragments: int, overlap: int) -> None:
    low, high = (across.bandwidth(1e10, 0.8, 100, fragments, overlap, 8, 48, u) for u in (share, share + more))
    assert high >= low > 0.0


@settings(max_examples=40, deadline=None)
@given(tensor=st.sampled_from([1, 2, 4, 8]), pipeline=st.sampled_from([1, 2, 4, 8]), recompute=st.booleans())
def test_more_data_ranks_take_no_more_time_and_memory(tensor: int, pipeline: int, recompute: bool) -> None:
    catalog = packaged()
    model, gpu, reached = catalog.model("llama-3.1-8b"), catalog.accelerator("h100-sxm"), training.efficiency(catalog)
    steps = [
        training.step_time(model, gpu, 512, 4096, Layout(tensor, pipeline, d, recompute, True), reached)
        for d in (1, 2, 4)
    ]
    for fewer, more in itertools.pairwise(steps):
        assert more.time_s < fewer.time_s
        assert more.memory_bytes <= fewer.memory_bytes


WAYS = st.sampled_from(["", "elastic", "decoupled"])
MEMBERS = st.lists(st.one_of(st.just(0.0), st.just(1.0), st.floats(0.0, 1.5)), min_size=1, max_size=8)


@settings(max_examples=200, deadline=None)
@given(shares=MEMBERS, quorum=st.floats(0.01, 1.0), grace=st.floats(0.0, 500.0), way=WAYS)
def test_members_that_go_on_apart_never_make_less_than_in_step(
    shares: list[float], quorum: float, grace: float, way: str
) -> None:
    there, needed = np.array(shares), max(1, math.ceil(quorum * len(shares)))
    pace, part = across.together(there, needed, grace, 100.0, way)
    step, _ = across.together(there, len(shares), 0.0, 100.0, "")
    assert 0.0 <= pace <= 1.0
    assert ((part >= 0.0) & (part <= 1.0)).all()
    assert pace * part.mean() >= step - 1e-12
    assert pace * part.mean() <= np.clip(there, 0.0, 1.0).mean() + 1e-12 or not pace
    if way and np.count_nonzero(there) < needed:
        assert pace == 0.0


@settings(max_examples=100, deadline=None)
@given(
    mttf=st.floats(100.0, 1e7), more=st.floats(1.0, 50.0), restart=st.floats(0.0, 2000.0), every=st.floats(1.0, 1e4),
    write=st.floats(0.0, 300.0),
)  # fmt: skip
def test_shares_under_faults_add_up_and_goodput_falls_with_the_time_to_failure(
    mttf: float, more: float, restart: float, every: float, write: float
) -> None:
    often, seldom = (goodput.renewal(m, restart, every, write) for m in (mttf, mttf * more))
    for found in (often, seldom):
        parts = (found.work, found.checkpoint, found.restart, found.rework)
        assert sum(parts) == pytest.approx(1.0, abs=1e-9)
        assert all(0.0 <= p <= 1.0 for p in parts)
    assert often.work <= seldom.work + 1e-9
    never = goodput.renewal(math.inf, restart, every, write)
    assert seldom.work <= never.work + 1e-9


@settings(max_examples=60, deadline=None)
@given(h=st.integers(2, 300), more=st.integers(1, 300), fragments=st.integers(1, 2), overlap=st.floats(0.0, 1.0))
def test_bandwidth_falls_with_the_steps_between_synchronisations(
    h: int, more: int, fragments: int, overlap: float
) -> None:
    near, far = (across.bandwidth(1e10, 0.8, n, fragments, overlap, 8, 48, 0.9) for n in (h, h + more))
    assert far < near


@settings(max_examples=100, deadline=None)
@given(
    step_s=st.floats(0.5, 50.0), every=st.integers(2, 100), rate=st.floats(1e6, 1e12), pace=st.floats(0.05, 1.0),
    fragments=st.integers(1, 8), beside=st.integers(0, 3),
)  # fmt: skip
def test_the_mean_wait_is_that_of_the_machine_for_any_fragments(
    step_s: float, every: int, rate: float, pace: float, fragments: int, beside: int
) -> None:
    assume(fragments * max(beside, 1) <= every)
    job = Job(step_s, every, 1e11, False, 1e12, 0.0, 0.0, fragments, float(beside))
    found = float(across.exchange(job, np.array([pace]), np.array([rate]))[0])
    cycle_s = job.phase_s / pace / found
    now, _ = jobs.advance(job, jobs.begin(job), 3.0 * cycle_s, pace, rate)  # past what is different at the start
    later, spent = jobs.advance(job, now, 20.0 * cycle_s, pace, rate)
    assert (later.step - now.step) * step_s == pytest.approx(20.0 * job.phase_s, rel=1e-6)
    assert spent.useful_s / (20.0 * cycle_s) == pytest.approx(found * pace, rel=1e-6)


@settings(max_examples=150, deadline=None)
@given(
    job=JOBS,
    ticks=TICKS,
    fragments=st.integers(1, 6),
    beside=st.floats(0.0, 4.0),
    apart=st.integers(1, 5),
    width=st.floats(0.1, 1.0),
)
def test_time_adds_up_for_streaming_and_for_members_that_go_on_apart(
    job: Job,
    ticks: list[tuple[float, float, float, list[float]]],
    fragments: int,
    beside: float,
    apart: int,
    width: float,
) -> None:
    job = replace(job, fragments=fragments, overlap_steps=beside, apart=apart)
    now, useful_s = jobs.begin(job), 0.0
    for dt_s, pace, rate, hits in ticks:
        now, spent = jobs.advance(job, now, dt_s, pace, rate, [h * dt_s for h in hits], width)
        parts = [spent.useful_s, spent.slow_s, spent.sync_s, spent.checkpoint_s, spent.restart_s, spent.rework_s]
        assert sum(parts) + spent.stopped_s == pytest.approx(dt_s, abs=1e-7)
        useful_s += spent.useful_s
        assert now.step * job.step_s == pytest.approx(useful_s, abs=1e-6)
        assert 0.0 <= now.phase_s <= job.phase_s * (1 + 1e-9)
        assert 0.0 <= now.sync_bit <= job.event_bit
