"""What routes ask for by type."""

import re
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Depends, Header, Path, Request

from merp_api import problems
from merp_api.batches import Batches
from merp_api.bodies import JSON, MERGE_PATCH, read_json
from merp_api.cache import Cache
from merp_api.cancellations import Cancellations
from merp_api.catalogues import Catalogues
from merp_api.cluster import Cluster
from merp_api.event_streams import EventStreams
from merp_api.executions import Executions
from merp_api.explanations import Explanations
from merp_api.filters import repeated
from merp_api.identity import Caller, Identities
from merp_api.jobs import Jobs
from merp_api.limits import Streams
from merp_api.logs import Logs
from merp_api.pauses import Pauses
from merp_api.plans import Plans
from merp_api.previews import Previews
from merp_api.problems import FieldError, Problem
from merp_api.reading import Reading
from merp_api.records import Records
from merp_api.rollups import Rollups
from merp_api.runs import Runs
from merp_api.settings import Settings
from merp_crds.catalogue import Catalogue
from merp_crds.names import MAX_NAME_LENGTH, RESERVED_NAMES

_ID: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", re.ASCII)
_EXECUTION_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Services:
    """What one application works with."""

    settings: Settings
    cluster: Cluster
    identities: Identities
    records: Records
    jobs: Jobs
    pauses: Pauses
    executions: Executions
    runs: Runs
    cancellations: Cancellations
    previews: Previews
    plans: Plans
    explanations: Explanations
    logs: Logs
    batches: Batches
    rollups: Rollups
    streams: Streams
    catalogues: Catalogues
    reading: Reading
    events: EventStreams
    cache: Cache | None

    @property
    def catalogue(self) -> Catalogue | None:
        """The tasks of the default image; None: any task may be called."""
        return self.catalogues.default


# All of them are coroutines: what is no coroutine FastAPI runs in a thread, which costs more than what it does.
async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


async def _caller(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


async def _job_id(
    name: Annotated[str, Path(alias="id", description="Id of a job: the name of its ScheduledJob.")],
) -> str:
    """An id that a job can have. What cannot be one is answered here, and never becomes part of a path."""
    if len(name) > MAX_NAME_LENGTH or not _ID.fullmatch(name) or name in RESERVED_NAMES:
        raise Problem(problems.NOT_FOUND, f"there is no job {name[:64]!r}")
    return name


async def _execution_id(execution_id: Annotated[str, Path(alias="id", description="Id of an execution.")]) -> str:
    if not _EXECUTION_ID.fullmatch(execution_id):
        raise Problem(problems.NOT_FOUND, f"there is no execution {execution_id[:64]!r}")
    return execution_id


async def once(request: Request) -> None:
    """Refuses a parameter that has one value and comes twice."""
    wrong = repeated(name for name, _ in request.query_params.multi_items())
    if wrong:
        raise problems.validation(
            [FieldError(name, "duplicate", "comes twice: leave one out", "query") for name in wrong]
        )


async def _body(request: Request) -> Any:
    return await read_json(request)


async def _merge_patch(request: Request) -> Any:
    return await read_json(request, media_types=(MERGE_PATCH, JSON))


async def _optional_body(request: Request) -> Any:
    return await read_json(request, optional=True)


async def _idempotency_key(
    key: Annotated[
        str | None,
        Header(alias="Idempotency-Key", description="1 to 255 visible ASCII characters; a repeat is answered alike."),
    ] = None,
) -> str | None:
    if key is not None and not (1 <= len(key) <= 255 and key.isascii() and key.isprintable()):
        detail = "must have 1 to 255 visible ASCII characters"
        raise problems.validation([FieldError("Idempotency-Key", "invalid", detail, "header")])
    return key


ServicesOf = Annotated[Services, Depends(_services)]
CallerOf = Annotated[Caller, Depends(_caller)]
JobId = Annotated[str, Depends(_job_id)]
ExecutionId = Annotated[str, Depends(_execution_id)]
JsonBody = Annotated[Any, Depends(_body)]
MergePatch = Annotated[Any, Depends(_merge_patch)]
OptionalJsonBody = Annotated[Any, Depends(_optional_body)]
IdempotencyKey = Annotated[str | None, Depends(_idempotency_key)]
IfMatch = Annotated[
    str | None, Header(alias="If-Match", description="ETag that the job must have still; 412 if it has another.")
]
