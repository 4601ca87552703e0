"""The database goes away in the middle of a task: an error that says so, whole transactions, and a retry that ends the work."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pymysql
import pytest
from mariadb_server import Server
from pymysql.constants import ER
from sqlalchemy.exc import DBAPIError

from merp_runner import Connection, Context, TaskFailed
from merp_tasks.purge import purge_records
from merp_tasks.scripts import sql_script
from merp_tasks.sync import data_sync

pytestmark = pytest.mark.mariadb

ROWS = 500
SCRIPT = "DELETE FROM log WHERE id <= 100; DELETE FROM log WHERE id <= 200; DELETE FROM log WHERE id <= 300"


@pytest.fixture
def names(mariadb: Server) -> tuple[str, str]:
    """Two databases: a log of ROWS old rows, and one that is empty."""
    made = []
    for _ in range(2):
        name = mariadb.new_url().database or ""
        mariadb.sql("CREATE TABLE log (id INT PRIMARY KEY, at DATETIME NOT NULL, KEY (at))", name)
        made.append(name)
    mariadb.sql(f"INSERT INTO log SELECT seq, '2020-01-01' + INTERVAL seq SECOND FROM seq_1_to_{ROWS}", made[0])
    return made[0], made[1]


def connection(server: Server, name: str) -> Connection:
    parts = {"type": "mysql", "host": "127.0.0.1", "port": str(server.port), "username": "root", "database": name}
    return Connection(name.replace("_", "-"), parts)


def count(server: Server, name: str) -> int:
    [[found]] = server.sql("SELECT COUNT(*) FROM log", name)
    return int(found)


def interrupted(context: Context, by: Callable[[], object]) -> Context:
    """The context at whose second word of progress something happens."""
    told: list[str] = []

    def report(done: float, total: float | None, message: str) -> None:
        told.append(message)
        if len(told) == 2:
            by()

    return replace(context, report_progress=report)


def kill_connections(server: Server, names: tuple[str, str]) -> None:
    """As a failover does."""
    for (number,) in server.sql(
        f"SELECT id FROM information_schema.processlist WHERE db IN ('{names[0]}', '{names[1]}')"
    ):
        try:
            server.sql(f"KILL {number}")
        except pymysql.err.MySQLError as error:
            # One whose client had hung up before, and whose end the server has only now come to.
            if error.args[0] != ER.NO_SUCH_THREAD:
                raise


Work = Callable[[Context, Connection, Connection], dict[str, Any]]
LOST = r"Lost connection|has gone away|Connection was killed|Can't connect"


def sync(context: Context, log: Connection, copy: Connection) -> dict[str, Any]:
    return data_sync(context, log, copy, "log", "id", "at", batch_size=50, overlap_seconds=0)


def purge(context: Context, log: Connection, _: Connection) -> dict[str, Any]:
    return purge_records(context, log, "log", "at", 30, batch_size=50)


def each_for_itself(context: Context, log: Connection, _: Connection) -> dict[str, Any]:
    return sql_script(context, log, SCRIPT, transaction=False)


@pytest.mark.parametrize(
    ("work", "finished"),
    [
        pytest.param(sync, (500, 500), id="sync"),
        pytest.param(purge, (0, 0), id="purge"),
        pytest.param(each_for_itself, (200, 0), id="script-each-for-itself"),
    ],
)
def test_connections_that_are_lost_between_batches_are_made_anew(
    mariadb: Server, names: tuple[str, str], context: Context, work: Work, finished: tuple[int, int]
) -> None:
    log, copy = (connection(mariadb, name) for name in names)
    work(interrupted(context, lambda: kill_connections(mariadb, names)), log, copy)
    assert tuple(count(mariadb, name) for name in names) == finished


def test_a_script_whose_connection_is_lost_leaves_nothing_behind(
    mariadb: Server, names: tuple[str, str], context: Context
) -> None:
    log = connection(mariadb, names[0])
    with pytest.raises(TaskFailed, match=f"^statement 3 of 3 .*({LOST}).*; nothing of the script stands"):
        sql_script(interrupted(context, lambda: kill_connections(mariadb, names)), log, SCRIPT)
    assert count(mariadb, names[0]) == ROWS
    sql_script(context, log, SCRIPT)
    assert count(mariadb, names[0]) == ROWS - 300


def test_a_commit_whose_answer_is_lost_is_said_to_be_unknown(
    mariadb: Server, names: tuple[str, str], context: Context
) -> None:
    log = connection(mariadb, names[0])
    with pytest.raises(TaskFailed, match=f"^the script: .*({LOST}).*; it was being committed, and may stand or not"):
        # The second statement is the last: its word of progress comes before the commit.
        sql_script(interrupted(context, lambda: kill_connections(mariadb, names)), log, "SELECT 1; DELETE FROM log")
    assert count(mariadb, names[0]) == ROWS


@pytest.mark.parametrize(
    ("work", "standing", "finished"),
    [
        pytest.param(sync, (500, 100), (500, 500), id="sync"),
        pytest.param(purge, (400, 0), (0, 0), id="purge"),
    ],
)
def test_a_server_that_stops_ends_the_run_and_its_retry_goes_on(
    mariadb: Server,
    names: tuple[str, str],
    context: Context,
    work: Work,
    standing: tuple[int, int],
    finished: tuple[int, int],
) -> None:
    log, copy = (connection(mariadb, name) for name in names)
    with pytest.raises(DBAPIError, match=LOST):
        work(interrupted(context, mariadb.stop), log, copy)
    mariadb.start()
    assert tuple(count(mariadb, name) for name in names) == standing
    work(context, log, copy)
    assert tuple(count(mariadb, name) for name in names) == finished
