"""Where every number comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Confidence = Literal["measured", "published", "disclosed", "estimated"]


@dataclass(frozen=True, slots=True)
class Assumption:
    """A number that the answer rests on.

    value, low, high: nominal and range, SI. unit: of all three. source: where it was read. date: of the source.
    confidence: measured (flown or tested), published (paper or filing), disclosed (a company's words), estimated (ours).
    """

    name: str
    value: float
    unit: str
    source: str
    date: str = ""
    confidence: Confidence = "estimated"
    low: float | None = None
    high: float | None = None
    note: str = ""

    def __float__(self) -> float:
        return self.value

    @property
    def range(self) -> tuple[float, float]:
        """(low, high); the value itself where no range is known."""
        return (self.value if self.low is None else self.low, self.value if self.high is None else self.high)
