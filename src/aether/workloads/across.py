"""Training across ships: who goes on without whom, what exchanging parameters costs, and what it does to the loss."""

from __future__ import annotations

import math
from bisect import bisect_left

import numpy as np

from aether.base.errors import InputError, Problem
from aether.base.tables import Floats
from aether.workloads.job import Job
from aether.workloads.training import positive

# Evaluation loss by parameters [1e6] of data parallel, then DiLoCo with 1, 2, 4, 8 replicas, H = 30: arXiv 2503.09799, Tables 4
# and 5 (C4, 20 tokens a parameter); the last two were not trained with 8.
LOSSES = {
    35: (3.485, 3.482, 3.508, 3.554, 3.621), 90: (3.167, 3.162, 3.182, 3.213, 3.265), 180: (2.950, 2.943, 2.957, 2.981, 3.019),
    335: (2.784, 2.777, 2.788, 2.808, 2.841), 550: (2.653, 2.645, 2.657, 2.673, 2.698), 1300: (2.460, 2.451, 2.464, 2.472, 2.493),
    2400: (2.326, 2.317, 2.323, 2.332, 2.351), 4000: (2.224, 2.219, 2.220, 2.230), 10000: (2.090, 2.086, 2.086, 2.096),
}  # fmt: skip
STREAMED = (
    (2.67, 2.66),
    (2.52, 2.51),
    (2.45, 2.45),
)  # data parallel, streaming; 25, 100, 250 B tokens: arXiv 2501.18512, Table 1
STREAMED_PARAMETERS, STREAMED_H, STREAMED_BITS = 1e9, 100, 4  # the same table
REPLICAS = (1, 2, 4, 8)  # the same tables
CADENCE = 300  # largest H of the same paper's section 5.1, on 90 M to 550 M parameters


def bandwidth(
    parameters: float, step_time_s: float, h: float, fragments: float, overlap_steps: float, bits: float, layers: float,
    utilisation: float,
) -> float:  # fmt: skip
    """Rate between members that keeps a share of time in compute, synchronising now and then.

    B = max(V / (E + 2/3 t (1 - 1/L) + tau t), (V / L) / (E + tau t)), V = N q / P bits an event, E = (H / P) t (1 - C)/C
    the wait allowed: a backward pass (two thirds of a step) hides all layers but the last, tau steps hide more.
    parameters: N. step_time_s: t [s]. h: H inner steps between synchronisations of a fragment. fragments: P. overlap_
    steps: tau. bits: q a parameter. layers: L. utilisation: C. Returns [bit/s]. Data parallel: H = P = 1, tau = 0.
    Raises InputError for numbers out of range. Within 1.2 of all 15 values published, whose grid is that coarse [1].

    [1] arXiv 2501.18512, Table 4; the formula is ours.
    """
    positive(parameters=parameters, step_time=step_time_s, h=h, fragments=fragments, bits=bits, layers=layers)
    if not 0.0 < utilisation <= 1.0 or overlap_steps < 0.0:
        raise InputError(Problem("training.utilisation", "must lie above 0 and up to 1, overlap_steps not below 0"))
    volume, last = parameters * bits / fragments, overlap_steps * step_time_s
    wait = h / fragments * step_time_s * (1.0 - utilisation) / utilisation
    hidden = wait + 2.0 / 3.0 * step_time_s * (1.0 - 1.0 / layers) + last
    rates = [v / w if w > 0.0 else math.inf for v, w in ((volume, hidden), (volume / layers, wait + last))]
    return max(rates)


def loss_penalty(parameters: float, replicas: int, h: float) -> float | None:
    """What DiLoCo adds to the loss of data parallel training, relative; None where no one has published it.

    Read off the table of trained models, straight lines in the logarithms of N and M between them [1].
    parameters: N. replicas: M. h: inner steps between synchronisations. Returns [1], negative where the loss is lower.
    Valid for 35 M to 10 B parameters, M from 1 to 8 (4 above 2.4 B), 20 tokens a parameter and H = 30; up to 300 the paper
    finds little change, beyond nothing is published. Full precision; fragments: `streaming_penalty`; nothing on quorums.

    [1] arXiv 2503.09799, Tables 4 and 5, section 5.1.
    """
    if h <= 1:
        return 0.0
    sizes = sorted(LOSSES)
    if not (sizes[0] * 1e6 <= parameters <= sizes[-1] * 1e6 and 1 <= replicas <= REPLICAS[-1] and h <= CADENCE):
        return None
    right = max(bisect_left(sizes, parameters / 1e6), 1)
    ends = [_at(LOSSES[size], replicas) for size in (sizes[right - 1], sizes[right])]
    low, high = ends
    if low is None or high is None:
        return None
    place = math.log(parameters / 1e6 / sizes[right - 1]) / math.log(sizes[right] / sizes[right - 1])
    return low + place * (high - low)


