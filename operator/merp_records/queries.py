"""Reading records. Nothing here writes; the gateway uses it, and the operator for its start and for purging.

Whoever reads says which namespaces may be seen: `namespaces=None` is all of them and must be meant, an empty
collection is none. Times come back aware, in UTC.
"""

import base64
import binascii
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, Table, and_, or_, select

from merp_crds.reasons import RunState, Verdict
from merp_records.engine import by_index, contains, without_index
from merp_records.tables import Job, JobDependency, JobExecution, is_key

MAX_LIMIT: Final = 500
# Records that a page with a text looks into: the text has no index, and reading more would take longer than 0.1 s.
TEXT_SCAN: Final = 5_000

_JOBS: Final[Table] = Job.__table__  # type: ignore[assignment]  # declarative says FromClause, and makes a Table
_EXECUTIONS: Final[Table] = JobExecution.__table__  # type: ignore[assignment]  # as above
_DEPENDENCIES: Final[Table] = JobDependency.__table__  # type: ignore[assignment]  # as above
_OPEN: Final = tuple(str(state) for state in RunState)
_CHUNK: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """A recorded run, or a due time that never became one. The columns are explained in `merp_records.tables`."""

    id: str
    job_id: str
    namespace: str
    job_name: str
    run_name: str
    job_uid: str | None
    status: str
    trigger: str
    reason: str | None
    reason_params: dict[str, Any] | None
    start_time: datetime
    end_time: datetime | None
    due_time: datetime | None
    due_time_end: datetime | None
    count: int
    attempts: int
    attempt_details: list[dict[str, Any]] | None
    exit_code: int | None
    waited_seconds: float | None
    result: str | None
    error: str | None
    log_tail: str | None
    params: dict[str, Any] | None
    node: str | None
    image: str | None
    created_by: str | None
    opened_by: list[str] | None
    recorded_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """One recorded entry of dependsOn."""

    depends_on: str
    condition: str
    window_kind: str
    window_value: str | None
    latest: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedJob:
    """A job as it was last recorded; `deleted_at` says that its ScheduledJob is gone."""

    id: str
    namespace: str
    resource_name: str
    name: str
    job_type: str
    func: str
    cron_expression: str | None
    interval_seconds: int | None
    run_date: datetime | None
    time_zone: str | None
    args: list[Any] | None
    kwargs: dict[str, Any] | None
    status: str
    next_run_time: datetime | None
    description: str | None
    priority: str | None
    generation: int
    record_days: int
    created_at: datetime
    updated_at: datetime
    created_by: str
    deleted_at: datetime | None


