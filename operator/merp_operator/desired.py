"""What should exist for a ScheduledJob: its CronJob, and the Jobs of its requests. Pure: objects in, objects out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from merp_crds import names, schedule
from merp_crds.catalogue import Catalogue
from merp_crds.common import rfc3339
from merp_crds.reasons import Trigger
from merp_crds.scheduledjob import Accounted, ConcurrencyPolicy, Retry, Schedule, ScheduledJobSpec
from merp_operator import gated, outcome, pause, template
from merp_operator.accounting import STARTING_DEADLINE, Start
from merp_operator.gated import is_gated
from merp_operator.observe import Json, Observed, Run
from merp_operator.situation import BY_CLOCK

# How long after its due time a Job is left alone at least: a clock that is behind must still find its name taken.
CLEANUP_AGE: Final = STARTING_DEADLINE + timedelta(seconds=60)
# The operator deletes Jobs itself, once they are recorded, so the native limits are never reached.
_NATIVE_HISTORY: Final = 10_000
# A CronJob knows no end, so on the last day before endAt the operator starts the runs.
_LAST_DAY: Final = timedelta(hours=24)
_INSTANT: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the installation decides for jobs that do not."""

    image: str
    time_zone: str
    catalogue: Catalogue | None = None
    # Environment of jobs on the default image, as a container has it.
    env: tuple[Json, ...] = ()
    # Of other images: by image for all namespaces, and by namespace and image.
    installed: Mapping[str, Catalogue] = field(default_factory=dict)
    published: Mapping[tuple[str, str], Catalogue] = field(default_factory=dict)

    def catalogue_of(self, namespace: str, image: str | None) -> Catalogue | None:
        """The tasks of a job's image (None: the default one); None where nobody has told them.

        What the installation says goes before what somebody says in a namespace.
        """
        wanted = self.image if image is None else image
        if wanted == self.image and self.catalogue is not None:
            return self.catalogue
        return self.installed.get(wanted) or self.published.get((namespace, wanted))


def zone(spec: ScheduledJobSpec, defaults: Defaults) -> str:
    """The zone in force."""
    chosen = spec.schedule.time_zone if spec.schedule is not None else None
    return chosen or defaults.time_zone


def native_clock(spec: ScheduledJobSpec, defaults: Defaults, now: datetime) -> tuple[str, str] | None:
    """Expression and zone of the CronJob that starts the runs from now on; None where the operator has to.

    A CronJob knows neither startAt nor endAt: it exists once its next match is not before the one, and until a day
    before the other.
    """
    timing = spec.schedule
    native = None if timing is None else schedule.native_cron(timing, defaults.time_zone)
    if timing is None or native is None:
        return None
    if timing.end_at is not None and timing.end_at - now < _LAST_DAY:
        return None
    if timing.start_at is not None and _last_match_before(timing, defaults, now, timing.start_at) is not None:
        return None
    return native


def clock_changes(spec: ScheduledJobSpec, defaults: Defaults, now: datetime) -> datetime | None:
    """When `native_clock` next gives another answer; None if never."""
    timing = spec.schedule
    if timing is None or schedule.native_cron(timing, defaults.time_zone) is None:
        return None
    moments: list[datetime | None] = []
    if timing.end_at is not None and timing.end_at - now >= _LAST_DAY:
        moments.append(timing.end_at - _LAST_DAY + _INSTANT)
    if timing.start_at is not None:
        moments.append(_last_match_before(timing, defaults, now, timing.start_at))
    return min((moment for moment in moments if moment is not None), default=None)


def _last_match_before(timing: Schedule, defaults: Defaults, now: datetime, bound: datetime) -> datetime | None:
    """The last moment in (now, bound) at which the CronJob would fire though nothing is due yet."""
    open_ended = timing.model_copy(update={"start_at": None, "end_at": None})
    return schedule.Timetable.of(open_ended, defaults.time_zone).newest(now, bound - _INSTANT)


def cron_job(observed: Observed, spec: ScheduledJobSpec, defaults: Defaults, now: datetime) -> Json | None:
    """The CronJob that starts the runs; None for a schedule that the native clock cannot carry, or for none."""
    native = native_clock(spec, defaults, now)
    if native is None:
        return None
    expression, time_zone = native
    # A run that waits at its gate counts as active natively, so there the gate keeps the policy.
    beside = spec.concurrency_policy is ConcurrencyPolicy.ALLOW or is_gated(spec)
    policy = ConcurrencyPolicy.ALLOW if beside else ConcurrencyPolicy.FORBID
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


