"""What every endpoint has in common: who asks, how errors are told, how large a request may be."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import logging
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic_core import from_json
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aether.base.errors import InputError, Problem
from aether.fabric.blobs import Blobs
from aether.fabric.core.plane import Decision, Once, Plane, Refused
from aether.fabric.core.state import State
from aether.fabric.follower import Follower
from aether.fabric.store.store import StoreAway, StoreError, StoreFull
from aether.fabric.task import Task
from aether.fabric.tenancy import Principal, principal, valid
from aether.scenario.catalog import Catalog, explain
from aether.scenario.document import Document, dotted

log = logging.getLogger(__name__)
LARGEST_BODY = 32_000_000  # bytes; a thousand tasks with long scripts are 10 MB, files travel as blobs
ASKED_BY_ANYONE = ("/v1/feedback", "/v1/fine_tuning/")  # through the gateway, whose callers may be many and unknown
LARGEST_ASKED = (
    1 << 20
)  # bytes; the longest feedback is 100,000 characters, of six bytes at most where they are escaped
ANSWER_S = 15.0  # that a write waits for the store before the caller is told to come again
MOST_WATCHERS = 200  # that follow at once: each costs a reading of the log with every change
GATEWAY = "/gateway"  # its name among those who have tokens; no host is called so
PROBLEM = "application/problem+json"
bearer = HTTPBearer(auto_error=False, description="a key of the fabric, as `aether keys create` makes them")


@dataclass
class Fabric:
    """What endpoints work upon."""

    blobs: Blobs
    catalog: Catalog
    scenario: str
    version: str
    folder: Path
    secret: bytes  # from which the tokens of runtimes are derived
    most_blob_bytes: int
    watchers: set[asyncio.Event] = field(default_factory=set)  # of those who follow the log
    runtimes: dict[str, asyncio.Event] = field(default_factory=dict)  # of those who wait for orders
    places: dict[str, float] = field(
        default_factory=dict
    )  # whose round trips the gateway wants, and when it last did [wall]
    fed: dict[int, frozenset[str]] = field(
        default_factory=dict
    )  # tuned models in the gateway's last feeds, by their version
    known: frozenset[str] = frozenset()  # tuned models that the gateway has said it knows
    place: str = ""  # of callers that name none
    impose_latency: bool = False
    models_url: str = ""
    leaving: bool = False
    plane: Plane = field(init=False)
    follower: Follower = field(init=False)

    def token(self, runtime: str) -> str:
        """The secret by which a runtime is known: its name, and what only the fabric could have made of it."""
        name = base64.urlsafe_b64encode(runtime.encode()).decode().rstrip("=")
        return f"aer.{name}.{hmac.new(self.secret, runtime.encode(), hashlib.sha256).hexdigest()}"

    def server_key(self, attempt: str) -> str:
        """What the model server of an attempt is asked with: its runtime and the gateway have it, and nobody else."""
        return hmac.new(self.secret, f"server\0{attempt}".encode(), hashlib.sha256).hexdigest()


def fabric(request: Request) -> Fabric:
    """The fabric of an application."""
    return request.app.state.fabric


Given = Annotated[Fabric, Depends(fabric)]


async def somebody(
    given: Given, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
) -> Principal:
    """Who asks, by the key they bring."""
    with given.plane.lock:
        found = (
            principal(given.plane.state.keys, credentials.credentials, given.plane.clock.now()) if credentials else None
        )
    if found is None:
        raise Refused(401, "no-key", "a valid key is needed: Authorization: Bearer KEY")
    return found


def still(given: Fabric, who: Principal) -> bool:
    """Whether who follows something may go on: their key may have been revoked or expired since they began."""
    with given.plane.lock:
        key = given.plane.state.keys.get(who.key)
        return key is not None and valid(key, given.plane.clock.now())


@contextlib.contextmanager
def watching(given: Fabric) -> Iterator[asyncio.Event]:
    """A place among those who follow, while they do; what it gives is set with every change."""
    news = asyncio.Event()
    given.watchers.add(news)
    try:
        yield news
    finally:
        given.watchers.discard(news)


def room_to_watch(given: Fabric) -> None:
    """Refused where too many follow already."""
    if len(given.watchers) >= MOST_WATCHERS:
        raise Refused(429, "too-many-watchers", f"{MOST_WATCHERS} follow already", retry_after=10)


def needs(scope: str) -> Callable[[Principal], Principal]:
    """A check that whoever asks has a scope."""

    def check(who: Annotated[Principal, Depends(somebody)]) -> Principal:
        if not who.may(scope):
            raise Refused(403, "not-allowed", f"this needs a key with the scope '{scope}'")
        return who

    return check


Reader = Annotated[Principal, Depends(needs("read"))]
Writer = Annotated[Principal, Depends(needs("write"))]
Admin = Annotated[Principal, Depends(needs("admin"))]


async def runtime(given: Given, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> str:
    """Which runtime asks, by its token."""
    token = credentials.credentials if credentials else ""
    name = _named(token)
    if not hmac.compare_digest(token.encode(), given.token(name).encode()) or name not in given.plane.state.hosts:
        raise Refused(401, "no-key", "a runtime's token is needed")
    return name


async def gateway(given: Given, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> None:
    """Refused for anybody but the fabric's own gateway."""
    token = credentials.credentials if credentials else ""
    if not hmac.compare_digest(token.encode(), given.token(GATEWAY).encode()):
        raise Refused(401, "no-key", "the gateway's token is needed")


