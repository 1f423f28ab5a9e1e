"""aether-tiny over HTTP, in the forms of OpenAI's API; adapters are loaded as vLLM does it."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from aiohttp import web

from aether.fabric.tiny import asked
from aether.fabric.tiny.asked import Sampling, Wrong
from aether.fabric.tiny.engine import Engine, Full, Piece, Work
from aether.fabric.tiny.weights import Adapter, load_adapter

BODY_BYTES = 2 << 20  # a context is 512 bytes; 64 prompts, and room for escapes
MAX_ADAPTERS = 64  # of half a megabyte each
RETRY_S = 1  # a slot is free again within about a second
DEFAULT_COMPLETION = 16  # tokens, OpenAI's own for /v1/completions

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Endpoints over one engine. name: the model as clients name it. key: without which nobody is answered but at /health; none asks for none."""

    def __init__(self, engine: Engine, name: str, key: str = "") -> None:
        self._engine, self._name, self._since, self._key = engine, name, int(time.time()), key.encode()
        self._adapters: dict[str, Adapter] = {}
        self.ready = False

    def app(self) -> web.Application:
        """The application to serve."""
        app = web.Application(middlewares=[_said, self._known], client_max_size=BODY_BYTES)
        app.router.add_get("/health", self._health)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/completions", self._completions)
        app.router.add_post("/v1/embeddings", self._embeddings)
        app.router.add_post("/tokenize", self._tokenize)
        app.router.add_post("/v1/load_lora_adapter", self._load)
        app.router.add_post("/v1/unload_lora_adapter", self._unload)
        return app

    @web.middleware
    async def _known(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse those who do not have the key."""
        told = request.headers.get("Authorization", "").removeprefix("Bearer ").encode("utf-8", "replace")
        if self._key and request.path != "/health" and not hmac.compare_digest(told, self._key):
            raise Wrong("Incorrect API key provided.", status=401)
        return await handler(request)

    async def warm(self) -> None:
        """Have the kernels compiled, then be ready."""
        async with self._asked([Work([256, 35], 2, _nobody)]) as pieces:
            async for _, piece in pieces:
                if piece.finish == "failed":
                    raise RuntimeError("the engine does not run")
        self.ready = True

    async def _metrics(self, _request: web.Request) -> web.Response:
        """The gauges that routing reads, by vLLM's names."""
        running, waiting, share = self._engine.load()
        told = {
            "num_requests_running": running,
            "num_requests_waiting": waiting,
            "kv_cache_usage_perc": round(share, 6),
        }
        lines = [line for name, value in told.items() for line in (f"# TYPE vllm:{name} gauge", f"vllm:{name} {value}")]
        return web.Response(text="\n".join(lines) + "\n", headers={"Content-Type": "text/plain; version=0.0.4"})

    async def _health(self, _request: web.Request) -> web.Response:
        return web.Response(status=200 if self.ready else 503)

    async def _models(self, _request: web.Request) -> web.Response:
        most = self._engine.weights.shape.context
        data = [
            {"id": name, "object": "model", "created": self._since, "owned_by": "aether", "max_model_len": most,
             "parent": None if name == self._name else self._name}
            for name in (self._name, *self._adapters)
        ]  # fmt: skip
        return web.json_response({"object": "list", "data": data})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await _read(request)
        adapter = self._adapter(body)
        asked.supported(body)
        how, prompt = asked.sampling(body), asked.messages(body)
        works = self._works([prompt], how, adapter, how.limit, "messages")
        return await self._answer(request, body, how, works, chat=True)

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        body = await _read(request)
        adapter = self._adapter(body)
        asked.supported(body)
        how, prompts = asked.sampling(body), asked.texts(body, "prompt")
        works = self._works(prompts, how, adapter, how.limit or DEFAULT_COMPLETION, "prompt")
        return await self._answer(request, body, how, works, chat=False)

    async def _embeddings(self, request: web.Request) -> web.Response:
        body = await _read(request)
        adapter = self._adapter(body)
        asked.supported(body)
        form = body.get("encoding_format") or "float"
        if form not in ("float", "base64"):
            raise Wrong("'encoding_format' must be float or base64.", "encoding_format")
        prompts = asked.texts(body, "input")
        for prompt in prompts:
            self._fits(prompt, "input")
        works = [Work(prompt, 0, _nobody, adapter, embed=True) for prompt in prompts]
        found: dict[int, Any] = {}
        async with self._asked(works) as pieces:
            async for n, piece in pieces:
                if piece.embedding is None:
                    raise Wrong("The model failed.", status=500)
                unit = (piece.embedding / np.linalg.norm(piece.embedding)).astype("<f4")
                found[n] = base64.b64encode(unit.tobytes()).decode() if form == "base64" else unit.tolist()
        data = [{"object": "embedding", "index": n, "embedding": found[n]} for n in range(len(works))]
        count = sum(map(len, prompts))
        usage = {"prompt_tokens": count, "total_tokens": count}
        return web.json_response({"object": "list", "data": data, "model": body["model"], "usage": usage})

    async def _tokenize(self, request: web.Request) -> web.Response:
        body = await _read(request)
        tokens = asked.messages(body) if "messages" in body else asked.texts(body, "prompt")[0]
        most = self._engine.weights.shape.context
        return web.json_response({"count": len(tokens), "max_model_len": most, "tokens": tokens})

    async def _load(self, request: web.Request) -> web.Response:
        body = await _read(request)
        name, path = body.get("lora_name"), body.get("lora_path")
        if not isinstance(name, str) or not 0 < len(name) <= 200 or name == self._name:
            raise Wrong("'lora_name' must be a name of up to 200 characters, not the model's own.", "lora_name")
        if not isinstance(path, str) or not path:
            raise Wrong("'lora_path' must be a path.", "lora_path")
        if name not in self._adapters and len(self._adapters) >= MAX_ADAPTERS:
            raise Wrong(f"{MAX_ADAPTERS} adapters are loaded; unload one first.", "lora_name")
        try:
            adapter = await asyncio.to_thread(load_adapter, Path(path), self._engine.weights)
        except (OSError, ValueError, KeyError) as error:
            raise Wrong(f"The adapter cannot be loaded: {error}", "lora_path") from error
        self._adapters[name] = adapter
        return web.Response(text=f"Success: LoRA adapter '{name}' added successfully.")

    async def _unload(self, request: web.Request) -> web.Response:
        name = (await _read(request)).get("lora_name")
        if not isinstance(name, str) or self._adapters.pop(name, None) is None:
            raise Wrong(f"The LoRA adapter '{name}' is not loaded.", "lora_name", status=404)
        return web.Response(text=f"Success: LoRA adapter '{name}' removed successfully.")

    def _adapter(self, body: dict[str, Any]) -> Adapter | None:
        """The adapter that `model` names, or none for the model itself."""
        name = body.get("model")
        if not isinstance(name, str):
            raise Wrong("You must provide a model parameter.", "model")
        if name != self._name and name not in self._adapters:
            raise Wrong(f"The model '{name[:200]}' does not exist.", "model", code="model_not_found", status=404)
        return self._adapters.get(name)

    def _fits(self, prompt: list[int], param: str, more: int = 0) -> None:
        most = self._engine.weights.shape.context
        if len(prompt) + more > most:
            raise Wrong(
                f"This model's maximum context length is {most} tokens. However, you asked for {len(prompt) + more} tokens "
                f"({len(prompt)} in the {param}, {more} in the completion).", param, code="context_length_exceeded",
            )  # fmt: skip

    def _works(
        self, prompts: list[list[int]], how: Sampling, adapter: Adapter | None, limit: int | None, param: str
    ) -> list[Work]:
        """A piece of work for each choice of each prompt. Choices of one seeded request draw apart."""
        works = []
        for prompt in prompts:
            self._fits(prompt, param, limit or 1)
            most = limit or self._engine.weights.shape.context - len(prompt)
            for n in range(how.choices):
                seed = None if how.seed is None else (how.seed + n) % (1 << 64)
                works.append(
                    Work(
                        prompt,
                        most,
                        _nobody,
                        adapter,
                        how.salt,
                        how.temperature,
                        how.top_p,
                        seed,
                        how.stops,
                        how.top_k,
                        how.min_p,
                    )
                )
        return works

    async def _answer(
        self, request: web.Request, body: dict[str, Any], how: Sampling, works: list[Work], *, chat: bool
    ) -> web.StreamResponse:
        """The answer, in the form of its endpoint, whole or as a stream."""
        kind = ("chat.completion.chunk" if how.stream else "chat.completion") if chat else "text_completion"
        head = {
            "id": f"{'chatcmpl' if chat else 'cmpl'}-{uuid.uuid4().hex}", "object": kind, "created": int(time.time()),
            "model": body["model"],
        }  # fmt: skip
        echoes = [
            bytes(w.prompt[1:]).decode("utf-8", "replace") if not chat and body.get("echo") else "" for w in works
        ]
        async with self._asked(works) as pieces:
            if how.stream:
                return await _streamed(request, head, how, works, pieces, echoes, chat=chat)
            shown, last = echoes, dict[int, Piece]()
            async for n, piece in pieces:
                shown[n] += piece.text
                last[n] = piece
        if any(piece.finish == "failed" for piece in last.values()):
            raise Wrong("The model failed.", status=500)
        choices = [
            {"index": n, "logprobs": None, "finish_reason": last[n].finish, "stop_reason": last[n].met or None}
            | ({"message": {"role": "assistant", "content": shown[n], "refusal": None}} if chat else {"text": shown[n]})
            for n in range(len(works))
        ]
        return web.json_response(head | {"choices": choices, "usage": _usage(works, last, how.choices)})

    @asynccontextmanager
    async def _asked(self, works: list[Work]) -> AsyncIterator[AsyncIterator[tuple[int, Piece]]]:
        """Works under way and their pieces as they come; whoever leaves early has them cancelled."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[tuple[int, Piece]] = asyncio.Queue()

        def teller(n: int) -> Callable[[Piece], None]:
            return lambda piece: _tell(loop, queue, n, piece)

        for n, work in enumerate(works):
            work.tell = teller(n)

        async def pieces() -> AsyncIterator[tuple[int, Piece]]:
            left = len(works)
            while left:
                n, piece = await queue.get()
                left -= piece.finish is not None
                yield n, piece

        try:
            self._engine.add(*works)
        except Full:
            raise Wrong("The model is busy; ask again soon.", status=503, code="overloaded") from None
        try:
            yield pieces()
        finally:
            for work in works:
                work.cancelled = True


def _tell(loop: asyncio.AbstractEventLoop, queue: asyncio.Queue[tuple[int, Piece]], n: int, piece: Piece) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(queue.put_nowait, (n, piece))


def _nobody(_piece: Piece) -> None:
    """Where pieces go before somebody listens."""


def _usage(works: list[Work], last: dict[int, Piece], choices: int) -> dict[str, Any]:
    """Tokens read, once for all choices of a prompt, and written."""
    firsts = range(0, len(works), choices)
    read, made = sum(len(works[n].prompt) for n in firsts), sum(piece.tokens for piece in last.values())
    cached = sum(last[n].cached for n in firsts if n in last)
    return {
        "prompt_tokens": read, "completion_tokens": made, "total_tokens": read + made,
        "prompt_tokens_details": {"cached_tokens": cached},
    }  # fmt: skip


async def _streamed(
    request: web.Request, head: dict[str, Any], how: Sampling, works: list[Work],
    pieces: AsyncIterator[tuple[int, Piece]], echoes: list[str], *, chat: bool,
) -> web.StreamResponse:  # fmt: skip
    """An answer as server-sent events, in OpenAI's chunks."""
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
    )
    await response.prepare(request)
    extra = {"usage": None} if how.usage else {}

    async def send(n: int, said: str, ended: Piece | None, **delta: str) -> None:
        what = {"delta": delta | ({"content": said} if said or delta else {})} if chat else {"text": said}
        end = {"finish_reason": ended.finish, "stop_reason": ended.met or None} if ended else {"finish_reason": None}
        choice = {"index": n, "logprobs": None} | end | what
        own = {0: last[n]} if n in last else {}  # of this choice alone, as vLLM has it
        told = {"usage": _usage(works[n : n + 1], own, 1)} if how.usage and how.running else extra
        await _event(response, head | {"choices": [choice]} | told)

    last: dict[int, Piece] = {}
    for n, echo in enumerate(echoes):
        if chat or echo:
            await send(n, echo, None, **({"role": "assistant"} if chat else {}))
    async for n, piece in pieces:
        last[n] = piece
        if piece.finish == "failed":
            await _event(response, _error("The model failed.", "server_error"))
            return response
        if piece.text or piece.finish:
            if chat and piece.finish and piece.text:
                await send(n, piece.text, None)
            await send(n, "" if chat and piece.finish else piece.text, piece if piece.finish else None)
    if how.usage:
        await _event(response, head | {"choices": [], "usage": _usage(works, last, how.choices)})
    await response.write(b"data: [DONE]\n\n")
    await response.write_eof()
    return response


async def _event(response: web.StreamResponse, data: dict[str, Any]) -> None:
    await response.write(b"data: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n")


async def _read(request: web.Request) -> dict[str, Any]:
    """A request's body as an object; one that says that it is too large is not waited for."""
    if (request.content_length or 0) > BODY_BYTES:
        raise Wrong(f"The body has more than {BODY_BYTES:,} bytes.", status=413)
    try:
        body = json.loads(await request.read())
    except (ValueError, RecursionError) as error:
        raise Wrong("The body is not JSON.") from error
    if not isinstance(body, dict):
        raise Wrong("The body must be a JSON object.")
    return body


def _error(message: str, kind: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


@web.middleware
async def _said(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What went wrong, in OpenAI's form."""
    try:
        return await handler(request)
    except Wrong as wrong:
        kind = "server_error" if wrong.status >= 500 else "invalid_request_error"
        headers = {"Retry-After": str(RETRY_S)} if wrong.status == 503 else {}
        answer = _error(wrong.message, kind, wrong.param, wrong.code)
        return web.json_response(answer, status=wrong.status, headers=headers)
    except web.HTTPException as error:
        return web.json_response(_error(error.reason, "invalid_request_error"), status=error.status)
