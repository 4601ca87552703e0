"""What a page reads does not grow with the history. The database itself counts it, so no machine is too slow for this."""

import shutil
from collections.abc import Callable
from datetime import timedelta

import pytest
from recorded_history import END, NAMESPACES, History
from sqlalchemy import Connection, text

from merp_records import queries, rollups
from merp_records.engine import create_engine, database_url
from merp_records.migrations import upgrade

HISTORY = History(records=20_000, jobs=40, days=20)
# Who may not see everything may see most of it.
MANY = [f"team-{number}" for number in range(NAMESPACES - 1)]
TODAY = END.date()
DAY = timedelta(days=1)
# What SQLite does for a row of a page: it counts the steps of its own machine.
STEPS_FOR_A_ROW = 120


@pytest.fixture(scope="module", params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def filled(request, tmp_path_factory):
    """An engine on a history of 20,000 records; each day is rolled up."""
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("filled") / "records.db"
        shutil.copy(request.getfixturevalue("migrated_sqlite"), path)
        engine = create_engine(database_url(sqlite_path=path))
    else:
        engine = create_engine(request.getfixturevalue("mariadb").new_url())
        upgrade(engine)
    HISTORY.write(engine)
    HISTORY.roll_up(engine)
    if request.param == "mariadb":
        # As the server does by itself a little later.
        with engine.begin() as connection:
            connection.execute(text("ANALYZE TABLE job_executions, daily_rollups, jobs"))
    yield engine
    engine.dispose()


def rows_read(connection: Connection, work: Callable[[Connection], object]) -> float:
    """How many rows, of tables and indexes, the database looks at for a piece of work."""
    if connection.dialect.name == "sqlite":
        steps = []
        raw = connection.connection.dbapi_connection
        raw.set_progress_handler(lambda: steps.append(10), 10)
        work(connection)
        raw.set_progress_handler(None, 0)
        return sum(steps) / STEPS_FOR_A_ROW
    connection.execute(text("FLUSH STATUS"))
    work(connection)
    return sum(int(row[1]) for row in connection.execute(text("SHOW SESSION STATUS LIKE 'Handler_read%'")))


def history(**filters) -> Callable[[Connection], queries.Page]:
    return lambda connection: queries.history(connection, **{"namespaces": None, "limit": 50} | filters)


def middle(connection: Connection) -> queries.Page:
    cursor = queries.encode_cursor(END - 10 * DAY, "f")
    return queries.history(connection, namespaces=None, limit=50, cursor=cursor)


BIG, SMALL = HISTORY.job_id(0), HISTORY.job_id(7)


@pytest.mark.parametrize(
    ("work", "budget"),
    [
        pytest.param(history(), 120, id="newest"),
        pytest.param(middle, 120, id="in-the-middle"),
        pytest.param(history(start=END - 9 * DAY, end=END - 8 * DAY), 120, id="a-day"),
        pytest.param(history(namespaces=["team-3"]), 120, id="one-namespace"),
        pytest.param(history(namespaces=MANY), 400, id="many-namespaces"),
        pytest.param(history(job_id=BIG), 120, id="job"),
        pytest.param(history(job_name="job-7"), 120, id="job-by-name"),
        pytest.param(history(job_name="job-7", namespaces=["team-7"]), 120, id="job-by-name-in-its-namespace"),
        pytest.param(history(status=["failed"]), 120, id="status"),
        pytest.param(history(status=["running"]), 120, id="status-of-none"),
        pytest.param(history(status=["failed"], namespaces=["team-3"]), 120, id="status-in-a-namespace"),
        pytest.param(history(status=["failed"], namespaces=MANY), 400, id="status-in-many-namespaces"),
        pytest.param(history(status=["skipped"], job_id=BIG), 120, id="status-of-a-job"),
        pytest.param(history(status=["success"]), 120, id="status-of-nearly-all"),
        pytest.param(history(status=["failed", "timeout", "missed"]), 400, id="statuses"),
        pytest.param(history(status=["success", "failed"]), 400, id="statuses-of-nearly-all"),
        pytest.param(history(trigger=["manual"]), 120, id="trigger"),
        pytest.param(history(trigger=["manual"], namespaces=["team-3"]), 400, id="trigger-in-a-namespace"),
        pytest.param(history(trigger=["schedule"]), 120, id="trigger-of-nearly-all"),
        pytest.param(history(text="nowhere"), 3 * queries.TEXT_SCAN, id="text-that-is-nowhere"),
        pytest.param(lambda c: queries.open_executions(c), 120, id="open"),
        pytest.param(
            lambda c: queries.last_executions(c, list(map(HISTORY.job_id, range(40))), namespaces=None, finished=True),
            400,
            id="last-of-forty-jobs",
        ),
        pytest.param(
            lambda c: rollups.job_days(c, SMALL, namespaces=None, first=TODAY - 30 * DAY, last=TODAY),
            120,
            id="job-days",
        ),
        # A row for each job and day: 40 jobs, 21 days.
        pytest.param(
            lambda c: rollups.totals_by_day(c, namespaces=None, first=TODAY - 30 * DAY, last=TODAY),
            1200,
            id="totals-by-day",
        ),
        pytest.param(
            lambda c: rollups.totals_by_job(c, namespaces=MANY, first=TODAY - 30 * DAY, last=TODAY),
            2400,
            id="totals-by-job",
        ),
    ],
)
def test_a_page_reads_little(filled, work, budget) -> None:
    with filled.connect() as connection:
        read = rows_read(connection, work)
    assert read <= budget
