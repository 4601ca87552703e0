"""Real deadlocks, killed connections and lost answers: each record is there, once."""

import socket
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from select import select

import pytest
from sqlalchemy import event, text, update
from sqlalchemy.exc import DBAPIError

from merp_crds.reasons import Verdict
from merp_records import queries
from merp_records.engine import create_engine, database_url, describe, run_in_transaction, transient
from merp_records.tables import JobExecution
from merp_records.writes import record

NOW = datetime(2027, 3, 14, 12, 0, tzinfo=UTC)


@pytest.fixture
def maria(url):
    """An engine on MariaDB with an empty schema."""
    engine = create_engine(url)
    yield engine
    engine.dispose()


on_mariadb = pytest.mark.parametrize("backend", [pytest.param("mariadb", marks=pytest.mark.mariadb)], indirect=True)


def statuses(engine) -> dict[str, str]:
    with engine.connect() as connection:
        return {run.run_name: run.status for run in queries.history(connection, namespaces=None, limit=500).items}


@on_mariadb
def test_a_deadlock_is_repeated_as_a_whole(maria, make_job, make_run) -> None:
    runs = [make_run(run_name=name) for name in ("a", "b")]
    record(maria, [make_job()], runs, now=NOW)
    meet = threading.Barrier(2)
    codes = []

    @event.listens_for(maria, "handle_error")
    def note(context) -> None:
        codes.append(context.original_exception.args[0])

    def cross(first, second):
        entered = []

        def work(connection):
            for number, run in enumerate((first, second)):
                connection.execute(
                    update(JobExecution).where(JobExecution.id == run.id).values(attempts=JobExecution.attempts + 1)
                )
                if number == 0 and not entered:
                    entered.append(run)
                    meet.wait(60)

        run_in_transaction(maria, work)

    with ThreadPoolExecutor() as threads:
        for future in [threads.submit(cross, *runs), threads.submit(cross, *reversed(runs))]:
            future.result(60)
    assert codes == [1213]
    with maria.connect() as connection:
        assert [queries.execution(connection, run.id, namespaces=None).attempts for run in runs] == [2, 2]


@on_mariadb
def test_a_lock_wait_that_ends_is_repeated_as_a_whole(maria, make_job, make_run) -> None:
    record(maria, [make_job()], [make_run()], now=NOW)
    holder = maria.connect()
    holder.execute(text("UPDATE job_executions SET attempts = 7"))
    codes, pauses = [], []

    @event.listens_for(maria, "handle_error")
    def note(context) -> None:
        codes.append(context.original_exception.args[0])

    def work(connection) -> None:
        connection.execute(text("SET SESSION innodb_lock_wait_timeout = 1"))
        connection.execute(text("UPDATE jobs SET record_days = record_days + 1"))
        connection.execute(text("UPDATE job_executions SET attempts = attempts + 1"))

    def let_go(seconds: float) -> None:
        pauses.append(seconds)
        holder.rollback()

    run_in_transaction(maria, work, sleep=let_go)
    holder.close()
    assert (codes, len(pauses)) == ([1205], 1)
    with maria.connect() as connection:
        assert connection.scalar(text("SELECT record_days FROM jobs")) == 366
        assert connection.scalar(text("SELECT attempts FROM job_executions")) == 1


@on_mariadb
def test_two_writers_of_the_same_new_runs(maria, make_job, make_run) -> None:
    runs = [make_run(run_name=f"r{number}") for number in range(200)]
    meet = threading.Barrier(4)

    def write(_: int):
        meet.wait(60)
        return record(maria, [make_job()], runs, now=NOW)

    with ThreadPoolExecutor() as threads:
        results = list(threads.map(write, range(4)))
    assert [(len(result.executions), result.failures) for result in results] == [(200, ())] * 4
    assert len(statuses(maria)) == 200


