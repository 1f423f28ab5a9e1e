"""The present state as the API shows it."""

from __future__ import annotations

from typing import Any

from aether.fabric.core import schedule
from aether.fabric.core.state import METERS, OVER, Attempt, Host, Job, Key, State, used_gpus
from aether.fabric.views import Amounts, AttemptView, JobView, KeyView, MemberView, ShipView


def amounts(row: list[int]) -> Amounts:
    """Sums of the meter as they are shown."""
    return Amounts(**dict(zip(METERS, row, strict=True)))


def job(state: State, job: Job, told: dict[tuple[object, ...], str] | None = None) -> JobView:
    """A job as it is shown. told: shared by the jobs of one answer, as `schedule.why` has it."""
    task = state.tasks[job.batch]
    way = task.resources.ways[job.attempt.way if job.attempt else 0]
    return JobView(
        id=job.id, name=task.name, project=job.project, array=job.batch if task.orbit.array > 1 else None, index=job.index, status=job.status,
        reason=job.reason if job.status in OVER else _why(state, job, told if told is not None else {}),
        priority=task.orbit.priority, spot=way.use_spot, nodes=task.num_nodes,
        asked=" or ".join(_asked(w.accelerators, w.cpus, w.memory) for w in task.resources.ways), attempts=job.attempts, preemptions=job.preemptions,
        failures=job.failures, submitted_s=job.submitted_s, ended_s=job.ended_s, deadline_s=job.deadline_s,
        attempt=None if job.attempt is None else _attempt(job.attempt), checkpoint_bytes=sum(c[1] for c in job.checkpoints.values()),
        usage=amounts(job.usage),
    )  # fmt: skip


def _why(state: State, job: Job, told: dict[tuple[object, ...], str]) -> str:
    if job.status == "queued":
        return schedule.why(state, job, told)
    return job.attempt.reason if job.attempt else ""


def _asked(accelerators: dict[str, int] | None, cpus: float | None, memory: float | None) -> str:
    parts = [f"{n}:{c}" for n, c in (accelerators or {}).items()]
    parts += [f"{cpus:g} cores"] if cpus else []
    parts += [f"{memory:g} GB"] if memory else []
    return ", ".join(parts) or "any:1"


def _attempt(a: Attempt) -> AttemptView:
    members = tuple(MemberView(rank=r, host=h, phase=m.phase, code=m.code, why=m.why or m.how)
                    for r, (h, m) in enumerate(zip(a.hosts, a.members, strict=True)))  # fmt: skip
    return AttemptView(
        number=a.number,
        accelerator=a.accelerator,
        gpus=a.gpus,
        members=members,
        begun_s=a.begun_s,
        running_s=a.running_s,
        reason=a.reason,
    )


def ship(state: State, host: Host, now: dict[str, Any], project: str | None) -> ShipView:
    """A host as it is shown; project: whose jobs are named, None for all."""
    f = host.facts
    runtime = state.runtimes.get(f.name)
    mine = tuple(j for j in state.at.get(f.name, ()) if project is None or state.jobs[j].project == project)
    return ShipView(
        name=f.name, group=f.group, kind="ship" if f.ship else "site", country=f.country, accelerator=f.accelerator, gpus=f.gpus,
        gpus_now=host.gpus if host.up else 0, gpus_used=used_gpus(state, f.name), limit=host.limit, lit=host.lit, contact=host.contact, up=host.up,
        runtime="none" if runtime is None else "lost" if runtime.lost else "working", cordoned=host.cordoned, drained=host.drained, jobs=mine, now=now,
    )  # fmt: skip


def key(name: str, key: Key) -> KeyView:
    """A key as it is shown."""
    return KeyView(
        id=name,
        project=key.project,
        scopes=key.scopes,
        note=key.note,
        made_s=key.made_s,
        expires_s=key.expires_s,
        revoked_s=key.revoked_s,
        requests_per_minute=key.requests_per_minute,
        tokens_per_minute=key.tokens_per_minute,
    )
