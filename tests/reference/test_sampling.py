"""Draws and indices against closed forms: Ishigami's function, triangles, copulas."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.base import spread
from aether.base.errors import InputError
from aether.base.provenance import Assumption
from aether.base.spread import Distribution
from aether.study import sampling


def test_ishigamis_indices_are_the_published_ones():
    # Ishigami and Homma 1990, a = 7, b = 0.1: S = 0.3139, 0.4424, 0; T = 0.5576, 0.4424, 0.2437
    inputs = {k: Distribution("uniform", -np.pi, 0.0, np.pi) for k in "xyz"}
    made = sampling.sobol_indices(
        lambda v: np.sin(v["x"]) + 7.0 * np.sin(v["y"]) ** 2 + 0.1 * v["z"] ** 4 * np.sin(v["x"]), inputs, 8192, 1
    )
    assert made.first == pytest.approx([0.3139, 0.4424, 0.0], abs=0.02)
    assert made.total == pytest.approx([0.5576, 0.4424, 0.2437], abs=0.02)
    assert made.evaluations == 5 * 8192


def test_a_figure_that_nothing_moves_has_no_indices():
    made = sampling.sobol_indices(lambda v: 0.0 * v["x"] + 3.0, {"x": Distribution("uniform", 0.0, 0.5, 1.0)}, 16, 1)
    assert made.first.tolist() == made.total.tolist() == [0.0]


def test_a_triangles_mean_and_deviation_are_in_closed_form():
    low, mode, high = 2.0, 3.0, 7.0
    x = Distribution("triangular", low, mode, high).ppf((np.arange(100_000) + 0.5) / 100_000)
    assert x.mean() == pytest.approx((low + mode + high) / 3.0, rel=1e-5)
    assert x.var() == pytest.approx(
        (low**2 + mode**2 + high**2 - low * mode - low * high - mode * high) / 18.0, rel=1e-3
    )


def test_normal_kinds_reach_low_and_high_at_a_tenth_of_draws_each():
    for kind in ("normal", "log-normal"):
        x = Distribution(kind, 1.0, 2.0, 5.0).ppf(np.array([0.1, 0.5, 0.9]))
        assert x == pytest.approx([1.0, 2.0, 5.0])


def test_an_assumption_of_more_than_a_decade_is_spread_in_the_logarithm():
    wide, narrow = (Assumption("a", 3.0, "1", "", low=low, high=20.0) for low in (0.5, 2.5))
    assert spread.about(wide).kind == "log-triangular"
    assert spread.about(narrow).kind == "triangular"


@pytest.mark.parametrize("rank", [-0.9, 0.0, 0.6])
def test_ties_have_the_rank_correlation_asked_for(rank):
    points = sampling.tied(sampling.shares("latin", 20_000, 2, 3), np.array([[1.0, rank], [rank, 1.0]]))
    ranks = np.argsort(np.argsort(points, axis=0), axis=0)
    assert np.corrcoef(ranks.T)[0, 1] == pytest.approx(rank, abs=0.02)
    assert np.histogram(points[:, 1], 10, (0.0, 1.0))[0] == pytest.approx(2000, rel=0.1)


def test_correlations_that_cannot_be_are_refused():
    with pytest.raises(InputError, match="positive definite"):
        sampling.tied(np.full((4, 3), 0.5), np.array([[1, 0.9, -0.9], [0.9, 1, 0.9], [-0.9, 0.9, 1.0]]))


@given(
    st.sampled_from(["triangular", "uniform", "log-triangular", "log-uniform"]), st.tuples(*[st.floats(0.01, 1e6)] * 3)
)
def test_draws_rise_with_their_share_and_stay_in_the_range(kind, ends):
    low, mode, high = sorted(ends)
    x = Distribution(kind, low, mode, high).ppf(np.linspace(0.0, 1.0, 33))
    assert (np.diff(x) >= -1e-9 * high).all()
    assert low * (1 - 1e-9) <= x.min() <= x.max() <= high * (1 + 1e-9)


@pytest.mark.parametrize("method", ["random", "latin", "sobol"])
def test_points_fill_the_cube_and_are_the_same_for_a_seed(method):
    one, two = (sampling.shares(method, 1000, 5, 7) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert one.mean(axis=0) == pytest.approx(np.full(5, 0.5), abs=0.05)
    if method == "latin":
        assert (np.sort((1000 * one).astype(int), axis=0) == np.arange(1000)[:, None]).all()  # one in every stratum


def test_what_is_wrong_with_a_distribution_is_said_with_its_numbers():
    said = [
        str(sampling.check("v", d, 0.0)[0])
        for d in (
            Distribution("triangle", 0, 1, 2), Distribution("uniform", 5, 5, 2), Distribution("triangular", 1, 9, 2),
            Distribution("log-uniform", 0, 1, 2), Distribution("normal", 10, 50, 90), Distribution("choice"),
        )
    ]  # fmt: skip
    assert "triangular" in said[0]
    assert "upside down" in said[1]
    assert "outside 1 to 2" in said[2]
    assert "above 0" in said[3]
    assert "below 0" in said[4]
    assert "nothing" in said[5]
    assert sampling.check("v", Distribution("uniform", 1, 1.5, 2), 0.0) == []
