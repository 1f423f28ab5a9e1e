"""The handle of the twin's process: the engine stays out of the process that schedules, and may die without it."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from aether.base.errors import InputError, Problem
from aether.fabric.twin.frame import Frame, from_json

OPEN_S = 300.0  # kernels that are not compiled yet take a minute or two on a slow machine
ANSWER_S = 120.0  # a day of 60 s ticks takes four seconds; a hung child is rarer than a busy machine
CLOSE_S = 5.0  # then it is killed


class TwinLostError(RuntimeError):
    """The twin's process died or did not answer, and a new one did no better."""


class TwinProcess:
    """A twin in a child process, started again from its last state when it dies.

    One caller at a time; others wait. The child ends by itself when this process does.
    """

    def __init__(
        self, scenario: str | Path | Mapping[str, Any], overrides: Mapping[str, Any] | None = None,
        catalog: str | Path | None = None, start_s: float = 0.0, state: Mapping[str, Any] | None = None, *,
        seed: int | None = None, on_restart: Callable[[str], None] | None = None,
    ) -> None:  # fmt: skip
        """Start the child and open the twin in it.

        scenario: a file, the name of a packaged one, or a mapping. overrides, catalog, seed: as for `scenario.load`.
        start_s: of the fabric's clock [Unix, UTC]. state: of an earlier twin, to go on from. on_restart: told why the
        child is started again (it must not ask the twin). Raises InputError as `Twin` does, TwinLostError where no child comes up.
        """
        source: Any = dict(scenario) if isinstance(scenario, Mapping) else str(scenario)
        if isinstance(source, str) and Path(source).is_file():
            source = str(Path(source).resolve())
        self._open = {
            "do": "open", "scenario": source, "overrides": dict(overrides or {}),
            "catalog": None if catalog is None else str(catalog), "start_s": start_s, "seed": seed,
        }  # fmt: skip
        self._state: Mapping[str, Any] | None = state
        self._told = on_restart or (lambda _: None)
        self._lock = threading.Lock()
        self._child: subprocess.Popen[str] | None = None
        self._closed = False
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._said: deque[str] = deque(maxlen=20)
        self.hosts: tuple[str, ...] = ()
        self.step_s = 0.0
        with self._lock:
            try:
                self._start()
            except _GoneError as dead:
                raise TwinLostError(f"the twin does not start: {dead}") from dead

    @property
    def pid(self) -> int:
        """Of the child, 0 while there is none."""
        return 0 if self._child is None else self._child.pid

    @property
    def state(self) -> Mapping[str, Any]:
        """The twin's state after the last answer: with it another twin goes on from there."""
        return self._state or {}

    def advance(
        self, until_s: float, load: Mapping[str, float], watch: Sequence[tuple[str, float]] = (),
        timeout_s: float = ANSWER_S,
    ) -> Frame:  # fmt: skip
        """As `Twin.advance`. A child that died is replaced, and then tells all hosts; one that hangs is killed.

        Raises InputError as the twin does, TwinLostError when no answer came within timeout_s or from a second child.
        """
        asked = {"do": "advance", "until_s": until_s, "load": dict(load), "watch": [list(pair) for pair in watch]}
        return from_json(self._ask(asked, timeout_s)["frame"])

    def inject(self, kind: str, name: str, start_s: float, end_s: float | None, timeout_s: float = ANSWER_S) -> None:
        """As `Twin.inject`; what was injected outlives the child."""
        self._ask({"do": "inject", "kind": kind, "name": name, "start_s": start_s, "end_s": end_s}, timeout_s)

    def close(self) -> None:
        """End the child. A second time does nothing."""
        with self._lock:
            self._closed = True
            self._end(CLOSE_S)

    def __enter__(self) -> TwinProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, asked: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        with self._lock:
            if self._closed:
                raise TwinLostError("the twin was closed")
            if self._child is None:  # it hung the last time
                self._again("it had been ended")
            try:
                return self._answer(asked, timeout_s)
            except _GoneError as dead:
                self._end(0.0)
                if dead.hung:
                    raise TwinLostError(f"the twin did not answer within {timeout_s:g} s") from dead
                self._again(str(dead))
            try:
                return self._answer(asked, timeout_s)
            except _GoneError as dead:
                self._end(0.0)
                raise TwinLostError(f"the twin died twice over one request: {dead}") from dead

    def _again(self, why: str) -> None:
        self._told(why)
        try:
            self._start()
        except _GoneError as dead:
            raise TwinLostError(f"the twin does not start again: {dead}") from dead

    def _start(self) -> None:
        """Start a child and open the twin from the last state."""
        self._said.clear()
        self._lines = queue.SimpleQueue()
        self._child = child = subprocess.Popen(
            [sys.executable, "-m", "aether.fabric.twin.child"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
        )  # fmt: skip
        threading.Thread(target=_pass_on, args=(child.stdout, self._lines.put), daemon=True).start()
        threading.Thread(target=_pass_on, args=(child.stderr, self._said.append), daemon=True).start()
        try:
            opened = self._answer(self._open | {"state": self._state}, OPEN_S)
        except BaseException:
            self._end(0.0)
            raise
        self.hosts, self.step_s = tuple(opened["hosts"]), float(opened["step_s"])

    def _answer(self, asked: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """Ask the child once; InputError where it finds the request wrong, _GoneError where it is gone or silent."""
        if self._child is None or self._child.stdin is None:
            raise _GoneError("it is not there")
        try:
            self._child.stdin.write(json.dumps(asked) + "\n")
            self._child.stdin.flush()
            line = self._lines.get(timeout=timeout_s)
        except (BrokenPipeError, queue.Empty) as error:
            raise _GoneError(self._words(), hung=isinstance(error, queue.Empty)) from error
        if line is None:
            raise _GoneError(self._words())
        told: dict[str, Any] = json.loads(line)
        if "problems" in told:
            raise InputError([Problem(**p) for p in told["problems"]])
        self._state = told["state"]
        return told

    def _words(self) -> str:
        """How the child ended and what it said last."""
        try:
            code = None if self._child is None else self._child.wait(0.5)
        except subprocess.TimeoutExpired:
            code = None
        last = next((line.strip() for line in reversed([s for s in self._said if s]) if line.strip()), "")
        return f"it ended with {code}" + (f": {last}" if last else "")

    def _end(self, patience_s: float) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        try:
            if child.stdin is not None:
                child.stdin.close()
        except BrokenPipeError:
            pass
        try:
            if patience_s <= 0.0:
                child.kill()
            child.wait(patience_s or None)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


class _GoneError(Exception):
    """The child is gone, or silent."""

    def __init__(self, words: str, hung: bool = False) -> None:
        super().__init__(words)
        self.hung = hung


def _pass_on(lines: Any, to: Callable[[Any], None]) -> None:
    """Hand every line on, and None at the end."""
    with lines:
        for line in lines:
            to(line)
    to(None)
