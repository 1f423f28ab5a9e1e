"""Orbits, power, heat, links, radiation, launch and the network, for `aether validate`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sgp4.api import WGS72, Satrec, SatrecArray

from aether.base.clock import J2000_DAYS, iso_date, julian_date
from aether.base.errors import InputError, Problem
from aether.base.tables import Elements, Fields, Floats
from aether.engine.assemble import laser
from aether.network import access, links, routing, terrestrial, topology
from aether.operations import launch
from aether.scenario.catalog import packaged
from aether.scenario.places import find_place
from aether.scenario.spec import Place
from aether.space import elements as element_sets
from aether.space import ground, motion, orbits, power, radiation, sun, thermal
from aether.study.validation import model

Answer = Mapping[str, float]


@model(
    "orbit.geometry",
    {"altitude": "m", "inclination": "rad", "elevation": "rad", "sats_per_plane": "1"},
    {"period": "s", "node_drift": "rad/s", "sso_inclination": "rad", "beta_critical": "rad", "slant_range": "m", "chord": "m",
     "eclipse_fraction_max": "1", "eclipse_longest": "s"},
    optional=("inclination", "elevation", "sats_per_plane"),
)  # fmt: skip
def _geometry(
    altitude: float,
    inclination: float = math.radians(53),
    elevation: float = math.radians(25),
    sats_per_plane: float = 22,
) -> Answer:
    """Closed-form geometry of a circular orbit."""
    return {
        "period": orbits.period(altitude), "node_drift": orbits.node_drift(altitude, inclination),
        "sso_inclination": orbits.sun_synchronous_inclination(altitude), "beta_critical": orbits.critical_beta(altitude),
        "slant_range": orbits.slant_range(altitude, elevation), "chord": orbits.chord(altitude, round(sats_per_plane)),
        "eclipse_fraction_max": float(orbits.eclipse_fraction(altitude)), "eclipse_longest": orbits.eclipse_longest(altitude),
    }  # fmt: skip


@model(
    "orbit.dawn_dusk_year",
    {"altitude": "m", "node_local_time": "s", "year": "1"},
    {"sunlit_fraction": "1", "eclipse_days": "1", "longest_eclipse": "s"},
    optional=("node_local_time", "year"),
)
def _dawn_dusk_year(altitude: float, node_local_time: float = 64800.0, year: float = 2026) -> Answer:
    """A year of a sun-synchronous orbit: sunlight, days with eclipses, the longest one."""
    clock_s = node_local_time * 3600.0 if node_local_time <= 24.0 else node_local_time  # a plain 18 means 18 h
    sunlit, days, longest = sun.dawn_dusk_year(altitude, clock_s, round(year))
    return {"sunlit_fraction": sunlit, "eclipse_days": days, "longest_eclipse": longest}


@model(
    "power.array",
    {"area": "m^2", "efficiency": "1", "packing": "1", "irradiance": "W/m^2"},
    {"power": "W"},
    optional=("packing", "irradiance"),
)
def _array(
    area: float, efficiency: float, packing: float = 1.0, irradiance: float = power.SOLAR_CONSTANT_W_M2
) -> Answer:
    """Power of a solar array facing the Sun."""
    return {"power": float(power.array_power(area, efficiency, packing, irradiance))}


@model(
    "thermal.radiator",
    {"temperature": "K", "emissivity": "1", "absorptivity_solar": "1", "absorptivity_infrared": "1", "earth_view_factor": "1",
     "albedo": "1", "irradiance": "W/m^2", "earth_temperature": "K", "faces": "1", "sunlit_faces": "1"},
    {"net_flux": "W/m^2", "emitted": "W/m^2", "solar": "W/m^2", "earth": "W/m^2"},
    optional=("faces", "sunlit_faces"),
)  # fmt: skip
def _radiator(
    temperature: float, emissivity: float, absorptivity_solar: float, absorptivity_infrared: float, earth_view_factor: float,
    albedo: float, irradiance: float, earth_temperature: float, faces: float = 2, sunlit_faces: float = 1,
) -> Answer:  # fmt: skip
    """Net flux of a flat radiator with its parts."""
    flux = thermal.radiator_flux(temperature, emissivity, absorptivity_solar, absorptivity_infrared, earth_view_factor, albedo,
                                 irradiance, earth_temperature, round(faces), round(sunlit_faces))  # fmt: skip
    return {"net_flux": flux.net, "emitted": flux.emitted, "solar": flux.solar, "earth": flux.earth}


@model(
    "thermal.radiator_temperature",
    {"heat": "W", "area_of_faces": "m^2", "emissivity": "1", "sink_temperature": "K", "effectiveness": "1"},
    {"temperature": "K"},
    optional=("effectiveness",),
)
def _radiator_temperature(
    heat: float, area_of_faces: float, emissivity: float, sink_temperature: float, effectiveness: float = 1.0
) -> Answer:
    """Temperature at which a radiator rejects a heat."""
    return {
        "temperature": float(
            thermal.radiator_temperature(heat, area_of_faces, emissivity, sink_temperature, effectiveness)
        )
    }


@model(
    "thermal.radiator_heat",
    {"area": "m^2", "temperature": "K", "emissivity": "1", "sink_temperature": "K", "effectiveness": "1"},
    {"heat": "W"},
    optional=("effectiveness",),
)
def _radiator_heat(
    area: float, temperature: float, emissivity: float, sink_temperature: float, effectiveness: float = 1.0
) -> Answer:
    """Heat that a two-sided radiator rejects."""
    return {"heat": float(thermal.radiator_heat(area, temperature, emissivity, sink_temperature, effectiveness))}


@model(
    "link.friis",
    {"power": "W", "gain_transmit": "dB", "gain_receive": "dB", "wavelength": "m", "distance": "m", "losses": "dB"},
    {"received": "W"},
    optional=("losses",),
)
def _friis(
    power: float, gain_transmit: float, gain_receive: float, wavelength: float, distance: float, losses: float = 0.0
) -> Answer:
    """Power received over a laser link in the far field."""
    ratio = [10.0 ** (v / 10.0) for v in (gain_transmit, gain_receive, losses)]
    return {"received": float(links.friis(power, ratio[0], ratio[1], wavelength, distance, ratio[2]))}


@model("link.confocal", {"aperture_radius": "m", "wavelength": "m"}, {"near_field": "m", "divergence": "rad"})
def _confocal(aperture_radius: float, wavelength: float) -> Answer:
    """Reach of the near field, and divergence beyond it."""
    return {"near_field": float(links.confocal_range(aperture_radius, wavelength)),
            "divergence": float(links.divergence(2.0 * aperture_radius, wavelength))}  # fmt: skip


@model(
    "radiation.cross_section",
    {"dose_per_event": "rad_si", "fluence_per_dose": "1/cm^2/rad_si"},
    {"cross_section": "cm^2"},
    optional=("fluence_per_dose",),
)
def _cross_section(
    dose_per_event: float, fluence_per_dose: float = 7.9e6
) -> Answer:  # 7.9e6 protons/cm2 per rad: arXiv 2511.19468
    """Cross-section of an event from the dose between events in a beam."""
    return {"cross_section": float(radiation.cross_section(dose_per_event, fluence_per_dose))}


@model(
    "launch.learning",
    {"price": "USD/kg", "mass": "kg", "learning_rate": "1", "price_target": "USD/kg", "mass_added": "kg"},
    {"price": "USD/kg", "mass_added": "kg"},
    optional=("price_target", "mass_added"),
)
def _learning(
    price: float, mass: float, learning_rate: float, price_target: float | None = None, mass_added: float | None = None
) -> Answer:
    """Wright's law by cumulative mass."""
    made = launch.learning(price, mass, learning_rate, price_target, mass_added)
    return {"price": made.price, "mass_added": made.mass_added}


