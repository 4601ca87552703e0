"""Keeping the daily roll-ups right. Only the operator imports this.

Whoever changes records marks, in the same transaction, the days whose numbers that makes old (`mark`). Later the
numbers of marked days are made anew from the records alone (`refresh`), and the marks go with them, in one transaction.
So a process may end at any instruction, and doing anything twice changes nothing.

No lock is held while records are read: every mark has a token, which each change replaces. Only with the token that was
there before the records were read does a mark go. With another one it stays, but the numbers are written all the same:
a day whose records change all the time would never have any.
"""

import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Engine, Table, and_, delete, func, insert, or_, select, update

from merp_crds.reasons import Verdict
from merp_records.dayrollup import DayNumbers, Ended, bounds, day_of, summarise
from merp_records.engine import by_index, run_in_transaction
from merp_records.rows import OPEN_STATES, Row
from merp_records.tables import DailyRollup, Job, JobExecution, StaleRollup

# Conditions in one statement: its text stays small, and the server still finds each by the index.
_CHUNK: Final = 100

_JOBS: Final[Table] = Job.__table__  # type: ignore[assignment]  # declarative says FromClause, and makes a Table
_EXECUTIONS: Final[Table] = JobExecution.__table__  # type: ignore[assignment]  # as above
_ROLLUPS: Final[Table] = DailyRollup.__table__  # type: ignore[assignment]  # as above
_STALE: Final[Table] = StaleRollup.__table__  # type: ignore[assignment]  # as above


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A day of a job whose numbers are old."""

    job_id: str
    day: date
    token: str


def mark(connection: Connection, changed: Collection[Row]) -> None:
    """Mark the days that rows of executions change: new verdicts, changed ones, deleted ones.

    A success also changes the day of every record that it heals.
    """
    days = {(row["job_id"], day_of(row["start_time"])) for row in changed if row["status"] not in OPEN_STATES}
    days |= _healed_days(connection, changed)
    token = uuid.uuid4().hex
    for chunk in _chunks(sorted(days)):
        # Updated or inserted, never deleted and inserted again: on InnoDB two who do that deadlock.
        these = or_(*(_is_mark(job_id, day) for job_id, day in chunk))
        present = {
            tuple(row)
            for row in connection.execute(select(_STALE.c.job_id, _STALE.c.day).where(these).with_for_update())
        }
        if present:
            connection.execute(update(_STALE).where(these).values(token=token))
        added = [
            {"job_id": job_id, "day": day, "token": token} for job_id, day in chunk if (job_id, day) not in present
        ]
        if added:
            connection.execute(insert(_STALE), added)


def marks(connection: Connection) -> list[Mark]:
    """The days whose numbers are to be made anew."""
    query = select(_STALE.c.job_id, _STALE.c.day, _STALE.c.token).order_by(_STALE.c.job_id, _STALE.c.day)
    return [Mark(*row) for row in connection.execute(query)]


def refresh(engine: Engine, marked: Sequence[Mark], *, now: datetime) -> int:
    """Make the numbers of some marked days anew, in one transaction. Returns how many of the marks could go."""
    if not marked:
        # Not even a turn at the file of SQLite.
        return 0
    with engine.connect() as connection:
        rows = [(each, _numbers(connection, each)) for each in marked]

    def work(connection: Connection) -> int:
        return sum(_write(connection, dict(chunk), now) for chunk in _chunks(rows))

    return run_in_transaction(engine, work)


def drop(connection: Connection, job_ids: Collection[str]) -> None:
    """Delete numbers and marks of jobs that are about to be deleted and have no records."""
    for table in (_STALE, _ROLLUPS):
        connection.execute(delete(table).where(table.c.job_id.in_(job_ids)))


def _numbers(connection: Connection, marked: Mark) -> DayNumbers | None:
    start, end = bounds(marked.day)
    query = select(*(_EXECUTIONS.c[field.name] for field in fields(Ended))).where(
        _EXECUTIONS.c.job_id == marked.job_id,
        _EXECUTIONS.c.start_time >= start,
        _EXECUTIONS.c.start_time < end,
        _EXECUTIONS.c.status.not_in(OPEN_STATES),
    )
    records = [Ended(**row._mapping) for row in connection.execute(query)]
    return summarise(records, _successes(connection, marked.job_id, records))


def _successes(connection: Connection, job_id: str, records: Iterable[Ended]) -> dict[datetime, datetime]:
    """When the newest success ended of each due time of the records that are none."""
    columns = _EXECUTIONS.c
    unhealed = [record for record in records if record.status != Verdict.SUCCESS and record.due_time is not None]
    single = sorted({record.due_time for record in unhealed if record.due_time and record.due_time_end is None})
    wanted: list[ColumnElement[bool]] = [columns.due_time.in_(chunk) for chunk in _chunks(single)]
    wanted += [
        columns.due_time.between(record.due_time, record.due_time_end) for record in unhealed if record.due_time_end
    ]
    found: dict[datetime, datetime] = {}
    for condition in wanted:
        query = select(columns.due_time, func.max(columns.end_time)).where(
            columns.job_id == job_id, columns.status == Verdict.SUCCESS.value, condition
        )
        found |= {row[0]: row[1] for row in connection.execute(query.group_by(columns.due_time))}
    return found


def _write(connection: Connection, made: dict[Mark, DayNumbers | None], now: datetime) -> int:
    # The jobs first, as whoever records does: numbers point at them, and the other way round the two would deadlock.
    owners = select(_JOBS.c.id, _JOBS.c.namespace).where(_JOBS.c.id.in_(sorted({each.job_id for each in made})))
    locked = connection.execute(owners.order_by(_JOBS.c.id).with_for_update(read=True))
    namespaces = {row.id: row.namespace for row in locked}
    marked = or_(*(_is_mark(each.job_id, each.day) for each in made))
    query = select(_STALE.c.job_id, _STALE.c.day, _STALE.c.token).where(marked).order_by(_STALE.c.job_id, _STALE.c.day)
    tokens = {(row.job_id, row.day): row.token for row in connection.execute(query.with_for_update())}
    settled = [each for each in made if tokens.get((each.job_id, each.day)) == each.token]
    if settled:
        connection.execute(delete(_STALE).where(or_(*(_is_mark(each.job_id, each.day) for each in settled))))
    # Of a day without a mark somebody else was faster, perhaps with newer records.
    days = {(each.job_id, each.day): made[each] for each in made if (each.job_id, each.day) in tokens}
    _write_numbers(connection, days, namespaces, now)
    return len(settled)


def _write_numbers(
    connection: Connection,
    days: dict[tuple[str, date], DayNumbers | None],
    namespaces: dict[str, str],
    now: datetime,
) -> None:
    if not days:
        return
    those = or_(*(and_(_ROLLUPS.c.day == day, _ROLLUPS.c.job_id == job_id) for job_id, day in days))
    query = select(_ROLLUPS.c.job_id, _ROLLUPS.c.day).where(those)
    present = {(row.job_id, row.day) for row in connection.execute(query.with_for_update())}
    added = []
    for (job_id, day), numbers in days.items():
        this = and_(_ROLLUPS.c.day == day, _ROLLUPS.c.job_id == job_id)
        if numbers is None:
            connection.execute(delete(_ROLLUPS).where(this))
            continue
        values = {**asdict(numbers), "computed_at": now}
        if (job_id, day) in present:
            connection.execute(update(_ROLLUPS).where(this).values(values))
        else:
            added.append({"job_id": job_id, "day": day, "namespace": namespaces[job_id], **values})
    if added:
        connection.execute(insert(_ROLLUPS), added)


def _healed_days(connection: Connection, changed: Collection[Row]) -> set[tuple[str, date]]:
    """The days of records that are for a due time of the successes among the rows, and are none themselves."""
    due_times: dict[str, set[datetime]] = {}
    for row in changed:
        if row["status"] == Verdict.SUCCESS and row["due_time"] is not None:
            due_times.setdefault(row["job_id"], set()).add(row["due_time"])
    found: list[Any] = []
    columns = _EXECUTIONS.c
    wanted = [columns.job_id, columns.start_time, columns.due_time, columns.due_time_end]
    unhealed = select(*wanted).where(
        columns.status.not_in([*OPEN_STATES, Verdict.SUCCESS.value]), columns.due_time.is_not(None)
    )
    for chunk in _chunks(sorted(due_times)):
        same = [and_(columns.job_id == job_id, columns.due_time.in_(sorted(due_times[job_id]))) for job_id in chunk]
        found += connection.execute(by_index(unhealed.where(or_(*same)), _EXECUTIONS, "ix_job_executions_job_due"))
        # Wider than what is looked for, and the server finds it faster than a condition for each job.
        earliest = min(min(due_times[job_id]) for job_id in chunk)
        ranges = unhealed.where(columns.job_id.in_(chunk), columns.due_time_end >= earliest)
        found += connection.execute(by_index(ranges, _EXECUTIONS, "ix_job_executions_job_due_end"))
    return {(row.job_id, day_of(row.start_time)) for row in found if _heals(due_times[row.job_id], row)}


def _heals(due_times: set[datetime], row: Any) -> bool:
    last = row.due_time_end or row.due_time
    return any(row.due_time <= due_time <= last for due_time in due_times)


def _is_mark(job_id: str, day: date) -> ColumnElement[bool]:
    return and_(_STALE.c.job_id == job_id, _STALE.c.day == day)


def _chunks(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]
