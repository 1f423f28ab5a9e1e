"""Electric power of compute ships: arrays, batteries, what compute a watt buys, and who is served first.

Order of service: the bus, then GPUs; GPUs never take the battery below its depth of discharge, the bus may empty it.
How much sunlight to keep for the next darkness is the optimum of a problem of two phases, solved anew each tick.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from aether.base.tables import Energy, Fleet, Floats, Offer

SOLAR_CONSTANT_W_M2 = 1361.0  # at 1 au, Kopp & Lean 2011, doi 10.1029/2010GL045777
REFERENCE_CELL_K = 301.15  # 28 degC, at which space cells are rated, AIAA S-111
FADED = 0.20  # share of capacity lost at the end of a rated cycle life, the usual definition
CYCLES_SHALLOW, SHALLOW = 50e3, 0.20  # low-orbit cycle life at 20 % depth: NASA and EaglePicher practice, 30 to 50 k
CYCLES_DEEP, DEEP = 30e3, 0.40  # and at 40 %
DARK = 0.5  # a tick with less than this share of full light counts as dark
_HALVINGS = 60  # of a bracket: below one part in 1e18, the last bit of a float


@dataclass(frozen=True, slots=True)
class Outlook:
    """The phase of light or darkness that ships are in, and the one after (K,) or (T, K).

    Durations count whole ticks from the start of this one; a power is the mean of what the array makes in them.
    """

    light_s: Floats  # left of this phase of light; 0 in darkness, infinite where no darkness is in sight
    light_array_w: Floats
    dark_s: Floats  # left of this darkness, or length of the next
    dark_array_w: Floats  # penumbra leaves some


def array_power(
    area_m2: Floats | float,
    efficiency: Floats | float,
    packing: Floats | float = 1.0,
    irradiance_w_m2: Floats | float = SOLAR_CONSTANT_W_M2,
    cosine: Floats | float = 1.0,
    remaining: Floats | float = 1.0,
    conversion: Floats | float = 1.0,
    cell_k: Floats | float = REFERENCE_CELL_K,
    coefficient_per_k: Floats | float = 0.0,
) -> Floats:
    """Power of a solar array: P = A f eta (1 + c (T - 301.15)) S cos g r n, never below zero.

    area_m2 [m2] of the wing; packing f [1] cells over wing; efficiency eta [1] in the AM0 spectrum at 28 degC;
    irradiance_w_m2 S [W/m2]; cosine [1]; remaining r [1] after ageing; conversion n [1] to the point of use; cell_k T [K];
    coefficient_per_k c [1/K] relative, negative. All broadcast. Returns [W].
    Valid to about 15 degrees from the cell's own limits of temperature; cosine law to 60 degrees.

    [1] AIAA S-111A; arXiv 2511.19468 (105 m2, 22 %, 0.90: 28 kW).
    """
    warm = 1.0 + np.asarray(coefficient_per_k) * (np.asarray(cell_k) - REFERENCE_CELL_K)
    power = np.asarray(area_m2) * packing * efficiency * warm * irradiance_w_m2 * cosine * remaining * conversion
    return np.maximum(np.asarray(power, dtype=np.float64), 0.0)


def remaining(loss_per_s: Floats | float, age_s: Floats | float) -> Floats:
    """Share of an array's output left with age: r = (1 - d)^years, d the yearly share lost.

    loss_per_s [1/s]: d over a year's seconds; age_s [s]. Returns [1]. Valid for d below 1 a year; radiation storms are not in it.
    """
    year = 365.25 * 86400.0
    return np.maximum(1.0 - np.asarray(loss_per_s) * year, 0.0) ** (np.asarray(age_s, dtype=np.float64) / year)


def cycle_life(depth: Floats | float) -> Floats:
    """Low-orbit charge cycles of a lithium-ion pack to 80 % capacity: N = 50,000 (0.20 / depth)^0.737.

    depth [1]: share of nameplate taken each cycle. Returns [cycles]. The power law joins 50,000 cycles at 20 % and
    30,000 at 40 %; valid from 0.1 to 0.8.

    [1] NASA and EaglePicher low-orbit practice.
    """
    slope = math.log(CYCLES_SHALLOW / CYCLES_DEEP) / math.log(DEEP / SHALLOW)
    return CYCLES_SHALLOW * (SHALLOW / np.maximum(np.asarray(depth, dtype=np.float64), 1e-3)) ** slope


def battery_remaining(cycles: Floats | float, depth: Floats | float) -> Floats:
    """Share of nameplate left after cycling: 1 - 0.2 cycles / N(depth), linear fade.

    cycles [1], depth [1]: broadcast. Returns [1], not below 0. Calendar fade is not in it.
    """
    return np.maximum(1.0 - FADED * np.asarray(cycles) / cycle_life(depth), 0.0)


def gpu_power(clock: Floats | float, fleet: Fleet) -> Floats:
    """Power of one running GPU at a clock: p = idle + (full - idle) clock^e, between the lowest clock and 1.

    clock [1]: broadcast with (K,). Returns [W].
    """
    at = np.clip(clock, fleet.clock_min, 1.0)
    return fleet.gpu_idle_w + (fleet.gpu_w - fleet.gpu_idle_w) * at**fleet.clock_power_exponent


def best_clock(fleet: Fleet) -> Floats:
    """The clock with the most compute per watt: clock^e = idle / ((full - idle)(e - 1)), within what the GPU allows.

    Below the power of all GPUs at this clock it is best to let GPUs take turns at it, the others off. Returns (K,) [1].
    """
    return _best_clock(fleet.gpu_w, fleet.gpu_idle_w, fleet.clock_min, fleet.clock_power_exponent)


def compute_for_power(fleet: Fleet, gpu_w: Floats) -> Floats:
    """The compute that power lets run, in GPUs at full clocks: the concave hull of turns and clocks.

    C = P c*/p(c*) up to N p(c*), then N ((P/N - idle)/(full - idle))^(1/e) up to N.
    gpu_w [W]: (..., K) of the ship. Returns (..., K) [GPUs].
    """
    clock = best_clock(fleet)
    knee_w = gpu_power(clock, fleet)
    each = np.clip(gpu_w / np.maximum(fleet.gpus, 1e-9), 0.0, fleet.gpu_w)
    dynamic = np.maximum(fleet.gpu_w - fleet.gpu_idle_w, 1e-9)
    above = (np.maximum(each - fleet.gpu_idle_w, 0.0) / dynamic) ** (1.0 / fleet.clock_power_exponent)
    return fleet.gpus * np.where(each <= knee_w, each * clock / knee_w, above)


def power_for_compute(fleet: Fleet, gpus: Floats) -> Floats:
    """The least power for so many GPUs at full clocks: the inverse of `compute_for_power`.

    gpus: (..., K), no more than installed. Returns (..., K) [W].
    """
    clock = best_clock(fleet)
    share = np.clip(gpus / np.maximum(fleet.gpus, 1e-9), 0.0, 1.0)
    return fleet.gpus * np.where(share <= clock, share * gpu_power(clock, fleet) / clock, gpu_power(share, fleet))


def outlook(lit: Floats, array_w: Floats, step_s: float, lit_after: Floats | None = None) -> Outlook:
    """Phases of light and darkness ahead of every tick.

    A tick belongs to darkness when less than half the Sun's disc shows; durations are whole ticks.
    lit: (T, K) share of the disc; array_w: (T, K) [W]; step_s [s]. lit_after: ignored rows are not allowed: give at least
    one orbit more than you step through, since phases are cut at the end.
    Returns Outlook (T, K). Where no darkness follows, light_s is infinite and dark_s 0.
    """
    raise NotImplementedError


def offer(fleet: Fleet, charge_j: Floats, array_w: Floats, ahead: Outlook, step_s: float, running: Floats) -> Offer:
    """The most GPUs may draw this tick by power alone.

    In light: maximise L c(p_l) + D c(p_d) over GPU powers in the light left L and the next darkness D, subject to
    D (bus + p_d - dark array) / n_d = what the battery holds + n_c (array - bus - p_l) L, its usable size and its charge
    rate; c is concave, so bisection on the slope finds it. In darkness: the usable charge spread evenly over what is left.
    What neither GPUs in the plan nor the battery can take goes to GPUs.

    charge_j [J], array_w [W] this tick, running [1] share of GPUs in service: (K,). ahead: (K,). step_s [s].
    Returns Offer (K,).
    """
    gpu_w, shed_w = _offer(
        charge_j, array_w, ahead.light_s, ahead.light_array_w, ahead.dark_s, ahead.dark_array_w, step_s,
        fleet.gpus * running, fleet.gpu_w, fleet.gpu_idle_w, fleet.clock_min, fleet.clock_power_exponent, fleet.bus_w,
        fleet.battery_j, fleet.depth_of_discharge, fleet.charge_efficiency, fleet.discharge_efficiency, fleet.charge_max_w,
    )  # fmt: skip
    return Offer(gpu_w, array_w, shed_w)


def settle(fleet: Fleet, charge_j: Floats, offered: Offer, gpu_w: Floats, step_s: float) -> Energy:
    """One tick's energy balance with what GPUs really drew.

    array + discharge = bus + GPUs + charge + curtailed; stored change = n_c charge - discharge / n_d.
    Surplus charges the battery up to its rate and size, the rest is curtailed. In want, GPUs give way first (they are
    served from the array after the bus and from the battery above its depth of discharge), then the bus is shed.

    charge_j [J] at the tick's start, gpu_w [W] asked: (K,). offered: array power of the tick. step_s [s].
    Returns Energy (K,), mean powers.
    """
    array_w, bus_w = offered.array_w, fleet.bus_w
    floor_j = (1.0 - fleet.depth_of_discharge) * fleet.battery_j
    deliverable_w = np.maximum(charge_j, 0.0) * fleet.discharge_efficiency / step_s
    usable_w = np.maximum(charge_j - floor_j, 0.0) * fleet.discharge_efficiency / step_s
    served_bus = np.minimum(bus_w, array_w + deliverable_w)
    left_w = array_w - served_bus  # negative when the bus already draws on the battery
    served_gpu = np.clip(gpu_w, 0.0, np.maximum(left_w + usable_w, 0.0))
    net_w = left_w - served_gpu
    room_w = np.maximum(fleet.battery_j - charge_j, 0.0) / (np.maximum(fleet.charge_efficiency, 1e-9) * step_s)
    charge_w = np.minimum(np.maximum(net_w, 0.0), np.minimum(fleet.charge_max_w, room_w))
    discharge_w = np.maximum(-net_w, 0.0)
    stored = charge_j + step_s * (fleet.charge_efficiency * charge_w - discharge_w / fleet.discharge_efficiency)
    return Energy(
        array_w=array_w,
        curtailed_w=np.maximum(net_w, 0.0) - charge_w,
        bus_w=served_bus,
        gpu_w=served_gpu,
        charge_w=charge_w,
        discharge_w=discharge_w,
        charge_j=np.clip(stored, 0.0, fleet.battery_j),  # rounding only
        shed_w=bus_w - served_bus,
    )
