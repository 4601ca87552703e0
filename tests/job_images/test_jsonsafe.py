"""Any value as strict JSON."""

import json
import math
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merp_runner import jsonsafe
from merp_runner.jsonsafe import ELLIPSIS, MAX_DEPTH, clean_text, json_safe


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Text(str):
    def __str__(self) -> str:
        return "not what it holds"


class Mute:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class Model:
    """Like pydantic's."""

    def model_dump(self) -> dict[str, Any]:
        return {"day": date(2026, 12, 1)}


@dataclass
class Line:
    sku: str
    quantity: Decimal


Point = namedtuple("Point", "x y")

CYCLE: list[Any] = [1]
CYCLE.append(CYCLE)
SHARED = [1]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(None, None, id="null"),
        pytest.param(True, True, id="true"),
        pytest.param(7, 7, id="int"),
        pytest.param(2**63, "9223372036854775808", id="int-beyond-64-bits"),
        pytest.param(1.5, 1.5, id="float"),
        pytest.param(math.nan, "NaN", id="C32-nan"),
        pytest.param(-math.inf, "-Infinity", id="C32-infinity"),
        pytest.param(Decimal("12.30"), "12.30", id="C32-decimal-keeps-its-zeros"),
        pytest.param(date(2026, 12, 1), "2026-12-01", id="C32-date"),
        pytest.param(datetime(2026, 12, 1, tzinfo=UTC), "2026-12-01T00:00:00+00:00", id="datetime"),
        pytest.param(time(8, 30), "08:30:00", id="time"),
        pytest.param({3, 1}, [1, 3], id="C32-set-sorted"),
        pytest.param({"a", 1}, [1, "a"], id="set-of-several-types"),
        pytest.param(b"\xff", "\\xff", id="C32-bytes"),
        pytest.param("库存".encode(), "库存", id="bytes-of-text"),
        pytest.param((1, [2]), [1, [2]], id="tuple"),
        pytest.param(
            {7: "k", None: 0, True: 1, (1, 2): 2}, {"7": "k", "null": 0, "true": 1, "(1, 2)": 2}, id="C32-keys"
        ),
        pytest.param({7: "a", "7": "b"}, {"7": "a", "7 (2)": "b"}, id="keys-that-become-equal"),
        pytest.param(
            {(Mute(),): 1, "b": 2}, {"<tuple without a text: RuntimeError>": 1, "b": 2}, id="key-without-text"
        ),
        pytest.param(OrderedDict(b=1, a=2), {"b": 1, "a": 2}, id="mapping-keeps-its-order"),
        pytest.param(Colour.RED, "red", id="enum"),
        pytest.param(Level.HIGH, 3, id="int-enum"),
        pytest.param(Text("held"), "held", id="str-subclass"),
        pytest.param(Line("货", Decimal("1.0")), {"sku": "货", "quantity": "1.0"}, id="dataclass"),
        pytest.param(Point(1, 2), {"x": 1, "y": 2}, id="named-tuple"),
        pytest.param(Model(), {"day": "2026-12-01"}, id="model"),
        pytest.param(ValueError("bad"), "ValueError: bad", id="exception"),
        pytest.param(PurePosixPath("/a"), "/a", id="other-object"),
        pytest.param([Mute()], ["<Mute without a text: RuntimeError>"], id="object-without-text"),
        pytest.param(CYCLE, [1, "<cycle>"], id="cycle"),
        pytest.param([SHARED, SHARED], [[1], [1]], id="shared-is-no-cycle"),
        pytest.param("a\0b\ud800", "a\ufffdb\ufffd", id="C67-nul-and-lone-surrogate"),
    ],
)
def test_json_safe(value: Any, expected: Any) -> None:
    assert json_safe(value) == expected


def test_depth_is_bounded() -> None:
    deep: Any = "bottom"
    for _ in range(MAX_DEPTH + 1000):
        deep = [deep]
    assert json.dumps(json_safe(deep)).count("[") == MAX_DEPTH + 1


def test_items_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonsafe, "MAX_ITEMS", 1000)
    wide: Any = "leaf"
    for _ in range(12):
        wide = {"row": [wide] * 10}
    # 10**12 leaves in 120 references.
    text = json.dumps(json_safe(wide), ensure_ascii=False)
    assert ELLIPSIS in text
    assert text.count("leaf") < 1000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("库存\U00020bb7", "库存\U00020bb7", id="stays"),
        pytest.param("\ud842\udfb7", "\U00020bb7", id="pair-joined"),
        pytest.param("\udfb7\ud842", "\ufffd\ufffd", id="pair-reversed"),
    ],
)
def test_clean_text(text: str, expected: str) -> None:
    assert clean_text(text) == expected


ANY_TEXT = st.text(st.characters(exclude_categories=()))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | ANY_TEXT
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.dates()
)
HASHABLE = SCALARS | st.tuples(SCALARS, SCALARS) | st.frozensets(st.integers())
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.tuples(inner) | st.sets(HASHABLE) | st.dictionaries(HASHABLE, inner),
    max_leaves=20,
)


@given(VALUES)
def test_anything_becomes_strict_json(value: Any) -> None:
    safe = json_safe(value)
    text = json.dumps(safe, ensure_ascii=False, allow_nan=False)
    text.encode("utf-8")
    assert "\0" not in text
    assert json.loads(text) == safe
    assert json_safe(safe) == safe
