"""A desk that answers from a script, and a gateway's front before it in a thread, for what the dialects are tested with."""

import asyncio
import contextlib
import gc
import threading
import time
import tracemalloc

from aether.fabric.gateway.asks import Caller, ModelInfo, Route, Trouble, Whole
from aether.fabric.gateway.front import application, serve

KEY, OTHER = "sk-play-0000000000000001", "sk-play-0000000000000002"
USAGE = {
    "prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14, "prompt_tokens_details": {"cached_tokens": 4},
}  # fmt: skip
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
ROUTE = {
    "deployment": "tiny", "host": "ship-07", "ship": True, "country": "US", "modelled_s": 0.0421, "first_s": 0.0533, "tries": 2,
    "price_usd_mtok": (0.5, 2.0),
}  # fmt: skip


def whole_chat(text="Hello there, ship.", finish="stop", calls=None, **choice):
    """An answer in one piece, in the form of chat completions."""
    message = {"role": "assistant", "content": text, **({"tool_calls": calls} if calls else {})}
    return {
        "id": "chatcmpl-7a1b", "object": "chat.completion", "created": 1790000000, "model": "aether-tiny",
        "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None, **choice}], "usage": dict(USAGE),
    }  # fmt: skip


def chunk(delta=None, finish=None, usage=None, **choice):
    """One piece of a stream; without delta, the last one, which bears usage."""
    choices = (
        [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None, **choice}]
    )
    made = {
        "id": "chatcmpl-7a1b",
        "object": "chat.completion.chunk",
        "created": 1790000000,
        "model": "aether-tiny",
        "choices": choices,
    }
    return {**made, "usage": usage} if usage else made


def streamed(texts=("Hello", " there", ", ship."), finish="stop", **choice):
    """The pieces of a stream of text."""
    first = chunk({"role": "assistant", "content": ""})
    return [first, *(chunk({"content": text}) for text in texts), chunk({}, finish, **choice), chunk(usage=dict(USAGE))]


def streamed_calls():
    """The pieces of a stream of a few words and two calls of tools."""
    pieces = [chunk({"role": "assistant", "content": "Let me see."})]
    for i, city in enumerate(("Oslo", "Rome")):
        pieces.append(chunk({"tool_calls": [{"index": i, "id": f"call_{i}", "type": "function",
                                             "function": {"name": "weather", "arguments": ""}}]}))  # fmt: skip
        for part in ('{"city": ', f'"{city}"}}'):
            pieces.append(chunk({"tool_calls": [{"index": i, "function": {"arguments": part}}]}))
    return [*pieces, chunk({}, "tool_calls"), chunk(usage=dict(USAGE))]


class PlayStream:
    """Pieces in turn: a Trouble among them is raised, a number is waited for in seconds."""

    def __init__(self, desk, pieces):
        self.desk, self.pieces, self.route = desk, pieces, Route(**ROUTE)

    async def __aiter__(self):
        for piece in self.pieces:
            if isinstance(piece, Trouble):
                raise piece
            if isinstance(piece, int | float):
                await asyncio.sleep(piece)
            else:
                self.desk.delivered += 1
                yield piece

    async def close(self):
        await asyncio.sleep(0)  # a real one speaks with its backend: being awaited matters
        self.desk.closed += 1


class PlayDesk:
    """A desk by script. troubles: raised first, one a request; answers, pieces: what whole and stream give, one for all."""

    def __init__(self):
        self.asks, self.troubles, self.closed, self.delivered, self.cancelled = [], [], 0, 0, 0
        self.answer, self.pieces, self.delay_s, self.left = whole_chat(), streamed(), 0.0, {}

    def caller(self, secret):
        """Whose secret it is."""
        projects = {KEY: "acme", OTHER: "zeta"}
        if secret not in projects:
            raise Trouble("unauthorised", "Incorrect API key provided.")
        return Caller(secret[-4:], projects[secret], frozenset({"infer"}))

    def models(self, caller):
        """Two models for everyone, and a tuned one for acme."""
        names = ["aether-tiny", "big/model"] + (["ft:aether-tiny:acme::a1"] if caller.project == "acme" else [])
        return [ModelInfo(name, 1790000000, "aether", 2048, (0.5, 2.0)) for name in names]

    async def _turn(self, ask):
        self.asks.append(ask)
        if self.troubles:
            raise self.troubles.pop(0)
        if ask.model not in [model.name for model in self.models(ask.caller)]:
            raise Trouble(
                "missing", f"The model '{ask.model}' does not exist or you do not have access to it.", param="model"
            )
        try:
            await asyncio.sleep(self.delay_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def whole(self, ask):
        """The script's answer."""
        await self._turn(ask)
        if ask.endpoint == "/v1/embeddings":
            texts = ask.body["input"] if isinstance(ask.body["input"], list) else [ask.body["input"]]
            rows = [{"object": "embedding", "index": i, "embedding": [0.5, -0.25, 0.125]} for i, _ in enumerate(texts)]
            return Whole(
                {"object": "list", "model": ask.model, "data": rows, "usage": {"prompt_tokens": 5, "total_tokens": 5}},
                Route(**ROUTE),
            )
        answer = self.answer
        if ask.endpoint == "/v1/completions":
            choices = [{"index": 0, "text": "Hello there", "finish_reason": "stop", "logprobs": None}]
            answer = {**answer, "id": "cmpl-7a1b", "object": "text_completion", "choices": choices}
        return Whole(answer, Route(**ROUTE))

    async def stream(self, ask):
        """The script's pieces."""
        await self._turn(ask)
        pieces = self.pieces
        if ask.endpoint == "/v1/completions":
            made = {"id": "cmpl-7a1b", "object": "text_completion", "created": 1790000000, "model": ask.model}
            rows = [
                {**made, "choices": [{"index": 0, "text": text, "finish_reason": None, "logprobs": None}]}
                for text in ("Hel", "lo")
            ]
            pieces = [*rows, {**made, "choices": [], "usage": dict(USAGE)}]
        return PlayStream(self, pieces)

    async def count(self, ask):
        """Eleven, whatever is counted."""
        await self._turn(ask)
        return 11

    def limits(self, _caller):
        """What the script says is left."""
        return self.left


@contextlib.contextmanager
def front(desk, **settings):
    """The front of a desk, served on a free port by a thread of its own: its address."""
    idle_s = settings.pop("idle_s", 30.0)
    loop, ready, found = asyncio.new_event_loop(), threading.Event(), {}

    async def up():
        found["runner"], found["port"] = await serve(application(desk, **settings), "127.0.0.1", 0, idle_s=idle_s)
        ready.set()

    def work():
        asyncio.set_event_loop(loop)
        loop.run_until_complete(up())
        loop.run_forever()
        loop.run_until_complete(found["runner"].cleanup())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    thread = threading.Thread(target=work)
    thread.start()
    assert ready.wait(10)
    try:
        yield f"http://127.0.0.1:{found['port']}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        assert not thread.is_alive()


def until(true, limit_s=30.0):
    """Wait for something to be true."""
    end = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.01)


@contextlib.contextmanager
def kept():
    """The bytes that are held at the end and were not at the beginning, as a list of one: of what Python's search for cycles has not let go."""
    made = []
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        yield made
        made.append(tracemalloc.get_traced_memory()[0] - before)
    finally:
        tracemalloc.stop()
        gc.enable()
