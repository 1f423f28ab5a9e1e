"""What goes wrong, in each vendor's words: status, body and headers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aether.fabric.gateway.asks import Kind, Trouble
from aether.fabric.gateway.dialects.form import Path, Wrong

# kind: (status, type, code); from the vendor's guide to error codes and answers seen
OPENAI: dict[Kind, tuple[int, str, str | None]] = {
    "invalid": (400, "invalid_request_error", None),
    "unauthorised": (401, "invalid_request_error", "invalid_api_key"),
    "forbidden": (403, "invalid_request_error", "insufficient_permissions"),
    "missing": (404, "invalid_request_error", "model_not_found"),
    "too-large": (413, "invalid_request_error", "request_too_large"),
    "limited": (429, "requests", "rate_limit_exceeded"),
    "overloaded": (503, "server_error", "overloaded"),
    "unavailable": (503, "server_error", "unavailable"),
    "timeout": (504, "server_error", "timeout"),
    "broken": (502, "server_error", "upstream_lost"),
    "refused": (400, "invalid_request_error", None),
}
# kind: (status, type); docs.anthropic.com, "Errors"
ANTHROPIC: dict[Kind, tuple[int, str]] = {
    "invalid": (400, "invalid_request_error"),
    "unauthorised": (401, "authentication_error"),
    "forbidden": (403, "permission_error"),
    "missing": (404, "not_found_error"),
    "too-large": (413, "request_too_large"),
    "limited": (429, "rate_limit_error"),
    "overloaded": (529, "overloaded_error"),
    "unavailable": (503, "api_error"),
    "timeout": (504, "timeout_error"),
    "broken": (502, "api_error"),
    "refused": (400, "invalid_request_error"),
}
NAMES = dict(ANTHROPIC.values())
WORDS = {"number": "a decimal", "integer": "an integer", "string": "a string", "boolean": "a boolean", "object": "an object",
         "array": "an array", "null": "null"}  # fmt: skip
PLAIN = {"number": "number", "integer": "integer", "string": "string", "boolean": "boolean", "object": "object",
         "array": "list"}  # fmt: skip
QUOTED = 80  # characters of a wrong value that its sentence repeats


@dataclass(frozen=True, slots=True)
class Vendor:
    """A vendor's way to say what went wrong. error: (trouble, request id) -> (status, body); request_header: bears the id."""

    name: str
    request_header: str
    error: Callable[[Trouble, str], tuple[int, dict[str, Any]]]


def _openai_error(trouble: Trouble, _request_id: str) -> tuple[int, dict[str, Any]]:
    status, kind, code = OPENAI[trouble.kind]
    error = {"message": trouble.message, "type": kind, "param": trouble.param, "code": trouble.code or code}
    return trouble.status or status, {"error": error}


def _anthropic_error(trouble: Trouble, request_id: str) -> tuple[int, dict[str, Any]]:
    status, kind = ANTHROPIC[trouble.kind]
    if trouble.kind == "refused":  # by the model's server, with a status that has a name of its own
        kind = NAMES.get(trouble.status or status, kind)
    error = {"type": kind, "message": trouble.message}
    return trouble.status or status, {"type": "error", "error": error, "request_id": request_id}


openai = Vendor("openai", "x-request-id", _openai_error)
anthropic = Vendor("anthropic", "request-id", _anthropic_error)


def _quoted(value: Any) -> str:
    text = str(value)
    return text if len(text) <= QUOTED else f"{text[:QUOTED]}..."


def _brackets(path: Path) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{_quoted(step)}" for step in path)
    return text.removeprefix(".")


def openai_says(wrong: Wrong) -> Trouble:
    """What is wrong with a request, as OpenAI says it."""
    at, whole = _brackets(wrong.path), isinstance(wrong.wanted, int)
    sort = "integer" if whole else "decimal"
    match wrong.problem:
        case "missing":
            said, code = f"Missing required parameter: '{at}'.", "missing_required_parameter"
        case "kind":
            wanted = " or ".join(WORDS[kind] for kind in wrong.wanted)
            said, code = (
                f"Invalid type for '{at}': expected {wanted}, but got {WORDS[wrong.got]} instead.",
                "invalid_type",
            )
            if not at:
                said = f"Invalid request body: expected {wanted}, but got {WORDS[wrong.got]} instead."
        case "low":
            said = f"Invalid '{at}': {sort} below minimum value. Expected a value >= {wrong.wanted:.12g}, but got {_quoted(wrong.got)} instead."
            code = f"{sort}_below_min_value"
        case "high":
            said = f"Invalid '{at}': {sort} above maximum value. Expected a value <= {wrong.wanted:.12g}, but got {_quoted(wrong.got)} instead."
            code = f"{sort}_above_max_value"
        case "empty":
            said, code = f"Invalid '{at}': too short. Expected a length of at least {wrong.wanted:g}.", "empty_value"
        case "long":
            said, code = f"Invalid '{at}': too long. Expected a length of at most {wrong.wanted:g}.", "above_max_length"
        case "value":
            known = ", ".join(f"'{value}'" for value in wrong.wanted)
            said, code = f"Invalid value: '{_quoted(wrong.got)}'. Supported values are: {known}.", "invalid_value"
        case "unsupported":
            said, code = f"Unsupported parameter: '{at}' is not supported with this model.", "unsupported_parameter"
        case _:
            said, code = f"Unrecognized request argument supplied: {at}", "unknown_parameter"
    return Trouble("invalid", said, param=at or None, code=code)


def anthropic_says(wrong: Wrong) -> Trouble:
    """What is wrong with a request, as Anthropic says it."""
    at = ".".join(_quoted(step) for step in wrong.path) or "body"
    match wrong.problem:
        case "missing":
            said = "Field required"
        case "kind":
            said = f"Input should be a valid {' or '.join(PLAIN[kind] for kind in wrong.wanted)}"
        case "low":
            said = f"Input should be greater than or equal to {wrong.wanted:g}"
        case "high":
            said = f"Input should be less than or equal to {wrong.wanted:g}"
        case "empty":
            said = f"Input should have at least {wrong.wanted:g} items"
        case "long":
            said = f"Input should have at most {wrong.wanted:g} items"
        case "value":
            said = f"Input should be {' or '.join(repr(value) for value in wrong.wanted)}"
        case "unsupported":
            said = "is not supported by this model"
        case _:
            said = "Extra inputs are not permitted"
    return Trouble("invalid", f"{at}: {said}", param=at)


def retry_headers(trouble: Trouble) -> dict[str, str]:
    """When to ask again: whole seconds, and milliseconds, which both vendors' SDKs prefer."""
    if trouble.retry_after_s is None:
        return {}
    return {
        "retry-after": str(max(1, math.ceil(trouble.retry_after_s))),
        "retry-after-ms": str(max(1, math.ceil(1000 * trouble.retry_after_s))),
    }
