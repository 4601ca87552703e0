"""JobPools and BusinessCalendars as REST shows them. Pure."""

from typing import Final

from merp_api.shared_views import CalendarView, PoolRunView, PoolView
from merp_api.translate import Json
from merp_crds.businesscalendar import CalendarReason
from merp_crds.reasons import ConditionType

_SPOKEN: Final = frozenset({CalendarReason.EXPIRES_SOON, CalendarReason.EXPIRED})


def pool_view(pool: Json) -> PoolView:
    """A JobPool; what the operator has not said yet is 0 or empty."""
    spec, status = pool.get("spec") or {}, pool.get("status") or {}
    waiting = status.get("waiting") or []
    return PoolView(
        name=pool["metadata"]["name"],
        namespace=pool["metadata"]["namespace"],
        description=spec.get("description"),
        slots=spec["slots"],
        used=status.get("used") or 0,
        admitted=[_run(entry) for entry in status.get("admitted") or []],
        waiting=[_run(entry) for entry in waiting],
        waiting_count=status.get("waitingCount") or len(waiting),
        message=_message(status),
    )


def calendar_view(calendar: Json) -> CalendarView:
    """A BusinessCalendar, with the days that the operator found it to know."""
    spec, status = calendar.get("spec") or {}, calendar.get("status") or {}
    return CalendarView(
        name=calendar["metadata"]["name"],
        built_in=spec.get("builtIn"),
        valid_from=status.get("validFrom") or spec.get("validFrom"),
        valid_through=status.get("validThrough") or spec.get("validThrough"),
        message=_message(status),
    )


def _run(entry: Json) -> PoolRunView:
    return PoolRunView(
        run=entry["run"],
        job_id=entry["scheduledJob"],
        slots=entry["slots"],
        priority=entry.get("priority"),
        due_time=entry.get("dueTime"),
    )


def _message(status: Json) -> str | None:
    for entry in status.get("conditions") or []:
        if entry["type"] == ConditionType.READY and (entry["status"] == "False" or entry["reason"] in _SPOKEN):
            return str(entry.get("message") or entry["reason"])
    return None
