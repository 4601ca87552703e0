"""The address, the session, and which errors are worth another try."""

import os
import sqlite3

import pymysql
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from merp_records.engine import (
    create_engine,
    database_url,
    describe,
    duplicate,
    row_fault,
    run_in_transaction,
    transient,
)

PASSWORD = "p@ss:w/rd#1?%25&x=+ é"


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        pytest.param({"host": "db"}, {"host": "db", "port": 3306}, id="C65-name"),
        pytest.param({"host": " db\n"}, {"host": "db", "port": 3306}, id="C65-line-break-in-host"),
        pytest.param({"host": "::1", "port": 3307}, {"host": "::1", "port": 3307}, id="C65-ipv6"),
        pytest.param({"host": "[fd00::1]"}, {"host": "fd00::1", "port": 3306}, id="C65-ipv6-in-brackets"),
        pytest.param({"host": "/run/mysqld/s"}, {"unix_socket": "/run/mysqld/s"}, id="unix-socket"),
        pytest.param({"host": "db", "user": "erp@prod"}, {"host": "db", "user": "erp@prod"}, id="C65-at-in-user"),
        pytest.param({"host": "db", "name": "erp-prod"}, {"host": "db", "database": "erp-prod"}, id="C65-dash-in-name"),
        pytest.param({"host": "db", "password": PASSWORD}, {"password": PASSWORD}, id="C65-every-special-character"),
        pytest.param({"host": "db", "password": " a \r\n"}, {"password": " a "}, id="C65-line-break-in-password"),
    ],
)
def test_the_driver_gets_every_part_as_it_was_given(parts, expected) -> None:
    url = database_url(**{"name": "erp", "user": "u", "password": "x"} | parts)
    _, arguments = url.get_dialect()().create_connect_args(url)
    assert {name: arguments.get(name) for name in expected} == expected
    assert PASSWORD not in f"{url} {url!r}"


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        pytest.param({}, "DB_HOST: give a host, or a path for the SQLite file", id="nothing"),
        pytest.param({"host": "mysql://u:p@db/x"}, "DB_HOST: give the host's name or address only, no URL", id="url"),
        pytest.param({"host": "db:3306"}, "DB_HOST: give the port as DB_PORT", id="port-in-host"),
        pytest.param({"host": "db", "user": "u"}, "DB_NAME: needed with DB_HOST", id="no-name"),
        pytest.param({"host": "db", "name": "n"}, "DB_USER: needed with DB_HOST", id="no-user"),
        pytest.param({"host": "db", "name": "n", "user": "u", "port": 0}, "DB_PORT: 0 is not between", id="port"),
    ],
)
def test_a_wrong_address_names_the_setting(parts, problem) -> None:
    with pytest.raises(ValueError, match=problem.replace("(", r"\(")):
        database_url(**parts)


def test_sqlite_in_memory_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a file"):
        create_engine(database_url(sqlite_path=":memory:"))


@pytest.mark.mariadb
def test_c65_every_special_character_logs_in(mariadb) -> None:
    mariadb.sql("CREATE DATABASE `erp-prod%1`")
    with mariadb.admin() as admin, admin.cursor() as cursor:
        cursor.execute("SET NAMES utf8mb4")
        cursor.execute("CREATE USER 'erp@prod'@'127.0.0.1' IDENTIFIED BY %s", (PASSWORD + "库",))
        cursor.execute("GRANT ALL ON `erp-prod%1`.* TO 'erp@prod'@'127.0.0.1'".replace("%1", "%%1"), ())
    engine = create_engine(database_url("127.0.0.1", mariadb.port, "erp-prod%1", "erp@prod", PASSWORD + "库\n"))
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT CURRENT_USER()")) == "erp@prod@127.0.0.1"
    engine.dispose()


@pytest.mark.mariadb
def test_a_session_means_the_same_on_a_badly_set_up_server(mariadb) -> None:
    engine = create_engine(mariadb.url("mysql"))
    query = "SELECT @@time_zone, @@sql_mode, @@tx_isolation, @@character_set_client, @@innodb_lock_wait_timeout, 1 || 0"
    with engine.connect() as connection:
        row = connection.execute(text(query)).one()
    engine.dispose()
    assert (row[0], row[2:]) == ("+00:00", ("READ-COMMITTED", "utf8mb4", 5, 1))
    assert row[1] == (
        "STRICT_ALL_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
    )


def test_a_sqlite_session_is_durable_and_checks_references(tmp_path) -> None:
    engine = create_engine(database_url(sqlite_path=tmp_path / "a.db"))
    names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
    with engine.connect() as connection:
        assert [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names] == ["wal", 2, 1, 5000]
    engine.dispose()


def test_a_reader_cannot_write(url) -> None:
    engine = create_engine(url, read_only=True)
    with pytest.raises(DBAPIError) as caught:
        run_in_transaction(engine, lambda c: c.execute(text("DELETE FROM jobs")))
    assert not transient(caught.value)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT COUNT(*) FROM jobs")) == 0
    engine.dispose()


def mysql_error(code: int, kind: type[Exception] = pymysql.err.OperationalError) -> DBAPIError:
    return OperationalError("statement", {}, kind(code, "secret"))


