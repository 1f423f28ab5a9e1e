"""What a claim comes to: figures measured, a verdict that follows from them, and words that hold no figure of their own."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from aether.base.registry import Registry
from aether.results.words import said

HOLDS, HOLDS_IF, FAILS, UNTESTABLE = "holds", "holds if", "does not hold", "not testable"
VERDICTS = (HOLDS, HOLDS_IF, FAILS, UNTESTABLE)


@dataclass(frozen=True, slots=True)
class Measured:
    """One figure. key: by which words call it; value, low, high: SI, None where there is none; scenario: that measured it."""

    key: str
    what: str
    value: float | None
    unit: str
    scenario: str
    low: float | None = None
    high: float | None = None


def banded(key: str, what: str, row: Mapping[str, float], unit: str, scenario: str, scale: float = 1.0) -> Measured:
    """The median of draws with the band that was told of them, p05 to p95 or p10 to p90; scale: times which it is SI."""
    low, high = ("p05", "p95") if "p05" in row else ("p10", "p90")
    return Measured(key, what, row["p50"] * scale, unit, scenario, row[low] * scale, row[high] * scale)


def delay(key: str, what: str, row: Mapping[str, float], name: str, scenario: str) -> Measured:
    """The median of delays with their 95th percentile, of a summary's `name_p50_s` and `name_p95_s`."""
    return Measured(key, f"{what}, median and p95", row[f"{name}_p50_s"], "s", scenario, None, row[f"{name}_p95_s"])


@dataclass(frozen=True, slots=True)
class Finding:
    """A claim's verdict, in words. conditions: what it takes, or what stands against it."""

    verdict: str
    words: str
    criterion: str
    measured: tuple[Measured, ...]
    conditions: tuple[str, ...] = ()


def finding(
    verdict: str,
    words: str,
    criterion: str,
    measured: Sequence[Measured],
    limits: Mapping[str, tuple[float, str]] | None = None,
    conditions: Sequence[str] = (),
) -> Finding:
    """A Finding whose words and criterion are filled in from figures: "{served} of requests".

    words, criterion: with the keys of `measured` and of `limits`, which are pairs of value and unit. Raises KeyError for a key that
    is not among them.
    """
    told = {m.key: said(m.value, m.unit) for m in measured} | {k: said(*v) for k, v in (limits or {}).items()}
    return Finding(verdict, words.format_map(told), criterion.format_map(told), tuple(measured), tuple(conditions))


def graded(holds: bool, holds_if: bool) -> str:
    """The verdict's word of two comparisons."""
    return HOLDS if holds else HOLDS_IF if holds_if else FAILS


@dataclass(frozen=True, slots=True)
class Trial:
    """How a claim is put to the test. needs: names of the evidence that the function takes, in its order."""

    function: Callable[..., Finding]
    needs: tuple[str, ...]


TRIALS: Registry[Trial] = Registry("claim")


def claim(name: str) -> Callable[[Callable[..., Finding]], Callable[..., Finding]]:
    """Register a function as the test of a claim; its parameters are named as the evidence that it needs."""

    def register(function: Callable[..., Finding]) -> Callable[..., Finding]:
        TRIALS.add(name)(Trial(function, tuple(inspect.signature(function).parameters)))
        return function

    return register
