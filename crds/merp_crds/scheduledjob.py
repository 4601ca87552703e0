"""ScheduledJob: what the user declares, and what the operator says of it.

The order of the fields is the order of `kubectl explain`. Every description gives unit, default and an example.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import Field

from merp_crds.common import (
    LABEL_LENGTH,
    MAX_SUBDOMAIN,
    AnyJson,
    Condition,
    Duration,
    Model,
    ObjectName,
    Time,
    Untyped,
)
from merp_crds.displayname import CONTROL_CHARACTER, NOTHING_VISIBLE
from merp_crds.reasons import Reason, RunState, Trigger, Verdict

# The largest number that a Job's own int32 fields hold.
MAX_INT32: Final = 2_147_483_647
# 64 KiB: a pod annotation carries the task, and all annotations of an object together have 256 KiB.
MAX_TASK_BYTES: Final = 65_536
RECENT_VERDICTS: Final = 20
MAX_LISTED_RUNS: Final = 100
MAX_SPANS: Final = 32
# A pool lists who is in it, and an object must stay small.
MAX_SLOTS: Final = 1_000


def rule(expression: str, message: str) -> dict[str, str]:
    """A CEL rule, as the schema carries it."""
    return {"rule": expression, "message": message}


def rules(*entries: dict[str, str]) -> dict[str, Any]:
    """CEL rules, as `json_schema_extra` takes them."""
    return {"x-kubernetes-validations": list(entries)}


class OnHoliday(StrEnum):
    """What becomes of a due time on a day that is no working day."""

    SKIP = "Skip"
    NEXT = "Next"
    PREVIOUS = "Previous"


class Dst(StrEnum):
    """What a repeated or a skipped local hour does to a due time."""

    AS_CLUSTER = "AsCluster"
    ONCE = "Once"


class MissedPolicy(StrEnum):
    """What is caught up after an outage."""

    LATEST = "Latest"
    SKIP = "Skip"
    ALL = "All"


class Priority(StrEnum):
    """Whose turn it is when room is short."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class ConcurrencyPolicy(StrEnum):
    """What happens to a due time while a run of the same job is unfinished."""

    FORBID = "Forbid"
    ALLOW = "Allow"
    REPLACE = "Replace"
    QUEUE = "Queue"


class DependencyCondition(StrEnum):
    """How an upstream run has to end."""

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    COMPLETED = "Completed"


class Period(StrEnum):
    """A calendar period of the job's zone."""

    HOUR = "Hour"
    DAY = "Day"
    WEEK = "Week"
    MONTH = "Month"


class Require(StrEnum):
    """How many of the dependencies must be met."""

    ALL = "All"
    ANY = "Any"


class OnTimeout(StrEnum):
    """What becomes of a run whose dependencies were not met in time."""

    SKIP = "Skip"
    FAIL = "Fail"
    RUN = "Run"


class OnPoolTimeout(StrEnum):
    """What becomes of a run that had no room in time."""

    SKIP = "Skip"
    FAIL = "Fail"


class CalendarReference(Model):
    """Which working days count."""

    name: Annotated[ObjectName, Field(description="Name of a BusinessCalendar, for example cn.")]
    on_holiday: Annotated[
        OnHoliday,
        Field(
            default=OnHoliday.SKIP,
            description="A due time on a day off is skipped (Skip, the default), or moved to the Next or Previous "
            "working day.",
        ),
    ]


