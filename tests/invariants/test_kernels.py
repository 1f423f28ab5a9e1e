"""What must hold of the kernels however they are called: threads, neighbours, memory, ties and brackets."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aether.base.errors import InputError
from aether.base.tables import Fleet, Heat
from aether.space import motion, motion_kernels, orbits, power, thermal

EPOCH_JD = 2461000.5


def ships(count: int, **values: object) -> Fleet:
    """Ships with every number 1 unless given."""
    numbers = {f.name: np.full(count, 1.0) * values.get(f.name, 1.0) for f in fields(Fleet)}  # type: ignore[operator]
    return Fleet(**{**numbers, **dict.fromkeys(("name", "kind", "attitude", "terminal"), ("a",) * count)})  # type: ignore[arg-type]


@settings(max_examples=200, deadline=None)
@given(turns=st.floats(-2e4, 2e4))
def test_our_sine_and_cosine_are_the_librarys(turns: float) -> None:
    sine, cosine = motion_kernels._sine_cosine(turns)
    angle = 2.0 * math.pi * math.remainder(turns, 1.0)  # the remainder is exact
    assert abs(sine - math.sin(angle)) < 2e-15
    assert abs(cosine - math.cos(angle)) < 2e-15


@pytest.mark.parametrize("theory", ["sgp4", "j2"])
@pytest.mark.parametrize("eccentricity", [0.0, 1e-3, 0.02])
def test_any_number_of_threads_gives_the_same_places_bit_for_bit(theory: motion.Theory, eccentricity: float) -> None:
    ready = motion.prepare(orbits.walker(30, 33, 550e3, 0.9, eccentricity=eccentricity))
    time_s = np.arange(7) * 60.0
    alone = motion.positions(ready, time_s, EPOCH_JD, theory)
    for threads in (2, 3, 20):
        assert np.array_equal(motion.positions(ready, time_s, EPOCH_JD, theory, threads), alone)


def test_positions_fill_the_array_they_are_given() -> None:
    ready = motion.prepare(orbits.walker(3, 5, 550e3, 0.9))
    out = np.full((4, 15, 3), np.nan)
    assert motion.positions(ready, np.arange(4.0), EPOCH_JD, out=out) is out
    assert np.array_equal(out, motion.positions(ready, np.arange(4.0), EPOCH_JD))


def test_all_that_is_wrong_with_a_call_is_told_at_once() -> None:
    ready = motion.prepare(orbits.walker(3, 5, 550e3, 0.9))
    with pytest.raises(InputError) as caught:
        motion.positions(ready, np.arange(4.0), EPOCH_JD, "sgp5", 0, np.empty((4, 14, 3)))  # type: ignore[arg-type]
    assert [p.path for p in caught.value.problems] == ["theory", "threads", "out"]
    assert caught.value.problems[0].nearest == "sgp4"


@settings(max_examples=30, deadline=None)
@given(
    count=st.integers(1, 230),
    eccentricity=st.sampled_from([0.0, 1e-3, 0.013, 0.015, 0.1]),
    other=st.sampled_from([0.0, 1e-3, 0.1]),
)
def test_a_satellite_does_not_depend_on_who_is_beside_it(count: int, eccentricity: float, other: float) -> None:
    some = orbits.circular(1500e3, 0.9, np.zeros(count), np.linspace(0.0, 6.0, count), eccentricity=eccentricity)
    more = orbits.join(orbits.walker(2, 29, 1500e3, 1.2, eccentricity=other), some)
    time_s = np.array([0.0, 4321.0, 86400.0])
    alone = motion.positions(motion.prepare(some), time_s, EPOCH_JD)
    beside = motion.positions(motion.prepare(more), time_s, EPOCH_JD)[:, 58:]
    assert np.abs(alone - beside).max() < 1e-7


def test_no_satellites_and_no_instants_are_nothing() -> None:
    none = motion.prepare(orbits.join())
    some = motion.prepare(orbits.walker(2, 3, 550e3, 0.9))
    assert motion.positions(none, np.arange(3.0), EPOCH_JD).shape == (3, 0, 3)
    assert motion.positions(some, np.empty(0), EPOCH_JD).shape == (0, 6, 3)


def loop(count: int, seed: int) -> tuple[Fleet, Heat, list[np.ndarray]]:
    """Ships of all sizes near or over their limits, and sink, most GPU power and other heat."""
    rng = np.random.default_rng(seed)
    fleet = ships(
        count, radiator_area_m2=rng.uniform(50, 400, count), radiator_emissivity=0.86, fin_effectiveness=0.9,
        chip_j_k=3e4, plate_j_k=1e5, coolant_j_k=rng.uniform(1e5, 1e6, count), radiator_j_k=6e5, chip_plate_w_k=1.5e4,
        plate_coolant_w_k=2e4, coolant_radiator_w_k=2e4, chip_limit_k=358.0, coolant_limit_k=rng.uniform(310, 330, count),
    )  # fmt: skip
    sink, other = rng.uniform(150, 260, count), np.full(count, 8e3)
    rest = thermal.steady(fleet, sink, other)
    return (
        fleet,
        thermal.equilibrium(fleet, sink, rest * rng.uniform(0.3, 1.05, count), other),
        [sink, rest * 1.3, other],
    )


def one(fleet: Fleet, i: int) -> Fleet:
    """A fleet of its ship number i."""
    return Fleet(**{f.name: getattr(fleet, f.name)[i : i + 1] for f in fields(Fleet)})


def breaks(fleet: Fleet, heat: Heat, given_w: list[np.ndarray], power_w: np.ndarray, step_s: float) -> bool:
    """Whether one ship leaves its limits in the tick's substeps or the minute after, by `settle` alone."""
    sink, _, other = given_w
    count = math.ceil(step_s / 10.0)
    start = heat
    for i in range(count + 6):
        heat = thermal.settle(fleet, heat, sink, power_w, other, step_s / count if i < count else 10.0)
        chip, coolant = heat.chip_k - fleet.chip_limit_k, heat.coolant_k - fleet.coolant_limit_k
        if chip[0] > 0.0 and (start.chip_k <= fleet.chip_limit_k or i >= count - 1):
            return True
        if coolant[0] > 0.0 and start.coolant_k[0] <= fleet.coolant_limit_k[0]:
            return True
    return bool(coolant[0] + 0.25 > 0.0)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), step_s=st.sampled_from([10.0, 25.0, 60.0]))
