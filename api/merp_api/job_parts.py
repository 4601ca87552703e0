"""The parts of a job's body that are objects themselves."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from merp_api.models import Body
from merp_crds.common import ObjectName, parse_duration
from merp_crds.names import MAX_NAME_LENGTH
from merp_crds.scheduledjob import (
    MAX_INT32,
    MAX_SLOTS,
    DependencyCondition,
    MissedPolicy,
    OnHoliday,
    OnPoolTimeout,
    OnTimeout,
    Period,
    Require,
)


def _duration(text: str) -> str:
    parse_duration(text)
    return text


Duration = Annotated[str, Field(max_length=28), AfterValidator(_duration)]


class WindowBody(Body):
    """Which runs of the upstream count: exactly one of the three."""

    since_last_run: Annotated[Literal[True] | None, Field(description="A run that has not opened this gate yet.")] = (
        None
    )
    within: Annotated[
        Duration | None,
        Field(description="A run whose due time is at most so long before, for example 24h."),
    ] = None
    period: Annotated[Period | None, Field(strict=False, description="A run of the same period of the zone.")] = None


class DependencyBody(Body):
    """One upstream job of the same namespace."""

    id: Annotated[ObjectName, Field(max_length=MAX_NAME_LENGTH, description="Id of the upstream job.")]
    condition: Annotated[DependencyCondition, Field(strict=False, description="How its run has to end.")] = (
        DependencyCondition.SUCCEEDED
    )
    window: Annotated[WindowBody | None, Field(description="Which of its runs count. Default: since_last_run.")] = None
    latest: Annotated[bool, Field(description="Whether the newest run in the window must meet the condition.")] = False


class DependencyPolicyBody(Body):
    """How dependencies are combined, and how long they are waited for."""

    require: Annotated[Require, Field(strict=False, description="How many of them must be met.")] = Require.ALL
    timeout_seconds: Annotated[int, Field(ge=1, le=MAX_INT32, description="Seconds that a run waits for them.")] = (
        86_400
    )
    on_timeout: Annotated[OnTimeout, Field(strict=False, description="What becomes of the run after that.")] = (
        OnTimeout.SKIP
    )


class PoolBody(Body):
    """The room that a run takes."""

    name: Annotated[ObjectName, Field(description="Name of a JobPool of the same namespace.")]
    slots: Annotated[int, Field(ge=1, le=MAX_SLOTS, description="How many of its slots a run takes.")] = 1
    timeout_seconds: Annotated[
        int | None,
        Field(ge=1, le=MAX_INT32, description="Seconds that a run waits for room. Default: no limit."),
    ] = None
    on_timeout: Annotated[OnPoolTimeout, Field(strict=False, description="What becomes of the run after that.")] = (
        OnPoolTimeout.SKIP
    )


class MissedBody(Body):
    """What is caught up of the due times that passed in an outage."""

    policy: Annotated[MissedPolicy, Field(strict=False, description="The newest one, each of them, or none.")] = (
        MissedPolicy.LATEST
    )
    max_age: Annotated[Duration, Field(description="How late a due time may still be started, for example 36h.")] = (
        "24h"
    )
    max_count: Annotated[int, Field(ge=1, le=10_000, description="With All: how many runs one outage may bring.")] = 100


class CalendarBody(Body):
    """Which working days count."""

    name: Annotated[ObjectName, Field(description="Name of a BusinessCalendar, for example cn.")]
    on_holiday: Annotated[OnHoliday, Field(strict=False, description="What becomes of a due time on a day off.")] = (
        OnHoliday.SKIP
    )
