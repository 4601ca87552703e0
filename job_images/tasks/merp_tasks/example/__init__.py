"""Example data: a small maker of pumps, in the tables that the ERP tasks read. For demonstrations and tests only."""

import csv
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from importlib import resources
from typing import Any, Final

from sqlalchemy import Boolean, Date, DateTime, Engine, Integer, Numeric, inspect

from merp_tasks.tables import BOOK, METADATA, PLANNED_ORDER

_READERS: Final[dict[type, Callable[[str], Any]]] = {
    Numeric: Decimal,
    Integer: int,
    Boolean: lambda text: text == "true",
    Date: date.fromisoformat,
    DateTime: datetime.fromisoformat,
}


def load(engine: Engine) -> dict[str, int]:
    """Create the tables and fill them: rows by table. Raises ValueError where one of them exists already."""
    taken = sorted(set(METADATA.tables) & {*inspect(engine).get_table_names(), *inspect(engine).get_view_names()})
    if taken:
        raise ValueError(f"the database has {', '.join(taken)} already: the example is for a database without them")
    METADATA.create_all(engine)
    counts = {}
    with engine.begin() as connection:
        for table in METADATA.sorted_tables:
            if table is PLANNED_ORDER:  # what production_plan writes
                continue
            readers = {column.name: _READERS.get(type(column.type), str) for column in table.columns}
            rows = [{name: readers[name](text) for name, text in row.items()} for row in _rows(table.name)]
            connection.execute(table.insert(), rows)
            counts[table.name] = len(rows)
    return counts


def load_where_absent(engine: Engine) -> None:
    """The same, but nothing where the first of the tables exists."""
    if not inspect(engine).has_table(BOOK.name):
        load(engine)


def _rows(table: str) -> list[dict[str, str]]:
    text = resources.files("merp_tasks.example").joinpath(f"{table}.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
