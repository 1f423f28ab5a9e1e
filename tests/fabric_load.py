"""A live fabric under load, for the tests that kill it: clients that retry, programs that write lines, an assassin."""

import contextlib
import http.client
import json
import os
import random
import secrets
import signal
import sqlite3
import threading
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

from aether.base.errors import InputError
from aether.fabric import local
from aether.fabric.executors import begun_at
from aether.fabric.runtime.sweep import marked
from live_fabric import free_port

SCENARIO = Path(__file__).parent / "data" / "fabric_nights.yaml"
OVER = ("succeeded", "failed", "cancelled")
ORPHAN_S = 10.0  # after which nothing of a killed runtime may live
ASK_S = 240.0  # that a client goes on asking


def until(check, seconds, told=lambda: ""):
    """Poll until a check is true; its value. Fails with what `told` says."""
    deadline = time.monotonic() + seconds
    while True:
        value = check()
        if value:
            return value
        assert time.monotonic() < deadline, told()
        time.sleep(0.1)


class Client:
    """Plain HTTP with the administrator's key; asks again with the same idempotency key until it is answered."""

    def __init__(self, url, key):
        self.at, self.key, self.refused = urlsplit(url), key, Counter()

    def once(self, method, path, body=None, idempotency=None, timeout_s=30.0):
        """(status, answer); OSError or HTTPException where there was no answer."""
        line = http.client.HTTPConnection(self.at.hostname, self.at.port, timeout=timeout_s)
        try:
            headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
            headers |= {"Idempotency-Key": idempotency} if idempotency else {}
            line.request(method, path, None if body is None else json.dumps(body), headers)
            response = line.getresponse()
            data = response.read()
            return response.status, json.loads(data) if data else None
        finally:
            line.close()

    def ask(self, method, path, body=None, seconds=ASK_S):
        """The answer, however often it must be asked for."""
        idempotency, deadline = secrets.token_hex(8), time.monotonic() + seconds
        while True:
            try:
                status, answer = self.once(method, path, body, idempotency if method == "POST" else None)
            except (OSError, http.client.HTTPException, ValueError) as error:
                status, answer = 0, repr(error)
            if 200 <= status < 300:
                return answer
            self.refused[status, answer.get("title", "") if isinstance(answer, dict) else ""] += 1
            assert status in (0, 503, 507), (method, path, status, answer)  # no other answer than "come again"
            assert time.monotonic() < deadline, (method, path, status, answer)
            time.sleep(random.uniform(0.1, 0.5))

    def pages(self, path):
        """Everything of a list of events, page after page."""
        after, made = 0, []
        while True:
            page = self.ask("GET", f"{path}?limit=1000&after={after}")
            made += page["events"]
            if not page["events"]:
                return made
            after = page["cursor"]


