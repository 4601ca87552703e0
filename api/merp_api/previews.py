"""A schedule that nobody has saved yet: when it would be due, and what is likely not meant."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice
from typing import Any, Final

from merp_api import problems, translate
from merp_api.calendars import read_working_days
from merp_api.cluster import Cluster
from merp_api.identity import Caller
from merp_api.outlooks import PreviewBody, PreviewView, WarningView
from merp_api.problems import FieldError
from merp_api.reading import Reading
from merp_api.rules import JobRules, check_schedule, in_rest_words
from merp_api.times import parse_time
from merp_crds.schedule import Timetable, never_fires, warnings
from merp_crds.scheduledjob import Schedule
from merp_crds.zones import find_zone

# 29 February of a leap year comes at most eight years after the one before.
_AHEAD: Final = timedelta(days=9 * 366)
# No time that clients write lies behind this, and there is still a year for clocks to change in.
_END_OF_TIMES: Final = datetime(9999, 1, 1, tzinfo=UTC)
_FIELDS: Final = {"timeZone": "time_zone", "calendar": "calendar"}


class Previews:
    """Answers what a schedule means, before there is a job of it."""

    def __init__(self, cluster: Cluster, reading: Reading, rules: JobRules) -> None:
        self._cluster = cluster
        self._reading = reading
        self._rules = rules

    async def preview(self, caller: Caller, data: Any) -> PreviewView:
        """The next due times of a schedule. Raises Problem 400 as creating a job of it would."""
        now = self._cluster.now()
        body, fields = self._rules.read_preview(data, now)
        spec = translate.new_job("", "", fields, {}, self._rules.default_zone)["spec"]
        check_schedule(spec.get("schedule"), self._rules.default_zone)
        if "schedule" not in spec:
            return PreviewView(time_zone=None, due_times=[], days_off=[], warnings=[])
        schedule = Schedule.model_validate(spec["schedule"])
        timetable = await self._timetable(caller, schedule)
        return preview(schedule, timetable, self._start(body, timetable, now), now, body.count)

    async def _timetable(self, caller: Caller, schedule: Schedule) -> Timetable:
        days = None
        if schedule.calendar is not None:
            name = schedule.calendar.name
            try:
                days = await read_working_days(name, self._reading.calendar(caller, name))
            except ValueError as error:
                detail = str(error).removeprefix("calendar: ")
                raise problems.validation([FieldError.in_body(["calendar", "name"], "invalid", detail)]) from error
        return Timetable.of(schedule, self._rules.default_zone, days)

    def _start(self, body: PreviewBody, timetable: Timetable, now: datetime) -> datetime:
        if body.start is None:
            return now
        try:
            return parse_time(body.start, find_zone(timetable.zone))
        except ValueError as error:
            raise problems.validation([FieldError.in_body(["start"], "invalid", str(error))]) from error


def preview(schedule: Schedule, timetable: Timetable, start: datetime, now: datetime, count: int) -> PreviewView:
    """The first `count` due times after `start`. Pure."""
    zone = find_zone(timetable.zone)
    end = _END_OF_TIMES if start > _END_OF_TIMES - _AHEAD else start + _AHEAD
    due_times = list(islice(timetable.between(start, end), count))
    last = due_times[-1] if due_times else end
    dropped = islice(timetable.dropped(start, last), count)
    found = [_warning(text) for text in warnings(schedule, timetable.zone, now)]
    return PreviewView(
        time_zone=timetable.zone,
        due_times=_local(due_times, zone),
        days_off=_local(dropped, zone),
        warnings=[*found, *_limits(schedule, timetable, now, last)],
    )


def is_certain(timetable: Timetable, moment: datetime) -> bool:
    """Whether the calendar, if there is one, knows the day of a moment; beyond, only weekends count."""
    unknown = timetable.unknown_from
    return unknown is None or moment.astimezone(find_zone(timetable.zone)).date() < unknown


def _limits(schedule: Schedule, timetable: Timetable, now: datetime, last: datetime) -> Iterator[WarningView]:
    if schedule.at is not None and schedule.at <= now:
        yield WarningView(field="run_date", detail="is over: whether it is still run, the job's missed policy decides")
    elif never_fires(schedule, timetable.zone, now, timetable.working_days):
        yield WarningView(field="calendar", detail="is due on days off alone: it never runs")
    if not is_certain(timetable, last):
        detail = f"knows no days from {timetable.unknown_from}: from there only weekends count; renew it"
        yield WarningView(field="calendar", detail=detail)


def _warning(text: str) -> WarningView:
    field, _, rest = text.partition(": ")
    known = _FIELDS.get(field)
    # Of a cron expression the remark begins with the name of the cron field.
    detail = in_rest_words(text if known is None else rest)
    return WarningView(field=known or "cron_expression", detail=detail)


def _local(moments: Any, zone: tzinfo) -> list[datetime]:
    return [moment.astimezone(zone) for moment in moments]
