"""The bench's gateway: the time it adds, requests a second, streams at once; its real process on one core before an instant server.

`AETHER_LITELLM` names the executable of LiteLLM's proxy (in an environment of its own) to be timed beside it in the same run.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp import web

from aether.fabric.gateway.feed import DeploymentFacts, Feed, KeyFacts, Replica
from aether.fabric.local import free_port
from aether.fabric.tenancy import new_key
from aether.study.timing import Row, row

ADDED_MS, ADDED_99_MS, REQUEST_US, STREAMS = 2.0, 10.0, 1e6 / 700.0, 200  # targets: issue of the gateway, ours
RATE, CONNECTIONS = 100.0, 32  # requests a second while latency is measured; at once while the rate is
CHUNKS, PAUSE_S = 40, 0.05  # of a stream: so many pieces, so far apart
UP_S = 60.0  # for a process to answer
PEER = "LiteLLM proxy"
ANSWER = json.dumps({
    "id": "x", "object": "chat.completion", "created": 1, "model": "m", "usage": {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18},
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "nine words that say nothing and are always alike"}, "finish_reason": "stop"}],
}).encode()  # fmt: skip


@dataclass(frozen=True)
class _Way:
    """Where requests go."""

    url: str
    key: str


async def _instant(port: int) -> None:
    """A server that answers at once, or a piece every so often; runs in a process of its own."""
    piece = b'data: {"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"word "}}]}\n\n'

    async def chat(request: web.Request) -> web.StreamResponse:
        if b'"stream":true' not in (await request.read()).replace(b" ", b""):
            return web.Response(body=ANSWER, content_type="application/json")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for _ in range(CHUNKS):
            await response.write(piece)
            await asyncio.sleep(PAUSE_S)
        await response.write(b"data: [DONE]\n\n")
        return response

    app = web.Application()
    app.router.add_post("/v1/chat/completions", chat)
    app.router.add_get("/health", lambda _: _well())
    await _serve(app, port)
    await asyncio.Event().wait()


async def _well() -> web.Response:
    return web.Response(text="ok")


async def _serve(app: web.Application, port: int) -> web.AppRunner:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    return runner


@contextlib.asynccontextmanager
async def _control(server: str) -> AsyncIterator[tuple[str, str]]:
    """The control process's side of a gateway that serves one model; its address and a key."""
    name, secret, digest = new_key()
    deployment = DeploymentFacts(
        name="m", project="", model="m", upstream="m", replicas=(Replica(id="s-0", host="", url=server),), salted=False
    )
    key = KeyFacts(key=name, digest=digest, project="p", scopes=("infer",))
    made = Feed(version=1, time_s=0.0, speed=1.0, keys=(key,), deployments=(deployment,), adapters=(), hosts=())

    async def sync(request: web.Request) -> web.Response:
        word = await request.json()
        last = word["tallies"][-1]["n"] if word["tallies"] else 0
        await asyncio.sleep(word["wait_s"])
        return web.Response(
            text=made.model_copy(update={"acknowledged": last}).model_dump_json(), content_type="application/json"
        )

    port, app = free_port(), web.Application()
    app.router.add_post("/gateway/v1/sync", sync)
    runner = await _serve(app, port)
    try:
        yield f"http://127.0.0.1:{port}", secret
    finally:
        await runner.cleanup()


@contextlib.contextmanager
def _process(*line: str, core: int | None = None, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process while it is wanted, on one core where the system can hold it there."""
    made = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | environment)
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(made.pid, {core})
    try:
        yield made
    finally:
        made.terminate()
        made.wait(30.0)


async def _up(session: aiohttp.ClientSession, way: _Way) -> None:
    until = time.monotonic() + UP_S
    while time.monotonic() < until:
        with contextlib.suppress(aiohttp.ClientError, OSError):
            await _one(session, way)
            return
        await asyncio.sleep(0.1)
    raise TimeoutError(f"{way.url} does not answer")


async def _one(session: aiohttp.ClientSession, way: _Way) -> float:
    """A request's time [s]."""
    begun = time.perf_counter()
    body = b'{"model":"m","messages":[{"role":"user","content":"Say something."}]}'
    async with session.post(
        way.url, data=body, headers={"Authorization": f"Bearer {way.key}", "Content-Type": "application/json"}
    ) as response:
        raw = await response.read()
        if response.status != 200 or b"choices" not in raw:
            raise aiohttp.ClientError(f"{response.status}")
    return time.perf_counter() - begun


async def _paced(session: aiohttp.ClientSession, way: _Way, seconds: float) -> list[float]:
    """Times of requests that come at a steady rate whatever becomes of those before."""
    begun, tasks = time.perf_counter(), []
    for n in range(int(RATE * seconds)):
        await asyncio.sleep(begun + n / RATE - time.perf_counter())
        tasks.append(asyncio.create_task(_one(session, way)))
    return await asyncio.gather(*tasks)


async def _pressed(session: aiohttp.ClientSession, way: _Way, seconds: float) -> float:
    """Requests a second of callers who ask again at once."""
    until, count = time.perf_counter() + seconds, 0

    async def caller() -> None:
        nonlocal count
        while time.perf_counter() < until:
            await _one(session, way)
            count += 1

    begun = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(CONNECTIONS)))
    return count / (time.perf_counter() - begun)


