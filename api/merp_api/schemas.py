"""The bodies of the REST API: the seed's field names, and what was added beside them."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, ConfigDict, Field, PlainSerializer

from merp_api.job_parts import CalendarBody, DependencyBody, DependencyPolicyBody, MissedBody, PoolBody
from merp_api.models import Body, View
from merp_crds.common import ObjectName
from merp_crds.displayname import check_display_name
from merp_crds.names import MAX_NAME_LENGTH
from merp_crds.parameters import shallow
from merp_crds.scheduledjob import MAX_INT32, ConcurrencyPolicy, Priority

# As Kubernetes has it for a ConfigMap.
TEMPLATE_NAME: Final = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"


class JobType(StrEnum):
    """What makes a job due."""

    CRON = "cron"
    INTERVAL = "interval"
    DATE = "date"
    DEPENDENCY = "dependency"
    MANUAL = "manual"


class JobStatus(StrEnum):
    """What a job is doing, in the seed's manner."""

    ACTIVE = "active"
    PAUSED = "paused"
    COMPLETED = "completed"
    INVALID = "invalid"


class CatchUp(StrEnum):
    """What is run of the due times of a pause."""

    LATEST = "Latest"
    ALL = "All"


class JobBody(Body):
    """A job as clients write it. `null` means the default."""

    id: Annotated[
        ObjectName | None,
        Field(max_length=MAX_NAME_LENGTH, description="Name of the ScheduledJob. Default: made of func."),
    ] = None
    name: Annotated[
        str,
        Field(min_length=1, max_length=100, description="Name for people, in any language."),
        AfterValidator(check_display_name),
    ]
    job_type: Annotated[JobType, Field(strict=False, description="What makes it due.")]
    func: Annotated[
        Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=100)] | None,
        Field(description="Name of a task. null only for a job that already runs an image without a task."),
    ]
    cron_expression: Annotated[
        Annotated[str, Field(min_length=1, max_length=100)] | None,
        Field(description="Five cron fields, with job_type cron."),
    ] = None
    interval_seconds: Annotated[
        Annotated[int, Field(ge=1, le=MAX_INT32)] | None, Field(description="Seconds, with job_type interval.")
    ] = None
    run_date: Annotated[
        str | None,
        Field(description="RFC 3339, with job_type date; without an offset it is in the job's time zone."),
    ] = None
    args: Annotated[list[Any] | None, Field(max_length=256, description="Positional arguments.")] = None
    kwargs: Annotated[dict[str, Any] | None, Field(description="Keyword arguments; no passwords.")] = None
    description: Annotated[Annotated[str, Field(max_length=4096)] | None, Field(description="What it is for.")] = None
    time_zone: Annotated[
        Annotated[str, Field(max_length=64)] | None, Field(description="IANA name. Default: the installation's.")
    ] = None
    priority: Annotated[Priority | None, Field(strict=False, description="Default: normal.")] = None
    depends_on: Annotated[
        list[DependencyBody] | None, Field(max_length=32, description="Upstream jobs to wait for.")
    ] = None
    concurrency_policy: Annotated[
        ConcurrencyPolicy | None, Field(strict=False, description="While a run is unfinished. Default: Forbid.")
    ] = None
    timeout_seconds: Annotated[
        Annotated[int, Field(ge=1, le=MAX_INT32)] | None, Field(description="Seconds a run may take. Default: any.")
    ] = None
    retry_limit: Annotated[
        Annotated[int, Field(ge=0, le=100)] | None, Field(description="Attempts after the first. Default: 0.")
    ] = None
    image: Annotated[
        Annotated[str, Field(min_length=1, max_length=512)] | None,
        Field(description="Image with the task. Default: the installation's."),
    ] = None
    template: Annotated[
        Annotated[str, Field(min_length=1, max_length=253, pattern=TEMPLATE_NAME)] | None,
        Field(description="Name of an approved template, which becomes the job's own. Default: none."),
    ] = None
    pool: Annotated[PoolBody | None, Field(description="Room that a run needs. Default: none.")] = None
    dependency_policy: Annotated[
        DependencyPolicyBody | None, Field(description="How depends_on is combined. Default: all of them, for a day.")
    ] = None
    max_queued: Annotated[
        Annotated[int, Field(ge=1, le=1000)] | None,
        Field(description="With concurrency_policy Queue: how many may wait. Default: 100."),
    ] = None
    no_retry_exit_codes: Annotated[
        list[Annotated[int, Field(ge=1, le=255)]] | None,
        Field(max_length=255, description="Exit codes that end a run at once. Default: 2 with a task, else none."),
    ] = None
    pending_timeout_seconds: Annotated[
        Annotated[int, Field(ge=1, le=MAX_INT32)] | None,
        Field(description="Seconds after which a pod that cannot start ends the run. Default: 900."),
    ] = None
    missed: Annotated[
        MissedBody | None, Field(description="What is caught up after an outage. Default: the newest of a day.")
    ] = None
    calendar: Annotated[CalendarBody | None, Field(description="Working days that count. Default: every day.")] = None
    connections: Annotated[
        list[ObjectName] | None,
        Field(max_length=32, description="Secrets labelled as connections that the task may use. Default: none."),
    ] = None


def _optional(schema: dict[str, Any]) -> None:
    """The schema of a merge patch: nothing is needed, and null is the default of what is not."""
    schema.pop("required", None)


class JobPatch(JobBody):
    """A merge patch (RFC 7396) of a job: what is left out stays, null is the default, objects are merged."""

    model_config = ConfigDict(json_schema_extra=_optional)


