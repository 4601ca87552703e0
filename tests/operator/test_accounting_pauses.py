"""What becomes of due times before, in and after a pause."""

from dataclasses import replace
from typing import Any

import pytest
from due_times import at, outcome, situation, told

from merp_crds.schedule import Timetable
from merp_crds.scheduledjob import Schedule
from merp_operator import accounting


@pytest.mark.parametrize("policy", ["Skip", "Latest", "All"])
def test_c14_a_pause_is_no_outage(policy: str) -> None:
    running = situation({"cron": "*/10 * * * *"}, missed={"policy": policy}, until="10:00")
    paused = accounting.decide(replace(running, suspended=True), at("10:01"))
    assert told(paused) == outcome(until="10:01:00", again=None)
    later = accounting.decide(replace(running, suspended=True, accounted=paused.accounted), at("11:30"))
    assert told(later) == outcome(until="10:01:00", again=None)
    resumed = accounting.decide(replace(running, accounted=paused.accounted), at("12:07"))
    assert told(resumed) == outcome(until="12:07:00", again="12:10:03")


@pytest.mark.parametrize(
    ("until", "suspended", "now", "expected"),
    [
        pytest.param("12:00", False, "12:12:30", (), id="does-nothing-while-none-begins"),
        pytest.param("12:00", True, "12:10:30", (), id="does-nothing-about-what-was-still-in-time"),
        pytest.param("12:00", True, "12:11:30", ("12:10:00 missed(Outage)",), id="late-already"),
        pytest.param(
            "11:40",
            True,
            "12:12:30",
            ("11:50:00 missed(Outage)", "12:10:00 missed(Outage)"),
            id="between-those-that-ran",
        ),
    ],
)
@pytest.mark.parametrize("policy", ["Skip", "Latest", "All"])
def test_what_was_late_when_a_pause_began_ends_at_once_whatever_the_policy(
    policy: str, until: str, suspended: bool, now: str, expected: tuple[str, ...]
) -> None:
    running = situation({"cron": "*/10 * * * *"}, missed={"policy": policy}, until=until, started=("12:00",))
    if not suspended:
        # 12:10 is the native clock's: it has started it.
        running = replace(running, started=running.started | {at("12:10")})
    found = replace(running, suspended=suspended)
    first = accounting.decide(found, at(now))
    assert tuple(told(first)["endings"]) == expected
    second = replace(found, accounted=first.accounted, unrecorded=first.endings)
    assert accounting.decide(second, at("12:14")).endings == ()


@pytest.mark.parametrize(
    ("schedule", "now", "expected"),
    [
        pytest.param({}, "12:00:02", outcome(until="11:59:59", again="12:00:03"), id="at-its-end"),
        pytest.param(
            {}, "12:00:04", outcome(("12:00:00 schedule",), until="11:59:59", again="12:10:03"), id="due-then"
        ),
        pytest.param(
            {},
            "12:25:00",
            outcome(
                endings=("12:00:00 missed(Outage)", "12:10:00 missed(Outage)", "12:20:00 missed(Outage)"),
                until="12:20:00",
                again="12:30:03",
            ),
            id="nobody-looked-for-long",
        ),
        pytest.param(
            {"timeZone": "Asia/Tokyo"}, "12:25:00", outcome(until="12:25:00", again="12:30:03"), id="edited-meanwhile"
        ),
    ],
)
def test_what_is_due_after_a_pause_that_ended_by_itself_is_due(
    schedule: dict[str, str], now: str, expected: dict[str, Any]
) -> None:
    paused = situation({"cron": "*/10 * * * *"}, missed={"policy": "Skip"}, suspended=True, until="10:01")
    timetable = Timetable.of(Schedule.model_validate({"cron": "*/10 * * * *"} | schedule))
    found = replace(paused, suspended=False, resumed=at("12:00"), timetable=timetable)
    assert told(accounting.decide(found, at(now))) == expected
