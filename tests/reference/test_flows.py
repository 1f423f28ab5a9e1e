"""Max-min fair rates against the textbook and against linear programs; ways over the mesh against their latency."""

import numpy as np
import pytest
from scipy.optimize import linprog

from aether.base.errors import InputError
from aether.base.tables import Links
from aether.network import flows, links, routing


def rows(paths: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    start = np.concatenate([[0], np.cumsum([len(p) for p in paths])]).astype(np.int64)
    return start, np.array([x for p in paths for x in p], np.int64)


def test_five_sessions_share_as_in_the_textbook() -> None:
    # Bertsekas and Gallager 1992, example in 6.5.2, links of capacity 1: sessions 2, 3, 5 get 1/3, session 1 gets 2/3,
    # session 4 gets 1. Link 0 carries 2, 3 and 5; link 1 carries 1 and 3; link 2 carries 4.
    start, link = rows([[1], [0], [0, 1], [2], [0]])
    rate = flows.fair(np.full(5, np.inf), start, link, np.ones(3))
    assert rate == pytest.approx([2 / 3, 1 / 3, 1 / 3, 1.0, 1 / 3], rel=1e-12)


def test_a_long_flow_shares_each_link_of_a_line_in_half() -> None:
    start, link = rows([[0, 1, 2], [0], [1], [2]])  # the parking lot
    assert flows.fair(np.full(4, np.inf), start, link, np.full(3, 10.0)) == pytest.approx([5.0] * 4)


def test_what_a_modest_flow_leaves_goes_to_the_others() -> None:
    start, link = rows([[0], [0], [0]])
    assert flows.fair(np.array([2.0, 20.0, 3.0]), start, link, np.array([10.0])) == pytest.approx([2.0, 5.0, 3.0])


def test_a_flow_without_links_gets_its_demand_and_a_dead_link_nothing() -> None:
    start, link = rows([[], [0], [1]])
    assert (flows.fair(np.array([7.0, 4.0, np.inf]), start, link, np.array([np.inf, 0.0])) == [7.0, 4.0, 0.0]).all()


def test_a_link_crossed_twice_is_charged_twice() -> None:
    start, link = rows([[0, 0], [0]])
    rate = flows.fair(np.full(2, np.inf), start, link, np.array([9.0]))
    assert rate == pytest.approx([3.0, 3.0])
    assert flows.loads(rate, start, link, 1) == pytest.approx([9.0])


def largest(cost: np.ndarray, use: np.ndarray, capacity: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    found = linprog(-cost, A_ub=use, b_ub=capacity, bounds=list(zip(low, high, strict=True)), method="highs")
    assert found.status == 0
    return np.asarray(found.x)


def oracle(demand: np.ndarray, use: np.ndarray, capacity: np.ndarray) -> np.ndarray:
    """Max-min by linear programs: raise the least open rate, then settle those that cannot rise above it."""
    count, rate = demand.size, np.full(demand.size, -1.0)
    while (rate < 0).any():
        is_open = rate < 0
        # variables: rates, then the level t; t - x_f <= 0 for open flows
        over = np.hstack([-np.diag(is_open.astype(float)), is_open[:, None].astype(float)])
        table = np.vstack([np.hstack([use, np.zeros((len(use), 1))]), over[is_open]])
        room = np.concatenate([capacity, np.zeros(is_open.sum())])
        low = np.append(np.where(is_open, 0.0, rate), 0.0)
        high = np.append(np.where(is_open, demand, rate), demand[is_open].min())
        level = largest(np.eye(count + 1)[-1], table, room, low, high)[-1]
        floor = np.where(is_open, level - 1e-9, np.maximum(rate - 1e-9, 0.0)).clip(0.0)
        for f in np.flatnonzero(is_open):
            most = largest(np.eye(count)[f], use, capacity, floor, np.where(is_open, demand, rate))[f]
            if most <= level + 1e-6:
                rate[f] = level
    return rate


@pytest.mark.parametrize("seed", range(25))
def test_rates_equal_those_of_iterated_linear_programs(seed: int) -> None:
    draw = np.random.default_rng(seed)
    count, resources = draw.integers(2, 7), draw.integers(1, 6)
    paths = [sorted(draw.choice(resources, draw.integers(1, resources + 1), False).tolist()) for _ in range(count)]
    demand, capacity = draw.uniform(0.1, 6.0, count), draw.uniform(0.5, 9.0, resources)
    use = np.array([[float(i in p) for p in paths] for i in range(resources)])
    got = flows.fair(demand, *rows(paths), capacity)
    assert got == pytest.approx(oracle(demand, use, capacity), abs=1e-5)


def test_every_mistake_in_the_input_is_told_at_once() -> None:
    with pytest.raises(InputError) as told:
        flows.fair(np.array([-1.0, 2.0]), np.array([0, 1, 3]), np.array([0, 5]), np.array([np.nan]))
    assert [p.path for p in told.value.problems] == ["start", "link", "demand_bit_s", "capacity_bit_s"]
    with pytest.raises(InputError, match="nothing limits"):
        flows.fair(np.array([np.inf]), np.array([0, 1]), np.array([0]), np.array([np.inf]))


def grid(side: int, seed: int) -> Links:
    """A torus of side x side nodes, given with either end first, some links dead."""
    draw, node = np.random.default_rng(seed), np.arange(side * side).reshape(side, side)
    ends = np.concatenate([np.stack([node, np.roll(node, -1, axis)], -1).reshape(-1, 2) for axis in (0, 1)])
    ends = np.where(draw.random((len(ends), 1)) < 0.5, ends, ends[:, ::-1])
    range_m = draw.uniform(5e5, 4e6, len(ends))
    return Links(ends[:, 0], ends[:, 1], range_m, np.ones(len(ends)), (draw.random(len(ends)) > 0.1).astype(float))


def test_ways_chain_from_source_to_target_and_their_links_add_up_to_the_latency() -> None:
    table, source = grid(12, 3), np.array([0, 77])
    mesh = routing.mesh(144, table)
    latency_s = routing.fields(mesh, source).latency_s
    row, target = np.repeat([0, 1], 144), np.tile(np.arange(144), 2)
    start, link = flows.walk(mesh, latency_s, row, target)
    edge, back = np.divmod(link, 2)
    tail, head = np.where(back, table.b[edge], table.a[edge]), np.where(back, table.a[edge], table.b[edge])
    assert (table.alive[edge] > 0).all()
    for p in range(row.size):
        own = slice(start[p], start[p + 1])
        chain = [int(source[row[p]]), *head[own].tolist()]
        assert tail[own].tolist() == chain[:-1]
        assert chain == routing.path(mesh, latency_s[row[p]], int(target[p]))
        time_s = (table.range_m[edge[own]] / links.LIGHT_M_S).sum()
        assert time_s == pytest.approx(float(latency_s[row[p], target[p]]), abs=1e-6)


def test_an_unreachable_target_and_the_source_itself_have_no_links() -> None:
    table = Links(np.array([0]), np.array([1]), np.array([1e6]), np.ones(1), np.ones(1))
    mesh = routing.mesh(3, table)
    start, link = flows.walk(mesh, routing.fields(mesh, np.array([1])).latency_s, np.zeros(3, int), np.arange(3))
    assert start.tolist() == [0, 1, 1, 1]
    assert link.tolist() == [1]  # from 1 to 0: back along edge 0
