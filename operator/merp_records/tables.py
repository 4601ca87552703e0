"""The tables: what a job is, how its runs ended, and what it waits for; and a job's days in numbers.

The columns of the mERP contract stand first in its three tables and keep their names; the added ones follow. Three
rules hold for all of them:

* A moment is UTC to the microsecond. TIMESTAMP is not used: it ends in 2038, follows the session's zone, and on MySQL
  5.7 the first one of a table changes by itself with every update of the row.
* What identifies something (ids, names of Kubernetes objects, enum values) is ASCII and compared byte by byte. The
  default collation takes `Job-A`, `job-a` and `Jöb-A` for the same key.
* What people write is utf8mb4, with a collation that tells characters beyond the basic plane apart.
"""

import json
from datetime import UTC, date, datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Date,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    TypeDecorator,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeEngine

# The seed's TEXT on MySQL, in bytes. Longer results and errors are cut before they get here.
TEXT_BYTES: Final = 65_535
# MEDIUMTEXT: parameters may be 64 KiB of JSON, one byte more than TEXT holds, and cut JSON is no JSON.
JSON_BYTES: Final = 16_777_215

# Where long text is cut: an error says the most at its start, a log at its end.
CUT_END: Final = {"cut": "end"}
CUT_START: Final = {"cut": "start"}
# A short text that may be too long, and must stay different from others when it is cut.
CUT_DIGEST: Final = {"cut": "digest"}


class UtcDateTime(TypeDecorator[datetime]):
    """An aware moment, stored as UTC with microseconds and read back as UTC.

    A naive datetime is refused: nobody can say which moment it is.
    """

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """DATETIME(6) on MySQL, where a bare DATETIME drops the fraction; ISO text on SQLite."""
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The moment in UTC without its zone. Raises ValueError for a naive one."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a stored moment needs a time zone")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The moment, aware."""
        return None if value is None else value.replace(tzinfo=UTC)


class JsonText(TypeDecorator[Any]):
    """A JSON value as text: the same in every database, and never queried into.

    The databases' own JSON types differ (MySQL reorders keys, MariaDB's is a text with a check).
    """

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """MEDIUMTEXT on MySQL."""
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.MEDIUMTEXT())
        return dialect.type_descriptor(Text())

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Compact JSON. Raises ValueError for NaN and infinities, TypeError for what JSON cannot hold."""
        return None if value is None else json_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """The value."""
        return None if value is None else json.loads(value)


def json_text(value: Any) -> str:
    """A value as it is stored: compact, characters as they are, strict (no NaN)."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def is_key(word: str) -> bool:
    """Whether a word can be an identifier: printable ASCII without spaces (MySQL ignores those at the end)."""
    return word.isascii() and word.isprintable() and " " not in word


class Key(TypeDecorator[str]):
    """An identifier: ASCII, compared byte by byte in every database."""

    impl = String
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.length = length

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """VARCHAR, on MySQL with the ascii_bin collation."""
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.VARCHAR(self.length, charset="ascii", collation="ascii_bin"))
        return dialect.type_descriptor(String(self.length))


class Base(DeclarativeBase):
    """The metadata of the tables, with names for every constraint so that migrations can find them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


_SERVER_OPTIONS: Final = {
    "engine": "InnoDB",
    "charset": "utf8mb4",
    # In the plainer unicode_ci all characters beyond the basic plane, emoji among them, are equal.
    "collate": "utf8mb4_unicode_520_ci",
}
_MYSQL: Final = {
    f"{server}_{name}": value for server in ("mysql", "mariadb") for name, value in _SERVER_OPTIONS.items()
}


