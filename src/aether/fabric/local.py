"""Bringing a fabric up on this machine and down again: its folder, its settings, its processes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs
from pydantic import ValidationError

from aether.base.errors import InputError, Problem
from aether.fabric.gateway import keeper
from aether.fabric.settings import FILE, Settings
from aether.fabric.tenancy import new_key

CREDENTIALS = "credentials.json"
READY_S = 180.0  # until a fabric answers: kernels may have to be compiled first
DOWN_S = 45.0  # that its processes get to end, above what runtimes are given for their work
PORT = 8642  # of the API, where nothing else has it


@dataclass(frozen=True)
class Up:
    """A fabric that runs. key: the administrator's, only when it was made just now."""

    folder: Path
    settings: Settings
    pid: int
    key: str | None
    already: bool


def home(folder: Path | None = None) -> Path:
    """The folder of the fabric: as given, of AETHER_HOME, or in the user's data folder."""
    if folder is not None:
        return folder.expanduser().resolve()
    named = os.environ.get("AETHER_HOME")
    return (
        Path(named).expanduser().resolve()
        if named
        else Path(platformdirs.user_data_dir("aether", appauthor=False)) / "fabric"
    )


def up(folder: Path, given: dict[str, Any], tell: Callable[[str], None] = lambda _: None) -> Up:
    """Bring the fabric of a folder up, or find it up. given: settings that are not as before, or as by default.

    Raises InputError where something is wrong: another scenario or database than the folder's, a port that is taken,
    settings that are none.
    """
    if os.name != "posix":
        raise InputError(Problem("", "a fabric's runtimes need a POSIX system", next="On Windows use WSL"))
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _alone(folder):
        before = Settings.read(folder) if (folder / FILE).exists() else None
        settings, key = _settings(folder, given, before)
        runs = running(folder)
        if runs is not None and before is not None:
            _same(before, settings)
            return Up(folder, settings, runs, None, True)
        if wrong := _taken(folder, settings):
            raise InputError(wrong)
        settings.write(folder)
        if key is not None:
            _keep_credentials(folder, settings.url, key)
        try:
            pid = _start(folder, settings, tell)
        except BaseException:  # a name that was mistyped must not be the folder's for good
            if before is None:
                (folder / FILE).unlink()
                (folder / CREDENTIALS).unlink(missing_ok=True)
            else:
                before.write(folder)
            raise
        return Up(folder, settings, pid, key, False)


def _taken(folder: Path, settings: Settings) -> list[Problem]:
    """Ports that something else has. The gateway of a control process that died may still serve at its own."""
    wanted = [("--port", settings.port)]
    if settings.gateway_port and keeper.running(folder / "gateway") is None:
        wanted.append(("--gateway-port", settings.gateway_port))
    made = [
        Problem(option, f"{settings.host}:{port} is taken by another program", next=f"Give another by {option}")
        for option, port in wanted if not _free(settings.host, port)
    ]  # fmt: skip
    if settings.gateway_port == settings.port:
        made.append(
            Problem("--gateway-port", f"{settings.port} is the API's own", next="Give another by --gateway-port")
        )
    return made


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Only one `up` or `down` at a time in a folder."""
    import fcntl  # there is none on Windows, where no fabric runs

    with (folder / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(
                Problem("", f"another `aether up` or `down` is at work in {folder}", next="Wait for it")
            ) from error
        yield


def _settings(folder: Path, given: dict[str, Any], before: Settings | None) -> tuple[Settings, str | None]:
    """The settings to go by, and the administrator's key where it is new."""
    given = {k: v for k, v in given.items() if v is not None}
    try:
        if before is None:
            name, secret, digest = new_key()
            port = given.get("port") or _port()
            gateway = next_port(given.get("host", "127.0.0.1"), port)
            there = {
                "db": f"sqlite:///{folder / 'fabric.db'}",
                "port": port,
                "gateway_port": gateway,
                "admin": (name, digest),
            } | given
            return Settings.model_validate(there), secret
        fixed = {k: given[k] for k in ("scenario", "db") if k in given and given[k] != getattr(before, k)}
        if fixed:
            name, value = next(iter(fixed.items()))
            text = f"the fabric in {folder} has the {name} {clean(str(getattr(before, name)))}, not {clean(str(value))}"
            raise InputError(Problem("", text, next="Give another folder by --folder, or remove that one"))
        return Settings.model_validate(before.model_dump() | given), None
    except ValidationError as error:
        raise InputError([Problem(_option(str(e["loc"][0])), str(e["msg"])) for e in error.errors()]) from error


def _option(setting: str) -> str:
    """The option of `aether up` that gives a setting."""
    return "--" + {"host": "bind", "hosts": "host", "overrides": "set"}.get(setting, setting)


def _same(before: Settings, now: Settings) -> None:
    """InputError where a fabric that runs is to have other settings."""
    changed = [k for k in Settings.model_fields if getattr(before, k) != getattr(now, k)]
    if changed:
        text = "the fabric is up with {v}; it changes only from one start to the next"
        raise InputError([
            Problem(_option(k), text.format(v=clean(str(getattr(before, k)))), next="aether down, then aether up with the other") for k in changed
        ])  # fmt: skip


def clean(text: str) -> str:
    """An address without its password."""
    return re.sub(r"(//[^/:@\s]+:)[^/@\s]+(?=@)", r"\1***", text)


