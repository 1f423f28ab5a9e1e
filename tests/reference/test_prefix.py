"""Prefix caches beside a plain dictionary, and beside counts of a published trace."""

from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.base.errors import InputError
from aether.workloads import prefix


def plain(requests, capacity):
    """Least recently used, by Python's ordered dictionary."""
    cache, found = OrderedDict(), []
    for blocks in requests:
        k = 0
        while k < len(blocks) and blocks[k] in cache:
            k += 1
        found.append(k)
        for block in reversed(blocks):
            if block not in cache and len(cache) == capacity:
                cache.popitem(last=False)
            cache[block] = True
            cache.move_to_end(block)
    return found


def flat(requests):
    return np.concatenate([[0], np.cumsum([len(r) for r in requests])]), np.concatenate([*requests, []]).astype(int)


@given(st.lists(st.lists(st.integers(0, 12), max_size=6, unique=True), min_size=1, max_size=30), st.integers(1, 14))
def test_a_cache_finds_what_an_ordered_dictionary_finds(requests, capacity):
    assert prefix.hits(*flat(requests), capacity).tolist() == plain(requests, capacity)
    assert prefix.hits(*flat(requests)).tolist() == plain(requests, 10**9)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=8).flatmap(lambda d: st.lists(st.permutations(d), max_size=9)))
def test_a_cache_without_end_finds_all_but_the_first_of_each_prefix(paths):
    names: dict[tuple, int] = {}
    requests = [[names.setdefault(tuple(p[: k + 1]), len(names)) for k in range(len(p))] for p in paths]
    if not requests:
        return
    start, block = flat(requests)
    found = prefix.hits(start, block).sum()
    uses, blocks = np.unique(np.unique(block, return_counts=True)[1], return_counts=True)
    assert found / block.size == pytest.approx(prefix.share_found(uses, blocks))


def test_the_last_token_is_always_read():
    assert prefix.hit_tokens([0, 1, 2], [100, 600, 1024]).tolist() == [0, 512, 1023]


def test_nonsense_is_told():
    with pytest.raises(InputError) as told:
        prefix.hits([0, 3], [1, 2], 0)
    assert "start: must rise from 0 to 2" in str(told.value)
    assert "capacity: must be one block at least, got 0" in str(told.value)