@dataclass(frozen=True, slots=True)
class Page:
    """Executions, newest first, and the cursor of the next page (None: this was the last).

    A page that was asked for with a text may be shorter than its limit, even empty, and still have a next one: it ends
    where it has looked into TEXT_SCAN records.
    """

    items: tuple[Execution, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class DueVerdict:
    """What is recorded for a due time, or for `count` of them up to `due_time_end`."""

    due_time: datetime
    due_time_end: datetime | None
    count: int
    status: str
    run_name: str


def history(
    connection: Connection,
    *,
    namespaces: Collection[str] | None,
    job_id: str | None = None,
    job_name: str | None = None,
    status: Collection[str] | None = None,
    trigger: Collection[str] | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    text: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page:
    """A page of executions, newest start first.

    `job_id` is the UID of a ScheduledJob: its own history, not that of an earlier one with its name. `job_name` is a
    name: the history of every ScheduledJob that had it. `start` <= start_time < `end`. `text` is looked for in run
    name, reason, error, result and the job's display name. `limit` is 1 to 500. Raises ValueError for a cursor that is
    none of ours, a limit outside, or a naive time.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise ValueError(f"limit: {limit} is not between 1 and {MAX_LIMIT}")
    columns = _EXECUTIONS.c
    several = namespaces is not None and len(namespaces) > 1
    wanted = _one_of(without_index(connection, columns.namespace) if several else columns.namespace, namespaces)
    wanted += _one_of(columns.job_id, None if job_id is None else [job_id])
    wanted += _one_of(columns.job_name, None if job_name is None else [job_name])
    wanted += _one_of(columns.status, status)
    wanted += _one_of(columns.trigger, trigger)
    if start is not None:
        wanted.append(columns.start_time >= _aware("start", start))
    if end is not None:
        wanted.append(columns.start_time < _aware("end", end))
    if cursor is not None:
        moment, last = decode_cursor(cursor)
        # In this form MySQL reads a range of the index; the plain "earlier, or equal and smaller" scans it.
        wanted.append(and_(columns.start_time <= moment, or_(columns.start_time < moment, columns.id < last)))
    end_of_scan = _end_of_scan(connection, wanted) if text else None
    if text:
        wanted.append(_contains(connection, text))
    if end_of_scan is not None:
        moment, last = end_of_scan
        wanted.append(and_(columns.start_time >= moment, or_(columns.start_time > moment, columns.id >= last)))
    query = _newest_first(_executions().where(*wanted)).limit(limit + 1)
    found = [_execution(row) for row in connection.execute(query)]
    items = tuple(found[:limit])
    if len(found) > limit:
        return Page(items, encode_cursor(items[-1].start_time, items[-1].id))
    return Page(items, None if end_of_scan is None else encode_cursor(*end_of_scan))


def execution(connection: Connection, execution_id: str, *, namespaces: Collection[str] | None) -> Execution | None:
    """One execution by its id, or None if there is none in these namespaces."""
    query = _executions().where(*_visible(namespaces), *_one_of(_EXECUTIONS.c.id, [execution_id]))
    row = connection.execute(query).first()
    return None if row is None else _execution(row)


def last_executions(
    connection: Connection,
    job_ids: Collection[str],
    *,
    namespaces: Collection[str] | None,
    finished: bool = False,
) -> dict[str, Execution]:
    """The newest execution of each job, by the job's UID; with `finished`, the newest that has a verdict."""
    newest: dict[str, Execution] = {}
    for chunk in _chunks(sorted(set(job_ids))):
        # One look at the end of an index for each job. Window functions would read them all, and MySQL 5.7 has none.
        inner = _EXECUTIONS.alias("newest")
        last = select(inner.c.id).where(inner.c.job_id == _JOBS.c.id)
        if finished:
            last = last.where(inner.c.status.not_in(_OPEN))
        last = by_index(last, inner, "ix_job_executions_job")
        one = last.order_by(inner.c.start_time.desc(), inner.c.id.desc()).limit(1).correlate(_JOBS).scalar_subquery()
        query = _executions().select_from(_JOBS.join(_EXECUTIONS, _EXECUTIONS.c.id == one))
        query = query.where(*_visible(namespaces), *_one_of(_JOBS.c.id, chunk))
        newest |= {found.job_id: found for found in map(_execution, connection.execute(query))}
    return newest


def open_executions(connection: Connection, *, namespaces: Collection[str] | None = None) -> list[Execution]:
    """All executions without a verdict, oldest first: what the operator compares with the cluster when it starts."""
    query = _executions().where(*_visible(namespaces), *_one_of(_EXECUTIONS.c.status, _OPEN))
    return [_execution(row) for row in connection.execute(query.order_by(_EXECUTIONS.c.start_time, _EXECUTIONS.c.id))]


def due_verdicts(connection: Connection, job_id: str, start: datetime, end: datetime) -> list[DueVerdict]:
    """What is recorded for the due times of a job in [start, end], by due time; ranges that reach into it count."""
    columns = _EXECUTIONS.c
    reaches = and_(columns.due_time < start, columns.due_time_end >= start)
    query = (
        select(columns.due_time, columns.due_time_end, columns["count"], columns.status, columns.run_name)
        .where(columns.job_id == job_id, or_(columns.due_time.between(start, end), reaches))
        .order_by(columns.due_time, columns.id)
    )
    return [DueVerdict(*row) for row in connection.execute(query)]


def successes(connection: Connection, job_id: str, start: datetime, end: datetime) -> set[datetime]:
    """The due times in (start, end] for which a success of that job is recorded, whatever made the run."""
    columns = _EXECUTIONS.c
    query = select(columns.due_time).where(
        columns.job_id == job_id,
        columns.due_time > _aware("start", start),
        columns.due_time <= _aware("end", end),
        columns.status == Verdict.SUCCESS.value,
    )
    return set(connection.scalars(query))


def job(connection: Connection, job_id: str, *, namespaces: Collection[str] | None) -> RecordedJob | None:
    """A job by the UID of its ScheduledJob, also a deleted one; None if there is none in these namespaces."""
    visible = _one_of(_JOBS.c.namespace, namespaces)
    row = connection.execute(
        select(*_columns(_JOBS, RecordedJob)).where(*visible, *_one_of(_JOBS.c.id, [job_id]))
    ).first()
    return None if row is None else RecordedJob(**row._mapping)


def job_names(connection: Connection, job_ids: Collection[str]) -> dict[str, str]:
    """The names for people of jobs, deleted ones too, by the UIDs of their ScheduledJobs."""
    named: dict[str, str] = {}
    for chunk in _chunks(sorted(set(job_ids))):
        query = select(_JOBS.c.id, _JOBS.c.name).where(*_one_of(_JOBS.c.id, chunk))
        named |= {row.id: row.name for row in connection.execute(query)}
    return named


def jobs_named(connection: Connection, namespace: str, name: str) -> list[RecordedJob]:
    """Every job that had a name, newest first: the present one, and those deleted before it was made."""
    query = (
        select(*_columns(_JOBS, RecordedJob))
        .where(*_one_of(_JOBS.c.namespace, [namespace]), *_one_of(_JOBS.c.resource_name, [name]))
        .order_by(_JOBS.c.created_at.desc(), _JOBS.c.id)
    )
    return [RecordedJob(**row._mapping) for row in connection.execute(query)]


def undeleted_job_ids(connection: Connection, namespace: str | None = None) -> set[str]:
    """UIDs of the jobs not marked deleted, of all namespaces or of one: at its start the operator marks those that are
    gone from the cluster."""
    query = select(_JOBS.c.id).where(_JOBS.c.deleted_at.is_(None))
    if namespace is not None:
        query = query.where(_JOBS.c.namespace == namespace)
    return set(connection.scalars(query))


def dependencies(connection: Connection, job_id: str) -> list[Dependency]:
    """The recorded dependencies of a job, in the order of its dependsOn."""
    query = select(*_columns(_DEPENDENCIES, Dependency)).where(_DEPENDENCIES.c.job_id == job_id)
    return [Dependency(**row._mapping) for row in connection.execute(query.order_by(_DEPENDENCIES.c.position))]


def retentions(connection: Connection) -> dict[str, int]:
    """For how many days the records of each job are kept, by the job's UID; deleted ones too."""
    return {row.id: row.record_days for row in connection.execute(select(_JOBS.c.id, _JOBS.c.record_days))}


def encode_cursor(start_time: datetime, execution_id: str) -> str:
    """The cursor of the page after an execution: opaque, fit for a URL."""
    return base64.urlsafe_b64encode(f"{start_time.isoformat()}|{execution_id}".encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> tuple[datetime, str]:
    """Start time and id of the last execution of the page before. Raises ValueError."""
    try:
        moment, last = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii").split("|")
        return _aware("cursor", datetime.fromisoformat(moment)).astimezone(UTC), last
    except (ValueError, OverflowError, binascii.Error) as error:
        raise ValueError("cursor: not one that a page gave") from error


def _columns(table: Table, shape: type[Any]) -> list[ColumnElement[Any]]:
    return [table.c[field.name] for field in fields(shape)]


def _executions() -> Select[Any]:
    return select(*_columns(_EXECUTIONS, Execution))


def _newest_first(query: Select[Any]) -> Select[Any]:
    return query.order_by(_EXECUTIONS.c.start_time.desc(), _EXECUTIONS.c.id.desc())


def _end_of_scan(connection: Connection, wanted: list[ColumnElement[bool]]) -> tuple[datetime, str] | None:
    """Start time and id of the last record that a text is looked for in, None where all of them may be looked into."""
    query = _newest_first(select(_EXECUTIONS.c.start_time, _EXECUTIONS.c.id).where(*wanted))
    row = connection.execute(query.offset(TEXT_SCAN - 1).limit(1)).first()
    return None if row is None else (row.start_time, row.id)


def _execution(row: Row[Any]) -> Execution:
    return Execution(**row._mapping)


def _visible(namespaces: Collection[str] | None) -> list[ColumnElement[bool]]:
    return _one_of(_EXECUTIONS.c.namespace, namespaces)


def _one_of(column: ColumnElement[Any], values: Iterable[str] | None) -> list[ColumnElement[bool]]:
    """The filter on a key, none for None. What cannot be a key matches none: a space at the end is nothing to MySQL."""
    if values is None:
        return []
    return [column.in_(sorted({str(value) for value in values if is_key(value)}))]


def _contains(connection: Connection, text: str) -> ColumnElement[bool]:
    """The filter on text, in any case: what people wrote has a collation for that, keys have not."""
    columns = _EXECUTIONS.c
    places = [contains(connection, column, text) for column in (columns.error, columns.result)]
    if text.isascii():
        places += [column.icontains(text, autoescape=True) for column in (columns.run_name, columns.reason)]
    named = select(_JOBS.c.id).where(contains(connection, _JOBS.c.name, text))
    return or_(columns.job_id.in_(named), *places)


def _aware(name: str, moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError(f"{name}: a time needs a zone")
    return moment


def _chunks(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    for start in range(0, len(ids), _CHUNK):
        yield ids[start : start + _CHUNK]
