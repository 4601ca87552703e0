"""Writing records. Only the operator imports this.

`record` is the way in: it takes what was observed, in any order and as often as wanted, and says what is now in the
database and what never will be. The other functions are its parts, for a transaction of the caller's own
(`merp_records.engine.run_in_transaction`).
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Literal, TypeVar

from sqlalchemy import ColumnElement, Connection, Engine, Table, and_, bindparam, delete, insert, or_, select, update

from merp_crds.reasons import Reason, Trigger, Verdict
from merp_records import stalerollups
from merp_records.engine import by_index, describe, row_fault, run_in_transaction
from merp_records.rows import (
    OPEN_STATES,
    BadRecord,
    DependencyRecord,
    ExecutionRecord,
    JobRecord,
    Row,
    dependency_rows,
    execution_row,
    job_row,
    merge_batch,
    merge_execution,
    merge_job,
)
from merp_records.tables import Job, JobDependency, JobExecution

__all__ = [
    "DependencyRecord",
    "ExecutionRecord",
    "Failure",
    "JobRecord",
    "WriteResult",
    "close_open_executions",
    "mark_jobs_deleted",
    "purge_executions",
    "purge_jobs",
    "record",
    "record_executions",
    "record_jobs",
]

# Ids in one IN list: far below SQLite's 32,766 variables, and a packet of a few kilobytes.
_CHUNK: Final = 500

_JOBS: Final[Table] = Job.__table__  # type: ignore[assignment]  # declarative says FromClause, and makes a Table
_EXECUTIONS: Final[Table] = JobExecution.__table__  # type: ignore[assignment]  # as above
_DEPENDENCIES: Final[Table] = JobDependency.__table__  # type: ignore[assignment]  # as above

_DAY_COLUMNS: Final = tuple(_EXECUTIONS.c[name] for name in ("id", "job_id", "start_time", "due_time", "status"))

Kind = Literal["job", "execution"]
Record = TypeVar("Record", JobRecord, ExecutionRecord)


@dataclass(frozen=True, slots=True)
class Failure:
    """A record that the database will never take as it is. `problem` names the cause and holds no value of it."""

    kind: Kind
    id: str
    problem: str
    column: str | None = None


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What became of a batch: ids of what is in the database (also where nothing had to be written), and the rest."""

    jobs: frozenset[str]
    executions: frozenset[str]
    failures: tuple[Failure, ...] = ()


def record(
    engine: Engine, jobs: Iterable[JobRecord], executions: Iterable[ExecutionRecord], *, now: datetime
) -> WriteResult:
    """Write a batch in one transaction: the jobs first, then their runs. Blocking; call it off the event loop.

    Deadlocks, lost connections and lost answers are retried as a whole. Where a row is to blame, the batch is written
    again row by row, and that one is reported as a Failure; nothing else is lost by it. What is wrong with the database
    itself (password, rights, schema, disk, away for longer) is raised as it is: nothing was recorded, try later;
    `merp_records.engine.describe` says it in a sentence.
    """
    failures: list[Failure] = []
    job_rows = merge_batch(_rows(jobs, _job_with_dependencies, "job", failures), _merge_job_in_batch)
    run_rows = merge_batch(_rows(executions, execution_row, "execution", failures), merge_execution)
    if not job_rows and not run_rows:
        return WriteResult(frozenset(), frozenset(), tuple(failures))
    try:
        run_in_transaction(engine, lambda connection: _write_all(connection, job_rows, run_rows, now))
        refused: list[Failure] = []
    except Exception as error:
        if not row_fault(error):
            raise
        refused = run_in_transaction(engine, lambda connection: _write_each(connection, job_rows, run_rows, now))
    lost = {(failure.kind, failure.id) for failure in refused}
    return WriteResult(
        jobs=frozenset(key for key in job_rows if ("job", key) not in lost),
        executions=frozenset(key for key in run_rows if ("execution", key) not in lost),
        failures=(*failures, *refused),
    )


