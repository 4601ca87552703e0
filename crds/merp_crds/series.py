"""Endless rows of due times, one class for each way to write a schedule; pure, and nothing is enumerated to be counted.

All instants are aware, in UTC and whole seconds; a range is (start, end].
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from merp_crds.cron import Cron
from merp_crds.wallclock import SECOND, WallClock
from merp_crds.walls import Walls

# So long after a clock change the cluster's search may still be off its way: it looks at months as a whole.
_SHADOW: Final = timedelta(days=400)


class Series(Protocol):
    """Due times before startAt, endAt and the calendar are looked at."""

    def after(self, moment: datetime) -> datetime | None:
        """The first one strictly after."""

    def count(self, start: datetime, end: datetime) -> int:
        """How many are in the range."""

    def between(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """Those in the range, oldest first."""


def newest(after: Callable[[datetime], datetime | None], start: datetime, end: datetime) -> datetime | None:
    """The last of the times that `after` tells in (start, end]: a window that doubles, then bisection in it."""
    first = after(start)
    if first is None or first > end:
        # Mostly so, and a schedule that is due once in years must not look so far ahead in each window.
        return None
    span = timedelta(minutes=1)
    while True:
        low = max(start, end - span)
        found = after(low)
        if found is not None and found <= end:
            break
        span *= 2
    # Times are in (found, high] or nowhere.
    high = end
    while high - found > SECOND:
        middle = found + (high - found) // 2
        later = after(middle)
        if later is not None and later <= end:
            found = later
        else:
            high = middle
    later = after(found)
    return later if later is not None and later <= end else found


@dataclass(frozen=True, slots=True)
class Single:
    """One due time."""

    at: datetime

    def after(self, moment: datetime) -> datetime | None:
        """The due time, if it is still to come."""
        return self.at if self.at > moment else None

    def count(self, start: datetime, end: datetime) -> int:
        """One or none."""
        return int(start < self.at <= end)

    def between(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """The due time, if it is in the range."""
        if start < self.at <= end:
            yield self.at


@dataclass(frozen=True, slots=True)
class Interval:
    """Every `step`, the first one at `origin`."""

    origin: datetime
    step: timedelta

    def after(self, moment: datetime) -> datetime | None:
        """The first one strictly after."""
        return self.origin + (self._passed(moment) + 1) * self.step

    def count(self, start: datetime, end: datetime) -> int:
        """How many are in the range."""
        return max(0, self._passed(end) - self._passed(start))

    def between(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """Those in the range, oldest first."""
        for number in range(self._passed(start) + 1, self._passed(end) + 1):
            yield self.origin + number * self.step

    def _passed(self, moment: datetime) -> int:
        """The number of the newest one up to `moment`, from 0; -1 before the first."""
        return max(-1, (moment - self.origin) // self.step)


@dataclass(frozen=True, slots=True)
class OncePerWall:
    """Cron with each wall once: the first of two, and the end of the gap where there is none."""

    walls: Walls
    clock: WallClock

    def after(self, moment: datetime) -> datetime | None:
        """The first one strictly after."""
        wall = self.walls.after(self.clock.last_wall(moment))
        return None if wall is None else self.clock.instant(wall)

    def count(self, start: datetime, end: datetime) -> int:
        """How many are in the range; the walls of a gap are one."""
        if end <= start:
            return 0
        total = self.walls.count(self.clock.last_wall(start), self.clock.last_wall(end))
        for change in self.clock.changes(start, end):
            before, after = self.clock.wall(change - SECOND), self.clock.wall(change)
            if after > before:
                total -= max(0, self.walls.count(before, after) - 1)
        return total

    def between(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """Those in the range, oldest first."""
        if end <= start:
            return
        latest = None
        for wall in self.walls.between(self.clock.last_wall(start), self.clock.last_wall(end)):
            due = self.clock.instant(wall)
            if due != latest:
                yield due
            latest = due


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A range without a clock change in it."""

    # What the cluster's search finds first behind the clock change that the stretch begins with, if it is in the range.
    first: datetime | None
    # Behind it, in (low, high], each wall that matches is due.
    low: datetime
    high: datetime
    offset: timedelta


