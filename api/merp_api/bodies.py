"""Reading a request's body: JSON, and only what the cluster keeps as it is."""

import json
import math
from collections.abc import Collection, Iterable
from typing import Any, Final, NoReturn

from fastapi import Request

from merp_api import problems
from merp_api.problems import FieldError, Problem

# An object of the API server has at most 1.5 MiB, and escaping makes text longer.
MAX_BODY: Final = 2**20
# Deeper than any parameter that people write, and far from where recursion ends.
MAX_DEPTH: Final = 64
_MIN_INT64: Final = -(2**63)
_MAX_INT64: Final = 2**63 - 1


JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"


async def read_json(request: Request, *, optional: bool = False, media_types: Collection[str] = (JSON,)) -> Any:
    """The body's JSON. `optional` takes an empty body as an empty object.

    Raises Problem: 413 beyond 1 MiB, 415 for another media type, 400 for what is no JSON in UTF-8, is nested deeper
    than 64, or holds a number or text that would not come back from the cluster as it was sent.
    """
    raw = await _read(request)
    if not raw and optional:
        return {}
    _check_media_type(request, media_types)
    if not raw:
        raise Problem(problems.MALFORMED, "the body is empty: send a JSON object")
    value = _parse(raw)
    found = list(_unkept(value))
    if found:
        raise problems.validation(found)
    return value


async def _read(request: Request) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > MAX_BODY:
        _refuse_size()
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MAX_BODY:
            _refuse_size()
    return bytes(raw)


def _refuse_size() -> NoReturn:
    # Without `Connection: close`: a connection that is closed while a body comes is reset, and this answer lost.
    raise Problem(problems.TOO_LARGE, f"the body has more than {MAX_BODY} bytes")


def _check_media_type(request: Request, wanted: Collection[str]) -> None:
    media_type, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    if media_type.strip().lower() not in wanted or charset not in ("", "utf-8", "utf8"):
        raise Problem(problems.UNSUPPORTED, f"send Content-Type: {' or '.join(wanted)}, in UTF-8")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem(problems.UNSUPPORTED, "send the body without Content-Encoding")


def _parse(raw: bytes) -> Any:
    try:
        return json.loads(raw.decode("utf-8"), object_pairs_hook=_object, parse_constant=_constant)
    except UnicodeDecodeError as error:
        raise Problem(problems.MALFORMED, f"the body is not UTF-8, at byte {error.start}") from error
    except json.JSONDecodeError as error:
        detail = f"the body is no JSON: {error.msg}, at line {error.lineno}, column {error.colno}"
        raise Problem(problems.MALFORMED, detail) from error
    except ValueError as error:
        raise Problem(problems.MALFORMED, f"the body is no JSON: {error}") from error
    except RecursionError as error:
        raise Problem(problems.MALFORMED, f"the body is nested deeper than {MAX_DEPTH} levels") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        # Which of the two was meant would be a guess.
        raise ValueError("an object has a key twice")
    return made


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _unkept(value: Any) -> Iterable[FieldError]:
    """What the cluster would store as something else, or not at all."""
    pending: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while pending:
        path, item = pending.pop()
        if len(path) > MAX_DEPTH:
            raise Problem(problems.MALFORMED, f"the body is nested deeper than {MAX_DEPTH} levels")
        if isinstance(item, dict):
            pending += [((*path, key), entry) for key, entry in item.items()]
            texts: Iterable[str] = item
        elif isinstance(item, list):
            pending += [((*path, index), entry) for index, entry in enumerate(item)]
            texts = ()
        else:
            texts = (item,) if isinstance(item, str) else ()
        if any(_is_broken(text) for text in texts):
            yield FieldError.in_body(path, "invalid", "has half of a surrogate pair, which is no character")
        elif _is_too_large(item):
            yield FieldError.in_body(path, "out_of_range", "is a number beyond 64 bits: send it as text")


def _is_broken(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text) if not text.isascii() else False


def _is_too_large(item: Any) -> bool:
    if isinstance(item, float):
        return not math.isfinite(item)
    return isinstance(item, int) and not _MIN_INT64 <= item <= _MAX_INT64