def _named(token: str) -> str:
    """The name that a runtime's token bears; whether it may is another matter."""
    part = token.split(".")[1] if token.count(".") == 2 else ""
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode()
    except ValueError:
        return ""


Runtime = Annotated[str, Depends(runtime)]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=200,
        pattern=r"^[ -~]+$",
        description="the same request with the same key is done once and answered alike",
    ),
]


class Strict(Request):
    """A request whose JSON is what every other program reads alike: no NaN, no half of a surrogate pair, not too deep."""

    async def json(self) -> Any:
        """The body; JSONDecodeError where it is none."""
        if not hasattr(self, "_json"):
            try:
                self._json = from_json(await self.body(), allow_inf_nan=False)
            except ValueError as error:
                raise json.JSONDecodeError(str(error), "", 0) from error
        return self._json


class Route(APIRoute):
    """An endpoint that takes strict JSON."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The endpoint's handler."""
        work = super().get_route_handler()

        async def handle(request: Request) -> Response:
            return await work(Strict(request.scope, request.receive))

        return handle


async def once(request: Request, who: Principal, key: str | None) -> Once | None:
    """How a request that carries an idempotency key is known again."""
    if key is None:
        return None
    asked = hashlib.sha256(f"{request.method} {request.url.path}\n".encode() + await request.body())
    return Once(who.key, key, asked.digest())


async def answer(made: Future[str]) -> str:
    """The answer of the core; Refused where the store keeps it waiting."""
    try:
        return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(made)), ANSWER_S)
    except TimeoutError:
        text = "the database does not answer; what was asked may still be done: ask again with the same idempotency key"
        raise Refused(503, "store-away", text, retry_after=5) from None


async def write(
    given: Fabric,
    request: Request,
    who: Principal,
    key: str | None,
    decide: Callable[[State], Decision],
    status: int = 200,
) -> Response:
    """Let the core do what was asked, and answer with what it says."""
    made = given.plane.write(decide, who.key, await once(request, who, key))
    return Response(await answer(made), status, media_type="application/json")


def visible_job(state: State, who: Principal, name: str) -> list[str]:
    """The jobs of a name that somebody sees: itself, or all of an array. Refused where there are none, or none of theirs."""
    found = (
        [name]
        if name in state.jobs
        else [f"{name}.{i}" for i in range(state.tasks[name].orbit.array)]
        if name in state.tasks
        else []
    )
    found = [j for j in found if j in state.jobs and who.sees(state.jobs[j].project)]
    if not found:
        raise Refused(404, "no-such-job", f"there is no job '{name[:100]}'")
    return found


def told(status: int, kind: str, detail: str, **more: Any) -> Response:
    """An error as RFC 9457 has it."""
    body = {
        "type": f"urn:aether:problem:{kind}",
        "title": kind.replace("-", " "),
        "status": status,
        "detail": detail,
    } | more
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    if "retry_after" in more:
        headers["Retry-After"] = str(more["retry_after"])
    return Response(json.dumps(body), status, headers, PROBLEM)  # ASCII: whatever was asked can be told back


