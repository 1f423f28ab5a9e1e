"""Text and tokens: bytes, two marks, and how turns of a conversation become one text."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Sequence

from aether.fabric.tiny.weights import BOS, END


def encoded(text: str) -> list[int]:
    """A text's tokens, its UTF-8 bytes; lone surrogates become question marks."""
    return list(text.encode("utf-8", "replace"))


def prompt(text: str) -> list[int]:
    """A document's beginning as tokens."""
    return [BOS, *encoded(text)]


def turn(role: str, text: str) -> list[int]:
    """One turn of a conversation; its end is a mark that no text can hold."""
    return [*encoded(f"# {role}\n{text}"), END]


def conversation(turns: Iterable[tuple[str, str]]) -> list[int]:
    """A conversation up to where the assistant answers; comments of Python, as the model was trained on nothing else."""
    tokens = [BOS]
    for role, text in turns:
        tokens += turn(role, text)
    return [*tokens, *encoded("# assistant\n")]


class Writer:
    """Text out of tokens as they come: whole characters only, and nothing of a stop string."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stops = tuple(stops)
        self._held = ""
        self.met = ""  # the stop string that ended it

    def add(self, token: int) -> str:
        """The text that may be shown now, after another byte."""
        return self._shown(self._decoder.decode(bytes([token])), last=False)

    def rest(self) -> str:
        """What was held back, at the end; nothing after a stop string."""
        return self._shown(self._decoder.decode(b"", final=True), last=True)

    def _shown(self, more: str, *, last: bool) -> str:
        if self.met:
            return ""
        self._held += more
        found = [(at, stop) for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if found:
            at, self.met = min(found)
            shown, self._held = self._held[:at], ""
            return shown
        keep = 0 if last else max((_begun(self._held, stop) for stop in self._stops), default=0)
        cut = len(self._held) - keep
        shown, self._held = self._held[:cut], self._held[cut:]
        return shown


def _begun(text: str, stop: str) -> int:
    """Characters at a text's end with which a stop string begins."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
