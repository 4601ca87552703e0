"""`/api/v1/jobs/batch`: one thing for many jobs."""

from typing import Annotated, Final

from fastapi import APIRouter, Query

from merp_api.batch_views import BatchBody, BatchView
from merp_api.deps import CallerOf, IdempotencyKey, JsonBody, ServicesOf
from merp_api.filters import NamespaceQuery
from merp_api.openapi import answers, request_body

router = APIRouter(prefix="/api/v1", tags=["jobs"])
_EXAMPLE: Final = {"action": "pause", "ids": ["data-sync", "stocktake"], "reason": "年末盘点", "dry_run": True}


@router.post(
    "/jobs/batch", responses=answers(400, 401, 413, 415), openapi_extra=request_body(BatchBody, pause=_EXAMPLE)
)
async def run_batch(
    query: Annotated[NamespaceQuery, Query()],
    body: JsonBody,
    key: IdempotencyKey,
    caller: CallerOf,
    services: ServicesOf,
) -> BatchView:
    """Pause, resume, execute or delete at most 100 jobs, each by itself: one that is refused holds up no other.

    200 with a result for each, also where some or all are refused. Nobody waits until a pause is in force.
    """
    return await services.batches.run(caller, query.namespace or services.settings.merp_namespace, body, key)
