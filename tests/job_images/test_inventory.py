"""Stock-taking on the example data; what is expected is computed here, from the files alone."""

import csv
import json
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, inspect, text

import merp_tasks
from merp_runner import Context, ParameterError
from merp_tasks.example import load, load_where_absent
from merp_tasks.inventory import inventory_check
from merp_tasks.tables import METADATA

EXAMPLE = Path(merp_tasks.__file__).parent / "example"


def rows(name: str) -> dict[tuple[str, str], dict[str, str]]:
    with (EXAMPLE / name).open(encoding="utf-8", newline="") as file:
        return {(row["warehouse"], row["sku"]): row for row in csv.DictReader(file)}


def expected_of(warehouse: str, tolerance: str = "0") -> dict[str, Any]:
    """The stock-taking by hand: only what was counted can differ."""
    books = {key: row for key, row in rows("inventory_book.csv").items() if warehouse in ("all", key[0])}
    counts = {key: row for key, row in rows("inventory_count.csv").items() if warehouse in ("all", key[0])}
    values = []
    for key, row in counts.items():
        booked = Decimal(books[key]["quantity"])
        difference = Decimal(row["counted_quantity"]) - booked
        if abs(difference) > booked * Decimal(tolerance) / 100:
            value = difference * Decimal(books[key]["unit_value"])
            values.append(value.quantize(Decimal("0.01"), ROUND_HALF_EVEN))
    surplus = sum((value for value in values if value > 0), Decimal("0.00"))
    shortage = sum((value for value in values if value < 0), Decimal("0.00"))
    return {
        "warehouse": warehouse,
        "articles": len(books),
        "counted": len(counts),
        "not_counted": len(books) - len(counts),
        "differences": len(values),
        "surplus_value": str(surplus),
        "shortage_value": str(shortage),
        "net_value": str(surplus + shortage),
    }


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An SQLite file with the example data, named by ERP_DATABASE_URL."""
    url = f"sqlite:///{tmp_path / 'erp.db'}"
    engine = create_engine(url)
    load(engine)
    engine.dispose()
    monkeypatch.setenv("ERP_DATABASE_URL", url)
    monkeypatch.delenv("ERP_DEMO_DATA", raising=False)
    return url


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    ("warehouse", "tolerance"),
    [
        pytest.param("all", "0", id="all"),
        pytest.param("shanghai", "0", id="one-warehouse"),
        pytest.param("wuhan", "0", id="value-rounded"),
        pytest.param("all", "1", id="tolerance-of-1-percent"),
        pytest.param("all", "1.875", id="tolerance-just-reached"),
        pytest.param("all", "100", id="everything-tolerated"),
    ],
)
def test_totals(context: Context, warehouse: str, tolerance: str) -> None:
    assert inventory_check(context, warehouse, tolerance_percent=float(tolerance)) == expected_of(warehouse, tolerance)


@pytest.mark.usefixtures("database")
def test_the_example_has_something_to_show() -> None:
    expected = expected_of("all")
    assert expected["differences"] > 1
    assert expected["not_counted"] > 0
    assert Decimal(expected["surplus_value"]) > 0 > Decimal(expected["shortage_value"])


@pytest.mark.usefixtures("database")
def test_detailed_lists_the_largest_differences_first(context: Context) -> None:
    result = inventory_check(context, "all", detailed=True)
    values = [abs(Decimal(line["value"])) for line in result["lines"]]
    assert values == sorted(values, reverse=True)
    assert (len(values), result["lines_left_out"]) == (result["differences"], 0)
    booked = rows("inventory_book.csv")
    counted = rows("inventory_count.csv")
    for line in result["lines"]:
        key = (line["warehouse"], line["sku"])
        assert Decimal(line["booked"]) == Decimal(booked[key]["quantity"])
        assert Decimal(line["counted"]) == Decimal(counted[key]["counted_quantity"])


def test_detailed_is_bounded(context: Context, database: str) -> None:
    engine = create_engine(database)
    with engine.begin() as connection:
        for index in range(30):
            key = {"sku": f"NEW-{index}"}
            connection.execute(text("INSERT INTO inventory_book VALUES ('chengdu', :sku, 10, 2)"), key)
            connection.execute(text("INSERT INTO inventory_count VALUES ('chengdu', :sku, 9, '2026-11-24')"), key)
    engine.dispose()
    result = inventory_check(context, "chengdu", detailed=True)
    assert (len(result["lines"]), result["lines_left_out"], result["differences"]) == (20, 10, 30)
    assert result["shortage_value"] == "-60.00"


def test_an_article_that_no_book_has_counts_as_surplus_without_value(context: Context, database: str) -> None:
    engine = create_engine(database)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO inventory_count VALUES ('xian', 'FOUND', 3, '2026-11-24')"))
    engine.dispose()
    result = inventory_check(context, "xian", detailed=True)
    assert (result["articles"], result["differences"], result["net_value"]) == (1, 1, "0.00")
    assert result["lines"] == [{"warehouse": "xian", "sku": "FOUND", "booked": "0", "counted": "3", "value": "0.00"}]


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    ("kwargs", "told"),
    [
        pytest.param({"warehouse": "atlantis"}, "warehouse: 'atlantis' has neither books nor counts", id="unknown"),
        pytest.param({"warehouse": "' OR 1=1 --"}, "warehouse: ", id="text-is-no-sql"),
        pytest.param({"tolerance_percent": -1}, "tolerance_percent: -1 is below 0", id="negative-tolerance"),
    ],
)
def test_refused(context: Context, kwargs: dict[str, Any], told: str) -> None:
    with pytest.raises(ParameterError) as refused:
        inventory_check(context, **kwargs)
    assert str(refused.value).startswith(told)


def test_without_a_database_the_remedy_is_named(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ERP_DATABASE_URL", raising=False)
    with pytest.raises(ValueError, match="ERP_DATABASE_URL is not set: give the job's template an env entry"):
        inventory_check(context)


def test_example_data_is_loaded_once_and_only_on_demand(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERP_DATABASE_URL", "sqlite://")
    monkeypatch.setenv("ERP_DEMO_DATA", "true")
    assert inventory_check(context) == expected_of("all")


def test_existing_tables_are_left_alone(database: str) -> None:
    engine = create_engine(database)
    METADATA.drop_all(engine, tables=[METADATA.tables["inventory_count"]])
    load_where_absent(engine)
    tables = inspect(engine).get_table_names()
    with pytest.raises(ValueError, match="the database has inventory_book, planned_order, "):
        load(engine)
    engine.dispose()
    assert "inventory_count" not in tables


def test_the_seeds_job_by_the_runner(
    call_main: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ERP_DATABASE_URL", "sqlite://")
    monkeypatch.setenv("ERP_DEMO_DATA", "true")
    task = {"func": "inventory_check", "args": ["all"], "kwargs": {"detailed": True}}
    (tmp_path / "task").write_text(json.dumps(task), encoding="utf-8")
    assert call_main() == 0
    result = json.loads((tmp_path / "termination-log").read_bytes())["result"]
    assert {key: value for key, value in result.items() if not key.startswith("lines")} == expected_of("all")
