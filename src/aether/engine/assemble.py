"""From a scenario to the arrays that a run needs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from aether.base.clock import stream
from aether.base.errors import InputError, Problem
from aether.base.tables import Elements, Fleet, Floats, Ints, Outage
from aether.engine import faults, places
from aether.engine.happenings import Happenings, happenings
from aether.engine.hosts import Hosts, hosts
from aether.engine.manoeuvres import Manoeuvres, manoeuvres
from aether.engine.places import End, Sites
from aether.engine.sources import Source, imagers, sources
from aether.engine.work import Work, work
from aether.network import access, links, routing, topology
from aether.operations.degradation import Degradation, draw
from aether.placement.policy import policies
from aether.scenario.catalog import Shell, Terminal
from aether.scenario.load import Scenario
from aether.scenario.spec import MeshShell, Place, ShipGroup
from aether.space import elements as element_sets
from aether.space import formation, motion, orbits, radiation, sizing


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
    sources: tuple[Source, ...]  # of streams of data
    degrading: tuple[Degradation, ...]
    happenings: Happenings  # what the scenario's events do
    manoeuvres: Manoeuvres
    drains: tuple[Outage, ...] = ()  # rests of ships that the watch has ordered

    @property
    def relay_count(self) -> int:
        """How many relays; the number of the first ship's node."""
        return len(self.relays.epoch_s)

    def at(self, time_s: float) -> Setup:
        """The setup with the fibre and the prices of a time of the run [s]."""
        phase = next((p for p in self.happenings.phases if p.start_s <= time_s < p.end_s), None)
        if phase is None:
            return self
        return replace(self, hosts=phase.hosts, city_gateways=phase.city_gateways, fibre_s=phase.fibre_s)


def assemble(scenario: Scenario) -> Setup:
    """The Setup of a scenario; InputError with all problems that only show here (bad element records, counts that do not fit)."""
    spec = scenario.spec
    julian = scenario.clock.julian()
    problems: list[Problem] = []
    relays, skipped = _relays(scenario, julian, problems)
    orbiting = [_orbit(group, number, julian, problems) for number, group in enumerate(spec.ships)]
    ships = [made for made in orbiting if made is not None]
    flown = imagers(scenario, julian, problems)
    if problems:
        raise InputError(problems)
    budgets = tuple(sizing.budget(scenario.ship(g), scenario.catalog) for g in spec.ships)
    fleet = sizing.fleet(
        [(b, g.name, g.count, g.age) for b, g in zip(budgets, spec.ships, strict=True)], scenario.catalog
    )
    first, flying = len(relays.epoch_s), orbits.join(*ships)
    gateways, cities = places.gateways(scenario), places.cities(scenario)
    probes, probe_sites, fibre_s = places.probes(scenario, first)
    counts = [group.count for group in spec.ships]
    group = np.repeat(np.arange(len(counts)), counts)
    there = hosts(scenario, fleet, group, cities, gateways)
    beam = laser(scenario.catalog.terminal(spec.relays.terminal))
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
        relay_laser=beam,
        view_rad=np.array([scenario.catalog.terminal(name).field_of_view.value for name in fleet.terminal]),
        gateway_open=places.open_share(scenario, gateways),
        gateways=gateways,
        cities=cities,
        cells=places.cells(spec.ground.coverage_cells, spec.ground.cities.elevation),
        probes=probes,
        probe_sites=probe_sites,
        fibre_s=fibre_s,
        city_gateways=places.local_gateways(scenario, cities, gateways),
        overheads=access.overheads(scenario.catalog),
        sweep=routing.mesh_order(relays, len(fleet.name)),
        shielding=_shielding(scenario, fleet),
        skipped=skipped,
        hosts=there,
        work=work(scenario, there, cities),
        worn=faults.worn(scenario, group, len(spec.sites)),
        outages=faults.outages(scenario, there, first, len(gateways.names), planes(group, flying)),
        sources=sources(scenario, there, cities, gateways, relays, beam, flown, laser),
        degrading=_degrading(scenario, fleet.name),
        happenings=happenings(scenario, there, cities, gateways),
        manoeuvres=manoeuvres(scenario, fleet, group),
    )


def seen_from(setup: Setup, asking: tuple[Place, ...]) -> Setup:
    """The setup with other places where people ask from: in all that `reach.ways` reads of them."""
    towns = setup.scenario.spec.ground.cities.model_copy(update={"largest": 0, "add": asking})
    spec = setup.scenario.spec
    spec = spec.model_copy(update={"ground": spec.ground.model_copy(update={"cities": towns}), "workloads": ()})
    scenario = replace(setup.scenario, spec=spec)
    cities = places.cities(scenario)
    there = hosts(scenario, setup.fleet, setup.group, cities, setup.gateways)
    return replace(
        setup, scenario=scenario, cities=cities, hosts=there,
        city_gateways=places.local_gateways(scenario, cities, setup.gateways),
        happenings=happenings(scenario, there, cities, setup.gateways),
    )  # fmt: skip


def _degrading(scenario: Scenario, names: tuple[str, ...]) -> tuple[Degradation, ...]:
    """What degrades: as given, and by chance where the watch is to be scored."""
    spec = scenario.spec
    found = [Degradation(names.index(d.ship), d.kind, d.start, d.over, d.depth, d.breaks) for d in spec.degrading]
    if spec.watch is not None and spec.watch.inject:
        drawn = draw(stream(spec.seed, "degrading"), spec.watch.inject, len(names), spec.duration)
        found += [d for d in drawn if d.ship not in {f.ship for f in found}]
    return tuple(found)


def planes(group: Ints, flying: Elements) -> Ints:
    """Number of each ship's plane (K,): planes of different groups are different ones."""
    _, number = np.unique(np.stack([group, flying.plane], axis=1), axis=0, return_inverse=True)
    return np.asarray(number, np.int64).reshape(-1)


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


def _shielding(scenario: Scenario, fleet: Fleet) -> radiation.Shielding:
    """The trapped environment behind each ship's walls."""
    solar: Literal["min", "max"] = "min" if scenario.spec.environment.solar_activity == "minimum" else "max"
    return radiation.prepare(radiation.environment(solar, scenario.spec.start.year), fleet.shielding_m)
