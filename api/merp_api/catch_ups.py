"""Catching up with a pause: what was due in it becomes one backfill, which is asked for before the pause ends.

In that order a gateway that dies in between loses nothing: the pause is still there, and a repeat makes the same name
and meets the request. The other way round the pause would have taken with it since when it was.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pydantic import ValidationError

from merp_api import audit, problems, translate
from merp_api.calendars import read_working_days, sentence
from merp_api.cluster import Cluster
from merp_api.conditions import condition
from merp_api.identity import Caller
from merp_api.jobs import Jobs, check_repeat, fingerprint, keyed_digest
from merp_api.pause_notes import moment, pause_note, wants_pause
from merp_api.problems import Problem
from merp_api.schemas import CatchUp
from merp_api.translate import Json
from merp_api.views import invalid, job_zone, owner_uid
from merp_crds.businesscalendar import WorkingDays
from merp_crds.common import parse_rfc3339, rfc3339
from merp_crds.jobrun import MAX_DUE_TIMES
from merp_crds.names import ANNOTATION_CREATED_BY, ANNOTATION_IDEMPOTENCY
from merp_crds.reasons import ConditionType
from merp_crds.schedule import Timetable
from merp_crds.scheduledjob import Schedule
from merp_crds.zones import find_zone
from merp_kube.client import ApiError

# With the longest name of a job and the word between them no more than a label may have: runs carry it as one.
_DIGITS: Final = 16
_SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Span:
    """The time (start, end], in whole seconds: due times have no others."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """The JobRun that was asked for and its number of due times; None and 0 where nothing was due.

    `repeated` is an answer that was given before: the pause that it was about is over.
    """

    run: str | None
    due_times: int
    repeated: bool = False


def pause_span(job: Json, now: datetime) -> Span | None:
    """Since when a job is paused, and until when if that has passed; None for a job that is not.

    The note says since when; where it does not, or the manifest declares the pause, the operator saw it begin. The
    earlier one counts: a note that is replaced begins anew, and the pause does not. A pause that nobody has seen begin
    has let nothing pass.
    """
    if not wants_pause(job, now):
        return None
    note, seen = pause_note(job["metadata"]), condition(job, ConditionType.PAUSED)
    end = now
    until = None if note is None else moment(note.until)
    if until is not None and until <= now:
        if job["spec"].get("suspend"):
            # What is left of an earlier pause says nothing of this one.
            note = None
        else:
            end = until
    told = [None if note is None else moment(note.at)]
    if seen is not None and seen.get("status") == "True":
        told.append(moment(seen.get("lastTransitionTime")))
    start = min((moment for moment in told if moment is not None), default=end)
    # Written by hand it may be any time: nothing was due before there was a job.
    start = max(start, parse_rfc3339(job["metadata"]["creationTimestamp"]))
    return Span(min(start, end).replace(microsecond=0), end.replace(microsecond=0))


def wanted_span(timetable: Timetable, span: Span, missed: CatchUp) -> Span | None:
    """The part of a pause to catch up with; None where nothing was due in it."""
    newest = timetable.newest(span.start, span.end)
    if newest is None:
        return None
    return Span(newest - _SECOND if missed is CatchUp.LATEST else span.start, newest)


class CatchUps:
    """Asks for the runs of a pause, with the caller's own rights."""

    def __init__(self, cluster: Cluster, jobs: Jobs) -> None:
        self._cluster = cluster
        self._jobs = jobs

    async def answered(
        self, caller: Caller, job: Json, span: Span | None, missed: CatchUp, key: str | None
    ) -> CaughtUp | None:
        """What the same request was answered with when it ended a pause that is over; None if it was not.

        Raises Problem 409 where the key was used for another request.
        """
        if key is None:
            return None
        metadata = job["metadata"]
        try:
            run = await self._cluster.run(caller.token, metadata["namespace"], _keyed_name(job, caller, key))
        except ApiError as error:
            if error.status != 404:
                raise
            return None
        check_repeat(run, _fingerprint(caller, key, missed))
        asked = _span_of(run, job)
        if span is not None and span.start < asked.end:
            # That very pause: the first request did not come to its end.
            return None
        planned = (run.get("status") or {}).get("planned")
        if planned is None:
            timetable = await self._timetable(caller, job)
            planned = 0 if timetable is None else timetable.count(asked.start, asked.end)
        return CaughtUp(run["metadata"]["name"], planned, repeated=True)

    async def ask(self, caller: Caller, job: Json, span: Span, missed: CatchUp, key: str | None) -> CaughtUp:
        """Ask for a run of what was due in a pause. Raises Problem 409 where that cannot be carried out."""
        timetable = await self._timetable(caller, job)
        if timetable is None:
            return CaughtUp(None, 0)
        annotations = {ANNOTATION_CREATED_BY: caller.user}
        name = _name(job, span.start, missed)
        if key is not None:
            annotations[ANNOTATION_IDEMPOTENCY] = _fingerprint(caller, key, missed)
            name = _keyed_name(job, caller, key)
        made = CaughtUp(None, 0)
        while (wanted := wanted_span(timetable, span, missed)) is not None:
            _check(job, timetable, wanted)
            made = CaughtUp(name, timetable.count(wanted.start, wanted.end))
            run = translate.new_backfill(name, job, start=wanted.start, end=wanted.end, annotations=annotations)
            earlier = await self._create(caller, run)
            if earlier is None:
                break
            # Asked for already, by a request that did not come to its end: what was due since then is left.
            asked = _span_of(earlier, job, after=span.start)
            made = CaughtUp(name, timetable.count(asked.start, asked.end))
            span = Span(asked.end, span.end)
            name = _name(job, span.start, missed)
        return made

    async def _create(self, caller: Caller, run: Json) -> Json | None:
        """None for a run that was made now, else the one that has its name."""
        try:
            made = await self._cluster.create_run(caller.token, run)
            audit.written(caller.user, "catch-up", "JobRun", after=made)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            metadata = run["metadata"]
            return await self._cluster.run(caller.token, metadata["namespace"], metadata["name"])
        return None

    async def _timetable(self, caller: Caller, job: Json) -> Timetable | None:
        """The job's due times; None for a job without a schedule. Raises Problem 409 for one that has none to tell."""
        written = job["spec"].get("schedule")
        if not written:
            return None
        wrong = invalid(job)
        if wrong is not None:
            raise _cannot(job, wrong)
        try:
            schedule = Schedule.model_validate(written)
        except ValidationError as error:
            raise _cannot(job, sentence(error)) from error
        days = None
        if schedule.calendar is not None:
            days = await self._working_days(caller, job, schedule.calendar.name)
        try:
            return Timetable.of(schedule, str(job_zone(job, self._jobs.default_zone)), days)
        except ValueError as error:
            raise _cannot(job, str(error)) from error

    async def _working_days(self, caller: Caller, job: Json, name: str) -> WorkingDays:
        try:
            return await read_working_days(name, self._cluster.calendar(caller.token, name))
        except ValueError as error:
            raise _cannot(job, str(error)) from error


