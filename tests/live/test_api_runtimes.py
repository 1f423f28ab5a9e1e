"""What runtimes speak to, the store that fails beneath it, the clock, the keys, and what is watched."""

import json
import logging
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest

pytest.importorskip("fastapi", reason="the live fabric is not installed: pip install 'aether-fabric[live]'")

from prometheus_client.parser import text_string_to_metric_families

from aether.base.errors import InputError
from aether.fabric import protocol, watch
from aether.fabric.core import plane as core
from aether.fabric.core.clock import FabricClock, resume
from aether.fabric.core.events import Conditions, Crossed
from aether.fabric.core.plane import restore
from aether.fabric.core.state import METERS
from aether.fabric.store.store import Store, StoreAway, StoreBroken, StoreFull
from api_play import TASK, Api, Ship, Time


@pytest.fixture
def api(tmp_path):
    made = Api(tmp_path)
    yield made
    made.close()


@pytest.fixture
def ship(api):
    made = Ship(api, "a/0")
    assert made.join().status_code == 200
    return made


# runtimes


@pytest.mark.parametrize(
    "more", [{"protocol": 0}, {"protocol": 2, "novelty": 1}, {"protocol": "x"}, {"protocol": None}]
)
def test_a_runtime_of_another_version_is_refused_by_name_whatever_else_it_says(api, more):
    told = Ship(api, "a/0").join(version="0.9", **more)
    assert (told.status_code, told.json()["type"]) == (426, "urn:aether:problem:runtime-version")
    assert "the runtime of a/0 (0.9) speaks protocol" in told.json()["detail"]
    assert "a/0" not in api.plane.state.runtimes


def test_nobody_joins_or_speaks_as_another(api, ship):
    other = Ship(api, "a/1")
    assert other.join(runtime="a/0").status_code == 403
    other.join()
    assert other.sync(runtime="a/0").status_code == 403
    assert (
        api.ask(
            "POST", "/runtime/v1/sync", api.given.token("a/1"), {"runtime": "a/1", "journal": ship.journal, "seen": -1}
        ).status_code
        == 200
    )
    assert other.sync(journal="f" * 32).status_code == 409


def test_reports_count_once_in_their_order_whatever_repeats(api, ship):
    job = api.submit()
    api.until(lambda: ship.say()["orders"])
    at = {"attempt": f"{job}/1", "rank": 0}
    rows = [
        ship.numbered(r)
        for r in (protocol.Prepared(**at, address="h", port=9), protocol.Started(**at), ship.used(at["attempt"]))
    ]
    assert ship.sync(rows[2]).json()["acknowledged"] == 0  # a gap
    assert ship.sync(rows[0], rows[2]).json()["acknowledged"] == 1
    assert ship.sync(*rows, *rows).json()["acknowledged"] == 3
    for _ in range(3):
        assert ship.sync(*rows).json()["acknowledged"] == 3
    assert len([r for r in api.store.read(limit=1000) if r.kind == "reported"]) == 3
    amounts = api.ask("GET", "/v1/usage").json()["rows"][0]["amounts"]
    assert amounts == {"gpu_ms": 1000, "energy_j": 7, "laser_bytes": 3, "downlink_bytes": 2, "checkpoint_byte_s": 0}
    again, _ = restore(api.store)
    assert again.usage == api.plane.state.usage


