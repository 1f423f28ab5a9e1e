"""The bench's store: events made durable in a second, by how many are stored together."""

from __future__ import annotations

import tempfile
from pathlib import Path

from aether.fabric.store.store import Entry, Store
from aether.study.timing import Row, row, times

BODY = '{"text": "' + "x" * 288 + '"}'  # 300 bytes
BATCHES = (1, 10, 100, 1000)  # events that wait and are stored together
TARGET_S = 1 / 3000  # an event, with group commit


def bench(quick: bool = False, url: str = "", folder: Path | None = None) -> list[Row]:
    """Rows of the bench: microseconds for each durable event, SQLite in `folder` or the database of `url`, and for verifying them."""
    runs = 5 if quick else 30
    with tempfile.TemporaryDirectory(dir=folder) as there:
        store = Store(url or f"sqlite:///{there}/fabric.db", Path(there) / "head")
        try:
            what = "PostgreSQL" if url else "SQLite"
            rows = [_appends(store, what, size, runs) for size in BATCHES]
            verified = times(store.verify, 3)
            return [
                *rows,
                row(
                    f"verify the log, {what}", f"{store.last_seq:,} events", "us/event", verified, 1e6 / store.last_seq
                ),
            ]
        finally:
            store.close()


def _appends(store: Store, what: str, size: int, runs: int) -> Row:
    batch = [Entry(float(n), "job_submitted", f"project {n % 7}", f"job {n}", BODY, "key 1") for n in range(size)]
    target_us = TARGET_S * 1e6 if size > 1 else None
    return row(
        f"durable events, {what}",
        f"batches of {size:,}, 300 bytes",
        "us/event",
        times(lambda: store.append(batch), runs),
        1e6 / size,
        target_us,
    )
