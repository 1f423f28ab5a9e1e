"""The store beneath the fabric: an append-only, hash-chained log in SQLite or PostgreSQL, durable when `append` returns.

One process writes. Numbers and hashes are given here, not by the database, so that what a lost connection leaves
undecided is found out by looking, and a second writer would collide rather than mix in.
"""

from __future__ import annotations

import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Select, select
from sqlalchemy.exc import DBAPIError, IntegrityError

from aether.base.errors import InputError, Problem
from aether.fabric.store import chain
from aether.fabric.store.audit import Verified, walk
from aether.fabric.store.chain import Entry, Receipt, Row, Stored
from aether.fabric.store.database import (
    Held,
    StoreAway,
    StoreBroken,
    StoreError,
    StoreFull,
    database,
    migrate,
    plain,
)
from aether.fabric.store.tables import log, receipts, snapshots

__all__ = [
    "Entry", "Receipt", "Store", "StoreAway", "StoreBroken", "StoreError", "StoreFull", "Stored", "Verified",
]  # fmt: skip

PATIENCE_S = 120.0  # that appends wait for a database that went away: a server's restart takes less
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0  # between tries
KEPT_SNAPSHOTS = 2  # one more than is needed, should the newest be damaged


class Store:
    """The log of a fabric, receipts of requests, snapshots of its state. Any thread may call; one process at a time may have it.

    url: sqlite:////folder/fabric.db or postgresql://user@host/name, brought to the newest schema. head_file: outside the
    database, told the last entry after each append, by which a tail that was cut off is found. patience_s: how long writing
    waits for a database that went away. on_trouble: called once each time writing begins to wait, with what is wrong.

    Raises InputError for a wrong URL, a database that cannot be opened, another writer, or a newer schema;
    StoreBroken where the head file knows of entries that the log has lost.
    """

    def __init__(
        self, url: str, head_file: Path | None = None, *, patience_s: float = PATIENCE_S,
        on_trouble: Callable[[str], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self._database = database(url)
        self._head_file, self._patience_s, self._on_trouble = head_file, patience_s, on_trouble
        self._one = threading.RLock()
        self._closing = threading.Event()
        self._connection: Connection | None = None
        self._headless = False
        mark = self._database.mark
        self._insert_log = f"INSERT INTO aether_log (seq, time_s, kind, project, subject, body, actor, hash) VALUES ({', '.join([mark] * 8)})"
        self._insert_receipts = (
            f"INSERT INTO aether_receipts (project, key, request, response, time_s) VALUES ({', '.join([mark] * 5)})"
        )
        try:
            self.last_seq, self._last_hash = self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> tuple[int, bytes]:
        where = self._database.shown
        try:
            self._connection = self._database.writer()
            migrate(self._connection, where)
            with self._connection.begin():
                found = self._connection.execute(
                    select(log.c.seq, log.c.hash).order_by(log.c.seq.desc()).limit(1)
                ).first()
                head = chain.read_head(self._head_file)
                there = self._connection.scalar(select(log.c.hash).where(log.c.seq == head[0])) if head else None
            self._database.check()
            doubt = self._database.doubt(self._connection)
        except Held as held:
            raise InputError(
                Problem("db", f"{where} has a writer already: {held}", next="End the other fabric first: aether down")
            ) from held
        except (DBAPIError, sqlite3.Error, OSError) as error:
            meaning = None if isinstance(error, OSError) else self._database.meaning(error)
            if meaning in (StoreBroken, StoreFull):
                raise meaning(f"{where}: {plain(error)}") from error
            raise InputError(Problem("db", f"{where} cannot be opened: {plain(error)}")) from error
        if head and head[0] and there != head[1]:
            raise StoreBroken(
                f"{where}: {self._head_file} knows of entry {head[0]}, which the log has lost or holds otherwise. Verify the log; "
                "to accept it as it is (a backup, say), move that file away"
            )
        if doubt:
            self._on_trouble(f"{where}: {doubt}")
        return (found.seq, bytes(found.hash)) if found else (0, chain.GENESIS)

    def append(self, entries: Iterable[Entry], receipts: Iterable[Receipt] = ()) -> int:
        """Store entries and receipts, all or none, durable on return; returns the number of the first entry.

        Raises StoreAway when the database stays away (the same entries may be appended again, and are stored once),
        StoreFull without room (nothing is stored), StoreBroken when the log holds what this store has not written,
        ValueError for a receipt whose key is taken and for texts or times that cannot be stored.
        """
        with self._one:
            first = self.last_seq + 1
            rows = chain.chained(entries, first, self._last_hash)
            answers = [(r.project, r.key, r.request, r.response, r.time_s) for r in receipts]
            if not rows and not answers:
                return first

            def work(connection: Connection) -> None:
                if rows:
                    connection.exec_driver_sql(self._insert_log, rows)
                if answers:
                    connection.exec_driver_sql(self._insert_receipts, answers)

            self._write(work, lambda connection: _landed(connection, rows, answers))
            if rows:
                self.last_seq, self._last_hash = rows[-1][0], rows[-1][-1]
                self._tell_head()
            return first

    def _write(self, work: Callable[[Connection], None], landed: Callable[[Connection], bool]) -> None:
        """Do `work` in one transaction, once: after every failure that leaves it open whether it was done, look first."""
        until, pause_s, look, collided = 0.0, FIRST_PAUSE_S, False, False
        while True:
            try:
                connection = self._writer()
                if look and landed(connection):
                    return
                if collided:
                    raise self._collision(connection)
                self._database.check()
                with connection.begin():
                    work(connection)
                return
            except IntegrityError:
                look = collided = True
            except (DBAPIError, sqlite3.Error, Held) as error:
                meaning = StoreAway if isinstance(error, Held) else self._database.meaning(error)
                if meaning is None:
                    self._drop()
                    raise
                what = f"{self._database.shown}: {plain(error)}"
                if meaning is not StoreAway:
                    raise meaning(what) from error
                self._drop()
                now = time.monotonic()
                if not until:
                    look, until = True, now + self._patience_s
                    self._on_trouble(f"{what}; trying again for {self._patience_s:.0f} s")
                if now >= until or self._closing.wait(pause_s):
                    raise StoreAway(what) from error
                pause_s = min(2.0 * pause_s, LONGEST_PAUSE_S)

    def _collision(self, connection: Connection) -> Exception:
        """What to say when a number or a key is taken by what is not this transaction."""
        with connection.begin():
            there = connection.scalar(select(log.c.seq).where(log.c.seq > self.last_seq).limit(1))
        if there is None:
            return ValueError("a receipt's key is taken")
        return StoreBroken(
            f"{self._database.shown}: entry {there} is there already, from another writer or an append that was given up; "
            "open the store anew"
        )

    def _writer(self) -> Connection:
        if self._connection is None:
            if self._closing.is_set():
                raise StoreAway(f"{self._database.shown} is closed")
            self._connection = self._database.writer()
        return self._connection

    def _drop(self) -> None:
        """Let a connection go whose state nobody knows."""
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None

    def _tell_head(self) -> None:
        """The head file only helps to find what is lost: a failure to write it is told, and stops nothing."""
        if self._head_file is None:
            return
        try:
            chain.write_head(self._head_file, self.last_seq, self._last_hash)
            self._headless = False
        except OSError as error:
            if not self._headless:
                self._on_trouble(
                    f"{self._head_file} cannot be written: {error}; a tail cut off the log would not be found"
                )
            self._headless = True

    def _read(self, query: Select[Any]) -> Sequence[Any]:
        """Rows of a query over a connection of its own, so that reading waits for no writing."""
        try:
            with self._database.engine.connect() as connection:
                return connection.execute(query).all()
        except (DBAPIError, sqlite3.Error) as error:
            raise (self._database.meaning(error) or StoreError)(f"{self._database.shown}: {plain(error)}") from error

    def receipt(self, project: str, key: str) -> Receipt | None:
        """The receipt of a request made before."""
        c = receipts.c
        found = self._read(select(receipts).where(c.project == project, c.key == key))
        return Receipt(*found[0]) if found else None

    def forget_receipts(self, before_s: float) -> int:
        """Drop receipts from before a time of the fabric's clock: requests that old are not repeated; how many went."""
        gone: list[int] = []

        def work(connection: Connection) -> None:
            gone.append(connection.execute(receipts.delete().where(receipts.c.time_s < before_s)).rowcount)

        with self._one:
            self._write(work, lambda _: False)
        return gone[-1]

    def read(
        self, after: int = 0, limit: int = 1000, kinds: Iterable[str] | None = None, project: str | None = None, subject: str | None = None,
    ) -> list[Stored]:  # fmt: skip
        """Entries with numbers above `after`, in their order, `limit` at most; of some kinds, one project, one subject."""
        c, wanted = log.c, select(log).where(log.c.seq > after).order_by(log.c.seq).limit(limit)
        if kinds is not None:
            wanted = wanted.where(c.kind.in_(list(kinds)))
        if project is not None:
            wanted = wanted.where(c.project == project)
        if subject is not None:
            wanted = wanted.where(c.subject == subject)
        return [Stored(*row[1:7], seq=row[0], hash=bytes(row[7])) for row in self._read(wanted)]

    def save_snapshot(self, seq: int, body: bytes) -> None:
        """Keep the fabric's state as it is after entry `seq`, compressed; the last two are kept."""
        if not 0 <= seq <= self.last_seq:
            raise ValueError(f"a snapshot after entry {seq} of a log with {self.last_seq}")
        packed = zlib.compress(body, 1)

        def work(connection: Connection) -> None:
            connection.execute(snapshots.delete().where(snapshots.c.seq == seq))
            connection.execute(snapshots.insert().values(seq=seq, body=packed))
            kept = select(snapshots.c.seq).order_by(snapshots.c.seq.desc()).limit(KEPT_SNAPSHOTS)
            connection.execute(snapshots.delete().where(snapshots.c.seq.not_in(connection.scalars(kept).all())))

        with self._one:
            self._write(work, lambda _: False)  # twice is as good as once

    def snapshot(self) -> tuple[int, bytes] | None:
        """The newest snapshot that is whole: the number of the last entry in it, and the state."""
        for seq, packed in self._read(select(snapshots).order_by(snapshots.c.seq.desc())):
            try:
                return seq, zlib.decompress(packed)
            except zlib.error:
                continue
        return None

    def verify(self, head: str | None = None) -> Verified:
        """Walk the whole chain: the first entry that was changed, deleted, moved or added, or a tail that is gone.

        head: "SEQ:HASH" that was written down, checked beside the head file.
        """
        return walk(self._database, self._head_file, head)

    def close(self) -> None:
        """Let go of the database; an append that waits for it gives up."""
        self._closing.set()
        with self._one:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            self._database.close()


def _landed(connection: Connection, rows: list[Row], answers: list[tuple[Any, ...]]) -> bool:
    """Whether a transaction is in the database: its last entry with its hash, which binds all before it, or its first receipt."""
    with connection.begin():
        if rows:
            return connection.scalar(select(log.c.hash).where(log.c.seq == rows[-1][0])) == rows[-1][-1]
        c, (project, key, *_) = receipts.c, answers[0]
        found = connection.execute(select(receipts).where(c.project == project, c.key == key)).first()
        return found is not None and tuple(found) == answers[0]
