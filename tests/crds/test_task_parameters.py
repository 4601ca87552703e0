"""Parameters against a catalogue: what is refused before a run is what the runner would refuse, and nothing else."""

from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from itertools import product
from typing import Annotated, Any, Literal

import pytest

from merp_crds.parameters import WrongParameter, shallow, unfit_parameters, wrong_parameters
from merp_runner import Connection, Context, ParameterError
from merp_runner.catalogue import entry
from merp_runner.parameters import bind, signature_of
from merp_runner.tasks import Registry

Json = dict[str, Any]


class Mode(Enum):
    FULL = "full"
    FAST = 2


def plan(
    plant: str,
    day: date,
    horizon: Annotated[int, "Days"] = 30,
    *,
    source: Connection | None = None,
    levels: list[int] | None = None,
    pair: tuple[int, str] = (1, "a"),
    mode: Literal["full", "fast"] = "full",
    context: Context,
) -> None:
    """Plan."""


def entry_of(function: Any) -> Json:
    registry = Registry()
    return entry(registry.register(function))


PLAN = entry_of(plan)


def told(args: list[Any], kwargs: Json, entry: Json = PLAN) -> list[tuple[str, str, str]]:
    """pointer, code and the sentence of each wrong parameter, of a job with the connection erp."""
    found = wrong_parameters(entry, args, kwargs, lambda name: name == "erp")
    return [("/".join(map(str, each.path)), each.code, f"{each.name} {each.detail}") for each in found]


DAY = "2026-12-01"


@pytest.mark.parametrize(
    ("args", "kwargs", "expected"),
    [
        pytest.param(["P1", DAY], {"source": "erp", "levels": [1], "pair": [2, "b"]}, [], id="nothing-is-wrong"),
        pytest.param([], {"plant": "P1", "day": DAY, "horizon": 2.0}, [], id="by-name"),
        pytest.param(
            [],
            {},
            [("kwargs", "required", "plant is needed"), ("kwargs", "required", "day is needed")],
            id="missing",
        ),
        pytest.param(
            ["P1", DAY, 30, "erp"],
            {},
            [("args/3", "unknown", "args[3] the task takes at most 3 positional arguments, 4 are given")],
            id="too-many",
        ),
        pytest.param(
            ["P1", DAY],
            {"plant": "P2"},
            [("kwargs/plant", "duplicate", "plant is given twice, in args and in kwargs")],
            id="twice",
        ),
        pytest.param(
            ["P1", DAY],
            {"level": 3},
            [("kwargs/level", "unknown", "level is no parameter of the task: did you mean levels?")],
            id="unknown",
        ),
        pytest.param(
            ["P1", DAY],
            {"context": {}},
            [
                (
                    "kwargs/context",
                    "unknown",
                    "context is no parameter of the task: the task takes plant, day, horizon, source, levels, pair, mode",
                )
            ],
            id="the-context-cannot-be-given",
        ),
        pytest.param(
            [1, DAY, True],
            {},
            [
                ("args/0", "wrong_type", "plant expected text, got a number"),
                ("args/2", "wrong_type", "horizon expected a whole number, got true or false"),
            ],
            id="each-is-named",
        ),
        pytest.param(
            ["P1", "2026-02-30"], {}, [("args/1", "invalid", 'day expected a date ("2026-12-01")')], id="no-such-day"
        ),
        pytest.param(
            ["P1", DAY],
            {"levels": [1, "geheim"]},
            [("kwargs/levels/1", "wrong_type", "levels[1] expected a whole number, got text")],
            id="inside-a-list-and-without-the-value",
        ),
        pytest.param(
            ["P1", DAY],
            {"source": "mysql://u:geheim@db/erp"},
            [
                (
                    "kwargs/source",
                    "no_connection",
                    "source expected the name of one of the job's connections (spec.connections)",
                )
            ],
            id="no-connection-and-not-what-was-written",
        ),
        pytest.param(
            ["P1", DAY],
            {"mode": "slow", "pair": [1]},
            [
                ("kwargs/mode", "invalid", "mode expected one of full, fast"),
                ("kwargs/pair", "invalid", "pair expected a list of 2"),
            ],
            id="choice-and-pair",
        ),
    ],
)
def test_every_wrong_parameter_is_named(args: list[Any], kwargs: Json, expected: list[tuple[str, str, str]]) -> None:
    assert told(args, kwargs) == expected


VALUES: list[Any] = [
    None, True, False, 0, 1, 2, 1.0, 1.5, -3, 10**30, "", "a", "1", "1.50", "1e5", "NaN", "full", "2026-12-01",
    "2026-02-30", "20261201", "2026-12-01T00:00:00Z", "2026-12-01t00:00:00.123456789z", "2026-12-01T00:00:00",
    "2026-12-01T25:00:00Z", "2026-12-01T00:00:00+25:00", "库存𠮷", "\x00", "1\n", [], [1], [1, "a"], ["a"], [[1]], {},
    {"a": 1}, {"a": "x"}, {"a": {"b": 1}},
]  # fmt: skip
TYPES: list[Any] = [
    Any, bool, int, float, str, Decimal, date, datetime, list, list[int], list[list[int]], tuple[int, str], set[int],
    dict, dict[str, int], dict[str, dict[str, int]], Literal["full", 1, True, None], Mode, int | None, int | str,
    list[int] | str, Decimal | None, date | int, tuple[int, ...], float | None, Literal[2, "a"] | None,
]  # fmt: skip


