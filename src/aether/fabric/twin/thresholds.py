"""When what a host may do has changed enough to be told: whole GPUs, and edges that do not flap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aether.base.tables import Bools, Floats, Ints

SLACK = 0.01  # GPUs at clocks lower by so little count as whole ones; ours
RISE = 0.05  # of the GPUs installed: fewer coming back are not told, so that conditions do not flap; ours
NEAR = 0.97  # of a watched round trip: a host that was beyond it comes back within below this share of it; ours
STAGES = ("faults", "power", "heat", "radiation")  # what takes GPUs, in the order of `Capacity`


@dataclass(frozen=True)
class Now:
    """The hosts in one tick (H,), ships before sites."""

    time_s: float  # Unix, UTC: start of the tick
    installed: Floats
    left: Floats  # (4, H) GPUs left after each of `STAGES`, at full clocks
    lit: Floats
    gateway_share: Floats  # of the tick with a way to a gateway
    up: Bools
    paused: Bools  # chips wait inside a radiation anomaly: no GPUs are lost by that, time is

    @property
    def usable(self) -> Floats:
        """GPUs that could compute now."""
        return np.asarray(self.left[-1])

    @property
    def contact(self) -> Bools:
        """Which hosts are reached for more than half the tick."""
        return self.gateway_share > 0.5

    @property
    def limits(self) -> tuple[str, ...]:
        """What takes most of each host's GPUs; empty where next to nothing is taken."""
        taken = -np.diff(self.left, axis=0, prepend=self.installed[None, :])
        lacks = self.installed - self.usable > SLACK * self.installed
        return tuple(STAGES[n] if some else "" for n, some in zip(taken.argmax(axis=0), lacks, strict=True))


@dataclass(frozen=True)
class Told:
    """What was told of each host last (H,)."""

    gpus: Ints
    flags: Bools  # (3, H) contact, lit, up

    def differs(self, other: Told) -> Bools:
        """Which hosts are told anew."""
        return np.asarray((self.gpus != other.gpus) | (self.flags != other.flags).any(axis=0))


def tell(now: Now, before: Ints | None) -> Told:
    """What holds of the hosts now; before: GPUs told last, None at first."""
    gpus = whole(now.usable, now.installed)
    if before is not None:
        gpus = settle(before, gpus, whole(now.left[0], now.installed), now.installed)
    return Told(gpus, np.stack([now.contact, now.lit >= 0.5, now.up]))


def whole(gpus: Floats, installed: Floats) -> Ints:
    """GPUs that may run in whole numbers (H,): n = floor(min(g (1 + slack), installed))."""
    return np.floor(np.minimum(gpus * (1.0 + SLACK), installed) + 1e-9).astype(np.int64)


def settle(before: Ints, now: Ints, most: Ints, installed: Floats) -> Ints:
    """GPUs to be told (H,): fewer at once; more only in steps of 5 % of those installed, or when all that work are back.

    before: told last. now: that may run. most: that work. installed: of each host.
    """
    rises = (now - before >= RISE * installed) | (now >= most)
    return np.where((now < before) | rises, now, before)


def still_within(before: Bools | None, trip_s: Floats, limit_s: float) -> Bools:
    """Which hosts are within a round trip (H,): out as soon as it is exceeded, in again below 97 % of it."""
    if before is None:
        return trip_s <= limit_s
    return np.where(before, trip_s <= limit_s, trip_s <= NEAR * limit_s)
