"""Which due times are started now, which end without a run, and up to when all are accounted for. Pure.

Every due time ends in exactly one verdict. One that has a Job gets it from there; this module decides the others, and
it does so from what exists alone: a second look at the same objects decides the same, whoever looks.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

from merp_crds.common import parse_duration
from merp_crds.reasons import Reason, Trigger, Verdict
from merp_crds.scheduledjob import MAX_SPANS, Accounted, MissedPolicy, Span, Unrecorded
from merp_operator.situation import Situation

# Up to this late a due time is simply started, by either clock. Later it is missed, and `missed` decides.
STARTING_DEADLINE: Final = timedelta(seconds=60)
# Only after this is a due time without a run told to be missed: a clock that is behind may still start it before.
VERDICT_AGE: Final = timedelta(seconds=120)
# What the native clock has not started by then, the operator starts.
NATIVE_GRACE: Final = timedelta(seconds=3)
# More due times than this without a run, one after the other, are one record with a range.
INDIVIDUAL: Final = 20
# What a status may list. What does not fit is decided at the next look, when these are committed.
MAX_UNRECORDED: Final = 512

_INSTANT: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Start:
    """A due time to start now."""

    due_time: datetime
    trigger: Trigger


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about the due times; `look_again` is when time alone will change that."""

    accounted: Accounted
    starts: tuple[Start, ...] = ()
    endings: tuple[Unrecorded, ...] = ()
    look_again: datetime | None = None


def decide(situation: Situation, now: datetime) -> Decision:
    """What becomes of the due times up to `now`."""
    return _Account(situation, _open(situation, now), now).decide()


def _open(situation: Situation, now: datetime) -> Accounted:
    """From when on due times are expected: a pause, an edit and the creation are no outages."""
    before = situation.accounted
    if before is not None and before.hash == situation.digest:
        return before
    if before is not None and situation.resumed is not None and before.hash == situation.digest_if(suspended=True):
        # The pause said itself when it ends: what is due from then on is due, whoever was away.
        return Accounted(until=max(before.until, situation.resumed - _INSTANT), hash=situation.digest)
    if before is not None and _awaits_its_moment(situation, before):
        return Accounted(until=before.until, hash=situation.digest)
    if before is not None:
        # Never earlier: what was accounted for stays so, also under a clock that was set back.
        return Accounted(until=max(before.until, now), hash=situation.digest)
    edited = situation.generation > 1 and situation.only is None
    if edited or situation.suspended or situation.looked_at:
        # Edited before anybody accounted for it: since when it is as it is cannot be known.
        return Accounted(until=now, hash=situation.digest)
    # A single moment that has passed when it is declared is missed; a series has no past before it is created.
    since = situation.created if situation.only is None else min(situation.created, situation.only - _INSTANT)
    return Accounted(until=since, hash=situation.digest)


def _awaits_its_moment(situation: Situation, before: Accounted) -> bool:
    """Whether an edit leaves a single moment, or writes one, that nobody has accounted for: it does not take it away.

    Of a series nobody knows which due times were before the edit; a moment is the same since it was written. What a
    calendar makes of it may move once more, though, and that may have run already.
    """
    only = situation.only
    if only is None or situation.timetable.working_days is not None or before.covers(only):
        return False
    return situation.edited and not (situation.suspended or situation.stopped)


