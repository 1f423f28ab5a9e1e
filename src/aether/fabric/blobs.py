"""Files by their digest: what tasks mount, what checkpoints hold; and the archives that folders travel in."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

from aether.base.errors import InputError, Problem

DIGEST = re.compile(r"^sha256:[0-9a-f]{64}$")
LARGEST_BYTES = 20_000_000_000  # of one blob, and of what it unpacks to: a fifth of a small ship's disk of 100 GB
MOST_FILES = 1_000_000  # an archive of more would spend more inodes than small file systems have
LONGEST_NAME = 1_000  # characters of a path in an archive: four such still lie under PATH_MAX of Linux, 4,096
CHUNK = 1 << 20
ARCHIVE = "aether folder"  # comment in the first header of our archives: a user's own tar file is mounted as one file
STEADY_TRIES = 10  # a file that changes while it is read is read again so often, then left as it is


class BlobError(Exception):
    """A blob or archive that is not taken, and why."""


class Blobs:
    """Content-addressed files in a folder; what is named is whole, and on disk."""

    def __init__(self, folder: Path, largest_bytes: int = LARGEST_BYTES) -> None:
        self.folder = folder
        self.largest_bytes = largest_bytes
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob("*.part"):  # of a process that was killed; a writer that lives touches its own
            with contextlib.suppress(OSError):
                if time.time() - left.stat().st_mtime > 3600.0:
                    left.unlink()

    def _path(self, digest: str) -> Path:
        if not DIGEST.match(digest):
            raise BlobError(f"'{digest[:80]}' is no digest such as sha256:0123...")
        return self.folder / digest[7:]

    def put(self, stream: IO[bytes], digest: str) -> int:
        """Store what a stream holds under its digest; BlobError when it is another's or too large. Size [bytes]."""
        path = self._path(digest)
        found, size = hashlib.sha256(), 0
        handle, name = tempfile.mkstemp(suffix=".part", dir=self.folder)
        try:
            with os.fdopen(handle, "wb") as out:
                while piece := stream.read(CHUNK):
                    size += len(piece)
                    if size > self.largest_bytes:
                        raise BlobError(f"{digest} is larger than {self.largest_bytes:,} bytes")
                    found.update(piece)
                    out.write(piece)
                if found.hexdigest() != digest[7:]:
                    raise BlobError(f"what came is not {digest} but sha256:{found.hexdigest()}")
                out.flush()
                os.fsync(out.fileno())
            os.replace(name, path)
            _sync_folder(self.folder)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
        return size

    def open(self, digest: str) -> BinaryIO:
        """The blob, to be read; FileNotFoundError when it is not here."""
        return self._path(digest).open("rb")

    def path(self, digest: str) -> Path:
        """Where the blob lies."""
        return self._path(digest)

    def size(self, digest: str) -> int | None:
        """Its size [bytes]; None when it is not here."""
        try:
            return self._path(digest).stat().st_size
        except FileNotFoundError:
            return None

    def remove(self, digest: str) -> None:
        """Forget the blob, whether or not it is here."""
        self._path(digest).unlink(missing_ok=True)

    def __iter__(self) -> Iterator[str]:
        """Digests of all that is here."""
        return (f"sha256:{p.name}" for p in self.folder.iterdir() if re.fullmatch(r"[0-9a-f]{64}", p.name))


def _sync_folder(folder: Path) -> None:
    """Make a rename last: its folder is written too, where the system lets folders be opened."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def digest_of(path: Path) -> str:
    """Digest of a file, as sha256:0123..."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Packed:
    """A blob made of a file or folder."""

    path: Path
    digest: str
    size_bytes: int


