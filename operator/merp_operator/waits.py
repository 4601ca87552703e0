"""What a run waits for, in words for people. Pure."""

from collections.abc import Iterable, Set
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from merp_crds.reasons import Verdict
from merp_crds.scheduledjob import Dependency, Require
from merp_operator.upstreams import Upstream, UpstreamRun, moment
from merp_operator.windows import Standing, as_of, bound, consumes, nearest

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
    until: datetime | None = None,
) -> str:
    """What is waited for of one upstream: a run under way, else why there is none, else its last one or its next.

    `standing` are its runs that count, at `until`.
    """
    runs = as_of(upstream.runs, until)
    own = bound(dependency, upstream, standing, own_due, used)
    dues = frozenset(standing.in_window(dependency, own_due, zone))
    window = [
        run
        for run in runs
        if run.due_time in dues
        and (run.due_time == own_due or not own)
        and (run.due_time not in used or not consumes(dependency))
    ]
    going = [run for run in window if run.verdict is None]
    if going:
        due = nearest(sorted(run.due_time for run in going), own_due)
        run = next(run for run in going if run.due_time == due)
        state = "waiting" if run.began is None else f"running since {_short(run.began, now, zone)}"
        return f"{upstream.name} of {_due(run, runs, zone)} ({state})"
    if upstream.cannot_run:
        return f"{upstream.name}: {upstream.cannot_run}"
    coming = "" if upstream.next_run is None else f"next run {_short(upstream.next_run, now, zone)}"
    ended = [run for run in window if run.verdict is not None and run.ended is not None]
    if not ended:
        return f"{upstream.name} ({coming or 'nothing makes it due'})"
    last = max(ended, key=lambda run: (run.due_time, run.ended, run.name))
    assert last.verdict is not None, "only such were taken"
    assert last.ended is not None, "only such were taken"
    word = f"{_WORDS[last.verdict]} at {_short(last.ended, now, zone)}"
    return f"{upstream.name} of {_due(last, runs, zone)} ({'; '.join(filter(None, (word, coming)))})"


def _short(when: datetime, now: datetime, zone: ZoneInfo) -> str:
    """Without the day where that is today."""
    text = moment(when.replace(second=0, microsecond=0), zone)
    return text.partition(" ")[2] if when.astimezone(zone).date() == now.astimezone(zone).date() else text


def _due(run: UpstreamRun, runs: Iterable[UpstreamRun], zone: ZoneInfo) -> str:
    """The day alone, where the upstream has one due time on it."""
    due = run.due_time
    day = due.astimezone(zone).date()
    shared = any(other.due_time != due and other.due_time.astimezone(zone).date() == day for other in runs)
    return moment(due, zone) if shared else str(day)
