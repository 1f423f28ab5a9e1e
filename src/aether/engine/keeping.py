"""What it takes to keep a group of ships where it flies: drag, the way down, the shape of a formation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from aether.engine.assemble import Setup
from aether.space import drag, formation, motion, orbits

YEAR_S = 365.25 * 86400.0  # Julian year


def keeping(setup: Setup, number: int) -> dict[str, Any]:
    """Of one group: delta-v against drag at a quiet and an active Sun, natural life, delta-v to leave orbit, formation."""
    orbit = setup.scenario.spec.ships[number].orbit
    k = int(np.flatnonzero(setup.group == number)[0])
    area, mass = float(setup.fleet.drag_area_m2[k]), float(setup.fleet.mass_kg[k])
    altitude = orbit.altitude
    told: dict[str, Any] = {"altitude_m": altitude, "deorbit_delta_v_m_s": float(drag.deorbit_delta_v(altitude))}
    if altitude <= 1_000e3:  # where the density model is valid
        for name, flux in (("quiet", drag.FLUX_LOW), ("active", drag.FLUX_HIGH)):
            air = drag.density(altitude, flux)
            told[f"drag_delta_v_{name}_m_s_year"] = float(drag.delta_v_per_year(altitude, air, area, mass))
        told["natural_life_years"] = drag.lifetime(altitude, area, mass) / YEAR_S
    if orbit.cluster is not None:
        told["formation"] = _formation(setup, number, altitude)
    return told


def _formation(setup: Setup, number: int, altitude_m: float) -> dict[str, float]:
    """Reach and spacing of a cluster through one orbit, propagated."""
    members = np.flatnonzero(setup.group == number)
    times = np.linspace(0.0, orbits.period(altitude_m), 97)
    track = motion.propagate(setup.ships_ready, times, setup.julian)
    track = replace(track, inertial_m=track.inertial_m[:, members], velocity_m_s=track.velocity_m_s[:, members])
    told = {"radius_m": float(np.linalg.norm(formation.offsets(track), axis=-1).max())}
    pairs = formation.neighbours(len(members))
    if len(pairs):
        apart = formation.distances(track, pairs)
        told |= {"neighbour_least_m": float(apart.min()), "neighbour_most_m": float(apart.max())}
    return told
