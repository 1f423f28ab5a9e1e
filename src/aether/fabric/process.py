"""The control process: `python -m aether.fabric.process FOLDER` brings a fabric up by the settings in its folder."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import uvicorn

from aether.base.errors import InputError, Problem, unknown
from aether.base.version import VERSION
from aether.fabric import continual, service, tidy, watch
from aether.fabric.api.app import application
from aether.fabric.api.frame import GATEWAY, Fabric
from aether.fabric.blobs import BlobError, Blobs
from aether.fabric.core import events
from aether.fabric.core.clock import FabricClock, resume
from aether.fabric.core.events import HostFacts
from aether.fabric.core.plane import Happening, Plane, Refused, restore
from aether.fabric.core.state import State
from aether.fabric.executors import EXECUTORS
from aether.fabric.follower import Follower, kept
from aether.fabric.gateway.keeper import Keeper
from aether.fabric.service import Deployment
from aether.fabric.settings import Settings
from aether.fabric.store.store import Store, StoreError
from aether.fabric.twin.frame import HostFrame
from aether.fabric.twin.process import TwinProcess
from aether.scenario.load import Scenario, load
from aether.scenario.places import find_place

log = logging.getLogger("aether.fabric")
LEAVE_S = 20.0  # that runtimes get to end their work when the fabric ends


def main() -> int:
    """Serve the fabric of a folder until it is told to end; 2 where its settings are wrong, 1 where it cannot go on."""
    folder = Path(sys.argv[1])
    settings = Settings.read(folder)
    watch.structured(folder / "control.log")
    try:
        asyncio.run(_serve(folder, settings))
    except (InputError, StoreError) as error:
        log.error("the fabric does not come up: %s", error)
        (folder / "failed.txt").write_text(str(error))
        return 2 if isinstance(error, InputError) else 1
    return 0


async def _serve(folder: Path, settings: Settings) -> None:
    """Everything up, in order, and down again."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, ended.set)
    scenario = load(settings.scenario, dict(settings.overrides), Path(settings.catalog) if settings.catalog else None)
    trouble: list[Plane] = []
    store = Store(settings.db, folder / "head", on_trouble=lambda text: _troubled(trouble, text))
    state, since = await asyncio.to_thread(restore, store)
    clock = FabricClock(resume(state.time_s, settings.speed, time.time()), settings.speed)
    twin = await asyncio.to_thread(_twin, folder, settings, clock)
    blobs, secret = Blobs(folder / "blobs", settings.most_blob_bytes), _secret(folder)
    given = Fabric(
        blobs=blobs, catalog=scenario.catalog, scenario=scenario.spec.name, version=VERSION, folder=folder, secret=secret,
        most_blob_bytes=settings.most_blob_bytes, place=settings.place, impose_latency=settings.impose_latency, models_url=settings.models_url,
    )  # fmt: skip
    executor = EXECUTORS[settings.executor](folder / "runtimes", settings.url, given.token, log.info)
    given.follower = Follower(twin, executor, folder / "twin.json")
    given.follower.wanted = lambda: [*given.places, *([given.place] if given.place else [])]
    gateway = _gateway(given, settings)
    given.plane = Plane(
        store, clock, (state, since), lambda _: _soon(loop, _news, given), lambda names: _soon(loop, _orders, given, names),
        lambda fault: given.follower.inject(given.plane, fault),
    )  # fmt: skip
    trouble.append(given.plane)
    server = _Server(uvicorn.Config(
        watch.traced(application(given), settings.otlp), host=settings.host, port=settings.port, log_config=None, access_log=False, lifespan="off",
        timeout_graceful_shutdown=3, timeout_keep_alive=30, h11_max_incomplete_event_size=65536,
    ))  # fmt: skip
    given.plane.start()
    try:
        await _open(given, settings, scenario, twin)
        serving = await _answering(server, settings)
        for host in given.plane.state.hosts:
            executor.start(host)
        gateway.start()
        given.follower.start(given.plane)
        (folder / "ready.json").write_text(json.dumps({"pid": os.getpid(), "url": settings.url}))
        log.info("ready at %s", settings.url)
        beside = [asyncio.create_task(_tidy(given)), asyncio.create_task(_learn(given))]
        await asyncio.wait([serving, asyncio.create_task(ended.wait())], return_when=asyncio.FIRST_COMPLETED)
        for task in beside:
            task.cancel()
        await _leave(given, folder, gateway)
        server.should_exit = True
        await serving
    finally:
        (folder / "ready.json").unlink(missing_ok=True)
        await asyncio.to_thread(given.follower.close)
        await asyncio.to_thread(given.plane.close)
        executor.close()
        gateway.close()
        store.close()


