"""One member of an attempt on this runtime, from its first order to its last report."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from aether.fabric.blobs import Blobs
from aether.fabric.protocol import Adapted, Checkpointed, Ended, Order, Prepared, Report, Sensors, Started, Used
from aether.fabric.runtime.adapters import Adapters
from aether.fabric.runtime.files import (
    CancelledError,
    Checkpoints,
    Fetch,
    PrepareError,
    environment,
    inner,
    member_folder,
    remove,
)
from aether.fabric.runtime.journal import ClosedError, Journal, Row
from aether.fabric.runtime.kept import Kept
from aether.fabric.runtime.link import Link, RefusedError
from aether.fabric.runtime.logs import LogStream
from aether.fabric.runtime.meter import Meter
from aether.fabric.runtime.sweep import strays, sweep

State = Literal["begun", "over", "ended", "gone"]
How = Literal["exit", "setup", "prepare", "stopped", "shed", "lost"]
UNKEPT = {"envs", "setup", "run", "mounts", "server_key"}  # of an order: what is not needed once its program is over
STUCK_S = 15.0  # a keeper that has not killed all by then is killed: a program may have stopped it
KEEPER_LEAVES_S = 5.0  # a keeper whose runtime died needs at most so long


@dataclass
class Place:
    """What members of one runtime share."""

    name: str
    folder: Path
    address: str
    link: Link
    journal: Journal
    blobs: Blobs
    tell: Callable[[str], None]
    now: Callable[[], float]
    sign: Callable[[Used], Used]
    sensors: Callable[[], Sensors | None]
    ending: threading.Event = field(default_factory=threading.Event)  # the runtime goes: nothing waits for contact

    @property
    def work(self) -> Path:
        """Where members have their folders."""
        return self.folder / "work"


@dataclass(frozen=True)
class Stop:
    """Why a member stops, and how much time its program gets."""

    how: How
    why: str
    grace_s: float
    keep: bool = True  # its last checkpoint is wanted


@dataclass(frozen=True)
class Outcome:
    """How a member ended."""

    how: How
    code: int | None = None
    why: str = ""


class Member:
    """Its thread does one thing after another; others tell it what is ordered, and that it shall stop."""

    def __init__(self, place: Place, order: Order, row: Row | None = None) -> None:
        self.place, self.order = place, order
        self.attempt, self.rank = order.attempt, order.rank
        self.folder = member_folder(place.work, order.attempt, order.rank)
        self.began_at = time.monotonic()
        self.data: dict[str, Any] = dict(row.data) if row else {}
        if row is None:
            self.data = {"order": order.model_dump(mode="json", exclude=UNKEPT)}
            self.data["last_ms"] = int(place.now() * 1000.0)
        self.state: State = row.state if row else "begun"
        self.meter = Meter(order.attempt, order.rank, order.gpus, self.data["last_ms"], closed=row is not None)
        self.meter.accelerator = self.data.get("accelerator", "")
        self.logs = LogStream(self.folder / "logs", order.attempt, order.rank)
        self.stop_: Stop | None = None
        self.holds = row is None  # its GPUs
        self._wake, self._waker = os.pipe()
        self._cancelled = threading.Event()
        self._row_lock, self._nudging = threading.Lock(), threading.Lock()
        self._checkpoints: Checkpoints | None = None
        self._adapters: Adapters | None = None
        self.held = False
        self.thread = threading.Thread(target=self._live, name=f"{order.attempt}:{order.rank}", daemon=True)

    @property
    def key(self) -> tuple[str, int]:
        """Its name."""
        return self.attempt, self.rank

    # told by others

    def told(self, order: Order) -> None:
        """What is ordered now."""
        self.order = order
        if self._adapters is not None:
            self._adapters.want(order.adapters)
        if order.phase == "stop":
            self.stop(Stop("stopped", order.reason, order.grace_s))
        self._nudge()

    def stop(self, stop: Stop) -> None:
        """Stop for this reason; the first reason stays, a shorter grace counts."""
        if self.stop_ is None:
            self.stop_ = stop
        elif stop.grace_s < self.stop_.grace_s:
            before = self.stop_
            self.stop_ = Stop(before.how, before.why, stop.grace_s, before.keep and stop.keep)
        self._cancelled.set()
        self._nudge()

    def hold(self, held: bool) -> None:
        """Let the program stand still, or go on: the ship's chips wait inside a radiation anomaly."""
        if held != self.held:
            self.held = held
            self._nudge()

    def _nudge(self) -> None:
        with self._nudging:
            if self._waker >= 0:
                os.write(self._waker, b".")

    def moved(self, count: int, down: bool) -> None:
        """Bytes moved for it."""
        sensors = self.place.sensors()
        self.meter.moved(count, down, sensors is not None and sensors.ship)

    def span(self) -> None:
        """Write down what it used since the last span."""
        if self.holds:
            self._write(measure="cut")

    # its journal

    def _write(self, *reports: Report, measure: Literal["", "cut", "close"] = "", state: State | None = None) -> None:
        """Reports and its state in one transaction, after what it used since the last span when that is asked for."""
        with self._row_lock:
            self.state = state or self.state
            made: list[Report] = list(reports)
            if measure:
                cut = self.meter.close if measure == "close" else self.meter.cut
                used = cut(self.place.now(), self.place.sensors())
                if used is not None:
                    self.data["last_ms"], self.data["accelerator"] = used.end_ms, used.accelerator
                    made.insert(0, self.place.sign(used))
            if made or state:
                for report in made:
                    self.moved(len(report.model_dump_json()), True)
                self.place.journal.write(made, [Row(self.attempt, self.rank, self.state, self.data)])

    # its life

    def begin(self) -> None:
        """Start its thread; the first thing is to write that it began."""
        self.thread.start()

    def _live(self) -> None:
        try:
            if self.state == "begun" and self.holds:
                self._write(state="begun")
                outcome = self._faultless()
            elif self.state == "begun":
                outcome = self._lost()
            else:
                outcome = Outcome(**self.data["outcome"])
            if self.state == "begun":
                self.data["outcome"] = {"how": outcome.how, "code": outcome.code, "why": outcome.why[:500]}
                self.holds = False
                self._write(measure="close", state="over")
            if self.state == "over":
                self._finish(outcome)
        except ClosedError:
            return
        except Exception as error:
            self.place.tell(f"{self.attempt} rank {self.rank}: {type(error).__name__}: {error}")
            raise

    def _faultless(self) -> Outcome:
        """Its work; a fault of ours ends the member, and is told, rather than leave it for ever."""
        try:
            return self._work()
        except ClosedError:
            raise
        except Exception as error:
            self.place.tell(f"{self.attempt} rank {self.rank}: {traceback.format_exc()}")
            return Outcome("lost", None, f"a fault of the runtime: {type(error).__name__}: {error}")

    def _work(self) -> Outcome:
        """Prepare, wait for the others, run."""
        order = self.order
        try:
            Fetch(self.place.link, self.place.blobs, self.moved, self._cancelled).prepare(order, self.folder)
            if order.setup:
                code = self._program(order.setup, began=None)
                if self.stop_ is None and code != 0:
                    return Outcome("setup", code, "setup failed" if code is not None else "its keeper was killed")
            with self._port() as port:
                self._write(Prepared(attempt=self.attempt, rank=self.rank, address=self.place.address,
                                     port=port.getsockname()[1]))  # fmt: skip
                while self.stop_ is None and self.order.phase == "prepare":
                    self._wait(None, None)
            code = self._run() if self.stop_ is None else None
        except CancelledError:
            code = None
        except (PrepareError, OSError) as error:
            return Outcome("prepare", None, str(error)[:500])
        if self.stop_ is not None:
            return Outcome(self.stop_.how, code, self.stop_.why)
        if code is None:
            return Outcome("lost", None, "its keeper was killed")
        return Outcome("exit", code)

    def _port(self) -> socket.socket:
        """A port of this host, held until the program wants it."""
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((self.place.address, 0))
        return made

    def _run(self) -> int | None:
        """The program, with its checkpoints looked through beside it."""
        checkpoints = self._its_checkpoints()
        over = threading.Event()
        beside = [threading.Thread(target=self._serve, args=(over,), daemon=True)] if self.order.serves else []
        self.data["ran"] = True
        if checkpoints is not None:
            checkpoints.baseline()
            beside.append(threading.Thread(target=self._look, args=(checkpoints, over), daemon=True))
        for thread in beside:
            thread.start()
        try:
            return self._program(self.order.run, began=Started(attempt=self.attempt, rank=self.rank))
        finally:
            over.set()
            for thread in beside:
                thread.join()

    def _serve(self, over: threading.Event) -> None:
        """Bring the model server beside it the adapters that it shall have, until it is over."""
        own = self.order.peers[self.rank]
        fetch = Fetch(self.place.link, self.place.blobs, self.moved, over)
        self._adapters = made = Adapters(self.folder / "adapters", own.address, own.port, fetch, self.order.server_key)
        made.want(self.order.adapters)

        def tell() -> None:
            self._write(Adapted(attempt=self.attempt, rank=self.rank, adapters=made.loaded, refused=made.refused))

        with contextlib.suppress(ClosedError):
            made.follow(over, tell)

    def _program(self, script: str, began: Started | None) -> int | None:
        """Run a script under a keeper; its exit code, None when its keeper was killed."""
        env = environment(self.order, self.folder, self.place.name)
        home = Path(env["HOME"])
        (self.folder / "outcome").unlink(missing_ok=True)
        kept = Kept(script, env, self.folder, home / "workdir", self.logs.length)
        self.logs.stored = kept.acknowledge
        kept.acknowledge(self.logs.acknowledged)
        try:
            return self._heed(kept, began)
        finally:
            self.logs.stored = None
            kept.kill()
            kept.close()
            sweep(self.folder)
            strays(Kept.known)

    def _heed(self, kept: Kept, began: Started | None) -> int | None:
        """Hear the keeper and pass on what stops the program: SIGTERM, grace, SIGKILL."""
        termed_at: float | None = None
        held = False
        while True:
            if termed_at is None and self.held != held:
                held = self.held
                kept.hold(held)
            if self.stop_ is not None and termed_at is None:
                termed_at = time.monotonic()
                kept.term()
            left = (
                None if termed_at is None or self.stop_ is None else termed_at + self.stop_.grace_s - time.monotonic()
            )
            if left is not None and left <= 0.0:
                kept.kill()
                left += STUCK_S
                if left <= 0.0:
                    kept.destroy()
                    left = None
            if not self._wait(kept.out, left):
                continue
            lines = kept.hear()
            if lines is None:
                return None
            for line in lines:
                word, _, rest = line.partition(" ")
                if word == "began" and began is not None:
                    self._write(began)
                elif word == "exit":
                    return int(rest)
                elif word == "fault":
                    raise PrepareError(f"the program could not be started: {rest}")

    def _wait(self, descriptor: int | None, timeout_s: float | None) -> bool:
        """Wait for news; whether the descriptor has some."""
        poll = select.poll()  # select itself fails beyond 1,024 descriptors
        for watched in (self._wake, descriptor):
            if watched is not None:
                poll.register(watched, select.POLLIN)
        ready = {found for found, _ in poll.poll(None if timeout_s is None else max(timeout_s, 0.0) * 1000.0)}
        if self._wake in ready:
            os.read(self._wake, 4096)
        return descriptor in ready

    # its checkpoints and its end

    def _its_checkpoints(self) -> Checkpoints | None:
        if self.order.checkpoint is not None and self._checkpoints is None:
            source = inner(Path(os.path.realpath(self.folder)) / "home", self.order.checkpoint)
            self._checkpoints = Checkpoints(source, self.folder, self.data.get("checkpoint", ""), self.place.tell)
        return self._checkpoints

    def _look(self, checkpoints: Checkpoints, over: threading.Event) -> None:
        """Look for changes every so often, and send them, until the program is over."""
        while not over.wait(self.order.checkpoint_every_s):
            if checkpoints.look():
                with contextlib.suppress(RefusedError, ClosedError):
                    self._push(checkpoints, over)

    def _push(self, checkpoints: Checkpoints, ended: threading.Event) -> bool:
        made = checkpoints.push(self.place.link, ended)
        if made is None:
            return False
        self.data["checkpoint"] = made.digest
        self.moved(made.size_bytes, True)
        self._write(
            Checkpointed(attempt=self.attempt, rank=self.rank, digest=made.digest, size_bytes=made.size_bytes),
            state=self.state,
        )
        return True

    def _lost(self) -> Outcome:
        """After a restart of the runtime: what ran is over, unless it had ended by itself just before.

        SIGKILL is no end of its own there: what killed the runtime has killed the program too, and its keeper a moment later.
        """
        sweep(self.folder, patience_s=KEEPER_LEAVES_S)
        with contextlib.suppress(OSError, ValueError):
            code = int((self.folder / "outcome").read_text())
            if self.data.get("ran") and code != -signal.SIGKILL:
                return Outcome("exit", code)
        return Outcome("lost", None, "the runtime was killed")

    def _finish(self, outcome: Outcome) -> None:
        """The last checkpoint, then the last word; without contact the checkpoint waits, and the word after it."""
        why = outcome.why
        wanted = self.stop_ is None or self.stop_.keep
        with contextlib.suppress(PrepareError):
            checkpoints = self._its_checkpoints() if self.data.get("ran") and wanted else None
            if checkpoints is not None and checkpoints.look():
                try:
                    if not self._push(checkpoints, self.place.ending):
                        return
                except RefusedError as error:
                    why = f"{why}; its last checkpoint was refused: {error}".lstrip("; ")
            if checkpoints is not None and checkpoints.fault:
                why = f"{why}; {checkpoints.fault}".lstrip("; ")
        ended = Ended(attempt=self.attempt, rank=self.rank, how=outcome.how, code=outcome.code, why=why[:500])
        self._write(ended, measure="cut", state="ended")

    def tidy(self, ordered: bool) -> bool:
        """Remove the folder of a member that has ended once nothing of it is wanted; whether it can be forgotten."""
        if self.state != "ended" or self.logs.waiting() or self.place.journal.waits_for(self.attempt):
            return False
        remove(self.folder)
        for parent in (self.folder.parent, self.folder.parent.parent):
            with contextlib.suppress(OSError):
                if parent != self.place.work:
                    parent.rmdir()
        if ordered:
            return False
        self._write(measure="cut", state="gone")
        with self._nudging:
            os.close(self._wake)
            os.close(self._waker)
            self._waker = -1
        return True
