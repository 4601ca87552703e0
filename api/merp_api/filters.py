"""Parameters of URLs: which jobs, which executions, and pages of them."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Final, get_origin

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from merp_api.models import Query
from merp_api.schemas import CatchUp, JobStatus, JobType
from merp_api.times import parse_time
from merp_crds.reasons import RunState, Trigger, Verdict
from merp_crds.scheduledjob import Priority

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 500
# The whole word for "every namespace"; no namespace can have this name.
ALL_NAMESPACES: Final = "*"
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def _moment(value: object) -> object:
    return parse_time(value) if isinstance(value, str) else value


def _day(value: object) -> object:
    # A number is the seconds since 1970 to pydantic, and means nothing to people.
    if isinstance(value, str) and not _DAY.fullmatch(value):
        raise ValueError(f"{value[:32]!r} is no day: write it as 2026-12-31")
    return value


def _without_nul(text: str) -> str:
    # SQLite ends a text there, and what is then looked for is in every record.
    if "\0" in text:
        raise ValueError("has a NUL, which no text has")
    return text


Moment = Annotated[datetime, BeforeValidator(_moment, json_schema_input_type=str)]
Day = Annotated[date, BeforeValidator(_day)]
NamespaceName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
NamespaceOrAll = Annotated[str, Field(pattern=r"^(\*|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$", max_length=63)]
Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT, description="Entries of a page, 1 to 500.")]
Cursor = Annotated[
    Annotated[str, Field(min_length=1, max_length=4096)] | None,
    Field(description="next_cursor of the page before. Default: the first page."),
]
Sought = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_without_nul)]


class JobSort(StrEnum):
    """In which order jobs come; a hyphen turns it round."""

    ID = "id"
    ID_DOWN = "-id"
    NAME = "name"
    NAME_DOWN = "-name"
    PRIORITY = "priority"
    PRIORITY_DOWN = "-priority"
    NEXT_RUN_TIME = "next_run_time"
    NEXT_RUN_TIME_DOWN = "-next_run_time"
    CREATED_AT = "created_at"
    CREATED_AT_DOWN = "-created_at"
    UPDATED_AT = "updated_at"
    UPDATED_AT_DOWN = "-updated_at"


def _ordered(end: datetime | None, info: ValidationInfo) -> datetime | None:
    start = info.data.get("start")
    if end is not None and start is not None and end < start:
        raise ValueError("end is before start: nothing could lie between them")
    return end


class NamespaceQuery(Query):
    """Where the job is."""

    namespace: Annotated[NamespaceName | None, Field(description="Default: the installation's namespace.")] = None


class NamespaceOrAllQuery(Query):
    """Where things are."""

    namespace: Annotated[
        NamespaceOrAll | None, Field(description="`*` for all. Default: the installation's namespace.")
    ] = None


class LogQuery(NamespaceQuery):
    """How much of a log."""

    lines: Annotated[
        Annotated[int, Field(ge=1, le=100_000)] | None, Field(description="The last ones of a pod. Default: all.")
    ] = None
    follow: Annotated[bool, Field(description="Go on until the pod ends.")] = False


class ResumeQuery(NamespaceQuery):
    """What becomes of the due times of the pause."""

    missed: Annotated[
        CatchUp | None,
        Field(description="Latest: run the newest due time of the pause; All: each of them. Default: none."),
    ] = None


class JobsQuery(Query):
    """Which jobs."""

    namespace: Annotated[
        NamespaceOrAll | None, Field(description="`*` for all. Default: the installation's namespace.")
    ] = None
    status: Annotated[list[JobStatus], Field(default_factory=list, description="Any of these.")]
    job_type: Annotated[list[JobType], Field(default_factory=list, description="Any of these.")]
    priority: Annotated[list[Priority], Field(default_factory=list, description="Any of these.")]
    pool: Annotated[Annotated[str, Field(max_length=63)] | None, Field(description="Name of the job's pool.")] = None
    text: Annotated[
        Sought | None, Field(description="Part of id, name, func or description, in any case of its letters.")
    ] = None
    sort: Annotated[
        JobSort, Field(description="high before low; jobs without a next_run_time come last, whichever way.")
    ] = JobSort.ID
    limit: Limit = DEFAULT_LIMIT
    cursor: Cursor = None


class PlanQuery(Query):
    """Which part of what is to come."""

    namespace: Annotated[
        NamespaceOrAll | None, Field(description="`*` for all. Default: the installation's namespace.")
    ] = None
    job_id: Annotated[Annotated[str, Field(max_length=253)] | None, Field(description="Only this job.")] = None
    start: Annotated[
        Moment | None, Field(description="Due after this moment; without an offset UTC. Default: now.")
    ] = None
    end: Annotated[
        Moment | None, Field(description="Due at this moment or before; without an offset UTC. Default: a day later.")
    ] = None
    limit: Limit = DEFAULT_LIMIT
    cursor: Cursor = None

    @field_validator("end")
    @classmethod
    def _after_start(cls, end: datetime | None, info: ValidationInfo) -> datetime | None:
        return _ordered(end, info)


class OneHistoryQuery(Query):
    """Which executions of a job."""

    namespace: Annotated[NamespaceName | None, Field(description="Default: the installation's namespace.")] = None
    status: Annotated[list[Verdict | RunState], Field(default_factory=list, description="Any of these.")]
    trigger: Annotated[list[Trigger], Field(default_factory=list, description="Any of these.")]
    start: Annotated[Moment | None, Field(description="Started at this moment or later; without an offset UTC.")] = None
    end: Annotated[Moment | None, Field(description="Started before this moment; without an offset UTC.")] = None
    text: Annotated[
        Sought | None,
        Field(description="Part of the run's name, reason, error or result, or of the job's name, in any case."),
    ] = None
    limit: Limit = DEFAULT_LIMIT
    cursor: Cursor = None

    @field_validator("end")
    @classmethod
    def _after_start(cls, end: datetime | None, info: ValidationInfo) -> datetime | None:
        return _ordered(end, info)


class HistoryQuery(OneHistoryQuery):
    """Which executions."""

    namespace: Annotated[
        NamespaceOrAll | None, Field(description="`*` for all. Default: the installation's namespace.")
    ] = None
    job_id: Annotated[
        Annotated[str, Field(max_length=253)] | None,
        Field(description="Id of a job: the history of every job that had it, deleted ones too."),
    ] = None


class OneDaysQuery(Query):
    """Which days of a job, UTC."""

    namespace: Annotated[NamespaceName | None, Field(description="Default: the installation's namespace.")] = None
    start: Annotated[Day | None, Field(description="First day. Default: 29 days before the last.")] = None
    end: Annotated[Day | None, Field(description="Last day, at most 365 after the first. Default: today.")] = None


class DaysQuery(OneDaysQuery):
    """Which days, UTC."""

    namespace: Annotated[
        NamespaceOrAll | None, Field(description="`*` for all. Default: the installation's namespace.")
    ] = None


class WorstQuery(DaysQuery):
    """Of which days, and how many jobs."""

    limit: Annotated[int, Field(ge=1, le=100, description="How many jobs, 1 to 100.")] = 20


def _single_valued(query: type[Query]) -> Iterator[str]:
    for name, field in query.model_fields.items():
        if get_origin(field.annotation) is not list:
            yield name
    for narrower in query.__subclasses__():
        yield from _single_valued(narrower)


_SINGLE_VALUED: Final = frozenset(_single_valued(Query))


def repeated(names: Iterable[str]) -> list[str]:
    """Those of a URL's parameters that have one value and come twice: which of the two was meant would be a guess.

    What no operation knows is for the operation to refuse.
    """
    return [name for name, times in Counter(names).items() if times > 1 and name in _SINGLE_VALUED]
