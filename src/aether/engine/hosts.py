"""The hosts of work, ships first and then ground sites, as placement and the network see them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aether.base.tables import Fleet, Floats, Ints
from aether.engine.places import Sites, fibre_s
from aether.scenario.load import Scenario
from aether.scenario.spec import Place, SiteGroup


@dataclass(frozen=True)
class Hosts:
    """One row per host (H,): ships K, then sites J."""

    names: tuple[str, ...]
    group: tuple[str, ...]  # ship group or site
    accelerator: tuple[str, ...]  # catalog name
    country: tuple[str, ...]  # whose law holds: state of registry, or where the site stands
    gpus: Floats
    full_w: Floats  # one GPU at full clocks with its share of host, and of a site's facility
    energy_usd_j: Floats  # price of a joule: a site's grid; sunlight costs nothing more
    carbon_kg_j: Floats  # the grid's mean at a site; sunlight emits nothing
    ships: int
    city_fibre_s: Floats  # (C, J) one way by fibre, infinity where there is none
    gateway_fibre_s: Floats  # (W, J)

    @property
    def sites(self) -> int:
        """How many ground sites."""
        return len(self.names) - self.ships


def hosts(scenario: Scenario, fleet: Fleet, group: Ints, cities: Sites, gateways: Sites) -> Hosts:
    """The Hosts of a scenario; group: (K,) of ships."""
    spec, sites = scenario.spec, scenario.spec.sites
    spots = [site_place(scenario, site) for site in sites]
    parts = [scenario.catalog.accelerator(accelerator(scenario, site)) for site in sites]
    pue = np.array([scenario.catalog.site(s.site).pue.value for s in sites])
    full = np.array([p.power.value + p.host_power.value for p in parts])
    grids = [scenario.catalog.grid(str(p.country)) for p in spots]
    price, carbon = [g.price.value for g in grids], [g.carbon.value for g in grids]
    ships = [spec.ships[g] for g in group]
    city_s, gateway_s = fibre(scenario, cities, gateways)
    return Hosts(
        names=(*fleet.name, *(s.name for s in sites)),
        group=(*(g.name for g in ships), *(s.name for s in sites)),
        accelerator=(*(scenario.ship(g).accelerator for g in ships), *(p.name for p in parts)),
        country=(*(g.registry for g in ships), *(str(p.country) for p in spots)),
        gpus=np.concatenate([fleet.gpus, [float(s.gpus) for s in sites]]),
        full_w=np.concatenate([fleet.gpu_full_w, full * pue]),
        energy_usd_j=np.concatenate([np.zeros(len(fleet.name)), price]),
        carbon_kg_j=np.concatenate([np.zeros(len(fleet.name)), carbon]),
        ships=len(fleet.name),
        city_fibre_s=city_s,
        gateway_fibre_s=gateway_s,
    )


def fibre(scenario: Scenario, cities: Sites, gateways: Sites) -> tuple[Floats, Floats]:
    """One way by fibre from cities (C, J) and from gateways (W, J) to the sites of a scenario [s], infinity where there is none."""
    spots = [site_place(scenario, site) for site in scenario.spec.sites]
    latitude, longitude = (
        np.array([getattr(p, k) for p in spots], dtype=np.float64) for k in ("latitude", "longitude")
    )
    times = fibre_s(scenario, (latitude, longitude), cities, gateways).T
    towns = len(cities.names)
    return np.where(cities.wired[:, None] > 0.0, times[:towns], np.inf), times[towns:]


def accelerator(scenario: Scenario, site: SiteGroup) -> str:
    """The accelerator of a site: its own, or its class's."""
    return site.accelerator or scenario.catalog.site(site.site).accelerator


def site_place(scenario: Scenario, site: SiteGroup) -> Place:
    """Where a site stands, with its country."""
    return scenario.place(site.at) if isinstance(site.at, str) else site.at
