"""Jobs: submit, list, look, cancel, follow their logs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response, StreamingResponse

from aether.base.errors import InputError, Problem, nearest, unknown
from aether.fabric import views
from aether.fabric.api import logs, show
from aether.fabric.api.frame import (
    Fabric,
    Given,
    IdempotencyKey,
    Reader,
    Route,
    Writer,
    room_to_watch,
    still,
    visible_job,
    watching,
    write,
)
from aether.fabric.core import events, schedule
from aether.fabric.core.plane import Decision, Happening, Refused
from aether.fabric.core.state import OVER, Job, State
from aether.fabric.task import BLOB, Task, unknown_accelerators
from aether.fabric.tenancy import Principal, ident
from aether.scenario.places import find_place

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=Route)
Name = Annotated[str, Path(min_length=1, max_length=200, description="a job or an array")]
MOST_WAITS = 200_000  # dependencies of a submission: each is a name in memory and in the log
ID_LIKENESS = 0.85  # of 14 drawn characters two may be mistyped; half of them agree by chance too often
MOST_QUEUED = 200_000  # jobs that wait in one fabric: 1.5 kB each, so that memory stays below 500 MB


@router.post("", status_code=201, response_model=views.Accepted)
async def submit(
    request: Request, given: Given, who: Writer, asked: views.Submission, idempotency_key: IdempotencyKey = None
) -> Response:
    """Submit a task. It is durable once it is answered."""
    return await write(given, request, who, idempotency_key, lambda s: accept(given, s, who, (asked.task,)), 201)


@router.post("/batch", status_code=201, response_model=views.Accepted)
async def submit_batch(
    request: Request, given: Given, who: Writer, asked: views.Submissions, idempotency_key: IdempotencyKey = None
) -> Response:
    """Submit many tasks: all are accepted, or none."""
    return await write(given, request, who, idempotency_key, lambda s: accept(given, s, who, asked.tasks), 201)


def accept(given: Fabric, state: State, who: Principal, tasks: tuple[Task, ...]) -> Decision:
    """The decision on some tasks; InputError with all that is wrong with any of them."""
    project = who.project or "default"
    if len(state.waiting) + sum(t.orbit.array for t in tasks) > MOST_QUEUED:
        raise Refused(
            429, "queue-full", f"too many jobs wait already: at most {MOST_QUEUED:,} may in one fabric", retry_after=60
        )
    made, found, names = [], [], []
    told: dict[tuple[object, ...], str] = {}
    for i, task in enumerate(tasks):
        at = "" if len(tasks) == 1 else f"tasks[{i}]."
        after: list[str] = []
        found += [
            Problem(at + p.path, p.what, p.nearest, p.next) for p in _problems(given, state, who, task, after, told)
        ]
        name = ident("j-")
        names.append(name)
        made.append(
            Happening(events.Submitted(job=name, project=project, task=task, after=tuple(after)), project, name)
        )
    if found:
        raise InputError(found)
    return Decision(tuple(made), views.Accepted(jobs=tuple(names)).model_dump_json())


def _problems(
    given: Fabric, state: State, who: Principal, task: Task, after: list[str], told: dict[tuple[object, ...], str]
) -> list[Problem]:
    """What only the fabric knows to be wrong with a task; `after` is given the jobs that it must wait for, `told` what hosts could never run."""
    made: list[Problem] = []
    for i, name in enumerate(task.orbit.after):
        try:
            after += visible_job(state, who, name)
            if len(after) * task.orbit.array > MOST_WAITS:
                made.append(
                    Problem(
                        "orbit.after",
                        f"{task.orbit.array:,} jobs would wait for {len(after):,}: at most {MOST_WAITS:,} in all",
                    )
                )
                break
        except Refused as error:
            mine = [j.id for j in state.jobs.values() if who.sees(j.project)] if len(state.jobs) < 10_000 else []
            made.append(Problem(f"orbit.after[{i}]", error.detail, nearest(name, mine, ID_LIKENESS)))
    made += task_problems(given, state, who, task, told, bool(made))
    return made


def task_problems(
    given: Fabric, state: State, who: Principal, task: Task, told: dict[tuple[object, ...], str] | None = None, alone: bool = False
) -> list[Problem]:  # fmt: skip
    """What only the fabric knows to be wrong with a task, but for the jobs it names. alone: hosts are not looked for."""
    made = unknown_accelerators(task, given.catalog) + _places(given, state, task)
    mounts = [*task.file_mounts.items(), *([("workdir", task.workdir)] if task.workdir else [])]
    for target, source in mounts:
        path = "workdir" if target == "workdir" else f"file_mounts.{target}"
        if not BLOB.match(source):
            made.append(
                Problem(
                    path,
                    f"'{source[:80]}' lies on your machine",
                    next="Upload it by PUT /v1/blobs/DIGEST and name the digest; the client does",
                )
            )
        elif not uploaded(given, who.project or "default", source):
            made.append(Problem(path, f"{source[:20]}... has not been uploaded to this project"))
    if not made and not alone and (words := _impossible(state, task, {} if told is None else told)):
        made.append(Problem("resources", words))
    return made


def _impossible(state: State, task: Task, told: dict[tuple[object, ...], str]) -> str:
    """`schedule.problem`, looked up once for all tasks that are alike."""
    rules = schedule.alike(task)
    if rules not in told:
        told[rules] = schedule.problem(state, task)
    return told[rules]


def _places(given: Fabric, state: State, task: Task) -> list[Problem]:
    hosts = state.hosts.values() if task.orbit.where else ()
    known = {"ships", "sites"} | {h.facts.name for h in hosts} | {h.facts.group for h in hosts}
    made = [
        unknown(f"orbit.where[{i}]", "ship, group or site", w, known)
        for i, w in enumerate(task.orbit.where)
        if w not in known
    ]
    place = None if task.orbit.place is None else find_place(given.catalog, task.orbit.place)
    if isinstance(place, Problem):
        made.append(Problem("orbit.place", place.what, place.nearest, place.next))
    return made


def uploaded(given: Fabric, project: str, digest: str) -> bool:
    """Whether a project has brought a blob."""
    return (given.folder / "projects" / project / digest[7:]).is_file() and given.blobs.size(digest) is not None


@router.get("", response_model=views.JobPage)
async def list_jobs(
    given: Given, who: Reader, status: Annotated[list[views.StatusName] | None, Query()] = None, array: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100, cursor: Annotated[int | None, Query(ge=0)] = None, servers: bool = False,
) -> views.JobPage:  # fmt: skip
    """Jobs, the newest first; those that serve models only where they are asked for."""
    with given.plane.lock:
        state = given.plane.state
        found: list[Job] = []
        last = None
        for job in reversed(state.jobs.values()):
            if (cursor is not None and job.order >= cursor) or not who.sees(job.project):
                continue
            if (status and job.status not in status) or (array is not None and job.batch != array):
                continue
            if job.deployment and not servers:
                continue
            if len(found) == limit:
                last = found[-1].order
                break
            found.append(job)
        told: dict[tuple[object, ...], str] = {}
        return views.JobPage(
            jobs=tuple(show.job(state, j, told) for j in found), cursor=None if last is None else str(last)
        )


@router.get("/{name}", response_model=views.JobView)
async def get_job(given: Given, who: Reader, name: Name) -> views.JobView:
    """A job."""
    with given.plane.lock:
        state = given.plane.state
        return show.job(state, state.jobs[visible_job(state, who, name)[0]])


@router.post("/cancel", response_model=views.Cancelled)
async def cancel(
    request: Request, given: Given, who: Writer, asked: views.Cancel, idempotency_key: IdempotencyKey = None
) -> Response:
    """End jobs: those that wait at once, those that run by SIGTERM, their grace, and SIGKILL."""

    def decide(state: State) -> Decision:
        names = tuple(
            j for name in asked.jobs for j in visible_job(state, who, name) if state.jobs[j].status not in OVER
        )
        by_project: dict[str, list[str]] = {}
        for n in names:
            by_project.setdefault(state.jobs[n].project, []).append(n)
        made = tuple(Happening(events.CancelAsked(jobs=tuple(v)), p, v[0]) for p, v in by_project.items())
        return Decision(made, views.Cancelled(jobs=names).model_dump_json())

    return await write(given, request, who, idempotency_key, decide)


@router.get("/{name}/logs", response_class=StreamingResponse, responses={200: {"content": {"text/event-stream": {}}}})
async def job_logs(
    request: Request, given: Given, who: Reader, name: Name, follow: bool = False, rank: Annotated[int, Query(ge=0, le=1000)] = 0,
    attempt: Annotated[int | None, Query(ge=1, le=2**31)] = None, cursor: Annotated[str | None, Query(pattern=logs.CURSOR.pattern)] = None,
) -> Response:  # fmt: skip
    """What a job has written, attempt after attempt, as server-sent events; an event's id is where to go on (ATTEMPT/OFFSET)."""
    with given.plane.lock:
        job = given.plane.state.jobs[visible_job(given.plane.state, who, name)[0]]
        name = job.id
    if follow:
        room_to_watch(given)
    said = (request.headers.get("last-event-id", ""), cursor or "")
    last = next((text for text in said if logs.CURSOR.fullmatch(text)), f"{attempt or 1}/0")
    start, _, offset = last.partition("/")
    lines = logs.follow(given, name, rank, int(start), int(offset), attempt, follow)
    return StreamingResponse(
        _alive(given, who, request, lines), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
    )


async def _alive(given: Fabric, who: Principal, request: Request, lines: AsyncIterator[str]) -> AsyncIterator[str]:
    """Until the reader has gone, may not read any more, or the fabric ends."""
    try:
        with watching(given):
            async for line in lines:
                if await request.is_disconnected() or not still(given, who):
                    break
                yield line
    except asyncio.CancelledError:
        return
