"""What a parameter takes: an annotation, read once, checks JSON values and describes them as JSON Schema."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable as AbstractIterable
from collections.abc import Mapping as AbstractMapping
from collections.abc import MutableMapping, MutableSequence, Sequence
from collections.abc import Sequence as AbstractSequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Callable, Literal, Union, get_args, get_origin

from merp_runner.connections import Connection, connection
from merp_runner.errors import TaskDefinitionError
from merp_runner.times import parse_day, parse_moment

Schema = dict[str, Any]
_DECIMAL = r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?"


class Mismatch(Exception):
    """A value of the wrong type. `path` leads to it from the parameter: "", "[3]", ".qty"."""

    def __init__(self, expected: str, value: Any, path: str = "") -> None:
        super().__init__(expected)
        self.expected = expected
        self.value = value
        self.path = path

    def below(self, step: str) -> Mismatch:
        """The same, seen from one level further out."""
        return Mismatch(self.expected, self.value, step + self.path)

    def __str__(self) -> str:
        return f"expected {self.expected}, got {shown(self.value)}"


def shown(value: Any) -> str:
    """A JSON value for a message, at most 60 characters."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:59] + "…"


class Kind:
    """One annotation."""

    expected = "anything"

    def read(self, value: Any) -> Any:
        """The value as the function gets it. Raises Mismatch."""
        return value

    def schema(self) -> Schema:
        """JSON Schema 2020-12 of the values that `read` takes (formats included)."""
        return {}


class Scalar(Kind):
    """A JSON scalar, converted by one function."""

    def __init__(self, expected: str, schema: Schema, convert: Callable[[Any], Any]) -> None:
        self.expected = expected
        self._schema = schema
        self._convert = convert

    def read(self, value: Any) -> Any:
        try:
            return self._convert(value)
        # OverflowError: an integer beyond any float; ArithmeticError: decimal's own.
        except (TypeError, ValueError, ArithmeticError) as error:
            raise Mismatch(self.expected, value) from error

    def schema(self) -> Schema:
        return dict(self._schema)


class ConnectionKind(Kind):
    """The name of a connection, as the connection. `read` raises ParameterError where the run has none of that name."""

    expected = "the name of a connection"

    def read(self, value: Any) -> Any:
        if type(value) is not str:
            raise Mismatch(self.expected, value)
        return connection(value)

    def schema(self) -> Schema:
        # Read by whoever checks a job before it runs: the value has to be one of spec.connections.
        return {"type": "string", "format": "connection"}


class ListKind(Kind):
    """A JSON list as list, set or frozenset."""

    def __init__(self, item: Kind, container: Callable[[list[Any]], Any]) -> None:
        self.item = item
        self.container = container
        self.expected = "a list"

    def read(self, value: Any) -> Any:
        if not isinstance(value, list):
            raise Mismatch(self.expected, value)
        items = [_below(f"[{index}]", self.item, item) for index, item in enumerate(value)]
        try:
            return self.container(items)
        except TypeError as error:  # a set of lists
            raise Mismatch("a list of values that a set can hold", value) from error

    def schema(self) -> Schema:
        return {"type": "array", "items": self.item.schema()}


class TupleKind(Kind):
    """A JSON list of fixed length."""

    def __init__(self, items: Sequence[Kind]) -> None:
        self.items = items
        self.expected = f"a list of {len(items)}"

    def read(self, value: Any) -> Any:
        if not isinstance(value, list) or len(value) != len(self.items):
            raise Mismatch(self.expected, value)
        return tuple(_below(f"[{index}]", kind, item) for index, (kind, item) in enumerate(zip(self.items, value)))

    def schema(self) -> Schema:
        count = len(self.items)
        schema: Schema = {"type": "array", "minItems": count, "maxItems": count}
        if count:
            schema["prefixItems"] = [item.schema() for item in self.items]
        return schema


class DictKind(Kind):
    """A JSON object with values of one kind."""

    def __init__(self, item: Kind) -> None:
        self.item = item
        self.expected = "an object"

    def read(self, value: Any) -> Any:
        if not isinstance(value, dict):
            raise Mismatch(self.expected, value)
        return {key: _below(f".{key}", self.item, item) for key, item in value.items()}

    def schema(self) -> Schema:
        return {"type": "object", "additionalProperties": self.item.schema()}


class UnionKind(Kind):
    """The first member that takes the value; a JSON type that a member holds unchanged goes before any conversion."""

    def __init__(self, members: Sequence[Kind]) -> None:
        self.members = members
        self.expected = " or ".join(dict.fromkeys(member.expected for member in members))

    def read(self, value: Any) -> Any:
        read: list[Any] = []
        failed: list[Mismatch] = []
        for member in self.members:
            try:
                read.append(member.read(value))
            except Mismatch as mismatch:
                failed.append(mismatch)
        if not read:
            # Inside a list or an object, the member that came furthest knows best what is wrong.
            deepest = max(failed, key=lambda mismatch: len(mismatch.path))
            raise deepest if deepest.path else Mismatch(self.expected, value)
        # Union[float, int] given 1 is an int; Union[date, str] given a date's text is a date, as declared.
        if not isinstance(value, str):
            read.sort(key=lambda each: type(each) is not type(value))
        return read[0]

    def schema(self) -> Schema:
        return {"anyOf": [member.schema() for member in self.members]}


