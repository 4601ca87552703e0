"""Which runs of an upstream count for a gate: the last word on each due time, and the windows. Pure."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from typing import Final
from zoneinfo import ZoneInfo

from merp_crds.common import parse_duration
from merp_crds.reasons import Verdict
from merp_crds.scheduledjob import Dependency, DependencyCondition, Opened, Period, Require, Window
from merp_operator.upstreams import Upstream, UpstreamRun, absent

# What a status lists of `opened`, shared evenly by the upstreams.
MAX_OPENED: Final = 512
# A run that was skipped or missed never ran. One that was cancelled did, and neither succeeded nor failed.
_RAN: Final = frozenset({Verdict.SUCCESS, Verdict.FAILED, Verdict.TIMEOUT, Verdict.CANCELLED})
_FAILED: Final = frozenset({Verdict.FAILED, Verdict.TIMEOUT})
_MEETS: Final = {
    DependencyCondition.SUCCEEDED: frozenset({Verdict.SUCCESS}),
    DependencyCondition.FAILED: _FAILED,
    DependencyCondition.COMPLETED: _FAILED | {Verdict.SUCCESS},
}
_SINCE_LAST_RUN: Final = Window(since_last_run=True)


class Standing(dict[datetime, UpstreamRun]):
    """The run that counts for each due time of an upstream.

    It is asked once for each run that waits, and after an outage there may be thousands of either.
    """

    @cached_property
    def dues(self) -> list[datetime]:
        """The due times, oldest first."""
        return sorted(self)

    @cached_property
    def of(self) -> dict[datetime, list[UpstreamRun]]:
        """Every run of each due time, not only the one that counts."""
        return {}

    @cached_property
    def going(self) -> list[datetime]:
        """The due times that have an unfinished run, oldest first."""
        return [due for due in self.dues if any(run.verdict is None for run in self.of.get(due, ()))]

    @cached_property
    def _periods(self) -> dict[tuple[Period, str], dict[tuple[object, ...], list[datetime]]]:
        return {}

    @cached_property
    def _meeting(self) -> dict[DependencyCondition, "Standing"]:
        return {}

    def meeting(self, dependency: Dependency) -> "Standing":
        """Those of them that ended as the dependency wants it."""
        known = self._meeting.get(dependency.condition)
        if known is None:
            known = Standing((due, run) for due, run in self.items() if meets(dependency, run))
            self._meeting[dependency.condition] = known
        return known

    def in_window(self, dependency: Dependency, own_due: datetime, zone: ZoneInfo) -> Sequence[datetime]:
        """The due times in the window of a run that is due at `own_due`, oldest first."""
        window = window_of(dependency)
        if window.within is not None:
            return self.dues[bisect_left(self.dues, -parse_duration(window.within), key=lambda due: due - own_due) :]
        if window.period is not None:
            return self._of(window.period, zone).get(_period(window.period, own_due, zone), ())
        return self.dues

    def on_the_day_of(self, due: datetime, zone: ZoneInfo) -> Sequence[datetime]:
        """The due times of a day, oldest first."""
        return self._of(Period.DAY, zone).get(_period(Period.DAY, due, zone), ())

    def _of(self, period: Period, zone: ZoneInfo) -> dict[tuple[object, ...], list[datetime]]:
        """The due times of each period."""
        known = self._periods.get((period, zone.key))
        if known is None:
            found: defaultdict[tuple[object, ...], list[datetime]] = defaultdict(list)
            for due in self.dues:
                found[_period(period, due, zone)].append(due)
            known = self._periods[period, zone.key] = dict(found)
        return known


def standing(upstream: Upstream, until: datetime | None = None) -> Standing:
    """The run that counts for each due time: the last one that finished, else one under way, else what never ran.

    With `until` it is as it was then: what ended later had not ended yet.
    """
    found = Standing()
    for run in as_of(upstream.runs, until):
        found.of.setdefault(run.due_time, []).append(run)
        known = found.get(run.due_time)
        if known is None or _rank(run) > _rank(known):
            found[run.due_time] = run
    return found


def as_of(runs: Iterable[UpstreamRun], until: datetime | None) -> list[UpstreamRun]:
    """The runs as they were at `until`; as they are, where that is None."""
    if until is None:
        return list(runs)
    return [
        replace(run, verdict=None, ended=None) if run.ended is not None and run.ended > until else run for run in runs
    ]


def _rank(run: UpstreamRun) -> tuple[int, float, str]:
    if run.verdict in _RAN:
        return 2, 0.0 if run.ended is None else run.ended.timestamp(), run.name
    if run.verdict is None:
        return 1, 0.0 if run.began is None else run.began.timestamp(), run.name
    return 0, 0.0, run.name


def meets(dependency: Dependency, run: UpstreamRun) -> bool:
    """Whether a run ended as the dependency wants it."""
    return run.verdict in _MEETS[dependency.condition]


def consumes(dependency: Dependency) -> bool:
    """Whether the window is sinceLastRun, where one upstream run opens one run."""
    window = window_of(dependency)
    return window.within is None and window.period is None


def window_of(dependency: Dependency) -> Window:
    """The window in force."""
    return dependency.window or _SINCE_LAST_RUN


def _period(period: Period, due: datetime, zone: ZoneInfo) -> tuple[object, ...]:
    local = due.astimezone(zone)
    match period:
        case Period.HOUR:
            # The hour that the clocks repeat is two hours.
            return local.date(), local.hour, local.utcoffset()
        case Period.DAY:
            return (local.date(),)
        case Period.WEEK:
            return tuple(local.isocalendar()[:2])
        case Period.MONTH:
            return local.year, local.month


def candidates(
    dependency: Dependency, runs: Standing, own_due: datetime, zone: ZoneInfo, used: Set[datetime]
) -> Sequence[datetime]:
    """Due times of the upstream by which the dependency of a run that is due at `own_due` is met, oldest first."""
    if dependency.latest:
        asked = runs.in_window(dependency, own_due, zone)
        newest = next((due for due in reversed(asked) if _may_count(runs[due])), None)
        found: Sequence[datetime] = () if newest is None or not meets(dependency, runs[newest]) else (newest,)
    else:
        found = runs.meeting(dependency).in_window(dependency, own_due, zone)
    return [due for due in found if due not in used] if used and consumes(dependency) else found


def met(dependency: Dependency, runs: Standing, zone: ZoneInfo) -> list[datetime]:
    """Due times of the upstream by which the dependency of a run that is due at the same moment is met."""
    if not dependency.latest:
        return list(runs.meeting(dependency))
    # The newest of its window, which is that of its own due time.
    period = window_of(dependency).period
    newest = {None if period is None else _period(period, due, zone): due for due in runs.dues if _may_count(runs[due])}
    return [due for due in newest.values() if meets(dependency, runs[due])]


def _may_count(run: UpstreamRun) -> bool:
    """Whether a run is under way or did run."""
    return run.verdict is None or run.verdict in _RAN


def opener(
    dependency: Dependency, upstream: Upstream, runs: Standing, own_due: datetime, zone: ZoneInfo, used: Set[datetime]
) -> UpstreamRun | None:
    """The upstream run by which the dependency of a run that is due at `own_due` is met; None if it is not.

    With sinceLastRun, an upstream that has a run for the very same due time is waited for with that one: the success
    of another due time belongs to another run.
    """
    found = candidates(dependency, runs, own_due, zone, used)
    if bound(dependency, upstream, runs, own_due, used):
        found = [due for due in found if due == own_due]
    return runs[nearest(found, own_due)] if found else None


def bound(dependency: Dependency, upstream: Upstream, runs: Standing, own_due: datetime, used: Set[datetime]) -> bool:
    """Whether only the upstream's run of the same due time opens a run that is due at `own_due`."""
    if not consumes(dependency) or dependency.latest or own_due in used:
        return False
    if own_due in runs or upstream.next_run == own_due:
        return True
    # Its run ended otherwise so long ago that nobody remembers; it does not take another's success for that.
    return upstream.may_have_run(own_due) and upstream.is_scheduled(own_due)


