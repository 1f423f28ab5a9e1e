"""A model server as a program of a job: OpenAI's chat completions, one word a token, nothing but the standard library and aiohttp."""

import asyncio
import json
import os
import signal

from aiohttp import web

PAUSE_S = 0.02  # between two tokens


def said(body):
    """The words of an answer: as many as are asked for, told apart by their number."""
    return [f"{os.environ.get('AETHER_SHIP', 'here')}-{n} " for n in range(body.get("max_tokens") or 8)]


def usage(body, count):
    asked = sum(len(m["content"].split()) for m in body["messages"])
    return {"prompt_tokens": asked, "completion_tokens": count, "total_tokens": asked + count}


async def chat(request):
    body = await request.json()
    words, head = said(body), {"id": "x", "created": 1, "model": body["model"]}
    if not body.get("stream"):
        await asyncio.sleep(PAUSE_S * len(words))
        choice = {"index": 0, "message": {"role": "assistant", "content": "".join(words)}, "finish_reason": "length"}
        return web.json_response(
            head | {"object": "chat.completion", "choices": [choice], "usage": usage(body, len(words))}
        )
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for n, word in enumerate(words, 1):
        choice = {"index": 0, "delta": {"content": word}, "finish_reason": "length" if n == len(words) else None}
        piece = head | {"object": "chat.completion.chunk", "choices": [choice], "usage": usage(body, n)}
        await response.write(f"data: {json.dumps(piece)}\n\n".encode())
        await asyncio.sleep(PAUSE_S)
    last = head | {"object": "chat.completion.chunk", "choices": [], "usage": usage(body, len(words))}
    await response.write(f"data: {json.dumps(last)}\n\ndata: [DONE]\n\n".encode())
    return response


async def main():
    app = web.Application()
    app.router.add_post("/v1/chat/completions", chat)
    app.router.add_get("/health", lambda _: web.Response(text="ok"))
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=3.0)
    await runner.setup()
    await web.TCPSite(runner, os.environ["AETHER_HOST"], int(os.environ["AETHER_PORT"])).start()
    await ended.wait()
    await runner.cleanup()  # what is under way is finished


asyncio.run(main())
