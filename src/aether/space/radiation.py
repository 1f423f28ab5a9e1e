"""Radiation: trapped particles by place, dose behind aluminium, and what protons do to chips.

The trapped flux is NASA's AP8 and AE8 at solar minimum or maximum, tabulated offline (tools/radiation_map.py) in the
magnetic fields that the models were made with: Jensen and Cain 1960 for AP8 MIN and AE8, GSFC 12/66 at 1970 for AP8
MAX. Since then the anomaly has drifted west by 0.3 degrees a year, by which the table is turned to the year wanted.
The models are means over months, good to a factor 2; storms and solar particle events are left out.

References
[1] D. M. Sawyer, J. I. Vette, AP-8 trapped proton environment, NSSDC/WDC-A-R&S 76-06, 1976.
[2] J. I. Vette, The AE-8 trapped electron model environment, NSSDC/WDC-A-R&S 91-24, 1991.
[3] F. Fuerst et al., Temporal variations of strength and location of the South Atlantic Anomaly as measured by RXTE,
    arXiv:0902.2873, 2009: westward drift of 0.3 degrees a year at 540 km, 1996 to 2007.
[4] Particle Data Group, Passage of particles through matter; Cosmic rays, Review of Particle Physics, 2022.
[5] L. Katz, A. S. Penfold, Range-energy relations for electrons, Reviews of Modern Physics 24, 1952.
[6] R. D. Evans, The Atomic Nucleus, 1955, chapter 20 (radiation yield).
[7] Project Suncatcher, arXiv:2511.19468, 2025, section on radiation testing.
[8] D. F. Smart, M. A. Shea, A review of geomagnetic cutoff rigidities, Advances in Space Research 36, 2005.
[9] C. Zeitlin et al., Measurements of energetic particle radiation in transit to Mars, Science 340, 2013.
[10] NIST PSTAR, Stopping-power and range tables for protons.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

import numpy as np
from numba import njit

from aether.base.errors import InputError, Problem
from aether.base.tables import Dose, Floats, Ints
from aether.space.ground import geodetic

Solar = Literal["min", "max"]

RAD_MEV_G = 1.602176634e-8  # a rad is 100 erg/g; MeV/g in rad, CODATA
ALUMINIUM_G_CM3 = 2.699  # NIST material 013
YEAR_S = 365.25 * 86400.0  # Julian year, definition
DRIFT_DEG_YEAR = -0.3  # of the anomaly, west, [3]
FIELD_YEAR = {"min": 1960.0, "max": 1970.0}  # of the models' fields, [1], [3]
UPSET_MEV = 10.0  # below it protons hardly upset; JESD89B takes the same bound for nucleons
DOSE_FLOOR_RAD_S = 1e-9  # 0.03 rad a year: doses below it are interpolated linearly, above it in proportion
LEAST_SHIELDING_M = 7e-4  # the table begins at 10 MeV, which 0.63 mm stop
PROTONS_PER_RAD = 7.9e6  # per cm2 of 67 MeV protons in silicon, [7]
RAD_PER_CORRUPTION = 17.0  # silent corruption of a TPU v6e, 14.4 to 20, [7]
RAD_PER_MEMORY_ERROR = 44.0  # uncorrectable error of its memory, 203 events, [7]
RAD_PER_INTERRUPT = 5000.0  # functional interrupt of the chip, one event a 5 krad, [7]
ANOMALY_CM2_S = 10.0  # protons above 50 MeV: a hundredth of the anomaly's middle at 600 km (our choice)
HEAVY_ION_FACTOR = 2.0  # upsets by all galactic nuclei over those by their protons alone, 1.5 to 4 (estimate)
HEAVY_ION_DOSE = 5.0  # all nuclei and secondaries over protons at least ionisation; 4 to 6 from 0.33 mGy a day, [9]


@dataclass(frozen=True, slots=True)
class Environment:
    """Trapped integral fluxes on a grid of altitude, latitude and longitude: omnidirectional [1/cm2/s]."""

    solar: Solar
    altitude_m: Floats  # (A,)
    latitude_rad: Floats  # (B,), even steps from pole to pole
    longitude_rad: Floats  # (C,), even steps around, turned west by the drift
    proton_mev: Floats  # (P,) thresholds
    electron_mev: Floats  # (Q,)
    proton_log: Floats  # (P, A, B, C) log10(1 + flux)
    electron_log: Floats  # (Q, A, B, C)


@dataclass(frozen=True, slots=True)
class Shielding:
    """What `exposure` needs of an environment behind the ships' shieldings, computed once and kept across windows."""

    environment: Environment
    index: Ints  # (K,) which map each ship uses
    maps: Floats  # (U, A, B, C, 3): log10 of 1 + flux over 50 MeV, 1 + dose over its floor, 1 + flux inside


