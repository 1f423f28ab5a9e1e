"""The database beneath the store: durable connections, one writer, its migrations, and what its errors mean."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from aether.base.errors import InputError, Problem
from aether.fabric.store.tables import SCHEMA

LOCK_WAIT_S = 3.0  # for a writer that was just killed to be seen as gone
BUSY_S = 5.0  # that a statement waits for somebody else's lock before it is tried anew
ROOM_BYTES = 1 << 20  # less than that on the disk of a file that cannot be written is a full disk
LOCK_KEY = 0x6165746865720001  # of PostgreSQL's advisory lock: "aether" and a number
CONNECT = {  # a server that is gone is noticed within half a minute, by either side
    "connect_timeout": 5, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "application_name": "aether",
    "options": "-c synchronous_commit=on -c lock_timeout=5s -c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3",
}  # fmt: skip


class StoreError(RuntimeError):
    """The store cannot do what was asked."""


class StoreAway(StoreError):  # noqa: N818 - says what is so
    """The database could not be reached, for as long as patience lasted. Whether the last entries were stored is not known."""


class StoreFull(StoreError):  # noqa: N818 - says what is so
    """There is no room left; nothing of what was to be stored is stored."""


class StoreBroken(StoreError):  # noqa: N818 - says what is so
    """The database is damaged, or is not what this store has written."""


class Held(Exception):  # noqa: N818
    """Another writer has the store."""


class Sqlite:
    """A file: write-ahead log, flushed at every commit, beside it a file whose lock says that somebody writes."""

    mark = "?"

    def __init__(self, url: URL) -> None:
        if not url.database or url.database == ":memory:":
            raise InputError(
                Problem("db", "a store in memory would keep nothing", next="Name a file: sqlite:////folder/fabric.db")
            )
        self.path = Path(url.database).resolve()
        self.shown = str(self.path)
        self.engine = create_engine(URL.create("sqlite", database=str(self.path)), connect_args={"timeout": BUSY_S})
        event.listen(self.engine, "connect", self._prepare)
        event.listen(self.engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
        self._lock: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None

    def _prepare(self, connection: Any, _: Any) -> None:
        connection.isolation_level = None  # transactions begin where we say so, before definitions of tables too
        connection.text_factory = lambda raw: raw.decode(
            "utf-8", "surrogateescape"
        )  # damaged text is found by its hash
        mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode != "wal":
            raise InputError(
                Problem(
                    "db", f"{self.path}: no write-ahead log can be kept there", next="Choose a folder on a local disk"
                )
            )
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA fullfsync=ON")  # macOS flushes no further than the drive's cache without

    def exists(self) -> bool:
        """Whether there is anything to read."""
        return self.path.is_file()

    def writer(self) -> Connection:
        """A connection that may write; raises Held while another process has one."""
        if self._lock is None:
            self._lock = self._locked()
            os.close(
                os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
            )  # holds what jobs were given: nobody else's to read
        return self.engine.connect()

    def _locked(self) -> sqlite3.Connection:
        """SQLite's own file lock, since it is the same on every system, ends with the process and is not inherited."""
        name = f"{self.path}.lock"
        lock = sqlite3.connect(name, timeout=LOCK_WAIT_S, isolation_level=None, check_same_thread=False)
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            lock.close()
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise Held(f"a process that holds {name}") from error
            raise
        return lock

    def doubt(self, _: Connection) -> str:
        """Why what is stored may not be durable: nothing is known against the file."""
        return ""

    def check(self) -> None:
        """Raise StoreBroken where the file was moved or replaced: what is written from then on nobody would find."""
        try:
            now = os.stat(self.path)
        except OSError:
            now = None
        found = (now.st_dev, now.st_ino) if now else None
        if self._file is None:
            self._file = found
        if found is None or found != self._file:
            raise StoreBroken(f"{self.path} was moved, removed or replaced while it was open")

    def meaning(self, error: DBAPIError | sqlite3.Error) -> type[StoreError] | None:
        """What the driver's error means for the store; None where it means nothing known."""
        code = getattr(error.orig if isinstance(error, DBAPIError) else error, "sqlite_errorcode", -1) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            return StoreFull
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return StoreBroken
        if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
            return StoreFull if self._no_room() else StoreAway
        passing = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_READONLY)
        return StoreAway if code in passing else None

    def _no_room(self) -> bool:
        try:
            return shutil.disk_usage(self.path.parent).free < ROOM_BYTES
        except OSError:
            return False

    def close(self) -> None:
        """Let go of everything."""
        self.engine.dispose()
        if self._lock is not None:
            self._lock.close()
            self._lock = None


