"""Endpoints in OpenAI's form: their errors, their lists."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from aether.base.errors import InputError
from aether.fabric.api.frame import Strict
from aether.fabric.core.plane import Refused
from aether.fabric.store.store import StoreAway, StoreError, StoreFull

TYPES = {401: "invalid_request_error", 403: "permission_error", 404: "invalid_request_error", 429: "rate_limit_error"}
CODES = {401: "invalid_api_key", 404: "not_found", 409: "conflict", 413: "request_too_large"}


class VendorRoute(APIRoute):
    """An endpoint whose errors have OpenAI's form."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The endpoint's handler."""
        work = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await work(Strict(request.scope, request.receive))
            except Refused as error:
                return refusal(error.status, error.detail, error.more.get("param"), error.more.get("retry_after"))
            except InputError as error:
                first = error.problems[0]
                return refusal(400, str(error), first.path or None)
            except RequestValidationError as error:
                first_error = error.errors()[0]
                where = ".".join(str(part) for part in first_error["loc"][1:])
                return refusal(400, f"{where}: {first_error['msg']}", where or None)
            except HTTPException as error:
                return refusal(error.status_code, str(error.detail))
            except (StoreAway, StoreFull) as error:
                return refusal(503, str(error), None, 5)
            except StoreError as error:
                return refusal(503, str(error), None, 60)

        return handle


def refusal(status: int, message: str, param: str | None = None, retry_after_s: float | None = None) -> Response:
    """An error as clients of OpenAI know it."""
    kind = TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    body = {"error": {"message": message, "type": kind, "param": param, "code": CODES.get(status)}}
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(json.dumps(body), status, headers, "application/json")


def page(rows: Sequence[dict[str, Any]], after: str | None, limit: int) -> dict[str, Any]:
    """A list as clients of OpenAI page through it: rows after the one of an id."""
    begin = next((i + 1 for i, row in enumerate(rows) if row["id"] == after), 0 if after is None else len(rows))
    shown = list(rows[begin : begin + limit])
    return {"object": "list", "data": shown, "has_more": begin + limit < len(rows),
            "first_id": shown[0]["id"] if shown else None, "last_id": shown[-1]["id"] if shown else None}  # fmt: skip
