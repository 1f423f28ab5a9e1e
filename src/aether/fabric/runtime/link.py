"""The line to control: plain HTTP with a token, tried again while there is no contact."""

from __future__ import annotations

import http.client
import json
import random
import threading
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlencode, urlsplit

from aether.fabric.blobs import LARGEST_BYTES
from aether.fabric.protocol import Join, Joined, Orders, Sync

LONGEST_WAIT_S = 2.0  # between two tries: a pass over a ground station lasts minutes
FIRST_WAIT_S = 0.1  # doubles from try to try; ours
TIMEOUT_S = 10.0  # beyond what control may hold an answer: a dead line is noticed
LARGEST_ANSWER = 64 << 20  # bytes of an answer in JSON: ten thousand orders with scripts of 6 KB
CHUNK = 1 << 18  # bytes of a blob sent at once


class ContactError(Exception):
    """Control is not reached: try again."""


class RefusedError(Exception):
    """Control was reached and says no, and why."""

    def __init__(self, status: int, title: str) -> None:
        super().__init__(f"{title} ({status})")
        self.status = status


class Backoff:
    """Waits that grow and are spread, so that ships that come back together do not call together."""

    def __init__(self) -> None:
        self._next_s = FIRST_WAIT_S

    def wait(self, ended: threading.Event) -> None:
        """Wait for the next try, or until all ends."""
        ended.wait(self._next_s * random.uniform(0.5, 1.0))
        self._next_s = min(self._next_s * 2.0, LONGEST_WAIT_S)

    def reset(self) -> None:
        """Contact: begin anew."""
        self._next_s = FIRST_WAIT_S


class Link:
    """Requests to control, one connection a thread."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"'{url}' is no address such as http://127.0.0.1:8800")
        self._kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._host, self._port, self._base = parts.hostname, parts.port, parts.path.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"}
        self._local = threading.local()

    def _connection(self, timeout_s: float) -> http.client.HTTPConnection:
        made: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if made is None:
            made = self._local.connection = self._kind(self._host, self._port, timeout=timeout_s, blocksize=CHUNK)
        made.timeout = timeout_s
        if made.sock is not None:
            made.sock.settimeout(timeout_s)
        return made

    def _drop(self) -> None:
        made = getattr(self._local, "connection", None)
        if made is not None:
            made.close()
        self._local.connection = None

    def _ask(self, method: str, path: str, body: Any, headers: dict[str, str], timeout_s: float) -> Any:
        """One exchange; the response is not read yet. A kept connection that control has closed is opened once more."""
        for again in (True, False):
            connection = self._connection(timeout_s)
            fresh = connection.sock is None
            try:
                if hasattr(body, "seek"):
                    body.seek(0)
                connection.request(method, self._base + path, body=body, headers=self._headers | headers)
                return connection.getresponse()
            except (http.client.HTTPException, OSError) as error:
                self._drop()
                lost = isinstance(error, (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError))
                if fresh or not again or not lost:
                    raise ContactError(str(error) or type(error).__name__) from error
        raise ContactError("no answer")

    def _read(self, response: Any) -> bytes:
        """The whole answer; ContactError for a fault of control's, RefusedError for a no."""
        try:
            data = response.read(LARGEST_ANSWER + 1)
        except (http.client.HTTPException, OSError) as error:
            self._drop()
            raise ContactError(str(error)) from error
        if len(data) > LARGEST_ANSWER:
            self._drop()
            raise ContactError(f"an answer of more than {LARGEST_ANSWER:,} bytes")
        if response.status >= 400:
            title = _title(data) or response.reason
            if response.status >= 500 or response.status in (408, 429):
                raise ContactError(f"{title} ({response.status})")
            raise RefusedError(response.status, title)
        return bytes(data)

    def _json(self, path: str, body: str, timeout_s: float = TIMEOUT_S) -> bytes:
        headers = {"Content-Type": "application/json"}
        return self._read(self._ask("POST", path, body.encode(), headers, timeout_s))

    def join(self, join: Join) -> Joined:
        """Introduce the runtime."""
        return Joined.model_validate_json(self._json("/runtime/v1/join", join.model_dump_json()))

    def sync(self, sync: Sync) -> Orders:
        """Reports up, orders down; control may hold the answer for `wait_s`."""
        return Orders.model_validate_json(
            self._json("/runtime/v1/sync", sync.model_dump_json(), TIMEOUT_S + sync.wait_s)
        )

    def upload(self, path: Path, digest: str) -> None:
        """Give control a blob."""
        with path.open("rb") as file:
            headers = {"Content-Length": str(path.stat().st_size), "Content-Type": "application/octet-stream"}
            self._read(self._ask("PUT", f"/runtime/v1/blobs/{digest}", file, headers, TIMEOUT_S * 6))

    def download(self, digest: str) -> IO[bytes]:
        """A blob as a stream; to be read to its end, or closed."""
        response = self._ask("GET", f"/runtime/v1/blobs/{digest}", None, {}, TIMEOUT_S * 6)
        if response.status >= 400:
            self._read(response)
        if int(response.headers.get("Content-Length") or 0) > LARGEST_BYTES:
            self._drop()
            raise RefusedError(413, f"{digest} is larger than {LARGEST_BYTES:,} bytes")
        return response

    def log(self, attempt: str, rank: int, offset: int, data: bytes) -> int:
        """Bytes of a log from an offset on; how many control has stored by now."""
        query = urlencode({"attempt": attempt, "rank": rank, "offset": offset})
        headers = {"Content-Type": "application/octet-stream"}
        answer = self._read(self._ask("POST", f"/runtime/v1/logs?{query}", data, headers, TIMEOUT_S))
        return int(json.loads(answer)["offset"])


def _title(data: bytes) -> str:
    """What a problem+json says, at most 300 characters."""
    try:
        said = json.loads(data)
        return ": ".join(str(said[k]) for k in ("title", "detail") if said.get(k))[:300]
    except (ValueError, TypeError, AttributeError):
        return ""
