"""What clients are told of pools and calendars."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from merp_api.models import View


class PoolRunView(View):
    """A run that has room in a pool, or waits for it. A run that has room tells neither priority nor due time."""

    run: str
    job_id: str
    slots: int
    priority: str | None = None
    due_time: datetime | None = None


class PoolView(View):
    """A JobPool."""

    name: str
    namespace: str
    description: str | None
    slots: int
    used: Annotated[int, Field(description="More than slots where it was made smaller.")]
    admitted: Annotated[list[PoolRunView], Field(description="Who has room.")]
    waiting: Annotated[list[PoolRunView], Field(description="The first that wait, in the order of turns.")]
    waiting_count: int
    message: Annotated[str | None, Field(description="What is wrong with it, null for nothing.")]


class PoolList(View):
    """Every pool."""

    items: list[PoolView]


class CalendarView(View):
    """A BusinessCalendar."""

    name: str
    built_in: Annotated[str | None, Field(description="The country whose public holidays it begins with.")]
    # As they are written: of a calendar that is wrong they may be no dates.
    valid_from: str | None
    valid_through: Annotated[str | None, Field(description="The last day that it knows.")]
    message: Annotated[str | None, Field(description="What is wrong with it, or that it ends soon; null for nothing.")]


class CalendarList(View):
    """Every calendar."""

    items: list[CalendarView]
