"""Production planning: from open orders, stock and bills of material to what has to be started when."""

from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final

from merp_runner import Connection, Context, ParameterError, TaskFailed, task
from merp_tasks.outputs import output_path, write_csv
from merp_tasks.planning import Component, CycleError, Item, Movement, PlannedOrder, plan

if TYPE_CHECKING:
    import sqlalchemy

# Two years: beyond that, lead times and bills of material are guesses.
_MAX_HORIZON: Final = 730
# A termination message holds about this many.
_MAX_ORDERS: Final = 15
_HEADER: Final = ("number", "sku", "level", "kind", "quantity", "start_date", "due_date", "late_days")


@task(
    title={"en": "Production plan", "zh": "生产计划"},
    description={"zh": "计划生产与采购：按层级展开净需求，并从交期倒推提前期。"},
)
def production_plan(
    context: Context,
    horizon_days: Annotated[int, "Orders due within so many days from the business date are planned for"] = 30,
    *,
    save: Annotated[bool, "Write the plan to planned_order, in the place of the same day's"] = False,
    csv: Annotated[str, "File for all planned orders; {date} stands for the business date"] = "",
    connection: Annotated[Connection | None, "Database; without one that of ERP_DATABASE_URL"] = None,
) -> dict[str, Any]:
    """Plan what to make and buy: net requirements, exploded by level, lead times counted back from the due dates.

    Reads planning_item, planning_component, planning_demand, planning_supply and inventory_book.
    """
    if not 0 < horizon_days <= _MAX_HORIZON:
        raise ParameterError(f"horizon_days: {horizon_days} is not between 1 and {_MAX_HORIZON}")
    path = output_path(csv, "csv", context) if csv else None
    # Here: it takes a quarter of a second, which every other task of the image would wait for too.
    from merp_tasks.databases import erp_database

    today = context.business_date
    until = today + timedelta(days=horizon_days)
    with erp_database(connection) as engine:
        with engine.connect() as database:
            read = _read(database)
        context.progress(1, 3, "read")
        try:
            orders = plan(*read, today, until)
        except CycleError as cycle:
            raise TaskFailed(f"planning_component: {cycle}") from cycle
        context.progress(2, 3, "planned")
        if save:
            with engine.begin() as database:
                _save(database, orders, today, context.run_name)
    if path is not None:
        write_csv(path, _HEADER, ([number, *_cells(order)] for number, order in enumerate(orders, start=1)))
    result = summary(orders, known=set(read[0]), today=today, until=until)
    if path is not None:
        result["csv"] = path.name
    return result


def summary(orders: list[PlannedOrder], *, known: set[str], today: date, until: date) -> dict[str, Any]:
    """The result: counts, and the orders that have to be started first."""
    first = sorted(orders, key=lambda order: (order.start, order.level, order.sku))[:_MAX_ORDERS]
    return {
        "from": today,
        "until": until,
        "orders": len(orders),
        "to_make": sum(order.made for order in orders),
        "to_buy": sum(not order.made for order in orders),
        "late": sum(order.late_days > 0 for order in orders),
        "levels": 1 + max((order.level for order in orders), default=-1),
        # They are planned as bought without a lead time, which is seldom true.
        "without_item": sorted({order.sku for order in orders} - known)[:_MAX_ORDERS],
        "first": [
            {
                "sku": order.sku,
                "kind": _kind(order),
                "quantity": f"{order.quantity.normalize():f}",
                "start": order.start,
                "due": order.due,
                "late_days": order.late_days,
            }
            for order in first
        ],
        "left_out": len(orders) - len(first),
    }


def _kind(order: PlannedOrder) -> str:
    return "make" if order.made else "buy"


def _cells(order: PlannedOrder) -> list[Any]:
    return [order.sku, order.level, _kind(order), order.quantity, order.start, order.due, order.late_days]


def _read(
    connection: "sqlalchemy.Connection",
) -> tuple[dict[str, Item], list[Component], dict[str, Decimal], list[Movement], list[Movement]]:
    from sqlalchemy import select  # here: as above

    from merp_tasks.tables import BOOK, COMPONENT, DEMAND, ITEM, SUPPLY

    items = {
        row.sku: Item(row.sku, row.made, row.lead_time_days, Decimal(row.safety_stock), Decimal(row.lot_size))
        for row in connection.execute(select(ITEM))
    }
    components = [
        Component(row.parent, row.sku, Decimal(row.quantity), Decimal(row.scrap_percent))
        for row in connection.execute(select(COMPONENT))
    ]
    stock: dict[str, Decimal] = {}
    for row in connection.execute(select(BOOK.c.sku, BOOK.c.quantity)):
        stock[row.sku] = stock.get(row.sku, Decimal(0)) + Decimal(row.quantity)
    demand, supply = (
        [Movement(row.sku, row.due_date, Decimal(row.quantity)) for row in connection.execute(select(table))]
        for table in (DEMAND, SUPPLY)
    )
    return items, components, stock, demand, supply


def _save(connection: "sqlalchemy.Connection", orders: list[PlannedOrder], today: date, run: str) -> None:
    from merp_tasks.tables import PLANNED_ORDER  # here: as above

    connection.execute(PLANNED_ORDER.delete().where(PLANNED_ORDER.c.plan_date == today))
    rows = [
        {
            "plan_date": today,
            "number": number,
            "sku": order.sku,
            "level": order.level,
            "made": order.made,
            "quantity": order.quantity,
            "start_date": order.start,
            "due_date": order.due,
            "late_days": order.late_days,
            "run": run,
        }
        for number, order in enumerate(orders, start=1)
    ]
    if rows:
        connection.execute(PLANNED_ORDER.insert(), rows)
