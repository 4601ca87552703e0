"""Due times on working days: what is taken away, what is moved, and to where."""

from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any

import pytest

from merp_crds.businesscalendar import BusinessCalendarSpec, working_days
from merp_crds.schedule import Timetable, never_fires
from merp_crds.scheduledjob import Schedule
from merp_crds.series import newest

# Monday to Friday but for 1 to 7 October 2026; the Saturday 10 October is worked.
GOLDEN_WEEK = working_days(
    "cn",
    BusinessCalendarSpec.model_validate(
        {
            "holidays": [{"date": f"2026-10-0{day}"} for day in range(1, 8)],
            "workdays": [{"date": "2026-10-10"}],
            "validThrough": "2026-12-31",
        }
    ),
)


def timetable(fields: dict[str, Any], on_holiday: str, zone: str = "Asia/Shanghai") -> Timetable:
    spec = fields | {"timeZone": zone, "calendar": {"name": "cn", "onHoliday": on_holiday}}
    return Timetable.of(Schedule.model_validate(spec), "UTC", GOLDEN_WEEK)


def times(moments: Any) -> list[str]:
    return [moment.strftime("%m-%dT%H:%M") for moment in moments]


START, END = datetime(2026, 9, 28, tzinfo=UTC), datetime(2026, 10, 14, tzinfo=UTC)
WORKED = [
    "09-28T01:00",
    "09-29T01:00",
    "09-30T01:00",
    "10-08T01:00",
    "10-09T01:00",
    "10-10T01:00",
    "10-12T01:00",
    "10-13T01:00",
]
OFF = [f"10-{day:02}T01:00" for day in (1, 2, 3, 4, 5, 6, 7, 11)]


@pytest.mark.parametrize(
    ("fields", "on_holiday", "due", "dropped"),
    [
        pytest.param({"cron": "0 9 * * *"}, "Skip", WORKED, OFF, id="daily-skip"),
        pytest.param({"cron": "0 9 * * *"}, "Next", WORKED, OFF, id="daily-next-meets-the-one-that-is-there"),
        pytest.param({"cron": "0 9 * * *"}, "Previous", WORKED, OFF, id="daily-previous-meets-the-one-that-is-there"),
        pytest.param({"cron": "0 9 1 * *"}, "Skip", [], ["10-01T01:00"], id="monthly-skip"),
        pytest.param({"cron": "0 9 1 * *"}, "Next", ["10-08T01:00"], [], id="monthly-next"),
        pytest.param({"cron": "0 9 1 * *"}, "Previous", ["09-30T01:00"], [], id="monthly-previous"),
        pytest.param({"cron": "0 9 3,5,7 * *"}, "Next", ["10-08T01:00"], ["10-03T01:00", "10-05T01:00"], id="the-nearest-is-moved-on"),
        pytest.param({"cron": "0 9 3,5,7 * *"}, "Previous", ["09-30T01:00"], ["10-05T01:00", "10-07T01:00"], id="the-nearest-is-moved-back"),
        pytest.param({"cron": "0 9,18 5,8 10 *"}, "Next", ["10-08T01:00", "10-08T10:00"], ["10-05T01:00", "10-05T10:00"], id="two-a-day"),
        pytest.param({"cron": "0 9 10,11 * *"}, "Next", ["10-10T01:00", "10-12T01:00"], [], id="a-worked-saturday-stays"),
        pytest.param({"cron": "30 0 * * 4"}, "Skip", ["10-07T16:30"], ["09-30T16:30"], id="a-day-is-the-zones-day"),
        pytest.param({"at": "2026-10-03T08:00:00+08:00"}, "Skip", [], ["10-03T00:00"], id="at-skip"),
        pytest.param({"at": "2026-10-03T08:00:00+08:00"}, "Next", ["10-08T00:00"], [], id="at-next"),
        pytest.param({"at": "2026-10-03T08:00:00+08:00"}, "Previous", ["09-30T00:00"], [], id="at-previous"),
        pytest.param({"intervalSeconds": 172_800, "startAt": "2026-09-29T04:00:00Z"}, "Next", ["09-29T04:00", "10-08T04:00", "10-09T04:00", "10-12T04:00", "10-13T04:00"], ["10-01T04:00", "10-03T04:00", "10-05T04:00"], id="interval-next"),
        pytest.param({"intervalSeconds": 43_200}, "Skip", [f"{day}T{hour}" for day in ("09-28", "09-29", "09-30", "10-08", "10-09", "10-10", "10-12", "10-13") for hour in ("00:00", "12:00")][1:], [f"10-{day:02}T{hour}" for day in (1, 2, 3, 4, 5, 6, 7, 11) for hour in ("00:00", "12:00")], id="interval-skip"),
        pytest.param({"cron": "0 9 1 * *", "endAt": "2026-10-07T00:00:00Z"}, "Next", [], ["10-01T01:00"], id="moved-past-the-end-is-taken-away"),
        pytest.param({"cron": "0 9 1 * *", "startAt": "2026-10-01T00:00:00Z"}, "Previous", [], ["10-01T01:00"], id="moved-before-the-start-is-taken-away"),
        pytest.param({"cron": "0 9 1 * *", "startAt": "2026-10-05T00:00:00Z"}, "Next", ["10-08T01:00"], [], id="moved-behind-the-start-counts"),
    ],
)  # fmt: skip
def test_what_becomes_of_days_off(fields: dict[str, Any], on_holiday: str, due: list[str], dropped: list[str]) -> None:
    table = timetable(fields, on_holiday)
    assert times(moment for moment in table.between(START, END) if moment < END) == due
    assert times(table.dropped(START, END)) == dropped


