"""Purging on real databases: which rows are old, and that no others go."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import text

from merp_runner import Connection, Context, ParameterError
from merp_tasks.databases import database
from merp_tasks.purge import limit_of, purge_records

NewDatabase = Callable[[str], Connection]


def made(new_database: NewDatabase, *statements: str) -> Connection:
    connection = new_database("erp")
    with database(connection) as engine, engine.begin() as begun:
        for statement in statements:
            begun.execute(text(statement))
    return connection


def left(connection: Connection) -> list[Any]:
    with database(connection) as engine, engine.connect() as opened:
        return list(opened.execute(text("SELECT id FROM log ORDER BY id")).scalars())


TIMES = "CREATE TABLE log (id INT PRIMARY KEY, at DATETIME)"
# The run's day begins in Shanghai at 16:00 UTC of the day before; ten days earlier that is 20 November.
ROWS = """INSERT INTO log VALUES (1, '2026-10-01 00:00:00'), (2, '2026-11-20 15:59:59'), (3, '2026-11-20 16:00:00'),
          (4, '2026-11-30 00:00:00'), (5, NULL)"""


@pytest.mark.parametrize(
    ("days", "ids"),
    [
        pytest.param(10, [3, 4, 5], id="to-the-second-in-the-jobs-zone"),
        pytest.param(1, [4, 5], id="yesterday"),
        pytest.param(365, [1, 2, 3, 4, 5], id="nothing-so-old-does-nothing"),
    ],
)
def test_old_rows_go(new_database: NewDatabase, context: Context, days: int, ids: list[int]) -> None:
    erp = made(new_database, TIMES, ROWS)
    counted = purge_records(context, erp, "log", "at", days, dry_run=True)
    assert (counted["would_delete"], len(left(erp))) == (5 - len(ids), 5)
    result = purge_records(context, erp, "log", "at", days)
    assert (result["deleted"], left(erp)) == (5 - len(ids), ids)
    assert purge_records(context, erp, "log", "at", days)["deleted"] == 0


def test_dates(new_database: NewDatabase, context: Context) -> None:
    erp = made(
        new_database,
        "CREATE TABLE log (id INT PRIMARY KEY, at DATE)",
        "INSERT INTO log VALUES (1, '2026-11-20'), (2, '2026-11-21'), (3, '2026-11-22')",
    )
    assert purge_records(context, erp, "log", "at", 10)["deleted"] == 1
    assert left(erp) == [2, 3]


def test_batches_and_keys_of_several_columns(new_database: NewDatabase, context: Context) -> None:
    erp = made(
        new_database,
        "CREATE TABLE log (id INT, part VARCHAR(9), at DATETIME, PRIMARY KEY (id, part))",
        "INSERT INTO log VALUES "
        + ", ".join(f"({n % 20}, 'p{n // 20}', '2026-10-{n % 28 + 1:02}')" for n in range(95)),
        "INSERT INTO log VALUES (99, '库', '2026-12-01')",
    )
    told: list[float] = []
    counting = replace(context, report_progress=lambda done, total, message: told.append(done))
    assert purge_records(counting, erp, "log", "at", 10, batch_size=10)["deleted"] == 95
    assert left(erp) == [99]
    assert told == [10, 20, 30, 40, 50, 60, 70, 80, 90]


def test_limit_is_midnight_of_the_jobs_zone(context: Context) -> None:
    limit = limit_of(context, 1)
    assert limit == datetime(2026, 11, 30, tzinfo=timezone(timedelta(hours=8)))
    # Where summer time ended in between the day begins at another offset.
    berlin = replace(context, time_zone="Europe/Berlin", business_date=date(2026, 11, 1))
    assert limit_of(berlin, 10).astimezone(UTC) == datetime(2026, 10, 21, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param(["absent", "at", 10], "table: there is no 'absent'", id="no-table"),
        pytest.param(["log", "when", 10], "column: log has no column 'when'", id="no-column"),
        pytest.param(["log", "id", 10], "column: id is INTEGER, not a date or a time", id="number"),
        pytest.param(["keyless", "at", 10], "table: keyless has no primary key", id="no-key"),
        pytest.param(["log", "at", 0], "older_than_days: 0 is not between 1 and 36525", id="no-days"),
        pytest.param(["log", "at", 10**9], "older_than_days: 1000000000 is not between", id="before-all-time"),
        pytest.param(["log; DROP TABLE log", "at", 10], "table: there is no ", id="text-is-no-sql"),
    ],
)
def test_refused(new_database: NewDatabase, context: Context, arguments: list[Any], told: str) -> None:
    erp = made(new_database, TIMES, ROWS, "CREATE TABLE keyless (at DATETIME)")
    with pytest.raises(ParameterError) as refused:
        purge_records(context, erp, *arguments)
    assert str(refused.value).startswith(told)
    assert len(left(erp)) == 5


def test_batch_size_is_refused(context: Context) -> None:
    with pytest.raises(ParameterError, match="batch_size: 10001 is not between 1 and 10000"):
        purge_records(context, Connection("erp", {"url": "sqlite://"}), "log", "at", 1, batch_size=10_001)
