"""Laws of mass against hand calculations and published hardware, and a ship's bill closed over its own propellant."""

import math

import pytest

from aether.base.errors import InputError
from aether.base.provenance import Assumption
from aether.scenario import catalog as parts
from aether.scenario.catalog import packaged
from aether.space import bill, mass, sizing
from aether.study import models  # noqa: F401 - registers the models
from aether.study.validation import MODELS

YEAR_S = 365.25 * 86400.0


def number(value: float, unit: str) -> Assumption:
    return Assumption("given", value, unit, "this test")


def test_a_boom_meets_the_frequency_that_it_was_made_for() -> None:
    # a beam of Euler and Bernoulli: f = 3.516 / (2 pi) sqrt(EI / (m L^4)), I = pi r^3 t of each of two tubes
    length_m, load, wanted_hz, modulus, density, slender = 18.3, 9.0, 0.05, 60e9, 1600.0, 40.0
    kg = mass.boom_mass(length_m, load, wanted_hz, modulus, density, slender)
    section_m2 = kg / (2.0 * density * length_m)  # 2 pi r t of one tube
    wall_m = math.sqrt(section_m2 / (2.0 * math.pi * slender))
    inertia_m4 = math.pi * (slender * wall_m) ** 3 * wall_m
    found_hz = 3.516 / (2.0 * math.pi) * math.sqrt(2.0 * modulus * inertia_m4 / (load * length_m**4))
    assert found_hz == pytest.approx(wanted_hz, rel=1e-9)


def test_a_wing_twice_as_long_needs_booms_eight_times_as_heavy() -> None:
    one, two = (mass.boom_mass(length_m, 9.0, 0.05, 60e9, 1600.0, 40.0) for length_m in (10.0, 20.0))
    assert two / one == pytest.approx(8.0)


def test_a_harness_loses_what_it_may() -> None:
    # 10 kW at 100 V over 10 m at 2 %: 100 A, 2 V, 0.02 ohm; 20 m of copper at 1.72e-8 ohm m is 17.2 mm2, 3.08 kg
    copper = packaged().value("mass.conductor")
    assert mass.harness_mass(10e3, 100.0, 10.0, 0.02, copper, 0.0) == pytest.approx(3.08, rel=0.01)


def test_a_harness_at_twice_the_voltage_weighs_a_quarter() -> None:
    low, high = (mass.harness_mass(10e3, volt, 10.0, 0.02, 1.54e-4, 0.5) for volt in (100.0, 200.0))
    assert high == pytest.approx(low / 4.0)


def test_armour_stops_what_comes_too_often() -> None:
    # NASA SP-8013: log10 N = -14.37 - 1.213 log10 m [1/m2/s], and one hit in twenty on 10 m2 in ten years
    mass_g = 10.0 ** ((-14.37 - math.log10(0.05 / (10.0 * 10.0 * YEAR_S))) / 1.213)
    single_m = 0.54 * mass_g**0.352 * 0.5 ** (1 / 6) * 20.0**0.875 / 100.0
    assert mass.armour_thickness(10.0, 10.0 * YEAR_S, 0.05) == pytest.approx(single_m)
    assert 3e-3 < single_m < 10e-3  # single walls of meteoroid-proof radiators were several millimetres


def test_a_panel_is_its_sheets_core_and_tubes() -> None:
    # sheets 2 x 0.25 mm x 2700 = 1.35; tubes pi x 5 mm x 1 mm x 2700 / 0.1 m = 0.424
    assert mass.panel_mass(0.25e-3, 1.0, 0.1, 4e-3, 1e-3) == pytest.approx(1.35 + 1.0 + 0.424, rel=1e-3)


