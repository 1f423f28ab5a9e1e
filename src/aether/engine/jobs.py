"""Jobs made ready: which hosts may run each, what it moves, and what it is worth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aether.base.errors import InputError, Problem, nearest
from aether.base.tables import Bools, Floats, Ints
from aether.engine.hosts import Hosts
from aether.engine.places import Sites
from aether.placement import capacity
from aether.scenario.load import Scenario
from aether.scenario.spec import Job

HOUR_S = 3600.0  # definition


@dataclass(frozen=True)
class Asked:
    """Jobs, services and streams, each of a count by itself (J,), and hosts (J, H)."""

    names: tuple[str, ...]
    row: Ints  # of the scenario's list
    gpus: Ints
    members: Ints
    time_s: Floats  # of work at full clocks; of services and streams all of their time
    release_s: Floats
    deadline_s: Floats
    value_usd: Floats  # of the whole
    priority: Floats
    memory_bytes: Floats  # of a member
    input_bit: Floats  # a member at its first begin
    output_bit: Floats
    checkpoint_bit: Floats
    rate_bit_s: Floats
    limit_s: Floats
    place: Ints  # city, -1 for none
    split: Bools
    partial: Bools
    allowed: Bools


def asked_jobs(scenario: Scenario, hosts: Hosts, cities: Sites) -> Asked:
    """The jobs of a scenario; InputError with every one that no hosts could ever run."""
    problems = [p for i, job in enumerate(scenario.spec.jobs) for p in _problems(scenario, hosts, cities, i, job)]
    if problems:
        raise InputError(problems)
    rows = [(i, job, n) for i, job in enumerate(scenario.spec.jobs) for n in range(job.count)]
    end_s, jobs = scenario.clock.duration_s, [job for _, job, _ in rows]
    deadline_s = np.array([end_s if j.deadline is None else min(j.deadline, end_s) for j in jobs], np.float64)
    release_s = np.array([j.release for j in jobs], np.float64)
    time_s = np.array(
        [d - r if j.time is None else j.time for j, r, d in zip(jobs, release_s, deadline_s, strict=True)]
    )
    gpus, members = (np.array([getattr(j, k) for j in jobs], np.int64) for k in ("gpus", "members"))
    price = np.array([j.price for j in jobs], np.float64)
    may = {
        i: capacity.allowed(j.where, j.jurisdictions, hosts.group, hosts.country)
        for i, j in enumerate(scenario.spec.jobs)
    }
    bits = {k: 8.0 * np.array([getattr(j, k) for j in jobs], np.float64) for k in ("input", "output", "checkpoint")}
    return Asked(
        tuple(j.name if j.count == 1 else f"{j.name}/{n}" for _, j, n in rows), np.array([i for i, _, _ in rows], np.int64),
        gpus, members, np.maximum(time_s, 0.0).astype(np.float64), release_s, deadline_s, price * gpus * members * time_s / HOUR_S,
        np.array([j.priority for j in jobs], np.float64), np.array([j.memory for j in jobs], np.float64),
        bits["input"], bits["output"], bits["checkpoint"], np.array([j.rate for j in jobs], np.float64),
        np.array([np.inf if j.max_round_trip is None else j.max_round_trip for j in jobs], np.float64),
        np.array([-1 if j.place is None else cities.names.index(j.place) for j in jobs], np.int64),
        np.array([j.preemptible or j.kind != "job" for j in jobs], np.bool_), np.array([j.kind != "job" for j in jobs], np.bool_),
        np.array([may[i] for i, _, _ in rows], np.bool_).reshape(len(rows), len(hosts.names)),
    )  # fmt: skip


def _problems(scenario: Scenario, hosts: Hosts, cities: Sites, i: int, job: Job) -> list[Problem]:
    """What no fabric of these hosts can do, with how much is there."""
    told: list[Problem] = []
    allowed = capacity.allowed(job.where, job.jurisdictions, hosts.group, hosts.country)
    largest = float(hosts.gpus[allowed].max(initial=0.0))
    most = int(np.floor(hosts.gpus[allowed] / job.gpus).sum())
    words = capacity.without_host(job.name, job.where, job.jurisdictions, hosts.group, hosts.country)
    if words:
        told.append(Problem(f"jobs[{i}]", words))
    elif most < job.members:
        there = f"of the {int(allowed.sum())} hosts it may use the largest has {largest:,.0f}, and all together hold {most} such members"
        what = f"{job.name} asks for {job.members} x {job.gpus:,} GPUs; {there}"
        told.append(Problem(f"jobs[{i}].gpus", what, next="Take fewer GPUs, or a gang of more members with fewer each"))
    if job.place is not None and job.place not in cities.names:
        what = f"'{job.place}' is none of the {len(cities.names)} cities of this run"
        told.append(
            Problem(
                f"jobs[{i}].place", what, nearest(job.place, cities.names), "Name one, or add it to ground.cities.add"
            )
        )
    end_s = scenario.spec.duration
    if (job.time or 0.0) > end_s - job.release or job.release >= end_s:
        told.append(
            Problem(f"jobs[{i}].time", f"{job.name} ends after the run of {end_s / HOUR_S:,.1f} h at the earliest")
        )
    return told
