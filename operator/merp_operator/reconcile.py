"""One look at one ScheduledJob: read what exists, decide, apply, report.

Every look starts from the latest state, so that it does not matter which event led to it, or how many were missed.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from http import HTTPStatus
from typing import Final

from merp_crds import names
from merp_crds.common import parse_rfc3339, rfc3339
from merp_crds.reasons import ConditionReason
from merp_crds.scheduledjob import ScheduledJobSpec
from merp_kube import paths
from merp_kube.client import ApiError, Unreachable
from merp_operator import (
    definition,
    desired,
    events,
    jobrun_status,
    metrics,
    observe,
    outcome,
    pause,
    records,
    requests,
    status,
)
from merp_operator.cluster import Cluster
from merp_operator.definition import Problem
from merp_operator.desired import Defaults
from merp_operator.jobruns import JobRuns
from merp_operator.observe import Json, Observed, Run
from merp_operator.outcome import Outcome
from merp_operator.recorder import Recorder
from merp_operator.status import Judged
from merp_operator.watch import Key, Watch
from merp_records.rows import ExecutionRecord, JobRecord

# At most one status a second for each object: a job with many runs changes more often than anybody reads.
_STATUS_SECONDS: Final = 1.0
# What a template that Kubernetes will not take is answered with.
_USER_ERRORS: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY})

# An apply with a field that no schema has is answered with 500, though it is the user's.
_UNKNOWN_FIELD: Final = "failed to create typed patch object"

_log = logging.getLogger(__name__)


class Reconciler:
    """Brings one ScheduledJob after the other to what it should be.

    `defaults` is read at every look, because the catalogue may change while the process runs; `clock` gives now, UTC.
    """

    def __init__(
        self,
        *,
        cluster: Cluster,
        watch: Watch,
        recorder: Recorder,
        defaults: Callable[[], Defaults],
        clock: Callable[[], datetime],
    ) -> None:
        self._cluster = cluster
        self._watch = watch
        self._recorder = recorder
        self._defaults = defaults
        self._clock = clock
        self._job_runs = JobRuns(cluster=cluster, watch=watch, recorder=recorder, clock=clock)
        # The UID last seen under each name: another one means that the ScheduledJob was made anew.
        self._uids: dict[Key, str] = {}
        self._rows: dict[str, JobRecord] = {}
        # Jobs that are gone and not told of yet.
        self._vanished: defaultdict[Key, dict[str, Run]] = defaultdict(dict)
        self._written_at: dict[Key, float] = {}
        # CronJobs as they were after our last write: (what was applied, the generation it got).
        self._applied: dict[str, tuple[Json, int]] = {}
        # Definitions without a CronJob whose Job the API server has tried: (UID, generation).
        self._tried: dict[str, int] = {}

    def key_of(self, job_id: str) -> Key | None:
        """The name of the ScheduledJob with that UID, if it is there."""
        row = self._rows.get(job_id)
        return None if row is None else (row.namespace, row.resource_name)

    def job_vanished(self, job: Json, pods: list[Json]) -> None:
        """A Job is gone: its run is told of at the next look."""
        metadata = job["metadata"]
        owner = observe.owner_name(job)
        if owner is not None:
            run = observe.read_run(owner, job, pods)
            self._vanished[metadata["namespace"], owner][run.uid] = run

    async def reconcile(self, key: Key) -> float | None:
        """Look once. Returns the seconds after which to look again, or None.

        Raises ApiError and Unreachable where the world would not; then it is to be tried again.
        """
        body = self._watch.scheduled_jobs.get(*key)
        if body is None or body["metadata"].get("deletionTimestamp"):
            await self._gone(key)
            return None
        self._made_anew(key, body["metadata"]["uid"])
        defaults = self._defaults()
        observed = await self._observe(key, body)
        observed, problem, error = await self._apply(observed, defaults)
        refusals = [] if problem is not None else await self._job_runs.answer(observed, defaults)
        await self._cluster_books(observed)
        judged = [Judged(run, outcome.judge(run)) for run in observed.runs]
        await self._tell_vanished(key)
        now = self._clock()
        wanted = status.compute(observed, judged, problem, defaults, now, refusals)
        wait = await self._report(key, observed, wanted, now)
        self._record(observed, judged, defaults, wanted)
        await self._job_runs.report(observed, judged, problem, now)
        later = await self._clean_up(observed, now)
        if error is not None:
            raise error
        paused = pause.in_force(observed, now)
        resumes = None if paused is None or paused.until is None else rfc3339(paused.until)
        return _earliest(wait, later, _until(wanted.get("nextRunTime"), now), _until(resumes, now))

    async def _observe(self, key: Key, body: Json) -> Observed:
        cron_job = self._watch.cron_jobs.get(*key)
        if cron_job is None:
            # The cache holds only what carries our label, and may lag behind our own write.
            cron_job = await self._cluster.cron_job(*key)
        return observe.observe(body, cron_job, self._watch.jobs_of(*key), self._watch.requests_of(*key))

    async def _apply(self, observed: Observed, defaults: Defaults) -> tuple[Observed, Problem | None, ApiError | None]:
        """Make the CronJob what it should be. Returns what is there now, what is wrong, and what to try again for."""
        problem = definition.problem(observed, defaults)
        if problem is None:
            assert observed.spec is not None, "a definition that cannot be read is a problem"
            try:
                cron_job = await self._apply_cron_job(observed, observed.spec, defaults)
                # The runs made in this very look belong to it already.
                return replace(observed, cron_job=cron_job), None, None
            except ApiError as error:
                if error.status in _USER_ERRORS or _UNKNOWN_FIELD in error.message:
                    return observed, Problem(ConditionReason.INVALID_TEMPLATE, f"template: {error.message}"), None
                if error.status == HTTPStatus.CONFLICT:
                    raise
                text = f"{error.message}; it is being tried again"
                return observed, Problem(ConditionReason.CANNOT_APPLY, text), error
        if problem.reason is not ConditionReason.CRONJOB_EXISTS:
            # What runs is what the object says; what it says now cannot run.
            await self._stop_cron_job(observed)
        return observed, problem, None

    async def _apply_cron_job(self, observed: Observed, spec: ScheduledJobSpec, defaults: Defaults) -> Json | None:
        """The CronJob as it is after this look; None if there is none."""
        wanted = desired.cron_job(observed, spec, defaults, self._clock())
        actual = observed.cron_job
        if wanted is None:
            await self._stop_cron_job(observed)
            await self._try_job(observed, spec, defaults)
            return actual
        if actual is not None and not desired.differs(wanted, actual):
            return actual
        applied = self._applied.get(observed.uid)
        if actual is not None and applied == (wanted, actual["metadata"].get("generation")):
            # Kubernetes writes some values in another way than they were given: that is no drift.
            return actual
        result = await self._cluster.apply_cron_job(wanted)
        self._applied[observed.uid] = (wanted, result["metadata"]["generation"])
        _log.info("applied CronJob %s/%s", observed.namespace, observed.name)
        return result

    async def _stop_cron_job(self, observed: Observed) -> None:
        """No CronJob is wanted: it starts nothing more at once, and goes when its runs are over and recorded."""
        cron_job = observed.cron_job
        if cron_job is None or not desired.is_ours(cron_job, observed):
            return
        if not cron_job["spec"].get("suspend"):
            await self._cluster.suspend_cron_job(cron_job)
        elif observed.spec is not None and all(self._committed(observed, run) for run in observed.runs):
            await self._cluster.delete_cron_job(observed.namespace, observed.name, cron_job["metadata"]["uid"])
            self._applied.pop(observed.uid, None)

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

    async def _cluster_books(self, observed: Observed) -> None:
        references = desired.missing_references(observed)
        if references and observed.cron_job is not None:
            await self._cluster.list_in_cron_job(observed.cron_job, references)

    async def _report(self, key: Key, observed: Observed, wanted: Json, now: datetime) -> float | None:
        """Write the status if it changed, and tell the Events of that. Returns when to come back, if it is too soon."""
        before = observed.status
        if wanted == before:
            return None
        told = events.changes(observed.body, before, wanted, now)
        since = time.monotonic() - self._written_at.get(key, -_STATUS_SECONDS)
        if not told and since < _STATUS_SECONDS:
            return _STATUS_SECONDS - since
        item = await self._cluster.write_status(paths.SCHEDULED_JOB, observed.body, wanted)
        self._written_at[key] = time.monotonic()
        self._watch.scheduled_jobs.put(item)
        seen = {entry["run"] for entry in before.get("recent") or []}
        for entry in wanted.get("recent") or []:
            if entry["run"] not in seen:
                metrics.RUNS_TOTAL.labels(observed.namespace, entry["verdict"], entry["trigger"]).inc()
        for event in told:
            await self._tell(event)
        return None

    async def _tell(self, event: Json) -> None:
        try:
            await self._cluster.create_event(event)
        except (ApiError, Unreachable) as error:
            # Events are for people who look right now; the status and the record hold the same for good.
            _log.warning("an Event could not be told: %s", error)

    def _record(self, observed: Observed, judged: list[Judged], defaults: Defaults, wanted: Json) -> None:
        row = records.job_record(observed, defaults, wanted)
        self._rows[observed.uid] = row
        self._recorder.submit(row, [self._execution(row, item.run, item.outcome) for item in judged])

    @staticmethod
    def _execution(row: JobRecord, run: Run, ending: Outcome) -> ExecutionRecord:
        return records.execution_record(
            job_id=row.id, namespace=row.namespace, job_name=row.resource_name, run=run, outcome=ending
        )

    async def _tell_vanished(self, key: Key) -> None:
        """Record the runs whose Jobs are gone."""
        for run in list(self._vanished.get(key, {}).values()):
            uid = run.job["metadata"]["labels"].get(names.LABEL_SCHEDULED_JOB_UID, "")
            row = self._rows.get(uid)
            if row is not None:
                gone = False
                if not run.finished:
                    live = await self._cluster.scheduled_job(*key)
                    gone = live is None or live["metadata"]["uid"] != uid
                ending = outcome.vanished(run, owner_gone=gone, now=self._clock())
                self._recorder.submit(row, [self._execution(row, run, ending)])
            self._vanished[key].pop(run.uid, None)
        if not self._vanished.get(key):
            self._vanished.pop(key, None)

    async def _clean_up(self, observed: Observed, now: datetime) -> float | None:
        """Delete finished Jobs beyond `history` once they are recorded. Returns when more will be old enough."""
        if observed.spec is None:
            return None
        committed = frozenset(run.name for run in observed.runs if self._committed(observed, run))
        for run in desired.removable(observed, observed.spec, committed, now):
            await self._cluster.delete_job(observed.namespace, run.name, run.uid)
            _log.info("deleted recorded Job %s/%s", observed.namespace, run.name)
        await self._job_runs.clean_up(observed, now)
        ages = [
            (run.due_time + desired.CLEANUP_AGE - now).total_seconds()
            for run in observed.runs
            if run.finished and now < run.due_time + desired.CLEANUP_AGE
        ]
        return min(ages, default=None)

    def _committed(self, observed: Observed, run: Run) -> bool:
        return run.finished and self._recorder.is_committed(names.execution_id(observed.uid, run.name))

    def _made_anew(self, key: Key, uid: str) -> None:
        known = self._uids.get(key)
        if known is not None and known != uid:
            self._forget(known)
        self._uids[key] = uid

    async def _gone(self, key: Key) -> None:
        """The ScheduledJob is not there: its runs are told of, and requests for it say so."""
        await self._tell_vanished(key)
        for body in self._watch.requests_of(*key):
            request = observe.read_request(body)
            if not requests.answered(request):
                message = f"scheduledJob: there is no ScheduledJob {key[1]} in {key[0]}: create it, and this runs"
                told = jobrun_status.refused(request, requests.UNKNOWN_JOB, message, self._clock())
                await self._job_runs.write(request, told)
        uid = self._uids.get(key)
        if uid is not None and not self._watch.jobs_of(*key):
            # The row is needed until the last of its Jobs is told of.
            del self._uids[key]
            self._forget(uid)

    def _forget(self, uid: str) -> None:
        self._recorder.job_deleted(uid, self._clock())
        self._rows.pop(uid, None)
        self._applied.pop(uid, None)
        self._tried.pop(uid, None)


def _until(moment: str | None, now: datetime) -> float | None:
    """Seconds until a moment has passed."""
    return None if moment is None else max(0.0, (parse_rfc3339(moment) - now).total_seconds()) + 1.0


def _earliest(*delays: float | None) -> float | None:
    return min((delay for delay in delays if delay is not None), default=None)
