"""What clients are shown of a ScheduledJob, a JobRun and a record. Pure; `now` is an argument."""

import json
from dataclasses import fields
from datetime import UTC, datetime, tzinfo
from typing import Any, Final

from merp_api.conditions import condition
from merp_api.pause_notes import moment, pause_note, standing_note, wants_pause
from merp_api.schemas import ExecutionView, JobStatus, JobView
from merp_api.translate import Json, contract
from merp_crds.common import parse_rfc3339
from merp_crds.jobrun import PENDING_REASONS
from merp_crds.names import ANNOTATION_CREATED_BY, execution_id, run_name_for_request
from merp_crds.parameters import shallow
from merp_crds.reasons import ConditionType, RunState, Trigger, Verdict
from merp_crds.schedule import Timetable
from merp_crds.scheduledjob import Schedule
from merp_crds.zones import find_zone
from merp_records.queries import Execution

UNKNOWN_CREATOR: Final = "unknown"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Columns of a record that a client is shown under another name, or not at all.
_RENAMED: Final = frozenset(
    {"job_id", "job_uid", "job_name", "reason_params", "attempt_details", "recorded_at", "result"}
)
_SHOWN: Final = tuple(field.name for field in fields(Execution) if field.name not in _RENAMED)


def job_view(job: Json, default_zone: str, now: datetime) -> JobView:
    """A ScheduledJob as REST shows it."""
    metadata: Json = job["metadata"]
    fields = contract(job, default_zone)
    zone = job_zone(job, default_zone)
    status = job_status(job, default_zone, now)
    problem = invalid(job)
    next_run = _next_run_time(job, default_zone, now) if status is JobStatus.ACTIVE else None
    return JobView(
        **_in_zone(fields, zone),
        id=metadata["name"],
        status=status,
        next_run_time=None if next_run is None else next_run.astimezone(zone),
        created_at=parse_rfc3339(metadata["creationTimestamp"]).astimezone(zone),
        updated_at=_updated(metadata).astimezone(zone),
        created_by=(metadata.get("annotations") or {}).get(ANNOTATION_CREATED_BY) or UNKNOWN_CREATOR,
        namespace=metadata["namespace"],
        uid=metadata["uid"],
        paused=standing_note(job, now),
        suspended=bool((job.get("spec") or {}).get("suspend")),
        message=problem,
        reason=None if problem is None else invalid_reason(job),
    )


def job_view_until(job: Json, default_zone: str, now: datetime) -> datetime | None:
    """From when the view of an unchanged job may be another than it is now; None for never."""
    ends = []
    note = pause_note(job["metadata"])
    until = None if note is None else moment(note.until)
    if until is not None and until > now:
        ends.append(until)
    status: Json = job.get("status") or {}
    if not (_observed(job, status.get("observedGeneration")) and status.get("nextRunTime")):
        # What the schedule says is shown, or whether its newest due time is accounted for.
        timetable = _timetable(job, default_zone)
        coming = None if timetable is None else timetable.after(now)
        if coming is not None:
            ends.append(coming)
    return min(ends, default=None)


def display_name(job: Json) -> str:
    """A job's name for people."""
    return str(job["spec"].get("displayName") or job["metadata"]["name"])


def job_zone(job: Json, default_zone: str) -> tzinfo:
    """The zone that a job's times are shown in: its own, as far as it is one."""
    written = ((job.get("spec") or {}).get("schedule") or {}).get("timeZone")
    for name in (written, (job.get("status") or {}).get("timeZone"), default_zone):
        if name:
            try:
                return find_zone(name)
            except ValueError:
                # By kubectl anything can be written there; the condition Ready says so.
                continue
    return UTC


def job_status(job: Json, default_zone: str, now: datetime) -> JobStatus:
    """invalid before paused before completed, else active."""
    if invalid(job) is not None:
        return JobStatus.INVALID
    if wants_pause(job, now):
        return JobStatus.PAUSED
    return JobStatus.COMPLETED if _completed(job, default_zone, now) else JobStatus.ACTIVE


def invalid(job: Json) -> str | None:
    """Why the definition cannot be carried out, None if the operator has not said so of this version of it."""
    found = condition(job, ConditionType.READY)
    if found is None or found.get("status") != "False" or not _observed(job, found.get("observedGeneration")):
        return None
    return str(found.get("message") or found.get("reason") or "the definition is not valid")


