"""What clients do with jobs: read, create, replace, delete, pause and resume."""

import base64
import binascii
import hashlib
import json
import secrets
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, Final

from merp_api import problems, translate
from merp_api.cluster import Cluster
from merp_api.identity import Caller
from merp_api.problems import FieldError, Problem
from merp_api.rules import JobRules, read_body
from merp_api.schemas import ALL_NAMESPACES, PauseBody
from merp_api.times import parse_time
from merp_api.translate import Json
from merp_api.views import job_zone, pause_in_force, resume_in_force
from merp_crds.common import rfc3339
from merp_crds.names import (
    ANNOTATION_CREATED_BY,
    ANNOTATION_IDEMPOTENCY,
    ANNOTATION_PAUSED,
    FIELD_MANAGER_API,
    MAX_NAME_LENGTH,
)
from merp_kube.client import ApiError, Unreachable

# Kubernetes' own: no vowels, so no words.
_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX: Final = 5
# Somebody who writes at the same time wins a few times in a row at most.
_TRIES: Final = 5
# What tells a cursor of jobs from one of executions.
_CURSOR: Final = "jobs:"
# Seconds that a pause is waited for: the operator needs a fraction of one where it is well.
PAUSE_SECONDS: Final = 3.0


class Jobs:
    """The jobs of the cluster, each call with the caller's own rights."""

    def __init__(
        self,
        cluster: Cluster,
        rules: JobRules,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        self._cluster = cluster
        self._rules = rules
        self._pause_seconds = pause_seconds
        self.now = now

    @property
    def default_zone(self) -> str:
        """The zone of schedules that name none."""
        return self._rules.default_zone

    async def page(
        self, caller: Caller, namespace: str, limit: int, cursor: str | None
    ) -> tuple[list[Json], str | None]:
        """A page of jobs and the cursor of the next one; `*` is every namespace."""
        after = None if cursor is None else _open_cursor(cursor)
        where = None if namespace == ALL_NAMESPACES else namespace
        try:
            page = await self._cluster.jobs(caller.token, where, limit, after)
        except ApiError as error:
            if after is not None and error.status == 400:
                raise problems.validation([bad_cursor()]) from error
            raise
        following = (page.get("metadata") or {}).get("continue")
        return page.get("items") or [], _seal_cursor(following) if following else None

    async def get(self, caller: Caller, namespace: str, name: str) -> Json:
        """One job. Raises ApiError 404."""
        return await self._cluster.job(caller.token, namespace, name)

    async def create(self, caller: Caller, namespace: str, data: Any, key: str | None) -> tuple[Json, bool]:
        """The job that a body describes, and whether it was made now rather than by the same request before.

        With an Idempotency-Key a repeat finds the first job by its name, whichever gateway took it.
        """
        fields = self._rules.read(data, self.now())
        chosen = fields.pop("id", None)
        annotations = {ANNOTATION_CREATED_BY: caller.user}
        if key is not None:
            annotations[ANNOTATION_IDEMPOTENCY] = fingerprint(caller.user, key, data)
        for attempt in range(_TRIES):
            name = chosen or (_keyed_id(caller.user, key) if key else _random_id(fields["func"]))
            job = translate.new_job(name, namespace, fields, annotations, self.default_zone)
            try:
                return await self._cluster.create_job(caller.token, job), True
            except ApiError as error:
                if error.reason != "AlreadyExists":
                    raise
                if key is not None:
                    return await self._repeated(caller, namespace, name, annotations), False
                if chosen is not None or attempt + 1 == _TRIES:
                    raise _taken(name, namespace) from error
        raise AssertionError("the last try returns or raises")

    async def replace(self, caller: Caller, namespace: str, name: str, data: Any, if_match: str | None) -> Json:
        """The job with the fields of the contract as the body has them, and everything else as it was."""
        return await _retried(lambda: self._replace(caller, namespace, name, data, if_match))

    async def delete(self, caller: Caller, namespace: str, name: str) -> None:
        """Delete a job; its runs end with it, and its history stays."""
        await self._cluster.delete_job(caller.token, namespace, name)

    async def pause(self, caller: Caller, namespace: str, name: str, data: Any) -> tuple[Json, bool]:
        """The paused job, and whether the pause is in force already. A pause that is there stays as it is."""
        body = read_body(PauseBody, data)
        job = await _retried(lambda: self._pause(caller, namespace, name, body))
        return await self._wait(caller, job, pause_in_force)

    async def resume(self, caller: Caller, namespace: str, name: str) -> tuple[Json, bool]:
        """The job without its pause, and whether the operator lets it run already.

        Raises Problem 409 where the manifest declares the pause and another manager owns that: nothing is changed then.
        """
        job = await _retried(lambda: self._resume(caller, namespace, name))
        return await self._wait(caller, job, resume_in_force)

    async def _replace(self, caller: Caller, namespace: str, name: str, data: Any, if_match: str | None) -> Json:
        job = await self._cluster.job(caller.token, namespace, name)
        check_match(job, if_match)
        current = translate.contract(job, self.default_zone) | {"id": name}
        fields = self._rules.read(data, self.now(), current)
        fields.pop("id", None)
        spec = translate.with_fields(job, fields, self.default_zone)
        if spec == job["spec"]:
            return job
        return await self._cluster.replace_job(caller.token, job | {"spec": spec})

    async def _pause(self, caller: Caller, namespace: str, name: str, body: PauseBody) -> Json:
        job = await self._cluster.job(caller.token, namespace, name)
        if _is_annotated(job) and body.reason is None and body.until is None:
            return job
        return await self._annotate(caller, job, self._pause_note(caller, job, body))

    async def _resume(self, caller: Caller, namespace: str, name: str) -> Json:
        job = await self._cluster.job(caller.token, namespace, name)
        suspended = bool(job["spec"].get("suspend"))
        if suspended:
            _refuse_foreign_suspension(job)
        if not suspended and not _is_annotated(job):
            return job
        return await self._annotate(caller, job, None, {"suspend": None} if suspended else None)

    async def _repeated(self, caller: Caller, namespace: str, name: str, annotations: dict[str, str]) -> Json:
        job = await self._cluster.job(caller.token, namespace, name)
        check_repeat(job, annotations[ANNOTATION_IDEMPOTENCY])
        return job

    def _pause_note(self, caller: Caller, job: Json, body: PauseBody) -> str:
        note: dict[str, str] = {"by": caller.user, "at": rfc3339(self.now())}
        if body.reason is not None:
            note["reason"] = body.reason
        if body.until is not None:
            until = body_time("until", body.until, job, self.default_zone)
            if until <= self.now():
                raise problems.validation([FieldError.in_body(["until"], "invalid", "is over already")])
            note["until"] = rfc3339(until)
        return json.dumps(note, ensure_ascii=False)

    async def _annotate(self, caller: Caller, job: Json, note: str | None, spec: Json | None = None) -> Json:
        metadata = job["metadata"]
        patch: Json = {
            "metadata": {
                "resourceVersion": metadata["resourceVersion"],
                "annotations": {ANNOTATION_PAUSED: note},
            }
        }
        if spec is not None:
            patch["spec"] = spec
        return await self._cluster.patch_job(caller.token, metadata["namespace"], metadata["name"], patch)

    async def _wait(self, caller: Caller, job: Json, reached: Callable[[Json], bool]) -> tuple[Json, bool]:
        """The job once the operator has acted, or as it is when the wait ends."""
        if reached(job):
            return job, True
        changes = self._cluster.changes(caller.token, job, self._pause_seconds)
        try:
            async with aclosing(changes):
                async for job in changes:
                    if reached(job):
                        return job, True
        except (TimeoutError, ApiError, Unreachable):
            # Written it is; whether it is in force the caller may not watch, or could not be told in time.
            return job, False
        return job, False


async def _retried(work: Callable[[], Awaitable[Json]]) -> Json:
    """What `work`, which reads and then writes, returns once nobody has written in between."""
    for _ in range(_TRIES - 1):
        try:
            return await work()
        except ApiError as error:
            if error.reason != "Conflict":
                raise
    return await work()


def _is_annotated(job: Json) -> bool:
    return ANNOTATION_PAUSED in (job["metadata"].get("annotations") or {})


def etag(job: Json) -> str:
    """The version of a job, as ETag and If-Match have it."""
    return f'"{job["metadata"]["resourceVersion"]}"'


def check_match(job: Json, if_match: str | None) -> None:
    """Raises Problem 412 where a job is not of the version that a client expects."""
    if if_match is None or if_match.strip() == "*":
        return
    if etag(job) not in [candidate.strip() for candidate in if_match.split(",")]:
        raise Problem(problems.PRECONDITION, f"its ETag is {etag(job)} now: read it again")


def fingerprint(user: str, key: str, data: Any) -> str:
    """What makes two requests the same one."""
    canonical = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{user}\n{key}\n{canonical}".encode()).hexdigest()


def check_repeat(found: Json, expected: str) -> None:
    """Raises Problem 409 where an object was not made by the same request."""
    if (found["metadata"].get("annotations") or {}).get(ANNOTATION_IDEMPOTENCY) != expected:
        raise Problem(
            problems.KEY_REUSED,
            f"{found['metadata']['name']!r} was made by another request: send a new key, or the same body",
        )


def keyed_digest(user: str, key: str) -> str:
    """What an Idempotency-Key names an object by: the same key of another user is another one."""
    return hashlib.sha256(f"{user}\n{key}".encode()).hexdigest()


def _keyed_id(user: str, key: str) -> str:
    return f"job-{keyed_digest(user, key)[:24]}"


def _random_id(func: str) -> str:
    """A slug of the task and five random characters."""
    slug = func.replace("_", "-")[: MAX_NAME_LENGTH - _SUFFIX - 1].strip("-")
    return f"{slug}-{''.join(secrets.choice(_ALPHABET) for _ in range(_SUFFIX))}"


def _taken(name: str, namespace: str) -> Problem:
    return Problem(problems.EXISTS, f"there is a job {name!r} in namespace {namespace!r} already: choose another id")


def body_time(field: str, text: str, job: Json, default_zone: str) -> datetime:
    """A time of a small body, in the job's zone where it says none. Raises Problem 400."""
    try:
        return parse_time(text, job_zone(job, default_zone))
    except ValueError as error:
        raise problems.validation([FieldError.in_body([field], "invalid", str(error))]) from error


def _refuse_foreign_suspension(job: Json) -> None:
    owners = [
        entry["manager"]
        for entry in job["metadata"].get("managedFields") or []
        if "f:suspend" in ((entry.get("fieldsV1") or {}).get("f:spec") or {}) and entry["manager"] != FIELD_MANAGER_API
    ]
    if owners:
        raise Problem(
            problems.OWNED_ELSEWHERE,
            f"spec.suspend is true, and {', '.join(sorted(set(owners)))} decides it: change it there",
        )


def _seal_cursor(following: str) -> str:
    return base64.urlsafe_b64encode(f"{_CURSOR}{following}".encode()).decode().rstrip("=")


def _open_cursor(cursor: str) -> str:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("utf-8")
    except (ValueError, binascii.Error):
        text = ""
    if not text.startswith(_CURSOR):
        raise problems.validation([bad_cursor()])
    return text.removeprefix(_CURSOR)


def bad_cursor() -> FieldError:
    """What is wrong with a cursor of the client's own making."""
    return FieldError("cursor", "invalid", "is not one that a page gave: begin again without", "query")
