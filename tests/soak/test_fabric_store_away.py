"""The database goes away for a minute, and its disk is full: told by name, nothing lost, and the fabric goes on by itself."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("fastapi", reason="the live fabric is not installed: pip install 'aether-fabric[live]'")

import fabric_books as check
import fabric_load as under
import fabric_programs as programs

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc and prctl of Linux"),
]
AWAY_S = 45.0  # the store waits 120 s
DISK_BYTES = 4 << 20


def quick(rng):
    return programs.counter(rng, (10, 60), 0.25)


MAKERS = (programs.short, programs.array, programs.gang, quick)


def ready(fabric):
    """(status, why) of /ready."""
    status, said = fabric.client.once("GET", "/ready")
    return status, said["why"]


def books_are_right(fabric, load, jobs):
    books, lines = check.Books.of(fabric), check.read_lines(fabric)
    check.submissions(books, load.sent, jobs)
    assert check.meters(fabric, books) > 10
    check.alone(books, lines)
    check.counters(fabric, books, lines, load.sent)
    check.chain(fabric)


def told_of_the_store(fabric):
    """Whether an alarm names the store."""
    return any(a.startswith("store: ") for a in fabric.client.ask("GET", "/v1/fabric")["alarms"])


class Refused:
    """A submission that does not ask again by itself; the fabric may still do it, so that `repeat` must find it done once."""

    def __init__(self, fabric):
        self.fabric = fabric
        self.task, self.expected = programs.short(random.Random(1))
        self.task["envs"]["LINES"] = str(fabric.lines)
        self.status, said = self.ask()
        self.title = said["title"]

    def ask(self):
        return self.fabric.client.once("POST", "/v1/jobs", {"task": self.task}, "refused", 30.0)

    def repeat(self, load):
        """Ask again with the same key until it is acknowledged."""
        status, said = under.until(lambda: (r := self.ask())[0] == 201 and r, 60)
        assert self.ask() == (status, said)
        self.expected.jobs = tuple(said["jobs"])
        with load.lock:
            load.sent.append(self.expected)


def test_a_database_that_is_away_for_a_while_loses_nothing(postgres, tmp_path):
    with under.Fabric(tmp_path / "fabric", db=postgres.fresh()) as fabric:
        under.keep_journals(fabric)
        with under.Load(fabric, MAKERS) as load:
            under.until(lambda: len(load.sent) > 5, 30)
            pid = fabric.pid
            postgres.stop(signal.SIGINT)
            try:
                begun = time.monotonic()
                before = len(load.sent)
                _, why = under.until(lambda: (r := ready(fabric))[0] == 503 and r, 30)
                assert "postgresql://" in why
                refused = Refused(fabric)
                assert (refused.status, refused.title) == (503, "store away")
                assert told_of_the_store(fabric)
                assert len(load.sent) <= before + len(load.threads)  # those that were under way
                time.sleep(max(AWAY_S - (time.monotonic() - begun), 0.0))
            finally:
                postgres.start()
            back = time.monotonic()
            under.until(lambda: ready(fabric) == (200, ""), 30, lambda: ready(fabric))
            took_s = time.monotonic() - back
            refused.repeat(load)
            count = len(load.sent)
            under.until(lambda: len(load.sent) > count + 5, 60)
            jobs = load.quiet(120)
            assert fabric.pid == pid == int((fabric.folder / "control.pid").read_text())
        print(
            {
                "away s": AWAY_S,
                "ready again after s": round(took_s, 1),
                "refused": dict(load.refused),
                "submissions": len(load.sent),
            }
        )
        books_are_right(fabric, load, jobs)


@pytest.fixture
def small_disk(tmp_path):
    """A folder with room for little, where root may make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", folder], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"no small disk can be mounted here: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def fill(folder):
    """Leave no room; the file that took it."""
    with (folder / "filler").open("wb", buffering=0) as out:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    out.write(b"x" * size)
            except OSError:
                continue
    return folder / "filler"


@pytest.mark.skipif(os.name != "posix", reason="mount of POSIX")
def test_a_full_disk_under_the_log_is_told_and_nothing_is_lost(small_disk, tmp_path):
    with under.Fabric(tmp_path / "fabric", db=f"sqlite:///{small_disk / 'fabric.db'}") as fabric:
        under.keep_journals(fabric)
        with under.Load(fabric, MAKERS, clients=2, most=15) as load:
            under.until(lambda: len(load.sent) > 3, 30)
            filler = fill(small_disk)
            _, why = under.until(lambda: (r := ready(fabric))[0] == 503 and r, 30)
            assert "full" in why
            under.until(lambda: told_of_the_store(fabric), 10)
            refused = Refused(fabric)
            assert (refused.status, refused.title) == (507, "store full")
            time.sleep(10.0)
            assert not load.faults, load.faults
            filler.unlink()
            under.until(lambda: ready(fabric) == (200, ""), 30, lambda: ready(fabric))
            refused.repeat(load)
            count = len(load.sent)
            under.until(lambda: len(load.sent) > count + 3, 60)
            jobs = load.quiet(120)
        books_are_right(fabric, load, jobs)
