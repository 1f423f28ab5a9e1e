"""`aether plan`: the jobs of a scenario over the capacity that its run leaves, host by host and slot by slot."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from aether.base.errors import InputError, Problem
from aether.base.tables import Floats, Floats32
from aether.engine.assemble import Setup, assemble
from aether.engine.block import block, window
from aether.engine.run import Progress
from aether.engine.tick import Tick, start, step
from aether.engine.work import work as made_of
from aether.placement import plan, search
from aether.scenario.load import Scenario

HOUR_S = 3600.0  # definition
PER_SLOT = 3  # ticks of a slot at least, where the scenario's step allows: eclipses last two slots of 15 min
GREEDY, SEARCHED = "greedy", "greedy, then ruin and repair"


@dataclass(frozen=True)
class Calendar:
    """What services and training leave, hosts H and slots T."""

    setup: Setup
    slot_s: float
    gpu: Floats  # (H, T) GPUs at full clocks, mean of the slot
    taken_gpu: Floats  # (H, T) by services and training
    link_bit: Floats  # (H, T) over laser links; infinite for sites
    round_trip_s: Floats32  # (C + 1, H, T) longest in the slot; the last row is for jobs that do not ask


def calendar(setup: Setup, slot_s: float, progress: Progress | None = None) -> Calendar:
    """Run the scenario with all that is left taken as used, so that batteries are as empty as a full plan leaves them.

    setup: of the scenario. slot_s: length of a slot [s]. Returns a Calendar. Raises InputError for a slot longer than the run.
    """
    spec, told = setup.scenario.spec, progress or (lambda *_: None)
    slots = int(setup.scenario.clock.duration_s // slot_s)
    if slots < 1:
        raise InputError(Problem("--slot", f"a slot of {slot_s:g} s is longer than the run of {spec.duration:g} s"))
    parts = max(1, int(slot_s // max(spec.step, slot_s / PER_SLOT)))
    setup = _filled(setup, slot_s / parts, slots * slot_s)
    hosts, cities, ships = len(setup.hosts.names), len(setup.cities.names), setup.hosts.ships
    gpu, taken, link = np.zeros((hosts, slots)), np.zeros((hosts, slots)), np.full((hosts, slots), np.inf)
    link[:ships] = 0.0
    trip = np.zeros((cities + 1, hosts, slots), np.float32)
    clock, state, pairs = setup.scenario.clock, None, None
    for first, time_s in clock.windows(window(setup)):
        ahead = block(setup, first, time_s, pairs)
        pairs = ahead.mesh_pairs
        state = start(setup, ahead) if state is None else state
        for i in range(len(time_s)):
            state, tick = step(setup, state, ahead, i)
            t = (first + i) // parts
            free, used = _free(tick, ahead.working[i, ships:])
            gpu[:, t] += np.maximum(free - used, 0.0) / parts
            taken[:, t] += used / parts
            link[:ships, t] += tick.mesh.rate_bit_s * clock.step_s
            if tick.mesh.ways is not None:
                np.maximum(trip[:-1, :, t], tick.mesh.ways.round_trip_s, out=trip[:-1, :, t])
            told("capacity", first + i + 1, clock.ticks, f"{clock.date(time_s[i]):%Y-%m-%d %H:%M}")
    return Calendar(setup, slot_s, gpu, taken, link, trip)


def _filled(setup: Setup, step_s: float, duration_s: float) -> Setup:
    spec = setup.scenario.spec.model_copy(update={"step": step_s, "duration": duration_s})
    scenario = replace(setup.scenario, spec=spec)
    longer = scenario if not spec.jobs else replace(scenario, spec=spec.model_copy(update={"jobs": ()}))
    made = made_of(longer, setup.hosts, setup.cities)
    return replace(setup, scenario=scenario, work=replace(made, jobs=setup.work.jobs, filled=True))


def _free(tick: Tick, ground_gpu: Floats) -> tuple[Floats, Floats]:
    """What hosts could give in a tick and what services and training took of it (H,)."""
    free = np.concatenate([tick.capacity.reach, ground_gpu])
    if tick.served is None:
        return free, np.zeros(len(free))
    return free, tick.served.inference_gpu + tick.served.training_gpu


def problem(made: Calendar) -> plan.Problem:
    """The scenario's jobs over a calendar, in slots: work rounded up, releases up, deadlines down."""
    setup, asked = made.setup, made.setup.work.jobs
    scenario, hosts, slot_s = setup.scenario, setup.hosts, made.slot_s
    slots = made.gpu.shape[1]
    drawn_j = hosts.full_w * slot_s
    memory = [scenario.catalog.accelerator(a).memory.value * g for a, g in zip(hosts.accelerator, hosts.gpus, strict=True)]  # fmt: skip
    release = np.ceil(asked.release_s / slot_s - 1e-9).astype(np.int64)
    deadline = np.minimum(np.floor(asked.deadline_s / slot_s + 1e-9), slots).astype(np.int64)
    work = np.ceil(asked.time_s / slot_s - 1e-9).astype(np.int64)
    again = np.where(asked.split & ~asked.partial, asked.checkpoint_bit, 0.0)
    share = np.ones(slots)
    jobs = plan.Jobs(
        asked.names, asked.gpus, asked.members, np.where(asked.partial, np.maximum(deadline - release, 0), work), release, deadline,
        asked.value_usd * asked.priority, asked.memory_bytes, np.maximum(asked.input_bit, again), np.maximum(asked.output_bit, again),
        asked.rate_bit_s * slot_s, asked.limit_s, asked.place, asked.split, asked.partial, asked.allowed,
    )  # fmt: skip
    return plan.Problem(
        slot_s, hosts.names, made.gpu, np.array(memory), made.link_bit, np.outer(hosts.energy_usd_j * drawn_j, share),
        np.outer(hosts.carbon_kg_j * drawn_j, share), scenario.value("placement.carbon_price"), made.round_trip_s, jobs,
    )  # fmt: skip


