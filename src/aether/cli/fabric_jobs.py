"""Commands of jobs: launch, run at once, list, follow, cancel."""

from __future__ import annotations

import shlex
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aether.base.errors import InputError, Problem, nearest, unknown
from aether.cli.fabric import (
    LONG_S,
    PATIENCE_S,
    Env,
    Folder,
    Watch,
    connected,
    hosts,
    job_names,
    live,
    placed,
    plain,
    shown,
    told,
    variables,
)
from aether.cli.frame import FAULT, INTERRUPTED, Json, Signals, app

if TYPE_CHECKING:
    from aether.fabric.client import Client
    from aether.fabric.task import TaskFile
    from aether.fabric.views import JobView

OVER = ("succeeded", "failed", "cancelled")
LAST = 30  # jobs that are listed without --all
POLL_S = 0.5  # between two looks at what becomes of a job
JobName = Annotated[str, typer.Argument(metavar="JOB", help="as aether jobs shows it", autocompletion=job_names)]


@app.command()
def launch(
    file: Annotated[str, typer.Argument(help="a task in SkyPilot's YAML, or the name of a packaged one, as hello")],
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="of the job")] = None,
    env: Env = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="submit and leave")] = False,
    array: Annotated[
        int | None, typer.Option("--array", metavar="N", help="so many alike, told apart by AETHER_ARRAY_INDEX")
    ] = None,
    num_nodes: Annotated[int | None, typer.Option("--num-nodes", metavar="N", help="members of the gang")] = None,
    after: Annotated[
        list[str] | None,
        typer.Option("--after", metavar="JOB", help="must have succeeded before", autocompletion=job_names),
    ] = None,
    priority: Annotated[int | None, typer.Option("--priority", metavar="N", help="0 to 1000; 500 if not given")] = None,
    folder: Folder = None,
    json_: Json = False,
) -> None:
    """Submit a task and follow it to its end: exit with 1 when it failed. Ctrl-C ends the following alone."""
    live()
    given = {("name",): name, ("num_nodes",): num_nodes, ("orbit", "array"): array, ("orbit", "priority"): priority,
             ("orbit", "after"): list(after) if after else None}  # fmt: skip
    asked = _task(file, {k: v for k, v in given.items() if v is not None}, variables(env))
    with connected(folder) as client:
        names = _submitted(client, asked)
        if detach:
            told({"jobs": names}) if json_ else print("\n".join(names))
            return
        ended = _followed(client, names, asked.task.num_nodes, json_)
    if json_:
        told([plain(j) for j in ended])
    if any(j.status != "succeeded" for j in ended):
        raise typer.Exit(FAULT)


def _task(file: str, given: dict[tuple[str, ...], Any], envs: dict[str, str]) -> TaskFile:
    """The task of a file or a packaged name, with what options change in it."""
    from aether.fabric import task
    from aether.scenario import document

    text = document.read(_found(file))
    if isinstance(text.data, dict):
        for at, value in given.items():
            inner = text.data if len(at) == 1 else text.data.setdefault(at[0], {})
            if inner is None:
                inner = text.data[at[0]] = {}
            if isinstance(inner, dict):
                inner[at[-1]] = value
                text.told[at] = "--" + at[-1].replace("_", "-")
    return task.check(text, envs)


def _found(file: str) -> Path:
    from aether.fabric.task import packaged

    known = packaged()
    if Path(file).is_file() or file not in known:
        if not Path(file).is_file():
            text = f"there is no task file '{file}' and no packaged job of that name"
            raise InputError(Problem("", text, nearest(file, known), f"Packaged: {', '.join(known)}"))
        return Path(file)
    return known[file]


def _submitted(client: Client, asked: TaskFile) -> tuple[str, ...]:
    """Upload what it mounts and submit it; what the fabric has against it is told with file and line."""
    Signals.kept = "whether it was submitted is not known: aether jobs shows it"
    made = client.prepare(asked)
    try:
        return client.submit(made)
    except InputError as error:
        raise placed(error, asked.text) from error


def _followed(client: Client, names: Sequence[str], nodes: int, quiet: bool) -> list[JobView]:
    """Follow jobs to their end; what becomes of them goes to standard error, what they write to standard output."""
    client.patience_s = LONG_S
    job = names[0] if len(names) == 1 else names[0].rpartition(".")[0]
    Signals.kept = f"{job} goes on: aether logs -f {names[0]} follows it, aether cancel {job} ends it"
    if len(names) > 1:
        return _array(client, job, quiet)
    if not quiet:
        print(f"{job} is submitted" + (f"; what rank 0 of {nodes} writes:" if nodes > 1 else ""), file=sys.stderr)
        ended = threading.Event()
        threading.Thread(target=_tell_changes, args=(client, job, ended), daemon=True).start()
        for piece in client.logs(job, follow=True):
            print(piece.text, end="", flush=True)
        ended.set()
    made = _over(client, job)
    if not quiet:
        print(f"{job} {_words(made)}", file=sys.stderr)
    return [made]