@cache
def environment(solar: Solar = "min", year: float = 2026.0) -> Environment:
    """The trapped environment of a solar phase, turned to a year.

    solar: "min" has the most protons, "max" the most electrons. year: to which the anomaly drifts from the fields of
    1960 and 1970 at 0.3 degrees a year. Good to a factor 2 in flux, some degrees in place. References [1], [2], [3].
    """
    if solar not in FIELD_YEAR:
        raise InputError(Problem("solar", f"unknown solar phase '{solar}'", next="Known: min, max"))
    with np.load(io.BytesIO(files("aether.space").joinpath("data/trapped.npz").read_bytes())) as table:
        step = float(table["step_dex"])
        drift = DRIFT_DEG_YEAR * (year - FIELD_YEAR[solar])
        return Environment(
            solar=solar,
            altitude_m=table["altitude_km"] * 1000.0,
            latitude_rad=np.radians(table["latitude_deg"]),
            longitude_rad=np.radians(table["longitude_deg"] + drift),
            proton_mev=table["proton_mev"],
            electron_mev=table["electron_mev"],
            proton_log=table[f"p_{solar}"] * step,
            electron_log=table[f"e_{solar}"] * step,
        )


# --- matter -----------------------------------------------------------------------------------------------------------


def stopping_power(energy_mev: Floats, charge: float, mass: float, excitation_ev: float) -> Floats:
    """The mass stopping power of protons by Bethe's formula [MeV cm2/g].

    S = K Z/A / beta^2 ( ln(2 m c^2 beta^2 gamma^2 / I) - beta^2 ), corrected for the largest energy transfer.

    energy_mev: kinetic [MeV], any shape. charge Z, mass A, excitation_ev I of the material. Within 4 % of [10]
    from 1 MeV, 3 % from 5 MeV, 0.5 % from 50 MeV (no shell and density corrections). References [4], [10].
    """
    electron, proton = 0.51099895, 938.27208816  # rest energies [MeV], CODATA
    gamma = 1.0 + np.asarray(energy_mev) / proton
    beta2 = 1.0 - 1.0 / gamma**2
    ratio = electron / proton
    most = 2.0 * electron * beta2 * gamma**2 / (1.0 + 2.0 * gamma * ratio + ratio**2)
    inside = 2.0 * electron * beta2 * gamma**2 * most / (excitation_ev * 1e-6) ** 2
    return np.asarray(0.307075 * charge / mass / beta2 * (0.5 * np.log(inside) - beta2))  # K [MeV cm2/mol], [4]


def stopping_silicon(energy_mev: Floats) -> Floats:
    """The stopping power of silicon for protons [MeV cm2/g]; I = 173 eV. Reference [4]."""
    return stopping_power(energy_mev, 14.0, 28.085, 173.0)


def stopping_aluminium(energy_mev: Floats) -> Floats:
    """The stopping power of aluminium for protons [MeV cm2/g]; I = 166 eV. Reference [4]."""
    return stopping_power(energy_mev, 13.0, 26.982, 166.0)


_GRID_MEV = np.geomspace(1.0, 1000.0, 1501)
_INVERSE = 1.0 / stopping_aluminium(_GRID_MEV)
_RANGE_G_CM2 = (
    3.945e-3
    + np.concatenate(  # the range of 1 MeV, [10], and from there the integral of 1 / S
        [[0.0], np.cumsum(0.5 * (_INVERSE[1:] + _INVERSE[:-1]) * np.diff(_GRID_MEV))]
    )
)


def proton_range(energy_mev: Floats) -> Floats:
    """The range of protons in aluminium [g/cm2]: R = integral dE / S, 1 to 1000 MeV, within 2.5 % of [10].

    energy_mev: kinetic [MeV]. Reference [4].
    """
    return np.interp(energy_mev, _GRID_MEV, _RANGE_G_CM2)


