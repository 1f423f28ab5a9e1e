"""A database that goes away, fills up or breaks: named, waited for, nothing lost and nothing twice."""

import shutil
import signal
import sqlite3
import subprocess
import threading
import time

import pytest

pytest.importorskip("sqlalchemy", reason="the live fabric is not installed: pip install 'aether-fabric[live]'")

from sqlalchemy import create_engine, text

from aether.base.errors import InputError
from aether.fabric.store import database as store_database
from aether.fabric.store.store import Entry, Receipt, Store, StoreAway, StoreBroken, StoreFull

RECEIPT = Receipt("p", "key", b"asked", "{}", 1.0)


def entry(n, size=10):
    return Entry(float(n), "submitted", "p", f"job {n}", "x" * size)


@pytest.fixture
def opened(tmp_path):
    """`opened(url)`: (store, what troubles it told of), closed at the end."""
    stores = []

    def make(url, patience_s=20.0):
        troubles = []
        stores.append(Store(url, tmp_path / "head", patience_s=patience_s, on_trouble=troubles.append))
        return stores[-1], troubles

    yield make
    for store in stores:
        store.close()


def subjects(store):
    return [e.subject for e in store.read()]


def lose_commit(store, monkeypatch, times, before):
    """The connection is lost at commit, `before` the database has it or after."""
    dialect, left = store._database.engine.dialect, [times]
    real = dialect.do_commit

    def lost(connection):
        if not left[0]:
            return real(connection)
        left[0] -= 1
        if not before:
            real(connection)
        if dialect.name == "sqlite":
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
        else:
            import psycopg

            connection.dbapi_connection.close()
            error = psycopg.OperationalError("server closed the connection unexpectedly")
        raise error

    monkeypatch.setattr(dialect, "do_commit", lost)


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_connection_lost_around_a_commit_stores_once(opened, database_url, monkeypatch, before):
    store, troubles = opened(database_url)
    store.append([entry(1)])
    lose_commit(store, monkeypatch, 1, before)
    assert store.append([entry(2), entry(3)], [RECEIPT]) == 2
    lose_commit(store, monkeypatch, 1, before)
    store.append([], [Receipt("p", "alone", b"asked", "{}", 1.0)])
    assert store.append([entry(4)]) == 4
    assert subjects(store) == ["job 1", "job 2", "job 3", "job 4"]
    assert store.receipt("p", "key") == RECEIPT
    assert store.receipt("p", "alone") is not None
    assert store.verify().ok
    assert len(troubles) == 2


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_an_append_that_was_given_up_may_be_made_again_and_is_stored_once(opened, database_url, monkeypatch, before):
    store, troubles = opened(database_url, patience_s=0.0)
    lose_commit(store, monkeypatch, 1, before)
    with pytest.raises(StoreAway):
        store.append([entry(1), entry(2)], [RECEIPT])
    assert store.append([entry(1), entry(2)], [RECEIPT]) == 1
    assert subjects(store) == ["job 1", "job 2"]
    assert len(troubles) == 1


def test_another_append_after_one_that_was_given_up_but_stored_is_refused(opened, database_url, monkeypatch):
    store, _ = opened(database_url, patience_s=0.0)
    lose_commit(store, monkeypatch, 1, before=False)
    with pytest.raises(StoreAway):
        store.append([entry(1)])
    with pytest.raises(StoreBroken, match="entry 1 is there already"):
        store.append([entry(2)])
    store.close()
    again, _ = opened(database_url)
    assert subjects(again) == ["job 1"]
    assert again.append([entry(2)]) == 2


def wait_until(what, within_s=30.0):
    until = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["in order", "at once"])
def test_a_server_that_is_away_for_a_while_is_waited_for(opened, postgres, how):
    store, troubles = opened(postgres.fresh())
    store.append([entry(1)])
    postgres.stop(how)
    work = threading.Thread(target=lambda: store.append([entry(2)], [RECEIPT]))
    try:
        work.start()
        wait_until(lambda: troubles)
        with pytest.raises(StoreAway):
            store.read()
    finally:
        postgres.start()
        work.join(60)
    assert subjects(store) == ["job 1", "job 2"]
    assert len(troubles) == 1
    assert "trying again for 20 s" in troubles[0]
    assert store.verify().ok


def test_patience_ends_and_the_next_append_finds_the_server_back(opened, postgres):
    store, troubles = opened(postgres.fresh(), patience_s=0.3)
    postgres.stop()
    try:
        with pytest.raises(StoreAway, match="postgresql://aether@"):
            store.append([entry(1)])
    finally:
        postgres.start()
    assert store.append([entry(1)]) == 1
    assert subjects(store) == ["job 1"]
    assert len(troubles) == 1


def test_closing_ends_the_wait_for_a_server(opened, postgres):
    store, troubles = opened(postgres.fresh(), patience_s=600.0)
    postgres.stop()
    raised = []

    def work():
        try:
            store.append([entry(1)])
        except StoreAway as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    try:
        thread.start()
        wait_until(lambda: troubles)
        store.close()
        thread.join(30)
    finally:
        postgres.start()
    assert raised


def test_somebody_elses_lock_is_waited_for(opened, database_url, monkeypatch):
    monkeypatch.setattr(store_database, "BUSY_S", 0.05)
    monkeypatch.setitem(store_database.CONNECT, "options", "-c lock_timeout=50ms")
    store, troubles = opened(database_url)
    other = create_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
    with other.connect() as connection:
        if other.dialect.name == "sqlite":
            connection.execute(text("UPDATE aether_schema SET version_num = version_num"))
        else:
            connection.execute(text("LOCK TABLE aether_log"))
        work = threading.Thread(target=lambda: store.append([entry(1)]))
        work.start()
        wait_until(lambda: troubles)
        connection.rollback()
        work.join(30)
    other.dispose()
    assert subjects(store) == ["job 1"]


