"""The production plan on the example data; what is expected was worked out by hand from the files."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, select, text

from merp_runner import Connection, Context, ParameterError, TaskFailed
from merp_tasks.databases import database
from merp_tasks.example import load
from merp_tasks.example.__main__ import main as load_example
from merp_tasks.inventory import inventory_check
from merp_tasks.production import production_plan
from merp_tasks.tables import BOOK, PLANNED_ORDER

NewDatabase = Callable[[str], Connection]
# Pumps: 24 - 4 in reserve - 16 leave 4 of the 30 for the 22nd. Castings and rotors are below their reserve today.
EXPECTED = [
    ("PUMP-200", "make", "26", "2026-12-19", "2026-12-22", 0),
    ("CASING-200", "make", "30", "2026-12-14", "2026-12-19", 0),
    ("MOTOR-3KW", "buy", "10", "2026-12-05", "2026-12-19", 0),
    ("ROTOR-40", "make", "5", "2026-11-27", "2026-12-01", 4),
    ("ROTOR-40", "make", "26", "2026-12-15", "2026-12-19", 0),
    ("CASTING-200", "buy", "50", "2026-11-10", "2026-12-01", 21),
    ("SHAFT-40", "buy", "5", "2026-11-21", "2026-12-01", 10),
    ("SHAFT-40", "buy", "26", "2026-12-05", "2026-12-15", 0),
]


@pytest.fixture
def erp(new_database: NewDatabase) -> Connection:
    """A database with the example data."""
    made = new_database("erp")
    with database(made) as engine:
        load(engine)
    return made


def test_the_example(erp: Connection, context: Context) -> None:
    result = production_plan(context, 30, connection=erp)
    counts = {key: value for key, value in result.items() if key != "first"}
    assert counts == {
        "from": date(2026, 12, 1),
        "until": date(2026, 12, 31),
        "orders": 8,
        "to_make": 4,
        "to_buy": 4,
        "late": 3,
        "levels": 3,
        "without_item": [],
        "left_out": 0,
    }
    rows = [
        (row["sku"], row["kind"], row["quantity"], str(row["start"]), str(row["due"]), row["late_days"])
        for row in result["first"]
    ]
    assert rows == sorted(EXPECTED, key=lambda row: row[3:4] + row[:1])


def test_a_longer_horizon_takes_in_what_has_no_item(erp: Connection, context: Context) -> None:
    result = production_plan(context, 60, connection=erp)
    # 1250.5 m of cable are in stock: nothing is ordered, and nothing told.
    assert (result["orders"] > 8, result["without_item"]) == (True, [])
    with database(erp) as engine, engine.begin() as connection:
        connection.execute(BOOK.delete().where(BOOK.c.sku == "CABLE-4X2.5"))
    assert production_plan(context, 60, connection=erp)["without_item"] == ["CABLE-4X2.5"]


def test_saved_plan_replaces_that_of_the_same_day(erp: Connection, context: Context) -> None:
    production_plan(replace(context, business_date=date(2026, 11, 30)), 30, save=True, connection=erp)
    for run in ("first", "second"):
        production_plan(replace(context, run_name=run), 30, save=True, connection=erp)
    with database(erp) as engine, engine.connect() as connection:
        rows = connection.execute(select(PLANNED_ORDER).where(PLANNED_ORDER.c.plan_date == date(2026, 12, 1))).all()
        days = connection.execute(select(PLANNED_ORDER.c.plan_date).distinct()).scalars().all()
    assert sorted(days) == [date(2026, 11, 30), date(2026, 12, 1)]
    assert {row.run for row in rows} == {"second"}
    saved = [
        (row.sku, "make" if row.made else "buy", f"{row.quantity.normalize():f}", str(row.start_date), str(row.due_date), row.late_days)
        for row in sorted(rows, key=lambda row: row.number)
    ]  # fmt: skip
    assert saved == EXPECTED


def test_csv_has_all_orders(erp: Connection, context: Context, output: Path) -> None:
    result = production_plan(context, 30, csv="plan-{date}.csv", connection=erp)
    assert result["csv"] == "plan-2026-12-01.csv"
    with (output / result["csv"]).open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["sku"], row["kind"], row["start_date"], row["due_date"], int(row["late_days"])) for row in rows] == [
        (sku, kind, start, due, late) for sku, kind, _, start, due, late in EXPECTED
    ]


def test_views_over_the_erps_own_tables_do(new_database: NewDatabase, context: Context) -> None:
    erp = new_database("erp")
    with database(erp) as engine, engine.begin() as connection:
        for statement in (
            "CREATE TABLE artikel (nr VARCHAR(20), art VARCHAR(1), tage INT)",
            "INSERT INTO artikel VALUES ('P', 'E', 3), ('Q', 'F', 5)",
            "CREATE TABLE auftrag (nr VARCHAR(20), artikel VARCHAR(20), menge INT, termin DATE)",
            "INSERT INTO auftrag VALUES ('1', 'P', 2, '2026-12-20')",
            "CREATE VIEW planning_item AS SELECT nr AS sku, art = 'E' AS made, tage AS lead_time_days, 0 AS safety_stock, 0 AS lot_size FROM artikel",
            "CREATE VIEW planning_component AS SELECT 'P' AS parent, 'Q' AS sku, 4 AS quantity, 0 AS scrap_percent",
            "CREATE VIEW planning_demand AS SELECT nr AS order_line, artikel AS sku, menge AS quantity, termin AS due_date FROM auftrag",
            "CREATE VIEW planning_supply AS SELECT nr AS order_line, artikel AS sku, menge AS quantity, termin AS due_date FROM auftrag WHERE 1 = 0",
            "CREATE VIEW inventory_book AS SELECT 'w' AS warehouse, nr AS sku, 1 AS quantity, 0 AS unit_value FROM artikel WHERE art = 'F'",
        ):
            connection.execute(text(statement))
    result = production_plan(context, 30, connection=erp)
    rows = [(row["sku"], row["kind"], row["quantity"], str(row["start"])) for row in result["first"]]
    assert rows == [("Q", "buy", "7", "2026-12-12"), ("P", "make", "2", "2026-12-17")]


def test_a_cycle_fails_with_the_way_round(erp: Connection, context: Context) -> None:
    with database(erp) as engine, engine.begin() as connection:
        connection.execute(text("INSERT INTO planning_component VALUES ('SHAFT-40', 'PUMP-200', 1, 0)"))
    with pytest.raises(TaskFailed, match="planning_component: an article goes into itself: PUMP-200 -> "):
        production_plan(context, connection=erp)


@pytest.mark.parametrize("horizon", [pytest.param(days, id=str(days)) for days in (-1, 0, 731)])
def test_horizon_is_refused(context: Context, horizon: int) -> None:
    with pytest.raises(ParameterError, match=f"horizon_days: {horizon} is not between 1 and 730"):
        production_plan(context, horizon)


def test_an_empty_erp_needs_nothing(new_database: NewDatabase, context: Context) -> None:
    erp = new_database("erp")
    with database(erp) as engine:
        PLANNED_ORDER.metadata.create_all(engine)
    result = production_plan(context, 30, save=True, connection=erp)
    assert (result["orders"], result["levels"], result["first"]) == (0, 0, [])


def test_by_the_runner_on_example_data(
    call_main: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ERP_DATABASE_URL", "sqlite://")
    monkeypatch.setenv("ERP_DEMO_DATA", "true")
    assert call_main("run", "production_plan", "--args", "[30]", "--due-time", "2026-12-01T00:00:00Z") == 0
    raw = (tmp_path / "termination-log").read_bytes()
    result: dict[str, Any] = json.loads(raw)["result"]
    assert (result["orders"], result["until"]) == (8, "2026-12-31")
    assert len(raw) < 4096


def test_stock_taking_by_a_connection_with_a_csv(erp: Connection, context: Context, output: Path) -> None:
    result = inventory_check(context, "wuhan", csv="stock.csv", connection=erp)
    with (output / "stock.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["sku"], float(row["difference"]), row["over_tolerance"]) for row in rows] == [
        ("CABLE-4X2.5", -2.5, "yes"),
        ("MOTOR-3KW", 0, ""),
    ]
    assert (result["csv"], result["differences"]) == ("stock.csv", 1)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        pytest.param("../plan.csv", "csv: '../plan.csv' is no plain file name", id="above"),
        pytest.param("/etc/plan.csv", "csv: '/etc/plan.csv' is no plain file name", id="absolute"),
        pytest.param(".hidden", "csv: '.hidden' is no plain file name", id="hidden"),
        pytest.param(
            "库" * 81, f"csv: '{'库' * 40}'… is longer than 240 bytes", id="C43-longer-than-file-systems-take"
        ),
    ],
)
@pytest.mark.usefixtures("output")
def test_file_names_that_lead_elsewhere(context: Context, name: str, told: str) -> None:
    with pytest.raises(ParameterError) as refused:
        production_plan(context, csv=name)
    assert str(refused.value).startswith(told)


def test_an_output_folder_that_is_not_there(context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MERP_OUTPUT", str(tmp_path / "absent"))
    with pytest.raises(ParameterError, match="absent: is no folder that can be written: mount a volume"):
        production_plan(context, csv="plan.csv")


def test_the_loader_fills_an_empty_database_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MERP_CONNECTION_DEMO", f"sqlite:///{tmp_path / 'demo.db'}")
    assert load_example(["demo"]) == 0
    assert "planning_component      10 rows" in capsys.readouterr().out
    assert load_example(["demo"]) == 1
    assert "the example is for a database without them" in capsys.readouterr().err
    assert load_example(["absent"]) == 1
    assert "this run has demo" in capsys.readouterr().err
    assert load_example([]) == 2


@pytest.mark.parametrize(
    ("url", "told"),
    [
        pytest.param("erp", "connection erp: is no SQLAlchemy URL", id="no-url"),
        pytest.param(
            "postgresql://u:geheim@h/d", "connection erp: postgresql is not known here", id="unknown-database"
        ),
        pytest.param("sqlite:////absent/erp.db", "connection erp: there is no file /absent/erp.db", id="no-file"),
    ],
)
def test_connection_that_leads_nowhere(context: Context, url: str, told: str) -> None:
    with pytest.raises(ParameterError) as refused:
        production_plan(context, connection=Connection("erp", {"url": url}))
    assert str(refused.value).startswith(told)
    assert "geheim" not in str(refused.value)


def test_example_tables_take_any_character(erp: Connection, context: Context) -> None:
    with database(erp) as engine, engine.begin() as connection:
        connection.execute(BOOK.insert(), [{"warehouse": "仓库𠮷", "sku": "✅", "quantity": 1, "unit_value": 1}])
    assert inventory_check(context, "仓库𠮷", connection=erp)["not_counted"] == 1
    with database(erp) as engine:
        assert inspect(engine).has_table("planned_order")
