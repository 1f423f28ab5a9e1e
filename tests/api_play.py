"""A fabric without processes: the real application, core and store; twin and runtimes are played, for tests of the API."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from aether.base.errors import InputError, Problem
from aether.fabric import process, protocol
from aether.fabric.api.app import application
from aether.fabric.api.frame import Fabric
from aether.fabric.blobs import Blobs
from aether.fabric.core import control, events
from aether.fabric.core.clock import FabricClock, resume
from aether.fabric.core.plane import Happening, Plane, restore
from aether.fabric.runtime.meter import public, sign
from aether.fabric.store.store import Store
from aether.fabric.tenancy import new_key
from aether.scenario.catalog import packaged
from fabric_play import facts

HOSTS = (facts("a/0"), facts("a/1"), facts("site", ship=False))
PATIENCE_S = 30.0  # a poll that takes longer has failed
TASK = {"name": "hi", "run": "true"}


class Time:
    """Both clocks of a machine, moved by hand."""

    def __init__(self) -> None:
        self.wall_s, self.steady_s = 1.8e9, 5.0

    def go(self, by_s: float) -> None:
        self.wall_s += by_s
        self.steady_s += by_s


class Twin:
    """A follower that is played: it knows every name but those with `no` in them, and remembers faults."""

    def __init__(self) -> None:
        self.now: dict[str, Any] = {}
        self.round_trip_s: dict[str, dict[str, float]] = {}
        self.trouble, self.heard_s = "", 0.0
        self.faults: list[control.Inject] = []
        self.executor = SimpleNamespace(stop=lambda *_: None)

    def check(self, fault: events.Injected, _start_s: float) -> None:
        if fault.fault not in ("runtime", "clock") and (not fault.name or "no" in fault.name):
            raise InputError(Problem("name", "the twin knows no such thing"))

    def inject(self, plane: Plane, wanted: control.Inject) -> None:
        self.faults.append(wanted)
        if wanted.fault.fault == "clock":
            plane.clock.skew(wanted.fault.by_s)


class Api:
    """The application on a loop of its own, and whoever asks it.

    folder: keeps all of it, so that another may go on from there. time: both clocks, real ones where it is left out.
    """

    def __init__(
        self, folder: Path, time_: Time | None = None, store: Callable[..., Store] = Store, hosts: tuple[Any, ...] = HOSTS, most_blob_bytes: int = 100_000,
    ) -> None:  # fmt: skip
        folder.mkdir(exist_ok=True, parents=True)
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.store = store(f"sqlite:///{folder / 'fabric.db'}", folder / "head")
        state, since = restore(self.store)
        clocks = {} if time_ is None else {"wall": lambda: time_.wall_s, "steady": lambda: time_.steady_s}
        clock = FabricClock(resume(state.time_s, 1.0, time_.wall_s if time_ else time.time()), 1.0, **clocks)
        self.given = Fabric(
            blobs=Blobs(folder / "blobs", most_blob_bytes), catalog=packaged(), scenario="test", version="1", folder=folder,
            secret=b"s" * 32, most_blob_bytes=most_blob_bytes,
        )  # fmt: skip
        self.twin = self.given.follower = Twin()  # type: ignore[assignment]
        self.plane = self.given.plane = Plane(
            self.store, clock, (state, since), lambda _: self._soon(process._news, self.given), lambda names: self._soon(process._orders, self.given, names),
            lambda fault: self.twin.inject(self.plane, fault),
        )  # fmt: skip
        self.app = application(self.given)
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://fabric")
        self.plane.start()
        self.put(events.Opened(version="1", scenario="test", hosts=hosts), events.ProjectMade(project="default"))
        self.admin = self.key("", "admin")

    def _soon(self, work: Callable[..., None], *given: Any) -> None:
        self.loop.call_soon_threadsafe(work, *given)

    def run(self, work: Awaitable[Any]) -> Any:
        """Let the loop do something, and wait."""

        async def whole() -> Any:
            return await work

        return asyncio.run_coroutine_threadsafe(whole(), self.loop).result(60.0)

    def put(self, *happened: events.Event) -> None:
        """Let events happen."""
        self.plane.put(*(Happening(e) for e in happened)).result(10.0)

    def key(self, project: str, *scopes: str, expires_s: float | None = None) -> str:
        """The secret of a new key."""
        name, secret, digest = new_key()
        made = [events.ProjectMade(project=project)] if project else []
        self.put(*made, events.KeyMade(key=name, project=project, digest=digest, scopes=scopes, expires_s=expires_s))
        return secret

    def ask(self, method: str, path: str, key: str | None = None, body: Any = None, **more: Any) -> httpx.Response:
        """A request, by the administrator where no key is given; an empty key is none."""
        key = self.admin if key is None else key
        headers = ({"Authorization": f"Bearer {key}"} if key else {}) | more.pop("headers", {})
        if body is not None:
            more["json"] = body
        return self.run(self._client.request(method, path, headers=headers, **more))

    def submit(self, key: str | None = None, idempotency: str = "", **task: Any) -> str:
        """The name of a new job."""
        headers = {"Idempotency-Key": idempotency} if idempotency else {}
        answer = self.ask("POST", "/v1/jobs", key, {"task": TASK | task}, headers=headers)
        assert answer.status_code == 201, answer.text
        return answer.json()["jobs"][0]

    def until(self, fine: Callable[[], Any]) -> Any:
        """Wait for something."""
        end = time.monotonic() + PATIENCE_S
        while not (found := fine()):
            assert time.monotonic() < end, "it did not happen"
            time.sleep(0.005)
        return found

    def status(self, job: str) -> str:
        return self.ask("GET", f"/v1/jobs/{job}").json()["status"]

    @contextlib.contextmanager
    def stream(self, path: str, key: str | None = None, **headers: str) -> Iterator[Stream]:
        """A streamed answer while it lasts; leaving hangs up."""
        made = Stream(self, path, {"authorization": f"Bearer {self.admin if key is None else key}"} | headers)
        try:
            yield made
        finally:
            made.hang_up()

    def close(self) -> None:
        """Everything ends."""
        self.given.leaving = True
        self.run(asyncio.sleep(0))
        self.run(self._client.aclose())
        self.plane.close()
        self.store.close()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10.0)
        self.loop.close()


class Stream:
    """One streamed answer, by ASGI itself: a client that reads whole answers would wait for ever."""

    def __init__(self, api: Api, path: str, headers: dict[str, str]) -> None:
        self.api, self.status, self.raw, self.over = api, 0, b"", threading.Event()
        target, _, query = path.partition("?")
        self._scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "GET", "path": target,
            "raw_path": target.encode(), "query_string": query.encode(), "root_path": "", "scheme": "http", "server": ("fabric", 80),
            "client": ("127.0.0.1", 1), "headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()],
        }  # fmt: skip
        self._gone = asyncio.Event()
        self._asked = asyncio.run_coroutine_threadsafe(self._work(), api.loop)

    async def _work(self) -> None:
        begun = False

        async def receive() -> dict[str, Any]:
            nonlocal begun
            if not begun:
                begun = True
                return {"type": "http.request", "body": b"", "more_body": False}
            await self._gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            self.status = message.get("status", self.status)
            self.raw += message.get("body", b"")

        try:
            await self.api.app(self._scope, receive, send)
        finally:
            self.over.set()

    def events(self) -> list[tuple[str, str, dict[str, Any]]]:
        """What has come: kind, id and data."""
        made = []
        for block in self.raw.decode().split("\n\n")[:-1]:
            rows = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
            if rows:
                made.append((rows["event"], rows["id"], json.loads(rows["data"])))
        return made

    def hang_up(self) -> None:
        """The reader goes."""
        self.api.loop.call_soon_threadsafe(self._gone.set)
        assert self.over.wait(PATIENCE_S), "the application did not notice that the reader has gone"


class Ship:
    """A runtime that is played over HTTP."""

    def __init__(self, api: Api, name: str, journal: str = "0" * 32) -> None:
        self.api, self.name, self.journal, self.n = api, name, journal, 0
        self.key = Ed25519PrivateKey.generate()

    def ask(self, what: str, body: dict[str, Any], token: str | None = None) -> httpx.Response:
        return self.api.ask("POST", f"/runtime/v1/{what}", token or self.api.given.token(self.name), body)

    def join(self, **more: Any) -> httpx.Response:
        body = {"protocol": protocol.PROTOCOL, "version": "1", "runtime": self.name, "journal": self.journal,
                "public_key": public(self.key), "address": "127.0.0.1", "pid": 1}  # fmt: skip
        return self.ask("join", body | more)

    def numbered(self, report: protocol.Report) -> dict[str, Any]:
        """A report with the next number, signed where reports are."""
        self.n += 1
        if isinstance(report, protocol.Used):
            report = sign(report, self.name, self.key)
        return protocol.Numbered(n=self.n, time_s=1.0, report=report).model_dump(mode="json")

    def sync(self, *reports: dict[str, Any], **more: Any) -> httpx.Response:
        body = {"runtime": self.name, "journal": self.journal, "seen": -1, "reports": reports}
        return self.ask("sync", body | more)

    def say(self, *reports: protocol.Report) -> dict[str, Any]:
        """Report, and what is ordered then."""
        answer = self.sync(*map(self.numbered, reports))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def work(self, job: str, code: int | None = 0) -> None:
        """Run the present attempt of a job of one node to its end; no code leaves it running."""
        ordered = self.api.until(lambda: [o for o in self.say()["orders"] if o["attempt"].startswith(job + "/")])
        at = {"attempt": ordered[0]["attempt"], "rank": 0}
        self.say(protocol.Prepared(**at, address="127.0.0.1", port=20000), protocol.Started(**at))
        if code is not None:
            self.say(self.used(at["attempt"]), protocol.Ended(**at, how="exit", code=code))

    def used(self, attempt: str, gpu_ms: int = 1000) -> protocol.Used:
        return protocol.Used(
            attempt=attempt, rank=0, start_ms=0, end_ms=1000, accelerator="b200", gpu_ms=gpu_ms, energy_j=7, laser_bytes=3, downlink_bytes=2,
        )  # fmt: skip
