"""Models through three minutes in which every ten seconds a ship is lost, cut off, drained or its runtime killed."""

import asyncio
import contextlib
import json
import random
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("aiohttp", reason="the live fabric is not installed: pip install 'aether-fabric[live]'")

import aiohttp
import yaml

from aether.fabric import local, service, views
from live_fabric import QUIET, LiveFabric, free_port, until

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc and prctl of Linux"),
]
RATE, LASTS_S, EVERY_S = 50.0, 180.0, 10.0
TOKENS = 12  # of an answer, a fiftieth of a second each
SHIPS = 4
SPEED = 60.0


class Chaos(LiveFabric):
    """A fabric of four ships and a site that serves `model_program.py`."""

    def __init__(self, folder):
        folder.mkdir(exist_ok=True)
        self.folder, self.home = folder, folder / "home"
        ships = [QUIET["ships"][0] | {"count": SHIPS}]
        scenario = folder / "quiet.yaml"
        scenario.write_text(yaml.safe_dump(QUIET | {"ships": ships}))
        given = {
            "scenario": str(scenario),
            "speed": SPEED,
            "port": free_port(),
            "gateway_port": free_port(),
            "ships": SHIPS,
            "sites": 1,
            "models": (),
        }
        local.up(self.home, given)
        self.url, self.key = local.credentials(self.home)
        self.models = f"http://127.0.0.1:{given['gateway_port']}/v1"
        program = folder / "server.py"
        program.write_text((Path(__file__).parent.parent / "model_program.py").read_text())
        file = folder / "echo.yaml"
        file.write_text(yaml.safe_dump({
            "name": "echo", "service": {"replicas": 4, "salted": True}, "file_mounts": {"~/server.py": str(program)}, "orbit": {"grace": "5 s"},
            "run": 'exec "$AETHER_PYTHON" ~/server.py',
        }))  # fmt: skip
        self.asked = service.read(file)

    def deploy(self, client):
        task = client.prepare(self.asked.task)
        client.deploy(self.asked.deployment.model_copy(update={"task": task}))
        until(lambda: client.deployment("echo").ready == 4, 60.0)


class Load:
    """Requests as people send them, half of them streamed; everything that came back is counted."""

    def __init__(self, url, key):
        self.url, self.headers = f"{url}/chat/completions", {"Authorization": f"Bearer {key}"}
        self.ends, self.wrong = Counter(), []
        self.asked = self.told = 0  # tokens in and out of what was delivered
        self.hosts = Counter()

    async def run(self):
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=60.0)
        ) as session:
            begun, tasks = time.monotonic(), set()
            for n in range(int(RATE * LASTS_S)):
                await asyncio.sleep(begun + n / RATE - time.monotonic())
                task = asyncio.create_task(self.one(session, n))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            await asyncio.gather(*tasks)

    async def one(self, session, n):
        stream = n % 2 == 0
        body = {
            "model": "echo",
            "messages": [{"role": "user", "content": f"request number {n} of many"}],
            "max_tokens": TOKENS,
            "stream": stream,
        }
        try:
            async with session.post(self.url, json=body, headers=self.headers) as response:
                if response.status != 200:
                    self.error(n, await response.json())
                elif stream:
                    await self.flow(n, response)
                else:
                    self.whole(n, await response.json(), response.headers)
        except Exception as error:  # whatever it is, it is no proper answer
            self.wrong.append((n, repr(error)))

    def whole(self, n, told, headers):
        self.delivered(told["choices"][0]["message"]["content"], n, headers["x-aether-ship"])
        self.ends["well"] += 1

    async def flow(self, n, response):
        text, done = "", False
        async for line in response.content:
            if not line.startswith(b"data: "):
                continue
            if line.strip() == b"data: [DONE]":
                done = True
                continue
            piece = json.loads(line[6:])
            if "error" in piece:
                self.delivered(text, None, response.headers["x-aether-ship"])
                return self.error(n, piece)
            text += "".join(c["delta"].get("content") or "" for c in piece["choices"])
        if not done:
            self.wrong.append((n, "a stream without its end"))
        self.delivered(text, n, response.headers["x-aether-ship"])
        self.ends["well"] += 1
        return None

    def delivered(self, text, whole, host):
        words = text.split()
        if words != [f"{host}-{i}" for i in range(len(words))] or (whole is not None and len(words) != TOKENS):
            self.wrong.append((whole, f"{host}: {text}"))
        self.asked, self.told = self.asked + 5, self.told + len(words)
        self.hosts[host] += 1

    def error(self, n, told):
        error = told.get("error")
        if not isinstance(error, dict) or set(error) != {"message", "type", "param", "code"}:
            self.wrong.append((n, told))
        self.ends[f"{error['type']}: {error['message'][:60]}"] += 1


async def trouble(client, ended):
    """A fault every ten seconds, each on another host than the last two."""
    rng, last, made = random.Random(8), [], Counter()
    hosts = [f"a/{i}" for i in range(SHIPS)] + ["virginia"]
    while not ended.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), EVERY_S)
            return made
        host = rng.choice([h for h in hosts if h not in last])
        last = [*last[-1:], host]
        kind = rng.choice(("ship", "link", "runtime", "drain"))
        kind = "site" if (kind, host) == ("ship", "virginia") else kind
        made[kind] += 1
        if kind == "drain":
            await asyncio.to_thread(client.drain, host)
            asyncio.get_running_loop().call_later(
                EVERY_S, lambda h=host: asyncio.ensure_future(asyncio.to_thread(client.drain, h, False))
            )
        else:
            duration = {} if kind == "runtime" else {"duration_s": EVERY_S * SPEED}
            await asyncio.to_thread(client.inject, views.Fault(kind=kind, name=host, **duration))
    return made


async def storm(fabric, client):
    load, ended = Load(fabric.models, fabric.key), asyncio.Event()
    making = asyncio.create_task(trouble(client, ended))
    await load.run()
    ended.set()
    return load, await making


def test_every_request_is_answered_and_every_token_is_metered_while_ships_fail(tmp_path):
    with Chaos(tmp_path / "fabric") as fabric, fabric.client() as client:
        fabric.deploy(client)
        load, made = asyncio.run(storm(fabric, client))
        count = int(RATE * LASTS_S)
        errors = count - load.ends["well"]
        print(f"{count} requests, {errors} errors {dict(load.ends)}, faults {dict(made)}, hosts {dict(load.hosts)}")
        assert load.wrong == []
        assert sum(load.ends.values()) == count
        assert errors < 0.005 * count
        assert sum(made.values()) >= 15
        assert len(load.hosts) == SHIPS + 1

        def metered():
            rows = client.usage().tokens
            return sum(r.input_tokens for r in rows), sum(r.output_tokens for r in rows)

        until(lambda: metered() == (load.asked, load.told), 15.0)
