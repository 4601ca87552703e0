"""The books of the native controller: what its CronJob's status has to hold of runs that it did not make. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from merp_crds import names, schedule
from merp_crds.common import parse_rfc3339
from merp_crds.reasons import Trigger, Verdict
from merp_crds.scheduledjob import Schedule, ScheduledJobStatus
from merp_operator import pause
from merp_operator.observe import Json, Observed, Run
from merp_operator.situation import BY_CLOCK

# The native controller writes its books right after it made a Job; what it has not written by then it never will.
_BOOKKEEPING: Final = timedelta(seconds=10)
_INSTANT: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Books:
    """What the native controller has to know: unfinished runs that it does not list, and the newest due time done."""

    active: tuple[Json, ...] = ()
    last_schedule_time: datetime | None = None

    def __bool__(self) -> bool:
        return bool(self.active) or self.last_schedule_time is not None


def missing(observed: Observed, status: ScheduledJobStatus, now: datetime) -> Books:
    """What is to be written into the CronJob's status; empty where it says it already.

    The native controller counts only what `active` lists: without it a run by hand would not hold back the next due
    time under Forbid. And a due time that `lastScheduleTime` has reached it takes as done: one that was skipped does
    not start late.
    """
    if observed.cron_job is None or not observed.owns(observed.cron_job):
        return Books()
    shown = observed.cron_job.get("status") or {}
    ours = [run for run in observed.runs if _is_settled_by_us(run, now)]
    times = [run.due_time for run in ours if run.trigger in BY_CLOCK]
    # A missed one is too old for the native clock anyway; who finds it here would take its Job for deleted.
    times += [
        entry.due_time
        for entry in status.recent
        if entry.due_time and entry.trigger in BY_CLOCK and entry.verdict is not Verdict.MISSED
    ]
    times += [entry.last for entry in status.unrecorded if entry.verdict is not Verdict.MISSED]
    newest = max((moment for moment in times if moment <= now), default=None)
    written = shown.get("lastScheduleTime")
    if newest is not None and written and parse_rfc3339(written) >= newest:
        newest = None
    uid = observed.cron_job["metadata"]["uid"]
    listed = {entry.get("uid") for entry in shown.get("active") or []}
    unlisted = [run for run in ours if not run.finished and run.uid not in listed and _owner_uid(run.job) == uid]
    return Books(tuple(_reference(run) for run in unlisted), newest)


def _is_settled_by_us(run: Run, now: datetime) -> bool:
    """Whether a run is for us to write down: those that the native controller makes it writes down itself."""
    natively = names.ANNOTATION_CRONJOB_TIME in (run.job["metadata"].get("annotations") or {})
    return not natively or run.trigger is Trigger.MANUAL or now - run.began > _BOOKKEEPING


def starts_otherwise(actual: Json, wanted: Json) -> bool:
    """Whether a CronJob as it is would start what it must not."""
    before, after = actual["spec"], wanted["spec"]
    fields = ("schedule", "timeZone", "suspend")
    return not before.get("suspend") and any(before.get(field) != after[field] for field in fields)


def passed(observed: Observed, wanted: Json, now: datetime) -> datetime | None:
    """The newest due time of the CronJob `wanted` that it must not start, because it passed before it was as wanted.

    None where nothing that matters changes. It is written before the change itself: a CronJob that is released or
    edited starts the newest due time since its last one.
    """
    actual = observed.cron_job
    if actual is None:
        return None
    before, after = actual["spec"], wanted["spec"]
    resumed = bool(before.get("suspend")) and not after["suspend"]
    edited = (before.get("schedule"), before.get("timeZone")) != (after["schedule"], after["timeZone"])
    if not (resumed or edited):
        return None
    times = schedule.Timetable.of(Schedule(cron=after["schedule"], time_zone=after["timeZone"]))
    written = (actual.get("status") or {}).get("lastScheduleTime") or actual["metadata"]["creationTimestamp"]
    until = None if edited else pause.ended(observed, now)
    return times.newest(parse_rfc3339(written), now if until is None else until - _INSTANT)


def _reference(run: Run) -> Json:
    metadata = run.job["metadata"]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": run.name,
        "namespace": metadata["namespace"],
        "uid": run.uid,
        "resourceVersion": metadata["resourceVersion"],
    }


def to_hand_over(observed: Observed) -> list[Run]:
    """Runs that are in the CronJob's books, and are now to be the CronJob's own: only such it drops when they end."""
    if observed.cron_job is None:
        return []
    uid = observed.cron_job["metadata"]["uid"]
    listed = {entry.get("uid") for entry in (observed.cron_job.get("status") or {}).get("active") or []}
    return [
        run
        for run in observed.runs
        if run.uid in listed and _owner_uid(run.job) == uid and _controller_uid(run.job) is None
    ]


def _owner_uid(item: Json) -> str | None:
    """Whose an object is, be that its controller or not: ours have one owner."""
    owners = item["metadata"].get("ownerReferences") or []
    return str(owners[0]["uid"]) if len(owners) == 1 else None


def _controller_uid(item: Json) -> str | None:
    for entry in item["metadata"].get("ownerReferences") or []:
        if entry.get("controller"):
            return str(entry["uid"])
    return None
