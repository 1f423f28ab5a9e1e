"""Text with a unit at the door, SI floats inside, text with a unit on the way out."""

from __future__ import annotations

import math
import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pint

_NUMBER = re.compile(r"^\s*([+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?)\s*(.*?)\s*$")
_UNIT = re.compile(r"^[A-Za-z0-9%°µμ²³⁴$/*·^()._ -]{1,40}$")
_POWER = re.compile(r"(?<=[A-Za-z])([234])(?![0-9])")  # "m2" is read as "m^2"
_ALIASES = {"°": "degree", "$": "USD", "·": "*", "²": "^2", "³": "^3", "⁴": "^4", "%": " percent "}
_PREFIXES = (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0), ("m", 1e-3), ("u", 1e-6), ("n", 1e-9))


class UnitError(ValueError):
    """A quantity that cannot be read as what is wanted; the message says what was expected, by example."""


@cache
def _units() -> pint.UnitRegistry[Any]:
    import pint  # with numpy in tow it takes longer to load than many a command that reads no unit

    units: pint.UnitRegistry[Any] = pint.UnitRegistry(autoconvert_offset_to_baseunit=True, on_redefinition="ignore")
    units.define("USD = [currency]")
    units.define("FLOP = [work_of_computing]")
    units.define("gpu = [processor]")
    units.define("token = [token]")
    units.define("rad_si = 0.01 * gray")  # dose; `rad` alone is the angle
    return units


@lru_cache(maxsize=4096)
def _factor(unit: str, into: str) -> tuple[float, float]:
    """(scale, offset) with `into` = scale * unit + offset."""
    import pint

    units = _units()
    for sign, name in _ALIASES.items():
        unit = unit.replace(sign, name)
    unit = _POWER.sub(r"^\1", unit)
    try:
        zero = units.Quantity(0.0, unit).to(into).magnitude
        one = units.Quantity(1.0, unit).to(into).magnitude
    except pint.DimensionalityError as error:
        raise UnitError(f"'{unit}' is not a unit of {describe(into)}") from error
    except Exception as error:  # pint raises many kinds for text that is no unit
        raise UnitError(f"'{unit}' is not a known unit") from error
    return float(one - zero), float(zero)


def parse(text: object, unit: str) -> float:
    """The value of `text` in `unit`, finite.

    text: number and unit, as "550 km", "120 kW", "200 USD/kg", "22 %". A bare number is refused unless `unit` is "1".
    Raises UnitError with what was expected.
    """
    example = describe(unit)
    if isinstance(text, bool) or text is None:
        raise UnitError(f"expected {example}, got {text!r}")
    if isinstance(text, int | float):
        if unit != "1":
            raise UnitError(f"the number {text:g} has no unit; expected {example}")
        value = float(text)
    else:
        match = _NUMBER.match(str(text))
        if not match or (match[2] and not _UNIT.match(match[2])):
            raise UnitError(f"expected {example}, got '{str(text)[:60]}'")
        if not match[2] and unit != "1":
            raise UnitError(f"'{str(text)[:60]}' has no unit; expected {example}")
        value = float(match[1])
        if "dB" in (match[2], unit):
            if match[2] != "dB" or unit not in ("dB", "1"):
                raise UnitError(f"expected {example}, got '{str(text)[:60]}'")
            value = value if unit == "dB" else 10.0 ** (value / 10.0)
        elif match[2]:
            scale, offset = _factor(match[2], "dimensionless" if unit == "1" else unit)
            value = value * scale + offset
    if not math.isfinite(value):
        raise UnitError(f"expected {example}, got {text!r}, which is not finite")
    return value


_EXAMPLES = {
    "m": "a length such as '550 km'",
    "m^2": "an area such as '110 m2'",
    "m^3": "a volume such as '800 m3'",
    "s": "a time such as '60 s' or '24 h'",
    "W": "a power such as '120 kW'",
    "J": "an energy such as '40 kWh'",
    "kg": "a mass such as '2.1 t'",
    "K": "a temperature such as '350 K' or '60 degC'",
    "rad": "an angle such as '53 deg'",
    "1": "a number or a share such as '0.85' or '85 %'",
    "W/m^2": "a flux such as '250 W/m2'",
    "J/kg": "a specific energy such as '150 Wh/kg'",
    "W/kg": "a specific power such as '100 W/kg'",
    "kg/m^2": "an areal mass such as '8 kg/m2'",
    "bit/s": "a data rate such as '100 Gbit/s'",
    "USD": "an amount such as '3.4e6 USD'",
    "USD/kg": "a price such as '200 USD/kg'",
    "1/s": "a rate such as '2.5 %/year'",
    "dB": "a ratio in decibels such as '-3 dB'",
    "rad_si": "a dose such as '2 krad_si'",
    "byte": "a size such as '80 GB'",
    "FLOP/s": "a speed such as '989 TFLOP/s'",
    "byte/s": "a speed such as '3.35 TB/s'",
}


