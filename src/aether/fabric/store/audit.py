"""Whether the log is what was written: a walk along its chain of hashes."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from aether.base.errors import InputError, Problem
from aether.fabric.store import chain
from aether.fabric.store.database import Database, StoreBroken, database, plain
from aether.fabric.store.tables import log

PAGE = 5000  # entries in memory at once


@dataclass(frozen=True, slots=True)
class Verified:
    """What a walk along the chain found."""

    entries: int  # that are as they were written
    head: str  # "SEQ:HASH" of the last of them, to be written down
    first_bad: int | None = None  # number of the first entry that is not
    what: str = ""  # is wrong with it

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return self.first_bad is None


def audit(url: str, head_file: Path | None = None, head: str | None = None) -> Verified:
    """Verify a log without being its writer: beside a fabric that runs, or one that does not start any more."""
    found = database(url)
    try:
        if not found.exists():
            raise InputError(Problem("db", f"{found.shown} is not there"))
        return walk(found, head_file, head)
    finally:
        found.close()


def walk(found: Database, head_file: Path | None, head: str | None) -> Verified:
    """Follow the chain from its first entry; the head file is read before, so that it never leads what is walked."""
    anchors = [
        (str(head_file), chain.read_head(head_file)),
        ("the head given", chain.heard(head, "head") if head else None),
    ]
    wanted = [(where, *place) for where, place in anchors if place and place[0]]
    seq, last = 0, chain.GENESIS
    for row in _rows(found):
        wrong = _wrong(row, seq, last)
        if not wrong:
            wrong = next(
                (
                    f"is not the entry that {where} knows"
                    for where, n, value in wanted
                    if n == row.seq and value != row.hash
                ),
                "",
            )
        if wrong:
            return Verified(seq, chain.told(seq, last), min(row.seq, seq + 1), wrong)
        seq, last = row.seq, row.hash
    for where, n, _ in wanted:
        if n > seq:
            return Verified(seq, chain.told(seq, last), seq + 1, f"is gone, with all up to {n}, which {where} knows")
    return Verified(seq, chain.told(seq, last))


def _wrong(row: Any, seq: int, last: bytes) -> str:
    """What is wrong with the row that follows entry `seq`."""
    if row.seq <= seq:
        return "was added: entries begin at 1"
    if row.seq > seq + 1:
        return "was deleted" if row.seq == seq + 2 else f"was deleted, with all up to {row.seq - 1}"
    try:
        same = chain.link(last, row.seq, chain.Entry(*row[1:7])) == row.hash
    except (AttributeError, TypeError, ValueError, struct.error):  # text that is none, a time that is none
        same = False
    return "" if same else "was changed, or is not the entry that stood here"


def _rows(found: Database) -> Iterator[Any]:
    """Every row in its order, by pages of their own, so that a long walk holds up no one."""
    last: int | None = None
    try:
        while True:
            query = select(log).order_by(log.c.seq).limit(PAGE)
            with found.engine.connect() as connection:
                page = connection.execute(query if last is None else query.where(log.c.seq > last)).all()
            yield from page
            if len(page) < PAGE:
                return
            last = page[-1].seq
    except (DBAPIError, sqlite3.Error) as error:
        where = f"after entry {last}" if last else "from its beginning"
        raise (found.meaning(error) or StoreBroken)(f"{found.shown} cannot be read {where}: {plain(error)}") from error
