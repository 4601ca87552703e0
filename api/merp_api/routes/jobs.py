"""`/api/v1/jobs`: the jobs themselves."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from merp_api.bodies import MERGE_PATCH
from merp_api.conditional import tagged
from merp_api.deps import (
    CallerOf,
    IdempotencyKey,
    IfMatch,
    JobId,
    JsonBody,
    MergePatch,
    OptionalJsonBody,
    Services,
    ServicesOf,
)
from merp_api.diagnosed import diagnosed_execution, diagnosed_job
from merp_api.filters import JobsQuery, NamespaceQuery, ResumeQuery
from merp_api.jobs import etag
from merp_api.languages import LanguageOf
from merp_api.openapi import answers, request_body
from merp_api.routes.links import link_next, location
from merp_api.schemas import (
    CatchUpView,
    ExecutionBody,
    ExecutionView,
    JobBody,
    JobList,
    JobPatch,
    JobView,
    PauseBody,
    ResumedJobView,
)
from merp_api.translate import Json
from merp_crds.languages import Language

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])
_CRON_EXAMPLE: Final = {
    "name": "库存盘点任务",
    "job_type": "cron",
    "func": "inventory_check",
    "cron_expression": "0 0 1 * *",
    "args": ["all"],
    "kwargs": {"detailed": True},
    "description": "每月1日凌晨执行库存盘点",
}
_FULL_EXAMPLE: Final = _CRON_EXAMPLE | {
    "id": "nightly-stock",
    "cron_expression": "0 2 * * *",
    "time_zone": "Asia/Shanghai",
    "calendar": {"name": "cn", "on_holiday": "Next"},
    "pool": {"name": "nightly", "slots": 1, "timeout_seconds": 3600},
    "missed": {"policy": "All", "max_age": "36h"},
    "depends_on": [{"id": "data-sync", "window": {"within": "24h"}}],
    "retry_limit": 2,
}
_PATCH_EXAMPLE: Final = {"retry_limit": 3, "kwargs": {"detailed": None}, "missed": {"policy": "Skip"}}
_PAUSE_EXAMPLE: Final = {"reason": "年末盘点", "until": "2027-01-02T08:00:00+08:00"}
_EXECUTION_EXAMPLE: Final = {"args": ["A"], "kwargs": {"detailed": False}, "due_time": "2026-12-01T00:00:00+08:00"}
InNamespace = Annotated[NamespaceQuery, Query()]


@router.get("", response_model=JobList, responses=answers(304, 400, 401, 403, 410))
async def list_jobs(
    query: Annotated[JobsQuery, Query()],
    caller: CallerOf,
    language: LanguageOf,
    services: ServicesOf,
    request: Request,
    response: Response,
) -> JobList | Response:
    """A page of jobs that meet every filter, in an order. 304 if the page is still as If-None-Match names it."""
    namespace = query.namespace or services.settings.merp_namespace
    items, cursor = await services.jobs.page(caller, namespace, query)
    link_next(request, response, cursor)
    told = [diagnosed_job(item, language) for item in items]
    return tagged(request, response, JobList(items=told, next_cursor=cursor))


@router.post(
    "",
    status_code=201,
    responses=answers(400, 401, 403, 404, 409, 413, 415) | {200: {"model": JobView, "description": "Made before"}},
    openapi_extra=request_body(JobBody, cron=_CRON_EXAMPLE, full=_FULL_EXAMPLE),
)
async def create_job(
    query: InNamespace,
    body: JsonBody,
    key: IdempotencyKey,
    caller: CallerOf,
    language: LanguageOf,
    services: ServicesOf,
    response: Response,
) -> JobView:
    """Create a job. With an Idempotency-Key a repeat answers 200 with the job that the first request made."""
    namespace = query.namespace or services.settings.merp_namespace
    job, created = await services.jobs.create(caller, namespace, body, key)
    response.status_code = 201 if created else 200
    response.headers["Location"] = location(services, f"/api/v1/jobs/{job['metadata']['name']}", namespace)
    return _one(services, job, response, language)


@router.get("/{id}", response_model=JobView, responses=answers(304, 400, 401, 403, 404))
async def get_job(
    name: JobId,
    query: InNamespace,
    caller: CallerOf,
    language: LanguageOf,
    services: ServicesOf,
    request: Request,
    response: Response,
) -> JobView | Response:
    """One job. 304 if it is still of the version that If-None-Match names."""
    job = await services.jobs.get(caller, query.namespace or services.settings.merp_namespace, name)
    view = diagnosed_job(services.jobs.view(job), language)
    return tagged(request, response, view, etag(job, language))


@router.put(
    "/{id}",
    responses=answers(400, 401, 403, 404, 409, 412, 413, 415),
    openapi_extra=request_body(JobBody, cron=_CRON_EXAMPLE),
)
async def replace_job(
    name: JobId,
    query: InNamespace,
    body: JsonBody,
    caller: CallerOf,
    language: LanguageOf,
    services: ServicesOf,
    response: Response,
    if_match: IfMatch = None,
) -> JobView:
    """Change a job. Additional fields that are left out, and what REST does not know, stay as they are."""
    namespace = query.namespace or services.settings.merp_namespace
    job = await services.jobs.replace(caller, namespace, name, body, if_match)
    return _one(services, job, response, language)


@router.patch(
    "/{id}",
    responses=answers(400, 401, 403, 404, 409, 412, 413, 415),
    openapi_extra=request_body(JobPatch, media_type=MERGE_PATCH, retries=_PATCH_EXAMPLE),
)
async def patch_job(
    name: JobId,
    query: InNamespace,
    body: MergePatch,
    caller: CallerOf,
    language: LanguageOf,
    services: ServicesOf,
    response: Response,
    if_match: IfMatch = None,
) -> JobView:
    """Change what a merge patch names, and nothing else. Another job_type drops the time of the former one."""
    namespace = query.namespace or services.settings.merp_namespace
    job = await services.jobs.patch(caller, namespace, name, body, if_match)
    return _one(services, job, response, language)


@router.delete("/{id}", status_code=204, responses=answers(400, 401, 403, 404, 412))
async def delete_job(
    name: JobId, query: InNamespace, caller: CallerOf, services: ServicesOf, if_match: IfMatch = None
) -> None:
    """Delete a job and end its runs. Its history stays."""
    await services.jobs.delete(caller, query.namespace or services.settings.merp_namespace, name, if_match)


@router.post(
    "/{id}/pause",
    responses=answers(400, 401, 403, 404, 409, 413, 415) | {202: {"model": JobView, "description": "Not in force yet"}},
    openapi_extra=request_body(PauseBody, optional=True, until=_PAUSE_EXAMPLE),
)
async def pause_job(
    name: JobId,
    query: InNamespace,
    body: OptionalJsonBody,
    caller: CallerOf,
    language: LanguageOf,
    services: ServicesOf,
    response: Response,
) -> JobView:
    """Pause a job until it is resumed. 202 if the operator has not acted on it within three seconds."""
    job, in_force = await services.pauses.pause(caller, query.namespace or services.settings.merp_namespace, name, body)
    response.status_code = 200 if in_force else 202
    return _one(services, job, response, language)


@router.post(
    "/{id}/resume",
    responses=answers(400, 401, 403, 404, 409)
    | {202: {"model": ResumedJobView | JobView, "description": "Not in force yet"}},
)
async def resume_job(
    name: JobId,
    query: Annotated[ResumeQuery, Query()],
    key: IdempotencyKey,
    caller: CallerOf,
    language: LanguageOf,
    services: ServicesOf,
    response: Response,
) -> ResumedJobView | JobView:
    """End a pause, and run what was due in it if `missed` says so: the answer has `catch_up` then.

    409 where the manifest declares the pause and another manager decides that; with `missed` also where the job is not
    paused, or more was due than one request runs. Nothing is changed then.
    """
    namespace = query.namespace or services.settings.merp_namespace
    resumed = await services.pauses.resume(caller, namespace, name, query.missed, key)
    response.status_code = 200 if resumed.in_force else 202
    view = _one(services, resumed.job, response, language)
    if resumed.catch_up is None or resumed.catch_up.run is None:
        return view
    catch_up = CatchUpView(run=resumed.catch_up.run, due_times=resumed.catch_up.due_times)
    return ResumedJobView(**dict(view), catch_up=catch_up)


@router.post(
    "/{id}/execute",
    status_code=202,
    responses=answers(400, 401, 403, 404, 409, 413, 415),
    openapi_extra=request_body(ExecutionBody, optional=True, parameters=_EXECUTION_EXAMPLE),
)
async def execute_job(
    name: JobId,
    query: InNamespace,
    body: OptionalJsonBody,
    key: IdempotencyKey,
    caller: CallerOf,
    language: LanguageOf,
    services: ServicesOf,
    response: Response,
) -> ExecutionView:
    """Run a job now, paused or not. Location is where its outcome will be."""
    namespace = query.namespace or services.settings.merp_namespace
    execution = await services.runs.execute(caller, namespace, name, body, key)
    response.headers["Location"] = location(services, f"/api/v1/executions/{execution.id}", namespace)
    return diagnosed_execution(execution, language)


def _one(services: Services, job: Json, response: Response, language: Language) -> JobView:
    response.headers["ETag"] = etag(job, language)
    return diagnosed_job(services.jobs.view(job), language)
