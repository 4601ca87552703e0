"""What became of a run: a pure function of its Job and its pods.

Facts come from the Job's conditions and the pods' statuses. What the task says of itself is its result or its error,
never its verdict.
"""

import json
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from merp_crds import names
from merp_crds.common import parse_rfc3339, rfc3339
from merp_crds.reasons import Reason, RunState, Verdict
from merp_operator import attempt
from merp_operator.endings import MESSAGE_LENGTH
from merp_operator.observe import Json, Run, condition, of_a_run

# The runner's exit code for a task or parameters that no retry makes right.
BAD_PARAMETERS_EXIT_CODE: Final = 2
# What ends a run as a time-out, be that its Job's time or its pod's.
_TIMES_UP: Final = frozenset({Reason.DEADLINE, Reason.NEVER_STARTED})
# Kubernetes' own are of 32 bits.
_LARGEST_EXIT_CODE: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run's state, or its verdict, and everything that its record remembers of it."""

    status: RunState | Verdict
    reason: Reason | None
    message: str
    start_time: datetime
    end_time: datetime | None = None
    attempts: int = 0
    exit_code: int | None = None
    result: str | None = None
    error: str | None = None
    # Whether what the task said was longer than its message may be; the whole of it is in the log.
    truncated: bool = False
    node: str | None = None
    image: str | None = None
    waited_seconds: float | None = None
    attempt_details: tuple[Json, ...] = field(default=())

    @property
    def ended(self) -> bool:
        """Whether this is a verdict."""
        return isinstance(self.status, Verdict)


@dataclass(frozen=True, slots=True)
class _Ending:
    verdict: Verdict
    reason: Reason
    message: str
    # How the task's container had ended when somebody else ended the run.
    terminated: Json | None = None
    # Whether the run was over when its container was. What is cancelled between two attempts is over later than that.
    with_container: bool = True


@of_a_run
def judge(run: Run) -> Outcome:
    """What became of a run so far."""
    status = run.job.get("status") or {}
    created = parse_rfc3339(run.job["metadata"]["creationTimestamp"])
    started = parse_rfc3339(status["startTime"]) if status.get("startTime") else None
    last = run.pods[-1] if run.pods else None
    ending = _ending(run)
    terminated = attempt.terminated(last) or (None if ending is None else ending.terminated)
    result, error = _said(terminated, ending)
    state, reason, message = _open(run) if ending is None else (ending.verdict, ending.reason, ending.message)
    began = started or created
    return Outcome(
        status=state,
        reason=reason,
        message=message,
        start_time=began,
        end_time=None if ending is None else _end_time(run, began, terminated if ending.with_container else None),
        attempts=max(len(run.pods), status.get("failed", 0) + status.get("succeeded", 0)),
        exit_code=None if terminated is None or ending is None else terminated["exitCode"],
        result=result,
        error=error,
        truncated=ending is not None and bool(_report(terminated).get("truncated")),
        node=None if last is None else last["spec"].get("nodeName"),
        image=_image(run),
        waited_seconds=None if started is None else max(0.0, (started - created).total_seconds()),
        attempt_details=tuple(map(attempt.details, run.pods)),
    )


def vanished(run: Run, *, owner_gone: bool, now: datetime) -> Outcome:
    """What became of a run whose Job was deleted: its verdict if it had one, else it was cancelled by that."""
    outcome = judge(run)
    if not outcome.ended and _written_ending(run.job) is not None:
        # Whoever ended it said how, and the Job had no time left to say that it is over.
        outcome = judge(_as_failed(run, now))
    if outcome.ended:
        return outcome
    reason = Reason.SCHEDULED_JOB_DELETED if owner_gone else Reason.JOB_DELETED
    what = "the ScheduledJob was deleted" if owner_gone else "its Job was deleted by hand"
    return Outcome(
        status=Verdict.CANCELLED,
        reason=reason,
        message=what,
        start_time=outcome.start_time,
        end_time=max(now, outcome.start_time),
        attempts=outcome.attempts,
        error=what,
        node=outcome.node,
        image=outcome.image,
        waited_seconds=outcome.waited_seconds,
        attempt_details=outcome.attempt_details,
    )


