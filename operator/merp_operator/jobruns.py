"""What the operator does with JobRuns: creates their Jobs, says what became of them, and removes them in the end."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from merp_crds.common import parse_rfc3339
from merp_crds.reasons import Reason, Trigger, Verdict
from merp_crds.scheduledjob import VerdictEntry
from merp_kube import paths
from merp_operator import desired, jobrun_status, records, requests, status
from merp_operator.cluster import Cluster
from merp_operator.definition import Problem
from merp_operator.desired import Defaults
from merp_operator.observe import Json, Observed, Request
from merp_operator.outcome import Outcome
from merp_operator.recorder import Recorder
from merp_operator.status import Judged
from merp_operator.watch import Watch

# A request is kept this long after its Job is gone, for whoever asked for it.
_REQUEST_AGE: Final = timedelta(hours=1)

_log = logging.getLogger(__name__)


class JobRuns:
    """The JobRuns of one ScheduledJob after the other. Errors are the client's."""

    def __init__(self, *, cluster: Cluster, watch: Watch, recorder: Recorder, clock: Callable[[], datetime]) -> None:
        self._cluster = cluster
        self._watch = watch
        self._recorder = recorder
        self._clock = clock

    async def answer(self, observed: Observed, defaults: Defaults) -> list[VerdictEntry]:
        """Create what was asked for. Returns the verdicts of requests that never become a run."""
        assert observed.spec is not None, "a definition that cannot be read is a problem"
        verdicts = []
        for answer in requests.answers(observed, observed.spec, defaults):
            refusal = await self._create(observed, answer) if isinstance(answer, requests.Create) else answer
            if refusal is None:
                await self.write(answer.request, jobrun_status.accepted(observed, answer.request, None, self._clock()))
            elif refusal.reason is None:
                told = jobrun_status.refused(refusal.request, "Invalid", refusal.message, self._clock())
                await self.write(refusal.request, told)
            else:
                verdicts.append(await self._refuse(observed, defaults, refusal, refusal.reason))
        return verdicts

    async def _create(self, observed: Observed, answer: requests.Create) -> requests.Refuse | None:
        """Create the Job, or find it made before. Returns a refusal where something else has its name."""
        name = answer.job["metadata"]["name"]
        if await self._cluster.create_job(answer.job):
            _log.info("created run %s/%s for %s", observed.namespace, name, answer.request.name)
            return None
        job = await self._cluster.job(observed.namespace, name)
        if job is None or desired.is_ours(job, observed):
            return None
        message = f"a Job {name} exists and is not of this ScheduledJob"
        due_time = requests.due_time_of(answer.request)
        return requests.Refuse(answer.request, name, due_time, Reason.NAME_TAKEN, message)

    async def _refuse(
        self, observed: Observed, defaults: Defaults, refusal: requests.Refuse, reason: Reason
    ) -> VerdictEntry:
        now = self._clock()
        ending = Outcome(
            status=Verdict.SKIPPED,
            reason=reason,
            message=refusal.message,
            start_time=refusal.due_time,
            end_time=max(now, refusal.due_time),
            error=refusal.message,
        )
        row = records.job_record(observed, defaults, observed.status)
        refused = records.refused_record(
            observed,
            run_name=refusal.run_name,
            due_time=refusal.due_time,
            outcome=ending,
            asked_by=records.created_by(refusal.request.body),
        )
        self._recorder.submit(row, [refused])
        await self.write(refusal.request, jobrun_status.skipped(observed, refusal.request, ending, now))
        return status.verdict_entry(refusal.run_name, refusal.due_time, Trigger.MANUAL, ending)

    async def report(self, observed: Observed, judged: list[Judged], problem: Problem | None, now: datetime) -> None:
        """Say of each request what became of its run."""
        outcomes = {item.run.name: item.outcome for item in judged}
        for request in observed.requests:
            told = request.body.get("status") or {}
            if problem is not None and not requests.answered(request):
                # It is answered once the definition is good; until then it says what it waits for.
                await self.write(request, jobrun_status.refused(request, requests.NOT_READY, problem.message, now))
            if not told.get("run") or told.get("verdict"):
                continue
            ending = outcomes.get(told["run"])
            if ending is None and await self._cluster.job(observed.namespace, told["run"]) is None:
                ending = _deleted(request, now)
            if ending is not None:
                await self.write(request, jobrun_status.accepted(observed, request, ending, now))

    async def write(self, request: Request, wanted: Json) -> None:
        """Write a JobRun's status if it changed."""
        if wanted == (request.body.get("status") or {}):
            return
        item = await self._cluster.write_status(paths.JOB_RUN, request.body, wanted)
        self._watch.job_runs.put(item)

    async def clean_up(self, observed: Observed, now: datetime) -> None:
        """Remove requests whose runs are over and gone."""
        runs = {run.name for run in observed.runs}
        for request in observed.requests:
            told = request.body.get("status") or {}
            ended = told.get("endTime")
            if ended and told.get("run") not in runs and now > parse_rfc3339(ended) + _REQUEST_AGE:
                await self._cluster.delete_job_run(observed.namespace, request.name, request.uid)


def _deleted(request: Request, now: datetime) -> Outcome:
    """The run of a request whose Job is gone without a verdict."""
    return Outcome(
        status=Verdict.CANCELLED,
        reason=Reason.JOB_DELETED,
        message="its Job was deleted by hand",
        start_time=request.created,
        end_time=max(now, request.created),
    )
