"""What a scenario's fleet is made of through years, in every draw: ships, how they wear, what they need, how long they last."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aether.base.errors import InputError, Problem
from aether.base.tables import Factors, Floats, Ints
from aether.economics import boundary
from aether.economics.boundary import ShipCost
from aether.engine import factors as measured
from aether.engine.lifetime_draws import Draws
from aether.engine.run import Progress
from aether.engine.verdict import ship_cost
from aether.operations import wear, years
from aether.scenario.catalog import Ship
from aether.scenario.load import Scenario
from aether.scenario.spec import ShipGroup
from aether.scenario.spec_lifetime import Lifetime
from aether.space import drag, sizing, transfer

YEAR_S, MONTH_S = years.YEAR_S, years.MONTH_S
PARTS = ("pump", "battery", "array", "loop")  # beside the bus and the mesh terminals: see fleet.*
HIGHEST_M = 1_000e3  # above it air density is not modelled and drag asks for next to nothing
FLUXES = np.array([60.0, 80.0, 110.0, 150.0, 200.0, 250.0])  # knots of F10.7 between which log density is linear


@dataclass(frozen=True)
class Ships:
    """The ships of a scenario as a fleet sees them, one new ship of each group (G,); draws D, ages A, months N."""

    scenario: Scenario
    asked: Lifetime
    draws: Draws
    months: int
    time_s: Floats  # (M,) middle of each month, from the start
    start_year: float
    names: tuple[str, ...]
    cost: tuple[ShipCost, ...]  # of one ship
    count: Ints  # (G,)
    age: Ints  # (G,) months at the start
    altitude_m: Floats
    gpus: Floats
    flops: Floats
    mass_kg: Floats
    lifted_kg: Floats
    boards_kg: Floats
    area_m2: Floats  # across the flight
    factors: Factors
    life: Ints  # (D,) months that a ship is meant to work
    longest: int  # of any draw


def ships(scenario: Scenario, progress: Progress | None = None) -> Ships:
    """The fleet of a scenario, its factors measured. Raises InputError for a scenario without ships, and as `assemble`."""
    spec, asked = scenario.spec, scenario.spec.lifetime
    if not spec.ships:
        raise InputError(Problem("ships", "a fleet through years needs ships", next="Give at least one group"))
    flown = [_flown(scenario, group) for group in spec.ships]
    budgets = tuple(sizing.budget(ship, scenario.catalog) for ship in flown)
    cost = tuple(ship_cost(made, 1, scenario.catalog) for made in budgets)
    known = boundary.assumptions(scenario.catalog, cost)
    known |= {
        n: scenario.assume(n)
        for n in scenario.catalog.kind("assumptions")
        if n.startswith(("fleet.", "faults.", "avoidance.", "mass."))
    }
    draws = Draws(known, spec.seed, asked.draws, asked.ranges)
    life_s = draws("cost.life_orbit") if asked.life is None else np.full(asked.draws, asked.life)
    if asked.upgrade == "ships":
        life_s = np.minimum(life_s, asked.upgrade_every)
    fleet = sizing.fleet([(b, g.name, 1, 0.0) for b, g in zip(budgets, spec.ships, strict=True)], scenario.catalog)
    life = np.maximum(years.months(life_s), 1)
    start, months = asked.start or spec.start, 12 * asked.years
    return Ships(
        scenario=scenario, asked=asked, draws=draws, months=months, time_s=years.middles(months),
        start_year=start.year + (start.timetuple().tm_yday - 1) / 365.25, names=tuple(g.name for g in spec.ships), cost=cost,
        count=np.array([g.count for g in spec.ships], np.int64), age=years.months(np.array([g.age for g in spec.ships])),
        altitude_m=np.array([g.orbit.altitude for g in spec.ships]), gpus=fleet.gpus, flops=fleet.flops_per_gpu,
        mass_kg=fleet.mass_kg, lifted_kg=np.array([b.lifted_kg for b in budgets]),
        boards_kg=np.array([c.accelerator_kg for c in cost]), area_m2=fleet.drag_area_m2,
        factors=measured.measure(scenario, float(life_s.max()), progress), life=life, longest=int(life.max()),
    )  # fmt: skip


def _flown(scenario: Scenario, group: ShipGroup) -> Ship:
    ship, vehicle = scenario.ship(group), scenario.spec.lifetime.vehicle
    return ship if vehicle is None else ship.model_copy(update={"launcher": vehicle})


def boards(fleet: Ships) -> Floats:
    """Share of GPUs that works by the age of its boards (D, A + 1)."""
    draws, ages_s = fleet.draws, years.ages(fleet.longest)
    life_s = draws.nominal("cost.life_orbit") if fleet.asked.life is None else fleet.asked.life
    rate, shape = draws("faults.gpu_orbit")[:, None], draws("fleet.gpu_shape")[:, None]
    early = wear.early(ages_s, draws("fleet.infant_gpu")[:, None], draws("fleet.infant_time")[:, None])
    return np.asarray(wear.attrition(ages_s, rate, shape, life_s) * early)


def survival(fleet: Ships) -> Floats:
    """Share of ships that lives by age (D, G, A + 1): bus, early deaths, and each part of which too few may be left."""
    draws, ages_s = fleet.draws, years.ages(fleet.longest)

    def part(name: str) -> Floats:
        return wear.weibull(ages_s, draws(f"fleet.{name}_scale")[:, None], draws(f"fleet.{name}_shape")[:, None])

    early = wear.early(ages_s, draws("fleet.infant_ship")[:, None], draws("fleet.infant_time")[:, None])
    alive: Floats = part("bus") * early
    for name in PARTS:
        count, needed = (round(draws.nominal(f"fleet.{name}_{k}")) for k in ("count", "needed"))
        alive = alive * wear.enough(part(name), count, needed)
    terminal = part("terminal")
    held = [fleet.scenario.ship(group).terminals for group in fleet.scenario.spec.ships]
    return np.stack([alive * wear.enough(terminal, n, 1) for n in held], axis=1)


def drag_m_s(fleet: Ships) -> Floats:
    """Delta-v against drag summed to each month (D, G, N + 1), from the oldest ship's launch to long after the last."""
    before, groups = int(fleet.age.max(initial=0)), len(fleet.names)
    span = before + fleet.months + fleet.longest
    year = fleet.start_year + years.middles(span) / YEAR_S - before / 12.0
    draws = fleet.draws
    low, high = draws("fleet.solar_low")[:, None], draws("fleet.solar_high")[:, None]
    flux = np.clip(years.solar_flux(year, low, high), FLUXES[0], FLUXES[-1])
    flies = fleet.altitude_m <= HIGHEST_M
    made = np.zeros((draws.count, groups, span + 1))
    if not flies.any():
        return made
    heights = fleet.altitude_m[flies]
    rho = np.stack([drag.density(heights, f107=float(f)) for f in FLUXES])  # (F, g)
    for row, g in enumerate(np.flatnonzero(flies)):
        air = np.exp(np.interp(flux, FLUXES, np.log(rho[:, row]))) * draws("fleet.density")[:, None]
        yearly = drag.delta_v_per_year(fleet.altitude_m[g], air, fleet.area_m2[g], fleet.mass_kg[g])
        made[:, g, 1:] = np.cumsum(yearly / 12.0, axis=1)
    return made


