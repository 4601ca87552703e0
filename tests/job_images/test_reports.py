"""The report, from records that the scheduler's own code wrote."""

import csv
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL

from merp_crds.reasons import Reason, RunState, Trigger, Verdict
from merp_records.engine import create_engine, database_url
from merp_records.migrations import upgrade
from merp_records.tables import Base
from merp_records.writes import ExecutionRecord, JobRecord, record
from merp_runner import Connection, Context, ParameterError
from merp_tasks.figures import VERDICTS, Execution, Figures, days_of, figures_of
from merp_tasks.history import METADATA
from merp_tasks.reports import report

NewDatabase = Callable[[str], Connection]
DAY = datetime(2026, 11, 30, tzinfo=UTC)


def at(hours: float) -> datetime:
    return DAY + timedelta(hours=hours)


def execution(
    status: str, due: float | None, start: float, end: float | None = None, trigger: str = "schedule", **more: Any
) -> Execution:
    fields: dict[str, Any] = {
        "job_id": "1",
        "namespace": "erp",
        "job_name": "a",
        "display_name": "a",
        "status": status,
        "trigger": trigger,
        "reason": None,
        "due": None if due is None else at(due),
        "start": at(start),
        "end": None if end is None else at(end),
    }
    return Execution(**fields | more)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param([], {}, id="nothing-does-nothing"),
        pytest.param([execution("success", 1, 1, 1.5)], {"success": 1}, id="success"),
        pytest.param([execution("success", 1, 1.1, 1.5)], {"success": 1, "late": 1}, id="late"),
        pytest.param([execution("success", 1, 1.1, 1.5, "manual")], {"success": 1}, id="who-asks-is-not-late"),
        pytest.param([execution("failed", 1, 1, 1.5), execution("success", 1, 2, 2.5, "retry")], {"success": 1, "reruns": 1}, id="a-rerun-heals"),
        pytest.param([execution("success", 1, 1, 1.5), execution("failed", 1, 2, 2.5, "retry")], {"failed": 1, "reruns": 1}, id="or-does-not"),
        pytest.param([execution("failed", 1, 1, 1.5), execution("running", 1, 2, None, "retry")], {"failed": 1, "reruns": 1}, id="a-rerun-that-is-not-done-changes-nothing"),
        pytest.param([execution("running", 1, 1)], {"open": 1}, id="running"),
        pytest.param([execution("waiting", 1, 3)], {"open": 1}, id="waiting-is-not-late-yet"),
        pytest.param([execution("missed", 1, 1, 4)], {"missed": 1}, id="missed"),
        pytest.param([execution("missed", 1, 1, 9, due_end=at(4), count=4)], {"missed": 4}, id="an-outage-in-one-row"),
        pytest.param([execution("missed", 1, 1, 9, due_end=at(4), count=4), execution("success", 1, 9, 9.1, "backfill"), execution("success", 4, 9, 9.2, "backfill"), execution("success", 5, 5, 5.2)], {"missed": 2, "success": 3}, id="a-backfill-within-an-outage"),
        pytest.param([execution("success", None, 1, 1.5, "manual"), execution("failed", None, 1, 1.5, "manual")], {"success": 1, "failed": 1}, id="by-hand-without-a-due-time"),
        pytest.param([execution("skipped", 1, 1, 1), execution("cancelled", 2, 2, 2.2)], {"skipped": 1, "cancelled": 1}, id="decisions"),
    ],
)  # fmt: skip
def test_figures(rows: list[Execution], expected: dict[str, int]) -> None:
    counted: dict[str, int] = {}
    for job in figures_of(rows, 60):
        counted = job.verdicts | {"open": job.open, "late": job.late, "reruns": job.reruns}
    assert {name: count for name, count in counted.items() if count} == expected


def test_rate_and_times() -> None:
    (job,) = figures_of(
        [
            execution("success", 1, 1, 2),
            execution("timeout", 2, 2, 5, reason="DeadlineExceeded"),
            execution("missed", 6, 6, 7, reason="Outage"),
            execution("skipped", 8, 8, 8),
        ],
        60,
    )
    assert (job.due, job.success_rate, job.mean_seconds, job.longest) == (4, 1 / 3, 7200, 10_800)
    assert (job.last_failure, job.last_reason) == (at(6), "Outage")
    assert Figures("", "", "").success_rate is None


@pytest.mark.parametrize(
    ("period", "day", "first", "after"),
    [
        pytest.param("day", date(2027, 1, 1), date(2026, 12, 31), date(2027, 1, 1), id="day"),
        pytest.param("week", date(2026, 12, 1), date(2026, 11, 23), date(2026, 11, 30), id="week-on-a-tuesday"),
        pytest.param("week", date(2026, 11, 30), date(2026, 11, 23), date(2026, 11, 30), id="week-on-a-monday"),
        pytest.param("week", date(2026, 11, 29), date(2026, 11, 16), date(2026, 11, 23), id="week-on-a-sunday"),
        pytest.param("month", date(2027, 3, 31), date(2027, 2, 1), date(2027, 3, 1), id="month"),
        pytest.param("month", date(2027, 1, 1), date(2026, 12, 1), date(2027, 1, 1), id="month-across-the-year"),
    ],
)
def test_period(period: Any, day: date, first: date, after: date) -> None:
    assert days_of(period, day) == (first, after)


def job(uid: str, name: str, display: str, namespace: str = "erp") -> JobRecord:
    return JobRecord(
        id=uid, namespace=namespace, resource_name=name, name=display, job_type="cron", func="f", created_at=DAY
    )