def pack(source: Path, target: Path, keep: Callable[[str], bool] | None = None, strict: bool = True) -> Packed:
    """Make `target` the blob of a file or folder: the same content, names and times give the same bytes.

    keep: whether a path (relative, with `/`) is taken. strict: a link that leads out, or what is neither file nor
    folder, is an InputError; else it is left out. A folder's archive is a POSIX tar with entries in order of name.
    """
    if not source.is_dir():
        if not source.is_file():
            raise InputError(Problem(str(source), "is neither a file nor a folder", next="Give one that exists"))
        shutil.copyfile(source, target)
    else:
        with (
            target.open("wb") as out,
            tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": ARCHIVE}) as archive,
        ):
            top = tarfile.TarInfo(".")  # an archive of nothing but our header could not be read back
            top.type, top.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(top)
            problems = [p for p in (_add(archive, source, name) for name in _names(source, keep)) if p and strict]
        if problems:
            target.unlink(missing_ok=True)
            raise InputError(problems)
    return Packed(target, digest_of(target), target.stat().st_size)


def _names(source: Path, keep: Callable[[str], bool] | None) -> list[str]:
    """Paths under a folder in order, folders before what they hold."""
    found: list[str] = []
    for at, folders, files in os.walk(source):
        base = Path(at).relative_to(source).as_posix()
        names = [n if base == "." else f"{base}/{n}" for n in folders + files]
        taken = {n for n in names if keep is None or keep(n)}
        folders[:] = [f for f in folders if (f if base == "." else f"{base}/{f}") in taken]
        found += taken
        if len(found) > MOST_FILES:
            raise InputError(Problem(str(source), f"holds more than {MOST_FILES:,} files", next="Pack them into one"))
    return sorted(found)


def _add(archive: tarfile.TarFile, source: Path, name: str) -> Problem | None:
    """Add one path; a problem when it cannot travel."""
    path = source / name
    if len(name) > LONGEST_NAME:
        return Problem(str(path), f"has a name of more than {LONGEST_NAME} characters")
    entry = tarfile.TarInfo(name)
    try:
        if path.is_symlink():
            link = _inner_link(source, name)
            if link is None:
                return Problem(
                    str(path), "is a link that leads out of the folder", next="Mount what it leads to by itself"
                )
            entry.type, entry.linkname, entry.mtime = tarfile.SYMTYPE, link, path.lstat().st_mtime
            archive.addfile(entry)
        elif path.is_dir():
            entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, 0o755, int(path.stat().st_mtime)
            archive.addfile(entry)
        elif path.is_file():
            _add_file(archive, path, entry)
        else:
            return Problem(str(path), "is neither a file, a folder nor a link")
    except FileNotFoundError:  # gone since it was listed
        return None
    return None


def _add_file(archive: tarfile.TarFile, path: Path, entry: tarfile.TarInfo) -> None:
    """Add a file as it is at one moment: copied aside, and again when it changed meanwhile."""
    with tempfile.TemporaryFile() as aside:
        for _ in range(STEADY_TRIES):
            before = path.stat()
            aside.seek(0)
            aside.truncate()
            with path.open("rb") as file:
                shutil.copyfileobj(file, aside, CHUNK)
            size, after = aside.tell(), path.stat()
            if size == after.st_size and _face(before) == _face(after):
                break
            time.sleep(0.05)
        entry.size, entry.mtime = size, after.st_mtime_ns / 1e9
        entry.mode = 0o755 if after.st_mode & 0o100 else 0o644
        aside.seek(0)
        archive.addfile(entry, aside)


def _face(stat: os.stat_result) -> tuple[int, int, int]:
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _inner_link(source: Path, name: str) -> str | None:
    """Target of a link, relative to where it stands; None when it leads out of the folder."""
    target = os.readlink(source / name)
    if os.path.isabs(target):
        root = os.path.realpath(source)
        inner = os.path.relpath(target, root) if os.path.commonpath([root, target]) == root else None
        if inner is None:
            return None
        target = os.path.relpath(inner, os.path.dirname(name) or ".")
    return target if _within(name, target) else None


def _within(name: str, link: str) -> bool:
    """Whether a link at `name` stays inside, by its letters."""
    to = os.path.normpath(os.path.join(os.path.dirname(name), link))
    return not (os.path.isabs(link) or to == ".." or to.startswith("../") or len(link) > LONGEST_NAME)


