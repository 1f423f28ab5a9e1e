"""Messages that say where, what, nearest, next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with the user's input.

    where: the file and line, and the path inside it. what: what is wrong. nearest: the valid name closest to what
    was written, if any. next: what to do.
    """

    path: str
    what: str
    nearest: str = ""
    next: str = ""
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: " if self.line else (f"{self.file}: " if self.file else "")
        text = f"{place}{self.path}: {self.what}" if self.path else f"{place}{self.what}"
        if self.nearest:
            text += f"; did you mean '{self.nearest}'?"
        if self.next:
            text += f" {self.next}" if text.endswith("?") else f". {self.next}"
        return text


class InputError(ValueError):
    """The input is wrong; holds every problem found, not only the first. The command exits with 2."""

    def __init__(self, problems: Problem | str | Iterable[Problem]) -> None:
        if isinstance(problems, str):
            problems = Problem("", problems)
        self.problems: list[Problem] = [problems] if isinstance(problems, Problem) else list(problems)
        count = len(self.problems)
        head = "" if count == 1 else f"{count} problems:\n"
        super().__init__(head + "\n".join(str(p) for p in self.problems))


def nearest(name: str, known: Iterable[str], likeness: float = 0.5) -> str:
    """The known name closest to `name`, or '' when none is close.

    `likeness` is the part of both that must agree: half for words; drawn identifiers, which agree by chance, want more.
    """
    names = {k.lower(): k for k in known}
    match = difflib.get_close_matches(name.lower(), names, n=1, cutoff=likeness)
    return names[match[0]] if match else ""


def unknown(path: str, kind: str, name: str, known: Iterable[str]) -> Problem:
    """The problem of a name that is not in a list of known ones."""
    known = sorted(known)
    shown = ", ".join(known[:12]) + (f", ... ({len(known)} in all)" if len(known) > 12 else "")
    return Problem(
        path, f"unknown {kind} '{name}'", nearest(name, known), f"Known: {shown}" if known else "None is known"
    )
