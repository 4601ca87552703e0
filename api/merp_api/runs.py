"""Runs by hand, and what is known of executions: from the records, and until they have it from the request."""

import secrets
from contextlib import aclosing
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from merp_api import problems, rules, translate
from merp_api.cluster import Cluster
from merp_api.identity import Caller, Identities
from merp_api.jobs import Jobs, bad_cursor, body_time, check_repeat, fingerprint, keyed_digest
from merp_api.problems import FieldError, Problem
from merp_api.records import Records
from merp_api.schemas import ALL_NAMESPACES, ExecutionBody, ExecutionView, HistoryQuery, OneHistoryQuery
from merp_api.translate import Json
from merp_api.views import execution_view, invalid, owner_uid, run_execution_id, run_view, unfinished_run
from merp_crds.names import ANNOTATION_CREATED_BY, ANNOTATION_IDEMPOTENCY
from merp_crds.scheduledjob import ConcurrencyPolicy
from merp_kube.client import ApiError
from merp_records import queries
from merp_records.queries import Execution


class Runs:
    """Executions: asked for with the caller's own rights, read from the records where these allow it."""

    def __init__(self, cluster: Cluster, identities: Identities, records: Records, jobs: Jobs) -> None:
        self._cluster = cluster
        self._identities = identities
        self._records = records
        self._jobs = jobs

    async def execute(self, caller: Caller, namespace: str, name: str, data: Any, key: str | None) -> ExecutionView:
        """Ask for a run now. It has an id before it has a pod; with an Idempotency-Key a repeat finds the first."""
        body = rules.read_body(ExecutionBody, data)
        too_large = rules.size_error(body.args, body.kwargs)
        if too_large is not None:
            raise problems.validation([too_large])
        job = await self._cluster.job(caller.token, namespace, name)
        due_time = body_due_time(body, job, self._jobs.default_zone)
        annotations = {ANNOTATION_CREATED_BY: caller.user}
        if key is not None:
            annotations[ANNOTATION_IDEMPOTENCY] = fingerprint(caller.user, key, data)
        run = translate.new_run(
            _run_request_name(name, caller, key),
            job,
            args=body.args,
            kwargs=body.kwargs,
            due_time=due_time,
            policy=body.concurrency_policy,
            annotations=annotations,
        )
        made = await self._create(caller, job, run, body)
        return run_view(made, job["metadata"]["uid"], _display_name(job))

    async def history(
        self, caller: Caller, query: HistoryQuery, namespace: str
    ) -> tuple[list[ExecutionView], str | None]:
        """A page of everything that ran in a namespace (`*`: in all), and the cursor of the next."""
        asked = None if namespace == ALL_NAMESPACES else namespace
        allowed = await self._identities.readable(caller, asked)
        return await self._page(query, allowed, None, query.job_id)

    async def job_history(
        self, caller: Caller, query: OneHistoryQuery, namespace: str, name: str
    ) -> tuple[list[ExecutionView], str | None]:
        """A page of the runs of the job that has this id now, not of one that had it before."""
        allowed = await self._identities.readable(caller, namespace)
        job = await self._cluster.job(caller.token, namespace, name)
        return await self._page(query, allowed, job["metadata"]["uid"], None)

    async def execution(
        self, caller: Caller, namespace: str | None, default_namespace: str, execution_id: str
    ) -> ExecutionView:
        """One execution. Without a namespace it is looked for wherever the caller may see jobs.

        Raises Problem 404.
        """
        if namespace is None and await self._identities.may_list(caller, None):
            allowed = None
        else:
            allowed = await self._identities.readable(caller, namespace or default_namespace)
        found = await self._records.read(lambda connection: _one(connection, execution_id, allowed))
        view = found or await self._requested(caller, namespace or default_namespace, execution_id)
        if view is None:
            where = f" in namespace {namespace or default_namespace!r}" if allowed is not None else ""
            raise Problem(problems.NOT_FOUND, f"there is no execution {execution_id!r}{where}")
        return view

    async def _create(self, caller: Caller, job: Json, run: Json, body: ExecutionBody) -> Json:
        metadata = run["metadata"]
        fingerprinted = metadata["annotations"].get(ANNOTATION_IDEMPOTENCY)
        if fingerprinted is not None:
            # First: of a repeat, the run that is unfinished may be the one that it asks for.
            earlier = await self._existing(caller, metadata)
            if earlier is not None:
                check_repeat(earlier, fingerprinted)
                return earlier
        _refuse_pointless(job, body)
        try:
            return await self._cluster.create_run(caller.token, run)
        except ApiError as error:
            if error.reason != "AlreadyExists" or fingerprinted is None:
                raise
        made = await self._cluster.run(caller.token, metadata["namespace"], metadata["name"])
        check_repeat(made, fingerprinted)
        return made

    async def _existing(self, caller: Caller, metadata: Json) -> Json | None:
        try:
            return await self._cluster.run(caller.token, metadata["namespace"], metadata["name"])
        except ApiError as error:
            if error.status != 404:
                raise
            return None

    async def _page(
        self, query: OneHistoryQuery, allowed: frozenset[str] | None, job_uid: str | None, job_name: str | None
    ) -> tuple[list[ExecutionView], str | None]:
        if query.cursor is not None:
            _check_cursor(query.cursor)

        def read(connection: Connection) -> tuple[list[ExecutionView], str | None]:
            page = queries.history(
                connection,
                namespaces=allowed,
                job_id=job_uid,
                job_name=job_name,
                status=query.status or None,
                trigger=query.trigger or None,
                start=query.start,
                end=query.end,
                limit=query.limit,
                cursor=query.cursor,
            )
            named = _job_names(connection, page.items)
            return [execution_view(item, named[item.job_id]) for item in page.items], page.next_cursor

        return await self._records.read(read)

    async def _requested(self, caller: Caller, namespace: str, execution_id: str) -> ExecutionView | None:
        """The execution from the request for it: the operator records it a moment later."""
        runs = self._cluster.runs(caller.token, namespace)
        try:
            async with aclosing(runs):
                async for run in runs:
                    uid = owner_uid(run)
                    if uid is not None and run_execution_id(uid, run) == execution_id:
                        return run_view(run, uid, await self._name_of(caller, run, uid))
        except ApiError as error:
            if error.status != 403:
                raise
        return None

    async def _name_of(self, caller: Caller, run: Json, job_uid: str) -> str:
        """The job's name for people, as far as the job is still there and the caller may read it."""
        name = str(run["spec"]["scheduledJob"])
        try:
            job = await self._cluster.job(caller.token, run["metadata"]["namespace"], name)
        except ApiError as error:
            if error.status not in (403, 404):
                raise
            return name
        return _display_name(job) if job["metadata"]["uid"] == job_uid else name