def test_lines_hold_what_flows_through_them() -> None:
    # 4 kg/s of water at 2 m/s: 50.5 mm; ten metres there and back hold 40 kg
    dry_kg, fluid_kg = mass.line_mass(4.0, 10.0, 1000.0, 2.0, 1e-3)
    assert fluid_kg == pytest.approx(40.0)
    assert dry_kg == pytest.approx(20.0 * 2700.0 * math.pi * 0.0515 * 1e-3, rel=1e-3)


def test_a_pump_draws_flow_times_head() -> None:
    # 150 kW at 3.7 kJ/kg/K and 10 K is 4.05 kg/s; 1.5 bar at 40 % of 1,030 kg/m3 is 1.48 kW
    flow_kg_s = mass.coolant_flow(150e3, 3700.0, 10.0)
    assert flow_kg_s == pytest.approx(4.05, rel=0.01)
    assert mass.pump_power(flow_kg_s, 1030.0, 150e3, 0.4) == pytest.approx(1476.0, rel=0.01)


def test_shielding_is_what_is_not_there_already() -> None:
    assert mass.shielding_mass(10e-3, 4e-3, 2.0) == pytest.approx(2700.0 * 2.0 * 6e-3)
    assert mass.shielding_mass(3e-3, 4e-3, 2.0) == 0.0
    assert mass.box_area(8.0) == pytest.approx(24.0)


def test_propellant_follows_the_rocket_equation() -> None:
    # 300 m/s at 1,800 s: 1.69 % of the wet mass
    assert mass.burnt_share(300.0, 1800.0) == pytest.approx(0.01685, rel=1e-3)
    assert mass.make_up_mass(1e-3, 5.0 * YEAR_S, 1800.0) == pytest.approx(8.94, rel=1e-3)


def test_a_bill_closes_over_its_own_propellant_structure_and_margin() -> None:
    catalog = packaged()
    ship = catalog.ship("ai1")
    made = sizing.budget(ship, catalog)
    kg, lifted = made.masses_kg, made.lifted_kg
    kept_s = catalog.value("cost.life_orbit")
    leave = catalog.value("mass.spiral") * 110.2  # Hohmann's first burn from 600 km to a perigee of 200 km, m/s
    burnt = 1.0 - math.exp(
        -(catalog.value("mass.raising") + catalog.value("mass.avoidance") * kept_s + leave) / (9.80665 * 1800.0)
    )
    assert burnt * lifted < kg["propellant"] < 1.5 * burnt * lifted  # the rest holds the orbit against drag
    power_share = catalog.value("mass.thruster_power") * catalog.value("mass.thruster")
    thrusters = catalog.value("mass.tank_share") * kg["propellant"] + power_share * lifted
    assert kg["thrusters"] == pytest.approx(thrusters)
    body = sum(v for part, v in kg.items() if part not in (*bill.SELF_BORNE, "structure", "growth", "margin"))
    assert kg["structure"] == pytest.approx(catalog.value("mass.structure") * body)
    assert kg["margin"] == pytest.approx(catalog.value("mass.margin") * (lifted - kg["margin"]))
    assert sum(kg.values()) == pytest.approx(made.mass_kg)


def test_a_ship_without_propulsion_carries_none() -> None:
    made = sizing.budget(packaged().ship("starcloud-1"), packaged())
    assert made.masses_kg["propellant"] == made.masses_kg["thrusters"] == 0.0


def test_disclosed_masses_take_the_place_of_their_laws() -> None:
    catalog = packaged()
    given = catalog.ship("ai1").model_copy(
        update={
            "bus_mass": number(180.0, "kg"),
            "structure_share": number(0.1, "1"),
            "margin": number(0.15, "1"),
            "radiator": "iss-photovoltaic",
        }
    )
    kg = sizing.budget(given, catalog).masses_kg
    assert kg["bus"] == 180.0
    assert kg["radiator"] == pytest.approx(110.0 * 17.5)
    assert {"thrusters", "propellant", "avionics", "radiator panels"}.isdisjoint(kg)
    assert kg["growth"] == 0.0
    assert kg["margin"] == pytest.approx(0.15 * (sum(kg.values()) - kg["margin"]))


