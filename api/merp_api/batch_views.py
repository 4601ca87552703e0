"""What clients send and get when they do one thing with many jobs."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from merp_api.models import Body, View
from merp_crds.common import ObjectName
from merp_crds.names import MAX_NAME_LENGTH


class BatchAction(StrEnum):
    """What is done with each job."""

    PAUSE = "pause"
    RESUME = "resume"
    EXECUTE = "execute"
    DELETE = "delete"


class BatchBody(Body):
    """One thing for many jobs of a namespace."""

    action: Annotated[BatchAction, Field(strict=False, description="What is done with each.")]
    ids: Annotated[
        list[Annotated[ObjectName, Field(max_length=MAX_NAME_LENGTH)]],
        Field(min_length=1, max_length=100, description="Ids of jobs, at most 100."),
    ]
    dry_run: Annotated[bool, Field(description="Only say what each would be answered: nothing is changed.")] = False
    reason: Annotated[
        Annotated[str, Field(max_length=1024)] | None, Field(description="With pause: why, for people.")
    ] = None


class BatchItemView(View):
    """What became of one job: 200, or the status and type of the problem that it would have had alone."""

    id: str
    ok: bool
    status: int
    type: str | None = None
    detail: str | None = None
    execution_id: Annotated[str | None, Field(description="With execute: the run that was asked for.")] = None


class BatchView(View):
    """What became of each job, in the order of the request."""

    action: BatchAction
    dry_run: bool
    items: list[BatchItemView]
    succeeded: int
    failed: int
