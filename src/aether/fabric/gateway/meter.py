"""Tokens that were delivered: written down before the client has them, added up, numbered, kept until control has stored them."""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from aether.fabric.gateway import slate
from aether.fabric.gateway.feed import Tally
from aether.fabric.gateway.slate import Line, Slate, Tokens, Whose

__all__ = ["FLUSH_S", "Account", "Meter", "Whose"]
FLUSH_S = 0.25  # of the wall's clock between two writes that are forced to the disk: what a cut of the power can leave unmetered
MOST_TALLIES = 1000  # that are sent at once
SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS tallies (n INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL);
"""


@dataclass(slots=True)
class Sums:
    """What requests that ended since the last write were given."""

    start_ms: int
    end_ms: int
    requests: int = 0
    errors: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0

    def add(self, line: Line) -> None:
        """One more request."""
        into, out, cached = line.tokens
        self.start_ms, self.end_ms = min(self.start_ms, line.start_ms), max(self.end_ms, line.end_ms)
        self.requests += 1
        self.errors += line.ended != slate.WELL
        self.input_tokens += into
        self.output_tokens += out
        self.cached_tokens += cached


class Account:
    """A request that is being answered: what of it was delivered so far."""

    __slots__ = ("_line", "_meter", "_number")

    def __init__(self, meter: Meter, number: int, line: Line) -> None:
        self._meter, self._number, self._line = meter, number, line

    def delivered(self, tokens: Tokens) -> None:
        """So many tokens in all, once the piece that is about to be written is out."""
        if tokens != self._line.tokens:
            self._meter.note(self._number, self._line, tokens, slate.OPEN)

    def end(self, tokens: Tokens, error: bool = False) -> None:
        """It has ended, whole or broken off, with so many tokens delivered."""
        self._meter.note(self._number, self._line, tokens, slate.BROKEN if error else slate.WELL)


class Meter:
    """A slate of what is delivered, sums in memory and numbered tallies on disk; accounts may change between any two writes."""

    def __init__(self, path: Path, now: Callable[[], float]) -> None:
        """now: fabric time [s]. What the process before left unmetered becomes tallies."""
        self._now, self._folder = now, path.parent
        self._lock = threading.Lock()
        self._sums: dict[Whose, Sums] = {}
        self._open: dict[int, Line] = {}
        self._requests = 0
        self._disk = threading.Lock()
        self._store = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._store.execute("PRAGMA journal_mode=WAL")
        self._store.execute("PRAGMA synchronous=FULL")
        self._store.executescript(SCHEMA)
        self._store.execute(
            "INSERT OR IGNORE INTO facts VALUES ('journal', ?), ('slate', '0')", (secrets.token_hex(16),)
        )
        self.journal = self._fact("journal")
        self._slate = self._taken_over()

    def _fact(self, name: str) -> str:
        return str(self._store.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()[0])

    def _taken_over(self) -> Slate:
        """The slate to begin with, once those of the process before are metered."""
        done = int(self._fact("slate"))
        last = max([done, *slate.numbers(self._folder)])
        self._write(_summed(slate.left(self._folder, done)), last)
        slate.remove(self._folder, last)
        return Slate(self._folder, last + 1)

    def begin(self, whose: Whose) -> Account:
        """A request of which something will be delivered."""
        with self._lock:
            self._requests += 1
            time_ms = int(self._now() * 1000.0)
            return Account(self, self._requests, Line(whose, time_ms, time_ms))

    def note(self, number: int, line: Line, tokens: Tokens, ended: int) -> None:
        """Write down how far a request is; nothing once it has ended."""
        with self._lock:
            if line.ended:
                return
            line.tokens, line.ended, line.end_ms = tokens, ended, max(int(self._now() * 1000.0), line.start_ms)
            self._slate.write(number, line, first=number not in self._open)
            if ended:
                self._open.pop(number, None)
                _add(self._sums, line)
            else:
                self._open[number] = line

    def flush(self) -> bool:
        """Write what ended since the last time; whether there was something. An error leaves it for the next time."""
        with self._disk:
            with self._lock:
                if not self._sums:
                    return False
                before = self._slate
                self._slate = Slate(self._folder, before.number + 1, self._open.items())
                sums, self._sums = self._sums, {}
            before.close()
            try:
                self._write(sums, before.number)
            except Exception:
                with self._lock:
                    self._back(sums)
                raise
            slate.remove(self._folder, before.number)
            return True

    def _write(self, sums: dict[Whose, Sums], upto: int) -> None:
        """Make tallies of sums. upto: slate whose ended requests are among them, as those of the slates before."""
        self._store.execute("BEGIN IMMEDIATE")
        try:
            for whose, s in sums.items():
                made = Tally(
                    n=1, key=whose.key, project=whose.project, deployment=whose.deployment, model=whose.model, host=whose.host,
                    start_ms=s.start_ms, end_ms=s.end_ms, requests=s.requests, errors=s.errors, input_tokens=s.input_tokens,
                    output_tokens=s.output_tokens, cached_tokens=s.cached_tokens,
                )  # fmt: skip
                self._store.execute("INSERT INTO tallies (body) VALUES (?)", (made.model_dump_json(exclude={"n"}),))
            self._store.execute("UPDATE facts SET value = ? WHERE name = 'slate'", (str(upto),))
            self._store.execute("COMMIT")
        except BaseException:
            if self._store.in_transaction:
                self._store.execute("ROLLBACK")
            raise

    def _back(self, sums: dict[Whose, Sums]) -> None:
        for whose, s in sums.items():
            there = self._sums.setdefault(whose, Sums(s.start_ms, s.end_ms))
            there.start_ms, there.end_ms = min(there.start_ms, s.start_ms), max(there.end_ms, s.end_ms)
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
            self._slate.close()
            self._store.close()


def _add(sums: dict[Whose, Sums], line: Line) -> None:
    there = sums.get(line.whose)
    if there is None:
        there = sums[line.whose] = Sums(line.start_ms, line.end_ms)
    there.add(line)


def _summed(lines: Iterable[Line]) -> dict[Whose, Sums]:
    made: dict[Whose, Sums] = {}
    for line in lines:
        _add(made, line)
    return made
