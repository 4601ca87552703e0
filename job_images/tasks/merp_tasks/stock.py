"""The tables, or views of these names and columns, that the stock tasks read; and example data for them.

An ERP offers them as views over its own tables. Quantities may have fractions; values are per unit, in one currency.
"""

import csv
from datetime import datetime
from decimal import Decimal
from importlib import resources
from typing import Final

from sqlalchemy import Column, DateTime, Engine, MetaData, Numeric, String, Table, inspect

METADATA: Final = MetaData()

BOOK: Final = Table(
    "inventory_book",
    METADATA,
    Column("warehouse", String(64), primary_key=True),
    Column("sku", String(64), primary_key=True),
    Column("quantity", Numeric(18, 4), nullable=False),
    Column("unit_value", Numeric(18, 4), nullable=False),
)
COUNT: Final = Table(
    "inventory_count",
    METADATA,
    Column("warehouse", String(64), primary_key=True),
    Column("sku", String(64), primary_key=True),
    Column("counted_quantity", Numeric(18, 4), nullable=False),
    Column("counted_at", DateTime, nullable=False),
)


def load_example(engine: Engine) -> None:
    """Create both tables and fill them with the example, unless they are there. For demonstrations only."""
    if inspect(engine).has_table(BOOK.name):
        return
    METADATA.create_all(engine)
    with engine.begin() as connection:
        connection.execute(
            BOOK.insert(),
            [
                row | {"quantity": Decimal(row["quantity"]), "unit_value": Decimal(row["unit_value"])}
                for row in _rows("inventory_book.csv")
            ],
        )
        connection.execute(
            COUNT.insert(),
            [
                row
                | {
                    "counted_quantity": Decimal(row["counted_quantity"]),
                    "counted_at": datetime.fromisoformat(row["counted_at"]),
                }
                for row in _rows("inventory_count.csv")
            ],
        )


def _rows(name: str) -> list[dict[str, str]]:
    text = resources.files("merp_tasks").joinpath("example", name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
