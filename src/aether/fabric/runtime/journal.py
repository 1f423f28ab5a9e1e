"""What happened, in order, on the runtime's own disk, until control has stored it."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import TypeAdapter

from aether.fabric.protocol import Numbered, Report

SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS reports (n INTEGER PRIMARY KEY AUTOINCREMENT, time_s REAL NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS members (attempt TEXT, rank INTEGER, state TEXT NOT NULL, data TEXT NOT NULL,
                                    PRIMARY KEY (attempt, rank));
"""
FULL_RETRY_S = 0.5  # a full or failing disk is tried again so often
REPORT = TypeAdapter[Report](Report)
Key = tuple[str, int]


@dataclass(frozen=True)
class Row:
    """What the journal knows of a member: `begun` (its program may run), `over` (how it ended is known), `ended` (reported)."""

    attempt: str
    rank: int
    state: Literal["begun", "over", "ended", "gone"]
    data: dict[str, Any]


class ClosedError(Exception):
    """The runtime has ended."""


class _Ticket:
    def __init__(self, reports: list[Report], rows: list[Row]) -> None:
        self.reports, self.rows, self.done = reports, rows, False


class Journal:
    """Numbered reports and the members' states in one SQLite file; a write returns when it is on disk.

    Writers that come together are committed together. A disk that is full, or fails, is told once and tried again
    until it takes the write: who writes waits, so nothing is started that is not written down.
    """

    def __init__(self, path: Path, now: Callable[[], float], tell: Callable[[str], None]) -> None:
        self._now, self._tell = now, tell
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(SCHEMA)
        self._lock, self._queue_lock = threading.RLock(), threading.Lock()
        self._queue: list[_Ticket] = []
        self._full = self._closed = False
        self.news = threading.Event()  # set when a report waits to be sent
        self.ident = self._fact("ident") or self._name()
        self.last_time_s = float(self._fact("time_s") or 0.0)
        if self.unsent(1):
            self.news.set()

    def _fact(self, name: str) -> str | None:
        row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def _name(self) -> str:
        made = secrets.token_hex(16)
        self._db.execute("INSERT INTO facts VALUES ('ident', ?)", (made,))
        return made

    @contextlib.contextmanager
    def _open(self) -> Iterator[None]:
        """The file for one thread; once it is closed the runtime ends, and its threads end where they come to write."""
        with self._lock:
            if self._closed:
                raise ClosedError
            yield

    def write(self, reports: Iterable[Report] = (), rows: Iterable[Row] = ()) -> None:
        """Reports get their numbers, members their states, in one transaction that is on disk when this returns."""
        ticket = _Ticket(list(reports), list(rows))
        with self._queue_lock:
            self._queue.append(ticket)
        while not ticket.done:
            with self._open():
                if ticket.done:
                    break
                with self._queue_lock:
                    batch, self._queue = self._queue, []
                if self._commit(batch):
                    continue
                with self._queue_lock:
                    self._queue = batch + self._queue
            time.sleep(FULL_RETRY_S)
        if ticket.reports:
            self.news.set()

    def _commit(self, batch: list[_Ticket]) -> bool:
        """One transaction; False when the disk does not take it."""
        now = self._now()
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for ticket in batch:
                self._db.executemany("INSERT INTO reports (time_s, body) VALUES (?, ?)",
                                     [(now, r.model_dump_json()) for r in ticket.reports])  # fmt: skip
                for row in ticket.rows:
                    if row.state == "gone":
                        self._db.execute("DELETE FROM members WHERE attempt = ? AND rank = ?", (row.attempt, row.rank))
                    else:
                        self._db.execute("INSERT OR REPLACE INTO members VALUES (?, ?, ?, ?)",
                                         (row.attempt, row.rank, row.state, json.dumps(row.data)))  # fmt: skip
            self._db.execute("INSERT OR REPLACE INTO facts VALUES ('time_s', ?)", (repr(now),))
            self._db.execute("COMMIT")
        except (sqlite3.OperationalError, sqlite3.DatabaseError) as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if not self._full:
                self._tell(f"the journal's disk does not take what is written ({error}): tried again until it does")
            self._full = True
            return False
        if self._full:
            self._tell("the journal's disk takes what is written again")
        self._full = False
        for ticket in batch:
            ticket.done = True
        return True

    def unsent(self, most: int = 1000) -> tuple[Numbered, ...]:
        """The oldest reports that control has not stored yet."""
        with self._open():
            rows = self._db.execute("SELECT n, time_s, body FROM reports ORDER BY n LIMIT ?", (most,)).fetchall()
        return tuple(Numbered(n=n, time_s=t, report=REPORT.validate_json(body)) for n, t, body in rows)

    def acknowledge(self, n: int) -> None:
        """Control has stored all reports up to n: they go. A disk that does not take that now is no loss."""
        with self._open():
            try:
                self._db.execute("DELETE FROM reports WHERE n <= ?", (n,))
            except sqlite3.OperationalError as error:
                self._tell(f"acknowledged reports could not be removed: {error}")

    def members(self) -> list[Row]:
        """Every member that is not forgotten yet."""
        with self._open():
            rows = self._db.execute("SELECT attempt, rank, state, data FROM members").fetchall()
        return [Row(a, r, s, json.loads(d)) for a, r, s, d in rows]

    def waits_for(self, attempt: str) -> bool:
        """Whether a report of an attempt is not stored yet."""
        with self._open():
            found = self._db.execute("SELECT 1 FROM reports WHERE json_extract(body, '$.attempt') = ? LIMIT 1",
                                     (attempt,)).fetchone()  # fmt: skip
        return found is not None

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._closed = True
            self._db.close()


def key_of(folder: Path) -> Ed25519PrivateKey:
    """The runtime's key: made once, kept in its folder for its owner's eyes alone."""
    path = folder / "key"
    try:
        return Ed25519PrivateKey.from_private_bytes(path.read_bytes())
    except FileNotFoundError:
        made = Ed25519PrivateKey.generate()
        part = folder / "key.part"
        part.unlink(missing_ok=True)
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(made.private_bytes_raw())
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        return made
