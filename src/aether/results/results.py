"""Results of a run: saved whole or not at all, loaded, compared."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from aether.base.errors import InputError, Problem
from aether.results import sinks

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Results:
    """summary: what `summary.json` holds. tables: Arrow tables by name. manifest: scenario, seed, versions, sources.

    Tables that are on disk are read when they are first asked for.
    """

    summary: dict[str, Any]
    tables: Mapping[str, pa.Table]
    manifest: dict[str, Any]
    report: str = field(default="", repr=False)  # self-contained HTML, when one was made

    def save(self, folder: str | Path) -> Path:
        """Write everything to a folder; see `save`."""
        return save(self, Path(folder))


def check_folder(folder: Path) -> None:
    """InputError unless `folder` can take results: absent, empty, or results of an earlier run."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise InputError(Problem("", f"the output folder {folder} is not a folder"))
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST).is_file():
        what = f"the output folder {folder} holds files that are not results of Aether"
        raise InputError(Problem("", what, next="Nothing was written; name an empty or new folder with --out"))
    parent = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise InputError(Problem("", f"the output folder {folder} cannot be written", next="Name another with --out"))


def save(results: Results, folder: Path) -> Path:
    """Write results to a folder whole or not at all; InputError when the folder is not ours or the disk is full."""
    with drafting(folder) as part:
        sinks.write(results.tables, part)
        write(results, part)
    return folder.absolute()


@contextmanager
def drafting(folder: Path) -> Iterator[Path]:
    """A temporary folder beside `folder`, put in its place at the end; whatever fails, nothing is left half written.

    Raises InputError when the folder is not ours or cannot be written.
    """
    check_folder(folder)
    folder = folder.absolute()
    made = [p for p in (folder.parent, *folder.parent.parents) if not p.exists()]
    with sinks.writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        part.chmod(0o777 & ~_umask())
    try:
        yield part
        with sinks.writing(folder):
            _swap(part, folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        for parent in made:
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()
        raise


def write(results: Results, part: Path) -> None:
    """Everything but the tables."""
    with sinks.writing(part):
        (part / "summary.json").write_text(dumps(results.summary), encoding="utf-8")
        (part / MANIFEST).write_text(dumps(results.manifest), encoding="utf-8")
        if results.report:
            (part / "report.html").write_text(results.report, encoding="utf-8")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _swap(part: Path, folder: Path) -> None:
    if not folder.exists():
        part.rename(folder)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    folder.rename(old / "old")
    try:
        part.rename(folder)
    except BaseException:
        (old / "old").rename(folder)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def dumps(value: Any) -> str:
    """JSON for people and machines: indented, floats at nine digits, no NaN."""
    return json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if hasattr(value, "item") and not isinstance(value, str):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.9g}") if abs(value) < float("inf") else None
    return value


def load(folder: str | Path) -> Results:
    """The results saved in a folder; InputError when it holds none."""
    folder = Path(folder)
    if not (folder / MANIFEST).is_file():
        raise InputError(Problem("", f"{folder} holds no results of Aether"))
    summary, manifest = (json.loads((folder / n).read_text(encoding="utf-8")) for n in ("summary.json", MANIFEST))
    report = folder / "report.html"
    return Results(
        summary, sinks.Stored(folder), manifest, report.read_text(encoding="utf-8") if report.is_file() else ""
    )


def diff(before: Mapping[str, Any], after: Mapping[str, Any], path: str = "") -> dict[str, tuple[Any, Any]]:
    """The values of two summaries that differ: dotted path -> (before, after)."""
    changed: dict[str, tuple[Any, Any]] = {}
    for key in sorted({*before, *after}):
        a, b, here = before.get(key), after.get(key), f"{path}.{key}" if path else str(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            changed |= diff(a, b, here)
        elif (
            isinstance(a, list) and isinstance(b, list) and len(a) == len(b) and any(isinstance(v, Mapping) for v in a)
        ):
            for i, (x, y) in enumerate(zip(a, b, strict=True)):
                changed |= diff(x, y, f"{here}[{i}]")
        elif a != b:
            changed[here] = (a, b)
    return changed
