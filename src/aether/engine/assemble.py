"""From a scenario to the arrays that a run needs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from aether.base.errors import InputError, Problem
from aether.base.tables import Elements, Fleet, Floats, Ints, Outage
from aether.engine import faults
from aether.engine.hosts import Hosts, cut, hosts
from aether.engine.work import Work, work
from aether.network import access, links, routing, terrestrial, topology
from aether.placement.policy import policies
from aether.scenario.catalog import Shell, Terminal
from aether.scenario.load import Scenario
from aether.scenario.spec import MeshShell, Place, ShipGroup
from aether.space import elements as element_sets
from aether.space import formation, ground, motion, orbits, radiation, sizing, visibility


@dataclass(frozen=True)
class End:
    """One end of a probe: a ship's node, or a place on the ground."""

    name: str
    node: int  # -1 for a place
    place: Place | None
    index: int  # row among the places of all probes, -1 for a ship


@dataclass(frozen=True)
class Sites:
    """Places on the ground with one least elevation."""

    names: tuple[str, ...]
    latitude_rad: Floats
    longitude_rad: Floats
    fixed_m: Floats
    weight: Floats  # people of a city, equal for cells
    elevation_rad: float
    horizon: visibility.Horizon
    max_slant_m: float = np.inf


@dataclass(frozen=True)
class Setup:
    """Everything that does not change through the run."""

    scenario: Scenario
    julian: float
    relays: Elements
    ships: Elements
    relays_ready: Any
    ships_ready: Any
    fleet: Fleet
    budgets: tuple[sizing.Budget, ...]  # one per group
    group: Ints  # (K,) group of each ship
    mesh_terminals: Ints  # (K,)
    neighbours: tuple[tuple[Ints, links.Terminal], ...]  # (P, 2) node numbers of ships joined, and by which laser
    relay_laser: links.Terminal
    view_rad: Floats  # (K,) half-angle of the field of view of each ship's mesh terminals
    gateway_open: Floats  # (G,) share of an average year in which rain leaves a gateway open
    gateways: Sites
    cities: Sites
    cells: Sites
    probes: tuple[tuple[End, End], ...]
    probe_sites: Sites
    fibre_s: tuple[float | None, ...]  # round trip by fibre of each probe
    city_gateways: tuple[Ints, Floats]  # the few gateways nearest to each city by fibre, and how far [s]
    overheads: access.Overheads
    sweep: Ints  # order in which routing sweeps over the nodes
    shielding: radiation.Shielding
    skipped: tuple[Problem, ...]  # bad element records left out
    hosts: Hosts
    work: Work
    worn: Floats  # (H,) share of the GPUs that the host's age has left
    outages: tuple[Outage, ...]  # of the whole run

    @property
    def relay_count(self) -> int:
        """How many relays; the number of the first ship's node."""
        return len(self.relays.epoch_s)


