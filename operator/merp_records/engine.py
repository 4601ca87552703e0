"""Connections to the database, and everything in which MySQL, MariaDB and SQLite differ.

The rest of the package writes plain SQLAlchemy. A session here always means the same, whatever the server was set up
for: UTC, strict, utf8mb4, READ COMMITTED, and no statement that waits for ever.
"""

import random
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import sqlalchemy
from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Engine,
    ExceptionContext,
    FromClause,
    Select,
    UnaryExpression,
    event,
    func,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import NullPool
from sqlalchemy.sql.operators import custom_op

T = TypeVar("T")

# Only what makes a server strict and zero dates impossible. Setting it also takes away what changes the language
# itself (ANSI_QUOTES, PIPES_AS_CONCAT, NO_BACKSLASH_ESCAPES, the ORACLE mode).
SQL_MODE: Final = "STRICT_ALL_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"

# Seconds. A lock wait must end (1205) before the read time-out does, or the client gives up on a living connection.
CONNECT_TIMEOUT: Final = 5
LOCK_WAIT_TIMEOUT: Final = 5
STATEMENT_TIMEOUT: Final = 15
# An index on a million rows is built in one statement.
MIGRATION_TIMEOUT: Final = 3600
# How long a migrator waits for another one.
MIGRATION_LOCK_TIMEOUT: Final = 600
# Load balancers of the large clouds drop idle connections after 4 to 6 minutes.
POOL_RECYCLE: Final = 230

# The client or the server lost the connection, or never got one.
_CONNECTION_ERRORS: Final = frozenset(
    {0, 1040, 1053, 1158, 1159, 1160, 1161, 1203, 1927, 2002, 2003, 2006, 2013, 2014, 2055, 4031}
)
# The server takes no writes any more: a failover (read-only, not primary, Galera not ready). The address leads to
# another one by now, or soon, but a connection stays where it is, and the old server need not end it.
_DEMOTED_ERRORS: Final = frozenset({1047, 1290, 1836})
# Deadlock; lock wait time-out; interrupted.
_CONTENTION_ERRORS: Final = frozenset({1213, 1205, 1317})
# Duplicate key, by the number of MySQL.
_DUPLICATE_ERRORS: Final = frozenset({1062, 1586})
# The row is to blame: too long, out of range, wrong characters, NULL, no parent, too large for a packet.
_ROW_ERRORS: Final = frozenset({1048, 1118, 1153, 1216, 1264, 1265, 1292, 1366, 1406, 1411, 1452, 3854})

_REMEDIES: Final = {
    1044: "the database user has no rights on this database: grant them, or check DB_NAME and DB_USER",
    1045: "the database refused the user or the password: check DB_USER and DB_PASSWORD",
    1049: "the database does not exist: create it, or check DB_NAME",
    1130: "the database server lets nobody connect from this address: check the host of the database user",
    1142: "the database user lacks a right on a table: grant the operator's all rights on its database, the gateway's "
    "SELECT",
    1146: "a table is missing: the schema has not been migrated",
    1452: "the job of this execution is not recorded",
    1406: "a value is too long for its column",
    1054: "a column is missing: the schema has not been migrated",
    1021: "the database server's disk is full",
    1114: "the database server's disk or table space is full",
    1026: "the database server cannot write a file: look whether its disk is full",
    1030: "the database server's storage engine failed: look whether its disk is full",
    1205: "another transaction holds the rows for too long",
    1213: "the transaction met another one in a deadlock",
    1290: "the database server takes no writes: it is read-only, or a failover is under way",
    1836: "the database server takes no writes: it is read-only, or a failover is under way",
    1665: "the database server refuses writes under READ COMMITTED: set its binlog_format to ROW or MIXED",
    3118: "the database refused the user: its account is locked",
    4151: "the database refused the user: its account is locked",
    1820: "the password of the database user has expired: give it a new one",
    1862: "the password of the database user has expired: give it a new one",
    1040: "the database server has no connection left: raise max_connections, or lower the pool sizes",
    1203: "the database user has no connection left: raise max_user_connections, or lower the pool sizes",
    1698: "the database refused the user: it may log in by other means only; check DB_USER",
    2002: "the database server cannot be reached: check DB_HOST and DB_PORT",
    2003: "the database server cannot be reached: check DB_HOST and DB_PORT",
    2006: "the connection to the database was lost",
    2013: "the connection to the database was lost",
}
_SQLITE_REMEDIES: Final = {
    sqlite3.SQLITE_BUSY: "the database file is locked by another process",
    sqlite3.SQLITE_LOCKED: "the database file is locked",
    sqlite3.SQLITE_FULL: "the disk of the database file is full",
    sqlite3.SQLITE_CANTOPEN: "the database file cannot be opened: check that its folder exists and can be written",
    sqlite3.SQLITE_READONLY: "the database file cannot be written: check its owner and the volume's mode",
    sqlite3.SQLITE_NOTADB: "the file is no SQLite database",
    sqlite3.SQLITE_CORRUPT: "the database file is damaged: restore it from a backup",
    sqlite3.SQLITE_IOERR: "the disk of the database file fails",
}