def test_a_time_that_is_moved_back_is_found_from_before_and_not_from_behind() -> None:
    table = timetable({"cron": "0 9 1 10 *"}, "Previous")
    target = datetime(2026, 9, 30, 1, tzinfo=UTC)
    assert table.after(target - timedelta(seconds=1)) == target
    assert table.newest(START, target) == target
    # The original is on 1 October; whoever asks in between is told of the next year.
    assert table.after(target) == datetime(2027, 10, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "on_holiday", "zone", "start", "expected"),
    [
        # From the Saturdays before the clock changes of 28 March and 31 October 2027.
        pytest.param("30 2 27 3 *", "Next", "Europe/Berlin", "2027-03-26", "2027-03-28T01:00", id="into-the-gap-its-end"),
        pytest.param("30 2 30 10 *", "Next", "Europe/Berlin", "2027-10-29", "2027-10-31T00:30", id="into-the-repeated-hour-its-first"),
    ],
)  # fmt: skip
def test_where_a_moved_local_time_is_left_out_or_repeated(
    cron: str, on_holiday: str, zone: str, start: str, expected: str
) -> None:
    saturdays_off = working_days(
        "sat", BusinessCalendarSpec.model_validate({"weekend": ["Saturday"], "validThrough": "2027-12-31"})
    )
    spec = Schedule.model_validate(
        {"cron": cron, "timeZone": zone, "calendar": {"name": "sat", "onHoliday": on_holiday}}
    )
    due = Timetable.of(spec, "UTC", saturdays_off).after(datetime.fromisoformat(start).replace(tzinfo=UTC))
    assert due is not None
    assert due.strftime("%Y-%m-%dT%H:%M") == expected


@pytest.mark.parametrize(
    ("cron", "on_holiday", "expected"),
    [
        pytest.param("0 9 * * SUN", "Skip", True, id="sundays-only-and-none-is-worked"),
        pytest.param("0 9 * * SUN", "Next", False, id="sundays-moved-on"),
        pytest.param("0 9 * * SAT", "Skip", False, id="one-saturday-is-worked"),
        pytest.param("0 9 30 2 *", "Next", True, id="february-30"),
    ],
)
def test_never_fires_with_a_calendar(cron: str, on_holiday: str, expected: bool) -> None:
    spec = Schedule.model_validate({"cron": cron, "calendar": {"name": "cn", "onHoliday": on_holiday}})
    assert never_fires(spec, "UTC", START, GOLDEN_WEEK) is expected


def test_what_the_calendar_knows_is_told() -> None:
    assert timetable({"cron": "0 9 * * *"}, "Skip").unknown_from == date(2027, 1, 1)
    assert Timetable.of(Schedule(cron="0 9 * * *")).unknown_from is None
    assert list(Timetable.of(Schedule(cron="0 9 * * *")).dropped(START, END)) == []


def test_a_calendar_that_is_not_there_is_no_silent_guess() -> None:
    spec = Schedule.model_validate({"cron": "0 9 * * *", "calendar": {"name": "cn"}})
    with pytest.raises(ValueError, match=r"^calendar: BusinessCalendar cn is not there: create it$"):
        Timetable.of(spec)


def test_a_digest_is_of_the_calendar_too() -> None:
    plain = Timetable.of(Schedule(cron="0 9 * * *", time_zone="Asia/Shanghai"))
    tables = [plain, *(timetable({"cron": "0 9 * * *"}, policy) for policy in ("Skip", "Next", "Previous"))]
    assert len({table.digest for table in tables}) == len(tables)


@pytest.mark.parametrize("on_holiday", ["Next", "Previous"])
def test_no_more_of_a_long_range_is_looked_at_than_is_taken(on_holiday: str) -> None:
    every_minute = timetable({"cron": "* * * * *"}, on_holiday)
    # Each time that is moved meets another one, so that none of them is ever due.
    found = list(islice(every_minute.between(START, START + timedelta(days=9 * 366)), 100))
    assert found[-1] == START + timedelta(minutes=100)
    assert every_minute.moved is not None
    assert len(every_minute.moved._moved) <= 2


def test_a_range_to_the_end_of_all_time_has_the_times_of_its_parts() -> None:
    yearly = timetable({"cron": "0 9 1 10 *"}, "Next")
    found = list(yearly.between(datetime(9400, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)))
    assert len(found) == 500
    assert found == sorted(set(found))


def test_where_nothing_was_due_the_newest_takes_one_question() -> None:
    """Sundays that are worked come so seldom that each question looks years ahead."""
    sundays = timetable({"cron": "0 9 * * 0"}, "Skip")
    questions: list[datetime] = []

    def after(moment: datetime) -> datetime | None:
        questions.append(moment)
        return sundays.after(moment)

    assert newest(after, START, END) is None
    assert questions == [START]
