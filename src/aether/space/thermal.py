"""Heat: chip, cold plate, coolant and radiator as four nodes in a row, and a two-sided radiator that closes the loop.

Hotter means slower: the power that heat allows falls as the coolant or the sink warms. Steps are implicit (two stages,
second order, L-stable), so that nodes of seconds and ticks of minutes go together, and heat is conserved to rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from aether.base.tables import Fleet, Floats, Heat

SIGMA_W_M2_K4 = 5.670374419e-8  # Stefan-Boltzmann, CODATA 2018
SUBSTEP_S = 10.0  # longest implicit step; halving it moves no temperature by 0.1 K in the tests
GUARD_K = 0.25  # coolant steered this far under its limit: heat already in chip and plate arrives after clocks fall
LOOK = 6  # and so many substeps are looked ahead past the tick: several time constants of chip and plate
GAMMA = 1.0 - 1.0 / math.sqrt(2.0)  # Alexander 1977, SIAM J. Numer. Anal. 14: the L-stable two-stage method


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
    nodes = np.stack([heat.chip_k, heat.plate_k, heat.coolant_k, heat.radiator_k], axis=1)
    end, rejected_w = _settle(nodes, *_loop(fleet), sink_k, chip_w, other_w, step_s)
    return Heat(end[:, 0].copy(), end[:, 1].copy(), end[:, 2].copy(), end[:, 3].copy(), rejected_w)


def limit(fleet: Fleet, heat: Heat, sink_k: Floats, gpu_w_max: Floats, other_w: Floats, step_s: float) -> Floats:
    """The most GPU power that keeps chip and coolant at or below their limits through the tick.

    The same power is tried on the same nodes as in `settle`, over the tick and a minute more, so that heat under way
    from chip to coolant is counted and clocks settle without swinging: chip and coolant stay below their limits in
    every substep, the coolant ends a quarter of a kelvin under its own. A node that starts above its limit is asked to
    be below at the end. Valid for chips and plates that settle within half a minute.

    heat: at the tick's start; sink_k [K], gpu_w_max, other_w [W]: (K,). step_s [s]. Returns (K,) [W], zero where even
    idle GPUs are too hot.
    """
    nodes = np.stack([heat.chip_k, heat.plate_k, heat.coolant_k, heat.radiator_k], axis=1)
    return _limit(nodes, *_loop(fleet), sink_k, gpu_w_max, other_w, fleet.chip_limit_k, fleet.coolant_limit_k, step_s)


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


def _loop(fleet: Fleet) -> tuple[Floats, Floats, Floats]:
    """Masses (K, 4), conductances (K, 3) and radiating constant 2 A epsilon sigma eta (K,) as the kernels take them."""
    masses = np.stack([fleet.chip_j_k, fleet.plate_j_k, fleet.coolant_j_k, fleet.radiator_j_k], axis=1)
    joints = np.stack([fleet.chip_plate_w_k, fleet.plate_coolant_w_k, fleet.coolant_radiator_w_k], axis=1)
    radiating = 2.0 * fleet.radiator_area_m2 * fleet.radiator_emissivity * SIGMA_W_M2_K4 * fleet.fin_effectiveness
    return masses, joints, radiating


@njit(cache=True, nogil=True)
def _stage(
    base: Floats, masses: Floats, joints: Floats, radiating: float, sink4: float, chip_w: float, other_w: float,
    span: float, out: Floats,
) -> None:  # fmt: skip
    """Solve out = base + span f(out): the three linear nodes fold into one equation for the radiator, by Newton."""
    # T_c = a0 + b0 T_p; T_p = a1 + b1 T_l; T_l = a2 + b2 T_r
    d = masses[0] + span * joints[0]
    a0, b0 = (masses[0] * base[0] + span * chip_w) / d, span * joints[0] / d
    d = masses[1] + span * (joints[0] * (1.0 - b0) + joints[1])
    a1, b1 = (masses[1] * base[1] + span * joints[0] * a0) / d, span * joints[1] / d
    d = masses[2] + span * (joints[1] * (1.0 - b1) + joints[2])
    a2, b2 = (masses[2] * base[2] + span * (other_w + joints[1] * a1)) / d, span * joints[2] / d
    # C_r T + span (G_3 (1 - b2) T + K T^4) = C_r base + span (G_3 a2 + K T_s^4): rising and convex, so one root
    slope = masses[3] + span * joints[2] * (1.0 - b2)
    right = masses[3] * base[3] + span * (joints[2] * a2 + radiating * sink4)
    t = base[3]
    for _ in range(30):
        cube = radiating * span * t * t * t
        change = (slope * t + cube * t - right) / (slope + 4.0 * cube)
        t -= change
        if abs(change) < 1e-11 * t:
            break
    out[3] = t
    out[2] = a2 + b2 * t
    out[1] = a1 + b1 * out[2]
    out[0] = a0 + b0 * out[1]


@njit(cache=True, nogil=True)
def _step(
    nodes: Floats, masses: Floats, joints: Floats, radiating: float, sink_k: float, chip_w: float, other_w: float,
    span: float, work: Floats,
) -> float:  # fmt: skip
    """One implicit step in place; returns the heat rejected in it [J], by the same weights, so that heat balances."""
    sink4 = sink_k**4
    first, base = work[0], work[1]
    _stage(nodes, masses, joints, radiating, sink4, chip_w, other_w, GAMMA * span, first)
    for i in range(4):
        base[i] = nodes[i] + (1.0 - GAMMA) / GAMMA * (first[i] - nodes[i])
    _stage(base, masses, joints, radiating, sink4, chip_w, other_w, GAMMA * span, nodes)
    return span * radiating * ((1.0 - GAMMA) * (first[3] ** 4 - sink4) + GAMMA * (nodes[3] ** 4 - sink4))


@njit(cache=True, nogil=True)
def _settle(
    start: Floats, masses: Floats, joints: Floats, radiating: Floats, sink_k: Floats, chip_w: Floats, other_w: Floats,
    step_s: float,
) -> tuple[Floats, Floats]:  # fmt: skip
    end = start.copy()
    rejected = np.zeros(start.shape[0])
    work = np.empty((2, 4))
    count = max(1, math.ceil(step_s / SUBSTEP_S - 1e-9))
    for k in range(start.shape[0]):
        total = 0.0
        for _ in range(count):
            total += _step(
                end[k], masses[k], joints[k], radiating[k], sink_k[k], chip_w[k], other_w[k], step_s / count, work
            )
        rejected[k] = total / step_s
    return end, rejected


@njit(cache=True, nogil=True)
def _excess(
    start: Floats, masses: Floats, joints: Floats, radiating: float, sink_k: float, chip_w: float, other_w: float,
    chip_limit_k: float, coolant_limit_k: float, step_s: float, nodes: Floats, work: Floats,
) -> float:  # fmt: skip
    """By how many kelvin this power breaks the limits over the tick and the look ahead; negative when it keeps them."""
    nodes[:] = start
    chip_starts_over, coolant_starts_over = start[0] > chip_limit_k, start[2] > coolant_limit_k
    count = max(1, math.ceil(step_s / SUBSTEP_S - 1e-9))
    worst = -np.inf
    for i in range(count + LOOK):
        span = step_s / count if i < count else SUBSTEP_S
        _step(nodes, masses, joints, radiating, sink_k, chip_w, other_w, span, work)
        if not chip_starts_over or i >= count - 1:
            worst = max(worst, nodes[0] - chip_limit_k)
        if not coolant_starts_over:
            worst = max(worst, nodes[2] - coolant_limit_k)
    return max(worst, nodes[2] - (coolant_limit_k - GUARD_K))


@njit(cache=True, nogil=True)
def _limit(
    start: Floats, masses: Floats, joints: Floats, radiating: Floats, sink_k: Floats, most_w: Floats, other_w: Floats,
    chip_limit_k: Floats, coolant_limit_k: Floats, step_s: float,
) -> Floats:  # fmt: skip
    out = np.zeros(start.shape[0])
    work = np.empty((2, 4))
    nodes = np.empty(4)
    for k in range(start.shape[0]):
        rest = (
            start[k], masses[k], joints[k], radiating[k], sink_k[k], other_w[k], chip_limit_k[k], coolant_limit_k[k]
        )  # fmt: skip
        out[k] = _root(rest, most_w[k], step_s, nodes, work)
    return out


@njit(cache=True, nogil=True)
def _root(
    ship: tuple[Floats, Floats, Floats, float, float, float, float, float], most_w: float, step_s: float,
    nodes: Floats, work: Floats,
) -> float:  # fmt: skip
    """The largest power with no excess. Excess rises with power, nearly as a line: false position, Illinois rule."""
    start, masses, joints, radiating, sink_k, other_w, chip_k, coolant_k = ship
    high = most_w
    f_high = _excess(
        start, masses, joints, radiating, sink_k, high, other_w, chip_k, coolant_k, step_s, nodes, work
    )  # fmt: skip
    if f_high <= 0.0:
        return high
    low = 0.0
    f_low = _excess(start, masses, joints, radiating, sink_k, low, other_w, chip_k, coolant_k, step_s, nodes, work)
    if f_low > 0.0:
        return 0.0
    side = 0
    for _ in range(60):
        if high - low <= 1e-9 * most_w:
            break
        middle = high - f_high * (high - low) / (f_high - f_low)
        f = _excess(start, masses, joints, radiating, sink_k, middle, other_w, chip_k, coolant_k, step_s, nodes, work)
        if f > 0.0:
            high, f_high = middle, f
            if side == 1:
                f_low *= 0.5
            side = 1
        else:
            low, f_low = middle, f
            if f > -1e-7:
                break
            if side == -1:
                f_high *= 0.5
            side = -1
    return low
