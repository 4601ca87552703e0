"""Databases that tasks work on: an engine for a connection, with sessions that mean the same everywhere."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from merp_runner import Connection, ParameterError

_DRIVERS: Final = {"mysql": "mysql+pymysql", "mariadb": "mariadb+pymysql", "sqlite": "sqlite+pysqlite"}
# Seconds. A server that does not answer must not hold the run until its deadline.
_CONNECT_TIMEOUT: Final = 10
# Seconds that a statement waits for another one's lock on an SQLite file.
_LOCK_TIMEOUT: Final = 30
# Times are UTC, and what does not fit a column is an error instead of a shorter value.
_MYSQL_SESSION: Final = "SET time_zone = '+00:00', sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')"


@contextmanager
def database(connection: Connection, *, create: bool = False) -> Iterator[Engine]:
    """An engine for the connection, its own connections closed at the end. Raises ParameterError for an unusable URL.

    An SQLite file has to exist, unless it is to be created.
    """
    with _open(database_url(connection.url, f"connection {connection.name}", create=create)) as engine:
        yield engine


@contextmanager
def erp_database(connection: Connection | None) -> Iterator[Engine]:
    """The same; without a connection the database of ERP_DATABASE_URL. Raises ValueError where that is not set either.

    ERP_DEMO_DATA=true fills the latter with the example.
    """
    if connection is not None:
        with database(connection) as engine:
            yield engine
        return
    url = os.environ.get("ERP_DATABASE_URL")
    if not url:
        raise ValueError(
            "ERP_DATABASE_URL is not set: give the job's template an env entry with the database's URL, "
            "or name a connection"
        )
    with _open(database_url(url, "ERP_DATABASE_URL")) as engine:
        if os.environ.get("ERP_DEMO_DATA") == "true":
            from merp_tasks.example import load_where_absent  # here: demonstrations only

            load_where_absent(engine)
        yield engine


def database_url(text: str, what: str, *, create: bool = False) -> URL:
    """The parsed address, with the driver that this image has. Raises ParameterError, which never names the text."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        raise ParameterError(f"{what}: is no SQLAlchemy URL, such as mysql://user:password@host/database") from error
    url = url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))
    if url.get_backend_name() not in _DRIVERS:
        raise ParameterError(f"{what}: {url.get_backend_name()} is not known here; use {', '.join(_DRIVERS)}")
    path = sqlite_path(url)
    if path is not None and not create and not path.is_file():
        # SQLite would make it, and then say that it has no tables.
        raise ParameterError(f"{what}: there is no file {path}")
    return url


def sqlite_path(url: URL) -> Path | None:
    """The file of an SQLite database; None in memory, and of every other database."""
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    return Path(str(url.database))


@contextmanager
def _open(url: URL) -> Iterator[Engine]:
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, connect_args={"timeout": _LOCK_TIMEOUT})
        event.listen(engine, "connect", _leave_transactions_alone)
        event.listen(engine, "begin", _begin)
    else:
        arguments = {"connect_timeout": _CONNECT_TIMEOUT, "charset": "utf8mb4", "init_command": _MYSQL_SESSION}
        engine = create_engine(url, connect_args=arguments, pool_pre_ping=True)
    try:
        yield engine
    finally:
        engine.dispose()


def _leave_transactions_alone(connection: Any, record: object) -> None:
    # Python's own handling begins none for DDL and reads, so that half a script would stand.
    connection.isolation_level = None


def _begin(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN")
