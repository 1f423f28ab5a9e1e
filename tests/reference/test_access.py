"""Round trips against published ones, on shells of exact circles."""

import numpy as np
import pytest

from aether.base.tables import Access, Fields, Links
from aether.network import access, links, routing, topology
from aether.scenario.catalog import packaged
from constellation import EARTH, LASER, MU, circles, shell

# Hypatia calls this shell 550 km, but its elements' 15.19 revolutions a day (main_starlink_550.py) are at 509 km
HYPATIA_S1_M = (MU * (86_400.0 / 15.19 / 2.0 / np.pi) ** 2) ** (1.0 / 3.0) - EARTH


def place(latitude_deg: float, longitude_deg: float) -> np.ndarray:
    """A place on the WGS 84 ellipsoid."""
    latitude, longitude = np.radians(latitude_deg), np.radians(longitude_deg)
    squash = 6.69437999014e-3
    prime = EARTH / np.sqrt(1.0 - squash * np.sin(latitude) ** 2)
    flat = prime * np.cos(latitude)
    return np.array([flat * np.cos(longitude), flat * np.sin(longitude), prime * (1 - squash) * np.sin(latitude)])


def visible(places_m: list[np.ndarray], nodes_m: np.ndarray, slant_limit_m: float) -> Access:
    """Access by slant range alone, the field's usual rule."""
    starts, seen, slants = [0], [], []
    for spot in places_m:
        slant = np.linalg.norm(nodes_m - spot, axis=1)
        near = np.flatnonzero(slant <= slant_limit_m)
        starts.append(starts[-1] + near.size)
        seen.append(near)
        slants.append(slant[near])
    return Access(np.array(starts), np.concatenate(seen), np.concatenate(slants))


def hour_of_trips(
    planes: int, slots: int, inclination_deg: float, altitude_m: float, slant_m: float, ends: list[np.ndarray],
    step_s: float, hours: float = 1.0,
) -> np.ndarray:  # fmt: skip
    """Propagation round trips [ms] over an hour or more."""
    elements = shell(planes, slots, inclination_deg)
    pairs = topology.plus_grid_unshifted(elements, circles(elements, altitude_m, 0.0), np.inf)
    trips = []
    for time_s in np.arange(0.0, hours * 3600.0, step_s):
        nodes_m = circles(elements, altitude_m, time_s)
        mesh = routing.mesh(planes * slots, topology.links(nodes_m, pairs, LASER))
        seen = visible(ends, nodes_m, slant_m)
        field = access.place_fields(mesh, seen, np.array([0]))[0]
        trips.append(1e3 * access.round_trip(mesh, field, seen, 1).propagation_s)
    return np.array(trips)


NEW_YORK, LONDON = place(40.7170, -74.0037), place(51.5074, -0.1278)
ISTANBUL, NAIROBI = place(41.0190, 28.9650), place(-1.2833, 36.8167)
RIO, PETERSBURG = place(-22.9028, -43.2075), place(59.9386, 30.3141)


def test_new_york_to_london_matches_hypatia() -> None:
    trips = hour_of_trips(72, 22, 53.0, HYPATIA_S1_M, 1_089.7e3, [NEW_YORK, LONDON], 5.0)
    # Hypatia's own elements and distances, Starlink S1, 200 s: min 42.20, mean 43.59, max 46.17 ms
    assert trips.min() == pytest.approx(42.20, abs=0.5)
    assert trips.mean() == pytest.approx(43.59, abs=0.5)
    assert trips.max() == pytest.approx(46.17, abs=0.5)


def test_istanbul_to_nairobi_matches_hypatia() -> None:
    trips = hour_of_trips(34, 34, 51.9, 630e3, 1_260e3, [ISTANBUL, NAIROBI], 20.0, hours=10.0)
    # Hypatia's own elements and distances, Kuiper K1, 200 s: min 46.93, mean 60.09, max 69.54 ms; the short
    # branch (46 ms) comes for a tenth of the time only, so an hour may miss it: ten hours here
    assert trips.min() == pytest.approx(46.93, abs=3.0)
    assert trips.mean() == pytest.approx(60.09, abs=3.0)


