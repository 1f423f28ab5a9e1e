"""Results that come one by one, kept on disk as they come: an interrupted study goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from aether.base.errors import InputError, Problem
from aether.results import sinks
from aether.results.results import MANIFEST, check_folder, diff, dumps

PARTS = ".parts"
ASKED = "asked.json"
SHOWN = 6  # changes named


@dataclass
class Parts:
    """A folder of results in the making. asked: all that decides what they are; kind: "study" or "optimise"."""

    folder: Path
    kind: str
    asked: dict[str, Any]

    @property
    def key(self) -> str:
        """What was asked, as a number to tell it by."""
        return hashlib.sha256(json.dumps(self.asked, sort_keys=True, default=str).encode()).hexdigest()

    @property
    def finished(self) -> bool:
        """Whether the folder is complete."""
        return (self.folder / MANIFEST).is_file()

    def open(self, fresh: bool) -> bool:
        """Begin or go on; True where all is done already.

        fresh: what is there is set aside, whatever it is. Raises InputError for a folder that is not ours, and for one of another study:
        what changed is named, and nothing is touched.
        """
        there = self._there()
        if there is not None and fresh:
            self._aside()
            there = None
        if there is not None:
            self._same(there)
        else:
            check_folder(self.folder)
        if self.finished:
            return True
        with sinks.writing(self.folder):
            (self.folder / PARTS).mkdir(parents=True, exist_ok=True)
            for half in (self.folder / PARTS).glob("*.part"):
                half.unlink()
        self.write(f"{PARTS}/{ASKED}", dumps(self.asked))
        return False

    def _there(self) -> dict[str, Any] | None:
        """What was asked of the results that lie there; None where none do."""
        manifest, asked = self.folder / MANIFEST, self.folder / PARTS / ASKED
        if manifest.is_file():
            told = json.loads(manifest.read_text(encoding="utf-8"))
            if told.get("kind") != self.kind:
                what = f"{self.folder} holds other results of Aether"
                raise InputError(Problem("", what, next="Nothing was written; name another folder with --out"))
            made: dict[str, Any] = told["asked"]
            return made
        if asked.is_file():
            return dict(json.loads(asked.read_text(encoding="utf-8")))
        return None

    def _same(self, there: Mapping[str, Any]) -> None:
        changed = diff(there, json.loads(dumps(self.asked)))
        if changed:
            told = [f"{path}: {_short(a)} before, {_short(b)} now" for path, (a, b) in list(changed.items())[:SHOWN]]
            more = f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
            what = f"{self.folder} holds results of another {self.kind}; changed: {'; '.join(told)}{more}"
            follow = (
                "Nothing was touched; --fresh begins anew and keeps what is there beside it, --out names another folder"
            )
            raise InputError(Problem("", what, next=follow))

    def _aside(self) -> None:
        number = next(
            n for n in range(1, 10_000) if not self.folder.with_name(f"{self.folder.name}.before-{n}").exists()
        )
        with sinks.writing(self.folder):
            self.folder.rename(self.folder.with_name(f"{self.folder.name}.before-{number}"))

    def done(self) -> list[pa.Table]:
        """What has come so far, piece by piece."""
        return [pq.read_table(path) for path in sorted((self.folder / PARTS).glob("*.parquet"))]

    def add(self, number: int, piece: pa.Table) -> None:
        """Keep a piece under its number; whole or not at all."""
        self._whole(f"{PARTS}/{number:08d}.parquet", lambda path: pq.write_table(piece, path))

    def write(self, name: str, text: str) -> None:
        """A text file of the folder, whole or not at all."""
        self._whole(name, lambda path: path.write_text(text, encoding="utf-8"))

    def table(self, name: str, made: pa.Table) -> None:
        """A Parquet file of the folder, whole or not at all."""
        self._whole(name, lambda path: pq.write_table(made, path, **sinks.options(made.schema)))

    def _whole(self, name: str, put: Any) -> None:
        path = self.folder / name
        half = path.with_name(f"{path.name}.part")
        try:
            put(half)
            half.replace(path)
        except OSError as error:
            half.unlink(missing_ok=True)
            what = f"cannot write {path}: {error.strerror or error}"
            follow = "What has come so far is kept; make room and run the same again to go on"
            raise InputError(Problem("", what, next=follow)) from error

    def finish(self, manifest: Mapping[str, Any]) -> None:
        """Write the manifest, by which the folder is complete, and drop the pieces."""
        self.write(MANIFEST, dumps({"kind": self.kind, "key": self.key, "asked": self.asked, **manifest}))
        shutil.rmtree(self.folder / PARTS, ignore_errors=True)


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
