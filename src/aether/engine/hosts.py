"""The hosts of work, ships first and then ground sites, as placement and the network see them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aether.base.tables import Fleet, Floats, Ints
from aether.network import access, terrestrial
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
    idle_w: Floats
    energy_usd_j: Floats  # price of a joule: a site's grid; sunlight costs nothing more
    ships: int
    latitude_rad: Floats  # (J,) of sites
    longitude_rad: Floats
    city_fibre_s: Floats  # (C, J) one way by fibre, infinity where there is none
    gateway_fibre_s: Floats  # (W, J)

    @property
    def sites(self) -> int:
        """How many ground sites."""
        return len(self.names) - self.ships


def hosts(scenario: Scenario, fleet: Fleet, group: Ints, cities: tuple[Floats, Floats, Floats], gateways: tuple[Floats, Floats]) -> Hosts:  # fmt: skip
    """The Hosts of a scenario.

    group: (K,) of ships. cities: latitude, longitude [rad] and 1 where a local provider's fibre is (C,). gateways:
    latitude, longitude [rad] (W,).
    """
    spec, sites = scenario.spec, scenario.spec.sites
    spots = [site_place(scenario, site) for site in sites]
    parts = [scenario.catalog.accelerator(accelerator(scenario, site)) for site in sites]
    pue = np.array([scenario.catalog.site(s.site).pue.value for s in sites])
    full, idle = (np.array([getattr(p, k).value for p in parts]) for k in ("power", "idle_power"))
    shared = np.array([p.host_power.value for p in parts])
    latitude, longitude = (
        np.array([getattr(p, k) for p in spots], dtype=np.float64) for k in ("latitude", "longitude")
    )
    price = [scenario.catalog.grid(str(p.country)).price.value for p in spots]
    ships = [spec.ships[g] for g in group]
    fibre_s = _fibre(scenario, (latitude, longitude), cities[:2], gateways)
    first = len(cities[0])
    return Hosts(
        names=(*fleet.name, *(s.name for s in sites)),
        group=(*(g.name for g in ships), *(s.name for s in sites)),
        accelerator=(*(scenario.ship(g).accelerator for g in ships), *(p.name for p in parts)),
        country=(*(g.registry for g in ships), *(str(p.country) for p in spots)),
        gpus=np.concatenate([fleet.gpus, [float(s.gpus) for s in sites]]),
        full_w=np.concatenate([fleet.gpu_full_w, (full + shared) * pue]),
        idle_w=np.concatenate([fleet.gpu_idle_w, (idle + scenario.value("gpu.host_idle_share") * shared) * pue]),
        energy_usd_j=np.concatenate([np.zeros(len(fleet.name)), price]),
        ships=len(fleet.name),
        latitude_rad=latitude,
        longitude_rad=longitude,
        city_fibre_s=np.where(cities[2][:, None] > 0, fibre_s[:first], np.inf),
        gateway_fibre_s=fibre_s[first:],
    )


def accelerator(scenario: Scenario, site: SiteGroup) -> str:
    """The accelerator of a site: its own, or its class's."""
    return site.accelerator or scenario.catalog.site(site.site).accelerator


def site_place(scenario: Scenario, site: SiteGroup) -> Place:
    """Where a site stands, with its country."""
    return scenario.place(site.at) if isinstance(site.at, str) else site.at


def _fibre(scenario: Scenario, sites: tuple[Floats, Floats], cities: tuple[Floats, Floats], gateways: tuple[Floats, Floats]) -> Floats:  # fmt: skip
    """One way by fibre from cities and then gateways to sites (C + W, J) [s], by cables still in service."""
    count = len(sites[0])
    if not count:
        return np.empty((len(cities[0]) + len(gateways[0]), 0))
    latitude, longitude = (np.concatenate([sites[i], cities[i], gateways[i]]) for i in (0, 1))
    times = terrestrial.matrix(terrestrial.graph(), latitude, longitude, cut(scenario), count)[:, count:]
    return times.T * access.FIBRE_M_S / scenario.value("fibre.speed")


def cut(scenario: Scenario) -> tuple[str, ...]:
    """Cables out of service by their own names, whatever the case they were written in."""
    named = {name.lower(): name for name in terrestrial.cables()}
    return tuple(named.get(name.lower(), name) for name in scenario.spec.ground.cut_cables)
