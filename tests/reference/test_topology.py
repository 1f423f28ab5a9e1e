"""The mesh against counts and contact times known from elsewhere."""

import dataclasses
import itertools

import numpy as np
import pytest

from aether.base.errors import InputError
from aether.network import handover, links, topology
from constellation import EARTH, LASER, MU, circles, shell

ACQUISITION_S = 15.0


def degree(pairs: np.ndarray, count: int) -> np.ndarray:
    return np.bincount(pairs.ravel(), minlength=count)


@pytest.mark.parametrize("name", ["plus-grid", "plus-grid-unshifted"])
def test_w1_has_3168_links_and_four_terminals_each(name: str) -> None:
    elements = shell(72, 22, 53.0)
    pairs = topology.topologies[name](elements, circles(elements, 550e3, 777.0), np.inf, 4)
    assert len(pairs) == 3_168  # the field's common work: 72 x 22, +Grid
    assert (degree(pairs, 1584) == 4).all()


def test_pairs_of_a_walker_shell_do_not_change_with_time() -> None:
    elements = shell(72, 22, 53.0)
    made = [topology.plus_grid(elements, circles(elements, 550e3, t), np.inf) for t in (0.0, 911.0, 40_000.0)]
    assert all((pairs == made[0]).all() for pairs in made)


def test_seam_wraps_with_the_phasing_shift() -> None:
    elements = shell(12, 10, 53.0)
    lead = 2 * np.pi * 3 * elements.plane / 120  # Walker delta 120/12/3: 9 degrees a plane, three slots around
    turned = dataclasses.replace(elements, mean_anomaly_rad=2 * np.pi * elements.slot / 10 + lead)
    spots = circles(turned, 550e3, 0.0)
    shifted = topology.plus_grid(turned, spots, np.inf)
    seam = [(a, b) for a, b in shifted.tolist() if a < 10 and b >= 110]
    assert {(a - (b - 110)) % 10 for a, b in seam} == {3}
    lengths = [np.linalg.norm(spots[p[:, 0]] - spots[p[:, 1]], axis=1).max() for p in (
        shifted, topology.plus_grid_unshifted(turned, spots, np.inf))]  # fmt: skip
    assert lengths[0] < lengths[1]


def test_seam_of_a_star_stays_open() -> None:
    elements = shell(12, 20, 87.9)
    star = dataclasses.replace(elements, node_rad=np.pi * elements.plane / 12)
    pairs = topology.plus_grid(star, circles(star, 1_200e3, 0.0), np.inf)
    assert len(pairs) == 12 * 20 + 11 * 20


def test_three_terminals_make_a_connected_brick_wall() -> None:
    elements = shell(12, 10, 53.0)
    pairs = topology.plus_grid(elements, circles(elements, 550e3, 0.0), np.inf, 3)
    assert (degree(pairs, 120) == 3).all()
    group = np.arange(120)
    for _ in range(120):
        np.minimum.at(group, pairs[:, 0], group[pairs[:, 1]])
        np.minimum.at(group, pairs[:, 1], group[pairs[:, 0]])
    assert (group == 0).all()


def test_planes_of_unequal_count_stay_within_their_terminals_and_connected() -> None:
    whole = shell(20, 18, 53.0)
    kept = np.random.default_rng(3).random(360) > 0.2
    ragged = dataclasses.replace(whole, **{f.name: getattr(whole, f.name)[kept] for f in dataclasses.fields(whole)})
    pairs = topology.plus_grid(ragged, circles(ragged, 550e3, 0.0), 5_000e3)
    assert degree(pairs, int(kept.sum())).max() <= 4
    assert degree(pairs, int(kept.sum())).mean() > 3.5


def test_held_partners_are_kept_until_something_clearly_nearer_comes() -> None:
    whole = shell(2, 12, 53.0)
    start = dataclasses.replace(whole, mean_anomaly_rad=2 * np.pi * (whole.slot + 0.45 * whole.plane) / 12)
    moved = dataclasses.replace(whole, mean_anomaly_rad=2 * np.pi * (whole.slot + 0.55 * whole.plane) / 12)
    first = topology.plus_grid(start, circles(start, 550e3, 0.0), np.inf)
    spots = circles(moved, 550e3, 0.0)
    assert (topology.plus_grid(moved, spots, np.inf, previous=first) == first).all()
    assert not np.array_equal(topology.plus_grid(moved, spots, np.inf), first)


def test_an_unknown_topology_names_its_nearest() -> None:
    with pytest.raises(InputError, match="plus-grid"):
        topology.topologies["plus-gird"]


