"""Tasks: which functions may be called, and under which name."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Callable, TypeVar, overload

from merp_runner.errors import TaskDefinitionError, UnknownTaskError

Function = TypeVar("Function", bound=Callable[..., Any])

# 100: the width of the column `jobs.func`.
_NAME = re.compile(r"[a-z][a-z0-9_]{0,99}", re.ASCII)
_LANGUAGES = ("en", "zh")


@dataclass(frozen=True)
class Task:
    """A function that may be called by name.

    title         text by language (en, zh); empty where the author gave none
    description   the author's, else the first paragraph of the docstring
    source        `module.function`, for messages
    descriptions  text by language; empty where the author gave none
    """

    name: str
    function: Callable[..., Any]
    title: Mapping[str, str]
    description: str
    source: str
    descriptions: Mapping[str, str]

    @property
    def is_async(self) -> bool:
        """Whether the function is awaited."""
        return inspect.iscoroutinefunction(self.function)


class Registry:
    """The tasks of this process, and what went wrong while they were collected."""

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        # Name -> sources. Which of two would run depends on the order of installation, so neither does.
        self.conflicts: dict[str, list[str]] = {}
        # Module that could not be imported -> error.
        self.broken: dict[str, str] = {}

    def register(
        self,
        function: Callable[..., Any],
        name: str | None = None,
        title: Mapping[str, str] | None = None,
        description: str | Mapping[str, str] | None = None,
    ) -> Task:
        """Add `function`. Raises TaskDefinitionError, where it cannot be a task or the name is taken."""
        made = _task(function, name, title, description)
        other = self.tasks.get(made.name)
        if other is not None:
            sources = self.conflicts.setdefault(made.name, [other.source])
            sources.append(made.source)
            raise TaskDefinitionError(
                f"task {made.name!r} is registered twice, by {' and '.join(sources)}: give one of them another name"
            )
        self.tasks[made.name] = made
        return made

    def resolve(self, name: str) -> Task:
        """The task of that name. Raises UnknownTaskError naming the nearest ones and the modules that are broken."""
        if name in self.conflicts:
            sources = " and ".join(self.conflicts[name])
            raise TaskDefinitionError(f"task {name!r} is registered twice, by {sources}: give one of them another name")
        if name in self.tasks:
            return self.tasks[name]
        text = f"unknown task {name[:100]!r}{self._hint(name)}"
        if self.broken:
            told = "; ".join(f"{module} ({error})" for module, error in sorted(self.broken.items()))
            text += f"; it may be in a module that could not be imported: {told}"
        raise UnknownTaskError(text)

    def _hint(self, name: str) -> str:
        if not self.tasks:
            return "; this image has no tasks (entry-point group merp.tasks, or MERP_TASK_MODULES)"
        import difflib  # here: only a mistake pays for it

        near = difflib.get_close_matches(name[:100].lower(), self.tasks, n=3, cutoff=0.6)
        if near:
            return f"; did you mean {', '.join(near)}?"
        known = sorted(self.tasks)
        rest = f" and {len(known) - 10} more" if len(known) > 10 else ""
        return f"; known tasks: {', '.join(known[:10])}{rest}"


REGISTRY = Registry()


@overload
def task(name: Function) -> Function: ...
@overload
def task(
    name: str | None = None,
    *,
    title: Mapping[str, str] | None = None,
    description: str | Mapping[str, str] | None = None,
) -> Callable[[Function], Function]: ...
def task(
    name: Function | str | None = None,
    *,
    title: Mapping[str, str] | None = None,
    description: str | Mapping[str, str] | None = None,
) -> Function | Callable[[Function], Function]:
    """Register a function as a task: `@task`, or `@task("sync_orders", title={"en": "…", "zh": "…"})`.

    A description is a text, or one by language as the title is; the docstring stands for an English one. The function
    stays as it is and can be called directly. Without a name it has the function's. Raises
    TaskDefinitionError for names other than `[a-z][a-z0-9_]*` of at most 100 characters, names taken, generator
    functions, and plain wrappers around async functions.
    """
    if name is not None and not isinstance(name, str):
        REGISTRY.register(name)
        return name
    given = name

    def decorate(function: Function) -> Function:
        REGISTRY.register(function, given, title, description)
        return function

    return decorate


def _task(
    function: Callable[..., Any],
    name: str | None,
    title: Mapping[str, str] | None,
    description: str | Mapping[str, str] | None,
) -> Task:
    if not inspect.isfunction(function):
        raise TaskDefinitionError(f"@task takes a function defined with def or async def, not {function!r}")
    source = f"{function.__module__}.{function.__qualname__}"
    name = function.__name__ if name is None else name
    if _NAME.fullmatch(name) is None:
        raise TaskDefinitionError(
            f"{source}: a task's name is 1 to 100 small letters, digits and underscores, beginning with a letter; "
            f'{name!r} is not: give one with @task("…")'
        )
    _refuse_unrunnable(function, source)
    descriptions = {} if isinstance(description, str) else _by_language("description", description, source)
    text = description if isinstance(description, str) else descriptions.get("en")
    if text is None:
        text = (inspect.getdoc(function) or "").partition("\n\n")[0].replace("\n", " ")
    return Task(name, function, _by_language("title", title, source), text, source, descriptions)


def _refuse_unrunnable(function: Callable[..., Any], source: str) -> None:
    if _is_generator(function):
        raise TaskDefinitionError(f"{source} is a generator: calling it runs nothing; return a list instead of yield")
    inner = inspect.unwrap(function)
    if _is_generator(inner):
        raise TaskDefinitionError(f"{source} wraps a generator: calling it may run nothing; register a plain function")
    if inspect.iscoroutinefunction(inner) and not inspect.iscoroutinefunction(function):
        raise TaskDefinitionError(
            f"{source} is a plain function around an async one: make the decorator's wrapper async, "
            "or register the async function itself, the runner awaits it"
        )


def _is_generator(function: Callable[..., Any]) -> bool:
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)


def _by_language(what: str, texts: object, source: str) -> Mapping[str, str]:
    if texts is None:
        return {}
    if not isinstance(texts, dict) or not all(
        language in _LANGUAGES and isinstance(text, str) and text.strip() for language, text in texts.items()
    ):
        raise TaskDefinitionError(f'{source}: {what} is {{"en": "…", "zh": "…"}}, one or both, not {texts!r}')
    return dict(texts)
