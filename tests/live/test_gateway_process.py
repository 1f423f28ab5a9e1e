"""The gateway's process before a scripted control: killed, cut off, ended; no token is lost once it is on disk, none is told twice."""

import asyncio
import contextlib
import gzip
import itertools
import json
import os
import signal
import sys

import pytest

pytest.importorskip("aiohttp", reason="the live fabric is not installed: pip install 'aether-fabric[live]'")

import aiohttp
from aiohttp import web

from aether.fabric.gateway.feed import KeyFacts, Word
from aether.fabric.tenancy import new_key
from upstream_play import PlayedServer, fed

DEADLINE_S = 60.0  # for anything that is waited for
TOKENS = 4  # that the scripted server says each answer has
BODY = {"model": "small", "messages": [{"role": "user", "content": "hi"}]}


class PlayedControl:
    """Feeds a gateway and stores its tallies by their numbers, as control does. stores: whether it acknowledges."""

    def __init__(self):
        self.feed, self.stores, self.tallies, self.last, self.passed = None, True, {}, [], []

    async def __aenter__(self, port=0):
        app = web.Application()
        app.router.add_post("/gateway/v1/sync", self.sync)
        app.router.add_route("*", "/v1/files", self.files)
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", port).start()
        self.port = self.runner.addresses[0][1]
        return self

    async def __aexit__(self, *_):
        await self.runner.cleanup()

    async def sync(self, request):
        if request.headers.get("Authorization") != "Bearer told":
            return web.Response(status=401)
        word = Word.model_validate_json(await request.read())
        self.last.append(word)
        if self.stores:
            for tally in word.tallies:
                assert self.tallies.setdefault((word.journal, tally.n), tally) == tally  # one number, one tally
        else:
            await asyncio.sleep(0.05)
        stored = max((n for journal, n in self.tallies if journal == word.journal), default=0)
        if word.wait_s:
            await asyncio.sleep(0.05)
        return web.json_response(self.feed.model_copy(update={"acknowledged": stored}).model_dump())

    async def files(self, request):
        self.passed.append((request.headers, await request.read()))
        if "X-Cut" in request.headers:
            response = web.StreamResponse(headers={"Content-Length": "1000"})
            await response.prepare(request)
            await response.write(b"half")
            request.transport.close()
            return response
        return web.json_response({"data": len(self.passed[-1][1])}, headers={"X-Kept": "yes"})

    def tokens(self):
        return sum(t.output_tokens for t in self.tallies.values())


class Stand:
    """A control, one model server, and the gateway as a process of its own."""

    def __init__(self, folder):
        self.folder, self.stack, self.process = folder, contextlib.AsyncExitStack(), None

    async def __aenter__(self):
        self.control = await self.stack.enter_async_context(PlayedControl())
        self.server = await self.stack.enter_async_context(PlayedServer())
        self.control.feed, self.secret = fed(self.server)
        self.client = await self.stack.enter_async_context(aiohttp.ClientSession())
        told = {"control": f"http://127.0.0.1:{self.control.port}", "token": "told", "host": "127.0.0.1", "port": 0}
        (self.folder / "gateway.json").write_text(json.dumps(told))
        await self.start()
        return self

    async def __aexit__(self, *_):
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        await self.stack.aclose()

    async def start(self):
        """Begin the process, and wait until the model answers."""
        ready = self.folder / "gateway-ready.json"
        ready.unlink(missing_ok=True)
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "aether.fabric.gateway.process", str(self.folder), env=os.environ | {"PYTHONWARNINGS": "default"}
        )  # fmt: skip
        await until(ready.exists)
        self.url = f"http://127.0.0.1:{json.loads(ready.read_text())['port']}"

        async def answers():
            return await self.ask() == 200

        await until(answers)

    async def ask(self, secret=None):
        """The status of one request for a whole answer."""
        async with self.client.post(f"{self.url}/v1/chat/completions", json=BODY, headers=self.key(secret)) as answer:
            await answer.read()
            return answer.status

    def key(self, secret=None):
        return {"Authorization": f"Bearer {secret or self.secret}"}

    async def end(self):
        """Told to end; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(DEADLINE_S):
            return await self.process.wait()


async def until(done):
    """Wait until something holds."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            held = done()
            if await held if asyncio.iscoroutine(held) else held:
                return
            await asyncio.sleep(0.02)