class Job(Base):
    """A ScheduledJob as it was last seen. It stays after the ScheduledJob is gone, and so does its history."""

    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_namespace_resource_name", "namespace", "resource_name"),
        Index("ix_jobs_deleted_at", "deleted_at"),
        _MYSQL,
    )

    # The UID of the ScheduledJob: a re-created one is another job.
    id: Mapped[str] = mapped_column(Key(36), primary_key=True)
    # spec.displayName, else metadata.name.
    name: Mapped[str] = mapped_column(String(100))
    # cron, interval, date, dependency or manual.
    job_type: Mapped[str] = mapped_column(Key(20))
    # Empty where the job runs an image of its own instead of a task.
    func: Mapped[str] = mapped_column(String(100))
    cron_expression: Mapped[str | None] = mapped_column(String(100))
    interval_seconds: Mapped[int | None] = mapped_column(Integer)
    args: Mapped[Any | None] = mapped_column(JsonText)
    kwargs: Mapped[Any | None] = mapped_column(JsonText)
    status: Mapped[str] = mapped_column(Key(20), server_default="active")
    next_run_time: Mapped[datetime | None] = mapped_column(UtcDateTime)
    description: Mapped[str | None] = mapped_column(Text, info=CUT_END)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    # Moves with every change of the row, and with nothing else.
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    # Names of service accounts are longer than the 36 characters of the contract.
    created_by: Mapped[str] = mapped_column(String(255), info=CUT_DIGEST)

    namespace: Mapped[str] = mapped_column(Key(63))
    # metadata.name, which is the id of the REST API.
    resource_name: Mapped[str] = mapped_column(Key(63))
    time_zone: Mapped[str | None] = mapped_column(Key(64))
    run_date: Mapped[datetime | None] = mapped_column(UtcDateTime)
    priority: Mapped[str | None] = mapped_column(Key(63))
    # metadata.generation: a definition never overwrites a newer one, whoever delivers it late.
    generation: Mapped[int] = mapped_column(BigInteger, server_default="0")
    # history.recordDays, kept here because it must outlive the ScheduledJob.
    record_days: Mapped[int] = mapped_column(Integer, server_default="365")
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class JobExecution(Base):
    """One run, or a due time (or a range of them) that never became one."""

    __tablename__ = "job_executions"
    __table_args__ = (
        Index("ix_job_executions_job", "job_id", "start_time", "id"),
        Index("ix_job_executions_job_due", "job_id", "due_time"),
        # Records of several due times are few; of all others this end is NULL.
        Index("ix_job_executions_job_due_end", "job_id", "due_time_end"),
        Index("ix_job_executions_job_status", "job_id", "status", "start_time", "id"),
        Index("ix_job_executions_namespace", "namespace", "start_time", "id"),
        Index("ix_job_executions_namespace_status", "namespace", "status", "start_time", "id"),
        Index("ix_job_executions_job_name", "namespace", "job_name", "start_time", "id"),
        Index("ix_job_executions_status", "status", "start_time", "id"),
        # Of every namespace.
        Index("ix_job_executions_name", "job_name", "start_time", "id"),
        Index("ix_job_executions_trigger", "trigger", "start_time", "id"),
        Index("ix_job_executions_start", "start_time", "id"),
        _MYSQL,
    )

    # merp_crds.names.execution_id: the same for every attempt to write it.
    id: Mapped[str] = mapped_column(Key(36), primary_key=True)
    job_id: Mapped[str] = mapped_column(Key(36), ForeignKey("jobs.id"))
    # When its first container started; until then when it was asked for; of a due time that never ran, the due time.
    start_time: Mapped[datetime] = mapped_column(UtcDateTime)
    # The moment of the verdict.
    end_time: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # A RunState or a Verdict of merp_crds.reasons.
    status: Mapped[str] = mapped_column(Key(20))
    result: Mapped[str | None] = mapped_column(Text, info=CUT_END)
    error: Mapped[str | None] = mapped_column(Text, info=CUT_END)

    namespace: Mapped[str] = mapped_column(Key(63))
    # metadata.name of the ScheduledJob.
    job_name: Mapped[str] = mapped_column(Key(63))
    # The name of the Kubernetes Job, also where there never was one.
    run_name: Mapped[str] = mapped_column(Key(63))
    # UID of the Kubernetes Job.
    job_uid: Mapped[str | None] = mapped_column(Key(36))
    trigger: Mapped[str] = mapped_column(Key(20))
    due_time: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # The last due time and the number of them, where one record stands for several (a long outage).
    due_time_end: Mapped[datetime | None] = mapped_column(UtcDateTime)
    count: Mapped[int] = mapped_column(Integer, server_default="1")
    reason: Mapped[str | None] = mapped_column(Key(64))
    # What the reason's sentence names: a limit, an image, a node.
    reason_params: Mapped[Any | None] = mapped_column(JsonText)
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    # One object an attempt: pod, node, exit code, signal, reason, log tail.
    attempt_details: Mapped[Any | None] = mapped_column(JsonText)
    exit_code: Mapped[int | None] = mapped_column(Integer)
    # From due (or asked for) to released: what dependencies, pool and queue cost.
    waited_seconds: Mapped[float | None] = mapped_column(Double)
    node: Mapped[str | None] = mapped_column(String(253), info=CUT_END)
    image: Mapped[str | None] = mapped_column(String(512), info=CUT_END)
    params: Mapped[Any | None] = mapped_column(JsonText)
    # Who asked for the run; of scheduled runs nobody.
    created_by: Mapped[str | None] = mapped_column(String(255), info=CUT_DIGEST)
    # Names of the upstream runs that opened its gate.
    opened_by: Mapped[Any | None] = mapped_column(JsonText)
    log_tail: Mapped[str | None] = mapped_column(Text, info=CUT_START)
    # When this row was last changed: the recorder's lag is this less end_time.
    recorded_at: Mapped[datetime] = mapped_column(UtcDateTime)