class Schedule(Model):
    """When runs are due: exactly one of cron, intervalSeconds and at."""

    cron: Annotated[
        str | None,
        Field(
            default=None,
            min_length=1,
            max_length=100,
            # A zone inside the string crashes the API server's own parser in one spelling, so no schedule has one.
            json_schema_extra=rules(
                rule("!self.contains('TZ')", "a zone does not belong in the schedule: put it into schedule.timeZone"),
                rule(
                    "!self.startsWith('@every')",
                    "@every drifts from start to start: use schedule.intervalSeconds",
                ),
            ),
            description="Five cron fields as Kubernetes' CronJob reads them: minute hour day-of-month month "
            "day-of-week; or @hourly, @daily, @weekly, @monthly, @yearly. Example: '0 0 1 * *', midnight on the "
            "first of each month.",
        ),
    ]
    time_zone: Annotated[
        str | None,
        Field(
            default=None,
            min_length=1,
            max_length=64,
            json_schema_extra=rules(
                rule("self != 'Local'", "Local is whatever zone a server happens to have: write an IANA name")
            ),
            description="IANA name of the zone the schedule is written in, with its letter case, for example "
            "Asia/Shanghai. Default: the installation's (UTC).",
        ),
    ]
    interval_seconds: Annotated[
        int | None,
        Field(
            default=None,
            ge=1,
            le=MAX_INT32,
            description="Seconds from one due time to the next, counted from startAt, else from "
            "1970-01-01T00:00:00Z. Example: 45.",
        ),
    ]
    at: Annotated[
        Time | None,
        Field(default=None, description="One due time, RFC 3339 with offset. Example: 2026-12-01T08:00:00+08:00."),
    ]
    start_at: Annotated[
        Time | None,
        Field(default=None, description="No run is due before, RFC 3339. Default: no limit."),
    ]
    end_at: Annotated[
        Time | None,
        Field(default=None, description="No run is due after; a due time equal to it counts. Default: no limit."),
    ]
    calendar: Annotated[
        CalendarReference | None, Field(default=None, description="Working days that count. Default: every day.")
    ]
    dst: Annotated[
        Dst,
        Field(
            default=Dst.AS_CLUSTER,
            description="AsCluster (the default): as the CronJob controller does it, twice in a repeated hour, not "
            "at all in a skipped one. Once: once in a repeated hour, and at the end of a skipped one.",
        ),
    ]


class Missed(Model):
    """What is caught up of the due times that passed while the cluster or the operator was away."""

    policy: Annotated[
        MissedPolicy,
        Field(
            default=MissedPolicy.LATEST,
            description="Latest (the default): the newest one within maxAge; All: each, in order, at most maxCount; "
            "Skip: none. What is not caught up is recorded as missed.",
        ),
    ]
    max_age: Annotated[
        Duration, Field(default="24h", description="How late a due time may still be started. Default: 24h.")
    ]
    max_count: Annotated[
        int,
        Field(default=100, ge=1, le=10_000, description="With All: how many runs one outage may bring. Default: 100."),
    ]


class Task(Model):
    """The function to call, and what with. At most 64 KiB as JSON."""

    func: Annotated[
        str,
        Field(
            pattern=r"^[a-z][a-z0-9_]*$",
            max_length=100,
            description="Name of a task that the image registers, for example inventory_check.",
        ),
    ]
    args: Annotated[
        list[AnyJson],
        Field(
            default_factory=list,
            max_length=256,
            description='Positional arguments, any JSON. Default: none. Example: ["all"].',
        ),
    ]
    kwargs: Annotated[
        dict[str, Any],
        Field(
            default_factory=dict,
            json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
            description="Keyword arguments, any JSON; visible to whoever may read the object, so no passwords. "
            "Default: none. Example: {detailed: true}.",
        ),
    ]


def _pod_list(description: str, key: str | None = None) -> Any:
    extra: dict[str, Any] = {}
    if key is not None:
        extra = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}
    return Field(default_factory=list, max_length=128, json_schema_extra=extra, description=description)


class NamedEntry(Model):
    """An entry of a pod's list that is merged by its name; the rest of it is as Kubernetes has it."""

    name: Annotated[str, Field(max_length=MAX_SUBDOMAIN, description="The entry's name.")]


