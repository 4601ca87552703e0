"""A job's days in numbers, and which of them are to be made anew.

As they were at this revision: the types stand here again, because those of `merp_records.tables` go on changing.
"""

from typing import Any

from alembic import op
from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    DateTime,
    Double,
    ForeignKeyConstraint,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    text,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

from merp_records.migrations.steps import create_index, create_table, drop_index, drop_table

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

OPTIONS = {"engine": "InnoDB", "charset": "utf8mb4", "collate": "utf8mb4_unicode_520_ci"}
MYSQL: dict[str, Any] = {
    f"{server}_{name}": value for server in ("mysql", "mariadb") for name, value in OPTIONS.items()
}
DUE_END = "ix_job_executions_job_due_end"


def moment() -> TypeEngine[Any]:
    """UTC with microseconds; never TIMESTAMP."""
    return DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def key(length: int) -> TypeEngine[Any]:
    """An identifier, compared byte by byte."""
    ascii_key = mysql.VARCHAR(length, charset="ascii", collation="ascii_bin")
    return String(length).with_variant(ascii_key, "mysql", "mariadb")


def daily_rollups(metadata: MetaData) -> Table:
    """The numbers."""
    return Table(
        "daily_rollups",
        metadata,
        Column("day", Date, nullable=False),
        Column("job_id", key(36), nullable=False),
        Column("namespace", key(63), nullable=False),
        Column("success", BigInteger, nullable=False),
        Column("failed", BigInteger, nullable=False),
        Column("timeout", BigInteger, nullable=False),
        Column("cancelled", BigInteger, nullable=False),
        Column("skipped", BigInteger, nullable=False),
        Column("missed", BigInteger, nullable=False),
        Column("healed", BigInteger, nullable=False),
        Column("duration_p50", Double),
        Column("duration_p95", Double),
        Column("lateness_p50", Double),
        Column("lateness_p95", Double),
        Column("computed_at", moment(), nullable=False),
        PrimaryKeyConstraint("day", "job_id", name="pk_daily_rollups"),
        ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_daily_rollups_job_id"),
        Index("ix_daily_rollups_job", "job_id", "day"),
        **MYSQL,
    )


def stale_rollups(metadata: MetaData) -> Table:
    """What is to be made anew."""
    return Table(
        "stale_rollups",
        metadata,
        Column("job_id", key(36), nullable=False),
        Column("day", Date, nullable=False),
        Column("token", key(36), nullable=False),
        PrimaryKeyConstraint("job_id", "day", name="pk_stale_rollups"),
        ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_stale_rollups_job_id"),
        **MYSQL,
    )


def upgrade() -> None:
    """Create what is missing. Every day that has a verdict is to be made."""
    metadata = MetaData()
    # As far as others point at them.
    Table("jobs", metadata, Column("id", key(36), primary_key=True))
    executions = Table("job_executions", metadata, Column("job_id", key(36)), Column("due_time_end", moment()))
    create_table(daily_rollups(metadata))
    create_table(stale_rollups(metadata))
    create_index(Index(DUE_END, executions.c.job_id, executions.c.due_time_end))
    # Nobody else writes yet, so what is there is of a migration that ended half way.
    op.execute(text("DELETE FROM stale_rollups"))
    op.execute(
        text(
            "INSERT INTO stale_rollups (job_id, day, token) SELECT DISTINCT job_id, DATE(start_time), 'migrated' "
            "FROM job_executions WHERE status NOT IN ('waiting', 'running')"
        )
    )


def downgrade() -> None:
    """Drop the numbers; they can be made again."""
    drop_index(DUE_END, "job_executions")
    drop_table("stale_rollups")
    drop_table("daily_rollups")