def streaming_penalty(parameters: float, h: float, bits: float) -> float | None:
    """What streaming with overlap and few bits adds to the loss of data parallel training, relative; None where not published.

    The worst of three budgets of tokens (25, 100, 250 B), 1 B parameters, two workers, H = 100, 4 bits, sent beside one step [1].
    parameters: N. h: H. bits: a parameter sent. Returns [1]. Valid within a tenth of that N, H up to 100, 4 bits or more.

    [1] arXiv 2501.18512, Table 1.
    """
    if abs(parameters / STREAMED_PARAMETERS - 1.0) > 0.1 or h > STREAMED_H or bits < STREAMED_BITS:
        return None
    return max(streamed / plain - 1.0 for plain, streamed in STREAMED)


def _at(row: tuple[float, ...], replicas: int) -> float | None:
    """The penalty of a trained size at a number of replicas; None past the last one trained."""
    known = REPLICAS[: len(row) - 1]
    if replicas > known[-1]:
        return None
    more = [row[1 + i] / row[0] - 1.0 for i in range(len(known))]
    return float(np.interp(math.log(replicas), np.log(known), more))


def together(shares: Floats, needed: int, grace_s: float, round_s: float, apart: str) -> tuple[float, Floats]:
    """How fast a job goes with members that are there in part, and what share of that pace each keeps.

    In step: the pace of the slowest. Elastic: the k >= K quickest march in step, so many that pace x k is largest; the rest
    stand aside. Decoupled: a round ends once the K quickest are through it, and those that are no more than the grace
    behind; slower ones hand in what they have [1].
    shares: of full speed that each member could keep (M,), clipped to 0 to 1. needed: K of a quorum. grace_s: [s]. round_s:
    compute of a round at full pace [s]. apart: "" in step, elastic or decoupled. Returns the pace, 0 to 1, and the part
    (M,) of it that each member keeps, whose mean is the width that `job.advance` takes. Pace 0: the job waits.
    Raises InputError for a quorum of none. Valid for members of equal batches.

    [1] arXiv 2604.21428: least quorum, grace window, merging weighed by tokens; theirs adapts the window, here it is fixed.
    """
    if not 1 <= needed <= len(shares):
        raise InputError(Problem("training.quorum", f"{needed} of {len(shares)} members cannot be a quorum"))
    share = np.clip(shares, 0.0, 1.0)
    if not apart:
        return float(share.min()), np.ones(len(share))
    order = np.sort(share)[::-1]
    if apart == "elastic":
        counts = np.arange(needed, len(share) + 1)
        pace = float(order[counts[np.argmax(order[counts - 1] * counts)] - 1])
        return pace, (share >= pace).astype(np.float64) if pace > 0.0 else np.ones(len(share))
    pace = float(order[needed - 1])
    if pace <= 0.0:
        return 0.0, np.ones(len(share))
    if grace_s > 0.0:  # those through their round within the grace: round / share <= round / pace + grace
        pace = float(share[share * (1.0 + grace_s * pace / round_s) >= pace].min())
    return pace, np.minimum(share / pace, 1.0)


def exchange(job: Job, pace: Floats, sync_bit_s: Floats) -> Floats:
    """The share of time that a job works while it synchronises: f = (n t / p) / (n t / p + max(0, V / B - h / p)).

    n steps of t between synchronisations, V bits of a fragment, h what the next phase hides, p the pace. The long-run
    mean of `job.advance` at constant pace and rate, faults and checkpoints apart.
    job: Job. pace: p (T,). sync_bit_s: B of each member (T,) [bit/s], infinity allowed. Returns (T,), 1 where p is 0.
    Valid for H or more steps. Reference: [1] arXiv 2501.18512, section 2.
    """
    p, rate = np.asarray(pace, np.float64), np.asarray(sync_bit_s, np.float64)
    if job.sync_bit <= 0.0:
        return np.ones(np.broadcast(p, rate).shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        phase, hidden = job.phase_s / p, job.hidden_s / p
        wait = np.maximum(job.event_bit / rate - hidden, 0.0)
        return np.where(p > 0.0, np.where(np.isinf(wait), 0.0, phase / (phase + wait)), 1.0)
