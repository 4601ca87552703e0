"""A schedule's due times: the next, the newest, how many, and those that a calendar took away."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Self

from merp_crds.common import check_due_time
from merp_crds.cron import Cron
from merp_crds.onworkingdays import OnWorkingDays
from merp_crds.scheduledjob import Dst, OnHoliday, Schedule
from merp_crds.series import AsCluster, Interval, OncePerWall, Series, Single, newest
from merp_crds.wallclock import SECOND, WallClock
from merp_crds.walls import Walls
from merp_crds.zones import find_zone

if TYPE_CHECKING:
    from merp_crds.businesscalendar import WorkingDays

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_SECONDS: Final = 86_400
# What is asked beyond these is answered as if asked there: a datetime cannot count on past the year 9999.
_FIRST: Final = datetime(1800, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(9900, 1, 1, tzinfo=UTC)


def check(schedule: Schedule, default_zone: str) -> None:
    """Raises ValueError that begins with the field's name and says the remedy."""
    zone = schedule.time_zone if schedule.time_zone is not None else default_zone
    find_zone(zone)
    given = [schedule.cron, schedule.interval_seconds, schedule.at]
    if sum(value is not None for value in given) != 1:
        raise ValueError("cron: exactly one of cron, intervalSeconds and at is needed")
    if schedule.cron is not None:
        Cron.parse(schedule.cron, zone)
    _check_bounds(schedule)
    if schedule.cron is None and schedule.dst is Dst.ONCE:
        raise ValueError(
            "dst: Once is for cron: intervalSeconds and at name instants, which no clock change repeats or leaves out; "
            "leave it out"
        )
    if (
        schedule.calendar is not None
        and schedule.calendar.on_holiday is not OnHoliday.SKIP
        and schedule.interval_seconds is not None
        and schedule.interval_seconds < _DAY_SECONDS
    ):
        raise ValueError(
            f"calendar: {schedule.calendar.on_holiday} with an interval of less than a day would pile up a day off on "
            "a working day: use onHoliday Skip"
        )


def _check_bounds(schedule: Schedule) -> None:
    for name, moment in (("startAt", schedule.start_at), ("endAt", schedule.end_at)):
        try:
            if moment is not None:
                moment.astimezone(UTC)
        except OverflowError:
            raise ValueError(f"{name}: {moment} cannot be counted with: write a year from 1970 to 9900") from None
    if schedule.at is not None:
        try:
            check_due_time(schedule.at)
        except ValueError as error:
            raise ValueError(f"at: {error}") from None
    if schedule.start_at and schedule.end_at and schedule.end_at < schedule.start_at:
        raise ValueError("endAt: is before startAt: no run would ever be due")
    if schedule.at is not None and schedule.calendar is None:
        if schedule.start_at is not None and schedule.at < schedule.start_at:
            raise ValueError("at: is before startAt: no run would ever be due")
        if schedule.end_at is not None and schedule.at > schedule.end_at:
            raise ValueError("at: is after endAt: no run would ever be due")


