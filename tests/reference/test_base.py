"""Clock, random streams, registry and the event search."""

from datetime import UTC, datetime

import numpy as np
import pytest

from aether.base import registry
from aether.base.clock import Clock, julian_date, stream
from aether.base.errors import InputError, Problem, nearest
from aether.base.events import find_events
from aether.base.registry import Registry


def test_julian_date_of_j2000_is_its_definition():
    assert julian_date(datetime(2000, 1, 1, 12, tzinfo=UTC)) == 2451545.0


def test_windows_cover_every_tick_once_at_its_middle():
    clock = Clock(datetime(2026, 6, 21, tzinfo=UTC), 60.0, 100)
    times = np.concatenate([t for _, t in clock.windows(33)])
    assert np.array_equal(times, (np.arange(100) + 0.5) * 60.0)


def test_named_streams_repeat_and_do_not_depend_on_one_another():
    first = stream(1, "faults").random(4)
    assert np.array_equal(first, stream(1, "faults").random(4))
    assert not np.array_equal(first, stream(1, "links").random(4))
    assert not np.array_equal(first, stream(2, "faults").random(4))


def test_a_sine_is_found_above_zero_where_it_is():
    t = np.linspace(0.0, 4 * np.pi, 2001)
    events = find_events("test", "sine", t, np.sin(t))
    assert [round(e.start_s / np.pi, 4) for e in events] == [0.0, 2.0]
    assert [round(e.end_s / np.pi, 4) for e in events] == [1.0, 3.0]
    assert events[0].value == pytest.approx(1.0, abs=1e-4)


def test_an_interval_open_at_both_ends_is_kept():
    t = np.arange(5.0)
    (event,) = find_events("test", "all", t, np.ones(5), limit=2.0, above=False)
    assert (event.start_s, event.end_s) == (0.0, 4.0)


def test_registry_names_the_nearest_choice():
    colours: Registry[int] = Registry("colour")
    colours.add("green")(1)
    with pytest.raises(InputError, match="did you mean 'green'"):
        colours.get("gren", "paint")
    with pytest.raises(ValueError, match="twice"):
        colours.add("green")(2)
    assert nearest("zzz", ["green"]) == ""


def test_all_problems_are_told_at_once():
    error = InputError([Problem("a", "is wrong", file="f.yaml", line=3), Problem("b", "too")])
    assert str(error) == "2 problems:\nf.yaml:3: a: is wrong\nb: too"


def test_a_plug_in_registers_by_entry_point_and_does_not_replace_ours(monkeypatch):
    class Point:
        def __init__(self, name, value):
            self.name, self.value = name, value

        def load(self):
            return self.value

    asked = []
    monkeypatch.setattr(
        registry, "entry_points", lambda group: asked.append(group) or [Point("mine", 7), Point("ours", 8)]
    )
    policies: Registry[int] = Registry("ring policy")
    policies.add("ours")(1)
    assert (policies["mine"], policies["ours"]) == (7, 1)
    assert list(policies) == ["mine", "ours"]
    assert asked == ["aether.ring_policy"]
