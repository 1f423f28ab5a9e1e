"""Who starts the gateway's process and sees that it lives: it outlives the control process, which finds it again."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from aether.fabric.executors import begun_at

log = logging.getLogger(__name__)
WATCH_S = 0.25  # how often a dead gateway is looked for
FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 15.0  # before one that died is started again; doubles with each death
STEADY_S = 60.0  # after living so long its deaths are forgotten
FILE = "process.json"


class Keeper:
    """Keeps one gateway alive in a folder."""

    def __init__(self, folder: Path, given: dict[str, Any]) -> None:
        """given: what the gateway reads from its `gateway.json`."""
        self._folder, self._given = folder, given
        self._process: subprocess.Popen[bytes] | None = None
        self._pid, self._begun = 0, ""
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gateway", daemon=True)

    def start(self) -> None:
        """Find the gateway that runs, or start one, and watch it; with no port there is none."""
        if not self._given["port"]:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        _write(self._folder / "gateway.json", self._given)
        self._pid, self._begun = running(self._folder) or (0, "")
        self._thread.start()

    def close(self) -> None:
        """Watch no more; the gateway goes on."""
        self._ends.set()
        if self._thread.is_alive():
            self._thread.join(5.0)

    def stop(self, timeout_s: float) -> None:
        """Let it finish what it has, and go; killed after the time."""
        self.close()
        end(self._folder, timeout_s)

    def _lives(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            return False
        return self._pid > 0 and self._begun != "" and begun_at(self._pid) == self._begun

    def _run(self) -> None:
        wait_s, started_at = FIRST_WAIT_S, 0.0
        while not self._ends.wait(WATCH_S):
            if self._lives():
                continue
            if started_at:
                wait_s = FIRST_WAIT_S if time.monotonic() - started_at > STEADY_S else min(wait_s * 2.0, LONGEST_WAIT_S)
                log.warning("the gateway died; it is started again in %.2g s", wait_s)
                if self._ends.wait(wait_s):
                    return
            started_at = time.monotonic()
            self._begin()

    def _begin(self) -> None:
        with (self._folder / "gateway.out").open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "aether.fabric.gateway.process", str(self._folder)], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True,
            )  # fmt: skip
        self._pid, self._begun = self._process.pid, begun_at(self._process.pid)
        _write(self._folder / FILE, {"pid": self._pid, "begun": self._begun})


def running(folder: Path) -> tuple[int, str] | None:
    """The gateway of a folder, whoever started it: its process and when that began; None where none runs."""
    try:
        known = json.loads((folder / FILE).read_text())
        pid, begun = int(known["pid"]), str(known["begun"])
    except (OSError, ValueError, KeyError):
        return None
    return None if begun == "" or begun_at(pid) != begun else (pid, begun)


def end(folder: Path, timeout_s: float) -> bool:
    """End the gateway of a folder, whoever started it; whether one ran."""
    found = running(folder)
    if found is None:
        return False
    pid, begun = found
    for sign, patience_s in ((signal.SIGTERM, timeout_s), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sign)
        until = time.monotonic() + patience_s
        while time.monotonic() < until:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            if begun_at(pid) != begun:
                return True
            time.sleep(0.05)
    return True


def _write(path: Path, data: dict[str, Any]) -> None:
    """Replace a file as a whole, readable by its owner alone: it may hold the gateway's token."""
    part = path.with_name(path.name + ".part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        json.dump(data, out)
    part.replace(path)