def _ending(run: Run) -> _Ending | None:
    if condition(run.job, "Complete"):
        return _Ending(Verdict.SUCCESS, Reason.COMPLETED, "completed")
    failed = condition(run.job, "Failed")
    if failed is None:
        return None
    written = _written_ending(run.job)
    if written is not None:
        return written
    cause = failed.get("reason")
    if cause == "DeadlineExceeded":
        return _deadline(run)
    diagnosis = attempt.diagnose(run.pods[-1]) if run.pods else None
    if diagnosis is None:
        # The Job itself knows that much, and its message the exit code.
        reason = Reason.NOT_RETRIED if cause == "PodFailurePolicy" else Reason.UNKNOWN
        return _Ending(Verdict.FAILED, reason, failed.get("message") or "the Job failed, and its pod is gone")
    reason, message = diagnosis
    if reason in _TIMES_UP:
        return _Ending(Verdict.TIMEOUT, reason, message)
    if cause == "PodFailurePolicy":
        reason = Reason.BAD_PARAMETERS if reason is Reason.EXIT_CODE and bad_parameters(run) else Reason.NOT_RETRIED
        return _Ending(Verdict.FAILED, reason, f"{message}; not retried by rule")
    return _Ending(Verdict.FAILED, reason, message)


def bad_parameters(run: Run) -> bool:
    """Whether the last attempt ended as the runner does for a task or parameters that no retry makes right."""
    ended = attempt.terminated(run.pods[-1]) if run.pods else None
    return ended is not None and ended["exitCode"] == BAD_PARAMETERS_EXIT_CODE and _runs_task(run)


@of_a_run
def succeeded(run: Run) -> bool:
    """Whether a run ended well, by its Job's own word or by that of who ended it."""
    written = _written_ending(run.job)
    ended_well = written is not None and written.verdict is Verdict.SUCCESS
    return condition(run.job, "Complete") is not None or (ended_well and condition(run.job, "Failed") is not None)


def _as_failed(run: Run, now: datetime) -> Run:
    status = run.job.get("status") or {}
    over = {"type": "Failed", "status": "True", "lastTransitionTime": rfc3339(now)}
    return replace(run, job=run.job | {"status": status | {"conditions": [*(status.get("conditions") or []), over]}})


def _written_ending(job: Json) -> _Ending | None:
    """The verdict that whoever ended the run left on its Job."""
    text = (job["metadata"].get("annotations") or {}).get(names.ANNOTATION_ENDED)
    if not text:
        return None
    try:
        entry = json.loads(text)
        verdict, reason = Verdict(entry["verdict"]), Reason(entry["reason"])
    except (ValueError, KeyError, TypeError, RecursionError):
        # Whoever may patch Jobs can write anything there; the Job's own conditions then say what happened.
        return None
    by = f" by {entry['by']}" if entry.get("by") else ""
    message = entry.get("message")
    told = message[:MESSAGE_LENGTH] if isinstance(message, str) and message else f"{verdict.value}{by}"
    terminated = entry.get("terminated")
    known = _is_ending_of_container(terminated)
    return _Ending(verdict, reason, told, terminated if known else None, with_container=known)


def _is_ending_of_container(told: object) -> bool:
    """Whether this is what the kubelet tells of a container that has ended, as far as it is read."""
    if not isinstance(told, dict):
        return False
    code, message, at = told.get("exitCode"), told.get("message"), told.get("finishedAt")
    if not isinstance(code, int) or abs(code) > _LARGEST_EXIT_CODE or not isinstance(message or "", str):
        return False
    try:
        return not at or bool(parse_rfc3339(at))
    except (ValueError, TypeError):
        return False


def _deadline(run: Run) -> _Ending:
    """The time for all attempts together is over: how much of it passed before the first of them worked."""
    limit = run.job["spec"].get("activeDeadlineSeconds")
    status = run.job.get("status") or {}
    began, started = [attempt.started_at(pod) for pod in run.pods], status.get("startTime")
    unseen = status.get("failed", 0) > len(run.pods)
    text = f"not finished within {limit} s"
    if not run.pods and unseen:
        # It went with the deadline, and an operator that came later did not see it: nothing is known of its start.
        return _Ending(Verdict.TIMEOUT, Reason.DEADLINE, f"{text}; its pod is gone", with_container=False)
    worked = next((at for at in began if at is not None), None)
    if started is None or (worked is None and not unseen):
        held = f": {attempt.held_up(run.pods[-1])[1]}" if run.pods else ""
        return _Ending(
            Verdict.TIMEOUT,
            Reason.NEVER_STARTED,
            f"its {limit} s passed before the container had started{held}",
            with_container=False,
        )
    if worked is not None and not unseen:
        before = max(0, int((worked - parse_rfc3339(started)).total_seconds()))
        text += f", {before} s of which passed before the container had started"
    if began[-1] is None:
        # The time is that of all attempts, and what held up the last one is not all that took it.
        text += f"; its last attempt had not started: {attempt.held_up(run.pods[-1])[1]}"
    return _Ending(Verdict.TIMEOUT, Reason.DEADLINE, text, with_container=False)


