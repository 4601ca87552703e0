"""What a backfill does next: which due times it starts, passes over or waits for, and when it is over. Pure.

How far it has come stands in its status and nowhere else. A due time's run has a name of its own, so that one which was
made by an operator that could not write so any more is met, not made again.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from pydantic import ValidationError

from merp_crds import names
from merp_crds.common import parse_rfc3339, rfc3339
from merp_crds.jobrun import MAX_DUE_TIMES, NOT_READY, Backfill, JobRunStatus
from merp_crds.reasons import Reason, Verdict
from merp_crds.schedule import Timetable
from merp_crds.scheduledjob import ConcurrencyPolicy, ScheduledJobSpec
from merp_crds.zones import find_zone
from merp_operator import desired, pause, requests
from merp_operator.observe import Observed, Request, condition

# The clocks of who asks and of the operator differ by less than this.
CLOCK_SKEW: Final = timedelta(seconds=5)
# Seconds after which is looked again at what no event tells of.
LOOK_AGAIN: Final = 10.0

# Why a backfill waits, or starts nothing more: the reasons of its conditions.
INVALID: Final = "Invalid"
RECORDS_AWAY: Final = "RecordsAway"
NOT_SETTLED: Final = "NotSettled"
SCHEDULE_CHANGED: Final = "ScheduleChanged"


@dataclass(frozen=True, slots=True)
class Told:
    """A condition's reason and message."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a backfill waits for, and the seconds after which to look again; None where an event will tell."""

    reason: str
    message: str
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a backfill has come.

    Due times up to `until` are started or passed over. `active` are its runs whose verdicts are not counted yet;
    `stopped` says why nothing more is started.
    """

    planned: int
    until: datetime
    started: int = 0
    passed_over: int = 0
    succeeded: int = 0
    failed: int = 0
    active: tuple[str, ...] = ()
    stopped: Told | None = None

    @property
    def finished(self) -> int:
        """How many runs have a verdict."""
        return self.succeeded + self.failed

    @property
    def summary(self) -> str:
        """The counts in a sentence."""
        return (
            f"{self.started} of {self.planned} due times were run: {self.succeeded} succeeded, {self.failed} did not; "
            f"{self.passed_over} were passed over"
        )


@dataclass(frozen=True, slots=True)
class Step:
    """The next due time: `run` is the name of its run, None where it needs none."""

    due_time: datetime
    run: str | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now, in order; `exhausted` says that the range holds nothing more."""

    steps: tuple[Step, ...] = ()
    waiting: Waiting | None = None
    exhausted: bool = False


def asked_of(request: Request) -> Backfill:
    """What is asked for. Kubernetes' times have whole seconds, and so have due times."""
    assert request.spec is not None, "unreadable requests are refused"
    assert request.spec.backfill is not None, "asked of backfills only"
    asked = request.spec.backfill
    return asked.model_copy(
        update={"start": asked.start.replace(microsecond=0), "end": asked.end.replace(microsecond=0)}
    )


def is_open(request: Request) -> bool:
    """Whether a request is a backfill that is not over, was not refused for good and is not deleted."""
    status = request.body.get("status") or {}
    over = bool(status.get("endTime")) or requests.answered(request) or request.leaving
    return requests.is_backfill(request) and not over


def progress_of(request: Request) -> Progress | None:
    """How far a backfill has come as its status has it; None before it was accepted."""
    try:
        status = JobRunStatus.model_validate(request.body.get("status") or {})
    except ValidationError:
        # Written by a version that knew other words. Its runs are met by their names.
        return None
    if status.until is None:
        return None
    stopped = next((entry for entry in status.conditions if entry.type == "Stopped" and entry.status == "True"), None)
    return Progress(
        planned=status.planned or 0,
        until=status.until,
        started=status.started or 0,
        passed_over=status.passed_over or 0,
        succeeded=status.succeeded or 0,
        failed=status.failed or 0,
        active=tuple(status.active),
        stopped=None if stopped is None else Told(stopped.reason, stopped.message),
    )


