"""The gateway's face: both vendors' endpoints over HTTP, from the key to the last byte of an answer."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from aether.fabric.gateway.asks import Ask, Caller, Desk, Route, Stream, Trouble
from aether.fabric.gateway.dialects import Asked, Bill, Count, Dialect, Pieces, chat, happenings, messages, plain
from aether.fabric.gateway.dialects.form import parse
from aether.fabric.gateway.dialects.frames import dump
from aether.fabric.gateway.dialects.models import anthropic_model, openai_model, page
from aether.fabric.gateway.dialects.trouble import Vendor, anthropic, openai, retry_headers
from aether.fabric.gateway.outlet import Outlet, pinging

log = logging.getLogger(__name__)
PassOn = Callable[[web.Request], Awaitable[web.StreamResponse]]

LONG_BYTES = 1 << 17  # some ten milliseconds of one core to read, where it is made of short messages
BODY_BYTES = 32 << 20  # both vendors refuse larger requests
BODY_S = 60.0  # for a client to send its body
STALL_S = 60.0  # that a reader of a stream may leave its full buffer unread
BEAT_S = 15.0  # of silence in a stream; proxies commonly cut at 30 s and more
IDLE_S = 30.0  # for a request's head, and between requests; SDKs keep connections for 5 s
LINGER_S = 2.0  # that a refused body is still read and thrown away, for its sender to see the answer
OPENING_BYTES = 1 << 16  # of a prompt's beginning that tell conversations apart
PLACE_LENGTH = 100  # no city's name is longer
SPOKEN = {
    "/v1/chat/completions": chat.dialect,
    "/v1/completions": plain.completions,
    "/v1/embeddings": plain.embeddings,
    "/v1/responses": happenings.dialect,
    "/v1/messages": messages.dialect,
}
COUNTS = {"/v1/messages/count_tokens": messages.count, "/v1/responses/input_tokens": happenings.count}
PASSED_ON = ("/v1/files", "/v1/files/{tail:.*}", "/v1/fine_tuning/{tail:.*}", "/v1/feedback")
STATE = re.compile(r"[A-Z]{2}")
SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")  # OpenAI's way to write a time to wait: 6m0s
SPAN_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
LIMIT = re.compile(r"x-ratelimit-(limit|remaining|reset)-(requests|tokens)")


@dataclass(frozen=True, slots=True)
class Visit:
    """One request on its way through. vendor: whose words it is answered in."""

    request: web.Request
    vendor: Vendor
    id: str
    start_s: float

    def headers(self) -> dict[str, str]:
        """The headers of every answer."""
        named = {self.vendor.request_header: self.id}
        if self.vendor is openai:
            named["openai-processing-ms"] = str(int(1000 * (time.perf_counter() - self.start_s)))
        return named


def secret_of(request: web.Request) -> str | None:
    """The key that a request bears, in either vendor's header."""
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" and secret else request.headers.get("x-api-key")


def cost_usd(usage: dict[str, Any], route: Route) -> float:
    """What a request costs [USD] by its route's prices."""
    into, out = route.price_usd_mtok
    return ((usage.get("prompt_tokens") or 0) * into + (usage.get("completion_tokens") or 0) * out) / 1e6


def route_headers(route: Route) -> dict[str, str]:
    """Where an answer came from: what is modelled and what was measured, each by its name."""
    into, out = route.price_usd_mtok
    named = {"x-aether-tries": str(route.tries), "x-aether-price-usd-per-mtok": f"{into:.10g};{out:.10g}"}
    for name, value in (("ship", route.host), ("deployment", route.deployment), ("country", route.country)):
        if value:
            named[f"x-aether-{name}"] = value
    for name, span_s in (("modelled-round-trip", route.modelled_s), ("measured-first-byte", route.first_s)):
        if span_s is not None:
            named[f"x-aether-{name}-ms"] = f"{1000 * span_s:.3f}"
    return named


def bill_of(route: Route) -> Bill:
    """A function from usage to what an answer tells under `usage.aether`."""

    def bill(usage: dict[str, Any]) -> dict[str, Any]:
        into, out = route.price_usd_mtok
        return {
            "ship": route.host, "on_a_ship": route.ship, "deployment": route.deployment, "country": route.country,
            "modelled_round_trip_ms": None if route.modelled_s is None else round(1000 * route.modelled_s, 3),
            "measured_first_byte_ms": None if route.first_s is None else round(1000 * route.first_s, 3),
            "tries": route.tries, "price_usd_per_mtok": {"in": into, "out": out}, "cost_usd": cost_usd(usage, route),
        }  # fmt: skip

    return bill


