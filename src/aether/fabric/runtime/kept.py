"""The runtime's side of a keeper: what it starts, tells and hears."""

from __future__ import annotations

import contextlib
import marshal
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from aether.fabric.runtime import keeper
from aether.fabric.runtime.sweep import MARK

MOST_UNACKNOWLEDGED = 64 << 20  # bytes of a member's log on disk; beyond it the program waits: 8 members, half a GB
LONGEST_ARGUMENT = 100_000  # bytes: Linux takes 131,072 in one argument (MAX_ARG_STRLEN); longer scripts go by file


class Kept:
    """One program under its keeper."""

    living: set[int] = set()  # noqa: RUF012 - keepers of this process, so that strays can be told from them
    _starting = threading.Lock()

    def __init__(self, script: str, env: Mapping[str, str], member: Path, workdir: Path, offset: int) -> None:
        argv = ["bash", "-c", script]
        if len(script.encode()) > LONGEST_ARGUMENT:
            file = member / "script"
            file.write_text(script)
            argv = ["bash", str(file)]
        spec = marshal.dumps({
            "argv": argv, "env": dict(env), "folder": str(workdir), "logs": str(member / "logs"), "offset": offset,
            "most": MOST_UNACKNOWLEDGED, "outcome": str(member / "outcome"),
        })  # fmt: skip
        with Kept._starting:  # a stray hunt must not see a keeper that is not in the set yet
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-B", keeper.__file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, env={MARK: str(member)}, cwd="/", start_new_session=True,
            )  # fmt: skip
            Kept.living.add(self._process.pid)
        self._lock = threading.Lock()
        self._heard = b""
        self._say(len(spec).to_bytes(4, "little") + spec)

    @property
    def out(self) -> int:
        """The descriptor that becomes readable when the keeper has said something."""
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def _say(self, data: bytes) -> None:
        with self._lock, contextlib.suppress(OSError, ValueError):
            assert self._process.stdin is not None
            self._process.stdin.write(data)
            self._process.stdin.flush()

    def term(self) -> None:
        """SIGTERM to the program's process group."""
        self._say(b"term\n")

    def hold(self, held: bool) -> None:
        """SIGSTOP to all of its tree, or SIGCONT."""
        self._say(b"hold\n" if held else b"go\n")

    def kill(self) -> None:
        """SIGKILL to all of its tree."""
        self._say(b"kill\n")

    def destroy(self) -> None:
        """SIGKILL to the keeper itself; its program dies with it, the rest is swept."""
        self._process.kill()

    def acknowledge(self, offset: int) -> None:
        """So much of the log is stored: there is room again."""
        self._say(b"ack %d\n" % offset)

    def hear(self) -> list[str] | None:
        """Lines that came (call when `out` is readable); None once the keeper is gone."""
        data = os.read(self.out, 4096)
        if not data:
            return None
        *lines, self._heard = (self._heard + data).split(b"\n")
        return [line.decode(errors="replace") for line in lines]

    def close(self) -> None:
        """Wait for the keeper's end and forget it."""
        with self._lock, contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        Kept.living.discard(self._process.pid)

    @staticmethod
    def known() -> set[int]:
        """Keepers that live, none of them half begun."""
        with Kept._starting:
            return set(Kept.living)
