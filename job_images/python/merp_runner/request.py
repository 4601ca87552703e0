"""What a run is asked to do: a task's name and arguments, the due time and the zone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merp_runner.errors import ParameterError


@dataclass(frozen=True)
class Request:
    """due_time is RFC 3339 or empty; time_zone an IANA name."""

    func: str
    args: list[Any]
    kwargs: dict[str, Any]
    due_time: str = ""
    time_zone: str = "UTC"


def request_in(directory: str) -> Request:
    """Read the files that the pod's downward-API volume holds, each one annotation of the pod.

    `task` {"func", "args", "kwargs"}; `due-time` and `time-zone` may be absent or empty. Raises ParameterError.
    """
    folder = Path(directory)
    text = _file(folder / "task")
    if not text:
        raise ParameterError(
            f"{folder / 'task'}: absent or empty; in a pod it is the annotation scheduler.merp.io/task, "
            "elsewhere: merp-runner run FUNC --args JSON --kwargs JSON"
        )
    task = parse(text, "task")
    if not isinstance(task, dict) or not isinstance(task.get("func"), str):
        raise ParameterError('task: expected {"func": "…", "args": […], "kwargs": {…}}')
    return request(
        task["func"],
        task.get("args"),
        task.get("kwargs"),
        _file(folder / "due-time"),
        _file(folder / "time-zone"),
    )


def request(func: str, args: Any, kwargs: Any, due_time: str = "", time_zone: str = "") -> Request:
    """Check the shape of args and kwargs; null and absent mean none. Raises ParameterError."""
    args = [] if args is None else args
    kwargs = {} if kwargs is None else kwargs
    if not isinstance(args, list):
        raise ParameterError(f"args: expected a list, got {type(args).__name__}")
    if not isinstance(kwargs, dict):
        raise ParameterError(f"kwargs: expected an object, got {type(kwargs).__name__}")
    return Request(func, args, kwargs, due_time, time_zone or "UTC")


def parse(text: str, what: str) -> Any:
    """Strict JSON (no NaN). Raises ParameterError naming `what`."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    # RecursionError: a hundred thousand brackets.
    except (ValueError, RecursionError) as error:
        raise ParameterError(f"{what}: not JSON: {error}") from error


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterError(f"{path}: {error}") from error
