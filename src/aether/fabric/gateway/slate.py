"""What is delivered, written down before the client has it: lines that a kill of the process leaves to the next one.

A slate is a file of lines `[request, ended, time, in, out, cached]`, the first of a request with whose it is; its last line stands.
Written without a buffer and not forced to the disk: the system keeps them when the process dies, and loses them with the power.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)
NAME = re.compile(r"delivered-([0-9]{1,18})\.log")
OPEN, WELL, BROKEN = 0, 1, 2
Tokens = tuple[int, int, int]  # in, out, of those in the ones that were cached


@dataclass(frozen=True, slots=True)
class Whose:
    """What tokens are told apart by."""

    key: str
    project: str
    deployment: str
    model: str
    host: str


@dataclass(slots=True)
class Line:
    """What is known of a request. start_ms, end_ms: fabric time."""

    whose: Whose
    start_ms: int
    end_ms: int
    ended: int = OPEN
    tokens: Tokens = (0, 0, 0)


class Slate:
    """One file that is written."""

    def __init__(self, folder: Path, number: int, under_way: Iterable[tuple[int, Line]] = ()) -> None:
        """under_way: requests that go over from the slate before. OSError where it cannot be made."""
        self.number, self._well = number, True
        path, raw = folder / f"delivered-{number}.log", b"".join(_first(n, line) for n, line in under_way)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        try:
            if os.write(self._file, raw) < len(raw):
                raise OSError(errno.ENOSPC, "it was cut short")
        except OSError:
            os.close(self._file)
            path.unlink()
            raise

    def write(self, request: int, line: Line, first: bool = False) -> None:
        """Write a request's line; a disk that takes none is told once, and nobody's answer waits for it."""
        told = line.tokens
        raw = (
            _first(request, line)
            if first
            else b"[%d,%d,%d,%d,%d,%d]\n" % (request, line.ended, line.end_ms, told[0], told[1], told[2])
        )
        try:
            if os.write(self._file, raw) < len(raw):
                os.write(self._file, b"\n")  # what was cut short is passed over
        except OSError as error:
            if self._well:
                log.error("what is delivered cannot be written down: a kill now leaves it unmetered: %s", error)
            self._well = False

    def close(self) -> None:
        """Write no more."""
        os.close(self._file)


def _first(request: int, line: Line) -> bytes:
    w = line.whose
    row = [request, line.ended, line.end_ms, *line.tokens, line.start_ms]
    return json.dumps([*row, w.key, w.project, w.deployment, w.model, w.host]).encode() + b"\n"


def numbers(folder: Path) -> list[int]:
    """The slates of a folder, the oldest first."""
    return sorted(int(found[1]) for name in os.listdir(folder) if (found := NAME.fullmatch(name)))


def remove(folder: Path, upto: int) -> None:
    """Take away slates whose lines are metered."""
    for number in numbers(folder):
        if number <= upto:
            with contextlib.suppress(OSError):  # it is passed over by its number, and tried again
                (folder / f"delivered-{number}.log").unlink()


def left(folder: Path, after: int) -> list[Line]:
    """What slates of a process that is gone say of requests, in the order in which those began. after: number up to which all is metered."""
    found: dict[int, Line] = {}
    for number in numbers(folder):
        if number > after:
            for row in _rows(folder / f"delivered-{number}.log"):
                _note(found, row)
    return [line for line in found.values() if line.ended or any(line.tokens)]


def _note(found: dict[int, Line], row: list[object]) -> None:
    """Take a row in; one that is none, or of which the first was lost, is passed over."""
    head = [x for x in row[:6] if isinstance(x, int)]
    if len(head) < 6 or min(head) < 0:
        return
    request, ended, time_ms, into, out, cached = head
    if len(row) == 12 and isinstance(start := row[6], int) and request not in found:
        found[request] = Line(Whose(*map(str, row[7:])), start, time_ms)
    if request in found and not found[request].ended:
        line = found[request]
        line.ended, line.end_ms, line.tokens = ended, max(time_ms, line.start_ms), (into, out, cached)


def _rows(path: Path) -> Iterator[list[object]]:
    with path.open("rb") as lines:
        for line in lines:
            with contextlib.suppress(ValueError):
                row = json.loads(line)
                if isinstance(row, list):
                    yield row
