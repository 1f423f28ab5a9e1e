"""One fabric through one fault of each kind: its control process and a runtime killed, a ship lost and found, contact lost."""

import sqlite3
import sys
from contextlib import closing

import pytest

pytest.importorskip("fastapi", reason="the live fabric is not installed: pip install 'aether-fabric[live]'")

import random

import fabric_books as check
import fabric_load as under
import fabric_programs as programs

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc and prctl of Linux")
HOSTS = ("dusk/0", "dusk/1", "virginia")


def quick(rng):
    return programs.counter(rng, (5, 15), 0.2)


MAKERS = (programs.short, programs.array, quick)


@pytest.fixture(scope="module")
def fabric(tmp_path_factory):
    with under.Fabric(tmp_path_factory.mktemp("faults") / "fabric", hosts=HOSTS) as made:
        under.keep_journals(made)
        yield made


@pytest.fixture(scope="module")
def sent():
    """All submissions to the fabric, for the books at the end."""
    return []


def submit(fabric, sent, steps, where):
    """A counter of so many steps at some hosts, under way there: its name, and its host."""
    task, expected = programs.counter(random.Random(0), (steps, steps), 0.2)
    task["orbit"]["where"] = list(where)
    task["envs"]["LINES"] = str(fabric.lines)
    expected.jobs = tuple(fabric.client.ask("POST", "/v1/jobs", {"task": task})["jobs"])
    sent.append(expected)
    name = expected.jobs[0]
    under.until(lambda: job(fabric, name)["checkpoint_bytes"] > 0, 60, lambda: job(fabric, name))
    return name, on(job(fabric, name))


def job(fabric, name):
    return fabric.client.ask("GET", f"/v1/jobs/{name}")


def on(job):
    """The host of a job of one node."""
    return job["attempt"]["members"][0]["host"]


def ship(fabric, name):
    return next(s for s in fabric.client.ask("GET", "/v1/ships")["ships"] if s["name"] == name)


def ended(fabric, name, seconds=60):
    return under.until(
        lambda: job(fabric, name)["status"] in under.OVER and job(fabric, name), seconds, lambda: job(fabric, name)
    )


def unsent(fabric, host):
    """Reports that wait on a runtime's disk."""
    with closing(sqlite3.connect(fabric.runtimes()[host][1] / "journal.sqlite", timeout=30.0)) as db:
        return db.execute("SELECT count(*) FROM reports").fetchone()[0]


def test_kills_of_control_and_of_a_runtime_under_load_lose_nothing(fabric, sent):
    with under.Load(fabric, MAKERS, clients=2, most=12) as load, under.Assassin(fabric, 1, {"runtime": 1}) as assassin:
        under.until(lambda: len(load.sent) >= 4, 60)
        fabric.kill_control()
        under.until(assassin.strike, 60)
        under.until(lambda: len(load.sent) >= 8, 60)
        load.quiet(60)
    sent += load.sent
    assert assassin.orphans == []


def test_a_job_of_a_ship_that_is_lost_goes_on_elsewhere_from_its_checkpoint_and_the_ship_returns(fabric, sent):
    name, host = submit(fabric, sent, 30, HOSTS[:2])
    fabric.client.ask("POST", "/v1/faults", {"kind": "ship", "name": host, "duration_s": 300.0})
    under.until(lambda: not ship(fabric, host)["up"], 60)
    under.until(lambda: host not in fabric.runtimes(), 60)
    assert any(a.startswith(host) for a in fabric.client.ask("GET", "/v1/fabric")["alarms"])
    done = ended(fabric, name)
    assert (done["status"], done["attempts"]) == ("succeeded", 2)
    assert on(done) != host
    lines = check.read_lines(fabric)
    assert lines[name, 2, 0][0][1] > 0
    under.until(lambda: ship(fabric, host)["up"] and ship(fabric, host)["runtime"] == "working", 60)


def test_a_ship_out_of_contact_works_on_and_reports_when_it_is_back(fabric, sent):
    name, host = submit(fabric, sent, 45, HOSTS[:2])
    fabric.client.ask("POST", "/v1/faults", {"kind": "link", "name": host, "duration_s": 240.0})
    under.until(lambda: not ship(fabric, host)["contact"], 60)
    at = len(check.read_lines(fabric)[name, 1, 0])
    under.until(lambda: unsent(fabric, host) > 0, 60)
    under.until(lambda: len(check.read_lines(fabric)[name, 1, 0]) > at + 5, 60)
    done = ended(fabric, name)
    assert (done["status"], done["attempts"], done["preemptions"]) == ("succeeded", 1, 0)


def test_the_books_of_it_all_are_right(fabric, sent):
    under.until(lambda: all(unsent(fabric, h) == 0 for h in HOSTS), 60)
    books, lines = check.Books.of(fabric), check.read_lines(fabric)
    check.submissions(books, sent, {j["id"]: j for j in under.every_job(fabric.client)})
    assert check.meters(fabric, books) > 10
    check.alone(books, lines)
    assert check.counters(fabric, books, lines, sent) >= 1
    check.chain(fabric)
    assert 0 < fabric.peak_bytes < 500e6
    check.replayed(fabric)
