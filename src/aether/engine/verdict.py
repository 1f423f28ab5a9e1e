"""The verdict of a run: what a GPU-hour, a PFLOP-hour and a million tokens cost in orbit and on the ground, and what they emit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from aether.base.errors import InputError
from aether.base.provenance import Assumption
from aether.economics import boundary, carbon, cost, threshold
from aether.economics.boundary import ShipCost, SiteCost, Value
from aether.engine.assemble import Setup
from aether.engine.hosts import accelerator, site_place
from aether.engine.totals import Totals
from aether.operations import launch
from aether.scenario.catalog import Catalog
from aether.space import sizing

HOUR_S, YEAR_S = 3600.0, 365.25 * 86400.0  # definition; Julian year
SWINGS = 10  # terms shown
REFERENCE = ("liquid-cooled", "us")  # the ground beside a scenario without sites: its class and its grid


@dataclass(frozen=True)
class Side:
    """One side of the comparison and what it made in the run."""

    ships: tuple[ShipCost, ...]
    sites: tuple[SiteCost, ...]
    installed_h: float  # GPU-hours a year
    deliverable_h: float  # that could have worked
    delivered_h: float  # that did
    pflop_deliverable_h: float  # PFLOP-hours a year, dense BF16
    inference_h: float  # GPU-hours a year at work for people
    mtokens: float  # millions of tokens of answers a year

    def usd_year(self, value: Value) -> cost.Amount:
        """All terms of a year [USD]; of draws, draws."""
        return cost.total(self.terms(value))

    def terms(self, value: Value) -> tuple[cost.Term, ...]:
        """A year's terms by asset, groups and sites together, in the boundary's order."""
        rows = [t for g in self.ships for t in boundary.orbit(g, value)] + [
            t for s in self.sites for t in boundary.ground(s, value)
        ]
        merged: dict[str, cost.Amount] = {}
        for term in rows:
            merged[term.asset] = merged.get(term.asset, 0.0) + term.usd_year
        return tuple(cost.Term(asset, usd) for asset, usd in merged.items())

    def per_gpu_hour(self, value: Value) -> cost.Amount:
        """Levelised over all that could have worked [USD per GPU-hour at full clocks]."""
        return cost.levelised([self.usd_year(value)], self.deliverable_h)

    @property
    def it_w(self) -> float:
        """GPUs and hosts at full clocks [W]."""
        return sum(g.it_w for g in self.ships) + sum(s.it_w for s in self.sites)

    def capital_usd(self, value: Value) -> cost.Amount:
        """What all of it costs before it works [USD]."""
        up = [
            usd for g in self.ships for part in (boundary.hardware, boundary.lifting) for usd in part(g, value).values()
        ]
        return cost.added([*up, *(usd for s in self.sites for usd in boundary.capital_ground(s, value).values())])

    def capital_share(self, value: Value) -> float:
        """Share of a year's cost that recovers capital."""
        terms = self.terms(value)
        return 1.0 - cost.total(t for t in terms if t.asset in boundary.RUNNING) / cost.total(terms)

    def footprints(self, value: Value) -> list[carbon.Footprint]:
        """Carbon and water of a year, group by group and site by site."""
        return [carbon.orbit(g, value) for g in self.ships] + [carbon.ground(s, value) for s in self.sites]


def sides(setup: Setup, totals: Totals) -> tuple[Side, Side, dict[str, Assumption]]:
    """Orbit, the ground beside it (a reference site where the scenario has none), and all that both rest on by name."""
    orbit, ground = _orbit(setup, totals), _ground(setup, totals) if setup.hosts.sites else _reference(setup)
    return orbit, ground, _known(setup, orbit, ground)


