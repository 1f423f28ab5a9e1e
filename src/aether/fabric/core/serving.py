"""Models in the core: deployments and their servers, files, tunings and adapters, feedback, tokens. No I/O, as in `control`.

A server is a job that `plan` submits and ends; a tuning is a job too. Its checkpoint is the adapter, which runtimes load into
the servers beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

from aether.fabric.core import events as happened
from aether.fabric.core.events import CancelAsked, Event, Submitted
from aether.fabric.core.state import OVER, TOKENS, Feedback, File, Job, Member, Served, State, Tuned
from aether.fabric.task import Task

BACKOFF_S, LONGEST_BACKOFF_S = 2.0, 300.0  # before a server that ended by itself is started again: doubles each time
STEADY_S = 600.0  # a deployment that stood so long has forgotten its servers' ends
STUCK_S = 60.0  # servers of a new version that found no room for so long get that of the old one
MOST_ADAPTERS = 64  # of one deployment: each costs memory in every server

Hosts = Iterable[str]  # whose orders have changed


def submitted(state: State, job: Job) -> None:
    """A job came to be: a server of a deployment, or the work of a tuning."""
    if job.deployment:
        state.servers.setdefault(job.deployment, {})[job.id] = None
    if job.tuning in state.tunings:
        state.tunings[job.tuning].job = job.id


def ended(state: State, job: Job) -> None:
    """A job is over, its checkpoints still held."""
    served = state.served.get(job.deployment)
    if job.deployment:
        state.servers.get(job.deployment, {}).pop(job.id, None)
    if served is not None and job.status != "cancelled":
        served.why = job.reason
        served.ends = 1 if state.time_s - served.not_before_s > STEADY_S else served.ends + 1
        served.not_before_s = state.time_s + min(BACKOFF_S * 2.0 ** (served.ends - 1), LONGEST_BACKOFF_S)
    tuned = state.tunings.get(job.tuning)
    if tuned is None or tuned.status in OVER:
        return
    if job.status == "succeeded" and 0 in job.checkpoints:
        tuned.status, tuned.digest, tuned.trained_s = "pushing", job.checkpoints[0][0], state.time_s
    else:
        why = job.reason or "its program left no adapter in AETHER_OUT"
        _over(state, tuned, "cancelled" if job.status == "cancelled" else "failed", why)


def _over(state: State, tuned: Tuned, status: str, reason: str = "") -> None:
    tuned.status, tuned.reason, tuned.ended_s = status, reason, state.time_s  # type: ignore[assignment]


def adapters(state: State, deployment: str) -> dict[str, str]:
    """What the servers of a deployment shall have loaded: name to blob."""
    if not deployment:
        return {}
    return {name: t.digest for name, t in state.tunings.items()
            if t.asked.deployment == deployment and t.status in ("pushing", "succeeded") and not t.removed}  # fmt: skip


def server(state: State, name: str) -> Member | None:
    """The one member of a server, while its program runs."""
    job = state.jobs[name]
    if job.status != "running" or job.attempt is None:
        return None
    member = job.attempt.members[0]
    return member if member.phase == "started" else None


def _deployed(state: State, event: happened.Deployed) -> Hosts:
    made, known = event.deployment, state.served.get(event.id)
    replicas = made.service.least
    if known is None or known.gone:
        owner = event.project or "default"
        version = 1 if known is None else known.version + 1
        state.served[event.id] = Served(
            event.project, made, version, replicas, state.time_s, owner, scaled_s=state.time_s
        )
    else:
        alike = known.deployment.task == made.task
        known.version += 0 if alike else 1  # another price or policy needs no other servers
        known.deployment, known.project = made, event.project
        known.replicas = min(max(known.replicas, made.service.least), made.service.most)
        known.ends, known.not_before_s, known.why = 0, 0.0, ""
    return ()


def _undeployed(state: State, event: happened.Undeployed) -> Hosts:
    known = state.served.get(event.deployment)
    if known is not None:
        known.gone = True
        for tuned in state.tunings.values():
            if tuned.asked.deployment == event.deployment:
                tuned.removed = True
    return ()


def _scaled(state: State, event: happened.Scaled) -> Hosts:
    known = state.served.get(event.deployment)
    if known is not None:
        known.replicas, known.scaled_s = event.replicas, state.time_s
    return ()


def _tallied(state: State, event: happened.Tallied) -> Hosts:
    for tally in event.tallies:
        if tally.n <= state.tallied.get(event.journal, 0):
            continue
        state.tallied[event.journal] = tally.n
        served = state.served.get(tally.deployment)
        price = served.deployment.service.price if served else None
        micro_usd = round(price.input * tally.input_tokens + price.output * tally.output_tokens) if price else 0
        amounts = [*(getattr(tally, k) for k in TOKENS[:-1]), micro_usd]
        models = state.tokens.setdefault(tally.project, {}).setdefault(tally.model, {})
        row = models.setdefault(tally.host, [0] * len(TOKENS))
        row[:] = [a + b for a, b in zip(row, amounts, strict=True)]
    return ()


def _file_made(state: State, event: happened.FileMade) -> Hosts:
    made = File(event.project, event.name, event.purpose, event.digest, event.size_bytes, state.time_s)
    state.files.setdefault(event.file, made)
    return ()


def _file_removed(state: State, event: happened.FileRemoved) -> Hosts:
    state.files.pop(event.file, None)
    return ()


def _tuning_asked(state: State, event: happened.TuningAsked) -> Hosts:
    state.tunings.setdefault(event.tuning, Tuned(event, state.time_s))
    return ()


def _tuning_cancelled(state: State, event: happened.TuningCancelled) -> Hosts:
    tuned = state.tunings.get(event.tuning)
    if tuned is None or tuned.status in OVER:
        return ()
    pushed = tuned.status == "pushing"
    _over(state, tuned, "cancelled")
    return _its_hosts(state, tuned.asked.deployment) if pushed else ()


def _adapter_made(state: State, event: happened.AdapterMade) -> Hosts:
    tuned = state.tunings.get(event.tuning)
    if tuned is None:
        return ()
    tuned.told = True
    return _its_hosts(state, tuned.asked.deployment)


def _adapter_served(state: State, event: happened.AdapterServed) -> Hosts:
    tuned = state.tunings.get(event.tuning)
    if tuned is None or tuned.status != "pushing":
        return ()
    if event.refused:
        _over(state, tuned, "failed", event.refused)
        return _its_hosts(state, tuned.asked.deployment)
    _over(state, tuned, "succeeded")
    for name in tuned.asked.feedback:
        if name in state.feedback:
            tuned.freshness_s.append(state.time_s - state.feedback.pop(name).given_s)
    for other in state.tunings.values():
        if other is not tuned and other.asked.name == tuned.asked.name and other.status == "succeeded":
            other.removed = True
    return _its_hosts(state, tuned.asked.deployment)


def _adapter_removed(state: State, event: happened.AdapterRemoved) -> Hosts:
    hosts: set[str] = set()
    for tuned in state.tunings.values():
        if tuned.asked.name == event.model and not tuned.removed:
            tuned.removed = True
            hosts |= set(_its_hosts(state, tuned.asked.deployment))
    return sorted(hosts)


def _feedback_given(state: State, event: happened.FeedbackGiven) -> Hosts:
    made = Feedback(event.project, event.deployment, event.line, state.time_s)
    state.feedback.setdefault(event.feedback, made)
    return ()


def _its_hosts(state: State, deployment: str) -> list[str]:
    """Runtimes that have a server of a deployment."""
    attempts = (state.jobs[n].attempt for n in state.servers.get(deployment, ()))
    return sorted({h for a in attempts if a is not None for h in a.hosts if h in state.runtimes})


HANDLERS: dict[str, Callable[[State, Any], Hosts]] = {
    "deployed": _deployed, "undeployed": _undeployed, "scaled": _scaled, "tallied": _tallied, "file_made": _file_made,
    "file_removed": _file_removed, "tuning_asked": _tuning_asked, "tuning_cancelled": _tuning_cancelled, "adapter_made": _adapter_made,
    "adapter_served": _adapter_served, "adapter_removed": _adapter_removed, "feedback_given": _feedback_given,
}  # fmt: skip


def due_s(state: State) -> list[float]:
    """When servers that ended may be started again."""
    return [
        s.not_before_s for n, s in state.served.items() if not s.gone and len(state.servers.get(n, ())) < s.replicas
    ]


def plan(state: State, ready: Collection[str], draw: Callable[[str], str]) -> list[Event]:
    """The decisions on servers and adapters that the state asks for; none where nothing changes.

    ready: servers that answer, as the gateway finds. draw: makes a new name with a prefix.
    """
    made: list[Event] = []
    for name, served in state.served.items():
        made += _servers(state, name, served, ready, draw)
    for name, tuned in state.tunings.items():
        if tuned.status == "pushing" and not tuned.removed:
            made += _pushed(state, name, tuned)
    return made


def _servers(
    state: State, name: str, served: Served, ready: Collection[str], draw: Callable[[str], str]
) -> list[Event]:
    """Servers to be started and ended, so that there are as many as wanted of the present version."""
    live = [state.jobs[j] for j in state.servers.get(name, ())]
    live = [j for j in live if not (j.status == "stopping" and j.attempt is not None and j.attempt.outcome != "again")]
    task = served.deployment.task
    wanted = 0 if served.gone or task is None else served.replicas
    present = [j for j in live if j.version == served.version and wanted]
    old = [j for j in live if j not in present]
    made: list[Event] = []
    if task is not None and len(present) < wanted and state.time_s >= served.not_before_s:
        made += [_start(name, served, task, draw) for _ in range(wanted - len(present))]
    surplus = sorted(present, key=lambda j: (j.status != "queued", -j.order))[: max(len(present) - wanted, 0)]
    if old:
        waits = [j for j in present if j.status == "queued" and state.time_s - j.submitted_s > STUCK_S]
        answering = sum(j.id in ready for j in present)
        gone = old if answering >= wanted else [j for j in old if j.status == "queued"]
        surplus += gone or (old[:1] if waits else [])
    if surplus:
        made.append(CancelAsked(jobs=tuple(j.id for j in surplus)))
    return made


def _start(name: str, served: Served, task: Task, draw: Callable[[str], str]) -> Submitted:
    return Submitted(job=draw("s-"), project=served.owner, task=task, deployment=name, version=served.version)


def _pushed(state: State, name: str, tuned: Tuned) -> list[Event]:
    """An adapter that has come to be, or has come to all servers."""
    if not tuned.told:
        return [happened.AdapterMade(tuning=name)]
    running = [m for n in state.servers.get(tuned.asked.deployment, ()) if (m := server(state, n)) is not None]
    refused = next((m.refused[name] for m in running if name in m.refused), "")
    if refused:
        return [happened.AdapterServed(tuning=name, refused=refused)]
    if running and all(m.adapters.get(name) == tuned.digest for m in running):
        return [happened.AdapterServed(tuning=name)]
    return []