_WRITES: Final = "merp_writes"
_CONNECTIONS: Final = "merp_connections"
_JITTER: Final = random.SystemRandom()


def database_url(
    host: str | None = None,
    port: int = 3306,
    name: str | None = None,
    user: str | None = None,
    password: str | None = None,
    sqlite_path: str | Path | None = None,
) -> URL:
    """The address of the database: of MySQL or MariaDB if there is a host, else of the SQLite file.

    It is built from parts and never parsed, so no character of a password means anything. White space around the
    parts goes, of the password only a line break at its end (files of Secrets often have one). A host may be an IPv6
    address, with or without brackets, or the path of a Unix socket. Raises ValueError naming the setting.
    """
    host = (host or "").strip()
    if not host:
        if sqlite_path is None or not str(sqlite_path).strip():
            raise ValueError("DB_HOST: give a host, or a path for the SQLite file")
        return URL.create("sqlite+pysqlite", database=str(sqlite_path))
    if "://" in host or "@" in host:
        raise ValueError("DB_HOST: give the host's name or address only, no URL")
    if host.count(":") == 1:
        raise ValueError("DB_HOST: give the port as DB_PORT")
    if not (name := (name or "").strip()):
        raise ValueError("DB_NAME: needed with DB_HOST")
    if not (user := (user or "").strip()):
        raise ValueError("DB_USER: needed with DB_HOST")
    if not 0 < port < 65_536:
        raise ValueError(f"DB_PORT: {port} is not between 1 and 65535")
    secret = (password or "").rstrip("\r\n") or None
    if host.startswith("/"):
        query = {"unix_socket": host}
        return URL.create("mysql+pymysql", username=user, password=secret, database=name, query=query)
    host = host.removeprefix("[").removesuffix("]")
    return URL.create("mysql+pymysql", username=user, password=secret, host=host, port=port, database=name)


def create_engine(
    url: URL,
    *,
    pool_size: int = 4,
    max_overflow: int = 0,
    pool_recycle: int = POOL_RECYCLE,
    pool_timeout: float = 10,
    read_only: bool = False,
) -> Engine:
    """An engine with sessions as this package needs them. It connects at first use.

    `pool_size` + `max_overflow` connections at most, each for `pool_recycle` seconds; a caller waits `pool_timeout`
    seconds for one. `read_only` makes the database refuse writes of these sessions.
    """
    pool = {
        "execution_options": {_CONNECTIONS: pool_size + max_overflow},
        "pool_size": pool_size,
        "max_overflow": max_overflow,
        "pool_recycle": pool_recycle,
        "pool_timeout": pool_timeout,
        "pool_pre_ping": True,
    }
    if _is_sqlite(url):
        return _sqlite_engine(url, read_only=read_only, busy_seconds=LOCK_WAIT_TIMEOUT, foreign_keys=True, **pool)
    return _mysql_engine(url, read_only=read_only, timeout=STATEMENT_TIMEOUT, **pool)


def create_migration_engine(url: URL) -> Engine:
    """An engine for migrations: each connection is its own, and statements may take an hour.

    A named lock belongs to its connection, and a pool would keep it held. SQLite's foreign keys are off, because a
    table is changed there by making a new one and dropping the old.
    """
    if _is_sqlite(url):
        return _sqlite_engine(
            url, read_only=False, busy_seconds=MIGRATION_LOCK_TIMEOUT, foreign_keys=False, poolclass=NullPool
        )
    return _mysql_engine(url, read_only=False, timeout=MIGRATION_TIMEOUT, poolclass=NullPool)


