"""The scenario's epoch, its grid of ticks, and named random streams."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

J2000_DAYS = 2451545.0  # Julian date of 2000-01-01T12:00:00, definition
UNIX_DAYS = 2440587.5  # Julian date of 1970-01-01T00:00:00, definition
DAY_S = 86400.0  # definition


@dataclass(frozen=True, slots=True)
class Clock:
    """A grid of ticks from an epoch.

    epoch: aware UTC datetime of second 0. step_s: length of a tick [s]. ticks: how many.
    A tick's state is taken at its middle, so that sums over ticks integrate to second order.
    """

    epoch: datetime
    step_s: float
    ticks: int

    @property
    def duration_s(self) -> float:
        """The simulated time [s]."""
        return self.step_s * self.ticks

    def julian(self) -> float:
        """Julian date of the epoch [days, UTC]."""
        return julian_date(self.epoch)

    def windows(self, most: int) -> Iterator[tuple[int, NDArray[np.float64]]]:
        """Blocks of at most `most` ticks: (index of the first tick, mid-tick times (T,) [s from epoch])."""
        for first in range(0, self.ticks, most):
            index = np.arange(first, min(first + most, self.ticks))
            yield first, (index + np.float64(0.5)) * np.float64(self.step_s)

    def times(self) -> NDArray[np.float64]:
        """Mid-tick times of the whole run (T,) [s from epoch]."""
        return (np.arange(self.ticks) + np.float64(0.5)) * np.float64(self.step_s)

    def date(self, time_s: float) -> datetime:
        """The UTC date of a time [s from epoch]."""
        return self.epoch + timedelta(seconds=time_s)


def julian_date(date: datetime) -> float:
    """Julian date [days] of an aware datetime."""
    return UNIX_DAYS + date.astimezone(UTC).timestamp() / DAY_S


def stream(seed: int, name: str) -> np.random.Generator:
    """The random stream of this name: the same for the same seed, independent of every other name."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))


def iso_date(text: str) -> datetime:
    """An aware UTC datetime of an ISO date; without a zone it is taken as UTC. Raises ValueError."""
    date = datetime.fromisoformat(text)
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
