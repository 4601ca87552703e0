"""The schema goes up and down everywhere, once, whoever starts together, and over what a dead migrator left."""

import re
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pymysql
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import event, inspect, text

import merp_records.migrations
from merp_records import stalerollups
from merp_records.engine import create_engine, create_migration_engine
from merp_records.migrations import (
    VERSION_TABLE,
    SchemaError,
    SchemaState,
    downgrade,
    is_current,
    offline_sql,
    schema_state,
    upgrade,
)
from merp_records.tables import Base


@pytest.fixture
def empty(empty_url):
    """An engine on an empty database."""
    engine = create_engine(empty_url)
    yield engine
    engine.dispose()


def tables(engine) -> set[str]:
    with engine.connect() as connection:
        return set(inspect(connection).get_table_names())


def execute(engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def test_up_down_and_up_again(empty) -> None:
    seen = [schema_state(empty)]
    for step in (upgrade, upgrade, downgrade, downgrade, upgrade):
        step(empty)
        seen.append(schema_state(empty))
    missing, current = SchemaState.MISSING, SchemaState.CURRENT
    assert seen == [missing, current, current, missing, missing, current]
    assert is_current(empty)
    assert tables(empty) == {*Base.metadata.tables, VERSION_TABLE}


def test_the_migrations_make_what_the_code_expects(empty) -> None:
    upgrade(empty)
    with empty.connect() as connection:
        options = {"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata) == []


def test_the_columns_of_the_contract_are_there(empty) -> None:
    upgrade(empty)
    with empty.connect() as connection:
        inspector = inspect(connection)
        found = {name: {c["name"] for c in inspector.get_columns(name)} for name in inspector.get_table_names()}
    jobs = "id name job_type func cron_expression interval_seconds args kwargs status next_run_time description"
    times = "created_at updated_at created_by"
    executions = "id job_id start_time end_time status result error"
    assert set(f"{jobs} {times}".split()) - found["jobs"] == set()
    assert set(executions.split()) - found["job_executions"] == set()


@pytest.mark.mariadb
def test_c64_no_column_changes_by_itself(mariadb, migrated_mariadb) -> None:
    assert mariadb.sql("SELECT @@explicit_defaults_for_timestamp") == ((0,),)
    for name in Base.metadata.tables:
        ((_, made),) = mariadb.sql(f"SHOW CREATE TABLE `{name}`", migrated_mariadb.database)
        wrong = ("TIMESTAMP", "ON UPDATE", "CURRENT_TIMESTAMP", "0000-00-00", "LATIN1", "MYISAM")
        assert [word for word in wrong if word in made.upper()] == []


@pytest.mark.parametrize(
    ("dialect", "newer"),
    [
        # Clauses and collations that 5.7 does not know.
        pytest.param("mysql", ("RETURNING", "IF NOT EXISTS", "0900"), id="C64-mysql-57"),
        pytest.param("mariadb", ("0900",), id="C64-mariadb"),
    ],
)
def test_the_offline_sql_has_no_pitfalls(dialect, newer) -> None:
    sql = offline_sql(dialect)
    made = [part for part in sql.split(";") if "CREATE TABLE" in part and VERSION_TABLE not in part]
    assert [part.count("ENGINE=InnoDB CHARSET=utf8mb4") for part in made] == [1] * len(Base.metadata.tables)
    # What changes by itself or gets a zero date (error 1067), and what differs between the two servers.
    wrong = ("TIMESTAMP", "CURRENT_", "ON UPDATE", " JSON")
    assert [word for word in (*wrong, *newer) if word in sql.upper()] == []
    # A bare DATETIME drops the fraction.
    assert sql.count("DATETIME") == sql.count("DATETIME(6)") > 0
    # Reserved words of MySQL 5.7 and 8.
    assert "`trigger` VARCHAR" in sql
    assert "`condition` VARCHAR" in sql


def key_bytes(sql: str) -> dict[str, int]:
    """How many bytes each key of generated MySQL takes at most, read as the server would."""
    keys = {}
    for table, body in re.findall(r"CREATE TABLE (\w+) \((.*?)\n\)", sql, re.DOTALL):
        widths = {}
        for name, kind in re.findall(r"^\s+`?(\w+)`? (VARCHAR\(\d+\)[^,\n]*|\w+)", body, re.MULTILINE):
            length = re.match(r"VARCHAR\((\d+)\)", kind)
            # Eight bytes hold a DATETIME(6), a BIGINT, and everything smaller.
            widths[name] = int(length[1]) * (1 if "CHARACTER SET ascii" in kind else 4) if length else 8
        indexes = re.findall(rf"CREATE (?:UNIQUE )?INDEX (\w+) ON {table} \((.*?)\)", sql)
        for name, columns in [*indexes, *re.findall(r"CONSTRAINT (\w+) PRIMARY KEY \((.*?)\)", body)]:
            keys[f"{table}.{name}"] = sum(widths[column.strip("` ")] for column in columns.split(","))
    return keys


def test_every_key_fits_into_767_bytes() -> None:
    """What InnoDB's COMPACT and REDUNDANT rows allow for a column; 3072 of DYNAMIC rows are the limit of a whole key."""
    keys = key_bytes(offline_sql("mysql"))
    # Every one was found; Alembic's own table has one more.
    assert len(keys) == 1 + sum(1 + len(table.indexes) for table in Base.metadata.tables.values())
    assert {name: length for name, length in keys.items() if length > 767} == {}


UPGRADE = (
    "import sys; from sqlalchemy import make_url; from merp_records.engine import create_engine;"
    "from merp_records.migrations import upgrade; upgrade(create_engine(make_url(sys.argv[1])))"
)
# As UPGRADE, but the process is gone after so many statements that change the schema, before it can say so.
DIES = (
    "import os, sys; from sqlalchemy import Engine, event; left = [int(sys.argv[2])]\n"
    "@event.listens_for(Engine, 'after_cursor_execute')\n"
    "def die(connection, cursor, statement, *_):\n"
    "    if statement.lstrip().startswith(('CREATE', 'INSERT')):\n"
    "        left[0] -= 1\n"
    "        left[0] or os._exit(9)\n"
)


def start(program: str, url, *arguments: str) -> subprocess.Popen[bytes]:
    address = url.render_as_string(hide_password=False)
    return subprocess.Popen([sys.executable, "-W", "error", "-c", program, address, *arguments], stderr=subprocess.PIPE)


@pytest.mark.processes
@pytest.mark.parametrize("revision", [pytest.param(None, id="empty"), pytest.param("0001", id="of-an-older-version")])
def test_replicas_that_start_together_migrate_once(empty, empty_url, revision) -> None:
    """In processes of their own: SQLite's locks belong to a process."""
    if revision is not None:
        upgrade(empty, revision)
        insert_at_0001(empty)
    processes = [start(UPGRADE, empty_url) for _ in range(4)]
    ends = [(process.communicate(timeout=60)[1].decode(), process.returncode) for process in processes]
    assert ends == [("", 0)] * 4
    with empty.connect() as connection:
        assert connection.scalar(text(f"SELECT COUNT(*) FROM {VERSION_TABLE}")) == 1
    test_the_migrations_make_what_the_code_expects(empty)


@pytest.mark.processes
@pytest.mark.parametrize("statements", [2, 9, 16, 20])
def test_a_migrator_that_is_killed_is_followed_by_one_that_ends_it(empty, empty_url, statements) -> None:
    dying = start(DIES + UPGRADE, empty_url, str(statements))
    assert (dying.communicate(timeout=60), dying.returncode) == ((None, b""), 9)
    assert schema_state(empty) in (SchemaState.MISSING, SchemaState.PARTIAL, SchemaState.BEHIND)
    following = start(UPGRADE, empty_url)
    assert following.wait(60) == 0
    following.stderr.close()
    test_the_migrations_make_what_the_code_expects(empty)


@pytest.mark.mariadb
def test_a_migrator_waits_for_another_one_and_leaves_no_lock(mariadb, poll) -> None:
    engine = create_engine(mariadb.new_url())
    held = threading.Event()
    release = threading.Event()

    def hold() -> None:
        with merp_records.migrations._locked(engine):
            held.set()
            assert release.wait(90)

    processes = f"SELECT COUNT(*) FROM information_schema.processlist WHERE db = '{engine.url.database}'"
    with ThreadPoolExecutor() as threads:
        first = threads.submit(hold)
        assert held.wait(60)
        second = threads.submit(upgrade, engine)
        try:
            poll(lambda: mariadb.sql(f"{processes} AND state = 'User lock'") == ((1,),))
            assert not second.done()
            assert schema_state(engine) is SchemaState.MISSING
        finally:
            release.set()
        first.result(60)
        second.result(60)
    assert is_current(engine)
    engine.dispose()
    poll(lambda: mariadb.sql(processes) == ((0,),))


@pytest.mark.mariadb
def test_a_server_that_refuses_named_locks_is_told_and_may_be_migrated_by_hand(mariadb, monkeypatch) -> None:
    """As Percona XtraDB Cluster does in its strict mode."""

    def refusing(url):
        made = create_migration_engine(url)

        @event.listens_for(made, "do_execute")
        def refuse(cursor, statement, parameters, context) -> None:
            if "GET_LOCK" in statement:
                raise pymysql.err.InternalError(1105, "prohibits use of GET_LOCK with pxc_strict_mode = ENFORCING")

        return made

    engine = create_engine(mariadb.new_url())
    monkeypatch.setattr(merp_records.migrations, "create_migration_engine", refusing)
    with pytest.raises(SchemaError, match=r"refuses GET_LOCK \(error 1105\).*offline_sql"):
        upgrade(engine)
    for statement in offline_sql("mysql").split(";\n"):
        if statement.strip():
            execute(engine, statement)
    upgrade(engine)
    assert is_current(engine)
    engine.dispose()


def test_a_failed_migration_lets_the_next_one_in(empty) -> None:
    execute(empty, "CREATE TABLE jobs (id INTEGER)")
    with pytest.raises(SchemaError):
        upgrade(empty)
    execute(empty, "DROP TABLE jobs")
    upgrade(empty)
    assert is_current(empty)


@pytest.mark.parametrize(
    "undone",
    [
        pytest.param(["DROP TABLE job_dependencies", "DROP TABLE job_executions"], id="tables-missing"),
        pytest.param(["DROP TABLE job_dependencies"], id="last-table-missing"),
        pytest.param([], id="only-the-revision-missing"),
    ],
)
def test_a_half_applied_migration_is_told_and_completed(empty, undone, caplog) -> None:
    upgrade(empty)
    execute(empty, *undone, f"DELETE FROM {VERSION_TABLE}")
    assert schema_state(empty) is SchemaState.PARTIAL
    upgrade(empty)
    assert "the migration to revision 0001 had ended half way; it is completed" in caplog.messages
    test_the_migrations_make_what_the_code_expects(empty)


def test_each_revision_is_reached_from_the_one_before_and_left_to_it(empty) -> None:
    revisions = merp_records.migrations._known_revisions()
    made = []
    for revision in revisions:
        upgrade(empty, revision)
        made.append(tables(empty))
    for revision, expected in reversed(list(zip(revisions[:-1], made[:-1], strict=True))):
        assert schema_state(empty) is not SchemaState.PARTIAL
        downgrade(empty, revision)
        assert tables(empty) == expected
        assert schema_state(empty) is SchemaState.BEHIND
    upgrade(empty)
    test_the_migrations_make_what_the_code_expects(empty)


def test_every_revision_begins_with_what_tells_that_it_began() -> None:
    known = merp_records.migrations._known_revisions()
    assert list(merp_records.migrations._FIRST_MADE) == known
    for before, revision in zip([None, *known], known, strict=False):
        sql = offline_sql("mysql", revision if before is None else f"{before}:{revision}")
        first = re.search(r"CREATE (TABLE (?!merp_)(\w+) \(.*?\n\)|INDEX (\w+) ON (\w+))", sql, re.DOTALL)
        table, made = merp_records.migrations._FIRST_MADE[revision]
        assert table in first.groups()
        assert re.search(rf"\b{made}\b", first[0])


@pytest.mark.parametrize(
    ("revision", "made"),
    [
        pytest.param("0002", 1, id="the-first-table"),
        pytest.param("0002", 2, id="both-tables"),
        pytest.param("0002", 3, id="only-the-revision-missing"),
        pytest.param("0003", 1, id="the-first-index"),
        pytest.param("0003", 3, id="all-indexes-but-one"),
    ],
)
def test_a_half_applied_update_keeps_the_records_and_is_completed(empty, revision, made, caplog) -> None:
    upgrade(empty, "0001")
    insert_at_0001(empty)
    assert schema_state(empty) is SchemaState.BEHIND
    upgrade(empty, revision)
    on = "" if empty.dialect.name == "sqlite" else " ON job_executions"
    steps = {
        "0002": ["TABLE daily_rollups", "TABLE stale_rollups", "INDEX ix_job_executions_job_due_end"],
        "0003": [f"INDEX ix_job_executions_{name}" for name in ("job_status", "namespace_status", "name", "trigger")],
    }
    undone = [f"DROP {step}{on if 'INDEX' in step else ''}" for step in steps[revision][made:]]
    before = {"0002": "0001", "0003": "0002"}[revision]
    execute(empty, *undone, f"UPDATE {VERSION_TABLE} SET version_num = '{before}'")
    assert schema_state(empty) is SchemaState.PARTIAL
    upgrade(empty)
    assert f"the migration to revision {revision} had ended half way; it is completed" in caplog.messages
    with empty.connect() as connection:
        marked = [(each.job_id, str(each.day)) for each in stalerollups.marks(connection)]
    assert marked == [("job-a", "2027-03-13"), ("job-a", "2027-03-14"), ("job-b", "2027-03-14")]
    test_the_migrations_make_what_the_code_expects(empty)


def insert_at_0001(engine) -> None:
    """Two jobs with verdicts of two days, and a run that is open on a third."""
    times = "'2027-01-01 00:00:00.000000'"
    jobs = "INSERT INTO jobs (id, name, job_type, func, created_at, updated_at, created_by, namespace, resource_name) "
    runs = "INSERT INTO job_executions (id, job_id, start_time, end_time, status, namespace, job_name, run_name, "
    quoted = '"trigger"' if engine.dialect.name == "sqlite" else "`trigger`"
    ended = [
        ("job-a", "2027-03-13 23:59:59.999999", "success"),
        ("job-a", "2027-03-14 00:00:00.000000", "failed"),
        ("job-a", "2027-03-14 12:00:00.000000", "missed"),
        ("job-b", "2027-03-14 00:00:00.000000", "cancelled"),
        ("job-b", "2027-03-15 00:00:00.000000", "running"),
    ]
    execute(
        engine,
        *(
            f"{jobs} VALUES ('{job}', 'n', 'cron', 'f', {times}, {times}, 'u', 'erp', '{job}')"
            for job in ("job-a", "job-b")
        ),
        *(
            f"{runs} {quoted}, recorded_at) VALUES ('{n}', '{job}', '{start}', '{start}', '{status}', 'erp', '{job}', "
            f"'r{n}', 'schedule', {times})"
            for n, (job, start, status) in enumerate(ended)
        ),
    )


def test_a_missing_index_is_made_again(empty) -> None:
    upgrade(empty)
    on = "" if empty.dialect.name == "sqlite" else " ON job_executions"
    execute(empty, f"DROP INDEX ix_job_executions_start{on}", f"DELETE FROM {VERSION_TABLE}")
    upgrade(empty)
    test_the_migrations_make_what_the_code_expects(empty)


def test_a_downgrade_that_ended_half_way_is_told_and_can_be_ended(empty) -> None:
    upgrade(empty)
    execute(empty, "DROP TABLE job_dependencies")
    with pytest.raises(SchemaError, match=r"its tables job_dependencies are missing: a downgrade ended half way"):
        upgrade(empty)
    downgrade(empty)
    upgrade(empty)
    assert is_current(empty)


def test_a_table_of_somebody_else_is_not_taken(empty) -> None:
    execute(empty, "CREATE TABLE jobs (id INTEGER, name VARCHAR(9), salary INTEGER)")
    with pytest.raises(SchemaError, match=r"has a table jobs that is not ours .*salary.*DB_NAME"):
        upgrade(empty)
    assert schema_state(empty) is SchemaState.MISSING


@pytest.mark.parametrize("step", [upgrade, downgrade])
@pytest.mark.parametrize(
    "change",
    [
        pytest.param([f"UPDATE {VERSION_TABLE} SET version_num = '9999'"], id="unknown"),
        pytest.param([f"INSERT INTO {VERSION_TABLE} VALUES ('9999')"], id="known-and-unknown"),
    ],
)
def test_a_newer_schema_is_left_alone(empty, change, step) -> None:
    upgrade(empty)
    execute(empty, *change)
    assert schema_state(empty) is SchemaState.AHEAD
    with pytest.raises(SchemaError, match=r"at revision .*9999, which this version does not know"):
        step(empty)
    assert "job_executions" in tables(empty)


def test_other_users_of_alembic_are_not_disturbed(empty) -> None:
    execute(empty, "CREATE TABLE alembic_version (version_num VARCHAR(32))", "INSERT INTO alembic_version VALUES ('x')")
    upgrade(empty)
    downgrade(empty)
    with empty.connect() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "x"


def test_c65_a_percent_in_the_path_is_a_character(tmp_path: Path) -> None:
    """The package may be installed anywhere, and Alembic's configuration expands `%`."""
    home = tmp_path / "100% a b;%(here)s"
    shutil.copytree(Path(merp_records.migrations.__file__).parent.parent, home / "merp_records")
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "from merp_records.engine import create_engine, database_url; from merp_records import migrations;"
        "assert migrations.__file__.startswith(sys.argv[1]);"
        "engine = create_engine(database_url(sqlite_path=sys.argv[1] + '/a.db'));"
        "migrations.upgrade(engine); assert migrations.is_current(engine)"
    )
    subprocess.run([sys.executable, "-c", program, str(home)], check=True, timeout=60)


def test_sqlite_rows_without_their_job_stop_a_migration(tmp_path, migrated_sqlite) -> None:
    path = tmp_path / "a.db"
    shutil.copy(migrated_sqlite, path)
    engine = create_engine(merp_records.engine.database_url(sqlite_path=path))
    # As a damaged restore leaves them: with references unchecked.
    unchecked = create_migration_engine(engine.url)
    values = "'i', 'gone', '2027-01-01', 'success', 'erp', 'a', 'a-1', 'schedule', '2027-01-01'"
    columns = 'id, job_id, start_time, status, namespace, job_name, run_name, "trigger", recorded_at'
    execute(unchecked, f"INSERT INTO job_executions ({columns}) VALUES ({values})")
    with pytest.raises(SchemaError, match=r"rows of job_executions without their jobs"):
        upgrade(engine)
    unchecked.dispose()
    engine.dispose()