async def _answering(server: _Server, settings: Settings) -> asyncio.Task[None]:
    """The server once it answers; InputError where it cannot."""
    serving = asyncio.create_task(server.serve())
    while not server.started and not serving.done():
        await asyncio.sleep(0.02)
    if serving.done():
        raise InputError(
            Problem("port", f"{settings.host}:{settings.port} cannot be served", next="Give another by --port")
        )
    return serving


class _Server(uvicorn.Server):
    """A server that leaves signals to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Capture none."""
        yield


def _soon(loop: asyncio.AbstractEventLoop, work: Callable[..., None], *given: Any) -> None:
    """Let the loop do something, unless it has ended."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(work, *given)


def _troubled(planes: list[Plane], text: str) -> None:
    log.error("the store: %s", text)
    for plane in planes:
        plane.trouble = text


def _twin(folder: Path, settings: Settings, clock: FabricClock) -> TwinProcess:
    """The twin from where it stood, or from now where it does not fit any more."""

    def tell(why: str) -> None:
        log.warning("the twin was started again: %s", why)

    left = kept(folder / "twin.json")
    opened = (settings.scenario, dict(settings.overrides), settings.catalog, clock.now())
    if left is not None:
        try:
            return TwinProcess(*opened, left, on_restart=tell)
        except InputError as error:
            log.warning("the twin's state is not gone on from: %s", error)
    return TwinProcess(*opened, on_restart=tell)


def _gateway(given: Fabric, settings: Settings) -> Keeper:
    """The gateway, beside the control process."""
    told = {
        "control": settings.url,
        "token": given.token(GATEWAY),
        "host": settings.host,
        "port": settings.gateway_port,
    }
    return Keeper(given.folder / "gateway", told)


def _secret(folder: Path) -> bytes:
    """From which the tokens of runtimes are derived; made once."""
    file = folder / "secret"
    if not file.exists():
        part = file.with_suffix(".part")
        part.touch(mode=0o600)
        part.write_bytes(secrets.token_bytes(32))
        part.replace(file)
    return file.read_bytes()


async def _open(given: Fabric, settings: Settings, scenario: Scenario, twin: TwinProcess) -> None:
    """Tell the core who is there: hosts as the twin sees them, the first project, the administrator's key."""
    frame = await asyncio.to_thread(twin.advance, given.plane.clock.now(), {})
    if settings.place and isinstance(wrong := find_place(scenario.catalog, settings.place), Problem):
        raise InputError(Problem("--place", wrong.what, wrong.nearest, wrong.next))
    chosen = choose(settings, {row.name: row for row in frame.hosts})
    facts = tuple(_facts(row, scenario) for row in chosen)
    made = [Happening(events.Opened(version=VERSION, scenario=scenario.spec.name, hosts=facts))]
    state: State = given.plane.state
    if "default" not in state.projects:
        made.append(Happening(events.ProjectMade(project="default"), "default"))
    if settings.admin and settings.admin[0] not in state.keys:
        name, kept_digest = settings.admin
        event = events.KeyMade(key=name, project="", digest=kept_digest, scopes=("admin",), note="made by aether up")
        made.append(Happening(event, "", name))
    at_first = {c.host: c for c in frame.conditions}
    crossed = tuple(events.Crossed(host=r.name, gpus=at_first[r.name].gpus, limit=at_first[r.name].limit, contact=at_first[r.name].contact,
                                   lit=at_first[r.name].lit, up=at_first[r.name].up) for r in chosen if r.name in at_first)  # fmt: skip
    made.append(Happening(events.Conditions(crossed=crossed)))
    if settings.gateway_port and not state.served:
        made += [
            Happening(events.Deployed(id=d.name, project="", deployment=d), "default", d.name)
            for d in _packaged(settings)
        ]
    await asyncio.wrap_future(given.plane.put(*made))


