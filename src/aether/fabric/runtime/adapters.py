"""Adapters of a model server that a member runs: fetched, handed to the server by vLLM's interface, and taken from it again."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

from aether.fabric.blobs import BlobError, is_archive, unpack
from aether.fabric.runtime.files import CancelledError, Fetch, PrepareError

ASK_S = 30.0  # that a server gets to load an adapter
AGAIN_S = 0.5  # before a server that does not answer yet is asked again
TAKEN_S = 10.0  # after which an adapter that is not wanted any more is unloaded: requests on their way still name it


class Adapters:
    """What a server has loaded, brought to what is wanted, one step after another."""

    def __init__(self, folder: Path, address: str, port: int, fetch: Fetch, key: str = "") -> None:
        """key: what the server asks for; none where it asks for nothing."""
        self._folder, self._address, self._port, self._fetch = folder, address, port, fetch
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        self.loaded: dict[str, str] = {}  # name to blob
        self.refused: dict[str, str] = {}
        self._news = threading.Event()
        self._wanted: dict[str, str] = {}

    def want(self, wanted: dict[str, str]) -> None:
        """What the server shall have from now on."""
        if wanted != self._wanted:
            self._wanted = dict(wanted)
            self._news.set()

    def follow(self, over: threading.Event, tell: Callable[[], None]) -> None:
        """Bring the server to what is wanted until it is over; `tell` is called after every change."""
        while not over.is_set():
            self._news.wait(AGAIN_S)
            self._news.clear()
            before = (dict(self.loaded), dict(self.refused))
            with contextlib.suppress(OSError, http.client.HTTPException):
                self._step(over)
            if (self.loaded, self.refused) != before:
                tell()

    def _step(self, over: threading.Event) -> None:
        """Load what is missing, then unload what is too much."""
        wanted = self._wanted
        self.refused = {n: w for n, w in self.refused.items() if n in wanted}
        for name, digest in wanted.items():
            if self.loaded.get(name) == digest or name in self.refused or over.is_set():
                continue
            try:
                path = self._fetched(name, digest)
            except (PrepareError, BlobError, CancelledError) as error:
                self.refused[name] = str(error)[:300]
                continue
            status, said = self._ask("/v1/load_lora_adapter", {"lora_name": name, "lora_path": str(path)})
            if status == 200:
                self.loaded[name] = digest
            elif 400 <= status < 500:
                self.refused[name] = f"the server would not load it: {said[:200]}"
        for name in [n for n in self.loaded if n not in wanted]:
            if over.wait(TAKEN_S):
                return
            self._ask("/v1/unload_lora_adapter", {"lora_name": name})
            del self.loaded[name]
            shutil.rmtree(self._folder / name, ignore_errors=True)

    def _fetched(self, name: str, digest: str) -> Path:
        """A folder with the adapter's files."""
        made = self._folder / name
        blob = self._fetch.path(digest)
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(parents=True)
        if not is_archive(blob):
            raise PrepareError("it is no archive")
        unpack(blob, made)
        return made

    def _ask(self, path: str, body: dict[str, str]) -> tuple[int, str]:
        connection = http.client.HTTPConnection(self._address, self._port, timeout=ASK_S)
        try:
            connection.request("POST", path, json.dumps(body), self._headers)
            response = connection.getresponse()
            return response.status, response.read(10_000).decode(errors="replace")
        finally:
            connection.close()
