"""A model server that does what a test tells it: real HTTP, scripted answers."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

from aether.fabric.gateway.feed import DeploymentFacts, Feed, HostNow, KeyFacts, Replica
from aether.fabric.tenancy import new_key

WORDS = ["one ", "two ", "three ", "four"]


class PlayedServer:
    """Speaks OpenAI's chat completions. mode: what becomes of the next requests."""

    def __init__(self) -> None:
        self.mode, self.asked, self.gone = "well", [], 0
        self.started = asyncio.Event()
        self.go_on = asyncio.Event()
        self.runner: web.AppRunner | None = None
        self.url = ""

    async def __aenter__(self) -> PlayedServer:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self.chat)
        app.router.add_post("/tokenize", self.tokenize)
        app.router.add_get("/health", self.health)
        self.runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self.runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self.runner is not None
        await self.runner.cleanup()

    async def health(self, _: web.Request) -> web.Response:
        return web.Response(status=503 if self.mode == "ill" else 200)

    async def tokenize(self, request: web.Request) -> web.Response:
        body = await request.json()
        return web.json_response({"count": len(json.dumps(body.get("messages", "")))})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append(body)
        self.started.set()
        if self.mode == "full":
            return web.Response(status=503, headers={"Retry-After": "7"})
        if self.mode == "wrong":
            return web.json_response(
                {"error": {"message": "no such parameter", "param": "top_z", "code": "unknown"}}, status=400
            )
        if self.mode == "fault":
            return web.Response(status=500, text="oops")
        if self.mode == "silent":
            try:
                await self.go_on.wait()
            except asyncio.CancelledError:
                self.gone += 1
                raise
        if body.get("stream"):
            return await self.flow(request, body)
        made: dict[str, Any] = {"id": "x", "object": "chat.completion", "model": body["model"], "usage": usage(4), "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "".join(WORDS)}, "finish_reason": "stop"}]}  # fmt: skip
        return web.json_response(made)

    async def flow(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        each = body["stream_options"].get("continuous_usage_stats")
        try:
            for n, word in enumerate(WORDS, 1):
                piece = {
                    "id": "x",
                    "object": "chat.completion.chunk",
                    "model": body["model"],
                    "choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}],
                }
                await response.write(f"data: {json.dumps(piece | ({'usage': usage(n)} if each else {}))}\n\n".encode())
                if n == 2 and self.mode == "dies":
                    assert request.transport is not None
                    request.transport.abort()
                    return response
                if n == 2 and self.mode == "waits":
                    await self.go_on.wait()
            last = {
                "id": "x",
                "object": "chat.completion.chunk",
                "model": body["model"],
                "choices": [],
                "usage": usage(4),
            }
            await response.write(f"data: {json.dumps(last)}\n\ndata: [DONE]\n\n".encode())
        except (asyncio.CancelledError, ConnectionError):
            self.gone += 1
            raise
        return response


def usage(count: int) -> dict[str, Any]:
    return {
        "prompt_tokens": 11,
        "completion_tokens": count,
        "total_tokens": 11 + count,
        "prompt_tokens_details": {"cached_tokens": 3},
    }


def fed(*servers: PlayedServer, **changed: Any) -> tuple[Feed, str]:
    """A feed with a model on a ship for each server, and a key of the project `acme`."""
    name, secret, digest = new_key()
    replicas = tuple(Replica(id=f"s-{i}", host=f"a/{i}", url=s.url) for i, s in enumerate(servers))
    hosts = tuple(
        HostNow(
            name=f"a/{i}", ship=True, country="US", gpus=8, gpus_installed=8, round_trip_s={"Nairobi": 0.05 + 0.01 * i}
        )
        for i in range(len(servers))
    )
    facts = {
        "name": "m",
        "project": "",
        "model": "small",
        "upstream": "real-small",
        "replicas": replicas,
        "price_in_usd_mtok": 1.0,
        "price_out_usd_mtok": 2.0,
    }
    given = {
        "version": 1, "time_s": 1e9, "speed": 1.0, "keys": (KeyFacts(key=name, digest=digest, project="acme", scopes=("infer",)),),
        "deployments": (DeploymentFacts(**facts),), "adapters": (), "hosts": hosts,
    }  # fmt: skip
    return Feed(**given | changed), secret