def verdict(setup: Setup, totals: Totals) -> dict[str, Any]:
    """Cost and carbon of both sides; `missing` says in words what has no price."""
    orbit, ground, known = sides(setup, totals)
    own = bool(setup.hosts.sites)
    try:
        cost_told: dict[str, Any] = {
            "orbit": _side(orbit, known) if orbit.ships else None, "ground": _side(ground, known),
            "ground_is": "the scenario's sites" if own else f"a reference site: {REFERENCE[0]}, {REFERENCE[1].upper()}, the same GPUs at full load",
        }  # fmt: skip
        if orbit.ships:
            cost_told |= _beside(orbit, ground, known)
    except InputError as error:
        return {"cost": {"missing": [str(p) for p in error.problems]}, "footprint": None}
    days = setup.scenario.clock.duration_s / YEAR_S
    return {
        "cost": cost_told,
        "footprint": {
            "orbit": _footprint(orbit, known, days) if orbit.ships else None,
            "ground": _footprint(ground, known, days),
        },
    }


def usd_per_mtoken(setup: Setup, totals: Totals) -> float | None:
    """What a million tokens of answers cost in the run as it went, both sides together, idle hours paid by who works."""
    orbit, ground = _orbit(setup, totals), _ground(setup, totals)
    mtokens, hours = orbit.mtokens + ground.mtokens, orbit.delivered_h + ground.delivered_h
    if mtokens <= 0.0 or hours <= 0.0:
        return None
    value = boundary.nominal(_known(setup, orbit, ground))
    try:
        usd = orbit.usd_year(value) + ground.usd_year(value)
    except InputError:
        return None
    return usd / hours * (orbit.inference_h + ground.inference_h) / mtokens


def _known(setup: Setup, *sides: Side) -> dict[str, Assumption]:
    """Every assumption that the sides rest on, the scenario's own values before the catalog's."""
    found: dict[str, Assumption] = {}
    for side in sides:
        found |= boundary.assumptions(setup.scenario.catalog, side.ships, side.sites)
    return found


def _orbit(setup: Setup, totals: Totals) -> Side:
    groups = zip(setup.budgets, setup.scenario.spec.ships, strict=True)
    ships = tuple(ship_cost(made, group.count, setup.scenario.catalog) for made, group in groups)
    hours = setup.scenario.clock.step_s / HOUR_S * YEAR_S / setup.scenario.clock.duration_s
    k = setup.hosts.ships
    mended = (
        np.divide(1.0, setup.worn[:k], out=np.zeros(k), where=setup.worn[:k] > 0.0)
        if setup.scenario.spec.couplings.faults
        else np.ones(k)
    )  # attrition is charged as a cost
    sums = {s: totals.ships.sums[s] * hours * mended for s in ("reach", "delivered")}
    installed = totals.ships.sums["installed"].sum() * hours
    inference_h, mtokens = _served(setup, totals, np.arange(k), hours)
    pflop = float((sums["reach"] * setup.fleet.flops_per_gpu).sum()) / 1e15
    return Side(
        ships,
        (),
        float(installed),
        float(sums["reach"].sum()),
        float(sums["delivered"].sum()),
        pflop,
        inference_h,
        mtokens,
    )


def _ground(setup: Setup, totals: Totals) -> Side:
    first, count = setup.hosts.ships, setup.hosts.sites
    rows = np.arange(first, first + count)
    hours = setup.scenario.clock.step_s / HOUR_S * YEAR_S / setup.scenario.clock.duration_s
    work, gpus = totals.work, setup.hosts.gpus[rows]
    used = np.sum([work.hosts[f"{k}_gpu"] for k in ("inference", "training", "batch")], axis=0)[rows]
    used += work.data.gpu_ticks.sum(axis=0)[rows]
    free = (
        work.hosts["free_gpu"][rows] if setup.work.some else gpus * totals.ticks
    )  # not written down where nothing is asked
    busy = np.divide(used / totals.ticks, gpus, out=np.zeros(count), where=gpus > 0)
    sites = tuple(_site(setup, j, float(busy[j])) for j in range(count))
    flops = np.array([setup.scenario.catalog.accelerator(setup.hosts.accelerator[r]).bf16.value for r in rows])
    pflop = float((free * flops).sum()) * hours / 1e15 if count else 0.0
    inference_h, mtokens = _served(setup, totals, rows, hours)
    installed = float(gpus.sum()) * YEAR_S / HOUR_S
    return Side((), sites, installed, float(free.sum()) * hours, float(used.sum()) * hours, pflop, inference_h, mtokens)


