"""A scheduling pass: which waiting jobs start where, and which running ones must leave, by the placement of the simulation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from aether.base.tables import Bools, Floats, Ints
from aether.fabric.core.events import Displaced, Placed
from aether.fabric.core.state import Host, Job, State, near, used_gpus
from aether.fabric.task import Resources, Task, accelerator
from aether.placement import online

MOST_ROWS = 12_000  # ways of waiting jobs that one pass looks at, most urgent first: bounds its time
BY_PRICE, BY_LIGHT, NOWHERE = 0, 1, 2  # orders in which hosts are tried; what runs stays or waits again, it never moves


@dataclass(frozen=True)
class _Row:
    """One way to run a job, or where it runs already."""

    job: Job
    way: int
    gpus: int
    held: tuple[int, ...]
    rules: tuple[object, ...]  # those alike may go to the same hosts


class _Fleet:
    """The hosts of a pass, numbered, and the few kinds of them that jobs tell apart."""

    def __init__(self, state: State) -> None:
        self.names = list(state.hosts)
        self.hosts = list(state.hosts.values())
        self.number = {n: h for h, n in enumerate(self.names)}
        kinds: dict[tuple[object, ...], int] = {}
        self.kind = np.array([kinds.setdefault(_kind(h), len(kinds)) for h in self.hosts], np.int64)
        self.samples = [self.hosts[int(np.argmax(self.kind == k))] for k in range(len(kinds))]
        self.open = np.array([open_for_new(state, h) for h in self.hosts], np.bool_)
        self._sizes: dict[tuple[object, ...], Ints] = {}
        self._choices: dict[tuple[object, ...], list[int]] = {}

    def sizes(self, way: Resources) -> Ints:
        """GPUs that a node takes of a host of each kind, 0 where it does not suit (kinds,)."""
        if way.wanted not in self._sizes:
            self._sizes[way.wanted] = np.array(
                [gpus_of(way, h) if suits(way, h) else 0 for h in self.samples], np.int64
            )
        return self._sizes[way.wanted]

    def choices(self, way: Resources) -> list[int]:
        """The sizes there are, each once."""
        if way.wanted not in self._choices:
            self._choices[way.wanted] = [int(g) for g in np.unique(self.sizes(way)) if g]
        return self._choices[way.wanted]


def _kind(host: Host) -> tuple[object, ...]:
    f = host.facts
    return f.accelerator, f.gpus, f.cores_per_gpu, f.memory_gb_per_gpu


def plan(state: State) -> list[Placed | Displaced]:
    """The decisions of a pass, those who must leave first; none where nothing changes.

    More priority goes first, what runs before what waits, then the order of submission. A running job keeps its hosts while they can bear it;
    one that may be preempted (`use_spot`) gives way to more priority; what power, heat or a drain takes is stopped and waits
    again. A gang has all its hosts or none. GPUs that others are about to leave count as free, so that nobody else must go for the same
    job; it starts there once they have left.
    """
    fleet = _Fleet(state)
    rows = _rows(state, fleet)
    if not rows:
        return []
    room = np.array([float(h.gpus) for h in fleet.hosts])
    left, leaving = room - _held_by(state, fleet), _held_by(state, fleet, "stopping")
    nodes = np.array([state.tasks[r.job.batch].num_nodes for r in rows], np.int64)
    moves = [state.tasks[r.job.batch].orbit.checkpoint is not None for r in rows]
    made = online.assign(
        np.arange(len(rows)), np.ones(len(rows), np.bool_), np.array([r.gpus for r in rows], np.int64), nodes, _allowed(state, rows, fleet),
        np.zeros(len(rows), np.int64), np.full(len(rows), np.inf), np.zeros((1, room.size + 1), np.float32), _ranks(fleet.hosts, room, leaving),
        np.where([bool(r.held) for r in rows], NOWHERE, np.where(moves, BY_PRICE, BY_LIGHT)), _held(rows, int(nodes.max())), np.append(room, 0.0),
        _things(rows),
    )  # fmt: skip
    return _decisions(state, rows, fleet, made, left)


def _rows(state: State, fleet: _Fleet) -> list[_Row]:
    """Running jobs, and waiting ones in every way and size that a kind of host makes of them; most urgent first."""
    running = [state.jobs[n] for n in dict.fromkeys(n for jobs in state.at.values() for n in jobs)]
    waiting = [
        j for j in map(state.jobs.__getitem__, state.waiting) if not j.waits_for and j.not_before_s <= state.time_s
    ]
    rows = [_runs(state, fleet, job) for job in running if job.status in ("preparing", "running")]
    waiting.sort(key=lambda j: (-state.tasks[j.batch].orbit.priority, j.order))
    waiting = _one_server_each(waiting)
    for job in waiting[:MOST_ROWS]:
        task = state.tasks[job.batch]
        for w, way in enumerate(task.resources.ways):
            rows += [_Row(job, w, g, (), (*_rules(task, way, g), job.deployment)) for g in fleet.choices(way)]
    return sorted(rows, key=lambda r: _urgency(state, r))[:MOST_ROWS]


def _one_server_each(waiting: list[Job]) -> list[Job]:
    """Of each deployment the first that waits: the next pass sees where it went, and places the next elsewhere."""
    seen: set[str] = set()
    return [j for j in waiting if not j.deployment or not (j.deployment in seen or seen.add(j.deployment))]  # type: ignore[func-returns-value]


def _runs(state: State, fleet: _Fleet, job: Job) -> _Row:
    """The row of a running job; those that run come before all cuts."""
    attempt, task = job.attempt, state.tasks[job.batch]
    assert attempt is not None  # it is at hosts
    rules = _rules(task, task.resources.ways[attempt.way], attempt.gpus)
    return _Row(job, attempt.way, attempt.gpus, tuple(fleet.number[h] for h in attempt.hosts), rules)


def _rules(task: Task, way: Resources, gpus: int) -> tuple[object, ...]:
    o = task.orbit
    return way.wanted, gpus, o.where, o.jurisdictions, o.place, o.max_round_trip


def _urgency(state: State, row: _Row) -> tuple[int, int, int, int, int]:
    task, runs = state.tasks[row.job.batch], bool(row.held)
    stays = runs and not task.resources.ways[row.way].use_spot
    return (not stays, -task.orbit.priority, not runs, row.job.order, row.way)


def gpus_of(way: Resources, host: Host) -> int:
    """GPUs of a host that one node takes: those it asks for, or those whose share of processors and memory it needs."""
    asked = next(iter(way.accelerators.values())) if way.accelerators else 1
    cores = math.ceil((way.cpus or 0.0) / host.facts.cores_per_gpu - 1e-9)
    memory = math.ceil((way.memory or 0.0) / host.facts.memory_gb_per_gpu - 1e-9)
    return max(asked, cores, memory, 1)


def suits(way: Resources, host: Host) -> bool:
    """Whether a host has the kind of accelerator, and enough of it when all of them work."""
    if way.accelerators:
        wanted = next(iter(way.accelerators))
        if accelerator(wanted, (host.facts.accelerator,)) is None:
            return False
    return gpus_of(way, host) <= host.facts.gpus


def may(state: State, task: Task, host: Host) -> bool:
    """Whether a task's own rules let it run at a host now: where, whose law, how far from its place."""
    orbit = task.orbit
    if not ever(task, host):
        return False
    if orbit.place is None or orbit.max_round_trip is None:
        return True
    return state.within.get(near(orbit.place, orbit.max_round_trip), {}).get(host.facts.name, False)


