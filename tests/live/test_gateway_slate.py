"""What was delivered is metered once, whatever is killed, cut short or refused in between."""

import os
import resource
import signal
import sqlite3
import tempfile
from contextlib import suppress
from pathlib import Path
from unittest import mock

import pytest

pytest.importorskip("aiohttp", reason="the live fabric is not installed: pip install 'aether-fabric[live]'")

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from aether.fabric.gateway import slate
from aether.fabric.gateway.meter import Meter, Whose

WHOSE = [Whose(f"k{n}", f"p{n}", "d", "m", "") for n in range(3)]
TOKENS = st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(0, 5))


def summed(tallies):
    made = {}
    for t in tallies:
        row = made.setdefault(t.project, [0] * 5)
        for i, name in enumerate(("requests", "errors", "input_tokens", "output_tokens", "cached_tokens")):
            row[i] += getattr(t, name)
    return made


class Metering(RuleBasedStateMachine):
    """A gateway's meter as clients and accidents drive it, beside what they were given."""

    @initialize()
    def born(self):
        self.held = tempfile.TemporaryDirectory()
        self.folder, self.time_s = Path(self.held.name), 1e9
        self.given, self.under_way, self.told = {}, [], []
        self.awake()

    def awake(self):
        self.meter = Meter(self.folder / "journal.db", lambda: self.time_s)

    def book(self, project, tokens, error):
        row = self.given.setdefault(project, [0] * 5)
        for i, more in enumerate((1, int(error), *tokens)):
            row[i] += more

    @rule(whose=st.sampled_from(WHOSE), tokens=TOKENS)
    def begins(self, whose, tokens):
        account = self.meter.begin(whose)
        account.delivered(tokens)
        self.under_way.append([account, whose.project, tokens])

    @rule(whose=st.sampled_from(WHOSE), tokens=TOKENS)
    def is_answered_whole(self, whose, tokens):
        self.meter.begin(whose).end(tokens)
        self.book(whose.project, tokens, error=False)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), tokens=TOKENS)
    def delivers(self, data, tokens):
        it = data.draw(st.sampled_from(self.under_way))
        it[0].delivered(tokens)
        it[2] = tokens

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), tokens=TOKENS, error=st.booleans())
    def ends(self, data, tokens, error):
        it = data.draw(st.sampled_from(self.under_way))
        self.under_way.remove(it)
        it[0].end(tokens, error)
        self.book(it[1], tokens, error)

    @rule()
    def flushes(self):
        self.time_s += 0.25
        self.meter.flush()

    @rule()
    def flushes_onto_a_disk_that_takes_nothing(self):
        holder = sqlite3.connect(self.folder / "journal.db", isolation_level=None)
        self.meter._store.execute("PRAGMA busy_timeout=1")
        holder.execute("BEGIN IMMEDIATE")
        with suppress(sqlite3.OperationalError):
            self.meter.flush()
        holder.close()

    @rule()
    def control_stores(self):
        tallies = self.meter.unsent()
        self.told += tallies
        if tallies:
            self.meter.acknowledge(tallies[-1].n)

    @rule()
    def is_killed(self):
        for _, project, tokens in self.under_way:
            if any(tokens):
                self.book(project, tokens, error=True)
        self.under_way = []
        self.meter._store.close()  # the system takes back what a dead process held open
        self.meter._slate.close()
        self.awake()
        self.control_stores()
        assert summed(self.told) == self.given

    @rule()
    def is_killed_between_its_tallies_and_the_end_of_the_slate(self):
        with mock.patch.object(slate, "remove"):
            self.meter.flush()
        self.is_killed()

    @invariant()
    def few_files_are_left(self):
        assert len(slate.numbers(self.folder)) <= 40

    def teardown(self):
        if hasattr(self, "meter"):
            try:
                self.is_killed()
            finally:
                self.meter.close()
                self.held.cleanup()


TestMetering = Metering.TestCase
TestMetering.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def test_lines_that_are_none_are_passed_over(tmp_path):
    meter = Meter(tmp_path / "journal.db", lambda: 5.0)
    meter.begin(WHOSE[0]).delivered((1, 2, 0))
    meter.begin(WHOSE[1]).end((3, 4, 0))
    (path,) = tmp_path.glob("delivered-*.log")
    with path.open("ab") as out:
        out.write(
            b'[1,1,5000,9\n{"a":1}\n[]\n[7,1,5000,9,9,9]\n[1,0,5000,-1,2,3]\n["x"]\n\xff\n[2,1,5000,8,8,8]\n[1,0,50'
        )
    meter._store.close()
    again = Meter(tmp_path / "journal.db", lambda: 6.0)
    assert summed(again.unsent()) == {"p0": [1, 1, 1, 2, 0], "p1": [1, 0, 3, 4, 0]}
    assert {(t.start_ms, t.end_ms) for t in again.unsent()} == {(5000, 5000)}
    meter._slate.close()
    again.close()


def test_a_disk_that_is_full_delays_no_answer_and_loses_no_token(tmp_path):
    meter = Meter(tmp_path / "journal.db", lambda: 5.0)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))
    try:
        account = meter.begin(WHOSE[0])
        account.delivered((1, 2, 0))
        meter.begin(WHOSE[1]).end((3, 4, 0))
        with pytest.raises((OSError, sqlite3.Error)):
            meter.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    account.end((1, 5, 0))
    meter.flush()
    assert summed(meter.unsent()) == {"p0": [1, 0, 1, 5, 0], "p1": [1, 0, 3, 4, 0]}
    assert len(slate.numbers(tmp_path)) == 1
    meter.close()


def test_only_its_owner_reads_what_is_delivered(tmp_path):
    meter = Meter(tmp_path / "journal.db", lambda: 5.0)
    (path,) = tmp_path.glob("delivered-*.log")
    assert os.stat(path).st_mode & 0o777 == 0o600
    meter.close()
