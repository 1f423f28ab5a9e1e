"""The log as it grows, as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response, StreamingResponse

from aether.fabric.api.admin import entry
from aether.fabric.api.frame import Fabric, Given, Reader, Route, room_to_watch, still, watching
from aether.fabric.store.store import Stored, StoreError
from aether.fabric.tenancy import Principal
from aether.fabric.views import TEXT

router = APIRouter(prefix="/v1", tags=["events"], route_class=Route)
PING_S = 15.0  # without news, so that proxies keep the line
PAGE = 500  # entries read from the store at once: some 250 kB; ours
AWAY_S = 1.0  # between two tries at a database that is away


@router.get("/events", response_class=StreamingResponse, responses={200: {"content": {"text/event-stream": {}}}})
async def follow(
    request: Request, given: Given, who: Reader, after: Annotated[int | None, Query(ge=0, le=2**62)] = None,
    subject: Annotated[str | None, Query(max_length=200, pattern=TEXT)] = None,
) -> Response:  # fmt: skip
    """Entries of the log as they come, each with its number as id; `after` or Last-Event-ID says where to go on, none means from now."""
    last = request.headers.get("last-event-id", "")
    start = (
        int(last) if last.isdigit() and len(last) < 19 else after if after is not None else given.plane.store.last_seq
    )
    room_to_watch(given)
    rows = _rows(given, who, subject, start)
    return StreamingResponse(rows, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def _rows(given: Fabric, who: Principal, subject: str | None, after: int) -> AsyncIterator[str]:
    project = None if who.admin else who.project
    with watching(given) as news:
        while not given.leaving and still(given, who):
            news.clear()
            upto = given.plane.store.last_seq
            while rows := await _read(given, after, project, subject):
                for row in rows:
                    shown = entry(row)
                    yield f"event: {shown.kind}\nid: {shown.seq}\ndata: {shown.model_dump_json()}\n\n"
                after = rows[-1].seq
            after = max(after, upto)
            try:
                await asyncio.wait_for(news.wait(), PING_S)
            except TimeoutError:
                yield ": still here\n\n"


async def _read(given: Fabric, after: int, project: str | None, subject: str | None) -> list[Stored]:
    """The next entries, however long the database stays away."""
    while not given.leaving:
        try:
            return await asyncio.to_thread(given.plane.store.read, after, PAGE, None, project, subject)
        except StoreError:
            await asyncio.sleep(AWAY_S)
    return []
