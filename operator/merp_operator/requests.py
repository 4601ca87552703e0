"""What becomes of the JobRuns that ask for one run: a Job each, or a refusal with its reason. Pure."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError

from merp_crds import names
from merp_crds.common import LABEL_LENGTH, parse_rfc3339, rfc3339
from merp_crds.jobrun import LONGEST_AHEAD, PENDING_REASONS, JobRunSpec
from merp_crds.reasons import Reason, Trigger, Verdict
from merp_crds.scheduledjob import ConcurrencyPolicy, ScheduledJobSpec, Task
from merp_operator import cancel, desired, parameters
from merp_operator.desired import Defaults
from merp_operator.observe import Json, Observed, Request, Run

# These are kept at the gate, for all runs of a job.
_OF_THE_JOB: Final = frozenset({ConcurrencyPolicy.QUEUE, ConcurrencyPolicy.REPLACE})


@dataclass(frozen=True, slots=True)
class Create:
    """A request becomes this Job."""

    request: Request
    job: Json


@dataclass(frozen=True, slots=True)
class Invalid:
    """A request that asks for what cannot be; `message` begins with the field."""

    request: Request
    message: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """A request does not become a run, and has its verdict for that."""

    request: Request
    run_name: str
    due_time: datetime
    reason: Reason
    message: str
    verdict: Verdict = Verdict.SKIPPED


Answer = Create | Invalid | Refuse


@dataclass(frozen=True, slots=True)
class Identity:
    """The run that a request asks for, equal on every look."""

    run_name: str
    due_time: datetime


def answers(observed: Observed, spec: ScheduledJobSpec, defaults: Defaults) -> list[Answer]:
    """What becomes of each request for one run that nothing has become of yet, oldest first."""
    unfinished = list(observed.unfinished_names)
    cancelled = cancel.asked(observed)
    given: list[Answer] = []
    for request in _open(observed):
        cancellation = _cancellation_of(observed, request, cancelled)
        if cancellation is not None:
            given.append(_withdrawn(observed, request, cancellation))
            continue
        answer = _answer(observed, spec, defaults, request, unfinished)
        if isinstance(answer, Create):
            unfinished.append(answer.job["metadata"]["name"])
        given.append(answer)
    return given


def withdrawn(observed: Observed) -> list[Answer]:
    """Of the requests that cannot be answered yet, those that were cancelled meanwhile."""
    cancelled = cancel.asked(observed)
    return [
        _withdrawn(observed, request, cancellation)
        for request in _open(observed)
        if (cancellation := _cancellation_of(observed, request, cancelled)) is not None
    ]


def meant_by(observed: Observed, name: str) -> Request | None:
    """The request that has this name, or asks for the one run that has it."""
    for request in observed.requests:
        if request.name == name:
            return request
    return next((entry for entry in observed.requests if _run_of(observed, entry) == name), None)


def answered(request: Request) -> bool:
    """Whether a JobRun's status already says what became of it."""
    status = request.body.get("status") or {}
    return bool(status.get("run") or status.get("verdict")) or _refused(status)


def never_ran(request: Request) -> bool:
    """Whether a request has a verdict and never became a run."""
    status = request.body.get("status") or {}
    return bool(status.get("verdict")) and not status.get("run") and not is_backfill(request)


def is_backfill(request: Request) -> bool:
    """Whether a request asks for the runs of a range."""
    return request.spec is not None and request.spec.backfill is not None


def trigger_of(request: Request) -> Trigger:
    """What a request's runs say that they were made by."""
    if is_backfill(request):
        return Trigger.BACKFILL
    return Trigger.RETRY if request.spec is not None and request.spec.run is not None else Trigger.MANUAL


def identity(observed: Observed, request: Request) -> Identity | None:
    """The run that a request asks for; None where that is an earlier run which nobody knows any more."""
    status = request.body.get("status") or {}
    asked = None if request.spec is None else request.spec.due_time
    if asked is None and request.spec is not None and request.spec.run is not None:
        # Once told it stays so: the earlier run may be forgotten in the meantime.
        known = status.get("dueTime")
        asked = parse_rfc3339(known) if known else _earlier_due_time(observed, request, request.spec.run)
        if asked is None:
            return None
    # What is written on the Job has whole seconds, as everything in Kubernetes.
    asked = None if asked is None else asked.replace(microsecond=0)
    name = status.get("run") or _named(observed, request, asked)
    return Identity(name, asked or request.created)