def stood(test):
    """A test of a stand, on a loop of its own."""

    def inner(tmp_path):
        async def whole():
            async with Stand(tmp_path) as stand:
                await test(stand)

        asyncio.run(whole())

    inner.__name__, inner.__doc__ = test.__name__, test.__doc__
    return inner


def served(stand):
    """Tokens that the model server has told in whole answers."""
    return TOKENS * len(stand.server.asked)


@stood
async def test_tokens_told_to_control_are_told_once_through_a_kill_of_the_gateway(stand):
    stand.control.stores = False
    for _ in range(5):
        assert await stand.ask() == 200
    await until(lambda: sum(t.output_tokens for t in stand.control.last[-1].tallies) == served(stand))
    stand.process.kill()  # all is on its disk, and told, but not acknowledged
    await stand.process.wait()
    stand.control.stores = True
    await stand.start()
    await until(lambda: stand.control.tokens() == served(stand))
    assert await stand.end() == 0
    assert stand.control.tokens() == served(stand)
    assert len({journal for journal, _ in stand.control.tallies}) == 1


@stood
async def test_what_was_delivered_when_the_gateway_was_killed_is_metered_to_the_token(stand):
    stand.server.mode = "waits"
    async with contextlib.AsyncExitStack() as streams:
        for _ in range(3):
            answer = await streams.enter_async_context(
                stand.client.post(f"{stand.url}/v1/chat/completions", json=BODY | {"stream": True}, headers=stand.key())
            )
            while b"two" not in await answer.content.readline():
                pass
        whole = served(stand) - 3 * TOKENS
        for _ in range(5):
            assert await stand.ask() == 200
        stand.process.kill()  # before anything of these is surely in its journal
        await stand.process.wait()
    metered = whole + 5 * TOKENS + 3 * 2
    stand.server.mode = "well"
    asked = len(stand.server.asked)
    await stand.start()
    metered += TOKENS * (len(stand.server.asked) - asked)
    await until(lambda: stand.control.tokens() == metered)
    assert sum(t.errors for t in stand.control.tallies.values()) == 3
    assert sum(t.requests for t in stand.control.tallies.values()) == len(stand.server.asked)
    assert await stand.end() == 0
    assert stand.control.tokens() == metered


@stood
async def test_the_gateway_serves_on_without_control_and_tells_it_all_when_it_is_back(stand):
    port = stand.control.port
    await stand.control.runner.cleanup()
    for _ in range(5):
        assert await stand.ask() == 200
    await stand.control.__aenter__(port)
    await until(lambda: stand.control.tokens() == served(stand))


@stood
async def test_a_gateway_that_is_told_to_end_finishes_its_streams_first(stand):
    stand.server.mode = "waits"
    async with stand.client.post(
        f"{stand.url}/v1/chat/completions", json=BODY | {"stream": True}, headers=stand.key()
    ) as answer:
        got = await answer.content.readany()
        stand.process.send_signal(signal.SIGTERM)
        await until(lambda: not (stand.folder / "gateway-ready.json").exists())
        stand.server.go_on.set()
        got += await answer.content.read()
    assert got.rstrip().endswith(b"data: [DONE]")
    assert await stand.end() == 0
    assert stand.control.tokens() == served(stand)


@stood
async def test_a_gateway_whose_tallies_are_not_acknowledged_ends_all_the_same(stand):
    stand.control.stores = False
    assert await stand.ask() == 200
    assert await stand.end() == 0


@stood
async def test_tallies_that_control_does_not_acknowledge_are_not_told_again_without_a_wait(stand):
    stand.control.stores = False
    assert await stand.ask() == 200
    await until(lambda: len([1 for w in stand.control.last if w.tallies]) > 4)
    same = [b for a, b in itertools.pairwise(stand.control.last) if b.tallies and a.tallies == b.tallies]
    assert same
    assert all(word.wait_s > 0.0 for word in same)


@stood
async def test_files_go_to_control_with_the_callers_key_and_without_what_concerns_one_hop(stand):
    body = os.urandom(300_000)
    headers = {"x-api-key": stand.secret, "Connection": "X-Mine", "X-Mine": "1", "X-Kept": "2"}
    async with stand.client.post(f"{stand.url}/v1/files", data=body, headers=headers) as answer:
        assert (answer.status, await answer.json(), answer.headers["X-Kept"]) == (200, {"data": len(body)}, "yes")
    ((told, got),) = stand.control.passed
    assert got == body
    assert told["Authorization"] == f"Bearer {stand.secret}"
    assert told["X-Kept"] == "2"
    assert "X-Mine" not in told
    assert "x-api-key" not in told


