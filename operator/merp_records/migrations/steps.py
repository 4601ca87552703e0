"""Steps of migrations that can be run again over what a migration that died has left.

MySQL commits every DDL statement by itself, and knows no CREATE INDEX IF NOT EXISTS.
"""

from alembic import context, op
from sqlalchemy import Index, Table, inspect
from sqlalchemy.schema import CreateIndex, CreateTable

from merp_records.migrations import SchemaError


def create_table(table: Table) -> None:
    """Create a table and its indexes, or what is missing of them.

    Raises SchemaError where a table of that name has other columns: it is somebody else's, and must not be used.
    """
    present = _columns(table.name)
    if present is None:
        op.execute(CreateTable(table))
    elif present != {column.name for column in table.columns}:
        differing = sorted(present ^ {column.name for column in table.columns})
        raise SchemaError(
            f"the database has a table {table.name} that is not ours (it differs in {', '.join(differing)}): give the "
            "scheduler a database of its own (DB_NAME), or rename that table"
        )
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        create_index(index)


def create_index(index: Index) -> None:
    """Create an index if it is not there."""
    assert index.table is not None
    if index.name not in _indexes(index.table.name):
        op.execute(CreateIndex(index))


def drop_index(name: str, table: str) -> None:
    """Drop an index if it is there."""
    if context.is_offline_mode() or name in _indexes(table):
        op.drop_index(name, table)


def drop_table(name: str) -> None:
    """Drop a table if it is there."""
    if context.is_offline_mode() or _columns(name) is not None:
        op.drop_table(name)


def _columns(name: str) -> set[str] | None:
    if context.is_offline_mode():
        return None
    inspector = inspect(op.get_bind())
    if not inspector.has_table(name):
        return None
    return {column["name"] for column in inspector.get_columns(name)}


def _indexes(name: str) -> set[str | None]:
    return set() if context.is_offline_mode() else {index["name"] for index in inspect(op.get_bind()).get_indexes(name)}
