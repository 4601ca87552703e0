"""Backups and their restore against real databases: what was there comes back, and what is damaged is told."""

import gzip
import hashlib
import json
import os
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from mariadb_server import Server
from sqlalchemy import inspect, text

from merp_runner import Connection, Context, ParameterError, TaskFailed
from merp_tasks.archives import archives
from merp_tasks.backups import database_backup, database_restore_check
from merp_tasks.copies import RowCount, without_definer
from merp_tasks.databases import database
from merp_tasks.example import load

NewDatabase = Callable[[str], Connection]
ODD = [
    "it's; (a) 'b'",
    "back\\slash'",
    "two\nlines\n);\nINSERT INTO `stock` VALUES (1);",
    "库存𠮷✅",
    "(((",
    "NULL",
    "",
]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def erp(new_database: NewDatabase, output: Path) -> Connection:
    """The example data, and a table of whatever may confuse who reads a dump."""
    made = new_database("erp")
    with database(made) as engine:
        load(engine)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE odd (id INT PRIMARY KEY, v VARCHAR(200), b BLOB, n DECIMAL(9,2))"))
            connection.execute(
                text("INSERT INTO odd VALUES (:id, :v, :b, :n)"),
                [{"id": number, "v": v, "b": bytes(range(256)), "n": "-1.50"} for number, v in enumerate(ODD)],
            )
            connection.execute(text("CREATE TABLE `empty one` (id INT PRIMARY KEY)"))
            connection.execute(text("CREATE VIEW overview AS SELECT sku FROM planning_item"))
    return made


@pytest.fixture
def scratch(new_database: NewDatabase) -> Connection:
    return new_database("scratch")


def test_backed_up_and_restored(erp: Connection, scratch: Connection, context: Context, output: Path) -> None:
    result = database_backup(context, erp)
    assert (result["tables"], result["removed"]) == (9, [])
    document = json.loads((output / "erp-20261130T160000Z.json").read_text(encoding="utf-8"))
    assert document["tables"]["odd"] == len(ODD)
    assert document["tables"]["empty one"] == 0
    assert document["tables"]["planning_component"] == 10
    assert result["rows"] == sum(document["tables"].values())
    assert (output / result["file"]).stat().st_size == result["bytes"]
    checked = database_restore_check(context, "erp", scratch=scratch)
    assert {key: checked[key] for key in ("file", "tables", "rows", "sha256")} == {
        key: result[key] for key in ("file", "tables", "rows", "sha256")
    }
    with database(scratch) as engine:
        assert inspect(engine).get_table_names() == []
    assert names(output) == sorted([result["file"], "erp-20261130T160000Z.json"])


def test_the_rows_themselves_come_back(erp: Connection, scratch: Connection, context: Context, output: Path) -> None:
    result = database_backup(context, erp)
    packed = gzip.decompress((output / result["file"]).read_bytes())
    query = text("SELECT id, v, b, n FROM odd ORDER BY id")
    if result["file"].endswith(".db.gz"):
        path = Path(scratch.url.removeprefix("sqlite:///"))
        path.write_bytes(packed)
    else:
        with database(scratch) as engine, engine.begin() as connection:
            # As the dump's own header has it.
            connection.exec_driver_sql("SET sql_mode = ''")
            for statement in packed.decode("utf-8", "surrogateescape").split(";\n"):
                if statement.startswith(("INSERT INTO `odd`", "DROP TABLE", "CREATE TABLE `odd`")):
                    connection.exec_driver_sql(statement.replace("%", "%%"))
    rows = []
    for each in (erp, scratch):
        with database(each) as engine, engine.connect() as connection:
            rows.append([tuple(row) for row in connection.execute(query)])
    assert rows[0] == rows[1]
    assert [row[1] for row in rows[0]] == ODD


def test_the_same_run_writes_the_same_file(erp: Connection, context: Context, output: Path) -> None:
    files = {database_backup(context, erp)["file"] for _ in range(2)}
    assert len(files) == 1
    assert len(names(output)) == 2


