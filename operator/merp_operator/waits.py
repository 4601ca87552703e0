"""What a run waits for, in words for people. Pure."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence, Set
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from merp_crds.reasons import Verdict
from merp_crds.scheduledjob import Dependency, Require
from merp_operator.upstreams import Upstream, UpstreamRun, moment
from merp_operator.windows import Standing, bound, consumes, nearest

# More upstreams than that nobody reads in a table.
_NAMED: Final = 3
_WORDS: Final = {
    Verdict.SUCCESS: "succeeded",
    Verdict.FAILED: "failed",
    Verdict.TIMEOUT: "timed out",
    Verdict.CANCELLED: "cancelled",
    Verdict.SKIPPED: "skipped",
    Verdict.MISSED: "missed",
}


def sentence(parts: Iterable[str], require: Require) -> str:
    """What is waited for, joined: `b of 2026-12-01 (failed at 02:31) and c: does not exist`."""
    found = list(parts)
    more = len(found) - _NAMED
    joined = (" or " if require is Require.ANY else " and ").join(found[:_NAMED])
    return f"{joined} and {more} more" if more > 0 else joined


def span(seconds: int) -> str:
    """A number of seconds as durations are written: `1d`, `1h30m`, `45s`."""
    text = ""
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        text += f"{count}{unit}" if count else ""
    return text


def part(
    dependency: Dependency,
    upstream: Upstream,
    standing: Standing,
    own_due: datetime,
    zone: ZoneInfo,
    used: Set[datetime],
    now: datetime,
) -> str:
    """What is waited for of one upstream: a run under way, else why there is none, else its last one or its next.

    `standing` are its runs that count, as they were at the moment that is told of.
    """
    inside = standing.in_window(dependency, own_due, zone)
    if bound(dependency, upstream, standing, own_due, used):
        inside = (own_due,) if _holds(inside, own_due) else ()
    spent = used if consumes(dependency) else frozenset()
    going = [due for due in standing.going if _holds(inside, due) and due not in spent]
    if going:
        run = next(run for run in standing.of[nearest(going, own_due)] if run.verdict is None)
        state = "waiting" if run.began is None else f"running since {_short(run.began, now, zone)}"
        return f"{upstream.name} of {_due(run, standing, zone)} ({state})"
    if upstream.cannot_run:
        return f"{upstream.name}: {upstream.cannot_run}"
    coming = "" if upstream.next_run is None else f"next run {_short(upstream.next_run, now, zone)}"
    ended = (_last_ended(standing.of[due]) for due in reversed(inside) if due not in spent)
    last = next((run for run in ended if run is not None), None)
    if last is None:
        return f"{upstream.name} ({coming or 'nothing makes it due'})"
    assert last.verdict is not None, "only such were taken"
    assert last.ended is not None, "only such were taken"
    word = f"{_WORDS[last.verdict]} at {_short(last.ended, now, zone)}"
    return f"{upstream.name} of {_due(last, standing, zone)} ({'; '.join(filter(None, (word, coming)))})"


def _short(when: datetime, now: datetime, zone: ZoneInfo) -> str:
    """Without the day where that is today."""
    text = moment(when.replace(second=0, microsecond=0), zone)
    return text.partition(" ")[2] if when.astimezone(zone).date() == now.astimezone(zone).date() else text


def _due(run: UpstreamRun, standing: Standing, zone: ZoneInfo) -> str:
    """The day alone, where the upstream has one due time on it."""
    if len(standing.on_the_day_of(run.due_time, zone)) > 1:
        return moment(run.due_time, zone)
    return str(run.due_time.astimezone(zone).date())


def _holds(dues: Sequence[datetime], due: datetime) -> bool:
    """Whether a due time is one of these, oldest first."""
    place = bisect_left(dues, due)
    return place < len(dues) and dues[place] == due


def _last_ended(runs: Iterable[UpstreamRun]) -> UpstreamRun | None:
    """Of the runs of one due time the one that ended last."""
    ended = [run for run in runs if run.verdict is not None and run.ended is not None]
    return max(ended, key=lambda run: (run.ended, run.name), default=None)
