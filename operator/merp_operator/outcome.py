"""What became of a run: a pure function of its Job and its pods.

Facts come from the Job's conditions and the pods' statuses. What the task says of itself is its result or its error,
never its verdict.
"""

import json
import signal
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from merp_crds import names
from merp_crds.common import parse_rfc3339
from merp_crds.reasons import Reason, RunState, Verdict
from merp_operator.observe import Json, Run, condition

# The runner's exit code for a task or parameters that no retry makes right.
BAD_PARAMETERS_EXIT_CODE: Final = 2
# A shell's way to tell that signal N ended a process is exit code 128 + N.
_SIGNAL_BASE: Final = 128
_TASK: Final = "task"
_PULL_REASONS: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_CONFIG_REASONS: Final = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})


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


def judge(run: Run) -> Outcome:
    """What became of a run so far."""
    status = run.job.get("status") or {}
    created = parse_rfc3339(run.job["metadata"]["creationTimestamp"])
    started = parse_rfc3339(status["startTime"]) if status.get("startTime") else None
    last = run.pods[-1] if run.pods else None
    terminated = _terminated(last)
    ending = _ending(run)
    result, error = _said(terminated, ending)
    state, reason, message = _open(run) if ending is None else (ending.verdict, ending.reason, ending.message)
    return Outcome(
        status=state,
        reason=reason,
        message=message,
        start_time=started or created,
        end_time=None if ending is None else _end_time(run, terminated),
        attempts=max(len(run.pods), status.get("failed", 0) + status.get("succeeded", 0)),
        exit_code=None if terminated is None or ending is None else terminated["exitCode"],
        result=result,
        error=error,
        truncated=ending is not None and bool(_report(terminated).get("truncated")),
        node=None if last is None else last["spec"].get("nodeName"),
        image=_image(run),
        waited_seconds=None if started is None else max(0.0, (started - created).total_seconds()),
        attempt_details=tuple(map(_attempt, run.pods)),
    )


def vanished(run: Run, *, owner_gone: bool, now: datetime) -> Outcome:
    """What became of a run whose Job was deleted: its verdict if it had one, else it was cancelled by that."""
    outcome = judge(run)
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
    diagnosis = _diagnose(run.pods[-1]) if run.pods else None
    if diagnosis is None:
        return _Ending(Verdict.FAILED, Reason.UNKNOWN, failed.get("message") or "the Job failed, and its pod is gone")
    reason, message = diagnosis
    if cause == "PodFailurePolicy":
        bad = reason is Reason.EXIT_CODE and _exit_code(run.pods[-1]) == BAD_PARAMETERS_EXIT_CODE and _runs_task(run)
        reason = Reason.BAD_PARAMETERS if bad else Reason.NOT_RETRIED
        return _Ending(Verdict.FAILED, reason, f"{message}; not retried by rule")
    return _Ending(Verdict.FAILED, reason, message)


def _written_ending(job: Json) -> _Ending | None:
    """The verdict that whoever ended the run left on its Job."""
    text = (job["metadata"].get("annotations") or {}).get(names.ANNOTATION_ENDED)
    if not text:
        return None
    try:
        entry = json.loads(text)
        verdict, reason = Verdict(entry["verdict"]), Reason(entry["reason"])
    except (ValueError, KeyError, TypeError):
        # Whoever may patch Jobs can write anything there; the Job's own conditions then say what happened.
        return None
    by = f" by {entry['by']}" if entry.get("by") else ""
    return _Ending(verdict, reason, f"{verdict.value}{by}")


def _deadline(run: Run) -> _Ending:
    limit = run.job["spec"].get("activeDeadlineSeconds")
    began = _started_at(run.pods[-1]) if run.pods else None
    started = (run.job.get("status") or {}).get("startTime")
    if began is None or started is None:
        held = f": {_waiting(run.pods[-1])[1]}" if run.pods else ""
        return _Ending(
            Verdict.TIMEOUT, Reason.NEVER_STARTED, f"its {limit} s passed before the container had started{held}"
        )
    before = max(0, int((began - parse_rfc3339(started)).total_seconds()))
    return _Ending(
        Verdict.TIMEOUT,
        Reason.DEADLINE,
        f"not finished within {limit} s, {before} s of which passed before the container had started",
    )


def _diagnose(pod: Json) -> tuple[Reason, str] | None:
    """Why a pod failed: what Kubernetes did to it first, then how its container ended."""
    status = pod.get("status") or {}
    if status.get("reason") == "Evicted":
        return Reason.EVICTED, f"evicted: {status.get('message') or 'the node ran short'}"
    disruption = condition(pod, "DisruptionTarget")
    if disruption is not None:
        return _disrupted(disruption)
    init = next((entry for entry in _statuses(pod, "init") if _code(entry) not in (None, 0)), None)
    if init is not None:
        return Reason.INIT_FAILED, f"init container {init['name']} ended with exit code {_code(init)}"
    terminated = _terminated(pod)
    if terminated is None:
        reason, message = _waiting(pod)
        return (reason, message) if reason is not None else None
    code = terminated["exitCode"]
    if terminated.get("reason") == "OOMKilled":
        limit = _memory_limit(pod)
        return Reason.OUT_OF_MEMORY, f"killed for lack of memory{f' (limit {limit})' if limit else ''}"
    if pod["metadata"].get("deletionTimestamp"):
        return Reason.POD_DELETED, f"its pod was deleted while it ran (exit code {code})"
    if code > _SIGNAL_BASE:
        return Reason.SIGNAL, f"ended by {_signal_name(code - _SIGNAL_BASE)} (exit code {code})"
    if code == 0:
        return Reason.POD_DELETED, "its pod was deleted before it could be counted"
    return Reason.EXIT_CODE, f"exit code {code}"


