"""One look at one ScheduledJob: read what exists, decide, apply, report.

Every look starts from the latest state, so that it does not matter which event led to it, or how many were missed.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Set
from datetime import datetime, timedelta
from typing import Final

from merp_crds import names
from merp_crds.common import parse_rfc3339
from merp_crds.reasons import ConditionReason, Reason
from merp_crds.scheduledjob import ScheduledJobStatus, Unrecorded
from merp_operator import (
    accounting,
    backfill,
    desired,
    gone_runs,
    observe,
    outcome,
    pause,
    records,
    status,
)
from merp_operator.accounting import Decision
from merp_operator.cluster import Cluster
from merp_operator.cronjobs import CronJobs
from merp_operator.definition import Problem
from merp_operator.desired import Defaults
from merp_operator.gates import Gates
from merp_operator.jobruns import JobRuns
from merp_operator.log_tails import LogTails
from merp_operator.looks import Looks
from merp_operator.observe import Json, Observed, Run
from merp_operator.outcome import Outcome
from merp_operator.overdue_runs import OverdueRuns
from merp_operator.own import Key
from merp_operator.picture import Pictures
from merp_operator.recorder import Recorder
from merp_operator.scheduled_job_statuses import ScheduledJobStatuses
from merp_operator.starter import Starter
from merp_operator.status import Judged, Told
from merp_operator.watch import Watch
from merp_records.rows import ExecutionRecord, JobRecord

# A Job whose end a dependent has not seen is kept so much longer: that look is on its way.
_HELD_SECONDS: Final = 1.0
# A look at the very moment might still be before it.
_MARGIN_SECONDS: Final = 0.1
_AFTER_THE_CLOCK: Final = timedelta(seconds=1)

# Under this name a run keeps its row, with what that was made from.
_ROW: Final = "row"
# These verdicts no run can contradict.
_NEEDS_NO_LOOK: Final = frozenset({Reason.CALENDAR, Reason.NAME_TAKEN})

_log = logging.getLogger(__name__)


class Reconciler:
    """Brings one ScheduledJob after the other to what it should be.

    `defaults` is read at every look, because the catalogue may change while the process runs; `now` gives the API
    server's time, UTC. `plan(key, moment)` has the clock look at what is due then.
    """

    def __init__(
        self,
        *,
        cluster: Cluster,
        watch: Watch,
        recorder: Recorder,
        pictures: Pictures,
        starter: Starter,
        job_runs: JobRuns,
        gates: Gates,
        log_tails: LogTails,
        statuses: ScheduledJobStatuses,
        defaults: Callable[[], Defaults],
        now: Callable[[], datetime],
        plan: Callable[[Key, datetime], None],
    ) -> None:
        self._cluster = cluster
        self._watch = watch
        self._recorder = recorder
        self._pictures = pictures
        self._starter = starter
        self._job_runs = job_runs
        self._gates = gates
        self._log_tails = log_tails
        self._defaults = defaults
        self._now = now
        self._plan = plan
        self._cron_jobs = CronJobs(cluster, self._committed)
        self._overdue_runs = OverdueRuns(cluster)
        self._looks = Looks()
        self._statuses = statuses
        # The UID last seen under each name: another one means that the ScheduledJob was made anew.
        self._uids: dict[Key, str] = {}
        self._former: dict[Key, str] = {}
        self._rows: dict[str, JobRecord] = {}
        # Jobs that are gone and not told of yet.
        self._vanished: defaultdict[Key, dict[str, Run]] = defaultdict(dict)

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
            self._looks.forget_run(run.uid)
            self._vanished[metadata["namespace"], owner][run.uid] = run

    async def reconcile(self, key: Key) -> float | None:
        """Look once. Returns the seconds after which to look again, or None.

        Raises ApiError and Unreachable where the world would not; then it is to be tried again.
        """
        body = self._watch.scheduled_jobs.get(*key)
        if body is not None:
            # Also of one on its way out: when it is gone the records must know which one that was.
            self._made_anew(key, body["metadata"]["uid"])
        if body is None or body["metadata"].get("deletionTimestamp"):
            await self._gone(key)
            return None
        number = self._begin(key)
        defaults, now = self._defaults(), self._now()
        observed = await self._observe(key, body)
        observed, problem, error = await self._cron_jobs.apply(observed, defaults, now)
        # First of all: what waits for others waits no longer than it must.
        suspended = problem is not None and problem.reason is not ConditionReason.CANNOT_APPLY
        gate = await self._gates.look(observed, defaults, now, suspended=suspended)
        refusals = await self._job_runs.answer(observed, defaults, problem)
        gone = await self._tell_vanished(key)
        decision = await self._account(key, observed, problem, gone, now)
        judged = [Judged(run, outcome.judge(run)) for run in observed.runs]
        gone_since = [Judged(run, outcome.judge(run)) for run in gone if run.finished]
        safe = self._safe(observed)
        over = await gone_runs.verdicts(self._cluster, observed, gone, self._now())
        refused = self._starter.refused(observed.uid) or gate.refused
        told = Told((*refusals, *over), decision, safe, refused, gate)
        wanted = status.compute(observed, judged, problem, defaults, now, told)
        self._record_runs(observed, judged, records.job_record(observed, defaults, wanted))
        after = observed.told if wanted == observed.status else observe.read_status(wanted)
        await self._cron_jobs.keep_books(observed, after, now)
        news = [] if wanted == observed.status else status.news(observed, judged, told)
        wait = await self._statuses.report(key, observed, wanted, news, now)
        # Before anything that may fail: the clock waits for nobody.
        self._plan_starts(key, decision, now)
        if wait is None:
            self._told_of(key, gone)
            self._let_go(observed, safe - frozenset(after.unrecorded))
        self._record_endings(observed, after if wait is None else observed.told)
        again = await self._job_runs.report(observed, [*gone_since, *judged], problem, defaults, now)
        overdue = await self._overdue_runs.end(observed, defaults, now)
        # What the status is to say of a run it says before the run's Job goes.
        later = await self._clean_up(observed, frozenset() if wait is None else {entry.run for entry in news}, now)
        # Also where the CronJob is refused: what this job waits for it has seen.
        self._looks.done(key, number)
        if error is not None:
            raise error
        moments = [gate.look_again, overdue, *self._moments(observed, decision, wanted, now)]
        return _earliest(wait, again, later, *(_until(moment, now) for moment in moments))

    async def _observe(self, key: Key, body: Json) -> Observed:
        cron_job = self._watch.cron_jobs.get(*key)
        if cron_job is None and self._cron_jobs.may_be_unseen(body):
            # The cache holds only what carries our label, and may lag behind our own write.
            cron_job = await self._cluster.cron_job(*key)
        return self._pictures.of(key, body, cron_job, self._watch.jobs_of(*key))

    async def _account(
        self, key: Key, observed: Observed, problem: Problem | None, vanished: list[Run], now: datetime
    ) -> Decision | None:
        """What becomes of the due times; None where nothing is due by the clock."""
        before = observed.told
        # What the world refuses just now is still due.
        suspended = problem is not None and problem.reason is not ConditionReason.CANNOT_APPLY
        found = self._starter.situation(observed, before, suspended=suspended, vanished=vanished)
        if found is None:
            return None
        decision = accounting.decide(found, now)
        if all(entry.reason in _NEEDS_NO_LOOK for entry in decision.endings):
            return decision
        # Before it is said for good that nothing ran the cluster itself is asked: a watch may be behind.
        jobs = await self._cluster.jobs_of(observed.namespace, observed.uid)
        cron_job = await self._cluster.cron_job(*key)
        live = self._pictures.of(key, observed.body, cron_job, [(job, self._watch.pods_of(job)) for job in jobs])
        found = self._starter.situation(live, before, suspended=suspended, vanished=vanished)
        # By the time that these answers told: it may be another than this machine's.
        return None if found is None else accounting.decide(found, min(now, self._now()))

    def _plan_starts(self, key: Key, decision: Decision | None, now: datetime) -> None:
        if decision is None:
            return
        if decision.starts:
            self._plan(key, now)
        elif decision.look_again is not None:
            self._plan(key, decision.look_again)

    def _moments(
        self, observed: Observed, decision: Decision | None, wanted: Json, now: datetime
    ) -> list[datetime | None]:
        """When time alone changes something: a due time, a pause's end, or which clock it is that starts.

        As of `now`, when the look began: what has come since then it has not seen.
        """
        paused = pause.in_force(observed, now)
        next_run = wanted.get("nextRunTime")
        changes = None
        if observed.spec is not None and observed.timetable is not None:
            changes = desired.clock_changes(observed.spec, self._defaults(), now)
        return [
            None if next_run is None else parse_rfc3339(next_run),
            None if paused is None else paused.until,
            # The clock is there at that very moment; what it leaves is told soon enough after it.
            None if decision is None or decision.look_again is None else decision.look_again + _AFTER_THE_CLOCK,
            changes,
        ]

    def _safe(self, observed: Observed) -> frozenset[Unrecorded]:
        """The verdicts without a run that the database has."""
        return frozenset(
            entry
            for entry in observed.told.unrecorded
            if self._recorder.is_committed(records.ending_id(observed, entry))
        )

    def _let_go(self, observed: Observed, entries: frozenset[Unrecorded]) -> None:
        """Verdicts without a run that the database has and the status no longer lists."""
        for entry in entries:
            self._recorder.forget(records.ending_id(observed, entry))

    def _record_runs(self, observed: Observed, judged: list[Judged], row: JobRecord) -> None:
        """Hand over what is to be remembered of runs: what the API server is slow to take does not hold that up."""
        self._rows[observed.uid] = row
        self._log_tails.want((observed.namespace, observed.name), observed.runs)
        executions = [(item.run, self._execution(observed.uid, item.run, item.outcome)) for item in judged]
        for run, execution in executions:
            if execution.end_time is not None and self._recorder.has(execution):
                self._log_tails.recorded(run)
        self._recorder.submit(row, [execution for _, execution in executions])

    def _record_endings(self, observed: Observed, written: ScheduledJobStatus) -> None:
        """The same of verdicts without a run: only as they were written into the status."""
        endings = [records.ending_record(observed, entry) for entry in written.unrecorded]
        self._recorder.submit(self._rows[observed.uid], endings)

    def _execution(self, job_id: str, run: Run, ending: Outcome) -> ExecutionRecord:
        """The row of a run; the same object where nothing has changed since it was made."""
        tails = self._log_tails.of(run)
        made: ExecutionRecord
        judged, told, made = run.known.get(_ROW, (None, None, None))
        if judged is not ending or told != tails:
            made = records.execution_record(
                job_id=job_id,
                namespace=run.job["metadata"]["namespace"],
                job_name=run.job["metadata"]["labels"][names.LABEL_SCHEDULED_JOB],
                run=run,
                outcome=ending,
                log_tails=tails,
            )
            run.known[_ROW] = (ending, tails, made)
        return made

    async def _tell_vanished(self, key: Key) -> list[Run]:
        """Record the runs whose Jobs are gone. Returns those that belong to what is there now."""
        mine = []
        for run in list(self._vanished.get(key, {}).values()):
            uid = run.job["metadata"]["labels"].get(names.LABEL_SCHEDULED_JOB_UID)
            if not uid:
                continue
            if uid == self._uids.get(key):
                mine.append(run)
            execution = names.execution_id(uid, run.name)
            if run.finished and self._recorder.is_committed(execution):
                continue
            gone = False
            if not run.finished:
                live = await self._cluster.scheduled_job(*key)
                gone = live is None or live["metadata"]["uid"] != uid
            ending = outcome.vanished(run, owner_gone=gone, now=self._now())
            # No row where the process before looked at it last: the database has it since then.
            self._recorder.submit(self._rows.get(uid), [self._execution(uid, run, ending)])
        return mine

    def _told_of(self, key: Key, gone: list[Run]) -> None:
        """The status has their verdicts, so they need not be told of again; nor those of a job of before."""
        for run in gone:
            execution = names.execution_id(self._uids[key], run.name)
            if run.finished and self._recorder.is_committed(execution):
                self._recorder.forget(execution)
        told = {run.uid for run in gone}
        for run in gone:
            self._log_tails.forget(run.pods)
        left = {
            uid: run
            for uid, run in self._vanished.pop(key, {}).items()
            if uid not in told and run.job["metadata"]["labels"].get(names.LABEL_SCHEDULED_JOB_UID) == self._uids[key]
        }
        if left:
            self._vanished[key] = left

    async def _clean_up(self, observed: Observed, untold: Set[str], now: datetime) -> float | None:
        """Delete finished Jobs beyond `history` once they are recorded. Returns when more will be old enough."""
        if observed.spec is None:
            return None
        committed = frozenset(run.name for run in observed.runs if self._committed(observed, run))
        # What a backfill has not counted yet stays, and what a dependent has not seen; and logs go with their Jobs.
        committed -= untold | backfill.held(observed)
        committed -= {run.name for run in observed.runs if self._log_tails.is_pending(run)}
        unseen = self._unseen(observed)
        accounted = observed.told.accounted
        held = False
        for run in desired.removable(observed, observed.spec, committed, accounted, now):
            if run.name in unseen:
                held = True
                continue
            await self._cluster.delete_job(observed.namespace, run.name, run.uid)
            _log.info("deleted recorded Job %s/%s", observed.namespace, run.name)
        await self._job_runs.clean_up(observed, now)
        ages = [
            (run.due_time + desired.CLEANUP_AGE - now).total_seconds()
            for run in observed.runs
            if run.finished and now < run.due_time + desired.CLEANUP_AGE
        ]
        return min([*ages, *([_HELD_SECONDS] if held else [])], default=None)

    def _begin(self, key: Key) -> int:
        """The look's number. It sees the ends of all runs of this job and of those that it waits for."""
        number, (namespace, name) = self._looks.begin(), key
        for seen in (name, *self._watch.upstreams_of(namespace, name)):
            for job, _ in self._watch.jobs_of(namespace, seen):
                if observe.is_finished(job):
                    self._looks.ended(job["metadata"]["uid"], number)
        return number

    def _unseen(self, observed: Observed) -> frozenset[str]:
        """The runs whose end a job that waits for this one has not seen."""
        namespace = observed.namespace
        dependents = [(namespace, name) for name in self._watch.dependents_of(namespace, observed.name)]
        return frozenset(run.name for run in observed.runs if not self._looks.are_past(run.uid, dependents))

    def _committed(self, observed: Observed, run: Run) -> bool:
        return run.finished and self._recorder.is_committed(names.execution_id(observed.uid, run.name))

    def _made_anew(self, key: Key, uid: str) -> None:
        known = self._uids.get(key)
        if known is not None and known != uid:
            # Its Jobs go after it, and are told of with its row.
            self._forget_row(self._former.get(key))
            self._former[key] = known
            self._forget(known)
        self._uids[key] = uid

    async def _gone(self, key: Key) -> None:
        """The ScheduledJob is not there: its runs are told of, and requests for it say so."""
        await self._tell_vanished(key)
        for run in self._vanished.pop(key, {}).values():
            self._log_tails.forget(run.pods)
        await self._job_runs.without_job(key)
        self._gates.forget(key)
        self._looks.forget_job(key)
        self._statuses.forget(key)
        self._pictures.forget(key)
        uid = self._uids.get(key)
        if uid is not None and not self._watch.jobs_of(*key):
            # The row is needed until the last of its Jobs is told of.
            del self._uids[key]
            self._forget(uid)
            self._forget_row(uid)
            self._forget_row(self._former.pop(key, None))

    def _forget_row(self, uid: str | None) -> None:
        if uid is not None:
            self._rows.pop(uid, None)

    def _forget(self, uid: str) -> None:
        self._recorder.job_deleted(uid, self._now())
        self._cron_jobs.forget(uid)
        self._starter.forget(uid)


def _until(moment: datetime | None, now: datetime) -> float | None:
    """Seconds until a moment has passed."""
    return None if moment is None else max(0.0, (moment - now).total_seconds()) + _MARGIN_SECONDS


def _earliest(*delays: float | None) -> float | None:
    return min((delay for delay in delays if delay is not None), default=None)