class Postgres:
    """A PostgreSQL server; the writer's session holds an advisory lock, so that what it left undecided is decided when it is over."""

    mark = "%s"

    def __init__(self, url: URL) -> None:
        self.shown = url.render_as_string(hide_password=True)
        self.engine = create_engine(url.set(drivername="postgresql+psycopg"), connect_args=CONNECT, pool_pre_ping=True)

    def exists(self) -> bool:
        """Whether there is anything to read: a server that is away says so itself."""
        return True

    def writer(self) -> Connection:
        """A connection that may write; raises Held while another session has one."""
        connection, until = self.engine.connect(), time.monotonic() + LOCK_WAIT_S
        try:
            while not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": LOCK_KEY}):
                if time.monotonic() > until:
                    raise Held("another session of the database")
                time.sleep(0.05)
            connection.commit()
        except BaseException:
            connection.invalidate()
            connection.close()
            raise
        return connection

    def doubt(self, connection: Connection) -> str:
        """Why what is stored may not be durable: a server may be told not to flush."""
        with connection.begin():
            safe = connection.scalar(text("SHOW fsync")) == "on"
        return "" if safe else "the server runs with fsync = off: a power cut may lose what was stored"

    def check(self) -> None:
        """Nothing: a server's files are its own."""

    def meaning(self, error: DBAPIError | sqlite3.Error) -> type[StoreError] | None:
        """What the driver's error means for the store; None where it means nothing known."""
        state = getattr(getattr(error, "orig", None), "sqlstate", None) or ""
        if state == "53100":
            return StoreFull
        if state in ("XX001", "XX002"):
            return StoreBroken
        lost = isinstance(error, DBAPIError) and error.connection_invalidated
        passing = (
            state[:2] in ("08", "40", "53", "55", "57", "58") or state == "25006"
        )  # 25006: a standby, not yet promoted
        unreached = not state and isinstance(error, OperationalError)  # no connection was made
        return StoreAway if lost or passing or unreached else None

    def close(self) -> None:
        """Let go of everything."""
        self.engine.dispose()


Database = Sqlite | Postgres


def database(url: str) -> Database:
    """The database of a URL: sqlite:////folder/file, or postgresql://user@host/name."""
    try:
        made = make_url(url)
    except ArgumentError:
        made = None
    kind = made.drivername.partition("+")[0] if made else ""
    if made and kind == "sqlite":
        return Sqlite(made)
    if made and kind in ("postgresql", "postgres"):
        return Postgres(made)
    what = f"'{kind}' is no database that a fabric is kept in" if kind else "no URL of a database"
    raise InputError(Problem("db", what, next="Write sqlite:////folder/fabric.db or postgresql://user@host/name"))


def migrate(connection: Connection, shown: str) -> None:
    """Bring the tables to the newest version, in one transaction; tables of a newer Aether are refused."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    scripts = ScriptDirectory.from_config(config)
    with connection.begin():
        current = MigrationContext.configure(connection, opts={"version_table": SCHEMA}).get_current_revision()
        if current is not None and current not in {s.revision for s in scripts.walk_revisions()}:
            raise InputError(
                Problem(
                    "db",
                    f"{shown} was written by a newer Aether (schema {current}, this one knows {scripts.get_current_head()})",
                    next="Install that version or a newer one",
                )
            )
        if current != scripts.get_current_head():
            command.upgrade(config, "head")


def plain(error: BaseException) -> str:
    """The driver's own words, on one line."""
    return " ".join(str(getattr(error, "orig", None) or error).split())
