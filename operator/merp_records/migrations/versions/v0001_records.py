"""The three tables.

As they were at this revision: the types stand here again, because those of `merp_records.tables` go on changing.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

from merp_records.migrations.steps import create_table, drop_table

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

OPTIONS = {"engine": "InnoDB", "charset": "utf8mb4", "collate": "utf8mb4_unicode_520_ci"}
MYSQL: dict[str, Any] = {
    f"{server}_{name}": value for server in ("mysql", "mariadb") for name, value in OPTIONS.items()
}


def moment() -> TypeEngine[Any]:
    """UTC with microseconds; never TIMESTAMP."""
    return DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def key(length: int) -> TypeEngine[Any]:
    """An identifier, compared byte by byte."""
    ascii_key = mysql.VARCHAR(length, charset="ascii", collation="ascii_bin")
    return String(length).with_variant(ascii_key, "mysql", "mariadb")


def json() -> TypeEngine[Any]:
    """JSON as text."""
    return Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")


def jobs(metadata: MetaData) -> Table:
    """The ScheduledJobs."""
    return Table(
        "jobs",
        metadata,
        Column("id", key(36), nullable=False),
        Column("name", String(100), nullable=False),
        Column("job_type", key(20), nullable=False),
        Column("func", String(100), nullable=False),
        Column("cron_expression", String(100)),
        Column("interval_seconds", Integer),
        Column("args", json()),
        Column("kwargs", json()),
        Column("status", key(20), nullable=False, server_default="active"),
        Column("next_run_time", moment()),
        Column("description", Text),
        Column("created_at", moment(), nullable=False),
        Column("updated_at", moment(), nullable=False),
        Column("created_by", String(255), nullable=False),
        Column("namespace", key(63), nullable=False),
        Column("resource_name", key(63), nullable=False),
        Column("time_zone", key(64)),
        Column("run_date", moment()),
        Column("priority", key(63)),
        Column("generation", BigInteger, nullable=False, server_default="0"),
        Column("record_days", Integer, nullable=False, server_default="365"),
        Column("deleted_at", moment()),
        PrimaryKeyConstraint("id", name="pk_jobs"),
        Index("ix_jobs_namespace_resource_name", "namespace", "resource_name"),
        Index("ix_jobs_deleted_at", "deleted_at"),
        **MYSQL,
    )


def job_executions(metadata: MetaData) -> Table:
    """Their runs."""
    return Table(
        "job_executions",
        metadata,
        Column("id", key(36), nullable=False),
        Column("job_id", key(36), nullable=False),
        Column("start_time", moment(), nullable=False),
        Column("end_time", moment()),
        Column("status", key(20), nullable=False),
        Column("result", Text),
        Column("error", Text),
        Column("namespace", key(63), nullable=False),
        Column("job_name", key(63), nullable=False),
        Column("run_name", key(63), nullable=False),
        Column("job_uid", key(36)),
        Column("trigger", key(20), nullable=False),
        Column("due_time", moment()),
        Column("due_time_end", moment()),
        Column("count", Integer, nullable=False, server_default="1"),
        Column("reason", key(64)),
        Column("reason_params", json()),
        Column("attempts", Integer, nullable=False, server_default="0"),
        Column("attempt_details", json()),
        Column("exit_code", Integer),
        Column("waited_seconds", Double),
        Column("node", String(253)),
        Column("image", String(512)),
        Column("params", json()),
        Column("created_by", String(255)),
        Column("opened_by", json()),
        Column("log_tail", Text),
        Column("recorded_at", moment(), nullable=False),
        PrimaryKeyConstraint("id", name="pk_job_executions"),
        ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_job_executions_job_id"),
        Index("ix_job_executions_job", "job_id", "start_time", "id"),
        Index("ix_job_executions_job_due", "job_id", "due_time"),
        Index("ix_job_executions_namespace", "namespace", "start_time", "id"),
        Index("ix_job_executions_job_name", "namespace", "job_name", "start_time", "id"),
        Index("ix_job_executions_status", "status", "start_time", "id"),
        Index("ix_job_executions_start", "start_time", "id"),
        **MYSQL,
    )


def job_dependencies(metadata: MetaData) -> Table:
    """What they wait for."""
    return Table(
        "job_dependencies",
        metadata,
        Column("job_id", key(36), nullable=False),
        Column("position", Integer, nullable=False, autoincrement=False),
        Column("depends_on", key(63), nullable=False),
        Column("condition", key(20), nullable=False),
        Column("window_kind", key(20), nullable=False),
        Column("window_value", key(32)),
        Column("latest", Boolean, nullable=False, server_default="0"),
        PrimaryKeyConstraint("job_id", "position", name="pk_job_dependencies"),
        ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_job_dependencies_job_id"),
        Index("ix_job_dependencies_depends_on", "depends_on"),
        **MYSQL,
    )


def upgrade() -> None:
    """Create what is missing."""
    metadata = MetaData()
    for table in (jobs(metadata), job_executions(metadata), job_dependencies(metadata)):
        create_table(table)


def downgrade() -> None:
    """Drop everything."""
    for name in ("job_dependencies", "job_executions", "jobs"):
        drop_table(name)
