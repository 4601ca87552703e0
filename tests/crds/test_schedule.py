"""Due times of every kind of schedule, and which of them the native clock can carry."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from merp_crds import schedule
from merp_crds.cron import Cron
from merp_crds.schedule import Timetable
from merp_crds.scheduledjob import Schedule, ScheduledJobSpec
from merp_crds.series import newest

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


def hours(*values: float) -> list[datetime]:
    return [NOON + timedelta(hours=value) for value in values]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param(Schedule(cron="0 */2 * * *"), hours(2, 4), id="cron-start-excluded-end-included"),
        pytest.param(Schedule(interval_seconds=5400), hours(1.5, 3), id="interval-from-1970"),
        pytest.param(
            Schedule(interval_seconds=5400, start_at=NOON + timedelta(hours=1)),
            hours(1, 2.5, 4),
            id="interval-from-start",
        ),
        pytest.param(Schedule(at=NOON + timedelta(hours=4)), hours(4), id="at"),
        pytest.param(Schedule(at=NOON), [], id="at-that-is-past"),
        pytest.param(Schedule(cron="0 * * * *", start_at=NOON + timedelta(hours=3)), hours(3, 4), id="start-counts"),
        pytest.param(Schedule(cron="0 * * * *", end_at=NOON + timedelta(hours=2)), hours(1, 2), id="end-counts"),
        pytest.param(Schedule(cron="0 0 31 2 *"), [], id="never"),
    ],
)
def test_due_times_in_a_range(spec: Schedule, expected: list[datetime]) -> None:
    assert list(schedule.due_times(spec, NOON, NOON + timedelta(hours=4))) == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param(
            Schedule(cron="0 0 1 * *", time_zone="Asia/Shanghai"), ("0 0 1 * *", "Asia/Shanghai"), id="cron-with-zone"
        ),
        pytest.param(Schedule(cron="0 0 1 * *"), ("0 0 1 * *", "Europe/Berlin"), id="cron-in-the-installations-zone"),
        pytest.param(Schedule(interval_seconds=900), ("*/15 * * * *", "Etc/UTC"), id="minutes-that-divide-an-hour"),
        pytest.param(Schedule(interval_seconds=3600), ("0 * * * *", "Etc/UTC"), id="an-hour"),
        pytest.param(Schedule(interval_seconds=21_600), ("0 */6 * * *", "Etc/UTC"), id="hours-that-divide-a-day"),
        pytest.param(Schedule(interval_seconds=86_400), ("0 0 * * *", "Etc/UTC"), id="a-day"),
        pytest.param(Schedule(interval_seconds=45), None, id="C62-seconds"),
        pytest.param(Schedule(interval_seconds=420), None, id="minutes-that-do-not-divide"),
        pytest.param(Schedule(interval_seconds=18_000), None, id="hours-that-do-not-divide"),
        pytest.param(Schedule(interval_seconds=900, start_at=NOON), None, id="interval-with-a-start"),
        pytest.param(Schedule(at=NOON), None, id="at"),
        pytest.param(Schedule.model_validate({"cron": "0 2 * * *", "dst": "Once"}), None, id="once"),
        pytest.param(
            Schedule.model_validate({"cron": "0 2 * * *", "calendar": {"name": "cn"}}), None, id="with-a-calendar"
        ),
        pytest.param(
            Schedule(cron="0 2 * * *", start_at=NOON), ("0 2 * * *", "Europe/Berlin"), id="start-is-not-its-matter"
        ),
    ],
)
def test_what_the_native_clock_can_carry(spec: Schedule, expected: tuple[str, str] | None) -> None:
    assert schedule.native_cron(spec, "Europe/Berlin") == expected


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(value, id=str(value))
        for value in range(60, 86_401, 60)
        if schedule.native_cron(Schedule(interval_seconds=value), "UTC")
    ],
)
def test_the_native_clock_fires_an_interval_when_it_is_due(seconds: int) -> None:
    native = schedule.native_cron(Schedule(interval_seconds=seconds), "UTC")
    assert native is not None
    cron = Schedule(cron=native[0], time_zone=native[1])
    end = NOON + timedelta(days=2)
    assert list(schedule.due_times(cron, NOON, end)) == list(
        schedule.due_times(Schedule(interval_seconds=seconds), NOON, end)
    )


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def preview(spec: dict[str, Any], start: str, count: int) -> list[str]:
    timetable, moment, found = Timetable.of(Schedule.model_validate(spec)), at(start), []
    while len(found) < count and (due := timetable.after(moment)) is not None:
        found.append(due.isoformat().replace("+00:00", "Z"))
        moment = due
    return found


@pytest.mark.parametrize(
    ("spec", "start", "expected"),
    [
        pytest.param(
            {"cron": "15 6 */2 * SUN", "timeZone": "UTC"},
            "2026-12-01T00:00:00Z",
            [f"2026-12-{day:02}T06:15:00Z" for day in (1, 3, 5, 6, 7, 9, 11)],
            id="C02-stepped-star-and-weekday-is-either",
        ),
        pytest.param(
            {"cron": "30 3 * * ?", "timeZone": "Asia/Shanghai"},
            "2026-12-01T00:00:00Z",
            ["2026-12-01T19:30:00Z", "2026-12-02T19:30:00Z"],
            id="C04-question-mark-is-daily-in-the-zone",
        ),
        pytest.param(
            {"cron": "10 2 * * *", "timeZone": "Europe/Berlin"},
            "2027-10-30T12:00:00Z",
            ["2027-10-31T00:10:00Z", "2027-10-31T01:10:00Z", "2027-11-01T01:10:00Z"],
            id="C07-repeated-hour-twice",
        ),
        pytest.param(
            {"cron": "10 2 * * *", "timeZone": "Europe/Berlin", "dst": "Once"},
            "2027-10-30T12:00:00Z",
            ["2027-10-31T00:10:00Z", "2027-11-01T01:10:00Z"],
            id="C07-repeated-hour-once-where-asked",
        ),
        pytest.param(
            {"cron": "10 2 * * *", "timeZone": "Europe/Berlin", "dst": "Once"},
            "2027-10-31T00:30:00Z",
            ["2027-11-01T01:10:00Z"],
            id="C07-once-asked-between-the-two",
        ),
        pytest.param(
            {"cron": "30 2 * * *", "timeZone": "America/Chicago"},
            "2027-03-13T12:00:00Z",
            ["2027-03-15T07:30:00Z", "2027-03-16T07:30:00Z"],
            id="C08-skipped-hour-not-at-all",
        ),
        pytest.param(
            {"cron": "30 2 * * *", "timeZone": "America/Chicago", "dst": "Once"},
            "2027-03-13T12:00:00Z",
            ["2027-03-14T08:00:00Z", "2027-03-15T07:30:00Z"],
            id="C08-skipped-hour-at-its-end-where-asked",
        ),
        pytest.param(
            {"cron": "0,30 2,3 * * *", "timeZone": "America/Chicago", "dst": "Once"},
            "2027-03-13T12:00:00Z",
            ["2027-03-14T08:00:00Z", "2027-03-14T08:30:00Z", "2027-03-15T07:00:00Z"],
            id="three-that-meet-at-the-end-of-the-gap-are-one",
        ),
        pytest.param(
            {"cron": "15 2 * * *", "timeZone": "Australia/Lord_Howe", "dst": "Once"},
            "2026-10-03T00:00:00Z",
            ["2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"],
            id="a-gap-of-half-an-hour",
        ),
        pytest.param(
            {"cron": "0 9 * * *", "timeZone": "Pacific/Apia", "dst": "Once"},
            "2011-12-29T00:00:00Z",
            ["2011-12-29T19:00:00Z", "2011-12-30T10:00:00Z", "2011-12-30T19:00:00Z"],
            id="a-gap-of-a-whole-day",
        ),
        pytest.param(
            {"cron": "30 0 * * *", "timeZone": "Africa/Cairo", "dst": "Once"},
            "2026-04-23T00:00:00Z",
            ["2026-04-23T22:00:00Z", "2026-04-24T21:30:00Z"],
            id="a-gap-at-midnight",
        ),
        pytest.param(
            {"cron": "30 0 * * *", "timeZone": "Asia/Beirut", "dst": "Once"},
            "2026-03-28T00:00:00Z",
            ["2026-03-28T22:00:00Z", "2026-03-29T21:30:00Z"],
            id="another-gap-at-midnight",
        ),
        pytest.param(
            {"cron": "45 1 * * *", "timeZone": "Australia/Lord_Howe"},
            "2026-10-03T00:00:00Z",
            ["2026-10-03T15:15:00Z", "2026-10-03T15:45:00Z", "2026-10-04T14:45:00Z"],
            id="the-cluster-fires-at-0245-behind-half-an-hours-gap",
        ),
        pytest.param(
            {"cron": "0 5 * * 5", "timeZone": "Africa/Cairo"},
            "2026-04-22T00:00:00Z",
            ["2026-05-01T02:00:00Z", "2026-05-08T02:00:00Z"],
            id="the-cluster-passes-over-the-day-that-begins-with-a-gap",
        ),
        pytest.param(
            {"cron": "0 5 * * 5", "timeZone": "Africa/Cairo"},
            "2026-04-24T00:00:00Z",
            ["2026-05-01T02:00:00Z"],
            id="and-does-so-whenever-it-is-asked",
        ),
        pytest.param(
            {"cron": "20 6 * * *", "timeZone": "Etc/GMT-3"},
            "2026-12-01T06:40:00Z",
            ["2026-12-02T03:20:00Z", "2026-12-03T03:20:00Z"],
            id="C10-reversed-sign",
        ),
        pytest.param(
            {"cron": "0 2 * * *", "timeZone": "Europe/Zurich"},
            "2026-12-01T00:00:00Z",
            ["2026-12-01T01:00:00Z"],
            id="C11-a-zone-from-the-bundled-database",
        ),
        pytest.param(
            {"cron": "36 16 * * *"}, "2026-11-25T16:40:00Z", ["2026-11-26T16:36:00Z"], id="C13-after-the-edit-tomorrow"
        ),
        pytest.param(
            {"cron": "*/10 * * * *"}, "2026-11-25T12:07:00Z", ["2026-11-25T12:10:00Z"], id="C14-after-the-resume"
        ),
        pytest.param(
            {"at": "2026-12-01T08:00:00+08:00"}, "2026-11-30T00:00:00Z", ["2026-12-01T00:00:00Z"], id="C16-at-once"
        ),
        pytest.param({"at": "2020-01-01T00:00:00Z"}, "2026-11-25T12:00:00Z", [], id="C16-at-in-2020"),
        pytest.param(
            {"intervalSeconds": 45, "startAt": "2026-12-01T00:00:00Z"},
            "2026-11-25T12:00:00Z",
            ["2026-12-01T00:00:00Z", "2026-12-01T00:00:45Z", "2026-12-01T00:01:30Z"],
            id="C62-an-interval-of-45-s",
        ),
        pytest.param(
            {"intervalSeconds": 3600, "startAt": "0001-01-01T00:00:00Z", "endAt": "9999-12-31T23:59:59Z"},
            "2026-11-25T12:00:00Z",
            ["2026-11-25T13:00:00Z"],
            id="bounds-that-mean-none",
        ),
        pytest.param(
            {"cron": "0 * * * *", "startAt": "9999-12-31T00:00:00Z"},
            "2026-11-25T12:00:00Z",
            [],
            id="a-start-too-far-off",
        ),
        pytest.param(
            {"at": "2026-12-01T00:00:00.750Z"}, "2026-11-25T12:00:00Z", ["2026-12-01T00:00:00Z"], id="whole-seconds"
        ),
    ],
)
def test_preview(spec: dict[str, Any], start: str, expected: list[str]) -> None:
    # One more than expected is asked for where they end, so that nothing follows unseen.
    assert preview(spec, start, len(expected) or 1) == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({"cron": "0 0 * * *", "timeZone": "asia/shanghai"}, "timeZone: 'asia/shanghai' is no zone: letter case counts, write Asia/Shanghai", id="C11-letter-case"),
        pytest.param({"cron": "0 0 * * *", "timeZone": "Local"}, "timeZone: Local is whatever zone a server happens to have: write an IANA name", id="C11-local"),
        pytest.param({"intervalSeconds": 45, "timeZone": "UTC+8"}, "timeZone: 'UTC+8' is no IANA zone: write a name such as Asia/Shanghai or UTC, not an offset", id="C11-offset-though-unused"),
        pytest.param({"cron": "30 6 * * 7"}, "day-of-week: 7 in '7' is above 6: write Sunday as 0 or SUN", id="C01-sunday-as-7"),
        pytest.param({"cron": "0 2 * * *", "startAt": "2026-12-02T00:00:00Z", "endAt": "2026-12-01T00:00:00Z"}, "endAt: is before startAt: no run would ever be due", id="end-before-start"),
        pytest.param({"at": "2026-12-01T00:00:00Z", "endAt": "2026-11-30T00:00:00Z"}, "at: is after endAt: no run would ever be due", id="at-after-the-end"),
        pytest.param({"at": "2026-12-01T00:00:00Z", "startAt": "2026-12-02T00:00:00Z"}, "at: is before startAt: no run would ever be due", id="at-before-the-start"),
        pytest.param({"at": "0001-01-01T00:00:00+08:00"}, "at: 0001-01-01 00:00:00+08:00 cannot be counted with: write a year from 1970 to 9900", id="a-year-that-is-none"),
        pytest.param({}, "cron: exactly one of cron, intervalSeconds and at is needed", id="none-of-the-three"),
        pytest.param({"cron": "0 2 * * *", "intervalSeconds": 60}, "cron: exactly one of cron, intervalSeconds and at is needed", id="two-of-the-three"),
        pytest.param({"intervalSeconds": 3600, "dst": "Once"}, "dst: Once is for cron: intervalSeconds and at name instants, which no clock change repeats or leaves out; leave it out", id="once-with-an-interval"),
        pytest.param({"intervalSeconds": 3600, "calendar": {"name": "cn", "onHoliday": "Next"}}, "calendar: Next with an interval of less than a day would pile up a day off on a working day: use onHoliday Skip", id="moving-a-short-interval"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_with_the_field_and_the_remedy(spec: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  (the whole text is compared)
        schedule.check(Schedule.model_validate(spec), "UTC")
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({"cron": "0 0 1 * *"}, False, id="monthly"),
        pytest.param({"cron": "0 0 30 2 *"}, True, id="february-30"),
        pytest.param({"cron": ", * * * *"}, True, id="only-a-comma"),
        pytest.param({"cron": "0 0 29 2 *"}, False, id="leap-day"),
        pytest.param({"cron": "0 0 1 * *", "startAt": "2026-12-02T00:00:00Z", "endAt": "2026-12-31T00:00:00Z"}, True, id="nothing-in-the-window"),
        pytest.param({"cron": "0 0 1 * *", "startAt": "2025-11-01T00:00:00Z", "endAt": "2025-12-31T00:00:00Z"}, False, id="a-window-that-has-ended"),
        pytest.param({"cron": "0 0 1 * *", "endAt": "2026-11-25T12:00:00Z"}, False, id="it-ended-when-it-was-made"),
        pytest.param({"cron": "0 0 1 * *", "endAt": "2026-11-26T00:00:00Z"}, True, id="it-ends-before-it-is-due"),
        pytest.param({"cron": "0 0 30 2 *", "endAt": "2026-01-01T00:00:00Z"}, True, id="ended-and-never"),
        pytest.param({"intervalSeconds": 45}, False, id="interval"),
        pytest.param({"at": "2020-01-01T00:00:00Z"}, False, id="at-is-past-not-never"),
    ],
)  # fmt: skip
def test_never_fires(spec: dict[str, Any], expected: bool) -> None:
    assert schedule.never_fires(Schedule.model_validate(spec), "UTC", NOON) is expected


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        pytest.param({"cron": "0 3 * * MON-FRI"}, {"cron": "00  3 * * 1,2,3,4,5"}, True, id="another-spelling"),
        pytest.param({"cron": "0 3 * * *"}, {"cron": "0 3 * * *", "timeZone": "UTC"}, True, id="the-default-zone-by-name"),
        pytest.param({"intervalSeconds": 45}, {"intervalSeconds": 45, "timeZone": "Asia/Shanghai"}, True, id="a-zone-without-effect"),
        pytest.param({"at": "2026-12-01T08:00:00+08:00"}, {"at": "2026-12-01T00:00:00Z"}, True, id="one-instant"),
        pytest.param({"cron": "0 3 */2 * 1"}, {"cron": "0 3 1-31/2 * 1"}, True, id="either-day-both-times"),
        pytest.param({"cron": "0 3 */1 * 1"}, {"cron": "0 3 1-31 * 1"}, False, id="a-star-and-a-full-range"),
        pytest.param({"cron": "0 3 * * *"}, {"cron": "0 4 * * *"}, False, id="cron"),
        pytest.param({"cron": "0 3 * * *"}, {"cron": "0 3 * * *", "timeZone": "Asia/Shanghai"}, False, id="zone"),
        pytest.param({"cron": "0 3 * * *"}, {"cron": "0 3 * * *", "dst": "Once"}, False, id="dst"),
        pytest.param({"cron": "0 3 * * *"}, {"cron": "0 3 * * *", "startAt": "2026-12-01T00:00:00Z"}, False, id="start"),
        pytest.param({"cron": "0 3 * * *"}, {"cron": "0 3 * * *", "endAt": "2026-12-01T00:00:00Z"}, False, id="end"),
        pytest.param({"intervalSeconds": 45}, {"intervalSeconds": 46}, False, id="interval"),
    ],
)  # fmt: skip
def test_a_digest_is_of_the_meaning(one: dict[str, Any], other: dict[str, Any], equal: bool) -> None:
    digests = [Timetable.of(Schedule.model_validate(spec)).digest for spec in (one, other)]
    assert (digests[0] == digests[1]) is equal


def test_a_digest_outlives_releases() -> None:
    # If this changes, every job forgets what it has not accounted for when the operator is upgraded.
    assert Timetable.of(Schedule(cron="0 3 * * *", time_zone="Asia/Shanghai")).digest == "6ae628523afe8cde"


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(ScheduledJobSpec(schedule=Schedule(cron="0 * * * *")), id="spec"),
        pytest.param(Schedule(cron="0 * * * *"), id="schedule"),
        pytest.param({"schedule": {"cron": "0 * * * *"}, "task": {"func": "echo_args"}}, id="spec-as-json"),
        pytest.param({"cron": "0 * * * *"}, id="schedule-as-json"),
    ],
)
def test_due_times_of_whatever_has_a_schedule(spec: Any) -> None:
    assert list(schedule.due_times(spec, NOON, NOON + timedelta(hours=2))) == hours(1, 2)
    assert schedule.next_due(spec, NOON) == NOON + timedelta(hours=1)


def test_without_a_schedule_nothing_is_due() -> None:
    spec = ScheduledJobSpec()
    assert list(schedule.due_times(spec, NOON, NOON + timedelta(days=400))) == []
    assert schedule.next_due(spec, NOON) is None


def counting(
    after: Callable[[datetime], datetime | None], calls: list[datetime]
) -> Callable[[datetime], datetime | None]:
    def asked(moment: datetime) -> datetime | None:
        calls.append(moment)
        return after(moment)

    return asked


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"cron": "* * * * *"}, id="each-minute"),
        pytest.param({"cron": "0 0 1 1 *"}, id="once-a-year"),
        pytest.param({"cron": "0 0 30 2 *"}, id="never"),
        pytest.param({"intervalSeconds": 1}, id="each-second"),
        pytest.param({"at": "2021-12-01T00:00:00Z"}, id="once"),
    ],
)
def test_the_newest_of_six_years_takes_a_few_questions(spec: dict[str, Any]) -> None:
    timetable = Timetable.of(Schedule.model_validate(spec))
    start, calls = NOON - timedelta(days=6 * 365), []
    found = newest(counting(timetable.after, calls), start, NOON)
    assert found == timetable.newest(start, NOON)
    assert len(calls) < 70


@pytest.mark.parametrize("dst", [pytest.param(value, id=value) for value in ("AsCluster", "Once")])
def test_six_years_of_minutes_are_counted_by_days(dst: str, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[object] = []
    matches = Cron.matches_day
    monkeypatch.setattr(Cron, "matches_day", lambda self, day: looked_at.append(day) or matches(self, day))
    timetable = Timetable.of(Schedule.model_validate({"cron": "* * * * *", "timeZone": "Europe/Berlin", "dst": dst}))
    start = datetime(2020, 1, 1, tzinfo=UTC)
    # Once: six autumns have an hour less of them; in spring the hour that is left out is none anyway.
    expected = 6 * 365 * 1440 + 2 * 1440 - (6 * 60 if dst == "Once" else 0)
    assert timetable.count(start, datetime(2026, 1, 1, tzinfo=UTC)) == expected
    assert len(looked_at) < 2 * 6 * 366
