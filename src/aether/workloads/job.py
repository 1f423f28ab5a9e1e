"""A training job as a phase machine: compute, synchronise, checkpoint, restart, through ticks of any length."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from aether.base.errors import InputError, Problem
from aether.base.tables import Progress
from aether.workloads.training import positive


@dataclass(frozen=True, slots=True)
class Job:
    """A synchronous job of one or more members that work alike and exchange their parameters now and then."""

    step_s: float  # an inner step at full pace
    sync_every: int  # inner steps between two synchronisations of the same parameter
    sync_bit: float  # sent by each member in sync_every steps, all fragments; 0 for a single member
    overlap: bool  # sent while the whole next phase is computed, else as `overlap_steps` says
    checkpoint_every_s: float  # of useful work
    checkpoint_write_s: float  # that it stops work
    restart_s: float
    fragments: int = 1  # of the model, sent in turn, one every sync_every / fragments steps
    overlap_steps: float = 0.0  # inner steps of the next phase beside which a fragment is sent
    apart: int = 1  # members that interruptions hit one at a time while the others go on; 1: each stops the job

    @property
    def phase_s(self) -> float:
        """Compute between two synchronisations, at full pace [s]."""
        return self.sync_every / self.fragments * self.step_s

    @property
    def hidden_s(self) -> float:
        """Of the next phase's compute, what a synchronisation may hide behind [s]."""
        return self.phase_s if self.overlap else min(self.overlap_steps * self.step_s, self.phase_s)

    @property
    def event_bit(self) -> float:
        """Sent by each member at one synchronisation, of one fragment [bit]."""
        return self.sync_bit / self.fragments


@dataclass(frozen=True, slots=True)
class Spent:
    """Where a tick's time went; all but sent_bit add up to its length.

    useful_s is net: an interruption moves work done since the checkpoint, of earlier ticks too, from it to rework_s.
    """

    useful_s: float = 0.0
    slow_s: float = 0.0  # lost to a pace below 1
    sync_s: float = 0.0
    checkpoint_s: float = 0.0
    restart_s: float = 0.0
    rework_s: float = 0.0
    stopped_s: float = 0.0
    sent_bit: float = 0.0


def begin(job: Job) -> Progress:
    """Where a job starts: a whole phase before it, nothing to send.

    job: Job. Returns Progress. Raises InputError for times that are not positive. Reference: [1] arXiv 2311.08105.
    """
    positive(
        step=job.step_s, sync_every=job.sync_every, checkpoint_every=job.checkpoint_every_s, fragments=job.fragments
    )
    return Progress(0.0, job.phase_s)


def advance(
    job: Job, now: Progress, dt_s: float, pace: float, sync_bit_s: float, interruptions_s: Iterable[float] = (),
    width: float = 1.0,
) -> tuple[Progress, Spent]:  # fmt: skip
    """One tick of a job: compute a phase, synchronise, again; checkpoint and restart between.

    Phase ends, checkpoints, ends of sending and interruptions follow one another as they come; between them all goes
    evenly. An interruption throws away what was done since the checkpoint and adds a restart; the job resumes in the
    phase where the checkpoint stood. With overlap a synchronisation is sent beside the next phase (or its first
    `overlap_steps`), which then waits for what is left; of P fragments one is sent every H / P steps.
    job: Job. now: Progress. dt_s: tick [s]. pace: share of full speed, 0 stands still. sync_bit_s: at which each member
    sends [bit/s], infinity allowed. interruptions_s: times in the tick [s]. width: share of the members' tokens that are made
    while the job goes at that pace, as `across.together` has it. Returns Progress, whose steps are those of all members
    together, and Spent. Raises InputError for a negative dt or rate and a pace or width outside 0 to 1. Valid for members
    that march in step, or whose laggards hand in part of a phase.

    [1] arXiv 2311.08105. [2] arXiv 2501.18512 for overlap.
    """
    if not (dt_s >= 0.0 and sync_bit_s >= 0.0 and 0.0 <= pace <= 1.0 and 0.0 < width <= 1.0):
        what = "dt and rate must not be negative, pace and width must lie from 0 to 1"
        raise InputError(Problem("training.advance", what))
    hits = [*sorted(t for t in interruptions_s if 0.0 <= t < dt_s), math.inf]
    spent, time = dict.fromkeys(Spent.__slots__, 0.0), 0.0
    while hits[0] < dt_s or time < dt_s:
        until = min(hits[0], dt_s)
        if time >= until:
            hits.pop(0)
            now, lost = _interrupt(job, now)
            spent["useful_s"] -= lost
            spent["rework_s"] += lost
            continue
        what, need_s, goal_s = _activity(job, now, pace, sync_bit_s, width)
        done, took = need_s <= until - time, min(need_s, until - time)
        time = time + took if done else until
        spent[what] += took * (pace * width if what == "useful_s" else 1.0)
        spent["slow_s"] += took * (1.0 - pace * width) if what == "useful_s" else 0.0
        now, sent = _send(job, now, what, took, done, sync_bit_s)
        spent["sent_bit"] += sent
        now = _after(job, now, what, took, done, pace, width, goal_s)
    return now, Spent(**spent)


