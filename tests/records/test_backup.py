"""The documented commands: a backup is one moment of the records, and what was recorded after it can be again."""

import os
import re
import shlex
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from merp_crds.reasons import Reason, RunState, Verdict
from merp_records import stalerollups
from merp_records.engine import create_engine, database_url
from merp_records.migrations import is_current
from merp_records.tables import Base
from merp_records.writes import DependencyRecord, record

NOW = datetime(2027, 3, 14, 12, 0, 0, 123456, tzinfo=UTC)
PAGE = (Path(__file__).parents[2] / "docs" / "records.md").read_text()


def documented(program: str, **words: str) -> list[list[str]]:
    """The commands of the page that begin with a program, with words of them replaced; redirections stay words."""
    commands = re.findall(rf"^    ({program} .*)$", PAGE, re.MULTILINE)
    for word, by in words.items():
        commands = [re.sub(rf"\b{word}\b", by.replace("\\", r"\\"), command) for command in commands]
    return [shlex.split(command) for command in commands]


def run(command: list[str]) -> None:
    """Run a command with its redirection."""
    words, source, target = list(command), None, None
    for sign in ("<", ">"):
        if sign in words:
            at = words.index(sign)
            source, target = (words[at + 1], target) if sign == "<" else (source, words[at + 1])
            del words[at : at + 2]
    with Path(source or os.devnull).open() as given, Path(target or os.devnull).open("w") as written:
        subprocess.run(words, stdin=given, stdout=written, check=True, timeout=60)


def contents(engine) -> dict[str, list[tuple]]:
    with engine.connect() as connection:
        return {
            name: sorted(map(repr, connection.execute(select(table)))) for name, table in Base.metadata.tables.items()
        }


@pytest.fixture
def filled(engine, make_job, make_run):
    """Records with everything that a way through text could spoil."""
    odd = "仓库𠮷✅ \\ \\n 'q' \"d\" -- ; \t\r\n %s"
    dependency = DependencyRecord(depends_on="up", condition="Succeeded", window_kind="within", window_value="24h")
    job = make_job(name="库存盘点任务 ✅", description=odd, args=[odd, 1.5, None], dependencies=(dependency,))
    runs = [
        make_run(run_name="done", status=Verdict.SUCCESS, result=odd, waited_seconds=0.125, due_time=NOW),
        make_run(run_name="failed", status=Verdict.FAILED, reason=Reason.SIGNAL, error=odd * 2000, log_tail=odd),
        make_run(run_name="waits", status=RunState.WAITING, start_time=NOW - timedelta(days=1)),
    ]
    assert record(engine, [job], runs, now=NOW).failures == ()
    with engine.connect() as connection:
        marks = stalerollups.marks(connection)
    stalerollups.refresh(engine, marks, now=NOW)
    return engine


def goes_on_after_a_restore(restored, before, make_job, make_run) -> None:
    """Another operator starts on what was restored: it is the backup, and what the cluster still has comes again."""
    assert contents(restored) == before
    assert is_current(restored)
    late = [make_run(run_name="done", status=Verdict.SUCCESS), make_run(run_name="later", status=Verdict.SUCCESS)]
    assert record(restored, [], late, now=NOW).executions == {run.id for run in late}
    names = [row for row in contents(restored)["job_executions"] if "'later'" in row or "'done'" in row]
    assert len(names) == 2


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize("program", ["sqlite3", 'python -c "import sqlite3;'], ids=["sqlite3", "in-the-container"])
def test_sqlite(filled, tmp_path, program, make_job, make_run) -> None:
    file, copy = filled.url.database, str(tmp_path / "copy.db")
    (backup,), before = documented(program, FILE=file, COPY=copy), contents(filled)
    # While it is used, with changes that are in the write-ahead log only.
    with filled.connect() as reader:
        reader.exec_driver_sql("SELECT 1 FROM jobs")
        run([sys.executable if backup[0] == "python" else backup[0], *backup[1:]])
    record(filled, [], [make_run(run_name="later", status=Verdict.SUCCESS)], now=NOW)
    assert contents(filled) != before
    with sqlite3.connect(copy) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    filled.dispose()
    for command in documented("rm", FILE=file) + documented("cp", COPY=copy, FILE=file):
        run(command)
    restored = create_engine(database_url(sqlite_path=file))
    goes_on_after_a_restore(restored, before, make_job, make_run)
    restored.dispose()


@pytest.mark.mariadb
@pytest.mark.parametrize("backend", ["mariadb"], indirect=True)
def test_mariadb(mariadb, filled, tmp_path, make_job, make_run) -> None:
    target, before = mariadb.new_url(), contents(filled)
    client = ["--no-defaults", f"--socket={mariadb.socket}", "--user=root"]
    (dump,) = documented("mysqldump", DB_NAME=filled.url.database, **{"records.sql": str(tmp_path / "records.sql")})
    (load,) = documented("mysql", DB_NAME=target.database, **{"records.sql": str(tmp_path / "records.sql")})
    run([dump[0], *client, *dump[1:]])
    record(filled, [], [make_run(run_name="later", status=Verdict.SUCCESS)], now=NOW)
    run([load[0], *client, *load[1:]])
    restored = create_engine(target)
    goes_on_after_a_restore(restored, before, make_job, make_run)
    restored.dispose()


@pytest.mark.mariadb
@pytest.mark.parametrize("backend", ["mariadb"], indirect=True)
def test_a_dump_while_records_are_written_is_one_moment(mariadb, filled, tmp_path, make_run) -> None:
    target, stop = mariadb.new_url(), threading.Event()
    client = ["--no-defaults", f"--socket={mariadb.socket}", "--user=root"]
    (dump,) = documented("mysqldump", DB_NAME=filled.url.database, **{"records.sql": str(tmp_path / "records.sql")})
    (load,) = documented("mysql", DB_NAME=target.database, **{"records.sql": str(tmp_path / "records.sql")})
    started = threading.Event()

    def write() -> int:
        batch = 0
        while not stop.is_set() and batch < 500:
            runs = [make_run(run_name=f"b{batch}-{number}", status=Verdict.SUCCESS) for number in range(10)]
            record(filled, [], runs, now=NOW)
            batch += 1
            started.set()
        return batch

    with ThreadPoolExecutor() as threads:
        writer = threads.submit(write)
        assert started.wait(60)
        run([dump[0], *client, *dump[1:]])
        stop.set()
        assert writer.result(60) > 1
    run([load[0], *client, *load[1:]])
    restored = create_engine(target)
    found = contents(restored)
    restored.dispose()
    # Three from before, and whole batches: each was a transaction. Their day is marked in the same one.
    batches = len(found["job_executions"]) - 3
    assert batches > 0
    assert batches % 10 == 0
    assert len(found["stale_rollups"]) == 1