def test_rio_to_petersburg_depends_on_the_visibility_rule() -> None:
    # one instant of Hypatia's W1: 127 ms with 1,090 km slant range and 87 ms with 1,301 km
    strict = hour_of_trips(72, 22, 53.0, HYPATIA_S1_M, 1_089.7e3, [RIO, PETERSBURG], 60.0)
    loose = hour_of_trips(72, 22, 53.0, HYPATIA_S1_M, 1_301e3, [RIO, PETERSBURG], 60.0)
    assert strict.min() < 127.0 < strict.max()
    assert loose.min() == pytest.approx(87.0, abs=1.0)
    assert loose.mean() < strict.mean() - 20.0


def test_slant_limit_at_25_degrees_is_the_true_one() -> None:
    assert float(access.slant_limit(550e3, np.radians(25.0))) == pytest.approx(1_123.4e3, abs=100.0)  # closed form


def small() -> tuple[routing.Mesh, Access, np.ndarray]:
    """Two relays 3,000 km apart, a ship 1,000 km beyond; places under the first relay and under the ship, one blind."""
    nodes_m = np.array([[7.0e6, 0.0, 0.0], [7.0e6, 3.0e6, 0.0], [7.0e6, 4.0e6, 0.0]])
    table = topology.links(nodes_m, np.array([[0, 1], [1, 2]]), LASER)
    seen = Access(np.array([0, 1, 3, 3]), np.array([0, 1, 2]), np.array([600e3, 1_500e3, 600e3]))
    return routing.mesh(3, table), seen, nodes_m


def test_reach_takes_a_ship_in_view_only_where_it_serves_the_ground() -> None:
    mesh, seen, _ = small()
    fields = routing.fields(mesh, np.array([2]))
    open_s = access.reach(seen, fields)
    shut_s = access.reach(seen, fields, ground=np.array([True, True, False]))
    light = links.LIGHT_M_S
    assert open_s[:, 0] == pytest.approx([4_600e3 / light, 600e3 / light, np.inf], rel=1e-6)
    assert shut_s[1, 0] == pytest.approx(2_500e3 / light, rel=1e-6)


def test_a_gateway_reaches_for_its_neighbours_by_fibre() -> None:
    mesh, seen, _ = small()
    gateways = access.reach(seen, routing.fields(mesh, np.array([2])))
    fibre_s = np.array([[0.004, 0.001, 0.0]])
    gateway, kept_s = access.local_gateways(fibre_s, most=2)
    assert gateway.tolist() == [[2, 1]]
    both = access.through(gateways, gateway, kept_s)
    assert both[0, 0] == pytest.approx(0.001 + 600e3 / links.LIGHT_M_S, rel=1e-6)


def test_delivered_round_trip_adds_what_the_assumptions_say() -> None:
    mesh, seen, _ = small()
    field = access.place_fields(mesh, seen, np.array([0]))[0]
    probe = access.round_trip(mesh, field, seen, 1, before=(0,), ground=np.array([True, True, False]))
    paid = access.overheads(packaged())
    assert probe.propagation_s == pytest.approx(2 * 5_100e3 / links.LIGHT_M_S, rel=1e-6)
    extra = 2 * paid.scheduling.value + paid.queue.value + 4 * paid.processing.value
    assert probe.delivered_s - probe.propagation_s == pytest.approx(extra, abs=1e-9)
    assert (probe.nodes, probe.hops, probe.changed, probe.outage) == ((0, 1), 1, True, False)
    assert access.round_trip(mesh, field, seen, 2).outage
    assert access.ship_round_trip(mesh, field, 2).nodes == (0, 1, 2)


def test_cells_have_equal_area_and_coverage_counts_every_sample() -> None:
    latitude, longitude = access.cells(500)
    assert np.mean(np.abs(np.sin(latitude)) < 0.5) == pytest.approx(
        0.5, abs=0.01
    )  # half the globe lies below 30 degrees
    hour = np.mod(12.0 + np.degrees(longitude) / 15.0, 24.0)
    latency = np.where(latitude > 0.0, np.float32(0.02), np.float32(np.inf))
    sums = access.accumulate(access.coverage(), latitude, hour, latency, 0.1)
    assert sums.samples.sum() == 500
    assert sums.covered[9:].sum() == sums.samples[9:].sum()
    assert sums.covered[:9].sum() == 0
    assert sums.latency_s.sum() == pytest.approx(0.02 * sums.covered.sum(), rel=1e-6)


