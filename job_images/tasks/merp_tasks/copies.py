"""Copies of whole databases: by the database's own tools, out and in again."""

import contextlib
import os
import re
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from sqlalchemy import URL, Engine, MetaData, func, inspect, select, text
from sqlalchemy.schema import DropTable, Table

from merp_runner import Connection, ParameterError, TaskFailed
from merp_tasks.archives import BACKING_UP, RESTORING, Archive, Copy, unpack, unpack_lines
from merp_tasks.databases import database, database_url, sqlite_path
from merp_tasks.outputs import folder

_DUMPS: Final = ("mariadb-dump", "mysqldump")
_CLIENTS: Final = ("mariadb", "mysql")
_DUMP_OPTIONS: Final = (
    # One snapshot, without locks.
    "--single-transaction",
    "--quick",
    "--hex-blob",
    "--triggers",
    # Its definition needs a right over the whole server.
    "--no-tablespaces",
)
# Pages that are copied at once, and then others may write.
_PAGES: Final = 1000
# A value in quotes, as dumps write it.
_QUOTED: Final = re.compile(rb"'(?:[^'\\]|\\.|'')*'", re.DOTALL)
_TABLE: Final = re.compile(rb"CREATE TABLE `((?:[^`]|``)+)`")
# Where dumps name one: before a view, a trigger, and a routine or event. Rows begin with INSERT.
_DEFINER: Final = re.compile(
    rb"^(/\*!50013 |/\*!50003 CREATE\*/ /\*!50017 |/\*!50106 CREATE\*/ /\*!50117 |CREATE )"
    rb"DEFINER=`(?:[^`]|``)*`@`(?:[^`]|``)*`"
)
_INSERT: Final = re.compile(rb"INSERT INTO `((?:[^`]|``)+)`(?: \((?:`(?:[^`]|``)+`,? ?)+\))? VALUES ?")


def copy_of(connection: Connection, *, routines: bool) -> Copy:
    """How the connection's database is copied. Raises ParameterError for an unusable URL."""
    url = database_url(connection.url, f"connection {connection.name}")
    path = sqlite_path(url)
    if url.get_backend_name() == "sqlite":
        if path is None:
            raise ParameterError(f"connection {connection.name}: a database in memory has nothing to back up")
        return SqliteCopy(path)
    return MysqlDump(url, routines=routines)


def restored_counts(archive: Archive, directory: Path, scratch: Connection | None) -> dict[str, int]:
    """Restore an archive; its rows by table. ParameterError for an unfit scratch, TaskFailed for a bad archive."""
    path = directory / archive.file
    if archive.kind == "sqlite":
        with tempfile.TemporaryDirectory(dir=directory, prefix=RESTORING) as made:
            restored = Path(made) / "restored.db"
            with restored.open("wb") as file:
                for piece in unpack(path):
                    file.write(piece)
            return _sqlite_counts(restored, archive.file)
    if scratch is None:
        raise ParameterError("scratch: missing; a backup of MySQL or MariaDB needs an empty database to restore into")
    with database(scratch) as engine, _emptied(engine, scratch.name):
        url = database_url(scratch.url, f"connection {scratch.name}")
        with _client(_CLIENTS, url, [f"--database={url.database}"], stdin=subprocess.PIPE) as process:
            assert process.stdin is not None
            # Where it ends early, its own error says more than the broken pipe.
            with contextlib.suppress(BrokenPipeError), process.stdin:
                for line in unpack_lines(path):
                    process.stdin.write(without_definer(line))
        return _counts(engine)


@dataclass(frozen=True)
class SqliteCopy:
    """By SQLite's own online backup."""

    path: Path
    kind: str = "sqlite"
    suffix: str = ".db"

    def write(self, file: IO[bytes]) -> dict[str, int]:
        """Copy while others may write, check the copy, and pack it."""
        with tempfile.TemporaryDirectory(dir=folder(), prefix=BACKING_UP) as made:
            copied = Path(made) / "copy.db"
            with (
                contextlib.closing(sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True)) as source,
                contextlib.closing(sqlite3.connect(copied)) as target,
            ):
                source.backup(target, pages=_PAGES)
            counts = _sqlite_counts(copied, str(self.path))
            with copied.open("rb") as plain:
                shutil.copyfileobj(plain, file)
            return counts


