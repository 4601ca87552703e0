"""What probes ask, without a token."""

from fastapi import APIRouter, Response

from merp_api.deps import ServicesOf
from merp_api.schemas import HealthView

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def get_health() -> HealthView:
    """Whether this process answers."""
    return HealthView(status="ok")


@router.get("/readyz", responses={503: {"model": HealthView, "description": "The API server cannot be reached"}})
async def get_readiness(services: ServicesOf, response: Response) -> HealthView:
    """Whether it can serve: the API server answers. Jobs need no database, so that one is only reported."""
    reachable = await services.cluster.reachable()
    response.status_code = 200 if reachable else 503
    return HealthView(
        status="ready" if reachable else "not ready",
        api_server="reachable" if reachable else "unreachable",
        records=await services.records.state(),
    )
