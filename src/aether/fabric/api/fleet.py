"""Ships and sites: look at them, close them, make faults."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from aether.base.errors import unknown
from aether.fabric import views
from aether.fabric.api import show
from aether.fabric.api.frame import Admin, Fabric, Given, IdempotencyKey, Reader, Route, write
from aether.fabric.core import events
from aether.fabric.core.plane import Decision, Happening, Refused
from aether.fabric.core.state import State
from aether.fabric.tenancy import Principal

router = APIRouter(prefix="/v1", tags=["ships"], route_class=Route)
HostName = Annotated[str, Path(min_length=1, max_length=200)]


@router.get("/ships", response_model=views.Ships)
async def ships(given: Given, who: Reader) -> views.Ships:
    """All ships and sites that work for this fabric, as they are now."""
    clock = given.plane.clock
    with given.plane.lock:
        state = given.plane.state
        rows = tuple(
            show.ship(state, h, given.follower.now.get(h.facts.name, {}), None if who.admin else who.project)
            for h in state.hosts.values()
        )
    return views.Ships(time_s=clock.now(), speed=clock.speed, ships=rows)


@router.post("/cordon/{name:path}", response_model=views.Done)
async def cordon(
    request: Request,
    given: Given,
    who: Admin,
    name: HostName,
    asked: views.Close,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Let a host take no new work, or take it again; what runs there goes on."""
    return await _close(request, given, who, name, asked.closed, False, idempotency_key)


@router.post("/drain/{name:path}", response_model=views.Done)
async def drain(
    request: Request,
    given: Given,
    who: Admin,
    name: HostName,
    asked: views.Close,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Let a host take no new work, and what runs there go on elsewhere from its checkpoint; or open it again."""
    return await _close(request, given, who, name, asked.closed, asked.closed, idempotency_key)


async def _close(
    request: Request, given: Fabric, who: Principal, name: str, closed: bool, drained: bool, key: str | None
) -> Response:
    def decide(state: State) -> Decision:
        if name not in state.hosts:
            raise _no_host(name, state)
        return Decision(
            (Happening(events.Cordoned(host=name, closed=closed, drain=drained), "", name),), '{"done":true}'
        )

    return await write(given, request, who, key, decide)


def _no_host(name: str, state: State) -> Refused:
    told = unknown("", "ship or site", name[:100], state.hosts)
    return Refused(404, "no-such-host", str(told), nearest=told.nearest)


@router.post("/faults", status_code=201, response_model=views.Done)
async def inject(
    request: Request, given: Given, who: Admin, asked: views.Fault, idempotency_key: IdempotencyKey = None
) -> Response:
    """Make a fault: a ship or site lost, a link cut, a gateway lost, a ship's pumps stalled, a runtime killed, the machine's clock moved."""
    start_s = given.plane.clock.now()
    until_s = None if asked.duration_s is None else start_s + asked.duration_s
    wanted = events.Injected(fault=asked.kind, name=asked.name, until_s=until_s, by_s=asked.by_s)

    def decide(state: State) -> Decision:
        if asked.kind in ("ship", "site", "pump", "runtime") and asked.name not in state.hosts:
            raise _no_host(asked.name, state)
        if asked.kind == "clock" and asked.by_s == 0.0:
            raise Refused(422, "invalid-input", "by_s: a jump of the clock needs its length")
        return Decision((Happening(wanted, "", asked.name),), '{"done":true}')

    await asyncio.to_thread(given.follower.check, wanted, start_s)
    return await write(given, request, who, idempotency_key, decide, 201)
