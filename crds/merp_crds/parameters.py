"""Whether parameters fit what a task takes, by the JSON Schemas of its catalogue entry. Pure.

Anybody may have written the entry: nothing in it makes this fail or hang, and what the runner takes is never refused.
So only what the runner writes is looked at; a keyword or a form that it does not write refuses nothing.
"""

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from merp_crds.scheduledjob import MAX_TASK_BYTES

Json = dict[str, Any]
Path = tuple[str | int, ...]

# As deep as bodies of REST may be; readers of JSON give up at a thousand levels, and Kubernetes at ten thousand.
MAX_NESTING: Final = 64
# Nobody annotates deeper, and no task takes longer to check: what is beyond is the runner's to say.
_MAX_DEPTH: Final = 32
_MAX_STEPS: Final = 100_000
_SHOWN: Final = 100
_DECIMAL: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MOMENT: Final = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.\d{1,9})?(Z|z|[+-]\d\d:\d\d)", re.ASCII)
_WORDS: Final = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
    "array": "a list",
    "object": "an object",
}


@dataclass(frozen=True, slots=True)
class WrongParameter:
    """`path` leads to the value from the task, ("kwargs", "plant") or ("args", 0, "qty"); `name` is the parameter's."""

    path: Path
    name: str
    code: str
    detail: str


def unfit_parameters(args: Any, kwargs: Any) -> WrongParameter | None:
    """What is wrong with the size or the depth of parameters, whatever the task; `name` is empty."""
    given = {"args": args or [], "kwargs": kwargs or {}}
    for field, value in given.items():
        if _is_deeper(value, MAX_NESTING):
            return WrongParameter((field,), "", "invalid", f"is nested deeper than {MAX_NESTING}: pass less, or a text")
    sizes = {field: _bytes(value) for field, value in given.items()}
    if sum(sizes.values()) <= MAX_TASK_BYTES:
        return None
    detail = (
        f"args and kwargs have {sum(sizes.values())} bytes as JSON, more than {MAX_TASK_BYTES}: "
        "store the data elsewhere and pass where it is"
    )
    return WrongParameter((max(sizes, key=lambda field: sizes[field]),), "", "too_long", detail)


def shallow(value: Any) -> Any:
    """A value as it is, unless it is nested too deeply: then with `…` in the place of what is too deep."""
    return _cut(value, MAX_NESTING) if _is_deeper(value, MAX_NESTING) else value


def _cut(value: Any, levels: int) -> Any:
    if not isinstance(value, (dict, list)):
        return value
    if levels == 0:
        return "…"
    if isinstance(value, dict):
        return {key: _cut(item, levels - 1) for key, item in value.items()}
    return [_cut(item, levels - 1) for item in value]


def _is_deeper(value: Any, most: int) -> bool:
    """Without recursion: what is asked about may be deeper than any."""
    level = [value]
    for _ in range(most + 1):
        level = [
            item
            for found in level
            if isinstance(found, (dict, list))
            for item in (found.values() if isinstance(found, dict) else found)
        ]
        if not level:
            return False
    return True


def _bytes(value: Any) -> int:
    # What half a character is refused for is another rule's.
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass"))


