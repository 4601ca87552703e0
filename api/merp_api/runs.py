"""Runs that clients ask for, by hand or once more, and the history of all runs."""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from merp_api import audit, problems, rules, translate
from merp_api.cluster import Cluster
from merp_api.executions import Executions, is_finished, job_names, latest
from merp_api.filters import ALL_NAMESPACES, HistoryQuery, OneHistoryQuery
from merp_api.identity import Caller, Identities
from merp_api.jobs import Jobs, bad_cursor, body_time, check_repeat, fingerprint, keyed_digest
from merp_api.problems import FieldError, Problem
from merp_api.records import Records
from merp_api.schemas import ExecutionBody, ExecutionView, RetryBody
from merp_api.translate import Json
from merp_api.views import display_name, execution_view, invalid, run_view, unfinished_run
from merp_crds.jobrun import LONGEST_AHEAD
from merp_crds.names import ANNOTATION_CREATED_BY, ANNOTATION_IDEMPOTENCY
from merp_crds.scheduledjob import ConcurrencyPolicy
from merp_kube.client import ApiError
from merp_records import queries


class Runs:
    """Executions: asked for with the caller's own rights, read from the records where these allow it."""

    def __init__(
        self, cluster: Cluster, identities: Identities, records: Records, jobs: Jobs, executions: Executions
    ) -> None:
        self._cluster = cluster
        self._identities = identities
        self._records = records
        self._jobs = jobs
        self._executions = executions

    async def execute(
        self, caller: Caller, namespace: str, name: str, data: Any, key: str | None, *, rehearsal: bool = False
    ) -> ExecutionView:
        """Ask for a run now. It has an id before it has a pod; with an Idempotency-Key a repeat finds the first.

        A rehearsal asks for none, and is refused where that would be; the id that it answers with is of no run.
        """
        body = rules.read_body(ExecutionBody, data)
        too_large = rules.size_error(body.args, body.kwargs)
        if too_large is not None:
            raise problems.validation([too_large])
        job = await self._cluster.job(caller.token, namespace, name)
        due_time = body_due_time(body, job, self._jobs.default_zone)
        run = translate.new_run(
            _run_request_name(name, caller, key),
            job,
            args=body.args,
            kwargs=body.kwargs,
            due_time=due_time,
            policy=body.concurrency_policy,
            annotations=_annotations(caller, key, data),
        )

        wrong = await self._wrong_parameters(caller, job, body)

        def refuse() -> None:
            _refuse_parameters(job, body)
            if wrong:
                raise problems.validation(wrong)
            _refuse_pointless(job, body.concurrency_policy)

        made = await self._create(caller, run, refuse, rehearsal=rehearsal)
        return run_view(made, job["metadata"]["uid"], display_name(job))

    async def retry(
        self,
        caller: Caller,
        namespace: str | None,
        default_namespace: str,
        execution_id: str,
        data: Any,
        key: str | None,
    ) -> ExecutionView:
        """Ask for a finished run once more, for its due time and with its parameters; that is an execution of its own.

        Raises Problem 404, and 409 where it has not ended, where its job was deleted or cannot be run, where a run of
        that is unfinished and overlap forbidden, and for a record of many due times.
        """
        body = rules.read_body(RetryBody, data)
        view = (await self._executions.find(caller, namespace, default_namespace, execution_id)).view
        job = await self._executions.job_of(caller, view)
        args, kwargs = _parameters(job, view)
        run = translate.new_run(
            _run_request_name(view.job_id, caller, None if key is None else f"{execution_id}/{key}"),
            job,
            args=args,
            kwargs=kwargs,
            # Given, because the operator may not know any more which run that was.
            due_time=view.due_time,
            policy=body.concurrency_policy,
            annotations=_annotations(caller, key, {"retry": execution_id, "body": data}),
            again=view.run_name,
        )

        def refuse() -> None:
            _refuse_unfinished(latest(view, job))
            _refuse_pointless(job, body.concurrency_policy)

        made = await self._create(caller, run, refuse)
        return run_view(made, job["metadata"]["uid"], display_name(job))

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
        job = await self._jobs.get(caller, namespace, name)
        return await self._page(query, allowed, job["metadata"]["uid"], None)

    async def _create(self, caller: Caller, run: Json, refuse: Callable[[], None], *, rehearsal: bool = False) -> Json:
        """The JobRun that is made, or was by the same request before; `refuse` raises where none is to be made."""
        metadata = run["metadata"]
        fingerprinted = metadata["annotations"].get(ANNOTATION_IDEMPOTENCY)
        if fingerprinted is not None:
            # First: of a repeat, the run that is unfinished may be the one that it asks for.
            earlier = await self._existing(caller, metadata)
            if earlier is not None:
                check_repeat(earlier, fingerprinted)
                return earlier
        refuse()
        try:
            made = await self._cluster.create_run(caller.token, run, rehearsal=rehearsal)
        except ApiError as error:
            if error.reason != "AlreadyExists" or fingerprinted is None:
                raise
        else:
            if not rehearsal:
                audit.written(caller.user, "retry" if "run" in run["spec"] else "execute", "JobRun", after=made)
            return made
        made = await self._cluster.run(caller.token, metadata["namespace"], metadata["name"])
        check_repeat(made, fingerprinted)
        return made

    async def _wrong_parameters(self, caller: Caller, job: Json, body: ExecutionBody) -> list[FieldError]:
        if body.args is None and body.kwargs is None:
            return []
        return await self._jobs.wrong_parameters(caller, job, body.args, body.kwargs)

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
                text=query.text,
                limit=query.limit,
                cursor=query.cursor,
            )
            named = job_names(connection, page.items)
            return [execution_view(item, named[item.job_id]) for item in page.items], page.next_cursor

        return await self._records.read(read)


