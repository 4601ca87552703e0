"""What is settled while an older due time is open, and what the status has no room for."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from due_times import CREATED, NOON, at, outcome, situation, told

from merp_crds.scheduledjob import MAX_SPANS, Span, Unrecorded
from merp_operator import accounting
from merp_operator.situation import Situation

ALLOWED: dict[str, Any] = {"native": False, "forbid": False, "missed": {"policy": "All"}}


def odd_minutes(number: int) -> tuple[str, ...]:
    return tuple(f"{11 + minute // 60}:{minute % 60:02}" for minute in range(1, 2 * number, 2))


@pytest.mark.parametrize(
    ("found", "now", "expected"),
    [
        pytest.param(situation(started=("12:00", "12:01"), **ALLOWED), "12:01:30", ("12:01", []), id="nothing-open"),
        pytest.param(
            situation(started=("12:00", "12:02", "12:03"), **ALLOWED),
            "12:03:30",
            ("12:00", ["12:02-12:03"]),
            id="after-one-that-is-still-to-run",
        ),
        pytest.param(
            situation(started=("12:01", "12:03"), **ALLOWED),
            "12:03:30",
            ("11:59", ["12:01-12:01", "12:03-12:03"]),
            id="between-and-after-them",
        ),
        pytest.param(
            situation(until="10:59", started=odd_minutes(60), catching_up=True, **ALLOWED),
            "12:59:30",
            ("10:59", [f"{time}-{time}" for time in odd_minutes(60)[-MAX_SPANS:]]),
            id="no-more-than-the-status-may-list",
        ),
    ],
)
def test_what_is_settled_beyond_an_open_due_time(found: Situation, now: str, expected: tuple[str, list[str]]) -> None:
    accounted = accounting.decide(found, at(now)).accounted
    beyond = [f"{span.first:%H:%M}-{span.last:%H:%M}" for span in accounted.beyond]
    assert (f"{accounted.until:%H:%M}", beyond) == expected


def test_what_was_settled_beyond_stays_so_when_nothing_else_tells_of_it() -> None:
    """Their Jobs are gone, and the status lists only the last verdicts."""
    found = situation(catching_up=True, unfinished=("j-0",), **ALLOWED)
    assert found.accounted is not None
    beyond = [Span(first=at("12:01"), last=at("12:03"))]
    found = replace(found, accounted=found.accounted.model_copy(update={"beyond": beyond}))
    busy = accounting.decide(found, at("12:03:30"))
    assert told(busy) == outcome(again="12:04:00")
    assert busy.accounted.beyond == beyond
    idle = replace(found, catching_up=False, unfinished=(), accounted=busy.accounted)
    assert told(accounting.decide(idle, at("12:03:40")))["starts"] == ["12:00:00 catch-up"]
    over = accounting.decide(replace(idle, started=frozenset({NOON})), at("12:03:50"))
    assert told(over) == outcome(until="12:03:00", again="12:04:00")
    assert over.accounted.beyond == []


FULL = tuple(
    Unrecorded.model_validate(
        {"first": moment, "last": moment, "count": 1, "verdict": "skipped", "reason": "Overlap", "at": moment}
    )
    for moment in (CREATED + timedelta(minutes=number) for number in range(accounting.MAX_UNRECORDED))
)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, outcome(until="11:59:00", again="13:00:03"), id="waits-for-the-database"),
        pytest.param(
            {"lost": (at("11:00"),)},
            outcome(endings=("11:00:00 cancelled(JobDeleted)",), until="11:59:00", again="13:00:03"),
            id="but-not-with-what-nothing-else-remembers",
        ),
        pytest.param(
            {"taken": frozenset({NOON})},
            outcome(endings=("12:00:00 skipped(NameTaken)",), until="12:00:00", again="13:00:03"),
            id="nor-with-a-name-that-is-taken",
        ),
    ],
)
def test_a_status_that_is_full(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    found = situation({"cron": "0 * * * *"}, missed={"policy": "Skip"})
    assert told(accounting.decide(replace(found, unrecorded=FULL, **fields), at("12:05"))) == expected
