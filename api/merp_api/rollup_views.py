"""What clients are told of days: how due times ended, in numbers."""

from datetime import date
from typing import Annotated

from pydantic import Field

from merp_api.models import View


class TotalsView(View):
    """How due times ended: a record that stands for several counts as several."""

    success: int
    failed: int
    timeout: int
    cancelled: int
    skipped: int
    missed: int
    healed: Annotated[int, Field(description="Of those without success: how many have one by now, from a later run.")]


class DayView(TotalsView):
    """A day, UTC. One on which nothing ended is left out."""

    day: date


class JobDayView(DayView):
    """A day of one job. Seconds; null where there is nothing to measure."""

    duration_p50: Annotated[float | None, Field(description="Half of the runs took at most so long.")]
    duration_p95: Annotated[float | None, Field(description="95 % of them did.")]
    lateness_p50: Annotated[float | None, Field(description="Half of the scheduled runs started at most so late.")]
    lateness_p95: Annotated[float | None, Field(description="95 % of them did.")]


class DayList(View):
    """The days of a range, newest first."""

    items: list[DayView]


class JobDayList(View):
    """The days of one job in a range, newest first."""

    items: list[JobDayView]


class JobTotalsView(TotalsView):
    """What became of a job's due times in a range."""

    job_id: str
    job_uid: str
    job_name: str
    namespace: str


class JobTotalsList(View):
    """The jobs with most due times that are without a success still, worst first."""

    items: list[JobTotalsView]
