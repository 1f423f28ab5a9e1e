"""Watching telemetry as it streams: what it says of a ship's parts, when that changes, and how well the watch did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aether.base.tables import Bools, Floats

PARTS = ("array", "loop", "battery")
QUIET = 30  # readings from which a detector learns what is normal
SLACK, LIMIT = 0.5, 18.0  # of the Page-Hinkley test in standard deviations: change let pass, evidence that is enough


@dataclass(frozen=True, slots=True)
class Alarm:
    """A change that was confirmed."""

    ship: int
    part: str  # of `PARTS`
    time_s: float


@dataclass(frozen=True, slots=True)
class Score:
    """How well alarms met what degraded."""

    precision: float | None  # share of alarms that were true
    recall: float | None  # share of degradations that were found
    delays_s: tuple[float, ...]  # from begin to alarm, of those found
    false: int


def indicators(
    array_w: Floats, expected_w: Floats, chip_k: Floats, radiator_k: Floats, heat_w: Floats, full_w: Floats,
    loop_w_k: Floats, charge_share: Floats, moved_j: Floats, battery_j: Floats, sigma: Floats, noise: Floats,
) -> Floats:  # fmt: skip
    """Health of array, loop and battery as telemetry tells it, in standard deviations of its noise.

    array: P / P_expected - 1 by light, attitude and age. loop: G dT / Q - 1, the fall of temperature from chips to
    radiator for the heat of the chips, where they draw more than half and steadily. battery: dq E / W - 1, the change of charge shown for the energy moved.
    array_w, expected_w: (T, K) [W]. chip_k, radiator_k: [K]. heat_w: of the chips, full_w: (K,) at full clocks [W]. loop_w_k: (K,) from chip to radiator as new
    [W/K]. charge_share: shown by the gauge [1]. moved_j: into the cells in the tick [J]. battery_j: (K,) as new. sigma: (3,) noise
    of one reading of each part [1]. noise: (3, T, K) standard normal. Returns (3, T, K), NaN where a
    reading says nothing; the last two as logarithms, alike for small changes. Reference: [1] Isermann, Fault-Diagnosis Systems, 2006, residuals of a model.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        array = np.where(expected_w > 0.2 * expected_w.max(axis=0), array_w / expected_w - 1.0, np.nan)
        fall = chip_k - radiator_k
        before = np.concatenate([heat_w[:1], heat_w[:-1]])
        steady = (np.abs(heat_w / before - 1.0) < 0.02) & (heat_w > 0.5 * full_w)
        loop = np.where(steady, np.log(loop_w_k * fall / heat_w), np.nan)
        step = np.diff(charge_share, axis=0, prepend=charge_share[:1])
        battery = np.where(np.abs(moved_j) > 0.002 * battery_j, np.log(step * battery_j / moved_j), np.nan)
    found = np.stack([array, loop, battery])
    return found / sigma[:, None, None] + noise


def alarms(signs: Floats, time_s: Floats) -> list[Alarm]:
    """Changes of the signs, found reading by reading by Page's test on each ship and part.

    The mean and spread of the first readings are what is normal; from then on each reading, in its own deviations, goes through
    a Page-Hinkley test both ways. The first alarm of a ship counts; it is drained then.
    signs: (3, T, K) from `indicators`. time_s: (T,). Returns Alarms in order of time. Valid for noise without trend.
    References: [1] Page 1954. [2] river, arXiv 2012.04740.
    """
    from river.drift import PageHinkley  # a third of a second that runs without a watch need not pay

    found = []
    for ship in range(signs.shape[2]):
        first: Alarm | None = None
        for part, name in enumerate(PARTS):
            series = signs[part, :, ship]
            there = np.flatnonzero(np.isfinite(series))
            if there.size <= QUIET:
                continue
            normal, spread = series[there[:QUIET]].mean(), max(series[there[:QUIET]].std(), 1.0)
            test = PageHinkley(min_instances=QUIET, delta=SLACK, threshold=LIMIT, alpha=1.0, mode="both")
            for t in there:
                test.update(float(series[t] - normal) / spread)  # type: ignore[no-untyped-call]
                if test.drift_detected:
                    if first is None or time_s[t] < first.time_s:
                        first = Alarm(ship, name, float(time_s[t]))
                    break
        if first is not None:
            found.append(first)
    return sorted(found, key=lambda a: (a.time_s, a.ship))


def score(found: Sequence[Alarm], ships: Sequence[int], starts_s: Sequence[float], seen: Bools) -> Score:
    """How well alarms met degradations, one a ship at most.

    precision = true alarms / alarms, recall = degradations found / degradations that there was anything to see of. An alarm
    is true on a degrading ship from the degradation's begin on.
    ships, starts_s: of what degrades (D,). seen: (D,) whether its loss ever showed within the run. Returns Score.
    Reference: [1] Lavin and Ahmad, arXiv 1510.03336, on scoring detectors of streams.
    """
    begin = dict(zip(ships, starts_s, strict=True))
    true = [a for a in found if a.ship in begin and a.time_s >= begin[a.ship]]
    delays = tuple(a.time_s - begin[a.ship] for a in true)
    there = int(np.count_nonzero(seen))
    met = sum(1 for s, shown in zip(ships, seen, strict=True) if shown and any(a.ship == s for a in true))
    return Score(
        len(true) / len(found) if found else None, met / there if there else None, delays, len(found) - len(true)
    )