def run(uid: str, name: str, number: int, status: Verdict | RunState, start: float, **more: Any) -> ExecutionRecord:
    fields: dict[str, Any] = {
        "job_id": uid,
        "namespace": "erp",
        "job_name": name,
        "run_name": f"{name}-{number}",
        "status": status,
        "trigger": Trigger.SCHEDULE,
        "start_time": at(start),
        "due_time": at(start),
        "end_time": at(start + 0.1) if isinstance(status, Verdict) else None,
    }
    return ExecutionRecord(**fields | more)


A, B, C = ("7a1e0000-0000-4000-8000-00000000000" + digit for digit in "123")


@pytest.fixture
def records(new_database: NewDatabase) -> Connection:
    """Records as the operator writes them, in the database that the operator makes."""
    made = new_database("records")
    engine = create_engine(_records_url(made))
    upgrade(engine)
    # The day in Shanghai is from 16:00 UTC of the 29th to 16:00 of the 30th: hours -8 to 16.
    written = record(
        engine,
        [job(A, "sync", "数据同步 <b>&"), job(B, "close", "close"), job(C, "other", "other", "hr")],
        [
            run(A, "sync", 1, Verdict.SUCCESS, -8),
            run(A, "sync", 2, Verdict.FAILED, 1, reason=Reason.EXIT_CODE, error="<script>"),
            run(A, "sync", 3, Verdict.SUCCESS, 2, start_time=at(2.5)),
            run(A, "sync", 4, Verdict.MISSED, 3, reason=Reason.OUTAGE, due_time_end=at(5), count=3),
            run(A, "sync", 9, Verdict.FAILED, -8.01),
            run(A, "sync", 10, Verdict.FAILED, 16),
            run(B, "close", 1, RunState.RUNNING, 15.9),
            run(C, "other", 1, Verdict.TIMEOUT, 0, namespace="hr", reason=Reason.DEADLINE),
        ],
        now=at(20),
    )
    assert written.failures == ()
    engine.dispose()
    return made


def _records_url(connection: Connection) -> URL:
    parts = connection.values
    if "url" in parts:
        return database_url(sqlite_path=parts["url"].removeprefix("sqlite:///"))
    return database_url(parts["host"], int(parts["port"]), parts["database"], parts["username"])


class Table(HTMLParser):
    """The texts of each row of a page's table."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip()


def test_the_day_of_shanghai(records: Connection, context: Context, output: Path) -> None:
    result = report(context, records)
    assert result == {
        "from": date(2026, 11, 30),
        "until": date(2026, 11, 30),
        "jobs": 3,
        "due": 8,
        "success": 2,
        "failed": 1,
        "timeout": 1,
        "cancelled": 0,
        "skipped": 0,
        "missed": 3,
        "open": 1,
        "late": 1,
        "success_rate": round(2 / 7, 4),
        "worst": [
            {"job": "hr/other", "success_rate": 0.0, "failed": 1, "missed": 0, "late": 0, "reason": "DeadlineExceeded"},
            {"job": "erp/sync", "success_rate": 0.3333, "failed": 1, "missed": 3, "late": 1, "reason": "Outage"},
        ],
        "files": ["report-2026-12-01.csv", "report-2026-12-01.html"],
    }
    with (output / "report-2026-12-01.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = {row["job"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["close", "sync", "other"]
    assert rows["sync"]["name"] == "数据同步 <b>&"
    assert {name: rows["sync"][name] for name in ("due", *VERDICTS, "late")} == {
        "due": "6", "success": "2", "failed": "1", "timeout": "0", "cancelled": "0", "skipped": "0", "missed": "3", "late": "1",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("language", "title", "last"),
    [pytest.param("en", "Namespace", "All", id="en"), pytest.param("zh", "命名空间", "合计", id="zh")],
)
def test_the_page(records: Connection, context: Context, output: Path, language: Any, title: str, last: str) -> None:
    report(context, records, formats=["html"], language=language, name="r")
    page = (output / "r.html").read_text(encoding="utf-8")
    parsed = Table()
    parsed.feed(page)
    assert [parsed.rows[0][0], parsed.rows[-1][0]] == [title, last]
    assert [row[:3] for row in parsed.rows[1:-1]] == [
        ["erp", "close", "1"],
        ["erp", "sync数据同步 <b>&", "6"],
        ["hr", "other", "1"],
    ]
    # Due 3:00 UTC; the zone is the job's.
    assert parsed.rows[2][-1] == "2026-11-30 11:00:00 Outage"
    assert parsed.rows[2][11] == "33.3 %"
    assert not {"b", "script", "img", "a", "link"} & set(parsed.tags)
    assert f'lang="{language}"' in page


def test_one_namespace_and_no_files(records: Connection, context: Context, output: Path) -> None:
    result = report(context, records, namespace="hr", formats=[])
    assert (result["jobs"], result["timeout"], result["files"], list(output.iterdir())) == (1, 1, [], [])


def test_an_empty_period(records: Connection, context: Context, output: Path) -> None:
    result = report(context, records, "month", namespace="nobody")
    assert (result["from"], result["until"], result["due"], result["success_rate"]) == (
        date(2026, 11, 1),
        date(2026, 11, 30),
        0,
        None,
    )
    assert "Nothing was due." in (output / "report-2026-12-01.html").read_text(encoding="utf-8")


def test_what_is_read_is_what_the_records_have() -> None:
    for table in METADATA.sorted_tables:
        assert {column.name for column in table.columns} <= set(Base.metadata.tables[table.name].columns.keys())
    assert {str(verdict) for verdict in Verdict} == set(VERDICTS)


@pytest.mark.usefixtures("output")
def test_refused(new_database: NewDatabase, context: Context) -> None:
    with pytest.raises(ParameterError, match="connection: the database has no table job_executions, jobs: name that"):
        report(context, new_database("erp"))
    with pytest.raises(ParameterError, match="late_seconds: -1 is below 0"):
        report(context, new_database("erp"), late_seconds=-1)