async def _streams(session: aiohttp.ClientSession, way: _Way) -> tuple[int, float]:
    """How many of the streams came to their end with all of their pieces, and the time of the slowest [s]."""
    body = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"Say something."}]}'

    async def one() -> bool:
        headers = {"Authorization": f"Bearer {way.key}", "Content-Type": "application/json"}
        pieces, done = 0, False
        async with session.post(way.url, data=body, headers=headers) as response:
            async for line in response.content:
                pieces += b'"word ' in line
                done = done or b"[DONE]" in line
        return done and pieces == CHUNKS

    begun = time.perf_counter()
    made = await asyncio.gather(*(one() for _ in range(STREAMS)), return_exceptions=True)
    return sum(m is True for m in made), time.perf_counter() - begun


async def _measured(way: _Way, direct: _Way, quick: bool) -> dict[str, float]:
    """All figures of one way; the time added is beside the server itself, asked in the same seconds."""
    seconds = 3.0 if quick else 10.0
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await _up(session, direct)
        await _up(session, way)
        through, straight = await _paced(session, way, seconds), await _paced(session, direct, seconds)
        rate = await _pressed(session, way, seconds)
        ended, slowest_s = await _streams(session, way)
    made = {
        "median": statistics.median(through) - statistics.median(straight),
        "rate": rate,
        "ended": float(ended),
        "slowest": slowest_s,
    }
    return made | {"p99": _high(through) - _high(straight)}


def _high(times: list[float]) -> float:
    return sorted(times)[int(0.99 * len(times))]


async def _all(quick: bool) -> dict[str, dict[str, float]]:
    port, gateway, peer = free_port(), free_port(), free_port()
    server = f"http://127.0.0.1:{port}"
    direct, litellm = _Way(f"{server}/v1/chat/completions", "none"), os.environ.get("AETHER_LITELLM")
    with (
        tempfile.TemporaryDirectory() as there,
        _process(sys.executable, "-m", __spec__.name, str(port), core=1 if (os.cpu_count() or 1) > 1 else None),
    ):
        folder = Path(there)
        async with _control(server) as (control, secret):
            (folder / "gateway.json").write_text(
                json.dumps({"control": control, "token": "t", "host": "127.0.0.1", "port": gateway})
            )
            with _process(sys.executable, "-m", "aether.fabric.gateway.process", there, core=0):
                made = {
                    "": await _measured(_Way(f"http://127.0.0.1:{gateway}/v1/chat/completions", secret), direct, quick)
                }
        if litellm:
            config, master = folder / "litellm.yaml", "sk-" + secrets.token_hex(24)
            config.write_text(
                json.dumps(
                    {
                        "model_list": [
                            {
                                "model_name": "m",
                                "litellm_params": {"model": "openai/m", "api_base": f"{server}/v1", "api_key": "none"},
                            }
                        ]
                    }
                )
            )
            with _process(
                litellm,
                "--config",
                str(config),
                "--port",
                str(peer),
                "--host",
                "127.0.0.1",
                core=0,
                LITELLM_LOG="ERROR",
                LITELLM_MASTER_KEY=master,
            ):
                made[PEER] = await _measured(
                    _Way(f"http://127.0.0.1:{peer}/v1/chat/completions", master), direct, quick
                )
    return made


def rows(quick: bool = False) -> list[Row]:
    """Rows of the bench."""
    made = asyncio.run(_all(quick))
    ours, others = made[""], {name: figures for name, figures in made.items() if name}

    def beside(name: str, factor: float, inverse: bool = False) -> dict[str, float]:
        return {peer: (factor / f[name] if inverse else factor * f[name]) for peer, f in others.items()}

    return [
        row("gateway, added latency", f"{RATE:g} requests/s, median", "ms", [ours["median"]], 1e3, ADDED_MS, beside("median", 1e3)),
        row("gateway, added latency", f"{RATE:g} requests/s, 99th percentile", "ms", [ours["p99"]], 1e3, ADDED_99_MS, beside("p99", 1e3)),
        row("gateway, whole answers", f"{CONNECTIONS} callers, one core", "us/request", [1.0 / ours["rate"]], 1e6, REQUEST_US, beside("rate", 1e6, True)),
        row("gateway, streams to their end", f"{STREAMS} at once, {CHUNKS} pieces each, one core; slowest {ours['slowest']:.2f} s of {CHUNKS * PAUSE_S:g}",
            "streams", [ours["ended"]], 1.0, None, beside("ended", 1.0)),
    ]  # fmt: skip


if __name__ == "__main__":
    asyncio.run(_instant(int(sys.argv[1])))