def energy_before(residual_mev: Floats, shielding_m: float) -> Floats:
    """The energy outside of protons that have `residual_mev` left inside aluminium [MeV]: R(E) = R(E') + depth.

    residual_mev: [MeV], 1 to 400. shielding_m: thickness [m]. Reference [4].
    """
    depth = shielding_m * 100.0 * ALUMINIUM_G_CM3
    return np.interp(proton_range(residual_mev) + depth, _RANGE_G_CM2, _GRID_MEV)


def electron_range(energy_mev: Floats) -> Floats:
    """The practical range of electrons in aluminium [g/cm2].

    R = 0.412 E^(1.265 - 0.0954 ln E) to 2.5 MeV, 0.530 E - 0.106 above.

    energy_mev: 0.01 to 20 [MeV]. Reference [5].
    """
    energy = np.asarray(energy_mev, dtype=np.float64)
    low = 0.412 * energy ** (1.265 - 0.0954 * np.log(energy))
    return np.where(energy < 2.5, low, 0.530 * energy - 0.106)


# --- behind the shield ------------------------------------------------------------------------------------------------


def dose_rate(proton_log: Floats, electron_log: Floats, space: Environment, shielding_m: float) -> Floats:
    """The trapped dose in silicon at the middle of an aluminium sphere [rad/s] (...).

    Protons: D = k sum dF(E) S_Si(E'), E' what is left of E after the shield. Electrons: k sum dF(E) 1.5 (1 - t / R(E)).
    Bremsstrahlung: k sum dF(E) / 4 E Y(E) mu exp(-mu t), Y = 6e-4 Z E / (1 + 6e-4 Z E), mu = 0.03 cm2/g.

    proton_log, electron_log: (P, ...), (Q, ...) log10(1 + flux [1/cm2/s]). shielding_m: thickness [m]. A solid sphere,
    straight tracks, no nuclear interactions (which take 10 % at 10 mm); electrons to a factor 3, which matters only
    below 4 mm. References [4], [5], [6].
    """
    residual = np.geomspace(1.0, 400.0, 48)
    proton = _flux_above(energy_before(residual, shielding_m), space.proton_mev, proton_log)
    middle = np.sqrt(residual[1:] * residual[:-1])
    ions = np.tensordot(stopping_silicon(middle), proton[:-1] - proton[1:], axes=1)
    energy = np.geomspace(space.electron_mev[0], space.electron_mev[-1], 24)
    electron = _flux_above(energy, space.electron_mev, electron_log)
    electron = np.concatenate([electron[:-1] - electron[1:], electron[-1:]])  # the last holds all above it
    depth = shielding_m * 100.0 * ALUMINIUM_G_CM3
    through = 1.5 * np.maximum(0.0, 1.0 - depth / electron_range(energy))  # MeV cm2/g at least ionisation, [4]
    yielded = 6e-4 * 13.0 * energy / (1.0 + 6e-4 * 13.0 * energy)
    photons = 0.25 * energy * yielded * 0.03 * math.exp(-0.03 * depth)  # mu_en of Al and Si near 0.5 MeV, NIST
    return np.asarray(RAD_MEV_G * (ions + np.tensordot(through + photons, electron, axes=1)))


def _flux_above(energy_mev: Floats, grid_mev: Floats, log_flux: Floats) -> Floats:
    """Integral fluxes (E, ...) at energies, log10(1 + flux) linear in log energy; none above the table's end."""
    place = np.interp(np.log(energy_mev), np.log(grid_mev), np.arange(len(grid_mev)))
    low = np.minimum(place.astype(np.int64), len(grid_mev) - 2)
    share = (place - low).reshape((-1,) + (1,) * (log_flux.ndim - 1))
    flux = np.expm1(math.log(10.0) * (log_flux[low] * (1.0 - share) + log_flux[low + 1] * share))
    return np.asarray(np.where((energy_mev < grid_mev[-1]).reshape(share.shape), flux, 0.0))


