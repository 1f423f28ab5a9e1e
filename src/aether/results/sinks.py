"""Where the tables of a run go as it makes them, window by window: memory, or Parquet files that are read when asked for."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aether.base.errors import InputError, Problem

ROW_GROUP = 1 << 17  # rows of a table that are written at once: they wait in memory until then


class Sink(Protocol):
    """Takes tables piece by piece."""

    def add(self, name: str, piece: pa.Table) -> None:
        """Rows that follow those of the same table that came before."""

    def tables(self) -> Mapping[str, pa.Table]:
        """All tables, once nothing more comes."""


class Memory:
    """Keeps every piece."""

    def __init__(self) -> None:
        self._pieces: dict[str, list[pa.Table]] = {}

    def add(self, name: str, piece: pa.Table) -> None:
        """Rows that follow."""
        self._pieces.setdefault(name, []).append(piece)

    def tables(self) -> Mapping[str, pa.Table]:
        """All tables."""
        return {name: _joined(pieces) for name, pieces in self._pieces.items()}


class Files:
    """Writes Parquet into a folder, a row group at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._waiting: dict[str, list[pa.Table]] = {}
        self._writers: dict[str, pq.ParquetWriter] = {}

    def add(self, name: str, piece: pa.Table) -> None:
        """Rows that follow; InputError when they cannot be written."""
        waiting = self._waiting.setdefault(name, [])
        waiting.append(piece)
        if sum(table.num_rows for table in waiting) >= ROW_GROUP:
            self._write(name)

    def tables(self) -> Mapping[str, pa.Table]:
        """All tables, written and closed."""
        for name in self._waiting:
            self._write(name)
        with writing(self._folder):
            for writer in self._writers.values():
                writer.close()
        return Stored(self._folder)

    def _write(self, name: str) -> None:
        waiting = self._waiting[name]
        if waiting:
            table = _joined(waiting)
            with writing(self._folder):
                if name not in self._writers:
                    path = self._folder / f"{name}.parquet"
                    self._writers[name] = pq.ParquetWriter(path, table.schema, **options(table.schema))
                self._writers[name].write_table(table, row_group_size=2 * ROW_GROUP)
            waiting.clear()


def _joined(pieces: list[pa.Table]) -> pa.Table:
    return pa.concat_tables(pieces).unify_dictionaries()


def options(schema: pa.Schema) -> dict[str, Any]:
    """How a table is written: floats as streams of their bytes, which compress; all that repeats by dictionary."""
    floats = [f.name for f in schema if pa.types.is_floating(f.type) and f.name != "time_s"]
    return {
        "compression": "zstd", "compression_level": 1, "use_byte_stream_split": floats,
        "use_dictionary": [f.name for f in schema if f.name not in floats], "write_statistics": ["time_s"],
    }  # fmt: skip


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turns a full disk or a folder that cannot be written into an InputError."""
    try:
        yield
    except OSError as error:
        what = f"cannot write {folder}: {error.strerror or error}"
        raise InputError(Problem("", what, next="Nothing was written; name another folder with --out")) from error


class Stored(Mapping[str, pa.Table]):
    """The Parquet files of a folder as tables, each read when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._made = folder, folder.stat().st_ino
        self._names = sorted(p.stem for p in folder.glob("*.parquet"))
        self._read: dict[str, pa.Table] = {}

    def __getitem__(self, name: str) -> pa.Table:
        """The table, whole."""
        if name not in self._read:
            with self.file(name) as file:
                self._read[name] = file.read()
        return self._read[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names  # a mapping's own would read the table

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def file(self, name: str) -> pq.ParquetFile:
        """The file of a table, to read less than the whole; InputError when other results have taken its place."""
        if name not in self._names:
            raise KeyError(name)
        if not self._folder.is_dir() or self._folder.stat().st_ino != self._made:
            raise InputError(Problem("", f"{self._folder} has changed since it was loaded", next="Load it again"))
        return pq.ParquetFile(self._folder / f"{name}.parquet")

    def copy(self, folder: Path) -> None:
        """The files once more, in another folder."""
        for name in self._names:
            with self.file(name):
                shutil.copyfile(self._folder / f"{name}.parquet", folder / f"{name}.parquet")


def write(tables: Mapping[str, pa.Table], folder: Path) -> None:
    """Tables as Parquet files in a folder, which holds them when they are stored there already."""
    if isinstance(tables, Stored):
        with writing(folder):
            tables.copy(folder)
        return
    files = Files(folder)
    for name, table in tables.items():
        files.add(name, table)
    files.tables()


def rows(tables: Mapping[str, pa.Table], name: str) -> int:
    """How many rows a table has, 0 where there is no such table."""
    if name not in tables:
        return 0
    if isinstance(tables, Stored):
        with tables.file(name) as file:
            return int(file.metadata.num_rows)
    return int(tables[name].num_rows)


def column(tables: Mapping[str, pa.Table], name: str, column: str, block: int = 1, every: int = 1) -> np.ndarray:
    """The values of a column, of each `every`-th block of rows alone, without reading the rest of the table into memory."""
    kept, at = [np.empty(0, dtype=np.float32)], 0
    for values in _pieces(tables, name, column):
        here = np.arange(at, at + len(values)) // block % every == 0 if every > 1 else slice(None)
        kept.append(values[here])
        at += len(values)
    return np.concatenate(kept[1:]) if len(kept) > 1 else kept[0]


def _pieces(tables: Mapping[str, pa.Table], name: str, column: str) -> Iterator[np.ndarray]:
    if not isinstance(tables, Stored):
        yield numbers(tables[name].column(column))
        return
    with tables.file(name) as file:
        for group in range(file.num_row_groups):
            yield numbers(file.read_row_group(group, columns=[column]).column(column))


def numbers(column: pa.ChunkedArray) -> np.ndarray:
    """The values of a column as numpy has them."""
    pieces = [_values(chunk) for chunk in column.chunks]
    return pieces[0] if len(pieces) == 1 else np.concatenate([np.empty(0, np.float32), *pieces][1 if pieces else 0 :])


def _values(chunk: pa.Array) -> np.ndarray:
    """A piece of a column; numbers as they lie, since Arrow's own way loads pandas, where that is, in a third of a second."""
    plain = (pa.types.is_floating(chunk.type) or pa.types.is_integer(chunk.type)) and not chunk.null_count
    return np.from_dlpack(chunk) if plain else chunk.to_numpy(zero_copy_only=False)


def labels(tables: Mapping[str, pa.Table], name: str, column: str) -> list[str]:
    """The names that a column of names is made of, in the order of their first rows."""
    if not rows(tables, name):
        return []
    if isinstance(tables, Stored):
        with tables.file(name) as file:
            first = file.read_row_group(0, columns=[column])
    else:
        first = tables[name]
    return [str(word) for word in first.column(column).chunk(0).dictionary.to_pylist()]