@model(
    "launch.reuse",
    {"uses": "1", "hardware": "USD/kg", "fuel": "USD/kg", "refurbishment": "1", "refurbished": "1"},
    {"price": "USD/kg"},
    optional=("hardware", "fuel", "refurbishment", "refurbished"),
)
def _reuse(
    uses: float,
    hardware: float = launch.HARDWARE_USD_KG,
    fuel: float = launch.FUEL_USD_KG,
    refurbishment: float = 0.0,
    refurbished: float = 1.0,
) -> Answer:
    """Cost to orbit by number of uses of one vehicle."""
    return {"price": launch.reuse(uses, hardware, fuel, refurbishment, refurbished)}


@model(
    "ship.density",
    {"power": "W", "mass": "kg", "radiator_area": "m^2"},
    {"specific_power": "W/kg", "radiator_flux": "W/m^2"},
)
def _density(power: float, mass: float, radiator_area: float) -> Answer:
    """Power per mass and per radiator planform: divisions, to be counted as identities."""
    return {"specific_power": power / mass, "radiator_flux": power / radiator_area}


@model(
    "orbit.sunlit",
    {"altitude": "m", "inclination": "rad", "node": "rad", "start": "", "duration": "s", "shadow": ""},
    {"sunlit_fraction": "1", "least": "1", "most": "1"},
    optional=("node", "duration", "shadow"),
)
def _sunlit(
    altitude: float, inclination: float, start: str, node: float | None = None, duration: float = 86400.0,
    shadow: str = "conical",
) -> Answer:  # fmt: skip
    """Share of time in sunlight over a span by a conical or cylindrical shadow; the median over 36 nodes if none is given."""
    if shadow not in ("conical", "cylindrical"):
        raise ValueError(f"shadow is conical or cylindrical, not '{shadow}'")
    nodes = [node] if node is not None else [math.radians(10 * n) for n in range(36)]
    shares = [sunlit_share(altitude, inclination, n, start, duration, shadow) for n in nodes]
    return {"sunlit_fraction": float(np.median(shares)), "least": min(shares), "most": max(shares)}