def prepare(space: Environment, shielding_m: Floats) -> Shielding:
    """The environment's maps behind the ships' shieldings.

    space: the environment. shielding_m: aluminium equivalent of each ship (K,) [m], at least 0.7 mm, since the table
    begins at 10 MeV. Raises InputError below. Returns a record for `exposure`. References [1], [2], [4].
    """
    if len(shielding_m) and float(np.min(shielding_m)) < LEAST_SHIELDING_M:
        thin = float(np.min(shielding_m)) * 1000.0
        raise InputError(
            Problem("shielding", f"{thin:g} mm of aluminium is too thin", next="At least 0.7 mm is modelled")
        )
    different, index = np.unique(np.round(shielding_m, 5), return_inverse=True)
    outside = _log_at(space, 50.0)
    maps = np.zeros((len(different), *outside.shape, 3))
    for number, thickness in enumerate(different):
        above = float(energy_before(np.array([UPSET_MEV]), float(thickness))[0])
        dose = dose_rate(space.proton_log, space.electron_log, space, float(thickness))
        inside = _log_at(space, above)
        maps[number] = np.stack([outside, np.log10(1.0 + dose / DOSE_FLOOR_RAD_S), inside], axis=-1)
    return Shielding(environment=space, index=np.asarray(index, dtype=np.int64), maps=maps)


def _log_at(space: Environment, energy_mev: float) -> Floats:
    return np.log10(1.0 + _flux_above(np.array([energy_mev]), space.proton_mev, space.proton_log)[0])


# --- along an orbit ---------------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True, error_model="numpy")
def _interpolate(maps, index, altitudes, lat0, lat_step, lon0, lon_step, height, lat, lon, out):  # type: ignore[no-untyped-def]
    """Trilinear interpolation in altitude, latitude and longitude (which wraps), held at the altitudes' ends."""
    rows, columns, fields = maps.shape[2], maps.shape[3], maps.shape[4]
    for i in range(height.shape[0]):
        for j in range(height.shape[1]):
            h = min(max(height[i, j], altitudes[0]), altitudes[-1])
            a = min(max(np.searchsorted(altitudes, h) - 1, 0), len(altitudes) - 2)
            fa = (h - altitudes[a]) / (altitudes[a + 1] - altitudes[a])
            y = (lat[i, j] - lat0) / lat_step
            b = min(max(int(y), 0), rows - 2)
            fb = y - b
            x = (lon[i, j] - lon0) / lon_step
            whole = math.floor(x)
            fc = x - whole
            c = int(whole) % columns
            d = (c + 1) % columns
            grid = maps[index[j]]
            for f in range(fields):
                low = (1.0 - fb) * ((1.0 - fc) * grid[a, b, c, f] + fc * grid[a, b, d, f])
                low += fb * ((1.0 - fc) * grid[a, b + 1, c, f] + fc * grid[a, b + 1, d, f])
                high = (1.0 - fb) * ((1.0 - fc) * grid[a + 1, b, c, f] + fc * grid[a + 1, b, d, f])
                high += fb * ((1.0 - fc) * grid[a + 1, b + 1, c, f] + fc * grid[a + 1, b + 1, d, f])
                out[i, j, f] = (1.0 - fa) * low + fa * high


def _lookup(space: Environment, maps: Floats, index: Ints, lat: Floats, lon: Floats, height: Floats) -> Floats:
    out = np.empty((*lat.shape, maps.shape[-1]))
    lats, lons = space.latitude_rad, space.longitude_rad
    _interpolate(
        maps, index, space.altitude_m, lats[0], lats[1] - lats[0], lons[0], lons[1] - lons[0],
        np.ascontiguousarray(height), np.ascontiguousarray(lat), np.ascontiguousarray(lon), out,
    )  # fmt: skip
    return out


def flux(
    space: Environment, latitude_rad: Floats, longitude_rad: Floats, altitude_m: Floats, energy_mev: float = 50.0
) -> Floats:
    """The omnidirectional integral flux of trapped protons above an energy [1/cm2/s] (T, S).

    Linear in log10(1 + flux) between grid points of 3 by 5 degrees and 50 to 300 km.

    latitude_rad, longitude_rad: geodetic (T, S) [rad]. altitude_m: (T, S) [m], held at 300 and 2,000 km outside them.
    energy_mev: 10 to 400 [MeV]. Good to a factor 2. Reference [1].
    """
    maps = np.ascontiguousarray(_log_at(space, energy_mev)[None, ..., None])
    index = np.zeros(latitude_rad.shape[1], dtype=np.int64)
    return np.asarray(10.0 ** _lookup(space, maps, index, latitude_rad, longitude_rad, altitude_m)[..., 0] - 1.0)


