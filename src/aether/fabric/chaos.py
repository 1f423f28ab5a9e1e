"""A trial of the whole fabric: models asked without pause while ships are killed, overheat, set, and all that else happens to them.

Every answer is read word by word (`gateway.words` counts them), and what the meter holds in the end is beside what was delivered.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from aether.fabric import local, service, views
from aether.fabric.client import Client
from aether.fabric.gateway.words import asked_tokens, words
from aether.study.timing import Row, row

RATE = 50.0  # requests a second, half of them streams
EVERY_S = 10.0  # between two faults, and how long each lasts, of the wall's clock
TOKENS = 12  # of an answer: a quarter of a second
SPEED = 60.0  # an orbit in 97 seconds
SHIPS, SERVERS = 5, 5
MODEL = "words"
KINDS = ("ship", "pump", "link", "runtime", "drain")
UP_S, BOOKED_S = 120.0, 20.0  # until all servers answer; until the last tally is in the books
LOOK_S = 0.5  # between two looks at the ships
WELL, METERED = 99.5, 100.0  # per cent: targets of the gateway, ours
# A mesh so thin that ships set: each is out of reach for a quarter of an hour now and then, as orbits bring it.
SKY = {
    "name": "chaos", "start": "2026-03-20T00:00:00Z", "duration": "6 h",
    "relays": {"shells": [{"shell": {"planes": 6, "per_plane": 8, "altitude": "1200 km", "inclination": "60 deg"}}]},
    "ships": [{"name": "a", "ship": "ai1", "count": SHIPS, "orbit": {"ring": {"altitude": "600 km", "node_local_time": "18 h"}}}],
    "sites": [{"name": name, "at": at, "gpus": 72, "accelerator": "gb300-nvl72"} for name, at in (("virginia", "Washington"), ("dublin", "Dublin"))],
    "ground": {"cities": {"largest": 2}, "coverage_cells": 0}, "outputs": {"ablation": False},
    "couplings": dict.fromkeys(("faults", "manoeuvres", "anomaly"), False),
}  # fmt: skip
SERVER = {
    "name": MODEL, "service": {"replicas": SERVERS, "salted": True}, "resources": {"accelerators": "gb300-nvl72:36"},
    "orbit": {"grace": "5 s"}, "run": 'exec "$AETHER_PYTHON" -m aether.fabric.gateway.words',
}  # fmt: skip


@dataclass
class Outcome:
    """What came of it. wrong: answers that were neither proper nor an error in the vendor's form; metered: tokens in and out."""

    asked: int = 0
    well: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    hosts: Counter[str] = field(default_factory=Counter)
    delivered: tuple[int, int] = (0, 0)
    metered: tuple[int, int] = (0, 0)
    faults: Counter[str] = field(default_factory=Counter)
    sets: int = 0  # times that a ship went out of reach by its orbit alone
    heated: int = 0  # times that heat took GPUs of a ship that had them

    def summary(self) -> str:
        """One line for people."""
        faults = ", ".join(f"{n} {kind}" for kind, n in sorted(self.faults.items()))
        return (
            f"{self.asked:,} requests at {RATE:g}/s, faults {faults}, {self.sets} settings, {self.heated} overheated; "
            f"{sum(self.errors.values())} errors in the vendor's form, {len(self.wrong)} improper"
        )


def rows(quick: bool = False, advance: Callable[[str, float, float, str], None] | None = None) -> list[Row]:
    """Rows of the bench: ten minutes of it, half a minute where it must be quick."""
    with tempfile.TemporaryDirectory() as there:
        made = trial(Path(there), 30.0 if quick else 600.0, advance or (lambda *_: None))
    met = 100.0 * sum(made.metered) / max(sum(made.delivered), 1)
    return [
        row("models while ships fail, overheat, set", made.summary(), "% well", [made.well / made.asked], 100.0, WELL),
        row("tokens metered, the same", f"{sum(made.delivered):,} delivered", "% of delivered", [met], 1.0, METERED),
    ]


def trial(folder: Path, lasts_s: float, advance: Callable[[str, float, float, str], None]) -> Outcome:
    """Bring a fabric up in a folder, ask it for so long [s] while trouble is made, and bring it down.

    advance: told (what, done, of, clock) now and then. Raises TimeoutError where servers do not come up.
    """
    with _fabric(folder) as (models_url, client):
        key = local.credentials(folder / "home")[1]
        return asyncio.run(_storm(client, _Load(models_url, key), lasts_s, advance))


@contextlib.contextmanager
def _fabric(folder: Path) -> Iterator[tuple[str, Client]]:
    scenario, file, home = folder / "chaos.yaml", folder / "words.yaml", folder / "home"
    scenario.write_text(yaml.safe_dump(SKY))
    file.write_text(yaml.safe_dump(SERVER))
    port, gateway = local.free_port(), local.free_port()
    local.up(home, {
        "scenario": str(scenario), "speed": SPEED, "port": port, "gateway_port": gateway, "ships": SHIPS, "sites": 2, "models": (),
    })  # fmt: skip
    try:
        with Client(*local.credentials(home)) as client:
            asked = service.read(file)
            assert asked.task is not None  # SERVER has a command
            client.deploy(asked.deployment.model_copy(update={"task": client.prepare(asked.task)}))
            until = time.monotonic() + UP_S
            while client.deployment(MODEL).ready < SERVERS:
                if time.monotonic() > until:
                    raise TimeoutError(f"{MODEL}: not all servers answer after {UP_S:g} s")
                time.sleep(0.2)
            yield f"http://127.0.0.1:{gateway}/v1", client
    finally:
        local.down(home)