def _served(setup: Setup, totals: Totals, rows: np.ndarray, hours: float) -> tuple[float, float]:
    """GPU-hours a year for people, and millions of tokens a year, of some hosts."""
    if not setup.work.some:
        return 0.0, 0.0
    gpu, tokens = (float(totals.work.hosts[k][rows].sum()) for k in ("inference_gpu", "tokens"))
    return gpu * hours, tokens * YEAR_S / setup.scenario.clock.duration_s / 1e6


def ship_cost(made: sizing.Budget, count: int, catalog: Catalog) -> ShipCost:
    """The quantities of so many ships of one budget that cost money."""
    ship = made.ship
    part, launcher = catalog.accelerator(ship.accelerator), catalog.launcher(ship.launcher)
    flown = launch.flights(made.lifted_kg, made.volume_m3, launcher.payload.value, launcher.bay_volume.value)
    terminals = [(ship.terminal, float(ship.terminals * count))]
    if ship.neighbour_terminals:
        terminals.append((ship.neighbour_terminal or ship.terminal, float(ship.neighbour_terminals * count)))
    hull_kg = 0.0 if ship.hull_mass is None else ship.hull_mass.value
    return ShipCost(
        ship=ship.name, accelerator=ship.accelerator, array=ship.array, battery=ship.battery, radiator=ship.radiator,
        launcher=ship.launcher, count=float(count), gpus=float(ship.gpus * count), units=ship.gpus * count / part.gpus,
        array_w=made.array_w * count, battery_j=made.battery_j * count, radiator_m2=made.radiator_area_m2 * count,
        terminals=tuple(terminals), accelerator_kg=made.masses_kg.get("accelerators", 0.0) * count, lifted_kg=made.lifted_kg * count,
        volume_m3=made.volume_m3 * count, propellant_kg=made.masses_kg.get("propellant", 0.0) * count,
        it_w=(made.chips_w + made.hosts_w) * count, packing=flown.per_ship / made.loads if made.loads > 0 else 1.0,
        hulls=float(count) if ship.hull_mass is not None else 0.0, hull_kg=hull_kg,
    )  # fmt: skip


def _site(setup: Setup, j: int, busy: float) -> SiteCost:
    group = setup.scenario.spec.sites[j]
    name, place = accelerator(setup.scenario, group), site_place(setup.scenario, group)
    return site_cost(group.site, str(place.country).lower(), name, float(group.gpus), busy, setup.scenario.catalog)


def site_cost(site: str, country: str, name: str, gpus: float, busy: float, catalog: Catalog) -> SiteCost:
    """The quantities of a ground site that cost money; busy: share of its GPUs at work."""
    part = catalog.accelerator(name)
    full_w = part.power.value + part.host_power.value
    idle_w = part.idle_power.value + catalog.value("gpu.host_idle_share") * part.host_power.value
    return SiteCost(
        site, country, name, gpus, gpus / part.gpus, gpus * full_w, gpus * (idle_w + (full_w - idle_w) * busy)
    )


def _reference(setup: Setup) -> Side:
    """A ground site with the ships' own GPUs, always at work."""
    counts: dict[str, float] = {}
    for group in setup.scenario.spec.ships:
        ship = setup.scenario.ship(group)
        counts[ship.accelerator] = counts.get(ship.accelerator, 0.0) + ship.gpus * group.count
    sites = tuple(site_cost(*REFERENCE, name, gpus, 1.0, setup.scenario.catalog) for name, gpus in counts.items())
    hours = sum(counts.values()) * YEAR_S / HOUR_S
    pflop = (
        sum(g * setup.scenario.catalog.accelerator(n).bf16.value for n, g in counts.items()) * YEAR_S / HOUR_S / 1e15
    )
    return Side((), sites, hours, hours, hours, pflop, 0.0, 0.0)


