"""What clients ask and are told of what is to come, and of why a job does not run."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from merp_api.job_parts import CalendarBody
from merp_api.models import Body, View
from merp_api.schemas import DiagnosisView, ExecutionView, JobStatus, JobType
from merp_crds.scheduledjob import MAX_INT32


class PreviewBody(Body):
    """A schedule, as a job would have it."""

    job_type: Annotated[JobType, Field(strict=False, description="What makes it due.")]
    cron_expression: Annotated[
        Annotated[str, Field(min_length=1, max_length=100)] | None, Field(description="With job_type cron.")
    ] = None
    interval_seconds: Annotated[
        Annotated[int, Field(ge=1, le=MAX_INT32)] | None, Field(description="With job_type interval.")
    ] = None
    run_date: Annotated[str | None, Field(description="RFC 3339, with job_type date.")] = None
    time_zone: Annotated[
        Annotated[str, Field(max_length=64)] | None, Field(description="IANA name. Default: the installation's.")
    ] = None
    calendar: Annotated[CalendarBody | None, Field(description="Working days that count. Default: every day.")] = None
    start: Annotated[
        str | None, Field(description="From when; RFC 3339, without an offset in the schedule's zone. Default: now.")
    ] = None
    count: Annotated[int, Field(ge=1, le=100, description="How many due times, 1 to 100.")] = 10


class WarningView(View):
    """What a good schedule says that is often not meant."""

    field: str
    detail: str


class PreviewView(View):
    """What a schedule means. Times have the offset of its zone."""

    time_zone: Annotated[str | None, Field(description="The zone in force; null without a schedule.")]
    due_times: Annotated[list[datetime], Field(description="The next ones, oldest first.")]
    days_off: Annotated[
        list[datetime], Field(description="Times among these that the calendar takes away or moves elsewhere.")
    ]
    warnings: list[WarningView]


class PlanEntryView(View):
    """A due time to come, with the offset of the job's zone."""

    due_time: datetime
    job_id: str
    namespace: str
    job_name: Annotated[str, Field(description="The job's name for people.")]
    priority: str
    certain: Annotated[
        bool, Field(description="false: the calendar does not know that day, and only weekends count there.")
    ]


class LeftOutView(View):
    """A job with a schedule whose due times are not in the plan."""

    job_id: str
    namespace: str
    reason: Annotated[Literal["paused", "invalid"], Field(description="One word.")]
    detail: str


class PlanView(View):
    """A page of what becomes due, oldest first. `next_cursor` is null on the last one."""

    items: list[PlanEntryView]
    next_cursor: str | None
    left_out: Annotated[list[LeftOutView], Field(description="The first 100 of them.")]
    left_out_count: int


class Check(StrEnum):
    """What a run depends on, in the order in which it meets it."""

    DEFINITION = "definition"
    OPERATOR = "operator"
    PAUSED = "paused"
    SCHEDULE = "schedule"
    CALENDAR = "calendar"
    MISSED = "missed"
    OVERLAP = "overlap"
    DEPENDENCY = "dependency"
    POOL = "pool"
    WAITING = "waiting"
    POD = "pod"


class CheckView(View):
    """One thing that a run depends on."""

    check: Annotated[Check, Field(description="What is looked at.")]
    ok: Annotated[bool, Field(description="Whether it lets the job run.")]
    detail: Annotated[str, Field(description="The particulars, in English.")]
    diagnosis: Annotated[
        DiagnosisView | None, Field(description="If it is not ok: what that means and what to do.")
    ] = None


class ExplainView(View):
    """Why a job does not run."""

    job_id: str
    namespace: str
    status: JobStatus
    summary: Annotated[str, Field(description="The first check that is not ok, or when it is due next.")]
    checks: Annotated[list[CheckView], Field(description="In the order in which a run meets them.")]
    last_execution: Annotated[
        ExecutionView | None, Field(description="null: none is recorded, or the records cannot be read.")
    ]
