"""BusinessCalendars as the caller may read them."""

from collections.abc import Awaitable

from pydantic import ValidationError

from merp_api.translate import Json
from merp_crds.businesscalendar import BusinessCalendarSpec, WorkingDays, working_days
from merp_kube.client import ApiError


async def read_working_days(name: str, read: Awaitable[Json]) -> WorkingDays:
    """The days of a calendar that is being read.

    Raises ValueError with a sentence where it is not there or wrong, and ApiError.
    """
    try:
        calendar = await read
    except ApiError as error:
        if error.status != 404:
            raise
        raise ValueError(f"calendar: BusinessCalendar {name} is not there: create it") from error
    try:
        return working_days(name, BusinessCalendarSpec.model_validate(calendar.get("spec") or {}))
    except ValidationError as error:
        raise ValueError(f"BusinessCalendar {name}: {sentence(error)}") from error
    except ValueError as error:
        raise ValueError(f"BusinessCalendar {name}: {error}") from error


def sentence(error: ValidationError) -> str:
    """pydantic's errors of an object that somebody else wrote, each with its place."""
    return "; ".join(f"{'.'.join(map(str, entry['loc']))}: {entry['msg']}" for entry in error.errors())
