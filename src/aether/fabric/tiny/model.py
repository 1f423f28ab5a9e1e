"""The model's arithmetic in numpy and numba: tokens of many sequences at once, each beside its own cache.

A row's result does not depend on the rows beside it: matrices are multiplied in tiles of one size, so that a request's answer
is the same alone and in a batch, to the bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from aether.fabric.tiny.weights import Adapter, Floats, Shape, Weights

Ints = NDArray[np.int64]
TILE = 16  # rows of one product: one row costs as much as sixteen, thousands a second either way
EPSILON = 1e-5  # under the root of a norm, as trained
ROTARY_BASE = 10_000.0  # Su et al. 2021, RoFormer


class Cache:
    """Keys and values of `slots` sequences, (layer, slot, position, width) each; memory is taken as it is written."""

    def __init__(self, shape: Shape, slots: int) -> None:
        size = (shape.layers, slots, shape.context, shape.width)
        self.keys: Floats = np.zeros(size, np.float32)
        self.values: Floats = np.zeros(size, np.float32)


def product(rows: Floats, matrix: Floats) -> Floats:
    """Rows times a matrix, tile by tile; a row's result is the same whatever stands beside it."""
    count = len(rows)
    padded = np.zeros((-(-count // TILE) * TILE, rows.shape[1]), np.float32)
    padded[:count] = rows
    out = np.empty((len(padded), matrix.shape[1]), np.float32)
    for start in range(0, len(padded), TILE):
        np.dot(padded[start : start + TILE], matrix, out=out[start : start + TILE])
    return out[:count]


@njit(cache=True, nogil=True)
def normed(rows, gain):  # type: ignore[no-untyped-def]
    """Rows over their root mean square, times a gain."""
    out = np.empty_like(rows)
    for n in range(rows.shape[0]):
        total = 0.0
        for i in range(rows.shape[1]):
            total += rows[n, i] * rows[n, i]
        scale = np.float32(1.0 / math.sqrt(total / rows.shape[1] + EPSILON))
        for i in range(rows.shape[1]):
            out[n, i] = rows[n, i] * scale * gain[i]
    return out


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def attended(qkv, keys, values, slots, positions, cosines, sines, heads):  # type: ignore[no-untyped-def]
    """Write rows' keys and values into the cache, then let each row attend to its sequence up to itself. Sequences' rows in order."""
    count, width = qkv.shape[0], qkv.shape[1] // 3
    head = width // heads
    half = head // 2
    query, out = np.empty((count, width), np.float32), np.zeros((count, width), np.float32)
    for n in range(count):
        s, p = slots[n], positions[n]
        for h in range(heads):
            for i in range(half):
                c, d, a, b = cosines[p, i], sines[p, i], h * head + i, h * head + half + i
                query[n, a] = qkv[n, a] * c - qkv[n, b] * d
                query[n, b] = qkv[n, b] * c + qkv[n, a] * d
                keys[s, p, a] = qkv[n, width + a] * c - qkv[n, width + b] * d
                keys[s, p, b] = qkv[n, width + b] * c + qkv[n, width + a] * d
        values[s, p] = qkv[n, 2 * width :]
    scores = np.empty(keys.shape[1], np.float32)
    scale = np.float32(1.0 / math.sqrt(head))
    for n in range(count):
        s, length = slots[n], positions[n] + 1
        for h in range(heads):
            start = h * head
            highest = np.float32(-np.inf)
            for t in range(length):
                total = np.float32(0.0)
                for i in range(head):
                    total += query[n, start + i] * keys[s, t, start + i]
                scores[t] = total * scale
                highest = max(highest, scores[t])
            whole = np.float32(0.0)
            for t in range(length):
                scores[t] = math.exp(scores[t] - highest)
                whole += scores[t]
            for t in range(length):
                share = scores[t] / whole
                for i in range(head):
                    out[n, start + i] += share * values[s, t, start + i]
    return out


@njit(cache=True, nogil=True)
def gated(gate_up):  # type: ignore[no-untyped-def]
    """SwiGLU's gate: silu of the first half times the second (Shazeer 2020)."""
    inner = gate_up.shape[1] // 2
    out = np.empty((gate_up.shape[0], inner), np.float32)
    for n in range(gate_up.shape[0]):
        for i in range(inner):
            x = gate_up[n, i]
            out[n, i] = x / (np.float32(1.0) + math.exp(-x)) * gate_up[n, inner + i]
    return out


class Model:
    """Weights beside the tables that they need."""

    def __init__(self, weights: Weights) -> None:
        self.weights, self.shape = weights, weights.shape
        head = self.shape.width // self.shape.heads
        angles = np.arange(self.shape.context)[:, None] / ROTARY_BASE ** (np.arange(0, head, 2) / head)
        self._cosines, self._sines = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)

    def hidden(
        self, tokens: Ints, slots: Ints, positions: Ints, cache: Cache, adapters: Sequence[tuple[Adapter, Ints]] = ()
    ) -> Floats:
        """Last hidden states, normed, (rows, width), of tokens that continue their slots' sequences at these positions.

        adapters: each beside the rows that it changes.
        """
        x = self.weights.embedding[tokens]
        width, inner = self.shape.width, self.shape.inner
        for n, layer in enumerate(self.weights.layers):
            h = normed(x, layer.norm_attention)
            qkv = product(h, layer.qkv)
            for i, name in enumerate("qkv"):
                _adapt(qkv[:, i * width : (i + 1) * width], h, n, name, adapters)
            y = attended(
                qkv, cache.keys[n], cache.values[n], slots, positions, self._cosines, self._sines, self.shape.heads
            )
            z = product(y, layer.o)
            _adapt(z, y, n, "o", adapters)
            x = x + z
            h = normed(x, layer.norm_inner)
            both = product(h, layer.gate_up)
            _adapt(both[:, :inner], h, n, "gate", adapters)
            _adapt(both[:, inner:], h, n, "up", adapters)
            y = gated(both)
            z = product(y, layer.down)
            _adapt(z, y, n, "down", adapters)
            x = x + z
        return normed(x, self.weights.norm)

    def logits(self, hidden: Floats) -> Floats:
        """What each hidden state expects next, (rows, vocabulary)."""
        return product(hidden, self.weights.output)


def _adapt(out: Floats, rows: Floats, layer: int, name: str, adapters: Sequence[tuple[Adapter, Ints]]) -> None:
    """Add each adapter's change to the rows that are its own, in place."""
    for adapter, at in adapters:
        down, up = adapter.parts[layer, name]
        out[at] += product(product(rows[at], down), up)
