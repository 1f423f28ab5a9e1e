"""The bench's money: costs of both sides by draws, a Sobol study, and twenty years of a fleet."""

from __future__ import annotations

import numpy as np

from aether.engine.run import simulate
from aether.scenario.load import load
from aether.study import lifetime, sampling, verdict
from aether.study.timing import Row, row, times

DRAWS = 100_000  # at once; a second's worth of the target


def rows(runs: int, quick: bool) -> list[Row]:
    """An evaluation of what a GPU-hour costs in orbit and on the ground, indices of 20 inputs, a fleet drawn a thousand times."""
    short = {"duration": "1 h", "step": "10 min", "outputs.ablation": False, "outputs.requests": False}
    made = verdict.case(simulate(load("project-aether", short)))
    drawn = made.value(made.draws(DRAWS))
    each = times(lambda: made.ratio(drawn), runs)
    first = row(
        "cost of both sides, drawn",
        f"{DRAWS:,} draws of {len(made.names)} assumptions",
        "ns/evaluation",
        each,
        1e9 / DRAWS,
        10_000.0,
    )
    inputs = dict(list(made.spread.items())[: verdict.MOST_INPUTS])

    def study() -> sampling.Indices:
        return sampling.sobol_indices(lambda v: np.log(made.ratio(made.value(v))), inputs, verdict.BASE, 1)

    points = (len(inputs) + 2) * verdict.BASE
    second = row("Sobol indices of cost", f"{len(inputs)} inputs, {points:,} points", "s", times(study, runs), 1.0, 2.0)
    fleet = load("project-aether", {"lifetime.years": 20, "lifetime.draws": 1000})
    years = times(lambda: lifetime.lifetime(fleet, report=False), 1 if quick else 3)
    return [first, second, row("fleet through years", "20 years, 1,000 draws, factors measured", "s", years, 1.0, 20.0)]
