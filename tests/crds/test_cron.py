"""Cron means what the cluster says it means; expectations are the original parser's own answers."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merp_crds.cron import Cron


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def series(expression: str, zone: str, start: str, count: int) -> list[str]:
    cron, moment, found = Cron.parse(expression, zone), at(start), []
    for _ in range(count):
        due = cron.after(moment)
        if due is None:
            break
        found.append(due.strftime("%Y-%m-%dT%H:%MZ"))
        moment = due
    return found


@pytest.mark.parametrize(
    ("expression", "zone", "start", "expected"),
    [
        pytest.param(
            "15 6 */2 * SUN",
            "UTC",
            "2026-12-01T00:00:00Z",
            [f"2026-12-{day:02}T06:15Z" for day in (1, 3, 5, 6, 7, 9, 11)],
            id="C02-stepped-star-is-no-star",
        ),
        pytest.param("30 3 * * ?", "UTC", "2026-12-01T00:00:00Z", ["2026-12-01T03:30Z"], id="C04-question-mark"),
        pytest.param(
            "10 2 * * *",
            "Europe/Berlin",
            "2027-10-30T12:00:00Z",
            ["2027-10-31T00:10Z", "2027-10-31T01:10Z", "2027-11-01T01:10Z"],
            id="C07-repeated-hour-fires-twice",
        ),
        pytest.param(
            "30 2 * * *",
            "America/Chicago",
            "2027-03-13T12:00:00Z",
            ["2027-03-15T07:30Z", "2027-03-16T07:30Z"],
            id="C08-skipped-hour-fires-not-at-all",
        ),
        pytest.param("20 6 * * *", "Etc/GMT-3", "2026-12-01T00:00:00Z", ["2026-12-01T03:20Z"], id="C10-reversed-sign"),
        pytest.param("0 0 1 * */1", "UTC", "2026-11-25T00:00:00Z", ["2026-12-01T00:00Z"], id="star-with-step-one"),
        pytest.param("0 0 * * 1-1", "UTC", "2026-11-25T00:00:00Z", ["2026-11-30T00:00Z"], id="equal-range"),
        pytest.param(
            "5/30 * * * *", "UTC", "2026-11-25T00:00:00Z", ["2026-11-25T00:05Z", "2026-11-25T00:35Z"], id="n-step"
        ),
        pytest.param("@monthly", "Asia/Shanghai", "2026-11-25T00:00:00Z", ["2026-11-30T16:00Z"], id="descriptor"),
        pytest.param(
            "0 0 30 12 *", "Pacific/Apia", "2011-12-29T12:00:00Z", ["2012-12-29T10:00Z"], id="a-day-that-was-left-out"
        ),
        pytest.param("0 0 29 2 *", "UTC", "2026-11-25T00:00:00Z", ["2028-02-29T00:00Z"], id="leap-day"),
        pytest.param("0 0 31 2 *", "UTC", "2026-11-25T00:00:00Z", [], id="never"),
        pytest.param(", * * * *", "UTC", "2026-11-25T00:00:00Z", [], id="only-a-comma-never"),
    ],
)
def test_due_times_are_the_clusters(expression: str, zone: str, start: str, expected: list[str]) -> None:
    assert series(expression, zone, start, max(1, len(expected))) == expected


@pytest.mark.parametrize(
    ("expression", "zone", "expected"),
    [
        pytest.param(
            "30 6 * * 7", "UTC", "day-of-week: 7 in '7' is above 6: write Sunday as 0 or SUN", id="C01-sunday-as-7"
        ),
        pytest.param(
            "0 22 * * FRI-MON",
            "UTC",
            "day-of-week: 'FRI-MON' ends before it begins, and ranges do not wrap: write FRI,SAT,SUN,MON",
            id="C01-wrapped-range",
        ),
        pytest.param(
            "* 22-2 * * *",
            "UTC",
            "hour: '22-2' ends before it begins, and ranges do not wrap: write 22-23,0-2",
            id="wrapped-hours",
        ),
        pytest.param(
            "0 30 3 * * ?",
            "UTC",
            "cron: five fields are expected and 6 came: minute hour day-of-month month day-of-week, "
            "without seconds in front or a year behind",
            id="C04-six-fields",
        ),
        pytest.param(
            "CRON_TZ=Asia/Tokyo 0 9 * * *",
            "UTC",
            "cron: a zone does not belong in the schedule: put it into schedule.timeZone",
            id="C05-zone-inside",
        ),
        pytest.param(
            "@every 1h", "UTC", "cron: @every drifts from start to start: use schedule.intervalSeconds", id="every"
        ),
        pytest.param(
            "0 0 L * *",
            "UTC",
            "day-of-month: 'L' is no number: L (last) is not known to the cluster: use a job with a calendar, or the day before the first",
            id="last-day",
        ),
        pytest.param("61 * * * *", "UTC", "minute: 61 in '61' is above 59", id="too-high"),
        pytest.param("*/0 * * * *", "UTC", "minute: '*/0' has a step of 0: write a step of 1 or more", id="step-0"),
        pytest.param(
            "0 0 * * *",
            "asia/shanghai",
            "timeZone: 'asia/shanghai' is no zone: letter case counts, write Asia/Shanghai",
            id="C11-letter-case",
        ),
        pytest.param(
            "0 0 * * *",
            "Local",
            "timeZone: Local is whatever zone a server happens to have: write an IANA name",
            id="C11-local",
        ),
        pytest.param(
            "0 0 * * *",
            "",
            "timeZone: is empty: write an IANA name such as Asia/Shanghai, or leave the field out",
            id="C11-empty",
        ),
        pytest.param(
            "0 0 * * *",
            "UTC+8",
            "timeZone: 'UTC+8' is no IANA zone: write a name such as Asia/Shanghai or UTC, not an offset",
            id="C11-offset",
        ),
    ],
)
def test_what_the_cluster_refuses_is_told_with_the_field_and_the_remedy(
    expression: str, zone: str, expected: str
) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  (the whole text is compared)
        Cron.parse(expression, zone)
    assert str(caught.value) == expected


moments = st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2035, 1, 1)).map(
    lambda m: m.replace(tzinfo=UTC)
)


@given(moments, st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Shanghai"]))
def test_no_due_time_lies_between_a_moment_and_the_next_one(moment: datetime, zone: str) -> None:
    cron = Cron.parse("*/20 1-3 * * *", zone)
    due = cron.after(moment)
    assert due is not None
    assert due > moment
    assert cron.after(due - timedelta(seconds=1)) == due


def test_a_naive_moment_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        Cron.parse("* * * * *", "UTC").after(datetime(2026, 1, 1))