def made_by(observed: Observed, request: Request) -> list[tuple[str, datetime]]:
    """The runs of a request that are there: name and due time, oldest first."""
    return made_by_each(observed, [request])[request.name]


def made_by_each(observed: Observed, wanted: Iterable[Request]) -> dict[str, list[tuple[str, datetime]]]:
    """The same of several requests, by their names: thousands of requests may have thousands of runs."""
    labelled: defaultdict[str, list[Run]] = defaultdict(list)
    for run in observed.runs:
        labelled[(run.job["metadata"].get("labels") or {}).get(names.LABEL_JOB_RUN, "")].append(run)
    return {
        request.name: [
            (run.name, run.due_time)
            for run in labelled.get(job_run_label(request), ())
            # Another JobRun may have had that name before.
            if run.name in (_named(observed, request, run.due_time), _named(observed, request, None))
        ]
        for request in wanted
    }


def cancelled(observed: Observed) -> frozenset[str]:
    """The runs that are there and that somebody wants cancelled, by their own names or by those of their JobRuns."""
    asked = cancel.asked(observed)
    by_request = made_by_each(observed, (request for request in observed.requests if request.name in asked))
    named = (run.name for run in observed.runs if run.name in asked)
    return frozenset([*named, *(name for made in by_request.values() for name, _ in made)])


def job_run_label(request: Request) -> str:
    """The value of the label by which the runs of a JobRun are found; its name, cut to what a label may be."""
    return request.name[:LABEL_LENGTH].rstrip("-_.")


def parameters_problem(observed: Observed, spec: ScheduledJobSpec, asked: JobRunSpec) -> str | None:
    """What is wrong with the parameters that a request gives."""
    if (asked.args is not None or asked.kwargs is not None) and spec.task is None:
        return f"args, kwargs: {observed.name} has no task to give them to: leave them out"
    return None


def wrong_parameters(observed: Observed, spec: ScheduledJobSpec, asked: JobRunSpec, defaults: Defaults) -> str | None:
    """What is wrong, by the image's catalogue, with the parameters that a request gives; the job's own were checked."""
    if asked.args is None and asked.kwargs is None:
        return None
    return parameters.wrong(observed.namespace, spec, requested_task(observed, spec, asked), defaults, "")


def requested_task(observed: Observed, spec: ScheduledJobSpec, asked: JobRunSpec) -> Task | None:
    """The task with the parameters that a request's run is given; None for an image without one."""
    if spec.task is None:
        return None
    own = _earlier_task(observed, spec.task, asked.run) or spec.task
    return Task(
        func=spec.task.func,
        args=own.args if asked.args is None else asked.args,
        kwargs=own.kwargs if asked.kwargs is None else asked.kwargs,
    )


def requested_job(
    observed: Observed, spec: ScheduledJobSpec, defaults: Defaults, request: Request, wanted: Identity
) -> Json:
    """The Job that a request becomes. Raises template.TemplateError."""
    asked = request.spec
    assert asked is not None, "unreadable requests were refused"
    spec = spec.model_copy(update={"task": requested_task(observed, spec, asked)})
    created_by = (request.body["metadata"].get("annotations") or {}).get(names.ANNOTATION_CREATED_BY, "unknown")
    annotations = {names.ANNOTATION_DUE_TIME: rfc3339(wanted.due_time), names.ANNOTATION_CREATED_BY: created_by}
    if asked.concurrency_policy is not None:
        annotations[names.ANNOTATION_CONCURRENCY] = asked.concurrency_policy.value
    trigger = trigger_of(request)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": wanted.run_name,
            "namespace": observed.namespace,
            "labels": desired.labels(observed)
            | {names.LABEL_TRIGGER: trigger.value, names.LABEL_JOB_RUN: job_run_label(request)},
            "annotations": desired.job_annotations(observed) | annotations,
            "ownerReferences": [desired.new_owner(observed)],
        },
        "spec": desired.job_spec(
            observed, spec, defaults, due_time=wanted.due_time, run_name=wanted.run_name, trigger=trigger
        ),
    }


def _open(observed: Observed) -> list[Request]:
    """The requests for one run of which nothing has become yet."""
    return [
        request for request in observed.requests if not (answered(request) or is_backfill(request) or request.leaving)
    ]


