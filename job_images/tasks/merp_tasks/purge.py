"""Purging: old rows of a table, in batches that hold up nobody."""

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

from merp_runner import Connection, Context, ParameterError, task

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Engine, Table

_MAX_BATCH: Final = 10_000
# A hundred years.
_MAX_DAYS: Final = 36_525


@task(
    title={"en": "Purge old records", "zh": "清理过期记录"}, description={"zh": "删除早于指定天数的行，从最旧的开始。"}
)
def purge_records(
    context: Context,
    connection: Annotated[Connection, "Database"],
    table: Annotated[str, "Table; it needs a primary key"],
    column: Annotated[str, "Date, or time in UTC, by which a row is old; indexed"],
    older_than_days: Annotated[int, "Rows of before so many days before the business date are deleted"],
    *,
    batch_size: Annotated[int, "Rows that are deleted in one transaction"] = 1000,
    dry_run: Annotated[bool, "Only count them"] = False,
) -> dict[str, Any]:
    """Delete the rows that are older than a number of days, oldest first.

    The limit follows from the run's due time: an attempt that is repeated deletes no younger rows.
    """
    problems = []
    if not 0 < older_than_days <= _MAX_DAYS:
        problems.append(f"older_than_days: {older_than_days} is not between 1 and {_MAX_DAYS}")
    if not 0 < batch_size <= _MAX_BATCH:
        problems.append(f"batch_size: {batch_size} is not between 1 and {_MAX_BATCH}")
    if problems:
        raise ParameterError(*problems)
    # Here: it takes a quarter of a second, which every other task of the image would wait for too.
    from sqlalchemy import Date, DateTime, func, select

    from merp_tasks.databases import database

    with database(connection) as engine:
        found = _reflect(engine, table, column)
        kind = found.c[column].type
        if not isinstance(kind, Date | DateTime):
            raise ParameterError(f"column: {column} is {kind}, not a date or a time")
        limit = limit_of(context, older_than_days)
        bound: Any = limit.astimezone(UTC).replace(tzinfo=None)
        if isinstance(kind, Date):
            bound = limit.date()
        elif engine.dialect.name == "sqlite":
            # Times are text there: without a fraction it is at or below whatever the limit's own second is written as.
            bound = _text(bound)
        old = found.c[column] < bound
        result: dict[str, Any] = {"before": limit}
        if dry_run:
            with engine.connect() as opened:
                count = opened.scalar(select(func.count()).select_from(found).where(old))
            return result | {"would_delete": count}
        return result | {"deleted": _delete(engine, found, old, column, batch_size, context)}


def limit_of(context: Context, days: int) -> datetime:
    """The start of the day that lies `days` before the business date, in the job's time zone."""
    from zoneinfo import ZoneInfo  # here: every other task of the image would wait for it too

    day: date = context.business_date - timedelta(days=days)
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(context.time_zone))


def _text(moment: datetime) -> Any:
    from sqlalchemy import literal_column  # here: as above

    return literal_column(f"'{moment.isoformat(sep=' ', timespec='seconds')}'")


def _delete(
    engine: "Engine", table: "Table", old: "ColumnElement[bool]", column: str, batch_size: int, context: Context
) -> int:
    from sqlalchemy import select, tuple_  # here: as above

    keys = list(table.primary_key.columns)
    page = select(*keys).where(old).order_by(table.c[column]).limit(batch_size)
    deleted = 0
    while True:
        with engine.begin() as opened:
            found = [tuple(row) for row in opened.execute(page)]
            if found:
                one = keys[0].in_([key[0] for key in found]) if len(keys) == 1 else tuple_(*keys).in_(found)
                # Whoever made a row younger meanwhile keeps it.
                deleted += opened.execute(table.delete().where(one, old)).rowcount
        if len(found) < batch_size:
            return deleted
        context.progress(deleted, None, table.name)


def _reflect(engine: "Engine", name: str, column: str) -> "Table":
    from sqlalchemy import MetaData, Table  # here: as above
    from sqlalchemy.exc import NoSuchTableError

    try:
        found = Table(name, MetaData(), autoload_with=engine, resolve_fks=False)
    except NoSuchTableError as error:
        raise ParameterError(f"table: there is no {name!r}") from error
    problems = []
    if column not in found.c:
        problems.append(f"column: {name} has no column {column!r}")
    if not found.primary_key.columns:
        problems.append(f"table: {name} has no primary key, so its rows cannot be told apart")
    if problems:
        raise ParameterError(*problems)
    return found
