"""Arrays, batteries, clocks and the plan for darkness, against published rows and brute force."""

from dataclasses import fields

import numpy as np
import pytest

from aether.base.tables import Fleet
from aether.space import power

AI1 = {
    "gpus": 72.0, "gpu_full_w": 1900.0, "gpu_idle_w": 400.0, "clock_min": 0.3, "clock_power_exponent": 2.4, "bus_w": 8e3,
    "array_rated_w": 150e3, "battery_j": 20e3 * 3600, "depth_of_discharge": 0.6, "charge_efficiency": 0.95,
    "discharge_efficiency": 0.95, "charge_max_w": 60e3,
}  # fmt: skip


def ships(count: int = 1, **values: float) -> Fleet:
    """AI1-like ships, all alike."""
    numbers = {f.name: np.full(count, {**AI1, **values}.get(f.name, 1.0)) for f in fields(Fleet)}
    words = dict.fromkeys(("name", "kind", "attitude", "terminal"), ("a",) * count)
    return Fleet(**{**numbers, **words})  # type: ignore[arg-type]


def ahead(light_s: float, light_w: float, dark_s: float, dark_w: float = 0.0) -> power.Outlook:
    """One ship's outlook."""
    return power.Outlook(*(np.array([v]) for v in (light_s, light_w, dark_s, dark_w)))


def one(value: float) -> np.ndarray:
    """One ship's number."""
    return np.array([value])


def test_suncatcher_array_gives_28_kilowatts() -> None:
    # arXiv 2511.19468: 105 m2, efficiency 0.22, packing 0.90, 1361 W/m2
    assert power.array_power(105.0, 0.22, packing=0.90) == pytest.approx(28e3, rel=0.02)


def test_starcloud_array_gives_4_33_gigawatts_and_not_the_5_published() -> None:
    # Starcloud white paper 2024: 4 km x 4 km, 0.22, 0.90, 1366 W/m2, "5 GW"
    computed = power.array_power(16e6, 0.22, packing=0.90, irradiance_w_m2=1366.0)
    assert computed == pytest.approx(4.33e9, rel=0.001)
    assert abs(computed / 5e9 - 1.0) > 0.13


def test_hot_cells_lose_three_tenths_of_a_percent_per_kelvin() -> None:
    cool, hot = (power.array_power(1.0, 0.2, cell_k=301.15 + rise, coefficient_per_k=-0.003) for rise in (0.0, 50.0))
    assert hot / cool == pytest.approx(0.85)


def test_array_loses_12_percent_in_five_years_at_two_and_a_half_a_year() -> None:
    # SemiAnalysis: 12 % at five years; McCalip: 2.5 % a year
    year = 365.25 * 86400.0
    assert power.remaining(0.025 / year, 5 * year) == pytest.approx(0.88, abs=0.005)


def test_battery_at_40_percent_depth_keeps_80_percent_after_30_thousand_cycles() -> None:
    # low-orbit practice: 30,000 to 50,000 cycles at 40 to 20 % depth, to 80 % of nameplate
    assert power.battery_remaining(30e3, 0.2 / 30e3) == pytest.approx(0.8)
    assert power.battery_remaining(1e9, 1e-5) == 0.0


@pytest.mark.parametrize(("idle_w", "exponent"), [(400.0, 2.4), (50.0, 3.0), (900.0, 1.5), (200.0, 1.0), (0.0, 2.0)])
def test_compute_for_power_is_the_best_mix_of_turns_and_clocks(idle_w: float, exponent: float) -> None:
    fleet = ships(gpu_idle_w=idle_w, clock_power_exponent=exponent)
    clocks = np.linspace(0.3, 1.0, 20001)
    each = idle_w + (1900.0 - idle_w) * clocks**exponent
    for share in (0.02, 0.2, 0.5, 0.8, 0.97, 1.0):
        total = share * 72 * 1900.0
        best = np.max(clocks * np.minimum(total / each, 72.0))  # so many GPUs at one clock, the others off
        assert power.compute_for_power(fleet, one(total))[0] == pytest.approx(best, rel=2e-4) or exponent == 1.0
        assert power.compute_for_power(fleet, one(total))[0] >= best * (1 - 1e-9)


