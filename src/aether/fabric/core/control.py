"""The control core: `step(state, event) -> (state, commands)`. No I/O, no clock but the event's time, nothing decided twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aether.fabric import protocol
from aether.fabric.core import events as happened
from aether.fabric.core import serving
from aether.fabric.core.events import Event
from aether.fabric.core.state import METERS, OVER, Attempt, Host, Job, Key, Member, Runtime, State, near, used_gpus

PAST = {"succeeded": "succeeded", "failed": "failed", "cancelled": "was cancelled"}
BACKOFF_S, LONGEST_BACKOFF_S = 5.0, 600.0  # before a failed job is tried again: doubles from attempt to attempt


@dataclass(frozen=True, slots=True)
class Tell:
    """The orders of a runtime have changed."""

    runtime: str


@dataclass(frozen=True, slots=True)
class Place:
    """Something has changed that a scheduling pass should look at."""


@dataclass(frozen=True, slots=True)
class Inject:
    """A fault is to be made."""

    fault: happened.Injected
    start_s: float


Command = Tell | Place | Inject


def step(state: State, event: Event, time_s: float, actor: str = "") -> tuple[State, list[Command]]:
    """The state after an event, and what must now be done.

    time_s: fabric time of the event; it never goes backward here. The state is taken over and returned. A repeated or late event
    changes nothing. Raises nothing for events that `decode` accepts.
    """
    state.time_s = max(state.time_s, time_s)
    state.counts[event.kind] = state.counts.get(event.kind, 0) + 1
    made: list[Command] = []
    _HANDLERS[event.kind](state, event, made, actor)
    return state, made


def _opened(state: State, event: happened.Opened, made: list[Command], _actor: str) -> None:
    for facts in event.hosts:
        known = state.hosts.get(facts.name)
        if known is None:
            state.hosts[facts.name] = Host(facts, facts.gpus)
        else:
            known.facts = facts
    made.append(Place())


def _submitted(state: State, event: happened.Submitted, made: list[Command], _actor: str) -> None:
    if event.job in state.tasks:
        return
    task = event.task
    state.tasks[event.job], state.size[event.job] = task, task.orbit.array
    for index, name in enumerate(members_of(event.job, task.orbit.array)):
        state.submitted += 1
        deadline = None if task.orbit.deadline is None else state.time_s + task.orbit.deadline
        job = Job(name, event.project, event.job, index, state.time_s, state.submitted, deadline_s=deadline)
        job.deployment, job.version, job.tuning = event.deployment, event.version, event.tuning
        serving.submitted(state, job)
        job.waits_for = [d for d in event.after if state.jobs[d].status != "succeeded"] if event.after else []
        state.jobs[name] = job
        state.waiting[name] = None
        for other in job.waits_for:
            state.dependants.setdefault(other, []).append(name)
        broken = next((d for d in job.waits_for if state.jobs[d].status in OVER), None)
        if broken is not None:
            _end(state, job, "failed", f"needs {broken}, which {PAST[state.jobs[broken].status]}")
    made.append(Place())


def members_of(batch: str, array: int) -> list[str]:
    """The jobs of a submission: itself, or numbered."""
    return [batch] if array == 1 else [f"{batch}.{i}" for i in range(array)]


def _cancel_asked(state: State, event: happened.CancelAsked, made: list[Command], actor: str) -> None:
    for name in event.jobs:
        job = state.jobs.get(name)
        if job is None or job.status in OVER:
            continue
        _end_now(state, job, "cancelled", f"cancelled by {actor}" if actor else "cancelled", made)


def _given_up(state: State, event: happened.GivenUp, made: list[Command], _actor: str) -> None:
    for name in event.jobs:
        job = state.jobs.get(name)
        if job is not None and job.status == "running":
            _stop(state, job, "expired", event.reason, made)


def _end_now(state: State, job: Job, how: str, reason: str, made: list[Command]) -> None:
    """End a job: at once where it waits, after its members have stopped where it runs."""
    if job.status == "queued":
        _end(state, job, how, reason)
    else:
        _stop(state, job, how, reason, made)


def _stop(state: State, job: Job, outcome: str, reason: str, made: list[Command]) -> None:
    """Stop every member; what becomes of the job is settled when all have ended. A last word overrules a wish to go on."""
    attempt = _present(job)
    if attempt.outcome in ("", "again"):
        attempt.outcome, attempt.reason = outcome, reason  # type: ignore[assignment]
    if job.status != "stopping":
        job.status = "stopping"
        _tell(state, attempt, made)
    _settle(state, job, made)


def _displaced(state: State, event: happened.Displaced, made: list[Command], _actor: str) -> None:
    job = state.jobs.get(event.job)
    if job is not None and job.status in ("preparing", "running"):
        _stop(state, job, "again", event.reason, made)
        made.append(Place())  # others may start elsewhere meanwhile


def _placed(state: State, event: happened.Placed, made: list[Command], _actor: str) -> None:
    job = state.jobs.get(event.job)
    if job is None or job.status != "queued" or any(_absent(state, h) for h in event.hosts):
        return
    job.attempts += 1
    members = [Member() for _ in event.hosts]
    job.attempt = Attempt(job.attempts, event.way, event.accelerator, event.gpus, event.hosts, members, state.time_s)
    job.status, job.reason = "preparing", ""
    del state.waiting[job.id]
    for host in event.hosts:
        state.at.setdefault(host, {})[job.id] = None
    _tell(state, job.attempt, made)


def _absent(state: State, host: str) -> bool:
    runtime = state.runtimes.get(host)
    return runtime is None or runtime.lost


def _runtime_joined(state: State, event: happened.RuntimeJoined, made: list[Command], _actor: str) -> None:
    known = state.runtimes.get(event.runtime)
    if known is None or known.journal != event.journal:
        usage = [0] * len(METERS) if known is None else known.usage
        version = 0 if known is None else known.version
        state.runtimes[event.runtime] = Runtime(
            event.journal, event.public_key, event.address, 0, version + 1, usage=usage
        )
        if known is not None:
            _lose(state, event.runtime, "its disk is gone", made)
    else:
        known.address, known.lost = event.address, False
        known.version += 1
    made += [Tell(event.runtime), Place()]


def _runtime_lost(state: State, event: happened.RuntimeLost, made: list[Command], _actor: str) -> None:
    runtime = state.runtimes.get(event.runtime)
    if runtime is None or runtime.lost:
        return
    runtime.lost = True
    _lose(state, event.runtime, event.reason, made)


def _runtime_back(state: State, event: happened.RuntimeBack, made: list[Command], _actor: str) -> None:
    runtime = state.runtimes.get(event.runtime)
    if runtime is not None and runtime.lost:
        runtime.lost = False
        runtime.version += 1
        made += [Tell(event.runtime), Place()]


def _lose(state: State, host: str, reason: str, made: list[Command]) -> None:
    """Whatever ran at a host is over, as far as anybody knows."""
    for name in list(state.at.get(host, ())):
        job = state.jobs[name]
        attempt = _present(job)
        for member, where in zip(attempt.members, attempt.hosts, strict=True):
            if where == host and member.phase != "ended":
                member.phase, member.how, member.why = "ended", "lost", reason
        _stop(state, job, "again", f"{host}: {reason}", made)


def _reported(state: State, event: happened.Reported, made: list[Command], _actor: str) -> None:
    runtime = state.runtimes.get(event.runtime)
    if runtime is None or runtime.journal != event.journal or event.n != runtime.acknowledged + 1:
        return
    runtime.acknowledged = event.n
    report = event.report
    name, _, number = report.attempt.rpartition("/")
    job = state.jobs.get(name)
    if isinstance(report, protocol.Used):
        _used(state, runtime, job, report)
        return
    if (
        job is None
        or job.attempt is None
        or str(job.attempt.number) != number
        or not 0 <= report.rank < len(job.attempt.members)
    ):
        return
    if job.attempt.hosts[report.rank] != event.runtime:
        return
    _REPORTS[report.kind](state, job, report, made)


def _used(state: State, runtime: Runtime, job: Job | None, used: protocol.Used) -> None:
    amounts = [getattr(used, k) for k in METERS]
    sums = [runtime.usage]
    if job is not None:
        kinds = state.usage.setdefault(job.project, {})
        sums += [job.usage, kinds.setdefault(used.accelerator, [0] * len(METERS))]
    for row in sums:
        row[:] = [a + b for a, b in zip(row, amounts, strict=True)]


def _prepared(state: State, job: Job, report: protocol.Prepared, made: list[Command]) -> None:
    attempt = _present(job)
    member = attempt.members[report.rank]
    if member.phase != "ordered":
        return
    member.phase, member.address, member.port = "prepared", report.address, report.port
    if job.status == "preparing" and all(m.phase == "prepared" for m in attempt.members):
        job.status, attempt.running_s = "running", state.time_s
        _tell(state, attempt, made)


def _started(_state: State, job: Job, report: protocol.Started, _made: list[Command]) -> None:
    member = _present(job).members[report.rank]
    if member.phase == "prepared":
        member.phase = "started"


def _adapted(_state: State, job: Job, report: protocol.Adapted, made: list[Command]) -> None:
    member = _present(job).members[report.rank]
    member.adapters, member.refused = dict(report.adapters), dict(report.refused)
    made.append(Place())


def _checkpointed(state: State, job: Job, report: protocol.Checkpointed, _made: list[Command]) -> None:
    old = job.checkpoints.get(report.rank)
    if old is not None and old[0] == report.digest:
        return
    if job.status in OVER:
        return
    if old is not None:
        _kept(state, job, report.rank)
    job.checkpoints[report.rank] = (report.digest, report.size_bytes, state.time_s)


def _kept(state: State, job: Job, rank: int) -> None:
    """A checkpoint is needed no longer: what the ground's store held of it is metered where it lay."""
    _, size_bytes, since_s = job.checkpoints.pop(rank)
    at, held = METERS.index("checkpoint_byte_s"), round(size_bytes * (state.time_s - since_s))
    job.usage[at] += held
    state.usage.setdefault(job.project, {}).setdefault("ground", [0] * len(METERS))[at] += held


