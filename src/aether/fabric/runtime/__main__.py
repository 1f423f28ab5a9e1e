"""`python -m aether.fabric.runtime --url URL --name NAME --folder DIR`: run one ship's work until told to end."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from pathlib import Path

TOKEN = "AETHER_RUNTIME_TOKEN"


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 when it left as it was told, 2 when it cannot be run like this."""
    read = argparse.ArgumentParser(prog="python -m aether.fabric.runtime", description=__doc__)
    read.add_argument("--url", required=True, help="where control listens, as http://127.0.0.1:8800")
    read.add_argument("--name", required=True, help="the ship or site")
    read.add_argument("--folder", required=True, type=Path, help="its disk: journal, key, work")
    read.add_argument("--address", default="127.0.0.1", help="where other members reach programs that run here")
    given = read.parse_args(arguments)
    if os.name != "posix":
        print("The runtime needs a POSIX system: process groups and file locks. On Windows use WSL.", file=sys.stderr)
        return 2
    folder = Path(os.path.realpath(given.folder))
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        lock = _lock(folder)
    except BlockingIOError:
        holder = (folder / "lock").read_text().strip() or "unknown"
        print(
            f"{folder}: another runtime works here (process {holder}); give this one a folder of its own",
            file=sys.stderr,
        )
        return 2
    try:
        token = os.environ.pop(TOKEN, "") or (folder / "token").read_text().strip()
    except OSError:
        print(f"No token: set {TOKEN}, or write it to {folder / 'token'} with mode 0600", file=sys.stderr)
        return 2
    try:
        return _run(given.name, folder, given.url, token, given.address)
    except ValueError as error:
        print(f"{given.name}: {error}", file=sys.stderr)
        return 2
    finally:
        os.close(lock)


def _lock(folder: Path) -> int:
    """Hold the folder; BlockingIOError when another process does."""
    import fcntl  # not on Windows, which was refused above

    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise
    os.ftruncate(handle, 0)
    os.write(handle, str(os.getpid()).encode())
    return handle


def _run(name: str, folder: Path, url: str, token: str, address: str) -> int:
    from aether.fabric.runtime import keeper  # after the folder is locked: a refusal is quick
    from aether.fabric.runtime.agent import Agent

    def tell(text: str) -> None:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with contextlib.suppress(OSError):
            print(f"{stamp} {name}: {text}", file=sys.stderr, flush=True)

    keeper.prctl(keeper.SUBREAPER, 1)
    agent = Agent(name, folder, url, token, address, tell)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: agent.leaving.set())
    return agent.run()


if __name__ == "__main__":
    sys.exit(main())
