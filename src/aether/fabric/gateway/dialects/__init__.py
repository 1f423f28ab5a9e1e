"""The vendors' dialects: requests into the fabric's form, answers and streams out of it; pure functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from aether.fabric.gateway.asks import Endpoint, Trouble
from aether.fabric.gateway.dialects.trouble import Vendor

Bill = Callable[[dict[str, Any]], dict[str, Any]]  # OpenAI's usage -> where it came from and what it costs


@dataclass(slots=True)
class Asked:
    """A request that was understood.

    body: OpenAI's form for its endpoint, without `stream`. usage: a stream tells it. same: what the client says that its conversation
    is known by; opening: how its prompt begins. said: the request as it came, for answers that repeat it.
    """

    body: dict[str, Any]
    model: str
    stream: bool = False
    usage: bool = False
    same: str = ""
    opening: Any = None
    said: dict[str, Any] = field(default_factory=dict)


class Pieces(Protocol):
    """Turns OpenAI's chunks into the frames of a vendor's stream, one stream each."""

    ping: bytes  # a frame that says that the stream lives; empty where the vendor has none

    def piece(self, chunk: dict[str, Any]) -> bytes:
        """The frames of a chunk; empty for none."""

    def end(self) -> bytes:
        """The frames that end it."""

    def broken(self, trouble: Trouble, request_id: str) -> bytes:
        """The frames that say that it broke."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one path is spoken. accept: raises Trouble("invalid"); whole: an answer in OpenAI's form to the vendor's."""

    endpoint: Endpoint
    vendor: Vendor
    accept: Callable[[Any], Asked]
    whole: Callable[[dict[str, Any], Asked, Bill], dict[str, Any]]
    pieces: Callable[[Asked, Bill], Pieces] | None


@dataclass(frozen=True, slots=True)
class Count:
    """How a path is spoken that counts a prompt's tokens. accept: raises Trouble("invalid"); told: the answer of so many."""

    dialect: Dialect
    accept: Callable[[Any], Asked]
    told: Callable[[int], dict[str, Any]]