def test_compute_curve_is_concave_and_ends_at_all_gpus() -> None:
    fleet = ships()
    compute = np.array([power.compute_for_power(fleet, one(p))[0] for p in np.linspace(0.0, 72 * 1900.0, 400)])
    assert compute[0] == 0.0
    assert compute[-1] == pytest.approx(72.0)
    assert np.all(np.diff(compute, 2) < 1e-9)


def test_power_for_compute_is_the_inverse() -> None:
    fleet = ships()
    for gpus in (0.0, 5.0, 30.0, 60.0, 72.0):
        assert power.compute_for_power(fleet, power.power_for_compute(fleet, one(gpus)))[0] == pytest.approx(gpus)


def test_outlook_counts_the_phases_ahead() -> None:
    lit = np.array([[1.0], [1.0], [0.2], [0.0], [1.0], [1.0], [1.0], [0.0]])
    found = power.outlook(lit, lit * 100.0, 60.0)
    assert found.light_s[:, 0].tolist() == [120.0, 60.0, 0.0, 0.0, 180.0, 120.0, 60.0, 0.0]
    assert found.dark_s[:, 0].tolist() == [120.0, 120.0, 120.0, 60.0, 60.0, 60.0, 60.0, 60.0]
    assert found.dark_array_w[:, 0].tolist() == [10.0, 10.0, 10.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert found.light_array_w[0, 0] == 100.0


def test_outlook_without_darkness_is_endless_light() -> None:
    found = power.outlook(np.ones((5, 2)), np.full((5, 2), 7.0), 60.0)
    assert np.all(np.isinf(found.light_s))
    assert np.all(found.dark_s == 0.0)


def test_in_darkness_the_usable_charge_is_spread_over_what_is_left() -> None:
    fleet = ships()
    usable = 0.5 * 0.6 * fleet.battery_j
    charge = 0.4 * fleet.battery_j + usable
    offered = power.offer(fleet, charge, one(0.0), ahead(0.0, 0.0, 1200.0), 60.0, one(1.0))
    assert offered.gpu_w == pytest.approx(usable * 0.95 / 1200.0 - 8e3)


def test_endless_light_leaves_gpus_all_that_the_bus_does_not_take() -> None:
    fleet = ships(array_rated_w=100e3)
    offered = power.offer(fleet, fleet.battery_j, one(100e3), ahead(np.inf, 100e3, 0.0), 60.0, one(1.0))
    assert offered.gpu_w == pytest.approx(92e3)


def test_gpus_out_of_service_lower_the_offer() -> None:
    fleet = ships()
    offered = power.offer(fleet, fleet.battery_j, one(200e3), ahead(np.inf, 200e3, 0.0), 60.0, one(0.5))
    assert offered.gpu_w == pytest.approx(36 * 1900.0)


@pytest.mark.parametrize("array_w", [60e3, 110e3, 150e3, 250e3])
@pytest.mark.parametrize("battery_kwh", [4.0, 15.0, 60.0])
def test_plan_for_darkness_is_the_optimum_of_the_two_phases(array_w: float, battery_kwh: float) -> None:
    fleet = ships(battery_j=battery_kwh * 3.6e6, charge_max_w=40e3)
    light_s, dark_s = 4500.0, 1260.0
    start = 0.4 * fleet.battery_j
    best = 0.0
    for charge_w in np.linspace(0.0, min(40e3, array_w - 8e3), 4001):  # what the light phase stores, by brute force
        stored = min(charge_w * 0.95 * light_s, 0.6 * fleet.battery_j[0])
        in_light = min(array_w - 8e3 - stored / (0.95 * light_s), 72 * 1900.0)
        in_dark = min(max(stored * 0.95 / dark_s - 8e3, 0.0), 72 * 1900.0)
        if stored * 0.95 / dark_s >= 8e3 or stored == 0.6 * fleet.battery_j[0]:  # the bus first, as far as it goes
            both = power.compute_for_power(fleet, np.array([in_light, in_dark])[:, None])[:, 0]
            best = max(best, light_s * both[0] + dark_s * both[1])
    charge, total = start.copy(), 0.0
    for tick in range(96):
        light = max(light_s - tick * 60.0, 0.0)
        here = one(array_w if light > 0 else 0.0)
        view = ahead(light, array_w if light > 0 else 0.0, dark_s if light > 0 else 5760.0 - tick * 60.0)
        offered = power.offer(fleet, charge, here, view, 60.0, one(1.0))
        energy = power.settle(fleet, charge, offered, offered.gpu_w, 60.0)
        charge = energy.charge_j
        total += 60.0 * power.compute_for_power(fleet, energy.gpu_w)[0]
    assert total == pytest.approx(best, rel=2e-3)
    assert total <= best * (1 + 1e-3)


@pytest.mark.parametrize("charge_max_w", [3e3, 100e3])
def test_plan_counts_the_round_trip_and_the_charge_rate(charge_max_w: float) -> None:
    fleet = ships(
        gpu_idle_w=0.0, clock_power_exponent=3.0, charge_efficiency=0.6, discharge_efficiency=0.7, bus_w=0.0,
        battery_j=4e8, charge_max_w=charge_max_w,
    )  # fmt: skip
    light_s, dark_s, array_w = 3600.0, 1800.0, 90e3
    stored = 0.6 * light_s * np.minimum(np.linspace(0.0, array_w, 200001), charge_max_w)
    powers = np.stack([array_w - stored / (0.6 * light_s), np.minimum(stored * 0.7 / dark_s, 72 * 1900.0)])
    compute = power.compute_for_power(fleet, powers[..., None])[..., 0]
    total = light_s * compute[0] + dark_s * compute[1]
    best = powers[0][np.argmax(total)]
    start = 0.4 * fleet.battery_j
    offered = power.offer(fleet, start, one(array_w), ahead(light_s, array_w, dark_s), 60.0, one(1.0))
    assert offered.gpu_w == pytest.approx(best, rel=1e-3)


def test_load_is_shed_in_order_clocks_then_bus() -> None:
    fleet = ships()
    floor = 0.4 * fleet.battery_j
    dark = ahead(0.0, 0.0, 600.0)
    low = power.offer(fleet, floor, one(0.0), dark, 60.0, one(1.0))
    assert low.gpu_w == 0.0
    assert low.shed_w == 0.0  # the bus may take what GPUs may not
    served = power.settle(fleet, floor, low, one(5e4), 60.0)
    assert (served.gpu_w[0], served.bus_w[0]) == (0.0, 8e3)
    empty = power.offer(fleet, one(0.0), one(3e3), dark, 60.0, one(1.0))
    assert empty.shed_w == pytest.approx(5e3)
    starved = power.settle(fleet, one(0.0), empty, one(5e4), 60.0)
    assert starved.shed_w == pytest.approx(5e3)
    assert starved.bus_w == pytest.approx(3e3)


def test_charge_obeys_the_rate_and_the_size_of_the_battery() -> None:
    fleet = ships(charge_max_w=20e3)
    offered = power.offer(fleet, fleet.battery_j * 0.5, one(150e3), ahead(np.inf, 150e3, 0.0), 60.0, one(1.0))
    energy = power.settle(fleet, fleet.battery_j * 0.5, offered, one(0.0), 60.0)
    assert energy.charge_w == pytest.approx(20e3)
    assert energy.curtailed_w == pytest.approx(122e3)
    full = power.settle(fleet, fleet.battery_j, offered, one(0.0), 60.0)
    assert full.charge_w == 0.0
    assert full.charge_j == pytest.approx(fleet.battery_j)
