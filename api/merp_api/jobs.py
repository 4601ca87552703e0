"""What clients do with jobs: read, create, replace and delete."""

import base64
import hashlib
import json
import secrets
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, TypeVar

from merp_api import audit, patches, problems, rules, translate
from merp_api.catalogues import Catalogues
from merp_api.cluster import Cluster
from merp_api.filters import ALL_NAMESPACES, JobsQuery
from merp_api.identity import Caller
from merp_api.problems import FieldError, Problem
from merp_api.rankings import Ranking, is_plain
from merp_api.reading import Reading
from merp_api.rules import JobRules, check_schedule
from merp_api.schemas import JobView
from merp_api.templates import Templates, is_template_name
from merp_api.times import parse_time
from merp_api.translate import Json
from merp_api.views import job_zone
from merp_crds.connections import own_image
from merp_crds.languages import Language
from merp_crds.names import (
    ANNOTATION_CREATED_BY,
    ANNOTATION_IDEMPOTENCY,
    MAX_NAME_LENGTH,
)
from merp_kube.client import ApiError

# Kubernetes' own: no vowels, so no words.
_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX: Final = 5
# Somebody who writes at the same time wins a few times in a row at most.
_TRIES: Final = 5
# What tells a cursor of jobs from one of executions.
_CURSOR: Final = "jobs:"
Written = TypeVar("Written")


