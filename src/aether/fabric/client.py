"""The fabric from Python: a typed client of its API that lives through restarts, retries and cut lines."""

from __future__ import annotations

import json
import random
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from aether.base.errors import InputError, Problem
from aether.fabric import views
from aether.fabric.blobs import pack
from aether.fabric.service import Deployment
from aether.fabric.task import BLOB, Task, TaskFile

ANSWER_S, CONNECT_S = 30.0, 5.0  # the fabric answers within 15 s, even without its database
QUIET = httpx.Timeout(ANSWER_S, connect=CONNECT_S, read=45.0)  # of a stream: it is pinged every 15 s
LONG = httpx.Timeout(600.0, connect=CONNECT_S)  # a walk along a log of many millions, a blob on its way to a slow disk
PATIENCE_S = 30.0  # that one call is tried again for, unless told otherwise
BACKOFF_S, LONGEST_S = 0.1, 5.0  # between two tries, doubling, with jitter
AGAIN = (429, 502, 503, 504)  # answers that may be another a little later
BATCH, BATCH_BYTES = 1000, 16_000_000  # tasks in a request: the API's limits are a thousand and 32 MB
V = TypeVar("V", bound=BaseModel)


class ApiError(Exception):
    """A request that the fabric refused. kind: the problem's name, as no-such-job; problems: what is wrong with an input."""

    def __init__(self, status: int, kind: str, detail: str, problems: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(detail or kind)
        self.status, self.kind, self.detail, self.problems = status, kind, detail, list(problems)


class Away(ApiError):  # noqa: N818 - says what is so
    """No fabric answers at the address."""


@dataclass(frozen=True)
class LogText:
    """A piece of what a job has written; cursor: where to go on after it."""

    attempt: int
    text: str
    cursor: str


class Client:
    """A fabric at a URL, by a key.

    Calls are tried again for `patience_s` while the line fails or the fabric is busy; every write carries a key of its own, so that
    it is done once however often it is sent. InputError for a wrong input, ApiError for all else that is refused.
    """

    def __init__(self, url: str, key: str, patience_s: float = PATIENCE_S, answer_s: float = ANSWER_S) -> None:
        self.url, self.patience_s = url.rstrip("/"), patience_s
        if not self.url.startswith(("http://", "https://")) or not key.isascii():
            raise InputError(
                Problem("", f"no fabric can be asked at '{url}' by that key", next="As http://127.0.0.1:8642")
            )
        try:
            self._http = httpx.Client(
                base_url=self.url, headers={"Authorization": f"Bearer {key}"}, trust_env=False,
                timeout=httpx.Timeout(answer_s, connect=min(answer_s, CONNECT_S)),
            )  # fmt: skip
        except (httpx.InvalidURL, ValueError) as error:
            raise InputError(Problem("", f"no fabric can be asked at '{url}': {error}")) from error

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the connections go."""
        self._http.close()

    # jobs

    def submit(self, task: Task, key: str | None = None) -> tuple[str, ...]:
        """Submit a task; its job's name, or the names of an array's members. key: of a submission that may come again."""
        return self._accepted(self._write("POST", "/v1/jobs", views.Submission(task=task), views.Accepted, key), [task])

    def submit_many(self, tasks: Sequence[Task], key: str | None = None) -> tuple[str, ...]:
        """Submit many tasks, in requests of which each is accepted as a whole; names of jobs in order.

        key: of a submission that may come again; each request has a key of its own from it.
        """
        base = key or uuid.uuid4().hex
        made: list[str] = []
        for i, part in enumerate(_parts(tasks)):
            asked = views.Submissions(tasks=tuple(part))
            told = self._write("POST", "/v1/jobs/batch", asked, views.Accepted, f"{base}.{i}")
            made += self._accepted(told, part)
        return tuple(made)

    @staticmethod
    def _accepted(told: views.Accepted, tasks: Sequence[Task]) -> tuple[str, ...]:
        return tuple(
            name if task.orbit.array == 1 else f"{name}.{i}"
            for name, task in zip(told.jobs, tasks, strict=True)
            for i in range(task.orbit.array)
        )

    def jobs(
        self, status: Iterable[str] = (), array: str | None = None, most: int | None = None
    ) -> Iterator[views.JobView]:
        """Jobs, the newest first, page after page; most: so many at most."""
        cursor, left = None, most
        while left is None or left > 0:
            limit = 500 if left is None else min(left, 500)
            asked = {"status": list(status), "array": array, "limit": limit, "cursor": cursor}
            page = self._get("/v1/jobs", views.JobPage, asked)
            yield from page.jobs
            cursor = page.cursor
            left = None if left is None else left - len(page.jobs)
            if cursor is None:
                return

    def job(self, name: str) -> views.JobView:
        """A job."""
        return self._get(f"/v1/jobs/{_quoted(name)}", views.JobView)

    def cancel(self, names: Sequence[str]) -> tuple[str, ...]:
        """End jobs, or all of an array; those that were not over yet."""
        return self._write("POST", "/v1/jobs/cancel", views.Cancel(jobs=tuple(names)), views.Cancelled).jobs

    def logs(
        self, name: str, follow: bool = False, rank: int = 0, attempt: int | None = None, cursor: str | None = None
    ) -> Iterator[LogText]:
        """What a job has written, from a cursor on; with `follow` until it is over, through cut lines and restarts."""
        asked = {"rank": rank, "attempt": attempt, "follow": follow}
        while True:
            for event, number, data in self._stream(f"/v1/jobs/{_quoted(name)}/logs", asked, cursor, "cursor"):
                cursor = number
                if event == "log":
                    yield LogText(data["attempt"], data["text"], number)
                elif not follow or data["status"] not in ("queued", "preparing", "running", "stopping"):
                    return
            time.sleep(0.3)  # the fabric is on its way down; the next try waits until it is up again

    # the log of everything

    def events(self, after: int | None = None, subject: str | None = None) -> Iterator[views.EventView]:
        """Entries of the log as they come, without an end; after: the number of the last one known, None for now."""
        cursor = None if after is None else str(after)
        while True:
            for _, number, data in self._stream("/v1/events", {"subject": subject}, cursor, "after"):
                cursor = number
                yield views.EventView.model_validate(data)
            time.sleep(0.3)

    def audit(self, after: int = 0, subject: str | None = None, kind: str | None = None, most: int | None = None) -> Iterator[views.EventView]:  # fmt: skip
        """Entries of the log that are there, in order, page after page."""
        left = most
        while left is None or left > 0:
            limit = 1000 if left is None else min(left, 1000)
            asked = {"after": after, "limit": limit, "subject": subject, "kind": kind}
            page = self._get("/v1/audit", views.EventPage, asked)
            yield from page.events
            if len(page.events) < limit:
                return
            after, left = page.cursor, None if left is None else left - len(page.events)

    def verify(self, head: str | None = None) -> views.AuditView:
        """Whether the whole log is as it was written; head: what was written down of it before, as SEQ:HASH."""
        return self._get("/v1/audit/verify", views.AuditView, {"head": head}, timeout=LONG)

    # the fleet

    def fabric(self) -> views.FabricView:
        """The fabric at a glance."""
        return self._get("/v1/fabric", views.FabricView)

    def ships(self) -> views.Ships:
        """All ships and sites as they are now."""
        return self._get("/v1/ships", views.Ships)

    def cordon(self, host: str, closed: bool = True) -> None:
        """Let a host take no new work, or take it again."""
        self._write("POST", f"/v1/cordon/{_quoted(host)}", views.Close(closed=closed), views.Done)

    def drain(self, host: str, closed: bool = True) -> None:
        """The same, and what runs there goes on elsewhere."""
        self._write("POST", f"/v1/drain/{_quoted(host)}", views.Close(closed=closed), views.Done)

    def inject(self, fault: views.Fault) -> None:
        """Make a fault."""
        self._write("POST", "/v1/faults", fault, views.Done)

    # administration

    # models

    def deploy(self, deployment: Deployment, key: str | None = None) -> views.DeploymentView:
        """Serve a model, or serve it otherwise. key: of a request that may come again."""
        return self._write(
            "POST", "/v1/deployments", views.NewDeployment(deployment=deployment), views.DeploymentView, key
        )

    def deployments(self) -> views.Deployments:
        """The models that the key's project may see."""
        return self._get("/v1/deployments", views.Deployments)

    def deployment(self, name: str) -> views.DeploymentView:
        """A model with its servers."""
        return self._get(f"/v1/deployments/{_quoted(name)}", views.DeploymentView)

    def undeploy(self, name: str) -> None:
        """Serve a model no longer."""
        self._write("DELETE", f"/v1/deployments/{_quoted(name)}", None, views.Done)

    # what was used, and who may do what

    def usage(self, project: str | None = None) -> views.UsageView:
        """The meter's sums."""
        return self._get("/v1/usage", views.UsageView, {"project": project})

    def projects(self) -> tuple[str, ...]:
        """The projects that the key sees."""
        return self._get("/v1/projects", views.Projects).projects

    def make_project(self, name: str) -> None:
        """Make a project; one that is there stays as it is."""
        self._write("POST", "/v1/projects", valid(views.NewProject, project=name), views.Projects)

    def keys(self) -> tuple[views.KeyView, ...]:
        """All keys, without their secrets."""
        return self._get("/v1/keys", views.Keys).keys

    def make_key(self, asked: views.NewKey) -> views.MadeKey:
        """Make a key; its secret is told now and kept nowhere."""
        return self._write("POST", "/v1/keys", asked, views.MadeKey)

    def revoke_key(self, name: str) -> None:
        """Make a key worthless from now on."""
        self._write("DELETE", f"/v1/keys/{_quoted(name)}", None, views.Done)

    def metrics(self) -> str:
        """Prometheus metrics as text."""
        return self._ask("GET", "/metrics").text

    # files

    def upload(self, path: Path) -> str:
        """Bring a file or folder to the project's files; its digest."""
        with tempfile.TemporaryDirectory(prefix="aether-") as folder:
            packed = pack(path, Path(folder) / "blob")
            length = {"Content-Length": str(packed.size_bytes)}
            self._ask("PUT", f"/v1/blobs/{packed.digest}", file=packed.path, headers=length, timeout=LONG)
        return packed.digest

    def prepare(self, file: TaskFile) -> Task:
        """The task of a file with its local folders and files uploaded, relative paths from where the file lies.

        InputError for every path that is not there, with its line.
        """
        task, base = file.task, Path(file.text.file).parent if file.text.file else Path()
        wanted: dict[tuple[str, ...], str] = {
            ("file_mounts", t): s for t, s in task.file_mounts.items() if not BLOB.match(s)
        }
        if task.workdir and not BLOB.match(task.workdir):
            wanted[("workdir",)] = task.workdir
        paths = {at: base / Path(source).expanduser() for at, source in wanted.items()}
        problems = [_missing(file, at, wanted[at], path) for at, path in paths.items()]
        if found := [p for p in problems if p is not None]:
            raise InputError(found)
        made = {at: self.upload(path) for at, path in paths.items()}
        mounts = {t: made.get(("file_mounts", t), s) for t, s in task.file_mounts.items()}
        workdir = made.get(("workdir",), task.workdir or "") or None
        return task.model_copy(update={"file_mounts": mounts, "workdir": workdir})

    # how it asks

    def _get(self, path: str, kind: type[V], asked: Mapping[str, Any] | None = None, **more: Any) -> V:  # fmt: skip
        given = {k: v for k, v in (asked or {}).items() if v is not None}
        return kind.model_validate_json(self._ask("GET", path, params=given, **more).content)

    def _write(self, method: str, path: str, asked: BaseModel | None, kind: type[V], key: str | None = None) -> V:  # fmt: skip
        headers = {"Idempotency-Key": key or uuid.uuid4().hex, "Content-Type": "application/json"}
        content = None if asked is None else asked.model_dump_json(exclude_defaults=True).encode()
        return kind.model_validate_json(self._ask(method, path, content=content, headers=headers).content)

    def _ask(self, method: str, path: str, file: Path | None = None, **more: Any) -> httpx.Response:
        """One request, tried again while it may help."""
        begun_s, tries = time.monotonic(), 0
        while True:
            wait_s = 0.0
            try:
                if file is None:
                    response = self._http.request(method, path, **more)
                else:
                    with file.open("rb") as source:
                        response = self._http.request(method, path, content=source, **more)
                if response.is_success:
                    return response
                error = _refused(response.status_code, response.content)
                if response.status_code not in AGAIN:
                    raise error
                wait_s = _retry_after(response)
            except httpx.TransportError as failed:
                error = Away(0, "away", f"no fabric answers at {self.url}: {failed}")
            tries += 1
            wait_s = max(wait_s, _backoff_s(tries))
            if time.monotonic() - begun_s + wait_s > self.patience_s:
                raise error
            time.sleep(wait_s)

    def _stream(self, path: str, asked: Mapping[str, Any], cursor: str | None, name: str) -> Iterator[tuple[str, str, Any]]:  # fmt: skip
        """Server-sent events (kind, id, data) until the server ends the stream; gone on with where the line was cut."""
        heard_s, tries = time.monotonic(), 0
        while True:
            given = {k: v for k, v in {**asked, name: cursor}.items() if v is not None}
            wait_s = 0.0
            try:
                with self._http.stream("GET", path, params=given, timeout=QUIET) as response:
                    if not response.is_success:
                        error = _refused(response.status_code, response.read())
                        if response.status_code not in AGAIN:
                            raise error
                        wait_s = _retry_after(response)
                    else:
                        for event in _sent(response.iter_lines()):
                            heard_s, tries, cursor = time.monotonic(), 0, event[1]
                            yield event
                        return
            except httpx.TransportError as failed:
                error = Away(0, "away", f"no fabric answers at {self.url}: {failed}")
            if tries == 0:
                heard_s = time.monotonic()  # the line was good until now, however long nothing was said
            tries += 1
            wait_s = max(wait_s, _backoff_s(tries))
            if time.monotonic() - heard_s + wait_s > self.patience_s:
                raise error
            time.sleep(wait_s)


def _parts(tasks: Sequence[Task]) -> Iterator[list[Task]]:
    """Tasks in requests that the API takes."""
    part: list[Task] = []
    size = 0
    for task in tasks:
        length = len(task.model_dump_json(exclude_defaults=True))
        if part and (len(part) == BATCH or size + length > BATCH_BYTES):
            yield part
            part, size = [], 0
        part.append(task)
        size += length
    if part:
        yield part


def _sent(lines: Iterator[str]) -> Iterator[tuple[str, str, Any]]:
    """Server-sent events out of their lines; comments, which keep the line, are passed over."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "data" in fields:
            yield fields.get("event", "message"), fields.get("id", ""), json.loads(fields["data"])
            fields = {}


def _refused(status: int, content: bytes) -> ApiError | InputError:
    """The error that an answer tells of."""
    try:
        told = json.loads(content)
        kind, detail = str(told["type"]).rpartition(":")[2], str(told["detail"])
    except (ValueError, KeyError, TypeError):
        return ApiError(status, "refused", f"the answer was {status}: {content[:200].decode('utf-8', 'replace')}")
    if status == 422 and told.get("problems"):
        return InputError([Problem(p.get("path", ""), p.get("what", ""), p.get("nearest", ""), p.get("next", "")) for p in told["problems"]])  # fmt: skip
    return InputError(detail) if status == 422 else ApiError(status, kind, detail, told.get("problems", ()))


def _retry_after(response: httpx.Response) -> float:
    try:
        return max(float(response.headers.get("Retry-After", "0")), 0.0)
    except ValueError:
        return 0.0


def _backoff_s(tries: int) -> float:
    """Half of it is chance, so that many who wait do not come back at once."""
    return min(BACKOFF_S * 2.0 ** min(tries - 1, 10), LONGEST_S) * (0.5 + random.random() / 2.0)


def _quoted(name: str) -> str:
    """A name in a path; those of hosts hold a slash that stays one."""
    return quote(name, safe="/")


def valid(kind: type[V], **given: Any) -> V:
    """A record of what was given; InputError where it is not taken."""
    try:
        return kind(**given)
    except ValueError as error:
        raise problems_of(error) from error


def problems_of(error: ValueError) -> InputError:
    """What pydantic has against an input, as our own error."""
    if not isinstance(error, ValidationError):
        return InputError(str(error))
    return InputError([Problem(".".join(str(k) for k in e["loc"]), str(e["msg"])) for e in error.errors()])


def _missing(file: TaskFile, at: tuple[str, ...], source: str, path: Path) -> Problem | None:
    """What is wrong with a path that is to be uploaded."""
    if "://" in source:
        return file.text.problem(at, f"'{source}' is no path", next="Buckets are not mounted: give a file or a folder")
    if not path.exists():
        return file.text.problem(at, f"there is no file or folder '{path}'")
    return None