def begin(observed: Observed, spec: ScheduledJobSpec, request: Request, zone: str, now: datetime) -> Progress | Told:
    """A backfill at its beginning, or why there cannot be one. `zone` is the job's, in force."""
    asked = asked_of(request)
    assert request.spec is not None, "unreadable requests are refused"
    problem = requests.parameters_problem(observed, spec, request.spec)
    if problem is not None:
        return Told(INVALID, problem)
    if asked.end <= asked.start:
        return Told(INVALID, "backfill.end: is not after backfill.start: no due time can be between")
    if asked.end > now + CLOCK_SKEW:
        return Told(INVALID, f"backfill.end: {rfc3339(asked.end)} is in the future: only past due times are run")
    if spec.schedule is None:
        return Told(INVALID, f"backfill: {observed.name} has no schedule, so nothing was due: use dueTime")
    timetable = observed.timetable
    if timetable is None:
        return Told(NOT_READY, observed.schedule_problem)
    unknown = timetable.unknown_from
    if unknown is not None and asked.end.astimezone(find_zone(zone)).date() >= unknown:
        text = f"backfill.end: the job's calendar ends before {unknown}: end earlier, or extend the calendar"
        return Told(NOT_READY, text)
    planned = timetable.count(asked.start, asked.end)
    if planned > MAX_DUE_TIMES:
        text = f"backfill: the range holds {planned} due times, and at most {MAX_DUE_TIMES} are run by one request"
        return Told(INVALID, f"{text}: narrow the range")
    if planned == 0:
        text = f"backfill: {observed.name} was not due after {rfc3339(asked.start)} up to {rfc3339(asked.end)}"
        return Told(INVALID, f"{text}: check the range")
    return Progress(planned=planned, until=asked.start)


def recount(observed: Observed, spec: ScheduledJobSpec, request: Request, progress: Progress) -> Progress:
    """The same by the schedule as it is now: an edit in the middle moves what is still to come, within bounds."""
    if spec.schedule is None:
        return stop(observed, request, progress, Told(SCHEDULE_CHANGED, "the job has no schedule any more"))
    if observed.timetable is None:
        return progress
    left = observed.timetable.count(progress.until, asked_of(request).end)
    planned = progress.started + progress.passed_over + left
    if planned > MAX_DUE_TIMES:
        text = f"the schedule was changed, and the range now holds {planned} due times, more than {MAX_DUE_TIMES}"
        return stop(observed, request, progress, Told(SCHEDULE_CHANGED, text))
    return replace(progress, planned=planned)


def count(progress: Progress, verdicts: Mapping[str, Verdict]) -> Progress:
    """The same after some of its runs ended."""
    ended = [name for name in progress.active if name in verdicts]
    succeeded = sum(verdicts[name] is Verdict.SUCCESS for name in ended)
    return replace(
        progress,
        active=tuple(name for name in progress.active if name not in verdicts),
        succeeded=progress.succeeded + succeeded,
        failed=progress.failed + len(ended) - succeeded,
    )


def stop(observed: Observed, request: Request, progress: Progress, why: Told) -> Progress:
    """The same when nothing more is to start. Runs that were made and not written down are counted now or never."""
    if progress.stopped is not None:
        return progress
    _, unwritten = own_runs(observed, request, progress)
    return replace(
        progress, started=progress.started + len(unwritten), active=(*progress.active, *unwritten), stopped=why
    )


def orphaned(progress: Progress) -> Progress:
    """The same when its ScheduledJob is gone, and with it every Job."""
    why = Told(Reason.SCHEDULED_JOB_DELETED.value, "the ScheduledJob was deleted")
    return replace(count(progress, dict.fromkeys(progress.active, Verdict.CANCELLED)), stopped=progress.stopped or why)


def own_runs(observed: Observed, request: Request, progress: Progress) -> tuple[set[str], list[str]]:
    """The names of its runs; and of these, those that were made and that its status does not say yet."""
    made = requests.made_by(observed, request)
    unwritten = [name for name, due_time in made if due_time > progress.until]
    return {*progress.active, *(name for name, _ in made)}, unwritten