@on_mariadb
def test_a_state_that_was_read_before_a_verdict_does_not_overwrite_it(mariadb, maria, make_job, make_run, poll) -> None:
    record(maria, [make_job()], [make_run()], now=NOW)
    other = create_engine(maria.url)
    verdicts = []
    waits = "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"

    with ThreadPoolExecutor() as threads:

        @event.listens_for(maria, "after_cursor_execute")
        def somebody_else_writes(connection, cursor, statement, parameters, context, executemany) -> None:
            if statement.startswith("SELECT job_executions") and not verdicts:
                done = make_run(status=Verdict.SUCCESS)
                verdicts.append(threads.submit(record, other, [make_job()], [done], now=NOW))
                poll(lambda: verdicts[0].done() or mariadb.sql(waits) == ((1,),))

        record(maria, [], [make_run(node="node-1")], now=NOW)
        verdicts[0].result(60)
    other.dispose()
    assert statuses(maria) == {"inventory-1": "success"}


@on_mariadb
def test_idle_connections_may_be_killed(mariadb, maria, make_job, make_run, poll) -> None:
    record(maria, [make_job()], [make_run()], now=NOW)
    idle = f"SELECT id FROM information_schema.processlist WHERE db = '{maria.url.database}' AND command = 'Sleep'"
    # The server sees a moment later that others, who emptied the tables, have hung up.
    poll(lambda: len(mariadb.sql(idle)) == maria.pool.checkedin() == 1)
    for (number,) in mariadb.sql(idle):
        mariadb.sql(f"KILL {number}")
    record(maria, [make_job()], [make_run(status=Verdict.SUCCESS)], now=NOW)
    assert statuses(maria) == {"inventory-1": "success"}


@on_mariadb
def test_connections_that_were_idle_for_too_long_are_made_anew(mariadb, maria, make_job, make_run, poll) -> None:
    before = mariadb.sql("SELECT @@global.wait_timeout")[0][0]
    mariadb.sql("SET GLOBAL wait_timeout = 1")
    try:
        maria.dispose()
        record(maria, [make_job()], [make_run()], now=NOW)
        mine = f"SELECT COUNT(*) FROM information_schema.processlist WHERE db = '{maria.url.database}'"
        assert maria.pool.checkedin() == 1
        poll(lambda: mariadb.sql(mine) == ((0,),))
        record(maria, [make_job()], [make_run(status=Verdict.SUCCESS)], now=NOW)
    finally:
        mariadb.sql(f"SET GLOBAL wait_timeout = {before}")
    assert statuses(maria) == {"inventory-1": "success"}


@on_mariadb
def test_connections_to_a_server_that_takes_no_writes_any_more_are_given_up(mariadb, maria, make_job, make_run) -> None:
    """After a failover the address leads to another server, and the old one keeps its connections."""
    mariadb.sql("CREATE USER 'writer'@'127.0.0.1'")
    mariadb.sql(f"GRANT ALL ON `{maria.url.database}`.* TO 'writer'@'127.0.0.1'")
    engine, made = create_engine(maria.url.set(username="writer")), []
    event.listen(engine, "connect", lambda connection, _: made.append(connection.thread_id()))
    record(engine, [make_job()], [make_run()], now=NOW)
    # Two that are idle.
    with engine.connect(), engine.connect():
        pass
    old = tuple(made)
    mariadb.sql("SET GLOBAL read_only = 1")
    try:
        with pytest.raises(DBAPIError, match="1290") as refused:
            record(engine, [make_job()], [make_run(status=Verdict.SUCCESS)], now=NOW)
        assert "takes no writes" in describe(refused.value)
        assert len(made) > len(old), "each try would go to the old server"
    finally:
        mariadb.sql("SET GLOBAL read_only = 0")
    before = len(made)
    with engine.connect(), engine.connect():
        pass
    assert len(made) > before, "the idle ones lead to the old server too"
    record(engine, [make_job()], [make_run(status=Verdict.SUCCESS)], now=NOW)
    engine.dispose()
    assert statuses(maria) == {"inventory-1": "success"}


@on_mariadb
def test_a_connection_killed_in_a_transaction_is_repeated_as_a_whole(mariadb, maria, make_job, make_run) -> None:
    killed = []

    @event.listens_for(maria, "after_cursor_execute")
    def kill_after_the_job(connection, cursor, statement, parameters, context, executemany) -> None:
        if statement.startswith("INSERT INTO jobs") and not killed:
            killed.append(connection.connection.thread_id())
            mariadb.sql(f"KILL {killed[0]}")

    result = record(maria, [make_job()], [make_run()], now=NOW)
    assert (len(killed), result.executions, statuses(maria)) == (1, {make_run().id}, {"inventory-1": "running"})


