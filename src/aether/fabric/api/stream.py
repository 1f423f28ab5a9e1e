"""The log as it grows, as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response, StreamingResponse

from aether.fabric.api.admin import entry
from aether.fabric.api.frame import Fabric, Given, Reader
from aether.fabric.core.plane import Refused

router = APIRouter(prefix="/v1", tags=["events"])
PING_S = 15.0  # without news, so that proxies keep the line
MOST_WATCHERS = 200  # that follow at once: each costs a reading of the log with every change
PAGE = 500


@router.get("/events", response_class=StreamingResponse, responses={200: {"content": {"text/event-stream": {}}}})
async def follow(
    request: Request, given: Given, who: Reader, after: Annotated[int | None, Query(ge=0, le=2**62)] = None,
    subject: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:  # fmt: skip
    """Entries of the log as they come, each with its number as id; `after` or Last-Event-ID says where to go on, none means from now."""
    last = request.headers.get("last-event-id", "")
    start = (
        int(last) if last.isdigit() and len(last) < 19 else after if after is not None else given.plane.store.last_seq
    )
    if len(given.watchers) >= MOST_WATCHERS:
        raise Refused(429, "too-many-watchers", f"{MOST_WATCHERS} follow already", retry_after=10)
    rows = _rows(given, None if who.admin else who.project, subject, start)
    return StreamingResponse(rows, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def _rows(given: Fabric, project: str | None, subject: str | None, after: int) -> AsyncIterator[str]:
    news = asyncio.Event()
    given.watchers.add(news)
    try:
        while not given.leaving:
            news.clear()
            upto = given.plane.store.last_seq
            while rows := await asyncio.to_thread(given.plane.store.read, after, PAGE, None, project, subject):
                for row in rows:
                    shown = entry(row)
                    yield f"event: {shown.kind}\nid: {shown.seq}\ndata: {shown.model_dump_json()}\n\n"
                after = rows[-1].seq
            after = max(after, upto)
            try:
                await asyncio.wait_for(news.wait(), PING_S)
            except TimeoutError:
                yield ": still here\n\n"
    finally:
        given.watchers.discard(news)
