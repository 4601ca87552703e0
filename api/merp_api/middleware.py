"""What happens to every request before and after its route: an id, a line in the log, and a caller."""

import logging
import re
import time
import uuid
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from merp_api import audit, metrics, problems, refusals
from merp_api.identity import Identities
from merp_api.limits import Rates
from merp_api.problems import Problem
from merp_kube.client import ApiError, Unreachable

logger = logging.getLogger(__name__)

# What a probe must reach without a token; everything else needs one, unknown paths and the API's description too.
OPEN_PATHS: Final = frozenset({"/healthz", "/readyz"})
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
# The client went away before its answer; no status of HTTP, but nginx' word for it.
_GONE: Final = 499


class RequestLog:
    """The outermost layer: gives each request an id, answers faults with 500, and writes one line per request."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        audit.REQUEST_ID.set(request_id)
        started = time.monotonic()
        status = 0
        is_told = False

        def tell() -> None:
            nonlocal is_told
            if not is_told:
                is_told = True
                _log(scope, request_id, status, time.monotonic() - started)

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _mark(message, request_id)
            elif message["type"] == "http.response.body" and not message.get("more_body"):
                # Whoever has the whole of an answer finds it counted, also if it looks at the metrics at once.
                tell()
            await send(message)

        try:
            await self.app(scope, receive, send_marked)
        except ClientDisconnect:
            status = status or _GONE
        except Exception:
            logger.exception("a fault of the gateway", extra={"request_id": request_id})
            if status:
                # The answer has begun; only cutting it off tells the client that it is not whole.
                raise
            answer = problems.render(
                Problem(problems.INTERNAL, "the cause is in the gateway's log, under this request's id"), request_id
            )
            await answer(scope, receive, send_marked)
        finally:
            tell()


class Authentication:
    """Turns every request without a valid token away, before anything looks at what it asks for; so it does with those
    of somebody who sends too many.
    """

    def __init__(self, app: ASGIApp, identities: Identities, rates: Rates) -> None:
        self.app = app
        self.identities = identities
        self.rates = rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            await self.app(scope, receive, send)
            return
        try:
            caller = await self.identities.caller(Headers(scope=scope).getlist("authorization"))
            scope["state"]["caller"] = caller
            self.rates.take(caller.user)
        except (Problem, ApiError, Unreachable) as error:
            problem = error if isinstance(error, Problem) else refusals.problem(error)
            answer = problems.render(problem, scope["state"]["request_id"])
            await answer(scope, receive, send)
            return
        await self.app(scope, receive, send)


def _mark(message: Message, request_id: str) -> None:
    headers = MutableHeaders(scope=message)
    headers["X-Request-Id"] = request_id
    headers["X-Content-Type-Options"] = "nosniff"
    # Answers depend on who asks.
    headers.setdefault("Cache-Control", "no-store")


def _log(scope: Scope, request_id: str, status: int, seconds: float) -> None:
    caller = scope["state"].get("caller")
    # The template: ids would make every line another, and queries may hold anything.
    route = getattr(scope.get("route"), "path", "unknown")
    metrics.count_request(scope["method"], route, status, seconds)
    level = logging.DEBUG if scope["path"] in OPEN_PATHS and status < 400 else logging.INFO
    logger.log(
        level,
        "request",
        extra={
            "request_id": request_id,
            "method": scope["method"],
            "route": route,
            "status": status,
            "milliseconds": round(seconds * 1000, 1),
            "user": caller.user if caller else None,
        },
    )
