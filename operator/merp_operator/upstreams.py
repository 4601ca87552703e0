"""What a gate sees of an upstream job: its runs with their verdicts, and whether it will run again. Pure."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from merp_crds import names
from merp_crds.common import parse_rfc3339
from merp_crds.reasons import ConditionReason, ConditionType, RunState, Verdict
from merp_crds.schedule import Timetable
from merp_crds.scheduledjob import RECENT_VERDICTS, Require, ScheduledJobStatus, VerdictEntry
from merp_crds.zones import find_zone
from merp_operator import outcome, pause
from merp_operator.accounting import STARTING_DEADLINE
from merp_operator.observe import Json, Observed, Run

_ABSENT: Final = "does not exist"
_INSTANT: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class UpstreamRun:
    """A run of an upstream.

    `verdict` and `ended` are None while it is unfinished; `began` is None while it has not started, and where only its
    verdict is remembered and it never started.
    """

    name: str
    due_time: datetime
    verdict: Verdict | None = None
    began: datetime | None = None
    ended: datetime | None = None


@dataclass(frozen=True, slots=True)
class Upstream:
    """An upstream job as a gate sees it.

    `runs` are all that can still be seen, oldest due time first. `cannot_run` is a phrase that follows its name where
    it will not run by itself now, as `does not exist`; else it is empty. `next_run` is its next due time, which is
    also one that has just come and has no run yet; None where nothing makes it due.
    """

    name: str
    runs: tuple[UpstreamRun, ...] = ()
    cannot_run: str = ""
    next_run: datetime | None = None
    known_since: datetime | None = None
    timetable: Timetable | None = None

    def may_have_run(self, due: datetime) -> bool:
        """Whether there may have been a run for a due time that can no longer be seen."""
        return self.known_since is not None and due < self.known_since

    def is_scheduled(self, due: datetime) -> bool:
        """Whether its schedule has that due time."""
        return self.timetable is not None and any(self.timetable.between(due - _INSTANT, due))


def absent(name: str) -> Upstream:
    """An upstream that does not exist."""
    return Upstream(name, cannot_run=_ABSENT)


def read(
    name: str, observed: Observed | None, status: ScheduledJobStatus | None, *, zone: str, now: datetime
) -> Upstream:
    """The upstream `name` from what was observed of it; None where there is no such ScheduledJob.

    Its runs are its Jobs and, for those that were cleaned up, `recent` and `newest` of its status. Times in phrases are
    in `zone`, the waiting job's.
    """
    if observed is None:
        return absent(name)
    told = status or ScheduledJobStatus()
    runs = _runs(observed.runs, [*told.newest.values(), *told.recent])
    next_run = _next_run(observed, {run.due_time for run in runs}, now)
    cannot_run = _cannot_run(observed, told, next_run, find_zone(zone), now)
    return Upstream(
        name=name,
        runs=runs,
        cannot_run=cannot_run,
        next_run=None if cannot_run else next_run,
        # What was pushed out of `recent` ended before everything in it, and was due before it ended.
        known_since=told.recent[-1].end_time if len(told.recent) >= RECENT_VERDICTS else None,
        timetable=observed.timetable,
    )


def _runs(jobs: Iterable[Run], entries: Iterable[VerdictEntry]) -> tuple[UpstreamRun, ...]:
    found = {
        entry.run: UpstreamRun(entry.run, entry.due_time, entry.verdict, entry.start_time, entry.end_time)
        for entry in entries
        if entry.due_time is not None
    }
    # A Job that is there says itself what became of it.
    found |= {run.name: _of_job(run) for run in jobs}
    return tuple(sorted(found.values(), key=lambda run: (run.due_time, run.name)))


def _of_job(run: Run) -> UpstreamRun:
    judged = outcome.judge(run)
    if isinstance(judged.status, Verdict):
        return UpstreamRun(run.name, run.due_time, judged.status, judged.start_time, judged.end_time)
    return UpstreamRun(run.name, run.due_time, began=judged.start_time if judged.status is RunState.RUNNING else None)


def _next_run(observed: Observed, known: set[datetime], now: datetime) -> datetime | None:
    if observed.timetable is None:
        return None
    # Due a moment ago and not started yet: either clock still starts it.
    for due in observed.timetable.between(now - STARTING_DEADLINE - _INSTANT, now):
        if due not in known and due > observed.created:
            return due
    return observed.timetable.after(now)


def _cannot_run(
    observed: Observed, status: ScheduledJobStatus, next_run: datetime | None, zone: ZoneInfo, now: datetime
) -> str:
    """Why it will not run by itself; empty where it will, and where it has no schedule and runs when it is asked to."""
    problem = _definition_problem(observed, status)
    if problem:
        return f"its definition is not good: {problem}"
    paused = pause.in_force(observed, now)
    if paused is not None:
        return _paused(observed, status, paused, zone)
    timing = None if observed.spec is None else observed.spec.schedule
    if timing is None:
        return _held_up(observed, status)
    if observed.timetable is None or next_run is not None:
        return ""
    if timing.at is not None:
        only = observed.timetable.newest(observed.created - timedelta(days=36_500), now)
        return f"has ended (at {moment(only or timing.at, zone)})"
    return f"has ended (endAt {moment(timing.end_at, zone)})" if timing.end_at is not None else "is never due again"


def _held_up(observed: Observed, status: ScheduledJobStatus) -> str:
    """Why a job does not run that runs after others: what its own condition says of these."""
    policy = None if observed.spec is None else observed.spec.dependency_policy
    if policy is not None and policy.require is Require.ANY:
        return ""
    for entry in status.conditions:
        current = entry.observed_generation == observed.generation
        if entry.type == ConditionType.ON_SCHEDULE and entry.reason == ConditionReason.UPSTREAM_CANNOT_RUN and current:
            return f"runs after others ({entry.message.removeprefix('dependsOn: ')})"
    return ""


def _definition_problem(observed: Observed, status: ScheduledJobStatus) -> str:
    if observed.spec is None:
        return observed.problem
    if observed.schedule_problem:
        return f"schedule.{observed.schedule_problem}"
    for entry in status.conditions:
        # What was said of another generation says nothing of this one, and what the world refuses is tried again.
        current = entry.observed_generation == observed.generation
        if entry.type == ConditionType.READY and entry.status == "False" and current:
            return "" if entry.reason == ConditionReason.CANNOT_APPLY else entry.message
    return ""


def _paused(observed: Observed, status: ScheduledJobStatus, paused: pause.Pause, zone: ZoneInfo) -> str:
    """Since when, by whom, and until when: what the annotation says, else what the condition Paused knows."""
    by_annotation = paused.reason is ConditionReason.PAUSED_BY_ANNOTATION
    written = _object(observed.annotations.get(names.ANNOTATION_PAUSED, "")) if by_annotation else {}
    shown = next((entry for entry in status.conditions if entry.type == ConditionType.PAUSED), None)
    since = _time(written.get("at"))
    if since is None and shown is not None and shown.status == "True":
        since = shown.last_transition_time
    text = "is paused" if since is None else f"is paused since {moment(since, zone)}"
    if paused.reason is ConditionReason.SUSPENDED:
        text += " by spec.suspend"
    elif isinstance(written.get("by"), str) and written["by"]:
        text += f" by {written['by']}"
    return text if paused.until is None else f"{text} until {moment(paused.until, zone)}"


def _object(text: str) -> Json:
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        # `kubectl annotate … paused=true` says no more than that.
        return {}
    return told if isinstance(told, dict) else {}


def _time(value: object) -> datetime | None:
    try:
        return parse_rfc3339(value) if isinstance(value, str) and value else None
    except ValueError:
        # Somebody wrote what is no time: the condition knows when it came into force.
        return None


def moment(when: datetime, zone: ZoneInfo) -> str:
    """A time for people, in a zone: `2026-12-01 02:04`, with seconds where it has any."""
    local = when.astimezone(zone)
    return f"{local:%Y-%m-%d %H:%M:%S}" if local.second else f"{local:%Y-%m-%d %H:%M}"
