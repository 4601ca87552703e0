"""Cancelling a run: a note on its ScheduledJob, which the operator carries out. Callers need no rights on Jobs."""

import json

from merp_api import audit, problems
from merp_api.cluster import Cluster
from merp_api.executions import Executions, Known, is_finished, latest
from merp_api.identity import Caller
from merp_api.jobs import Jobs, retried
from merp_api.problems import Problem
from merp_api.schemas import ExecutionView
from merp_crds.common import LABEL_LENGTH, rfc3339
from merp_crds.names import ANNOTATION_CANCEL_PREFIX


class Cancellations:
    """Cancellations of runs, each call with the caller's own rights."""

    def __init__(self, cluster: Cluster, executions: Executions, jobs: Jobs) -> None:
        self._cluster = cluster
        self._executions = executions
        self._jobs = jobs

    async def cancel(
        self, caller: Caller, namespace: str | None, default_namespace: str, execution_id: str
    ) -> ExecutionView:
        """Ask that a run be ended, whatever it does. The first who asks is remembered; a repeat changes nothing.

        Raises Problem 404, and 409 where it has ended, or its job was deleted.
        """
        known = await self._executions.find(caller, namespace, default_namespace, execution_id)
        _refuse_finished(known.view)
        return await retried(lambda: self._cancel(caller, known))

    async def _cancel(self, caller: Caller, known: Known) -> ExecutionView:
        job = await self._executions.job_of(caller, known.view)
        _refuse_finished(latest(known.view, job))
        metadata = job["metadata"]
        wanted, *others = _annotations(known)
        if (metadata.get("annotations") or {}).keys().isdisjoint((wanted, *others)):
            note = json.dumps({"by": caller.user, "at": rfc3339(self._jobs.now())}, ensure_ascii=False)
            patch = {"metadata": {"resourceVersion": metadata["resourceVersion"], "annotations": {wanted: note}}}
            written = await self._cluster.patch_job(caller.token, metadata["namespace"], metadata["name"], patch)
            audit.written(caller.user, "cancel", "ScheduledJob", before=job, after=written)
        else:
            await self._cluster.check_patch(caller.token, job)
        return known.view


def _annotations(known: Known) -> list[str]:
    """Where a cancellation of that run may stand; the first is where it is written.

    By the name of a request that was only just made the operator looks it up, also where no watch has shown it yet. The
    name of one that was made by kubectl may be longer than that of an annotation.
    """
    named = [known.view.run_name]
    if known.request is not None and len(known.request) <= LABEL_LENGTH:
        named.insert(0, known.request)
    return [f"{ANNOTATION_CANCEL_PREFIX}{name}" for name in named]


def _refuse_finished(view: ExecutionView) -> None:
    if is_finished(view):
        why = "" if view.reason is None else f" ({view.reason})"
        when = "" if view.end_time is None else f" at {rfc3339(view.end_time)}"
        raise Problem(
            problems.FINISHED, f"{view.run_name} ended as {view.status}{why}{when}: there is nothing to cancel"
        )
