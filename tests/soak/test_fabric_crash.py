"""A hundred kill -9 over each database, of everything that a fabric is made of, while clients submit and cancel."""

import random
import signal
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
KILLS = 100
SERVER_RESTARTS = 4  # of PostgreSQL, at once, as after a cut of its power
MOST_BYTES = 500e6
WEIGHTS = {"control": 18, "runtime": 34, "keeper": 34, "twin": 9, "machine": 5}
MAKERS = (
    programs.short,
    programs.short,
    programs.array,
    programs.gang,
    programs.counter,
    programs.counter,
    programs.cancelled,
)


def test_kills_of_everything_lose_nothing_that_was_acknowledged(database_url, tmp_path, request, record_property):
    server = None if database_url.startswith("sqlite") else request.getfixturevalue("postgres")
    rng = random.Random(database_url.partition(":")[0])
    with under.Fabric(tmp_path / "fabric", db=database_url) as fabric:
        under.keep_journals(fabric)
        with under.Load(fabric, MAKERS) as load, under.Assassin(fabric, 1, WEIGHTS) as assassin:
            restarts = 0
            while sum(assassin.kills.values()) < KILLS:
                assassin.strike()
                if server is not None and sum(assassin.kills.values()) > (restarts + 1) * KILLS / (SERVER_RESTARTS + 1):
                    server.stop(signal.SIGQUIT)
                    server.start()
                    restarts += 1
                assert not load.faults, load.faults
                time.sleep(rng.expovariate(1.0))
            jobs = load.quiet(180)
            time.sleep(under.ORPHAN_S + 1.0)
        assert assassin.orphans == []
        assert min(assassin.kills[k] for k in WEIGHTS) > 0
        books, lines = check.Books.of(fabric), check.read_lines(fabric)
        check.submissions(books, load.sent, jobs)
        metered = check.meters(fabric, books)
        followed, given_up, overlapped = check.alone(books, lines)
        resumed = check.counters(fabric, books, lines, load.sent)
        entries = check.chain(fabric)
        fabric.measure()
        assert fabric.peak_bytes < MOST_BYTES
        assert followed > 10
        assert resumed > 5
        told = {
            "kills": dict(assassin.kills), "submissions": len(load.sent), "jobs": len(jobs), "log": entries, "metered": metered,
            "followed": followed, "given up": given_up, "overlapped": overlapped, "resumed": resumed, "peak MB": round(fabric.peak_bytes / 1e6),
            "longest recovery s": round(max(fabric.recoveries_s), 1), "lost runtimes": books.counts["runtime_lost"],
        }  # fmt: skip
        record_property("numbers", told)
        print(told)
        check.replayed(fabric)