def test_twenty_syncs_at_once_count_once(api, ship):
    rows = [ship.numbered(ship.used("j-none/1")) for _ in range(5)]
    threads = [threading.Thread(target=ship.sync, args=rows) for _ in range(20)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert api.plane.state.runtimes["a/0"].usage == [5000, 35, 15, 10, 0]


def test_usage_that_is_not_signed_by_the_runtimes_own_key_is_refused(api, ship):
    good = ship.numbered(ship.used("j/1"))
    changed = json.loads(json.dumps(good))
    changed["report"]["gpu_ms"] += 1
    other = Ship(api, "a/1")
    other.join()
    theirs = other.numbered(other.used("j/1"))
    for bad in (
        changed,
        theirs,
        good | {"report": good["report"] | {"signature": ""}},
        good | {"report": good["report"] | {"signature": "é"}},
    ):
        told = ship.sync(bad)
        assert (told.status_code, told.json()["type"]) == (422, "urn:aether:problem:bad-signature")
    assert ship.sync(good).json()["acknowledged"] == 1


@pytest.mark.parametrize(
    "change", [{"n": 0}, {"time_s": "NaN"}, {"n": 1.5}, {"report": {"kind": "guess"}}, {"more": 1}]
)
def test_reports_of_another_form_are_refused(ship, change):
    row = ship.numbered(protocol.Started(attempt="j/1", rank=0))
    assert ship.sync(row | change).status_code == 422


def test_a_time_that_is_no_number_never_reaches_the_log(api, ship):
    row = json.dumps(ship.numbered(protocol.Started(attempt="j/1", rank=0))).replace('"time_s": 1.0', '"time_s": NaN')
    body = f'{{"runtime": "a/0", "journal": "{ship.journal}", "seen": -1, "reports": [{row}]}}'
    told = api.ask(
        "POST", "/runtime/v1/sync", api.given.token("a/0"), content=body, headers={"Content-Type": "application/json"}
    )
    assert told.status_code == 422
    restore(api.store)


def test_reports_of_members_that_are_not_theirs_change_nothing(api, ship):
    job = api.submit(orbit={"where": ["a/0"]})
    ship.work(job, code=None)
    other = Ship(api, "a/1")
    other.join()
    for s, attempt, rank in (
        (other, f"{job}/1", 0),
        (ship, f"{job}/2", 0),
        (ship, f"{job}/1", 1),
        (ship, f"{job}/1", -1),
        (ship, "none/1", 0),
    ):
        s.say(protocol.Ended(attempt=attempt, rank=rank, how="exit", code=0))
        assert api.status(job) == "running"


def test_a_new_disk_begins_anew_and_loses_what_ran(api, ship):
    job = api.submit(orbit={"where": ["a/0"]})
    ship.work(job, code=None)
    assert Ship(api, "a/0", journal="1" * 32).join().json()["acknowledged"] == 0
    shown = api.ask("GET", f"/v1/jobs/{job}").json()
    assert shown["preemptions"] == 1
    assert ship.sync().status_code == 409


def test_out_of_contact_there_is_no_answer(api, ship):
    api.put(Conditions(crossed=(Crossed(host="a/0", gpus=8, contact=False),)))
    for told in (
        ship.join(),
        ship.sync(),
        api.ask("GET", "/runtime/v1/blobs/sha256:" + "0" * 64, api.given.token("a/0")),
    ):
        assert (told.status_code, told.headers["retry-after"]) == (503, "1")
        assert told.json()["type"] == "urn:aether:problem:out-of-contact"
    api.put(Conditions(crossed=(Crossed(host="a/0", gpus=8),)))
    assert ship.sync().status_code == 200


def test_one_who_waits_for_orders_is_told_at_once(api, ship):
    version = ship.say()["version"]
    found = []
    waits = threading.Thread(target=lambda: found.append(ship.sync(seen=version, wait_s=30.0).json()))
    waits.start()
    api.until(lambda: "a/0" in api.given.runtimes)
    job = api.submit()
    waits.join(10.0)
    assert [o["attempt"] for o in found[0]["orders"]] == [f"{job}/1"]


def test_a_silent_runtime_is_given_up_and_may_come_back(api, ship, monkeypatch):
    job = api.submit(orbit={"where": ["a/0"]})
    ship.work(job, code=None)
    monkeypatch.setattr(core, "LOST_S", 0.0)
    api.until(lambda: api.plane.state.runtimes["a/0"].lost)
    monkeypatch.undo()
    assert "a/0: its runtime is lost" in api.ask("GET", "/v1/fabric").json()["alarms"]
    assert ship.say()["orders"] == []
    api.until(lambda: ship.say()["orders"])
    assert api.ask("GET", f"/v1/jobs/{job}").json()["attempts"] == 2


# the store


class Shaky(Store):
    """A store that fails when it is told to."""

    fault = None

    def append(self, entries, receipts=()):
        entries = list(entries)
        if self.fault is not None:
            raise self.fault
        return super().append(entries, receipts)


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        (StoreAway("gone"), 503, "store-away"),
        (StoreFull("no room"), 507, "store-full"),
        (StoreBroken("damaged"), 503, "store-broken"),
    ],
)
def test_a_store_that_fails_is_said_and_recovered_from_and_nothing_is_acknowledged(tmp_path, fault, status, kind):
    api = Api(tmp_path, store=Shaky)
    before = api.store.last_seq
    api.store.fault = fault
    told = api.ask("POST", "/v1/jobs", body={"task": TASK}, headers={"Idempotency-Key": "k"})
    assert (told.status_code, told.json()["type"]) == (status, f"urn:aether:problem:{kind}")
    assert int(told.headers["retry-after"]) > 0
    assert api.ask("GET", "/v1/jobs").json()["jobs"] == []
    ready = api.until(lambda: (r := api.ask("GET", "/ready")).status_code == 503 and r)
    assert ready.json() == {"ready": False, "why": str(fault)}
    assert api.ask("GET", "/health").status_code == 200
    assert any(a.startswith("store: ") for a in api.ask("GET", "/v1/fabric").json()["alarms"])
    assert api.store.last_seq == before
    api.store.fault = None
    api.until(lambda: api.ask("GET", "/ready").status_code == 200)  # by itself
    job = api.submit(idempotency="k")
    assert [j["id"] for j in api.ask("GET", "/v1/jobs").json()["jobs"]] == [job]
    api.close()


