"""Whatever a ship is made of: its parts add up, more of anything weighs more, and twice of all is twice the mass."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aether.scenario.catalog import packaged
from aether.space import bill

CATALOG = packaged()
SIZES = ("array_area_m2", "array_w", "battery_j", "radiator_area_m2", "heat_w", "drag_area_m2", "life_s", "keeping_s",
         "computers_kg", "terminals_kg", "other_kg", "shielding_m", "enclosed_m2", "hull_kg")  # fmt: skip
EXTENSIVE = tuple(s for s in SIZES if s not in ("life_s", "keeping_s", "shielding_m"))
YEAR_S = 365.25 * 86400.0


def sizes(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False, allow_subnormal=False)


designs = st.builds(
    bill.Design,
    array=st.sampled_from([CATALOG.array(n) for n in ("ai1-array", "silicon-wing", "triple-junction-wing")]),
    array_area_m2=sizes(1.0, 1e5), array_w=sizes(200.0, 3e7),
    battery=st.sampled_from([CATALOG.battery(n) for n in ("li-ion-leo", "li-ion-season")]),
    battery_j=sizes(1e6, 1e13),
    radiator=st.sampled_from([CATALOG.radiator(n) for n in ("pumped-panel", "iss-photovoltaic")]),
    radiator_area_m2=sizes(1.0, 2e4), heat_w=sizes(1e2, 2e7), altitude_m=sizes(400e3, 900e3),
    drag_area_m2=sizes(0.0, 1e4), life_s=sizes(YEAR_S, 15 * YEAR_S), keeping_s=sizes(0.0, 10 * YEAR_S),
    wings=st.sampled_from([1.0, 2.0, 4.0]), computers_kg=sizes(0.0, 1e5), terminals_kg=sizes(0.0, 1e3),
    other_kg=sizes(0.0, 1e4), shielding_m=sizes(0.0, 0.03), enclosed_m2=sizes(0.0, 1e3),
    maturity=st.sampled_from(["flown", "modified", "new"]), hull_kg=sizes(0.0, 1.5e5),
)  # fmt: skip


def total(design: bill.Design) -> float:
    return sum(bill.masses(design, CATALOG.value).values())


@settings(max_examples=60, deadline=None)
@given(designs)
def test_every_part_has_a_mass_and_growth_and_margin_are_never_negative(design: bill.Design) -> None:
    found = bill.masses(design, CATALOG.value)
    assert all(kg >= 0.0 for kg in found.values())
    assert {"growth", "margin", "structure", "thrusters", "propellant"} <= set(found)


@settings(max_examples=100, deadline=None)
@given(designs, st.sampled_from(SIZES), sizes(1.05, 3.0))
def test_more_of_anything_never_weighs_less(design: bill.Design, what: str, factor: float) -> None:
    larger = replace(design, **{what: factor * getattr(design, what)})
    assert total(larger) >= total(design) * (1.0 - 1e-12)


@settings(max_examples=60, deadline=None)
@given(designs, st.sampled_from(["array_area_m2", "battery_j", "radiator_area_m2", "computers_kg"]))
def test_more_area_energy_or_computers_weigh_more(design: bill.Design, what: str) -> None:
    larger = replace(design, **{what: 1.0 + 1.5 * getattr(design, what)})
    assert total(larger) > total(design)


@settings(max_examples=60, deadline=None)
@given(designs.filter(lambda d: d.array_area_m2 > 1200.0 and d.radiator_area_m2 > 55.0))
def test_twice_of_everything_is_twice_the_mass_but_for_one_set_of_avionics(design: bill.Design) -> None:
    # wings and radiators are already as large as they may be, so that there are twice as many of them
    twice = replace(design, **{what: 2.0 * getattr(design, what) for what in EXTENSIVE})
    spared = 2.0 * total(design) - total(twice)
    assert 0.0 < spared < 2.5 * CATALOG.value("mass.avionics")  # with structure, growth, margin and propellant on it


@settings(max_examples=40, deadline=None)
@given(designs)
def test_the_bill_is_a_fixed_point_of_its_own_lifted_mass(design: bill.Design) -> None:
    found = bill.masses(design, CATALOG.value)
    lifted_kg = sum(found.values())
    if design.keeping_s > 0.0:
        power_kg = CATALOG.value("mass.thruster_power") * CATALOG.value("mass.thruster") * (lifted_kg + design.hull_kg)
        tanks_kg = CATALOG.value("mass.tank_share") * found["propellant"]
        assert found["thrusters"] == pytest.approx(power_kg + tanks_kg, rel=1e-9)
    rest_kg = lifted_kg - found["margin"]
    assert found["margin"] == pytest.approx(CATALOG.value("mass.margin") * rest_kg, rel=1e-9)
