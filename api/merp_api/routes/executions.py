"""What ran. Its paths under `/api/v1/jobs` come before those of jobs: `history` is no id."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from merp_api.deps import CallerOf, ExecutionId, JobId, ServicesOf
from merp_api.openapi import answers
from merp_api.routes.links import link_next
from merp_api.schemas import ExecutionList, ExecutionView, HistoryQuery, NamespaceQuery, OneHistoryQuery

router = APIRouter(prefix="/api/v1", tags=["executions"])


@router.get("/jobs/history", responses=answers(400, 401, 403))
async def get_history(
    query: Annotated[HistoryQuery, Query()],
    caller: CallerOf,
    services: ServicesOf,
    request: Request,
    response: Response,
) -> ExecutionList:
    """A page of what ran, newest start first."""
    items, cursor = await services.runs.history(caller, query, query.namespace or services.settings.merp_namespace)
    return _page(items, cursor, request, response)


@router.get("/jobs/{id}/history", responses=answers(400, 401, 403, 404))
async def get_job_history(
    name: JobId,
    query: Annotated[OneHistoryQuery, Query()],
    caller: CallerOf,
    services: ServicesOf,
    request: Request,
    response: Response,
) -> ExecutionList:
    """A page of the runs of one job, newest start first."""
    namespace = query.namespace or services.settings.merp_namespace
    items, cursor = await services.runs.job_history(caller, query, namespace, name)
    return _page(items, cursor, request, response)


@router.get("/executions/{id}", responses=answers(400, 401, 403, 404))
async def get_execution(
    execution_id: ExecutionId, query: Annotated[NamespaceQuery, Query()], caller: CallerOf, services: ServicesOf
) -> ExecutionView:
    """One run."""
    return await services.runs.execution(caller, query.namespace, services.settings.merp_namespace, execution_id)


def _page(items: list[ExecutionView], cursor: str | None, request: Request, response: Response) -> ExecutionList:
    link_next(request, response, cursor)
    return ExecutionList(items=items, next_cursor=cursor)