@dataclass(frozen=True, slots=True)
class AsCluster:
    """Cron as the CronJob controller fires it: each time that the search of the cluster finds from the one before.

    While no clock changes, that is each wall that matches. The search that a clock change interrupts goes its own way,
    though: where the change is at midnight or by half an hour it may find a time whose wall does not match, or pass
    over some that do, and what it finds depends on where it began. The controller begins at the last due time; so the
    search that decides is the one that begins just before the change, and what lies between the change and what it
    finds is not due, whoever asks from wherever.
    """

    cron: Cron
    walls: Walls
    clock: WallClock
    # What the search finds over a clock change, by the change.
    _found: dict[datetime, datetime | None] = field(default_factory=dict, compare=False, repr=False)

    def after(self, moment: datetime) -> datetime | None:
        """The first one strictly after."""
        due = self._matching(moment)
        if due is None:
            return None
        behind = self._behind_the_last_change(moment)
        if behind is not None and behind > moment:
            due = behind
        seen = moment
        while due is not None:
            change = next(self.clock.changes(seen, due), None)
            if change is None:
                return due
            seen, due = change, self._first_behind(change)
        return None

    def count(self, start: datetime, end: datetime) -> int:
        """How many are in the range."""
        return sum(
            (stretch.first is not None)
            + self.walls.count(_shifted(stretch.low, stretch.offset), _shifted(stretch.high, stretch.offset))
            for stretch in self._stretches(start, end)
        )

    def between(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """Those in the range, oldest first."""
        for stretch in self._stretches(start, end):
            if stretch.first is not None:
                yield stretch.first
            low, high = _shifted(stretch.low, stretch.offset), _shifted(stretch.high, stretch.offset)
            for wall in self.walls.between(low, high):
                yield (wall - stretch.offset).replace(tzinfo=stretch.low.tzinfo)

    def _stretches(self, start: datetime, end: datetime) -> Iterator[_Stretch]:
        changes = list(self.clock.changes(start, end))
        lows = [start, *(change - SECOND for change in changes)]
        highs = [*(change - SECOND for change in changes), end]
        firsts = [self._behind_the_last_change(start), *map(self._first_behind, changes)]
        for number, (low, high, first) in enumerate(zip(lows, highs, firsts, strict=True)):
            if low >= high:
                continue
            offset = self.clock.offset(low + SECOND if number else low)
            if first is None and number:
                continue  # nothing is due any more
            if first is None or first <= low:
                yield _Stretch(None, low, high, offset)
            elif first <= high:
                yield _Stretch(first, first, high, offset)

    def _behind_the_last_change(self, moment: datetime) -> datetime | None:
        change = None
        for change in self.clock.changes(moment - _SHADOW, moment):  # noqa: B007  (the last one is wanted)
            pass
        return None if change is None else self._first_behind(change)

    def _first_behind(self, change: datetime) -> datetime | None:
        """The first due time at or after a clock change, had the clock never changed again."""
        if change not in self._found:
            found = self.cron.after(change - 2 * SECOND)
            if found is None or not change <= found <= change + _SHADOW:
                # The search gave up, turned in circles (clocks that were put back from 00:01 to 23:01, until 2011), or
                # came by so many other changes that this one does not count.
                found = self._matching(change - SECOND, self.clock.offset(change))
            self._found[change] = found
        return self._found[change]

    def _matching(self, moment: datetime, offset: timedelta | None = None) -> datetime | None:
        offset = self.clock.offset(moment) if offset is None else offset
        wall = self.walls.after(_shifted(moment, offset))
        return None if wall is None else (wall - offset).replace(tzinfo=moment.tzinfo)


def _shifted(instant: datetime, offset: timedelta) -> datetime:
    return (instant + offset).replace(tzinfo=None)
