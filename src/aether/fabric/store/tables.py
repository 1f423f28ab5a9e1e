"""The tables of the store, as the newest migration leaves them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Index, Integer, LargeBinary, MetaData, Table, Text

SCHEMA = "aether_schema"  # Alembic's table of what version the tables are

metadata = MetaData()
_number = BigInteger().with_variant(Integer, "sqlite")  # SQLite's own row number goes by this name alone

log = Table(
    "aether_log", metadata,
    Column("seq", _number, primary_key=True, autoincrement=False),
    Column("time_s", Double, nullable=False),
    Column("kind", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Index("aether_log_kind", "kind", "seq"),
    Index("aether_log_project", "project", "seq"),
    Index("aether_log_subject", "subject", "seq"),
)  # fmt: skip

receipts = Table(
    "aether_receipts", metadata,
    Column("project", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("request", LargeBinary, nullable=False),
    Column("response", Text, nullable=False),
    Column("time_s", Double, nullable=False),
)  # fmt: skip

snapshots = Table(
    "aether_snapshots", metadata,
    Column("seq", _number, primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
)  # fmt: skip
