"""Data sync between real databases: whatever happens in between, in the end the target equals the source."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, DateTime, Integer, LargeBinary, MetaData, Numeric, String, Table, select, text
from sqlalchemy.dialects import mysql

from merp_runner import Connection, Context, ParameterError, TaskFailed
from merp_tasks.databases import database
from merp_tasks.sync import data_sync

NewDatabase = Callable[[str], Connection]
START = datetime(2026, 11, 1)
STOCK = Table(
    "stock",
    MetaData(),
    Column("warehouse", String(20), primary_key=True),
    Column("sku", Integer, primary_key=True, autoincrement=False),
    Column("quantity", Numeric(18, 4)),
    Column("note", String(40)),
    Column("raw", LargeBinary),
    Column("changed", DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb"), index=True),
    mysql_charset="utf8mb4",
)  # fmt: skip
SYNC: dict[str, Any] = {"table": "stock", "key": ["warehouse", "sku"], "cursor": "changed"}


def row(number: int, seconds: float = 0, quantity: str = "1.5", note: str | None = "库存𠮷✅") -> dict[str, Any]:
    return {
        "warehouse": f"w{number % 3}",
        "sku": number,
        "quantity": Decimal(quantity),
        "note": note,
        "raw": bytes([number % 256, 0, 255]),
        "changed": START + timedelta(seconds=seconds),
    }


def execute(connection: Connection, *statements: Any) -> None:
    with database(connection) as engine, engine.begin() as begun:
        for statement in statements:
            begun.execute(text(statement) if isinstance(statement, str) else statement)


def insert(connection: Connection, rows: Sequence[dict[str, Any]], table: Table = STOCK) -> None:
    with database(connection) as engine, engine.begin() as begun:
        begun.execute(table.insert(), list(rows))


def rows_of(connection: Connection, table: Table = STOCK) -> set[tuple[Any, ...]]:
    with database(connection) as engine, engine.connect() as opened:
        return {tuple(each) for each in opened.execute(select(table))}


@pytest.fixture
def pair(new_database: NewDatabase) -> tuple[Connection, Connection]:
    """Source and target with an empty table."""
    made = new_database("source"), new_database("target")
    for each in made:
        with database(each) as engine:
            STOCK.create(engine)
    return made


Pair = tuple[Connection, Connection]


def test_first_and_later_syncs(pair: Pair, context: Context) -> None:
    source, target = pair
    insert(source, [row(number, number) for number in range(25)])
    first = data_sync(context, *pair, **SYNC, batch_size=10)
    assert first == {"rows": 25, "batches": 3, "since": None, "without_cursor": 0}
    assert rows_of(target) == rows_of(source)
    execute(source, STOCK.update().where(STOCK.c.sku == 3).values(quantity=7, changed=START + timedelta(hours=1)))
    insert(source, [row(99, 3700)])
    later = data_sync(context, *pair, **SYNC, overlap_seconds=0)
    # The newest one known is read again: another of the same moment may have come since.
    assert (later["rows"], later["since"]) == (3, START + timedelta(seconds=24))
    assert rows_of(target) == rows_of(source)
    assert data_sync(context, *pair, **SYNC)["rows"] == 2


def test_an_empty_source_does_nothing(pair: Pair, context: Context) -> None:
    result = data_sync(context, *pair, **SYNC)
    assert result == {"rows": 0, "batches": 0, "since": None, "without_cursor": 0}


def test_many_rows_of_one_moment_cross_the_batches(pair: Pair, context: Context) -> None:
    source, target = pair
    insert(source, [row(number) for number in range(57)])
    assert data_sync(context, *pair, **SYNC, batch_size=10)["batches"] == 6
    assert rows_of(target) == rows_of(source)


def test_what_commits_late_is_found_by_the_overlap(pair: Pair, context: Context) -> None:
    source, target = pair
    insert(source, [row(1, 100)])
    data_sync(context, *pair, **SYNC)
    # Began before the sync, was committed after it.
    insert(source, [row(2, 40)])
    assert data_sync(context, *pair, **SYNC, overlap_seconds=30)["rows"] == 1
    assert data_sync(context, *pair, **SYNC, overlap_seconds=60)["rows"] == 2
    assert rows_of(target) == rows_of(source)


def test_rows_without_a_cursor_are_counted_and_left(pair: Pair, context: Context) -> None:
    source, target = pair
    insert(source, [row(1), row(2) | {"changed": None}])
    result = data_sync(context, *pair, **SYNC)
    assert (result["rows"], result["without_cursor"], len(rows_of(target))) == (1, 1, 1)


def test_deletions_only_where_they_are_asked_for(pair: Pair, context: Context) -> None:
    source, target = pair
    insert(source, [row(number) for number in range(30)])
    data_sync(context, *pair, **SYNC)
    execute(source, "DELETE FROM stock WHERE sku IN (0, 9, 10, 29)")
    data_sync(context, *pair, **SYNC)
    assert len(rows_of(target)) == 30
    assert data_sync(context, *pair, **SYNC, batch_size=10, deletions=True)["deleted"] == 4
    assert rows_of(target) == rows_of(source)
    assert data_sync(context, *pair, **SYNC, batch_size=10, deletions=True)["deleted"] == 0


def test_an_emptied_source_empties_no_target(pair: Pair, context: Context) -> None:
    source, target = pair
    insert(source, [row(1)])
    data_sync(context, *pair, **SYNC)
    execute(source, "DELETE FROM stock")
    with pytest.raises(TaskFailed, match="deletions: stock is empty in the source"):
        data_sync(context, *pair, **SYNC, deletions=True)
    assert len(rows_of(target)) == 1


def test_numbers_as_cursor_a_single_key_and_another_name(new_database: NewDatabase, context: Context) -> None:
    source, target = new_database("source"), new_database("target")
    execute(source, "CREATE TABLE a (id INT PRIMARY KEY, version BIGINT, v VARCHAR(9))")
    execute(source, "INSERT INTO a VALUES (1, 5, 'x'), (2, 5, 'y'), (3, 7, NULL)")
    execute(target, "CREATE TABLE b (v VARCHAR(9), version BIGINT, id INT PRIMARY KEY, own INT DEFAULT 1)")
    wanted: dict[str, Any] = {"table": "a", "key": "id", "cursor": "version", "target_table": "b"}
    assert data_sync(context, source, target, **wanted, batch_size=1)["rows"] == 3
    execute(source, "UPDATE a SET v = 'z', version = 8 WHERE id = 1")
    assert data_sync(context, source, target, **wanted)["rows"] == 2
    with database(target) as engine, engine.connect() as connection:
        found = connection.execute(text("SELECT id, version, v, own FROM b ORDER BY id")).all()
    assert [tuple(each) for each in found] == [(1, 8, "z", 1), (2, 5, "y", 1), (3, 7, None, 1)]


def test_a_table_that_is_nothing_but_its_key(new_database: NewDatabase, context: Context) -> None:
    source, target = new_database("source"), new_database("target")
    for each in (source, target):
        execute(each, "CREATE TABLE ids (id INT PRIMARY KEY)")
    execute(source, "INSERT INTO ids VALUES (1), (2)")
    for _ in range(2):
        data_sync(context, source, target, "ids", "id", "id")
    with database(target) as engine, engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM ids")).scalar() == 2


@pytest.mark.mariadb
def test_from_one_kind_of_database_to_the_other(mariadb: Any, tmp_path: Path, context: Context) -> None:
    (tmp_path / "lite.db").touch()
    lite = Connection("lite", {"url": f"sqlite:///{tmp_path / 'lite.db'}"})
    big = Connection("big", {"url": mariadb.new_url().render_as_string(hide_password=False)})
    back = Connection("back", {"url": mariadb.new_url().render_as_string(hide_password=False)})
    for each in (lite, big, back):
        with database(each) as engine:
            STOCK.create(engine)
    insert(big, [row(number, number + 0.123456, quantity="12.3456") for number in range(40)])
    data_sync(context, big, lite, **SYNC, batch_size=7)
    data_sync(context, lite, back, **SYNC, batch_size=7)
    assert rows_of(lite) == rows_of(big) == rows_of(back)


@pytest.mark.parametrize(
    "written",
    [
        pytest.param("2026-11-01 00:00:00", id="without-a-fraction"),
        pytest.param("2026-11-01 00:00:00.000000", id="with-one"),
        pytest.param("2026-11-01T00:00:00", id="with-a-T"),
    ],
)
def test_times_in_sqlite_however_they_are_written(tmp_path: Path, context: Context, written: str) -> None:
    pair = []
    for name in ("source", "target"):
        (tmp_path / name).touch()
        pair.append(Connection(name, {"url": f"sqlite:///{tmp_path / name}"}))
        execute(pair[-1], "CREATE TABLE t (id INTEGER PRIMARY KEY, changed DATETIME)")
    execute(pair[0], *(f"INSERT INTO t VALUES ({number}, '{written}')" for number in range(10)))
    for overlap in (300, 0):
        data_sync(context, pair[0], pair[1], "t", "id", "changed", batch_size=3, overlap_seconds=overlap)
    with database(pair[1]) as engine, engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM t")).scalar() == 10


class Killed(BaseException):
    """The process is gone."""


def killed_after(context: Context, batches: int) -> Context:
    """A context whose run ends with the n-th report of progress, which comes after each batch."""
    left = iter(range(batches))

    def report(done: float, total: float | None, message: str) -> None:
        if next(left, None) is None:
            raise Killed

    return replace(context, report_progress=report)


CHANGES = st.lists(
    st.tuples(st.sampled_from(["put", "delete"]), st.integers(0, 15), st.integers(0, 3)), min_size=1, max_size=25
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(rounds=st.lists(st.tuples(CHANGES, st.integers(0, 6)), min_size=1, max_size=4), batch_size=st.integers(1, 5))
def test_killed_anywhere_and_retried_the_target_equals_the_source(
    tmp_path_factory: pytest.TempPathFactory,
    context: Context,
    rounds: list[tuple[list[tuple[str, int, int]], int]],
    batch_size: int,
) -> None:
    folder = tmp_path_factory.mktemp("sync")
    source, target = (Connection(name, {"url": f"sqlite:///{folder / name}"}) for name in ("source", "target"))
    for each in (source, target):
        with database(each, create=True) as engine:
            STOCK.create(engine)
    now = 0
    for changes, batches in rounds:
        for what, number, pause in changes:
            now += pause
            execute(source, STOCK.delete().where(STOCK.c.sku == number))
            if what == "put":
                insert(source, [row(number, now, quantity=str(now))])
        with contextlib.suppress(Killed):
            data_sync(killed_after(context, batches), source, target, **SYNC, batch_size=batch_size, overlap_seconds=0)
    data_sync(context, source, target, **SYNC, batch_size=batch_size, overlap_seconds=0)
    assert rows_of(source) <= rows_of(target)
    if rows_of(source):
        data_sync(context, source, target, **SYNC, batch_size=batch_size, overlap_seconds=0, deletions=True)
        assert rows_of(target) == rows_of(source)


# However late the signal comes, there is something left to do.
HELD_SYNC = """
import time
from dataclasses import replace
from typing import Any