@model("orbit.eclipse", {"altitude": "m", "beta": "rad"}, {"eclipse_fraction": "1"})
def _eclipse(altitude: float, beta: float) -> Answer:
    """Share of a circular orbit in the Earth's cylindrical shadow at a beta angle."""
    return {"eclipse_fraction": float(orbits.eclipse_fraction(altitude, beta))}


def sunlit_share(
    altitude_m: float,
    inclination_rad: float,
    node_rad: float,
    start: str,
    duration_s: float,
    shadow: str,
    step_s: float = 30.0,
) -> float:
    """Mean share of the Sun's disc that a circular orbit sees, propagated; start is an ISO date in UTC."""
    from_jd = julian_date(iso_date(start))
    elements = orbits.circular(altitude_m, inclination_rad, np.array([node_rad]), np.zeros(1))
    track = motion.propagate(elements, np.arange(0.0, duration_s, step_s), from_jd)
    light = sun.light(track, from_jd)
    return float((light.lit if shadow == "conical" else sun.lit_cylindrical(track.inertial_m, light.sun_m)).mean())


@model(
    "orbit.sgp4_difference",
    {"altitude": "m", "inclination": "rad", "duration": "s", "planes": "1", "elements": ""},
    {"largest": "m"},
    optional=("altitude", "inclination", "duration", "planes", "elements"),
)
def _sgp4_difference(
    altitude: float = 550e3,
    inclination: float = math.radians(53),
    duration: float = 86400.0,
    planes: float = 6,
    elements: str = "",
) -> Answer:
    """The largest distance between our closed form and python-sgp4, both free of drag, over shells or a TLE file."""
    if elements:
        shell = replace(element_sets.read(Path(elements).read_text(encoding="utf-8"), J2000_DAYS).elements)
        shell = replace(shell, bstar=np.zeros_like(shell.bstar), epoch_s=np.zeros_like(shell.epoch_s))
    else:
        shell = orbits.walker(round(planes), 4, altitude, inclination)
    times = np.arange(0.0, duration + 1.0, 600.0)
    ours = motion.propagate(shell, times, J2000_DAYS).inertial_m
    records = [Satrec() for _ in shell.epoch_s]
    for i, record in enumerate(records):
        record.sgp4init(
            WGS72, "i", i, J2000_DAYS - 2433281.5, 0.0, 0.0, 0.0, shell.eccentricity[i], shell.perigee_rad[i], shell.inclination_rad[i],
            shell.mean_anomaly_rad[i], shell.mean_motion_rad_s[i] * 60.0, shell.node_rad[i],
        )  # fmt: skip
    failed, theirs, _ = SatrecArray(records).sgp4(np.full(len(times), J2000_DAYS), times / 86400.0)
    apart = np.linalg.norm(theirs.transpose(1, 0, 2) * 1e3 - ours, axis=-1)
    return {"largest": float(apart[failed.T == 0].max())}


@model(
    "radiation.dose_year",
    {"altitude": "m", "shielding": "m", "node_local_time": "s", "solar_activity": ""},
    {"dose": "rad_si"},
    optional=("node_local_time", "solar_activity"),
)
def _dose_year(
    altitude: float, shielding: float, node_local_time: float = 64800.0, solar_activity: str = "minimum"
) -> Answer:
    """Dose in silicon of a year in a sun-synchronous orbit, trapped and galactic, from ten days along it."""
    from_jd = julian_date(iso_date("2026-06-21"))
    track = motion.propagate(
        orbits.ring(1, altitude, node_local_time, from_jd), np.arange(0.0, 10 * 86400.0, 60.0), from_jd
    )
    space = radiation.environment("max" if solar_activity == "maximum" else "min", 2026.0)
    dose = radiation.exposure(track.fixed_m, radiation.prepare(space, np.array([shielding])))
    return {"dose": float(dose.dose_rad_s.mean()) * 365.25 * 86400.0}