def room(request: Request, spec: ScheduledJobSpec, own: Collection[str], others: Collection[str]) -> int | Waiting:
    """How many runs may start now; `own` and `others` are unfinished runs of this backfill, and of the job besides.

    0 where its own runs take the room. The overlap policy is obeyed by waiting: a due time of the past can wait.
    """
    asked = asked_of(request)
    policy = (None if request.spec is None else request.spec.concurrency_policy) or spec.concurrency_policy
    if policy is ConcurrencyPolicy.ALLOW:
        return max(0, asked.max_parallel - len(own))
    if own:
        return 0
    if others:
        return Waiting(Reason.OVERLAP.value, f"{min(others)} is not finished, and overlap is forbidden")
    return 1


def need_no_run(observed: Observed, successes: Collection[datetime]) -> frozenset[datetime]:
    """Due times with a success, recorded or about to be, or with a run under way."""
    living = [run.due_time for run in observed.runs if not run.finished or condition(run.job, "Complete") is not None]
    told = [
        parse_rfc3339(entry["dueTime"])
        for entry in observed.status.get("recent") or []
        if entry.get("verdict") == Verdict.SUCCESS.value and entry.get("dueTime")
    ]
    return frozenset([*successes, *living, *told])


def plan(
    observed: Observed,
    request: Request,
    progress: Progress,
    timetable: Timetable,
    passed_over: Collection[datetime],
    free: int,
    now: datetime,
) -> Plan:
    """The next due times, oldest first: at most `free` new runs, those that exist already, and none for the others."""
    existing = {name for name, _ in requests.made_by(observed, request)}
    steps = []
    for due_time in timetable.between(progress.until, asked_of(request).end):
        name = names.run_name_for_request(observed.name, request.uid, due_time)
        if name in existing:
            steps.append(Step(due_time, name))
            continue
        if due_time in passed_over:
            steps.append(Step(due_time, None))
            continue
        waiting = _unsettled(observed, due_time, now)
        if waiting is not None or free == 0:
            return Plan(tuple(steps), waiting)
        free -= 1
        steps.append(Step(due_time, name))
    return Plan(tuple(steps), exhausted=True)


def take(progress: Progress, step: Step) -> Progress:
    """The same after a step."""
    if step.run is None:
        return replace(progress, until=step.due_time, passed_over=progress.passed_over + 1)
    return replace(progress, until=step.due_time, started=progress.started + 1, active=(*progress.active, step.run))


def dry_run(request: Request, progress: Progress, timetable: Timetable, passed_over: Collection[datetime]) -> Progress:
    """What a backfill would do."""
    asked = asked_of(request)
    passed = sum(due_time in passed_over for due_time in timetable.between(asked.start, asked.end))
    return replace(progress, passed_over=passed)


def is_over(request: Request, progress: Progress) -> bool:
    """Whether nothing more will start, and every verdict is counted."""
    return not progress.active and (progress.stopped is not None or progress.until >= asked_of(request).end)


def held(observed: Observed) -> frozenset[str]:
    """Names of the runs whose verdicts a backfill has not counted yet: their Jobs must stay."""
    kept: set[str] = set()
    for request in observed.requests:
        if is_open(request):
            progress = progress_of(request)
            until = asked_of(request).start if progress is None else progress.until
            kept.update(() if progress is None else progress.active)
            kept.update(name for name, due_time in requests.made_by(observed, request) if due_time > until)
    return frozenset(kept)


def _unsettled(observed: Observed, due_time: datetime, now: datetime) -> Waiting | None:
    """Whether the schedule itself may still start a due time: then there would be two runs for it."""
    text = f"the schedule may still start {rfc3339(due_time)} itself"
    accounted = (observed.status.get("accounted") or {}).get("until")
    if accounted is not None:
        settled = parse_rfc3339(accounted) >= due_time or pause.in_force(observed, now) is not None
        return None if settled else Waiting(NOT_SETTLED, text, LOOK_AGAIN)
    # Nobody has accounted for anything yet, so only time says that no clock starts it any more.
    left = (due_time + desired.CLEANUP_AGE - now).total_seconds()
    return Waiting(NOT_SETTLED, text, left + 1.0) if left > 0 else None
