"""PostgreSQL for tests: a server of our own, from an installed one, in a temporary folder, as an ordinary user."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

NOBODY = "65534"  # root may not run a server


def programs():
    """The folder of `initdb` and `postgres`, the newest that is installed; None without."""
    found = [Path(p).parent for p in [shutil.which("initdb")] if p]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name), reverse=True)
    return next((p for p in found if (p / "initdb").exists() and (p / "postgres").exists()), None)


def lowered():
    """What goes before a command so that it runs as an ordinary user; None where root cannot."""
    if os.geteuid():
        return []
    if shutil.which("setpriv"):
        return [
            "setpriv",
            "--reuid",
            NOBODY,
            "--regid",
            NOBODY,
            "--clear-groups",
            "--pdeathsig",
            "QUIT",
        ]  # ends with us
    return ["runuser", "-u", "nobody", "--"] if shutil.which("runuser") else None


class Server:
    """A cluster on a free port of the loopback; `stop()` and `start()` as often as a test likes."""

    def __init__(self, folder, bin_folder, before):
        self.folder, self.bin, self.before = folder, bin_folder, before
        self.port, self.process = 0, None
        self.data = folder / "data"
        self.log = (folder / "log").open("w")
        self.run("initdb", "-D", self.data, "-U", "aether", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")

    def run(self, program, *arguments):
        command = [*self.before, str(self.bin / program), *map(str, arguments)]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self, *options):
        """On a port that is free at first and the same ever after."""
        if not self.port:
            with socket.socket() as s:
                s.bind(("127.0.0.1", 0))
                self.port = s.getsockname()[1]
        settings = {
            "listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": self.folder,
            "max_connections": 40, "shared_buffers": "16MB", "autovacuum": "off",
        }  # fmt: skip
        given = [a for name, value in settings.items() for a in ("-c", f"{name}={value}")]
        command = [*self.before, str(self.bin / "postgres"), "-D", str(self.data), *given, *options]
        self.process = subprocess.Popen(
            command, cwd=self.folder, stdout=self.log, stderr=self.log, start_new_session=True
        )
        until = time.monotonic() + 60
        while not self.answers():
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < until, (self.folder / "log").read_text()
            time.sleep(0.05)

    def answers(self):
        import psycopg

        try:
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def url(self, name):
        return f"postgresql://aether@127.0.0.1:{self.port}/{name}"

    def fresh(self):
        """URL of a new, empty database."""
        import psycopg

        name = f"t{secrets.token_hex(6)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def stop(self, how=signal.SIGINT):
        """SIGINT: fast, in order; SIGQUIT: at once, recovery comes with the next start."""
        if self.process is not None and self.process.poll() is None:
            try:
                pid = int((self.data / "postmaster.pid").read_text().split()[0])  # runuser may stand between
                os.kill(pid, how)
                self.process.wait(30)
            except (OSError, ValueError, subprocess.TimeoutExpired):
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(10)

    def close(self):
        self.stop(signal.SIGQUIT)  # nothing there is wanted any more
        self.log.close()


@pytest.fixture(scope="session")
def postgres():
    """A server for the session, one per process of pytest-xdist; skipped where none is installed."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'aether-fabric[live]'")
    bin_folder, before = programs(), lowered()
    if bin_folder is None:
        pytest.skip("no PostgreSQL server is installed (apt-get install postgresql)")
    if before is None:
        pytest.skip("PostgreSQL does not run as root, and neither setpriv nor runuser is here")
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))  # sockets' names have a limit of 107 characters
    if before:
        os.chown(folder, int(NOBODY), int(NOBODY))
    server = None
    try:
        server = Server(folder, bin_folder, before)
        server.start()
        yield server
    finally:
        if server is not None:
            server.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path):
    """URL of an empty database, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'fabric.db'}"
    return request.getfixturevalue("postgres").fresh()