def random_access(draw: np.random.Generator, places: int, satellites: int) -> Access:
    count = draw.integers(0, 6, places)
    start = np.concatenate([[0], np.cumsum(count)])
    return Access(start, draw.integers(0, satellites, start[-1]), draw.uniform(5e5, 2e6, start[-1]))


@pytest.mark.parametrize("ships", [1, 2, 17, 50])
def test_reach_is_the_least_over_satellites_seen(ships: int) -> None:
    draw = np.random.default_rng(ships)
    seen, field = random_access(draw, 40, 33), draw.uniform(0.0, 0.2, (ships, 33)).astype(np.float32)
    field[:, 5] = np.inf
    ground = draw.random(33) < 0.8
    got = access.reach(seen, Fields(np.arange(ships), field), ground)
    for g in range(40):
        row = slice(seen.start[g], seen.start[g + 1])
        slant_s = np.where(ground[seen.satellite[row]], seen.slant_m[row] / links.LIGHT_M_S, np.inf)
        want = (field[:, seen.satellite[row]] + slant_s).min(axis=1, initial=np.inf)
        assert np.allclose(got[g], want, rtol=1e-6, atol=0.0)


def test_fields_of_places_are_the_least_over_satellites_seen() -> None:
    draw, nodes = np.random.default_rng(9), 30
    seen = random_access(draw, 12, nodes)
    ring = np.stack([np.arange(nodes), (np.arange(nodes) + 1) % nodes], axis=1)
    table = Links(ring[:, 0], ring[:, 1], draw.uniform(5e5, 2e6, nodes), np.ones(nodes), np.ones(nodes))
    mesh, ground = routing.mesh(nodes, table), draw.random(nodes) < 0.7
    places = np.array([7, 0, 11, 7])
    got = access.place_fields(mesh, seen, places, ground)
    each = routing.fields(mesh, np.arange(nodes)).latency_s
    for k, place in enumerate(places.tolist()):
        row = slice(seen.start[place], seen.start[place + 1])
        slant_s = np.where(ground[seen.satellite[row]], seen.slant_m[row] / links.LIGHT_M_S, np.inf)
        want = (each[seen.satellite[row]] + slant_s[:, None]).min(axis=0, initial=np.inf)
        assert np.allclose(got[k], want, rtol=1e-6, atol=0.0)


def test_a_trip_is_the_least_of_own_terminal_provider_and_fibre():
    rng = np.random.default_rng(4)
    places, ships, sites, gates = 40, 9, 3, 12
    own, reach = (rng.uniform(0.005, 0.1, (n, ships + sites)).astype(np.float32) for n in (places, gates))
    own[rng.random(own.shape) < 0.3] = np.inf
    reach[rng.random(reach.shape) < 0.3] = np.inf
    near = access.local_gateways(rng.uniform(0.001, 0.05, (places, gates)))
    fibre = rng.uniform(0.01, 0.2, (places, sites))
    for gateways, own_extra, local_extra in ((reach, 0.02, 0.01), (reach[:0], 0.0, 0.3)):
        trip, by_fibre = access.trips(own, gateways, near, fibre, own_extra, local_extra)
        up = access.through(gateways, *near) if len(gateways) else np.full_like(own, np.inf)
        up[:, ships:] = np.inf
        along = np.full(own.shape, np.inf)
        along[:, ships:] = fibre + local_extra
        ways = np.stack([2.0 * own + own_extra, 2.0 * up + local_extra, along])
        assert trip == pytest.approx(ways.min(axis=0), rel=1e-6)
        assert (by_fibre == (np.isfinite(along) & (along <= ways.min(axis=0)))).all()


def test_both_lists_of_places_stand_one_after_the_other():
    first, second = (
        Access(np.array(s), np.array(v), np.array(d))
        for s, v, d in (([0, 2, 2], [4, 1], [1.0, 2.0]), ([0, 1], [3], [5.0]))
    )
    made = access.both(first, second)
    assert (made.start.tolist(), made.satellite.tolist(), made.slant_m.tolist()) == (
        [0, 2, 2, 3],
        [4, 1, 3],
        [1.0, 2.0, 5.0],
    )