def _port() -> int:
    """The usual port, or a free one where another fabric has it."""
    return PORT if _free("127.0.0.1", PORT) else free_port()


def next_port(host: str, port: int) -> int:
    """The port after another, or a free one where something has it."""
    return port + 1 if port < 65535 and _free(host, port + 1) else free_port()


def free_port() -> int:
    """A port that nothing has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _free(host: str, port: int) -> bool:
    kind = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _start(folder: Path, settings: Settings, tell: Callable[[str], None]) -> int:
    """Start the control process on its own and wait until it is ready."""
    for name in ("ready.json", "failed.txt", "stay"):
        (folder / name).unlink(missing_ok=True)
    with (folder / "control.out").open("ab") as out:
        child = subprocess.Popen(
            [sys.executable, "-m", "aether.fabric.process", str(folder)], stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )  # fmt: skip
    (folder / "control.pid").write_text(str(child.pid))
    try:
        return _ready(folder, settings, child, tell)
    except BaseException:
        _end(child)
        raise


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a control process that is not wanted any more: politely, so that what it started ends too."""
    child.terminate()
    try:
        child.wait(DOWN_S)
    except subprocess.TimeoutExpired:
        child.kill()


def _ready(folder: Path, settings: Settings, child: subprocess.Popen[bytes], tell: Callable[[str], None]) -> int:
    begun_s = time.monotonic()
    while time.monotonic() - begun_s < READY_S:
        if child.poll() is not None:
            raise InputError(
                Problem("", f"the fabric does not come up: {_last_words(folder)}", next=f"See {folder / 'control.log'}")
            )
        if (folder / "ready.json").exists() and answers(settings.url):
            child.returncode = 0  # it lives on without us: nobody here is to wait for it
            return child.pid
        tell(f"{time.monotonic() - begun_s:.0f} s")
        time.sleep(0.1)
    raise InputError(
        Problem("", f"the fabric did not answer within {READY_S:.0f} s", next=f"See {folder / 'control.log'}")
    )


def _last_words(folder: Path) -> str:
    failed, out = folder / "failed.txt", folder / "control.out"
    if failed.exists():
        return failed.read_text().strip()
    return " ".join(out.read_text(errors="replace").strip().splitlines()[-3:]) if out.exists() else "it ended"


def answers(url: str) -> bool:
    """Whether a fabric's API answers."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2.0) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def running(folder: Path) -> int | None:
    """The control process of a folder, while it lives."""
    try:
        pid = int((folder / "control.pid").read_text())
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return pid if b"aether.fabric.process" in file.read() else None
    except (OSError, ValueError):
        return _running_elsewhere(folder)


def _running_elsewhere(folder: Path) -> int | None:
    """The same where there is no /proc."""
    if sys.platform.startswith("linux"):
        return None
    try:
        pid = int((folder / "control.pid").read_text())
        done = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return pid if "aether.fabric.process" in done.stdout else None
    except (OSError, ValueError):
        return None


def down(folder: Path, keep_ships: bool = False) -> bool:
    """End the fabric of a folder: programs get their grace and their jobs wait for the next `up`. False where none ran.

    keep_ships: end the control process alone; the runtimes work on. Runtimes of a control process that died are ended too.
    """
    if not (folder / FILE).exists():
        return False
    with _alone(folder):
        pid = running(folder)
        if pid is not None:
            if keep_ships:
                (folder / "stay").touch()
            os.kill(pid, signal.SIGTERM)
            _wait(pid)
        if not keep_ships:
            keeper.end(folder / "gateway", DOWN_S)
        left = [] if keep_ships else _left(folder)
        (folder / "control.pid").unlink(missing_ok=True)
        return pid is not None or bool(left)


def _wait(pid: int) -> None:
    begun_s = time.monotonic()
    while time.monotonic() - begun_s < DOWN_S:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _left(folder: Path) -> list[int]:
    """Runtimes that still live, asked to end; killed when they do not."""
    found = []
    for file in folder.glob("runtimes/*/process.json"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            pid = int(json.loads(file.read_text())["pid"])
            if pid > 0 and b"aether.fabric.runtime" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGTERM)
                found.append(pid)
    for pid in found:
        _wait(pid)
    return found


def _keep_credentials(folder: Path, url: str, key: str) -> None:
    """The administrator's key for this user's own commands, readable by nobody else."""
    part = folder / f".{CREDENTIALS}.part"
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as out:
        json.dump({"url": url, "key": key}, out)
    part.replace(folder / CREDENTIALS)


def credentials(folder: Path) -> tuple[str, str]:
    """Where the fabric is and by which key: of AETHER_URL and AETHER_KEY, else of the folder. InputError where there are none.

    The folder's key is for the folder's fabric: it is not told to another that AETHER_URL names.
    """
    url, key = os.environ.get("AETHER_URL"), os.environ.get("AETHER_KEY")
    with contextlib.suppress(OSError, ValueError, KeyError):
        said = json.loads((folder / CREDENTIALS).read_text())
        own = Settings.read(folder).url
        key = key or (said["key"] if url in (None, "", own) else None)
        url = url or own
    if url and not key:
        raise InputError(Problem("", f"there is no key for {url}", next="Set AETHER_KEY; aether keys create makes one"))
    if not url or not key:
        text = f"no fabric is known in {folder}"
        raise InputError(Problem("", text, next="Bring one up with aether up, or set AETHER_URL and AETHER_KEY"))
    return url, key
