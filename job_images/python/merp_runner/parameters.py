"""A task's parameters: read from its signature, checked before the call."""

from __future__ import annotations

import inspect
from collections import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable, get_args, get_origin, get_type_hints

from merp_runner.context import Context
from merp_runner.errors import ParameterError, TaskDefinitionError
from merp_runner.kinds import SCALARS, Kind, Mismatch, UnionKind, is_union, kind_of

# What such a function returns has not run yet, and nobody would run it.
_LAZY = (abc.Coroutine, abc.Awaitable, abc.Generator, abc.Iterator, abc.AsyncGenerator, abc.AsyncIterator)
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True)
class Parameter:
    """One named parameter that the caller gives."""

    name: str
    kind: Kind
    required: bool
    default: Any
    by_position: bool
    by_name: bool
    description: str = ""


@dataclass(frozen=True)
class Signature:
    """What a task takes.

    named     in the order of the signature, without the context
    rest      kind of each further positional argument (`*args`), None if the task takes none
    extra     kind of each further keyword argument (`**kwargs`), None if the task takes none
    contexts  names of the parameters that get the run's Context
    """

    named: tuple[Parameter, ...]
    rest: Kind | None
    extra: Kind | None
    contexts: tuple[str, ...]
    inspected: inspect.Signature


def signature_of(function: Callable[..., Any]) -> Signature:
    """Read a function's signature and annotations. Raises TaskDefinitionError naming the parameter."""
    _refuse_lazy_result(function)
    inspected = inspect.signature(function)
    hints = _hints(function)
    named: list[Parameter] = []
    contexts: list[str] = []
    further: dict[Any, Kind] = {}
    for each in inspected.parameters.values():
        annotation = hints.get(each.name, Any)
        if _is_context(annotation):
            contexts.append(each.name)
            continue
        try:
            kind = kind_of(annotation)
        except TaskDefinitionError as error:
            raise TaskDefinitionError(f"parameter {each.name} of {function.__qualname__}: {error}") from error
        if each.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            further[each.kind] = kind
        else:
            named.append(_parameter(each, kind, annotation))
    return Signature(
        named=tuple(named),
        rest=further.get(inspect.Parameter.VAR_POSITIONAL),
        extra=further.get(inspect.Parameter.VAR_KEYWORD),
        contexts=tuple(contexts),
        inspected=inspected,
    )


def _is_context(annotation: Any) -> bool:
    if hasattr(annotation, "__metadata__"):  # Annotated[Context, …]
        annotation = annotation.__origin__
    return annotation is Context or (is_union(annotation) and Context in get_args(annotation))


