"""What should exist for a ScheduledJob: its CronJob, and the Jobs of its requests. Pure: objects in, objects out."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from merp_crds import names, schedule
from merp_crds.catalogue import Catalogue
from merp_crds.common import rfc3339
from merp_crds.reasons import Trigger
from merp_crds.scheduledjob import ConcurrencyPolicy, Retry, ScheduledJobSpec
from merp_operator import pause, template
from merp_operator.observe import Json, Observed, Run

# Up to this late a due time is simply started, by either clock.
STARTING_DEADLINE: Final = timedelta(seconds=60)
# How long after its due time a Job is left alone at least: a clock that is behind must still find its name taken.
CLEANUP_AGE: Final = STARTING_DEADLINE + timedelta(seconds=60)
# The operator deletes Jobs itself, once they are recorded, so the native limits are never reached.
_NATIVE_HISTORY: Final = 10_000


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the installation decides for jobs that do not."""

    image: str
    time_zone: str
    catalogue: Catalogue | None = None
    # Environment of jobs on the default image, as a container has it.
    env: tuple[Json, ...] = ()


def zone(spec: ScheduledJobSpec, defaults: Defaults) -> str:
    """The zone in force."""
    chosen = spec.schedule.time_zone if spec.schedule is not None else None
    return chosen or defaults.time_zone


def cron_job(observed: Observed, spec: ScheduledJobSpec, defaults: Defaults, now: datetime) -> Json | None:
    """The CronJob that starts the runs; None for a schedule that the native clock cannot carry, or for none."""
    native = None if spec.schedule is None else schedule.native_cron(spec.schedule, defaults.time_zone)
    if native is None:
        return None
    expression, time_zone = native
    policy = ConcurrencyPolicy.ALLOW if spec.concurrency_policy is ConcurrencyPolicy.ALLOW else ConcurrencyPolicy.FORBID
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {
            "name": observed.name,
            "namespace": observed.namespace,
            "labels": labels(observed),
            "ownerReferences": [_owner(observed)],
        },
        "spec": {
            "schedule": expression,
            "timeZone": time_zone,
            "concurrencyPolicy": policy.value,
            "startingDeadlineSeconds": int(STARTING_DEADLINE.total_seconds()),
            "suspend": pause.in_force(observed, now) is not None,
            "successfulJobsHistoryLimit": _NATIVE_HISTORY,
            "failedJobsHistoryLimit": _NATIVE_HISTORY,
            "jobTemplate": {
                "metadata": {
                    "labels": labels(observed) | {names.LABEL_TRIGGER: Trigger.SCHEDULE.value},
                    "annotations": job_annotations(observed),
                },
                "spec": job_spec(observed, spec, defaults),
            },
        },
    }


def job_spec(observed: Observed, spec: ScheduledJobSpec, defaults: Defaults, due_time: datetime | None = None) -> Json:
    """The spec of every Job of this ScheduledJob. Raises template.TemplateError."""
    retry = spec.retry or Retry()
    rendered: Json = {
        "backoffLimit": retry.limit,
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {"rules": _failure_rules(spec, retry)},
        "template": template.pod_template(
            name=observed.name,
            uid=observed.uid,
            spec=spec,
            default_image=defaults.image,
            default_env=defaults.env,
            time_zone=zone(spec, defaults),
            due_time=None if due_time is None else rfc3339(due_time),
        ),
    }
    if spec.timeout_seconds is not None:
        rendered["activeDeadlineSeconds"] = spec.timeout_seconds
    return rendered


def removable(observed: Observed, spec: ScheduledJobSpec, committed: frozenset[str], now: datetime) -> list[Run]:
    """Finished Jobs beyond what `history` keeps, whose records are committed. Oldest first."""
    keep = spec.history
    limits = {True: 3 if keep is None else keep.successful, False: 5 if keep is None else keep.failed}
    surplus: list[Run] = []
    for successful, limit in limits.items():
        group = [run for run in observed.runs if run.finished and _succeeded(run) is successful]
        surplus += group[: max(0, len(group) - limit)]
    return sorted(
        (run for run in surplus if run.name in committed and now >= run.due_time + CLEANUP_AGE),
        key=lambda run: run.due_time,
    )


def differs(wanted: Any, actual: Any) -> bool:
    """Whether something wanted is not so; what the API server adds beside it does not count."""
    if isinstance(wanted, dict):
        return not isinstance(actual, dict) or any(differs(value, actual.get(key)) for key, value in wanted.items())
    if isinstance(wanted, list):
        if not wanted:
            return bool(actual)
        return (
            not isinstance(actual, list)
            or len(wanted) != len(actual)
            or any(differs(mine, theirs) for mine, theirs in zip(wanted, actual, strict=True))
        )
    return bool(wanted != actual)


def missing_references(observed: Observed) -> list[Json]:
    """Unfinished runs that the CronJob controls and its status.active does not list.

    The native controller counts only what is listed there: without it a run by hand would not hold back the next due
    time under Forbid.
    """
    if observed.cron_job is None:
        return []
    uid = observed.cron_job["metadata"]["uid"]
    listed = {entry.get("uid") for entry in (observed.cron_job.get("status") or {}).get("active") or []}
    return [
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "name": run.name,
            "namespace": observed.namespace,
            "uid": run.uid,
            "resourceVersion": run.job["metadata"]["resourceVersion"],
        }
        for run in observed.unfinished
        if run.uid not in listed and _controller_uid(run.job) == uid
    ]


def _failure_rules(spec: ScheduledJobSpec, retry: Retry) -> list[Json]:
    codes = retry.no_retry_exit_codes
    if codes is None:
        # The runner ends so where no retry can help: an unknown task, or parameters that do not fit.
        codes = [2] if spec.task is not None else []
    # A pod that had to make room did not fail, so it does not use up a retry.
    rules: list[Json] = [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
    if codes:
        values = sorted(set(codes))
        rules.append(
            {
                "action": "FailJob",
                "onExitCodes": {"containerName": template.CONTAINER, "operator": "In", "values": values},
            }
        )
    return rules


def labels(observed: Observed) -> dict[str, str]:
    """The labels of everything that belongs to a ScheduledJob."""
    return {
        names.LABEL_MANAGED: "true",
        names.LABEL_SCHEDULED_JOB: observed.name,
        names.LABEL_SCHEDULED_JOB_UID: observed.uid,
    }


def job_annotations(observed: Observed) -> dict[str, str]:
    """The annotations of each of its Jobs."""
    return {names.ANNOTATION_GENERATION: str(observed.generation)}


def _owner(observed: Observed) -> Json:
    return {
        "apiVersion": names.API_VERSION,
        "kind": "ScheduledJob",
        "name": observed.name,
        "uid": observed.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def controller(observed: Observed) -> Json:
    """Whose run a Job is: the CronJob's where there is one, because the native controller looks by name only."""
    if observed.cron_job is None:
        return _owner(observed)
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "name": observed.name,
        "uid": observed.cron_job["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": False,
    }


def _controller_uid(item: Json) -> str | None:
    for entry in item["metadata"].get("ownerReferences") or []:
        if entry.get("controller"):
            return str(entry["uid"])
    return None


def is_ours(item: Json, observed: Observed) -> bool:
    """Whether an object belongs to this very ScheduledJob, not to one of its name before."""
    return (item["metadata"].get("labels") or {}).get(names.LABEL_SCHEDULED_JOB_UID) == observed.uid


def _succeeded(run: Run) -> bool:
    conditions = (run.job.get("status") or {}).get("conditions") or []
    return any(entry["type"] == "Complete" and entry["status"] == "True" for entry in conditions)