class Fabric:
    """A fabric in a folder, brought up as often as it falls; `close` leaves nothing behind."""

    def __init__(self, folder, **given):
        self.folder = folder = Path(os.path.realpath(folder))
        self.given = {
            "scenario": str(SCENARIO),
            "ships": 7,
            "sites": 2,
            "speed": 60.0,
            "port": free_port(),
            "gateway_port": 0,
            **given,
        }
        self.peak_bytes, self.recoveries_s = 0, []
        self.lines = folder / "lines.txt"
        folder.mkdir(parents=True, exist_ok=True)
        self.lines.touch()

    def __enter__(self):
        try:
            self.up()
        except BaseException:
            self.close()
            raise
        self.client = Client(*local.credentials(self.folder))
        return self

    def __exit__(self, *_):
        self.close()

    def up(self):
        """Bring it up and note how long that took."""
        begun = time.monotonic()
        self.pid = local.up(self.folder, self.given).pid
        self.recoveries_s.append(time.monotonic() - begun)

    def measure(self):
        """Peak of the control process's resident memory so far."""
        with contextlib.suppress(OSError, ValueError):
            for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM"):
                    self.peak_bytes = max(self.peak_bytes, int(line.split()[1]) * 1024)

    def kill_control(self, again_s=None):
        """SIGKILL, and up again; again_s: killed once more so long after it has begun to come up. How many were killed."""
        begun = time.monotonic()
        self.measure()
        self._kill(self.pid)
        if again_s is not None:
            second = threading.Thread(target=self._kill_next, args=(self.pid, again_s))
            second.start()
            with contextlib.suppress(InputError):  # it ended while it came up
                self.up()
            second.join()
        self.up()
        self.recoveries_s[-1] = time.monotonic() - begun
        return 1 if again_s is None else 2

    def _kill(self, pid):
        os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)

    def _kill_next(self, last, after_s):
        """Kill the control process that comes after one."""

        def following():
            with contextlib.suppress(OSError, ValueError):
                pid = int((self.folder / "control.pid").read_text())
                return pid if pid != last else 0
            return 0

        pid = until(following, 30)
        time.sleep(after_s)
        self._kill(pid)

    def twin(self):
        """The process of the twin, 0 without one."""
        for pid in below(self.pid):
            if b"aether.fabric.twin" in words(pid):
                return pid
        return 0

    def runtimes(self):
        """Live runtimes: name to process and folder."""
        made = {}
        for file in self.folder.glob("runtimes/*/process.json"):
            with contextlib.suppress(OSError, ValueError):
                said = json.loads(file.read_text())
                if begun_at(said["pid"]) == said["begun"] != "":
                    made[said["name"]] = (said["pid"], file.parent)
        return made

    def keepers(self):
        """Live keepers, without what they have forked and is to become a program: to kill that is to kill the program."""
        found = [p for p in marked(self.folder) if b"keeper.py" in words(p)]
        return [p for p in found if parent(p) not in found]

    def living(self):
        """Every process of it that lives."""
        mine = {p for p in processes() if str(self.folder).encode() in words(p)} | set(marked(self.folder))
        return mine | {t for p in mine for t in below(p)}

    def close(self):
        """Kill whatever of it lives."""
        for _ in range(100):
            left = self.living()
            if not left:
                return
            for pid in left:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
                with contextlib.suppress(OSError):
                    os.waitpid(pid, os.WNOHANG)
            time.sleep(0.1)
        raise AssertionError(f"still alive: {[(p, words(p)) for p in left]}")


def processes():
    return [int(n) for n in os.listdir("/proc") if n.isdigit() and int(n) != os.getpid()]


def words(pid):
    """A process's command line."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def parent(pid):
    """Its parent, 0 where it has gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def below(pid):
    """Its children."""
    try:
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()] + [
            int(p)
            for task in os.listdir(f"/proc/{pid}/task")
            if task != str(pid)
            for p in Path(f"/proc/{pid}/task/{task}/children").read_text().split()
        ]
    except OSError:
        return []


class Load:
    """Clients that submit and cancel, each in a thread of its own, until told to stop."""

    def __init__(self, fabric, makers, clients=3, most=40, pause_s=0.3, seed=0):
        self.fabric, self.makers, self.most, self.pause_s = fabric, makers, most, pause_s
        self.sent, self.seen, self.faults, self.refused = [], {}, [], Counter()
        self.lock, self.stop = threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self._guard, args=(self._submit, random.Random(seed * 100 + i)))
                        for i in range(clients)]  # fmt: skip
        self.threads.append(threading.Thread(target=self._guard, args=(self._watch,)))
        self.watched = threading.Event()

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.watched.set()
        for thread in self.threads:
            thread.join()

    def _guard(self, work, *given):
        client = Client(*local.credentials(self.fabric.folder))
        client.refused = self.refused
        try:
            work(client, *given)
        except BaseException as error:
            self.faults.append(error)

    def _submit(self, client, rng):
        while not self.stop.is_set():
            with self.lock:
                live = sum(len(s.jobs) for s in self.sent) - len(self.seen)
            if live < self.most:
                task, expected = rng.choice(self.makers)(rng)
                task["envs"] = task.get("envs", {}) | {"LINES": str(self.fabric.lines)}
                expected.jobs = named(client.ask("POST", "/v1/jobs", {"task": task})["jobs"], task)
                if expected.kind == "cancel":
                    self.stop.wait(rng.uniform(0.0, 3.0))
                    client.ask("POST", "/v1/jobs/cancel", {"jobs": [expected.jobs[0]]})
                with self.lock:
                    self.sent.append(expected)
            self.stop.wait(rng.uniform(0.0, 2.0 * self.pause_s))

    def _watch(self, client):
        """What has once been told to be over stays so."""
        while not self.watched.is_set():
            for job in every_job(client):
                if job["status"] in OVER:
                    with self.lock:
                        before = self.seen.setdefault(job["id"], job["status"])
                    assert before == job["status"], (before, job)
            self.watched.wait(1.0)

    def quiet(self, seconds):
        """Submit no more and wait until every job is over; they, by name."""
        self.stop.set()
        for thread in self.threads[:-1]:
            thread.join(ASK_S)
        client, waited = self.fabric.client, []

        def over():
            waited[:] = [j for j in every_job(client) if j["status"] not in OVER]
            assert not self.faults, self.faults
            return not waited

        until(over, seconds, lambda: (len(waited), waited[:5], client.ask("GET", "/v1/ships")))
        self.watched.set()
        self.threads[-1].join(ASK_S)
        assert not self.faults, self.faults
        jobs = {j["id"]: j for j in every_job(client)}
        for name, status in self.seen.items():
            assert jobs[name]["status"] == status
        return jobs


