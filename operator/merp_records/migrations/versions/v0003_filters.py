"""Indexes for the filters of the history, which would otherwise read every record of a job or a namespace."""

from typing import Final

from sqlalchemy import Column, Index, MetaData, Table

from merp_records.migrations.steps import create_index, drop_index

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLE: Final = "job_executions"
INDEXES: Final = {
    "ix_job_executions_job_status": ("job_id", "status", "start_time", "id"),
    "ix_job_executions_namespace_status": ("namespace", "status", "start_time", "id"),
    "ix_job_executions_name": ("job_name", "start_time", "id"),
    "ix_job_executions_trigger": ("trigger", "start_time", "id"),
}


def upgrade() -> None:
    """Create what is missing."""
    names = sorted({name for columns in INDEXES.values() for name in columns})
    # Of the table only the names are used.
    table = Table(TABLE, MetaData(), *map(Column, names))
    for name, columns in INDEXES.items():
        create_index(Index(name, *(table.c[column] for column in columns)))


def downgrade() -> None:
    """Drop them, the one that was made first last."""
    for name in reversed(INDEXES):
        drop_index(name, TABLE)
