"""Cost models of others, as they stand, so that their figures can be reproduced: their boundaries are not ours.

Inputs are the sources' own defaults. A year is 8,760 h in all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from aether.base.errors import InputError, Problem
from aether.economics.cost import YEAR_S, annuity, levelised

YEAR_H = 8760.0  # 365 days of 24 h, as in the sources
LAUNCH_KG = 100e3  # one Starship, McCalip
SATELLITE_W = 27e3  # one Starlink v2 mini, McCalip: whole satellites are counted
BTU_PER_MMBTU = 1e6  # definition


@dataclass(frozen=True, slots=True)
class Plant:
    """What a power plant with or without its chips costs: per watt, per energy, and for orbit what is lifted."""

    usd_w: float
    usd_mwh: float
    mass_kg: float = 0.0
    launches: float = 0.0


@dataclass(frozen=True, slots=True)
class Hourly:
    """Cost per GPU-hour by part [USD], and their sum."""

    hardware: float
    facility: float  # of the ship, or of the building
    running: float  # operations in orbit, electricity on the ground

    @property
    def sum(self) -> float:
        """All parts [USD per GPU-hour]."""
        return math.fsum((self.hardware, self.facility, self.running))


def mccalip_orbit(
    power_w: float = 1e9,
    life_years: int = 5,
    satellite_usd_w: float = 22.0,
    specific_power_w_kg: float = 36.5,
    launch_usd_kg: float = 500.0,
    cell_loss: float = 0.025,
    sun_share: float = 0.98,
    gpu_failure: float = 0.09,
    overhead: float = 0.01,
    fixed_usd: float = 1e9,
) -> Plant:
    """McCalip's power in orbit: C = h (1 + (o + g) Y) + p M + F.

    Installed power P_0 = P / (s mean_k (1 - d)^k), k = 0 .. Y - 1, in whole satellites; hardware h = c P_0; M = P_0 / w.
    power_w P [W] wanted on average; life_years Y; satellite_usd_w c [USD/W]; specific_power_w_kg w [W/kg];
    launch_usd_kg p [USD/kg]; cell_loss d, gpu_failure g, overhead o: shares a year; sun_share s; fixed_usd F [USD].
    Returns USD per average watt and per MWh of P at full hours: nothing is taken off the 100 %, whereas the ground in the
    same comparison is divided by 85 %. Raises InputError for a life below a year or a share outside 0 to 1.
    Validity: no interest; a failed GPU is charged as its share of the whole satellite; chips are not in c.

    [1] McCalip, Economics of Orbital vs Terrestrial Data Centers, 2025, repository defaults.
    """
    if life_years < 1 or not 0.0 <= cell_loss < 1.0 or not 0.0 < sun_share <= 1.0:
        raise InputError(Problem("mccalip_orbit", "life is at least a year, cell_loss and sun_share lie in 0 to 1"))
    kept = math.fsum((1.0 - cell_loss) ** year for year in range(life_years)) / life_years
    installed_w = math.ceil(power_w / (kept * sun_share) / SATELLITE_W) * SATELLITE_W
    mass_kg = installed_w / specific_power_w_kg
    hardware = satellite_usd_w * installed_w
    cost = hardware * (1.0 + (overhead + gpu_failure) * life_years) + launch_usd_kg * mass_kg + fixed_usd
    energy_mwh = power_w / 1e6 * YEAR_H * life_years
    return Plant(cost / power_w, cost / energy_mwh, mass_kg, math.ceil(mass_kg / LAUNCH_KG))


def mccalip_ground(
    turbine_usd_w: float = 1.8,
    pue: float = 1.2,
    others_usd_w: tuple[float, ...] = (5.25, 3.0, 2.5, 1.75),
    gas_usd_mmbtu: float = 4.30,
    heat_rate_btu_kwh: float = 6200.0,
    capacity_factor: float = 0.85,
    life_years: float = 5.0,
) -> Plant:
    """McCalip's gas plant and hall: c = t PUE + sum(others) + fuel, fuel = q g PUE f Y.

    turbine_usd_w t [USD/W]; others_usd_w: electrical, cooling, civil, network [USD/W]; gas_usd_mmbtu g [USD/MMBtu];
    heat_rate_btu_kwh q [Btu/kWh]; capacity_factor f [1]; life_years Y [year].
    Returns USD per IT watt, and per MWh of f of the hours: the ground is divided by 85 %, orbit by 100 %, which alone
    makes the ground 18 % dearer per MWh. Raises InputError for a capacity factor outside 0 to 1 or no life.
    Validity: no interest, no staff, chips left out.

    [1] As `mccalip_orbit`.
    """
    if not 0.0 < capacity_factor <= 1.0 or life_years <= 0.0:
        raise InputError(Problem("mccalip_ground", "capacity_factor lies in 0 to 1, life is positive"))
    energy_mwh_w = YEAR_H * life_years * capacity_factor / 1e6
    fuel_usd_mwh = heat_rate_btu_kwh * 1e3 / BTU_PER_MMBTU * gas_usd_mmbtu
    usd_w = turbine_usd_w * pue + math.fsum(others_usd_w) + fuel_usd_mwh * energy_mwh_w * pue
    return Plant(usd_w, usd_w / energy_mwh_w)


def semianalysis_orbit(
    hardware_usd: float = 980_882.0,
    ship_usd: float = 3.1e6,
    capital_rate: float = 0.15,
    life_years: float = 5.0,
    operations_usd_month: float = 4167.0,
    gpus: float = 16.0,
) -> Hourly:
    """SemiAnalysis's satellite of 16 GPUs: monthly annuities over the ship's life, and operations, per GPU-hour.

    hardware_usd: accelerators and host [USD]; ship_usd: spacecraft, launch in it [USD]; capital_rate [1/year];
    life_years [year]; operations_usd_month [USD]; gpus [1]. Returns Hourly.
    Raises InputError as `cost.annuity`. Validity: every hour of the year counts, no losses; a yearly annuity misses by 5 %.

    [1] SemiAnalysis, on data centres in orbit, 2026, public part.
    """
    return Hourly(
        _hourly(hardware_usd, capital_rate, life_years, gpus), _hourly(ship_usd, capital_rate, life_years, gpus),
        levelised([operations_usd_month * 12.0], gpus * YEAR_H),
    )  # fmt: skip


def semianalysis_ground(
    hardware_usd: float = 986_158.0,
    facility_usd: float = 382e3,
    capital_rate: float = 0.103,
    life_years: float = 5.0,
    facility_years: float = 15.0,
    energy_usd_kwh: float = 0.087,
    pue: float = 1.35,
    load_share: float = 0.8,
    gpu_kw: float = 2.13,
    gpus: float = 16.0,
) -> Hourly:
    """SemiAnalysis's hall for the same 16 GPUs: annuities, and electricity = price x PUE x load x kW, per GPU-hour.

    hardware_usd, facility_usd [USD]; capital_rate [1/year]; life_years, facility_years [year]; energy_usd_kwh [USD/kWh];
    load_share [1]: mean draw over gpu_kw [kW per GPU]; gpus [1]. Returns Hourly.
    Raises InputError as `cost.annuity`. Validity: every hour of the year counts, no losses.

    [1] As `semianalysis_orbit`.
    """
    return Hourly(
        _hourly(hardware_usd, capital_rate, life_years, gpus), _hourly(facility_usd, capital_rate, facility_years, gpus),
        energy_usd_kwh * pue * load_share * gpu_kw,
    )  # fmt: skip


def _hourly(capital_usd: float, capital_rate: float, life_years: float, gpus: float) -> float:
    return annuity(capital_usd, capital_rate / YEAR_S, life_years * YEAR_S, units=gpus * YEAR_H)
