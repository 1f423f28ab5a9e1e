"""Tables of numbers as text, fast: what every format here is made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from aether.base.tables import Floats

Bytes = NDArray[np.uint8]
LONGEST = 22  # bytes of a 64-bit number with sign, point and separator


def rows(
    head: NDArray[np.bytes_], values: Floats, decimals: Sequence[int], unit: Sequence[float], separator: str, end: str
) -> memoryview:
    """A table as text: each row its head, then its numbers between separators, then the end.

    text = round(value * unit * 10^decimals) with a point before the last decimals digits; half goes to even.
    head: (N,) bytes, trailing zero bytes left out. values: (N, C), finite, below 9e18 once scaled. decimals: (C,) digits
    after the point, 0 for whole numbers. unit: (C,) factor before writing, as 1e-3 from metres to kilometres.
    separator: one character. Returns the text in ASCII. Error: half a unit of the last digit. Reference: [1] decimal
    notation.
    """
    heads = np.ascontiguousarray(head).view(np.uint8).reshape(len(values), -1)
    tail = np.frombuffer(end.encode(), np.uint8)
    out = np.empty(len(values) * (heads.shape[1] + LONGEST * values.shape[1] + len(tail)), np.uint8)
    digits = np.asarray(decimals, np.int64)
    scale = 10.0**digits * np.asarray(unit, np.float64)
    filled = _rows(heads, np.ascontiguousarray(values, np.float64), digits, scale, ord(separator), tail, out)
    return out[:filled].data


@njit(cache=True, nogil=True)
def _rows(
    heads: Bytes, values: Floats, decimals: NDArray[np.int64], scale: Floats, separator: int, tail: Bytes, out: Bytes
) -> int:
    at = 0
    for i in range(values.shape[0]):
        for j in range(heads.shape[1]):
            if heads[i, j]:
                out[at] = heads[i, j]
                at += 1
        for c in range(values.shape[1]):
            if c:
                out[at] = separator
                at += 1
            at = _number(np.int64(np.rint(values[i, c] * scale[c])), decimals[c], out, at)
        for j in range(tail.size):
            out[at] = tail[j]
            at += 1
    return at


@njit(cache=True, nogil=True)
def _number(value: int, decimals: int, out: Bytes, at: int) -> int:
    """Write value / 10^decimals from `at` on; returns where it ends."""
    if value < 0:
        out[at] = 45  # minus
        at += 1
    left = np.uint64(abs(value))
    length, rest = 1, left // np.uint64(10)
    while rest:
        length += 1
        rest //= np.uint64(10)
    length = max(length, decimals + 1)
    end = at + length + (1 if decimals else 0)
    place = end - 1
    for k in range(length):
        if k == decimals and decimals:
            out[place] = 46  # point
            place -= 1
        next_ = left // np.uint64(10)
        out[place] = np.uint8(48 + (left - next_ * np.uint64(10)))
        left = next_
        place -= 1
    return end
