"""The thread between twin and fabric: what really runs goes to the twin, what the twin feels goes to ships and core."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aether.base.errors import InputError
from aether.fabric.core import events
from aether.fabric.core.control import Inject
from aether.fabric.core.plane import Happening, Plane
from aether.fabric.core.state import Host, State, used_gpus
from aether.fabric.executors import Executor
from aether.fabric.protocol import Sensors
from aether.fabric.twin.frame import Frame, HostFrame
from aether.fabric.twin.process import TwinLostError, TwinProcess

log = logging.getLogger(__name__)
SHORTEST_S, LONGEST_S = 0.2, 1.0  # of the wall's clock between two exchanges with the twin
LONG_AGO_S = 1e8  # a fault that was over years before: the twin knows what it names, and nothing comes of it
ANY_S = 3600.0  # a round trip that is watched for its length alone
KEEP_S = 10.0  # of the wall's clock between two copies of the twin's state on disk


class Follower:
    """Keeps twin, executor and core in step.

    now: the last frame of every host, as JSON. round_trip_s: place to host to seconds [modelled].
    trouble: what is wrong with the twin, while something is. heard_s: when it last spoke [steady clock].
    """

    def __init__(self, twin: TwinProcess, executor: Executor, keep: Path) -> None:
        self.twin, self.executor, self._keep = twin, executor, keep
        self.now: dict[str, dict[str, Any]] = {}
        self.round_trip_s: dict[str, dict[str, float]] = {}
        self.wanted: Callable[[], Iterable[str]] = tuple  # places whose round trips are wanted beside those of jobs
        self.trouble, self.heard_s = "", 0.0
        self._down: set[str] = set()
        self._kept_s = 0.0
        self._ends = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, plane: Plane) -> None:
        """Follow the clock of a fabric, from its faults of before on."""
        with plane.lock:
            faults = list(plane.state.faults)
        for start_s, fault in faults:
            self.inject(plane, Inject(fault, start_s))
        self._thread = threading.Thread(target=self._run, args=(plane,), name="follower", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop, and keep the twin's state."""
        self._ends.set()
        if self._thread is not None:
            self._thread.join(10.0)
        self._save()
        self.twin.close()

    def check(self, fault: events.Injected, start_s: float) -> None:
        """InputError where the twin does not know what a fault names."""
        if fault.fault not in ("runtime", "clock"):
            self.twin.inject(fault.fault, fault.name, start_s - LONG_AGO_S, start_s - LONG_AGO_S + 1.0)

    def inject(self, plane: Plane, wanted: Inject) -> None:
        """Make a fault: kill a runtime, move the clock, or let the twin lose what is named."""
        fault = wanted.fault
        if fault.fault == "runtime":
            self.executor.crash(fault.name)
        elif fault.fault == "clock":
            plane.clock.skew(fault.by_s)
        else:
            try:
                self.twin.inject(fault.fault, fault.name, wanted.start_s, fault.until_s)
            except (TwinLostError, InputError) as error:
                log.error("a fault could not be made: %s", error)

    def _run(self, plane: Plane) -> None:
        pause_s = min(max(self.twin.step_s / plane.clock.speed, SHORTEST_S), LONGEST_S)
        while not self._ends.is_set():
            begun_s = time.monotonic()
            try:
                self._exchange(plane)
                self.trouble = ""
            except TwinLostError as error:
                self.trouble = str(error)
                log.error("the twin: %s", error)
            except Exception as error:
                self.trouble = f"{type(error).__name__}: {error}"
                log.exception("a fault beside the twin; it is tried again")
            self._ends.wait(max(pause_s - (time.monotonic() - begun_s), 0.02))

    def _exchange(self, plane: Plane) -> None:
        """One exchange: load and watched places go down, a frame comes up."""
        with plane.lock:
            state = plane.state
            load = {name: float(used_gpus(state, name)) for name in state.hosts}
            watch = watched(state)
        watch += [(place, ANY_S) for place in sorted(set(self.wanted()))]
        frame = self.twin.advance(plane.clock.now(), load, watch)
        self.heard_s, self.round_trip_s = time.monotonic(), frame.round_trip_s
        for row in frame.hosts:
            self.now[row.name] = asdict(row)
        with plane.lock:
            known = {name: _row(host) for name, host in plane.state.hosts.items()}
        told = _crossed(frame, known)
        if told is not None:
            plane.put(Happening(told), actor="twin").result(60.0)
        with plane.lock:
            gpus = {name: host.gpus for name, host in plane.state.hosts.items()}
        for row in frame.hosts:
            if row.name in gpus:
                self._feel(row, frame.time_s, gpus[row.name])
        if time.monotonic() - self._kept_s > KEEP_S:
            self._save()

    def _feel(self, row: HostFrame, time_s: float, gpus: int) -> None:
        """What a ship feels of itself; a ship that is lost takes its runtime along, one that is found begins again."""
        if not row.up and row.name not in self._down:
            self._down.add(row.name)
            self.executor.kill(row.name)
        elif row.up and row.name in self._down:
            self._down.discard(row.name)
            self.executor.start(row.name)
        self.executor.sense(row.name, Sensors(
            time_s=time_s, gpus=gpus, gpu_w=row.gpu_full_w, limit=row.limit,
            contact=row.contact and row.up, paused=row.paused, ship=row.kind == "ship", accelerator=row.accelerator,
        ))  # fmt: skip

    def _save(self) -> None:
        """The twin's state on disk, so that the next control process goes on from it."""
        self._kept_s = time.monotonic()
        part = self._keep.with_suffix(".part")
        try:
            part.write_text(json.dumps(dict(self.twin.state)))
            part.replace(self._keep)
        except OSError as error:
            log.warning("the twin's state is not kept: %s", error)


def kept(file: Path) -> dict[str, Any] | None:
    """The state of a twin on disk, unless there is none."""
    try:
        made: dict[str, Any] = json.loads(file.read_text())
        return made or None
    except (OSError, ValueError):
        return None


def watched(state: State) -> list[tuple[str, float]]:
    """Round trips that jobs ask for, each once."""
    live = {state.jobs[n].batch for n in state.waiting} | {
        state.jobs[n].batch for jobs in state.at.values() for n in jobs
    }
    asked = (state.tasks[batch].orbit for batch in live)
    return sorted({(o.place, o.max_round_trip) for o in asked if o.place is not None and o.max_round_trip is not None})


def _row(host: Host) -> tuple[object, ...]:
    return host.gpus, host.limit, host.contact, host.lit, host.up


def _crossed(frame: Frame, known: dict[str, tuple[object, ...]]) -> events.Conditions | None:
    """The thresholds of a frame that are news to the core, the last of each host."""
    last = {c.host: events.Crossed(host=c.host, gpus=c.gpus, limit=c.limit, contact=c.contact, lit=c.lit, up=c.up)
            for c in frame.conditions if c.host in known}  # fmt: skip
    news = tuple(c for c in last.values() if (c.gpus, c.limit, c.contact, c.lit, c.up) != known[c.host])
    reaches = tuple(events.Reach(host=r.host, place=r.place, limit_s=r.limit_s, within=r.within)
                    for r in frame.reaches if r.host in known and r.limit_s != ANY_S)  # fmt: skip
    return events.Conditions(crossed=news, reaches=reaches) if news or reaches else None
