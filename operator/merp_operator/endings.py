"""Endings that no Job tells by itself: of due times without a run, and of runs that somebody ended. Pure."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

from merp_crds.common import rfc3339
from merp_crds.reasons import Reason, Verdict
from merp_crds.schedule import Timetable
from merp_crds.scheduledjob import Unrecorded

# As many as this wait for the database one by one. More means that it is away, and the status must not grow with time.
_ONE_BY_ONE: Final = 20
# Characters: what is written on a Job stays small, and a status shows no more.
MESSAGE_LENGTH: Final = 1024

_EXPLANATIONS: Final = {
    Reason.OUTAGE: "nothing could start it: the cluster or the operator was away",
    Reason.TOO_LATE: "it was older than missed.maxAge when it could have been started",
    Reason.OVERLAP: "the run before it was not finished, and overlap is forbidden",
    Reason.CALENDAR: "the calendar has a day off",
    Reason.JOB_DELETED: "its Job was deleted by hand",
    Reason.NAME_TAKEN: "a Job of its name exists that is not of this ScheduledJob",
}


def explain(entry: Unrecorded) -> str:
    """Why a due time never had a run."""
    text = _EXPLANATIONS.get(entry.reason, entry.reason.value)
    if entry.count == 1:
        return text
    return f"{text}; {entry.count} due times from {rfc3339(entry.first)} to {rfc3339(entry.last)}"


def merged(entries: list[Unrecorded], committed: Collection[Unrecorded], timetable: Timetable) -> list[Unrecorded]:
    """Entries of the status, neighbours of one kind as one range where there are many.

    What the database has already stays as it is: it is a record by itself.
    """
    if len(entries) <= _ONE_BY_ONE:
        return entries
    ranges: list[Unrecorded] = []
    for entry in sorted(entries, key=lambda entry: entry.first):
        last = ranges[-1] if ranges else None
        if last is not None and last not in committed and entry not in committed and _follows(last, entry, timetable):
            together = {"last": entry.last, "count": last.count + entry.count, "at": entry.at}
            ranges[-1] = last.model_copy(update=together)
        else:
            ranges.append(entry)
    return ranges


def _follows(last: Unrecorded, entry: Unrecorded, timetable: Timetable) -> bool:
    same = (last.verdict, last.reason) == (entry.verdict, entry.reason)
    return same and last.last < entry.first and timetable.count(last.last, entry.first) == 1


def written(
    verdict: Verdict, reason: Reason, message: str, at: datetime, terminated: dict[str, Any] | None = None
) -> dict[str, Any]:
    """What is left on a Job that is ended, as JSON.

    `terminated` is how the task's container had ended by then, as the kubelet tells it: the pod goes with the ending,
    and with it the result, if nobody reads it in time.
    """
    told = {"verdict": verdict.value, "reason": reason.value, "message": message[:MESSAGE_LENGTH], "at": rfc3339(at)}
    return told if terminated is None else told | {"terminated": terminated}
