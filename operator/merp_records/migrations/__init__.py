"""The schema and its history. Everything is done from here; there is no alembic.ini.

One process migrates at a time, the others wait and then find nothing to do. Any revision can be run again over what a
half-finished one left, since MySQL commits every DDL statement by itself.
"""

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from io import StringIO
from pathlib import Path
from typing import Final

import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text

from merp_records.engine import MIGRATION_LOCK_TIMEOUT, create_migration_engine, for_writing, mysql_number
from merp_records.tables import Base

# The database may be shared with other modules that use Alembic; its usual table would be theirs.
VERSION_TABLE: Final = "merp_records_version"
# What each revision makes first: of a table a column, which tells it from somebody else's, or an index. Where it is
# there and the revision is not, the revision began and did not end: MySQL commits every DDL statement by itself.
_FIRST_MADE: Final = {
    "0001": ("jobs", "resource_name"),
    "0002": ("daily_rollups", "healed"),
    "0003": ("job_executions", "ix_job_executions_job_status"),
}

# Percona XtraDB Cluster in its strict mode; MariaDB's releases that have no named locks in a Galera cluster.
_NO_NAMED_LOCKS: Final = frozenset({1105, 1235})

_log = logging.getLogger(__name__)


class SchemaState(StrEnum):
    """How the schema in the database stands to the one that this code was written for."""

    CURRENT = "current"
    BEHIND = "behind"
    # Between two revisions: a migration is under way, or ended half way.
    PARTIAL = "partial"
    AHEAD = "ahead"
    MISSING = "missing"


class SchemaError(RuntimeError):
    """The schema cannot be migrated; the text says why and what to do."""


def schema_state(engine: Engine) -> SchemaState:
    """How the schema stands. Raises what the database raises when it cannot be asked."""
    with engine.connect() as connection:
        return _state(connection, _revisions(connection))