def anthropic_limits(limits: dict[str, str], now: datetime) -> dict[str, str]:
    """A caller's limits in Anthropic's names; what is left to wait becomes a moment."""
    named = {}
    for name, value in limits.items():
        if match := LIMIT.fullmatch(name.lower()):
            what, of = match.groups()
            if what == "reset":
                spans = SPAN.findall(value)
                wait_s = sum(float(number) * SPAN_S[unit] for number, unit in spans)
                value = (now + timedelta(seconds=wait_s)).strftime("%Y-%m-%dT%H:%M:%SZ")
            named[f"anthropic-ratelimit-{of}-{what}"] = value
    return named


def conversation_of(asked: Asked, caller: Caller, header: str | None) -> bytes:
    """The digest that requests of one conversation share, never across projects."""
    if header or asked.same:
        told = b"told\0" + (header or asked.same).encode("utf-8", "replace")
    else:
        told = b"read\0" + dump([asked.model, asked.opening])[:OPENING_BYTES]
    return hashlib.blake2b(caller.home.encode() + b"\0" + told, digest_size=16).digest()


def _place(header: str | None) -> str | None:
    if header and len(header) > PLACE_LENGTH:
        raise Trouble("invalid", "x-aether-place: the name of a city")
    return header or None


def _states(header: str | None) -> tuple[str, ...]:
    states = tuple(state.strip() for state in header.split(",")) if header else ()
    if not all(map(STATE.fullmatch, states)):
        raise Trouble("invalid", "x-aether-jurisdictions: two-letter states divided by commas, as US,DE")
    return states


def _parsed(raw: bytearray) -> Any:
    try:
        return parse(raw)
    except ValueError as wrong:
        what = f"We could not parse the JSON body of your request: {wrong}."
        raise Trouble("invalid", what, code="invalid_json") from None