class Template(Model):
    """The pod that a run is."""

    image: Annotated[
        str | None,
        Field(
            default=None,
            min_length=1,
            max_length=512,
            description="Image of the container. Default: the installation's image of predefined tasks. Without "
            "`task` any image works; its exit code is the verdict.",
        ),
    ]
    image_pull_policy: Annotated[
        str | None,
        Field(
            default=None,
            pattern="^(Always|IfNotPresent|Never)$",
            max_length=12,
            description="As in a pod. Default: IfNotPresent.",
        ),
    ]
    image_pull_secrets: Annotated[list[Untyped], _pod_list("As in a pod. Default: none.")]
    command: Annotated[
        list[Annotated[str, Field(max_length=4096)]],
        Field(default_factory=list, max_length=64, description="As in a container. Not together with `task`."),
    ]
    args: Annotated[
        list[Annotated[str, Field(max_length=4096)]],
        Field(default_factory=list, max_length=256, description="As in a container. Not together with `task`."),
    ]
    env: Annotated[
        list[Untyped], _pod_list("Environment as in a container; secrets by valueFrom.secretKeyRef. Default: none.")
    ]
    env_from: Annotated[list[Untyped], _pod_list("As in a container. Default: none.")]
    resources: Annotated[
        Untyped, Field(default_factory=dict, description="Requests and limits as in a container. Default: none.")
    ]
    service_account_name: Annotated[
        str | None,
        Field(
            default=None,
            max_length=MAX_SUBDOMAIN,
            description="Account of the pod. Default: the namespace's default account, without a token mounted.",
        ),
    ]
    volumes: Annotated[list[Untyped], _pod_list("As in a pod. Default: none.")]
    volume_mounts: Annotated[list[Untyped], _pod_list("As in a container. Default: none.")]
    node_selector: Annotated[
        dict[str, Annotated[str, Field(max_length=LABEL_LENGTH)]],
        Field(default_factory=dict, max_length=32, description="As in a pod. Default: none."),
    ]
    tolerations: Annotated[list[Untyped], _pod_list("As in a pod. Default: none.")]
    pod_template: Annotated[
        Untyped | None,
        Field(
            default=None,
            description="Anything else of a pod template (metadata and spec), merged over what is rendered: "
            "containers, initContainers, volumes and env by name, volumeMounts by path; the rest is replaced. "
            "The task's container is named `task`.",
        ),
    ]


class PoolReference(Model):
    """The room that a run takes."""

    name: Annotated[ObjectName, Field(description="Name of a JobPool of the same namespace, for example nightly.")]
    slots: Annotated[
        int, Field(default=1, ge=1, le=MAX_SLOTS, description="How many of its slots a run takes. Default: 1.")
    ]
    timeout_seconds: Annotated[
        int | None,
        Field(
            default=None,
            ge=1,
            le=MAX_INT32,
            description="Seconds that a run waits for room, counted from when it waits for nothing else. Default: no "
            "limit. Example: 3600.",
        ),
    ]
    on_timeout: Annotated[
        OnPoolTimeout,
        Field(default=OnPoolTimeout.SKIP, description="After that: Skip (the default), or Fail."),
    ]


class Window(Model):
    """Which runs of the upstream count: exactly one of the three."""

    since_last_run: Annotated[
        bool | None,
        Field(default=None, description="true: a run that has not opened this gate yet. The default window."),
    ]
    within: Annotated[
        Duration | None,
        Field(default=None, description="A run whose due time is at most this long before this run's, e.g. 24h."),
    ]
    period: Annotated[
        Period | None,
        Field(default=None, description="A run of the same Hour, Day, Week (from Monday) or Month of timeZone."),
    ]


class Dependency(Model):
    """One upstream job of the same namespace."""

    name: Annotated[
        ObjectName, Field(max_length=36, description="Name of the upstream ScheduledJob, for example data-sync.")
    ]
    condition: Annotated[
        DependencyCondition,
        Field(
            default=DependencyCondition.SUCCEEDED,
            description="How its run has to end: Succeeded (the default), Failed, or Completed, which is either.",
        ),
    ]
    window: Annotated[
        Window | None, Field(default=None, description="Which of its runs count. Default: {sinceLastRun: true}.")
    ]
    latest: Annotated[
        bool,
        Field(default=False, description="true: the newest run in the window must meet the condition. Default: false."),
    ]