def is_current(engine: Engine) -> bool:
    """Whether the schema is exactly the one of this code."""
    return schema_state(engine) is SchemaState.CURRENT


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the schema up to a revision. Does nothing where it is there already; completes what ended half way.

    Waits for another migrator up to MIGRATION_LOCK_TIMEOUT. Raises SchemaError where the schema is newer than this
    code, where a table of it is missing, where a table of the same name belongs to somebody else, where the wait was in
    vain, or where there is something to do and the server has no named locks.
    """
    if revision == "head" and engine.dialect.name != "sqlite" and _is_whole(engine):
        # Somebody may have made it by hand, because the server or its user may not do what a migrator does.
        return
    with _locked(engine) as connection:
        # Looked at under the lock: the one before may have done it all.
        found = _revisions(connection)
        state = _state(connection, found)
        if state is SchemaState.AHEAD:
            raise SchemaError(_ahead(found))
        if state is SchemaState.PARTIAL:
            _log.warning("the migration to revision %s had ended half way; it is completed", _following(found))
        if state is SchemaState.CURRENT:
            _check_tables(connection, found)
        else:
            command.upgrade(_config(connection), revision)


def downgrade(engine: Engine, revision: str = "base") -> None:
    """Take the schema back to a revision; `base` drops the tables and every record with them. Raises SchemaError."""
    with _locked(engine) as connection:
        found = _revisions(connection)
        if _state(connection, found) is SchemaState.AHEAD:
            raise SchemaError(_ahead(found))
        command.downgrade(_config(connection), revision)


def offline_sql(dialect: str, revision: str = "head") -> str:
    """The SQL of an upgrade of an empty database, for those who may not let a program change theirs.

    `dialect` is a name of SQLAlchemy: mysql, mariadb or sqlite. `revision` may be a range: `0001:0002` is that step.
    """
    config = _config()
    config.output_buffer = StringIO()
    config.attributes["dialect"] = dialect
    command.upgrade(config, revision, sql=True)
    return config.output_buffer.getvalue()


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    # Alembic's configuration expands `%`, in a path too. The URL never goes through it: env.py gets the connection.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _revisions(connection: Connection) -> frozenset[str]:
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return frozenset(context.get_current_heads())


def _state(connection: Connection, found: frozenset[str]) -> SchemaState:
    known = _known_revisions()
    if found == {known[-1]}:
        return SchemaState.CURRENT
    if not found <= set(known) or len(found) > 1:
        # Our history has no branches: two revisions at once are of another one.
        return SchemaState.AHEAD
    if _begun(connection, _following(found)):
        return SchemaState.PARTIAL
    return SchemaState.BEHIND if found else SchemaState.MISSING


def _is_whole(engine: Engine) -> bool:
    with engine.connect() as connection:
        found = _revisions(connection)
        # Of anything else nothing is looked at without the lock: somebody may be changing it.
        if found != {_known_revisions()[-1]}:
            return False
        _check_tables(connection, found)
        return True


def _known_revisions() -> list[str]:
    """The revisions of this code, oldest first."""
    scripts = ScriptDirectory.from_config(_config())
    return [script.revision for script in scripts.walk_revisions()][::-1]


def _following(found: frozenset[str]) -> str:
    """The revision after the one that the database is at."""
    known = _known_revisions()
    return known[max((known.index(revision) + 1 for revision in found), default=0)]


def _begun(connection: Connection, revision: str) -> bool:
    table, made = _FIRST_MADE[revision]
    inspector = inspect(connection)
    if not inspector.has_table(table):
        return False
    return made in {entry["name"] for entry in [*inspector.get_columns(table), *inspector.get_indexes(table)]}


def _check_tables(connection: Connection, found: frozenset[str]) -> None:
    present = set(inspect(connection).get_table_names())
    missing = sorted(set(Base.metadata.tables) - present)
    if missing:
        raise SchemaError(
            f"the schema is at revision {', '.join(found)}, but its tables {', '.join(missing)} are missing: "
            "a downgrade ended half way, or somebody dropped them; run the downgrade again, or restore a backup"
        )


def _ahead(found: frozenset[str]) -> str:
    return (
        f"the database's schema is at revision {', '.join(sorted(found))}, which this version does not know: a newer "
        "one has migrated it; install that version, or restore a backup from before"
    )


@contextmanager
def _locked(engine: Engine) -> Iterator[Connection]:
    """A connection of its own that holds the right to migrate, in a transaction."""
    own = create_migration_engine(engine.url)
    locked = _sqlite_locked if own.dialect.name == "sqlite" else _mysql_locked
    try:
        with locked(own) as connection:
            yield connection
    finally:
        own.dispose()


@contextmanager
def _sqlite_locked(engine: Engine) -> Iterator[Connection]:
    # One transaction around it all: DDL is transactional here, and BEGIN IMMEDIATE lets one process in.
    with for_writing(engine).begin() as connection:
        yield connection
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
        if broken is not None:
            raise SchemaError(f"the migration would leave rows of {broken[0]} without their {broken[2]}")


@contextmanager
def _mysql_locked(engine: Engine) -> Iterator[Connection]:
    # The lock belongs to the connection that migrates: while it can still change anything, it holds the lock. It
    # outlives the commit that comes with every DDL statement.
    with engine.connect() as connection:
        database = connection.scalar(text("SELECT DATABASE()"))
        # Names of locks are the server's, 64 characters at most.
        name = "merp_records_" + hashlib.sha256(str(database).encode()).hexdigest()[:32]
        if not _get_lock(connection, name):
            raise SchemaError(
                f"another process has been migrating this database for {MIGRATION_LOCK_TIMEOUT} s: look at it first"
            )
        connection.commit()
        try:
            with connection.begin():
                yield connection
        finally:
            _release(connection, name)


def _get_lock(connection: Connection, name: str) -> bool:
    wait = {"name": name, "seconds": MIGRATION_LOCK_TIMEOUT}
    try:
        return bool(connection.scalar(text("SELECT GET_LOCK(:name, :seconds)"), wait) == 1)
    except sqlalchemy.exc.DBAPIError as error:
        if (number := mysql_number(error)) not in _NO_NAMED_LOCKS:
            raise
        raise SchemaError(
            f"the server refuses GET_LOCK (error {number}), as Percona XtraDB Cluster does with "
            "pxc_strict_mode=ENFORCING: allow it for the migration, or make the tables by hand of "
            "merp_records.migrations.offline_sql"
        ) from error


def _release(connection: Connection, name: str) -> None:
    try:
        connection.execute(text("SELECT RELEASE_LOCK(:name)"), {"name": name})
    except sqlalchemy.exc.DBAPIError as error:
        # A lost connection has released it; its own error is on the way to the caller.
        if not error.connection_invalidated:
            raise
