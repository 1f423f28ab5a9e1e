"""Files that no job needs any more go; those that one may still need stay."""

import io
import os

import pytest

from aether.fabric.blobs import Blobs
from aether.fabric.core import events
from aether.fabric.core.clock import FabricClock
from aether.fabric.core.plane import Happening, Plane
from aether.fabric.store.store import Entry, Receipt, Store
from aether.fabric.task import Task
from aether.fabric.tidy import RECEIPTS_S, tidy
from fabric_play import Play, facts


@pytest.fixture
def plane(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'fabric.db'}")
    made = Plane(
        store, FabricClock(1e9), (Play([facts("a/0")]).state, 0), lambda _: None, lambda _: None, lambda _: None
    )
    made.start()
    yield made
    made.close()
    store.close()


def keep(blobs, data, folder):
    import hashlib

    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    blobs.put(io.BytesIO(data), digest)
    mark = folder / "projects" / "p" / digest[7:]
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    return digest


def test_only_what_no_job_may_still_need_goes_and_only_when_it_is_old(plane, tmp_path):
    blobs = Blobs(tmp_path / "blobs")
    mounted, idle = keep(blobs, b"mounted", tmp_path), keep(blobs, b"idle", tmp_path)
    task = Task.model_validate({"run": "true", "file_mounts": {"~/a": mounted}})
    plane.put(Happening(events.Submitted(job="j-x", project="p", task=task), "p", "j-x")).result(10.0)
    for name in ("j-x", "j-gone"):
        (tmp_path / "logs" / name).mkdir(parents=True)
    assert tidy(plane, blobs, tmp_path) == 0
    old = os.path.getmtime(blobs.path(idle)) - 1e6
    for path in (blobs.path(mounted), blobs.path(idle), tmp_path / "logs/j-x", tmp_path / "logs/j-gone"):
        os.utime(path, (old, old))
    assert tidy(plane, blobs, tmp_path) == 2
    assert list(blobs) == [mounted]
    assert not (tmp_path / "projects/p" / idle[7:]).exists()
    assert (tmp_path / "logs/j-x").exists()
    assert not (tmp_path / "logs/j-gone").exists()


def test_receipts_are_forgotten_after_a_week(plane, tmp_path):
    entry = Entry(1.0, "noted", "", "", "{}")
    now = plane.clock.now()
    for key, time_s in (("old", now - RECEIPTS_S - 60.0), ("new", now)):
        plane.store.append([entry], [Receipt("p", key, b"0" * 32, "{}", time_s)])
    assert tidy(plane, Blobs(tmp_path / "blobs"), tmp_path) == 1
    assert plane.store.receipt("p", "old") is None
    assert plane.store.receipt("p", "new") is not None
