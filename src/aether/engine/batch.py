"""Jobs within a run: each tick they are placed into what services and training leave, move, compute and finish."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from aether.base.tables import Bools, Floats, Ints, Underway
from aether.engine.assemble import Setup
from aether.engine.jobs import HOUR_S, Asked
from aether.engine.reach import Ways
from aether.engine.serve import Served
from aether.placement import online


@dataclass(frozen=True)
class Ran:
    """What one tick made of jobs."""

    underway: Underway
    gpu: Floats  # (H,) GPUs at full clocks that jobs held
    useful_gpu: Floats  # (H,) of them at work that had not been done before


def begin(setup: Setup) -> Underway:
    """Before the first tick: nothing placed, nothing done."""
    jobs = setup.work.jobs
    count, most = len(jobs.names), int(jobs.members.max(initial=1))
    zero = np.zeros(count)
    return Underway(
        zero, zero, np.full((count, most), -1, np.int64), np.full(count, np.inf), zero, zero, zero, zero, zero
    )


def advance(
    setup: Setup, before: Underway, time_s: float, free_gpu: Floats, served: Served, way: Ways, sky: tuple[Floats, Floats]
) -> Ran:  # fmt: skip
    """Place jobs for one tick and move them on.

    A job goes where energy and carbon cost least; one that may not be preempted to sites, then to ships with most light left.
    One that begins at a host first moves its input, or its checkpoint after a pause, at the ship's rate; one that may not be
    preempted and is starts again from nothing. time_s: middle of the tick. free_gpu: (H,) what hosts could give. sky: of ships
    (K,) what is left of sunlight [s] and rates to the mesh [bit/s]. Returns Ran; no host gives more than is left.
    """
    jobs, hosts, start_s = setup.work.jobs, setup.hosts, time_s - 0.5 * setup.scenario.spec.step
    room = np.maximum(free_gpu - _granted(setup, served), 0.0)
    open_now = (jobs.release_s <= start_s + 1e-6) & (jobs.deadline_s > start_s + 1e-6) & ~np.isfinite(before.finished_s)
    paid = hosts.full_w * (hosts.energy_usd_j + setup.scenario.value("placement.carbon_price") * hosts.carbon_kg_j)
    light_s, left = np.concatenate([sky[0], np.full(hosts.sites, np.inf)]), room.copy()
    ranks = np.stack([np.argsort(paid, kind="stable"), np.argsort(-light_s, kind="stable")])
    trip = np.concatenate([way.round_trip_s, np.zeros((1, len(hosts.names)), np.float32)])
    host = online.assign(
        _order(jobs), open_now, jobs.gpus, jobs.members, jobs.allowed, jobs.place, jobs.limit_s, trip, ranks,
        np.where(jobs.split, 0, 1), before.host, left, np.arange(len(jobs.names)),
    )  # fmt: skip
    after = _moved(setup, before, host, open_now, start_s, sky[1])
    return Ran(after, room - left, _useful(setup, before, after, host))


def _useful(setup: Setup, before: Underway, after: Underway, host: Ints) -> Floats:
    """GPUs at full clocks of each host on work that no one had done before (H,): what is thrown away is not done twice."""
    share = (after.best_s - before.best_s) / setup.scenario.spec.step
    each = np.where(host >= 0, (share * setup.work.jobs.gpus)[:, None], 0.0)
    return np.bincount(np.maximum(host, 0).ravel(), each.ravel(), len(setup.hosts.names)).astype(np.float64)


def _granted(setup: Setup, served: Served) -> Floats:
    """GPUs that services, training, streams and tuning take (H,)."""
    made, hosts = served.plan, len(setup.hosts.names)
    need = np.array([s.need_gpu_s for s in setup.work.services]).reshape(-1, hosts)
    rows = made.requests * need[made.work, made.host] if len(made.work) else np.empty(0)
    used = np.bincount(made.host, rows, hosts) / setup.scenario.spec.step
    for w, run in enumerate(setup.work.runs):
        used[run.members] += run.gpus * made.job_share[w, run.members]
    return used + served.data_gpu


def _order(jobs: Asked) -> Ints:
    """By worth of a GPU-second, its priority counted, most first."""
    size = jobs.gpus * jobs.members * np.maximum(jobs.time_s, 1e-9)
    return np.argsort(-(jobs.value_usd * jobs.priority / size), kind="stable")


def _moved(setup: Setup, before: Underway, host: Ints, open_now: Bools, start_s: float, rate_bit_s: Floats) -> Underway:
    jobs, step_s = setup.work.jobs, setup.scenario.spec.step
    ran, was = host[:, 0] >= 0, before.host[:, 0] >= 0
    same = (np.sort(host, axis=1) == np.sort(before.host, axis=1)).all(axis=1)
    stopped, came = was & ~ran & open_now, ran & ~(was & same)
    preempted = stopped | (ran & was & ~same)
    done = np.where(preempted & ~jobs.split, 0.0, before.done_s)
    lost = before.lost_s + np.where(preempted & ~jobs.split, before.done_s, 0.0)
    bits = np.where(before.done_s > 0.0, np.maximum(jobs.checkpoint_bit, 0.0), jobs.input_bit)
    rate = np.concatenate([rate_bit_s, np.full(setup.hosts.sites, np.inf)])
    slowest = np.where(host >= 0, rate[host], np.inf).min(axis=1)
    with np.errstate(divide="ignore"):
        moving = np.where(came & (bits > 0.0), bits / slowest, np.where(ran, before.moving_s, 0.0))
    end_s = np.minimum(start_s + step_s, jobs.deadline_s)
    there = np.where(ran, np.maximum(end_s - start_s - moving, 0.0), 0.0)
    wanted = np.where(jobs.partial, np.inf, jobs.time_s)
    spent = np.minimum(there, wanted - done)
    finished = ran & (done + spent >= wanted - 1e-6) & ~jobs.partial
    at = np.where(finished, start_s + np.where(ran, np.minimum(moving, step_s), 0.0) + spent, before.finished_s)
    return replace(
        before, done_s=done + spent, best_s=np.maximum(before.best_s, done + spent),
        host=np.where(finished[:, None], -1, host), finished_s=at, preemptions=before.preemptions + preempted,
        moves=before.moves + (ran & was & ~same), lost_s=lost, moving_s=np.maximum(moving - np.where(ran, step_s, 0.0), 0.0),
        held_s=before.held_s + np.where(ran, np.where(finished, at - start_s, end_s - start_s), 0.0),
    )  # fmt: skip


def summary(setup: Setup, made: Underway) -> dict[str, Any]:
    """What jobs came to: counts, GPU-hours that counted, preemptions, and each of the scenario's list."""
    jobs, end_s = setup.work.jobs, setup.scenario.clock.duration_s
    size = jobs.gpus * jobs.members / HOUR_S
    finished = np.isfinite(made.finished_s)
    late = ~finished & ~jobs.partial & (jobs.deadline_s <= end_s + 1e-6)
    kept = np.where(jobs.partial | finished, made.done_s, 0.0)
    share = kept / np.maximum(jobs.time_s, 1e-9)
    rows: list[dict[str, Any]] = []
    for i, asked in enumerate(setup.scenario.spec.jobs):
        mine = jobs.row == i
        told: dict[str, Any] = {k: getattr(asked, k) for k in ("name", "kind", "count", "gpus", "members")}
        told |= {
            "finished": int(finished[mine].sum()),
            "late": int(late[mine].sum()),
            "share": float(share[mine].mean()),
        }
        told |= {k: int(getattr(made, k)[mine].sum()) for k in ("preemptions", "moves")}
        hours = {"gpu_hours": kept, "held_gpu_hours": made.held_s, "lost_gpu_hours": made.lost_s}
        told |= {k: float((v * size)[mine].sum()) for k, v in hours.items()}
        rows.append(told | {"worth_usd": float((share * jobs.value_usd)[mine].sum())})
    sums = ("count", "finished", "late", "gpu_hours", "held_gpu_hours", "lost_gpu_hours", "preemptions", "moves", "worth_usd")  # fmt: skip
    return {k: sum(row[k] for row in rows) for k in sums} | {"rows": rows}