def problems(found: list[Problem]) -> list[dict[str, Any]]:
    """Problems of an input as JSON."""
    return [{"path": p.path, "what": p.what, "nearest": p.nearest, "next": p.next, "line": p.line} for p in found]


def _explained(errors: list[dict[str, Any]]) -> list[Problem]:
    made: list[Problem] = []
    for item in errors:
        where = tuple(item["loc"])
        if item["type"] == "json_invalid":
            made.append(Problem("body", f"is no JSON: {item['ctx']['error']}"))
            continue
        if "task" in where or "tasks" in where:
            at = where.index("task") + 1 if "task" in where else where.index("tasks") + 2
            found = explain(_Errors([item | {"loc": where[at:]}]), Task, Document(None))  # type: ignore[arg-type]
            made += [
                Problem(dotted(where[1:at]) + (f".{p.path}" if p.path else ""), p.what, p.nearest, p.next)
                for p in found
            ]
        else:
            made.append(Problem(dotted(where[1:]) or str(where[0]), str(item["msg"])))
    return made


class _Errors:
    """Errors in the form that `explain` reads."""

    def __init__(self, items: list[dict[str, Any]]) -> None:
        self._items = items

    def errors(self, **_: Any) -> list[dict[str, Any]]:
        """All of them."""
        return self._items


def install(app: FastAPI) -> None:
    """Errors as problem+json, whatever raised them."""

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> Response:
        return told(error.status, error.kind, error.detail, **error.more)

    @app.exception_handler(InputError)
    async def wrong(_: Request, error: InputError) -> Response:
        return told(422, "invalid-input", str(error), problems=problems(error.problems))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        found = _explained(list(error.errors()))
        return told(422, "invalid-input", str(InputError(found)), problems=problems(found))

    @app.exception_handler(HTTPException)
    async def plain(_: Request, error: HTTPException) -> Response:
        made = told(
            error.status_code,
            {404: "no-such-thing", 405: "no-such-method", 413: "too-large"}.get(error.status_code, "refused"),
            str(error.detail),
        )
        made.headers.update(error.headers or {})
        return made

    @app.exception_handler(StoreAway)
    async def away(_: Request, error: StoreAway) -> Response:
        return told(503, "store-away", str(error), retry_after=5)

    @app.exception_handler(StoreFull)
    async def full(_: Request, error: StoreFull) -> Response:
        return told(507, "store-full", str(error), retry_after=30)

    @app.exception_handler(StoreError)
    async def broken(_: Request, error: StoreError) -> Response:
        return told(503, "store-broken", str(error), retry_after=60)

    @app.exception_handler(Exception)
    async def fault(_: Request, error: Exception) -> Response:
        return told(500, "fault", f"a fault of the fabric's own ({type(error).__name__}): its log says more")


class Bounded:
    """Refuses bodies that are too large before they are read; blobs have a limit of their own."""

    def __init__(self, app: ASGIApp, most_blob_bytes: int) -> None:
        self.app, self.most_blob_bytes = app, most_blob_bytes

    def most_bytes(self, method: str, path: str) -> int:
        """Of a body to this path."""
        if (method == "PUT" and "/blobs/" in path) or (method, path) == ("POST", "/v1/files"):
            return self.most_blob_bytes
        return LARGEST_ASKED if path.startswith(ASKED_BY_ANYONE) else LARGEST_BODY

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        most = self.most_bytes(scope["method"], scope["path"])
        length = next((v for k, v in scope["headers"] if k == b"content-length"), b"0")
        if not length.isdigit():
            await told(400, "refused", "Content-Length is no number")(scope, receive, send)
            return
        if len(length) > 18 or int(length) > most:
            await told(413, "too-large", f"at most {most:,} bytes are taken")(scope, receive, send)
            return
        left = most

        async def bounded() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise HTTPException(413, f"at most {most:,} bytes are taken")  # FastAPI makes 400 of others
            return message

        await self.app(scope, bounded, send)
