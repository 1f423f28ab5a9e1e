"""Assumptions drawn from their ranges: a stream by name, so that one more changes none of the others."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from aether.base import spread
from aether.base.clock import stream
from aether.base.errors import InputError, unknown
from aether.base.provenance import Assumption
from aether.base.tables import Floats


class Draws:
    """Values of assumptions by name in every draw (D,): nominal, or drawn from the range.

    Drawn by `base.spread.about`. known: by name.
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

    def _draw(self, one: Assumption) -> Floats:
        low, high = one.range
        if not self._ranges or low == high:
            return np.full(self.count, one.value)
        return spread.about(one).ppf(stream(self._seed, f"lifetime/{one.name}").random(self.count))
