"""What a schedule means: its due times, its words, and the cron expression that the native clock can carry of it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from merp_crds.common import rfc3339
from merp_crds.cron import Cron
from merp_crds.scheduledjob import Schedule
from merp_crds.zones import find_zone

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE: Final = 60
_HOUR: Final = 3600
# The zone that has no clock changes: what an interval in seconds is counted in.
INTERVAL_ZONE: Final = "Etc/UTC"


def check(schedule: Schedule, default_zone: str) -> None:
    """Raises ValueError that begins with the field's name and says the remedy."""
    zone = schedule.time_zone or default_zone
    find_zone(zone)
    if schedule.cron is not None:
        Cron.parse(schedule.cron, zone)
    if schedule.start_at and schedule.end_at and schedule.end_at < schedule.start_at:
        raise ValueError("endAt: is before startAt: no run would ever be due")


def next_due(schedule: Schedule, default_zone: str, after: datetime) -> datetime | None:
    """The first due time strictly after `after`, in UTC; None if there is none."""
    start = after
    if schedule.start_at is not None and schedule.start_at > after:
        # A due time equal to startAt counts.
        start = schedule.start_at.astimezone(UTC) - timedelta(microseconds=1)
    due = _next(schedule, default_zone, start)
    if due is None or (schedule.end_at is not None and due > schedule.end_at):
        return None
    return due


def due_times(schedule: Schedule, default_zone: str, start: datetime, end: datetime) -> Iterator[datetime]:
    """The due times in (start, end], in UTC, oldest first."""
    moment: datetime | None = start
    while moment is not None:
        moment = next_due(schedule, default_zone, moment)
        if moment is None or moment > end:
            return
        yield moment


def native_cron(schedule: Schedule, default_zone: str) -> tuple[str, str] | None:
    """The expression and the zone of the CronJob that means the same, or None if no CronJob can."""
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
    return f"at {rfc3339(schedule.at)}"


def _next(schedule: Schedule, default_zone: str, after: datetime) -> datetime | None:
    if schedule.cron is not None:
        return Cron.parse(schedule.cron, schedule.time_zone or default_zone).after(after)
    if schedule.interval_seconds is not None:
        origin = schedule.start_at or _EPOCH
        step = timedelta(seconds=schedule.interval_seconds)
        passed = max(-1, (after - origin) // step)
        return (origin + (passed + 1) * step).astimezone(UTC)
    assert schedule.at is not None, "the schema asks for one of three"
    return schedule.at.astimezone(UTC) if schedule.at > after else None