def ever(task: Task, host: Host) -> bool:
    """Whether where it may run and whose law may hold allow a host, whatever the hour."""
    orbit, facts = task.orbit, host.facts
    kind = "ships" if facts.ship else "sites"
    if orbit.where and not {facts.name, facts.group, kind} & set(orbit.where):
        return False
    return not orbit.jurisdictions or facts.country in orbit.jurisdictions


def open_for_new(state: State, host: Host) -> bool:
    """Whether a host takes new work now."""
    runtime = state.runtimes.get(host.facts.name)
    return runtime is not None and not runtime.lost and host.up and host.contact and not host.cordoned


def _held_by(state: State, fleet: _Fleet, status: str = "") -> Floats:
    """GPUs that jobs hold, of one status or of all (H,)."""
    held = np.zeros(len(fleet.hosts))
    for host, jobs in state.at.items():
        for name in jobs:
            job = state.jobs[name]
            if job.attempt is not None and status in ("", job.status):
                held[fleet.number[host]] += job.attempt.gpus * job.attempt.hosts.count(host)
    return held


def _held(rows: list[_Row], most: int) -> Ints:
    """Hosts that running jobs hold (R, M), -1 for none."""
    held = np.full((len(rows), most), -1, np.int64)
    for i, row in enumerate(rows):
        held[i, : len(row.held)] = row.held
    return held


