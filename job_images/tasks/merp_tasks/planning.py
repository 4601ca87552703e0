"""What has to be made and bought, and when: net requirements, exploded level by level. Pure: numbers in, orders out."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_UP, Decimal
from typing import Final

# As many digits as the tables hold.
_STEP: Final = Decimal("0.0001")


@dataclass(frozen=True)
class Item:
    """How an article is replenished. `lead_time_days` are calendar days; orders are multiples of `lot_size`, 0: any."""

    sku: str
    made: bool = False
    lead_time_days: int = 0
    safety_stock: Decimal = Decimal(0)
    lot_size: Decimal = Decimal(0)

    def lot(self, needed: Decimal) -> Decimal:
        """The quantity to order."""
        if self.lot_size > 0:
            return (needed / self.lot_size).to_integral_value(ROUND_UP) * self.lot_size
        return needed.quantize(_STEP, ROUND_UP)


@dataclass(frozen=True)
class Component:
    """`quantity` of `sku` goes into one `parent`, and `scrap_percent` of it is needed on top."""

    parent: str
    sku: str
    quantity: Decimal
    scrap_percent: Decimal = Decimal(0)


@dataclass(frozen=True)
class Movement:
    """A quantity that is needed, or comes in, on a day."""

    sku: str
    day: date
    quantity: Decimal


@dataclass(frozen=True)
class PlannedOrder:
    """`start` may be before today: then it is `late_days` late. `level` is 0 for what goes into nothing else."""

    sku: str
    level: int
    made: bool
    quantity: Decimal
    start: date
    due: date
    late_days: int


class CycleError(Exception):
    """An article goes into itself; the text shows the way round."""


def plan(
    items: Mapping[str, Item],
    components: Sequence[Component],
    stock: Mapping[str, Decimal],
    demand: Iterable[Movement],
    supply: Iterable[Movement],
    today: date,
    until: date,
) -> list[PlannedOrder]:
    """The orders that keep every article at its safety stock, for all demand due until `until`, by level and day.

    What is overdue counts as due today. An article without an Item is bought without a lead time. Raises CycleError.
    """
    parts: dict[str, list[Component]] = defaultdict(list)
    for component in components:
        parts[component.parent].append(component)
    needed = _by_day((each for each in demand if each.day <= until), today)
    coming = _by_day(supply, today)
    orders: list[PlannedOrder] = []
    for sku, level in sorted(levels(components, {*items, *needed}).items(), key=lambda each: (each[1], each[0])):
        item = items.get(sku, Item(sku))
        made = _replenish(item, level, stock.get(sku, Decimal(0)), needed.get(sku, {}), coming.get(sku, {}), today)
        orders += made
        for order in made:
            # Only what is made here uses up components here.
            for component in parts[sku] if item.made else ():
                quantity = order.quantity * component.quantity * (100 + component.scrap_percent) / 100
                needed[component.sku][max(order.start, today)] += quantity
    return orders


def levels(components: Iterable[Component], skus: Iterable[str] = ()) -> dict[str, int]:
    """The length of the longest way from an article that goes into nothing, for `skus` and all that components name.

    An article is planned after everything that it goes into. Raises CycleError.
    """
    users: dict[str, list[str]] = {sku: [] for sku in skus}
    for component in components:
        users.setdefault(component.parent, [])
        users.setdefault(component.sku, []).append(component.parent)
    known: dict[str, int] = {}
    for first in sorted(users):
        # By hand and not by recursion: bills of material may be deeper than Python's stack.
        way = [first]
        while way:
            sku = way[-1]
            if sku in known:
                way.pop()
                continue
            open_users = [user for user in users[sku] if user not in known]
            if not open_users:
                known[sku] = 1 + max((known[user] for user in users[sku]), default=-1)
                way.pop()
            elif open_users[0] in way:
                circle = [*way[way.index(open_users[0]) :], open_users[0]]
                raise CycleError(f"an article goes into itself: {' -> '.join(circle)}")
            else:
                way.append(open_users[0])
    return known


def _replenish(
    item: Item, level: int, stock: Decimal, needed: Mapping[date, Decimal], coming: Mapping[date, Decimal], today: date
) -> list[PlannedOrder]:
    orders = []
    available = stock - item.safety_stock
    # Today also where nothing is needed: the safety stock itself may be short.
    for day in sorted({today, *needed, *coming}):
        available += coming.get(day, Decimal(0)) - needed.get(day, Decimal(0))
        if available >= 0:
            continue
        quantity = item.lot(-available)
        start = day - timedelta(days=item.lead_time_days)
        late_days = max(0, (today - start).days)
        orders.append(PlannedOrder(item.sku, level, item.made, quantity, start, day, late_days))
        available += quantity
    return orders


def _by_day(movements: Iterable[Movement], today: date) -> dict[str, dict[date, Decimal]]:
    found: dict[str, dict[date, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for movement in movements:
        found[movement.sku][max(movement.day, today)] += movement.quantity
    return found