class Jobs:
    """The jobs of the cluster, each call with the caller's own rights."""

    def __init__(
        self,
        cluster: Cluster,
        reading: Reading,
        rules: JobRules,
        catalogues: Catalogues,
        templates: Templates,
        *,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        """`now` is the clock, UTC; the API server's by default."""
        self._cluster = cluster
        self._reading = reading
        self._rules = rules
        self._catalogues = catalogues
        self._templates = templates
        self.now = now or cluster.now

    @property
    def default_zone(self) -> str:
        """The zone of schedules that name none."""
        return self._rules.default_zone

    async def page(self, caller: Caller, namespace: str, query: JobsQuery) -> tuple[list[JobView], str | None]:
        """A page of jobs and the cursor of the next one; `*` is every namespace.

        The API server neither filters nor sorts: live, for that all jobs are read, a page at a time. Its cursors lead
        to its own pages, also where the rest could come from memory.
        """
        where = None if namespace == ALL_NAMESPACES else namespace
        after = None if query.cursor is None else _decoded(query.cursor)
        of_the_server = after is not None and after.startswith(_CURSOR) and is_plain(query)
        try:
            page = None if of_the_server else await self._reading.page(caller, where, query, self.now())
            if page is not None:
                return page
            if of_the_server or (after is None and is_plain(query)):
                items, following = await self._plain(caller, where, query)
                return [self.view(item) for item in items], following
            ranking = Ranking(query)
        except ValueError as error:
            raise problems.validation([bad_cursor()]) from error
        jobs = self._cluster.all_jobs(caller.token, where)
        async with aclosing(jobs):
            async for job in jobs:
                ranking.add(self.view(job))
        return ranking.page()

    def view(self, job: Json) -> JobView:
        """A job as clients see it now."""
        return self._reading.view(job, self.now())

    async def _plain(self, caller: Caller, where: str | None, query: JobsQuery) -> tuple[list[Json], str | None]:
        after = None if query.cursor is None else _decoded(query.cursor).removeprefix(_CURSOR)
        try:
            page = await self._cluster.jobs(caller.token, where, query.limit, after)
        except ApiError as error:
            if after is not None and error.status == 400:
                raise problems.validation([bad_cursor()]) from error
            raise
        following = (page.get("metadata") or {}).get("continue")
        return page.get("items") or [], _seal_cursor(following) if following else None

    async def get(self, caller: Caller, namespace: str, name: str) -> Json:
        """One job. Raises ApiError 404."""
        return await self._reading.job(caller, namespace, name)

    async def create(self, caller: Caller, namespace: str, data: Any, key: str | None) -> tuple[Json, bool]:
        """The job that a body describes, and whether it was made now rather than by the same request before.

        With an Idempotency-Key a repeat finds the first job by its name, whichever gateway took it.
        """
        wanted = _wanted_template(data, None)
        template = None if wanted is None else await self._templates.read(caller, namespace, wanted)
        applying = await self._rules_for(caller, namespace, data, {} if template is None else {"template": template})
        fields = applying.read(data, self.now())
        chosen = fields.pop("id", None)
        described = translate.new_job(chosen or "", namespace, fields, {}, self.default_zone, template)
        check_schedule(described["spec"].get("schedule"), self.default_zone)
        annotations = {ANNOTATION_CREATED_BY: caller.user}
        if key is not None:
            annotations[ANNOTATION_IDEMPOTENCY] = fingerprint(caller.user, key, data)
        for attempt in range(_TRIES):
            name = chosen or (_keyed_id(caller.user, key) if key else _random_id(fields["func"]))
            job = translate.new_job(name, namespace, fields, annotations, self.default_zone, template)
            try:
                made = await self._cluster.create_job(caller.token, job)
                audit.written(caller.user, "create", "ScheduledJob", after=made)
                return made, True
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
        return await retried(lambda: self._change(caller, namespace, name, lambda _: data, if_match))

    async def patch(self, caller: Caller, namespace: str, name: str, patch: Any, if_match: str | None) -> Json:
        """The job with what a merge patch of its contract says, and everything else as it was."""
        return await retried(
            lambda: self._change(caller, namespace, name, lambda current: patches.body_of(current, patch), if_match)
        )

    async def delete(
        self, caller: Caller, namespace: str, name: str, if_match: str | None = None, *, rehearsal: bool = False
    ) -> None:
        """Delete a job; its runs end with it, and its history stays. A rehearsal deletes nothing.

        With If-Match it is read first, and deleted only as it was read.
        """
        version = None
        if if_match is not None:
            job = await self._cluster.job(caller.token, namespace, name)
            check_match(job, if_match)
            version = None if if_match.strip() == "*" else job["metadata"]["resourceVersion"]
        try:
            uid = await self._cluster.delete_job(caller.token, namespace, name, version, rehearsal=rehearsal)
        except ApiError as error:
            if version is None or error.reason != "Conflict":
                raise
            raise Problem(problems.PRECONDITION, "it was changed meanwhile: read it again") from error
        if not rehearsal:
            # What it was nobody read: who may delete a job need not be allowed to see it.
            before = {"metadata": {"namespace": namespace, "name": name, "uid": uid}}
            audit.written(caller.user, "delete", "ScheduledJob", before=before)

    async def _change(
        self, caller: Caller, namespace: str, name: str, body_of: Callable[[Json], Any], if_match: str | None
    ) -> Json:
        job = await self._cluster.job(caller.token, namespace, name)
        check_match(job, if_match)
        current = translate.contract(job, self.default_zone) | {"id": name}
        data = body_of(current)
        base = await self._with_template(caller, job, data, current["template"])
        applying = await self._rules_for(caller, namespace, data, base["spec"])
        fields = applying.read(data, self.now(), current)
        fields.pop("id", None)
        spec = translate.with_fields(base, fields, self.default_zone)
        if base is job and translate.same(spec, job["spec"]):
            # Who may not change it is told so, also where there is nothing to change.
            await self._cluster.replace_job(caller.token, job, rehearsal=True)
            return job
        if spec.get("schedule") != job["spec"].get("schedule"):
            check_schedule(spec.get("schedule"), self.default_zone)
        changed = await self._cluster.replace_job(caller.token, base | {"spec": spec})
        audit.written(caller.user, "change", "ScheduledJob", before=job, after=changed)
        return changed

    async def _with_template(self, caller: Caller, job: Json, data: Any, shown: str | None) -> Json:
        """The job with the approved template that a body names; the very same where it names the one that it has."""
        wanted = _wanted_template(data, shown)
        if wanted == shown:
            return job
        namespace = job["metadata"]["namespace"]
        content = {} if wanted is None else await self._templates.read(caller, namespace, wanted)
        return translate.with_template(job, wanted, content)

    async def wrong_parameters(self, caller: Caller, job: Json, args: Any, kwargs: Any) -> list[FieldError]:
        """What is wrong with parameters that a run of a job is given instead of the job's own (None)."""
        applying = await self._rules_for(caller, job["metadata"]["namespace"], {}, job["spec"])
        return applying.wrong_parameters(job["spec"], args, kwargs)

    async def _rules_for(self, caller: Caller, namespace: str, data: Any, spec: Json) -> JobRules:
        """The rules with the catalogue of the image that a job has with the fields of `data` over its spec."""
        template = rules.readable_template(spec)
        image: Any = own_image(template)
        if isinstance(data, dict) and "image" in data and (template is None or image == template.image):
            image = data["image"]
        if image is not None and not isinstance(image, str):
            # Refused for that.
            return self._rules
        return replace(self._rules, catalogue=await self._catalogues.of(caller, namespace, image), template=template)

    async def _repeated(self, caller: Caller, namespace: str, name: str, annotations: dict[str, str]) -> Json:
        job = await self._cluster.job(caller.token, namespace, name)
        if ANNOTATION_IDEMPOTENCY not in (job["metadata"].get("annotations") or {}):
            # No request with any key made it: another key would not help.
            raise _taken(name, namespace)
        check_repeat(job, annotations[ANNOTATION_IDEMPOTENCY])
        return job


def _wanted_template(data: Any, shown: str | None) -> str | None:
    """The template that a body asks for; the present one where it says nothing, or what cannot be one."""
    wanted = data.get("template", shown) if isinstance(data, dict) else shown
    return wanted if wanted is None or (isinstance(wanted, str) and is_template_name(wanted)) else shown


async def retried(work: Callable[[], Awaitable[Written]]) -> Written:
    """What `work`, which reads and then writes, returns once nobody has written in between."""
    for _ in range(_TRIES - 1):
        try:
            return await work()
        except ApiError as error:
            if error.reason != "Conflict":
                raise
    return await work()


def etag(job: Json, language: Language = Language.EN) -> str:
    """The version of a job, as ETag and If-Match have it; another one for what is told in another language."""
    told = "" if language is Language.EN else f"-{language.value}"
    return f'"{job["metadata"]["resourceVersion"]}{told}"'


def check_match(job: Json, if_match: str | None) -> None:
    """Raises Problem 412 where a job is not of the version that a client expects."""
    if if_match is None or if_match.strip() == "*":
        return
    candidates = {candidate.strip() for candidate in if_match.split(",")}
    if candidates.isdisjoint(etag(job, language) for language in Language):
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


def _seal_cursor(following: str) -> str:
    return base64.urlsafe_b64encode(f"{_CURSOR}{following}".encode()).decode().rstrip("=")


def _decoded(cursor: str) -> str:
    """What a cursor says; nothing for one that is none."""
    try:
        return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("utf-8")
    except ValueError:
        return ""


def bad_cursor() -> FieldError:
    """What is wrong with a cursor of the client's own making."""
    return FieldError("cursor", "invalid", "is not one that a page gave: begin again without", "query")