class PausedView(View):
    """An operational pause: who, when, why, until when. What nobody wrote is null."""

    by: str | None
    at: str | None
    reason: str | None
    until: str | None


class DiagnosisView(View):
    """What a reason means, in the language that was asked for."""

    sentence: Annotated[str, Field(description="What happened.")]
    remedy: Annotated[str | None, Field(description="What to do; null where nothing is to be done.")]


class JobView(View):
    """A job: the seed's fields first. Times have the offset of the job's zone."""

    id: str
    name: str
    job_type: JobType
    func: str | None
    cron_expression: str | None
    interval_seconds: int | None
    run_date: datetime | None
    args: list[Any]
    kwargs: dict[str, Any]
    status: JobStatus
    next_run_time: datetime | None
    description: str | None
    created_at: datetime
    updated_at: datetime
    created_by: str
    time_zone: str | None
    priority: str
    depends_on: list[dict[str, Any]]
    concurrency_policy: str
    timeout_seconds: int | None
    retry_limit: int
    image: str | None
    template: Annotated[
        str | None, Field(description="The approved template that its own was copied from, if it is that still.")
    ]
    pool: dict[str, Any] | None
    dependency_policy: dict[str, Any]
    max_queued: int
    no_retry_exit_codes: list[int] | None
    pending_timeout_seconds: int
    missed: dict[str, Any]
    calendar: dict[str, Any] | None
    connections: list[str]
    namespace: str
    uid: Annotated[str, Field(description="Of this very job: one made later under its id has another.")]
    paused: PausedView | None
    suspended: Annotated[bool, Field(description="Whether the manifest itself declares a pause.")]
    message: Annotated[str | None, Field(description="What is wrong with it, if its status is invalid.")]
    reason: Annotated[str | None, Field(description="The same in one word.")]
    diagnosis: Annotated[DiagnosisView | None, Field(description="What that means and what to do.")] = None


class CatchUpView(View):
    """What was asked for when a pause ended."""

    run: Annotated[str, Field(description="Name of the JobRun: `kubectl get jobrun` shows how far it has come.")]
    due_times: Annotated[int, Field(description="How many due times of the pause it is for.")]


class ResumedJobView(JobView):
    """A job that was resumed, and what catches up with its pause."""

    catch_up: CatchUpView


# Fields of the answer that are no fields of a request: a client may send back what it got.
READ_ONLY: Final = frozenset(ResumedJobView.model_fields) - frozenset(JobBody.model_fields)


class JobList(View):
    """A page of jobs. `next_cursor` is null on the last one."""

    items: list[JobView]
    next_cursor: str | None


class ExecutionBody(Body):
    """A run by hand. What is left out is as the job has it."""

    args: Annotated[list[Any] | None, Field(max_length=256, description="Positional arguments.")] = None
    kwargs: Annotated[dict[str, Any] | None, Field(description="Keyword arguments.")] = None
    due_time: Annotated[
        str | None,
        Field(
            description="The moment the run stands for, RFC 3339; without an offset in the job's zone. Default: now."
        ),
    ] = None
    concurrency_policy: Annotated[
        Literal["Allow"] | None, Field(description="Allow: run beside an unfinished run.")
    ] = None


class RetryBody(Body):
    """A run once more. Everything else is as it was."""

    concurrency_policy: Annotated[
        Literal["Allow"] | None, Field(description="Allow: run beside an unfinished run.")
    ] = None


class PauseBody(Body):
    """Why and until when."""

    reason: Annotated[Annotated[str, Field(max_length=1024)] | None, Field(description="For people.")] = None
    until: Annotated[
        str | None, Field(description="RFC 3339; without an offset in the job's zone. Default: until it is resumed.")
    ] = None


class ExecutionView(View):
    """A run, or a due time that never became one. Times are UTC."""

    id: str
    job_id: Annotated[str, Field(description="Id of the job in this API.")]
    job_uid: Annotated[str, Field(description="The job's own, in case another job got its id later.")]
    job_name: Annotated[str, Field(description="The job's name for people, as it is now.")]
    namespace: str
    run_name: Annotated[str, Field(description="Name of the Kubernetes Job.")]
    status: str
    trigger: str
    reason: str | None = None
    diagnosis: Annotated[DiagnosisView | None, Field(description="What the reason means and what to do.")] = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    due_time: datetime | None = None
    due_time_end: Annotated[
        datetime | None, Field(description="The last one, where this stands for several due times.")
    ] = None
    count: int = 1
    attempts: int = 0
    exit_code: int | None = None
    waited_seconds: float | None = None
    result: Annotated[Any, Field(description="What the task returned.")] = None
    error: str | None = None
    log_tail: str | None = None
    # Cut in answers alone, which may not be as deep as a manifest: a retry takes them as they were.
    params: Annotated[dict[str, Any] | None, PlainSerializer(shallow, return_type=dict[str, Any] | None)] = None
    node: str | None = None
    image: str | None = None
    created_by: str | None = None
    opened_by: list[str] | None = None
    recorded: Annotated[bool, Field(description="Whether it is in the records yet.")] = True


class ExecutionList(View):
    """A page of executions, newest start first. `next_cursor` is null on the last one."""

    items: list[ExecutionView]
    next_cursor: str | None


class FieldErrorView(View):
    """One wrong field."""

    model_config = ConfigDict(populate_by_name=True)

    field: str
    code: str
    detail: str
    place: Annotated[Literal["body", "query", "path", "header"], Field(alias="in")]
    pointer: str | None = None


class ProblemView(View):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[FieldErrorView] | None = None


class HealthView(View):
    """For probes and people."""

    status: str
    api_server: str | None = None
    cache: str | None = None
    records: str | None = None
