"""The termination message: what the operator records as a run's result or error.

Contract, version 1: one JSON object in UTF-8, at most as many bytes as the pod's share allows,

    {"v": 1, "func": "…", "result": <JSON>}                                       the task returned
    {"v": 1, "func": "…", "error": {"type": "…", "message": "…", "traceback": "…"}}      anything else

and `"truncated": true` where something was cut: the result is then the beginning of its text (of its JSON text, where
it is not text itself), an error's message the beginning, its traceback the end. Readers ignore fields they do not know.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The kubelet keeps 4096 bytes per container, less in a pod of more than three containers (12 KiB are shared).
DEFAULT_LIMIT = 4096
# Below this not even an empty error fits.
MIN_LIMIT = 128
DEFAULT_PATH = Path("/dev/termination-log")
ELLIPSIS = "…"


@dataclass(frozen=True)
class Failure:
    """Why a task did not return; texts are clean and masked, `traceback` may be empty."""

    type: str
    message: str
    traceback: str = ""


def message(func: str, result: Any, failure: Failure | None, limit: int) -> bytes:
    """The termination message, at most `limit` bytes (>= 128). `result` is strict JSON, left out after a failure."""
    limit = max(limit, MIN_LIMIT)
    document: dict[str, Any] = {"v": 1, "func": func}
    if failure is None:
        document["result"] = result
    else:
        error = {"type": failure.type, "message": failure.message}
        document["error"] = {**error, "traceback": failure.traceback} if failure.traceback else error
    whole = _encode(document)
    if len(whole) <= limit:
        return whole
    document["func"] = cut(func, limit // 8)
    document["truncated"] = True
    if failure is None:
        document["result"] = ""
        text = result if isinstance(result, str) else _encode(result).decode()
        document["result"] = cut(text, limit - len(_encode(document)))
    else:
        document["error"] = _cut_failure(document, failure, limit)
    return _encode(document)


def _cut_failure(document: dict[str, Any], failure: Failure, limit: int) -> dict[str, str]:
    error = {"type": cut(failure.type, limit // 8), "message": "", "traceback": ""}
    document["error"] = error
    room = limit - len(_encode(document))
    # Half for each, and what one does not need for the other.
    traceback_needs = cost(failure.traceback)
    error["message"] = cut(failure.message, max(room - traceback_needs, room // 2))
    error["traceback"] = cut(failure.traceback, room - cost(error["message"]), keep_end=True)
    if not error["traceback"]:
        del error["traceback"]
    return error


def cost(text: str) -> int:
    """Bytes that `text` takes inside a JSON string."""
    return len(_encode(text)) - 2


def cut(text: str, room: int, keep_end: bool = False) -> str:
    """The most of `text` that takes at most `room` bytes inside a JSON string, marked with … where it was cut."""
    if len(text) <= room and cost(text) <= room:
        return text
    left = room - cost(ELLIPSIS)
    kept = 0
    for character in reversed(text) if keep_end else text:
        left -= cost(character)
        if left < 0:
            break
        kept += 1
    if room < cost(ELLIPSIS):
        return ""
    return ELLIPSIS + text[len(text) - kept :] if keep_end else text[:kept] + ELLIPSIS


def limit_of(environment: Mapping[str, str]) -> int:
    """MERP_MESSAGE_LIMIT in bytes; 4096 where it is absent. Raises ValueError for anything but a number >= 128."""
    text = environment.get("MERP_MESSAGE_LIMIT", "")
    if not text:
        return DEFAULT_LIMIT
    if not text.isascii() or not text.isdigit() or int(text) < MIN_LIMIT:
        raise ValueError(f"MERP_MESSAGE_LIMIT: a number of bytes, at least {MIN_LIMIT}, not {text!r}")
    return int(text)


def write(content: bytes, environment: Mapping[str, str]) -> None:
    """Write the message to MERP_TERMINATION_LOG, else to /dev/termination-log where that exists. Raises OSError."""
    path = environment.get("MERP_TERMINATION_LOG", "")
    if path:
        Path(path).write_bytes(content)
    elif DEFAULT_PATH.exists():  # on a laptop there is none, and /dev is no place to make one
        DEFAULT_PATH.write_bytes(content)


def _encode(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")
