"""The bench times the same work on both sides."""

import numpy as np

from aether.study import bench_steps as steps


def test_the_common_work_comes_out_as_with_numpy_and_scipy():
    ours, usual = (np.asarray(work(), dtype=np.float64) for work in steps.common_work())
    assert (np.isfinite(ours) == np.isfinite(usual)).all()
    seen = np.isfinite(ours)
    assert seen.any()
    assert np.abs(ours[seen] - usual[seen]).max() < 1e-6  # a microsecond of latency


def test_ten_thousand_satellites_reach_every_ship():
    assert np.isfinite(steps.ten_thousand()().latency_s).all()
