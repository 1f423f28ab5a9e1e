"""Failure rates against two published fleets, and outages against renewal theory."""

import numpy as np
import pytest

from aether.base.errors import InputError
from aether.base.tables import Outage
from aether.operations import faults
from aether.scenario.catalog import packaged

HOUR, DAY, YEAR = 3600.0, 86400.0, 365.25 * 86400.0


def test_mean_time_to_failure_of_a_large_job_is_as_projected() -> None:
    # arXiv 2410.21680: 6.50 failures per 1,000 node-days, 8 GPUs a node
    assert faults.mttf(6.5e-3, 8, 16384) / HOUR == pytest.approx(1.8, rel=0.03)
    assert faults.mttf(6.5e-3, 8, 131072) / HOUR == pytest.approx(0.23, rel=0.03)


def test_a_job_of_1024_gpus_failed_more_often_than_independent_failures_say() -> None:
    assert faults.mttf(6.5e-3, 8, 1024) / HOUR == pytest.approx(28.8, rel=0.01)  # 7.9 h measured, same source


def test_llama_3_was_interrupted_every_three_hours() -> None:
    # arXiv 2407.21783 Table 5: 419 in 54 days on 16,384 GPUs
    table = faults.interruptions()
    total = sum(i.count for i in table)
    assert total == 419
    assert table[0] == faults.Interruption("Faulty GPU", "GPU", 148)
    rate = faults.node_rate(total, 54 * DAY, 8, 16384)
    assert rate == pytest.approx(3.8e-3, rel=0.01)
    assert faults.mttf(rate, 8, 16384) / HOUR == pytest.approx(3.1, rel=0.01)
    assert packaged().value("faults.interruption") == pytest.approx(rate, rel=0.001)


@pytest.mark.parametrize("fixed", [False, True])
def test_long_run_availability_is_that_of_an_alternating_renewal(fixed: bool) -> None:
    # Barlow and Proschan 1965: mean up / (mean up + mean repair), at every moment when begun in the steady state
    outages = faults.draw(np.random.default_rng(4), "relay", 4000, 1 / (20 * HOUR), 5 * HOUR, 100 * HOUR, fixed=fixed)
    up = faults.share_up(outages, "relay", 4000, np.arange(100) * HOUR + 1800.0, HOUR)
    assert up.mean() == pytest.approx(0.8, abs=0.005)
    assert up[:3].mean() == pytest.approx(0.8, abs=0.015)  # no run-in
    assert up[-3:].mean() == pytest.approx(0.8, abs=0.015)


def test_what_is_not_repaired_stays_down_and_follows_attrition() -> None:
    outages = faults.draw(np.random.default_rng(1), "relay", 20000, 0.1 / YEAR, np.inf, 2 * YEAR)
    assert len({o.subject for o in outages}) == len(outages)
    assert all(o.end_s == np.inf for o in outages)
    assert 1 - len(outages) / 20000 == pytest.approx(float(faults.attrition(2 * YEAR, 0.1 / YEAR)), abs=0.01)
    assert faults.attrition(5 * YEAR, 0.09 / YEAR) == pytest.approx(0.6376, abs=1e-4)  # exp(-0.45)


def test_instant_interruptions_come_as_a_poisson_process_with_the_causes_of_the_table() -> None:
    causes = {i.cause: float(i.count) for i in faults.interruptions()}
    hits = faults.draw(np.random.default_rng(2), "host", 10, 1 / HOUR, 0.0, 1000 * HOUR, causes)
    assert len(hits) == pytest.approx(10000, abs=400)
    assert all(o.start_s == o.end_s for o in hits)
    assert sum(o.cause == "Faulty GPU" for o in hits) / len(hits) == pytest.approx(148 / 419, abs=0.02)


def test_rates_differ_by_subject_and_zero_never_fails() -> None:
    rate = np.array([0.0, 1 / HOUR, 5 / HOUR])
    outages = faults.draw(np.random.default_rng(3), "link", 3, rate, 0.0, 500 * HOUR)
    counts = np.bincount([o.subject for o in outages], minlength=3)
    assert counts[0] == 0
    assert counts[1] == pytest.approx(500, abs=100)
    assert counts[2] == pytest.approx(2500, abs=200)


def test_share_of_each_tick_counts_overlapping_outages_once() -> None:
    outages = [
        Outage("ship", 1, 30.0, 90.0), Outage("ship", 1, 60.0, 120.0), Outage("ship", 0, 170.0, np.inf),
        Outage("site", 1, 0.0, 500.0), Outage("ship", 2, 60.0, 60.0),
    ]  # fmt: skip
    up = faults.share_up(outages, "ship", 3, np.array([30.0, 90.0, 150.0]), 60.0)
    assert up == pytest.approx(np.array([[1, 0.5, 1], [1, 0, 1], [10 / 12, 1, 1]]))
    gone = faults.lost(outages, "ship", 3, np.array([30.0, 90.0, 150.0]), 60.0)
    assert gone[:, 1] == pytest.approx([0.5, 1.5, 0.0])


def test_a_year_in_orbit_breaks_nine_gpus_of_a_hundred_and_hands_bring_them_back_on_the_ground() -> None:
    count = np.array([0, 20000, 5000])
    outages = faults.broken(np.random.default_rng(5), count, 0.09 / YEAR, YEAR)
    seen = np.bincount([o.subject for o in outages], minlength=3)
    assert seen / np.maximum(count, 1) == pytest.approx([0.0, 1 - np.exp(-0.09), 1 - np.exp(-0.09)], abs=0.01)
    assert {o.kind for o in outages} == {"gpu"}
    assert {o.cause for o in outages} == {i.cause for i in faults.interruptions() if i.part == "GPU"}
    start = np.array([o.start_s for o in outages])
    assert (start < YEAR / 2).mean() == pytest.approx((1 - np.exp(-0.045)) / (1 - np.exp(-0.09)), abs=0.03)
    times = np.array([0.9 * YEAR])
    assert faults.lost(outages, "gpu", 3, times, 60.0)[0, 1] == pytest.approx(20000 * (1 - np.exp(-0.081)), rel=0.05)
    mended = faults.broken(np.random.default_rng(5), count, 0.09 / YEAR, YEAR, 2 * DAY)
    out = faults.lost(mended, "gpu", 3, np.arange(0.05, 1, 0.01) * YEAR, 60.0)[:, 1].mean()
    assert out == pytest.approx(20000 * 0.09 * 2 / 365.25 * 0.957, rel=0.15)  # rate x repair, by Little's law


def test_mistakes_are_told() -> None:
    with pytest.raises(InputError) as told:
        faults.mttf(0.0, -8, 16384)
    assert len(told.value.problems) == 2
    with pytest.raises(InputError, match="relay"):
        faults.draw(np.random.default_rng(0), "relay", 2, -1.0, 0.0, 1.0)
    with pytest.raises(InputError, match="no subject 5"):
        faults.share_up([Outage("ship", 5, 0.0, 1.0)], "ship", 3, np.array([30.0]), 60.0)
