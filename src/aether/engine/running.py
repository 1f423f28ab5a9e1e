"""What can be told of a run at its end though it is seen window by window: peaks, and quantiles by weight."""

from __future__ import annotations

import numpy as np

from aether.base.tables import Floats, Ints

BIN = 0.002  # width of a bin of `Spread`, relative
LEAST, MOST = 1e-4, 1e6  # ends of its scale; what lies beyond counts to the end bins


class Peak:
    """The largest value of each column (N,), and the tick that had it first."""

    def __init__(self, columns: int) -> None:
        self.value: Floats = np.full(columns, -np.inf)
        self.tick: Ints = np.zeros(columns, dtype=np.int64)

    def add(self, first: int, values: np.ndarray) -> None:
        """Go on with a window (T, N) whose first tick has this number."""
        row = values.argmax(axis=0)
        most = np.take_along_axis(values, row[None], axis=0)[0].astype(np.float64)
        higher = most > self.value
        self.value[higher], self.tick[higher] = most[higher], first + row[higher]


class Spread:
    """Values by weight in a fine logarithmic histogram: quantiles good to a bin's width, 0.2 %."""

    def __init__(self) -> None:
        self._bins = np.zeros((2, int(np.log(MOST / LEAST) / BIN) + 1))  # weight, weight x value

    def add(self, values: Floats, weight: Floats) -> None:
        """Count values (N,) with weights (N,); what is not finite or weighs nothing is left out."""
        fine = np.isfinite(values) & (weight > 0.0)
        x, w = values[fine], weight[fine]
        place = (np.log(np.clip(x, LEAST, MOST) / LEAST) / BIN).astype(np.int64)
        for row, weights in zip(self._bins, (w, w * x), strict=True):
            row += np.bincount(place, weights, len(row))

    def join(self, other: Spread) -> None:
        """Count what another has counted too."""
        self._bins += other._bins

    def quantiles(self, shares: tuple[float, ...]) -> list[float | None]:
        """The mean of the bin in which each share of the weight is reached; None where nothing weighs."""
        weight, total = self._bins
        reached = np.cumsum(weight)
        if reached[-1] <= 0.0:
            return [None] * len(shares)
        places = np.searchsorted(reached, np.array(shares) * reached[-1])
        return [float(total[p] / weight[p]) for p in places]
