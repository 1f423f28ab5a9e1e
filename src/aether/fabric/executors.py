"""Who starts ship runtimes, sees that they live, and plays their ship's sensors to them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from aether.base.errors import InputError, Problem
from aether.base.registry import Registry
from aether.fabric.protocol import Sensors
from aether.fabric.runtime.sweep import sweep

PASSED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "HOME")
WATCH_S = 0.25  # how often dead runtimes are looked for
FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 30.0  # before a runtime that died is started again; doubles with each death
STEADY_S = 60.0  # after living so long a runtime's deaths are forgotten
SWEEP_S = 6.0  # after a runtime's death its keepers have had their 5 s: what is left is killed
DIES_S = 5.0  # the kernel needs milliseconds to end a process, unless its disk hangs
LEFT = (0, 2)  # exit codes of a runtime that was told to leave, or cannot be run like this: not started again


class Executor(Protocol):
    """Starts and ends runtimes by name; where they run is its own affair."""

    def start(self, name: str, address: str = "127.0.0.1") -> None:
        """Start a runtime, or let it be started again after `kill` or `stop`."""

    def alive(self) -> set[str]:
        """Names of the runtimes that live."""

    def kill(self, name: str) -> None:
        """SIGKILL, as when a ship is lost: it stays dead until `start`."""

    def crash(self, name: str) -> None:
        """SIGKILL, as when software fails: it is started again."""

    def stop(self, name: str, timeout_s: float) -> None:
        """Let it end its work and leave; killed after the time."""

    def sense(self, name: str, sensors: Sensors) -> None:
        """What the ship feels now."""

    def close(self) -> None:
        """Watch no more; the runtimes go on."""


EXECUTORS: Registry[Callable[..., Executor]] = Registry("executor")


def folder_name(name: str) -> str:
    """A runtime's folder: its name made safe, with part of its digest where that changed it, so that none share one."""
    safe = re.sub(r"[^A-Za-z0-9_-]", "-", name)[:80]
    return safe if safe == name else f"{safe}-{sha256(name.encode()).hexdigest()[:8]}"


