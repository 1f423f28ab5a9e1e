"""Carbon against published factors and hand computation."""

import dataclasses

import pytest

from aether.economics import boundary, carbon
from money import SHIPS, SITE, known


def causes(made):
    return {e.cause: e.kg_year for e in made.emissions}


def test_electricity_emits_grid_times_facility_energy():
    made = causes(carbon.ground(SITE, boundary.nominal(known())))
    assert made["electricity"] == pytest.approx(4.4e3 * 8766 * 1.2 * 0.384)  # 384 g/kWh, United States in 2024, Ember


def test_accelerators_emit_their_making_over_their_life_and_exchange():
    made = causes(carbon.ground(SITE, boundary.nominal(known())))
    assert made["accelerators"] == pytest.approx(2880 * 318 * (1 / 5 + 0.045))  # 318 kg, Chien et al., HotCarbon 2023


def test_water_stands_beside_carbon():
    made = carbon.ground(SITE, boundary.nominal(known()))
    assert made.water_kg_year == pytest.approx(4.4e3 * 8766 * 0.3)  # 0.3 L per kWh of IT
    assert made.kg_year == pytest.approx(sum(causes(made).values()))


def test_launch_at_falcon_9_factor_emits_178_8_kg_per_kg_over_the_ships_life():
    value = boundary.nominal(known(), {"carbon.launch": 178.8, "faults.gpu_orbit": 0.0})  # Dirty Bits, Falcon 9
    assert causes(carbon.orbit(SHIPS, value))["launch"] == pytest.approx(100e3 * 178.8 / 5)


def test_orbit_per_energy_lies_in_the_published_band():
    made = carbon.orbit(SHIPS, boundary.nominal(known()))
    per_kwh = made.kg_year / (40 * 137e3 / 1e3 * 8766) * 1e3
    assert 36 < per_kwh < 163  # g/kWh, derived from 8.9 to 40 kg/kW in comparisons of orbital carbon


def test_what_burns_at_the_end_is_told_apart():
    value = boundary.nominal(known(), {"faults.gpu_orbit": 0.0})
    made = carbon.orbit(dataclasses.replace(SHIPS, hulls=1.0, hull_kg=120e3), value)
    assert made.burnt_kg_year == pytest.approx((100e3 + 120e3) / 5)
    assert causes(made)["hull"] == pytest.approx(120e3 * 6 / 5)
    assert carbon.ground(SITE, value).burnt_kg_year == 0.0