def _check(job: Json, timetable: Timetable, wanted: Span) -> None:
    """Say before anything is changed what the operator would only find out later."""
    unknown = timetable.unknown_from
    if unknown is not None and wanted.end.astimezone(find_zone(timetable.zone)).date() >= unknown:
        raise _cannot(job, f"its calendar ends before {unknown}: extend the calendar")
    number = timetable.count(wanted.start, wanted.end)
    if number > MAX_DUE_TIMES:
        raise Problem(
            problems.TOO_MANY_DUE_TIMES,
            f"{number} due times passed during the pause, and one request runs at most {MAX_DUE_TIMES}: resume with "
            "missed=Latest, or without it and ask for parts of the range with JobRuns that have a backfill",
        )


def _cannot(job: Json, why: str) -> Problem:
    return Problem(
        problems.INVALID_JOB,
        f"{job['metadata']['name']} cannot be caught up: {why}; or resume it without missed",
    )


def _span_of(run: Json, job: Json, after: datetime | None = None) -> Span:
    """What a JobRun asks for. Raises Problem 409 where that is no catching up of this job, or of this pause."""
    asked = (run.get("spec") or {}).get("backfill")
    if asked and owner_uid(run) == job["metadata"]["uid"]:
        found = Span(parse_rfc3339(asked["start"]), parse_rfc3339(asked["end"]))
        if after is None or found.end > after:
            return found
    raise Problem(problems.CONFLICT, f"JobRun {run['metadata']['name']} is there, and is for something else: delete it")


def _name(job: Json, since: datetime, missed: CatchUp) -> str:
    """The name of the request for a pause: whoever asks for the same thing makes the same one."""
    digest = hashlib.sha256(f"{job['metadata']['uid']}\n{rfc3339(since)}\n{missed}".encode()).hexdigest()
    return f"{job['metadata']['name']}-catch-up-{digest[:_DIGITS]}"


def _keyed_name(job: Json, caller: Caller, key: str) -> str:
    name = job["metadata"]["name"]
    return f"{name}-catch-up-{keyed_digest(caller.user, f'{name}/{key}')[:_DIGITS]}"


def _fingerprint(caller: Caller, key: str, missed: CatchUp) -> str:
    return fingerprint(caller.user, key, {"missed": missed.value})
