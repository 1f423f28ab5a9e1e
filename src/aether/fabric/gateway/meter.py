"""Tokens that were delivered: added up in memory, written to the gateway's own disk, kept until control has stored them."""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aether.fabric.gateway.feed import Tally

FLUSH_S = 0.25  # of the wall's clock between two writes: what a kill of the gateway can leave unmetered
MOST_TALLIES = 1000  # that are sent at once
SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS tallies (n INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Whose:
    """What tokens are told apart by."""

    key: str
    project: str
    deployment: str
    model: str
    host: str


@dataclass(slots=True)
class Sums:
    """What was delivered since the last write."""

    start_ms: int
    requests: int = 0
    errors: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0


class Meter:
    """Sums in memory and numbered tallies on disk; `add` may be called between any two writes."""

    def __init__(self, path: Path, now: Callable[[], float]) -> None:
        """now: fabric time [s]."""
        self._now = now
        self._lock = threading.Lock()
        self._sums: dict[Whose, Sums] = {}
        self._disk = threading.Lock()
        self._store = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._store.execute("PRAGMA journal_mode=WAL")
        self._store.execute("PRAGMA synchronous=FULL")
        self._store.executescript(SCHEMA)
        self._store.execute("INSERT OR IGNORE INTO facts VALUES ('journal', ?)", (secrets.token_hex(16),))
        self.journal = str(self._store.execute("SELECT value FROM facts WHERE name = 'journal'").fetchone()[0])

    def add(
        self, whose: Whose, *, input_tokens: int, output_tokens: int, cached_tokens: int = 0, error: bool = False
    ) -> None:
        """A request has ended, whole or broken off, with so many tokens delivered."""
        with self._lock:
            sums = self._sums.get(whose)
            if sums is None:
                sums = self._sums[whose] = Sums(int(self._now() * 1000.0))
            sums.requests += 1
            sums.errors += error
            sums.input_tokens += input_tokens
            sums.output_tokens += output_tokens
            sums.cached_tokens += cached_tokens

    def flush(self) -> bool:
        """Write what was added since the last time; whether there was something. An error leaves it for the next time."""
        with self._disk:
            with self._lock:
                sums, self._sums = self._sums, {}
            if not sums:
                return False
            try:
                self._write(sums)
            except Exception:
                with self._lock:
                    self._back(sums)
                raise
            return True

    def _write(self, sums: dict[Whose, Sums]) -> None:
        end_ms = int(self._now() * 1000.0)
        self._store.execute("BEGIN IMMEDIATE")
        try:
            for whose, s in sums.items():
                made = Tally(
                    n=1, key=whose.key, project=whose.project, deployment=whose.deployment, model=whose.model, host=whose.host,
                    start_ms=s.start_ms, end_ms=max(end_ms, s.start_ms), requests=s.requests, errors=s.errors, input_tokens=s.input_tokens,
                    output_tokens=s.output_tokens, cached_tokens=s.cached_tokens,
                )  # fmt: skip
                self._store.execute("INSERT INTO tallies (body) VALUES (?)", (made.model_dump_json(exclude={"n"}),))
            self._store.execute("COMMIT")
        except BaseException:
            if self._store.in_transaction:
                self._store.execute("ROLLBACK")
            raise

    def _back(self, sums: dict[Whose, Sums]) -> None:
        for whose, s in sums.items():
            there = self._sums.setdefault(whose, Sums(s.start_ms))
            there.start_ms = min(there.start_ms, s.start_ms)
            for name in ("requests", "errors", "input_tokens", "output_tokens", "cached_tokens"):
                setattr(there, name, getattr(there, name) + getattr(s, name))

    def unsent(self) -> tuple[Tally, ...]:
        """The oldest tallies that control may not have."""
        with self._disk:
            rows = self._store.execute("SELECT n, body FROM tallies ORDER BY n LIMIT ?", (MOST_TALLIES,)).fetchall()
        return tuple(Tally.model_validate_json(f'{{"n":{n},{body[1:]}') for n, body in rows)

    def acknowledge(self, n: int) -> None:
        """Control has stored all up to a number."""
        with self._disk:
            self._store.execute("DELETE FROM tallies WHERE n <= ?", (n,))

    def close(self) -> None:
        """Write what is left, and close."""
        self.flush()
        with self._disk:
            self._store.close()