def record_jobs(connection: Connection, jobs: Iterable[JobRecord], *, now: datetime) -> None:
    """Write jobs and their dependencies. Raises BadRecord, and what the database raises."""
    _write_jobs(connection, merge_batch(map(_job_with_dependencies, jobs), _merge_job_in_batch), now)


def record_executions(connection: Connection, executions: Iterable[ExecutionRecord], *, now: datetime) -> None:
    """Write runs; their jobs must be there. Raises BadRecord, and what the database raises."""
    _write_executions(connection, merge_batch(map(execution_row, executions), merge_execution), now)


def mark_jobs_deleted(connection: Connection, ids: Collection[str], *, deleted_at: datetime, now: datetime) -> int:
    """Remember that ScheduledJobs are gone; their history stays. Returns how many were not marked before."""
    marked = 0
    for chunk in _chunks(sorted(ids)):
        statement = (
            update(_JOBS)
            .where(_JOBS.c.id.in_(chunk), _JOBS.c.deleted_at.is_(None))
            .values(deleted_at=deleted_at, status="deleted", next_run_time=None, updated_at=now)
        )
        marked += connection.execute(statement).rowcount
    return marked


def close_open_executions(
    connection: Connection,
    ids: Collection[str],
    *,
    verdict: Verdict = Verdict.CANCELLED,
    reason: Reason = Reason.JOB_DELETED,
    end_time: datetime,
    now: datetime,
) -> int:
    """Give a verdict to runs that have none, such as those whose Job is gone. Returns how many were still open."""
    closed = 0
    for chunk in _chunks(sorted(ids)):
        found = _on_days(connection, _EXECUTIONS.c.id.in_(chunk), _EXECUTIONS.c.status.in_(OPEN_STATES))
        statement = update(_EXECUTIONS).where(_EXECUTIONS.c.id.in_([row["id"] for row in found]))
        given = {"status": str(verdict), "reason": str(reason), "end_time": end_time}
        connection.execute(statement.values(**given, recorded_at=now))
        stalerollups.mark(connection, [row | given for row in found])
        closed += len(found)
    return closed


def purge_executions(connection: Connection, before: datetime, batch: int = 500, *, job_id: str | None = None) -> int:
    """Delete the oldest verdicts that started and ended before a moment, at most `batch`. Open runs stay, however old.

    A due time of years ago that was told to be missed today is kept as long as any verdict of today.

    Returns how many went; the caller goes on, a transaction each, until it is less than `batch`. With `job_id` of one
    job only: how long records are kept is said by each (`merp_records.queries.retentions`).
    """
    oldest = (
        select(*_DAY_COLUMNS)
        .where(
            # The first has the index, and leaves little to the second.
            _EXECUTIONS.c.start_time < before,
            _EXECUTIONS.c.end_time < before,
            _EXECUTIONS.c.status.not_in(OPEN_STATES),
        )
        .order_by(_EXECUTIONS.c.start_time, _EXECUTIONS.c.id)
        .limit(batch)
    )
    if job_id is not None:
        oldest = oldest.where(_EXECUTIONS.c.job_id == job_id)
    # Read first: MySQL refuses LIMIT in a subquery of IN, and a range in DELETE would lock what is being written.
    gone = [dict(row) for row in connection.execute(oldest).mappings()]
    for chunk in _chunks(sorted(row["id"] for row in gone)):
        connection.execute(delete(_EXECUTIONS).where(_EXECUTIONS.c.id.in_(chunk)))
    stalerollups.mark(connection, gone)
    return len(gone)


