"""Money against published cost models and hand computation."""

import dataclasses
import math

import pytest

from aether.base.errors import InputError
from aether.economics import boundary, cost, published
from aether.scenario.catalog import Catalog, load, packaged
from money import SHIPS, SITE, known

YEAR = cost.YEAR_S


def terms(made):
    return {t.asset: t.usd_year for t in made}


def test_a_mortgage_of_100_000_at_6_percent_over_30_years_costs_599_55_a_month():
    # the textbook's table: 599.55 USD a month, Newnan, Engineering Economic Analysis
    assert cost.annuity(100e3, 0.06 / YEAR, 30 * YEAR) / 12 == pytest.approx(599.55, abs=0.005)


def test_capital_recovery_agrees_with_a_balance_paid_down_month_by_month():
    paid = cost.annuity(3.1e6, 0.15 / YEAR, 5 * YEAR) / 12
    balance = 3.1e6
    for _ in range(60):
        balance = balance * (1 + 0.15 / 12) - paid
    assert balance == pytest.approx(0.0, abs=1e-3)


def test_capital_without_interest_is_divided_by_its_life():
    assert cost.annuity(5e6, 0.0, 5 * YEAR, units=4) == pytest.approx(250e3)
    assert cost.annuity(5e6, 1e-18, 5 * YEAR, units=4) == pytest.approx(
        250e3
    )  # the formula's limit, not a division by zero


def test_a_yearly_annuity_misses_the_published_monthly_one_by_5_percent():
    monthly = published.semianalysis_orbit().facility  # 6.29 USD per GPU-hour, SemiAnalysis 2026
    yearly = cost.annuity(3.1e6, 0.15 / YEAR, 5 * YEAR, periods_per_year=1.0, units=16 * 8760)
    assert monthly == pytest.approx(6.29, rel=0.005)
    assert yearly / monthly == pytest.approx(1.045, abs=0.005)


def test_annuity_tells_every_number_that_makes_no_sense():
    with pytest.raises(InputError) as told:
        cost.annuity(-1.0, 0.1 / YEAR, 0.0, units=math.nan)
    assert [p.path for p in told.value.problems] == ["annuity.capital", "annuity.life", "annuity.units"]


@pytest.mark.parametrize(
    ("mass_kg", "power_w", "years", "at_3600", "at_200"),
    [(575, 28e3, 5, 14700, 810), (260, 7e3, 5, 26600, 1470), (150, 800, 5, 135800, 7500), (860, 2e3, 12.5, 124600, 6900)],
)  # fmt: skip
def test_launched_power_matches_suncatcher_table_1(mass_kg, power_w, years, at_3600, at_200):
    assert cost.launched_power(mass_kg, power_w, years, 3600) == pytest.approx(at_3600, rel=0.02)  # arXiv 2511.19468
    assert cost.launched_power(mass_kg, power_w, years, 200) == pytest.approx(at_200, rel=0.02)


def test_power_in_orbit_costs_what_mccalip_publishes():
    made = published.mccalip_orbit()  # repository defaults
    assert made.usd_w == pytest.approx(51.10, abs=0.01)
    assert made.usd_mwh == pytest.approx(1167, abs=0.5)
    assert made.mass_kg == pytest.approx(29.4e6, rel=0.001)
    assert made.launches == 294


def test_power_on_the_ground_costs_what_mccalip_publishes():
    made = published.mccalip_ground()
    assert made.usd_w == pytest.approx(15.85, abs=0.005)
    assert made.usd_mwh == pytest.approx(426, abs=0.5)


def test_mccalip_divides_orbit_by_all_hours_and_the_ground_by_85_percent():
    orbit, ground = published.mccalip_orbit(), published.mccalip_ground()
    assert orbit.usd_w * 1e6 / orbit.usd_mwh == pytest.approx(5 * 8760)
    assert ground.usd_w * 1e6 / ground.usd_mwh == pytest.approx(5 * 8760 * 0.85)


def test_gpu_hours_of_semianalysis_come_out_by_part():
    orbit, ground = published.semianalysis_orbit(), published.semianalysis_ground()
    assert (orbit.hardware, orbit.facility, orbit.running) == pytest.approx((2.00, 6.29, 0.36), rel=0.01)
    assert orbit.sum == pytest.approx(8.64, rel=0.01)
    assert (ground.hardware, ground.facility, ground.running) == pytest.approx((1.81, 0.36, 0.20), rel=0.02)
    assert ground.sum == pytest.approx(2.37, rel=0.02)


def test_levelised_cost_divides_by_what_is_delivered():
    assert cost.levelised([2.00, 6.29, 0.36]) == pytest.approx(8.65)
    assert cost.levelised([2.0, 6.0], 4.0, availability=0.5, redundancy=1.25) == pytest.approx(5.0)
    assert cost.levelised([2.0], 0.0) == math.inf
    with pytest.raises(InputError, match="availability"):
        cost.levelised([2.0], availability=1.2)


def test_spares_for_9_percent_a_year_over_five_years_are_24_percent():
    # mean of exp(-0.09 t) over five years by hand: (1 - 0.63763) / 0.45 = 0.80527
    assert boundary.replaced(boundary.nominal(known())) == pytest.approx(1 / 0.80527 - 1, abs=1e-4)


