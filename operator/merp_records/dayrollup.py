"""What the records of one day amount to. Pure: the same records give the same numbers, whatever happened before."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from merp_crds.reasons import Trigger, Verdict

# Runs that were not ended by somebody else.
_OWN_END: Final = frozenset({Verdict.SUCCESS, Verdict.FAILED, Verdict.TIMEOUT})
# Other runs have the due time that somebody gave them; how late they are says nothing.
_ON_SCHEDULE: Final = frozenset({Trigger.SCHEDULE, Trigger.CATCH_UP})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What of a record with a verdict goes into the numbers."""

    status: str
    trigger: str
    start_time: datetime
    end_time: datetime
    due_time: datetime | None
    due_time_end: datetime | None
    count: int
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DayNumbers:
    """A day in numbers, as the columns of `merp_records.tables.DailyRollup` say."""

    success: int
    failed: int
    timeout: int
    cancelled: int
    skipped: int
    missed: int
    healed: int
    duration_p50: float | None
    duration_p95: float | None
    lateness_p50: float | None
    lateness_p95: float | None


def day_of(moment: datetime) -> date:
    """The day in UTC."""
    return moment.astimezone(UTC).date()


def bounds(day: date) -> tuple[datetime, datetime]:
    """Its first moment, and the first after it."""
    start = datetime.combine(day, time(), UTC)
    return start, start + timedelta(days=1)


def summarise(records: Iterable[Ended], successes: Mapping[datetime, datetime]) -> DayNumbers | None:
    """The numbers of a day's records; None where there are none.

    `successes` says of due times of that job when the newest success for them ended.
    """
    counts = dict.fromkeys(Verdict, 0)
    durations, lateness = [], []
    healed, due_times = 0, sorted(successes)
    for record in records:
        counts[Verdict(record.status)] += record.count
        if record.attempts and record.status in _OWN_END:
            durations.append((record.end_time - record.start_time).total_seconds())
        if record.attempts and record.trigger in _ON_SCHEDULE and record.due_time is not None:
            lateness.append((record.start_time - record.due_time).total_seconds())
        if record.status != Verdict.SUCCESS:
            healed += min(record.count, _later_successes(record, due_times, successes))
    if not any(counts.values()):
        return None
    return DayNumbers(
        **{verdict.value: count for verdict, count in counts.items()},
        healed=healed,
        duration_p50=percentile(durations, 50),
        duration_p95=percentile(durations, 95),
        lateness_p50=percentile(lateness, 50),
        lateness_p95=percentile(lateness, 95),
    )


def percentile(values: Sequence[float], percent: int) -> float | None:
    """The smallest value that `percent` of them do not exceed (nearest rank), to the millisecond; None of no values."""
    if not values:
        return None
    return round(sorted(values)[math.ceil(len(values) * percent / 100) - 1], 3)


def _later_successes(record: Ended, due_times: Sequence[datetime], successes: Mapping[datetime, datetime]) -> int:
    if record.due_time is None:
        return 0
    first, last = record.due_time, record.due_time_end or record.due_time
    within = due_times[bisect_left(due_times, first) : bisect_right(due_times, last)]
    return sum(successes[due_time] > record.end_time for due_time in within)
