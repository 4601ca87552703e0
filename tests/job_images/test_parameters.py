"""Parameters: read from the signature, checked before the call."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, NewType, Optional, Union

import pytest

from merp_runner import Context, ParameterError, TaskDefinitionError
from merp_runner.context import context_of, due_time_in_name, due_time_of
from merp_runner.parameters import bind, signature_of
from merp_runner.tasks import Registry

CONTEXT = Context(
    due_time=datetime(2026, 12, 1, tzinfo=UTC),
    business_date=date(2026, 12, 1),
    time_zone="UTC",
    run_name="nightly-1",
    job_name="nightly",
    idempotency_key="erp/nightly-1",
)


class Mode(Enum):
    FULL = "full"
    FAST = "fast"


class Rate(Enum):
    FULL = 1.0
    HALF = 0.5


Sku = NewType("Sku", str)


def one(annotation: Any) -> Callable[..., Any]:
    def function(x: Any) -> Any:
        return x

    function.__annotations__["x"] = annotation
    return function


def received(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    bound_args, bound_kwargs = bind(signature_of(function), args, kwargs, CONTEXT)
    return function(*bound_args, **bound_kwargs)


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        pytest.param(Any, {"a": [None]}, {"a": [None]}, id="any"),
        pytest.param(bool, True, True, id="bool"),
        pytest.param(int, 3, 3, id="int"),
        pytest.param(int, 3.0, 3, id="int-from-whole-float"),
        pytest.param(float, 3, 3.0, id="float-from-int"),
        pytest.param(str, "库存", "库存", id="C43-text"),
        pytest.param(Decimal, "12.30", Decimal("12.30"), id="decimal"),
        pytest.param(Decimal, 0.1, Decimal("0.1"), id="decimal-from-number"),
        pytest.param(date, "2026-12-01", date(2026, 12, 1), id="date"),
        pytest.param(datetime, "2026-12-01T00:00:00Z", datetime(2026, 12, 1, tzinfo=UTC), id="datetime"),
        pytest.param(list[int], [1, 2], [1, 2], id="list"),
        pytest.param(Sequence[str], ["a"], ["a"], id="sequence"),
        pytest.param(set[int], [1, 1], {1}, id="set"),
        pytest.param(tuple[int, str], [1, "a"], (1, "a"), id="tuple"),
        pytest.param(tuple[int, ...], [1, 2], (1, 2), id="tuple-of-any-length"),
        pytest.param(dict[str, date], {"a": "2026-12-01"}, {"a": date(2026, 12, 1)}, id="dict"),
        pytest.param(Optional[int], None, None, id="optional"),  # noqa: UP045 - the older spelling is another type
        pytest.param(int | str, "7", "7", id="union-keeps-the-type"),
        pytest.param(Union[float, int], 1, 1, id="union-takes-the-closest"),  # noqa: UP007 - as above
        pytest.param(date | str, "2026-12-01", date(2026, 12, 1), id="union-in-order"),
        pytest.param(Literal["a", 1], 1, 1, id="literal"),
        pytest.param(Mode, "fast", Mode.FAST, id="enum"),
        pytest.param(Rate, 1, Rate.FULL, id="enum-of-numbers-whose-zero-go-has-dropped"),
        pytest.param(Literal[7], 7.0, 7, id="literal-from-whole-float"),
        pytest.param(Sku, "M8", "M8", id="new-type"),
        pytest.param(Annotated[int, "days"], 7, 7, id="annotated"),
    ],
)
def test_value_is_taken(annotation: Any, value: Any, expected: Any) -> None:
    got = received(one(annotation), value)
    assert (got, type(got)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("annotation", "value", "problem"),
    [
        pytest.param(bool, 1, "x: expected true or false, got 1", id="bool-from-int"),
        pytest.param(int, True, "x: expected a whole number, got true", id="int-from-bool"),
        pytest.param(int, "3", 'x: expected a whole number, got "3"', id="int-from-text"),
        pytest.param(int, 3.5, "x: expected a whole number, got 3.5", id="int-from-fraction"),
        pytest.param(float, 10**400, "x: expected a number, got 1000", id="float-too-large"),
        pytest.param(str, None, "x: expected text, got null", id="text-from-null"),
        pytest.param(Decimal, "NaN", "x: expected a decimal", id="decimal-nan"),
        pytest.param(date, "2026-02-30", "x: expected a date", id="no-such-day"),
        pytest.param(datetime, "2026-12-01T00:00:00", "x: expected a time with an offset", id="naive-time"),
        pytest.param(list[int], "abc", 'x: expected a list, got "abc"', id="list-from-text"),
        pytest.param(list[int], [1, "2"], 'x[1]: expected a whole number, got "2"', id="item-named"),
        pytest.param(
            dict[str, list[int]], {"a": [0, None]}, "x.a[1]: expected a whole number, got null", id="path-named"
        ),
        pytest.param(list[int] | None, [None], "x[0]: expected a whole number, got null", id="union-deepest"),
        pytest.param(set[Any], [[1]], "x: expected a list of values that a set can hold", id="set-of-lists"),
        pytest.param(tuple[int, str], [1], "x: expected a list of 2, got [1]", id="tuple-too-short"),
        pytest.param(dict[str, int], [], "x: expected an object, got []", id="dict-from-list"),
        pytest.param(Literal[1], True, "x: expected one of 1, got true", id="literal-type-counts"),
        pytest.param(Rate, True, "x: expected one of 1.0, 0.5, got true", id="enum-type-counts"),
        pytest.param(Mode, "slow", 'x: expected one of "full", "fast", got "slow"', id="enum"),
        pytest.param(int | None, "x" * 99, 'x: expected a whole number or null, got "xxx', id="long-value-cut"),
    ],
)
def test_value_is_refused(annotation: Any, value: Any, problem: str) -> None:
    with pytest.raises(ParameterError) as refused:
        received(one(annotation), value)
    assert str(refused.value).startswith(problem)
    assert len(str(refused.value)) < 200


def many(a: int, b: str = "b", /, c: int = 3, *, d: float, e: int = None) -> Any:  # type: ignore[assignment]  # noqa: RUF013 - often written, so it must work
    return a, b, c, d, e


def spread(first: str, *rest: int, **extra: bool) -> Any:
    return first, rest, extra


def with_context(context: Context, warehouse: str = "all", detailed: bool = False) -> Any:
    return context.job_name, warehouse, detailed


def with_optional_context(*, context: Context | None = None) -> Any:
    return context


def with_older_optional_context(*, context: Optional[Context] = None) -> Any:  # noqa: UP045 - as above
    return context


def with_annotated_context(*, context: Annotated[Context | None, "the run's"] = None) -> Any:
    return context


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "expected"),
    [
        pytest.param(many, [1], {"d": 2}, (1, "b", 3, 2.0, None), id="defaults"),
        pytest.param(many, [1, "x", 4], {"d": 2, "e": None}, (1, "x", 4, 2.0, None), id="null-means-the-default-none"),
        pytest.param(spread, ["f", 1, 2], {"x": True}, ("f", (1, 2), {"x": True}), id="spread"),
        pytest.param(with_context, ["all"], {"detailed": True}, ("nightly", "all", True), id="context-takes-no-place"),
        pytest.param(with_optional_context, [], {}, CONTEXT, id="optional-context"),
        pytest.param(with_older_optional_context, [], {}, CONTEXT, id="older-optional-context"),
        pytest.param(with_annotated_context, [], {}, CONTEXT, id="annotated-context"),
    ],
)
def test_call(function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any], expected: Any) -> None:
    assert received(function, *args, **kwargs) == expected


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "problems"),
    [
        pytest.param(many, [], {}, ("a: missing", "d: missing"), id="all-missing-told"),
        pytest.param(
            many,
            [1, "b", 3, 4],
            {"d": 1},
            ("args[3]: the task takes at most 3 positional arguments, 4 were given",),
            id="too-many",
        ),
        pytest.param(many, [1], {"d": 1, "b": "x"}, ("b: can only be given by position, in args",), id="position-only"),
        pytest.param(many, [1, "b", 3], {"d": 1, "c": 3}, ("c: given twice, in args and in kwargs",), id="given-twice"),
        pytest.param(many, [1], {"d": 1, "ee": 1}, ("ee: unknown parameter; did you mean e?",), id="near-name"),
        pytest.param(many, [1], {"d": 1, "zzz": 1}, ("zzz: unknown parameter; the task takes c, d, e",), id="far-name"),
        pytest.param(
            many,
            [1],
            {"d": 1, "": 1, "self": 1, "__class__": 1, "名": 1, "d ": 1},
            (
                ": unknown parameter; the task takes c, d, e",
                "self: unknown parameter; the task takes c, d, e",
                "__class__: unknown parameter; the task takes c, d, e",
                "名: unknown parameter; the task takes c, d, e",
                "d : unknown parameter; did you mean d?",
            ),
            id="odd-names",
        ),
        pytest.param(
            spread,
            ["f", "1"],
            {"x": 1},
            ('args[1]: expected a whole number, got "1"', "x: expected true or false, got 1"),
            id="rest",
        ),
        pytest.param(
            with_context,
            [],
            {"context": {}},
            ("context: is the run's context and cannot be given",),
            id="context-given",
        ),
    ],
)
def test_call_refused(
    function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any], problems: tuple[str, ...]
) -> None:
    with pytest.raises(ParameterError) as refused:
        received(function, *args, **kwargs)
    assert refused.value.problems == problems


@pytest.mark.parametrize(
    ("annotation", "told"),
    [
        pytest.param(bytes, "cannot come from JSON", id="bytes"),
        pytest.param(dict[int, str], "the keys of a JSON object are text", id="dict-with-int-keys"),
        pytest.param(Literal[b"a"], "JSON has no such choice", id="literal-of-bytes"),
        pytest.param("Absent", "cannot be read: NameError", id="name-that-does-not-exist"),
    ],
)
def test_annotation_is_refused(annotation: Any, told: str) -> None:
    with pytest.raises(TaskDefinitionError, match=told):
        signature_of(one(annotation))


def generator() -> Any:
    yield 1


async def async_generator() -> Any:
    yield 1


def returns_a_coroutine() -> Awaitable[int]:
    return returns_a_number()


async def returns_a_number() -> int:
    return 1


def returns_a_generator() -> Iterator[int]:
    return iter([1])


def returns_what_only_type_checkers_see() -> "Absent":  # type: ignore[name-defined]  # noqa: F821 - that is the case
    return 1


@pytest.mark.parametrize(
    ("function", "told"),
    [
        pytest.param(
            returns_a_coroutine, "returns_a_coroutine returns .*Awaitable.*whose body has not run", id="async"
        ),
        pytest.param(returns_a_generator, "returns_a_generator returns .*return a list", id="generator"),
    ],
)
def test_result_that_would_never_run_is_refused(function: Callable[..., Any], told: str) -> None:
    with pytest.raises(TaskDefinitionError, match=told):
        signature_of(function)


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(returns_a_number, id="async"),
        pytest.param(returns_what_only_type_checkers_see, id="unreadable"),
        pytest.param(generator, id="any"),
    ],
)
def test_other_results_are_not_looked_at(function: Callable[..., Any]) -> None:
    assert signature_of(function).named == ()


@pytest.mark.parametrize(
    ("function", "options", "told"),
    [
        pytest.param(generator, {}, "is a generator", id="generator"),
        pytest.param(async_generator, {}, "is a generator", id="async-generator"),
        pytest.param(dict, {}, "takes a function", id="class"),
        pytest.param(spread, {"name": "Spread"}, "a task's name is 1 to 100 small letters", id="name-with-a-capital"),
        pytest.param(spread, {"name": "a" * 101}, "a task's name is 1 to 100", id="C67-name-of-101"),
        pytest.param(spread, {"name": "echo_args "}, "a task's name is", id="name-with-a-space"),
        pytest.param(spread, {"title": {"de": "x"}}, "title is", id="title-in-another-language"),
        pytest.param(spread, {"title": "Spread"}, "title is", id="title-is-text"),
        pytest.param(spread, {"description": {"de": "x"}}, "description is", id="description-in-another-language"),
    ],
)
def test_function_is_no_task(function: Any, options: dict[str, Any], told: str) -> None:
    registry = Registry()
    with pytest.raises(TaskDefinitionError, match=told):
        registry.register(function, **options)
    assert registry.tasks == {}


def test_of_two_with_one_name_neither_runs() -> None:
    registry = Registry()
    registry.register(spread, "same")
    for _ in range(2):
        with pytest.raises(TaskDefinitionError, match="registered twice"):
            registry.register(many, "same")
    with pytest.raises(TaskDefinitionError, match=r"spread and .*many"):
        registry.resolve("same")


STARTED = datetime(2026, 12, 1, 0, 0, 5, tzinfo=UTC)
MINUTES = 1796083200 // 60  # 2026-12-01T00:00Z


@pytest.mark.parametrize(
    ("run_name", "job_name", "expected"),
    [
        pytest.param(f"nightly-{MINUTES}", "nightly", datetime(2026, 12, 1, tzinfo=UTC), id="minutes"),
        pytest.param(
            f"nightly-{MINUTES * 60 + 1}", "nightly", datetime(2026, 12, 1, 0, 0, 1, tzinfo=UTC), id="seconds"
        ),
        pytest.param(
            f"nightly-{MINUTES - 4320}", "nightly", datetime(2026, 11, 28, tzinfo=UTC), id="waited-for-three-days"
        ),
        pytest.param(
            f"nightly-{MINUTES - 366 * 1440 + 1}", "nightly", datetime(2025, 11, 30, 0, 1, tzinfo=UTC), id="a-year"
        ),
        pytest.param(f"nightly-{MINUTES - 366 * 1440}", "nightly", None, id="older-than-a-year"),
        pytest.param("nightly-2", "nightly", None, id="a-number"),
        pytest.param("nightly-20261201", "nightly", None, id="a-date"),
        pytest.param(f"nightly-{MINUTES + 1}", "nightly", datetime(2026, 12, 1, 0, 1, tzinfo=UTC), id="node-lags"),
        pytest.param(f"nightly-{MINUTES + 2}", "nightly", None, id="future"),
        pytest.param(f"nightly-b-{MINUTES}", "nightly", None, id="longer-name"),
        pytest.param("nightly-r-0123456789", "nightly", None, id="asked-for"),
        pytest.param("nightly-٣", "nightly", None, id="other-digits"),
        pytest.param(f"-{MINUTES}", "", None, id="no-job"),
        pytest.param(f"nightly-{10**12}", "nightly", None, id="too-many-digits"),
    ],
)
def test_due_time_in_a_name(run_name: str, job_name: str, expected: datetime | None) -> None:
    assert due_time_in_name(run_name, job_name, STARTED) == expected


def test_due_time_is_the_pods_creation_where_it_is_known() -> None:
    moment = due_time_of("", "nightly-r-0123456789", "nightly", "2026-12-01T00:00:01Z", STARTED)
    assert moment == (datetime(2026, 12, 1, 0, 0, 1, tzinfo=UTC), "pod")


@pytest.mark.parametrize(
    ("environment", "run_name", "key"),
    [
        pytest.param({"MERP_RUN_NAME": "nightly-1", "MERP_NAMESPACE": "erp"}, "nightly-1", "erp/nightly-1", id="pod"),
        pytest.param({}, "local-1796083200", "local-1796083200", id="laptop"),
    ],
)
def test_idempotency_key(environment: dict[str, str], run_name: str, key: str) -> None:
    context = context_of(datetime(2026, 12, 1, tzinfo=UTC), "UTC", environment, lambda done, total, message: None)
    assert (context.run_name, context.idempotency_key) == (run_name, key)
