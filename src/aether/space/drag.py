"""Air drag: density of the upper atmosphere, force, the delta-v it asks for, lifetime, and leaving orbit.

Density is NRLMSIS 2.1 with solar flux and geomagnetic index passed in, always: the model would fetch them otherwise.
"""

from __future__ import annotations

import math

import numpy as np
import pymsis

from aether.base.tables import Floats

MU_M3_S2 = 3.986004418e14  # WGS-84
EARTH_RADIUS_M = 6378137.0  # equatorial, WGS-84
DRAG_COEFFICIENT = 2.2  # of a compact satellite in free-molecular flow, Cook 1965; 2.0 to 2.6
YEAR_S = 365.25 * 86400.0  # Julian year
FLUX_LOW, FLUX_MEAN, FLUX_HIGH = 70.0, 120.0, 200.0  # F10.7 [sfu] at minimum, through a cycle, at a strong maximum
AP_MEAN = 12.0  # through a solar cycle, GFZ Potsdam; 4 at rest, 50 in a storm
REENTRY_M = 150e3  # below this an orbit ends within a revolution or two
_POINTS = 12  # of local time and of latitude: the mean has settled to 1 %


def density(
    altitude_m: Floats | float,
    f107: float = FLUX_MEAN,
    ap: float = AP_MEAN,
    date: str = "2026-03-21T12:00",
    f107_mean: float | None = None,
) -> Floats:
    """Air density, mean over local times and over the sphere: rho = <NRLMSIS 2.1(altitude, place, date, F10.7, Ap)>.

    altitude_m [m]: any shape. f107 [sfu] of the day; f107_mean [sfu] over 81 days, the day's own if left out; ap [2 nT]
    of the day; date: UTC, for the season. Returns [kg/m3], same shape. Valid from 100 to 1,000 km; a day and place may
    be off by 30 %, a storm by more. A dawn-dusk orbit meets within a quarter of the mean.

    [1] Emmert et al. 2022, doi 10.1029/2022JA030896.
    """
    altitude = np.atleast_1d(np.asarray(altitude_m, dtype=np.float64))
    longitude = np.arange(_POINTS) * 360.0 / _POINTS
    latitude = np.degrees(np.arcsin((np.arange(_POINTS) + 0.5) / _POINTS * 2.0 - 1.0))  # equal areas
    mean = f107 if f107_mean is None else f107_mean
    found = pymsis.calculate(
        np.datetime64(date), longitude, latitude, altitude.ravel() / 1e3, [f107], [mean], [[ap] * 7], version=2.1
    )
    rho = found[..., pymsis.Variable.MASS_DENSITY].mean(axis=(0, 1, 2), dtype=np.float64)
    return rho.reshape(np.shape(altitude_m))


def force(
    altitude_m: Floats | float, density_kg_m3: Floats | float, area_m2: Floats | float,
    coefficient: float = DRAG_COEFFICIENT,
) -> Floats:  # fmt: skip
    """Drag on a circular orbit: F = rho v^2 C_d A / 2, v^2 = mu / (R + h).

    altitude_m [m], density_kg_m3 [kg/m3], area_m2 [m2] across the motion: broadcast. Returns [N]. The air is taken at
    rest; its turning with the Earth changes the force by up to 12 %, less on polar orbits.
    """
    speed2 = MU_M3_S2 / (EARTH_RADIUS_M + np.asarray(altitude_m, dtype=np.float64))
    return 0.5 * np.asarray(density_kg_m3) * speed2 * coefficient * np.asarray(area_m2)


def delta_v_per_year(
    altitude_m: Floats | float, density_kg_m3: Floats | float, area_m2: Floats | float, mass_kg: Floats | float,
    coefficient: float = DRAG_COEFFICIENT,
) -> Floats:  # fmt: skip
    """What reboost must give in a year: dv = F t / m.

    altitude_m [m], density_kg_m3 [kg/m3], area_m2 [m2], mass_kg [kg]: broadcast. Returns [m/s per year].
    """
    return force(altitude_m, density_kg_m3, area_m2, coefficient) / np.asarray(mass_kg) * YEAR_S


def lifetime(
    altitude_m: float, area_m2: float, mass_kg: float, f107: float = FLUX_MEAN, ap: float = AP_MEAN,
    coefficient: float = DRAG_COEFFICIENT,
) -> float:  # fmt: skip
    """Time for a circular orbit to decay by itself: t = integral of da / (rho sqrt(mu a) C_d A / m) from 150 km up.

    altitude_m [m], area_m2 [m2], mass_kg [kg]; f107 [sfu], ap: constant through the decay, the cycle's mean by default.
    Returns [s]. Valid as an estimate to a factor 2 over more than a solar cycle, to a factor 5 over less.

    [1] King-Hele, Satellite Orbits in an Atmosphere, 1987.
    """
    if altitude_m <= REENTRY_M:
        return 0.0
    height = np.linspace(REENTRY_M, altitude_m, max(3, math.ceil((altitude_m - REENTRY_M) / 5e3) + 1))
    ballistic = coefficient * area_m2 / mass_kg
    slow = 1.0 / (density(height, f107, ap) * np.sqrt(MU_M3_S2 * (EARTH_RADIUS_M + height)) * ballistic)
    return float(np.sum(0.5 * (slow[1:] + slow[:-1]) * np.diff(height)))


def deorbit_delta_v(altitude_m: Floats | float, perigee_m: Floats | float = 200e3) -> Floats:
    """One burn that lowers the perigee of a circular orbit: dv = v_c (1 - sqrt(2 r_p / (r_a + r_p))).

    altitude_m, perigee_m [m]: broadcast. Returns [m/s]. Impulsive: a low-thrust spiral asks for about twice as
    much (Edelbaum 1961).
    """
    high = EARTH_RADIUS_M + np.asarray(altitude_m, dtype=np.float64)
    low = EARTH_RADIUS_M + np.asarray(perigee_m, dtype=np.float64)
    return np.sqrt(MU_M3_S2 / high) * (1.0 - np.sqrt(2.0 * low / (high + low)))
