"""What a scenario's events do to a run: outages of what is lost, and other fibre times and prices while they last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from aether.base.errors import InputError, Problem, nearest, unknown
from aether.base.tables import Floats, Ints, Outage
from aether.engine import hosts as grounds
from aether.engine import places
from aether.engine.hosts import Hosts
from aether.engine.places import Sites
from aether.network import terrestrial
from aether.network.links import great_circle
from aether.scenario.load import Scenario
from aether.scenario.spec import Happening, Place

EVENT = "event"  # cause of an outage that the scenario orders


@dataclass(frozen=True)
class Fibre:
    """One way by fibre with the cables that are left, as `Setup` holds it [s]."""

    city_s: Floats  # (C, J)
    gateway_s: Floats  # (W, J)
    city_gateways: tuple[Ints, Floats]
    probe_s: tuple[float | None, ...]  # round trip of each probe


@dataclass(frozen=True)
class Phase:
    """A stretch of the run in which cables are cut or prices changed by events."""

    start_s: float
    end_s: float
    hosts: Hosts
    city_gateways: tuple[Ints, Floats]
    fibre_s: tuple[float | None, ...]


@dataclass(frozen=True)
class Happenings:
    """What events do to a run; phases do not overlap."""

    asked: tuple[Happening, ...]
    outages: tuple[tuple[Outage, ...], ...]  # of each event
    phases: tuple[Phase, ...]

    @property
    def struck(self) -> tuple[Outage, ...]:
        """All outages that events order."""
        return tuple(o for each in self.outages for o in each)


def happenings(scenario: Scenario, hosts: Hosts, cities: Sites, gateways: Sites) -> Happenings:
    """The Happenings of a scenario; InputError with all events that name what is not there."""
    asked = scenario.spec.events
    problems = [p for i, event in enumerate(asked) for p in _problems(scenario, i, event, hosts, gateways)]
    if problems:
        raise InputError(problems)
    outages = tuple(_outages(scenario, event, hosts, gateways) for event in asked)
    return Happenings(asked, outages, _phases(scenario, asked, hosts, cities, gateways))


def without(
    made: Happenings, number: int, scenario: Scenario, hosts: Hosts, cities: Sites, gateways: Sites
) -> Happenings:
    """What the other events of a scenario do."""
    left = made.asked[:number] + made.asked[number + 1 :]
    outages = made.outages[:number] + made.outages[number + 1 :]
    moves = _moves_phases(made.asked[number])
    return Happenings(left, outages, _phases(scenario, left, hosts, cities, gateways) if moves else made.phases)


def _moves_phases(event: Happening) -> bool:
    return event.cut_cables is not None or event.price is not None


def _outages(scenario: Scenario, event: Happening, hosts: Hosts, gateways: Sites) -> tuple[Outage, ...]:
    """What an event takes out of service."""
    lost: dict[str, list[int]] = {
        "ship": [hosts.names.index(name) for name in event.ships or ()],
        "site": [hosts.names.index(name) - hosts.ships for name in event.sites or ()],
        "gateway": [] if event.gateways is None else struck_gateways(scenario, event, gateways).tolist(),
    }
    end_s = event.start + event.duration
    return tuple(Outage(kind, n, event.start, end_s, EVENT) for kind, rows in lost.items() for n in rows)


def struck_gateways(scenario: Scenario, event: Happening, gateways: Sites) -> Ints:
    """Numbers of the gateways that an event takes: of a country, or within a circle.

    A gateway stands in the country of the catalog's city that is nearest to it, one given by hand in its own.
    """
    asked = event.gateways
    if asked is None or not gateways.names:
        return np.zeros(0, dtype=np.int64)
    if asked.within is not None:
        at = asked.within.at
        spot = scenario.place(at) if isinstance(at, str) else at
        far_m = great_circle(gateways.latitude_rad, gateways.longitude_rad, spot.latitude, spot.longitude)
        return np.flatnonzero(far_m <= asked.within.radius)
    return np.flatnonzero(np.array(countries(scenario, gateways)) == asked.country)


def countries(scenario: Scenario, gateways: Sites) -> list[str]:
    """The country of each gateway."""
    cities = list(scenario.catalog.kind("cities").values())
    latitude, longitude = (np.radians([getattr(c, k) for c in cities]) for k in ("latitude", "longitude"))
    own: dict[str, Place] = {p.name: p for p in scenario.spec.ground.gateways.add if p.country is not None}
    found = []
    for name, a, b in zip(gateways.names, gateways.latitude_rad, gateways.longitude_rad, strict=True):
        near = cities[int(np.argmin(great_circle(latitude, longitude, a, b)))]
        found.append(str(own[name].country if name in own else getattr(near, "country", "")))
    return found


def _phases(
    scenario: Scenario, asked: Sequence[Happening], hosts: Hosts, cities: Sites, gateways: Sites
) -> tuple[Phase, ...]:
    """Stretches between the beginnings and ends of what cuts cables or changes prices."""
    moving = [e for e in asked if _moves_phases(e)]
    times = sorted({t for e in moving for t in (e.start, e.start + e.duration)})
    known: dict[tuple[str, ...], Fibre] = {}
    made = []
    for start_s, end_s in pairwise(times):
        here = [e for e in moving if e.start <= start_s and end_s <= e.start + e.duration]
        if here:
            cut = tuple(sorted({name for e in here for name in e.cut_cables or ()}))
            if cut not in known:
                known[cut] = _fibre(_less(scenario, cut), cities, gateways)
            fibre = known[cut]
            price = hosts.energy_usd_j.copy()
            for e in here:
                if e.price is not None:
                    price[hosts.ships :] *= np.where(_stand_in(hosts, e.price.country), e.price.factor, 1.0)
            now = replace(hosts, energy_usd_j=price, city_fibre_s=fibre.city_s, gateway_fibre_s=fibre.gateway_s)
            made.append(Phase(start_s, end_s, now, fibre.city_gateways, fibre.probe_s))
    return tuple(made)


def _less(scenario: Scenario, cut: tuple[str, ...]) -> Scenario:
    """The scenario with more cables cut through its whole run."""
    ground = scenario.spec.ground
    ground = ground.model_copy(update={"cut_cables": (*ground.cut_cables, *cut)})
    return replace(scenario, spec=scenario.spec.model_copy(update={"ground": ground}))


def _fibre(scenario: Scenario, cities: Sites, gateways: Sites) -> Fibre:
    city_s, gateway_s = grounds.fibre(scenario, cities, gateways)
    near = places.local_gateways(scenario, cities, gateways)
    return Fibre(city_s, gateway_s, near, places.probes(scenario, 0)[2])


def _stand_in(hosts: Hosts, country: str) -> np.ndarray:
    """Which sites stand in a country (J,)."""
    return np.array([c.upper() == country for c in hosts.country[hosts.ships :]], dtype=np.bool_)


def _problems(scenario: Scenario, i: int, event: Happening, hosts: Hosts, gateways: Sites) -> list[Problem]:
    """Cables that are unknown, regions without a gateway, grids that no site draws from."""
    at, told = f"events[{i}]", []
    known = {name.lower() for name in terrestrial.cables()}
    for j, name in enumerate(event.cut_cables or ()):
        if name.lower() not in known:
            told.append(unknown(f"{at}.cut_cables[{j}]", "cable system", name, terrestrial.cables()))
    if event.gateways is not None and not struck_gateways(scenario, event, gateways).size:
        country = event.gateways.country
        there = sorted(set(countries(scenario, gateways))) if country else []
        what = f"no gateway of this run stands in {country}" if country else "no gateway of this run lies within"
        told.append(Problem(f"{at}.gateways", what, nearest(country or "", there), f"There are some in {', '.join(there)}" if there else ""))  # fmt: skip
    if event.price is not None and not _stand_in(hosts, event.price.country).any():
        there = sorted({c.upper() for c in hosts.country[hosts.ships :]})
        follow = f"Sites stand in {', '.join(there)}" if there else "The run has no sites"
        told.append(Problem(f"{at}.price.country", f"no site of this run stands in {event.price.country}", next=follow))
    return told
