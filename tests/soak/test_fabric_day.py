"""A simulated day in ten minutes, a fault of some kind every two simulated minutes, while jobs keep coming."""

import random
import sys
import threading
import time
from collections import Counter

import pytest

pytest.importorskip("fastapi", reason="the live fabric is not installed: pip install 'aether-fabric[live]'")

import fabric_books as check
import fabric_load as under
import fabric_programs as programs

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc and prctl of Linux"),
]
DAY_S, EVERY_S, SPEED = 86400.0, 120.0, 144.0
SHIPS = [f"dusk/{i}" for i in range(3)] + [f"night/{i}" for i in range(4)]
SITES = ["dublin", "virginia"]
GATEWAYS = ["Adelanto, CA", "Aerzen, Germany", "Akita, Japan"]
WEIGHTS = {"ship": 20, "site": 3, "link": 20, "gateway": 15, "runtime": 20, "clock": 15, "control": 3}


def long_counter(rng):
    return programs.counter(rng, (80, 160), 0.5)


def spot(rng):
    """Takes most of a host, so that others push it away."""
    task, expected = programs.counter(rng, (60, 120), 0.5, spot=True)
    task["resources"]["accelerators"] = {"gb300": 48}
    task["orbit"]["priority"] = 300
    return task, expected


def long_gang(rng):
    return programs.gang(rng, 15.0)


MAKERS = (long_counter, long_counter, spot, long_gang, programs.short, programs.array, programs.cancelled)


def fault(rng):
    """A fault as the API takes it; None for the control process itself."""
    kind = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    if kind == "control":
        return kind, None
    if kind == "clock":
        return kind, {"kind": kind, "by_s": rng.choice((-1.0, 1.0)) * rng.uniform(10.0, 7200.0)}
    names = {"ship": SHIPS, "site": SITES, "link": SHIPS, "gateway": GATEWAYS, "runtime": SHIPS + SITES}[kind]
    asked = {"kind": kind, "name": rng.choice(names)}
    return kind, asked if kind == "runtime" else asked | {"duration_s": rng.uniform(300.0, 1500.0)}


def watch_alarms(client, alarms, ends):
    """Words of the alarms, names of hosts and numbers left out."""
    while not ends.wait(0.4):
        for text in client.ask("GET", "/v1/fabric")["alarms"]:
            who, _, what = text.partition(": ")
            alarms[who if who in ("clock", "twin", "store", "scheduling") else what] += 1


def through_the_day(fabric, load, rng):
    """Make a fault at every due time of the fabric's clock; how many of each kind were made."""
    made, begun_s = Counter(), fabric.client.ask("GET", "/v1/fabric")["time_s"]
    due_s = begun_s + EVERY_S
    while due_s < begun_s + DAY_S:
        assert not load.faults, load.faults
        now_s = fabric.client.ask("GET", "/v1/fabric")["time_s"]
        if now_s < due_s:
            time.sleep((due_s - now_s) / SPEED)
            continue
        kind, asked = fault(rng)
        if asked is None:
            fabric.kill_control()
        else:
            fabric.client.ask("POST", "/v1/faults", asked)
        made[kind] += 1
        due_s += EVERY_S
    return made


def test_a_day_of_faults_loses_no_job_no_checkpoint_and_no_usage(tmp_path, record_property):
    rng, alarms, ends = random.Random(7), Counter(), threading.Event()
    with under.Fabric(tmp_path / "fabric", speed=SPEED) as fabric:
        under.keep_journals(fabric)
        watcher = threading.Thread(
            target=watch_alarms, args=(under.Client(fabric.client.at.geturl(), fabric.client.key), alarms, ends)
        )
        watcher.start()
        try:
            with under.Load(fabric, MAKERS, clients=2, most=24, pause_s=1.0) as load:
                made = through_the_day(fabric, load, rng)
                jobs = load.quiet(240)
        finally:
            ends.set()
            watcher.join()
        books, lines = check.Books.of(fabric), check.read_lines(fabric)
        check.submissions(books, load.sent, jobs)
        metered = check.meters(fabric, books)
        followed, given_up, overlapped = check.alone(books, lines)
        resumed = check.counters(fabric, books, lines, load.sent)
        entries = check.chain(fabric)
        fabric.measure()
        by_power = [e for e in books.events if e["kind"] == "displaced" and ": power left" in e["body"]["reason"]]
        in_the_dark = [
            e
            for e in books.events
            if e["kind"] == "conditions"
            for c in e["body"]["crossed"]
            if c["limit"] == "power" and not c["lit"]
        ]
        told = {
            "faults": dict(made), "submissions": len(load.sent), "jobs": len(jobs), "log": entries, "metered": metered, "followed": followed,
            "given up": given_up, "overlapped": overlapped, "resumed": resumed,
            "displaced": books.counts["displaced"], "by power": len(by_power), "in the dark": len(in_the_dark),
            "lost runtimes": books.counts["runtime_lost"], "alarms": dict(alarms), "peak MB": round(fabric.peak_bytes / 1e6),
            "longest recovery s": round(max(fabric.recoveries_s), 1), "preemptions": sum(j["preemptions"] for j in jobs.values()),
        }  # fmt: skip
        record_property("numbers", told)
        print(told)
        check.replayed(fabric)
    assert sum(made.values()) >= DAY_S / EVERY_S - 2
    assert set(made) == set(WEIGHTS)
    assert by_power
    assert in_the_dark
    assert resumed > 20
    assert {
        "clock",
        "out of service",
        "link lost by a fault that was made",
        "gateway lost by a fault that was made",
    } <= set(alarms)
    assert books.counts["clock_jumped"] > 0
    assert fabric.peak_bytes < 500e6
