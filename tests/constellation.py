"""Shells of exact circles for the network's tests, made without the code under test, and a small scenario with work."""

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


def fabric(**changes) -> dict:
    """A scenario small enough for a test, changed at dotted paths written with `__`: four ships, two sites, three workloads."""
    ring = {"ring": {"altitude": "600 km", "node_local_time": "18 h"}}
    data = {
        "name": "small", "start": "2026-06-21T00:00:00Z", "duration": "30 min", "step": "60 s", "seed": 1,
        "relays": {"shells": [{"shell": {"planes": 24, "per_plane": 22, "altitude": "550 km", "inclination": "53 deg", "odd_plane_offset": 0.5}}]},
        "ships": [{"name": "a", "ship": "ai1", "count": 4, "age": "1 year", "orbit": ring},
                  {"name": "b", "ship": "ai1", "count": 2, "age": "3 year", "orbit": ring}],
        "sites": [{"name": "dublin", "at": "Dublin", "gpus": 144}, {"name": "virginia", "at": "Washington", "gpus": 72}],
        "workloads": [
            {"name": "chat", "where": ["a", "dublin", "virginia"],
             "inference": {"model": "llama-3.3-70b", "requests": {"per_person_day": 3.0}, "patience": "2 min"}},
            {"name": "european", "jurisdictions": ["IE"],
             "inference": {"model": "llama-3.1-8b", "price": "40 USD", "requests": {"rate": "2000 1/s", "lengths": "azure-code"}}},
            {"name": "train", "where": ["b"],
             "training": {"model": "llama-3.1-8b", "tokens": 1e11, "batch": 1e6, "sync_every": 20, "checkpoint_every": "4 min"}},
        ],
        "ground": {"cities": {"largest": 20}, "coverage_cells": 0},
    }  # fmt: skip
    for path, value in changes.items():
        *steps, last = path.split("__")
        here = data
        for step in steps:
            here = here[int(step)] if isinstance(here, list) else here.setdefault(step, {})
        here[int(last) if isinstance(here, list) else last] = value
    return data