def assemble(scenario: Scenario) -> Setup:
    """The Setup of a scenario; InputError with all problems that only show here (bad element records, counts that do not fit)."""
    spec = scenario.spec
    julian = scenario.clock.julian()
    problems: list[Problem] = []
    relays, skipped = _relays(scenario, julian, problems)
    orbiting = [_orbit(group, number, julian, problems) for number, group in enumerate(spec.ships)]
    ships = [made for made in orbiting if made is not None]
    if problems:
        raise InputError(problems)
    budgets = tuple(sizing.budget(scenario.ship(g), scenario.catalog) for g in spec.ships)
    fleet = sizing.fleet(
        [(b, g.name, g.count, g.age) for b, g in zip(budgets, spec.ships, strict=True)], scenario.catalog
    )
    first, flying = len(relays.epoch_s), orbits.join(*ships)
    gateways, cities = _gateways(scenario), _cities(scenario)
    probes, probe_sites, fibre_s = _probes(scenario, first)
    counts = [group.count for group in spec.ships]
    group = np.repeat(np.arange(len(counts)), counts)
    wired = np.array(
        [1.0] * (len(cities.names) - len(spec.ground.cities.add)) + [float(p.fibre) for p in spec.ground.cities.add]
    )
    there = hosts(
        scenario,
        fleet,
        group,
        (cities.latitude_rad, cities.longitude_rad, wired),
        (gateways.latitude_rad, gateways.longitude_rad),
    )
    policies.get(spec.placement.policy, "placement.policy")
    return Setup(
        scenario=scenario,
        julian=julian,
        relays=relays,
        ships=flying,
        relays_ready=motion.prepare(relays),
        ships_ready=motion.prepare(flying),
        fleet=fleet,
        budgets=budgets,
        group=group,
        mesh_terminals=np.repeat([scenario.ship(group).terminals for group in spec.ships], counts),
        neighbours=_neighbours(scenario, ships, first, julian),
        relay_laser=laser(scenario.catalog.terminal(spec.relays.terminal)),
        view_rad=np.array([scenario.catalog.terminal(name).field_of_view.value for name in fleet.terminal]),
        gateway_open=_open(scenario, gateways),
        gateways=gateways,
        cities=cities,
        cells=_cells(spec.ground.coverage_cells, spec.ground.cities.elevation),
        probes=probes,
        probe_sites=probe_sites,
        fibre_s=fibre_s,
        city_gateways=_near(scenario, cities, gateways, wired),
        overheads=access.overheads(scenario.catalog),
        sweep=routing.mesh_order(relays, len(fleet.name)),
        shielding=_shielding(scenario, fleet),
        skipped=skipped,
        hosts=there,
        work=work(scenario, there, (cities.names, cities.longitude_rad, cities.weight)),
        worn=faults.worn(scenario, group, len(spec.sites)),
        outages=faults.outages(scenario, there, first, len(gateways.names)),
    )


def _relays(scenario: Scenario, julian: float, problems: list[Problem]) -> tuple[Elements, tuple[Problem, ...]]:
    parts: list[Elements] = []
    skipped: list[Problem] = []
    for i, part in enumerate(scenario.spec.relays.shells):
        if part.elements is not None:
            made, bad = _from_file(scenario, part, i, julian)
            (skipped if part.skip_bad else problems).extend(bad)
            if made is None:
                if part.skip_bad and bad:
                    problems.extend(bad)
                continue
            parts.append(replace(made, shell=np.where(made.shell >= 0, made.shell + _shells(parts), -1)))
            continue
        shells = (part.shell,) if part.shell is not None else scenario.catalog.mesh(str(part.mesh)).shells
        for shell in shells:
            parts.append(_walker(shell, _shells(parts)))
    if problems:
        raise InputError(problems)
    return orbits.join(*parts), tuple(skipped)


def _shells(parts: list[Elements]) -> int:
    """How many shells there are so far."""
    return max((int(p.shell.max()) + 1 for p in parts), default=0)


def _walker(shell: Shell, number: int) -> Elements:
    return orbits.walker(
        shell.planes, shell.per_plane, shell.altitude, shell.inclination, phasing=shell.phasing,
        raan_spread_rad=shell.raan_spread, shell=number, odd_plane_offset=shell.odd_plane_offset,
    )  # fmt: skip


def _from_file(scenario: Scenario, part: MeshShell, i: int, julian: float) -> tuple[Elements | None, list[Problem]]:
    """Elements of a file with planes found, and what is wrong with its records."""
    name = str(part.elements)
    read = element_sets.read(scenario.texts[name], julian, file=name)
    made, told = read.elements, list(read.problems)
    if not len(made.epoch_s):
        return None, told or [Problem(f"relays.shells[{i}].elements", "holds no element set", file=name)]
    if told and not part.skip_bad:
        last = told[-1]
        told[-1] = Problem(
            last.path,
            last.what,
            last.nearest,
            last.next or "Set skip_bad: true to leave bad records out",
            last.file,
            last.line,
        )
    return element_sets.find_planes(made), told


def _orbit(group: ShipGroup, number: int, julian: float, problems: list[Problem]) -> Elements | None:
    """Mean elements of a group's ships."""
    orbit = group.orbit
    if orbit.ring is not None:
        return orbits.ring(group.count, orbit.ring.altitude, orbit.ring.node_local_time, julian, shell=number)
    if orbit.cluster is not None:
        c = orbit.cluster
        middle = orbits.ring(1, c.altitude, c.node_local_time, julian)
        return formation.cluster(
            group.count, c.radius, c.altitude, middle.inclination_rad[0], middle.node_rad[0], shell=number
        )
    shell = orbit.walker
    if shell is None or shell.planes * shell.per_plane != group.count:
        what = f"count is {group.count}, but the walker holds {shell.planes * shell.per_plane if shell else 0} ships"
        problems.append(Problem(f"ships[{number}].count", what, next="Make count planes times per_plane"))
        return None
    return _walker(shell, number)


