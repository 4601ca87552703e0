"""What the API server's refusals mean to a client of the REST API."""

import logging
from collections.abc import Iterator
from typing import Any, Final

from fastapi import FastAPI, Request, Response

from merp_api import problems
from merp_api.problems import FieldError, Problem
from merp_kube.client import ApiError, Unreachable

logger = logging.getLogger(__name__)

# Fields of the custom resource and their names in REST; the longest that fits counts.
_FIELDS: Final = {
    "metadata.name": "id",
    "spec.displayName": "name",
    "spec.description": "description",
    "spec.schedule.cron": "cron_expression",
    "spec.schedule.intervalSeconds": "interval_seconds",
    "spec.schedule.at": "run_date",
    "spec.schedule.timeZone": "time_zone",
    "spec.schedule": "job_type",
    "spec.task.func": "func",
    "spec.task.args": "args",
    "spec.task.kwargs": "kwargs",
    "spec.template.image": "image",
    "spec.priority": "priority",
    "spec.dependsOn": "depends_on",
    "spec.concurrencyPolicy": "concurrency_policy",
    "spec.timeoutSeconds": "timeout_seconds",
    "spec.retry.limit": "retry_limit",
    "spec.retry.noRetryExitCodes": "no_retry_exit_codes",
    "spec.schedule.calendar": "calendar",
    "spec.missed": "missed",
    "spec.pool": "pool",
    "spec.dependencyPolicy": "dependency_policy",
    "spec.maxQueued": "max_queued",
    "spec.pendingTimeoutSeconds": "pending_timeout_seconds",
    "spec.connections": "connections",
    "spec.args": "args",
    "spec.kwargs": "kwargs",
    "spec.dueTime": "due_time",
}
_INVALID: Final = (400, 422)
_AWAY: Final = (503, 504)


def install(app: FastAPI) -> None:
    """Turn what the API server refuses into problems."""
    app.add_exception_handler(ApiError, _refused)
    app.add_exception_handler(Unreachable, _unreachable)


def problem(error: ApiError | Unreachable) -> Problem:
    """The problem for a refusal, or for no answer at all."""
    if isinstance(error, Unreachable):
        return Problem(
            problems.CLUSTER_AWAY,
            "the API server did not answer; whether a write took place is not known: read before you repeat it",
            headers={"Retry-After": "5"},
        )
    if error.status in _INVALID:
        return _invalid(error)
    if error.status == 401:
        return Problem(
            problems.UNAUTHORIZED,
            "the API server no longer accepts the token",
            headers={"WWW-Authenticate": 'Bearer realm="merp", error="invalid_token"'},
        )
    if error.status == 404:
        return _not_found(error)
    if error.status == 409:
        kind = problems.EXISTS if error.reason == "AlreadyExists" else problems.CONFLICT
        return Problem(kind, error.message)
    if error.status == 410:
        return Problem(problems.EXPIRED, "the cursor is too old: begin again without one")
    if error.status == 429:
        wait = str(max(1, int(error.retry_after or 1)))
        return Problem(problems.TOO_MANY, error.message, headers={"Retry-After": wait})
    if error.status in _AWAY:
        return Problem(problems.CLUSTER_AWAY, error.message, headers={"Retry-After": "5"})
    kind = {403: problems.FORBIDDEN, 413: problems.TOO_LARGE}.get(error.status, problems.CLUSTER_FAULT)
    return Problem(kind, error.message)


def _invalid(error: ApiError) -> Problem:
    found = list(_causes(error.details))
    if not found:
        return Problem(problems.VALIDATION, error.message)
    return problems.validation(found)


def _causes(details: dict[str, Any]) -> Iterator[FieldError]:
    for cause in details.get("causes") or []:
        path, text = cause.get("field") or "", cause.get("message") or "is refused by the API server"
        fitting = [known for known in _FIELDS if path == known or path.startswith((f"{known}.", f"{known}["))]
        if fitting:
            yield FieldError.in_body([_FIELDS[max(fitting, key=len)]], "invalid", text)
        else:
            # A field that REST does not have: the custom resource's own name says most.
            yield FieldError(path, "invalid", text)


def _not_found(error: ApiError) -> Problem:
    name, kind = error.details.get("name"), error.details.get("kind") or "thing"
    if not name:
        # The path itself is unknown to the API server.
        return Problem(
            problems.CLUSTER_FAULT, "the cluster does not know the scheduler's resources: install their definitions"
        )
    word = {"scheduledjobs": "job", "jobruns": "run", "namespaces": "namespace"}.get(kind, kind)
    return Problem(problems.NOT_FOUND, f"there is no {word} {name!r}")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    answer = problem(error)
    if answer.kind.status >= 500:
        logger.error("the API server failed", extra={"status": error.status, "reason": error.message})
    return problems.render(answer, problems.request_id(request))


async def _unreachable(request: Request, error: Exception) -> Response:
    assert isinstance(error, Unreachable)
    logger.error("the API server cannot be reached", extra={"reason": str(error)})
    return problems.render(problem(error), problems.request_id(request))
