"""Radiators against published balances, the nodes against a fine explicit run, and clocks that do not swing."""

from dataclasses import fields

import numpy as np
import pytest

from aether.base.tables import Fleet, Floats, Heat
from aether.space import attitude, thermal

SIGMA = 5.670374419e-8
AI1 = {
    "gpus": 72.0, "gpu_full_w": 1900.0, "radiator_area_m2": 110.0, "radiator_emissivity": 0.91, "fin_effectiveness": 0.85,
    "chip_j_k": 2e4, "plate_j_k": 6e4, "coolant_j_k": 8e5, "radiator_j_k": 5e5, "chip_plate_w_k": 8e3,
    "plate_coolant_w_k": 2e4, "coolant_radiator_w_k": 5e4, "chip_limit_k": 368.0, "coolant_limit_k": 345.0,
}  # fmt: skip


def ships(count: int = 1, **values: float) -> Fleet:
    """AI1-like ships, all alike."""
    numbers = {f.name: np.full(count, {**AI1, **values}.get(f.name, 1.0)) for f in fields(Fleet)}
    words = dict.fromkeys(("name", "kind", "attitude", "terminal"), ("a",) * count)
    return Fleet(**{**numbers, **words})  # type: ignore[arg-type]


def one(value: float) -> Floats:
    """One ship's number."""
    return np.array([value])


def test_starcloud_radiator_reproduces_every_published_component() -> None:
    # Starcloud white paper 2024: 770.48 out, 122.94 and 14.46 in, 633.08 W/m2 net; its sigma is rounded to 5.67e-8
    flux = thermal.radiator_flux(293.15, 0.92, 0.09, 0.09, 0.25, 0.30, 1366.0, 253.15)
    assert flux.emitted == pytest.approx(770.48, abs=0.06)
    assert flux.solar == pytest.approx(122.94, abs=0.01)
    assert flux.earth == pytest.approx(14.46, abs=0.01)
    assert flux.net == pytest.approx(633.08, abs=0.06)


def test_starcloud_radiator_with_kirchhoffs_law_kept_rejects_less() -> None:
    flux = thermal.radiator_flux(293.15, 0.92, 0.09, 0.92, 0.25, 0.30, 1366.0, 253.15)
    assert flux.net == pytest.approx(584.76, abs=0.06)


@pytest.mark.parametrize(("temperature_k", "flux"), [(293.0, 519.0), (320.0, 840.0), (370.0, 1692.0)])
def test_two_sided_flux_at_a_220_k_sink(temperature_k: float, flux: float) -> None:
    # ideal panel, emissivity 0.91
    assert thermal.radiator_heat(1.0, temperature_k, 0.91, 220.0) == pytest.approx(flux, abs=2.0)


def test_a_sink_of_255_k_costs_23_percent_at_320_k() -> None:
    cold, warm = (thermal.radiator_heat(1.0, 320.0, 0.91, sink) for sink in (220.0, 255.0))
    assert 1.0 - warm / cold == pytest.approx(0.23, abs=0.005)


def test_ai1_radiator_rejects_122_to_104_kilowatts_and_not_the_150_of_its_peak() -> None:
    # disclosed: 110 m2 both faces; emissivity 0.91, effectiveness 0.85, fin roots at 350 K: no drop from the coolant
    cold, warm = (float(thermal.radiator_heat(110.0, 350.0, 0.91, sink, 0.85)) for sink in (220.0, 255.0))
    assert cold == pytest.approx(122e3, rel=0.01)
    assert warm == pytest.approx(104e3, rel=0.01)
    assert thermal.radiator_temperature(150e3, 220.0, 0.91, 220.0, 0.85) == pytest.approx(366.0, abs=1.0)
    short = thermal.radiator_area(150e3, 350.0, 235.0, 0.91, 0.85) - 110.0
    assert 25.0 < short < 40.0


def test_a_drop_of_five_kelvin_from_coolant_to_fins_costs_ai1_six_percent() -> None:
    full, dropped = (float(thermal.radiator_heat(110.0, t, 0.91, 220.0, 0.85)) for t in (350.0, 345.0))
    assert 1.0 - dropped / full == pytest.approx(0.066, abs=0.005)


