"""A JobRun's status, as a pure function of what it was and what became of its runs."""

from datetime import datetime
from typing import Final

from pydantic import ValidationError

from merp_crds import names
from merp_crds.common import Condition
from merp_crds.jobrun import JobRunStatus
from merp_crds.reasons import Reason, RunState, Verdict
from merp_operator import backfill, requests
from merp_operator.backfill import Progress, Waiting
from merp_operator.observe import Json, Observed, Request
from merp_operator.outcome import Outcome

# Status texts are for a table and a dialog; the record holds the whole of it.
_MESSAGE_LENGTH: Final = 1024

_Wanted = tuple[str, str, str, str]


def accepted(observed: Observed, request: Request, outcome: Outcome | None, now: datetime) -> Json:
    """The status of a request that became a run; `outcome` is None until its Job has been seen."""
    wanted = requests.identity(observed, request)
    assert wanted is not None, "what became a run has a due time"
    answer = ("Accepted", "True", "Accepted", f"it is the run {wanted.run_name}")
    status = JobRunStatus(
        observed_generation=request.body["metadata"].get("generation"),
        conditions=_conditions(_read(request), [answer, *_succeeded(outcome)], now),
        run=wanted.run_name,
        execution_id=names.execution_id(observed.uid, wanted.run_name),
        due_time=wanted.due_time,
        **_ending(outcome),
    )
    return _compact(status)


def without_run(observed: Observed, refusal: requests.Refuse, now: datetime) -> Json:
    """The status of a request that did not become a run, and has its verdict for that."""
    request = refusal.request
    answer = ("Accepted", "False", refusal.reason.value, refusal.message)
    ended = ("Succeeded", "False", refusal.reason.value, refusal.message)
    status = JobRunStatus(
        observed_generation=request.body["metadata"].get("generation"),
        conditions=_conditions(_read(request), [answer, ended], now),
        execution_id=names.execution_id(observed.uid, refusal.run_name),
        due_time=refusal.due_time,
        verdict=refusal.verdict,
        reason=refusal.reason,
        message=refusal.message[:_MESSAGE_LENGTH],
        start_time=refusal.due_time,
        end_time=max(now, refusal.due_time),
    )
    return _compact(status)


def ending_of(request: Request) -> Outcome:
    """The verdict of a request that never became a run, as its status has it: what is recorded is what is shown."""
    status = _read(request)
    assert status.verdict is not None, "asked of requests with a verdict only"
    due_time = status.due_time or request.created
    return Outcome(
        status=status.verdict,
        reason=status.reason or Reason.UNKNOWN,
        message=status.message or "",
        start_time=due_time,
        end_time=status.end_time or due_time,
        error=status.message,
    )


def refused(request: Request, reason: str, message: str, now: datetime) -> Json:
    """The status of a request that was no valid one, or that cannot be answered yet."""
    status = JobRunStatus(
        observed_generation=request.body["metadata"].get("generation"),
        conditions=_conditions(_read(request), [("Accepted", "False", reason, message)], now),
        message=message[:_MESSAGE_LENGTH],
    )
    return _compact(status)


def of_backfill(request: Request, progress: Progress, waiting: Waiting | None, now: datetime) -> Json:
    """The status of a backfill that was accepted."""
    known = _read(request)
    over = backfill.is_over(request, progress)
    wanted: list[_Wanted] = [("Accepted", "True", "Accepted", f"{progress.planned} due times are in the range")]
    if waiting is not None and not over:
        wanted.append(("Waiting", "True", waiting.reason, waiting.message))
    if progress.stopped is not None:
        wanted.append(("Stopped", "True", progress.stopped.reason, progress.stopped.message))
    state = RunState.WAITING if waiting is not None and not progress.active else RunState.RUNNING
    verdict = _verdict(progress) if over else None
    if verdict is not None:
        good = verdict is Verdict.SUCCESS
        word = "AllSucceeded" if good else "NotAllSucceeded"
        reason = word if progress.stopped is None else progress.stopped.reason
        wanted.append(("Succeeded", "True" if good else "False", reason, progress.summary))
    status = JobRunStatus(
        observed_generation=request.body["metadata"].get("generation"),
        conditions=_conditions(known, wanted, now),
        state=None if over else state,
        verdict=verdict,
        reason=_reason(progress, verdict),
        message=(progress.summary if waiting is None or over else waiting.message)[:_MESSAGE_LENGTH],
        start_time=known.start_time or now,
        end_time=now if over else None,
        **_counts(progress),
    )
    return _compact(status)


def of_dry_run(request: Request, progress: Progress, now: datetime) -> Json:
    """The status of a backfill that was only counted."""
    left = progress.planned - progress.passed_over
    text = f"a dry run: of {progress.planned} due times {left} would be run; nothing was started"
    status = JobRunStatus(
        observed_generation=request.body["metadata"].get("generation"),
        conditions=_conditions(_read(request), [("Accepted", "True", "DryRun", text)], now),
        message=text,
        planned=progress.planned,
        passed_over=progress.passed_over,
        end_time=now,
    )
    return _compact(status)


def of_uncounted(request: Request, waiting: Waiting, now: datetime) -> Json:
    """The status of a backfill that cannot be counted yet."""
    wanted = ("Waiting", "True", waiting.reason, waiting.message)
    status = JobRunStatus(
        observed_generation=request.body["metadata"].get("generation"),
        conditions=_conditions(_read(request), [wanted], now),
        state=RunState.WAITING,
        message=waiting.message[:_MESSAGE_LENGTH],
    )
    return _compact(status)


def _counts(progress: Progress) -> Json:
    return {
        "planned": progress.planned,
        "passed_over": progress.passed_over,
        "started": progress.started,
        "finished": progress.finished,
        "succeeded": progress.succeeded,
        "failed": progress.failed,
        "until": progress.until,
        "active": list(progress.active),
    }


def _verdict(progress: Progress) -> Verdict:
    if progress.stopped is not None:
        return Verdict.CANCELLED
    return Verdict.FAILED if progress.failed else Verdict.SUCCESS


def _reason(progress: Progress, verdict: Verdict | None) -> Reason | None:
    """The reason where it is one of a run's; how single runs failed stands with each of them."""
    if verdict is None:
        return None
    word = Reason.COMPLETED.value if progress.stopped is None else progress.stopped.reason
    known = word in list(Reason) and verdict is not Verdict.FAILED
    return Reason(word) if known else None


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


def _succeeded(outcome: Outcome | None) -> list[_Wanted]:
    if outcome is None or not outcome.ended:
        return []
    truth = "True" if outcome.status is Verdict.SUCCESS else "False"
    return [("Succeeded", truth, (outcome.reason or Reason.UNKNOWN).value, outcome.message)]


def _conditions(known: JobRunStatus, wanted: list[_Wanted], now: datetime) -> list[Condition]:
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


def _read(request: Request) -> JobRunStatus:
    try:
        return JobRunStatus.model_validate(request.body.get("status") or {})
    except ValidationError:
        return JobRunStatus()


def _compact(status: JobRunStatus) -> Json:
    return {key: value for key, value in status.as_json().items() if value not in ([], {})}
