"""Every answer that is no success, as RFC 9457 has it: `application/problem+json`, for each status.

`type` is a stable contract, as are the codes of single fields: clients branch on them, never on the sentences.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from merp_api import methods

MEDIA_TYPE: Final = "application/problem+json"
_PREFIX: Final = "urn:merp:problem:"

Place = Literal["body", "query", "path", "header"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem: the end of its `type`, its status, its title."""

    name: str
    status: int
    title: str

    @property
    def type(self) -> str:
        """The stable URI."""
        return _PREFIX + self.name


VALIDATION: Final = Kind("validation", 400, "The request has wrong fields")
MALFORMED: Final = Kind("malformed-body", 400, "The body cannot be read")
UNAUTHORIZED: Final = Kind("unauthorized", 401, "A valid bearer token is needed")
FORBIDDEN: Final = Kind("forbidden", 403, "The cluster does not allow this")
NOT_FOUND: Final = Kind("not-found", 404, "There is no such thing")
METHOD_NOT_ALLOWED: Final = Kind("method-not-allowed", 405, "This method is not for this path")
CONFLICT: Final = Kind("conflict", 409, "It was changed meanwhile")
EXISTS: Final = Kind("already-exists", 409, "The id is taken")
KEY_REUSED: Final = Kind("idempotency-key-reused", 409, "The Idempotency-Key was used for another request")
OVERLAP: Final = Kind("overlap", 409, "A run is unfinished, and overlap is forbidden")
INVALID_JOB: Final = Kind("invalid-job", 409, "The job's definition cannot be run")
OWNED_ELSEWHERE: Final = Kind("owned-elsewhere", 409, "Another manager decides this field")
NOT_PAUSED: Final = Kind("not-paused", 409, "The job is not paused")
TOO_MANY_DUE_TIMES: Final = Kind("too-many-due-times", 409, "More due times than one request runs")
FINISHED: Final = Kind("finished", 409, "The run has ended")
UNFINISHED: Final = Kind("unfinished", 409, "The run has not ended")
JOB_GONE: Final = Kind("job-gone", 409, "The job of this run was deleted")
EXPIRED: Final = Kind("cursor-expired", 410, "The cursor has expired")
PRECONDITION: Final = Kind("precondition-failed", 412, "It is no longer as the request expects it")
TOO_LARGE: Final = Kind("too-large", 413, "The body is too large")
UNSUPPORTED: Final = Kind("unsupported-media-type", 415, "The body must be JSON")
TOO_MANY: Final = Kind("too-many-requests", 429, "The cluster asks to wait")
RATE: Final = Kind("rate-limit", 429, "One user sends too many requests")
STREAMS: Final = Kind("too-many-streams", 429, "Too many streams are open")
INTERNAL: Final = Kind("internal", 500, "The gateway has a fault")
CLUSTER_FAULT: Final = Kind("cluster-fault", 502, "The API server failed")
CLUSTER_AWAY: Final = Kind("cluster-unavailable", 503, "The API server cannot be reached")
NO_EVENTS: Final = Kind("events-unavailable", 503, "There are no events to tell of now")
RECORDS_AWAY: Final = Kind("records-unavailable", 503, "The records cannot be read")

_BY_STATUS: Final = {
    kind.status: kind for kind in (VALIDATION, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, METHOD_NOT_ALLOWED, TOO_LARGE)
}
# pydantic's names of errors, where ours is another word; what is in neither is `invalid`.
_CODES: Final = {
    "missing": "required",
    "extra_forbidden": "unknown",
    "string_too_long": "too_long",
    "too_long": "too_long",
    "string_too_short": "too_short",
    "too_short": "too_short",
    "greater_than_equal": "out_of_range",
    "less_than_equal": "out_of_range",
    "bool_type": "wrong_type",
    "dict_type": "wrong_type",
    "int_from_float": "wrong_type",
    "int_parsing": "wrong_type",
    "int_type": "wrong_type",
    "list_type": "wrong_type",
    "model_type": "wrong_type",
    "model_attributes_type": "wrong_type",
    "string_type": "wrong_type",
}


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field. `pointer` is a JSON pointer into the body (`#/args/0`), None for a field outside of it."""

    field: str
    code: str
    detail: str
    place: Place = "body"
    pointer: str | None = None

    @classmethod
    def in_body(cls, path: Sequence[str | int], code: str, detail: str) -> "FieldError":
        """Of the value at a path of keys and indexes; an empty path is the body itself."""
        return cls(str(path[0]) if path else "", code, detail, "body", pointer(path))


class Problem(Exception):
    """A problem on its way to the client."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        errors: Iterable[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.kind = kind
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        super().__init__(detail)


def validation(errors: Sequence[FieldError]) -> Problem:
    """The problem that lists wrong fields."""
    named = ", ".join(dict.fromkeys(error.field or "the body" for error in errors))
    return Problem(VALIDATION, f"wrong: {named}", errors=errors)


def pointer(path: Sequence[str | int]) -> str:
    """A JSON pointer as a fragment."""
    return "#" + "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def from_pydantic(errors: Iterable[Mapping[str, Any]], known: Iterable[str] = ()) -> list[FieldError]:
    """pydantic's errors of a body, each with its pointer. `known` are the names to offer for an unknown one."""
    return [
        FieldError.in_body(
            error["loc"],
            _CODES.get(error["type"], "invalid"),
            _sentence(error, known if len(error["loc"]) == 1 else ()),
        )
        for error in errors
    ]


def render(problem: Problem, request_id: str) -> Response:
    """The answer for a problem. `request_id` finds its line in the log."""
    body: dict[str, Any] = {
        "type": problem.kind.type,
        "title": problem.kind.title,
        "status": problem.kind.status,
        "detail": problem.detail,
        "instance": f"urn:merp:request:{request_id}",
    }
    if problem.errors:
        body["errors"] = [_entry(error) for error in problem.errors]
    # A sentence may quote what a client sent, lone surrogates too: escaped, they cannot break the answer.
    content = json.dumps(body).encode("ascii")
    return Response(content, problem.kind.status, problem.headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Give every refusal of the framework, and every Problem, this form."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(RequestValidationError, _request_validation)


def request_id(request: Request) -> str:
    """The id that the outermost layer gave this request."""
    return str(getattr(request.state, "request_id", "unknown"))


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return render(error, request_id(request))


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == METHOD_NOT_ALLOWED.status:
        detail = f"{request.method} is not for {request.url.path}"
        headers["Allow"] = methods.allowed(request)
    elif error.status_code == NOT_FOUND.status:
        detail = f"there is nothing at {request.url.path}"
    else:
        detail = str(error.detail)
    kind = _BY_STATUS.get(error.status_code) or Kind("http", error.status_code, str(error.detail))
    return render(Problem(kind, detail, headers=headers), request_id(request))


async def _request_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = []
    for entry in error.errors():
        place, *path = entry["loc"]
        code = _CODES.get(entry["type"], "invalid")
        errors.append(FieldError(str(path[0]) if path else "", code, _sentence(entry, ()), place))
    return render(validation(errors), request_id(request))


def _sentence(error: Mapping[str, Any], known: Iterable[str]) -> str:
    if error["type"] == "missing":
        return "is needed"
    if error["type"] == "extra_forbidden":
        names = ", ".join(known)
        return f"is not known; there are {names}" if names else "is not known here"
    message = str(error["msg"]).removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _entry(error: FieldError) -> dict[str, Any]:
    entry = asdict(error)
    entry["in"] = entry.pop("place")
    if entry["pointer"] is None:
        del entry["pointer"]
    return entry
