"""Heat: chip, cold plate, coolant and radiator as four nodes in a row, and a two-sided radiator that closes the loop.

Hotter means slower: the power that heat allows falls as the coolant or the sink warms. Steps are implicit (two stages,
second order, L-stable), so that nodes of seconds and ticks of minutes go together, and heat is conserved to rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from aether.base.tables import Fleet, Floats, Heat
from aether.space import thermal_kernels as kernels

SIGMA_W_M2_K4 = 5.670374419e-8  # Stefan-Boltzmann, CODATA 2018
GUARD_K = kernels.GUARD_K


@dataclass(frozen=True, slots=True)
class RadiatorFlux:
    """Fluxes of a plate per area of one face [W/m2]; net = emitted - solar - earth."""

    emitted: float
    solar: float
    earth: float  # albedo and infrared
    net: float


def radiator_flux(
    temperature_k: float,
    emissivity: float,
    absorptivity_solar: float,
    absorptivity_infrared: float,
    earth_view_factor: float,
    albedo: float,
    irradiance_w_m2: float,
    earth_k: float,
    faces: int = 2,
    sunlit_faces: int = 1,
) -> RadiatorFlux:
    """Net flux of a flat plate, beside what goes out and comes in.

    net = n epsilon sigma T^4 - m alpha S - alpha a S F - alpha_ir F sigma T_E^4, with n faces, m of them in the Sun.
    temperature_k, earth_k [K]; emissivity, both absorptivities, earth_view_factor F of all faces together and albedo a
    [1]; irradiance_w_m2 S [W/m2]. Kirchhoff's law asks absorptivity_infrared = emissivity; the published case [1]
    breaks it (633.08 W/m2; 584.76 with the law kept). Earth as a black sphere at earth_k.

    [1] Starcloud, "Why we should train AI in space", 2024.
    """
    emitted = faces * emissivity * SIGMA_W_M2_K4 * temperature_k**4
    solar = sunlit_faces * absorptivity_solar * irradiance_w_m2
    reflected = absorptivity_solar * albedo * irradiance_w_m2 * earth_view_factor
    earth = reflected + absorptivity_infrared * earth_view_factor * SIGMA_W_M2_K4 * earth_k**4
    return RadiatorFlux(emitted, solar, earth, emitted - solar - earth)


def radiator_temperature(
    heat_w: Floats | float,
    area_of_faces_m2: Floats | float,
    emissivity: Floats | float,
    sink_k: Floats | float,
    effectiveness: Floats | float = 1.0,
) -> Floats:
    """Temperature at which a radiator rejects so much heat: T = (Q / (epsilon sigma eta A) + T_s^4)^(1/4).

    heat_w Q [W]; area_of_faces_m2 A [m2], all faces that radiate; emissivity, effectiveness eta [1]; sink_k T_s [K].
    Returns [K] at the fin roots. Steady state.
    """
    flux = np.asarray(heat_w) / (np.asarray(area_of_faces_m2) * emissivity * effectiveness * SIGMA_W_M2_K4)
    return np.asarray((flux + np.asarray(sink_k, dtype=np.float64) ** 4) ** 0.25)


def radiator_heat(
    area_m2: Floats | float,
    temperature_k: Floats | float,
    emissivity: Floats | float,
    sink_k: Floats | float,
    effectiveness: Floats | float = 1.0,
) -> Floats:
    """Heat that a two-sided radiator rejects: Q = 2 A epsilon sigma eta (T^4 - T_s^4).

    area_m2 A [m2] planform; temperature_k T [K] at the fin roots; sink_k T_s [K]. Returns [W], negative below the sink.
    """
    difference = np.asarray(temperature_k, dtype=np.float64) ** 4 - np.asarray(sink_k, dtype=np.float64) ** 4
    return np.asarray(2.0 * np.asarray(area_m2) * emissivity * SIGMA_W_M2_K4 * effectiveness * difference)


def settle(fleet: Fleet, heat: Heat, sink_k: Floats, chip_w: Floats, other_w: Floats, step_s: float) -> Heat:
    """One tick of the four nodes with constant inputs.

    C_c T_c' = P - G_1 (T_c - T_p); C_p T_p' = G_1 (T_c - T_p) - G_2 (T_p - T_l);
    C_l T_l' = P_o + G_2 (T_p - T_l) - G_3 (T_l - T_r);
    C_r T_r' = G_3 (T_l - T_r) - 2 A epsilon sigma eta (T_r^4 - T_s^4).

    heat: at the tick's start; sink_k [K], chip_w P, other_w P_o [W] (bus and conversion losses, to the coolant): (K,).
    step_s [s]. Returns Heat at the tick's end; (chip_w + other_w - rejected_w) step_s is the change of stored heat.
    Lumped nodes: gradients along the loop are in the conductances.
    """
    return Heat(*kernels.settle(_given(fleet, heat, sink_k, other_w, chip_w), step_s))


def limit(fleet: Fleet, heat: Heat, sink_k: Floats, gpu_w_max: Floats, other_w: Floats, step_s: float) -> Floats:
    """The most GPU power that keeps chip and coolant at or below their limits through the tick.

    The same power is tried on the same nodes as in `settle`, over the tick and a minute more, so that heat under way
    from chip to coolant is counted and clocks settle without swinging: chip and coolant stay below their limits in
    every substep, the coolant ends a quarter of a kelvin under its own. A node that starts above its limit is asked to
    be below at the end. Valid for chips and plates that settle within half a minute.

    heat: at the tick's start; sink_k [K], gpu_w_max, other_w [W]: (K,). step_s [s]. Returns (K,) [W], zero where even
    idle GPUs are too hot.
    """
    limits_k = (fleet.chip_limit_k, fleet.coolant_limit_k)
    return np.asarray(kernels.limit(_given(fleet, heat, sink_k, other_w, gpu_w_max, *limits_k), step_s))


def steady(fleet: Fleet, sink_k: Floats, other_w: Floats) -> Floats:
    """The GPU power that a ship rejects for ever: chip at its limit, or coolant a quarter of a kelvin under its own.

    This is where `limit` comes to rest under constant conditions.
    sink_k [K], other_w [W]: (..., K) broadcast. Returns (..., K) [W] by bisection, zero where there is none.
    """
    sink, other, limit_k = np.broadcast_arrays(sink_k, other_w, fleet.coolant_limit_k)
    low = np.zeros(sink.shape)
    high = radiator_heat(fleet.radiator_area_m2, limit_k, fleet.radiator_emissivity, 0.0, fleet.fin_effectiveness) + low
    for _ in range(50):
        middle = 0.5 * (low + high)
        nodes = _equilibrium(fleet, sink, middle, other)
        fits = (nodes.coolant_k <= limit_k - GUARD_K) & (nodes.chip_k <= fleet.chip_limit_k)
        low, high = np.where(fits, middle, low), np.where(fits, high, middle)
    return low


def equilibrium(fleet: Fleet, sink_k: Floats, chip_w: Floats, other_w: Floats) -> Heat:
    """Where the four nodes come to rest: radiator from the balance of heat, the others by the drops over conductances.

    sink_k [K], chip_w, other_w [W]: (K,). Returns Heat (K,), a fit state to start from.
    """
    return _equilibrium(fleet, sink_k, chip_w, other_w)


def radiator_area(
    heat_w: float, coolant_k: float, sink_k: float, emissivity: float, effectiveness: float, drop_k: float = 0.0
) -> float:
    """Planform of a two-sided radiator for a heat: A = Q / (2 epsilon sigma eta ((T_l - drop)^4 - T_s^4)).

    heat_w Q [W]; coolant_k T_l, sink_k T_s [K]; drop_k [K] from coolant to fin roots. Returns [m2], infinite where the
    radiator would be no warmer than its sink.
    """
    flux = float(radiator_heat(1.0, coolant_k - drop_k, emissivity, sink_k, effectiveness))
    return heat_w / flux if flux > 0.0 else math.inf


def stored_j(fleet: Fleet, heat: Heat) -> Floats:
    """Heat stored in the nodes above absolute zero, sum of C T (K,) [J]."""
    return (
        fleet.chip_j_k * heat.chip_k
        + fleet.plate_j_k * heat.plate_k
        + fleet.coolant_j_k * heat.coolant_k
        + fleet.radiator_j_k * heat.radiator_k
    )


def _equilibrium(fleet: Fleet, sink_k: Floats, chip_w: Floats, other_w: Floats) -> Heat:
    total = np.asarray(chip_w) + other_w
    faces = 2.0 * fleet.radiator_area_m2
    radiator = radiator_temperature(total, faces, fleet.radiator_emissivity, sink_k, fleet.fin_effectiveness)
    coolant = radiator + total / fleet.coolant_radiator_w_k
    plate = coolant + chip_w / fleet.plate_coolant_w_k
    return Heat(plate + chip_w / fleet.chip_plate_w_k, plate, coolant, radiator, total + 0.0 * radiator)


def _given(fleet: Fleet, heat: Heat, sink_k: Floats, other_w: Floats, power_w: Floats, *limits_k: Floats) -> Floats:
    """All that the kernels need, (fields, K) in their order."""
    radiating = 2.0 * fleet.radiator_area_m2 * fleet.radiator_emissivity * SIGMA_W_M2_K4 * fleet.fin_effectiveness
    fields = (
        heat.chip_k, heat.plate_k, heat.coolant_k, heat.radiator_k,
        fleet.chip_j_k, fleet.plate_j_k, fleet.coolant_j_k, fleet.radiator_j_k,
        fleet.chip_plate_w_k, fleet.plate_coolant_w_k, fleet.coolant_radiator_w_k,
        radiating, sink_k, other_w, power_w, *limits_k,
    )  # fmt: skip
    return np.array(fields, dtype=np.float64)