@dataclass(frozen=True, slots=True)
class Timetable:
    """A schedule with its zone and, where it names one, its calendar; reads no clock.

    Moments are aware; what is answered is in UTC and whole seconds. startAt and endAt bound the instants that runs are
    due at, those that a calendar moved included.
    """

    schedule: Schedule
    zone: str
    working_days: "WorkingDays | None"
    series: Series
    moved: OnWorkingDays | None

    @classmethod
    def of(cls, schedule: Schedule, default_zone: str = "UTC", working_days: "WorkingDays | None" = None) -> Self:
        """The timetable of a schedule; `working_days` are those of the calendar that it names.

        Raises ValueError as check() does, and where the schedule names a calendar that is not given.
        """
        check(schedule, default_zone)
        zone = schedule.time_zone or default_zone
        clock = WallClock(find_zone(zone))
        series = _series(schedule, clock)
        if schedule.calendar is None:
            return cls(schedule, zone, None, series, None)
        if working_days is None:
            raise ValueError(f"calendar: BusinessCalendar {schedule.calendar.name} is not there: create it")
        moved = OnWorkingDays(series, clock, working_days, schedule.calendar.on_holiday)
        return cls(schedule, zone, working_days, moved, moved)

    def after(self, moment: datetime) -> datetime | None:
        """The first due time strictly after; None if there is none (for cron: within nine years)."""
        start, end = self._bounded(moment, _LAST)
        if start >= end:
            return None
        due = self.series.after(start)
        return due if due is not None and due <= end else None

    def newest(self, start: datetime, end: datetime) -> datetime | None:
        """The newest due time in (start, end], without looking at the others."""
        start, end = self._bounded(start, end)
        return newest(self.series.after, start, end) if start < end else None

    def count(self, start: datetime, end: datetime) -> int:
        """How many due times are in (start, end], counted and not enumerated."""
        start, end = self._bounded(start, end)
        return self.series.count(start, end) if start < end else 0

    def between(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """The due times in (start, end], oldest first."""
        start, end = self._bounded(start, end)
        return self.series.between(start, end) if start < end else iter(())

    def dropped(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """The schedule's own times in (start, end] that the calendar took away, oldest first.

        Those on days off that are skipped, that met another one where they were moved to, or that were moved out of
        startAt and endAt.
        """
        start, end = self._bounded(start, end)
        if self.moved is None or start >= end:
            return
        first, last = self._bounded(_FIRST, _LAST)
        for original in self.moved.off(start, end):
            due = self.moved.moved_to(original)
            if due is None or not first < due <= last:
                yield original

    @property
    def unknown_from(self) -> date | None:
        """The first local date that the calendar does not know; None without a calendar."""
        return None if self.working_days is None else self.working_days.valid_through + timedelta(days=1)

    @property
    def digest(self) -> str:
        """Equal for timetables that mean the same, whatever they are spelled like; it outlives releases."""
        text = json.dumps(self._meaning(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _meaning(self) -> dict[str, Any]:
        schedule = self.schedule
        meaning: dict[str, Any] = {
            name: str(_whole(moment))
            for name, moment in (("at", schedule.at), ("startAt", schedule.start_at), ("endAt", schedule.end_at))
            if moment is not None
        }
        if schedule.interval_seconds is not None:
            meaning["intervalSeconds"] = schedule.interval_seconds
        if schedule.cron is not None:
            cron = Cron.parse(schedule.cron, self.zone)
            fields = (cron.minute, cron.hour, cron.day, cron.month, cron.weekday)
            meaning["cron"] = [sorted(field.values) for field in fields]
            meaning["eitherDay"] = not (cron.day.star or cron.weekday.star)
            meaning["dst"] = schedule.dst.value
        if schedule.calendar is not None and self.working_days is not None:
            meaning["calendar"] = [self.working_days.digest, schedule.calendar.on_holiday.value]
        if schedule.cron is not None or schedule.calendar is not None:
            meaning["zone"] = self.zone
        return meaning

    def _bounded(self, start: datetime, end: datetime) -> tuple[datetime, datetime]:
        """(start, end] within startAt and endAt, in UTC."""
        start, end = max(start, _FIRST).astimezone(UTC), min(end, _LAST).astimezone(UTC)
        if self.schedule.start_at is not None:
            # A due time equal to startAt counts.
            start = max(start, max(_whole(self.schedule.start_at), _FIRST) - SECOND)
        if self.schedule.end_at is not None:
            end = min(end, _whole(self.schedule.end_at))
        return start, end


def _series(schedule: Schedule, clock: WallClock) -> Series:
    if schedule.at is not None:
        return Single(_whole(schedule.at))
    if schedule.interval_seconds is not None:
        origin = _EPOCH if schedule.start_at is None else _whole(schedule.start_at)
        return Interval(origin, timedelta(seconds=schedule.interval_seconds))
    assert schedule.cron is not None, "checked: it is one of three"
    cron = Cron.parse(schedule.cron, clock.zone.key)
    if schedule.dst is Dst.ONCE:
        return OncePerWall(Walls.of(cron), clock)
    return AsCluster(cron, Walls.of(cron), clock)


def _whole(moment: datetime) -> datetime:
    """In UTC, without fractions of a second, as Kubernetes writes times."""
    return moment.astimezone(UTC).replace(microsecond=0)
