"""The form of requests: fields with their kinds and bounds, and what is wrong with one, for each vendor to say in its words."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic_core import from_json

from aether.fabric.gateway.asks import Trouble

Path = tuple[str | int, ...]
Problem = Literal["missing", "kind", "low", "high", "value", "unknown", "unsupported", "empty", "long"]

KINDS: dict[str, tuple[type, ...]] = {
    "number": (int, float), "integer": (int,), "string": (str,), "boolean": (bool,), "object": (dict,), "array": (list,),
}  # fmt: skip
# an exponent or a run of digits from which a double can be infinite
VAST = re.compile(rb"[eE]\+?\d{3}|\d{300}")
# about a second of one core, and 100 MB, whatever the parts are; text of a million tokens has fewer
MOST_PARTS = 500_000
WIDEST = 2**63 - 1  # servers read whole numbers into 64 bits


class Wrong(Exception):  # noqa: N818 - what is wrong, said by each vendor's dialect
    """A field that is not as it should be. path: where; wanted and got: for the sentence."""

    def __init__(self, path: Path, problem: Problem, wanted: Any = None, got: Any = None) -> None:
        super().__init__(problem)
        self.path, self.problem, self.wanted, self.got = path, problem, wanted, got


@dataclass(frozen=True, slots=True)
class Field:
    """A field that a request may have. kinds: names of KINDS; low, high: of a number, or of a text's or list's length."""

    kinds: tuple[str, ...]
    low: float | None = None
    high: float | None = None
    among: tuple[Any, ...] = ()
    required: bool = False


def number(low: float | None = None, high: float | None = None) -> Field:
    """A number within bounds."""
    return Field(("number",), None if low is None else float(low), None if high is None else float(high))


def integer(low: float | None = None, high: float | None = WIDEST, *, required: bool = False) -> Field:
    """A whole number within bounds."""
    return Field(("integer",), low, high, required=required)


def one_of(*values: Any) -> Field:
    """One of these texts."""
    return Field(("string",), among=values)


BOOLEAN, STRING, OBJECT, ARRAY = (Field((kind,)) for kind in ("boolean", "string", "object", "array"))
MODEL = Field(("string",), low=1, high=256, required=True)  # no vendor's name is near this long


def kind_of(value: Any) -> str:
    """The kind's name of a JSON value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    return next(name for name in ("string", "integer", "number", "object", "array") if isinstance(value, KINDS[name]))


def check(value: Any, field: Field, path: Path) -> None:
    """Raise Wrong where a value is not of the field's kinds or out of its bounds."""
    kind = kind_of(value)
    if kind not in field.kinds and not (kind == "integer" and "number" in field.kinds):
        raise Wrong(path, "kind", field.kinds, kind)
    if field.among and value not in field.among:
        raise Wrong(path, "value", field.among, value)
    if field.low is None and field.high is None:
        return
    size = len(value) if isinstance(value, str | list | dict) else value
    if field.low is not None and size < field.low:
        raise Wrong(path, "empty" if isinstance(value, str | list) else "low", field.low, size)
    if field.high is not None and size > field.high:
        raise Wrong(path, "long" if isinstance(value, str | list) else "high", field.high, size)


def read(
    body: Any, fields: Mapping[str, Field], unsupported: frozenset[str] = frozenset(), path: Path = ()
) -> dict[str, Any]:
    """The object with its fields checked and those that are null left out; raises Wrong, also for a field that is not known."""
    if not isinstance(body, dict):
        raise Wrong(path, "kind", ("object",), kind_of(body))
    kept = {}
    for name, value in body.items():
        field = fields.get(name)
        if field is None:
            if value is None and name in unsupported:
                continue
            raise Wrong((*path, name), "unsupported" if name in unsupported else "unknown")
        if value is None and not field.required:
            continue
        check(value, field, (*path, name))
        kept[name] = value
    for name, field in fields.items():
        if field.required and name not in kept:
            raise Wrong((*path, name), "missing")
    return kept


def texts(value: Any, path: Path, high: int | None = None) -> None:
    """Raise Wrong unless a value is a list of texts."""
    check(value, Field(("array",), high=high), path)
    for i, text in enumerate(value):
        check(text, STRING, (*path, i))


def spoken(say: Callable[[Wrong], Trouble], act: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A function that reads a request, with what is wrong in it said as a vendor says it."""

    def reading(body: Any) -> Any:
        try:
            return act(body)
        except Wrong as wrong:
            raise say(wrong) from None

    return reading


def _finite(value: Any) -> bool:
    if isinstance(value, float):
        return value - value == 0.0
    if isinstance(value, dict):
        return all(map(_finite, value.values()))
    return not isinstance(value, list) or all(map(_finite, value))


def parse(raw: bytes | bytearray) -> Any:
    """The JSON value of a request's bytes; ValueError for what is no JSON, nested past 200, not finite, no Unicode, or of too many parts.

    Of a name that comes twice the last one holds, here and everywhere behind, as the body is written anew.
    """
    if sum(map(raw.count, (b",", b"[", b"{"))) > MOST_PARTS:
        raise ValueError(f"more than {MOST_PARTS:,} commas and brackets")
    value = from_json(raw, allow_inf_nan=False)
    if VAST.search(raw) and not _finite(value):
        raise ValueError("number out of range")
    return value