class Scarce:
    """Makes the database refuse for want of room, and lets it go again."""

    def __init__(self, store, url):
        self.store, self.url = store, url

    def run(self, *statements):
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def fill(self):
        if self.url.startswith("sqlite"):
            with self.store._connection.begin():
                pages = self.store._connection.exec_driver_sql("PRAGMA page_count").scalar()
                self.store._connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}")
            return
        full = "RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'"
        self.run(
            f"CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF length(NEW.body) > 500 THEN {full}; END IF; RETURN NEW; END $$",
            "CREATE TRIGGER full_disk BEFORE INSERT ON aether_log FOR EACH ROW EXECUTE FUNCTION full_disk()",
        )  # fmt: skip

    def empty(self):
        if self.url.startswith("sqlite"):
            with self.store._connection.begin():
                self.store._connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
        else:
            self.run("DROP TRIGGER full_disk ON aether_log")


def test_a_full_disk_is_named_and_nothing_is_half_written(opened, database_url, tmp_path):
    store, troubles = opened(database_url)
    store.append([entry(1)])
    scarce = Scarce(store, database_url)
    scarce.fill()
    batch = [entry(2), *(entry(n, size=4000) for n in range(3, 40))]
    for _ in range(2):
        with pytest.raises(StoreFull):
            store.append(batch, [RECEIPT])
    assert subjects(store) == ["job 1"]
    assert store.receipt("p", "key") is None
    assert (tmp_path / "head").read_text().startswith("1:")  # it never leads
    scarce.empty()
    assert store.append(batch, [RECEIPT]) == 2
    assert len(store.read()) == 39
    assert store.verify().ok
    assert troubles == []


def test_what_was_stored_before_the_connection_was_lost_needs_no_room(opened, postgres, monkeypatch):
    url = postgres.fresh()
    store, _ = opened(url)
    lose_commit(store, monkeypatch, 1, before=False)
    store._on_trouble = lambda _: Scarce(store, url).fill()
    assert store.append([entry(1, size=4000)]) == 1
    assert store.last_seq == 1


@pytest.fixture
def little_disk(tmp_path):
    """A folder on a disk of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_is_really_full_is_named_and_recovered_from(opened, little_disk):
    store, troubles = opened(f"sqlite:///{little_disk / 'fabric.db'}")
    ballast = little_disk / "ballast"
    ballast.write_bytes(b"x" * 400_000)
    with pytest.raises(StoreFull):
        list(map(store.append, ([entry(n, size=1000)] for n in range(1, 10_000))))
    stored = store.last_seq
    assert stored > 10
    with pytest.raises(StoreFull):
        store.append([entry(n, size=1000) for n in range(500)])
    ballast.unlink()
    assert store.append([entry(stored + 1)]) == stored + 1
    assert [e.seq for e in store.read(limit=10_000)] == list(range(1, stored + 2))
    assert store.verify().ok
    assert [t for t in troubles if "head" not in t] == []


def test_what_is_acknowledged_is_flushed_first(opened, database_url):
    if not database_url.startswith("sqlite"):
        import psycopg

        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {database_url.rpartition('/')[2]} SET synchronous_commit = off")
    store, troubles = opened(database_url)
    asked = (
        ["PRAGMA synchronous", "PRAGMA journal_mode"]
        if database_url.startswith("sqlite")
        else ["SHOW synchronous_commit"]
    )
    with store._connection.begin():
        told = [store._connection.exec_driver_sql(query).scalar() for query in asked]
    assert told in ([2, "wal"], ["on"])  # 2: FULL
    assert troubles == []


def test_a_server_that_does_not_flush_is_told_of(opened, postgres):
    postgres.stop()
    postgres.start("-c", "fsync=off")
    try:
        _, troubles = opened(postgres.fresh())
        assert ["fsync = off" in t for t in troubles] == [True]
    finally:
        postgres.stop()
        postgres.start()


def test_a_damaged_file_is_named(opened, tmp_path):
    url, path = f"sqlite:///{tmp_path / 'fabric.db'}", tmp_path / "fabric.db"
    store, _ = opened(url)
    store.append([entry(n, size=2000) for n in range(1, 200)])
    store.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + b"\xff" * (len(whole) - 8192))
    with pytest.raises(StoreBroken, match=r"fabric\.db.*malformed"):
        opened(url)
    path.write_bytes(b"this is no database, but a letter" * 1000)
    with pytest.raises(StoreBroken, match=r"fabric\.db: file is not a database"):
        opened(url)


def test_a_file_that_is_moved_away_under_the_store_is_named(opened, tmp_path):
    store, _ = opened(f"sqlite:///{tmp_path / 'fabric.db'}")
    store.append([entry(1)])
    (tmp_path / "fabric.db").rename(tmp_path / "elsewhere.db")
    with pytest.raises(StoreBroken, match="was moved, removed or replaced"):
        store.append([entry(2)])


def test_a_head_file_that_cannot_be_written_stops_nothing_and_is_told_once(tmp_path):
    (tmp_path / "heads").mkdir()
    troubles = []
    store = Store(f"sqlite:///{tmp_path / 'fabric.db'}", tmp_path / "heads" / "head", on_trouble=troubles.append)
    (tmp_path / "heads").rmdir()
    store.append([entry(1)])
    store.append([entry(2)])
    assert len(troubles) == 1
    (tmp_path / "heads").mkdir()
    store.append([entry(3)])
    assert (tmp_path / "heads" / "head").read_text().startswith("3:")
    store.close()


def test_a_folder_that_keeps_no_database_is_named(tmp_path):
    with pytest.raises(InputError, match="cannot be opened"):
        Store(f"sqlite:///{tmp_path}")