@stood
async def test_a_packed_body_comes_to_control_whole_and_one_without_a_key_not_at_all(stand):
    body = b"the same again " * 20_000
    headers = stand.key() | {"Content-Encoding": "gzip"}
    async with stand.client.post(f"{stand.url}/v1/files", data=gzip.compress(body), headers=headers) as answer:
        assert await answer.json() == {"data": len(body)}
    async with stand.client.post(f"{stand.url}/v1/files", data=b"none", headers=headers) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]["type"] == "invalid_request_error"
    async with stand.client.post(f"{stand.url}/v1/files", data=body) as answer:
        assert answer.status == 401
    assert len(stand.control.passed) == 1


@stood
async def test_a_file_whose_rest_is_lost_ends_there_without_a_word_of_ours_in_it(stand):
    reader, writer = await asyncio.open_connection("127.0.0.1", int(stand.url.rpartition(":")[2]))
    writer.write(
        f"GET /v1/files HTTP/1.1\r\nHost: h\r\nX-Cut: 1\r\nAuthorization: Bearer {stand.secret}\r\n\r\n".encode()
    )
    came = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while part := await reader.read(1000):
            came += part
    writer.close()
    assert came.startswith(b"HTTP/1.1 200 OK\r\n")
    assert came.endswith(b"\r\n\r\nhalf")


@stood
async def test_metrics_are_for_keys_that_may_watch(stand):
    name, secret, digest = new_key()
    watcher = KeyFacts(key=name, digest=digest, project="", scopes=("watch",))
    stand.control.feed = stand.control.feed.model_copy(update={"keys": (*stand.control.feed.keys, watcher)})
    statuses = []

    async def told():
        async with stand.client.get(f"{stand.url}/metrics", headers=stand.key(secret)) as answer:
            statuses.append(answer.status)
            return answer.status == 200 and b"small" in await answer.read()

    await until(told)
    async with stand.client.get(f"{stand.url}/metrics") as answer:
        assert answer.status == 401
    async with stand.client.get(f"{stand.url}/metrics", headers=stand.key()) as answer:
        assert answer.status == 403
    assert await stand.ask(secret) == 403


@stood
async def test_metrics_name_nothing_that_is_a_projects_own(stand):
    name, secret, digest = new_key()
    watcher = KeyFacts(key=name, digest=digest, project="", scopes=("watch",))
    (shared,) = stand.control.feed.deployments
    own = shared.model_copy(update={"name": "acme/hush", "project": "acme", "model": "hush-hush"})
    own = own.model_copy(update={"replicas": (own.replicas[0].model_copy(update={"id": "s-hush"}),)})
    more = {"keys": (*stand.control.feed.keys, watcher), "deployments": (shared, own)}
    stand.control.feed = stand.control.feed.model_copy(update=more)
    body = BODY | {"model": "hush-hush"}

    async def answers():
        async with stand.client.post(f"{stand.url}/v1/chat/completions", json=body, headers=stand.key()) as answer:
            return answer.status == 200

    await until(answers)
    async with stand.client.get(f"{stand.url}/metrics", headers=stand.key(secret)) as answer:
        text = await answer.text()
    assert 'aether_gateway_requests_total{model="small",outcome="ok"}' in text
    assert 'aether_gateway_requests_total{model="(of projects)",outcome="ok"} 1.0' in text
    assert 'aether_gateway_servers_ready{deployment="m",host="a/0"} 1.0' in text
    assert 'aether_gateway_servers_ready{deployment="(of projects)",host="a/0"} 1.0' in text
    assert not [word for word in ("hush", "acme", "s-0") if word in text]


@stood
async def test_the_log_has_no_secrets(stand):
    assert await stand.ask("aek-abcdefghjkmn-" + "x" * 43) == 401
    assert await stand.end() == 0
    log = (stand.folder / "gateway.log").read_text()
    assert stand.secret not in log
    assert "x" * 43 not in log
    assert "Bearer" not in log