class JobDependency(Base):
    """One entry of dependsOn, as it was last seen."""

    __tablename__ = "job_dependencies"
    __table_args__ = (Index("ix_job_dependencies_depends_on", "depends_on"), _MYSQL)

    job_id: Mapped[str] = mapped_column(Key(36), ForeignKey("jobs.id"), primary_key=True)
    # Its place in the list: the same upstream may stand there twice, with different conditions.
    position: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    # Name of the upstream ScheduledJob in the same namespace, which need not exist.
    depends_on: Mapped[str] = mapped_column(Key(63))
    condition: Mapped[str] = mapped_column(Key(20))
    # sinceLastRun, within or period, and its value: a duration, or Hour, Day, Week, Month.
    window_kind: Mapped[str] = mapped_column(Key(20))
    window_value: Mapped[str | None] = mapped_column(Key(32))
    latest: Mapped[bool] = mapped_column(Boolean, server_default="0")


class DailyRollup(Base):
    """The records of a job that started on one day (UTC), in numbers. A day without a verdict has no row."""

    __tablename__ = "daily_rollups"
    # A dashboard reads some days of all jobs: they lie together.
    __table_args__ = (Index("ix_daily_rollups_job", "job_id", "day"), _MYSQL)

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    job_id: Mapped[str] = mapped_column(Key(36), ForeignKey("jobs.id"), primary_key=True)
    namespace: Mapped[str] = mapped_column(Key(63))
    # How many due times ended so: a record that stands for several counts as several.
    success: Mapped[int] = mapped_column(BigInteger)
    failed: Mapped[int] = mapped_column(BigInteger)
    timeout: Mapped[int] = mapped_column(BigInteger)
    cancelled: Mapped[int] = mapped_column(BigInteger)
    skipped: Mapped[int] = mapped_column(BigInteger)
    missed: Mapped[int] = mapped_column(BigInteger)
    # How many of those without success have one by now: a later run for the same due time, on whatever day.
    healed: Mapped[int] = mapped_column(BigInteger)
    # Seconds, of the runs that went to their own end (success, failed, timeout). NULL: there was none.
    duration_p50: Mapped[float | None] = mapped_column(Double)
    duration_p95: Mapped[float | None] = mapped_column(Double)
    # Seconds from due to started, of the runs that a schedule asked for.
    lateness_p50: Mapped[float | None] = mapped_column(Double)
    lateness_p95: Mapped[float | None] = mapped_column(Double)
    computed_at: Mapped[datetime] = mapped_column(UtcDateTime)


class StaleRollup(Base):
    """A day of a job whose records have changed since its numbers were made. Written with those records."""

    __tablename__ = "stale_rollups"
    __table_args__ = (_MYSQL,)

    job_id: Mapped[str] = mapped_column(Key(36), ForeignKey("jobs.id"), primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    # Another one with every change: who made the numbers meanwhile sees that they are old already.
    token: Mapped[str] = mapped_column(Key(36))
