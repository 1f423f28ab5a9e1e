"""A member's folder: what is mounted there, the environment of its program, the checkpoints that leave it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from aether.base.errors import InputError
from aether.fabric.blobs import BlobError, Blobs, Packed, is_archive, pack, unpack
from aether.fabric.protocol import Order
from aether.fabric.runtime.link import Backoff, ContactError, Link, RefusedError
from aether.fabric.runtime.sweep import MARK

BLOB_TRIES = 3  # a transfer that was cut gives another digest; three in a row are no accident
FOLDER_TRIES = 10  # what was ended before is tidied away once, so that two are enough
UNFINISHED = re.compile(r"\.(tmp|part)$|^\.tmp")  # names of files that programs are still writing, by custom
# by which aether-tiny and whoever reads it, vLLM and llama.cpp are told what to ask for
SERVER_KEYS = ("AETHER_SERVER_KEY", "VLLM_API_KEY", "LLAMA_API_KEY")
PASSED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ")  # of the runtime's environment; nothing else of it is passed


class PrepareError(Exception):
    """What a member needs could not be made ready, and why."""


class CancelledError(Exception):
    """It is not wanted any more."""


def member_folder(work: Path, attempt: str, rank: int) -> Path:
    """work/JOB/N/RANK; a name can never lead elsewhere."""
    parts = [p if p.strip(".") else "_" for p in attempt.split("/")]
    return work.joinpath(*parts, str(rank))


def inner(home: Path, path: str) -> Path:
    """A path under the home, as `~/a/b` or `a/b`; PrepareError for one that leads out."""
    plain = path[2:] if path.startswith("~/") else path
    parts = PurePosixPath(plain).parts
    if not parts or plain.startswith(("/", "~")) or ".." in parts or "\0" in plain or "\\" in plain:
        raise PrepareError(f"'{path[:200]}' does not lie under the job's home")
    made = home.joinpath(*parts)
    if os.path.realpath(made) != str(made):
        raise PrepareError(f"'{path[:200]}' lies behind a link")
    return made


def remove(folder: Path) -> None:
    """Remove a folder, also where a program took the right to write away from its owner."""
    for at, folders, _ in os.walk(folder):
        for name in folders:
            with contextlib.suppress(OSError):
                if not os.path.islink(os.path.join(at, name)):
                    os.chmod(os.path.join(at, name), 0o700)
    shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Fetch:
    """How blobs come: over the line, into the runtime's store, with every byte counted."""

    link: Link
    blobs: Blobs
    moved: Callable[[int, bool], None]  # bytes, whether down
    cancelled: threading.Event

    def path(self, digest: str) -> Path:
        """A blob on this disk; fetched when it is not here, again and again while there is no contact."""
        backoff, tries = Backoff(), 0
        while self.blobs.size(digest) is None:
            if self.cancelled.is_set():
                raise CancelledError
            try:
                with self.link.download(digest) as stream:
                    self.moved(self.blobs.put(stream, digest), False)
            except ContactError:
                backoff.wait(self.cancelled)
            except RefusedError as error:
                raise PrepareError(f"{digest} cannot be had: {error}") from error
            except BlobError as error:
                tries += 1
                if tries == BLOB_TRIES:
                    raise PrepareError(str(error)) from error
        return self.blobs.path(digest)

    def prepare(self, order: Order, folder: Path) -> None:
        """Make a member's folder: home, workdir, mounts, and checkpoints to go on from; PrepareError with the reason."""
        home = Path(os.path.realpath(folder)) / "home"
        try:
            for made in (home / "workdir", folder / "logs", folder / "tmp"):
                _make(made)
            if order.workdir is not None:
                self._mount(home / "workdir", order.workdir)
            for target, digest in sorted(order.mounts.items()):
                self._mount(inner(home, target), digest)
            if order.checkpoint is not None:
                at = inner(home, order.checkpoint)
                at.mkdir(parents=True, exist_ok=True)
                for digest in order.restore:
                    unpack(self.path(digest), at, newest=True)
        except BlobError as error:
            raise PrepareError(str(error)) from error
        except OSError as error:
            raise PrepareError(f"its files could not be made: {error}") from error

    def _mount(self, target: Path, digest: str) -> None:
        blob = self.path(digest)
        if is_archive(blob):
            unpack(blob, target)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(blob, target)


