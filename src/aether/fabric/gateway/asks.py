"""What stands between the vendors' dialects and the fabric: a request, its answer or stream, and what can go wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Endpoint = Literal["/v1/chat/completions", "/v1/completions", "/v1/embeddings"]
Kind = Literal[
    "invalid",  # 400: the request is wrong; param names the field
    "unauthorised",  # 401
    "forbidden",  # 403: the key may not
    "missing",  # 404: no such model, file, job for this caller
    "too-large",  # 413
    "limited",  # 429: a limit of the key; retry_after_s says when
    "overloaded",  # 503: no replica has room now; retry_after_s says when
    "unavailable",  # 503: no replica can be reached, or none that the filters allow
    "timeout",  # 504: no answer in time
    "broken",  # 502, or the error event of a stream: the backend was lost after the first token
    "refused",  # the backend's own 4xx: status and body say it in its words
]


class Trouble(Exception):  # noqa: N818 - an answer, not a fault
    """What a client is told instead of an answer; each dialect says it in its vendor's form."""

    def __init__(
        self, kind: Kind, message: str, *, param: str | None = None, code: str | None = None, retry_after_s: float | None = None,
        status: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.kind, self.message, self.param, self.code = kind, message, param, code
        self.retry_after_s, self.status = retry_after_s, status


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose key it is. project: "" for an administrator, who works in `default`."""

    key: str
    project: str
    scopes: frozenset[str]

    @property
    def home(self) -> str:
        """The project that requests belong to."""
        return self.project or "default"


@dataclass(slots=True)
class Ask:
    """A request as the fabric understands it, whatever dialect it came in.

    body: OpenAI's form for `endpoint`, without `stream`; its `model` is the name that the client gave. place: a city, for modelled
    latency. jurisdictions: states whose law may hold where it is computed, of the request; empty for any. conversation: requests
    that share it go to the same replica while they can (its prompt's beginning is cached there).
    """

    endpoint: Endpoint
    body: dict[str, Any]
    model: str
    stream: bool
    caller: Caller
    request_id: str
    place: str | None = None
    jurisdictions: tuple[str, ...] = ()
    conversation: bytes = b""


@dataclass(slots=True)
class Route:
    """Where an answer came from; becomes headers. Modelled values are the twin's, measured ones were timed here."""

    deployment: str = ""
    host: str = ""
    ship: bool = False
    country: str = ""
    modelled_s: float | None = None  # round trip between the caller's place and the host
    first_s: float | None = None  # measured: from the request's arrival to the first byte of the answer
    tries: int = 1  # replicas that were asked
    price_usd_mtok: tuple[float, float] = (0.0, 0.0)  # a million tokens in, out


@dataclass(slots=True)
class Whole:
    """An answer in one piece, in OpenAI's form for its endpoint, `model` and `id` already the caller's."""

    body: dict[str, Any]
    route: Route


class Stream(Protocol):
    """An answer in pieces: OpenAI's chunks for its endpoint as dicts; the last but for `[DONE]` bears `usage` (always asked for).

    Its first chunk has arrived when it is handed over. Iterating raises Trouble("broken") when the backend is lost; `close` ends it early
    (the client hung up): the backend is told, and what was delivered is metered. Text that was yielded counts as delivered.
    """

    route: Route

    def __aiter__(self) -> AsyncIterator[dict[str, Any]]: ...

    async def close(self) -> None:
        """End it; nothing more is delivered."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model that a caller may use."""

    name: str
    created_s: int
    owner: str
    context: int | None
    price_usd_mtok: tuple[float, float]


class Desk(Protocol):
    """What the dialects work with: who asks, which models there are, answers."""

    def caller(self, secret: str | None) -> Caller:
        """Whose secret it is; Trouble("unauthorised") for nobody's."""

    def models(self, caller: Caller) -> list[ModelInfo]:
        """The models that a caller may use."""

    async def whole(self, ask: Ask) -> Whole:
        """The answer; Trouble where there is none."""

    async def stream(self, ask: Ask) -> Stream:
        """The answer in pieces, once its first piece is there; Trouble where there is none."""

    async def count(self, ask: Ask) -> int:
        """Tokens that the request's prompt comes to, by the backend's own tokeniser."""

    def limits(self, caller: Caller) -> Mapping[str, str]:
        """What is left of the caller's limits, as `x-ratelimit-...` headers in OpenAI's names; empty without limits."""
