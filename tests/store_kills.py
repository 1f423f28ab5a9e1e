"""Kill what appends, and see that nothing acknowledged is lost or there twice."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

from aether.fabric.store.store import Store

WRITER = Path(__file__).with_name("store_writer.py")


class Writer:
    """The child, and what it said was stored: (number of the first, subject of the first, subject of the last)."""

    def __init__(self, url, head, name, patience_s=60):
        command = [sys.executable, str(WRITER), url, str(head), name, str(patience_s)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.stored, self.troubles = [], []
        self.reader = threading.Thread(target=self._listen)
        self.reader.start()

    def _listen(self):
        for line in self.process.stdout:
            what, *rest = line.split()
            if not line.endswith("\n"):
                return  # killed while it spoke
            if what == "stored":
                self.stored.append((int(rest[0]), rest[1], rest[2]))
            else:
                self.troubles.append(line)

    def wait_for(self, count, within_s=30.0):
        until = time.monotonic() + within_s
        while len(self.stored) < count:
            assert self.process.poll() is None, self.process.stderr.read()
            assert time.monotonic() < until, (len(self.stored), self.troubles)
            time.sleep(0.005)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        self.reader.join(10)
        self.process.stdout.close()
        self.process.stderr.close()


@contextmanager
def writer(*arguments, **named):
    child = Writer(*arguments, **named)
    try:
        yield child
    finally:
        child.kill()


def kill_often(url, head, kills, seed):
    """So many children, one after another, each killed at a random moment; what they were told is in the store once."""
    rng, told = random.Random(seed), []
    for n in range(kills):
        with writer(url, head, f"w{n}") as child:
            child.wait_for(1)
            time.sleep(rng.uniform(0.0, 0.3))
        told += child.stored
    assert_all_there_once(url, head, told, unsaid=kills)


def assert_all_there_once(url, head, told, unsaid):
    """`unsaid`: batches that may have been stored without a word, one for each kill."""
    store = Store(url, head)
    try:
        found = store.verify()
        assert found.ok, found
        entries = store.read(limit=10**9)
        assert [e.seq for e in entries] == list(range(1, store.last_seq + 1))
        at = {e.seq: e.subject for e in entries}
        assert max(Counter(at.values()).values()) == 1
        for first, begin, end in told:
            count = int(end.partition("-")[2]) - int(begin.partition("-")[2])
            assert (at[first], at[first + count]) == (begin, end)
            assert store.receipt("p", begin) is not None
        words = sum(int(e.partition("-")[2]) - int(b.partition("-")[2]) + 1 for _, b, e in told)
        assert words <= len(entries) <= words + 20 * unsaid
    finally:
        store.close()


def backends(url):
    """Process numbers of the store's sessions on a server."""
    import psycopg

    with psycopg.connect(url) as connection:
        query = "SELECT pid FROM pg_stat_activity WHERE application_name = 'aether' AND datname = current_database()"
        return [row[0] for row in connection.execute(query)]


def kill_backends(url):
    for pid in backends(url):
        os.kill(pid, signal.SIGKILL)
