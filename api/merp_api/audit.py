"""A line in the log for each write: who did what to which object, from what to what, under which request's id."""

import logging
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, Final

from merp_api import metrics
from merp_api.translate import Json, same

logger = logging.getLogger(__name__)

# The request that is being answered; tasks that it starts inherit it.
REQUEST_ID: Final[ContextVar[str]] = ContextVar("REQUEST_ID", default="unknown")
# What people pass to a task, or to its pod, may be secret, and so may be what they write in a note.
_UNTOLD: Final = ("spec.task.args", "spec.task.kwargs", "spec.args", "spec.kwargs", "spec.template", "metadata")
_HIDDEN_PATHS: Final = tuple(tuple(path.split(".")) for path in _UNTOLD)
_HIDDEN: Final = "…"
_MOST_CHANGES: Final = 50
_MOST_CHARACTERS: Final = 200
_Path = tuple[str, ...]


def written(user: str, action: str, kind: str, *, before: Json | None = None, after: Json | None = None) -> None:
    """Tell of a write that the API server has taken: an object as it was (None: it is new) and is (None: deleted)."""
    metrics.WRITES.labels(action).inc()
    metadata: Json = (after or before or {}).get("metadata") or {}
    logger.info(
        "audit",
        extra={
            "request_id": REQUEST_ID.get(),
            "user": user,
            "action": action,
            "kind": kind,
            "namespace": metadata.get("namespace"),
            "object": metadata.get("name"),
            "uid": metadata.get("uid"),
            "before": _version(before),
            "after": _version(after),
            "changes": changes(before, after),
        },
    )


def changes(before: Json | None, after: Json | None) -> dict[str, list[Any]]:
    """What differs in spec and annotations, by path: the value before and after, None for none. Pure.

    Values that may be secret are not told, long ones are cut, and after fifty nothing more is.
    """
    old, new = dict(_leaves(before)), dict(_leaves(after))
    paths = [path for path in sorted(old.keys() | new.keys()) if not same(old.get(path), new.get(path))]
    return {".".join(path): [_told(path, old.get(path)), _told(path, new.get(path))] for path in paths[:_MOST_CHANGES]}


def _leaves(item: Json | None) -> Iterator[tuple[_Path, Any]]:
    """Every value of an object that is no object itself, with where it stands."""
    if item is None:
        return
    annotations = (item.get("metadata") or {}).get("annotations") or {}
    pending: list[tuple[_Path, Any]] = [(("spec",), item.get("spec")), (("metadata", "annotations"), annotations)]
    while pending:
        path, value = pending.pop()
        if isinstance(value, dict):
            pending += [((*path, key), inner) for key, inner in value.items()]
        elif value is not None:
            yield path, value


def _told(path: _Path, value: Any) -> Any:
    if value is None:
        return None
    if any(path[: len(hidden)] == hidden for hidden in _HIDDEN_PATHS):
        return _HIDDEN
    text = value if isinstance(value, str) else repr(value)
    if len(text) <= _MOST_CHARACTERS:
        return value
    return text[:_MOST_CHARACTERS] + _HIDDEN


def _version(item: Json | None) -> str | None:
    return None if item is None else (item.get("metadata") or {}).get("resourceVersion")
