"""What is wrong with the database is named in one log line, without a password; the rest goes on and heals by itself."""

import asyncio
import logging
import threading

import pytest
from mariadb_server import running
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError

from merp_crds.reasons import Verdict
from merp_operator.recorder import Recorder
from merp_records.engine import create_engine, database_url
from merp_records.migrations import upgrade

PASSWORD = "c0rrect-h0rse"


class Watched:
    """A recorder that runs, with its log."""

    def __init__(self, engine, caplog) -> None:
        self.engine = engine
        self._caplog = caplog
        self._line = asyncio.Event()
        caplog.handler.addFilter(self._note)
        self._committed = asyncio.Event()
        self.recorder = Recorder(engine, lambda _: self._committed.set())
        self._task = asyncio.create_task(self.recorder.run())

    def _note(self, entry: logging.LogRecord) -> bool:
        # Errors are told on the loop; what is less comes from other threads too.
        if entry.levelno >= logging.ERROR:
            self._line.set()
        return True

    async def told(self, sentence: str) -> None:
        """Until an error says this."""
        async with asyncio.timeout(60):
            while not any(sentence in entry.getMessage() for entry in self.errors()):
                self._line.clear()
                await self._line.wait()

    async def committed(self) -> None:
        async with asyncio.timeout(60):
            await self._committed.wait()
        self._committed.clear()

    def errors(self) -> list[logging.LogRecord]:
        # Of the operator alone: of what an earlier test left behind asyncio tells when it is collected.
        ours = [entry for entry in self._caplog.records if entry.name.startswith("merp_operator")]
        return [entry for entry in ours if entry.levelno >= logging.ERROR]

    async def end(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self.engine.dispose()


@pytest.fixture
async def watch(caplog):
    """Starts recorders, and ends them."""
    started = []
    caplog.set_level(logging.DEBUG)

    def start(engine) -> Watched:
        started.append(Watched(engine, caplog))
        return started[-1]

    yield start
    for each in started:
        await each.end()


def user_sql(name: str, database: str) -> list[str]:
    return [
        f"CREATE USER '{name}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'",
        f"GRANT ALL ON `{database}`.* TO '{name}'@'127.0.0.1'",
    ]


@pytest.mark.mariadb
@pytest.mark.parametrize(
    ("break_it", "mend_it", "sentence"),
    [
        pytest.param(
            "SET PASSWORD FOR {user} = PASSWORD('other')",
            f"SET PASSWORD FOR {{user}} = PASSWORD('{PASSWORD}')",
            "the database refused the user or the password: check DB_USER and DB_PASSWORD (error 1045)",
            id="wrong-password",
        ),
        pytest.param(
            "DROP DATABASE `{database}`",
            "CREATE DATABASE `{database}`",
            "the database does not exist: create it, or check DB_NAME (error 1049)",
            id="database-missing",
        ),
        pytest.param(
            "REVOKE ALL ON `{database}`.* FROM {user}",
            "GRANT ALL ON `{database}`.* TO {user}",
            "the database user has no rights on this database: grant them, or check DB_NAME and DB_USER (error 1044)",
            id="no-rights",
        ),
        pytest.param(
            "REVOKE CREATE ON `{database}`.* FROM {user}",
            "GRANT CREATE ON `{database}`.* TO {user}",
            "the database user lacks a right on a table: grant the operator's all rights on its database",
            id="no-right-to-migrate",
        ),
    ],
)
async def test_what_is_wrong_at_the_start(
    mariadb, watch, caplog, request, make_job, make_run, break_it, mend_it, sentence
) -> None:
    database, user = mariadb.new_url().database, request.node.callspec.id
    names = {"database": database, "user": f"'{user}'@'127.0.0.1'"}
    for statement in [*user_sql(user, database), break_it.format(**names)]:
        mariadb.sql(statement)
    watched = watch(create_engine(database_url("127.0.0.1", mariadb.port, database, user, PASSWORD)))
    watched.recorder.submit(make_job(), [make_run(status=Verdict.SUCCESS)])
    await watched.told(sentence)
    assert not watched.recorder.is_committed(make_run().id)
    mariadb.sql(mend_it.format(**names))
    await watched.committed()
    assert len(watched.errors()) == 1, "each try would tell it"
    assert PASSWORD not in caplog.text


@pytest.mark.mariadb
async def test_rights_that_are_taken_away_meanwhile(mariadb, watch, caplog, make_job, make_run) -> None:
    database, user = mariadb.new_url().database, "taken"
    for statement in user_sql(user, database):
        mariadb.sql(statement)
    watched = watch(create_engine(database_url("127.0.0.1", mariadb.port, database, user, PASSWORD)))
    watched.recorder.submit(make_job(), [make_run()])
    await watched.committed()
    mariadb.sql(f"REVOKE INSERT, UPDATE ON `{database}`.* FROM '{user}'@'127.0.0.1'")
    # A session keeps the rights that it had on its database.
    watched.engine.dispose()
    watched.recorder.submit(make_job(), [make_run(status=Verdict.SUCCESS)])
    await watched.told("the database user lacks a right on a table")
    mariadb.sql(f"ALTER USER '{user}'@'127.0.0.1' ACCOUNT LOCK")
    watched.engine.dispose()
    # Another cause is another line.
    await watched.told("the database refused the user")
    mariadb.sql(f"ALTER USER '{user}'@'127.0.0.1' ACCOUNT UNLOCK")
    mariadb.sql(f"GRANT ALL ON `{database}`.* TO '{user}'@'127.0.0.1'")
    await watched.committed()
    assert watched.recorder.is_committed(make_run().id)
    assert PASSWORD not in caplog.text


def fill(engine, statement) -> None:
    with engine.connect() as connection:
        while connection.execute(statement).rowcount == 1:
            connection.commit()


@pytest.mark.mariadb
async def test_a_server_without_room(watch, make_job, make_run) -> None:
    """Its tables are in one file that may not grow: to the client that is what a full disk is."""
    with running("--innodb-file-per-table=OFF", "--innodb-data-file-path=ibdata1:12M") as server:
        engine = create_engine(server.new_url())
        upgrade(engine)
        big = text("INSERT INTO ballast VALUES (REPEAT('x', 200000))")
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE ballast (a LONGTEXT)"))
        # Room that comes back when its transaction is rolled back, which needs none.
        holder = engine.connect()
        for _ in range(15):
            holder.execute(big)
        with pytest.raises(OperationalError, match="1114"):
            fill(engine, big)
        watched = watch(engine)
        runs = [make_run(run_name=f"r{number}", status=Verdict.FAILED, error="x" * 60_000) for number in range(20)]
        watched.recorder.submit(make_job(), runs)
        await watched.told("the database server's disk or table space is full (error 1114)")
        holder.rollback()
        holder.close()
        await watched.committed()
        assert all(watched.recorder.is_committed(run.id) for run in runs)


async def test_a_sqlite_file_without_room(tmp_path, migrated_sqlite, watch, make_job, make_run) -> None:
    path = tmp_path / "records.db"
    path.write_bytes(migrated_sqlite.read_bytes())
    engine, full = create_engine(database_url(sqlite_path=path)), threading.Event()
    full.set()

    @event.listens_for(engine, "connect")
    def limit(dbapi_connection, _) -> None:
        # Of every connection: who rolls up days has one too, and which of the two comes first is not known.
        if full.is_set():
            cursor = dbapi_connection.cursor()
            (pages,) = cursor.execute("PRAGMA page_count").fetchone()
            cursor.execute(f"PRAGMA max_page_count = {pages}")

    watched = watch(engine)
    runs = [make_run(run_name=f"r{number}", status=Verdict.FAILED, error="x" * 60_000) for number in range(20)]
    watched.recorder.submit(make_job(), runs)
    await watched.told("the disk of the database file is full")
    # The limit is the connection's.
    full.clear()
    engine.dispose()
    await watched.committed()
    assert all(watched.recorder.is_committed(run.id) for run in runs)