def _ended(state: State, job: Job, report: protocol.Ended, made: list[Command]) -> None:
    attempt = _present(job)
    member = attempt.members[report.rank]
    if member.phase == "ended":
        return
    member.phase, member.how, member.code, member.why = "ended", report.how, report.code, report.why
    if job.status in OVER or job.status == "queued":
        return
    where, well = attempt.hosts[report.rank], report.how == "exit" and report.code == 0
    if report.how in ("lost", "shed", "stopped"):
        if job.status != "stopping":
            _stop(state, job, "again", f"{where}: {report.why or report.how}", made)
            return
    elif not well and attempt.outcome in ("", "again"):
        peer = _shaken(state, attempt, report) if report.how == "exit" else ""
        if not peer:
            _stop(state, job, "failed", _failure(attempt, report), made)
            return
        if job.status != "stopping":
            _stop(state, job, "again", f"{where}: ended with {peer}", made)
            return
    _settle(state, job, made)


def _shaken(state: State, attempt: Attempt, report: protocol.Ended) -> str:
    """What makes an end that looks like the program's failure follow from its peers': the fabric's own wish, or a host of a peer that
    is out of contact or service, or cannot bear its load; empty for none."""
    if attempt.outcome == "again":
        return attempt.reason
    for rank, name in enumerate(attempt.hosts):
        host = state.hosts[name]
        if rank == report.rank:
            continue
        if not (host.up and host.contact) or _absent(state, name):
            return f"{name}, which is out of reach"
        if used_gpus(state, name) > host.gpus:
            return f"{name}, which has {host.gpus} GPUs left"
    return ""


