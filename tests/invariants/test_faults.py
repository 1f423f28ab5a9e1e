"""What must hold of any outages."""

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from aether.base.tables import Outage
from aether.operations import faults


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(0, 30),
    rate_s=st.floats(0.0, 0.01),
    repair_s=st.one_of(st.floats(0.0, 1e5), st.just(np.inf)),
    fixed=st.booleans(),
)
def test_outages_of_one_subject_follow_one_another_and_the_seed_decides_them(
    seed: int, count: int, rate_s: float, repair_s: float, fixed: bool
) -> None:
    made = [faults.draw(np.random.default_rng(seed), "relay", count, rate_s, repair_s, 1e4, None, fixed) for _ in "ab"]
    assert made[0] == made[1]
    assert [o.start_s for o in made[0]] == sorted(o.start_s for o in made[0])
    for n in range(count):
        own = [o for o in made[0] if o.subject == n]
        assert all(0.0 <= o.start_s < 1e4 and o.end_s >= o.start_s for o in own)
        assert all(a.end_s <= b.start_s for a, b in itertools.pairwise(own))


@settings(max_examples=100, deadline=None)
@given(
    spans=st.lists(st.tuples(st.integers(0, 3), st.floats(0, 900), st.floats(0, 900)), max_size=12),
    step_s=st.sampled_from([30.0, 60.0, 300.0]),
)
def test_time_in_service_is_the_same_however_ticks_cut_it(spans: list[tuple[int, float, float]], step_s: float) -> None:
    outages = [Outage("ship", n, a, a + b) for n, a, b in spans]
    whole = faults.share_up(outages, "ship", 4, np.array([450.0]), 900.0)[0]
    times = np.arange(0.5 * step_s, 900.0, step_s)
    ticks = faults.share_up(outages, "ship", 4, times, step_s)
    assert ((ticks >= 0) & (ticks <= 1)).all()
    np.testing.assert_allclose(ticks.mean(axis=0), whole, atol=1e-9)
    np.testing.assert_allclose(
        faults.lost(outages, "ship", 4, times, step_s).sum() * step_s,
        sum(min(o.end_s, 900.0) - o.start_s for o in outages),
        atol=1e-6,
    )


def named(seed):
    return lambda name: np.random.default_rng([seed, *name.encode()])


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 1000),
    rates=st.lists(st.floats(0.0, 0.02), min_size=1, max_size=60),
    cut=st.integers(0, 60),
    first=st.integers(0, 500),
    step_s=st.sampled_from([1.0, 60.0, 97.3, 600.0, 5000.0]),
)
def test_arrivals_do_not_depend_on_windows_and_fewer_come_at_a_lower_rate(seed, rates, cut, first, step_s):
    rate_s, cut = np.array(rates), min(cut, len(rates))
    whole = faults.arrivals(named(seed), rate_s, first, step_s)
    parts = [
        *faults.arrivals(named(seed), rate_s[:cut], first, step_s),
        *faults.arrivals(named(seed), rate_s[cut:], first + cut, step_s),
    ]
    assert [t.tolist() for t in whole] == [t.tolist() for t in parts]
    fewer = faults.arrivals(named(seed), 0.5 * rate_s, first, step_s)
    for many, few in zip(whole, fewer, strict=True):
        assert set(few.tolist()) <= set(many.tolist())
        assert ((many >= 0.0) & (many <= step_s)).all()
        assert (np.diff(many) >= 0.0).all()


def test_as_many_arrive_as_the_rate_says():
    rate_s = np.where(np.arange(40_000) % 10 < 3, 2e-3, 4e-4)  # 40,000 minutes, as passes through the anomaly
    times = faults.arrivals(named(1), rate_s, 0, 60.0)
    count = np.array([len(t) for t in times])
    for here in (rate_s > 1e-3, rate_s < 1e-3):
        expected = rate_s[here].sum() * 60.0
        assert abs(count[here].sum() - expected) < 4.0 * np.sqrt(expected)
    assert (
        0.9 < count.var() / count.mean() / (1 + (rate_s * 60).var() / (rate_s * 60).mean()) < 1.1
    )  # Poisson of each tick
    assert abs(np.concatenate(times).mean() - 30.0) < 1.0