def _open(run: Run) -> tuple[RunState, Reason | None, str]:
    """A run without a verdict: whether it works, and if not what holds it up."""
    written = _written_ending(run.job)
    state, reason, message = _progress(run)
    if written is None:
        return state, reason, message
    # Its pod may need all of its grace period to go.
    told = attempt.leaving(run.pods[-1]) if run.pods else ""
    return state, None, f"being ended: {written.message}{f'; {told}' if told else ''}"


def _progress(run: Run) -> tuple[RunState, Reason | None, str]:
    if run.waits:
        return RunState.WAITING, None, "waiting to be released"
    if run.job["spec"].get("suspend"):
        return RunState.WAITING, None, "its Job was suspended by hand: it begins anew when somebody takes that back"
    if not run.pods:
        return RunState.WAITING, None, "waiting for its pod"
    pod = run.pods[-1]
    if attempt.started_at(pod) is not None:
        return RunState.RUNNING, None, attempt.leaving(pod)
    reason, message = attempt.waiting(pod)
    told = attempt.leaving(pod)
    return RunState.WAITING, reason, f"{message}; {told}" if told else message


def _said(terminated: Json | None, ending: _Ending | None) -> tuple[str | None, str | None]:
    """What the task said at its end: result as JSON text, and error as text."""
    if ending is None:
        return None, None
    report = _report(terminated)
    if ending.verdict is Verdict.SUCCESS:
        if "result" not in report:
            return None, None
        return _json(report["result"]), None
    told = report.get("error")
    if isinstance(told, dict):
        text = f"{told.get('type') or 'Error'}: {told.get('message') or ''}"
        trace = told.get("traceback")
        return None, f"{ending.message}\n{text}\n{trace}" if trace else f"{ending.message}\n{text}"
    if isinstance(told, str):
        return None, f"{ending.message}\n{told}"
    return None, ending.message


def _report(terminated: Json | None) -> dict[str, Any]:
    """The termination message: the runner's JSON, or another image's text taken as result and as error."""
    text = (terminated or {}).get("message") or ""
    if not text or attempt.could_not_start(terminated):
        return {}
    try:
        report = json.loads(text)
    except (ValueError, RecursionError):
        # No JSON, or nested so deeply that nobody here can read it.
        report = None
    if isinstance(report, dict) and report.get("v") == 1:
        return report
    return {"result": text, "error": text}


def _json(result: Any) -> str | None:
    try:
        return json.dumps(result, ensure_ascii=False)
    except RecursionError:
        # Just as deeply nested as can be read, and not written again.
        return None


def _end_time(run: Run, began: datetime, terminated: Json | None) -> datetime:
    # Who tells of the end has another clock than who told of the start where a controller manager took over meanwhile.
    return max(began, _told_end(run, terminated))


def _told_end(run: Run, terminated: Json | None) -> datetime:
    status = run.job.get("status") or {}
    if status.get("completionTime"):
        return parse_rfc3339(status["completionTime"])
    # A failed Job has no completion time. Its condition waits until no pod is left, so the container's end, where it
    # is known and the verdict is its own, is nearer to the truth.
    moments = [
        entry["lastTransitionTime"]
        for kind in ("FailureTarget", "Failed")
        if (entry := condition(run.job, kind)) is not None
    ]
    told = parse_rfc3339(moments[0])
    if terminated is None or not terminated.get("finishedAt"):
        return told
    # By its node's clock, which may be ahead.
    return min(told, parse_rfc3339(terminated["finishedAt"]))


def _runs_task(run: Run) -> bool:
    annotations = run.job["spec"]["template"].get("metadata", {}).get("annotations") or {}
    return names.ANNOTATION_TASK in annotations


def _image(run: Run) -> str | None:
    containers = run.job["spec"]["template"]["spec"].get("containers") or []
    chosen = next((entry for entry in containers if entry["name"] == attempt.TASK), containers[0] if containers else {})
    image: str | None = chosen.get("image")
    return image
