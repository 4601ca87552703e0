"""SQL scripts on real databases: which statements there are, what stands after a failure, what the record shows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from merp_runner import Connection, Context, ParameterError, TaskFailed
from merp_tasks.databases import database
from merp_tasks.scripts import sql_script
from merp_tasks.statements import statements_of

NewDatabase = Callable[[str], Connection]


@pytest.mark.parametrize(
    ("script", "statements"),
    [
        pytest.param("SELECT 1", ["SELECT 1"], id="one"),
        pytest.param("SELECT 1; SELECT 2;", ["SELECT 1", "SELECT 2"], id="two"),
        pytest.param("\n;; SELECT 1;;\n-- the end\n", ["SELECT 1"], id="empty-ones-and-comments"),
        pytest.param("SELECT 1; -- a; b\nSELECT 2 /* c; d */", ["SELECT 1", "SELECT 2"], id="semicolons-in-comments"),
        pytest.param("SELECT ';', \"a;b\", `c;d`", ["SELECT ';', \"a;b\", `c;d`"], id="semicolons-in-quotes"),
        pytest.param("SELECT 'it''s;'; SELECT '\\\\'", ["SELECT 'it''s;'", "SELECT '\\\\'"], id="quotes-in-quotes"),
        pytest.param("SELECT CASE WHEN 1 THEN 2 END; SELECT 3", ["SELECT CASE WHEN 1 THEN 2 END", "SELECT 3"], id="case"),
        pytest.param(
            "CREATE TRIGGER t AFTER INSERT ON a FOR EACH ROW BEGIN UPDATE b SET x = 1; DELETE FROM c; END; SELECT 1",
            ["CREATE TRIGGER t AFTER INSERT ON a FOR EACH ROW BEGIN UPDATE b SET x = 1; DELETE FROM c; END", "SELECT 1"],
            id="trigger",
        ),
    ],
)  # fmt: skip
def test_statements(script: str, statements: list[str]) -> None:
    assert [each.sql for each in statements_of(script, {}, set())] == statements


@pytest.mark.parametrize(
    ("script", "values"),
    [
        pytest.param("SELECT :a, :b", {"a": 1, "b": 2}, id="names"),
        pytest.param("SELECT ':b', \":b\", `:b`, '12:30', '{\"x\":true}' -- :b\n, :a", {"a": 1}, id="none-in-quotes-and-comments"),
    ],
)  # fmt: skip
def test_names(script: str, values: dict[str, Any]) -> None:
    assert statements_of(script, {"a": 1, "b": 2}, set())[0].values == values


@pytest.mark.parametrize(
    ("script", "required", "told"),
    [
        pytest.param(" ;-- nothing\n", set(), "script: has no statement", id="empty"),
        pytest.param("SELECT :c", set(), "parameters: the script has :c, which is not given", id="not-given"),
        pytest.param("SELECT 1", {"a"}, "parameters: the script has no :a", id="not-used"),
        pytest.param("DELIMITER //\nSELECT 1//", set(), "script: DELIMITER is a command of the mysql client", id="delimiter"),
    ],
)  # fmt: skip
def test_script_is_refused(script: str, required: set[str], told: str) -> None:
    with pytest.raises(ParameterError) as refused:
        statements_of(script, {"a": 1}, required)
    assert str(refused.value).startswith(told)


@pytest.fixture
def erp(new_database: NewDatabase) -> Connection:
    made = new_database("erp")
    with database(made) as engine, engine.begin() as connection:
        connection.execute(text("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(90))"))
        connection.execute(text("INSERT INTO t VALUES (1, 'a'), (2, 'b')"))
    return made


def rows(erp: Connection) -> list[tuple[Any, ...]]:
    with database(erp) as engine, engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text("SELECT id, v FROM t ORDER BY id"))]


def test_results(erp: Connection, context: Context) -> None:
    script = """
        UPDATE t SET v = :v WHERE id > :least;   -- 50 % of them: '100%'
        INSERT INTO t VALUES (3, '10:30 100% \\: "x":true');
        SELECT id, v FROM t WHERE v LIKE '%b%' ORDER BY id;
    """
    result = sql_script(context, erp, script, parameters={"v": "库b𠮷", "least": 0})
    assert result == {
        "statements": 3,
        "results": [
            {"changed": 2},
            {"changed": 1},
            {"columns": ["id", "v"], "rows": [[1, "库b𠮷"], [2, "库b𠮷"]], "more": False},
        ],
    }
    assert rows(erp)[2] == (3, '10:30 100% \\: "x":true')


def test_values_of_the_run(erp: Connection, context: Context) -> None:
    result = sql_script(context, erp, "SELECT :business_date, :idempotency_key, :due_time")
    day, key, due = result["results"][0]["rows"][0]
    assert (str(day), key, str(due)[:19]) == ("2026-12-01", context.idempotency_key, "2026-11-30 16:00:00")


def test_many_rows_and_statements_are_cut(erp: Connection, context: Context) -> None:
    result = sql_script(context, erp, "SELECT a.id FROM t a, t b, t c, t d;" * 25)
    assert (result["statements"], len(result["results"])) == (25, 20)
    assert (len(result["results"][0]["rows"]), result["results"][0]["more"]) == (10, True)


@pytest.mark.parametrize(
    ("transaction", "stands", "told"),
    [
        pytest.param(True, [(1, "a"), (2, "b")], "nothing of the script stands", id="all-or-nothing"),
        pytest.param(False, [(1, "z"), (2, "z")], "the 1 before it stand", id="each-for-itself"),
    ],
)
def test_what_stands_after_a_failure(
    erp: Connection, context: Context, transaction: bool, stands: list[Any], told: str
) -> None:
    with pytest.raises(TaskFailed) as failed:
        sql_script(context, erp, "UPDATE t SET v = 'z'; INSERT INTO t VALUES (1, 'x')", transaction=transaction)
    assert str(failed.value).startswith("statement 2 of 2 (INSERT INTO t VALUES (1, 'x')): ")
    assert str(failed.value).endswith(told)
    assert rows(erp) == stands


def test_ddl_in_a_transaction_of_sqlite_is_taken_back(tmp_path: Path, context: Context) -> None:
    (tmp_path / "lite").touch()
    lite = Connection("lite", {"url": f"sqlite:///{tmp_path / 'lite'}"})
    with pytest.raises(TaskFailed):
        sql_script(context, lite, "CREATE TABLE t (id INT); SELECT nonsense")
    assert sql_script(context, lite, "SELECT count(*) FROM sqlite_master")["results"][0]["rows"] == [[0]]


@pytest.mark.parametrize("word", ["BEGIN", "START TRANSACTION", "COMMIT", "rollback"])
def test_no_statement_ends_the_transaction(erp: Connection, context: Context, word: str) -> None:
    with pytest.raises(ParameterError, match=f"script: {word} would end the transaction"):
        sql_script(context, erp, f"DELETE FROM t; {word};")
    assert len(rows(erp)) == 2


@pytest.mark.parametrize(
    ("script", "rows"),
    [
        pytest.param(f"SELECT {'(' * 90}1{')' * 90}", [[1]], id="deep-in-brackets"),
        pytest.param(f"SELECT count(*) FROM (VALUES {', '.join(['(1)'] * 4_000)}) AS x", [[4_000]], id="4000-rows"),
    ],
)
def test_a_long_statement_is_one(tmp_path: Path, context: Context, script: str, rows: list[list[int]]) -> None:
    """More than what a reader of SQL would group."""
    (tmp_path / "erp.db").touch()
    found = sql_script(context, Connection("erp", {"url": f"sqlite:///{tmp_path}/erp.db"}), script)
    assert found["results"][0]["rows"] == rows


def test_a_file(erp: Connection, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MERP_SCRIPTS", str(tmp_path))
    (tmp_path / "close.sql").write_text("UPDATE t SET v = '结';", encoding="utf-8")
    assert sql_script(context, erp, file="close.sql")["results"] == [{"changed": 2}]


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        pytest.param({}, "script: give either script or file", id="neither"),
        pytest.param({"script": "SELECT 1", "file": "a"}, "script: give either script or file", id="both"),
        pytest.param({"file": "../etc/passwd"}, "file: '../etc/passwd' is no plain file name", id="elsewhere"),
        pytest.param({"file": "absent.sql"}, "file: /scripts/absent.sql: ", id="absent"),
    ],
)
def test_refused(context: Context, parameters: dict[str, Any], told: str) -> None:
    with pytest.raises(ParameterError) as refused:
        sql_script(context, Connection("erp", {"url": "sqlite://"}), **parameters)
    assert str(refused.value).startswith(told)