@dataclass(frozen=True)
class MysqlDump:
    """By mariadb-dump or mysqldump."""

    url: URL
    routines: bool = False
    kind: str = "mysql"
    suffix: str = ".sql"

    def write(self, file: IO[bytes]) -> dict[str, int]:
        """Dump, and count the rows that pass. Raises TaskFailed where the dump fails or does not come to its end."""
        options = [*_DUMP_OPTIONS, *(["--routines"] if self.routines else []), str(self.url.database)]
        count = RowCount()
        with _client(_DUMPS, self.url, options, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            with process.stdout:
                for line in process.stdout:
                    file.write(line)
                    count.line(line)
        if not count.complete:
            raise TaskFailed("the dump has no end: its last line is missing")
        return count.tables


def without_definer(line: bytes) -> bytes:
    """A line of a dump without the user that a view, trigger or routine is of.

    Only an administrator may make one of another user's; whoever restores into a scratch makes them of his own.
    """
    return _DEFINER.sub(rb"\1", line)


class RowCount:
    """Counts the rows of a dump as its lines pass; `tables` also has those without a row."""

    def __init__(self) -> None:
        self.tables: dict[str, int] = {}
        self.complete = False
        self._into: str | None = None
        self._in_routine = False

    def line(self, line: bytes) -> None:
        """Look at the next one. Dumps write line breaks in values as `\\n`, so no value spans two."""
        if line.startswith(b"DELIMITER "):
            # Bodies of triggers and routines stand as they were written, with INSERTs of their own.
            self._in_routine = line.strip() != b"DELIMITER ;"
        if self._in_routine:
            return
        created = _TABLE.match(line)
        inserted = _INSERT.match(line)
        if created is not None:
            self.tables.setdefault(_name(created[1]), 0)
        elif inserted is not None:
            self._into = _name(inserted[1])
            line = line[inserted.end() :]
        self.complete = line.startswith(b"-- Dump completed") or (self.complete and not line.strip())
        if self._into is None:
            return
        values = _QUOTED.sub(b"", line)
        # Outside of quotes only rows have brackets.
        self.tables[self._into] = self.tables.get(self._into, 0) + values.count(b"(")
        if values.rstrip().endswith(b";"):
            self._into = None


def _name(quoted: bytes) -> str:
    return quoted.replace(b"``", b"`").decode("utf-8", "replace")


def _sqlite_counts(path: Path, what: str) -> dict[str, int]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        try:
            told = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
            if told != "ok":
                raise TaskFailed(f"{what} is damaged: {told}")
            query = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
            names = [str(name) for (name,) in connection.execute(query)]
            quoted = {name: name.replace('"', '""') for name in names}
            return {
                # Names are quoted, and have no placeholders.
                name: int(connection.execute(f'SELECT count(*) FROM "{quoted[name]}"').fetchone()[0])  # noqa: S608
                for name in names
            }
        except sqlite3.DatabaseError as error:
            raise TaskFailed(f"{what} is no whole SQLite database: {error}") from error


def _counts(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        return {
            name: connection.scalar(select(func.count()).select_from(Table(name, MetaData()))) or 0
            for name in inspect(engine).get_table_names()
        }


@contextlib.contextmanager
def _emptied(engine: Engine, name: str) -> Iterator[None]:
    """Raises ParameterError unless the database is empty; whatever is in it at the end is dropped, so it is again."""
    if engine.dialect.name == "sqlite":
        raise ParameterError(f"scratch: connection {name} is SQLite; this backup is of MySQL or MariaDB")
    if _objects(engine):
        raise ParameterError(f"scratch: the database of connection {name} is not empty, so nothing is restored into it")
    try:
        yield
    finally:
        with engine.begin() as connection:
            connection.execute(text("SET foreign_key_checks = 0"))
            for statement in _objects(engine):
                connection.execute(statement)
            connection.execute(text("SET foreign_key_checks = 1"))


def _objects(engine: Engine) -> list[Any]:
    """What is in a database, each as the statement that drops it."""
    inspector = inspect(engine)
    quote = engine.dialect.identifier_preparer.quote_identifier
    routines = text(
        "SELECT routine_type, routine_name FROM information_schema.routines WHERE routine_schema = database()"
    )
    with engine.connect() as connection:
        found = connection.execute(routines).all()
    return [
        *(text(f"DROP VIEW {quote(name)}") for name in inspector.get_view_names()),
        *(DropTable(Table(name, MetaData())) for name in inspector.get_table_names()),
        *(text(f"DROP {kind} {quote(name)}") for kind, name in found),
    ]


@contextlib.contextmanager
def _client(
    names: Sequence[str], url: URL, options: Sequence[str], *, stdin: int | None = None, stdout: int | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """A program of the database, logged in. At the end it has ended; raises TaskFailed where it failed."""
    program = next((path for name in names if (path := shutil.which(name))), None)
    if program is None:
        raise TaskFailed(f"the image has no {' and no '.join(names)}: install mariadb-client in it")
    # In memory, not on a disk, and not among the arguments that every process can read.
    with os.fdopen(os.memfd_create("login"), "w+b") as login, os.fdopen(os.memfd_create("told"), "w+b") as told:
        os.fchmod(login.fileno(), 0o600)
        login.write(_login(url).encode())
        login.flush()
        arguments = [program, f"--defaults-file=/dev/fd/{login.fileno()}", *options]
        process = subprocess.Popen(  # noqa: S603 - a program of the image; names from the URL are arguments of their own
            arguments, stdin=stdin, stdout=stdout, stderr=told, pass_fds=[login.fileno()]
        )
        try:
            yield process
            code = process.wait()
        finally:
            process.kill()
            process.wait()
        told.seek(0)
        message = _complaint(told.read().decode("utf-8", "replace"))
    if code != 0:
        raise TaskFailed(f"{Path(program).name} ended with exit code {code}: {message}")


def _complaint(text: str) -> str:
    """The line that says what is wrong. Around it the client shows the statement, which is other people's data."""
    lines = [line for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["no reason given"])[-1][:500]


def _login(url: URL) -> str:
    """An option file: TCP, as `localhost` would mean a socket, and certificates unchecked, as PyMySQL leaves them."""
    values = {
        "protocol": "tcp",
        "host": url.host or "localhost",
        "port": str(url.port or 3306),
        "user": url.username or "",
        "password": str(url.password or ""),
        "default-character-set": "utf8mb4",
        "loose-ssl-verify-server-cert": "0",
    }
    lines = [f'{name}="{_escaped(value)}"' for name, value in values.items()]
    return "\n".join(["[client]", *lines, ""])


def _escaped(value: str) -> str:
    if "\n" in value or "\r" in value:
        raise ParameterError("a connection's host, user name or password has a line break")
    return value.replace("\\", "\\\\").replace('"', '\\"')
