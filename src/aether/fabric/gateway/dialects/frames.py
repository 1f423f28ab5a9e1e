"""Values as JSON and as frames of a stream of server-sent events that no text can break out of."""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

# Text readers that split at every Unicode line end (as old SDKs do) would tear a frame at these; JSON may say them escaped.
LINE_ENDS = (
    (b"\xe2\x80\xa8", b"\\u2028"),
    (b"\xe2\x80\xa9", b"\\u2029"),
    (b"\xc2\x85", b"\\u0085"),
)


def dump(value: Any) -> bytes:
    """A value as JSON in UTF-8, without any line end; what is not finite becomes null."""
    try:
        data = to_json(value, inf_nan_mode="null")
    except PydanticSerializationError:  # a lone surrogate, which UTF-8 cannot say: escaped
        data = json.dumps(value).encode()
    if b"\xe2\x80" in data or b"\xc2\x85" in data:
        for raw, escaped in LINE_ENDS:
            data = data.replace(raw, escaped)
    return data


def data(value: Any) -> bytes:
    """A frame without a name."""
    return b"data: %b\n\n" % dump(value)


def event(value: dict[str, Any]) -> bytes:
    """A frame named by the value's own `type`."""
    return b"event: %b\ndata: %b\n\n" % (value["type"].encode(), dump(value))
