"""The CronJob of a ScheduledJob: made as it should be, stopped where none is wanted, and its books kept."""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from http import HTTPStatus
from typing import Final

from merp_crds.reasons import ConditionReason
from merp_crds.scheduledjob import ScheduledJobSpec, ScheduledJobStatus
from merp_kube.client import ApiError
from merp_operator import books, definition, desired
from merp_operator.cluster import Cluster
from merp_operator.definition import Problem
from merp_operator.desired import Defaults
from merp_operator.observe import Json, Observed, Run

# What a template that Kubernetes will not take is answered with.
_USER_ERRORS: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY})
# An apply with a field that no schema has is answered with 500, though it is the user's.
_UNKNOWN_FIELD: Final = "failed to create typed patch object"

_log = logging.getLogger(__name__)


def _refused(error: ApiError) -> Problem:
    """What is wrong with a definition that the API server does not take, by the field that it names."""
    fields = {cause.get("field") for cause in error.details.get("causes") or []}
    if "spec.timeZone" in fields:
        # Zones are renamed, and its zone database may be older than ours.
        text = f"schedule.timeZone: the cluster does not know it, write a former name of that zone: {error.message}"
        return Problem(ConditionReason.INVALID_TIME_ZONE, text)
    if "spec.schedule" in fields:
        text = f"schedule.cron: the cluster does not take it: {error.message}"
        return Problem(ConditionReason.INVALID_SCHEDULE, text)
    return Problem(ConditionReason.INVALID_TEMPLATE, f"template: {error.message}")


class CronJobs:
    """The CronJobs of one ScheduledJob after the other. `committed` says whether a run's record is safe."""

    def __init__(self, cluster: Cluster, committed: Callable[[Observed, Run], bool]) -> None:
        self._cluster = cluster
        self._committed = committed
        # CronJobs as they were after our last write: (what was applied, the generation it got).
        self._applied: dict[str, tuple[Json, int]] = {}
        # Definitions without a CronJob whose Job the API server has tried: (UID, generation).
        self._tried: dict[str, int] = {}

    def forget(self, uid: str) -> None:
        """That ScheduledJob is gone."""
        self._applied.pop(uid, None)
        self._tried.pop(uid, None)

    def may_be_unseen(self, body: Json) -> bool:
        """Whether a ScheduledJob may have a CronJob that the watch does not show: somebody else's, or one made here."""
        return "schedule" in (body.get("spec") or {}) or body["metadata"]["uid"] in self._applied

    async def apply(
        self, observed: Observed, defaults: Defaults, now: datetime
    ) -> tuple[Observed, Problem | None, ApiError | None]:
        """Make the CronJob what it should be. Returns what is there now, what is wrong, and what to try again for.

        The runs made in this very look belong to the CronJob that is returned.
        """
        problem = definition.problem(observed, defaults)
        if problem is None:
            assert observed.spec is not None, "a definition that cannot be read is a problem"
            try:
                return replace(observed, cron_job=await self._make(observed, observed.spec, defaults, now)), None, None
            except ApiError as error:
                if error.status in _USER_ERRORS or _UNKNOWN_FIELD in error.message:
                    observed = replace(observed, cron_job=await self._stop(observed))
                    return observed, _refused(error), None
                if error.status == HTTPStatus.CONFLICT:
                    raise
                text = f"{error.message}; it is being tried again"
                return observed, Problem(ConditionReason.CANNOT_APPLY, text), error
        if problem.reason is not ConditionReason.CRONJOB_EXISTS:
            # What runs is what the object says; what it says now cannot run.
            observed = replace(observed, cron_job=await self._stop(observed))
        return observed, problem, None

    async def keep_books(self, observed: Observed, status: ScheduledJobStatus, now: datetime) -> None:
        """Tell the native controller what it has to know. Raises ApiError 409 if the CronJob has changed."""
        missing = books.missing(observed, status, now)
        if missing and observed.cron_job is not None:
            await self._cluster.keep_books(observed.cron_job, missing.active, missing.last_schedule_time)
        for run in books.to_hand_over(observed):
            await self._cluster.hand_over(run.job, desired.controller(observed))

    async def _make(self, observed: Observed, spec: ScheduledJobSpec, defaults: Defaults, now: datetime) -> Json | None:
        wanted = desired.cron_job(observed, spec, defaults, now)
        actual = observed.cron_job
        if wanted is None:
            await self._try_job(observed, spec, defaults)
            return await self._stop(observed)
        # What came by a list says neither its kind nor its version: it is of what was listed.
        content = {field: wanted[field] for field in ("metadata", "spec")}
        if actual is not None and not desired.differs(content, actual):
            return actual
        applied = self._applied.get(observed.uid)
        if actual is not None and applied == (wanted, actual["metadata"].get("generation")):
            # Kubernetes writes some values in another way than they were given: that is no drift.
            return actual
        passed = books.passed(observed, wanted, now)
        if actual is not None and passed is not None:
            await self._cluster.keep_books(actual, (), passed)
        try:
            result = await self._cluster.apply_cron_job(wanted)
        except ApiError as error:
            if actual is not None and error.status != HTTPStatus.CONFLICT and books.starts_otherwise(actual, wanted):
                # A small change may be allowed where a whole CronJob is not; what is due the operator starts.
                await self._cluster.suspend_cron_job(actual)
            raise
        self._applied[observed.uid] = (wanted, result["metadata"]["generation"])
        _log.info("applied CronJob %s/%s", observed.namespace, observed.name)
        return result

    async def _stop(self, observed: Observed) -> Json | None:
        """No CronJob is wanted: it starts nothing more at once, and goes when its runs are over and recorded.

        Returns it as it is now, None once it is gone.
        """
        cron_job = observed.cron_job
        if cron_job is None or not observed.owns(cron_job):
            return cron_job
        if not cron_job["spec"].get("suspend"):
            return await self._cluster.suspend_cron_job(cron_job)
        if (
            observed.spec is None
            or observed.expected
            or not all(self._committed(observed, run) for run in observed.runs)
        ):
            return cron_job
        known = {run.uid for run in observed.runs}
        live = await self._cluster.jobs_of(observed.namespace, observed.uid)
        if any(job["metadata"]["uid"] not in known for job in live):
            # Made just before it was stopped, and no watch has shown it: it would go with the CronJob.
            return cron_job
        await self._cluster.delete_cron_job(observed.namespace, observed.name, cron_job["metadata"]["uid"])
        self._applied.pop(observed.uid, None)
        return None

    async def _try_job(self, observed: Observed, spec: ScheduledJobSpec, defaults: Defaults) -> None:
        """Where no CronJob is made the API server has not seen the template yet: let it look, once."""
        if self._tried.get(observed.uid) == observed.generation:
            return
        job = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": f"{observed.name}-r-try", "namespace": observed.namespace},
            "spec": desired.job_spec(observed, spec, defaults),
        }
        await self._cluster.create_job(job, dry_run=True)
        self._tried[observed.uid] = observed.generation
