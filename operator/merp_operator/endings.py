"""Due times that ended without a run, in words for people. Pure."""

from typing import Final

from merp_crds.common import rfc3339
from merp_crds.reasons import Reason
from merp_crds.scheduledjob import Unrecorded

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
