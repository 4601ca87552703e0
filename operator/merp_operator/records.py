"""What was observed, as the rows that remember it. Pure."""

import json
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

from merp_crds import names
from merp_crds.common import parse_rfc3339, rfc3339
from merp_crds.parameters import shallow
from merp_crds.reasons import ConditionType, Trigger
from merp_crds.scheduledjob import Dependency, History, ScheduledJobSpec, Task, Unrecorded, Window
from merp_operator import desired
from merp_operator.endings import explain
from merp_operator.observe import Json, Observed, Run
from merp_operator.opened import opened_by
from merp_operator.outcome import Outcome
from merp_records.rows import DependencyRecord, ExecutionRecord, JobRecord
from merp_records.tables import is_key


def job_record(observed: Observed, defaults: desired.Defaults, status: Json) -> JobRecord:
    """The row of a ScheduledJob. One whose spec cannot be read is remembered by its name."""
    spec = observed.spec or ScheduledJobSpec()
    timing, time_zone = spec.schedule, desired.zone(spec, defaults)
    next_run = status.get("nextRunTime")
    conditions = status.get("conditions") or []
    paused = any(entry["type"] == ConditionType.PAUSED and entry["status"] == "True" for entry in conditions)
    return JobRecord(
        id=observed.uid,
        namespace=observed.namespace,
        resource_name=observed.name,
        name=spec.display_name or observed.name,
        job_type=job_type(spec),
        func=spec.task.func if spec.task is not None else "",
        created_at=observed.created,
        created_by=created_by(observed.body),
        cron_expression=None if timing is None else timing.cron,
        interval_seconds=None if timing is None else timing.interval_seconds,
        run_date=None if timing is None else timing.at,
        # By kubectl any text can be written there; what is none of any zone's names is in no row.
        time_zone=time_zone if is_key(time_zone) else None,
        args=None if spec.task is None else shallow(spec.task.args),
        kwargs=None if spec.task is None else shallow(spec.task.kwargs),
        status="paused" if paused else "active",
        next_run_time=None if next_run is None else parse_rfc3339(next_run),
        description=spec.description,
        priority=spec.priority.value,
        generation=observed.generation,
        record_days=(spec.history or History()).record_days,
        dependencies=tuple(map(_dependency, spec.depends_on)),
    )


def execution_record(
    *,
    job_id: str,
    namespace: str,
    job_name: str,
    run: Run,
    outcome: Outcome,
    log_tails: Mapping[str, str] = MappingProxyType({}),
) -> ExecutionRecord:
    """The row of a run; `log_tails` are what its failed attempts said last, by the names of their pods."""
    tails = [log_tails[name] for name in (pod["metadata"]["name"] for pod in run.pods) if name in log_tails]
    return ExecutionRecord(
        job_id=job_id,
        namespace=namespace,
        job_name=job_name,
        run_name=run.name,
        status=outcome.status,
        trigger=run.trigger,
        start_time=outcome.start_time,
        end_time=outcome.end_time,
        due_time=run.due_time,
        reason=outcome.reason if outcome.ended else None,
        reason_params=_reason_parameters(outcome),
        result=outcome.result,
        error=outcome.error,
        attempts=outcome.attempts,
        attempt_details=[_with_tail(entry, log_tails) for entry in outcome.attempt_details] or None,
        log_tail=tails[-1] if tails else None,
        exit_code=outcome.exit_code,
        waited_seconds=outcome.waited_seconds,
        job_uid=run.uid,
        node=outcome.node,
        image=outcome.image,
        params=_parameters(run.job),
        opened_by=[f"{upstream}/{name}" for upstream, name in opened_by(run.job)] or None,
        created_by=(run.job["metadata"].get("annotations") or {}).get(names.ANNOTATION_CREATED_BY),
    )


def refused_record(
    observed: Observed,
    *,
    run_name: str,
    due_time: datetime,
    outcome: Outcome,
    asked_by: str,
    trigger: Trigger = Trigger.MANUAL,
    task: Task | None = None,
) -> ExecutionRecord:
    """The row of a request that never became a run; `task` is what that would have been given."""
    return ExecutionRecord(
        job_id=observed.uid,
        namespace=observed.namespace,
        job_name=observed.name,
        run_name=run_name,
        status=outcome.status,
        trigger=trigger,
        start_time=outcome.start_time,
        end_time=outcome.end_time,
        due_time=due_time,
        reason=outcome.reason,
        reason_params={"message": outcome.message},
        error=outcome.error,
        params=None if task is None else shallow({"func": task.func, "args": task.args, "kwargs": task.kwargs}),
        created_by=asked_by,
    )


def ending_record(observed: Observed, entry: Unrecorded) -> ExecutionRecord:
    """The row of a due time that never had a run, or of a whole range of them."""
    parameters: Json = {"message": explain(entry)}
    if entry.count > 1:
        parameters |= {"first": rfc3339(entry.first), "last": rfc3339(entry.last), "count": entry.count}
    return ExecutionRecord(
        job_id=observed.uid,
        namespace=observed.namespace,
        job_name=observed.name,
        run_name=names.run_name_for_due_time(observed.name, entry.first),
        status=entry.verdict,
        trigger=Trigger.SCHEDULE,
        start_time=entry.first,
        end_time=max(entry.at, entry.first),
        due_time=entry.first,
        due_time_end=entry.last if entry.count > 1 else None,
        count=entry.count,
        reason=entry.reason,
        reason_params=parameters,
        error=explain(entry),
    )


def ending_id(observed: Observed, entry: Unrecorded) -> str:
    """The id of that row."""
    return names.execution_id(observed.uid, names.run_name_for_due_time(observed.name, entry.first))


def job_type(spec: ScheduledJobSpec) -> str:
    """The seed's word for how a job is started."""
    timing = spec.schedule
    if timing is None:
        return "dependency" if spec.depends_on else "manual"
    if timing.cron is not None:
        return "cron"
    return "interval" if timing.interval_seconds is not None else "date"


def created_by(item: Json) -> str:
    """Who created an object, as the gateway wrote it; `unknown` where nobody did."""
    return str((item["metadata"].get("annotations") or {}).get(names.ANNOTATION_CREATED_BY) or "unknown")


def _reason_parameters(outcome: Outcome) -> Json | None:
    if not outcome.ended:
        return None
    return {"message": outcome.message} | ({"truncated": True} if outcome.truncated else {})


def _with_tail(entry: Json, log_tails: Mapping[str, str]) -> Json:
    tail = log_tails.get(entry["pod"])
    return entry if tail is None else entry | {"logTail": tail}


def _dependency(entry: Dependency) -> DependencyRecord:
    window = entry.window or Window(since_last_run=True)
    if window.within is not None:
        kind, value = "within", window.within
    elif window.period is not None:
        kind, value = "period", window.period.value
    else:
        kind, value = "sinceLastRun", None
    return DependencyRecord(
        depends_on=entry.name,
        condition=entry.condition.value,
        window_kind=kind,
        window_value=value,
        latest=entry.latest,
    )


def _parameters(job: Json) -> Json | None:
    """The task with its parameters, as the run was given them."""
    annotations = (job["spec"]["template"].get("metadata") or {}).get("annotations") or {}
    text = annotations.get(names.ANNOTATION_TASK)
    try:
        found = None if text is None else shallow(json.loads(text))
    except (ValueError, RecursionError):
        # Whoever may patch a Job that waits can write anything there.
        return None
    return found if isinstance(found, dict) else None
