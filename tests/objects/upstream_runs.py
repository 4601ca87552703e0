"""Upstreams as a gate sees them, written shortly, for the tests of the gate."""

from datetime import UTC, date, datetime, time

from merp_crds.reasons import Verdict
from merp_crds.schedule import Timetable
from merp_crds.scheduledjob import Opened, Schedule
from merp_operator.upstreams import Upstream, UpstreamRun


def at(text: str) -> datetime:
    """A time of December 2026, UTC: `02:00` is of the first, `3T02:00` of the third."""
    day, _, clock = text.rpartition("T")
    return datetime.combine(date(2026, 12, int(day or 1)), time.fromisoformat(clock), UTC)


def run(upstream: str, text: str) -> UpstreamRun:
    """A run from `due [verdict at]`, with `#2` behind the due time of a rerun; `02:00 - 02:04` runs since 02:04."""
    due, *rest = text.split()
    due, _, number = due.partition("#")
    name = f"{upstream}@{due}" + (f"#{number}" if number else "")
    if not rest:
        return UpstreamRun(name, at(due))
    verdict, when = rest
    if verdict == "-":
        return UpstreamRun(name, at(due), began=at(when))
    return UpstreamRun(name, at(due), Verdict(verdict), began=at(due), ended=at(when))


def up(
    name: str,
    *runs: str,
    cannot_run: str = "",
    next_run: str | None = None,
    known_since: str | None = None,
    cron: str | None = None,
) -> Upstream:
    """An upstream with these runs."""
    found = sorted((run(name, text) for text in runs), key=lambda one: (one.due_time, one.name))
    return Upstream(
        name,
        tuple(found),
        cannot_run,
        None if next_run is None else at(next_run),
        None if known_since is None else at(known_since),
        None if cron is None else Timetable.of(Schedule(cron=cron)),
    )


def opened(*texts: str) -> list[Opened]:
    """Entries of `status.opened`, each `a@02:00 d1`."""
    entries = [text.split() for text in texts]
    return [Opened(upstream=run.partition("@")[0], run=run, opened=own) for run, own in entries]