class DependencyPolicy(Model):
    """How dependencies are combined, and how long they are waited for."""

    require: Annotated[Require, Field(default=Require.ALL, description="All (the default) or Any of the dependencies.")]
    timeout_seconds: Annotated[
        int,
        Field(
            default=86_400,
            ge=1,
            le=MAX_INT32,
            description="Seconds that a run waits for its dependencies. Default: 86400.",
        ),
    ]
    on_timeout: Annotated[
        OnTimeout,
        Field(default=OnTimeout.SKIP, description="After that: Skip (the default), Fail, or Run all the same."),
    ]


class Retry(Model):
    """Attempts after a failed one; the back-off is the Job controller's: 10 s, doubling, up to 10 min."""

    limit: Annotated[int, Field(default=0, ge=0, le=100, description="Attempts after the first. Default: 0.")]
    no_retry_exit_codes: Annotated[
        list[Annotated[int, Field(ge=1, le=255)]] | None,
        Field(
            default=None,
            max_length=255,
            description="Exit codes that end the run at once, 1 to 255. Default: [2] with `task`, else none.",
        ),
    ]


class History(Model):
    """How much of the past is kept."""

    successful: Annotated[
        int, Field(default=3, ge=0, le=100, description="Finished Jobs that succeeded to keep. Default: 3.")
    ]
    failed: Annotated[int, Field(default=5, ge=0, le=100, description="Other finished Jobs to keep. Default: 5.")]
    record_days: Annotated[
        int, Field(default=365, ge=1, le=36_500, description="Days to keep execution records. Default: 365.")
    ]


class ScheduledJobSpec(Model):
    """What the user declares."""

    display_name: Annotated[
        str | None,
        Field(
            default=None,
            max_length=100,
            description="Name for people, any language, for example 库存盘点任务. Default: the object's name.",
            json_schema_extra=rules(
                rule(r"!self.matches(r'[\p{Cc}\p{Zl}\p{Zp}]')", f"displayName {CONTROL_CHARACTER}"),
                rule(r"self == '' || self.matches(r'[^\p{C}\p{Z}]')", f"displayName {NOTHING_VISIBLE}"),
            ),
        ),
    ]
    description: Annotated[
        str | None, Field(default=None, max_length=4096, description="What it is for. Default: empty.")
    ]
    schedule: Annotated[
        Schedule | None,
        Field(
            default=None,
            description="When runs are due. Left out: by hand only or, with dependsOn, each time these are newly met.",
            json_schema_extra=rules(
                rule(
                    "[has(self.cron), has(self.intervalSeconds), has(self.at)].filter(x, x).size() == 1",
                    "exactly one of cron, intervalSeconds and at is needed",
                ),
                rule(
                    "!has(self.startAt) || !has(self.endAt) || self.startAt <= self.endAt",
                    "endAt is before startAt",
                ),
            ),
        ),
    ]
    missed: Annotated[
        Missed | None, Field(default=None, description="What is caught up after an outage. Default: Latest, 24h, 100.")
    ]
    task: Annotated[
        Task | None,
        Field(default=None, description="The Python function to call. Left out: template.image runs as it is."),
    ]
    template: Annotated[Template | None, Field(default=None, description="The pod that a run is.")]
    connections: Annotated[
        list[ObjectName],
        Field(
            default_factory=list,
            max_length=32,
            json_schema_extra={"x-kubernetes-list-type": "set"},
            description="Secrets of this namespace, labelled scheduler.merp.io/connection=true, that the task may use "
            "by name; mounted at /etc/merp-connections. Default: none. Example: [erp, warehouse].",
        ),
    ]
    priority: Annotated[
        Priority,
        Field(default=Priority.NORMAL, description="high, normal (the default) or low: whose turn it is first."),
    ]
    priority_class_name: Annotated[
        str | None,
        Field(
            default=None,
            max_length=MAX_SUBDOMAIN,
            description="PriorityClass of the pod instead of the one that priority stands for.",
        ),
    ]
    pool: Annotated[PoolReference | None, Field(default=None, description="Room that a run needs. Default: none.")]
    depends_on: Annotated[
        list[Dependency],
        Field(
            default_factory=list,
            max_length=32,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
            description="Upstream jobs whose runs a run of this one waits for. Default: none.",
        ),
    ]
    dependency_policy: Annotated[
        DependencyPolicy | None, Field(default=None, description="How dependencies are combined and waited for.")
    ]
    concurrency_policy: Annotated[
        ConcurrencyPolicy,
        Field(
            default=ConcurrencyPolicy.FORBID,
            description="While a run is unfinished the next due time is skipped (Forbid, the default), runs beside "
            "it (Allow), replaces it (Replace), or waits its turn (Queue).",
        ),
    ]
    max_queued: Annotated[
        int,
        Field(default=100, ge=1, le=1000, description="With Queue: how many may wait; more are skipped. Default: 100."),
    ]
    retry: Annotated[Retry | None, Field(default=None, description="Attempts after a failed one. Default: none.")]
    timeout_seconds: Annotated[
        int | None,
        Field(
            default=None,
            ge=1,
            le=MAX_INT32,
            description="Seconds that a run may take over all its attempts, counted from its release, image pull "
            "included. Default: no limit.",
        ),
    ]
    pending_timeout_seconds: Annotated[
        int,
        Field(
            default=900,
            ge=1,
            le=MAX_INT32,
            description="Seconds after which a pod that cannot start ends the run with the reason. Default: 900.",
        ),
    ]
    suspend: Annotated[
        bool, Field(default=False, description="true: nothing becomes due. The declared pause. Default: false.")
    ]
    history: Annotated[History | None, Field(default=None, description="How much is kept. Default: 3, 5, 365 days.")]


