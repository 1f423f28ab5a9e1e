"""What all parts of a scenario file have in common."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

from aether.base.clock import iso_date


class Strict(BaseModel):
    """Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def exactly_one(model: BaseModel, keys: tuple[str, ...]) -> None:
    """Refuses a model of which not exactly one of these keys is given."""
    given = [k for k in keys if getattr(model, k) is not None]
    if len(given) != 1:
        text = f"give exactly one of {', '.join(keys)}; got {' and '.join(given) if given else 'none'}"
        raise PydanticCustomError("one", "{text}", {"text": text})


def dated(value: object) -> datetime:
    """A date of a scenario file, UTC; refuses what is none and years in which the Sun's series does not hold."""
    try:
        date = iso_date(str(value))
    except ValueError as error:
        raise PydanticCustomError("date", "not a date; expected one such as '2026-06-21T00:00:00Z'") from error
    if not 1960 <= date.year <= 2100:
        raise PydanticCustomError("date", "the year must lie between 1960 and 2100, where the Sun's series holds")
    return date
