"""Work within the tick: what is asked is placed, carried, served; training moves on. Nothing is lost from the count."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aether.base.tables import Capacity, Floats, Ints, Links, Plan, Progress, Serving, Snapshot
from aether.engine.assemble import Setup
from aether.engine.block import Block
from aether.engine.carry import Carried, carry
from aether.engine.reach import Ways
from aether.placement import capacity as limits
from aether.placement.policy import policies
from aether.workloads import inference, training

BUSIEST = 8  # lasers written down each tick
REASONS = ("full", "far", "network")  # why requests gave up: no compute left, no host in reach, no room on the links


@dataclass(frozen=True)
class Served:
    """What one tick made of the work (classes Q, places C, hosts H, jobs W)."""

    requests: Floats  # (Q, C) that came in
    served: Floats  # (Q, C)
    late: Floats  # (Q, C) of those served, first token later than wanted
    rejected: Floats  # (Q, C) given up
    reasons: Floats  # (3,) requests given up by `REASONS`
    waiting: Floats  # (B, Q, C) at the tick's end
    first_token_s: Floats  # (Q, C) mean of those served, NaN without any
    network_s: Floats  # (Q, C) of it, the round trip
    by_host: Floats  # (Q, H) requests served
    inference_gpu: Floats  # (H,) GPUs at full clocks at work for people
    training_gpu: Floats  # (H,)
    jobs: tuple[Progress, ...]
    spent: tuple[training.Spent, ...]
    paces: Floats  # (W, S) of jobs after each stage of capacity, then as granted
    moved_bit: Floats  # (4,) answers, requests, synchronisation, copies carried
    lost_bit: float  # asked of the links by people and not carried
    ground_gpu: Floats  # (J,) GPUs in service at ground sites
    busiest: Floats  # (BUSIEST, 4) nodes a, b, bit/s, capacity
    plan: Plan


def serve(
    setup: Setup, waiting: Floats, jobs: tuple[Progress, ...], charge_j: Floats, block: Block, i: int, capacity: Capacity, links: Links,
    way: Ways,
) -> Served:  # fmt: skip
    """Place, carry and serve the work of one tick."""
    asked = block.arrivals[i]
    snapshot = observe(setup, waiting.sum(axis=0) + asked, charge_j, block, i, capacity, way)
    name = setup.scenario.spec.placement.policy if setup.scenario.spec.couplings.placement else "nearest-only"
    plan = policies.get(name, "placement.policy")(snapshot)
    paces = _paces(setup, block, i, capacity, plan)
    syncing = tuple(len(run.members) > 1 and paces[w, -1] > 0.0 for w, run in enumerate(setup.work.runs))
    carried = carry(setup, plan, links, way, syncing, paces[:, -1])
    moved = tuple(
        training.advance(
            run.job, jobs[w], snapshot.step_s, float(paces[w, -1]), _rate(carried, w), block.interruptions[i][w]
        )
        for w, run in enumerate(setup.work.runs)
    )
    return _account(setup, waiting, asked, block, i, snapshot, plan, carried, moved, paces, links)


def observe(
    setup: Setup, requests: Floats, charge_j: Floats, block: Block, i: int, capacity: Capacity, way: Ways
) -> Snapshot:
    """What a placement policy sees at this tick."""
    hosts, work, step_s = setup.hosts, setup.work, setup.scenario.spec.step
    gpu = np.concatenate([capacity.reach, block.working[i, hosts.ships :]])
    need = np.array([s.need_gpu_s for s in work.services]).reshape(len(work.services), len(hosts.names))
    price = setup.scenario.value("placement.carbon_price")
    drawn_j, sites = np.where(np.isfinite(need), need, 0.0) * hosts.full_w, hosts.sites
    job_gpu = np.zeros((len(work.runs), len(hosts.names)))
    for w, run in enumerate(work.runs):
        job_gpu[w, run.members] = run.gpus
    trips = way.round_trip_s if setup.scenario.spec.couplings.access else np.zeros_like(way.round_trip_s)
    return Snapshot(
        time_s=float(block.time_s[i]), step_s=step_s, ships=hosts.ships, requests=requests, free_gpu_s=gpu * step_s,
        need_gpu_s=need, allowed=np.array([s.allowed for s in work.services], dtype=np.bool_).reshape(need.shape),
        round_trip_s=trips, limit_s=np.array([s.limit_s for s in work.services]),
        value_usd=np.array([s.value_usd for s in work.services]), late_worth=setup.scenario.value("placement.late_worth"),
        energy_usd=drawn_j * hosts.energy_usd_j, carbon_usd=drawn_j * hosts.carbon_kg_j * price,
        light_s=np.concatenate([block.outlook.light_s[i], np.full(sites, np.inf)]),
        charge_share=np.concatenate([charge_j / np.maximum(setup.fleet.battery_j, 1e-9), np.ones(sites)]), job_gpu=job_gpu,
        job_value_usd=np.array([r.asked.price / 3600.0 for r in work.runs]),
    )  # fmt: skip


def _paces(setup: Setup, block: Block, i: int, capacity: Capacity, plan: Plan) -> Floats:
    """The pace of each job that every stage in turn would leave it: its slowest member's share of what it asks."""
    hosts, stages = setup.hosts, (capacity.working, capacity.power, capacity.heat, capacity.radiation, capacity.reach)
    ground = block.working[i, hosts.ships :]
    paces = np.zeros((len(setup.work.runs), len(stages) + 1))
    for w, run in enumerate(setup.work.runs):
        for s, stage in enumerate(stages):
            there = np.concatenate([stage, ground])[run.members]
            paces[w, s] = min(1.0, float((there / run.gpus).min()))
        paces[w, -1] = min(paces[w, -2], float(plan.job_share[w, run.members].min()))
    return paces


