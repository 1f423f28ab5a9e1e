"""A live fabric for tests: two ships that nothing hampers and a site, in a folder of its own, gone after the test."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import yaml

from aether.fabric import local
from aether.fabric.client import Client

QUIET = {
    "name": "quiet", "start": "2026-06-21T00:00:00Z", "duration": "2 h",
    "relays": {"shells": [{"shell": {"planes": 24, "per_plane": 22, "altitude": "550 km", "inclination": "53 deg"}}]},
    "ships": [{"name": "a", "ship": "ai1", "count": 2, "orbit": {"ring": {"altitude": "600 km", "node_local_time": "18 h"}}}],
    "sites": [{"name": "virginia", "at": "Washington", "gpus": 64}],
    "ground": {"cities": {"largest": 2}, "coverage_cells": 0},
    "outputs": {"ablation": False},
    "couplings": dict.fromkeys(("faults", "manoeuvres", "anomaly", "eclipse", "access"), False),
}  # fmt: skip


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class LiveFabric:
    """A fabric that is up; `aether(...)` calls the command for it."""

    def __init__(self, folder: Path, by_command=False, models=False):
        self.folder = Path(os.path.realpath(folder))
        self.home = self.folder / "home"
        self.environment = {**os.environ, "AETHER_HOME": str(self.home), "COLUMNS": "140"}
        for name in ("AETHER_URL", "AETHER_KEY"):
            self.environment.pop(name, None)
        scenario = self.folder / "quiet.yaml"
        scenario.write_text(yaml.safe_dump(QUIET))
        given = {"speed": 60.0, "port": free_port(), "ships": 2, "sites": 1}
        if not models:
            given["gateway_port"] = 0
        if by_command:
            options = [word for k, v in given.items() for word in (f"--{k.replace('_', '-')}", v)]
            code, self.told, err = self.aether("up", scenario.name, *options)
            assert code == 0, err
        else:
            local.up(self.home, given | {"scenario": str(scenario)})
        self.url, self.key = local.credentials(self.home)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        local.down(self.home)
        left = self.processes()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert not left

    def processes(self):
        """Processes of this fabric that live."""
        return [int(p) for p in os.listdir("/proc") if p.isdigit() and str(self.home).encode() in _line(p)]

    def programs(self, job):
        """Environments of what runs for a job, as the system has them."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError, UnicodeDecodeError):
                text = Path(f"/proc/{pid}/environ").read_text()
                facts = dict(one.partition("=")[::2] for one in text.split("\0"))
                found += [facts] if facts.get("AETHER_JOB") == job else []
        return found

    def client(self, **given):
        return Client(self.url, self.key, **given)

    def start(self, *arguments, **given):
        """The command as a process that is not waited for."""
        return subprocess.Popen(
            [sys.executable, "-m", "aether", *map(str, arguments)], cwd=self.folder, text=True, env=self.environment | given,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def aether(self, *arguments, **given):
        """The command: (exit code, standard output, standard error)."""
        process = self.start(*arguments, **given)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err


def _line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def until(true, within=60.0):
    """Poll until something is true, and give it."""
    end = time.monotonic() + within
    while not (found := true()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found
