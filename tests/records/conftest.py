"""The databases of these tests: SQLite files, and a MariaDB server that is set up as badly as a server can be."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from mariadb_server import Server, running, wait_until
from sqlalchemy import URL, Engine, delete

from merp_crds.reasons import RunState, Trigger
from merp_records.engine import create_engine, database_url
from merp_records.migrations import upgrade
from merp_records.tables import DailyRollup, Job, JobDependency, JobExecution, StaleRollup
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


# Little memory, and no waiting for the disk: the tests end the server's clients, never the machine's power.
SMALL = ("--innodb-buffer-pool-size=64M", "--innodb-flush-log-at-trx-commit=0")


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Server]:
    """The server, started once."""
    with running(*HOSTILE, *SMALL) as server:
        _load_zone(server, "America/New_York")
        yield server


def _load_zone(server: Server, zone: str) -> None:
    """Teach the server a zone with summer time; without that it knows offsets only."""
    command = ["mariadb-tzinfo-to-sql", f"/usr/share/zoneinfo/{zone}", zone]
    statements = subprocess.run(command, check=True, capture_output=True).stdout
    client = ["mariadb", "--no-defaults", f"--socket={server.socket}", "--user=root", "mysql"]
    subprocess.run(client, input=statements, check=True)


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
        for table in (StaleRollup, DailyRollup, JobDependency, JobExecution, Job):
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
