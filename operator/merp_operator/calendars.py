"""A BusinessCalendar as the operator reads it: its working days, or what is wrong with it, and its status. Pure."""

from datetime import datetime, timedelta
from typing import Any, Final, Literal

from pydantic import ValidationError

from merp_crds.businesscalendar import (
    BusinessCalendarSpec,
    BusinessCalendarStatus,
    CalendarReason,
    WorkingDays,
    working_days,
)
from merp_crds.common import Condition
from merp_crds.reasons import ConditionType

Json = dict[str, Any]

# Long enough to see it at a monthly look, and to wait for an announcement that comes in November.
WARNING_TIME: Final = timedelta(days=60)
_MESSAGE_LENGTH: Final = 1024
_FROM_A_VALIDATOR: Final = "Value error, "

_Truth = Literal["True", "False", "Unknown"]


def read(body: Json) -> tuple[WorkingDays | None, str]:
    """The working days of a BusinessCalendar, or None and a sentence that begins with the wrong field's name."""
    try:
        spec = BusinessCalendarSpec.model_validate(body.get("spec") or {})
        return working_days(body["metadata"]["name"], spec), ""
    except ValidationError as error:
        # A ValidationError is a ValueError too, but its own text is for programmers.
        return None, "; ".join(
            f"{_field(entry['loc'])}: {entry['msg'].removeprefix(_FROM_A_VALIDATOR)}" for entry in error.errors()
        )
    except ValueError as error:
        return None, str(error)


def status(body: Json, now: datetime) -> Json:
    """The status as JSON: the same input gives the same output, so that a second look has nothing to write.

    It changes with `now` twice: 60 days before the calendar's last day, and after it. Days are UTC's here, since a
    calendar has no zone; for each job its own zone decides which days are known.
    """
    calendar, problem = read(body)
    generation = body["metadata"].get("generation", 0)
    truth, reason, message = _ready(body, calendar, problem, now)
    known = next((entry for entry in _before(body).conditions if entry.type == ConditionType.READY), None)
    condition = Condition(
        type=ConditionType.READY,
        status=truth,
        reason=reason,
        message=message[:_MESSAGE_LENGTH],
        last_transition_time=now if known is None or known.status != truth else known.last_transition_time,
        observed_generation=generation,
    )
    return BusinessCalendarStatus(
        observed_generation=generation,
        conditions=[condition],
        valid_from=None if calendar is None else calendar.valid_from,
        valid_through=None if calendar is None else calendar.valid_through,
    ).as_json()


def _ready(body: Json, calendar: WorkingDays | None, problem: str, now: datetime) -> tuple[_Truth, CalendarReason, str]:
    if calendar is None:
        return "False", CalendarReason.INVALID_SPEC, problem
    last, today = calendar.valid_through, now.date()
    remedy = "add the days after it to holidays and workdays, and move validThrough"
    if (body.get("spec") or {}).get("validThrough") is None:
        remedy += "; or install a release that has them"
    if last < today:
        text = f"working days are not known after {last}, the weekend and explicit entries alone count: {remedy}"
        return "True", CalendarReason.EXPIRED, text
    if last - today <= WARNING_TIME:
        return "True", CalendarReason.EXPIRES_SOON, f"working days are known through {last} only: {remedy}"
    return "True", CalendarReason.VALID, f"working days are known through {last}"


def _before(body: Json) -> BusinessCalendarStatus:
    try:
        return BusinessCalendarStatus.model_validate(body.get("status") or {})
    except ValidationError:
        # Written by a version that knew other words: it is computed anew.
        return BusinessCalendarStatus()


def _field(location: tuple[int | str, ...]) -> str:
    """Where an entry is, as Kubernetes writes it: holidays[3].date."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return path.removeprefix(".")