def scheduled_run(observed: Observed, spec: ScheduledJobSpec, defaults: Defaults, start: Start) -> Json:
    """The Job of a due time, as the operator makes it: under the name that the native clock would give it."""
    name = names.run_name_for_due_time(observed.name, start.due_time)
    return run(observed, spec, defaults, name=name, trigger=start.trigger, due_time=start.due_time)


def run(
    observed: Observed,
    spec: ScheduledJobSpec,
    defaults: Defaults,
    *,
    name: str,
    trigger: Trigger,
    due_time: datetime,
) -> Json:
    """A Job that the operator makes."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": observed.namespace,
            "labels": labels(observed) | {names.LABEL_TRIGGER: trigger.value},
            "annotations": job_annotations(observed) | {names.ANNOTATION_DUE_TIME: rfc3339(due_time)},
            "ownerReferences": [new_owner(observed)],
        },
        "spec": job_spec(observed, spec, defaults, due_time=due_time, run_name=name, trigger=trigger),
    }


def job_spec(
    observed: Observed,
    spec: ScheduledJobSpec,
    defaults: Defaults,
    *,
    due_time: datetime | None = None,
    run_name: str | None = None,
    trigger: Trigger = Trigger.SCHEDULE,
) -> Json:
    """The spec of every Job of this ScheduledJob; with due time and name where the operator makes it.

    One that is gated is made suspended, and released by the operator; a backfill waits for nothing but room.

    Raises template.TemplateError.
    """
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
            run_name=run_name,
        ),
    }
    if gated.waits(spec, trigger):
        rendered["suspend"] = True
    if spec.timeout_seconds is not None:
        rendered["activeDeadlineSeconds"] = spec.timeout_seconds
    return rendered


def removable(
    observed: Observed, spec: ScheduledJobSpec, committed: frozenset[str], accounted: Accounted | None, now: datetime
) -> list[Run]:
    """Finished Jobs beyond what `history` keeps, oldest first.

    Only those whose records are committed, and whose due times are accounted for: before that the Job is what says that
    its due time was started.
    """
    keep = spec.history
    limits = {True: 3 if keep is None else keep.successful, False: 5 if keep is None else keep.failed}
    surplus: list[Run] = []
    for successful, limit in limits.items():
        group = [run for run in observed.runs if run.finished and outcome.succeeded(run) is successful]
        surplus += group[: max(0, len(group) - limit)]
    return sorted(
        (
            run
            for run in surplus
            if run.name in committed and _let_go(run, accounted) and now >= run.due_time + CLEANUP_AGE
        ),
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


def _let_go(run: Run, accounted: Accounted | None) -> bool:
    return run.trigger not in BY_CLOCK or accounted is None or accounted.covers(run.due_time)


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
    told = {names.ANNOTATION_GENERATION: str(observed.generation)}
    if observed.spec is not None and observed.spec.pool is not None:
        told[names.ANNOTATION_PRIORITY] = observed.spec.priority.value
    return told


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
    cron_job = observed.own_cron_job
    if cron_job is None:
        return _owner(observed)
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "name": observed.name,
        "uid": cron_job["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": False,
    }


def new_owner(observed: Observed) -> Json:
    """The owner of a Job that the operator makes.

    Not yet the CronJob's own: the native controller calls a Job odd that is its own and not in its books, and these
    cannot name the Job before it exists.
    """
    cron_job = observed.own_cron_job
    if cron_job is None or _goes(observed):
        return _owner(observed)
    return controller(observed) | {"controller": False}


def _goes(observed: Observed) -> bool:
    """Whether the CronJob is on its way out: stopped, and not by a pause. What it owns would go with it."""
    paused = names.ANNOTATION_PAUSED in observed.annotations or (observed.spec is not None and observed.spec.suspend)
    return bool(observed.cron_job is not None and observed.cron_job["spec"].get("suspend")) and not paused


def is_left_over(observed: Observed) -> bool:
    """Whether the CronJob is that of a ScheduledJob of this name that is gone: the garbage collector will take it."""
    if observed.cron_job is None or observed.owns(observed.cron_job):
        return False
    owners = observed.cron_job["metadata"].get("ownerReferences") or []
    return any(
        (owner.get("kind"), owner.get("name")) == ("ScheduledJob", observed.name) and owner.get("uid") != observed.uid
        for owner in owners
    )