def test_a_snapshot_that_fails_takes_no_acknowledgement_back(tmp_path, monkeypatch):
    class NoSnapshots(Store):
        def save_snapshot(self, *_):
            raise StoreFull("no room")

    monkeypatch.setattr(core, "SNAPSHOT_EVERY", 1)
    api = Api(tmp_path, store=NoSnapshots)
    assert api.submit()
    api.close()


# the clock


def test_a_jump_of_the_machines_clock_is_told_and_moves_no_fabric_time(tmp_path):
    time = Time()
    api = Api(tmp_path, time)
    now = api.plane.clock.now()
    time.wall_s += 3600.0
    alarms = api.until(lambda: api.ask("GET", "/v1/fabric").json()["alarms"])
    assert any("jumped 1 times" in a for a in alarms)
    assert api.plane.clock.now() == now
    jumps = [json.loads(r.body) for r in api.store.read(limit=100) if r.kind == "clock_jumped"]
    assert [j["by_s"] for j in jumps] == [3600.0]
    api.ask("POST", "/v1/faults", body={"kind": "clock", "by_s": -50.0})
    api.until(lambda: len([r for r in api.store.read(limit=100) if r.kind == "clock_jumped"]) == 2)
    assert api.plane.clock.now() == now
    api.close()


def test_the_fabrics_clock_runs_with_the_steady_one_and_resumes_where_it_must():
    time = Time()
    clock = FabricClock(1000.0, 60.0, lambda: time.wall_s, lambda: time.steady_s)
    time.go(2.0)
    assert clock.now() == 1120.0
    time.wall_s -= 1.9
    assert clock.jump() == 0.0
    time.wall_s -= 0.2
    assert clock.jump() == pytest.approx(-2.1)
    assert clock.jump() == 0.0
    assert resume(0.0, 60.0, 5000.0) == 5000.0  # a new fabric begins now
    assert resume(1000.0, 60.0, 5000.0) == 1000.0  # a fast one goes on where it stood
    assert resume(1000.0, 1.0, 5000.0) == 5000.0  # real time has passed
    assert resume(9000.0, 1.0, 5000.0) == 9000.0  # and never goes backward


# keys


def test_a_key_expires_by_the_fabrics_clock(tmp_path):
    time = Time()
    api = Api(tmp_path, time)
    made = api.ask("POST", "/v1/keys", body={"scopes": ["read"], "expires_in_s": 60.0}).json()
    assert api.ask("GET", "/v1/jobs", made["secret"]).status_code == 200
    time.wall_s += 1000.0
    assert api.ask("GET", "/v1/jobs", made["secret"]).status_code == 200
    time.go(60.0)
    assert api.ask("GET", "/v1/jobs", made["secret"]).status_code == 401
    api.close()


def test_one_lasting_key_of_an_administrator_stays_whoever_asks_at_once(api):
    mine = api.admin.split("-")[1]
    brief = api.ask("POST", "/v1/keys", body={"scopes": ["admin"], "expires_in_s": 9.0}).json()["id"]
    told = api.ask("DELETE", f"/v1/keys/{mine}")
    assert (told.status_code, told.json()["type"]) == (409, "urn:aether:problem:last-key")
    other = api.ask("POST", "/v1/keys", body={"scopes": ["admin"]}).json()
    held = threading.Event()
    first = api.plane.write(lambda _: held.wait(30.0) and core.Decision(()))
    codes = []
    both = [
        threading.Thread(target=lambda k=k: codes.append(api.ask("DELETE", f"/v1/keys/{k}").status_code))
        for k in (mine, other["id"])
    ]
    for thread in both:
        thread.start()
    api.until(lambda: api.plane._writes.qsize() == 2)
    held.set()
    first.result(5.0)
    for thread in both:
        thread.join()
    assert sorted(codes) == [200, 409]
    lasting = [k for n, k in api.plane.state.keys.items() if "admin" in k.scopes and k.revoked_s is None and n != brief]
    assert len(lasting) == 1


