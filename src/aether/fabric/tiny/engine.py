"""Many requests in one batch: each step computes a little of every request that has a slot; they join and leave between steps."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from aether.fabric.tiny.model import Cache, Model
from aether.fabric.tiny.text import Writer
from aether.fabric.tiny.weights import END, SPARE, VOCABULARY, Adapter, Floats, Weights

PREFILL = 128  # tokens of prompts in one step: about 12 ms, so that streams beside a long prompt keep flowing


class Full(Exception):  # noqa: N818 - an answer, not a fault
    """More requests wait than may."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Something new of an answer. tokens: generated so far. finish: why it ended; none while it goes on."""

    text: str
    tokens: int
    cached: int = 0
    finish: Literal["stop", "length", "failed"] | None = None
    embedding: Floats | None = None
    met: str = ""  # the stop string that ended it


@dataclass(slots=True, eq=False)
class Work:
    """One prompt to be continued. tell: called in the engine's thread with each piece. limit 0 with `embed` reads only."""

    prompt: list[int]
    limit: int
    tell: Callable[[Piece], None]
    adapter: Adapter | None = None
    salt: str = ""
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    stops: tuple[str, ...] = ()
    top_k: int = 0  # 0 is all
    min_p: float = 0.0
    embed: bool = False
    cancelled: bool = False
    _state: _State | None = field(default=None, repr=False)


@dataclass(slots=True, eq=False)
class _Slot:
    """A place in the cache. tokens: those whose keys and values are there."""

    number: int
    tokens: list[int] = field(default_factory=list)
    owner: tuple[int, str] = (0, "")
    adapter: Adapter | None = None  # keeps it alive, so that its identity in `owner` is not given again
    used: int = 0
    work: Work | None = None


@dataclass(slots=True, eq=False)
class _State:
    slot: _Slot
    cached: int
    pending: list[int]
    random: np.random.Generator
    writer: Writer
    sum: Floats
    made: int = 0