def _activity(job: Job, now: Progress, pace: float, rate_bit_s: float, width: float) -> tuple[str, float, float]:
    """What a job does now, as the part of Spent that it counts to, how long until that ends, and the work until then."""
    if pace <= 0.0:
        return "stopped_s", math.inf, 0.0
    if now.down_s > 0.0:
        return "restart_s", now.down_s, 0.0
    if now.kept_s >= job.checkpoint_every_s:
        return "checkpoint_s", max(0.0, job.checkpoint_every_s + job.checkpoint_write_s - now.kept_s), 0.0
    waits_at_s = (
        job.phase_s - job.hidden_s if now.sync_bit > 0.0 else 0.0
    )  # of compute left, with something still to send
    if now.sync_bit > 0.0 and now.phase_s <= waits_at_s:
        return "sync_s", now.sync_bit / rate_bit_s if rate_bit_s > 0.0 else math.inf, 0.0
    goal_s = min(now.phase_s - waits_at_s, (job.checkpoint_every_s - now.kept_s) / width)
    return "useful_s", goal_s / pace, goal_s


def _send(job: Job, now: Progress, what: str, took: float, done: bool, rate_bit_s: float) -> tuple[Progress, float]:
    """What goes out meanwhile: while waiting for it, or beside work where that overlaps."""
    if now.sync_bit <= 0.0 or not (what == "sync_s" or (job.hidden_s > 0.0 and what in ("useful_s", "checkpoint_s"))):
        return now, 0.0
    everything = (what == "sync_s" and done) or math.isinf(rate_bit_s)
    sent = now.sync_bit if everything else min(now.sync_bit, rate_bit_s * took)
    return replace(now, sync_bit=now.sync_bit - sent), sent


def _after(
    job: Job, now: Progress, what: str, took: float, done: bool, pace: float, width: float, goal_s: float
) -> Progress:  # fmt: skip
    """Where the job stands when a stretch is over; a new phase begins when one is computed and the last one is sent."""
    if what == "restart_s":
        return replace(now, down_s=0.0 if done else now.down_s - took)
    if what == "checkpoint_s":
        return replace(now, kept_s=0.0 if done else now.kept_s + took)
    if what == "useful_s":
        room, work = job.checkpoint_every_s - now.kept_s, goal_s if done else min(pace * took, goal_s)
        made = (
            room if done and goal_s >= room / width else min(work * width, room)
        )  # rounding must not stop short of it
        now = replace(now, step=now.step + made / job.step_s, phase_s=now.phase_s - work, kept_s=now.kept_s + made)
    if now.phase_s <= 0.0 and now.sync_bit <= 0.0:
        return replace(now, phase_s=job.phase_s, sync_bit=job.event_bit)
    return now


def _interrupt(job: Job, now: Progress) -> tuple[Progress, float]:
    """Back to the checkpoint: the phase it stood in, nothing half sent; returns also the work thrown away.

    One member of several that go on apart loses its own part of the work since the checkpoint, and its own time.
    """
    lost = min(now.kept_s, job.checkpoint_every_s, now.step * job.step_s) / job.apart
    if job.apart > 1:
        step, kept_s = max(0.0, now.step - lost / job.step_s), max(0.0, now.kept_s - lost)
        return replace(now, step=step, kept_s=kept_s, down_s=now.down_s + job.restart_s / job.apart), lost
    if lost <= 0.0:  # nothing but what was being sent
        return replace(
            now, sync_bit=job.event_bit if now.sync_bit > 0.0 else 0.0, kept_s=0.0, down_s=job.restart_s
        ), 0.0
    step = max(0.0, now.step - lost / job.step_s)  # rounding must not reach below the start
    steps = job.sync_every / job.fragments
    phase_s = (steps - step % steps) * job.step_s
    return Progress(step, phase_s, 0.0, 0.0, job.restart_s), lost
