"""What probes ask, without a token."""

from fastapi import APIRouter, Response

from merp_api.deps import ServicesOf
from merp_api.schemas import HealthView

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def get_health(services: ServicesOf, response: Response) -> HealthView:
    """Whether this process answers, and still watches what it keeps in memory."""
    failed = services.cache is not None and services.cache.failed
    response.status_code = 503 if failed else 200
    return HealthView(status="failed" if failed else "ok")


@router.get("/readyz", responses={503: {"model": HealthView, "description": "The API server cannot be reached"}})
async def get_readiness(services: ServicesOf, response: Response) -> HealthView:
    """Whether it can serve: the API server answers, and what is in memory is current.

    Jobs need no database, so that one is only reported.
    """
    reachable = await services.cluster.reachable()
    trouble = None if services.cache is None else services.cache.trouble()
    ready = reachable and trouble is None
    response.status_code = 200 if ready else 503
    return HealthView(
        status="ready" if ready else "not ready",
        api_server="reachable" if reachable else "unreachable",
        cache="none" if services.cache is None else trouble or "current",
        records=await services.records.state(),
    )
