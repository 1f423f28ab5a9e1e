"""The gateway's process: `python -m aether.fabric.gateway.process FOLDER` serves models by what its folder and control tell it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import aiohttp
from aiohttp import web
from yarl import URL

from aether.fabric import watch
from aether.fabric.gateway.asks import Trouble
from aether.fabric.gateway.desk import Desk
from aether.fabric.gateway.front import application, secret_of, serve
from aether.fabric.gateway.link import Link
from aether.fabric.gateway.meter import Meter
from aether.fabric.gateway.metrics import exposition
from aether.fabric.gateway.upstream import Upstream

log = logging.getLogger("aether.gateway")
FINISH_S = 10.0  # that requests under way get when the gateway ends
HOP = frozenset(
    (
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "host",
    )
)
PIECE = 1 << 16  # bytes of a file that are passed on at once
PROBLEM = "application/problem+json"  # RFC 9457: what control's other endpoints refuse in
PASS_S = 600.0  # for a file to come or go


def main() -> int:
    """Serve until it is told to end."""
    folder = Path(sys.argv[1])
    watch.structured(folder / "gateway.log")
    told = json.loads((folder / "gateway.json").read_text(encoding="utf-8"))
    return asyncio.run(_serve(folder, told))


async def _serve(folder: Path, told: dict[str, object]) -> int:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, ended.set)
    up = Upstream()
    meter: list[Desk] = []
    desk = Desk(up, Meter(folder / "journal.db", lambda: _now(meter)))
    meter.append(desk)
    control = str(told["control"])
    link = Link(desk, control, str(told["token"]))
    link.start()
    app = application(desk, pass_on=Passage(control, up.session))
    app.router.add_get("/metrics", lambda request: _metrics(request, desk))
    ready = folder / "gateway-ready.json"
    try:
        try:
            runner, port = await serve(app, str(told["host"]), int(str(told["port"])))
        except OSError as error:
            log.error("%s:%s cannot be served: %s", told["host"], told["port"], error.strerror)
            return 1
        ready.write_text(json.dumps({"pid": os.getpid(), "port": port}))
        log.info("models answer at http://%s:%d/v1", told["host"], port)
        await ended.wait()
        ready.unlink(missing_ok=True)
        desk.leaving = True
        for site in list(runner.sites):
            await site.stop()
        until = loop.time() + FINISH_S
        while any(desk.under_way.values()) and loop.time() < until:
            await asyncio.sleep(0.05)
        await runner.cleanup()
    finally:
        await link.close()
        await asyncio.to_thread(desk.meter.close)
        await up.close()
    return 0


def _now(desks: list[Desk]) -> float:
    """Fabric time, as the last feed has it."""
    return desks[0].now_s() if desks else 0.0


class Passage:
    """Hands requests for files, tunings and feedback to control as they are, and its answers back."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url, self._session = url, session

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """The answer of control."""
        secret = secret_of(request)
        dropped = _hop(request.headers) | {"authorization", "x-api-key"}
        if "Content-Encoding" in request.headers:
            dropped |= {"content-encoding", "content-length"}  # the body comes here decoded, and is longer
        headers = {k: v for k, v in request.headers.items() if k.lower() not in dropped}
        if secret is not None:
            headers["Authorization"] = f"Bearer {secret}"
        body = request.content.iter_chunked(PIECE) if request.can_read_body else None
        timeout = aiohttp.ClientTimeout(total=PASS_S, sock_connect=2.0)
        # as it came: "/v1/files/.." made shorter would be a path of control's that is not open here
        url = URL(self._url + request.rel_url.raw_path_qs, encoded=True)
        response = None
        try:
            async with self._session.request(
                request.method, url, headers=headers, data=body, timeout=timeout, allow_redirects=False, auto_decompress=False
            ) as answer:  # fmt: skip
                if answer.content_type == PROBLEM:  # in its own words, not the vendor's: none of these endpoints
                    raise _lost(request, answer.status)
                dropped = _hop(answer.headers) | {"server", "date"}
                kept = {k: v for k, v in answer.headers.items() if k.lower() not in dropped}
                response = web.StreamResponse(status=answer.status, headers=kept)
                await response.prepare(request)
                async for piece in answer.content.iter_chunked(PIECE):
                    await response.write(piece)
                await response.write_eof()
                return response
        except (aiohttp.ClientError, OSError, TimeoutError):
            if response is not None:  # an error now would be read as the rest of what was begun
                if request.transport is not None:
                    request.transport.abort()
                return response
            if request.content.exception() is not None:
                raise Trouble("invalid", "The request's body cannot be read.") from None
            raise Trouble(
                "unavailable", "The fabric's control does not answer now; models do.", retry_after_s=2.0
            ) from None


def _lost(request: web.Request, status: int) -> Trouble:
    """What the vendor would say where control knows no such endpoint, or failed."""
    if status in (404, 405):
        return Trouble("missing", f"Invalid URL ({request.method} {request.path[:200]})", code="unknown_url")
    if status == 413:
        return Trouble("too-large", f"The request is larger than {request.path[:200]} takes.")
    return Trouble("unavailable", "The fabric's control failed at this request.", status=status)


def _hop(headers: Mapping[str, str]) -> frozenset[str]:
    """Names of headers that concern one hop alone: the known, and those that `Connection` names (RFC 9110, 7.6.1)."""
    return HOP | {name.strip().lower() for name in headers.get("Connection", "").split(",")}


async def _metrics(request: web.Request, desk: Desk) -> web.Response:
    """Prometheus metrics, for those who may watch."""
    try:
        desk.watcher(secret_of(request))
    except Trouble as trouble:
        return web.Response(
            status=401 if trouble.kind == "unauthorised" else 403,
            text=trouble.message,
            headers={"WWW-Authenticate": "Bearer"},
        )
    return web.Response(body=exposition(desk), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


if __name__ == "__main__":
    sys.exit(main())