def _over(client: Client, job: str) -> JobView:
    """A job once it is over."""
    made = client.job(job)
    while made.status not in OVER:
        time.sleep(POLL_S)
        made = client.job(job)
    return made


def _tell_changes(client: Client, job: str, ended: threading.Event) -> None:
    """Say on standard error what becomes of a job, until its logs have ended."""
    last = ""
    while not ended.wait(POLL_S):
        try:
            made = client.job(job)
        except Exception:  # the logs' own reading says what is wrong
            return
        words = _words(made)
        if words != last and made.status not in OVER and not ended.is_set():
            print(f"{job} {words}", file=sys.stderr)
        last = words


def _words(job: JobView) -> str:
    """What stands with a job."""
    at = ", ".join(dict.fromkeys(m.host for m in job.attempt.members)) if job.attempt else ""
    if job.status in ("preparing", "running"):
        return f"{job.status} on {at}" + (f" (attempt {job.attempts})" if job.attempts > 1 else "")
    word = "waits" if job.status == "queued" else job.status
    return word + (f": {job.reason}" if job.reason else f" on {at}" if job.status == "succeeded" else "")


def _array(client: Client, name: str, quiet: bool) -> list[JobView]:
    """An array to its end, its numbers told whenever they change."""
    last = ""
    while True:
        begun = time.monotonic()
        rows = list(client.jobs(array=name))
        counts: dict[str, int] = {}
        for row in rows:
            counts[row.status] = counts.get(row.status, 0) + 1
        words = ", ".join(f"{n:,} {s}" for s, n in sorted(counts.items()))
        if words != last and not quiet:
            print(f"{name}: {words}", file=sys.stderr)
        last = words
        if all(row.status in OVER for row in rows):
            return rows[::-1]
        time.sleep(max(POLL_S, 4.0 * (time.monotonic() - begun)))  # a large array is not looked at all the time


@app.command(name="exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def exec_(
    host: Annotated[str, typer.Argument(metavar="HOST", help="a ship or site, as ai1/0", autocompletion=hosts)],
    command: Annotated[
        list[str],
        typer.Argument(metavar="COMMAND...", help="a line for the shell in quotes, or a program and its arguments"),
    ],
    folder: Folder = None,
    json_: Json = False,
) -> None:
    """Run a command on one ship or site, with one GPU, and pass its output and its exit code on. Options go before HOST."""
    live()
    command = command[1:] if command[0] == "--" else command
    if not command:
        raise InputError(Problem("", "which command?", next="As in aether exec ai1/0 'nvidia-smi -L'"))
    line = command[0] if len(command) == 1 else shlex.join(command)
    with connected(folder) as client:
        from aether.fabric.client import valid
        from aether.fabric.task import Task

        task = valid(Task, run=line, orbit={"where": [host], "retries": 0})
        Signals.kept = "whether it was submitted is not known: aether jobs shows it"
        try:
            job = client.submit(task)[0]
        except InputError as error:
            raise InputError([Problem("", p.what, p.nearest, p.next) for p in error.problems]) from error
        client.patience_s = LONG_S
        Signals.kept = f"{job} goes on: aether logs -f {job} follows it, aether cancel {job} ends it"
        written = []
        for piece in client.logs(job, follow=True):
            written.append(piece.text)
            if not json_:
                print(piece.text, end="", flush=True)
        made = _over(client, job)
    code = _code(made)
    if json_:
        told({"job": job, "code": code, "status": made.status, "reason": made.reason, "output": "".join(written)})
    elif made.status != "succeeded" and not made.reason.startswith("exit code"):
        print(f"{job} {_words(made)}", file=sys.stderr)
    raise typer.Exit(code)


def _code(job: JobView) -> int:
    """The command's own exit code, as a shell tells it; 130 where it was cancelled, 1 where it has none."""
    if job.status == "cancelled":
        return INTERRUPTED
    code = job.attempt.members[0].code if job.attempt else None
    if code is None:
        return 0 if job.status == "succeeded" else FAULT
    return 128 - code if code < 0 else code


