"""Any Python value as strict JSON: what JSON cannot hold becomes text. Never raises, never runs away."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any

MAX_DEPTH = 50
# Lists that hold the same list ten times, ten levels deep, are small in memory and endless as text.
MAX_ITEMS = 1_000_000
ELLIPSIS = "…"
_INT_RANGE = 2**63


def json_safe(value: Any) -> Any:
    """A copy of `value` made only of None, bool, int within 64 bits, finite float, text, lists, dicts with text keys.

    Decimals, dates, other objects become text; sets sorted lists; NaN and infinities "NaN", "Infinity", "-Infinity";
    bytes text (UTF-8, other bytes as \\xff); NUL and lone surrogates U+FFFD. A cycle becomes "<cycle>"; beyond 50
    levels or 1,000,000 items stands "…".
    """
    return _Conversion().convert(value, 0)


def clean_text(text: str) -> str:
    """`text` as UTF-8, JSON and databases can hold it: surrogate pairs joined, lone surrogates and NUL replaced."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text.replace("\0", "\ufffd")


class _Conversion:
    def __init__(self) -> None:
        self._left = MAX_ITEMS
        self._open: set[int] = set()

    def convert(self, value: Any, depth: int) -> Any:
        self._left -= 1
        if self._left < 0 or depth > MAX_DEPTH:
            return ELLIPSIS
        if id(value) in self._open:
            return "<cycle>"
        self._open.add(id(value))
        try:
            return self._convert(value, depth)
        except Exception as error:  # noqa: BLE001 - foreign __str__ and __iter__ may raise anything
            return f"<{type(value).__name__} without a text: {type(error).__name__}>"
        finally:
            self._open.discard(id(value))

    def _convert(self, value: Any, depth: int) -> Any:
        if value is None or value is True or value is False:
            return value
        if isinstance(value, Enum):
            return self.convert(value.value, depth + 1)
        if isinstance(value, str):
            return clean_text(str.__str__(value))
        if isinstance(value, int):
            return _integer(int(value))
        if isinstance(value, float):
            return _float(float(value))
        if isinstance(value, (list, tuple)) and not hasattr(value, "_asdict"):
            return self._list(value, depth)
        if isinstance(value, Mapping):
            return self._dict(value.items(), depth)
        if isinstance(value, (set, frozenset)):
            return self._list(_sorted(value), depth)
        return self._other(value, depth)

    def _other(self, value: Any, depth: int) -> Any:
        if isinstance(value, (bytes, bytearray, memoryview)):
            return clean_text(bytes(value).decode("utf-8", "backslashreplace"))
        if isinstance(value, (datetime, date, time)):
            return value.isoformat()
        if isinstance(value, Decimal):
            return str(value)
        if isinstance(value, BaseException):
            return clean_text(f"{type(value).__name__}: {value}")
        if is_dataclass(value) and not isinstance(value, type):
            return self._dict(((each.name, getattr(value, each.name)) for each in fields(value)), depth)
        # Named tuples; pydantic's models; NumPy's scalars and arrays: known by their method, nothing is imported here.
        for method in ("_asdict", "model_dump", "tolist"):
            if callable(getattr(type(value), method, None)):
                return self.convert(getattr(value, method)(), depth + 1)
        return clean_text(str(value))

    def _list(self, items: Iterable[Any], depth: int) -> list[Any]:
        converted: list[Any] = []
        for item in items:
            if self._left <= 0:
                converted.append(ELLIPSIS)
                break
            converted.append(self.convert(item, depth + 1))
        return converted

    def _dict(self, items: Iterable[Any], depth: int) -> dict[str, Any]:
        converted: dict[str, Any] = {}
        for key, item in items:
            if self._left <= 0:
                converted[ELLIPSIS] = ELLIPSIS
                break
            text = unique = self._key(key)
            number = 2
            while unique in converted:  # 7 and "7" are two keys in Python and one in JSON
                unique = f"{text} ({number})"
                number += 1
            converted[unique] = self.convert(item, depth + 1)
        return converted

    def _key(self, key: Any) -> str:
        if key is None:
            return "null"
        if isinstance(key, bool):
            return "true" if key else "false"
        if isinstance(key, (tuple, frozenset)):
            try:
                return clean_text(str(key))
            except Exception as error:  # noqa: BLE001 - as in convert: one odd key must not cost the whole object
                return f"<{type(key).__name__} without a text: {type(error).__name__}>"
        return str(self.convert(key, MAX_DEPTH - 1))


def _integer(value: int) -> Any:
    if -_INT_RANGE <= value < _INT_RANGE:
        return value
    try:
        return str(value)
    except ValueError:  # more digits than sys.get_int_max_str_digits() allows
        return hex(value)


def _float(value: float) -> Any:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _sorted(values: Iterable[Any]) -> list[Any]:
    items = list(values)
    try:
        return sorted(items)
    except Exception:  # noqa: BLE001 - several types, or a comparison of their own
        return sorted(items, key=lambda item: (type(item).__name__, str(item)))
