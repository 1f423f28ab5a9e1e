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
_TIE = 1e-13  # slopes closer than this are equal but for rounding: then light comes first
DARK = 0.5  # a tick with less than this share of full light counts as dark


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
    irradiance_w_m2 S [W/m2]; cosine [1]; remaining r [1] after ageing; conversion n [1] to the point of use;
    cell_k T [K]; coefficient_per_k c [1/K] relative, negative. All broadcast. Returns [W].
    Valid to about 15 degrees from the cell's own limits of temperature; cosine law to 60 degrees.

    [1] AIAA S-111A; arXiv 2511.19468 (105 m2, 22 %, 0.90: 28 kW).
    """
    warm = 1.0 + np.asarray(coefficient_per_k) * (np.asarray(cell_k) - REFERENCE_CELL_K)
    power = np.asarray(area_m2) * packing * efficiency * warm * irradiance_w_m2 * cosine * remaining * conversion
    return np.maximum(np.asarray(power, dtype=np.float64), 0.0)


def remaining(loss_per_s: Floats | float, age_s: Floats | float) -> Floats:
    """Share of an array's output left with age: r = (1 - d)^years, d the yearly share lost.

    loss_per_s [1/s]: d over a year's seconds; age_s [s]. Returns [1]. Valid for d below 1 a year.
    Storms of particles are not in it.
    """
    year = 365.25 * 86400.0
    return np.maximum(1.0 - np.asarray(loss_per_s) * year, 0.0) ** (np.asarray(age_s, dtype=np.float64) / year)


def battery_remaining(cycles: Floats | float, fade_per_cycle: Floats | float) -> Floats:
    """Share of a battery's nameplate left after cycling: 1 - cycles x fade, linear.

    cycles [1], fade_per_cycle [1]: share of nameplate lost in one at the depth in use: 20 % over 30,000 to 50,000
    cycles at 40 to 20 % depth in low orbit. Returns [1], not below 0. Valid to about 0.7; calendar fade is not in it.

    [1] NASA and EaglePicher practice for lithium-ion packs in low orbit.
    """
    return np.maximum(1.0 - np.asarray(cycles, dtype=np.float64) * fade_per_cycle, 0.0)


def gpu_power(clock: Floats | float, fleet: Fleet) -> Floats:
    """Power of one running GPU at a clock: p = idle + (full - idle) clock^e, between the lowest clock and 1.

    clock [1]: broadcast with (K,). Returns [W].
    """
    at = np.clip(clock, fleet.clock_min, 1.0)
    return fleet.gpu_idle_w + (fleet.gpu_full_w - fleet.gpu_idle_w) * at**fleet.clock_power_exponent


def best_clock(fleet: Fleet) -> Floats:
    """The clock with the most compute per watt: clock^e = idle / ((full - idle)(e - 1)), within what the GPU allows.

    Below the power of all GPUs at this clock it is best to let GPUs take turns at it, the others off. Returns (K,) [1].
    """
    return _best_clock(fleet.gpu_full_w, fleet.gpu_idle_w, fleet.clock_min, fleet.clock_power_exponent)


def compute_for_power(fleet: Fleet, gpu_w: Floats) -> Floats:
    """The compute that power lets run, in GPUs at full clocks: the concave hull of turns and clocks.

    C = P c*/p(c*) up to N p(c*), then N ((P/N - idle)/(full - idle))^(1/e) up to N.
    gpu_w [W]: (..., K) of the ship. Returns (..., K) [GPUs].
    """
    clock = best_clock(fleet)
    knee_w = gpu_power(clock, fleet)
    each = np.clip(gpu_w / np.maximum(fleet.gpus, 1e-9), 0.0, fleet.gpu_full_w)
    dynamic = np.maximum(fleet.gpu_full_w - fleet.gpu_idle_w, 1e-9)
    above = (np.maximum(each - fleet.gpu_idle_w, 0.0) / dynamic) ** (1.0 / fleet.clock_power_exponent)
    return fleet.gpus * np.where(each <= knee_w, each * clock / knee_w, above)


def power_for_compute(fleet: Fleet, gpus: Floats) -> Floats:
    """The least power for so many GPUs at full clocks: the inverse of `compute_for_power`.

    gpus: (..., K), no more than installed. Returns (..., K) [W].
    """
    clock = best_clock(fleet)
    share = np.clip(gpus / np.maximum(fleet.gpus, 1e-9), 0.0, 1.0)
    return fleet.gpus * np.where(share <= clock, share * gpu_power(clock, fleet) / clock, gpu_power(share, fleet))


def outlook(lit: Floats, array_w: Floats, step_s: float) -> Outlook:
    """Phases of light and darkness ahead of every tick.

    A tick belongs to darkness when less than half the Sun's disc shows; durations are whole ticks from its start.
    lit: (T, K) share of the disc; array_w: (T, K) [W] what the array makes; step_s [s].
    Returns Outlook (T, K). Where no darkness follows in the window light_s is infinite and dark_s is 0: give a window
    that reaches an orbit further than what you step through, since a darkness at its end is cut.
    """
    return Outlook(*_phases(lit, array_w, step_s))


def offer(fleet: Fleet, charge_j: Floats, array_w: Floats, ahead: Outlook, step_s: float, running: Floats) -> Offer:
    """The most GPUs may draw this tick by power alone.

    In light: maximise L c(p_l) + D c(p_d) over GPU powers in the light left L and the next darkness D, subject to
    D (bus + p_d - dark array) / n_d = what the battery holds + n_c (array - bus - p_l) L, its usable size and its
    charge rate; c is concave, so bisection on the slope finds it. In darkness: the usable charge spread evenly over
    what is left. What the battery cannot take goes to GPUs.

    charge_j [J], array_w [W] this tick, running [1] share of GPUs in service: (K,). ahead: (K,). step_s [s].
    Returns Offer (K,).
    """
    gpu_w, shed_w = _offer(
        charge_j, array_w, ahead.light_s, ahead.light_array_w, ahead.dark_s, ahead.dark_array_w, step_s,
        fleet.gpus * running, fleet.gpu_full_w, fleet.gpu_idle_w, fleet.clock_min, fleet.clock_power_exponent, fleet.bus_w,
        fleet.battery_j, fleet.depth_of_discharge, fleet.charge_efficiency, fleet.discharge_efficiency,
        fleet.charge_max_w,
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


@njit(cache=True, nogil=True)
def _phases(lit: Floats, array_w: Floats, step_s: float) -> tuple[Floats, Floats, Floats, Floats]:
    times, ships = lit.shape
    light_s = np.zeros((times, ships))
    light_w = np.zeros((times, ships))
    dark_s = np.zeros((times, ships))
    dark_w = np.zeros((times, ships))
    for k in range(ships):
        in_light, bounded, ticks, total = False, False, 0, 0.0  # of the phase that the loop, running back, is in
        for t in range(times - 1, -1, -1):
            here = lit[t, k] >= DARK
            if t == times - 1 or here != in_light:
                in_light, bounded, ticks, total = here, t < times - 1, 0, 0.0
            ticks += 1
            total += array_w[t, k]
            if here:
                light_s[t, k] = ticks * step_s if bounded else np.inf
                light_w[t, k] = total / ticks
                if bounded:
                    dark_s[t, k] = dark_s[t + ticks, k]
                    dark_w[t, k] = dark_w[t + ticks, k]
            else:
                dark_s[t, k] = ticks * step_s
                dark_w[t, k] = total / ticks
    return light_s, light_w, dark_s, dark_w


@njit(cache=True, nogil=True)
def _best_clock(full_w: Floats, idle_w: Floats, clock_min: Floats, exponent: Floats) -> Floats:
    out = np.ones(full_w.size)
    for k in range(full_w.size):
        dynamic = max(full_w[k] - idle_w[k], 1e-9)
        if exponent[k] > 1.0:  # otherwise each watt buys more than the last: full clocks are best
            best = (idle_w[k] / (dynamic * (exponent[k] - 1.0))) ** (1.0 / exponent[k])
            out[k] = min(max(best, clock_min[k]), 1.0)
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _slope(each_w: float, knee_w: float, full_w: float, idle_w: float, clock: float, exponent: float) -> float:
    """Compute bought by one more watt, in GPUs at full clocks per watt, at this power per installed GPU."""
    if each_w < knee_w:
        return clock / knee_w
    if each_w >= full_w:
        return 0.0
    dynamic = max(full_w - idle_w, 1e-9)
    return ((each_w - idle_w) / dynamic) ** (1.0 / exponent - 1.0) / (exponent * dynamic)


@njit(cache=True, nogil=True, error_model="numpy")
def _power_at(slope: float, full_w: float, idle_w: float, exponent: float) -> float:
    """The power per GPU at which `_slope` is this, between knee and full; infinite where one more watt buys nothing."""
    dynamic = max(full_w - idle_w, 1e-9)
    return idle_w + dynamic * (slope * exponent * dynamic) ** (exponent / (1.0 - exponent)) if slope > 0.0 else math.inf


@njit(cache=True, nogil=True, error_model="numpy")
def _light_power(
    dark_w: float, light_s: float, spare_w: float, dark_s: float, lack_w: float, stock_j: float, into: float, out: float
) -> float:
    """GPU power in light [W] that leaves enough for GPUs at `dark_w` in the next darkness; may be negative."""
    need_j = max(dark_s * (lack_w + dark_w), 0.0) / out
    if need_j > stock_j:
        return spare_w - (need_j - stock_j) / (into * light_s)
    return spare_w + (stock_j - need_j) * out / light_s


@njit(cache=True, nogil=True, error_model="numpy")
def _dark_power(
    light_w: float,
    light_s: float,
    spare_w: float,
    dark_s: float,
    lack_w: float,
    stock_j: float,
    into: float,
    out: float,
) -> float:
    """GPU power in darkness that leaves GPUs this in light: the inverse of `_light_power`, where it has one."""
    surplus_j = (spare_w - light_w) * light_s
    need_j = stock_j + (surplus_j * into if surplus_j > 0.0 else surplus_j / out)
    return need_j * out / dark_s - lack_w


@njit(cache=True, nogil=True, error_model="numpy")
def _plan(
    light_s: float, spare_w: float, dark_s: float, lack_w: float, stock_j: float, size_j: float, into: float,
    out: float, gpus: float, full_w: float, idle_w: float, clock: float, exponent: float,
) -> float:  # fmt: skip
    """GPU power in light [W] at the optimum of the two phases.

    spare, lack: array less bus in light, bus less array in darkness. stock: charge above the depth of discharge,
    negative when below it; size: what may be used of nameplate. The charge rate needs no word here: where it binds, the
    tick gives GPUs what the battery cannot take, and that is the optimum too, since compute is concave.

    The slopes are smooth between a few powers; told apart by those, the optimum between two of them is a formula.
    """
    most_j = min(size_j, stock_j + into * light_s * max(spare_w, 0.0))
    high = min(gpus * full_w, most_j * out / dark_s - lack_w)
    if high <= 0.0:  # not even the bus can be carried: keep all that can be kept
        need_j = min(max(dark_s * lack_w, 0.0) / out, max(most_j, 0.0))
        return spare_w - (need_j - stock_j) / (into * light_s)
    low = 0.0
    knee_w = idle_w + max(full_w - idle_w, 1e-9) * clock**exponent if clock < 1.0 else full_w
    chip = (knee_w, full_w, idle_w, clock, exponent)
    phases = (light_s, spare_w, dark_s, lack_w, stock_j, into, out)
    for edge in (
        stock_j * out / dark_s - lack_w, -lack_w, gpus * knee_w,
        _dark_power(gpus * knee_w, *phases), _dark_power(gpus * full_w, *phases),
    ):  # fmt: skip
        if low < edge < high:
            gain, loss = _gain_and_loss(edge, gpus, phases, chip)
            low, high = (edge, high) if gain > loss * (1.0 + _TIE) else (low, edge)
    return _light_power(_balance(low, high, gpus, phases, chip), *phases)


@njit(cache=True, nogil=True, error_model="numpy")
def _gain_and_loss(
    dark_w: float, gpus: float, phases: tuple[float, ...], chip: tuple[float, ...]
) -> tuple[float, float]:
    """What one more watt in darkness buys there, and what it costs in light."""
    _, _, dark_s, lack_w, stock_j, into, out = phases
    light_w = _light_power(dark_w, *phases)
    price = into * out if dark_s * (lack_w + dark_w) / out > stock_j else 1.0
    return _slope(dark_w / gpus, *chip), _slope(max(light_w, 0.0) / gpus, *chip) / price


@njit(cache=True, nogil=True, error_model="numpy")
def _balance(low: float, high: float, gpus: float, phases: tuple[float, ...], chip: tuple[float, ...]) -> float:
    """GPU power in darkness where gain and loss meet, in a span where both are smooth and light_w = start + tilt dark_w.

    Each is constant or a power of the clocks. Two powers are equal where clocks^e in darkness are `ratio` those in light.
    """
    light_s, _, dark_s, lack_w, stock_j, into, out = phases
    knee_w, full_w, idle_w, _, exponent = chip
    middle = 0.5 * (low + high)
    gain, loss = _gain_and_loss(middle, gpus, phases, chip)
    need_j = dark_s * (lack_w + middle) / out
    price = into * out if need_j > stock_j else 1.0
    tilt = -dark_s / (price * light_s) if need_j > 0.0 else 0.0
    light_w = _light_power(middle, *phases)
    start_w = light_w - tilt * middle
    clocked = exponent > 1.0 and gpus * knee_w <= middle < gpus * full_w
    light_clocked = exponent > 1.0 and tilt < 0.0 and gpus * knee_w <= light_w < gpus * full_w
    if clocked and light_clocked:
        ratio = price ** (exponent / (exponent - 1.0))
        found = (gpus * idle_w * (1.0 - ratio) + ratio * start_w) / (1.0 - ratio * tilt)
    elif clocked:
        found = gpus * _power_at(loss, full_w, idle_w, exponent)
    elif light_clocked:
        found = (gpus * _power_at(gain * price, full_w, idle_w, exponent) - start_w) / tilt
    else:
        found = high if gain > loss else low
    return min(high, max(low, found))


@njit(cache=True, nogil=True)
def _offer(
    charge_j: Floats, array_w: Floats, light_s: Floats, light_w: Floats, dark_s: Floats, dark_w: Floats, step_s: float,
    gpus: Floats, full_w: Floats, idle_w: Floats, clock_min: Floats, exponent: Floats, bus_w: Floats, battery_j: Floats,
    depth: Floats, into: Floats, out: Floats, charge_max_w: Floats,
) -> tuple[Floats, Floats]:  # fmt: skip
    clock = _best_clock(full_w, idle_w, clock_min, exponent)
    gpu_w = np.zeros(charge_j.size)
    shed_w = np.zeros(charge_j.size)
    for k in range(charge_j.size):
        stock_j = charge_j[k] - (1.0 - depth[k]) * battery_j[k]
        spare_w = array_w[k] - bus_w[k]
        shed_w[k] = max(-spare_w - charge_j[k] * out[k] / step_s, 0.0)
        ceiling_w = min(gpus[k] * full_w[k], spare_w + max(stock_j, 0.0) * out[k] / step_s)
        if ceiling_w <= 0.0:
            continue
        room_w = min(charge_max_w[k], max(battery_j[k] - charge_j[k], 0.0) / (into[k] * step_s))
        if light_s[k] <= 0.0:
            want_w = max(stock_j, 0.0) * out[k] / max(dark_s[k], step_s) + dark_w[k] - bus_w[k]
        elif dark_s[k] <= 0.0 or not math.isfinite(light_s[k]):
            want_w = spare_w - min(room_w, max(-stock_j, 0.0) / (into[k] * step_s))  # first back to the depth allowed
        else:
            want_w = _plan(
                light_s[k], light_w[k] - bus_w[k], dark_s[k], bus_w[k] - dark_w[k], stock_j, depth[k] * battery_j[k],
                into[k], out[k], gpus[k], full_w[k], idle_w[k], clock[k], exponent[k],
            )  # fmt: skip
        gpu_w[k] = min(max(want_w, spare_w - room_w, 0.0), ceiling_w)
    return gpu_w, shed_w
