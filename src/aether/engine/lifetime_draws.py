"""Assumptions drawn from their ranges: a stream by name, so that one more changes none of the others."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from aether.base.clock import stream
from aether.base.errors import InputError, unknown
from aether.base.provenance import Assumption
from aether.base.tables import Floats


class Draws:
    """Values of assumptions by name in every draw (D,): nominal, or drawn from the range with the nominal as median.

    Below and above the nominal with a half each, ever rarer towards the ends: x = v (e / v)^(1 - sqrt(1 - u)), e an end of the
    range; linear where an end or the nominal is not positive. known: by name.
    """

    def __init__(self, known: Mapping[str, Assumption], seed: int, count: int, ranges: bool) -> None:
        self._known, self._seed, self.count, self._ranges = known, seed, count, ranges
        self._drawn: dict[str, Floats] = {}

    def __call__(self, name: str) -> Floats:
        """Values in SI (D,); InputError for a name that is not known."""
        if name not in self._known:
            raise InputError(unknown("", "assumption", name, self._known))
        if name not in self._drawn:
            self._drawn[name] = self._draw(self._known[name])
        return self._drawn[name]

    def nominal(self, name: str) -> float:
        """The value that the catalog or the scenario gives."""
        if name not in self._known:
            raise InputError(unknown("", "assumption", name, self._known))
        return self._known[name].value

    def used(self) -> list[Assumption]:
        """All that were asked for."""
        return [self._known[name] for name in sorted(self._drawn)]

    def _draw(self, about: Assumption) -> Floats:
        low, high = about.range
        if not self._ranges or low == high:
            return np.full(self.count, about.value)
        side, way = stream(self._seed, f"lifetime/{about.name}").random((2, self.count))
        end, far = np.where(side < 0.5, low, high), 1.0 - np.sqrt(1.0 - way)
        if low > 0.0:
            return np.asarray(about.value * (end / about.value) ** far)
        return np.asarray(about.value + (end - about.value) * far)
