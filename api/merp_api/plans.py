"""What becomes due in a range of time to come, of many jobs, in the order of time."""

import base64
import heapq
import json
from collections.abc import Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Final, Literal

from pydantic import ValidationError

from merp_api import problems
from merp_api.calendars import read_working_days
from merp_api.filters import ALL_NAMESPACES, PlanQuery
from merp_api.identity import Caller
from merp_api.jobs import Jobs, bad_cursor
from merp_api.outlooks import LeftOutView, PlanEntryView, PlanView
from merp_api.pause_notes import moment, pause_note, wants_pause
from merp_api.previews import is_certain
from merp_api.problems import FieldError
from merp_api.reading import Reading
from merp_api.translate import Json
from merp_api.views import display_name, invalid, job_zone
from merp_crds.businesscalendar import WorkingDays
from merp_crds.common import parse_rfc3339, rfc3339
from merp_crds.schedule import Timetable
from merp_crds.scheduledjob import Priority, Schedule
from merp_kube.client import ApiError

# A month of every job; who wants more asks for the next month.
MAX_RANGE: Final = timedelta(days=31)
# Calendars end, and clocks' rules change: further ahead nobody knows.
MAX_AHEAD: Final = timedelta(days=366)
_DEFAULT_RANGE: Final = timedelta(days=1)
_MAX_LEFT_OUT: Final = 100
_SECOND: Final = timedelta(seconds=1)
# Due time, namespace and id: a place in the plan.
Place = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Range:
    """The time (start, end]."""

    start: datetime
    end: datetime


def planned_range(query: PlanQuery, now: datetime) -> Range:
    """The range that is asked for, from now for a day if nothing is said. Raises Problem 400."""
    start = query.start or now
    end = query.end or start + _DEFAULT_RANGE
    wrong = []
    if query.cursor is None and start < now.replace(microsecond=0):
        wrong.append(FieldError("start", "out_of_range", "is over: the history has what was due", "query"))
    if end - start > MAX_RANGE:
        detail = f"is more than {MAX_RANGE.days} days after start: ask for less at a time"
        wrong.append(FieldError("end", "out_of_range", detail, "query"))
    elif end - now > MAX_AHEAD:
        wrong.append(FieldError("end", "out_of_range", f"is more than {MAX_AHEAD.days} days ahead", "query"))
    if wrong:
        raise problems.validation(wrong)
    # While somebody reads page after page, the time that they began with passes.
    return Range(start if query.cursor is None else max(start, now), end)


def due_from(job: Json, now: datetime) -> datetime | None:
    """From when a job's due times count: from now, from the end of its pause, or never (None)."""
    if not wants_pause(job, now):
        return now
    note = pause_note(job["metadata"])
    until = None if note is None or job["spec"].get("suspend") else moment(note.until)
    return None if until is None else max(now, until)


def page(plans: Iterable[Iterator[tuple[Place, PlanEntryView]]], limit: int, after: Place | None) -> PlanView:
    """The first `limit` entries behind a place, of the plans of single jobs; no more of them is looked at."""
    merged = heapq.merge(*plans, key=lambda entry: entry[0])
    behind = (entry for entry in merged if after is None or entry[0] > after)
    found = list(islice(behind, limit + 1))
    shown = found[:limit]
    return PlanView(
        items=[view for _, view in shown],
        next_cursor=_seal(shown[-1][0]) if len(found) > limit else None,
        left_out=[],
        left_out_count=0,
    )


def plan_of(job: Json, timetable: Timetable, span: Range) -> Iterator[tuple[Place, PlanEntryView]]:
    """The due times of one job in a range, one at a time."""
    metadata = job["metadata"]
    zone = job_zone(job, timetable.zone)
    for due_time in timetable.between(span.start, span.end):
        yield (
            (rfc3339(due_time), metadata["namespace"], metadata["name"]),
            PlanEntryView(
                due_time=due_time.astimezone(zone),
                job_id=metadata["name"],
                namespace=metadata["namespace"],
                job_name=display_name(job),
                priority=job["spec"].get("priority") or Priority.NORMAL.value,
                certain=is_certain(timetable, due_time),
            ),
        )


class Plans:
    """Looks ahead, with the caller's own rights."""

    def __init__(self, reading: Reading, jobs: Jobs) -> None:
        self._reading = reading
        self._jobs = jobs

    async def plan(self, caller: Caller, namespace: str, query: PlanQuery) -> PlanView:
        """A page of what becomes due, and which jobs are not in it, and why."""
        now = self._jobs.now()
        span = planned_range(query, now)
        after = None if query.cursor is None else _open(query.cursor)
        if after is not None:
            span = Range(max(span.start, parse_rfc3339(after[0]) - _SECOND), span.end)
        plans: list[Iterator[tuple[Place, PlanEntryView]]] = []
        left_out: list[LeftOutView] = []
        calendars: dict[str, WorkingDays | str] = {}
        jobs = self._reading.jobs(caller, None if namespace == ALL_NAMESPACES else namespace)
        async with aclosing(jobs):
            async for job in jobs:
                if not job["spec"].get("schedule") or query.job_id not in (None, job["metadata"]["name"]):
                    continue
                start = due_from(job, now)
                try:
                    timetable = await self._timetable(caller, job, calendars)
                except ValueError as error:
                    left_out.append(_left_out(job, "invalid", str(error)))
                    continue
                if start is None:
                    left_out.append(_left_out(job, "paused", "is paused until somebody resumes it"))
                    continue
                plans.append(plan_of(job, timetable, Range(max(span.start, start), span.end)))
        found = page(plans, query.limit, after)
        return found.model_copy(update={"left_out": left_out[:_MAX_LEFT_OUT], "left_out_count": len(left_out)})

    async def _timetable(self, caller: Caller, job: Json, calendars: dict[str, WorkingDays | str]) -> Timetable:
        """Raises ValueError with a sentence where a job has no due times to tell."""
        wrong = invalid(job)
        if wrong is not None:
            raise ValueError(wrong)
        try:
            schedule = Schedule.model_validate(job["spec"]["schedule"])
        except ValidationError as error:
            raise ValueError("schedule: is none that this version knows") from error
        days = None
        if schedule.calendar is not None:
            name = schedule.calendar.name
            if name not in calendars:
                calendars[name] = await self._days(caller, name)
            found = calendars[name]
            if isinstance(found, str):
                raise ValueError(found)
            days = found
        return Timetable.of(schedule, self._jobs.default_zone, days)

    async def _days(self, caller: Caller, name: str) -> WorkingDays | str:
        """The days of a calendar, or why they are not known: the other jobs have a plan all the same."""
        try:
            return await read_working_days(name, self._reading.calendar(caller, name))
        except ValueError as error:
            return str(error)
        except ApiError as error:
            if error.status != 403:
                raise
            return f"calendar: you may not read BusinessCalendar {name}"


def _left_out(job: Json, reason: Literal["paused", "invalid"], detail: str) -> LeftOutView:
    metadata = job["metadata"]
    return LeftOutView(job_id=metadata["name"], namespace=metadata["namespace"], reason=reason, detail=detail)


def _seal(place: Place) -> str:
    return base64.urlsafe_b64encode(f"plan:{json.dumps(place)}".encode()).decode().rstrip("=")


def _open(cursor: str) -> Place:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
        due_time, namespace, name = json.loads(text.removeprefix("plan:"))
        _ = parse_rfc3339(due_time) - _SECOND
        place = (due_time, str(namespace), str(name))
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise problems.validation([bad_cursor()]) from error
    return place