@pytest.mark.parametrize("annotation", [pytest.param(each, id=str(each)) for each in TYPES])
def test_the_door_refuses_what_the_runner_refuses_and_nothing_that_it_takes(annotation: Any) -> None:
    def taken(value):  # type: ignore[no-untyped-def]  # annotated below
        """Take one."""

    taken.__annotations__ = {"value": annotation}
    catalogued, signature, context = entry_of(taken), signature_of(taken), None
    for value, by_name in product(VALUES, (False, True)):
        args, kwargs = ([], {"value": value}) if by_name else ([value], {})
        # On its way to the runner a whole number loses its fraction: Kubernetes writes 1.0 as 1.
        stored = int(value) if isinstance(value, float) and value.is_integer() else value
        try:
            bind(signature, [stored] if args else [], {"value": stored} if kwargs else {}, context)  # type: ignore[arg-type]  # the task takes none
            accepted = True
        except ParameterError:
            accepted = False
        assert (not wrong_parameters(catalogued, args, kwargs)) is accepted, (annotation, value)


def deep(depth: int) -> Json:
    schema: Json = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


def call_with(schema: Any) -> Json:
    return {"name": "t", "positional": ["x"], "parameters": {"properties": {"x": schema}, "required": []}}


def nested(depth: int, value: Any = "a") -> Any:
    for _ in range(depth):
        value = [value]
    return value


SLOW = "a" * 40 + "!"


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        pytest.param({}, 1, id="nothing"),
        pytest.param({"name": "echo"}, 1, id="an-older-runners"),
        pytest.param({"parameters": [], "positional": {}}, 1, id="other-types"),
        pytest.param({"parameters": {"properties": 1}, "positional": []}, 1, id="no-properties"),
        pytest.param({"parameters": {"properties": {}}, "positional": [3]}, 1, id="no-names"),
        pytest.param(
            {"parameters": {"properties": {"x": 1}, "required": 7}, "positional": ["x"], "positional_only": 5},
            1,
            id="everything-is-something-else",
        ),
        pytest.param(call_with({"type": ["string", "null"]}), 1, id="a-form-that-the-runner-does-not-write"),
        pytest.param(call_with({"type": "strange"}), 1, id="an-unknown-type"),
        pytest.param(call_with({"$ref": "http://198.51.100.1/schema"}), 1, id="a-reference-is-not-followed"),
        pytest.param(call_with({"type": "string", "pattern": "(a+)+$"}), SLOW, id="a-pattern-that-takes-for-ever"),
        pytest.param(call_with({"anyOf": []}), 1, id="no-member"),
        pytest.param(call_with({"enum": 3}), 1, id="no-choices"),
        pytest.param(call_with(deep(500)), nested(400), id="nested-deeply"),
    ],
)
def test_a_strange_catalogue_refuses_nothing(entry: Json, value: Any) -> None:
    assert wrong_parameters(entry, [value], {}) == []


def test_a_catalogue_that_would_take_for_ever_is_left_to_the_runner() -> None:
    """Each item is looked at ten thousand times, so that the wrong one at the end is not come to."""
    schema = {"type": "array", "items": {"anyOf": [{"type": "string"}] * 9_999 + [{"type": "number"}]}}
    assert wrong_parameters(call_with(schema), [[*range(20), None]], {}) == []
    assert len(wrong_parameters(call_with(schema), [[1, None]], {})) == 1


def test_what_is_wrong_is_a_value_of_its_own() -> None:
    assert wrong_parameters(PLAN, [1, DAY], {}) == [
        WrongParameter(("args", 0), "plant", "wrong_type", "expected text, got a number")
    ]


ROWS: list[Any] = [{"sku": f"库存-{number}", "quantity": number} for number in range(3_000)]


@pytest.mark.parametrize(
    ("args", "kwargs", "expected"),
    [
        pytest.param(None, None, None, id="none"),
        pytest.param([nested(63)], {"a": nested(63)}, None, id="64-levels"),
        pytest.param([nested(64)], {}, ("args", "invalid", "is nested deeper than 64"), id="65-levels"),
        pytest.param([], {"a": nested(5_000)}, ("kwargs", "invalid", "is nested deeper than 64"), id="5000-levels"),
        pytest.param(["x" * (65_536 - 6)], {}, None, id="64-KiB"),
        pytest.param(["x" * (65_536 - 5)], {}, ("args", "too_long", "65537 bytes as JSON, more than 65536"), id="a-byte-more"),
        pytest.param(["x" * 60_000], {"a": "库" * 2_000}, ("args", "too_long", "more than 65536"), id="together"),
        pytest.param(ROWS, {}, ("args", "too_long", "store the data elsewhere and pass where it is"), id="100-KiB-of-rows"),
        pytest.param([], {"\ud800": "x"}, None, id="half-a-character-is-another-rules"),
    ],
)  # fmt: skip
def test_size_and_depth(args: Any, kwargs: Any, expected: tuple[str, str, str] | None) -> None:
    found = unfit_parameters(args, kwargs)
    if expected is None:
        assert found is None
    else:
        assert found is not None
        assert (found.path, found.code) == ((expected[0],), expected[1])
        assert expected[2] in found.detail


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param({"a": [1, None]}, {"a": [1, None]}, id="as-it-is"),
        pytest.param(nested(64), nested(64), id="64-levels"),
        pytest.param(nested(5_000), nested(64, "…"), id="deeper"),
        pytest.param({"a": nested(5_000), "b": 1}, {"a": nested(63, "…"), "b": 1}, id="only-where-it-is"),
    ],
)
def test_what_is_shown_of_what_is_nested_too_deeply(value: Any, expected: Any) -> None:
    assert shallow(value) == expected
