"""What ran. Its paths under `/api/v1/jobs` come before those of jobs: `history` is no id."""

from contextlib import ExitStack
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import PlainTextResponse, StreamingResponse

from merp_api.deps import CallerOf, ExecutionId, IdempotencyKey, JobId, OptionalJsonBody, ServicesOf
from merp_api.diagnosed import diagnosed_execution
from merp_api.filters import HistoryQuery, LogQuery, NamespaceQuery, OneHistoryQuery
from merp_api.languages import LanguageOf
from merp_api.limits import HeldStream
from merp_api.openapi import answers, request_body
from merp_api.routes.links import link_next, location
from merp_api.schemas import (
    ExecutionList,
    ExecutionView,
    RetryBody,
)
from merp_crds.languages import Language

router = APIRouter(prefix="/api/v1", tags=["executions"])
_BESIDE: Final = {"concurrency_policy": "Allow"}


@router.get("/jobs/history", responses=answers(400, 401, 403))
async def get_history(
    query: Annotated[HistoryQuery, Query()],
    caller: CallerOf,
    language: LanguageOf,
    services: ServicesOf,
    request: Request,
    response: Response,
) -> ExecutionList:
    """A page of what ran, newest start first."""
    items, cursor = await services.runs.history(caller, query, query.namespace or services.settings.merp_namespace)
    return _page(items, cursor, language, request, response)


@router.get("/jobs/{id}/history", responses=answers(400, 401, 403, 404))
async def get_job_history(
    name: JobId,
    query: Annotated[OneHistoryQuery, Query()],
    caller: CallerOf,
    language: LanguageOf,
    services: ServicesOf,
    request: Request,
    response: Response,
) -> ExecutionList:
    """A page of the runs of one job, newest start first."""
    namespace = query.namespace or services.settings.merp_namespace
    items, cursor = await services.runs.job_history(caller, query, namespace, name)
    return _page(items, cursor, language, request, response)


@router.get("/executions/{id}", responses=answers(400, 401, 403, 404))
async def get_execution(
    execution_id: ExecutionId,
    query: Annotated[NamespaceQuery, Query()],
    caller: CallerOf,
    language: LanguageOf,
    services: ServicesOf,
) -> ExecutionView:
    """One run."""
    default = services.settings.merp_namespace
    found = await services.executions.find(caller, query.namespace, default, execution_id)
    return diagnosed_execution(found.view, language)


@router.get(
    "/executions/{id}/log",
    response_class=PlainTextResponse,
    responses=answers(400, 401, 403, 404),
)
async def get_log(
    execution_id: ExecutionId, query: Annotated[LogQuery, Query()], caller: CallerOf, services: ServicesOf
) -> StreamingResponse:
    """What a run wrote: of its newest pod while there is one, else the end that is kept of each failed attempt.

    The header Log-Source says which: pod or records.
    """
    default = services.settings.merp_namespace
    with ExitStack() as held:
        held.enter_context(services.streams.one(caller.user))
        log = await services.logs.read(caller, query.namespace, default, execution_id, query.lines, follow=query.follow)
        held.callback(log.close)
        headers = {"Log-Source": log.source}
        return HeldStream(log.text, held=held.pop_all(), media_type="text/plain; charset=utf-8", headers=headers)


@router.post("/executions/{id}/cancel", status_code=202, responses=answers(400, 401, 403, 404, 409))
async def cancel_execution(
    execution_id: ExecutionId,
    query: Annotated[NamespaceQuery, Query()],
    caller: CallerOf,
    language: LanguageOf,
    services: ServicesOf,
) -> ExecutionView:
    """End a run, waiting or running. The answer is the run as it is now; asked once more, nothing changes.

    409 where it has ended.
    """
    default = services.settings.merp_namespace
    view = await services.cancellations.cancel(caller, query.namespace, default, execution_id)
    return diagnosed_execution(view, language)


@router.post(
    "/executions/{id}/retry",
    status_code=202,
    responses=answers(400, 401, 403, 404, 409, 413, 415),
    openapi_extra=request_body(RetryBody, optional=True, beside=_BESIDE),
)
async def retry_execution(
    execution_id: ExecutionId,
    query: Annotated[NamespaceQuery, Query()],
    body: OptionalJsonBody,
    key: IdempotencyKey,
    caller: CallerOf,
    language: LanguageOf,
    services: ServicesOf,
    response: Response,
) -> ExecutionView:
    """Run a finished run once more, for its due time and with its parameters. Location is where its outcome will be.

    409 where it has not ended.
    """
    default = services.settings.merp_namespace
    execution = await services.runs.retry(caller, query.namespace, default, execution_id, body, key)
    response.headers["Location"] = location(services, f"/api/v1/executions/{execution.id}", execution.namespace)
    return diagnosed_execution(execution, language)


def _page(
    items: list[ExecutionView], cursor: str | None, language: Language, request: Request, response: Response
) -> ExecutionList:
    link_next(request, response, cursor)
    return ExecutionList(items=[diagnosed_execution(item, language) for item in items], next_cursor=cursor)