async def _storm(
    client: Client, load: _Load, lasts_s: float, advance: Callable[[str, float, float, str], None]
) -> Outcome:
    told, ended = load.told, asyncio.Event()
    making = [asyncio.create_task(work(client, told, ended)) for work in (_trouble, _watch)]
    try:
        await load.run(lasts_s, advance)
    finally:
        ended.set()
        await asyncio.gather(*making)
    until = time.monotonic() + BOOKED_S
    while time.monotonic() < until and told.metered != told.delivered:
        rows = (await asyncio.to_thread(client.usage)).tokens
        told.metered = sum(r.input_tokens for r in rows), sum(r.output_tokens for r in rows)
        await asyncio.sleep(LOOK_S)
    return told


class _Load:
    """Requests as people send them, whatever becomes of those before; everything that comes back is read and counted."""

    def __init__(self, url: str, key: str) -> None:
        self.url, self.headers, self.told = f"{url}/chat/completions", {"Authorization": f"Bearer {key}"}, Outcome()

    async def run(self, lasts_s: float, advance: Callable[[str, float, float, str], None]) -> None:
        wait, tasks = aiohttp.ClientTimeout(total=60.0), set[asyncio.Task[None]]()
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=wait) as session:
            begun = time.monotonic()
            for n in range(round(RATE * lasts_s)):
                await asyncio.sleep(begun + n / RATE - time.monotonic())
                task = asyncio.create_task(self._one(session, n))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                if n % RATE == 0:
                    advance("models under trial", n / RATE, lasts_s, f"{n:,} requests")
            await asyncio.gather(*tasks)

    async def _one(self, session: aiohttp.ClientSession, n: int) -> None:
        self.told.asked += 1
        body = {"model": MODEL, "messages": [{"role": "user", "content": f"request number {n} of many"}],
                "max_tokens": TOKENS, "stream": n % 2 == 0}  # fmt: skip
        try:
            async with session.post(self.url, json=body, headers=self.headers) as response:
                if response.status != 200:
                    self._error(await response.json())
                    return
                host = response.headers["x-aether-ship"]
                if body["stream"]:
                    text, error, done = await _stream(response)
                else:
                    text, error, done = (await response.json())["choices"][0]["message"]["content"], None, True
            self._read(body, host, text.split(), error, done)
        except Exception as error:
            self.told.wrong.append(f"request {n}: {error!r}")

    def _read(self, body: dict[str, Any], host: str, said: list[str], error: Any, done: bool) -> None:
        """Count an answer that began."""
        told = self.told
        told.delivered = told.delivered[0] + asked_tokens(body), told.delivered[1] + len(said)
        told.hosts[host] += 1
        whole = len(said) == TOKENS and done
        if said != words(host, len(said)) or not (whole or error is not None):
            told.wrong.append(f"{host} said {' '.join(said)}, done {done}")
        elif error is not None:
            self._error(error)
        else:
            told.well += 1

    def _error(self, told: Any) -> None:
        error = told.get("error") if isinstance(told, dict) else None
        if not isinstance(error, dict) or set(error) != {"message", "type", "param", "code"}:
            self.told.wrong.append(f"no error of the vendor: {told}"[:300])
        else:
            self.told.errors[f"{error['type']}: {error['message'][:60]}"] += 1


async def _stream(response: aiohttp.ClientResponse) -> tuple[str, Any, bool]:
    """The text of a stream, the error that ended it, and whether it came to its end."""
    text = ""
    async for line in _data(response):
        if line == b"[DONE]":
            return text, None, True
        piece = json.loads(line)
        if "error" in piece:
            return text, piece, False
        text += "".join(c["delta"].get("content") or "" for c in piece["choices"])
    return text, None, False


async def _data(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    async for line in response.content:
        if line.startswith(b"data: "):
            yield line[6:].strip()


async def _trouble(client: Client, told: Outcome, ended: asyncio.Event) -> None:
    """A fault every ten seconds, the kinds in turn, each on another host than the last two."""
    rng, last = random.Random(8), list[str]()
    hosts = [h.name for h in (await asyncio.to_thread(client.ships)).ships]
    undone: list[asyncio.Task[None]] = []
    for kind in itertools.cycle(KINDS):
        if await _over(ended, EVERY_S):
            break
        ships = [h for h in hosts if "/" in h]
        host = rng.choice([h for h in (ships if kind in ("pump", "link") else hosts) if h not in last])
        last = [*last[-1:], host]
        told.faults[kind if "/" in host or kind != "ship" else "site"] += 1
        if kind == "drain":
            await asyncio.to_thread(client.drain, host)
            undone.append(asyncio.create_task(_undrain(client, host, ended)))
            continue
        made = "site" if kind == "ship" and "/" not in host else kind
        duration_s = None if kind == "runtime" else EVERY_S * SPEED
        fault = views.Fault.model_validate({"kind": made, "name": host, "duration_s": duration_s})
        await asyncio.to_thread(client.inject, fault)
    await asyncio.gather(*undone)


async def _undrain(client: Client, host: str, ended: asyncio.Event) -> None:
    await _over(ended, EVERY_S)
    await asyncio.to_thread(client.drain, host, False)


async def _watch(client: Client, told: Outcome, ended: asyncio.Event) -> None:
    """Count what the sky does: ships in service that go out of reach without a cut, ships that heat begins to limit."""
    before: dict[str, views.ShipView] = {}
    while not await _over(ended, LOOK_S):
        now = {h.name: h for h in (await asyncio.to_thread(client.ships)).ships}
        for name, ship in now.items():
            was = before.get(name, ship)
            told.sets += (
                was.contact and not ship.contact and was.now.get("gone_in_s") is not None
            )  # no fault is foreseen
            told.heated += was.limit != "heat" and ship.limit == "heat"
        before = now


async def _over(ended: asyncio.Event, within_s: float) -> bool:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(ended.wait(), within_s)
    return ended.is_set()
