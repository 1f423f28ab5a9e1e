"""The runtime's centre: it compares what is ordered with what runs, and keeps talking while there is contact."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from aether.base.version import VERSION
from aether.fabric.blobs import Blobs
from aether.fabric.protocol import PROTOCOL, Join, Order, Orders, Sensors, Sync
from aether.fabric.runtime.journal import ClosedError, Journal, Row, key_of
from aether.fabric.runtime.link import Backoff, ContactError, Link, RefusedError
from aether.fabric.runtime.member import UNKEPT, Member, Place, Stop
from aether.fabric.runtime.meter import SPAN_S, Clock, public, sign

TICK_S = 1.0  # how often the sensors are read
LEAVING_TICK_S = 0.1  # how often it is asked whether all is over, once it leaves
POLL_S = 20.0  # how long control may hold the answer when it has no news
LOGS_S = 0.3  # how often logs are looked through: followers see lines after half a second
PATIENCE_S = 10.0  # for control to act on a limit that the ship feels
LEAVE_S = 10.0  # for the last reports, once all programs are over
MOST_REPORTS = 1000  # as Sync takes
BATCH_S = 0.02  # reports that come within it go together


class Agent:
    """One runtime. `run` returns its exit code."""

    def __init__(
        self, name: str, folder: Path, url: str, token: str, address: str, tell: Callable[[str], None]
    ) -> None:
        self.clock = Clock()
        self.tell = tell
        key = key_of(folder)
        self.key = public(key)
        journal = Journal(folder / "journal.sqlite", self.clock.now, tell)
        self.clock.set(journal.last_time_s, 0.0)
        self.sensors: Sensors | None = None
        self.place = Place(
            name=name, folder=folder, address=address, link=Link(url, token), journal=journal,
            blobs=Blobs(folder / "blobs"), tell=tell, now=self.clock.now,
            sign=lambda used: sign(used, name, key), sensors=lambda: self.sensors,
        )  # fmt: skip
        self.members: dict[tuple[str, int], Member] = {}
        self.ordered: frozenset[tuple[str, int]] | None = None  # None until control has spoken
        self.version = -1
        self.contact = False
        self.leaving, self._why = threading.Event(), "the runtime was asked to end"
        self._lock = threading.Lock()
        self._joined, self._wake = threading.Event(), threading.Event()
        self._over_since: float | None = None
        self._code = 0
        self._told, self._numb = "", False

    # contact

    def _join(self) -> bool:
        """Introduce itself; False when control will never have it."""
        place = self.place
        join = Join(protocol=PROTOCOL, version=VERSION, runtime=place.name, journal=place.journal.ident,
                    public_key=self.key, address=place.address, pid=os.getpid())  # fmt: skip
        try:
            joined = place.link.join(join)
        except RefusedError as error:
            if error.status in (401, 403, 426) and not self._joined.is_set():
                hint = "; start it from the version of Aether that control runs" if error.status == 426 else ""
                self.tell(f"control refuses this runtime (protocol {PROTOCOL}, Aether {VERSION}): {error}{hint}")
                self._code = 2
                return False
            raise
        place.journal.acknowledge(joined.acknowledged)
        self.clock.set(joined.time_s, joined.speed)
        self._joined.set()
        return True

    def _exchange(self, reports_only: bool) -> None:
        """One sync: the reports that wait, or a long wait for orders."""
        journal = self.place.journal
        reports = journal.unsent(MOST_REPORTS) if reports_only else ()
        with self._lock:
            seen = self.version
        answer = self.place.link.sync(
            Sync(runtime=self.place.name, journal=journal.ident, seen=seen, reports=reports,
                 wait_s=0.0 if reports_only or seen < 0 else POLL_S)
        )  # fmt: skip
        self._contact(True)
        self.clock.set(answer.time_s, answer.speed)
        journal.acknowledge(answer.acknowledged)
        self._apply(answer)
        self._wake.set()

    def _contact(self, here: bool, why: str = "") -> None:
        if here != self.contact or (why and why != self._told and not self.contact):
            self.tell("in contact with control" if here else f"out of contact with control: {why}")
        if not here:
            with self._lock:
                self.version = -1  # whoever answers next may count otherwise
        self.contact, self._told = here, why

    def _orders(self) -> None:
        """Ask for orders until the end."""
        backoff = Backoff()
        while not self.place.ending.is_set():
            try:
                if not self._joined.is_set() and not self._join():
                    self.leaving.set()
                    return
                self._exchange(reports_only=False)
                backoff.reset()
            except RefusedError as error:
                if error.status == 409:
                    self._joined.clear()
                self._contact(False, str(error))
                backoff.wait(self.place.ending)
            except (ContactError, ValidationError, ValueError) as error:
                self._contact(False, str(error)[:300])
                backoff.wait(self.place.ending)

    def _reports(self) -> None:
        """Send reports as they come, until the end."""
        backoff, journal = Backoff(), self.place.journal
        while not self.place.ending.is_set():
            journal.news.wait()
            if not self._joined.wait(TICK_S):
                continue
            journal.news.clear()
            time.sleep(BATCH_S)
            try:
                while journal.unsent(1):
                    before = journal.unsent(1)[0].n
                    self._last_words()
                    self._exchange(reports_only=True)
                    left = journal.unsent(1)
                    if left and left[0].n == before:
                        raise ContactError("reports are not acknowledged")
                backoff.reset()
            except (ContactError, RefusedError, ValidationError, ValueError) as error:
                self._contact(False, str(error)[:300])
                journal.news.set()
                backoff.wait(self.place.ending)

    def _last_words(self) -> None:
        """What members wrote goes before the news that they ended: who follows a log stops at its end."""
        for member in list(self.members.values()):
            with contextlib.suppress(ContactError, OSError, ValueError, KeyError):
                while member.state == "ended" and member.logs.waiting():
                    member.moved(member.logs.ship(self.place.link), True)

    def _logs(self) -> None:
        """Send logs as they come, until the end."""
        backoff = Backoff()
        while not self.place.ending.is_set():
            busy = False
            try:
                for member in list(self.members.values()) if self._joined.is_set() else ():
                    if member.state != "gone" and member.logs.waiting():
                        sent = member.logs.ship(self.place.link)
                        member.moved(sent, True)
                        busy = busy or sent > 0
                        if member.logs.refused:
                            self.tell(
                                f"{member.attempt} rank {member.rank}: its log is not taken: {member.logs.refused}"
                            )
                backoff.reset()
            except (ContactError, OSError, ValueError, LookupError):
                backoff.wait(self.place.ending)
                continue
            if not busy:
                self.place.ending.wait(LOGS_S)

    # orders

    def _apply(self, answer: Orders) -> None:
        """Make what runs as it is ordered; the same answer twice changes nothing."""
        if answer.leave and not self.leaving.is_set():
            self._why = "the fabric ends"
            self.leaving.set()
        with self._lock:
            if answer.version <= self.version:
                return
            self.version = answer.version
            wanted = {(o.attempt, o.rank): o for o in answer.orders}
            for key, order in wanted.items():
                member = self.members.get(key)
                if member is not None:
                    member.told(order)
                elif not self.leaving.is_set():
                    self.members[key] = self._begin(order)
            for key, member in self.members.items():
                if key not in wanted and member.state in ("begun", "over"):
                    member.stop(Stop("stopped", "it is not ordered any more", 0.0, keep=False))
            self.ordered = frozenset(wanted)

    def _begin(self, order: Order) -> Member:
        """A member that is new here. One that should run already was lost with an earlier disk."""
        row = None
        if order.phase != "prepare":
            outcome = {"how": "lost", "why": "this runtime does not know it: its disk is new"}
            if order.phase == "stop":
                outcome = {"how": "stopped", "why": order.reason}
            row = Row(order.attempt, order.rank, "over", {"last_ms": int(self.clock.now() * 1000.0), "outcome": outcome,
                      "order": order.model_dump(mode="json", exclude=UNKEPT)})  # fmt: skip
        member = Member(self.place, order, row)
        member.begin()
        return member

    # the ship itself

    def _sense(self) -> None:
        """Read what the executor wrote of the ship; a file that cannot be read leaves what was known."""
        try:
            text = (self.place.folder / "sensors.json").read_bytes()
            felt = Sensors.model_validate_json(text)
        except FileNotFoundError:
            return
        except (OSError, ValidationError) as error:
            if not self._numb:
                self.tell(f"sensors.json cannot be read: {str(error)[:200]}")
            self._numb = True
            return
        self._numb = False
        for member in list(self.members.values()):
            if member.holds:
                member.meter.feel(self.clock.now(), self.sensors)
            member.hold(felt.paused)
        self.sensors = felt

    def _shed(self) -> None:
        """Stop what the ship cannot carry, when control cannot order it or does not: spot, low priority and late ones first."""
        sensors = self.sensors
        running = [m for m in list(self.members.values()) if m.holds and m.stop_ is None and m.order.gpus > 0]
        over = sum(m.order.gpus for m in running) - (sensors.gpus if sensors is not None else 0)
        if sensors is None or over <= 0:
            self._over_since = None
            return
        now = time.monotonic()
        self._over_since = self._over_since or now
        if self.contact and sensors.contact and now - self._over_since < PATIENCE_S:
            return
        for member in sorted(running, key=lambda m: (not m.order.spot, m.order.priority, -m.began_at)):
            if over <= 0:
                break
            over -= member.order.gpus
            member.stop(Stop("shed", sensors.limit or "power", member.order.grace_s))

    def _books(self) -> None:
        """Write spans and tidy up, until the end; apart from the rest, for a full disk holds it up."""
        next_span = time.monotonic() + SPAN_S
        while not self.place.ending.is_set():
            self._wake.wait(TICK_S)
            self._wake.clear()
            if time.monotonic() >= next_span:
                next_span = max(next_span + SPAN_S, time.monotonic())
                for member in list(self.members.values()):
                    member.span()
            self._tidy()

    def _tidy(self) -> None:
        """Forget members that are over and told, and blobs that none needs."""
        ordered = self.ordered
        if ordered is None:
            return
        gone = [k for k, m in list(self.members.items()) if m.state == "ended" and m.tidy(k in ordered)]
        if gone:
            with self._lock:
                for key in gone:
                    del self.members[key]
                needed = {
                    d
                    for m in self.members.values()
                    for d in (*m.order.mounts.values(), m.order.workdir, *m.order.restore, *m.order.adapters.values())
                }
            for digest in list(self.place.blobs):
                if digest not in needed:
                    self.place.blobs.remove(digest)

    # its life

    def run(self) -> int:
        """Work until control or a signal ends it."""
        for row in self.place.journal.members():
            order = Order(**row.data["order"], run="")
            self.members[(row.attempt, row.rank)] = member = Member(self.place, order, row)
            member.begin()
        for work in (self._orders, self._reports, self._logs, self._books):
            threading.Thread(target=self._until_closed, args=(work,), name=work.__name__, daemon=True).start()
        leave_at: float | None = None
        while True:
            self.leaving.wait(TICK_S)
            if self.leaving.is_set():
                time.sleep(LEAVING_TICK_S)
            self._sense()
            self._shed()
            if self.leaving.is_set():
                for member in list(self.members.values()):
                    if member.holds:
                        member.stop(Stop("stopped", self._why, member.order.grace_s))
                if not any(m.holds for m in list(self.members.values())):
                    leave_at = leave_at or time.monotonic() + LEAVE_S
                    if self._code or self._all_told() or time.monotonic() >= leave_at:
                        break
        self.place.ending.set()
        for member in list(self.members.values()):
            member.thread.join(TICK_S)
        self.place.journal.close()
        return self._code

    @staticmethod
    def _until_closed(work: Callable[[], None]) -> None:
        with contextlib.suppress(ClosedError):
            work()

    def _all_told(self) -> bool:
        """Whether control has all that there is."""
        return not self.place.journal.unsent(1) and all(
            m.state == "ended" and not m.logs.waiting() for m in list(self.members.values())
        )
