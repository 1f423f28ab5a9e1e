"""What a run's work comes to, summed window by window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aether.base.tables import Floats, Underway
from aether.engine.assemble import Setup
from aether.engine.data_record import DataTotals
from aether.engine.running import Peak, Spread
from aether.engine.work_record import HOST_COLUMNS, MOVED, PACES, SPENT, WorkRecord

COUNTED = ("requests", "served", "late", "rejected")


@dataclass
class WorkTotals:
    """Classes Q, places C, hosts H, jobs W; over all ticks."""

    asked: dict[str, Floats]  # (Q, C) of `COUNTED`
    waiting: Floats  # (Q, C) at the end
    waited_s: dict[str, Floats]  # (Q, C) first_token_s and network_s, sums over requests served
    by_hour: Floats  # (Q, 24, 3) by local solar hour: requests served, their first_token_s and network_s
    first_token: tuple[Spread, ...]  # of each class
    rejected: Peak  # (Q,)
    hosts: dict[str, Floats]  # (H,)
    reasons: Floats  # (3,)
    spent_s: Floats  # (W, len(SPENT))
    steps: Floats  # (W,) done at the end
    sent_bit: Floats  # (W,)
    pace: Floats  # (W,) sum over ticks, as granted
    gaps: Floats  # (W, len(PACES)) sums of pace lost to each stage
    moved_bit: Floats  # (len(MOVED),)
    lost_bit: float
    followed: list[Floats]  # (T, Q, G, SEEN) of each window
    lasers: dict[tuple[int, int], list[float]]  # those among the busiest of a tick: bits, most bit/s, most use
    data: DataTotals
    underway: Underway | None = None  # at the end, where the scenario has jobs

    @classmethod
    def empty(cls, setup: Setup) -> WorkTotals:
        """Nothing yet."""
        q, c, w = len(setup.work.services), len(setup.cities.names), len(setup.work.runs)
        return cls(
            {k: np.zeros((q, c)) for k in COUNTED}, np.zeros((q, c)), {k: np.zeros((q, c)) for k in ("first_token_s", "network_s")},
            np.zeros((q, 24, 3)), tuple(Spread() for _ in range(q)), Peak(q), {k: np.zeros(len(setup.hosts.names)) for k in HOST_COLUMNS},
            np.zeros(3), np.zeros((w, len(SPENT))), np.zeros(w), np.zeros(w), np.zeros(w), np.zeros((w, len(PACES))),
            np.zeros(len(MOVED)), 0.0, [], {}, DataTotals.empty(setup),
        )  # fmt: skip

    def add(self, setup: Setup, first: int, time_s: Floats, record: WorkRecord) -> None:
        """Go on with a window whose first tick has this number."""
        for name, total in self.asked.items():
            total += record.asked[name].sum(axis=0, dtype=np.float64)
        self.waiting = record.asked["waiting"][-1].astype(np.float64)
        self.rejected.add(first, record.asked["rejected"].sum(axis=2, dtype=np.float64))
        self._add_first_tokens(local_hours(setup, time_s), record.asked)
        for name, total in self.hosts.items():
            total += record.hosts[name].sum(axis=0, dtype=np.float64)
        jobs = record.jobs
        self.spent_s += jobs[:, :, : len(SPENT)].sum(axis=0)
        self.steps, self.sent_bit = jobs[-1, :, len(SPENT)], self.sent_bit + jobs[:, :, len(SPENT) + 1].sum(axis=0)
        self.pace += record.paces[:, :, -1].sum(axis=0)
        whole = np.ones((*record.paces.shape[:2], 1))
        self.gaps -= np.diff(np.concatenate([whole, record.paces], axis=2), axis=2).sum(axis=0)
        self.data.add(setup, record.data)
        self.reasons += record.reasons.sum(axis=0)
        self.moved_bit += record.moved_bit.sum(axis=0)
        self.lost_bit += float(record.lost_bit.sum())
        if record.followed.size:
            self.followed.append(record.followed)
        self.underway = record.underway[-1] if record.underway else self.underway
        self._add_lasers(record.busiest, setup.scenario.clock.step_s)

    def _add_first_tokens(self, hour: np.ndarray, asked: dict[str, np.ndarray]) -> None:
        """hour: (T, C)."""
        for q, spread in enumerate(self.first_token):
            first, trip, served = (asked[k][:, q].astype(np.float64) for k in ("first_token_s", "network_s", "served"))
            spread.add(first.ravel(), served.ravel())
            fine = np.isfinite(first)
            sums = [
                np.where(fine, served, 0.0),
                np.where(fine, first * served, 0.0),
                np.where(fine, np.nan_to_num(trip) * served, 0.0),
            ]
            for n, values in enumerate(sums):
                self.by_hour[q, :, n] += np.bincount(hour.ravel(), values.ravel(), 24)
            self.waited_s["first_token_s"][q] += sums[1].sum(axis=0)
            self.waited_s["network_s"][q] += sums[2].sum(axis=0)

    def _add_lasers(self, busiest: Floats, step_s: float) -> None:
        rows = busiest.reshape(-1, 4)
        for a, b, load, capacity in rows[rows[:, 2] > 0.0].tolist():
            kept = self.lasers.setdefault((int(a), int(b)), [0.0, 0.0, 0.0])
            kept[0] += load * step_s
            kept[1] = max(kept[1], load)
            kept[2] = max(kept[2], load / capacity if capacity > 0 else 0.0)


def local_hours(setup: Setup, time_s: Floats) -> np.ndarray:
    """Local solar hour of day of every tick and city (T, C), whole."""
    start = setup.scenario.spec.start
    utc = np.mod((start.hour * 3600.0 + start.minute * 60.0 + start.second + time_s) / 3600.0, 24.0)
    return np.mod(utc[:, None] + setup.work.hour_offset_s / 3600.0, 24.0).astype(np.int64)
