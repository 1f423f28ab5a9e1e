"""Quantities as pydantic types: text with a unit goes in, an SI float or a sourced Assumption comes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from aether.base.provenance import Assumption
from aether.base.units import UnitError, describe, fmt, parse


@dataclass(frozen=True, slots=True)
class Unit:
    """Marks a float field as a quantity: `Annotated[float, Unit("m", above=0)]`.

    unit: SI unit, "1" for a plain number. above, least, most: limits in that unit, exclusive and inclusive.
    """

    unit: str
    above: float | None = None
    least: float | None = None
    most: float | None = None

    def read(self, value: object) -> float:
        """The value in SI, within the limits."""
        try:
            number = parse(value, self.unit)
        except UnitError as error:
            raise PydanticCustomError("quantity", "{text}", {"text": str(error)}) from error
        if self.above is not None and not number > self.above:
            raise _outside(value, "above", self.above, self.unit)
        if self.least is not None and not number >= self.least:
            raise _outside(value, "at least", self.least, self.unit)
        if self.most is not None and not number <= self.most:
            raise _outside(value, "at most", self.most, self.unit)
        return number

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        kinds = ["string", "number"] if self.unit == "1" else ["string"]
        return {"type": kinds, "description": describe(self.unit)}


def _outside(value: object, relation: str, limit: float, unit: str) -> PydanticCustomError:
    text = f"{value!s} is outside its limits: must be {relation} {fmt(limit, unit)}"
    return PydanticCustomError("quantity", "{text}", {"text": text})


@dataclass(frozen=True, slots=True)
class Sourced:
    """Marks an Assumption field: `Annotated[Assumption, Sourced(Unit("m"))]`.

    Accepts "110 m2" (no range), ["90 m2", "110 m2", "120 m2"] (low, nominal, high), or a mapping of value, low, high,
    source, date, confidence, note; what is not given is taken from the part that holds the field.
    """

    unit: Unit

    def read(self, value: object, info: ValidationInfo) -> Assumption:
        """The Assumption with its range in order and its source."""
        if isinstance(value, Assumption):
            return value
        part = info.data
        given = _given(value)
        source = given.get("source") or part.get("source") or ""
        if not given.get("source") and given.get("confidence") == "estimated" and part.get("confidence") != "estimated":
            source = "own estimate"  # the part's source does not say it
        if not source:
            raise PydanticCustomError("source", "has no source; say where the number comes from in 'source'")
        low, nominal, high = (
            None if given.get(k) is None else self.unit.read(given[k]) for k in ("low", "value", "high")
        )
        if nominal is None:
            raise PydanticCustomError("quantity", "has no value")
        if not (low is None or low <= nominal) or not (high is None or nominal <= high):
            raise PydanticCustomError("range", "the range must be in order: low, nominal, high")
        name = f"{part.get('name') or 'scenario'}.{info.field_name}"
        return Assumption(
            name, nominal, self.unit.unit, source, str(given.get("date") or part.get("date") or ""),
            given.get("confidence") or part.get("confidence") or "estimated", low, high, given.get("note") or "",
        )  # fmt: skip

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        one = self.unit.__get_pydantic_json_schema__(schema, handler)
        three = {"type": "array", "items": one, "minItems": 3, "maxItems": 3, "description": "low, nominal, high"}
        full = {"type": "object", "required": ["value"], "additionalProperties": False, "properties": {
            "value": one, "low": one, "high": one, "source": {"type": "string"}, "date": {"type": "string"},
            "confidence": {"enum": ["measured", "published", "disclosed", "estimated"]}, "note": {"type": "string"}}}  # fmt: skip
        return {"anyOf": [one, three, full]}


_KEYS = ("value", "low", "high", "source", "date", "confidence", "note")


def _given(value: object) -> dict[str, Any]:
    if isinstance(value, dict):
        strange = sorted(set(map(str, value)) - set(_KEYS))
        if strange:
            raise PydanticCustomError(
                "extra", "unknown key '{key}'. Known: {known}", {"key": strange[0], "known": ", ".join(_KEYS)}
            )
        confidence = value.get("confidence")
        if confidence not in (None, "measured", "published", "disclosed", "estimated"):
            raise PydanticCustomError("confidence", "confidence is one of measured, published, disclosed, estimated")
        return value
    if isinstance(value, list):
        if len(value) != 3:
            raise PydanticCustomError("range", "a range is a list of three: low, nominal, high")
        return dict(zip(("low", "value", "high"), value, strict=True))
    return {"value": value}
