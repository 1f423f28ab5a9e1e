"""The core's loop: what comes in is decided, stored in one transaction, applied, and only then answered."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from aether.fabric.core import control, events, schedule, serving, state
from aether.fabric.core.clock import FabricClock
from aether.fabric.core.demand import Demand
from aether.fabric.core.events import Event
from aether.fabric.core.state import OVER, State
from aether.fabric.protocol import Numbered
from aether.fabric.store.store import Entry, Receipt, Store, StoreError
from aether.fabric.tenancy import ident

log = logging.getLogger(__name__)
MOST_WRITES = 500  # that share a transaction
LOOK_S = 0.1  # between two looks at the clock and the runtimes
SNAPSHOT_EVERY = 20_000  # events: replaying so many takes about a second
LOST_S = 30.0  # of the wall's clock without a word, in contact: some fifteen missed exchanges
CONTACT_PATIENCE_S = 7200.0  # of the fabric's clock, out of contact: an orbit and a pass that was missed
KEEP_OVER, FORGET = 20_000, 5_000  # jobs that are over and still shown; how many go at once


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """A request that is not granted: what the caller is told, by the name of the problem."""

    def __init__(self, status: int, kind: str, detail: str, **more: Any) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail, self.more = status, kind, detail, more


@dataclass(frozen=True)
class Happening:
    """An event with what the log says it is about."""

    event: Event
    project: str = ""
    subject: str = ""


@dataclass(frozen=True)
class Decision:
    """What a request comes to: events to be stored, and the answer once they are."""

    happenings: tuple[Happening, ...]
    answer: str = "{}"
    alone: bool = False  # the next decision must see what this one has done


@dataclass(frozen=True)
class Once:
    """A request that is answered the same however often it comes: whose it is, its key, the digest of what it asks."""

    project: str
    key: str
    request: bytes


@dataclass
class _Write:
    decide: Callable[[State], Decision]
    actor: str
    once: Once | None
    answered: Future[str]


class Plane:
    """The fabric's present state, and the one thread that changes it.

    `write` may be called by any thread; `state` is read under `lock`, for moments only. `heard` is told the number of the last
    event after every change, `told` the runtimes whose orders have changed, `inject` faults to be made.
    """

    def __init__(
        self, store: Store, clock: FabricClock, restored: tuple[State, int], heard: Callable[[int], None], told: Callable[[set[str]], None],
        inject: Callable[[control.Inject], None],
    ) -> None:  # fmt: skip
        self.store, self.clock, self._heard, self._told, self._inject = store, clock, heard, told, inject
        self.lock = threading.Lock()
        self.state, self._since_snapshot = restored
        self.seen_s = dict.fromkeys(self.state.runtimes, time.monotonic())
        self.trouble = ""  # what is wrong with the store, while something is
        self.passes: list[float] = []  # seconds that the last scheduling passes took
        self._writes: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._pending: dict[str, int] = {}  # reports in the present transaction, by runtime
        self._place, self._placed_s = True, 0.0
        self.demand = Demand()  # what the gateway told last
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="core", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def close(self) -> None:
        """Finish what is under way, keep a snapshot, and stop."""
        self._ends.set()
        self._writes.put(None)
        if self._thread.is_alive():
            self._thread.join(30.0)
        try:
            self._snapshot()
        except StoreError as error:
            log.warning("no snapshot: %s", error)

    def write(
        self, decide: Callable[[State], Decision], actor: str = "fabric", once: Once | None = None
    ) -> Future[str]:
        """Let the core decide a request and store what follows; the Future has the answer once that is durable.

        It raises Refused or InputError as `decide` does, StoreAway, StoreFull or StoreBroken where nothing could be stored.
        """
        wanted = _Write(decide, actor, once, Future())
        self._writes.put(wanted)
        return wanted.answered

    def put(self, *happenings: Happening, actor: str = "fabric") -> Future[str]:
        """Store events that need no decision."""
        return self.write(lambda _: Decision(happenings), actor)

    def look_again(self) -> None:
        """Something beside the state has changed that a pass should look at."""
        self._place = True

    def saw(self, runtime: str) -> None:
        """A runtime has spoken just now."""
        self.seen_s[runtime] = time.monotonic()

    def reports(self, runtime: str, journal: str, numbered: Iterable[Numbered]) -> Decision:
        """The decision on a runtime's reports: those that come next in its journal, each once. Called while deciding."""
        known = self.state.runtimes.get(runtime)
        if known is None or known.journal != journal:
            raise Refused(409, "unknown-runtime", f"{runtime} has not joined with this journal: join first")
        last, made = self._pending.get(runtime, known.acknowledged), []
        for item in numbered:
            if item.n == last + 1:
                last = item.n
                name = item.report.attempt.rpartition("/")[0]
                job = self.state.jobs.get(name)
                event = events.Reported(
                    runtime=runtime, journal=journal, n=item.n, happened_s=item.time_s, report=item.report
                )
                made.append(Happening(event, job.project if job else "", name))
        if known.lost:
            made.append(Happening(events.RuntimeBack(runtime=runtime), "", runtime))
        self._pending[runtime] = last
        return Decision(tuple(made))

    def _run(self) -> None:
        looked_s = 0.0
        while not self._ends.is_set() or not self._writes.empty():
            try:
                self._serve(self._drain())
                if time.monotonic() - looked_s >= LOOK_S:
                    looked_s = time.monotonic()
                    self._look()
                if self._place:
                    self._pass()
            except StoreError as error:
                self.trouble = str(error)
                log.error("the store fails: %s", error)
                self._ends.wait(1.0)
            except Exception:
                log.exception("a fault of the core; it goes on")
                self._ends.wait(1.0)

    def _drain(self) -> list[_Write]:
        """What waits, and a little patience where nothing does."""
        made: list[_Write] = []
        try:
            wanted = self._writes.get(timeout=LOOK_S)
            while wanted is not None:
                made.append(wanted)
                wanted = self._writes.get_nowait() if len(made) < MOST_WRITES else None
        except queue.Empty:
            pass
        return made

    def _serve(self, writes: list[_Write]) -> None:
        """Decide, store, apply and answer what waits; one that cannot be stored takes no other along."""
        left = [writes]
        try:
            while left:
                some = left.pop()
                try:
                    rest = self._write(some)
                    left += [rest] if rest else []
                except _Unfit as unfit:
                    if len(some) == 1:
                        log.error("a request cannot be stored: %s", unfit)
                        some[0].answered.set_exception(unfit)
                    else:
                        left += [[w] for w in reversed(some) if not w.answered.done()]
        except Exception as error:
            for write in writes:
                if not write.answered.done():
                    write.answered.set_exception(error)
            raise

    def _write(self, writes: list[_Write]) -> list[_Write]:
        """Decide, store together, apply, answer; those that must see it first are given back."""
        self._pending.clear()
        left: list[_Write] = []
        decided: list[tuple[_Write, Decision]] = []
        fresh: dict[tuple[str, str], _Write] = {}
        for i, write in enumerate(writes):
            if write.answered.done():
                continue
            if decided and decided[-1][1].alone:
                left = writes[i:]
                break
            try:
                known = self._known(write, fresh)
                if known is not None:
                    write.answered.set_result(known)
                    continue
                decided.append((write, write.decide(self.state)))
                if write.once is not None:
                    fresh[write.once.project, write.once.key] = write
            except _Twin as twin:
                twin.first.answered.add_done_callback(lambda done, w=write: _pass_on(done, w.answered))  # type: ignore[misc]
            except Exception as error:
                write.answered.set_exception(error)
        self._store([(h, w.actor) for w, d in decided for h in d.happenings],
                    [_receipt(w, d, self.clock.now()) for w, d in decided if w.once is not None])  # fmt: skip
        for write, decision in decided:
            write.answered.set_result(decision.answer)
        return left

    def _known(self, write: _Write, fresh: dict[tuple[str, str], _Write]) -> str | None:
        """What a request was answered that has come before."""
        once = write.once
        if once is None:
            return None
        twin = fresh.get((once.project, once.key))
        if twin is not None and twin.once is not None:
            if twin.once.request != once.request:
                raise _reused(once)
            raise _Twin(twin)
        receipt = self.store.receipt(once.project, once.key)
        if receipt is None:
            return None
        if receipt.request != once.request:
            raise _reused(once)
        return receipt.response

    def _store(self, happenings: list[tuple[Happening, str]], receipts: list[Receipt]) -> None:
        """Make events durable, then apply them and tell who must know."""
        if not happenings and not receipts:
            return
        now = self.clock.now()
        try:
            entries = [
                Entry(now, h.event.kind, h.project, h.subject, events.encode(h.event), actor) for h, actor in happenings
            ]
            self.store.append(entries, receipts)
        except ValueError as error:
            raise _Unfit(str(error)) from error
        self.trouble = ""
        changed: set[str] = set()
        faults: list[control.Inject] = []
        with self.lock:
            for happening, actor in happenings:
                commands = applied(self.state, happening.event, now, actor)
                for command in commands:
                    if isinstance(command, control.Tell):
                        changed.add(command.runtime)
                    elif isinstance(command, control.Inject):
                        faults.append(command)
                    else:
                        self._place = True
        self._since_snapshot += len(happenings)
        self._heard(self.store.last_seq)
        if changed:
            self._told(changed)
        for fault in faults:
            self._inject(fault)
        if self._since_snapshot >= SNAPSHOT_EVERY:
            try:
                self._snapshot()
            except StoreError as error:  # what was asked is stored all the same
                self._since_snapshot = 0
                log.error("no snapshot: %s", error)

    def _snapshot(self) -> None:
        if self._since_snapshot:
            self.store.save_snapshot(self.store.last_seq, state.dump(self.state))
            self._since_snapshot = 0

    def _look(self) -> None:
        """What only the passing of time brings: jumps of the clock, runtimes that are silent, deadlines, old jobs to be forgotten."""
        now, made = self.clock.now(), []
        jump_s = self.clock.jump()
        if jump_s:
            made.append(Happening(events.ClockJumped(by_s=jump_s)))
        if self.trouble:  # whether the store writes again is found out by writing
            made.append(Happening(events.Ticked()))
        made += [Happening(events.RuntimeLost(runtime=r, reason=why), "", r) for r, why in self._silent()]
        due_s = control.due_s(self.state, self._placed_s)
        if due_s is not None and due_s <= now:
            made.append(Happening(events.Ticked()))
        made += self._old()
        made += [_about(self.state, e) for e in (*self.demand.plan(self.state, now), *self.demand.given_up(self.state))]
        if made:
            self._store([(h, "fabric") for h in made], [])

    def _silent(self) -> list[tuple[str, str]]:
        """Runtimes that are given up, and why."""
        made = []
        for name, runtime in self.state.runtimes.items():
            host = self.state.hosts.get(name)
            quiet_s = time.monotonic() - self.seen_s.setdefault(name, time.monotonic())
            if runtime.lost or host is None:
                continue
            if not host.up:
                made.append((name, "out of service"))
            elif quiet_s > LOST_S and (host.contact or quiet_s * self.clock.speed > CONTACT_PATIENCE_S):
                made.append((name, f"silent for {quiet_s:.0f} s"))
        return made

    def _old(self) -> list[Happening]:
        """Jobs over long ago are forgotten, the oldest first."""
        live = len(self.state.waiting) + sum(len(jobs) for jobs in self.state.at.values())
        if len(self.state.jobs) - live <= KEEP_OVER:
            return []
        needed = {d for name in self.state.waiting for d in self.state.jobs[name].waits_for}
        over = [j for j in self.state.jobs.values() if j.status in OVER and j.id not in needed]
        over.sort(key=lambda j: j.ended_s or 0.0)
        return [Happening(events.Forgotten(jobs=tuple(j.id for j in over[:FORGET])))] if len(over) > KEEP_OVER else []

    def _pass(self) -> None:
        """A scheduling pass, its decisions stored like everything else."""
        self._place, self._placed_s = False, self.state.time_s
        begun = time.perf_counter()
        made: list[Event] = [*serving.plan(self.state, self.demand.ready, ident), *schedule.plan(self.state)]
        self.passes = [*self.passes[-99:], time.perf_counter() - begun]
        try:
            self._store([(_about(self.state, e), "fabric") for e in made], [])
            self._place = self._place or any(
                isinstance(e, events.Placed) and self.state.jobs[e.job].deployment for e in made
            )
        except StoreError:
            self._place = True
            raise


