"""What the operator does with JobRuns: creates their Jobs, says what became of them, and removes them in the end."""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from merp_crds.common import parse_rfc3339
from merp_crds.jobrun import NOT_READY, UNKNOWN_JOB
from merp_crds.names import execution_id
from merp_crds.reasons import Reason, Verdict
from merp_crds.scheduledjob import Task, VerdictEntry
from merp_kube import paths
from merp_kube.client import ApiError, Unreachable
from merp_operator import backfill, jobrun_status, observe, records, requests, status
from merp_operator.backfills import Backfills, Look
from merp_operator.cancellations import Cancellations
from merp_operator.cluster import Cluster, will_not_have
from merp_operator.definition import Problem
from merp_operator.desired import Defaults
from merp_operator.expectations import Expectations
from merp_operator.observe import Json, Observed, Request
from merp_operator.outcome import Outcome
from merp_operator.own import Key
from merp_operator.recorder import Recorder
from merp_operator.status import Judged
from merp_operator.watch import Watch

# A request is kept this long after its Job is gone, for whoever asked for it.
_REQUEST_AGE: Final = timedelta(hours=1)
# The counts of a backfill stand nowhere else.
_BACKFILL_AGE: Final = timedelta(days=7)

_log = logging.getLogger(__name__)


class JobRuns:
    """The JobRuns of one ScheduledJob after the other. Errors are the client's."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        watch: Watch,
        recorder: Recorder,
        expectations: Expectations,
        clock: Callable[[], datetime],
    ) -> None:
        self._cluster = cluster
        self._watch = watch
        self._recorder = recorder
        self._expectations = expectations
        self._clock = clock
        self._backfills = Backfills(cluster=cluster, recorder=recorder, expectations=expectations, write=self.write)
        self._cancellations = Cancellations(cluster=cluster, watch=watch)

    async def answer(self, observed: Observed, defaults: Defaults, problem: Problem | None) -> list[VerdictEntry]:
        """Create the runs that were asked for one by one; none while there is a `problem` with the definition.

        Returns the verdicts of all requests that never became a run.
        """
        if problem is not None or observed.spec is None:
            answers = requests.withdrawn(observed)
        else:
            answers = requests.answers(observed, observed.spec, defaults)
        for answer in answers:
            final = await self._create(observed, answer) if isinstance(answer, requests.Create) else answer
            if isinstance(final, requests.Create):
                told = jobrun_status.accepted(observed, answer.request, None, self._clock())
            elif isinstance(final, requests.Invalid):
                told = jobrun_status.refused(final.request, "Invalid", final.message, self._clock())
            else:
                told = jobrun_status.without_run(observed, final, self._clock())
            await self.write(answer.request, told)
        return self._record_refusals(self._fresh(observed), defaults)

    async def _create(self, observed: Observed, answer: requests.Create) -> requests.Answer:
        """Create the Job, or find it made before. Returns a refusal where it cannot be."""
        name = answer.job["metadata"]["name"]
        wanted = requests.identity(observed, answer.request)
        assert wanted is not None, "what becomes a Job has a due time"
        key = (observed.namespace, observed.name)
        self._expectations.add(key, name)
        try:
            if await self._cluster.create_job(answer.job):
                _log.info("created run %s/%s for %s", observed.namespace, name, answer.request.name)
                return answer
        except (ApiError, Unreachable) as error:
            self._expectations.remove(key, name)
            if isinstance(error, Unreachable) or not will_not_have(error):
                raise
            return requests.Refuse(
                answer.request, name, wanted.due_time, Reason.START_REFUSED, error.message, Verdict.FAILED
            )
        job = await self._cluster.job(observed.namespace, name)
        if job is None or observed.owns(job):
            return answer
        self._expectations.remove(key, name)
        message = f"a Job {name} exists and is not of this ScheduledJob"
        return requests.Refuse(answer.request, name, wanted.due_time, Reason.NAME_TAKEN, message)

    def _record_refusals(self, observed: Observed, defaults: Defaults) -> list[VerdictEntry]:
        """The verdicts without a run, from the JobRuns that have them: a record that was lost with a process is
        written by the next one."""
        entries = []
        for request in observed.requests:
            wanted = requests.identity(observed, request) if requests.never_ran(request) else None
            if wanted is None:
                continue
            ending = jobrun_status.ending_of(request)
            trigger = requests.trigger_of(request)
            entries.append(status.verdict_entry(wanted.run_name, wanted.due_time, trigger, ending))
            if not self._recorder.is_committed(execution_id(observed.uid, wanted.run_name)):
                row = records.job_record(observed, defaults, observed.status)
                refused = records.refused_record(
                    observed,
                    run_name=wanted.run_name,
                    due_time=wanted.due_time,
                    outcome=ending,
                    asked_by=records.created_by(request.body),
                    trigger=trigger,
                    task=_task(observed, request),
                )
                self._recorder.submit(row, [refused])
        return entries

    async def report(
        self, observed: Observed, judged: list[Judged], problem: Problem | None, defaults: Defaults, now: datetime
    ) -> float | None:
        """Say of each request what became of its runs, let the backfills go on, and cancel what is to be cancelled.

        Returns the seconds after which to look again, or None.
        """
        outcomes = {item.run.name: item.outcome for item in judged}
        # What was written in this very look counts: its Job may be recorded by now, and go at the end of this look.
        observed = self._fresh(observed)
        for request in observed.requests:
            await self._report_one(observed, request, outcomes, problem, now)
        delay = await self._backfills.proceed(Look(self._fresh(observed), outcomes, problem, defaults, now))
        await self._cancellations.carry_out(self._fresh(observed), now)
        return delay

    async def _report_one(
        self, observed: Observed, request: Request, outcomes: dict[str, Outcome], problem: Problem | None, now: datetime
    ) -> None:
        told = request.body.get("status") or {}
        waits = not requests.answered(request) and not (told.get("until") and requests.is_backfill(request))
        if problem is not None and waits:
            # It is answered once the definition is good; until then it says what it waits for.
            await self.write(request, jobrun_status.refused(request, NOT_READY, problem.message, now))
        if not told.get("run") or told.get("verdict"):
            return
        ending = outcomes.get(told["run"])
        if ending is None and await self._cluster.job(observed.namespace, told["run"]) is None:
            ending = _remembered(observed, told["run"]) or _deleted(request, now)
        if ending is not None:
            await self.write(request, jobrun_status.accepted(observed, request, ending, now))

    async def write(self, request: Request, wanted: Json) -> None:
        """Write a JobRun's status if it changed."""
        if wanted == (request.body.get("status") or {}):
            return
        item = await self._cluster.write_status(paths.JOB_RUN, request.body, wanted)
        self._watch.job_runs.put(item)

    async def without_job(self, key: Key) -> None:
        """There is no ScheduledJob: requests for it say so, and its backfills end."""
        now = self._clock()
        for body in self._watch.requests_of(*key):
            request = observe.read_request(body)
            if requests.answered(request) or not (backfill.is_open(request) or not requests.is_backfill(request)):
                continue
            progress = backfill.progress_of(request) if requests.is_backfill(request) else None
            if progress is None:
                message = f"scheduledJob: there is no ScheduledJob {key[1]} in {key[0]}: create it, and this runs"
                await self.write(request, jobrun_status.refused(request, UNKNOWN_JOB, message, now))
            elif await self._cluster.scheduled_job(*key) is None:
                await self.write(request, jobrun_status.of_backfill(request, backfill.orphaned(progress), None, now))

    async def clean_up(self, observed: Observed, now: datetime) -> None:
        """Remove requests whose runs are over and gone."""
        runs = {run.name for run in observed.runs}
        for request in observed.requests:
            told = request.body.get("status") or {}
            age = _BACKFILL_AGE if requests.is_backfill(request) else _REQUEST_AGE
            if not told.get("endTime") or told.get("run") in runs or now <= parse_rfc3339(told["endTime"]) + age:
                continue
            if requests.never_ran(request):
                # What stands in its status alone must be recorded before it goes.
                recorded = str(told.get("executionId"))
                if not self._recorder.is_committed(recorded):
                    continue
                self._recorder.forget(recorded)
            await self._cluster.delete_job_run(observed.namespace, request.name, request.uid)

    def _fresh(self, observed: Observed) -> Observed:
        """The same with what this look has done: the JobRuns as they were written, the runs that were made."""
        key = (observed.namespace, observed.name)
        found = map(observe.read_request, self._watch.requests_of(*key))
        return replace(
            observed,
            requests=tuple(sorted(found, key=lambda request: (request.created, request.name))),
            expected=self._expectations.of(key, (run.name for run in observed.runs)),
        )


def _task(observed: Observed, request: Request) -> Task | None:
    """The task that a request's run would have been given, so that a rerun can be given the same."""
    if observed.spec is None or request.spec is None:
        return None
    return requests.requested_task(observed, observed.spec, request.spec)


def _remembered(observed: Observed, run: str) -> Outcome | None:
    """The verdict of a run whose Job is gone, where the ScheduledJob's status still lists it."""
    before = observed.told
    found = next((entry for entry in (*before.recent, *before.newest.values()) if entry.run == run), None)
    if found is None:
        return None
    return Outcome(
        status=found.verdict,
        reason=found.reason,
        message=found.message or "",
        start_time=found.start_time or found.end_time,
        end_time=found.end_time,
    )


def _deleted(request: Request, now: datetime) -> Outcome:
    """The run of a request whose Job is gone without a verdict."""
    return Outcome(
        status=Verdict.CANCELLED,
        reason=Reason.JOB_DELETED,
        message="its Job was deleted by hand",
        start_time=request.created,
        end_time=max(now, request.created),
    )
