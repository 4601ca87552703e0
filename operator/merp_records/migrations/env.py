"""What Alembic runs for every command: on the connection that holds the lock, or without one to print SQL."""

from alembic import context

from merp_records.migrations import VERSION_TABLE
from merp_records.tables import Base

connection = context.config.attributes["connection"]

if connection is None:
    context.configure(
        dialect_name=context.config.attributes["dialect"],
        target_metadata=Base.metadata,
        version_table=VERSION_TABLE,
        literal_binds=True,
    )
else:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        version_table=VERSION_TABLE,
        # SQLite changes a table by making a new one.
        render_as_batch=connection.dialect.name == "sqlite",
    )

with context.begin_transaction():
    context.run_migrations()
