"""Reading the daily roll-ups: what a dashboard shows, from one row for each job and day, never from the records.

The numbers of a day follow its records within seconds (`merp_records.stalerollups`). Days are UTC, both ends of a range
count, and namespaces are as in `merp_records.queries`.
"""

from collections.abc import Collection
from dataclasses import dataclass, fields
from datetime import date
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Table, func, select

from merp_records.dayrollup import DayNumbers
from merp_records.tables import DailyRollup, Job, is_key

# The longest range: a year and a day.
MAX_DAYS: Final = 366

_JOBS: Final[Table] = Job.__table__  # type: ignore[assignment]  # declarative says FromClause, and makes a Table
_ROLLUPS: Final[Table] = DailyRollup.__table__  # type: ignore[assignment]  # as above
_COUNTS: Final = ("success", "failed", "timeout", "cancelled", "skipped", "missed", "healed")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDay(DayNumbers):
    """A day of one job."""

    day: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """How due times ended, of several jobs or days; `healed` of those without success have one by now."""

    success: int
    failed: int
    timeout: int
    cancelled: int
    skipped: int
    missed: int
    healed: int

    @property
    def unhealed(self) -> int:
        """How many due times are still without a success."""
        return self.failed + self.timeout + self.cancelled + self.skipped + self.missed - self.healed


@dataclass(frozen=True, slots=True, kw_only=True)
class DayTotals(Totals):
    """Those of a day."""

    day: date


@dataclass(frozen=True, slots=True, kw_only=True)
class JobTotals(Totals):
    """Those of a job. `resource_name` is its id in REST, `name` the one for people."""

    job_id: str
    namespace: str
    resource_name: str
    name: str


def job_days(
    connection: Connection, job_id: str, *, namespaces: Collection[str] | None, first: date, last: date
) -> list[JobDay]:
    """The days of a job that have a verdict, newest first. Raises ValueError for a range that is none or too long."""
    columns = [_ROLLUPS.c[field.name] for field in fields(JobDay)]
    query = (
        select(*columns)
        .where(_ROLLUPS.c.job_id == job_id, *_within(first, last), *_visible(namespaces))
        .order_by(_ROLLUPS.c.day.desc())
    )
    return [JobDay(**row._mapping) for row in connection.execute(query)]


def totals_by_day(
    connection: Connection, *, namespaces: Collection[str] | None, first: date, last: date
) -> list[DayTotals]:
    """The days that have a verdict, newest first. Raises ValueError as `job_days` does."""
    query = (
        select(_ROLLUPS.c.day, *_sums())
        .where(*_within(first, last), *_visible(namespaces))
        .group_by(_ROLLUPS.c.day)
        .order_by(_ROLLUPS.c.day.desc())
    )
    return [DayTotals(day=row.day, **_counts(row._mapping)) for row in connection.execute(query)]


def totals_by_job(
    connection: Connection, *, namespaces: Collection[str] | None, first: date, last: date, limit: int = 20
) -> list[JobTotals]:
    """The jobs with most due times without a success, at most `limit`. Raises ValueError as `job_days` does."""
    rows = [*_within(first, last), *_visible(namespaces)]
    # Most days have nothing to tell: grouping them all takes longer than reading them.
    unhealed = sum(_ROLLUPS.c[name] for name in _COUNTS if name not in ("success", "healed")) - _ROLLUPS.c.healed
    total = func.sum(unhealed)
    worst = (
        select(_ROLLUPS.c.job_id, total.label("unhealed"))
        .where(*rows, unhealed > 0)
        .group_by(_ROLLUPS.c.job_id)
        .order_by(total.desc(), _ROLLUPS.c.job_id)
        .limit(limit)
        .subquery()
    )
    names = [_JOBS.c[name] for name in ("namespace", "resource_name", "name")]
    query = (
        select(_ROLLUPS.c.job_id, *names, *_sums())
        .join(worst, worst.c.job_id == _ROLLUPS.c.job_id)
        .join(_JOBS, _JOBS.c.id == _ROLLUPS.c.job_id)
        .where(*rows)
        .group_by(_ROLLUPS.c.job_id, *names, worst.c.unhealed)
        .order_by(worst.c.unhealed.desc(), _ROLLUPS.c.job_id)
    )
    return [
        JobTotals(
            job_id=row.job_id,
            namespace=row.namespace,
            resource_name=row.resource_name,
            name=row.name,
            **_counts(row._mapping),
        )
        for row in connection.execute(query)
    ]


def _sums() -> list[Any]:
    return [func.sum(_ROLLUPS.c[name]).label(name) for name in _COUNTS]


def _counts(row: Any) -> dict[str, int]:
    # MySQL's sums are decimals.
    return {name: int(row[name]) for name in _COUNTS}


def _within(first: date, last: date) -> list[ColumnElement[bool]]:
    if not 0 <= (last - first).days < MAX_DAYS:
        raise ValueError(f"last: a range ends where it begins or later, and has at most {MAX_DAYS} days")
    return [_ROLLUPS.c.day.between(first, last)]


def _visible(namespaces: Collection[str] | None) -> list[ColumnElement[bool]]:
    if namespaces is None:
        return []
    return [_ROLLUPS.c.namespace.in_(sorted(name for name in namespaces if is_key(name)))]