SPEC_RULES: Final = rules(
    rule(
        "has(self.task) || (has(self.template) && (has(self.template.image) || has(self.template.podTemplate)))",
        "say what to run: task.func, or template.image",
    ),
    rule(
        "!has(self.task) || !has(self.template) || (!has(self.template.command) && !has(self.template.args))",
        "template.command and template.args do not go with task: the runner is the command",
    ),
)


class RunEntry(Model):
    """A run without a verdict."""

    run: Annotated[str, Field(max_length=LABEL_LENGTH, description="The run's name, which is its Job's.")]
    due_time: Annotated[Time | None, Field(default=None, description="The moment it is for, UTC.")]
    trigger: Annotated[Trigger, Field(description="What made it.")]
    state: Annotated[RunState, Field(description="waiting or running.")]
    since: Annotated[Time | None, Field(default=None, description="Since when, UTC.")]
    message: Annotated[
        str | None, Field(default=None, max_length=1024, description="What it waits for, or what holds it up.")
    ]


class VerdictEntry(Model):
    """How one due time ended."""

    run: Annotated[str, Field(max_length=LABEL_LENGTH, description="The run's name, which is its Job's.")]
    due_time: Annotated[Time | None, Field(default=None, description="The moment it was for, UTC.")]
    trigger: Annotated[Trigger, Field(description="What made it.")]
    verdict: Annotated[Verdict, Field(description="How it ended.")]
    reason: Annotated[Reason, Field(description="Why it ended so.")]
    message: Annotated[str | None, Field(default=None, max_length=1024, description="The same for people.")]
    start_time: Annotated[Time | None, Field(default=None, description="When it was released, UTC.")]
    end_time: Annotated[Time, Field(description="When it ended, UTC.")]


class Span(Model):
    """Due times from the first to the last, both included."""

    first: Annotated[Time, Field(description="The first due time, UTC.")]
    last: Annotated[Time, Field(description="The last due time, UTC.")]