def test_secrets_are_told_once_and_lie_nowhere(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    watch_file = tmp_path / "control.log"
    handler = logging.FileHandler(watch_file)
    handler.setFormatter(watch.Lines())
    logging.getLogger().addHandler(handler)
    api = Api(tmp_path / "fabric")
    made = api.ask("POST", "/v1/keys", body={"scopes": ["write"], "note": "n"}, headers={"Idempotency-Key": "k"}).json()
    secret, token = made["secret"], api.given.token("a/0")
    Ship(api, "a/0").join()
    api.submit(secret)
    for path in ("/v1/nothing", "/v1/jobs?limit=x", f"/v1/jobs/{secret}"):
        api.ask("GET", path, secret)
    logging.getLogger("aether").error("with %s and %s and postgresql://me:hunter2@host/db", secret, token)
    with api.stream("/v1/events?after=0") as stream:
        api.until(lambda: stream.events() and int(stream.events()[-1][1]) >= api.store.last_seq)
    shown = [stream.raw.decode()] + [
        api.ask("GET", p).text for p in ("/v1/keys", "/v1/audit?limit=1000", "/metrics", "/v1/fabric")
    ]
    logging.getLogger().removeHandler(handler)
    handler.close()
    api.close()  # leaves a snapshot
    kept = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    snapshot = Store(f"sqlite:///{tmp_path / 'fabric' / 'fabric.db'}")
    shown.append(snapshot.snapshot()[1].decode())
    snapshot.close()
    for word in (secret, secret.split("-", 2)[2], token, token.split(".")[2], "hunter2", api.admin):
        assert word.encode() not in kept
        assert not [text for text in shown if word in text]
    digest = api.plane.state.keys[made["id"]].digest
    assert not [text for text in shown[:-1] if digest in text]


@pytest.mark.parametrize(
    ("text", "shown"),
    [("aek-0123456789ab-" + "x" * 43, "aek-0123456789ab-***"), ("aer.YS8w." + "f" * 64 + " more", "aer.YS8w.*** more"),
     ("postgresql://me:pass@host/db", "postgresql://me:***@host/db"), ("http://host:80/a", "http://host:80/a"), ("nothing", "nothing")],
)  # fmt: skip
def test_what_is_logged_is_cleaned(text, shown):
    assert watch.clean(text) == shown
    record = logging.LogRecord("a", logging.ERROR, "", 1, "%s", (text,), None)
    assert json.loads(watch.Lines().format(record))["what"] == shown


# watching


def test_metrics_agree_with_the_state(api, ship):
    done, _ = api.submit(), api.submit(resources={"accelerators": "b200:8"}, orbit={"where": ["a/1"]})
    ship.work(done)
    api.until(lambda: api.status(done) == "succeeded")
    answer = api.ask("GET", "/metrics", api.key("p", "watch"))
    assert answer.headers["content-type"].startswith("text/plain")
    rows = {
        (s.name, *sorted(s.labels.items())): s.value
        for f in text_string_to_metric_families(answer.text)
        for s in f.samples
    }
    state = api.plane.state
    assert rows["aether_jobs", ("status", "succeeded")] == 1.0
    assert rows["aether_jobs", ("status", "queued")] == 1.0
    assert sum(v for k, v in rows.items() if k[0] == "aether_jobs") == len(state.jobs)
    assert (
        sum(v for k, v in rows.items() if k[0] == "aether_events_total")
        == api.store.last_seq
        == rows[("aether_log_entries_total",)]
    )
    assert rows["aether_jobs_ended_total", ("status", "succeeded")] == 1.0
    for name, host in state.hosts.items():
        assert rows["aether_gpus", ("host", name), ("of", "installed")] == host.facts.gpus
        assert rows["aether_host_up", ("host", name)] == float(name in state.runtimes)
    for of, value in zip(METERS, state.usage["default"]["b200"], strict=True):
        assert rows["aether_usage_total", ("accelerator", "b200"), ("of", of)] == value
    assert done not in answer.text


class Collector(BaseHTTPRequestHandler):
    paths: ClassVar[list[str]] = []

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.paths.append(self.path)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_traces_go_to_a_collector_where_one_is_named(api):
    pytest.importorskip(
        "opentelemetry.instrumentation.asgi", reason="not installed: pip install 'aether-fabric[trace]'"
    )
    server = HTTPServer(("127.0.0.1", 0), Collector)
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    assert watch.traced(api.app, None) is api.app
    traced = watch.traced(api.app, f"http://127.0.0.1:{server.server_port}/")
    api.app = traced
    with api.stream("/health") as stream:
        api.until(lambda: stream.status == 200)
    api.until(lambda: "/v1/traces" in Collector.paths)
    server.shutdown()
    server.server_close()


def test_traces_without_their_extra_are_refused_by_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.instrumentation.asgi", None)
    with pytest.raises(InputError, match="need the extra"):
        watch.traced(object(), "http://localhost")