def named(names, task):
    """The jobs of an answer, arrays spelt out."""
    array = task.get("orbit", {}).get("array", 1)
    return tuple(names) if array == 1 else tuple(f"{n}.{i}" for n in names for i in range(array))


def every_job(client):
    cursor, made = "", []
    while cursor is not None:
        page = client.ask("GET", f"/v1/jobs?limit=1000{cursor and '&cursor=' + cursor}")
        made += page["jobs"]
        cursor = page["cursor"]
    return made


class Assassin:
    """Kills at random, and watches that nothing of a killed runtime outlives it for long."""

    def __init__(self, fabric, seed, weights):
        self.fabric, self.rng, self.weights = fabric, random.Random(seed), weights
        self.kills, self.orphans = Counter(), []
        self._doomed, self._stop = [], threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def strike(self):
        """One kill -9 of something that lives, or of all at once as when a machine loses power; whether there was anything."""
        kind = self.rng.choices(list(self.weights), list(self.weights.values()))[0]
        count = {"control": self._control, "twin": self._twin, "runtime": self._runtime, "keeper": self._keeper,
                 "machine": self._machine}[kind]()  # fmt: skip
        self.kills[kind] += count
        return count > 0

    def _control(self):
        return self.fabric.kill_control(self.rng.choice((None, None, self.rng.uniform(0.0, 4.0))))

    def _twin(self):
        return self._kill(self.fabric.twin())

    def _keeper(self):
        found = self.fabric.keepers()
        return self._kill(self.rng.choice(found)) if found else 0

    def _runtime(self):
        found = sorted(self.fabric.runtimes().values())
        if not found:
            return 0
        pid, folder = self.rng.choice(found)
        self._doom(folder)
        return self._kill(pid)

    def _machine(self):
        self._doom(self.fabric.folder)
        victims = [p for p, _ in self.fabric.runtimes().values()]
        while victims:
            self.rng.shuffle(victims)
            for pid in victims:
                self._kill(pid)
            victims = marked(self.fabric.folder)
        return self.fabric.kill_control()

    def _doom(self, folder):
        """Nothing of a folder that lives now is to live for long."""
        doomed = [(p, begun_at(p)) for p in marked(folder)]
        self._doomed.append((time.monotonic() + ORPHAN_S, doomed))

    def _kill(self, pid):
        """How many were killed, 0 where it has gone already."""
        try:
            if pid:
                os.kill(pid, signal.SIGKILL)
            return int(pid > 0)
        except ProcessLookupError:
            return 0

    def _look(self):
        while not self._stop.wait(0.2):
            self.fabric.measure()
            for due in [d for d in self._doomed if d[0] <= time.monotonic()]:
                self._doomed.remove(due)
                self.orphans += [(p, words(p)) for p, begun in due[1] if begun and begun_at(p) == begun]


def keep_journals(fabric):
    """Let every journal's own file keep a copy of each report, which acknowledgement does not remove."""
    count = fabric.client.ask("GET", "/v1/fabric")["ships"]
    until(lambda: len(list(fabric.folder.glob("runtimes/*/journal.sqlite"))) == count, 60)
    for file in fabric.folder.glob("runtimes/*/journal.sqlite"):
        with contextlib.closing(sqlite3.connect(file, timeout=30.0)) as db:
            until(lambda db=db: db.execute("SELECT 1 FROM sqlite_master WHERE name = 'members'").fetchone(), 30)
            db.execute("CREATE TABLE kept (n INTEGER PRIMARY KEY, body TEXT)")
            db.execute(
                "CREATE TRIGGER keep AFTER INSERT ON reports BEGIN INSERT INTO kept VALUES (new.n, new.body); END"
            )
            db.commit()
