"""What happens, as it happens."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse

from merp_api import problems
from merp_api.deps import CallerOf, ServicesOf
from merp_api.event_streams import EventStream
from merp_api.feed import parse_place
from merp_api.filters import ALL_NAMESPACES, NamespaceOrAllQuery
from merp_api.openapi import answers
from merp_api.problems import FieldError

router = APIRouter(prefix="/api/v1", tags=["events"])
_EXAMPLE: Final = (
    "event: job\n"
    'data: {"kind":"job","namespace":"default","id":"stocktake","type":"updated","changed":["paused","status"],'
    '"resource_version":"3934"}\n'
    "id: 3934-3901\n\n"
)
_STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Server-sent events: job, execution and reset",
        "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EXAMPLE}},
    }
}


@router.get("/events", response_class=StreamingResponse, responses=answers(400, 401, 403) | _STREAM)
async def get_events(
    query: Annotated[NamespaceOrAllQuery, Query()],
    caller: CallerOf,
    services: ServicesOf,
    last_event_id: Annotated[
        str | None,
        Header(alias="Last-Event-ID", description="id of the last event: the stream goes on behind it."),
    ] = None,
) -> EventStream:
    """Changes of jobs and executions as they happen, until the token or the right to watch ends.

    The event `reset` says that some are missing: read again what you show.
    """
    last = None if last_event_id is None else parse_place(last_event_id)
    if last_event_id is not None and last is None:
        detail = "is not the id of an event of this API: leave it out, and read again what you show"
        raise problems.validation([FieldError("Last-Event-ID", "invalid", detail, "header")])
    namespace = query.namespace or services.settings.merp_namespace
    return await services.events.open(caller, None if namespace == ALL_NAMESPACES else namespace, last)