def purge_jobs(connection: Connection, now: datetime, batch: int = 500) -> int:
    """Delete jobs that have been deleted for as long as their records are kept, and have none left; at most `batch`.

    Not sooner: a last record that comes late would bring the job back as one that is not deleted. Returns how many.
    """
    ids: list[str] = []
    runs = select(_EXECUTIONS.c.id).where(_EXECUTIONS.c.job_id == _JOBS.c.id)
    kept = select(_JOBS.c.record_days).where(_JOBS.c.deleted_at.is_not(None)).distinct()
    # The databases add days to a moment in different ways; there are few different numbers of them.
    for days in connection.scalars(kept).all():
        old = and_(_JOBS.c.record_days == days, _JOBS.c.deleted_at < now - timedelta(days=days))
        empty = select(_JOBS.c.id).where(old, ~runs.exists()).order_by(_JOBS.c.id).limit(batch - len(ids))
        ids += connection.scalars(empty)
    for chunk in _chunks(ids):
        connection.execute(delete(_DEPENDENCIES).where(_DEPENDENCIES.c.job_id.in_(chunk)))
        stalerollups.drop(connection, chunk)
        connection.execute(delete(_JOBS).where(_JOBS.c.id.in_(chunk)))
    return len(ids)


def _rows(
    records: Iterable[Record], make: Callable[[Record], Row], kind: Kind, failures: list[Failure]
) -> Iterator[Row]:
    for each in records:
        try:
            yield make(each)
        except BadRecord as error:
            failures.append(Failure(kind, each.id, str(error), error.column))


def _job_with_dependencies(job: JobRecord) -> Row:
    return {**job_row(job), "dependencies": dependency_rows(job)}


def _merge_job_in_batch(before: Row, after: Row) -> Row | None:
    return after if after["generation"] >= before["generation"] else None


def _write_all(connection: Connection, jobs: dict[str, Row], executions: dict[str, Row], now: datetime) -> None:
    _write_jobs(connection, jobs, now)
    _write_executions(connection, executions, now)


def _write_each(
    connection: Connection, jobs: dict[str, Row], executions: dict[str, Row], now: datetime
) -> list[Failure]:
    failures: list[Failure] = []
    for key, row in jobs.items():
        write = partial(_write_jobs, connection, {key: row}, now)
        _write_one(connection, write, "job", key, failures)
    for key, row in executions.items():
        write = partial(_write_executions, connection, {key: row}, now)
        _write_one(connection, write, "execution", key, failures)
    return failures


def _write_one(
    connection: Connection, write: Callable[[], None], kind: Kind, key: str, failures: list[Failure]
) -> None:
    try:
        with connection.begin_nested():
            write()
    except Exception as error:
        if not row_fault(error):
            raise
        failures.append(Failure(kind, key, describe(error)))


def _write_jobs(connection: Connection, rows: dict[str, Row], now: datetime) -> None:
    plain = {key: {name: row[name] for name in row if name != "dependencies"} for key, row in rows.items()}
    old = _present(connection, _JOBS, plain, ("deleted_at",))
    added = [{**row, "updated_at": now} for key, row in plain.items() if key not in old]
    if added:
        connection.execute(insert(_JOBS), added)
    changes = (merge_job(old[key], row) for key, row in plain.items() if key in old)
    _update(connection, _JOBS, [{**row, "updated_at": now} for row in changes if row is not None])
    current = {key: row for key, row in rows.items() if key not in old or row["generation"] >= old[key]["generation"]}
    _write_dependencies(connection, current)


def _write_dependencies(connection: Connection, jobs: dict[str, Row]) -> None:
    present: dict[str, list[Row]] = {}
    for chunk in _chunks(list(jobs)):
        query = select(_DEPENDENCIES).where(_DEPENDENCIES.c.job_id.in_(chunk))
        for row in connection.execute(query.order_by(_DEPENDENCIES.c.job_id, _DEPENDENCIES.c.position)).mappings():
            present.setdefault(row["job_id"], []).append(dict(row))
    changed = [key for key, row in jobs.items() if row["dependencies"] != present.get(key, [])]
    for chunk in _chunks([key for key in changed if key in present]):
        connection.execute(delete(_DEPENDENCIES).where(_DEPENDENCIES.c.job_id.in_(chunk)))
    added = [row for key in changed for row in jobs[key]["dependencies"]]
    if added:
        connection.execute(insert(_DEPENDENCIES), added)


