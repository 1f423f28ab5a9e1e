"""Policies: a function `Snapshot -> Plan`. Register another by `@policies.add("name")` or an entry point `aether.placement_policy`.

Hard limits come first and are the same for all: a host must be allowed, hold the model and lie within the round trip.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit

from aether.base.registry import Registry
from aether.base.tables import Bools, Floats, Floats32, Ints, Plan, Snapshot
from aether.placement import router
from aether.placement.capacity import usable

Policy = Callable[[Snapshot], Plan]
Pour = Callable[[Floats, Floats, Floats, Floats], tuple[Ints, Ints, Floats]]
AHEAD_S = 3600.0  # of sunlight that count as plenty, ours: most of what an orbit has
policies: Registry[Policy] = Registry("placement policy")


@policies.add("value")
def by_value(snapshot: Snapshot) -> Plan:
    """The most worth per GPU-second first, energy paid: what is worth more takes the scarce resource.

    gain[q, c, h] = (value[q] (1 - (1 - late) rtt[c, h] / limit[q]) - energy[q, h]) / need[q, h], late the worth of a request
    at its latency limit. Classes and training jobs take their turn by worth per GPU-second; within a class each place
    goes to the host of most gain with room.
    """
    return fill(
        snapshot,
        _gain(
            snapshot.round_trip_s, snapshot.limit_s, snapshot.value_usd, snapshot.late_worth, snapshot.energy_usd,
            snapshot.need_gpu_s,
        ),
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _gain(trip: Floats32, limit: Floats, value: Floats, late: float, energy: Floats, need: Floats) -> Floats:
    """Worth of a request per GPU-second, -inf where there is none (Q, C, H)."""
    classes, hosts = need.shape
    gain, fall = np.empty((classes, trip.shape[0], hosts)), np.float32(1.0 - late)
    for q in range(classes):
        for c in range(trip.shape[0]):
            for h in range(hosts):
                net = value[q] * (1.0 - fall * trip[c, h] / limit[q]) - energy[q, h]
                got = net / need[q, h]
                gain[q, c, h] = got if got > 0.0 else -np.inf
    return gain


@policies.add("nearest")
def nearest(snapshot: Snapshot) -> Plan:
    """The host of least round trip with room."""
    return fill(snapshot, np.broadcast_to(-snapshot.round_trip_s, _shape(snapshot)))


@policies.add("nearest-only")
def nearest_only(snapshot: Snapshot) -> Plan:
    """The host of least round trip, whatever its load: what does not fit there is not placed."""
    open_to = usable(snapshot)
    trip = np.where(open_to, snapshot.round_trip_s[None], np.inf)
    first = np.arange(trip.shape[2]) == trip.argmin(axis=2)[..., None]
    return fill(snapshot, np.where(first, 0.0, -np.inf))


@policies.add("ground-first")
def ground_first(snapshot: Snapshot) -> Plan:
    """Ground sites while they have room, nearest first; then ships."""
    return fill(snapshot, _shape_like(snapshot, np.arange(snapshot.free_gpu_s.size) >= snapshot.ships))


@policies.add("orbit-first")
def orbit_first(snapshot: Snapshot) -> Plan:
    """Ships while they have room, nearest first; then ground sites."""
    return fill(snapshot, _shape_like(snapshot, np.arange(snapshot.free_gpu_s.size) < snapshot.ships))


@policies.add("least-loaded")
def least_loaded(snapshot: Snapshot) -> Plan:
    """The host with the largest share of its compute left, place by place, however far."""
    return fill(snapshot, np.zeros(_shape(snapshot)), _spread)


@policies.add("power-aware")
def power_aware(snapshot: Snapshot) -> Plan:
    """Ships in sunlight first, by how long it lasts and how full the battery is; then ships in darkness; then ground sites."""
    lit, left = snapshot.light_s > 0.0, np.minimum(snapshot.light_s / AHEAD_S, 1.0)
    ship = np.arange(snapshot.free_gpu_s.size) < snapshot.ships
    first = np.where(ship, 1.0 + 2.0 * lit + left + snapshot.charge_share, 0.0)
    return fill(snapshot, np.broadcast_to(1e3 * first - snapshot.round_trip_s, _shape(snapshot)))


@policies.add("cost-aware")
def cost_aware(snapshot: Snapshot) -> Plan:
    """Least paid for energy and carbon; nearer hosts among those that cost the same."""
    paid = (snapshot.energy_usd + snapshot.carbon_usd)[:, None, :]
    return fill(snapshot, -paid - 1e-9 * snapshot.round_trip_s)


@policies.add("router")
def routed(snapshot: Snapshot) -> Plan:
    """The host of least weighed burden: way, load, cache, darkness, charge, contact, energy and carbon, see `router.burdens`."""
    return fill(snapshot, router.score(snapshot))


def _shape(snapshot: Snapshot) -> tuple[int, int, int]:
    return (*snapshot.requests.shape, snapshot.free_gpu_s.size)


def _shape_like(snapshot: Snapshot, first: np.ndarray) -> Floats:
    """Hosts marked `first` before all others, nearer ones before farther ones."""
    return np.broadcast_to(np.where(first, 1e6, 0.0) - snapshot.round_trip_s, _shape(snapshot))


def fill(snapshot: Snapshot, score: Floats, pour: Pour | None = None) -> Plan:
    """Spend the hosts' compute on requests and jobs, those of most worth per GPU-second first.

    Each place asks the open host of its highest score; a host asked for more than it has serves those who score highest
    there first, and closes; the rest go on to their next choice. A training job runs at the pace of its slowest member,
    and takes no more than that pace needs anywhere.
    snapshot: what there is. score: (Q, C, H), higher first, -inf for never. pour: another way to spend a class's turn, with
    the same parameters as the usual one. Returns Plan; never above a host's compute.
    """
    free = snapshot.free_gpu_s.astype(np.float64).copy()
    fits = snapshot.allowed & np.isfinite(snapshot.need_gpu_s)
    share = np.zeros_like(snapshot.job_gpu)
    rows: list[tuple[Ints, Ints, Ints, Floats]] = []
    for turn in _turns(snapshot):
        if turn < 0:
            share[~turn] = _grant(snapshot.job_gpu[~turn] * snapshot.step_s, free, ~turn in snapshot.job_apart)
            free -= share[~turn] * snapshot.job_gpu[~turn] * snapshot.step_s
        else:
            need = np.where(np.isfinite(snapshot.need_gpu_s[turn]), snapshot.need_gpu_s[turn], 0.0)
            open_to = _open(score[turn], snapshot.round_trip_s, float(snapshot.limit_s[turn]), fits[turn])
            place, host, count = (pour or _pour)(open_to, snapshot.requests[turn].astype(np.float64), need, free)
            rows.append((np.full(len(place), turn, dtype=np.int64), place, host, count))
        np.maximum(free, 0.0, out=free)
    none: Ints = np.empty(0, dtype=np.int64)
    rows.append((none, none, none, np.empty(0)))
    work, place, host, count = (np.concatenate(column) for column in zip(*rows, strict=True))
    return Plan(work, place, host, count, share)


def _turns(snapshot: Snapshot) -> list[int]:
    """Classes q and jobs w (as ~w) by worth per GPU-second, highest first."""
    worth = []
    for q in range(len(snapshot.value_usd)):
        need = snapshot.need_gpu_s[q][snapshot.allowed[q] & np.isfinite(snapshot.need_gpu_s[q])]
        worth.append((-snapshot.value_usd[q] / _median(need) if need.size else 0.0, q))
    worth += [(-float(value), ~w) for w, value in enumerate(snapshot.job_value_usd)]
    return [turn for _, turn in sorted(worth)]


def _median(values: Floats) -> float:
    """The median; numpy's own takes ten times as long on so few."""
    ordered = np.sort(values)
    return 0.5 * float(ordered[(values.size - 1) // 2] + ordered[values.size // 2])


def _grant(wanted: Floats, free: Floats, apart: bool) -> Floats:
    """The share of a job that all its members can give, or that each can where they go on apart (H,)."""
    member = wanted > 0.0
    if not member.any():
        return np.zeros_like(wanted)
    each = np.clip(np.divide(free, wanted, out=np.zeros_like(wanted), where=member), 0.0, 1.0)
    return each if apart else np.where(member, float(each[member].min()), 0.0)


@njit(cache=True, nogil=True)
def _open(score: Floats, trip: Floats32, limit: float, fits: Bools) -> Floats:
    """The score where a host may serve a place, as `capacity.usable` has it, and has room; else -inf (C, H)."""
    made = np.empty(score.shape)
    for c in range(score.shape[0]):
        for h in range(score.shape[1]):
            here = fits[h] & (trip[c, h] <= limit) & (trip[c, h] < np.inf) & (score[c, h] > -np.inf)  # never NaN
            made[c, h] = score[c, h] if here else -np.inf
    return made


@njit(cache=True, nogil=True)
def _pour(score: Floats, requests: Floats, need: Floats, free: Floats) -> tuple[Ints, Ints, Floats]:
    """Rows of place, host, requests; `free` is spent in place."""
    places, still = score.shape[0], np.flatnonzero(free > 0.0)
    left, choice, best = requests.copy(), np.full(places, -1, np.int64), np.full(places, -np.inf)
    rows, size = 0, max(4 * places, 16)
    place, host, count = np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size)
    asking = np.flatnonzero(left > 0.0)
    while asking.size:
        for c in asking:
            top, first = -np.inf, -1
            for k in range(still.size):
                if score[c, still[k]] > top:
                    top, first = score[c, still[k]], k
            choice[c], best[c] = still[first] if first >= 0 else -1, top
        asking = asking[choice[asking] >= 0]
        for c in asking[np.argsort(-best[asking], kind="mergesort")]:
            h = choice[c]
            given = min(left[c], free[h] / need[h])
            if given <= 0.0:  # closed in this round, or so little that it comes to nothing
                score[c, h] = -np.inf
                continue
            if rows == size:
                size *= 2
                place, host, count = _longer(place, size), _longer(host, size), _longer(count, size)
            place[rows], host[rows], count[rows] = c, h, given
            rows += 1
            if given < left[c]:
                left[c], free[h] = left[c] - given, 0.0
            else:
                left[c], free[h] = 0.0, max(free[h] - given * need[h], 0.0)
        asking, still = asking[left[asking] > 0.0], still[free[still] > 0.0]
    return place[:rows], host[:rows], count[:rows]


@njit(cache=True, nogil=True)
def _spread(score: Floats, requests: Floats, need: Floats, free: Floats) -> tuple[Ints, Ints, Floats]:
    """Rows of place, host, requests as `_pour`, each place at the open host with the largest share left; largest places first."""
    places, whole = score.shape[0], free.copy()
    rows, size = 0, max(4 * places, 16)
    place, host, count = np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size)
    for c in np.argsort(-requests, kind="mergesort"):
        left = requests[c]
        while left > 0.0:
            most, h = 0.0, -1
            for k in range(free.size):
                if free[k] > 0.0 and score[c, k] > -np.inf and free[k] / whole[k] > most:
                    most, h = free[k] / whole[k], k
            if h < 0:
                break
            given = min(left, free[h] / need[h])
            if rows == size:
                size *= 2
                place, host, count = _longer(place, size), _longer(host, size), _longer(count, size)
            place[rows], host[rows], count[rows] = c, h, given
            rows += 1
            free[h] = max(free[h] - given * need[h], 0.0) if given >= left else 0.0
            left = left - given if given < left else 0.0
    return place[:rows], host[:rows], count[:rows]


@njit(cache=True, nogil=True)
def _longer(values: np.ndarray, size: int) -> np.ndarray:
    made = np.empty(size, values.dtype)
    made[: values.size] = values
    return made
