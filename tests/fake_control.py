"""Control as a test plays it: hands out orders, keeps what comes, goes dark when told."""

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from aether.fabric.protocol import Join, Order, Peer, Sensors, Sync
from aether.fabric.runtime.sweep import sweep

TOKEN = "token-of-tests"
ROOT = Path(__file__).resolve().parents[1]


class FakeControl:
    """An HTTP server on a free port; `orders` maps a runtime to its orders, keyed by attempt and rank."""

    def __init__(self, speed=1.0):
        self.orders = defaultdict(dict)
        self.version = 0
        self.reports = defaultdict(list)  # of a runtime, as they came the first time
        self.came = defaultdict(list)  # numbers as they came, repeats too
        self.joins = []
        self.logs, self.blobs = defaultdict(bytearray), {}
        self.dark = self.holds_logs = self.refuses = self.leave = False
        self.speed, self.began, self.start_s = speed, time.monotonic(), 1_800_000_000.0
        self.news = threading.Condition()
        control = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # else each answer waits 40 ms for an acknowledgement
            do_POST = do_PUT = do_GET = lambda self: control.answer(self)  # noqa: N815 - names of http.server

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def time_s(self):
        return self.start_s + self.speed * (time.monotonic() - self.began)

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    # what a test does

    def order(self, runtime, order):
        with self.news:
            self.orders[runtime][(order.attempt, order.rank)] = order
            self.version += 1
            self.news.notify_all()

    def change(self, runtime, attempt, rank=0, **changes):
        self.order(runtime, self.orders[runtime][(attempt, rank)].model_copy(update=changes))

    def forget(self, runtime, attempt, rank=0):
        with self.news:
            self.orders[runtime].pop((attempt, rank), None)
            self.version += 1
            self.news.notify_all()

    def of(self, runtime, kind, attempt=None):
        return [r.report for r in list(self.reports[runtime])
                if r.report.kind == kind and attempt in (None, r.report.attempt)]  # fmt: skip

    def wait(self, runtime, kind, attempt=None, count=1, within=60.0):
        """The reports of a kind, once so many have come."""
        until(lambda: len(self.of(runtime, kind, attempt)) >= count, within,
              lambda: f"{kind} of {runtime}: {[r.report for r in self.reports[runtime]]}")  # fmt: skip
        return self.of(runtime, kind, attempt)

    def run(self, runtime, attempt="j-1/1", **told):
        """Order a member of one node, take it from prepared to run; returns once it was ordered to run."""
        self.order(runtime, Order(**{"attempt": attempt, "rank": 0, "nodes": 1, "phase": "prepare", "gpus": 1, **told}))
        ready = self.wait(runtime, "prepared", attempt)[0]
        peer = Peer(rank=0, runtime=runtime, address=ready.address, port=ready.port)
        self.change(runtime, attempt, phase="run", peers=(peer,))

    def log(self, attempt="j-1/1", rank=0):
        return self.logs[(attempt, rank)].decode(errors="replace")

    def blob(self, data):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        self.blobs[digest] = data
        return digest

    # what a runtime sees

    def answer(self, request):
        if self.dark:
            request.close_connection = True
            return None
        length = int(request.headers.get("Content-Length") or 0)
        data = request.rfile.read(length)
        if len(data) < length:
            return None
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.say(request, 401, {"title": "the token is not known"})
        url = urlsplit(request.path)
        what = url.path.removeprefix("/runtime/v1/")
        if what == "join":
            return self.join(request, Join.model_validate_json(data))
        if what == "sync":
            return self.sync(request, Sync.model_validate_json(data))
        if what == "logs":
            return self.store_log(request, {k: v[0] for k, v in parse_qs(url.query).items()}, data)
        digest = what.removeprefix("blobs/")
        if request.command == "PUT":
            assert "sha256:" + hashlib.sha256(data).hexdigest() == digest
            self.blobs[digest] = data
            return self.say(request, 200, {})
        return (
            self.say(request, 200, self.blobs[digest])
            if digest in self.blobs
            else self.say(request, 404, {"title": "no such blob"})
        )

    def join(self, request, join):
        if self.refuses:
            return self.say(request, 426, {"title": "runtime of an older protocol", "detail": "it speaks 1, control 2"})
        self.joins.append(join)
        self.say(request, 200, {"acknowledged": self.last(join.runtime), "time_s": self.time_s, "speed": self.speed})
        return None

    def last(self, runtime):
        return self.reports[runtime][-1].n if self.reports[runtime] else 0

    def sync(self, request, sync):
        with self.news:
            for report in sync.reports:
                self.came[sync.runtime].append(report.n)
                if report.n > self.last(sync.runtime):
                    self.reports[sync.runtime].append(report)
            self.news.wait_for(lambda: self.version != sync.seen or self.dark or self.leave, sync.wait_s)
            if self.dark:
                request.close_connection = True
                return None
            body = {"acknowledged": self.last(sync.runtime), "version": self.version, "time_s": self.time_s,
                    "speed": self.speed, "leave": self.leave,
                    "orders": [o.model_dump(mode="json") for o in self.orders[sync.runtime].values()]}  # fmt: skip
        return self.say(request, 200, body)

    def store_log(self, request, query, data):
        key, offset = (query["attempt"], int(query["rank"])), int(query["offset"])
        if self.holds_logs:
            return self.say(request, 503, {"title": "out of contact"})
        if offset <= len(self.logs[key]):
            self.logs[key] += data[len(self.logs[key]) - offset :]
        return self.say(request, 200, {"offset": len(self.logs[key])})

    def say(self, request, status, body):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request.send_response(status)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)


