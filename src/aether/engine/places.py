"""Places on the ground as a run sees them: gateways, cities, cells of the coverage map, ends of probes; and fibre between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from aether.base.tables import Floats, Ints
from aether.network import access, links, terrestrial
from aether.scenario.load import Scenario
from aether.scenario.spec import Place
from aether.space import ground, visibility


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
    wired: Floats  # 1 where a local provider's fibre reaches, 0 for a place with its own satellite terminal only
    max_slant_m: float = np.inf


@dataclass(frozen=True)
class End:
    """One end of a probe: a ship's node, or a place on the ground."""

    name: str
    node: int  # -1 for a place
    place: Place | None
    index: int  # row among the places of all probes, -1 for a ship


def _sites(
    names: list[str], latitude: Floats, longitude: Floats, weight: Floats, elevation: float, slant: float | None = None,
    wired: Floats | None = None,
) -> Sites:  # fmt: skip
    fixed = np.asarray(ground.place(latitude, longitude, np.zeros_like(latitude))).reshape(-1, 3)
    reached = np.ones(len(latitude)) if wired is None else wired
    most_m = np.inf if slant is None else slant
    return Sites(
        tuple(names), latitude, longitude, fixed, weight, elevation, ground.horizon(fixed, elevation), reached, most_m
    )


def gateways(scenario: Scenario) -> Sites:
    """The ground stations of a scenario."""
    wanted = scenario.spec.ground.gateways
    allowed = {s for s, on in (("operational", wanted.operational), ("planned", wanted.planned)) if on}
    rows = [g for g in scenario.catalog.kind("gateways").values() if g.status in allowed and g.type == "gateway"]  # type: ignore[attr-defined]
    latitude = np.radians([g.latitude for g in rows] + [np.degrees(p.latitude) for p in wanted.add])  # type: ignore[attr-defined]
    longitude = np.radians([g.longitude for g in rows] + [np.degrees(p.longitude) for p in wanted.add])  # type: ignore[attr-defined]
    names = [g.name for g in rows] + [p.name for p in wanted.add]
    return _sites(names, latitude, longitude, np.ones(len(names)), wanted.elevation)


def open_share(scenario: Scenario, stations: Sites) -> Floats:
    """Share of the year in which each gateway's feeder link stands the rain at its least elevation."""
    margin, frequency = scenario.value("gateway.rain_margin"), scenario.value("gateway.frequency")
    elevation = np.full(len(stations.names), max(stations.elevation_rad, np.radians(5.0)))
    return links.gateway_availability(stations.latitude_rad, stations.longitude_rad, elevation, margin, frequency)


def cities(scenario: Scenario) -> Sites:
    """Where people ask from: the largest cities, those that workloads name, and places given by hand."""
    wanted = scenario.spec.ground.cities
    known: Any = scenario.catalog.kind("cities").values()
    every = sorted(known, key=lambda c: -c.population)
    rows = every[: wanted.largest] + _who_ask(scenario, every, wanted.largest)
    latitude = np.radians([c.latitude for c in rows] + [np.degrees(p.latitude) for p in wanted.add])
    longitude = np.radians([c.longitude for c in rows] + [np.degrees(p.longitude) for p in wanted.add])
    people = np.array([float(c.population) for c in rows] + [max(p.people, 1.0) for p in wanted.add])
    names = [c.name for c in rows] + [p.name for p in wanted.add]
    wired = np.array([1.0] * len(rows) + [float(p.fibre) for p in wanted.add])
    return _sites(names, latitude, longitude, people, wanted.elevation, wanted.max_slant, wired)


def _who_ask(scenario: Scenario, every: list[Any], largest: int) -> list[Any]:
    """Cities below the largest that workloads name, and the first city of a country they name that has none among those."""
    asked = [w.inference.requests.places for w in scenario.spec.workloads if w.inference is not None]
    asked += [
        w.stream.places.places for w in scenario.spec.workloads if w.stream is not None and w.stream.places is not None
    ]
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


def cells(count: int, elevation: float) -> Sites:
    """Cells of equal area for the coverage map."""
    latitude, longitude = access.cells(max(count, 1))
    latitude, longitude = latitude[:count], longitude[:count]
    return _sites([], latitude, longitude, np.ones(count), elevation)


def probes(scenario: Scenario, first: int) -> tuple[tuple[tuple[End, End], ...], Sites, tuple[float | None, ...]]:
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
    user = spec.ground.cities
    wired = np.array([float(p.fibre) for p in places])
    names = [p.name for p in places]
    sites = _sites(names, latitude, longitude, np.ones(len(names)), user.elevation, user.max_slant, wired)
    fibre = tuple(_fibre(scenario, a.place, b.place) if a.place and b.place else None for a, b in ends)
    return ends, sites, fibre


def _fibre(scenario: Scenario, a: Place, b: Place) -> float | None:
    """The round trip by fibre between two places, None where no cable is left or a place has no fibre."""
    if not (a.fibre and b.fibre):
        return None
    here, there = ((p.latitude, p.longitude) for p in (a, b))
    route = terrestrial.fibre(terrestrial.graph(), here, there, cut(scenario))
    return route.round_trip_s * access.FIBRE_M_S / scenario.value("fibre.speed") if route.nodes else None


def local_gateways(scenario: Scenario, towns: Sites, stations: Sites) -> tuple[Ints, Floats]:
    """The gateways that a local provider of each city reaches soonest, by land routes and cables still in service."""
    times = fibre_s(scenario, (towns.latitude_rad, towns.longitude_rad), stations)
    return access.local_gateways(np.where(towns.wired[:, None] > 0.0, times, np.inf))


def fibre_s(scenario: Scenario, sources: tuple[Floats, Floats], *others: Sites) -> Floats:
    """One way by fibre from sources to all other places (S, C) [s], by land routes and cables still in service.

    sources: latitude and longitude [rad]. A route may pass through any of the places.
    """
    count = len(sources[0])
    if not count:
        return np.empty((0, sum(len(o.latitude_rad) for o in others)))
    latitude = np.concatenate([sources[0], *(o.latitude_rad for o in others)])
    longitude = np.concatenate([sources[1], *(o.longitude_rad for o in others)])
    times = terrestrial.matrix(terrestrial.graph(), latitude, longitude, cut(scenario), count)[:, count:]
    return times * access.FIBRE_M_S / scenario.value("fibre.speed")


def cut(scenario: Scenario) -> tuple[str, ...]:
    """Cables out of service by their own names, whatever the case they were written in."""
    named = {name.lower(): name for name in terrestrial.cables()}
    return tuple(named.get(name.lower(), name) for name in scenario.spec.ground.cut_cables)