def invalid_reason(job: Json) -> str | None:
    """The same in one word, None where the operator gave none."""
    found = condition(job, ConditionType.READY) or {}
    return str(found["reason"]) if found.get("reason") else None


def unfinished_run(job: Json) -> str | None:
    """The name of the oldest run without a verdict, as far as the operator has seen."""
    active = (job.get("status") or {}).get("active") or []
    return str(active[0]["run"]) if active else None


def asked_execution(run: Json) -> str | None:
    """The id of the execution that a JobRun asks for; None for one that does not say of which job, and for a backfill,
    whose executions are many and have ids of their own.

    None also for a due time that the API server takes and nobody can count with: the operator refuses that, and there
    is no execution.
    """
    uid = owner_uid(run)
    try:
        return None if uid is None or run["spec"].get("backfill") else run_execution_id(uid, run)
    except ValueError:
        return None


def run_execution_id(job_uid: str, run: Json) -> str:
    """The id of the execution that a JobRun asks for, known before anything else is.

    Raises ValueError where its due time is none.
    """
    known = (run.get("status") or {}).get("executionId")
    return str(known) if known else execution_id(job_uid, _run_name(run))


def owner_uid(run: Json) -> str | None:
    """The UID of the ScheduledJob that a JobRun was made for, None for one that does not say."""
    owners = run["metadata"].get("ownerReferences") or []
    return next((str(owner["uid"]) for owner in owners if owner.get("kind") == "ScheduledJob"), None)


def run_view(run: Json, job_uid: str, job_name: str) -> ExecutionView:
    """The execution that a JobRun asks for, as long as the records do not have it."""
    status: Json = run.get("status") or {}
    metadata, spec = run["metadata"], run["spec"]
    params = {key: shallow(spec[key]) for key in ("args", "kwargs") if spec.get(key) is not None}
    refused = _refusal(status)
    return ExecutionView(
        id=run_execution_id(job_uid, run),
        job_id=spec["scheduledJob"],
        job_uid=job_uid,
        job_name=job_name,
        namespace=metadata["namespace"],
        run_name=status.get("run") or _run_name(run),
        status=run_state(run),
        trigger=(Trigger.RETRY if spec.get("run") else Trigger.MANUAL).value,
        reason=status.get("reason"),
        start_time=_time(status.get("startTime")),
        end_time=_time(status.get("endTime")),
        due_time=_time(status.get("dueTime") or spec.get("dueTime") or metadata["creationTimestamp"]),
        error=status.get("message") or (refused or {}).get("message"),
        params=params or None,
        created_by=(metadata.get("annotations") or {}).get(ANNOTATION_CREATED_BY) or UNKNOWN_CREATOR,
        recorded=False,
    )


def run_state(run: Json) -> str:
    """The state or verdict of the execution that a JobRun asks for."""
    status: Json = run.get("status") or {}
    refused = _refusal(status) is not None
    return str(status.get("verdict") or ("failed" if refused else status.get("state") or RunState.WAITING.value))


def listed_view(job: Json, execution: str) -> ExecutionView | None:
    """The execution of that id as the status of its job lists it; None if it does not."""
    metadata = job["metadata"]
    entry = next((entry for entry in _listed(job) if execution_id(metadata["uid"], entry["run"]) == execution), None)
    if entry is None:
        return None
    verdict = entry.get("verdict")
    return ExecutionView(
        id=execution,
        job_id=metadata["name"],
        job_uid=metadata["uid"],
        job_name=display_name(job),
        namespace=metadata["namespace"],
        run_name=entry["run"],
        status=verdict or entry["state"],
        trigger=entry["trigger"],
        reason=entry.get("reason"),
        start_time=_time(entry.get("startTime") or entry.get("since")),
        end_time=_time(entry.get("endTime")),
        due_time=_time(entry.get("dueTime")),
        error=None if verdict in (None, Verdict.SUCCESS) else entry.get("message"),
        recorded=False,
    )


def listed_runs(job: Json) -> dict[str, str]:
    """The runs that the status of a job lists, by name, each with its state or verdict."""
    return {entry["run"]: entry.get("verdict") or entry["state"] for entry in reversed(_listed(job))}


