"""What must hold of any fair allocation."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from aether.network import flows


def tangle(seed: int, count: int, resources: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    hops = draw.integers(0, 5, count)
    start = np.concatenate([[0], np.cumsum(hops)])
    link = draw.integers(0, resources, start[-1])
    demand = np.where((draw.random(count) < 0.3) & (hops > 0), np.inf, 10.0 ** draw.uniform(-3, 12, count))
    capacity = np.where(draw.random(resources) < 0.1, 0.0, 10.0 ** draw.uniform(0, 12, resources))
    return demand, start, link, capacity


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 100_000), count=st.integers(1, 60), resources=st.integers(1, 30))
def test_loads_fit_and_who_gets_less_than_asked_stands_at_a_full_link_as_the_largest(
    seed: int, count: int, resources: int
) -> None:
    demand, start, link, capacity = tangle(seed, count, resources)
    rate = flows.fair(demand, start, link, capacity)
    load = flows.loads(rate, start, link, resources)
    assert (load <= capacity * (1 + 1e-9)).all()
    assert ((rate >= 0) & (rate <= demand)).all()
    owner = np.repeat(np.arange(count), np.diff(start))
    largest = np.zeros(resources)
    np.maximum.at(largest, link, rate[owner])
    for f in np.flatnonzero(rate < demand):
        own = link[start[f] : start[f + 1]]
        full = load[own] >= capacity[own] * (1 - 1e-9)
        assert (full & (largest[own] <= rate[f] * (1 + 1e-9) + 1e-12 * capacity[own])).any()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 100_000), count=st.integers(1, 40), resources=st.integers(1, 20))
def test_the_order_of_flows_and_links_changes_nothing(seed: int, count: int, resources: int) -> None:
    demand, start, link, capacity = tangle(seed, count, resources)
    draw = np.random.default_rng(seed)
    turn, name = draw.permutation(count), draw.permutation(resources)
    paths = [name[link[start[f] : start[f + 1]]] for f in turn]
    moved = np.empty(resources)
    moved[name] = capacity
    again = flows.fair(
        demand[turn],
        np.concatenate([[0], np.cumsum([p.size for p in paths])]),
        np.concatenate(paths) if paths else link,
        moved,
    )
    np.testing.assert_allclose(again, flows.fair(demand, start, link, capacity)[turn], rtol=1e-9, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 100_000), count=st.integers(2, 40), resources=st.integers(1, 20))
def test_more_capacity_never_lowers_the_least_rate(seed: int, count: int, resources: int) -> None:
    demand, start, link, capacity = tangle(seed, count, resources)
    less = flows.fair(demand, start, link, capacity).min()
    assert flows.fair(demand, start, link, capacity * 2.0).min() >= less * (1 - 1e-9)