def _disrupted(disruption: Json) -> tuple[Reason, str]:
    reasons = {"PreemptionByScheduler": Reason.PREEMPTED, "DeletionByPodGC": Reason.NODE_LOST}
    cause = disruption.get("reason", "")
    return reasons.get(cause, Reason.EVICTED), f"{cause}: {disruption.get('message') or 'the pod had to go'}"


def _open(run: Run) -> tuple[RunState, Reason | None, str]:
    """A run without a verdict: whether it works, and if not what holds it up."""
    if run.job["spec"].get("suspend"):
        return RunState.WAITING, None, "waiting to be released"
    if not run.pods:
        return RunState.WAITING, None, "waiting for its pod"
    pod = run.pods[-1]
    if _started_at(pod) is not None:
        return RunState.RUNNING, None, ""
    reason, message = _waiting(pod)
    return RunState.WAITING, reason, message


def _waiting(pod: Json) -> tuple[Reason | None, str]:
    """What a pod that has not started waits for."""
    for entry in [*_statuses(pod, "init"), *_statuses(pod, "container")]:
        waiting = (entry.get("state") or {}).get("waiting") or {}
        word, text = waiting.get("reason", ""), waiting.get("message") or ""
        if word in _PULL_REASONS:
            return Reason.IMAGE_PULL, f"{word}: {entry.get('image') or _image_of(pod)}: {text}".rstrip(": ")
        if word in _CONFIG_REASONS:
            return Reason.CONFIG_ERROR, f"{word}: {text}".rstrip(": ")
    for entry in (pod.get("status") or {}).get("conditions") or []:
        if entry["type"] == "PodScheduled" and entry["status"] == "False":
            return Reason.UNSCHEDULABLE, f"no node takes it: {entry.get('message') or entry.get('reason')}"
    return None, "its container is being started"


def _said(terminated: Json | None, ending: _Ending | None) -> tuple[str | None, str | None]:
    """What the task said at its end: result as JSON text, and error as text."""
    if ending is None:
        return None, None
    report = _report(terminated)
    if ending.verdict is Verdict.SUCCESS:
        if "result" not in report:
            return None, None
        return json.dumps(report["result"], ensure_ascii=False), None
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
    if not text:
        return {}
    try:
        report = json.loads(text)
    except ValueError:
        report = None
    if isinstance(report, dict) and report.get("v") == 1:
        return report
    return {"result": text, "error": text}


def _end_time(run: Run, terminated: Json | None) -> datetime:
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
    return min(told, parse_rfc3339(terminated["finishedAt"]))


def _attempt(pod: Json) -> Json:
    """What a record keeps of one attempt."""
    terminated = _terminated(pod)
    began = _started_at(pod)
    reason = None if terminated is not None and terminated["exitCode"] == 0 else _diagnose(pod)
    details = {
        "pod": pod["metadata"]["name"],
        "node": pod["spec"].get("nodeName"),
        "startedAt": None if began is None else began.isoformat(),
        "finishedAt": None if terminated is None else terminated.get("finishedAt"),
        "exitCode": None if terminated is None else terminated["exitCode"],
        "reason": None if reason is None else reason[0].value,
        "message": None if reason is None else reason[1],
    }
    return {key: value for key, value in details.items() if value is not None}


def _statuses(pod: Json, kind: str) -> list[Json]:
    key = "initContainerStatuses" if kind == "init" else "containerStatuses"
    return (pod.get("status") or {}).get(key) or []


def _task_status(pod: Json | None) -> Json | None:
    if pod is None:
        return None
    statuses = _statuses(pod, "container")
    return next((entry for entry in statuses if entry["name"] == _TASK), statuses[0] if statuses else None)


def _terminated(pod: Json | None) -> Json | None:
    entry = _task_status(pod)
    if entry is None:
        return None
    terminated: Json | None = (entry.get("state") or {}).get("terminated")
    return terminated


def _started_at(pod: Json) -> datetime | None:
    entry = _task_status(pod)
    if entry is None:
        return None
    state = entry.get("state") or {}
    at = (state.get("running") or state.get("terminated") or {}).get("startedAt")
    return parse_rfc3339(at) if at else None


def _code(entry: Json) -> int | None:
    code: int | None = ((entry.get("state") or {}).get("terminated") or {}).get("exitCode")
    return code


def _exit_code(pod: Json) -> int | None:
    terminated = _terminated(pod)
    return None if terminated is None else terminated["exitCode"]


def _runs_task(run: Run) -> bool:
    annotations = run.job["spec"]["template"].get("metadata", {}).get("annotations") or {}
    return names.ANNOTATION_TASK in annotations


def _image(run: Run) -> str | None:
    containers = run.job["spec"]["template"]["spec"].get("containers") or []
    chosen = next((entry for entry in containers if entry["name"] == _TASK), containers[0] if containers else {})
    image: str | None = chosen.get("image")
    return image


def _image_of(pod: Json) -> str:
    return str((pod["spec"].get("containers") or [{}])[0].get("image", ""))


def _memory_limit(pod: Json) -> str | None:
    for entry in pod["spec"].get("containers") or []:
        if entry["name"] == _TASK:
            limit: str | None = ((entry.get("resources") or {}).get("limits") or {}).get("memory")
            return limit
    return None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
