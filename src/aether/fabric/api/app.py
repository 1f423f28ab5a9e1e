"""The application: every endpoint on one fabric."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from aether.base.version import VERSION
from aether.fabric.api import admin, deployments, files, fleet, frame, gateway, jobs, runtimes, stream, tuning, watch
from aether.fabric.api.frame import Bounded, Fabric

ERRORS: dict[int | str, dict[str, Any]] = {
    code: {"description": what, "content": {frame.PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    for code, what in (
        (400, "not readable"), (401, "no valid key"), (403, "not allowed"), (404, "not there"), (409, "not as things stand"), (413, "too large"),
        (422, "the input is wrong"), (429, "too much at once"), (503, "not now"), (507, "no room"),
    )
}  # fmt: skip
PROBLEM_SCHEMA = {
    "type": "object",
    "description": "an error as RFC 9457 has it",
    "required": ["type", "title", "status", "detail"],
    "properties": {"type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer"}, "detail": {"type": "string"},
                   "problems": {"type": "array", "items": {"type": "object"}}},
}  # fmt: skip


def application(given: Fabric) -> FastAPI:
    """The ASGI application of a fabric."""
    app = FastAPI(
        title="Aether fabric", version=VERSION, description="Jobs on compute ships and ground sites.", responses=ERRORS,
        generate_unique_id_function=_name, docs_url="/docs", redoc_url=None,
    )  # fmt: skip
    app.state.fabric = given
    frame.install(app)
    for router in (
        jobs.router,
        fleet.router,
        admin.router,
        stream.router,
        runtimes.router,
        runtimes.blobs,
        watch.router,
        gateway.router,
        deployments.router,
        files.router,
        tuning.router,
    ):
        app.include_router(router)
    app.add_middleware(Bounded, most_blob_bytes=given.most_blob_bytes)
    made = app.openapi()
    made.setdefault("components", {}).setdefault("schemas", {})["Problem"] = PROBLEM_SCHEMA
    return app


def _name(route: APIRoute) -> str:
    return route.name