def test_iss_photovoltaic_radiator_is_predicted_a_quarter_too_strong_without_fitting() -> None:
    # NASA ATCS overview: 3.12 m x 13.6 m, 14 kW; ammonia near 275 to 280 K. Kept edge-on to the Sun at 418 km: both
    # faces see the Earth upright; Z93 coating 0.92 and effectiveness 0.85 as in the catalog; albedo of the mean orbit.
    # The station's own hull and arrays, which its radiators see, are not in it.
    view = float(attitude.earth_view_factor(np.pi / 2, 418e3))
    absorbed = 2 * view * (0.92 * 237.0 + 0.15 * 0.30 * 1361.0 / np.pi)
    sink = float(attitude.sink_temperature(np.asarray(absorbed), np.asarray(0.92)))
    heat = float(thermal.radiator_heat(3.12 * 13.6, 277.5, 0.92, sink, 0.85))
    assert sink == pytest.approx(190.0, abs=1.0)
    assert heat / 14e3 == pytest.approx(1.24, abs=0.02)


def explicit(
    nodes: Floats, fleet: Fleet, sink: float, chip_w: float, other_w: float, seconds: int
) -> tuple[Floats, float]:
    """The same four equations by Euler's method at a twentieth of a second, written out from the docstring."""
    c, p, liquid, r = nodes
    k = 2 * fleet.radiator_area_m2[0] * fleet.radiator_emissivity[0] * fleet.fin_effectiveness[0] * SIGMA
    out, h = 0.0, 0.05
    for _ in range(int(seconds / h)):
        one_two = fleet.chip_plate_w_k[0] * (c - p)
        two_three = fleet.plate_coolant_w_k[0] * (p - liquid)
        three_four = fleet.coolant_radiator_w_k[0] * (liquid - r)
        away = k * (r**4 - sink**4)
        c += h * (chip_w - one_two) / fleet.chip_j_k[0]
        p += h * (one_two - two_three) / fleet.plate_j_k[0]
        liquid += h * (other_w + two_three - three_four) / fleet.coolant_j_k[0]
        r += h * (three_four - away) / fleet.radiator_j_k[0]
        out += h * away
    return np.array([c, p, liquid, r]), out / seconds


def test_implicit_ticks_of_a_minute_stay_within_half_a_kelvin_of_a_fine_explicit_run() -> None:
    fleet = ships()
    heat = thermal.equilibrium(fleet, one(230.0), one(20e3), one(8e3))
    nodes = np.array([heat.chip_k[0], heat.plate_k[0], heat.coolant_k[0], heat.radiator_k[0]])
    load = [20e3, 130e3, 130e3, 0.0, 90e3, 137e3, 137e3, 137e3, 40e3, 110e3]
    sinks = [230.0] * 4 + [200.0] * 3 + [245.0] * 3
    for chip_w, sink in zip(load, sinks, strict=True):
        heat = thermal.settle(fleet, heat, one(sink), one(chip_w), one(8e3), 60.0)
        nodes, rejected = explicit(nodes, fleet, sink, chip_w, 8e3, 60)
        found = np.array([heat.chip_k[0], heat.plate_k[0], heat.coolant_k[0], heat.radiator_k[0]])
        assert np.abs(found - nodes).max() < 0.5
        assert heat.rejected_w[0] == pytest.approx(rejected, rel=0.005)


def test_ticks_of_ten_minutes_are_stable_too() -> None:
    fleet = ships(chip_j_k=50.0)  # a time constant of 6 ms
    heat = thermal.equilibrium(fleet, one(230.0), one(0.0), one(8e3))
    for _ in range(40):
        heat = thermal.settle(fleet, heat, one(230.0), one(90e3), one(8e3), 600.0)
    rest = thermal.equilibrium(fleet, one(230.0), one(90e3), one(8e3))
    assert heat.chip_k == pytest.approx(rest.chip_k, abs=1e-3)
    assert heat.radiator_k == pytest.approx(rest.radiator_k, abs=1e-3)
    assert heat.rejected_w == pytest.approx(98e3, rel=1e-6)


