"""Moving a ship: delta-v, time and propellant of an electric spiral, and of a change of node by waiting.

References
[1] T. N. Edelbaum, Propulsion requirements for controllable satellites, ARS Journal 31, 1961.
[2] D. A. Vallado, Fundamentals of Astrodynamics and Applications, 2013, section 6.7.
[3] K. E. Tsiolkovsky, 1903: the rocket equation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from aether.base.errors import InputError, Problem
from aether.space.drag import EARTH_RADIUS_M, MU_M3_S2
from aether.space.orbits import node_drift

G0_M_S2 = 9.80665  # standard gravity, definition
DAY_S = 86400.0  # definition


@dataclass(frozen=True, slots=True)
class Transfer:
    """What a move takes. drift_s: of the time, spent waiting for the node."""

    delta_v_m_s: float
    duration_s: float
    propellant_kg: float
    drift_s: float


def spiral(from_m: float, to_m: float, inclination_rad: float = 0.0) -> float:
    """Delta-v of an electric spiral between circular orbits: dv^2 = v0^2 + v1^2 - 2 v0 v1 cos(pi/2 di).

    from_m, to_m: altitudes [m]; inclination_rad di: turned on the way [rad], up to 2 rad. Returns [m/s], |v0 - v1| without a
    turn. Valid for thrust far below gravity. Reference [1].
    """
    v0, v1 = (math.sqrt(MU_M3_S2 / (EARTH_RADIUS_M + h)) for h in (from_m, to_m))
    return math.sqrt(max(v0 * v0 + v1 * v1 - 2.0 * v0 * v1 * math.cos(0.5 * math.pi * abs(inclination_rad)), 0.0))


def propellant(delta_v_m_s: float, mass_kg: float, isp_s: float) -> float:
    """Propellant for a delta-v: m_p = m (1 - exp(-dv / (g0 Isp))).

    mass_kg m: before [kg]; isp_s: specific impulse [s]. Returns [kg]. Reference [3].
    """
    return -mass_kg * math.expm1(-delta_v_m_s / (G0_M_S2 * isp_s))


def transfer(
    altitude_m: float,
    to_m: float,
    mass_kg: float,
    thrust_n: float,
    isp_s: float,
    inclination_rad: float = 0.0,
    turn_rad: float = 0.0,
    node_rad: float = 0.0,
    drift_m: float | None = None,
) -> Transfer:
    """A move between circular orbits on electric thrust: altitude and inclination by a spiral, the node by drift.

    dv = `spiral` (over the drift orbit, where one is given); t = m_0 / F (1 - exp(-dv / c)) c + node / |rate_drift - rate_end|,
    c = g0 Isp. altitude_m, to_m [m]; mass_kg m_0 [kg]; thrust_n F [N]; isp_s [s]; inclination_rad: of the first orbit;
    turn_rad: added to it; node_rad: to be gained by waiting at drift_m, an altitude other than to_m.
    Returns Transfer. Raises InputError for thrust, mass or Isp that is not positive, and for a node without a drift.
    The spirals' own drift is left out, so short waits come out too long. References [1], [2], [3].
    """
    problems = [
        Problem(f"transfer.{name}", f"must be positive, got {value:g}")
        for name, value in (("mass", mass_kg), ("thrust", thrust_n), ("isp", isp_s))
        if not value > 0.0
    ]
    wait_m = to_m if drift_m is None else drift_m
    rate = node_drift(wait_m, inclination_rad + turn_rad) - node_drift(to_m, inclination_rad + turn_rad)
    if node_rad != 0.0 and rate == 0.0:
        problems.append(
            Problem("transfer.drift", "the node drifts no faster there", next="Wait at another altitude, off the pole")
        )
    if problems:
        raise InputError(problems)
    legs = spiral(altitude_m, wait_m, turn_rad) + (spiral(wait_m, to_m) if drift_m is not None else 0.0)
    used_kg = propellant(legs, mass_kg, isp_s)
    drift_s = abs(node_rad / rate) if node_rad else 0.0
    return Transfer(legs, used_kg * G0_M_S2 * isp_s / thrust_n + drift_s, used_kg, drift_s)