def _about(state: State, event: Any) -> Happening:
    """A decision of a pass with what the log says it is about."""
    subject = next((str(getattr(event, k)) for k in ("job", "tuning", "deployment") if hasattr(event, k)), "")
    subject = event.jobs[0] if isinstance(event, events.GivenUp) else subject
    if subject in state.jobs:
        return Happening(event, state.jobs[subject].project, subject)
    if subject in state.tunings:
        return Happening(event, state.tunings[subject].asked.project, subject)
    return Happening(event, getattr(event, "project", ""), subject)


class _Unfit(Exception):  # noqa: N818
    """Something among what was decided cannot be stored; nothing of it is."""


class _Twin(Exception):  # noqa: N818
    """The same request stands in the same transaction already."""

    def __init__(self, first: _Write) -> None:
        self.first = first


def _pass_on(done: Future[str], to: Future[str]) -> None:
    error = done.exception()
    if to.done():
        return
    to.set_exception(error) if error is not None else to.set_result(done.result())


def _reused(once: Once) -> Refused:
    return Refused(422, "idempotency-key-reused", f"the idempotency key '{once.key}' stands for another request")


def _receipt(write: _Write, decision: Decision, time_s: float) -> Receipt:
    assert write.once is not None
    return Receipt(write.once.project, write.once.key, write.once.request, decision.answer, time_s)


def restore(store: Store) -> tuple[State, int]:
    """The state that a store's last snapshot and the events after it come to, and how many those were."""
    kept = store.snapshot()
    seq, made, count = (kept[0], state.load(kept[1]), 0) if kept else (0, State(), 0)
    while rows := store.read(after=seq, limit=5000):
        for row in rows:
            applied(made, events.decode(row.body), row.time_s, row.actor)
        seq, count = rows[-1].seq, count + len(rows)
    return made, count


def applied(state: State, event: Event, time_s: float, actor: str) -> list[control.Command]:
    """Apply what is stored, and say what follows. A fault of ours in one event must not keep the fabric from all that come after, nor
    from coming up again: it is logged and counted, live and in every replay alike."""
    try:
        return control.step(state, event, time_s, actor)[1]
    except Exception:
        state.counts["faults"] = state.counts.get("faults", 0) + 1
        log.exception("a fault of the core at an event of the kind %s", event.kind)
        return [control.Place()]