def _failure(attempt: Attempt, report: protocol.Ended) -> str:
    where = attempt.hosts[report.rank]
    if report.how != "exit":
        return f"{report.how} on {where}: {report.why}" if report.why else f"{report.how} on {where}"
    code = report.code or 0
    return f"exit code {code} on {where}" if code >= 0 else f"killed by signal {-code} on {where}"


def _settle(state: State, job: Job, made: list[Command]) -> None:
    """What becomes of a job once all its members have ended."""
    attempt = _present(job)
    if any(m.phase != "ended" for m in attempt.members):
        return
    for host in attempt.hosts:
        state.at.get(host, {}).pop(job.id, None)
    made.append(Place())
    if all(m.how == "exit" and m.code == 0 for m in attempt.members):
        _end(state, job, "succeeded", "")
    elif attempt.outcome == "again":
        job.preemptions += 1
        _again(state, job, 0.0, attempt.reason)
    elif attempt.outcome == "failed":
        job.failures += 1
        if job.failures > state.tasks[job.batch].orbit.retries:
            _end(state, job, "failed", attempt.reason)
        else:
            _again(state, job, min(BACKOFF_S * 2.0 ** (job.failures - 1), LONGEST_BACKOFF_S), attempt.reason)
    else:
        _end(state, job, "failed" if attempt.outcome == "expired" else "cancelled", attempt.reason)
    _tell(state, attempt, made)


