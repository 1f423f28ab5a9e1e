"""Round trips against published ones, on shells of exact circles."""

import numpy as np
import pytest

from aether.base.tables import Access, Elements, Fields
from aether.network import access, links, routing, topology

MU = 398_600.4418e9  # Earth, m3/s2
J2 = 1.08262668e-3
EARTH = 6_378_137.0  # m
SPIN = 7.2921159e-5  # rad/s
LASER = links.Terminal(5.0, 0.1, 1.55e-6, 0.5, 195.6, 400e9, 24, np.inf, 15.0)


def shell(planes: int, slots: int, inclination_deg: float) -> Elements:
    """A Walker delta as Hypatia lays it out: odd planes half a slot ahead."""
    plane, slot = np.divmod(np.arange(planes * slots), slots)
    zero = np.zeros(planes * slots)
    return Elements(
        epoch_s=zero, mean_motion_rad_s=zero, eccentricity=zero, perigee_rad=zero, bstar=zero,
        inclination_rad=zero + np.radians(inclination_deg), node_rad=2 * np.pi * plane / planes,
        mean_anomaly_rad=2 * np.pi * (slot + 0.5 * (plane % 2)) / slots, plane=plane, slot=slot, shell=plane * 0,
    )  # fmt: skip


def circles(elements: Elements, altitude_m: float, time_s: float) -> np.ndarray:
    """Positions on circles whose nodes drift by J2, seen from the turning Earth."""
    radius = EARTH + altitude_m
    motion = np.sqrt(MU / radius**3)
    tilt = elements.inclination_rad
    drift = -1.5 * J2 * (EARTH / radius) ** 2 * motion * np.cos(tilt)
    u = elements.mean_anomaly_rad + motion * time_s
    node = elements.node_rad + (drift - SPIN) * time_s
    x, y, z = np.cos(u), np.sin(u) * np.cos(tilt), np.sin(u) * np.sin(tilt)
    return radius * np.stack([x * np.cos(node) - y * np.sin(node), x * np.sin(node) + y * np.cos(node), z], axis=1)


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
    planes: int, slots: int, inclination_deg: float, altitude_m: float, slant_m: float, ends: list[np.ndarray], step_s: float
) -> np.ndarray:
    """Propagation round trips [ms] over an hour."""
    elements = shell(planes, slots, inclination_deg)
    pairs = topology.plus_grid_unshifted(elements, circles(elements, altitude_m, 0.0), np.inf)
    trips = []
    for time_s in np.arange(0.0, 3600.0, step_s):
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
    trips = hour_of_trips(72, 22, 53.0, 550e3, 1_089.7e3, [NEW_YORK, LONDON], 5.0)
    # Hypatia's own elements and distances, Starlink S1, 200 s: min 42.20, mean 43.59, max 46.17 ms
    assert trips.min() == pytest.approx(42.20, abs=0.5)
    assert trips.mean() == pytest.approx(43.59, abs=0.5)


def test_istanbul_to_nairobi_matches_hypatia() -> None:
    trips = hour_of_trips(34, 34, 51.9, 630e3, 1_260e3, [ISTANBUL, NAIROBI], 5.0)
    # Hypatia's own elements and distances, Kuiper K1, 200 s: min 46.93, mean 60.09, max 69.54 ms
    assert trips.min() == pytest.approx(46.93, abs=3.0)
    assert trips.mean() == pytest.approx(60.09, abs=3.0)
