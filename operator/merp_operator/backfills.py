"""What the operator does for backfills: reads what is recorded, makes the next runs, writes how far it has come."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from merp_crds import names
from merp_crds.jobrun import NOT_READY, BackfillOnly
from merp_crds.reasons import Reason, Verdict
from merp_crds.scheduledjob import ScheduledJobSpec
from merp_kube.client import ApiError, Unreachable
from merp_operator import backfill, cancel, desired, jobrun_status, requests
from merp_operator.backfill import Progress, Step, Told, Waiting
from merp_operator.cluster import Cluster, will_not_have
from merp_operator.definition import Problem
from merp_operator.desired import Defaults
from merp_operator.expectations import Expectations
from merp_operator.observe import Json, Observed, Request, condition
from merp_operator.outcome import Outcome
from merp_operator.recorder import Recorder, RecordsAway

# A quota or a policy that refuses a Job changes when somebody changes it.
_REFUSED_SECONDS: Final = 30.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Look:
    """What one look knows: `outcomes` are those of the runs in `observed`, by their names."""

    observed: Observed
    outcomes: Mapping[str, Outcome]
    problem: Problem | None
    defaults: Defaults
    now: datetime


class Backfills:
    """The backfills of one ScheduledJob after the other. Errors are the client's."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        recorder: Recorder,
        expectations: Expectations,
        write: Callable[[Request, Json], Awaitable[None]],
    ) -> None:
        self._cluster = cluster
        self._recorder = recorder
        self._expectations = expectations
        self._write = write

    async def proceed(self, look: Look) -> float | None:
        """Let each backfill do its next step. Returns the seconds after which to look again, or None."""
        cancelled = cancel.asked(look.observed)
        unfinished = set(look.observed.unfinished_names)
        delays = [
            await self._one(look, request, cancelled.get(request.name), unfinished)
            for request in look.observed.requests
            if backfill.is_open(request)
        ]
        return min((delay for delay in delays if delay is not None), default=None)

    async def _one(
        self, look: Look, request: Request, cancellation: cancel.Cancellation | None, unfinished: set[str]
    ) -> float | None:
        progress = backfill.progress_of(request)
        if progress is None and cancellation is not None:
            progress = Progress(planned=0, until=backfill.asked_of(request).start)
        if progress is None:
            begun = self._begin(look, request)
            if isinstance(begun, Told):
                await self._write(request, jobrun_status.refused(request, begun.reason, begun.message, look.now))
                return None
            if backfill.asked_of(request).dry_run:
                return await self._dry_run(look, request, begun)
            progress = begun
        progress = backfill.count(progress, await self._verdicts(look, progress))
        waiting = None
        if cancellation is not None:
            why = Told(Reason.CANCELLED_BY_USER.value, cancellation.message)
            progress = backfill.stop(look.observed, request, progress, why)
        elif progress.stopped is None:
            progress, waiting = await self._start(look, request, progress, unfinished)
        # Written by compare-and-swap, after the Jobs were made: what a killed operator could not write any more is met
        # by the names of its Jobs.
        await self._write(request, jobrun_status.of_backfill(request, progress, waiting, look.now))
        return None if waiting is None else waiting.seconds

    @staticmethod
    def _begin(look: Look, request: Request) -> Progress | Told:
        observed = look.observed
        if look.problem is not None or observed.spec is None:
            text = observed.problem if look.problem is None else look.problem.message
            return Told(NOT_READY, text)
        if request.spec is not None:
            wrong = requests.wrong_parameters(observed, observed.spec, request.spec, look.defaults)
            if wrong is not None:
                return Told(backfill.INVALID, wrong)
        zone = desired.zone(observed.spec, look.defaults)
        return backfill.begin(observed, observed.spec, request, zone, look.now)

    async def _dry_run(self, look: Look, request: Request, begun: Progress) -> float | None:
        timetable = look.observed.timetable
        assert timetable is not None, "what has begun has due times"
        passed_over = await self._passed_over(look, request, begun)
        if isinstance(passed_over, Waiting):
            await self._write(request, jobrun_status.of_uncounted(request, passed_over, look.now))
            return passed_over.seconds
        counted = backfill.dry_run(request, begun, timetable, passed_over)
        await self._write(request, jobrun_status.of_dry_run(request, counted, look.now))
        return None

    async def _verdicts(self, look: Look, progress: Progress) -> dict[str, Verdict]:
        """How those of its runs ended that did."""
        coming = {name for name, _ in look.observed.expected}
        told = {entry["run"]: entry["verdict"] for entry in look.observed.status.get("recent") or []}
        found = {}
        for name in progress.active:
            outcome = look.outcomes.get(name)
            if outcome is not None:
                if isinstance(outcome.status, Verdict):
                    found[name] = outcome.status
            elif name not in coming and await self._cluster.job(look.observed.namespace, name) is None:
                # Deleted by hand: before it ended, or after.
                found[name] = Verdict(told.get(name, Verdict.CANCELLED))
        return found

    async def _start(
        self, look: Look, request: Request, progress: Progress, unfinished: set[str]
    ) -> tuple[Progress, Waiting | None]:
        """Start what may start now. Returns how far it has come, and what it waits for."""
        observed, spec = look.observed, look.observed.spec
        if look.problem is not None or spec is None:
            text = observed.problem if look.problem is None else look.problem.message
            return progress, Waiting(NOT_READY, text)
        progress = backfill.recount(observed, spec, request, progress)
        timetable = observed.timetable
        if progress.stopped is not None:
            return progress, None
        if timetable is None:
            return progress, Waiting(NOT_READY, observed.schedule_problem)
        own, unwritten = backfill.own_runs(observed, request, progress)
        # What is not counted yet takes room as well: the status lists no more than may run.
        busy = {*progress.active, *unwritten} | (unfinished & own)
        free = backfill.room(request, spec, busy, unfinished - own)
        if isinstance(free, Waiting):
            return progress, free
        if free == 0 and not unwritten:
            return progress, None
        passed_over = await self._passed_over(look, request, progress)
        if isinstance(passed_over, Waiting):
            return progress, passed_over
        plan = backfill.plan(observed, request, progress, timetable, passed_over, free, look.now)
        for step in plan.steps:
            taken = await self._take(look, spec, request, step)
            if isinstance(taken, Waiting):
                return progress, taken
            progress = backfill.take(progress, taken)
            unfinished.update([taken.run] if taken.run else [])
        if plan.exhausted:
            progress = replace(progress, until=backfill.asked_of(request).end)
        return progress, plan.waiting

    async def _passed_over(self, look: Look, request: Request, progress: Progress) -> frozenset[datetime] | Waiting:
        """Due times that need no run, as the records and the cluster have it; while the records are away it waits."""
        asked = backfill.asked_of(request)
        if asked.only is BackfillOnly.ALL:
            return frozenset()
        try:
            successes = await self._recorder.successes(look.observed.uid, progress.until, asked.end)
        except RecordsAway as error:
            text = f"which due times have succeeded is in the records, and they cannot be read: {error}"
            return Waiting(backfill.RECORDS_AWAY, text, backfill.LOOK_AGAIN)
        return backfill.need_no_run(look.observed, successes)

    async def _take(self, look: Look, spec: ScheduledJobSpec, request: Request, step: Step) -> Step | Waiting:
        """Make the run of a step. Returns the step as it was taken."""
        observed = look.observed
        if step.run is None or any(run.name == step.run for run in observed.runs):
            return step
        if backfill.asked_of(request).only is BackfillOnly.MISSING and await self._runs_by_clock(observed, step):
            return replace(step, run=None)
        key = (observed.namespace, observed.name)
        wanted = requests.Identity(step.run, step.due_time)
        job = requests.requested_job(observed, spec, look.defaults, request, wanted)
        self._expectations.add(key, step.run)
        try:
            made = await self._cluster.create_job(job)
        except (ApiError, Unreachable) as error:
            self._expectations.remove(key, step.run)
            if isinstance(error, ApiError) and will_not_have(error):
                return Waiting(Reason.START_REFUSED.value, error.message, _REFUSED_SECONDS)
            raise
        if made:
            _log.info("created run %s/%s for %s", observed.namespace, step.run, request.name)
            return step
        found = await self._cluster.job(observed.namespace, step.run)
        if found is not None and not observed.owns(found):
            self._expectations.remove(key, step.run)
            text = f"a Job {step.run} exists and is not of this ScheduledJob: delete it, or cancel the backfill"
            return Waiting(Reason.NAME_TAKEN.value, text, _REFUSED_SECONDS)
        return step

    async def _runs_by_clock(self, observed: Observed, step: Step) -> bool:
        """Whether a clock has made a run for that due time which no watch has shown yet."""
        name = names.run_name_for_due_time(observed.name, step.due_time)
        if any(run.name == name for run in observed.runs):
            return False
        job = await self._cluster.job(observed.namespace, name)
        return job is not None and observed.owns(job) and condition(job, "Failed") is None