def _again(state: State, job: Job, wait_s: float, reason: str) -> None:
    job.status, job.not_before_s, job.reason = "queued", state.time_s + wait_s, reason
    state.waiting[job.id] = None


def _end(state: State, job: Job, status: str, reason: str) -> None:
    """A job is over: its checkpoints are dropped; those that need it go on, or fall with it and so do theirs."""
    falling = [(job, status, reason)]
    while falling:
        job, status, reason = falling.pop()
        job.status, job.reason, job.ended_s = status, reason, state.time_s  # type: ignore[assignment]
        state.counts[status] = state.counts.get(status, 0) + 1
        state.waiting.pop(job.id, None)
        serving.ended(state, job)
        for rank in list(job.checkpoints):
            _kept(state, job, rank)
        for name in state.dependants.pop(job.id, ()):
            other = state.jobs[name]
            if other.status == "queued" and status == "succeeded":
                other.waits_for.remove(job.id)
            elif other.status == "queued":
                falling.append((other, "failed", f"needs {job.id}, which {PAST[status]}"))


def _conditions(state: State, event: happened.Conditions, made: list[Command], _actor: str) -> None:
    for c in event.crossed:
        host = state.hosts.get(c.host)
        if host is not None:
            host.gpus, host.limit, host.contact, host.lit, host.up = (
                min(c.gpus, host.facts.gpus),
                c.limit,
                c.contact,
                c.lit,
                c.up,
            )
    for r in event.reaches:
        state.within.setdefault(near(r.place, r.limit_s), {})[r.host] = r.within
    made.append(Place())


def _cordoned(state: State, event: happened.Cordoned, made: list[Command], _actor: str) -> None:
    host = state.hosts.get(event.host)
    if host is not None:
        host.cordoned, host.drained = event.closed, event.closed and event.drain
        made.append(Place())


def _ticked(state: State, _event: happened.Ticked, made: list[Command], _actor: str) -> None:
    for name in overdue(state, state.time_s):
        job = state.jobs[name]
        if job.status == "queued":
            _end(state, job, "failed", "its deadline passed")
        elif job.status in ("preparing", "running"):  # it may have fallen with another just now
            _stop(state, job, "expired", "its deadline passed", made)
    made.append(Place())


def overdue(state: State, time_s: float) -> list[str]:
    """Jobs whose deadline has passed while they wait or run."""
    live = [*state.waiting, *(name for jobs in state.at.values() for name in jobs)]
    late = (state.jobs[n] for n in live)
    return list(
        dict.fromkeys(
            j.id for j in late if j.deadline_s is not None and j.deadline_s <= time_s and j.status != "stopping"
        )
    )


def due_s(state: State, since_s: float) -> float | None:
    """Fabric time at which something is due next by the clock alone: a deadline, or the end of a wait that was not over at
    the last pass, `since_s`; None for nothing."""
    live = [*state.waiting, *(name for jobs in state.at.values() for name in jobs)]
    times = [j.deadline_s for n in live if (j := state.jobs[n]).deadline_s is not None and j.status != "stopping"]
    times += [j.not_before_s for n in state.waiting if (j := state.jobs[n]).not_before_s > since_s]
    times += [t for t in serving.due_s(state) if t > since_s]
    return min((t for t in times if t is not None), default=None)


def _project_made(state: State, event: happened.ProjectMade, _made: list[Command], _actor: str) -> None:
    state.projects.setdefault(event.project, state.time_s)


def _key_made(state: State, event: happened.KeyMade, _made: list[Command], _actor: str) -> None:
    if event.key not in state.keys:
        state.keys[event.key] = Key(
            event.project, event.digest, event.scopes, event.expires_s, event.note, state.time_s, None,
            event.requests_per_minute, event.tokens_per_minute,
        )  # fmt: skip


def _key_revoked(state: State, event: happened.KeyRevoked, _made: list[Command], _actor: str) -> None:
    key = state.keys.get(event.key)
    if key is not None and key.revoked_s is None:
        key.revoked_s = state.time_s


