"""Link budgets against published figures."""

import numpy as np
import pytest

from aether.network import links

SUNCATCHER = links.Terminal(5.0, 0.1, 1.55e-6, 10**-0.3, 195.6, 400e9, 24, np.inf, 15.0)


def test_friis_matches_suncatcher() -> None:
    # arXiv 2511.19468 4.2: 5 W, 105.1 dB each end, 1.55 um, 5,000 km, -3 dB: 1.6 uW
    received_w = links.friis(5.0, 10**10.51, 10**10.51, 1.55e-6, 5_000e3, 10**-0.3)
    assert received_w == pytest.approx(1.6e-6, rel=0.02)


def test_confocal_range_and_divergence_match_suncatcher() -> None:
    # arXiv 2511.19468: near field to 5 km for a 5 cm radius; 18.9 urad for a 10 cm aperture
    assert links.confocal_range(0.05, 1.55e-6) == pytest.approx(5.0e3, rel=0.02)
    assert links.divergence(0.1, 1.55e-6) == pytest.approx(18.9e-6, rel=0.02)


def test_aperture_gain_is_105_1_decibel() -> None:
    gain = links.gain(0.1, 1.55e-6, SUNCATCHER.efficiency)  # arXiv 2511.19468 4.2
    assert 10 * np.log10(gain) == pytest.approx(105.1, abs=0.05)


def test_wavelength_comb_is_full_to_300_km_and_photon_limited_beyond() -> None:
    # arXiv 2511.19468: 24 channels of 400 Gbit/s, -20 dBm each, to about 300 km with 10 cm
    assert links.rate(SUNCATCHER, 300e3) == pytest.approx(9.6e12, rel=1e-9)
    far = links.rate(SUNCATCHER, np.array([2_500e3, 5_000e3]))
    assert far[0] / far[1] == pytest.approx(4.0, rel=1e-3)
    photon_j = 6.62607015e-34 * 299_792_458.0 / 1.55e-6
    assert far[1] == pytest.approx(1.597e-6 / (photon_j * 195.6), rel=1e-3)


def test_sight_range_is_the_closed_form_of_the_field() -> None:
    # Hypatia's longest laser link over 80 km: 2 sqrt((6378.135+550)^2 - (6378.135+80)^2) = 5,016.6 km
    assert links.sight_range(550e3, 550e3, 80e3) == pytest.approx(5_016.6e3, rel=1e-3)


def test_clear_agrees_with_the_sight_range() -> None:
    radius, limit = links.EARTH_EQUATOR_M + 550e3, float(links.sight_range(550e3, 550e3))
    for length, seen in ((0.999 * limit, True), (1.001 * limit, False)):
        half = np.arcsin(length / 2 / radius)
        ends = radius * np.array([[np.cos(half), np.sin(half), 0.0], [np.cos(half), -np.sin(half), 0.0]])
        assert bool(links.clear(ends[0], ends[1])) is seen


@pytest.mark.parametrize(
    ("frequency_hz", "k_h", "alpha_h", "k_v", "alpha_v"),
    [(30e9, 0.2403, 0.9485, 0.2291, 0.9129), (80e9, 1.1704, 0.7115, 1.1668, 0.7021)],
)
def test_rain_coefficients_match_the_printed_table(
    frequency_hz: float, k_h: float, alpha_h: float, k_v: float, alpha_v: float
) -> None:
    # ITU-R P.838-3, table 5
    assert links.rain_coefficients(frequency_hz, 0.0, 0.0) == pytest.approx((k_h, alpha_h), abs=6e-5)
    assert links.rain_coefficients(frequency_hz, 0.0, np.pi / 2) == pytest.approx((k_v, alpha_v), abs=6e-5)


@pytest.mark.parametrize(
    ("latitude", "altitude", "elevation", "ghz", "rate", "percent", "height", "published"),
    [
        # ITU-R P.618-13 as computed by itur 0.4.0, rain rate and height given; the first two are ITU's validation sites
        (51.5, 31.0, 31.0, 14.25, 26.48, 0.01, 2452.73333, 6.558278),
        (41.9, 46.0, 40.23, 29.0, 33.94, 0.01, 3047.49333, 27.765869),
        (1.3, 0.0, 30.0, 29.0, 100.0, 0.1, 4972.24, 43.423096),
        (33.94, 0.0, 25.0, 29.0, 22.0, 1.0, 2563.30276, 2.146062),
        (-15.0, 1100.0, 60.0, 29.0, 70.0, 0.03, 4840.33333, 35.603063),
    ],
)
def test_rain_attenuation_matches_the_recommendation(
    latitude: float, altitude: float, elevation: float, ghz: float, rate: float, percent: float, height: float,
    published: float,
) -> None:  # fmt: skip
    lost = links.rain_attenuation(
        percent, rate, height, np.radians(latitude), np.radians(elevation), ghz * 1e9, altitude
    )
    assert float(lost) == pytest.approx(published, abs=0.001)  # dB


@pytest.mark.parametrize(
    ("latitude", "longitude", "rate", "height"),
    [(51.5, -0.1, 26.48, 2454.0), (1.3, 103.8, 100.1, 4972.0), (69.6, 18.9, 20.06, 1857.0)],
)
def test_rain_map_is_near_the_recommendations(latitude: float, longitude: float, rate: float, height: float) -> None:
    # ITU-R P.837-7 and P.839-4 at full resolution
    here = links.rain_climate(np.radians(latitude), np.radians(longitude))
    assert float(here[0]) == pytest.approx(rate, rel=0.05)
    assert float(here[1]) == pytest.approx(height, abs=300.0)


def test_a_gateway_margin_gives_back_its_own_availability() -> None:
    site = (np.radians(47.0), np.radians(8.0))
    rate, height = links.rain_climate(*site)
    margin = links.rain_attenuation(0.1, rate, height, site[0], np.radians(35.0), 29e9)
    assert links.gateway_availability(*site, np.radians(35.0), margin, 29e9) == pytest.approx(0.999, abs=1e-6)


def test_singapore_needs_more_margin_than_phoenix_and_e_band_more_than_ka() -> None:
    latitude, longitude = np.radians([1.3, 33.4]), np.radians([103.8, -112.0])
    ka = links.gateway_availability(latitude, longitude, np.radians(35.0), 10.0, 29e9)
    e_band = links.gateway_availability(latitude, longitude, np.radians(35.0), 10.0, 83e9)
    assert ka[0] < ka[1]
    assert (e_band < ka).all()
