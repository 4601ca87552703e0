"""The walls that a cron expression matches: pure calendar arithmetic, without a zone."""

import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final, Self

from merp_crds.cron import Cron

_DAY: Final = timedelta(days=1)
# 29 February comes after eight years where a century has none; what has not matched by then never does.
_YEARS: Final = 9


@dataclass(frozen=True, slots=True)
class Walls:
    """The naive local times that an expression matches."""

    cron: Cron
    # Minutes since midnight, the same on every day that matches.
    minutes: tuple[int, ...]

    @classmethod
    def of(cls, cron: Cron) -> Self:
        """What the expression matches."""
        return cls(cron, tuple(sorted(h * 60 + m for h in cron.hour.values for m in cron.minute.values)))

    def after(self, wall: datetime) -> datetime | None:
        """The first match strictly after; None if there is none within nine years."""
        if not self.minutes:
            return None
        day = wall.date()
        if self.cron.matches_day(day):
            later = bisect.bisect_right(self.minutes, _minute(wall))
            if later < len(self.minutes):
                return _at(day, self.minutes[later])
        found = self._day_after(day)
        return None if found is None else _at(found, self.minutes[0])

    def count(self, low: datetime, high: datetime) -> int:
        """How many matches are in (low, high]: whole days are counted, not enumerated."""
        if high <= low or not self.minutes:
            return 0
        until_high = bisect.bisect_right(self.minutes, _minute(high)) if self.cron.matches_day(high.date()) else 0
        until_low = bisect.bisect_right(self.minutes, _minute(low)) if self.cron.matches_day(low.date()) else 0
        return self._days(low.date(), high.date()) * len(self.minutes) + until_high - until_low

    def between(self, low: datetime, high: datetime) -> Iterator[datetime]:
        """The matches in (low, high], oldest first."""
        day: date | None = low.date()
        if not self.minutes:
            return
        while day is not None and day <= high.date():
            if self.cron.matches_day(day):
                for minute in self.minutes:
                    wall = _at(day, minute)
                    if low < wall <= high:
                        yield wall
            day = self._day_after(day)

    def _days(self, first: date, last: date) -> int:
        """How many of the days in [first, last) match."""
        return sum(self.cron.matches_day(first + number * _DAY) for number in range((last - first).days))

    def _day_after(self, day: date) -> date | None:
        """The first day after `day` that matches."""
        limit = day.year + _YEARS
        day += _DAY
        while day.year <= limit:
            if day.month not in self.cron.month.values:
                day = date(day.year + day.month // 12, day.month % 12 + 1, 1)
            elif self.cron.matches_day(day):
                return day
            else:
                day += _DAY
        return None


def _at(day: date, minute: int) -> datetime:
    return datetime.combine(day, time(minute // 60, minute % 60))


def _minute(wall: datetime) -> int:
    return wall.hour * 60 + wall.minute