class ChoiceKind(Kind):
    """Literal and Enum: JSON value -> what the function gets."""

    def __init__(self, choices: Sequence[tuple[Any, Any]]) -> None:
        self.choices = choices
        self.expected = "one of " + ", ".join(shown(given) for given, _ in choices)

    def read(self, value: Any) -> Any:
        for given, meant in self.choices:
            # True is not 1; 1.0 is, and JSON has passed through Go on its way.
            if isinstance(given, bool) is isinstance(value, bool) and given == value:
                return meant
        raise Mismatch(self.expected, value)

    def schema(self) -> Schema:
        return {"enum": [given for given, _ in self.choices]}


def _below(step: str, kind: Kind, value: Any) -> Any:
    try:
        return kind.read(value)
    except Mismatch as mismatch:
        raise mismatch.below(step) from None


def _exactly(wanted: type) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        if type(value) is not wanted:
            raise TypeError
        return value

    return convert


def _integer(value: Any) -> int:
    # 1.0 is an integer to JSON Schema, and JSON has passed through Go on its way.
    if type(value) is int or (type(value) is float and value.is_integer()):
        return int(value)
    raise TypeError


def _number(value: Any) -> float:
    if type(value) in (int, float):
        return float(value)
    raise TypeError


def _decimal(value: Any) -> Decimal:
    if type(value) in (int, float) or (type(value) is str and re.fullmatch(_DECIMAL, value)):
        return Decimal(str(value))
    raise TypeError


def _text(parse: Callable[[str], Any]) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        if type(value) is not str:
            raise TypeError
        return parse(value)

    return convert


_DECIMAL_SCHEMA = {"anyOf": [{"type": "number"}, {"type": "string", "pattern": f"^{_DECIMAL}$"}]}
SCALARS: dict[Any, Kind] = {
    Any: Kind(),
    object: Kind(),
    bool: Scalar("true or false", {"type": "boolean"}, _exactly(bool)),
    int: Scalar("a whole number", {"type": "integer"}, _integer),
    float: Scalar("a number", {"type": "number"}, _number),
    str: Scalar("text", {"type": "string"}, _exactly(str)),
    type(None): Scalar("null", {"type": "null"}, _exactly(type(None))),
    None: Scalar("null", {"type": "null"}, _exactly(type(None))),
    Decimal: Scalar('a decimal ("12.30")', _DECIMAL_SCHEMA, _decimal),
    date: Scalar('a date ("2026-12-01")', {"type": "string", "format": "date"}, _text(parse_day)),
    datetime: Scalar(
        'a time with an offset ("2026-12-01T00:00:00Z")', {"type": "string", "format": "date-time"}, _text(parse_moment)
    ),
}
SCALARS[Connection] = ConnectionKind()
_LISTS = (list, AbstractSequence, MutableSequence, AbstractIterable)
_DICTS = (dict, AbstractMapping, MutableMapping)


def kind_of(annotation: Any) -> Kind:
    """The kind of an annotation. Raises TaskDefinitionError for one that no JSON value can become."""
    try:
        if annotation in SCALARS:
            return SCALARS[annotation]
    except TypeError:  # unhashable: Annotated[…, []]
        pass
    if hasattr(annotation, "__metadata__"):
        return kind_of(annotation.__origin__)
    if hasattr(annotation, "__supertype__"):  # NewType
        return kind_of(annotation.__supertype__)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return _choices([(member.value, member) for member in annotation], annotation)
    origin, arguments = get_origin(annotation) or annotation, get_args(annotation)
    if origin is Literal:
        return _choices([(value, value) for value in arguments], annotation)
    if is_union(annotation):
        return UnionKind([kind_of(member) for member in arguments])
    return _container(annotation, origin, arguments)


def is_union(annotation: Any) -> bool:
    """Whether it is Union[X, Y] or X | Y, which from 3.10 on is a type of its own."""
    origin = get_origin(annotation)
    return origin is Union or getattr(origin, "__name__", "") == "UnionType"


def _container(annotation: Any, origin: Any, arguments: tuple[Any, ...]) -> Kind:
    if origin in _LISTS:
        return ListKind(kind_of(arguments[0] if arguments else Any), list)
    if origin in (set, frozenset):
        return ListKind(kind_of(arguments[0] if arguments else Any), origin)
    if origin is tuple and (not arguments or arguments[-1] is Ellipsis):
        return ListKind(kind_of(arguments[0] if arguments else Any), tuple)
    if origin is tuple:
        return TupleKind([kind_of(item) for item in arguments if item != ()])
    if origin in _DICTS:
        key, item = arguments or (Any, Any)
        if key in (str, Any):
            return DictKind(kind_of(item))
        raise TaskDefinitionError(f"{annotation}: the keys of a JSON object are text; annotate them with str")
    raise TaskDefinitionError(
        f"{annotation} cannot come from JSON; use bool, int, float, str, Decimal, date, datetime, list, tuple, set, "
        "dict, Connection, Optional, Union, Literal, Enum or Any"
    )


def _choices(choices: Sequence[tuple[Any, Any]], annotation: Any) -> Kind:
    if not all(type(given) in (str, int, float, bool, type(None)) for given, _ in choices):
        raise TaskDefinitionError(f"{annotation}: JSON has no such choice; use text, numbers, true, false or null")
    return ChoiceKind(choices)