def nearest(dues: Sequence[datetime], own_due: datetime) -> datetime:
    """The newest of the due times, oldest first, not after `own_due`, else the oldest; there must be one."""
    return dues[max(0, bisect_right(dues, own_due) - 1)]


class Used:
    """The due times of each upstream that have opened this gate.

    A due time counts once, whichever of its runs it was. Under Any a due time counts once over all upstreams: what
    they did for the same moment opens one run.
    """

    def __init__(self, upstreams: Mapping[str, Upstream], opened: Iterable[Opened], require: Require) -> None:
        self._shared = require is Require.ANY
        self._dues: dict[str, set[datetime]] = {name: set() for name in upstreams}
        listed = list(opened)
        limit = share(len(upstreams))
        for name, upstream in upstreams.items():
            runs = {entry.run for entry in listed if entry.upstream == name}
            mine = {run.due_time for run in upstream.runs if run.name in runs}
            self._dues[name] |= mine
            if mine and sum(entry.upstream == name for entry in listed) >= limit:
                # What is older was let go from the list for lack of room, not because it opened nothing.
                self._dues[name] |= {run.due_time for run in upstream.runs if run.due_time < min(mine)}

    def of(self, upstream: str) -> Set[datetime]:
        """Those of an upstream."""
        return set().union(*self._dues.values()) if self._shared else self._dues.get(upstream, set())

    def add(self, upstream: str, due: datetime) -> None:
        """That one opens now."""
        self._dues.setdefault(upstream, set()).add(due)


def share(upstreams: int) -> int:
    """How many entries of `opened` an upstream may have, of so many."""
    return MAX_OPENED // max(1, upstreams)


def complete(dependencies: Iterable[Dependency], upstreams: Mapping[str, Upstream]) -> dict[str, Upstream]:
    """An upstream for each dependency: one that is not given does not exist."""
    return {entry.name: upstreams.get(entry.name) or absent(entry.name) for entry in dependencies}
