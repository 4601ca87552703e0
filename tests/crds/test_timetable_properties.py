"""What holds for every schedule: splitting loses and repeats nothing, and all ways of asking agree."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from merp_crds.businesscalendar import BusinessCalendarSpec, CalendarDay, WorkingDays, working_days
from merp_crds.cron import Cron
from merp_crds.schedule import Timetable
from merp_crds.scheduledjob import CalendarReference, Dst, OnHoliday, Schedule
from merp_crds.wallclock import WallClock

# Changes by an hour and half an hour, by a whole day, at midnight and over it, on both halves of the globe, and none.
ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Beirut", "America/Havana",
    "America/Santiago", "America/Asuncion", "America/Sao_Paulo", "America/St_Johns", "Pacific/Apia", "Asia/Kathmandu",
    "Africa/Casablanca", "Pacific/Chatham", "America/Godthab",
)  # fmt: skip
SECOND = timedelta(seconds=1)


def changes(zone: str) -> list[datetime]:
    clock = WallClock(Cron.parse("* * * * *", zone).zone)
    return list(clock.changes(datetime(2005, 1, 1, tzinfo=UTC), datetime(2032, 1, 1, tzinfo=UTC)))


CHANGES = {zone: changes(zone) for zone in ZONES}


def calendar(spec: BusinessCalendarSpec) -> WorkingDays:
    return working_days("cal", spec)


# Breaks of one day and of nine, a worked Saturday, a weekend in the week, and a day off on each side of a clock change.
CALENDARS = {
    "cn": calendar(BusinessCalendarSpec(built_in="CN")),
    "weekend": calendar(BusinessCalendarSpec(valid_through=date(2031, 12, 31))),
    "friday": calendar(
        BusinessCalendarSpec.model_validate(
            {
                "weekend": ["Friday"],
                "validThrough": "2031-12-31",
                "holidays": [{"date": str(date(2027, 3, 27) + timedelta(days=n))} for n in range(9)],
            }
        )
    ),
    "every-day": calendar(
        BusinessCalendarSpec(
            weekend=[], valid_through=date(2031, 12, 31), holidays=[CalendarDay(date=date(2027, 10, 31))]
        )
    ),
}


@st.composite
def expressions(draw: st.DrawFn) -> str:
    def field(low: int, high: int, *usual: str) -> str:
        numbers = st.lists(st.integers(low, high), min_size=1, max_size=3, unique=True).map(
            lambda n: ",".join(map(str, n))
        )
        return draw(st.one_of(st.sampled_from(["*", *usual]), numbers))

    minute = field(0, 59, "0", "30", "*/15", "*/7", "59")
    hour = field(0, 23, "0", "1", "2", "23", "*/6", "0-3")
    return f"{minute} {hour} {field(1, 31, '1', '31', '*/2')} {field(1, 12, '3', '4', '10')} {field(0, 6, '0', '1-5')}"


@st.composite
def schedules(draw: st.DrawFn, *, zone: str, near: datetime) -> tuple[Schedule, WorkingDays | None]:
    bound = st.one_of(st.none(), st.integers(-20 * 86_400, 20 * 86_400).map(lambda s: near + timedelta(seconds=s)))
    start_at, end_at = draw(bound), draw(bound)
    if start_at is not None and end_at is not None and end_at < start_at:
        start_at, end_at = end_at, start_at
    name = draw(st.sampled_from([None, *CALENDARS]))
    on_holiday = draw(st.sampled_from(list(OnHoliday)))
    fields: dict[str, object] = {"time_zone": zone, "start_at": start_at, "end_at": end_at}
    match draw(st.sampled_from(["cron", "cron", "cron", "interval", "at"])):
        case "cron":
            fields |= {"cron": draw(expressions()), "dst": draw(st.sampled_from(list(Dst)))}
        case "interval":
            least = 3_000 if name is None or on_holiday is OnHoliday.SKIP else 86_400
            fields |= {"interval_seconds": draw(st.integers(least, 400_000))}
        case "at":
            at = near + timedelta(seconds=draw(st.integers(-900_000, 900_000)))
            assume(name is not None or ((start_at is None or start_at <= at) and (end_at is None or at <= end_at)))
            fields |= {"at": at}
    if name is not None:
        fields["calendar"] = CalendarReference(name=name, on_holiday=on_holiday)
    return Schedule(**fields), CALENDARS.get(name or "")  # type: ignore[arg-type]  (fields of several types)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Timetable, datetime, datetime, datetime]:
    """A timetable and three moments in order, in most cases around a clock change."""
    zone = draw(st.sampled_from(ZONES))
    usual = datetime(2027, 3, 29, tzinfo=UTC)
    near = draw(st.sampled_from(CHANGES[zone])) if CHANGES[zone] and draw(st.integers(0, 3)) else usual
    spec, days = draw(schedules(zone=zone, near=near))
    offsets = st.one_of(st.integers(-9 * 86_400, 9 * 86_400), st.integers(-180, 180).map(lambda n: n * 60))
    low, middle, high = sorted(near + timedelta(seconds=draw(offsets)) for _ in range(3))
    return Timetable.of(spec, "UTC", days), low, middle, high


def chain(timetable: Timetable, start: datetime, end: datetime) -> list[datetime]:
    found, due = [], timetable.after(start)
    while due is not None and due <= end:
        found.append(due)
        due = timetable.after(due)
    return found


@settings(max_examples=150)
@given(cases())
def test_all_ways_of_asking_agree_and_a_split_loses_and_repeats_nothing(
    case: tuple[Timetable, datetime, datetime, datetime],
) -> None:
    timetable, low, middle, high = case
    due = list(timetable.between(low, high))
    assert due == sorted(set(due))
    assert all(low < moment <= high for moment in due)
    assert list(timetable.between(low, middle)) + list(timetable.between(middle, high)) == due
    assert chain(timetable, low, high) == due
    assert timetable.count(low, high) == len(due)
    assert timetable.count(low, middle) + timetable.count(middle, high) == len(due)
    assert timetable.newest(low, high) == (due[-1] if due else None)
    assert timetable.after(middle) == next((moment for moment in due if moment > middle), timetable.after(high))


@settings(max_examples=100)
@given(cases())
def test_what_a_calendar_takes_away_and_what_it_leaves_are_all_there_was(
    case: tuple[Timetable, datetime, datetime, datetime],
) -> None:
    timetable, low, _, high = case
    assume(timetable.moved is not None)
    assert timetable.moved is not None
    # An interval is counted from startAt; all other times are there without it as well.
    unbounded = {"calendar": None, "end_at": None}
    if timetable.schedule.interval_seconds is None:
        unbounded["start_at"] = None
    plain = Timetable.of(timetable.schedule.model_copy(update=unbounded), "UTC")
    originals = [moment for moment in plain.between(low, high) if _inside(timetable.schedule, moment)]
    # No break of these calendars is longer.
    due = set(timetable.between(low - timedelta(days=14), high + timedelta(days=14)))
    left = [moment for moment in originals if timetable.moved.moved_to(moment) in due]
    assert sorted([*timetable.dropped(low, high), *left]) == originals


def _inside(schedule: Schedule, moment: datetime) -> bool:
    return (schedule.start_at is None or schedule.start_at <= moment) and (
        schedule.end_at is None or moment <= schedule.end_at
    )


@settings(max_examples=200)
@given(st.sampled_from(ZONES), expressions(), st.integers(0, 60), st.integers(-6 * 86_400, -5 * 86_400))
def test_the_cluster_fires_the_same_from_one_due_time_to_the_next(
    zone: str, expression: str, number: int, offset: int
) -> None:
    near = CHANGES[zone][number % len(CHANGES[zone])] if CHANGES[zone] else datetime(2027, 3, 29, tzinfo=UTC)
    start = near + timedelta(seconds=offset)
    end = start + timedelta(days=40)
    assume(not any(start - timedelta(days=32) < change <= start for change in CHANGES[zone]))
    cron, expected = Cron.parse(expression, zone), []
    due = cron.after(start)
    while due is not None and due <= end and len(expected) < 300:
        expected.append(due)
        later = cron.after(due)
        # Where clocks were put back from 00:01 to 23:01 (St. John's until 2011) the original turns in circles.
        assume(later is None or later > due)
        # Where they are put forward by half an hour (Lord Howe) it passes over what it finds from an hour before.
        assume(later is None or cron.after(max(due, later - timedelta(hours=1))) == later)
        due = later
    found = list(Timetable.of(Schedule(cron=expression, time_zone=zone)).between(start, end))
    assert found[: len(expected)] == expected
    assert len(found) >= len(expected)


@settings(max_examples=60)
@given(st.sampled_from(ZONES), expressions(), st.integers(0, 60), st.integers(-86_400, 86_400))
def test_once_is_each_wall_that_matches_at_its_first_instant_or_at_the_end_of_its_gap(
    zone: str, expression: str, number: int, offset: int
) -> None:
    near = CHANGES[zone][number % len(CHANGES[zone])] if CHANGES[zone] else datetime(2027, 3, 29, tzinfo=UTC)
    start = near + timedelta(seconds=offset) - timedelta(days=1)
    end = start + timedelta(days=2)
    cron, expected, passed = Cron.parse(expression, zone), set(), None
    # Minute by minute: which walls the clock passes at each instant, the first time it does; a day before as well, so
    # that a wall which comes back is known to be old.
    instant = start.replace(second=0, microsecond=0) - timedelta(days=1)
    while instant <= end:
        wall = instant.astimezone(cron.zone).replace(tzinfo=None, fold=0)
        while passed is not None and passed < wall:
            passed += timedelta(minutes=1)
            matches = (
                passed.minute in cron.minute.values and passed.hour in cron.hour.values and cron.matches_day(passed)
            )
            if matches and start < instant <= end:
                expected.add(instant)
        passed = wall if passed is None else max(passed, wall)
        instant += timedelta(minutes=1)
    assert set(Timetable.of(Schedule(cron=expression, time_zone=zone, dst=Dst.ONCE)).between(start, end)) == expected


@pytest.mark.parametrize("dst", [pytest.param(value, id=value.value) for value in Dst])
@pytest.mark.parametrize("zone", [pytest.param(zone, id=zone) for zone in ZONES])
def test_a_year_is_counted_as_it_is_enumerated(zone: str, dst: Dst) -> None:
    start, end = datetime(2011, 6, 1, tzinfo=UTC), datetime(2012, 6, 1, tzinfo=UTC)
    timetable = Timetable.of(Schedule(cron="*/30 * * * *", time_zone=zone, dst=dst))
    assert timetable.count(start, end) == sum(1 for _ in timetable.between(start, end))