@dataclass(slots=True)
class _Account:
    """One decision: walks over what is unsettled, newest matters first."""

    situation: Situation
    accounted: Accounted
    now: datetime
    starts: list[Start] = field(default_factory=list)
    endings: list[Unrecorded] = field(default_factory=list)
    # Due times that are not settled by what exists or by this decision.
    open: list[datetime] = field(default_factory=list)
    moments: list[datetime] = field(default_factory=list)

    def decide(self) -> Decision:
        for due in self.situation.lost:
            self._end(due, Verdict.CANCELLED, Reason.JOB_DELETED, always=True)
        for due in self.situation.taken:
            if not self._settled(due):
                self._end(due, Verdict.SKIPPED, Reason.NAME_TAKEN, always=True)
        if self.situation.suspended:
            self._missed_before_the_pause()
            return Decision(accounted=self.accounted, endings=tuple(self.endings))
        only = self.situation.only
        if only is not None and only <= (self.now if self.situation.edited else self.situation.created):
            self._declared_late(only)
        else:
            self._fresh()
            self._stale()
        accounted = self._settle()
        following = self.situation.timetable.after(self.now)
        if following is not None:
            self.moments.append(following + (NATIVE_GRACE if self.situation.native else timedelta()))
        return Decision(
            accounted=accounted,
            starts=tuple(self.starts),
            endings=tuple(sorted(self.endings, key=lambda entry: entry.first)),
            look_again=min(self.moments, default=None),
        )

    def _settled(self, due: datetime) -> bool:
        return (
            self.accounted.covers(due)
            or due in self.situation.started
            or any(entry.first <= due <= entry.last for entry in (*self.situation.unrecorded, *self.endings))
        )

    def _missed_before_the_pause(self) -> None:
        """What was late already when the pause began was missed by an outage, and is not caught up any more."""
        before = self.situation.accounted
        if before is None or before.hash != self.situation.digest_if(suspended=False):
            return
        pause = self.accounted
        self.accounted = before
        self._miss([], self.now - STARTING_DEADLINE - _INSTANT, at_once=True)
        self.accounted = pause

    def _declared_late(self, due: datetime) -> None:
        """A single moment that had passed when it was declared: `missed` decides, however little it is late."""
        situation = self.situation
        if (
            due <= situation.created
            and self.accounted.covers(due)
            and situation.edited
            and due not in situation.started
        ):
            # It passed before there was a job: no schedule before this one can have run it.
            self._end(due, Verdict.MISSED, Reason.TOO_LATE)
        if self._settled(due):
            return
        if due in situation.starting:
            self.open.append(due)
            return
        missed = situation.missed
        if missed.policy is MissedPolicy.SKIP or self.now - due > parse_duration(missed.max_age):
            self._end(due, Verdict.MISSED, Reason.TOO_LATE)
        else:
            self._catch_up([due])

    def _fresh(self) -> None:
        """Due times that are at most D late: started, unless overlap forbids it."""
        situation = self.situation
        begin = max(self.accounted.until, self.now - STARTING_DEADLINE - _INSTANT)
        for due in situation.timetable.between(begin, self.now):
            if self._settled(due):
                continue
            if due in situation.starting:
                self.open.append(due)
                continue
            if situation.native_last == due:
                self._written_in_books(due)
                continue
            grace = due + NATIVE_GRACE if situation.native else due
            if self.now < grace:
                self.open.append(due)
                self.moments.append(grace)
            elif situation.forbid and situation.unfinished:
                self._end(due, Verdict.SKIPPED, Reason.OVERLAP)
            elif situation.forbid and self.starts:
                # It overlaps with that one only once that one is there.
                self.open.append(due)
            else:
                self.open.append(due)
                self.starts.append(Start(due, Trigger.SCHEDULE))

    def _stale(self) -> None:
        """Due times that are more than D late: `missed` says which of them still run."""
        end = self.now - STARTING_DEADLINE - _INSTANT
        if end <= self.accounted.until:
            return
        if self._in_books(end):
            assert self.situation.native_last is not None
            self._written_in_books(self.situation.native_last)
        # One that is being made stays open, also where a newer one has come meanwhile.
        coming = [due for due in sorted(self.situation.starting) if due <= end and not self._settled(due)]
        self.open += coming
        candidates = [due for due in self._candidates(end) if not self._settled(due) and not self._overlapped(due)]
        self._catch_up(candidates)
        self._miss([*candidates, *coming], end)

    def _in_books(self, end: datetime) -> bool:
        last = self.situation.native_last
        return (
            last is not None
            and self.accounted.until < last <= end
            and not self._settled(last)
            and next(self.situation.timetable.between(last - _INSTANT, last), None) is not None
        )

    def _written_in_books(self, due: datetime) -> None:
        """The native clock's books hold it, and there is no Job: it was skipped, or its Job was deleted."""
        if self._overlapped(due):
            self._end(due, Verdict.SKIPPED, Reason.OVERLAP)
        else:
            self._end(due, Verdict.CANCELLED, Reason.JOB_DELETED)

    def _overlapped(self, due: datetime) -> bool:
        """Whether a run was unfinished when this was due, and that forbids it."""
        return self.situation.forbid and any(begin < due <= end for begin, end in self._spans())

    def _spans(self) -> list[tuple[datetime, datetime]]:
        return [(begin, end or self.now) for begin, end in self.situation.spans]

    def _candidates(self, end: datetime) -> list[datetime]:
        """What `missed` lets run of the due times up to `end`, oldest first."""
        missed, timetable = self.situation.missed, self.situation.timetable
        begin = max(self.accounted.until, self.now - parse_duration(missed.max_age) - _INSTANT)
        if missed.policy is MissedPolicy.SKIP or begin >= end:
            return []
        if missed.policy is MissedPolicy.LATEST:
            newest = timetable.newest(begin, self.now)
            # A newer one that is started or waits for its clock makes up for the older ones.
            return [newest] if newest is not None and newest <= end else []
        return self._newest_open(missed.max_count, begin, end)

    def _newest_open(self, number: int, begin: datetime, end: datetime) -> list[datetime]:
        """The newest due times in (begin, end] that nothing has settled, at most `number`, oldest first."""
        timetable = self.situation.timetable
        found: list[datetime] = []
        for first, last in reversed(list(self._gaps(self.situation.started, begin, end))):
            wanted = number - len(found)
            if wanted <= 0:
                break
            if timetable.count(first, last) > wanted:
                first = self._before_the_newest(wanted, first, last)
            found = [*list(timetable.between(first, last))[-wanted:], *found]
        return found

    def _before_the_newest(self, number: int, begin: datetime, end: datetime) -> datetime:
        """The latest whole second after which there are still `number` due times up to `end`."""
        low, high = int(begin.timestamp()), int(end.timestamp()) + 1
        while high - low > 1:
            middle = (low + high) // 2
            if self.situation.timetable.count(datetime.fromtimestamp(middle, UTC), end) >= number:
                low = middle
            else:
                high = middle
        return datetime.fromtimestamp(low, UTC)

    def _catch_up(self, candidates: list[datetime]) -> None:
        """One after the other, oldest first: an outage must not be followed by a storm."""
        situation = self.situation
        self.open += candidates
        if not candidates:
            return
        busy = situation.catching_up or any(due in situation.starting for due in candidates)
        busy = busy or (situation.forbid and bool(situation.unfinished or self.starts))
        if not busy:
            self.starts.append(Start(candidates[0], Trigger.CATCH_UP))
        # Until then it may wait for its turn.
        self.moments.append(candidates[0] + parse_duration(situation.missed.max_age) + _INSTANT)

    def _miss(self, candidates: list[datetime], end: datetime, *, at_once: bool = False) -> None:
        """Everything else of the past ends as missed, between what has a Job or still may get one."""
        timetable = self.situation.timetable
        kept = frozenset((*self.situation.started, *candidates))
        final = end if at_once else self.now - VERDICT_AGE
        if final < end:
            # Some clock may be so far behind that it still starts these.
            waiting = [
                due
                for due in timetable.between(max(final, self.accounted.until), end)
                if due not in kept and not self._settled(due)
            ]
            self.open += waiting
            self.moments += [due + VERDICT_AGE for due in waiting[:1]]
        for begin, last in self._gaps(kept, self.accounted.until, min(final, end)):
            for piece, overlapped in self._pieces(begin, last):
                self._miss_range(*piece, overlapped=overlapped)

    def _miss_range(self, begin: datetime, end: datetime, *, overlapped: bool) -> None:
        too_late = self.now - parse_duration(self.situation.missed.max_age)
        if overlapped:
            self._end_range(begin, end, Verdict.SKIPPED, Reason.OVERLAP)
        elif self.situation.missed.policy is MissedPolicy.SKIP or too_late <= begin:
            self._end_range(begin, end, Verdict.MISSED, Reason.OUTAGE)
        else:
            self._end_range(begin, min(too_late, end), Verdict.MISSED, Reason.TOO_LATE)
            if too_late < end:
                self._end_range(too_late, end, Verdict.MISSED, Reason.OUTAGE)

    def _pieces(self, begin: datetime, end: datetime) -> Iterator[tuple[tuple[datetime, datetime], bool]]:
        """The parts of (begin, end], and whether an unfinished run was in the way there."""
        for first, last in sorted(self._spans()) if self.situation.forbid else ():
            if last <= begin or first >= end:
                continue
            if first > begin:
                yield (begin, first), False
            yield (max(begin, first), min(end, last)), True
            begin = min(end, last)
        if begin < end:
            yield (begin, end), False

    def _gaps(self, kept: frozenset[datetime], begin: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
        """The parts of (begin, end] between the due times in `kept` and what is settled."""
        begin = max(begin, self.accounted.until)
        walls = [(due, due) for due in kept if begin < due <= end]
        walls += [(entry.first, entry.last) for entry in (*self.situation.unrecorded, *self.endings)]
        walls += [(span.first, span.last) for span in self.accounted.beyond]
        for first, last in sorted(walls):
            if first > end:
                break
            if first - _INSTANT > begin:
                yield begin, first - _INSTANT
            begin = max(begin, last)
        if begin < end:
            yield begin, end

    def _end_range(self, begin: datetime, end: datetime, verdict: Verdict, reason: Reason) -> None:
        """The due times in (begin, end] end so: each by itself, or as a range where they are many."""
        timetable = self.situation.timetable
        number = timetable.count(begin, end)
        if number == 0:
            return
        if number <= INDIVIDUAL:
            for due in timetable.between(begin, end):
                self._end(due, verdict, reason)
            return
        first, last = timetable.after(begin), timetable.newest(begin, end)
        assert first is not None, "what was counted exists"
        self._end(first, verdict, reason, last=last, count=number)

    def _end(
        self,
        due: datetime,
        verdict: Verdict,
        reason: Reason,
        *,
        last: datetime | None = None,
        count: int = 1,
        always: bool = False,
    ) -> None:
        if not always and self._room() <= 0:
            # Decided once those before it are recorded; until then it holds back `until`.
            self.open.append(due)
            return
        ending = Unrecorded(first=due, last=last or due, count=count, verdict=verdict, reason=reason, at=self.now)
        self.endings.append(ending)

    def _room(self) -> int:
        """How many endings more the status may list."""
        return MAX_UNRECORDED - len(self.situation.unrecorded) - len(self.endings)

    def _settle(self) -> Accounted:
        """As far as every due time is settled, and what is settled beyond that.

        `until` stands on a due time, so that time alone changes nothing.
        """
        before, timetable = self.accounted, self.situation.timetable
        bound = min((due - _INSTANT for due in self.open), default=self.now)
        gone = list(timetable.dropped(before.until, bound))
        if gone and self._room() < min(len(gone), INDIVIDUAL):
            return before
        reached = timetable.newest(before.until, bound)
        until = max(moment for moment in (before.until, reached, *gone[-1:]) if moment is not None)
        self._drop(gone)
        return Accounted(until=until, hash=before.hash, beyond=self._beyond())

    def _beyond(self) -> list[Span]:
        """What is settled after the oldest due time that is open: all between it and the next, and so on."""
        spans = []
        opened = [*sorted(set(self.open)), self.now + _INSTANT]
        for begin, following in pairwise(opened):
            first = self.situation.timetable.after(begin)
            if first is None or first >= following:
                continue
            last = self.situation.timetable.newest(begin, following - _INSTANT)
            spans.append(Span(first=first, last=last or first))
        return spans[-MAX_SPANS:]

    def _drop(self, gone: list[datetime]) -> None:
        """What the calendar took away is skipped."""
        if len(gone) > INDIVIDUAL:
            self._end(gone[0], Verdict.SKIPPED, Reason.CALENDAR, last=gone[-1], count=len(gone))
            return
        for due in gone:
            self._end(due, Verdict.SKIPPED, Reason.CALENDAR)
