"""The model servers behind the gateway: requests to them, their streams, and the race of several for the first token."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiohttp
from pydantic_core import from_json, to_json

from aether.fabric.gateway import gauges
from aether.fabric.gateway.asks import Trouble
from aether.fabric.gateway.feed import DeploymentFacts
from aether.fabric.gateway.gauges import Gauges

T = TypeVar("T")
CONNECT_S = 2.0  # to a ship within reach; one that does not take a connection by then is asked no further
IDLE_S = 60.0  # between two pieces of an answer; no server thinks so long about a token
WHOLE_S = 600.0  # for an answer in one piece, of which nothing comes before its end: what the vendors' clients wait
KEPT_S = 4.0  # that an idle connection is kept: uvicorn's servers and llama.cpp close theirs after 5, on a request that comes just then
CLOSING_S = 0.2  # for the end of an answer after its last event
MOST_TRIES = 3  # servers that one request is given to
MOST_ANSWER = 64 << 20  # bytes of a whole answer
MOST_HEADS = 100  # pieces before the first token: one a choice, as a rule
MOST_LINE = 4 << 20  # bytes of an event
AGAIN = frozenset((408, 425, 429, 500, 502, 503, 504))  # statuses after which another server may do better
NEVER = 501  # the server is made without it; another of its kind is too
OWN = frozenset((401, 403))  # a server that does not take the gateway's word is no fault of the caller's


class Again(Exception):  # noqa: N818 - one server's failure, not the request's
    """A server did not answer before its first token: another may. busy: it said that it has no room. late: it said nothing in time."""

    def __init__(self, what: str, busy: bool = False, retry_after_s: float | None = None, late: bool = False) -> None:
        super().__init__(what)
        self.busy, self.retry_after_s, self.late = busy, retry_after_s, late


@dataclass
class Server:
    """What the gateway knows of a server by itself."""

    url: str
    key: str = field(default="", repr=False)  # what it asks for
    ready: bool = False
    llama_cpp: bool = False  # so its probe says: it counts and meters in another way than vLLM
    probed_s: float = 0.0  # when it was last asked, of the steady clock
    under_way: int = 0
    service_s: float = 0.0  # running mean of a request's whole time
    first_s: float = 0.0  # of its first byte
    gauges: Gauges = gauges.NONE
    open: set[aiohttp.ClientResponse] = field(default_factory=set)
    calls: set[asyncio.Task[Any]] = field(default_factory=set)
    lost: set[asyncio.Task[Any]] = field(default_factory=set)  # calls whose line was cut

    @property
    def headers(self) -> dict[str, str]:
        """Of every request to it: the fabric's word, never the caller's."""
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    def cut(self) -> None:
        """The line to it is lost: whatever is under way there is broken off."""
        self.ready = False
        for response in list(self.open):
            response.close()
        for call in list(self.calls):
            self.lost.add(call)
            call.cancel()

    @contextlib.asynccontextmanager
    async def calling(self) -> AsyncIterator[None]:
        """A call that ends with the line; Again then, and for what fails on the way."""
        call = asyncio.current_task()
        assert call is not None
        self.calls.add(call)
        try:
            yield
        except asyncio.CancelledError:
            if call not in self.lost:
                raise
            call.uncancel()
            raise Again("the line to it was lost") from None
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            away = isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError))
            if away:
                self.ready = False  # until its probe says otherwise
            raise Again(type(error).__name__, late=isinstance(error, TimeoutError) and not away) from None
        finally:
            self.calls.discard(call)
            self.lost.discard(call)

    def took(self, first_s: float, whole_s: float) -> None:
        """A request has ended there."""
        self.first_s = _mean(self.first_s, first_s)
        self.service_s = _mean(self.service_s, whole_s)


def _mean(before: float, now: float) -> float:
    """A running mean over some ten values; the first stands for itself."""
    return now if before == 0.0 else before + 0.1 * (now - before)


class Upstream:
    """Requests to servers, over kept connections."""

    def __init__(self) -> None:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEPT_S)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=IDLE_S)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=timeout, auto_decompress=True, json_serialize=json.dumps, cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=1 << 18,
        )  # fmt: skip

    async def close(self) -> None:
        """Let the connections go."""
        await self._session.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        """For requests of another kind."""
        return self._session

    async def probe(self, server: Server, d: DeploymentFacts) -> bool:
        """Whether a server says that it is ready."""
        timeout = aiohttp.ClientTimeout(total=d.probe_timeout_s, sock_connect=CONNECT_S)
        how, body = "POST" if d.probe_body else "GET", d.probe_body.encode() or None
        headers = server.headers | (JSON if body else {})
        try:
            async with self._session.request(
                how, server.url + d.probe, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                server.llama_cpp = response.headers.get("Server") == "llama.cpp"
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    async def look(self, server: Server) -> None:
        """Read a server's gauges; one that has none, or does not answer in time, tells nothing."""
        timeout = aiohttp.ClientTimeout(total=CONNECT_S)
        try:
            async with self._session.get(
                server.url + gauges.PATH, headers=server.headers, timeout=timeout, allow_redirects=False
            ) as response:
                server.gauges = gauges.read(await _read(response)) if response.status == 200 else gauges.NONE
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            server.gauges = gauges.NONE

    async def whole(self, server: Server, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """A server's answer in one piece; Again where another may do better, Trouble where none will."""
        begun = time.perf_counter()
        timeout = aiohttp.ClientTimeout(total=WHOLE_S, sock_connect=CONNECT_S)
        async with server.calling():
            async with self._session.post(
                server.url + path,
                data=to_json(body),
                headers=server.headers | JSON,
                allow_redirects=False,
                timeout=timeout,
            ) as response:
                raw = await _read(response)
                if response.status != 200:
                    raise _no(response, raw)
            made = from_json(raw, allow_inf_nan=False)
            if not isinstance(made, dict):
                raise Again("it gave no object")
        took = time.perf_counter() - begun
        server.took(took, took)
        return made

    async def stream(self, server: Server, path: str, body: dict[str, Any]) -> Opened:
        """A server's answer in pieces, once the first is there."""
        begun = time.perf_counter()
        headers = server.headers | JSON
        if server.llama_cpp:
            body = body | {"timings_per_token": True}  # so that what was delivered is known if it ends before its usage
            headers |= ONCE
        async with server.calling():
            response = await self._session.post(
                server.url + path, data=to_json(body), headers=headers, allow_redirects=False
            )
            try:
                if response.status != 200:
                    raise _no(response, await _read(response))
                pieces = events(response)
                first = await _first(pieces)
            except BaseException:
                response.close()
                raise
            server.open.add(response)
            return Opened(server, response, pieces, first, begun, time.perf_counter())


JSON = {"Content-Type": "application/json"}
ONCE = {"Connection": "close"}  # llama.cpp ends a connection after a stream, and unless it is told to does not say so


@dataclass
class Opened:
    """A stream whose first piece has come."""

    server: Server
    response: aiohttp.ClientResponse
    pieces: AsyncIterator[dict[str, Any]]
    first: list[dict[str, Any]]  # up to the one with the first token
    begun: float
    first_at: float

    def close(self) -> None:
        """End it; the server sees its reader go."""
        self.server.open.discard(self.response)
        self.response.close()

    async def finished(self) -> None:
        """It came to its end: its connection is kept, once the server has closed the answer."""
        self.server.took(self.first_at - self.begun, time.perf_counter() - self.begun)
        self.server.open.discard(self.response)
        try:
            async with asyncio.timeout(CLOSING_S):
                await self.response.content.readany()
            self.response.release()
        except (aiohttp.ClientError, OSError, TimeoutError):
            self.response.close()


async def _read(response: aiohttp.ClientResponse) -> bytes:
    made = bytearray()
    async for piece in response.content.iter_any():
        made += piece
        if len(made) > MOST_ANSWER:
            raise ValueError("too large")
    return bytes(made)


def _no(response: aiohttp.ClientResponse, raw: bytes) -> Exception:
    """What a status other than 200 comes to."""
    status = response.status
    if status in AGAIN or (status >= 500 and status != NEVER) or status in OWN:
        after = response.headers.get("Retry-After", "")
        return Again(f"it answered {status}", status in (429, 503), float(after) if after.isdigit() else None)
    said: Any = {}
    with contextlib.suppress(ValueError):
        said = from_json(raw)
    error = said.get("error", said) if isinstance(said, dict) else {}
    error = error if isinstance(error, dict) else {"message": error}
    message = str(error.get("message") or f"The model's server answered {status}.")[:2000]
    param, code = (error.get(k) if isinstance(error.get(k), str) else None for k in ("param", "code"))
    return Trouble("refused", message, param=param, code=code, status=400 if status == NEVER else status)


async def _first(pieces: AsyncIterator[dict[str, Any]]) -> list[dict[str, Any]]:
    """Pieces up to the first that bears something: servers announce an answer before they have begun it."""
    made: list[dict[str, Any]] = []
    async for piece in pieces:
        if "error" in piece or len(made) > MOST_HEADS:
            break
        made.append(piece)
        if told(piece) or not piece.get("choices"):
            return made
    raise Again("it ended before its first token")


def told(piece: dict[str, Any]) -> bool:
    """Whether a piece bears text, a call of a tool, or an end."""
    for choice in piece.get("choices") or ():
        delta = choice.get("delta") or {}
        if choice.get("text") or choice.get("finish_reason") or any(v for k, v in delta.items() if k != "role"):
            return True
    return False


async def events(response: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    """The JSON of server-sent events, however their bytes are cut, to `[DONE]`; ValueError for what is none, or ends before."""
    left, data = bytearray(), bytearray()
    async for piece in response.content.iter_any():
        left += piece
        while (at := left.find(b"\n")) >= 0:
            line = bytes(left[:at]).rstrip(b"\r")
            del left[: at + 1]
            if line.startswith(b"data:"):
                data += line[5:].lstrip(b" ") + b"\n"
            elif not line and data:
                text = bytes(data).strip()
                data.clear()
                if text == b"[DONE]":
                    return
                made = from_json(text, allow_inf_nan=False)
                if not isinstance(made, dict):
                    raise ValueError("an event is no object")
                yield made
        if len(left) + len(data) > MOST_LINE:
            raise ValueError("an event is too large")
    raise ValueError("it ended without [DONE]")


async def race(
    ways: Sequence[T], begin: Callable[[T], Awaitable[Any]], hedge_s: float, drop: Callable[[Any], None]
) -> tuple[Any, T, int]:  # fmt: skip
    """The first answer of several servers, whose it is, and how many were asked.

    The next is asked when one fails before its first token, or is silent for `hedge_s`; the losers are ended (`drop` for one that came
    too late). Raises Trouble as a server does; "overloaded" where all had no room, "unavailable" where none answered.
    """
    running: dict[asyncio.Task[Any], T] = {}
    task: asyncio.Task[Any] | None = None
    done: set[asyncio.Task[Any]] = set()
    failures: list[Again] = []
    left, tries = list(ways)[:MOST_TRIES], 0
    try:
        while left or running:
            if left:
                way = left.pop(0)
                running[asyncio.ensure_future(begin(way))] = way
                tries += 1
            done, _ = await asyncio.wait(
                running, timeout=hedge_s if left else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                way = running.pop(task)
                try:
                    return task.result(), way, tries
                except Again as error:
                    failures.append(error.with_traceback(None))
        raise _none(failures)
    finally:
        for loser in running:
            loser.cancel()
            loser.add_done_callback(lambda t: _late(t, drop))
        done, task = (
            set(),
            None,
        )  # what is raised here must not lead back to itself: it would keep the request in memory


def _late(task: asyncio.Task[Any], drop: Callable[[Any], None]) -> None:
    """A loser has ended: what it brought is thrown away, what it failed with is of no interest."""
    if not task.cancelled() and task.exception() is None:
        drop(task.result())


def _none(failures: Sequence[Again]) -> Trouble:
    waits = [f.retry_after_s for f in failures if f.retry_after_s is not None]
    if failures and all(f.busy for f in failures):
        return Trouble("overloaded", "The model's servers have no room now.", retry_after_s=min(waits, default=1.0))
    if failures and all(f.late for f in failures):
        return Trouble("timeout", "The model's servers gave no answer in time.")
    what = f" ({'; '.join(dict.fromkeys(str(f) for f in failures))})" if failures else ""
    return Trouble("unavailable", f"No server of the model answered{what}.", retry_after_s=1.0)