def test_new_parts_are_still_to_grow_more_than_flown_ones() -> None:
    ships = (packaged().ship("ai1").model_copy(update={"maturity": m}) for m in ("flown", "modified", "new"))
    grown = [sizing.budget(s, packaged()).masses_kg["growth"] for s in ships]
    assert grown == sorted(grown)
    assert grown[0] < 0.8 * grown[2]


def test_the_hull_of_a_stage_is_its_own_shield_but_is_moved() -> None:
    catalog = packaged()
    hull = catalog.ship("compute-ship-hull")
    made, bare = (sizing.budget(s, catalog) for s in (hull, hull.model_copy(update={"hull_mass": None})))
    assert "shielding" not in made.masses_kg
    assert made.masses_kg["propellant"] > bare.masses_kg["propellant"]


def test_a_part_that_says_nothing_of_its_mass_is_refused(tmp_path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "batteries:\n  mine: {source: test, energy_density: 300 Wh/l, depth_of_discharge: 0.3, charge_efficiency: 0.95,\n"
        "    discharge_efficiency: 0.95, charge_rate: 1 1/h, cycle_fade: 1e-5, cell_energy: 250 Wh/kg}\n"
    )
    with pytest.raises(InputError, match=r"has no mass: give pack_share, or 'specific_energy' as disclosed"):
        parts.load(tmp_path)


def test_a_disclosed_specific_energy_still_describes_a_battery(tmp_path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "batteries:\n  mine: {source: test, energy_density: 300 Wh/l, depth_of_discharge: 0.3, charge_efficiency: 0.95,\n"
        "    discharge_efficiency: 0.95, charge_rate: 1 1/h, cycle_fade: 1e-5, specific_energy: 200 Wh/kg}\n"
    )
    assert bill.pack(parts.load(tmp_path).battery("mine"), 200.0 * 3600.0) == pytest.approx(1.0)


def test_delta_v_beyond_what_thrusters_can_carry_is_an_error_of_the_design() -> None:
    def heavy(name: str) -> float:
        return 200.0 if name == "mass.thruster_power" else packaged().value(name)

    catalog = packaged()
    design = bill.Design(
        array=catalog.array("silicon-wing"), array_area_m2=30.0, array_w=7e3, battery=catalog.battery("li-ion-leo"),
        battery_j=5 * 3.6e6, radiator=catalog.radiator("pumped-panel"), radiator_area_m2=0.0, heat_w=0.0,
        altitude_m=550e3, drag_area_m2=8.0, life_s=YEAR_S, keeping_s=YEAR_S,
    )  # fmt: skip
    with pytest.raises(InputError, match="no ship can carry its own propulsion"):
        bill.masses(design, lambda name: 300.0 * heavy(name) if name == "mass.thruster" else heavy(name))


def test_one_set_of_numbers_meets_flown_hardware_within_a_quarter() -> None:
    # the station's photovoltaic radiator 740.7 kg on 42.4 m2, its roll-out wing 325 kg, Starlink v1.5 306 kg
    radiator = MODELS["ship.radiator"].function(radiator="iss-photovoltaic", area=42.43, heat=14e3, life=15 * YEAR_S)
    wing = MODELS["ship.wing"].function(array="triple-junction-wing", area=111.0, power=28e3)
    small = MODELS["ship.mass"].function(
        array="silicon-wing", array_area=30.0, array_power=7e3, battery="li-ion-leo", battery_energy=5 * 3.6e6,
        altitude=550e3, wings=1.0, terminals=45.0, other=60.0, drag_area=8.0,
    )  # fmt: skip
    assert radiator["mass"] == pytest.approx(740.7, rel=0.25)
    assert wing["mass"] == pytest.approx(325.0, rel=0.25)
    assert small["mass"] == pytest.approx(306.0, rel=0.25)
