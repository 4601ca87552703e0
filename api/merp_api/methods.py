"""Methods as RFC 9110 has them for a path; the framework looks at one route at a time."""

from typing import Final

from starlette.requests import Request
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")


class _Answered(Exception):
    """HEAD has its answer: nothing of the body is needed."""


class HeadAsGet:
    """Answers HEAD wherever there is a GET, with the same headers and no body; a stream ends as it begins."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        # A copy: the server leaves the body out by the method that it has itself, and the log tells that one.
        asked = dict(scope, method="GET")

        async def send_head(message: Message) -> None:
            scope["route"] = asked.get("route")
            await send(message)
            await send({"type": "http.response.body", "body": b""})
            raise _Answered

        try:
            await self.app(asked, receive, send_head)
        except _Answered:
            return


def allowed(request: Request) -> str:
    """The value of `Allow`: every method that some route of the application takes for this path."""
    found = [method for method in _METHODS if _is_taken(request, method)]
    if "GET" in found:
        found.insert(1, "HEAD")
    return ", ".join(found)


def _is_taken(request: Request, method: str) -> bool:
    scope = dict(request.scope, method=method)
    return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)