def test_old_ones_are_deleted_and_others_left_alone(new_database: NewDatabase, context: Context, output: Path) -> None:
    erp, other = new_database("erp"), new_database("erp-2")
    for each in (erp, other):
        with database(each) as engine, engine.begin() as connection:
            connection.execute(text("CREATE TABLE t (id INT PRIMARY KEY)"))
    strangers = {"erp-notes.json": "{}", "erp-list.json": "[1]", "erp.json": "{", "erp-20200101T000000Z.sql.gz": "x"}
    for name, content in strangers.items():
        (output / name).write_text(content)
    database_backup(context, other)
    removed = []
    for day in range(5):
        later = replace(context, due_time=context.due_time + timedelta(days=day))
        removed += database_backup(later, erp, keep=2)["removed"]
    assert [name[:12] for name in removed] == ["erp-20261130", "erp-20261201", "erp-20261202"]
    assert [each.file[:12] for each in archives(output, "erp")] == ["erp-20261203", "erp-20261204"]
    assert len(archives(output, "erp-2")) == 1
    assert set(strangers) < set(names(output))


def test_what_killed_runs_left_is_swept_after_a_day(erp: Connection, context: Context, output: Path) -> None:
    yesterday = datetime.now(UTC).timestamp() - 90_000
    for name in (".backup-old", ".restore-old", ".backup-new"):
        (output / name).mkdir()
        (output / name / "copy.db").touch()
    for name in (".erp-x.sql.gz.part", ".new.sql.gz.part", ".profile"):
        (output / name).touch()
    for name in (".backup-old", ".restore-old", ".erp-x.sql.gz.part", ".profile"):
        os.utime(output / name, (yesterday, yesterday))
    result = database_backup(context, erp)
    assert set(names(output)) == {
        ".backup-new", ".new.sql.gz.part", ".profile", result["file"], "erp-20261130T160000Z.json",
    }  # fmt: skip


def damage(output: Path, how: str) -> None:
    (archive,) = archives(output, "erp")
    path = output / archive.file
    content = path.read_bytes()
    description = path.with_name("erp-20261130T160000Z.json")
    document = json.loads(description.read_text(encoding="utf-8"))
    if how == "flipped":
        path.write_bytes(content[:-20] + bytes([content[-20] ^ 1]) + content[-19:])
    elif how == "gone":
        path.unlink()
    elif how == "old":
        document["made_at"] = (datetime.now(UTC) - timedelta(hours=30)).isoformat()
    elif how == "rows":
        document["tables"]["odd"] += 1
        document["tables"]["lost"] = 3
    description.write_text(json.dumps(document), encoding="utf-8")


