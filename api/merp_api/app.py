"""The application, from parts that are handed in."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import Depends, FastAPI
from sqlalchemy import Engine
from starlette.types import Lifespan

from merp_api import openapi, problems, refusals
from merp_api.batches import Batches
from merp_api.cache import Cache
from merp_api.cancellations import Cancellations
from merp_api.catalogues import Catalogues
from merp_api.catch_ups import CatchUps
from merp_api.cluster import Cluster
from merp_api.deps import Services, once
from merp_api.event_streams import EventStreams, Limits
from merp_api.executions import Executions
from merp_api.explanations import Explanations
from merp_api.identity import Identities
from merp_api.jobs import Jobs
from merp_api.limits import Rates, Streams
from merp_api.logs import Logs
from merp_api.methods import HeadAsGet
from merp_api.middleware import Authentication, RequestLog
from merp_api.pauses import Pauses
from merp_api.plans import Plans
from merp_api.previews import Previews
from merp_api.reading import Reading
from merp_api.records import Records
from merp_api.reviews import OwnReviews, SelfReviews
from merp_api.rollups import Rollups
from merp_api.routes import batches, events, executions, health, history, jobs, plan, shared, tasks
from merp_api.rules import JobRules
from merp_api.runs import Runs
from merp_api.settings import Settings
from merp_api.templates import Templates
from merp_crds.catalogue import Catalogue
from merp_kube.client import Client


class Gateway(FastAPI):
    """FastAPI with the description of bodies and problems in it."""

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document, made once."""
        if self.openapi_schema is None:
            self.openapi_schema = openapi.describe(self)
        return self.openapi_schema


def bare_gateway(lifespan: Lifespan[FastAPI] | None = None) -> Gateway:
    """The gateway with its routes and nothing behind them: enough to describe it."""
    app = Gateway(
        title="mERP Scheduler",
        version=version("merp-scheduler"),
        description="Jobs, their runs and their history. Times without an offset are UTC unless a field says so.",
        openapi_url=openapi.PATH,
        # No pages that need a script from elsewhere, and none without a token.
        docs_url=None,
        redoc_url=None,
        # Names of functions are stable and unique; paths in an operation's id are neither.
        generate_unique_id_function=lambda route: route.name,
        # A redirect would drop the body of a POST in some clients.
        redirect_slashes=False,
        dependencies=[Depends(once)],
        lifespan=lifespan,
    )
    # Jobs after those: /jobs/history and /jobs/preview must not be taken for a job.
    for router in (
        executions.router,
        history.router,
        plan.router,
        batches.router,
        events.router,
        jobs.router,
        shared.router,
        tasks.router,
        health.router,
    ):
        app.include_router(router)
    return app


def create_app(
    settings: Settings,
    client: Client,
    engine: Engine,
    *,
    catalogues: Callable[[], Mapping[str, Catalogue]] = dict,
    own: Client | None = None,
    pause_seconds: float | None = None,
    event_limits: Limits | None = None,
) -> FastAPI:
    """The gateway. `client` must hold no credentials, and `own` those of the gateway, which nothing is written with.

    Without `own` every read is live, with the caller's token. All three are closed when the application ends.
    `catalogues` gives those of the installation by image, as they are now; a pause is waited for `pause_seconds`,
    else as the settings say.
    """
    zone = settings.merp_default_time_zone
    cache = None if own is None else Cache(own, settings.merp_watch_namespace or None, zone)
    cluster = Cluster(client, cache)
    identities = Identities(SelfReviews(client) if own is None else OwnReviews(own))
    reading = Reading(cluster, identities, cache, zone)
    records = Records(engine)
    known = Catalogues(cluster, settings.merp_default_image, catalogues)
    rules = JobRules(zone, default_env=tuple(settings.merp_default_env))
    templates = Templates(cluster, settings.merp_template_namespace)
    job_service = Jobs(cluster, reading, rules, known, templates)
    waited = settings.merp_pause_seconds if pause_seconds is None else pause_seconds
    pauses = Pauses(cluster, job_service, CatchUps(cluster, job_service), pause_seconds=waited)
    lookup = Executions(cluster, reading, identities, records)
    runs = Runs(cluster, identities, records, job_service, lookup)
    cancellations = Cancellations(cluster, lookup, job_service)

    streams = Streams(settings.merp_streams_per_user, settings.merp_streams)
    event_streams = EventStreams(cache, identities, streams, event_limits)

    app = bare_gateway(_lifespan(cluster, cache, records, event_streams))
    app.state.services = Services(
        settings,
        cluster,
        identities,
        records,
        job_service,
        pauses,
        lookup,
        runs,
        cancellations,
        Previews(cluster, reading, rules),
        Plans(reading, job_service),
        Explanations(reading, job_service, runs),
        Logs(cluster, lookup, records),
        Batches(job_service, pauses, runs),
        Rollups(cluster, reading, identities, records),
        streams,
        known,
        reading,
        event_streams,
        cache,
    )
    problems.install(app)
    refusals.install(app)
    # The last one added is the outermost.
    app.add_middleware(HeadAsGet)
    rates = Rates(settings.merp_requests_per_second, settings.merp_request_burst)
    app.add_middleware(Authentication, identities=identities, rates=rates)
    app.add_middleware(RequestLog)
    return app


def _lifespan(
    cluster: Cluster, cache: Cache | None, records: Records, event_streams: EventStreams
) -> Lifespan[FastAPI]:
    """Watches from the start, and closes everything at the end."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        watching = None if cache is None else asyncio.create_task(cache.run())
        yield
        event_streams.close()
        if cache is not None and watching is not None:
            watching.cancel()
            # Why it ended, if it did before, it has told itself.
            await asyncio.gather(watching, return_exceptions=True)
            await cache.close()
        records.close()
        await cluster.close()

    return lifespan
