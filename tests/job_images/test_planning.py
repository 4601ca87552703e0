"""Net requirements: tables of small cases by hand, and what holds for any plan."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merp_tasks.planning import Component, CycleError, Item, Movement, PlannedOrder, levels, plan

TODAY = date(2026, 12, 1)


def day(offset: int) -> date:
    return TODAY + timedelta(days=offset)


def item(sku: str, lead: int = 0, *, made: bool = False, safety: int = 0, lot: int = 0) -> Item:
    return Item(sku, made, lead, Decimal(safety), Decimal(lot))


def need(sku: str, quantity: float, offset: int) -> Movement:
    return Movement(sku, day(offset), Decimal(str(quantity)))


def part(parent: str, sku: str, quantity: float = 1, scrap: float = 0) -> Component:
    return Component(parent, sku, Decimal(str(quantity)), Decimal(str(scrap)))


def planned(
    items: Sequence[Item],
    components: Sequence[Component] = (),
    stock: dict[str, int] | None = None,
    demand: Sequence[Movement] = (),
    supply: Sequence[Movement] = (),
    horizon: int = 30,
) -> list[tuple[Any, ...]]:
    """(sku, quantity, first day, last day, days late), days counted from today."""
    orders = plan(
        {each.sku: each for each in items},
        components,
        {sku: Decimal(quantity) for sku, quantity in (stock or {}).items()},
        demand,
        supply,
        TODAY,
        day(horizon),
    )
    return [
        (order.sku, float(order.quantity), (order.start - TODAY).days, (order.due - TODAY).days, order.late_days)
        for order in orders
    ]


PUMP = [item("pump", 3, made=True), item("rotor", 4, made=True), item("shaft", 10)]
TREE = [part("pump", "rotor", 2), part("rotor", "shaft"), part("pump", "shaft")]


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        pytest.param({"items": [item("a", 5)]}, [], id="nothing-needed-does-nothing"),
        pytest.param({"items": [item("a", 5)], "stock": {"a": 10}, "demand": [need("a", 10, 9)]}, [], id="stock-is-enough-does-nothing"),
        pytest.param({"items": [item("a", 5)], "demand": [need("a", 10, 31)]}, [], id="beyond-the-horizon-does-nothing"),
        pytest.param({"items": [item("a", 5)], "demand": [need("a", 10, 30)]}, [("a", 10, 25, 30, 0)], id="last-day-of-the-horizon"),
        pytest.param({"items": [item("a", 5)], "stock": {"a": 4}, "demand": [need("a", 10, 9)]}, [("a", 6, 4, 9, 0)], id="net-of-stock"),
        pytest.param({"items": [item("a", 5)], "stock": {"a": -4}, "demand": [need("a", 10, 9)]}, [("a", 4, -5, 0, 5), ("a", 10, 4, 9, 0)], id="stock-below-zero-is-needed-today"),
        pytest.param({"items": [item("a", 5)], "demand": [need("a", 10, 9)], "supply": [need("a", 10, 9)]}, [], id="supply-of-the-same-day-is-enough"),
        pytest.param({"items": [item("a", 5)], "demand": [need("a", 10, 9)], "supply": [need("a", 10, 10)]}, [("a", 10, 4, 9, 0)], id="supply-a-day-late-does-not-count"),
        pytest.param({"items": [item("a", 5)], "demand": [need("a", 10, 9)], "supply": [need("a", 10, -3)]}, [], id="overdue-supply-comes-today"),
        pytest.param({"items": [item("a", 5)], "demand": [need("a", 10, -9)]}, [("a", 10, -5, 0, 5)], id="overdue-demand-is-due-today"),
        pytest.param({"items": [item("a", 12)], "demand": [need("a", 10, 9)]}, [("a", 10, -3, 9, 3)], id="too-late-to-start"),
        pytest.param({"items": [item("a", 2, safety=5)], "stock": {"a": 3}}, [("a", 2, -2, 0, 2)], id="safety-stock-is-filled-up"),
        pytest.param({"items": [item("a", 0, lot=50)], "demand": [need("a", 51, 1), need("a", 49, 2), need("a", 1, 3)]}, [("a", 100, 1, 1, 0), ("a", 50, 3, 3, 0)], id="lots"),
        pytest.param({"items": [item("a")], "demand": [need("a", 4, 1), need("a", 6, 1)]}, [("a", 10, 1, 1, 0)], id="one-order-a-day"),
        pytest.param({"items": [], "demand": [need("x", 3, 1)]}, [("x", 3, 1, 1, 0)], id="article-without-an-item"),
        pytest.param(
            {"items": PUMP, "components": TREE, "demand": [need("pump", 5, 20)]},
            [("pump", 5, 17, 20, 0), ("rotor", 10, 13, 17, 0), ("shaft", 10, 3, 13, 0), ("shaft", 5, 7, 17, 0)],
            id="exploded-by-level-and-back-scheduled",
        ),
        pytest.param(
            {"items": PUMP, "components": TREE, "stock": {"pump": 5}, "demand": [need("pump", 5, 20)]}, [], id="stock-of-the-top-needs-no-parts"
        ),
        pytest.param(
            {"items": PUMP, "components": TREE, "stock": {"rotor": 8, "shaft": 7}, "demand": [need("pump", 5, 20)]},
            [("pump", 5, 17, 20, 0), ("rotor", 2, 13, 17, 0)],
            id="stock-on-every-level",
        ),
        pytest.param(
            {"items": [item("pump", 9, made=True), item("rotor", 1)], "components": TREE[:1], "demand": [need("pump", 1, 2)]},
            [("pump", 1, -7, 2, 7), ("rotor", 2, -1, 0, 1)],
            id="parts-of-a-late-order-are-needed-today",
        ),
        pytest.param(
            {"items": [item("pump"), item("rotor")], "components": TREE[:1], "demand": [need("pump", 1, 2)]},
            [("pump", 1, 2, 2, 0)],
            id="what-is-bought-uses-up-no-parts",
        ),
        pytest.param(
            {"items": [item("pump", made=True)], "components": [part("pump", "seal", 3, 5)], "demand": [need("pump", 10, 2)]},
            [("pump", 10, 2, 2, 0), ("seal", 31.5, 2, 2, 0)],
            id="scrap",
        ),
        pytest.param(
            {"items": [item("pump", made=True)], "components": [part("pump", "oil", 0.0001, 1)], "demand": [need("pump", 1, 2)]},
            [("pump", 1, 2, 2, 0), ("oil", 0.0002, 2, 2, 0)],
            id="rounded-up-never-down",
        ),
    ],
)  # fmt: skip
def test_plan(given_: dict[str, Any], expected: list[tuple[Any, ...]]) -> None:
    assert planned(**given_) == expected


def test_levels_are_the_longest_way() -> None:
    assert levels([*TREE, part("box", "pump")], ["loose"]) == {"loose": 0, "box": 0, "pump": 1, "rotor": 2, "shaft": 3}


def test_deep_bill_of_material() -> None:
    chain = [part(str(number), str(number + 1)) for number in range(5000)]
    assert levels(chain)["5000"] == 5000


@pytest.mark.parametrize(
    ("components", "way"),
    [
        pytest.param([part("a", "a")], "a -> a", id="itself"),
        pytest.param([part("a", "b"), part("b", "c"), part("c", "a")], "a -> c -> b -> a", id="three"),
        pytest.param([part("top", "a"), part("a", "b"), part("b", "a"), part("b", "low")], "a -> b -> a", id="in-the-middle"),
    ],
)  # fmt: skip
def test_cycle_is_told(components: list[Component], way: str) -> None:
    with pytest.raises(CycleError) as told:
        plan({}, components, {}, [], [], TODAY, day(30))
    assert str(told.value) == f"an article goes into itself: {way}"


SKUS = ["a", "b", "c", "d", "e"]
QUANTITY = st.integers(0, 40).map(Decimal)
ITEMS = st.fixed_dictionaries(
    {
        sku: st.builds(Item, st.just(sku), st.booleans(), st.integers(0, 12), QUANTITY, st.sampled_from([Decimal(0), Decimal(7), Decimal(25)]))
        for sku in SKUS
    }
)  # fmt: skip
# From an earlier letter to a later one: no cycles.
TREES = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(1, 4)).filter(lambda pair: pair[0] < pair[1]),
    max_size=8,
    unique_by=lambda pair: pair[:2],
).map(lambda pairs: [part(SKUS[parent], SKUS[child], quantity) for parent, child, quantity in pairs])
MOVEMENTS = st.lists(
    st.builds(need, st.sampled_from(SKUS), st.integers(1, 60), st.integers(-5, 25)), max_size=8
)  # fmt: skip


@settings(max_examples=150)
@given(items=ITEMS, components=TREES, stock=st.fixed_dictionaries(dict.fromkeys(SKUS, QUANTITY)), demand=MOVEMENTS, supply=MOVEMENTS)  # fmt: skip
def test_stock_played_forward_is_never_below_safety_and_no_lot_is_too_much(
    items: dict[str, Item],
    components: list[Component],
    stock: dict[str, Decimal],
    demand: list[Movement],
    supply: list[Movement],
) -> None:
    orders = plan(items, components, stock, demand, supply, TODAY, day(20))
    moved = _moves(orders, items, components, demand, supply)
    for sku in SKUS:
        available, by_day = (
            stock[sku] - items[sku].safety_stock,
            {order.due: order for order in orders if order.sku == sku},
        )
        for offset in range(26):
            before = available + moved[sku, day(offset)]
            order = by_day.get(day(offset))
            available = before + (order.quantity if order else 0)
            assert available >= 0
            if order:
                assert before < 0
                assert available < (items[sku].lot_size or Decimal("0.0001"))


def _moves(
    orders: list[PlannedOrder],
    items: dict[str, Item],
    components: list[Component],
    demand: list[Movement],
    supply: list[Movement],
) -> dict[tuple[str, date], Decimal]:
    """What comes in less what is used up, by article and day, without the planned orders' own receipts."""
    moved: dict[tuple[str, date], Decimal] = defaultdict(Decimal)
    for each in supply:
        moved[each.sku, max(each.day, TODAY)] += each.quantity
    for each in demand:
        if each.day <= day(20):
            moved[each.sku, max(each.day, TODAY)] -= each.quantity
    for order in orders:
        for component in components:
            if component.parent == order.sku and items[order.sku].made:
                moved[component.sku, max(order.start, TODAY)] -= order.quantity * component.quantity
    return moved