def bind(
    signature: Signature, args: Sequence[Any], kwargs: Mapping[str, Any], context: Context
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments to call the function with. Raises ParameterError with one problem per parameter."""
    problems: list[str] = []
    bound: dict[str, Any] = {}
    positional = [parameter for parameter in signature.named if parameter.by_position]
    for parameter, value in zip(positional, args):
        _read(parameter.name, parameter.kind, value, bound, problems)
    rest = _rest(signature, args, len(positional), problems)
    given = {parameter.name for parameter, _ in zip(positional, args)}
    extra = _by_name(signature, kwargs, given, bound, problems)
    for parameter in signature.named:
        if parameter.required and parameter.name not in given:
            problems.append(f"{parameter.name}: missing")
    if problems:
        raise ParameterError(*problems)
    bound.update((name, context) for name in signature.contexts)
    return _arguments(signature.inspected, bound, rest, extra)


def _by_name(
    signature: Signature, kwargs: Mapping[str, Any], given: set[str], bound: dict[str, Any], problems: list[str]
) -> dict[str, Any]:
    by_name = {parameter.name: parameter for parameter in signature.named if parameter.by_name}
    extra: dict[str, Any] = {}
    for name, value in kwargs.items():
        parameter = by_name.get(name)
        if parameter is not None and name in given:
            problems.append(f"{name}: given twice, in args and in kwargs")
        elif parameter is not None:
            given.add(name)
            _read(name, parameter.kind, value, bound, problems)
        elif signature.extra is not None and name not in signature.contexts:
            _read(name, signature.extra, value, extra, problems)
        else:
            problems.append(_unknown(name, signature, by_name))
    return extra


def _rest(signature: Signature, args: Sequence[Any], taken: int, problems: list[str]) -> list[Any]:
    rest: dict[str, Any] = {}
    if signature.rest is None and len(args) > taken:
        problems.append(f"args[{taken}]: the task takes at most {taken} positional arguments, {len(args)} were given")
    elif signature.rest is not None:
        for index, value in enumerate(args[taken:], start=taken):
            _read(f"args[{index}]", signature.rest, value, rest, problems)
    return list(rest.values())


def _read(name: str, kind: Kind, value: Any, into: dict[str, Any], problems: list[str]) -> None:
    try:
        into[name] = kind.read(value)
    except Mismatch as mismatch:
        problems.append(f"{name}{mismatch.path}: {mismatch}")
    except ParameterError as error:
        problems.append(f"{name}: {error}")


def _unknown(name: str, signature: Signature, by_name: Mapping[str, Parameter]) -> str:
    if name in signature.contexts:
        return f"{name}: is the run's context and cannot be given"
    if any(parameter.name == name for parameter in signature.named):
        return f"{name}: can only be given by position, in args"
    import difflib  # here: only a mistake pays for it

    near = difflib.get_close_matches(name, by_name, n=1)
    hint = f"; did you mean {near[0]}?" if near else f"; the task takes {', '.join(by_name) or 'none'}"
    return f"{name[:100]}: unknown parameter{hint}"


def _arguments(
    inspected: inspect.Signature, bound: Mapping[str, Any], rest: Sequence[Any], extra: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for each in inspected.parameters.values():
        if each.kind in _POSITIONAL:
            # Spelled out with their defaults: a gap would shift whatever follows.
            args.append(bound.get(each.name, each.default))
        elif each.kind is inspect.Parameter.VAR_POSITIONAL:
            args.extend(rest)
        elif each.kind is inspect.Parameter.KEYWORD_ONLY and each.name in bound:
            kwargs[each.name] = bound[each.name]
    kwargs.update(extra)
    return tuple(args), kwargs


def _parameter(each: inspect.Parameter, kind: Kind, annotation: Any) -> Parameter:
    required = each.default is inspect.Parameter.empty
    # `x: int = None` is written often; null then means what the default means.
    if each.default is None and not _takes_null(kind):
        kind = UnionKind([kind, SCALARS[None]])
    notes = [note for note in getattr(annotation, "__metadata__", ()) if isinstance(note, str)]
    return Parameter(
        name=each.name,
        kind=kind,
        required=required,
        default=None if required else each.default,
        by_position=each.kind in _POSITIONAL,
        by_name=each.kind is not inspect.Parameter.POSITIONAL_ONLY,
        description=notes[0] if notes else "",
    )


def _takes_null(kind: Kind) -> bool:
    try:
        kind.read(None)
    except Mismatch:
        return False
    return True


def _refuse_lazy_result(function: Callable[..., Any]) -> None:
    annotations = getattr(function, "__annotations__", {})
    try:
        returned = _evaluated(function, {"return": annotations.get("return")})["return"]
    except Exception:  # noqa: BLE001 - one that only type checkers can see; what is returned is looked at all the same
        return
    if (get_origin(returned) or returned) in _LAZY:
        raise TaskDefinitionError(
            f"{function.__qualname__} returns {returned}, whose body has not run: make the task `async def` and await "
            "it, or return a list"
        )


def _evaluated(function: Callable[..., Any], annotations: Mapping[str, Any]) -> dict[str, Any]:
    holder = type("Annotations", (), {"__annotations__": dict(annotations)})
    names = getattr(inspect.unwrap(function), "__globals__", {})
    return get_type_hints(holder, globalns=names, include_extras=True)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    # Reading all hints would fail on a return annotation that only type checkers can see, and nobody needs it here.
    annotations = {name: hint for name, hint in getattr(function, "__annotations__", {}).items() if name != "return"}
    try:
        return _evaluated(function, annotations)
    except Exception as error:  # an annotation's text is code and may raise anything
        raise TaskDefinitionError(
            f"the annotations of {function.__qualname__} cannot be read: {type(error).__name__}: {error}; "
            "names used there must exist at run time, and before Python 3.10 `X | Y` is spelled Union[X, Y]"
        ) from error