def make(
    scenario: Scenario, slot_s: float = 900.0, search_s: float | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Plan a scenario's jobs: what is placed where and when, what it is worth, what it costs, and how far from the best.

    scenario: with jobs. slot_s: length of a slot [s]. search_s: how long to search on [s]; the greedy plan with its bound when
    left out. Returns what `aether plan --json` prints. Raises InputError for a scenario without jobs, jobs that no hosts could
    ever run.
    """
    if not scenario.spec.jobs:
        raise InputError(
            Problem("jobs", f"{scenario.spec.name} has none to plan", next="Give `jobs:`, each with gpus and time")
        )
    told = progress or (lambda *_: None)
    there = calendar(assemble(scenario), slot_s, progress)
    asked = problem(there)

    began, wanted_s = time.monotonic(), search_s or 0.0

    def left_s() -> float:
        return wanted_s - (time.monotonic() - began)

    def searching(value: float, bound: float) -> None:
        told("search", wanted_s - max(left_s(), 0.0), wanted_s, f"{value:,.0f} of {bound:,.0f} USD")

    if search_s is None:
        made, how = search.bounded(asked), GREEDY
    else:
        made, how = search.search(asked, scenario.spec.seed, left_s=left_s, told=searching), SEARCHED
    return describe(there, asked, made, how)


def describe(there: Calendar, asked: plan.Problem, made: plan.Schedule, how: str) -> dict[str, Any]:
    """A schedule in words and figures."""
    jobs = [_job(there, asked, made, n) for n in range(len(asked.jobs.names))]
    hours = asked.jobs.gpus[made.job] * made.members * asked.slot_s / HOUR_S
    used = np.bincount(made.host, hours, len(asked.hosts)).astype(np.float64)
    drawn_j = float((there.setup.hosts.full_w[made.host] * hours).sum()) * HOUR_S
    groups, names = np.array(there.setup.hosts.group), dict.fromkeys(there.setup.hosts.group)
    return {
        "scenario": there.setup.scenario.spec.name, "slot_s": asked.slot_s, "slots": asked.gpu.shape[1], "how": how,
        "placed": sum(j["state"] == "placed" for j in jobs), "partly": sum(j["state"] == "partly" for j in jobs), "asked": len(jobs),
        "gpu_hours": float(hours.sum()), "worth_usd": made.worth_usd, "value_usd": made.value_usd,
        "price_usd": _paid(asked, made, asked.price_usd), "carbon_kg": _paid(asked, made, asked.carbon_kg), "energy_j": drawn_j,
        "bound_usd": made.bound_usd, "bound": made.bound, "gap": made.gap,
        "preemptions": sum(j["preemptions"] for j in jobs), "moves": sum(j["moves"] for j in jobs),
        "first": "services and training as in the run; jobs take what they leave, with ships at full load",
        "jobs": jobs,
        "hosts": [_host(there, groups == g, str(g), used) for g in names],
    }  # fmt: skip


def _host(there: Calendar, members: np.ndarray, name: str, used: Floats) -> dict[str, Any]:
    """GPU-hours of a group of hosts: taken by what comes first, left, planned."""
    hours = there.slot_s / HOUR_S
    left, taken = (float(v[members].sum()) * hours for v in (there.gpu, there.taken_gpu))
    return {
        "host": name,
        "left_gpu_hours": left,
        "taken_gpu_hours": taken,
        "planned_gpu_hours": float(used[members].sum()),
    }


def _paid(asked: plan.Problem, made: plan.Schedule, each: Floats) -> float:
    return float((each[made.host, made.slot] * made.members * asked.jobs.gpus[made.job]).sum())


def _job(there: Calendar, asked: plan.Problem, made: plan.Schedule, n: int) -> dict[str, Any]:
    j, mine = asked.jobs, made.job == n
    on = np.unique(made.slot[mine])
    wanted = int(j.slots[n])
    state = "left out" if not on.size else "placed" if on.size >= wanted else "partly"
    own = there.setup.work.jobs
    where = [set(made.host[mine & (made.slot == t)].tolist()) for t in on]
    told = {
        "name": j.names[n], "kind": there.setup.scenario.spec.jobs[int(own.row[n])].kind, "gpus": int(j.gpus[n]), "members": int(j.members[n]),
        "state": state, "slots": wanted, "done_slots": int(on.size), "hosts": [asked.hosts[h] for h in dict.fromkeys(made.host[mine].tolist())],
        "start_s": float(on[0] * asked.slot_s) if on.size else None, "end_s": float((on[-1] + 1) * asked.slot_s) if on.size else None,
        "preemptions": int((np.diff(on) > 1).sum()), "moves": sum(a != b for a, b in pairwise(where)),
        "worth_usd": float(own.value_usd[n]) * (on.size / max(wanted, 1) if j.partial[n] else float(state == "placed")),
        "price_usd": float((asked.price_usd[made.host[mine], made.slot[mine]] * made.members[mine]).sum() * j.gpus[n]),
        "runs": [[int(r[0]), int(r[-1]) + 1] for r in np.split(on, np.flatnonzero(np.diff(on) > 1) + 1)] if on.size else [],
    }  # fmt: skip
    return told | {"why": _why(asked, n) if state == "left out" else ""}


def _why(asked: plan.Problem, n: int) -> str:
    """Why a job has no place, in words: what it lacks even when it is alone, else that others are worth more."""
    j, members = asked.jobs, int(asked.jobs.members[n])
    slot = np.arange(asked.gpu.shape[1])
    inside = (slot >= j.release[n]) & (slot < j.deadline[n])
    if inside.sum() < (1 if j.partial[n] else j.slots[n]):
        return f"{int(inside.sum())} slots between release and deadline, {int(j.slots[n])} needed"
    near = j.allowed[n][:, None] & inside & (asked.round_trip_s[j.place[n]] <= j.limit_s[n])
    if not near.any():
        return f"no host within {1e3 * j.limit_s[n]:.0f} ms of its place"
    fits = (np.where(near, asked.room // j.gpus[n], 0)).sum(axis=0)
    needed = 1 if j.partial[n] else int(j.slots[n])
    if (fits >= members).sum() < needed:
        largest = int(np.where(near, asked.room, 0).max())
        words = f"{int((fits >= members).sum())} slots with room for {members} x {int(j.gpus[n])} GPUs, {needed} needed"
        return f"{words}; the most free at one host is {largest}"
    cheap = float(np.where(near, asked.cost_usd, np.inf).min()) * j.gpus[n] * members * j.slots[n]
    if cheap >= j.worth_usd[n]:
        return f"worth {j.worth_usd[n]:,.2f} USD, {cheap:,.2f} USD of energy and carbon at least"
    alone = plan.greedy(replace(asked, jobs=_only(j, n)))
    return (
        "others are worth more a GPU-hour" if alone.job.size else "no unbroken time, memory or link for it even alone"
    )


def _only(jobs: plan.Jobs, n: int) -> plan.Jobs:
    picked: dict[str, Any] = {k: getattr(jobs, k)[n : n + 1] for k in jobs.__dataclass_fields__}
    return plan.Jobs(**picked)
