"""The store: what goes in comes out, in its order, from one writer, over both databases."""

import math
import subprocess
import sys
import threading

import pytest

pytest.importorskip("sqlalchemy", reason="the live fabric is not installed: pip install 'aether-fabric[live]'")

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.exc import DBAPIError

from aether.base.errors import InputError
from aether.fabric.store import database as store_database
from aether.fabric.store.store import Entry, Receipt, Store
from aether.fabric.store.tables import SCHEMA, metadata
from store_kills import kill_often

words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
entries = st.builds(Entry, st.floats(allow_nan=False, allow_infinity=False), words, words, words, words, words)


def entry(n, kind="submitted", project="p"):
    return Entry(float(n), kind, project, f"job {n}", f'{{"n": {n}}}', "key 1")


@pytest.fixture
def store(database_url, tmp_path):
    made = Store(database_url, tmp_path / "head")
    yield made
    made.close()


def engine(url):
    return create_engine(url.replace("postgresql://", "postgresql+psycopg://"))


def test_entries_come_back_as_they_went_in_with_numbers_from_1(store):
    assert store.append([entry(1), entry(2)]) == 1
    assert store.append([entry(3)]) == 3
    back = store.read()
    assert [e.seq for e in back] == [1, 2, 3]
    assert [Entry(e.time_s, e.kind, e.project, e.subject, e.body, e.actor) for e in back] == [
        entry(1),
        entry(2),
        entry(3),
    ]
    assert store.last_seq == 3


@settings(max_examples=40)
@given(batches=st.lists(st.lists(entries, max_size=4), max_size=4))
def test_any_text_and_time_survives_and_verifies(batches, tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('db') / 'fabric.db'}"
    store = Store(url)
    try:
        for batch in batches:
            store.append(batch)
        back = store.read()
        assert [Entry(e.time_s, e.kind, e.project, e.subject, e.body, e.actor) for e in back] == [
            e for batch in batches for e in batch
        ]
        assert store.verify().ok
    finally:
        store.close()


def test_awkward_text_survives_in_each_database(store):
    awkward = [Entry(-0.0, "ü", "", "a'b\"c\\", "\U0001f6f0\n\t%s ? :x", ""), Entry(1e-300, "k", "p", "é", "é")]
    store.append(awkward)
    assert [(e.time_s, e.kind, e.subject, e.body) for e in store.read()] == [
        (e.time_s, e.kind, e.subject, e.body) for e in awkward
    ]
    assert store.verify().ok


@pytest.mark.parametrize(
    ("time_s", "subject"), [(math.nan, "s"), (math.inf, "s"), (0.0, "a\0b"), (0.0, "half a pair \ud800")]
)
def test_what_no_database_keeps_is_refused_before_anything_is_stored(store, time_s, subject):
    with pytest.raises(ValueError):  # noqa: PT011 - surrogates have an error of their own
        store.append([entry(1), Entry(time_s, "k", "p", subject, "{}")])
    assert store.read() == []
    assert store.append([entry(1)]) == 1


def test_reading_picks_by_kind_project_subject_and_place(store):
    store.append([entry(1), entry(2, kind="ended"), entry(3, project="q"), entry(1, kind="ended")])

    def seqs(**wanted):
        return [e.seq for e in store.read(**wanted)]

    assert seqs(after=1, limit=2) == [2, 3]
    assert seqs(kinds=["ended"]) == [2, 4]
    assert seqs(kinds=[]) == []
    assert seqs(project="q") == [3]
    assert seqs(subject="job 1") == [1, 4]
    assert seqs(subject="job 1", kinds=["ended"], project="p", after=3) == [4]


def test_a_receipt_is_stored_with_its_entries_or_not_at_all(store):
    receipt = Receipt("p", "key", b"\x00asked", '{"id": 1}', 5.0)
    store.append([entry(1)], [receipt])
    assert store.receipt("p", "key") == receipt
    assert store.receipt("q", "key") is None
    with pytest.raises(ValueError, match="key is taken"):
        store.append([entry(2)], [Receipt("p", "key", b"other", "{}", 6.0)])
    assert [e.seq for e in store.read()] == [1]
    assert store.append([entry(2)]) == 2
    store.append([], [Receipt("p", "alone", b"", "{}", 7.0)])
    assert store.receipt("p", "alone") is not None
    assert store.verify().ok


