"""The models of money that `aether validate` knows."""

from __future__ import annotations

import re
from collections.abc import Mapping

from aether.base.units import parse
from aether.economics import boundary, cost, published
from aether.engine.verdict import REFERENCE, ship_cost, site_cost
from aether.scenario.catalog import packaged
from aether.space import sizing
from aether.study.validation import model

Answer = Mapping[str, float]
MOST_YEARS = 200.0  # a plain number up to this is years: no life is as short as that in seconds


def _years(life: float) -> float:
    return life if life <= MOST_YEARS else life / cost.YEAR_S


@model(
    "economics.launched_power",
    {"mass": "kg", "power": "W", "life": "s", "price": "USD/kg"},
    {"launched_power": "USD/kW/year"},
)
def _launched_power(mass: float, power: float, life: float, price: float) -> Answer:
    """Launch price per kilowatt and year of life; a plain life is in years."""
    return {"launched_power": cost.launched_power(mass, power, _years(life), price)}


@model(
    "economics.annuity",
    {"capital": "USD", "rate": "1", "life": "s", "periods_per_year": "1", "units": "1"},
    {"per_unit_hour": "USD", "per_year": "USD"},
    optional=("periods_per_year", "units"),
)
def _annuity(
    capital: float, rate: float, life: float, periods_per_year: float = cost.MONTHS, units: float = 1.0
) -> Answer:
    """Capital recovery per unit and hour of a year of 8,760 h, and per year for all units; rate is per year."""
    paid = cost.annuity(capital, rate / cost.YEAR_S, _years(life) * cost.YEAR_S, periods_per_year)
    return {"per_unit_hour": cost.levelised([paid], units * published.YEAR_H), "per_year": paid}


@model(
    "economics.levelised",
    {"parts": "", "availability": "1", "redundancy": "1"},
    {"cost": "USD"},
    optional=("availability", "redundancy"),
)
def _levelised(parts: str, availability: float = 1.0, redundancy: float = 1.0) -> Answer:
    """Sum of parts per unit, over availability, times redundancy; parts as "2.00, 6.29, 0.36" or a list."""
    found = [parse(p.strip(" []'\""), "1") for p in re.split(r"[,;]", parts)]
    return {"cost": cost.levelised(found, 1.0, availability, redundancy)}


@model(
    "economics.mccalip_orbit",
    {"power": "W", "years": "1", "satellite_price": "USD/W", "specific_power": "W/kg", "launch_price": "USD/kg", "cell_loss": "1",
     "sun_share": "1", "gpu_failure": "1", "overhead": "1", "fixed": "USD"},
    {"per_power": "USD/W", "per_energy": "USD/MWh", "mass": "kg", "launches": "1"},
    optional=("power", "years", "satellite_price", "specific_power", "launch_price", "cell_loss", "sun_share", "gpu_failure", "overhead",
              "fixed"),
)  # fmt: skip
def _mccalip_orbit(
    power: float = 1e9, years: float = 5, satellite_price: float = 22.0, specific_power: float = 36.5, launch_price: float = 500.0,
    cell_loss: float = 0.025, sun_share: float = 0.98, gpu_failure: float = 0.09, overhead: float = 0.01, fixed: float = 1e9,
) -> Answer:  # fmt: skip
    """McCalip's power in orbit, divided by 100 % of the hours; shares are per year."""
    made = published.mccalip_orbit(power, round(years), satellite_price, specific_power, launch_price, cell_loss, sun_share,
                                   gpu_failure, overhead, fixed)  # fmt: skip
    return {"per_power": made.usd_w, "per_energy": made.usd_mwh, "mass": made.mass_kg, "launches": made.launches}


@model(
    "economics.mccalip_ground",
    {"turbine": "USD/W", "pue": "1", "electrical": "USD/W", "cooling": "USD/W", "civil": "USD/W", "network": "USD/W",
     "gas_per_mmbtu": "USD", "heat_rate_btu_per_kwh": "1", "capacity_factor": "1", "years": "1"},
    {"per_power": "USD/W", "per_energy": "USD/MWh"},
    optional=("turbine", "pue", "electrical", "cooling", "civil", "network", "gas_per_mmbtu", "heat_rate_btu_per_kwh", "capacity_factor",
              "years"),
)  # fmt: skip
def _mccalip_ground(
    turbine: float = 1.8, pue: float = 1.2, electrical: float = 5.25, cooling: float = 3.0, civil: float = 2.5, network: float = 1.75,
    gas_per_mmbtu: float = 4.30, heat_rate_btu_per_kwh: float = 6200.0, capacity_factor: float = 0.85, years: float = 5.0,
) -> Answer:  # fmt: skip
    """McCalip's gas plant and hall, divided by the capacity factor's share of the hours."""
    made = published.mccalip_ground(turbine, pue, (electrical, cooling, civil, network), gas_per_mmbtu, heat_rate_btu_per_kwh,
                                    capacity_factor, years)  # fmt: skip
    return {"per_power": made.usd_w, "per_energy": made.usd_mwh}


