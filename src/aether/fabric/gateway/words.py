"""A server that says numbered words and no model: it speaks OpenAI's chat as a job of a fabric under trial, a word a token.

Whoever reads an answer can count its tokens, sees by which host it was said, and whether one is missing.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from typing import Any

from aiohttp import web

PAUSE_S = 0.02  # between two tokens: some of the present models' pace to one reader
MOST = 8  # words where a request names no number


def words(host: str, count: int) -> list[str]:
    """What a host says: `HOST-0 HOST-1 ...`."""
    return [f"{host}-{n}" for n in range(count)]


def _usage(body: dict[str, Any], count: int) -> dict[str, int]:
    asked = asked_tokens(body)
    return {"prompt_tokens": asked, "completion_tokens": count, "total_tokens": asked + count}


def asked_tokens(body: dict[str, Any]) -> int:
    """Tokens of a request: its words."""
    return sum(len(m["content"].split()) for m in body["messages"])


async def _chat(request: web.Request) -> web.StreamResponse:
    key = os.environ.get("AETHER_SERVER_KEY", "")
    if key and request.headers.get("Authorization") != f"Bearer {key}":
        return web.json_response({"error": {"message": "Incorrect API key provided."}}, status=401)
    body = await request.json()
    said = [f"{w} " for w in words(os.environ.get("AETHER_SHIP", "here"), body.get("max_tokens") or MOST)]
    head = {"id": "x", "created": 1, "model": body["model"]}
    if not body.get("stream"):
        await asyncio.sleep(PAUSE_S * len(said))
        message = {"role": "assistant", "content": "".join(said)}
        choice = {"index": 0, "message": message, "finish_reason": "length"}
        whole = {"object": "chat.completion", "choices": [choice], "usage": _usage(body, len(said))}
        return web.json_response(head | whole)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    head |= {"object": "chat.completion.chunk"}
    for n, word in enumerate(said, 1):
        part = {"index": 0, "delta": {"content": word}, "finish_reason": "length" if n == len(said) else None}
        piece = json.dumps(head | {"choices": [part], "usage": _usage(body, n)})
        await response.write(f"data: {piece}\n\n".encode())
        await asyncio.sleep(PAUSE_S)
    last = json.dumps(head | {"choices": [], "usage": _usage(body, len(said))})
    await response.write(f"data: {last}\n\ndata: [DONE]\n\n".encode())
    return response


async def _well(_request: web.Request) -> web.Response:
    return web.Response(text="ok")


async def serve(host: str, port: int) -> None:
    """Serve until SIGTERM; what is under way then is finished."""
    app = web.Application()
    app.router.add_post("/v1/chat/completions", _chat)
    app.router.add_get("/health", _well)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=3.0)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    await ended.wait()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(os.environ["AETHER_HOST"], int(os.environ["AETHER_PORT"])))