def is_archive(file: Path) -> bool:
    """Whether a blob is an archive that `pack` made of a folder; anything else is one file."""
    try:
        with tarfile.open(file, "r:") as archive:
            return archive.pax_headers.get("comment") == ARCHIVE
    except (tarfile.TarError, OSError, ValueError):
        return False


def unpack(
    file: Path, folder: Path, newest: bool = False, largest_bytes: int = LARGEST_BYTES, most_files: int = MOST_FILES
) -> int:
    """Unpack an archive into a folder; bytes written. BlobError, by name, for all that leads out or goes too far.

    newest: a file that is there already is replaced only by a later one. Files are never written through links, links
    are made last, and one that turns out to lead out of the folder is taken away again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    root = os.path.realpath(folder)
    links: list[tarfile.TarInfo] = []
    count = size = 0
    try:
        with tarfile.open(file, "r:") as archive:
            for entry in archive:
                count, size = count + 1, size + entry.size
                if count > most_files:
                    raise BlobError(f"holds more than {most_files:,} files")
                if size > largest_bytes:
                    raise BlobError(f"unpacks to more than {largest_bytes:,} bytes")
                name = _safe_name(entry)
                if entry.issym():
                    links.append(entry)
                else:
                    _place(archive, entry, root, name, newest)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise BlobError(f"is no archive that can be read: {error}") from error
    for entry in links:
        _link(root, entry)
    for entry in links:
        to = os.path.realpath(os.path.join(root, entry.name))
        if not (to == root or to.startswith(root + os.sep)) or len(to) > 4 * LONGEST_NAME:
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(root, entry.name))
            raise BlobError(f"'{entry.name[:200]}' is a link that leads out of the folder")
    return size


def _safe_name(entry: tarfile.TarInfo) -> str:
    """The entry's path; BlobError for what may not be."""
    name, shown = entry.name, entry.name[:200]
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or "\0" in name or "\\" in name or len(name) > LONGEST_NAME:
        raise BlobError(f"'{shown}' leads out of the folder")
    if not (entry.isfile() or entry.isdir() or entry.issym()) or entry.issparse():
        raise BlobError(f"'{shown}' is neither a file, a folder nor a symbolic link")
    if entry.issym() and not _within(name, entry.linkname):
        raise BlobError(f"'{shown}' is a link that leads out of the folder")
    return "/".join(parts)


def _place(archive: tarfile.TarFile, entry: tarfile.TarInfo, root: str, name: str, newest: bool) -> None:
    """Write one file or folder, never through a link."""
    path = os.path.join(root, name) if name else root
    parent = os.path.dirname(path) if name else root
    if os.path.realpath(parent) != parent:
        raise BlobError(f"'{name[:200]}' lies behind a link")
    try:
        os.makedirs(path if entry.isdir() else parent, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise BlobError(f"'{name[:200]}' is a file in one place and a folder in another") from error
    if entry.isdir():
        return
    if newest and os.path.lexists(path) and os.lstat(path).st_mtime >= entry.mtime:
        return
    if os.path.isdir(path) and not os.path.islink(path):
        raise BlobError(f"'{name[:200]}' is a file in one place and a folder in another")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    source = archive.extractfile(entry)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o755 if entry.mode & 0o100 else 0o644)
    with os.fdopen(handle, "wb") as out:
        if source is not None:
            shutil.copyfileobj(source, out, CHUNK)
    os.utime(path, ns=(int(entry.mtime * 1e9), int(entry.mtime * 1e9)))


def _link(root: str, entry: tarfile.TarInfo) -> None:
    path = os.path.join(root, entry.name)
    if os.path.realpath(os.path.dirname(path)) != os.path.dirname(path):
        raise BlobError(f"'{entry.name[:200]}' lies behind a link")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.isdir(path) and not os.path.islink(path):
        raise BlobError(f"'{entry.name[:200]}' is a link in one place and a folder in another")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    os.symlink(entry.linkname, path)
