"""One execution: from the records; what these do not have, or cannot tell while they are away, from live objects."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from merp_api import problems
from merp_api.cluster import Cluster
from merp_api.identity import Caller, Identities
from merp_api.problems import Problem
from merp_api.reading import Reading
from merp_api.records import Records
from merp_api.schemas import ExecutionView
from merp_api.translate import Json
from merp_api.views import display_name, execution_view, listed_view, owner_uid, run_view
from merp_crds.reasons import RunState
from merp_kube.client import ApiError
from merp_records import queries
from merp_records.queries import Execution

_UNFINISHED: Final = frozenset(state.value for state in RunState)


@dataclass(frozen=True, slots=True)
class Known:
    """An execution; `request` is the name of the JobRun that asks for it, where nothing else is known of it yet."""

    view: ExecutionView
    request: str | None = None


class Executions:
    """Looks up single executions, as far as the caller may see them."""

    def __init__(self, cluster: Cluster, reading: Reading, identities: Identities, records: Records) -> None:
        self._cluster = cluster
        self._reading = reading
        self._identities = identities
        self._records = records

    async def find(self, caller: Caller, namespace: str | None, default_namespace: str, execution_id: str) -> Known:
        """One execution. Without a namespace it is looked for wherever the caller may see jobs.

        An id is a digest and leads back to nothing: what is not recorded is found by making the ids of what is there.
        Raises Problem 404, and 503 where the records are away and might have it.
        """
        where = namespace or default_namespace
        if namespace is None and await self._identities.may_list(caller, None):
            allowed = None
        else:
            allowed = await self._identities.readable(caller, where)
        missing = Problem(problems.NOT_FOUND, _missing(execution_id, where if allowed is not None else None))
        try:
            recorded = await self._records.read(lambda connection: _one(connection, execution_id, allowed))
        except Problem as problem:
            if problem.kind is not problems.RECORDS_AWAY:
                raise
            recorded, missing = None, problem
        if recorded is not None:
            return Known(recorded)
        known = await self._requested(caller, where, execution_id) or await self._listed(caller, where, execution_id)
        if known is None:
            raise missing
        return known

    async def job_of(self, caller: Caller, view: ExecutionView) -> Json:
        """The job that a run is of. Raises Problem 409 where it was deleted, whether or not another has its id now."""
        try:
            job = await self._cluster.job(caller.token, view.namespace, view.job_id)
        except ApiError as error:
            if error.status != 404:
                raise
            raise _job_gone(view) from error
        if job["metadata"]["uid"] != view.job_uid:
            raise _job_gone(view)
        return job

    async def _requested(self, caller: Caller, namespace: str, execution_id: str) -> Known | None:
        """The execution from the request for it: the operator records it a moment later."""
        run = await self._reading.request(caller, namespace, execution_id)
        uid = None if run is None else owner_uid(run)
        if run is None or uid is None:
            return None
        return Known(run_view(run, uid, await self._name_of(caller, run, uid)), run["metadata"]["name"])

    async def _listed(self, caller: Caller, namespace: str, execution_id: str) -> Known | None:
        """The execution from the status of its job, which has what goes on and what ended last."""
        view = await self._reading.listed(caller, namespace, execution_id, self._cluster.now())
        return None if view is None else Known(view)

    async def _name_of(self, caller: Caller, run: Json, job_uid: str) -> str:
        """The job's name for people, as far as the job is still there and the caller may read it."""
        name = str(run["spec"]["scheduledJob"])
        try:
            job = await self._reading.job(caller, run["metadata"]["namespace"], name)
        except ApiError as error:
            if error.status not in (403, 404):
                raise
            return name
        return display_name(job) if job["metadata"]["uid"] == job_uid else name


def is_finished(view: ExecutionView) -> bool:
    """Whether an execution has its verdict."""
    return view.status not in _UNFINISHED


def latest(view: ExecutionView, job: Json) -> ExecutionView:
    """The execution with the verdict that its job's status has, where the records do not have it yet."""
    listed = None if is_finished(view) else listed_view(job, view.id)
    return listed if listed is not None and is_finished(listed) else view


def job_names(connection: Connection, executions: tuple[Execution, ...]) -> dict[str, str]:
    """The name for people of each execution's job, by the job's UID."""
    named = queries.job_names(connection, {execution.job_id for execution in executions})
    return {execution.job_id: execution.job_name for execution in executions} | named


def _one(connection: Connection, execution_id: str, namespaces: frozenset[str] | None) -> ExecutionView | None:
    found = queries.execution(connection, execution_id, namespaces=namespaces)
    return None if found is None else execution_view(found, job_names(connection, (found,))[found.job_id])


def _missing(execution_id: str, namespace: str | None) -> str:
    where = "" if namespace is None else f" in namespace {namespace!r}"
    return f"there is no execution {execution_id!r}{where}"


def _job_gone(view: ExecutionView) -> Problem:
    return Problem(problems.JOB_GONE, f"the job {view.job_id!r} of {view.run_name} was deleted, and its runs with it")
