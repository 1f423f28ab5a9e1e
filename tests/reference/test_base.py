"""Clock, random streams, registry and the event search."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.base import registry
from aether.base.clock import Clock, julian_date, stream
from aether.base.errors import InputError, Problem, nearest
from aether.base.events import Search
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
    search = Search()
    search.add(t, np.sin(t)[:, None])
    found = search.found()
    assert np.round(found.start_s / np.pi, 4).tolist() == [0.0, 2.0]
    assert np.round(found.end_s / np.pi, 4).tolist() == [1.0, 3.0]
    assert found.value[0] == pytest.approx(1.0, abs=1e-4)


def test_an_interval_open_at_both_ends_is_kept():
    search = Search(2.0, above=False)
    search.add(np.arange(5.0), np.ones((5, 1)))
    found = search.found()
    assert (found.start_s.tolist(), found.end_s.tolist()) == ([0.0], [4.0])


def intervals(value, above):
    """The intervals of one quantity by looking at one sample after the other: begin, end, extreme."""
    found, begin, most = [], None, 0.0
    for t, v in enumerate(value):
        inside, before = (v > 0.5) if above else (v < 0.5), value[t - 1] if t else None
        if inside and begin is None:
            begin, most = t if before is None else t - 1 + (0.5 - before) / (v - before), v
        if begin is not None and not inside:
            found.append((begin, t - 1 + (0.5 - before) / (v - before), most))
            begin = None
        most = (max if above else min)(most, v)
    return found if begin is None else [*found, (begin, len(value) - 1.0, most)]


@given(st.lists(st.lists(st.sampled_from([0.0, 0.3, 0.7, 1.0]), min_size=3, max_size=3), min_size=1, max_size=30),
       st.booleans(), st.lists(st.integers(1, 29), max_size=6))  # fmt: skip
def test_intervals_are_the_same_for_any_cut_into_windows(samples, above, cuts):
    value, time_s, search = np.array(samples), np.arange(float(len(samples))), Search(np.full(3, 0.5), above)
    for rows in np.split(np.arange(len(samples)), sorted({c for c in cuts if c < len(samples)})):
        search.add(time_s[rows], value[rows])
    found = search.found()
    for k in range(3):
        mine = np.stack([found.start_s, found.end_s, found.value], axis=1)[found.subject == k]
        assert mine.ravel() == pytest.approx(np.array(intervals(value[:, k], above)).ravel(), abs=1e-12)


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
