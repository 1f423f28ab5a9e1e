"""Limits of a key: requests and tokens a minute, by token buckets."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from aether.fabric.gateway.asks import Trouble

MINUTE_S = 60.0  # of the wall's clock


@dataclass
class _Bucket:
    """So many a minute: full at first, filled evenly. It may go below zero where more was used than was taken."""

    most: int
    at_s: float
    left: float = field(init=False)

    def __post_init__(self) -> None:
        self.left = float(self.most)

    def look(self, now_s: float) -> float:
        """What is left now."""
        self.left = min(self.left + self.most * (now_s - self.at_s) / MINUTE_S, float(self.most))
        self.at_s = now_s
        return self.left

    def wait_s(self, amount: float) -> float:
        """Until so much is left; what is more than a whole bucket waits for a full one."""
        return max(min(amount, self.most) - self.left, 0.0) * MINUTE_S / self.most


class Limits:
    """What a key may still ask; None is without limit."""

    def __init__(
        self, requests_per_minute: int | None, tokens_per_minute: int | None, clock: Callable[[], float]
    ) -> None:
        """clock: steady seconds."""
        self._clock = clock
        limits = {"requests": requests_per_minute, "tokens": tokens_per_minute}
        self._buckets = {name: _Bucket(most, clock()) for name, most in limits.items() if most}

    def take(self, tokens: int) -> None:
        """Take a request of so many tokens, as far as is known before; Trouble("limited") says when to come again."""
        now_s, wanted = self._clock(), {"requests": 1, "tokens": tokens}
        for name, bucket in self._buckets.items():
            bucket.look(now_s)
            wait_s = bucket.wait_s(wanted[name])
            if wait_s > 0.0:
                text = f"Rate limit reached: {bucket.most} {name} a minute for this key. Please try again in {wait_s:.3g}s."
                raise Trouble("limited", text, code="rate_limit_exceeded", retry_after_s=wait_s)
        for name, bucket in self._buckets.items():
            bucket.left -= wanted[name]

    def settle(self, taken: int, used: int) -> None:
        """A request that took so many tokens has used so many."""
        if bucket := self._buckets.get("tokens"):
            bucket.left -= used - taken

    def headers(self) -> dict[str, str]:
        """What is left, under OpenAI's names."""
        made = {}
        for name, bucket in self._buckets.items():
            left = bucket.look(self._clock())
            made[f"x-ratelimit-limit-{name}"] = str(bucket.most)
            made[f"x-ratelimit-remaining-{name}"] = str(max(int(left), 0))
            made[f"x-ratelimit-reset-{name}"] = _span((bucket.most - left) * MINUTE_S / bucket.most)
        return made


def _span(seconds: float) -> str:
    """A time as OpenAI writes it: 20ms, 1.5s, 6m0s."""
    if seconds < 1.0:
        return f"{math.ceil(seconds * 1000.0)}ms"
    minutes, rest = divmod(seconds, 60.0)
    return f"{int(minutes)}m{rest:.3g}s" if minutes else f"{rest:.3g}s"