def test_the_last_two_snapshots_are_kept_and_a_damaged_one_gives_way(store, database_url):
    assert store.snapshot() is None
    store.append([entry(n) for n in range(9)])
    for seq in (2, 5, 8):
        store.save_snapshot(seq, f"state {seq}".encode() * 1000)
    store.save_snapshot(8, b"state 8")
    assert store.snapshot() == (8, b"state 8")
    other = engine(database_url)
    with other.begin() as connection:
        assert connection.scalars(text("SELECT seq FROM aether_snapshots ORDER BY seq")).all() == [5, 8]
        connection.execute(text("UPDATE aether_snapshots SET body = :b WHERE seq = 8"), {"b": b"damaged"})
    other.dispose()
    assert store.snapshot() == (5, b"state 5" * 1000)
    with pytest.raises(ValueError, match="of a log with 9"):
        store.save_snapshot(10, b"")


def test_a_store_that_is_opened_again_goes_on_where_it_was(database_url, tmp_path):
    for n in range(3):
        store = Store(database_url, tmp_path / "head")
        assert store.append([entry(n)]) == n + 1
        store.close()
    store = Store(database_url, tmp_path / "head")
    assert (store.last_seq, store.verify().entries) == (3, 3)
    store.close()


def test_a_second_writer_is_refused_and_the_first_goes_on(store, database_url, monkeypatch):
    monkeypatch.setattr(store_database, "LOCK_WAIT_S", 0.1)
    with pytest.raises(InputError, match="has a writer already"):
        Store(database_url)
    other = "import sys\nfrom aether.fabric.store import store, database as d\nd.LOCK_WAIT_S = 0.1\nstore.Store(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", other, database_url], capture_output=True, text=True, timeout=60)
    assert "has a writer already" in done.stderr
    assert store.append([entry(1)]) == 1
    store.close()
    again = Store(database_url)
    assert again.last_seq == 1
    again.close()


def test_threads_append_and_read_at_once_without_gaps(store):
    def work(name):
        for n in range(20):
            store.append([entry(n, kind=name), entry(n, kind=name)])
            store.read(after=store.last_seq - 2)

    threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = store.verify()
    assert (found.ok, found.entries) == (True, 160)


def test_the_migrations_make_what_the_tables_say(store, database_url):
    store.close()
    other = engine(database_url)
    with other.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": SCHEMA, "compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []
    assert set(inspect(other).get_table_names()) == {SCHEMA, *metadata.tables}
    other.dispose()


def test_a_store_of_a_newer_version_is_refused_by_name(store, database_url):
    store.close()
    other = engine(database_url)
    with other.begin() as connection:
        connection.execute(text(f"UPDATE {SCHEMA} SET version_num = '9999'"))
    other.dispose()
    with pytest.raises(InputError, match=r"written by a newer Aether \(schema 9999"):
        Store(database_url)


@pytest.mark.parametrize("change", ["UPDATE aether_log SET body = '{}'", "DELETE FROM aether_log WHERE seq = 1"])
def test_the_log_refuses_to_be_changed(store, database_url, change):
    store.append([entry(1)])
    other = engine(database_url)
    with pytest.raises(DBAPIError, match="append-only"), other.begin() as connection:
        connection.execute(text(change))
    other.dispose()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://x/y", "'mysql' is no database"),
        ("fabric.db", "no URL of a database"),
        ("sqlite://", "in memory would keep nothing"),
        ("sqlite:////nowhere/at/all/fabric.db", "cannot be opened: unable to open"),
        ("postgresql://u:secret@127.0.0.1:1/x", "cannot be opened: connection"),
    ],
)
def test_a_wrong_url_is_named_without_its_password(url, says):
    with pytest.raises(InputError) as caught:
        Store(url)
    assert says in str(caught.value)
    assert "secret" not in str(caught.value)


def test_what_was_acknowledged_survives_kills(tmp_path):
    kill_often(f"sqlite:///{tmp_path / 'fabric.db'}", tmp_path / "head", kills=3, seed=1)
