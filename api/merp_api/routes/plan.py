"""What is to come: of a schedule that is not saved yet, and of all jobs; and why a job does not run."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from merp_api.deps import CallerOf, JobId, JsonBody, ServicesOf
from merp_api.filters import NamespaceQuery, PlanQuery
from merp_api.languages import LanguageOf
from merp_api.openapi import answers, request_body
from merp_api.outlooks import ExplainView, PlanView, PreviewBody, PreviewView
from merp_api.routes.links import link_next

router = APIRouter(prefix="/api/v1", tags=["plan"])
_EXAMPLE: Final = {"job_type": "cron", "cron_expression": "*/90 * * * *", "time_zone": "Asia/Shanghai", "count": 3}


@router.post(
    "/jobs/preview", responses=answers(400, 401, 403, 413, 415), openapi_extra=request_body(PreviewBody, cron=_EXAMPLE)
)
async def preview_job(body: JsonBody, caller: CallerOf, services: ServicesOf) -> PreviewView:
    """When a schedule would be due, and what is likely not meant by it. Nothing is saved.

    400 where a job of it would be refused.
    """
    return await services.previews.preview(caller, body)


@router.get("/plan", responses=answers(400, 401, 403))
async def get_plan(
    query: Annotated[PlanQuery, Query()], caller: CallerOf, services: ServicesOf, request: Request, response: Response
) -> PlanView:
    """What becomes due in a range, at most 31 days of the year to come; and which jobs are left out, and why."""
    found = await services.plans.plan(caller, query.namespace or services.settings.merp_namespace, query)
    link_next(request, response, found.next_cursor)
    return found


@router.get("/jobs/{id}/explain", responses=answers(400, 401, 403, 404))
async def explain_job(
    name: JobId, query: Annotated[NamespaceQuery, Query()], caller: CallerOf, language: LanguageOf, services: ServicesOf
) -> ExplainView:
    """Why a job does not run: one check after another, each with yes or no and a sentence."""
    namespace = query.namespace or services.settings.merp_namespace
    return await services.explanations.explain(caller, namespace, name, language)
