"""Serve aether-tiny: `python -m aether.fabric.tiny --port N`. Where AETHER_SERVER_KEY is set, it asks for that key."""

from __future__ import annotations

import os

os.environ.setdefault(
    "OPENBLAS_NUM_THREADS", "1"
)  # before numpy: products are small, and other jobs have the other cores
os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import asyncio
import contextlib
import signal
from pathlib import Path

from aiohttp import web

from aether.fabric.tiny.engine import Engine
from aether.fabric.tiny.server import Server
from aether.fabric.tiny.weights import PACKAGED, load

LEAVE_S = 10.0  # that running requests have, once told to go


def main() -> None:
    """Read the command line and serve until told to go."""
    parser = argparse.ArgumentParser(prog="python -m aether.fabric.tiny", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="0 takes a free one, which is printed")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--model", default="aether-tiny", help="the name that clients give")
    parser.add_argument("--slots", type=int, default=32, help="requests computed at once")
    parser.add_argument("--weights", type=Path, default=PACKAGED)
    given = parser.parse_args()
    if not 1 <= given.slots <= 256:
        parser.error("--slots: from 1 to 256")
    try:
        engine = Engine(load(given.weights), given.slots)
    except (ValueError, KeyError) as error:
        parser.error(f"--weights: {error}")
    asyncio.run(_serve(engine, given.host, given.port, given.model))


async def _serve(engine: Engine, host: str, port: int, name: str) -> None:
    told = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, told.set)
    server = Server(engine, name, os.environ.pop("AETHER_SERVER_KEY", ""))
    runner = web.AppRunner(server.app(), handler_cancellation=True, shutdown_timeout=LEAVE_S, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    await site.start()
    print(f"aether-tiny at http://{host}:{runner.addresses[0][1]}", flush=True)
    engine.start()
    with contextlib.suppress(asyncio.CancelledError):
        await server.warm()
        await told.wait()
    await runner.cleanup()
    engine.stop()


if __name__ == "__main__":
    main()
