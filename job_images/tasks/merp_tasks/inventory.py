"""Stock-taking: what the books say against what was counted."""

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final

from merp_runner import Connection, Context, ParameterError, task
from merp_tasks.outputs import output_path, write_csv

if TYPE_CHECKING:
    import sqlalchemy

# With `detailed` the result lists the differences; a termination message holds about this many.
_MAX_LINES: Final = 20
_HEADER: Final = ("warehouse", "sku", "booked", "counted", "difference", "unit_value", "value", "over_tolerance")


@dataclass(frozen=True)
class Line:
    """One article of one warehouse. `counted` is None where nobody counted it; `booked` is 0 where no book has it."""

    warehouse: str
    sku: str
    booked: Decimal
    counted: Decimal | None
    unit_value: Decimal

    @property
    def difference(self) -> Decimal:
        """Counted less booked."""
        return Decimal(0) if self.counted is None else self.counted - self.booked

    @property
    def value(self) -> Decimal:
        """The difference's value, rounded to hundredths."""
        return (self.difference * self.unit_value).quantize(Decimal("0.01"))

    def exceeds(self, tolerance_percent: Decimal) -> bool:
        """Whether it is off by more than the tolerance, in percent of what is booked."""
        return abs(self.difference) * 100 > abs(self.booked) * tolerance_percent


@task(
    title={"en": "Stock-taking", "zh": "库存盘点"},
    description={"zh": "比对账面库存与实盘库存，可针对一个仓库或全部仓库。"},
)
def inventory_check(
    context: Context,
    warehouse: Annotated[str, "One warehouse, or all"] = "all",
    detailed: Annotated[bool, "List the largest differences, by value"] = False,
    tolerance_percent: Annotated[float, "A difference counts if it is larger than this, of what is booked"] = 0,
    *,
    csv: Annotated[str, "File for all lines; {date} stands for the business date"] = "",
    connection: Annotated[Connection | None, "Database; without one that of ERP_DATABASE_URL"] = None,
) -> dict[str, Any]:
    """Compare book stock with counted stock, for one warehouse or for all.

    Reads inventory_book and inventory_count. With `detailed` the result lists the largest differences, by value.
    """
    if tolerance_percent < 0:
        raise ParameterError(f"tolerance_percent: {tolerance_percent} is below 0")
    path = output_path(csv, "csv", context) if csv else None
    # Here: it takes a quarter of a second, which every other task of the image would wait for too.
    from merp_tasks.databases import erp_database

    with erp_database(connection) as engine, engine.connect() as database:
        lines = _read(database, warehouse)
    context.progress(len(lines), len(lines), "compared")
    tolerance = Decimal(str(tolerance_percent))
    result = summary(lines, warehouse, tolerance, detailed=detailed)
    if path is not None:
        write_csv(path, _HEADER, (_cells(line, tolerance) for line in lines))
        result["csv"] = path.name
    return result


def summary(lines: list[Line], warehouse: str, tolerance_percent: Decimal, *, detailed: bool) -> dict[str, Any]:
    """The result: counts, and values as text with two decimals."""
    counted = [line for line in lines if line.counted is not None]
    off = sorted(
        (line for line in counted if line.exceeds(tolerance_percent)),
        key=lambda line: (-abs(line.value), line.warehouse, line.sku),
    )
    surplus = sum((line.value for line in off if line.value > 0), Decimal("0.00"))
    shortage = sum((line.value for line in off if line.value < 0), Decimal("0.00"))
    result: dict[str, Any] = {
        "warehouse": warehouse,
        "articles": len(lines),
        "counted": len(counted),
        "not_counted": len(lines) - len(counted),
        "differences": len(off),
        "surplus_value": str(surplus),
        "shortage_value": str(shortage),
        "net_value": str(surplus + shortage),
    }
    if detailed:
        result["lines"] = [
            {
                "warehouse": line.warehouse,
                "sku": line.sku,
                "booked": f"{line.booked.normalize():f}",
                "counted": f"{(line.counted or Decimal(0)).normalize():f}",
                "value": str(line.value),
            }
            for line in off[:_MAX_LINES]
        ]
        result["lines_left_out"] = max(0, len(off) - _MAX_LINES)
    return result


def _cells(line: Line, tolerance_percent: Decimal) -> list[Any]:
    counted = "" if line.counted is None else line.counted
    over = line.counted is not None and line.exceeds(tolerance_percent)
    key = [line.warehouse, line.sku]
    return [*key, line.booked, counted, line.difference, line.unit_value, line.value, "yes" if over else ""]


def _read(connection: "sqlalchemy.Connection", warehouse: str) -> list[Line]:
    from sqlalchemy import select  # here: as above

    from merp_tasks.tables import BOOK, COUNT

    booked = select(BOOK.c.warehouse, BOOK.c.sku, BOOK.c.quantity, BOOK.c.unit_value)
    counted = select(COUNT.c.warehouse, COUNT.c.sku, COUNT.c.counted_quantity)
    if warehouse != "all":
        booked = booked.where(BOOK.c.warehouse == warehouse)
        counted = counted.where(COUNT.c.warehouse == warehouse)
    books = {(row.warehouse, row.sku): row for row in connection.execute(booked)}
    counts = {(row.warehouse, row.sku): Decimal(row.counted_quantity) for row in connection.execute(counted)}
    if not books and not counts:
        raise ParameterError(f"warehouse: {warehouse!r} has neither books nor counts")
    return [
        Line(
            warehouse=key[0],
            sku=key[1],
            booked=Decimal(books[key].quantity) if key in books else Decimal(0),
            counted=counts.get(key),
            unit_value=Decimal(books[key].unit_value) if key in books else Decimal(0),
        )
        for key in sorted(books.keys() | counts.keys())
    ]
