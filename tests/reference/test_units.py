"""Units at the door, against the definitions of the units themselves."""

import math

import pytest

from aether.base.units import UnitError, fmt, parse


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("550 km", "m", 550e3), ("120 kW", "W", 120e3), ("200 USD/kg", "USD/kg", 200.0), ("22 %", "1", 0.22), ("60 degC", "K", 333.15),
        ("40 kWh", "J", 144e6), ("110 m2", "m^2", 110.0), ("53 deg", "rad", math.radians(53)), ("250 W/m2", "W/m^2", 250.0),
        ("2.5 %/year", "1/s", 0.025 / (365.25 * 86400)), ("3.35 TB/s", "byte/s", 3.35e12), ("989 TFLOP/s", "FLOP/s", 989e12),
        ("100 Gbit/s", "bit/s", 1e11), ("-3 dB", "dB", -3.0), ("3 dB", "1", 10**0.3), ("18 h", "s", 64800.0), ("0.85", "1", 0.85),
    ],
)  # fmt: skip
def test_quantity_with_unit_becomes_si(text, unit, value):
    assert parse(text, unit) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    "value",
    [
        550,
        550.0,
        "550",
        "5 kg",
        "nan m",
        "inf m",
        "1e999 km",
        "1 parsecz",
        "",
        None,
        True,
        "km",
        "5 m; import os",
        [5],
        "1" * 400 + " m",
    ],
)
def test_what_is_no_length_is_refused_with_an_example(value):
    with pytest.raises(UnitError) as error:
        parse(value, "m")
    assert "550 km" in str(error.value) or "known unit" in str(error.value)


def test_values_leave_with_a_unit_people_read():
    assert fmt(5.5e5, "m") == "550 km"
    assert fmt(122e3, "W") == "122 kW"
    assert fmt(1.5e12, "bit/s") == "1.50 Tbit/s"
    assert fmt(0.0, "W") == "0 W"
