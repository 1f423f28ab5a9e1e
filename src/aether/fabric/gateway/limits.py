"""What a key may ask of the gateway in a minute: requests and tokens, each from a bucket that fills evenly."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from aether.fabric.gateway.asks import Trouble

MINUTE_S = 60.0  # definition: limits are of a minute
SLACK = 1e-6  # what rounding leaves out of a bucket that has filled: no request is refused for that


class Limits:
    """The limits of one key; None is without limit. A bucket holds a minute's worth, and is full at first."""

    def __init__(
        self,
        requests_per_minute: int | None,
        tokens_per_minute: int | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """clock: seconds, that never go back."""
        self._buckets = {
            kind: _Bucket(kind, limit, clock)
            for kind, limit in (("requests", requests_per_minute), ("tokens", tokens_per_minute))
            if limit is not None
        }

    def take(self, tokens_estimate: int) -> None:
        """Take a request and the tokens that it may come to; Trouble("limited"), and nothing taken, where there is less.

        Of two buckets that lack, the one for which waiting does not help is told, else the one that takes longer.
        """
        wanted = {"requests": 1, "tokens": tokens_estimate}
        lacks = [t for kind, bucket in self._buckets.items() if (t := bucket.lacks(wanted[kind])) is not None]
        if lacks:
            raise max(lacks, key=lambda t: math.inf if t.retry_after_s is None else t.retry_after_s)
        for kind, bucket in self._buckets.items():
            bucket.take(wanted[kind])

    def settle(self, estimate: int, real: int) -> None:
        """Put back what a request did not use of its estimate, or take what it used beyond: then the bucket owes it."""
        if "tokens" in self._buckets:
            self._buckets["tokens"].take(real - estimate)

    def headers(self) -> dict[str, str]:
        """What is left, as OpenAI's `x-ratelimit-...` headers; nothing for what has no limit."""
        made = {}
        for kind, bucket in self._buckets.items():
            made[f"x-ratelimit-limit-{kind}"] = str(bucket.limit)
            made[f"x-ratelimit-remaining-{kind}"] = str(max(0, math.floor(bucket.level() + SLACK)))
            made[f"x-ratelimit-reset-{kind}"] = duration(bucket.wait_s(bucket.limit))
        return made


def duration(time_s: float) -> str:
    """A time as OpenAI writes it, rounded up: "0s", "120ms", "1s", "6m0s", "1h0m0s"."""
    if 0.0 < time_s <= 0.999:
        return f"{math.ceil(time_s * 1e3)}ms"
    minutes, seconds = divmod(math.ceil(time_s), 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + f"{seconds}s"


class _Bucket:
    """Holds at most its limit, and fills by as much in a minute."""

    def __init__(self, kind: str, limit: int, clock: Callable[[], float]) -> None:
        self.kind, self.limit, self._clock = kind, limit, clock
        self._level, self._at_s = float(limit), clock()

    def level(self) -> float:
        """What it holds now; below zero where more was used than it held."""
        now_s = self._clock()
        self._level = min(self.limit, self._level + (now_s - self._at_s) * self.limit / MINUTE_S)
        self._at_s = now_s
        return self._level

    def wait_s(self, wanted: int) -> float:
        """Seconds until it holds so much; at most its limit may be wanted."""
        lacks = wanted - self.level()
        return lacks * MINUTE_S / self.limit if lacks > SLACK else 0.0

    def lacks(self, wanted: int) -> Trouble | None:
        """What to tell where it holds less, with the time to wait where waiting helps."""
        if wanted > self.limit:
            words = f"This request may come to {wanted} {self.kind}, and the key's limit is {self.limit} a minute."
            return Trouble("limited", words, code="rate_limit_exceeded")
        wait_s = self.wait_s(wanted)
        if not wait_s:
            return None
        words = f"The key's limit of {self.limit} {self.kind} a minute is reached; try again in {duration(wait_s)}."
        return Trouble("limited", words, code="rate_limit_exceeded", retry_after_s=wait_s)

    def take(self, count: int) -> None:
        """Take so much, less than nothing to put it back; never above its limit."""
        self._level = min(self.limit, self.level() - count)
