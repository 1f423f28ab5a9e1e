"""The command: a thin skin over the Python API. A command loads its parts when it is called."""

from __future__ import annotations

import atexit
import gc
import signal
import sys
import threading

from aether.base.errors import InputError
from aether.base.processes import collect_seldom
from aether.cli import fabric, fabric_admin, fabric_jobs, fabric_serve, fabric_ships, runs, studies, tools
from aether.cli.frame import DONE, INTERRUPTED, WRONG, Signals, app

__all__ = [
    "app",
    "fabric",
    "fabric_admin",
    "fabric_jobs",
    "fabric_serve",
    "fabric_ships",
    "main",
    "runs",
    "studies",
    "tools",
]


app.registered_commands.sort(
    key=lambda c: "fabric" in getattr(c.callback, "__module__", "")
)  # design, prove, then run it


def main() -> None:
    """Run the command and turn what goes wrong into a message and an exit code."""
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, Signals.take)
    collect_seldom()
    atexit.register(gc.freeze)  # catalogs and compiled kernels: to look through them once more takes half a second
    try:
        app()
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(WRONG)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(DONE)
    except BaseException:
        if not Signals.seen:
            raise
        threading.excepthook = lambda _: None  # what other threads say of being stopped is no news
        print(f"interrupted; {Signals.kept}", file=sys.stderr)
        sys.exit(INTERRUPTED)
