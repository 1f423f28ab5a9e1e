"""Where a stream is written: backpressure, readers that stall, pings."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from aiohttp import web


class Outlet:
    """Where a stream is written: a reader that stops reading is waited for, but not for ever."""

    def __init__(self, request: web.Request, response: web.StreamResponse, stall_s: float) -> None:
        self.request, self.response, self.stall_s = request, response, stall_s
        self.written_s = time.monotonic()

    async def write(self, frames: bytes) -> None:
        """Write, and wait while too much is unread; the connection of a reader that stalls is cut."""
        self.written_s = time.monotonic()
        transport = self.request.transport
        if transport is None or not transport.get_write_buffer_size():
            await self.response.write(frames)
            return
        try:
            async with asyncio.timeout(self.stall_s):
                await self.response.write(frames)
        except TimeoutError:
            transport.abort()
            raise ConnectionResetError("the reader stalled") from None


@contextlib.asynccontextmanager
async def pinging(outlet: Outlet, ping: bytes, every_s: float) -> AsyncIterator[None]:
    """Write pings into a stream's silences while this is open; nothing for a vendor without them."""

    async def beat() -> None:
        while True:
            silent_s = time.monotonic() - outlet.written_s
            if silent_s >= every_s:
                await outlet.write(ping)
            await asyncio.sleep(every_s - min(silent_s, every_s) or every_s)

    if not ping:
        yield
        return
    task = asyncio.get_running_loop().create_task(beat())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            await task
