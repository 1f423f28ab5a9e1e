"""kill -9 of runtimes and keepers: no orphan after ten seconds, nothing that was written down lost."""

import os
import signal
import sqlite3
import sys
import threading

import pytest

from aether.fabric.protocol import Started
from aether.fabric.runtime.journal import Journal, Row
from aether.fabric.runtime.sweep import children, marked
from fake_control import Fleet, until

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc and prctl of Linux")
# double-forks, sessions of its own, a daemon without our mark in its environment; all of them deaf to SIGTERM
STUBBORN = """
trap '' TERM
echo $$
(setsid bash -c 'trap "" TERM; echo $$; (sleep 1001 & echo $!); while :; do sleep 0.1; done' &) &
setsid env -i bash -c 'trap "" TERM; echo $$; while :; do sleep 0.1; done' &
while :; do sleep 0.1; done
"""


@pytest.fixture
def fleet(tmp_path):
    with Fleet(tmp_path) as made:
        yield made


def alive(pid):
    """Whether a process runs; one that has ended and waits to be noticed does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def stubborn(fleet, **told):
    """The processes of a program that does not want to die."""
    fleet.control.run("a", run=STUBBORN, **told)
    until(lambda: len(fleet.control.log().split()) == 4, told=fleet.control.log)
    pids = [int(p) for p in fleet.control.log().split()]
    assert all(alive(p) for p in pids)
    return pids


def keeper_of(fleet):
    return children(fleet.processes["a"].pid)[0]


def test_a_killed_runtime_leaves_no_orphan_and_tells_after_its_restart_what_was_lost(fleet):
    fleet.start("a")
    pids = stubborn(fleet)
    fleet.kill("a")
    until(lambda: not any(alive(p) for p in pids), 30.0)
    until(lambda: not marked(fleet.disk("a")), 30.0)
    fleet.start("a")
    ended = fleet.control.wait("a", "ended")
    assert [e.how for e in ended] == ["lost"]
    numbers = [r.n for r in fleet.control.reports["a"]]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len({j.journal for j in fleet.control.joins}) == 1


def test_a_killed_keeper_leaves_no_orphan_and_its_member_is_lost(fleet):
    fleet.start("a")
    pids = stubborn(fleet)
    os.kill(keeper_of(fleet), signal.SIGKILL)
    until(lambda: not any(alive(p) for p in pids), 30.0)
    ended = fleet.control.wait("a", "ended")[0]
    assert (ended.how, ended.why) == ("lost", "its keeper was killed")


def test_a_program_that_stops_its_keeper_is_ended_all_the_same(fleet):
    fleet.start("a", changed="from aether.fabric.runtime import member; member.STUCK_S = 0.5")
    pids = stubborn(fleet)
    os.kill(keeper_of(fleet), signal.SIGSTOP)
    fleet.control.change("a", "j-1/1", phase="stop", grace_s=0.1)
    assert fleet.control.wait("a", "ended")[0].how == "stopped"
    assert not any(alive(p) for p in pids)


def test_when_both_are_killed_the_restarted_runtime_sweeps(fleet):
    fleet.start("a")
    fleet.control.run("a", run="setsid bash -c 'trap \"\" TERM; echo $$; sleep 1000' & sleep 1000")
    pid = int(until(fleet.control.log))
    keeper = keeper_of(fleet)
    os.kill(fleet.processes["a"].pid, signal.SIGSTOP)
    os.kill(keeper, signal.SIGKILL)
    fleet.kill("a")
    fleet.start("a")
    until(lambda: not alive(pid), 30.0)
    assert fleet.control.wait("a", "ended")[0].how == "lost"


def test_a_program_that_was_killed_with_its_runtime_is_lost_and_has_not_failed(fleet):
    fleet.start("a")
    fleet.control.run("a", run="echo $$; while :; do sleep 0.05; done")
    pid = int(until(lambda: fleet.control.log().strip()))
    os.kill(fleet.processes["a"].pid, signal.SIGSTOP)
    os.kill(pid, signal.SIGKILL)  # the keeper is quick enough to write that down
    until(lambda: (fleet.disk("a") / "work/j-1/1/0/outcome").exists())
    fleet.kill("a")
    fleet.start("a")
    assert fleet.control.wait("a", "ended")[0].how == "lost"


def test_a_program_that_ended_while_the_runtime_was_dead_is_told_with_its_exit_code_and_checkpoint(fleet):
    fleet.start("a")
    script = "while [ ! -e go ]; do sleep 0.02; done; echo 1 > ~/c/file; echo done; exit 3"
    fleet.control.run("a", run=script, checkpoint="c")
    fleet.control.wait("a", "started")
    fleet.control.dark = True
    folder = fleet.disk("a") / "work/j-1/1/0"
    (folder / "home/workdir/go").touch()
    until(lambda: (folder / "outcome").exists())
    fleet.kill("a")
    fleet.control.dark = False
    fleet.start("a")
    ended = fleet.control.wait("a", "ended")[0]
    assert (ended.how, ended.code) == ("exit", 3)
    assert len(fleet.control.of("a", "checkpointed")) == 1
    until(lambda: fleet.control.log() == "done\n")


def test_a_killed_runtime_still_brings_the_checkpoint_that_lay_on_its_disk(fleet):
    fleet.start("a")
    fleet.control.run("a", run="echo 1 > ~/c/file; echo up; sleep 1000", checkpoint="c", checkpoint_every_s=1000.0)
    until(fleet.control.log)
    fleet.kill("a")
    fleet.start("a")
    assert fleet.control.wait("a", "ended")[0].how == "lost"
    assert len(fleet.control.of("a", "checkpointed")) == 1


def test_daemons_that_a_program_leaves_behind_die_with_it(fleet):
    fleet.start("a")
    fleet.control.run("a", run="setsid env -i sleep 1000 & echo $!; exit 0")
    assert fleet.control.wait("a", "ended")[0].code == 0
    pid = int(until(fleet.control.log))
    assert not alive(pid)


def test_reports_that_come_together_keep_their_order_through_a_restart_until_acknowledged(tmp_path):
    told = []
    journal = Journal(tmp_path / "j", lambda: 5.0, told.append)
    threads = [
        threading.Thread(target=lambda k=k: [journal.write([Started(attempt=f"j/{k}", rank=i)]) for i in range(20)])
        for k in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ident = journal.ident
    journal.close()
    journal = Journal(tmp_path / "j", lambda: 6.0, told.append)
    reports = journal.unsent(1000)
    assert journal.ident == ident
    assert [r.n for r in reports] == list(range(1, 161))
    for k in range(8):
        assert [r.report.rank for r in reports if r.report.attempt == f"j/{k}"] == list(range(20))
    journal.acknowledge(160)
    journal.close()
    journal = Journal(tmp_path / "j", lambda: 6.0, told.append)
    journal.write([Started(attempt="j/9", rank=0)])
    assert [r.n for r in journal.unsent()] == [161]  # numbers are never used again
    journal.close()


def test_a_full_disk_is_named_once_and_the_write_waits_until_there_is_room(tmp_path):
    told = []
    journal = Journal(tmp_path / "j", lambda: 5.0, told.append)
    pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
    journal._db.execute(f"PRAGMA max_page_count = {pages}")
    writer = threading.Thread(
        target=journal.write,
        args=([Started(attempt="j" * 199, rank=i) for i in range(200)], [Row("a", 0, "begun", {})]),
    )
    writer.start()
    until(lambda: told)
    assert "disk is full" in told[0]
    assert not journal.unsent()
    assert not journal.members()
    assert writer.is_alive()
    with journal._lock:
        journal._db.execute("PRAGMA max_page_count = 1000000")
    writer.join(10)
    assert not writer.is_alive()
    assert len(journal.unsent()) == 200
    assert len(told) == 2
    journal.close()
    with sqlite3.connect(tmp_path / "j") as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    db.close()
