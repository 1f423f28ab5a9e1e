"""The twin as a process of its own: requests as JSON lines on standard input, answers on standard output.

It ends when its standard input does, whatever it is about, so that it never outlives the process that started it.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import traceback
from dataclasses import asdict
from typing import Any, TextIO

from aether.base.errors import InputError
from aether.fabric.twin.frame import to_json
from aether.fabric.twin.twin import Twin
from aether.scenario.load import load


def answer(twin: Twin | None, asked: dict[str, Any]) -> tuple[Twin | None, dict[str, Any]]:
    """Do what one request asks; returns the twin and the answer: a frame, nothing, or what is wrong."""
    try:
        if asked["do"] == "open":
            scenario = load(asked["scenario"], asked["overrides"], asked["catalog"])
            twin = Twin(scenario, asked["start_s"], asked["seed"], asked["state"])
            return twin, {"hosts": twin.hosts, "step_s": twin.step_s, "state": twin.state()}
        if twin is None:
            raise InputError("the twin is not open")
        if asked["do"] == "advance":
            frame = twin.advance(asked["until_s"], asked["load"], [(p, s) for p, s in asked["watch"]])
            return twin, {"frame": to_json(frame), "state": twin.state()}
        twin.inject(asked["kind"], asked["name"], asked["start_s"], asked["end_s"])
        return twin, {"state": twin.state()}
    except InputError as error:
        return twin, {"problems": [asdict(p) for p in error.problems]}


def serve(lines: TextIO, out: TextIO) -> None:
    """Answer requests in their order until the lines end; the process ends with them."""
    asked: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(lines, asked), daemon=True).start()
    twin: Twin | None = None
    while True:
        twin, told = answer(twin, json.loads(asked.get()))
        out.write(json.dumps(told) + "\n")
        out.flush()


def _read(lines: TextIO, asked: queue.SimpleQueue[str]) -> None:
    for line in lines:
        asked.put(line)
    os._exit(0)  # at once: a long step must not keep an orphan alive


def main() -> None:
    """Serve on standard input and output; what else is printed goes to standard error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        serve(sys.stdin, out)
    except BrokenPipeError:  # nobody listens
        os._exit(0)
    except Exception:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


if __name__ == "__main__":
    main()