def _packaged(settings: Settings) -> list[Deployment]:
    """Models that a new fabric serves at once; InputError for unknown names."""
    known = service.packaged()
    if wrong := [
        unknown("--model", "packaged deployment", name, known) for name in settings.models if name not in known
    ]:
        raise InputError(wrong)
    return [service.read(known[name]).deployment for name in settings.models]


def choose(settings: Settings, there: dict[str, HostFrame]) -> list[HostFrame]:
    """The hosts that get a runtime: those that are named, or ships at even distances and the first sites. InputError for unknown names."""
    wrong = [unknown("--host", "ship or site", name, there) for name in settings.hosts if name not in there]
    if wrong:
        raise InputError(wrong)
    if settings.hosts:
        return [there[name] for name in dict.fromkeys(settings.hosts)]
    ships = [r for r in there.values() if r.kind == "ship"]
    sites = [r for r in there.values() if r.kind == "site"]
    count = min(settings.ships, len(ships))
    return [ships[i * len(ships) // count] for i in range(count)] + sites[: settings.sites]


def _facts(row: HostFrame, scenario: Scenario) -> HostFacts:
    return HostFacts(
        name=row.name, group=row.group, ship=row.kind == "ship", country=row.country, accelerator=row.accelerator, gpus=int(row.gpus_installed),
        cores_per_gpu=scenario.value("host.cores_per_gpu"), memory_gb_per_gpu=scenario.value("host.memory_per_gpu") / 1e9, gpu_w=row.gpu_full_w,
        energy_usd_j=row.energy_usd_j,
    )  # fmt: skip


def _news(given: Fabric) -> None:
    for watcher in given.watchers:
        watcher.set()


def _orders(given: Fabric, names: set[str]) -> None:
    for name in names:
        if name in given.runtimes:
            given.runtimes[name].set()


async def _tidy(given: Fabric) -> None:
    """Remove what nobody needs, every so often."""
    while True:
        await asyncio.sleep(tidy.EVERY_S)
        try:
            gone = await asyncio.to_thread(tidy.tidy, given.plane, given.blobs, given.folder)
            log.info("tidied: %d things that nobody needs any more", gone)
        except (OSError, StoreError) as error:
            log.warning("not tidied: %s", error)


async def _learn(given: Fabric) -> None:
    """Begin rounds of continual tuning as they are due."""
    while True:
        await asyncio.sleep(continual.EVERY_S)
        try:
            await asyncio.to_thread(continual.look, given)
        except (OSError, StoreError, Refused, BlobError) as error:
            log.warning("no round of continual tuning: %s", error)


async def _leave(given: Fabric, folder: Path, gateway: Keeper) -> None:
    """The end: the gateway finishes what it has, runtimes stop their work with its grace, report, and go. Jobs wait in the store for the next time."""
    given.leaving = True
    if (folder / "stay").exists():
        return  # the runtimes go on alone: only the control process ends
    _news(given)
    _orders(given, set(given.runtimes))
    await asyncio.to_thread(gateway.stop, LEAVE_S)
    names = list(given.plane.state.hosts)
    executor: Any = given.follower.executor
    await asyncio.gather(*(asyncio.to_thread(executor.stop, name, LEAVE_S) for name in names))


if __name__ == "__main__":
    sys.exit(main())
