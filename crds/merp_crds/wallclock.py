"""The clock on the wall of a zone: its instants, its changes and its days.

Instants are aware and in UTC, walls are naive. Both are counted in whole seconds, as offsets and due times are.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

SECOND: Final = timedelta(seconds=1)
DAY: Final = timedelta(days=1)
# No zone changed its clock before, and none can be looked up near the end of what a datetime holds.
_FIRST_YEAR: Final = 1800
_LAST_YEAR: Final = 9990
# The longest change of a clock: the day that Samoa left out, the one that Kwajalein had twice.
_LONGEST_CHANGE: Final = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Piece:
    """The instants in (low, high]: one local date, or a part of it, with one offset."""

    day: date
    low: datetime
    high: datetime
    offset: timedelta


@dataclass(frozen=True, slots=True)
class WallClock:
    """The clock on the wall of a zone."""

    zone: ZoneInfo

    def wall(self, instant: datetime) -> datetime:
        """What the clock shows at an instant."""
        return instant.astimezone(self.zone).replace(tzinfo=None, fold=0)

    def offset(self, instant: datetime) -> timedelta:
        """How far the clock is ahead of UTC at an instant."""
        return _offset(self.zone, instant)

    def instant(self, wall: datetime) -> datetime:
        """The first instant at which the clock shows `wall`; where it never does, the end of the gap."""
        found = wall.replace(tzinfo=self.zone, fold=0).astimezone(UTC)
        if self.wall(found) == wall:
            return found
        return list(self.changes(found - _LONGEST_CHANGE, found))[-1]

    def last_wall(self, instant: datetime) -> datetime:
        """The latest wall whose `instant()` is not after the given one: all walls up to it are over then."""
        local = instant.astimezone(self.zone)
        if local.fold == 0:
            return local.replace(tzinfo=None)
        # In a repeated hour's second half each wall of that hour is over.
        change = list(self.changes(instant - _LONGEST_CHANGE, instant))[-1]
        return (change + self.offset(change - SECOND)).replace(tzinfo=None) - SECOND

    def changes(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """The instants in (start, end] at which the offset becomes another one."""
        for year in range(max(start.year, _FIRST_YEAR), min(end.year, _LAST_YEAR) + 1):
            for change in _changes(self.zone, year):
                if start < change <= end:
                    yield change

    def pieces(self, start: datetime, end: datetime) -> Iterator[Piece]:
        """(start, end] cut where the local date or the offset changes, oldest first.

        Not by date alone: a clock that is put back over midnight shows the same date twice, with another in between.
        """
        low = start
        while low < end:
            first = low + SECOND
            local = self.wall(first)
            midnight = datetime.combine(local.date(), time()) + DAY
            high = min(end, first + (midnight - local) - SECOND)
            change = next(self.changes(first, high), None)
            if change is not None:
                high = change - SECOND
            yield Piece(local.date(), low, high, self.offset(first))
            low = high


def _offset(zone: ZoneInfo, instant: datetime) -> timedelta:
    offset = instant.astimezone(zone).utcoffset()
    assert offset is not None, "an aware time always has an offset"
    return offset


@functools.lru_cache(maxsize=4096)
def _changes(zone: ZoneInfo, year: int) -> tuple[datetime, ...]:
    """The changes of a year, UTC. The zone database does not tell them, so each day's ends are compared."""
    found = []
    day = datetime(year, 1, 1, tzinfo=UTC) - SECOND
    before = _offset(zone, day)
    while day.year <= year and day + DAY < datetime(year + 1, 1, 1, tzinfo=UTC):
        after = _offset(zone, day + DAY)
        if after != before:
            found.append(_first_with_another(zone, day, day + DAY))
        day, before = day + DAY, after
    return tuple(found)


def _first_with_another(zone: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """The first instant in (low, high] that has not the offset of `low`, by bisection to the second."""
    before = _offset(zone, low)
    while high - low > SECOND:
        middle = low + (high - low) // 2
        middle = middle.replace(microsecond=0)
        if _offset(zone, middle) == before:
            low = middle
        else:
            high = middle
    return high
