"""Gauges that servers tell, read as each names them, and what routing makes of them."""

import asyncio
import json

import pytest

pytest.importorskip("aiohttp", reason="the live fabric is not installed: pip install 'aether-fabric[live]'")

from aiohttp import web

from aether.fabric.gateway import feed, gauges, routing
from aether.fabric.gateway.feed import DeploymentFacts
from aether.fabric.gateway.gauges import Gauges
from aether.fabric.gateway.upstream import Server, Upstream
from aether.fabric.tiny import weights
from aether.fabric.tiny.engine import Engine, Work
from upstream_play import PlayedServer


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25\nvllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.5\n'
         'vllm:num_requests_waiting{engine="0",model_name="m"} 3.0\nvllm:num_requests_waiting{engine="1",model_name="m"} 4.0\n', Gauges(0.5, 7)),
        ('vllm:gpu_cache_usage_perc{model_name="a } b"} 0.75 1700000000000\n', Gauges(0.75, 0)),
        ("sglang:token_usage{} 0.28\nsglang:num_queue_reqs 2.0\n", Gauges(0.28, 2)),
        ("# HELP llamacpp:requests_deferred x\nllamacpp:requests_deferred 1\nllamacpp:kv_cache_usage_ratio 1.5\n", Gauges(1.0, 1)),
        ("vllm:num_requests_waiting_total 9\nvllm:kv_cache_usage_perc\nvllm:num_requests_waiting NaN\nsglang:token_usage much\n", gauges.NONE),
        ("vllm:num_requests_waiting +Inf\nvllm:kv_cache_usage_perc -1\n<html>", gauges.NONE),
    ],
)  # fmt: skip
def test_gauges_are_read_as_each_server_names_them_and_what_is_no_number_counts_as_none(text, told):
    assert gauges.read(text.encode()) == told


def best(**told):
    """The replica that is asked first, of `a` whose gauges are told and `b` which tells nothing."""
    ships = {n: feed.HostNow(name=n, ship=True, country="US", gpus=8, gpus_installed=8) for n in "ab"}
    servers = tuple(feed.Replica(id=n, host=n, url="http://h") for n in "ab")
    deployment = feed.DeploymentFacts(name="m", project="", model="m", upstream="m", replicas=servers, salted=False)
    seen = {n: routing.Seen(ready=True, service_s=0.5) for n in "ab"}
    seen["a"].gauges = Gauges(**told)
    made, _ = routing.order(
        [(deployment, None)], ships, seen, place="", jurisdictions=(), conversation=b"", home="a", speed=1.0
    )
    return made[0].replica.id


def test_a_full_cache_or_a_queue_of_others_sends_even_a_conversation_elsewhere():
    assert best() == best(cache_share=0.9) == best(cache_share=0.94) == "a"
    assert best(cache_share=0.97) == best(waiting=9) == "b"


def test_the_gauges_of_a_server_are_looked_at_and_forgotten_when_it_tells_none():
    status = 200

    async def metrics(_):
        return web.Response(text="vllm:num_requests_waiting 5\n" + "# filler\n" * 100_000, status=status)

    async def looks():
        nonlocal status
        app = web.Application()
        app.router.add_get("/metrics", metrics)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server, up = Server(f"http://127.0.0.1:{runner.addresses[0][1]}"), Upstream()
        await up.look(server)
        first, status = server.gauges, 404
        await up.look(server)
        second, status = server.gauges, 200
        await runner.cleanup()
        server.gauges = first
        await up.look(server)  # nobody is there
        await up.close()
        return first, second, server.gauges

    assert asyncio.run(looks()) == (Gauges(0.0, 5), gauges.NONE, gauges.NONE)


def test_aether_tiny_tells_what_its_cache_holds_and_who_waits():
    engine = Engine(weights.load(), slots=2)
    for _ in range(5):
        engine.add(Work([256] * 128, 4, lambda _: None))
    assert engine.load() == (0, 5, 0.0)
    engine._admit()
    running, waiting, share = engine.load()
    assert (running, waiting) == (2, 3)
    assert share == 0.0  # nothing is read yet
    while not all(slot.work._state.made for slot in engine._slots):  # until both have their first token
        engine._step([slot.work for slot in engine._slots])
    assert engine.load()[2] == pytest.approx(128 / 512, abs=2 / 512)


def test_a_probe_may_be_a_request_that_a_model_has_to_answer():
    async def whole():
        async with PlayedServer() as played:
            up, body = Upstream(), {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
            facts = {"name": "m", "project": "", "model": "m", "upstream": "m", "probe": "/v1/chat/completions"}
            posted = DeploymentFacts(**facts, probe_body=json.dumps(body))
            try:
                assert await up.probe(Server(played.url), posted)
                assert played.asked == [body]
                assert not await up.probe(Server(played.url), DeploymentFacts(**facts))  # nothing is there to be got
                played.mode = "silent"
                assert not await up.probe(Server(played.url), posted.model_copy(update={"probe_timeout_s": 0.2}))
            finally:
                played.go_on.set()
                await up.close()

    asyncio.run(whole())
