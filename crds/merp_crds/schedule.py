"""What a schedule means: its due times, its words, and the cron expression that the native clock can carry of it."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from merp_crds.common import rfc3339
from merp_crds.remarks import warnings
from merp_crds.scheduledjob import Dst, Schedule, ScheduledJobSpec
from merp_crds.timetable import Timetable, check

if TYPE_CHECKING:
    from merp_crds.businesscalendar import WorkingDays

__all__ = ["Timetable", "check", "describe", "due_times", "native_cron", "never_fires", "next_due", "warnings"]

_MINUTE: Final = 60
_HOUR: Final = 3600
# The zone that has no clock changes: what an interval in seconds is counted in.
INTERVAL_ZONE: Final = "Etc/UTC"
_BEGINNING: Final = datetime.min.replace(tzinfo=UTC)


def due_times(
    spec: ScheduledJobSpec | Schedule | Mapping[str, Any],
    start: datetime,
    end: datetime,
    *,
    default_zone: str = "UTC",
    working_days: "WorkingDays | None" = None,
) -> Iterator[datetime]:
    """The due times in (start, end], in UTC, oldest first; none without a schedule.

    `spec` is the spec of a ScheduledJob, or its schedule. Raises ValueError as check() and Timetable.of() do.
    """
    schedule = _schedule(spec)
    return iter(()) if schedule is None else Timetable.of(schedule, default_zone, working_days).between(start, end)


def next_due(
    spec: ScheduledJobSpec | Schedule | Mapping[str, Any],
    after: datetime,
    *,
    default_zone: str = "UTC",
    working_days: "WorkingDays | None" = None,
) -> datetime | None:
    """The first due time strictly after `after`, in UTC; None if there is none. Raises as due_times()."""
    schedule = _schedule(spec)
    return None if schedule is None else Timetable.of(schedule, default_zone, working_days).after(after)


def never_fires(
    schedule: Schedule, default_zone: str, after: datetime, working_days: "WorkingDays | None" = None
) -> bool:
    """Whether the schedule has no due time at all, for a job that exists since `after`.

    True for 30 February, for startAt and endAt without a due time between them, and with `working_days` for a schedule
    that is due on days off alone. One that has ended has had its due times. Raises ValueError as check() does.
    """
    if schedule.at is not None and working_days is None:
        return False
    update: dict[str, Any] = {} if working_days is not None else {"calendar": None}
    if schedule.end_at is not None and schedule.start_at is None and schedule.end_at <= after:
        # It ended before the job was made: only the expression is left to be judged.
        update["end_at"] = None
    # What begins at a moment of its own is looked at from there, be it past or not.
    start = after if schedule.start_at is None and schedule.at is None else _BEGINNING
    return Timetable.of(schedule.model_copy(update=update), default_zone, working_days).after(start) is None


def native_cron(schedule: Schedule, default_zone: str) -> tuple[str, str] | None:
    """The expression and the zone of the CronJob that means the same, or None if no CronJob can.

    It knows nothing of startAt and endAt: they say when that CronJob exists.
    """
    if schedule.calendar is not None or schedule.dst is Dst.ONCE:
        # No CronJob knows days off, nor a clock change's hour once.
        return None
    if schedule.cron is not None:
        return schedule.cron, schedule.time_zone or default_zone
    seconds = schedule.interval_seconds
    if seconds is None or schedule.start_at is not None:
        return None
    if seconds % _MINUTE == 0 and _HOUR % seconds == 0:
        minutes = seconds // _MINUTE
        return ("0 * * * *" if minutes == 60 else f"*/{minutes} * * * *"), INTERVAL_ZONE
    if seconds % _HOUR == 0 and 24 * _HOUR % seconds == 0:
        hours = seconds // _HOUR
        return ("0 0 * * *" if hours == 24 else f"0 */{hours} * * *"), INTERVAL_ZONE
    return None


def describe(schedule: Schedule | None) -> str:
    """The schedule in a word, for a table."""
    if schedule is None:
        return "by hand"
    if schedule.cron is not None:
        return schedule.cron
    if schedule.interval_seconds is not None:
        return f"every {schedule.interval_seconds} s"
    assert schedule.at is not None, "the schema asks for one of three"
    try:
        return f"at {rfc3339(schedule.at)}"
    except OverflowError:
        # Before or after all time: what is wrong with it is said where it is checked.
        return f"at {schedule.at}"


def _schedule(spec: ScheduledJobSpec | Schedule | Mapping[str, Any]) -> Schedule | None:
    if isinstance(spec, Schedule):
        return spec
    if isinstance(spec, ScheduledJobSpec):
        return spec.schedule
    if any(name in spec for name in ("cron", "intervalSeconds", "at")):
        return Schedule.model_validate(spec)
    return ScheduledJobSpec.model_validate(spec).schedule