@pytest.mark.parametrize(
    ("how", "told"),
    [
        pytest.param("flipped", "was changed or is damaged", id="one-bit"),
        pytest.param("gone", "is gone", id="file-gone"),
        pytest.param("old", r"the newest backup of 'erp', .*, was made 30\.0 h ago", id="too-old"),
        pytest.param("rows", "lost: 3 in the backup, no table restored; odd: 8 in the backup, 7 restored", id="rows-missing"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_backup_is_told(
    erp: Connection, scratch: Connection, context: Context, output: Path, how: str, told: str
) -> None:
    database_backup(context, erp)
    damage(output, how)
    with pytest.raises(TaskFailed, match=told):
        database_restore_check(context, "erp", scratch=scratch)
    with database(scratch) as engine:
        assert inspect(engine).get_table_names() == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param(
            b"/*!50013 DEFINER=`root`@`localhost` SQL SECURITY DEFINER */\n",
            b"/*!50013  SQL SECURITY DEFINER */\n",
            id="a-view",
        ),
        pytest.param(
            b"/*!50003 CREATE*/ /*!50017 DEFINER=`a``b`@`%`*/ /*!50003 TRIGGER t BEFORE INSERT ON x FOR EACH ROW\n",
            b"/*!50003 CREATE*/ /*!50017 */ /*!50003 TRIGGER t BEFORE INSERT ON x FOR EACH ROW\n",
            id="a-trigger",
        ),
        pytest.param(
            b"CREATE DEFINER=`root`@`localhost` PROCEDURE `p`()\n", b"CREATE  PROCEDURE `p`()\n", id="a-routine"
        ),
        pytest.param(
            b"INSERT INTO `t` VALUES ('/*!50013 DEFINER=`root`@`localhost` */');\n",
            b"INSERT INTO `t` VALUES ('/*!50013 DEFINER=`root`@`localhost` */');\n",
            id="rows-stay",
        ),
        pytest.param(b"CREATE TABLE `DEFINER=` (\n", b"CREATE TABLE `DEFINER=` (\n", id="a-table"),
        pytest.param(b"\xff\x00", b"\xff\x00", id="whatever-it-is"),
    ],
)
def test_what_a_dump_makes_becomes_the_scratch_users_own(line: bytes, expected: bytes) -> None:
    assert without_definer(line) == expected


def test_any_age_may_be_allowed(erp: Connection, scratch: Connection, context: Context, output: Path) -> None:
    database_backup(context, erp)
    damage(output, "old")
    assert database_restore_check(context, "erp", scratch=scratch, max_age_hours=0)["tables"] == 9


def repack(output: Path, change: Callable[[bytes], bytes]) -> None:
    """Another content under a checksum that fits, as a tool that wrote rubbish would have left it."""
    (archive,) = archives(output, "erp")
    path = output / archive.file
    path.write_bytes(gzip.compress(change(gzip.decompress(path.read_bytes()))))
    description = path.with_name("erp-20261130T160000Z.json")
    document = json.loads(description.read_text(encoding="utf-8"))
    document["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    description.write_text(json.dumps(document), encoding="utf-8")


def test_rubbish_with_a_fitting_checksum_does_not_pass(
    erp: Connection, scratch: Connection, context: Context, output: Path
) -> None:
    database_backup(context, erp)
    repack(output, lambda content: content[: len(content) // 2] + b"\0rubbish;\n" * 1000)
    with pytest.raises(TaskFailed, match=r"is no whole SQLite database|is damaged|exit code 1: ERROR") as failed:
        database_restore_check(context, "erp", scratch=scratch)
    assert "00010203" not in str(failed.value)
    with database(scratch) as engine:
        assert inspect(engine).get_table_names() == []


@pytest.mark.mariadb
class TestServer:
    """What only a server has."""

    @pytest.fixture
    def shop(self, mariadb: Server) -> Connection:
        url = mariadb.new_url()
        mariadb.sql("CREATE TABLE a (id INT PRIMARY KEY, twice INT AS (id * 2) STORED, v VARCHAR(9))", url.database)
        mariadb.sql("INSERT INTO a (id, v) VALUES (1, '(x)'), (2, NULL)", url.database)
        mariadb.sql("CREATE TABLE log (id INT)", url.database)
        body = "BEGIN\nINSERT INTO `log` VALUES (1);\nINSERT INTO `log` VALUES (2);\nEND"
        mariadb.sql(f"CREATE TRIGGER t AFTER INSERT ON a FOR EACH ROW {body}", url.database)
        mariadb.sql(f"CREATE PROCEDURE p() {body}", url.database)
        return Connection("shop", {"url": url.render_as_string(hide_password=False)})

    @pytest.fixture
    def empty(self, mariadb: Server) -> Connection:
        return Connection("empty", {"url": mariadb.new_url().render_as_string(hide_password=False)})

    def test_triggers_routines_and_generated_columns(
        self, shop: Connection, empty: Connection, context: Context, output: Path
    ) -> None:
        assert database_backup(context, shop, routines=True)["rows"] == 2
        checked = database_restore_check(context, "shop", scratch=empty)
        assert (checked["tables"], checked["rows"]) == (2, 2)
        # Again: nothing of the first restore is left, the procedure neither.
        assert database_restore_check(context, "shop", scratch=empty)["rows"] == 2
        assert b"PROCEDURE" in gzip.decompress((output / checked["file"]).read_bytes())

    def test_a_database_that_is_not_empty_is_no_scratch(self, shop: Connection, context: Context, output: Path) -> None:
        database_backup(context, shop)
        with pytest.raises(ParameterError, match="scratch: the database of connection shop is not empty"):
            database_restore_check(context, "shop", scratch=shop)
        with database(shop) as engine, engine.connect() as connection:
            assert connection.scalar(text("SELECT count(*) FROM a")) == 2

    @pytest.mark.usefixtures("output")
    def test_a_scratch_is_needed_and_of_the_same_kind(self, shop: Connection, context: Context) -> None:
        database_backup(context, shop)
        with pytest.raises(ParameterError, match="scratch: missing"):
            database_restore_check(context, "shop")
        with pytest.raises(ParameterError, match="scratch: connection lite is SQLite"):
            database_restore_check(context, "shop", scratch=Connection("lite", {"url": "sqlite://"}))

    @pytest.mark.usefixtures("output")
    def test_a_password_of_any_characters(self, mariadb: Server, context: Context) -> None:
        password = "p@ss \"w\\'rd#; %库"
        name = mariadb.new_url().database
        mariadb.sql(f"CREATE USER keeper@'127.0.0.1' IDENTIFIED BY '{password.replace(chr(39), chr(39) * 2)}'")
        mariadb.sql(f"GRANT ALL ON `{name}`.* TO keeper@'127.0.0.1'")
        mariadb.sql("CREATE TABLE t (id INT)", name)
        parts = {"type": "mysql", "host": "127.0.0.1", "port": str(mariadb.port), "database": str(name)}
        secret = Connection("keeper", parts | {"username": "keeper", "password": password})
        assert database_backup(context, secret)["tables"] == 1
        wrong = Connection("keeper", parts | {"username": "keeper", "password": "geheim"})
        with pytest.raises(
            TaskFailed, match=r"dump ended with exit code 2: .*Access denied for user 'keeper'"
        ) as failed:
            database_backup(context, wrong)
        assert "geheim" not in str(failed.value)

    def test_an_image_without_the_tools_says_so(
        self, shop: Connection, context: Context, output: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(output))
        with pytest.raises(TaskFailed, match="the image has no mariadb-dump and no mysqldump: install mariadb-client"):
            database_backup(context, shop)
        assert names(output) == []


@pytest.mark.parametrize(
    ("lines", "tables", "complete"),
    [
        pytest.param([b"-- nothing\n"], {}, False, id="nothing"),
        pytest.param([b"CREATE TABLE `a` (\n", b"-- Dump completed on 2026-12-01\n"], {"a": 0}, True, id="empty-table"),
        pytest.param([b"INSERT INTO `a` VALUES (1,'x'),(2,'(');\n"], {"a": 2}, False, id="one-line"),
        pytest.param([b"INSERT INTO `a` VALUES\n", b"(1,'x'),\n", b"(2,'y;');\n", b"(3);\n"], {"a": 2}, False, id="a-line-a-row"),
        pytest.param([b"INSERT INTO `a` (`x`, `y(`) VALUES (1,2);\n"], {"a": 1}, False, id="column-list"),
        pytest.param([b"INSERT INTO `a``b` VALUES (_binary '\\'(',0xFF,NULL);\n"], {"a`b": 1}, False, id="name-in-quotes"),
        pytest.param([b"INSERT INTO `a` VALUES ('it\\'s'',(x'),('\\\\'),('\\n(');\n"], {"a": 3}, False, id="escapes"),
        pytest.param([b"DELIMITER ;;\n", b"INSERT INTO `a` VALUES (1);\n", b"DELIMITER ;\n", b"INSERT INTO `a` VALUES (2);\n"], {"a": 1}, False, id="routine"),
        pytest.param([b"/*!50001 CREATE TABLE `v` (\n"], {}, False, id="view"),
        pytest.param([b"-- Dump completed\n", b"INSERT INTO `a` VALUES (2);\n"], {"a": 1}, False, id="more-after-the-end"),
    ],
)  # fmt: skip
def test_rows_of_a_dump(lines: list[bytes], tables: dict[str, int], complete: bool) -> None:
    count = RowCount()
    for line in lines:
        count.line(line)
    assert (count.tables, count.complete) == (tables, complete)


@pytest.mark.usefixtures("output")
@pytest.mark.parametrize(
    ("call", "told"),
    [
        pytest.param(lambda context: database_backup(context, Connection("m", {"url": "sqlite://"})), "connection m: a database in memory", id="memory"),
        pytest.param(lambda context: database_backup(context, Connection("m", {"url": "sqlite://"}), keep=0), "keep: 0 is not between", id="keep"),
        pytest.param(lambda context: database_restore_check(context, "m", max_age_hours=-1), "max_age_hours: -1 is not between 0 and 876600", id="age"),
        pytest.param(lambda context: database_restore_check(context, "m", max_age_hours=1e300), "max_age_hours: 1e+300 is not between", id="longer-than-all-time"),
    ],
)  # fmt: skip
def test_refused(context: Context, call: Callable[[Context], Any], told: str) -> None:
    with pytest.raises(ParameterError) as refused:
        call(context)
    assert str(refused.value).startswith(told)


@pytest.mark.usefixtures("output")
def test_without_a_backup_the_check_fails(context: Context) -> None:
    with pytest.raises(TaskFailed, match="has no backup of 'erp'"):
        database_restore_check(context, "erp")


def test_a_damaged_sqlite_database_is_not_backed_up(context: Context, tmp_path: Path, output: Path) -> None:
    path = tmp_path / "erp.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
        connection.executemany("INSERT INTO t (v) VALUES (?)", [("x" * 100,)] * 1000)
    connection.close()
    content = bytearray(path.read_bytes())
    content[8192:12288] = b"\xff" * 4096
    path.write_bytes(content)
    with pytest.raises(TaskFailed, match=r"is damaged|is no whole SQLite database"):
        database_backup(context, Connection("erp", {"url": f"sqlite:///{path}"}))
    assert names(output) == []
