"""Shells of exact circles for the network's tests, made without the code under test."""

import numpy as np

from aether.base.tables import Elements
from aether.network import links

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