from merp_runner import Connection, Context, task
from merp_tasks.sync import data_sync


@task
def held_sync(context: Context, source: Connection, target: Connection, **parameters: Any) -> dict[str, Any]:
    def report(done: int, total: int, message: str) -> None:
        context.progress(done, total, message)
        while done > 2000:
            # In small pieces: a signal just before a sleep is seen after it.
            time.sleep(0.1)

    return data_sync(replace(context, report_progress=report), source, target, **parameters)
"""


@pytest.mark.processes
@pytest.mark.parametrize("number", [pytest.param(each, id=each.name) for each in (signal.SIGKILL, signal.SIGTERM)])
def test_the_process_killed_in_the_middle_and_retried(pair: Pair, tmp_path: Path, number: signal.Signals) -> None:
    source, target = pair
    insert(source, [row(index, index // 30) for index in range(4000)])
    (tmp_path / "held.py").write_text(HELD_SYNC)
    kwargs = {"source": "source", "target": "target", "batch_size": 20} | SYNC
    for name, connection in (("source", source), ("target", target)):
        (tmp_path / "connections" / name).mkdir(parents=True)
        for key, value in connection.values.items():
            (tmp_path / "connections" / name / key).write_text(value)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(tmp_path),
        "MERP_TASK_MODULES": "held",
        "MERP_CONNECTIONS": str(tmp_path / "connections"),
        "MERP_TERMINATION_LOG": str(tmp_path / "termination-log"),
    }

    def command(task: str) -> list[str]:
        return [sys.executable, "-P", "-m", "merp_runner", "run", task, "--kwargs", json.dumps(kwargs)]

    with subprocess.Popen(command("held_sync"), env=environment, stdout=subprocess.PIPE, encoding="utf-8") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line).get("progress", {}).get("done", 0) > 0:
                process.send_signal(number)
                break
        process.stdout.read()
    assert process.returncode == (143 if number == signal.SIGTERM else -number)
    assert 0 < len(rows_of(target)) < 4000
    subprocess.run(command("data_sync"), env=environment, check=True, stdout=subprocess.DEVNULL)
    assert rows_of(target) == rows_of(source)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param({"table": "absent"}, "table: the source has no table 'absent'", id="no-table"),
        pytest.param({"target_table": "absent"}, "target_table: the target has no table 'absent'", id="no-target-table"),
        pytest.param({"key": []}, "key: names no column", id="no-key"),
        pytest.param({"key": "id", "cursor": "when"}, "key: the source has no column 'id'; cursor: the source has no column 'when'", id="no-columns"),
        pytest.param({"cursor": "note"}, "cursor: 'note' is text, which databases order differently", id="text-cursor"),
        pytest.param({"key": "sku"}, "key: sku is no unique key of the target", id="key-that-is-not-unique"),
        pytest.param({"batch_size": 0, "overlap_seconds": -1}, "batch_size: 0 is not between 1 and 10000; overlap_seconds: -1 is not", id="numbers"),
        pytest.param({"table": "stock; DROP TABLE stock"}, "table: the source has no table", id="text-is-no-sql"),
    ],
)  # fmt: skip
def test_refused(pair: Pair, context: Context, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ParameterError) as refused:
        data_sync(context, *pair, **SYNC | changes)
    assert str(refused.value).startswith(told)


@pytest.mark.parametrize(
    ("statements", "told"),
    [
        pytest.param(["ALTER TABLE stock DROP COLUMN note"], "table: the target has no column note", id="column-missing"),
        pytest.param(["CREATE UNIQUE INDEX other ON stock (note)"], "table: the target has another unique key (note)", id="another-unique-key"),
    ],
)  # fmt: skip
def test_refused_target(pair: Pair, context: Context, statements: list[str], told: str) -> None:
    execute(pair[1], *statements)
    with pytest.raises(ParameterError) as refused:
        data_sync(context, *pair, **SYNC)
    assert str(refused.value).startswith(told)


def test_a_wider_unique_key_does_no_harm(pair: Pair, context: Context) -> None:
    execute(pair[1], "CREATE UNIQUE INDEX wider ON stock (sku, warehouse, note)")
    insert(pair[0], [row(1)])
    data_sync(context, *pair, **SYNC)
    assert rows_of(pair[1]) == rows_of(pair[0])