def body_due_time(body: ExecutionBody, job: Json, default_zone: str) -> datetime | None:
    """The due time that a body asks for. Raises Problem 400."""
    return None if body.due_time is None else body_time("due_time", body.due_time, job, default_zone)


def _refuse_pointless(job: Json, body: ExecutionBody) -> None:
    """Say at once what the operator would only find out later."""
    name = job["metadata"]["name"]
    if (body.args is not None or body.kwargs is not None) and not job["spec"].get("task"):
        fields = [field for field in ("args", "kwargs") if getattr(body, field) is not None]
        detail = f"{name} has no task to give it to"
        raise problems.validation([FieldError.in_body([field], "mismatch", detail) for field in fields])
    problem = invalid(job)
    if problem is not None:
        raise Problem(problems.INVALID_JOB, f"{name} cannot be run: {problem}")
    policy = body.concurrency_policy or job["spec"].get("concurrencyPolicy") or ConcurrencyPolicy.FORBID
    unfinished = unfinished_run(job)
    if policy == ConcurrencyPolicy.FORBID and unfinished is not None:
        raise Problem(problems.OVERLAP, f"{unfinished} is not finished: wait for it, or send concurrency_policy Allow")


def _run_request_name(name: str, caller: Caller, key: str | None) -> str:
    # The job is part of what the key is for: the same key may run several jobs.
    return f"{name}-{secrets.token_hex(5) if key is None else keyed_digest(caller.user, f'{name}/{key}')[:20]}"


def _check_cursor(cursor: str) -> None:
    try:
        queries.decode_cursor(cursor)
    except ValueError as error:
        raise problems.validation([bad_cursor()]) from error


def _one(connection: Connection, execution_id: str, namespaces: frozenset[str] | None) -> ExecutionView | None:
    found = queries.execution(connection, execution_id, namespaces=namespaces)
    return None if found is None else execution_view(found, _job_names(connection, (found,))[found.job_id])


def _job_names(connection: Connection, executions: tuple[Execution, ...]) -> dict[str, str]:
    """The name for people of each execution's job, by the job's UID."""
    named: dict[str, str] = {}
    for execution in executions:
        if execution.job_id not in named:
            job = queries.job(connection, execution.job_id, namespaces=None)
            named[execution.job_id] = execution.job_name if job is None else job.name
    return named


def _display_name(job: Json) -> str:
    return str(job["spec"].get("displayName") or job["metadata"]["name"])
