"""History in numbers: by day, and by job."""

from typing import Annotated

from fastapi import APIRouter, Query

from merp_api.deps import CallerOf, JobId, ServicesOf
from merp_api.filters import DaysQuery, OneDaysQuery, WorstQuery
from merp_api.openapi import answers
from merp_api.rollup_views import DayList, JobDayList, JobTotalsList

router = APIRouter(prefix="/api/v1", tags=["history"])


@router.get("/history/daily", responses=answers(400, 401, 403))
async def get_days(query: Annotated[DaysQuery, Query()], caller: CallerOf, services: ServicesOf) -> DayList:
    """How due times ended, day by day, newest first. Days are UTC, both ends count, at most 366."""
    namespace = query.namespace or services.settings.merp_namespace
    return DayList(items=await services.rollups.days(caller, query, namespace))


@router.get("/history/worst", responses=answers(400, 401, 403))
async def get_worst_jobs(
    query: Annotated[WorstQuery, Query()], caller: CallerOf, services: ServicesOf
) -> JobTotalsList:
    """The jobs with most due times that are without a success still, worst first."""
    namespace = query.namespace or services.settings.merp_namespace
    return JobTotalsList(items=await services.rollups.worst(caller, query, namespace))


@router.get("/jobs/{id}/history/daily", responses=answers(400, 401, 403, 404))
async def get_job_days(
    name: JobId, query: Annotated[OneDaysQuery, Query()], caller: CallerOf, services: ServicesOf
) -> JobDayList:
    """The days of one job: how its due times ended, how long its runs took and how late they started."""
    namespace = query.namespace or services.settings.merp_namespace
    return JobDayList(items=await services.rollups.job_days(caller, query, namespace, name))