@model(
    "economics.semianalysis_orbit",
    {"hardware": "USD", "ship": "USD", "rate": "1", "life": "s", "operations_per_month": "USD", "gpus": "1"},
    {"hardware": "USD", "ship": "USD", "operations": "USD", "total": "USD"},
    optional=("hardware", "ship", "rate", "life", "operations_per_month", "gpus"),
)
def _semianalysis_orbit(
    hardware: float = 980_882.0, ship: float = 3.1e6, rate: float = 0.15, life: float = 5.0,
    operations_per_month: float = 4167.0, gpus: float = 16.0,
) -> Answer:  # fmt: skip
    """SemiAnalysis's satellite, per GPU-hour by part."""
    made = published.semianalysis_orbit(hardware, ship, rate, _years(life), operations_per_month, gpus)
    return {"hardware": made.hardware, "ship": made.facility, "operations": made.running, "total": made.sum}


@model(
    "economics.semianalysis_ground",
    {"hardware": "USD", "facility": "USD", "rate": "1", "life": "s", "facility_life": "s", "energy_price": "USD/kWh", "pue": "1",
     "load": "1", "gpu_power": "kW", "gpus": "1"},
    {"hardware": "USD", "facility": "USD", "energy": "USD", "total": "USD"},
    optional=("hardware", "facility", "rate", "life", "facility_life", "energy_price", "pue", "load", "gpu_power", "gpus"),
)  # fmt: skip
def _semianalysis_ground(
    hardware: float = 986_158.0, facility: float = 382e3, rate: float = 0.103, life: float = 5.0, facility_life: float = 15.0,
    energy_price: float = 0.087, pue: float = 1.35, load: float = 0.8, gpu_power: float = 2.13, gpus: float = 16.0,
) -> Answer:  # fmt: skip
    """SemiAnalysis's hall, per GPU-hour by part."""
    made = published.semianalysis_ground(hardware, facility, rate, _years(life), _years(facility_life), energy_price, pue, load,
                                         gpu_power, gpus)  # fmt: skip
    return {"hardware": made.hardware, "facility": made.facility, "energy": made.running, "total": made.sum}


@model("economics.contract", {"per_month": "USD", "gpus": "1"}, {"per_gpu_hour": "USD"})
def _contract(per_month: float, gpus: float) -> Answer:
    """A contract's price per GPU-hour, every hour of a year of 8,760 h paid: an identity."""
    return {"per_gpu_hour": cost.levelised([12.0 * per_month], gpus * published.YEAR_H)}


@model(
    "economics.ground_energy",
    {"power": "W", "life": "s", "energy_price": "USD/kWh", "water": "kg/kWh"},
    {"cost": "USD", "water": "kg"},
    optional=("water",),
)
def _ground_energy(power: float, life: float, energy_price: float, water: float = 0.0) -> Answer:
    """Electricity and water of a steady load over a life: identities."""
    energy_kwh = power / 1e3 * published.YEAR_H * _years(life)
    return {"cost": energy_kwh * energy_price, "water": energy_kwh * water}


@model("economics.allowed_price", {"price_per_power": "USD/W", "mass_per_power": "kg/W"}, {"price_per_mass": "USD/kg"})
def _allowed_price(price_per_power: float, mass_per_power: float) -> Answer:
    """Price of building and launching a kilogram that a price per power leaves: an identity."""
    return {"price_per_mass": price_per_power / mass_per_power}


@model(
    "economics.beside_ground",
    {"ship": "", "power": "W", "delivered_orbit": "1", "delivered_ground": "1"},
    {"orbit": "USD", "ground": "USD", "ratio": "1", "specific_mass": "kg/kW"},
    optional=("ship", "power", "delivered_orbit", "delivered_ground"),
)
def _beside_ground(
    ship: str = "ai1", power: float = 1e6, delivered_orbit: float = 1.0, delivered_ground: float = 1.0
) -> Answer:
    """Levelised USD per PFLOP-day (dense BF16) of ships and of the reference ground site under our boundary, and kg per kW."""
    catalog = packaged()
    made = sizing.budget(catalog.ship(ship), catalog)
    count = max(1, round(power / (made.chips_w + made.hosts_w)))
    ships = ship_cost(made, count, catalog)
    site = site_cost(*REFERENCE, ships.accelerator, ships.gpus, 1.0, catalog)
    value = boundary.nominal(boundary.assumptions(catalog, [ships], [site]))
    days = ships.gpus * catalog.accelerator(ships.accelerator).bf16.value / 1e15 * cost.YEAR_S / 86400.0
    orbit = cost.levelised([cost.total(boundary.orbit(ships, value))], days, delivered_orbit)
    ground = cost.levelised([cost.total(boundary.ground(site, value))], days, delivered_ground)
    mass = made.mass_kg / ((made.chips_w + made.hosts_w) / 1e3)
    return {"orbit": orbit, "ground": ground, "ratio": orbit / ground, "specific_mass": mass}