def _make(folder: Path) -> None:
    """A folder with those above it, of which the tidying of the attempt before may take one away just now."""
    for _ in range(FOLDER_TRIES - 1):
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            folder.mkdir(parents=True, exist_ok=True)
            return
    folder.mkdir(parents=True, exist_ok=True)


def environment(order: Order, folder: Path, ship: str, runtime_env: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The whole environment of a member's program: what the order says, what torchrun and SkyPilot users expect, a home."""
    home = Path(os.path.realpath(folder)) / "home"
    made = {name: runtime_env[name] for name in PASSED if name in runtime_env}
    rank, nodes = str(order.rank), str(order.nodes)
    made |= order.envs
    made |= {
        "HOME": str(home), "TMPDIR": str(folder / "tmp"), "RANK": rank, "WORLD_SIZE": nodes,
        "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1", "NODE_RANK": rank, "GROUP_RANK": rank,
        "SKYPILOT_NODE_RANK": rank, "SKYPILOT_NUM_NODES": nodes, "SKYPILOT_TASK_ID": order.attempt,
        "SKYPILOT_NUM_GPUS_PER_NODE": str(order.gpus), "AETHER_JOB": order.attempt.rpartition("/")[0] or order.attempt,
        "AETHER_ATTEMPT": order.attempt, "AETHER_SHIP": ship, "AETHER_PYTHON": sys.executable, MARK: str(folder),
    }  # fmt: skip
    if order.server_key:
        made |= dict.fromkeys(SERVER_KEYS, order.server_key)
    if order.checkpoint is not None:
        made["AETHER_CHECKPOINT"] = str(inner(home, order.checkpoint))
    if order.peers:
        own = order.peers[order.rank]
        made |= {"MASTER_ADDR": order.peers[0].address, "MASTER_PORT": str(order.peers[0].port),
                 "AETHER_HOST": own.address, "AETHER_PORT": str(own.port),
                 "SKYPILOT_NODE_IPS": "\n".join(p.address for p in order.peers)}  # fmt: skip
    return made


@dataclass
class Checkpoints:
    """A folder that is looked through for changes; its newest state goes to control, older ones that did not are dropped."""

    source: Path
    folder: Path  # where archives wait
    stored: str = ""  # digest of the newest that control has
    tell: Callable[[str], None] = print
    fault: str = ""  # why the newest state could not be packed
    _face: tuple[tuple[str, int, int], ...] | None = None
    _pending: Packed | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def baseline(self) -> None:
        """What is there now came from control: it need not go back."""
        self._face = self._look()

    def _look(self) -> tuple[tuple[str, int, int], ...]:
        """Names, sizes and times of all finished files."""
        found = []
        for at, folders, files in os.walk(self.source):
            folders[:] = [f for f in folders if not UNFINISHED.search(f)]
            for name in files:
                if not UNFINISHED.search(name):
                    try:
                        stat = os.lstat(os.path.join(at, name))
                    except OSError:
                        continue
                    found.append((os.path.relpath(os.path.join(at, name), self.source), stat.st_size, stat.st_mtime_ns))
        return tuple(sorted(found))

    def look(self) -> bool:
        """Pack the folder when it changed; whether an archive waits to be sent."""
        with self._lock:
            face = self._look()
            if face and face != self._face:
                part = self.folder / "checkpoint.part"
                try:
                    made = pack(
                        self.source, part, keep=lambda n: not UNFINISHED.search(n.rpartition("/")[2]), strict=False
                    )
                except (OSError, InputError) as error:
                    self.fault = f"the checkpoint could not be packed: {error}"
                    self.tell(f"{self.source}: {self.fault}")
                    return self._pending is not None
                target = self.folder / "checkpoint.tar"
                os.replace(part, target)
                self._pending = Packed(target, made.digest, made.size_bytes) if made.digest != self.stored else None
                self._face, self.fault = face, ""
            return self._pending is not None

    def push(self, link: Link, ended: threading.Event) -> Packed | None:
        """Send what waits until control has it; None when nothing waits or `ended` is set first. RefusedError is raised."""
        backoff = Backoff()
        while (made := self._pending) is not None:
            try:
                link.upload(made.path, made.digest)
            except ContactError:
                if ended.is_set():
                    return None
                backoff.wait(ended)
                continue
            except RefusedError:
                self._pending = None
                raise
            self.stored, self._pending = made.digest, None
            return made
        return None
