"""Whether the books of a fabric that was killed over and over are right: its log, its meters, and what programs wrote."""

import contextlib
import json
import sqlite3
import tarfile
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise

from aether.fabric import local
from aether.fabric.blobs import Blobs
from aether.fabric.core import control, events, state
from aether.fabric.protocol import Used
from aether.fabric.runtime.meter import verify
from aether.fabric.store.audit import audit
from aether.fabric.store.store import Store
from fabric_load import until

METERS = ("gpu_ms", "energy_j", "laser_bytes", "downlink_bytes", "checkpoint_byte_s")


@dataclass
class Books:
    """What the log says, gathered once."""

    events: list
    journals: dict = field(default_factory=dict)  # (runtime, journal) to bodies of reports by number
    keys: dict = field(default_factory=dict)
    counts: Counter = field(default_factory=Counter)

    @classmethod
    def of(cls, fabric):
        with contextlib.suppress(
            AssertionError
        ):  # a member's last bytes come when it is tidied away; a ship that is down keeps its members
            until(lambda: not at_work(fabric), 60)
        made = cls(fabric.client.pages("/v1/audit"))
        assert [e["seq"] for e in made.events] == list(range(1, len(made.events) + 1))
        for event in made.events:
            body = event["body"]
            made.counts[event["kind"]] += 1
            if event["kind"] == "runtime_joined":
                made.keys[body["runtime"], body["journal"]] = body["public_key"]
            elif event["kind"] == "reported":
                made.journals.setdefault((body["runtime"], body["journal"]), []).append((body["n"], body["report"]))
        return made


def at_work(fabric):
    """Runtimes that have members or reports left, and how many."""
    left = {}
    for file in fabric.folder.glob("runtimes/*/journal.sqlite"):
        with contextlib.closing(sqlite3.connect(file, timeout=30.0)) as db:
            count = sum(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("members", "reports"))
        if count:
            left[file.parent.name] = count
    return left


def submissions(books, sent, jobs):
    """Every acknowledged submission is in the log once, and nothing else is; its jobs came to the end that they must."""
    logged = Counter(e["body"]["job"] for e in books.events if e["kind"] == "submitted")
    assert set(logged.values()) <= {1}
    acknowledged = [s.jobs[0].partition(".")[0] for s in sent]
    assert sorted(logged) == sorted(acknowledged)
    assert sorted(jobs) == sorted(j for s in sent for j in s.jobs)
    for one in sent:
        for name in one.jobs:
            job = jobs[name]
            assert job["status"] in one.ends, (one, job)
            if one.code:
                assert job["reason"].startswith(f"exit code {one.code} on"), job


def meters(fabric, books):
    """The log has what the runtimes' disks have, each once and signed; the ledger is their sum. Call after a quiet end."""
    sums = defaultdict(lambda: [0] * len(METERS))
    total = 0
    owner = {}
    for event in books.events:
        if event["kind"] == "submitted":
            owner[event["body"]["job"]] = event["body"]["project"]
    for (runtime, journal), reports in books.journals.items():
        assert [n for n, _ in reports] == list(range(1, len(reports) + 1)), runtime
        last = {}
        for n, report in reports:
            if report["kind"] != "used":
                continue
            used = Used(**report)
            assert verify(used, runtime, books.keys[runtime, journal]), (runtime, n)
            member = used.attempt, used.rank
            assert used.start_ms == last.get(member, used.start_ms) <= used.end_ms, (runtime, n)  # spans touch
            last[member] = used.end_ms
            batch = used.attempt.rpartition("/")[0].partition(".")[0]
            row = sums[owner[batch], used.accelerator]
            row[:] = [a + getattr(used, k) for a, k in zip(row, METERS, strict=True)]
            total += 1
    ledger = {(r["project"], r["accelerator"]): [r["amounts"][k] for k in METERS]
              for r in fabric.client.ask("GET", "/v1/usage")["rows"] if r["accelerator"] != "ground"}  # fmt: skip
    assert ledger == dict(sums)
    disks = {}
    for file in fabric.folder.glob("runtimes/*/journal.sqlite"):
        name = json.loads((file.parent / "process.json").read_text())["name"]
        with contextlib.closing(sqlite3.connect(file, timeout=30.0)) as db:
            ident = db.execute("SELECT value FROM facts WHERE name = 'ident'").fetchone()[0]
            kept = db.execute("SELECT n, body FROM kept ORDER BY n").fetchall()
            assert db.execute("SELECT count(*) FROM reports").fetchone() == (0,), name
        if kept:
            disks[name, ident] = [(n, json.loads(body)) for n, body in kept]
    assert disks == books.journals
    return total


