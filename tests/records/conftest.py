"""The databases of these tests: SQLite files, and a MariaDB server that is set up as badly as a server can be."""

import itertools
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pymysql
import pytest
from sqlalchemy import URL, Engine, delete

from merp_crds.reasons import RunState, Trigger
from merp_records.engine import create_engine, database_url
from merp_records.migrations import upgrade
from merp_records.tables import Job, JobDependency, JobExecution
from merp_records.writes import ExecutionRecord, JobRecord

NOW = datetime(2027, 3, 14, 12, 0, 0, 123456, tzinfo=UTC)
UID = "7a1e0000-0000-4000-8000-000000000001"

# Everything a server may be set up for that changes what SQL means or what a time is.
HOSTILE = (
    "--default-time-zone=+08:00",
    "--character-set-server=latin1",
    "--explicit-defaults-for-timestamp=OFF",
    "--sql-mode=ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES",
    "--transaction-isolation=SERIALIZABLE",
)


@dataclass
class Server:
    """A running MariaDB server."""

    process: subprocess.Popen[bytes]
    port: int
    folder: Path
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def admin(self) -> "pymysql.Connection[Any]":
        """A connection of root's, with the server's own defaults."""
        return pymysql.connect(host="127.0.0.1", port=self.port, user="root", autocommit=True, connect_timeout=5)

    def sql(self, statement: str, database: str | None = None) -> tuple[Any, ...]:
        """All rows of a statement that root executes on a connection of its own."""
        with self.admin() as connection, connection.cursor() as cursor:
            if database is not None:
                cursor.execute(f"USE `{database}`")
            cursor.execute(statement)
            return tuple(cursor.fetchall())

    def new_url(self) -> URL:
        """The address of a new, empty database."""
        name = f"merp-{next(self.numbers)}"
        self.sql(f"CREATE DATABASE `{name}`")
        return self.url(name)

    def url(self, name: str, port: int | None = None) -> URL:
        """The address of a database, for the user that may do everything in it."""
        return database_url("127.0.0.1", port or self.port, name, "root")


def wait_until(what: Callable[[], object], seconds: float = 20) -> None:
    """Return as soon as something is true; fail when it is not in time."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.15)  # InnoDB renews its tables of transactions only for who has not looked for 0.1 s


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Server]:
    """The server, started once. It listens on the loopback device only and is ended by its process id."""
    daemon, install = shutil.which("mariadbd"), shutil.which("mariadb-install-db")
    if daemon is None or install is None:
        pytest.fail("these tests need a MariaDB server: apt-get install --no-install-recommends mariadb-server")
    # Not under pytest's folder, which only its owner may enter: the server runs as another user.
    folder = Path(tempfile.mkdtemp(prefix="merp-mariadb-"))
    user = ["--user=mysql"] if os.geteuid() == 0 else []
    if user:
        shutil.chown(folder, "mysql", "mysql")
    common = ["--no-defaults", *user, f"--datadir={folder}/data"]
    subprocess.run(
        [install, *common, "--auth-root-authentication-method=normal", "--skip-test-db"],
        check=True,
        capture_output=True,
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    files = [f"--socket={folder}/socket", f"--log-error={folder}/error.log", f"--pid-file={folder}/pid"]
    # Little memory, and no waiting for the disk: the tests end the server's clients, never the machine's power.
    small = ["--innodb-buffer-pool-size=64M", "--innodb-flush-log-at-trx-commit=0", "--skip-name-resolve"]
    process = subprocess.Popen(
        [daemon, *common, *HOSTILE, *files, *small, f"--port={port}", "--bind-address=127.0.0.1"],
        stderr=subprocess.DEVNULL,  # what it says before it has opened its log: limits of the machine
    )
    server = Server(process, port, folder)
    try:
        wait_until(lambda: _answers(server), 60)
        _load_zone(server, "America/New_York")
        yield server
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder)


def _load_zone(server: Server, zone: str) -> None:
    """Teach the server a zone with summer time; without that it knows offsets only."""
    command = ["mariadb-tzinfo-to-sql", f"/usr/share/zoneinfo/{zone}", zone]
    statements = subprocess.run(command, check=True, capture_output=True).stdout
    client = ["mariadb", "--no-defaults", f"--socket={server.folder}/socket", "--user=root", "mysql"]
    subprocess.run(client, input=statements, check=True)


def _answers(server: Server) -> bool:
    assert server.process.poll() is None, (server.folder / "error.log").read_text()
    try:
        server.admin().close()
    except pymysql.err.OperationalError:
        return False
    return True


BACKENDS = [pytest.param("sqlite", id="sqlite"), pytest.param("mariadb", id="mariadb", marks=pytest.mark.mariadb)]


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """The kind of database; the server is started only where it is asked for."""
    return str(request.param)


@pytest.fixture
def empty_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> URL:
    """The address of an empty database."""
    if backend == "sqlite":
        return database_url(sqlite_path=tmp_path / "records.db")
    server: Server = request.getfixturevalue("mariadb")
    return server.new_url()


@pytest.fixture(scope="session")
def migrated_mariadb(mariadb: Server) -> URL:
    """The address of a database with the schema, shared by tests that only need rows."""
    url = mariadb.new_url()
    engine = create_engine(url)
    upgrade(engine)
    engine.dispose()
    return url


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the schema and no rows, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "records.db"
    engine = create_engine(database_url(sqlite_path=path))
    upgrade(engine)
    engine.dispose()
    return path


@pytest.fixture
def url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> URL:
    """The address of a database with the schema and no rows."""
    if backend == "sqlite":
        path = tmp_path / "records.db"
        shutil.copy(request.getfixturevalue("migrated_sqlite"), path)
        return database_url(sqlite_path=path)
    shared: URL = request.getfixturevalue("migrated_mariadb")
    engine = create_engine(shared)
    with engine.begin() as connection:
        for table in (JobDependency, JobExecution, Job):
            connection.execute(delete(table))
    engine.dispose()
    return shared


@pytest.fixture
def engine(url: URL) -> Iterator[Engine]:
    """An engine on a database with the schema and no rows."""
    engine = create_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture
def make_job() -> Callable[..., JobRecord]:
    """Makes a job with what a test changes in it."""

    def make(**changes: Any) -> JobRecord:
        fields: dict[str, Any] = {
            "id": UID,
            "namespace": "erp",
            "resource_name": "inventory",
            "name": "inventory",
            "job_type": "cron",
            "func": "inventory_check",
            "created_at": NOW,
        }
        return JobRecord(**fields | changes)

    return make


@pytest.fixture
def make_run() -> Callable[..., ExecutionRecord]:
    """Makes a run with what a test changes in it; a verdict gets an end."""

    def make(**changes: Any) -> ExecutionRecord:
        fields: dict[str, Any] = {
            "job_id": UID,
            "namespace": "erp",
            "job_name": "inventory",
            "run_name": "inventory-1",
            "status": RunState.RUNNING,
            "trigger": Trigger.SCHEDULE,
            "start_time": NOW,
        } | changes
        if "end_time" not in fields and not isinstance(fields["status"], RunState):
            fields["end_time"] = NOW
        return ExecutionRecord(**fields)

    return make


@pytest.fixture
def poll() -> Callable[..., None]:
    """Waits until something is true."""
    return wait_until