def sqlite_error(code: int) -> DBAPIError:
    error = sqlite3.OperationalError("secret")
    error.sqlite_errorcode = code
    return OperationalError("statement", {}, error)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(mysql_error(1213), (True, False, False), id="deadlock"),
        pytest.param(mysql_error(1205), (True, False, False), id="lock-wait"),
        pytest.param(mysql_error(2006), (True, False, False), id="gone-away"),
        pytest.param(mysql_error(2013), (True, False, False), id="lost"),
        pytest.param(mysql_error(1040), (True, False, False), id="too-many-connections"),
        pytest.param(mysql_error(2003), (True, False, False), id="refused"),
        pytest.param(mysql_error(1045), (False, False, False), id="wrong-password"),
        pytest.param(mysql_error(1146), (False, False, False), id="no-table"),
        pytest.param(mysql_error(1062), (False, True, False), id="duplicate"),
        pytest.param(mysql_error(1406), (False, False, True), id="too-long"),
        pytest.param(mysql_error(1452), (False, False, True), id="no-parent"),
        pytest.param(sqlite_error(sqlite3.SQLITE_BUSY), (True, False, False), id="sqlite-busy"),
        pytest.param(sqlite_error(sqlite3.SQLITE_BUSY_SNAPSHOT), (True, False, False), id="sqlite-snapshot"),
        pytest.param(sqlite_error(sqlite3.SQLITE_LOCKED), (True, False, False), id="sqlite-locked"),
        pytest.param(sqlite_error(sqlite3.SQLITE_FULL), (False, False, False), id="sqlite-disk-full"),
        pytest.param(sqlite_error(sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY), (False, True, False), id="sqlite-duplicate"),
        pytest.param(sqlite_error(sqlite3.SQLITE_CONSTRAINT_NOTNULL), (False, False, True), id="sqlite-null"),
        pytest.param(PoolTimeoutError(), (True, False, False), id="pool-empty"),
        pytest.param(StatementError("m", "s", {}, ValueError()), (False, False, True), id="unsendable-value"),
        pytest.param(ValueError("a bug"), (False, False, False), id="bug"),
    ],
)
def test_what_an_error_is(error, expected) -> None:
    assert (transient(error), duplicate(error), row_fault(error)) == expected
    assert "secret" not in describe(error)
    assert "a bug" not in describe(error)


@pytest.mark.parametrize(
    ("tries", "failures", "pauses"),
    [
        pytest.param(4, [], 0, id="no-failure-no-pause"),
        pytest.param(4, [1213], 1, id="once"),
        pytest.param(4, [1213, 1205, 1062], 3, id="until-the-last"),
    ],
)
def test_a_unit_is_repeated(tmp_path, tries, failures, pauses) -> None:
    engine = create_engine(database_url(sqlite_path=tmp_path / "a.db"))
    left, slept = list(failures), []

    def work(connection):
        if left:
            raise mysql_error(left.pop(0))
        return "done"

    assert run_in_transaction(engine, work, tries=tries, sleep=slept.append) == "done"
    assert len(slept) == pauses
    assert all(pause < 0.75 for pause in slept)


@pytest.mark.parametrize(
    ("code", "calls"),
    [pytest.param(1213, 4, id="always-deadlock"), pytest.param(1045, 1, id="wrong-password-is-not-repeated")],
)
def test_the_last_error_is_raised(tmp_path, code, calls) -> None:
    engine = create_engine(database_url(sqlite_path=tmp_path / "a.db"))
    seen = []

    def work(connection):
        seen.append(code)
        raise mysql_error(code)

    with pytest.raises(OperationalError):
        run_in_transaction(engine, work, sleep=lambda _: None)
    assert len(seen) == calls


@pytest.mark.mariadb
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        pytest.param({"password": "wr0ng"}, "the database refused the user or the password", id="password"),
        pytest.param({"name": "nowhere"}, "the database does not exist: create it, or check DB_NAME", id="database"),
        pytest.param({"port": 1}, "the database server cannot be reached: check DB_HOST and DB_PORT", id="unreachable"),
        pytest.param({"user": "guest"}, "the database user has no rights on this database", id="no-rights"),
    ],
)
def test_what_is_wrong_is_said_without_the_password(mariadb, change, sentence) -> None:
    mariadb.sql("CREATE USER IF NOT EXISTS guest@'127.0.0.1' IDENTIFIED BY 'c0rrect'")
    parts = {"host": "127.0.0.1", "port": mariadb.port, "name": "mysql", "user": "root", "password": ""}
    engine = create_engine(database_url(**parts | {"password": "c0rrect" if "user" in change else ""} | change))
    with pytest.raises(OperationalError) as caught, engine.connect():
        pass
    assert describe(caught.value).startswith(sentence)
    assert not {"wr0ng", "c0rrect"} & set(f"{caught.value} {describe(caught.value)}".split("'"))


def test_a_file_that_cannot_be_opened_is_said(tmp_path) -> None:
    engine = create_engine(database_url(sqlite_path=tmp_path / "missing" / "a.db"))
    with pytest.raises(OperationalError) as caught, engine.connect():
        pass
    assert describe(caught.value).startswith("the database file cannot be opened")


def test_a_file_that_is_no_database_is_said(tmp_path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(os.urandom(8192))
    engine = create_engine(database_url(sqlite_path=path))
    with pytest.raises(DBAPIError) as caught, engine.connect():
        pass
    assert describe(caught.value) == "the file is no SQLite database"