def until(true, within=60.0, told=lambda: ""):
    """Poll until something is true; fails with what is told after the deadline."""
    end = time.monotonic() + within
    while not (found := true()):
        assert time.monotonic() < end, told()
        time.sleep(0.02)
    return found


def start(control, name, folder, changed="", **env):
    """A runtime as a process of its own; changed: what is set otherwise in its agent, as Python."""
    told = ["-m", "aether.fabric.runtime"]
    if changed:
        told = ["-c", f"from aether.fabric.runtime import agent, __main__ as m; {changed}; raise SystemExit(m.main())"]
    with (folder.parent / f"{folder.name}.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, *told, "--url", control.url, "--name", name, "--folder", str(folder)], stdout=log, stderr=log,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "AETHER_RUNTIME_TOKEN": TOKEN, **env},
        )  # fmt: skip


class Fleet:
    """Control and runtimes of one test; nothing of them is left after it."""

    def __init__(self, folder, speed=1.0):
        self.folder, self.control, self.processes = Path(os.path.realpath(folder)), FakeControl(speed), {}

    def start(self, name, **env):
        """Start a runtime, and wait until it has joined."""
        joined = len(self.control.joins)
        self.processes[name] = start(self.control, name, self.disk(name), **env)
        if not (self.control.dark or self.control.refuses):
            until(lambda: len(self.control.joins) > joined, told=lambda: self.told(name))
        return self.processes[name]

    def disk(self, name):
        return self.folder / name.replace("/", "-")

    def told(self, name):
        path = self.folder / f"{self.disk(name).name}.log"
        return path.read_text() if path.exists() else ""

    def sense(self, name, **felt):
        made = Sensors(**{"time_s": 0.0, "gpus": 8, "gpu_w": 1000.0, "ship": True, "accelerator": "b200", **felt})
        part = self.disk(name) / "sensors.new"
        part.parent.mkdir(exist_ok=True)
        part.write_text(made.model_dump_json())
        part.replace(self.disk(name) / "sensors.json")

    def kill(self, name):
        self.processes[name].kill()
        self.processes[name].wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes.values():
            process.kill()
            process.wait()
        self.control.close()
        sweep(self.folder)