def _forgotten(state: State, event: happened.Forgotten, _made: list[Command], _actor: str) -> None:
    for name in event.jobs:
        job = state.jobs.get(name)
        if job is not None and job.status in OVER:
            del state.jobs[name]
            state.size[job.batch] -= 1
            if state.size[job.batch] == 0:
                del state.size[job.batch], state.tasks[job.batch]


def _injected(state: State, event: happened.Injected, made: list[Command], _actor: str) -> None:
    state.faults = [f for f in state.faults if f[1].until_s is None or f[1].until_s > state.time_s]
    if event.fault not in ("runtime", "clock"):  # those are over at once
        state.faults.append((state.time_s, event))
    made.append(Inject(event, state.time_s))


def _served(state: State, event: Any, made: list[Command], _actor: str) -> None:
    for host in serving.HANDLERS[event.kind](state, event):
        made.append(Tell(host))
        state.runtimes[host].version += 1
    made.append(Place())


def _noted(_state: State, _event: Any, _made: list[Command], _actor: str) -> None:
    """In the log for those who look; nothing follows from it here."""


def _present(job: Job) -> Attempt:
    assert job.attempt is not None  # a job that is preparing, running or stopping has one
    return job.attempt


def _tell(state: State, attempt: Attempt, made: list[Command]) -> None:
    for host in dict.fromkeys(attempt.hosts):
        runtime = state.runtimes.get(host)
        if runtime is not None:
            runtime.version += 1
            made.append(Tell(host))


def orders(state: State, host: str) -> tuple[protocol.Order, ...]:
    """All that the runtime of a host shall do now."""
    made = []
    for name in state.at.get(host, ()):
        job = state.jobs[name]
        attempt = _present(job)
        for rank, (where, member) in enumerate(zip(attempt.hosts, attempt.members, strict=True)):
            if where == host and member.phase != "ended":
                made.append(_order(state, job, attempt, rank))
    return tuple(made)


def _order(state: State, job: Job, attempt: Attempt, rank: int) -> protocol.Order:
    task = state.tasks[job.batch]
    phase = {"preparing": "prepare", "running": "run", "stopping": "stop"}[job.status]
    peers = [protocol.Peer(rank=r, runtime=h, address=m.address, port=m.port)
             for r, (h, m) in enumerate(zip(attempt.hosts, attempt.members, strict=True))] if phase == "run" else []  # fmt: skip
    extra = {"AETHER_ARRAY_INDEX": str(job.index)} if task.orbit.array > 1 else {}
    return protocol.Order(
        attempt=f"{job.id}/{attempt.number}", rank=rank, nodes=len(attempt.hosts), phase=phase, grace_s=task.orbit.grace,
        reason=attempt.reason, gpus=attempt.gpus, priority=task.orbit.priority, spot=task.resources.ways[attempt.way].use_spot,
        setup=task.setup, run=task.run, envs=task.envs | extra, mounts=task.file_mounts, workdir=task.workdir,
        checkpoint=task.orbit.checkpoint, checkpoint_every_s=task.orbit.checkpoint_every,
        restore=tuple(kept[0] for _, kept in sorted(job.checkpoints.items())), peers=tuple(peers),
        serves=bool(job.deployment), adapters=serving.adapters(state, job.deployment),
    )  # fmt: skip


Handler = Callable[[State, Any, list[Command], str], None]
_HANDLERS: dict[str, Handler] = {
    "opened": _opened, "submitted": _submitted, "cancel_asked": _cancel_asked, "placed": _placed, "displaced": _displaced, "runtime_joined": _runtime_joined,
    "runtime_lost": _runtime_lost, "runtime_back": _runtime_back, "reported": _reported, "conditions": _conditions,
    "given_up": _given_up, "cordoned": _cordoned, "ticked": _ticked, "injected": _injected, "clock_jumped": _noted, "project_made": _project_made,
    "key_made": _key_made, "key_revoked": _key_revoked, "forgotten": _forgotten,
    **dict.fromkeys(serving.HANDLERS, _served),
}  # fmt: skip
_REPORTS: dict[str, Callable[[State, Job, Any, list[Command]], None]] = {
    "prepared": _prepared, "started": _started, "checkpointed": _checkpointed, "ended": _ended, "adapted": _adapted,
}  # fmt: skip
