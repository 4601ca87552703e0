"""Whether a ScheduledJob's definition is good, and if not which field is wrong and what to do. Pure."""

from dataclasses import dataclass
from typing import Final

from merp_crds import names, schedule
from merp_crds.reasons import ConditionReason
from merp_crds.scheduledjob import ScheduledJobSpec
from merp_operator import cycles, desired, parameters, template
from merp_operator.desired import Defaults
from merp_operator.observe import Observed

_FIELDS: Final = frozenset({"timeZone", "intervalSeconds", "at", "startAt", "endAt", "calendar", "dst"})
_REASONS: Final = {
    "timeZone": ConditionReason.INVALID_TIME_ZONE,
    "calendar": ConditionReason.INVALID_CALENDAR,
}


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
    found = _schedule_problem(observed, spec, defaults) or _task_problem(observed, spec, defaults)
    if found is not None:
        return found
    path = cycles.cycles(observed.graph, observed.name)
    if path is not None:
        return Problem(
            ConditionReason.DEPENDENCY_CYCLE,
            f"dependsOn: {cycles.path_text(path)}: they would wait for each other: take one of them out",
        )
    try:
        desired.job_spec(observed, spec, defaults)
    except template.TemplateError as error:
        return Problem(ConditionReason.INVALID_TEMPLATE, str(error))
    if desired.is_left_over(observed):
        return Problem(
            ConditionReason.CANNOT_APPLY,
            f"metadata.name: the CronJob of the ScheduledJob that was called {observed.name} before is still being "
            "deleted; what is due meanwhile the operator starts",
        )
    if observed.cron_job is not None and not observed.owns(observed.cron_job):
        return Problem(
            ConditionReason.CRONJOB_EXISTS,
            f"metadata.name: a CronJob {observed.name} exists and is not ours: rename this ScheduledJob or delete it",
        )
    return None


def _schedule_problem(observed: Observed, spec: ScheduledJobSpec, defaults: Defaults) -> Problem | None:
    if spec.schedule is None:
        return None
    text = observed.schedule_problem
    if text:
        field = text.partition(":")[0]
        reason = _REASONS.get(field, ConditionReason.INVALID_SCHEDULE)
        # What is not said of another field is said of a field of the expression.
        where = "schedule" if field in _FIELDS else "schedule.cron: "
        told = f".{text}" if field in _FIELDS else text.removeprefix("cron: ")
        return Problem(reason, f"{where}{told}")
    if schedule.never_fires(spec.schedule, defaults.time_zone, observed.created):
        return Problem(
            ConditionReason.NEVER_FIRES,
            f"schedule.cron: {spec.schedule.cron!r} matches no moment of the next five years",
        )
    return None


def _task_problem(observed: Observed, spec: ScheduledJobSpec, defaults: Defaults) -> Problem | None:
    unknown = parameters.unknown_task(observed.namespace, spec, defaults)
    if unknown is not None:
        return Problem(ConditionReason.UNKNOWN_TASK, unknown)
    wrong = parameters.wrong(observed.namespace, spec, spec.task, defaults, "task.")
    return None if wrong is None else Problem(ConditionReason.INVALID_PARAMETERS, wrong)
