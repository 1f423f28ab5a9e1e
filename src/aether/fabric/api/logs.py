"""What jobs write: kept by attempt and rank as it comes from the runtimes, told as server-sent events."""

from __future__ import annotations

import asyncio
import codecs
import json
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

from aether.fabric.api.frame import Fabric
from aether.fabric.core.plane import Refused
from aether.fabric.core.state import OVER

CURSOR = re.compile(r"^[0-9]{1,9}/[0-9]{1,15}$")
CHUNK = 64_000  # bytes in an event
LOOK_S = 0.3  # between two looks for more
LINGER_S = 1.0  # for the last lines: a runtime sends them beside its reports, three times a second
PING_S = 15.0  # without news, so that proxies keep the line
MOST_LOG = 1_000_000_000  # bytes kept of a member; what comes after is counted, not kept


def path(given: Fabric, attempt: str, rank: int) -> Path:
    """The file of a member's output."""
    job, _, number = attempt.rpartition("/")
    if not re.fullmatch(r"[A-Za-z0-9.-]{1,100}", job) or ".." in job or not re.fullmatch(r"[0-9]{1,9}", number):
        raise Refused(422, "invalid-input", "no attempt has such a name")
    return given.folder / "logs" / job / f"{int(number)}-{rank}.log"


def append(given: Fabric, attempt: str, rank: int, offset: int, data: bytes) -> int:
    """Write what comes at an offset, once; returns how far the file reaches."""
    file = path(given, attempt, rank)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab") as out:
        there = out.tell()
        if offset > there:
            return there
        fresh = data[there - offset :]
        if there + len(fresh) > MOST_LOG:
            return offset + len(data)  # taken, but not kept
        out.write(fresh)
        out.flush()
        os.fsync(out.fileno())
        return there + len(fresh)


async def follow(
    given: Fabric, job: str, rank: int, number: int, offset: int, only: int | None, follow: bool
) -> AsyncIterator[str]:
    """Events of a member's output from a place on; with `follow` until the job is over and all of it was told."""
    quiet_s = 0.0
    while True:
        over, last = _stand(given, job)
        last = min(last, only) if only is not None else last
        data = _read(path(given, f"{job}/{number}", rank), offset)
        final = number < last or (over and (not follow or quiet_s >= LINGER_S))
        if data and final and not whole(data):
            offset += len(data)  # nothing more comes: half a character is told as what it is
        elif data := whole(data):
            offset += len(data)
        if data:
            yield _event("log", f"{number}/{offset}", {"attempt": number, "text": data.decode("utf-8", "replace")})
            quiet_s = 0.0
            continue
        if number < last:
            number, offset = number + 1, 0
            continue
        if not follow or given.leaving or (over and quiet_s >= LINGER_S):
            yield _event(
                "end",
                f"{number}/{offset}",
                {"status": given.plane.state.jobs[job].status if job in given.plane.state.jobs else "forgotten"},
            )
            return
        await asyncio.sleep(LOOK_S)
        quiet_s += LOOK_S
        if quiet_s >= PING_S and not over:
            quiet_s = 0.0
            yield ": still here\n\n"


def _stand(given: Fabric, job: str) -> tuple[bool, int]:
    """Whether nothing more can come, and the number of the last attempt."""
    with given.plane.lock:
        found = given.plane.state.jobs.get(job)
        return (True, 1) if found is None else (found.status in OVER, max(found.attempts, 1))


def _read(file: Path, offset: int) -> bytes:
    """The next piece."""
    try:
        with file.open("rb") as source:
            source.seek(offset)
            return source.read(CHUNK)
    except FileNotFoundError:
        return b""


def whole(data: bytes) -> bytes:
    """A piece without the character that it may end in the middle of."""
    reader = codecs.getincrementaldecoder("utf-8")("replace")
    reader.decode(data)
    return data[: len(data) - len(reader.getstate()[0])]


def _event(kind: str, number: str, data: dict[str, object]) -> str:
    return f"event: {kind}\nid: {number}\ndata: {json.dumps(data)}\n\n"