def budget_m_s(fleet: Ships) -> tuple[Floats, Floats, Floats]:
    """Delta-v of raising and of coming down (D, G), and of avoidance in a year (D,)."""
    draws = fleet.draws
    end, first = draws("fleet.disposal_altitude")[:, None], draws("fleet.insertion")[:, None]
    speed = [np.sqrt(drag.MU_M3_S2 / (drag.EARTH_RADIUS_M + h)) for h in (fleet.altitude_m, first, end)]
    return (
        np.abs(speed[1] - speed[0]), np.abs(speed[2] - speed[0]),
        draws("avoidance.rate") * YEAR_S * draws("fleet.avoidance_delta_v"),
    )  # fmt: skip


def lives(fleet: Ships, spent_m_s: Floats, storm: int) -> tuple[Ints, Floats]:
    """Months after which each cohort retires (D, G, M + 1), and the share of draws by what ends a life of ships launched first.

    The least of the life asked for, propellant (drag, avoidance; raising and disposal kept) and dose, a storm's included.
    """
    draws, groups, span = fleet.draws, len(fleet.names), fleet.months
    raising, down, yearly = budget_m_s(fleet)
    left = draws("fleet.delta_v")[:, None] - raising - down
    fuel = years.lasting(spent_m_s, yearly, left, fleet.longest)
    before = int(fleet.age.max(initial=0))
    births = np.concatenate([np.stack([before - fleet.age]), np.repeat(before + np.arange(span)[:, None], groups, 1)])
    by_fuel = np.stack([fuel[:, g, births[:, g]] for g in range(groups)], axis=1)  # (D, G, M + 1)
    rate = fleet.factors.dose_rad_s.mean(axis=(1, 2))
    limit = draws("fleet.dose_limit")[:, None, None]
    hit = np.zeros((groups, span + 1), bool) if storm < 0 else storm >= (births - before).T
    dose_s = wear.dose_life(np.maximum(limit - hit * draws("fleet.storm_dose")[:, None, None], 1e-9), rate[:, None])
    by_dose = np.minimum(dose_s / MONTH_S, 1e6).astype(np.int64)
    meant = np.broadcast_to(fleet.life[:, None, None], by_fuel.shape)
    life = np.minimum(np.minimum(by_fuel, by_dose), meant)
    first = np.stack([meant[..., 1], by_fuel[..., 1], by_dose[..., 1]])  # ties: the life meant
    ended = first.argmin(axis=0)
    return life, np.stack([(ended == k).mean(axis=0) for k in range(3)], axis=1)


