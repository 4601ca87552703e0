"""The only kopf handlers: they put what they are told into the cache and return.

`on.event` alone: it keeps no progress and no copy of the object in annotations, needs no finalizer and patches nothing.
"""

import random
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import kopf
from kubernetes.aio.client import Configuration

from merp_crds import names
from merp_kube.client import PAGE_SIZE, ssl_context
from merp_operator.own import Own
from merp_operator.watch import Watch

# Shorter than what load balancers allow. A whole number: kopf hands it on as it is, and the API server refuses 300.0.
_WATCH_SECONDS: Final = 300
_CONNECT_SECONDS: Final = 10.0
_REQUEST_SECONDS: Final = 30.0
# Four watches and the lists that go before them.
_CONNECTIONS: Final = 10
_JSON: Final = "application/json"
_TEXT: Final = "text/plain"


class _Backoffs:
    """Seconds between tries, doubling up to half a minute; no end: an unreachable server never ends the process."""

    def __iter__(self) -> Iterator[float]:
        delay = 1.0
        while True:
            yield delay * random.uniform(0.7, 1.0)  # noqa: S311  (spreads load, guards nothing)
            delay = min(delay * 2, 30.0)


def settings() -> kopf.OperatorSettings:
    """How kopf watches."""
    chosen = kopf.OperatorSettings()
    chosen.posting.enabled = False
    chosen.watching.server_timeout = _WATCH_SECONDS
    chosen.watching.connect_timeout = _CONNECT_SECONDS
    chosen.watching.chunk_size = PAGE_SIZE
    chosen.networking.request_timeout = _REQUEST_SECONDS
    chosen.networking.error_backoffs = _Backoffs()
    return chosen


def session(configuration: Configuration) -> aiohttp.ClientSession:
    """The connections of kopf to the API server."""

    async def authorize(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        # For each request anew: the token of a pod is replaced every hour.
        token = await configuration.get_api_key_with_prefix("BearerToken")
        if token:
            request.headers["Authorization"] = token
        response = await handler(request)
        if _ends_kopf(response):
            response.close()
            told = f"{response.status} {response.content_type}"
            raise aiohttp.ClientConnectionError(f"an answer that kopf cannot read: {told}")
        return response

    connector = aiohttp.TCPConnector(limit=_CONNECTIONS, ssl=ssl_context(configuration))
    return aiohttp.ClientSession(connector=connector, middlewares=(authorize,))


def _ends_kopf(response: aiohttp.ClientResponse) -> bool:
    """Whether kopf would end over an answer: for a connection it waits as long as it takes.

    That is the page of a proxy in between; and how long a busy one asks to wait may be a date, or a day.
    """
    if response.status == HTTPStatus.TOO_MANY_REQUESTS:
        return True
    # So the API server says that it does not serve a kind.
    unserved = response.status == HTTPStatus.NOT_FOUND and response.content_type == _TEXT
    return response.content_type != _JSON and not unserved


def registry(watch: Watch, configuration: Configuration) -> kopf.OperatorRegistry:
    """The handlers, for this picture of the cluster."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.login(registry=handlers)
    async def login(**_: Any) -> kopf.AiohttpSession:
        """A session of ours: kopf's own opens as many connections as it has requests."""
        return kopf.AiohttpSession(server=str(configuration.host), aiohttp_session=session(configuration))

    @kopf.on.event(names.GROUP, names.VERSION, names.SCHEDULED_JOBS, registry=handlers)
    async def scheduled_job(event: kopf.RawEvent, **_: Any) -> None:
        _take(watch.scheduled_jobs, event)

    @kopf.on.event(names.GROUP, names.VERSION, names.JOB_RUNS, registry=handlers)
    async def job_run(event: kopf.RawEvent, **_: Any) -> None:
        _take(watch.job_runs, event)

    @kopf.on.event(names.GROUP, names.VERSION, names.JOB_POOLS, registry=handlers)
    async def job_pool(event: kopf.RawEvent, **_: Any) -> None:
        _take(watch.job_pools, event)

    @kopf.on.event(names.GROUP, names.VERSION, names.BUSINESS_CALENDARS, registry=handlers)
    async def business_calendar(event: kopf.RawEvent, **_: Any) -> None:
        _take(watch.calendars, event)

    return handlers


def _take(own: Own, event: kopf.RawEvent) -> None:
    item = dict(event["object"])
    if event["type"] == "DELETED":
        own.remove(item)
    else:
        own.put(item)