def test_the_limit_is_the_most_power_that_settling_bears(seed: int, step_s: float) -> None:
    fleet, heat, given_w = loop(5, seed)
    found = thermal.limit(fleet, heat, *given_w, step_s)
    for i in range(5):
        alone, its = one(fleet, i), Heat(*(getattr(heat, f.name)[i : i + 1] for f in fields(Heat)))
        row = [g[i : i + 1] for g in given_w]
        most = row[1]
        if found[i] > 0.0:
            assert not breaks(alone, its, row, found[i : i + 1] - 1e-6 * most, step_s)
        if found[i] < most[0]:
            assert breaks(alone, its, row, found[i : i + 1] + 1e-6 * most, step_s)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), count=st.integers(2, 150))
def test_a_ships_heat_does_not_depend_on_who_is_beside_it(seed: int, count: int) -> None:
    fleet, heat, given_w = loop(count, seed)
    together = thermal.limit(fleet, heat, *given_w, 60.0)
    settled = thermal.settle(fleet, heat, given_w[0], together, given_w[2], 60.0)
    for i in {0, count // 2, count - 1}:
        its = Heat(*(getattr(heat, f.name)[i : i + 1] for f in fields(Heat)))
        row = [g[i : i + 1] for g in given_w]
        assert thermal.limit(one(fleet, i), its, *row, 60.0)[0] == pytest.approx(together[i], rel=1e-9, abs=1e-9)
        after = thermal.settle(one(fleet, i), its, row[0], together[i : i + 1], row[2], 60.0)
        assert after.coolant_k[0] == pytest.approx(settled.coolant_k[i], rel=1e-12)


@settings(max_examples=150, deadline=None)
@given(
    idle=st.floats(0.0, 1200.0), lowest=st.floats(0.2, 0.95), exponent=st.floats(1.0, 3.5), bus=st.floats(0.0, 40e3),
    efficiency=st.floats(0.7, 1.0), battery=st.floats(1e6, 4e8), filled=st.floats(0.0, 1.0),
    light_s=st.integers(1, 80), light_w=st.floats(0.0, 3e5), dark_s=st.integers(1, 40), dark_w=st.floats(0.0, 5e4),
)  # fmt: skip
def test_no_other_split_between_light_and_darkness_computes_more(
    idle: float, lowest: float, exponent: float, bus: float, efficiency: float, battery: float, filled: float,
    light_s: int, light_w: float, dark_s: int, dark_w: float,
) -> None:  # fmt: skip
    fleet = ships(
        1, gpus=72.0, gpu_full_w=1900.0, gpu_idle_w=idle, clock_min=lowest, clock_power_exponent=exponent, bus_w=bus,
        battery_j=battery, depth_of_discharge=1.0, charge_efficiency=efficiency, discharge_efficiency=efficiency,
        charge_max_w=1e12,
    )  # fmt: skip
    light, dark = light_s * 60.0, dark_s * 60.0
    stock = filled * battery
    clock = float(power.best_clock(fleet)[0])
    chosen = power._plan(
        light, light_w - bus, dark, bus - dark_w, stock, battery, efficiency, efficiency, 72.0, 1900.0, idle, clock,
        exponent,
    )  # fmt: skip
    most_j = min(battery, stock + efficiency * light * max(light_w - bus, 0.0))
    high = min(72.0 * 1900.0, most_j * efficiency / dark - (bus - dark_w))
    if high <= 0.0:
        return

    def in_light(dark_gpu_w: np.ndarray) -> np.ndarray:
        need = np.maximum(dark * (bus - dark_w + dark_gpu_w), 0.0) / efficiency
        return light_w - bus - (need - stock) / light * np.where(need > stock, 1.0 / efficiency, efficiency)

    def compute(light_gpu_w: np.ndarray, dark_gpu_w: np.ndarray) -> np.ndarray:
        spans = zip((light, dark), (np.clip(light_gpu_w, 0.0, 72.0 * 1900.0), dark_gpu_w), strict=True)
        return np.sum([span * power.compute_for_power(fleet, p[:, None])[:, 0] for span, p in spans], axis=0)

    tried = np.linspace(0.0, high, 401)
    tried = tried[in_light(tried) >= 0.0]  # else the bus would live on what it has not
    back = (light_w - bus - chosen) * light  # from light to darkness [J]
    left = (stock + back * (efficiency if back > 0.0 else 1.0 / efficiency)) * efficiency / dark - (bus - dark_w)
    mine = compute(np.array([chosen]), np.clip(np.array([left]), 0.0, high))[0]
    assert mine >= compute(in_light(tried), tried).max(initial=0.0) * (1.0 - 1e-9) - 1e-6
