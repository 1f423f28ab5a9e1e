"""What a run of the twin shows a training job: who was there when, how fast links were, what stops it, what an hour costs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from aether.base.errors import InputError, Problem
from aether.base.tables import Floats
from aether.engine.run import Outcome
from aether.engine.work import Run
from aether.engine.work_record import PACES
from aether.workloads.models import parameters

STAGES = PACES[:-1]  # of capacity; the last is the share that placement grants


@dataclass(frozen=True)
class Seen:
    """Ticks T, members M, stages of capacity and then placement S."""

    run: Run
    names: tuple[str, ...]  # (M,)
    share: Floats  # (S, T, M) of the GPUs that the job asks of a member
    rate_bit_s: Floats  # (T,) at which the slowest member could send
    fault_s: float  # node failures, all members together [1/s]
    upset_s: Floats  # (T, M) interrupting upsets of each member [1/s]
    step_s: float  # of a tick
    full_w: Floats  # (M,) of the job's GPUs at full clocks
    usd_hour: float | None  # of the GPU-hours that members could give, None where a price is missing
    usd_missing: str
    calendar: dict[str, int]  # events of the members in the run, by kind
    duration_s: float
    write_s: tuple[float, float]  # that a checkpoint stops work: beside it, and one that blocks
    goodput: float  # of the job in the run itself

    @property
    def parameters(self) -> float:
        """Of the model."""
        return parameters(self.run.model).total


def seen(outcome: Outcome, name: str | None) -> Seen:
    """The Seen of a training workload; InputError where none is of that name or it cannot run."""
    run = _run(outcome, name)
    setup, told = outcome.setup, outcome.summary
    w = setup.work.runs.index(run)
    share = _shares(outcome, run, w)
    times = outcome.tables["training"]
    rate = times["rate_bit_s"].to_numpy().reshape(-1, len(setup.work.runs))[:, w]
    known = rate[(rate > 0.0) & np.isfinite(rate)]
    rate = np.where(rate > 0.0, rate, np.median(known) if known.size else 0.0)
    aboard = run.members < setup.hosts.ships
    upset_s = np.zeros((len(rate), len(run.members)))
    if aboard.any():
        each = outcome.tables["radiation"]["upset_s"].to_numpy().reshape(len(rate), -1)
        upset_s[:, aboard] = each[:, run.members[aboard]] * run.gpus[aboard]
    on = setup.scenario.spec.couplings
    usd, missing = _price(told, run, aboard, share[len(STAGES) - 1].mean(axis=0))
    write = setup.scenario.assume("training.checkpoint_write")
    members = {setup.hosts.names[m] for m in run.members}
    row = told["work"]["training"][w]
    return Seen(
        run, tuple(setup.hosts.names[m] for m in run.members), share, rate if len(run.members) > 1 else np.full(len(rate), np.inf),
        on.faults / run.mttf_s, upset_s * on.anomaly, setup.scenario.clock.step_s, setup.hosts.full_w[run.members] * run.gpus, usd, missing,
        dict(Counter(e.kind for e in outcome.events if e.subject in members)), setup.scenario.clock.duration_s,
        (run.job.checkpoint_write_s, max(write.high or 0.0, run.job.checkpoint_write_s)), float(row["goodput"]),
    )  # fmt: skip


def _run(outcome: Outcome, name: str | None) -> Run:
    work = outcome.setup.work
    found = [r for r in work.runs if name in (None, r.name)]
    if found:
        return found[0]
    for words in work.short:
        if name is None or words.startswith(f"{name}:"):
            raise InputError(Problem("workloads", words, next="Give it more GPUs, or a smaller model"))
    names = [r.name for r in work.runs]
    what = f"no training workload '{name}'" if name else "no training workload"
    raise InputError(Problem("workloads", what, next=f"There are: {', '.join(names)}" if names else ""))


def _shares(outcome: Outcome, run: Run, w: int) -> Floats:
    """What each stage leaves each member, of what the job asks (S, T, M); placement by what the job was granted in the run."""
    setup = outcome.setup
    ships, hosts = setup.hosts.ships, len(setup.hosts.names)
    ground = outcome.tables["hosts"]["free_gpu"].to_numpy().reshape(-1, hosts)
    stages = []
    for stage in STAGES:
        there = ground.astype(np.float64)
        if ships:
            there[:, :ships] = outcome.tables["capacity"][stage].to_numpy().reshape(-1, ships)
        stages.append(np.minimum(there[:, run.members] / run.gpus, 1.0))
    jobs = outcome.tables["training"]
    reach, placed = (jobs[f"pace_{k}"].to_numpy().reshape(-1, len(setup.work.runs))[:, w] for k in PACES[-2:])
    kept = np.divide(placed, reach, out=np.ones(len(reach)), where=reach > 0.0)
    return np.stack([*stages, stages[-1] * kept[:, None]])


def _price(told: dict[str, Any], run: Run, aboard: np.ndarray, reach: Floats) -> tuple[float | None, str]:
    """USD an hour for the GPU-hours that the members could give; what is missing in words."""
    cost = told["cost"]
    if cost.get("missing"):
        return None, "; ".join(cost["missing"])
    usd = 0.0
    for side, mine in (("orbit", aboard), ("ground", ~aboard)):
        if mine.any():
            figure = (cost.get(side) or {}).get("usd_per_gpu_hour")
            if figure is None:
                return None, f"no price of a GPU-hour ({side})"
            usd += figure["nominal"] * float((run.gpus * reach)[mine].sum())
    return usd, ""
