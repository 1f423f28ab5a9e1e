"""Conversations that are moved have their prompts read anew, which costs compute; those that stay cost none."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.base.tables import Plan, Snapshot
from aether.engine import prefixes
from aether.engine.run import simulate
from aether.scenario.load import load
from constellation import fabric

NEED, WHOLE, HIT = np.array([[2.0, 3.0]]), np.array([5.0, 7.0]), 0.6
SERVICE = (SimpleNamespace(asked=SimpleNamespace(prefix_hit=HIT), need_gpu_s=NEED[0], whole_gpu_s=WHOLE),)


def placed(*requests):
    """A plan for one class and place over two hosts."""
    host = np.arange(2)
    return Plan(np.zeros(2, int), np.zeros(2, int), host, np.array(requests, float), np.zeros((0, 2)))


def seen(*before, free=(1e9, 1e9)):
    kept = HIT * np.array([[before]], float) / max(sum(before), 1e-30)
    return SimpleNamespace(kept=kept, need_gpu_s=NEED, free_gpu_s=np.array(free), job_gpu=np.zeros((0, 2)), step_s=60.0)


def test_half_of_the_people_moved_are_read_anew_where_they_come():
    again = prefixes.reading_again_gpu_s(SERVICE, seen(10.0, 0.0), placed(5.0, 5.0))
    assert again.tolist() == [0.0, pytest.approx(7.0 - 3.0)]
    again = prefixes.reading_again_gpu_s(SERVICE, seen(1.0, 1.0), placed(1.0, 3.0))
    assert again.tolist() == [0.0, pytest.approx((0.75 - 0.5) / 0.75 * (7.0 - 3.0))]


def test_nobody_served_before_has_nothing_to_lose():
    assert not prefixes.reading_again_gpu_s(SERVICE, seen(0.0, 0.0), placed(5.0, 5.0)).any()
    first = seen(1.0, 0.0)
    first.kept = None
    assert not prefixes.reading_again_gpu_s(SERVICE, first, placed(5.0, 5.0)).any()


@given(st.tuples(*[st.floats(0.0, 1e4)] * 2), st.tuples(*[st.floats(0.01, 1e4)] * 2), st.floats(0.0, 1e5))
def test_no_host_does_more_than_it_has_and_moving_costs_never_less_than_staying(before, now, free):
    plan, snapshot = placed(*now), seen(*before, free=(free, 1e9))
    again = prefixes.reading_again_gpu_s(SERVICE, snapshot, plan)
    assert ((again >= 0.0) & (again <= WHOLE - NEED[0] + 1e-9)).all()
    share = prefixes.room(snapshot.free_gpu_s, plan, plan.requests, NEED[0], again)
    used = plan.requests * share * (NEED[0] + again)
    assert (
        (again == 0.0) | (used <= snapshot.free_gpu_s * (1 + 1e-9) + 1e-300)
    ).all()  # below that doubles have few digits
    assert prefixes.reading_again_gpu_s(SERVICE, seen(*now), placed(*now)).max() < 1e-9


def test_a_host_that_would_read_too_much_again_is_given_less_in_the_same_tick():
    def fill(snapshot):
        """All to host 1 as far as it goes, the rest to host 0."""
        most = snapshot.free_gpu_s / snapshot.need_gpu_s[0]
        return placed(10.0 - min(10.0, most[1]), min(10.0, most[1]))

    snapshot = Snapshot(**dict.fromkeys(Snapshot.__dataclass_fields__) | vars(seen(10.0, 0.0, free=(100.0, 30.0))))
    assert fill(snapshot).requests[1] == pytest.approx(10.0)  # 30 GPU-seconds at 3 each, were none read again
    plan, again = prefixes.place(fill, snapshot, SERVICE, 1.0)
    assert plan.requests[1] == pytest.approx(30.0 / 7.0)
    assert again.tolist() == [0.0, pytest.approx(4.0)]


def test_hits_spare_compute_and_the_wait_for_it_and_a_lost_site_makes_prompts_be_read_anew():
    def run(hit, **more):
        told = simulate(load(fabric(duration="30 min", workloads__0__inference__prefix_hit=hit, **more)))
        one = told.summary["work"]["inference"][0]
        return told.tables["hosts"].to_pandas().groupby("time_s")[["inference_gpu", "requests"]].sum(), one

    (cold, plain), (warm, hit) = run(0.0), run(0.8)
    assert warm.inference_gpu.sum() < 0.9 * cold.inference_gpu.sum()
    assert hit["first_token_p95_s"] < plain["first_token_p95_s"]
    struck, _ = run(0.8, events=[{"start": "10 min", "duration": "10 min", "sites": ["virginia"]}])
    each = struck.inference_gpu / struck.requests
    assert each[630.0] > 1.1 * each[570.0]  # the minute after the loss
