"""Tokens as servers tell them, vLLM's way and llama.cpp's: the caller is told once, and what was delivered is metered."""

import asyncio
import json

import pytest

pytest.importorskip("aiohttp", reason="the live fabric is not installed: pip install 'aether-fabric[live]'")

from aiohttp import web

from aether.fabric.gateway.asks import Ask, Trouble
from aether.fabric.gateway.desk import Desk
from aether.fabric.gateway.meter import Meter
from aether.fabric.gateway.told import Told
from aether.fabric.gateway.upstream import Upstream
from upstream_play import fed


def usage(into, out, cached=0):
    return {
        "prompt_tokens": into, "completion_tokens": out, "total_tokens": into + out, "prompt_tokens_details": {"cached_tokens": cached},
    }  # fmt: skip


def piece(index=0, **more):
    return {"id": "x", "choices": [{"index": index, "text": "a", "finish_reason": None}]} | more


def shown(told, *pieces):
    return [made for one in pieces if (made := told.take(one)) is not None]


def test_usage_with_a_choice_is_told_in_a_piece_of_its_own_at_the_end():
    told = Told()
    assert shown(told, piece(), piece(usage=usage(8, 2))) == [piece(), piece()]
    assert told.last() == {"id": "x", "choices": [], "usage": usage(8, 2)}
    assert told.tokens() == (8, 2, 0)


def test_usage_of_several_choices_is_added_up_and_their_prompt_is_read_once():
    told = Told(2)
    shown(told, piece(1, usage=usage(8, 1)), piece(0, usage=usage(8, 4, 7)), piece(1, usage=usage(8, 3)))
    assert (told.tokens(), told.last()["usage"]) == ((8, 7, 7), usage(8, 7, 7))
    ends = Told(2)
    assert shown(ends, {"choices": [], "usage": usage(8, 3)}, {"choices": [], "usage": usage(8, 4)}) == []
    assert ends.last() == {"choices": [], "usage": usage(8, 7)}


def test_usage_of_several_prompts_counts_each_of_them():
    told = Told(2)
    shown(told, *(piece(n, usage=usage(5 + n // 2, 1)) for n in range(4)))
    assert told.tokens() == (11, 4, 0)


def test_the_servers_own_sum_goes_before_ours_and_is_told_as_it_is():
    told, whole = Told(), usage(8, 2) | {"completion_tokens_details": {"reasoning_tokens": 1}}
    shown(told, piece(usage=usage(8, 1)), {"choices": [], "usage": whole})
    assert told.last()["usage"] == whole


def test_timings_stand_for_usage_until_it_comes_and_are_not_shown():
    told = Told()
    assert shown(told, piece(timings={"prompt_n": 1, "cache_n": 39, "predicted_n": 2})) == [piece()]
    assert told.tokens() == (40, 2, 39)
    shown(told, piece(timings="soon"), piece(timings={"prompt_n": "many", "cache_n": None, "predicted_n": 3}))
    assert told.tokens() == (0, 3, 0)


def test_a_server_that_tells_nothing_is_metered_by_pieces():
    told = Told()
    shown(told, piece(), piece())
    assert (told.tokens(), told.last()) == ((0, 2, 0), None)


class Llama:
    """A server that says what llama.cpp says, and breaks off in mid-stream, or not."""

    def __init__(self, breaks=True):
        self.asked, self.lines, self.breaks = [], set(), breaks

    async def serve(self, run):
        app = web.Application()
        app.on_response_prepare.append(self.named)
        app.router.add_get("/health", self.health)
        app.router.add_post("/v1/chat/completions", self.chat)
        app.router.add_post("/v1/embeddings", self.embed)
        app.router.add_post("/v1/chat/completions/input_tokens", self.count)
        app.router.add_post("/tokenize", self.tokenize)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            await run(self)
        finally:
            await runner.cleanup()

    async def health(self, _):
        return web.Response()

    async def embed(self, _):
        return web.json_response({"error": {"message": "start it otherwise"}}, status=501)

    async def count(self, _):
        return web.json_response({"input_tokens": 40})

    async def tokenize(self, _):
        return web.json_response({"tokens": []})

    async def named(self, _, response):
        response.headers["Server"] = "llama.cpp"

    async def chat(self, request):
        self.asked.append(await request.json())
        self.lines.add(request.transport.get_extra_info("peername"))
        response = web.StreamResponse()
        await response.prepare(request)
        for n in (1, 2):
            choice = {"index": 0, "delta": {"content": "é "}, "finish_reason": None}
            timings = {"prompt_n": 3, "cache_n": 37, "predicted_n": 3 * n}
            await response.write(f"data: {json.dumps({'choices': [choice], 'timings': timings})}\n\n".encode())
        if self.breaks:
            request.transport.abort()
        else:
            await response.write(b"data: [DONE]\n\n")
        return response


async def collect(flow, into):
    async for one in flow:
        into.append(one)


def before_llama(tmp_path, test, **given):
    """Run a test with a desk that has seen such a server's probe."""

    async def run(server):
        up, meter = Upstream(), Meter(tmp_path / "journal.db", lambda: 1e9)
        desk = Desk(up, meter)
        feed, secret = fed(server)
        desk.take(feed)
        try:
            for _, known, probe in desk.reachable():
                known.ready = await up.probe(known, probe)
            body = {"model": "small", "messages": [{"role": "user", "content": "hi"}]}
            asked = {
                "endpoint": "/v1/chat/completions",
                "body": body,
                "model": "small",
                "caller": desk.caller(secret),
                "request_id": "r",
            }
            await test(desk, lambda **more: Ask(**{"stream": False} | asked | more))
        finally:
            await up.close()
            meter.close()

    server = Llama(**given)
    asyncio.run(server.serve(run))
    return server


def test_what_llama_cpp_delivered_before_it_was_lost_is_metered_by_its_own_count(tmp_path):
    async def test(desk, ask):
        flow = await desk.stream(ask(stream=True))
        pieces = []
        with pytest.raises(Trouble, match="lost in mid-answer"):
            await collect(flow, pieces)
        assert [sorted(one) for one in pieces] == [["choices", "model"]] * 2
        desk.meter.flush()
        (row,) = desk.meter.unsent()
        assert (row.requests, row.errors, row.input_tokens, row.output_tokens, row.cached_tokens) == (1, 1, 40, 6, 37)

    assert before_llama(tmp_path, test).asked[0]["timings_per_token"] is True


def test_llama_cpp_counts_tokens_where_it_has_its_count(tmp_path):
    async def test(desk, ask):
        assert await desk.count(ask()) == 40

    before_llama(tmp_path, test)


def test_what_a_server_is_made_without_is_the_requests_fault_and_not_its_own(tmp_path):
    async def test(desk, ask):
        with pytest.raises(Trouble, match="start it otherwise") as told:
            await desk.whole(ask(endpoint="/v1/embeddings"))
        assert (told.value.kind, told.value.status) == ("refused", 400)

    before_llama(tmp_path, test)


def test_a_connection_that_llama_cpp_closes_after_a_stream_is_asked_nothing_more(tmp_path):
    async def test(desk, ask):
        for _ in range(3):
            assert len([one async for one in await desk.stream(ask(stream=True))]) == 3

    assert len(before_llama(tmp_path, test, breaks=False).lines) == 3
