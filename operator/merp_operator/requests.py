"""What becomes of the JobRuns of a ScheduledJob: a Job each, or a refusal with its reason. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from merp_crds import names
from merp_crds.common import rfc3339
from merp_crds.reasons import Reason, Trigger
from merp_crds.scheduledjob import ConcurrencyPolicy, ScheduledJobSpec, Task
from merp_operator import desired
from merp_operator.desired import Defaults
from merp_operator.observe import Json, Observed, Request

# A request that was refused for one of these is answered anew when the cause is gone.
UNKNOWN_JOB: Final = "UnknownScheduledJob"
NOT_READY: Final = "NotReady"
PENDING_REASONS: Final = frozenset({UNKNOWN_JOB, NOT_READY})


@dataclass(frozen=True, slots=True)
class Create:
    """A request becomes this Job."""

    request: Request
    job: Json


@dataclass(frozen=True, slots=True)
class Refuse:
    """A request does not become a run; `reason` is its verdict's, or None where it was no valid request."""

    request: Request
    run_name: str
    due_time: datetime
    reason: Reason | None
    message: str


def answers(observed: Observed, spec: ScheduledJobSpec, defaults: Defaults) -> list[Create | Refuse]:
    """What becomes of each request that nothing has become of yet, oldest first."""
    unfinished = [run.name for run in observed.unfinished]
    existing = {run.name for run in observed.runs}
    given: list[Create | Refuse] = []
    for request in observed.requests:
        if answered(request):
            continue
        answer = _answer(observed, spec, defaults, request, unfinished, existing)
        if isinstance(answer, Create):
            unfinished.append(answer.job["metadata"]["name"])
        given.append(answer)
    return given


def answered(request: Request) -> bool:
    """Whether a JobRun's status already says what became of it."""
    status = request.body.get("status") or {}
    return bool(status.get("run") or status.get("verdict")) or _refused(status)


def due_time_of(request: Request) -> datetime:
    """The moment that a requested run stands for."""
    return (request.spec.due_time if request.spec is not None else None) or request.created


def run_name_of(scheduled_job: str, request: Request) -> str:
    """The name of the run that a request asks for; equal on every try."""
    due_time = request.spec.due_time if request.spec is not None else None
    return names.run_name_for_request(scheduled_job, request.uid, due_time)


def _answer(
    observed: Observed,
    spec: ScheduledJobSpec,
    defaults: Defaults,
    request: Request,
    unfinished: list[str],
    existing: set[str],
) -> Create | Refuse:
    due_time = due_time_of(request)
    run_name = run_name_of(observed.name, request)
    if request.spec is None:
        return Refuse(request, run_name, due_time, None, request.problem)
    if request.spec.backfill is not None or request.spec.run is not None:
        field = "backfill" if request.spec.backfill is not None else "run"
        return Refuse(request, run_name, due_time, None, f"{field}: this version cannot carry it out yet: leave it out")
    if (request.spec.args is not None or request.spec.kwargs is not None) and spec.task is None:
        return Refuse(request, run_name, due_time, None, f"args, kwargs: {observed.name} has no task to give them to")
    policy = request.spec.concurrency_policy or spec.concurrency_policy
    others = [name for name in unfinished if name != run_name]
    if policy is not ConcurrencyPolicy.ALLOW and others and run_name not in existing:
        return Refuse(
            request, run_name, due_time, Reason.OVERLAP, f"{others[0]} is not finished, and overlap is forbidden"
        )
    return Create(request, _requested_job(observed, spec, defaults, request, run_name))


def _requested_job(
    observed: Observed, spec: ScheduledJobSpec, defaults: Defaults, request: Request, run_name: str
) -> Json:
    asked = request.spec
    assert asked is not None, "unreadable requests were refused"
    if spec.task is not None and (asked.args is not None or asked.kwargs is not None):
        task = Task(
            func=spec.task.func,
            args=spec.task.args if asked.args is None else asked.args,
            kwargs=spec.task.kwargs if asked.kwargs is None else asked.kwargs,
        )
        spec = spec.model_copy(update={"task": task})
    due_time = due_time_of(request)
    created_by = (request.body["metadata"].get("annotations") or {}).get(names.ANNOTATION_CREATED_BY, "unknown")
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": run_name,
            "namespace": observed.namespace,
            "labels": desired.labels(observed)
            | {names.LABEL_TRIGGER: Trigger.MANUAL.value, names.LABEL_JOB_RUN: request.name[:63]},
            "annotations": desired.job_annotations(observed)
            | {names.ANNOTATION_DUE_TIME: rfc3339(due_time), names.ANNOTATION_CREATED_BY: created_by},
            "ownerReferences": [desired.controller(observed)],
        },
        "spec": desired.job_spec(observed, spec, defaults, due_time),
    }


def _refused(status: Json) -> bool:
    return any(
        entry["type"] == "Accepted" and entry["status"] == "False" and entry["reason"] not in PENDING_REASONS
        for entry in status.get("conditions") or []
    )
