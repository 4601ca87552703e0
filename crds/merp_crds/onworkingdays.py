"""What a calendar makes of due times: those on days off are taken away, or moved to a working day."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final

from merp_crds.scheduledjob import OnHoliday
from merp_crds.series import Series
from merp_crds.wallclock import DAY, SECOND, Piece, WallClock

if TYPE_CHECKING:
    from merp_crds.businesscalendar import WorkingDays

# A due time that no working day has taken by then is never due.
_HORIZON: Final = timedelta(days=9 * 366)


@dataclass(frozen=True, slots=True)
class OnWorkingDays:
    """A series on the working days of a zone.

    A day is a local date. A moved time has the local time of the original, the first of two, the end of the gap where
    there is none. Of several on one instant the one that really is there is due, else the nearest original.
    """

    series: Series
    clock: WallClock
    days: "WorkingDays"
    on_holiday: OnHoliday
    # Instants by originals, by the first day of their days off.
    _moved: dict[date, dict[datetime, datetime]] = field(default_factory=dict, compare=False, repr=False)

    def after(self, moment: datetime) -> datetime | None:
        """The first one strictly after."""
        limit = moment + _HORIZON
        staying = self._staying_after(moment, limit)
        if self.on_holiday is OnHoliday.SKIP:
            return staying
        moved = next(self._moved_between(moment, staying or limit), None)
        return min((due for due in (staying, moved) if due is not None), default=None)

    def count(self, start: datetime, end: datetime) -> int:
        """How many are in the range; the days are walked, their times counted."""
        staying = sum(self.series.count(low, high) for low, high in self._ranges(start, end, worked=True))
        return staying + sum(1 for _ in self._moved_between(start, end))

    def between(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """Those in the range, oldest first."""
        # Before the first is told, those that are moved are looked through until one is due: where each meets another
        # one, that are all of them. So no more of a long range is looked at than somebody takes.
        span = DAY
        while start < end:
            behind = start + min(span, end - start)
            yield from heapq.merge(self._staying_between(start, behind), self._moved_between(start, behind))
            start, span = behind, 2 * span

    def moved_to(self, original: datetime) -> datetime | None:
        """The instant that a due time of the series is due at; None if the calendar took it away."""
        day = self.clock.wall(original).date()
        if self.days.is_working_day(day):
            return original
        if self.on_holiday is OnHoliday.SKIP:
            return None
        first = self.days.previous_working_day(day) + DAY
        return self._moves(first).get(original)

    def off(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """The due times of the series in (start, end] that are on days off."""
        for low, high in self._ranges(start, end, worked=False):
            yield from self.series.between(low, high)

    def _staying_between(self, start: datetime, end: datetime) -> Iterator[datetime]:
        for low, high in self._ranges(start, end, worked=True):
            yield from self.series.between(low, high)

    def _staying_after(self, moment: datetime, limit: datetime) -> datetime | None:
        due = self.series.after(moment)
        while due is not None and due <= limit:
            if self.days.is_working_day(self.clock.wall(due).date()):
                return due
            piece = next(piece for piece in self.clock.pieces(due, due + _HORIZON) if self._worked(piece))
            due = self.series.after(piece.low)
        return None

    def _moved_between(self, start: datetime, end: datetime) -> Iterator[datetime]:
        if self.on_holiday is OnHoliday.SKIP or end <= start:
            return
        # One day more on either side: a gap over midnight moves into the next date.
        day = self.days.previous_working_day(self.clock.wall(start).date() - 2 * DAY)
        last = self.clock.wall(end).date() + DAY
        while (first := self._next_day_off(day, last)) is not None:
            if self._target(first) > last:
                return
            for due in self._moves(first).values():
                if start < due <= end:
                    yield due
            day = self.days.next_working_day(first)

    def _next_day_off(self, day: date, last: date) -> date | None:
        """The first of the next days off in a row that have a due time, from `day` on; None past `last`."""
        moment = self._begin(day) - SECOND
        while (due := self.series.after(moment)) is not None:
            found = max(day, self.clock.wall(due).date())
            if not self.days.is_working_day(found):
                return self.days.previous_working_day(found) + DAY
            # A calendar may have no day off any more.
            while found <= last + DAY and self.days.is_working_day(found):
                found += DAY
            if found > last + DAY:
                return None
            moment = max(due, self._begin(found) - SECOND)
        return None

    def _target(self, day: date) -> date:
        if self.on_holiday is OnHoliday.NEXT:
            return self.days.next_working_day(day)
        return self.days.previous_working_day(day)

    def _moves(self, first: date) -> dict[datetime, datetime]:
        """Where the times of the days off that begin with `first` are moved to: instants by originals, oldest first."""
        if first not in self._moved:
            self._moved[first] = self._compute_moves(first)
        return self._moved[first]

    def _compute_moves(self, first: date) -> dict[datetime, datetime]:
        target = self._target(first)
        taken = self._staying_on(target)
        moves: dict[datetime, datetime] = {}
        for local, original in sorted(self._originals(first).items()):
            due = self.clock.instant(datetime.combine(target, local))
            nearest = due not in moves or abs(original - due) < abs(moves[due] - due)
            if nearest and due not in taken:
                moves[due] = original
        return {original: due for due, original in sorted(moves.items())}

    def _originals(self, first: date) -> dict[time, datetime]:
        """The due times of the days off that begin with `first`, by their local time; the nearest one of each."""
        behind = self.days.next_working_day(first)
        found: dict[time, datetime] = {}
        for piece in self.clock.pieces(self._begin(first) - SECOND, self._begin(behind) + DAY):
            if first <= piece.day < behind:
                for original in self.series.between(piece.low, piece.high):
                    local = (original + piece.offset).time()
                    # The nearest is the newest if they move on, the oldest if they move back.
                    if self.on_holiday is OnHoliday.NEXT or local not in found:
                        found[local] = original
        return found

    def _staying_on(self, day: date) -> frozenset[datetime]:
        """The due times of a working day, and of the instant that it ends at."""
        ranges = self._ranges(self._begin(day) - SECOND, self._begin(day + DAY), worked=True)
        return frozenset(due for low, high in ranges for due in self.series.between(low, high))

    def _ranges(self, start: datetime, end: datetime, *, worked: bool) -> Iterator[tuple[datetime, datetime]]:
        """The parts of (start, end] on days that are worked, or on those that are not, each as long as it can be."""
        low = high = None
        for piece in self.clock.pieces(start, end):
            if self._worked(piece) is not worked:
                continue
            if low is None or piece.low != high:
                if low is not None and high is not None:
                    yield low, high
                low = piece.low
            high = piece.high
        if low is not None and high is not None:
            yield low, high

    def _worked(self, piece: Piece) -> bool:
        return self.days.is_working_day(piece.day)

    def _begin(self, day: date) -> datetime:
        return self.clock.instant(datetime.combine(day, time()))