class Accounted(Model):
    """Which due times have a run or a verdict."""

    until: Annotated[Time, Field(description="Every due time up to here is accounted for, UTC.")]
    hash: Annotated[str, Field(max_length=64, description="Of schedule, zone, calendar and suspension.")]
    beyond: Annotated[
        list[Span],
        Field(
            default_factory=list,
            max_length=MAX_SPANS,
            description="Later ones that are accounted for too, while an older one is still to run.",
        ),
    ]

    def covers(self, due_time: datetime) -> bool:
        """Whether a due time is accounted for."""
        return due_time <= self.until or any(span.first <= due_time <= span.last for span in self.beyond)


class Unrecorded(Model):
    """Verdicts of due times that never became a run, until the database has them."""

    first: Annotated[Time, Field(description="First due time of the range, UTC.")]
    last: Annotated[Time, Field(description="Last due time of the range, UTC.")]
    count: Annotated[int, Field(ge=1, description="How many due times there are in it.")]
    verdict: Annotated[Verdict, Field(description="How they ended.")]
    reason: Annotated[Reason, Field(description="Why.")]
    at: Annotated[Time, Field(description="When that was decided, UTC.")]


class Opened(Model):
    """Which upstream run opened a gate of this job."""

    upstream: Annotated[str, Field(max_length=36, description="Name of the upstream job.")]
    run: Annotated[str, Field(max_length=LABEL_LENGTH, description="Name of its run.")]
    opened: Annotated[str, Field(max_length=LABEL_LENGTH, description="Name of the run of this job it opened.")]


class ScheduledJobStatus(Model):
    """What the operator says of it."""

    observed_generation: Annotated[
        int | None, Field(default=None, ge=0, description="The metadata.generation this was computed from.")
    ]
    conditions: Annotated[
        list[Condition],
        Field(
            default_factory=list,
            max_length=16,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
            description="Ready: the definition is good. Waiting, Paused, LastRunSucceeded, OnSchedule.",
        ),
    ]
    schedule: Annotated[
        str | None, Field(default=None, max_length=128, description="The schedule in a word, for the table.")
    ]
    time_zone: Annotated[
        str | None, Field(default=None, max_length=64, description="The zone in force, for example UTC.")
    ]
    next_run_time: Annotated[
        Time | None, Field(default=None, description="The next due time, UTC; none while paused or when it ended.")
    ]
    last_schedule_time: Annotated[
        Time | None, Field(default=None, description="The newest due time that was started, UTC.")
    ]
    last_success_time: Annotated[Time | None, Field(default=None, description="When a run last ended in success, UTC.")]
    active: Annotated[
        list[RunEntry],
        Field(
            default_factory=list,
            max_length=MAX_LISTED_RUNS,
            description="Runs without a verdict, oldest first; the first 100.",
        ),
    ]
    active_count: Annotated[int, Field(default=0, ge=0, description="How many runs are without a verdict.")]
    recent: Annotated[
        list[VerdictEntry],
        Field(default_factory=list, max_length=RECENT_VERDICTS, description="The last 20 verdicts, newest first."),
    ]
    newest: Annotated[
        dict[str, VerdictEntry],
        Field(default_factory=dict, max_length=8, description="The newest run of each verdict."),
    ]
    opened: Annotated[
        list[Opened],
        Field(default_factory=list, max_length=512, description="Upstream runs that opened gates of this job."),
    ]
    unrecorded: Annotated[
        list[Unrecorded],
        Field(
            default_factory=list,
            max_length=512,
            description="Verdicts without a run that the database does not have yet.",
        ),
    ]
    accounted: Annotated[
        Accounted | None, Field(default=None, description="Up to when each due time has a run or a verdict.")
    ]
    clock: Annotated[
        str | None,
        Field(
            default=None,
            max_length=16,
            description="Which clock starts it: Native (a CronJob), Operator, or None for a job without a schedule.",
        ),
    ]
