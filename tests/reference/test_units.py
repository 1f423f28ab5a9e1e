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


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (0.09 / (365.25 * 86400), "1/s", "9.00 %/year"), (4.0 / (365.25 * 86400), "1/s", "4.00/year"), (0.5 / 3600, "1/s", "0.500/h"),
        (0.065 / 3.6e6, "USD/J", "0.0650 USD/kWh"), (3.0 / 1e6 / (365.25 * 86400 / 12), "USD/bit", "3.00 USD/(Mbit/s)/month"),
        (0.3 / 1e3 / (365.25 * 86400) * 1e3, "USD/W/s", "300 USD/kW/year"), (5 * 365.25 * 86400, "s", "5.00 years"),
        (90 * 86400.0, "s", "90.0 days"), (64800.0, "s", "18.0 h"), (1260.0, "s", "21.0 min"), (60.0, "s", "60.0 s"), (0.012, "s", "12.0 ms"),
        (5.4e6, "J", "1.50 kWh"), (540e3, "J/kg", "150 Wh/kg"), (3.7e6, "USD", "3.70 million USD"), (20e3, "USD", "20,000 USD"),
        (1e5, "kg", "100 t"), (1360.0, "kg", "1,360 kg"), (math.radians(110), "rad", "110 deg"), (80e9, "byte", "80.0 GB"),
        (0.493 / 3.6e6, "kg/J", "0.493 kg/kWh"), (0.0, "1/s", "0 %/year"), (0.0, "s", "0 s"),
    ],
)  # fmt: skip
def test_si_values_are_said_as_people_say_them(value, unit, said):
    assert fmt(value, unit) == said


@pytest.mark.parametrize(
    ("value", "unit"), [(2.85e-9, "1/s"), (1.39e-4, "USD/J"), (3.8e-13, "USD/bit"), (9.5e-9, "USD/W/s"), (4.7e8, "s")]
)
def test_what_is_said_of_a_price_or_rate_reads_back(value, unit):
    assert parse(fmt(value, unit, 12), unit) == pytest.approx(value, rel=1e-9)