def describe(unit: str) -> str:
    """Words and an example for a unit, for messages and schemas."""
    return _EXAMPLES.get(unit, f"a quantity in {unit}")


_YEAR_S = 365.25 * 86400.0  # Julian year
_KWH_J = 3.6e6  # definition
_SAID = {  # units that people use in place of the SI ones: unit, its SI units
    "USD/J": ("USD/kWh", 1.0 / _KWH_J), "kg/J": ("kg/kWh", 1.0 / _KWH_J), "J/kg": ("Wh/kg", 3600.0), "J/m^3": ("kWh/m^3", _KWH_J),
    "USD/W/s": ("USD/kW/year", 1e-3 / _YEAR_S), "USD/bit": ("USD/(Mbit/s)/month", 1e-6 / (_YEAR_S / 12.0)),
    "rad": ("deg", math.pi / 180.0),
}  # fmt: skip
_TIMES = ((_YEAR_S, _YEAR_S, "years"), (2 * 86400.0, 86400.0, "days"), (7200.0, 3600.0, "h"), (120.0, 60.0, "min"))


def fmt(value: float, unit: str, digits: int = 3) -> str:
    """A value with its unit for people: `fmt(5.5e5, "m")` is '550 km'; powers of a unit keep the unit as it is.

    Rates are said by the year, lives in years, prices of energy by the kWh and of traffic by the Mbit/s and month.
    """
    if not math.isfinite(value):
        return f"{value} {unit}"
    if unit in ("m", "W", "bit/s", "bit", "FLOP/s", "byte", "byte/s", "Hz", "g", "rad_si"):
        return _prefixed(value, unit, digits)
    if unit == "s":
        return _time(value, digits)
    if unit == "1/s":
        return _rate(value, digits)
    if unit == "1":
        return _round(value, digits)
    if unit == "J":
        return _prefixed(value / 3600.0, "Wh", digits)
    if unit == "USD" and abs(value) >= 1e6:
        return _round(value / 1e6, digits) + " million USD"
    if unit == "kg" and abs(value) >= 1e4:
        return _round(value / 1e3, digits) + " t"
    said, scale = _SAID.get(unit, (unit, 1.0))
    return f"{_round(value / scale, digits)} {said}"


def _prefixed(value: float, unit: str, digits: int) -> str:
    size = abs(value)
    prefix, scale = next(((p, s) for p, s in _PREFIXES if size >= s), ("", 1.0)) if size else ("", 1.0)
    if unit == "m" and scale > 1e3:
        prefix, scale = "k", 1e3
    return f"{_round(value / scale, digits)} {prefix}{unit.replace('byte', 'B')}"


def _time(value: float, digits: int) -> str:
    size = abs(value)
    if 0.0 < size < 1.0:
        prefix, scale = next(((p, f) for p, f in _PREFIXES if size >= f), ("n", 1e-9))
        return f"{_round(value / scale, digits)} {prefix}s"
    scale, word = next(((s, w) for least, s, w in _TIMES if size >= least), (1.0, "s"))
    return f"{_round(value / scale, digits)} {word}"


def _rate(value: float, digits: int) -> str:
    """A share or a count in a year; in an hour where it is more than a thousand in a year."""
    yearly = value * _YEAR_S
    if abs(yearly) < 1.0 - 1e-9:
        return f"{_round(100.0 * yearly, digits)} %/year"
    return f"{_round(yearly, digits)}/year" if abs(yearly) < 1e3 else f"{_round(value * 3600.0, digits)}/h"


def _round(value: float, digits: int) -> str:
    if value == 0.0:
        return "0"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{round(value, places):,.{places}f}"
