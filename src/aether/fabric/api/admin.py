"""Projects, keys, the meter, the log and its proof."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response

from aether.fabric import views
from aether.fabric.api import show
from aether.fabric.api.frame import Admin, Given, IdempotencyKey, Reader, Route, needs, write
from aether.fabric.core import events
from aether.fabric.core.plane import Decision, Happening, Refused
from aether.fabric.core.state import TOKENS, State
from aether.fabric.store.store import Stored
from aether.fabric.tenancy import derived_key, new_key

router = APIRouter(prefix="/v1", tags=["administration"], route_class=Route)
PROJECT_QUERY = Annotated[str | None, Query(max_length=40)]


@router.get("/projects", response_model=views.Projects)
async def projects(given: Given, who: Reader) -> views.Projects:
    """The projects that the key sees."""
    with given.plane.lock:
        return views.Projects(projects=tuple(p for p in given.plane.state.projects if who.sees(p)))


@router.post("/projects", status_code=201, response_model=views.Projects)
async def make_project(
    request: Request, given: Given, who: Admin, asked: views.NewProject, idempotency_key: IdempotencyKey = None
) -> Response:
    """Make a project; one that is there stays as it is."""

    def decide(state: State) -> Decision:
        made = (
            ()
            if asked.project in state.projects
            else (Happening(events.ProjectMade(project=asked.project), asked.project),)
        )
        return Decision(made, views.Projects(projects=(asked.project,)).model_dump_json())

    return await write(given, request, who, idempotency_key, decide, 201)


@router.get("/keys", response_model=views.Keys, dependencies=[Depends(needs("admin"))])
async def keys(given: Given) -> views.Keys:
    """All keys, without their secrets."""
    with given.plane.lock:
        return views.Keys(keys=tuple(show.key(n, k) for n, k in given.plane.state.keys.items()))


@router.post("/keys", status_code=201, response_model=views.MadeKey)
async def make_key(
    request: Request, given: Given, who: Admin, asked: views.NewKey, idempotency_key: IdempotencyKey = None
) -> Response:
    """Make a key. Its secret is told in this answer and kept nowhere; the same request with the same idempotency key is told it again."""
    name, secret, kept = derived_key(given.secret, who.key, idempotency_key) if idempotency_key else new_key()
    expires_s = None if asked.expires_in_s is None else given.plane.clock.now() + asked.expires_in_s
    project = "" if "admin" in asked.scopes else asked.project

    def decide(state: State) -> Decision:
        if project and project not in state.projects:
            raise Refused(422, "invalid-input", f"project: there is no project '{project}': make it first")
        known = state.keys.get(name)
        if known is not None:
            if (known.project, known.scopes, known.note, known.expires_s is None) != (
                project,
                asked.scopes,
                asked.note,
                expires_s is None,
            ):
                raise Refused(
                    422, "idempotency-key-reused", f"the idempotency key '{idempotency_key}' stands for another request"
                )
            return Decision((), views.MadeKey(id=name, secret=secret).model_dump_json())
        event = events.KeyMade(
            key=name,
            project=project,
            digest=kept,
            scopes=asked.scopes,
            expires_s=expires_s,
            note=asked.note,
            requests_per_minute=asked.requests_per_minute,
            tokens_per_minute=asked.tokens_per_minute,
        )
        return Decision((Happening(event, project, name),), views.MadeKey(id=name, secret=secret).model_dump_json())

    return await write(given, request, who, None, decide, 201)


@router.delete("/keys/{key}", response_model=views.Done)
async def revoke_key(
    request: Request,
    given: Given,
    who: Admin,
    key: Annotated[str, Path(max_length=100)],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Make a key worthless from now on. The last administrator's key stays."""

    def decide(state: State) -> Decision:
        if key not in state.keys:
            raise Refused(404, "no-such-key", f"there is no key '{key[:100]}'")
        admins = [
            n for n, k in state.keys.items() if "admin" in k.scopes and k.revoked_s is None and k.expires_s is None
        ]
        if admins == [key]:
            raise Refused(
                409, "last-key", "this is the last key of an administrator that does not expire: make another first"
            )
        made = Happening(events.KeyRevoked(key=key), state.keys[key].project, key)
        return Decision((made,), '{"done":true}', alone=True)

    return await write(given, request, who, idempotency_key, decide)


@router.get("/usage", response_model=views.UsageView)
async def usage(given: Given, who: Reader, project: PROJECT_QUERY = None) -> views.UsageView:
    """The meter's sums by project and kind of accelerator."""
    with given.plane.lock:
        rows = tuple(
            views.UsageRow(project=p, accelerator=a, amounts=show.amounts(row))
            for p, kinds in given.plane.state.usage.items() if who.sees(p) and project in (None, p)
            for a, row in kinds.items()
        )  # fmt: skip
        tokens = tuple(
            views.TokenRow(project=p, model=m, host=h, **dict(zip(TOKENS, row, strict=True)))
            for p, models in given.plane.state.tokens.items() if who.sees(p) and project in (None, p)
            for m, hosts in models.items() for h, row in hosts.items()
        )  # fmt: skip
    return views.UsageView(time_s=given.plane.clock.now(), rows=rows, tokens=tokens)


@router.get("/audit", response_model=views.EventPage)
async def audit(
    given: Given, who: Reader, after: Annotated[int, Query(ge=0, le=2**62)] = 0, limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    kind: Annotated[str | None, Query(max_length=50, pattern=views.TEXT)] = None,
    subject: Annotated[str | None, Query(max_length=200, pattern=views.TEXT)] = None,
) -> views.EventPage:  # fmt: skip
    """Entries of the log, in order: an administrator's of all, others' of their project."""
    project = None if who.admin else who.project
    rows = await asyncio.to_thread(given.plane.store.read, after, limit, [kind] if kind else None, project, subject)
    return views.EventPage(events=tuple(entry(r) for r in rows), cursor=rows[-1].seq if rows else after)


def entry(row: Stored) -> views.EventView:
    """An entry as it is shown; what is kept of keys is not."""
    body = json.loads(row.body)
    body.pop("digest", None) if row.kind == "key_made" else None
    return views.EventView(
        seq=row.seq,
        time_s=row.time_s,
        kind=row.kind,
        project=row.project,
        subject=row.subject,
        actor=row.actor,
        body=body,
    )


@router.get("/audit/verify", response_model=views.AuditView, dependencies=[Depends(needs("admin"))])
async def verify(given: Given, head: Annotated[str | None, Query(max_length=200)] = None) -> views.AuditView:
    """Walk through the whole log: whether anything was changed, deleted or reordered."""
    made = await asyncio.to_thread(given.plane.store.verify, head)
    return views.AuditView(ok=made.ok, entries=made.entries, head=made.head, what=made.what)
