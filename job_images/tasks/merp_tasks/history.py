"""The scheduler's records, as far as the report reads them. Only ever read."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Column, DateTime, Engine, Integer, MetaData, String, Table, func, inspect, select

from merp_runner import ParameterError
from merp_tasks.figures import Execution

METADATA: Final = MetaData()
JOBS: Final = Table("jobs", METADATA, Column("id", String), Column("name", String))
EXECUTIONS: Final = Table(
    "job_executions",
    METADATA,
    Column("job_id", String),
    Column("namespace", String),
    Column("job_name", String),
    Column("status", String),
    Column("trigger", String),
    Column("reason", String),
    Column("due_time", DateTime),
    Column("due_time_end", DateTime),
    Column("start_time", DateTime),
    Column("end_time", DateTime),
    Column("count", Integer),
)
# Rows that the driver holds at once.
_CHUNK: Final = 1000


def executions(engine: Engine, start: datetime, end: datetime, namespace: str) -> Iterator[Execution]:
    """All that were due, else started, from `start` to before `end` (aware), in one namespace; in all if it is empty.

    Raises ParameterError where the database has no records.
    """
    missing = [table.name for table in METADATA.sorted_tables if not inspect(engine).has_table(table.name)]
    if missing:
        raise ParameterError(f"connection: the database has no table {', '.join(missing)}: name that of the records")
    first, last = (moment.astimezone(UTC).replace(tzinfo=None) for moment in (start, end))
    moment = func.coalesce(EXECUTIONS.c.due_time, EXECUTIONS.c.start_time, type_=DateTime())
    query = (
        select(*EXECUTIONS.c, JOBS.c.name.label("display_name"))
        .join(JOBS, JOBS.c.id == EXECUTIONS.c.job_id)
        # Nothing starts before it is due, and this column has an index.
        .where(EXECUTIONS.c.start_time >= first, moment >= first, moment < last)
    )
    if namespace:
        query = query.where(EXECUTIONS.c.namespace == namespace)
    with engine.connect() as connection:
        for row in connection.execution_options(yield_per=_CHUNK).execute(query):
            yield Execution(
                job_id=row.job_id,
                namespace=row.namespace,
                job_name=row.job_name,
                display_name=row.display_name,
                status=row.status,
                trigger=row.trigger,
                reason=row.reason,
                due=row.due_time,
                start=row.start_time,
                end=row.end_time,
                due_end=row.due_time_end,
                count=row._mapping["count"],  # a Row is a tuple, whose own method has that name
            )
