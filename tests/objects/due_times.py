"""Situations of due times in short, and what was decided of them in words."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from merp_crds.schedule import Timetable
from merp_crds.scheduledjob import Accounted, Missed, Schedule, Unrecorded
from merp_operator.accounting import Decision
from merp_operator.situation import Situation

NOON = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
CREATED = datetime(2026, 11, 1, tzinfo=UTC)


def at(text: str) -> datetime:
    """A time of 25 November 2026, UTC, as 12:01 or 12:01:03.5."""
    return datetime.fromisoformat(f"2026-11-25T{text}+00:00")


def situation(
    schedule: dict[str, Any] | None = None,
    *,
    missed: dict[str, Any] | None = None,
    until: str | None = "11:59",
    started: tuple[str, ...] = (),
    unrecorded: tuple[tuple[str, str], ...] = (),
    spans: tuple[tuple[str, str | None], ...] = (),
    native_last: str | None = None,
    **fields: Any,
) -> Situation:
    """A job of every minute on the native clock whose due times are accounted for up to `until`."""
    timetable = Timetable.of(Schedule.model_validate(schedule or {"cron": "* * * * *"}))
    found = Situation(
        timetable=timetable,
        only=None,
        created=CREATED,
        generation=1,
        suspended=False,
        native=True,
        missed=Missed.model_validate(missed or {}),
        forbid=True,
        accounted=None,
        started=frozenset(map(at, started)),
        native_last=None if native_last is None else at(native_last),
        unrecorded=tuple(
            Unrecorded.model_validate(
                {"first": at(first), "last": at(last), "count": 1, "verdict": "missed", "reason": "Outage", "at": NOON}
            )
            for first, last in unrecorded
        ),
        spans=tuple((at(begin), None if end is None else at(end)) for begin, end in spans),
    )
    found = replace(found, **fields)
    return found if until is None else replace(found, accounted=Accounted(until=at(until), hash=found.digest))


def told(decision: Decision) -> dict[str, Any]:
    """A decision in words."""
    return {
        "starts": [f"{start.due_time:%H:%M:%S} {start.trigger.value}" for start in decision.starts],
        "endings": [
            f"{entry.first:%H:%M:%S} {entry.verdict.value}({entry.reason.value})"
            + (f" x{entry.count} to {entry.last:%H:%M:%S}" if entry.count > 1 else "")
            for entry in decision.endings
        ],
        "until": f"{decision.accounted.until:%H:%M:%S}",
        "again": None if decision.look_again is None else f"{decision.look_again:%H:%M:%S}",
    }


def outcome(
    starts: tuple[str, ...] = (), endings: tuple[str, ...] = (), until: str = "11:59:00", again: str | None = "12:01:03"
) -> dict[str, Any]:
    """What is expected of a decision, in the same words."""
    return {"starts": list(starts), "endings": list(endings), "until": until, "again": again}