def _answer(
    observed: Observed, spec: ScheduledJobSpec, defaults: Defaults, request: Request, unfinished: list[str]
) -> Answer:
    if request.spec is None:
        return Invalid(request, request.problem)
    problem = parameters_problem(observed, spec, request.spec)
    if problem is not None:
        return Invalid(request, problem)
    wanted = identity(observed, request)
    if wanted is None:
        return Invalid(
            request,
            f"run: {observed.name} has no run {request.spec.run} that is still known: give its due time as dueTime",
        )
    asked = request.spec.concurrency_policy
    if asked in _OF_THE_JOB and asked is not spec.concurrency_policy:
        text = f"a request runs beside others (Allow) or not (Forbid); {asked} is for the job itself to say"
        return Invalid(request, f"concurrencyPolicy: {text}: leave it out")
    policy = asked or spec.concurrency_policy
    others = [name for name in unfinished if name != wanted.run_name]
    made = any(run.name == wanted.run_name for run in observed.runs)
    if not made and wanted.due_time - request.created > LONGEST_AHEAD:
        text = f"dueTime: {rfc3339(wanted.due_time)} is more than {LONGEST_AHEAD.days} days ahead: correct it"
        return Invalid(request, text)
    if policy is ConcurrencyPolicy.FORBID and others and not made:
        message = f"{others[0]} is not finished, and overlap is forbidden"
        return Refuse(request, wanted.run_name, wanted.due_time, Reason.OVERLAP, message)
    wrong = None if made else wrong_parameters(observed, spec, request.spec, defaults)
    if wrong is not None:
        return Invalid(request, wrong)
    return Create(request, requested_job(observed, spec, defaults, request, wanted))


def _cancellation_of(
    observed: Observed, request: Request, cancelled: Mapping[str, cancel.Cancellation]
) -> cancel.Cancellation | None:
    """What keeps a request from becoming a run."""
    found = cancelled.get(request.name) or cancelled.get(_run_of(observed, request) or "")
    # One whose Job an operator made and could not say so any more is ended as every other run.
    return None if found is None or made_by(observed, request) else found


def _run_of(observed: Observed, request: Request) -> str | None:
    """The name of the run that a request asks for; a backfill asks for many."""
    wanted = None if is_backfill(request) else identity(observed, request)
    return None if wanted is None else wanted.run_name


def _withdrawn(observed: Observed, request: Request, cancellation: cancel.Cancellation) -> Answer:
    wanted = identity(observed, request)
    if wanted is None:
        return Invalid(request, f"{cancellation.message} before it was known which run it asks for")
    return Refuse(
        request,
        wanted.run_name,
        wanted.due_time,
        Reason.CANCELLED_BY_USER,
        f"{cancellation.message} before it ran",
        Verdict.CANCELLED,
    )


def _named(observed: Observed, request: Request, due_time: datetime | None) -> str:
    return names.run_name_for_request(observed.name, request.uid, due_time)


def _earlier_due_time(observed: Observed, request: Request, name: str) -> datetime | None:
    """The due time of an earlier run: from its Job, else from the verdicts that the status remembers."""
    made = made_by(observed, request)
    if made:
        return made[0][1]
    found = next((run.due_time for run in observed.runs if run.name == name), None)
    if found is not None:
        return found
    status = observed.status
    remembered = [*(status.get("recent") or []), *(status.get("newest") or {}).values()]
    told = next((entry.get("dueTime") for entry in remembered if entry.get("run") == name), None)
    return None if told is None else parse_rfc3339(told)


def _earlier_task(observed: Observed, task: Task, name: str | None) -> Task | None:
    """The task as an earlier run was given it, if its Job is there and called the same function."""
    job = next((run.job for run in observed.runs if run.name == name), None)
    if job is None:
        return None
    annotations: dict[str, Any] = (job["spec"]["template"].get("metadata") or {}).get("annotations") or {}
    try:
        found = Task.model_validate(json.loads(annotations.get(names.ANNOTATION_TASK) or "null"))
    except (ValueError, ValidationError, RecursionError):
        # Somebody wrote on the Job what is no task: the job's own parameters stand.
        return None
    return found if found.func == task.func else None


def _refused(status: Json) -> bool:
    return any(
        entry["type"] == "Accepted" and entry["status"] == "False" and entry["reason"] not in PENDING_REASONS
        for entry in status.get("conditions") or []
    )