@pytest.mark.parametrize("chip_limit_k", [368.0, 355.0])  # coolant binds, chip binds
@pytest.mark.parametrize("step_s", [10.0, 60.0, 300.0])
def test_clocks_under_constant_conditions_settle_without_swinging(chip_limit_k: float, step_s: float) -> None:
    fleet = ships(chip_limit_k=chip_limit_k)
    heat = thermal.equilibrium(fleet, one(240.0), one(40e3), one(8e3))
    powers = []
    for _ in range(int(4 * 3600 / step_s)):
        allowed = thermal.limit(fleet, heat, one(240.0), fleet.gpus * fleet.gpu_full_w * 1.2, one(8e3), step_s)
        heat = thermal.settle(fleet, heat, one(240.0), allowed, one(8e3), step_s)
        powers.append(allowed[0])
        assert heat.coolant_k[0] <= 345.0
        assert heat.chip_k[0] <= chip_limit_k + 1e-6
    assert np.all(np.diff(powers) <= 1e-4 * powers[0])  # down to rest, never up again
    assert powers[0] > 1.2 * powers[-1]
    assert powers[-1] == pytest.approx(thermal.steady(fleet, one(240.0), one(8e3))[0], rel=1e-3)


def test_limits_hold_inside_the_tick_and_not_only_at_its_end() -> None:
    fleet = ships()
    heat = thermal.equilibrium(fleet, one(240.0), one(80e3), one(8e3))
    for sink in (240.0, 200.0, 255.0, 230.0, 255.0):
        allowed = thermal.limit(fleet, heat, one(sink), one(250e3), one(8e3), 300.0)
        for _ in range(30):
            heat = thermal.settle(fleet, heat, one(sink), allowed, one(8e3), 10.0)
            assert heat.coolant_k[0] <= 345.0 + 1e-6
            assert heat.chip_k[0] <= 368.0 + 1e-6


def test_hotter_means_slower() -> None:
    fleet = ships(3)
    warm = thermal.equilibrium(fleet, np.full(3, 240.0), np.array([60e3, 75e3, 85e3]), np.full(3, 8e3))
    allowed = thermal.limit(fleet, warm, np.full(3, 240.0), np.full(3, 250e3), np.full(3, 8e3), 60.0)
    assert allowed[0] > allowed[1] > allowed[2] > 0.0
    sinks = thermal.limit(fleet, thermal.equilibrium(fleet, np.full(3, 240.0), np.full(3, 80e3), np.full(3, 8e3)),
                          np.array([200.0, 240.0, 270.0]), np.full(3, 250e3), np.full(3, 8e3), 60.0)  # fmt: skip
    assert sinks[0] > sinks[1] > sinks[2]


def test_a_ship_too_hot_to_run_is_told_to_stop() -> None:
    fleet = ships()
    hot = Heat(*(one(t) for t in (375.0, 372.0, 370.0, 368.0)), rejected_w=one(0.0))
    assert thermal.limit(fleet, hot, one(250.0), one(137e3), one(8e3), 60.0) == 0.0


def test_steady_heat_is_where_the_coolant_reaches_its_limit_less_the_guard() -> None:
    fleet = ships()
    gpu_w = thermal.steady(fleet, one(235.0), one(8e3))
    rest = thermal.equilibrium(fleet, one(235.0), gpu_w, one(8e3))
    assert rest.coolant_k == pytest.approx(344.75, abs=1e-6)
    area = thermal.radiator_area(float(gpu_w[0]) + 8e3, 344.75, 235.0, 0.91, 0.85, float((gpu_w[0] + 8e3) / 5e4))
    assert area == pytest.approx(110.0, rel=1e-6)


def test_no_radiator_is_large_enough_where_the_sink_is_as_warm_as_the_coolant() -> None:
    assert thermal.radiator_area(1e5, 300.0, 300.0, 0.91, 0.85) == np.inf


def test_halving_the_substep_moves_no_temperature_by_a_tenth_of_a_kelvin() -> None:
    fleet = ships()
    coarse = fine = thermal.equilibrium(fleet, one(230.0), one(20e3), one(8e3))
    for chip_w in (130e3, 0.0, 137e3):
        coarse = thermal.settle(fleet, coarse, one(230.0), one(chip_w), one(8e3), 60.0)
        for _ in range(12):
            fine = thermal.settle(fleet, fine, one(230.0), one(chip_w), one(8e3), 5.0)
        assert abs(coarse.chip_k[0] - fine.chip_k[0]) < 0.1
        assert abs(coarse.coolant_k[0] - fine.coolant_k[0]) < 0.1