class Front:
    """Answers requests from a desk; see `application`."""

    def __init__(
        self, desk: Desk, pass_on: PassOn | None, body_bytes: int, body_s: float, stall_s: float, beat_s: float
    ) -> None:
        self.desk, self.pass_on = desk, pass_on
        self.closing: set[asyncio.Task[None]] = set()  # the loop itself holds tasks only weakly
        self.body_bytes, self.body_s, self.stall_s, self.beat_s = body_bytes, body_s, stall_s, beat_s

    def routes(self) -> list[web.RouteDef]:
        """Every path, what answers it and in whose words."""
        routes = [web.get("/health", self.health)]
        for path, dialect in SPOKEN.items():
            routes.append(web.post(path, self.door(self.speaker(dialect), dialect.vendor)))
        for path, count in COUNTS.items():
            routes.append(web.post(path, self.door(self.counter(count), count.dialect.vendor)))
        routes.append(web.get("/v1/models", self.door(self.models)))
        routes.append(web.get("/v1/models/{id:.+}", self.door(self.model)))
        if self.pass_on is not None:
            routes += [web.route("*", path, self.door(self.passing, openai)) for path in PASSED_ON]
            routes.append(web.delete("/v1/models/{id:.+}", self.door(self.passing, openai)))
        return [*routes, web.route("*", "/{tail:.*}", self.door(self.nowhere))]

    def door(self, act: Callable[[Visit], Awaitable[web.StreamResponse]], vendor: Vendor | None = None) -> Any:
        """A handler that answers what goes wrong in a vendor's words; without one, in those of the client's headers."""

        async def handle(request: web.Request) -> web.StreamResponse:
            spoken = vendor or (anthropic if "anthropic-version" in request.headers else openai)
            visit = Visit(request, spoken, f"req_{secrets.token_hex(12)}", time.perf_counter())
            try:
                return await act(visit)
            except Trouble as trouble:
                return self.refusal(visit, trouble)
            except Exception:
                log.exception("request %s failed", visit.id)
                return self.refusal(
                    visit, Trouble("broken", "The gateway failed at this request.", status=500, code="internal_error")
                )

        return handle

    def refusal(self, visit: Visit, trouble: Trouble) -> web.Response:
        """The answer that says what went wrong; a body that was not read to its end ends the connection."""
        status, body = visit.vendor.error(trouble, visit.id)
        response = web.Response(
            status=status,
            body=dump(body),
            content_type="application/json",
            headers={**visit.headers(), **retry_headers(trouble)},
        )
        if visit.request.can_read_body and not visit.request.content.is_eof():
            response.force_close()
        return response

    def speaker(self, dialect: Dialect) -> Callable[[Visit], Awaitable[web.StreamResponse]]:
        """The path of a request for an answer, stage by stage."""

        async def speak(visit: Visit) -> web.StreamResponse:
            caller = self.caller(visit)
            asked = await self.read(visit, dialect.accept)
            ask = self.ask(visit, dialect, asked, caller)
            # here guardrails will look at what is asked
            if asked.stream and dialect.pieces is not None:
                stream = await self.desk.stream(ask)
                bill = bill_of(stream.route)
                # here guardrails will look at what is answered, piece by piece
                return await self.flow(visit, caller, stream, dialect.pieces(asked, bill))
            whole = await self.desk.whole(ask)
            # here guardrails will look at what is answered
            try:
                body = dialect.whole(whole.body, asked, bill_of(whole.route))
            except (AttributeError, IndexError, KeyError, TypeError, ValueError):
                raise Trouble("broken", "The model's server gave an answer that is none.") from None
            headers = self.answer_headers(visit, caller, whole.route)
            headers["x-aether-cost-usd"] = f"{cost_usd(whole.body.get('usage') or {}, whole.route):.9f}"
            return web.Response(body=dump(body), content_type="application/json", headers=headers)

        return speak

    def caller(self, visit: Visit) -> Caller:
        """Whose request it is."""
        return self.desk.caller(secret_of(visit.request))

    async def read(self, visit: Visit, accept: Callable[[Any], Asked]) -> Asked:
        """A request as its dialect takes it; a long one is read beside the loop, so that others are answered meanwhile."""
        raw = await self.body(visit)
        if len(raw) < LONG_BYTES:
            return accept(_parsed(raw))
        return await asyncio.to_thread(lambda: accept(_parsed(raw)))

    async def body(self, visit: Visit) -> bytearray:
        """A request's body, read no further than the limit."""
        request, raw = visit.request, bytearray()
        if (request.content_length or 0) > self.body_bytes:
            raise self.too_large()
        try:
            async with asyncio.timeout(self.body_s):
                async for chunk in request.content.iter_any():
                    raw += chunk
                    if len(raw) > self.body_bytes:
                        raise self.too_large()
        except TimeoutError:
            raise Trouble(
                "invalid", "The request's body did not come in time.", status=408, code="request_timeout"
            ) from None
        except (web.RequestPayloadError, ValueError):
            raise Trouble("invalid", "The request's body cannot be read.") from None
        return raw

    def too_large(self) -> Trouble:
        """What is said of a body beyond the limit; made anew each time, for a trouble keeps the frame, and so the body, that it was raised in."""
        return Trouble("too-large", f"The request is larger than {self.body_bytes} bytes.")

    def ask(self, visit: Visit, dialect: Dialect, asked: Asked, caller: Caller) -> Ask:
        """What is asked of the desk."""
        headers = visit.request.headers
        return Ask(
            endpoint=dialect.endpoint, body=asked.body, model=asked.model, stream=asked.stream, caller=caller, request_id=visit.id,
            place=_place(headers.get("x-aether-place")), jurisdictions=_states(headers.get("x-aether-jurisdictions")),
            conversation=conversation_of(asked, caller, headers.get("x-aether-conversation")),
        )  # fmt: skip

    def answer_headers(self, visit: Visit, caller: Caller, route: Route | None) -> dict[str, str]:
        """The headers of an answer: request, limits, route."""
        limits = dict(self.desk.limits(caller))
        if visit.vendor is anthropic:
            limits = anthropic_limits(limits, datetime.now(UTC))
        return {**visit.headers(), **limits, **(route_headers(route) if route else {})}

    async def flow(self, visit: Visit, caller: Caller, stream: Stream, pieces: Pieces) -> web.StreamResponse:
        """Write a stream as it comes; whatever ends it early is told to the desk."""
        done = False
        try:
            headers = {
                "Content-Type": "text/event-stream; charset=utf-8",
                "Cache-Control": "no-cache",
                "X-Accel-Buffering": "no",
            }
            response = web.StreamResponse(headers={**self.answer_headers(visit, caller, stream.route), **headers})
            await response.prepare(visit.request)
            outlet = Outlet(visit.request, response, self.stall_s)
            async with pinging(outlet, pieces.ping, self.beat_s):
                try:
                    async for chunk in stream:
                        if frames := pieces.piece(chunk):
                            await outlet.write(frames)
                    done = True
                    last = pieces.end()
                except Trouble as trouble:
                    last = pieces.broken(trouble, visit.id)
                except ConnectionError:
                    return response  # the client is gone
                except Exception:
                    log.exception("request %s failed in mid-stream", visit.id)
                    last = pieces.broken(Trouble("broken", "The model's server gave an answer that is none."), visit.id)
                with contextlib.suppress(ConnectionError):
                    await outlet.write(last)
            return response
        finally:
            if not done:
                await self.close(stream)

    async def close(self, stream: Stream) -> None:
        """Close a stream to its end, even where a second cancellation comes while it closes."""
        closing = asyncio.get_running_loop().create_task(stream.close())
        self.closing.add(closing)
        closing.add_done_callback(self.closing.discard)
        await asyncio.shield(closing)

    def counter(self, count: Count) -> Callable[[Visit], Awaitable[web.StreamResponse]]:
        """What tells the tokens of a prompt."""

        async def tell(visit: Visit) -> web.StreamResponse:
            caller = self.caller(visit)
            asked = await self.read(visit, count.accept)
            tokens = await self.desk.count(self.ask(visit, count.dialect, asked, caller))
            headers = self.answer_headers(visit, caller, None)
            return web.Response(body=dump(count.told(tokens)), content_type="application/json", headers=headers)

        return tell

    async def models(self, visit: Visit) -> web.StreamResponse:
        """The models that the caller may use; a page of them in Anthropic's form."""
        caller = self.caller(visit)
        models = self.desk.models(caller)
        if visit.vendor is openai:
            body: dict[str, Any] = {"object": "list", "data": [openai_model(model) for model in models]}
        else:
            body = page(models, visit.request.query)
        return web.Response(body=dump(body), content_type="application/json", headers=visit.headers())

    async def model(self, visit: Visit) -> web.StreamResponse:
        """One model."""
        name = visit.request.match_info["id"]
        for model in self.desk.models(self.caller(visit)):
            if model.name == name:
                shown = openai_model(model) if visit.vendor is openai else anthropic_model(model)
                return web.Response(body=dump(shown), content_type="application/json", headers=visit.headers())
        if visit.vendor is anthropic:
            raise Trouble("missing", f"model: {name[:100]}")
        raise Trouble(
            "missing", f"The model '{name[:100]}' does not exist or you do not have access to it.", param="model"
        )

    async def passing(self, visit: Visit) -> web.StreamResponse:
        """What the control process answers; nothing of a body is read for those without a key."""
        assert self.pass_on is not None
        try:
            self.caller(visit)
        except Trouble as trouble:
            if trouble.kind != "forbidden":  # a key that may not ask models may read files
                raise
        return await self.pass_on(visit.request)

    async def health(self, _request: web.Request) -> web.StreamResponse:
        """That it answers; no key is asked for."""
        return web.Response(body=b'{"status":"ok"}', content_type="application/json")

    async def nowhere(self, visit: Visit) -> web.StreamResponse:
        """A path that is none, or one of ours with another method."""
        method, path = visit.request.method, visit.request.path[:200]
        known = SPOKEN.get(path) or (COUNTS[path].dialect if path in COUNTS else None)
        vendor = known.vendor if known else visit.vendor
        trouble = Trouble(
            "missing", f"Invalid URL ({method} {path})" if vendor is openai else "Not Found", code="unknown_url"
        )
        if known or path == "/v1/models" or path.startswith("/v1/models/"):
            trouble = Trouble("invalid", f"Not allowed to {method} on {path}.", status=405, code="method_not_supported")
        return self.refusal(Visit(visit.request, vendor, visit.id, visit.start_s), trouble)


