"""The fabric's clock: the wall's steady time, so many times as fast, that no jump of the machine's clock moves."""

from __future__ import annotations

import time
from collections.abc import Callable

JUMP_S = 2.0  # by which the two clocks of a machine may part between two looks before it is called a jump; ours


class FabricClock:
    """Fabric time in UTC seconds.

    start_s: of this moment. speed: fabric seconds in a second. It never goes backward, and follows the steady clock alone: the
    wall's is only compared with it.
    """

    def __init__(
        self, start_s: float, speed: float = 1.0, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic
    ) -> None:  # fmt: skip
        self.start_s, self.speed, self._wall, self._steady = start_s, speed, wall, steady
        self._begun, self._skew_s = steady(), 0.0
        self._apart_s = self._wall() - self._begun

    def now(self) -> float:
        """Fabric time [s]."""
        return self.start_s + self.speed * (self._steady() - self._begun)

    def skew(self, by_s: float) -> None:
        """Let the wall's clock read otherwise from now on: an injected jump."""
        self._skew_s += by_s

    def jump(self) -> float:
        """By how much the wall's clock has jumped since the last look [s]; 0 where the two agree."""
        apart_s = self._wall() + self._skew_s - self._steady()
        by_s = apart_s - self._apart_s
        if abs(by_s) < JUMP_S:
            return 0.0
        self._apart_s = apart_s
        return by_s


def resume(last_s: float, speed: float, wall_s: float) -> float:
    """Fabric time at which a fabric that stood at `last_s` goes on: in real time as late as it is, else where it stopped."""
    return max(last_s, wall_s) if speed == 1.0 or last_s == 0.0 else last_s
