"""The tables, or views of these names and columns, that the ERP tasks read, and the one that a plan is saved in.

An ERP offers them as views over its own tables. Quantities may have fractions; values are per unit, in one currency.
"""

from typing import Final

from sqlalchemy import Boolean, Column, Date, DateTime, Integer, MetaData, Numeric, String, Table

METADATA: Final = MetaData()
_QUANTITY: Final = Numeric(18, 4)
_SKU: Final = String(64)
# Whatever the server's default is: names of articles and warehouses may be Chinese.
_CHARSET: Final = "utf8mb4"

BOOK: Final = Table(
    "inventory_book",
    METADATA,
    Column("warehouse", String(64), primary_key=True),
    Column("sku", _SKU, primary_key=True),
    Column("quantity", _QUANTITY, nullable=False),
    Column("unit_value", _QUANTITY, nullable=False),
    mysql_charset=_CHARSET,
    mariadb_charset=_CHARSET,
)
COUNT: Final = Table(
    "inventory_count",
    METADATA,
    Column("warehouse", String(64), primary_key=True),
    Column("sku", _SKU, primary_key=True),
    Column("counted_quantity", _QUANTITY, nullable=False),
    Column("counted_at", DateTime, nullable=False),
    mysql_charset=_CHARSET,
    mariadb_charset=_CHARSET,
)
ITEM: Final = Table(
    "planning_item",
    METADATA,
    Column("sku", _SKU, primary_key=True),
    # Made here from its components; else bought.
    Column("made", Boolean, nullable=False),
    Column("lead_time_days", Integer, nullable=False),
    Column("safety_stock", _QUANTITY, nullable=False),
    # Orders are multiples of it; 0: as much as is needed.
    Column("lot_size", _QUANTITY, nullable=False),
    mysql_charset=_CHARSET,
    mariadb_charset=_CHARSET,
)
COMPONENT: Final = Table(
    "planning_component",
    METADATA,
    Column("parent", _SKU, primary_key=True),
    Column("sku", _SKU, primary_key=True),
    # In one of the parent.
    Column("quantity", _QUANTITY, nullable=False),
    # Needed on top, in percent of the quantity.
    Column("scrap_percent", Numeric(9, 4), nullable=False),
    mysql_charset=_CHARSET,
    mariadb_charset=_CHARSET,
)
DEMAND: Final = Table(
    "planning_demand",
    METADATA,
    Column("order_line", String(64), primary_key=True),
    Column("sku", _SKU, nullable=False),
    # Still to be delivered.
    Column("quantity", _QUANTITY, nullable=False),
    Column("due_date", Date, nullable=False),
    mysql_charset=_CHARSET,
    mariadb_charset=_CHARSET,
)
SUPPLY: Final = Table(
    "planning_supply",
    METADATA,
    Column("order_line", String(64), primary_key=True),
    Column("sku", _SKU, nullable=False),
    # Ordered, or in production, and still to come.
    Column("quantity", _QUANTITY, nullable=False),
    Column("due_date", Date, nullable=False),
    mysql_charset=_CHARSET,
    mariadb_charset=_CHARSET,
)
PLANNED_ORDER: Final = Table(
    "planned_order",
    METADATA,
    Column("plan_date", Date, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("sku", _SKU, nullable=False),
    Column("level", Integer, nullable=False),
    Column("made", Boolean, nullable=False),
    Column("quantity", _QUANTITY, nullable=False),
    Column("start_date", Date, nullable=False),
    Column("due_date", Date, nullable=False),
    Column("late_days", Integer, nullable=False),
    Column("run", String(255), nullable=False),
    mysql_charset=_CHARSET,
    mariadb_charset=_CHARSET,
)