def read_lines(fabric):
    """(job, attempt, rank) to its lines (word, number, time, ship)."""
    made = defaultdict(list)
    for line in fabric.lines.read_text().splitlines():
        attempt, rank, ship, word, number, at = line.split()
        job, _, tried = attempt.rpartition("/")
        made[job, int(tried), int(rank)].append((word, int(number), float(at), ship))
    return made


def given_up(books):
    """Members whose ship was given up while they were at it: as far as the fabric knows they may still have run."""
    found, running, tries = set(), defaultdict(set), Counter()
    for event in books.events:
        body = event["body"]
        if event["kind"] == "placed":
            tries[body["job"]] += 1
            for rank, host in enumerate(body["hosts"]):
                running[host].add((body["job"], tries[body["job"]], rank))
        elif event["kind"] == "reported" and body["report"]["kind"] == "ended":
            job, _, tried = body["report"]["attempt"].rpartition("/")
            running[body["runtime"]].discard((job, int(tried), body["report"]["rank"]))
        elif event["kind"] == "runtime_lost":
            found |= running.pop(body["runtime"], set())
    return found


def alone(books, lines):
    """No two attempts of a member at once, but where the earlier one's ship was given up.

    How many followed one another, how many followed one that was given up, and how many of those overlapped.
    """
    lost, followed, spared, overlapped = given_up(books), 0, 0, 0
    by_member = defaultdict(list)
    for job, tried, rank in sorted(lines):
        by_member[job, rank].append(tried)
    for (job, rank), tries in by_member.items():
        for a, b in pairwise(tries):
            one, two = lines[job, a, rank], lines[job, b, rank]
            if (job, a, rank) in lost:
                spared += 1
                overlapped += one[-1][2] > two[0][2]
            else:
                assert one[-1][2] <= two[0][2], (job, rank, one[-1], two[0])
                followed += 1
    return followed, spared, overlapped


def counters(fabric, books, lines, sent):
    """A counter goes on from its last acknowledged checkpoint or beyond, and counts to its end; how many went on."""
    blobs, counts = Blobs(fabric.folder / "blobs"), {}

    def count(digest):
        if digest not in counts:
            with tarfile.open(blobs.path(digest)) as archive:
                file = next((m for m in archive.getmembers() if m.name.endswith("count")), None)
                counts[digest] = int(archive.extractfile(file).read()) if file else 0
        return counts[digest]

    kept, floors = {}, {}
    for event in books.events:
        body = event["body"]
        if event["kind"] == "reported" and body["report"]["kind"] == "checkpointed":
            job, _, tried = body["report"]["attempt"].rpartition("/")
            if int(tried) == len(floors[job]):  # of an attempt that was given up it is taken no more
                kept[job] = count(body["report"]["digest"])
        elif event["kind"] == "placed":
            floors[body["job"]] = [*floors.get(body["job"], []), kept.get(body["job"], 0)]
    resumed = 0
    for one in sent:
        if one.kind not in ("counter", "cancel"):
            continue
        for job in one.jobs:
            tries = sorted(t for j, t, _ in lines if j == job)
            highest = 0
            for tried in tries:
                words_ = lines[job, tried, 0]
                begin, floor = words_[0][1], floors[job][tried - 1]
                assert words_[0][0] == "begin"
                assert floor <= begin <= highest, (job, tried, begin, floor, highest)
                steps = [n for w, n, _, _ in words_ if w == "step"]
                assert steps == list(range(begin + 1, begin + 1 + len(steps)))
                highest = max([highest, *steps])
                resumed += begin > 0
            if one.kind == "counter":
                assert highest == one.steps, job
                assert lines[job, tries[-1], 0][-1][:2] == ("end", one.steps)
    return resumed


def chain(fabric):
    """The chain of the log, walked from outside by its head file."""
    settings = json.loads((fabric.folder / "settings.json").read_text())
    made = audit(settings["db"], fabric.folder / "head")
    assert made.ok, made
    return made.entries


def replayed(fabric):
    """End the fabric: its last snapshot, made through all the kills, is what the whole log comes to from its beginning."""
    local.down(fabric.folder)
    until(lambda: not fabric.living(), 15, fabric.living)
    settings = json.loads((fabric.folder / "settings.json").read_text())
    with contextlib.closing(Store(settings["db"], fabric.folder / "head")) as store:
        seq, body = store.snapshot()
        assert seq == store.last_seq
        made, after = state.State(), 0
        while rows := store.read(after, 5000):
            for row in rows:
                made, _ = control.step(made, events.decode(row.body), row.time_s, row.actor)
            after = rows[-1].seq
    assert state.load(state.dump(made)) == state.load(body)
