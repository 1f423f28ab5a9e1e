"""The log's entries, and the chain of hashes that ties each to all before it."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from aether.base.errors import InputError, Problem

GENESIS = sha256(b"aether log 1").digest()  # stands before the first entry; another form of entry takes another number
_NUMBERS = struct.Struct(">qd")
_LENGTH = struct.Struct(">Q")

Row = tuple[int, float, str, str, str, str, str, bytes]  # as the log's columns


@dataclass(frozen=True, slots=True)
class Entry:
    """One event to be stored."""

    time_s: float  # of the fabric
    kind: str  # as "job_submitted"
    project: str  # "" for the fabric itself
    subject: str  # what it is about: a job's id, a ship's name
    body: str  # JSON
    actor: str = ""  # id of a key, "runtime:NAME" or "fabric"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored(Entry):
    """An entry as it lies in the log."""

    seq: int  # from 1, without gaps
    hash: bytes  # of this entry and the hash before it


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a request was answered, kept so that the same request is answered the same and does nothing twice."""

    project: str
    key: str  # idempotency key
    request: bytes  # SHA-256 of what was asked
    response: str  # JSON
    time_s: float


def link(previous: bytes, seq: int, entry: Entry) -> bytes:
    """The hash of an entry: SHA-256 over the hash before it, its number, time and texts, each text after its length.

    Lengths go first so that no two entries share their bytes. It binds to nothing secret: who rewrites the whole chain is
    found only by a hash that was written down elsewhere (the head file, or `aether audit`'s own words).
    """
    parts = [previous, _NUMBERS.pack(seq, entry.time_s)]
    for text in (entry.kind, entry.project, entry.subject, entry.body, entry.actor):
        raw = text.encode()
        parts += (_LENGTH.pack(len(raw)), raw)
    return sha256(b"".join(parts)).digest()


def chained(entries: Iterable[Entry], seq: int, previous: bytes) -> list[Row]:
    """Entries as rows of the log, the first with number `seq`; what no database could keep raises ValueError before any is stored."""
    rows: list[Row] = []
    for e in entries:
        if not math.isfinite(e.time_s):
            raise ValueError(f"{e.kind}: time {e.time_s} is not a time")
        if any("\0" in text for text in (e.kind, e.project, e.subject, e.body, e.actor)):
            raise ValueError(f"{e.kind}: a text with a NUL character cannot be stored")
        if not e.time_s:
            e = Entry(0.0, e.kind, e.project, e.subject, e.body, e.actor)  # SQLite keeps no sign of zero
        previous = link(previous, seq, e)
        rows.append((seq, float(e.time_s), e.kind, e.project, e.subject, e.body, e.actor, previous))
        seq += 1
    return rows


def told(seq: int, value: bytes) -> str:
    """A place in the chain as people write it down: "SEQ:HASH"."""
    return f"{seq}:{value.hex()}"


def heard(text: str, where: str) -> tuple[int, bytes]:
    """A place in the chain from "SEQ:HASH"; `where` it was written is named when it is none."""
    number, _, digits = text.strip().partition(":")
    try:
        seq, value = int(number), bytes.fromhex(digits)
        if seq >= 0 and len(value) == len(GENESIS):
            return seq, value
    except ValueError:
        pass
    raise InputError(
        Problem(
            where,
            f"'{text.strip()[:80]}' is no place in the log",
            next="It is written SEQ:HASH, the hash with 64 hexadecimal digits",
        )
    )


def read_head(path: Path | None) -> tuple[int, bytes] | None:
    """What the head file says was the log's last entry; None without a file, or when a crash of the machine left it empty."""
    if path is None or not path.exists():
        return None
    text = path.read_text(encoding="utf-8", errors="replace")
    return heard(text, str(path)) if text.strip() else None


def write_head(path: Path, seq: int, value: bytes) -> None:
    """Replace the head file at once; it is not flushed to the disk, so that it may lag behind the log but never leads it."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(told(seq, value) + "\n", encoding="utf-8")
    os.replace(fresh, path)
