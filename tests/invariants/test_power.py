"""Energy is conserved, and more battery never delivers less."""

from dataclasses import fields

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from aether.base.tables import Fleet, Floats
from aether.space import power

NOMINAL = {
    "gpus": 72.0, "gpu_full_w": 1900.0, "gpu_idle_w": 400.0, "clock_min": 0.3, "clock_power_exponent": 2.4, "bus_w": 8e3,
    "battery_j": 7e7, "depth_of_discharge": 0.6, "charge_efficiency": 0.95, "discharge_efficiency": 0.95,
    "charge_max_w": 60e3,
}  # fmt: skip


def ships(values: dict[str, float]) -> Fleet:
    """One ship."""
    numbers = {f.name: np.full(1, {**NOMINAL, **values}.get(f.name, 1.0)) for f in fields(Fleet)}
    return Fleet(**{**numbers, **dict.fromkeys(("name", "kind", "attitude", "terminal"), ("a",))})  # type: ignore[arg-type]


def orbits(
    fleet: Fleet, array_w: float, light: int, dark: int, count: int, start: float
) -> tuple[float, float, Floats]:
    """Over some orbits of ticks of a minute: GPU-seconds delivered, bus energy shed, the charge through time."""
    lit = np.tile(np.r_[np.ones(light), np.zeros(dark)], count + 1)[:, None]
    ahead = power.outlook(lit, lit * array_w, 60.0)
    charge, total, shed, charges = np.array([start]), 0.0, 0.0, []
    for tick in range(count * (light + dark)):
        now = (ahead.light_s, ahead.light_array_w, ahead.dark_s, ahead.dark_array_w)
        view = power.Outlook(*(values[tick] for values in now))
        offered = power.offer(fleet, charge, lit[tick] * array_w, view, 60.0, np.ones(1))
        energy = power.settle(fleet, charge, offered, offered.gpu_w, 60.0)
        charge = energy.charge_j
        charges.append(charge[0])
        total += 60.0 * power.compute_for_power(fleet, energy.gpu_w)[0]
        shed += 60.0 * energy.shed_w[0]
    return total, shed, np.array(charges)


ship = st.fixed_dictionaries({
    "gpu_idle_w": st.floats(0.0, 1200.0), "clock_min": st.floats(0.2, 0.9), "clock_power_exponent": st.floats(1.0, 3.0),
    "bus_w": st.floats(0.0, 40e3), "depth_of_discharge": st.floats(0.1, 1.0), "charge_max_w": st.floats(0.0, 200e3),
    "charge_efficiency": st.floats(0.7, 1.0), "discharge_efficiency": st.floats(0.7, 1.0),
    "battery_j": st.floats(0.0, 4e8),
})  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(ship, st.lists(st.tuples(st.floats(0, 3e5), st.floats(0, 3e5)), min_size=1, max_size=20), st.floats(0, 1))
def test_energy_in_is_energy_out_plus_stored(
    values: dict[str, float], ticks: list[tuple[float, float]], filled: float
) -> None:
    fleet = ships(values)
    charge = filled * fleet.battery_j
    for array_w, asked_w in ticks:
        offered = power.Offer(np.zeros(1), np.array([array_w]), np.zeros(1))
        energy = power.settle(fleet, charge, offered, np.array([asked_w]), 60.0)
        scale = array_w + asked_w + fleet.bus_w + 1.0
        bus = energy.array_w + energy.discharge_w - energy.bus_w - energy.gpu_w - energy.charge_w - energy.curtailed_w
        stored = (energy.charge_j - charge) / 60.0
        cell = fleet.charge_efficiency * energy.charge_w - energy.discharge_w / fleet.discharge_efficiency
        assert abs(bus) < 1e-9 * scale
        assert abs(stored - cell) < 1e-9 * (scale + fleet.battery_j / 60.0)
        assert 0.0 <= energy.charge_j <= fleet.battery_j
        for name in ("curtailed_w", "bus_w", "gpu_w", "charge_w", "discharge_w", "shed_w"):
            assert getattr(energy, name) >= -1e-9 * scale
        assert abs(energy.bus_w + energy.shed_w - fleet.bus_w) < 1e-9 * scale
        charge = energy.charge_j


@settings(max_examples=60, deadline=None)
@given(ship, st.floats(0.0, 3e5), st.integers(10, 60), st.integers(1, 40), st.floats(1.0, 3.0))
def test_more_battery_never_delivers_less_over_the_orbits(
    values: dict[str, float], array_w: float, light: int, dark: int, more: float
) -> None:
    small, large = ships(values), ships({**values, "battery_j": values["battery_j"] * more})
    delivered = []
    for fleet in (small, large):
        unused = (1.0 - fleet.depth_of_discharge[0]) * fleet.battery_j[0]
        delivered.append(orbits(fleet, array_w, light, dark, 3, unused))
    (compute, shed, charge), (more_compute, more_shed, _) = delivered
    assert more_shed <= shed + 1e-6 * (shed + 1.0)
    floor = (1.0 - small.depth_of_discharge[0]) * small.battery_j[0]
    if shed == 0.0 and charge.min() >= floor * (1 - 1e-9):  # else the larger one spends on a bus that lived on reserve
        assert more_compute >= compute - 1e-6 * (compute + 1.0)


@settings(max_examples=40, deadline=None)
@given(ship, st.floats(0.0, 3e5), st.integers(10, 60), st.integers(1, 40))
def test_gpus_never_take_the_battery_below_its_depth(
    values: dict[str, float], array_w: float, light: int, dark: int
) -> None:
    fleet = ships({**values, "bus_w": 0.0})
    *_, charge = orbits(fleet, array_w, light, dark, 2, float(fleet.battery_j[0]))
    assert np.all(charge >= (1.0 - fleet.depth_of_discharge) * fleet.battery_j * (1 - 1e-9) - 1e-6)


@settings(max_examples=40, deadline=None)
@given(ship, st.floats(0.0, 3e5), st.integers(10, 60), st.integers(1, 40))
def test_what_is_offered_can_be_served(values: dict[str, float], array_w: float, light: int, dark: int) -> None:
    fleet = ships(values)
    ahead = power.Outlook(*(np.array([v]) for v in (light * 60.0, array_w, dark * 60.0, 0.0)))
    for filled in (0.0, 0.3, 0.7, 1.0):
        charge = filled * fleet.battery_j
        offered = power.offer(fleet, charge, np.array([array_w]), ahead, 60.0, np.ones(1))
        energy = power.settle(fleet, charge, offered, offered.gpu_w, 60.0)
        assert abs(energy.gpu_w - offered.gpu_w) <= 1e-9 * (offered.gpu_w + 1.0)
        assert abs(energy.shed_w - offered.shed_w) <= 1e-9 * (fleet.bus_w + 1.0)
