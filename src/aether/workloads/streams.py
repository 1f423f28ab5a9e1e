"""Streams of data: how much a sensor makes, what a buffer keeps, how old data is when it is worth something."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import ArrayLike

from aether.base.tables import Bools, Floats, Ints


class Drained(NamedTuple):
    """One tick of a buffer for each source (S,), in bits."""

    waiting: Floats  # (B, S) at the tick's end, by age in ticks: row 0 came in this tick
    taken: Floats  # (B, S) that left, by its age
    full: Floats  # (S,) lost since the buffer was full
    stale: Floats  # (S,) lost since it grew too old


def imaging_bit_s(
    swath_m: ArrayLike, ground_speed_m_s: ArrayLike, resolution_m: ArrayLike, bits: ArrayLike, bands: ArrayLike,
    compression: ArrayLike,
) -> Floats:  # fmt: skip
    """What a push-broom imager makes while it looks.

    r = w v / g^2 n b / c. swath_m: w across the track [m]. ground_speed_m_s: v of the sub-satellite point [m/s].
    resolution_m: g, ground sample distance [m]. bits: n of a pixel and band [1]. bands: b [1]. compression: c [1].
    Returns [bit/s], as the inputs broadcast. Valid for square pixels, the same in every band.
    Reference: [1] Wertz and Larson, Space Mission Analysis and Design, 3rd ed., 9.4.
    """
    lines = np.asarray(swath_m, float) * np.asarray(ground_speed_m_s, float) / np.asarray(resolution_m, float) ** 2
    return lines * np.asarray(bits, float) * np.asarray(bands, float) / np.asarray(compression, float)


def looks(sun_elevation_rad: ArrayLike, least_rad: float, duty: float) -> Floats:
    """Share of the time in which an imager takes pictures: a part of what the Sun lights.

    u = d where the Sun stands high enough over the ground below, else 0.
    sun_elevation_rad: at the sub-satellite point, any shape [rad]. least_rad: [rad]. duty: d, share of sun-lit passes
    over what is worth a picture [1]. Returns [1], shape of the elevation. Valid for optical imagers.
    Reference: [1] ESA, Sentinel-2 mission requirements: pictures of land and coasts with the Sun at 7 to 8 degrees or more.
    """
    return np.where(np.asarray(sun_elevation_rad) >= least_rad, duty, 0.0)


def flow(waiting: Floats, fresh_bit: Floats, most_bit: Floats, buffer_bit: float) -> Drained:
    """One tick of buffers: what is oldest goes first; what finds no room, or waits beyond the last row, is lost.

    Fresh data joins, up to `most_bit` leaves, and what then is more than the buffer holds is lost, the newest first, as a
    recorder without room stops to record. Nothing appears: fresh + waiting before = taken + waiting + full + stale.
    waiting: (B, S) by age in ticks before this one [bit]. fresh_bit, most_bit: (S,) [bit]. buffer_bit: [bit].
    Returns Drained. Valid for ticks short beside the time that data waits. Reference: [1] own model.
    """
    return Drained(*_flow(waiting, np.asarray(fresh_bit, float), np.asarray(most_bit, float), float(buffer_bit)))


@njit(cache=True, nogil=True)
def _flow(waiting: Floats, fresh: Floats, most: Floats, buffer: float) -> tuple[Floats, Floats, Floats, Floats]:
    ages, sources = waiting.shape
    left, taken = np.empty((ages, sources)), np.zeros((ages, sources))
    full, stale = np.zeros(sources), waiting[ages - 1].copy()
    for age in range(ages - 1, 0, -1):
        left[age] = waiting[age - 1]
    left[0] = fresh
    for s in range(sources):
        room, held = most[s], 0.0
        oldest = min(stale[s], room)  # about to grow too old: it still may go
        stale[s] -= oldest
        taken[ages - 1, s] += oldest
        room -= oldest
        for age in range(ages - 1, -1, -1):
            gone = min(left[age, s], room)
            taken[age, s] += gone
            left[age, s] -= gone
            room -= gone
            held += left[age, s]
        over = max(held - buffer, 0.0)
        for age in range(ages):
            if over <= 0.0:
                break
            gone = min(left[age, s], over)
            left[age, s] -= gone
            full[s] += gone
            over -= gone
    return left, taken, full, stale


def nearest_with_room(latency_s: Floats, allowed: Bools, asked_gpu: Floats, free_gpu: Floats) -> tuple[Ints, Floats]:
    """Which host works on each source's data, and how many GPUs it is asked for.

    Sources choose in order, each the allowed host of least latency that still has room for what it needs, or else, of those
    with any room, the one with most.
    latency_s: (S, H) [s], infinity without a path. allowed: (H,). asked_gpu: (S, H) GPUs at full clocks. free_gpu: (H,).
    Returns hosts (S,), -1 for none, and GPUs asked (S,), never above what is free. Reference: [1] own rule.
    """
    free, hosts, gpus = free_gpu.copy(), np.full(len(latency_s), -1, dtype=np.int64), np.zeros(len(latency_s))
    for s, row in enumerate(latency_s):
        open_to = np.flatnonzero(allowed & np.isfinite(row) & (free > 0.0))
        if not open_to.size:
            continue
        whole = open_to[free[open_to] >= asked_gpu[s, open_to]]
        h = whole[np.argmin(row[whole])] if whole.size else open_to[np.argmax(free[open_to])]
        hosts[s], gpus[s] = h, min(asked_gpu[s, h], free[h])
        free[h] -= gpus[s]
    return hosts, gpus