def _neighbours(
    scenario: Scenario, ships: list[Elements], first: int, julian: float
) -> tuple[tuple[Ints, links.Terminal], ...]:
    """Pairs of ships of one group that hold one another, with their laser: fore and aft in a ring, the nearest in a formation."""
    made = []
    for group, elements in zip(scenario.spec.ships, ships, strict=True):
        ship = scenario.ship(group)
        if ship.neighbour_terminals:
            beam = laser(scenario.catalog.terminal(ship.neighbour_terminal or ship.terminal))
            place = motion.propagate(elements, np.zeros(1), julian).inertial_m[0]
            if group.orbit.ring is not None:
                pairs = topology.ring_pairs(elements, place, beam.max_range_m, first)
                pairs = pairs if ship.neighbour_terminals > 1 else pairs[::2]
            else:
                name = "plus-grid" if group.orbit.walker is not None else "nearest"
                pairs = topology.topologies[name](elements, place, beam.max_range_m, ship.neighbour_terminals) + first
            made.append((pairs, beam))
        first += group.count
    return tuple(made)


def laser(part: Terminal) -> links.Terminal:
    """A catalog terminal as the link budget takes it."""
    return links.Terminal(
        power_w=part.transmit_power.value * part.channels, aperture_m=part.aperture.value, wavelength_m=part.wavelength.value,
        loss=10.0 ** (part.losses.value / 10.0), photons_per_bit=part.photons_per_bit.value,
        channel_bit_s=part.rate.value / part.channels, channels=part.channels, max_range_m=part.range.value,
        acquisition_s=part.acquisition.value,
    )  # fmt: skip


def _sites(
    names: list[str], latitude: Floats, longitude: Floats, weight: Floats, elevation: float, slant: float | None = None
) -> Sites:
    fixed = np.asarray(ground.place(latitude, longitude, np.zeros_like(latitude))).reshape(-1, 3)
    horizon = ground.horizon(fixed, elevation)
    return Sites(
        tuple(names), latitude, longitude, fixed, weight, elevation, horizon, np.inf if slant is None else slant
    )


def _gateways(scenario: Scenario) -> Sites:
    wanted = scenario.spec.ground.gateways
    allowed = {s for s, on in (("operational", wanted.operational), ("planned", wanted.planned)) if on}
    rows = [g for g in scenario.catalog.kind("gateways").values() if g.status in allowed and g.type == "gateway"]  # type: ignore[attr-defined]
    latitude = np.radians([g.latitude for g in rows] + [np.degrees(p.latitude) for p in wanted.add])  # type: ignore[attr-defined]
    longitude = np.radians([g.longitude for g in rows] + [np.degrees(p.longitude) for p in wanted.add])  # type: ignore[attr-defined]
    names = [g.name for g in rows] + [p.name for p in wanted.add]
    return _sites(names, latitude, longitude, np.ones(len(names)), wanted.elevation)


def _open(scenario: Scenario, gateways: Sites) -> Floats:
    """Share of the year in which each gateway's feeder link stands the rain at its least elevation."""
    margin, frequency = scenario.value("gateway.rain_margin"), scenario.value("gateway.frequency")
    elevation = np.full(len(gateways.names), max(gateways.elevation_rad, np.radians(5.0)))
    return links.gateway_availability(gateways.latitude_rad, gateways.longitude_rad, elevation, margin, frequency)


