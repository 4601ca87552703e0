"""A JobRun's status, as a pure function of what it was and what became of its run."""

from datetime import datetime
from typing import Final

from pydantic import ValidationError

from merp_crds import names
from merp_crds.common import Condition
from merp_crds.jobrun import JobRunStatus
from merp_crds.reasons import Reason, RunState, Verdict
from merp_operator import requests
from merp_operator.observe import Json, Observed, Request
from merp_operator.outcome import Outcome

# Status texts are for a table and a dialog; the record holds the whole of it.
_MESSAGE_LENGTH: Final = 1024


def accepted(observed: Observed, request: Request, outcome: Outcome | None, now: datetime) -> Json:
    """The status of a request that became a run; `outcome` is None until its Job has been seen."""
    run = requests.run_name_of(observed.name, request)
    known = _read(request.body.get("status") or {})
    status = JobRunStatus(
        observed_generation=request.body["metadata"].get("generation"),
        conditions=_conditions(known, ("Accepted", "True", "Accepted", f"it is the run {run}"), outcome, now),
        run=run,
        execution_id=names.execution_id(observed.uid, run),
        due_time=requests.due_time_of(request),
        **_ending(outcome),
    )
    return _compact(status)


def skipped(observed: Observed, request: Request, outcome: Outcome, now: datetime) -> Json:
    """The status of a request that did not become a run, and has its verdict for that."""
    run = requests.run_name_of(observed.name, request)
    known = _read(request.body.get("status") or {})
    status = JobRunStatus(
        observed_generation=request.body["metadata"].get("generation"),
        conditions=_conditions(
            known, ("Accepted", "False", (outcome.reason or Reason.UNKNOWN).value, outcome.message), outcome, now
        ),
        execution_id=names.execution_id(observed.uid, run),
        due_time=requests.due_time_of(request),
        **_ending(outcome),
    )
    return _compact(status)


def refused(request: Request, reason: str, message: str, now: datetime) -> Json:
    """The status of a request that was no valid one."""
    known = _read(request.body.get("status") or {})
    status = JobRunStatus(
        observed_generation=request.body["metadata"].get("generation"),
        conditions=_conditions(known, ("Accepted", "False", reason, message), None, now),
        message=message[:_MESSAGE_LENGTH],
    )
    return _compact(status)


def _ending(outcome: Outcome | None) -> Json:
    if outcome is None:
        return {}
    told: Json = {"message": outcome.message[:_MESSAGE_LENGTH] or None, "start_time": outcome.start_time}
    if outcome.ended:
        return told | {
            "verdict": Verdict(outcome.status.value),
            "reason": outcome.reason,
            "end_time": outcome.end_time,
        }
    return told | {"state": RunState(outcome.status.value), "reason": outcome.reason}


def _conditions(
    known: JobRunStatus, answer: tuple[str, str, str, str], outcome: Outcome | None, now: datetime
) -> list[Condition]:
    wanted = [answer]
    if outcome is not None and outcome.ended:
        truth = "True" if outcome.status is Verdict.SUCCESS else "False"
        wanted.append(("Succeeded", truth, (outcome.reason or Reason.UNKNOWN).value, outcome.message))
    before = {entry.type: entry for entry in known.conditions}
    conditions = []
    for kind, truth, reason, message in wanted:
        old = before.get(kind)
        since = old.last_transition_time if old is not None and old.status == truth else now
        entry = {
            "type": kind,
            "status": truth,
            "reason": reason,
            "message": message[:_MESSAGE_LENGTH],
            "last_transition_time": since,
        }
        conditions.append(Condition.model_validate(entry))
    return conditions


def _read(body: Json) -> JobRunStatus:
    try:
        return JobRunStatus.model_validate(body)
    except ValidationError:
        return JobRunStatus()


def _compact(status: JobRunStatus) -> Json:
    return {key: value for key, value in status.as_json().items() if value not in ([], {})}
