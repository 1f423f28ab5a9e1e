"""Whatever is done to the log behind the store's back is found, and named by its number."""

from contextlib import contextmanager

import pytest

pytest.importorskip("sqlalchemy", reason="the live fabric is not installed: pip install 'aether-fabric[live]'")

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from aether.base.errors import InputError
from aether.fabric.store import audit as store_audit
from aether.fabric.store import chain
from aether.fabric.store.audit import audit
from aether.fabric.store.store import Entry, Store, StoreBroken

LAST = 9


def entry(n):
    return Entry(float(n), "submitted", "p", f"job {n}", f'{{"n": {n}}}', "key 1")


@contextmanager
def tampering(url):
    """A connection from which nothing is safe."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            for change in ("update", "delete"):
                connection.execute(text(f"DROP TRIGGER IF EXISTS aether_log_{change}"))
        else:
            connection.execute(text("ALTER TABLE aether_log DISABLE TRIGGER ALL"))
        yield connection
    engine.dispose()


def tamper(url, *statements):
    with tampering(url) as connection:
        for statement in statements:
            connection.execute(text(statement))


@pytest.fixture
def url(database_url, tmp_path, monkeypatch):
    """Of a log of nine entries in two batches, closed, to be verified by pages of four."""
    monkeypatch.setattr(store_audit, "PAGE", 4)
    store = Store(database_url, tmp_path / "head")
    store.append([entry(n) for n in range(1, 5)])
    store.append([entry(n) for n in range(5, LAST + 1)])
    store.close()
    return database_url


def moved(old, new):
    return f"UPDATE aether_log SET seq = {new} WHERE seq = {old}"


def copied(old, new):
    return f"INSERT INTO aether_log SELECT {new}, time_s, kind, project, subject, body, actor, hash FROM aether_log WHERE seq = {old}"


def changed(what, seq):
    return f"UPDATE aether_log SET {what} WHERE seq = {seq}"


TAMPERED = {
    "body": (4, "was changed", [changed("body = '{}'", 4)]),
    "time": (1, "was changed", [changed("time_s = 1.5", 1)]),
    "actor of the last": (LAST, "was changed", [changed("actor = 'key 2'", LAST)]),
    "text moved between columns": (3, "was changed", [changed("kind = kind || project, project = ''", 3)]),
    "hash": (5, "was changed", [changed("hash = (SELECT hash FROM aether_log WHERE seq = 4)", 5)]),
    "deleted": (5, "was deleted", ["DELETE FROM aether_log WHERE seq = 5"]),
    "first deleted": (1, "was deleted, with all up to 2", ["DELETE FROM aether_log WHERE seq < 3"]),
    "deleted and closed up": (5, "was changed", ["DELETE FROM aether_log WHERE seq = 5", *(moved(n + 1, n) for n in range(5, LAST))]),
    "tail": (8, "is gone, with all up to 9", ["DELETE FROM aether_log WHERE seq >= 8"]),
    "all": (1, "is gone, with all up to 9", ["DELETE FROM aether_log"]),
    "swapped": (2, "was changed", [moved(2, -2), moved(7, 2), moved(-2, 7)]),
    "added in front": (0, "was added", [copied(1, 0)]),
    "added at the end": (10, "was changed", [copied(9, 10)]),
    "added in the middle": (6, "was changed", [*(moved(n, n + 1) for n in range(LAST, 5, -1)), copied(5, 6)]),
}  # fmt: skip


@pytest.mark.parametrize("how", TAMPERED)
def test_tampering_is_found_and_named_by_its_number(url, tmp_path, how):
    seq, what, statements = TAMPERED[how]
    assert audit(url, tmp_path / "head").ok
    tamper(url, *statements)
    found = audit(url, tmp_path / "head")
    assert (found.ok, found.first_bad, found.entries) == (False, seq, max(seq - 1, 0))
    assert what in found.what


def rewrite(url, first):
    """What a thief who knows the code would do: another body, and every hash after it made anew."""
    with tampering(url) as connection:
        rows = connection.execute(text("SELECT * FROM aether_log ORDER BY seq")).all()
        last = bytes(rows[first - 2].hash) if first > 1 else chain.GENESIS
        for row in rows[first - 1 :]:
            body = "{}" if row.seq == first else row.body
            changed = Entry(row.time_s, row.kind, row.project, row.subject, body, row.actor)
            last = chain.link(last, row.seq, changed)
            query = text("UPDATE aether_log SET body = :body, hash = :hash WHERE seq = :seq")
            connection.execute(query, {"body": body, "hash": last, "seq": row.seq})


def test_a_chain_made_anew_is_found_by_the_head_file_and_by_a_head_written_down(url, tmp_path):
    written = audit(url).head
    rewrite(url, 4)
    assert audit(url).ok  # nothing outside the database is known: this is what the heads are for
    for found in (audit(url, tmp_path / "head"), audit(url, head=written)):
        assert (found.first_bad, found.what.partition(" that ")[0]) == (LAST, "is not the entry")


def test_an_older_head_written_down_still_fits_a_log_that_grew(url, tmp_path):
    written = audit(url).head
    assert written.startswith(f"{LAST}:")
    store = Store(url, tmp_path / "head")
    store.append([entry(10)])
    assert store.verify(written).ok
    assert store.verify(written.replace("9:", "11:")).first_bad == 11
    with pytest.raises(InputError, match="SEQ:HASH"):
        store.verify("9:abc")
    store.close()


def test_a_log_that_lost_what_the_head_file_knows_is_not_written_on(url, tmp_path):
    tamper(url, "DELETE FROM aether_log WHERE seq >= 8")
    with pytest.raises(StoreBroken, match="knows of entry 9, which the log has lost"):
        Store(url, tmp_path / "head")
    (tmp_path / "head").rename(tmp_path / "old")
    store = Store(url, tmp_path / "head")
    assert store.append([entry(8)]) == 8
    store.close()


def test_a_head_file_that_lags_or_is_empty_or_missing_stops_nothing(url, tmp_path):
    head = tmp_path / "head"
    with tampering(url) as connection:
        fourth = connection.scalar(text("SELECT hash FROM aether_log WHERE seq = 4"))
    for content in (chain.told(4, bytes(fourth)), "", None):
        head.write_text(content) if content is not None else head.unlink()
        store = Store(url, head)
        assert store.verify().ok
        store.close()
    head.write_text("what?")
    with pytest.raises(InputError, match="is no place in the log"):
        Store(url, head)


def test_verifying_goes_on_beside_a_writer(url, tmp_path):
    store = Store(url, tmp_path / "head")
    assert audit(url, tmp_path / "head").ok
    store.append([entry(10)])
    assert audit(url, tmp_path / "head").entries == 10
    store.close()


def test_what_is_not_there_is_not_made_by_looking(tmp_path):
    with pytest.raises(InputError, match="is not there"):
        audit(f"sqlite:///{tmp_path / 'fabric.db'}")
    assert list(tmp_path.iterdir()) == []


def test_bytes_that_are_no_text_are_found(tmp_path):
    url = f"sqlite:///{tmp_path / 'fabric.db'}"
    store = Store(url)
    store.append([entry(n) for n in range(1, 4)])
    store.close()
    tamper(
        url,
        "UPDATE aether_log SET body = CAST(x'ff80' AS TEXT) WHERE seq = 3",
        "UPDATE aether_log SET body = x'ff80' WHERE seq = 2",
    )
    assert audit(url).first_bad == 2
    tamper(url, """UPDATE aether_log SET body = '{"n": 2}' WHERE seq = 2""")
    assert audit(url).first_bad == 3


@settings(max_examples=30)
@given(data=st.data())
def test_any_one_change_anywhere_is_found_where_it_is(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("db")
    url, count = f"sqlite:///{folder / 'fabric.db'}", data.draw(st.integers(1, 12))
    store = Store(url, folder / "head")
    store.append([entry(n) for n in range(1, count + 1)])
    store.close()
    seq = data.draw(st.integers(1, count))
    column = data.draw(st.sampled_from(["kind", "project", "subject", "body", "actor"]))
    old = dict(zip(("time_s", "kind", "project", "subject", "body", "actor"), [getattr(entry(seq), f) for f in Entry.__slots__], strict=True))  # fmt: skip
    new = data.draw(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8).filter(lambda t: t != old[column])
    )
    if data.draw(st.booleans()):
        tamper(url, f"DELETE FROM aether_log WHERE seq = {seq}")
    else:
        with tampering(url) as connection:
            connection.execute(text(f"UPDATE aether_log SET {column} = :new WHERE seq = {seq}"), {"new": new})
    assert audit(url, folder / "head").first_bad == seq