def application(
    desk: Desk, *, pass_on: PassOn | None = None, body_bytes: int = BODY_BYTES, body_s: float = BODY_S, stall_s: float = STALL_S,
    beat_s: float = BEAT_S,
) -> web.Application:  # fmt: skip
    """The application that answers for a desk; pass_on: what answers for files, tuning and feedback."""
    app = web.Application()
    app.add_routes(Front(desk, pass_on, body_bytes, body_s, stall_s, beat_s).routes())
    return app


def _quiet() -> logging.Logger:
    """A log for aiohttp's server that tells no line of a request: a malformed one may hold a key."""
    quiet = logging.getLogger(f"{__name__}.server")

    def strip(record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[0] is not None:
            record.msg, record.args = f"a connection failed: {record.exc_info[0].__name__}", ()
            record.exc_info, record.exc_text = None, None
        return True

    if not quiet.filters:
        quiet.addFilter(strip)
    return quiet


async def serve(app: web.Application, host: str, port: int, *, idle_s: float = IDLE_S) -> tuple[web.AppRunner, int]:
    """Serve an application; its runner, to be cleaned up, and the port that it has. idle_s: for a request's head, and between two."""
    runner = web.AppRunner(
        app, handler_cancellation=True, keepalive_timeout=idle_s, lingering_time=LINGER_S, access_log=None, logger=_quiet(),
        shutdown_timeout=5.0,
    )  # fmt: skip
    await runner.setup()
    site = web.TCPSite(runner, host, port, backlog=1024)
    await site.start()
    return runner, site.port
