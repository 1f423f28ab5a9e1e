"""The line between gateway and control: tallies and wishes go up, the feed comes down; without it the gateway serves on."""

from __future__ import annotations

import asyncio
import logging
import random
import sqlite3
import time

import aiohttp
from pydantic import ValidationError

from aether.fabric.gateway.desk import Desk
from aether.fabric.gateway.feed import DeploymentFacts, Feed, Word
from aether.fabric.gateway.meter import FLUSH_S
from aether.fabric.gateway.upstream import Server

log = logging.getLogger(__name__)
WAIT_S = 0.5  # that control may hold an answer: the twin's present state is never older than this and a word's way
ASK_S = 10.0  # beyond that for an answer
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0  # between tries while control is away; doubles
LAST_S = 5.0  # for the last tallies when the gateway ends; what is not told by then waits on disk
PROBE_S = 1.0  # between two looks at whether servers are ready
DEAR_S = 10.0  # the same of one that is ready and asked by a request that it works for: SkyPilot's interval
LARGEST_FEED = 256 << 20  # bytes
FAILURES = (aiohttp.ClientError, OSError, TimeoutError, ValueError, sqlite3.Error)  # of a word: the next may go


class Link:
    """Keeps a desk fed, its tallies told, its servers probed."""

    def __init__(self, desk: Desk, url: str, token: str) -> None:
        self._desk, self._url, self._token = desk, url, token
        self._tasks: list[asyncio.Task[None]] = []
        self._told = 0  # number of the last tally that was told
        self.away = ""  # what is wrong with the line, while something is

    def start(self) -> None:
        """Begin."""
        self._tasks = [asyncio.create_task(work()) for work in (self._talk, self._flush, self._probe)]

    async def close(self) -> None:
        """Write and tell what is left, and stop."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self._desk.meter.flush)
        try:
            async with asyncio.timeout(LAST_S):
                while self._desk.meter.unsent():
                    await self._exchange(WAIT_S)
        except FAILURES as error:
            log.warning("tallies wait on disk for the next time: %s", type(error).__name__)

    async def _talk(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                await self._exchange(WAIT_S)
                if self.away:
                    log.info("control is back")
                pause_s, self.away = FIRST_PAUSE_S, ""
            except FAILURES as error:
                if not self.away:
                    log.warning("nothing is told to control: %s", type(error).__name__)
                self.away = f"{type(error).__name__}"
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
                pause_s = min(pause_s * 2.0, LONGEST_PAUSE_S)

    async def _exchange(self, wait_s: float) -> None:
        """One word and its answer; ValueError for an answer that is none."""
        desk = self._desk
        tallies = await asyncio.to_thread(desk.meter.unsent)
        word = Word(
            journal=desk.meter.journal, seen=desk.feed.version if desk.feed else -1, tallies=tallies, asked_per_s=desk.asked_per_s(),
            places=desk.wanted_places(),
            ready=tuple(n for n, s in desk.servers.items() if s.ready), wait_s=0.0 if tallies and tallies[-1].n > self._told else wait_s,
        )  # fmt: skip
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        timeout = aiohttp.ClientTimeout(total=ASK_S + wait_s, sock_connect=2.0)
        async with desk.up.session.post(
            f"{self._url}/gateway/v1/sync", data=word.model_dump_json(), headers=headers, timeout=timeout
        ) as response:
            raw = await response.content.read(LARGEST_FEED) if response.status != 200 else await response.read()
            if response.status != 200:
                raise ValueError(f"control answered {response.status}")
        try:
            feed = Feed.model_validate_json(raw)
        except ValidationError as error:
            raise ValueError("a feed of another version") from error
        self._told = tallies[-1].n if tallies else self._told
        desk.take(feed)
        if feed.acknowledged and tallies:
            await asyncio.to_thread(desk.meter.acknowledge, feed.acknowledged)

    async def _flush(self) -> None:
        """Write what was delivered, every so often."""
        while True:
            await asyncio.sleep(FLUSH_S)
            try:
                await asyncio.to_thread(self._desk.meter.flush)
            except (sqlite3.Error, OSError) as error:
                log.error("tallies cannot be written; they are kept in memory: %s", error)

    async def _probe(self) -> None:
        """Ask servers whether they are ready, and how full; one that is slow to say so holds up nobody else."""
        looking: dict[str, asyncio.Task[None]] = {}

        async def look(server: Server, d: DeploymentFacts) -> None:
            now = time.monotonic()
            if not (server.ready and d.probe_body and now - server.probed_s < DEAR_S):
                server.ready, server.probed_s = await self._desk.up.probe(server, d), now
            if server.ready:
                await self._desk.up.look(server)

        try:
            while True:
                looking = {n: t for n, t in looking.items() if not t.done()}
                for name, server, d in self._desk.reachable():
                    if name not in looking:
                        looking[name] = asyncio.create_task(look(server, d))
                await asyncio.sleep(PROBE_S)
        finally:
            for task in looking.values():
                task.cancel()