def _allowed(state: State, rows: list[_Row], fleet: _Fleet) -> Bools:
    """Which hosts each row may have (R, H + 1), the last is nowhere: those open that suit; for what runs, those it holds unless drained."""
    numbers: dict[tuple[object, ...], int] = {}
    masks: list[Bools] = []
    chosen = np.empty(len(rows), np.int64)
    for i, row in enumerate(rows):
        if row.rules not in numbers:
            task = state.tasks[row.job.batch]
            numbers[row.rules] = len(masks)
            fits = (fleet.sizes(task.resources.ways[row.way]) == row.gpus)[fleet.kind] & fleet.open
            masks.append(_spread(state, row, fits & _permitted(state, task, fleet), fleet))
        chosen[i] = numbers[row.rules]
    allowed = np.pad(np.stack(masks), ((0, 0), (0, 1)))[chosen]
    for i, row in enumerate(rows):
        for h in row.held:
            allowed[i, h] = fleet.hosts[h].up and not fleet.hosts[h].drained
    return allowed


def _spread(state: State, row: _Row, fits: Bools, fleet: _Fleet) -> Bools:
    """For a server, hosts without another of its deployment, where one of them has room (H,)."""
    attempts = (
        state.jobs[n].attempt for n in state.servers.get(row.job.deployment, ()) if state.jobs[n].status != "queued"
    )
    taken = [fleet.number[h] for a in attempts if a is not None for h in a.hosts]
    if not taken:
        return fits
    apart = fits.copy()
    apart[taken] = False
    roomy = any(
        fleet.hosts[h].gpus - used_gpus(state, fleet.names[h]) >= row.gpus for h in np.flatnonzero(apart).tolist()
    )
    return apart if roomy else fits


def _permitted(state: State, task: Task, fleet: _Fleet) -> Bools:
    o = task.orbit
    if not (o.where or o.jurisdictions or o.place):
        return np.ones(len(fleet.hosts), np.bool_)
    return np.array([may(state, task, h) for h in fleet.hosts], np.bool_)


def _ranks(hosts: list[Host], room: Floats, leaving: Floats) -> Ints:
    """Orders in which hosts are tried (3, H + 1): by price of energy; for jobs that cannot go on elsewhere, those in light first; none.

    Where somebody is about to leave comes last: else work would wait for them while a dearer host stands idle.
    """
    price = np.array([h.facts.energy_usd_j for h in hosts])
    dark = np.array([h.facts.ship and not h.lit for h in hosts])
    by_price, by_light = np.lexsort((-room, price, leaving > 0)), np.lexsort((-room, price, dark, leaving > 0))
    nowhere = np.full(len(hosts), len(hosts))
    return np.pad(np.stack([by_price, by_light, nowhere]), ((0, 0), (0, 1)), constant_values=len(hosts))


def _things(rows: list[_Row]) -> Ints:
    number: dict[str, int] = {}
    return np.array([number.setdefault(r.job.id, len(number)) for r in rows], np.int64)