def wrong_parameters(
    entry: Mapping[str, Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    is_connection: Callable[[str], bool] = lambda name: True,
) -> list[WrongParameter]:
    """Everything that is wrong with the parameters of a call; of an entry without schemas nothing is known.

    `is_connection` says whether the job has a connection of that name.
    """
    takes = _Takes.of(entry)
    if takes is None:
        return []
    check = _Check(is_connection)
    given = set(takes.positional[: len(args)])
    found = [*_by_position(takes, args, check), *_by_name(takes, kwargs, given, check)]
    for name in takes.required:
        if name not in given and (name not in kwargs or name in takes.positional_only):
            found.append(WrongParameter(("kwargs",), name, "required", "is needed"))
    return found


@dataclass(frozen=True, slots=True)
class _Takes:
    """What a task takes; `rest` and `extra` are the schemas of further arguments, None where there may be none."""

    properties: Json
    required: list[str]
    positional: list[str]
    positional_only: list[str]
    rest: Any
    extra: Any

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> "_Takes | None":
        """None where the entry does not say it."""
        parameters = entry.get("parameters")
        positional = entry.get("positional")
        if not isinstance(parameters, dict) or not isinstance(positional, list) or _names(positional) != positional:
            return None
        properties = parameters.get("properties")
        if not isinstance(properties, dict):
            return None
        extra = parameters.get("additionalProperties", True)
        return cls(
            properties,
            _names(parameters.get("required")),
            positional,
            _names(entry.get("positional_only")),
            entry.get("rest"),
            None if extra is False else extra,
        )


def _names(value: Any) -> list[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def _by_position(takes: _Takes, args: Sequence[Any], check: "_Check") -> Iterable[WrongParameter]:
    most = len(takes.positional)
    for index, value in enumerate(args):
        if index < most:
            name = takes.positional[index]
            yield from check.value(takes.properties.get(name), value, ("args", index), name)
        elif takes.rest is not None:
            yield from check.value(takes.rest, value, ("args", index), f"args[{index}]")
        else:
            detail = f"the task takes at most {most} positional arguments, {len(args)} are given"
            yield WrongParameter(("args", index), f"args[{index}]", "unknown", detail)
            return


def _by_name(takes: _Takes, kwargs: Mapping[str, Any], given: set[str], check: "_Check") -> Iterable[WrongParameter]:
    known = [name for name in takes.properties if name not in takes.positional_only]
    for name, value in kwargs.items():
        path = ("kwargs", name)
        shown = name[:_SHOWN]
        if name in known and name in given:
            yield WrongParameter(path, shown, "duplicate", "is given twice, in args and in kwargs")
        elif name in known:
            yield from check.value(takes.properties[name], value, path, shown)
        elif takes.extra is not None:
            yield from check.value(takes.extra, value, path, shown)
        else:
            near = difflib.get_close_matches(shown, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"the task takes {', '.join(known) or 'none'}"
            yield WrongParameter(path, shown, "unknown", f"is no parameter of the task: {hint}")


@dataclass(frozen=True, slots=True)
class _Mismatch:
    path: Path
    expected: str
    value: Any
    code: str = "wrong_type"

    @property
    def detail(self) -> str:
        # The value itself stays out of it: parameters are not copied into conditions, Events and logs.
        return (
            f"expected {self.expected}" if self.code != "wrong_type" else f"expected {self.expected}, got {self._got}"
        )

    @property
    def _got(self) -> str:
        if isinstance(self.value, bool):
            return _WORDS["boolean"]
        kinds = {str: "text", int: "a number", float: "a number", list: "a list", dict: "an object", type(None): "null"}
        return kinds.get(type(self.value), "something else")


class _Check:
    """Values against schemas, a bounded number of steps in all."""

    def __init__(self, is_connection: Callable[[str], bool]) -> None:
        self._is_connection = is_connection
        self._steps = 0

    def value(self, schema: Any, value: Any, path: Path, name: str) -> Iterable[WrongParameter]:
        """What is wrong with one parameter's value, if anything is."""
        found = self._mismatch(schema, value, (), 0)
        if found is not None:
            inside = "".join(f"[{step}]" if isinstance(step, int) else f".{step}"[:_SHOWN] for step in found.path)
            yield WrongParameter((*path, *found.path), f"{name}{inside}", found.code, found.detail)

    def _mismatch(self, schema: Any, value: Any, path: Path, depth: int) -> _Mismatch | None:
        self._steps += 1
        if not isinstance(schema, dict) or depth > _MAX_DEPTH or self._steps > _MAX_STEPS:
            return None
        if isinstance(schema.get("anyOf"), list) and schema["anyOf"]:
            return self._any_of(schema["anyOf"], value, path, depth)
        if isinstance(schema.get("enum"), list):
            return self._enum(schema["enum"], value, path)
        kind = schema.get("type")
        if not isinstance(kind, str) or kind not in _WORDS:
            return None
        if not _is(kind, value):
            return _Mismatch(path, _WORDS[kind], value)
        if isinstance(value, str):
            return self._text(schema, value, path)
        if isinstance(value, list):
            return self._list(schema, value, path, depth)
        if isinstance(value, dict):
            return self._object(schema, value, path, depth)
        return None

    def _any_of(self, members: list[Any], value: Any, path: Path, depth: int) -> _Mismatch | None:
        failed: list[_Mismatch] = []
        for member in members:
            found = self._mismatch(member, value, path, depth + 1)
            if found is None:
                return None
            failed.append(found)
        # Inside a list or an object, the member that came furthest knows best what is wrong.
        deepest = max(failed, key=lambda mismatch: (len(mismatch.path), mismatch.code != "wrong_type"))
        if len(deepest.path) > len(path) or deepest.code != "wrong_type":
            return deepest
        return _Mismatch(path, " or ".join(dict.fromkeys(mismatch.expected for mismatch in failed)), value)

    def _enum(self, choices: list[Any], value: Any, path: Path) -> _Mismatch | None:
        self._steps += len(choices)
        for choice in choices:
            # True is not 1.
            if choice == value and isinstance(choice, bool) == isinstance(value, bool):
                return None
        return _Mismatch(path, f"one of {', '.join(str(choice) for choice in choices)}"[:_SHOWN], value, "invalid")

    def _text(self, schema: Json, value: str, path: Path) -> _Mismatch | None:
        form = schema.get("format")
        if form == "connection" and not self._is_connection(value):
            return _Mismatch(
                path, "the name of one of the job's connections (spec.connections)", value, "no_connection"
            )
        if form == "date" and not _is_day(value):
            return _Mismatch(path, 'a date ("2026-12-01")', value, "invalid")
        if form == "date-time" and not _is_moment(value):
            return _Mismatch(path, 'a time with an offset ("2026-12-01T00:00:00Z")', value, "invalid")
        # The runner's own pattern alone: another one may take for ever.
        if schema.get("pattern") == f"^{_DECIMAL.pattern}$" and not _DECIMAL.fullmatch(value):
            return _Mismatch(path, 'a decimal ("12.30")', value, "invalid")
        return None

    def _list(self, schema: Json, value: list[Any], path: Path, depth: int) -> _Mismatch | None:
        least, most, prefix = schema.get("minItems"), schema.get("maxItems"), schema.get("prefixItems")
        if isinstance(least, int) and least == most and len(value) != least:
            return _Mismatch(path, f"a list of {least}", value, "invalid")
        schemas: list[Any] = prefix if isinstance(prefix, list) else []
        for index, item in enumerate(value):
            each = schemas[index] if index < len(schemas) else schema.get("items")
            found = self._mismatch(each, item, (*path, index), depth + 1)
            if found is not None:
                return found
        return None

    def _object(self, schema: Json, value: Json, path: Path, depth: int) -> _Mismatch | None:
        for key, item in value.items():
            found = self._mismatch(schema.get("additionalProperties"), item, (*path, key), depth + 1)
            if found is not None:
                return found
        return None


def _is(kind: str, value: Any) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer":
        # 1.0 is an integer to JSON Schema, and JSON passes through Go on its way.
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if kind == "number":
        return isinstance(value, (int, float))
    types: dict[str, type] = {"string": str, "null": type(None), "array": list, "object": dict, "boolean": bool}
    return isinstance(value, types[kind])


def _is_day(text: str) -> bool:
    try:
        return _DAY.fullmatch(text) is not None and date.fromisoformat(text) is not None
    except ValueError:
        return False


def _is_moment(text: str) -> bool:
    match = _MOMENT.fullmatch(text)
    try:
        return match is not None and datetime.fromisoformat(f"{match[1]}T{match[2]}{match[3].upper()}") is not None
    except ValueError:
        return False