def _cities(scenario: Scenario) -> Sites:
    wanted = scenario.spec.ground.cities
    cities: Any = scenario.catalog.kind("cities").values()
    every = sorted(cities, key=lambda c: -c.population)
    rows = every[: wanted.largest] + _who_ask(scenario, every, wanted.largest)
    latitude = np.radians([c.latitude for c in rows] + [np.degrees(p.latitude) for p in wanted.add])
    longitude = np.radians([c.longitude for c in rows] + [np.degrees(p.longitude) for p in wanted.add])
    people = np.array([float(c.population) for c in rows] + [max(p.people, 1.0) for p in wanted.add])
    names = [c.name for c in rows] + [p.name for p in wanted.add]
    return _sites(names, latitude, longitude, people, wanted.elevation, wanted.max_slant)


def _who_ask(scenario: Scenario, every: list[Any], largest: int) -> list[Any]:
    """Cities below the largest that workloads name, and the first city of a country they name that has none among those."""
    asked = [w.inference.requests.places for w in scenario.spec.workloads if w.inference is not None]
    own = {p.name for p in scenario.spec.ground.cities.add}
    names = [n for places in asked for n in places if n not in own]
    countries = {c.country for c in every}
    wanted = {scenario.place(n).name for n in names if n not in countries}
    missing = {n for n in names if n in countries} - {c.country for c in every[:largest]}
    found = []
    for city in every[largest:]:
        if city.name in wanted or city.country in missing:
            found.append(city)
            missing.discard(city.country)
    return found


def _cells(count: int, elevation: float) -> Sites:
    """Cells of equal area for the coverage map."""
    latitude, longitude = access.cells(max(count, 1))
    latitude, longitude = latitude[:count], longitude[:count]
    return _sites([], latitude, longitude, np.ones(count), elevation)


def _probes(scenario: Scenario, first: int) -> tuple[tuple[tuple[End, End], ...], Sites, tuple[float | None, ...]]:
    """Probe ends, the places among them, and the round trip by fibre."""
    spec = scenario.spec
    starts = dict(zip((g.name for g in spec.ships), np.cumsum([0] + [g.count for g in spec.ships]), strict=False))
    places: list[Place] = []

    def end(given: str | Place) -> End:
        if isinstance(given, str):
            group, slash, number = given.partition("/")
            if slash and group in starts:
                return End(given, first + int(starts[group]) + int(number), None, -1)
            given = scenario.place(given)
        if given not in places:
            places.append(given)
        return End(given.name, -1, given, places.index(given))

    ends = tuple((end(p.from_), end(p.to)) for p in spec.probes)
    latitude, longitude = (
        np.array([getattr(p, k) for p in places], dtype=np.float64) for k in ("latitude", "longitude")
    )
    cities = spec.ground.cities
    sites = _sites(
        [p.name for p in places], latitude, longitude, np.ones(len(places)), cities.elevation, cities.max_slant
    )
    fibre = tuple(_fibre(scenario, a.place, b.place) if a.place and b.place else None for a, b in ends)
    return ends, sites, fibre


def _shielding(scenario: Scenario, fleet: Fleet) -> radiation.Shielding:
    """The trapped environment behind each ship's walls."""
    solar: Literal["min", "max"] = "min" if scenario.spec.environment.solar_activity == "minimum" else "max"
    return radiation.prepare(radiation.environment(solar, scenario.spec.start.year), fleet.shielding_m)


def _near(scenario: Scenario, cities: Sites, gateways: Sites, wired: Floats) -> tuple[Ints, Floats]:
    """The gateways that a local provider of each city reaches soonest, by land routes and cables still in service.

    wired: (C,) 0 for a place without a local provider.
    """
    latitude, longitude = (
        np.concatenate([getattr(s, k) for s in (cities, gateways)]) for k in ("latitude_rad", "longitude_rad")
    )
    first = len(cities.names)
    times = terrestrial.matrix(terrestrial.graph(), latitude, longitude, cut(scenario), first)[:, first:]
    times = np.where(wired[:, None] > 0.0, times, np.inf)
    return access.local_gateways(times * access.FIBRE_M_S / scenario.value("fibre.speed"))


def _fibre(scenario: Scenario, a: Place, b: Place) -> float | None:
    """The round trip by fibre between two places, None where no cable is left."""
    here, there = ((p.latitude, p.longitude) for p in (a, b))
    route = terrestrial.fibre(terrestrial.graph(), here, there, cut(scenario))
    return route.round_trip_s * access.FIBRE_M_S / scenario.value("fibre.speed") if route.nodes else None
