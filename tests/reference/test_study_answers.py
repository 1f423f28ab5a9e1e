"""What a study says of its points, beside functions whose answers are known in closed form and scipy's own."""

import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from aether.base.spread import Distribution, about
from aether.economics.boundary import nominal
from aether.scenario.load import load
from aether.study import sampling, study_answers, study_file, study_points
from aether.study.study_answers import correlations, first_order, ranked

SMALL = {"duration": "2 h", "step": "10 min", "ground.cities.largest": 0, "ground.coverage_cells": 0, "probes": [],
         "workloads": [], "outputs.ablation": False, "outputs.report": False}  # fmt: skip


def ishigami(x):
    """Ishigami and Homma 1990, a = 7, b = 0.1: S = 0.3139, 0.4424, 0; T = 0.5576, 0.4424, 0.2437."""
    return np.sin(x["a"]) + 7.0 * np.sin(x["b"]) ** 2 + 0.1 * x["c"] ** 4 * np.sin(x["a"])


@pytest.fixture(scope="module")
def made():
    return study_points.run(load("project-aether", SMALL))


def test_saltelli_design_and_indices_give_ishigamis_shares():
    spread = {n: Distribution("uniform", -math.pi, 0.0, math.pi) for n in "abc"}
    told = sampling.indices("abc", ishigami(sampling.saltelli(spread, 4096, 1)))
    assert told.first == pytest.approx([0.3139, 0.4424, 0.0], abs=0.02)
    assert told.total == pytest.approx([0.5576, 0.4424, 0.2437], abs=0.02)


def test_shares_from_any_sample_give_ishigamis_first_order():
    spread = {n: Distribution("uniform", -math.pi, 0.0, math.pi) for n in "abc"}
    x = sampling.drawn("abc", spread, sampling.shares("random", 8192, 3, 2))
    assert [first_order(x[n], ishigami(x)) for n in "abc"] == pytest.approx([0.3139, 0.4424, 0.0], abs=0.03)


def test_rank_correlation_is_scipys_and_nothing_for_what_only_rounding_moves():
    rng = np.random.default_rng(3)
    x, y = rng.integers(0, 5, 200).astype(float), rng.random(200)
    told = correlations({"x": ranked(x)}, x + y)["x"]
    assert told == pytest.approx(spearmanr(x, x + y).statistic, abs=1e-12)
    assert correlations({"x": ranked(x)}, 2.5 + 1e-15 * y) == {"x": 0.0}
    assert first_order(x, 2.5 + 1e-15 * y) == 0.0


def test_money_in_vectors_is_the_summary_at_the_nominal_values(made):
    for path in study_points.DRAWN:
        told = study_points.drawn(made, path, nominal(made.known))
        if path.replace(".nominal", "").split(".")[-1] in ("usd_per_mtoken", "usd_per_delivered_gpu_hour"):
            continue  # nothing was asked of this run
        assert told == pytest.approx(study_points.output(made.summary, path), rel=1e-6, abs=1e-9), path


def test_money_in_vectors_is_money_draw_by_draw(made):
    names = sorted(made.asked())
    assert len(names) > 20
    assert "faults.gpu_orbit" not in names  # the engine takes it too
    spread = {n: about(made.known[n]) for n in names}
    draws = sampling.drawn(names, spread, sampling.shares("latin", 5, len(names), 4))
    for path in ("cost.ratio.nominal", "footprint.orbit.carbon_kg", "footprint.ground.water_kg"):
        told = study_points.outputs(made, [path], draws, 5)[:, 0]
        for i in range(5):
            one = study_points.drawn(made, path, nominal(made.known, {n: float(v[i]) for n, v in draws.items()}))
            assert told[i] == pytest.approx(one, rel=1e-12)


def test_packaged_studies_can_be_read():
    known = study_file.examples()
    assert known
    for name in known:
        made = study_file.load(name)
        assert made.spec.name == name
        assert made.draws >= 16


def test_answers_find_the_lowest_point_and_the_median(tmp_path):
    from aether.study.studies import study

    told = study({
        "name": "t", "scenario": "project-aether", "set": SMALL, "method": "grid",
        "variables": {"cost.life_orbit": {"values": ["4 year", "6 year", "8 year"]}}, "outputs": ["cost.orbit.usd_year"],
    }, tmp_path / "s")  # fmt: skip
    row = told["scenarios"]["project-aether"]["cost.orbit.usd_year"]
    assert row["lowest"][0]["point"] == 2
    assert row["p50"] == row["lowest"][1]["value"]
    assert row["rank_correlations"] == {"cost.life_orbit": pytest.approx(-1.0)}
    assert study_answers.LEAST > 3
    assert "sobol" not in row
