"""Goodput through faults: how often to write a checkpoint, and what share of time is left for work."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.special import lambertw

from aether.base.errors import InputError, Problem
from aether.workloads.training import positive


@dataclass(frozen=True, slots=True)
class Shares:
    """Where the time of a job under random faults goes, as shares that add up to 1."""

    work: float  # that lasts, waits and slow stretches of its own included
    checkpoint: float
    restart: float
    rework: float  # thrown away: work since the checkpoint, and checkpoints half written


def effective_time(mttf_s: float, restart_s: float, interval_s: float, write_s: float) -> float:
    """Share of time that makes progress: f = (1 - (u + D/2) / M) / (1 + w / D), not below 0.

    mttf_s: M [s]. restart_s: u, from failure to running [s]. interval_s: D of work between checkpoints [s]. write_s: w
    that a checkpoint stops work [s]. Returns [1]. Raises InputError for numbers out of range.
    Valid for u + D well below M. Reference: [1] arXiv 2410.21680, effective training time ratio.
    """
    _check(mttf_s, restart_s, interval_s, write_s)
    return max(0.0, 1.0 - (restart_s + interval_s / 2.0) / mttf_s) / (1.0 + write_s / interval_s)


def young_daly(mttf_s: float, write_s: float) -> float:
    """Work between checkpoints that loses least: D = sqrt(2 w M).

    mttf_s: M [s]. write_s: w that a checkpoint stops work [s]. Returns [s]. Raises InputError unless positive.
    Valid for w well below M. References: [1] Young 1974. [2] Daly 2006.
    """
    positive(mttf=mttf_s, checkpoint_write=write_s)
    return math.sqrt(2.0 * write_s * mttf_s)


def renewal(mttf_s: float, restart_s: float, interval_s: float, write_s: float) -> Shares:
    """The exact share of time that lasts when faults come at random: f = D / (M e^(u/M) (e^((D + w)/M) - 1)).

    Each stretch of D + w is a renewal: it is begun anew after each fault, and so is a restart [1]. Faults in it
    e^((D + w)/M) - 1 on average, each costing M (e^(u/M) - 1) of restarts.
    mttf_s: M [s], infinity for none. restart_s: u [s]. interval_s: D, time between checkpoints in which the job works, waits
    and goes slowly [s]. write_s: w [s]. Returns Shares. Raises InputError for numbers out of range.
    Valid for exponential times between faults.

    [1] Daly, Future Generation Computer Systems 22, 2006, section 3.
    """
    _check(mttf_s, restart_s, interval_s, write_s)
    if math.isinf(mttf_s):
        return Shares(interval_s / (interval_s + write_s), write_s / (interval_s + write_s), 0.0, 0.0)
    exponent = (restart_s + interval_s + write_s) / mttf_s
    if exponent > 700.0:  # e^709 is the largest double: nothing is ever finished
        restarts = -math.expm1(-restart_s / mttf_s)
        return Shares(0.0, 0.0, restarts, 1.0 - restarts)
    faults = math.expm1((interval_s + write_s) / mttf_s)
    restart = faults * mttf_s * math.expm1(restart_s / mttf_s)
    total = faults * mttf_s * math.exp(restart_s / mttf_s)
    thrown = max(0.0, total - restart - interval_s - write_s)
    whole = interval_s + write_s + restart + thrown
    return Shares(interval_s / whole, write_s / whole, restart / whole, thrown / whole)


def best_interval(mttf_s: float, write_s: float) -> float:
    """The interval between checkpoints that loses least, exactly: D = M (1 + W(-e^(-w/M - 1))), W Lambert's function.

    Where `renewal` is largest: its derivative in D vanishes. Young-Daly's is its limit for w well below M [1].
    mttf_s: M [s]. write_s: w [s]. Returns [s]. Raises InputError unless positive. Valid for exponential faults.

    [1] Daly 2006, section 4.
    """
    positive(mttf=mttf_s, checkpoint_write=write_s)
    return mttf_s * (1.0 + float(lambertw(-math.exp(-write_s / mttf_s - 1.0)).real))


def _check(mttf_s: float, restart_s: float, interval_s: float, write_s: float) -> None:
    positive(mttf=mttf_s, checkpoint_interval=interval_s)
    if restart_s < 0.0 or write_s < 0.0:
        raise InputError(Problem("training.restart", "restart and checkpoint_write must not be negative"))