def galactic_flux(fixed_m: Floats, solar: Solar = "min") -> Floats:
    """The omnidirectional flux of galactic protons that reach a place [1/cm2/s] (...).

    N(> Rc) = N0 / (1 + (Rc / R1)^1.7), cut off at Stoermer's vertical rigidity Rc = 14.9 GV cos^4(m) / r^2, m the
    magnetic latitude in the tilted dipole; times the share of the sky that the Earth leaves free.

    fixed_m: (..., 3) Earth-fixed [m]. N0 = 4 and R1 = 2.1 GV at solar minimum, 2 and 3.3 GV at maximum, so that both
    meet the flux above 10 GV, 0.26/cm2/s [4]. Good to a third. References [4], [8].
    """
    radius = np.linalg.norm(fixed_m, axis=-1)
    lat, lon = math.radians(80.65), math.radians(-72.68)  # dipole axis, IGRF-13 at 2020
    axis = np.array([math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)])
    sine = fixed_m @ axis / radius
    rigidity = 14.9 * (1.0 - sine**2) ** 2 * (6371.2e3 / radius) ** 2  # GV at the equator, [8]
    most, knee = (4.0, 2.1) if solar == "min" else (2.0, 3.3)
    free = 0.5 * (1.0 + np.sqrt(np.maximum(0.0, 1.0 - (6371.2e3 / radius) ** 2)))
    return np.asarray(free * most / (1.0 + (rigidity / knee) ** 1.7))


def cross_section(rad_per_event: float, protons_per_cm2_per_rad: float = PROTONS_PER_RAD) -> float:
    """The cross-section of a chip from a beam test [cm2].

    sigma = 1 / (dose per event x protons per cm2 and rad).

    rad_per_event: [rad]. protons_per_cm2_per_rad: 7.9e6 at 67 MeV in silicon. Reference [7].
    """
    return 1.0 / (rad_per_event * protons_per_cm2_per_rad)


def exposure(
    fixed_m: Floats,
    shielding: Shielding,
    anomaly_cm2_s: float = ANOMALY_CM2_S,
    upset_cm2: float = cross_section(RAD_PER_MEMORY_ERROR) + cross_section(RAD_PER_INTERRUPT),
    corruption_cm2: float = cross_section(RAD_PER_CORRUPTION),
) -> Dose:
    """The radiation of ships through a window.

    dose = trapped (`dose_rate`) + galactic; rate = sigma (trapped protons of 10 MeV and more inside + galactic protons
    x 2 for heavier nuclei). The galactic dose is the protons' least ionisation, 1.66 MeV cm2/g, times 5 [9].

    fixed_m: (T, K, 3) Earth-fixed positions of the ships [m]. shielding: from `prepare`, (K,). anomaly_cm2_s: flux
    above 50 MeV from which a ship counts as inside the anomaly. upset_cm2, corruption_cm2: cross-sections per chip
    [cm2]. Returns Dose (T, K). Rates to a factor 3: one beam energy, one chip. References [1], [2], [4], [7].
    """
    lat, lon, height = geodetic(fixed_m)
    found = _lookup(shielding.environment, shielding.maps, shielding.index, lat, lon, height)
    trapped, inside = 10.0 ** found[..., 0] - 1.0, 10.0 ** found[..., 2] - 1.0
    galactic = galactic_flux(fixed_m, shielding.environment.solar)
    dose = DOSE_FLOOR_RAD_S * (10.0 ** found[..., 1] - 1.0) + RAD_MEV_G * 1.66 * HEAVY_ION_DOSE * galactic
    effective = inside + HEAVY_ION_FACTOR * galactic
    return Dose(
        proton_flux_cm2_s=trapped,
        dose_rad_s=dose,
        anomaly=np.asarray(trapped >= anomaly_cm2_s),
        upset_s=upset_cm2 * effective,
        corruption_s=corruption_cm2 * effective,
    )