@model("network.fibre", {"distance": "m", "route_factor": "1"}, {"rtt": "s"}, optional=("route_factor",))
def _fibre(distance: float, route_factor: float = 1.0) -> Answer:
    """Round trip in fibre over a great-circle distance times a route factor."""
    return {"rtt": 2.0 * distance * route_factor / access.FIBRE_M_S}


@model("network.fibre_route", {"from": "", "to": ""}, {"rtt": "s", "length": "m", "floor": "s"})
def _fibre_route(**ends: str) -> Answer:
    """Round trip by named cables and land routes between two places of the catalog."""
    a, b = (_place(ends[k]) for k in ("from", "to"))
    route = terrestrial.fibre(terrestrial.graph(), (a.latitude, a.longitude), (b.latitude, b.longitude))
    return {"rtt": route.round_trip_s, "length": route.length_m, "floor": route.floor_s}


@model(
    "network.probe",
    {
        "mesh": "",
        "from": "",
        "to": "",
        "slant_limit": "m",
        "elevation": "rad",
        "start": "",
        "duration": "s",
        "step": "s",
    },
    {"rtt_min": "s", "rtt_mean": "s", "rtt_max": "s", "outage": "1"},
    optional=("slant_limit", "elevation", "start", "duration", "step"),
)
def _probe(mesh: str, slant_limit: float = math.inf, elevation: float = 0.0, start: str = "2000-01-01T00:00:00Z",
           duration: float = 3600.0, step: float = 10.0, **ends: str) -> Answer:  # fmt: skip
    """Propagation-only round trip over a mesh of the catalog (+Grid without seam shift), by own terminals at both ends."""
    rtt = probe_times(mesh, ends["from"], ends["to"], slant_limit, elevation, start, duration, step)
    here = rtt[np.isfinite(rtt)]
    if not len(here):
        raise ValueError(f"no path between {ends['from']} and {ends['to']} at any time")
    return {
        "rtt_min": float(here.min()),
        "rtt_mean": float(here.mean()),
        "rtt_max": float(here.max()),
        "outage": 1.0 - len(here) / len(rtt),
    }


def probe_times(
    mesh: str, a: str, b: str, slant_limit_m: float, elevation_rad: float, start: str, duration_s: float, step_s: float
) -> Floats:
    """Round trips of a probe at each step [s], NaN in an outage: (T,)."""
    part = packaged().mesh(mesh)
    elements = mesh_elements(mesh)
    from_jd = julian_date(iso_date(start))
    times = np.arange(0.0, duration_s, step_s)
    track = motion.propagate(elements, times, from_jd, inertial=False)
    beam = laser(packaged().terminal(part.terminal))
    pairs = topology.topologies["plus-grid-unshifted"](elements, track.fixed_m[0], beam.max_range_m)
    places = [_place(name) for name in (a, b)]
    sites = ground.place(np.array([p.latitude for p in places]), np.array([p.longitude for p in places]), np.zeros(2))
    order = routing.mesh_order(elements, 0)
    rtt = np.full(len(times), np.nan)
    for i, satellites_m in enumerate(track.fixed_m):
        graph = routing.mesh(len(satellites_m), topology.links(satellites_m, pairs, beam), order=order)
        seen = ground.visible(sites, satellites_m, elevation_rad, slant_limit_m)
        found = access.round_trip(graph, access.place_fields(graph, seen, np.array([0]))[0], seen, 1)
        if not found.outage:
            rtt[i] = found.propagation_s
    return rtt


def _place(name: str) -> Place:
    found = find_place(packaged(), name)
    if isinstance(found, Problem):
        raise InputError(found)
    return found


@model(
    "link.sight_range", {"altitude_a": "m", "altitude_b": "m", "grazing": "m"}, {"range": "m"}, optional=("grazing",)
)
def _sight_range(altitude_a: float, altitude_b: float, grazing: float = links.GRAZING_M) -> Answer:
    """The longest straight line between two altitudes that stays above the air."""
    return {"range": float(links.sight_range(altitude_a, altitude_b, grazing))}