@contextmanager
def losing_an_answer(port: int):
    """A way to the server that loses the answer to the first COMMIT. Gives its port, and what was lost."""
    lost: list[bytes] = []

    def carry(client: socket.socket, server: socket.socket) -> None:
        with client, server:
            while True:
                for source in select([client, server], [], [])[0]:
                    data = source.recv(65_536)
                    if not data:
                        return
                    (server if source is client else client).sendall(data)
                    if data.endswith(b"\x03COMMIT") and not lost:
                        # The server has answered, so it is committed; the client only sees the connection end.
                        lost.append(server.recv(65_536))
                        return

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as threads:

        def serve() -> None:
            # Two connections: the one that is cut, and the one of the second try.
            for carried in [threads.submit(carry, listener.accept()[0], connect()) for _ in range(2)]:
                carried.result(60)

        def connect() -> socket.socket:
            return socket.create_connection(("127.0.0.1", port))

        served = threads.submit(serve)
        yield listener.getsockname()[1], lost
        served.result(60)


@on_mariadb
def test_a_commit_whose_answer_is_lost_is_recorded_once(mariadb, maria, make_job, make_run) -> None:
    with losing_an_answer(mariadb.port) as (port, lost):
        through = create_engine(mariadb.url(maria.url.database, port))
        result = record(through, [make_job()], [make_run(status=Verdict.SUCCESS)], now=NOW)
        through.dispose()
    assert len(lost) == 1
    assert (result.executions, result.failures) == ({make_run().id}, ())
    assert statuses(maria) == {"inventory-1": "success"}
    with maria.connect() as connection:
        assert connection.scalar(text("SELECT COUNT(*) FROM job_executions")) == 1


@pytest.mark.mariadb
def test_a_server_that_is_away_is_told_and_nothing_is_recorded(make_job, make_run) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        engine = create_engine(database_url("127.0.0.1", probe.getsockname()[1], "erp", "u"))
        with pytest.raises(DBAPIError) as caught:
            record(engine, [make_job()], [make_run()], now=NOW)
    assert transient(caught.value)


def test_a_missing_schema_is_raised_and_blames_no_row(empty_url, make_job, make_run) -> None:
    engine = create_engine(empty_url)
    with pytest.raises(DBAPIError) as caught:
        record(engine, [make_job()], [make_run()], now=NOW)
    assert not transient(caught.value)
    # Neither the statement's values nor the record's text are in what is logged.
    assert "inventory" not in str(caught.value)
    engine.dispose()


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_sqlite_writers_take_their_turns(engine, make_job, make_run) -> None:
    batches = [[make_run(run_name=f"r{thread}-{number}") for number in range(20)] for thread in range(4)]
    with ThreadPoolExecutor() as threads:
        results = list(threads.map(lambda runs: record(engine, [make_job()], runs, now=NOW), batches))
    assert sum(len(result.executions) for result in results) == 80
    assert len(statuses(engine)) == 80


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_locked_sqlite_file_is_tried_again(url, engine, make_job, make_run) -> None:
    other = sqlite3.connect(url.database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    @event.listens_for(engine, "connect")
    def impatient(dbapi_connection, _) -> None:
        dbapi_connection.execute("PRAGMA busy_timeout = 10")

    pauses = []

    def let_go(seconds: float) -> None:
        pauses.append(seconds)
        other.execute("ROLLBACK")
        other.close()

    def work(connection):
        return connection.execute(text("UPDATE jobs SET status = 'x'")).rowcount

    assert run_in_transaction(engine, work, sleep=let_go) == 0
    assert len(pauses) == 1


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_sqlite_is_read_while_it_is_written(engine, make_job, make_run) -> None:
    record(engine, [make_job()], [make_run()], now=NOW)

    def work(connection):
        connection.execute(text("UPDATE job_executions SET status = 'failed'"))
        return statuses(engine)

    assert run_in_transaction(engine, work) == {"inventory-1": "running"}