def follow(foresight: bool) -> tuple[list[float], float]:
    """Contacts of a dawn-dusk ring at 600 km with the 550 km shell, links up to 2,000 km: lengths [s], share alive."""
    relays, ships = shell(72, 22, 53.0), shell(1, 12, 97.8)
    attached, acquiring = np.full((12, 1), handover.FREE), np.zeros((12, 1))
    spare, since, contacts, alive = np.ones(1584, int), np.zeros(12), [], []
    for time_s in np.arange(0.0, 14_400.0, 10.0):
        here = (circles(ships, 600e3, time_s), circles(relays, 550e3, time_s))
        soon = (circles(ships, 600e3, time_s + 1.0), circles(relays, 550e3, time_s + 1.0))
        drift = (soon[0] - here[0], soon[1] - here[1]) if foresight else None
        new, acquiring, share = handover.attach(
            *here, attached, acquiring, spare, 2_000e3, ACQUISITION_S, 10.0, drift_m_s=drift
        )
        alive.append(share.mean())
        for k in np.flatnonzero(new[:, 0] != attached[:, 0]):
            if attached[k, 0] >= 0 and since[k] > 0.0:
                contacts.append(float(time_s - since[k]))
            since[k] = time_s
        attached = new
    return contacts, float(np.mean(alive))


def test_passes_over_the_heart_of_the_range_last_270_to_700_s_at_2000_km() -> None:
    relays, ships = shell(72, 22, 53.0), shell(1, 12, 97.8)
    apart = np.array(
        [
            np.linalg.norm(circles(ships, 600e3, t)[:, None] - circles(relays, 550e3, t)[None], axis=2).ravel()
            for t in np.arange(0.0, 6_000.0, 10.0)
        ]
    )
    lengths = []
    for course in apart.T[np.min(apart, axis=0) < 700e3]:
        edges = np.flatnonzero(np.diff((course < 2_000e3).astype(int)))
        for enter, leave in itertools.pairwise(edges):
            if course[enter + 1] < 2_000e3 and course[enter : leave + 1].min() < 700e3:
                lengths.append(10.0 * (leave - enter))
    low, high = np.percentile(lengths, [5, 95])
    assert low > 250.0
    assert high < 700.0


def test_choosing_the_relay_that_lasts_beats_choosing_the_nearest() -> None:
    nearest, alive_nearest = follow(False)
    lasting, alive_lasting = follow(True)
    assert np.median(lasting) > 1.5 * np.median(nearest)
    assert alive_lasting > alive_nearest


def test_acquisition_longer_than_a_tick_is_charged_over_several() -> None:
    ship, relay = np.array([[7.0e6, 0.0, 0.0]]), np.array([[7.0e6, 1.0e6, 0.0]])
    attached, acquiring = np.full((1, 1), -1), np.zeros((1, 1))
    shares = []
    for _ in range(4):
        attached, acquiring, alive = handover.attach(ship, relay, attached, acquiring, np.ones(1, int), 2e6, 25.0, 10.0)
        shares.append(float(alive[0, 0]))
    assert shares == pytest.approx([0.0, 0.0, 0.5, 1.0])


def test_a_margin_lets_a_ship_change_to_a_much_nearer_relay() -> None:
    ship = np.array([[7.0e6, 0.0, 0.0]])
    relays = np.array([[7.0e6, 1.0e6, 0.0], [7.0e6, -0.3e6, 0.0]])
    held, idle = np.zeros((1, 1), int), np.zeros((1, 1))
    keep = handover.attach(ship, relays, held, idle, np.ones(2, int), 2e6, 15.0, 60.0)[0]
    move = handover.attach(ship, relays, held, idle, np.ones(2, int), 2e6, 15.0, 60.0, margin_m=500e3)
    assert keep[0, 0] == 0
    assert move[0][0, 0] == 1
    assert move[2][0, 0] == pytest.approx(0.75)


def test_ring_pairs_close_the_ring_and_carry_node_numbers() -> None:
    ships = shell(1, 12, 97.8)
    spots = circles(ships, 600e3, 0.0)
    pairs = topology.ring_pairs(ships, spots, np.inf, 100)
    assert len(pairs) == 12
    assert (degree(pairs - 100, 12) == 2).all()
    assert topology.ring_pairs(ships, spots, 1_000e3, 100).shape == (0, 2)  # neighbours are 3,612 km apart


def test_a_link_through_the_earth_or_out_of_range_is_dead() -> None:
    radius = EARTH + 550e3
    nodes_m = radius * np.array([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [np.cos(0.2), np.sin(0.2), 0.0]])
    table = topology.links(nodes_m, np.array([[0, 1], [0, 2]]), LASER, alive=np.array([1.0, 0.5]))
    assert table.alive.tolist() == [0.0, 0.5]
    assert table.rate_bit_s[0] == 0.0
    assert table.range_m[1] == pytest.approx(2 * radius * np.sin(0.1), abs=1.0)
    short = dataclasses.replace(LASER, max_range_m=1_000e3)
    assert topology.links(nodes_m, np.array([[0, 2]]), short).alive.tolist() == [0.0]


def test_attachments_become_links_of_the_right_nodes() -> None:
    pairs, alive = handover.ship_pairs(np.array([[3, -1], [0, 2]]), np.array([[0.5, 0.0], [1.0, 0.25]]), 10)
    assert pairs.tolist() == [[3, 10], [0, 11], [2, 11]]
    assert alive.tolist() == [0.5, 1.0, 0.25]
    parts = topology.links(np.eye(3) * 7e6, np.array([[0, 1]]), LASER)
    assert len(topology.join(parts, parts).a) == 2


