"""The models that `aether validate` knows: a stage's function under a name, with units at the door."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from aether.base.clock import iso_date, julian_date
from aether.network import links
from aether.operations import launch
from aether.space import motion, orbits, power, radiation, sun, thermal
from aether.study.validation import model

Answer = Mapping[str, float]


@model(
    "orbit.geometry",
    {"altitude": "m", "inclination": "rad", "elevation": "rad", "sats_per_plane": "1"},
    {"period": "s", "node_drift": "rad/s", "sso_inclination": "rad", "beta_critical": "rad", "slant_range": "m", "chord": "m",
     "eclipse_fraction_max": "1", "eclipse_longest": "s"},
    optional=("inclination", "elevation", "sats_per_plane"),
)  # fmt: skip
def _geometry(altitude: float, inclination: float = math.radians(53), elevation: float = math.radians(25), sats_per_plane: float = 22) -> Answer:
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
    sunlit, days, longest = sun.dawn_dusk_year(altitude, node_local_time, round(year))
    return {"sunlit_fraction": sunlit, "eclipse_days": days, "longest_eclipse": longest}


@model("power.array", {"area": "m^2", "efficiency": "1", "packing": "1", "irradiance": "W/m^2"}, {"power": "W"}, optional=("packing", "irradiance"))
def _array(area: float, efficiency: float, packing: float = 1.0, irradiance: float = power.SOLAR_CONSTANT_W_M2) -> Answer:
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
def _radiator_temperature(heat: float, area_of_faces: float, emissivity: float, sink_temperature: float, effectiveness: float = 1.0) -> Answer:
    """Temperature at which a radiator rejects a heat."""
    return {"temperature": float(thermal.radiator_temperature(heat, area_of_faces, emissivity, sink_temperature, effectiveness))}


@model(
    "thermal.radiator_heat",
    {"area": "m^2", "temperature": "K", "emissivity": "1", "sink_temperature": "K", "effectiveness": "1"},
    {"heat": "W"},
    optional=("effectiveness",),
)
def _radiator_heat(area: float, temperature: float, emissivity: float, sink_temperature: float, effectiveness: float = 1.0) -> Answer:
    """Heat that a two-sided radiator rejects."""
    return {"heat": float(thermal.radiator_heat(area, temperature, emissivity, sink_temperature, effectiveness))}


@model(
    "link.friis",
    {"power": "W", "gain_transmit": "dB", "gain_receive": "dB", "wavelength": "m", "distance": "m", "losses": "dB"},
    {"received": "W"},
    optional=("losses",),
)
def _friis(power: float, gain_transmit: float, gain_receive: float, wavelength: float, distance: float, losses: float = 0.0) -> Answer:
    """Power received over a laser link in the far field."""
    ratio = [10.0 ** (v / 10.0) for v in (gain_transmit, gain_receive, losses)]
    return {"received": float(links.friis(power, ratio[0], ratio[1], wavelength, distance, ratio[2]))}


@model("link.confocal", {"aperture_radius": "m", "wavelength": "m"}, {"near_field": "m", "divergence": "rad"})
def _confocal(aperture_radius: float, wavelength: float) -> Answer:
    """Reach of the near field, and divergence beyond it."""
    return {"near_field": float(links.confocal_range(aperture_radius, wavelength)),
            "divergence": float(links.divergence(2.0 * aperture_radius, wavelength))}  # fmt: skip


@model("radiation.cross_section", {"dose_per_event": "rad_si", "fluence_per_dose": "1/cm^2/rad_si"}, {"cross_section": "cm^2"}, optional=("fluence_per_dose",))
def _cross_section(dose_per_event: float, fluence_per_dose: float = 7.9e6) -> Answer:  # 7.9e6 protons/cm2 per rad: arXiv 2511.19468
    """Cross-section of an event from the dose between events in a beam."""
    return {"cross_section": float(radiation.cross_section(dose_per_event, fluence_per_dose))}


@model(
    "launch.learning",
    {"price": "USD/kg", "mass": "kg", "learning_rate": "1", "price_target": "USD/kg", "mass_added": "kg"},
    {"price": "USD/kg", "mass_added": "kg"},
    optional=("price_target", "mass_added"),
)
def _learning(price: float, mass: float, learning_rate: float, price_target: float | None = None, mass_added: float | None = None) -> Answer:
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
    uses: float, hardware: float = launch.HARDWARE_USD_KG, fuel: float = launch.FUEL_USD_KG, refurbishment: float = 0.0, refurbished: float = 1.0
) -> Answer:
    """Cost to orbit by number of uses of one vehicle."""
    return {"price": launch.reuse(uses, hardware, fuel, refurbishment, refurbished)}


@model("ship.density", {"power": "W", "mass": "kg", "radiator_area": "m^2"}, {"specific_power": "W/kg", "radiator_flux": "W/m^2"})
def _density(power: float, mass: float, radiator_area: float) -> Answer:
    """Power per mass and per radiator planform: divisions, to be counted as identities."""
    return {"specific_power": power / mass, "radiator_flux": power / radiator_area}


@model(
    "orbit.sunlit",
    {"altitude": "m", "inclination": "rad", "node": "rad", "start": "", "duration": "s"},
    {"sunlit_fraction": "1"},
    optional=("node", "duration"),
)
def _sunlit(altitude: float, inclination: float, start: str, node: float = 0.0, duration: float = 86400.0) -> Answer:
    """Share of time in sunlight, umbra and penumbra as they come, over a span."""
    return {"sunlit_fraction": sunlit_share(altitude, inclination, node, start, duration)}


def sunlit_share(altitude_m: float, inclination_rad: float, node_rad: float, start: str, duration_s: float, step_s: float = 10.0) -> float:
    """Mean share of the Sun's disc seen by a circular orbit, propagated; start is an ISO date in UTC."""
    from_jd = julian_date(iso_date(start))
    elements = orbits.circular(altitude_m, inclination_rad, np.array([node_rad]), np.zeros(1))
    track = motion.propagate(elements, np.arange(0.0, duration_s, step_s), from_jd)
    return float(sun.light(track, from_jd).lit.mean())
