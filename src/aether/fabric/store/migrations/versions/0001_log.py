"""The log, receipts and snapshots; the log refuses to be changed."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_REFUSED = "the log is append-only"


def upgrade() -> None:
    """Make the tables, the log's indexes and what guards it."""
    op.create_table(
        "aether_log",
        sa.Column("seq", _NUMBER, primary_key=True, autoincrement=False),
        sa.Column("time_s", sa.Double, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("kind", "project", "subject", "body", "actor")),
        sa.Column("hash", sa.LargeBinary, nullable=False),
    )
    for name in ("kind", "project", "subject"):
        op.create_index(f"aether_log_{name}", "aether_log", [name, "seq"])
    op.create_table(
        "aether_receipts",
        sa.Column("project", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("request", sa.LargeBinary, nullable=False),
        sa.Column("response", sa.Text, nullable=False),
        sa.Column("time_s", sa.Double, nullable=False),
    )
    op.create_table(
        "aether_snapshots",
        sa.Column("seq", _NUMBER, primary_key=True, autoincrement=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    if op.get_bind().dialect.name == "sqlite":
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER aether_log_{change.lower()} BEFORE {change} ON aether_log "
                f"BEGIN SELECT RAISE(ABORT, '{_REFUSED}'); END"
            )
    else:
        op.execute(
            "CREATE FUNCTION aether_log_refuse() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{_REFUSED}'; END $$"
        )
        op.execute(
            "CREATE TRIGGER aether_log_refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON aether_log "
            "FOR EACH STATEMENT EXECUTE FUNCTION aether_log_refuse()"
        )