def _decisions(state: State, rows: list[_Row], fleet: _Fleet, made: Ints, left: Floats) -> list[Placed | Displaced]:
    """Starts and stops of what has been placed; a start waits until those who leave have left. left: (H,) GPUs nobody holds."""
    starts: list[Placed] = []
    stops: list[Displaced] = []
    names = fleet.names
    for i in np.flatnonzero((made[:, 0] >= 0) | np.array([bool(r.held) for r in rows])).tolist():
        row = rows[i]
        got = made[i, : state.tasks[row.job.batch].num_nodes]
        if row.held:
            if tuple(got.tolist()) != row.held:
                stops.append(Displaced(job=row.job.id, reason=_reason(state, row, names)))
            continue
        hosts, count = np.unique(got, return_counts=True)
        if (count * row.gpus <= left[hosts] + 1e-9).all():
            left[hosts] -= count * row.gpus
            where = tuple(names[h] for h in got.tolist())
            kind = state.hosts[where[0]].facts.accelerator
            starts.append(Placed(job=row.job.id, way=row.way, accelerator=kind, gpus=row.gpus, hosts=where))
    return [*stops, *starts]


def _reason(state: State, row: _Row, names: list[str]) -> str:
    """Why a running job must leave."""
    for h in row.held:
        host = state.hosts[names[h]]
        if not host.up:
            return f"{names[h]} is out of service"
        if host.drained:
            return f"{names[h]} is drained"
    for h in row.held:
        host = state.hosts[names[h]]
        if sum(_used(state, j, names[h]) for j in state.at.get(names[h], ())) > host.gpus:
            return f"{names[h]}: {host.limit or 'limits'} left {host.gpus} of {host.facts.gpus} GPUs"
    return "more priority"


def _used(state: State, name: str, host: str) -> int:
    """GPUs of a host that a job uses and is not about to leave."""
    job = state.jobs[name]
    return job.attempt.gpus * job.attempt.hosts.count(host) if job.attempt and job.status != "stopping" else 0


def why(state: State, job: Job, told: dict[tuple[object, ...], str]) -> str:
    """Why a queued job has not started, as people read it. told: what has been said in this moment of jobs with the same rules."""
    if job.waits_for:
        return f"waits for {', '.join(job.waits_for[:3])}" + (
            f" and {len(job.waits_for) - 3} more" if len(job.waits_for) > 3 else ""
        )
    if job.not_before_s > state.time_s:
        return f"tries again in {job.not_before_s - state.time_s:.0f} s: {job.reason}"
    rules = alike(state.tasks[job.batch])
    if rules not in told:
        told[rules] = _scarce(state, state.tasks[job.batch])
    return told[rules]


def alike(task: Task) -> tuple[object, ...]:
    """What decides where a task may run: tasks alike in it may go to the same hosts."""
    o = task.orbit
    ways = tuple(w.wanted for w in task.resources.ways)
    return ways, task.num_nodes, o.where, o.jurisdictions, o.place, o.max_round_trip


def _scarce(state: State, task: Task) -> str:
    """What keeps a task from starting that waits for hosts alone."""
    suitable = [h for h in state.hosts.values() if any(suits(w, h) for w in task.resources.ways)]
    allowed = [h for h in suitable if may(state, task, h)]
    ready = [h for h in allowed if open_for_new(state, h)]
    if not suitable:
        return "no host has such accelerators"
    if not allowed:
        near_by = (
            f"within {task.orbit.max_round_trip:g} s of {task.orbit.place}"
            if task.orbit.place
            else "that its orbit block allows"
        )
        return f"no host {near_by}"
    if not ready:
        return f"none of {len(allowed)} hosts takes work now (out of contact, out of service or cordoned)"
    most = max(h.gpus for h in ready)
    return f"{len(ready)} hosts suit, none has room now; the largest may run {most} GPUs"


def problem(state: State, task: Task) -> str:
    """Why no hosts of the fabric could ever run a task, even idle and in full light; empty where some could."""
    for way in task.resources.ways:
        fits = [h for h in state.hosts.values() if suits(way, h) and ever(task, h)]
        if sum(h.facts.gpus // gpus_of(way, h) for h in fits) >= task.num_nodes:
            return ""
    suitable = [h for h in state.hosts.values() if ever(task, h)]
    kinds = sorted({f"{h.facts.accelerator} (at most {h.facts.gpus:,} a host)" for h in suitable})
    return f"no {task.num_nodes} hosts have that; allowed are: {', '.join(kinds) or 'none'}"
