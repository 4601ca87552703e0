"""An example of every answer, for the description of the API: made of the views themselves, so that none can differ."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Final

from pydantic import BaseModel

from merp_api import problems
from merp_api.batch_views import BatchAction, BatchItemView, BatchView
from merp_api.outlooks import (
    Check,
    CheckView,
    ExplainView,
    LeftOutView,
    PlanEntryView,
    PlanView,
    PreviewView,
    WarningView,
)
from merp_api.problems import Kind
from merp_api.rollup_views import DayList, DayView, JobDayList, JobDayView, JobTotalsList, JobTotalsView
from merp_api.schemas import (
    CatchUpView,
    DiagnosisView,
    ExecutionList,
    ExecutionView,
    FieldErrorView,
    HealthView,
    JobList,
    JobStatus,
    JobType,
    JobView,
    ProblemView,
    ResumedJobView,
)
from merp_api.shared_views import CalendarList, CalendarView, PoolList, PoolRunView, PoolView
from merp_api.task_views import TaskList, TaskView

_SHANGHAI: Final = timezone(timedelta(hours=8))
_DUE: Final = datetime(2026, 12, 1, 0, 0, tzinfo=_SHANGHAI)
_UID: Final = "5d0e6f0a-6b0f-4a53-9d4e-2f1f6f1b7c11"
_JOB: Final = JobView(
    id="stocktake",
    name="库存盘点任务",
    job_type=JobType.CRON,
    func="inventory_check",
    cron_expression="0 0 1 * *",
    interval_seconds=None,
    run_date=None,
    args=["all"],
    kwargs={"detailed": True},
    status=JobStatus.ACTIVE,
    next_run_time=_DUE,
    description="每月1日凌晨执行库存盘点",
    created_at=datetime(2026, 11, 1, 10, 30, tzinfo=_SHANGHAI),
    updated_at=datetime(2026, 11, 1, 10, 30, tzinfo=_SHANGHAI),
    created_by="admin",
    time_zone="Asia/Shanghai",
    priority="normal",
    depends_on=[{"id": "data-sync", "condition": "Succeeded", "window": {"within": "24h"}, "latest": False}],
    concurrency_policy="Forbid",
    timeout_seconds=3600,
    retry_limit=2,
    image=None,
    template="nightly-batch",
    pool={"name": "nightly", "slots": 1},
    dependency_policy={"require": "All", "timeout_seconds": 86_400, "on_timeout": "Skip"},
    max_queued=100,
    no_retry_exit_codes=[2],
    pending_timeout_seconds=900,
    missed={"policy": "Latest", "max_age": "24h", "max_count": 100},
    calendar={"name": "cn", "on_holiday": "Next"},
    connections=["erp"],
    namespace="default",
    uid=_UID,
    paused=None,
    suspended=False,
    message=None,
    reason=None,
)
_EXECUTION: Final = ExecutionView(
    id="cacfcfbd-3d07-5b8f-90a5-e852366b4870",
    job_id="stocktake",
    job_uid=_UID,
    job_name="库存盘点任务",
    namespace="default",
    run_name="stocktake-29933280",
    status="failed",
    trigger="schedule",
    reason="ExitCode",
    diagnosis=DiagnosisView(
        sentence="Its program failed with exit code 1.",
        remedy="Read its error and its log; mend the task or its parameters, then retry the run.",
    ),
    start_time=datetime(2026, 11, 30, 16, 0, 2, tzinfo=UTC),
    end_time=datetime(2026, 11, 30, 16, 1, 9, tzinfo=UTC),
    due_time=datetime(2026, 11, 30, 16, 0, tzinfo=UTC),
    attempts=3,
    exit_code=1,
    waited_seconds=0.0,
    error="exit code 1\nOperationalError: the database is away",
    params={"func": "inventory_check", "args": ["all"], "kwargs": {"detailed": True}},
    node="node-1",
    image="merp-tasks:0.1.0",
)
_WAITING: Final = _EXECUTION.model_copy(
    update={
        "run_name": "stocktake-r-0f3a91c2d4",
        "status": "waiting",
        "trigger": "manual",
        "reason": None,
        "diagnosis": None,
        "end_time": None,
        "attempts": 0,
        "exit_code": None,
        "error": None,
        "node": None,
        "created_by": "admin",
        "recorded": False,
    }
)
_TASK: Final = TaskView(
    name="inventory_check",
    title="Stock-taking",
    description="Compare book stock with counted stock, for one warehouse or for all.",
    image="merp-tasks:0.1.0",
    privileged=False,
    parameters={
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {"warehouse": {"type": "string", "default": "all", "description": "One warehouse, or all"}},
        "required": [],
        "additionalProperties": False,
    },
    positional=["warehouse"],
    positional_only=[],
    rest=None,
)
_DAY: Final = DayView(
    day=date(2026, 11, 30), success=118, failed=2, timeout=0, cancelled=1, skipped=3, missed=0, healed=2
)
_TOTALS: Final = JobTotalsView(
    job_id="stocktake",
    job_uid=_UID,
    job_name="库存盘点任务",
    namespace="default",
    **_DAY.model_dump(exclude={"day"}),
)

ANSWERS: Final[Mapping[str, BaseModel]] = {
    type(example).__name__: example
    for example in (
        _JOB,
        JobList(items=[_JOB], next_cursor=None),
        ResumedJobView(**dict(_JOB), catch_up=CatchUpView(run="stocktake-4f1c8a0b2e", due_times=2)),
        _EXECUTION,
        ExecutionList(items=[_EXECUTION], next_cursor=None),
        BatchView(
            action=BatchAction.PAUSE,
            dry_run=True,
            items=[
                BatchItemView(id="data-sync", ok=True, status=200),
                BatchItemView(
                    id="stocktake",
                    ok=False,
                    status=404,
                    type=problems.NOT_FOUND.type,
                    detail="there is no job 'stocktake'",
                ),
            ],
            succeeded=1,
            failed=1,
        ),
        PreviewView(
            time_zone="Asia/Shanghai",
            due_times=[_DUE],
            days_off=[],
            warnings=[WarningView(field="cron_expression", detail="minute: */90 means 0 alone")],
        ),
        PlanView(
            items=[
                PlanEntryView(
                    due_time=_DUE,
                    job_id="stocktake",
                    namespace="default",
                    job_name="库存盘点任务",
                    priority="normal",
                    certain=True,
                )
            ],
            next_cursor=None,
            left_out=[
                LeftOutView(
                    job_id="old-sync",
                    namespace="default",
                    reason="paused",
                    detail="is paused until somebody resumes it",
                )
            ],
            left_out_count=1,
        ),
        ExplainView(
            job_id="stocktake",
            namespace="default",
            status=JobStatus.PAUSED,
            summary="paused: is paused by admin since 2026-11-28T08:00:00Z because: 年末盘点",
            checks=[
                CheckView(check=Check.DEFINITION, ok=True, detail="can be carried out"),
                CheckView(
                    check=Check.PAUSED,
                    ok=False,
                    detail="is paused by admin since 2026-11-28T08:00:00Z because: 年末盘点",
                    diagnosis=DiagnosisView(
                        sentence="The job is paused, so nothing becomes due.",
                        remedy="Resume it, or set suspend to false where its manifest is kept.",
                    ),
                ),
            ],
            last_execution=_EXECUTION,
        ),
        PoolList(
            items=[
                PoolView(
                    name="nightly",
                    namespace="default",
                    description="夜间批处理",
                    slots=2,
                    used=1,
                    admitted=[PoolRunView(run="stocktake-29933280", job_id="stocktake", slots=1)],
                    waiting=[],
                    waiting_count=0,
                    message=None,
                )
            ]
        ),
        CalendarList(
            items=[
                CalendarView(
                    name="cn", built_in="CN", valid_from="2024-01-01", valid_through="2026-12-31", message=None
                )
            ]
        ),
        _TASK,
        TaskList(items=[_TASK], checked=True),
        DayList(items=[_DAY]),
        JobDayList(
            items=[
                JobDayView(
                    **_DAY.model_dump(), duration_p50=61.2, duration_p95=118.0, lateness_p50=1.1, lateness_p95=2.4
                )
            ]
        ),
        JobTotalsList(items=[_TOTALS]),
        HealthView(status="ready", api_server="reachable", cache="current", records="current"),
    )
}
# What is not as the answer of its model usually is, by the route's name and status.
OF_ROUTES: Final[Mapping[str, BaseModel]] = {
    "execute_job 202": _WAITING,
    "retry_execution 202": _WAITING.model_copy(update={"trigger": "retry"}),
    "get_health 200": HealthView(status="ok"),
    "get_readiness 503": HealthView(
        status="not ready", api_server="unreachable", cache="scheduledjobs not watched for 4 s", records="current"
    ),
}
LOG: Final = "stocktake: 3 of 3 warehouses compared\n"


def _problem(kind: Kind, detail: str, errors: list[FieldErrorView] | None = None) -> ProblemView:
    instance = "urn:merp:request:5b1f12caf0904bf0b02ca5cda51e99bd"
    return ProblemView(
        type=kind.type, title=kind.title, status=kind.status, detail=detail, instance=instance, errors=errors
    )


PROBLEMS: Final[Mapping[int, ProblemView]] = {
    problem.status: problem
    for problem in (
        _problem(
            problems.VALIDATION,
            "wrong: namespace",
            [FieldErrorView(field="namespace", code="invalid", detail="string should match pattern", place="query")],
        ),
        _problem(problems.UNAUTHORIZED, "send the header Authorization: Bearer <token>"),
        _problem(problems.FORBIDDEN, "admin may not list scheduledjobs in namespace 'erp'"),
        _problem(problems.NOT_FOUND, "there is no job 'stocktake'"),
        _problem(problems.OVERLAP, "stocktake-29933280 is not finished: wait for it, or send concurrency_policy Allow"),
        _problem(problems.EXPIRED, "the cursor is too old: begin again without one"),
        _problem(problems.PRECONDITION, 'its ETag is "3934" now: read it again'),
        _problem(problems.TOO_LARGE, "the body has more than 1048576 bytes"),
        _problem(problems.UNSUPPORTED, "send Content-Type: application/json, in UTF-8"),
        _problem(problems.RATE, "admin may send 50 requests a second, 200 of them at once: send fewer"),
        _problem(problems.INTERNAL, "the cause is in the gateway's log, under this request's id"),
        _problem(problems.CLUSTER_FAULT, "the API server failed"),
        _problem(problems.CLUSTER_AWAY, "the API server did not answer; whether a write took place is not known"),
    )
}
