"""One search for every crossing in time: eclipse, contact, pass, anomaly, limit; samples may come window by window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from aether.base.tables import Floats, Ints


@dataclass(frozen=True, slots=True)
class Intervals:
    """Intervals of many subjects (N,), those of one subject in order of time."""

    subject: Ints
    start_s: Floats
    end_s: Floats
    value: Floats  # the extreme reached inside


class Search:
    """The intervals in which sampled quantities are above (or below) a limit.

    limit: one for all subjects, or (K,). Crossings are placed by linear interpolation between samples, so their error is of
    second order in the step. An interval that is open at a window's end goes on in the next: the intervals are the same for
    any cut of the samples into windows. One open at the first or the last sample begins or ends there.
    """

    def __init__(self, limit: ArrayLike = 0.0, above: bool = True) -> None:
        self._sign = 1.0 if above else -1.0
        self._limit = np.asarray(limit, dtype=np.float64) * self._sign
        self._seen_s: Floats = np.empty(0)  # the last time, empty before the first window
        self._last: Floats = np.empty((0, 0))  # (K, 1) samples of that time
        self._start_s: Floats = np.empty(0)  # (K,) of the open interval, NaN without one
        self._most: Floats = np.empty(0)  # (K,) extreme of the open interval so far
        self._closed: list[Intervals] = []

    def add(self, time_s: Floats, value: Floats) -> None:
        """Go on with samples (T, K) of increasing times (T,), T at least 1."""
        samples = self._sign * np.asarray(value, dtype=np.float64).T
        first = not len(self._seen_s)
        times, most = (
            (time_s, samples) if first else (np.append(self._seen_s, time_s), np.hstack([self._last, samples]))
        )
        signed = most - np.broadcast_to(self._limit, len(most))[:, None]
        inside = signed > 0.0
        if first:
            self._start_s = np.where(inside[:, 0], times[0], np.nan)
            self._most = np.where(inside[:, 0], most[:, 0], -np.inf)
        row, edge = np.nonzero(inside[:, 1:] != inside[:, :-1])
        before, after = signed[row, edge], signed[row, edge + 1]
        cross = times[edge] - before / (after - before) * (times[edge + 1] - times[edge])
        self._pair(inside, most, row, edge, cross)
        self._seen_s, self._last = times[-1:], most[:, -1:]

    def _pair(self, inside: np.ndarray, most: Floats, row: Ints, edge: Ints, cross: Floats) -> None:
        """Join begins, those from before this window too, with ends; what has no end stays open."""
        up, going = inside[row, edge + 1], np.flatnonzero(inside[:, 0])
        owner = np.concatenate([going, row[up]])
        at = np.concatenate([np.zeros(len(going), dtype=np.int64), edge[up] + 1])  # first sample inside
        order = np.lexsort((at, owner))
        owner, at = owner[order], at[order]
        start_s = np.concatenate([self._start_s[going], cross[up]])[order]
        last = np.append(owner[1:] != owner[:-1], True)[: len(owner)]
        still = last & inside[owner, -1]
        stop = np.full(len(owner), inside.shape[1])
        stop[~still] = edge[~up] + 1
        width = inside.shape[1]
        ends = np.stack([owner * width + at, owner * width + stop], axis=1).ravel()
        reached = np.maximum.reduceat(np.append(most.ravel(), -np.inf), ends)[::2]
        reached = np.where(at == 0, np.maximum(reached, self._most[owner]), reached)
        done = Intervals(owner[~still], start_s[~still], cross[~up], self._sign * reached[~still])
        if len(done.subject):
            self._closed.append(done)
        self._start_s, self._most = np.full(len(inside), np.nan), np.full(len(inside), -np.inf)
        self._start_s[owner[still]], self._most[owner[still]] = start_s[still], reached[still]

    def found(self) -> Intervals:
        """All intervals so far, those still open ending at the last sample."""
        going = np.flatnonzero(np.isfinite(self._start_s))
        end_s = np.repeat(self._seen_s, len(going))
        left = Intervals(going, self._start_s[going], end_s, self._sign * self._most[going])
        parts = [*self._closed, left]
        return Intervals(*(np.concatenate([getattr(p, k) for p in parts]) for k in Intervals.__slots__))
