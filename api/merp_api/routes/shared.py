"""What jobs share, read only: pools and calendars."""

from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Query

from merp_api.deps import CallerOf, ServicesOf
from merp_api.filters import ALL_NAMESPACES, NamespaceOrAllQuery
from merp_api.openapi import answers
from merp_api.shared import calendar_view, pool_view
from merp_api.shared_views import CalendarList, PoolList

router = APIRouter(prefix="/api/v1", tags=["shared"])


@router.get("/pools", responses=answers(400, 401, 403))
async def list_pools(
    query: Annotated[NamespaceOrAllQuery, Query()], caller: CallerOf, services: ServicesOf
) -> PoolList:
    """Every pool: who has room, and who waits for it, in the order of turns."""
    namespace = query.namespace or services.settings.merp_namespace
    pools = services.reading.pools(caller, None if namespace == ALL_NAMESPACES else namespace)
    async with aclosing(pools):
        return PoolList(items=[pool_view(pool) async for pool in pools])


@router.get("/calendars", responses=answers(401, 403))
async def list_calendars(caller: CallerOf, services: ServicesOf) -> CalendarList:
    """Every calendar. They are in no namespace."""
    calendars = services.reading.calendars(caller)
    async with aclosing(calendars):
        return CalendarList(items=[calendar_view(calendar) async for calendar in calendars])