def _rate(carried: Carried, w: int) -> float:
    """The rate at which a job's slowest member sends [bit/s]."""
    return float(carried.sync_bit_s[w].min()) if len(carried.sync_bit_s[w]) else 0.0


def _account(setup: Setup, waiting: Floats, asked: Floats, block: Block, i: int, snapshot: Snapshot, plan: Plan, carried: Carried,
             moved: tuple[tuple[Progress, training.Spent], ...], paces: Floats, links: Links) -> Served:  # fmt: skip
    hosts, work, step_s = setup.hosts, setup.work, snapshot.step_s
    shape, spent = asked.shape, tuple(s for _, s in moved)
    done = plan.requests * carried.share
    served = _sum(plan, done, shape)
    patience = np.array([int(s.asked.patience // step_s) for s in work.services], dtype=np.int64)
    left, lost, age_s = _queue(waiting, asked, served, step_s, patience)
    first_s, network_s, late = _first_tokens(setup, snapshot, plan, done, age_s)
    by_host = _by_host(plan, done, (shape[0], len(hosts.names)))
    need = np.where(np.isfinite(snapshot.need_gpu_s), snapshot.need_gpu_s, 0.0)
    training_gpu = np.zeros(len(hosts.names))
    for w, run in enumerate(work.runs):
        busy = (spent[w].useful_s + spent[w].rework_s) / step_s
        training_gpu[run.members] += run.gpus * busy
    return Served(
        requests=asked, served=served, late=_sum(plan, done * late, shape), rejected=lost, reasons=_reasons(snapshot, plan, carried, lost),
        waiting=left, first_token_s=_mean(plan, done, first_s, shape), network_s=_mean(plan, done, network_s, shape),
        by_host=by_host, inference_gpu=(by_host * need).sum(axis=0) / step_s, training_gpu=training_gpu,
        jobs=tuple(p for p, _ in moved), spent=spent, paces=paces,
        moved_bit=_moved(setup, plan, carried, spent, step_s), lost_bit=_unmoved(plan, carried, step_s),
        ground_gpu=block.working[i, hosts.ships :],
        busiest=_busiest(carried, spent, links, step_s), plan=plan,
    )  # fmt: skip


def _sum(plan: Plan, values: Floats, shape: tuple[int, ...]) -> Floats:
    return _added(plan.work * shape[1] + plan.place, values, shape)


def _by_host(plan: Plan, values: Floats, shape: tuple[int, ...]) -> Floats:
    return _added(plan.work * shape[1] + plan.host, values, shape)


def _added(cell: Ints, values: Floats, shape: tuple[int, ...]) -> Floats:
    """Sums by cell of a table; np.add.at takes three times as long."""
    return np.bincount(cell, values, shape[0] * shape[1]).astype(np.float64, copy=False).reshape(shape)


def _mean(plan: Plan, weight: Floats, values: Floats, shape: tuple[int, ...]) -> Floats:
    """Mean of values over the rows of each class and place, NaN where nothing was served."""
    total = _sum(plan, weight, shape)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total > 0.0, _sum(plan, weight * values, shape) / total, np.nan)


def _queue(waiting: Floats, asked: Floats, served: Floats, step_s: float, patience: np.ndarray) -> tuple[Floats, Floats, Floats]:  # fmt: skip
    """Those who waited longest are served first; who has waited for as many ticks as the class is patient gives up.

    Returns waiting (B, Q, C) for the next tick, given up (Q, C), and the mean wait of those served (Q, C) [s].
    """
    rows = np.concatenate([asked[None], waiting])  # by age in ticks
    todo, aged = served.copy(), np.zeros_like(served)
    left = rows.copy()
    for age in range(len(rows) - 1, -1, -1):
        taken = np.minimum(left[age], todo)
        left[age] -= taken
        todo -= taken
        aged += taken * age * step_s
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(served > 0.0, aged / served, 0.0)
    left[left <= 1e-9 * rows] = 0.0  # what rounding leaves
    over = np.arange(len(rows))[:, None, None] >= patience[:, None]
    lost = np.where(over, left, 0.0).sum(axis=0)
    return np.where(over, 0.0, left)[:-1], lost, mean


def _first_tokens(
    setup: Setup, snapshot: Snapshot, plan: Plan, done: Floats, age_s: Floats
) -> tuple[Floats, Floats, Floats]:
    """Time to first token of each row [s], its round trip [s], and the share of it that is late (P,).

    Round trip + wait for the tick it was placed in + queue of the replicas + prefill at their load.
    """
    hosts, first = setup.hosts, np.zeros(len(plan.work))
    trip = snapshot.round_trip_s[plan.place, plan.host].astype(np.float64)
    need = np.where(np.isfinite(snapshot.need_gpu_s), snapshot.need_gpu_s, 0.0)
    used = _by_host(plan, done * need[plan.work, plan.host], need.shape)
    room = np.maximum(snapshot.free_gpu_s - (snapshot.job_gpu * plan.job_share).sum(axis=0) * snapshot.step_s, 1e-12)
    late = np.zeros(len(plan.work))
    kinds = np.array(hosts.accelerator)
    for q, service in enumerate(setup.work.services):
        others = used.sum(axis=0) - used[q]
        load = service.target * np.clip(used[q] / np.maximum(room - others, 1e-12), 0.0, 1.0)
        for kind, serving in service.serving.items():
            rows = np.flatnonzero((plan.work == q) & (kinds[plan.host] == kind))
            host = plan.host[rows]
            gpus = room[host] / snapshot.step_s
            first[rows] = trip[rows] + age_s[q, plan.place[rows]] + _server(serving, load[host], gpus)
        mine = plan.work == q
        late[mine] = first[mine] > service.asked.max_first_token
    return first, trip, late


def _server(serving: Serving, load: Floats, gpus: Floats) -> Floats:
    """From arrival at a host to the first token [s]: queue for a slot, then prefill, at the host's load."""
    _, _, first = inference.operate(serving, load)
    slots = np.maximum(gpus / serving.gpus, 1.0) * serving.batch[-1]
    service_s = serving.batch[-1] / serving.request_s[-1]
    return first + inference.wait_s(load, slots, service_s)


def _reasons(snapshot: Snapshot, plan: Plan, carried: Carried, lost: Floats) -> Floats:
    """Requests given up, by why: places without a host in reach, rows that links did not carry, the rest no compute."""
    if not lost.any():
        return np.zeros(len(REASONS))
    reachable = limits.usable(snapshot).any(axis=2)
    far = float(lost[~reachable].sum())
    stuck = _sum(plan, plan.requests * (1.0 - carried.share), lost.shape)
    network = float(np.minimum(lost, stuck)[reachable].sum())
    return np.array([float(lost.sum()) - far - network, far, network])


def _moved(setup: Setup, plan: Plan, carried: Carried, spent: tuple[training.Spent, ...], step_s: float) -> Floats:
    rows = len(plan.work)
    asked = carried.demand_bit_s
    answers, requests = (float((asked[s] * carried.share).sum()) for s in (slice(0, rows), slice(rows, 2 * rows)))
    sync = sum(s.sent_bit * len(r.members) for s, r in zip(spent, setup.work.runs, strict=True))
    copies = sum(
        (s.useful_s + s.rework_s) / step_s * r.checkpoint_bit / r.job.checkpoint_every_s * c
        for s, r, c in zip(spent, setup.work.runs, carried.copy_share, strict=True)
        if r.members[0] < setup.hosts.ships
    )
    return np.array([answers * step_s, requests * step_s, sync, copies * step_s])


def _unmoved(plan: Plan, carried: Carried, step_s: float) -> float:
    rows = len(plan.work)
    asked = carried.demand_bit_s
    return float(((asked[:rows] + asked[rows : 2 * rows]) * (1.0 - carried.share)).sum() * step_s)


def _busiest(carried: Carried, spent: tuple[training.Spent, ...], links: Links, step_s: float) -> Floats:
    """The lasers with most to carry, both directions apart: nodes from and to, mean rate through the tick, capacity."""
    rate = carried.rate_bit_s.copy()
    for rows, one in zip(carried.sync_rows, spent, strict=True):
        rate[rows] = one.sent_bit / step_s
    lasers = 2 * len(links.a)
    load = np.bincount(carried.paths.link, np.repeat(rate, np.diff(carried.paths.start)), len(carried.capacity_bit_s))[
        :lasers
    ]
    among = np.flatnonzero(load)  # few of the lasers carry anything; idle ones fill up what is left of the list
    among = among if len(among) >= BUSIEST else np.arange(lasers)
    top = among[np.argsort(-load[among], kind="stable")[:BUSIEST]]
    from_a = top % 2 == 0
    a, b = links.a[top // 2], links.b[top // 2]
    made = np.zeros((BUSIEST, 4))
    made[: len(top)] = np.stack(
        [np.where(from_a, a, b), np.where(from_a, b, a), load[top], carried.capacity_bit_s[top]], axis=1
    )
    return made


def nothing(setup: Setup) -> tuple[Floats, tuple[Progress, ...]]:
    """Empty queues and jobs at their start."""
    spec, work = setup.scenario.spec, setup.work
    patience = max((s.asked.patience for s in work.services), default=0.0)
    buckets = int(patience // spec.step)
    waiting = np.zeros((buckets, len(work.services), len(setup.cities.names)))
    fresh = tuple(training.begin(r.job) for r in work.runs)
    return waiting, fresh