def _side(side: Side, known: Mapping[str, Assumption]) -> dict[str, Any]:
    """Cost of one side: totals, levelised figures with their range, terms, what moves them."""
    value = boundary.nominal(known)
    terms = side.terms(value)
    usd = cost.total(terms)
    hour = threshold.ranged(side.per_gpu_hour, known)
    per_token = side.inference_h / side.mtokens if side.mtokens > 0 else None
    scale = {"usd_per_gpu_hour": 1.0, "usd_per_pflop_hour": side.deliverable_h / side.pflop_deliverable_h if side.pflop_deliverable_h > 0 else None,
             "usd_per_mtoken": per_token}  # fmt: skip
    ends = {k: getattr(hour, k) for k in ("low", "nominal", "high", "best", "worst")}
    figures = {
        k: None if s is None else {end: usd_hour * s for end, usd_hour in ends.items()} for k, s in scale.items()
    }
    cents = cost.cents([t.usd_year for t in terms])
    return figures | {
        "usd_year": sum(cents) / 100.0, "usd_per_installed_gpu_hour": usd / side.installed_h if side.installed_h else None,
        "usd_per_delivered_gpu_hour": usd / side.delivered_h if side.delivered_h else None,
        "terms": [{"asset": t.asset, "usd_year": c / 100.0, "share": t.usd_year / usd if usd else 0.0} for t, c in zip(terms, cents, strict=True)],
        "swings": [_swing(s, known) for s in hour.swings[:SWINGS]],
    }  # fmt: skip


def _swing(swing: threshold.Swing, known: Mapping[str, Assumption]) -> dict[str, Any]:
    return asdict(swing) | {"unit": known[swing.name].unit, "width": swing.width}


def _beside(orbit: Side, ground: Side, known: Mapping[str, Assumption]) -> dict[str, Any]:
    """Orbit over ground, its range, and the value of each single assumption at which the two cost alike."""
    ratio = threshold.ranged(lambda v: orbit.per_gpu_hour(v) / ground.per_gpu_hour(v), known)
    both = 0.0 < ratio.nominal < np.inf  # neither has no hour that could have worked
    swings = ratio.swings[:SWINGS] if both else ()
    found = [threshold.threshold(orbit.per_gpu_hour, ground.per_gpu_hour, s.name, known) for s in swings]
    return {
        "ratio": {"low": ratio.low, "nominal": ratio.nominal, "high": ratio.high, "best": ratio.best, "worst": ratio.worst},
        "parity": [asdict(t) | {"unit": known[t.name].unit, "nominal_value": known[t.name].value} for t in found],
    }  # fmt: skip


def _footprint(side: Side, known: Mapping[str, Assumption], years: float) -> dict[str, Any]:
    """Carbon and water of the run's time: what was built spread over its life, and what was used."""
    value = boundary.nominal(known)
    made = side.footprints(value)
    rows: dict[str, float] = {}
    for footprint in made:
        for emission in footprint.emissions:
            rows[emission.cause] = rows.get(emission.cause, 0.0) + emission.kg_year
    total = sum(rows.values())
    ranged = threshold.ranged(lambda v: sum(f.kg_year for f in side.footprints(v)), known)
    return {
        "carbon_kg": total * years, "carbon_low_kg": ranged.low * years, "carbon_high_kg": ranged.high * years,
        "carbon_per_gpu_hour_kg": total / side.deliverable_h if side.deliverable_h else None,
        "causes": [{"cause": k, "kg": v * years} for k, v in rows.items()], "water_kg": sum(f.water_kg_year for f in made) * years,
        "burnt_kg_year": sum(f.burnt_kg_year for f in made),
        "grid_kwh": sum(s.drawn_w * value(f"{s.site}.pue") for s in side.sites) * YEAR_S * years / 3.6e6,
    }  # fmt: skip
