"""Prefix caches: how much of each prompt has been read before, from the hashes of its blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike

from aether.base.errors import InputError, Problem
from aether.base.tables import Ints

BLOCK_TOKENS = 512  # of one hashed block in Mooncake's traces, arXiv 2407.00079


def hits(start: ArrayLike, block: ArrayLike, capacity: int | None = None) -> Ints:
    """Leading blocks of each request that a cache holds when it comes.

    h_i = the most k such that blocks 1 to k of request i are held. A block's hash covers all before it, so equal hashes
    mean equal prefixes. What is used goes to the front, the end of a prompt behind its beginning; what falls off the back
    of `capacity` blocks is lost (least recently used).
    start: (N + 1,) request i has blocks start[i] to start[i + 1]. block: hashes in order (B,), whole numbers. capacity: in
    blocks [1], None for a cache without end. Returns (N,) [1]. Raises InputError for arrays that do not belong together.
    Valid for one cache and requests one after another. References: [1] arXiv 2407.00079. [2] Mattson et al. 1970.
    """
    begin, hashes = np.asarray(start, np.int64), np.asarray(block, np.int64)
    problems = []
    if not begin.size or begin[0] != 0 or begin[-1] != hashes.size or (np.diff(begin) < 0).any():
        problems.append(Problem("start", f"must rise from 0 to {hashes.size:,}, the number of blocks"))
    if capacity is not None and capacity < 1:
        problems.append(Problem("capacity", f"must be one block at least, got {capacity}"))
    if problems:
        raise InputError(problems)
    names, dense = np.unique(hashes, return_inverse=True)
    most = names.size if capacity is None else min(capacity, names.size)
    return _hits(begin, dense.astype(np.int64), names.size, most)


@njit(cache=True, nogil=True)
def _hits(start: Any, block: Any, names: int, capacity: int) -> Any:
    """A ring of blocks by last use: `names` is its knot, after which the latest stands and before it the oldest."""
    after, before = np.full(names + 1, -1), np.full(names + 1, -1)
    after[names] = before[names] = names
    found, held = np.zeros(start.size - 1, np.int64), 0
    for i in range(start.size - 1):
        k = start[i]
        while k < start[i + 1] and after[block[k]] >= 0:
            k += 1
        found[i] = k - start[i]
        for j in range(start[i + 1] - 1, start[i] - 1, -1):
            b = block[j]
            if after[b] >= 0:
                after[before[b]], before[after[b]] = after[b], before[b]
            elif held == capacity:
                old = before[names]
                after[before[old]], before[names] = names, before[old]
                after[old] = before[old] = -1
            else:
                held += 1
            after[b], before[b] = after[names], names
            before[after[names]] = b
            after[names] = b
    return found


def hit_tokens(hits: ArrayLike, input_tokens: ArrayLike, block_tokens: int = BLOCK_TOKENS) -> Ints:
    """Tokens of each prompt that need not be read.

    t = min(h b, n - 1): the last token is always read, since the answer's first comes from it. hits: h, blocks [1].
    input_tokens: n [1]. block_tokens: b [1]. Returns as the inputs broadcast [1]. Valid for whole blocks.
    Reference: [1] docs.vllm.ai, automatic prefix caching.
    """
    return np.minimum(np.asarray(hits, np.int64) * block_tokens, np.asarray(input_tokens, np.int64) - 1)


def share_found(uses: ArrayLike, blocks: ArrayLike) -> float:
    """The share of all blocks that a cache without end finds, from how often blocks come.

    1 - sum n_u / sum u n_u: all but the first coming of each. uses: u, times that a block comes [1]. blocks: n_u, how many
    come so often [1], same shape. Returns [1]. Valid where a block's hash covers all before it, as in `hits`.
    Reference: [1] arXiv 2407.00079.
    """
    times, count = np.asarray(uses, float), np.asarray(blocks, float)
    return float(1.0 - count.sum() / (times * count).sum())
