"""How a number that is not certain is spread: distributions over a range, the same wherever assumptions are drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from aether.base.provenance import Assumption
from aether.base.tables import Floats

KINDS = ("triangular", "log-triangular", "uniform", "log-uniform", "normal", "log-normal", "choice")
DECADE = 10.0  # high over low, from which an assumption's range is taken in the logarithm
TAIL = 1.2815515655446004  # standard deviations from the median to the tenth and the ninetieth percentile


@dataclass(frozen=True)
class Distribution:
    """How an input is spread: between low and high about mode; normal kinds have them as 10th and 90th percentiles.

    choices: values that are alike likely, of kind "choice".
    """

    kind: str
    low: float = 0.0
    mode: float = 0.0
    high: float = 0.0
    choices: tuple[float, ...] = ()

    def ppf(self, share: Floats) -> Floats:
        """The value below which a share of draws lies; any shape, 0 to 1."""
        u = np.asarray(share, np.float64)
        if self.kind == "choice":
            return np.array(self.choices)[np.minimum((u * len(self.choices)).astype(np.int64), len(self.choices) - 1)]
        if self.low == self.high:
            return np.full(u.shape, self.low)
        if self.kind.startswith("log-"):
            within = Distribution(self.kind[4:], math.log(self.low), math.log(self.mode), math.log(self.high))
            return np.exp(within.ppf(u))
        if self.kind == "uniform":
            return self.low + u * (self.high - self.low)
        if self.kind == "normal":
            inside = np.clip(u, 1e-9, 1.0 - 1e-9)
            spread = np.where(inside < 0.5, self.mode - self.low, self.high - self.mode) / TAIL
            return self.mode + special.ndtri(inside) * spread
        width, left = self.high - self.low, self.mode - self.low
        turn = left / width
        rising = self.low + np.sqrt(u * width * left)
        return np.where(u < turn, rising, self.high - np.sqrt((1.0 - u) * width * (self.high - self.mode)))


def about(assumption: Assumption) -> Distribution:
    """The distribution of an assumption: triangular over its range about its value, in the logarithm from a decade on."""
    low, high = assumption.range
    wide = low > 0.0 and high >= DECADE * low
    return Distribution("log-triangular" if wide else "triangular", low, min(max(assumption.value, low), high), high)
