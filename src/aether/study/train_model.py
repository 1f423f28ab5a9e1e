"""How long a training job takes under any settings, from what a run of the twin showed: analytic, some milliseconds each."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from aether.base.tables import Floats
from aether.study.train_seen import STAGES, Seen
from aether.workloads import across, goodput
from aether.workloads.job import Job

CAUSES = (
    "outages",
    "power and eclipse",
    "heat",
    "anomaly and upsets",
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

    def mttf_s(self, settings: Settings) -> float:
        """Between interruptions of the job, or of one member where the others go on."""
        rate = self.seen.fault_s + self.seen.upset_s
        return (len(self.seen.names) if settings.apart else 1) / rate if rate > 0.0 else np.inf

    def best_interval(self, settings: Settings) -> float:
        """Useful work between checkpoints that loses least [s]; all day where nothing fails."""
        mttf_s, running = self.mttf_s(settings), self.running(settings)
        if not np.isfinite(mttf_s) or running <= 0.0:
            return DAY_S
        return max(goodput.best_interval(mttf_s, settings.write_s) * running, self.seen.run.job.step_s)

    def useful(self, settings: Settings) -> float:
        """Share of time that trains."""
        running = self.running(settings)
        return running * self._shares(settings, running).work if running > 0.0 else 0.0

    def _shares(self, settings: Settings, running: float) -> goodput.Shares:
        """What faults leave; between checkpoints lie work, waits and slow stretches."""
        wall_s = settings.checkpoint_every_s / running
        return goodput.renewal(self.mttf_s(settings), self.seen.run.job.restart_s, wall_s, settings.write_s)

    def goodput(self, settings: Settings) -> Goodput:
        """What the settings come to."""
        running = self.running(settings)
        rows = self._standing(settings)
        if running <= 0.0:
            return Goodput(
                0.0, rows | dict.fromkeys(("checkpoints", "restarts", "work done again"), 0.0), None, None, None
            )
        shares = self._shares(settings, running)
        lost = {k: v * shares.work for k, v in rows.items()}
        lost |= {"checkpoints": shares.checkpoint, "restarts": shares.restart, "work done again": shares.rework}
        useful = running * shares.work
        if useful <= 0.0:
            return Goodput(0.0, lost, None, None, None)
        run = self.seen.run
        days = run.asked.tokens / run.tokens_step * run.job.step_s / useful / DAY_S
        busy = running * (shares.work + shares.rework)
        mwh = float(self.seen.full_w.sum()) * busy * days * DAY_S / 3.6e9
        usd = None if self.seen.usd_hour is None else self.seen.usd_hour * days * 24.0
        return Goodput(useful, lost, days, mwh, usd)

    def _standing(self, settings: Settings) -> dict[str, float]:
        """Shares lost to each stage of capacity and to synchronisation, faults and checkpoints apart."""
        left, rows = 1.0, {}
        for stage, cause in enumerate(CAUSES):
            pace, width = self._pace(settings, stage)
            rows[cause], left = left - float((pace * width).mean()), float((pace * width).mean())
        return rows | {"synchronisation": left - self.running(settings)}

    def _pace(self, settings: Settings, stage: int) -> tuple[Floats, Floats]:
        """Pace and width of every tick that a stage leaves (T,)."""
        round_s = job(self.seen, settings).phase_s if settings.grace_s > 0.0 else 0.0
        key = (settings.apart, settings.needed, settings.grace_s, round_s, stage)
        if key not in self._paces:
            made = [across.together(share, settings.needed, settings.grace_s, round_s, settings.apart)
                    for share in self.seen.share[stage]]  # fmt: skip
            self._paces[key] = np.array([p for p, _ in made]), np.array([part.mean() for _, part in made])
        return self._paces[key]


def ground(model: Model) -> Settings:
    """How a job is run inside a data centre: gradients each step, all in step, checkpoints that block at their best interval."""
    seen = model.seen
    made = Settings("data-parallel", 1, 1, 0.0, 16.0, "", len(seen.names), 0.0, DAY_S, seen.write_s[1], "ground")
    return replace(made, checkpoint_every_s=model.best_interval(made))
