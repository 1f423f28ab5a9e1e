"""A member's output on its way to control: from disk, by offset, until it is stored there."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

from aether.fabric.runtime.link import Link, RefusedError

PIECE = 1 << 20  # bytes a request
SEGMENT_NAME = 20  # digits


class LogStream:
    """The log of one member: `length` bytes were written, `acknowledged` of them are stored."""

    def __init__(self, folder: Path, attempt: str, rank: int) -> None:
        self.folder, self.attempt, self.rank = folder, attempt, rank
        self._lock = threading.Lock()
        pieces = self._pieces()
        self.acknowledged = pieces[0][0] if pieces else 0
        self.refused = ""
        self.stored: Callable[[int], None] | None = None  # told how much is stored

    def _pieces(self) -> list[tuple[int, Path, int]]:
        """Offset, file and size of what is on disk."""
        try:
            names = sorted(n for n in os.listdir(self.folder) if n.isdigit() and len(n) == SEGMENT_NAME)
        except FileNotFoundError:
            return []
        return [(int(n), self.folder / n, (self.folder / n).stat().st_size) for n in names]

    @property
    def length(self) -> int:
        """Bytes written so far."""
        pieces = self._pieces()
        return max(pieces[-1][0] + pieces[-1][2], self.acknowledged) if pieces else self.acknowledged

    def waiting(self) -> bool:
        """Whether something is not stored yet."""
        return not self.refused and self.length > self.acknowledged

    def ship(self, link: Link) -> int:
        """Send one piece; bytes sent. ContactError when there is no contact."""
        with self._lock:
            data = b"" if self.refused else self._next()
            if not data:
                return 0
            try:
                stored = link.log(self.attempt, self.rank, self.acknowledged, data)
            except RefusedError as error:
                self.refused = str(error)
                self._free(self.length)
                return 0
            first = self._pieces()[0][0]
            if stored < first:
                self.refused = f"control has {stored:,} bytes of it, and what follows is gone from {first:,} on"
            self.acknowledged = min(max(stored, first), self.length)
            self._free(self.acknowledged)
            return len(data)

    def _next(self) -> bytes:
        for start, path, size in self._pieces():
            if start + size > self.acknowledged:
                with path.open("rb") as file:
                    file.seek(self.acknowledged - start)
                    return file.read(PIECE)
        return b""

    def _free(self, stored: int) -> None:
        """Remove pieces that are stored as a whole, but never the last: it tells how long the log is."""
        pieces = self._pieces()
        for start, path, size in pieces[:-1]:
            if start + size <= stored:
                path.unlink(missing_ok=True)
        if self.stored is not None:
            self.stored(stored)