def propellant_kg(fleet: Ships) -> Floats:
    """Propellant of a new ship (D, G): the delta-v aboard by the rocket equation."""
    draws = fleet.draws
    share = -np.expm1(-draws("fleet.delta_v") / (transfer.G0_M_S2 * draws("mass.specific_impulse")))
    return np.asarray(share[:, None] * fleet.mass_kg)


def loads(fleet: Ships) -> tuple[Floats, Floats]:
    """Flights that a ship fills, and that its new boards fill (D, G): up to one it shares a flight, above it takes whole ones."""
    draws = fleet.draws
    full, kit = [], []
    for g, cost in enumerate(fleet.cost):
        payload, bay = draws(f"{cost.launcher}.payload"), draws(f"{cost.launcher}.bay_volume")
        one = np.maximum(cost.lifted_kg / payload, cost.volume_m3 / bay)
        full.append(np.where(one <= 1.0, 1.0 / np.floor(1.0 / np.minimum(one, 1.0) + 1e-9), one))
        kit.append(fleet.boards_kg[g] * (1.0 + draws("fleet.servicer")) / payload)
    return np.stack(full, axis=1), np.stack(kit, axis=1)


@dataclass(frozen=True)
class Drawn:
    """What all draws make of the assumptions, stacked."""

    dies: Floats
    boards: Floats
    life: Ints
    lead: Ints  # (D, G)
    loads: Floats
    service_loads: Floats
    generation: Floats  # (D, M + 1)
    up: Floats  # (D,)


def drawn(fleet: Ships, alive: Floats, working: Floats, life: Ints) -> Drawn:
    """The chances of all draws: survival by age (D, G, A + 1), boards (D, A + 1), lives (D, G, M + 1), loads, generations."""
    draws, asked = fleet.draws, fleet.asked
    full, kit = loads(fleet)
    assembly = years.months(draws("fleet.assembly"))[:, None]
    lead = int(years.months(asked.commissioning)) + np.where(full > 1.0, assembly, 0)
    built_s = np.concatenate([fleet.time_s, fleet.time_s[-1:]])
    growth, interval, limit = (
        draws(f"fleet.{k}")[:, None] for k in ("compute_per_watt", "generation", "compute_limit")
    )
    newest = years.generation(built_s, growth, interval, limit)
    up = 1.0 / (1.0 + draws("faults.ship") * draws("faults.ship_repair"))  # steady state of alternating renewal
    return Drawn(wear.chance(alive), working, life, lead.astype(np.int64), full, kit, newest, up)