@model(
    "network.access",
    {"from": "", "mesh": "", "start": "", "duration": "s", "step": "s", "elevation": "rad"},
    {"rtt": "s", "space": "s", "fibre": "s"},
    optional=("mesh", "start", "duration", "step", "elevation"),
)
def _access(
    mesh: str = "starlink-gen1", start: str = "2026-09-15T00:00:00Z", duration: float = 3600.0, step: float = 300.0,
    elevation: float = math.radians(25), **ends: str,
) -> Answer:  # fmt: skip
    """Round trip from a country (two letters) or place by own terminals to the nearest point of presence, delivered.

    Least over gateways of mesh and fibre, plus access scheduling, processing and queue; the mean over its ten largest
    cities by people and over time. Congestion, the local network and weather are not in it.
    """
    space_s, fibre_s = access_times(ends["from"], mesh, start, duration, step, elevation)
    paid = sum(packaged().value(f"access.{k}") for k in ("scheduling", "queue")) + 2.0 * packaged().value(
        "access.processing"
    )
    return {"rtt": space_s + fibre_s + paid, "space": space_s, "fibre": fibre_s}


def access_times(
    country: str, mesh: str, start: str, duration_s: float, step_s: float, elevation_rad: float
) -> tuple[float, float]:
    """Mean round trip in space and in fibre [s] from a country to the nearest point of presence."""
    catalog = packaged()
    rows: Any = catalog.kind("cities").values()
    cities: Any = [c for c in rows if c.country == country.upper()][:10]
    if cities:
        city_m = ground.place(*_angles(cities), np.zeros(len(cities)))
        people = np.array([float(c.population) for c in cities])
    else:  # a place
        spot = _place(country)
        city_m, people = ground.place(np.array([spot.latitude]), np.array([spot.longitude]), np.zeros(1)), np.ones(1)
    stations: Any = [g for g in catalog.kind("gateways").values() if g.status == "operational"]  # type: ignore[attr-defined]
    gateways, presence = ([g for g in stations if g.type == kind] for kind in ("gateway", "pop"))
    down_s = 2.0 * terrestrial.matrix(terrestrial.graph(), *_angles([*gateways, *presence]), (), len(gateways))[
        :, len(gateways) :
    ].min(axis=1)
    gateway_m = ground.place(*_angles(gateways), np.zeros(len(gateways)))
    elements, from_jd, beam = (
        mesh_elements(mesh),
        julian_date(iso_date(start)),
        laser(catalog.terminal(catalog.mesh(mesh).terminal)),
    )
    track = motion.propagate(elements, np.arange(0.0, duration_s, step_s), from_jd, inertial=False)
    pairs = topology.plus_grid(elements, track.fixed_m[0], beam.max_range_m)
    order, index = routing.mesh_order(elements, 0), np.arange(len(people))
    space, fibre = [], []
    for satellites_m in track.fixed_m:
        graph = routing.mesh(len(satellites_m), topology.links(satellites_m, pairs, beam), order=order)
        seen = ground.visible(city_m, satellites_m, elevation_rad)
        fields = access.place_fields(graph, seen, index)
        below = ground.visible(gateway_m, satellites_m, elevation_rad)
        up_s = 2.0 * access.reach(below, Fields(index, fields)).astype(np.float64)  # (gateways, cities)
        best = (up_s + down_s[:, None]).argmin(axis=0)
        here = np.isfinite(up_s[best, index])
        if here.any():
            weight = people * here / (people * here).sum()
            space.append(float((weight[here] * up_s[best, index][here]).sum()))
            fibre.append(float((weight[here] * down_s[best][here]).sum()))
    if not space:
        raise ValueError(f"no city of '{country}' sees the mesh {mesh}")
    return float(np.mean(space)), float(np.mean(fibre))


def mesh_elements(name: str) -> Elements:
    """Mean elements of a mesh of the catalog, shell by shell."""
    return orbits.join(*(
        orbits.walker(s.planes, s.per_plane, s.altitude, s.inclination, phasing=s.phasing, raan_spread_rad=s.raan_spread,
                      shell=i, odd_plane_offset=s.odd_plane_offset)
        for i, s in enumerate(packaged().mesh(name).shells)
    ))  # fmt: skip


def _angles(rows: Any) -> tuple[Floats, Floats]:
    return np.radians([r.latitude for r in rows]), np.radians([r.longitude for r in rows])
