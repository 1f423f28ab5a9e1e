"""Alembic's entry: migrate over the connection that the store holds."""

from alembic import context

from aether.fabric.store.tables import SCHEMA, metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, version_table=SCHEMA,
    transactional_ddl=True,  # SQLite's too: a migration that is interrupted leaves nothing
)  # fmt: skip
with context.begin_transaction():
    context.run_migrations()