def begun_at(pid: int) -> str:
    """What tells a process from a later one of the same number: its start time; "" when it is gone or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return "" if fields[0] in (b"Z", b"X") else fields[19].decode()
    except (OSError, IndexError):
        pass
    if sys.platform.startswith("linux"):
        return ""
    done = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, at = done.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else at.strip()


@dataclass
class _Runtime:
    name: str
    folder: Path
    address: str
    wanted: bool = True
    process: subprocess.Popen[bytes] | None = None
    pid: int = 0
    begun: str = ""
    started_at: float = 0.0
    wait_s: float = FIRST_WAIT_S
    again_at: float = 0.0
    sweep_at: float = 0.0
    seen_dead: bool = True
    lock: threading.RLock = field(default_factory=threading.RLock)

    def lives(self) -> bool:
        """Whether its process runs; notices the end of a child."""
        if self.process is not None and self.process.poll() is not None:
            return False
        return self.pid > 0 and self.begun != "" and begun_at(self.pid) == self.begun

    def save(self) -> None:
        """Write down which process it is, for a control process that comes after."""
        _write(self.folder / "process.json", {"name": self.name, "address": self.address, "wanted": self.wanted,
                                              "pid": self.pid, "begun": self.begun})  # fmt: skip


def _write(path: Path, data: dict[str, Any], text: str | None = None) -> None:
    """Replace a file as a whole."""
    part = path.with_name(f"{path.name}.{threading.get_ident()}.part")
    part.write_text(json.dumps(data) if text is None else text)
    os.replace(part, path)


@EXECUTORS.add("local")
class LocalExecutor:
    """Runtimes as processes of this machine, in sessions of their own: they outlive the control process.

    folder: each runtime gets one of its own in it. token_of: the token of a runtime's name. A later executor on the
    same folder finds what lives by process number and start time, and takes it over.
    """

    def __init__(
        self, folder: Path, url: str, token_of: Callable[[str], str], tell: Callable[[str], None] = print
    ) -> None:
        if os.name != "posix":
            raise InputError(Problem("executor", "local runtimes need a POSIX system", next="On Windows use WSL"))
        folder = folder.resolve()
        self.folder, self.url, self._token_of, self._tell = folder, url, token_of, tell
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._runtimes: dict[str, _Runtime] = {}
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for file in sorted(folder.glob("*/process.json")):
            with contextlib.suppress(OSError, ValueError, KeyError):
                said = json.loads(file.read_text())
                self._runtimes[said["name"]] = _Runtime(
                    said["name"], file.parent, said["address"], said["wanted"], None, said["pid"], said["begun"],
                    time.monotonic(), seen_dead=False,
                )  # fmt: skip
        self._thread = threading.Thread(target=self._watch, name="executor", daemon=True)
        self._thread.start()

    def start(self, name: str, address: str = "127.0.0.1") -> None:
        """Start a runtime, or take over the one that lives; a lost one may live again."""
        with self._lock:
            made = self._runtimes.setdefault(
                name, _Runtime(name, self.folder / folder_name(name), address, wanted=False)
            )
        with made.lock:
            made.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._token(made)
            made.wanted, made.wait_s = True, FIRST_WAIT_S
            if made.lives():
                made.save()
            else:
                self._spawn(made)

    def _token(self, runtime: _Runtime) -> None:
        part = runtime.folder / "token.part"
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(self._token_of(runtime.name))
        os.replace(part, runtime.folder / "token")

    def _spawn(self, runtime: _Runtime) -> None:
        """Start its process; nothing of control's environment but what programs need."""
        env = {k: os.environ[k] for k in PASSED if k in os.environ} | {"MALLOC_ARENA_MAX": "2"}
        command = [sys.executable, "-m", "aether.fabric.runtime", "--url", self.url, "--name", runtime.name,
                   "--folder", str(runtime.folder), "--address", runtime.address]  # fmt: skip
        with (runtime.folder / "runtime.log").open("ab") as log:
            runtime.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, cwd=runtime.folder,
                start_new_session=True,
            )  # fmt: skip
        runtime.pid, runtime.begun = runtime.process.pid, begun_at(runtime.process.pid)
        runtime.started_at, runtime.seen_dead = time.monotonic(), False
        runtime.save()

    def alive(self) -> set[str]:
        """Names of the runtimes whose processes run."""
        with self._lock:
            return {n for n, r in self._runtimes.items() if r.lives()}

    def _known(self, name: str) -> _Runtime:
        with self._lock:
            if name not in self._runtimes:
                raise KeyError(f"no runtime '{name}' was started here")
            return self._runtimes[name]

    def kill(self, name: str) -> None:
        """The ship is lost: SIGKILL, its keepers kill its work, and nothing is started again until `start`."""
        runtime = self._known(name)
        with runtime.lock:
            runtime.wanted = False
            runtime.save()
            self._signal(runtime, signal.SIGKILL)
        self._wait(runtime, DIES_S)

    def crash(self, name: str) -> None:
        """The runtime's software fails: SIGKILL, and it is started again."""
        runtime = self._known(name)
        self._signal(runtime, signal.SIGKILL)

    def _wait(self, runtime: _Runtime, timeout_s: float) -> None:
        until = time.monotonic() + timeout_s
        while runtime.lives() and time.monotonic() < until:
            time.sleep(0.01)

    def _signal(self, runtime: _Runtime, number: int) -> None:
        if runtime.lives():
            with contextlib.suppress(ProcessLookupError):
                os.kill(runtime.pid, number)

    def stop(self, name: str, timeout_s: float) -> None:
        """SIGTERM: it stops its work with its grace, reports and leaves; SIGKILL after the time."""
        runtime = self._known(name)
        with runtime.lock:
            runtime.wanted = False
            runtime.save()
            self._signal(runtime, signal.SIGTERM)
        self._wait(runtime, timeout_s)
        self._signal(runtime, signal.SIGKILL)
        self._wait(runtime, DIES_S)

    def sense(self, name: str, sensors: Sensors) -> None:
        """Write what the ship feels, as a whole, beside its runtime."""
        _write(self._known(name).folder / "sensors.json", {}, sensors.model_dump_json())

    def close(self) -> None:
        """Watch no more; runtimes go on."""
        self._closed.set()
        self._thread.join()
        for runtime in self._runtimes.values():
            if runtime.process is not None and runtime.process.poll() is None:
                runtime.process.returncode = 0  # it goes on by intention: no warning that it does
            runtime.process = None

    def _watch(self) -> None:
        """Start again what died, sweep up what a dead one left."""
        while not self._closed.wait(WATCH_S):
            with self._lock:
                runtimes = list(self._runtimes.values())
            for runtime in runtimes:
                with runtime.lock:
                    try:
                        if not runtime.lives():
                            self._dead(runtime)
                    except OSError as error:  # no memory, no disk: it is tried again
                        runtime.again_at = time.monotonic() + LONGEST_WAIT_S
                        self._tell(f"runtime {runtime.name} could not be started: {error}")

    def _dead(self, runtime: _Runtime) -> None:
        now = time.monotonic()
        if not runtime.seen_dead:
            runtime.seen_dead, runtime.sweep_at = True, now + SWEEP_S
            code = runtime.process.returncode if runtime.process is not None else None
            if code in LEFT:
                runtime.wanted = False
                runtime.save()
            if runtime.wanted:
                runtime.wait_s = FIRST_WAIT_S if now - runtime.started_at > STEADY_S else runtime.wait_s
                runtime.again_at = now + runtime.wait_s
                runtime.wait_s = min(runtime.wait_s * 2.0, LONGEST_WAIT_S)
                self._tell(f"runtime {runtime.name} died ({code}): started again in {runtime.again_at - now:.2f} s")
        if runtime.wanted and now >= runtime.again_at:
            self._spawn(runtime)
        elif not runtime.wanted and runtime.sweep_at and now >= runtime.sweep_at:
            runtime.sweep_at = 0.0
            sweep(runtime.folder, lasting_s=1.0)