@app.command()
def jobs(
    job: Annotated[
        str | None, typer.Argument(metavar="[JOB]", help="one in detail, or an array", autocompletion=job_names)
    ] = None,
    status: Annotated[
        list[str] | None, typer.Option("--status", metavar="S", help="only those, as running; again for more")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="not the last 30 alone")] = False,
    watch: Watch = False,
    folder: Folder = None,
    json_: Json = False,
) -> None:
    """Jobs, the newest first; or one in detail."""
    from aether.results import fabric_terminal

    with connected(folder) as client:
        from aether.fabric.views import STATUSES

        if wrong := [unknown("--status", "status", s, STATUSES) for s in status or () if s not in STATUSES]:
            raise InputError(wrong)

        def look() -> dict[str, Any]:
            now_s = client.fabric().time_s
            if job is not None and (one := client.job(job)).id == job:
                return {"time_s": now_s, "job": plain(one)}
            if all_ or job is not None:
                return {"time_s": now_s, "jobs": [plain(j) for j in client.jobs(status or (), job)], "more": False}
            rows = [plain(j) for j in client.jobs(status or (), None, LAST + 1)]
            return {"time_s": now_s, "jobs": rows[:LAST], "more": len(rows) > LAST}

        def paint(data: dict[str, Any]) -> list[Any]:
            if "job" in data:
                return fabric_terminal.job(data["job"], data["time_s"])
            return fabric_terminal.jobs(data["jobs"], data["time_s"], data["more"])

        shown(client, look, paint, watch, json_)


@app.command()
def queue(watch: Watch = False, folder: Folder = None, json_: Json = False) -> None:
    """What waits, in the order in which it will be tried, and why."""
    from aether.results import fabric_terminal

    with connected(folder) as client:

        def look() -> dict[str, Any]:
            rows = [plain(j) for j in client.jobs(["queued"])][::-1]
            return {"time_s": client.fabric().time_s, "jobs": sorted(rows, key=lambda r: -int(r["priority"]))}

        shown(client, look, lambda data: fabric_terminal.queue(data["jobs"], data["time_s"]), watch, json_)


@app.command()
def logs(
    job: JobName,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="until it is over")] = False,
    rank: Annotated[int, typer.Option("--rank", min=0, metavar="N", help="member of the gang")] = 0,
    attempt: Annotated[
        int | None,
        typer.Option("--attempt", min=1, metavar="N", help="one alone; all, one after another, if not given"),
    ] = None,
    folder: Folder = None,
    json_: Json = False,
) -> None:
    """What a job has written."""
    with connected(folder) as client:
        one = client.job(job)
        if rank >= one.nodes:
            raise InputError(Problem("--rank", f"{one.id} has {one.nodes} members, the ranks 0 to {one.nodes - 1}"))
        client.patience_s = LONG_S if follow else PATIENCE_S
        Signals.kept = f"{job} goes on" if one.status not in OVER else "that was not all"
        wrote = False
        for piece in client.logs(job, follow, rank, attempt):
            wrote = True
            if json_:
                told({"attempt": piece.attempt, "text": piece.text, "cursor": piece.cursor}, line=True)
            else:
                print(piece.text, end="", flush=True)
        if not wrote and not json_:
            print(f"{one.id} has written nothing: {_words(client.job(job))}", file=sys.stderr)


@app.command()
def cancel(
    jobs_: Annotated[
        list[str] | None, typer.Argument(metavar="JOB...", help="jobs and arrays", autocompletion=job_names)
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="every job that is not over")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask")] = False,
    folder: Folder = None,
    json_: Json = False,
) -> None:
    """End jobs: those that wait at once, those that run by SIGTERM, their grace, and SIGKILL."""
    if bool(jobs_) == all_:
        raise InputError(Problem("", "which jobs?", next="Name them, or give --all"))
    with connected(folder) as client:
        names = list(jobs_ or ())
        if all_:
            names = [j.id for j in client.jobs(["queued", "preparing", "running", "stopping"])]
            if names and not yes and not _sure(len(names)):
                print("Nothing was cancelled.", file=sys.stderr)
                return
        made = [j for i in range(0, len(names), 1000) for j in client.cancel(names[i : i + 1000])]
    if json_:
        told({"cancelled": made})
    else:
        few = ", ".join(made[:10]) + (f" and {len(made) - 10:,} more" if len(made) > 10 else "")
        print(f"Cancelled: {few}" if made else "They were over already.")


def _sure(count: int) -> bool:
    if not sys.stdin.isatty():
        raise InputError(Problem("--all", f"would end {count:,} jobs", next="Give --yes where nobody can be asked"))
    Signals.kept = "nothing was cancelled"
    return typer.confirm(f"End {count:,} jobs?", err=True)
