"""Link budgets: light between satellites, radio through rain, light through clouds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import ArrayLike

from aether.base.tables import Bools, Floats

LIGHT_M_S = 299_792_458.0  # exact, SI
PLANCK_J_S = 6.62607015e-34  # exact, SI
EARTH_MEAN_M = 6_371_008.8  # mean radius, IUGG 1980
EARTH_EQUATOR_M = 6_378_137.0  # WGS 84

GRAZING_M = 80e3  # lowest altitude of a laser link, the catalog's `link.grazing`: no refraction to speak of above


@dataclass(frozen=True, slots=True)
class Terminal:
    """A laser terminal: what goes in, what comes out, where it ends.

    aperture_m is the diameter. efficiency takes an evenly lit aperture's gain to the real one's. loss is the share of
    the light that survives optics and pointing. max_range_m is the operator's limit, over and above the budget.
    """

    power_w: float
    aperture_m: float
    wavelength_m: float
    loss: float
    photons_per_bit: float
    channel_bit_s: float
    channels: int
    max_range_m: float
    acquisition_s: float
    efficiency: float = 0.788  # 105.1 dB for 10 cm at 1.55 um, arXiv 2511.19468 4.2


def gain(aperture_m: ArrayLike, wavelength_m: ArrayLike, efficiency: ArrayLike = 1.0) -> Floats:
    """Gain of a round aperture.

    G = efficiency (pi D / lambda)^2.
    aperture_m: diameter [m]. wavelength_m: [m]. efficiency: share of an evenly lit aperture's gain, 0 to 1.
    Returns the power ratio, as the inputs broadcast. Valid for D much larger than lambda.
    Reference: [1] Balanis, Antenna Theory, 12.
    """
    return np.asarray(efficiency) * (np.pi * np.asarray(aperture_m) / np.asarray(wavelength_m)) ** 2


def friis(
    power_w: ArrayLike, gain_sent: ArrayLike, gain_received: ArrayLike, wavelength_m: ArrayLike, range_m: ArrayLike,
    loss: ArrayLike = 1.0,
) -> Floats:  # fmt: skip
    """Power received in the far field.

    P_r = P G_t G_r (lambda / (4 pi d))^2 L.
    power_w: sent [W]. gains: ratios. wavelength_m, range_m: [m]. loss: share that survives, 0 to 1.
    Returns [W], as the inputs broadcast. Valid well beyond the near field (`confocal_range`).
    Reference: [1] Friis 1946.
    """
    spread = (np.asarray(wavelength_m) / (4.0 * np.pi * np.asarray(range_m))) ** 2
    return np.asarray(power_w) * np.asarray(gain_sent) * np.asarray(gain_received) * spread * np.asarray(loss)


def confocal_range(radius_m: ArrayLike, wavelength_m: ArrayLike) -> Floats:
    """How far a beam stays as wide as its aperture.

    L = pi a^2 / lambda.
    radius_m: of the aperture [m]. wavelength_m: [m]. Returns [m]. Valid for a Gaussian beam of waist a.
    Reference: [1] Siegman, Lasers, 17.
    """
    return np.pi * np.asarray(radius_m) ** 2 / np.asarray(wavelength_m)


def divergence(aperture_m: ArrayLike, wavelength_m: ArrayLike) -> Floats:
    """Angle from the axis to the first dark ring of an evenly lit aperture.

    theta = 1.22 lambda / D.
    aperture_m: diameter [m]. wavelength_m: [m]. Returns [rad]. Valid in the far field. Reference: [1] Airy 1835.
    """
    return 1.22 * np.asarray(wavelength_m) / np.asarray(aperture_m)  # 1.22: first zero of J1 over pi


def captured(terminal: Terminal, range_m: ArrayLike) -> Floats:
    """Share of the sent light that a like terminal catches, near field and far.

    s = 1 - exp(-g), g = (G lambda / (4 pi d))^2: the light of a Gaussian beam within a round aperture, which is Friis'
    figure where that is small and never more than all of it where it is not.
    terminal: of both ends. range_m: any shape [m]. Returns the share, shape of range_m, without `loss`.
    Valid within some 10 % in the transition, where the real beam is a truncated one. Reference: [1] Siegman, Lasers,
    17.
    """
    own = gain(terminal.aperture_m, terminal.wavelength_m, terminal.efficiency)
    far = friis(1.0, own, own, terminal.wavelength_m, np.maximum(np.asarray(range_m, float), 1.0))
    return -np.expm1(-far)


def rate(terminal: Terminal, range_m: ArrayLike) -> Floats:
    """Data rate of a laser link.

    B = min(N B_channel, P_r / (h nu photons_per_bit)), 0 beyond the range limit: channels of a wavelength comb are lit
    as the budget allows, and each takes its modem's rate at most.
    terminal: of both ends. range_m: any shape [m]. Returns [bit/s], shape of range_m.
    Valid for photon-limited receivers with forward error correction. Reference: [1] arXiv 2511.19468, 4.2.
    """
    distance = np.asarray(range_m, float)
    received_w = terminal.power_w * terminal.loss * captured(terminal, distance)
    photon_j = PLANCK_J_S * LIGHT_M_S / terminal.wavelength_m
    budget = received_w / (photon_j * terminal.photons_per_bit)
    return np.where(
        distance <= terminal.max_range_m, np.minimum(budget, terminal.channels * terminal.channel_bit_s), 0.0
    )


def sight_range(altitude_a_m: ArrayLike, altitude_b_m: ArrayLike, grazing_m: float = GRAZING_M) -> Floats:
    """The longest straight line between two altitudes that stays above a third.

    d = sqrt((R + h_a)^2 - (R + h_g)^2) + sqrt((R + h_b)^2 - (R + h_g)^2).
    altitudes: over the equator's radius [m]. grazing_m: lowest altitude of the ray [m]. Returns [m].
    Valid for a round Earth and both ends above grazing_m. Reference: [1] geometry.
    """
    edge = (EARTH_EQUATOR_M + grazing_m) ** 2
    legs = [
        np.sqrt(np.maximum((EARTH_EQUATOR_M + np.asarray(h)) ** 2 - edge, 0.0)) for h in (altitude_a_m, altitude_b_m)
    ]
    return legs[0] + legs[1]


def clear(a_m: Floats, b_m: Floats, grazing_m: float = GRAZING_M) -> Bools:
    """Whether the straight line between two points stays above the atmosphere.

    The nearest point to the Earth's centre on the segment, |a + t (b - a)| with t = -a.(b - a) / |b - a|^2 held to
    0..1, lies above R + grazing_m.
    a_m, b_m: (..., 3) [m], one frame. Returns (...). Valid for a round Earth of equatorial radius (so never too
    generous). Reference: [1] geometry.
    """
    along = b_m - a_m
    length = np.maximum(np.einsum("...i,...i->...", along, along), 1e-9)
    share = np.clip(-np.einsum("...i,...i->...", a_m, along) / length, 0.0, 1.0)
    lowest = a_m + share[..., None] * along
    return np.einsum("...i,...i->...", lowest, lowest) >= (EARTH_EQUATOR_M + grazing_m) ** 2


# ITU-R P.838-3 tables 1 to 4: log10 k and alpha as sums of Gaussians of log10 f, plus a line.
_K_H = ((-5.33980, -0.10008, 1.13098), (-0.35351, 1.26970, 0.45400), (-0.23789, 0.86036, 0.15354),
        (-0.94158, 0.64552, 0.16817), (-0.18961, 0.71147))  # fmt: skip
_K_V = ((-3.80595, 0.56934, 0.81061), (-3.44965, -0.22911, 0.51059), (-0.39902, 0.73042, 0.11899),
        (0.50167, 1.07319, 0.27195), (-0.16398, 0.63297))  # fmt: skip
_A_H = ((-0.14318, 1.82442, -0.55187), (0.29591, 0.77564, 0.19822), (0.32177, 0.63773, 0.13164),
        (-5.37610, -0.96230, 1.47828), (16.1721, -3.29980, 3.43990), (0.67849, -1.95537))  # fmt: skip
_A_V = ((-0.07771, 2.33840, -0.76284), (0.56727, 0.95545, 0.54039), (-0.20238, 1.14520, 0.26809),
        (-48.2991, 0.791669, 0.116226), (48.5833, 0.791459, 0.116479), (-0.053739, 0.83433))  # fmt: skip


def _bumps(table: tuple[tuple[float, ...], ...], decade: float) -> float:
    slope, offset = table[-1]
    peaks = sum(a * float(np.exp(-(((decade - b) / c) ** 2))) for a, b, c in table[:-1])
    return peaks + slope * decade + offset


def rain_coefficients(
    frequency_hz: float, elevation_rad: float = 0.0, tilt_rad: float = np.pi / 4
) -> tuple[float, float]:
    """Coefficients of rain's specific attenuation.

    gamma = k R^alpha [dB/km] with R [mm/h]; k and alpha mix horizontal and vertical by cos^2(elevation) cos(2 tilt).
    frequency_hz: 1e9 to 1e12 [Hz]. elevation_rad, tilt_rad: of the path and of the polarisation (pi/4 is circular)
    [rad]. Returns (k, alpha). Reference: [1] ITU-R P.838-3 (2005).
    """
    decade = float(np.log10(frequency_hz / 1e9))
    k_h, k_v = 10.0 ** _bumps(_K_H, decade), 10.0 ** _bumps(_K_V, decade)
    a_h, a_v = _bumps(_A_H, decade), _bumps(_A_V, decade)
    mix = float(np.cos(elevation_rad) ** 2 * np.cos(2.0 * tilt_rad))
    k = (k_h + k_v + (k_h - k_v) * mix) / 2.0
    return k, (k_h * a_h + k_v * a_v + (k_h * a_h - k_v * a_v) * mix) / (2.0 * k)


@cache
def _rain_map() -> tuple[float, Floats]:
    """The shipped map: grid step [deg] and (2, latitudes, longitudes) of rate [mm/h] and rain height [km]."""
    text = (files("aether.network") / "data" / "rain.csv").read_text(encoding="ascii")
    rows = [line for line in text.splitlines() if not line.startswith("#")]
    values = np.array([[float(cell) for cell in row.split(",")] for row in rows[1:]])
    grid = np.stack([values[0::2], values[1::2]])
    grid.setflags(write=False)
    return float(rows[0]), grid


def rain_climate(latitude_rad: ArrayLike, longitude_rad: ArrayLike) -> tuple[Floats, Floats]:
    """Rain of a place: rate exceeded 0.01 % of an average year [mm/h] and mean rain height [m above sea].

    Bilinear in a map of 2.5 degrees; the Recommendation's own is finer, so a coast or a range of hills may differ by
    some tens of per cent in rate.
    latitude_rad, longitude_rad: [rad], one shape. Returns two arrays of that shape.
    References: [1] ITU-R P.837-7 (2017). [2] ITU-R P.839-4 (2013).
    """
    step, grid = _rain_map()
    north = (np.degrees(np.asarray(latitude_rad, float)) + 90.0) / step
    east = np.mod(np.degrees(np.asarray(longitude_rad, float)), 360.0) / step
    row = np.clip(np.floor(north).astype(int), 0, grid.shape[1] - 2)
    column = np.floor(east).astype(int) % grid.shape[2]
    beside = (column + 1) % grid.shape[2]
    up, over = north - row, east - np.floor(east)
    low = grid[:, row, column] * (1.0 - over) + grid[:, row, beside] * over
    high = grid[:, row + 1, column] * (1.0 - over) + grid[:, row + 1, beside] * over
    rain = low * (1.0 - up) + high * up
    return rain[0], rain[1] * 1e3


def rain_attenuation(
    percent: ArrayLike, rate_mm_h: ArrayLike, rain_height_m: ArrayLike, latitude_rad: ArrayLike,
    elevation_rad: ArrayLike, frequency_hz: float, altitude_m: ArrayLike = 0.0,
) -> Floats:  # fmt: skip
    """Attenuation by rain exceeded for a share of an average year on a slant path.

    A_0.01 = k R^alpha L_E, with the effective path L_E from the rain height, a horizontal reduction and a vertical
    adjustment; A_p = A_0.01 (p/0.01)^-(0.655 + 0.033 ln p - 0.045 ln A_0.01 - beta (1 - p) sin elevation).
    percent: p, 0.001 to 5 [%]. rate_mm_h: exceeded 0.01 % [mm/h]. rain_height_m, altitude_m: above sea [m].
    latitude_rad, elevation_rad: [rad], elevation at least 5 degrees. frequency_hz: [Hz]. All broadcast. Returns [dB].
    Valid to 55 GHz; at E-band it is the usual extrapolation. Reference: [1] ITU-R P.618-13 (2017), 2.2.1.1.
    """
    percent, rain = np.asarray(percent, float), np.asarray(rate_mm_h, float)
    slope = np.maximum(np.asarray(elevation_rad, float), np.radians(5.0))
    sine, cosine, ghz = np.sin(slope), np.cos(slope), frequency_hz / 1e9
    north = np.abs(np.degrees(np.asarray(latitude_rad, float)))
    depth = np.maximum((np.asarray(rain_height_m, float) - np.asarray(altitude_m, float)) / 1e3, 1e-6)  # [km]
    k, alpha = rain_coefficients(frequency_hz)  # circular polarisation: the elevation drops out
    gamma = k * np.maximum(rain, 1e-6) ** alpha
    ground = depth / sine * cosine
    across = 1.0 / (1.0 + 0.78 * np.sqrt(ground * gamma / ghz) - 0.38 * -np.expm1(-2.0 * ground))
    steep = np.arctan2(depth, ground * across) > slope
    path = np.where(steep, ground * across / np.maximum(cosine, 1e-9), depth / sine)
    chi = np.maximum(36.0 - north, 0.0)
    bend = 31.0 * -np.expm1(-np.degrees(slope) / (1.0 + chi)) * np.sqrt(path * gamma) / ghz**2 - 0.45
    base = np.maximum(gamma * path / (1.0 + np.sqrt(sine) * bend), 1e-9)
    tropic = -0.005 * (north - 36.0)
    beta = np.where(np.degrees(slope) >= 25.0, tropic, tropic + 1.8 - 4.25 * sine)
    beta = np.where((percent >= 1.0) | (north >= 36.0), 0.0, beta)
    power = 0.655 + 0.033 * np.log(percent) - 0.045 * np.log(base) - beta * (1.0 - percent) * sine
    return base * (percent / 0.01) ** -power


def gateway_availability(
    latitude_rad: ArrayLike, longitude_rad: ArrayLike, elevation_rad: ArrayLike, margin_db: ArrayLike,
    frequency_hz: float, altitude_m: ArrayLike = 0.0,
) -> Floats:  # fmt: skip
    """Share of an average year in which rain takes no more than the margin.

    1 - p with A_p = margin, found by bisection in log p between 0.001 and 5 %, the model's own limits: a gateway is
    never called better than 99.999 % or, with any margin, worse than 95 %.
    latitude_rad, longitude_rad, elevation_rad: [rad]. margin_db: left for rain after gases and clouds [dB].
    frequency_hz: [Hz], e.g. 29e9 (Ka) or 83e9 (E-band). altitude_m: of the site [m]. All broadcast. Returns 0.95 to
    0.99999. Reference: [1] ITU-R P.618-13, with [2] P.837-7, [3] P.838-3, [4] P.839-4.
    """
    rain, height = rain_climate(latitude_rad, longitude_rad)
    shape = np.broadcast_shapes(rain.shape, np.shape(elevation_rad), np.shape(margin_db), np.shape(altitude_m))
    low, high = np.full(shape, np.log(0.001)), np.full(shape, np.log(5.0))
    for _ in range(40):  # to a part in 1e11 of log p
        middle = 0.5 * (low + high)
        lost = rain_attenuation(np.exp(middle), rain, height, latitude_rad, elevation_rad, frequency_hz, altitude_m)
        often = lost > np.asarray(margin_db)
        low, high = np.where(often, middle, low), np.where(often, high, middle)
    return np.asarray(1.0 - np.exp(high) / 100.0)


def great_circle(
    latitude_a_rad: ArrayLike, longitude_a_rad: ArrayLike, latitude_b_rad: ArrayLike, longitude_b_rad: ArrayLike
) -> Floats:
    """Distance along the surface of a round Earth.

    d = 2 R asin sqrt(sin^2(dphi/2) + cos phi_a cos phi_b sin^2(dlambda/2)).
    All [rad], broadcast. Returns [m]. Valid within 0.6 % of the ellipsoid. Reference: [1] haversine formula.
    """
    a, b = np.asarray(latitude_a_rad, float), np.asarray(latitude_b_rad, float)
    east = np.asarray(longitude_b_rad, float) - np.asarray(longitude_a_rad, float)
    half = np.sin((b - a) / 2.0) ** 2 + np.cos(a) * np.cos(b) * np.sin(east / 2.0) ** 2
    return 2.0 * EARTH_MEAN_M * np.arcsin(np.sqrt(np.clip(half, 0.0, 1.0)))