def body_due_time(body: ExecutionBody, job: Json, default_zone: str) -> datetime | None:
    """The due time that a body asks for. Raises Problem 400."""
    if body.due_time is None:
        return None
    found = body_time("due_time", body.due_time, job, default_zone)
    if found - datetime.now(UTC) > LONGEST_AHEAD:
        text = f"is more than {LONGEST_AHEAD.days} days ahead: correct it"
        raise problems.validation([FieldError.in_body(["due_time"], "out_of_range", text)])
    return found


def _annotations(caller: Caller, key: str | None, data: Any) -> Json:
    """Who asks, and what makes a repeat of the request the same one."""
    annotations = {ANNOTATION_CREATED_BY: caller.user}
    if key is not None:
        annotations[ANNOTATION_IDEMPOTENCY] = fingerprint(caller.user, key, data)
    return annotations


def _parameters(job: Json, view: ExecutionView) -> tuple[Any, Any]:
    """args and kwargs of a run, where they are known and the job still calls the same function; else None."""
    given, task = view.params or {}, job["spec"].get("task") or {}
    # What was asked for by hand and is not recorded yet names no function: it is that of the job.
    if not task or given.get("func", task["func"]) != task["func"]:
        return None, None
    return given.get("args"), given.get("kwargs")


def _refuse_unfinished(view: ExecutionView) -> None:
    if not is_finished(view):
        raise Problem(problems.UNFINISHED, f"{view.run_name} is {view.status}: wait for its end, or cancel it first")
    if view.count > 1:
        raise Problem(
            problems.TOO_MANY_DUE_TIMES,
            f"this stands for {view.count} due times, and a retry is one run: ask for them with a JobRun that has a "
            "backfill",
        )


def _refuse_parameters(job: Json, body: ExecutionBody) -> None:
    name = job["metadata"]["name"]
    if (body.args is not None or body.kwargs is not None) and not job["spec"].get("task"):
        fields = [field for field in ("args", "kwargs") if getattr(body, field) is not None]
        detail = f"{name} has no task to give it to"
        raise problems.validation([FieldError.in_body([field], "mismatch", detail) for field in fields])


def _refuse_pointless(job: Json, asked: str | None) -> None:
    """Say at once what the operator would only find out later; `asked` is the overlap policy of the request."""
    name = job["metadata"]["name"]
    problem = invalid(job)
    if problem is not None:
        raise Problem(problems.INVALID_JOB, f"{name} cannot be run: {problem}")
    policy = asked or job["spec"].get("concurrencyPolicy") or ConcurrencyPolicy.FORBID
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