def execution_view(execution: Execution, job_name: str) -> ExecutionView:
    """A record. The result is JSON where its text is."""
    # Not by asdict, which copies everything to its depths: that took most of the time of a page.
    shown = {name: getattr(execution, name) for name in _SHOWN}
    return ExecutionView(
        **shown,
        job_id=execution.job_name,
        job_uid=execution.job_id,
        job_name=job_name,
        result=_result(execution.result),
    )


def _listed(job: Json) -> list[Json]:
    """Every mention of a run in a job's status, those with a verdict first."""
    status = job.get("status") or {}
    return [*(status.get("recent") or []), *(status.get("newest") or {}).values(), *(status.get("active") or [])]


def _result(text: str | None) -> Any:
    if text is None:
        return None
    try:
        # An image may write anything as its result: what is nested deeper than an answer may be is cut.
        result = shallow(json.loads(text, parse_constant=lambda _: text))
        if "\\u" in text:
            # Half of a surrogate pair is in no answer.
            json.dumps(result, ensure_ascii=False).encode()
        return result
    except (ValueError, RecursionError):
        # Of an image without our runner, or cut because it was long.
        return text


def _in_zone(fields: Json, zone: tzinfo) -> Json:
    moment: datetime | None = fields["run_date"]
    try:
        return fields | {"run_date": None if moment is None else moment.astimezone(zone)}
    except OverflowError:
        # The ends of the calendar, which a manifest may name, are not within every zone's.
        return fields


def _next_run_time(job: Json, default_zone: str, now: datetime) -> datetime | None:
    """The operator's word; until it has seen this version of the job, what the schedule says."""
    if _observed(job, (job.get("status") or {}).get("observedGeneration")):
        return _time(job["status"].get("nextRunTime"))
    timetable = _timetable(job, default_zone)
    return None if timetable is None else timetable.after(now)


def _timetable(job: Json, default_zone: str) -> Timetable | None:
    """The due times, as far as the job alone tells them: which days count stands in a calendar."""
    written = (job.get("spec") or {}).get("schedule")
    if not written or written.get("calendar"):
        return None
    try:
        return Timetable.of(Schedule.model_validate(written), default_zone)
    except ValueError:
        # Written by kubectl, and the operator is about to say what is wrong with it.
        return None


def _completed(job: Json, default_zone: str, now: datetime) -> bool:
    """Whether nothing will become due any more, and what was due has its verdict."""
    status: Json = job.get("status") or {}
    return (
        bool((job.get("spec") or {}).get("schedule"))
        and _observed(job, status.get("observedGeneration"))
        and not status.get("nextRunTime")
        and not status.get("activeCount")
        and condition(job, ConditionType.READY) is not None
        # A pause that was just lifted leaves no next run until the operator has seen that.
        and (condition(job, ConditionType.PAUSED) or {}).get("status") != "True"
        and _accounted(job, default_zone, now)
    )


def _accounted(job: Json, default_zone: str, now: datetime) -> bool:
    """Whether the newest due time has a run or a verdict: one that has just come is about to get it."""
    timetable = _timetable(job, default_zone)
    newest = None if timetable is None else timetable.newest(_EPOCH, now)
    until = _time((job["status"].get("accounted") or {}).get("until"))
    return newest is None or (until is not None and newest <= until)


def _observed(job: Json, generation: Any) -> bool:
    return isinstance(generation, int) and generation >= job["metadata"].get("generation", 0)


def _refusal(status: Json) -> Json | None:
    return next((entry for entry in status.get("conditions") or [] if _refuses(entry)), None)


def _refuses(entry: Json) -> bool:
    """Whether a request will never be a run; one that waits until there is a good definition may still be."""
    told = entry.get("type") == "Accepted" and entry.get("status") == "False"
    return told and entry.get("reason") not in PENDING_REASONS


def _run_name(run: Json) -> str:
    metadata, spec = run["metadata"], run["spec"]
    return run_name_for_request(spec["scheduledJob"], metadata["uid"], _time(spec.get("dueTime")))


def _updated(metadata: Json) -> datetime:
    """When anybody but the status changed it last: Kubernetes keeps that per manager only."""
    written = [
        entry["time"]
        for entry in metadata.get("managedFields") or []
        if entry.get("time") and entry.get("subresource") is None
    ]
    return parse_rfc3339(max([metadata["creationTimestamp"], *written]))


def _time(text: str | None) -> datetime | None:
    return None if text is None else parse_rfc3339(text)
