"""What must hold of any mesh."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from aether.base.tables import Elements
from aether.network import handover, links, topology

RADIUS_M = 6_928e3


def fleet(seed: int, planes: int, most: int) -> tuple[Elements, np.ndarray]:
    """Planes of random count and spacing, a few relays in none."""
    draw = np.random.default_rng(seed)
    counts = draw.integers(1, most + 1, planes)
    plane = np.repeat(np.arange(planes), counts)
    slot = np.concatenate([np.arange(n) for n in counts])
    zero = np.zeros(plane.size)
    node, tilt = draw.uniform(0, 2 * np.pi, planes)[plane], zero + 0.9
    u = draw.uniform(0, 2 * np.pi, plane.size)
    plane = np.where(draw.random(plane.size) < 0.1, -1, plane)
    spots = RADIUS_M * np.stack(
        [
            np.cos(u) * np.cos(node) - np.sin(u) * np.cos(tilt) * np.sin(node),
            np.cos(u) * np.sin(node) + np.sin(u) * np.cos(tilt) * np.cos(node),
            np.sin(u) * np.sin(tilt),
        ],
        axis=1,
    )
    return Elements(zero, zero, zero, tilt, node, zero, u, zero, plane, slot, plane * 0), spots


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000), planes=st.integers(1, 8), most=st.integers(1, 9), terminals=st.integers(0, 4),
    name=st.sampled_from(["plus-grid", "plus-grid-unshifted", "nearest"]),
)  # fmt: skip
def test_no_relay_holds_more_links_than_terminals_and_none_twice(
    seed: int, planes: int, most: int, terminals: int, name: str
) -> None:
    elements, spots = fleet(seed, planes, most)
    count = len(spots)
    pairs = topology.topologies[name](elements, spots, 6_000e3, terminals)
    assert np.bincount(pairs.ravel(), minlength=count).max() <= terminals
    assert (pairs[:, 0] < pairs[:, 1]).all()
    assert len({tuple(pair) for pair in pairs.tolist()}) == len(pairs)
    again = topology.topologies[name](elements, spots, 6_000e3, terminals, pairs)
    assert np.bincount(again.ravel(), minlength=count).max() <= terminals


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), ships=st.integers(1, 12), terminals=st.integers(1, 3), dt=st.floats(1.0, 120.0))
def test_attachment_respects_range_spare_terminals_and_time(seed: int, ships: int, terminals: int, dt: float) -> None:
    draw = np.random.default_rng(seed)
    attached, acquiring = np.full((ships, terminals), -1), np.zeros((ships, terminals))
    spare = draw.integers(0, 3, 40)
    for _ in range(5):
        points = draw.normal(size=(40 + ships, 3))
        points *= RADIUS_M / np.linalg.norm(points, axis=1, keepdims=True)
        margin = np.inf if seed % 2 else 500e3
        before = attached.copy()
        attached, acquiring, alive = handover.attach(
            points[40:], points[:40], before, acquiring, spare, 4_000e3, 30.0, dt, margin
        )
        held = attached >= 0
        assert (np.bincount(attached[held], minlength=40) <= spare).all()
        for row in attached:
            assert len(set(row[row >= 0].tolist())) == (row >= 0).sum()
        ship = np.nonzero(held)[0]
        assert (np.linalg.norm(points[40 + ship] - points[attached[held]], axis=1) <= 4_000e3 + 1e-3).all()
        assert ((alive >= 0.0) & (alive <= 1.0)).all()
        assert (alive[~held] == 0.0).all()
        fresh = held & (attached != before)
        assert np.allclose(alive[fresh], max(0.0, 1.0 - 30.0 / dt))


def plainly(
    ship: np.ndarray, relays: np.ndarray, drift: np.ndarray | None, held: list[int], spare: np.ndarray, most: float
) -> int:
    """The relay that a free terminal takes, every one looked at."""
    best, best_score = -1, -np.inf
    for r in np.flatnonzero(spare > 0):
        gap = relays[r] - ship
        if not np.linalg.norm(gap) <= most or r in held or not links.clear(ship, relays[r]):
            continue
        score = -np.linalg.norm(gap)
        if drift is not None:
            speed, along = np.linalg.norm(drift[r]), gap @ drift[r]
            score = (np.sqrt(along**2 + speed**2 * (most**2 - gap @ gap)) - along) / speed**2
        if score > best_score:
            best, best_score = int(r), float(score)
    return best


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000), relays=st.integers(1, 300), most=st.sampled_from([3e5, 2e6, 5e6]), foresight=st.booleans(),
    shuffled=st.booleans(), gone=st.sampled_from([0.0, 0.3]),
)  # fmt: skip
def test_ships_take_the_relay_that_looking_at_every_one_finds(
    seed: int, relays: int, most: float, foresight: bool, shuffled: bool, gone: float
) -> None:
    draw = np.random.default_rng(seed)
    u = draw.permutation(np.linspace(0.0, 6.0, relays)) if shuffled else np.linspace(0.0, 6.0, relays)
    tilt = np.repeat(draw.uniform(0.0, np.pi, 5), 60)[:relays]
    spots = RADIUS_M * np.stack([np.cos(u), np.sin(u) * np.cos(tilt), np.sin(u) * np.sin(tilt)], axis=1)
    moves = 1.1e-3 * RADIUS_M * np.stack([-np.sin(u), np.cos(u) * np.cos(tilt), np.cos(u) * np.sin(tilt)], axis=1)
    ships, drift = spots[:8] * 1.01 + 1e5, moves[:8] + 100.0
    spots[draw.random(relays) < gone] = np.nan
    spare = draw.integers(0, 3, relays)
    free, none = np.full((len(ships), 2), handover.FREE), np.zeros((len(ships), 2))
    got, *_ = handover.attach(
        ships, spots, free, none, spare, most, 30.0, 60.0, drift_m_s=(drift, moves) if foresight else None
    )  # fmt: skip
    left = spare.copy()
    for k, ship in enumerate(ships):
        held: list[int] = []
        for m in range(2):
            best = plainly(ship, spots, moves - drift[k] if foresight else None, held, left, most)
            assert got[k, m] == best
            held.append(best)
            left[best] -= best >= 0