def connection_limit(engine: Engine) -> int:
    """How many connections the engine makes at most: more threads than that would only wait for each other."""
    limit: int = engine.get_execution_options()[_CONNECTIONS]
    return limit


def for_writing(engine: Engine) -> Engine:
    """The same engine, with transactions that will write: on SQLite they take their turn when they begin."""
    return engine.execution_options(**{_WRITES: True})


def run_in_transaction(
    engine: Engine,
    work: Callable[[Connection], T],
    *,
    tries: int = 4,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """What `work` returns, after its transaction is committed; all of it again where that may help.

    The whole unit is repeated, never one statement: a deadlock has rolled back everything before it, and after a lock
    wait the server would commit the half. So `work` must be repeatable, also after a commit whose answer was lost.
    Pauses double from 50 ms, with jitter. Raises the last error after `tries`.
    """
    writing = for_writing(engine)
    for failed in range(tries):
        try:
            with writing.begin() as connection:
                return work(connection)
        except Exception as error:
            if failed + 1 == tries or not (transient(error) or duplicate(error)):
                raise
        sleep(0.05 * 2**failed * _JITTER.uniform(0.5, 1.5))
    raise ValueError("tries: at least one")


def by_index(query: Select[Any], table: FromClause, index: str) -> Select[Any]:
    """The query, on MySQL and MariaDB by this index of the table.

    For where their optimizer takes another one that reads far more, or thinks about all of them for longer than any
    would take.
    """
    return query.with_hint(table, f"FORCE INDEX ({index})", "mysql")


def without_index(connection: Connection, column: ColumnElement[T]) -> ColumnElement[T]:
    """The column, in a form in which SQLite takes no index of it.

    SQLite keeps no numbers of what is in the tables: it would take the index for several values, and sort all that
    they have, also where these are nearly all there is.
    """
    if connection.dialect.name != "sqlite":
        return column
    return UnaryExpression(column, operator=custom_op("+"), type_=column.type)


def contains(connection: Connection, column: ColumnElement[Any], text: str) -> ColumnElement[bool]:
    """Whether a column that people wrote holds a text, in any case of its letters.

    SQLite's own comparison knows the case of ASCII alone; a function of ours is for the letters beyond it, because it
    takes longer.
    """
    cased = any(letter.lower() != letter.upper() for letter in text if not letter.isascii())
    if connection.dialect.name != "sqlite" or not cased:
        return column.contains(text, autoescape=True)
    found: ColumnElement[bool] = func.merp_holds(column, text.casefold()) == 1
    return found


def _holds(text: str | None, sought: str) -> bool:
    return text is not None and sought in text.casefold()


def transient(error: BaseException) -> bool:
    """Whether the same unit of work may succeed when it is simply done again a little later."""
    if isinstance(error, PoolTimeoutError):
        return True
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    if (code := _sqlite_code(error)) is not None:
        return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    return mysql_number(error) in _CONNECTION_ERRORS | _DEMOTED_ERRORS | _CONTENTION_ERRORS


def duplicate(error: BaseException) -> bool:
    """Whether a row with that key came in between reading and inserting: done again, the unit will see it."""
    if not isinstance(error, DBAPIError):
        return False
    if (extended := _sqlite_extended_code(error)) is not None:
        return extended in (sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_UNIQUE)
    return mysql_number(error) in _DUPLICATE_ERRORS


def row_fault(error: BaseException) -> bool:
    """Whether a row of the batch is to blame, so that the others can be written without it."""
    if isinstance(error, sqlalchemy.exc.StatementError) and not isinstance(error, DBAPIError):
        # A value that cannot even be sent: refused by a column type of ours.
        return isinstance(error.orig, (ValueError, TypeError, OverflowError))
    if not isinstance(error, DBAPIError) or duplicate(error):
        return False
    if (code := _sqlite_code(error)) is not None:
        return code in (sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH)
    # No number: the driver itself could not encode a value.
    return mysql_number(error) in _ROW_ERRORS or isinstance(error.orig, (UnicodeError, OverflowError))


def describe(error: BaseException) -> str:
    """One sentence for a log or a condition: the cause, and where it is known what to do. It holds no values."""
    if isinstance(error, PoolTimeoutError):
        return "no connection to the database became free in time"
    if not isinstance(error, DBAPIError):
        return f"{type(error).__name__}: the database could not be used"
    if (code := _sqlite_code(error)) is not None:
        if _sqlite_extended_code(error) == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
            return _REMEDIES[1452]
        return _SQLITE_REMEDIES.get(code, f"SQLite refused the statement ({_sqlite_name(error)})")
    number = mysql_number(error)
    return f"{_REMEDIES.get(number, 'the database refused the statement')} (error {number})"


def _is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def _mysql_engine(url: URL, *, read_only: bool, timeout: int, **pool: Any) -> Engine:
    session = [
        # Named zones are unknown to a server without zone tables; an offset always works.
        "time_zone='+00:00'",
        f"sql_mode='{SQL_MODE}'",
        f"innodb_lock_wait_timeout={LOCK_WAIT_TIMEOUT}",
    ]
    engine = sqlalchemy.create_engine(
        url,
        isolation_level="READ COMMITTED",
        # Parameters are results and arguments of users' tasks: not for logs.
        hide_parameters=True,
        connect_args={
            "charset": "utf8mb4",
            # As bytes: the driver would encode text as latin1, and the server hashes what the client says in UTF-8.
            "password": (url.password or "").encode(),
            "connect_timeout": CONNECT_TIMEOUT,
            "read_timeout": timeout,
            "write_timeout": timeout,
            # As the connection is made: before SQLAlchemy looks at the mode to decide how to quote.
            "init_command": "SET SESSION " + ", SESSION ".join(session),
        },
        **pool,
    )
    if read_only:

        @event.listens_for(engine, "connect")
        def refuse_writes(dbapi_connection: Any, _: Any) -> None:
            with dbapi_connection.cursor() as cursor:
                cursor.execute("SET SESSION TRANSACTION READ ONLY")

        return engine

    @event.listens_for(engine, "handle_error")
    def give_up_the_demoted(context: ExceptionContext) -> None:
        # With this one all that wait in the pool are made anew: they lead to the same server.
        if _number(context.original_exception) in _DEMOTED_ERRORS:
            context.is_disconnect = True

    return engine


def _sqlite_engine(url: URL, *, read_only: bool, busy_seconds: int, foreign_keys: bool, **pool: Any) -> Engine:
    if not url.database or ":memory:" in url.database:
        raise ValueError("the SQLite database needs a file: one in memory is another one for each connection")
    engine = sqlalchemy.create_engine(url, hide_parameters=True, connect_args={"timeout": busy_seconds}, **pool)

    @event.listens_for(engine, "connect")
    def prepare(dbapi_connection: Any, _: Any) -> None:
        # The driver would begin only before the first write, and a reader that becomes a writer cannot wait its turn.
        dbapi_connection.isolation_level = None
        dbapi_connection.create_function("merp_holds", 2, _holds, deterministic=True)
        cursor = dbapi_connection.cursor()
        # First: setting the journal mode needs the file to itself for a moment.
        cursor.execute(f"PRAGMA busy_timeout = {busy_seconds * 1000}")
        if read_only:
            cursor.execute("PRAGMA query_only = ON")
        else:
            cursor.execute("PRAGMA journal_mode = WAL")
        # A commit must survive a power cut: afterwards the Job that it remembers is deleted.
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def mysql_number(error: DBAPIError) -> int:
    """The number of an error of MySQL or MariaDB; -1 where it has none."""
    return _number(error.orig)


def _number(error: BaseException | None) -> int:
    arguments = getattr(error, "args", ())
    return arguments[0] if arguments and isinstance(arguments[0], int) else -1


def _sqlite_extended_code(error: DBAPIError) -> int | None:
    code: int | None = getattr(error.orig, "sqlite_errorcode", None)
    return code


def _sqlite_code(error: DBAPIError) -> int | None:
    extended = _sqlite_extended_code(error)
    return None if extended is None else extended & 0xFF


def _sqlite_name(error: DBAPIError) -> str:
    return str(getattr(error.orig, "sqlite_errorname", "unknown"))
