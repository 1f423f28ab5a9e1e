"""What is metered and limited stays right before servers that lie, disks that fail and callers that leave."""

import asyncio
import contextlib
import sqlite3

import pytest

pytest.importorskip("aiohttp", reason="the live fabric is not installed: pip install 'aether-fabric[live]'")

from aiohttp import web

from aether.fabric.gateway.asks import Ask, Trouble
from aether.fabric.gateway.desk import Desk
from aether.fabric.gateway.link import Link
from aether.fabric.gateway.meter import Meter, Whose
from aether.fabric.gateway.upstream import Upstream
from upstream_play import PlayedServer, fed

DEADLINE_S = 60.0  # for anything that is waited for


class Liar(PlayedServer):
    """Tells whatever usage it is given in whole answers."""

    usage: object = None

    async def chat(self, request):
        body = await request.json()
        said = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
        return web.json_response({"id": "x", "model": body["model"], "choices": [said], "usage": self.usage})


@contextlib.asynccontextmanager
async def standing(folder, server, **changed):
    """A desk before one server that is ready; a function that makes its requests."""
    async with server:
        up, meter = Upstream(), Meter(folder / "journal.db", lambda: 1e9)
        desk = Desk(up, meter)
        feed, secret = fed(server, **changed)
        desk.take(feed)
        for known in desk.servers.values():
            known.ready = True

        def ask(stream=False, **more):
            body = {"model": "small", "messages": [{"role": "user", "content": "hi " * 100}]}
            given = {"body": body, "model": "small", "stream": stream, "caller": desk.caller(secret), "request_id": "r"}
            return Ask(endpoint="/v1/chat/completions", **given | more)

        try:
            yield desk, ask, feed
        finally:
            meter.close()
            await up.close()


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": -5, "completion_tokens": -7},
        {"prompt_tokens": 2**63, "completion_tokens": 1},
        {"prompt_tokens": "many", "completion_tokens": [1]},
        {"prompt_tokens": 1, "completion_tokens": 1, "prompt_tokens_details": [3]},
        [1, 2],
        "none",
    ],
)
def test_a_server_that_lies_about_tokens_spoils_nobodys_meter(tmp_path, usage):
    async def whole():
        server = Liar()
        server.usage = usage
        async with standing(tmp_path, server) as (desk, ask, _):
            desk.meter.begin(Whose("k", "honest", "d", "m", "h")).end((1, 2, 0))
            with contextlib.suppress(Trouble):
                await desk.whole(ask())
            desk.meter.flush()
            rows = desk.meter.unsent()
            assert sum(r.output_tokens for r in rows if r.project == "honest") == 2
            assert all(r.input_tokens >= 0 and r.output_tokens >= 0 for r in rows)
            assert not any(desk.under_way.values())

    asyncio.run(whole())


def test_a_request_that_nobody_answered_gives_its_tokens_back(tmp_path):
    async def whole():
        server = PlayedServer()
        server.mode = "fault"
        async with standing(tmp_path, server) as (desk, ask, feed):
            keys = tuple(k.model_copy(update={"tokens_per_minute": 1000}) for k in feed.keys)
            desk.take(feed.model_copy(update={"keys": keys}))
            for stream in (False, True):
                with pytest.raises(Trouble):
                    await (desk.stream if stream else desk.whole)(ask(stream))
            assert int(desk.limits(ask().caller)["x-ratelimit-remaining-tokens"]) >= 990

    asyncio.run(whole())


def test_a_caller_who_leaves_while_the_modelled_way_back_is_waited_for_leaves_no_stream_open(tmp_path):
    async def whole():
        server = PlayedServer()
        server.mode = "waits"
        async with standing(tmp_path, server) as (desk, ask, feed):
            hosts = tuple(h.model_copy(update={"round_trip_s": {"Nairobi": 2.0}}) for h in feed.hosts)
            desk.take(feed.model_copy(update={"hosts": hosts, "impose": True}))
            asking = asyncio.create_task(desk.stream(ask(True, place="Nairobi")))
            (known,) = desk.servers.values()
            async with asyncio.timeout(DEADLINE_S):
                while not known.open:
                    await asyncio.sleep(0.01)
            asking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asking
            async with asyncio.timeout(DEADLINE_S):
                while known.under_way:
                    await asyncio.sleep(0.01)
            assert not known.open

    asyncio.run(whole())


def test_the_line_to_control_outlives_a_disk_that_fails_for_a_while(tmp_path):
    async def whole():
        server = PlayedServer()
        async with standing(tmp_path, server) as (desk, _ask, feed):
            synced = []

            async def sync(request):
                synced.append(await request.read())
                await asyncio.sleep(0.02)
                return web.json_response(feed.model_copy(update={"acknowledged": 2**40}).model_dump())

            app = web.Application()
            app.router.add_post("/gateway/v1/sync", sync)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            desk.meter._store.execute("PRAGMA busy_timeout=50")  # a failure is told at once
            holder = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
            desk.meter.begin(Whose("k", "p", "d", "m", "h")).end((1, 2, 0))
            desk.meter.flush()
            holder.execute("BEGIN IMMEDIATE")  # the disk takes no other write
            link = Link(desk, f"http://127.0.0.1:{runner.addresses[0][1]}", "told")
            link.start()
            try:
                async with asyncio.timeout(DEADLINE_S):
                    while len(synced) < 2:
                        await asyncio.sleep(0.01)
                    holder.execute("ROLLBACK")
                    while desk.meter.unsent():
                        await asyncio.sleep(0.01)
            finally:
                holder.close()
                await link.close()
                await runner.cleanup()

    asyncio.run(whole())