def test_circles_of_this_file_have_the_period_of_550_km() -> None:
    assert 2 * np.pi / np.sqrt(MU / (EARTH + 550e3) ** 3) / 60 == pytest.approx(
        95.650, abs=0.01
    )  # closed form, minutes


def test_an_absent_terminal_takes_no_relay() -> None:
    ship, relays = np.array([[7.0e6, 0.0, 0.0]]), np.array([[7.0e6, 1.0e6, 0.0], [7.0e6, -0.3e6, 0.0]])
    held = np.array([[handover.FREE, handover.ABSENT]])
    new, _, alive = handover.attach(ship, relays, held, np.zeros((1, 2)), np.ones(2, int), 2e6, 0.0, 60.0)
    assert new.tolist() == [[1, handover.ABSENT]]
    assert alive.tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize("name", ["plus-grid", "plus-grid-unshifted", "nearest"])
def test_a_relay_that_is_not_there_holds_no_link(name: str) -> None:
    elements = shell(12, 10, 53.0)
    spots = circles(elements, 550e3, 0.0)
    spots[[7, 40]] = np.nan
    pairs = topology.topologies[name](elements, spots, 6_000e3, 4)
    assert not np.isin(pairs, [7, 40]).any()
    assert len(pairs) > 200


def test_relays_without_a_plane_take_the_nearest() -> None:
    elements = shell(12, 10, 53.0)
    loose = dataclasses.replace(elements, plane=np.where(np.arange(120) % 10 == 3, -1, elements.plane))
    pairs = topology.plus_grid(loose, circles(elements, 550e3, 0.0), 6_000e3)
    assert np.isin(np.flatnonzero(loose.plane < 0), pairs).all()


def test_a_relay_outside_the_field_of_view_is_not_taken_and_one_that_leaves_it_is_let_go() -> None:
    ship = np.array([[7.0e6, 0.0, 0.0]])
    relays = np.array([[6.9e6, 1.0e6, 0.0], [7.6e6, 0.5e6, 0.0]])  # one below the ship, one above it
    free, none, spare = np.full((1, 1), handover.FREE), np.zeros((1, 1)), np.ones(2, np.int64)
    down, wide = np.array([[-1.0, 0.0, 0.0]]), np.array([np.pi])
    anything, *_ = handover.attach(ship, relays, free, none, spare, 5e6, 0.0, 60.0, view=(down, wide))
    assert anything[0, 0] == 1  # the nearer
    below, *_ = handover.attach(ship, relays, free, none, spare, 5e6, 0.0, 60.0, view=(down, wide / 2.0))
    assert below[0, 0] == 0
    kept, *_ = handover.attach(ship, relays, anything, none, spare, 5e6, 0.0, 60.0, view=(down, wide / 2.0))
    assert kept[0, 0] == 0
    blind, *_ = handover.attach(ship, relays, free, none, spare, 5e6, 0.0, 60.0, view=(down, wide / 20.0))
    assert blind[0, 0] == handover.FREE


def test_rings_are_turned_as_trying_every_shift_would() -> None:
    draw = np.random.default_rng(2)
    for count, holes in ((7, 0.0), (22, 0.0), (22, 0.6), (31, 0.3)):
        u_a, u_b = (np.sort(np.linspace(0, 6.2, count) + holes * draw.uniform(-0.1, 0.1, count)) for _ in range(2))
        u_b = u_b + draw.uniform(0, 6)
        a, b = draw.permutation(count), count + draw.permutation(count)
        slot = draw.integers(0, count, 2 * count)
        previous = np.stack([a, np.roll(b, -3)], axis=1)[:: 1 + count // 9]
        held = topology._partners(2 * count, previous)
        got = topology._shift((a, u_a, 0.0), (b, u_b, 0.1), slot, held)
        scores = []
        for shift in range(count):
            partner = np.roll(b, -shift)
            apart = np.abs(np.angle(np.exp(1j * (np.roll(u_b, -shift) - u_a)).mean())) / (2 * np.pi / count)
            kept = sum([x, y] in previous.tolist() for x, y in zip(a.tolist(), partner.tolist(), strict=True))
            scores.append((round(apart - 0.25 * kept / count, 3), -(slot[a] == slot[partner]).sum(), shift))
        assert got == min(scores)[2]


def test_links_have_the_length_and_sight_of_plain_formulas() -> None:
    draw = np.random.default_rng(4)
    nodes_m = draw.normal(size=(200, 3)) * 4e6 + 3e6
    pairs = draw.integers(0, 200, (5_000, 2))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    beam = dataclasses.replace(LASER, max_range_m=8e6)
    table = topology.links(nodes_m, pairs, beam)
    a, b = nodes_m[pairs[:, 0]], nodes_m[pairs[:, 1]]
    length = np.linalg.norm(b - a, axis=1)
    assert np.abs(table.range_m / length - 1.0).max() < 1e-15 * 4
    assert ((table.alive > 0) == ((length <= 8e6) & links.clear(a, b))).all()
    assert 100 < (table.alive > 0).sum() < len(pairs) - 100
