"""How long a training job takes under any settings, from what a run of the twin showed: analytic, some milliseconds each."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from aether.base.tables import Bools, Floats
from aether.study.train_seen import STAGES, Seen
from aether.workloads import across, goodput
from aether.workloads.job import Job

CAUSES = (
    "outages, random",
    "eclipse and power, scheduled",
    "heat",
    "anomaly, scheduled",
    "network reach",
    "placement",
)  # of `STAGES`, granted
DAY_S = 86400.0  # definition


@dataclass(frozen=True)
class Settings:
    """How members train together."""

    method: str
    sync_every: int
    fragments: int
    overlap_steps: float  # of the next phase; all of it where sync_every / fragments
    bits: float
    apart: str  # elastic, decoupled or empty for in step
    needed: int  # members of a quorum
    grace_s: float
    checkpoint_every_s: float
    write_s: float
    checkpoint_to: str


@dataclass(frozen=True)
class Goodput:
    """What settings come to; all shares add up to 1."""

    useful: float
    lost: dict[str, float]  # share of time by cause
    days: float | None  # None where nothing is ever finished
    energy_mwh: float | None
    usd: float | None


def given(seen: Seen) -> Settings:
    """The settings of the scenario."""
    asked, job = seen.run.asked, seen.run.job
    hidden = job.hidden_s / job.step_s
    return Settings(asked.method, job.sync_every, job.fragments, hidden, asked.sync_bits, seen.run.apart, seen.run.needed,
                    asked.grace, job.checkpoint_every_s, job.checkpoint_write_s, asked.checkpoint_to)  # fmt: skip


def job(seen: Seen, settings: Settings) -> Job:
    """The job that the settings make."""
    members = len(seen.names)
    sync_bit = 2.0 * (members - 1) / members * seen.parameters * settings.bits
    return Job(
        seen.run.job.step_s, settings.sync_every, sync_bit, False, settings.checkpoint_every_s, settings.write_s,
        seen.run.job.restart_s, settings.fragments, settings.overlap_steps, members if settings.apart else 1,
    )  # fmt: skip


class Model:
    """Goodput of settings over one Seen; paces are found once for each way of marching."""

    def __init__(self, seen: Seen) -> None:
        self.seen = seen
        self._paces: dict[tuple[str, int, float, float, int], tuple[Floats, Floats]] = {}

    def running(self, settings: Settings) -> float:
        """Share of time that makes progress before any fault and checkpoint."""
        pace, width = self._pace(settings, len(STAGES))
        return float((pace * width * across.exchange(job(self.seen, settings), pace, self.seen.rate_bit_s)).mean())

    def hazard(self, settings: Settings) -> tuple[float, float, float]:
        """What interrupts: a second of running, by itself, and by pauses that an upset hits in (both 1/s); and the share of time that runs.

        A job in step runs while all members do; where they go on apart, each member is its own and the mean is taken. An upset
        of a member that stands anyway costs a restart once it goes on, however many come in one pause.
        """
        s, (pace, _) = self.seen, self._pace(settings, len(STAGES))
        if settings.apart:
            rates, runs = s.upset_s + s.fault_s / len(s.names), s.share[len(STAGES)] > 0.0
        else:
            rates, runs = (s.upset_s.sum(axis=1) + s.fault_s)[:, None], (pace > 0.0)[:, None]
        each = [_hazard(rates[:, m] * s.step_s, runs[:, m]) for m in range(rates.shape[1])]
        alone, paused = (float(np.mean([one[k] for one in each])) / s.step_s for k in (0, 1))
        return alone, paused, float((pace > 0.0).mean())

    def best_interval(self, settings: Settings) -> float:
        """Useful work between checkpoints that loses least [s]; all day where nothing fails."""
        (alone, paused, runs), running = self.hazard(settings), self.running(settings)
        if alone + paused <= 0.0 or running <= 0.0:
            return DAY_S
        wall_s = goodput.best_interval(
            1.0 / (alone + paused), settings.write_s
        )  # a pause costs half an interval, as a fault does
        return max(wall_s * running / runs, self.seen.run.job.step_s)

    def useful(self, settings: Settings) -> float:
        """Share of time that trains."""
        running = self.running(settings)
        return running * self._shares(settings, running).work if running > 0.0 else 0.0

    def _shares(self, settings: Settings, running: float) -> goodput.Shares:
        """What faults and checkpoints leave of the time that runs; between checkpoints lie work, waits and slow stretches."""
        alone, paused, runs = self.hazard(settings)
        restart_s, wall_s = self.seen.run.job.restart_s, settings.checkpoint_every_s * runs / running
        found = goodput.renewal(1.0 / alone if alone > 0.0 else np.inf, restart_s, wall_s, settings.write_s)
        again, rework = paused * restart_s, paused * (wall_s + settings.write_s) / 2.0
        over = max(again + rework, 1.0)
        again, rework, left = (
            again / over,
            rework / over,
            max(0.0, 1.0 - again - rework),
        )  # pauses come by the orbit's clock
        restart, rework = found.restart * left + again, found.rework * left + rework
        return goodput.Shares(found.work * left, found.checkpoint * left, restart, rework)

    def goodput(self, settings: Settings) -> Goodput:
        """What the settings come to."""
        running = self.running(settings)
        stopped, rows = self._standing(settings)
        runs = self.hazard(settings)[2]
        if running <= 0.0:
            lost = {k: stopped[k] + rows[k] for k in rows}
            return Goodput(
                0.0, lost | dict.fromkeys(("checkpoints", "restarts", "work done again"), 0.0), None, None, None
            )
        shares = self._shares(settings, running)
        lost = {k: stopped[k] + v * shares.work for k, v in rows.items()}
        lost |= {
            "checkpoints": shares.checkpoint * runs,
            "restarts": shares.restart * runs,
            "work done again": shares.rework * runs,
        }
        useful = running * shares.work
        if useful <= 0.0:
            return Goodput(0.0, lost, None, None, None)
        run = self.seen.run
        days = run.asked.tokens / run.tokens_step * run.job.step_s / useful / DAY_S
        busy = running * (shares.work + shares.rework)
        mwh = float(self.seen.full_w.sum()) * busy * days * DAY_S / 3.6e9
        usd = None if self.seen.usd_hour is None else self.seen.usd_hour * days * 24.0
        return Goodput(useful, lost, days, mwh, usd)

    def _standing(self, settings: Settings) -> tuple[dict[str, float], dict[str, float]]:
        """Shares lost to each stage of capacity and to synchronisation, faults and checkpoints apart: standing, and running slowly."""
        stands = self._pace(settings, len(STAGES))[0] <= 0.0
        left, stopped, rows = np.ones(len(stands)), {}, {}
        for stage, cause in enumerate(CAUSES):
            pace, width = self._pace(settings, stage)
            gap, left = left - pace * width, pace * width
            stopped[cause], rows[cause] = float((gap * stands).mean()), float((gap * ~stands).mean())
        rows["synchronisation"], stopped["synchronisation"] = float(left.mean()) - self.running(settings), 0.0
        return stopped, rows

    def _pace(self, settings: Settings, stage: int) -> tuple[Floats, Floats]:
        """Pace and width of every tick that a stage leaves (T,)."""
        round_s = job(self.seen, settings).phase_s if settings.grace_s > 0.0 else 0.0
        key = (settings.apart, settings.needed, settings.grace_s, round_s, stage)
        if key not in self._paces:
            made = [across.together(share, settings.needed, settings.grace_s, round_s, settings.apart)
                    for share in self.seen.share[stage]]  # fmt: skip
            self._paces[key] = np.array([p for p, _ in made]), np.array([part.mean() for _, part in made])
        return self._paces[key]


def _hazard(hits: Floats, runs: Bools) -> tuple[float, float]:
    """Interruptions a tick of running: those that come then, and pauses in which at least one came; hits: expected, of each tick."""
    running = max(int(runs.sum()), 1)
    edges = np.diff(np.concatenate([[False], ~runs, [False]]).astype(np.int8))
    total = np.concatenate([[0.0], np.cumsum(hits)])
    inside = total[np.flatnonzero(edges < 0)] - total[np.flatnonzero(edges > 0)]
    return float(hits[runs].sum()) / running, float(-np.expm1(-inside).sum()) / running


def ground(model: Model) -> Settings:
    """How a job is run inside a data centre: gradients each step, all in step, checkpoints that block at their best interval."""
    seen = model.seen
    made = Settings("data-parallel", 1, 1, 0.0, 16.0, "", len(seen.names), 0.0, DAY_S, seen.write_s[1], "ground")
    return replace(made, checkpoint_every_s=model.best_interval(made))
