"""Work within the tick: what is asked is placed, carried, served; training moves on. Nothing is lost from the count."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from aether.base.tables import Bools, Capacity, Floats, Ints, Links, Plan, Progress, Serving, Snapshot, State
from aether.engine import prefixes, scaling, split, streams, tuners
from aether.engine.assemble import Setup
from aether.engine.block import Block
from aether.engine.carry import Carried, carry
from aether.engine.data import Data, close, data_asked, data_loads
from aether.engine.loads import Load, together
from aether.engine.reach import Ways
from aether.engine.work import Run
from aether.network import handover
from aether.placement import capacity as limits
from aether.placement.policy import policies
from aether.placement.router import TERMS as ROUTER
from aether.workloads import across, inference, job

BRIM = 0.95  # load of replicas at which requests are left waiting; ours, the queue would grow without end at 1
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
    cache_share: Floats  # (H,) of memory for caches in use
    kept: Floats | None  # (Q, C, H) share of a prompt that is cached there for the next tick
    training_gpu: Floats  # (H,)
    jobs: tuple[Progress, ...]
    spent: tuple[job.Spent, ...]
    paces: Floats  # (W, S) of jobs after each stage of capacity, then as granted
    parts: tuple[Floats, ...]  # of each job, each member's part in what all do, over the mean member's
    rates_bit_s: Floats  # (W,) that a member could synchronise at
    moved_bit: Floats  # (5,) answers, requests, synchronisation, copies, caches carried
    lost_bit: float  # asked of the links by people and not carried
    ground_gpu: Floats  # (J,) GPUs in service at ground sites
    busiest: Floats  # (BUSIEST, 4) nodes a, b, bit/s, capacity
    plan: Plan
    done: Floats  # (P,) requests of the plan's rows that were served
    trip_s: Floats  # (P,) their round trip
    wait_s: Floats  # (P,) and their wait before they were placed
    parted: split.Parted
    again_gpu: Floats  # (H,) of those, at prompts read again since their conversation was moved
    streamed: tuple[streams.Streamed, ...]
    tuned: tuple[tuners.Tuning, ...]
    sized: tuple[scaling.Scaling, ...]

    @property
    def data_gpu(self) -> Floats:
        """GPUs at full clocks at work on streams and tuning (H,)."""
        done = [s.gpu for s in self.streamed] + [t.gpu for t in self.tuned]
        return np.sum(done, axis=0) if done else np.zeros_like(self.inference_gpu)


def serve(setup: Setup, state: State, block: Block, i: int, capacity: Capacity, links: Links, way: Ways, attached: Ints) -> Served:  # fmt: skip
    """Place, carry and serve the work of one tick; attached: relays that ships hold in it (K, terminals)."""
    asked, waiting, jobs = block.arrivals[i], state.waiting, state.jobs
    data = data_asked(setup, state, block, i, capacity, way, attached)
    whole = observe(setup, waiting.sum(axis=0) + asked, state, block, i, capacity, way, data, attached)
    snapshot, reserved = split.reserve(setup, whole)
    name = setup.scenario.spec.placement.policy if setup.scenario.spec.couplings.placement else "nearest-only"
    plan, again = prefixes.place(policies.get(name, "placement.policy"), snapshot, setup.work.services, _slack(setup))
    paces, parts = _paces(setup, block, i, capacity, plan)
    syncing = tuple(run.members[part > 0.0] if pace > 0.0 else run.members[:0]
                    for run, pace, part in zip(setup.work.runs, paces[:, -1], parts, strict=True))  # fmt: skip
    given = plan.job_share[len(setup.work.runs) :]
    handed = split.hand_over(setup, plan, reserved, way)
    loads = (*data_loads(setup, data, given, links, way), *split.loads(setup, handed, links, way))
    carried = carry(setup, plan, links, way, syncing, paces[:, -1], together(list(loads)).parts)
    sent_s = split.sending_s(setup, handed, loads[len(loads) - len(handed) :], carried.capacity_bit_s)
    parted = split.settle(setup, plan, reserved, handed, _last_rates(loads, carried, len(handed)), sent_s)
    carried = replace(carried, share=carried.share * parted.share[plan.work, plan.host])
    most = prefixes.free(snapshot, plan) * _slack(setup)
    fits = prefixes.room(
        most, plan, plan.requests * carried.share, prefixes.cached_gpu_s(setup.work.services, plan), again
    )
    carried = replace(carried, share=carried.share * fits[plan.host])
    rates = np.array(
        [
            _rate(run, one, len(here))
            for run, one, here in zip(setup.work.runs, carried.sync_bit_s, syncing, strict=True)
        ]
    )
    moved = []
    for w, run in enumerate(setup.work.runs):
        width = float(parts[w].mean())
        pace = min(1.0, float(paces[w, -1]) / width)
        moved.append(job.advance(run.job, jobs[w], snapshot.step_s, pace, float(rates[w]), block.interruptions[i][w], width))  # fmt: skip
    done = _Moved(tuple(moved), paces, tuple(part / part.mean() for part in parts), rates)
    made = _account(setup, waiting, asked, block, i, snapshot, plan, carried, done, links, parted, again)
    streamed, tuned, sized = close(setup, data, given, loads, carried, block, i, made.served)
    return replace(made, streamed=streamed, tuned=tuned, sized=sized)


def _last_rates(loads: tuple[Load, ...], carried: Carried, count: int) -> list[Floats]:
    """What the last of the loads got."""
    rates = np.split(carried.more_bit_s, np.cumsum([len(one.bit_s) for one in loads])[:-1]) if loads else []
    return rates[len(rates) - count :]


@dataclass(frozen=True)
class _Moved:
    """What jobs did in a tick (W)."""

    jobs: tuple[tuple[Progress, job.Spent], ...]
    paces: Floats
    parts: tuple[Floats, ...]
    rates: Floats


def observe(
    setup: Setup, requests: Floats, state: State, block: Block, i: int, capacity: Capacity, way: Ways, data: Data,
    attached: Ints,
) -> Snapshot:  # fmt: skip
    """What a placement policy sees at this tick."""
    hosts, work, step_s = setup.hosts, setup.work, setup.scenario.spec.step
    gpu = np.concatenate([capacity.reach, block.working[i, hosts.ships :]])
    need = np.array([s.need_gpu_s for s in work.services]).reshape(len(work.services), len(hosts.names))
    held = setup.scenario.value("placement.carbon_price")
    drawn_j, sites = np.where(np.isfinite(need), need, 0.0) * hosts.full_w, hosts.sites
    job_gpu = np.zeros((len(work.runs) + len(data.asked_gpu), len(hosts.names)))
    apart = frozenset(w for w in range(len(job_gpu)) if w >= len(work.runs) or work.runs[w].apart)
    for w, run in enumerate(work.runs):
        job_gpu[w, run.members] = run.gpus
    job_gpu[len(work.runs) :] = data.asked_gpu
    price = (
        [r.asked.price for r in work.runs]
        + [s.asked.price for s in setup.sources]
        + [t.asked.price for t in work.tuners]
    )
    trips = way.round_trip_s if setup.scenario.spec.couplings.access else np.zeros_like(way.round_trip_s)
    return Snapshot(
        time_s=float(block.time_s[i]), step_s=step_s, ships=hosts.ships, requests=requests, free_gpu_s=gpu * step_s,
        need_gpu_s=need, allowed=_hold(setup, data).reshape(need.shape),
        round_trip_s=trips, limit_s=np.array([s.limit_s for s in work.services]),
        value_usd=np.array([s.value_usd for s in work.services]), late_worth=setup.scenario.value("placement.late_worth"),
        energy_usd=drawn_j * hosts.energy_usd_j, carbon_usd=drawn_j * hosts.carbon_kg_j * held,
        light_s=np.concatenate([block.outlook.light_s[i], np.full(sites, np.inf)]),
        charge_share=np.concatenate([state.charge_j / np.maximum(setup.fleet.battery_j, 1e-9), np.ones(sites)]),
        contact_s=_contact_s(setup, block, i, attached), cache_share=np.zeros(len(gpu)) if state.cache_share is None else state.cache_share,
        installed_gpu=hosts.gpus, ahead_s=setup.scenario.value("placement.router_ahead"),
        weights=tuple(setup.scenario.value(f"placement.router_{k}") for k in ROUTER), job_gpu=job_gpu,
        job_value_usd=np.array(price) / 3600.0, job_apart=apart, kept=state.kept,
    )  # fmt: skip


def _contact_s(setup: Setup, block: Block, i: int, attached: Ints) -> Floats:
    """How long the link to the mesh lasts that lasts longest (H,); infinity at sites."""
    ships, relays = block.ships, block.relays
    left_s = handover.lasts_s(
        ships.inertial_m[i], ships.velocity_m_s[i], relays.inertial_m[i], relays.velocity_m_s[i], attached,
        setup.relay_laser.max_range_m,
    )  # fmt: skip
    return np.concatenate([left_s, np.full(setup.hosts.sites, np.inf)])


def _hold(setup: Setup, data: Data) -> Bools:
    """Hosts that may serve each service and hold its weights (Q, H)."""
    allowed = np.array([s.allowed for s in setup.work.services], dtype=np.bool_)
    for q, (now, _) in zip(scaling.scaled(setup), data.scaled, strict=True):
        allowed[q] &= now.ready
    return allowed


def _paces(setup: Setup, block: Block, i: int, capacity: Capacity, plan: Plan) -> tuple[Floats, list[Floats]]:
    """The pace of each job that every stage in turn would leave it, all members' tokens counted (W, S), and what part of
    it each member keeps as granted."""
    hosts, stages = setup.hosts, (capacity.working, capacity.power, capacity.heat, capacity.radiation, capacity.reach)
    ground = block.working[i, hosts.ships :]
    paces = np.zeros((len(setup.work.runs), len(stages) + 1))
    parts: list[Floats] = []
    for w, run in enumerate(setup.work.runs):
        shares = [np.concatenate([stage, ground])[run.members] / run.gpus for stage in stages]
        shares.append(np.minimum(shares[-1], plan.job_share[w, run.members]))
        asked, part = run.asked, np.ones(len(run.members))
        for s, share in enumerate(shares):
            pace, part = across.together(share, run.needed, asked.grace, run.job.phase_s, run.apart)
            paces[w, s] = pace * float(part.mean())
        parts.append(part)
    return paces, parts


def _rate(run: Run, sync_bit_s: Floats, here: int) -> float:
    """The rate at which a job's slowest member sends, of a quorum where the others are not waited for [bit/s].

    here: members that take part; one that is left alone has no one to send to, and does not wait.
    """
    if here == 1 and run.apart:
        return math.inf
    if run.apart == "decoupled" and len(sync_bit_s) >= run.needed:
        return float(np.sort(sync_bit_s)[-run.needed])
    return float(sync_bit_s.min()) if len(sync_bit_s) else 0.0


def _account(setup: Setup, waiting: Floats, asked: Floats, block: Block, i: int, snapshot: Snapshot, plan: Plan, carried: Carried,
             moved: _Moved, links: Links, parted: split.Parted, again_gpu_s: Floats) -> Served:  # fmt: skip
    hosts, work, step_s = setup.hosts, setup.work, snapshot.step_s
    shape, spent = asked.shape, tuple(s for _, s in moved.jobs)
    done = plan.requests * carried.share
    served = _sum(plan, done, shape)
    patience = np.array([int(s.asked.patience // step_s) for s in work.services], dtype=np.int64)
    left, lost, age_s = _queue(waiting, asked, served, step_s, patience)
    by_host = _by_host(plan, done, (shape[0], len(hosts.names)))
    used = _by_host(plan, done * (prefixes.cached_gpu_s(work.services, plan) + again_gpu_s), by_host.shape)
    first_s, network_s, late, cached = _first_tokens(setup, snapshot, plan, age_s, parted.first_s, used)
    training_gpu = np.zeros(len(hosts.names))
    for w, run in enumerate(work.runs):
        busy = (spent[w].useful_s + spent[w].rework_s) / step_s
        training_gpu[run.members] += run.gpus * moved.parts[w] * busy
    return Served(
        requests=asked, served=served, late=_sum(plan, done * late, shape), rejected=lost, reasons=_reasons(snapshot, plan, carried, lost),
        waiting=left, first_token_s=_mean(plan, done, first_s, shape), network_s=_mean(plan, done, network_s, shape),
        by_host=by_host, inference_gpu=np.minimum(used.sum(axis=0), prefixes.free(snapshot, plan)) / step_s + parted.gpu, cache_share=cached,
        kept=prefixes.kept(work.services, plan, done, shape, len(hosts.names)),
        training_gpu=training_gpu,
        jobs=tuple(p for p, _ in moved.jobs), spent=spent, paces=moved.paces, parts=moved.parts, rates_bit_s=moved.rates,
        moved_bit=np.append(_moved(setup, plan, carried, spent, step_s), parted.moved_bit),
        lost_bit=_unmoved(plan, carried, step_s) + parted.lost_bit,
        ground_gpu=block.working[i, hosts.ships :],
        busiest=_busiest(carried, spent, links, step_s), plan=plan, done=done, trip_s=network_s,
        wait_s=age_s[plan.work, plan.place], parted=parted,
        again_gpu=_by_host(plan, done * again_gpu_s, by_host.shape).sum(axis=0) / step_s, streamed=(), tuned=(), sized=(),
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
    setup: Setup, snapshot: Snapshot, plan: Plan, age_s: Floats, read_s: Floats, used: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """Time to first token of each row [s], its round trip [s], the share of it that is late (P,), and caches in use (H,).

    Round trip + wait for the tick it was placed in + queue of the replicas + prefill at their load; where prompts are read
    apart, queue and prefill are those of the readers, and the way from there comes on top (Q, H). used: GPU-seconds (Q, H).
    """
    hosts, first = setup.hosts, np.zeros(len(plan.work))
    trip = snapshot.round_trip_s[plan.place, plan.host].astype(np.float64)
    room = np.maximum(prefixes.free(snapshot, plan), 1e-12)
    late, cached = np.zeros(len(plan.work)), np.zeros(len(hosts.names))
    kinds = np.array(hosts.accelerator)
    for q, service in enumerate(setup.work.services):
        others = used.sum(axis=0) - used[q]
        load = np.clip(service.target * used[q] / np.maximum(room - others, 1e-12), 0.0, max(service.target, BRIM))
        for kind, serving in service.serving.items():
            at = np.flatnonzero((used[q] > 0.0) & (kinds == kind))
            mine_share = np.clip((room[at] - others[at]) / room[at], 0.0, 1.0)
            cached[at] += mine_share * inference.operate(serving, load[at])[0] / serving.batch[-1]
            rows = np.flatnonzero((plan.work == q) & (kinds[plan.host] == kind))
            host = plan.host[rows]
            gpus = room[host] / snapshot.step_s
            here = _server(serving, load[host], gpus) if service.readers is None else read_s[q, host]
            first[rows] = trip[rows] + age_s[q, plan.place[rows]] + here
        mine = plan.work == q
        late[mine] = first[mine] > service.asked.max_first_token
    return first, trip, late, np.minimum(cached, 1.0)


def _slack(setup: Setup) -> float:
    """What hosts can do over what placement fills."""
    return max(1.0, BRIM / setup.scenario.value("serving.target_load"))


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


def _moved(setup: Setup, plan: Plan, carried: Carried, spent: tuple[job.Spent, ...], step_s: float) -> Floats:
    rows = len(plan.work)
    asked = carried.demand_bit_s
    answers, requests = (float((asked[s] * carried.share).sum()) for s in (slice(0, rows), slice(rows, 2 * rows)))
    sync = sum(s.sent_bit * len(b) for s, b in zip(spent, carried.sync_bit_s, strict=True))
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


def _busiest(carried: Carried, spent: tuple[job.Spent, ...], links: Links, step_s: float) -> Floats:
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
    fresh = tuple(job.begin(r.job) for r in work.runs)
    return waiting, fresh