class Engine:
    """Runs requests in a thread of its own; `slots` at once, `queue` more wait in order."""

    def __init__(self, weights: Weights, slots: int = 32, queue: int = 256) -> None:
        self.weights, self.slots, self.queue = weights, slots, queue
        self._model, self._cache = Model(weights), Cache(weights.shape, slots)
        self._slots = [_Slot(number) for number in range(slots)]
        self._waiting: deque[Work] = deque()
        self._changed = threading.Condition()
        self._steps, self._leave = 0, False
        self._thread = threading.Thread(target=self._run, name="aether-tiny", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the step under way; requests that have not ended get no more pieces."""
        with self._changed:
            self._leave = True
            self._changed.notify()
        self._thread.join()

    def add(self, *works: Work) -> None:
        """Have requests answered, all of them or, with Full, none."""
        with self._changed:
            self._waiting = deque(work for work in self._waiting if not work.cancelled)
            free = sum(slot.work is None for slot in self._slots)
            if len(self._waiting) + len(works) > self.queue + free:
                raise Full
            self._waiting.extend(works)
            self._changed.notify()

    def load(self) -> tuple[int, int, float]:
        """Requests that are worked on, requests that wait, and the share of the cache that the former hold [1]."""
        with self._changed:
            held = [len(slot.tokens) for slot in self._slots if slot.work is not None]
            return len(held), len(self._waiting), sum(held) / (self.slots * self.weights.shape.context)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._leave and not self._waiting and all(slot.work is None for slot in self._slots):
                    self._changed.wait()
                if self._leave:
                    return
                self._admit()
            running = [slot.work for slot in self._slots if slot.work is not None]
            try:
                self._step(running)
            except Exception:  # one batch failed: its requests are told, the server goes on
                for work in running:
                    self._end(work, "failed", keep=False)

    def _admit(self) -> None:
        """Give free slots up, and let those who wait have them, in order."""
        for slot in self._slots:
            if slot.work is not None and slot.work.cancelled:
                slot.work = None
        while self._waiting and any(slot.work is None for slot in self._slots):
            work = self._waiting.popleft()
            if not work.cancelled:
                self._seat(work)

    def _seat(self, work: Work) -> None:
        """Put a request where most of its prompt is cached already; of the same adapter and salt alone."""
        owner = (id(work.adapter) if work.adapter else 0, work.salt)

        def known(slot: _Slot) -> int:
            if work.embed or slot.owner != owner:
                return 0  # an embedding needs every hidden state
            most = min(len(slot.tokens), len(work.prompt) - 1)  # the last one's hidden state is needed
            return next((n for n in range(most) if slot.tokens[n] != work.prompt[n]), most)

        free = [slot for slot in self._slots if slot.work is None]
        slot = max(free, key=lambda slot: (known(slot), -slot.used))
        cached = known(slot)
        slot.tokens, slot.owner, slot.adapter, slot.work = slot.tokens[:cached], owner, work.adapter, work
        width = np.zeros(self.weights.shape.width, np.float32)
        work._state = _State(
            slot, cached, work.prompt[cached:], np.random.default_rng(work.seed), Writer(work.stops), width
        )

    def _step(self, running: list[Work]) -> None:
        """Compute the next tokens of prompts and answers, together."""
        batch: list[tuple[Work, _State, int]] = []
        room = PREFILL
        for work in sorted(running, key=lambda work: len(work._state.pending) if work._state else 0):
            state = work._state
            assert state is not None
            count = min(len(state.pending), max(room, 1))
            room -= count if count > 1 else 0
            batch.append((work, state, count))
        counts = np.array([count for *_, count in batch])
        ends = np.cumsum(counts)
        rows = {n: np.arange(end - count, end) for n, (end, count) in enumerate(zip(ends, counts, strict=True))}
        by: dict[Adapter, list[int]] = {}
        for n, (work, *_) in enumerate(batch):
            if work.adapter is not None:
                by.setdefault(work.adapter, []).append(n)
        hidden = self._model.hidden(
            np.array([token for _, state, count in batch for token in state.pending[:count]], np.int64),
            np.repeat(np.array([state.slot.number for _, state, _ in batch], np.int64), counts),
            np.concatenate([np.arange(count) + len(state.slot.tokens) for _, state, count in batch]).astype(np.int64),
            self._cache,
            [(adapter, np.concatenate([rows[n] for n in of])) for adapter, of in by.items()],
        )
        logits = self._model.logits(hidden[ends - 1])
        self._steps += 1
        for n, (work, state, count) in enumerate(batch):
            state.slot.tokens += state.pending[:count]
            state.pending = state.pending[count:]
            state.slot.used = self._steps
            if work.embed:
                state.sum += hidden[rows[n]].sum(axis=0)
            if not state.pending:
                self._next(work, state, logits[n])

    def _next(self, work: Work, state: _State, logits: Floats) -> None:
        """Choose a token, and say what it brings."""
        if work.limit == 0:
            self._end(work, "length", embedding=state.sum if work.embed else None)
            return
        logits[SPARE] = -np.inf
        token = chosen(logits, work, state.random)
        state.made += 1
        if token == END:
            self._end(work, "stop")
            return
        text = state.writer.add(token)
        full = len(state.slot.tokens) >= self.weights.shape.context
        if state.writer.met:
            self._end(work, "stop", text)
        elif state.made >= work.limit or full:
            self._end(work, "length", text)
        else:
            state.pending = [token]
            if not work.cancelled:
                work.tell(Piece(text, state.made, state.cached))

    def _end(
        self, work: Work, finish: Literal["stop", "length", "failed"], text: str = "", *, embedding: Floats | None = None,
        keep: bool = True,
    ) -> None:  # fmt: skip
        state = work._state
        assert state is not None
        if not keep:
            state.slot.tokens = []
        state.slot.work = None
        if not work.cancelled:
            work.tell(Piece(text + state.writer.rest(), state.made, state.cached, finish, embedding, state.writer.met))


def chosen(logits: Floats, work: Work, random: np.random.Generator) -> int:
    """A token by its logits: the likeliest at temperature 0, else drawn among the likeliest.

    Those are, in this order as vLLM has it: no less likely than `min_p` of the likeliest; `top_k` of them at most; the fewest that
    make up `top_p` of what is left.
    """
    if work.temperature == 0.0:
        return int(logits.argmax())
    scaled = logits.astype(np.float64) / max(work.temperature, 1e-3)  # below that it is the likeliest, without overflow
    shares = np.exp(scaled - scaled.max())
    order = np.argsort(-shares, kind="stable")
    order = order[shares[order] >= work.min_p]
    order = order[: work.top_k or None]
    left = shares[order] / shares[order].sum()
    upto = np.cumsum(left)
    kept = max(1, int((upto - left < work.top_p).sum()))
    at = random.random() * upto[kept - 1]
    return int(order[min(int(np.searchsorted(upto[:kept], at, side="right")), kept - 1)])


assert VOCABULARY == SPARE + 1  # every token is a byte or one of the two marks