def _write_executions(connection: Connection, rows: dict[str, Row], now: datetime) -> None:
    old = _present(connection, _EXECUTIONS, rows)
    added = [{**row, "recorded_at": now} for key, row in rows.items() if key not in old]
    if added:
        connection.execute(insert(_EXECUTIONS), added)
    changes = [merge_execution(old[key], row) for key, row in rows.items() if key in old]
    changed = [{**row, "recorded_at": now} for row in changes if row is not None]
    _update(connection, _EXECUTIONS, changed)
    stalerollups.mark(connection, [*added, *changed, *_delete_counted_twice(connection, [*added, *changed])])


def _delete_counted_twice(connection: Connection, written: list[Row]) -> list[Row]:
    """Delete the records of due times that a range counts as well. Returns what the roll-ups need to know of them.

    What waits for the database becomes a range when it is much. Some of it may have been handed over one by one before
    that, or even committed, and whoever made the range need not know: it may come before the range or after it.
    """
    alone = [row for row in written if row["trigger"] == Trigger.SCHEDULE and row["job_uid"] is None]
    alone = [row for row in alone if row["due_time"] is not None and row["status"] not in OPEN_STATES]
    columns, gone = _EXECUTIONS.c, []
    for chunk in _chunks(sorted({row["job_id"] for row in alone})):
        mine = [row for row in alone if row["job_id"] in chunk]
        named = [columns[name] for name in ("id", "job_id", "status", "reason", "due_time", "due_time_end")]
        ranges = select(*named).where(
            columns.job_id.in_(chunk),
            columns.reason.is_not(None),
            columns.due_time_end >= min(row["due_time"] for row in mine),
            columns.due_time <= max(row["due_time_end"] or row["due_time"] for row in mine),
        )
        for found in connection.execute(by_index(ranges, _EXECUTIONS, "ix_job_executions_job_due_end")).all():
            within = _on_days(
                connection,
                columns.job_id == found.job_id,
                columns.due_time.between(found.due_time, found.due_time_end),
                columns.id != found.id,
                or_(columns.due_time_end.is_(None), columns.due_time_end <= found.due_time_end),
                columns.status == found.status,
                columns.reason == found.reason,
                columns.trigger == Trigger.SCHEDULE.value,
                columns.job_uid.is_(None),
            )
            for ids in _chunks([row["id"] for row in within]):
                connection.execute(delete(_EXECUTIONS).where(columns.id.in_(ids)))
            gone += within
    return gone


def _on_days(connection: Connection, *conditions: ColumnElement[bool]) -> list[Row]:
    """What the roll-ups need to know of some runs, which are locked in the order of their ids."""
    query = select(*_DAY_COLUMNS).where(*conditions).order_by(_EXECUTIONS.c.id)
    return [dict(row) for row in connection.execute(query.with_for_update()).mappings()]


def _present(connection: Connection, table: Table, rows: dict[str, Row], also: Sequence[str] = ()) -> dict[str, Row]:
    """The rows that are there already, locked in the order of their ids, with the columns that a record has.

    Read first rather than upserted blindly: after a restart everything comes again, and nearly all of it is unchanged;
    and the rules of merging are Python once, not SQL three times.
    """
    if not rows:
        return {}
    names = [*next(iter(rows.values())), *also]
    found: dict[str, Row] = {}
    for chunk in _chunks(list(rows)):
        query = select(*(table.c[name] for name in names)).where(table.c.id.in_(chunk)).order_by(table.c.id)
        found |= {row["id"]: dict(row) for row in connection.execute(query.with_for_update()).mappings()}
    return found


def _update(connection: Connection, table: Table, rows: list[Row]) -> None:
    if not rows:
        return
    names = [name for name in rows[0] if name != "id"]
    # A bound name may not be a column's name in an UPDATE of many rows.
    statement = (
        update(table).where(table.c.id == bindparam("b_id")).values({name: bindparam(f"b_{name}") for name in names})
    )
    connection.execute(statement, [{f"b_{name}": value for name, value in row.items()} for row in rows])


def _chunks(ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), _CHUNK):
        yield ids[start : start + _CHUNK]
