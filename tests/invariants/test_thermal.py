"""Heat is conserved; more radiator is never hotter; more power is never cooler; limits hold."""

from dataclasses import fields

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from aether.base.tables import Fleet, Heat
from aether.space import attitude, thermal

BEYOND_ROUNDING_K = 1e-6


def ships(values: dict[str, float]) -> Fleet:
    """One ship."""
    numbers = {f.name: np.full(1, values.get(f.name, 1.0)) for f in fields(Fleet)}
    return Fleet(**{**numbers, **dict.fromkeys(("name", "kind", "attitude", "terminal"), ("a",))})  # type: ignore[arg-type]


ship = st.fixed_dictionaries({
    "radiator_area_m2": st.floats(1.0, 500.0), "radiator_emissivity": st.floats(0.3, 1.0),
    "fin_effectiveness": st.floats(0.3, 1.0), "chip_j_k": st.floats(1e3, 1e5), "plate_j_k": st.floats(1e3, 3e5),
    "coolant_j_k": st.floats(1e4, 2e6), "radiator_j_k": st.floats(1e4, 3e6), "chip_plate_w_k": st.floats(1e3, 3e4),
    "plate_coolant_w_k": st.floats(1e3, 5e4), "coolant_radiator_w_k": st.floats(1e3, 1e5),
    "chip_limit_k": st.floats(340.0, 380.0), "coolant_limit_k": st.floats(300.0, 350.0),
})  # fmt: skip
tick = st.tuples(st.floats(3.0, 300.0), st.floats(0.0, 2e5), st.floats(0.0, 2e4))
conditions = st.lists(tick, min_size=1, max_size=8)


def run(fleet: Fleet, start_k: float, ticks: list[tuple[float, float, float]], step_s: float) -> list[Heat]:
    """The heat after each tick."""
    heat = Heat(*(np.array([start_k]) for _ in range(4)), rejected_w=np.zeros(1))
    found = []
    for sink, chip_w, other_w in ticks:
        heat = thermal.settle(fleet, heat, *(np.array([v]) for v in (sink, chip_w, other_w)), step_s)
        found.append(heat)
    return found


@settings(max_examples=80, deadline=None)
@given(ship, st.floats(250.0, 340.0), conditions, st.sampled_from([1.0, 60.0, 600.0]))
def test_heat_in_less_heat_rejected_is_heat_stored(
    values: dict[str, float], start_k: float, ticks: list[tuple[float, float, float]], step_s: float
) -> None:
    fleet = ships(values)
    before = thermal.stored_j(fleet, Heat(*(np.array([start_k]) for _ in range(4)), rejected_w=np.zeros(1)))
    for (_, chip_w, other_w), heat in zip(ticks, run(fleet, start_k, ticks, step_s), strict=True):
        after = thermal.stored_j(fleet, heat)
        entered = (chip_w + other_w - heat.rejected_w) * step_s
        assert abs(after - before - entered) < 1e-9 * (abs(before) + (chip_w + other_w) * step_s)
        before = after


@settings(max_examples=60, deadline=None)
@given(ship, conditions, st.floats(1.0, 3.0))
def test_more_radiator_is_never_hotter(
    values: dict[str, float], ticks: list[tuple[float, float, float]], more: float
) -> None:
    # from rest at the sink, so that heat only flows outwards; a warmer sink would warm a larger radiator faster
    sink = min(t[0] for t in ticks)
    ticks = [(sink, chip_w, other_w) for _, chip_w, other_w in ticks]
    small = run(ships(values), max(sink, 200.0), ticks, 60.0)
    large = run(ships({**values, "radiator_area_m2": values["radiator_area_m2"] * more}), max(sink, 200.0), ticks, 60.0)
    for a, b in zip(small, large, strict=True):
        for node in ("chip_k", "plate_k", "coolant_k", "radiator_k"):
            assert getattr(b, node) <= getattr(a, node) + BEYOND_ROUNDING_K


@settings(max_examples=60, deadline=None)
@given(ship, st.floats(250.0, 340.0), conditions, st.floats(1.0, 5e4))
def test_more_power_is_never_cooler(
    values: dict[str, float], start_k: float, ticks: list[tuple[float, float, float]], more_w: float
) -> None:
    fleet = ships(values)
    less = run(fleet, start_k, ticks, 60.0)
    more = run(fleet, start_k, [(s, c + more_w, o) for s, c, o in ticks], 60.0)
    assert more[-1].chip_k >= less[-1].chip_k - BEYOND_ROUNDING_K
    assert more[-1].coolant_k >= less[-1].coolant_k - BEYOND_ROUNDING_K


@settings(max_examples=60, deadline=None)
@given(ship, st.floats(0.0, 1.0), st.floats(150.0, 280.0), st.floats(0.0, 1e4), st.sampled_from([10.0, 60.0, 300.0]))
def test_power_within_the_limit_keeps_chip_and_coolant_within_theirs(
    values: dict[str, float], warmth: float, sink: float, other_w: float, step_s: float
) -> None:
    slow_s = values["chip_j_k"] / values["chip_plate_w_k"] + values["plate_j_k"] / values["plate_coolant_w_k"]
    assume(slow_s < 30.0)  # else heat under way arrives after the minute looked ahead
    fleet = ships(values)
    given_w = [np.array([v]) for v in (sink, 2e5, other_w)]
    rest = thermal.steady(fleet, np.array([sink]), np.array([other_w])) * warmth
    heat = thermal.equilibrium(fleet, np.array([sink]), rest, np.array([other_w]))
    cool = heat.coolant_k <= fleet.coolant_limit_k - 0.5 and heat.chip_k <= fleet.chip_limit_k - 0.5
    for _ in range(6):
        allowed = thermal.limit(fleet, heat, *given_w, step_s)
        heat = thermal.settle(fleet, heat, given_w[0], allowed, given_w[2], step_s)
        if cool:
            assert heat.coolant_k <= fleet.coolant_limit_k + BEYOND_ROUNDING_K
            assert heat.chip_k <= fleet.chip_limit_k + BEYOND_ROUNDING_K


@settings(max_examples=100, deadline=None)
@given(st.floats(0.0, np.pi), st.floats(200e3, 40000e3))
def test_the_earth_seen_from_both_faces_is_never_more_than_seen_face_on(angle: float, altitude_m: float) -> None:
    front, back, facing = (float(attitude.earth_view_factor(a, altitude_m)) for a in (angle, np.pi - angle, 0.0))
    assert -1e-12 <= front <= facing + 1e-12
    assert front + back <= 1.0
    # the disc seen through both faces, less the disc's own foreshortening: cos integrates with its sign to cos g / H^2
    assert abs(front - back - np.cos(angle) * facing) < 1e-9
