"""What ship runtimes speak to: join, sync, blobs, logs. Without contact there is no answer but 503."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from pathlib import Path as File
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response

from aether.fabric.api import logs
from aether.fabric.api.frame import Fabric, Given, Route, Runtime, Writer, answer
from aether.fabric.blobs import BlobError
from aether.fabric.core import control, events
from aether.fabric.core.plane import Decision, Happening, Refused
from aether.fabric.core.state import State
from aether.fabric.protocol import PROTOCOL, Join, Joined, Order, Orders, Sync, Used
from aether.fabric.runtime.meter import verify

router = APIRouter(prefix="/runtime/v1", tags=["runtimes"], include_in_schema=False, route_class=Route)
blobs = APIRouter(prefix="/v1/blobs", tags=["files"])
DIGEST = r"^sha256:[0-9a-f]{64}$"
MOST_PIECE = 8_000_000  # bytes of a log sent at once


def in_contact(given: Fabric, name: str) -> None:
    """Refused while the twin sees no way to the host: its runtime must work alone."""
    host = given.plane.state.hosts[name]
    if not (host.contact and host.up):
        raise Refused(503, "out-of-contact", f"{name} has no way to a gateway now", retry_after=1)


async def same_protocol(request: Request, name: Runtime) -> None:
    """Refused where a runtime speaks another protocol, before its words are weighed: another version may introduce itself otherwise."""
    asked = await request.json()
    spoken = asked.get("protocol", 0) if isinstance(asked, dict) else 0
    if spoken != PROTOCOL:
        version = str(asked.get("version", "of no version"))[:50] if isinstance(asked, dict) else "of no version"
        text = f"the runtime of {name} ({version}) speaks protocol {str(spoken)[:20]}, this fabric {PROTOCOL}: restart it with this version"
        raise Refused(426, "runtime-version", text)


@router.post("/join", response_model=Joined, dependencies=[Depends(same_protocol)])
async def join(given: Given, name: Runtime, asked: Join) -> Response:
    """A runtime introduces itself."""
    in_contact(given, name)
    if asked.runtime != name:
        raise Refused(403, "not-allowed", "the token is another runtime's")
    event = events.RuntimeJoined(
        runtime=name, journal=asked.journal, public_key=asked.public_key, address=asked.address, version=asked.version
    )

    def decide(state: State) -> Decision:
        known = state.runtimes.get(name)
        if known is not None and (known.journal, known.address, known.lost) == (asked.journal, asked.address, False):
            return Decision(())
        return Decision((Happening(event, "", name),))

    given.plane.saw(name)
    await answer(given.plane.write(decide, f"runtime:{name}"))
    given.plane.saw(name)
    runtime, clock = given.plane.state.runtimes[name], given.plane.clock
    made = Joined(acknowledged=runtime.acknowledged, time_s=clock.now(), speed=clock.speed)
    return Response(made.model_dump_json(), media_type="application/json")


@router.post("/sync", response_model=Orders)
async def sync(given: Given, name: Runtime, asked: Sync) -> Response:
    """Reports go up, orders come down; held for news where there are none."""
    in_contact(given, name)
    if asked.runtime != name:
        raise Refused(403, "not-allowed", "the token is another runtime's")
    plane = given.plane
    known = plane.state.runtimes.get(name)
    if known is None or known.journal != asked.journal:
        raise Refused(409, "unknown-runtime", f"{name} has not joined with this journal: join first")
    for item in asked.reports:
        if (
            isinstance(item.report, Used)
            and item.n > known.acknowledged
            and not verify(item.report, name, known.public_key)
        ):
            raise Refused(422, "bad-signature", f"report {item.n} of {name} is not signed by its key")
    plane.saw(name)
    if asked.reports or known.lost:
        await answer(plane.write(lambda _: plane.reports(name, asked.journal, asked.reports), f"runtime:{name}"))
    elif asked.wait_s and asked.seen == known.version and not given.leaving:
        news = given.runtimes.setdefault(name, asyncio.Event())
        news.clear()
        if plane.state.runtimes[name].version == asked.seen:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), asked.wait_s)
        in_contact(given, name)
    plane.saw(name)
    with plane.lock:
        runtime = plane.state.runtimes[name]
        made = Orders(
            acknowledged=runtime.acknowledged, version=runtime.version, orders=_keyed(given, control.orders(plane.state, name)), time_s=plane.clock.now(),
            speed=plane.clock.speed, leave=given.leaving,
        )  # fmt: skip
    return Response(made.model_dump_json(), media_type="application/json")


def _keyed(given: Fabric, orders: tuple[Order, ...]) -> tuple[Order, ...]:
    """Orders with what model servers shall ask for, which is in no state and no log."""
    return tuple(o.model_copy(update={"server_key": given.server_key(o.attempt)}) if o.serves else o for o in orders)


@router.post("/logs")
async def take_log(
    request: Request, given: Given, name: Runtime, attempt: Annotated[str, Query(max_length=200)], rank: Annotated[int, Query(ge=0, le=1000)],
    offset: Annotated[int, Query(ge=0, le=2**50)],
) -> Response:  # fmt: skip
    """A piece of a member's output; answers how far it is stored."""
    in_contact(given, name)
    data = await request.body()
    if len(data) > MOST_PIECE:
        raise Refused(413, "too-large", f"at most {MOST_PIECE:,} bytes of a log at once")
    there = await asyncio.to_thread(logs.append, given, attempt, rank, offset, data)
    return JSONResponse({"offset": there})


@router.put("/blobs/{digest}", status_code=201)
async def keep(request: Request, given: Given, name: Runtime, digest: Annotated[str, Path(pattern=DIGEST)]) -> Response:
    """A checkpoint comes up."""
    in_contact(given, name)
    return JSONResponse({"size_bytes": await _take(request, given, digest)}, 201)


@router.get("/blobs/{digest}")
async def fetch(given: Given, name: Runtime, digest: Annotated[str, Path(pattern=DIGEST)]) -> Response:
    """Files go to a runtime."""
    in_contact(given, name)
    try:
        return FileResponse(given.blobs.path(digest), media_type="application/octet-stream")
    except FileNotFoundError:
        raise Refused(404, "no-such-blob", f"{digest} is not here") from None


@blobs.put(
    "/{digest}",
    status_code=201,
    openapi_extra={"requestBody": {"required": True, "content": {"application/octet-stream": {}}}},
)
async def upload(request: Request, given: Given, who: Writer, digest: Annotated[str, Path(pattern=DIGEST)]) -> Response:
    """Bring a file or an archive that tasks of the key's project may mount."""
    size = await _take(request, given, digest)
    mark = given.folder / "projects" / (who.project or "default") / digest[7:]
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    return JSONResponse({"size_bytes": size}, 201)


async def _take(request: Request, given: Fabric, digest: str) -> int:
    """The body, first beside the blobs and then among them, whole or not at all."""
    with tempfile.NamedTemporaryFile(dir=given.blobs.folder, suffix=".part") as spool:
        async for piece in request.stream():
            await asyncio.to_thread(spool.write, piece)
        spool.flush()
        try:
            with File(spool.name).open("rb") as stream:
                return await asyncio.to_thread(given.blobs.put, stream, digest)
        except BlobError as error:
            raise Refused(422, "bad-blob", str(error)) from error