def test_terms_of_orbit_are_what_hand_computation_gives():
    made = terms(boundary.orbit(SHIPS, boundary.nominal(known())))
    factor = 12 * (0.125 / 12) / (1 - (1 + 0.125 / 12) ** -60)  # monthly recovery at 12.5 % over five years
    assert made["accelerators"] == pytest.approx(40 * 3.7e6 * factor)
    assert made["array"] == pytest.approx(6e6 * 2.7 * factor)
    assert made["launch"] == pytest.approx(90e6 * factor)  # 100 t by mass: one load
    assert set(made) == {"accelerators", "array", "battery", "radiator", "bus", "terminals", "launch", "insurance", "network",
                         "spectrum", "operations", "attrition"}  # fmt: skip
    others = sum(made[n] for n in ("array", "battery", "radiator", "bus", "terminals", "launch"))
    assert made["attrition"] == pytest.approx(0.24182 * (made["accelerators"] + 0.5 * others), rel=1e-4)


def test_terms_of_the_ground_are_what_hand_computation_gives():
    made = terms(boundary.ground(SITE, boundary.nominal(known())))
    assert made["energy"] == pytest.approx(4.4e3 * 8766 * 1.2 * 0.07)
    assert made["facility"] == pytest.approx(5.5e6 * 12.5 * 12 * (0.09 / 12) / (1 - (1 + 0.09 / 12) ** -180))
    assert made["attrition"] == pytest.approx(0.045 * 40 * 3.7e6)
    assert set(made) == {
        "accelerators",
        "facility",
        "energy",
        "water",
        "insurance",
        "network",
        "operations",
        "attrition",
    }


def test_a_stage_that_stays_in_orbit_is_paid_beside_its_flight():
    value = boundary.nominal(known())
    without = terms(boundary.orbit(SHIPS, value))
    made = terms(boundary.orbit(dataclasses.replace(SHIPS, hulls=2.0), value))
    assert made["hull"] / without["launch"] == pytest.approx(2 * 45e6 / 90e6)  # one load at 90 M USD
    assert made["launch"] == without["launch"]


def test_launcher_loads_go_by_volume_where_that_is_more():
    value = boundary.nominal(known())
    assert boundary.loads(SHIPS, value) == pytest.approx(1.0)
    assert boundary.loads(dataclasses.replace(SHIPS, volume_m3=2500.0), value) == pytest.approx(2.5)
    assert boundary.loads(SHIPS, boundary.nominal(known(), {"starship.payload": 44e3})) == pytest.approx(100 / 44)


@pytest.mark.parametrize("amounts", [[1 / 3] * 3, [0.005] * 7, [2.675, -1.115, 1e9 / 7], []])
def test_cents_add_up_to_the_rounded_total(amounts):
    assert sum(cost.cents(amounts)) == round(100 * math.fsum(amounts))


def test_cents_go_to_the_largest_remainders():
    assert cost.cents([0.014, 0.016, 0.010]) == [1, 2, 1]


def test_every_ship_site_and_grid_of_the_catalog_has_its_prices():
    catalog = packaged()
    lacking = [
        f"{kind}.{name}" for kind in ("accelerators", "arrays", "batteries", "radiators", "terminals", "launchers")
        for name, part in catalog.kind(kind).items() if part.price is None
    ]  # fmt: skip
    assert lacking + [name for name, ship in catalog.kind("ships").items() if ship.bus_price is None] == []
    assert len(catalog.kind("sites")) >= 2
    assert all(site.accelerator in catalog.kind("accelerators") for site in catalog.kind("sites").values())


def test_grids_hold_ember_carbon_by_two_letters():
    france, norway, usa = (packaged().grid(code) for code in ("FR", "no", "us"))
    assert france.carbon.value * 3.6e9 == pytest.approx(44.18, abs=0.5)  # gCO2/kWh in 2024, Ember
    assert norway.country == "NO"
    assert usa.carbon.value * 3.6e9 == pytest.approx(383.55, abs=0.5)
    assert all(g.country == name.upper() for name, g in packaged().kind("grids").items())
    assert len(packaged().kind("grids")) > 60


def test_a_part_without_a_price_is_named_when_its_cost_is_asked_for():
    given = {name: a for name, a in known().items() if name != "pumped-panel.price"}
    with pytest.raises(InputError, match=r"pumped-panel.price: .*has none"):
        boundary.orbit(SHIPS, boundary.nominal(given))


def test_a_price_without_a_source_in_a_users_catalog_is_refused_by_name(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "grids:\n  xx:\n    country: XX\n    carbon: 100 g/kWh\n    price: 0.07 USD/kWh\n"
    )
    with pytest.raises(InputError) as told:
        load(tmp_path)
    assert any("grids.xx" in p.path and "source" in f"{p.path} {p.what}" for p in told.value.problems)


def test_a_users_price_moves_the_cost(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "launchers:\n  starship:\n    source: a contract of ours\n    payload: 100 t\n    bay_diameter: 8 m\n"
        "    bay_volume: 1000 m3\n    price: 20e6 USD\n"
    )
    catalog = load(tmp_path)
    assert isinstance(catalog, Catalog)
    made = terms(boundary.orbit(SHIPS, boundary.nominal(boundary.assumptions(catalog, [SHIPS]))))
    before = terms(boundary.orbit(SHIPS, boundary.nominal(known())))
    assert made["launch"] / before["launch"] == pytest.approx(20 / 90)
