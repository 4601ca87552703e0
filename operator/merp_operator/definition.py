"""Whether a ScheduledJob's definition is good, and if not which field is wrong and what to do. Pure."""

from dataclasses import dataclass
from datetime import datetime

from merp_crds import names, schedule
from merp_crds.reasons import ConditionReason
from merp_crds.scheduledjob import ConcurrencyPolicy, Dst, ScheduledJobSpec
from merp_operator import desired, template
from merp_operator.desired import Defaults
from merp_operator.observe import Observed


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a definition cannot be carried out; `message` begins with the field."""

    reason: ConditionReason
    message: str


def problem(observed: Observed, defaults: Defaults) -> Problem | None:
    """What is wrong with the definition; None if it is good."""
    spec = observed.spec
    if spec is None:
        return Problem(ConditionReason.INVALID_SPEC, observed.problem)
    if observed.name in names.RESERVED_NAMES:
        return Problem(
            ConditionReason.RESERVED_NAME, f"metadata.name: {observed.name} is a word of the REST API: choose another"
        )
    if template.FORBIDDEN_LABEL in (observed.body["metadata"].get("labels") or {}):
        return Problem(
            ConditionReason.FORBIDDEN_LABEL,
            f"metadata.labels: {template.FORBIDDEN_LABEL} is not supported: use spec.pool",
        )
    found = _schedule_problem(spec, defaults, observed.created) or _task_problem(spec, defaults)
    if found is not None:
        return found
    unsupported = _unsupported(spec)
    if unsupported:
        return Problem(
            ConditionReason.NOT_SUPPORTED, f"{unsupported}: this version cannot carry it out yet: leave it out"
        )
    try:
        desired.job_spec(observed, spec, defaults)
    except template.TemplateError as error:
        return Problem(ConditionReason.INVALID_TEMPLATE, str(error))
    if observed.cron_job is not None and not desired.is_ours(observed.cron_job, observed):
        return Problem(
            ConditionReason.CRONJOB_EXISTS,
            f"metadata.name: a CronJob {observed.name} exists and is not ours: rename this ScheduledJob or delete it",
        )
    return None


def _schedule_problem(spec: ScheduledJobSpec, defaults: Defaults, created: datetime) -> Problem | None:
    if spec.schedule is None:
        return None
    try:
        schedule.check(spec.schedule, defaults.time_zone)
    except ValueError as error:
        text = str(error)
        if text.startswith("timeZone"):
            return Problem(ConditionReason.INVALID_TIME_ZONE, f"schedule.{text}")
        return Problem(ConditionReason.INVALID_SCHEDULE, f"schedule.cron: {text.removeprefix('cron: ')}")
    if (
        spec.schedule.cron is not None
        and schedule.next_due(
            spec.schedule.model_copy(update={"start_at": None, "end_at": None}), defaults.time_zone, created
        )
        is None
    ):
        return Problem(
            ConditionReason.NEVER_FIRES,
            f"schedule.cron: {spec.schedule.cron!r} matches no moment of the next five years",
        )
    return None


def _task_problem(spec: ScheduledJobSpec, defaults: Defaults) -> Problem | None:
    if defaults.catalogue is None:
        return None
    image = None if spec.template is None else spec.template.image
    found = defaults.catalogue.problem(spec.task, image)
    return None if found is None else Problem(ConditionReason.UNKNOWN_TASK, found)


def _unsupported(spec: ScheduledJobSpec) -> str | None:
    """The first field that asks for what this version does not do. Running the job without it would be wrong."""
    timing = spec.schedule
    asked = {
        "pool": spec.pool is not None,
        "dependsOn": bool(spec.depends_on),
        "concurrencyPolicy": spec.concurrency_policy in (ConcurrencyPolicy.REPLACE, ConcurrencyPolicy.QUEUE),
        "connections": bool(spec.connections),
        "schedule.startAt": timing is not None and timing.start_at is not None,
        "schedule.endAt": timing is not None and timing.end_at is not None,
        "schedule.calendar": timing is not None and timing.calendar is not None,
        "schedule.dst": timing is not None and timing.dst is Dst.ONCE,
        "schedule.at": timing is not None and timing.at is not None,
        "schedule.intervalSeconds": timing is not None
        and timing.interval_seconds is not None
        and schedule.native_cron(timing, "UTC") is None,
    }
    return next((field for field, wanted in asked.items() if wanted), None)
